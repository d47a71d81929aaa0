"""The update rules by name, with the usual values of their hyperparameters, and which rule contains which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from oracles import update_rules as rules
from oracles.update_rules import Update, WeightedUpdate

__all__ = ["RULES", "Hyperparameter", "Rule"]


@dataclass(frozen=True)
class Hyperparameter:
    """A hyperparameter that is to be found.

    `usual` are the values that a search starts from, the most usual one first. The search moves in log(1 - value) for
    a `fraction`, which is below 1, and in arsinh(value / tiny) for others: a logarithm that does not break down at 0.
    """

    name: str
    usual: tuple[float, ...]
    fraction: bool = False
    tiny: float = 1e-14
    smallest: float = 0.0
    largest: float = 10.0
    zero: bool = True
    """Whether 0 is a value it may have."""
    signed: bool = False
    felt: int = 0
    """1 or -1 where, as a bound does, it is felt on that side only."""

    def coordinate(self, value: Any) -> Any:
        return np.log1p(-value) if self.fraction else np.arcsinh(value / self.tiny)

    def value(self, coordinate: Any) -> Any:
        return -np.expm1(coordinate) if self.fraction else self.tiny * np.sinh(coordinate)

    def slope(self, value: Any) -> Any:
        """d value / d coordinate."""
        return value - 1 if self.fraction else np.hypot(value, self.tiny)

    @property
    def least(self) -> float:
        return -self.largest if self.signed else self.smallest

    @property
    def most(self) -> float:
        return 1 - 1e-7 if self.fraction else self.largest

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the coordinate."""
        ends = float(self.coordinate(self.least)), float(self.coordinate(self.most))
        return min(ends), max(ends)


