"""`check_object` proves the gradients of a class that holds its own parameters right or wrong, and leaves it alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.special

from oracles import GradientError, check_object

Array = Any


# --- networks as the documents write them ---------------------------------------------------------------------------


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(z, -500, 500)))


def cross_entropy(y: Array, p: Array) -> Array:
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


class Tiny:
    """Parameters in attributes, a forward that stores, a backward that returns a dict."""

    def __init__(self) -> None:
        self.w1, self.b1, self.w2, self.b2 = 0.3, 0, -0.7, 0.0  # b1 is a whole number, as people write it
        self.x = self.z1 = self.a1 = self.p = 0.0
        self.gradients: dict[str, Any] = {}

    def forward(self, x: Array) -> Array:
        self.x = x
        self.z1 = self.w1 * x + self.b1
        self.a1 = np.maximum(0, self.z1)
        self.p = sigmoid(self.w2 * self.a1 + self.b2)
        return self.p

    def backward(self, y: Array) -> dict[str, Any]:
        dz2 = self.p - y
        dz1 = dz2 * self.w2 * (self.z1 > 0)
        self.gradients = {"w1": dz1 * self.x, "b1": dz1, "w2": dz2 * self.a1, "b2": dz2}
        return self.gradients


class Network:
    """Parameters, intermediates and gradients in dicts, a backward that returns nothing."""

    def __init__(self, sizes: list[int]) -> None:
        random = np.random.default_rng(0)
        self.params: dict[str, Array] = {}
        self.cache: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.layers = len(sizes) - 1
        for i, (n, m) in enumerate(pairwise(sizes), start=1):
            self.params[f"W{i}"] = random.normal(size=(m, n))
            self.params[f"b{i}"] = np.zeros((m, 1))

    def forward(self, x: Array) -> Array:
        a = self.cache["A0"] = x
        for i in range(1, self.layers + 1):
            z = np.dot(self.params[f"W{i}"], a) + self.params[f"b{i}"]
            a = np.maximum(0, z) if i < self.layers else sigmoid(z)
            self.cache[f"Z{i}"], self.cache[f"A{i}"] = z, a
        return a

    def backward(self, y: Array) -> None:
        dz = self.cache[f"A{self.layers}"] - y
        for i in range(self.layers, 0, -1):
            self.gradients[f"W{i}"] = np.dot(dz, self.cache[f"A{i - 1}"].T) / y.shape[1]
            self.gradients[f"b{i}"] = np.mean(dz, axis=1, keepdims=True)
            if i > 1:
                dz = np.dot(self.params[f"W{i}"].T, dz) * (self.cache[f"Z{i - 1}"] > 0).astype(float)


X, Y = np.random.default_rng(1).normal(size=(2, 6)), np.array([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])


def loss(net: Any, x: Array, y: Array) -> Any:
    return cross_entropy(y, net.forward(x))


def backward(net: Any, x: Array, y: Array) -> Any:
    return net.backward(y)


def refused(*args: Any) -> str:
    with pytest.raises(GradientError) as error:
        check_object(*args)
    return str(error.value)


def found(verdict: Any, what: str) -> str:
    (evidence,) = [f.evidence for f in verdict.findings if f.what == what]
    return str(evidence)


# --- right and wrong ------------------------------------------------------------------------------------------------


def test_parameters_in_attributes_are_certified() -> None:
    verdict = check_object(Tiny(), loss, lambda net, x, y: net.backward(y), np.float64(2.0), 1.0)
    assert verdict.certified
    assert str(verdict).startswith("Tiny.backward: right\n  parameters kept   ok")
    assert verdict.certificate is not None
    assert verdict.certificate.entries == 4


def test_parameters_in_a_dict_are_certified_and_their_gradients_found_in_another() -> None:
    verdict = check_object(Network([2, 4, 3, 1]), loss, backward, X, Y)
    assert verdict.certified
    assert verdict.certificate is not None
    assert verdict.certificate.entries == 31


def test_a_wrong_entry_is_named_with_its_path_and_true_value() -> None:
    class OffByALittle(Network):
        def backward(self, y: Array) -> None:
            super().backward(y)
            self.gradients["W2"][2, 1] *= 1 + 1e-12

    message = refused(OffByALittle([2, 4, 3, 1]), loss, lambda net, x, y: net.backward(y), X, Y)
    assert "OffByALittle.backward: wrong" in message
    assert "proved wrong: 1 of 31 entries, in net.params['W2'][2, 1]" in message


def test_a_wrong_attribute_is_named() -> None:
    class NoRelu(Tiny):
        def backward(self, y: Array) -> dict[str, Any]:
            return {**super().backward(y), "w1": (self.p - y) * self.x}

    message = refused(NoRelu(), loss, backward, np.float64(2.0), 1.0)
    assert "proved wrong: 1 of 4 entries, in net.w1" in message


def test_a_backward_may_run_the_forward_itself() -> None:
    def all_in_one(net: Tiny, x: Array, y: Array) -> dict[str, Any]:
        net.forward(x)
        return net.backward(y)

    assert check_object(Tiny(), loss, all_in_one, np.float64(2.0), 1.0).certified


def test_the_object_comes_out_as_it_went_in() -> None:
    net = Network([2, 3, 1])
    loss(net, X, Y)
    net.backward(Y)
    before = copy.deepcopy(vars(net))
    assert check_object(net, loss, backward, X, Y).certified
    for name in ("params", "cache", "gradients"):
        now = getattr(net, name)
        assert now.keys() == before[name].keys()
        assert all(type(a) is np.ndarray and np.array_equal(a, before[name][key]) for key, a in now.items())


# --- other ways of keeping parameters -------------------------------------------------------------------------------


class Dense:
    def __init__(self, n: int, m: int) -> None:
        self.W = np.random.default_rng(n).normal(size=(n, m))
        self.dW = np.zeros((n, m))  # written into: a buffer of floats from before the balls came
        self.x = np.zeros(0)

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.W

    def backward(self, c: Array) -> Array:
        self.dW[:] = self.x.T @ c
        return c @ self.W.T


class Stack:
    def __init__(self) -> None:
        self.layers = [Dense(2, 3), Dense(3, 1)]
        self.out = np.zeros(0)

    def loss(self, x: Array) -> Array:
        h = np.tanh(self.layers[0].forward(x))
        self.out = self.layers[1].forward(h)
        return np.sum(self.out**2)

    def backward(self, factor: float) -> dict[str, Array]:
        dh = self.layers[1].backward(factor * self.out)
        self.layers[0].backward(dh * (1 - self.layers[1].x ** 2))
        return {f"layers.{i}.W": layer.dW for i, layer in enumerate(self.layers)}


def test_layers_in_a_list_are_named_by_dotted_keys() -> None:
    assert check_object(Stack(), Stack.loss, lambda net, x: net.backward(2), X.T).certified
    message = refused(Stack(), Stack.loss, lambda net, x: net.backward(1), X.T)
    assert "proved wrong: 9 of 9 entries, in net.layers[0].W[0, 0]" in message


def test_keys_with_a_d_in_front_and_lists_of_parameters() -> None:
    class Listed:
        def __init__(self) -> None:
            self.w: list[Any] = [0.5, np.array([1.5, -2.0])]

    def value(net: Listed, x: float) -> Array:
        return net.w[0] * x + np.sum(net.w[1] ** 2) * net.w[0]

    def right(net: Listed, x: float) -> dict[str, Any]:
        return {"dw": [x + np.sum(net.w[1] ** 2), 2 * net.w[0] * net.w[1]]}

    def wrong(net: Listed, x: float) -> dict[str, Any]:
        return {"dw": [x + np.sum(net.w[1] ** 2), net.w[0] * net.w[1]]}

    assert check_object(Listed(), value, right, 3.0).certified
    assert "in net.w[1][0], net.w[1][1]" in refused(Listed(), value, wrong, 3.0)


def test_an_array_in_two_places_is_one_parameter() -> None:
    class Tied:
        def __init__(self) -> None:
            self.encoder = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.5]])
            self.decoder = self.encoder
            self.x = self.h = np.zeros(0)

        def loss(self, x: Array) -> Array:
            self.x, self.h = x, np.sin(x @ self.encoder)
            return np.sum((self.h @ self.decoder.T) ** 2)

        def backward(self, both: bool) -> dict[str, Array]:
            c = 2 * self.h @ self.decoder.T
            through = self.x.T @ (c @ self.decoder * np.cos(self.x @ self.encoder))
            return {"encoder": through + c.T @ self.h if both else through}

    x = np.random.default_rng(2).normal(size=(4, 3))
    verdict = check_object(Tied(), Tied.loss, lambda net, x: net.backward(True), x)
    assert verdict.certified
    assert "not covered" not in str(verdict)
    assert "6 of 6 entries" in refused(Tied(), Tied.loss, lambda net, x: net.backward(False), x)


# --- conduct --------------------------------------------------------------------------------------------------------


def test_a_backward_that_updates_the_parameters_is_told_so() -> None:
    class Eager(Tiny):
        def backward(self, y: Array) -> dict[str, Any]:
            made = super().backward(y)
            self.w1 = self.w1 - 0.1 * made["w1"]
            return made

    message = refused(Eager(), loss, backward, np.float64(2.0), 1.0)
    assert "parameters kept   WRONG  backward changes net.w1: return the gradients" in message


def test_inputs_written_into_are_named() -> None:
    class Greedy(Network):
        def backward(self, y: Array) -> None:
            super().backward(y)
            self.cache["A0"] *= 2

    assert "inputs unchanged  WRONG  changed in place: args[0]" in refused(Greedy([2, 3, 1]), loss, backward, X, Y)


def test_gradients_that_add_up_over_calls_are_noted() -> None:
    class Adding(Tiny):
        def backward(self, y: Array) -> dict[str, Any]:
            before = self.gradients
            made = super().backward(y)
            self.gradients = {key: value + before.get(key, 0.0) for key, value in made.items()}
            return self.gradients

    verdict = check_object(Adding(), loss, backward, np.float64(2.0), 1.0)
    assert verdict.certified
    assert "another gradient: it adds to what is there" in found(verdict, "second backward")


def test_a_parameter_without_a_gradient_is_noted_in_attributes_and_wrong_in_a_dict() -> None:
    def without_b2(net: Tiny, x: Array, y: Array) -> dict[str, Any]:
        made = net.backward(y)
        del made["b2"]
        return made

    class NoBias(Network):
        def backward(self, y: Array) -> None:
            super().backward(y)
            del self.gradients["b2"]

    verdict = check_object(Tiny(), loss, without_b2, np.float64(2.0), 1.0)
    assert found(verdict, "not covered") == "the loss depends on net.b2, which has no gradient"
    assert "gradient: missing keys ['b2'] of net.params" in refused(NoBias([2, 3, 1]), loss, backward, X, Y)


def test_shapes_have_to_fit() -> None:
    class Flat(Network):
        def backward(self, y: Array) -> None:
            super().backward(y)
            self.gradients["b1"] = self.gradients["b1"].ravel()

    message = refused(Flat([2, 3, 1]), loss, backward, X, Y)
    assert "gradient of net.params['b1']: expected shape (3, 1), got (3,)" in message


def test_code_that_balls_cannot_run_is_compared_and_its_wrong_entry_named() -> None:
    class Erf:
        def __init__(self, factor: float) -> None:
            self.w, self.factor = np.array([0.5, -0.25, 1.5]), factor

        def loss(self, x: Array) -> Array:
            return np.sum(scipy.special.erf(self.w * x))

        def backward(self, x: Array) -> dict[str, Array]:
            made = 2 / np.sqrt(np.pi) * np.exp(-((self.w * x) ** 2)) * x
            made[1] *= self.factor
            return {"w": made}

    x = np.array([1.0, 2.0, 0.5])
    verdict = check_object(Erf(1.0), Erf.loss, Erf.backward, x)
    assert verdict.ok
    assert not verdict.certified
    assert "erf" in found(verdict, "certificate")
    assert "1 of 3 entries differ, in net.w[1]" in refused(Erf(1.001), Erf.loss, Erf.backward, x)


# --- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        pytest.param(
            lambda net, x, y: None, TypeError, "backward: expected a dict from parameter names", id="nothing-anywhere"
        ),
        pytest.param(lambda net, x, y: net.p, TypeError, "backward: expected a dict", id="an-array"),
        pytest.param(lambda net, x, y: {"w3": 1.0}, ValueError, "(a1, b1, b2, p, w1, w2, x, z1)", id="unknown-name"),
        pytest.param(
            lambda net, x, y: {"x": 1.0}, ValueError, "got net.x, which the loss overwrites", id="an-intermediate"
        ),
    ],
)
def test_misuse_says_what_was_expected(wrong: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        check_object(Tiny(), loss, wrong, np.float64(2.0), 1.0)
    assert message in str(raised.value)


def test_a_name_in_two_dicts_has_to_be_told_apart() -> None:
    class Moments:
        def __init__(self) -> None:
            self.mine = {"W": np.ones(2)}
            self.momentum = {"W": np.zeros(2)}

    def value(net: Moments) -> Array:
        return np.sum(net.mine["W"] ** 2)

    with pytest.raises(ValueError, match=r"'W' could be net.mine\['W'\], net.momentum\['W'\].*'mine.W'"):
        check_object(Moments(), value, lambda net: {"W": 2 * net.mine["W"]})
    assert check_object(Moments(), value, lambda net: {"mine.W": 2 * net.mine["W"]}).certified


def test_an_object_that_cannot_be_copied_is_refused() -> None:
    net: Any = Tiny()
    net.log = (line for line in "ab")
    with pytest.raises(TypeError, match=r"net: expected an object that copy.deepcopy can copy, got Tiny"):
        check_object(net, loss, backward, 2.0, 1.0)


def test_a_gradient_that_an_earlier_backward_left_behind_is_no_parameter() -> None:
    """A network that has been trained has its last gradients in attributes of the names that the keys have."""

    class Linear:
        def __init__(self) -> None:
            self.W = np.array([[0.3, -0.7], [1.1, 0.4]])

        def loss(self, x: Array) -> Any:
            return np.sum((x @ self.W) ** 2)

        def backward(self, x: Array) -> dict[str, Array]:
            self.dW = 2 * x.T @ (x @ self.W)
            return {"dW": self.dW}

    net, x = Linear(), np.array([[0.5, -1.5]])
    net.backward(x)
    verdict = check_object(net, Linear.loss, Linear.backward, x)
    assert verdict.certified
    assert all(finding.what != "not covered" for finding in verdict.findings)
