"""The hand-written gradient agrees with every oracle, at every sample of every draw, within what rounding explains."""

from __future__ import annotations

import pytest

from oracles.registration import Subject
from tests.gate.draws import Draw
from tests.gate.trials import case, estimate
from tests.gate.verdicts import settle


def test_gradient(subject: Subject, oracle: str, draw: Draw, request: pytest.FixtureRequest) -> None:
    trial = case(subject, draw)
    answer, seconds = estimate(oracle, subject, draw)
    own, shared = trial.rounding.gradients[0], trial.framework_rounding.gradients[0]
    settle(trial, oracle, trial.gradient, answer.gradient, own + shared + answer.error, own, seconds, request)


def test_forward(subject: Subject, framework: str, draw: Draw, request: pytest.FixtureRequest) -> None:
    trial = case(subject, draw)
    answer, seconds = estimate(framework, subject, draw)
    own, shared = trial.rounding.value, trial.framework_rounding.value
    settle(trial, f"{framework} forward", trial.loss, answer.loss, own + shared, own, seconds, request)
