"""optax as an oracle for update rules: single steps from given states, and whole training runs under `lax.scan`.

optax goes by other definitions than torch in places: Adagrad's and RAdam's ε stand elsewhere, AMSGrad takes the maximum
after the bias correction, NAdam has no momentum schedule. There it is a counterpart only where the two coincide.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from oracles.counterpart import Hyperparameters, NoCounterpartError, Run, States
from oracles.estimate import Array, Graph

try:
    import jax
    import jax.numpy as jnp
    import optax

    from oracles.jax_grad import NAMESPACE
except ImportError as missing:
    raise ImportError(
        f"oracles.optax_optim needs jax and optax: pip install 'backproof[jax]' ({missing})", name=missing.name
    ) from missing

__all__ = ["train", "updates"]

Transformation: TypeAlias = optax.GradientTransformation


@dataclass(frozen=True)
class _Rule:
    """How optax builds a rule, and its names for the state. `build` raises NoCounterpartError where it cannot."""

    build: Callable[[dict[str, Any]], list[Transformation]]
    state: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)


def updates(
    rule: str, hyperparameters: Hyperparameters, gradients: Array, states: States, params: Array
) -> tuple[Array, dict[str, Array]]:
    """See `oracles.counterpart.Updates`. All states are stepped in one compiled call.

    Raises NoCounterpartError for a rule that optax does not have, or has otherwise.
    """
    known = _rule(rule)
    with _settings():
        transformation = _transformation(known, hyperparameters)

        def step(gradient: Any, state: dict[str, Any], weights: Any) -> tuple[Any, dict[str, Any]]:
            count = state["step"].astype(jnp.int32)
            full = transformation.init(weights)
            there = {ours: theirs for ours, theirs in known.state.items() if optax.tree.get(full, theirs) is not None}
            full = optax.tree.set(full, **{theirs: state[ours] for ours, theirs in there.items()})
            if optax.tree.get(full, "count") is not None:
                full = optax.tree.set(full, count=count)
            change, full = transformation.update(gradient, full, weights)
            kept = {ours: optax.tree.get(full, theirs) for ours, theirs in there.items()}
            return weights + change, kept

        moved, kept = jax.jit(jax.vmap(step))(gradients, dict(states), params)
        return np.asarray(moved), {name: np.asarray(value) for name, value in kept.items()}


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
    """See `oracles.counterpart.Train`. The whole run is one compiled program."""
    with _settings():
        init, epoch = _compiled(rule, tuple(hyperparameters.items()), graph, bool(record))
        start = jnp.asarray(weights)
        carry, samples = (start, init(start)), (jnp.asarray(x), jnp.asarray(y))
        losses: list[Array] = []
        recorded: list[Array] = []
        wanted, step = sorted(set(record)), 0
        for _ in range(epochs):
            carry, (loss, trajectory) = epoch(carry, samples)
            losses.append(np.asarray(loss).mean(axis=0))
            here = [s - step - 1 for s in wanted if step < s <= step + len(loss)]
            if here:
                recorded.extend(np.asarray(trajectory)[here])
            step += len(loss)
    return Run(np.array(losses), np.array(recorded).reshape(-1, *weights.shape))


@lru_cache(maxsize=64)
def _compiled(
    rule: str, hyperparameters: tuple[tuple[str, Any], ...], graph: Graph, records: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The initial state of the weights, and one epoch as a compiled program: with the weights of each step, or not."""
    transformation = _transformation(_rule(rule), dict(hyperparameters))

    def total(w: Any, features: Any, target: Any) -> tuple[Any, Any]:
        loss = graph(NAMESPACE, w, features, target)
        return jnp.sum(loss), loss

    def one(carry: tuple[Any, Any], sample: tuple[Any, Any]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        w, state = carry
        gradient, loss = jax.grad(total, has_aux=True)(w, *sample)
        change, state = transformation.update(gradient, state, w)
        w = w + change
        return (w, state), (loss, w if records else None)

    return transformation.init, jax.jit(lambda carry, samples: jax.lax.scan(one, carry, samples))


@contextmanager
def _settings() -> Iterator[None]:
    """float64, and the promotions that optax relies on: it raises floats to the power of its integer count."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def _transformation(rule: _Rule, hyperparameters: Hyperparameters) -> Transformation:
    h: dict[str, Any] = {**rule.defaults, **hyperparameters}
    first: list[Transformation] = [optax.scale(-1.0)] if h.get("maximize") else []
    if h.get("weight_decay") and not h.get("decoupled"):
        first.append(optax.add_decayed_weights(h["weight_decay"]))
    return optax.chain(*first, *rule.build(h))


def _rule(rule: str) -> _Rule:
    if rule not in _RULES:
        raise NoCounterpartError(f"rule: optax has no {rule}")
    return _RULES[rule]


def _descend(h: dict[str, Any], default: float) -> list[Transformation]:
    """The end of every chain: the decoupled weight decay, and the rate."""
    decay = h.get("weight_decay", 0.0) if h.get("decoupled") else 0.0
    return [*([optax.add_decayed_weights(decay)] if decay else []), optax.scale(-h.get("learning_rate", default))]


def _sgd(h: dict[str, Any]) -> list[Transformation]:
    if h.get("dampening"):
        raise NoCounterpartError("dampening: optax has none; leave it at 0")
    if not h.get("momentum"):
        return _descend(h, 0.001)
    return [optax.trace(h["momentum"], nesterov=h.get("nesterov", False)), *_descend(h, 0.001)]


def _adagrad(h: dict[str, Any]) -> list[Transformation]:
    if h.get("epsilon", 1e-10) != 0:
        raise NoCounterpartError("epsilon: optax puts it under the root of Adagrad, torch beside it; compare at 0")
    if h.get("learning_rate_decay"):
        raise NoCounterpartError("learning_rate_decay: optax has none; leave it at 0")
    return [optax.scale_by_rss(h.get("initial_sum", 0.0), eps=0.0), *_descend(h, 0.01)]


def _rmsprop(h: dict[str, Any]) -> list[Transformation]:
    scale = optax.scale_by_stddev if h.get("centered") else optax.scale_by_rms
    scaled = scale(h.get("alpha", 0.99), h.get("epsilon", 1e-8), eps_in_sqrt=False)
    return [scaled, *([optax.trace(h["momentum"])] if h.get("momentum") else []), *_descend(h, 0.01)]


def _adam(nesterov: bool = False, rate: float = 0.001) -> Callable[[dict[str, Any]], list[Transformation]]:
    def build(h: dict[str, Any]) -> list[Transformation]:
        moments = (h.get("beta1", 0.9), h.get("beta2", 0.999), h.get("epsilon", 1e-8))
        return [optax.scale_by_adam(*moments, nesterov=nesterov), *_descend(h, rate)]

    return build


def _adamax(h: dict[str, Any]) -> list[Transformation]:
    return [
        optax.scale_by_adamax(h.get("beta1", 0.9), h.get("beta2", 0.999), h.get("epsilon", 1e-8)),
        *_descend(h, 0.002),
    ]


def _nadam(h: dict[str, Any]) -> list[Transformation]:
    # 1 - 0.96^(tψ) / 2 is 1 to the last bit of float64 from the first step on.
    if 0.96 ** h.get("momentum_decay", 0.004) > 2.0**-53:
        raise NoCounterpartError("momentum_decay: optax has no schedule; one of 1000 makes torch's constant")
    return _adam(nesterov=True, rate=0.002)(h)


def _amsgrad(h: dict[str, Any]) -> list[Transformation]:
    raise NoCounterpartError("amsgrad: optax takes the maximum of the corrected v̂, torch that of v")


def _radam(h: dict[str, Any]) -> list[Transformation]:
    if h.get("epsilon", 1e-8) != 0:
        raise NoCounterpartError("epsilon: optax adds it to √v̂, torch to √v; compare at 0")
    return [optax.scale_by_radam(h.get("beta1", 0.9), h.get("beta2", 0.999), eps=0.0), *_descend(h, 0.001)]


def _rprop(h: dict[str, Any]) -> list[Transformation]:
    raise NoCounterpartError("rprop: optax applies every step of Rprop one step late (google-deepmind/optax#1725)")


_MOMENTS = {"m": "mu", "v": "nu"}
_RULES = {
    "vanilla": _Rule(lambda h: [optax.scale(-h["learning_rate"])]),
    "momentum": _Rule(
        lambda h: [optax.scale(h["learning_rate"]), optax.trace(h["gamma"]), optax.scale(-1.0)], {"v": "trace"}
    ),
    "averaged_momentum": _Rule(
        lambda h: [optax.ema(h["beta"], debias=False), optax.scale(-h["learning_rate"])], {"v": "ema"}
    ),
    "sgd": _Rule(_sgd, {"v": "trace"}),
    "adagrad": _Rule(_adagrad, {"sum": "sum_of_squares"}),
    "adadelta": _Rule(
        lambda h: [optax.scale_by_adadelta(h.get("rho", 0.9), h.get("epsilon", 1e-6)), *_descend(h, 1.0)],
        {"v": "e_g", "delta": "e_x"},
    ),
    "rmsprop": _Rule(_rmsprop, {"v": "nu", "mean": "mu", "velocity": "trace"}),
    "adam": _Rule(_adam(), _MOMENTS),
    "adamw": _Rule(_adam(), _MOMENTS, {"decoupled": True, "weight_decay": 0.01}),
    "amsgrad": _Rule(_amsgrad),
    "adamax": _Rule(_adamax, {"m": "mu", "u": "nu"}),
    "nadam": _Rule(_nadam, _MOMENTS),
    "radam": _Rule(_radam, _MOMENTS),
    "rprop": _Rule(_rprop),
}
