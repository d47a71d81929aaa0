"""Every mutant of every hand-written derivative and update rule is refused, or is known to be none, and why."""

from __future__ import annotations

import inspect
import pkgutil
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import chain, islice
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import manual
from manual import nine_weight, optimizers
from manual.scalar_engine import Value
from oracles.mutation import Mutant, mutants
from oracles.mutation_equivalence import Evidence, Ground
from tests.gate.verdicts import PROPERTY
from tests.meta import mutant_suite
from tests.meta.mutant_equivalents import NONE_AT_ALL, complaints, label
from tests.meta.mutant_places import EndlessError, bounded, name_of, standing_in, written_out
from tests.meta.mutant_subjects import DERIVATIONS, MORE, RULES, draw, graph_of_nine
from tests.meta.mutant_suite import Arguments, Array, Derivation, Gradient, Judgement, Refused, Rule

SUBJECTS: list[Derivation | Rule] = [*DERIVATIONS, *RULES]
BY_ID = {subject.id: subject for subject in SUBJECTS}

# --- the trial ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [pytest.param(subject, id=subject.id) for subject in SUBJECTS])
def test_every_mutant_is_refused_or_known_to_be_none(
    subject: Derivation | Rule, request: pytest.FixtureRequest
) -> None:
    judged = [(mutant, subject.judged(mutant)) for mutant in subject.mutants()]
    request.node.user_properties.append((PROPERTY, record(subject, judged)))
    settle(subject, judged)


def settle(subject: Derivation | Rule, judged: Sequence[tuple[Mutant, Judgement]]) -> None:
    """Fails by the names of all that is not as it has to be."""
    __tracebackhide__ = True
    if found := list(complaints(subject, judged)):
        pytest.fail("\n".join([f"{subject.id}: {len(found)} of {len(judged)} mutants", *found]), pytrace=False)


def record(subject: Derivation | Rule, judged: Iterable[tuple[Mutant, Judgement]]) -> dict[str, Any]:
    """What the closing summary is to know: how many, and by what they were refused."""
    verdicts = Counter(
        "survived" if j is None else "equivalent" if isinstance(j, Evidence) else j.value for _, j in judged
    )
    of = "derivatives" if isinstance(subject, Derivation) else "update rules"
    return {"kind": "mutants", "of": of, "subject": subject.id, "verdicts": dict(verdicts)}


def test_there_are_thousands() -> None:
    """Two thousand are asked for; they are counted no further."""
    everyone = chain.from_iterable(subject.mutants() for subject in SUBJECTS)
    assert len({mutant.id for mutant in islice(everyone, 2500)}) > 2000


def test_every_list_of_equivalents_is_of_a_subject() -> None:
    assert NONE_AT_ALL.keys() <= BY_ID.keys()


def test_every_derivative_and_every_rule_of_the_house_is_a_subject() -> None:
    """By name, but for `published_slope`, a document's mistake that is kept as it is."""
    derivatives = {
        f
        for module in pkgutil.iter_modules(manual.__path__)
        for name, f in inspect.getmembers(import_module(f"manual.{module.name}"), inspect.isfunction)
        if name.endswith(("backward", "slope"))
    }
    operations = {f for name, f in vars(Value).items() if inspect.isfunction(f) and f.__module__ == Value.__module__}
    no_derivatives = {Value.__init__, Value.__post_init__, Value.__repr__}
    tried = {f for derivation in DERIVATIONS for f in derivation.functions}
    assert {f.__name__ for f in (derivatives | operations) - no_derivatives - tried} == {"published_slope"}
    rules = {
        name for name, f in inspect.getmembers(optimizers, inspect.isfunction) if f.__module__ == optimizers.__name__
    }
    helpers = {"_filled", "_resting", "_motionless", "_check_adam"}  # of the initial state, and of the settings
    parts = {"_coupled", "_decayed", "_moments"}
    assert rules - helpers == {rule.id for rule in RULES}
    assert {row.rule for rule in RULES for row in rule.configurations} == rules - helpers - parts


# --- whether the trial can tell -------------------------------------------------------------------------------------


def square_forward(x: Array) -> tuple[Array, Array]:
    return x * x, x


def square_backward(x: Array) -> Array:
    return 2 * x


