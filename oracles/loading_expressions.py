"""Which expressions may be evaluated while a file is loaded: those that only make data, or name what is there.

Literals, arithmetic, lambdas (whose bodies do not run), and calls of functions that are known to do nothing but compute
a value of their arguments, such as `np.ones(9) * 0.1`. Anything else is refused with its reason: what it does is not
known without running it.
"""

from __future__ import annotations

import ast
import builtins
import collections
import dataclasses
import decimal
import enum
import fractions
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from oracles.loading_missing import Missing

Names = Mapping[str, Any]


class RefusedError(Exception):
    """Why an expression or statement is not run, and the name that it needs, if that is why."""

    def __init__(self, reason: str, needs: str | None = None) -> None:
        super().__init__(reason)
        self.needs = needs

    def of(self, part: str) -> RefusedError:
        """The same for what has this part."""
        return RefusedError(f"{part}: {self}", self.needs)


_NUMPY_FUNCTIONS = """
    array asarray asanyarray ascontiguousarray atleast_1d atleast_2d zeros ones full eye identity diag tri tril triu
    zeros_like ones_like full_like arange linspace logspace geomspace meshgrid concatenate stack vstack hstack
    column_stack tile repeat reshape ravel transpose squeeze expand_dims broadcast_to where clip sum prod mean std var
    max min cumsum cumprod dot outer kron round finfo iinfo dtype vectorize
"""
_FUNCTIONS: list[Any] = [
    *(abs, bool, bytes, complex, dict, divmod, enumerate, float, frozenset, int, len, list, max, min, pow, range),
    *(reversed, round, set, slice, sorted, str, sum, tuple, zip, property, staticmethod, classmethod),
    *(collections.namedtuple, collections.OrderedDict, collections.deque, collections.Counter),
    *(dataclasses.field, enum.auto, functools.partial, fractions.Fraction, decimal.Decimal),
    *(typing.TypeVar, typing.NewType, typing.ParamSpec),
    *(getattr(np, name) for name in _NUMPY_FUNCTIONS.split()),
]
_PURE = {id(function) for function in _FUNCTIONS}
_METHODS = """
    astype clip conj copy cumsum dot flatten format get items join keys lower max mean min prod ravel repeat replace
    reshape round split splitlines squeeze std strip sum swapaxes title tolist transpose upper values var
"""
"""Of arrays, strings and dicts."""
_DATA = (
    *(int, float, complex, str, bytes, type(None), type(...), tuple, list, dict, set, frozenset, range, slice),
    *(collections.deque, fractions.Fraction, decimal.Decimal, enum.Enum, np.ndarray, np.generic, np.dtype, np.finfo),
)
_KINDS = (*_DATA, type, types.ModuleType, types.GenericAlias, types.UnionType, functools.partial, typing.TypeVar)


def refuse_unsafe(node: ast.expr, names: Names, local: frozenset[str] = frozenset()) -> None:
    """Raise RefusedError if evaluating `node` might do more than make data.

    `names` is the namespace that it would be evaluated in, `local` are names of an inner scope that are known to be
    safe: those of a comprehension, or of a class body.
    """
    match node:
        case ast.Name(id=name):
            _refuse_name(name, names, local)
        case ast.Call():
            _refuse_call(node, names, local)
        case ast.Lambda(args=arguments):
            for default in defaults_of(arguments):
                refuse_unsafe(default, names, local)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            _refuse_comprehension(node, names, local)
        case ast.NamedExpr() | ast.Await() | ast.Yield() | ast.YieldFrom():
            raise RefusedError(f"`{ast.unparse(node)}` does more than make a value")
        case _:  # literals, operators, attributes, subscripts, f-strings: as safe as their parts
            for part in ast.iter_child_nodes(node):
                if isinstance(part, ast.expr):
                    refuse_unsafe(part, names, local)


