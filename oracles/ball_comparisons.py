"""Decisions on balls: comparisons, signs and roundings. Each is proved by the balls, or refused.

Everything here takes and returns raw operands: object arrays of `arb`, or single ones.

Two elements that are the same `arb` object are the same real number, since every operation makes a new object. That
decides `x == np.max(x)`, where `max` hands out the winner itself.

A literal such as 0.1 counts as the decimal, which is not the float nearest to it. Where a float stands at that very
place, as x = 0.1 does in `x > 0.1`, decimals would decide otherwise than floats do; so there the literal is the float.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, ctx

from oracles.ball_mode import mode, undecidable
from oracles.errors import UndecidedComparisonError

Raw = Any
"""An object ndarray of `arb`, or one number that arithmetic on `arb` takes exactly."""


class Literal(arb):
    """A decimal of the source, not yet computed with: arithmetic makes a plain ball of it."""

    nearest: float
    """The float that Python makes of it."""

    @classmethod
    def of(cls, decimal: arb, nearest: float) -> Literal:
        made = cls(decimal)
        made.nearest = nearest
        return made

    def __neg__(self) -> Literal:
        return Literal.of(arb.__neg__(self), -self.nearest)

    def facing(self, other: arb) -> arb:
        """What stands for the literal where it is compared with `other`: the float if that is the same to the last bit.

        What overlaps the decimal was computed from decimals too, and its order is open.
        """
        if type(other) is Literal or mode.by_midpoint:
            return arb(self.nearest if ctx.prec > _FLOAT32_BITS else float(np.float32(self.nearest)))
        is_close = not self.overlaps(other) and abs(other - self) <= abs(self) * _LAST_BIT
        return arb(self.nearest) if is_close else self


_FLOAT32_BITS = 24
_LAST_BIT = 2.0**-52


def _faced(value: Raw, by: Raw) -> Raw:
    """Elementwise what stands for `value` before `by`, if it is one literal."""
    return np.frompyfunc(value.facing, 1, 1)(by) if type(value) is Literal else value


RELATIONS: dict[str, tuple[np.ufunc, np.ufunc, bool]] = {
    # relation: (certainly so, certainly not so, its answer for one and the same number)
    "equal": (np.equal, np.not_equal, True),
    "not_equal": (np.not_equal, np.equal, False),
    "less": (np.less, np.greater_equal, False),
    "less_equal": (np.less_equal, np.greater, True),
    "greater": (np.greater, np.less_equal, False),
    "greater_equal": (np.greater_equal, np.less, True),
}

_COMPUTED_TWICE = "; what is computed twice is not known to be the same, so compute it once, as z in z == z.max()"
_ADVICE = dict.fromkeys(RELATIONS, "") | dict.fromkeys(("equal", "not_equal"), _COMPUTED_TWICE)

as_arb = np.frompyfunc(lambda v: v if isinstance(v, arb) else arb(v), 1, 1)
_same = np.frompyfunc(lambda a, b: a is b and not a.is_nan(), 2, 1)
_midpoint = np.frompyfunc(arb.mid, 1, 1)
_is_none = np.frompyfunc(lambda v: v is None, 1, 1)


def _mask(values: Raw) -> np.ndarray[Any, Any]:
    return np.asarray(values, dtype=bool)


def compare(relation: str, a: Raw, b: Raw) -> Any:
    """Elementwise relation of two operands: bool or bool array. Raises if any element is undecided."""
    so, not_so, if_same = RELATIONS[relation]
    a, b = as_arb(a), as_arb(b)
    if type(a) is Literal or type(b) is Literal:
        a, b = _faced(a, b), _faced(b, a)
    yes = _mask(so(a, b))
    decided = yes | _mask(not_so(a, b))
    if not decided.all():
        same = _mask(_same(a, b))
        yes, decided = (yes & ~same) | (same & if_same), decided | same
    if not decided.all():
        if not mode.by_midpoint:
            left, right = np.broadcast_arrays(np.asarray(a, dtype=object), np.asarray(b, dtype=object))
            sign = relation.replace("_", " ")
            raise undecided(
                lambda i: f"{left[i].str(6)} {sign} {right[i].str(6)}",
                ~decided,
                f"the balls overlap{_ADVICE[relation]}",
            )
        yes = (yes & decided) | (~decided & _mask(so(_midpoint(a), _midpoint(b))))
    return yes if yes.ndim else np.bool_(yes.item())


def undecided(
    text: Callable[[tuple[int, ...]], str], is_open: np.ndarray[Any, Any], why: str
) -> UndecidedComparisonError:
    """The error that names the first open element, where it is, and how many there are."""
    first = tuple(int(i) for i in np.argwhere(is_open)[0])
    place = f" at index {first}" if first else ""
    count = f"{int(is_open.sum())} of {is_open.size} comparisons open"
    return undecidable(f"{text(first)}{place} cannot be decided: {why} ({count})")


# --- elementwise decisions ------------------------------------------------------------------------------------------


def deciding(decide: Callable[[arb], Any], what: str) -> Callable[[Raw], Raw]:
    """An elementwise function from one that returns None where a ball does not fix the result.

    By midpoint, what is open is decided for the midpoint instead.
    """
    attempt = np.frompyfunc(decide, 1, 1)

    def elementwise(balls: Raw) -> Raw:
        found = attempt(balls)
        is_open = _mask(_is_none(found))
        if not is_open.any():
            return found
        if mode.by_midpoint:
            return np.where(is_open, attempt(_midpoint(balls)), found)[()]
        all_balls = np.asarray(balls, dtype=object)
        raise undecided(lambda i: f"{what} of {all_balls[i].str(6)}", is_open, "the ball does not fix it")

    return elementwise


def _sign(ball: arb) -> arb | None:
    found = ball.sgn()
    return found if found.is_exact() else None


def _whole(rounding: Callable[[arb], arb | None]) -> Callable[[arb], arb | None]:
    def rounded(ball: arb) -> arb | None:
        if not ball.is_finite():
            return ball if ball.is_exact() else None
        found = rounding(ball)
        return found if found is not None and found.is_exact() else None

    return rounded


def _towards_zero(ball: arb) -> arb:
    if abs(ball) < 1:
        return arb(0)
    return ball.floor() if ball >= 0 else ball.ceil()


def _half_to_even(ball: arb) -> arb | None:
    low, high = (ball - arb(0.5)).ceil(), (ball + arb(0.5)).floor()
    if not (low.is_exact() and high.is_exact()):
        return None
    return high if low == high or (high / 2).is_integer() else low  # they differ for an exact half


sign = deciding(_sign, "the sign")
floor = deciding(_whole(arb.floor), "floor")
ceil = deciding(_whole(arb.ceil), "ceil")
trunc = deciding(_whole(_towards_zero), "trunc")
rint = deciding(_whole(_half_to_even), "rint")


def _known(answer: Callable[[arb], bool], of_finite: bool) -> Callable[[arb], bool | None]:
    """A question about balls that are not finite. Where the radius is not, the ball may stand for anything."""

    def known(ball: arb) -> bool | None:
        if ball.is_finite():
            return of_finite
        return answer(ball) if ball.is_exact() or mode.by_midpoint else None

    return known


is_finite = deciding(_known(lambda _: False, of_finite=True), "finiteness")
is_infinite = deciding(_known(lambda ball: not ball.is_nan(), of_finite=False), "infinity")
is_nan = deciding(_known(lambda ball: ball.is_nan(), of_finite=False), "whether it is a number")


# --- the larger and the smaller of two ------------------------------------------------------------------------------


def larger(a: arb, b: arb) -> arb:
    """max(a, b): the winner itself where it is certain (so that it is recognised as equal to it), else an enclosure."""
    if type(a) is Literal or type(b) is Literal:
        a, b = _faced(a, b), _faced(b, a)
    if a is b or a >= b:
        return a
    return b if b >= a else a.max(b)


def smaller(a: arb, b: arb) -> arb:
    """min(a, b), as `larger`."""
    if type(a) is Literal or type(b) is Literal:
        a, b = _faced(a, b), _faced(b, a)
    if a is b or a <= b:
        return a
    return b if b <= a else a.min(b)


def first_largest(row: np.ndarray[Any, Any], relation: str = "greater") -> int:
    """Index of the first largest of a row of balls (smallest for "less"). Raises unless it is certain."""
    beats = operator.gt if relation == "greater" else operator.lt
    midpoints = _midpoint(row)
    best = 0
    for i in range(1, len(row)):
        if beats(midpoints[i], midpoints[best]):
            best = i
    if not mode.by_midpoint:
        # The answers are known from the midpoints; what counts is that compare() raises where the balls overlap.
        loses = "less" if relation == "greater" else "greater"
        compare(loses, row[:best], row[best])
        compare(f"{loses}_equal", row[best:], row[best])
    return best


def sorted_order(row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The stable order of a row of balls. Raises unless it is certain."""
    order = np.argsort(_midpoint(row), kind="stable")
    if not mode.by_midpoint:
        compare("less_equal", row[order[:-1]], row[order[1:]])
    return order
