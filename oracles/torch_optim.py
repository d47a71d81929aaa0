"""torch.optim as an oracle for update rules: single steps from given states, and whole training runs.

torch keeps some numbers of its state (the step count, NAdam's product, ASGD's rates) in the default dtype, which is
float32 unless it is changed; here it is float64 while an optimizer works.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from oracles.counterpart import Hyperparameters, NoCounterpartError, Run, States
from oracles.estimate import Array, Graph

try:
    import torch

    from oracles.torch_autograd import NAMESPACE, settings
except ImportError as missing:
    raise ImportError(
        f"oracles.torch_optim needs torch, array-api-compat: pip install 'backproof[torch]' ({missing})",
        name=missing.name,
    ) from missing

__all__ = ["train", "updates"]

_WORDS = {
    "learning_rate": "lr",
    "epsilon": "eps",
    "learning_rate_decay": "lr_decay",
    "initial_sum": "initial_accumulator_value",
    "decay": "lambd",
    "start": "t0",
    "decoupled": "decoupled_weight_decay",
}
_PAIRS = {
    "betas": ("beta1", "beta2"),
    "etas": ("shrink", "grow"),
    "step_sizes": ("smallest", "largest"),
}


@dataclass(frozen=True)
class _Rule:
    """torch's class for a rule, its names for the state, and what differs beyond names."""

    optimizer: type[torch.optim.Optimizer]
    state: dict[str, str]
    options: Callable[[Hyperparameters], Hyperparameters] = dict
    scale: Callable[[Hyperparameters], float] = lambda h: 1.0
    """How many times torch's buffers go into ours."""
    fixed: dict[str, Any] = field(default_factory=dict)


_MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq"}
_RULES = {
    "vanilla": _Rule(torch.optim.SGD, {}),
    "momentum": _Rule(
        torch.optim.SGD,
        {"v": "momentum_buffer"},
        options=lambda h: {"learning_rate": h["learning_rate"], "momentum": h["gamma"]},
        scale=lambda h: h["learning_rate"],
    ),
    "averaged_momentum": _Rule(
        torch.optim.SGD,
        {"v": "momentum_buffer"},
        options=lambda h: {"learning_rate": h["learning_rate"] * (1 - h["beta"]), "momentum": h["beta"]},
        scale=lambda h: 1 - h["beta"],
    ),
    "sgd": _Rule(torch.optim.SGD, {"v": "momentum_buffer"}),
    "adagrad": _Rule(torch.optim.Adagrad, {"sum": "sum"}),
    "adadelta": _Rule(torch.optim.Adadelta, {"v": "square_avg", "delta": "acc_delta"}),
    "rmsprop": _Rule(torch.optim.RMSprop, {"v": "square_avg", "mean": "grad_avg", "velocity": "momentum_buffer"}),
    "adam": _Rule(torch.optim.Adam, _MOMENTS),
    "adamw": _Rule(torch.optim.AdamW, _MOMENTS),
    "amsgrad": _Rule(torch.optim.Adam, {**_MOMENTS, "v_max": "max_exp_avg_sq"}, fixed={"amsgrad": True}),
    "adamax": _Rule(torch.optim.Adamax, {"m": "exp_avg", "u": "exp_inf"}),
    "nadam": _Rule(torch.optim.NAdam, {**_MOMENTS, "product": "mu_product"}),
    "radam": _Rule(torch.optim.RAdam, _MOMENTS),
    "asgd": _Rule(torch.optim.ASGD, {"average": "ax", "eta": "eta", "mu": "mu"}),
    "rprop": _Rule(torch.optim.Rprop, {"previous": "prev", "size": "step_size"}),
}


