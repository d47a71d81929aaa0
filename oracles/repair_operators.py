"""Edits that undo mistakes: what a backward has too many taken out, what it may have mistaken exchanged, what it may
lack put in.

Each is an operator like those of `oracles.mutation_operators`, and some are these themselves: an exchange undoes
another. They are tried on a wrong backward until one of them makes it right; likely and simple ones come first, since
among edits that all make it right the simplest is the best explanation.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement, zip_longest
from types import FunctionType, UnionType
from typing import Any

import numpy as np

from oracles.mutation_arithmetic import RELATIVE, SYMBOLS
from oracles.mutation_body import Body, Edit, called
from oracles.mutation_operators import OPERATORS, Operator

_MOST_NAMES = 14
_MOST_TERMS = 8
_MOST_CALLEES = 8
_NO_NUMBERS = (ast.Starred, ast.Tuple, ast.List, ast.Dict, ast.GeneratorExp, ast.ListComp)
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


# --- something too many ---------------------------------------------------------------------------------------------


def drop_minus(body: Body) -> Iterator[Edit]:
    """A minus too many."""
    for node in body.all(ast.UnaryOp):
        if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            yield body.expression(node, body.operand(node.operand), f"of {ast.unparse(node)}")


def drop_call(body: Body) -> Iterator[Edit]:
    """A function too many: its argument stands where its value does."""
    for call in body.all(ast.Call):
        if len(call.args) == 1 and not call.keywords and not isinstance(call.args[0], ast.Starred):
            yield body.expression(call, body.operand(call.args[0]), called(call.func))


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
    """Names of functions of the body's own module, the nearest in its source first."""
    module = body.source.function.__module__
    here = body.source.function.__code__.co_firstlineno
    found = [
        (abs(value.__code__.co_firstlineno - here), name)
        for name, value in body.namespace.items()
        if isinstance(value, FunctionType) and value.__module__ == module and value is not body.source.function
    ]
    return [name for _, name in sorted(found)][:_MOST_CALLEES]


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


# --- something too few ----------------------------------------------------------------------------------------------


def missing_minus(body: Body) -> Iterator[Edit]:
    """A minus too few."""
    for node, name in _spots(body):
        yield body.expression(node, f"-{body.operand(node)}", f"of {name}")


Vocabulary = Callable[[Body, ast.expr], list[str]]
"""What may be missing where a node stands, as Python would write it."""


def numbers(body: Body, node: ast.expr) -> list[str]:
    """The numbers that derivatives of squares and cubes bring."""
    return ["2", "3"]


def more_numbers(body: Body, node: ast.expr) -> list[str]:
    return ["4", "(-2)", "0.5"]


def sizes(body: Body, node: ast.expr) -> list[str]:
    """The lengths that a mean divides by."""
    return [f"{p}.{size}" for p in body.parameters for size in ("shape[0]", "shape[1]", "shape[-1]", "size")]


def intermediates(body: Body, node: ast.expr) -> list[str]:
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


def simple_derivatives(body: Body, node: ast.expr) -> list[str]:
    """Of sigmoid, tanh and ReLU, from what they give."""
    forms = ("(1 - {0})", "({0} > 0)", "(1 - {0} * {0})", "({0} * (1 - {0}))")
    return [form.format(v) for form in forms for v in intermediates(body, node)]


def functions(body: Body, node: ast.expr) -> list[str]:
    """Elementary functions of an intermediate, and the user's own."""
    names = intermediates(body, node)
    elementary = [f"{body.numpy}.{f}({v})" for f in ("cos", "sin", "exp", "sign", "sqrt") for v in names if body.numpy]
    return elementary + [f"{f}({v})" for f in own_functions(body)[:3] for v in names]


def products(body: Body, node: ast.expr) -> list[str]:
    """Of two intermediates."""
    return [f"{a} * {b}" for a, b in combinations_with_replacement(intermediates(body, node)[:_MOST_TERMS], 2)]


def one(body: Body, node: ast.expr) -> list[str]:
    return ["1"]


def missing_factor(*vocabularies: Vocabulary) -> Operator:
    """A factor or divisor is missing, of a result, of a term of it, or of what a function takes."""

    def edits(body: Body) -> Iterator[Edit]:
        for node, name in _spots(body):
            for factor in (text for vocabulary in vocabularies for text in vocabulary(body, node)):
                for sign, label in (("*", "times"), ("/", "by")):
                    yield body.expression(node, f"{body.operand(node)} {sign} {factor}", f"{name} {label} {factor}")

    return Operator("missing-factor", edits)


def missing_term(*vocabularies: Vocabulary) -> Operator:
    """A summand is missing, of a result, of a factor of it, or of what a function takes."""

    def edits(body: Body) -> Iterator[Edit]:
        for node, name in (*_results(body), *_operands(body, ast.Mult | ast.Div), *_arguments(body)):
            for term in (text for vocabulary in vocabularies for text in vocabulary(body, node)):
                for sign in ("+", "-"):
                    yield body.expression(node, f"{body.operand(node)} {sign} {term}", f"{name} {sign} {term}")

    return Operator("missing-term", edits)


def missing_function(body: Body) -> Iterator[Edit]:
    """A function of an intermediate stands where the intermediate does."""
    elementary = ("cos", "sin", "exp", "log", "tanh", "sqrt", "square", "abs", "sign")
    names = [f"{body.numpy}.{f}" for f in elementary if body.numpy] + own_functions(body)
    for read in body.reads():
        for name in names:
            yield body.expression(read, f"{name}({read.id})", f"{name} of {read.id}")


