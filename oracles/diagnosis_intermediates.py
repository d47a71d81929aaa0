"""The backward's intermediates, measured: is the `du` of this backward the derivative of the loss by the forward's `u`?

People name derivatives after what they are by. So a local of the backward that is named after a local or argument of
the forward says what it should be, and what it is can be measured: move that `u`, and see how the loss follows. The
first that is wrong is made from a mistake, those that are right are not.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np

from oracles.ball import lift
from oracles.diagnosis_bench import Bench
from oracles.diagnosis_edits import Editable
from oracles.diagnosis_slopes import CLOSE, PRECISION, errors_of, slope_along
from oracles.mutation_body import Body
from oracles.mutation_source import Piece
from oracles.subject import on_balls
from oracles.trial import Array

_NAMED = re.compile(r"^(?:grad_|d_?|delta_?)(?P<after>\w+)$|^(?P<before>\w+)_grad$")
_MOVES = "_backproof_moves"


@dataclass(frozen=True)
class Intermediate:
    """A local of the backward that is named after something of the forward, and whether it is the derivative."""

    name: str
    right: bool
    editable: Editable
    line: int
    """Where it gets its value."""


def intermediates(bench: Bench, forward: Sequence[Editable], backward: Sequence[Editable]) -> list[Intermediate]:
    """Those whose derivative can be measured, in the order in which the backward makes them."""
    moved = {name: (e, piece) for e in forward for name, piece in _movable(e)}
    wanted: dict[CodeType, dict[str, int]] = {}
    for editable in backward:
        names = {name: node.lineno for name, node in _assigned(editable.body) if _named_after(name) in moved}
        if names:
            wanted[editable.original] = names
    seen = _values(bench, wanted) if wanted else {}
    found = []
    for editable in backward:
        for name, line in wanted.get(editable.original, {}).items():
            value, of = seen.get((editable.original, name)), _named_after(name)
            if value is None or of is None:
                continue
            right = _is_derivative(bench, *moved[of], value)
            if right is not None:
                found.append(Intermediate(name, right, editable, line))
    return found


def _named_after(name: str) -> str | None:
    match = _NAMED.match(name)
    return (match["after"] or match["before"]) if match else None


def _movable(editable: Editable) -> Iterator[tuple[str, Piece]]:
    """What moves each argument and each local of a forward."""
    body = editable.body
    first = next(node for node in body.nodes if isinstance(node, ast.stmt))
    start = editable.source.span(first)[0]
    for name in body.parameters:
        yield name, Piece(start, start, f"{name} = {name} + {_MOVES}; ")
    for name, node in _assigned(body):
        yield name, body.piece(node.value, f"{body.operand(node.value)} + {_MOVES}")


def _assigned(body: Body) -> Iterator[tuple[str, ast.Assign]]:
    """Plain names that are assigned to once, outside of loops."""
    stores = [n.id for n in body.all(ast.Name) if isinstance(n.ctx, ast.Store)]
    for node in body.all(ast.Assign):
        in_loop = any(isinstance(n, ast.For | ast.While) for n in body.around(node))
        (target, *more) = node.targets
        if isinstance(target, ast.Name) and not more and stores.count(target.id) == 1 and not in_loop:
            yield target.id, node


def _values(bench: Bench, wanted: dict[CodeType, dict[str, int]]) -> dict[tuple[CodeType, str], Array]:
    """The values that some locals get; none of a function that is called more than once."""
    seen: dict[tuple[CodeType, str], Array] = {}
    calls: dict[CodeType, int] = {}

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if code not in wanted:
            return None
        if event == "call":
            calls[code] = calls.get(code, 0) + 1
        for name in wanted[code].keys() & frame.f_locals.keys():
            if (code, name) not in seen:  # before anything is written into it
                seen[code, name] = np.array(frame.f_locals[name], dtype=np.float64)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        bench.trial.gradient(bench.trial.arguments(lifted=False))
    except Exception:  # of any kind: not every local is a number
        return {}
    finally:
        sys.settrace(before)
    return {key: value for key, value in seen.items() if calls[key[0]] == 1}


def _is_derivative(bench: Bench, forward: Editable, move: Piece, value: Array) -> bool | None:
    """Whether a value is the derivative of the loss by what moves, along a direction; None if that is unknown."""
    moved = forward.code([move])
    if moved is None:
        return None
    value = np.broadcast_to(value.reshape(()), bench.value.shape) if value.size == 1 else value
    direction = np.random.default_rng(0).standard_normal(value.shape)
    namespace, trial = forward.function.__globals__, bench.trial

    def loss(t: float) -> Any:
        namespace[_MOVES] = lift(direction) * t
        return trial.value(trial.arguments())

    try:
        with forward.running(moved), on_balls(trial.subject, PRECISION, literals=False):
            slope = slope_along(loss)
    except Exception:  # of any kind: it may not broadcast, balls may not run it
        return None
    finally:
        namespace.pop(_MOVES, None)
    if value.shape[: slope.ndim] != slope.shape or not np.isfinite(slope).any():
        return None
    worst, typical = errors_of([value], [direction], slope)
    return worst <= CLOSE and typical <= bench.tolerance
