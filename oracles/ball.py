"""Ball arithmetic for NumPy code: an array of Arb balls that the subject's own Python runs on unchanged.

A ball is a midpoint and a radius that provably encloses a real number (Johansson, "Arb", IEEE Trans. Computers 66,
2017); python-flint's `arb` is its scalar. `BallArray` makes arrays of them behave as float64 arrays do.

Why a duck array and not an `ndarray` of objects or a subclass of it: both were tried on real layer code. NumPy fills a
float64 buffer from an object array by calling `float()` on each element, in C, with no hook, so a ball written into a
forgotten buffer would silently lose its radius. A duck array is asked first (`__array__`) and refuses. The elements can
then be bare `arb` objects, which keeps the cost near 0.1 us for an addition instead of the 0.5 us of a Python class.

Values are enclosures throughout: `maximum` of two overlapping balls encloses both outcomes. Decisions are not: a
comparison that the balls leave open raises `UndecidedComparisonError`. Two elements that are the same `arb` object are
the same real number, which is what lets `x == np.max(x)` be decided.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import arb
from numpy import array as _array
from numpy import asarray as _asarray
from numpy import broadcast_arrays as _broadcast_arrays
from numpy import empty as _empty
from numpy import frexp as _frexp
from numpy import frompyfunc as _frompyfunc
from numpy import ndarray as _ndarray

from oracles.errors import NotCertifiableError, UndecidedComparisonError

# NumPy's attributes are replaced while a subject runs on balls, so what this module calls at run time is imported by
# name above; `np.` is for tables built at import and for types.

Raw = Any  # an object ndarray of arb, or one number that arb arithmetic takes exactly
Function = Callable[..., Any]


@dataclass
class Mode:
    """How balls behave at the moment; `oracles.subject.on_balls` sets it."""

    ulps: float = 0.0
    """Extra error, in units of 2^-52, given to every transcendental result: the error of a float library."""
    by_midpoint: bool = False
    """Decide open comparisons by the midpoints, as a float would. Never used for a proof."""
    widened: bool = False
    """Give such numbers the radius of their rounding, to see how far it could carry."""
    rounded: list[str] = field(default_factory=list)
    """Numbers with a full mantissa that met a ball: constants that float64 arithmetic may already have rounded."""


mode = Mode()


def _is_short(value: float) -> bool:
    """Whether a float has at most 24 significant bits: written down as it is, not the result of a rounding."""
    return not math.isfinite(value) or (math.frexp(value)[0] * 2.0**24).is_integer()


def _note_float(value: float) -> None:
    if not _is_short(value) and len(mode.rounded) < 100:
        mode.rounded.append(repr(value))


def _note_floats(values: np.ndarray[Any, Any]) -> None:
    mantissa = _frexp(values)[0] * 2.0**24
    odd = values[(mantissa != np.rint(mantissa)) & np.isfinite(values)]
    if odd.size and len(mode.rounded) < 100:
        mode.rounded.append(repr(float(odd.flat[0])))


def _widen(value: float) -> arb:
    return arb(value) if _is_short(value) else arb(value, abs(value) * 2.0**-52)


def operand(value: object) -> Raw:
    """What object-array arithmetic can combine with balls, exactly; `NotImplemented` for anything else."""
    kind = type(value)
    if kind is BallArray:
        return value._a  # type: ignore[attr-defined]
    if kind is float:
        _note_float(value)  # type: ignore[arg-type]
        return _widen(value) if mode.widened else arb(value)  # type: ignore[arg-type]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, np.generic):
        return operand(value.item()) if value.dtype.kind in "biuf" else NotImplemented
    if isinstance(value, _ndarray):
        if value.dtype.kind == "f":
            _note_floats(value)
            return _frompyfunc(_widen, 1, 1)(value) if mode.widened else value.astype(object)
        if value.dtype.kind in "biu":
            return value.astype(object)
        return seal(value) if value.dtype == object else NotImplemented
    if isinstance(value, float):
        return operand(float(value))
    if isinstance(value, list | tuple):
        return from_nested(value)._a
    return value if kind is arb else NotImplemented


def seal(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An object array with every element an `arb`: what the structural NumPy functions may have mixed in is lifted."""
    flat = values.ravel().tolist()
    if set(map(type, flat)) <= {arb}:
        return values
    sealed = _empty(len(flat), dtype=object)
    for i, element in enumerate(flat):
        sealed[i] = element if type(element) is arb else _scalar(element)
    return sealed.reshape(values.shape)


