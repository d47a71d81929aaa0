"""What the optimizers of a framework have in common as oracles, and the vocabulary in which they are asked.

A rule is named by what the field calls it ("adam", "rmsprop") and its hyperparameters by words (learning_rate, beta1,
weight_decay): each framework's module translates. Its state is a mapping of names to arrays, with the same names for
the same quantities everywhere: `step`, the number of steps already taken, `m` and `v` for running means of the gradient
and of its square, and so on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from numpy.typing import ArrayLike

from oracles.estimate import Array, Graph

Hyperparameters = Mapping[str, float | bool]
States = Mapping[str, Array]


class NoCounterpartError(ValueError):
    """The framework has no optimizer that follows this rule with these hyperparameters; the message says why."""


class Run(NamedTuple):
    """A training run: losses (E, ...) averaged over each epoch, and the recorded weights (S, ..., n), float64."""

    losses: Array
    recorded: Array


class Updates(Protocol):
    """The signature that every framework's `updates` has.

    One step from each of S states at once: `gradients` and `params` are float64 (S, ...), the states' arrays (S, ...)
    or (S) for a number, and so are the answers: the new params, and of the new states what the framework keeps.
    """

    def __call__(
        self, rule: str, hyperparameters: Hyperparameters, gradients: Array, states: States, params: Array
    ) -> tuple[Array, dict[str, Array]]: ...


class Train(Protocol):
    """The signature that every framework's `train` has.

    Trains from `weights` (..., n) on one sample (x[i], y[i]) after another for so many epochs, by the framework's own
    derivative of graph(xp, weights, x[i], y[i]). `record` lists steps, counted from 1, after which weights are kept.
    """

    def __call__(
        self,
        rule: str,
        hyperparameters: Hyperparameters,
        graph: Graph,
        weights: Array,
        x: ArrayLike,
        y: ArrayLike,
        epochs: int,
        record: Collection[int],
    ) -> Run: ...
