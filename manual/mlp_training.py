"""Gradient descent for the fully connected network, on all samples at once or on mini-batches."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manual._arguments import Array
from manual.mlp import CRITERIA, MLP

THRESHOLD = 0.5
"""Predictions above it stand for class 1 (document `course`)."""


class Training(NamedTuple):
    """What a run returned."""

    theta: Array
    """The parameters at the end: (n,)."""
    losses: Array
    """For each epoch the mean loss over its samples, each before the update that it leads to: (epochs,)."""
    accuracies: Array
    """For each epoch the share of its outputs that were on the right side of 0.5 then: (epochs,)."""


def train(
    net: MLP,
    theta: Array,
    X: Array,
    y: Array,
    rate: float,
    epochs: int,
    batch_size: int | None = None,
    random: np.random.Generator | None = None,
) -> Training:
    """theta - rate · gradient, again and again, from the parameters `theta` (n,), which are left alone.

    `X` is (inputs, m) and `y` (outputs, m). Without a `batch_size` an epoch is one update with all samples. With one,
    it is one update for each batch of that many columns (the last may be smaller), shuffled by `random` at each epoch,
    or in their order if that is None. Raises what `net.forward` raises, and ValueError for a rate or a number of epochs
    below 0 and a batch size below 1.
    """
    if not (0 <= rate < np.inf and epochs >= 0):
        raise ValueError(f"rate, epochs: expected finite numbers of at least 0, got {rate} and {epochs}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, or None for all samples at once, got {batch_size}")
    losses, right = np.zeros(epochs), np.zeros(epochs)
    for epoch in range(epochs):
        for X_batch, y_batch in _batches(X, y, batch_size, random):
            loss, cache = net.forward(theta, X_batch, y_batch)
            losses[epoch] += loss * (y_batch.size / y.size)
            right[epoch] += np.sum(_is_right(CRITERIA[net.criterion].prediction(cache.Z[-1]), y_batch))
            theta = theta - rate * net.backward(theta, y_batch, cache)
    return Training(theta, losses, right / y.size)


def accuracy(prediction: Array, y: Array) -> float:
    """The share of entries in which prediction and target, both (outputs, m), are on the same side of 0.5."""
    return float(np.mean(_is_right(prediction, y)))


def _is_right(prediction: Array, y: Array) -> NDArray[np.bool_]:
    return np.equal(prediction > THRESHOLD, y > THRESHOLD)


def _batches(
    X: Array, y: Array, batch_size: int | None, random: np.random.Generator | None
) -> Iterator[tuple[Array, Array]]:
    m = X.shape[1]
    if batch_size is None:
        yield X, y
        return
    order = np.arange(m) if random is None else random.permutation(m)
    for start in range(0, m, batch_size):
        some = order[start : start + batch_size]
        yield X[:, some], y[:, some]
