"""Running a subject's own, unchanged Python on balls.

Inside `on_balls` the subject's functions find stand-ins under the names of `numpy` and `math` (see `oracles.stand_ins`)
and their literals are exact (see `oracles.lifting`). Everything is put back on leaving.

What is changed meanwhile belongs to the whole process: the subject's functions and their globals, and the precision of
python-flint. So one thread at a time is inside; another that enters waits. A thread that calls the same functions
without entering would find them changed.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

from flint import ctx

from oracles.ball_mode import Mode, mode
from oracles.errors import NotCertifiableError
from oracles.lifting import exact_literals
from oracles.reachable import cells, is_foreign, names_in, subject_functions
from oracles.stand_ins import replacements

_ONE_AT_A_TIME = threading.RLock()


@dataclass
class Run:
    """What happened while a subject ran on balls."""

    rounded: list[str]
    """Floats with a full mantissa that met a ball, and long literals, as text: constants that may have been rounded."""
    long_literals: list[str]
    """Of these, literals of 15 digits or more: roundings of something that the source does not say."""


@contextmanager
def on_balls(
    subject: Sequence[object],
    precision: int,
    *,
    literals: bool = True,
    ulps: float = 0.0,
    by_midpoint: bool = False,
) -> Iterator[Run]:
    """Everything in the block, and in particular the subject's functions, runs on balls of `precision` bits.

    `subject` lists the callables that will run. With `literals=False` their source stays as it is, and so do plain
    numbers and pi: for code that asks for the type of a number, or needs a float. `ulps` and `by_midpoint` imitate
    float arithmetic for derived tolerances (see `oracles.ball_mode.Mode`) and have no place in a proof.

    Raises NotCertifiableError or UndecidedComparisonError on leaving if the subject met one and swallowed it, as
    `except Exception` does: what it computed then is not what it computes on floats.
    """
    with _ONE_AT_A_TIME, ExitStack() as stack:
        stack.callback(_restore, ctx.prec, replace(mode))
        ctx.prec = precision
        _restore(precision, Mode(ulps=ulps, by_midpoint=by_midpoint, lifting=literals, keeps_refusals=True))
        versions = replacements(precision, constants=literals)
        reached = subject_functions(subject)
        for function in reached:
            _replace_names(stack, function, versions)
        if literals:
            stack.enter_context(exact_literals(reached, versions))
        try:
            yield Run(mode.rounded, mode.long_literals)
        except Exception as error:
            if mode.refusal is None or mode.refusal in _chain(error):
                raise
            raise mode.refusal from error
        if mode.refusal is not None:
            raise mode.refusal


def _restore(precision: int, before: Mode) -> None:
    ctx.prec = precision
    vars(mode).update(vars(before))


def _replace_names(stack: ExitStack, function: FunctionType, versions: Mapping[int, Any]) -> None:
    """Give a function the replacements for what its globals, closure and defaults hold."""
    namespace = function.__globals__
    for name in names_in(function.__code__) & namespace.keys():
        value = namespace[name]
        if id(value) in versions:
            stack.callback(namespace.__setitem__, name, value)
            namespace[name] = versions[id(value)]
    for cell in cells(function):
        value = cell.cell_contents
        if id(value) in versions:
            stack.callback(setattr, cell, "cell_contents", value)
            cell.cell_contents = versions[id(value)]
    defaults = function.__defaults__ or ()
    if any(id(d) in versions for d in defaults):
        stack.callback(setattr, function, "__defaults__", defaults)
        function.__defaults__ = tuple(versions.get(id(d), d) for d in defaults)


def why_not(error: BaseException) -> str:
    """The reason and the subject's own line, for code that could not run on balls."""
    told = next((e for e in _chain(error) if isinstance(e, NotCertifiableError)), None)
    reason = str(told) if told is not None else f"{type(error).__name__}: {error}"
    places = [place for e in _chain(error) if (place := _own_line(e)) is not None]
    last = places[0] if places else (traceback.extract_tb(error.__traceback__) or [None])[-1]
    if last is None:
        return reason
    return f"{reason}\n  {last.filename}:{last.lineno} in {last.name}: {last.line or '(source not at hand)'}"


def _own_line(error: BaseException) -> traceback.FrameSummary | None:
    """The subject's last line on the way to an error."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [i for i, frame in enumerate(frames) if _is_own(frame.f_globals, frame.f_code.co_filename)]
    return traceback.extract_tb(error.__traceback__)[own[-1]] if own else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes: NumPy turns a refusal into an error of its own, "setting an element with a sequence"."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _is_own(namespace: Mapping[str, Any], filename: str) -> bool:
    return not is_foreign(namespace.get("__name__")) and not filename.endswith((".pyx", ".pxi"))
