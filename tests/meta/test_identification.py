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
from oracles.identification_fit import fit
from oracles.identification_library import RULES, Rule
from oracles.identification_replay import Candidate, Course, replay, tolerance
from oracles.identification_rounding import UNIT_ROUNDOFF
from reference.datasets import housing

Array = NDArray[np.float64]
Step = Callable[[Array, Array, int], Array]
Trained = tuple[Array, Array]

X, Y = housing()
EPOCH = len(X)
STEPS = 2 * EPOCH


def initial(seed: int) -> Array:
    return np.random.default_rng(seed).normal(0.0, 0.01, 9)


def gradient(w: Array, k: int) -> Array:
    """Of step k, counted from 0: the samples in their order, epoch after epoch."""
    return nine_weight.loss_and_gradient(w, X[k % EPOCH], Y[k % EPOCH])[1]


def trained(step: Step, steps: int = STEPS, seed: int = 0) -> Trained:
    """The weights and gradients of training by `step(w, g, t)`, which returns the next weights; t counts from 1."""
    trajectory, gradients = [initial(seed)], []
    for k in range(steps):
        gradients.append(gradient(trajectory[-1], k))
        trajectory.append(step(trajectory[-1].copy(), gradients[-1], k + 1))
    return np.array(trajectory), np.array(gradients)


def torch_trained(optimizer: Any, steps: int = STEPS, seed: int = 0, **options: Any) -> Trained:
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
    found = identify_optimizer(*torch_trained(optimizer, **options), steps_per_epoch=EPOCH)
    assert found.rule == rules[0]
    assert found.hyperparameters == hyperparameters
    assert sorted(names(found)) == sorted(rules)
    assert found.nearest is None
    assert found.steps == STEPS


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def test_torch_keeps_scalars_in_its_default_dtype_and_the_difference_is_seen() -> None:
    with default_dtype(torch.float64):
        nadam = identify_optimizer(*torch_trained(optim.NAdam, steps=200, lr=0.0123))
        asgd = identify_optimizer(*torch_trained(optim.ASGD, steps=200, lr=0.0123, lambd=0.003))
    assert names(nadam) == ["NAdam"]
    assert nadam.hyperparameters == {**ADAM, "learning_rate": 0.0123, "momentum_decay": 0.004}
    assert names(asgd) == ["ASGD"]
    assert asgd.hyperparameters == {"learning_rate": 0.0123, "lambd": 0.003, "alpha": 0.75}


# --- well-known mistakes, as plain loops ----------------------------------------------------------------------------


def adam_step(
    m_hat: Callable[[Array, int], Array],
    v_hat: Callable[[Array, int], Array],
    divide: Callable[[Array, Array], Array],
    weight_decay: float = 0.0,
) -> Step:
    """Adam with beta1 = 0.9 and beta2 = 0.99, with its corrections and its denominator to be filled in."""
    m = v = np.zeros(9)

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal m, v
        g = g + weight_decay * w
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g**2
        return w - 0.001 * divide(m_hat(m, t), v_hat(v, t))

    return step


def outside(m: Array, v: Array) -> Array:
    return m / (np.sqrt(v) + 1e-8)


def inside(m: Array, v: Array) -> Array:
    return m / np.sqrt(v + 1e-8)


def m_right(m: Array, t: int) -> Array:
    return m / (1 - 0.9**t)


def v_right(v: Array, t: int) -> Array:
    return v / (1 - 0.99**t)


def unchanged(moment: Array, t: int) -> Array:
    return moment


def flashlight_step() -> Step:
    """t += 1 in the loop over the weights, and the correction in the rate."""
    m, v, count = np.zeros(9), np.zeros(9), 0

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal count
        for i in range(9):
            count += 1
            m[i] = 0.9 * m[i] + 0.1 * g[i]
            v[i] = 0.99 * v[i] + 0.01 * g[i] ** 2
            w[i] -= 0.001 * np.sqrt(1 - 0.99**count) / (1 - 0.9**count) * m[i] / (np.sqrt(v[i]) + 1e-8)
        return w

    return step


