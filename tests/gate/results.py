"""--results: what every check found, as JSON that `results.schema.json` beside this file describes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gate.verdicts import PROPERTY

VERSION = 1


def write_results(path: Path, reports: Iterable[pytest.TestReport], run: Mapping[str, Any]) -> None:
    """One record per subject and check, in the order of the tests' names. Folders of `path` are made if missing."""
    records = sorted(
        (r for report in reports for r in _records(report)), key=lambda r: (r["test"], r.get("subject", ""))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": VERSION, "run": dict(run), "records": records}, indent=1) + "\n")


def _records(report: pytest.TestReport) -> list[dict[str, Any]]:
    if report.when != "call" and not report.failed:
        return []
    common = {"test": report.nodeid, "outcome": report.outcome}
    if report.failed:
        common["message"] = report.longreprtext
    found: list[Any] = [value for name, value in report.user_properties if name == PROPERTY]
    return [{**_renamed(value), **common} for value in found] or [{"kind": "test", **common}]


def _renamed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A submission's own outcome is its verdict; `outcome` is the test's."""
    return {("verdict" if key == "outcome" else key): value for key, value in record.items()}
