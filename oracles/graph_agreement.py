"""Whether a subject's loss and gradient are those of its graph, by PyTorch autograd and JAX grad."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from oracles.agreement import compare
from oracles.checking import Finding, Result
from oracles.errors import NotCertifiableError, UndecidedComparisonError
from oracles.registration import Subject
from oracles.rounding import Rounding, rounding_radii
from oracles.trial import Array, Trial

FRAMEWORKS = ("torch_autograd", "jax_grad")


def graph_findings(subject: Subject, args: tuple[Any, ...], seed: int) -> list[Finding]:
    """A finding for each framework: forward and gradient agree within what rounding explains, or where they do not."""
    trial = subject.trial(args, seed)
    with np.errstate(all="ignore"):
        value = np.asarray(trial.value(trial.arguments(lifted=False)), dtype=np.float64)
        gradient = np.asarray(trial.gradient(trial.arguments(lifted=False))[0], dtype=np.float64)
    try:
        rounding = rounding_radii(trial)
    except (NotCertifiableError, UndecidedComparisonError) as error:
        return [Finding("graph", Result.NOTE, f"not compared, since no tolerance can be derived: {error}")]
    return [_finding(name, subject, trial, value, gradient, rounding) for name in FRAMEWORKS]


def _finding(name: str, subject: Subject, trial: Trial, value: Array, gradient: Array, rounding: Rounding) -> Finding:
    answer = importlib.import_module(f"oracles.{name}").gradient(subject.graph, *trial.args)
    for what, mine, theirs, radius in (
        ("the loss", value, answer.loss.reshape(value.shape), rounding.value),
        ("the gradient", gradient, answer.gradient, rounding.gradients[0]),
    ):
        agreement = compare(mine, theirs, 2 * radius.reshape(mine.shape))
        if not agreement.agrees:
            at = tuple(int(i) for i in np.argwhere(agreement.disagrees)[0])
            both = f"{float(mine[at])!r} by hand, {float(theirs[at])!r} by {name}"
            first = f", first at {list(at)}" if at else ""
            return Finding(name, Result.BAD, f"{what} is not that of the graph{first}: {both}")
    return Finding(name, Result.GOOD, f"agrees to {min(agreement.digits, 15.9):.1f} digits")
