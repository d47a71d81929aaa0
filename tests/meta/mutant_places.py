"""Putting a mutant in the place of its original for a while, and keeping one that never ends from running on."""

from __future__ import annotations

import linecache
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, FunctionType
from typing import Any

SECONDS = 5.0
"""Of CPU time that a mutant may take: a hundred times what the slowest originals need."""


class EndlessError(BaseException):
    """A mutant runs on. No Exception, which checks take as an answer of the code that they try."""


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """Raises EndlessError once what runs here has taken so much CPU time. For Python code in the main thread."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise EndlessError(f"no end after {seconds:g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def standing_in(function: FunctionType, mutant: FunctionType) -> Iterator[None]:
    """Whoever calls `function` meanwhile runs the mutant. Both have the same closure variables."""
    before = function.__code__, function.__kwdefaults__
    function.__code__, function.__kwdefaults__ = mutant.__code__, mutant.__kwdefaults__
    try:
        yield
    finally:
        function.__code__, function.__kwdefaults__ = before


def rebound(mutant: FunctionType, original: FunctionType) -> FunctionType:
    """The mutant with the closure of another function that has the original's text."""
    cells = dict(zip(original.__code__.co_freevars, original.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in mutant.__code__.co_freevars)
    made = FunctionType(mutant.__code__, mutant.__globals__, mutant.__name__, mutant.__defaults__, closure)
    made.__kwdefaults__ = mutant.__kwdefaults__
    return made


def name_of(function: FunctionType) -> str:
    """What the ids of its mutants begin with."""
    if function.__name__ != "<lambda>":
        return function.__qualname__
    return f"lambda_{'_'.join(function.__code__.co_varnames)}_{function.__code__.co_firstlineno}"


def written_out(function: FunctionType) -> FunctionType:
    """A function as it is, and a lambda as the def that it abbreviates: only that can be mutated."""
    code = function.__code__
    if code.co_name != "<lambda>":
        return function
    body = [place for place in code.co_positions() if place[2]]  # the entry has column 0
    start, end = min(place[2] or 0 for place in body), max(place[3] or 0 for place in body)
    text = linecache.getline(code.co_filename, code.co_firstlineno)[start:end]
    arguments = ", ".join(code.co_varnames[: code.co_argcount])
    return compiled(f"def {name_of(function)}({arguments}):\n    return {text}\n", name_of(function), function)


def compiled(text: str, name: str, origin: FunctionType) -> FunctionType:
    """A function of this name and source, among the globals of another."""
    filename = f"<{name} of {origin.__module__}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    found: dict[str, Any] = {}
    exec(compile(text, filename, "exec", dont_inherit=True), origin.__globals__, found)
    made: FunctionType = found[name]
    return made
