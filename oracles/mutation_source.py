"""A function's own source: where it stands, pieces of it, and the function that an edited copy of it compiles to."""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
import warnings
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from oracles.reachable import nested_codes

_NOT_PLAIN = (
    (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE, "a coroutine"),
    (inspect.CO_GENERATOR, "a generator"),
)


class Piece(NamedTuple):
    """Text that takes the place of some bytes of a source."""

    start: int
    end: int
    text: str

    def moved(self, by: int) -> Piece:
        return Piece(self.start + by, self.end + by, self.text)


@dataclass(frozen=True)
class Source:
    """What a function was compiled from.

    `text` is its file, blank but for the top-level statement that it stands in and for imports: so lines keep their
    numbers, and the function its qualified name, its closure and the very code that it has.
    """

    function: FunctionType
    filename: str
    text: str
    node: ast.FunctionDef

    @cached_property
    def _bytes(self) -> bytes:
        return self.text.encode()  # columns of a syntax tree count bytes of UTF-8

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(len(line) + 1 for line in self._bytes.split(b"\n"))]

    def offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Bytes of a node with a position: [start, end)."""
        at: Any = node
        return self.offset(at.lineno, at.col_offset), self.offset(at.end_lineno, at.end_col_offset)

    def segment(self, node: ast.AST) -> str:
        """The text of a node as it is written, without parentheses around it."""
        start, end = self.span(node)
        return self._bytes[start:end].decode()

    def line(self, number: int) -> str:
        start, end = self._starts[number - 1 : number + 1]
        return self._bytes[start:end].decode().strip()

    def spliced(self, pieces: Iterable[Piece]) -> str:
        """The text with pieces of it replaced."""
        return splice(self._bytes, pieces).decode()

    def program(self, pieces: Iterable[Piece]) -> frozenset[tuple[int, str]]:
        """What the function is with pieces replaced: (which part, its tree) for each that differs from the original's.

        The parts are the statements of its body; the header before them counts as part -1.
        """
        given = list(pieces)
        first = self.span(self.node.body[0])[0]
        changed = {(-1, piece.text) for piece in given if piece.start < first}
        for i, statement in enumerate(self.node.body):
            start, end = self.span(statement)
            inside = [piece for piece in given if start <= piece.start < end]
            if inside and (tree := self._tree(statement, inside)) != self._tree(statement, []):
                changed.add((i, tree))
        return frozenset(changed)

    def _tree(self, statement: ast.stmt, pieces: list[Piece]) -> str:
        start, end = self.span(statement)
        text = splice(self._bytes[start:end], (piece.moved(-start) for piece in pieces)).decode()
        before = self._bytes[self.offset(statement.lineno, 0) : start].decode()
        return ast.dump(parsed(f"if True:\n{before if before.isspace() else ' '}{text}\n"))


def splice(text: bytes, pieces: Iterable[Piece]) -> bytes:
    """A text with pieces of it replaced; they must not overlap."""
    for piece in sorted(pieces, reverse=True):
        text = text[: piece.start] + piece.text.encode() + text[piece.end :]
    return text


def read(function: FunctionType) -> Source:
    """The source of a plain function, as Python has it at hand (a file, a notebook cell, or `linecache`).

    Raises TypeError for lambdas, generators, coroutines and wrapped functions, and ValueError where there is no source
    or it is not what the function was compiled from.
    """
    code, name = function.__code__, function.__qualname__
    _refuse_unusual(function)
    filename = code.co_filename
    linecache.checkcache(filename)
    whole = "".join(linecache.getlines(filename, function.__globals__))
    if not whole:
        raise ValueError(
            f"function: expected a function whose source is at hand, got {name}, made in {filename!r}; "
            "define it in a file (or register its text in linecache)"
        )
    for reduced in (_alone, _whole):
        try:
            text = reduced(whole, code.co_firstlineno)
            found = compiled(text, filename, function)
            if found == code and found.co_freevars == code.co_freevars:
                return Source(function, filename, text, definition(text, function))
        except (SyntaxError, LookupError):
            continue
    raise ValueError(
        f"function: the source in {filename!r} is not what {name} was compiled from (line {code.co_firstlineno}); "
        "import it again if the file was edited; pytest rewrites functions that hold an assert"
    )


def _refuse_unusual(function: FunctionType) -> None:
    name = function.__qualname__
    if function.__code__.co_name == "<lambda>":
        raise TypeError(
            f"function: expected a function made with def, got the lambda {name}; give it a name and a body"
        )
    for flag, kind in _NOT_PLAIN:
        if function.__code__.co_flags & flag:
            raise TypeError(f"function: expected a plain function, got {kind} ({name}); mutate what it calls")
    if hasattr(function, "__wrapped__"):
        raise TypeError(
            f"function: {name} is wrapped by a decorator; pass {name}.__wrapped__, and decorate its mutants"
        )


def definition(text: str, function: FunctionType) -> ast.FunctionDef:
    """The syntax tree of a function in a text that has it at its own line. Raises LookupError if it is not there."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.FunctionDef) and node.name == function.__code__.co_name:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if first == function.__code__.co_firstlineno:
                return node
    raise LookupError(function.__qualname__)


