"""Sums and products of float64 whose rounding errors are kept: a `Pair` is the unevaluated sum high + low.

In real arithmetic every `low` is zero, so a formula in pairs is the plain formula, to the last digit. In float64 a
sum, difference or product of two pairs is right to 2^-104 or so of its terms (of |a| + |b|, or of |a b|).

Sources: D. E. Knuth, TAOCP 2, section 4.2.2 (`two_sum`); T. J. Dekker, "A floating-point technique for extending the
available precision", Numer. Math. 18, 1971 (`two_product`, with Veltkamp's splitting); T. Ogita, S. M. Rump and
S. Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26, 2005 (carrying the errors along).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from manual._arguments import Array

SPLITTER = 2**27 + 1


@dataclass(frozen=True, slots=True)
class Pair:
    """The unevaluated sum high + low, of one shape. Arithmetic gathers the errors of `high` in `low`."""

    high: Array
    low: Array | float = 0.0

    __array_ufunc__ = None  # so that array * pair asks Pair.__rmul__ instead of making an array of objects

    @property
    def value(self) -> Array:
        """The sum, rounded once."""
        return self.high + self.low

    def __add__(self, other: Pair | Array | float) -> Pair:
        b = _pair(other)
        total = two_sum(self.high, b.high)
        return Pair(total.high, total.low + (self.low + b.low))

    def __sub__(self, other: Pair | Array | float) -> Pair:
        return self + -other

    def __mul__(self, other: Pair | Array | float) -> Pair:
        b = _pair(other)
        product = two_product(self.high, b.high)
        return Pair(product.high, product.low + (self.high * b.low + self.low * b.high))

    def __neg__(self) -> Pair:
        return Pair(-self.high, -self.low)

    def __rsub__(self, other: Array | float) -> Pair:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__


def _pair(value: Pair | Array | float) -> Pair:
    return value if isinstance(value, Pair) else Pair(cast(Array, value))


def two_sum(a: Array, b: Array | float) -> Pair:
    """a + b without any error, unless it overflows."""
    high = a + b
    b_part = high - a
    return Pair(high, (a - (high - b_part)) + (b - b_part))


def two_product(a: Array, b: Array | float) -> Pair:
    """a * b without any error, for operands up to 2^996 and products that are 0 or between 2^-968 and 2^1020."""
    high = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return Pair(high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2)


def _halves(a: Array | float) -> tuple[Array | float, Array | float]:
    """Two summands of at most 26 bits each, so that their products are exact."""
    shifted = SPLITTER * a
    upper = shifted - (shifted - a)
    return upper, a - upper
