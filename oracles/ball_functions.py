"""NumPy's functions on balls: the table of all of them, and those that move, write and make elements.

Functions that only move elements run NumPy's own implementation on the object array inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb

from oracles.ball import (
    BallArray,
    BallScalar,
    Function,
    balls,
    comparand,
    from_nested,
    holds_balls,
    operand,
    refuse,
    require_float64,
    seal,
    wrap,
)
from oracles.ball_comparisons import as_arb
from oracles.ball_mode import mode, not_certifiable
from oracles.ball_products import PRODUCTS
from oracles.ball_reductions import REDUCTIONS, into
from oracles.ball_rounding import rounded
from oracles.errors import UndecidedComparisonError

_np: Any = np  # NumPy's stubs do not know that its functions take duck arrays


# --- functions that only move elements ------------------------------------------------------------------------------


def unwrap(value: Any) -> Any:
    """Balls inside lists and tuples replaced by object arrays, which views may share (not those of scalars)."""
    if isinstance(value, BallArray):
        return value._storage()
    if isinstance(value, list | tuple):
        return type(value)(map(unwrap, value))
    return value


def rewrap(value: Any) -> Any:
    """The opposite of `unwrap` for a result, with anything that NumPy mixed in (zeros, say) lifted."""
    if isinstance(value, np.ndarray):
        return BallArray(seal(value)) if value.dtype == object else value
    if isinstance(value, arb):  # one entry: bare, it would answer open comparisons and drop its radius in float()
        return wrap(value)
    return type(value)(map(rewrap, value)) if isinstance(value, list | tuple) else value


def _moving(function: Any) -> Function:
    def implementation(*args: Any, **kwargs: Any) -> Any:
        require_float64(kwargs.pop("dtype", None))
        out = kwargs.pop("out", None)
        return into(out, rewrap(function(*map(unwrap, args), **{k: unwrap(v) for k, v in kwargs.items()})))

    return implementation


_MOVING: tuple[Any, ...] = (
    # shapes and axes
    *(np.reshape, np.ravel, np.transpose, np.matrix_transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.squeeze),
    *(np.expand_dims, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.broadcast_to, np.broadcast_arrays),
    # joining and splitting
    *(np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack, np.block, np.append, np.insert),
    *(np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit, np.unstack, np.delete, np.resize, np.meshgrid),
    # rearranging
    *(np.tile, np.repeat, np.roll, np.flip, np.fliplr, np.flipud, np.rot90, np.copy),
    # picking
    *(np.take, np.take_along_axis, np.compress, np.choose, np.select, np.extract),
    *(np.diag, np.diagflat, np.diagonal, np.tril, np.triu),
    np.lib.stride_tricks.sliding_window_view,
    np.lib.stride_tricks.as_strided,
)


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap", "empty"):
        raise not_certifiable(f"np.pad with mode={mode!r} has no version for balls")
    return rewrap(np.pad(balls(array)._a, pad_width, mode=mode, **{k: unwrap(v) for k, v in kwargs.items()}))


def where(condition: Any, *branches: Any) -> Any:
    chosen = condition != 0 if isinstance(condition, BallArray) else condition
    return rewrap(np.where(chosen, *(balls(b)._a for b in branches)))


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    ends = {k: balls(v)._a for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    found = balls(a)._a
    if n == 0 or not mode.ulps:
        return rewrap(np.diff(found, n, axis, **ends))
    for step in range(n):
        found = rounded(np.diff(found, 1, axis, **(ends if step == 0 else {})))
    return rewrap(found)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    diagonals: Any = _np.diagonal(balls(a), offset, axis1, axis2)
    return diagonals.sum(-1, dtype, out)


def apply_along_axis(func1d: Function, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    rows: Any = _np.moveaxis(balls(arr), axis, -1)
    lead = rows._a.shape[:-1]
    found = [func1d(rows[i], *args, **kwargs) for i in np.ndindex(lead)]
    if not found:
        raise ValueError("cannot apply_along_axis when any iteration dimensions are 0")
    stacked = _np.reshape(
        _np.stack([_np.asarray(f) if not isinstance(f, BallArray) else f for f in found]), (*lead, *np.shape(found[0]))
    )
    inner = np.ndim(found[0])
    at = axis % (len(lead) + 1)
    return _np.moveaxis(stacked, tuple(range(-inner, 0)), tuple(range(at, at + inner)))


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """With balls for weights: the sum of the weights of each integer."""
    places = np.asarray(x)
    total = filled(max(int(places.max(initial=-1)) + 1, minlength), 0)
    _np.add.at(total, places, weights)
    return total


# --- shapes and kinds -----------------------------------------------------------------------------------------------


def size(array: Any, axis: int | None = None) -> int:
    return balls(array).size if axis is None else balls(array).shape[axis]


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    return np.result_type(*(a.dtype if isinstance(a, BallArray) else a for a in arrays_and_dtypes))


# --- writing in place -----------------------------------------------------------------------------------------------


def writable(array: Any) -> np.ndarray[Any, Any]:
    """The elements of an array of balls to write balls into. Raises for plain arrays and for scalars."""
    if isinstance(array, BallArray) and not isinstance(array, BallScalar):
        return array._a
    kind = (
        "single ball"
        if isinstance(array, BallArray)
        else f"plain {getattr(array, 'dtype', type(array).__name__)} array"
    )
    raise refuse(f"balls were written into a {kind}")


def _elements(value: Any) -> np.ndarray[Any, Any]:
    return balls(value)._a


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    np.copyto(writable(dst), _elements(src), where=where)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    np.put_along_axis(writable(arr), indices, _elements(values), axis)


def put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    np.put(writable(a), ind, _elements(v), mode)


def putmask(a: Any, mask: Any, values: Any) -> None:
    np.putmask(writable(a), mask, _elements(values))


def place(arr: Any, mask: Any, vals: Any) -> None:
    np.place(writable(arr), mask, np.atleast_1d(_elements(vals)))


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    np.fill_diagonal(writable(a), _elements(val), wrap)


# --- new arrays -----------------------------------------------------------------------------------------------------


def filled(shape: Any, value: Any, dtype: Any = None) -> Any:
    """A buffer that can take balls: what `np.zeros` and its kin hand out while a subject runs on balls.

    Dtypes that no ball can be written into (integers, booleans, text, objects) give plain arrays; narrower floats and
    complex numbers are refused. `value` may be an array that broadcasts to the shape.
    """
    if _stays_plain(dtype):
        return np.full(shape, value, dtype=dtype)
    require_float64(dtype)
    buffer = np.empty(shape, dtype=object)
    raw = balls(value)._a
    if raw.ndim == 0:
        buffer.fill(arb(raw.item()))
    else:
        buffer[...] = raw
    return BallArray(buffer)


def unwritten(shape: Any, dtype: Any = None) -> Any:
    """`np.empty` for balls: what is read before it is written is no number, and proves nothing."""
    return np.zeros(shape, dtype) if _stays_plain(dtype) else filled(shape, np.nan, dtype)


def _stays_plain(dtype: Any) -> bool:
    return dtype is not None and np.dtype(dtype).kind in "biuSUMmO"


def _like(value: float) -> Function:
    def like(a: Any, dtype: Any = None, order: Any = "K", subok: Any = True, shape: Any = None) -> Any:
        return filled(np.shape(a) if shape is None else shape, value, a.dtype if dtype is None else dtype)

    return like


zeros_like, ones_like = _like(0), _like(1)


def empty_like(a: Any, dtype: Any = None, order: Any = "K", subok: Any = True, shape: Any = None) -> Any:
    return unwritten(np.shape(a) if shape is None else shape, a.dtype if dtype is None else dtype)


def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: Any = True, shape: Any = None
) -> Any:
    return filled(np.shape(a) if shape is None else shape, fill_value, a.dtype if dtype is None else dtype)


def new_array(values: Any, dtype: Any = None, *, copy: Any = True, ndmin: int = 0) -> Any:
    """`np.array` for balls: floats and balls become balls, integers and booleans stay plain."""
    if isinstance(values, list | tuple) and holds_balls(values):
        values, copy = from_nested(values), False
    if isinstance(values, BallArray):
        made = values if dtype is None else values.astype(dtype, copy=False)
        if isinstance(made, BallScalar):
            made = BallArray(made._storage())
        elif copy and made is values:
            made = values.copy()
    else:
        plain = np.asarray(values, dtype=dtype)
        if plain.dtype.kind not in "fc":
            made = plain.copy() if copy else plain
        else:
            require_float64(plain.dtype)
            made = BallArray(seal(np.asarray(operand(plain), dtype=object)))
    return made.reshape((1,) * (ndmin - made.ndim) + made.shape) if made.ndim < ndmin else made


def steps(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """`np.arange` for balls and floats: start + i * step, without rounding."""
    if stop is None:
        start, stop = 0, start
    if all(isinstance(v, int | np.integer) for v in (start, stop, step)):
        whole = np.arange(int(start), int(stop), int(step))  # NumPy divides lengths, which `Extent` does on balls
    else:
        first, last, stride = (balls(v) for v in (start, stop, step))
        whole = first + np.arange(_count_of_steps(first, last, stride)) * stride
    return whole if dtype is None else new_array(whole, np.float64).astype(dtype)


def _count_of_steps(first: BallArray, last: BallArray, stride: BallArray) -> int:
    try:
        return max(int(_np.ceil((last - first) / stride)), 0)
    except UndecidedComparisonError as error:
        ends = [b._a.item() for b in (first, last, stride)]
        if any(b.rel_accuracy_bits() < _ALL_BUT_EXACT * b.bits() for b in ends if not b.is_exact()):
            raise
        if mode.refusal is error:
            mode.refusal = None
        # Decimals such as 0.1 are balls of the last bit, and 1 / 0.1 is 10: NumPy decides this in floats.
        return len(np.arange(*(float(b.mid()) for b in ends)))


_ALL_BUT_EXACT = 0.9


def spaced(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """`np.linspace` for balls: the spacing is an exact quotient."""
    first, last = balls(start), balls(stop)
    if first.ndim or last.ndim:
        raise not_certifiable("np.linspace between arrays has no version for balls")
    gap = (last - first) / max(num - 1 if endpoint else num, 1)
    made = first + np.arange(num) * gap
    made = made if dtype is None else made.astype(dtype)
    return (made, gap) if retstep else made


# --- predicates and refusals ----------------------------------------------------------------------------------------


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    left, right = (np.asarray(comparand(a), dtype=object) for a in (a1, a2))
    return left.shape == right.shape and bool(np.all(wrap(as_arb(left)) == wrap(as_arb(right))))


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if not np.all(np.isfinite(x)):
        raise not_certifiable("np.nan_to_num met a ball that is not finite")
    return x.copy() if copy else x


def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = (a_min if a_min is not None else min), (a_max if a_max is not None else max)
    result = balls(a)
    if low is not None:
        result = _np.maximum(result, low)
    if high is not None:
        result = _np.minimum(result, high)
    return into(out, result)


def refuse_tolerance(*_: Any, **__: Any) -> None:
    raise not_certifiable("np.isclose and np.allclose decide by a tolerance, which is not a property of the balls")


FUNCTIONS: dict[Any, Function] = {
    **{function: _moving(function) for function in _MOVING},
    **REDUCTIONS,
    **PRODUCTS,
    np.pad: pad,
    np.where: where,
    np.diff: diff,
    np.trace: trace,
    np.apply_along_axis: apply_along_axis,
    np.bincount: bincount,
    np.shape: lambda a: balls(a).shape,
    np.ndim: lambda a: balls(a).ndim,
    np.size: size,
    np.result_type: result_type,
    np.copyto: copyto,
    np.put_along_axis: put_along_axis,
    np.put: put,
    np.putmask: putmask,
    np.place: place,
    np.fill_diagonal: fill_diagonal,
    np.zeros_like: zeros_like,
    np.ones_like: ones_like,
    np.empty_like: empty_like,
    np.full_like: full_like,
    np.astype: lambda x, dtype, /, *, copy=True, device=None: x.astype(dtype, copy=copy),
    np.array_equal: array_equal,
    np.clip: clip,
    np.nan_to_num: nan_to_num,
    np.isclose: refuse_tolerance,
    np.allclose: refuse_tolerance,
    np.iscomplexobj: lambda x: False,
    np.isrealobj: lambda x: True,
    np.real: lambda val: val,
    np.array_repr: lambda arr, *_, **__: repr(arr),
    np.array_str: lambda a, *_, **__: repr(a),
    np.array2string: lambda a, *_, **__: repr(a),
}
"""NumPy function -> its version for balls."""
