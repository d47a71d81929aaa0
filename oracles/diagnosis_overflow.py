"""Where a gradient that is not finite first was not: the line, and the name that got an infinity or a NaN there."""

from __future__ import annotations

import linecache
import sys
from pathlib import PurePath
from types import FrameType
from typing import Any

import numpy as np

from oracles.diagnosis_edits import functions_of
from oracles.trial import Trial


def first_not_finite(trial: Trial) -> str | None:
    """The first line of the user's own code after which a local is not finite; None if there is none.

    Arguments that are not finite from the start are no news.
    """
    files = {f.__code__.co_filename for f in functions_of(trial.subject)}
    known: dict[FrameType, tuple[int, set[str]]] = {}
    found: list[str] = []

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if found or frame.f_code.co_filename not in files:
            return None
        bad = {name for name, value in frame.f_locals.items() if _is_bad(value)}
        if event == "call":
            known[frame] = frame.f_lineno, bad
            return trace
        line, before = known[frame]
        if event == "return" and not bad - before and _is_bad(arg) and not before:
            bad = {"the result"}
        if bad - before:
            found.append(_told(frame, line, sorted(bad - before)[0], arg if bad == {"the result"} else None))
            return None
        known[frame] = frame.f_lineno, bad
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with np.errstate(all="ignore"):
            trial.gradient(trial.arguments(lifted=False))
    finally:
        sys.settrace(before)
    return found[0] if found else None


def _is_bad(value: object) -> bool:
    return (
        isinstance(value, np.ndarray | float) and np.asarray(value).dtype.kind == "f" and not np.isfinite(value).all()
    )


def _told(frame: FrameType, line: int, name: str, result: Any) -> str:
    code = frame.f_code
    value = np.asarray(frame.f_locals[name] if result is None else result)
    first = value[~np.isfinite(value)].ravel()[0]
    source = linecache.getline(code.co_filename, line).strip()
    kind = "overflows" if np.isinf(first) else "is not a number"
    return f"{PurePath(code.co_filename).name}:{line} in {code.co_name}:  {source}\n{name} {kind} here first ({first})"
