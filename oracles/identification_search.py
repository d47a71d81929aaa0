"""A first guess at a rule's hyperparameters: a grid of usual values, then Levenberg-Marquardt from the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np

from oracles.identification_library import Hyperparameter, Rule
from oracles.identification_replay import Array, Candidate, Course, replay

__all__ = ["search"]

_STARTS = 20
_KEPT = 4
_TOGETHER = 3
_ITERATIONS = 50
_LONGEST_STEP = 3.0


def search(
    rule: Rule, course: Course, usual: Mapping[str, tuple[float, ...]], steps_per_epoch: int
) -> tuple[Candidate, float]:
    """The candidate that follows `course` best, and how far off it is in units of the displacements (root mean square).

    `usual` replaces the usual values of the hyperparameters that it names.
    """
    judged = np.isfinite(course.rounding)
    size = np.sqrt(np.mean(course.displacements**2, axis=0, where=judged))
    scale = np.where(judged, size + course.rounding, np.inf)
    rates, *others = (usual.get(h.name, h.usual) for h in rule.hyperparameters)
    grid = Candidate(rule, np.array(list(product(rates[:1], *others))), 1, steps_per_epoch)
    half = course.steps if rule.moves_once_per_epoch else ceil(course.steps / 2)
    starts = _best_of(grid, course.first(half), scale[:half])
    values, cost = _levenberg_marquardt(starts, course, scale)
    return starts.at(values), float(np.sqrt(cost / np.count_nonzero(judged)))


def _best_of(grid: Candidate, course: Course, scale: Array) -> Candidate:
    """The rows of the grid that come closest, each at its best learning rate.

    Every rule is odd: gradients and weight decay of the other sign give displacements of the other sign. So a negative
    learning rate stands for both.
    """
    target = (course.displacements / scale).reshape(-1)
    predicted = (replay(grid, course) / scale).reshape(len(grid.values), -1)
    factor = predicted @ target / np.sum(predicted**2, axis=1)
    cost = np.sum((factor[:, None] * predicted - target) ** 2, axis=1)
    usable = np.isfinite(cost) & (factor != 0)
    cost = np.where(usable, cost, np.inf)
    sign = -1 if factor[np.argmin(cost)] < 0 else 1
    order = np.argsort(np.where(sign * factor > 0, cost, np.inf), kind="stable")[:_STARTS]
    values = grid.values[order] * [sign if h.signed else 1 for h in grid.rule.hyperparameters]
    values[:, 0] *= np.where(usable, np.abs(factor), 1.0)[order]
    return replace(grid, values=values, sign=sign)


def _levenberg_marquardt(starts: Candidate, course: Course, scale: Array) -> tuple[Array, float]:
    """The best hyperparameters that any start leads to, (p,), and the sum of squares there."""
    hyperparameters = starts.rule.hyperparameters
    target = (course.displacements / scale).reshape(-1)
    probes = np.diag([(h.felt or 1) * (3e-2 if starts.rule.grain else 1e-6) for h in hyperparameters])

    def evaluate(x: Array) -> tuple[Array, Array, Array]:
        around = x[:, None, :] + np.concatenate([np.zeros((1, x.shape[1])), probes])
        predicted = replay(starts.at(_values(hyperparameters, around.reshape(-1, x.shape[1]))), course) / scale
        predicted = predicted.reshape(*around.shape[:2], -1)
        residual = target - predicted[:, 0]
        jacobian = (predicted[:, 1:] - predicted[:, :1]) / np.diag(probes)[:, None]
        cost = np.sum(residual**2, axis=1)
        usable = np.isfinite(cost) & np.isfinite(jacobian).all(axis=(1, 2))
        return (
            np.where(usable[:, None], residual, 0.0),
            np.where(usable[:, None, None], jacobian, 0.0),
            np.where(usable, cost, np.inf),
        )

    x = np.stack([h.coordinate(v) for h, v in zip(hyperparameters, starts.values.T, strict=True)], axis=1)
    residual, jacobian, cost = evaluate(x)
    damping = np.full(len(x), 1e-3)
    history = [cost.min()]
    for iteration in range(_ITERATIONS):
        if iteration == _TOGETHER:
            kept = np.argsort(cost, kind="stable")[:_KEPT]
            x, residual, jacobian, cost, damping = x[kept], residual[kept], jacobian[kept], cost[kept], damping[kept]
        steps = np.clip(_damped(jacobian, residual, damping), -_LONGEST_STEP, _LONGEST_STEP)
        trial = np.clip(x + steps, *np.array([h.bounds for h in hyperparameters]).T)
        new_residual, new_jacobian, new_cost = evaluate(trial)
        better = new_cost < cost
        x = np.where(better[:, None], trial, x)
        residual = np.where(better[:, None], new_residual, residual)
        jacobian = np.where(better[:, None, None], new_jacobian, jacobian)
        cost = np.where(better, new_cost, cost)
        damping = np.where(better, damping / 10, damping * 10)
        history.append(cost.min())
        patience = 12 if history[-1] < 1e-3 * target.size else 4
        stuck = len(history) > patience + 2 and history[-1] > 0.8 * history[-1 - patience]
        if stuck or history[-1] < 1e-20 * target.size:
            break
    best = int(np.argmin(cost))
    return _values(hyperparameters, x[best]), float(cost[best])


def _damped(jacobian: Array, residual: Array, damping: Array) -> Array:
    """Marquardt's steps (S, p): least squares, with the columns (S, p, R) brought to length 1 and `damping` added."""
    size = np.linalg.norm(jacobian, axis=2)
    size = np.where(size > 0, size, 1.0)
    q, r = np.linalg.qr(np.swapaxes(jacobian / size[:, :, None], 1, 2))
    u, s, vt = np.linalg.svd(r)
    seen = np.einsum("ski,sk->si", u, np.einsum("srk,sr->sk", q, residual))
    return np.asarray(np.einsum("skp,sk->sp", vt, seen * s / (s**2 + damping[:, None])) / size)


def _values(hyperparameters: tuple[Hyperparameter, ...], x: Array) -> Array:
    return np.stack([h.value(x[..., i]) for i, h in enumerate(hyperparameters)], axis=-1)
