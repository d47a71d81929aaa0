"""Ball arithmetic for NumPy code: an array of Arb balls that the subject's own Python runs on unchanged.

A ball is a midpoint and a radius that provably encloses a real number (Johansson, "Arb", IEEE Trans. Computers 66,
2017); python-flint's `arb` is its scalar. `BallArray` makes arrays of them behave as float64 arrays do.

Why a duck array and not an `ndarray` of objects or a subclass of it: both were tried on real layer code. NumPy fills a
float64 buffer from an object array by calling `float()` on each element, in C, with no hook, so a ball written into a
forgotten buffer would silently lose its radius. A duck array is asked first (`__array__`) and refuses. The elements can
then be bare `arb` objects, which keeps the cost near 0.1 us for an addition instead of the 0.5 us of a Python class.

Values are enclosures throughout: `maximum` of two overlapping balls encloses both outcomes. Decisions are not: a
comparison that the balls leave open raises `UndecidedComparisonError` (see `oracles.ball_comparisons`).

What cannot be as in NumPy: `isinstance(x, np.ndarray)` and `isinstance(x, float)` are False for a duck array. Code that
asks takes its other branch; where that computes something else, the floats will not follow the certified formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from flint import arb

from oracles.ball_comparisons import Raw, compare, larger, smaller, trunc
from oracles.ball_mode import Mode, from_float, from_floats, is_short, mode, not_certifiable
from oracles.ball_rounding import rounded
from oracles.errors import NotCertifiableError

__all__ = [
    "BallArray",
    "BallScalar",
    "Extent",
    "Function",
    "Mode",
    "Raw",
    "balls",
    "comparand",
    "from_nested",
    "holds_balls",
    "larger",
    "lift",
    "mode",
    "operand",
    "refuse",
    "refuse_dtype",
    "require_float64",
    "seal",
    "smaller",
    "wrap",
]

Function = Callable[..., Any]
_np: Any = np  # NumPy's stubs do not know that its functions take duck arrays


# --- from numbers to balls and back ---------------------------------------------------------------------------------


def operand(value: Any) -> Raw:
    """What object-array arithmetic can combine with balls, exactly; `NotImplemented` for anything else.

    Floats that may be the result of a rounding are noted in `mode.rounded`.
    """
    kind = type(value)
    if kind is BallArray or kind is BallScalar:
        return value._a
    if kind is float:
        return from_float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, np.generic):
        exact = value.dtype.kind in "biu" or (value.dtype.kind == "f" and value.dtype.itemsize <= 8)
        return operand(value.item()) if exact else NotImplemented
    if isinstance(value, np.ndarray):
        return _array_operand(value)
    if isinstance(value, float):
        return operand(float(value))
    if isinstance(value, list | tuple):
        return from_nested(value)._a
    return value if kind is arb else NotImplemented


def _array_operand(values: np.ndarray[Any, Any]) -> Raw:
    if values.__array_priority__ != 0:  # np.matrix, masked arrays: their operators mean something else
        return NotImplemented
    if values.dtype.kind == "f" and values.dtype.itemsize <= 8:
        return from_floats(values)
    if values.dtype.kind in "biu":
        return values.astype(object)
    return seal(values) if values.dtype == object else NotImplemented


def comparand(value: Any) -> Raw:
    """As `operand`, for comparisons: nothing is noted or widened, since no rounding gets from there into a value."""
    if isinstance(value, float):
        return arb(float(value))
    if isinstance(value, list | tuple) and not holds_balls(value):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype == np.float64 and value.__array_priority__ == 0:
        return value.astype(object)
    return operand(value)


def holds_balls(values: Any) -> bool:
    """Whether there is a ball anywhere inside nested lists and tuples."""
    if isinstance(values, list | tuple):
        return any(map(holds_balls, values))
    return isinstance(values, BallArray)


def seal(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An object array with every element an `arb`: what the structural NumPy functions may have mixed in is lifted."""
    flat = values.ravel().tolist()
    if set(map(type, flat)) <= {arb}:
        return values
    sealed = np.empty(len(flat), dtype=object)
    for i, element in enumerate(flat):
        sealed[i] = element if type(element) is arb else _scalar(element)
    return sealed.reshape(values.shape)


def _scalar(element: object) -> arb:
    raw = element if isinstance(element, arb) else operand(element)
    if isinstance(raw, np.ndarray):
        raw = raw.item() if raw.size == 1 else NotImplemented
    if raw is NotImplemented:
        raise not_certifiable(f"cannot put {type(element).__name__} {element!r} into an array of balls")
    return arb(raw)


