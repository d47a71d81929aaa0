"""A subject runs at another point before it is judged, so what it remembers of its first call is proved wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oracles import GradientError, certify, certify_layer, check, check_engine, check_layer, check_object
from oracles.elsewhere import run_elsewhere
from oracles.trial import Trial, loss_trial
from tests.meta.endless import ends

Array = Any
W = np.array([0.7, -1.3, 0.4])
X = np.array([[1.0, -0.5, 2.0], [0.3, 0.8, -1.1]])


def cubes(w: Array) -> Any:
    return np.sum(w**3)


def remembers_the_gradient() -> Callable[[Array], Array]:
    memory: dict[str, Array] = {}
    return lambda w: memory.setdefault("slope", 3 * w**2).copy()


def cubes_of_positive(w: Array) -> Any:
    """Raises at other signs, so that the first other point is none."""
    if not (w[0] > 0 > w[1]):
        raise ValueError("w: expected a positive number and a negative one")
    return np.sum(w**3)


def relu_layer(x: Array, w: Array) -> tuple[Array, Any]:
    z = x @ w
    return np.maximum(z, 0), (x, w, z)


def remembers_the_mask() -> Callable[[Array, Any], tuple[Array, Array]]:
    masks: list[Array] = []

    def backward(dout: Array, cache: Any) -> tuple[Array, Array]:
        x, w, z = cache
        if not masks:
            masks.append(z > 0)
        dz = dout * masks[0]
        return np.outer(dz, w), x.T @ dz

    return backward


def relu_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    x, w, z = cache
    dz = dout * (z > 0)
    return np.outer(dz, w), x.T @ dz


class Unit:
    """tanh of a weighted sum."""

    def __init__(self) -> None:
        self.w = W.copy()
        self.slope: Array | None = None

    def loss(self, x: Array) -> Any:
        self.x, self.o = x, np.tanh(x @ self.w)
        return np.sum(self.o)

    def backward(self) -> dict[str, Array]:
        return {"w": self.x.T @ (1 - self.o**2)}


class Remembering(Unit):
    def backward(self) -> dict[str, Array]:
        if self.slope is None:
            self.slope = 1 - self.o**2
        return {"w": self.x.T @ self.slope}


class Adding(Unit):
    """Adds to its gradients, as PyTorch does: whoever calls it sets them to zero between."""

    def __init__(self) -> None:
        super().__init__()
        self.grads = {"w": np.zeros(3)}

    def backward(self) -> dict[str, Array]:
        self.grads["w"] = self.grads["w"] + self.x.T @ (1 - self.o**2)
        return self.grads


class Consuming(Remembering):
    """Can go back once after each forward."""

    def loss(self, x: Array) -> Any:
        self.saved = [x]
        return super().loss(x)

    def backward(self) -> dict[str, Array]:
        self.x = self.saved.pop()
        return super().backward()


class Shared(Unit):
    """Has its parameter in two places, of which the loss reads the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = [self.w]

    def loss(self, x: Array) -> Any:
        self.x, self.o = x, np.tanh(x @ self.stored[0])
        return np.sum(self.o)


class Narrow(Unit):
    """Stands no other parameters than its own."""

    def loss(self, x: Array) -> Any:
        if np.max(np.abs(self.w)) > 1.31:
            raise ValueError("w: too large")
        return super().loss(x)


def loss_of(net: Unit, x: Array) -> Any:
    return net.loss(x)


def backward_of(net: Unit, x: Array) -> dict[str, Array]:
    return net.backward()


def test_a_remembered_gradient_is_proved_wrong() -> None:
    with pytest.raises(GradientError, match="proved wrong: 3 of 3 entries"):
        check(cubes, remembers_the_gradient(), W)
    assert certify(cubes, remembers_the_gradient(), W).wrong
    assert certify(cubes, lambda w: 3 * w**2, W).ok


def test_a_remembered_gradient_is_proved_wrong_where_the_domain_is_narrow() -> None:
    with pytest.raises(GradientError, match="proved wrong: 3 of 3 entries"):
        check(cubes_of_positive, remembers_the_gradient(), W)


