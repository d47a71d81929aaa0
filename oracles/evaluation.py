"""One evaluation of a trial on balls: the difference quotient Q along a direction, and the gradient's claim there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flint import arb

from oracles.ball import BallArray, balls, lift, mode, wrap
from oracles.magnitude import SMALLEST_NORMAL, log2_lower, log2_upper
from oracles.subject import on_balls
from oracles.trial import Array, Trial

_LOG10_2 = math.log10(2)
overlap = np.frompyfunc(lambda a, b: a.overlaps(b), 2, 1)
is_finite = np.frompyfunc(lambda a: a.is_finite(), 1, 1)
is_zero = np.frompyfunc(lambda a: a.is_zero(), 1, 1)
hull = np.frompyfunc(lambda a, b: a.union(b), 2, 1)
_radius = np.frompyfunc(lambda a: a.rad(), 1, 1)


@dataclass(frozen=True)
class Layout:
    """How the entries of all parameters lie side by side along one axis of length n, behind one axis of N samples."""

    batch: tuple[int, ...]
    names: Sequence[str]
    cores: Sequence[tuple[int, ...]]
    shared: Sequence[bool]
    """For each parameter, whether all samples share it (its gradient then has the batch axes and it has not)."""

    @classmethod
    def of(cls, trial: Trial, batch: tuple[int, ...], gradients: Sequence[Any]) -> Layout:
        """From gradients whose shapes have been checked by `batch_shape`."""
        shapes = [tuple(int(n) for n in np.shape(g)) for g in gradients]
        shared = [s != p.shape for s, p in zip(shapes, trial.parameters, strict=True)]
        return cls(batch, trial.names, [s[len(batch) :] for s in shapes], shared)

    @property
    def samples(self) -> int:
        return math.prod(self.batch)

    @cached_property
    def sizes(self) -> list[int]:
        return [math.prod(core) for core in self.cores]

    @property
    def entries(self) -> int:
        return sum(self.sizes)

    @cached_property
    def shared_columns(self) -> Array:
        return np.repeat(self.shared, self.sizes)

    def flat(self, gradients: Sequence[BallArray]) -> Array:
        """Gradients (B + core each) as one object array (N, n)."""
        parts = [g._a.reshape(self.samples, size) for g, size in zip(gradients, self.sizes, strict=True)]
        return np.concatenate(parts, axis=1)

    def split(self, flat: Array) -> list[Array]:
        """(N, n) -> one array for each parameter, of the parameter's own shape."""
        parts = np.split(flat, np.cumsum(self.sizes)[:-1], axis=1)
        return [
            part[0].reshape(core) if shared else part.reshape((*self.batch, *core))
            for part, core, shared in zip(parts, self.cores, self.shared, strict=True)
        ]

    def place(self, column: int) -> tuple[str, tuple[int, ...]]:
        """Which parameter, and which of its entries, a column is."""
        for name, core, size in zip(self.names, self.cores, self.sizes, strict=True):
            if column < size:
                return name, tuple(int(i) for i in np.unravel_index(column, core)) if core else ()
            column -= size
        raise IndexError(column)

    def sample(self, row: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(row, self.batch)) if self.batch else ()


@dataclass(frozen=True)
class Evaluation:
    """Q and G of the mean value theorem for each of N samples; see `oracles.certificate`."""

    quotient: Array
    """Q: (N,) balls."""
    product: Array
    """G . d: (N,) balls."""
    claimed: Array
    """The gradient on the box: (N, n) balls."""
    direction: Array
    """d: (N, n) float64."""
    rounded: Sequence[str]
    """Constants that may have been rounded before they met a ball."""

    @cached_property
    def finite(self) -> Array:
        finite: Array = (is_finite(self.quotient) & is_finite(self.product)).astype(bool)
        return finite

    @cached_property
    def disjoint(self) -> Array:
        disjoint: Array = self.finite & ~overlap(self.quotient, self.product).astype(bool)
        return disjoint

    @cached_property
    def log2_gap(self) -> Array:
        """log2 of the largest possible difference between Q and G . d: (N,)."""
        return log2_upper(self.quotient - self.product)

    def digits(self) -> Array:
        """Digits to which each entry is certified if the balls overlap: (N, n), -inf for entries not in d.

        The error of entry i is at most the gap over |d_i|; it is set against |g_i|, or against the smallest normal
        float64 where |g_i| is less.
        """
        size = np.maximum(log2_lower(self.claimed), SMALLEST_NORMAL)
        tried = (self.direction != 0) & self.finite[:, None]
        share = np.log2(np.abs(self.direction), where=tried, out=np.zeros_like(size)) + size
        digits: Array = np.where(tried, (share - self.log2_gap[:, None]) * _LOG10_2, -np.inf)
        return digits


