"""The closing summary: what every test recorded, in tables that do not depend on order or on the number of workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

Row = dict[str, Any]


def tables(records: Iterable[Row]) -> Iterator[tuple[str, list[list[str]]]]:
    """(title, rows of cells with the header first) for each kind of record that is there."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for record in records:
        kinds[record["kind"]].append(record)
    if kinds["submission"]:
        yield "submissions, the worst first", _submissions(kinds["submission"])
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
    if kinds["speed"]:
        yield "speed", _speed(kinds["speed"])


def _submissions(records: list[Row]) -> list[list[str]]:
    table = [["subject", "file", "verdict", "draws", "digits", "evidence"]]
    order = ("broken", "wrong", "undecided", "compared", "right")
    for r in sorted(records, key=lambda r: (order.index(r["outcome"]), r["subject"], r["file"])):
        digits = f"{r['digits']:.1f}" if r.get("digits") is not None else ""
        table.append([r["subject"], r["file"], r["outcome"], str(r["draws"]), digits, _gist(r["evidence"])])
    return table


def _gist(evidence: str) -> str:
    """The line that says what is wrong, or what is right."""
    lines = [line.strip() for line in evidence.splitlines()]
    telling = [line for line in lines if " WRONG " in line or " open " in line]
    return " ".join((telling or [*(x for x in lines if x.startswith("certificate")), *lines])[0].split())


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
    for (family,), rows in sorted(_grouped(records, "family").items()):
        counts = _summed(rows)
        if len({r["subject"] for r in rows}) > 1:
            cells = [[name, *map(_worst_and_median, columns)] for name, columns in sorted(counts.items())]
            yield title, [["evaluation", *rows[0]["weights"]], *cells]
        else:
            rest[family] = {name: _worst_and_median(_merged(columns)) for name, columns in counts.items()}
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


def aligned(rows: list[list[str]]) -> list[str]:
    """Cells in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
