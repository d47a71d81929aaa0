"""Which optimizer is this? The update rule and the hyperparameters that a trajectory of weights follows, by name.

A wrong optimizer is not only found to be wrong but named: Adam without bias correction, weight decay of the wrong sign,
a step counter that counts epochs. Every rule of `oracles.identification_library` is fitted to the trajectory, and fits
if rounding alone explains what is left at every step: its state is recomputed from the gradients, and each step is
predicted from the weights as they were. The tolerance is the bound that `Rounded` carries along with that replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import ceil
from operator import index

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
"""Of models side by side, the search looks at so many; what it finds is then held against all of them."""


@dataclass(frozen=True)
class Explanation:
    """A rule that the trajectory follows."""

    rule: str
    hyperparameters: dict[str, float]
    """By torch's names, written out. As simple as the data allow: 0.9 stands for what cannot be told from 0.9."""
    resolution: dict[str, float]
    """About how far each may be changed, the others making up for it, before the data notice; infinite if never."""
    ulps: float
    """The largest difference between a predicted and an actual weight, in units in the last place of the weight."""
    contains: str | None = None
    """The narrower rule that this one comes down to here, since what it has in addition is 0."""

    def __str__(self) -> str:
        return f"{self.rule}: {_listed(self.hyperparameters)}"


@dataclass(frozen=True)
class Departure:
    """The rule that comes closest to a trajectory that follows none."""

    rule: str
    hyperparameters: dict[str, float]
    step: int
    """The first step, counted from 1, that the rule does not explain."""
    explained: int
    """How many steps it does explain, before that one and after."""
    error: float
    """How far off it is at that step, relative to the step (largest difference, largest displacement)."""

    def __str__(self) -> str:
        return f"{self.rule}: {_listed(self.hyperparameters)}"


