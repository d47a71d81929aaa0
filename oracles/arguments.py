"""Arguments of a trial by shape and by range, with the sizes, zeros and repeated indices that a trial has to vary.

A third of the wrong gradients found in the wild are right in one configuration: with one sample, one time step, no
index twice. So a size may be a name, which stands for another small number in every draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array = np.ndarray[Any, Any]
Size: TypeAlias = int | str
Shape: TypeAlias = tuple[Size, ...]
Arguments = Callable[[np.random.Generator, float], tuple[Any, ...]]
LARGEST = 5
"""Of a named size."""


@dataclass(frozen=True)
class Uniform:
    """Floats between `low` and `high`, whatever the scale of the draw."""

    low: float
    high: float
    shape: Shape = ()


@dataclass(frozen=True)
class Indices:
    """Whole numbers from 0 to `below` - 1; with two or more of them, one is there twice in every other draw."""

    below: Size
    shape: Shape = ()


Spec: TypeAlias = Shape | Uniform | Indices | Array | float


def drawn(specs: Sequence[Spec]) -> Arguments:
    """A draw function for arguments given one by one.

    A shape stands for floats from N(0, scale²), in one draw out of four with a zero among them; `Uniform` and `Indices`
    for their ranges; an array or a float for itself. A size is a whole number, or a name that is drawn from 1 to 5 and
    is the same wherever it stands: `[("batch", 3), (3, "out"), ("out",)]`. Raises TypeError for anything else.
    """
    for i, spec in enumerate(specs):
        _check(i, spec)

    def arguments(random: np.random.Generator, scale: float) -> tuple[Any, ...]:
        sizes: dict[str, int] = {}

        def size(given: Size) -> int:
            if isinstance(given, str):
                return sizes.setdefault(given, int(random.integers(1, LARGEST + 1)))
            return given

        return tuple(_drawn(spec, size, random, scale) for spec in specs)

    return arguments


def _check(position: int, spec: Any) -> None:
    shape = spec.shape if isinstance(spec, Uniform | Indices) else spec
    good = isinstance(spec, np.ndarray | float) or (
        isinstance(shape, tuple) and all(isinstance(n, str) or (isinstance(n, int) and n > 0) for n in shape)
    )
    if not good:
        raise TypeError(
            f"arguments[{position}]: expected a shape such as ('batch', 3), Uniform, Indices, an array or a float, "
            f"got {spec!r}; or give one function arguments(random, scale) that returns them all"
        )


def _drawn(spec: Spec, size: Callable[[Size], int], random: np.random.Generator, scale: float) -> Any:
    if isinstance(spec, np.ndarray):
        return spec.copy()
    if isinstance(spec, float):
        return spec
    shape = tuple(size(n) for n in (spec if isinstance(spec, tuple) else spec.shape))
    if isinstance(spec, Uniform):
        return random.uniform(spec.low, spec.high, shape)
    if isinstance(spec, Indices):
        chosen = np.array(random.integers(0, size(spec.below), shape))
        if chosen.size > 1 and random.integers(2):
            chosen.flat[-1] = chosen.flat[0]
        return chosen
    values = np.array(random.normal(0.0, scale, shape))
    if values.size > 1 and random.integers(4) == 0:
        values.flat[int(random.integers(values.size))] = 0.0
    return values if shape else float(values)
