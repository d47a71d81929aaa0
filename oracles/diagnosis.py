"""Why a gradient is wrong: the line of the backward, and the edit that makes it right, proved by its certificate.

The explanation is found by repair: `oracles.diagnosis_search` undoes mistakes of the kinds that gradients are known for
in the text of the backward, and the certificate confirms one of them at every sample. So an explanation is never a
guess: with that edit the gradient is right. A gradient that is a difference quotient in disguise is told first
(`oracles.diagnosis_quotient`). Where no edit makes it right, the values are looked at (`oracles.diagnosis_values`), and
where they fit nothing either, nothing is claimed.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass

import numpy as np

from oracles.certificate import Certificate
from oracles.diagnosis_quotient import difference_quotient
from oracles.diagnosis_search import search
from oracles.diagnosis_values import explained_by_values, ratios
from oracles.diagnosis_words import told
from oracles.trial import Trial


@dataclass(frozen=True)
class Diagnosis:
    """The cause of a wrong gradient."""

    text: str
    """In words, with the source line and its correction where they are known."""
    file: str = ""
    line: int = 0
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return self.text


def diagnose(trial: Trial, certificate: Certificate) -> Diagnosis | None:
    """The explanation of a gradient that was proved wrong, or None where none holds.

    `certificate` is that of `trial`. While it searches, the subject's functions run edited code; they are put back.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # edited code may average over nothing, and what it prints is no news
        try:
            if quotient := difference_quotient(trial, certificate):
                return Diagnosis(quotient)
            found = search(trial, certificate)
        finally:
            with contextlib.suppress(Exception):  # what raises now has raised before
                trial.leave_floats()
    if found.repair is not None and found.proof is not None:
        edit = found.repair.told
        file = found.repair.editable.source.filename
        return Diagnosis(told(found.repair, found.proof), file, found.repair.line, edit.before, edit.after)
    words = explained_by_values(trial, certificate)
    return Diagnosis(words) if words else None


def unexplained(certificate: Certificate) -> str:
    """What there is to say of a gradient that nothing explains: that, and how the first wrong entries are wrong."""
    return "\n".join(["no single mistake that is known explains it", *ratios(certificate)])
