"""The judgement on a mutant of a hand-written derivative or update rule: refused, and by what; none at all; or neither.

A mutant of a derivative stands in for the original, and the gradients that it takes part in are tried: do the floats
follow the certified gradient up to rounding, as the gate asks of every oracle, after a call elsewhere? does a second
call on the same cache repeat them, and leave its arguments alone? does the mutant get a certificate of its own? A
mutant of an update rule is compared with torch.optim, step by step. What no float tells from the original is compared
with it on balls: it may be no mutant at all.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from manual import optimizers
from oracles import torch_optim
from oracles.agreement import compare
from oracles.certificate import certify_trial
from oracles.mutation import Mutant, mutants
from oracles.mutation_equivalence import Evidence, Ground, equivalent
from oracles.rounding import rounding_radii
from oracles.tree import leaves
from oracles.trial import Trial, loss_trial
from tests.gate.configurations import Configuration
from tests.gate.trajectories import Steps, step_radii, steps
from tests.meta.mutant_places import SECONDS, EndlessError, bounded, name_of, rebound, standing_in, written_out

Array = np.ndarray[Any, Any]
Arguments = tuple[Array, ...]
CLEARLY = 16.0
"""So many times what rounding explains is an error, however a right formula may be written."""


class Refused(Enum):
    """By what a mutant is refused first."""

    CRASH = "crash"
    ENDLESS = "endless"
    SHAPE = "shape"
    FLOATS = "floats"
    CONDUCT = "conduct"
    CERTIFICATE = "certificate"
    LOCKSTEP = "lockstep"


Judgement = Refused | Evidence | None
"""Why a mutant is refused, or why it is none; None for a survivor."""


# --- derivatives ----------------------------------------------------------------------------------------------------

SAMPLES = 4


class Truth(NamedTuple):
    """What loss and gradient are at a point, and how far floats may be off."""

    value: Array
    gradient: Array
    value_radius: Array
    gradient_radius: Array


@dataclass(frozen=True)
class Gradient:
    """A hand-written gradient in two passes, and the points where it is tried."""

    forward: Callable[..., tuple[Any, Any]]
    """forward(*arguments) -> (losses, cache)."""
    backward: Callable[..., Any]
    """backward(cache, *arguments) -> their gradient with respect to the first argument."""
    at: Callable[[int, float, int], Arguments]
    """at(seed, scale, samples): the arguments of one draw, in memory of their own."""
    scale: float = 1.0
    edges: tuple[Arguments, ...] = ()
    """Where floats alone are judged, against the original's: kinks, and the ends of the range."""

    @property
    def elsewhere(self) -> Arguments:
        """Where each mutant is called first: what it remembers of that is wrong everywhere else."""
        return self.at(0, 1.0, SAMPLES)

    @property
    def points(self) -> list[Arguments]:
        """Where it is judged: at another number of samples too, which shows a shape that is remembered."""
        return [self.at(1, self.scale, SAMPLES), self.at(2, self.scale, SAMPLES + 1)]

    @property
    def beyond(self) -> list[Arguments]:
        """More points, for evidence that a mutant is none."""
        return [self.at(seed, scale, SAMPLES) for seed, scale in ((3, 0.1), (4, 1.0), (5, 3.0))]

    def loss(self, *args: Any) -> Any:
        return self.forward(*args)[0]

    def gradient(self, *args: Any) -> Any:
        """The second answer of two from the same cache: a right backward leaves its cache as it was."""
        cache = self.forward(*args)[1]
        self.backward(cache, *args)
        return self.backward(cache, *args)

    def trial(self, args: Arguments) -> Trial:
        return loss_trial(self.loss, self.gradient, args, 0)

    @property
    def certified(self) -> bool:
        return certify_trial(lambda: self.trial(self.points[0])).ok

    @cached_property
    def truths(self) -> list[tuple[Arguments, Truth]]:
        """Points and edges, and what is true there. Raises AssertionError if the original is not certified."""
        proved = [(args, self._proved(args)) for args in self.points]
        return [*proved, *((edge, self._in_floats(edge)) for edge in self.edges)]

    def _proved(self, args: Arguments) -> Truth:
        certificate = certify_trial(lambda: self.trial(args))
        assert certificate.ok, str(certificate)
        radii = rounding_radii(self.trial(args))
        claimed = certificate.claimed[0]._a
        exact = np.array([float(ball.mid()) for ball in claimed.ravel()]).reshape(claimed.shape)
        return Truth(radii.midpoint, exact, 2 * radii.value, radii.gradients[0] + np.abs(exact) * 2.0**-53)

    def _in_floats(self, args: Arguments) -> Truth:
        """What the original computes; whether that is right is another test's business."""
        with np.errstate(all="ignore"):
            value, gradient = np.asarray(self.loss(*args)), np.asarray(self.gradient(*args))
        return Truth(value, gradient, 2.0**-48 * np.abs(value), 2.0**-48 * np.abs(gradient))

    def refused(self, truths: Sequence[tuple[Arguments, Truth]]) -> Refused | None:
        """Whether floats are off by much more than rounding, or a call leaves traces."""
        try:
            with np.errstate(all="ignore"):
                self.gradient(*copies(self.elsewhere))
                return next(filter(None, (self._refused_at(args, truth) for args, truth in truths)), None)
        except Exception:  # of any kind: a mutant may raise whatever it likes
            return Refused.CRASH

    def _refused_at(self, args: Arguments, truth: Truth) -> Refused | None:
        given = copies(args)
        value, cache = self.forward(*given)
        saved = [np.array(leaf) for _, leaf in leaves(cache)]
        answer = self.backward(cache, *given)
        if np.shape(answer) != truth.gradient.shape or np.result_type(answer) != np.float64:
            return Refused.SHAPE
        first = np.array(answer)
        right = compare(first, truth.gradient, CLEARLY * truth.gradient_radius).agrees
        if not right or not compare(np.asarray(value), truth.value, CLEARLY * truth.value_radius).agrees:
            return Refused.FLOATS
        again = self.backward(cache, *given)
        left = (*given, *(leaf for _, leaf in leaves(cache)), again)
        return None if same_bits(left, (*args, *saved, first)) else Refused.CONDUCT

    def equivalent(self, function: FunctionType, made: FunctionType) -> Evidence | None:
        """Evidence from loss and gradient at all points, those beyond included."""

        def original(*args: Any) -> tuple[Any, Any]:
            return self.loss(*args), self.gradient(*args)

        def mutant(*args: Any) -> tuple[Any, Any]:
            with standing_in(function, made):
                return self.loss(*args), self.gradient(*args)

        return equivalent(original, mutant, [self.elsewhere, *self.points, *self.edges, *self.beyond])