def counted_by_weight_step() -> Step:
    """Adam as published, but for t += 1 in the loop over the weights."""
    m, v, count = np.zeros(9), np.zeros(9), 0

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal count
        for i in range(9):
            count += 1
            m[i] = 0.9 * m[i] + 0.1 * g[i]
            v[i] = 0.99 * v[i] + 0.01 * g[i] ** 2
            w[i] -= 0.001 * (m[i] / (1 - 0.9**count)) / (np.sqrt(v[i] / (1 - 0.99**count)) + 1e-8)
        return w

    return step


def one_state_step() -> Step:
    """Adam with one m and one v in the loop over the weights."""
    m = v = 0.0

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal m, v
        for i in range(9):
            m = 0.9 * m + 0.1 * g[i]
            v = 0.99 * v + 0.01 * g[i] ** 2
            w[i] -= 0.001 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
        return w

    return step


def one_second_moment_step() -> Step:
    m, v = np.zeros(9), 0.0

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal m, v
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * float(np.mean(g**2))
        moved: Array = w - 0.001 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
        return moved

    return step


def one_velocity_step() -> Step:
    v = 0.0

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal v
        for i in range(9):
            v = 0.9 * v + 0.001 * g[i]
            w[i] -= v
        return w

    return step


def momentum_step(move: Callable[[Array, Array, Array], Array], retained: float = 0.9, fresh: float = 1.0) -> Step:
    """v = retained v + fresh g, then `move(w, g, v)`."""
    v = np.zeros(9)

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal v
        v = retained * v + fresh * g
        return move(w, g, v)

    return step


def mxnet_step(times: int) -> Step:
    """Nesterov's momentum with weight decay in the buffer, and a second time beside it or not."""
    v = np.zeros(9)

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal v
        v = 0.9 * v + (g + 0.01 * w)
        return w - 0.001 * (g + (times - 1) * 0.01 * w + 0.9 * v)

    return step


def rmsprop_inside_step() -> Step:
    v = np.zeros(9)

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal v
        v = 0.9 * v + 0.1 * g**2
        return w - 0.001 * g / np.sqrt(v + 1e-7)

    return step


def once_per_epoch_step() -> Step:
    """The assignment's momentum: the average takes in every gradient, and the weights move after the last one."""
    m = np.zeros(9)

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal m
        m = 0.9 * m + (1 - 0.9) * g
        return w - 0.001 * m if t % EPOCH == 0 else w

    return step


def sum_over_epoch_step() -> Step:
    total = np.zeros(9)

    def step(w: Array, g: Array, t: int) -> Array:
        nonlocal total
        total = total + g
        if t % EPOCH:
            return w
        moved = w - 0.001 * total
        total = np.zeros(9)
        return moved

    return step


