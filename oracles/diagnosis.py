"""Why a gradient is wrong."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from types import FunctionType

import numpy as np

from oracles.certificate import Certificate
from oracles.diagnosis_edits import Editable, functions_of, written_out
from oracles.diagnosis_search import Search
from oracles.diagnosis_words import told
from oracles.diagnosis_values import explained_by_values
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
    functions = functions_of(trial.subject)
    with (
        np.errstate(all="ignore"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        written_out(functions) as files,
    ):
        warnings.simplefilter("ignore")
        diagnose.findings=None
        try:
            search = Search(trial, certificate, [e for f in functions if (e := _editable(f)) is not None])
            findings = search.findings()
            diagnose.search = search; diagnose.findings = findings
            if findings.explanation is not None:
                (repair, *_) = findings.explanation.repairs
                filename = repair.editable.source.filename
                return Diagnosis(told(findings.explanation, trial, files), files.get(filename, filename), repair.line, repair.told.before, repair.told.after)
        finally:
            trial.leave_floats()
    words = explained_by_values(trial, certificate)
    return Diagnosis(words) if words else None


def _editable(function: FunctionType) -> Editable | None:
    try:
        return Editable(function)
    except (TypeError, ValueError):
        return None
