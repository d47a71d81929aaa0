"""Which optimizer is this? The update rule and the hyperparameters that a trajectory of weights follows, by name.

A wrong optimizer is not only found to be wrong but named: Adam without bias correction, weight decay of the wrong sign,
a step counter that counts epochs. Every rule of `oracles.identification_library` is fitted to the trajectory, and fits
if rounding alone explains what is left at every step: its state is recomputed from the gradients, and each step is
predicted from the weights as they were. The tolerance is the bound that `Rounded` carries along with that replay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from oracles.identification_fit import Fit, Near, fit
from oracles.identification_library import RULES, Hyperparameter, Rule
from oracles.identification_replay import Array, Candidate, Course, replay, tolerance

__all__ = ["Departure", "Explanation", "Identification", "identify_optimizer"]

_FEWEST_STEPS = 4
_FEWEST_DISPLACEMENTS = 8
"""Two more than any rule has hyperparameters."""
_MODELS_SEARCHED = 4


@dataclass(frozen=True)
class Explanation:
    """A rule that the trajectory follows."""

    rule: str
    hyperparameters: dict[str, float]
    """By torch's names, written out. As simple as the data allow: 0.9 stands for what cannot be told from 0.9."""
    resolution: dict[str, float]
    """About how far each may be changed before a step leaves its tolerance; infinite where nothing depends on it."""
    ulps: float
    """The largest difference between a predicted and an actual weight, in units in the last place of the weight."""
    contains: str | None = None
    """The narrower rule that this one becomes with the hyperparameters given, its additional one being 0."""

    def __str__(self) -> str:
        return f"{self.rule}: {_listed(self.hyperparameters)}"


@dataclass(frozen=True)
class Departure:
    """A rule that the trajectory does not follow, though it comes closest."""

    rule: str
    hyperparameters: dict[str, float]
    step: int
    """The first step, counted from 1, that the rule does not explain."""
    explained: int
    """How many steps it does explain, before and after."""
    error: float
    """How far off it is at that step, relative to the step (the largest over the weights)."""

    def __str__(self) -> str:
        return f"{self.rule}: {_listed(self.hyperparameters)}"


@dataclass(frozen=True)
class Identification:
    """What `identify_optimizer` found out."""

    steps: int
    rule: str | None
    """The rule's name, or None if none fits."""
    hyperparameters: dict[str, float]
    """As in `Explanation`; empty if no rule fits."""
    exact: float
    """The largest difference between predicted and actual weights, in ulps of the weight; infinite if no rule fits."""
    explanations: tuple[Explanation, ...]
    """Every rule that fits, the one named above first."""
    nearest: Departure | None
    """What comes closest if no rule fits."""
    known: int
    """How many rules were looked at."""

    @property
    def equivalents(self) -> tuple[Explanation, ...]:
        """Other rules that explain this trajectory as well, so that it cannot tell them apart; the simplest first."""
        return self.explanations[1:]

    def __str__(self) -> str:
        if self.nearest is not None:
            return self._no_rule(self.nearest)
        within = f"within {ceil(self.exact)} ulp" if self.exact else "to the last bit"
        lines = [f"{self.explanations[0]} ({self.steps} steps, every one {within})"]
        lines += [f"  cannot be told from {e}" for e in self.equivalents if e.contains is None]
        wider = [e.rule for e in self.equivalents if e.contains is not None]
        if wider:
            lines.append(f"  nor from rules that contain these, their additional terms being 0: {', '.join(wider)}")
        return "\n".join(lines)

    def _no_rule(self, nearest: Departure) -> str:
        text = f"none of the {self.known} rules that are known fits; the nearest is {nearest}, which "
        if nearest.explained == 0:
            return text + f"explains no step (off by {nearest.error:.1g} of the first)"
        if nearest.explained == self.steps - 1:
            return text + f"explains every step but step {nearest.step} (off by {nearest.error:.1g} of that step)"
        return text + (
            f"departs at step {nearest.step} (off by {nearest.error:.1g} of that step) "
            f"and explains {nearest.explained} of {self.steps} steps"
        )


