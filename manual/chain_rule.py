"""The documents' worked examples of the chain rule, each with its gradient derived by hand, node by node.

    square_of_line   y = u², u = 3x + 2                    course, "The Chain Rule"
    quadratic        y = 4x² - 2x + 5                      value_class, first notebook
    product_plus     d = a b + c                           value_class, first notebook
    squared_weight   f = w1² x1 + w2 x2                    assignment, "Gradient checking example"
    neuron           o = tanh(x1 w1 + x2 w2 + b)           value_class, second notebook

A forward takes one argument for each variable and returns `(value, cache)`; its backward takes the cache and returns
the derivative of the value with respect to every node of the graph, by the node's name and from the value back to the
leaves. All is elementwise: arguments are float64 of any shapes that broadcast, and one point, many samples and balls
run through the same lines. Names of the documents are those in reference/published.toml.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from manual._arguments import Array, check_finite, float64_shape

Number: TypeAlias = Array | float
Gradients: TypeAlias = dict[str, Array]
Cache: TypeAlias = tuple[Any, ...]


# --- y = (3x + 2)² --------------------------------------------------------------------------------------------------


def square_of_line_forward(x: Number) -> tuple[Number, Cache]:
    u = 3 * x + 2
    y = u * u
    return y, (u,)


def square_of_line_backward(cache: Cache) -> Gradients:
    (u,) = cache
    dy = np.ones_like(u)
    du = dy * (2 * u)
    dx = du * 3
    return {"y": dy, "u": du, "x": dx}


# --- y = 4x² - 2x + 5 -----------------------------------------------------------------------------------------------


def quadratic_forward(x: Number) -> tuple[Number, Cache]:
    y = 4 * (x * x) - 2 * x + 5
    return y, (x,)


def quadratic_backward(cache: Cache) -> Gradients:
    (x,) = cache
    dy = np.ones_like(x)
    dx = dy * (8 * x - 2)
    return {"y": dy, "x": dx}


# --- d = a b + c ----------------------------------------------------------------------------------------------------


def product_plus_forward(a: Number, b: Number, c: Number) -> tuple[Number, Cache]:
    ab = a * b
    d = ab + c
    return d, (a, b, d)


def product_plus_backward(cache: Cache) -> Gradients:
    a, b, d = cache
    dd = np.ones_like(d)
    dc = dd
    dab = dd
    db = dab * a
    da = dab * b
    return {"d": dd, "c": dc, "ab": dab, "b": db, "a": da}


# --- f = w1² x1 + w2 x2 ---------------------------------------------------------------------------------------------


def squared_weight_forward(w1: Number, w2: Number, x1: Number, x2: Number) -> tuple[Number, Cache]:
    first = w1 * w1 * x1
    second = w2 * x2
    f = first + second
    return f, (w1, w2, x1, x2, f)


def squared_weight_backward(cache: Cache) -> Gradients:
    w1, w2, x1, x2, f = cache
    df = np.ones_like(f)
    dsecond = df
    dfirst = df
    dx2 = dsecond * w2
    dx1 = dfirst * (w1 * w1)
    dw2 = dsecond * x2
    dw1 = dfirst * (2 * w1 * x1)
    return {"f": df, "second": dsecond, "first": dfirst, "x2": dx2, "x1": dx1, "w2": dw2, "w1": dw1}


# --- o = tanh(x1 w1 + x2 w2 + b) ------------------------------------------------------------------------------------


def neuron_forward(x1: Number, x2: Number, w1: Number, w2: Number, b: Number) -> tuple[Number, Cache]:
    x1w1 = x1 * w1
    x2w2 = x2 * w2
    x1w1x2w2 = x1w1 + x2w2
    n = x1w1x2w2 + b
    o = np.tanh(n)
    return o, (x1, x2, w1, w2, o)


def neuron_backward(cache: Cache) -> Gradients:
    """In the textbook form: 1 - o² keeps no digit once |n| exceeds 19."""
    x1, x2, w1, w2, o = cache
    do = np.ones_like(o)
    dn = do * (1 - o * o)
    db = dn
    dx1w1x2w2 = dn
    dx2w2 = dx1w1x2w2
    dx1w1 = dx1w1x2w2
    dw2 = dx2w2 * x2
    dw1 = dx1w1 * x1
    dx2 = dx2w2 * w2
    dx1 = dx1w1 * w1
    inner = {"o": do, "n": dn, "x1w1x2w2": dx1w1x2w2, "x2w2": dx2w2, "x1w1": dx1w1}
    leaves = {"b": db, "w2": dw2, "w1": dw1, "x2": dx2, "x1": dx1}
    return inner | leaves


# --- the registry ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """An example in the form that a trial takes: the variables on the last axis of w, the constants on that of x."""

    id: str
    forward: Callable[..., tuple[Number, Cache]]
    backward: Callable[[Cache], Gradients]
    variables: tuple[str, ...]
    constants: tuple[str, ...] = ()

    def loss(self, w: Array, *data: Array) -> Number:
        """The value (...) at variables `w` (..., n) and, if the example has constants, `x` (..., number of them).

        Raises TypeError for anything but float64, ValueError for other shapes and for NaN or infinity.
        """
        return self.forward(*self._arguments(w, *data))[0]

    def gradient(self, w: Array, *data: Array) -> Array:
        """Its derivatives with respect to the variables, (..., n). Arguments and errors are those of `loss`."""
        _, cache = self.forward(*self._arguments(w, *data))
        gradients = self.backward(cache)
        return np.stack([gradients[name] for name in self.variables], axis=-1)

    def _arguments(self, w: Array, *data: Array) -> list[Array]:
        names = {"w": self.variables, "x": self.constants} if self.constants else {"w": self.variables}
        if 1 + len(data) != len(names):
            expected = " and ".join(f"{name} (..., {len(columns)})" for name, columns in names.items())
            raise TypeError(f"{self.id}: expected {expected}, got {1 + len(data)} arrays; pass one for each name")
        given = zip(names.items(), (w, *data), strict=True)
        return [column for (name, columns), array in given for column in _columns(f"{self.id}: {name}", array, columns)]


def _columns(name: str, array: Array, names: tuple[str, ...]) -> list[Array]:
    shape = float64_shape(name, array)
    if shape[-1:] != (len(names),):
        raise ValueError(
            f"{name}: expected shape (..., {len(names)}), got {shape}; put {', '.join(names)} on the last axis"
        )
    if isinstance(array, np.ndarray):
        check_finite(name, array)
    return [array[..., i] for i in range(len(names))]


EXAMPLES = (
    Example("square_of_line", square_of_line_forward, square_of_line_backward, ("x",)),
    Example("quadratic", quadratic_forward, quadratic_backward, ("x",)),
    Example("product_plus", product_plus_forward, product_plus_backward, ("a", "b", "c")),
    Example("squared_weight", squared_weight_forward, squared_weight_backward, ("w1", "w2"), ("x1", "x2")),
    Example("neuron", neuron_forward, neuron_backward, ("x1", "x2", "w1", "w2", "b")),
)


# --- the documents' check -------------------------------------------------------------------------------------------


def forward_difference(f: Callable[[Number], Number], x: Number, h: float) -> Number:
    """(f(x + h) - f(x)) / h, the one-sided quotient that the documents begin with.

    Off by about h f''(x) / 2 from the step, and by 1e-16 |f(x)| / h from rounding. Raises ValueError for a step of 0.
    """
    if h == 0:
        raise ValueError("h: expected a step that is not 0, got 0; 1e-8 |x| balances both errors in float64")
    return (f(x + h) - f(x)) / h
