"""A trajectory as data, and what a rule would have done in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oracles.identification_library import Rule
from oracles.identification_rounding import UNIT_ROUNDOFF, Rounded

__all__ = ["Array", "Candidate", "Course", "replay", "tolerance"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """T steps of M independent models of n weights each: arrays (T, M, n)."""

    gradients: Array
    weights: Array
    """Before each step."""
    displacements: Array
    rounding: Array
    """What one rounding of the weights may amount to; infinite at steps that are not to be judged."""
    steps_per_epoch: int | None = None

    @classmethod
    def of(cls, trajectory: Array, gradients: Array, steps_per_epoch: int | None) -> Course:
        """From a trajectory (T + 1, ...) and gradients (T, ...); the last axis, if there is one, is that of n."""
        steps, n = len(gradients), gradients.shape[-1] if gradients.ndim > 1 else 1
        gradients, trajectory = gradients.reshape(steps, -1, n), trajectory.reshape(steps + 1, -1, n)
        displacements = np.diff(trajectory, axis=0)
        largest = np.maximum(np.abs(trajectory[1:]), np.abs(trajectory[:-1]))
        # The weights are rounded, and so is their difference unless they are close.
        rounding = UNIT_ROUNDOFF * (largest + np.abs(displacements)) + np.finfo(np.float64).smallest_subnormal
        return cls(gradients, trajectory[:-1], displacements, rounding, steps_per_epoch)

    @property
    def steps(self) -> int:
        return len(self.gradients)

    def first(self, steps: int) -> Course:
        return self._map(lambda a: a[:steps])

    def models(self, count: int) -> Course:
        """`count` of the M models, evenly spread, or all if there are fewer."""
        chosen = np.unique(np.linspace(0, self.gradients.shape[1] - 1, count).round().astype(int))
        return self._map(lambda a: a[:, chosen])

    def without_first(self, steps: int) -> Course:
        """The same course with its first steps replayed but not judged."""
        rounding = self.rounding.copy()
        rounding[:steps] = np.inf
        return replace(self, rounding=rounding)

    def _map(self, change: Any) -> Course:
        return replace(
            self,
            gradients=change(self.gradients),
            weights=change(self.weights),
            displacements=change(self.displacements),
            rounding=change(self.rounding),
        )


@dataclass(frozen=True)
class Candidate:
    """A rule with all that it takes to replay it."""

    rule: Rule
    values: Array
    """Hyperparameters in the rule's order: (p,), or (K, p) for K sets."""
    sign: int = 1
    """-1 where the rule sees gradients of the other sign (torch: maximize)."""
    steps_per_epoch: int = 1

    def at(self, values: Array) -> Candidate:
        return replace(self, values=values)

    def parameters(self, lift: Any, n: int) -> dict[str, Any]:
        named = {h.name: lift(self.values[..., i]) for i, h in enumerate(self.rule.hyperparameters)}
        return named | {"n": n, "steps_per_epoch": self.steps_per_epoch}


def replay(candidate: Candidate, course: Course) -> Array:
    """The displacements (K, T, M, n) that K sets of hyperparameters give, from the actual weights at each step."""
    p = candidate.parameters(lambda value: value[:, None, None], course.gradients.shape[-1])
    out = np.empty((len(candidate.values), *course.gradients.shape))
    for t, d in enumerate(candidate.rule.displacements(candidate.sign * course.gradients, course.weights, p)):
        out[:, t] = d
    return out


def tolerance(candidate: Candidate, course: Course) -> Array:
    """How far rounding may set actual displacements apart from replayed ones, (T, M, n), for one set of values."""
    p = candidate.parameters(lambda value: Rounded(float(value)), course.gradients.shape[-1])
    out = np.empty(course.gradients.shape)
    gradients = map(Rounded, candidate.sign * course.gradients)
    for t, d in enumerate(candidate.rule.displacements(gradients, course.weights, p)):
        out[t] = d.error
    # Twice: the replay is rounded, and so was what it is compared with.
    return 2 * out + candidate.rule.roundings * course.rounding
