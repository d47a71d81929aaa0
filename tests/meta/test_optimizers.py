"""Optimizers by hand are pure and elementwise and follow their papers to 45 digits; a mistake in any line shows."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, reduce
from itertools import product
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from flint import arb, ctx

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


# Options that no row of the gate's registry turns on, and bounds that its rows reach after hundreds of steps only.
MORE = [
    _row("sgd", "dampening-alone", learning_rate=0.02, dampening=0.5),
    *(_row(rule, "maximize", learning_rate=1e-4, maximize=True) for rule in ("adamw", "amsgrad", "adamax", "nadam")),
    *(_row(rule, "maximize", learning_rate=1e-4, maximize=True) for rule in ("radam", "asgd")),
    _row("asgd", "averaging-early", learning_rate=0.05, start=3.0),
    _row("rprop", "coarse", learning_rate=1e-4, smallest=5e-5, largest=3e-4),
    _row("rprop", "maximize", learning_rate=1e-5, largest=1e-4, maximize=True),
]
ROWS = [*CONFIGURATIONS, *MORE]
RULES = list(dict.fromkeys(row.rule for row in ROWS))
ALL_ROWS = pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
ALL_RULES = pytest.mark.parametrize("rule", RULES)


def defaults(rule: str) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(getattr(optimizers, rule)).parameters.items()}


def complete(rule: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters of a rule, those that are left at their defaults included."""
    return defaults(rule) | settings


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


@pytest.mark.parametrize("shape", SHAPES[1:])
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


def test_a_state_that_keeps_the_gradient_itself_is_noticed() -> None:
    made = mutant("momentum", "momentum", "+ 1, v)", "+ 1, gradient)")
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


# --- the papers -----------------------------------------------------------------------------------------------------
#
# Each formula once more, on exact numbers, from the whole history of gradients g_1 ... g_t instead of from a state:
# what the step t takes off a weight.

Exact: TypeAlias = Any
"""An arb; its operators are not typed."""
Numbers = Sequence[Exact]


def mean(values: Numbers, beta: Exact) -> Exact:
    """The exponential average, (1 - β) Σ β^(t-i) v_i."""
    return (1 - beta) * decaying_sum(values, beta)


def decaying_sum(values: Numbers, beta: Exact) -> Exact:
    return sum((beta ** (len(values) - 1 - i) * v for i, v in enumerate(values)), arb(0))


def squares(values: Numbers) -> list[Exact]:
    return [v * v for v in values]


def corrected(values: Numbers, beta: Exact) -> Exact:
    """Kingma and Ba, section 3: the average over an infinite past divided by the weight of the past there is."""
    return mean(values, beta) / (1 - beta ** len(values))


def prefixes(values: Numbers) -> list[Numbers]:
    return [values[:t] for t in range(1, len(values) + 1)]


def sgd(g: Numbers, h: Any) -> Exact:
    damped = [v if i == 0 else (1 - h.dampening) * v for i, v in enumerate(g)]
    velocity = decaying_sum(damped, h.momentum) if h.momentum != 0 else g[-1]
    return h.learning_rate * (g[-1] + h.momentum * velocity if h.nesterov else velocity)


def adagrad(g: Numbers, h: Any) -> Exact:
    rate = h.learning_rate / (1 + (len(g) - 1) * h.learning_rate_decay)
    return rate * g[-1] / (sum(squares(g), h.initial_sum).sqrt() + h.epsilon)


def adadelta(g: Numbers, h: Any) -> Exact:
    taken: list[Exact] = []
    for past in prefixes(g):
        rms_taken, rms_gradient = ((mean(squares(v), h.rho) + h.epsilon).sqrt() for v in (taken, past))
        taken.append(rms_taken / rms_gradient * past[-1])
    return h.learning_rate * taken[-1]


def rmsprop(g: Numbers, h: Any) -> Exact:
    def step(past: Numbers) -> Exact:
        variance = mean(squares(past), h.alpha) - (mean(past, h.alpha) ** 2 if h.centered else 0)
        return past[-1] / (variance.sqrt() + h.epsilon)

    return h.learning_rate * decaying_sum([step(past) for past in prefixes(g)], h.momentum)


def adam(g: Numbers, h: Any) -> Exact:
    return h.learning_rate * corrected(g, h.beta1) / (corrected(squares(g), h.beta2).sqrt() + h.epsilon)


def amsgrad(g: Numbers, h: Any) -> Exact:
    largest = reduce(arb.max, (mean(squares(past), h.beta2) for past in prefixes(g)))
    return h.learning_rate * corrected(g, h.beta1) / ((largest / (1 - h.beta2 ** len(g))).sqrt() + h.epsilon)


def adamax(g: Numbers, h: Any) -> Exact:
    sizes = [h.beta2 ** (len(g) - 1 - i) * (abs(v) + h.epsilon) for i, v in enumerate(g)]
    return h.learning_rate * corrected(g, h.beta1) / reduce(arb.max, sizes)


def nadam(g: Numbers, h: Any) -> Exact:
    t = len(g)
    mu = [h.beta1 * (1 - arb("0.96") ** (i * h.momentum_decay) / 2) for i in range(1, t + 2)]
    now, following = 1 - reduce(arb.__mul__, mu[:t]), 1 - reduce(arb.__mul__, mu)
    m_bar = mu[t] * mean(g, h.beta1) / following + (1 - mu[t - 1]) * g[-1] / now
    return h.learning_rate * m_bar / (corrected(squares(g), h.beta2).sqrt() + h.epsilon)


def radam(g: Numbers, h: Any) -> Exact:
    t = len(g)
    infinite = 2 / (1 - h.beta2) - 1
    rho = infinite - 2 * t * h.beta2**t / (1 - h.beta2**t)
    if rho <= 5:
        return h.learning_rate * corrected(g, h.beta1)
    r = ((rho - 4) * (rho - 2) * infinite / ((infinite - 4) * (infinite - 2) * rho)).sqrt()
    root = (mean(squares(g), h.beta2).sqrt() + h.epsilon) / (1 - h.beta2**t).sqrt()
    return h.learning_rate * r * corrected(g, h.beta1) / root


