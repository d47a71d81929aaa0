"""Gradients of very many samples, in blocks whose intermediates stay in a cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from manual._arguments import Array

BLOCK = 4096
"""Samples to a block: the nine-weight graph has some 25 intermediates of 8 bytes each, so about 800 kB."""


def in_blocks(
    loss_and_gradient: Callable[[Array, Array, Array], tuple[Array, Array]],
    w: Array,
    x: Array,
    y: Array,
    size: int = BLOCK,
) -> tuple[Array, Array]:
    """`loss_and_gradient(w, x, y)` for w (n), x (N, features) and y (N): losses (N) and gradients (N, n), bit for bit.

    Whole arrays of a million samples go through memory with every operation; blocks of them do not. The features of a
    block are laid out one after another (Fortran order), since the graph reads them so. Raises ValueError for a `size`
    below 1 and for no samples, and whatever `loss_and_gradient` raises.
    """
    if size < 1:
        raise ValueError(f"size: expected at least 1 sample to a block, got {size}")
    if not len(y):
        raise ValueError("y: expected at least one sample, got none")
    losses, gradients = np.empty(len(y)), np.empty((len(y), len(w)))
    for start in range(0, len(y), size):
        part = slice(start, start + size)
        losses[part], gradients[part] = loss_and_gradient(w, np.asfortranarray(x[part]), y[part])
    return losses, gradients
