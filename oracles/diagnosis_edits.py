"""Edits of functions on trial, tried at speed: a function is compiled alone, put in its own place and taken out again.

Lambdas are written out as the functions that they abbreviate for as long as they are edited.
"""

from __future__ import annotations

import __future__
import ast
import linecache
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import CodeType, FunctionType, ModuleType
from typing import Any

from oracles.mutation_body import Body, Edit
from oracles.mutation_operators import Operator
from oracles.mutation_source import Piece, parsed, read, rebuilt, splice
from oracles.reachable import cells, is_foreign, names_in, nested_codes, subject_functions


def functions_of(roots: Iterable[object]) -> list[FunctionType]:
    """Every function of the user's own that some callables reach, in modules that they close over too."""
    waiting, found = list(roots), []
    while True:
        found = subject_functions(waiting)
        held = [(f, cell.cell_contents) for f in found for cell in cells(f)]
        modules = [(f, m) for f, m in held if isinstance(m, ModuleType) and not is_foreign(m.__name__)]
        more = [vars(m)[name] for f, m in modules for name in sorted(names_in(f.__code__) & vars(m).keys())]
        if all(any(value is known for known in waiting) for value in more):
            return found
        waiting += more


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
        self._edits: dict[int, dict[int, list[Edit]]] = {}

    def edits(self, operator: Operator, line: int) -> list[Edit]:
        """What an operator can do on a line."""
        if id(operator) not in self._edits:
            self._edits[id(operator)] = found = {}
            for edit in operator.edits(self.body):
                found.setdefault(line_of(edit), []).append(edit)
        return self._edits[id(operator)].get(line, [])

    @cached_property
    def lines(self) -> list[int]:
        """Every line that a statement stands on."""
        return sorted({node.lineno for node in self.body.nodes if isinstance(node, ast.stmt)})

    def code(self, pieces: Sequence[Piece]) -> CodeType | None:
        """What the function's code is with pieces of its source replaced; None if it cannot take the original's place."""
        start, text = self._own_text
        ordered = sorted(pieces)
        if any(a.end > b.start for a, b in pairwise(ordered)) or any(piece.start < start for piece in ordered):
            return None
        edited = splice(text, (piece.moved(-start) for piece in pieces)).decode()
        flags = self.original.co_flags & __future__.annotations.compiler_flag
        with suppress(SyntaxError, ValueError, RecursionError):
            module = compile(self._around + edited, "<edit>", "exec", flags, dont_inherit=True)
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
    """An edit of a function, as what is to be tried."""

    editable: Editable
    operator: Operator
    edit: Edit
    kept: tuple[Piece, ...] = ()
    """Of other repairs of the same function, that are made as well."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (*self.kept, *self.edit.pieces)

    @property
    def function(self) -> FunctionType:
        return self.editable.function

    @property
    def line(self) -> int:
        return line_of(self.edit)

    @property
    def source_line(self) -> str:
        return self.editable.source.line(self.line)

    @cached_property
    def told(self) -> Edit:
        """The same edit, with what it says before and after."""
        spoken = Body(self.editable.source, self.function.__globals__)
        return next(edit for edit in self.operator.edits(spoken) if edit.pieces == self.edit.pieces)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the function runs the edited code, whose text is at hand: it can be lifted, and edited further."""
        text = self.editable.source.spliced(self.pieces)
        made = rebuilt(self.function, text, f"<repair {id(self)} of {self.function.__qualname__}>")
        with self.editable.running(made.__code__):
            yield


def line_of(edit: Edit) -> int:
    node: Any = edit.node
    return int(node.lineno)


# --- lambdas --------------------------------------------------------------------------------------------------------


@contextmanager
def written_out(functions: Sequence[FunctionType]) -> Iterator[dict[str, str]]:
    """Meanwhile every lambda among them whose source is at hand runs as a function made with def, from a file of its own.

    Yields the name of each such file with that of the file that the lambda stands in; lines have their own numbers.
    """
    files: dict[str, str] = {}
    with ExitStack() as stack:
        for function in functions:
            code = function.__code__
            text = _as_definition(function) if code.co_name == "<lambda>" else None
            if text is None:
                continue
            filename = f"<lambda of line {code.co_firstlineno} of {function.__module__} {len(files)}>"
            made = _compiled(text, filename, code)
            if made is None:
                continue
            linecache.cache[filename] = (len(text), None, [line + "\n" for line in text.split("\n")], filename)
            stack.callback(linecache.cache.pop, filename, None)
            stack.callback(setattr, function, "__code__", code)
            function.__code__ = made
            files[filename] = code.co_filename
        yield files


def _as_definition(function: FunctionType) -> str | None:
    """The text of a lambda as a definition on the same line; None if it cannot be told which lambda of a line it is."""
    code = function.__code__
    linecache.checkcache(code.co_filename)
    whole = "".join(linecache.getlines(code.co_filename, function.__globals__))
    try:
        lambdas = [node for node in ast.walk(parsed(whole)) if isinstance(node, ast.Lambda)]
    except SyntaxError:
        return None
    alike = [node for node in lambdas if node.lineno == code.co_firstlineno and _has_code(node, code)]
    if len({ast.dump(node) for node in alike}) != 1 or (code.co_freevars and code.co_firstlineno < 2):
        return None
    (node, *_) = alike
    head = "\n" * (node.lineno - 1)
    if code.co_freevars:
        head = "\n" * (node.lineno - 2) + f"def around({', '.join(code.co_freevars)}):\n "
    body = ast.get_source_segment(whole, node.body)
    return f"{head}def lambda_({ast.unparse(node.args)}): return ({body}\n)\n"


def _has_code(node: ast.Lambda, code: CodeType) -> bool:
    """Whether a lambda compiles to a code, but for where it stands."""
    text = ast.unparse(node)
    if code.co_freevars:
        text = f"def around({', '.join(code.co_freevars)}): return {text}"
    made = next((c for c in nested_codes(compile(text, "", "exec")) if c.co_name == "<lambda>"), None)
    return made is not None and (made.co_code, made.co_names, made.co_varnames, made.co_consts) == (
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_consts,
    )


def _compiled(text: str, filename: str, original: CodeType) -> CodeType | None:
    with suppress(SyntaxError):
        for code in nested_codes(compile(text, filename, "exec", dont_inherit=True)):
            if code.co_name == "lambda_" and code.co_freevars == original.co_freevars:
                return code
    return None
