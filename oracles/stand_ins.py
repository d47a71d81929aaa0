"""What a subject finds under the names of `numpy` and `math`.

The array constructors hand out ball buffers, `np.pi` is pi, and functions that round take plain numbers exactly: so
`np.sqrt(2 / np.pi)` is not a float. `math.*` takes balls. All else is the module's own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from flint import arb, ctx

from oracles import ball_functions as functions
from oracles.ball import BallArray, Function, balls, from_nested, holds_balls, operand, wrap
from oracles.ball_functions import FUNCTIONS
from oracles.ball_mode import mode, not_certifiable
from oracles.ball_products import PRODUCT_UFUNCS
from oracles.ball_rounding import library_error
from oracles.ball_ufuncs import COMPOSED, EXACT, TESTS, TRANSCENDENTAL
from oracles.lifting import rounds

_np: Any = np  # NumPy's stubs do not know that its functions take duck arrays


class StandIn(ModuleType):
    """Replaced attributes, and a module's own for all others.

    The module itself is never touched: numpy.random's compiled code calls `numpy.empty`, and balls would crash it.
    """

    def __init__(self, module: ModuleType, replaced: dict[str, Any]) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


# --- functions ------------------------------------------------------------------------------------------------------


class Served:
    """A NumPy function that also takes lists of balls, and makes balls of plain numbers where it would round them."""

    def __init__(self, function: Any, would_round: Callable[..., bool] | None = None) -> None:
        self._function, self._would_round = function, would_round
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = [from_nested(a) if isinstance(a, list | tuple) and holds_balls(a) else a for a in args]
        if self._would_round is not None and mode.lifting and not kwargs and self._lifts(given):
            given = [balls(a) for a in given]
        return self._function(*given, **kwargs)

    def _lifts(self, args: list[Any]) -> bool:
        if any(isinstance(a, BallArray) or operand(a) is NotImplemented for a in args):
            return False
        return self._would_round is not None and self._would_round(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __eq__(self, other: object) -> bool:
        """Equal to the function itself, so that a subject's `DERIVATIVE[np.tanh]` is found."""
        return bool(self._function == (other._function if isinstance(other, Served) else other))

    def __hash__(self) -> int:
        return hash(self._function)


def _always(*_: Any) -> bool:
    return True


_OPERATORS: dict[np.ufunc, str] = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.true_divide: "truediv",
    np.power: "pow",
}
_ROUNDING: dict[Any, Callable[..., bool]] = {
    **dict.fromkeys((*TRANSCENDENTAL, np.sqrt, np.reciprocal), _always),
    np.square: lambda a: rounds("mul", a, a),
    **{ufunc: functools.partial(rounds, name) for ufunc, name in _OPERATORS.items()},
}
_TAKE_ARRAYS_IN_LISTS = {
    *(np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack, np.block, np.append, np.insert),
    *(np.select, np.choose, np.broadcast_arrays, np.meshgrid),
}


def _served_functions() -> dict[str, Any]:
    served = {*EXACT, *TRANSCENDENTAL, *TESTS, *COMPOSED, *PRODUCT_UFUNCS, *FUNCTIONS} - _TAKE_ARRAYS_IN_LISTS
    return {
        name: Served(function, _ROUNDING.get(function))
        for name, function in vars(np).items()
        if callable(function) and function in served
    }


# --- constructors ---------------------------------------------------------------------------------------------------


def _constructor(value: float) -> Function:
    def construct(shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: Any = None) -> Any:
        return functions.filled(shape, value, dtype)

    return construct


def _empty(shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: Any = None) -> Any:
    return functions.unwritten(shape, dtype)


def _full(
    shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: Any = None
) -> Any:
    if dtype is None and isinstance(fill_value, bool | int | np.integer | np.bool_):
        dtype = np.asarray(fill_value).dtype
    return functions.filled(shape, fill_value, dtype)


def _like(original: Any) -> Function:
    """zeros_like and its kin for plain arrays too, if the new one holds floats: balls may be written into it."""
    version = FUNCTIONS[original]

    @functools.wraps(original)
    def like(a: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(a, list | tuple) and holds_balls(a):
            a = from_nested(a)
        return version(a if isinstance(a, BallArray) else np.asarray(a), *args, **kwargs)

    return like


def _eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = float,
    order: Any = "C",
    *,
    device: Any = None,
    like: Any = None,
) -> Any:
    return functions.new_array(np.eye(N, M, k, dtype=dtype))


def _tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float, *, like: Any = None) -> Any:
    return functions.new_array(np.tri(N, M, k, dtype=dtype))


def _array(
    object: Any,
    dtype: Any = None,
    *,
    copy: Any = True,
    order: Any = "K",
    subok: Any = False,
    ndmin: int = 0,
    ndmax: int = 0,
    like: Any = None,
) -> Any:
    return functions.new_array(object, dtype, copy=copy, ndmin=ndmin)


def _as_array(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None, like: Any = None
) -> Any:
    return functions.new_array(a, dtype, copy=bool(copy))


