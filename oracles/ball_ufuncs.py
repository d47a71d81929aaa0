"""NumPy's ufuncs on balls: what each does to object arrays of `arb`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flint import arb

from oracles import ball_comparisons as decide
from oracles.ball import BallArray, Raw, balls, wrap
from oracles.ball_comparisons import RELATIONS, as_arb, compare, larger, smaller
from oracles.ball_mode import mode, not_certifiable
from oracles.ball_rounding import library_error, rounded

Elementwise = Callable[..., Raw]
ARITHMETIC = (np.add, np.subtract, np.multiply, np.true_divide)
_ROUNDED = (*ARITHMETIC, np.square, np.reciprocal, np.sqrt)
_SIMPLE_POWERS = (-1, 0, 1, 2)
"""Powers that NumPy computes by one operation."""


def _elementwise(function: Callable[..., Any], nin: int = 1) -> Elementwise:
    applied: Elementwise = np.frompyfunc(function, nin, 1)
    return applied


def _heaviside(ball: Raw, at_zero: Raw) -> Raw:
    sign = decide.sign(ball)
    return _choose_heaviside(sign, at_zero)


def _copysign(size: Raw, of: Raw) -> Raw:
    return abs(size) * np.where(compare("less", of, 0), -1, 1)[()]


def _power(base: arb, exponent: arb) -> arb:
    """base^exponent. Arb's own power is nan for balls whose midpoint is exactly 0, and wide where a square is not."""
    if not (exponent.is_integer() and base.contains(0)) or base.is_exact():
        return base**exponent
    if exponent < 0:
        return 1 / _power(base, -exponent)
    if exponent == 0:
        return arb(1)
    reach = base.abs_upper() ** exponent
    if (exponent / 2).is_integer() and not mode.by_midpoint:  # else a zero that was rounded would be a positive number
        return (reach * arb(0.5, 0.5)).nonnegative_part()
    return base**exponent if base.mid() != 0 else reach * arb(0, 1)


_TWO = arb(2)
_choose_heaviside = _elementwise(lambda sign, at_zero: at_zero if sign == 0 else (sign + 1) / 2, 2)

EXACT: dict[np.ufunc, Elementwise] = {
    # Computed by Arb's field operations, or by decisions: no library function behind them.
    np.add: np.add,
    np.subtract: np.subtract,
    np.multiply: np.multiply,
    np.true_divide: np.true_divide,
    np.negative: np.negative,
    np.positive: np.positive,
    np.conjugate: np.positive,
    np.square: _elementwise(lambda b: _power(b, _TWO)),
    np.reciprocal: _elementwise(lambda b: 1 / b),
    np.sqrt: _elementwise(arb.sqrt),
    np.absolute: _elementwise(abs),
    np.fabs: _elementwise(abs),
    np.maximum: _elementwise(larger, 2),
    np.fmax: _elementwise(larger, 2),
    np.minimum: _elementwise(smaller, 2),
    np.fmin: _elementwise(smaller, 2),
    np.sign: decide.sign,
    np.heaviside: _heaviside,
    np.copysign: _copysign,
    np.floor: decide.floor,
    np.ceil: decide.ceil,
    np.trunc: decide.trunc,
    np.rint: decide.rint,
}


def _cube_root(ball: arb) -> arb:
    return ball.root(3) if ball >= 0 else -((-ball).root(3))


def _log2(ball: arb) -> arb:
    """Exact for powers of two, so that `int(math.log2(8))` is decided."""
    if ball.is_exact() and ball > 0 and ball.is_finite():
        mantissa, exponent = ball.man_exp()
        if mantissa == 1:
            return arb(exponent)
    return ball.log() / arb(2).log()


def _log10(ball: arb) -> arb:
    """Exact for powers of ten from 1 upwards."""
    whole = ball.unique_fmpz() if ball.is_integer() and ball > 0 else None
    if whole is not None and whole == 10 ** (len(str(whole)) - 1):
        return arb(len(str(whole)) - 1)
    return ball.log() / arb.const_log10()


def _logaddexp(a: arb, b: arb) -> arb:
    if a == b and not a.is_finite():
        return a  # as in NumPy: the difference of two infinities is no number
    excess = (-abs(a - b)).exp().log1p()
    return larger(a, b) + (excess * library_error() if mode.ulps else excess)


