"""The networks' forward graphs, each written once in Array API terms, for every oracle to differentiate.

`xp` is the oracle's namespace: the standard's names and the framework's own `sigmoid`, `relu` and `softplus`.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

from oracles.estimate import Graph

__all__ = ["mlp", "tiny_network"]

Elementwise = Callable[..., Any]


def tiny_network(xp: Any, theta: Any, x: Any, y: Any) -> Any:
    """Cross-entropy of a 1-1-1 network with ReLU and sigmoid, one loss per sample.

    `theta` (..., 4) = w1, b1, w2, b2, `x` (...) and `y` (...) broadcast over their leading axes. Source: document 004,
    section 3.
    """
    a = xp.relu(theta[..., 0] * x + theta[..., 1])
    return _cross_entropy(xp, theta[..., 2] * a + theta[..., 3], y)


@cache
def mlp(sizes: tuple[int, ...], activation: str = "relu", criterion: str = "cross_entropy") -> Graph:
    """The graph of a fully connected network: graph(xp, theta, X, y) is its loss, a scalar.

    `theta` (n,) holds W (n_out, n_in), row by row, and b (n_out,) of each layer in turn; `X` (inputs, m) and `y`
    (outputs, m) have samples as columns. The loss is summed over the outputs and averaged over the samples. Equal
    arguments give the same function object, so that JAX compiles it once.

    Raises KeyError for an activation other than sigmoid, relu and tanh, and for a criterion other than cross_entropy,
    clipped_cross_entropy and mse. Source: documents 001 and 004, section 5.
    """
    hidden, loss_of_outputs = _ACTIVATIONS[activation], _CRITERIA[criterion]

    def graph(xp: Any, theta: Any, X: Any, y: Any) -> Any:
        A, start = X, 0
        for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
            W = xp.reshape(theta[start : start + n_out * n_in], (n_out, n_in))
            start += n_out * n_in
            b = xp.reshape(theta[start : start + n_out], (n_out, 1))
            start += n_out
            Z = xp.matmul(W, A) + b
            A = hidden(xp, Z) if layer < len(sizes) - 1 else Z
        return xp.sum(loss_of_outputs(xp, A, y)) / X.shape[1]

    return graph


def _cross_entropy(xp: Any, z: Any, y: Any) -> Any:
    """-(y log p + (1 - y) log(1 - p)) with p = sigmoid(z), since -log p = softplus(-z)."""
    return y * xp.softplus(-z) + (1 - y) * xp.softplus(z)


def _clipped_cross_entropy(xp: Any, z: Any, y: Any) -> Any:
    """The same with p kept in [1e-7, 1 - 1e-7], as document 004 prints it."""
    p = xp.clip(xp.sigmoid(xp.clip(z, -500.0, 500.0)), 1e-7, 1 - 1e-7)
    return -(y * xp.log(p) + (1 - y) * xp.log(1 - p))


_ACTIVATIONS: dict[str, Elementwise] = {
    "sigmoid": lambda xp, z: xp.sigmoid(z),
    "relu": lambda xp, z: xp.relu(z),
    "tanh": lambda xp, z: xp.tanh(z),
}
_CRITERIA: dict[str, Elementwise] = {
    "cross_entropy": _cross_entropy,
    "clipped_cross_entropy": _clipped_cross_entropy,
    "mse": lambda xp, z, y: (z - y) ** 2,
}
