"""Training runs that optimizer tests need, computed once in each worker: floats, exact values and noisy twins."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from flint import arb

from manual import nine_weight, optimizers
from manual.optimizers import Optimizer
from manual.training import train
from oracles.ball import BallArray, lift
from oracles.errors import UndecidedComparisonError
from oracles.rounding import LIBRARY_ULPS
from oracles.subject import on_balls
from reference.datasets import housing
from reference.published import published
from tests.gate.configurations import Configuration
from tests.gate.draws import draws

Array = np.ndarray[Any, Any]
on_ball: Callable[..., Any] = lift  # the hand-written code is typed for floats, and balls stand in for them
INITIALISATIONS = 64
TWINS = 8
PRECISIONS = (256, 1024, 4096)
NARROW = 2.0**-70
"""A thousandth of a millionth of the last bit of a weight of size 1."""


class Steps(NamedTuple):
    """What goes into each of N steps and what comes out: arrays with the N steps in front."""

    gradients: Array
    params: Array
    states: dict[str, Array]
    moved: Array
    new_states: dict[str, Array]


def checkpoints(epochs: int) -> list[int]:
    """22 steps apart in the first epoch, then the end of each."""
    samples = len(housing()[1])
    return [*range(22, samples + 1, 22), *(samples * e for e in range(2, epochs + 1))]


def initial_weights(seed: int, count: int = INITIALISATIONS) -> Array:
    """(count, 9) as the documents draw them."""
    mean, std = (float(published(f"assignment.initial_weights.{name}").value) for name in ("mean", "std"))
    return np.random.default_rng(zlib.crc32(f"{seed}-initial-weights".encode())).normal(mean, std, (count, 9))


@cache
def steps(configuration: Configuration, seed: int) -> Steps:
    """The first epoch of the hand-written optimizer, from one draw of weights of each scale."""
    x, y = housing()
    optimizer = configuration.optimizer
    params = np.array([draw.weights(9) for draw in draws(4, seed)])
    state = optimizer.init(params)
    rows = []
    for features, target in zip(x, y, strict=True):
        with np.errstate(all="ignore"):
            gradient = nine_weight.loss_and_gradient(params, features, target)[1]
        moved, new = optimizer.update(gradient, state, params)
        rows.append((gradient, params, state._asdict(), moved, new._asdict()))
        params, state = moved, new
    return Steps(*(_stacked([row[i] for row in rows]) for i in range(5)))


def _stacked(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: np.array([v[name] for v in values]) for name in values[0]}
    return np.array(values)


def step_radii(configuration: Configuration, taken: Steps) -> dict[str, Array]:
    """How far rounding may push the "params" and each array of the state in each step: the rule on balls of 53 bits."""
    optimizer = configuration.optimizer
    state_type: Any = type(optimizer.init(taken.params[0]))
    radii = {n: np.empty(v.shape) for n, v in {"params": taken.moved, **taken.new_states}.items()}
    make = getattr(optimizers, configuration.rule)
    with on_balls([make], 53, ulps=LIBRARY_ULPS, by_midpoint=True):
        update = on_exact_hyperparameters(configuration).update
        for i, gradient in enumerate(taken.gradients):
            state = state_type(**{n: _lifted(v[i]) for n, v in taken.states.items()})
            params, new = update(on_ball(gradient), state, on_ball(taken.params[i]))
            for name, value in {"params": params, **new._asdict()}.items():
                radii[name][i] = _radii(value)
    return radii


def on_exact_hyperparameters(configuration: Configuration) -> Optimizer:
    """The optimizer with its hyperparameters as balls: floats are exact numbers, and nothing rounds them unseen."""
    make = getattr(optimizers, configuration.rule)
    given = inspect.signature(make).bind(**configuration.hyperparameters)
    given.apply_defaults()
    exact = {n: on_ball(np.float64(v)) if isinstance(v, float) else v for n, v in given.arguments.items()}
    made: Optimizer = make(**exact)
    return made


def _lifted(value: Array) -> Any:
    return int(value) if value.dtype.kind == "i" else on_ball(value)


def _radii(value: Any) -> Any:
    if not isinstance(value, BallArray):
        return 0.0
    return np.array([float(b.rad()) if b.is_finite() else np.inf for b in value._a.ravel()]).reshape(value._a.shape)


@cache
def free_running(configuration: Configuration, seed: int) -> Array:
    """(S, R, 9) weights of the hand-written optimizer on hand-written gradients, at the checkpoints."""
    x, y = housing()
    start = initial_weights(seed)
    epochs = configuration.epochs
    return train(
        nine_weight.loss_and_gradient, configuration.optimizer, start, x, y, epochs, checkpoints(epochs), False
    ).recorded


@cache
def exact(configuration: Configuration, seed: int) -> list[BallArray]:
    """The same trajectory in ball arithmetic through the first epoch: enclosures (E, 9) at each checkpoint.

    E is the first sixteen initialisations for the documents' own optimizers, and the first four for the others, to save
    time.
    Precision doubles until the enclosures are narrower than any drift of floats, since balls widen along a trajectory.
    """
    for precision in PRECISIONS:
        try:
            found = _exact(configuration, seed, precision)
        except UndecidedComparisonError:  # Rprop asks for the sign of the gradient
            continue
        if all(float(b.rad()) < NARROW for weights in found for b in weights._a.ravel()):
            return found
    raise AssertionError(f"{configuration.id}: {PRECISIONS[-1]} bits do not enclose the trajectory")


def _exact(configuration: Configuration, seed: int, precision: int) -> list[BallArray]:
    x, y = housing()
    make = getattr(optimizers, configuration.rule)
    wanted = set(checkpoints(1))
    found: list[Any] = []
    with on_balls([nine_weight.loss_and_gradient, make], precision):
        optimizer = on_exact_hyperparameters(configuration)
        weights = on_ball(initial_weights(seed)[: 16 if configuration.epochs > 1 else 4])
        state = optimizer.init(weights)
        for step, (features, target) in enumerate(zip(x, y, strict=True), start=1):
            _, gradient = nine_weight.loss_and_gradient(weights, on_ball(features), on_ball(target))
            weights, state = optimizer.update(gradient, state, weights)
            if step in wanted:
                found.append(weights)
    return found


def drift(weights: Array, others: Array) -> Array:
    """(R) the largest distance between two trajectories (S, R, 9) of each initialisation."""
    found: Array = np.abs(weights - others).max(axis=(0, 2))
    return found


def drift_path(weights: Array, others: Array) -> list[float]:
    """(S) the largest distance at each checkpoint, of two trajectories (S, R, 9), to three digits."""
    return [float(f"{distance:.3g}") for distance in np.abs(weights - others).max(axis=(1, 2))]


def drift_from_exact(weights: Array, truth: list[BallArray]) -> Array:
    """(E) the largest distance of the first E trajectories (S, R, 9) from the exact ones (E, 9), rounded up."""
    exact_ones = np.array([there._a for there in truth])
    away = _distance(weights[: len(truth), : exact_ones.shape[1]], exact_ones).astype(np.float64)
    found: Array = away.max(axis=(0, 2))
    return found


def _absolute_difference(value: float, ball: arb) -> float:
    return float(abs(arb(value) - ball).upper())


_distance = np.frompyfunc(_absolute_difference, 2, 1)


@cache
def allowed_drift(configuration: Configuration, seed: int) -> Array:
    """(R) how far rounding noise takes a run of each initialisation: the farthest of the noisy twins.

    In a twin every entry of the gradient, the params and the state is moved at random, after every step, by up to the
    error that NumPy documents for the functions in it: in one half of the twins anew each time, in the other always the
    same way, as by a constant that is rounded once. This is Monte Carlo arithmetic (Parker, 1997; the CESTAC method of
    Vignes, 1993) with the rounding of a whole step at once.
    """
    x, y = housing()
    start = initial_weights(seed)
    random = np.random.default_rng(zlib.crc32(f"{seed}-{configuration.id}-twins".encode()))
    twins = np.broadcast_to(start, (TWINS, *start.shape)).copy()
    epochs = configuration.epochs
    noisy = train(
        nine_weight.loss_and_gradient,
        _noisy(configuration.optimizer, random),
        twins,
        x,
        y,
        epochs,
        checkpoints(epochs),
        False,
    ).recorded
    spread: Array = np.abs(noisy - free_running(configuration, seed)[:, None]).max(axis=(0, 1, 3))
    return spread


def _noisy(optimizer: Optimizer, random: np.random.Generator) -> Optimizer:
    always: dict[int, Array] = {}

    def moved(place: int, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        noise = np.asarray(random.uniform(-1, 1, value.shape))
        half = len(noise) // 2
        noise[:half] = always.setdefault(place, noise[:half])
        return value * (1 + LIBRARY_ULPS * 2.0**-52 * noise)

    def update(gradient: Array, state: Any, params: Array) -> tuple[Array, Any]:
        w, new = optimizer.update(moved(0, gradient), state, params)
        return moved(1, w), type(new)(*(moved(2 + i, value) for i, value in enumerate(new)))

    return Optimizer(optimizer.init, update)
