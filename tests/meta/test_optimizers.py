"""Every optimizer by hand is pure and elementwise, follows the formula of its paper to 45 digits, and a mistake in any of
its lines turns the gate red."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb

from manual import optimizers
from manual.optimizers import Optimizer
from oracles import torch_optim
from oracles.agreement import compare
from oracles.ball import lift
from oracles.subject import on_balls
from reference.datasets import housing
from tests.gate import configurations, trajectories
from tests.gate import test_optimizers as gate
from tests.gate.configurations import CONFIGURATIONS, Configuration

Array = np.ndarray[Any, Any]
on_ball: Callable[..., Any] = lift  # the hand-written code is typed for floats, and balls stand in for them


def _row(rule: str, variant: str, **settings: float | bool) -> Configuration:
    return Configuration(f"{rule}-{variant}", rule, tuple(settings.items()), frameworks=("torch_optim",))


# Options that no row of the gate's registry turns on.
MORE = [
    _row("sgd", "dampening-alone", learning_rate=0.02, dampening=0.5),
    *(_row(rule, "maximize", learning_rate=1e-4, maximize=True) for rule in ("adamw", "amsgrad", "adamax", "nadam")),
    *(_row(rule, "maximize", learning_rate=1e-4, maximize=True) for rule in ("radam", "asgd")),
    _row("rprop", "maximize", learning_rate=1e-5, largest=1e-4, maximize=True),
]
ROWS = [*CONFIGURATIONS, *MORE]
RULES = list(dict.fromkeys(row.rule for row in ROWS))
ALL_ROWS = pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
ALL_RULES = pytest.mark.parametrize("rule", RULES)


def defaults(rule: str) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(getattr(optimizers, rule)).parameters.items()}


def complete(row: Configuration) -> dict[str, Any]:
    """The hyperparameters of a row with those that it leaves at their defaults."""
    return defaults(row.rule) | row.hyperparameters


def test_the_registry_has_every_rule_of_the_module() -> None:
    public = {n for n, f in inspect.getmembers(optimizers, inspect.isfunction) if f.__module__ == optimizers.__name__}
    assert set(RULES) == {name for name in public if not name.startswith("_")}


@ALL_RULES
def test_every_option_that_is_off_by_default_is_on_in_some_row(rule: str) -> None:
    off = {name for name, value in defaults(rule).items() if value == 0}
    assert off <= {name for row in ROWS if row.rule == rule for name, value in row.settings if value != 0}


# --- pure and elementwise -------------------------------------------------------------------------------------------

SHAPES = [pytest.param(shape, id=f"shape{shape}") for shape in ((), (3,), (2, 3))]


def point(shape: tuple[int, ...], steps: int = 4) -> tuple[Array, Array]:
    """Gradients (steps, *shape), some of them 0, and params."""
    random = np.random.default_rng(60)
    gradients = random.normal(size=(steps, *shape))
    gradients.reshape(steps, -1)[-1, 0] = 0.0
    return gradients, random.normal(size=shape)


def trajectory(optimizer: Optimizer, gradients: Array, params: Array) -> Iterator[tuple[Array, Any]]:
    """(params, state) after every step, and at first before any."""
    state = optimizer.init(params)
    yield params, state
    for gradient in gradients:
        params, state = optimizer.update(gradient, state, params)
        yield params, state


def bits(value: Any) -> Any:
    """Everything in params and states that a comparison has to see: shapes, dtypes and bytes."""
    if isinstance(value, tuple):
        return type(value).__name__, *map(bits, value)
    return np.shape(value), np.asarray(value).dtype, np.asarray(value).tobytes()


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
@ALL_ROWS
def test_update_changes_no_argument_and_repeats_every_bit(row: Configuration, shape: tuple[int, ...]) -> None:
    gradients, params = point(shape)
    optimizer = row.optimizer
    state = optimizer.init(params)
    for gradient in gradients:
        before = bits((gradient, state, params))
        first = optimizer.update(gradient, state, params)
        second = optimizer.update(gradient, state, params)
        assert bits(first) == bits(second)
        assert bits((gradient, state, params)) == before
        params, state = first


def shared(optimizer: Optimizer) -> set[str]:
    """What the arrays of a state share memory with, of what the caller holds at the same time and may write into."""
    gradients, params = point((3,))
    found = {"params" for s in optimizer.init(params) if np.shares_memory(np.asarray(s), params)}
    state = optimizer.init(params)
    for gradient in gradients:
        moved, state = optimizer.update(gradient, state, params)
        held = {"gradient": gradient, "params": params, "new params": moved}
        found |= {n for n, array in held.items() for s in state if np.shares_memory(np.asarray(s), array)}
        found |= {n for n in ("gradient", "params") if np.shares_memory(moved, held[n])}
        params = moved
    return found


@ALL_ROWS
def test_what_update_returns_is_memory_of_its_own(row: Configuration) -> None:
    assert shared(row.optimizer) == set()


def test_a_state_that_keeps_the_gradient_itself_is_noticed(tmp_path: Path) -> None:
    made = mutant(tmp_path, "momentum", "learning_rate * gradient\n", "learning_rate * gradient\n        v = gradient\n")
    assert shared(made.momentum()) == {"gradient"}


@pytest.mark.parametrize("shape", SHAPES)
@ALL_ROWS
def test_params_and_state_keep_shape_and_dtype_and_steps_are_counted(
    row: Configuration, shape: tuple[int, ...]
) -> None:
    for count, (params, state) in enumerate(trajectory(row.optimizer, *point(shape))):
        assert (params.shape, params.dtype) == (shape, np.float64)
        assert state.step == count
        for name, value in state._asdict().items():
            if name in ("step", "eta", "mu", "product"):
                assert type(value) is (int if name == "step" else float)
            else:
                assert (value.shape, value.dtype) == (shape, np.float64), name


@ALL_ROWS
def test_a_population_does_what_each_member_and_each_entry_does_alone(row: Configuration) -> None:
    gradients, params = point((5, 3), steps=8)
    together = [(w, state) for w, state in trajectory(row.optimizer, gradients, params)]
    for index in [*range(5), *np.ndindex(5, 3)]:
        alone = trajectory(row.optimizer, gradients[:, *np.atleast_1d(index)], params[index])
        for (w, state), (own_w, own_state) in zip(together, alone, strict=True):
            of_population = type(state)(*(v[index] if np.ndim(v) else v for v in state))
            assert bits((w[index], of_population)) == bits((own_w, own_state))


DEAD = ["vanilla", "momentum", "averaged_momentum", "adadelta", "rmsprop", "rprop"]
"""Their step count enters no formula, so no comparison of weights can see it."""


@pytest.mark.parametrize("rule", DEAD)
def test_a_miscount_that_no_formula_reads_is_seen_in_the_state(rule: str, tmp_path: Path) -> None:
    made = mutant(tmp_path, rule, "state.step + 1", "state.step + 2")
    counts = [state.step for _, state in trajectory(getattr(made, rule)(), *point((3,)))]
    assert counts == [0, 2, 4, 6, 8]


# --- the papers -----------------------------------------------------------------------------------------------------
#
# Each formula once more, on exact numbers, from the whole history of gradients g_1 ... g_t instead of from a state:
# what the step t takes off a weight.

Numbers = Sequence[arb]


def mean(values: Numbers, beta: arb) -> arb:
    """The exponential average, (1 - β) Σ β^(t-i) v_i."""
    return (1 - beta) * decaying_sum(values, beta)


def decaying_sum(values: Numbers, beta: arb) -> arb:
    return sum((beta ** (len(values) - 1 - i) * v for i, v in enumerate(values)), arb(0))


def squares(values: Numbers) -> list[arb]:
    return [v * v for v in values]


def corrected(values: Numbers, beta: arb) -> arb:
    """Kingma and Ba, section 3: the average over an infinite past divided by the weight of the past there is."""
    return mean(values, beta) / (1 - beta ** len(values))


def prefixes(values: Numbers) -> list[Numbers]:
    return [values[:t] for t in range(1, len(values) + 1)]


def sgd(g: Numbers, h: Any) -> arb:
    damped = [v if i == 0 else (1 - h.dampening) * v for i, v in enumerate(g)]
    velocity = decaying_sum(damped, h.momentum) if h.momentum != 0 else g[-1]
    return h.learning_rate * (g[-1] + h.momentum * velocity if h.nesterov else velocity)


def adagrad(g: Numbers, h: Any) -> arb:
    rate = h.learning_rate / (1 + (len(g) - 1) * h.learning_rate_decay)
    return rate * g[-1] / (sum(squares(g), h.initial_sum).sqrt() + h.epsilon)


def adadelta(g: Numbers, h: Any) -> arb:
    taken: list[arb] = []
    for past in prefixes(g):
        rms_taken, rms_gradient = ((mean(squares(v), h.rho) + h.epsilon).sqrt() for v in (taken, past))
        taken.append(rms_taken / rms_gradient * past[-1])
    return h.learning_rate * taken[-1]


def rmsprop(g: Numbers, h: Any) -> arb:
    def step(past: Numbers) -> arb:
        variance = mean(squares(past), h.alpha) - (mean(past, h.alpha) ** 2 if h.centered else 0)
        return past[-1] / (variance.sqrt() + h.epsilon)

    return h.learning_rate * decaying_sum([step(past) for past in prefixes(g)], h.momentum)


def adam(g: Numbers, h: Any) -> arb:
    return h.learning_rate * corrected(g, h.beta1) / (corrected(squares(g), h.beta2).sqrt() + h.epsilon)


def amsgrad(g: Numbers, h: Any) -> arb:
    largest = reduce(arb.max, (mean(squares(past), h.beta2) for past in prefixes(g)))
    return h.learning_rate * corrected(g, h.beta1) / ((largest / (1 - h.beta2 ** len(g))).sqrt() + h.epsilon)


def adamax(g: Numbers, h: Any) -> arb:
    sizes = [h.beta2 ** (len(g) - 1 - i) * (abs(v) + h.epsilon) for i, v in enumerate(g)]
    return h.learning_rate * corrected(g, h.beta1) / reduce(arb.max, sizes)


def nadam(g: Numbers, h: Any) -> arb:
    t = len(g)
    mu = [h.beta1 * (1 - arb("0.96") ** (i * h.momentum_decay) / 2) for i in range(1, t + 2)]
    now, following = 1 - reduce(arb.__mul__, mu[:t]), 1 - reduce(arb.__mul__, mu)
    m_bar = mu[t] * mean(g, h.beta1) / following + (1 - mu[t - 1]) * g[-1] / now
    return h.learning_rate * m_bar / (corrected(squares(g), h.beta2).sqrt() + h.epsilon)


def radam(g: Numbers, h: Any) -> arb:
    t = len(g)
    infinite = 2 / (1 - h.beta2) - 1
    rho = infinite - 2 * t * h.beta2**t / (1 - h.beta2**t)
    if rho <= 5:
        return h.learning_rate * corrected(g, h.beta1)
    r = ((rho - 4) * (rho - 2) * infinite / ((infinite - 4) * (infinite - 2) * rho)).sqrt()
    root = (mean(squares(g), h.beta2).sqrt() + h.epsilon) / (1 - h.beta2**t).sqrt()
    return h.learning_rate * r * corrected(g, h.beta1) / root


def asgd_rate(t: int, h: Any) -> arb:
    return h.learning_rate / (1 + h.decay * h.learning_rate * (t - 1)) ** h.alpha


def rprop(g: Numbers, h: Any) -> arb:
    size, before = h.learning_rate, arb(0)
    for now in g:
        turn = now * before
        if turn > 0:
            size = min(size * h.grow, h.largest)
        if turn < 0:
            size = max(size * h.shrink, h.smallest)
        before = arb(0) if turn < 0 else now
    return before.sgn() * size


PAPERS: dict[str, Callable[[Numbers, Any], arb]] = {
    "vanilla": lambda g, h: h.learning_rate * g[-1],
    "momentum": lambda g, h: h.learning_rate * decaying_sum(g, h.gamma),
    "averaged_momentum": lambda g, h: h.learning_rate * mean(g, h.beta),
    "sgd": sgd,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,
    "amsgrad": amsgrad,
    "adamax": adamax,
    "nadam": nadam,
    "radam": radam,
    "asgd": lambda g, h: asgd_rate(len(g), h) * g[-1],
    "rprop": rprop,
}
STEPS = 24
PRECISION = 256
NARROW = 2.0**-150


def course() -> tuple[Array, Array]:
    """Gradients (24, 3), one entry without a pattern, one that keeps its sign, one that turns and rests, and params."""
    random = np.random.default_rng(61)
    gradients = random.normal(size=(STEPS, 3))
    gradients[:, 1] = np.abs(gradients[:, 1])
    gradients[:, 2] *= np.resize([1, 1, -1, 0, 1], STEPS)
    return gradients, np.array([0.3, -0.7, 1.1])


def by_the_paper(row: Configuration) -> list[list[arb]]:
    """The params of the course after each step. Call it where balls have the precision that is wanted."""
    h = SimpleNamespace(**{n: arb(v) if isinstance(v, float) else v for n, v in complete(row).items()})
    gradients, start = course()
    decay = getattr(h, "weight_decay", arb(0))
    decoupled = row.rule == "adamw" or getattr(h, "decoupled", False)
    columns = []
    for w, column in zip(map(arb, start), gradients.T, strict=True):
        history: list[arb] = []
        after = []
        for raw in column:
            g = -arb(raw) if getattr(h, "maximize", False) else arb(raw)
            history.append(g if decoupled else g + decay * w)
            kept = 1 - h.learning_rate * decay if decoupled else arb(1)
            kept = 1 - h.decay * asgd_rate(len(history), h) if row.rule == "asgd" else kept
            w = kept * w - PAPERS[row.rule](history, h)
            after.append(w)
        columns.append(after)
    return [list(step) for step in zip(*columns, strict=True)]


def on_exact_numbers(
    module: Any, rule: str, settings: dict[str, Any], gradients: Array, start: Array
) -> list[tuple[Any, Any]]:
    """(params, state) of the module's rule after each step, in balls."""
    with on_balls([getattr(module, rule)], PRECISION):
        exact = {n: on_ball(np.float64(v)) if isinstance(v, float) else v for n, v in settings.items()}
        optimizer = getattr(module, rule)(**(_exact_defaults(rule) | exact))
        return list(trajectory(optimizer, on_ball(gradients), on_ball(start)))[1:]


def equal(found: Any, expected: Any) -> bool:
    """Whether two enclosures of numbers of size 1 agree to 45 digits."""
    pairs = list(zip(np.ravel(found._a), np.ravel(expected), strict=True))
    assert all(float(b.rad()) < NARROW for pair in pairs for b in pair)
    return all(a.overlaps(b) for a, b in pairs)


def departure(module: Any, row: Configuration) -> int | None:
    """The first step at which the module's rule leaves the paper's formula; None if it never does."""
    with on_balls([getattr(module, row.rule)], PRECISION):
        found, expected = on_exact_numbers(module, row.rule, complete(row)), by_the_paper(row)
        return next((t for t in range(STEPS) if not equal(found[t][0], expected[t])), None)


@ALL_ROWS
def test_the_rule_is_that_of_the_paper_to_45_digits(row: Configuration) -> None:
    assert departure(optimizers, row) is None
