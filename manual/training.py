"""Sequential training as the documents describe it: one update after every sample, epoch after epoch.

A whole population of initial weights is trained at once: the runs share nothing but the order of the samples, and each
of them does what it would do alone.
"""

import sys
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np

from manual._arguments import Array, check_finite, float64_shape
from manual.optimizers import Optimizer

LossAndGradient = Callable[[Array, Array, Array], tuple[Array, Array]]


class Training(NamedTuple):
    """What a training run leaves behind, all float64. E is the number of epochs, S the number of recorded steps."""

    losses: Array
    """(E, ...) mean loss of each epoch: each sample's loss is taken just before its update, and averaged."""
    last_losses: Array
    """(E, ...) loss at the last sample of each epoch."""
    weights: Array
    """(..., n) after the last step."""
    recorded: Array
    """(S, ..., n) weights after each of the steps that were asked for, in the order of the steps."""


def train(
    loss_and_gradient: LossAndGradient,
    optimizer: Optimizer,
    weights: Array,
    x: Array,
    y: Array,
    epochs: int,
    record: Collection[int] = (),
    progress: bool | None = None,
) -> Training:
    """Train from `weights` (..., n) on the samples x (N, features) and y (N), in this order in every epoch.

    `loss_and_gradient(weights, x[i], y[i])` returns the losses (...) and the gradients (..., n) at one sample. `record`
    lists steps, counted from 1 through all epochs, after which the weights are kept (0 keeps the initial ones). A
    progress bar appears on a terminal after two seconds if tqdm is installed; `progress` True or False forces it on or
    off. `weights` is not changed. Raises TypeError or ValueError for arguments that do not fit.
    """
    _check(weights, x, y, epochs, record)
    weights = weights.copy()  # rules that wait hand them on as they are
    shape = weights.shape[:-1]
    losses, last_losses = np.zeros((epochs, *shape)), np.zeros((epochs, *shape))
    wanted = frozenset(record)
    recorded = [weights.copy()] if 0 in wanted else []
    state = optimizer.init(weights)
    samples = list(zip(x, y, strict=True))
    step = 0
    for epoch in _with_progress(range(epochs), progress):
        for features, target in samples:
            loss, gradient = loss_and_gradient(weights, features, target)
            weights, state = optimizer.update(gradient, state, weights)
            losses[epoch] += loss
            step += 1
            if step in wanted:
                recorded.append(weights.copy())
        losses[epoch] /= len(samples)
        last_losses[epoch] = loss
    return Training(losses, last_losses, weights, np.array(recorded).reshape(-1, *weights.shape))


def _check(weights: Array, x: Array, y: Array, epochs: int, record: Collection[int]) -> None:
    for name, value in (("weights", weights), ("x", x), ("y", y)):
        float64_shape(name, value)
        check_finite(name, value)
    if not len(x) or len(x) != len(y):
        raise ValueError(f"x, y: expected one target for each of at least one sample, got {len(x)} and {len(y)}")
    if not isinstance(epochs, int | np.integer) or epochs < 1:
        raise ValueError(f"epochs: expected a whole number of at least 1, got {epochs}; train for one or more")
    last = epochs * len(x)
    for step in record:
        if not 0 <= step <= last:
            raise ValueError(f"record: expected steps from 0 to {last}, got {step}; leave it out or train longer")


def _with_progress(epochs: Iterable[int], progress: bool | None) -> Iterable[int]:
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return epochs
    try:
        from tqdm import tqdm  # optional, and only where somebody is looking
    except ImportError:
        return epochs
    bar: Iterable[int] = tqdm(epochs, desc="training", unit="epoch", delay=0 if progress else 2)
    return bar
