"""A graph of scalars that differentiates itself: the documents' class Value, with the derivative of every operation.

An operation makes a node out of its result and, for each operand, the derivative of the one with respect to the other:
its edges. `backward` multiplies along the edges and adds up where they meet.

Data are float64 numbers, or float64 arrays of shapes that broadcast. Arrays are as many graphs side by side, one for
each element: nothing is summed over them, and every `grad` gets the shape of the node that `backward` started from.
Array types that NumPy's functions dispatch to, such as balls, do as well. What is not finite, and its warnings, are
NumPy's.

Two constants of equal value are two nodes, and a node is equal to itself only (tinygrad/tinygrad#9597). A node that is
used twice gets both derivatives (apache/mxnet#9497), and passes their sum on once (karpathy/micrograd#2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from manual._arguments import float64_shape

Number: TypeAlias = Any
"""float64: a number, an array, or an array type that NumPy's functions dispatch to."""


@dataclass(eq=False, slots=True, repr=False)
class Value:
    """A node: `data`, and in `grad` what calls of `backward` found to be the derivative with respect to it.

    A leaf is made of a real number or float64 array (TypeError for anything else), and a node inside the graph by an
    operation. An operation that is not here is a call `Value(data, op=..., edges=((operand, derivative), ...))`.
    """

    data: Number
    label: str = ""
    op: str = ""
    edges: tuple[tuple[Value, Number], ...] = ()
    grad: Number = 0.0

    __array_ufunc__ = None  # so that array * value asks Value.__rmul__ instead of making an array of objects

    def __post_init__(self) -> None:
        if self.edges:
            return
        if isinstance(self.data, int | float | np.integer):
            self.data = np.float64(self.data)
        float64_shape("data", self.data)

    @property
    def children(self) -> tuple[Value, ...]:
        """The operands."""
        return tuple(child for child, _ in self.edges)

    def __repr__(self) -> str:
        named = [f"{name}={text!r}" for name, text in (("op", self.op), ("label", self.label)) if text]
        return f"Value({', '.join([str(self.data), f'grad={self.grad}', *named])})"

    # --- arithmetic -------------------------------------------------------------------------------------------------

    def __add__(self, other: Value | Number) -> Value:
        a, b = self, as_value(other)
        return Value(a.data + b.data, op="+", edges=((a, 1.0), (b, 1.0)))

    def __sub__(self, other: Value | Number) -> Value:
        a, b = self, as_value(other)
        return Value(a.data - b.data, op="-", edges=((a, 1.0), (b, -1.0)))

    def __mul__(self, other: Value | Number) -> Value:
        a, b = self, as_value(other)
        return Value(a.data * b.data, op="*", edges=((a, b.data), (b, a.data)))

    def __truediv__(self, other: Value | Number) -> Value:
        a, b = self, as_value(other)
        quotient = a.data / b.data
        return Value(quotient, op="/", edges=((a, 1 / b.data), (b, -quotient / b.data)))

    def __pow__(self, other: Value | Number) -> Value:
        """To the power of one plain number, which is part of the operation, or of a node (or array, which becomes one).

        A node's own derivative takes the logarithm of the base: NaN, with NumPy's warning, below 0.
        """
        if not isinstance(other, Value) and np.ndim(other) == 0:
            slope = other * self.data ** (other - 1 if other else 0)  # x^0 has slope 0 at 0 too, not 0 * inf
            return Value(self.data**other, op=f"**{other}", edges=((self, slope),))
        a, b = self, as_value(other)
        power = a.data**b.data
        log = np.log(np.where(a.data == 0, 1, a.data))  # 0^b is 0 for all b > 0: no slope there
        return Value(power, op="**", edges=((a, b.data * a.data ** (b.data - 1)), (b, power * log)))

    def __neg__(self) -> Value:
        return Value(-self.data, op="neg", edges=((self, -1.0),))

    def __radd__(self, other: Number) -> Value:
        return as_value(other) + self

    def __rsub__(self, other: Number) -> Value:
        return as_value(other) - self

    def __rmul__(self, other: Number) -> Value:
        return as_value(other) * self

    def __rtruediv__(self, other: Number) -> Value:
        return as_value(other) / self

    def __rpow__(self, other: Number) -> Value:
        return as_value(other) ** self

    # --- functions --------------------------------------------------------------------------------------------------

    def exp(self) -> Value:
        e = np.exp(self.data)
        return Value(e, op="exp", edges=((self, e),))

    def log(self) -> Value:
        return Value(np.log(self.data), op="log", edges=((self, 1 / self.data),))

    def sin(self) -> Value:
        return Value(np.sin(self.data), op="sin", edges=((self, np.cos(self.data)),))

    def cos(self) -> Value:
        return Value(np.cos(self.data), op="cos", edges=((self, -np.sin(self.data)),))

    def tanh(self) -> Value:
        """Its derivative is 1 - tanh² in a form that does not cancel: with e = exp(-2|a|), 4 e / (1 + e)²."""
        e = np.exp(-2 * np.abs(self.data))
        return Value(np.tanh(self.data), op="tanh", edges=((self, 4 * e / ((1 + e) * (1 + e))),))

    def sigmoid(self) -> Value:
        """1 / (1 + exp(-a)), in a form that does not overflow, and s (1 - s) in one that does not cancel."""
        e = np.exp(-np.abs(self.data))
        s = np.exp(np.minimum(self.data, 0)) / (1 + e)
        return Value(s, op="sigmoid", edges=((self, e / ((1 + e) * (1 + e))),))

    def relu(self) -> Value:
        """max(a, 0). Of the derivatives at 0, which are all from 0 to 1, this is 0."""
        return Value(np.maximum(self.data, 0), op="relu", edges=((self, (self.data > 0) * 1.0),))

    # --- the chain rule ---------------------------------------------------------------------------------------------

    def backward(self) -> None:
        """Add to `grad` of every node under this one, itself included, the derivative of this one by that node.

        The derivatives of a call are gathered apart from `grad`, so what an earlier call left there is added to and
        never passed on: a second call doubles every `grad`, and another root adds its own.
        """
        derivative: dict[Value, Number] = {self: np.ones_like(self.data)}
        for node in reversed(topological(self)):
            d = derivative.pop(node)
            node.grad = node.grad + d
            for child, partial in node.edges:
                derivative[child] = derivative.get(child, 0.0) + d * partial

    def zero_grad(self) -> None:
        """Set `grad` of every node under this one, itself included, to 0."""
        for node in topological(self):
            node.grad = 0.0


def as_value(number: Value | Number) -> Value:
    """A node as it is, and a number as a new leaf."""
    return number if isinstance(number, Value) else Value(number)


def topological(root: Value) -> list[Value]:
    """Every node under `root` once, operands before what is made of them, `root` last. Of any depth: no recursion."""
    order: list[Value] = []
    seen: set[Value] = set()
    waiting = [(root, False)]
    while waiting:
        node, operands_are_done = waiting.pop()
        if operands_are_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting.extend((child, False) for child in reversed(node.children))
    return order
