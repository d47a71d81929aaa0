"""Agreement with extrapolated differences, for code that cannot run on balls: a smoke test, without a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from oracles.agreement import Agreement, compare
from oracles.evaluation import Layout
from oracles.one_sided import between
from oracles.richardson import FIRST_STEP, LEVELS, extrapolate
from oracles.trial import Array, Trial, batch_shape

_MOST_ENTRIES = 512
"""Up to this many entries are differentiated one by one; more are compared along as many random directions."""
_SPACING = 2.0**-18
_SMALLEST_STEP = FIRST_STEP * 0.5 ** (LEVELS - 1)
_NOISE_MARGIN = 8
"""The noise is a root mean square; two values differ by up to three of it each, and extrapolation adds a third."""
_SMALLEST_SCALE = 2.0**-7
"""Parameters move in proportion to their size, but zero has to move as well."""
_MOST_KINKS = 64
Place = tuple[int, int]
"""Of a sample and a direction."""


def numerical_agreement(trial: Trial, seed: int = 0) -> tuple[Agreement, str, list[Place]]:
    """Compare a trial's gradient with Richardson-extrapolated central differences of its value, on floats.

    Returns the agreement, the method's name, and where there is a kink and the gradient is one of the derivatives
    there, which central differences alone do not tell: that is no disagreement. The tolerance is twice the
    extrapolation's own error estimate and what the measured noise of the value does at the smallest step, so that
    float32 code is judged as float32 code.
    """
    with np.errstate(all="ignore"):
        value = np.asarray(trial.value(trial.arguments(lifted=False)))
        gradients = [np.asarray(g) for g in trial.gradient(trial.arguments(lifted=False))]
        layout = Layout.of(trial, batch_shape(trial, value, gradients), gradients)
        claimed = np.concatenate([g.reshape(layout.samples, -1) for g in gradients], axis=1).astype(np.float64)
        directions = list(_directions(trial, layout, seed))
        measured = [_along(trial, layout, d) for d in directions]
    expected = np.stack([np.sum(claimed * d, axis=1) for d in directions], axis=1)
    slopes, errors, noises = (np.stack(parts, axis=1) for parts in zip(*measured, strict=True))
    # Noise belongs to the value, and along some directions rounding happens to leave no trace of it.
    tolerance = 2 * errors + _NOISE_MARGIN * noises.max(axis=1, keepdims=True) / _SMALLEST_STEP
    random = layout.entries > _MOST_ENTRIES
    method = f"differences ({len(directions)} directions)" if random else "differences"
    agreement = compare(expected, slopes, tolerance)
    if random:
        agreement = _of_entries(agreement, claimed, directions, tolerance)
    eps = max(float(np.finfo(p.dtype).eps) for p in trial.parameters)
    with np.errstate(all="ignore"):
        kinks = [
            (row, column)
            for row, column in np.argwhere(agreement.disagrees)[:_MOST_KINKS].tolist()
            if between(expected[row, column], _line(trial, layout, directions[column], row), eps)
        ]
    disagrees = agreement.disagrees.copy()
    for place in kinks:
        disagrees[place] = False
    return replace(agreement, disagrees=disagrees), method, kinks


def _of_entries(agreement: Agreement, claimed: Array, directions: Sequence[Array], tolerance: Array) -> Agreement:
    """With what would be noticed of the entries themselves (N, n), and not of the slopes along random directions.

    An entry's error is noticed where its share in a direction exceeds the tolerance of that.
    """
    noticed = reduce(np.minimum, (tolerance[:, [j]] / np.abs(d) for j, d in enumerate(directions)))
    size = np.abs(claimed)
    power = (noticed / np.where(size, size, np.nan))[size > 0]
    largest, typical = (float(power.max()), float(np.median(power))) if power.size else (np.inf, np.inf)
    return replace(agreement, entries=claimed.size, detection=largest, typical_detection=typical)


def _directions(trial: Trial, layout: Layout, seed: int) -> Iterator[Array]:
    """Directions (N, n): each entry on its own, scaled to the parameter's size; or random signs where n is large."""
    sizes = [np.maximum(np.abs(p).astype(np.float64), _SMALLEST_SCALE) for p in trial.parameters]
    full = [
        np.broadcast_to(s, (*layout.batch, *core)) if shared else s
        for s, core, shared in zip(sizes, layout.cores, layout.shared, strict=True)
    ]
    scale = np.concatenate([s.reshape(layout.samples, -1) for s in full], axis=1)
    n = layout.entries
    if n <= _MOST_ENTRIES:
        for column in range(n):
            yield scale * (np.arange(n) == column)
    else:
        random = np.random.default_rng(seed)
        for _ in range(_MOST_ENTRIES):
            yield scale * random.choice([-1.0, 1.0], n) / np.sqrt(n)


def _along(trial: Trial, layout: Layout, direction: Array) -> tuple[Array, Array, Array]:
    """The derivative of each sample's value along a direction (N, n), its error estimate, and the noise: (N,) each."""

    def value(t: Array) -> Array:
        return _values(trial, layout, direction, float(t[0]))

    slope, error = extrapolate(value, np.zeros(layout.samples))
    samples = np.stack([value(np.full(layout.samples, k * _SPACING)) for k in range(-4, 5)])
    # Fourth differences leave the noise of a smooth function: sqrt(70) times it (Moré and Wild, SISC 33, 2011).
    noise = np.max(np.abs(np.diff(samples, n=4, axis=0)), axis=0) / np.sqrt(70)
    return slope, error, noise


def _values(trial: Trial, layout: Layout, direction: Array, t: float) -> Array:
    """The value of each sample (N,), with the parameters moved by `t` along a direction (N, n)."""
    moves = layout.split(direction)
    moved = [(p + t * m).astype(p.dtype) for p, m in zip(trial.parameters, moves, strict=True)]
    made = trial.value(trial.arguments([m if m.ndim else m[()] for m in moved], lifted=False))
    return np.asarray(made, dtype=np.float64).reshape(layout.samples)


def _line(trial: Trial, layout: Layout, direction: Array, row: int) -> Callable[[float], float]:
    """The value of one sample along a direction."""
    return lambda t: float(_values(trial, layout, direction, t)[row])
