"""The hyperparameters with which a rule follows a trajectory, as far as rounding lets them be known.

What `search` finds on the first steps is refined by Gauss-Newton, in units of what rounding may do, on ever longer
stretches. Then each hyperparameter becomes the simplest number that explains the data no worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oracles.identification_library import Hyperparameter, Rule
from oracles.identification_replay import Array, Candidate, Course, replay, tolerance
from oracles.identification_rounding import UNIT_ROUNDOFF
from oracles.identification_search import search

__all__ = ["Fit", "Near", "fit"]

_OPENING = 16
"""Steps of the search; the stretches after it are _LONGER times as long each."""
_LONGER = 8
_REFINEMENTS = 6
_PROBE = 1e-5
_HOPELESS = 1e-3
"""Search ends at 1e-10 for the right rule, so a misfit this large is the rule's."""


@dataclass(frozen=True)
class Fit:
    """What became of one rule."""

    candidate: Candidate
    misfit: float
    """Of the search, on the first steps, in units of the displacements."""
    near: Near | None = None
    """On the longest stretch that the rule follows; None where it does not even follow the first steps."""


def fit(rule: Rule, course: Course, opening: int = _OPENING) -> Fit:
    """The hyperparameters with which `rule` follows `course`, or as much of it from its start as it does follow."""
    start = course.first(min(course.steps, opening))
    usual = dict(rule.seeds(course.displacements, course.gradients)) if rule.seeds else {}
    found, misfit = search(rule, start, usual, course.steps_per_epoch or course.steps)
    if not misfit < _HOPELESS:
        return Fit(found, misfit)
    near = _refined(Near.of(found, start))
    if not near.fits:
        return Fit(found, misfit)
    for steps in _stretches(start.steps, course.steps):
        stretch = course.first(steps)
        following = _extended(near, stretch)
        if not following.fits and rule.periodic and course.steps_per_epoch is None and not near.knows_epoch:
            length = int(np.argmin(near.explained(stretch)))
            following = _extended(replace(near, candidate=replace(near.candidate, steps_per_epoch=length)), stretch)
        if not following.fits:
            return Fit(_simplest(near), misfit, near)
        near = following
    near = _settled(near)
    return Fit(near.candidate, misfit, near)


def _stretches(steps: int, end: int) -> Iterator[int]:
    while steps < end:
        steps = min(steps * _LONGER, end)
        yield steps


