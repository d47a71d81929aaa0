"""Whether a subject leaves its arguments as they were: written into, taken away or added to, anywhere inside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np


class Kept(NamedTuple):
    """A leaf of an argument as it was: the very object, and a copy of what was in it."""

    leaf: Any
    copy: Any


def snapshot(argument: Any) -> dict[str, Kept]:
    """Every leaf of an argument by its path, such as `['W'][0]`: arrays of any dtype, and whatever is no container."""
    return {path: Kept(leaf, leaf.copy() if isinstance(leaf, np.ndarray) else leaf) for path, leaf in _leaves(argument)}


def changes(argument: Any, before: Mapping[str, Kept], differentiated: bool) -> list[str]:
    """What has become of an argument since `before` was taken of it, one phrase for each leaf.

    An array written into and a leaf taken away are changes. A leaf exchanged for another, and a new one, are changes
    in an argument that is differentiated by; in any other they are state, such as running means, and allowed.
    """
    now = dict(_leaves(argument))
    found = []
    for path, (leaf, copy) in before.items():
        if not _same(leaf, copy) or (differentiated and path in now and not _same(now[path], copy)):
            found.append(path)
        elif path not in now:
            found.append(f"{path} (taken away)")
    if differentiated:
        found += [f"{path} (added)" for path in now if path not in before]
    return found


def _same(a: Any, b: Any) -> bool:
    """Equal bit for bit, but for the sign and payload of NaN; for what is no number, the same object or equal."""
    if a is b and not isinstance(a, np.ndarray):
        return True
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype.kind in "fc" and y.dtype.kind in "fc":
        return np.array_equal(x, y, equal_nan=True)
    if x.dtype.hasobject or y.dtype.hasobject:  # equality of such objects may be anything
        return x.shape == y.shape and all(p is q for p, q in zip(x.ravel(), y.ravel(), strict=True))
    return np.array_equal(x, y)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{path}[{i}]")
    else:
        yield path, value