def _scalar(element: object) -> arb:
    raw = operand(element)
    if isinstance(raw, _ndarray):
        raw = raw.item() if raw.size == 1 else NotImplemented
    if raw is NotImplemented:
        raise NotCertifiableError(f"cannot put {type(element).__name__} {element!r} into an array of balls")
    return arb(raw)


def wrap(raw: Raw) -> BallArray:
    """A `BallArray` around an object ndarray of arb (not copied) or around one number."""
    if isinstance(raw, _ndarray):
        return BallArray(raw)
    zero_d = _empty((), dtype=object)
    zero_d[()] = raw if type(raw) is arb else arb(raw)
    return BallArray(zero_d)


def lift(values: object) -> BallArray:
    """Exact balls for floats, integers, arrays or nested lists of them; a `BallArray` is returned as it is."""
    if isinstance(values, BallArray):
        return values
    numbers = _asarray(values)
    if numbers.dtype.kind not in "biuf":
        raise NotCertifiableError(f"cannot lift dtype {numbers.dtype} to balls: expected real numbers")
    lifted = _empty(numbers.size, dtype=object)
    lifted[:] = [arb(v) for v in numbers.ravel().tolist()]
    return BallArray(lifted.reshape(numbers.shape))


def balls(value: object) -> BallArray:
    """Balls from what a subject computed: as `lift`, but plain floats are noted as numbers it may have rounded."""
    raw = operand(value)
    if raw is NotImplemented:
        raise NotCertifiableError(f"expected real numbers or balls, got {type(value).__name__}")
    return wrap(seal(raw) if isinstance(raw, _ndarray) else raw)


def from_nested(values: Sequence[object]) -> BallArray:
    """A `BallArray` from nested sequences that hold balls, plain numbers and arrays."""
    if any(isinstance(v, list | tuple | BallArray | _ndarray) for v in values):
        parts = [from_nested(v) if isinstance(v, list | tuple) else balls(v) for v in values]
        shapes = {part.shape for part in parts}
        if len(shapes) != 1:
            raise ValueError(f"cannot make one array of pieces of shapes {sorted(shapes)}")
        stacked = _empty((len(parts), *shapes.pop()), dtype=object)
        for i, part in enumerate(parts):
            stacked[i] = part._a[()] if part.ndim == 0 else part._a
        return BallArray(seal(stacked))
    row = _empty(len(values), dtype=object)
    for i, value in enumerate(values):
        row[i] = _scalar(value)
    return BallArray(row)


class Extent(int):
    """A length of a ball array. An `int` whose quotients and roots are balls, so `1 / N` is not rounded to a float."""

    def __truediv__(self, other: object) -> Any:
        return wrap(arb(int(self))) / other

    def __rtruediv__(self, other: object) -> Any:
        return other / wrap(arb(int(self)))

    def __mul__(self, other: object) -> Any:
        return Extent(int(self) * other) if isinstance(other, int) else NotImplemented

    __rmul__ = __mul__

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        if isinstance(other, int) and other >= 0:
            return Extent(pow(int(self), int(other), modulus))
        return wrap(arb(int(self))) ** other


def _refuse(what: str) -> NotCertifiableError:
    return NotCertifiableError(f"{what}: the radius of the ball would be lost without a trace")


