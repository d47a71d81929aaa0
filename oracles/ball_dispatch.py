"""What `BallArray` does when NumPy hands it a ufunc or a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oracles.ball import BallArray, Function, balls, comparand, operand, require_float64, wrap
from oracles.ball_comparisons import RELATIONS, as_arb
from oracles.ball_functions import FUNCTIONS, writable
from oracles.ball_mode import mode, not_certifiable
from oracles.ball_products import PRODUCT_UFUNCS
from oracles.ball_reductions import METHODS, fold, reduceat, scan
from oracles.ball_rounding import gamma, magnitude, widened
from oracles.ball_ufuncs import ARITHMETIC, EXACT, evaluate


def apply_function(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A NumPy function on balls. Raises NotCertifiableError for one that has no version."""
    implementation = FUNCTIONS.get(function)
    if implementation is None:
        name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"
        raise not_certifiable(f"{name} has no version for balls")
    return implementation(*args, **kwargs)


def apply_ufunc(
    ufunc: np.ufunc,
    method: str,
    inputs: Sequence[Any],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    **kwargs: Any,
) -> Any:
    """A ufunc (or its reduce, accumulate, reduceat, outer, at) on balls; see numpy.ufunc for the arguments."""
    require_float64(dtype)
    if method == "at":
        return _apply_at(ufunc, *inputs)
    if method == "reduceat":
        return _deliver(reduceat(ufunc, inputs[0], inputs[1], **kwargs), out, where)
    take = comparand if ufunc.__name__ in RELATIONS else operand
    raw = [take(value) for value in inputs]
    for value, taken in zip(inputs, raw, strict=True):
        if taken is NotImplemented:
            if isinstance(value, np.ndarray | np.generic):
                raise not_certifiable(f"{ufunc.__name__} of balls and {type(value).__name__} of dtype {value.dtype}")
            return NotImplemented
    if not any(isinstance(value, BallArray) for value in inputs):  # only `out` holds balls
        raw = [as_arb(r) for r in raw]
    if method in ("reduce", "accumulate"):
        if where is not True:
            kwargs["where"] = where
        return _deliver(_along_axis(ufunc, method, wrap(raw[0]), **kwargs), out, True)
    if kwargs.keys() - {"casting", "order", "subok"}:
        raise not_certifiable(f"{ufunc.__name__} with {sorted(kwargs)} has no version for balls")
    if ufunc in PRODUCT_UFUNCS and method == "__call__":
        return _deliver(PRODUCT_UFUNCS[ufunc](*map(balls, inputs)), out, where)
    if method == "outer":
        first, second = (np.asarray(r, dtype=object) for r in raw)
        raw = [first.reshape(first.shape + (1,) * second.ndim), second]
    return _deliver(evaluate(ufunc, raw), out, where)


def _along_axis(ufunc: np.ufunc, method: str, a: BallArray, axis: Any = 0, **kwargs: Any) -> Any:
    version = METHODS.get((ufunc, method))
    if version is not None:
        return version(a, axis=axis, **kwargs)
    return fold(ufunc, a, axis, **kwargs) if method == "reduce" else scan(ufunc, a, axis, **kwargs)


def _deliver(result: Any, out: Any, where: Any) -> Any:
    """Hand a result over as NumPy does: into `out` if there is one, and only where `where` is true."""
    target = out[0] if isinstance(out, tuple) else out
    if target is None:
        if where is not True:
            raise not_certifiable("where= without out= leaves the other elements undefined")
        return result
    if not isinstance(target, BallArray) and not isinstance(result, BallArray):
        np.copyto(target, result, where=where)
        return target
    elements = writable(target)
    values = balls(result)._a
    if np.broadcast_shapes(values.shape, elements.shape) != elements.shape:
        raise ValueError(f"out= of shape {elements.shape} cannot hold a result of shape {values.shape}")
    np.copyto(elements, values, where=where)
    return target


def _apply_at(ufunc: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    if ufunc not in EXACT or (ufunc not in (*ARITHMETIC, np.negative, np.maximum, np.minimum)):
        raise not_certifiable(f"{ufunc.__name__}.at has no version for balls")
    version: Any = EXACT[ufunc]
    elements = writable(target)
    version.at(elements, index, *(balls(v)._a for v in values))
    if mode.ulps and ufunc in ARITHMETIC:
        elements[...] = _scattered(ufunc, elements, index, *(balls(v)._a for v in values))


def _scattered(ufunc: np.ufunc, found: np.ndarray[Any, Any], index: Any, values: np.ndarray[Any, Any]) -> Any:
    """The results of `at`, widened by what any order of the values may round."""
    times = np.zeros(found.shape)
    np.add.at(times, index, 1)
    sizes = magnitude(found)
    if ufunc in (np.add, np.subtract):
        np.add.at(sizes, index, 2 * magnitude(values))  # twice: what was there is at most the result and the values
    return widened(found, sizes * gamma(times))
