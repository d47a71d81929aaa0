"""What there is to mutate in a function's body: its expressions and statements in source order, names and results."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from oracles.mutation_source import Piece, Source, parsed, splice

_Node = TypeVar("_Node", bound=ast.AST)
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_NESTED, *_COMPREHENSIONS)
_LEFT_ALONE = (ast.JoinedStr, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
"""Text, refusals and imports: no gradient is made there."""
_GRAMMAR = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_ATOMS = (ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.Call, ast.List, ast.Dict, *_COMPREHENSIONS)
_NO_NUMBERS = frozenset({"zeros", "zeros_like", "empty", "empty_like", "arange", "range", "len", "slice", "int"}) | {
    *("bool", "str", "list", "tuple", "dict", "set", "zip", "enumerate", "sorted", "reversed", "isinstance", "print"),
    *("copy", "deepcopy"),
}
"""Calls whose result is no computed number: zero buffers, containers, and copies that a mutant of their own drops."""
ARRAY_ATTRIBUTES = frozenset({"T", "mT", "shape", "ndim", "size", "dtype", "flat", "real", "imag", "strides", "nbytes"})


@dataclass(frozen=True)
class Edit:
    """One mistake: what is to be replaced in the source, and what it says before and after."""

    node: ast.AST
    label: str
    before: str
    after: str
    pieces: tuple[Piece, ...]


class Body:
    """The body of a function. `namespace` are the globals that it finds names in."""

    def __init__(self, source: Source, namespace: Mapping[str, Any]) -> None:
        self.source, self.namespace = source, namespace
        self.function = source.node
        self.nodes: list[ast.AST] = []
        self.parents: dict[ast.AST, ast.AST] = {}
        first, *rest = self.function.body
        docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        for statement in rest if docstring else self.function.body:
            self._take(statement, self.function)

    def _take(self, node: ast.AST, parent: ast.AST) -> None:
        if isinstance(node, _LEFT_ALONE):
            return
        self.nodes.append(node)
        self.parents[node] = parent
        for child in _children(node):
            if not isinstance(child, _GRAMMAR):
                self._take(child, node)

    # --- finding ------------------------------------------------------------------------------------------------------

    def all(self, kind: type[_Node]) -> Iterator[_Node]:
        """Every node of a kind, in source order."""
        return (node for node in self.nodes if isinstance(node, kind))

    def reads(self) -> Iterator[ast.Name]:
        """Every name that is read as a value: not called, and not stored to."""
        return (n for n in self.all(ast.Name) if isinstance(n.ctx, ast.Load) and not self.is_called(n))

    def is_called(self, node: ast.AST) -> bool:
        parent = self.parents[node]
        return isinstance(parent, ast.Call) and parent.func is node

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """A node, and what it stands in, from the inside out."""
        while node is not self.function:
            yield node
            node = self.parents[node]

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement that a node stands in, or is."""
        return next(n for n in self.around(node) if isinstance(n, ast.stmt))

    def is_own(self, node: ast.AST) -> bool:
        """Whether a node is in no function, class or comprehension inside this one, which have names of their own."""
        return not any(isinstance(n, _SCOPES) for n in self.around(node))

    def blocks(self) -> Iterator[list[ast.stmt]]:
        """Statements that follow each other: the body, and the bodies and branches of compound statements."""
        for node in (self.function, *self.nodes):
            for field in ("body", "orelse", "finalbody"):
                block = getattr(node, field, None)
                if isinstance(block, list):
                    yield [statement for statement in block if statement in self.parents]

    # --- names --------------------------------------------------------------------------------------------------------

    @cached_property
    def receiver(self) -> str | None:
        """`self` or `cls`, in a method."""
        owner = self.source.function.__qualname__.rpartition(".")[0]
        arguments = [*self.function.args.posonlyargs, *self.function.args.args]
        if owner and not owner.endswith("<locals>") and arguments and arguments[0].arg in ("self", "cls"):
            return arguments[0].arg
        return None

    @cached_property
    def parameters(self) -> list[str]:
        """All parameters but `self`, in order."""
        a = self.function.args
        named = [*a.posonlyargs, *a.args, *([a.vararg] if a.vararg else []), *a.kwonlyargs]
        return [p.arg for p in (*named, *([a.kwarg] if a.kwarg else [])) if p.arg != self.receiver]

    @cached_property
    def _stores(self) -> list[tuple[str, int]]:
        """(name, where in the source it has its value) for each name that the function itself assigns to."""
        found = []
        for name in self.all(ast.Name):
            if isinstance(name.ctx, ast.Store) and self.is_own(name):
                statement = self.statement(name)
                bound_at = name if isinstance(statement, ast.For | ast.With) else statement
                found.append((name.id, self.source.span(bound_at)[1]))
        return found

    def names_before(self, node: ast.AST) -> list[str]:
        """Parameters and local names that have a value where a node stands."""
        start = self.source.span(node)[0]
        stored = [name for name, since in self._stores if since <= start]
        return [name for name in dict.fromkeys([*self.parameters, *stored]) if name.strip("_")]

    @cached_property
    def own_names(self) -> frozenset[str]:
        return frozenset([*self.parameters, *(name for name, _ in self._stores)])

    @cached_property
    def numpy(self) -> str | None:
        """What the function's module calls NumPy."""
        return next((name for name, value in self.namespace.items() if value is np), None)

    def is_of_module(self, call: ast.Call) -> bool:
        """Whether a call is np.sum(x) rather than x.sum()."""
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        if not isinstance(owner, ast.Name) or owner.id in self.own_names:
            return False
        return isinstance(self.namespace.get(owner.id), ModuleType)

    # --- results ------------------------------------------------------------------------------------------------------

    def results(self) -> Iterator[tuple[ast.expr, str]]:
        """(expression, name) of each number that is computed and then assigned or returned.

        Plain names are left out: what was assigned to them is a result already. So are tuples (their elements count),
        zero buffers and conditions.
        """
        for node in self.nodes:
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                yield from _parts(node.value, target)
            elif isinstance(node, ast.Return) and node.value is not None:
                yield from _parts(node.value, None)

    # --- editing ------------------------------------------------------------------------------------------------------

    def text(self, node: ast.AST) -> str:
        return self.source.segment(node)

    def operand(self, node: ast.expr) -> str:
        """The text of an expression as an operand of any operator: in parentheses unless it is a single thing."""
        text = self.text(node)
        return text if isinstance(node, _ATOMS) and "\n" not in text else f"({text})"

    def piece(self, node: ast.AST, text: str) -> Piece:
        """Put a text in the place of a node, on as many lines as that has."""
        start, end = self.source.span(node)
        lost = self.text(node).count("\n") - text.count("\n")
        if isinstance(node, ast.stmt):
            return Piece(start, end, text + "\\\n" * lost)
        return Piece(start, end, f"({text}" + "\n" * lost + ")")

    def swapped(self, a: ast.AST, b: ast.AST) -> tuple[Piece, Piece]:
        """Each of two nodes in the other's place."""
        return Piece(*self.source.span(a), self._alone(b)), Piece(*self.source.span(b), self._alone(a))

    def _alone(self, node: ast.AST) -> str:
        if isinstance(node, ast.expr) and not isinstance(node, ast.Slice | ast.Starred):
            return self.operand(node)
        return self.text(node)

    def expression(self, node: ast.expr, text: str, label: str) -> Edit:
        """Another expression in the place of one."""
        return Edit(node, label, ast.unparse(node), normal(text), (self.piece(node, text),))

    def inside(self, outer: ast.expr, pieces: tuple[Piece, ...], label: str) -> Edit:
        """An expression with pieces of it replaced."""
        start = self.source.span(outer)[0]
        text = splice(self.text(outer).encode(), (piece.moved(-start) for piece in pieces))
        return Edit(outer, label, ast.unparse(outer), normal(text.decode()), pieces)

    def change(self, node: ast.stmt, text: str, label: str) -> Edit:
        """Another statement (or several, with semicolons) in the place of a simple one."""
        after = "; ".join(map(ast.unparse, parsed(text).body))
        return Edit(node, label, ast.unparse(node), after, (self.piece(node, text),))

    def with_argument(self, argument: str) -> Piece | None:
        """One more keyword-only argument, with its default; None where a `**` argument leaves no place for it."""
        arguments = self.function.args
        if arguments.kwarg is not None:
            return None
        close, previous = self._end_of_parameters()
        star = "" if arguments.kwonlyargs or arguments.vararg else "*, "
        comma = "" if previous in "(," else ", "
        return Piece(close, close, f"{comma}{star}{argument}")

    def _end_of_parameters(self) -> tuple[int, str]:
        """Where the parenthesis after the parameters closes, and the token before it."""
        lines = self.source.text.split("\n")[self.function.lineno - 1 :]
        depth, opened, previous = 0, False, ""
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
            if token.string in ("(", "[", "{"):
                opened = opened or (depth == 0 and token.string == "(")
                depth += 1
            elif token.string in (")", "]", "}"):
                depth -= 1
                if opened and depth == 0:
                    row, column = token.start
                    column = len(lines[row - 1][:column].encode())
                    return self.source.offset(self.function.lineno + row - 1, column), previous
            if token.type not in (tokenize.NL, tokenize.COMMENT):
                previous = token.string
        raise LookupError(f"the parameters of {self.function.name}")


