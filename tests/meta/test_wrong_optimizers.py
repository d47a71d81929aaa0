"""Every wrong optimizer makes the mistake that it is named for, and it shows at the step at which it has to."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb, ctx

from manual import optimizers, wrong_optimizers
from manual.optimizers import Optimizer
from manual.wrong_optimizers import CORRECTIONS
from oracles.agreement import compare
from oracles.ball import lift
from oracles.subject import on_balls
from reference.datasets import housing
from tests.gate import trajectories
from tests.gate.configurations import Configuration
from tests.gate.trajectories import step_radii

Array = np.ndarray[Any, Any]
on_ball: Callable[..., Any] = lift  # the hand-written code is typed for floats, and balls stand in for them
EPOCH = len(housing().y)
DOCUMENT: dict[str, Any] = {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
TINY_EPSILON = DOCUMENT | {"epsilon": 1e-100}  # not 0, since gradients of saturated weights are
PER_EPOCH = {"steps_per_epoch": EPOCH}


class Wrong(NamedTuple):
    """A wrong rule beside the right one, and the step at which they part."""

    id: str
    rule: str
    settings: dict[str, Any]
    right: str
    right_settings: dict[str, Any]
    departs_at: int


def _wrong(rule: str, settings: dict[str, Any], departs_at: int, variant: str = "") -> Wrong:
    """One of Adam's variants."""
    right = {name: value for name, value in settings.items() if name in DOCUMENT}
    return Wrong(f"{rule}{variant}", rule, settings, "adam", right, departs_at)


DECAY = {"weight_decay": 0.1}
WRONG = [
    _wrong("adam_constant_correction", DOCUMENT, 2),  # at the first step 1 - β^t is 1 - β
    _wrong("adam_epsilon_inside", DOCUMENT, 1),
    _wrong("adam_without_correction", DOCUMENT | {"beta2": 0.999}, 1),
    # (1 - β1) / √(1 - β2) is 1 for the documents' β, so that nothing but ε tells m / √v from m̂ / √v̂ at the first step.
    _wrong("adam_without_correction", DOCUMENT, 1, "-by-epsilon-alone"),
    _wrong("adam_without_correction", TINY_EPSILON, 2, "-with-tiny-epsilon"),
    _wrong("adam_step_per_epoch", DOCUMENT | PER_EPOCH, 2),
    _wrong("adam_shared_state", DOCUMENT, 1),
    Wrong("adam_decoupled_decay", "adam_decoupled_decay", DECAY, "adam", DECAY, 1),
    Wrong("adamw_coupled_decay", "adamw_coupled_decay", DECAY, "adamw", DECAY, 1),
    Wrong(
        "momentum_once_per_epoch-average",
        "momentum_once_per_epoch",
        {"learning_rate": 0.05, "beta": 0.9, **PER_EPOCH},
        "averaged_momentum",
        {"learning_rate": 0.05, "beta": 0.9},
        1,
    ),
    Wrong(
        "momentum_once_per_epoch-sum",
        "momentum_once_per_epoch",
        {"learning_rate": 0.01, "beta": 0.9, "average": False, **PER_EPOCH},
        "sgd",
        {"learning_rate": 0.01, "momentum": 0.9},
        1,
    ),
    Wrong(
        "momentum_restarted_each_epoch",
        "momentum_restarted_each_epoch",
        {"learning_rate": 0.01, "gamma": 0.9, **PER_EPOCH},
        "momentum",
        {"learning_rate": 0.01, "gamma": 0.9},
        EPOCH + 1,
    ),
]


def made(rule: str, settings: dict[str, Any]) -> Optimizer:
    optimizer: Optimizer = getattr(wrong_optimizers, rule)(**settings)
    return optimizer


@cache
def right_run(rule: str, settings: tuple[tuple[str, Any], ...]) -> tuple[trajectories.Steps, Array]:
    """Two epochs of the right rule on the real samples, and how far rounding may push its params in each step."""
    row = Configuration("right", rule, settings)
    with pytest.MonkeyPatch.context() as patch:
        x, y = housing()
        patch.setattr(trajectories, "housing", lambda: (np.tile(x, (2, 1)), np.tile(y, 2)))
        taken = trajectories.steps.__wrapped__(row, 0)
    return taken, step_radii(row, taken)["params"]


