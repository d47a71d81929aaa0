"""What every test recorded, in tables that do not depend on order or on the number of workers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from oracles.report.mutant_tables import kill_cells, mutant_cells
from oracles.submission import OUTCOMES

Row = dict[str, Any]
_WIDEST_NAME = 40
_LEAST_EVIDENCE = 72


def tables(records: Iterable[Row], width: int) -> Iterator[tuple[str, list[list[str]]]]:
    """(title, rows of cells with the header first) for each kind of record that is there.

    The messages of submissions may be long: they are cut so that a line fits `width`, if that leaves anything of them.
    """
    kinds: dict[str, list[Row]] = defaultdict(list)
    for record in records:
        kinds[record["kind"]].append(record)
    if kinds["submission"]:
        yield _count(kinds["submission"]), _submissions(kinds["submission"], width)
    if kinds["agreement"]:
        yield (
            "agreement (tolerances derived from rounding; worst digits over stable entries)",
            _agreement(kinds["agreement"]),
        )
    if kinds["certificate"]:
        yield "certificate (proved, without tolerance)", _certificates(kinds["certificate"])
        yield from _accuracy(kinds["certificate"])
    if kinds["lockstep"]:
        yield "optimizers, each step from the same state (tolerances derived from rounding)", _lockstep(kinds)
    if kinds["drift"]:
        yield "optimizers, free-running from the same weights (drift of the weights)", _drift(kinds["drift"])
    if kinds["replication"]:
        yield "published training results, run again", _replication(kinds["replication"])
    if kinds["mutants"]:
        yield "mutants of all that is derived by hand, and what refuses them first", mutant_cells(kinds["mutants"])
    if kinds["kill"]:
        yield (
            "the same mutants through the checks in use (missed, by the size of the mistake)",
            kill_cells(kinds["kill"]),
        )
    if kinds["speed"]:
        yield "speed", _speed(kinds["speed"])


def _count(records: list[Row]) -> str:
    """Such as `submissions: 2 broken, 1 wrong, 97 right`."""
    verdicts = [r["verdict"] for r in records]
    return f"submissions: {', '.join(f'{verdicts.count(o)} {o}' for o in OUTCOMES if o in verdicts)}"


def _submissions(records: list[Row], width: int) -> list[list[str]]:
    """The worst first."""
    table = [["subject", "file", "verdict", "draws", "digits", "evidence"]]
    for r in sorted(records, key=lambda r: (OUTCOMES.index(r["verdict"]), r["subject"], r["file"])):
        names = [_cut(r[name], _WIDEST_NAME) for name in ("subject", "file")]
        digits = "" if r["digits"] is None else _digits(r["digits"])
        table.append([*names, r["verdict"], str(r["draws"]), digits, "; ".join([*r["notes"], _gist(r)])])
    left = width - sum(column + 2 for column in column_widths(table)[:-1])
    return [[*row, _cut(evidence, max(left, _LEAST_EVIDENCE))] for *row, evidence in table]


def _gist(record: Row) -> str:
    """The finding that says what is wrong and where, or what is right, without its name."""
    lines = record["evidence"].splitlines()
    mark = {"right": "  certificate ", "compared": "  differences "}.get(record["verdict"], r".* (WRONG|open) ")
    line = next((x for x in lines if re.match(mark, x)), lines[0])
    gist = " ".join(re.sub(r"^  .*? (ok|WRONG|open) ", "", line).split())
    return f"{record['draw']}: {gist}" if record["draw"] and record["verdict"] not in ("right", "compared") else gist


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _speed(records: list[Row]) -> list[list[str]]:
    table = [["measured in one process", "times faster", "from", "to"]]
    for r in sorted(records, key=lambda r: str(r["what"])):
        table.append([r["what"], *(f"{x:.1f}" for x in (median(r["ratios"]), min(r["ratios"]), max(r["ratios"])))])
    return table


def _agreement(records: list[Row]) -> list[list[str]]:
    header = ["subject", "oracle", "points", "digits", "at", "unstable", "oracle off", "detects", "seconds"]
    return [
        header,
        *(_agreement_row(key, rows) for key, rows in sorted(_grouped(records, "subject", "oracle").items())),
    ]


def _agreement_row(key: tuple[str, ...], rows: list[Row]) -> list[str]:
    worst = min(rows, key=lambda r: (r["digits"], r["where"]))
    detection = sorted(r["detection"] for r in rows)[len(rows) // 2]
    counts = [str(sum(r[name] for r in rows)) for name in ("unstable", "inaccurate")]
    seconds = f"{sum(r['seconds'] for r in rows):.2f}"
    points = str(sum(r["points"] for r in rows))
    return [*key, points, _digits(worst["digits"]), worst["where"], *counts, f"{detection:.0e}", seconds]


def _certificates(records: list[Row]) -> list[list[str]]:
    header = ["subject", "points", "digits", "at", "bits", "seconds"]
    table = [header]
    for (subject,), rows in sorted(_grouped(records, "subject").items()):
        worst = min(rows, key=lambda r: (r["digits"], r["where"]))
        bits = str(max(r["precision"] for r in rows))
        points, seconds = str(sum(r["points"] for r in rows)), f"{sum(r['seconds'] for r in rows):.2f}"
        table.append([subject, points, _digits(worst["digits"]), worst["where"], bits, seconds])
    return table


def _accuracy(records: list[Row]) -> Iterator[tuple[str, list[list[str]]]]:
    """Weight by weight where several subjects evaluate one graph; for all other graphs in one table."""
    title = "correct digits in float64, worst / median over samples and draws"
    rest: dict[str, dict[str, str]] = {}
    for _, rows in sorted(_grouped(records, "family").items()):
        counts = _summed(rows)
        if len({r["subject"] for r in rows}) > 1:
            cells = [[name, *map(_worst_and_median, columns)] for name, columns in sorted(counts.items())]
            yield title, [["evaluation", *rows[0]["weights"]], *cells]
        else:  # the family's first may have failed, and then left no record
            rest[rows[0]["subject"]] = {name: _worst_and_median(_merged(columns)) for name, columns in counts.items()}
    if rest:
        frameworks = sorted({name for cells in rest.values() for name in cells} - set(rest))
        table = [[s, cells[s], *(cells.get(f, "") for f in frameworks)] for s, cells in rest.items()]
        yield f"{title}, all weights", [["subject", "by hand", *frameworks], *table]


def _summed(records: list[Row]) -> dict[str, list[dict[int, int]]]:
    """For each evaluation one histogram of digits, in tenths, for each weight."""
    counts: dict[str, list[dict[int, int]]] = {}
    for record in records:
        for name, columns in record["accuracy"].items():
            total = counts.setdefault(name, [defaultdict(int) for _ in columns])
            for into, column in zip(total, columns, strict=True):
                for tenths, count in column.items():
                    into[int(tenths)] += count
    return counts


def _merged(columns: list[dict[int, int]]) -> dict[int, int]:
    total: dict[int, int] = defaultdict(int)
    for column in columns:
        for tenths, count in column.items():
            total[tenths] += count
    return total


def _worst_and_median(histogram: dict[int, int]) -> str:
    half, seen = sum(histogram.values()) / 2, 0
    for tenths in sorted(histogram):
        seen += histogram[tenths]
        if seen >= half:
            return f"{min(histogram) / 10:.1f} / {tenths / 10:.1f}"
    raise AssertionError("an empty histogram")


def _lockstep(kinds: dict[str, list[Row]]) -> list[list[str]]:
    table = [["rule", "framework", "settings", "steps", "entries", "digits", "at", "detects", "seconds"]]
    for (rule, framework), rows in sorted(_grouped(kinds["lockstep"], "rule", "framework").items()):
        worst = min(rows, key=lambda r: (r["digits"], r["configuration"]))
        at = f"{worst['configuration']}: {worst['worst']}" if worst["worst"] else ""
        counts = [str(n) for n in (len(rows), sum(r["steps"] for r in rows), sum(r["entries"] for r in rows))]
        sizes = [f"{max(r['detection'] for r in rows):.0e}", f"{sum(r['seconds'] for r in rows):.2f}"]
        table.append([rule, framework, *counts, _digits(worst["digits"]), at, *sizes])
    for (framework, reason), rows in sorted(_grouped(kinds["absent"], "framework", "reason").items()):
        rules = ", ".join(sorted({r["rule"] for r in rows}))
        table.append([rules, framework, str(len(rows)), "none", "", "", reason, "", ""])
    return table


def _drift(records: list[Row]) -> list[list[str]]:
    header = ["rule", "framework", "settings", "runs", "epochs", "apart", "noise explains", "manual off"]
    table = [[*header, "framework off", "seconds"]]
    for (rule, framework), rows in sorted(_grouped(records, "rule", "framework").items()):
        worst = max(rows, key=lambda r: (r["nearest"], r["configuration"]))
        sizes = [f"{worst[name]:.0e}" for name in ("apart", "allowed", "own", "theirs")]
        counts = [str(len(rows)), str(sum(r["runs"] for r in rows)), str(max(r["epochs"] for r in rows))]
        table.append([rule, framework, *counts, *sizes, f"{sum(r['seconds'] for r in rows):.2f}"])
    return table


def _replication(records: list[Row]) -> list[list[str]]:
    table = [["claim", "published", "holds", "evidence"]]
    return table + [[r["name"], r["published"], "yes" if r["holds"] else "NO", r["evidence"]] for r in records]


def _grouped(records: list[Row], *keys: str) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for record in records:
        groups[tuple(record[k] for k in keys)].append(record)
    return groups


def _digits(digits: float) -> str:
    return "all" if digits >= 99 else f"{digits:.1f}"


def column_widths(rows: list[list[str]]) -> list[int]:
    """The longest cell of each column."""
    return [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
