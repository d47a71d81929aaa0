"""Trying a submission in processes of its own, so that a subject that hangs or crashes harms nothing but itself.

Each subject runs in a new process (POSIX): what one does to NumPy, to warnings, to the working directory, to random
state or to the globals of its own file does not reach another, and when it is done, or stopped, whatever it has started
is stopped with it. It gets 4 GiB of memory, no standard input, and 64 MB of output. This is a net for accidents and no
sandbox: a subject can still read and write files, and one that means to can tell lies about itself.
"""

from __future__ import annotations

import json
import linecache
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oracles.isolated import EVENTS, STACK
from oracles.submission import OUTCOMES, DrawResult, in_one_line, place

POLL = 0.02
NOISE = 1_000_000
"""Bytes of output from which a note is made of it."""
MOST_OUTPUT = 64_000_000
"""Bytes of output from which a subject is stopped."""
_LONGEST = 4000
"""Characters of evidence."""


@dataclass(frozen=True)
class SubjectResult:
    """What a subject came to: all of its draws, or those up to the first that was wrong or broken."""

    subject: str
    draws: tuple[DrawResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def worst(self) -> DrawResult:
        """The first draw of the worst outcome; of those that are certified, the one with the fewest digits."""
        return min(self.draws, key=lambda d: (OUTCOMES.index(d.outcome), 0.0 if d.digits is None else d.digits))

    @property
    def ok(self) -> bool:
        return self.worst.outcome in ("right", "compared")


@dataclass(frozen=True)
class FileResult:
    """What a file came to: the results of its subjects in order, or why there are none."""

    path: Path
    subjects: tuple[SubjectResult, ...] = ()
    broken: str = ""

    @property
    def ok(self) -> bool:
        return not self.broken and all(s.ok for s in self.subjects)


def try_file(path: Path, draws: int, seed: int, limit: float) -> FileResult:
    """Try every subject that the file at `path` defines, at `draws` draws that `seed` moves, one process each.

    A subject that gives no result for `limit` seconds, ends its process, or prints without end is broken at that draw.
    Its trial ends there, and so it does at a draw that is proved wrong; the other subjects are tried all the same.
    Nothing is raised for anything that a submission does. Raises ValueError for a number of draws or a limit that is
    not positive.
    """
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    if not limit > 0:
        raise ValueError(f"limit: expected a positive number of seconds, got {limit}")
    path = path.resolve()
    first = _run(path, draws, seed, 0, limit)
    if first.broken:
        return FileResult(path, broken=first.broken)
    others = [_run(path, draws, seed, i, limit) for i in range(1, len(first.ids))]
    results = [_result(name, run, first.ids) for name, run in zip(first.ids, [first, *others], strict=True)]
    return FileResult(path, tuple(results))


@dataclass
class _Run:
    """What a child told, and how it ended."""

    ids: list[str] = field(default_factory=list)
    draws: list[DrawResult] = field(default_factory=list)
    current: str = ""
    done: bool = False
    broken: str = ""
    """Why there are no subjects."""
    ended: str = ""
    """How it ended, if not done."""
    printed: int = 0


def _result(subject: str, run: _Run, ids: list[str]) -> SubjectResult:
    """A child's draws as those of a subject, the one that ended it included."""
    draws = list(run.draws)
    notes = [f"prints {run.printed / 1e6:.1f} MB"] if NOISE < run.printed <= MOST_OUTPUT else []
    if run.ids != ids:
        why = run.broken or f"the file defined {', '.join(ids)} at first and then {', '.join(run.ids)}"
        draws = [DrawResult(subject, "", "broken", why)]
    elif not run.done and draws and draws[-1].outcome == "wrong":
        notes.append(f"{run.ended}, while the cause is being looked for")
    elif not run.done:
        draws.append(DrawResult(subject, run.current, "broken", run.ended))
    return SubjectResult(subject, tuple(draws), tuple(notes))


def _run(path: Path, draws: int, seed: int, number: int, limit: float) -> _Run:
    """Run one child to its end, and read what it has told."""
    with tempfile.TemporaryDirectory(prefix="backproof-") as name:
        folder = Path(name)
        output = folder / "output.txt"
        ended = _ending(_command(path, folder, draws, seed, number), folder, output, limit)
        run = _told(folder)
        run.printed = output.stat().st_size
        run.ended = ended + _where(folder / STACK, path)
    if not run.ids and not run.broken:
        run.broken = f"{run.ended}, while it is being imported"
    return run


def _command(path: Path, folder: Path, draws: int, seed: int, number: int) -> list[str]:
    # -P: no imports from where this happens to run. -B: nothing is left in the folder of the file.
    interpreter = [sys.executable, "-P", "-B", "-m", "oracles.isolated"]
    return [*interpreter, str(path), str(folder), *map(str, (draws, seed, number))]


def _environment() -> dict[str, str]:
    """This one, in which the child finds `oracles`, and sets have the same order every time."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}


def _ending(command: list[str], folder: Path, output: Path, limit: float) -> str:
    """Run a command until it ends or has to be stopped, and say how it ended."""
    events = folder / EVENTS
    events.touch()
    with output.open("wb") as printed:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env=_environment(),
            start_new_session=True,
        )
    try:
        told, since = 0, time.monotonic()
        while child.poll() is None:
            time.sleep(POLL)
            if events.stat().st_size != told:
                told, since = events.stat().st_size, time.monotonic()
            elif time.monotonic() - since > limit:
                _abort(child)
                return f"gives no result within {limit:g} seconds"
            if output.stat().st_size > MOST_OUTPUT:
                _abort(child)
                return f"prints more than {MOST_OUTPUT / 1e6:g} MB"
        return _ended(child.returncode, output)
    finally:
        _kill(child)


def _abort(child: subprocess.Popen[bytes]) -> None:
    """Give the child a moment to leave behind where it is."""
    child.send_signal(signal.SIGABRT)
    try:
        child.wait(timeout=1)
    except subprocess.TimeoutExpired:  # it may ignore the signal; then nobody knows where it is
        return


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it has started: they are one group of processes, of which it is the leader."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:  # all of them have ended
        return
    finally:
        child.wait()


def _ended(code: int, output: Path) -> str:
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        return f"ends its process by signal {names.get(-code, -code)}"
    last = output.read_bytes()[-2000:].decode("utf-8", "replace").strip().splitlines()
    return f"ends its process with code {code}" + (f" ({in_one_line(last[-1])})" if last and code else "")


def _where(stack: Path, path: Path) -> str:
    """The innermost line of the file on the stack that was left behind, if there is one."""
    escaped = str(path).encode("ascii", "backslashreplace").decode()  # as faulthandler writes it
    text = stack.read_text(errors="replace") if stack.exists() else ""
    found = re.search(rf'^  File "{re.escape(escaped)}", line (\d+) in (.*)$', text, flags=re.MULTILINE)
    if found is None:
        return ""
    line = int(found[1])
    return f", {place(line, found[2], linecache.getline(str(path), line).strip())}"


def _told(folder: Path) -> _Run:
    """What the events of a child say. Reading ends at a line that makes no sense, such as one cut off when it ended."""
    run = _Run()
    for line in (folder / EVENTS).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            _take(run, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            return run
    return run


def _take(run: _Run, event: Mapping[str, Any]) -> None:
    match event["event"]:
        case "broken":
            run.broken = _printable(event["reason"])
        case "subjects":
            run.ids = [_printable(name) for name in event["ids"]]
        case "trying":
            run.current = _printable(event["draw"])
        case "tried":
            made = DrawResult(**{name: value for name, value in event.items() if name != "event"})
            known = [d for d in run.draws if d.draw != made.draw]  # the same again, with the cause of what is wrong
            run.draws = [*known, replace(made, evidence=_printable(made.evidence))]
        case "done":
            run.done = True


def _printable(text: str) -> str:
    """Text that a terminal, JSON and xdist can take: a subject's messages may hold anything, escapes included."""
    shown = "".join(c if c == "\n" or c.isprintable() else c.encode("unicode-escape").decode() for c in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