DOCUMENT = {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
UNCORRECTED, CONSTANT = "Adam without bias correction", "Adam with constant bias correction 1 - beta"
INSIDE = "with epsilon inside the square root"
BY_EPOCH = "Adam with its step counter advanced once per epoch"
ONCE = "moving the weights once per epoch"

MISTAKES: list[tuple[str, Callable[[], Step], list[str], dict[str, float]]] = [
    (
        "Adam-constant-correction",
        lambda: adam_step(lambda m, t: m / (1 - 0.9), lambda v, t: v / (1 - 0.99), outside),
        [CONSTANT, UNCORRECTED],
        DOCUMENT,
    ),
    ("Adam-uncorrected", lambda: adam_step(unchanged, unchanged, outside), [UNCORRECTED, CONSTANT], DOCUMENT),
    ("Adam-epsilon-inside", lambda: adam_step(m_right, v_right, inside), [f"Adam {INSIDE}"], DOCUMENT),
    (
        "Adam-Keras",
        lambda: adam_step(lambda m, t: m * np.sqrt(1 - 0.99**t) / (1 - 0.9**t), unchanged, outside),
        ["Adam with epsilon outside the correction"],
        DOCUMENT,
    ),
    (
        "Adam-AdaBound",
        lambda: adam_step(lambda m, t: m * np.sqrt(1 - (1 - 0.99**t)) / (1 - 0.9**t), unchanged, outside),
        ["Adam with sqrt(beta2^t) for sqrt(1 - beta2^t)"],
        DOCUMENT,
    ),
    (
        "Adam-t-by-epoch",
        lambda: adam_step(
            lambda m, t: m_right(m, (t - 1) // EPOCH + 1), lambda v, t: v_right(v, (t - 1) // EPOCH + 1), outside
        ),
        [BY_EPOCH],
        {**DOCUMENT, "steps_per_epoch": EPOCH},
    ),
    ("Adam-t-by-weight", counted_by_weight_step, ["Adam with its step counter advanced for each weight"], DOCUMENT),
    (
        "Adam-flashlight",
        flashlight_step,
        ["Adam with epsilon outside the correction and with its step counter advanced for each weight"],
        DOCUMENT,
    ),
    ("Adam-one-state", one_state_step, ["Adam with m and v carried from weight to weight"], DOCUMENT),
    ("Adam-one-second-moment", one_second_moment_step, ["Adam with one second moment for all weights"], DOCUMENT),
    (
        "Adam-two-faults",
        lambda: adam_step(lambda m, t: m / (1 - 0.9), lambda v, t: v / (1 - 0.99), inside),
        [f"{CONSTANT} and {INSIDE}", f"{UNCORRECTED} and {INSIDE}"],
        DOCUMENT,
    ),
    (
        "Adam-decay-sign",
        lambda: adam_step(m_right, v_right, outside, weight_decay=-0.02),
        ["Adam with coupled weight decay of the wrong sign"],
        {**DOCUMENT, "weight_decay": 0.02},
    ),
    (
        "SGD-decay-sign",
        lambda: lambda w, g, t: w - 0.01 * (g - 0.03 * w),
        [f"SGD with {kind} weight decay of the wrong sign" for kind in ("coupled", "decoupled")],
        {"learning_rate": 0.01, "weight_decay": 0.03},
    ),
    (
        "momentum-decay-sign",
        lambda: momentum_step(lambda w, g, v: w - 0.01 * v + 0.01 * 0.03 * w),
        [f"{rule} with decoupled weight decay of the wrong sign" for rule in MOMENTA],
        {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.03},
    ),
    (
        "Nesterov-decay-twice",
        lambda: mxnet_step(2),
        ["Nesterov momentum with coupled weight decay"],
        {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.01},
    ),
    (
        "Nesterov-decay-once",
        lambda: mxnet_step(1),
        ["Nesterov momentum with weight decay in its buffer only"],
        {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.01},
    ),
    (
        "momentum-averaged",
        lambda: momentum_step(lambda w, g, v: w - 0.001 * v, fresh=0.1),
        ["exponential-average momentum", "momentum", "heavy ball"],
        {"learning_rate": 0.001, "beta": 0.9},
    ),
    (
        "momentum-MLX",
        lambda: momentum_step(lambda w, g, v: w - 0.001 * v, fresh=0.7),
        ["momentum", "heavy ball", "exponential-average momentum"],
        {"learning_rate": 0.0007, "momentum": 0.9},
    ),
    (
        "momentum-one-velocity",
        one_velocity_step,
        ["heavy ball with v carried from weight to weight"],
        {"learning_rate": 0.001, "momentum": 0.9},
    ),
    (
        "RMSprop-inside",
        rmsprop_inside_step,
        [f"RMSprop {INSIDE}"],
        {"learning_rate": 0.001, "alpha": 0.9, "epsilon": 1e-7},
    ),
    (
        "momentum-once-per-epoch",
        once_per_epoch_step,
        [f"{rule}, {ONCE}" for rule in ("exponential-average momentum", "momentum", "heavy ball")],
        {"learning_rate": 0.001, "beta": 0.9, "steps_per_epoch": EPOCH},
    ),
    (
        "SGD-on-sums",
        sum_over_epoch_step,
        [f"SGD, on the {kind} of each epoch's gradients" for kind in ("sum", "mean")],
        {"learning_rate": 0.001, "steps_per_epoch": EPOCH},
    ),
]


@pytest.mark.parametrize(("step", "rules", "hyperparameters"), [pytest.param(*row[1:], id=row[0]) for row in MISTAKES])
def test_mistakes_are_named(step: Callable[[], Step], rules: list[str], hyperparameters: dict[str, float]) -> None:
    found = identify_optimizer(*trained(step()), steps_per_epoch=EPOCH)
    assert found.rule == rules[0]
    assert found.hyperparameters == hyperparameters
    assert sorted(names(found)) == sorted(rules)


def test_the_length_of_an_epoch_is_inferred_where_it_shows_and_one_epoch_does_not_show_it() -> None:
    trajectory, gradients = trained(MISTAKES[5][1]())
    found = identify_optimizer(trajectory, gradients)
    assert names(found) == [BY_EPOCH]
    assert found.hyperparameters == {**DOCUMENT, "steps_per_epoch": EPOCH}
    first = identify_optimizer(trajectory[: EPOCH + 1], gradients[:EPOCH])
    assert sorted(names(first)) == sorted([BY_EPOCH, CONSTANT, UNCORRECTED])


# --- no rule --------------------------------------------------------------------------------------------------------


@cache
def adam_course() -> Trained:
    return torch_trained(optim.Adam, lr=0.001)


def test_a_random_walk_follows_no_rule() -> None:
    _, gradients = adam_course()
    walk = np.cumsum(np.random.default_rng(11).normal(0.0, 1e-3, (101, 9)), axis=0)
    found = identify_optimizer(walk, gradients[:100])
    assert found.rule is None
    assert found.hyperparameters == {}
    assert found.exact == np.inf
    assert found.explanations == ()
    assert found.nearest is not None
    assert found.nearest.explained == 0
    assert str(found).startswith(f"none of the {found.known} rules that are known fits; the nearest is ")
    assert "explains no step" in str(found)


@pytest.mark.parametrize("step", [5, 300, STEPS])
def test_one_wrong_step_is_found_and_the_rule_of_the_others_named(step: int) -> None:
    trajectory, gradients = adam_course()
    wrong = trajectory.copy()
    wrong[step:, 4] += 1e-12
    nearest = identify_optimizer(wrong, gradients).nearest
    assert nearest is not None
    assert (nearest.rule, nearest.hyperparameters) == ("Adam", ADAM)
    assert (nearest.step, nearest.explained) == (step, STEPS - 1)
    assert 1e-11 < nearest.error < 1e-7


def test_a_few_units_in_the_last_place_are_seen() -> None:
    trajectory, gradients = trained(lambda w, g, t: w - 0.01 * g, steps=200)
    wrong = trajectory.copy()
    wrong[150:, 8] += 4 * np.spacing(wrong[150, 8])
    found = identify_optimizer(wrong, gradients)
    assert found.nearest is not None
    assert str(found) == (
        f"none of the {found.known} rules that are known fits; the nearest is SGD: learning_rate 0.01, which explains "
        f"every step but step 150 (there it is off by {found.nearest.error:.1g})"
    )


def test_a_rate_that_changes_is_no_rule_and_the_step_of_the_change_is_told() -> None:
    found = identify_optimizer(*trained(lambda w, g, t: w - (0.01 if t <= EPOCH else 0.005) * g))
    assert found.rule is None
    assert found.nearest is not None
    assert (found.nearest.rule, found.nearest.hyperparameters) == ("SGD", {"learning_rate": 0.01})
    assert (found.nearest.step, found.nearest.explained) == (EPOCH + 1, EPOCH)
    assert f"departs at step {EPOCH + 1}" in str(found)
    assert f"explains {EPOCH} of the {STEPS} steps" in str(found)


def test_gradients_that_were_not_the_ones_used_give_no_rule() -> None:
    trajectory, gradients = adam_course()
    wrong = gradients[:60].copy()
    wrong[:, 3] *= 1 + 1e-9 * np.arange(60)
    assert identify_optimizer(trajectory[:61], gradients[:60]).rule == "Adam"
    assert identify_optimizer(trajectory[:61], wrong).rule is None


# --- what the data cannot tell --------------------------------------------------------------------------------------


def test_rules_that_contain_the_one_that_fits_are_reported_as_such() -> None:
    found = identify_optimizer(*adam_course())
    assert [(e.rule, e.contains) for e in found.equivalents] == [
        ("Adam with coupled weight decay", "Adam"),
        ("AdamW", "Adam"),
        ("Adam with weight decay applied twice, coupled and decoupled", "Adam"),
    ]
    assert all(e.hyperparameters == {**ADAM, "weight_decay": 0.0} for e in found.equivalents)


def test_sgd_contains_momentum_of_zero() -> None:
    found = identify_optimizer(*trained(lambda w, g, t: w - 0.01 * g, steps=100))
    wider = {e.rule: e.hyperparameters for e in found.equivalents}
    assert wider["momentum"] == {"learning_rate": 0.01, "momentum": 0.0}
    assert wider["SGD with coupled weight decay"] == {"learning_rate": 0.01, "weight_decay": 0.0}
    assert found.exact <= 1


def test_what_a_short_course_cannot_tell_apart_is_told() -> None:
    """Until a second moment shrinks, AMSGrad is Adam."""
    trajectory, gradients = adam_course()
    assert sorted(names(identify_optimizer(trajectory[:5], gradients[:4]))) == ["AMSGrad", "Adam"]


def test_the_same_rule_at_another_rate_is_reported_with_that_rate() -> None:
    found = identify_optimizer(*trained(momentum_step(lambda w, g, v: w - 0.0123 * v), steps=100))
    same = {e.rule: e.hyperparameters for e in found.explanations if e.contains is None}
    assert same == {
        "momentum": {"learning_rate": 0.0123, "momentum": 0.9},
        "heavy ball": {"learning_rate": 0.0123, "momentum": 0.9},
        "exponential-average momentum": {"learning_rate": 0.123, "beta": 0.9},
    }


def test_hyperparameters_are_known_as_far_as_their_resolution_goes() -> None:
    found = identify_optimizer(*torch_trained(optim.Adam, lr=1 / 137, betas=(12 / 13, 1 - 1 / 71), eps=1 / 3e7))
    explanation = found.explanations[0]
    assert found.rule == "Adam"
    for name, true in (("learning_rate", 1 / 137), ("beta1", 12 / 13), ("beta2", 1 - 1 / 71), ("epsilon", 1 / 3e7)):
        assert abs(explanation.hyperparameters[name] - true) <= 10 * explanation.resolution[name] + np.spacing(true)
        assert explanation.resolution[name] < 1e-9 * true


def test_a_hyperparameter_that_nothing_depends_on_has_no_resolution() -> None:
    course = torch_trained(optim.Rprop, steps=30, lr=0.0013, etas=(0.5, 1.1))
    explanation = identify_optimizer(*course).explanations[0]
    assert explanation.rule == "Rprop"
    assert explanation.hyperparameters["largest_step"] == 50.0
    assert explanation.resolution["largest_step"] == np.inf
    assert explanation.resolution["eta_plus"] < 1e-12


def test_it_reads_well() -> None:
    found = identify_optimizer(*trained(MISTAKES[1][1](), steps=300), steps_per_epoch=EPOCH // 2)
    first, second, *_ = str(found).splitlines()
    assert first.startswith(
        "Adam without bias correction: learning_rate 0.001, beta1 0.9, beta2 0.99, epsilon 1e-08 (300 steps, every one "
        "within "
    )
    assert first.endswith(" ulp)")
    assert second == (
        "  which is the same here as Adam with constant bias correction 1 - beta: learning_rate 0.001, beta1 0.9, "
        "beta2 0.99, epsilon 1e-07"
    )


# --- the library and its tolerances ---------------------------------------------------------------------------------

BY_NAME = {rule.name: rule for rule in RULES}
EVERY_RULE = [pytest.param(rule, id=rule.name) for rule in RULES]
SEARCHED = [pytest.param(rule, id=rule.name) for rule in RULES if not rule.moves_once_per_epoch]


ELSEWHERE = {
    "learning_rate": 0.0123,
    "momentum": 0.913,
    "beta": 0.913,
    "beta1": 0.871,
    "beta2": 0.9837,
    "alpha": 0.9713,
    "rho": 0.923,
    "epsilon": 3.1e-6,
    "weight_decay": 0.0271,
    "lambd": 0.031,
    "momentum_decay": 0.0071,
}
"""Values that the search does not start from."""


def at_usual(rule: Rule, **changed: float) -> Candidate:
    """The rule at its most usual hyperparameters, but for those given, in epochs of 20 steps."""
    values = [changed.get(h.name, h.usual[0]) for h in rule.hyperparameters]
    return Candidate(rule, np.array(values), steps_per_epoch=20)


def drawn(steps: int) -> tuple[Array, Array]:
    """Gradients and weights without a pattern, (steps, 1, 9), the gradients of very different sizes."""
    rng = np.random.default_rng(4)
    gradients, weights = rng.normal(size=(2, steps, 1, 9))
    return gradients * 10.0 ** rng.uniform(-3, 0, 9), weights


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(RULES)


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_the_tolerance_covers_the_rounding_of_every_rule_and_not_much_more(rule: Rule) -> None:
    """Held against the same rule in extended precision, where longdouble has it."""
    gradients, weights = drawn(60)
    nothing = np.zeros_like(gradients)
    course, candidate = Course(gradients, weights, nothing, nothing), at_usual(rule)
    allowed = tolerance(candidate, course)
    p = candidate.parameters(np.longdouble, 9)
    exact = np.array(list(rule.displacements(gradients.astype(np.longdouble), weights.astype(np.longdouble), p)))
    assert np.all(np.abs(replay(candidate.at(candidate.values[None]), course)[0] - exact) <= allowed / 2)
    moving = exact != 0
    rounded_weights = 12 * UNIT_ROUNDOFF * np.abs(weights)  # where 1 - learning_rate * weight_decay multiplies them
    assert np.median((allowed - rounded_weights)[moving] / np.abs(exact[moving])) < 1e-10


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.name) for rule in RULES if rule.wider_than])
def test_rules_that_contain_others_become_those_at_zero(rule: Rule) -> None:
    gradients, weights = drawn(60)
    nothing = np.zeros_like(gradients)
    course = Course(gradients, weights, nothing, nothing)
    for name, zero in rule.wider_than:
        wide = at_usual(rule, **dict.fromkeys(zero, 0.0))
        known = dict(zip((h.name for h in rule.hyperparameters), wide.values, strict=True))
        narrow = at_usual(BY_NAME[name], **known)
        both = [replay(candidate.at(candidate.values[None]), course)[0] for candidate in (wide, narrow)]
        rounding = UNIT_ROUNDOFF * np.abs(weights)  # of 1 - learning_rate * weight_decay, which is 1
        assert np.all(np.abs(both[0] - both[1]) <= tolerance(wide, course) + rounding)


