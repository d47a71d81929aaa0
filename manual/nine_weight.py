"""The nine-weight graph of the assignment and its gradient, derived by hand in the textbook form.

    z = w1 x1 + w2 x2            angle = w3 x3                        prediction = t + s w9
    u = exp(z² + w6)             b = w4 x4 + w5 x5                    loss = (prediction - y)²
    t = tanh(u + w7)             s = sigmoid(sin(angle) b + w8)

Source: the assignment notebook "Backpropagation" (reference/published.toml, document `assignment`). The order of
the operations reproduces its check values bit for bit. The form has the textbook's weakness: 1 - t² keeps no
digit once |u + w7| exceeds 19, and exp overflows, with NumPy's warning, for large weights.
`manual.nine_weight_stable` is the same function without these losses.
"""

from typing import NamedTuple

import numpy as np

from manual._arguments import Array, check_arguments


class Cache(NamedTuple):
    """The forward pass's intermediates, float64, each with the leading axes of what it is made from."""

    z: Array
    u: Array
    t: Array
    angle: Array
    sine: Array
    b: Array
    s: Array
    residual: Array


def forward(w: Array, x: Array, y: Array | float) -> tuple[Array, Cache]:
    """The loss of each sample and the cache that `backward` takes.

    `w` is float64 (..., 9), `x` (..., 5), `y` (...). Their leading axes broadcast to those of the loss: w (9,)
    with x (506, 5) and y (506,) gives 506 losses, w (D, 1, 9) gives (D, 506).
    Raises TypeError or ValueError for anything else, an empty batch included: see `check_arguments`.
    """
    check_arguments(w, x, y)
    w1, w2, w3, w4, w5, w6, w7, w8, w9 = (w[..., i] for i in range(9))
    x1, x2, x3, x4, x5 = (x[..., i] for i in range(5))

    z = w1 * x1 + w2 * x2
    u = np.exp(z * z + w6)
    t = np.tanh(u + w7)
    angle = w3 * x3
    sine = np.sin(angle)
    b = w4 * x4 + w5 * x5
    s = 1 / (1 + np.exp(-(sine * b + w8)))
    prediction = t + s * w9
    residual = prediction - y
    loss = residual * residual
    return loss, Cache(z, u, t, angle, sine, b, s, residual)


def backward(w: Array, x: Array, cache: Cache) -> Array:
    """The gradient of each loss with respect to the nine weights, on a last axis of length 9.

    `w` and `x` are those given to `forward`, which has checked them; `cache` is what it returned.
    """
    w9 = w[..., 8]
    x1, x2, x3, x4, x5 = (x[..., i] for i in range(5))
    z, u, t, angle, sine, b, s, residual = cache

    dprediction = 2 * residual
    dw9 = dprediction * s
    dw8 = dprediction * w9 * s * (1 - s)
    dw7 = dprediction * (1 - t * t)
    dw6 = dw7 * u
    dw5 = dw8 * sine * x5
    dw4 = dw8 * sine * x4
    dw3 = dw8 * b * (np.cos(angle) * x3)
    dw2 = dw6 * (2 * z * x2)
    dw1 = dw6 * (2 * z * x1)
    return np.stack([dw1, dw2, dw3, dw4, dw5, dw6, dw7, dw8, dw9], axis=-1)


def loss_and_gradient(w: Array, x: Array, y: Array | float) -> tuple[Array, Array]:
    """`forward`, then `backward`: losses (...) and gradients (..., 9), for the arguments that `forward` takes."""
    loss, cache = forward(w, x, y)
    return loss, backward(w, x, cache)
