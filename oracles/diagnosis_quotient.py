"""A finite difference in disguise: a gradient that is a difference quotient of its loss, with a step to name."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import product

import numpy as np
from flint import arb

from oracles.ball import balls, lift
from oracles.certificate import Certificate
from oracles.diagnosis_values import is_number
from oracles.subject import on_balls
from oracles.trial import Trial
from oracles.verdict import WrongEntry

_STEPS = tuple(f"1e-{k}" for k in range(2, 11))
_KINDS = {"central": ("1", "-1", "2"), "forward": ("1", "0", "1"), "backward": ("0", "-1", "1")}
"""(f(x + a h) - f(x + b h)) / (c h)"""
_SAME = 1e-3
"""Of an error, of which a few digits are told: so nearly must it be that of the quotient."""
_MOST_ENTRIES = 3
_PRECISION = 320


def difference_quotient(trial: Trial, certificate: Certificate) -> str | None:
    """Which quotient every one of the first wrong entries is, if they are all the same one."""
    wrong = certificate.wrong[:_MOST_ENTRIES]
    if not wrong or not all(w.parameter in trial.names and _is_small(w) for w in wrong):
        return None
    for kind, step in product(_KINDS, _STEPS):
        if all(_is_quotient(trial, certificate, entry, kind, step) for entry in wrong):
            told = f"the {kind} difference quotient of the loss, with the step {step}"
            return f"every wrong entry is no derivative but {told}"
    return None


def _is_small(entry: WrongEntry) -> bool:
    if not is_number(entry):
        return False
    claimed, true = Decimal(entry.claimed), Decimal(entry.true)
    return bool(true) and abs(claimed - true) < Decimal("1e-2") * abs(true)


def _is_quotient(trial: Trial, certificate: Certificate, entry: WrongEntry, kind: str, step: str) -> bool:
    """Whether the error of an entry is that of a quotient, in the digits that are told of it."""
    ahead, behind, width = _KINDS[kind]
    sample = entry.sample
    if sample and trial.separable((len(trial.args[trial.wrt[0]]),)):  # one sample is enough
        trial, sample = trial.take(np.array(sample)), (0,)
    which = trial.names.index(entry.parameter)
    parameter = trial.parameters[which]
    at = (*sample, *entry.index) if parameter.ndim == len(sample) + len(entry.index) else entry.index
    unit = np.zeros(parameter.shape)
    unit[at] = 1.0
    try:
        with on_balls(trial.subject, _PRECISION, literals=certificate.literals):
            ends = []
            for times in (ahead, behind):
                moved = [lift(p) for p in trial.parameters]
                moved[which] = moved[which] + lift(unit) * (arb(step) * int(times))
                ends.append(balls(trial.value(trial.arguments(moved)))._a[sample])
            quotient = (ends[0] - ends[1]) / (arb(step) * int(width))
    except Exception:  # of any kind: balls cannot run it there
        return False
    claimed, true = Decimal(entry.claimed), Decimal(entry.true)
    error, of_quotient = float(claimed - true), float((quotient - arb(entry.true)).mid())
    digits = abs(float(true)) * 1e-16
    # The claim is a float, so its error is only known to a rounding or two, and has to stand out from them.
    return math.isclose(error, of_quotient, rel_tol=_SAME, abs_tol=2 * digits) and abs(error) > 20 * digits