@pytest.mark.parametrize("rule", SEARCHED)
def test_every_rule_is_found_in_what_it_does(rule: Rule) -> None:
    gradients, _ = drawn(40)
    trajectory = [np.full((1, 9), 0.1)]
    candidate = at_usual(rule, **ELSEWHERE)
    p = candidate.parameters(np.float64, 9)
    weights = (trajectory[-1] for _ in gradients)
    for d in rule.displacements(gradients, weights, p):
        trajectory.append(trajectory[-1] + d)
    course = Course.of(np.array(trajectory), gradients, 20)
    with np.errstate(all="ignore"):
        fitted = fit(rule, course)
    assert fitted.near is not None
    assert fitted.near.course.steps == 40
    np.testing.assert_array_equal(fitted.candidate.values, candidate.values)
    assert fitted.candidate.sign == 1


# --- shapes and arguments -------------------------------------------------------------------------------------------


def population(rates: Array, steps: int = 60) -> Trained:
    """Models side by side, (steps + 1, M, 9), each by momentum at its own rate."""
    w = np.random.default_rng(5).normal(0.0, 0.01, (len(rates), 9))
    v = np.zeros_like(w)
    trajectory, gradients = [w], []
    for k in range(steps):
        gradients.append(gradient(trajectory[-1], k))
        v = 0.8 * v + gradients[-1]
        trajectory.append(trajectory[-1] - rates[:, None] * v)
    return np.array(trajectory), np.array(gradients)


