"""Mistakes with arrays: indices, axes, transposes, sums over a batch or a broadcast axis, and precision."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from oracles.mutation_arithmetic import REDUCTIONS
from oracles.mutation_body import Body, Edit, called, same

_SUM_OR_MEAN = {"sum": "mean", "mean": "sum"}
_OWN_AXES = frozenset({"T", "mT", "transpose", "swapaxes"})


# --- indices --------------------------------------------------------------------------------------------------------


def shift_index(body: Body) -> Iterator[Edit]:
    """An index or a bound of a slice off by one: the neighbour's entry, the step before."""
    for node in body.all(ast.Subscript):
        for index in _bounds(node.slice):
            for other in _neighbours(index):
                yield body.inside(node, (body.piece(index, other),), f"{ast.unparse(node)} to {other}")


def _bounds(index: ast.expr) -> Iterator[ast.expr]:
    for element in index.elts if isinstance(index, ast.Tuple) else [index]:
        if isinstance(element, ast.Slice):
            yield from (bound for bound in (element.lower, element.upper) if bound is not None)
        else:
            yield element


def _neighbours(index: ast.expr) -> Iterator[str]:
    """The indices beside one: numbers do not go from the front to the back of an array."""
    value = _whole(index)
    if value is not None:
        yield from (str(other) for other in (value + 1, value - 1) if (other >= 0) == (value >= 0))
    elif isinstance(index, ast.Name):
        yield from (f"{index.id} + 1", f"{index.id} - 1")


def _whole(node: ast.AST | None) -> int | None:
    """The value of a whole number, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _whole(node.operand)
        return None if inner is None else -inner
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def swap_indices(body: Body) -> Iterator[Edit]:
    """a[j, i] for a[i, j]."""
    for node in body.all(ast.Subscript):
        elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
        for a, b in pairwise(elements):
            if not same(a, b):
                yield body.inside(node, body.swapped(a, b), ast.unparse(node))


# --- axes -----------------------------------------------------------------------------------------------------------


def axis(body: Body) -> Iterator[Edit]:
    """Another axis, or none."""
    for call in body.all(ast.Call):
        for keyword in call.keywords:
            if keyword.arg == "axis":
                yield from _other_axes(body, call, keyword.value)
                yield _without_argument(body, call, keyword)
        position = _axis_position(body, call)
        if position is not None:
            yield from _other_axes(body, call, position)
            yield _without_argument(body, call, position)


def _axis_position(body: Body, call: ast.Call) -> ast.expr | None:
    """The axis of a reduction that is given by position."""
    if called(call.func) not in REDUCTIONS:
        return None
    at = 1 if body.is_of_module(call) else 0
    given = call.args[at] if len(call.args) == at + 1 else None
    is_axis = _whole(given) is not None or (
        isinstance(given, ast.Tuple) and all(_whole(e) is not None for e in given.elts)
    )
    return given if is_axis else None


def _other_axes(body: Body, call: ast.Call, given: ast.expr) -> Iterator[Edit]:
    value = _whole(given)
    others: list[str] = []
    if value is not None:
        others = [str({0: 1, -1: 0}.get(value, value - 1 if value > 0 else value + 1))]
    elif isinstance(given, ast.Tuple) and len(given.elts) > 1:
        kept = [[e for e in given.elts if e is not dropped] for dropped in given.elts]
        others = [ast.unparse(ast.Tuple(elements, ast.Load())) for elements in kept]
    for other in others:
        yield body.inside(call, (body.piece(given, other),), f"{ast.unparse(given)} to {other}")


def _without_argument(body: Body, call: ast.Call, dropped: ast.AST) -> Edit:
    rest = [body.text(a) for a in (*call.args, *call.keywords) if a is not dropped]
    text = f"{body.operand(call.func)}({', '.join(rest)})"
    return body.expression(call, text, f"{ast.unparse(dropped)} dropped")


def keepdims(body: Body) -> Iterator[Edit]:
    """keepdims flipped: the reduced axis is gone, or there where it should not be."""
    for call in body.all(ast.Call):
        if called(call.func) not in REDUCTIONS:
            continue
        given = next((k for k in call.keywords if k.arg == "keepdims"), None)
        if given is not None:
            yield _without_argument(body, call, given)
        elif any(k.arg == "axis" for k in call.keywords) or _axis_position(body, call) is not None:
            arguments = [body.text(a) for a in (*call.args, *call.keywords)]
            text = f"{body.operand(call.func)}({', '.join([*arguments, 'keepdims=True'])})"
            yield body.expression(call, text, "keepdims=True added")


def transpose(body: Body) -> Iterator[Edit]:
    """A transpose too many or too few."""
    for node in body.all(ast.Attribute):
        if node.attr in ("T", "mT"):
            yield body.expression(node, body.operand(node.value), f"{ast.unparse(node)} dropped")
    for call in body.all(ast.Call):
        if called(call.func) in ("transpose", "swapaxes") and isinstance(call.func, ast.Attribute):
            array = call.args[0] if body.is_of_module(call) else call.func.value
            yield body.expression(call, body.operand(array), f"{called(call.func)} dropped")
    for factor in _matrix_factors(body):
        if not _is_transposed(factor):
            yield body.expression(factor, f"{body.operand(factor)}.T", f"{ast.unparse(factor)}.T")


def _matrix_factors(body: Body) -> Iterator[ast.expr]:
    for node in body.nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield from (node.left, node.right)
        elif (
            isinstance(node, ast.Call)
            and called(node.func) in ("dot", "matmul")
            and isinstance(node.func, ast.Attribute)
        ):
            yield from node.args if body.is_of_module(node) else [node.func.value, *node.args]


def _is_transposed(node: ast.expr) -> bool:
    return called(node.func if isinstance(node, ast.Call) else node) in _OWN_AXES and not isinstance(node, ast.Name)


# --- sums -----------------------------------------------------------------------------------------------------------


def sum_for_mean(body: Body) -> Iterator[Edit]:
    """A sum where a mean belongs, or the reverse."""
    for call in body.all(ast.Call):
        name = called(call.func)
        if name in _SUM_OR_MEAN and isinstance(call.func, ast.Attribute):
            text = f"{body.operand(call.func.value)}.{_SUM_OR_MEAN[name]}"
            yield body.expression(call.func, text, f"{name} to {_SUM_OR_MEAN[name]}")


def drop_sum(body: Body) -> Iterator[Edit]:
    """No sum over the axis that was broadcast."""
    for call in body.all(ast.Call):
        if called(call.func) not in _SUM_OR_MEAN or not isinstance(call.func, ast.Attribute):
            continue
        array = call.args[0] if body.is_of_module(call) and call.args else call.func.value
        yield body.expression(call, body.operand(array), called(call.func))


# --- precision ------------------------------------------------------------------------------------------------------


def float32(body: Body) -> Iterator[Edit]:
    """A result that went through float32."""
    if body.numpy is None:
        return
    for result, name in body.results():
        text = f"{body.numpy}.float64({body.numpy}.float32({body.text(result)}))"
        yield body.expression(result, text, name)
