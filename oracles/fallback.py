"""Agreement with extrapolated differences, for code that cannot run on balls: a smoke test, without a bound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oracles.agreement import Agreement, compare
from oracles.evaluation import Layout
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


def numerical_agreement(trial: Trial, seed: int = 0) -> tuple[Agreement, str]:
    """Compare a trial's gradient with Richardson-extrapolated central differences of its value, on floats.

    Returns the agreement and the method's name. The tolerance is twice the extrapolation's own error estimate and what
    the measured noise of the value does at the smallest step, so that float32 code is judged as float32 code.
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
    return compare(expected, slopes, tolerance), method


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
    moves = layout.split(direction)

    def value(t: Array) -> Array:
        moved = [(p + float(t[0]) * m).astype(p.dtype) for p, m in zip(trial.parameters, moves, strict=True)]
        made = trial.value(trial.arguments([m if m.ndim else m[()] for m in moved], lifted=False))
        return np.asarray(made, dtype=np.float64).reshape(layout.samples)

    slope, error = extrapolate(value, np.zeros(layout.samples))
    samples = np.stack([value(np.full(layout.samples, k * _SPACING)) for k in range(-4, 5)])
    # Fourth differences leave the noise of a smooth function: sqrt(70) times it (Moré and Wild, SISC 33, 2011).
    noise = np.max(np.abs(np.diff(samples, n=4, axis=0)), axis=0) / np.sqrt(70)
    return slope, error, noise
