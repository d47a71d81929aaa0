"""--results: what every check found, as JSON that `results.schema.json` beside this file describes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gate.verdicts import PROPERTY

VERSION = 1


def write_results(path: Path, reports: Iterable[pytest.TestReport], run: Mapping[str, Any]) -> None:
    """One record per subject and check, in the order of the tests' names. Folders of `path` are made if missing."""
    records = sorted((r for report in reports for r in _records(report)), key=lambda r: str(r["test"]))
    content = _finite({"version": VERSION, "run": dict(run), "records": records})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def _records(report: pytest.TestReport) -> list[dict[str, Any]]:
    """What a test left behind, or else that there was one; nothing for the parts before and after it that went well."""
    if report.when != "call" and report.passed:
        return []
    test: dict[str, Any] = {"test": report.nodeid, "outcome": report.outcome}
    if not report.passed:
        said = report.longrepr  # its text without the name of the worker, which `longreprtext` adds
        test["message"] = said[2] if isinstance(said, tuple) else str(said)
    found: list[Any] = [value for name, value in report.user_properties if name == PROPERTY]
    return [{**test, **value} for value in found] or [{**test, "kind": "test"}]


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
