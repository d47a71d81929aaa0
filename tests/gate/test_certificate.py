"""The hand-written gradient is certified to 30 digits or more at every sample, and its floats keep their promise."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from oracles.accuracy import correct_digits
from oracles.registration import Subject
from tests.gate.draws import Draw
from tests.gate.trials import case, estimate
from tests.gate.verdicts import PROPERTY, place, rerun

DIGITS = 30


def test_certified(subject: Subject, draw: Draw, frameworks: list[str], request: pytest.FixtureRequest) -> None:
    trial = case(subject, draw)
    started = time.perf_counter()
    certificate = trial.certificate()
    seconds = time.perf_counter() - started
    if not certificate.ok or certificate.digits < DIGITS:
        pytest.fail(f"{trial.id}: {certificate}\n  rerun: {rerun(request)}", pytrace=False)
    truth = certificate.claimed[0]
    evaluations = {subject.id: trial.gradient}
    if subject.graph and subject.rounds_unlike is None:  # subjects of one graph need its frameworks' digits once
        evaluations |= {name: estimate(name, subject, draw)[0].gradient for name in frameworks}
    digits = {name: correct_digits(values, truth) for name, values in evaluations.items()}
    record = {
        "kind": "certificate",
        "subject": subject.id,
        "family": (subject.rounds_unlike or subject).id,
        "points": certificate.entries,
        "digits": certificate.digits,
        "where": draw.id,
        "precision": certificate.precision,
        "seconds": seconds,
        "weights": list(subject.weights) or ["all"],
        "accuracy": {name: _histograms(subject, d) for name, d in digits.items()},
    }
    request.node.user_properties.append((PROPERTY, record))
    worst = np.unravel_index(int(np.argmin(digits[subject.id])), digits[subject.id].shape)
    kept = float(digits[subject.id][worst])
    assert kept >= subject.promised_digits, (
        f"{subject.id} promises {subject.promised_digits:g} correct digits in float64 and keeps {kept:.2f} at "
        f"{place(trial, tuple(map(int, worst)))}\n  rerun: {rerun(request)}"
    )


def _histograms(subject: Subject, digits: np.ndarray[Any, Any]) -> list[dict[str, int]]:
    """One histogram for each weight that has a name, or one for all entries."""
    columns = digits.T if subject.weights else digits.reshape(1, -1)
    return [_histogram(column) for column in columns]


def _histogram(digits: np.ndarray[Any, Any]) -> dict[str, int]:
    """How many samples have so many correct digits, in tenths: enough for the worst and the median over all draws."""
    tenths, counts = np.unique(np.floor(digits * 10).astype(int), return_counts=True)
    return {str(t): int(c) for t, c in zip(tenths, counts, strict=True)}
