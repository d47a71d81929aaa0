"""A subject at a draw: everything that several gate tests need of it, computed once in each worker."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from oracles import Certificate, certify
from oracles.estimate import Estimate
from oracles.registration import Subject
from oracles.rounding import Rounding, rounding_radii
from oracles.trial import loss_trial
from tests.gate.draws import Draw

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A subject at a draw of weights, over all of its samples."""

    subject: Subject
    draw: Draw

    @property
    def id(self) -> str:
        return f"{self.subject.id}-{self.draw.id}"

    @cached_property
    def args(self) -> tuple[Array, ...]:
        """(weights (N, n), *data): one copy of the weights for each sample, as the oracles take them."""
        data = self.subject.data()
        names = self.subject.weights
        return (np.tile(self.draw.weights(len(names)), (len(data[0]), 1)), *data)

    @cached_property
    def loss(self) -> Array:
        with np.errstate(all="ignore"):  # textbook formulas overflow; what that costs is measured, not warned of
            return np.asarray(self.subject.loss(*self.args))

    @cached_property
    def gradient(self) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.subject.gradient(*self.args))

    @cached_property
    def rounding(self) -> Rounding:
        return rounding_radii(loss_trial(self.subject.loss, self.subject.gradient, self.args, 0))

    @property
    def framework_rounding(self) -> Rounding:
        other = self.subject.rounds_unlike
        return self.rounding if other is None else case(other, self.draw).rounding

    def certificate(self) -> Certificate:
        return _certificate(self.subject, self.draw)


@cache
def case(subject: Subject, draw: Draw) -> Case:
    return Case(subject, draw)


@lru_cache(maxsize=128)  # the balls of one take a megabyte
def _certificate(subject: Subject, draw: Draw) -> Certificate:
    return certify(subject.loss, subject.gradient, *case(subject, draw).args)


@cache
def estimate(oracle: str, graph: Callable[..., Any], subject: Subject, draw: Draw) -> tuple[Estimate, float]:
    """An oracle's answer and the seconds it took, once for all subjects that share a graph."""
    gradient = oracle_gradient(oracle)
    started = time.perf_counter()
    answer = gradient(graph, *case(subject, draw).args)
    return answer, time.perf_counter() - started


def oracle_gradient(oracle: str) -> Callable[..., Estimate]:
    """The `gradient` of an oracle module, imported only now: torch and JAX take their time."""
    function: Callable[..., Estimate] = importlib.import_module(f"oracles.{oracle}").gradient
    return function