def asgd_rate(t: int, h: Any) -> Exact:
    return h.learning_rate / (1 + h.decay * h.learning_rate * (t - 1)) ** h.alpha


def rprop(g: Numbers, h: Any) -> Exact:
    size, before = h.learning_rate, arb(0)
    for now in g:
        turn = now * before
        if turn > 0:
            size = min(size * h.grow, h.largest)
        if turn < 0:
            size = max(size * h.shrink, h.smallest)
        before = arb(0) if turn < 0 else now
    return before.sgn() * size


PAPERS: dict[str, Callable[[Numbers, Any], Exact]] = {
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
STEPS = 12
PRECISION = 256
NARROW = 2.0**-150


def course() -> tuple[Array, Array]:
    """Gradients (12, 3), one entry without a pattern, one that keeps its sign, one that turns and rests, and params."""
    random = np.random.default_rng(61)
    gradients = random.normal(size=(STEPS, 3))
    gradients[:, 1] = np.abs(gradients[:, 1])
    gradients[:, 2] *= np.resize([1, 1, -1, 0, 1], STEPS)
    return gradients, np.array([0.3, -0.7, 1.1])


@cache
def by_the_paper(row: Configuration) -> list[list[arb]]:
    """The params of the course after each step."""
    with ctx.workprec(PRECISION):
        return _by_the_paper(row)


def _by_the_paper(row: Configuration) -> list[list[arb]]:
    settings = complete(row.rule, row.hyperparameters)
    h = SimpleNamespace(**{n: arb(v) if isinstance(v, float) else v for n, v in settings.items()})
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
    rule: str, settings: dict[str, Any], gradients: Array, start: Array, module: Any = optimizers
) -> list[tuple[Any, Any]]:
    """(params, state) of the module's rule before any step and after each, in balls."""
    with on_balls([getattr(module, rule)], PRECISION):
        options = complete(rule, settings).items()
        optimizer = getattr(module, rule)(**{n: on_ball(v) if isinstance(v, float) else v for n, v in options})
        return list(trajectory(optimizer, on_ball(gradients), on_ball(start)))


def equal(found: Any, expected: Any) -> bool:
    """Whether balls and enclosures, of numbers of size 1 at most, agree to 45 digits."""
    pairs = list(zip(np.ravel(getattr(found, "_a", found)), np.ravel(getattr(expected, "_a", expected)), strict=True))
    assert all(float(b.rad()) < NARROW for pair in pairs for b in pair)
    return all(a.overlaps(b) for a, b in pairs)


def departure(row: Configuration, module: Any = optimizers) -> int | None:
    """The first step at which the module's rule leaves the paper's formula; None if it never does."""
    found, expected = on_exact_numbers(row.rule, row.hyperparameters, *course(), module), by_the_paper(row)
    return next((t for t in range(1, STEPS + 1) if not _follows(row, found[t], expected[:t])), None)


def _follows(row: Configuration, found: tuple[Any, Any], expected: list[list[arb]]) -> bool:
    params, state = found
    if row.rule != "asgd":
        return equal(params, expected[-1])
    # Its average moves no weight: the mean of the params from the second after the start, or else the last ones.
    first = min(len(expected), int(complete("asgd", row.hyperparameters)["start"]) + 2)
    with ctx.workprec(PRECISION):
        average = [sum(ws, arb(0)) / len(ws) for ws in zip(*expected[first - 1 :], strict=True)]
    return equal(params, expected[-1]) and equal(state.average, average)


@ALL_ROWS
def test_the_rule_is_that_of_the_paper_to_45_digits(row: Configuration) -> None:
    assert departure(row) is None


class Fact(NamedTuple):
    """What a rule takes off a weight in step t when the gradient is g all the time."""

    id: str
    rule: str
    settings: dict[str, Any]
    taken: Callable[[int, Any, arb], Exact]
    steps: int = 8


FACTS = [
    Fact(
        "momentum-is-a-geometric-sum",
        "momentum",
        {"gamma": 0.9},
        lambda t, h, g: h.learning_rate * g * (1 - h.gamma**t) / (1 - h.gamma),
    ),
    Fact("averaged_momentum-fills-up", "averaged_momentum", {}, lambda t, h, g: h.learning_rate * g * (1 - h.beta**t)),
    Fact(
        "sgd-starts-at-the-undamped-gradient",
        "sgd",
        {"momentum": 0.9, "dampening": 0.5},
        lambda t, h, g: (
            h.learning_rate * g * (h.momentum ** (t - 1) + (1 - h.momentum ** (t - 1)) / (1 - h.momentum) / 2)
        ),
    ),
    Fact(
        "nesterov-is-one-step-ahead",
        "sgd",
        {"momentum": 0.9, "nesterov": True},
        lambda t, h, g: h.learning_rate * g * (1 - h.momentum ** (t + 1)) / (1 - h.momentum),
    ),
    Fact(
        "adagrad-slows-down-with-the-root-of-t",
        "adagrad",
        {"epsilon": 0.0},
        lambda t, h, g: h.learning_rate * g.sgn() / arb(t).sqrt(),
    ),
    Fact(
        "adadelta-starts-with-the-root-of-epsilon",
        "adadelta",
        {},
        lambda t, h, g: (h.epsilon / ((1 - h.rho) * g * g + h.epsilon)).sqrt() * g,
        steps=1,
    ),
    Fact(
        "rmsprop-slows-down-to-the-rate",
        "rmsprop",
        {},
        lambda t, h, g: h.learning_rate * g / (abs(g) * (1 - h.alpha**t).sqrt() + h.epsilon),
    ),
    *(
        Fact(f"{rule}-moves-by-the-rate", rule, {"epsilon": 0.0}, lambda t, h, g: h.learning_rate * g.sgn())
        for rule in ("adam", "amsgrad", "adamax")
    ),
    *(
        Fact(
            f"{rule}-moves-by-less-than-the-rate-for-epsilon",
            rule,
            {"epsilon": 0.5},
            lambda t, h, g: h.learning_rate * g / (abs(g) + h.epsilon),
        )
        for rule in ("adam", "amsgrad", "adamax")
    ),
    Fact("radam-starts-with-five-steps-of-sgd", "radam", {}, lambda t, h, g: h.learning_rate * g, steps=5),
    Fact("asgd-without-decay-is-sgd", "asgd", {"decay": 0.0}, lambda t, h, g: h.learning_rate * g),
    Fact(
        "rprop-grows-to-the-largest",
        "rprop",
        {"largest": 0.03},
        lambda t, h, g: g.sgn() * min(h.learning_rate * h.grow ** (t - 1), h.largest),
    ),
]