def _degrees(radians: arb) -> arb:
    return radians * 180 / arb.pi()


def _radians(degrees: arb) -> arb:
    return degrees * arb.pi() / 180


TRANSCENDENTAL: dict[np.ufunc, Elementwise] = {
    np.exp: _elementwise(arb.exp),
    np.exp2: _elementwise(lambda b: arb(2) ** b),
    np.expm1: _elementwise(arb.expm1),
    np.log: _elementwise(arb.log),
    np.log2: _elementwise(_log2),
    np.log10: _elementwise(_log10),
    np.log1p: _elementwise(arb.log1p),
    np.cbrt: _elementwise(_cube_root),
    np.sin: _elementwise(arb.sin),
    np.cos: _elementwise(arb.cos),
    np.tan: _elementwise(arb.tan),
    np.arcsin: _elementwise(arb.asin),
    np.arccos: _elementwise(arb.acos),
    np.arctan: _elementwise(arb.atan),
    np.arctan2: _elementwise(lambda y, x: arb.atan2(y, x), 2),
    np.sinh: _elementwise(arb.sinh),
    np.cosh: _elementwise(arb.cosh),
    np.tanh: _elementwise(arb.tanh),
    np.arcsinh: _elementwise(arb.asinh),
    np.arccosh: _elementwise(arb.acosh),
    np.arctanh: _elementwise(arb.atanh),
    np.degrees: _elementwise(_degrees),
    np.rad2deg: _elementwise(_degrees),
    np.radians: _elementwise(_radians),
    np.deg2rad: _elementwise(_radians),
    np.power: _elementwise(_power, 2),
    np.float_power: _elementwise(_power, 2),
    np.logaddexp: _elementwise(_logaddexp, 2),
    np.hypot: _elementwise(lambda a, b: (_power(a, _TWO) + _power(b, _TWO)).sqrt(), 2),
}

TESTS: dict[np.ufunc, Callable[..., Any]] = {
    np.isfinite: decide.is_finite,
    np.isinf: decide.is_infinite,
    np.isnan: decide.is_nan,
    np.signbit: lambda raw: compare("less", raw, 0),
    np.logical_not: lambda raw: compare("equal", raw, 0),
    np.logical_and: lambda a, b: np.logical_and(compare("not_equal", a, 0), compare("not_equal", b, 0)),
    np.logical_or: lambda a, b: np.logical_or(compare("not_equal", a, 0), compare("not_equal", b, 0)),
    np.logical_xor: lambda a, b: np.logical_xor(compare("not_equal", a, 0), compare("not_equal", b, 0)),
    **{getattr(np, name): (lambda a, b, name=name: compare(name, a, b)) for name in RELATIONS},
}
"""Ufuncs whose results are plain booleans."""


def _fmod(x: BallArray, y: BallArray) -> Any:
    quotient: Any = np.trunc(x / y)
    return x - quotient * y


COMPOSED: dict[np.ufunc, Callable[..., Any]] = {
    # On ball arrays, by other operations.
    np.floor_divide: lambda x, y: x // y,
    np.remainder: lambda x, y: x % y,
    np.divmod: divmod,
    np.fmod: _fmod,
}


def evaluate(ufunc: np.ufunc, raw: Sequence[Raw]) -> Any:
    """A ufunc on raw operands. Operands of arithmetic may hold plain numbers beside balls, if one of them is a ball."""
    if ufunc in EXACT:
        result = EXACT[ufunc](*(raw if ufunc in ARITHMETIC else map(as_arb, raw)))
        return wrap(rounded(result) if mode.ulps and ufunc in _ROUNDED else result)
    if ufunc in TRANSCENDENTAL:
        result = TRANSCENDENTAL[ufunc](*map(as_arb, raw))
        if mode.ulps:
            is_simple = ufunc is np.power and isinstance(raw[1], int | float) and raw[1] in _SIMPLE_POWERS
            result = rounded(result) if is_simple else result * library_error()
        return wrap(result)
    if ufunc in TESTS:
        found = np.asarray(TESTS[ufunc](*raw), dtype=bool)
        return found if found.ndim else np.bool_(found.item())
    if ufunc in COMPOSED:
        return COMPOSED[ufunc](*map(balls, raw))
    raise not_certifiable(f"the ufunc {ufunc.__name__} has no version for balls")