def missing_reduction(body: Body) -> Iterator[Edit]:
    """A sum or mean over an axis is missing, or a transpose."""
    for node, name in _results(body):
        yield body.expression(node, f"{body.operand(node)}.T", f"transpose of {name}")
        for reduction in ("sum", "mean"):
            for axis in ("0", "1", "-1", "(0, 1)", "(0, 2)", "(0, 2, 3)", "None"):
                for keep in ("", ", keepdims=True"):
                    text = f"{body.operand(node)}.{reduction}(axis={axis}{keep})"
                    yield body.expression(node, text, f"{reduction} of {name} over {axis}{keep}")


# --- where ----------------------------------------------------------------------------------------------------------


def _results(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Every number that is assigned or returned, plain names too."""
    yield from body.results()
    for node in body.nodes:
        value = getattr(node, "value", None) if isinstance(node, ast.Assign | ast.AugAssign | ast.Return) else None
        for part in value.elts if isinstance(value, ast.Tuple | ast.List) else [value]:
            if isinstance(part, ast.Name):
                yield part, part.id


def _spots(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Where a factor or a sign can be missing: results, terms of sums, divisors, and what functions take."""
    seen: set[ast.expr] = set()
    places = (_results(body), _operands(body, ast.Add | ast.Sub), _arguments(body), _divisors(body), _inside(body))
    for place in places:
        for node, name in place:
            if node not in seen and not isinstance(node, _NO_NUMBERS):
                seen.add(node)
                yield node, name


def _operands(body: Body, operators: type[ast.operator] | UnionType) -> Iterator[tuple[ast.expr, str]]:
    for node in body.all(ast.BinOp):
        if isinstance(node.op, operators):
            yield from ((side, ast.unparse(side)) for side in (node.left, node.right))


def _arguments(body: Body) -> Iterator[tuple[ast.expr, str]]:
    for call in body.all(ast.Call):
        yield from ((a, ast.unparse(a)) for a in call.args if not isinstance(a, ast.Constant | ast.Starred))


def _divisors(body: Body) -> Iterator[tuple[ast.expr, str]]:
    for node in body.all(ast.BinOp):
        if isinstance(node.op, ast.Div | ast.Pow):
            side = node.right if isinstance(node.op, ast.Div) else node.left
            yield side, ast.unparse(side)


def _inside(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Numbers in containers: the derivatives that an operation of an engine hands on."""
    for node in body.nodes:
        if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load):
            yield from ((e, ast.unparse(e)) for e in node.elts if not isinstance(e, ast.Tuple | ast.List))


def computed(body: Body) -> Iterator[ast.expr]:
    """The numbers of every statement, to see what depends on them: whole results, and those inside of containers."""
    for node in body.nodes:
        value = getattr(node, "value", None) if isinstance(node, ast.stmt) else None
        if isinstance(value, ast.expr):
            yield from _numbers(value)


def _numbers(value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(value, ast.Tuple | ast.List):
        for element in value.elts:
            yield from _numbers(element)
        return
    if isinstance(value, ast.Dict):
        for item in value.values:
            yield from _numbers(item)
        return
    yield value
    if isinstance(value, ast.Call):
        for argument in (*value.args, *(keyword.value for keyword in value.keywords)):
            yield from _numbers(argument)


# --- the rounds of a search -----------------------------------------------------------------------------------------

_of = OPERATORS.__getitem__


def _named(name: str, edits: Callable[[Body], Iterator[Edit]]) -> Operator:
    return Operator(name, edits)


TOO_MANY = (
    _of("drop-factor"),
    _of("drop-term"),
    _named("drop-minus", drop_minus),
    _named("drop-call", drop_call),
    _named("drop-cast", drop_cast),
    _named("forget", forget),
    _named("out-of-place", out_of_place),
    _named("drop-slice", drop_slice),
    _named("drop-statement", drop_statement),
)
EXCHANGED = (
    *map(
        _of,
        (
            "swap-operator",
            "swap-operands",
            "sum-for-mean",
            "exchange-function",
            "comparison",
            "branch",
            "axis",
            "keepdims",
            "transpose",
            "swap-returns",
            "assign-for-accumulate",
            "accumulate-for-assign",
            "swap-statements",
            "swap-indices",
            "shift-index",
            "epsilon",
            "drop-sum",
        ),
    ),
    _named("other-operator", other_operator),
    _named("other-function", other_function),
    _of("exponent"),
    _named("other-number", other_number),
    _of("short-loop"),
)
ROUNDS: tuple[tuple[Operator, ...], ...] = (
    TOO_MANY,
    EXCHANGED,
    (
        _named("missing-minus", missing_minus),
        missing_factor(numbers),
        missing_factor(intermediates),
        _of("exchange-name"),
        missing_term(one, intermediates),
        _named("missing-reduction", missing_reduction),
        missing_factor(sizes),
    ),
    (
        missing_factor(more_numbers, simple_derivatives),
        _named("missing-function", missing_function),
        missing_term(products),
    ),
    (missing_factor(functions, products), missing_term(simple_derivatives, functions)),
)
"""What is tried on a line, the simplest first."""
SUBTLE = tuple(
    operator for round in ROUNDS[:2] for operator in round if operator.name in ("drop-factor", "drop-term", "other-number", "drop-statement")
)
"""Undo errors too small for floats to see, one by one with a proof each."""
