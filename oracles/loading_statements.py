"""The top level of a file, run as far as it imports and defines; all else of it is left alone and remembered."""

from __future__ import annotations
import __future__

import ast
import builtins
from collections.abc import Iterable
from typing import Any

from oracles.loading_cells import Cell, compiled
from oracles.loading_expressions import RefusedError, defaults_of, refuse_decorator, refuse_unsafe
from oracles.loading_imports import ERRORS, Import, Importer
from oracles.loading_names import assigned_names, changed_names, names_in_text
from oracles.loading_namespace import Ledger

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Assignment = ast.Assign | ast.AnnAssign | ast.AugAssign
_BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Match, ast.TryStar)
_ANNOTATIONS = __future__.annotations.compiler_flag


class TopLevel:
    """Fills a namespace from cells, in their order: what comes later overrides, as if they ran from top to bottom."""

    def __init__(self, ledger: Ledger, importer: Importer) -> None:
        self._ledger, self._importer = ledger, importer
        self._names = ledger.names
        self._cell: Cell
        self._annotations_are_text = False

    def run(self, cell: Cell) -> None:
        self._cell = cell
        # A future import counts for the cells after it too, but `oracles.lifting` compiles each cell on its own.
        self._annotations_are_text |= bool(self._importer.flags & _ANNOTATIONS)
        self._importer.flags = 0
        if cell.problem:
            self._note_problem()
        self._statements(cell.tree.body)

    def _note_problem(self) -> None:
        place = f"cell {self._cell.number}"
        self._ledger.note("", place, self._cell.problem)
        for name in names_in_text(self._cell.text):
            if name not in self._names and not hasattr(builtins, name):
                self._ledger.miss(name, place, f"the cell is not loaded: {self._cell.problem}", is_value=True)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                self._importer.run(node, self._cell, raises=lambda error: False)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._define(node)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self._assign(node)
            case ast.If():
                self._choose(node)
            case ast.Try():
                self._try(node)
            case _:
                keyword = ast.unparse(node).split(maxsplit=1)[0].rstrip(":")
                self._leave(node, f"it is in a `{keyword}`" if isinstance(node, _BLOCKS) else "only definitions are")

    def _statements(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            self._statement(node)

    def _execute(self, node: ast.stmt) -> None:
        self._ledger.execute(compiled(ast.Module([node], []), self._cell.filename, self._importer.flags))

    def _value(self, node: ast.expr) -> Any:
        """What a safe expression makes. Raises RefusedError for others, and what evaluating it raises."""
        refuse_unsafe(node, self._names)
        return eval(compiled(ast.Expression(node), self._cell.filename), self._names)

    # --- definitions --------------------------------------------------------------------------------------------------

    def _define(self, node: _Function | ast.ClassDef) -> None:
        try:
            self._execute(self._class(node) if isinstance(node, ast.ClassDef) else self._function(node))
        except Exception as error:  # of any kind: decorators, base classes and metaclasses run code of their own
            place, why = self._cell.place(node.lineno), self._not_run(node.lineno, _reason(error))
            self._ledger.miss(node.name, place, why, needs=getattr(error, "needs", None))
        else:
            self._ledger.define(node.name, self._cell.place(node.lineno))

    def _function(self, node: _Function, local: frozenset[str] = frozenset()) -> _Function:
        """The function, with annotations that can be evaluated. Raises RefusedError."""
        for decorator in node.decorator_list:
            refuse_decorator(decorator, self._names, local)
        for default in defaults_of(node.args):
            self._refuse(default, "default", local)
        for part in (node, *_arguments(node.args)):
            field = "returns" if part is node else "annotation"
            if (annotation := getattr(part, field)) is not None:
                setattr(part, field, self._annotation(annotation))
        return node

    def _class(self, node: ast.ClassDef) -> ast.ClassDef:
        """The class, with those statements of its body that only define. Raises RefusedError."""
        for decorator in node.decorator_list:
            refuse_decorator(decorator, self._names)
        for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
            self._refuse(base, "base", frozenset())
        kept: list[ast.stmt] = []
        local: frozenset[str] = frozenset()
        for member in node.body:
            try:
                kept.append(self._member(member, local))
            except RefusedError as error:
                self._ledger.note(node.name, self._cell.place(member.lineno), self._not_run(member.lineno, str(error)))
            else:
                local |= assigned_names(member).keys()
        node.body = kept or [ast.copy_location(ast.Pass(), node)]
        return node

    def _member(self, node: ast.stmt, local: frozenset[str]) -> ast.stmt:
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return node
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._function(node, local)
            case ast.ClassDef():
                return self._class(node)
            case ast.Assign(value=value) if all(isinstance(target, ast.Name) for target in node.targets):
                refuse_unsafe(value, self._names, local)
                return node
            case ast.AnnAssign(target=ast.Name(), value=default):
                if default is not None:
                    refuse_unsafe(default, self._names, local)
                node.annotation = self._annotation(node.annotation)
                return node
        raise RefusedError("it does more than define something in the class")

    def _refuse(self, node: ast.expr, role: str, local: frozenset[str]) -> None:
        try:
            refuse_unsafe(node, self._names, local)
        except RefusedError as error:
            raise error.of(f"its {role} `{ast.unparse(node)}`") from None

    def _annotation(self, node: ast.expr) -> ast.expr:
        """An annotation, as text where it is not to be evaluated or cannot be: no gradient depends on it."""
        if self._importer.flags & _ANNOTATIONS:
            return node  # Python makes the text
        if not self._annotations_are_text:
            try:
                self._value(node)
            except Exception:  # of any kind: the text raises none
                pass
            else:
                return node
        return ast.copy_location(ast.Constant(ast.unparse(node)), node)

    # --- constants ----------------------------------------------------------------------------------------------------

    def _assign(self, node: _Assignment) -> None:
        if node.value is None:  # an annotation alone
            return
        try:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._refuse_target(target, changed=isinstance(node, ast.AugAssign))
            refuse_unsafe(node.value, self._names)
            if isinstance(node, ast.AnnAssign):
                node.annotation = self._annotation(node.annotation)
            self._execute(node)
        except Exception as error:  # of any kind: shapes may not fit, powers overflow
            self._leave(node, _reason(error))
        else:
            for name in assigned_names(node):
                self._ledger.define(name, self._cell.place(node.lineno))

    def _refuse_target(self, node: ast.expr, changed: bool = False) -> None:
        """Only names are assigned to, and entries of constants and attributes of classes that this file defines."""
        match node:
            case ast.Name(id=name) if not changed or (self._ledger.defines(name) and not callable(self._names[name])):
                return
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._refuse_target(part)
                return
            case ast.Starred(value=part):
                self._refuse_target(part)
                return
            case ast.Subscript(value=ast.Name(id=name), slice=index) if self._ledger.defines(name):
                refuse_unsafe(index, self._names)
                return
            case ast.Attribute(value=ast.Name(id=name)) if self._ledger.defines(name):
                if isinstance(self._names[name], type):
                    return
        raise RefusedError(f"it changes `{ast.unparse(node)}`")

    # --- branches -----------------------------------------------------------------------------------------------------

    def _choose(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        try:
            holds = bool(self._value(node.test))
        except Exception as error:  # of any kind: an array may have no truth
            self._leave(node, f"it is in an `if {test}`, which is not evaluated: {_reason(error)}")
            return
        self._statements(node.body if holds else node.orelse)
        self._not_taken(node.orelse if holds else node.body, f"`{test}` is {'true' if holds else 'false'} here")

    def _try(self, node: ast.Try) -> None:
        """The body, up to an import that fails with an error that a handler is for. All else is taken to succeed."""
        failed = self._first_failure(node)
        others = [handler for handler in node.handlers if handler is not failed]
        self._statements(node.orelse if failed is None else failed.body)
        for handler in others:
            self._not_taken(handler.body, "what it handles does not happen here")
        self._statements(node.finalbody)

    def _first_failure(self, node: ast.Try) -> ast.ExceptHandler | None:
        """Run the body of a `try`; gives the handler of an import that fails."""
        for statement in node.body:
            if not isinstance(statement, Import):
                self._statement(statement)
                continue
            try:
                self._importer.run(statement, self._cell, raises=lambda error: _handler(node, error) is not None)
            except ERRORS as error:
                return _handler(node, error)
        return None

    # --- what is not run ----------------------------------------------------------------------------------------------

    def _leave(self, node: ast.stmt, reason: str) -> None:
        """Remember what a statement that is not run would assign and change."""
        for name, line in assigned_names(node).items():
            self._ledger.forget(name, self._cell.place(line), self._not_run(line, reason))
        for name, line in changed_names(node).items():
            if self._ledger.defines(name):
                self._ledger.forget(name, self._cell.place(line), self._not_run(line, reason))

    def _not_taken(self, nodes: Iterable[ast.stmt], reason: str) -> None:
        """Remember what only a branch that is not taken would define."""
        for node in nodes:
            for name, line in assigned_names(node).items():
                if name not in self._names and not hasattr(builtins, name):
                    self._ledger.miss(name, self._cell.place(line), self._not_run(line, reason), is_value=True)

    def _not_run(self, line: int, reason: str) -> str:
        return f"`{self._cell.line(line)}` is not run ({reason})"


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}"


def _arguments(of: ast.arguments) -> list[ast.arg]:
    every = (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg)
    return [argument for argument in every if argument is not None]


def _handler(node: ast.Try, error: BaseException) -> ast.ExceptHandler | None:
    """The first handler that is for an error, judged by the names of its classes."""
    classes = {cls.__name__ for cls in type(error).__mro__}
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or ast.unparse(kind) in classes for kind in kinds):
            return handler
    return None
