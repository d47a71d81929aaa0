"""What the trial of the mutants and the kill matrix leave for the closing summary, as rows of cells."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]

SIZES = ("gross", "float32", "1e-4", "1e-6", "1e-8", "1e-10", "1e-12")
"""Of mistakes: a relative error of so much in one place, the rounding of float32 (6e-8), or anything else."""


def totals(rows: Iterable[Row]) -> list[Row]:
    """One row for each check, in the order in which they first come, from the rows of `tests.meta.kill_matrix`.

    `mutants` and `missed` are counts by `SIZES`; `right` and `alarms` count right gradients and those of them that were
    refused, and `seconds` is the CPU time of these. Plain numbers and text: JSON can hold it.
    """
    found: dict[str, Row] = {}
    for row in rows:
        total = found.setdefault(
            row["check"],
            {name: row[name] for name in ("check", "settings")}
            | {name: dict.fromkeys(SIZES, 0) for name in ("mutants", "missed")}
            | dict.fromkeys(("right", "alarms", "seconds"), 0),
        )
        for name in ("mutants", "missed"):
            total[name] = {size: total[name][size] + row[name][size] for size in SIZES}
        for name in ("right", "alarms", "seconds"):
            total[name] += row[name]
    return list(found.values())


def kill_cells(rows: Iterable[Row]) -> list[list[str]]:
    """The kill matrix: refused, missed, these by size, false alarms on right code, and milliseconds per gradient."""
    table = [["check", "default settings", "refused", "missed", *SIZES, "false alarms", "ms"]]
    for row in totals(rows):
        wrong, missed = (sum(row[name].values()) for name in ("mutants", "missed"))
        sizes = [f"{row['missed'][size]}/{row['mutants'][size]}" for size in SIZES]
        alarms, each = f"{row['alarms']}/{row['right']}", f"{1000 * row['seconds'] / row['right']:.1f}"
        table.append([row["check"], row["settings"], str(wrong - missed), str(missed), *sizes, alarms, each])
    return table


def mutant_cells(rows: Iterable[Row]) -> list[list[str]]:
    """A row for each kind of subject and one for all: how many mutants, by what refused, equivalent, surviving."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    subjects: Counter[str] = Counter()
    for row in rows:
        for of in (row["of"], "all"):
            counts[of].update(row["verdicts"])
            subjects[of] += 1
    outcomes = ["equivalent", "survived"]
    reasons = sorted({reason for verdicts in counts.values() for reason in verdicts} - set(outcomes))
    table = [["mutants of", "subjects", "mutants", "refused", *(f"by {r}" for r in reasons), *outcomes]]
    for of in sorted(counts, key=lambda of: (of == "all", of)):
        made = [
            counts[of].total(),
            sum(counts[of][r] for r in reasons),
            *(counts[of][r] for r in [*reasons, *outcomes]),
        ]
        table.append([of, str(subjects[of]), *map(str, made)])
    return table