@dataclass(frozen=True)
class Near:
    """A candidate and its surroundings: residuals in units of the tolerance, and their derivatives."""

    candidate: Candidate
    course: Course
    tolerance: Array
    probes: Array
    """By how much each hyperparameter is changed for its derivative, (p,)."""
    residual: Array
    """(actual - replayed) / tolerance, (R,)"""
    jacobian: Array
    """d replayed / d hyperparameter / tolerance, (R, p)"""

    @classmethod
    def of(cls, candidate: Candidate, course: Course, allowed: Array | None = None) -> Near:
        """With derivatives from changes of each hyperparameter that show: a thousand times what rounding may do."""
        allowed = tolerance(candidate, course) if allowed is None else allowed
        grain = 1 + candidate.rule.grain * np.max(np.abs(course.displacements) / allowed)
        probes, limits = _probes(candidate)
        while True:
            near = cls._by(probes, candidate, course, allowed)
            shows = np.max(np.abs(near.jacobian * probes), axis=0) >= 1000 * grain
            larger = ~shows & (np.abs(probes) < limits)
            if not larger.any():
                return near
            probes = np.where(larger, np.sign(probes) * np.minimum(np.abs(probes) * 1000, limits), probes)

    @classmethod
    def _by(cls, probes: Array, candidate: Candidate, course: Course, allowed: Array) -> Near:
        values, count = candidate.values, len(probes)
        both_sides = [h.felt == 0 for h in candidate.rule.hyperparameters]
        ahead, behind = values + probes, values - probes * both_sides
        varied = np.where(np.tile(np.eye(count, dtype=bool), (2, 1)), np.repeat([ahead, behind], count, axis=0), values)
        predicted = replay(candidate.at(np.vstack([values, varied])), course)
        residual = ((course.displacements - predicted[0]) / allowed).reshape(-1)
        change = ((predicted[1 : count + 1] - predicted[count + 1 :]) / allowed).reshape(count, -1)
        jacobian = (change / (ahead - behind)[:, None]).T
        return cls(candidate, course, allowed, probes, residual, jacobian)

    def moved(self, values: Array) -> Near:
        """At other hyperparameters close by: the tolerance hardly depends on them."""
        return Near._by(self.probes, self.candidate.at(values), self.course, self.tolerance)

    @cached_property
    def within(self) -> NDArray[np.bool_]:
        """Which residuals (R,) are rounding, that of the hyperparameters to floats included."""
        return np.asarray(
            np.abs(self.residual) <= 1 + np.abs(self.jacobian) @ np.spacing(np.abs(self.candidate.values))
        )

    @property
    def fits(self) -> bool:
        return bool(self.within.all())

    @property
    def usable(self) -> bool:
        return bool(np.isfinite(self.residual).all() and np.isfinite(self.jacobian).all())

    @property
    def cost(self) -> float:
        return float(self.residual @ self.residual)

    @property
    def noise(self) -> float:
        """Residuals as they come, in units of the tolerance (root mean square)."""
        judged = np.count_nonzero(np.isfinite(self.tolerance))
        own = np.sqrt(self.cost / max(judged - self.jacobian.shape[1], 1))
        grains = self.candidate.rule.grain * np.abs(self.course.displacements) / self.tolerance
        return float(max(own, np.sqrt(np.sum(grains**2) / judged)))

    @cached_property
    def decomposition(self) -> tuple[Array, Array, Array]:
        """Singular values of the jacobian, their directions (p, p), and the residual as seen along them."""
        size = np.linalg.norm(self.jacobian, axis=0)
        size = np.where(size > 0, size, 1.0)
        q, r = np.linalg.qr(self.jacobian / size)
        u, s, vt = np.linalg.svd(r)
        return s, vt / size, u.T @ (q.T @ self.residual)

    def step(self) -> Array:
        """Gauss-Newton's; directions that the data do not see are left alone."""
        s, directions, seen = self.decomposition
        known = s > 1e-13 * s[0]
        return np.asarray(np.where(known, seen / np.where(known, s, 1.0), 0.0) @ directions)

    @cached_property
    def covariance(self) -> Array:
        """(JᵀJ)⁻¹, very large along directions that the data do not see."""
        s, directions, _ = self.decomposition
        root = directions / np.maximum(s, 1e-100)[:, None]
        return root.T @ root

    @property
    def resolution(self) -> Array:
        """How far each hyperparameter may move before the data notice, the others making up for it."""
        if not self.usable:
            return np.full(len(self.candidate.values), np.inf)
        return np.sqrt(np.diag(self.covariance))

    @property
    def knows_epoch(self) -> bool:
        return self.candidate.steps_per_epoch < self.course.steps

    def explained(self, course: Course) -> NDArray[np.bool_]:
        """Which steps (T,) of a longer course fit too, as far as this one tells the hyperparameters."""
        there = Near.of(self.candidate, course)
        if not (self.usable and there.usable):
            return np.asarray(there.within.reshape(course.steps, -1).all(axis=1))
        s, directions, _ = self.decomposition
        spread = there.jacobian @ (directions / np.maximum(s, 1e-100)[:, None]).T
        doubt = 3 * np.linalg.norm(spread, axis=1)
        return np.asarray((np.abs(there.residual) <= 1 + doubt).reshape(course.steps, -1).all(axis=1))


def _probes(candidate: Candidate) -> tuple[Array, Array]:
    """The first changes to try, and the largest."""
    hyperparameters, values = candidate.rule.hyperparameters, candidate.values
    first = np.array([_PROBE * h.slope(v) * (h.felt or 1) for h, v in zip(hyperparameters, values, strict=True)])
    return first, np.maximum(np.abs(first), np.maximum(1e-2 * np.abs(values), 1e-6))


