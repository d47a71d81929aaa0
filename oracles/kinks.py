"""Points where the derivative is a set: ReLU at 0, a tie in max.

Beside such a point the function is smooth, so the gradient is certified there, on many sides, by the same mean value
argument on segments that do not touch the point. At the point itself the gradient must lie in the hull of these
one-sided derivatives; which element of it a subject takes is its convention. The hull is tested entry by entry, and in
the sums and differences of two entries: giving the whole gradient to each of two tied maxima is in the first hull, but
not in the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from flint import arb

from oracles.ball import larger, lift, smaller
from oracles.errors import UndecidedComparisonError
from oracles.evaluation import Evaluation, Layout, gradient_at, hull, rounding_excuse, value_at
from oracles.magnitude import log2_upper
from oracles.subject import on_balls
from oracles.trial import Array, Trial

PRECISION = 1024
_DISTANCE, _LENGTH = -300, -20
"""log2 of how far beside the point a segment begins, and of its length relative to that: short, so that the order of
two coordinates that were tied at the point is decided all along it."""
_SLACK = -128
"""log2 of what the hull is widened by, relative to the largest entry: the sides are not quite at the point."""
_DOMINANCE = 2.0**24
"""How much the leading coordinates of a side outweigh the others."""
_FEW = 32
"""Up to this many coordinates each leads two sides at once; beyond, only those that seem to be outside the hull."""
_ROUNDS = 16
"""How often sides are added for entries that seem to be outside the hull; two looks at each are enough to say so."""
_ROUNDED_SLACK = -50
"""The same where the subject uses numbers that floats have rounded."""


@dataclass(frozen=True)
class Kink:
    """An entry whose one-sided derivatives differ at a point."""

    parameter: str
    index: tuple[int, ...]
    sample: tuple[int, ...]
    low: float
    high: float
    value: float

    @property
    def convention(self) -> str:
        """Where in the hull the subject puts its value."""
        if self.value in (self.low, self.high):
            nearer = min(self.low, self.high, key=abs)
            return "the smaller one-sided derivative" if self.value == nearer else "the larger one-sided derivative"
        return "the midpoint" if 2 * self.value == self.low + self.high else "between the one-sided derivatives"

    def __str__(self) -> str:
        entry = f"{self.parameter}[{', '.join(map(str, self.index))}]" if self.index else self.parameter
        sample = f" at sample {', '.join(map(str, self.sample))}" if self.sample else ""
        return f"{entry}{sample}: {self.value:.17g} in [{self.low:.17g}, {self.high:.17g}], {self.convention}"


@dataclass(frozen=True)
class Outside:
    """A value that is certainly not in the hull: of one entry, or of the sum or difference of two."""

    columns: tuple[int, ...]
    sign: int
    value: arb
    low: arb
    high: arb


@dataclass(frozen=True)
class Findings:
    """What was found around a point."""

    digits: float
    """Worst certified digits beside the point, relative to the largest term of each segment's product."""
    kinks: tuple[Kink, ...] = ()
    wrong_beside: Evaluation | None = None
    """The first segment on which the gradient was proved wrong."""
    outside: tuple[Outside, ...] = ()
    at_point: Array = field(default_factory=lambda: np.empty(0, dtype=object))
    """The gradient at the point itself, (N n,) balls, where nothing is wrong."""
    beside: tuple[tuple[int, arb, arb], ...] = ()
    """(column, claimed, true) of single entries that are wrong on that segment."""


def examine(trial: Trial, layout: Layout, random: np.random.Generator, literals: bool) -> Findings:
    """Certify a trial beside its point and compare its gradient at the point with the hull.

    Raises UndecidedComparisonError if the sides, or the point itself, leave comparisons open.
    """
    shape = (layout.samples, layout.entries)
    leaders: list[tuple[int, ...]] = [(c,) for c in range(shape[1])] if shape[1] <= _FEW else []
    leaders += [()] * (8 if leaders else 32)
    led = {column for leading in leaders for column in leading}
    around: list[Array] = []
    outside: list[Outside] = []
    digits = np.inf
    with on_balls(trial.subject, PRECISION, literals=literals) as run:
        point = [lift(p)._a for p in trial.parameters]
        at_point = layout.flat(gradient_at(trial, point)).ravel()
        around_enough = False
        for round_ in range(_ROUNDS):
            for side in _sides(shape, leaders, layout, random):
                segment = _segment(trial, layout, point, side, side)
                if _is_wrong(trial, layout, segment, run.rounded, literals):
                    return Findings(0.0, wrong_beside=segment, beside=tuple(_single(trial, layout, point, side)))
                digits = min(digits, float(np.min(_relative_digits(segment))))
                around.append(segment.claimed.ravel())
            hulls = _Hulls(np.stack(around), _ROUNDED_SLACK if run.rounded else _SLACK)
            outside = list(hulls.missing(at_point))
            # A side may not have been seen yet: look from there before anything is said.
            unseen = [miss for miss in outside if not led.issuperset(c % shape[1] for c in miss.columns)]
            if not outside or (around_enough := not unseen and round_ > 1):
                break
            leaders = [tuple(c % shape[1] for c in miss.columns) for miss in (unseen or outside)[: 2 * _FEW]] * 2
            led |= {column for leading in leaders for column in leading}
        if outside and not around_enough:
            raise UndecidedComparisonError(f"{len(outside)} entries are tied in more ways than can be tried")
        kinks = tuple(hulls.kinks(layout, at_point))
    return Findings(digits, kinks, None, tuple(outside), at_point)


