"""Ratios of times, side by side: nothing here asserts how long anything takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.side_by_side import MODULES, comparisons

ROOT = Path(__file__).parents[2]
THREADS = [n for n in (1, 2) if n <= (os.cpu_count() or 1)]


@pytest.mark.parametrize("threads", THREADS, ids=lambda n: f"threads{n}")
@pytest.mark.parametrize("name", [name for kind in MODULES for name in comparisons(kind)])
def test_side_by_side(name: str, threads: int, benchmark: Any) -> None:
    """The process of a comparison, which fails if its competitors disagree; their turns go into `extra_info`."""
    command = [sys.executable, "-m", "tests.bench", name, "--threads", str(threads)]

    def run() -> dict[str, Any]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    benchmark.extra_info.update({"comparison": name, "threads": threads, **benchmark.pedantic(run, rounds=1)})


@pytest.mark.parametrize("workers", THREADS, ids=lambda n: f"workers{n}")
def test_gate(workers: int, benchmark: Any) -> None:
    """The gate itself, with the seconds of each of its suites from JUnit's file."""
    from tests.bench.gate import shares

    benchmark.extra_info.update({"gate": workers, **benchmark.pedantic(shares, args=(workers,), rounds=1)})