def square(at: Callable[[int, float, int], Arguments]) -> Derivation:
    gradient = Gradient(square_forward, lambda cache, x: square_backward(cache), at)
    functions: Any = (square_backward,)
    return Derivation("square", functions, (gradient,))


SQUARE = square(lambda seed, scale, samples: (draw(seed, scale, samples),))


def judged_in(subject: Derivation | Rule, *operators: str) -> list[tuple[Mutant, Judgement]]:
    """The mutants of some operators, or all, with their judgements."""
    return [(m, subject.judged(m)) for m in subject.mutants() if not operators or m.operator in operators]


def test_a_mutant_that_the_point_cannot_tell_survives_and_is_named() -> None:
    """At x = 2, where 2 x is 2 + x. None is called equivalent, since elsewhere they are not."""

    def at(seed: int, scale: float, samples: int) -> Arguments:
        return (np.full(samples, 2.0) if seed in (1, 2) else draw(seed, scale, samples),)

    (found,) = complaints(square(at), judged_in(square(at)))
    assert re.fullmatch(
        r"survives: square_backward:L\d+:swap-operator \* to \+\n  test_mutants\.py:\d+: 2 \* x  ->  2 \+ x", found
    )
    assert list(complaints(SQUARE, judged_in(SQUARE))) == []


def test_blind_checks_leave_survivors_and_each_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [mutant for mutant, judgement in judged_in(SQUARE) if isinstance(judgement, Refused)]
    monkeypatch.setattr(Gradient, "refused", lambda self, truths: None)
    assert {judgement for _, judgement in judged_in(SQUARE)} == {Refused.CERTIFICATE}  # which misses none by itself
    monkeypatch.setattr(Gradient, "certified", True)
    with pytest.raises(pytest.fail.Exception) as failure:
        settle(SQUARE, judged_in(SQUARE))
    names = [f"survives: {mutant}" for mutant in wrong]
    assert str(failure.value) == "\n".join([f"square: {len(wrong)} of {len(wrong)} mutants", *names])
    assert len(wrong) > 5


def test_a_blind_comparison_with_torch_leaves_survivors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant_suite.Course, "refused", lambda self, update, margin: None)
    vanilla = BY_ID["vanilla"]
    judged = judged_in(vanilla, "swap-operator", "drop-factor")
    assert list(complaints(vanilla, judged)) == [f"survives: {mutant}" for mutant, _ in judged]
    assert len(judged) > 4


def test_a_claim_that_no_list_knows_is_named_and_so_is_one_that_is_not_made() -> None:
    subject = BY_ID["square_of_line"]
    judged = judged_in(subject)
    assert list(complaints(subject, judged)) == []
    (first, evidence), *rest = [pair for pair in judged if isinstance(pair[1], Evidence)]
    (unknown,) = complaints(subject, [*judged, (first, evidence)])
    assert unknown == f"claimed to be equivalent, which no list knows: {first}\n    {evidence}"
    assert list(complaints(subject, rest)) == [f"said to be equivalent, and not claimed: {label(subject, first)}"]


def count_down_forward(x: Array) -> tuple[Array, int]:
    return 3 * x, 3


def count_down_backward(n: int) -> float:
    total = 0.0
    while n > 0:
        total += 1.0
        n -= 1
    return total


def test_a_mutant_that_never_ends_is_refused_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = Gradient(
        count_down_forward,
        lambda cache, x: np.full(x.shape, count_down_backward(cache)),
        lambda seed, scale, samples: (draw(seed, scale, samples),),
    )
    functions: Any = (count_down_backward,)
    subject = Derivation("count_down", functions, (gradient,))
    monkeypatch.setattr(mutant_suite, "SECONDS", 0.05)
    found = {label(subject, m): j for m, j in judged_in(subject, "swap-operator", "swap-statements")}
    assert found["swap-operator -= to +="] is Refused.ENDLESS
    assert Refused.ENDLESS not in {j for name, j in found.items() if name != "swap-operator -= to +="}


def test_what_is_bounded_ends_and_leaves_no_timer_behind() -> None:
    def run_on() -> None:
        while True:
            pass

    with pytest.raises(EndlessError, match=r"0\.01 s"), bounded(0.01):
        run_on()
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL


def judgements(id: str, *operators: str) -> dict[str, Judgement]:
    return {label(BY_ID[id], mutant): judgement for mutant, judgement in judged_in(BY_ID[id], *operators)}