def refuse_decorator(node: ast.expr, names: Names, local: frozenset[str] = frozenset()) -> None:
    """Raise RefusedError unless a decorator is an import, a definition or a builtin, or a call of one on data.

    Applying it runs its code: without it the function would be another one.
    """
    function = node.func if isinstance(node, ast.Call) else node
    root = function
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        raise RefusedError(f"its decorator @{ast.unparse(node)} is not the name of a function")
    try:
        _refuse_name(root.id, names, local)
        if isinstance(node, ast.Call):
            _refuse_arguments(node, names, local)
    except RefusedError as error:
        raise error.of(f"its decorator @{ast.unparse(node)}") from None


def defaults_of(arguments: ast.arguments) -> list[ast.expr]:
    return [default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None]


def _refuse_name(name: str, names: Names, local: frozenset[str]) -> None:
    if name in local or (name not in names and hasattr(builtins, name)):
        return
    if name not in names:
        raise RefusedError(f"it needs {name}, which nothing before it defines", name)
    value = names[name]
    if isinstance(value, Missing):
        raise RefusedError(f"it needs {name}, which is not loaded", name)
    if not (isinstance(value, _KINDS) or callable(value) or type(value).__module__ == "typing"):
        raise RefusedError(f"it needs {name}, a {type(value).__name__}, and what that does is not known")


def _refuse_comprehension(
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, names: Names, local: frozenset[str]
) -> None:
    for generator in node.generators:
        refuse_unsafe(generator.iter, names, local)
        local |= {part.id for part in ast.walk(generator.target) if isinstance(part, ast.Name)}
        for condition in generator.ifs:
            refuse_unsafe(condition, names, local)
    for element in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
        refuse_unsafe(element, names, local)


def _refuse_call(node: ast.Call, names: Names, local: frozenset[str]) -> None:
    if not _is_pure(_named(node.func, names, local)):
        refuse_unsafe(node.func, names, local)  # a name that is not there is the better reason
        if not _is_method_of_data(node.func, names, local):
            raise RefusedError(f"{ast.unparse(node.func)}(...) is not run")
    _refuse_arguments(node, names, local)


def _refuse_arguments(node: ast.Call, names: Names, local: frozenset[str]) -> None:
    for keyword in node.keywords:
        if keyword.arg in ("key", None):  # sorted, max and min call it; and **{...} may have one
            raise RefusedError(f"{ast.unparse(node.func)}(...) with `{ast.unparse(keyword)}` is not run")
        refuse_unsafe(keyword.value, names, local)
    for argument in node.args:
        refuse_unsafe(argument, names, local)


def _is_pure(function: object) -> bool:
    if isinstance(function, type) and issubclass(function, np.generic):
        return True
    of_math = isinstance(function, types.BuiltinFunctionType) and function.__module__ == "math"
    return of_math or isinstance(function, np.ufunc) or id(function) in _PURE


def _named(node: ast.expr, names: Names, local: frozenset[str]) -> object:
    """What a name, or a dotted name that starts with a module, stands for; None for other expressions."""
    if isinstance(node, ast.Name):
        return None if node.id in local else names.get(node.id, getattr(builtins, node.id, None))
    if isinstance(node, ast.Attribute):
        of = _named(node.value, names, local)
        return getattr(of, node.attr, None) if isinstance(of, types.ModuleType) else None
    return None


def _is_method_of_data(node: ast.expr, names: Names, local: frozenset[str]) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in _METHODS.split() and _is_data(node.value, names, local)


def _is_data(node: ast.expr, names: Names, local: frozenset[str]) -> bool:
    """Whether an expression that is safe makes data, and not a module, class or function with methods of its own."""
    if isinstance(node, ast.Lambda):
        return False
    if isinstance(node, ast.Name):
        return node.id in local or isinstance(_named(node, names, local), _DATA)
    if isinstance(node, ast.Attribute):
        found = _named(node, names, local)
        return _is_data(node.value, names, local) if found is None else isinstance(found, _DATA)
    return True
