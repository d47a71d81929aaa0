"""Where in a backward the mistake can be: the lines that the wrong entries depend on, the likeliest first.

Every number of every line is changed in turn, to see which entries of the gradient depend on it. A mistake is where all
wrong ones do, and most likely where no other does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from oracles.diagnosis_bench import Bench, Columns
from oracles.diagnosis_edits import Editable
from oracles.diagnosis_intermediates import Intermediate
from oracles.mutation_body import Body

_DERIVATIVE = re.compile(r"_?(d[A-Z_a-z]|grad|delta|return|self\.d|self\.grad)")
"""How the name of a derivative begins where people write one."""


@dataclass(frozen=True)
class Place:
    """A line where the mistake may be."""

    editable: Editable
    line: int
    exactly: bool
    """Whether what depends on it is what is wrong, and nothing else."""


@dataclass(frozen=True)
class Places:
    """All lines of a backward, by how likely the mistake is there."""

    upstream: list[Place]
    """Those that are not behind the first wrong intermediate: none, if there is no such."""
    exact: list[Place]
    unsure: list[Place]
    """Others that all wrong entries depend on."""
    rest: list[Place]


def places_of(bench: Bench, backward: Sequence[Editable], shared: Set[int], named: Sequence[Intermediate]) -> Places:
    """`shared` are the ids of functions that the loss calls too, `named` what is known of intermediates."""
    right = {(id(n.editable), n.line) for n in named if n.right and not _writes(n.editable.body, n.line)}
    calls = re.compile(rf"\b({'|'.join(re.escape(e.function.__name__) for e in backward)})\(")
    ranked, rest = [], []
    for position, editable in enumerate(backward):  # callees first: upstream
        reached = _reached(bench, editable)
        for line in editable.lines:
            columns = reached.get(line)
            if columns is None or (bench.wrong & ~columns).any() or (id(editable), line) in right:
                if (id(editable), line) not in right:
                    rest.append(Place(editable, line, False))
                continue
            more = int((columns & ~bench.wrong).sum())
            source = editable.source.line(line)
            rank = (
                more,
                id(editable.function) in shared,
                bool(calls.search(source)) or _packs(editable.body, line),
                not _renames(editable.body, line),
                not _DERIVATIVE.match(source),
                position,
                line,
            )
            ranked.append((rank, Place(editable, line, more == 0)))
    likely = [place for _, place in sorted(ranked, key=lambda pair: pair[0])]
    exact = [p for p in likely if p.exactly]
    return Places(_upstream(likely, named), exact, [p for p in likely if not p.exactly], rest)


def _upstream(likely: Sequence[Place], named: Sequence[Intermediate]) -> list[Place]:
    """Places that are not behind the first wrong intermediate of their function; none, if there is no such."""
    first: dict[int, int] = {}
    for intermediate in named:
        if not intermediate.right:
            first.setdefault(id(intermediate.editable), intermediate.line)
    return [p for p in likely if first and p.line <= first.get(id(p.editable), p.line)]


def _reached(bench: Bench, editable: Editable) -> dict[int, Columns]:
    """What of the gradient depends on each line: what is 0 by right stays so when it is doubled, and else moves too."""
    by_line: dict[int, list[Columns]] = {}
    for node in _computed(editable.body):
        for text in ("1.5 + 2 * {}", "2 * {}"):
            code = editable.code([editable.body.piece(node, text.format(editable.body.operand(node)))])
            if code is None:
                continue
            with editable.running(code):
                changed = bench.changed()
            if changed is not None and changed.any():
                for line in {editable.body.statement(node).lineno, int(node.lineno)}:
                    by_line.setdefault(line, []).append(changed)
    return {line: _narrowest(each, bench.wrong) for line, each in by_line.items()}


def _narrowest(each: Sequence[Columns], wrong: Columns) -> Columns:
    """What the numbers of a line reach of which all that is wrong depends on one, or on several together."""
    pure = np.any([columns for columns in each if not (columns & ~wrong).any()] or [wrong & ~wrong], axis=0)
    enough = [columns for columns in (pure, *each) if not (wrong & ~columns).any()]
    narrowest: Columns = min(enough, key=lambda c: int(c.sum())) if enough else np.any(each, axis=0)
    return narrowest


def _computed(body: Body) -> Iterator[ast.expr]:
    """The numbers of every statement: whole results, and those inside of containers and calls."""
    for node in body.nodes:
        value = getattr(node, "value", None) if isinstance(node, ast.stmt) else None
        if isinstance(value, ast.expr):
            yield from _numbers(value)


def _numbers(value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(value, ast.Tuple | ast.List | ast.Dict):
        for element in value.values if isinstance(value, ast.Dict) else value.elts:
            yield from _numbers(element)
        return
    yield value
    if isinstance(value, ast.Call):
        for argument in (*value.args, *(keyword.value for keyword in value.keywords)):
            yield from _numbers(argument)


def _packs(body: Body, line: int) -> bool:
    """Whether a line only puts together what was made before."""
    nodes = [node for node in body.nodes if getattr(node, "lineno", 0) == line]
    computes = any(isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare) for node in nodes)
    return not computes and any(isinstance(node, ast.Tuple | ast.List | ast.Dict) for node in nodes)


def _renames(body: Body, line: int) -> bool:
    """Whether a line only gives a value another name, which is where a factor is left out."""
    assigned = [node for node in body.all(ast.Assign) if node.lineno == line]
    return bool(assigned) and all(isinstance(node.value, ast.Name) for node in assigned)


def _writes(body: Body, line: int) -> bool:
    """Whether a line writes into an array, which others may hold too."""
    return any(node.lineno == line for node in body.all(ast.AugAssign))
