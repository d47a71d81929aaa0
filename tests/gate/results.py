"""What every check of a run found, as data for --results and --report: `results.schema.json` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from oracles.report.merging import Record, Results
from tests.gate.verdicts import PROPERTY

CASE = f"{PROPERTY}-case"
"""The property that says what a test had on trial: see `tests.gate.cases`."""


def results_of(reports: Iterable[pytest.TestReport], draws: int, seed: int, environment: str) -> Results:
    """One record per subject and check, in the order of the tests' names."""
    records = sorted((r for report in reports for r in _records(report)), key=lambda r: str(r["test"]))
    return Results(draws, seed, (environment,), tuple(records))


def _records(report: pytest.TestReport) -> list[Record]:
    """What a test left behind, or else that there was one; nothing for the parts before and after it that went well."""
    if report.when != "call" and report.passed:
        return []
    test: Record = {"test": report.nodeid, "outcome": report.outcome}
    if not report.passed:
        said = report.longrepr  # its text without the name of the worker, which `longreprtext` adds
        test["message"] = said[2] if isinstance(said, tuple) else str(said)
    for name, value in report.user_properties:
        if name == CASE:
            test |= dict(value)  # type: ignore[call-overload]
    found: list[Any] = [value for name, value in report.user_properties if name == PROPERTY]
    return [{**test, **value} for value in found] or [{**test, "kind": "test"}]
