"""Every file of --subject is put on trial: each of its subjects gets a verdict or an explanation."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from oracles.isolation import FileResult, SubjectResult, try_file
from tests.gate.verdicts import PROPERTY


def test_submission(submission: tuple[str, Path], seed: int, request: pytest.FixtureRequest) -> None:
    name, path = submission
    option = request.config.option
    result = try_file(path, option.draws, seed, option.time_limit)
    request.node.user_properties.extend((PROPERTY, row) for row in _rows(name, result))
    if not result.ok:
        options = f"--draws {option.draws} --seed {seed} --time-limit {option.time_limit:g}"
        rerun = f"  rerun: pytest tests/gate --subject {shlex.quote(str(path))} {options}"
        pytest.fail("\n".join([*_complaints(name, result), rerun]), pytrace=False)


def _complaints(name: str, result: FileResult) -> list[str]:
    """One for each subject that did not pass, which names it and what is wrong."""
    if result.broken:
        return [f"{name} {result.broken}"]
    return [_complaint(s) for s in result.subjects if not s.ok]


def _complaint(result: SubjectResult) -> str:
    worst, evidence = result.worst, _evidence(result)
    said = f"{result.subject} is {worst.outcome}{f' at {worst.draw}' if worst.draw else ''}:"
    _, *findings = evidence.splitlines()  # of a table the first line is but its title
    return "\n".join([said, *findings]) if findings and worst.outcome != "broken" else f"{said} {evidence}"


def _rows(name: str, result: FileResult) -> list[dict[str, Any]]:
    """One record for each subject; a file that gives none is its own."""
    if result.broken:
        nothing = {"draws": 0, "draw": "", "digits": None, "notes": []}
        return [_row(name, Path(name).stem, "broken", result.broken, **nothing)]
    return [
        _row(
            name,
            s.subject,
            s.worst.outcome,
            _evidence(s),
            draws=sum(1 for d in s.draws if d.draw),
            draw=s.worst.draw,
            digits=None if s.worst.digits is None else min(s.worst.digits, 99.0),  # 99 stands for all, as elsewhere
            notes=list(s.notes),
        )
        for s in result.subjects
    ]


def _row(file: str, subject: str, verdict: str, evidence: str, **rest: Any) -> dict[str, Any]:
    return {"kind": "submission", "file": file, "subject": subject, "verdict": verdict, "evidence": evidence, **rest}


def _evidence(result: SubjectResult) -> str:
    return "\n".join([result.worst.evidence, *(f"  note: {note}" for note in result.notes)])