def departures(wrong: Optimizer, rule: str, settings: dict[str, Any]) -> list[int]:
    """The steps, counted from 1, in which a rule that sees the right one's gradients and params goes elsewhere."""
    taken, radii = right_run(rule, tuple(settings.items()))
    state = wrong.init(taken.params[0])
    moved = np.empty_like(taken.moved)
    for i, (gradient, params) in enumerate(zip(taken.gradients, taken.params, strict=True)):
        moved[i], state = wrong.update(gradient, state, params)
    apart = compare(moved, taken.moved, 2 * radii).disagrees  # both sides round
    return [int(i) + 1 for i in np.flatnonzero(apart.any(axis=(1, 2)))]


@pytest.mark.parametrize("wrong", [pytest.param(w, id=w.id) for w in WRONG])
def test_a_wrong_rule_departs_from_the_right_one_when_it_has_to(wrong: Wrong) -> None:
    apart = departures(made(wrong.rule, wrong.settings), wrong.right, wrong.right_settings)
    assert len(right_run(wrong.right, tuple(wrong.right_settings.items()))[1]) == 2 * EPOCH
    assert apart[0] == wrong.departs_at


def test_every_wrong_rule_is_among_them() -> None:
    public = {
        n for n, f in inspect.getmembers(wrong_optimizers, inspect.isfunction) if f.__module__.endswith("_optimizers")
    }
    assert public == {wrong.rule for wrong in WRONG} | {"adam_variant"}


def test_adam_corrected_by_the_step_with_epsilon_outside_never_departs() -> None:
    assert departures(wrong_optimizers.adam_variant(**DOCUMENT), "adam", DOCUMENT) == []


def test_momentum_once_per_epoch_moves_like_the_right_one_at_the_end_of_an_epoch() -> None:
    settings: dict[str, Any] = {"learning_rate": 0.05, "beta": 0.9}
    wrong = wrong_optimizers.momentum_once_per_epoch(**settings, steps_per_epoch=EPOCH)
    apart = departures(wrong, "averaged_momentum", settings)
    assert EPOCH - 1 in apart
    assert not {EPOCH, 2 * EPOCH} & {*apart}


# --- that the mistake is the one of the name ------------------------------------------------------------------------
#
# On a constant gradient every rule has a closed form, which exact arithmetic has to meet to 45 digits.

STEPS = 7
EPOCH_HERE = 3
PRECISION = 256
NARROW = 2.0**-150
SETTINGS: dict[str, Any] = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 0.25}
H: Any = SimpleNamespace(**{name: arb(value) for name, value in SETTINGS.items()})


def taken_off(make: Callable[..., Optimizer], g: float, settings: dict[str, Any], weights: int = 1) -> list[Any]:
    """What each of the steps takes off the weights, in balls (weights), when the gradient is always g."""
    with on_balls([make], PRECISION):
        optimizer = make(**{n: on_ball(v) if isinstance(v, float) else v for n, v in settings.items()})
        params = on_ball(np.full(weights, 0.5))
        state = optimizer.init(params)
        found = []
        for _ in range(STEPS):
            moved, state = optimizer.update(on_ball(np.full(weights, g)), state, params)
            found.append(params - moved)
            params = moved
        return found


def equal(found: list[Any], expected: list[Any]) -> bool:
    """Whether balls agree with numbers, step by step and weight by weight."""
    pairs = [(a, b) for balls, ones in zip(found, expected, strict=True) for a, b in zip(balls._a, ones, strict=True)]
    assert all(float(number.rad()) < NARROW for pair in pairs for number in pair)
    return all(a.overlaps(b) for a, b in pairs)


def adam_step(g: arb, t: int, seen: int, exponent: int | None, inside: bool) -> Any:
    """Step t with means over the gradients seen, corrected as if there were `exponent` of them."""
    first, second = ((1 - beta**exponent if exponent is not None else arb(1)) for beta in (H.beta1, H.beta2))
    m, v = (1 - H.beta1**seen) * g / first, (1 - H.beta2**seen) * g * g / second
    return H.learning_rate * m / ((v + H.epsilon).sqrt() if inside else v.sqrt() + H.epsilon)


EXPONENTS: dict[str, Callable[[int], int | None]] = {
    "step": lambda t: t,
    "constant": lambda t: 1,
    "none": lambda t: None,
    "epoch": lambda t: (t - 1) // EPOCH_HERE + 1,
}
VARIANTS = list(product(CORRECTIONS, (False, True)))