def _refined(near: Near) -> Near:
    """Gauss-Newton from close by."""
    hyperparameters = near.candidate.rule.hyperparameters
    lowest, highest = [h.least for h in hyperparameters], [h.most for h in hyperparameters]
    for _ in range(_REFINEMENTS):
        if not near.usable:
            break
        trial = near.moved(np.clip(near.candidate.values + near.step(), lowest, highest))
        if not trial.cost < near.cost:
            break
        settled = trial.fits and trial.cost > 0.9 * near.cost
        near = trial
        if settled:
            break
    # A rule that itself rounds (to float32) is a staircase to Gauss-Newton, but right at simple numbers.
    return near if near.fits else near.moved(_simplest(near).values)


def _extended(near: Near, course: Course) -> Near:
    """From a stretch to a longer one: with simple numbers if they do, else with refined ones."""
    simple = Near.of(_simplest(near, known_only=True), course)
    return simple if simple.fits else _refined(Near.of(near.candidate, course, simple.tolerance))


def _settled(near: Near) -> Near:
    """With the hyperparameters that the whole course, not its beginning, makes simplest."""
    simple = _simplest(near)
    if np.array_equal(simple.values, near.candidate.values):
        return near
    there = near.moved(simple.values)
    return there if there.fits else _refined(near)


# --- simple numbers -------------------------------------------------------------------------------------------------

_COINCIDENCE = 1e-3


def _simplest(near: Near, known_only: bool = False) -> Candidate:
    """The candidate with each hyperparameter as simple a number as the data allow, the best known one first.

    With `known_only`, those of which the data do not even know the size are left as they are.

    Two ranges are distinguished. Within the narrow one, the sum of squares rises by no more than 16 mean squares (four
    standard deviations) or 2 %, since errors of rounding are not all independent. Within the wide one, residuals can
    still all be rounding; a number from there must be so simple that it is no coincidence.
    """
    candidate = near.candidate
    if not near.usable:
        return candidate
    values, covariance = candidate.values + near.step(), near.covariance.copy()
    noise, count = near.noise, near.residual.size
    narrow, wide = noise * np.sqrt(16 + 0.02 * count), max(noise, 1.0) * np.sqrt(count)
    remaining = list(range(len(values)))
    while remaining:
        spread = np.sqrt(np.abs(np.diag(covariance)))
        i = min(remaining, key=lambda j: spread[j] / max(abs(values[j]), 1e-200))
        if known_only and narrow * spread[i] > abs(values[i]):
            simple = candidate.values[i]
        else:
            simple = simplest_number(candidate.rule.hyperparameters[i], values[i], narrow * spread[i], wide * spread[i])
        remaining.remove(i)
        if covariance[i, i] > 0:
            column = covariance[:, i] / covariance[i, i]
            values = values + column * (simple - values[i])
            covariance = covariance - np.outer(column, covariance[i])
        values[i] = simple
    return candidate.at(values)


def simplest_number(hyperparameter: Hyperparameter, value: float, narrow: float, wide: float) -> float:
    """The simplest number within `narrow` of `value`, or within `wide` where it cannot well be there by chance."""
    narrow = max(narrow, 2 * UNIT_ROUNDOFF * abs(value))
    wide = max(wide, narrow)
    if hyperparameter.zero and abs(value) <= (wide if wide < _COINCIDENCE * hyperparameter.usual[0] else narrow):
        return 0.0
    for usual in hyperparameter.usual:
        if abs(usual - value) <= (wide if wide < _COINCIDENCE * abs(value) else narrow):
            return usual
    value = min(max(value, hyperparameter.least), hyperparameter.most)
    for digits in range(17):
        decimal = float(f"{value:.{digits}e}")
        spacing = 10.0 ** (np.floor(np.log10(abs(value) + 1e-300)) - digits)
        near_enough = abs(decimal - value) <= (wide if 2 * wide < _COINCIDENCE * spacing else narrow)
        if near_enough and hyperparameter.least <= decimal <= hyperparameter.most:
            return decimal
    return value
