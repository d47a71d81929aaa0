"""Forward graphs, each written once in Python Array API terms, for every oracle to differentiate.

`xp` is the oracle's namespace: the standard's names and the framework's own `sigmoid`, `relu` and `softplus`.
"""

from typing import Any

__all__ = ["nine_weight"]


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
