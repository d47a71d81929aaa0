"""Edits that undo mistakes: what a backward has too many taken out, what it may have mistaken exchanged.

Each is an operator like those of `oracles.mutation_operators`. What it may lack is in `oracles.repair_missing`; which
are tried, and in which order, in `oracles.repairs`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import islice, zip_longest
from types import FunctionType

import numpy as np

from oracles.mutation_arithmetic import SYMBOLS
from oracles.mutation_body import Body, Edit, called
from oracles.purity import only_computes

_MOST_CALLEES = 8
_FAMILIES = (
    ("sin", "cos", "tan"),
    ("sinh", "cosh", "tanh"),
    ("exp", "log", "expm1", "log1p"),
    ("maximum", "minimum"),
    ("max", "min"),
    ("amax", "amin"),
    ("argmax", "argmin"),
    ("ones_like", "zeros_like"),
    ("ones", "zeros"),
    ("var", "std"),
    ("sum", "mean"),
    ("arcsin", "arccos", "arctan"),
    ("sqrt", "square"),
)
"""Functions that are taken for each other."""
_IRRATIONAL = {
    "pi": np.pi,
    "2 * pi": 2 * np.pi,
    "sqrt(pi)": np.sqrt(np.pi),
    "sqrt(2 * pi)": np.sqrt(2 * np.pi),
    "sqrt(2 / pi)": np.sqrt(2 / np.pi),
    "1 / pi": 1 / np.pi,
    "1 / sqrt(2 * pi)": 1 / np.sqrt(2 * np.pi),
    "2 / sqrt(pi)": 2 / np.sqrt(np.pi),
    "sqrt(2)": np.sqrt(2),
    "1 / sqrt(2)": 1 / np.sqrt(2),
    "e": np.e,
    "log(2)": np.log(2),
    "log(10)": np.log(10),
}
"""Numbers that are rounded when they are typed, by what NumPy calls them."""


# --- something too many ---------------------------------------------------------------------------------------------


def drop_minus(body: Body) -> Iterator[Edit]:
    """A minus too many."""
    for node in body.all(ast.UnaryOp):
        if isinstance(node.op, ast.USub):
            yield body.expression(node, body.operand(node.operand), f"of {ast.unparse(node)}")


def drop_call(body: Body) -> Iterator[Edit]:
    """A function too many: its argument stands where its value does."""
    for call in body.all(ast.Call):
        if len(call.args) == 1 and not call.keywords and not isinstance(call.args[0], ast.Starred):
            yield body.expression(call, body.operand(call.args[0]), called(call.func))


def drop_power(body: Body) -> Iterator[Edit]:
    """A power too many."""
    for node in body.all(ast.BinOp):
        if isinstance(node.op, ast.Pow):
            yield body.expression(node, body.operand(node.left), ast.unparse(node))


def drop_cast(body: Body) -> Iterator[Edit]:
    """Another type than that of the arguments: a cast, or a buffer's dtype."""
    for call in body.all(ast.Call):
        if called(call.func) in ("astype", "view") and isinstance(call.func, ast.Attribute):
            yield body.expression(call, body.operand(call.func.value), called(call.func))
        if any(k.arg == "dtype" for k in call.keywords):
            rest = [body.text(a) for a in (*call.args, *(k for k in call.keywords if k.arg != "dtype"))]
            yield body.expression(call, f"{body.operand(call.func)}({', '.join(rest)})", "dtype")


def drop_slice(body: Body) -> Iterator[Edit]:
    """A part of what should be all of it: rounds of a loop that are left out, or entries."""
    for node in body.all(ast.Subscript):
        if isinstance(node.slice, ast.Slice) and isinstance(node.ctx, ast.Load):
            yield body.expression(node, body.operand(node.value), ast.unparse(node))


def drop_statement(body: Body) -> Iterator[Edit]:
    """A statement too many, that writes into an array."""
    for statement in body.nodes:
        if _writes(statement):
            yield body.change(statement, "pass", ast.unparse(statement))  # type: ignore[arg-type]


def _writes(statement: ast.AST) -> bool:
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Subscript) for target in statement.targets)
    call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return call or isinstance(statement, ast.AugAssign)


def forget(body: Body) -> Iterator[Edit]:
    """A value of an earlier call is kept."""
    for call in body.all(ast.Call):
        if called(call.func) in ("setdefault", "get") and isinstance(call.func, ast.Attribute) and len(call.args) == 2:
            yield body.expression(call, body.operand(call.args[1]), ast.unparse(call.args[1]))
    for node in body.nodes:
        if isinstance(node, ast.If):
            yield body.expression(node.test, "True", ast.unparse(node.test))


def add_at(body: Body) -> Iterator[Edit]:
    """`+=`, or `=`, at indices of which some come twice: the last one alone counts."""
    for statement in body.nodes:
        if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add):
            target: ast.expr = statement.target
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            (target,) = statement.targets
        else:
            continue
        if body.numpy and isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice | ast.Constant):
            text = (
                f"{body.numpy}.add.at({body.text(target.value)}, {_index(target.slice)}, {body.text(statement.value)})"
            )
            yield body.change(statement, text, f"to {ast.unparse(target)}")