@dataclass(frozen=True)
class Derivation:
    """Functions of manual/ and the gradients that they take part in."""

    id: str
    functions: tuple[FunctionType, ...]
    gradients: tuple[Gradient, ...]

    def mutants(self) -> Iterator[Mutant]:
        return (mutant for function in self.functions for mutant in mutants(written_out(function)))

    def original(self, mutant: Mutant) -> FunctionType:
        return next(f for f in self.functions if mutant.id.startswith(f"{name_of(f)}:"))

    def judged(self, mutant: Mutant) -> Judgement:
        """Refused in the first gradient that refuses it, or equivalent in all of them."""
        function = self.original(mutant)
        truths = [gradient.truths for gradient in self.gradients]  # of the original, before anything stands in for it
        try:
            with bounded(SECONDS):
                with standing_in(function, mutant.build()):
                    for gradient, true in zip(self.gradients, truths, strict=True):
                        if reason := gradient.refused(true):
                            return reason
                evidence = [gradient.equivalent(function, mutant.build()) for gradient in self.gradients]
                if all(evidence):
                    return evidence[0]
                with standing_in(function, mutant.build()):
                    certified = all(gradient.certified for gradient in self.gradients)
        except EndlessError:
            return Refused.ENDLESS
        return None if certified else Refused.CERTIFICATE


def copies(args: Arguments) -> Arguments:
    return tuple(a.copy() for a in args)