@pytest.mark.parametrize("g", [0.7, -0.7])
@pytest.mark.parametrize("fact", [pytest.param(fact, id=fact.id) for fact in FACTS])
def test_a_constant_gradient_gives_the_steps_that_theory_says(fact: Fact, g: float) -> None:
    found = on_exact_numbers(fact.rule, fact.settings, np.full(fact.steps, g), np.array(0.3))
    options = complete(fact.rule, fact.settings).items()
    h = SimpleNamespace(**{n: arb(v) if isinstance(v, float) else v for n, v in options})
    with ctx.workprec(PRECISION):
        for t in range(1, fact.steps + 1):
            assert equal(found[t - 1][0] - found[t][0], fact.taken(t, h, arb(g)))


def test_rprop_rests_where_the_sign_turns_and_goes_on_with_half_the_step() -> None:
    optimizer = optimizers.rprop(learning_rate=0.25, grow=2.0, smallest=0.03125, largest=0.5)
    gradients = np.array([3.0, 1.0, -2.0, -5.0, 4.0, 4.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    places, states = zip(*trajectory(optimizer, gradients, np.array(0.0)), strict=True)
    np.testing.assert_array_equal(-np.diff(places), [0.25, 0.5, 0, -0.25, 0, 0.125, 0, 0.0625, 0, 0.03125, 0])
    np.testing.assert_array_equal([s.previous for s in states], [0, 3, 1, 0, -5, 0, 4, 0, 1, 0, 1, 0])


class Relation(NamedTuple):
    """Two ways to write one rule, or not."""

    id: str
    first: tuple[str, dict[str, Any]]
    second: tuple[str, dict[str, Any]]
    departs_at: int | None = None


RELATIONS = [
    Relation("vanilla-is-sgd", ("vanilla", {"learning_rate": 0.3}), ("sgd", {"learning_rate": 0.3})),
    Relation(
        "momentum-is-sgd-with-momentum",
        ("momentum", {"learning_rate": 0.3, "gamma": 0.7}),
        ("sgd", {"learning_rate": 0.3, "momentum": 0.7}),
    ),
    Relation(
        "averaged_momentum-is-momentum-at-a-lower-rate",
        ("averaged_momentum", {"learning_rate": 0.5, "beta": 0.75}),
        ("momentum", {"learning_rate": 0.125, "gamma": 0.75}),
    ),
    Relation(
        "averaged_momentum-is-not-sgd-with-dampening",
        ("averaged_momentum", {"learning_rate": 0.5, "beta": 0.75}),
        ("sgd", {"learning_rate": 0.5, "momentum": 0.75, "dampening": 0.75}),
        departs_at=1,
    ),
    Relation("dampening-counts-for-nothing-without-momentum", ("sgd", {"dampening": 0.5}), ("sgd", {"dampening": 0.0})),
    Relation("adamw-is-adam-decoupled", ("adamw", {}), ("adam", {"weight_decay": 0.01, "decoupled": True})),
    Relation("adamw-is-not-adam-with-decay", ("adamw", {}), ("adam", {"weight_decay": 0.01}), departs_at=1),
    Relation(
        "no-decay-needs-no-decoupling",
        ("adam", {"decoupled": True}),
        ("adam", {"decoupled": False}),
    ),
    # The second gradient of the course is so small that v falls.
    Relation("amsgrad-is-not-adam", ("amsgrad", {"beta2": 0.5}), ("adam", {"beta2": 0.5}), departs_at=2),
]


@pytest.mark.parametrize("relation", [pytest.param(r, id=r.id) for r in RELATIONS])
def test_relations_between_rules_hold_to_45_digits(relation: Relation) -> None:
    first, second = (on_exact_numbers(*rule, *course()) for rule in (relation.first, relation.second))
    apart = (t for t in range(STEPS + 1) if not equal(first[t][0], second[t][0]))
    assert next(apart, None) == relation.departs_at


def test_the_velocity_of_momentum_is_that_of_sgd_times_the_rate() -> None:
    rate = 0.3
    heavy = on_exact_numbers("momentum", {"learning_rate": rate, "gamma": 0.7}, *course())
    plain = on_exact_numbers("sgd", {"learning_rate": rate, "momentum": 0.7}, *course())
    with ctx.workprec(PRECISION):
        for (_, mine), (_, theirs) in zip(heavy, plain, strict=True):
            assert equal(mine.v, theirs.v * lift(rate))


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS if "maximize" in defaults(row.rule)])
def test_to_maximize_is_to_descend_along_the_other_sign_bit_for_bit(row: Configuration) -> None:
    make = getattr(optimizers, row.rule)
    up, down = (make(**(row.hyperparameters | {"maximize": on})) for on in (True, False))
    gradients, start = course()
    for one, other in zip(trajectory(up, gradients, start), trajectory(down, -gradients, start), strict=True):
        assert bits(one) == bits(other)


# --- hyperparameters ------------------------------------------------------------------------------------------------

