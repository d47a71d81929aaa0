"""What is true of a gradient, measured from its loss alone: slopes along directions, which a right gradient has.

Floats judge by them which repairs are worth a proof; they prove nothing themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracles.ball import balls, lift
from oracles.subject import on_balls
from oracles.trial import Array, Trial

CLOSE = 1e-9
"""How near a gradient must come, relative to the largest of a direction's slopes over the samples."""
CLOSE_BY_DIFFERENCES = 1e-5
FAINT = 1e-6
"""Typical relative errors below this may hide in rounding: a repair has to make them smaller by so many times:"""
_LESS = 30
INVISIBLE = 1e-14
"""Errors below this do hide in it."""
_MOST_ENTRIES = 24
_H = 2.0**-80
PRECISION = 320

Gradients = list[Array]
Direction = tuple[Array, ...]


@dataclass(frozen=True)
class Slopes:
    """The slopes of a trial's loss along some directions, at every sample; NaN at kinks."""

    trial: Trial
    directions: tuple[Direction, ...]
    slopes: tuple[Array, ...]
    close: float

    @property
    def useful(self) -> bool:
        """Whether there is a slope at all: not every sample is on a kink, or outside of the loss's domain."""
        return all(bool(np.isfinite(s).any()) for s in self.slopes)

    def errors(self, gradients: Gradients) -> Array:
        """The worst and the typical error along each direction, see `errors_of`: (directions, 2)."""
        return np.array([errors_of(gradients, *pair) for pair in zip(self.directions, self.slopes, strict=True)])

    def right(self, gradients: Gradients, before: Array | None = None) -> bool:
        """Whether gradients have these slopes; `before` are the `errors` of what they are to replace."""
        # Nearly every candidate fails, and nearly all of them where what they are to replace was wrong.
        order = range(len(self.slopes)) if before is None else np.argsort(-before[:, 0]).tolist()
        for i in order:
            worst, typical = errors_of(gradients, self.directions[i], self.slopes[i], self.close)
            if worst > self.close:
                return False
            faint = before is not None and INVISIBLE < before[i, 1] < FAINT
            if before is not None and faint and typical > max(before[i, 1] / _LESS, INVISIBLE / 4):
                return False
        return True


def errors_of(
    gradients: Sequence[Array], direction: Sequence[Array], slope: Array, close: float = np.inf
) -> tuple[float, float]:
    """The worst error of a gradient's slopes, relative to the largest, and the typical one, each relative to its own.

    Infinite for gradients that do not have the shapes of gradients. The typical one is infinite if the worst is above
    `close`, since nobody asks for it then.
    """
    total, size = np.zeros(slope.shape), np.abs(slope)
    for gradient, along in zip(gradients, direction, strict=True):
        per_sample = slope.size == 1 or along.shape[: slope.ndim] == slope.shape
        if gradient.shape != slope.shape + along.shape and not (per_sample and gradient.shape == along.shape):
            return np.inf, np.inf
        if along.any():
            terms = (np.where(along == 0, 0.0, gradient) * along).reshape(*slope.shape, -1)
            total, size = total + terms.sum(axis=-1), size + np.abs(terms).sum(axis=-1)
    known = np.isfinite(slope)
    off = np.where(np.isfinite(total), np.abs(total - slope), np.inf)[known]
    if not off.any():
        return 0.0, 0.0
    worst = float(off.max() / size[known].max()) if np.isfinite(off).all() else np.inf
    if worst == np.inf or worst > close:
        return worst, np.inf
    return worst, float(np.median(off[off > 0] / size[known][off > 0]))


def slopes_of(trial: Trial, literals: bool) -> Slopes:
    """Along each entry if there are few of them, and along all of them together and each parameter on its own."""
    count = len(trial.parameters)
    random = np.random.default_rng(0)
    rows = [*np.eye(count), *([np.ones(count)] if count > 1 else [])]
    directions = [
        tuple(np.asarray(random.standard_normal(p.shape)) * on for p, on in zip(trial.parameters, row, strict=True))
        for row in rows
    ]
    units = _units(trial)
    return _along(trial, units if 0 < len(units) <= _MOST_ENTRIES else directions, literals)


def two_slopes_of(trial: Trial, literals: bool) -> Slopes:
    """Along two directions that move everything."""
    random = np.random.default_rng(0)
    directions = [tuple(np.asarray(random.standard_normal(p.shape)) for p in trial.parameters) for _ in range(2)]
    return _along(trial, directions, literals)


def _units(trial: Trial) -> list[Direction]:
    """A direction for each entry: all samples move at once."""
    batch = np.shape(trial.value(trial.arguments(lifted=False)))
    found: list[Direction] = []
    for i, parameter in enumerate(trial.parameters):
        core = parameter.shape[len(batch) :] if parameter.shape[: len(batch)] == batch else parameter.shape
        if len(found) + int(np.prod(core)) > _MOST_ENTRIES:
            return []
        for index in np.ndindex(core):
            moved = [np.zeros(p.shape) for p in trial.parameters]
            moved[i][(..., *index)] = 1.0
            found.append(tuple(moved))
    return found


def _along(trial: Trial, directions: Sequence[Direction], literals: bool) -> Slopes:
    try:
        slopes, close = [_slope(trial, d, literals) for d in directions], CLOSE
    except Exception:  # of any kind: balls cannot run it
        slopes, close = [_difference(trial, d) for d in directions], CLOSE_BY_DIFFERENCES
    finally:
        trial.value(trial.arguments(lifted=False))
    return Slopes(trial, tuple(directions), tuple(slopes), close)


def _slope(trial: Trial, direction: Direction, literals: bool) -> Array:
    def value(t: float) -> Any:
        return trial.value(
            trial.arguments([lift(p) + lift(d) * t for p, d in zip(trial.parameters, direction, strict=True)])
        )

    with on_balls(trial.subject, PRECISION, literals=literals):
        return slope_along(value)


def slope_along(value: Callable[[float], Any]) -> Array:
    """(f(h) - f(-h)) / 2h on balls, as floats: exact for every purpose of floats; NaN at kinks."""
    ahead, here, behind = (balls(value(s * _H)) for s in (1, 0, -1))
    slope, bend = _floats((ahead - behind) / (2 * _H)), _floats((ahead - 2 * here + behind) / _H)
    return np.where(np.abs(bend) <= 2.0**-30 * (1 + np.abs(slope)), slope, np.nan)


def _floats(values: Any) -> Array:
    floats = [float(b.mid()) if b.is_finite() else np.nan for b in values._a.ravel()]
    return np.array(floats, dtype=np.float64).reshape(values._a.shape)


def _difference(trial: Trial, direction: Direction) -> Array:
    """The same from floats, for what balls cannot run."""

    def value(t: float) -> Array:
        moved = [p + p.dtype.type(t) * d.astype(p.dtype) for p, d in zip(trial.parameters, direction, strict=True)]
        made = trial.value(trial.arguments([m if m.ndim else m[()] for m in moved], lifted=False))
        return np.asarray(made, dtype=np.float64)

    h = 1e-4
    wide, narrow = ((value(s * h) - value(-s * h)) / (2 * s * h) for s in (2.0, 1.0))
    return (4 * narrow - wide) / 3
