"""What a run on GitHub shows by itself: a job summary in Markdown, and an annotation on the line of each failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oracles.report.merging import Results
from oracles.report.verdicts import Cell, Failure, Matrix, failures, matrices, outcomes

LONGEST_MESSAGE = 4000
"""Characters. GitHub refuses summaries beyond a megabyte, and cuts annotations."""


def summary(results: Results) -> str:
    """Markdown for $GITHUB_STEP_SUMMARY: the verdict, each failure with its cause, and the matrices."""
    found = failures(results)
    counts = ", ".join(f"{n} {outcome}" for outcome, n in outcomes(results.records).items() if n)
    parts = [f"## backproof: {'wrong' if found else 'all right'}", f"{counts or 'nothing was tried'}"]
    parts += [_failure(failure) for failure in found]
    parts += [_matrix(matrix) for matrix in matrices(results)]
    if results.conflicts:
        parts.append("\n".join(["### Machines that disagree", "", *(f"- {_cell(c)}" for c in results.conflicts)]))
    return "\n\n".join(parts) + "\n"


def error_commands(results: Results) -> Iterator[str]:
    """One workflow command for each failure, on its line of the backward where that is known.

    Source: GitHub's documentation, "Workflow commands for GitHub Actions", setting an error message.
    """
    for failure in failures(results):
        place = {"file": failure.file, "line": failure.line or ""} if failure.file else {}
        properties = {**place, "title": f"{failure.on_trial} is wrong"}
        written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value)
        yield f"::error {written}::{_data(_cut(failure.diagnosis or failure.message))}"


def _failure(failure: Failure) -> str:
    place = f" at `{failure.place}`" if failure.place else ""
    lines = [f"### {_cell(failure.on_trial)}{place}", ""]
    if failure.diagnosis:
        lines += [_block(failure.diagnosis), ""]
    return "\n".join([*lines, _block(_cut(failure.message)), "", "Reproduce:", "", _block(failure.rerun)])


def _block(text: str) -> str:
    """A code block whose fence no line of the text can close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _matrix(matrix: Matrix) -> str:
    header = _row([matrix.group, *matrix.suites])
    rows = [_row([name, *(_verdict(cell) for cell in cells)]) for name, cells in matrix.rows]
    return "\n".join([header, _row(["---"] * (1 + len(matrix.suites))), *rows])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _verdict(cell: Cell | None) -> str:
    return "" if cell is None else f"{'❌' if cell.failed else '✅'} {cell.words}"


def _cell(text: str) -> str:
    """Text that Markdown takes as it is, in one line."""
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
