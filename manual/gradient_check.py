"""Gradient checking as the documents describe it: central differences and relative errors.

    dW_approx[i] = (loss(w + step e_i) - loss(w - step e_i)) / (2 step)
    |dW - dW_approx| / (|dW| + |dW_approx|)          per weight (document `readme`)
    ‖dW - dW_approx‖ / (‖dW‖ + ‖dW_approx‖)          of the whole vectors, Euclidean norms (document `assignment`)

The assignment calls a gradient right if the latter is below 1e-7 and wrong above 1e-3. Look at the former: a small
entry can be missing altogether and the norms still pass. The difference has an error of its own, about
step² |loss'''| / 6 from the step and 1e-16 |loss| / step from rounding.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from manual import nine_weight
from manual._arguments import Array, check_finite, float64_shape


class GradientCheck(NamedTuple):
    """What a check found. `relative_errors` is per weight, `ratio` is the norm formula."""

    differences: Array
    relative_errors: Array
    ratio: float
    weights: Array
    """The weights as the run left them: those given, unless `restore=False`."""


def check_gradient(
    loss: Callable[[Array], float | Array], gradient: Array, w: Array, step: float = 1e-4, *, restore: bool = True
) -> GradientCheck:
    """Compare the analytic `gradient` of `loss` at `w` with central differences.

    `w` and `gradient` are float64 of one shape, any shape; `loss` takes weights of that shape and returns one number.
    It gets a fresh copy at each call, so neither it nor this function writes into the caller's arrays.

    `restore=False` reproduces a published defect (assignment notebook, cell 11) and serves nothing else: no
    shifted weight is put back, so each stays at w[i] - step, and the later ones are differenced at other points
    than the one that `gradient` belongs to. That alone makes the ratio 6.7e-5 at the published point.

    Raises TypeError for anything but float64, and ValueError for NaN, infinity or shapes that differ, for a loss
    that is not one finite number, and for a step that is not positive or is lost when added to a weight.
    """
    shape, found = float64_shape("w", w), float64_shape("gradient", gradient)
    if shape != found:
        raise ValueError(
            f"gradient: expected the shape of w, {shape}, got {found}; pass one derivative for each weight"
        )
    check_finite("w", w)
    check_finite("gradient", gradient)
    differences, weights = _central_differences(loss, w, step, restore)
    error, size = np.abs(gradient - differences), np.abs(gradient) + np.abs(differences)
    ratio = _ratio(np.linalg.norm(error), np.linalg.norm(gradient) + np.linalg.norm(differences))
    return GradientCheck(differences, _ratio(error, size), float(ratio), weights)


def check_nine_weight(
    w: Array, x: Array, y: Array | float, step: float = 1e-4, *, restore: bool = True
) -> GradientCheck:
    """`check_gradient` on the textbook nine-weight graph at one sample: w (9,), x (5,), y a scalar.

    Raises what `nine_weight.forward` and `check_gradient` raise.
    """
    _, gradient = nine_weight.loss_and_gradient(w, x, y)
    return check_gradient(lambda v: nine_weight.forward(v, x, y)[0], gradient, w, step, restore=restore)


def _central_differences(
    loss: Callable[[Array], float | Array], w: Array, step: float, restore: bool
) -> tuple[Array, Array]:
    """The differences, and the weights afterwards."""
    if not 0 < step < np.inf:
        raise ValueError(f"step: expected a positive finite number, got {step}; 1e-4 to 1e-6 suits float64")
    differences, weights = np.empty_like(w), np.array(w)
    for index in np.ndindex(weights.shape):
        start = weights[index]
        weights[index] = start + step
        if weights[index] == start:
            raise ValueError(f"step: {step} is lost when added to w{list(index)} = {start}; use a larger step")
        above = _value(loss, weights)
        weights[index] = weights[index] - 2 * step
        below = _value(loss, weights)
        differences[index] = (above - below) / (2 * step)
        if restore:
            weights[index] = start
    return differences, weights


def _value(loss: Callable[[Array], float | Array], weights: Array) -> float:
    value = loss(weights.copy())
    if not isinstance(value, float | int | np.number | np.ndarray) or np.shape(value) != ():
        came = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"loss: expected one number, got {came}; check one sample, or sum the losses")
    if not np.isfinite(value):
        raise ValueError(f"loss: expected a finite number, got {value} at weights {weights}; check another point")
    return float(value)


def _ratio(error: Array | np.floating, size: Array | np.floating) -> Array:
    """error / size; 0 / 0 is 0, for two zeros agree."""
    return np.divide(error, size, out=np.zeros_like(error), where=size > 0)