def test_models_side_by_side_have_one_rule_or_none() -> None:
    rates = np.full(64, 0.003)
    found = identify_optimizer(*population(rates))
    assert (found.rule, found.hyperparameters) == ("momentum", {"learning_rate": 0.003, "momentum": 0.8})
    rates[10] *= 1 + 1e-9
    odd_one = identify_optimizer(*population(rates))
    assert odd_one.rule is None
    assert odd_one.nearest is not None
    assert odd_one.nearest.rule == "momentum"


def test_a_single_weight_will_do() -> None:
    w, trajectory, gradients = 1.0, [1.0], []
    for _ in range(40):
        gradients.append(np.sin(3 * w) + w)
        w -= 0.07 * gradients[-1]
        trajectory.append(w)
    found = identify_optimizer(np.array(trajectory), np.array(gradients))
    assert (found.rule, found.hyperparameters) == ("SGD", {"learning_rate": 0.07})


def test_the_arguments_are_left_alone_and_the_answer_repeats() -> None:
    trajectory, gradients = (a[:40].copy() for a in adam_course())
    gradients = gradients[:39]
    before = trajectory.copy(), gradients.copy()
    assert identify_optimizer(trajectory, gradients) == identify_optimizer(trajectory, gradients)
    np.testing.assert_array_equal(trajectory, before[0])
    np.testing.assert_array_equal(gradients, before[1])


