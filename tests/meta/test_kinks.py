"""At a kink the gradient must lie in the hull of the one-sided derivatives, and its convention is named."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flint import arb

from oracles import Certificate, Ruling, certify, certify_layer
from oracles.convex_hull import Away, away_from_zero
from tests.meta.ulps import ulps

Array = Any
AT_ZERO = np.array([1.0, -2.0, 0.0, 3.0])


def relu(x: Array) -> tuple[Array, Array]:
    return np.maximum(0, x), x


def relu_backward(at_zero: float) -> Callable[[Array, Array], Array]:
    return lambda c, x: c * ((x > 0) + at_zero * (x == 0))


@pytest.mark.parametrize(
    ("at_zero", "convention"),
    [
        pytest.param(0.0, "the smaller one-sided derivative", id="0"),
        pytest.param(1.0, "the larger one-sided derivative", id="1"),
        pytest.param(0.5, "the midpoint", id="half"),
        pytest.param(0.25, "between the one-sided derivatives", id="quarter"),
    ],
)
def test_relu_at_zero_may_be_anything_in_the_hull(at_zero: float, convention: str) -> None:
    certificate = certify_layer(relu, relu_backward(at_zero), AT_ZERO)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert [(k.index, k.convention) for k in certificate.kinks] == [((2,), convention)]


@pytest.mark.parametrize("at_zero", [-0.01, 1.01, 2.0])
def test_relu_at_zero_outside_the_hull_is_wrong(at_zero: float) -> None:
    certificate = certify_layer(relu, relu_backward(at_zero), AT_ZERO)
    assert certificate.ruling is Ruling.WRONG
    assert (2,) in {w.index for w in certificate.wrong}
    assert "hull" in certificate.wrong[0].true


def test_wrong_beside_the_kink_is_wrong() -> None:
    certificate = certify_layer(relu, lambda c, x: c * (x > 0) * 1.5, AT_ZERO)
    assert certificate.ruling is Ruling.WRONG


def row_max(x: Array) -> tuple[Array, Array]:
    largest = np.max(x, axis=1)
    return largest, (x, largest)


def share(c: Array, cache: Array) -> Array:
    x, largest = cache
    winners = x == largest[:, None]
    return c[:, None] * winners / np.sum(winners, axis=1, keepdims=True)


def first(c: Array, cache: Array) -> Array:
    x, _ = cache
    dx = np.zeros_like(x)
    dx[np.arange(len(x)), np.argmax(x, axis=1)] = c
    return dx


def everyone(c: Array, cache: Array) -> Array:
    """The gradient goes to every tied maximum in full, as apache/mxnet#18563 reports."""
    x, largest = cache
    return c[:, None] * (x == largest[:, None])


TIED = np.array([[1.0, 2.0, 2.0, 2.0], [3.0, 1.0, 0.0, -1.0]])


@pytest.mark.parametrize("backward", [share, first], ids=["share", "first"])
def test_a_tie_may_be_shared_or_given_to_one(backward: Callable[..., Array]) -> None:
    certificate = certify_layer(row_max, backward, TIED)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert {k.index for k in certificate.kinks} == {(0, 1), (0, 2), (0, 3)}


def test_a_tie_given_to_all_is_wrong() -> None:
    """Each entry alone is in the hull; their sum is not."""
    certificate = certify_layer(row_max, everyone, TIED)
    assert certificate.ruling is Ruling.WRONG
    assert any("+" in w.parameter for w in certificate.wrong)


@pytest.mark.parametrize(
    ("tied", "of", "shares"),
    [
        pytest.param(3, 4, 2, id="three-halves"),
        pytest.param(4, 5, 2, id="four-halves"),
        pytest.param(5, 5, 3, id="five-thirds"),
    ],
)
def test_shares_that_sum_to_more_than_one_are_wrong(tied: int, of: int, shares: int) -> None:
    """Each entry, and each sum of two, is in its hull; the sum of all is not."""

    def backward(c: Array, cache: Array) -> Array:
        x, largest = cache
        winners = x == largest[:, None]
        return c[:, None] * winners / np.where(np.sum(winners, axis=1, keepdims=True) > 1, shares, 1)

    certificate = certify_layer(row_max, backward, np.array([[2.0] * tied + [1.0] * (of - tied)]))
    assert certificate.ruling is Ruling.WRONG
    assert [w.parameter for w in certificate.wrong] == [" + ".join(f"x[0, {i}]" for i in range(tied))]


