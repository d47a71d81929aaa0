"""Edits that undo mistakes: what a backward may lack, put in. The other way round, `OPERATORS` undo each other.

Each is an operator like those of `oracles.mutation_operators`, so that a repair is made, compiled and named as a mutant
is. They are tried on a wrong backward until one of them is right.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations_with_replacement
from types import UnionType

from oracles.mutation_body import Body, Edit
from oracles.mutation_operators import OPERATORS, Operator

_UNDONE_BY_NOTHING = {"stale-cache", "in-place", "float32", "scale-result", "scale-constant", "ignore-upstream"}
_MOST_NAMES = 14
_MOST_TERMS = 10


def missing_factor(body: Body) -> Iterator[Edit]:
    """A factor or divisor is missing: an intermediate, the derivative of a function of it, or a number."""
    for node, name in _terms(body):
        for factor in _factors(body, node):
            for sign, label in (("*", "times"), ("/", "by")):
                yield body.expression(node, f"{body.operand(node)} {sign} {factor}", f"{name} {label} {factor}")


def product_for_sum(body: Body) -> Iterator[Edit]:
    """A product is written as a sum or a difference."""
    for node in body.all(ast.BinOp):
        if isinstance(node.op, ast.Add | ast.Sub):
            text = f"{body.operand(node.left)} * {body.operand(node.right)}"
            yield body.expression(node, text, f"* in {ast.unparse(node)}")


def nudge(body: Body) -> Iterator[Edit]:
    """Every result doubled, to see which entries of the gradient depend on it."""
    for node, name in _results(body):
        yield body.expression(node, f"2 * {body.operand(node)}", name)


def missing_term(body: Body) -> Iterator[Edit]:
    """A summand is missing, of a result or of a factor: 1, an intermediate, or the product of two."""
    for node, name in (*_results(body), *_operands(body, ast.Mult | ast.Div)):
        names = _intermediates(body, node)[:_MOST_TERMS]
        pairs = [f"{a} * {b}" for a, b in combinations_with_replacement(names, 2)]
        for term in ("1", *names, *pairs):
            for sign in ("+", "-"):
                yield body.expression(node, f"{body.operand(node)} {sign} {term}", f"{sign} {term} in {name}")


def missing_function(body: Body) -> Iterator[Edit]:
    """A function of an intermediate stands where the intermediate does."""
    np = body.numpy
    if np is None:
        return
    for read in body.reads():
        for function in ("cos", "sin", "exp", "log", "tanh", "sqrt", "square", "abs", "sign"):
            yield body.expression(read, f"{np}.{function}({read.id})", f"{function} of {read.id}")


def missing_reduction(body: Body) -> Iterator[Edit]:
    """A sum or mean over an axis is missing, or a transpose."""
    for node, name in _results(body):
        yield body.expression(node, f"{body.operand(node)}.T", f"transpose of {name}")
        for reduction in ("sum", "mean"):
            for axis in ("0", "1", "-1", "(0, 1)", "None"):
                for keep in ("", ", keepdims=True"):
                    text = f"{body.operand(node)}.{reduction}(axis={axis}{keep})"
                    yield body.expression(node, text, f"{reduction} of {name} over {axis}{keep}")


def other_number(body: Body) -> Iterator[Edit]:
    """A number that a slip of the pen has changed: a rounder one near it, its opposite, its inverse, or a neighbour."""
    for node in body.all(ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            continue
        value = node.value
        rounder = [round(value, digits) for digits in range(5)]
        around = [value - 1, value + 1, -value, 2 * value, value / 2, *([1 / value] if value else [])]
        for other in dict.fromkeys([*rounder, *around]):
            whole = isinstance(value, int) and float(other).is_integer()
            yield body.expression(node, repr(int(other) if whole else float(other)), f"{other:g} for {value:g}")


def _results(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Every number that is assigned or returned, plain names too."""
    yield from body.results()
    for node in body.nodes:
        value = getattr(node, "value", None) if isinstance(node, ast.Assign | ast.AugAssign | ast.Return) else None
        for part in value.elts if isinstance(value, ast.Tuple | ast.List) else [value]:
            if isinstance(part, ast.Name):
                yield part, part.id


def _terms(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Results, and the terms of sums in them."""
    yield from _results(body)
    yield from ((n, name) for n, name in _operands(body, ast.Add | ast.Sub) if not isinstance(n, ast.Constant))


def _operands(body: Body, operators: type[ast.operator] | UnionType) -> Iterator[tuple[ast.expr, str]]:
    for node in body.all(ast.BinOp):
        if isinstance(node.op, operators):
            yield from ((side, ast.unparse(side)) for side in (node.left, node.right))


def _intermediates(body: Body, node: ast.expr) -> list[str]:
    """Names that have a value where a node stands, the latest first, and the entries and fields that the body reads."""
    read = [
        ast.unparse(n)
        for n in body.nodes
        if isinstance(n, ast.Subscript | ast.Attribute)
        and isinstance(n.value, ast.Name)
        and isinstance(n.ctx, ast.Load)
        and n.value.id in body.own_names
        and not body.is_called(n)
    ]
    return list(dict.fromkeys([*reversed(body.names_before(node)), *read]))[:_MOST_NAMES]


def _factors(body: Body, node: ast.expr) -> Iterator[str]:
    yield from ("2", "3", "4")
    np = body.numpy
    for v in _intermediates(body, node):
        yield v
        yield from (f"(1 - {v})", f"(1 - {v} * {v})", f"({v} * (1 - {v}))", f"({v} > 0)")
        if np is not None:
            yield from (f"{np}.{f}({v})" for f in ("cos", "sin", "exp", "sign"))
        if v in body.parameters:
            yield from (f"{v}.shape[0]", f"{v}.shape[1]", f"{v}.size", f"len({v})")


_LATE = ("extra-factor", "shift-constant", "exponent", "exchange-name")
"""Numbers may fit by chance, a batch of two for a factor of 2; and exchanged names are by far the most repairs."""
EXCHANGES = tuple(
    sorted(
        (operator for name, operator in OPERATORS.items() if name not in _UNDONE_BY_NOTHING),
        key=lambda operator: _LATE.index(operator.name) if operator.name in _LATE else -1,
    )
)
REPAIRS = (
    (*EXCHANGES[:-1], Operator("other-number", other_number), Operator("product-for-sum", product_for_sum)),
    (EXCHANGES[-1], Operator("missing-function", missing_function), Operator("missing-reduction", missing_reduction)),
    (Operator("missing-factor", missing_factor),),
    (Operator("missing-term", missing_term),),
)
"""In rounds: what is quickly tried comes first."""
SUBTLE = tuple(operator for operator in REPAIRS[0] if operator.name in ("drop-factor", "drop-term", "other-number"))
"""Undo errors too small for floats to see, one by one with a proof each."""
NUDGE = Operator("nudge", nudge)
