"""Derived tolerances: how far rounding alone may push a float evaluation of a formula, at a point.

The subject's own code runs on balls of 53 bits (24 for float32), each operation adding what a float operation may
round. The radius at the end is the tolerance: it belongs to this formula at this point, so nothing has to be chosen.
For NumPy it is a very good estimate and not a proof, since BLAS may reorder sums and exp, tanh and sin are given the
four ulps that NumPy documents for its vectorised versions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from oracles.ball import BallArray, balls, lift
from oracles.subject import on_balls
from oracles.trial import Array, Trial

LIBRARY_ULPS = 4.0
"""Largest error of NumPy's vectorised transcendental functions, in ulps (NEP 38, and NumPy's own accuracy tests)."""
_UNDERFLOW = {53: 2.0**-1070, 24: 2.0**-145}
"""Sixteen roundings of a subnormal: balls have no smallest exponent, floats have."""


class Rounding(NamedTuple):
    """Radii (float64, rounded up, infinite where nothing can be said): of the value (B) and of each gradient."""

    value: Array
    gradients: tuple[Array, ...]
    midpoint: Array
    """The value as evaluated here, which is as far from the truth as the radius says at most: (B) float64."""


def rounding_radii(trial: Trial, precision: int = 53, literals: bool = True) -> Rounding:
    """The radii of a trial's value and of its gradients (B + core each) at `precision` bits.

    Comparisons are decided as floats decide them. Raises NotCertifiableError where balls cannot run the subject.
    """
    try:
        with on_balls(trial.subject, precision, literals=literals, ulps=LIBRARY_ULPS, by_midpoint=True):
            point = [lift(p) for p in trial.parameters]
            value = balls(trial.value(trial.arguments(point)))
            gradients = [balls(g) for g in trial.gradient(trial.arguments(point))]
    finally:
        trial.leave_floats()
    midpoint = np.array([float(b.mid()) for b in value._a.ravel()], dtype=np.float64).reshape(value._a.shape)
    return Rounding(_radius(value, precision), tuple(_radius(g, precision) for g in gradients), midpoint)


def _radius(values: BallArray, precision: int) -> Array:
    radii = np.array([float(b.rad()) if b.is_finite() else np.inf for b in values._a.ravel()], dtype=np.float64)
    # float() rounds to nearest, and the radius is itself a 30-bit number: one part in 2^29 covers both.
    return radii.reshape(values._a.shape) * (1 + 2.0**-29) + _UNDERFLOW[precision]
