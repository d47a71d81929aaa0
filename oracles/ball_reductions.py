"""NumPy's reductions on balls: sums and means, extremes and their places, orders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from oracles.ball import BallArray, Function, balls, refuse, require_float64, seal, wrap
from oracles.ball_comparisons import Raw, first_largest, larger, smaller, sorted_order
from oracles.ball_mode import mode, not_certifiable
from oracles.ball_rounding import gamma, magnitude, widened
from oracles.ball_ufuncs import evaluate

_np: Any = np  # NumPy's stubs do not know that its functions take duck arrays


def into(out: Any, result: Any) -> Any:
    """The result, or `out` with the result in it."""
    target = out[0] if isinstance(out, tuple) else out
    if target is None:
        return result
    if isinstance(result, BallArray) and not isinstance(target, BallArray):
        raise refuse(f"out= is a plain {target.dtype} array")
    if np.shape(target) != np.shape(result):
        raise ValueError(f"out= has shape {np.shape(target)}, expected {np.shape(result)}")
    target[...] = result
    return target


def sealed(raw: Raw) -> Raw:
    """A result of NumPy on objects with every element an `arb`: NumPy puts integers into sums of nothing."""
    return seal(raw) if isinstance(raw, np.ndarray) else raw


# --- axes -----------------------------------------------------------------------------------------------------------


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(
        np.lib.array_utils.normalize_axis_index(a, ndim) for a in (axis if isinstance(axis, tuple) else (axis,))
    )


def _flattened(raw: np.ndarray[Any, Any], axis: Any) -> tuple[np.ndarray[Any, Any], tuple[int, ...]]:
    """The array with the reduced axes flattened into one at the end, and the shape that keepdims asks for."""
    axes = _axes(axis, raw.ndim)
    kept = tuple(1 if i in axes else n for i, n in enumerate(raw.shape))
    rest = tuple(n for i, n in enumerate(raw.shape) if i not in axes)
    moved = np.moveaxis(raw, axes, tuple(range(-len(axes), 0))) if axes else raw[..., None]
    return moved.reshape(*rest, math.prod(raw.shape[i] for i in axes)), kept


def _delivered(raw: Raw, kept: tuple[int, ...], keepdims: Any, out: Any) -> Any:
    result = wrap(sealed(raw))
    return into(out, result.reshape(kept) if keepdims else result)


def _count(x: BallArray, axis: Any, keepdims: Any, where: Any) -> Any:
    """How many elements are reduced into one: an integer, or an array of them where a mask selects."""
    if where is True:
        return math.prod(x._a.shape[a] for a in _axes(axis, x.ndim))
    return np.sum(np.broadcast_to(where, x._a.shape), axis=axis, keepdims=bool(keepdims))


# --- sums -----------------------------------------------------------------------------------------------------------


def _reduction(ufunc: np.ufunc) -> Function:
    def reduce(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        require_float64(dtype)
        raw = balls(a)._a
        if where is not True:
            raw = seal(np.where(where, raw, ufunc.identity))
        found = sealed(ufunc.reduce(raw, axis=axis, keepdims=bool(keepdims)))
        if mode.ulps:
            terms = _count(wrap(raw), axis, False, True)
            found = _any_order(
                ufunc, found, raw, terms, lambda sizes: np.sum(sizes, axis=axis, keepdims=bool(keepdims))
            )
        result = wrap(found)
        return into(out, result if initial is None else ufunc(result, initial))

    return reduce


def _any_order(ufunc: np.ufunc, found: Raw, raw: Raw, terms: int, total: Function) -> Raw:
    """Sums or products of so many terms, widened by what any order of them may round."""
    if ufunc is np.multiply:
        return widened(found, magnitude(found) * gamma(terms))
    with np.errstate(all="ignore"):
        return widened(found, total(magnitude(raw)) * gamma(terms))


sum_, prod = _reduction(np.add), _reduction(np.multiply)


def _accumulation(ufunc: np.ufunc, accumulate: Any) -> Function:
    def running(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        require_float64(dtype)
        raw = balls(a)._a
        found = sealed(accumulate(raw, axis=axis))
        if mode.ulps:
            terms = _count(wrap(raw), axis, False, True)
            found = _any_order(ufunc, found, raw, terms, lambda sizes: np.cumsum(sizes, axis=axis))
        return into(out, wrap(found))

    return running


cumsum, cumprod = _accumulation(np.add, np.cumsum), _accumulation(np.multiply, np.cumprod)


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    x = balls(a)
    return into(out, sum_(x, axis, dtype, None, keepdims, None, where) / _count(x, axis, keepdims, where))


def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    if returned:
        raise not_certifiable("np.average with returned=True has no version for balls")
    if weights is None:
        return mean(a, axis, keepdims=keepdims)
    x, w = balls(a), balls(weights)
    if w._a.shape != x._a.shape:
        if w.ndim != 1 or not isinstance(axis, int):
            raise not_certifiable("np.average on balls takes weights of the array's shape, or 1-d along one axis")
        w = w.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    weight = sum_(_np.broadcast_to(w, x._a.shape), axis, keepdims=keepdims)
    return sum_(x * w, axis, keepdims=keepdims) / weight


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    x = balls(a)
    centre = _mean(x, axis, keepdims=True, where=where) if mean is None else mean
    squares = sum_(_np.square(x - centre), axis, dtype, None, keepdims, None, where)
    return into(out, squares / (_count(x, axis, keepdims, where) - (ddof if correction is None else correction)))


_mean = mean


def std(*args: Any, out: Any = None, **kwargs: Any) -> Any:
    return into(out, _np.sqrt(var(*args, **kwargs)))


# --- any ufunc ------------------------------------------------------------------------------------------------------


def fold(ufunc: np.ufunc, a: Any, axis: Any = 0, keepdims: Any = False, initial: Any = None, where: Any = True) -> Any:
    """`ufunc.reduce` by one evaluation after another, for any binary ufunc."""
    if where is not True:
        raise not_certifiable(f"{ufunc.__name__}.reduce with where= has no version for balls")
    raw = balls(a)._a
    elements, kept = _flattened(raw, axis)
    if initial is None and elements.shape[-1] == 0:
        raise ValueError(f"zero-size array to {ufunc.__name__}.reduce, which has no identity")
    start = 0 if initial is not None else 1
    result = balls(initial) if initial is not None else wrap(elements[..., 0])
    for i in range(start, elements.shape[-1]):
        result = evaluate(ufunc, [result._a, elements[..., i]])
    return result.reshape(kept) if keepdims else result


def scan(ufunc: np.ufunc, a: Any, axis: int = 0) -> Any:
    """`ufunc.accumulate`, for any binary ufunc."""
    rows = np.moveaxis(balls(a)._a, axis, 0)
    found = rows.copy()
    for i in range(1, len(rows)):
        found[i] = evaluate(ufunc, [wrap(found[i - 1])._a, wrap(rows[i])._a])._a[()]
    return wrap(np.moveaxis(found, 0, axis))


# --- extremes -------------------------------------------------------------------------------------------------------


def _extreme(pick: Any) -> Function:
    pairwise = np.frompyfunc(pick, 2, 1)

    def extreme(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
    ) -> Any:
        raw = balls(a)._a
        if where is not True:
            if initial is None:
                raise ValueError("reduction operation with a mask requires initial=, since it has no identity")
            raw = np.where(where, raw, balls(initial)._a)
        elements, kept = _flattened(raw, axis)
        if initial is not None:
            first = np.broadcast_to(balls(initial)._a, (*elements.shape[:-1], 1))
            elements = np.concatenate([first, elements], axis=-1)
        if elements.shape[-1] == 0:
            raise ValueError("zero-size array to a reduction operation that has no identity")
        return _delivered(pairwise.reduce(elements, axis=-1), kept, keepdims, out)

    return extreme


max_, min_ = _extreme(larger), _extreme(smaller)


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return into(out, max_(a, axis, None, keepdims) - min_(a, axis, None, keepdims))


def _place(relation: str) -> Function:
    def index_of(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        elements, kept = _flattened(balls(a)._a, axis)
        if elements.shape[-1] == 0:
            raise ValueError("attempt to get the place of an extreme of an empty sequence")
        rows = elements.reshape(-1, elements.shape[-1])
        found = np.array([first_largest(row, relation) for row in rows], dtype=np.intp)
        return into(out, found.reshape(kept if keepdims else elements.shape[:-1])[()])

    return index_of


argmax, argmin = _place("greater"), _place("less")


def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """The stable order, which is one of those that NumPy may give."""
    raw = balls(a)._a
    if axis is None:
        raw, axis = raw.ravel(), -1
    rows = np.moveaxis(raw, axis, -1)
    flat = rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])
    found = np.array([sorted_order(row) for row in flat], dtype=np.intp).reshape(rows.shape)
    return np.moveaxis(found, -1, axis)


def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> BallArray:
    raw = balls(a)._a
    if axis is None:
        raw, axis = raw.ravel(), -1
    return wrap(np.take_along_axis(raw, argsort(wrap(raw), axis), axis))


def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """The middle of the sorted elements, or the mean of the two in the middle. Raises unless the order is certain."""
    elements, kept = _flattened(balls(a)._a, axis)
    n = elements.shape[-1]
    if n == 0:
        raise not_certifiable("np.median of nothing has no version for balls")
    middle = mean(sort(wrap(elements), -1)[..., (n - 1) // 2 : n // 2 + 1], -1)
    return into(out, middle.reshape(kept) if keepdims else middle)


def nansum(a: Any, *args: Any, **kwargs: Any) -> Any:
    """A sum: a ball that is no number may stand for anything, so there is nothing to leave out."""
    if not np.all(np.isfinite(balls(a))):
        raise not_certifiable("np.nansum met a ball that is not finite")
    return sum_(a, *args, **kwargs)


# --- predicates -----------------------------------------------------------------------------------------------------


def _on_truth(function: Any) -> Function:
    def predicate(a: Any, *args: Any, **kwargs: Any) -> Any:
        return function(balls(a) != 0, *args, **kwargs)

    return predicate


REDUCTIONS: dict[Any, Function] = {
    np.sum: sum_,
    np.prod: prod,
    np.cumsum: cumsum,
    np.cumprod: cumprod,
    np.mean: mean,
    np.average: average,
    np.var: var,
    np.std: std,
    np.max: max_,
    np.min: min_,
    np.ptp: ptp,
    np.argmax: argmax,
    np.argmin: argmin,
    np.argsort: argsort,
    np.sort: sort,
    np.median: median,
    np.nansum: nansum,
    **{f: _on_truth(f) for f in (np.any, np.all, np.nonzero, np.flatnonzero, np.argwhere, np.count_nonzero)},
}
"""NumPy function -> its version for balls. Each takes what NumPy's takes, and lists of balls for an array."""

