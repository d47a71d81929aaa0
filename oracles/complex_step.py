"""The complex step: Im f(x + ih) / h, exact up to rounding for analytic code, and refused for any other.

NumPy gives abs, sign, norm, var, std, conj, astype(float) and comparisons of complex numbers a meaning that
is not analytic, and then the complex step is silently wrong. So the graph does not get a complex array. It
gets a duck array that runs a list of functions known to be analytic, and refuses the rest.
"""

import warnings
from collections.abc import Callable
from typing import Any, Never, TypeAlias

import numpy as np
from numpy.exceptions import ComplexWarning
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike, NDArray

from oracles.estimate import Estimate, Graph, Namespace
from oracles.numerical import checked_loss, entries, relu, sigmoid, softplus, with_values

__all__ = ["NotAnalyticError", "gradient"]

Complex: TypeAlias = NDArray[np.complexfloating[Any]]

# A power of two, so that dividing by it is exact. Its square, the truncation error, is 6e-61; an h much
# smaller would push the imaginary part of a small gradient into the subnormal numbers.
STEP = 2.0**-100

# NumPy's real and complex versions of a function may differ by some ulps, and a power by 700 of them. Code
# that is not the same function differs by much more.
SAME = 2.0**-40

CONVERSION = "conversion to a plain number or array"


class NotAnalyticError(ValueError):
    """The graph does to complex numbers what is not analytic, so the complex step would be wrong."""


def gradient(graph: Graph, *args: ArrayLike, wrt: int = 0) -> Estimate:
    """Im f(x + ih) / h with h = 2^-100, for each entry x of `args[wrt]`.

    The gradient is NaN where the loss is not finite, and at a branch point, such as sqrt at 0. At a kink,
    `xp.relu` follows relu'(0) = 0. A loss that does not use `args[wrt]` has gradient 0.
    Entries of the gradient below 2^-922, about 3e-278, lose digits to underflow.

    See `oracles.estimate.Oracle` for the shapes. Raises NotAnalyticError for a graph that uses anything but
    analytic functions on `args[wrt]`, ValueError for arguments that do not fit. Source: Squire and Trapp,
    SIAM Review 40 (1998) 110-112.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error", ComplexWarning)
        arrays, loss = checked_loss(graph, args, wrt)
        values = arrays[wrt]
        slope = np.zeros(values.shape)
        for entry in entries(values, loss):
            moved = values.astype(np.complex128)
            moved.imag[entry] = STEP
            try:
                result = graph(NAMESPACE, *with_values(arrays, wrt, _Analytic(moved)))
            except ComplexWarning as dropped:
                raise _refusal("a cast to real numbers") from dropped
            except ValueError as error:
                if not isinstance(error.__cause__, NotAnalyticError):
                    raise
                raise _refusal(CONVERSION) from error  # NumPy replaced what __array__ raised by an error of its own
            if isinstance(result, _Analytic):
                # An infinite loss can come out finite: 1 / x^2 at 0 becomes -1 / h^2.
                known = np.isfinite(loss) & np.isfinite(result.z)
                slope[entry] = np.where(known, result.z.imag / STEP, np.nan)
    return Estimate(slope, np.zeros(values.shape), loss)


class _Analytic(NDArrayOperatorsMixin):
    """A complex array that looks like a float64 one and can only do what is analytic."""

    def __init__(self, z: Any) -> None:
        self.z: Complex = np.asarray(z)

    dtype = np.dtype(np.float64)
    shape = property(lambda self: self.z.shape)
    ndim = property(lambda self: self.z.ndim)
    size = property(lambda self: self.z.size)
    T = property(lambda self: _Analytic(self.z.T))
    mT = property(lambda self: _Analytic(self.z.mT))

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, key: Any) -> "_Analytic":
        return _Analytic(self.z[key])

    # As for JAX's arrays, a += b makes a new array.
    __iadd__ = NDArrayOperatorsMixin.__add__
    __isub__ = NDArrayOperatorsMixin.__sub__
    __imul__ = NDArrayOperatorsMixin.__mul__
    __itruediv__ = NDArrayOperatorsMixin.__truediv__
    __ipow__ = NDArrayOperatorsMixin.__pow__

    def __getattr__(self, name: str) -> Never:
        if name in NOT_ANALYTIC_ATTRIBUTES:
            raise _refusal(f"a.{name}")
        raise AttributeError(f"a.{name} is not in the Array API standard: graphs use functions, such as xp.sum(a)")

    def _refuse_conversion(self, *_: Any, **__: Any) -> Never:
        raise _refusal(CONVERSION)

    __array__ = __float__ = __complex__ = __int__ = __bool__ = _refuse_conversion

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> "_Analytic":
        if ufunc not in ANALYTIC_UFUNCS:
            raise _refusal(f"numpy.{ufunc.__name__}")
        if method != "__call__" or kwargs:
            raise TypeError(
                f"numpy.{ufunc.__name__} was called as {method} with {sorted(kwargs)}: graphs make "
                f"new arrays, so write a = a + b to fill a, and xp.sum(a) for numpy.add.reduce(a)"
            )
        operands = [_bare(operand) for operand in inputs]
        result = COMPLEX_VERSIONS.get(ufunc, ufunc)(*operands)
        if ufunc is np.matmul:  # a sum of products, each of them analytic; cancellation forbids a comparison
            return _Analytic(result)
        z = operands[0]
        at_branch_point = np.isin(np.real(z), BRANCH_POINTS.get(ufunc, ())) & (np.imag(z) != 0)
        result = np.where(at_branch_point, np.nan, result)
        return _same_on_reals(f"numpy.{ufunc.__name__}", result, ufunc(*map(np.real, operands)))

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if function in CONSTANT_FUNCTIONS:
            return function(np.empty(self.shape), *args[1:], **kwargs)
        if function not in ANALYTIC_FUNCTIONS:
            raise _refusal(f"{function.__module__}.{function.__name__}")
        result = function(*_bare(args), **{name: _bare(value) for name, value in kwargs.items()})
        return [_Analytic(part) for part in result] if isinstance(result, list | tuple) else _Analytic(result)


def _refusal(what: str, why: str = "which is not known to be analytic") -> NotAnalyticError:
    return NotAnalyticError(
        f"the graph uses {what}, {why}. The complex step is silently wrong with "
        f"abs, sign, norm, var, std, conj, astype(float) and comparisons (so maximum and minimum), and "
        f"refuses them: use torch_autograd or jax_grad for this graph, or away from its kinks richardson"
    )


def _bare(value: Any) -> Any:
    """`value` with each `_Analytic` in it, in lists and tuples too, replaced by its complex array."""
    if isinstance(value, list | tuple):
        return type(value)(map(_bare, value))
    return value.z if isinstance(value, _Analytic) else value


def _same_on_reals(name: str, result: Any, on_reals: Any) -> _Analytic:
    """`result`, if its real part is what the function says of real numbers; NaN where it says nothing finite.

    Step by step this makes the real part of f(x + ih) an evaluation of f(x). Comparing only those two would
    not do: a loss that cancels, as a squared residual near 0 does, differs in all its digits for rounding
    alone. A single function does not cancel.
    """
    finite = np.isfinite(on_reals)
    # STEP makes room for the terms in h^2, which are all there is to x^2 at 0.
    differs = np.isfinite(result) & finite & (np.abs(np.real(result) - on_reals) > SAME * np.abs(on_reals) + STEP)
    if np.any(differs):
        got, expected = np.real(result)[differs].flat[0], np.asarray(on_reals)[differs].flat[0]
        raise _refusal(
            name, f"whose real part is {got} beside the real axis and {expected} on it (a singularity nearby?)"
        )
    return _Analytic(np.where(finite | (np.real(result) == on_reals), result, np.nan))


def _lifted(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def lifted(z: Any) -> Any:
        if isinstance(z, _Analytic):
            return _same_on_reals(function.__name__, function(z.z), function(z.z.real))
        return function(z)

    return lifted


def _log1p(z: Any) -> Any:
    """log(1 + z) with the digits of a small z, which NumPy's complex version loses."""
    return np.where(np.abs(z) < 0.5, 2 * np.arctanh(z / (2 + z)), np.log(1 + z))


