"""Edits of functions on trial, tried at speed: one function is compiled alone, and runs in the original's place."""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from types import CodeType, FunctionType, ModuleType
from typing import Any

from oracles.mutation_body import Body, Edit
from oracles.mutation_operators import Operator
from oracles.mutation_source import Piece, read, rebuilt, splice
from oracles.reachable import cells, is_foreign, names_in, nested_codes, subject_functions
from oracles.repair_limits import is_harmless
from oracles.trial import Trial
from oracles.watching import codes_run_by

EDITED = "<edit>"
"""The file that edited code says it is from."""


def functions_of(roots: Iterable[object]) -> list[FunctionType]:
    """Every function of the user's own that some callables reach, in modules that they close over too."""
    waiting = list(roots)
    while True:
        found = subject_functions(waiting)
        held = [(f, cell.cell_contents) for f in found for cell in cells(f)]
        modules = [(f, m) for f, m in held if isinstance(m, ModuleType) and not is_foreign(m.__name__)]
        more = [vars(m)[name] for f, m in modules for name in sorted(names_in(f.__code__) & vars(m).keys())]
        if all(any(value is known for known in waiting) for value in more):
            return found
        waiting += more


def functions_run(trial: Trial) -> tuple[list[FunctionType], list[FunctionType]]:
    """The user's own functions that the loss runs, and those that the gradient runs, callees first."""
    known = {f.__code__: f for f in functions_of(trial.subject)}
    runs = (trial.value, trial.gradient)
    codes = [codes_run_by(lambda run=run: run(trial.arguments(lifted=False))) for run in runs]  # type: ignore[misc]
    for_loss, for_gradient = ([known[code] for code in each if code in known] for each in codes)
    return for_loss, for_gradient


def editables(functions: Iterable[FunctionType]) -> list[Editable]:
    """Those functions whose source is at hand."""
    found = []
    for function in functions:
        with suppress(TypeError, ValueError):  # a lambda, a generator, no source
            found.append(Editable(function))
    return found


class _QuickBody(Body):
    """Whose edits do not say what they are: most of them are thrown away."""

    def expression(self, node: ast.expr, text: str, label: str) -> Edit:
        return Edit(node, label, "", "", (self.piece(node, text),))

    def inside(self, outer: ast.expr, pieces: tuple[Piece, ...], label: str) -> Edit:
        return Edit(outer, label, "", "", pieces)

    def change(self, node: ast.stmt, text: str, label: str) -> Edit:
        return Edit(node, label, "", "", (self.piece(node, text),))


class Editable:
    """A function whose source is at hand. Raises TypeError and ValueError as `oracles.mutation_source.read` does."""

    def __init__(self, function: FunctionType) -> None:
        self.function, self.original = function, function.__code__
        self.source = read(function)
        self.body: Body = _QuickBody(self.source, function.__globals__)
        self._edits: dict[str, dict[int, list[Edit]]] = {}

    def edits(self, operator: Operator, line: int) -> list[Edit]:
        """What an operator can do on a line, but for edits that may ask for arrays or loops of any length."""
        key = f"{operator.name} {id(operator)}"
        if key not in self._edits:
            found: dict[int, list[Edit]] = {}
            self._edits[key] = found
            for edit in operator.edits(self.body):
                if is_harmless(edit, operator.name, self.body):
                    found.setdefault(line_of(edit), []).append(edit)
        return self._edits[key].get(line, [])

    @cached_property
    def lines(self) -> list[int]:
        """Every line that a statement begins on."""
        return sorted({node.lineno for node in self.body.nodes if isinstance(node, ast.stmt)})

    def code(self, pieces: Sequence[Piece]) -> CodeType | None:
        """The function's code with pieces of its source replaced; None if it cannot take the original's place."""
        start, text = self._own_text
        ordered = sorted(pieces)
        if any(a.end > b.start for a, b in pairwise(ordered)) or any(piece.start < start for piece in ordered):
            return None
        edited = splice(text, (piece.moved(-start) for piece in pieces)).decode()
        flags = self.original.co_flags & __future__.annotations.compiler_flag
        with suppress(SyntaxError, ValueError, RecursionError):
            module = compile(self._around + edited, EDITED, "exec", flags, dont_inherit=True)
            for code in nested_codes(module):
                if code.co_name == self.original.co_name:
                    return code if code.co_freevars == self.original.co_freevars else None
        return None

    @cached_property
    def _own_text(self) -> tuple[int, bytes]:
        """Where the function begins in its source, at the beginning of a line, and what it says from there on."""
        start = self.source.offset(self.source.node.lineno, 0)
        return start, self.source.text.encode()[start : self.source.span(self.source.node)[1]]

    @cached_property
    def _around(self) -> str:
        """What has to stand before it for it to have its closure, and the private names of its class."""
        lines = []
        if free := [name for name in self.original.co_freevars if name != "__class__"]:
            lines.append(f"def around({', '.join(free)}):\n")
        owner = self.function.__qualname__.rpartition(".")[0].rpartition(".")[2]
        if owner and owner != "<locals>":
            lines.append(" " * len(lines) + f"class {owner}:\n")
        if self.source.node.col_offset and not lines:
            lines.append("if True:\n")
        return "".join(lines)

    @contextmanager
    def running(self, code: CodeType) -> Iterator[None]:
        """Meanwhile the function runs this code."""
        before = self.function.__code__
        self.function.__code__ = code
        try:
            yield
        finally:
            self.function.__code__ = before


@dataclass(frozen=True)
class Repair:
    """An edit of a function that may make its gradient right."""

    editable: Editable
    operator: Operator
    edit: Edit

    @property
    def line(self) -> int:
        return line_of(self.edit)

    @property
    def source_line(self) -> str:
        return self.editable.source.line(self.line)

    @cached_property
    def code(self) -> CodeType | None:
        return self.editable.code(self.edit.pieces)

    @cached_property
    def told(self) -> Edit:
        """The same edit, with what it says before and after: of a function, with what it is called on."""
        spoken = Body(self.editable.source, self.editable.function.__globals__)
        edit = next(edit for edit in self.operator.edits(spoken) if edit.pieces == self.edit.pieces)
        if isinstance(edit.node, ast.expr) and spoken.is_called(edit.node):
            call = ast.unparse(spoken.parents[edit.node])
            return replace(edit, before=call, after=edit.after + call.removeprefix(edit.before))
        return edit

    @property
    def pseudo_file(self) -> str:
        return f"<repair {id(self)} of {self.editable.function.__qualname__}>"

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the function runs the edited code, whose text is at hand, so that balls can run it."""
        made = rebuilt(self.editable.function, self.editable.source.spliced(self.edit.pieces), self.pseudo_file)
        with self.editable.running(made.__code__):
            yield


def line_of(edit: Edit) -> int:
    node: Any = edit.node
    return int(node.lineno)
