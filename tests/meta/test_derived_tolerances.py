"""Derived tolerances hold what rounding does, and little more; the comparator and the digits mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx

from manual import nine_weight
from oracles import GradientError, check
from oracles.accuracy import ALL_DIGITS, correct_digits
from oracles.agreement import compare
from oracles.ball import BallArray, lift, wrap
from oracles.certificate import certify
from oracles.rounding import rounding_radii
from oracles.trial import loss_trial
from reference.datasets import housing
from tests.meta.ulps import ulps

Array = Any
RNG = np.random.default_rng


def polynomial(x: Array) -> Array:
    return np.sum(x**3 - 2 * x, axis=1)


def polynomial_gradient(x: Array) -> Array:
    return 3 * x**2 - 2


def network(x: Array) -> Array:
    return np.sum(np.tanh(x) * np.exp(-x) + np.log(1 + x * x), axis=1)


def network_gradient(x: Array) -> Array:
    t, e = np.tanh(x), np.exp(-x)
    return (1 - t * t) * e - t * e + 2 * x / (1 + x * x)


def textbook(w: Array, x: Array, y: Array) -> Array:
    return nine_weight.forward(w, x, y)[0]


def textbook_gradient(w: Array, x: Array, y: Array) -> Array:
    return nine_weight.loss_and_gradient(w, x, y)[1]


def nine_weight_args(scale: float) -> tuple[Array, ...]:
    x, y = housing()
    return np.tile(RNG(0).normal(0, scale, 9), (506, 1)), x, y


CASES = [
    pytest.param(polynomial, polynomial_gradient, (RNG(1).normal(size=(400, 4)),), id="polynomial"),
    pytest.param(network, network_gradient, (RNG(2).normal(size=(400, 4)),), id="network"),
    pytest.param(textbook, textbook_gradient, nine_weight_args(0.01), id="nine-weight-0.01"),
    pytest.param(textbook, textbook_gradient, nine_weight_args(0.1), id="nine-weight-0.1"),
    pytest.param(textbook, textbook_gradient, nine_weight_args(1.0), id="nine-weight-1"),
]


def mid(balls: BallArray) -> Array:
    return np.array([float(b.mid()) for b in balls._a.ravel()]).reshape(balls._a.shape)


@pytest.mark.parametrize(("loss", "gradient", "args"), CASES)
def test_rounding_stays_within_the_radius(
    loss: Callable[..., Array], gradient: Callable[..., Array], args: tuple[Array, ...]
) -> None:
    radius = rounding_radii(loss_trial(loss, gradient, args, 0)).gradients[0]
    certificate = certify(loss, gradient, *args)
    assert certificate.ok
    truth = mid(certificate.claimed[0])
    error = np.abs(gradient(*args) - truth)
    assert (error <= radius + np.abs(truth) * 2.0**-53).all()


@pytest.mark.parametrize(("loss", "gradient", "args"), CASES)
def test_the_radius_is_not_generous(
    loss: Callable[..., Array], gradient: Callable[..., Array], args: tuple[Array, ...]
) -> None:
    """At the median entry it is below a thousand units of 2^-53, and a relative error of 1e-9 disagrees at most."""
    radius = rounding_radii(loss_trial(loss, gradient, args, 0)).gradients[0]
    values = gradient(*args)
    assert np.median(radius / np.abs(values)) < 1000 * 2.0**-53
    assert compare(values, values * (1 + 1e-9), radius).disagrees.mean() > 0.5


@pytest.mark.parametrize(("loss", "gradient", "args"), CASES[:2])
def test_float32_is_judged_by_24_bits(
    loss: Callable[..., Array], gradient: Callable[..., Array], args: tuple[Array, ...]
) -> None:
    narrow = tuple(a.astype(np.float32) for a in args)
    radius = rounding_radii(loss_trial(loss, gradient, narrow, 0), precision=24).gradients[0]
    exact = gradient(*(a.astype(np.float64) for a in narrow))
    error = np.abs(gradient(*narrow) - exact)
    assert (error <= radius).all()
    assert np.median(radius / np.abs(exact)) < 1000 * 2.0**-24
    assert not (error <= rounding_radii(loss_trial(loss, gradient, narrow, 0)).gradients[0]).all()


SLOPE = 0.1


def leaky(x: Array) -> Array:
    return np.sum(np.where(x > 0, x, SLOPE * x), axis=1)


def leaky_gradient(x: Array) -> Array:
    return np.where(x > 0, 1, SLOPE).astype(x.dtype)


def test_a_constant_beside_float32_is_rounded_to_it() -> None:
    """A plain float takes part as the nearest float32, and a ball of it says so."""
    x = RNG(3).normal(size=(8, 4)).astype(np.float32)
    assert check(leaky, leaky_gradient, x).certified
    with pytest.raises(GradientError):
        check(leaky, lambda x: leaky_gradient(x) * np.float32(1 + 2.0**-20), x)


def test_what_has_no_bound_is_silent() -> None:
    """0 / 0 in a matrix product: no warning comes between the subject and its verdict."""

    def gradient(x: Array) -> Array:
        return (2 * np.maximum(x, 0.0) / np.where(x > 0, 1.0, 0.0)) @ np.eye(2)

    with pytest.raises(GradientError, match="the loss is finite and the gradient is not"):
        check(lambda x: np.sum(np.maximum(x, 0.0) ** 2), gradient, np.array([1.0, -2.0]))


def test_cancellation_shows_as_a_radius_and_not_as_an_excuse() -> None:
    """1 - tanh² at 30 has no digits: the radius is larger than the value, so the entry is unstable, not agreeing."""
    x = np.array([[0.5], [30.0]])
    trial = loss_trial(lambda x: np.sum(np.tanh(x), axis=1), lambda x: 1 - np.tanh(x) ** 2, (x,), 0)
    radius = rounding_radii(trial).gradients[0]
    truth = np.cosh(x) ** -2.0
    agreement = compare(1 - np.tanh(x) ** 2, truth, radius)
    assert agreement.agrees
    assert agreement.unstable.tolist() == [[False], [True]]


# --- the comparator ---------------------------------------------------------------------------------------------------


def one(first: float, second: float, tolerance: float) -> str:
    a = compare(np.array([first]), np.array([second]), np.array([tolerance]))
    assert not (a.disagrees & a.unstable).any()
    return "disagrees" if a.disagrees[0] else "unstable" if a.unstable[0] else "agrees"


@pytest.mark.parametrize(
    ("first", "second", "tolerance", "expected"),
    [
        (1.0, 1.0, 0.0, "agrees"),
        (0.0, 0.0, 0.0, "agrees"),
        (1.0, 1.0 + 2**-40, 2**-39, "agrees"),
        (1.0, 1.0 + 2**-40, 2**-41, "disagrees"),
        (0.0, 1e-300, 1e-310, "disagrees"),
        (1e-20, 2e-20, 1.0, "unstable"),
        (np.nan, 1.0, 1e-10, "disagrees"),
        (1.0, np.inf, 1e-10, "disagrees"),
        (np.nan, 1.0, np.inf, "unstable"),
        (np.nan, np.nan, np.inf, "unstable"),
        (np.nan, np.nan, 1e-10, "disagrees"),
        (1.0, 2.0, np.nan, "unstable"),
        (1.0, -1.0, 0.5, "disagrees"),
    ],
)
def test_each_entry_gets_one_of_three(first: float, second: float, tolerance: float, expected: str) -> None:
    assert one(first, second, tolerance) == expected


def test_the_worst_entry_and_the_detection_power_are_reported() -> None:
    first = np.array([[1.0, 2.0], [4.0, 8.0]])
    second = first * (1 + np.array([[0, 2**-50], [2**-30, 0]]))
    agreement = compare(first, second, first * 2.0**-20)
    assert agreement.worst == (1, 0)
    # The error is relative to the larger of the two. Its logarithm is rounded, by four ulps at most, on either side.
    assert agreement.digits == pytest.approx(-np.log10(2.0**-30 / (1 + 2.0**-30)), rel=ulps(8), abs=0)
    assert agreement.detection == 2.0**-20
    assert compare(first, first, first * 0).digits == np.inf


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_shapes_are_never_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        compare(np.zeros((2,)), np.zeros(shape), np.zeros((2,)))


# --- correct digits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "truth", "expected"),
    [
        (1.0, "1", ALL_DIGITS),
        (1.001, "1", 3.0),
        (-1.0, "1", 0.0),
        (np.nan, "1", 0.0),
        (np.inf, "1", 0.0),
        (0.0, "1e-300", 0.0),
        (0.0, "1e-320", 12.35),
        (0.0, "1e-1000", ALL_DIGITS),
        (0.0, "0", ALL_DIGITS),
        (3.0000000003, "3", 10.0),
    ],
)
def test_correct_digits(value: float, truth: str, expected: float) -> None:
    with ctx.workprec(256):
        digits = correct_digits(np.array([value]), wrap(np.array([arb(truth)], dtype=object)))
    assert digits[0] == pytest.approx(expected, abs=0.005)  # half a unit of its last place


def test_correct_digits_needs_the_truth_of_every_entry() -> None:
    with pytest.raises(ValueError, match="shape"):
        correct_digits(np.zeros((2, 1)), lift(np.zeros(2)))
