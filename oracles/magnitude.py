"""Sizes of balls as base-2 logarithms in float64, which reach beyond the exponents of float64 itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flint import arb

Array = np.ndarray[Any, Any]
SMALLEST_NORMAL = -1022.0
"""log2 of the smallest normal float64: below it, float64 holds numbers to an absolute accuracy only."""
SMALLEST_SUBNORMAL = -1074.0


def log2_upper(balls: Array) -> Array:
    """log2 of the largest absolute value in each ball: float64, -inf for exact zeros, +inf if not finite."""
    return _log2(balls, upper=True)


def log2_lower(balls: Array) -> Array:
    """log2 of the smallest absolute value in each ball: -inf for a ball that contains zero or is not finite."""
    return _log2(balls, upper=False)


def _log2(balls: Array, upper: bool) -> Array:
    flat = balls.ravel().tolist()
    midpoints = np.fromiter(map(float, flat), dtype=np.float64, count=len(flat))
    accurate = np.fromiter((b.rel_accuracy_bits() > 30 for b in flat), dtype=bool, count=len(flat))
    usual = accurate & (np.abs(midpoints) > 1e-300) & (np.abs(midpoints) < 1e300)
    sizes = np.log2(np.abs(midpoints), where=usual, out=np.zeros(len(flat)))
    for i in np.flatnonzero(~usual):
        sizes[i] = _log2_of(flat[i], upper)
    return sizes.reshape(balls.shape)


def _log2_of(ball: arb, upper: bool) -> float:
    if not ball.is_finite():
        return math.inf if upper else -math.inf
    bound = ball.abs_upper() if upper else ball.abs_lower()
    # The bound is a ball of a few ulps; its midpoint is near enough for a logarithm.
    mantissa, exponent = bound.mid().man_exp()
    if mantissa == 0:
        return -math.inf
    bits = mantissa.bit_length()
    return float(exponent) + bits + math.log2(float(arb(mantissa) / arb(2) ** bits))
