"""A trajectory of weights is traced to the update rule that made it, right or wrong, with its hyperparameters to the
last digit, and to no rule at all where none made it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from manual import nine_weight
from oracles.identification import Identification, identify_optimizer
from reference.datasets import housing

Array = NDArray[np.float64]
Step = Callable[[Array, Array, int], Array]
Course = tuple[Array, Array]

X, Y = housing()
EPOCH = len(X)
STEPS = 2 * EPOCH


def initial(seed: int) -> Array:
    return np.random.default_rng(seed).normal(0.0, 0.01, 9)


def gradient(w: Array, k: int) -> Array:
    """Of step k, counted from 0: the samples in their order, epoch after epoch."""
    return nine_weight.loss_and_gradient(w, X[k % EPOCH], Y[k % EPOCH])[1]


def trained(step: Step, steps: int = STEPS, seed: int = 0) -> Course:
    """The weights and gradients of training by `step(w, g, t)`, which returns the next weights; t counts from 1."""
    trajectory, gradients = [initial(seed)], []
    for k in range(steps):
        gradients.append(gradient(trajectory[-1], k))
        trajectory.append(step(trajectory[-1].copy(), gradients[-1], k + 1))
    return np.array(trajectory), np.array(gradients)


def torch_trained(optimizer: Any, steps: int = STEPS, seed: int = 0, **options: Any) -> Course:
    w = torch.tensor(initial(seed), requires_grad=True)
    stepper = optimizer([w], **options)

    def step(_: Array, g: Array, t: int) -> Array:
        w.grad = torch.from_numpy(g)
        stepper.step()
        return w.detach().numpy().copy()

    return trained(step, steps, seed)


def names(found: Identification) -> list[str]:
    """The rules that fit, without those that only contain another one that does."""
    return [e.rule for e in found.explanations if e.contains is None]


# --- torch.optim ----------------------------------------------------------------------------------------------------

optim = torch.optim
MOMENTA = ["momentum", "heavy ball", "exponential-average momentum"]
ADAM = {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
ODD = {"learning_rate": 0.0123, "beta1": 0.913, "beta2": 0.9871, "epsilon": 3.7e-7}
ODD_OPTIONS = {"lr": 0.0123, "betas": (0.913, 0.9871), "eps": 3.7e-7}
RMS = {"learning_rate": 0.0017, "alpha": 0.987, "epsilon": 2e-6}
RMS_OPTIONS = {"lr": 0.0017, "alpha": 0.987, "eps": 2e-6}

TORCH = [
    ("SGD", optim.SGD, {"lr": 0.001}, ["SGD"], {"learning_rate": 0.001}),
    ("SGD-odd", optim.SGD, {"lr": 0.0123}, ["SGD"], {"learning_rate": 0.0123}),
    (
        "SGD-decay",
        optim.SGD,
        {"lr": 0.0123, "weight_decay": 0.031},
        ["SGD with coupled weight decay", "SGD with decoupled weight decay", "ASGD"],
        {"learning_rate": 0.0123, "weight_decay": 0.031},
    ),
    (
        "momentum",
        optim.SGD,
        {"lr": 0.001, "momentum": 0.9},
        MOMENTA,
        {"learning_rate": 0.001, "momentum": 0.9},
    ),
    (
        "dampening",
        optim.SGD,
        {"lr": 0.0123, "momentum": 0.87, "dampening": 0.31},
        ["momentum with dampening"],
        {"learning_rate": 0.0123, "momentum": 0.87, "dampening": 0.31},
    ),
    (
        "momentum-decay",
        optim.SGD,
        {"lr": 0.001, "momentum": 0.9, "weight_decay": 0.01},
        [f"{rule} with coupled weight decay" for rule in MOMENTA],
        {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.01},
    ),
    (
        "Nesterov",
        optim.SGD,
        {"lr": 0.0023, "momentum": 0.85, "nesterov": True},
        ["Nesterov momentum"],
        {"learning_rate": 0.0023, "momentum": 0.85},
    ),
    (
        "Adagrad",
        optim.Adagrad,
        {"lr": 0.0123},
        ["Adagrad"],
        {"learning_rate": 0.0123, "epsilon": 1e-10},
    ),
    (
        "Adagrad-decaying",
        optim.Adagrad,
        {"lr": 0.0123, "lr_decay": 0.0031, "initial_accumulator_value": 0.07},
        ["Adagrad with a decaying rate and with an initial accumulator"],
        {"learning_rate": 0.0123, "epsilon": 1e-10, "lr_decay": 0.0031, "initial_accumulator_value": 0.07},
    ),
    (
        "Adadelta",
        optim.Adadelta,
        {"lr": 0.83, "rho": 0.93, "eps": 1e-6},
        ["Adadelta"],
        {"learning_rate": 0.83, "rho": 0.93, "epsilon": 1e-6},
    ),
    (
        "RMSprop",
        optim.RMSprop,
        RMS_OPTIONS,
        ["RMSprop", "Adam without bias correction", "Adam with constant bias correction 1 - beta"],
        RMS,
    ),
    ("RMSprop-centered", optim.RMSprop, {**RMS_OPTIONS, "centered": True}, ["centered RMSprop"], RMS),
    (
        "RMSprop-centered-momentum",
        optim.RMSprop,
        {**RMS_OPTIONS, "centered": True, "momentum": 0.83},
        ["centered RMSprop with momentum"],
        {**RMS, "momentum": 0.83},
    ),
    ("Adam", optim.Adam, {"lr": 0.001}, ["Adam"], ADAM),
    ("Adam-odd", optim.Adam, ODD_OPTIONS, ["Adam"], ODD),
    ("Adam-maximize", optim.Adam, {"maximize": True}, ["Adam, maximizing"], ADAM),
    (
        "Adam-decay",
        optim.Adam,
        {**ODD_OPTIONS, "weight_decay": 0.023},
        ["Adam with coupled weight decay"],
        {**ODD, "weight_decay": 0.023},
    ),
    ("AdamW", optim.AdamW, {**ODD_OPTIONS, "weight_decay": 0.023}, ["AdamW"], {**ODD, "weight_decay": 0.023}),
    ("AdamW-usual", optim.AdamW, {}, ["AdamW"], {**ADAM, "weight_decay": 0.01}),
    ("AMSGrad", optim.Adam, {**ODD_OPTIONS, "amsgrad": True}, ["AMSGrad"], ODD),
    ("Adamax", optim.Adamax, ODD_OPTIONS, ["Adamax"], ODD),
    ("RAdam", optim.RAdam, ODD_OPTIONS, ["RAdam"], ODD),
    (
        "NAdam",
        optim.NAdam,
        {**ODD_OPTIONS, "momentum_decay": 0.0071},
        ["NAdam with its product of momenta in float32"],
        {**ODD, "momentum_decay": 0.0071},
    ),
    (
        "ASGD",
        optim.ASGD,
        {"lr": 0.013, "lambd": 0.003, "alpha": 0.6},
        ["ASGD with its rate in float32"],
        {"learning_rate": 0.013, "lambd": 0.003, "alpha": 0.6},
    ),
    (
        "Rprop",
        optim.Rprop,
        {"lr": 0.0013, "etas": (0.41, 1.13), "step_sizes": (1e-4, 0.023)},
        ["Rprop"],
        {
            "learning_rate": 0.0013,
            "eta_minus": 0.41,
            "eta_plus": 1.13,
            "smallest_step": 1e-4,
            "largest_step": 0.023,
        },
    ),
]


@pytest.mark.parametrize(
    ("optimizer", "options", "rules", "hyperparameters"), [pytest.param(*row[1:], id=row[0]) for row in TORCH]
)
def test_torch_optimizers_are_named(
    optimizer: Any, options: dict[str, Any], rules: list[str], hyperparameters: dict[str, float]
) -> None:
    found = identify_optimizer(*torch_trained(optimizer, **options))
    assert found.rule == rules[0]
    assert found.hyperparameters == hyperparameters
    assert sorted(names(found)) == sorted(rules)
    assert found.nearest is None
    assert found.steps == STEPS
