"""Training runs over the 506 samples, one update each: by hand, by torch.optim and by optax under lax.scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from manual import nine_weight
from manual.training import train
from oracles import optax_optim, torch_optim
from oracles.counterpart import Run
from oracles.graphs import nine_weight as graph
from reference.datasets import housing
from tests.bench.side_by_side import Absent, Comparison, Competitor
from tests.gate.configurations import CONFIGURATIONS, Configuration

POPULATIONS = (1, 64, 1000)


def ways(configuration: Configuration, population: int) -> Mapping[str, Competitor | Absent]:
    """The same run, for as many epochs as the configuration's comparison in the gate takes."""
    x, y = housing()
    weights = np.random.default_rng(0).normal(0, 0.1, (population, 9))
    epochs, rule, hyperparameters = configuration.epochs, configuration.rule, configuration.hyperparameters
    by_hand = partial(train, nine_weight.loss_and_gradient, configuration.optimizer, weights, x, y, epochs, (), False)

    def theirs(name: str, run: Callable[..., Run]) -> Competitor | Absent:
        if name not in configuration.frameworks:
            return Absent(f"has no {rule} of this definition")
        return Competitor(lambda: run(rule, hyperparameters, graph, weights, x, y, epochs, ()).losses)

    return {
        "manual": Competitor(lambda: by_hand().losses),
        "torch.optim": theirs("torch_optim", torch_optim.train),
        "optax, lax.scan": theirs("optax_optim", optax_optim.train),
    }


def agree(results: Mapping[str, Any]) -> None:
    """The mean losses of half of the runs show that it is the same training; how far runs drift apart is the gate's.

    Of a thousand runs of Rprop, which goes by signs, one may take another turn where a sign is rounding's.
    """
    for name, losses in results.items():
        apart = float(np.median(np.abs(losses - results["manual"]) / np.abs(results["manual"])))
        assert apart < 1e-6, f"{name} trains to other losses, by {apart:.1e}"


def _one_of_each() -> list[Configuration]:
    """The documents' own settings, and of every other rule the first that most frameworks have."""
    chosen: dict[str, Configuration] = {}
    for configuration in sorted(CONFIGURATIONS, key=lambda c: (c.epochs, len(c.frameworks)), reverse=True):
        chosen.setdefault(configuration.rule, configuration)
    return list(chosen.values())


COMPARISONS = {
    f"training-{c.rule}-{population}": Comparison(partial(ways, c, population), agree)
    for c in _one_of_each()
    for population in POPULATIONS
}