def wrap(raw: Raw) -> BallArray:
    """A `BallArray` around an object ndarray of arb (not copied), or a `BallScalar` for one number."""
    if isinstance(raw, np.ndarray):
        return BallArray(raw)
    zero_d = np.empty((), dtype=object)
    zero_d[()] = raw if isinstance(raw, arb) else arb(raw)
    return BallScalar(zero_d)


def lift(values: Any) -> BallArray:
    """Exact balls for the floats and integers of a point: a number, an array, or nested lists.

    A `BallArray` is returned as it is. Raises NotCertifiableError for dtypes that are not real numbers.
    """
    if isinstance(values, BallArray):
        return values
    if isinstance(values, int | float):
        if isinstance(values, float) and not is_short(values):
            mode.points.add(float(values))
        return wrap(arb(int(values) if isinstance(values, int) else float(values)))
    if getattr(values, "__array_priority__", 0) > 0:
        raise not_certifiable(
            f"cannot lift {type(values).__name__} to balls: its operators mean something else than those of an array; "
            "pass np.asarray of it"
        )
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biuf" or numbers.dtype.itemsize > 8:
        raise not_certifiable(f"cannot lift dtype {numbers.dtype} to balls: expected real numbers of 64 bits")
    lifted = np.empty(numbers.size, dtype=object)
    lifted[:] = [arb(v) for v in numbers.ravel().tolist()]
    raw = lifted.reshape(numbers.shape)
    return wrap(raw.item()) if isinstance(values, np.generic) else BallArray(raw)


def balls(value: Any) -> BallArray:
    """Balls from what a subject computed: as `lift`, but plain floats are noted as numbers it may have rounded."""
    raw = operand(value)
    if raw is NotImplemented:
        raise not_certifiable(f"expected real numbers or balls, got {_described(value)}")
    if isinstance(value, BallArray):
        return value
    return wrap(seal(raw) if isinstance(raw, np.ndarray) else raw)


def from_nested(values: Sequence[Any]) -> BallArray:
    """A `BallArray` from nested sequences that hold balls, plain numbers and arrays, all of one shape."""
    parts = [from_nested(v)._a if isinstance(v, list | tuple) else operand(v) for v in values]
    for value, part in zip(values, parts, strict=True):
        if part is NotImplemented:
            raise not_certifiable(f"cannot put {_described(value)} into an array of balls")
    shapes = {part.shape if isinstance(part, np.ndarray) else () for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"cannot make one array of pieces of different shapes: {sorted(shapes)}")
    stacked = np.empty((len(parts), *(shapes.pop() if shapes else ())), dtype=object)
    for i, part in enumerate(parts):
        stacked[i] = part.item() if isinstance(part, np.ndarray) and part.ndim == 0 else part
    return BallArray(seal(stacked))