def _index(node: ast.expr) -> str:
    """What stands in brackets, as an object of its own."""
    if isinstance(node, ast.Tuple):
        return f"({', '.join(map(_index, node.elts))})"
    if isinstance(node, ast.Slice):
        ends = [node.lower, node.upper, *([node.step] if node.step else [])]
        return (
            f"slice({', '.join(ast.unparse(end) if end else 'None' for end in ends)})" if any(ends) else "slice(None)"
        )
    return ast.unparse(node)


def shared_array(body: Body) -> Iterator[Edit]:
    """An array gets a second name, and is written into under one of them."""
    for statement in body.all(ast.Assign):
        if isinstance(statement.value, ast.Name):
            yield body.expression(statement.value, f"{statement.value.id}.copy()", statement.value.id)


def out_of_place(body: Body) -> Iterator[Edit]:
    """An array is written into that is used again."""
    for block in body.blocks():
        for statement, after in zip_longest(block, block[1:]):
            if not isinstance(statement, ast.AugAssign) or not isinstance(statement.target, ast.Name):
                continue
            name, symbol = statement.target.id, SYMBOLS[type(statement.op)]
            text = f"{name} {symbol} {body.operand(statement.value)}"
            yield body.change(statement, f"{name} = {text}", name)
            if _takes(after, name):
                first = body.change(statement, f"{ast.unparse(after.targets[0])} = {text}", name)  # type: ignore
                yield Edit(statement, name, first.before, first.after, (*first.pieces, body.piece(after, "pass")))


def _takes(statement: ast.stmt | None, name: str) -> bool:
    """Whether a statement gives an array another name."""
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name) and statement.value.id == name


# --- one thing for another ------------------------------------------------------------------------------------------


def other_operator(body: Body) -> Iterator[Edit]:
    """A product for a sum or a difference, and a matrix product for one entry by entry."""
    for node in body.all(ast.BinOp):
        other = "*" if isinstance(node.op, ast.Add | ast.Sub) else "@" if isinstance(node.op, ast.Mult) else ""
        if other:
            text = f"{body.operand(node.left)} {other} {body.operand(node.right)}"
            yield body.expression(node, text, f"{other} in {ast.unparse(node)}")


def other_function(body: Body) -> Iterator[Edit]:
    """A function's relative, or another function of the user's own."""
    for call in body.all(ast.Call):
        name = called(call.func)
        relatives = [other for family in _FAMILIES if name in family for other in family if other != name]
        if isinstance(call.func, ast.Attribute):
            others = [f"{body.operand(call.func.value)}.{other}" for other in relatives]
        else:
            others = [other for other in relatives if other in body.namespace]
            others += [other for other in own_functions(body) if other != name]
        for other in others:
            yield body.expression(call.func, other, f"{name} to {other}")


def own_functions(body: Body) -> list[str]:
    """Names of functions of the body's own module that do no more than compute, the nearest in its source first."""
    return list(
        islice((name for name in _functions_nearby(body) if only_computes(body.namespace[name])), _MOST_CALLEES)
    )


def _functions_nearby(body: Body) -> list[str]:
    """Names of the other functions of the body's own module, the nearest in its source first."""
    function = body.source.function
    found = [
        (abs(value.__code__.co_firstlineno - function.__code__.co_firstlineno), name)
        for name, value in body.namespace.items()
        if isinstance(value, FunctionType) and value.__module__ == function.__module__ and value is not function
    ]
    return [name for _, name in sorted(found)]


def _numbers_nearby(body: Body) -> list[float]:
    functions = (body.namespace[name] for name in _functions_nearby(body)[:_MOST_CALLEES])
    return [number for f in functions for number in f.__code__.co_consts if isinstance(number, float)]


def add_up(body: Body) -> Iterator[Edit]:
    """What a call gives in each round of a loop takes the place of what there was, and should be added to it."""
    for loop in body.all(ast.For):
        before = set(body.names_before(loop))
        for node in ast.walk(loop):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                read = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
                targets = [body.text(target) for target in node.targets[0].elts]
                kept = [name for name in targets if name in before and name not in read]
                if kept:
                    given = ", ".join(f"{name}_here" if name in kept else name for name in targets)
                    sums = "; ".join(f"{name} = {name} + {name}_here" for name in kept)
                    yield body.change(node, f"{given} = {body.text(node.value)}; {sums}", f"{', '.join(kept)} in sums")


def other_number(body: Body) -> Iterator[Edit]:
    """A number that a slip of the pen has changed: a rounder one near it, its opposite, its inverse, or a neighbour.

    Or one like it that other functions nearby have, the forward perhaps; or one that it is when rounded.
    """
    nearby = _numbers_nearby(body)
    for node in body.all(ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            continue
        value = node.value
        rounder = [round(value, digits) for digits in range(5)]
        around = [value - 1, value + 1, -value, 2 * value, value / 2, *([1 / value] if value else [])]
        alike = [other for other in nearby if value and 0.1 <= other / value <= 10]
        for other in dict.fromkeys([*rounder, *around, *alike]):
            whole = isinstance(value, int) and float(other).is_integer()
            yield body.expression(node, repr(int(other) if whole else float(other)), f"{other:g} for {value:g}")
        for meant, exact in _IRRATIONAL.items():
            if body.numpy and value != exact and abs(value - exact) < 0.02 * exact:
                text = re.sub(r"(?=\b[a-z])", f"{body.numpy}.", meant)
                yield body.expression(node, f"({text})", f"{meant} for {value:g}")
