"""The one comparator: two evaluations of the same gradient, judged by a derived tolerance, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Agreement:
    """How two arrays compare, entry by entry."""

    entries: int
    disagrees: Array
    """Where the difference exceeds the tolerance, or only one is finite though rounding does not explain it."""
    unstable: Array
    """Where the tolerance is as large as the value: such an entry neither agrees nor disagrees."""
    digits: float
    """Worst agreement over the stable entries, -log10 of the relative difference; infinite if all are equal."""
    worst: tuple[int, ...]
    """Index of the worst stable entry; empty if there is none, or for scalars."""
    detection: float
    """Detection power: the smallest relative error noticed at every stable entry, the least favourable included."""
    typical_detection: float
    """The same at the median stable entry."""

    @property
    def agrees(self) -> bool:
        return not bool(self.disagrees.any())


def compare(first: Array, second: Array, tolerance: Array) -> Agreement:
    """Compare two float arrays of one shape; `tolerance` is absolute, of that shape, and may be infinite.

    Raises ValueError where shapes differ: broadcasting a gradient would hide a missing sum.
    """
    if first.shape != second.shape or tolerance.shape != first.shape:
        raise ValueError(f"compare: shapes differ: {first.shape}, {second.shape} and tolerance {tolerance.shape}")
    with np.errstate(all="ignore"):
        finite = np.isfinite(first) & np.isfinite(second)
        size = np.where(finite, np.maximum(np.abs(first), np.abs(second)), np.inf)
        equal = finite & (first == second)
        allowed = np.where(np.isnan(tolerance), np.inf, tolerance)
        unstable = np.where(finite, allowed >= size, np.isinf(allowed)) & ~equal
        disagrees = ~equal & ~unstable & ~(finite & (np.abs(first - second) <= allowed))
        stable = finite & ~unstable & ~disagrees
        relative = np.where(stable & ~equal, np.abs(first - second) / size, 0.0)
        power = (allowed / size)[stable & (size > 0)]
    worst = int(np.argmax(relative)) if stable.any() else 0
    largest = float(relative.flat[worst]) if relative.size else 0.0
    return Agreement(
        entries=first.size,
        disagrees=disagrees,
        unstable=unstable,
        digits=float(-np.log10(largest)) if largest else np.inf,
        worst=tuple(int(i) for i in np.unravel_index(worst, first.shape)) if first.size and stable.any() else (),
        detection=float(power.max()) if power.size else np.inf,
        typical_detection=float(np.median(power)) if power.size else np.inf,
    )