def test_a_remembered_mask_is_proved_wrong() -> None:
    x, w = X * [[-1], [1]], np.array([-0.2, -0.3, -0.1])  # both signs elsewhere are others
    with pytest.raises(GradientError, match="proved wrong"):
        check_layer(relu_layer, remembers_the_mask(), x, w)
    assert certify_layer(relu_layer, remembers_the_mask(), x, w).wrong
    assert certify_layer(relu_layer, relu_backward, x, w).ok


def test_a_forward_that_remembers_is_proved_wrong() -> None:
    @functools.cache
    def first() -> list[Array]:
        return []

    def forward(w: Array) -> tuple[Array, Any]:
        first().append(np.sin(w))
        return w * np.sin(w), (w, first()[0])

    def backward(dout: Array, cache: Any) -> Array:
        w, sine = cache
        return dout * (sine + w * np.cos(w))

    with pytest.raises(GradientError, match="proved wrong"):
        check_layer(forward, backward, W)


@pytest.mark.parametrize("kind", [Remembering, Consuming])
def test_an_object_that_remembers_is_proved_wrong(kind: type[Unit]) -> None:
    with pytest.raises(GradientError, match="proved wrong: 3 of 3 entries"):
        check_object(kind(), loss_of, backward_of, X)


@pytest.mark.parametrize("kind", [Unit, Shared, Narrow])
def test_an_object_that_forgets_is_right(kind: type[Unit]) -> None:
    net = kind()
    assert check_object(net, loss_of, backward_of, X).certified
    assert np.array_equal(net.w, W)
    assert not hasattr(net, "o")


def test_an_object_that_adds_up_is_told_to_and_right_once() -> None:
    verdict = check_object(Adding(), loss_of, backward_of, X)
    assert verdict.certified
    assert "second backward" in str(verdict)


def test_an_engine_that_remembers_is_proved_wrong() -> None:
    class Value:
        def __init__(self, data: Any, *of: Value) -> None:
            self.data, self.grad, self.of = data, 0.0, [*of]

        def square(self) -> Value:
            return Value(self.data * self.data, self)

        def backward(self) -> None:
            leaf = self.of[0]
            slopes.append(2 * leaf.data)
            leaf.grad = slopes[0]

    slopes: list[Any] = []
    with pytest.raises(GradientError, match="proved wrong"):
        check_engine(Value, lambda v: v.square(), 1.5)


def test_the_other_point_is_another() -> None:
    seen: list[Any] = []

    def make(args: Any) -> Trial:
        seen.extend(args)
        return loss_trial(cubes, lambda w: 3 * w**2, args[:1], 0)

    w = np.array([0.0, -0.25, 2.0], dtype=np.float32)
    run_elsewhere(make, [w, {"h": 0.5}, np.array([1, 2])])
    moved, options, whole = seen
    assert moved.dtype == np.float32
    assert moved.tolist() == [0.5, 0.1875, 3.0]
    assert options == {"h": 1.125}
    assert whole.tolist() == [1, 2]
    assert w.tolist() == [0.0, -0.25, 2.0]


def test_what_is_raised_at_another_point_is_nobodys_concern() -> None:
    tried: list[float] = []

    def make(args: Any) -> Trial:
        tried.append(args[0])
        raise ValueError("outside the domain")

    run_elsewhere(make, [0.5])
    assert tried == [1.125, 0.375]


def powers(a: Array) -> list[Array]:
    """Until they are small, which those of 1 and more never are."""
    found = [a]
    while np.max(found[-1]) > 0.01:
        found.append(found[-1] * a)
    return found


class Powers:
    def __init__(self) -> None:
        self.a = np.array([0.5, 0.25])

    def loss(self) -> Any:
        self.found = powers(self.a)
        return np.sum(self.found[-1])

    def backward(self) -> dict[str, Array]:
        return {"a": len(self.found) * self.found[-2]}


def test_a_loop_that_has_no_end_elsewhere_is_given_up() -> None:
    a = np.array([0.5, 0.25])
    with ends():
        assert check(lambda a: np.sum(powers(a)[-1]), lambda a: len(powers(a)) * powers(a)[-2], a).certified
        assert check_object(Powers(), lambda net: net.loss(), lambda net: net.backward()).certified