def _described(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return f"{type(value).__name__} of dtype {dtype}" if dtype is not None else f"{type(value).__name__} {value!r}"


# --- refusals -------------------------------------------------------------------------------------------------------


def refuse(what: str) -> NotCertifiableError:
    """The error for what would turn a ball into a float."""
    return not_certifiable(f"{what}: the radius of the ball would be lost without a trace")


def refuse_dtype(dtype: np.dtype[Any]) -> NotCertifiableError:
    """The error for what would round balls to another dtype."""
    if dtype.kind == "f":
        return not_certifiable(
            f"dtype {dtype}: balls stand for float64 code; values cast to {dtype} are rounded to fewer digits than that"
        )
    return not_certifiable(f"dtype {dtype}: balls stand for float64 code, expected float64")


def is_float64(dtype: Any) -> bool:
    """Whether a dtype holds float64 numbers without rounding them."""
    target = np.dtype(dtype)
    return bool(target.kind == "f" and target.itemsize >= 8)


def require_float64(dtype: Any) -> None:
    """Refuse a dtype argument that would round what it is given."""
    if dtype is not None and not is_float64(dtype):
        raise refuse_dtype(np.dtype(dtype))


# --- lengths --------------------------------------------------------------------------------------------------------


class Extent(int):
    """A length of a ball array. An `int` whose quotients and roots are balls, so `1 / N` is not rounded to a float.

    Products of lengths are lengths. Differences are plain: NumPy's own `arange(N)` divides one, and wants a number.
    """

    def _ball(self) -> BallArray:
        return wrap(arb(int(self)))

    def __truediv__(self, other: Any) -> Any:
        return self._ball() / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self._ball()

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        if isinstance(other, int) and (other >= 0 or modulus is not None):
            return Extent(pow(int(self), int(other), modulus))
        return self._ball() ** other

    def __mul__(self, other: Any) -> Any:
        return _extent(int.__mul__(self, other))

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return _extent(int.__floordiv__(self, other))

    def __rfloordiv__(self, other: Any) -> Any:
        return _extent(int.__rfloordiv__(self, other))


def _extent(value: Any) -> Any:
    return value if value is NotImplemented else Extent(value)


# --- the array ------------------------------------------------------------------------------------------------------


def _method(function: Any) -> Function:
    """The method that NumPy has under the name of a function and with its arguments: there is one implementation."""

    def method(self: BallArray, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return method


class BallArray:
    """An array of balls that reads as float64. Indexing gives views, as in NumPy; one element is a `BallScalar`."""

    __slots__ = ("_a",)
    __hash__ = None  # type: ignore[assignment]  # as in NumPy: arrays are not hashable

    def __init__(self, raw: np.ndarray[Any, Any]) -> None:
        self._a = raw

    # --- what an array says of itself -------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(Extent, self._a.shape))

    @property
    def ndim(self) -> int:
        return self._a.ndim

    @property
    def size(self) -> int:
        return Extent(self._a.size)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return np.dtype(np.float64)

    @property
    def strides(self) -> tuple[int, ...]:
        return self._a.strides  # a pointer is as wide as a float64, so strides mean the same

    @property
    def itemsize(self) -> int:
        return 8

    @property
    def nbytes(self) -> int:
        return 8 * self._a.size

    @property
    def flags(self) -> Any:
        return self._a.flags

    @property
    def T(self) -> BallArray:
        return self if self._a.ndim < 2 else BallArray(self._a.T)

    @property
    def mT(self) -> BallArray:
        return BallArray(self._a.mT)

    @property
    def real(self) -> BallArray:
        return self

    @property
    def imag(self) -> BallArray:
        return self * 0  # type: ignore[no-any-return]

    @property
    def flat(self) -> Flat:
        return Flat(self._a)

    @flat.setter
    def flat(self, value: Any) -> None:
        Flat(self._a)[:] = value

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[BallArray]:
        return map(wrap, iter(self._a))

    def __contains__(self, value: object) -> bool:
        return bool(np.any(self == value))

    def __repr__(self) -> str:
        return f"BallArray({np.frompyfunc(lambda b: b.str(10), 1, 1)(self._a)!s}, shape={self._a.shape})"

    def __format__(self, spec: str) -> str:
        """The radius is always part of the text, so that `float(f"{x:.3f}")` does not lose it."""
        if not spec:
            return repr(self)
        if self._a.ndim:
            raise TypeError("unsupported format string passed to an array")
        ball = self._a.item()
        return f"{format(float(ball.mid()), spec)} +/- {float(ball.rad()):.1e}"

    # --- what a ball refuses ----------------------------------------------------------------------------------------

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        raise refuse("balls were written into, or converted to, a plain NumPy array")

    @property
    def __cuda_array_interface__(self) -> Any:
        """What torch asks for before it takes elements one by one, which would end in an error about lengths."""
        raise refuse("a ball was made a torch tensor")

    def __float__(self) -> float:
        raise refuse("float() of a ball, or a ball written into a plain float array")

    def __complex__(self) -> complex:
        raise refuse("complex() of a ball")

    def __round__(self, digits: int | None = None) -> Any:
        raise refuse("round() of a ball")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise not_certifiable("balls cannot be pickled: they belong to the process that computes with them")

    def __int__(self) -> int:
        """The integer part, where the ball fixes it."""
        return _as_int(trunc(self._a.item()))

    __trunc__ = __int__

    def __bool__(self) -> bool:
        if self._a.size != 1:
            raise ValueError("the truth value of an array with more than one element is ambiguous; use any() or all()")
        return bool((self != 0).item())

    # --- elements ---------------------------------------------------------------------------------------------------

    def _storage(self) -> np.ndarray[Any, Any]:
        """The object array that views of this array may share."""
        return self._a

    def __getitem__(self, index: Any) -> BallArray:
        return wrap(self._a[_checked(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        raw = operand(value)
        if raw is NotImplemented:
            raise not_certifiable(f"cannot write {_described(value)} into an array of balls")
        if not isinstance(raw, np.ndarray):
            self._a[_checked(index)] = arb(raw)
        elif raw.ndim == 0:
            self._a[_checked(index)] = seal(raw).item()
        elif _selects_one(index, self._a.ndim):
            raise ValueError("setting an array element with a sequence")
        else:
            self._a[_checked(index)] = seal(raw)

    def item(self, *index: Any) -> BallArray:
        return wrap(self._a.item(*index))

    def tolist(self) -> Any:
        return wrap(self._a.item()) if self._a.ndim == 0 else [row.tolist() for row in self]

    def fill(self, value: Any) -> None:
        self[...] = value

    # --- operators --------------------------------------------------------------------------------------------------

    def _binary(self, ufunc: np.ufunc, other: Any) -> Any:
        raw = operand(other)
        if raw is NotImplemented:
            return NotImplemented
        return wrap(rounded(ufunc(self._a, raw)) if mode.ulps else ufunc(self._a, raw))

    def _reflected(self, ufunc: np.ufunc, other: Any) -> Any:
        raw = operand(other)
        if raw is NotImplemented:
            return NotImplemented
        return wrap(rounded(ufunc(raw, self._a)) if mode.ulps else ufunc(raw, self._a))

    def _in_place(self, ufunc: np.ufunc, other: Any) -> Any:
        raw = operand(other)
        if raw is NotImplemented:
            return NotImplemented
        ufunc(self._a, raw, out=self._a)
        if mode.ulps:
            self._a[...] = rounded(self._a)
        return self

    def _assigned(self, result: Any) -> Any:
        """For operators that have no ufunc on objects: write the result over this array."""
        if result is NotImplemented:
            return result
        if result._a.shape != self._a.shape:
            raise ValueError(f"operands of shape {self._a.shape} cannot hold a result of shape {result._a.shape}")
        self._a[...] = result._a
        return self

    def __add__(self, other: Any) -> Any:
        return self._binary(np.add, other)

    def __radd__(self, other: Any) -> Any:
        return self._reflected(np.add, other)

    def __iadd__(self, other: Any) -> Any:
        return self._in_place(np.add, other)

    def __sub__(self, other: Any) -> Any:
        return self._binary(np.subtract, other)

    def __rsub__(self, other: Any) -> Any:
        return self._reflected(np.subtract, other)

    def __isub__(self, other: Any) -> Any:
        return self._in_place(np.subtract, other)

    def __mul__(self, other: Any) -> Any:
        return self._binary(np.multiply, other)

    def __rmul__(self, other: Any) -> Any:
        return self._reflected(np.multiply, other)

    def __imul__(self, other: Any) -> Any:
        return self._in_place(np.multiply, other)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(np.true_divide, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._reflected(np.true_divide, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place(np.true_divide, other)

    def __pow__(self, other: Any) -> Any:
        return NotImplemented if operand(other) is NotImplemented else _np.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return NotImplemented if operand(other) is NotImplemented else _np.power(other, self)

    def __ipow__(self, other: Any) -> Any:
        return self._assigned(self**other)

    def __floordiv__(self, other: Any) -> Any:
        return _np.floor(self / other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _np.floor(other / self)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._assigned(self // other)

    def __mod__(self, other: Any) -> Any:
        return self - (self // other) * other

    def __rmod__(self, other: Any) -> Any:
        return other - (other // self) * self

    def __imod__(self, other: Any) -> Any:
        return self._assigned(self % other)

    def __divmod__(self, other: Any) -> Any:
        quotient = self // other
        return quotient, self - quotient * other

    def __rdivmod__(self, other: Any) -> Any:
        quotient = other // self
        return quotient, other - quotient * self

    def __matmul__(self, other: Any) -> Any:
        return _np.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _np.matmul(other, self)

    def __imatmul__(self, other: Any) -> Any:
        return self._assigned(self @ other)

    def __neg__(self) -> BallArray:
        return wrap(-self._a)

    def __pos__(self) -> BallArray:
        return self.copy()

    def __abs__(self) -> Any:
        return _np.absolute(self)

    def _compared(self, relation: str, other: Any) -> Any:
        raw = comparand(other)
        return NotImplemented if raw is NotImplemented else compare(relation, self._a, raw)

    def __eq__(self, other: object) -> Any:
        return self._compared("equal", other)

    def __ne__(self, other: object) -> Any:
        return self._compared("not_equal", other)

    def __lt__(self, other: Any) -> Any:
        return self._compared("less", other)

    def __le__(self, other: Any) -> Any:
        return self._compared("less_equal", other)

    def __gt__(self, other: Any) -> Any:
        return self._compared("greater", other)

    def __ge__(self, other: Any) -> Any:
        return self._compared("greater_equal", other)

    # --- methods ----------------------------------------------------------------------------------------------------

    sum, prod, mean, var, std = map(_method, (np.sum, np.prod, np.mean, np.var, np.std))
    max, min, argmax, argmin = map(_method, (np.max, np.min, np.argmax, np.argmin))
    any, all, nonzero, argsort = map(_method, (np.any, np.all, np.nonzero, np.argsort))
    cumsum, cumprod, trace, dot, clip = map(_method, (np.cumsum, np.cumprod, np.trace, np.dot, np.clip))
    take, repeat, diagonal, put = map(_method, (np.take, np.repeat, np.diagonal, np.put))
    swapaxes, squeeze, ravel = map(_method, (np.swapaxes, np.squeeze, np.ravel))

    def reshape(self, *shape: Any, **kwargs: Any) -> BallArray:
        return BallArray(self._storage().reshape(*shape, **kwargs))

    def transpose(self, *axes: Any) -> BallArray:
        return BallArray(self._storage().transpose(*axes))

    def flatten(self, order: Any = "C") -> BallArray:
        return BallArray(self._a.flatten(order))

    def copy(self, order: Any = "C") -> BallArray:
        return type(self)(self._a.copy(order))

    def __copy__(self) -> BallArray:
        return self.copy()

    def __deepcopy__(self, _: Any) -> BallArray:
        return self.copy()

    def conj(self) -> BallArray:
        return self

    conjugate = conj

    def sort(self, axis: int = -1, **kwargs: Any) -> None:
        self[...] = _np.sort(self, axis=axis, **kwargs)

    def view(self, kind: Any = None) -> BallArray:
        if kind is not None:
            raise not_certifiable(f"view({kind!r}): a ball has no bytes to read as another type")
        return BallArray(self._storage())

    def astype(self, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: Any = True, copy: Any = True) -> Any:
        """float64 and wider: a copy; bool and integers: decided element by element; anything else is refused."""
        target = np.dtype(dtype)
        if is_float64(target):
            return self.copy() if copy else self
        if target.kind == "b":
            return self != 0
        if target.kind not in "iu":
            raise refuse_dtype(target)
        whole = np.frompyfunc(_as_int, 1, 1)(trunc(self._a))
        return np.asarray(whole, dtype=object).astype(target)[()]

    # --- NumPy's protocols ------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from oracles.ball_dispatch import apply_ufunc  # it is built on this module

        return apply_ufunc(ufunc, method, inputs, **kwargs)

    def __array_function__(self, function: Function, types: Any, args: Any, kwargs: Any) -> Any:
        from oracles.ball_dispatch import apply_function  # it is built on this module

        return apply_function(function, args, kwargs)


class BallScalar(BallArray):
    """One ball, 0-d and immutable, as `np.float64` is: `b = a; b += 1` leaves `a` as it was."""

    __slots__ = ()

    def _storage(self) -> np.ndarray[Any, Any]:
        return self._a.copy()

    def __getitem__(self, index: Any) -> BallArray:
        return wrap(self._storage()[_checked(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("a single ball does not support item assignment; it is immutable, as np.float64 is")

    def __pos__(self) -> BallArray:
        return self

    def _in_place(self, ufunc: np.ufunc, other: Any) -> Any:
        return self._binary(ufunc, other)

    def _assigned(self, result: Any) -> Any:
        return result


class Flat:
    """`x.flat`: one-dimensional access, in C order, that writes through to the array."""

    def __init__(self, raw: np.ndarray[Any, Any]) -> None:
        self._a = raw

    def __len__(self) -> int:
        return self._a.size

    def __iter__(self) -> Iterator[BallArray]:
        return map(wrap, self._a.flat)

    def __getitem__(self, index: Any) -> BallArray:
        return wrap(self._a.flat[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        raw = balls(value)._a
        self._a.flat[index] = raw.item() if raw.ndim == 0 else raw


def _as_int(whole: arb) -> int:
    found = whole.unique_fmpz()
    if found is None:
        raise OverflowError(f"cannot convert {whole.str(6)} to an integer")
    return int(found)


def _checked(index: Any) -> Any:
    """An index without balls in it. NumPy's own error for floats as indices would speak of objects."""
    if isinstance(index, BallArray) or (isinstance(index, tuple) and any(isinstance(i, BallArray) for i in index)):
        raise IndexError("only integers, slices and masks are valid indices; a ball came (make an int() of it)")
    return index


def _selects_one(index: Any, ndim: int) -> bool:
    indices = index if isinstance(index, tuple) else (index,)
    return len(indices) == ndim and all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in indices)