def same_bits(a: Any, b: Any) -> bool:
    """Equal bit for bit, but for the sign and payload of NaN; tuples part by part."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


# --- update rules ---------------------------------------------------------------------------------------------------

AT = (*range(8), 30, 99, 100, 101, 102, 103, 250, 505)
"""Steps of the first epoch: RAdam begins to adapt in the sixth, ASGD to average after the hundredth."""


class Course(NamedTuple):
    """Some steps of a rule by hand: what goes into each, what torch.optim makes of it, and what rounding explains."""

    given: list[tuple[Array, Any, Array]]
    expected: dict[str, Array]
    """The params, and what torch keeps of the state: an array for each, the steps in front."""
    radii: dict[str, Array]

    def seen(self, update: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
        """An update that returns only what is compared, by name, and the step count."""

        def compared(gradient: Array, state: Any, params: Array) -> dict[str, Any]:
            moved, new = update(gradient, state, params)
            found = {"params": moved, **new._asdict()}
            return {"step": int(new.step), **{name: found[name] for name in self.expected}}

        return compared

    def refused(self, update: Callable[..., Any], margin: float) -> Refused | None:
        """Whether a rule departs from torch by more than rounding explains, so many times over, or leaves traces."""
        rows = []
        try:
            with np.errstate(all="ignore"):
                for given in self.given:
                    mine = copy.deepcopy(given)
                    result = update(*mine)
                    saved = copy.deepcopy(result)
                    if not (same_bits(update(*mine), saved) and same_bits(mine, given)):
                        return Refused.CONDUCT
                    if type(saved[1]) is not type(given[1]) or saved[1].step != given[1].step + 1:
                        return Refused.LOCKSTEP
                    rows.append({"params": saved[0], **saved[1]._asdict()})
                found = {name: np.array([row[name] for row in rows]) for name in self.expected}
        except Exception:  # of any kind: a mutant may raise whatever it likes
            return Refused.CRASH
        if any(array.shape != self.expected[name].shape for name, array in found.items()):
            return Refused.SHAPE
        agree = (compare(a, self.expected[name], margin * self.radii[name]).agrees for name, a in found.items())
        return None if all(agree) else Refused.LOCKSTEP


@cache
def course(configuration: Configuration) -> Course:
    """Raises AssertionError if the rule itself departs from torch."""
    whole, rows = steps(configuration, 0), [*AT]
    taken = Steps(
        whole.gradients[rows],
        whole.params[rows],
        {name: values[rows] for name, values in whole.states.items()},
        whole.moved[rows],
        {name: values[rows] for name, values in whole.new_states.items()},
    )
    state: Any = type(configuration.optimizer.init(taken.params[0]))
    given = [
        (gradient, state(**{n: int(v[i]) if n == "step" else v[i] for n, v in taken.states.items()}), params)
        for i, (gradient, params) in enumerate(zip(taken.gradients, taken.params, strict=True))
    ]
    moved, kept = torch_optim.updates(
        configuration.rule, configuration.hyperparameters, taken.gradients, taken.states, taken.params
    )
    radii = {name: 2 * radius for name, radius in step_radii(configuration, taken).items()}  # both sides round
    made = Course(given, {"params": moved, **kept}, radii)
    assert made.refused(configuration.optimizer.update, 1.0) is None, configuration.id
    return made


@dataclass(frozen=True)
class Rule:
    """An update rule with the configurations in which it is tried, and the functions that it is made of."""

    id: str
    configurations: tuple[Configuration, ...]
    functions: tuple[str, ...] = ("update",)
    """`update`, names in its closure, and names in the module, the rule's own among them."""

    def mutants(self) -> Iterator[Mutant]:
        return (mutant for name in self.functions for mutant in mutants(self._function(name)))

    def _function(self, name: str) -> FunctionType:
        update: Any = self.configurations[0].optimizer.update
        known = {"update": update, **vars(optimizers), **inspect.getclosurevars(update).nonlocals}
        function: FunctionType = known[name]
        return function

    def judged(self, mutant: Mutant) -> Judgement:
        """Refused in the first configuration that refuses it, or equivalent in all of them."""
        courses = [(configuration, course(configuration)) for configuration in self.configurations]
        try:
            with bounded(SECONDS):
                for configuration, taken in courses:
                    if reason := taken.refused(self._mutated(configuration, mutant), CLEARLY):
                        return reason
                evidence = [self._equivalent(configuration, mutant) for configuration in self.configurations]
                if all(evidence):
                    return evidence[0]
                closely = (taken.refused(self._mutated(c, mutant), 1.0) for c, taken in courses)
                return next(filter(None, closely), None) or self._same_floats(mutant)
        except EndlessError:
            return Refused.ENDLESS

    def _same_floats(self, mutant: Mutant) -> Evidence | None:
        """Evidence from floats alone: what a mutant remembers of them looks like a rounded number to `equivalent`."""
        for configuration in self.configurations:
            taken = course(configuration)
            update, mutated = map(taken.seen, (configuration.optimizer.update, self._mutated(configuration, mutant)))
            for given in taken.given:
                with np.errstate(all="ignore"):
                    results = [tuple(rule(*copy.deepcopy(given)).values()) for rule in (update, mutated)]
                if not same_bits(*results):
                    return None
        return Evidence(Ground.FLOATS, f"the steps of {len(self.configurations)} configuration(s)")

    def _equivalent(self, configuration: Configuration, mutant: Mutant) -> Evidence | None:
        """Evidence from what torch has too; the rest of a state is nobody's business unless a later step reads it."""
        seen, given = course(configuration).seen, course(configuration).given
        return equivalent(seen(configuration.optimizer.update), seen(self._mutated(configuration, mutant)), given)

    def _mutated(self, configuration: Configuration, mutant: Mutant) -> Callable[..., Any]:
        """The update rule with a new mutant in the place of itself, of a function in its closure or in the module."""
        update: Any = configuration.optimizer.update  # made anew for each caller
        cells = dict(zip(update.__code__.co_freevars, update.__closure__ or (), strict=True))
        name, made = mutant.id.split(":")[0].rpartition(".")[2], mutant.build()
        if name == "update":
            return rebound(made, update)
        if name == configuration.rule:
            return lambda *args: made(**configuration.hyperparameters).update(*args)
        if name in cells:
            cells[name].cell_contents = rebound(made, cells[name].cell_contents)
            return update  # type: ignore[no-any-return]
        original: FunctionType = getattr(optimizers, name)

        def with_mutant(*args: Any) -> Any:
            with standing_in(original, made):
                return update(*args)

        return with_mutant
