"""Who was tried by what, with which outcome; and the failures, one for each cause."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import dedent
from typing import NamedTuple

from oracles.report.merging import Record, Results

GROUPS = ("submissions", "gradients", "optimizers", "published", "replication")
FIRST_SUITES = ("certificate", "step by step", "torch_autograd", "jax_grad")
_PASSING_VERDICTS = ("right", "compared")


@dataclass(frozen=True)
class Cell:
    """The outcomes of one suite's tests of one subject."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failure: str = ""
    """The id of the failure, for a link."""

    @property
    def words(self) -> str:
        if self.failed:
            return f"{self.failed} of {self.passed + self.failed + self.skipped} failed"
        return f"{self.passed} passed" + (f", {self.skipped} skipped" if self.skipped else "")

    @property
    def verdict(self) -> str:
        return "failed" if self.failed else "passed" if self.passed else "skipped"


class Matrix(NamedTuple):
    """A row for each subject, a column for each suite, None where the one is not tried by the other."""

    group: str
    suites: list[str]
    rows: list[tuple[str, list[Cell | None]]]


class Occurrence(NamedTuple):
    """A test that failed, and what it said."""

    test: str
    message: str


@dataclass(frozen=True)
class Failure:
    """Everything that failed for one cause."""

    id: str
    group: str
    on_trial: str
    diagnosis: str
    file: str
    line: int
    message: str
    rerun: str
    occurrences: tuple[Occurrence, ...]

    @property
    def place(self) -> str:
        """`manual/nine_weight.py:74`, without the line or empty where that is not known."""
        return f"{self.file}:{self.line}" if self.line else self.file


def matrices(results: Results) -> list[Matrix]:
    """One for each group of subjects, in a fixed order."""
    found = {_where(r): _id(i) for i, records in enumerate(_gathered(results), start=1) for r in records}
    counts: dict[str, dict[tuple[str, str], dict[str, set[str]]]] = {}
    for record in results.records:
        group, row, suite = _where(record)
        cells = counts.setdefault(group, {})
        cells.setdefault((row, suite), {}).setdefault(_outcome(record), set()).add(record["test"])
    return [_matrix(group, counts[group], found) for group in sorted(counts, key=_group_order)]


def _group_order(group: str) -> tuple[int, str]:
    return GROUPS.index(group) if group in GROUPS else len(GROUPS), group


def _matrix(
    group: str, cells: dict[tuple[str, str], dict[str, set[str]]], failed: dict[tuple[str, str, str], str]
) -> Matrix:
    suites = sorted({suite for _, suite in cells}, key=lambda s: (_place_in(FIRST_SUITES, s), s))
    rows: list[tuple[str, list[Cell | None]]] = []
    for row in sorted({row for row, _ in cells}):
        line: list[Cell | None] = []
        for suite in suites:
            outcomes = cells.get((row, suite))
            tests = {name: len(found) for name, found in (outcomes or {}).items()}
            line.append(Cell(**tests, failure=failed.get((group, row, suite), "")) if outcomes else None)
        rows.append((row, line))
    return Matrix(group, suites, rows)


def _place_in(known: tuple[str, ...], name: str) -> int:
    return known.index(name) if name in known else len(known)


def _where(record: Record) -> tuple[str, str, str]:
    """Group, row and column. Results of other tools may not say; then the test's own file does."""
    if record["kind"] == "submission":
        return "submissions", record["subject"], "verdict"
    file = record["test"].partition("::")[0]
    return record.get("group", "other tests"), record.get("on_trial", file), record.get("suite", "all")


def _outcome(record: Record) -> str:
    if record["kind"] == "submission":
        return "passed" if record["verdict"] in _PASSING_VERDICTS else "failed"
    return str(record["outcome"])


# --- failures -------------------------------------------------------------------------------------------------------


def failures(results: Results) -> list[Failure]:
    """The failed tests, gathered by the line to look at; where none is known, by what was on trial."""
    return [_failure(_id(i), records, results) for i, records in enumerate(_gathered(results), start=1)]


def _gathered(results: Results) -> list[list[Record]]:
    """The failed records of each cause, one for each test, and what says most first."""
    causes: dict[tuple[str, int, str], dict[str, Record]] = {}
    for record in results.records:
        if record["outcome"] == "failed" and _outcome(record) == "failed":
            group, on_trial, _ = _where(record)
            cause = record.get("cause", {})
            file, line = cause.get("file", ""), cause.get("line", 0)
            # What is said of a submitted file is said of all its subjects together.
            known = line and record["kind"] != "submission"
            key = (file, line, "" if known else f"{group} {on_trial}")
            causes.setdefault(key, {}).setdefault(record["test"], record)
    gathered = [sorted(records.values(), key=_telling) for records in causes.values()]
    return sorted(gathered, key=lambda records: (_group_order(_where(records[0])[0]), _where(records[0])))


def _id(number: int) -> str:
    return f"failure-{number}"


def _failure(id: str, records: list[Record], results: Results) -> Failure:
    first = records[0]
    group, on_trial, _ = _where(first)
    cause = first.get("cause", {})
    command = re.search(r"^(?:E\s)?\s*rerun: (.*)$", first["message"], re.MULTILINE)
    return Failure(
        id=id,
        group=group,
        on_trial=on_trial,
        diagnosis=cause.get("text", ""),
        file=cause.get("file", ""),
        line=cause.get("line", 0),
        message=_message(first),
        rerun=command[1] if command else _rerun(first["test"], results),
        occurrences=tuple(Occurrence(r["test"], _message(r)) for r in sorted(records, key=lambda r: str(r["test"]))),
    )


def _telling(record: Record) -> tuple[int, bool, int, str]:
    """What says most in fewest words comes first."""
    diagnosis = record.get("cause", {}).get("text", "")
    return _place_in(FIRST_SUITES, record.get("suite", "")), not diagnosis, len(diagnosis), record["test"]


def _message(record: Record) -> str:
    if record["kind"] == "submission":
        where = f" at {record['draw']}" if record["draw"] else ""
        return f"{record['subject']} is {record['verdict']}{where}:\n{record['evidence']}"
    return re.sub(r"\n?^\s*rerun: .*$", "", _said(record["message"]), flags=re.MULTILINE)


def _said(message: str) -> str:
    """Of pytest's account of an exception only what the exception says."""
    lines = [line[1:] for line in message.splitlines() if line.startswith("E  ")]
    said = dedent("\n".join(lines)).removeprefix("AssertionError: ")
    return re.sub(r"\n *assert .*", "", said, flags=re.DOTALL) if said else message


def _rerun(test: str, results: Results) -> str:
    return f"pytest {shlex.quote(test)} --draws {results.draws} --seed {results.seed}"


# --- counts ---------------------------------------------------------------------------------------------------------


def outcomes(records: Iterable[Record]) -> dict[str, int]:
    """How many tests passed, failed and were skipped."""
    tests: dict[str, str] = {}
    for record in records:  # a test that broke after it had passed has failed
        tests[record["test"]] = min(tests.get(record["test"], "skipped"), record["outcome"])
    return {outcome: list(tests.values()).count(outcome) for outcome in ("passed", "failed", "skipped")}
