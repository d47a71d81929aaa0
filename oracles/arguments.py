"""Arguments of a trial by shape and by range, with the sizes, zeros, ties and repeated indices that it has to vary.

A third of the wrong gradients found in the wild are right in one configuration: with one sample, one time step, no
index twice. So a size may be a name, which stands for another small number in every draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array = np.ndarray[Any, Any]
Size: TypeAlias = int | str
Shape: TypeAlias = tuple[Size, ...]
Arguments = Callable[[np.random.Generator, float], tuple[Any, ...]]
SIZES = (1, 1, 2, 3, 4, 5)
"""What a named size is drawn from: one sample, or one time step, hides some mistakes and brings out others."""


@dataclass(frozen=True)
class Uniform:
    """Floats between `low` and `high`, whatever the scale of the draw."""

    low: float
    high: float
    shape: Shape = ()

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Uniform: expected low < high, got {self.low!r} and {self.high!r}")


@dataclass(frozen=True)
class Indices:
    """Whole numbers from 0 to `below` - 1; with two or more of them, one is there twice in every other draw."""

    below: Size
    shape: Shape = ()

    def __post_init__(self) -> None:
        if not _is_size(self.below):
            raise ValueError(f"Indices: expected `below` to be a size of at least 1 or a name, got {self.below!r}")


Spec: TypeAlias = Shape | Uniform | Indices | Array | float | Mapping[str, Any] | list[Any]
"""The containers hold Specs."""


def drawn(specs: Sequence[Spec]) -> Arguments:
    """A draw function for arguments given one by one.

    A shape stands for floats from N(0, scale²), in one draw out of four with a zero among them and in another with the
    first one again as the last; `Uniform` and `Indices` for their ranges; an array or a float for itself; a dict or a
    list of these for a dict or a list. A size is a whole number, or a name that is drawn from SIZES and is the same
    wherever it stands: `[("batch", 3), (3, "out"), ("out",)]`. Raises TypeError for anything else.
    """
    for i, spec in enumerate(specs):
        _check(f"arguments[{i}]", spec)

    def arguments(random: np.random.Generator, scale: float) -> tuple[Any, ...]:
        sizes: dict[str, int] = {}

        def size(given: Size) -> int:
            if isinstance(given, int):
                return given
            if given not in sizes:
                sizes[given] = int(random.choice(SIZES))
            return sizes[given]

        return tuple(_drawn(spec, size, random, scale) for spec in specs)

    return arguments


def _is_size(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and value > 0)


def _check(name: str, spec: Any) -> None:
    if isinstance(spec, Mapping | list):
        for key, item in spec.items() if isinstance(spec, Mapping) else enumerate(spec):
            _check(f"{name}[{key!r}]", item)
        return
    shape = spec.shape if isinstance(spec, Uniform | Indices) else spec
    good = isinstance(spec, np.ndarray | float) or (isinstance(shape, tuple) and all(map(_is_size, shape)))
    if not good:
        raise TypeError(
            f"{name}: expected a shape such as ('batch', 3), Uniform, Indices, an array, a float, or a dict or list of "
            f"these, got {spec!r}; or give one function arguments(random, scale) that returns all arguments"
        )


def _drawn(spec: Spec, size: Callable[[Size], int], random: np.random.Generator, scale: float) -> Any:
    if isinstance(spec, Mapping):
        return {key: _drawn(item, size, random, scale) for key, item in spec.items()}
    if isinstance(spec, list):
        return [_drawn(item, size, random, scale) for item in spec]
    if isinstance(spec, np.ndarray):
        return spec.copy()
    if isinstance(spec, float):
        return spec
    shape = tuple(size(n) for n in (spec if isinstance(spec, tuple) else spec.shape))
    values: Array
    if isinstance(spec, Uniform):
        values = np.array(random.uniform(spec.low, spec.high, shape))
    elif isinstance(spec, Indices):
        values = np.array(random.integers(0, size(spec.below), shape))
        if values.size > 1 and random.integers(2):
            values.flat[-1] = values.flat[0]
    else:
        values = np.array(random.normal(0.0, scale, shape))
        if values.size > 1:
            _make_special(values, random)
    return values if shape else values.item()


def _make_special(values: Array, random: np.random.Generator) -> None:
    """What has probability zero and goes wrong: a zero (a product's gradient, a kink), or a tie (in a maximum)."""
    special = random.integers(4)
    if special == 0:
        values.flat[int(random.integers(values.size))] = 0.0
    elif special == 1:
        values.flat[-1] = values.flat[0]
