"""`check_engine` proves what a scalar engine says of derivatives right or wrong, whatever the engine is like."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manual import scalar_engine
from oracles import GradientError, check_engine

Array = Any


class Node:
    """An engine in the manner of micrograd: a set of operands, closures that add to grad, recursion."""

    def __init__(self, data: Any, operands: tuple[Node, ...] = ()) -> None:
        self.data = data
        self.grad: Any = 0
        self.operands = set(operands)
        self.pass_on: Callable[[], None] = lambda: None

    def __add__(self, other: Any) -> Node:
        other = self.node(other)
        out = type(self)(self.data + other.data, (self, other))

        def pass_on() -> None:
            self.grad += out.grad
            other.grad += out.grad

        out.pass_on = pass_on
        return out

    def __mul__(self, other: Any) -> Node:
        other = self.node(other)
        out = type(self)(self.data * other.data, (self, other))

        def pass_on() -> None:
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out.pass_on = pass_on
        return out

    def __pow__(self, exponent: float) -> Node:
        assert isinstance(exponent, int | float)
        out = type(self)(self.data**exponent, (self,))

        def pass_on() -> None:
            self.grad += exponent * self.data ** (exponent - 1) * out.grad

        out.pass_on = pass_on
        return out

    def tanh(self) -> Node:
        t = math.tanh(self.data)
        out = type(self)(t, (self,))

        def pass_on() -> None:
            self.grad += (1 - t**2) * out.grad

        out.pass_on = pass_on
        return out

    def relu(self) -> Node:
        out = type(self)(0.0 if self.data < 0 else self.data, (self,))

        def pass_on() -> None:
            self.grad += (out.data > 0) * out.grad

        out.pass_on = pass_on
        return out

    __radd__, __rmul__ = __add__, __mul__

    @classmethod
    def node(cls, value: Any) -> Node:
        return value if isinstance(value, Node) else cls(value)

    def backward(self) -> None:
        order: list[Node] = []
        seen: set[Node] = set()

        def visit(node: Node) -> None:
            if node not in seen:
                seen.add(node)
                for operand in node.operands:
                    visit(operand)
                order.append(node)

        visit(self)
        self.grad = 1
        for node in reversed(order):
            node.pass_on()


class ForgetsToAdd(Node):
    def __mul__(self, other: Any) -> Node:
        other = self.node(other)
        out = type(self)(self.data * other.data, (self, other))

        def pass_on() -> None:
            self.grad = other.data * out.grad
            other.grad = self.data * out.grad

        out.pass_on = pass_on
        return out


class OncePerPath(Node):
    """karpathy/micrograd#2: a node that is reached along several paths passes its gradient on along each."""

    def backward(self, is_root: bool = True) -> None:
        if is_root:
            self.grad = 1
        self.pass_on()
        for operand in sorted(self.operands, key=id):
            operand.backward(is_root=False)  # type: ignore[call-arg]


class WrongTanh(Node):
    def tanh(self) -> Node:
        t = math.tanh(self.data)
        out = type(self)(t, (self,))

        def pass_on() -> None:
            self.grad += (1 - t) * out.grad

        out.pass_on = pass_on
        return out


class Rounding(Node):
    """Takes nothing but floats, so it cannot run on balls."""

    def __init__(self, data: Any, operands: tuple[Node, ...] = ()) -> None:
        super().__init__(float(data), operands)