ZEROS, ONES = np.zeros((21, 9)), np.ones((20, 9))
RAMP = np.arange(21.0)[:, None] * np.ones(9)


def holed(a: Array, value: float) -> Array:
    out = a.copy()
    out[7, 2] = value
    return out


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param((RAMP.astype(np.float32), ONES), TypeError, "trajectory must be float64, got float32", id="dtype"),
        pytest.param((RAMP, ONES.astype(int)), TypeError, "gradients must be float64, got int", id="whole-numbers"),
        pytest.param((1.0, ONES), ValueError, "trajectory must have a first axis that counts steps", id="scalar"),
        pytest.param((RAMP[:-1], ONES), ValueError, r"gradients must have shape \(19, 9\), one step less", id="steps"),
        pytest.param((RAMP, ONES[:, :8]), ValueError, r"must have shape \(20, 9\).*got \(20, 8\)", id="weights"),
        pytest.param((RAMP[:, :0], ONES[:, :0]), ValueError, "has no weights", id="no-weights"),
        pytest.param((RAMP[:4], ONES[:3]), ValueError, "at least 4 steps to tell the rules of 9 weights", id="few"),
        pytest.param((RAMP[:7, 0], ONES[:6, 0]), ValueError, "at least 8 steps to tell the rules of 1 w", id="fewer"),
        pytest.param(
            (holed(RAMP, np.nan), ONES), ValueError, r"trajectory must be finite, got nan at \(7, 2\)", id="nan"
        ),
        pytest.param(
            (RAMP, holed(ONES, np.inf)), ValueError, r"gradients must be finite, got inf at \(7, 2\)", id="inf"
        ),
        pytest.param((RAMP, 0 * ONES), ValueError, "gradients are all 0", id="no-gradient"),
        pytest.param((ZEROS, ONES), ValueError, "never move", id="no-movement"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        identify_optimizer(*arguments)


def test_an_epoch_has_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="steps_per_epoch must be at least 1, got 0"):
        identify_optimizer(RAMP, ONES, steps_per_epoch=0)
    with pytest.raises(TypeError):
        identify_optimizer(RAMP, ONES, steps_per_epoch=5.0)  # type: ignore[arg-type]
