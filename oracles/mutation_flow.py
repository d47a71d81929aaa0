"""Mistakes in what flows where: names, assignments and accumulation, saved values, branches, loops and returns."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from oracles.mutation_arithmetic import SYMBOLS
from oracles.mutation_body import ARRAY_ATTRIBUTES, Body, Edit, called, same

REMEMBERED = "_first_call"
_COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<="),
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
}
_COMPARED = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}


# --- names ----------------------------------------------------------------------------------------------------------


def exchange_name(body: Body) -> Iterator[Edit]:
    """Another intermediate: a parameter or local that has a value by then, or another field of the same object."""
    for name in body.reads():
        if name.id in body.own_names and name.id != body.receiver:
            for other in body.names_before(name):
                if other != name.id:
                    yield body.expression(name, other, f"{other} for {name.id}")
    yield from _exchange_fields(body)


class _Field(NamedTuple):
    """A field of a named object: an attribute, or a string key."""

    owner: str
    key: str
    written: str


def _exchange_fields(body: Body) -> Iterator[Edit]:
    """cache.t for cache.u, cache["t"] for cache["u"]."""
    found = [(node, field) for node in body.nodes if (field := _field(node)) is not None and not body.is_called(node)]
    for node, field in found:
        if not isinstance(node, ast.Attribute | ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        for other in dict.fromkeys(f for _, f in found if f.owner == field.owner and f.key != field.key):
            text = other.owner + other.written
            yield body.expression(node, text, f"{text} for {ast.unparse(node)}")


def _field(node: ast.AST) -> _Field | None:
    """The field that a node is, if it is one of a plain name."""
    if not isinstance(node, ast.Attribute | ast.Subscript) or not isinstance(node.value, ast.Name):
        return None
    if isinstance(node, ast.Attribute):
        return None if node.attr in ARRAY_ATTRIBUTES else _Field(node.value.id, node.attr, f".{node.attr}")
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return _Field(node.value.id, key, f"[{key!r}]") if isinstance(key, str) else None


def ignore_upstream(body: Body) -> Iterator[Edit]:
    """The first argument, in a backward the gradient from above, is taken for ones."""
    if not body.parameters:
        return
    first = body.parameters[0]
    reads = [name for name in body.reads() if name.id == first and not _is_unpacked(body, name)]
    if len(reads) > 1:
        pieces = tuple(body.piece(name, f"{first} ** 0") for name in reads)
        yield Edit(reads[0], f"{first} everywhere", first, f"{first} ** 0", pieces)
    for name in reads:
        yield body.expression(name, f"{first} ** 0", first)


def _is_unpacked(body: Body, name: ast.Name) -> bool:
    """Whether a name stands for a container, or is only asked for its shape."""
    outer = body.parents[name]
    if isinstance(outer, ast.Assign) and outer.value is name:
        return isinstance(outer.targets[0], ast.Tuple | ast.List)
    if isinstance(outer, ast.Attribute):
        return not body.is_called(outer) and outer.attr not in ("T", "mT")
    return _field(outer) is not None


# --- assignments ----------------------------------------------------------------------------------------------------


def assign_for_accumulate(body: Body) -> Iterator[Edit]:
    """= for +=: what came by another path, or from a repeated index, is lost."""
    for statement in body.all(ast.AugAssign):
        if isinstance(statement.op, ast.Add | ast.Sub):
            sign = "-" if isinstance(statement.op, ast.Sub) else ""
            text = f"{body.text(statement.target)} = {sign}{body.operand(statement.value)}"
            yield body.change(statement, text, ast.unparse(statement.target))
    for expression in body.all(ast.Expr):
        call = expression.value
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".add.at") and len(call.args) == 3:
            array, index, value = call.args
            text = f"{body.operand(array)}[{body.text(index)}] += {body.operand(value)}"
            yield body.change(expression, text, f"{ast.unparse(array)}, repeated indices")


def accumulate_for_assign(body: Body) -> Iterator[Edit]:
    """+= for =: what was there before stays in."""
    for statement in body.all(ast.Assign):
        target = statement.targets[0]
        held = isinstance(target, ast.Subscript) or (
            isinstance(target, ast.Name) and target.id in body.names_before(statement)
        )
        if held and len(statement.targets) == 1:
            text = f"{body.text(target)} += {body.operand(statement.value)}"
            yield body.change(statement, text, ast.unparse(target))


def swap_statements(body: Body) -> Iterator[Edit]:
    """Two assignments in the wrong order, where the order matters and both can run."""
    for block in body.blocks():
        for first, second in pairwise(block):
            if not _is_simple(first) or not _is_simple(second):
                continue
            first_reads, first_binds, first_writes = _effects(first)
            reads, binds, writes = _effects(second)
            matters = first_writes & (reads | writes) or first_reads & writes
            if matters and first_binds & (reads | (writes - binds)) <= set(body.names_before(first)):
                a, b = ast.unparse(first), ast.unparse(second)
                yield Edit(first, "with the next", f"{a}; {b}", f"{b}; {a}", body.swapped(first, second))


def _is_simple(statement: ast.stmt) -> bool:
    call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return call or isinstance(statement, ast.Assign | ast.AugAssign)


def _effects(statement: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Names that a statement reads, that it binds anew, and whose values it may change (those it binds among them)."""
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    reads = {n.id for n in names if isinstance(n.ctx, ast.Load)}
    binds = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    if isinstance(statement, ast.Expr):
        return reads, set(), set(reads)
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]  # type: ignore[attr-defined]
    written = {_base(node) for target in targets for node in ast.walk(target) if isinstance(node, ast.expr)}
    if isinstance(statement, ast.AugAssign):
        return reads | binds, set(), binds | (written - {""})
    return reads, binds, binds | (written - {""})