class Lazy:
    """Another manner: the number in `value`, no grad until there is one."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.grad: Any = None
        self.edges: list[tuple[Lazy, Any]] = []

    def __mul__(self, other: Lazy) -> Lazy:
        out = Lazy(self.value * other.value)
        out.edges = [(self, other.value), (other, self.value)]
        return out

    def backward(self, upstream: Any = 1.0) -> None:
        self.grad = upstream if self.grad is None else self.grad + upstream
        for operand, slope in self.edges:
            operand.backward(upstream * slope)


def graph(a: Any, b: Any, c: Any) -> Any:
    d = a * b + c
    e = (d * d + d + d * a).tanh()
    return d * e * 0.3 + e * d + a**3 + d + (c * 2).tanh()


def refused(*args: Any) -> str:
    with pytest.raises(GradientError) as error:
        check_engine(*args)
    return str(error.value)


def found(verdict: Any, what: str) -> str:
    (evidence,) = [f.evidence for f in verdict.findings if f.what == what]
    return str(evidence)


# --- right ----------------------------------------------------------------------------------------------------------


def test_an_engine_with_closures_sets_and_recursion_is_certified() -> None:
    """A set has another order in every run, so sums may differ in their last bits: that is not held against it."""
    verdict = check_engine(Node, graph, 0.5, -2, 0.7)
    assert verdict.certified
    assert str(verdict).startswith("Node.backward through graph: right")
    assert verdict.certificate is not None
    assert verdict.certificate.entries == 3


def test_the_documents_engine_is_certified_on_numbers_and_on_arrays() -> None:
    assert check_engine(scalar_engine.Value, graph, 0.5, -2, 0.7).certified
    verdict = check_engine(scalar_engine.Value, graph, np.array([0.5, 0.1]), np.array([-2.0, 1.0]), np.ones(2))
    assert verdict.certified
    assert verdict.certificate is not None
    assert verdict.certificate.entries == 6


def test_a_leaf_that_is_not_used_has_a_gradient_of_none() -> None:
    verdict = check_engine(Lazy, lambda a, b, unused: a * b * a, 1.5, 2.5, 3.5)
    assert verdict.certified
    assert verdict.certificate is not None
    assert verdict.certificate.entries == 3


def test_values_in_lists() -> None:
    def neuron(weights: list[Node], x: Node) -> Node:
        return sum((w * x for w in weights), Node(0.0)).tanh()

    assert check_engine(Node, neuron, [0.5, -0.25, 1], 2).certified


def test_a_kink_is_certified_with_its_convention() -> None:
    verdict = check_engine(Node, lambda x: x.relu() * 3, 0.0)
    assert verdict.certified
    assert "kink: x" in found(verdict, "certificate")


def test_an_engine_that_balls_cannot_run_is_compared() -> None:
    verdict = check_engine(Rounding, graph, 0.5, -2, 0.7)
    assert verdict.ok
    assert not verdict.certified
    assert "float() of a ball" in found(verdict, "certificate")
    assert "(3 entries; an error below" in found(verdict, "differences")


# --- wrong ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "f", "values", "entries", "truth"),
    [
        pytest.param(ForgetsToAdd, lambda a, b: a * b * a, (3.0, 2.0), "1 of 2 entries, in a", "true 12", id="="),
        pytest.param(OncePerPath, lambda a, b: (d := a * b) + d + d, (3.0, 2.0), "2 of 2", "true 6", id="path"),
        pytest.param(WrongTanh, lambda a: a.tanh(), (0.0,), "", "", id="tanh-at-0"),
        pytest.param(WrongTanh, lambda a: a.tanh(), (0.5,), "1 of 1 entries, in a", "true 0.78644", id="tanh"),
    ],
)
def test_planted_errors_are_proved_wrong(
    engine: type[Node], f: Callable[..., Any], values: tuple[float, ...], entries: str, truth: str
) -> None:
    if not entries:  # 1 - t and 1 - t² agree where t is 0, and nowhere else
        assert check_engine(engine, f, *values).certified
        return
    message = refused(engine, f, *values)
    assert f"{engine.__name__}.backward through" in message
    assert f"proved wrong: {entries}" in message
    assert truth in message


def test_a_wrong_derivative_is_found_by_differences_too() -> None:
    class Wrong(Rounding):
        tanh = WrongTanh.tanh

    assert "1 of 2 entries differ, in a" in refused(Wrong, lambda a, b: a.tanh() + b, 0.5, 1.0)


def test_state_that_leaks_from_run_to_run_is_not_rounding() -> None:
    class Leaking(Node):
        runs = 0

        def backward(self) -> None:
            Leaking.runs += 1
            super().backward()
            for operand in self.operands:
                operand.grad *= 1 + 1e-10 * Leaking.runs

    assert "repeats           WRONG" in refused(Leaking, lambda a, b: a + b, 1.0, 2.0)


# --- misuse ---------------------------------------------------------------------------------------------------------


def test_misuse_says_what_was_expected() -> None:
    with pytest.raises(TypeError, match=r"f: expected a node with .backward\(\) .* got float; return the root"):
        check_engine(Node, lambda a: a.data, 0.5)
    with pytest.raises(ValueError, match="values: expected at least one number to differentiate by, got none"):
        check_engine(Node, lambda: Node(1.0))

    class Bare:
        def __init__(self, data: Any) -> None:
            self.data = data

        def backward(self) -> None: ...

    with pytest.raises(TypeError, match=r"leaf: expected nodes with .grad after backward\(\), got Bare without it"):
        check_engine(Bare, lambda a: a, 0.5)


def test_a_root_that_is_no_scalar_is_told_by_shape() -> None:
    """Of an engine of tensors whose backward starts from ones: that sums over the root, where the loss does not."""

    class Tensor(Node):
        def __matmul__(self, other: Tensor) -> Tensor:
            out = Tensor(self.data @ other.data, (self, other))

            def pass_on() -> None:
                upstream = out.grad * np.ones_like(out.data)
                self.grad += upstream @ other.data.T
                other.grad += self.data.T @ upstream

            out.pass_on = pass_on
            return out

    random = np.random.default_rng(0)
    with pytest.raises(GradientError, match=r"expected shape \(4, 2, 4, 3\) for each of the \(4, 2\) losses"):
        check_engine(Tensor, lambda x, w: x @ w, random.normal(size=(4, 3)), random.normal(size=(3, 2)))