def normal(text: str) -> str:
    """An expression as Python would write it."""
    return ast.unparse(parsed(f"({text}\n)"))


def called(node: ast.expr) -> str:
    """What a call calls, without its module or object: `exp` for `np.exp`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def same(a: ast.AST, b: ast.AST) -> bool:
    return ast.dump(a) == ast.dump(b)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Without annotations, decorators and defaults: these do not run when the function does."""
    if isinstance(node, _NESTED):
        yield from [node.body] if isinstance(node, ast.Lambda) else node.body
    elif isinstance(node, ast.AnnAssign):
        yield from (node.target, *([node.value] if node.value else []))
    elif isinstance(node, ast.AugAssign):
        yield from (node.target, node.value)
    else:
        yield from ast.iter_child_nodes(node)


def _parts(value: ast.expr, target: ast.expr | None) -> Iterator[tuple[ast.expr, str]]:
    name = ast.unparse(target) if target is not None else "return"
    if isinstance(value, ast.Tuple):
        targets = target.elts if isinstance(target, ast.Tuple) else [None] * len(value.elts)
        for i, (element, to) in enumerate(zip(value.elts, targets, strict=False)):
            if _is_number(element):
                yield element, ast.unparse(to) if to is not None else f"{name} {i}"
    elif isinstance(value, ast.GeneratorExp | ast.ListComp):
        if _is_number(value.elt):
            yield value.elt, name
    elif not isinstance(target, ast.Tuple | ast.List) and _is_number(value):
        yield value, name


def _is_number(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        name = called(value.func)
        return bool(name) and name not in _NO_NUMBERS and not name.lstrip("_")[:1].isupper()
    if isinstance(value, ast.Attribute):
        return value.attr in ("T", "mT")
    if isinstance(value, ast.UnaryOp):
        return isinstance(value.op, ast.USub) and not isinstance(value.operand, ast.Constant)
    return isinstance(value, ast.BinOp | ast.Subscript | ast.IfExp)
