"""NumPy's products and linear algebra on balls."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb_mat

from oracles.ball import BallArray, Function, balls, from_nested, require_float64, wrap
from oracles.ball_mode import mode, not_certifiable, undecidable
from oracles.ball_reductions import into, max_, sealed, sum_
from oracles.ball_rounding import bilinear, unbounded
from oracles.errors import UndecidedComparisonError

_np: Any = np  # NumPy's stubs do not know that its functions take duck arrays
_MATRIX_PRODUCT_FROM = 512
"""Multiplications from which flint's matrix product beats the object loop, conversion included (measured)."""


def _matrix_product(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Any:
    """(n, k) @ (k, m) of objects."""
    if a.shape[0] * a.shape[1] * b.shape[1] < _MATRIX_PRODUCT_FROM:
        return np.matmul(a, b)
    flat = np.empty(a.shape[0] * b.shape[1], dtype=object)
    flat[:] = (arb_mat(a.tolist()) * arb_mat(b.tolist())).entries()
    return flat.reshape(a.shape[0], b.shape[1])


def matmul(a: Any, b: Any) -> BallArray:
    left, right = balls(a)._a, balls(b)._a
    of_matrices = left.ndim == right.ndim == 2 and left.shape[1] == right.shape[0]
    found = sealed(_matrix_product(left, right) if of_matrices else np.matmul(left, right))
    return wrap(bilinear(found, np.matmul, left, right) if mode.ulps else found)


def dot(a: Any, b: Any, out: Any = None) -> Any:
    left, right = balls(a), balls(b)
    if left.ndim == right.ndim == 2:
        return into(out, matmul(left, right))
    found = sealed(np.dot(left._a, right._a))
    return into(out, wrap(bilinear(found, np.dot, left._a, right._a) if mode.ulps else found))


def vdot(a: Any, b: Any) -> Any:
    return dot(_np.ravel(balls(a)), _np.ravel(balls(b)))


def vecdot(x1: Any, x2: Any) -> Any:
    return sum_(balls(x1) * balls(x2), axis=-1)


def einsum(subscripts: Any, *operands: Any, out: Any = None, dtype: Any = None, optimize: Any = False) -> Any:
    if not isinstance(subscripts, str):
        raise not_certifiable("np.einsum on balls takes its subscripts as a string")
    require_float64(dtype)
    raw = [balls(o)._a for o in operands]
    found = sealed(np.einsum(subscripts, *raw))
    if mode.ulps:
        found = bilinear(found, lambda *factors: np.einsum(subscripts, *factors), *raw)
    return into(out, wrap(found))


def _plain(function: Any) -> Function:
    """A product that NumPy computes by additions and multiplications of objects."""

    def product(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        left, right = balls(a)._a, balls(b)._a
        found = sealed(function(left, right, *args, **kwargs))
        if mode.ulps:
            found = bilinear(found, lambda a, b: function(a, b, *args, **kwargs), left, right)
        return into(out, wrap(found))

    return product


def cross(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
    """Its differences of products are no sums of sizes, so nothing is said of how floats round it."""
    found = sealed(np.cross(balls(a)._a, balls(b)._a, *args, **kwargs))
    return wrap(unbounded(found) if mode.ulps else found)


# --- norms and inverses ---------------------------------------------------------------------------------------------


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norms that are sums or maxima of entries: Euclidean, Frobenius, 1 and infinity of vectors."""
    array = balls(x)
    axes = axis if isinstance(axis, tuple) else None if axis is None else (axis,)
    of_vectors = array.ndim == 1 if axes is None else len(axes) == 1
    euclidean = ord is None or (ord == 2 and of_vectors) or (ord == "fro" and not of_vectors)
    if euclidean:
        return _np.sqrt(sum_(_np.square(array), axis=axis, keepdims=keepdims))
    if ord == 1 and of_vectors:
        return sum_(abs(array), axis=axis, keepdims=keepdims)
    if ord == np.inf and of_vectors:
        return max_(abs(array), axis=axis, keepdims=keepdims)
    raise not_certifiable(f"np.linalg.norm with ord={ord!r} of shape {array._a.shape} has no version for balls")


def _matrix(a: Any) -> arb_mat:
    raw = balls(a)._a
    if raw.ndim != 2 or raw.shape[0] != raw.shape[1]:
        raise not_certifiable(f"linear algebra on balls takes one square matrix at a time, got shape {raw.shape}")
    return arb_mat(raw.tolist())


def inv(a: Any) -> BallArray:
    try:
        return _solved(from_nested(_matrix(a).inv().tolist()))
    except ZeroDivisionError:
        raise _may_be_singular("np.linalg.inv") from None


def solve(a: Any, b: Any) -> BallArray:
    right = balls(b)
    columns = right.reshape(-1, 1) if right.ndim == 1 else right
    try:
        found = _matrix(a).solve(arb_mat(columns._a.tolist()))
    except ZeroDivisionError:
        raise _may_be_singular("np.linalg.solve") from None
    return _solved(from_nested(found.tolist()).reshape(right._a.shape))


def det(a: Any) -> BallArray:
    return _solved(wrap(_matrix(a).det()))


def _solved(found: BallArray) -> BallArray:
    """How much an elimination rounds in floats depends on the pivots, which are not looked at: no tolerance."""
    return wrap(unbounded(found._a)) if mode.ulps else found


def _may_be_singular(name: str) -> UndecidedComparisonError:
    return undecidable(f"{name}: whether the matrix is singular cannot be decided")


PRODUCT_UFUNCS: dict[np.ufunc, Function] = {np.matmul: matmul, np.vecdot: vecdot}
PRODUCTS: dict[Any, Function] = {
    np.dot: dot,
    np.vdot: vdot,
    np.einsum: einsum,
    np.linalg.norm: norm,
    np.linalg.inv: inv,
    np.linalg.solve: solve,
    np.linalg.det: det,
    np.cross: cross,
    **{f: _plain(f) for f in (np.inner, np.outer, np.kron, np.tensordot, np.convolve, np.correlate)},
}
"""NumPy function -> its version for balls."""
