"""Gradients and optimizers that were wrong in public are refused where it shows; what only looked wrong is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb

from manual.optimizers import Optimizer
from oracles import (
    Certificate,
    GradientError,
    Ruling,
    UndecidedGradientError,
    Verdict,
    certify,
    certify_layer,
    check,
    check_layer,
    torch_autograd,
    torch_optim,
)
from oracles.agreement import Agreement, compare
from oracles.ball import BallArray, lift
from oracles.diagnosis import diagnose
from oracles.rounding import LIBRARY_ULPS, rounding_radii
from oracles.subject import on_balls
from oracles.trial import Trial, layer_trial, loss_trial
from tests.meta import historical_bugs as bugs
from tests.meta.historical_bugs import (
    CHECKER_BUG,
    CONTROLS,
    LAYER_BUGS,
    NOT_EXPRESSIBLE,
    OPTIMIZER_BUGS,
    OPTIMIZER_CONTROLS,
    OPTIMIZER_VARIATIONS,
    TABLE,
    VARIATIONS,
    Backward,
    Control,
    LayerCase,
    OptimizerCase,
    Point,
    Run,
    Settings,
)
from tests.meta.ulps import ulps

Array = Any
Subject = tuple[Callable[..., Any], Callable[..., Any]]

LAYERS = [*LAYER_BUGS, *VARIATIONS]
OPTIMIZERS = [*OPTIMIZER_BUGS, *OPTIMIZER_VARIATIONS]
RELATIVE, NOISE = 1e-3, 1e-8
"""Of the usual check: what it forgives, and what a difference quotient cannot resolve."""
TIES = "apache/mxnet#18563"
BITS = 256
SAME = 1e-60
"""How close two balls of so many bits are that enclose one number, to be safe."""


def rows(cases: Sequence[LayerCase | OptimizerCase | Control]) -> list[Any]:
    return [pytest.param(c, id=f"{c.id} {getattr(c, 'condition', '')}".strip().replace(" ", "-")) for c in cases]


def test_every_thread_is_a_case_or_says_why_not() -> None:
    told = [*(c.id for c in LAYER_BUGS), *(c.id for c in OPTIMIZER_BUGS), CHECKER_BUG, *dict(NOT_EXPRESSIBLE)]
    assert set(told) == set(TABLE)
    assert len(TABLE) == len(set(TABLE)) == 27
    assert [thread for thread, count in Counter(told).items() if count > 1] == ["ml-explore/mlx#473"]  # two mistakes


# --- layers ---------------------------------------------------------------------------------------------------------


def as_loss(case: LayerCase, backward: Backward) -> Subject:
    """The sum of the outputs, and its gradient: what comes down from above is ones."""

    def loss(*args: Any) -> Any:
        return np.sum(case.forward(*args)[0])

    def gradient(*args: Any) -> Any:
        out, cache = case.forward(*args)
        return backward(np.ones_like(out), cache)

    return loss, gradient


def positions(case: LayerCase) -> int | tuple[int, ...]:
    return case.wrt if len(case.wrt) > 1 else case.wrt[0]


def trial_of(case: LayerCase, backward: Backward, point: Point) -> Trial:
    if point.upstream == "ones":
        return loss_trial(*as_loss(case, backward), point.args, positions(case))
    with np.errstate(all="ignore"):
        return layer_trial(case.forward, backward, point.args, case.wrt, seed=0)


def certificate(case: LayerCase, backward: Backward, point: Point) -> Certificate:
    if point.upstream == "ones":
        return certify(*as_loss(case, backward), *point.args, wrt=positions(case))
    return certify_layer(case.forward, backward, *point.args, wrt=case.wrt)


def checked(case: LayerCase, backward: Backward, point: Point) -> Verdict:
    if point.upstream == "ones":
        return check(*as_loss(case, backward), *point.args, wrt=positions(case))
    return check_layer(case.forward, backward, *point.args, wrt=case.wrt)


def usual_check(trial: Trial) -> bool:
    """Whether central differences agree with every entry to 1e-3 of it: what a test in float64 usually does."""
    with np.errstate(all="ignore"):
        claimed = [np.asarray(g) for g in trial.gradient(trial.arguments(lifted=False))]
        if any(g.shape != p.shape for g, p in zip(claimed, trial.parameters, strict=True)):
            return False
        differences = list(central_differences(trial))
    return all(
        bool(np.all(np.abs(g - d) <= RELATIVE * np.maximum(np.abs(g), np.abs(d)) + NOISE))
        for g, d in zip(claimed, differences, strict=True)
    )


def central_differences(trial: Trial) -> Iterator[Array]:
    """The derivative of the trial's value by each parameter, one entry at a time."""
    for k, parameter in enumerate(trial.parameters):
        slopes = np.empty(parameter.shape)
        for index in np.ndindex(parameter.shape):
            h = 1e-6 * max(1.0, abs(float(parameter[index])))
            ends = []
            for side in (h, -h):
                moved = [np.array(p) for p in trial.parameters]
                moved[k][index] += side
                ends.append(trial.value(trial.arguments([m if m.ndim else m[()] for m in moved], lifted=False)))
            slopes[index] = (ends[0] - ends[1]) / (2 * h)
        yield slopes


