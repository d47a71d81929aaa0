"""Checking one gradient: the certificate and the checks in use, with the smallest planted error that each one sees.

All get the same loss and gradient of a vector, at their default settings. A fast check that sees nothing is no check,
so what it sees stands beside its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from conftest import SUBJECTS
from oracles.registration import Subject
from tests.bench.side_by_side import Absent, Comparison, Competitor
from tests.gate.subjects import network
from tests.meta.kill_matrix import CHECKS, OURS, Check, Problem

SAMPLES = 8
SMALLEST = 30
"""Errors down to 1e-30 of the entry are planted. Below 1e-16 they cannot be expressed in float64, so only a check that
runs the code in other numbers can see them."""


@dataclass(frozen=True)
class Planted:
    """A gradient in which one entry, of middling size, is off by a relative error."""

    subject: Subject
    at: int
    error: float

    def __call__(self, *args: Any) -> Any:
        found = self.subject.gradient(*args)
        is_there = np.zeros(found.shape)
        is_there.ravel()[self.at] = self.error
        return found + found * is_there


def ways(problem: Problem) -> Mapping[str, Competitor | Absent]:
    chosen = [OURS, *(check for check in CHECKS if check.id not in (OURS.id, "the documents' check"))]
    return {check.id: Competitor(partial(accepts, check, problem), seen(check, problem)) for check in chosen}


def accepts(check: Check, problem: Problem) -> bool:
    try:
        return check.accepts(problem)
    except Exception:  # that is how some of them refuse
        return False


def seen(check: Check, problem: Problem) -> str:
    """The smallest power of ten that it refuses as an error of one entry, and those above it too."""
    if not accepts(check, problem):
        return "a false alarm: it refuses the right gradient"
    slope = np.abs(problem.slope(problem.theta))
    at = int(np.argsort(slope)[len(slope) // 2])
    for power in range(SMALLEST + 1):
        error = 2.0 ** -round(power * np.log2(10))  # one bit: decimals of full precision may be roundings, and excused
        wrong = replace(problem.subject, gradient=Planted(problem.subject, at, error))
        if accepts(check, Problem(wrong, problem.args)):
            return f"sees an entry off by 1e-{power - 1}" if power else "sees no error of an entry, even of all of it"
    return f"sees an entry off by 1e-{SMALLEST}"


def agree(results: Mapping[str, bool]) -> None:
    """Ours accepts the right gradient. What others make of it is told beside their time."""
    assert results[OURS.id]


def nine_weights() -> Mapping[str, Competitor | Absent]:
    """4,554 entries: the gradient of each of the 506 samples in weights of its own."""
    (subject,) = (s for s in SUBJECTS if s.id == "nine_weight")
    return ways(Problem(subject, subject.drawn(np.random.default_rng(0), 0.1)))


def of_network(*sizes: int) -> Mapping[str, Competitor | Absent]:
    subject = network(sizes, "tanh", "cross_entropy")
    theta, X, y = subject.drawn(np.random.default_rng(0), 1.0)
    return ways(Problem(subject, (theta, X[:, :SAMPLES], y[:, :SAMPLES])))


COMPARISONS = {
    "check-506x9": Comparison(nine_weights, agree),
    "check-mlp-100": Comparison(partial(of_network, 2, 8, 8, 1), agree),
    "check-mlp-1000": Comparison(partial(of_network, 2, 29, 30, 1), agree),
    "check-mlp-10000": Comparison(partial(of_network, 2, 98, 99, 1), agree),
}
