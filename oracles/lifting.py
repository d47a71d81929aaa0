"""Numbers in a subject's source, taken as they are written.

Python rounds `1 / 3` and even `0.1` before any ball sees them, so a forward that writes 0.044715 and a backward that
writes 3 * 0.044715 would differ by 1e-17 and be called wrong. While a subject runs on balls, its functions therefore
run a compiled copy of their own source in which float literals are exact decimals and arithmetic on plain numbers is
done on balls. Nothing else is changed. Where the source is not at hand, or is not what the function was compiled from,
the function runs as it is.

Left alone are literals with few bits, such as 0.5: they are exact as floats, and code may ask `isinstance(p, float)`.
A literal of 15 digits or more is the rounding of something, such as 0.7978845608028654 of the root of 2 / pi, so it is
noted in `mode.rounded` (and in `mode.long_literals`). So is one that equals a number of the point, which stays the
float that it is.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from types import CodeType
from typing import Any

from flint import arb, ctx
from numpy import dtype, float64, generic, ndarray

from oracles.ball import BallArray, balls, wrap
from oracles.ball_comparisons import Literal
from oracles.ball_mode import is_short, mode, note
from oracles.reachable import nested_codes, subject_functions

__all__ = ["Exact", "exact_code", "exact_literals", "rounds", "subject_functions"]

_HOOK = "__backproof_exact__"
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
}
_FULL_DIGITS = 15
_METHODS = ("astype", "dot", "mean", "var", "std", "sum", "prod", "cumsum")
"""Methods of plain arrays whose results are rounded, or become buffers that balls are written into."""


def rounds(name: str, a: object, b: object) -> bool:
    """Whether Python or NumPy would round `a op b`: quotients of numbers, and anything with a float in it."""
    if isinstance(a, BallArray) or isinstance(b, BallArray):  # nearly always, and quick
        return False
    kinds = _kind(a) + _kind(b)
    if "?" in kinds:
        return False
    return name == "truediv" or "f" in kinds or (name == "pow" and isinstance(b, int) and b < 0)


def _kind(value: object) -> str:
    """The dtype kind of a real number or array (b, i, u or f), or "?" for anything else, balls among it."""
    if isinstance(value, ndarray | generic):
        return value.dtype.kind if value.dtype.kind in "biuf" else "?"
    return "i" if isinstance(value, int) else "f" if isinstance(value, float) else "?"


class Exact:
    """What the rewritten source calls. The class itself is in `builtins` while subjects run on balls."""

    versions: Mapping[int, Any] = {}
    """Id of a module, function or constant -> what a subject finds in its place."""

    @staticmethod
    def literal(text: str, /) -> BallArray:
        """The decimal that the source has. Noted where it stands for a number that was rounded to it."""
        value = float(text)
        digits = text.split("e")[0].replace(".", "").strip("0")
        if len(digits) >= _FULL_DIGITS:
            note(mode.long_literals, text)
        elif value not in mode.points:
            return wrap(_decimal(text, ctx.prec))
        note(mode.rounded, text)
        return wrap(_widened(text) if mode.widened else _decimal(text, ctx.prec))

    @staticmethod
    def binary(name: str, a: Any, b: Any, /) -> Any:
        """`a op b`, on balls if it would be rounded."""
        return getattr(operator, name)(balls(a) if rounds(name, a, b) else a, b)

    @staticmethod
    def in_place(name: str, a: Any, b: Any, /) -> Any:
        """`a op= b` for a name: on balls if it would be rounded, unless `a` is an array, which is written into."""
        if not isinstance(a, ndarray) and rounds(name, a, b):
            return getattr(operator, name)(balls(a), b)
        return getattr(operator, "i" + name)(a, b)

    @staticmethod
    def method(name: str, of: Any, /, *args: Any, **kwargs: Any) -> Any:
        """`of.name(...)`, of balls if `of` is a plain array and NumPy would round."""
        if type(of) is ndarray or isinstance(of, generic):
            other = args[0] if args else kwargs.get("dtype")
            if _method_rounds(name, _kind(of), other):
                of = balls(of)
        return getattr(of, name)(*args, **kwargs)

    @staticmethod
    def served(value: Any, /) -> Any:
        """What a subject finds in the place of a module or function that it imports inside a function."""
        return Exact.versions.get(id(value), value)


def _method_rounds(name: str, kind: str, argument: Any) -> bool:
    if kind == "?":
        return False
    if name == "astype":
        return argument is not None and dtype(argument) == float64
    if name == "dot":
        return isinstance(argument, BallArray) or "f" in (kind, _kind(argument))
    return kind == "f" or name in ("mean", "var", "std")


@functools.lru_cache(maxsize=4096)
def _decimal(text: str, precision: int) -> arb:
    # an enclosure at the precision in force, which is part of the cache key
    return Literal.of(arb(text), float(text))


def _widened(text: str) -> arb:
    """By a unit of the last digit that is written, and by two units of 2^-53."""
    last_digit = arb(10) ** int(Decimal(text).as_tuple().exponent)
    return arb(text) + arb(0, 1) * (last_digit + abs(float(text)) * 2.0**-52)


# --- rewriting ------------------------------------------------------------------------------------------------------


class _Rewriter(ast.NodeTransformer):
    """Float literals, arithmetic, and a few calls become calls of `Exact`; positions are kept for tracebacks."""

    def __init__(self, tree: ast.AST, source: str) -> None:
        self._lines = [line.encode() for line in source.split("\n")]
        self._globals = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is not float or is_short(node.value):
            return node
        return self._call(node, "literal", ast.Constant(self._text(node)))

    def _text(self, node: ast.Constant) -> str:
        """The digits as written: the float keeps 17 of them."""
        written = self._lines[node.lineno - 1][node.col_offset : node.end_col_offset]
        text = written.decode(errors="replace").replace("_", "").lower()
        try:
            return text if float(text) == node.value else repr(node.value)
        except ValueError:
            return repr(node.value)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        name = _ARITHMETIC.get(type(node.op))
        return node if name is None else self._call(node, "binary", ast.Constant(name), node.left, node.right)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        name = _ARITHMETIC.get(type(node.op))
        if name is None or not isinstance(node.target, ast.Name):
            return node  # evaluating the target of x[i] += ... twice could run its index expression twice
        current = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
        value = self._call(node, "in_place", ast.Constant(name), current, node.value)
        return ast.copy_location(ast.Assign([node.target], value), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in _METHODS:
            return node
        call = self._call(node, "method", ast.Constant(node.func.attr), node.func.value, *node.args)
        call.keywords = node.keywords
        return call

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return [node, *self._served(node, (a.asname or a.name.split(".")[0] for a in node.names))]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        if node.module == "__future__":
            return [node]
        return [node, *self._served(node, (a.asname or a.name for a in node.names if a.name != "*"))]

    def _served(self, node: ast.stmt, names: Iterable[str]) -> Iterator[ast.stmt]:
        for name in names:
            if name not in self._globals:  # else it would stay there when the subject is done
                value = self._call(node, "served", ast.Name(name, ast.Load()))
                yield ast.fix_missing_locations(
                    ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), node)
                )

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        node.keys = [key and self._unless_literal(key) for key in node.keys]
        node.values = [self.visit(value) for value in node.values]
        return node

    def visit_Set(self, node: ast.Set) -> ast.AST:
        node.elts = [self._unless_literal(element) for element in node.elts]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value, node.slice = self.visit(node.value), self._unless_literal(node.slice)
        return node

    def _unless_literal(self, key: ast.expr) -> ast.expr:
        """Keys are looked up and not computed with; and balls are not hashable."""
        visited: ast.expr = key if isinstance(key, ast.Constant) else self.visit(key)
        return visited

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        return node  # patterns must be literals

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # text

    def _call(self, at: ast.AST, method: str, *args: ast.expr) -> ast.Call:
        hook = ast.Attribute(ast.Name(_HOOK, ast.Load()), method, ast.Load())
        return ast.fix_missing_locations(ast.copy_location(ast.Call(hook, list(args), []), at))


_Rewritten = dict[tuple[str, int], list[tuple[CodeType, CodeType]]]
"""(qualified name, first line) -> [(code as compiled from the source, rewritten code)]."""


@functools.lru_cache(maxsize=256)
def _rewritten(filename: str, source: str) -> _Rewritten:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of the subject's spelling, such as "\\d": it was told when it was imported
            tree = ast.parse(source, filename)
            # dont_inherit: this module's own future imports are not the subject's
            plain = compile(tree, filename, "exec", dont_inherit=True)
            lifted = _Rewriter(tree, source).visit(ast.parse(source, filename))
            exact = compile(lifted, filename, "exec", dont_inherit=True)
        pairs = list(zip(nested_codes(plain), nested_codes(exact), strict=True))
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: _Rewritten = {}
    for before, after in pairs:
        found.setdefault((before.co_qualname, before.co_firstlineno), []).append((before, after))
    return found


def exact_code(code: CodeType) -> CodeType | None:
    """The rewritten counterpart of a function's code, or None if its source is not at hand."""
    filename = code.co_filename
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    # What matches once matches for good; the file's size and time tell when to look again for what did not. Equal code
    # in two files is told apart, for the sake of tracebacks.
    key = (code, filename, *linecache.cache.get(filename, ())[:2])
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = _matching(code, _rewritten(filename, "".join(lines)))
    return _known[key]