def _base(node: ast.expr) -> str:
    """The name of what a subscript or attribute is stored into."""
    if not isinstance(node, ast.Subscript | ast.Attribute) or not isinstance(node.ctx, ast.Store):
        return ""
    owner: ast.expr = node
    while isinstance(owner, ast.Subscript | ast.Attribute):
        owner = owner.value
    return owner.id if isinstance(owner, ast.Name) else ""


# --- saved values ---------------------------------------------------------------------------------------------------


def stale_cache(body: Body) -> Iterator[Edit]:
    """A local that keeps its value from the function's first call: seen by a second call at another point only."""
    argument = body.with_argument(f"{REMEMBERED}={{}}")
    if argument is None or not body.parameters:
        return
    results = {result for result, _ in body.results()}
    for statement in body.all(ast.Assign):
        target = statement.targets[0]
        if len(statement.targets) == 1 and isinstance(target, ast.Name) and statement.value in results:
            text = f"{target.id} = {REMEMBERED}.setdefault({target.id!r}, {body.operand(statement.value)})"
            edit = body.change(statement, text, target.id)
            yield replace(edit, pieces=(*edit.pieces, argument))


def in_place(body: Body) -> Iterator[Edit]:
    """A saved value, an input or the upstream gradient is written into, which a second use of it sees."""
    shared = _shared_arrays(body)
    for statement in body.all(ast.Assign):
        target, value = statement.targets[0], statement.value
        if len(statement.targets) > 1 or not isinstance(target, ast.Name) or not isinstance(value, ast.BinOp):
            continue
        left, symbol = value.left, SYMBOLS.get(type(value.op), "")
        if not isinstance(left, ast.Name) or symbol not in ("+", "-", "*", "/"):
            continue
        has_value = body.is_own(statement) and left.id in body.names_before(statement)
        if has_value and (left.id in shared or _is_read_after(body, left.id, statement)):
            text = f"{left.id} {symbol}= {body.operand(value.right)}; {target.id} = {left.id}"
            yield body.change(statement, text, f"{left.id} for {target.id}")
    for call in body.all(ast.Call):
        if called(call.func) == "copy" and isinstance(call.func, ast.Attribute) and not call.keywords:
            array = call.args[0] if body.is_of_module(call) and call.args else call.func.value
            yield body.expression(call, body.operand(array), f"{ast.unparse(array)} without a copy")
    for end in body.all(ast.Return):
        for name in shared:
            if body.is_own(end) and name in body.names_before(end):
                doubled = body.change(end, f"{name} *= 2; {body.text(end)}", f"{name} doubled at the end")
                yield replace(doubled, before="return", after=f"{name} *= 2; return")


