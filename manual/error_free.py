"""Twice the digits of float64 where they are needed: error-free sums and products, and functions of such pairs.

A `Pair` holds what float64 computes (`high`) and, to first order, what it lost on the way (`low`). In real
arithmetic every `low` is exactly zero, so a formula in pairs is the plain formula, to the last digit. That also
rules out tables, series and rounded constants: exp and sin are refined by their own doubling and tripling formulas.

Sources: D. E. Knuth, TAOCP 2, 4.2.2 (`two_sum`); T. J. Dekker, "A floating-point technique for extending the
available precision", Numer. Math. 18, 1971 (`two_product`, with Veltkamp's splitting); T. Ogita, S. M. Rump and
S. Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26, 2005 (carrying the errors along).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from manual._arguments import Array

SPLITTER = 2**27 + 1
HUGE = 2.0**1000

HALVINGS, DOUBLINGS = 36, 15
"""For e^x, x is halved 36 times. Of the doublings back up the last 15 need pairs: each gains about one bit."""

THIRDS, TRIPLINGS = 25, 8
"""For sin x, x is cut in three 25 times, and of the triplings back up the last 8 need pairs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The unevaluated sum high + low. Arithmetic follows `high` in float64 and gathers its errors in `low`."""

    high: Array
    low: Array | float = 0.0

    __array_ufunc__ = None  # so that array * pair asks Pair.__rmul__ instead of making an array of objects

    @property
    def value(self) -> Array:
        """The sum, rounded once."""
        return self.high + self.low

    def __add__(self, other: Pair | Array | float) -> Pair:
        other = _pair(other)
        total = two_sum(self.high, other.high)
        return Pair(total.high, total.low + (self.low + other.low))

    def __mul__(self, other: Pair | Array | float) -> Pair:
        other = _pair(other)
        product = two_product(self.high, other.high)
        return Pair(product.high, product.low + (self.high * other.low + self.low * other.high))

    def __truediv__(self, other: Pair | Array | float) -> Pair:
        other = _pair(other)
        quotient = self.high / other.high
        back = two_product(quotient, other.high)
        remainder = (self.high - back.high - back.low) + (self.low - quotient * other.low)
        return Pair(quotient, remainder / other.high)

    def __neg__(self) -> Pair:
        return Pair(-self.high, -self.low)

    def __sub__(self, other: Pair | Array | float) -> Pair:
        return self + (-other)

    def __rsub__(self, other: Array | float) -> Pair:
        return -self + other

    def __rtruediv__(self, other: Array | float) -> Pair:
        return _pair(other) / self

    __radd__ = __add__
    __rmul__ = __mul__


def _pair(value: Pair | Array | float) -> Pair:
    return value if isinstance(value, Pair) else Pair(cast(Array, value))


def two_sum(a: Array, b: Array) -> Pair:
    """a + b without any error."""
    high = a + b
    b_part = high - a
    return Pair(high, (a - (high - b_part)) + (b - b_part))


def two_product(a: Array, b: Array) -> Pair:
    """a * b without any error, unless it underflows or an operand exceeds 2^996."""
    high = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return Pair(high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2)


def _halves(a: Array) -> tuple[Array, Array]:
    """Two summands of at most 26 bits each, so that their products are exact."""
    shifted = SPLITTER * a
    upper = shifted - (shifted - a)
    return upper, a - upper


def exp(x: Pair) -> Pair:
    """e^x; HUGE in place of infinity, whose differences would make NaN of later sums' errors.

    Refined up to |x| = 8: below -8 the error of e^x itself is as small as that of the refinement.
    """
    high = np.exp(x.high)
    finite = np.isfinite(high)
    high, slope = np.where(finite, high, HUGE), np.where(finite, high, 0.0)
    return _refined(x, high, slope, _exp, bound=8)


def sigmoid(x: Pair) -> Pair:
    """1 / (1 + e^-x), refined up to |x| = 64."""
    high = 1 / (1 + np.exp(-x.high))
    return _refined(x, high, high * (1 - high), _sigmoid, bound=64)


def tanh(x: Pair) -> Pair:
    """The hyperbolic tangent, refined up to |x| = 32."""
    high = np.tanh(x.high)
    return _refined(x, high, 1 - high * high, _tanh, bound=32)


def sin(x: Pair) -> Pair:
    """The sine, refined up to |x| = 1024."""
    return _refined(x, np.sin(x.high), np.cos(x.high), _sin, bound=1024)


def _refined(x: Pair, high: Array, slope: Array, accurate: Callable[[Array], Pair], bound: float) -> Pair:
    """f(x) from NumPy's `high` = f(x.high) and `slope` = f'(x.high); `accurate` is f for arguments below `bound`."""
    inside = np.abs(x.high) < bound
    better = accurate(np.where(inside, x.high, 0.0))
    error = (better.high - high) + better.low
    return Pair(high, np.where(inside, error, 0.0) + slope * x.low)


def _exp(x: Array) -> Pair:
    return _expm1(x) + 1


def _sigmoid(x: Array) -> Pair:
    return _pair(1.0) / (_expm1(-x) + 2)


def _tanh(x: Array) -> Pair:
    m = _expm1(2 * x)
    return m / (m + 2)


def _expm1(x: Array) -> Pair:
    """e^x - 1 for |x| up to 64, by doubling: m = e^x - 1 becomes e^2x - 1 = m (m + 2)."""
    x = x * 2.0**-HALVINGS
    half = np.sinh(x / 2)
    rest = (np.sinh(x) - x) + 2 * half * half  # e^x - 1 - x, in floats because sinh x = x (1 + x² / 6) rounds to x
    for _ in range(HALVINGS - DOUBLINGS):
        rest = 2 * rest + (x + rest) * (x + rest)
        x = 2 * x
    m = two_sum(x, rest)  # x is exact, so the error is that of the rest, which is 2^-10 x or less
    for _ in range(DOUBLINGS):
        m = m * (m + 2)
    return m


def _sin(x: Array) -> Pair:
    """sin x for |x| up to 1024, by tripling: sin 3x = sin x (3 - 4 sin² x)."""
    third = x / 3**THIRDS
    rest = np.sin(third) - third  # sin - third, in floats because sin x = x (1 - x² / 6) rounds to x
    for n in reversed(range(TRIPLINGS, THIRDS)):
        sine = third + rest
        rest = 3 * rest - 4 * sine * sine * sine
        third = x / 3**n
    s: Pair = _pair(x) / 3**TRIPLINGS + rest
    for _ in range(TRIPLINGS):
        double = s + s
        s = s * (3 - double * double)
    return s