def compiled(text: str, filename: str, function: FunctionType) -> CodeType:
    """The code that a function has in a text. Raises LookupError if the text does not have it at its own line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = compile(text, filename, "exec", dont_inherit=True)
    wanted = function.__code__.co_qualname, function.__code__.co_firstlineno
    for code in nested_codes(module):
        if (code.co_qualname, code.co_firstlineno) == wanted:
            return code
    raise LookupError(function.__qualname__)


def rebuilt(function: FunctionType, text: str, filename: str) -> FunctionType:
    """The function as `text` has it, with the globals, closure, defaults and attributes of the given one.

    The text is registered in `linecache` under `filename` for as long as such a function lives, so that tracebacks,
    `inspect.getsource` and the lifting to balls find it. Keyword-only arguments that only the text has get an empty
    dict as their default: one of their own in each function that is made.
    """
    code, old = _registered(function, text, filename), function.__code__
    cells = dict(zip(old.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in code.co_freevars)
    made = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    added = _keyword_only(code) - _keyword_only(old)
    made.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **{name: {} for name in added}} or None
    annotations = "__annotate__" if hasattr(function, "__annotate__") else "__annotations__"  # the former from 3.14 on
    for attribute in ("__module__", "__qualname__", "__doc__", "__type_params__", annotations):
        if hasattr(function, attribute):
            setattr(made, attribute, copy.copy(getattr(function, attribute)))
    made.__dict__.update(function.__dict__)
    return made


_CODES: weakref.WeakValueDictionary[str, CodeType] = weakref.WeakValueDictionary()
"""Pseudo file -> the one code that is made from it, so that its text goes when the last function with it does."""


def _registered(function: FunctionType, text: str, filename: str) -> CodeType:
    linecache.cache[filename] = (len(text), None, [line + "\n" for line in text.split("\n")], filename)
    code = _CODES.get(filename)
    if code is None:
        code = _CODES[filename] = compiled(text, filename, function)
        weakref.finalize(code, linecache.cache.pop, filename, None)
    return code


def _keyword_only(code: CodeType) -> set[str]:
    return set(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])


def parsed(text: str) -> ast.Module:
    """The syntax tree, without the compiler's remarks: they were made when the source was first compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _alone(whole: str, line: int) -> str:
    """A file with every line blank but the top-level statement that covers `line`, and the imports that matter to it.

    These are those of names that it has, since the compiler calls what is in an imported name in its own way, and
    those from the future.
    """
    imports, ends = _outline(whole)
    lines = whole.split("\n")
    last, end = next(((a, b) for a, b in pairwise((0, *ends)) if a < line <= b), (0, 0))
    statement = "\n".join(lines[last:end])  # from the end of the one before: decorators stand above
    kept = [""] * len(lines)
    for at, text, names in imports:
        if any(name in statement or name == "*" for name in names) or "__future__" in text:
            kept[at - 1] += f"{text}; "
    kept[last:end] = lines[last:end]
    return "\n".join(kept).rstrip("\n") + "\n"


def _whole(whole: str, line: int) -> str:
    return whole


@lru_cache(maxsize=64)
def _outline(whole: str) -> tuple[list[tuple[int, str, list[str]]], list[int]]:
    """(line, text, names) of each import of a module, and the last line of each top-level statement."""
    module = parsed(whole)
    imports = [
        (node.lineno, ast.unparse(node), [(a.asname or a.name).split(".")[0] for a in node.names])
        for node in _imports(module)
    ]
    return imports, [statement.end_lineno or statement.lineno for statement in module.body]


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that a module makes itself, also in its branches."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from _imports(child)
