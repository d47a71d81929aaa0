"""Trying a submission in a process of its own, so that a subject that hangs or crashes harms nothing but itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oracles.submission import Trying

POLL = 0.02
NOISE = 1_000_000
"""Bytes of output from which a subject is called noisy."""


@dataclass
class Report:
    """What a file came to: the results of its subjects in order, or why there are none."""

    path: Path
    tryings: list[Trying] = field(default_factory=list)
    broken: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.broken and all(t.outcome in ("right", "compared") for t in self.tryings)


def try_file(path: Path, draws: int, seed: int, limit: float) -> Report:
    """Try every subject that `path` defines, in child processes; none may be silent for more than `limit` seconds.

    A subject that exceeds it, or ends its process, is broken, and the next child goes on with the others. Nothing is
    raised for anything that a submission does. Raises ValueError for a limit that is not positive.
    """
    if not limit > 0:
        raise ValueError(f"limit: expected a positive number of seconds, got {limit}")
    report, finished = Report(path), set[str]()
    with tempfile.TemporaryDirectory(prefix="backproof-") as folder:
        for attempt in range(1_000_000):
            results, output = Path(folder, f"{attempt}.jsonl"), Path(folder, f"{attempt}.txt")
            ended = _run(path, results, output, draws, seed, limit, sorted(finished))
            current, done = "", False
            for event in _events(results):
                match event["event"]:
                    case "broken":
                        report.broken, done = event["reason"], True
                    case "trying":
                        current = event["subject"]
                        finished.add(current)
                    case "tried":
                        report.tryings.append(_trying(event))
                    case "done":
                        done = True
            if output.stat().st_size > NOISE:
                report.notes.append(f"prints {output.stat().st_size / 1e6:.1f} MB")
            if done:
                return report
            if not current:  # it never came to a subject: the import hangs, or ends the process
                report.broken = f"{ended} while it was being imported"
                return report
            report.tryings.append(Trying(current, "", "broken", ended))
    raise AssertionError("a submission has fewer subjects than attempts")


def _run(path: Path, results: Path, output: Path, draws: int, seed: int, limit: float, skip: list[str]) -> str:
    """Run one child to its end, and say how it ended: nothing, if well."""
    results.touch()
    command = [sys.executable, "-m", "oracles.isolated", str(path), str(results), str(draws), str(seed), *skip]
    with output.open("wb") as printed:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed)
        size, since = 0, time.monotonic()
        while child.poll() is None:
            time.sleep(POLL)
            if results.stat().st_size != size:
                size, since = results.stat().st_size, time.monotonic()
            elif time.monotonic() - since > limit:
                child.kill()
                child.wait()
                return f"gives no result within {limit:g} seconds"
    return _ending(child.returncode, output)


def _ending(code: int, output: Path) -> str:
    if code < 0:
        return f"ends its process by signal {signal.Signals(-code).name}"
    last = output.read_bytes()[-2000:].decode("utf-8", "replace").strip().splitlines()
    return f"ends its process with code {code}" + (f" ({last[-1]})" if last and code else "")


def _events(results: Path) -> Iterator[Mapping[str, Any]]:
    for line in results.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # the child was killed while it wrote the line
            return


def _trying(event: Mapping[str, Any]) -> Trying:
    return Trying(**{name: value for name, value in event.items() if name != "event"})
