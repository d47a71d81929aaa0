"""Which of the user's own Python functions a subject can call: these are what the lifting works on.

Found by following names, closures, methods, attributes and containers from the subject's callables; nothing is called.
What is reached in another way only (looked up by a computed name, say) runs as it is, and fails loudly or leaves a note
where a number was rounded.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

_LIBRARIES = {"numpy", "scipy", "torch", "jax", "jaxlib", "flint", "oracles", "pytest", "_pytest"}
_FOREIGN = (sys.stdlib_module_names | _LIBRARIES) - {"__main__"}
_VALUES = (int, float, complex, str, bytes, np.ndarray, np.generic, np.dtype, type(None))
_MOST_ITEMS = 1000
"""Containers are looked into this far; beyond, they hold data."""


def is_foreign(module: object) -> bool:
    """Whether the module of this name is a library's. Code that names no module is the user's own."""
    return isinstance(module, str) and module.split(".")[0] in _FOREIGN


def subject_functions(roots: Iterable[object]) -> list[FunctionType]:
    """Every Python function of the user's own that the given callables can reach by name, method or closure."""
    return [f for f in things_reached(roots) if isinstance(f, FunctionType) and not is_foreign(f.__module__)]


def things_reached(roots: Iterable[object]) -> list[object]:
    """Everything but numbers and text that the given callables can reach in the same ways, and they themselves."""
    seen: dict[int, object] = {}  # kept alive: the id of an object that is gone may be given to another
    waiting: list[object] = list(roots)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _VALUES) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        waiting.extend(_reachable(thing))
    return list(seen.values())


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """The code of everything defined inside: functions, lambdas, classes, generator expressions."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from nested_codes(constant)


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> frozenset[str]:
    """All global and attribute names that a function uses, also in what is defined inside it."""
    return frozenset(name for part in (code, *nested_codes(code)) for name in part.co_names)


def cells(function: FunctionType) -> Iterator[Any]:
    """The cells of a closure that hold something already."""
    for cell in function.__closure__ or ():
        try:
            cell.cell_contents  # noqa: B018  (raises ValueError if the name is assigned later)
        except ValueError:
            continue
        yield cell


def _reachable(thing: Any) -> Iterator[object]:
    wrapped = getattr(thing, "__wrapped__", None) if callable(thing) and not isinstance(thing, type) else None
    if wrapped is not None:  # functools.wraps, functools.lru_cache
        yield wrapped
    if isinstance(thing, FunctionType):
        if wrapped is not None or not is_foreign(thing.__module__):
            yield from (cell.cell_contents for cell in cells(thing))
            yield from thing.__defaults__ or ()
            yield from (thing.__kwdefaults__ or {}).values()
            yield from _named(thing)
    elif isinstance(thing, MethodType):
        yield from (thing.__func__, thing.__self__)
    elif isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, staticmethod | classmethod):
        yield thing.__func__
    elif isinstance(thing, property):
        yield from (thing.fget, thing.fset)
    elif isinstance(thing, functools.cached_property | functools.partialmethod):
        yield thing.func
    elif isinstance(thing, type):
        yield from (v for base in thing.__mro__ if not is_foreign(base.__module__) for v in vars(base).values())
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from islice(thing, _MOST_ITEMS)
    elif isinstance(thing, dict):
        yield from islice(thing.values(), _MOST_ITEMS)
    elif not isinstance(thing, ModuleType) and not is_foreign(type(thing).__module__):
        yield type(thing)
        yield from islice(getattr(thing, "__dict__", {}).values(), _MOST_ITEMS)


def _named(function: FunctionType) -> Iterator[object]:
    """What the names in a function stand for: globals, and attributes of the user's own modules."""
    names = names_in(function.__code__)
    modules: list[ModuleType] = []
    for name in names:
        value = function.__globals__.get(name, sys.modules.get(name))  # the latter for imports inside the function
        if not isinstance(value, ModuleType):
            yield value
        elif not is_foreign(value.__name__):
            modules.append(value)
    held = (cell.cell_contents for cell in cells(function))
    modules += [value for value in held if isinstance(value, ModuleType) and not is_foreign(value.__name__)]
    for module in modules:  # grows while packages lead to their modules
        for name in names & vars(module).keys():
            value = vars(module)[name]
            if not isinstance(value, ModuleType):
                yield value
            elif not is_foreign(value.__name__) and value not in modules:
                modules.append(value)