def findings(message: str, result: str) -> tuple[str, ...]:
    """The findings of a verdict's table that have this result."""
    found = (line.strip().split("  ") for line in message.splitlines() if f" {result} " in line)
    return tuple(words[0] for words in found if result in [word.strip() for word in words])


@pytest.mark.parametrize("case", rows(LAYERS))
def test_the_right_layer_is_certified(case: LayerCase) -> None:
    for point in filter(None, (case.reveals, case.blind)):
        assert checked(case, case.right, point).certified


@pytest.mark.parametrize("case", rows(LAYERS))
def test_the_wrong_layer_is_refused_where_it_shows(case: LayerCase) -> None:
    assert certificate(case, case.wrong, case.reveals).ruling is case.ruling
    if case.refused_by:
        with pytest.raises(GradientError) as error:
            checked(case, case.wrong, case.reveals)
        message = str(error.value)
        assert message.splitlines()[1].endswith(": wrong")
    else:
        message = str(checked(case, case.wrong, case.reveals))
    assert findings(message, "WRONG") == case.refused_by
    assert case.evidence in message


@pytest.mark.parametrize("case", rows([c for c in LAYERS if c.wrong_entries]))
def test_the_wrong_entries_are_counted(case: LayerCase) -> None:
    proved = certificate(case, case.wrong, case.reveals).wrong
    assert Counter(w.parameter for w in proved) == case.wrong_entries


@pytest.mark.parametrize("case", rows([c for c in LAYERS if c.wrong_entries and not c.at_kink]))
def test_the_wrong_entries_are_named_with_both_values_and_no_other_is(case: LayerCase) -> None:
    """The floats are as near as rounding lets them be, and further apart where one is wrong."""
    claimed, true = (gradients(case, backward, case.reveals) for backward in (case.wrong, case.right))
    off_claimed, off_true = (radii(case, backward, case.reveals) for backward in (case.wrong, case.right))
    proved = {(w.parameter, w.index): w for w in certificate(case, case.wrong, case.reveals).wrong}
    assert set(proved) == {at for at in true if not abs(claimed[at] - true[at]) <= off_claimed[at] + off_true[at]}
    for at, w in proved.items():
        assert abs(float(w.claimed) - claimed[at]) <= off_claimed[at]
        assert abs(float(w.true) - true[at]) <= off_true[at]
        assert off_claimed[at] + off_true[at] < 1e-10 * max(abs(claimed[at]), abs(true[at]))


def gradients(case: LayerCase, backward: Backward, point: Point) -> dict[tuple[str, tuple[int, ...]], float]:
    """Every entry of a gradient in floats, by parameter and index."""
    trial = trial_of(case, backward, point)
    with np.errstate(all="ignore"):
        return entries(trial, trial.gradient(trial.arguments(lifted=False)))


def radii(case: LayerCase, backward: Backward, point: Point) -> dict[tuple[str, tuple[int, ...]], float]:
    """How far rounding may push each of these entries."""
    trial = trial_of(case, backward, point)
    return entries(trial, rounding_radii(trial).gradients)


