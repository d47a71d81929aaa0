"""Every mutant of every hand-written derivative and update rule is refused, or is known to be none, and why."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
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
from tests.meta.mutant_suite import (
    DERIVATIONS,
    MORE,
    RULES,
    Arguments,
    Array,
    Derivation,
    Gradient,
    Judgement,
    Refused,
    Rule,
    draw,
    graph_of_nine,
    name_of,
    standing_in,
    written_out,
)

SUBJECTS: list[Derivation | Rule] = [*DERIVATIONS, *RULES]
BY_ID = {subject.id: subject for subject in SUBJECTS}

# --- mutants that are none ------------------------------------------------------------------------------------------

SAME = {
    "product_plus_backward": ["dd dc dab", "db a", "da b"],
    "squared_weight_backward": ["df dsecond dfirst", "dx2 w2", "dw2 x2"],
    "neuron_backward": ["dn db dx1w1x2w2 dx2w2 dx1w1"],
    "backward": ["dz2 db2", "dz1 db1"],
}
"""Names of a function that hold the same numbers, the derivative of the value by itself being 1: to exchange them is
no mistake."""

NONE_AT_ALL = {
    "nine_weight_stable": {
        "it is used twice in each product": ["backward:flip-sign of sech", "backward:flip-sign of slope"],
        "the sign of a sech, which is used twice in each product": [
            "_sech:flip-sign of e",
            "_sech:flip-sign of return",
        ],
    },
    "square_of_line": {
        "the derivative of the value by itself is 1": ["drop-factor dy"],
        "1 is a number of float32": ["float32 dy"],
    },
    "quadratic": {
        "the derivative of the value by itself is 1": ["drop-factor dy"],
        "1 is a number of float32": ["float32 dy"],
    },
    "product_plus": {
        "the derivative of the value by itself is 1": ["drop-factor dab", "drop-factor dab"],
        "1 is a number of float32": ["float32 dd"],
        "ones of the same shape": ["exchange-name a for d", "exchange-name b for d"],
        "both are 1": ["swap-returns dd with dc", "swap-returns dc with dab"],
    },
    "squared_weight": {
        "the derivative of the value by itself is 1": [
            *("drop-factor dsecond", "drop-factor dfirst", "drop-factor dsecond", "drop-factor dfirst")
        ],
        "1 is a number of float32": ["float32 df"],
        "ones of the same shape": [f"exchange-name {name} for f" for name in ("w1", "w2", "x1", "x2")],
        "both are 1": ["swap-returns df with dsecond", "swap-returns dsecond with dfirst"],
    },
    "neuron": {
        "the derivative of the value by itself is 1": ["drop-factor do"],
        "1 is a number of float32": ["float32 do"],
        "ones of the same shape": [f"exchange-name {name} for o" for name in ("x1", "x2", "w1", "w2")],
    },
    "tiny_network": {"relu(z1) is above 0 where z1 is": ["backward:exchange-name a1 for z1"]},
    "clipped_slope": {
        "any number but 0 is true": [
            "extra-factor 2 in inside",
            *(f"scale-result inside by 1e-{n}" for n in (4, 6, 8, 10, 12)),
            "float32 inside",
        ],
        "only at the ends of the clip themselves, where the loss has a kink": [
            *("comparison > to >=", "comparison < to <=")
        ],
    },
    "MLP": {
        "once more after the first layer, for nothing": [
            "MLP.backward:shift-constant 0 to -1",
            "MLP.backward:exchange-name m for layer",
            "MLP.backward:comparison > to >=",
        ],
        "pack flattens it anyway": ["MLP.backward:keepdims keepdims=True dropped"],
        "small whole numbers are numbers of float32": ["MLP.backward:float32 m", "slope of relu:float32 return"],
        "relu(Z) is above 0 where Z is": ["slope of relu:exchange-name A for Z"],
        "a tuple is made anew": ["unpack:in-place sizes doubled at the end"],
    },
    "Value.__pow__": {
        "0 x is 0, as is 0 x^0": ["shift-constant 0 to 1"],
        "an array's own .data is its memory, which NumPy reads as an array": [
            *("exchange-name other for b", "exchange-name other for b")
        ],
        "its kind is asked for, not its value": ["ignore-upstream other", "ignore-upstream other #2"],
    },
    "Value.relu": {"True counts as 1": ["swap-operator * to /", "drop-factor 1.0"]},
    "Value.backward": {
        "what has been seen is in order by then, or nothing under it is": ["topological:exchange-name order for seen"],
        "neither needs the other": ["topological:swap-statements with the next"],
        "a node is made anew": ["topological:in-place root doubled at the end"],
        "its kind is asked for, not its value": ["as_value:ignore-upstream number"],
    },
    "rmsprop": {
        "nobody reads the mean of a rule that is not centered": [
            f"exchange-name state.{name} for state.mean #2" for name in ("v", "velocity", "step")
        ],
    },
    "adam": {"a tuple is made anew": ["in-place state doubled at the end"]},
    "adamax": {"small whole numbers are numbers of float32": ["float32 t"]},
    "radam": {
        "a tuple is made anew": ["in-place state doubled at the end", "in-place state doubled at the end"],
        "ρ is never 5": ["comparison <= to <"],
    },
    "asgd": {
        "a + (w - a) is w, but for rounding": ["shift-constant 1 to 2", "shift-constant 1 to 0"],
        "small whole numbers are numbers of float32": ["float32 t"],
    },
    "rprop": {
        "only its sign counts": [
            "extra-factor 2 in agreement",
            *(f"scale-result agreement by 1e-{n}" for n in (4, 6, 8, 10, 12)),
            "float32 agreement",
        ],
    },
    "nadam": {"a number is made anew": ["mu:in-place t doubled at the end"]},
    "_coupled": {
        "a weight decay below 0 is refused": ["shift-constant 0 to -1"],
        "a flag is made anew": ["in-place maximize doubled at the end"],
    },
    "_decayed": {
        "0 times anything is 0": [
            f"exchange-name {name} for params #2"
            for name in ("gradient", "weight_decay", "maximize", "decoupled", "learning_rate")
        ],
        "a flag or number is made anew": [
            *(f"in-place {name} doubled at the end" for name in ("maximize", "decoupled")),
            *(f"in-place {name} doubled at the end" for name in ("maximize", "decoupled", "learning_rate")),
        ],
    },
    "_moments": {
        "small whole numbers are numbers of float32": ["float32 return 0"],
        "a number is made anew": ["in-place beta1 doubled at the end", "in-place beta2 doubled at the end"],
    },
}
"""Subject -> why -> mutants without their lines, once for each. For each there is evidence of `equivalent` too."""

SURVIVORS = {
    "radam": {
        "the limit of ρ is the same in every step; `equivalent` has no word for that, since the first call was on floats": [
            "stale-cache limit"
        ],
    },
    "nadam": {
        "μ moves by 1e-13 of itself, which no step in float64 can tell; the formula of the paper on balls does": [
            "update:scale-constant 1 by 1e-12",
            "update:scale-constant 1 by 1e-12 #3",
        ],
    },
}
"""Neither refused nor shown to be none: subject -> why that is no defect of the trial -> mutants."""


def label(subject: Derivation | Rule, mutant: Mutant) -> str:
    """The id without its line, and without the function where a subject has but one."""
    function, _, mistake = re.split(r":(L\d+):", mutant.id)
    if function.startswith("lambda_"):
        function = "slope of relu" if "np.where" in mutant.source_line else "slope"
    return mistake if len(subject.functions) == 1 else f"{function}:{mistake}"


def exchanges_the_same(mutant: Mutant) -> bool:
    groups = SAME.get(mutant.id.split(":")[0], [])
    return mutant.operator == "exchange-name" and any({mutant.before, mutant.after} <= {*g.split()} for g in groups)


# --- the trial ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [pytest.param(subject, id=subject.id) for subject in SUBJECTS])
def test_every_mutant_is_refused_or_known_to_be_none(
    subject: Derivation | Rule, request: pytest.FixtureRequest
) -> None:
    judged = [(mutant, subject.judged(mutant)) for mutant in subject.mutants()]
    request.node.user_properties.append((PROPERTY, record(subject.id, judged)))
    survivors = [mutant for mutant, judgement in judged if judgement is None]
    news = "\n".join([f"{len(survivors)} of {len(judged)} mutants survive", *map(str, survivors)])
    assert Counter(label(subject, m) for m in survivors) == known(SURVIVORS, subject), news
    claims = [(m, j) for m, j in judged if isinstance(j, Evidence) and not exchanges_the_same(m)]
    news = "\n".join(["claimed to be equivalent:", *(f"{mutant}\n    {evidence}" for mutant, evidence in claims)])
    assert Counter(label(subject, m) for m, _ in claims) == known(NONE_AT_ALL, subject), news
    refused = [str(m) for m, j in judged if not isinstance(j, Evidence) and exchanges_the_same(m)]
    assert refused == [], "names that are said to hold the same do not"


def known(table: dict[str, dict[str, list[str]]], subject: Derivation | Rule) -> Counter[str]:
    return Counter(mistake for mistakes in table.get(subject.id, {}).values() for mistake in mistakes)


def record(subject: str, judged: Iterable[tuple[Mutant, Judgement]]) -> dict[str, Any]:
    """What the closing summary is to know: how many of each operator, and by what they were refused."""
    reasons = {Refused: lambda j: j.value, Evidence: lambda j: "none at all", type(None): lambda j: "survived"}
    found = [(mutant.operator, reasons[type(judgement)](judgement)) for mutant, judgement in judged]  # type: ignore[no-untyped-call]
    return {
        "kind": "mutants",
        "subject": subject,
        "mutants": len(found),
        "verdicts": dict(Counter(reason for _, reason in found)),
        "operators": dict(Counter(operator for operator, _ in found)),
    }


def test_there_are_thousands() -> None:
    assert sum(1 for subject in SUBJECTS for _ in subject.mutants()) > 8000


def test_every_derivative_and_every_rule_of_the_house_is_a_subject() -> None:
    """By name, but for `published_slope`, a document's mistake that is kept as it is, and for adamw, which is adam."""
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
    assert rules - helpers - {"adamw"} == {rule.id for rule in RULES}
    assert {row.rule for rule in RULES for row in rule.configurations} >= rules - helpers - {
        "_coupled",
        "_decayed",
        "_moments",
    }