def draw_direction(layout: Layout, log2_size: Array, included: Array, random: np.random.Generator) -> Array:
    """A random direction (N, n) of float64, each included entry scaled to about 1 / its size; 0 for the others.

    Columns of a shared parameter get one value for all samples, scaled for the sample where the entry is largest.
    """
    exponent = np.clip(-np.floor(np.where(included, log2_size, np.nan)), SMALLEST_NORMAL, -SMALLEST_NORMAL)
    factor = random.uniform(1, 2, exponent.shape) * random.choice([-1.0, 1.0], exponent.shape)
    columns = layout.shared_columns
    if columns.any():
        least = np.min(np.where(np.isnan(exponent), np.inf, exponent), axis=0)
        exponent[:, columns] = np.where(np.isinf(least), np.nan, least)[columns]
        factor[:, columns] = factor[0, columns]
    used = ~np.isnan(exponent)
    direction: Array = np.where(used, np.ldexp(factor, np.where(used, exponent, 0).astype(np.int64)), 0.0)
    return direction
    return direction


def log2_step(layout: Layout, direction: Array, precision: int) -> Array:
    """log2 of h for each sample, an integer: the rounding of Q and the width of the box balance.

    Rounding moves Q by about 2^-precision / h and the box widens G by about h |d|.
    """
    with np.errstate(divide="ignore"):
        widest = np.max(np.ceil(np.log2(np.abs(direction))), axis=1, initial=-np.inf)
    widest = np.where(np.isfinite(widest), widest, 0.0)
    steps = -widest - np.maximum(40, (precision - widest) // 2)
    return np.full_like(steps, steps.min()) if layout.shared_columns.any() else steps


def power_of_two(exponents: Array) -> Array:
    """Exact balls 2^k for an integer-valued float array."""
    powers: Array = np.frompyfunc(lambda k: arb(2) ** int(k), 1, 1)(exponents)
    return powers


def evaluate(
    trial: Trial, layout: Layout, direction: Array, log2_h: Array, precision: int, literals: bool
) -> Evaluation:
    """Evaluate Q and G along `direction` (N, n) with steps 2^log2_h (N,), at `precision` bits.

    Raises UndecidedComparisonError where the subject compares balls that overlap, and whatever the subject raises.
    """
    with on_balls(trial.subject, precision, literals=literals) as run:
        h = power_of_two(log2_h)
        moves = layout.split(direction.astype(object) * h[:, None])
        point = [lift(p)._a for p in trial.parameters]
        ahead = [p + m for p, m in zip(point, moves, strict=True)]
        behind = [p - m for p, m in zip(point, moves, strict=True)]
        box = [hull(a, b) for a, b in zip(ahead, behind, strict=True)]
        claimed = layout.flat(gradient_at(trial, box))
        quotient = (value_at(trial, layout, ahead) - value_at(trial, layout, behind)) / (2 * h)
        product = np.sum(claimed * direction.astype(object), axis=1) + arb(0)
    return Evaluation(quotient, product, claimed, direction, run.rounded)


def value_at(trial: Trial, layout: Layout, parameters: Sequence[Array]) -> Array:
    """The scalar of each sample, (N,) balls. Inside `on_balls` only."""
    made = balls(trial.value(trial.arguments([wrap(p) for p in parameters])))
    return made._a.reshape(layout.samples)


def gradient_at(trial: Trial, parameters: Sequence[Array]) -> list[BallArray]:
    """The claimed gradient of each parameter. Inside `on_balls` only."""
    if trial.gradient_needs_value:
        trial.value(trial.arguments([wrap(p) for p in parameters]))
    return [balls(g) for g in trial.gradient(trial.arguments([wrap(p) for p in parameters]))]


def rounding_excuse(trial: Trial, layout: Layout, evaluation: Evaluation, precision: int, literals: bool) -> Array:
    """How far rounded constants may separate Q and G . d: (N,) exact balls.

    Eight units of 2^-53 of the sum of |g_i d_i|, and four times what G . d moves by when every rounded constant in the
    gradient is widened by two of its own units: the amplification that the formula gives to them.
    """
    with on_balls(trial.subject, precision, literals=literals):
        mode.widened = True
        widened = layout.flat(gradient_at(trial, [lift(p)._a for p in trial.parameters]))
        d = evaluation.direction.astype(object)
        moved = _radius(np.sum(widened * d, axis=1) + arb(0))
        size = np.sum(np.abs(evaluation.claimed * d), axis=1) + arb(0)
    excuse: Array = moved * 4 + size * arb(2.0**-50)
    return excuse
