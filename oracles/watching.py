"""Watching code run, by a trace function: what runs, and a limit for code that may never end, as it is edited or where.

Counting lines instead of seconds stops the same code at the same line on every machine. Seconds are for what no count
of lines ends: an integer that is squared over and over doubles its length each time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from time import process_time
from types import CodeType, FrameType
from typing import Any


def codes_run_by(run: Callable[[], object]) -> list[CodeType]:
    """The code of every Python function that a call runs, in the order in which they first return: callees first."""
    codes: dict[CodeType, None] = {}

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_lines = False
        if event == "return":
            codes.setdefault(frame.f_code)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(Exception):  # until it raises it has run what it has
            run()
    finally:
        sys.settrace(before)
    return list(codes)


_SELDOM = 16
"""Lines between two looks at the clock, which asks the system and takes longer than most lines."""


class TooLong(BaseException):
    """More ran than was allowed. No Exception, so that `except Exception` around a loop does not keep it."""


class Lines:
    """How many lines of some files have run in a `limited` block."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def limited(
    files: Collection[str] | None = None, most: int = sys.maxsize, seconds: float = math.inf
) -> Iterator[Lines]:
    """Meanwhile at most so many lines from these files, or from all, run in this thread, or TooLong is raised there.

    It is raised too, a few lines later, after so many seconds of processor time.

    A trace function that is set already, such as a debugger's, waits: it is set again on leaving.
    """
    lines, before, last = Lines(), sys.gettrace(), process_time() + seconds

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if files is not None and frame.f_code.co_filename not in files:
            return None
        lines.count += 1
        if lines.count > most or (lines.count % _SELDOM == 0 and process_time() > last):
            raise TooLong
        return trace

    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)