def entries(trial: Trial, made: Iterable[Array]) -> dict[tuple[str, tuple[int, ...]], float]:
    named = zip(trial.names, made, strict=True)
    return {(name, index): float(g[index]) for name, g in named for index in np.ndindex(np.shape(g))}


@pytest.mark.parametrize("case", rows([c for c in LAYERS if c.blind]))
def test_elsewhere_the_usual_check_is_blind_to_it(case: LayerCase) -> None:
    """And so is the certificate where the wrong version is right there: then only the trial's points can help."""
    assert case.blind is not None
    assert case.condition
    assert usual_check(trial_of(case, case.wrong, case.blind))
    assert certificate(case, case.wrong, case.blind).ruling is case.when_blind


@pytest.mark.parametrize("case", rows(LAYERS))
def test_what_the_usual_check_sees_where_it_shows(case: LayerCase) -> None:
    assert usual_check(trial_of(case, case.wrong, case.reveals)) is not case.usual_check_sees_it
    assert usual_check(trial_of(case, case.right, case.reveals)) is (case.id != TIES)  # it has no notion of a tie


# --- the cause ------------------------------------------------------------------------------------------------------

CORRECTED = {
    "chainer/chainer#1178": ("np.where(np.abs(r) <= delta, r, delta * np.sign(r))", "{} * dout[:, None]"),
    "deeplearning4j/nd4j#2424": ("dout", "{}.sum(axis=0, keepdims=True)"),
    "NervanaSystems/neon#169": ("np.dot(dout, cache)", "{} + np.dot(dout.T, cache)"),
    "JuliaStats/Distributions.jl#1221": ("x", "{} / (1 - x)"),
    "bighuang624/Andrew-Ng-Deep-Learning-notes#10": ("dW2 * 2", "dW2"),
    "jxgu1016/MNIST_center_loss_pytorch#9": ("dout * n", "dout"),
    "jax-ml/jax#3213": ("-dout", "dout"),
    "stride": ("1", "2"),
    "overlapping patches": (
        "dx_pad[:, k, i, j] += dcols.reshape(C * HH * WW, N, -1).transpose(1, 0, 2)",
        "np.add.at(dx_pad, (slice(None), k, i, j), dcols.reshape(C * HH * WW, N, -1).transpose(1, 0, 2))",
    ),
    "repeated ids": ("dW[idx] += dout", "np.add.at(dW, idx, dout)"),
    "batch": ("np.mean(dout, axis=0)", "np.sum(dout, axis=0)"),
    "broadcast axis": ("np.sum(dout, axis=0, keepdims=True)", "np.sum(dout, axis=1, keepdims=True)"),
    "zeros under a dropout mask": ("out", "mask"),
    "keep probability": ("dout * mask", "{} / cache[2]"),
    "mean and sum": ("dout * cache * len(cache)", "dout * cache"),
    "backward called twice": ("out", "{}.copy()"),
    "dout used again": ("dout", "{}.copy()"),
    "every entry": ("0.8", "np.sqrt(2 / np.pi)"),
}
"""What the diagnosis corrects, by the layer. The others are no single mistake in a line of the backward."""


def by_id(name: str) -> LayerCase:
    (case,) = [c for c in LAYERS if c.id == name]
    return case


@pytest.mark.parametrize("name", CORRECTED)
def test_the_mistake_is_found_in_its_line(name: str) -> None:
    case, (before, after) = by_id(name), CORRECTED[name]
    trial = trial_of(case, case.wrong, case.reveals)
    found = diagnose(trial, certificate(case, case.wrong, case.reveals))
    assert found is not None
    assert (found.before, found.after) == (before, after.format(before))


# --- layers with a story of their own -------------------------------------------------------------------------------


def test_division_by_a_zero_factor_is_nan_in_its_row_only() -> None:
    """pytorch/pytorch#773: NaN at the zero itself, 0 beside it where the others are; balls see no number either."""
    case = by_id("pytorch/pytorch#773")
    entries = gradients(case, case.wrong, case.reveals)
    assert [at for at, value in entries.items() if np.isnan(value)] == [("x", (0, 1))]
    made = certificate(case, case.wrong, case.reveals)
    assert made.reason == "the loss or its gradient is not finite in the neighbourhood of this point"


