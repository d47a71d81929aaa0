"""A fully connected network of any layer sizes, its mean loss, and its gradient, derived by hand.

For layers l = 1 to L, with samples as columns and A of layer 0 the inputs X:

    Z = W A_prev + b        A = activation(Z) in the hidden layers
    dZ = dloss/dZ of the last layer, per sample
    dW = dZ A_prevᵀ / m     db = mean of dZ over the m samples
    dA_prev = Wᵀ dZ         dZ_prev = dA_prev · activation'(Z_prev)

Source: documents `course` and `spiral` (reference/published.toml). Every loss is summed over the outputs and averaged
over the samples, as these formulas ask for; the course's mean over both is the same for its one output only.

Parameters are one vector theta: W and b of layer 1, W and b of layer 2 and so on, each W row by row (`pack`, `unpack`).
relu'(0) = 0, as in torch and JAX. sigmoid' and tanh' are the textbook's A (1 - A) and 1 - A², as in both: of a
saturated unit they lose digits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from manual._arguments import Array, check_finite, float64_shape
from manual.logistic import (
    clipped_cross_entropy,
    clipped_sigmoid,
    clipped_slope,
    cross_entropy,
    cross_entropy_slope,
    published_slope,
    sigmoid,
)

Layers = list[tuple[Array, Array]]
"""W (n_out, n_in) and b (n_out, 1) of each layer."""


class Activation(NamedTuple):
    """An elementwise function of Z, and its derivative, of Z and A = value(Z)."""

    value: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]


class Criterion(NamedTuple):
    """A loss of each output, of the last layer's Z and the target, its derivative by Z, and what is predicted."""

    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    prediction: Callable[[Array], Array]


ACTIVATIONS = {
    "sigmoid": Activation(sigmoid, lambda Z, A: A * (1 - A)),
    "relu": Activation(lambda Z: np.maximum(Z, 0.0), lambda Z, A: np.where(Z > 0, 1.0, 0.0)),
    "tanh": Activation(np.tanh, lambda Z, A: 1 - A * A),
}

CRITERIA = {
    "cross_entropy": Criterion(cross_entropy, cross_entropy_slope, sigmoid),
    "mse": Criterion(lambda Z, y: (Z - y) ** 2, lambda Z, y: 2 * (Z - y), lambda Z: Z),
    # The course's loss, whose predictions are clipped, with its right gradient, and with the one that it prints.
    "clipped_cross_entropy": Criterion(clipped_cross_entropy, clipped_slope, clipped_sigmoid),
    "published_cross_entropy": Criterion(clipped_cross_entropy, published_slope, clipped_sigmoid),
}


class Cache(NamedTuple):
    """The forward pass's intermediates: Z of the layers 1 to L, and A of the layers 0 to L - 1, X first."""

    Z: list[Array]
    A: list[Array]