def updates(
    rule: str, hyperparameters: Hyperparameters, gradients: Array, states: States, params: Array
) -> tuple[Array, dict[str, Array]]:
    """See `oracles.counterpart.Updates`. Raises NoCounterpartError for a rule that torch does not have."""
    known = _rule(rule)
    ours_per_torchs = known.scale(hyperparameters)
    with settings(torch.float64):
        leaf = torch.zeros(params.shape[1:], dtype=torch.float64, requires_grad=True)
        optimizer = _optimizer(known, hyperparameters, leaf)
        names = _kept(known, hyperparameters, leaf)
        moved, kept = np.empty_like(params), {ours: np.empty_like(states[ours]) for ours in names}
        for i, gradient in enumerate(gradients):
            optimizer.state[leaf] = _state(known, names, states, i, ours_per_torchs)
            with torch.no_grad():
                leaf.copy_(torch.from_numpy(np.array(params[i])))
            leaf.grad = torch.from_numpy(np.array(gradient))
            optimizer.step()
            moved[i] = leaf.detach().numpy()
            for ours, theirs in names.items():
                kept[ours][i] = optimizer.state[leaf][theirs].numpy() * ours_per_torchs
    return moved, kept


def train(
    rule: str,
    hyperparameters: Hyperparameters,
    graph: Graph,
    weights: Array,
    x: ArrayLike,
    y: ArrayLike,
    epochs: int,
    record: Collection[int],
) -> Run:
    """See `oracles.counterpart.Train`. The whole population is one parameter tensor."""
    known, wanted, recorded = _rule(rule), frozenset(record), []
    with settings(torch.float64):
        leaf = torch.from_numpy(np.array(weights)).requires_grad_()
        optimizer = _optimizer(known, hyperparameters, leaf)
        samples = list(zip(torch.tensor(np.asarray(x)), torch.tensor(np.asarray(y)), strict=True))
        losses = torch.zeros((epochs, *weights.shape[:-1]), dtype=torch.float64)
        step = 0
        for epoch in range(epochs):
            for features, target in samples:
                loss = graph(NAMESPACE, leaf, features, target)
                (leaf.grad,) = torch.autograd.grad(loss.sum(), leaf)
                losses[epoch] += loss.detach()
                optimizer.step()
                step += 1
                if step in wanted:
                    recorded.append(leaf.detach().numpy().copy())
        losses /= len(samples)
    return Run(losses.numpy(), np.array(recorded).reshape(-1, *weights.shape))


def _rule(rule: str) -> _Rule:
    if rule not in _RULES:
        raise NoCounterpartError(f"rule: torch.optim has no {rule!r}; it has {', '.join(_RULES)}")
    return _RULES[rule]


def _optimizer(rule: _Rule, hyperparameters: Hyperparameters, leaf: torch.Tensor) -> torch.optim.Optimizer:
    given = dict(rule.options(hyperparameters))
    options: dict[str, Any] = {}
    signature = inspect.signature(rule.optimizer).parameters
    for theirs, pair in _PAIRS.items():
        if theirs in signature:
            options[theirs] = tuple(map(given.pop, pair, signature[theirs].default))
    options |= {_WORDS.get(name, name): value for name, value in given.items()}
    # One tensor at a time, the form that states the rule; fused and foreach kernels are its rewritings.
    return rule.optimizer([leaf], **options, **rule.fixed, foreach=False)  # type: ignore[call-arg]


def _kept(rule: _Rule, hyperparameters: Hyperparameters, leaf: torch.Tensor) -> dict[str, str]:
    """The part of the state that torch keeps with these hyperparameters: found out by a first step."""
    trial = torch.zeros_like(leaf, requires_grad=True)
    optimizer = _optimizer(rule, hyperparameters, trial)
    trial.grad = torch.zeros_like(trial)
    optimizer.step()
    return {ours: theirs for ours, theirs in rule.state.items() if optimizer.state[trial].get(theirs) is not None}


def _state(rule: _Rule, names: dict[str, str], states: States, i: int, ours_per_torchs: float) -> dict[str, Any]:
    step = states["step"][i]
    if rule.optimizer is torch.optim.SGD:
        if step == 0:  # no velocity yet, which is not the same as a velocity of 0
            return {}
        return {theirs: torch.from_numpy(np.array(states[ours][i] / ours_per_torchs)) for ours, theirs in names.items()}
    state = {theirs: torch.from_numpy(np.array(states[ours][i])) for ours, theirs in names.items()}
    return {"step": torch.tensor(float(step), dtype=torch.float64), **state}