RANGES: dict[str, tuple[float, float | None]] = {
    "learning_rate": (0, None),
    "weight_decay": (0, None),
    "momentum": (0, None),
    "gamma": (0, 1),
    "beta": (0, 1),
    "rho": (0, 1),
    "beta1": (0, 1),
    "beta2": (0, 1),
    "epsilon": (0, None),
    "learning_rate_decay": (0, None),
    "initial_sum": (0, None),
    "momentum_decay": (0, None),
    "decay": (0, None),
    "shrink": (0, 1),
    "grow": (1, None),
    "smallest": (0, None),
}
ANY_NUMBER = {"dampening", "start", "largest"}  # as in torch


def bounds(rule: str) -> dict[str, tuple[float, float | None]]:
    numbers = {n for n, value in defaults(rule).items() if not isinstance(value, bool)}
    alpha: tuple[float, float | None] = (0, None) if rule == "asgd" else (0, 1)
    return {n: (RANGES | {"alpha": alpha})[n] for n in sorted(numbers - ANY_NUMBER)}


BOUNDS = [(rule, name, *bounds(rule)[name]) for rule in RULES for name in bounds(rule)]


@pytest.mark.parametrize(
    ("rule", "name", "low", "high"), [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in BOUNDS]
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(rule: str, name: str, low: float, high: float | None) -> None:
    make = getattr(optimizers, rule)
    make(**{name: low})
    end = "" if high is None else f" and below {high}"
    for bad in (low - 0.5, np.nan, *([] if high is None else [high, high + 0.5])):
        message = f"{name}: expected a number of at least {low}{end}, got {bad}; pass one in that range"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            make(**{name: bad})


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_and_no_dampening(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"nesterov: expected a momentum above 0 and no dampening; set them, or leave"):
        optimizers.sgd(**settings, nesterov=True)


# --- planted mistakes -----------------------------------------------------------------------------------------------

SAMPLES = 24
"""Enough for every mistake below; the gate itself takes all 506."""
ShortGate = Callable[[Any], None]


def first_samples() -> list[Array]:
    return [part[:SAMPLES] for part in housing()]


@pytest.fixture
def short_gate(monkeypatch: pytest.MonkeyPatch) -> ShortGate:
    """The gate's own tests on another module of rules: against torch alone, on the first samples, nothing cached."""

    def prepare(module: Any) -> None:
        for place in (configurations, trajectories):
            monkeypatch.setattr(place, "optimizers", module)
        for place in (gate, trajectories):
            monkeypatch.setattr(place, "housing", first_samples)
            monkeypatch.setattr(place, "initial_weights", few_weights)
            for name in ("steps", "free_running", "allowed_drift", "exact"):
                monkeypatch.setattr(place, name, uncached[name])
        monkeypatch.setattr(gate, "FRAMEWORKS", ("torch_optim",))
        monkeypatch.setattr(gate, "rerun", lambda request: "")

    initial_weights = trajectories.initial_weights
    uncached = {n: getattr(trajectories, n).__wrapped__ for n in ("steps", "free_running", "allowed_drift", "exact")}

    def few_weights(seed: int) -> Array:
        return initial_weights(seed, 4)

    return prepare


BLOWN_UP = "w: expected finite numbers"


def complaint(test: Callable[..., None], row: Configuration) -> str:
    """What the gate's own test says when it fails; nothing if it passes."""
    request = SimpleNamespace(node=SimpleNamespace(user_properties=[]))
    try:
        test(replace(row, epochs=1), 0, request)
    except (pytest.fail.Exception, AssertionError) as failure:
        return str(failure)
    except ValueError as error:
        if not str(error).startswith(BLOWN_UP):
            raise
        return str(error)
    return ""


def mutant(rule: str, function: str, line: str, becomes: str) -> ModuleType:
    """A copy of the module without other rules, in which a text that occurs once in one function reads differently."""
    whole = inspect.getsource(getattr(optimizers, function))
    assert whole.count(line) == 1, f"{line!r} is there {whole.count(line)} times"
    source = inspect.getsource(optimizers).replace(whole, whole.replace(line, becomes))
    for other in {*RULES} - {rule} - names(rule):  # the less there is to compile and to rewrite for balls, the better
        source = source.replace(inspect.getsource(getattr(optimizers, other)), "")
    module, file = ModuleType("mutant"), f"<{rule} with {becomes!r}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)  # where balls look for the source
    exec(compile(source, file, "exec"), vars(module))
    return module


@cache
def names(function: str) -> frozenset[str]:
    """Everything that a function of the module names."""
    return frozenset(
        n.id for n in ast.walk(ast.parse(inspect.getsource(getattr(optimizers, function)))) if isinstance(n, ast.Name)
    )


def rows_of(rule: str) -> list[Configuration]:
    return [row for row in ROWS if row.rule == rule]


@ALL_ROWS
def test_the_rules_themselves_pass_the_short_gate(row: Configuration, short_gate: ShortGate) -> None:
    short_gate(optimizers)
    assert complaint(gate.test_lockstep, row) == ""


ADAM_RATE = [
    ("no-correction-of-m", "learning_rate / (1 - beta1**t)", "learning_rate"),
    ("correction-of-m-without-t", "learning_rate / (1 - beta1**t)", "learning_rate / (1 - beta1)"),
    ("correction-of-m-one-ahead", "learning_rate / (1 - beta1**t)", "learning_rate / (1 - beta1 ** (t + 1))"),
]
ADAM_STEP = [
    ("epsilon-under-the-root", "np.sqrt(v_hat) + epsilon", "np.sqrt(v_hat + epsilon)"),
    ("no-root", "np.sqrt(v_hat) + epsilon", "v_hat + epsilon"),
    ("gradient-for-m", "w - rate * m", "w - rate * g"),
    ("params-not-decayed", "w - rate * m", "params - rate * m"),
]
DECAY = ("no-decay", "params, weight_decay, maximize", "params, 0, maximize")
DESCENT = ("no-maximizing", "weight_decay, maximize", "weight_decay, False")
DECOUPLING = ("never-decoupled", "maximize, decoupled", "maximize, False")
MOMENTS = [
    ("betas-exchanged", "beta1, beta2)\n", "beta2, beta1)\n"),
    ("raw-gradient-in-the-moments", "_moments(g,", "_moments(gradient,"),
]
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "vanilla": [
        ("ascent", "params - learning_rate", "params + learning_rate"),
        ("no-rate", "learning_rate * gradient", "gradient"),
        ("rate-off-by-1e-10", "learning_rate * gradient", "learning_rate * (1 + 1e-10) * gradient"),
    ],
    "momentum": [
        ("no-rate", "+ learning_rate * gradient", "+ gradient"),
        ("averaging", "+ learning_rate * gradient", "+ (1 - gamma) * learning_rate * gradient"),
        ("no-memory", "gamma * state.v + ", ""),
        ("rate-twice", "params - v", "params - learning_rate * v"),
        ("velocity-not-kept", "+ 1, v)", "+ 1, state.v)"),
        ("starts-moving", "(_resting,", "(lambda params: Velocity(0, _filled(params, 0.1)),"),
    ],
    "averaged_momentum": [
        ("sum", "(1 - beta) * gradient", "gradient"),
        ("weights-exchanged", "beta * state.v + (1 - beta)", "(1 - beta) * state.v + beta"),
        ("no-rate", "learning_rate * v", "v"),
        ("velocity-not-kept", "+ 1, v)", "+ 1, gradient)"),
        ("starts-moving", "(_resting,", "(lambda params: Velocity(0, _filled(params, 0.1)),"),
    ],
    "sgd": [
        DECAY,
        DESCENT,
        ("first-velocity-damped", "state.step == 0 or momentum == 0", "momentum == 0"),
        ("dampening-without-momentum", "state.step == 0 or momentum == 0", "state.step == 0"),
        ("no-dampening", "(1 - dampening) * g", "g"),
        ("dampening-for-its-complement", "(1 - dampening) * g", "dampening * g"),
        ("no-momentum", "momentum * state.v", "state.v"),
        ("nesterov-with-old-velocity", "g + momentum * v", "g + momentum * state.v"),
        ("nesterov-without-gradient", "g + momentum * v", "momentum * v"),
        ("nesterov-ignored", "if nesterov else v\n", "if False else v\n"),
        ("ascent", "params - learning_rate", "params + learning_rate"),
        ("no-rate", "learning_rate * direction", "direction"),
        ("direction-kept", "+ 1, v)", "+ 1, direction)"),
    ],
    "adagrad": [
        DECAY,
        DESCENT,
        ("mean-for-sum", "state.sum + g * g", "0.9 * state.sum + 0.1 * g * g"),
        ("maximum-for-sum", "state.sum + g * g", "np.maximum(state.sum, g * g)"),
        ("sum-of-gradients", "state.sum + g * g", "state.sum + np.abs(g)"),
        ("rate-decays-at-once", "state.step * learning_rate_decay", "(state.step + 1) * learning_rate_decay"),
        ("rate-does-not-decay", "rate = learning_rate / (1 +", "rate = learning_rate  # (1 +"),
        ("epsilon-under-the-root", "np.sqrt(total) + epsilon", "np.sqrt(total + epsilon)"),
        ("root-of-the-root", "np.sqrt(total) + epsilon", "np.sqrt(np.sqrt(total)) + epsilon"),
        ("sum-not-kept", "+ 1, total)", "+ 1, state.sum)"),
    ],
    "adadelta": [
        DECAY,
        DESCENT,
        ("sum-for-mean", "(1 - rho) * (g * g)", "g * g"),
        ("weights-exchanged", "rho * state.v + (1 - rho)", "(1 - rho) * state.v + rho"),
        ("epsilon-outside-above", "np.sqrt(state.delta + epsilon)", "(np.sqrt(state.delta) + epsilon)"),
        ("epsilon-outside-below", "np.sqrt(v + epsilon)", "(np.sqrt(v) + epsilon)"),
        ("old-mean-below", "np.sqrt(v + epsilon)", "np.sqrt(state.v + epsilon)"),
        ("sign-of-the-gradient", "np.sqrt(v + epsilon) * g", "np.sqrt(v + epsilon) * np.sign(g)"),
        ("rate-in-the-mean", "(1 - rho) * (d * d)", "(1 - rho) * (learning_rate * d) ** 2"),
        ("gradient-in-the-mean", "(1 - rho) * (d * d)", "(1 - rho) * (g * g)"),
        ("no-rate", "learning_rate * d", "d"),
        ("means-exchanged", "+ 1, v, delta)", "+ 1, delta, v)"),
    ],
    "rmsprop": [
        DECAY,
        DESCENT,
        ("sum-for-mean", "(1 - alpha) * (g * g)", "g * g"),
        ("weights-exchanged", "alpha * state.v + (1 - alpha)", "(1 - alpha) * state.v + alpha"),
        ("mean-of-the-sizes", "(1 - alpha) * g if", "(1 - alpha) * np.abs(g) if"),
        ("never-centered", "spread = v - mean * mean if centered else v", "spread = v"),
        ("centered-on-the-old-mean", "v - mean * mean", "v - state.mean * state.mean"),
        ("epsilon-under-the-root", "np.sqrt(spread) + epsilon", "np.sqrt(spread + epsilon)"),
        ("momentum-averages", "+ g / (np", "+ (1 - momentum) * g / (np"),
        ("no-momentum", "momentum * state.velocity + ", ""),
        ("no-rate", "learning_rate * velocity", "velocity"),
        ("mean-not-kept", "v, mean, velocity)", "v, state.mean, velocity)"),
    ],
    "adam": [
        DECAY,
        DESCENT,
        DECOUPLING,
        *MOMENTS,
        ("no-correction-of-v", "v / (1 - beta2**t)", "v"),
        ("correction-of-v-without-t", "v / (1 - beta2**t)", "v / (1 - beta2)"),
        ("correction-of-v-by-beta1", "v / (1 - beta2**t)", "v / (1 - beta1**t)"),
        *ADAM_RATE,
        *ADAM_STEP,
        ("m-not-kept", "Moments(t, m, v)\n", "Moments(t, g, v)\n"),
        ("v-not-kept", "Moments(t, m, v)\n", "Moments(t, m, g * g)\n"),
    ],
    "adamw": [
        ("coupled", "decoupled=True", "decoupled=False"),
        ("no-decay", "weight_decay, maximize, decoupled", "0, maximize, decoupled"),
        ("no-maximizing", "maximize, decoupled", "False, decoupled"),
        ("betas-exchanged", "beta1, beta2, epsilon, weight_decay, m", "beta2, beta1, epsilon, weight_decay, m"),
    ],
    "amsgrad": [
        DECAY,
        DESCENT,
        DECOUPLING,
        *MOMENTS,
        ("no-maximum", "np.maximum(state.v_max, v)", "v"),
        ("maximum-with-the-last", "np.maximum(state.v_max, v)", "np.maximum(state.v, v)"),
        ("no-correction-of-v", "v_max / (1 - beta2**t)", "v_max"),
        (
            "corrected-before-the-maximum",
            "v_max = np.maximum(state.v_max, v)",
            "v_max = np.maximum(state.v_max, v / (1 - beta2**t)) * (1 - beta2**t)",
        ),
        *ADAM_RATE,
        *ADAM_STEP,
        ("maximum-in-the-mean", "(t, m, v, v_max)", "(t, m, v_max, v_max)"),
    ],
    "adamax": [
        DECAY,
        DESCENT,
        ("counts-from-2", "t = state.step + 1", "t = state.step + 2"),
        ("sum-for-mean", "(1 - beta1) * g", "g"),
        ("half-an-epsilon", "np.abs(g) + epsilon", "np.abs(g) + epsilon / 2"),
        ("epsilon-after-the-maximum", "np.abs(g) + epsilon)", "np.abs(g)) + epsilon"),
        ("maximum-forgets-nothing", "beta2 * state.u", "state.u"),
        (
            "mean-for-maximum",
            "np.maximum(beta2 * state.u, np.abs(g) + epsilon)",
            "beta2 * state.u + (1 - beta2) * np.abs(g) + epsilon",
        ),
        ("no-correction", "learning_rate / (1 - beta1**t)", "learning_rate"),
        ("epsilon-twice", "m / u", "m / (u + epsilon)"),
        ("maximum-decays-twice", "(t, m, u)", "(t, m, beta2 * u)"),
    ],
    "nadam": [
        DECAY,
        DESCENT,
        DECOUPLING,
        *MOMENTS,
        ("schedule-without-psi", "t * momentum_decay", "t"),
        ("other-base", "0.96 **", "0.95 **"),
        ("schedule-without-half", "0.5 * fading", "fading"),
        ("no-product", "state.product * mu(t)", "mu(t)"),
        ("product-as-a-power", "state.product * mu(t)", "mu(t) ** t"),
        ("mean-without-look-ahead", "mu(t + 1) / (1 - product * mu(t + 1))", "mu(t) / (1 - product)"),
        ("mean-corrected-for-now", "mu(t + 1) / (1 - product * mu(t + 1))", "mu(t + 1) / (1 - product)"),
        ("gradient-at-a-constant", "(1 - mu(t)) / (1 - product)", "(1 - beta1) / (1 - product)"),
        ("gradient-corrected-ahead", "(1 - mu(t)) / (1 - product)", "(1 - mu(t)) / (1 - product * mu(t + 1))"),
        ("epsilon-under-the-root", "np.sqrt(v / (1 - beta2**t)) + epsilon", "np.sqrt(v / (1 - beta2**t) + epsilon)"),
        ("no-correction-of-v", "np.sqrt(v / (1 - beta2**t))", "np.sqrt(v)"),
        ("gradient-for-mean", "from_mean * m", "from_mean * g"),
        ("mean-for-gradient", "from_gradient * g", "from_gradient * m"),
        ("params-not-decayed", "w - step", "params - step"),
        ("product-not-kept", "v, product)", "v, state.product)"),
    ],
    "radam": [
        DECAY,
        DESCENT,
        DECOUPLING,
        *MOMENTS,
        ("no-correction-of-m", "m / (1 - beta1**t)", "m"),
        ("limit-off-by-one", "2 / (1 - beta2) - 1", "2 / (1 - beta2)"),
        ("rho-without-2", "2 * t * beta2**t", "t * beta2**t"),
        ("rho-without-correction", "2 * t * beta2**t / (1 - beta2**t)", "2 * t * beta2**t"),
        ("rectified-from-4", "rho <= 5", "rho <= 4"),
        ("warm-up-by-m", "return w - learning_rate * m_hat, Mo", "return w - learning_rate * m, Mo"),
        ("warm-up-not-decayed", "return w - learning_rate * m_hat, Mo", "return params - learning_rate * m_hat, Mo"),
        ("r-squared", "** 0.5\n        adaptive", "** 1.0\n        adaptive"),
        ("r-of-the-limit", "(rho - 4) * (rho - 2) * limit", "(rho - 4) * (rho - 2) * rho"),
        ("no-correction-of-v", "(1 - beta2**t) ** 0.5 / (np", "1 / (np"),
        (
            "epsilon-beside-the-corrected-root",
            "(1 - beta2**t) ** 0.5 / (np.sqrt(v) + epsilon)",
            "1 / (np.sqrt(v / (1 - beta2**t)) + epsilon)",
        ),
        ("not-rectified", "m_hat * adaptive * r", "m_hat * adaptive"),
        ("not-adaptive", "m_hat * adaptive * r", "m_hat * r"),
    ],
    "asgd": [
        DECAY,
        DESCENT,
        ("counts-from-2", "t = state.step + 1", "t = state.step + 2"),
        ("decay-by-the-first-rate", "decay * state.eta", "decay * learning_rate"),
        ("params-keep-their-size", "params * (1 - decay * state.eta)", "params"),
        ("step-by-the-first-rate", "state.eta * g", "learning_rate * g"),
        ("average-never", "average = +w if", "average = +w if True or"),
        ("average-of-the-whole", "(w - state.average) * state.mu", "w * state.mu"),
        ("rate-without-eta", "decay * learning_rate * t", "decay * t"),
        ("rate-without-alpha", ") ** alpha", ")"),
        ("average-late", "t - start", "t - 1 - start"),
        ("average-from-the-first", "1 / max(1, t - start)", "1 / max(1, t)"),
        ("rate-not-kept", "(t, eta,", "(t, state.eta,"),
    ],
    "rprop": [
        ("no-maximizing", "-gradient if maximize", "gradient if maximize"),
        ("agreement-of-signs-lost", "g * state.previous", "np.abs(g * state.previous)"),
        (
            "factors-exchanged",
            "grow, np.where(agreement < 0, shrink, 1.0)",
            "shrink, np.where(agreement < 0, grow, 1.0)",
        ),
        ("no-shrinking", "agreement < 0, shrink, 1.0", "agreement < 0, 1.0, 1.0"),
        ("grows-at-rest", "shrink, 1.0)", "shrink, grow)"),
        ("no-largest", "smallest, largest)", "smallest, None)"),
        ("no-smallest", "smallest, largest)", "0.0, largest)"),
        ("steps-where-the-sign-turns", "np.where(agreement < 0, 0.0, g)", "g"),
        ("step-by-the-gradient", "np.sign(followed) * size", "followed * size"),
        ("step-of-the-last-size", "np.sign(followed) * size", "np.sign(followed) * state.size"),
        ("turned-gradient-kept", "+ 1, followed", "+ 1, g"),
        ("size-not-kept", "followed, size)", "followed, state.size)"),
    ],
}
SHARED: dict[str, list[tuple[str, str, str]]] = {
    "_coupled": [
        ("maximizing-descends", "-gradient if maximize", "gradient if maximize"),
        ("decay-of-the-other-sign", "g + weight_decay", "g - weight_decay"),
        ("decay-of-nothing", "weight_decay * params if", "weight_decay if"),
    ],
    "_decayed": [
        ("decay-without-rate", "1 - learning_rate * weight_decay", "1 - weight_decay"),
        ("decay-that-grows", "1 - learning_rate * weight_decay", "1 + learning_rate * weight_decay"),
        ("both-decays", "params, 0, maximize", "params, weight_decay, maximize"),
        (
            "decay-with-the-rate",
            "params, weight_decay, maximize)\n",
            "params, learning_rate * weight_decay, maximize)\n",
        ),
    ],
    "_moments": [
        ("m-is-a-sum", "(1 - beta1) * g", "g"),
        ("m-with-beta2", "beta1 * state.m", "beta2 * state.m"),
        ("v-is-a-sum", "(1 - beta2) * (g * g)", "g * g"),
        ("v-of-m", "(1 - beta2) * (g * g)", "(1 - beta2) * (m * m)"),
        ("v-of-the-size", "(1 - beta2) * (g * g)", "(1 - beta2) * np.abs(g)"),
        ("counts-from-2", "state.step + 1", "state.step + 2"),
    ],
}