# --- whether the trial can tell -------------------------------------------------------------------------------------


def square_forward(x: Array) -> tuple[Array, Array]:
    return x * x, x


def square_backward(x: Array) -> Array:
    return 2 * x


def square(at: Callable[[int, float, int], Arguments]) -> Derivation:
    gradient = Gradient(square_forward, lambda cache, x: square_backward(cache), at)
    functions: Any = (square_backward,)
    return Derivation("square", functions, (gradient,))


def survivors(subject: Derivation) -> list[str]:
    return [label(subject, mutant) for mutant in subject.mutants() if subject.judged(mutant) is None]


def test_a_mutant_that_the_point_cannot_tell_survives_and_is_named() -> None:
    """At x = 2, where 2 x is 2 + x, and a number of float32. None is called equivalent, since elsewhere they are not."""

    def at(seed: int, scale: float, samples: int) -> Arguments:
        return (np.full(samples, 2.0) if seed in (1, 2) else draw(seed, scale, samples),)

    assert survivors(square(at)) == ["swap-operator * to +", "float32 return"]
    assert survivors(square(lambda seed, scale, samples: (draw(seed, scale, samples),))) == []


def judgements(id: str, *operators: str) -> dict[str, Judgement]:
    subject = BY_ID[id]
    return {label(subject, m): subject.judged(m) for m in subject.mutants() if m.operator in operators}


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
    found = judgements("nine_weight_stable", "scale-result", "scale-constant")
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
        ("nadam-fast-fading", "nadam", "update:scale-constant 1 by 1e-10 #3"),
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
    right = gradient.gradient(*gradient.point)

    def fail_with(mutant: Mutant) -> None:
        with standing_in(function, mutant.build()):
            gradient.gradient(*gradient.elsewhere)
            assert not np.array_equal(gradient.gradient(*gradient.point), right)
            raise KeyError

    for mutant in mutants(function, ["stale-cache", "drop-factor"], limit=2):
        with pytest.raises(KeyError):
            fail_with(mutant)
        assert (function.__code__, function.__kwdefaults__) == before
        assert np.array_equal(gradient.gradient(*gradient.point), right)


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