_known: dict[tuple[Any, ...], CodeType | None] = {}
_MOST_KNOWN = 4096


def _matching(code: CodeType, rewritten: _Rewritten) -> CodeType | None:
    for before, after in rewritten.get((code.co_qualname, code.co_firstlineno), ()):
        # Equality of code compares bytecode, names and constants, so an edited source cannot slip in.
        if before == code and after.co_freevars == code.co_freevars:
            return after
    return None


# --- running --------------------------------------------------------------------------------------------------------


@contextmanager
def exact_literals(functions: Iterable[Callable[..., Any]], versions: Mapping[int, Any]) -> Iterator[int]:
    """Run the given functions' rewritten code inside the block; gives how many have their source at hand.

    `versions` are the replacements for what they import inside (see `oracles.stand_ins`).
    """
    with ExitStack() as stack:
        stack.callback(_restore_hook, getattr(builtins, _HOOK, None), Exact.versions)
        setattr(builtins, _HOOK, Exact)
        Exact.versions = versions
        count = 0
        for function in functions:
            if not inspect.isfunction(function) or (exact := exact_code(function.__code__)) is None:
                continue
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = exact
            count += 1
        yield count


def _restore_hook(hook: Any, versions: Mapping[int, Any]) -> None:
    Exact.versions = versions
    if hook is None:
        delattr(builtins, _HOOK)
    else:
        setattr(builtins, _HOOK, hook)
