"""A network of two weights and two biases, its loss per sample, and its gradient, derived by hand.

    z1 = w1 x + b1      a1 = relu(z1)      z2 = w2 a1 + b2      p = sigmoid(z2)
    loss = -(y log p + (1 - y) log(1 - p)),  the binary cross-entropy

Source: document `course` (reference/published.toml, group tiny_network). Its formulas for the gradient are these.
relu'(0) = 0, as in the document, in torch and in JAX. Its sample x = 0 with its b1 = 0 lies exactly on that kink.

Two losses. `forward` takes the cross-entropy from the logit z2, with -log p = softplus(-z2): loss and gradient keep
their digits for every logit. The document clips instead (`clipped_loss`): p to [1e-7, 1 - 1e-7] and sigmoid's argument
to ±500. Where |z2| exceeds 16.1 that loss is flat, so its gradient is 0 (`clipped_gradient`); the document's own
(`published_gradient`) goes on to say p - y there, which is the derivative of the loss without the clip.

Can it learn the document's pattern, 0, 1, 1, 0 over x = 0, 1, 2, 3? No: relu and sigmoid are monotonic, so p is
monotonic in x, whatever the parameters, and the pattern rises and falls. Of all monotonic p the best is the isotonic
regression, 0 at one end and 2/3 at the other three points. The network comes as close to it as one likes, with its
ReLU dead at those three, and never reaches it: its mean loss is always above (3 log 3 - 2 log 2) / 4 = 0.4774.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from manual._arguments import Array, check_finite, float64_shape
from manual.gradient_check import check_gradient
from manual.logistic import (
    clipped_cross_entropy,
    clipped_slope,
    cross_entropy,
    cross_entropy_slope,
    published_slope,
    sigmoid,
)

PARAMETERS = ("w1", "b1", "w2", "b2")
Slope = Callable[[Array, Array | float], Array]
"""The derivative of a loss by the logit, of the logit and the target."""


# --- the network ----------------------------------------------------------------------------------------------------


class Cache(NamedTuple):
    """The forward pass's intermediates, float64, each with the leading axes of what it is made from."""

    z1: Array
    a1: Array
    z2: Array


def forward(theta: Array, x: Array | float, y: Array | float) -> tuple[Array, Cache]:
    """The loss of each sample, from the logits, and the cache that `backward` takes.

    `theta` is float64 (..., 4): w1, b1, w2, b2. `x` and `y` are (...); their axes and theta's leading ones broadcast to
    those of the loss: theta (4,) with x and y (4,) gives 4 losses, theta (S, 1, 4) gives (S, 4).
    Raises TypeError or ValueError for anything else, an empty batch, NaN and infinity included.
    """
    cache = _activations(theta, x, y)
    return cross_entropy(cache.z2, y), cache


def backward(
    theta: Array, x: Array | float, y: Array | float, cache: Cache, slope: Slope = cross_entropy_slope
) -> Array:
    """The gradient of each loss with respect to w1, b1, w2 and b2, on a last axis of length 4.

    `theta`, `x` and `y` are those given to `forward`, which has checked them; `cache` is what it returned. `slope` is
    the derivative of the loss by the logit.
    """
    w2 = theta[..., 2]
    z1, a1, z2 = cache

    dz2 = slope(z2, y)
    dw2 = dz2 * a1
    db2 = dz2
    da1 = dz2 * w2
    dz1 = np.where(z1 > 0, da1, 0.0)
    dw1 = dz1 * x
    db1 = dz1
    return np.stack(np.broadcast_arrays(dw1, db1, dw2, db2), axis=-1)


def _activations(theta: Array, x: Array | float, y: Array | float) -> Cache:
    _check_arguments(theta, x, y)
    w1, b1, w2, b2 = (theta[..., i] for i in range(4))
    z1 = w1 * x + b1
    a1 = np.maximum(z1, 0.0)
    z2 = w2 * a1 + b2
    return Cache(z1, a1, z2)


def loss(theta: Array, x: Array | float, y: Array | float) -> Array:
    """The losses of `forward`."""
    return forward(theta, x, y)[0]


def gradient(theta: Array, x: Array | float, y: Array | float) -> Array:
    """`forward`, then `backward`: gradients (..., 4) for the arguments that `forward` takes."""
    return backward(theta, x, y, _activations(theta, x, y))


def clipped_loss(theta: Array, x: Array | float, y: Array | float) -> Array:
    """The loss that the document prints, for the arguments that `forward` takes."""
    return clipped_cross_entropy(_activations(theta, x, y).z2, y)


def clipped_gradient(theta: Array, x: Array | float, y: Array | float) -> Array:
    """The gradient of `clipped_loss`."""
    return backward(theta, x, y, _activations(theta, x, y), clipped_slope)