@pytest.mark.parametrize("zeros", [30, 31, 100])
def test_kinks_elsewhere_hide_nothing(zeros: int) -> None:
    """A tie given to both is wrong however many ReLUs are at zero in the same trial."""

    def forward(x: Array, y: Array) -> tuple[Array, Array]:
        return np.sum(np.maximum(x, 0)) + np.max(y), (x, y)

    def backward(c: Array, cache: Array) -> tuple[Array, Array]:
        x, y = cache
        return c * (x > 0), c * (y == np.max(y))

    at = np.zeros(zeros), np.array([2.0, 2.0, 1.0])
    certificate = certify_layer(forward, backward, *at)
    assert certificate.ruling is Ruling.WRONG
    assert [w.parameter for w in certificate.wrong] == ["y[0] + y[1]"]

    def sharing(c: Array, cache: Array) -> tuple[Array, Array]:
        x, y = cache
        return c * (x > 0), c * (y == np.max(y)) / np.sum(y == np.max(y))

    shared = certify_layer(forward, sharing, *at)
    assert shared.ruling is Ruling.CERTIFIED
    assert len(shared.kinks) == zeros + 2


def test_nothing_is_enclosed_at_a_wrong_tie() -> None:
    certificate = certify(np.max, lambda x: 1.0 * (x == np.max(x)), np.array([2.0, 2.0]))
    assert certificate.ruling is Ruling.WRONG
    assert repr(certificate.claimed[0]) == "BallArray(['nan' 'nan'], shape=(2,))"


def test_every_sample_with_a_wrong_tie_is_named() -> None:
    x = np.random.default_rng(0).normal(size=(64, 4))
    x[:, 1] = x[:, 2] = 4.0
    certificate = certify_layer(row_max, everyone, x)
    assert certificate.ruling is Ruling.WRONG
    assert {w.parameter for w in certificate.wrong} == {f"x[{i}, 1] + x[{i}, 2]" for i in range(64)}


def test_without_the_tie_the_same_code_is_right() -> None:
    assert certify_layer(row_max, everyone, TIED[1:]).ruling is Ruling.CERTIFIED


def test_kinks_of_some_samples_do_not_touch_the_others() -> None:
    w, x = np.random.default_rng(0).normal(size=(50, 3)), np.random.default_rng(1).normal(size=(50, 3))
    w[7, 1] = 0.0
    certificate = certify(lambda w, x: np.sum(np.maximum(0, w * x), axis=1), lambda w, x: (w * x > 0) * x, w, x)
    assert certificate.ruling is Ruling.CERTIFIED
    assert [(k.sample, k.index) for k in certificate.kinks] == [((7,), (1,))]


def test_a_smooth_function_with_a_branch_at_the_point_has_no_kink() -> None:
    """x |x| is differentiable at 0, whatever its code compares there."""
    certificate = certify(
        lambda x: np.sum(np.where(x > 0, x * x, -x * x)), lambda x: 2 * np.abs(x), np.array([0.0, 1.0])
    )
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert certificate.kinks == ()


def test_many_kinks_at_once() -> None:
    """A layer whose inputs are mostly exact zeros, as after another ReLU."""
    x = np.maximum(0, np.random.default_rng(2).normal(size=(8, 12)))
    assert certify_layer(relu, relu_backward(0.0), x).ruling is Ruling.CERTIFIED
    assert certify_layer(relu, relu_backward(1.5), x).ruling is Ruling.WRONG


def test_max_pooling_over_windows_of_zeros() -> None:
    x = np.maximum(0, np.random.default_rng(3).normal(size=(5, 9)) - 1)
    x[0] = 0.0
    assert certify_layer(row_max, first, x).ruling is Ruling.CERTIFIED
    assert certify_layer(row_max, everyone, x).ruling is Ruling.WRONG


# --- kinks that hang together -----------------------------------------------------------------------------------------


class Network:
    """The squared error of a 3-4-4-1 ReLU network over five samples, with a slope at zero for each hidden layer."""

    def __init__(self, slopes: tuple[float, float], zero: tuple[int, ...]) -> None:
        random = np.random.default_rng(0)
        self.slopes, self.sizes = slopes, (3, 4, 4, 1)
        self.x, self.y = random.normal(size=(5, 3)), random.normal(size=(5, 1))
        self.weights = [
            np.zeros(shape) if i in zero else random.normal(size=shape)
            for i, shape in enumerate(zip(self.sizes, self.sizes[1:], strict=False))
        ]

    def run(self, parameters: tuple[Array, ...]) -> tuple[Array, list[tuple[Array, Array]]]:
        h, cache = self.x, []
        for i in range(3):
            z = h @ parameters[2 * i] + parameters[2 * i + 1]
            cache.append((h, z))
            h = np.maximum(z, 0) if i < 2 else z
        return h, cache

    def loss(self, *parameters: Array) -> Array:
        return np.sum((self.run(parameters)[0] - self.y) ** 2)

    def gradient(self, *parameters: Array) -> tuple[Array, ...]:
        out, cache = self.run(parameters)
        d, found = 2 * (out - self.y), []
        for i in (2, 1, 0):
            h, z = cache[i]
            d = d * ((z > 0) + self.slopes[i] * (z == 0)) if i < 2 else d
            found += [np.sum(d, axis=0), h.T @ d]
            d = d @ parameters[2 * i].T
        return tuple(found[::-1])

    def certificate(self) -> Certificate:
        point = [p for w in self.weights for p in (w, np.zeros(w.shape[1]))]
        return certify(self.loss, self.gradient, *point, wrt=tuple(range(6)))


