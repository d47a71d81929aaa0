"""Arithmetic on balls is that of fractions, enclosed: at every point of the operands, with hardly a bit to spare.

Here is also what the other laws are tried with: `holds` and `breaks`, and rational numbers as the truth.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from oracles.ball import BallArray, Extent, mode, wrap

Number = Any
Strategy = st.SearchStrategy[Any]
PRECISIONS = (24, 53, 128)
TRUTH = 512
"""Bits, for exact sums of a few floats and for balls that are far narrower than any other."""
SEEDS = st.integers(0, 2**32 - 1)


# --- trying a law -----------------------------------------------------------------------------------------------------

LAW = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no defect of a strategy
)


def _tried(law: Callable[..., None], arguments: dict[str, Strategy]) -> Callable[[], None]:
    """The law for hypothesis, under one name: what it chooses without a random seed depends on the source it sees."""

    def trial(**chosen: Any) -> None:
        law(**chosen)

    return given(**arguments)(trial)


def holds(law: Callable[..., None], examples: int, **arguments: Strategy) -> None:
    """Try a law on arguments that hypothesis chooses. A failure shows the smallest ones that it finds."""
    settings(LAW, max_examples=examples)(_tried(law, arguments))()


def breaks(law: Callable[..., None], message: str, **arguments: Strategy) -> None:
    """Try a law that has to fail, and with this message. Nobody waits for the smallest arguments."""
    with pytest.raises(AssertionError, match=message):
        settings(LAW, phases=[Phase.generate], report_multiple_bugs=False)(_tried(law, arguments))()


def test_a_law_that_holds_does_not_break_and_the_reverse() -> None:
    tried: list[list[int]] = []

    def below(bound: int) -> Callable[[int], None]:
        tried.append([])

        def law(n: int) -> None:
            tried[-1].append(n)
            assert n < bound, f"{n} is too large"

        return law

    for _ in range(2):
        holds(below(100), 20, n=st.integers(0, 99))
    assert tried[0] == tried[1]
    assert 10 < len(set(tried[0])) <= 20
    breaks(below(50), "too large", n=st.integers(0, 99))
    with pytest.raises(AssertionError, match="50 is too large"):
        holds(below(50), 20, n=st.integers(0, 99))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        breaks(below(100), "too large", n=st.integers(0, 99))


# --- rational numbers as NumPy's objects ------------------------------------------------------------------------------


class Exact(Fraction):
    """A rational that takes a float for the number it is, with the methods that NumPy's ufuncs ask of objects."""

    def rint(self) -> Exact:
        return Exact(round(Fraction(self)))

    def fabs(self) -> Exact:
        return abs(self)

    def fmod(self, other: Number) -> Exact:
        return Exact(self - math.trunc(self / other) * other)

    def __pow__(self, other: Number) -> Exact:  # type: ignore[override]
        if not isinstance(other, int):
            raise TypeError("not a rational number")
        return Exact(Fraction.__pow__(self, other))

    def __rpow__(self, other: Number) -> Exact:  # type: ignore[override]
        raise TypeError("not a rational number")

    def __neg__(self) -> Exact:
        return Exact(Fraction.__neg__(self))

    def __abs__(self) -> Exact:
        return Exact(Fraction.__abs__(self))


def _exactly(name: str) -> Callable[[Exact, Number], Number]:
    of_fractions = getattr(Fraction, name)

    def method(self: Exact, other: Number) -> Number:
        found = of_fractions(self, Fraction(other) if isinstance(other, float) else other)
        return Exact(found) if isinstance(found, Fraction | int) else found

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod"):
    for _dunder in (f"__{_name}__", f"__r{_name}__"):
        setattr(Exact, _dunder, _exactly(_dunder))


def rational(ball: arb) -> Fraction:
    """An exact ball as a fraction: a midpoint, a radius."""
    mantissa, exponent = (int(part) for part in ball.man_exp())
    return Fraction(mantissa << exponent) if exponent >= 0 else Fraction(mantissa, 1 << -exponent)


