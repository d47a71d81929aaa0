"""The nine-weight graph built from `Value` nodes: what `manual.nine_weight` derives by hand, derived by the engine.

One graph serves all samples: its nodes hold arrays with one element for each. The engine's derivatives of tanh and
sigmoid do not cancel, so digits survive that the textbook form loses: 11.5 or more of every entry, at 64 draws of the
weights from N(0, scale²), scales 0.01 to 3, and all 506 samples. It takes about five times as long as that form.
"""

from collections.abc import Sequence

import numpy as np

from manual._arguments import FEATURES, WEIGHTS, Array, check_arguments
from manual.scalar_engine import Number, Value


def nine_weight(w: Sequence[Value], x: Sequence[Value | Number], y: Value | Number) -> Value:
    """The squared error as a node, from nine nodes `w`, five features `x` and the target `y` (nodes or numbers)."""
    w1, w2, w3, w4, w5, w6, w7, w8, w9 = w
    x1, x2, x3, x4, x5 = x

    z = w1 * x1 + w2 * x2
    t = ((z * z + w6).exp() + w7).tanh()
    s = ((w3 * x3).sin() * (w4 * x4 + w5 * x5) + w8).sigmoid()
    residual = t + s * w9 - y
    return residual * residual


def loss(w: Array, x: Array, y: Array | float) -> Array:
    """The loss of each sample: arguments, their broadcasting and their errors are those of `nine_weight.forward`."""
    root, _ = _graph(w, x, y)
    value: Array = root.data
    return value


def gradient(w: Array, x: Array, y: Array | float) -> Array:
    """Its derivatives with respect to the nine weights, on a last axis of length 9. Arguments as in `loss`."""
    root, weights = _graph(w, x, y)
    root.backward()
    return np.stack([weight.grad for weight in weights], axis=-1)


def _graph(w: Array, x: Array, y: Array | float) -> tuple[Value, list[Value]]:
    check_arguments(w, x, y)
    weights = [Value(w[..., i], f"w{i + 1}") for i in range(WEIGHTS)]
    return nine_weight(weights, [x[..., i] for i in range(FEATURES)], y), weights
