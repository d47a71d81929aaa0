"""Whether a function only computes, told by what its code names: the diagnosis may try that, and nothing else."""

from __future__ import annotations

import builtins
import dis
from collections.abc import Collection
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from oracles.ball_functions import FUNCTIONS
from oracles.reachable import nested_codes

_DOES_MORE = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR", "STORE_NAME", "IMPORT_NAME"}) | {
    *("LOAD_BUILD_CLASS", "BEFORE_WITH", "SETUP_WITH"),
}
"""Instructions that leave something behind, or may bring in anything."""
_BUILTINS = (abs, all, any, divmod, enumerate, isinstance, len, max, min, pow, range, reversed, round, sorted, sum, zip)
_MAKERS = (np.array, np.asarray, np.arange, np.empty, np.eye, np.full, np.identity, np.linspace, np.ones, np.zeros)
_TYPES = (np.generic, bool, int, float, str, tuple, list, dict, set, slice, Exception)
_ATTRIBUTES = frozenset(
    {"T", "all", "any", "append", "argmax", "argmin", "astype", "clip", "copy", "cumsum", "dot"}
) | {
    *("diagonal", "dtype", "flatten", "get", "items", "keys", "max", "mean", "min", "ndim", "nonzero", "prod", "ravel"),
    *("repeat", "reshape", "shape", "size", "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose"),
    *("values", "var"),
}
"""Of arrays and of containers that a function has made or been given."""


def only_computes(function: FunctionType, within: Collection[CodeType] = ()) -> bool:
    """Whether the code names nothing but numbers, mathematical functions, and functions that only compute.

    Global arrays and containers are refused, since they may be written to, and so is whatever it closes over. `within`
    are the codes that lead here.
    """
    if function.__closure__:
        return False
    if function.__code__ in within:
        return True
    own = function.__code__
    return all(_names_such(code, function.__globals__, (*within, own)) for code in (own, *nested_codes(own)))


def _names_such(code: CodeType, names: dict[str, Any], within: Collection[CodeType]) -> bool:
    value: Any = None
    for instruction in dis.get_instructions(code):
        loads_attribute = instruction.opname in ("LOAD_ATTR", "LOAD_METHOD")
        if instruction.opname in _DOES_MORE:
            return False
        if instruction.opname == "LOAD_GLOBAL":
            value = names.get(instruction.argval, getattr(builtins, instruction.argval, None))
        elif loads_attribute and isinstance(value, ModuleType):
            value = getattr(value, instruction.argval, None)
        elif loads_attribute and instruction.argval not in _ATTRIBUTES:
            return False
        else:
            value = None
            continue
        if not isinstance(value, ModuleType) and not _is_harmless(value, within):
            return False
    return True


def _is_harmless(value: Any, within: Collection[CodeType]) -> bool:
    if isinstance(value, FunctionType) and value not in FUNCTIONS:
        return only_computes(value, within)
    if isinstance(value, type) and value not in _BUILTINS:
        return issubclass(value, _TYPES)
    if callable(value):
        known = any(value is other for other in (*_BUILTINS, *_MAKERS)) or getattr(value, "__module__", None) == "math"
        return known or isinstance(value, np.ufunc) or value in FUNCTIONS
    return value is None or isinstance(value, bool | int | float | complex | str | np.generic)
