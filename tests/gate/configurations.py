"""The registry of optimizers on trial: a new configuration is one row, and every optimizer suite picks it up.

Each rule stands here with settings that tell it from its near-identical variants: a large epsilon shows where it is
added, a weight decay whether it is coupled, a short memory of the second moment whether AMSGrad keeps its maximum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from manual import optimizers
from manual.optimizers import Optimizer
from reference.published import published


@dataclass(frozen=True)
class Configuration:
    """An update rule of `manual.optimizers` with its hyperparameters."""

    id: str
    rule: str
    settings: tuple[tuple[str, float | bool], ...]
    epochs: int = 1
    """How long its free-running comparison takes."""
    frameworks: tuple[str, ...] = ("torch_optim", "optax_optim")
    """Who has the same rule. That the others have not is asserted too."""

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return dict(self.settings)

    @property
    def optimizer(self) -> Optimizer:
        made: Optimizer = getattr(optimizers, self.rule)(**self.hyperparameters)
        return made


def _row(rule: str, variant: str = "", **settings: float | bool) -> Configuration:
    return Configuration(f"{rule}-{variant}" if variant else rule, rule, tuple(settings.items()))


def _torch_row(rule: str, variant: str = "", **settings: float | bool) -> Configuration:
    """Of a rule that optax does not have, or has otherwise."""
    return replace(_row(rule, variant, **settings), frameworks=("torch_optim",))


def _published(rule: str, **keys: str) -> Configuration:
    """As the README document prints it, trained for as many epochs as its table of results."""
    values = {name: float(published(f"readme.{key}").value) for name, key in keys.items()}
    return replace(_row(rule, "published", **values), epochs=published("readme.losses.last_epoch").value)


CONFIGURATIONS = [
    _published("vanilla", learning_rate="sgd.learning_rate"),
    _published("momentum", learning_rate="momentum.learning_rate", gamma="momentum.gamma"),
    _published(
        "adam",
        learning_rate="adam.learning_rate",
        beta1="adam.beta1",
        beta2="adam.beta2",
        epsilon="adam.epsilon",
    ),
    _row("averaged_momentum", learning_rate=0.05, beta=0.9),
    _row("sgd", learning_rate=0.02),
    _row("sgd", "decay", learning_rate=0.02, weight_decay=0.1),
    _row("sgd", "momentum", learning_rate=0.02, momentum=0.9),
    _torch_row("sgd", "dampening", learning_rate=0.02, momentum=0.8, dampening=0.5),
    _torch_row("sgd", "dampening-decay", learning_rate=0.02, momentum=0.8, dampening=0.5, weight_decay=0.1),
    _row("sgd", "nesterov", learning_rate=0.02, momentum=0.9, nesterov=True),
    _row("sgd", "nesterov-decay", learning_rate=0.02, momentum=0.9, weight_decay=0.1, nesterov=True),
    _row("sgd", "maximize-decay", learning_rate=0.001, momentum=0.5, weight_decay=0.1, maximize=True),
    _torch_row("adagrad"),
    _row("adagrad", "epsilon0", learning_rate=0.05, initial_sum=0.1, epsilon=0.0),
    _torch_row("adagrad", "epsilon", epsilon=0.1),
    _torch_row("adagrad", "rate-decay", learning_rate_decay=0.1, weight_decay=0.1, initial_sum=0.5),
    _torch_row("adagrad", "maximize", learning_rate=0.001, maximize=True),
    _row("adadelta"),
    _row("adadelta", "epsilon-decay", rho=0.5, epsilon=0.01, weight_decay=0.1),
    _row("adadelta", "maximize", learning_rate=0.1, maximize=True),
    _row("rmsprop", learning_rate=0.001),
    _row("rmsprop", "epsilon", learning_rate=0.001, alpha=0.9, epsilon=0.1),
    _row("rmsprop", "centered", learning_rate=0.001, centered=True),
    _row("rmsprop", "momentum", learning_rate=0.001, momentum=0.9),
    _row("rmsprop", "all", learning_rate=0.001, centered=True, momentum=0.9, weight_decay=0.1, epsilon=0.01),
    _row("rmsprop", "maximize", learning_rate=0.0001, maximize=True),
    _row("adam"),
    _row("adam", "epsilon", epsilon=0.1),
    _row("adam", "decay", weight_decay=0.1),
    _row("adam", "decoupled", weight_decay=0.1, decoupled=True),
    _row("adam", "maximize", learning_rate=0.0001, maximize=True),
    _row("adamw"),
    _row("adamw", "decay", weight_decay=0.5),
    _torch_row("amsgrad"),
    _torch_row("amsgrad", "short-memory", beta2=0.9),
    _torch_row("amsgrad", "epsilon-decay", beta2=0.9, epsilon=0.1, weight_decay=0.1),
    _torch_row("amsgrad", "decoupled", beta2=0.9, weight_decay=0.1, decoupled=True),
    _row("adamax"),
    _row("adamax", "epsilon", epsilon=0.1, beta2=0.9),
    _row("adamax", "decay", weight_decay=0.1),
    _torch_row("nadam"),
    _row("nadam", "constant", momentum_decay=1000.0),
    _torch_row("nadam", "epsilon-decay", epsilon=0.1, weight_decay=0.1),
    _torch_row("nadam", "decoupled", weight_decay=0.1, decoupled=True),
    _torch_row("radam"),
    _row("radam", "epsilon0", epsilon=0.0),
    _torch_row("radam", "epsilon-decay", epsilon=0.1, beta2=0.9, weight_decay=0.1),
    _torch_row("radam", "decoupled", weight_decay=0.1, decoupled=True),
    _torch_row("asgd"),
    _torch_row("asgd", "averaging", learning_rate=0.05, decay=0.1, start=100.0),
    _torch_row("asgd", "decay", alpha=1.0, weight_decay=0.1),
    # With longer steps tanh saturates until only thousands of digits could tell the sign of its gradient.
    _torch_row("rprop", learning_rate=1e-4, largest=1e-3),
    _torch_row("rprop", "gentle", learning_rate=1e-4, shrink=0.8, grow=1.05, smallest=1e-5, largest=1e-3),
]
