"""Numbers in a subject's source, taken as they are written.

Python rounds `1 / 3` and even `0.1` before any ball sees them, so a forward that writes 0.044715 and a backward that
writes 3 * 0.044715 would differ by 1e-17 and be called wrong. While a subject runs on balls, its functions therefore run a
compiled copy of their own source in which float literals are exact decimals and scalar arithmetic is done on balls.
Nothing else is changed. Where the source is not at hand, or is not what the function was compiled from, the function runs
as it is.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from flint import arb, ctx
from numpy import generic, ndarray

from oracles.ball import BallArray, balls, wrap

_HOOK = "__backproof_exact__"
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.Pow: "pow",
}


class Exact:
    """What the rewritten source calls. One instance, in `builtins` while subjects run on balls."""

    @staticmethod
    def literal(text: str) -> BallArray:
        return wrap(_decimal(text, ctx.prec))

    @staticmethod
    def binary(name: str, a: Any, b: Any) -> Any:
        """`a op b`, on balls if Python or NumPy would round: quotients, and anything with a float in it."""
        if not isinstance(a, BallArray) and not isinstance(b, BallArray) and _rounds(name, a, b):
            a = balls(a)
        return getattr(operator, name)(a, b)

    @staticmethod
    def in_place(name: str, a: Any, b: Any) -> Any:
        if not isinstance(a, BallArray) and not isinstance(b, BallArray) and _rounds(name, a, b):
            return getattr(operator, name)(balls(a), b)
        if isinstance(b, BallArray) and isinstance(a, ndarray) and a.dtype.kind in "biu":
            return getattr(operator, name)(balls(a), b)  # an integer array cannot hold the result in any case
        return getattr(operator, "i" + name)(a, b)


@functools.lru_cache(maxsize=4096)
def _decimal(text: str, precision: int) -> arb:
    return arb(text)  # an enclosure at the precision in force, which is part of the cache key


def _kind(value: object) -> str:
    if isinstance(value, bool | int):
        return "i"
    if isinstance(value, float):
        return "f"
    return value.dtype.kind if isinstance(value, ndarray | generic) else "?"


def _rounds(name: str, a: object, b: object) -> bool:
    kinds = _kind(a) + _kind(b)
    if "?" in kinds or not set(kinds) <= set("biuf"):
        return False
    if name == "truediv" or "f" in kinds:
        return True
    return name == "pow" and isinstance(b, int) and b < 0


# --- rewriting ------------------------------------------------------------------------------------------------------


class _Rewriter(ast.NodeTransformer):
    """Float literals and arithmetic operators become calls of `Exact`; positions are kept for tracebacks."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is not float or node.value in (float("inf"), 0.0):
            return node
        return self._call(node, "literal", ast.Constant(repr(node.value)))

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

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def _call(self, at: ast.AST, method: str, *args: ast.expr) -> ast.Call:
        hook = ast.Attribute(ast.Name(_HOOK, ast.Load()), method, ast.Load())
        return ast.fix_missing_locations(ast.copy_location(ast.Call(hook, list(args), []), at))


@functools.lru_cache(maxsize=256)
def _rewritten(filename: str, source: str) -> dict[tuple[str, int], list[tuple[CodeType, CodeType]]]:
    """(qualified name, first line) -> [(code as compiled from this source, rewritten code)]."""
    try:
        tree = ast.parse(source, filename)
        # dont_inherit: this module's own future imports are not the subject's
        plain = compile(tree, filename, "exec", dont_inherit=True)
        exact = compile(_Rewriter().visit(ast.parse(source, filename)), filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[tuple[str, int], list[tuple[CodeType, CodeType]]] = {}
    for before, after in zip(nested_codes(plain), nested_codes(exact), strict=True):
        found.setdefault((before.co_qualname, before.co_firstlineno), []).append((before, after))
    return found


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from nested_codes(constant)


def exact_code(code: CodeType) -> CodeType | None:
    """The rewritten counterpart of a function's code, or None if its source is not at hand."""
    filename = code.co_filename
    linecache.checkcache(filename)
    source = "".join(linecache.getlines(filename))
    for before, after in _rewritten(filename, source).get((code.co_qualname, code.co_firstlineno), ()):
        # Equality of code compares names, constants and positions: two lambdas of one line are told apart.
        if before == code and after.co_freevars == code.co_freevars:
            return after
    return None


# --- finding a subject's functions ----------------------------------------------------------------------------------

_FOREIGN = sys.stdlib_module_names | {
    "numpy",
    "scipy",
    "torch",
    "jax",
    "jaxlib",
    "flint",
    "oracles",
    "pytest",
    "_pytest",
}


def _is_foreign(module: object) -> bool:
    return not isinstance(module, str) or (module.split(".")[0] in _FOREIGN and module != "__main__")


def subject_functions(roots: Iterable[object]) -> list[FunctionType]:
    """Every Python function of the user's own that the given callables can reach by name, method or closure."""
    found: dict[int, FunctionType] = {}
    seen: set[int] = set()
    waiting: list[object] = list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        waiting.extend(_reachable(thing))
        if isinstance(thing, FunctionType) and not _is_foreign(thing.__module__):
            found[id(thing)] = thing
    return list(found.values())


def _reachable(thing: object) -> Iterator[object]:
    if isinstance(thing, FunctionType):
        if _is_foreign(thing.__module__) and not hasattr(thing, "__wrapped__"):
            return
        yield getattr(thing, "__wrapped__", None)
        for cell in thing.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # an empty cell: the name is assigned later
                continue
        names = {name for code in (thing.__code__, *nested_codes(thing.__code__)) for name in code.co_names}
        values = [thing.__globals__.get(name) for name in names]
        yield from values
        for module in (v for v in values if isinstance(v, ModuleType) and not _is_foreign(v.__name__)):
            yield from (getattr(module, name, None) for name in names)
    elif isinstance(thing, MethodType):
        yield from (thing.__func__, thing.__self__)
    elif isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, staticmethod | classmethod):
        yield thing.__func__
    elif isinstance(thing, property):
        yield from (thing.fget, thing.fset)
    elif isinstance(thing, type):
        if not _is_foreign(thing.__module__):
            for base in thing.__mro__[:-1]:
                yield from vars(base).values()
    elif isinstance(thing, list | tuple):
        yield from (item for item in thing if callable(item))
    elif isinstance(thing, dict):
        yield from (item for item in thing.values() if callable(item))
    elif thing is not None and not _is_foreign(type(thing).__module__) and not isinstance(thing, ModuleType):
        yield type(thing)
        yield from (
            v for v in getattr(thing, "__dict__", {}).values() if callable(v) or isinstance(v, list | tuple | dict)
        )


@contextmanager
def exact_literals(functions: Iterable[Callable[..., Any]]) -> Iterator[int]:
    """Run the given functions' rewritten code inside the block; gives how many have their source at hand."""
    with ExitStack() as stack:
        count = 0
        setattr(builtins, _HOOK, Exact)
        stack.callback(delattr, builtins, _HOOK)
        for function in functions:
            if not inspect.isfunction(function) or (exact := exact_code(function.__code__)) is None:
                continue
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = exact
            count += 1
        yield count