def calls(rule: str, helper: str) -> bool:
    """Whether a rule calls a shared function, itself or through others."""
    called = names(rule) & {*RULES, *SHARED}
    return helper in called or any(calls(other, helper) for other in called - {rule})


UNREACHED = {("adamw", name) for name in ("decay-of-the-other-sign", "decay-of-nothing", "decay-with-the-rate")}
"""AdamW never couples its decay."""
PLANTED = [
    *((rule, rule, *mistake) for rule in RULES for mistake in MISTAKES[rule]),
    *(
        (rule, helper, *mistake)
        for helper, rule in product(SHARED, RULES)
        if calls(rule, helper)
        for mistake in SHARED[helper]
        if (rule, mistake[0]) not in UNREACHED
    ),
]


@pytest.mark.parametrize(
    ("rule", "function", "line", "becomes"), [pytest.param(p[0], p[1], *p[3:], id=f"{p[0]}-{p[2]}") for p in PLANTED]
)
def test_a_mistake_in_any_line_is_refused_by_the_paper_and_by_lockstep(
    rule: str, function: str, line: str, becomes: str, short_gate: ShortGate
) -> None:
    module = mutant(rule, function, line, becomes)
    short_gate(module)
    with np.errstate(all="ignore"):  # wrong rules may blow up
        departing = (row for row in rows_of(rule) if departure(row, module))
        said = next(filter(None, (complaint(gate.test_lockstep, row) for row in departing)), "")
    reasons = rf"{rule}\S* (departs from torch_optim in \d+ entries of|does not count its steps) "
    assert said.startswith(BLOWN_UP) or re.match(reasons, said)