def _is_wrong(trial: Trial, layout: Layout, segment: Evaluation, rounded: Sequence[str], literals: bool) -> bool:
    """Whether a segment proves the gradient wrong, rounded constants aside."""
    if not segment.disjoint.any() or not rounded:
        return bool(segment.disjoint.any())
    excuse = rounding_excuse(trial, layout, segment, PRECISION, literals)
    gap = segment.quotient - segment.product
    return any(d and bool(abs(g) > e) for d, g, e in zip(segment.disjoint, gap, excuse, strict=True))


def _single(trial: Trial, layout: Layout, point: list[Array], side: Array) -> Iterator[tuple[int, arb, arb]]:
    """(column, claimed, true) of the entries that are wrong on their own beside the point, among the first few."""
    for column in range(min(layout.entries, 2 * _FEW)):
        move = side * (np.arange(layout.entries) == column)
        segment = _segment(trial, layout, point, side, move)
        for row in np.flatnonzero(segment.disjoint)[:1]:
            true = segment.quotient[row] / float(move[row, column])
            yield column, segment.claimed[row, column], true


def _sides(
    shape: tuple[int, int], leaders: Sequence[tuple[int, ...]], layout: Layout, random: np.random.Generator
) -> Iterator[Array]:
    for leading in leaders:
        side = random.uniform(1, 2, shape) * random.choice([-1.0, 1.0], shape)
        side[:, list(leading)] *= _DOMINANCE
        if layout.shared_columns.any():
            side[:, layout.shared_columns] = side[0, layout.shared_columns]
        yield side
        yield -side


def _segment(trial: Trial, layout: Layout, point: list[Array], side: Array, move: Array) -> Evaluation:
    """Q and G along `move`, on a segment that begins beside the point in the direction of `side`."""
    begin, length = arb(2) ** _DISTANCE, arb(2) ** (_DISTANCE + _LENGTH)
    moves = layout.split(side.astype(object) * begin)
    further = layout.split(move.astype(object) * length)
    near = [p + m for p, m in zip(point, moves, strict=True)]
    far = [p + m for p, m in zip(near, further, strict=True)]
    claimed = layout.flat(gradient_at(trial, [hull(a, b) for a, b in zip(near, far, strict=True)]))
    quotient = (value_at(trial, layout, far) - value_at(trial, layout, near)) / length
    product = np.sum(claimed * move.astype(object), axis=1) + arb(0)
    return Evaluation(quotient, product, claimed, move, ())


def _relative_digits(segment: Evaluation) -> Array:
    """Digits of Q and G . d against the largest term of the product, or against 1 where every term is less."""
    terms = log2_upper(segment.claimed) + np.log2(np.abs(segment.direction))
    largest = np.maximum(np.max(terms, axis=1), 0.0)
    digits: Array = np.where(segment.finite, (largest - segment.log2_gap) * np.log10(2), -np.inf)
    return digits


_lower: Any = np.frompyfunc(lambda b: b.lower(), 1, 1)
_upper: Any = np.frompyfunc(lambda b: b.upper(), 1, 1)
_least: Any = np.frompyfunc(smaller, 2, 1)
_greatest: Any = np.frompyfunc(larger, 2, 1)


class _Hulls:
    """The hulls of the one-sided derivatives (S sides, K entries)."""

    def __init__(self, around: Array, log2_slack: int) -> None:
        self.around = around
        largest = max((abs(b).upper() for b in around.ravel()), default=arb(0), key=lambda b: float(b.mid()))
        self.slack = largest * arb(2) ** log2_slack
        self.low: Array = _least.reduce(_lower(around), axis=0)
        self.high: Array = _greatest.reduce(_upper(around), axis=0)
        width = self.high - self.low
        self.kinked = [k for k in range(len(width)) if width[k] > self.slack]

    def missing(self, at_point: Array) -> Iterator[Outside]:
        """The entries, and pairs of kinked entries, whose value at the point is certainly outside."""
        for k in range(len(at_point)):
            if self._is_outside(at_point[k], self.low[k], self.high[k]):
                yield Outside((k,), 1, at_point[k], self.low[k], self.high[k])
        for i, k in combinations(self.kinked[:_FEW], 2):
            for sign in (1, -1):
                sums = self.around[:, i] + self.around[:, k] * sign
                value = at_point[i] + at_point[k] * sign
                low, high = _least.reduce(_lower(sums)), _greatest.reduce(_upper(sums))
                if self._is_outside(value, low, high):
                    yield Outside((i, k), sign, value, low, high)

    def _is_outside(self, value: arb, low: arb, high: arb) -> bool:
        return bool(value < low - self.slack) or bool(value > high + self.slack)

    def kinks(self, layout: Layout, at_point: Array) -> Iterator[Kink]:
        for k in self.kinked:
            row, column = divmod(k, layout.entries)
            name, index = layout.place(column)
            low, high = self._near(self.low[k]), self._near(self.high[k])
            yield Kink(name, index, layout.sample(row), low, high, self._near(at_point[k]))

    def _near(self, ball: Any) -> float:
        """The float64 nearest to a ball's midpoint, without what being beside the point adds to a zero."""
        return 0.0 if abs(ball) < self.slack else float(ball.mid())
