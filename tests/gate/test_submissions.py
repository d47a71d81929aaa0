"""Every file of --subject is tried in a process of its own: each of its subjects gets a verdict or an explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oracles.isolation import Report, try_file
from tests.gate.verdicts import PROPERTY, rerun

OUTCOMES = ("broken", "wrong", "undecided", "compared", "right")
"""From the worst to the best."""


def test_submission(submission: Path, seed: int, request: pytest.FixtureRequest) -> None:
    option = request.config.option
    report = try_file(submission, option.draws, seed, option.time_limit)
    rows = _rows(report)
    request.node.user_properties.extend((PROPERTY, row) for row in rows)
    bad = [row for row in rows if row["outcome"] not in ("right", "compared")]
    if bad:
        found = [f"{row['subject']} is {row['outcome']}{_at(row)}: {row['evidence']}" for row in bad]
        pytest.fail("\n".join([*found, f"  rerun: {rerun(request)}"]), pytrace=False)


def _rows(report: Report) -> list[dict[str, Any]]:
    """One for each subject: its worst draw, and of these the first."""
    file: dict[str, Any] = {"kind": "submission", "file": report.path.name}
    if report.broken:
        return [file | {"subject": report.path.stem, "outcome": "broken", "draws": 0, "evidence": report.broken}]
    rows = []
    for subject in dict.fromkeys(t.subject for t in report.tryings):
        tried = [t for t in report.tryings if t.subject == subject]
        worst = min(tried, key=lambda t: OUTCOMES.index(t.outcome))
        digits = [t.digits for t in tried if t.digits is not None]
        rows.append(
            file
            | {
                "subject": subject,
                "outcome": worst.outcome,
                "draws": sum(1 for t in tried if t.draw),
                "draw": worst.draw,
                "digits": min([*digits, 99.0]) if digits else None,  # 99 stands for all, as elsewhere
                "evidence": "\n".join([worst.evidence, *(f"note: the file {note}" for note in report.notes)]),
            }
        )
    return rows


def _at(row: dict[str, Any]) -> str:
    return f" at {row['draw']}" if row.get("draw") else ""