def ball_of(value: Number) -> arb:
    """A ball of `TRUTH` bits around a number: exact for sums of a few floats."""
    with ctx.workprec(TRUTH):
        if isinstance(value, Fraction):
            return arb(fmpq(value.numerator, value.denominator))
        return arb(value.item() if isinstance(value, np.generic) else value)


# --- balls ------------------------------------------------------------------------------------------------------------


@contextmanager
def arithmetic(precision: int, **of_mode: Any) -> Iterator[None]:
    """Balls of so many bits, with settings of the mode. What is not finite raises no warning."""
    before = dict(vars(mode))
    with ctx.workprec(precision), np.errstate(all="ignore"):
        vars(mode).update(of_mode)
        try:
            yield
        finally:
            vars(mode).update(before)


def encloses(ball: arb, true: arb) -> bool:
    """Whether all of `true` is in a ball. One that is not finite may stand for anything."""
    return not ball.is_finite() or bool(ball.contains(true))


def changed(result: Any, change: Callable[[arb], arb]) -> Any:
    """A result of any structure with each of its finite balls changed."""
    if isinstance(result, list | tuple):
        return type(result)(changed(part, change) for part in result)
    if not isinstance(result, BallArray | arb):
        return result
    raw = np.atleast_1d(np.asarray(result._a if isinstance(result, BallArray) else result, dtype=object))
    with ctx.workprec(TRUTH):
        return BallArray(np.frompyfunc(lambda b: change(b) if b.is_finite() else b, 1, 1)(raw))


def without_radius(ball: arb) -> arb:
    return ball.mid()


# --- sums, differences, products and quotients ------------------------------------------------------------------------

Operator = Callable[[Any, Any], Any]
FIELD: dict[str, Operator] = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
NUMBERS = st.floats(-(2.0**30), 2.0**30, allow_subnormal=False) | st.integers(-9, 9).map(float)
RADII = st.just(0.0) | st.integers(-40, 80).map(lambda k: 2.0**-k)
SHARES = st.fractions(-1, 1, max_denominator=12)
OPERANDS: dict[str, Strategy] = {
    "middles": st.tuples(NUMBERS, NUMBERS),
    "radii": st.tuples(RADII, RADII),
    "shares": st.tuples(SHARES, SHARES),
    "precision": st.sampled_from(PRECISIONS),
}
Pair = tuple[Any, Any]


def is_that_of_fractions(
    symbol: str, operation: Operator, middles: Pair, radii: Pair, shares: Pair, precision: int
) -> None:
    """(a ± r) o (b ± s) encloses x o y for each x and y in them, and is hardly wider than it must be."""
    x, y = (Fraction(m) + Fraction(r) * share for m, r, share in zip(middles, radii, shares, strict=True))
    assume(symbol != "/" or y != 0)
    true, spread = ball_of(FIELD[symbol](x, y)), least_radius(symbol, middles, radii)
    with arithmetic(precision):
        found = {kind: value._a.item() for kind, value in on_operands(operation, middles, radii)}
    for kind, ball in found.items():
        assert encloses(ball, true), f"{kind}: {ball} does not enclose {x} {symbol} {y}"
        if spread is not None:
            assert ball.is_finite(), f"{kind}: nothing is known"
            most = spread * Fraction(65, 64) + (abs(rational(ball.mid())) + spread) * Fraction(4, 2**precision)
            assert rational(ball.rad()) <= most, f"{kind}: {ball} is too wide"


def on_operands(operation: Operator, middles: Pair, radii: Pair) -> Iterator[tuple[str, Any]]:
    """The operation on balls, in arrays, and with plain numbers for operands that are exact."""
    (a, b), (r, s) = middles, radii
    first, second = wrap(arb(a, r)), wrap(arb(b, s))
    yield "balls", operation(first, second)
    yield "arrays", operation(BallArray(np.array([arb(a, r)] * 2, dtype=object)), second)[1]
    if s == 0:
        yield "a float", operation(first, b)
        yield "a NumPy float", operation(first, np.float64(b))
        yield "an array of floats", operation(first, np.array([b]))[0]
    if r == 0:
        yield "a float first", operation(a, second)
        yield "an array of floats first", operation(np.array([a]), second)[0]
        if a.is_integer():
            yield "an integer first", operation(int(a), second)


