"""Forward graphs, each written once in Python Array API terms, for every oracle to differentiate.

`xp` is the oracle's namespace: the standard's names and the framework's own `sigmoid`, `relu` and `softplus`.
"""

from typing import Any

__all__ = ["neuron", "nine_weight", "product_plus", "quadratic", "square_of_line", "squared_weight"]


def nine_weight(xp: Any, w: Any, x: Any, y: Any) -> Any:
    """Squared error of the nine-weight graph, one loss per sample.

    `w` (..., 9), `x` (..., 5) and `y` (...) broadcast over their leading axes; the loss has the broadcast
    shape. Source: the computational graph of the assignment, document 003, tasks 1.1 and 1.2.
    """
    z = w[..., 0] * x[..., 0] + w[..., 1] * x[..., 1]
    u = xp.exp(z**2 + w[..., 5])
    t = xp.tanh(u + w[..., 6])
    s = xp.sigmoid(xp.sin(w[..., 2] * x[..., 2]) * (w[..., 3] * x[..., 3] + w[..., 4] * x[..., 4]) + w[..., 7])
    prediction = t + s * w[..., 8]
    return (y - prediction) ** 2


# The worked examples of the documents. `w` (..., n) holds the variables and `x` (..., 2) the constants, in the order of
# the names given; the value has shape (...).


def square_of_line(xp: Any, w: Any) -> Any:
    """(3x + 2)² of w = (x). Source: the course notebook, section 2."""
    return (3 * w[..., 0] + 2) ** 2


def quadratic(xp: Any, w: Any) -> Any:
    """4x² - 2x + 5 of w = (x). Source: the Value repository's front page, first notebook."""
    return 4 * w[..., 0] ** 2 - 2 * w[..., 0] + 5


def product_plus(xp: Any, w: Any) -> Any:
    """a b + c of w = (a, b, c). Source: as `quadratic`."""
    return w[..., 0] * w[..., 1] + w[..., 2]


def squared_weight(xp: Any, w: Any, x: Any) -> Any:
    """w1² x1 + w2 x2 of w = (w1, w2) and x = (x1, x2). Source: the assignment, "Gradient checking example"."""
    return w[..., 0] ** 2 * x[..., 0] + w[..., 1] * x[..., 1]


def neuron(xp: Any, w: Any) -> Any:
    """tanh(x1 w1 + x2 w2 + b) of w = (x1, x2, w1, w2, b). Source: as `quadratic`, second notebook."""
    return xp.tanh(w[..., 0] * w[..., 2] + w[..., 1] * w[..., 3] + w[..., 4])