def test_what_is_written_into_shows_in_the_second_of_two_calls() -> None:
    found = judgements("nine_weight", "in-place")
    assert {j for name, j in found.items() if name.endswith("doubled at the end")} == {Refused.CONDUCT}
    assert found["in-place dw6 for dw2"] is Refused.FLOATS  # dw1 is made of it in the same call


def test_what_is_remembered_shows_elsewhere() -> None:
    assert {*judgements("nine_weight", "stale-cache").values()} == {Refused.FLOATS}
    # Ones are the same everywhere, but not for another number of samples.
    assert judgements("square_of_line", "stale-cache")["stale-cache dy"] is Refused.CRASH


def test_what_floats_cannot_tell_is_refused_by_proof() -> None:
    """Balls do not know that errors in the stable form cancel: its radii are wide, and small mistakes hide in them."""
    found = judgements("nine_weight_stable", "scale-result")
    assert Counter(found.values()).keys() == {Refused.FLOATS, Refused.CERTIFICATE}


@pytest.mark.parametrize(
    ("row", "rule", "needed_for"),
    [
        ("sgd-dampening-alone", "sgd", "shift-constant 0 to 1 #2"),
        ("sgd-decay-of-1", "_coupled", "shift-constant 0 to 1"),
        ("sgd-maximize", "_coupled", "exchange-name gradient for g #2"),
        ("asgd-averaging-at-once", "asgd", "exchange-name state.step for state.mu"),
        ("rprop-maximize", "rprop", "flip-sign of -gradient"),
        ("radam-short-memory", "radam", "exchange-name t for rho"),
        ("nadam-fast-fading", "nadam", "update:scale-constant 1 by 1e-12"),
    ],
)
def test_each_further_configuration_is_needed(row: str, rule: str, needed_for: str) -> None:
    whole = BY_ID[rule]
    assert isinstance(whole, Rule)
    without = replace(whole, configurations=tuple(c for c in whole.configurations if c.id != row))
    mutant = next(m for m in whole.mutants() if label(whole, m) == needed_for)
    assert isinstance(whole.judged(mutant), Refused)
    assert not isinstance(without.judged(mutant), Refused)
    assert row in {more.id for more in MORE}


# --- putting a mutant in place --------------------------------------------------------------------------------------


def test_the_original_is_back_whatever_happens() -> None:
    function: Any = nine_weight.backward
    before = function.__code__, function.__kwdefaults__
    gradient = graph_of_nine(nine_weight)
    right = gradient.gradient(*gradient.points[0])

    def fail_with(mutant: Mutant) -> None:
        with standing_in(function, mutant.build()):
            gradient.gradient(*gradient.elsewhere)
            assert not np.array_equal(gradient.gradient(*gradient.points[0]), right)
            raise KeyError

    for mutant in mutants(function, ["stale-cache", "drop-factor"], limit=2):
        with pytest.raises(KeyError):
            fail_with(mutant)
        assert (function.__code__, function.__kwdefaults__) == before
        assert np.array_equal(gradient.gradient(*gradient.points[0]), right)


LAMBDAS = [f for d in DERIVATIONS for f in d.functions if f.__name__ == "<lambda>"]


@pytest.mark.parametrize("function", [pytest.param(f, id=name_of(f)) for f in LAMBDAS])
def test_a_lambda_is_written_out_as_the_same_function(function: FunctionType) -> None:
    made = written_out(function)
    assert made.__code__.co_names == function.__code__.co_names
    assert made.__code__.co_varnames == function.__code__.co_varnames
    assert made.__globals__ is function.__globals__
    a, b = draw(0, 1.0, 2, 5)
    assert np.array_equal(made(a, b), function(a, b))
    assert next(iter(mutants(made))).id.startswith(f"{name_of(function)}:")


def test_evidence_is_of_every_kind() -> None:
    """Values on balls, and bits where balls cannot run."""
    subject = BY_ID["square_of_line"]
    found = {label(subject, m): j for m in subject.mutants() if isinstance(j := subject.judged(m), Evidence)}
    assert {name: evidence.ground for name, evidence in found.items()} == {
        "drop-factor dy": Ground.BALLS,
        "float32 dy": Ground.FLOATS,
    }
