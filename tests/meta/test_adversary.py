"""What an adversary once found: right gradients that were refused, wrong ones that were not, and crashes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from manual import nine_weight, nine_weight_stable
from oracles import GradientError, Ruling, UndecidedGradientError, certify, certify_layer, check, check_layer
from oracles.ball import BallArray
from reference.datasets import housing

Array = Any
RNG = np.random.default_rng
THIRD = 1 / 3


def relu(x: Array) -> Array:
    return np.sum(np.maximum(x, 0))


@pytest.mark.parametrize("point", [[0.0, 1.0], [0.0], [0.0, 0.0, 0.0]])
def test_a_kink_in_every_evaluation_does_not_crash(point: list[float]) -> None:
    assert check(relu, lambda x: (x >= 0) * 1.0, np.array(point)).certified


def test_a_forward_that_is_another_one_on_balls_proves_nothing() -> None:
    def loss(x: Array) -> Array:
        return np.sum(x**4) if isinstance(x, np.ndarray) else np.sum(x**3)

    with pytest.raises(GradientError, match="void: the forward gives another value on floats"):
        check(loss, lambda x: 3 * x**2, np.array([1.0, 2.0]))
    verdict = check(loss, lambda x: 4 * x**3, np.array([2.0]))
    assert verdict.ok
    assert not verdict.certified


def test_a_kink_excuses_its_own_entry_only() -> None:
    def gradient(x: Array) -> Array:
        return (x > 0) * 1.0 if not isinstance(x, np.ndarray) else (x > 0) * np.array([1.0, 1.001, 1.0])

    with pytest.raises(GradientError, match="the floats do not follow the formula"):
        check(relu, gradient, np.array([0.0, 2.0, -1.0]))


def test_rounded_constants_are_excused_beside_a_kink_too() -> None:
    verdict = certify(lambda x: np.sum(np.maximum(x, 0)) * THIRD, lambda x: (x > 0) / 3, np.array([0.0, 1.0, -2.0]))
    assert verdict.ok, str(verdict)
    wrong = certify(lambda x: np.sum(np.maximum(x, 0)) * THIRD, lambda x: (x > 0) / 3.001, np.array([0.0, 1.0, -2.0]))
    assert wrong.ruling is Ruling.WRONG


def test_a_rounded_constant_does_not_settle_an_entry_that_was_never_seen() -> None:
    """The second entry underflows in floats, is 1e-259 in truth, and is claimed twice too large."""
    constant = 1 / 3

    def loss(w: Array) -> Array:
        return constant * w[0] + 1 / (1 + np.exp(-600 + w[1]))

    def gradient(w: Array) -> Array:
        s = 1 / (1 + np.exp(-600 + w[1]))
        return np.stack([w[0] * 0 + 1 / 3, -2 * s * (1 - s)])

    assert certify(loss, gradient, np.array([1.0, 3.0])).ruling is Ruling.WRONG


def test_constants_that_cost_nearly_all_digits_leave_it_undecided() -> None:
    big = 3e15 + 1 / 3
    with pytest.raises(UndecidedGradientError, match="leave fewer than 10 digits"):
        check(lambda x: np.sum(np.sin(x)), lambda x: ((np.cos(x) + big) - big) * (1 + 1e-3), np.array([0.3, 1.0]))


def test_many_tied_maxima() -> None:
    x = np.ones(120)
    assert certify(np.max, lambda x: (x == np.max(x)) / np.sum(x == np.max(x)), x).ruling is Ruling.CERTIFIED
    assert certify(np.max, lambda x: (x == np.max(x)) * 1.0, x).ruling is Ruling.WRONG


def test_a_wrong_entry_beside_a_kink_is_named() -> None:
    def gradient(x: Array) -> Array:
        made = (x > 0) * (1 + 0 * x)
        made[3] = made[3] * 2
        return made

    certificate = certify(relu, gradient, np.array([0.0, 1.0, -1.0, 2.0]))
    assert [(w.parameter, w.index) for w in certificate.wrong] == [("x", (3,))]


def test_arithmetic_on_lengths_that_ends_in_an_integer() -> None:
    def loss(x: Array) -> Array:
        return np.sum(x[: int(0.8 * len(x))] ** 2)

    def gradient(x: Array) -> Array:
        n = int(0.8 * len(x))
        return np.concatenate([2 * x[:n], np.zeros(len(x) - n)])

    assert check(loss, gradient, RNG(0).normal(size=10)).certified


@pytest.mark.parametrize(("data", "parameter"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_mixed_precisions(data: type, parameter: type) -> None:
    x: Array = RNG(1).normal(size=(6, 3)).astype(data)
    w: Array = RNG(2).normal(size=3).astype(parameter)
    assert check(lambda w, x: np.sum((x @ w) ** 2), lambda w, x: 2 * x.T @ (x @ w), w, x).ok


class Dense:
    """A layer object that keeps its cache."""

    def __init__(self, w: Array) -> None:
        self.w = w

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.w

    def backward(self, dout: Array) -> Array:
        return dout @ self.w.T


def test_layer_objects_keep_their_own_cache_and_are_left_with_floats() -> None:
    layer = Dense(RNG(3).normal(size=(3, 2)))
    assert check_layer(layer.forward, layer.backward, RNG(4).normal(size=(4, 3))).certified
    assert not isinstance(layer.x, BallArray)
    assert certify_layer(layer.forward, lambda d: 2 * layer.backward(d), np.ones((1, 3))).ruling is Ruling.WRONG


class Square:
    """Its gradient uses what the last call of its loss left behind."""

    def loss(self, x: Array) -> Array:
        self.x = x
        return np.sum(x * x)

    def gradient(self, x: Array) -> Array:
        return 2 * self.x


def test_a_gradient_that_needs_the_loss_called_first() -> None:
    square = Square()
    assert check(square.loss, square.gradient, np.array([1.0, 2.0])).certified


def test_running_statistics_in_an_argument_are_state_and_not_a_mutation() -> None:
    def forward(x: Array, state: dict[str, Any]) -> tuple[Array, Array]:
        state["mean"] = 0.9 * state.get("mean", 0.0) + 0.1 * np.mean(x)
        return 3 * x, x

    assert check_layer(forward, lambda d, x: 3 * d, np.ones(2), {"name": "bn"}, wrt=0).certified


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_a_scalar_loss_that_kept_its_axes(shape: tuple[int, ...]) -> None:
    assert check(lambda x: np.sum(x * x).reshape(shape), lambda x: 2 * x, np.array([1.0, 2.0, 3.0])).certified


def test_overflow_is_no_disagreement_with_the_formula() -> None:
    def softmax_loss(x: Array) -> Array:
        e = np.exp(x)
        return -np.log(e[0] / np.sum(e))

    def gradient(x: Array) -> Array:
        e = np.exp(x)
        p = e / np.sum(e)
        return p - (np.arange(len(x)) == 0)

    verdict = check(softmax_loss, gradient, np.array([1000.0, 1001.0]))
    assert verdict.certified
    assert "inaccurate here" in str(verdict)


@pytest.mark.parametrize("module", [nine_weight, nine_weight_stable])
def test_weights_that_are_exactly_zero(module: Any) -> None:
    """Many entries are then exactly zero; they have all digits, and the others have theirs."""
    x, y = housing()
    certificate = certify(
        lambda w, x, y: module.forward(w, x, y)[0],
        lambda w, x, y: module.loss_and_gradient(w, x, y)[1],
        *(np.zeros((20, 9)), x[:20], y[:20]),
    )
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert certificate.digits >= 30


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")  # it is what has to be refused
@pytest.mark.parametrize("kind", [np.asmatrix, np.ma.asarray], ids=["matrix", "masked"])
def test_arrays_with_other_operators_are_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"args\[0\]: expected a plain array, got \w+; pass np.asarray of it"):
        check(lambda w: np.sum(w * w), lambda w: 2 * w, kind(np.ones((2, 2))))