# For most rules the count stands in no other line, and for some it enters no formula.
MISCOUNTS = [
    *((rule, rule, "state.step + 1", "state.step") for rule in ("vanilla", "momentum", "averaged_momentum", "sgd")),
    *((rule, rule, "state.step + 1", "state.step + 2") for rule in ("adagrad", "adadelta", "rmsprop", "rprop")),
    ("vanilla", "vanilla", "Steps(0)", "Steps(1)"),
    ("sgd", "_resting", "Velocity(0,", "Velocity(1,"),
    ("sgd", "sgd", "(_resting,", "(lambda w: Velocity(1, _filled(w)),"),
    ("adam", "_motionless", "Moments(0,", "Moments(1,"),
    ("adam", "adam", "(_motionless,", "(lambda w: Moments(1, _filled(w), _filled(w)),"),
    ("adam", "adam", "Moments(t, m, v)\n", "Moments(t + 1, m, v)\n"),
    ("amsgrad", "amsgrad", "MaximumMoments(0,", "MaximumMoments(1,"),
    ("adamax", "adamax", "InfinityMoments(0,", "InfinityMoments(1,"),
    ("nadam", "nadam", "NesterovMoments(t, m,", "NesterovMoments(2 * t, m,"),
    ("radam", "radam", "(_motionless,", "(lambda w: Moments(1, _filled(w), _filled(w)),"),
    ("asgd", "asgd", "Averaged(t, eta", "Averaged(1, eta"),
]


