"""NumPy's functions on balls. Importing this module fills the tables that `BallArray` dispatches through.

Functions that only move elements run NumPy's own implementation on the object array inside. Functions that compute or
decide are written out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from flint import arb, arb_mat
from numpy import arange as _arange
from numpy import argsort as _argsort
from numpy import asarray as _asarray
from numpy import empty as _empty
from numpy import frompyfunc as _frompyfunc
from numpy import moveaxis as _moveaxis
from numpy import ndarray as _ndarray

from oracles.ball import (
    FUNCTIONS,
    REDUCTIONS,
    BallArray,
    Function,
    balls,
    compare,
    from_nested,
    larger,
    lift,
    operand,
    refuse_dtype,
    require_float64,
    seal,
    smaller,
    wrap,
)
from oracles.errors import NotCertifiableError, UndecidedComparisonError


def _register(*functions: Function) -> Callable[[Function], Function]:
    def register(implementation: Function) -> Function:
        for function in functions:
            FUNCTIONS[function] = implementation
        return implementation

    return register


# --- functions that only move elements ------------------------------------------------------------------------------


def unwrap(value: Any) -> Any:
    """Balls inside lists, tuples and dicts replaced by their object arrays."""
    if isinstance(value, BallArray):
        return value._a
    if isinstance(value, list | tuple):
        return type(value)(map(unwrap, value))
    return value


def rewrap(value: Any) -> Any:
    """The opposite of `unwrap` for a result, with anything that NumPy mixed in (zeros, say) lifted."""
    if isinstance(value, _ndarray) and value.dtype == object:
        return BallArray(seal(value))
    if isinstance(value, arb):
        return wrap(value)
    return type(value)(map(rewrap, value)) if isinstance(value, list | tuple) else value


def _structural(function: Function) -> Function:
    def implementation(*args: Any, **kwargs: Any) -> Any:
        require_float64(kwargs.pop("dtype", None))
        out = kwargs.pop("out", None)
        result = rewrap(function(*map(unwrap, args), **{k: unwrap(v) for k, v in kwargs.items()}))
        return result if out is None else _into(out, result)

    return implementation


def _into(out: Any, result: Any) -> Any:
    if not isinstance(out, BallArray):
        raise NotCertifiableError(f"out= is a plain {out.dtype} array: the radius of the balls would be lost")
    out[...] = result
    return out


_STRUCTURAL: Iterable[Any] = (
    *(
        np.reshape,
        np.ravel,
        np.transpose,
        np.matrix_transpose,
        np.swapaxes,
        np.moveaxis,
        np.rollaxis,
        np.expand_dims,
    ),
    *(
        np.squeeze,
        np.concatenate,
        np.stack,
        np.vstack,
        np.hstack,
        np.dstack,
        np.column_stack,
        np.block,
        np.split,
    ),
    *(
        np.array_split,
        np.hsplit,
        np.vsplit,
        np.dsplit,
        np.tile,
        np.repeat,
        np.roll,
        np.flip,
        np.fliplr,
        np.flipud,
    ),
    *(
        np.rot90,
        np.broadcast_to,
        np.broadcast_arrays,
        np.take,
        np.take_along_axis,
        np.compress,
        np.choose,
        np.select,
    ),
    *(
        np.diag,
        np.diagflat,
        np.diagonal,
        np.trace,
        np.tril,
        np.triu,
        np.atleast_1d,
        np.atleast_2d,
        np.atleast_3d,
    ),
    *(
        np.copy,
        np.append,
        np.insert,
        np.delete,
        np.resize,
        np.meshgrid,
        np.diff,
        np.kron,
        np.vdot,
        np.inner,
        np.outer,
    ),
    *(np.cumsum, np.cumprod, np.convolve, np.correlate, np.cross, np.unravel_index, np.extract),
    np.lib.stride_tricks.sliding_window_view,
    np.lib.stride_tricks.as_strided,
)
for _function in _STRUCTURAL:
    FUNCTIONS[_function] = _structural(_function)


@_register(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> BallArray:
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap", "empty"):
        raise NotCertifiableError(f"np.pad with mode={mode!r} has no version for balls")
    return rewrap(np.pad(lift(array)._a, pad_width, mode=mode, **{k: unwrap(v) for k, v in kwargs.items()}))  # type: ignore[no-any-return]


@_register(np.where)
def where(condition: Any, *branches: Any) -> Any:
    chosen = condition != 0 if isinstance(condition, BallArray) else condition
    return rewrap(np.where(chosen, *map(operand, branches)))


@_register(np.einsum)
def einsum(subscripts: str, *operands: Any, out: Any = None, **kwargs: Any) -> Any:
    require_float64(kwargs.pop("dtype", None))
    arrays = [_asarray(operand(o), dtype=object) for o in operands]
    result = rewrap(np.einsum(subscripts, *arrays))
    return result if out is None else _into(out, result)


@_register(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return rewrap(np.tensordot(_asarray(operand(a), dtype=object), _asarray(operand(b), dtype=object), axes))


@_register(np.shape)
def shape(array: Any) -> tuple[int, ...]:
    return lift(array).shape


@_register(np.ndim)
def ndim(array: Any) -> int:
    return lift(array).ndim


@_register(np.size)
def size(array: Any, axis: int | None = None) -> int:
    return lift(array).size if axis is None else lift(array).shape[axis]


# --- writing in place -----------------------------------------------------------------------------------------------


def _writable(array: Any) -> BallArray:
    if not isinstance(array, BallArray):
        raise NotCertifiableError(f"balls were written into a plain {array.dtype} array: their radius would be lost")
    return array


@_register(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    target, values = _writable(dst), np.broadcast_to(_asarray(operand(src), dtype=object), dst.shape)
    target[where if where is not True else ...] = BallArray(seal(values[where] if where is not True else values))


@_register(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    np.put_along_axis(_writable(arr)._a, indices, seal(_asarray(operand(values), dtype=object)), axis)


@_register(np.put)
def put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    np.put(_writable(a)._a, ind, seal(_asarray(operand(v), dtype=object)), mode)


@_register(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    np.putmask(_writable(a)._a, mask, seal(_asarray(operand(values), dtype=object)))


@_register(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    np.fill_diagonal(_writable(a)._a, seal(_asarray(operand(val), dtype=object)), wrap)


# --- new arrays like a ball array -----------------------------------------------------------------------------------


def filled(shape: Any, value: object, dtype: Any = None) -> Any:
    """A buffer that can take balls: what `np.zeros` and its kin hand out while a subject runs on balls.

    Integer and boolean dtypes give plain arrays, since no ball belongs there; a narrower float is refused.
    """
    if dtype is not None and np.dtype(dtype).kind in "biuSUMm":
        plain = _empty(shape, dtype=dtype)
        plain[...] = value
        return plain
    require_float64(dtype)
    buffer = _empty(shape, dtype=object)
    buffer.fill(balls(value)._a.item())
    return BallArray(buffer)


def _like(value: object) -> Function:
    def like(a: Any, dtype: Any = None, order: Any = "K", subok: Any = True, shape: Any = None, **_: Any) -> Any:
        return filled(np.shape(a) if shape is None else shape, value, dtype if dtype is not None else a.dtype)

    return like


zeros_like, ones_like = _like(0), _like(1)
_register(np.zeros_like, np.empty_like)(zeros_like)
_register(np.ones_like)(ones_like)


@_register(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, *_: Any, shape: Any = None, **__: Any) -> Any:
    made = filled(np.shape(a) if shape is None else shape, 0, dtype if dtype is not None else a.dtype)
    made[...] = fill_value
    return made


# --- products -------------------------------------------------------------------------------------------------------

_MATRIX_PRODUCT_FROM = 512
"""Multiplications from which flint's matrix product beats the object loop, conversion included (measured)."""


