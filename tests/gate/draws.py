"""The one way to draw random points: a generator seeded by the draw's own id, and a scale for the weights."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

SCALES = (0.01, 0.1, 1.0, 3.0)


@dataclass(frozen=True)
class Draw:
    """One draw of weights."""

    index: int
    scale: float
    seed: int

    @property
    def id(self) -> str:
        return f"scale{self.scale:g}-draw{self.index}"

    @property
    def random(self) -> np.random.Generator:
        """A fresh generator, always the same for this draw."""
        return np.random.default_rng(zlib.crc32(f"{self.seed}-{self.id}".encode()))

    def weights(self, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(count,) float64 from N(0, scale²)."""
        return self.random.normal(0.0, self.scale, count)


def draws(count: int, seed: int) -> list[Draw]:
    """`count` draws, the scales in turn."""
    return [Draw(i // len(SCALES), SCALES[i % len(SCALES)], seed) for i in range(count)]
