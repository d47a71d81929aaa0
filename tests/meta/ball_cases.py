"""Every ufunc and function that has a version for balls, with the calls to try it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracles.ball import lift

Array = Any
Call = Callable[["Arguments"], Any]


@dataclass
class Arguments:
    """What the calls are tried on: all floats, or all balls with the same midpoints. Indices and masks stay plain."""

    x: Array  # (3, 4), no two alike
    y: Array  # (3, 4)
    cube: Array  # (2, 3, 4)
    v: Array  # (4,)
    square: Array  # (3, 3), invertible
    one: Array  # (), a scalar
    strided: Array  # (3, 4), a view of every other column, transposed
    empty: Array  # (0, 4)

    def on_balls(self) -> Arguments:
        x = lift(np.ascontiguousarray(self.strided.T).repeat(2, axis=1))
        made = {name: lift(np.array(value)) for name, value in vars(self).items()}
        made["one"] = lift(float(self.one))
        made["strided"] = x[:, ::2].T
        return Arguments(**made)


def arguments(random: np.random.Generator) -> Arguments:
    return Arguments(
        x=random.normal(size=(3, 4)),
        y=random.normal(size=(3, 4)),
        cube=random.normal(size=(2, 3, 4)),
        v=random.normal(size=4),
        square=random.normal(size=(3, 3)) + 4 * np.eye(3),
        one=np.float64(random.normal()),
        strided=random.normal(size=(4, 6))[:, ::2].T,
        empty=np.zeros((0, 4)),
    )


MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])
ROWS = np.array([2, 0, 2])
COLUMNS = np.array([[3, 1], [0, 0], [2, 3]])


def _reduced(function: Any) -> list[Call]:
    """The ways to reduce: everything, one axis (from either end), several, keepdims; views; a scalar; nothing."""
    return [
        lambda a: function(a.x),
        lambda a: function(a.x, axis=0),
        lambda a: function(a.x, axis=-1),
        lambda a: function(a.x, 1),
        lambda a: function(a.x, axis=1, keepdims=True),
        lambda a: function(a.x, keepdims=True),
        lambda a: function(a.cube, axis=(0, 2)),
        lambda a: function(a.cube, axis=(-1, 0), keepdims=True),
        lambda a: function(a.strided, axis=1),
        lambda a: function(a.one),
        lambda a: function(a.empty, axis=1),
    ]


def _masked(function: Any, **kwargs: Any) -> list[Call]:
    return [
        lambda a: function(a.x, axis=1, where=MASK, **kwargs),
        lambda a: function(a.x, where=MASK, keepdims=True, **kwargs),
    ]


def _running(function: Any) -> list[Call]:
    return [
        lambda a: function(a.x),
        lambda a: function(a.x, axis=0),
        lambda a: function(a.cube, axis=-2),
        lambda a: function(a.empty, axis=1),
    ]


def _written(function: Any, *args: Any) -> Call:
    def call(a: Arguments) -> Array:
        target = a.x.copy()
        function(target, *(arg(a) if callable(arg) else arg for arg in args))
        return target

    return call


def _into(function: Any, shape: tuple[int, ...], *args: Any, **kwargs: Any) -> Call:
    """With out=: the result is what is in there afterwards."""

    def call(a: Arguments) -> Array:
        out = np.resize(a.x, shape)
        assert function(a.x, *args, out=out, **kwargs) is out
        return out

    return call


FUNCTIONS: dict[Any, list[Call]] = {
    # --- shapes and axes
    np.reshape: [
        lambda a: np.reshape(a.x, (2, 6)),
        lambda a: np.reshape(a.strided, -1),
        lambda a: np.reshape(a.one, (1, 1)),
    ],
    np.ravel: [lambda a: np.ravel(a.x), lambda a: np.ravel(a.strided), lambda a: np.ravel(a.x, order="F")],
    np.transpose: [lambda a: np.transpose(a.x), lambda a: np.transpose(a.cube, (1, 2, 0)), lambda a: np.transpose(a.v)],
    np.matrix_transpose: [lambda a: np.matrix_transpose(a.cube)],
    np.swapaxes: [lambda a: np.swapaxes(a.cube, 0, -1)],
    np.moveaxis: [lambda a: np.moveaxis(a.cube, 0, -1), lambda a: np.moveaxis(a.cube, (0, 1), (-1, 0))],
    np.rollaxis: [lambda a: np.rollaxis(a.cube, 2)],
    np.squeeze: [lambda a: np.squeeze(a.x[:1]), lambda a: np.squeeze(a.x[None, :, :1], axis=(0, 2))],
    np.expand_dims: [lambda a: np.expand_dims(a.x, 1), lambda a: np.expand_dims(a.one, 0)],
    np.atleast_1d: [lambda a: np.atleast_1d(a.one), lambda a: np.atleast_1d(a.v)],
    np.atleast_2d: [lambda a: np.atleast_2d(a.v), lambda a: np.atleast_2d(a.v, a.one)],
    np.atleast_3d: [lambda a: np.atleast_3d(a.x)],
    np.broadcast_to: [lambda a: np.broadcast_to(a.v, (2, 3, 4)), lambda a: np.broadcast_to(a.one, (2,))],
    np.broadcast_arrays: [lambda a: np.broadcast_arrays(a.x, a.v), lambda a: np.broadcast_arrays(a.x, 1.0)],
    # --- joining and splitting
    np.concatenate: [
        lambda a: np.concatenate([a.x, a.y]),
        lambda a: np.concatenate((a.x, a.y), axis=-1),
        lambda a: np.concatenate([a.x, np.zeros((2, 4))]),
        lambda a: np.concatenate([a.x, a.y], axis=None),
        lambda a: np.concatenate([a.empty, a.x]),
    ],
    np.stack: [lambda a: np.stack([a.x, a.y]), lambda a: np.stack([a.x, a.strided, a.y], axis=-1)],
    np.vstack: [lambda a: np.vstack([a.x, a.v])],
    np.hstack: [lambda a: np.hstack([a.x, a.y]), lambda a: np.hstack([a.v, a.one])],
    np.dstack: [lambda a: np.dstack([a.x, a.y])],
    np.column_stack: [lambda a: np.column_stack([a.v, a.v * 2])],
    np.block: [lambda a: np.block([[a.x, a.y], [a.y, np.ones((3, 4))]])],
    np.append: [lambda a: np.append(a.v, 2.0), lambda a: np.append(a.x, a.y, axis=0)],
    np.insert: [lambda a: np.insert(a.v, 1, 0.5), lambda a: np.insert(a.x, 2, a.v, axis=0)],
    np.split: [lambda a: np.split(a.x, 2, axis=1), lambda a: np.split(a.v, [1, 3])],
    np.array_split: [lambda a: np.array_split(a.v, 3)],
    np.hsplit: [lambda a: np.hsplit(a.x, 2)],
    np.vsplit: [lambda a: np.vsplit(a.x, 3)],
    np.dsplit: [lambda a: np.dsplit(a.cube, 4)],
    np.unstack: [lambda a: np.unstack(a.x), lambda a: np.unstack(a.x, axis=1)],
    np.delete: [lambda a: np.delete(a.x, 1, axis=0)],
    np.resize: [lambda a: np.resize(a.x, (5, 3))],
    np.meshgrid: [lambda a: np.meshgrid(a.v, a.v), lambda a: np.meshgrid(a.v, np.arange(3), indexing="ij")],
    # --- rearranging
    np.tile: [lambda a: np.tile(a.v, 3), lambda a: np.tile(a.x, (2, 1)), lambda a: np.tile(a.one, 2)],
    np.repeat: [lambda a: np.repeat(a.x, 2), lambda a: np.repeat(a.x, [1, 0, 2], axis=0)],
    np.roll: [lambda a: np.roll(a.x, 1), lambda a: np.roll(a.x, (1, -1), axis=(0, 1))],
    np.flip: [lambda a: np.flip(a.x), lambda a: np.flip(a.x, axis=1)],
    np.fliplr: [lambda a: np.fliplr(a.x)],
    np.flipud: [lambda a: np.flipud(a.x)],
    np.rot90: [lambda a: np.rot90(a.x), lambda a: np.rot90(a.cube, 2, axes=(1, 2))],
    np.copy: [lambda a: np.copy(a.strided), lambda a: np.copy(a.one)],
    np.astype: [lambda a: np.astype(a.x, np.float64), lambda a: np.astype(a.x, np.int64)],
    # --- picking
    np.take: [lambda a: np.take(a.x, ROWS, axis=0), lambda a: np.take(a.x, 5)],
    np.take_along_axis: [lambda a: np.take_along_axis(a.x, COLUMNS, axis=1)],
    np.compress: [lambda a: np.compress([True, False, True], a.x, axis=0)],
    np.choose: [lambda a: np.choose(MASK.astype(int), [a.x, a.y])],
    np.select: [lambda a: np.select([MASK, ~MASK], [a.x, a.y]), lambda a: np.select([MASK], [a.x], default=0.5)],
    np.extract: [lambda a: np.extract(MASK, a.x)],
    np.diag: [lambda a: np.diag(a.v), lambda a: np.diag(a.square), lambda a: np.diag(a.v, k=-1)],
    np.diagflat: [lambda a: np.diagflat(a.x)],
    np.diagonal: [lambda a: np.diagonal(a.cube, axis1=1, axis2=2), lambda a: np.diagonal(a.x, 1)],
    np.tril: [lambda a: np.tril(a.square), lambda a: np.tril(a.cube, k=-1)],
    np.triu: [lambda a: np.triu(a.square), lambda a: np.triu(a.x, k=1)],
    np.lib.stride_tricks.sliding_window_view: [
        lambda a: np.lib.stride_tricks.sliding_window_view(a.v, 2),
        lambda a: np.lib.stride_tricks.sliding_window_view(a.x, (2, 3)),
    ],
    np.pad: [
        lambda a: np.pad(a.x, 1),
        lambda a: np.pad(a.x, ((0, 1), (2, 0)), mode="constant", constant_values=0.5),
        lambda a: np.pad(a.x, ((1, 1), (0, 0)), "edge"),
        lambda a: np.pad(a.x, 2, mode="reflect"),
        lambda a: np.pad(a.x, 1, mode="symmetric"),
        lambda a: np.pad(a.v, (1, 2), mode="wrap"),
    ],
    np.where: [
        lambda a: np.where(MASK, a.x, a.y),
        lambda a: np.where(a.x > 0, a.x, 0),
        lambda a: np.where(a.x > 0, 0.1, a.v),
        lambda a: np.where(a.x),
    ],
    np.apply_along_axis: [
        lambda a: np.apply_along_axis(lambda row: row * row[0], 1, a.x),
        lambda a: np.apply_along_axis(np.sum, 0, a.cube),
        lambda a: np.apply_along_axis(np.outer, 1, a.cube, np.arange(2)),
    ],
    np.bincount: [lambda a: np.bincount(ROWS, weights=a.v[:3], minlength=5)],
    # --- sums, extremes, orders
    np.sum: [
        *_reduced(np.sum),
        *_masked(np.sum),
        lambda a: np.sum(a.x, initial=2.5),
        _into(np.sum, (4,), axis=0),
        lambda a: np.sum(a.empty),
    ],
    np.prod: [*_reduced(np.prod), *_masked(np.prod), lambda a: np.prod(a.empty, axis=0)],
    np.mean: [*_reduced(np.mean), *_masked(np.mean), _into(np.mean, (3,), axis=1)],
    np.var: [
        *_reduced(np.var),
        *_masked(np.var),
        lambda a: np.var(a.x, axis=0, ddof=1),
        lambda a: np.var(a.x, 0, correction=1),
    ],
    np.std: [*_reduced(np.std), lambda a: np.std(a.x, axis=1, ddof=1, keepdims=True)],
    np.max: [
        *_reduced(np.max),
        *_masked(np.max, initial=-9.0),
        lambda a: np.max(a.x, axis=0, initial=0.5),
        _into(np.max, (4,), 0),
    ],
    np.min: [*_reduced(np.min), *_masked(np.min, initial=9.0)],
    np.ptp: [lambda a: np.ptp(a.x), lambda a: np.ptp(a.x, axis=1, keepdims=True)],
    np.average: [
        lambda a: np.average(a.x, axis=0),
        lambda a: np.average(a.x, axis=1, weights=a.v),
        lambda a: np.average(a.x, weights=np.abs(a.y)),
        lambda a: np.average(a.x, axis=-1, weights=np.arange(1, 5), keepdims=True),
    ],
    np.argmax: [
        lambda a: np.argmax(a.x),
        lambda a: np.argmax(a.x, axis=0),
        lambda a: np.argmax(a.x, axis=-1, keepdims=True),
        lambda a: np.argmax(np.maximum(a.x, 0), axis=1),
        lambda a: np.argmax(a.empty, axis=1),
    ],
    np.argmin: [lambda a: np.argmin(a.x), lambda a: np.argmin(a.strided, axis=1)],
    np.median: [*_reduced(np.median)[:-1], lambda a: np.median(a.v[:3])],
    np.nansum: _reduced(np.nansum) + _masked(np.nansum),
    np.argsort: [lambda a: np.argsort(a.x), lambda a: np.argsort(a.x, axis=0), lambda a: np.argsort(-a.x, axis=None)],
    np.sort: [lambda a: np.sort(a.x), lambda a: np.sort(a.x, axis=0), lambda a: np.sort(a.strided, axis=None)],
    np.cumsum: [*_running(np.cumsum), _into(np.cumsum, (3, 4), 1)],
    np.cumprod: _running(np.cumprod),
    np.any: [
        lambda a: np.any(a.x),
        lambda a: np.any(np.maximum(a.x, 0), axis=0),
        lambda a: np.any(a.x, 1, keepdims=True),
    ],
    np.all: [lambda a: np.all(a.x), lambda a: np.all(np.maximum(a.x, 0), axis=(0, 1)), lambda a: np.all(a.empty)],
    np.nonzero: [lambda a: np.nonzero(np.maximum(a.x, 0))],
    np.flatnonzero: [lambda a: np.flatnonzero(np.maximum(a.x, 0))],
    np.argwhere: [lambda a: np.argwhere(np.maximum(a.x, 0))],
    np.count_nonzero: [lambda a: np.count_nonzero(np.maximum(a.x, 0)), lambda a: np.count_nonzero(a.x, axis=0)],
    np.diff: [
        lambda a: np.diff(a.x),
        lambda a: np.diff(a.x, n=2, axis=0),
        lambda a: np.diff(a.v, prepend=0.1, append=a.one),
    ],
    np.trace: [lambda a: np.trace(a.square), lambda a: np.trace(a.cube, 1, 1, 2)],
    np.clip: [
        lambda a: np.clip(a.x, -0.5, 0.5),
        lambda a: np.clip(a.x, None, a.v),
        lambda a: np.clip(a.x, a_min=0, a_max=None),
        lambda a: np.clip(a.x, min=-0.1, max=0.1),
        _into(np.clip, (3, 4), 0, 1),
    ],
    # --- products
    np.dot: [
        lambda a: np.dot(a.x, a.v),
        lambda a: np.dot(a.v, a.v),
        lambda a: np.dot(a.x, a.y.T),
        lambda a: np.dot(a.cube, a.v),
        lambda a: np.dot(a.one, a.x),
        lambda a: np.dot(np.arange(12.0).reshape(4, 3), a.x),
        lambda a: np.dot(a.empty, a.v),
    ],
    np.vdot: [lambda a: np.vdot(a.x, a.y)],
    np.inner: [lambda a: np.inner(a.x, a.y), lambda a: np.inner(a.v, a.v)],
    np.outer: [lambda a: np.outer(a.v, a.x), lambda a: np.outer(a.v, np.linspace(0, 1, 3))],
    np.kron: [lambda a: np.kron(a.x, a.square)],
    np.tensordot: [
        lambda a: np.tensordot(a.x, a.y, axes=2),
        lambda a: np.tensordot(a.cube, a.x, axes=([1, 2], [0, 1])),
    ],
    np.einsum: [
        lambda a: np.einsum("ij,ij->i", a.x, a.y),
        lambda a: np.einsum("ij,kj->ik", a.x, a.y, optimize=True),
        lambda a: np.einsum("bij,j->bi", a.cube, a.v),
        lambda a: np.einsum("ii->i", a.square),
        lambda a: np.einsum("ii", a.square),
        lambda a: np.einsum("...j->...", a.cube),
    ],
    np.convolve: [lambda a: np.convolve(a.v, a.v[:2]), lambda a: np.convolve(a.v, [0.25, 0.5], mode="valid")],
    np.correlate: [lambda a: np.correlate(a.v, a.v[:2], "full"), lambda a: np.correlate(a.v, a.v[1:])],
    np.cross: [lambda a: np.cross(a.square, a.square[0])],
    np.linalg.norm: [
        lambda a: np.linalg.norm(a.x),
        lambda a: np.linalg.norm(a.v),
        lambda a: np.linalg.norm(a.x, axis=1, keepdims=True),
        lambda a: np.linalg.norm(a.x, ord=2, axis=-1),
        lambda a: np.linalg.norm(a.x, "fro"),
        lambda a: np.linalg.norm(a.cube, axis=(1, 2)),
        lambda a: np.linalg.norm(a.v, 1),
        lambda a: np.linalg.norm(a.x, np.inf, axis=0),
    ],
    np.linalg.inv: [lambda a: np.linalg.inv(a.square)],
    np.linalg.solve: [lambda a: np.linalg.solve(a.square, a.x), lambda a: np.linalg.solve(a.square, a.x[:, 0])],
    np.linalg.det: [lambda a: np.linalg.det(a.square)],
    # --- writing in place
    np.copyto: [_written(np.copyto, lambda a: a.v), _written(lambda t, v: np.copyto(t, v, where=MASK), lambda a: a.y)],
    np.put: [_written(np.put, [0, 5], lambda a: a.v[:2]), _written(np.put, [0, -1], 0.1)],
    np.putmask: [_written(np.putmask, MASK, lambda a: a.y), _written(np.putmask, MASK, 0.25)],
    np.place: [_written(np.place, MASK, lambda a: a.v)],
    np.put_along_axis: [_written(np.put_along_axis, COLUMNS[:, :1], 0.5, 1)],
    np.fill_diagonal: [_written(np.fill_diagonal, 0), _written(np.fill_diagonal, lambda a: a.v[:3])],
    # --- arrays like another, and what can be asked of one
    np.zeros_like: [
        lambda a: np.zeros_like(a.x),
        lambda a: np.zeros_like(a.x, shape=(2,)),
        lambda a: np.zeros_like(a.x, dtype=int),
    ],
    np.ones_like: [
        lambda a: np.ones_like(a.strided),
        lambda a: np.ones_like(a.one),
        lambda a: np.ones_like(a.x, dtype=bool),
    ],
    np.full_like: [
        lambda a: np.full_like(a.x, 0.1),
        lambda a: np.full_like(a.x, a.v),
        lambda a: np.full_like(a.x, 2, dtype=int),
    ],
    np.empty_like: [lambda a: np.empty_like(a.x) * 0 + 1 if isinstance(a.x, np.ndarray) else np.ones_like(a.x)],
    np.shape: [lambda a: np.shape(a.cube), lambda a: np.shape(a.one)],
    np.ndim: [lambda a: np.ndim(a.cube)],
    np.size: [lambda a: np.size(a.cube), lambda a: np.size(a.cube, 1)],
    np.result_type: [lambda a: np.result_type(a.x).str, lambda a: np.result_type(a.x, np.arange(3), np.int8).str],
    np.iscomplexobj: [lambda a: np.iscomplexobj(a.x)],
    np.isrealobj: [lambda a: np.isrealobj(a.x)],
    np.real: [lambda a: np.real(a.x)],
    np.array_equal: [
        lambda a: np.array_equal(a.x, a.x.copy()),
        lambda a: np.array_equal(a.x, a.y),
        lambda a: np.array_equal(a.x, a.v),
        lambda a: np.array_equal(np.zeros(3), a.v[:3]),
    ],
    np.nan_to_num: [lambda a: np.nan_to_num(a.x)],
}
"""Function -> calls. Those of `OTHERS` have tests of their own."""

OTHERS = {np.isclose, np.allclose, np.array_repr, np.array_str, np.array2string, np.lib.stride_tricks.as_strided}

UNARY: dict[np.ufunc, tuple[float, float]] = {
    # ufunc: the interval from which its arguments are drawn
    **dict.fromkeys((np.negative, np.positive, np.conjugate, np.square, np.absolute, np.fabs, np.sign), (-3.0, 3.0)),
    **dict.fromkeys((np.floor, np.ceil, np.trunc, np.rint), (-5.0, 5.0)),
    **dict.fromkeys((np.exp, np.exp2, np.expm1, np.sin, np.cos, np.tan, np.sinh, np.cosh, np.tanh), (-1.5, 1.5)),
    **dict.fromkeys((np.arctan, np.arcsinh, np.cbrt, np.degrees, np.rad2deg, np.radians, np.deg2rad), (-3.0, 3.0)),
    **dict.fromkeys((np.reciprocal, np.sqrt, np.log, np.log2, np.log10), (0.1, 9.0)),
    **dict.fromkeys((np.arcsin, np.arccos, np.arctanh, np.log1p), (-0.9, 0.9)),
    np.arccosh: (1.1, 9.0),
}
BINARY: dict[np.ufunc, tuple[float, float]] = {
    **dict.fromkeys((np.add, np.subtract, np.multiply, np.true_divide), (-3.0, 3.0)),
    **dict.fromkeys((np.maximum, np.fmax, np.minimum, np.fmin, np.copysign, np.heaviside), (-3.0, 3.0)),
    **dict.fromkeys((np.arctan2, np.hypot), (-3.0, 3.0)),
    **dict.fromkeys((np.power, np.float_power, np.logaddexp), (0.1, 3.0)),
    **dict.fromkeys((np.floor_divide, np.remainder, np.fmod), (-9.0, 9.0)),
}
PREDICATES = {np.isfinite, np.isinf, np.isnan, np.signbit, np.logical_not}
RELATIONS = {
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.logical_and, np.logical_or, np.logical_xor),
}
PRODUCTS = {np.matmul, np.vecdot}
PAIRS = {np.divmod}