def test_a_branch_that_overflows_is_a_right_formula_and_wrong_floats() -> None:
    """pytorch/pytorch#68425: a proof of the formula is no excuse for NaN."""
    case = by_id("pytorch/pytorch#68425")
    with pytest.raises(GradientError, match=r"nan in floats, 0\.640"):
        checked(case, case.wrong, case.reveals)
    entries = gradients(case, case.wrong, case.reveals)
    assert [at for at, value in entries.items() if np.isnan(value)] == [("a", (2,))]


def test_a_sigmoid_that_cancels_is_said_to_be_inaccurate_and_not_wrong() -> None:
    """tensorflow/tensorflow#126060: no digit at 40, where the value is 0, and all of them at -40."""
    case = by_id("tensorflow/tensorflow#126060")
    right, wrong = (gradients(case, backward, case.reveals) for backward in (case.right, case.wrong))
    assert wrong["x", (2,)] == 0.0 != right["x", (2,)]
    assert wrong["x", (0,)] == pytest.approx(right["x", (0,)], rel=ulps(4), abs=0)  # exp is rounded, and three results
    verdict = checked(case, case.wrong, case.reveals)
    assert verdict.certified
    assert findings(str(verdict), "note") == ("in floats",)
    assert findings(str(checked(case, case.right, case.reveals)), "note") == ()


def test_a_tie_is_judged_by_sums_of_its_entries() -> None:
    """apache/mxnet#18563: each tied entry alone may get everything, any two of them together may not."""
    case = by_id(TIES)
    (first, *_) = certificate(case, case.wrong, case.reveals).wrong
    dout = np.random.default_rng(0).standard_normal((2, 1))[0, 0]
    assert float(first.claimed) == 2 * dout
    assert [float(bound) for bound in first.true.split(", ")[1].split(" to ")] == [0.0, dout]


def test_a_zero_that_was_not_dropped_has_a_derivative() -> None:
    case = by_id("zeros under a dropout mask")
    proved = certificate(case, case.wrong, case.reveals).wrong
    assert {(w.index, float(w.claimed)) for w in proved} == {((0, 2), 0.0), ((1, 1), 0.0)}
    assert {at for at, value in gradients(case, case.right, case.reveals).items() if value == 0} == {
        ("x", (0, 1)),
        ("x", (1, 2)),
    }


def test_a_regime_switch_in_forward_and_backward_alike_needs_another_oracle() -> None:
    """stan-dev/math#1578: the derivative of the Poisson density is certified as such; that it is meant, is not."""

    def poisson(alpha: Array, beta: Array) -> tuple[Array, Any]:
        return -alpha / beta, (alpha, beta)

    def poisson_backward(dout: Array, cache: Any) -> Array:
        return -dout / cache[1]

    alpha, beta = np.array([2e10]), np.array([0.8])
    assert certify_layer(poisson, poisson_backward, alpha, beta, wrt=0).ruling is Ruling.CERTIFIED
    meant = torch_autograd.gradient(lambda xp, a, b: a * xp.log(b / (1 + b)), alpha, beta)
    assert poisson_backward(np.ones(1), (alpha, beta)) == -1 / 0.8
    # log(4/9): its argument is rounded twice, with a factor of 1.2, and it is.
    assert meant.gradient == pytest.approx(np.log(4 / 9), rel=ulps(4), abs=0)


def test_a_norm_hides_an_entry() -> None:
    """A GELU with 0.8 for the root of 2 / π: 7e-4 of the norm, and more than half of one entry."""
    case = by_id("every entry")
    claimed, true = (np.array([*gradients(case, b, case.reveals).values()]) for b in (case.wrong, case.right))
    assert np.linalg.norm(claimed - true) / np.linalg.norm(true) < RELATIVE
    assert np.max(np.abs(claimed - true) / np.abs(true)) > 0.5