def _is_read_after(body: Body, name: str, statement: ast.stmt) -> bool:
    end = body.source.span(statement)[1]
    return any(read.id == name and body.source.span(read)[0] >= end for read in body.reads())


def _shared_arrays(body: Body) -> list[str]:
    """Names of arrays that the caller has too: parameters, and what is taken out of them without arithmetic."""
    shared = dict.fromkeys(body.parameters)
    containers = {n.id for n in body.reads() if _is_unpacked(body, n) and not _is_array_attribute(body, n)}
    for statement in body.all(ast.Assign):
        value = statement.value.elt if isinstance(statement.value, ast.GeneratorExp) else statement.value
        taken = _root_name(value) in shared
        for target in statement.targets:
            for name in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                if isinstance(name, ast.Name) and taken and name.id.strip("_"):
                    shared[name.id] = None
    return [name for name in shared if name not in containers]


def _is_array_attribute(body: Body, name: ast.Name) -> bool:
    outer = body.parents[name]
    return isinstance(outer, ast.Attribute) and outer.attr in ARRAY_ATTRIBUTES


def _root_name(value: ast.expr) -> str:
    """The name that an expression of subscripts and fields starts from; sizes do not count."""
    while isinstance(value, ast.Subscript | ast.Attribute):
        if isinstance(value, ast.Attribute) and value.attr in ARRAY_ATTRIBUTES - {"T", "mT"}:
            return ""
        value = value.value
    return value.id if isinstance(value, ast.Name) else ""


# --- branches and loops ---------------------------------------------------------------------------------------------


def comparison(body: Body) -> Iterator[Edit]:
    """>= for >, as at a kink, or the comparison turned round."""
    for node in body.all(ast.Compare):
        if len(node.ops) == 1:
            for other in _COMPARISONS.get(type(node.ops[0]), ()):
                text = f"{body.operand(node.left)} {other} {body.operand(node.comparators[0])}"
                yield body.expression(node, text, f"{_COMPARED[type(node.ops[0])]} to {other}")


def branch(body: Body) -> Iterator[Edit]:
    """The other branch: of an if, of np.where, of a mask; train for evaluation mode."""
    for node in body.nodes:
        if isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Compare):
            yield body.expression(node.test, f"not {body.operand(node.test)}", f"not {ast.unparse(node.test)}")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert | ast.Not):
            yield body.expression(node, body.operand(node.operand), ast.unparse(node.operand))
        elif isinstance(node, ast.Call) and called(node.func) == "where" and len(node.args) == 3:
            condition, yes, no = node.args
            yield body.inside(node, body.swapped(yes, no), f"of where({ast.unparse(condition)})")


def short_loop(body: Body) -> Iterator[Edit]:
    """A loop that leaves out its first or its last round."""
    for loop in body.all(ast.For):
        inner = [node for node in ast.walk(loop.iter) if isinstance(node, ast.Call) and called(node.func) == "range"]
        steps, text = (inner[0], body.text(inner[0])) if inner else (loop.iter, f"list({body.text(loop.iter)})")
        for cut, which in (("[:-1]", "last"), ("[1:]", "first")):
            yield body.expression(steps, text + cut, f"{ast.unparse(loop.target)} without its {which} round")


# --- what is returned -----------------------------------------------------------------------------------------------


def swap_returns(body: Body) -> Iterator[Edit]:
    """Two gradients that are returned in each other's place."""
    for statement in body.all(ast.Return):
        for series in _series(statement.value):
            for a, b in pairwise(series):
                if not same(a, b) and not isinstance(a, ast.Starred) and not isinstance(b, ast.Starred):
                    assert statement.value is not None
                    yield body.inside(statement.value, body.swapped(a, b), f"{ast.unparse(a)} with {ast.unparse(b)}")


def _series(value: ast.expr | None) -> Iterable[list[ast.expr]]:
    """The lists of things in what is returned: a tuple, the values of a dict, the fields of a record, a stack."""
    if isinstance(value, ast.Tuple | ast.List):
        yield value.elts
    elif isinstance(value, ast.Dict):
        yield value.values
    elif isinstance(value, ast.Call):
        if called(value.func).lstrip("_")[:1].isupper():
            yield value.args
        elif value.args:
            yield from _series(value.args[0])
