"""The child process in which one subject runs: `python -m oracles.isolated FILE FOLDER DRAWS SEED NUMBER`.

It tells what it does in FOLDER/events.jsonl, one JSON object on each line, written at once: so the parent knows what
was going on when a subject hangs or takes the process down with it. Where that was is left in FOLDER/stack.txt, also on
SIGABRT. Whatever the subject prints goes to the child's own output.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from oracles.submission import BrokenSubmissionError, draws_of, results_at, subjects_in

EVENTS, STACK = "events.jsonl", "stack.txt"
MEMORY = 4 * 2**30
"""Bytes that a subject may allocate: a MemoryError at its own line is better than a machine out of memory."""


def main(file: str, folder: str, draws: str, seed: str, number: str) -> None:
    """Try the subject with this number of a file. Events: broken, or subjects and then trying, tried, ..., done.

    A draw that is wrong is tried twice: the second event has the cause, or never comes.
    """
    path, out = Path(file), os.open(Path(folder, EVENTS), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(event: str, **what: Any) -> None:
        os.write(out, (json.dumps({"event": event, **what}) + "\n").encode())

    try:
        found = subjects_in(path)
    except BrokenSubmissionError as error:
        tell("broken", reason=str(error))
        return
    tell("subjects", ids=[s.id for s in found])
    subject = found[int(number)]
    for draw in draws_of(subject, int(draws), int(seed)):
        tell("trying", draw=draw.id)
        for result in results_at(draw, subject, path):
            tell("tried", **result.as_dict())
        if result.outcome in ("broken", "wrong"):  # settled: locating wrong entries again and again takes its time
            break
    tell("done")


def _end_with_parent() -> None:
    """On Linux, nobody is left alone in an endless loop: when the parent is killed, so is this process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, see prctl(2)


def _limit(what: int, most: int) -> None:
    """Never more than is allowed already."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.argv[:] = arguments[:1]  # the subject's file finds itself where a script does,
    sys.path.insert(0, str(Path(arguments[0]).parent))  # and its neighbours
    faulthandler.enable(open(Path(arguments[1], STACK), "w"), all_threads=False)  # noqa: SIM115  (for good)
    _end_with_parent()
    _limit(resource.RLIMIT_DATA, MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    code = 1
    try:
        main(*arguments)
        code = 0
    except BaseException:  # a subject has damaged what this process needs
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)  # at once, whatever threads and exit handlers a subject has left behind