@pytest.mark.parametrize(
    ("rule", "function", "line", "becomes"), [pytest.param(*m, id=f"{m[1]}-{m[3].replace(' ', '')}") for m in MISCOUNTS]
)
def test_a_miscount_is_refused_by_lockstep(
    rule: str, function: str, line: str, becomes: str, short_gate: ShortGate
) -> None:
    short_gate(mutant(rule, function, line, becomes))
    row = rows_of(rule)[0]
    assert complaint(gate.test_lockstep, row).startswith(f"{row.id} does not count its steps one by one")


# No single step shows what the first state is, since torch is given the same. Whole runs do.
TWO, THREE = "_filled(params), _filled(params))", "_filled(params), _filled(params), _filled(params))"
STARTS = [
    # rule, function, what is wrong, text, what it becomes
    ("adagrad", "adagrad", "sum-starts-at-1", "_filled(params, initial_sum)", "_filled(params, 1.0)"),
    ("adagrad", "adagrad", "sum-off-by-1e-10", "params, initial_sum", "params, (1 + 1e-10) * initial_sum"),
    ("adagrad", "_filled", "sum-starts-at-half", "np.full_like(params, value)", "np.full_like(params, value / 2)"),
    ("adadelta", "adadelta", "mean-starts-at-1", TWO, "_filled(params), _filled(params, 1.0))"),
    ("rmsprop", "rmsprop", "mean-starts-at-1", THREE, "_filled(params, 1.0), _filled(params), _filled(params))"),
    ("adam", "_motionless", "mean-starts-at-1", TWO, "_filled(params), _filled(params, 1.0))"),
    ("amsgrad", "amsgrad", "maximum-starts-at-1", THREE, "_filled(params), _filled(params), _filled(params, 1.0))"),
    ("adamax", "adamax", "maximum-starts-at-1", TWO, "_filled(params), _filled(params, 1.0))"),
    ("nadam", "nadam", "product-starts-at-beta1", "_filled(params), 1.0)", "_filled(params), beta1)"),
    ("asgd", "asgd", "twice-the-rate-at-first", "Averaged(0, learning_rate,", "Averaged(0, 2 * learning_rate,"),
    ("rprop", "rprop", "half-the-rate-at-first", "params, learning_rate)", "params, learning_rate / 2)"),
    ("rprop", "rprop", "rate-off-by-1e-10", "params, learning_rate)", "params, learning_rate * (1 + 1e-10))"),
]


