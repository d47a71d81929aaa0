"""Running a subject's own, unchanged Python on balls.

Inside `on_balls` the subject's functions find stand-ins under the names of `numpy` and `math`: the array constructors
of NumPy hand out ball buffers, `np.pi` is pi, `math.*` and NumPy's elementary
functions take balls, and the subject's literals are exact (see `oracles.lifting`). Everything is put back on leaving.
"""

from __future__ import annotations

import functools
import math
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from flint import arb, ctx

from oracles import ball_functions as functions
from oracles.ball import EXACT, TRANSCENDENTAL, BallArray, Mode, balls, mode, operand, wrap
from oracles.errors import NotCertifiableError
from oracles.lifting import exact_literals, nested_codes, subject_functions

_HERE = os.path.dirname(os.path.abspath(__file__))
_NUMPY_FILES = os.path.dirname(os.path.abspath(np.__file__))


class _LiftedUfunc:
    """A ufunc that also lifts plain numbers, so that `np.sqrt(2 / np.pi)` and `np.sqrt(d)` are not rounded."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc
        functools.update_wrapper(self, ufunc, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, BallArray) for a in args):
            return self._ufunc(*args, **kwargs)
        raw = [operand(a) for a in args]
        if kwargs or any(r is NotImplemented for r in raw):
            return self._ufunc(*args, **kwargs)
        return self._ufunc(*map(balls, args))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ufunc, name)


def _constructor(value: int) -> Callable[..., Any]:
    def construct(shape: Any, dtype: Any = None, order: Any = "C", **_: Any) -> Any:
        return functions.filled(shape, value, dtype)

    return construct


def _full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", **_: Any) -> Any:
    if dtype is None and isinstance(fill_value, bool | int | np.integer):
        dtype = np.asarray(fill_value).dtype
    return functions.filled(shape, fill_value, dtype)


def _eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, **_: Any) -> Any:
    identity = _real_eye(N, M, k, dtype=dtype or float)
    return functions.new_array(identity)


_real_eye = np.eye


def _like(name: str) -> Callable[..., Any]:
    """zeros_like and its kin for plain float arrays too: what is written into them may be balls."""
    original, version = getattr(np, name), functions.FUNCTIONS[getattr(np, name)]

    def like(a: Any, *args: Any, **kwargs: Any) -> Any:
        plain = not isinstance(a, BallArray) and np.result_type(a).kind != "f"
        return original(a, *args, **kwargs) if plain else version(_float64(a), *args, **kwargs)

    return like


def _float64(a: Any) -> Any:
    return a if isinstance(a, BallArray | np.ndarray) else _real_asarray(a)


_real_asarray = np.asarray


def _numpy_attributes() -> dict[str, Any]:
    replaced: dict[str, Any] = {
        "zeros": _constructor(0),
        "empty": _constructor(0),
        "ones": _constructor(1),
        "full": _full,
        "eye": _eye,
        "identity": lambda n, dtype=None: _eye(n, dtype=dtype),
        "array": functions.new_array,
        "asarray": lambda a, dtype=None, **_: functions.new_array(a, dtype, copy=False),
        "asanyarray": lambda a, dtype=None, **_: functions.new_array(a, dtype, copy=False),
        "ascontiguousarray": lambda a, dtype=None, **_: functions.new_array(a, dtype, copy=False),
        "arange": functions.steps,
        "linspace": functions.spaced,
    }
    replaced |= {name: _like(name) for name in ("zeros_like", "ones_like", "empty_like", "full_like")}
    liftable = {*TRANSCENDENTAL, np.sqrt, np.true_divide, np.reciprocal}
    replaced |= {u.__name__: _LiftedUfunc(u) for u in liftable if u in EXACT or u in TRANSCENDENTAL}
    for alias in ("pow", "divide", "asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh"):
        if hasattr(np, alias):
            replaced[alias] = _LiftedUfunc(getattr(np, alias))
    return replaced


_NUMPY_ATTRIBUTES = _numpy_attributes()


def _math_function(name: str) -> Callable[..., Any]:
    ufunc = getattr(np, {"pow": "power"}.get(name, name))
    return _LiftedUfunc(ufunc)


def _math_log(x: Any, base: Any = None) -> Any:
    logarithm = _NUMPY_ATTRIBUTES["log"]
    return logarithm(x) if base is None else logarithm(x) / logarithm(base)


_MATH_NAMES = {
    **{
        n: n
        for n in (
            "exp",
            "expm1",
            "log1p",
            "log2",
            "log10",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
        )
    },
    **{n: n for n in ("exp2", "cbrt", "pow", "hypot")},
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "fabs": "fabs",
}


def _on_ball_only(original: Callable[..., Any], version: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: version(*args) if any(isinstance(a, BallArray) for a in args) else original(*args)


def _math_attributes() -> dict[str, Any]:
    replaced: dict[str, Any] = {
        name: _math_function(numpy_name) for name, numpy_name in _MATH_NAMES.items() if hasattr(math, name)
    }
    replaced["log"] = _math_log
    replaced["erf"] = lambda x: wrap(arb.erf(balls(x)._a.item()))
    replaced["erfc"] = lambda x: wrap(arb.erfc(balls(x)._a.item()))
    replaced["floor"] = _on_ball_only(math.floor, lambda x: int(np.floor(x)))
    replaced["ceil"] = _on_ball_only(math.ceil, lambda x: int(np.ceil(x)))
    replaced["isnan"] = _on_ball_only(math.isnan, np.isnan)
    replaced["isfinite"] = _on_ball_only(math.isfinite, np.isfinite)
    replaced["isinf"] = _on_ball_only(math.isinf, np.isinf)
    replaced["fsum"] = sum
    return replaced


_MATH_ATTRIBUTES = _math_attributes()


class _StandIn(ModuleType):
    """What a subject sees under the name of a module: replaced attributes, and the module itself for all others.

    The modules are never touched: numpy.random's compiled code calls `numpy.empty`, and balls would crash it.
    """

    def __init__(self, module: ModuleType, replaced: dict[str, Any]) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


_NUMPY, _MATH = _StandIn(np, _NUMPY_ATTRIBUTES), _StandIn(math, _MATH_ATTRIBUTES)
_BY_IDENTITY = {
    id(np): _NUMPY,
    id(math): _MATH,
    **{
        id(getattr(module, name)): version
        for module, table in ((np, _NUMPY_ATTRIBUTES), (math, _MATH_ATTRIBUTES))
        for name, version in table.items()
    },
}
"""Module, or original function for names that a subject imported with `from numpy import ...` -> its replacement."""


def _constants() -> list[tuple[Any, str, Any]]:
    pi, e = wrap(arb.pi()), wrap(arb(1).exp())
    return [(_NUMPY, "pi", pi), (_NUMPY, "e", e), (_MATH, "pi", pi), (_MATH, "e", e), (_MATH, "tau", pi * 2)]


@dataclass
class Run:
    """What happened while a subject ran on balls."""

    rounded: list[str]
    """Floats with a full mantissa that met a ball, as text: constants that may have been rounded before."""


@contextmanager
def on_balls(
    subject: Sequence[object],
    precision: int,
    *,
    literals: bool = True,
    ulps: float = 0.0,
    by_midpoint: bool = False,
) -> Iterator[Run]:
    """Everything in the block, and in particular the subject's functions, runs on balls of `precision` bits.

    `subject` lists the callables that will run; `literals=False` leaves their source as it is. `ulps` and `by_midpoint`
    imitate float arithmetic for derived tolerances (see `oracles.ball.Mode`) and have no place in a proof.
    """
    reached = subject_functions(subject)
    before = ctx.prec, replace(mode)
    with ExitStack() as stack:
        stack.callback(_restore_mode, *before)
        ctx.prec = precision
        vars(mode).update(vars(Mode(ulps=ulps, by_midpoint=by_midpoint)))
        constants = _constants()
        for stand_in, name, value in constants:
            stack.callback(stand_in.__dict__.update, {name: stand_in.__dict__.get(name)})
            stand_in.__dict__[name] = value
        versions = _BY_IDENTITY | {id(getattr(s._module, name)): value for s, name, value in constants}
        for function in reached:
            _replace_names(stack, function, versions)
        if literals:
            stack.enter_context(exact_literals(reached))
        yield Run(mode.rounded)


def _restore_mode(precision: int, before: Mode) -> None:
    ctx.prec = precision
    vars(mode).update(vars(before))


def _replace_names(stack: ExitStack, function: FunctionType, versions: dict[int, Any]) -> None:
    """Give a function the replacements for the modules, functions and constants among its globals and closure."""
    namespace = function.__globals__
    for name in {name for code in (function.__code__, *nested_codes(function.__code__)) for name in code.co_names}:
        value = namespace.get(name)
        if id(value) in versions:
            stack.callback(namespace.__setitem__, name, value)
            namespace[name] = versions[id(value)]
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # an empty cell: the name is assigned later
            continue
        if id(value) in versions:
            stack.callback(setattr, cell, "cell_contents", value)
            cell.cell_contents = versions[id(value)]


def why_not(error: BaseException) -> str:
    """The reason and the subject's own line, for code that could not run on balls."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((_HERE, _NUMPY_FILES, "<"))] or list(frames)
    reason = f"{type(error).__name__}: {error}" if not isinstance(error, NotCertifiableError) else str(error)
    if not own:
        return reason
    last = own[-1]
    return f"{reason}\n  {last.filename}:{last.lineno} in {last.name}: {last.line or '(source not at hand)'}"