@dataclass(frozen=True)
class Identification:
    """What `identify_optimizer` found out."""

    steps: int
    explanations: tuple[Explanation, ...]
    """Every rule that fits, the simplest first; empty if none does."""
    nearest: Departure | None
    """What comes closest if no rule fits."""
    known: int
    """How many rules there are to be looked at."""

    @property
    def rule(self) -> str | None:
        """The name of the simplest rule that fits, None if none does."""
        return self.explanations[0].rule if self.explanations else None

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Those of `rule`, as in `Explanation`; empty if no rule fits."""
        return dict(self.explanations[0].hyperparameters) if self.explanations else {}

    @property
    def exact(self) -> float:
        """The largest difference between predicted and actual weights, in ulps of the weight; infinite if none fits."""
        return self.explanations[0].ulps if self.explanations else np.inf

    @property
    def equivalents(self) -> tuple[Explanation, ...]:
        """Other rules that explain this trajectory as well, so that it cannot tell them apart; the simplest first."""
        return self.explanations[1:]

    def __str__(self) -> str:
        if self.nearest is not None:
            return self._without_rule(self.nearest)
        within = f"within {ceil(self.exact)} ulp" if self.exact else "to the last bit"
        lines = [f"{self.explanations[0]} ({self.steps} steps, every one {within})"]
        lines += [f"  which is the same here as {other}" for other in self.equivalents if other.contains is None]
        wider = [other.rule for other in self.equivalents if other.contains is not None]
        if wider:
            more = f" and {len(wider) - 4} more" if len(wider) > 4 else ""
            lines.append(f"  or as a rule that has more to it, but not here: {'; '.join(wider[:4])}{more}")
        return "\n".join(lines)

    def _without_rule(self, nearest: Departure) -> str:
        text = f"none of the {self.known} rules that are known fits; the nearest is {nearest}, which "
        if not nearest.explained:
            return f"{text}explains no step (it is off by {nearest.error:.1g} of the first)"
        if nearest.explained == self.steps - 1:
            return f"{text}explains every step but step {nearest.step} (there it is off by {nearest.error:.1g})"
        return (
            f"{text}departs at step {nearest.step} (by {nearest.error:.1g} of that step) and explains "
            f"{nearest.explained} of the {self.steps} steps"
        )


def _listed(hyperparameters: dict[str, float]) -> str:
    return ", ".join(f"{name} {float(value)!r}".removesuffix(".0") for name, value in hyperparameters.items())


def identify_optimizer(
    trajectory: ArrayLike, gradients: ArrayLike, *, steps_per_epoch: int | None = None
) -> Identification:
    """Name the update rule that `trajectory` follows, and its hyperparameters, or say that none fits.

    `trajectory` is float64 (T + 1, ...): the weights before the first step and after each. `gradients` is float64
    (T, ...): the gradient that each step used, taken at trajectory[t]. The last axis runs over the weights of one
    model, which matters to rules that mix up weights; the axes before it hold models trained side by side.

    `steps_per_epoch` serves rules that do something once per epoch. Without it the length of an epoch is inferred where
    the weights move once per epoch, or a step counter advances then; the latter needs more than 16 steps per epoch.

    Rules that fit equally well are all reported. Those that come in two ways, as v = g at first or v = (1 - β) g, can
    only be told apart where they differ; of those that always agree but for what they call their learning rate, the one
    whose hyperparameters are the shortest to write comes first. Rules that contain a simpler one that fits are
    reported with it, and rules with two faults are only tried where none with one fits.

    Raises TypeError where the dtype is not float64, and ValueError for shapes that do not fit, for values that are not
    finite, for fewer steps than can tell rules apart (the message says how many are needed), for weights that never
    move and for gradients that are all 0.
    """
    weights, slopes = _checked(trajectory, gradients)
    if steps_per_epoch is not None and index(steps_per_epoch) < 1:
        raise ValueError(f"steps_per_epoch must be at least 1, got {steps_per_epoch}: leave it out to have it inferred")
    course = Course.of(weights, slopes, steps_per_epoch)
    length = _moves_once_per(course)
    if length is not None:
        course = replace(course, steps_per_epoch=length)
    n = course.gradients.shape[-1]
    rules = [r for r in RULES if r.moves_once_per_epoch == (length is not None) and r.needs_weights <= n]
    trial = _Trial(course)
    # Rules are tried at hyperparameters where they overflow; what is not finite is not used.
    with np.errstate(all="ignore"):
        trial.run(rules)
        explanations = tuple(found.explanation for found in trial.found + trial.wider)
        nearest = None if explanations else _nearest(trial.fits, course)
    return Identification(course.steps, explanations, nearest, len(rules))


def _checked(trajectory: ArrayLike, gradients: ArrayLike) -> tuple[Array, Array]:
    weights, slopes = np.asarray(trajectory), np.asarray(gradients)
    for name, array in (("trajectory", weights), ("gradients", slopes)):
        if array.dtype != np.float64:
            raise TypeError(f"{name} must be float64, got {array.dtype}: train and record in float64")
        if array.ndim == 0:
            raise ValueError(f"{name} must have a first axis that counts steps, got a scalar")
    expected = (max(len(weights) - 1, 0), *weights.shape[1:])
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
            f"trajectory must have at least {needed} steps to tell the rules of {size} weights apart, got {len(slopes)}"
        )
    for name, array in (("trajectory", weights), ("gradients", slopes)):
        unusable = np.argwhere(~np.isfinite(array))
        if len(unusable):
            where = tuple(int(i) for i in unusable[0])
            raise ValueError(f"{name} must be finite, got {array[where]} at {where}: pass the steps before it")
    if not np.any(slopes):
        raise ValueError("gradients are all 0, so that every rule does the same: pass steps that have a gradient")
    if not np.any(np.diff(weights, axis=0)):
        raise ValueError("the weights of trajectory never move: pass steps that change them")
    return weights, slopes


def _moves_once_per(course: Course) -> int | None:
    """After how many steps the weights move, if it is always the same number and more than one."""
    moves = 1 + np.flatnonzero(np.any(course.displacements != 0, axis=(1, 2)))
    length = int(moves[0])
    return length if length > 1 and np.array_equal(moves, np.arange(length, course.steps + 1, length)) else None


# --- fitting the rules ----------------------------------------------------------------------------------------------

_EPOCHS = 4
"""Of weights that move once per epoch, that many moves are searched."""
_COMPARABLE = 10.0
_ALL_BUT_FOUND = 0.9
_ACCIDENTS = 3
"""Rules of which it is asked whether they explain all but that."""


@dataclass
class _Trial:
    """All rules against one course, round by round, until one fits."""

    course: Course
    fits: list[Fit] = field(default_factory=list)
    found: list[_Found] = field(default_factory=list)
    wider: list[_Found] = field(default_factory=list)
    """Rules that contain one that fits."""
    followed: set[str] = field(default_factory=set)
    """Rules that explain at least the first steps, and those that contain them."""

    @property
    def sample(self) -> Course:
        return self.course.models(_MODELS_SEARCHED)

    def run(self, rules: Sequence[Rule]) -> None:
        for number in sorted({rule.round for rule in rules}):
            self._round([rule for rule in rules if rule.round == number])
            if self.found or self._all_but_found():
                break
        self.found.sort(key=lambda found: found.rank)
        self._set_wider_apart()
        names = {found.candidate.rule.name for found in self.found}
        self.wider += [
            _widened(rule, next(f for f in self.found if f.candidate.rule.name == name))
            for rule in rules
            for name, _ in rule.wider_than
            if name in names and rule.round > number
        ]

    def _round(self, rules: Sequence[Rule]) -> None:
        misfits = {f.candidate.rule.name: f.misfit for f in self.fits}
        # What lacks only its weight decay is not far off without it, and what is much farther off need not be tried.
        prospects = {r.name: min((misfits.get(n, np.inf) for n, _ in r.wider_than), default=np.inf) for r in rules}
        limit = np.inf
        for rule in sorted(rules, key=lambda r: prospects[r.name]):
            inside = next((f for f in self.found + self.wider if any(f.is_named(n) for n, _ in rule.wider_than)), None)
            if inside is not None:
                self.wider.append(_widened(rule, inside))
            elif any(name in self.followed for name, _ in rule.wider_than):
                # The first steps need nothing in addition to the narrower rule, so nothing would help later.
                self.followed.add(rule.name)
            elif prospects[rule.name] <= limit:
                self._fit(rule)
                if self.found and limit == np.inf:
                    limit = _COMPARABLE * prospects[rule.name]

    def _set_wider_apart(self) -> None:
        """Rules that contain another that fits belong with the wider ones, whichever was tried first."""
        for f in tuple(self.found):
            narrower = [name for name, _ in f.candidate.rule.wider_than]
            inside = next((g for g in self.found + self.wider if any(map(g.is_named, narrower))), None)
            if inside is not None:
                self.found.remove(f)
                self.wider.append(replace(f, explanation=replace(f.explanation, contains=inside.explanation.rule)))

    def _fit(self, rule: Rule) -> None:
        sample = self.sample
        if rule.moves_once_per_epoch and sample.steps_per_epoch is not None:
            fitted = fit(rule, sample, opening=_EPOCHS * sample.steps_per_epoch)
        else:
            fitted = fit(rule, sample)
        self.fits.append(fitted)
        if fitted.near is not None:
            self.followed.add(rule.name)
        explanation = _explanation(fitted, self.course)
        if explanation is not None:
            rank = (_digits(fitted.candidate), rule.faults, len(rule.hyperparameters), len(self.fits))
            self.found.append(_Found(fitted.candidate, explanation, rank))

    def _all_but_found(self) -> bool:
        """Whether a rule explains so much that the rest must be an accident."""
        nears = sorted((f.near for f in self.fits if f.near is not None), key=lambda near: -near.course.steps)
        return any(np.mean(near.explained(self.sample)) > _ALL_BUT_FOUND for near in nears[:_ACCIDENTS])


@dataclass(frozen=True)
class _Found:
    candidate: Candidate
    explanation: Explanation
    rank: tuple[int, ...] = ()

    def is_named(self, name: str) -> bool:
        return self.candidate.rule.name == name


def _explanation(fitted: Fit, course: Course) -> Explanation | None:
    """The fit as an explanation of the whole course, of all models in it, or None if it is none."""
    candidate, near = fitted.candidate, fitted.near
    if near is None or near.course.steps < course.steps:
        return None
    difference = np.abs(course.displacements - replay(candidate.at(candidate.values[None]), course)[0])
    if course.gradients.size > near.course.gradients.size and np.any(difference > tolerance(candidate, course)):
        return None
    larger = np.maximum(np.abs(course.weights), np.abs(course.weights + course.displacements))
    resolution = {
        h.name: float(r) if r < h.largest else np.inf
        for h, r in zip(candidate.rule.hyperparameters, near.resolution, strict=True)
    }
    return Explanation(*_reported(candidate), resolution, float(np.max(difference / np.spacing(larger))))


def _reported(candidate: Candidate) -> tuple[str, dict[str, float]]:
    """The name that says which signs were found, and the hyperparameters without them."""
    name = candidate.rule.name
    names = (h.name for h in candidate.rule.hyperparameters)
    hyperparameters = {n: float(v) + 0.0 for n, v in zip(names, candidate.values, strict=True)}
    if hyperparameters.get("weight_decay", 0.0) < 0:
        hyperparameters["weight_decay"] *= -1
        wrong = "weight decay of the wrong sign"
        name = name.replace("weight decay", wrong, 1) if "weight decay" in name else f"{name} with {wrong}"
    if candidate.rule.periodic:
        hyperparameters["steps_per_epoch"] = candidate.steps_per_epoch
    return (f"{name}, maximizing" if candidate.sign < 0 else name), hyperparameters


def _widened(rule: Rule, inside: _Found) -> _Found:
    """A rule that contains another, at the hyperparameters that make it that other."""
    narrow = inside.candidate
    known = {h.name: v for h, v in zip(narrow.rule.hyperparameters, narrow.values, strict=True)}
    zero = dict(rule.wider_than)[narrow.rule.name]
    values = [0.0 if h.name in zero else known.get(h.name, h.usual[0]) for h in rule.hyperparameters]
    candidate = Candidate(rule, np.array(values), narrow.sign, narrow.steps_per_epoch)
    contains = inside.explanation.rule
    return _Found(candidate, Explanation(*_reported(candidate), {}, inside.explanation.ulps, contains))


def _digits(candidate: Candidate) -> int:
    """How many digits it takes to write the hyperparameters down, the most usual ones being free."""
    return sum(_digits_of(h, v) for h, v in zip(candidate.rule.hyperparameters, candidate.values, strict=True))


def _digits_of(hyperparameter: Hyperparameter, value: float) -> int:
    if value in (0.0, hyperparameter.usual[0]):
        return 0
    written = Decimal(repr(abs(float(value))))
    forms = [written, 1 - written] if hyperparameter.fraction else [written]
    return min(len(form.normalize().as_tuple().digits) for form in forms)


# --- when nothing fits ----------------------------------------------------------------------------------------------

_LOOKED_AT = 8
_LATE = 16
_TRIED_AGAIN = 24
_ORDER = {rule.name: position for position, rule in enumerate(RULES)}


def _nearest(fits: Sequence[Fit], course: Course) -> Departure:
    """The rule that explains most of the steps, the simplest such one, or else what comes closest on the first ones."""
    by_misfit = sorted(fits, key=lambda f: f.misfit)
    followed = [f for f in by_misfit if f.near is not None]
    if not followed and course.steps > 2 * _LATE:
        # Perhaps something happened during the first steps, and a rule holds after them.
        late = course.models(_MODELS_SEARCHED).without_first(_LATE)
        again = (fit(f.candidate.rule, late, opening=3 * _LATE) for f in by_misfit[:_TRIED_AGAIN])
        followed = [f for f in again if f.near is not None]
    if not followed:
        # With enough hyperparameters something always comes close, so the plain rules it is.
        return _departure(next(f for f in by_misfit if f.candidate.rule.faults == f.candidate.rule.round == 0), course)
    followed.sort(key=lambda f: f.near is not None and f.near.course.steps, reverse=True)

    def merit(pair: tuple[Departure, Candidate]) -> tuple[int, ...]:
        departure, candidate = pair
        rule = candidate.rule
        return departure.explained, -rule.faults, -_digits(candidate), -len(rule.hyperparameters), -_ORDER[rule.name]

    return max(((_departure(f, course), f.candidate) for f in followed[:_LOOKED_AT]), key=merit)[0]


def _departure(fitted: Fit, course: Course) -> Departure:
    explained = (fitted.near or Near.of(fitted.candidate, course)).explained(course)
    step = int(np.argmin(explained))
    until = course.first(step + 1)
    predicted = replay(fitted.candidate.at(fitted.candidate.values[None]), until)[0, -1]
    actual = until.displacements[-1]
    error = float(np.max(np.abs(actual - predicted)) / (np.max(np.abs(actual)) or 1.0))
    return Departure(*_reported(fitted.candidate), step + 1, int(explained.sum()), error)