PAIRS = list(itertools.product([0.0, 0.5, 1.0], repeat=2))


@pytest.mark.parametrize("zero", [(0, 1), (0, 1, 2)], ids=["hidden", "all"])
@pytest.mark.parametrize("slopes", PAIRS, ids=str)
def test_a_network_of_zeros_may_have_any_convention(slopes: tuple[float, float], zero: tuple[int, ...]) -> None:
    """Where all weights begin at zero every ReLU is at its kink, for all samples at once."""
    assert Network(slopes, zero).certificate().ruling is Ruling.CERTIFIED


@pytest.mark.parametrize("slopes", PAIRS, ids=str)
def test_kinks_behind_kinks_accuse_no_convention(slopes: tuple[float, float]) -> None:
    """The first layer is zero, the second is not: more sides than can be tried, so some of it may stay open."""
    assert Network(slopes, (0,)).certificate().ruling is not Ruling.WRONG


# --- membership of a hull ---------------------------------------------------------------------------------------------


def away(points: list[list[float]], slack: float = 2.0**-100) -> Away | None:
    with flint.ctx.workprec(256):
        balls = np.array(points, dtype=object) + arb(0)
        return away_from_zero(balls, np.array([arb(slack)] * balls.shape[1]))


def test_zero_inside_a_hull_is_shown_by_weights() -> None:
    assert away([[1.0, 1.0], [-1.0, 1.0], [0.1, -3.0]]) is None
    assert away([[1.0, 2.0], [-0.5, -1.0]]) is None, "on the segment itself"
    assert away([[0.0, 0.0]]) is None


def test_zero_outside_a_hull_is_shown_by_a_direction() -> None:
    found = away([[1.0, 1.0], [-1.0, 1.0], [0.1, 3.0]])
    assert found is not None
    assert found.proved
    # Floating-point least squares of two points, well conditioned: some dozens of roundings.
    assert found.direction == pytest.approx([0.0, -1.0], rel=0, abs=ulps(64))
    assert found.distance == pytest.approx(1.0, rel=ulps(64), abs=0)


def test_a_distance_far_below_the_rounding_of_floats_counts() -> None:
    points = [[1.0, 2.0**-80], [-1.0, 2.0**-80]]
    found = away(points)
    assert found is not None
    assert found.proved
    assert away(points, slack=2.0**-79) is None


# --- what the frameworks do there -------------------------------------------------------------------------------------


def torch_slope(function: Callable[[Any], Any], point: list[float]) -> list[float]:
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    function(x).sum().backward()
    slope: list[float] = x.grad.tolist()  # type: ignore[union-attr]
    return slope


def jax_slope(function: Callable[[Any], Any], point: list[float]) -> list[float]:
    slope: list[float] = jax.grad(lambda x: function(x).sum())(jnp.array(point)).tolist()
    return slope


@pytest.mark.parametrize(
    ("slope", "function", "point", "expected"),
    [
        pytest.param(torch_slope, torch.relu, [0.0], [0.0], id="torch.relu-0"),
        pytest.param(torch_slope, lambda x: torch.clamp(x, min=0), [0.0], [1.0], id="torch.clamp-1"),
        pytest.param(
            torch_slope, lambda x: torch.maximum(x, torch.zeros_like(x)), [0.0], [0.5], id="torch.maximum-half"
        ),
        pytest.param(torch_slope, torch.abs, [0.0], [0.0], id="torch.abs-0"),
        pytest.param(torch_slope, torch.amax, [2.0, 2.0], [0.5, 0.5], id="torch.amax-shares"),
        pytest.param(torch_slope, lambda x: torch.max(x, dim=0).values, [2.0, 2.0], [1.0, 0.0], id="torch.max-first"),
        pytest.param(jax_slope, jax.nn.relu, [0.0], [0.0], id="jax.nn.relu-0"),
        pytest.param(jax_slope, lambda x: jnp.maximum(x, jnp.zeros_like(x)), [0.0], [0.5], id="jnp.maximum-half"),
        pytest.param(jax_slope, jnp.abs, [0.0], [1.0], id="jnp.abs-1"),
        pytest.param(jax_slope, jnp.max, [2.0, 2.0], [0.5, 0.5], id="jnp.max-shares"),
    ],
)
def test_the_conventions_of_the_frameworks(
    slope: Callable[..., list[float]], function: Callable[[Any], Any], point: list[float], expected: list[float]
) -> None:
    """Each is a different element of the hull, so agreement at a kink says nothing; membership does."""
    assert slope(function, point) == expected
