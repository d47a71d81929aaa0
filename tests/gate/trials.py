"""A subject at a draw: everything that several gate tests need of it, computed once in each worker."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from oracles import Certificate
from oracles.certificate import certify_trial
from oracles.estimate import Estimate
from oracles.registration import Subject
from oracles.rounding import Rounding, rounding_radii
from oracles.trial import Trial
from tests.gate.draws import Draw

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A subject at a draw. Its gradient with respect to its first argument is an array (N, n) or, of one loss, (n,)."""

    subject: Subject
    draw: Draw

    @property
    def id(self) -> str:
        return f"{self.subject.id}-{self.draw.id}"

    @cached_property
    def trial(self) -> Trial:
        return self.subject.trial(self.subject.drawn(self.draw.random, self.draw.scale))

    @cached_property
    def loss(self) -> Array:
        with np.errstate(all="ignore"):  # textbook formulas overflow; what that costs is measured, not warned of
            return np.asarray(self.trial.value(self.trial.arguments(lifted=False)))

    @cached_property
    def gradient(self) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.trial.gradient(self.trial.arguments(lifted=False))[0])

    @cached_property
    def rounding(self) -> Rounding:
        return rounding_radii(self.trial)

    @property
    def framework_rounding(self) -> Rounding:
        other = self.subject.rounds_unlike
        return self.rounding if other is None else case(other, self.draw).rounding

    def certificate(self) -> Certificate:
        return _certificate(self.subject, self.draw)

    def entry(self, index: tuple[int, ...]) -> str:
        """`sample 41, w3` for an index into the gradient or the loss."""
        rest = list(index)
        parts = [f"sample {rest.pop(0)}"] if rest and self.loss.ndim else []
        if rest:
            named = len(rest) == 1 and self.subject.weights
            parts.append(self.subject.weights[rest[0]] if named else f"{self.trial.names[0]}{rest}")
        return ", ".join(parts)


@cache
def case(subject: Subject, draw: Draw) -> Case:
    return Case(subject, draw)


@lru_cache(maxsize=128)  # the balls of one take a megabyte
def _certificate(subject: Subject, draw: Draw) -> Certificate:
    return certify_trial(lambda: case(subject, draw).trial)


def estimate(oracle: str, subject: Subject, draw: Draw) -> tuple[Estimate, float]:
    """An oracle's answer and the seconds it took, once for all subjects that share a graph and their arguments."""
    return _estimate(oracle, subject.graph, subject.arguments, draw)


@cache
def _estimate(oracle: str, graph: Any, arguments: Any, draw: Draw) -> tuple[Estimate, float]:
    gradient = oracle_gradient(oracle)
    started = time.perf_counter()
    answer = gradient(graph, *arguments(draw.random, draw.scale))
    return answer, time.perf_counter() - started


def oracle_gradient(oracle: str) -> Callable[..., Estimate]:
    """The `gradient` of an oracle module, imported only now: torch and JAX take their time."""
    function: Callable[..., Estimate] = importlib.import_module(f"oracles.{oracle}").gradient
    return function
