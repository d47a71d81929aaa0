"""Where in a backward the mistake can be: the lines that the wrong entries depend on, the likeliest first.

Two things are looked at. Every number of every line is doubled in turn, to see which entries of the gradient depend on
it: a mistake is where all wrong ones do, and most likely where no other does. And a local of the backward that is named
after one of the forward, such as `du` after `u`, should be the derivative of the loss with respect to it: that can be
measured, by moving `u`. The first of them that is wrong is made from a mistake.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from oracles.diagnosis_bench import Bench, Groups
from oracles.diagnosis_edits import Editable
from oracles.mutation_body import Body
from oracles.repair_operators import computed
from oracles.trial import Array

_DERIVATIVE = re.compile(r"_?(d[A-Z_a-z]|grad|delta|return|self\.d|self\.grad)")
"""How the name of a derivative begins where people write one."""
_NAMED = re.compile(r"^(?:grad_|d_?|delta_?)(?P<after>\w+)$|^(?P<before>\w+)_grad$")
_RIGHT, _WRONG = 1e-6, 1e-4
_MOVES = "_backproof_moves"


@dataclass(frozen=True)
class Place:
    """A line where the mistake may be."""

    editable: Editable
    line: int
    reached: Groups
    """What of the gradient depends on it."""
    exactly: bool
    """Whether that is what is wrong, and nothing else."""


@dataclass(frozen=True)
class Named:
    """A local of the backward that is named after one of the forward, and whether it is the derivative by that."""

    name: str
    of: str
    right: bool
    editable: Editable
    line: int
    """Where it gets its value."""


def reached(bench: Bench, editables: Sequence[Editable]) -> list[tuple[Editable, int, Groups]]:
    """What of the gradient each line reaches, without changing the loss.

    Of a line with several numbers, what that one reaches which all of the wrong entries depend on and the fewest others.
    """
    found = []
    for editable in editables:
        by_line: dict[int, list[Groups]] = {}
        for node in computed(editable.body):
            for text in ("2 * {}", "1.5 + {}"):
                changed = _changed(bench, editable, node, text)
                if changed is not None:
                    by_line.setdefault(int(node.lineno), []).append(changed)
                    break
        for line, each in sorted(by_line.items()):
            enough = [groups for groups in each if not (bench.wrong & ~groups).any()]
            found.append((editable, line, min(enough, key=np.sum) if enough else np.any(each, axis=0)))
    return found


def _changed(bench: Bench, editable: Editable, node: ast.expr, text: str) -> Groups | None:
    code = editable.code([editable.body.piece(node, text.format(editable.body.operand(node)))])
    if code is None:
        return None
    with editable.running(code):
        changed = bench.changed(bench.gradients())
        return changed if changed is not None and changed.any() and bench.keeps_the_loss() else None


def likely_places(
    bench: Bench,
    lines: Sequence[tuple[Editable, int, Groups]],
    named: Sequence[Named],
    backward: Sequence[Editable],
    shared: Set[int],
) -> list[Place]:
    """Lines that every wrong group depends on, the likeliest first; `shared` are the ids of what the loss calls too."""
    calls = re.compile(rf"\b({'|'.join(re.escape(e.function.__name__) for e in backward)})\(")
    right = {(id(n.editable), n.line) for n in named if n.right}
    wrong = {(id(n.editable), n.line): i for i, n in reversed([*enumerate(n for n in named if not n.right)])}
    ranked = []
    for editable, line, groups in lines:
        if (bench.wrong & ~groups).any() or (id(editable), line) in right:
            continue
        more = int((groups & ~bench.wrong).sum())
        source = editable.source.line(line)
        rank = (
            more,
            wrong.get((id(editable), line), len(wrong)),
            id(editable) in shared,
            bool(calls.search(source)) or _packs(editable.body, line),
            not _DERIVATIVE.match(source),
            _position(editable.function),
            line,
        )
        ranked.append((rank, Place(editable, line, groups, more == 0)))
    return [place for _, place in sorted(ranked, key=lambda pair: pair[0])]


def partial_places(bench: Bench, lines: Sequence[tuple[Editable, int, Groups]]) -> list[Place]:
    """Lines that some wrong groups depend on and no other, those with the most first: for one of several mistakes."""
    found = [Place(e, line, g, False) for e, line, g in lines if not (g & ~bench.wrong).any() and (bench.wrong & ~g).any()]
    return sorted(found, key=lambda p: (-int(p.reached.sum()), _position(p.editable.function), p.line))


def _packs(body: Body, line: int) -> bool:
    """Whether a line only puts together what was made before."""
    nodes = [node for node in body.nodes if getattr(node, "lineno", 0) == line]
    computes = any(isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare) for node in nodes)
    return not computes and any(isinstance(node, ast.Tuple | ast.List | ast.Dict) for node in nodes)


def _position(function: FunctionType) -> tuple[str, int]:
    return function.__code__.co_filename, function.__code__.co_firstlineno


# --- locals that are named after others -----------------------------------------------------------------------------


def named_locals(bench: Bench, forward: Sequence[Editable], backward: Sequence[Editable]) -> list[Named]:
    """Derivatives by intermediates of the forward, in the order in which the backward makes them."""
    made = {name: (e, node) for e in forward for name, node in _assigned(e.body)}
    wanted: dict[CodeType, dict[str, int]] = {}
    for editable in backward:
        names = {name: node.lineno for name, node in _assigned(editable.body) if _named_after(name) in made}
        if names:
            wanted[editable.function.__code__] = names
    if not wanted:
        return []
    seen = _watch(bench, wanted)
    found = []
    for editable in backward:
        code = editable.function.__code__
        for name, line in wanted.get(code, {}).items():
            of = _named_after(name)
            value = seen.get((code, name))
            if value is None or of is None:
                continue
            right = _is_derivative(bench, *made[of], value)
            if right is not None:
                found.append(Named(name, of, right, editable, line))
    return found


def _named_after(name: str) -> str | None:
    match = _NAMED.match(name)
    return (match["after"] or match["before"]) if match else None


def _assigned(body: Body) -> Iterator[tuple[str, ast.Assign]]:
    """Plain names that are assigned to once, outside of loops."""
    found = [
        (target.id, node)
        for node in body.all(ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and len(node.targets) == 1
    ]
    stores = [n.id for n in body.all(ast.Name) if isinstance(n.ctx, ast.Store)]
    for name, node in found:
        in_loop = any(isinstance(n, ast.For | ast.While) for n in body.around(node))
        if stores.count(name) == 1 and not in_loop:
            yield name, node


def _watch(bench: Bench, wanted: dict[CodeType, dict[str, int]]) -> dict[tuple[CodeType, str], Any]:
    """The values of some locals when their function returns; none of a function that is called more than once."""
    seen: dict[tuple[CodeType, str], Any] = {}
    calls: dict[CodeType, int] = {}

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if code not in wanted:
            return None
        if event == "call":
            calls[code] = calls.get(code, 0) + 1
        elif event == "return":
            for name in wanted[code]:
                if name in frame.f_locals:
                    seen[code, name] = np.array(frame.f_locals[name], dtype=np.float64)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        bench.gradients()
    finally:
        sys.settrace(before)
    return {key: value for key, value in seen.items() if calls[key[0]] == 1}


def _is_derivative(bench: Bench, forward: Editable, node: ast.Assign, value: Array) -> bool | None:
    """Whether a value is the derivative of the loss by what a statement of the forward assigns; None if it is not clear.

    Measured along a random direction, by central differences, extrapolated once.
    """
    moved = forward.code([forward.body.piece(node.value, f"{forward.body.operand(node.value)} + {_MOVES}")])
    if moved is None or bench.needs_value:
        return None
    value = np.broadcast_to(value, bench.value.shape) if value.size == 1 else value
    direction = np.random.default_rng(0).standard_normal(value.shape)
    namespace = forward.function.__globals__
    trial = bench.trial

    def loss(t: float) -> Array:
        namespace[_MOVES] = t * direction
        return np.asarray(trial.value(trial.arguments(lifted=False)), dtype=np.float64)

    try:
        with forward.running(moved):
            h = 2.0**-10
            wide, narrow = ((loss(s * h) - loss(-s * h)) / (2 * s * h) for s in (2.0, 1.0))
            slope, error = (4 * narrow - wide) / 3, np.abs(narrow - wide)
    except Exception:  # of any kind: it may not broadcast
        return None
    finally:
        namespace.pop(_MOVES, None)
    if slope.size > 1 and value.shape[: slope.ndim] != slope.shape:
        return None
    terms = (value * direction).reshape(*slope.shape, -1)
    size = np.abs(terms).sum(axis=-1) + np.abs(slope)
    with np.errstate(all="ignore"):
        off = np.abs(terms.sum(axis=-1) - slope) / size
        clear = (error / size < 1e-3) & (size > 0)
    if not clear.any():
        return None
    worst = float(np.max(off[clear]))
    return True if worst < _RIGHT else False if worst > _WRONG else None