@pytest.mark.parametrize("g", [0.7, -0.7])
def test_each_variant_of_adam_has_its_own_formula_and_no_other(g: float) -> None:
    found = {
        (correction, inside): taken_off(
            wrong_optimizers.adam_variant,
            g,
            SETTINGS | {"correction": correction, "inside": inside, "steps_per_epoch": EPOCH_HERE},
        )
        for correction, inside in VARIANTS
    }
    with ctx.workprec(PRECISION):
        formulas = {
            (correction, inside): [
                [adam_step(arb(g), t, t, EXPONENTS[correction](t), inside)] for t in range(1, STEPS + 1)
            ]
            for correction, inside in VARIANTS
        }
    for one, other in product(VARIANTS, VARIANTS):
        assert equal(found[one], formulas[other]) == (one == other)


NAMED: dict[str, dict[str, Any]] = {
    "adam_constant_correction": {"correction": "constant"},
    "adam_epsilon_inside": {"inside": True},
    "adam_without_correction": {"correction": "none"},
    "adam_step_per_epoch": {"correction": "epoch", "steps_per_epoch": EPOCH_HERE},
}


def run(optimizer: Optimizer, shape: tuple[int, ...] = (3,)) -> list[tuple[Array, Any]]:
    random = np.random.default_rng(62)
    params = random.normal(size=shape)
    state = optimizer.init(params)
    steps = []
    for gradient in random.normal(size=(STEPS, *shape)):
        params, state = optimizer.update(gradient, state, params)
        steps.append((params, state))
    return steps


def same(one: list[tuple[Array, Any]], other: list[tuple[Array, Any]]) -> bool:
    return all(np.array_equal(a, b) for (a, _), (b, _) in zip(one, other, strict=True))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_variant_is_that_variant_bit_for_bit(name: str) -> None:
    needs = {n: v for n, v in NAMED[name].items() if n == "steps_per_epoch"}
    assert same(run(made(name, SETTINGS | needs)), run(wrong_optimizers.adam_variant(**SETTINGS, **NAMED[name])))
    assert not same(run(made(name, SETTINGS | needs)), run(wrong_optimizers.adam_variant(**SETTINGS)))


def test_shared_state_counts_every_weight_as_a_step() -> None:
    g, weights = -0.7, 4
    found = taken_off(wrong_optimizers.adam_shared_state, g, SETTINGS, weights)
    with ctx.workprec(PRECISION):
        expected = [
            [adam_step(arb(g), t, (t - 1) * weights + i, t, inside=False) for i in range(1, weights + 1)]
            for t in range(1, STEPS + 1)
        ]
        own = [[adam_step(arb(g), t, t, t, inside=False)] * weights for t in range(1, STEPS + 1)]
    assert equal(found, expected)
    assert not equal(found, own)
    single = taken_off(wrong_optimizers.adam_shared_state, g, SETTINGS)
    assert equal(single, [step[:1] for step in own])  # with one weight there is nothing to share


@pytest.mark.parametrize("average", [True, False])
def test_momentum_once_per_epoch_waits_and_then_moves_by_the_whole_velocity(average: bool) -> None:
    settings = {"learning_rate": 0.05, "beta": 0.9, "steps_per_epoch": EPOCH_HERE, "average": average}
    found = taken_off(wrong_optimizers.momentum_once_per_epoch, 0.7, settings)
    with ctx.workprec(PRECISION):
        weight = arb(1) if average else 1 / (1 - arb(0.9))
        moves = [arb(0.05) * arb(0.7) * (1 - arb(0.9) ** t) * weight for t in range(1, STEPS + 1)]
    assert equal(found, [[moves[t - 1] if t in (3, 6) else arb(0)] for t in range(1, STEPS + 1)])
    assert not equal(found, [[move] for move in moves])


def test_momentum_restarted_each_epoch_has_the_first_steps_again() -> None:
    settings = {"learning_rate": 0.05, "gamma": 0.9, "steps_per_epoch": EPOCH_HERE}
    found = taken_off(wrong_optimizers.momentum_restarted_each_epoch, 0.7, settings)
    with ctx.workprec(PRECISION):
        moves = [arb(0.05) * arb(0.7) * (1 - arb(0.9) ** t) / (1 - arb(0.9)) for t in range(1, STEPS + 1)]
    assert equal(found, [[moves[t % EPOCH_HERE]] for t in range(STEPS)])
    assert not equal(found, [[move] for move in moves])