class BallArray:
    """An array of balls that reads as float64. Indexing gives views, as in NumPy; scalars are 0-d and immutable."""

    __slots__ = ("_a",)
    __hash__ = None  # type: ignore[assignment]

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
        return BallArray(self._a.T)

    mT = property(lambda self: BallArray(self._a.mT))
    real = property(lambda self: self)
    flat = property(lambda self: iter(self.ravel()))

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[BallArray]:
        return (wrap(part) for part in self._a)

    def __repr__(self) -> str:
        return f"BallArray({_frompyfunc(lambda b: b.str(10), 1, 1)(self._a)!s}, shape={self._a.shape})"

    def __format__(self, spec: str) -> str:
        return format(float(self._a.item().mid()), spec) if self._a.ndim == 0 and spec else repr(self)

    # --- what a ball refuses ----------------------------------------------------------------------------------------

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        raise _refuse("balls were written into, or converted to, a plain NumPy array")

    def __float__(self) -> float:
        raise _refuse("float() of a ball")

    def __complex__(self) -> complex:
        raise _refuse("complex() of a ball")

    def __int__(self) -> int:
        """The integer part, where both ends of the ball agree on it."""
        ball = self._a.item()
        towards_zero = ball.floor() if ball >= 0 else ball.ceil()
        whole = towards_zero.unique_fmpz()
        if whole is None:
            raise UndecidedComparisonError(f"int() of {ball.str(10)}: the ball does not fix the integer part")
        return int(whole)

    __trunc__ = __int__

    def __bool__(self) -> bool:
        if self._a.size != 1:
            raise ValueError("the truth value of an array with more than one element is ambiguous; use any() or all()")
        return bool((self != 0).item())

    # --- elements ---------------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> BallArray:
        return wrap(self._a[_index(index)])

    def __setitem__(self, index: Any, value: object) -> None:
        raw = operand(value)
        if raw is NotImplemented:
            raise NotCertifiableError(f"cannot write {type(value).__name__} into an array of balls")
        if isinstance(raw, _ndarray):
            self._a[_index(index)] = raw.item() if raw.ndim == 0 else seal(raw)
        else:
            self._a[_index(index)] = arb(raw)

    def item(self, *index: Any) -> BallArray:
        return wrap(self._a.item(*index))

    def tolist(self) -> Any:
        return self if self.ndim == 0 else [row.tolist() for row in self]

    def fill(self, value: object) -> None:
        self[...] = value

    # --- operators --------------------------------------------------------------------------------------------------

    def _binary(self, ufunc: np.ufunc, other: object, swapped: bool = False) -> Any:
        raw = operand(other)
        if raw is NotImplemented:
            return NotImplemented
        return wrap(ufunc(raw, self._a) if swapped else ufunc(self._a, raw))

    def _in_place(self, result: Any) -> Any:
        if result is NotImplemented or self._a.ndim == 0:
            return result
        self._a[...] = result._a
        return self

    def __add__(self, other: object) -> Any:
        return self._binary(_add, other)

    def __radd__(self, other: object) -> Any:
        return self._binary(_add, other, swapped=True)

    def __sub__(self, other: object) -> Any:
        return self._binary(_subtract, other)

    def __rsub__(self, other: object) -> Any:
        return self._binary(_subtract, other, swapped=True)

    def __mul__(self, other: object) -> Any:
        return self._binary(_multiply, other)

    def __rmul__(self, other: object) -> Any:
        return self._binary(_multiply, other, swapped=True)

    def __truediv__(self, other: object) -> Any:
        return self._binary(_divide, other)

    def __rtruediv__(self, other: object) -> Any:
        return self._binary(_divide, other, swapped=True)

    def __pow__(self, other: object) -> Any:
        return NotImplemented if operand(other) is NotImplemented else np.power(self, other)  # type: ignore[call-overload]

    def __rpow__(self, other: object) -> Any:
        return NotImplemented if operand(other) is NotImplemented else np.power(other, self)  # type: ignore[call-overload]

    def __floordiv__(self, other: object) -> Any:
        return np.floor(self / other)

    def __rfloordiv__(self, other: object) -> Any:
        return np.floor(other / self)  # type: ignore[operator]

    def __mod__(self, other: object) -> Any:
        return self - (self // other) * other

    def __rmod__(self, other: object) -> Any:
        return other - (other // self) * self  # type: ignore[operator]

    def __matmul__(self, other: object) -> Any:
        return np.matmul(self, other)  # type: ignore[call-overload]

    def __rmatmul__(self, other: object) -> Any:
        return np.matmul(other, self)  # type: ignore[call-overload]

    def __iadd__(self, other: object) -> Any:
        return self._in_place(self + other)

    def __isub__(self, other: object) -> Any:
        return self._in_place(self - other)

    def __imul__(self, other: object) -> Any:
        return self._in_place(self * other)

    def __itruediv__(self, other: object) -> Any:
        return self._in_place(self / other)

    def __ipow__(self, other: object) -> Any:
        return self._in_place(self**other)

    def __neg__(self) -> BallArray:
        return wrap(-self._a)

    def __pos__(self) -> BallArray:
        return self.copy()

    def __abs__(self) -> BallArray:
        return np.absolute(self)  # type: ignore[call-overload, no-any-return]

    def __round__(self, digits: int | None = None) -> Any:
        raise _refuse("round() of a ball")

    def __eq__(self, other: object) -> Any:
        return self._compared("equal", other)

    def __ne__(self, other: object) -> Any:
        return self._compared("not_equal", other)

    def __lt__(self, other: object) -> Any:
        return self._compared("less", other)

    def __le__(self, other: object) -> Any:
        return self._compared("less_equal", other)

    def __gt__(self, other: object) -> Any:
        return self._compared("greater", other)

    def __ge__(self, other: object) -> Any:
        return self._compared("greater_equal", other)

    def _compared(self, relation: str, other: object) -> Any:
        raw = operand(other)
        return NotImplemented if raw is NotImplemented else compare(relation, self._a, raw)

    # --- methods: each is the NumPy function of that name, so there is one implementation ---------------------------

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return np.sum(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)  # type: ignore[call-overload]

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return np.prod(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)  # type: ignore[call-overload]

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return np.mean(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)  # type: ignore[call-overload]

    def var(self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        return np.var(self, axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)  # type: ignore[call-overload]

    def std(self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        return np.std(self, axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)  # type: ignore[call-overload]

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return np.max(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore[call-overload]

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return np.min(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore[call-overload]

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        return np.argmax(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore[call-overload]

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        return np.argmin(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore[call-overload]

    def argsort(self, axis: Any = -1, **_: Any) -> Any:
        return np.argsort(self, axis=axis)  # type: ignore[call-overload]

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return np.cumsum(self, axis=axis, dtype=dtype, out=out)  # type: ignore[call-overload]

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return np.cumprod(self, axis=axis, dtype=dtype, out=out)  # type: ignore[call-overload]

    def dot(self, other: object) -> Any:
        return np.dot(self, other)  # type: ignore[call-overload]

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Any:
        return np.clip(self, min, max, out=out)  # type: ignore[call-overload]

    def take(self, indices: Any, axis: Any = None) -> Any:
        return np.take(self, indices, axis=axis)  # type: ignore[call-overload]

    def trace(self, *args: Any, **kwargs: Any) -> Any:
        return wrap(self._a.trace(*args, **kwargs))

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return (self != 0).any(axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return (self != 0).all(axis=axis, keepdims=keepdims)

    def nonzero(self) -> Any:
        return (self != 0).nonzero()

    def reshape(self, *shape: Any, order: Any = "C", copy: bool | None = None) -> BallArray:
        return wrap(self._a.reshape(*shape, order=order))

    def transpose(self, *axes: Any) -> BallArray:
        return BallArray(self._a.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> BallArray:
        return BallArray(self._a.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> BallArray:
        return BallArray(self._a.squeeze(axis))

    def ravel(self, order: Any = "C") -> BallArray:
        return BallArray(self._a.ravel(order))

    def flatten(self, order: Any = "C") -> BallArray:
        return BallArray(self._a.flatten(order))

    def diagonal(self, *args: Any, **kwargs: Any) -> BallArray:
        return BallArray(self._a.diagonal(*args, **kwargs))

    def repeat(self, repeats: Any, axis: Any = None) -> BallArray:
        return BallArray(self._a.repeat(repeats, axis))

    def copy(self, order: Any = "C") -> BallArray:
        return BallArray(self._a.copy(order))

    def conj(self) -> BallArray:
        return self

    conjugate = conj

    def __copy__(self) -> BallArray:
        return self.copy()

    def __deepcopy__(self, _: Any) -> BallArray:
        return self.copy()

    def view(self, kind: Any = None) -> BallArray:
        if kind is not None:
            raise NotCertifiableError(f"view({kind!r}): a ball has no bytes to read as another type")
        return BallArray(self._a)

    def astype(self, dtype: Any, *_: Any, **__: Any) -> Any:
        """float64 and wider: a copy; bool and integers: decided element by element; anything narrower is refused."""
        target = np.dtype(dtype)
        if target == object or (target.kind == "f" and target.itemsize >= 8):
            return self.copy()
        if target.kind == "b":
            return self != 0
        if target.kind in "iu":
            return _frompyfunc(lambda ball: int(wrap(ball)), 1, 1)(self._a).astype(target)
        raise refuse_dtype(target)

    # --- NumPy's protocols ------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, **kwargs)

    def __array_function__(self, function: Function, types: Any, args: Any, kwargs: Any) -> Any:
        implementation = FUNCTIONS.get(function)
        if implementation is None:
            name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"
            raise NotCertifiableError(f"{name} has no version for balls")
        return implementation(*args, **kwargs)


FUNCTIONS: dict[Function, Function] = {}
"""NumPy function -> its version for balls; filled by `oracles.ball_functions`."""


def _index(index: Any) -> Any:
    """Indices as NumPy takes them; integer-valued balls (from lifted arithmetic) become integers."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, BallArray):
        raise IndexError("only integers, slices and masks are valid indices; a ball came (cast it with int())")
    return index


def refuse_dtype(dtype: np.dtype[Any]) -> NotCertifiableError:
    return NotCertifiableError(
        f"dtype {dtype}: balls stand for float64 code; values cast to {dtype} are rounded to fewer digits than that"
    )


def require_float64(dtype: Any) -> None:
    """Refuse a dtype argument that would round what it is given."""
    if dtype is not None and np.dtype(dtype) != object and np.dtype(dtype) != np.float64:
        raise refuse_dtype(np.dtype(dtype))


# --- comparisons ----------------------------------------------------------------------------------------------------

_add, _subtract, _multiply, _divide = np.add, np.subtract, np.multiply, np.true_divide
_RELATIONS: dict[str, tuple[np.ufunc, np.ufunc, bool]] = {
    # relation: (certainly so, certainly not so, its answer for one and the same number)
    "equal": (np.equal, np.not_equal, True),
    "not_equal": (np.not_equal, np.equal, False),
    "less": (np.less, np.greater_equal, False),
    "less_equal": (np.less_equal, np.greater, True),
    "greater": (np.greater, np.less_equal, False),
    "greater_equal": (np.greater_equal, np.less, True),
}
_same = _frompyfunc(operator.is_, 2, 1)
_midpoint = _frompyfunc(lambda ball: ball.mid(), 1, 1)
_as_arb = _frompyfunc(lambda v: v if type(v) is arb else arb(v), 1, 1)


def compare(relation: str, a: Raw, b: Raw) -> Any:
    """Elementwise relation of two raw operands: bool or bool array. Raises if any element is undecided."""
    so, not_so, if_same = _RELATIONS[relation]
    a, b = _as_arb(a), _as_arb(b)
    yes = _asarray(so(a, b), dtype=bool)
    decided = yes | _asarray(not_so(a, b), dtype=bool)
    if not decided.all():
        same = _asarray(_same(a, b), dtype=bool)
        yes, decided = (yes & ~same) | (same & if_same), decided | same
    if not decided.all():
        if not mode.by_midpoint:
            raise _undecided(relation, a, b, decided)
        yes = (yes & decided) | (~decided & _asarray(so(_midpoint(a), _midpoint(b)), dtype=bool))
    return yes if yes.ndim else np.bool_(yes.item())


def _undecided(relation: str, a: Raw, b: Raw, decided: np.ndarray[Any, Any]) -> UndecidedComparisonError:
    left, right = (_empty(decided.shape, dtype=object) for _ in range(2))
    left[...], right[...] = a, b
    first = tuple(int(i) for i in _array(np.nonzero(~decided))[:, 0]) if decided.ndim else ()
    place = f" at index {first}" if first else ""
    return UndecidedComparisonError(
        f"{left[first].str(6)} {relation.replace('_', ' ')} {right[first].str(6)}{place} cannot be decided: the balls "
        f"overlap ({int((~decided).sum())} of {decided.size} comparisons open)"
    )


def larger(a: arb, b: arb) -> arb:
    """max(a, b): the winner itself where it is certain (so that it is recognised as equal to it), else an enclosure."""
    if a >= b:
        return a
    return b if b >= a else a.max(b)


def smaller(a: arb, b: arb) -> arb:
    """min(a, b), as `larger`."""
    if a <= b:
        return a
    return b if b <= a else a.min(b)


def _sign(ball: arb) -> arb:
    sign = ball.sgn()
    if not sign.is_exact() and mode.by_midpoint:
        return ball.mid().sgn()
    if not sign.is_exact():
        raise UndecidedComparisonError(f"the sign of {ball.str(6)} cannot be decided")
    return sign


def _whole(rounding: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """A rounding to integers, which is a decision: the ball must fix the result."""

    def rounded(ball: arb) -> arb:
        whole = rounding(ball)
        if whole.is_exact():
            return whole
        if mode.by_midpoint:
            return rounding(ball.mid())
        raise UndecidedComparisonError(f"rounding {ball.str(6)} to an integer cannot be decided")

    return rounded


def _round_half_even(ball: arb) -> arb:
    return ball if ball.is_integer() else _nearest(ball)


def _nearest(ball: arb) -> arb:
    low, high = (ball - arb(0.5)).ceil(), (ball + arb(0.5)).floor()
    return high if high == low or not (ball * 2).is_integer() else (high if (high / 2).is_integer() else low)


# --- ufuncs ---------------------------------------------------------------------------------------------------------

Elementwise = Callable[..., Any]

EXACT: dict[np.ufunc, Elementwise] = {
    # Computed by Arb's field operations, or by decisions: no library function behind them.
    np.add: np.add,
    np.subtract: np.subtract,
    np.multiply: np.multiply,
    np.true_divide: np.true_divide,
    np.negative: np.negative,
    np.positive: np.positive,
    np.square: _frompyfunc(lambda b: b * b if b.is_exact() else b**2, 1, 1),
    np.reciprocal: _frompyfunc(lambda b: 1 / b, 1, 1),
    np.sqrt: _frompyfunc(arb.sqrt, 1, 1),
    np.absolute: _frompyfunc(abs, 1, 1),
    np.fabs: _frompyfunc(abs, 1, 1),
    np.maximum: _frompyfunc(larger, 2, 1),
    np.fmax: _frompyfunc(larger, 2, 1),
    np.minimum: _frompyfunc(smaller, 2, 1),
    np.fmin: _frompyfunc(smaller, 2, 1),
    np.sign: _frompyfunc(_sign, 1, 1),
    np.heaviside: _frompyfunc(lambda b, at_zero: at_zero if (s := _sign(b)) == 0 else (s + 1) / 2, 2, 1),
    np.floor: _frompyfunc(_whole(arb.floor), 1, 1),
    np.ceil: _frompyfunc(_whole(arb.ceil), 1, 1),
    np.trunc: _frompyfunc(_whole(lambda b: b.floor() if b >= 0 else b.ceil()), 1, 1),
    np.rint: _frompyfunc(_whole(_round_half_even), 1, 1),
    np.conjugate: np.positive,
}

_LOG2, _LOG10 = (lambda b: b.log() / arb(2).log()), (lambda b: b.log() / arb(10).log())
TRANSCENDENTAL: dict[np.ufunc, Elementwise] = {
    np.exp: _frompyfunc(arb.exp, 1, 1),
    np.exp2: _frompyfunc(lambda b: arb(2) ** b, 1, 1),
    np.expm1: _frompyfunc(arb.expm1, 1, 1),
    np.log: _frompyfunc(arb.log, 1, 1),
    np.log2: _frompyfunc(_LOG2, 1, 1),
    np.log10: _frompyfunc(_LOG10, 1, 1),
    np.log1p: _frompyfunc(arb.log1p, 1, 1),
    np.cbrt: _frompyfunc(lambda b: b.root(3) if b >= 0 else -((-b).root(3)), 1, 1),
    np.sin: _frompyfunc(arb.sin, 1, 1),
    np.cos: _frompyfunc(arb.cos, 1, 1),
    np.tan: _frompyfunc(arb.tan, 1, 1),
    np.arcsin: _frompyfunc(arb.asin, 1, 1),
    np.arccos: _frompyfunc(arb.acos, 1, 1),
    np.arctan: _frompyfunc(arb.atan, 1, 1),
    np.arctan2: _frompyfunc(lambda y, x: arb.atan2(y, x), 2, 1),
    np.sinh: _frompyfunc(arb.sinh, 1, 1),
    np.cosh: _frompyfunc(arb.cosh, 1, 1),
    np.tanh: _frompyfunc(arb.tanh, 1, 1),
    np.arcsinh: _frompyfunc(arb.asinh, 1, 1),
    np.arccosh: _frompyfunc(arb.acosh, 1, 1),
    np.arctanh: _frompyfunc(arb.atanh, 1, 1),
    np.power: np.power,
    np.float_power: np.power,
    np.logaddexp: _frompyfunc(lambda a, b: larger(a, b) + (-abs(a - b)).exp().log1p(), 2, 1),
    np.hypot: _frompyfunc(lambda a, b: (a**2 + b**2).sqrt(), 2, 1),
}

_TESTS: dict[np.ufunc, Callable[[arb], bool]] = {
    np.isfinite: lambda b: bool(b.is_finite()),
    np.isnan: lambda b: bool(b.is_nan()),
    np.isinf: lambda b: not b.is_finite() and not b.is_nan(),
    np.signbit: lambda b: bool(b < 0),
    np.logical_not: lambda b: not bool(wrap(b)),
}


def _evaluate(ufunc: np.ufunc, raw: Sequence[Raw]) -> Any:
    if ufunc in EXACT:
        # frompyfunc hands plain numbers through, so operands that are not yet balls become balls first.
        ready = (
            raw if ufunc.nin == 1 or ufunc in (np.add, np.subtract, np.multiply, np.true_divide) else map(_as_arb, raw)
        )
        return wrap(EXACT[ufunc](*ready))
    if ufunc in TRANSCENDENTAL:
        result = TRANSCENDENTAL[ufunc](*map(_as_arb, raw))
        integer_power = ufunc is np.power and isinstance(raw[1], int) and abs(raw[1]) <= 3
        return wrap(result * arb(1, mode.ulps * 2.0**-52) if mode.ulps and not integer_power else result)
    if ufunc.__name__ in _RELATIONS:
        return compare(ufunc.__name__, *raw)
    if ufunc in _TESTS:
        return _asarray(_frompyfunc(_TESTS[ufunc], 1, 1)(*raw), dtype=bool)
    if ufunc in (np.logical_and, np.logical_or, np.logical_xor):
        return ufunc(*(compare("not_equal", r, 0) for r in raw))
    if ufunc is np.floor_divide:
        return balls(raw[0]) // balls(raw[1])
    if ufunc is np.remainder:
        return balls(raw[0]) % balls(raw[1])
    if ufunc is np.matmul:
        return FUNCTIONS[np.matmul](*map(balls, raw))
    raise NotCertifiableError(f"the ufunc {ufunc.__name__} has no version for balls")


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
    """A ufunc (or its reduce, accumulate, outer, at) on balls; see numpy.ufunc for the arguments."""
    require_float64(dtype)
    if method == "at":
        return _apply_at(ufunc, *inputs)
    raw = [operand(value) for value in inputs]
    for value, lifted in zip(inputs, raw, strict=True):
        if lifted is NotImplemented:
            if isinstance(value, (_ndarray, np.generic)):
                raise NotCertifiableError(f"{ufunc.__name__} of balls and dtype {value.dtype}")
            return NotImplemented
    if method == "__call__":
        if kwargs.keys() - {"casting", "order", "subok"}:
            raise NotCertifiableError(f"{ufunc.__name__} with {sorted(kwargs)} has no version for balls")
        result = _evaluate(ufunc, raw)
    elif method == "outer":
        first, second = (_asarray(r, dtype=object) for r in raw)
        return _evaluate(ufunc, [first.reshape(first.shape + (1,) * second.ndim), second])
    elif method in ("reduce", "accumulate") and (ufunc, method) in REDUCTIONS:
        result = REDUCTIONS[ufunc, method](balls(raw[0]), **{"axis": 0, **kwargs})
    else:
        raise NotCertifiableError(f"{ufunc.__name__}.{method} has no version for balls")
    return _deliver(result, out, where)


REDUCTIONS: dict[tuple[np.ufunc, str], Function] = {}
"""(ufunc, method) -> implementation; filled by `oracles.ball_functions`."""


def _deliver(result: Any, out: Any, where: Any) -> Any:
    """Hand a result over as NumPy does: into `out` if there is one, and only where `where` is true."""
    target = out[0] if isinstance(out, tuple) else out
    if target is None:
        if where is not True:
            raise NotCertifiableError("where= without out= leaves the other elements undefined")
        return result
    if not isinstance(target, BallArray):
        if isinstance(result, BallArray):
            raise _refuse(f"balls were written into a plain {target.dtype} array")
        target[...] = result
        return target
    result = _broadcast_arrays(result._a, target._a)[0]
    if where is True:
        target._a[...] = result
    else:
        target._a[where] = result[where]
    return target


def _apply_at(ufunc: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    if not isinstance(target, BallArray):
        raise _refuse(f"balls were added into a plain {target.dtype} array")
    if ufunc not in (np.add, np.subtract, np.multiply, np.true_divide, np.negative):
        raise NotCertifiableError(f"{ufunc.__name__}.at has no version for balls")
    ufunc.at(target._a, _index(index), *(seal(_asarray(operand(v), dtype=object)) for v in values))


from oracles import ball_functions as _ball_functions  # noqa: E402, F401  (fills FUNCTIONS and REDUCTIONS)
