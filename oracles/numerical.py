"""What the numerical oracles share: NumPy as a namespace, and a loop that leaves one variable to a rule."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oracles.estimate import (
    Array,
    Estimate,
    Graph,
    Namespace,
    check_loss,
    check_samples_independent,
    checked_arguments,
)

Float64: TypeAlias = NDArray[np.float64]
Line: TypeAlias = Callable[[Float64], Float64]
Rule: TypeAlias = Callable[[Line, Float64], tuple[Float64, Float64]]

EPS = float(np.finfo(np.float64).eps)


# The three below are analytic on each side of Re z = 0, so they serve complex z too. Both branches are
# computed, and each is accurate on its own side; what the other one does there (overflow, say) is thrown
# away.


def sigmoid(z: Any) -> Any:
    """1 / (1 + exp(-z)), without overflow on either side."""
    return np.where(np.real(z) < 0, np.exp(z) / (1 + np.exp(z)), 1 / (1 + np.exp(-z)))


def relu(z: Any) -> Any:
    """z where Re z > 0 (and where it is NaN), else 0."""
    return np.where(np.real(z) <= 0, 0.0, z)


def softplus(z: Any) -> Any:
    """log(1 + exp(z)) = max(z, 0) + 2 artanh(q / (2 + q)) with q = exp(-|z|).

    artanh stands for log1p, whose complex version in NumPy takes log|1 + q| and so loses the digits of a
    small q.
    """
    positive = np.real(z) > 0
    q = np.exp(np.where(positive, -z, z))
    return np.where(positive, z, 0.0) + 2 * np.arctanh(q / (2 + q))


NAMESPACE = Namespace(np, sigmoid=sigmoid, relu=relu, softplus=softplus)


def with_values(args: tuple[Any, ...], wrt: int, values: Any) -> tuple[Any, ...]:
    """`args` with `values` in place of `args[wrt]`."""
    return (*args[:wrt], values, *args[wrt + 1 :])


def checked_loss(graph: Graph, args: tuple[Any, ...], wrt: int) -> tuple[tuple[Array, ...], Float64]:
    """The arguments as float64 arrays and the loss there, after every check that an oracle makes."""
    arrays = checked_arguments(args, wrt, np.float64)

    def loss_of(values: Any) -> Float64:
        return np.asarray(graph(NAMESPACE, *with_values(arrays, wrt, values)))

    loss = loss_of(arrays[wrt]).copy()  # the graph may have handed an argument back
    check_loss(loss, arrays[wrt], wrt)
    check_samples_independent(loss_of, loss, arrays[wrt], wrt)
    return arrays, loss


def entries(values: Array, loss: Array) -> list[tuple[Any, ...]]:
    """An index per entry of the core. It selects that entry in all samples: an array of the loss's shape."""
    return [(..., *core) for core in np.ndindex(values.shape[loss.ndim :])]


def differentiate(rule: Rule, graph: Graph, args: tuple[Any, ...], wrt: int) -> Estimate:
    """Apply `rule`, which differentiates a function of one number, to each entry of `args[wrt]` in turn.

    `rule(f, x)` gets all samples at once, `x` of the loss's shape and `f` from and to such arrays, and
    returns the derivative and its error. Overflow is not reported: infinities and NaN arrive in the gradient
    as they are.
    """
    with np.errstate(all="ignore"):
        arrays, loss = checked_loss(graph, args, wrt)
        values = arrays[wrt]
        estimate = Estimate(np.empty(values.shape), np.empty(values.shape), loss)
        for entry in entries(values, loss):

            def along(x: Float64, entry: tuple[Any, ...] = entry) -> Float64:
                moved = values.copy()
                moved[entry] = x
                return np.asarray(graph(NAMESPACE, *with_values(arrays, wrt, moved)))

            estimate.gradient[entry], estimate.error[entry] = rule(along, values[entry])
        unknown = ~np.isfinite(estimate.gradient) | np.isnan(estimate.error)
        estimate.error[unknown] = np.inf
    return estimate


def exact_step(x: Float64, h: Float64 | float) -> Float64:
    """`h`, rounded so that x + h and x - h are exact wherever h is not far larger than x.

    Raises ValueError if nothing is left of h. Source: Press et al., Numerical Recipes, 3rd edition, section
    5.7.
    """
    size = np.abs(x)
    step = np.asarray((size + h) - size)
    if np.any(step == 0):
        raise ValueError(f"step {np.min(h)} vanishes beside an argument of size {np.max(size)}: use a larger step")
    return step


def difference_quotient(f: Line, x: Float64, h: Float64) -> tuple[Float64, Float64]:
    """D = (f(x + h) - f(x - h)) / 2h, and how far rounding may have moved it, about 2 eps (|f| + |x D|) / h.

    The term |x D| is what the loss moves when an intermediate result of the size of x is rounded: a squared
    residual near 0 carries far more noise than eps times its value.
    """
    right, left = x + h, x - h
    above, below = f(right), f(left)
    slope = (above - below) / (right - left)
    noise = 2 * EPS * (np.maximum(np.abs(above), np.abs(below)) + np.abs(x * slope))
    return slope, noise / h