def _matrix_product(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(n, k) @ (k, m) of objects."""
    if a.shape[0] * a.shape[1] * b.shape[1] < _MATRIX_PRODUCT_FROM:
        return np.matmul(a, b)  # type: ignore[no-any-return]
    product = arb_mat(a.tolist()) * arb_mat(b.tolist())
    flat = _empty(a.shape[0] * b.shape[1], dtype=object)
    flat[:] = product.entries()
    return flat.reshape(a.shape[0], b.shape[1])


@_register(np.matmul)
def matmul(a: Any, b: Any) -> BallArray:
    left, right = (_asarray(operand(m), dtype=object) for m in (a, b))
    if left.ndim == 2 and right.ndim == 2 and left.shape[1] == right.shape[0] and left.size and right.size:
        return wrap(_matrix_product(left, right))
    return wrap(_sealed(np.matmul(left, right)))


def _sealed(raw: Any) -> Any:
    return seal(raw) if isinstance(raw, _ndarray) else raw


@_register(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    left, right = (_asarray(operand(m), dtype=object) for m in (a, b))
    result = matmul(left, right) if left.ndim == right.ndim == 2 else wrap(_sealed(np.dot(left, right)))
    return result if out is None else _into(out, result)


@_register(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = lift(x)
    if ord in (None, 2, "fro") and (ord is None or axis is not None or x.ndim == 1 or ord == "fro"):
        if ord == 2 and isinstance(axis, tuple):
            raise NotCertifiableError("the spectral norm has no version for balls")
        return np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))
    if ord in (1, np.inf) and (isinstance(axis, int) or x.ndim == 1):
        return (np.sum if ord == 1 else np.max)(np.abs(x), axis=axis, keepdims=keepdims)
    raise NotCertifiableError(f"np.linalg.norm with ord={ord!r} has no version for balls")


def _square(a: Any) -> arb_mat:
    matrix = lift(a)
    if matrix.ndim != 2:
        raise NotCertifiableError(f"linear algebra on balls takes one matrix at a time, got shape {matrix.shape}")
    return arb_mat(matrix._a.tolist())


@_register(np.linalg.inv)
def inv(a: Any) -> BallArray:
    return from_nested(_square(a).inv().tolist())


@_register(np.linalg.solve)
def solve(a: Any, b: Any) -> BallArray:
    right = lift(b)
    columns = right.reshape(-1, 1) if right.ndim == 1 else right
    return from_nested(_square(a).solve(arb_mat(columns._a.tolist())).tolist()).reshape(right.shape)


@_register(np.linalg.det)
def det(a: Any) -> BallArray:
    return wrap(_square(a).det())


# --- reductions -----------------------------------------------------------------------------------------------------


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(int(a) % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _flattened(x: BallArray, axis: Any) -> tuple[np.ndarray[Any, Any], tuple[int, ...]]:
    """The object array with the reduced axes flattened into one at the end, and the shape that keepdims asks for."""
    axes = _axes(axis, x.ndim)
    kept = tuple(1 if i in axes else int(n) for i, n in enumerate(x._a.shape))
    moved = _moveaxis(x._a, axes, tuple(range(-len(axes), 0))) if axes else x._a[..., None]
    return moved.reshape(*(n for i, n in enumerate(x._a.shape) if i not in axes), -1), kept


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
        x = lift(a)._a
        if where is not True:
            x = np.where(where, x, ufunc.identity)
        result = wrap(_sealed(ufunc.reduce(x, axis=axis, keepdims=keepdims is True)))
        if initial is not None:
            result = ufunc(result, initial)
        return result if out is None else _into(out, result)

    return reduce


sum_, prod = _reduction(np.add), _reduction(np.multiply)
_register(np.sum)(sum_)
_register(np.prod)(prod)
REDUCTIONS[np.add, "reduce"], REDUCTIONS[np.multiply, "reduce"] = sum_, prod
REDUCTIONS[np.add, "accumulate"] = FUNCTIONS[np.cumsum]
REDUCTIONS[np.multiply, "accumulate"] = FUNCTIONS[np.cumprod]


def _count(x: BallArray, axis: Any) -> int:
    total = 1
    for a in _axes(axis, x.ndim):
        total *= int(x._a.shape[a])
    return total


@_register(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **_: Any) -> Any:
    x = lift(a)
    result = sum_(x, axis, dtype, None, keepdims) / _count(x, axis)
    return result if out is None else _into(out, result)


@_register(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    if weights is None or returned:
        if returned:
            raise NotCertifiableError("np.average with returned=True has no version for balls")
        return mean(a, axis, keepdims=keepdims)
    x, w = lift(a), lift(weights)
    if w.ndim == 1 and x.ndim > 1 and isinstance(axis, int):
        w = w.reshape(*(-1 if i == axis % x.ndim else 1 for i in range(x.ndim)))
    return sum_(x * w, axis, keepdims=keepdims) / sum_(w * ones_like(x), axis, keepdims=keepdims)


@_register(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **kwargs: Any,
) -> Any:
    x = lift(a)
    deviation = x - mean(x, axis, keepdims=True)
    result = sum_(np.square(deviation), axis, dtype, None, keepdims) / (
        _count(x, axis) - kwargs.get("correction", ddof)
    )
    return result if out is None else _into(out, result)


@_register(np.std)
def std(*args: Any, out: Any = None, **kwargs: Any) -> Any:
    result = np.sqrt(var(*args, **kwargs))
    return result if out is None else _into(out, result)


def _extreme(pick: Callable[[arb, arb], arb]) -> Function:
    fold = _frompyfunc(pick, 2, 1)

    def extreme(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, **_: Any) -> Any:
        x = lift(a)
        elements, kept = _flattened(x, axis)
        if elements.shape[-1] == 0:
            raise ValueError("zero-size array to a reduction operation that has no identity")
        result = wrap(fold.reduce(elements, axis=-1))
        if keepdims is True:
            result = result.reshape(kept)
        if initial is not None:
            result = wrap(fold(result._a, balls(initial)._a))
        return result if out is None else _into(out, result)

    return extreme


max_, min_ = _extreme(larger), _extreme(smaller)
_register(np.max, np.amax, np.nanmax)(max_)
_register(np.min, np.amin, np.nanmin)(min_)
REDUCTIONS[np.maximum, "reduce"], REDUCTIONS[np.minimum, "reduce"] = max_, min_


def _first_extreme(relation: str) -> Function:
    def index_of(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        x = lift(a)
        elements, kept = _flattened(x, axis)
        rows = elements.reshape(-1, elements.shape[-1])
        winners = _asarray([_winner(row, relation) for row in rows], dtype=np.intp)
        found = winners.reshape(kept if keepdims is True else elements.shape[:-1])
        return found if found.ndim else np.intp(found.item())

    return index_of


def _winner(row: np.ndarray[Any, Any], relation: str) -> int:
    """Index of the first extreme element; raises unless it is certain."""
    best = 0
    for i in range(1, len(row)):
        if compare(relation, row[i], row[best]):
            best = i
    return best


_register(np.argmax)(_first_extreme("greater"))
_register(np.argmin)(_first_extreme("less"))


@_register(np.argsort)
def argsort(a: Any, axis: Any = -1, **_: Any) -> Any:
    x = lift(a)
    rows = _moveaxis(x._a, axis, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    order = _asarray([_sorted_order(row) for row in flat]).reshape(rows.shape)
    return _moveaxis(order, -1, axis)


def _sorted_order(row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    order = _argsort(_frompyfunc(lambda b: b.mid(), 1, 1)(row), kind="stable")
    if not compare("less_equal", row[order[:-1]], row[order[1:]]).all():
        raise UndecidedComparisonError("the order of overlapping balls cannot be decided")
    return order


@_register(np.sort)
def sort(a: Any, axis: Any = -1, **_: Any) -> BallArray:
    x = lift(a)
    return wrap(np.take_along_axis(x._a, argsort(x, axis), axis))


@_register(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = (a_min if a_min is not None else min), (a_max if a_max is not None else max)
    result = lift(a)
    if low is not None:
        result = np.maximum(result, low)
    if high is not None:
        result = np.minimum(result, high)
    return result if out is None else _into(out, result)


# --- predicates -----------------------------------------------------------------------------------------------------


@_register(np.any)
def any_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **_: Any) -> Any:
    return (a != 0).any(axis=axis, keepdims=keepdims is True)


@_register(np.all)
def all_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **_: Any) -> Any:
    return (a != 0).all(axis=axis, keepdims=keepdims is True)


@_register(np.nonzero)
def nonzero(a: Any) -> Any:
    return (a != 0).nonzero()


@_register(np.argwhere)
def argwhere(a: Any) -> Any:
    return np.argwhere(a != 0)


@_register(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return np.count_nonzero(a != 0, axis=axis, keepdims=keepdims)


@_register(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    return np.shape(a1) == np.shape(a2) and bool(np.all(lift(a1) == a2))


@_register(np.isclose, np.allclose)
def refuse_tolerance(*_: Any, **__: Any) -> None:
    raise NotCertifiableError("np.isclose and np.allclose decide by a tolerance, which is not a property of the balls")


@_register(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    return False


@_register(np.isrealobj)
def isrealobj(x: Any) -> bool:
    return True


@_register(np.real)
def real(val: Any) -> Any:
    return val


@_register(np.nan_to_num)
def nan_to_num(x: Any, *_: Any, **__: Any) -> Any:
    if not np.all(np.isfinite(x)):
        raise NotCertifiableError("np.nan_to_num met a ball that is not finite")
    return x.copy()


@_register(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    return np.result_type(*(a.dtype if isinstance(a, BallArray) else a for a in arrays_and_dtypes))


@_register(np.array_repr, np.array_str, np.array2string)
def text(a: Any, *_: Any, **__: Any) -> str:
    return repr(a)


# --- constructors on plain arguments, for the replaced attributes of `numpy` ----------------------------------------


def new_array(values: Any, dtype: Any = None, *, copy: Any = True, **_: Any) -> Any:
    """`np.array` and `np.asarray` on balls: floats and balls become balls, integers and booleans stay plain."""
    if isinstance(values, BallArray):
        require_float64(dtype)
        return values.copy() if copy else values
    if isinstance(values, list | tuple) and _holds_balls(values):
        require_float64(dtype)
        return from_nested(values)
    plain = _asarray(values, dtype=dtype)
    if plain.dtype.kind != "f":
        return plain.copy() if copy else plain
    if plain.dtype != np.float64:
        raise refuse_dtype(plain.dtype)
    return wrap(seal(_asarray(operand(plain), dtype=object)))


def _holds_balls(values: Iterable[Any]) -> bool:
    return any(isinstance(v, BallArray) or (isinstance(v, list | tuple) and _holds_balls(v)) for v in values)


def steps(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """`np.arange` for balls and floats: start + i * step, without rounding."""
    if stop is None:
        start, stop = 0, start
    if all(isinstance(v, int | np.integer) for v in (start, stop, step)):
        whole = _arange(start, stop, step)
        return whole if dtype is None or np.dtype(dtype).kind != "f" else new_array(whole.astype(dtype))
    first, last, stride = (balls(v) for v in (start, stop, step))
    count = int(np.ceil((last - first) / stride))
    return first + _arange(max(count, 0)) * stride


def spaced(start: Any, stop: Any, num: int = 50, endpoint: bool = True, **_: Any) -> BallArray:
    """`np.linspace` for balls: the spacing is an exact quotient."""
    first, last = balls(start), balls(stop)
    return first + _arange(num) * (last - first) / max(num - 1 if endpoint else num, 1)
