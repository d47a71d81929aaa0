"""At a kink the gradient must lie in the hull of the one-sided derivatives, and its convention is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from oracles import Ruling, certify, certify_layer

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
