"""One comparison in one process: its competitors take turns, so that whatever disturbs the machine disturbs all.

A process of its own for each comparison (`python -m tests.bench NAME`) lets the number of threads be set before any
library starts, and leaves nothing warm but what is timed.
"""

from __future__ import annotations

import importlib
import math
import os
import time
from collections.abc import Callable, Mapping
from timeit import timeit
from typing import Any, NamedTuple

MODULES = {"gradient": "gradients", "check": "checks", "training": "training"}
"""Where the comparisons of each kind are, the first word of their names."""
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 200
_SECONDS = float(os.environ.get("BACKPROOF_BENCH_SECONDS", "8"))
"""About how long the turns of one comparison take in all, beyond the least rounds."""
_TURN = 0.01
"""Seconds that a turn takes at least: a call shorter than that is repeated, or it would find the caches as the others
left them, and what is timed would be the memory."""


class Competitor(NamedTuple):
    """One way to the result."""

    run: Callable[[], Any]
    note: str = ""
    """What a reader should know of it, such as the smallest error that a check sees."""


class Absent(NamedTuple):
    """A way that does not work here, and why."""

    reason: str


class Comparison(NamedTuple):
    """Ways to one result, made ready when they are asked for; the first is ours."""

    make: Callable[[], Mapping[str, Competitor | Absent]]
    agree: Callable[[Mapping[str, Any]], None]
    """Raises AssertionError unless the results of all are the same thing."""


def comparisons(kind: str) -> Mapping[str, Comparison]:
    """Those of one kind, by name."""
    found: Mapping[str, Comparison] = importlib.import_module(f"tests.bench.{MODULES[kind]}").COMPARISONS
    return found


def comparison(name: str) -> Comparison:
    """The comparison of that name. Raises ValueError for another."""
    kind = name.partition("-")[0]
    known = comparisons(kind) if kind in MODULES else {}
    if name not in known:
        raise ValueError(f"name: expected one of {', '.join(known or MODULES)}, got {name!r}")
    return known[name]


def limit_threads(threads: int) -> None:
    """Before NumPy, torch or JAX are imported: how many threads each may use."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if hasattr(os, "sched_setaffinity"):  # XLA's pool asks the machine, not the environment
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def measured(this: Comparison) -> dict[str, Any]:
    """`seconds` of a call in each turn by competitor, `notes`, and the reason of each that is `absent`."""
    ready = this.make()
    running = {name: c for name, c in ready.items() if isinstance(c, Competitor)}
    this.agree({name: c.run() for name, c in running.items()})  # compiles, too
    calls = {name: math.ceil(_TURN / timeit(c.run, number=1)) for name, c in running.items()}
    seconds: dict[str, list[float]] = {name: [] for name in running}
    begin = time.perf_counter()
    while len(rounds := next(iter(seconds.values()))) < _MOST_ROUNDS:
        if len(rounds) >= _LEAST_ROUNDS and time.perf_counter() - begin > _SECONDS:
            break
        for name, competitor in running.items():
            seconds[name].append(timeit(competitor.run, number=calls[name]) / calls[name])
    return {
        "seconds": seconds,
        "notes": {name: c.note for name, c in running.items() if c.note},
        "absent": {name: c.reason for name, c in ready.items() if isinstance(c, Absent)},
    }