@dataclass(frozen=True)
class MLP:
    """A network of `sizes` = (inputs, hidden units..., outputs), with a hidden activation and a loss by name.

    Hashable and without state: the parameters are an argument of everything it does. Raises ValueError for sizes that
    are not at least two positive integers, and for unknown names.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    criterion: str = "cross_entropy"

    def __post_init__(self) -> None:
        check_sizes(self.sizes)
        for field, name, known in (
            ("activation", self.activation, ACTIVATIONS),
            ("criterion", self.criterion, CRITERIA),
        ):
            if name not in known:
                raise ValueError(f"{field}: expected one of {', '.join(known)}, got {name!r}")

    @property
    def parameters(self) -> int:
        """The length of theta."""
        return parameter_count(self.sizes)

    def forward(self, theta: Array, X: Array, y: Array) -> tuple[Array, Cache]:
        """The mean loss, a scalar, and the cache that `backward` takes.

        `theta` is float64 (n,), `X` (inputs, m) and `y` (outputs, m). Raises TypeError or ValueError for anything else,
        no samples, NaN and infinity included.
        """
        self._check_arguments(theta, X, y)
        activation = ACTIVATIONS[self.activation].value
        m = X.shape[1]
        cache = Cache([], [])

        for W, b in unpack(theta, self.sizes):
            A = activation(cache.Z[-1]) if cache.Z else X
            Z = W @ A + b
            cache.A.append(A)
            cache.Z.append(Z)
        loss: Array = np.sum(CRITERIA[self.criterion].value(Z, y)) / m
        return loss, cache

    def backward(self, theta: Array, y: Array, cache: Cache) -> Array:
        """The gradient of the mean loss, (n,). `theta` and `y` are those given to `forward`, `cache` is its own."""
        layers = unpack(theta, self.sizes)
        slope = ACTIVATIONS[self.activation].slope
        m = y.shape[1]
        gradients: Layers = []

        dZ = CRITERIA[self.criterion].slope(cache.Z[-1], y)
        for layer in reversed(range(len(layers))):
            W, A_prev = layers[layer][0], cache.A[layer]
            dW = dZ @ A_prev.T / m
            db = np.mean(dZ, axis=1, keepdims=True)
            gradients.append((dW, db))
            if layer > 0:
                dA_prev = W.T @ dZ
                dZ = dA_prev * slope(cache.Z[layer - 1], A_prev)
        return pack(gradients[::-1])

    def loss(self, theta: Array, X: Array, y: Array) -> Array:
        """The mean loss of `forward`."""
        return self.forward(theta, X, y)[0]

    def gradient(self, theta: Array, X: Array, y: Array) -> Array:
        """`forward`, then `backward`: the gradient (n,) of the mean loss."""
        _, cache = self.forward(theta, X, y)
        return self.backward(theta, y, cache)

    def predict(self, theta: Array, X: Array) -> Array:
        """The predictions (outputs, m): probabilities for the cross-entropies, Z itself for the squared error."""
        _, cache = self.forward(theta, X, np.zeros((self.sizes[-1], X.shape[-1])))
        return CRITERIA[self.criterion].prediction(cache.Z[-1])

    def _check_arguments(self, theta: Array, X: Array, y: Array) -> None:
        inputs, outputs = self.sizes[0], self.sizes[-1]
        shapes = [float64_shape(name, value) for name, value in (("theta", theta), ("X", X), ("y", y))]
        if shapes[0] != (self.parameters,):
            raise ValueError(
                f"theta: expected shape ({self.parameters},) for the sizes {self.sizes}, got {shapes[0]}; "
                f"make it with pack or manual.initialization"
            )
        if len(shapes[1]) != 2 or shapes[1][0] != inputs or shapes[1][1] < 1:
            raise ValueError(
                f"X: expected shape ({inputs}, m) with at least one sample, got {shapes[1]}; samples are columns"
            )
        if shapes[2] != (outputs, shapes[1][1]):
            raise ValueError(
                f"y: expected shape ({outputs}, {shapes[1][1]}) beside X {shapes[1]}, got {shapes[2]}; "
                f"give each sample a column"
            )
        for name, value in (("theta", theta), ("X", X), ("y", y)):
            if isinstance(value, np.ndarray):
                check_finite(name, value)


# --- parameters as one vector ---------------------------------------------------------------------------------------


def check_sizes(sizes: Sequence[int]) -> None:
    """ValueError unless `sizes` are at least two positive integers."""
    if len(sizes) < 2 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ValueError(
            f"sizes: expected at least two positive integers (inputs, hidden units..., outputs), got {sizes!r}"
        )


def parameter_count(sizes: Sequence[int]) -> int:
    """How many weights and biases a network of these sizes has."""
    return sum(n_out * n_in + n_out for n_in, n_out in pairwise(sizes))


def unpack(theta: Array, sizes: Sequence[int]) -> Layers:
    """W (n_out, n_in) and b (n_out, 1) of each layer, as views of `theta` (n,)."""
    layers: Layers = []
    start = 0
    for n_in, n_out in pairwise(sizes):
        middle, end = start + n_out * n_in, start + n_out * n_in + n_out
        layers.append((theta[start:middle].reshape(n_out, n_in), theta[middle:end].reshape(n_out, 1)))
        start = end
    return layers


def pack(layers: Layers) -> Array:
    """One vector (n,) of the W and b of each layer: the opposite of `unpack`."""
    return np.concatenate([np.reshape(part, -1) for layer in layers for part in layer])
