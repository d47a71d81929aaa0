"""Points where the derivative is a set: ReLU at 0, a tie in max.

Beside such a point the function is smooth, so the gradient is certified there, on many sides (`oracles.kink_sides`). At
the point itself the gradient must lie in the convex hull of these one-sided derivatives (Clarke, Optimization and
Nonsmooth Analysis, theorem 2.5.1); which element of it a subject takes is its convention. That it lies inside is shown
by weights, that it lies outside by a direction that separates it from every side (`oracles.convex_hull`); both are
proved on balls, and where to look for either is the task of `oracles.kink_search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from flint import arb

from oracles.errors import UndecidedComparisonError
from oracles.evaluation import Evaluation, Layout
from oracles.kink_search import FEW, Search
from oracles.kink_sides import (
    PRECISION,
    Doubt,
    Surroundings,
    WrongBesideError,
    greatest,
    least,
    lower,
    segment_beside,
    upper,
)
from oracles.subject import on_balls
from oracles.trial import Array, Trial, entry_name

_MOST_SINGLE = 2 * FEW
"""So many entries are tried one by one for what is wrong beside a point."""


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
        hull = f"[{self.low:.17g}, {self.high:.17g}]"
        return f"{entry_name(self.parameter, self.index, self.sample)}: {self.value:.17g} in {hull}, {self.convention}"


@dataclass(frozen=True)
class Outside:
    """A weighted sum of entries of one sample whose value is certainly not in the hull."""

    row: int
    columns: tuple[int, ...]
    weights: tuple[float, ...]
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
    """The gradient at the point itself, (N, n) balls, where nothing is wrong."""
    beside: tuple[tuple[int, arb, arb], ...] = ()
    """(column, claimed, true) of single entries that are wrong on that segment."""
    complete: bool = True
    """Whether no more can be wrong than what is listed."""
    looks: int = 0
    """On how many sides the gradient was certified."""


def examine(trial: Trial, layout: Layout, random: np.random.Generator, literals: bool) -> Findings:
    """Certify a trial beside its point and compare its gradient at the point with the hull.

    Raises UndecidedComparisonError if the sides, or the point itself, leave comparisons open, or if the sides that are
    looked at do not decide whether the gradient is in the hull.
    """
    with on_balls(trial.subject, PRECISION, literals=literals) as run:
        near = Surroundings(trial, layout, run, random, literals)
        try:
            wrong, undecided = Search(near).verdicts()
        except WrongBesideError as error:
            beside = tuple(_single(near, error.side))
            complete = layout.entries <= _MOST_SINGLE
            return Findings(0.0, (), error.segment, beside=beside, complete=complete, looks=near.looks)
        if undecided and not wrong:
            count = sum(len(doubt.columns) for doubt in undecided)
            raise UndecidedComparisonError(f"{count} entries are tied in more ways than could be tried")
        outside = tuple(miss for doubt in wrong for miss in _accusations(near, doubt))
        return Findings(near.digits, tuple(_kinks(near)), None, outside, near.at_point, (), not undecided, near.looks)


def _single(near: Surroundings, side: Array) -> Iterator[tuple[int, arb, arb]]:
    """(column, claimed, true) of the entries that are wrong on their own beside the point, among the first few."""
    for column in range(min(near.layout.entries, _MOST_SINGLE)):
        move = side * (np.arange(near.layout.entries) == column)
        segment = segment_beside(near.trial, near.layout, near.point, side, move)
        for row in np.flatnonzero(segment.disjoint)[:1]:
            true = segment.quotient[row] / float(move[row, column])
            yield column, segment.claimed[row, column], true


def _accusations(near: Surroundings, doubt: Doubt) -> list[Outside]:
    """What shows best that a value is outside the hull: single entries, else pairs, their sum, or what it takes."""
    k = len(doubt.columns)
    units = np.eye(k)
    told = [miss for unit in units if (miss := _outside(near, doubt, unit)) is not None]
    if not told and k <= FEW:
        pairs = [units[i] + sign * units[j] for i, j in combinations(range(k), 2) for sign in (1, -1)]
        told = [miss for pair in pairs if (miss := _outside(near, doubt, pair)) is not None]
    if not told:
        general = np.ldexp(doubt.direction, -(doubt.exponents - doubt.exponents.min()).astype(np.int64))
        general = general / np.max(np.abs(general))
        attempts = (np.ones(k), *(np.round(general, digits) for digits in range(1, 17)), general)
        told = [miss for weights in attempts if (miss := _outside(near, doubt, weights)) is not None][:1]
    return told


def _outside(near: Surroundings, doubt: Doubt, weights: Array) -> Outside | None:
    """The weighted sum of the entries in doubt, if that is certainly outside of its hull."""
    columns = np.array(doubt.columns)[weights != 0]
    weights = weights[weights != 0]
    sums = np.array([np.sum(found[doubt.row, columns] * weights) for found in near.around])
    value = np.sum(near.at_point[doubt.row, columns] * weights)
    low, high = least.reduce(lower(sums)), greatest.reduce(upper(sums))
    slack = near.slack * float(np.sum(np.abs(weights)))
    if value < low - slack or value > high + slack:
        return Outside(doubt.row, tuple(columns.tolist()), tuple(weights.tolist()), value, low, high)
    return None


def _kinks(near: Surroundings) -> Iterator[Kink]:
    def rounded(ball: Any) -> float:
        """The float64 nearest to a ball's midpoint, without what being beside the point adds to a zero."""
        return 0.0 if abs(ball) < near.slack else float(ball.mid())

    for at in map(tuple, np.argwhere(near.kinked()).tolist()):
        name, index = near.layout.place(at[1])
        values = rounded(near.low[at]), rounded(near.high[at]), rounded(near.at_point[at])
        yield Kink(name, index, near.layout.sample(at[0]), *values)