def published_gradient(theta: Array, x: Array | float, y: Array | float) -> Array:
    """What the document takes for the gradient of `clipped_loss`; see `published_slope`."""
    return backward(theta, x, y, _activations(theta, x, y), published_slope)


def predict(theta: Array, x: Array | float) -> Array:
    """The prediction p of each sample, for the arguments that `forward` takes."""
    return sigmoid(_activations(theta, x, 0.0).z2)


def _check_arguments(theta: Array, x: Array | float, y: Array | float) -> None:
    shapes = [float64_shape(name, value) for name, value in (("theta", theta), ("x", x), ("y", y))]
    found = f"theta {shapes[0]}, x {shapes[1]} and y {shapes[2]}"
    if shapes[0][-1:] != (len(PARAMETERS),):
        raise ValueError(f"theta: expected shape (..., 4), got {shapes[0]}; put w1, b1, w2 and b2 on the last axis")
    try:
        losses = np.broadcast_shapes(shapes[0][:-1], *shapes[1:])
    except ValueError:
        raise ValueError(
            f"theta, x, y: expected leading axes that broadcast, got {found}; give each sample one target, and the "
            f"parameter vectors an axis of their own (theta[:, None, :])"
        ) from None
    if 0 in losses:
        raise ValueError(f"theta, x, y: expected at least one sample, got {found}; pass a batch that is not empty")
    for name, value in (("theta", theta), ("x", x), ("y", y)):
        if isinstance(value, np.ndarray | float):
            check_finite(name, value)


# --- training -------------------------------------------------------------------------------------------------------


class Training(NamedTuple):
    """What a run returned, for parameters with leading axes (...)."""

    theta: Array
    """The parameters at the end: (..., 4)."""
    losses: Array
    """For each epoch the mean of its losses, each before the update that it leads to: (epochs, ...)."""


def initial(seeds: Sequence[int]) -> Array:
    """Parameters (S, 4), a row per seed: weights from N(0, 0.1²) and biases of 0, as in document `course`."""
    theta = np.zeros((len(seeds), 4))
    for row, seed in zip(theta, seeds, strict=True):
        row[[0, 2]] = np.random.default_rng(seed).normal(0.0, 0.1, 2)
    return theta


def train(theta: Array, x: Array, y: Array, rate: float = 0.1, epochs: int = 1000) -> Training:
    """Gradient descent with one update per sample, the samples in their order, from the parameters `theta` (..., 4).

    `x` and `y` are (n,). A leading axis of `theta` is a population: its members do not see each other. The caller's
    `theta` is left alone. Raises what `forward` raises, and ValueError for a rate or number of epochs below 0.
    """
    if not (0 <= rate < np.inf and epochs >= 0):
        raise ValueError(f"rate, epochs: expected finite numbers of at least 0, got {rate} and {epochs}")
    losses = np.zeros((epochs, *theta.shape[:-1]))
    for epoch in range(epochs):
        for x_i, y_i in zip(x.tolist(), y.tolist(), strict=True):
            value, cache = forward(theta, x_i, y_i)
            theta = theta - rate * backward(theta, x_i, y_i, cache)
            losses[epoch] += value / len(x)
    return Training(theta, losses)


# --- the document's table of a gradient check -----------------------------------------------------------------------


class Row(NamedTuple):
    """One line of the table."""

    parameter: str
    analytical: float
    numerical: float
    difference: float
    """|analytical - numerical|; the document calls the gradient right if all four are below 1e-5."""


def gradient_check_rows(
    theta: Array,
    x: float,
    y: float,
    step: float = 1e-5,
    *,
    loss: Callable[[Array, float, float], Array] = clipped_loss,
    gradient: Callable[[Array, float, float], Array] = published_gradient,
) -> list[Row]:
    """The document's table for one sample and parameters `theta` (4,), by default of its own loss and gradient.

    Raises what they and `manual.gradient_check.check_gradient` raise.
    """
    analytical = gradient(theta, x, y)
    numerical = check_gradient(lambda moved: loss(moved, x, y), analytical, theta, step).differences
    columns = (analytical.tolist(), numerical.tolist(), np.abs(analytical - numerical).tolist())
    return [Row(*row) for row in zip(PARAMETERS, *columns, strict=True)]


def format_rows(rows: Sequence[Row]) -> str:
    """The table as text, with eight decimals as in the document."""
    lines = [f"{'parameter':<10}{'analytical':>15}{'numerical':>15}{'difference':>15}"]
    lines += [f"{r.parameter:<10}{r.analytical:>15.8f}{r.numerical:>15.8f}{r.difference:>15.8e}" for r in rows]
    return "\n".join(lines)