def least_radius(symbol: str, middles: Pair, radii: Pair) -> Fraction | None:
    """What arithmetic with midpoints and radii needs, if nothing is rounded. None for a divisor that may be near 0."""
    (a, b), (r, s) = (tuple(abs(Fraction(v)) for v in pair) for pair in (middles, radii))
    if symbol == "/":
        return (a * s + b * r) / (b * (b - s)) if b > 2 * s else None
    return a * s + b * r + r * s if symbol == "*" else r + s


@pytest.mark.parametrize("symbol", FIELD)
def test_arithmetic_is_that_of_fractions(symbol: str) -> None:
    holds(lambda **given_: is_that_of_fractions(symbol, FIELD[symbol], **given_), 60, **OPERANDS)


@pytest.mark.parametrize("symbol", FIELD)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(without_radius, "does not enclose", id="radius-dropped"),
        pytest.param(lambda b: arb(b.mid(), b.rad() * (1 - 2.0**-8)), "does not enclose", id="radius-rounded-inward"),
        pytest.param(lambda b: arb(b.mid(), b.rad() * 8 + 1), "too wide", id="radius-too-wide"),
        pytest.param(lambda b: arb(b.mid(), np.inf), "nothing is known", id="radius-infinite"),
    ],
)
def test_arithmetic_that_is_not_is_noticed(symbol: str, change: Callable[[arb], arb], message: str) -> None:
    def broken(a: Any, b: Any) -> Any:
        return changed(FIELD[symbol](a, b), change)

    breaks(lambda **given_: is_that_of_fractions(symbol, broken, **given_), message, **OPERANDS)


# --- lengths ----------------------------------------------------------------------------------------------------------

LENGTHS: dict[str, Callable[[Any, int], Any]] = {
    "__truediv__": lambda n, m: n / m,
    "__rtruediv__": lambda n, m: m / n,
    "__pow__": lambda n, m: n**-m,
    "__mul__": lambda n, m: n * m / (m + 1),
    "__rmul__": lambda n, m: m * n / (m + 1),
    "__floordiv__": lambda n, m: (n // m) / (m + 1),
    "__rfloordiv__": lambda n, m: (m // n) / (m + 1),
}
COUNTS: dict[str, Strategy] = {
    "n": st.integers(1, 40),
    "m": st.integers(1, 40),
    "precision": st.sampled_from(PRECISIONS),
}


def is_exact_quotient(name: str, length: Callable[[int], Any], n: int, m: int, precision: int) -> None:
    """Quotients of lengths are those of fractions but for the last bits in use."""
    with arithmetic(precision):
        found = LENGTHS[name](length(n), m)
    true = Fraction(LENGTHS[name](Exact(n), m))
    assert isinstance(found, BallArray), f"{name} makes a rounded {type(found).__name__}"
    ball = found._a.item()
    assert encloses(ball, ball_of(true)), f"{ball} does not enclose {true}"
    assert rational(ball.rad()) <= true * Fraction(16, 2**precision), f"{ball} is too wide"


@pytest.mark.parametrize("name", LENGTHS)
def test_quotients_of_lengths_are_those_of_fractions(name: str) -> None:
    holds(lambda **given_: is_exact_quotient(name, Extent, **given_), 40, **COUNTS)
    breaks(lambda **given_: is_exact_quotient(name, int, **given_), "rounded", **COUNTS)


def test_every_operation_on_lengths_is_among_them() -> None:
    assert set(LENGTHS) == {name for name, value in vars(Extent).items() if name.startswith("__") and callable(value)}
