"""Whether zero is in the convex hull of points with ball coordinates: shown by weights, or refuted by a direction.

Non-negative least squares in floats finds the nearest point of the hull; that it is zero, to within a slack, or that a
half-space keeps all of the hull away from zero, is then proved on balls.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from flint import arb

from oracles.ball import larger
from oracles.magnitude import log2_upper
from oracles.trial import Array

_size: Any = np.frompyfunc(lambda b: abs(b).upper(), 1, 1)
_greatest: Any = np.frompyfunc(larger, 2, 1)
_more: Any = np.frompyfunc(lambda a, b: a > b, 2, 1)
_float: Any = np.frompyfunc(float, 1, 1)
_mid: Any = np.frompyfunc(lambda b: b.mid(), 1, 1)


class Away(NamedTuple):
    """How zero lies outside of a hull."""

    direction: Array
    """(k,) float64 of length 1: from the point of the hull that is nearest to zero, towards zero."""
    distance: float
    proved: bool
    """Whether the direction is proved to separate the two."""


def away_from_zero(points: Array, slack: Array) -> Away | None:
    """None if the hull of points (S, k) comes to within `slack` (k,) of zero; all are balls, and this is proved.

    Otherwise how it is outside, or may be.
    """
    near = _more(slack, _size(points))
    if np.any(np.all(near.astype(bool), axis=1)):
        return None
    floats = _float(points).astype(np.float64)
    chosen = np.unique(np.round(floats, 9), axis=0, return_index=True)[1]
    weights = _nearest_to_zero(floats[chosen])
    support = chosen[weights > 0]
    exact, rest = _refined(points[support], floats[support], weights[weights > 0], slack)
    if exact:
        return None
    largest = np.max(log2_upper(rest))
    direction = -_float(rest * arb(2) ** -int(np.floor(largest))).astype(np.float64)
    direction = direction / (np.linalg.norm(direction) or 1.0)  # too near zero to tell the way
    margin = np.sum(slack * np.abs(direction))
    products = np.sum(points * direction, axis=1)
    proved = all(bool(p + margin < 0) for p in products)
    return Away(direction, float(np.linalg.norm(_float(rest).astype(np.float64))), proved)


def _nearest_to_zero(points: Array) -> Array:
    """Weights (S,), not negative, for which the weighted points (S, k) and one more coordinate, 1, sum to near (0, 1).

    Lawson and Hanson, Solving Least Squares Problems, chapter 23: non-negative least squares.
    """
    a = np.vstack([points.T, np.ones(len(points))])
    b = np.append(np.zeros(points.shape[1]), 1.0)
    weights = np.zeros(len(points))
    active = np.zeros(len(points), dtype=bool)
    for _ in range(3 * len(points)):
        slope = np.where(active, -np.inf, a.T @ (b - a @ weights))
        if np.max(slope) < 1e-12:
            break
        active[np.argmax(slope)] = True
        while True:
            trial = np.zeros_like(weights)
            trial[active] = np.linalg.lstsq(a[:, active], b, rcond=None)[0]
            falling = active & (trial <= 0)
            if not falling.any():
                break
            step = np.min(weights[falling] / np.maximum(weights[falling] - trial[falling], np.finfo(np.float64).tiny))
            weights = weights + step * (trial - weights)
            active &= weights > 1e-15
        weights = trial
    return weights


def _refined(points: Array, floats: Array, weights: Array, slack: Array) -> tuple[bool, Array]:
    """(whether weights prove that zero is within `slack` of the hull, the point (k,) of the hull that they give)."""
    inverse = np.linalg.pinv(np.vstack([floats.T, np.ones(len(floats))]))
    exact = weights.astype(object) + arb(0)
    for _ in range(24):
        exact = _greatest(exact, arb(0))
        exact = exact / np.sum(exact)
        rest = np.sum(points * exact[:, None], axis=0)
        if np.all(_more(slack, _size(rest)).astype(bool)):
            return True, rest
        size = arb(2) ** int(max(np.max(log2_upper(rest)), -900.0))
        move = inverse @ np.append(_float(rest / size).astype(np.float64), 0.0)
        exact = _mid(exact - move.astype(object) * size)
    return False, rest