def test_the_two_decays_are_exchanged_bit_for_bit() -> None:
    settings = {"learning_rate": 0.01, "weight_decay": 0.1}
    adam, adamw = (run(getattr(optimizers, rule)(**settings)) for rule in ("adam", "adamw"))
    assert same(run(wrong_optimizers.adam_decoupled_decay(**settings)), adamw)
    assert same(run(wrong_optimizers.adamw_coupled_decay(**settings)), adam)
    assert not same(adam, adamw)


# --- the interface --------------------------------------------------------------------------------------------------

SMALL = [
    (w.id, w.rule, w.settings | ({"steps_per_epoch": EPOCH_HERE} if "steps_per_epoch" in w.settings else {}))
    for w in WRONG
]
SMALL.append(("adam_variant", "adam_variant", SETTINGS))


@pytest.mark.parametrize(("rule", "settings"), [pytest.param(*row[1:], id=row[0]) for row in SMALL])
def test_wrong_rules_are_pure_too_and_count_their_steps(rule: str, settings: dict[str, Any]) -> None:
    optimizer = made(rule, settings)
    random = np.random.default_rng(63)
    params, gradients = random.normal(size=(2, 3)), random.normal(size=(STEPS, 2, 3))
    state = optimizer.init(params)
    for t, gradient in enumerate(gradients, start=1):
        given = gradient, *state, params
        before = [np.copy(value) for value in given]
        first, second = (optimizer.update(gradient, state, params) for _ in range(2))
        for value, kept in zip(given, before, strict=True):
            np.testing.assert_array_equal(value, kept)
        for one, other in zip((first[0], *first[1]), (second[0], *second[1]), strict=True):
            np.testing.assert_array_equal(one, other)
        params, state = first
        assert state.step == t
        assert params.shape == (2, 3)
        assert params.dtype == np.float64


@pytest.mark.parametrize(("rule", "settings"), [pytest.param(*row[1:], id=row[0]) for row in SMALL])
def test_each_run_of_a_population_does_what_it_does_alone(rule: str, settings: dict[str, Any]) -> None:
    optimizer = made(rule, settings)
    random = np.random.default_rng(64)
    start, gradients = random.normal(size=(4, 3)), random.normal(size=(STEPS, 4, 3))

    def end(members: Any) -> Array:
        params: Array = start[members]
        state = optimizer.init(params)
        for gradient in gradients:
            params, state = optimizer.update(gradient[members], state, params)
        return params

    np.testing.assert_array_equal(end(slice(None)), [end(member) for member in range(4)])


BOUNDS: dict[str, tuple[float, float | None]] = {
    "learning_rate": (0, None),
    "beta1": (0, 1),
    "beta2": (0, 1),
    "beta": (0, 1),
    "gamma": (0, 1),
    "epsilon": (0, None),
    "weight_decay": (0, None),
    "steps_per_epoch": (1, None),
}
OUT_OF_RANGE = [
    (rule, name)
    for rule in ["adam_variant", *dict.fromkeys(w.rule for w in WRONG)]
    for name in inspect.signature(getattr(wrong_optimizers, rule)).parameters
    if name in BOUNDS
]


@pytest.mark.parametrize(("rule", "name"), [pytest.param(*row, id="-".join(row)) for row in OUT_OF_RANGE])
def test_a_hyperparameter_out_of_range_is_refused_by_name(rule: str, name: str) -> None:
    make = getattr(wrong_optimizers, rule)
    needed = PER_EPOCH if "steps_per_epoch" in inspect.signature(make).parameters else {}
    low, high = BOUNDS[name]
    make(**(needed | {name: low}))
    end = "" if high is None else f" and below {high}"
    for bad in (low - 1, np.nan, *([] if high is None else [high])):
        message = f"{name}: expected a number of at least {low}{end}, got {bad}; pass one in that range"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            make(**(needed | {name: bad}))


def test_an_unknown_correction_and_an_epoch_without_length_are_refused() -> None:
    with pytest.raises(
        ValueError, match="correction: expected one of step, constant, none, epoch, got 'steps'; choose"
    ):
        wrong_optimizers.adam_variant(correction="steps")
    with pytest.raises(
        ValueError, match=r"steps_per_epoch: expected a number of steps for the correction .*, got None"
    ):
        wrong_optimizers.adam_variant(correction="epoch")
