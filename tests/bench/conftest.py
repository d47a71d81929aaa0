"""The closing table of ratios."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from statistics import median
from typing import Any

import pytest

from tests.gate.summary import aligned


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    infos = [b.extra_info for b in session.benchmarks if b.stats] if session else []
    for title, lines in (("side by side", list(ratios(infos))), ("the gate", list(of_gate(infos)))):
        if lines:
            terminalreporter.section(f"{title}: {machine()}")
            for line in lines:
                terminalreporter.write_line(line)


def machine() -> str:
    from cpuinfo import get_cpu_info  # comes with pytest-benchmark, which is not there where only the tables are tested

    info = get_cpu_info()
    processor = f"{info.get('brand_raw', info['arch'])}, {info['count']} cores"
    return ", ".join([processor, f"Python {platform.python_version()}", *map(_versioned, ("numpy", "torch", "jax"))])


def _versioned(package: str) -> str:
    return f"{package} {version(package)}"


def ratios(infos: list[dict[str, Any]]) -> Iterator[str]:
    """Medians of our seconds, and of the others' in each round as a multiple of ours."""
    rows = [["comparison", "threads", "ours", "seconds", "against", "times ours", "middle half", "note"]]
    for info in (i for i in infos if "comparison" in i):
        (ours, first), *others = info["seconds"].items()
        for place, (name, seconds) in enumerate(others):
            quotients = sorted(b / a for a, b in zip(first, seconds, strict=True))
            quarter = len(quotients) // 4
            half = f"{quotients[quarter]:.2g} to {quotients[-1 - quarter]:.2g}"
            head = [info["comparison"], str(info["threads"]), ours, f"{median(first):.2g}"] if not place else [""] * 4
            rows.append([*head, name, f"{median(quotients):.2f}", half, info["notes"].get(name, "")])
        rows += [["", "", "", "", name, "absent", "", reason] for name, reason in info["absent"].items()]
    return iter(aligned(rows) if len(rows) > 1 else [])


def of_gate(infos: list[dict[str, Any]]) -> Iterator[str]:
    """Seconds of the whole gate and of its suites' rows, by the number of workers."""
    runs = sorted((i for i in infos if "gate" in i), key=lambda i: int(i["gate"]))
    if not runs:
        return
    suites = sorted(runs[0]["suites"], key=lambda s: -runs[0]["suites"][s])
    rows = [["suite", *(f"-n {run['gate']}" for run in runs)], ["wall clock", *(f"{run['wall']:.1f}" for run in runs)]]
    rows += [[suite, *(f"{run['suites'].get(suite, 0.0):.1f}" for run in runs)] for suite in suites]
    yield from aligned(rows)