def _power(base: Any, exponent: Any) -> Any:
    """base ** exponent, with a negative base for constant integers only; NaN where the reals know no slope.

    From 100 on NumPy goes through the logarithm, where a negative base leaves an imaginary part of rounded
    pi.
    """
    n = np.real(exponent)
    integer = (np.imag(exponent) == 0) & (n == np.round(n))
    flipped = integer & (np.real(base) < 0)
    sign = np.where(flipped & (n % 2 == 1), -1.0, 1.0)
    power = sign * np.power(np.where(flipped, -base, base), exponent)
    return np.where(integer | (np.real(base) > 0), power, np.nan)


NAMESPACE = Namespace(np, sigmoid=_lifted(sigmoid), relu=_lifted(relu), softplus=_lifted(softplus))

ANALYTIC_UFUNCS: set[np.ufunc] = (
    {np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.reciprocal, np.matmul}
    | {np.power, np.square, np.sqrt, np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p}
    | {np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan}
    | {np.sinh, np.cosh, np.tanh, np.arcsinh, np.arccosh, np.arctanh}
)

COMPLEX_VERSIONS: dict[np.ufunc, Callable[..., Any]] = {np.log1p: _log1p, np.power: _power}

BRANCH_POINTS: dict[np.ufunc, tuple[float, ...]] = {
    np.sqrt: (0.0,),
    np.arcsin: (-1.0, 1.0),
    np.arccos: (-1.0, 1.0),
    np.arccosh: (1.0,),
}

# They move, add up or multiply entries. numpy.vdot, vecdot and vecmat conjugate, so they are not among them.
ANALYTIC_FUNCTIONS: set[Any] = (
    {np.reshape, np.transpose, np.matrix_transpose, np.swapaxes, np.moveaxis, np.squeeze, np.expand_dims}
    | {np.broadcast_to, np.broadcast_arrays, np.concatenate, np.stack, np.split, np.flip, np.roll, np.repeat}
    | {np.tile, np.take, np.take_along_axis, np.where, np.diagonal, np.trace, np.diff, np.cumsum}
    | {np.sum, np.mean, np.prod, np.dot, np.inner, np.outer, np.tensordot, np.einsum}
    | {np.linalg.matmul, np.linalg.outer, np.linalg.tensordot}
    | {getattr(np, name) for name in ("unstack", "cumulative_sum") if hasattr(np, name)}  # NumPy 2.1
)

# They only look at the shape.
CONSTANT_FUNCTIONS: set[Any] = {np.zeros_like, np.ones_like, np.full_like, np.shape, np.ndim}

NOT_ANALYTIC_ATTRIBUTES = {"real", "imag", "conj", "conjugate", "astype", "var", "std", "max", "min", "clip"}