@dataclass(frozen=True)
class Rule:
    """An update rule under the name by which it is reported."""

    name: str
    update: Update
    hyperparameters: tuple[Hyperparameter, ...]
    decay: Callable[[Update], WeightedUpdate] = rules.unweighted
    """What weight decay makes of `update`."""
    faults: int = 0
    """How many things are wrong with it: of rules that fit equally well, the right ones come first."""
    round: int = 0
    """Rules of a later round are tried only where none of an earlier one fits."""
    roundings: int = 1
    """How often a step rounds a number of the size of the weights."""
    grain: float = 0.0
    """Half the relative distance of the numbers to which the rule itself rounds."""
    wider_than: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The rules that it becomes when the hyperparameters named here are 0."""
    seeds: Callable[[Any, Any], Mapping[str, tuple[float, ...]]] | None = None
    """Values to start from, by displacements and gradients, for what is not proportional to the learning rate."""
    periodic: bool = False
    """Whether it depends on the length of an epoch."""
    moves_once_per_epoch: bool = False
    needs_weights: int = 1
    """How many weights it takes to tell it from its like."""

    @property
    def displacements(self) -> WeightedUpdate:
        return self.decay(self.update)


def _with(name: str, *phrases: str) -> str:
    """For example "Adam", "Adam with this", "Adam with this and without that"."""
    joined = " and ".join(phrases)
    return f"{name}{' and ' if ' with' in name else ' '}{joined}" if phrases else name


def _fraction(name: str, *usual: float) -> Hyperparameter:
    return Hyperparameter(name, usual, fraction=True)


def _epsilon(*usual: float) -> Hyperparameter:
    return Hyperparameter("epsilon", (*usual, 1e-10, 1e-6, 1e-4, 1e-3, 1e-2, 0.0))


RATE = Hyperparameter("learning_rate", (1e-3,), zero=False, largest=1e6)
MOMENTUM = _fraction("momentum", 0.9, 0.99, 0.95, 0.8, 0.5, 0.2)
MOMENTS = (
    _fraction("beta1", 0.9, 0.99, 0.95, 0.8, 0.5, 0.0),
    _fraction("beta2", 0.999, 0.99, 0.9, 0.95, 0.9999, 0.5),
    _epsilon(1e-8),
)
WEIGHT_DECAY = Hyperparameter(
    "weight_decay", (1e-2, 1e-3, 1e-4, 1e-1, -1e-3, -1e-2, -1e-1), tiny=1e-2, largest=100.0, signed=True
)


def _gradient_descent() -> Iterator[Rule]:
    to_sgd = (("SGD", ("momentum",)),)
    yield Rule("SGD", rules.sgd, (RATE,))
    yield Rule("momentum", rules.momentum, (RATE, MOMENTUM), wider_than=to_sgd)
    yield Rule("heavy ball", rules.heavy_ball, (RATE, MOMENTUM), wider_than=to_sgd)
    yield Rule(
        "exponential-average momentum",
        rules.averaged_momentum,
        (RATE, replace(MOMENTUM, name="beta")),
        wider_than=(("SGD", ("beta",)),),
    )
    yield Rule("Nesterov momentum", rules.nesterov, (RATE, MOMENTUM), wider_than=to_sgd)
    yield Rule(
        "momentum with dampening",
        rules.momentum,
        (RATE, MOMENTUM, _fraction("dampening", 0.9, 0.99, 0.5, 0.1)),
        wider_than=(("momentum", ("dampening",)),),
    )
    yield Rule(
        "heavy ball with v carried from weight to weight",
        rules.carried(rules.heavy_ball),
        (RATE, MOMENTUM),
        faults=1,
        wider_than=to_sgd,
        needs_weights=2,
    )


def _adagrad() -> Iterator[Rule]:
    extras = {
        "with a decaying rate": Hyperparameter("lr_decay", (1e-3, 1e-2, 1e-1, 1e-4, 1.0), tiny=1e-3),
        "with an initial accumulator": Hyperparameter(
            "initial_accumulator_value", (0.1, 1.0, 1e-2, 1e-4, 1e-6), tiny=1e-4
        ),
    }
    for count in range(len(extras) + 1):
        for phrases in combinations(extras, count):
            yield Rule(
                _with("Adagrad", *phrases),
                rules.adagrad,
                (RATE, _epsilon(1e-10, 1e-8), *(extras[phrase] for phrase in phrases)),
                wider_than=tuple(
                    (_with("Adagrad", *(other for other in phrases if other != phrase)), (extras[phrase].name,))
                    for phrase in phrases
                ),
            )


def _rmsprop() -> Iterator[Rule]:
    alpha = _fraction("alpha", 0.99, 0.999, 0.9, 0.95, 0.9999, 0.5)
    for denominator, placement in (
        (rules.epsilon_outside, ()),
        (rules.epsilon_inside, ("with epsilon inside the square root",)),
    ):
        for centered, name in ((False, "RMSprop"), (True, "centered RMSprop")):
            update, narrow = rules.rmsprop(denominator, centered), _with(name, *placement)
            yield Rule(narrow, update, (RATE, alpha, _epsilon(1e-8)))
            yield Rule(
                _with(name, "with momentum", *placement),
                update,
                (RATE, alpha, _epsilon(1e-8), MOMENTUM),
                wider_than=((narrow, ("momentum",)),),
            )


@dataclass(frozen=True)
class _Departure:
    """One thing that is done in another way than by Adam as published. Two can meet unless they concern the same."""

    phrase: str
    concerns: str
    options: dict[str, Any]
    fault: int = 1
    timeless: bool = False
    """t plays no part."""
    periodic: bool = False
    needs_weights: int = 1


_DEPARTURES = (
    _Departure("without bias correction", "correction", {"correction": rules.uncorrected}, timeless=True),
    _Departure(
        "with constant bias correction 1 - beta",
        "correction",
        {"correction": rules.corrected_constantly},
        timeless=True,
    ),
    _Departure("with sqrt(beta2^t) for sqrt(1 - beta2^t)", "correction", {"correction": rules.corrected_twice}),
    _Departure("with epsilon outside the correction", "correction", {"correction": rules.corrected_in_rate}, fault=0),
    _Departure("with epsilon inside the square root", "epsilon", {"denominator": rules.epsilon_inside}),
    _Departure("with its step counter advanced once per epoch", "clock", {"clock": rules.every_epoch}, periodic=True),
    _Departure(
        "with its step counter advanced for each weight", "clock", {"clock": rules.every_weight}, needs_weights=2
    ),
    _Departure("with m and v carried from weight to weight", "state", {"carried": True}, needs_weights=2),
    _Departure("with one second moment for all weights", "state", {"square": rules.mean_square}, needs_weights=2),
)


def _adam(*departures: _Departure, amsgrad: bool = False) -> Rule:
    options = {name: value for departure in departures for name, value in departure.options.items()}
    if running := options.pop("carried", False):
        # k counts updates of the one state there is, so it is t that has to be slowed down.
        by_weight = options.get("clock") is rules.every_weight
        options["clock"] = rules.every_step if by_weight else rules.every_round_of_weights
    update = rules.adam(**options, amsgrad=amsgrad)
    return Rule(
        _with("AMSGrad" if amsgrad else "Adam", *(departure.phrase for departure in departures)),
        rules.carried(update) if running else update,
        (RATE, *MOMENTS),
        faults=sum(departure.fault for departure in departures),
        periodic=any(departure.periodic for departure in departures),
        needs_weights=max((departure.needs_weights for departure in departures), default=1),
    )


def _pairs() -> Iterator[Rule]:
    for pair in combinations(_DEPARTURES, 2):
        first, second = pair
        without_time = any(d.timeless for d in pair) and any(d.concerns == "clock" for d in pair)
        # The carried state needs the clock for itself, an epoch's cannot be told from it.
        clash = any(d.periodic for d in pair) and any("carried" in d.options for d in pair)
        if first.concerns != second.concerns and not without_time and not clash:
            yield _adam(*pair)
    for departure in _DEPARTURES:
        yield _adam(departure, amsgrad=True)


def _adam_family() -> Iterator[Rule]:
    yield _adam()
    yield from (_adam(departure) for departure in _DEPARTURES)
    yield _adam(amsgrad=True)
    yield Rule("Adamax", rules.adamax, (RATE, *MOMENTS))
    psi = Hyperparameter("momentum_decay", (4e-3,), tiny=1e-2)
    yield Rule("NAdam", rules.nadam(), (RATE, *MOMENTS, psi), roundings=2)
    name = "NAdam with its product of momenta in float32"
    yield Rule(name, rules.nadam(in_float32=True), (RATE, *MOMENTS, psi), roundings=2, grain=2.0**-25)
    beta1, beta2, epsilon = MOMENTS
    # Up to 2/3 nothing is ever rectified, and RAdam is averaged momentum.
    rectifying = replace(beta2, usual=(0.999, 0.99, 0.9, 0.95, 0.9999, 0.8), smallest=0.67)
    yield Rule("RAdam", rules.radam, (RATE, beta1, rectifying, epsilon))


def _others() -> Iterator[Rule]:
    rho = _fraction("rho", 0.9, 0.99, 0.95, 0.999, 0.5)
    yield Rule("Adadelta", rules.adadelta, (replace(RATE, usual=(1.0,)), rho, _epsilon(1e-6, 1e-8)))
    yield Rule(
        "Rprop",
        rules.rprop,
        (
            RATE,
            Hyperparameter("eta_minus", (0.5, 0.8, 0.2), zero=False),
            Hyperparameter("eta_plus", (1.2, 1.05, 1.5), zero=False),
            Hyperparameter("smallest_step", (1e-6,), largest=1e6, zero=False, felt=-1),
            Hyperparameter("largest_step", (50.0,), largest=1e6, zero=False, felt=1),
        ),
        seeds=_rprop_seeds,
    )


def _rprop_seeds(displacements: Any, gradients: Any) -> dict[str, tuple[float, ...]]:
    """Sizes that are clipped at all are seen at their bounds, and other bounds may lie anywhere beyond what is seen."""
    sizes = np.abs(displacements[displacements != 0])
    first = np.abs(displacements[0][displacements[0] != 0])
    return {
        "learning_rate": (float(np.median(first)) if first.size else 1e-2,),
        "smallest_step": (float(sizes.min()) * (1 - 1e-6),),
        "largest_step": (float(sizes.max()) * (1 + 1e-6),),
    }


def _instead(displacements: WeightedUpdate, update: Update) -> WeightedUpdate:
    return displacements


def _with_their_own_decay() -> Iterator[Rule]:
    for name, in_float32 in (("ASGD", False), ("ASGD with its rate in float32", True)):
        yield Rule(
            name,
            rules.sgd,
            (
                RATE,
                Hyperparameter("lambd", (1e-4, 1e-2, 1e-1), tiny=1e-3),
                Hyperparameter("alpha", (0.75, 1.0, 0.5)),
            ),
            decay=partial(_instead, rules.averaged_sgd(in_float32)),
            round=1,
            roundings=3,
            grain=2.0**-25 if in_float32 else 0.0,
            wider_than=() if in_float32 else (("SGD", ("lambd",)),),
            seeds=lambda d, g: {"learning_rate": (abs(float(np.sum(d * g) / np.sum(g * g))),)},
        )
    yield Rule(
        "Nesterov momentum with weight decay in its buffer only",
        rules.nesterov,
        (RATE, MOMENTUM, WEIGHT_DECAY),
        decay=partial(_instead, rules.nesterov_decay_in_buffer),
        roundings=2,
        round=1,
        wider_than=(("Nesterov momentum", ("weight_decay",)),),
    )


_DECAYS: tuple[tuple[str, Callable[[Update], WeightedUpdate], int], ...] = (
    ("with coupled weight decay", rules.coupled, 0),
    ("with decoupled weight decay", rules.decoupled, 0),
    ("with weight decay applied twice, coupled and decoupled", rules.decoupled_and_coupled, 1),
)


def _decayed(rule: Rule) -> Iterator[Rule]:
    for phrase, decay, fault in _DECAYS:
        yield replace(
            rule,
            name=_decayed_name(rule.name, phrase),
            hyperparameters=(*rule.hyperparameters, WEIGHT_DECAY),
            decay=decay,
            faults=rule.faults + fault,
            roundings=rule.roundings + 2,
            round=3 if rule.faults + fault else 1,
            wider_than=(
                (rule.name, ("weight_decay",)),
                *((_decayed_name(narrower, phrase), zero) for narrower, zero in rule.wider_than),
            ),
        )


def _decayed_name(name: str, phrase: str) -> str:
    if name.split()[0] == "Adam" and phrase == "with decoupled weight decay":
        return name.replace("Adam", "AdamW")
    return _with(name, phrase)


_MOVING_ONCE_PER_EPOCH = ("SGD", "momentum", "heavy ball", "exponential-average momentum", "RMSprop", "Adam")


def _once_per_epoch(rule: Rule) -> Iterator[Rule]:
    for phrase, update in (
        ("moving the weights once per epoch", rules.moved_once_per_epoch(rule.update)),
        ("on the sum of each epoch's gradients", rules.summed_over_epoch(rule.update, mean=False)),
        ("on the mean of each epoch's gradients", rules.summed_over_epoch(rule.update, mean=True)),
    ):
        yield replace(
            rule,
            name=f"{rule.name}, {phrase}",
            update=update,
            faults=1,
            periodic=True,
            moves_once_per_epoch=True,
            wider_than=tuple((f"{narrower}, {phrase}", zero) for narrower, zero in rule.wider_than),
        )


def _library() -> Iterator[Rule]:
    bases = (*_gradient_descent(), *_adagrad(), *_rmsprop(), *_adam_family(), *_others())
    yield from bases
    yield from _with_their_own_decay()
    for rule in bases:
        if rule.name != "Rprop":
            yield from _decayed(rule)
    for rule in _pairs():
        yield replace(rule, round=2)
    for rule in bases:
        if rule.name in _MOVING_ONCE_PER_EPOCH:
            yield from _once_per_epoch(rule)


RULES = tuple(_library())
"""Every rule, the simple ones first."""
