"""The sides of a point where the derivative is a set, and the gradient on each of them.

Beside such a point the function is smooth, so the gradient is certified there by the mean value argument on a segment
that does not touch the point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from oracles.ball import larger, lift, mode, smaller
from oracles.convex_hull import away_from_zero
from oracles.errors import UndecidedComparisonError
from oracles.evaluation import Evaluation, Layout, gradient_at, hull, power_of_two, rounding_excuse, value_at
from oracles.magnitude import log2_upper
from oracles.subject import Run
from oracles.trial import Array, Trial

PRECISION = 1024
_DISTANCE, _LENGTH = -300, -20
"""log2 of how far beside the point a segment begins, and of its length relative to that: short, so that the order of
two coordinates that were tied at the point is decided all along it."""
_SLACK = -128
"""log2 of what the hull is widened by, relative to the largest entry: the sides are not quite at the point."""
_ROUNDED_SLACK = -50
"""The same where the subject uses numbers that floats have rounded."""
_MOST_LOOKS, _FEWEST_LOOKS, _MOST_WORK = 1024, 160, 64_000
"""Sides that are looked at before the search ends, and how many of them at least; entries evaluated on all of them."""

least: Any = np.frompyfunc(smaller, 2, 1)
greatest: Any = np.frompyfunc(larger, 2, 1)
lower: Any = np.frompyfunc(lambda b: b.lower(), 1, 1)
upper: Any = np.frompyfunc(lambda b: b.upper(), 1, 1)
_size: Any = np.frompyfunc(lambda b: abs(b).upper(), 1, 1)
_more: Any = np.frompyfunc(lambda a, b: a > b, 2, 1)


class WrongBesideError(Exception):
    """The gradient is proved wrong on a segment beside the point."""

    def __init__(self, segment: Evaluation, side: Array) -> None:
        super().__init__()
        self.segment, self.side = segment, side


def _is_wrong(trial: Trial, layout: Layout, segment: Evaluation, rounded: Sequence[str], literals: bool) -> bool:
    """Whether a segment proves the gradient wrong, rounded constants aside."""
    if not segment.disjoint.any() or not rounded:
        return bool(segment.disjoint.any())
    excuse = rounding_excuse(trial, layout, segment, PRECISION, literals)
    gap = segment.quotient - segment.product
    return any(d and bool(abs(g) > e) for d, g, e in zip(segment.disjoint, gap, excuse, strict=True))


def segment_beside(trial: Trial, layout: Layout, point: list[Array], side: Array, move: Array) -> Evaluation:
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


@dataclass(frozen=True)
class Doubt:
    """Entries of one sample that were not shown to be in the hull of the sides seen so far."""

    row: int
    columns: tuple[int, ...]
    direction: Array
    """(k,) float64: from the hull towards the value, with each entry scaled by 2^exponents."""
    exponents: Array
    distance: float
    is_outside: bool
    """Proved to be outside of those sides; otherwise too near their hull to tell."""


class Surroundings:
    """The sides of a point that have been looked at, S of them, and the gradient (N, n) on each."""

    def __init__(self, trial: Trial, layout: Layout, run: Run, random: np.random.Generator, literals: bool) -> None:
        self.trial, self.layout, self.run, self.literals = trial, layout, run, literals
        self.random = random
        self.shape = (layout.samples, layout.entries)
        self.point = [lift(p)._a for p in trial.parameters]
        self.at_point = layout.flat(gradient_at(trial, self.point))
        self.sides: list[Array] = []
        self.around: list[Array] = []
        self.looks = 0
        self.most_looks = int(np.clip(_MOST_WORK // self.at_point.size, _FEWEST_LOOKS, _MOST_LOOKS))
        self.digits = np.inf
        self.largest = arb(0)
        self.low: Array = np.full(self.shape, None)
        self.high: Array = np.full(self.shape, None)

    @property
    def may_look(self) -> bool:
        """Whether the search may go on."""
        return self.looks < self.most_looks

    def draw(self) -> Array:
        """A random side (N, n), with coordinates of about the same size."""
        side: Array = self.random.uniform(1, 2, self.shape) * self.random.choice([-1.0, 1.0], self.shape)
        return self.fitting(side)

    def fitting(self, side: Array) -> Array:
        """The side, with one coordinate for all samples where they share a parameter."""
        side[:, self.layout.shared_columns] = side[0, self.layout.shared_columns]
        return side

    def look(self, side: Array, required: bool = False) -> Array | None:
        """The gradient (N, n) on a side, certified there; None if it leaves comparisons open that are not required.

        Raises UndecidedComparisonError if they are, and WrongBesideError if the gradient is proved wrong there.
        """
        self.looks += 1
        refusal = mode.refusal
        try:
            segment = segment_beside(self.trial, self.layout, self.point, side, side)
        except UndecidedComparisonError:
            if required:
                raise
            mode.refusal = refusal  # it was this side's, and nothing is concluded from it
            return None
        if _is_wrong(self.trial, self.layout, segment, self.run.rounded, self.literals):
            raise WrongBesideError(segment, side)
        self.digits = min(self.digits, float(np.min(_relative_digits(segment))))
        found: Array = segment.claimed
        self.low = least(self.low, lower(found)) if self.around else lower(found)
        self.high = greatest(self.high, upper(found)) if self.around else upper(found)
        self.largest = greatest.reduce(_size(found).ravel(), initial=self.largest)
        self.sides.append(side)
        self.around.append(found)
        return found

    @property
    def slack(self) -> arb:
        return self.largest * arb(2) ** (_ROUNDED_SLACK if self.run.rounded else _SLACK)

    def kinked(self) -> Array:
        """(N, n) bool: the entries that differ from side to side."""
        return np.asarray(_more(self.high - self.low, self.slack), dtype=bool)

    def outside(self) -> Array:
        """(N, n) bool: the entries that are, on their own, certainly outside of the sides seen."""
        slack, value = self.slack, self.at_point
        return np.asarray(_more(self.low - slack, value) | _more(value, self.high + slack), dtype=bool)

    def changed(self, a: Array, b: Array) -> Array:
        """(n,) bool: the columns in which two gradients differ for any sample."""
        differs: Array = np.any(np.asarray(_more(lower(abs(a - b)), self.slack), dtype=bool), axis=0)
        return differs

    def doubt(self, row: int, columns: Sequence[int]) -> Doubt | None:
        """None if the values of these entries are in the hull of the sides seen."""
        offsets = np.stack([found[row, columns] for found in self.around]) - self.at_point[row, columns]
        slack = self.slack
        exponents = np.maximum(np.max(log2_upper(offsets), axis=0), float(np.max(log2_upper(np.array([slack])))))
        exponents = np.where(np.isfinite(exponents), np.ceil(exponents), 0.0)
        scales = power_of_two(-exponents)
        away = away_from_zero(offsets * scales, scales * slack)
        return away and Doubt(row, tuple(columns), away.direction, exponents, away.distance, away.proved)