METHODS: dict[tuple[np.ufunc, str], Function] = {
    (np.add, "reduce"): sum_,
    (np.multiply, "reduce"): prod,
    (np.add, "accumulate"): cumsum,
    (np.multiply, "accumulate"): cumprod,
    (np.maximum, "reduce"): max_,
    (np.minimum, "reduce"): min_,
    (np.logical_and, "reduce"): REDUCTIONS[np.all],
    (np.logical_or, "reduce"): REDUCTIONS[np.any],
}
"""(ufunc, method) -> implementation. Others are evaluated one element after another."""

_REDUCEAT: dict[np.ufunc, Any] = {
    np.add: np.add,
    np.multiply: np.multiply,
    np.maximum: np.frompyfunc(larger, 2, 1),
    np.minimum: np.frompyfunc(smaller, 2, 1),
}


def reduceat(ufunc: np.ufunc, a: BallArray, indices: Any, axis: int = 0) -> BallArray:
    if ufunc not in _REDUCEAT:
        raise not_certifiable(f"{ufunc.__name__}.reduceat has no version for balls")
    found = _REDUCEAT[ufunc].reduceat(a._a, indices, axis)
    if mode.ulps and ufunc in (np.add, np.multiply):
        terms = a._a.shape[axis]
        found = _any_order(ufunc, found, a._a, terms, lambda sizes: np.add.reduceat(sizes, indices, axis))
    return wrap(found)
