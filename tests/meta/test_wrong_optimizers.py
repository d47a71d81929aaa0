"""Every wrong optimizer makes the mistake that it is named for, and it shows at the step at which it has to."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb, ctx

from manual import wrong_optimizers
from manual.optimizers import Optimizer
from manual.wrong_optimizers import CORRECTIONS
from oracles.agreement import compare
from oracles.ball import lift
from oracles.subject import on_balls
from reference.datasets import housing
from tests.gate import trajectories
from tests.gate.configurations import Configuration
from tests.gate.trajectories import initial_weights, step_radii

Array = np.ndarray[Any, Any]
on_ball: Callable[..., Any] = lift  # the hand-written code is typed for floats, and balls stand in for them
EPOCH = len(housing().y)
DOCUMENT = {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
EXACT_ROOTS = DOCUMENT | {"epsilon": 0.0}
PER_EPOCH = {"steps_per_epoch": EPOCH}


class Wrong(NamedTuple):
    """A wrong rule beside the right one, and the step at which they part."""

    id: str
    rule: str
    settings: dict[str, Any]
    right: str
    right_settings: dict[str, Any]
    departs_at: int


def _wrong(rule: str, settings: dict[str, Any], departs_at: int, variant: str = "") -> Wrong:
    """One of Adam's variants."""
    right = {name: value for name, value in settings.items() if name in DOCUMENT}
    return Wrong(f"{rule}{variant}", rule, settings, "adam", right, departs_at)


DECAY = {"weight_decay": 0.1}
WRONG = [
    _wrong("adam_constant_correction", DOCUMENT, 2),  # at the first step 1 - β^t is 1 - β
    _wrong("adam_epsilon_inside", DOCUMENT, 1),
    _wrong("adam_without_correction", DOCUMENT | {"beta2": 0.999}, 1),
    # (1 - β1) / √(1 - β2) is 1 for the documents' β, so that nothing but ε tells m / √v from m̂ / √v̂ at the first step.
    _wrong("adam_without_correction", DOCUMENT, 1, "-by-epsilon-alone"),
    _wrong("adam_without_correction", EXACT_ROOTS, 2, "-and-epsilon"),
    _wrong("adam_step_per_epoch", DOCUMENT | PER_EPOCH, 2),
    _wrong("adam_shared_state", DOCUMENT, 1),
    Wrong("adam_decoupled_decay", "adam_decoupled_decay", DECAY, "adam", DECAY, 1),
    Wrong("adamw_coupled_decay", "adamw_coupled_decay", DECAY, "adamw", DECAY, 1),
    Wrong(
        "momentum_once_per_epoch-average",
        "momentum_once_per_epoch",
        {"learning_rate": 0.05, "beta": 0.9, **PER_EPOCH},
        "averaged_momentum",
        {"learning_rate": 0.05, "beta": 0.9},
        1,
    ),
    Wrong(
        "momentum_once_per_epoch-sum",
        "momentum_once_per_epoch",
        {"learning_rate": 0.01, "beta": 0.9, "average": False, **PER_EPOCH},
        "sgd",
        {"learning_rate": 0.01, "momentum": 0.9},
        1,
    ),
    Wrong(
        "momentum_restarted_each_epoch",
        "momentum_restarted_each_epoch",
        {"learning_rate": 0.01, "gamma": 0.9, **PER_EPOCH},
        "momentum",
        {"learning_rate": 0.01, "gamma": 0.9},
        EPOCH + 1,
    ),
]
