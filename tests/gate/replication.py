"""The published results of training, run again for a population of initial weights."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from manual import nine_weight
from manual.optimizers import Optimizer
from manual.training import train
from manual.wrong_optimizers import CORRECTIONS, adam_variant
from reference.datasets import housing
from reference.published import published
from tests.gate.configurations import CONFIGURATIONS, Configuration

Array = np.ndarray[Any, Any]
POPULATION = 1000
EPOCHS = int(published("readme.losses.last_epoch").value)
ROWS = {"vanilla": "sgd", "momentum": "momentum", "adam": "adam"}
"""The rows of the README document's table of results: our name of the rule, and the key of its figures."""
STATED = {c.rule: c for c in CONFIGURATIONS if c.id.endswith("-published")}


@dataclass(frozen=True)
class Variant:
    """Adam with the README document's hyperparameters, and what else an author may have written."""

    correction: str
    inside: bool
    epsilon: float

    @property
    def id(self) -> str:
        return f"correction-{self.correction}-epsilon{self.epsilon:g}-{'inside' if self.inside else 'outside'}"

    @property
    def words(self) -> str:
        exponents = {"step": "t", "constant": "1", "none": "none", "epoch": "the epoch"}
        place = "inside" if self.inside else "outside"
        return f"bias correction exponent {exponents[self.correction]}, epsilon {self.epsilon:g} {place} the root"

    @property
    def optimizer(self) -> Optimizer:
        given = STATED["adam"].hyperparameters | {"epsilon": self.epsilon}
        steps = len(housing()[1])
        return adam_variant(**given, correction=self.correction, inside=self.inside, steps_per_epoch=steps)


VARIANTS = [
    Variant(correction, inside, float(published(key).value))
    for correction, inside, key in product(
        CORRECTIONS, (False, True), ("readme.adam.epsilon", "assignment.adam_code.epsilon")
    )
]


EXPLANATION = Variant("constant", True, float(published("readme.adam.epsilon").value))
"""What Adam's published row comes from: the assignment's code for the bias, its formula for the place of epsilon."""


@dataclass(frozen=True)
class Population:
    """The losses (E, R) of R runs, one mean for each epoch."""

    losses: Array

    def explains(self, row: str) -> bool:
        """Whether the row's two losses lie among those of the runs, and most of the runs fall in every epoch."""
        return all(0 < self.percentile(row, when) < 100 for when in ("first", "last")) and self.monotone > 50

    def percentile(self, row: str, when: str) -> float:
        """The share of the runs, in percent, that stay below the published loss of the "first" or "last" epoch."""
        figure = published_loss(row, when)
        return float(100 * np.mean(self.losses[0 if when == "first" else -1] < figure))

    @property
    def monotone(self) -> float:
        """The share of the runs, in percent, whose loss falls in every epoch."""
        return float(100 * np.mean((np.diff(self.losses, axis=0) < 0).all(axis=0)))

    @property
    def exponential(self) -> float:
        """The share of the runs, in percent, that an exponential fits better than a power of the epoch does."""
        epoch = np.arange(1, len(self.losses) + 1)
        misfits = [_misfit(against, np.log(self.losses)) for against in (epoch, np.log(epoch))]
        return float(100 * np.mean(misfits[0] < misfits[1]))


def _misfit(x: Array, y: Array) -> Array:
    """(R) sum of squares that straight lines in x (E) leave of y (E, R)."""
    _, left, *_ = np.polyfit(x, y, 1, full=True)
    return np.asarray(left)


def published_loss(row: str, when: str) -> float:
    """A figure of the table of results."""
    return float(published(f"readme.losses.{ROWS[row]}_{when}").value)


def explains(variant: Variant, row: str, seed: int, size: int) -> bool:
    """Whether `size` runs of a variant explain a row. One that misses its first loss is not run to the last."""
    begun = population(variant, seed, size, epochs=1).percentile(row, "first")
    return 0 < begun < 100 and population(variant, seed, size).explains(row)


def population(source: Configuration | Variant, seed: int, size: int = POPULATION, epochs: int = EPOCHS) -> Population:
    """`size` runs of an optimizer, from weights drawn as the documents draw them, over their number of epochs."""
    x, y = housing()
    mean, std = (float(published(f"assignment.initial_weights.{name}").value) for name in ("mean", "std"))
    start = np.random.default_rng(zlib.crc32(f"{seed}-replication".encode())).normal(mean, std, (size, 9))
    return Population(
        train(nine_weight.loss_and_gradient, source.optimizer, start, x, y, epochs, progress=False).losses
    )


class Claim(NamedTuple):
    """A published statement on training, whether it holds, and the evidence."""

    name: str
    published: str
    holds: bool
    evidence: str


def claims(seed: int) -> list[Claim]:
    """Every claim of the README document on its training results, against `POPULATION` runs of each optimizer."""
    stated = {row: population(configuration, seed) for row, configuration in STATED.items()}
    as_run = population(EXPLANATION, seed)
    adams = (stated["adam"], as_run)
    return [
        *(_row_claim(row, row, runs) for row, runs in stated.items()),
        _row_claim("adam, as run", "adam", as_run, f" ({EXPLANATION.words})"),
        _ratio_claim(stated["vanilla"], stated["momentum"]),
        _shares_claim("adam highest at first", [_ahead(a, stated, 0) for a in adams]),
        _shares_claim("adam lowest at last", [_ahead(a, stated, -1) for a in adams]),
        _shares_claim(
            "adam decays exponentially", [a.exponential for a in adams], "fitted better than by a power of the epoch: "
        ),
    ]


def _row_claim(name: str, row: str, runs: Population, note: str = "") -> Claim:
    figures = [f"{published_loss(row, when):.3g}" for when in ("first", "last")]
    places = [f"{when} {_place(runs.percentile(row, when))}" for when in ("first", "last")]
    medians = f"medians {np.median(runs.losses[0]):.3g}, {np.median(runs.losses[-1]):.3g}"
    evidence = f"{', '.join(places)}, {medians}, {runs.monotone:.0f}% monotone{note}"
    return Claim(name, ", ".join(figures), runs.explains(row), evidence)


def _place(percentile: float) -> str:
    if percentile in (0, 100):
        return f"{'below' if percentile == 0 else 'above'} all runs"
    return f"at percentile {percentile:.1f}"


def _ratio_claim(vanilla: Population, momentum: Population) -> Claim:
    claimed = published("readme.claim.momentum_times_faster_than_sgd").value
    low, middle, high = np.percentile(vanilla.losses[-1] / momentum.losses[-1], [5, 50, 95])
    evidence = f"a ratio of last losses: median {middle:.0f}, nine runs in ten from {low:.0f} to {high:.0f}"
    return Claim("momentum times faster", str(claimed), bool(low <= claimed <= high), evidence)


def _ahead(adam: Population, stated: dict[str, Population], epoch: int) -> float:
    """The share of the initial weights, in percent, from which Adam has the highest first or the lowest last loss."""
    others = np.array([stated[row].losses[epoch] for row in ("vanilla", "momentum")])
    beyond = adam.losses[0] > others.max(axis=0) if epoch == 0 else adam.losses[-1] < others.min(axis=0)
    return float(100 * np.mean(beyond))


def _shares_claim(name: str, shares: list[float], how: str = "") -> Claim:
    as_stated, as_run = shares
    evidence = f"{how}{as_stated:.0f}% of runs as stated, {as_run:.0f}% as run"
    return Claim(name, "yes", min(shares) > 50, evidence)
