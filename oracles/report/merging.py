"""Results read, written, and put together: the same whatever the order in which they come."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

VERSION = 1
Record: TypeAlias = dict[str, Any]

_SEVERITY = ("passed", "skipped", "failed")
_TIMES = {"seconds", "ratios"}
_NOT_FINITE_MEANS_INFINITE = {"agreement", "certificate", "lockstep", "drift"}


@dataclass(frozen=True)
class Results:
    """What a gate found, on one machine or on several."""

    draws: int
    seed: int
    environments: tuple[str, ...]
    """One line for each kind of machine: versions and architecture."""
    records: tuple[Record, ...]
    """In the order of the tests' names."""
    conflicts: tuple[str, ...] = ()
    """Tests of which the machines do not say the same."""


def load(path: Path) -> Results:
    """The results of a file. Raises OSError if it cannot be read, and ValueError, which names it, if it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise ValueError(f"expected version {VERSION}, got {content['version']!r}; run the gate again")
        run = content["run"]
        records = tuple(_infinite(record) for record in content["records"])
        return Results(run["draws"], run["seed"], tuple(run["environments"]), records, tuple(content["conflicts"]))
    except (ValueError, KeyError, TypeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: expected results of the gate, as --results writes them: {what}") from error


def save(results: Results, path: Path) -> None:
    """Write a file for `load`, as results.schema.json describes it, a line for each record. Makes missing folders."""
    run = {"draws": results.draws, "seed": results.seed, "environments": results.environments}
    head = {"version": VERSION, "run": run, "conflicts": results.conflicts}
    records = ",\n".join(_json(record) for record in results.records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{_json(head)[:-1]}, "records": [\n{records}\n]}}\n', encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(_finite(value), allow_nan=False)


def merged(results: Sequence[Results]) -> Results:
    """All in one. Of a test that several have run the worst outcome counts, and differences are told as conflicts.

    Raises ValueError for no results at all, and for different seeds: their draws have the same names and are others.
    """
    if not results:
        raise ValueError("expected at least one results.json, got none")
    seeds = sorted({r.seed for r in results})
    if len(seeds) > 1:
        raise ValueError(f"expected results of one seed, got the seeds {', '.join(map(str, seeds))}; report each alone")
    records: list[Record] = []
    conflicts = {conflict for r in results for conflict in r.conflicts}
    groups = [(_by_test(r.records), ", ".join(r.environments)) for r in results]
    for test in sorted({test for group, _ in groups for test in group}):
        versions = [(group[test], environment) for group, environment in groups if test in group]
        records += sorted((found for found, _ in versions), key=_rank)[0]
        conflicts |= _conflicts(test, versions)
    environments = sorted({e for r in results for e in r.environments})
    draws = max(r.draws for r in results)
    return Results(draws, seeds[0], tuple(environments), tuple(records), tuple(sorted(conflicts)))


def _by_test(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record["test"], []).append(record)
    return groups


def _rank(records: list[Record]) -> tuple[int, str]:
    """The worst outcome first; beyond that any order will do that does not depend on the one they came in."""
    return -max(_SEVERITY.index(r["outcome"]) for r in records), json.dumps(records, sort_keys=True)


def _conflicts(test: str, versions: Sequence[tuple[list[Record], str]]) -> set[str]:
    outcomes = sorted({(found[0]["outcome"], environment) for found, environment in versions})
    if len({outcome for outcome, _ in outcomes}) > 1:
        return {f"{test}: {'; '.join(f'{outcome} with {environment}' for outcome, environment in outcomes)}"}
    if len({_without_times(found) for found, _ in versions}) > 1:
        return {f"{test}: {outcomes[0][0]} with other numbers"}
    return set()


def _without_times(records: list[Record]) -> str:
    return json.dumps([{k: v for k, v in r.items() if k not in _TIMES} for r in records], sort_keys=True)


def _infinite(record: Record) -> Record:
    """With infinity again where JSON has null for it."""
    if record["kind"] not in _NOT_FINITE_MEANS_INFINITE:
        return record
    return {name: math.inf if value is None else value for name, value in record.items()}


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