@pytest.mark.parametrize(
    ("rule", "function", "line", "becomes"), [pytest.param(*p[:2], *p[3:], id=f"{p[0]}-{p[2]}") for p in STARTS]
)
def test_a_wrong_start_is_refused_by_whole_runs_alone(
    rule: str, function: str, line: str, becomes: str, short_gate: ShortGate
) -> None:
    module = mutant(rule, function, line, becomes)
    short_gate(module)
    row = next(row for row in rows_of(rule) if departure(row, module))
    assert complaint(gate.test_lockstep, row) == ""
    assert re.match(rf"{row.id} drifts from .* in \d of \d initialisations\n", complaint(gate.test_free_running, row))


def test_every_line_of_every_rule_has_its_mistake() -> None:
    planted = [(function, line) for _, function, _, line, _ in [*PLANTED, *STARTS]] + [m[1:3] for m in MISCOUNTS]
    for function in [*RULES, *SHARED, "_filled", "_resting", "_motionless"]:
        source = inspect.getsource(getattr(optimizers, function))
        wrong = {source[: source.index(line)].count("\n") + 1 for name, line in planted if name == function}
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Return):
                lines = range(node.lineno, (node.end_lineno or 0) + 1)
                assert wrong & {*lines}, f"{function}: no mistake in: {ast.unparse(node)}"


# --- hyperparameters that are slightly wrong ------------------------------------------------------------------------

NUMBERS = [(rule, name) for rule in RULES for name, value in defaults(rule).items() if not isinstance(value, bool)]
ONLY_AT_THE_START = [("adagrad", "initial_sum"), ("rprop", "learning_rate")]
"""They enter the first state alone: see `STARTS`."""


@cache
def lockstep(row: Configuration) -> tuple[trajectories.Steps, dict[str, Array]]:
    """The row's first steps and how far rounding may push them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trajectories, "housing", first_samples)
        taken = trajectories.steps.__wrapped__(row, 0)
        return taken, trajectories.step_radii(row, taken)


def differs(row: Configuration, settings: dict[str, Any]) -> bool:
    """Whether the lockstep comparison tells the row from torch's rule with these settings."""
    taken, radii = lockstep(row)
    moved, kept = torch_optim.updates(row.rule, settings, taken.gradients, taken.states, taken.params)
    pairs = {"params": (taken.moved, moved)} | {n: (taken.new_states[n], kept[n]) for n in kept}
    return any(not compare(mine, theirs, 2 * radii[n]).agrees for n, (mine, theirs) in pairs.items())


@pytest.mark.parametrize(("rule", "name"), [pytest.param(*n, id="-".join(n)) for n in NUMBERS])
def test_a_hyperparameter_off_by_1e_10_of_itself_is_refused(rule: str, name: str) -> None:
    settings = {row: complete(rule, row.hyperparameters) for row in rows_of(rule)}
    off = {row: h | {name: h[name] * (1 + 1e-10)} for row, h in settings.items() if h[name] != 0}
    assert any(differs(row, h) for row, h in off.items()) == ((rule, name) not in ONLY_AT_THE_START)