# --- what was reported and is right ---------------------------------------------------------------------------------


@pytest.mark.parametrize("control", rows(CONTROLS))
def test_a_right_layer_that_was_reported_is_certified(control: Control) -> None:
    assert check_layer(control.forward, control.backward, *control.args, wrt=control.wrt).certified


def test_darknets_functions_of_the_output_are_wrong_as_functions_of_the_input() -> None:
    with pytest.raises(GradientError, match="4 of 4 entries"):
        check_layer(bugs.loggy, bugs.loggy_backward_of_input, bugs.draw(4, key=53))


# --- a checker ------------------------------------------------------------------------------------------------------


def cube_for_square(dout: Array, cache: Array) -> Array:
    return 3 * dout * cache


def test_a_checker_that_compares_nothing_accepts_everything() -> None:
    """chainer/chainer#3542: with every argument taken for one without a gradient, a broken one passes."""
    trial = layer_trial(bugs.square, cube_for_square, (bugs.draw(3, key=60),), (0,), seed=0)
    no_gradient = [False]

    def accepts(count: Callable[[Sequence[bool]], int]) -> bool:
        return count(no_gradient) == 0 or usual_check(trial)

    assert accepts(bugs.compared_arguments_by_length)
    assert not accepts(bugs.compared_arguments)
    assert certify_layer(bugs.square, cube_for_square, *trial.args).wrong


def test_nothing_to_compare_is_no_pass_here() -> None:
    with pytest.raises(UndecidedGradientError, match="there is nothing to check"):
        check_layer(bugs.square, cube_for_square, np.empty(0))
    with pytest.raises(ValueError, match="has no float array to differentiate by"):
        check_layer(bugs.square, cube_for_square, np.array([1, 2]), wrt=0)


# --- optimizers -----------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """What an optimizer starts a step from, and where it takes the params."""

    params: Array
    state: Any
    moved: Array


def walk(optimizer: Optimizer, run: Run, convert: Callable[[Any], Any] = np.copy) -> Iterator[Step]:
    """The steps of a run; an array that is given twice keeps what the optimizer wrote into it."""
    given = {id(g): convert(g) for g in run.gradients}
    params = convert(run.params)
    state = optimizer.init(params)
    for g in run.gradients:
        moved, following = optimizer.update(given[id(g)], state, params)
        yield Step(params, state, moved)
        params, state = moved, following


def exactly(settings: Settings) -> dict[str, Any]:
    """Hyperparameters as balls: floats are exact numbers."""
    return {name: lift(np.float64(v)) if isinstance(v, float) else v for name, v in settings.items()}


def enclosures(make: Callable[..., Optimizer], run: Run) -> list[Array]:
    """The params after each step, as arrays of balls that hold the exact ones."""
    with on_balls([make], BITS):
        steps = walk(make(**exactly(run.settings)), run, lift)
        return [step.moved._a for step in steps]


def departures(case: OptimizerCase, run: Run) -> dict[int, tuple[int, ...]]:
    """{step: entries} where the two rules are proved to differ. All other entries are the same to 60 digits."""
    found = {}
    pairs = zip(enclosures(case.wrong, run), enclosures(case.right, run), strict=True)
    for number, (wrong, right) in enumerate(pairs, 1):
        apart = [i for i, (a, b) in enumerate(zip(wrong, right, strict=True)) if not a.overlaps(b)]
        assert all(abs(wrong[i] - right[i]) < arb(SAME) for i in range(len(right)) if i not in apart)
        if apart:
            found[number] = tuple(apart)
    return found


def usual_steps_agree(case: OptimizerCase, run: Run) -> bool:
    """Whether the two rules have moved alike to 1e-3 after every step."""
    pairs = zip(walk(case.wrong(**run.settings), run), walk(case.right(**run.settings), run), strict=True)
    return all(np.allclose(a.moved - run.params, b.moved - run.params, rtol=RELATIVE, atol=0) for a, b in pairs)


