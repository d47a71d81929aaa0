"""The page: Jinja2 puts the verdicts, the figures and the tables into one file that needs nothing else."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from oracles.report.figures import sections
from oracles.report.merging import Results
from oracles.report.tables import tables
from oracles.report.verdicts import failures, matrices, outcomes

_EVIDENCE = 10_000
"""Characters after which a table on the terminal would cut; a page need not."""

READINGS = {
    "submissions": "One row for each subject of a submitted file; “digits” is the worst that was certified.",
    "agreement": "“digits” is the worst agreement with the oracle over the entries that rounding leaves stable; "
    "“detects” is the smallest relative error that would have been caught at a typical entry.",
    "certificate": "Every entry is proved to this many digits, in the widest arithmetic of so many bits.",
    "correct digits": "Worst and median number of digits that float64 keeps, against the certified truth: 16 are all, "
    "0.0 is a number without a single right digit.",
    "each step": "One update from the same state, params and state compared at every step; “none” says why a "
    "framework has no such rule.",
    "free-running": "How far apart whole runs end; right implementations stay within what “noise explains”.",
    "published": "NO marks a published result that does not follow from what is stated beside it; the evidence is "
    "that of a thousand runs.",
    "speed": "How many times faster the first way is than the second, in the median and at the extremes.",
    "derived by hand": "Each mutant is the right code with one mistake in it; what is not refused must be listed as no "
    "mistake.",
    "same mutants": "How many wrong gradients of each size a check in use lets pass, of all that it was given; a row "
    "without a miss and without a false alarm is what one wants.",
}


class Table(NamedTuple):
    """A table with what to make of it; its first row is the header."""

    id: str
    title: str
    reading: str
    header: list[str]
    rows: list[list[str]]

    @property
    def kinds(self) -> list[str]:
        """How each column is set: numbers to the right, with words such as “all” among them."""
        columns = zip(*self.rows, strict=True)
        return ["number" if any(map(_NUMBER, c)) and all(map(_AMONG_NUMBERS, c)) else "text" for c in columns]


_NUMBER = re.compile(r"[-+\d./ e%]+").fullmatch
_AMONG_NUMBERS = re.compile(r"[-+\d./ e%]+|all|none|").fullmatch


def page(results: Results) -> str:
    """The HTML of a report: the same bytes for the same results."""
    environment = Environment(
        loader=PackageLoader("oracles.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        results=results,
        counts=outcomes(results.records),
        failures=failures(results),
        matrices=matrices(results),
        sections=sections(results.records),
        tables=list(_tables(results)),
        style=_part("style.css"),
        script=_part("page.js"),
    )


def pictures(results: Results) -> dict[str, str]:
    """Every picture of the page by its id, as an SVG file with the page's colours, light and dark."""
    colours = _part("style.css").partition("* {")[0] + "svg { background: var(--paper); }"
    return {
        f.id: f.svg.replace(">", f"><style>{colours}</style>", 1) for s in sections(results.records) for f in s.figures
    }


def _part(name: str) -> Markup:
    return Markup(files("oracles.report").joinpath(name).read_text(encoding="utf-8"))


def _tables(results: Results) -> list[Table]:
    found = []
    for number, (title, (header, *rows)) in enumerate(tables(results.records, _EVIDENCE), start=1):
        reading = next((text for start, text in READINGS.items() if start in title), "")
        found.append(Table(f"table-{number}", title, reading, header, rows))
    return found
