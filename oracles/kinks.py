"""Points where the derivative is a set: ReLU at 0, a tie in max.

Beside such a point the function is smooth, so the gradient is certified there, on many sides, by the same mean value
argument on segments that do not touch the point. At the point itself the gradient must lie between the smallest and
the largest of these one-sided derivatives, entry by entry (the hull); which of them it takes is its convention.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from oracles.ball import lift
from oracles.errors import UndecidedComparisonError
from oracles.evaluation import Evaluation, Layout, gradient_at, hull, overlap, power_of_two, value_at
from oracles.magnitude import log2_upper
from oracles.subject import on_balls
from oracles.trial import Array, Trial

PRECISION = 1024
_DISTANCE, _LENGTH = -300, -20
"""log2 of how far beside the point a segment begins, and of its length relative to that: short, so that the order of
two coordinates that were tied at the point is decided all along it."""
_DOMINANCE = 2.0**24
"""How much the leading coordinate of a side outweighs the others."""
_FEW = 32
"""Up to this many coordinates each of them leads two sides; beyond it, sides are random."""


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
        if self.value == self.low or self.value == self.high:
            nearer = min(self.low, self.high, key=abs)
            return "the smaller one-sided derivative" if self.value == nearer else "the larger one-sided derivative"
        return "the midpoint" if 2 * self.value == self.low + self.high else "between the one-sided derivatives"

    def __str__(self) -> str:
        entry = f"{self.parameter}[{', '.join(map(str, self.index))}]" if self.index else self.parameter
        sample = f" at sample {', '.join(map(str, self.sample))}" if self.sample else ""
        return f"{entry}{sample}: {self.value:.17g} in [{self.low:.17g}, {self.high:.17g}], {self.convention}"


@dataclass(frozen=True)
class Findings:
    """What was found around a point: rows and columns index samples and entries."""

    digits: float
    """Worst certified digits beside the point, relative to the largest term of each segment's product."""
    kinks: tuple[Kink, ...]
    wrong_beside: Evaluation | None
    """The first segment on which the gradient was proved wrong."""
    outside: tuple[tuple[int, int, arb, arb], ...]
    """(row, column, value at the point, hull) of entries that are certainly outside the hull."""


def _sides(shape: tuple[int, int], random: np.random.Generator) -> Iterator[Array]:
    n = shape[1]
    leaders = [*range(n), *range(n), *[None] * 8] if n <= _FEW else [None] * 32
    for leader in leaders:
        side = random.uniform(1, 2, shape) * random.choice([-1.0, 1.0], shape)
        if leader is not None:
            side[:, leader] *= _DOMINANCE
        yield side
        yield -side


def examine(trial: Trial, layout: Layout, random: np.random.Generator, literals: bool) -> Findings:
    """Certify a trial beside its point and compare its gradient at the point with the hull.

    Raises UndecidedComparisonError if the sides, or the point itself, leave comparisons open.
    """
    n, samples = layout.entries, layout.samples
    low: Array | None = None
    digits = np.inf
    with on_balls(trial.subject, PRECISION, literals=literals):
        point = [lift(p)._a for p in trial.parameters]
        at_point = layout.flat(gradient_at(trial, point))
        for side in _sides((samples, n), random):
            if layout.shared_columns.any():
                side[:, layout.shared_columns] = side[0, layout.shared_columns]
            segment = _segment(trial, layout, point, side)
            if segment.disjoint.any():
                return Findings(0.0, (), segment, ())
            digits = min(digits, float(np.min(_relative_digits(segment))))
            low = segment.claimed if low is None else hull(low, segment.claimed)
        assert low is not None
        misses = np.argwhere(~overlap(low, at_point).astype(bool))
    outside = tuple((int(r), int(c), at_point[r, c], low[r, c]) for r, c in misses)
    return Findings(digits, tuple(_kinks(layout, low, at_point)), None, outside)


def _segment(trial: Trial, layout: Layout, point: list[Array], side: Array) -> Evaluation:
    begin, length = arb(2) ** _DISTANCE, arb(2) ** (_DISTANCE + _LENGTH)
    moves = layout.split(side.astype(object) * begin)
    further = layout.split(side.astype(object) * length)
    near = [p + m for p, m in zip(point, moves, strict=True)]
    far = [p + m for p, m in zip(near, further, strict=True)]
    claimed = layout.flat(gradient_at(trial, [hull(a, b) for a, b in zip(near, far, strict=True)]))
    quotient = (value_at(trial, layout, far) - value_at(trial, layout, near)) / length
    product = np.sum(claimed * side.astype(object), axis=1) + arb(0)
    return Evaluation(quotient, product, claimed, side, ())


def _relative_digits(segment: Evaluation) -> Array:
    """Digits of Q and G . d against the largest term of the product; infinite where every term is exactly 0."""
    terms = log2_upper(segment.claimed) + np.log2(np.abs(segment.direction))
    largest = np.maximum(np.max(terms, axis=1), 0.0)
    return np.where(segment.finite, (largest - segment.log2_gap) * np.log10(2), -np.inf)  # type: ignore[no-any-return]


def _kinks(layout: Layout, around: Array, at_point: Array) -> Iterator[Kink]:
    for row, column in np.ndindex(around.shape):
        ball = around[row, column]
        if ball.rad() > (abs(ball.mid()) + 1) * power_of_two(np.float64(_LENGTH * 4)):
            name, index = layout.place(column)
            low, high = _near(ball.lower()), _near(ball.upper())
            yield Kink(name, index, layout.sample(row), low, high, _near(at_point[row, column]))


def _near(ball: Any) -> float:
    """The float64 nearest to a ball's midpoint, without the 2^-300 by which a side is beside the point."""
    value = float(ball.mid())
    return 0.0 if abs(value) < 2.0**-200 else value


__all__ = ["Findings", "Kink", "UndecidedComparisonError", "examine"]