def lockstep(case: OptimizerCase, make: Callable[..., Optimizer], run: Run) -> Agreement:
    """torch.optim's single steps from every state that a rule comes through, against the rule's own: (S, n).

    What torch gets are the gradients as they were given, and the number of steps as they were taken. The tolerance is
    what rounding may do to either side: the rule that torch follows, on balls of 53 bits.
    """
    assert case.rule is not None
    taken = list(walk(make(**run.settings), run))
    params, moved = np.array([s.params for s in taken]), np.array([s.moved for s in taken])
    names = [name for name in taken[0].state._fields if name != "step"]
    states = {name: np.array([getattr(s.state, name) for s in taken]) for name in names}
    counted = {"step": np.arange(len(taken)), **states}
    theirs, _ = torch_optim.updates(case.rule, run.settings, np.array(run.gradients), counted, params)
    followed = case.right if case.torch_follows == "right" else case.wrong
    radii = np.empty_like(moved)
    with on_balls([followed], 53, ulps=LIBRARY_ULPS, by_midpoint=True):
        update: Callable[..., Any] = followed(**exactly(run.settings)).update
        for i, g in enumerate(run.gradients):
            state = type(taken[i].state)(step=i, **{name: lift(values[i]) for name, values in states.items()})
            radii[i] = rounding(update(lift(g), state, lift(params[i]))[0])
    return compare(moved, theirs, 2 * radii)


def rounding(values: BallArray) -> Array:
    return np.array([float(b.rad()) for b in values._a.ravel()]).reshape(values._a.shape)


@pytest.mark.parametrize("case", rows(OPTIMIZERS))
def test_the_wrong_rule_departs_where_it_shows(case: OptimizerCase) -> None:
    assert departures(case, case.reveals) == case.departs
    assert not usual_steps_agree(case, case.reveals)


@pytest.mark.parametrize("case", rows([c for c in OPTIMIZERS if c.blind]))
def test_elsewhere_the_usual_comparison_is_blind_to_it(case: OptimizerCase) -> None:
    assert case.blind is not None
    assert case.condition
    assert usual_steps_agree(case, case.blind)
    assert (departures(case, case.blind) == {}) is case.equal_when_blind


@pytest.mark.parametrize("case", rows([c for c in [*OPTIMIZERS, *OPTIMIZER_CONTROLS] if c.rule]))
def test_torch_takes_the_steps_of_one_rule_only(case: OptimizerCase) -> None:
    """The first step in which the other one departs is the first in which it does so on balls, in the same entries."""
    rules = {"right": case.right, "wrong": case.wrong}
    assert lockstep(case, rules.pop(case.torch_follows), case.reveals).agrees
    (other,) = rules.values()
    disagrees = lockstep(case, other, case.reveals).disagrees
    steps = {int(i) + 1: tuple(int(k) for k in np.flatnonzero(row)) for i, row in enumerate(disagrees) if row.any()}
    assert list(steps.items())[:1] == list(case.departs.items())[:1]
    if case.blind is not None:
        assert lockstep(case, other, case.blind).agrees is case.equal_when_blind


@pytest.mark.parametrize("case", rows(OPTIMIZERS))
def test_who_writes_into_the_gradient(case: OptimizerCase) -> None:
    for make, mutates in ((case.right, False), (case.wrong, case.mutates)):
        given = np.copy(case.reveals.gradients[0])
        optimizer = make(**case.reveals.settings)
        optimizer.update(given, optimizer.init(case.reveals.params), case.reveals.params)
        assert np.array_equal(given, case.reveals.gradients[0]) is not mutates


@pytest.mark.parametrize("case", rows(OPTIMIZER_CONTROLS))
def test_a_right_rule_that_was_reported_does_not_depart(case: OptimizerCase) -> None:
    assert departures(case, case.reveals) == {}
    assert usual_steps_agree(case, case.reveals)


def test_decay_in_both_places_is_another_rule_and_torchs_own() -> None:
    """apache/mxnet#13683 is contested: who takes either rule for the right one refuses the other."""
    (case,) = [c for c in OPTIMIZER_BUGS if c.id == "apache/mxnet#13683"]
    assert lockstep(case, case.wrong, case.reveals).agrees
    assert lockstep(case, case.right, case.reveals).disagrees.all()