def _listed(hyperparameters: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" if float(f"{value:g}") == value else f"{name} {value!r}" for name, value in hyperparameters.items())


def identify_optimizer(
    trajectory: ArrayLike, gradients: ArrayLike, *, steps_per_epoch: int | None = None
) -> Identification:
    """Name the update rule that `trajectory` follows, and its hyperparameters, or say that none fits.

    `trajectory` is float64 (T + 1, ...): the weights before the first step and after each. `gradients` is float64
    (T, ...): the gradient that each step used, taken at trajectory[t]. The last axis runs over the weights of one model,
    which matters to rules that mix up weights; the axes before it hold models trained side by side.

    `steps_per_epoch` serves rules that do something once per epoch. Without it the length of an epoch is inferred, from
    where the weights move or from where a step counter advances, if an epoch has more than 16 steps.

    Raises TypeError where the dtype is not float64, ValueError for shapes that do not fit, for values that are not
    finite, for fewer steps than can tell rules apart (the message says how many are needed), for weights that never
    move and for gradients that are all 0.
    """
    weights, slopes = _checked(trajectory, gradients)
    if steps_per_epoch is not None and index(steps_per_epoch) < 1:
        raise ValueError(f"steps_per_epoch must be at least 1, got {steps_per_epoch}: leave it out to have it inferred")
    course = Course.of(weights, slopes, steps_per_epoch)
    length = _moves_once_per(course)
    if length is not None:
        course = Course.of(weights, slopes, length)
    n = course.gradients.shape[-1]
    rules = [r for r in RULES if r.moves_once_per_epoch == (length is not None) and r.needs_weights <= n]
    fits: list[Fit] = []
    found: list[Explanation] = []
    ranks: list[tuple[Any, ...]] = []
    for round_ in sorted({rule.round for rule in rules}):
        for rule in rules:
            if rule.round != round_ or any(e.rule == narrower for narrower, _ in rule.wider_than for e in found):
                continue
            fit_ = fit(rule, course.models(_MODELS_SEARCHED), *(() if length is None else (4 * length,)))
            fits.append(fit_)
            if fit_.near is not None and fit_.near.course.steps == course.steps:
                explanation = _explanation(fit_, course)
                if explanation is not None:
                    found.append(explanation)
                    ranks.append((_digits(fit_.candidate), rule.faults, len(fits)))
        if found:
            break
    if not found:
        nearest = _nearest(fits, course)
        return Identification(course.steps, None, {}, np.inf, (), nearest, len(rules))
    ordered = [e for _, e in sorted(zip(ranks, found, strict=True), key=lambda pair: pair[0])]
    ordered += _wider(ordered, rules)
    best = ordered[0]
    return Identification(course.steps, best.rule, best.hyperparameters, best.ulps, tuple(ordered), None, len(rules))


def _checked(trajectory: ArrayLike, gradients: ArrayLike) -> tuple[Array, Array]:
    weights, slopes = np.asarray(trajectory), np.asarray(gradients)
    for name, array in (("trajectory", weights), ("gradients", slopes)):
        if array.dtype != np.float64:
            raise TypeError(
                f"{name} must be float64, got {array.dtype}: record the weights and gradients in the precision of the "
                f"training, which must be float64 for its rounding to be known"
            )
        if array.ndim == 0:
            raise ValueError(f"{name} must have a first axis of steps, got a scalar")
    expected = (len(weights) - 1, *weights.shape[1:])
    if slopes.shape != expected:
        raise ValueError(
            f"gradients must have shape {expected}, one step less than trajectory of shape {weights.shape}, got "
            f"{slopes.shape}: trajectory holds the weights before the first step and after each"
        )
    size = int(np.prod(weights.shape[1:]))
    if size == 0:
        raise ValueError(f"trajectory of shape {weights.shape} has no weights: pass at least one")
    needed = max(_FEWEST_STEPS, ceil(_FEWEST_DISPLACEMENTS / size))
    if len(slopes) < needed:
        raise ValueError(
            f"{len(slopes)} steps of {size} weights cannot tell update rules apart: pass at least {needed} steps"
        )
    for name, array in (("trajectory", weights), ("gradients", slopes)):
        finite = np.isfinite(array)
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(f"{name} must be finite, got {array[where]} at {where}: pass the steps before it")
    if not np.any(slopes):
        raise ValueError("gradients are all 0, so every rule does the same: pass steps that have a gradient")
    if not np.any(np.diff(weights, axis=0)):
        raise ValueError("the weights never move, so there is no rule to be named: pass steps that change them")
    return weights, slopes


def _moves_once_per(course: Course) -> int | None:
    """After how many steps the weights move, if they always stay where they are for the same number of steps."""
    moves = 1 + np.flatnonzero(np.any(course.displacements != 0, axis=(1, 2)))
    length = int(moves[0])
    return length if length > 1 and np.array_equal(moves, np.arange(length, course.steps + 1, length)) else None


def _explanation(fitted: Fit, course: Course) -> Explanation | None:
    """The fit as an explanation of the whole course, all models included, or None if it is none."""
    candidate = fitted.candidate
    assert fitted.near is not None
    difference = np.abs(course.displacements - replay(candidate.at(candidate.values[None]), course)[0])
    if course.gradients.shape != fitted.near.course.gradients.shape:
        if not np.all(difference <= tolerance(candidate, course)):
            return None
    after = course.weights + course.displacements
    ulps = difference / np.spacing(np.maximum(np.abs(course.weights), np.abs(after)))
    name, hyperparameters = _reported(candidate)
    resolution = dict(zip((h.name for h in candidate.rule.hyperparameters), map(float, fitted.near.resolution), strict=True))
    resolution = {name: value if value < 1e50 else np.inf for name, value in resolution.items()}
    return Explanation(name, hyperparameters, resolution, float(ulps.max()))


def _reported(candidate: Candidate) -> tuple[str, dict[str, float]]:
    """The name that goes with the signs found, and the hyperparameters without them."""
    name = candidate.rule.name
    hyperparameters = dict(zip((h.name for h in candidate.rule.hyperparameters), map(float, candidate.values), strict=True))
    if hyperparameters.get("weight_decay", 0.0) < 0:
        hyperparameters["weight_decay"] *= -1
        wrong = "weight decay of the wrong sign"
        name = name.replace("weight decay", wrong, 1) if "weight decay" in name else f"{name} with {wrong}"
    if candidate.rule.periodic:
        hyperparameters["steps_per_epoch"] = candidate.steps_per_epoch
    return name + (", maximizing" if candidate.sign < 0 else ""), hyperparameters


def _digits(candidate: Candidate) -> int:
    """What it takes to write the hyperparameters down, the most usual ones being free."""
    return sum(_digits_of(h, v) for h, v in zip(candidate.rule.hyperparameters, candidate.values, strict=True))


def _digits_of(hyperparameter: Hyperparameter, value: float) -> int:
    if value in (0.0, hyperparameter.usual[0]):
        return 0
    written = Decimal(repr(abs(float(value))))
    forms = [written, 1 - written] if hyperparameter.fraction else [written]
    return min(len(form.normalize().as_tuple().digits) for form in forms)


def _wider(found: Iterable[Explanation], rules: Iterable[Rule]) -> list[Explanation]:
    """The rules that contain one that was found."""
    wider = []
    for e in found:
        for rule in rules:
            for narrower, zero in rule.wider_than:
                if narrower == e.rule.removesuffix(", maximizing"):
                    values = {
                        h.name: 0.0 if h.name in zero else e.hyperparameters.get(h.name, h.usual[0])
                        for h in rule.hyperparameters
                    }
                    name = rule.name + (", maximizing" if e.rule.endswith(", maximizing") else "")
                    wider.append(Explanation(name, values, {}, e.ulps, contains=e.rule))
    return wider


# --- when nothing fits ----------------------------------------------------------------------------------------------

_LOOKED_AT = 8
_LATE = 16
_TRIED_AGAIN = 40


def _nearest(fits: list[Fit], course: Course) -> Departure:
    """The rule that explains most of the steps, or else the one that comes closest on the first ones."""
    by_misfit = sorted(fits, key=lambda f: f.misfit)
    followed = [f for f in by_misfit if f.near is not None]
    if not followed and course.steps > 2 * _LATE:
        # Perhaps something happened during the first steps, and a rule holds after them.
        late = course.models(_MODELS_SEARCHED).without_first(_LATE)
        again = (fit(f.candidate.rule, late, 3 * _LATE) for f in by_misfit[:_TRIED_AGAIN])
        followed = [f for f in again if f.near is not None]
    followed.sort(key=lambda f: f.near is not None and f.near.course.steps, reverse=True)
    departures = [_departure(f, course) for f in (followed or by_misfit)[:_LOOKED_AT]]
    return max(departures, key=lambda d: (d.explained, -d.error))


def _departure(fitted: Fit, course: Course) -> Departure:
    explained = (fitted.near or Near.of(fitted.candidate, course)).explained(course)
    step = int(np.argmin(explained))
    until = course.first(step + 1)
    predicted = replay(fitted.candidate.at(fitted.candidate.values[None]), until)[0, -1]
    actual = until.displacements[-1]
    error = float(np.max(np.abs(actual - predicted)) / (np.max(np.abs(actual)) or 1.0))
    name, hyperparameters = _reported(fitted.candidate)
    return Departure(name, hyperparameters, step + 1, int(explained.sum()), error)