def _as_contiguous(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return functions.new_array(a, dtype, copy=False, ndmin=1)


class _Joiner:
    """`np.r_` and `np.c_` for balls and arrays; slices and strings are for plain numbers only."""

    def __init__(self, plain: Any, columns: bool) -> None:
        self._plain, self._columns = plain, columns

    def __getitem__(self, key: Any) -> Any:
        pieces = key if isinstance(key, tuple) else (key,)
        if not holds_balls(list(pieces)):
            return self._plain[key]
        if any(isinstance(p, slice | str) for p in pieces):
            raise not_certifiable("np.r_ and np.c_ on balls take arrays and numbers, not slices or strings")
        arrays: list[Any] = [_np.atleast_1d(balls(p)) for p in pieces]
        if self._columns:
            return _np.concatenate([a.reshape(-1, 1) if a.ndim == 1 else a for a in arrays], axis=-1)
        return _np.concatenate(arrays)


def _numpy_attributes() -> dict[str, Any]:
    stride_tricks = StandIn(np.lib.stride_tricks, {"as_strided": _as_strided})
    return {
        **_served_functions(),
        **{name: _like(getattr(np, name)) for name in ("zeros_like", "ones_like", "empty_like", "full_like")},
        "zeros": _constructor(0),
        "ones": _constructor(1),
        "empty": _empty,
        "full": _full,
        "eye": _eye,
        "identity": lambda n, dtype=float, *, like=None: _eye(n, dtype=dtype),
        "tri": _tri,
        "array": _array,
        "asarray": _as_array,
        "asanyarray": _as_array,
        "ascontiguousarray": _as_contiguous,
        "asfortranarray": _as_contiguous,
        "arange": functions.steps,
        "linspace": functions.spaced,
        "r_": _Joiner(np.r_, columns=False),
        "c_": _Joiner(np.c_, columns=True),
        "lib": StandIn(np.lib, {"stride_tricks": stride_tricks}),
    }


def _as_strided(x: Any, *args: Any, **kwargs: Any) -> Any:
    original = np.lib.stride_tricks.as_strided
    return FUNCTIONS[original](x, *args, **kwargs) if isinstance(x, BallArray) else original(x, *args, **kwargs)


# --- math -----------------------------------------------------------------------------------------------------------

_MATH_UFUNCS: dict[str, np.ufunc] = {
    **{name: getattr(np, name) for name in ("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt")},
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "degrees", "radians")},
    **{name: getattr(np, f"arc{name[1:]}") for name in ("asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh")},
    "pow": np.power,
    "fabs": np.fabs,
    "fmod": np.fmod,
    "copysign": np.copysign,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
}


def _on_balls_only(original: Function, version: Function, lifts: bool = False) -> Function:
    """`version` for balls, and for plain numbers too if it would round them; `original` for the rest."""

    @functools.wraps(original)
    def function(*args: Any) -> Any:
        if any(map(holds_balls, args)):
            return version(*args)
        return version(*map(balls, args)) if lifts and mode.lifting else original(*args)

    return function


def _special(function: Any) -> Function:
    elementwise = np.frompyfunc(function, 1, 1)
    return lambda x: wrap(elementwise(balls(x)._a) * library_error())


def _log(x: Any, base: Any = None) -> Any:
    return _np.log(x) if base is None else _np.log(x) / _np.log(balls(base))


def _hypot(*coordinates: Any) -> Any:
    return _np.sqrt(sum(balls(c) ** 2 for c in coordinates))


def _dist(p: Any, q: Any) -> Any:
    return _hypot(*(balls(a) - balls(b) for a, b in zip(p, q, strict=True)))


def _math_attributes() -> dict[str, Any]:
    versions: dict[str, tuple[Function, bool]] = {
        **{name: (ufunc, ufunc in _ROUNDING) for name, ufunc in _MATH_UFUNCS.items()},
        "log": (_log, True),
        "hypot": (_hypot, True),
        "dist": (_dist, False),
        "erf": (_special(arb.erf), True),
        "erfc": (_special(arb.erfc), True),
        "gamma": (_special(arb.gamma), True),
        "lgamma": (_special(arb.lgamma), True),
        "floor": (lambda x: int(_np.floor(x)), False),
        "ceil": (lambda x: int(_np.ceil(x)), False),
        "fsum": (sum, False),
    }
    return {name: _on_balls_only(getattr(math, name), version, lifts) for name, (version, lifts) in versions.items()}


# --- all of it ------------------------------------------------------------------------------------------------------

_NUMPY, _MATH = _numpy_attributes(), _math_attributes()


@functools.lru_cache(maxsize=32)
def replacements(precision: int, constants: bool) -> dict[int, Any]:
    """Id of a module, or of what a subject can import from it -> what it finds in its place.

    `constants` says whether pi and e are balls of `precision` bits; if not, they are the floats that they are.
    """
    with ctx.workprec(precision):
        pi, e, gamma = wrap(arb.pi()), wrap(arb.const_e()), wrap(arb.const_euler())
        numpy_constants = {"pi": pi, "e": e, "euler_gamma": gamma} if constants else {}
        math_constants = {"pi": pi, "e": e, "tau": pi * 2} if constants else {}
    tables: list[tuple[ModuleType, dict[str, Any]]] = [
        (np, {**_NUMPY, **numpy_constants}),
        (math, {**_MATH, **math_constants}),
        (np.lib.stride_tricks, {"as_strided": _as_strided}),
    ]
    found: dict[int, Any] = {}
    for module, replaced in tables:
        found[id(module)] = StandIn(module, replaced)
        found |= {id(getattr(module, name)): version for name, version in replaced.items()}
    return found
