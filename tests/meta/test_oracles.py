"""Every oracle returns the gradient of each sample's loss and how far off it may be, or says why it cannot."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from oracles import central_difference, complex_step, jax_grad, numerical, richardson, torch_autograd
from oracles.complex_step import NotAnalyticError
from oracles.estimate import Estimate, Graph, Namespace, Oracle
from oracles.graphs import nine_weight
from reference.published import published

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
UNDERFLOW = 2.0**-974  # the smallest number, 2^-1074, over the complex step
ROOT = Path(__file__).parents[2]

EXACT: dict[str, Oracle] = {
    "torch_autograd": torch_autograd.gradient,
    "jax_grad": jax_grad.gradient,
    "complex_step": complex_step.gradient,
}
DIFFERENCES: dict[str, Oracle] = {
    "central_difference": central_difference.gradient,
    "richardson": richardson.gradient,
}
ORACLES = EXACT | DIFFERENCES
NUMERICAL = ["complex_step", "central_difference", "richardson"]
FRAMEWORKS = ["torch_autograd", "jax_grad"]


def over(names: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("differentiate", [pytest.param(ORACLES[name], id=name) for name in names])


each_oracle = over(ORACLES)


def assert_agrees(estimate: Estimate, expected: Any, roundings: int = 64) -> None:
    """The gradient is within the oracle's own error (ten times it: an estimate) and rounding of the truth.

    `roundings` counts units of eps relative to the largest entry: what the graph and its closed form may both commit.
    """
    expected = np.asarray(expected, dtype=np.float64)
    assert estimate.gradient.dtype == estimate.error.dtype == np.float64
    assert estimate.gradient.shape == estimate.error.shape == expected.shape
    allowed = 10 * estimate.error + roundings * EPS * np.max(np.abs(expected))
    assert np.max(allowed) < 1e-6 * np.max(np.abs(expected))
    np.testing.assert_array_less(np.abs(estimate.gradient - expected), allowed)


# Closed forms


class Case(NamedTuple):
    graph: Graph
    derivative: Callable[..., Any]
    cores: tuple[tuple[int, ...], ...]


def cubic(xp: Any, x: Any) -> Any:
    return xp.sum(x**3 - 2 * x**2, axis=-1)


def exponential(xp: Any, x: Any, a: Any) -> Any:
    return xp.exp(xp.sum(a * x, axis=-1))


def tanh_chain(xp: Any, x: Any) -> Any:
    return xp.sum(xp.tanh(xp.tanh(2 * x)), axis=-1)


def quadratic_form(xp: Any, x: Any, a: Any) -> Any:
    return xp.sum(x * xp.matmul(a, x[..., None])[..., 0], axis=-1)


def logistic(xp: Any, x: Any) -> Any:
    return xp.sum(xp.softplus(x) + xp.sigmoid(x), axis=-1)


def rectified(xp: Any, x: Any) -> Any:
    return xp.sum(x * xp.relu(x), axis=-1)


def layer(xp: Any, w: Any, x: Any) -> Any:
    return xp.sum(xp.matmul(w, x[..., None])[..., 0] ** 2, axis=-1)


def sine(xp: Any, x: Any) -> Any:
    return xp.sin(x)


def tanh_chain_derivative(x: Array) -> Any:
    return 2 / (np.cosh(2 * x) * np.cosh(np.tanh(2 * x))) ** 2


def logistic_derivative(x: Array) -> Any:
    s = 1 / (1 + np.exp(-x))
    return s + s * (1 - s)


def quadratic_form_derivative(x: Array, a: Array) -> Any:
    return np.einsum("...ij,...j->...i", a + np.swapaxes(a, -1, -2), x)


CASES = {
    "cubic": Case(cubic, lambda x: 3 * x**2 - 4 * x, ((3,),)),
    "exponential": Case(exponential, lambda x, a: a * np.exp(np.sum(a * x, -1))[..., None], ((3,), (3,))),
    "tanh_chain": Case(tanh_chain, tanh_chain_derivative, ((3,),)),
    "quadratic_form": Case(quadratic_form, quadratic_form_derivative, ((3,), (3, 3))),
    "logistic": Case(logistic, logistic_derivative, ((3,),)),
    "rectified": Case(rectified, lambda x: 2 * np.maximum(x, 0), ((5,),)),
    "layer": Case(layer, lambda w, x: 2 * np.einsum("...ij,...j,...k->...ik", w, x, x), ((2, 3), (3,))),
    "sine": Case(sine, np.cos, ((),)),
}


@each_oracle
@pytest.mark.parametrize("batch", [pytest.param((), id="scalar"), pytest.param((3, 4), id="batched")])
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_closed_form(differentiate: Oracle, case: Case, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng([len(batch), *case.graph.__name__.encode()])
    args = [rng.normal(size=batch + core) for core in case.cores]
    before = [arg.copy() for arg in args]
    estimate = differentiate(case.graph, *args)
    assert_agrees(estimate, case.derivative(*args))
    again = differentiate(case.graph, *args)
    assert np.array_equal(estimate.gradient, again.gradient)
    assert np.array_equal(estimate.error, again.error)
    assert all(np.array_equal(arg, copy) for arg, copy in zip(args, before, strict=True))


@each_oracle
def test_the_loss_comes_along(differentiate: Oracle) -> None:
    x = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]])
    loss = differentiate(cubic, x).loss
    assert loss.dtype == np.float64
    assert loss.tolist() == [8.0, -3.375]
    own = differentiate(lambda xp, x: x, x).loss
    own[...] = 0
    assert np.all(x[0] == [1.0, 2.0, 3.0])


@over(EXACT)
def test_exact_oracles_claim_no_error(differentiate: Oracle) -> None:
    assert not np.any(differentiate(cubic, np.array([1.0, 2.0])).error)


@over(DIFFERENCES)
def test_differences_own_up_to_an_error(differentiate: Oracle) -> None:
    assert np.all(differentiate(cubic, np.array([1.0, 2.0])).error > 0)


@each_oracle
def test_wrt_chooses_the_argument(differentiate: Oracle) -> None:
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 3))
    assert_agrees(differentiate(layer, w, x, wrt=1), 2 * np.einsum("bij,bik,bk->bj", w, w, x))


@each_oracle
def test_arguments_broadcast_to_the_samples(differentiate: Oracle) -> None:
    w = np.random.default_rng(2).normal(size=(2, 3, 9))
    x, y = np.random.default_rng(3).normal(size=(3, 5)), np.array(0.5)
    whole = differentiate(nine_weight, w, x, y).gradient
    for draw in range(2):
        for sample in range(3):
            alone = differentiate(nine_weight, w[draw, sample], x[sample], y)
            assert_agrees(alone, whole[draw, sample], roundings=1000)


@each_oracle
def test_views_and_broadcast_arrays_are_arguments_too(differentiate: Oracle) -> None:
    w = np.broadcast_to(np.array([3.0, 2.0, 1.0])[::-1], (4, 3))
    assert_agrees(differentiate(cubic, w), 3 * w**2 - 4 * w)


@each_oracle
def test_a_loss_that_does_not_use_the_argument_has_gradient_zero(differentiate: Oracle) -> None:
    estimate = differentiate(lambda xp, x, y: xp.sum(y, axis=-1), np.ones((2, 3)), np.ones((2, 3)))
    assert np.array_equal(estimate.gradient, np.zeros((2, 3)))
    assert np.array_equal(differentiate(lambda xp, x: 1.0, np.ones(3)).gradient, np.zeros(3))


@each_oracle
def test_constants_made_in_a_graph_have_float64_digits(differentiate: Oracle) -> None:
    """In float32, which is torch's default, 0.1 would be off by 1.5e-9."""
    estimate = differentiate(lambda xp, x: xp.asarray(0.1) * x + xp.zeros(2, dtype=x.dtype), np.ones(2))
    assert np.all(np.abs(estimate.gradient - 0.1) <= 10 * estimate.error + EPS)
    assert np.all(estimate.error < 1e-10)


@each_oracle
@pytest.mark.parametrize("z", [-800.0, -745.0, -600.0, -40.0, -1e-9, 0.0, 25.0, 40.5, 745.0])
def test_sigmoid_and_softplus_have_all_their_digits(differentiate: Oracle, z: float) -> None:
    """At 25 torch's softplus, left at its default threshold, returns 25 and so the slope 1."""
    slope = float(np.exp(-np.logaddexp(0, -z)))
    estimate = differentiate(lambda xp, z: xp.softplus(z), np.array(z))
    assert abs(estimate.gradient - slope) <= 10 * estimate.error + 8 * EPS * slope + UNDERFLOW
    estimate = differentiate(lambda xp, z: xp.sigmoid(z), np.array(z))
    # torch and JAX compute s (1 - s), which rounds 1 - s.
    assert abs(estimate.gradient - slope * (1 - slope)) <= 10 * estimate.error + 8 * EPS * slope + UNDERFLOW


@over(EXACT)
def test_relu_at_its_kink_has_slope_zero(differentiate: Oracle) -> None:
    estimate = differentiate(lambda xp, z: xp.relu(z), np.array([-1.0, 0.0, 1.0]))
    assert estimate.gradient.tolist() == [0.0, 0.0, 1.0]


@over(DIFFERENCES)
def test_a_difference_sees_both_sides_of_a_kink(differentiate: Oracle) -> None:
    assert differentiate(lambda xp, z: xp.relu(z), np.array(0.0)).gradient == 0.5


# The nine-weight graph


X0 = np.array(
    [-1.287909498957745, -0.12001341619804987, -1.4590003802772022, -0.6666082090210984, -0.14421743255530314]
)
Y0 = np.float64(1.858849127371369)
W0 = np.full(9, 0.1)
PUBLISHED = np.array([published(f"assignment.backward.dw{i}").value for i in range(1, 10)])


def allowed_at_x0(estimate: Estimate) -> Any:
    return estimate.error + 4 * EPS * np.abs(PUBLISHED)


@each_oracle
def test_published_gradient(differentiate: Oracle) -> None:
    estimate = differentiate(nine_weight, W0, X0, Y0)
    assert np.all(estimate.error < 1e-9)
    assert np.all(np.abs(estimate.gradient - PUBLISHED) <= allowed_at_x0(estimate))


FAULTS: dict[str, Graph] = {
    "cos_for_sin": lambda xp, w, x, y: nine_weight(Namespace(xp, sin=xp.cos), w, x, y),
    "expm1_for_exp": lambda xp, w, x, y: nine_weight(Namespace(xp, exp=xp.expm1), w, x, y),
    "tanh_for_sigmoid": lambda xp, w, x, y: nine_weight(Namespace(xp, sigmoid=xp.tanh), w, x, y),
    "sign_of_y": lambda xp, w, x, y: nine_weight(xp, w, x, -y),
    "mean_of_two": lambda xp, w, x, y: nine_weight(xp, w, x, y) / 2,
    "a_millionth": lambda xp, w, x, y: nine_weight(xp, w, x, y) * (1 + 1e-6),
}


@each_oracle
@pytest.mark.parametrize("wrong", [pytest.param(graph, id=name) for name, graph in FAULTS.items()])
def test_a_wrong_graph_is_not_the_published_one(differentiate: Oracle, wrong: Graph) -> None:
    estimate = differentiate(wrong, W0, X0, Y0)
    assert np.any(np.abs(estimate.gradient - PUBLISHED) > allowed_at_x0(estimate))


@over(EXACT)
def test_exact_oracles_agree_where_nothing_cancels(differentiate: Oracle) -> None:
    rng = np.random.default_rng(4)
    w, x, y = rng.normal(scale=0.3, size=(506, 9)), rng.normal(size=(506, 5)), rng.normal(size=506)
    truth = complex_step.gradient(nine_weight, w, x, y).gradient
    off = np.abs(differentiate(nine_weight, w, x, y).gradient - truth)
    assert np.max(off / np.max(np.abs(truth), axis=-1, keepdims=True)) < 2**-40


@each_oracle
def test_extreme_weights_neither_warn_nor_stop_the_batch(differentiate: Oracle) -> None:
    rng = np.random.default_rng(5)
    w, x, y = rng.normal(scale=5, size=(1000, 9)), rng.normal(size=(1000, 5)), rng.normal(size=1000)
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp((w[:, 0] * x[:, 0] + w[:, 1] * x[:, 1]) ** 2 + w[:, 5])).any()
    gradient = differentiate(nine_weight, w, x, y).gradient
    finite = np.isfinite(gradient).all(axis=-1)
    assert finite.mean() > 0.8
    truth = complex_step.gradient(nine_weight, w, x, y).gradient
    assert np.median(np.abs(gradient - truth)[finite, 8]) < 1e-8


# Error estimates


def smooth(xp: Any, p: Any, c: Any) -> Any:
    a, b = p[..., 0], p[..., 1]
    return c[..., 0] * xp.sin(c[..., 1] * a + b) + xp.exp(c[..., 2] * a * b) + xp.tanh(a - c[..., 3] * b)


def smooth_derivative(p: Array, c: Array) -> Any:
    a, b = p[..., 0], p[..., 1]
    wave, growth = c[..., 0] * np.cos(c[..., 1] * a + b), c[..., 2] * np.exp(c[..., 2] * a * b)
    step = np.cosh(a - c[..., 3] * b) ** -2.0
    return np.stack([c[..., 1] * wave + b * growth + step, wave + a * growth - c[..., 3] * step], axis=-1)


def covered(estimate: Estimate, truth: Any) -> float:
    return float(np.mean(np.abs(estimate.gradient - truth) <= estimate.error))


@over(DIFFERENCES)
def test_error_estimates_cover_most_errors(differentiate: Oracle) -> None:
    """At least 99% of 10,000 entries on a smooth family, 97% of 18,000 on the nine-weight graph at N(0, 1) weights.

    The rest is a loss that cancels: near its minimum the nine-weight loss carries more noise than it shows.
    """
    rng = np.random.default_rng(6)
    p, c = rng.normal(size=(5000, 2)), rng.normal(size=(5000, 4))
    w, x, y = rng.normal(size=(2000, 9)), rng.normal(size=(2000, 5)), rng.normal(size=2000)
    narrow = 1e-9 if differentiate is central_difference.gradient else 1e-12
    for estimate, truth, least in (
        (differentiate(smooth, p, c), smooth_derivative(p, c), 0.99),
        (differentiate(nine_weight, w, x, y), complex_step.gradient(nine_weight, w, x, y).gradient, 0.97),
    ):
        assert covered(estimate, truth) >= least
        assert np.median(estimate.error) < narrow
        assert covered(estimate._replace(error=estimate.error / 100), truth) < least


def test_richardson_is_the_sharper_one() -> None:
    rng = np.random.default_rng(7)
    p, c = rng.normal(size=(1000, 2)), rng.normal(size=(1000, 4))
    off = {name: np.median(abs(oracle(smooth, p, c).gradient - smooth_derivative(p, c)))
           for name, oracle in DIFFERENCES.items()}  # fmt: skip
    assert off["richardson"] < 1e-2 * off["central_difference"] < 1e-11


def test_richardson_prefers_long_steps_where_the_loss_is_noisy() -> None:
    """Rounding 1e6 moves the difference of the shortest step, 2^-10, by up to 1e-7."""
    x = np.linspace(-2, 2, 200)
    estimate = richardson.gradient(lambda xp, x: 1e6 + xp.sin(x), x)
    assert np.max(np.abs(estimate.gradient - np.cos(x))) < np.max(estimate.error) < 1e-7


def test_step_sets_the_truncation_error() -> None:
    """The central difference of x^3 is 3 x^2 + h^2."""
    estimate = central_difference.gradient(lambda xp, x: x**3, np.array([0.5, 2.0]), step=0.125)
    assert estimate.gradient.tolist() == [0.75 + 2**-6, 12 + 2**-6]
    assert np.all((estimate.error >= 2**-6) & (estimate.error < 4 * 2**-6))


@pytest.mark.parametrize("step", [0.0, -1e-6, np.inf, np.nan])
def test_step_must_be_positive_and_finite(step: float) -> None:
    with pytest.raises(ValueError, match=r"step must be a positive, finite number, got .*: leave it out"):
        central_difference.gradient(cubic, np.ones(3), step=step)


def test_step_must_be_visible_beside_the_argument() -> None:
    with pytest.raises(ValueError, match=r"step 1e-20 vanishes beside an argument of size 1\.0: use a larger"):
        central_difference.gradient(cubic, np.ones(3), step=1e-20)


def test_steps_are_exact() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=1000) * 10.0 ** rng.uniform(-2, 6, size=1000)
    inexact, h = 6e-6 * np.maximum(1, abs(x)), numerical.exact_step(x, 6e-6 * np.maximum(1, abs(x)))
    assert np.array_equal((x + h) - x, h)
    assert np.array_equal(x - (x - h), h)
    assert not np.array_equal((x + inexact) - x, inexact)


# Losses that are not finite


@each_oracle
def test_what_is_not_finite_stays_so(differentiate: Oracle) -> None:
    estimate = differentiate(lambda xp, x: xp.exp(x**2), np.array([0.5, 100.0, np.nan, np.inf]))
    assert_agrees(Estimate(*(part[:1] for part in estimate)), [np.exp(0.25)])
    assert not np.isfinite(estimate.gradient[1:]).any()


@over(DIFFERENCES)
def test_a_gradient_that_is_not_finite_has_infinite_error(differentiate: Oracle) -> None:
    estimate = differentiate(lambda xp, x: xp.exp(x**2), np.array([0.5, 100.0, np.nan]))
    assert np.isinf(estimate.error).tolist() == [False, True, True]


@over(DIFFERENCES)
def test_an_overflow_on_one_side_makes_an_infinite_difference(differentiate: Oracle) -> None:
    estimate = differentiate(lambda xp, x: xp.exp(x), np.array(np.log(np.finfo(np.float64).max) - 1e-4))
    assert np.isposinf(estimate.gradient)
    assert np.isposinf(estimate.error)


@over(NUMERICAL)
def test_no_slope_outside_the_domain(differentiate: Oracle) -> None:
    x = np.array([4.0, -4.0])
    for graph in (lambda xp, x: xp.log(x), lambda xp, x: xp.sqrt(x), lambda xp, x: x**2.5):
        assert np.isnan(differentiate(graph, x).gradient).tolist() == [False, True]


# Arguments that do not fit


def wrong_shape(xp: Any, x: Any) -> Any:
    return xp.sum(x, axis=0)


def integer_loss(xp: Any, x: Any) -> Any:
    return 0


BAD = {
    "loss_shape": (
        wrong_shape, [np.ones((2, 3))], 0,
        r"loss has shape \(3,\), which is not how args\[0\] of shape \(2, 3\) begins: broadcast args\[0\]",
    ),
    "shared_weights": (
        layer, [np.ones((2, 3)), np.ones((7, 3))], 0,
        r"loss has shape \(7,\), which is not how args\[0\] of shape \(2, 3\) begins: broadcast args\[0\]",
    ),
    "loss_dtype": (integer_loss, [np.ones(3)], 0, r"loss must be float64 like the arguments, got int"),
    "integer": (layer, [np.ones((2, 3)), np.ones(3, dtype=int)], 0, r"args\[1\] must be float64.*got int64"),
    "half": (cubic, [np.ones(3, dtype=np.float16)], 0, r"args\[0\] must be float64.*got float16"),
    "bytes_swapped": (cubic, [np.ones(3, dtype=">f8")], 0, r"args\[0\] must be float64.*got >f8"),
    "wrt_too_large": (cubic, [np.ones(3)], 1, r"wrt must be the position of one of the 1 arguments.*got 1"),
    "wrt_negative": (cubic, [np.ones(3)], -1, r"wrt must be the position.*counted from 0; got -1"),
    "no_arguments": (cubic, [], 0, r"wrt must be the position of one of the 0 arguments"),
    "no_samples": (cubic, [np.ones((0, 3))], 0, r"args\[0\] has shape \(0, 3\), so there are no samples"),
}  # fmt: skip


@each_oracle
@pytest.mark.parametrize(("graph", "args", "wrt", "message"), [pytest.param(*v, id=k) for k, v in BAD.items()])
def test_bad_arguments_are_named(differentiate: Oracle, graph: Graph, args: list[Any], wrt: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        differentiate(graph, *args, wrt=wrt)


@each_oracle
def test_wrt_must_be_a_position(differentiate: Oracle) -> None:
    with pytest.raises(TypeError, match="str"):
        differentiate(cubic, np.ones(3), wrt="w")  # type: ignore[arg-type]


def centred(xp: Any, x: Any) -> Any:
    return xp.sum((x - xp.mean(x, axis=0)) ** 2, axis=-1)


def shared(xp: Any, w: Any, x: Any) -> Any:
    """A layer with one weight for all samples. Three samples in three dimensions make it look like one for each."""
    return xp.sum(xp.tanh(xp.matmul(x, w)), axis=-1)


@each_oracle
def test_samples_that_are_mixed_are_noticed(differentiate: Oracle) -> None:
    rng = np.random.default_rng(9)
    w, x = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    with pytest.raises(ValueError, match=r"depends on more of args\[0\] than its own slice"):
        differentiate(centred, x)
    with pytest.raises(ValueError, match=r"broadcast shared weights to a copy each"):
        differentiate(shared, w, x)
    with pytest.raises(ValueError, match=r"broadcast shared weights to a copy each"):  # beside a loss that overflows
        differentiate(lambda xp, w, x, b: shared(xp, w, x) + xp.exp(b), w, x, np.array([0.0, 0.0, 1000.0]))


@over([*NUMERICAL, "torch_autograd"])
def test_rounding_that_changes_from_call_to_call_is_not_mixing(differentiate: Oracle) -> None:
    """A matrix product may round differently at another address in memory."""
    calls = []

    def graph(xp: Any, x: Any) -> Any:
        calls.append(x)
        return cubic(xp, x) * (1 + EPS * (len(calls) % 2))

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert_agrees(differentiate(graph, x), 3 * x**2 - 4 * x)
    assert len(calls) > 1


@over([*NUMERICAL, "torch_autograd"])
def test_a_graph_cannot_write_into_the_callers_arrays(differentiate: Oracle) -> None:
    def writes(xp: Any, w: Any, x: Any) -> Any:
        x *= 2
        return xp.sum(w * x, axis=-1)

    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"read-only|the graph is random"):
        differentiate(writes, np.ones((2, 3)), x)
    assert np.array_equal(x, np.ones((2, 3)))


# float32


@over(FRAMEWORKS)
def test_float32_arguments_are_differentiated_in_float32(differentiate: Oracle) -> None:
    dtypes = []

    def graph(xp: Any, x: Any) -> Any:
        loss = xp.sum(xp.exp(x) * xp.asarray(0.1), axis=-1)
        dtypes.append(str(loss.dtype).rpartition(".")[2])
        return loss

    x = np.random.default_rng(10).normal(size=(4, 3)).astype(np.float32)
    estimate = differentiate(graph, x)
    assert set(dtypes) == {"float32"}
    assert estimate.gradient.dtype == np.float64
    assert np.array_equal(estimate.gradient, estimate.gradient.astype(np.float32))
    off = np.abs(estimate.gradient / (0.1 * np.exp(x.astype(np.float64))) - 1)
    assert EPS < np.max(off) < 4 * np.finfo(np.float32).eps


@over(FRAMEWORKS)
def test_float32_and_float64_do_not_mix(differentiate: Oracle) -> None:
    with pytest.raises(ValueError, match=r"got float64 for args\[0\] and float32 for args\[1\]: convert one"):
        differentiate(layer, np.ones((2, 3)), np.ones(3, dtype=np.float32))


@over(NUMERICAL)
def test_differences_need_float64(differentiate: Oracle) -> None:
    with pytest.raises(ValueError, match=r"args\[0\] must be float64, got float32: convert it"):
        differentiate(cubic, np.ones(3, dtype=np.float32))


# Frameworks: no state left behind, no trace repeated, no import where it is not needed


def global_state() -> dict[str, Any]:
    return {
        "torch default dtype": torch.get_default_dtype(),
        "torch grad mode": torch.is_grad_enabled(),
        "torch inference mode": torch.is_inference_mode_enabled(),
        "jax x64": jax.config.jax_enable_x64,  # type: ignore[attr-defined]
        "jax rank promotion": jax.config.jax_numpy_rank_promotion,  # type: ignore[attr-defined]
        "jax default float": jnp.zeros(()).dtype,
        "numpy errors": np.geterr(),
        "warning filters": list(warnings.filters),
    }


def unusual_settings(stack: Any) -> None:
    for setting in (
        torch.inference_mode(),
        jax.enable_x64(False),
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        np.errstate(all="raise"),
    ):
        stack.enter_context(setting)
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float32)


def raises(xp: Any, x: Any) -> Any:
    raise RuntimeError("from the graph")


@each_oracle
def test_settings_of_the_caller_neither_matter_nor_change(differentiate: Oracle) -> None:
    rng = np.random.default_rng(11)
    args = rng.normal(size=(2, 4, 9)), rng.normal(size=(4, 5)), rng.normal(size=4)
    usual = differentiate(nine_weight, *args)
    with ExitStack() as stack:
        ordinary = global_state()
        unusual_settings(stack)
        before = global_state()
        assert before != ordinary
        unusual = differentiate(nine_weight, *args)
        with pytest.raises(RuntimeError, match="from the graph"):
            differentiate(raises, np.ones(3))
        assert global_state() == before
    assert global_state() == ordinary
    assert np.array_equal(unusual.gradient, usual.gradient)


def test_jax_traces_a_graph_once_per_set_of_shapes() -> None:
    traces = []

    def counted(xp: Any, x: Any) -> Any:
        traces.append(x.shape)
        return xp.sum(x**2, axis=-1)

    for value in (1.0, 2.0, 3.0):
        assert np.array_equal(jax_grad.gradient(counted, np.full((4, 3), value)).gradient, np.full((4, 3), 2 * value))
    assert traces == [(4, 3)]
    jax_grad.gradient(counted, np.ones((5, 3)))
    jax_grad.gradient(counted, np.ones((4, 3)))
    assert traces == [(4, 3), (5, 3)]
    for _ in range(2):  # a graph made anew is another graph
        jax_grad.gradient(lambda xp, x: counted(xp, x), np.ones((4, 3)))
    assert len(traces) == 4


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "missing", "message"),
    [
        pytest.param("torch_autograd", "torch", "pip install 'backproof[torch]'", id="torch"),
        pytest.param("torch_autograd", "array_api_compat", "pip install 'backproof[torch]'", id="array_api_compat"),
        pytest.param("jax_grad", "jax", "pip install 'backproof[jax]'", id="jax"),
    ],
)
def test_a_missing_framework_is_named_with_its_install_command(module: str, missing: str, message: str) -> None:
    done = run(f"import sys; sys.modules[{missing!r}] = None; import oracles.{module}")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        f"ImportError: oracles.{module} needs {missing.split('_')[0]}"
        if missing != "array_api_compat"
        else "ImportError: oracles.torch_autograd needs torch, array-api-compat"
    )
    assert message in last
    assert missing in last


def test_the_numerical_oracles_need_no_framework() -> None:
    done = run(
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'jax', 'array_api_compat']))\n"
        "import numpy as np\n"
        "from oracles import central_difference, complex_step, graphs, richardson\n"
        "for oracle in (central_difference, complex_step, richardson):\n"
        "    print(round(oracle.gradient(lambda xp, x: xp.sin(x), np.array(0.0)).gradient.item(), 9))"
    )
    assert (done.stdout, done.stderr) == ("1.0\n1.0\n1.0\n", "")


# The complex step: what it must refuse


def naive_complex_step(graph: Graph, x: Array) -> Any:
    """The complex step as it is usually written, on a plain complex array of one sample."""
    xp = Namespace(np)
    gradient = np.zeros(x.shape)
    for entry in np.ndindex(x.shape):
        z = x.astype(complex)
        z.imag[entry] = 1e-20
        gradient[entry] = np.imag(graph(xp, z)) / 1e-20
    return gradient


def into_a_buffer(xp: Any, x: Any) -> Any:
    buffer = np.zeros(3)
    for i in range(3):
        buffer[i] = x[i] ** 2
    return xp.sum(buffer)


NOT_ANALYTIC: dict[str, tuple[Graph, str]] = {
    "abs": (lambda xp, x: xp.sum(xp.abs(x)), r"numpy\.absolute"),
    "abs_builtin": (lambda xp, x: xp.sum(abs(x)), r"numpy\.absolute"),
    "sign": (lambda xp, x: xp.sum(x * xp.sign(x)), r"numpy\.sign"),
    "norm": (lambda xp, x: xp.linalg.norm(x), r"numpy\.linalg\.norm"),
    "vector_norm": (lambda xp, x: xp.linalg.vector_norm(x), r"numpy\.linalg\.vector_norm"),
    "var": (lambda xp, x: xp.var(x), r"numpy\.var"),
    "std": (lambda xp, x: xp.std(x), r"numpy\.std"),
    "var_method": (lambda xp, x: x.var(), r"a\.var"),
    "conj": (lambda xp, x: xp.sum(x * xp.conj(x)), r"numpy\.conj"),
    "conj_method": (lambda xp, x: xp.sum(x * x.conj()), r"a\.conj"),
    "vdot": (lambda xp, x: xp.vdot(x, x), r"numpy\.vdot"),
    "vecdot": (lambda xp, x: xp.vecdot(x, x), r"numpy\.vecdot"),
    "real": (lambda xp, x: xp.sum(xp.real(x) ** 2), r"numpy\.real"),
    "real_attribute": (lambda xp, x: xp.sum(x.real**2), r"a\.real"),
    "maximum": (lambda xp, x: xp.sum(xp.maximum(x, 0.0) ** 2), r"numpy\.maximum"),
    "minimum": (lambda xp, x: xp.sum(xp.minimum(x, 0.0) ** 2), r"numpy\.minimum"),
    "max": (lambda xp, x: xp.max(x), r"numpy\.max"),
    "clip": (lambda xp, x: xp.sum(xp.clip(x, -1.0, 1.0)), r"numpy\.clip"),
    "comparison": (lambda xp, x: xp.sum(xp.where(x > 0, x, -x)), r"numpy\.greater"),
    "equality": (lambda xp, x: xp.sum(xp.where(x == 0, x, -x)), r"numpy\.equal"),
    "branch": (lambda xp, x: x[0] if x[1] else x[2], r"conversion to a plain number"),
    "builtin_max": (lambda xp, x: max(x[0], x[1]), r"numpy\.greater"),
    "float": (lambda xp, x: np.float64(float(x[0]) ** 2), r"conversion to a plain number"),
    "astype": (lambda xp, x: xp.sum(x.astype(float) ** 2), r"a\.astype"),
    "astype_function": (lambda xp, x: xp.sum(xp.astype(x, xp.float64) ** 2), r"astype"),
    "sum_dtype": (lambda xp, x: xp.sum(x**2, dtype=xp.float64), r"a cast to real numbers"),
    "asarray": (lambda xp, x: xp.sum(xp.asarray(x, dtype=float) ** 2), r"conversion to a plain number or array"),
    "array_of_entries": (lambda xp, x: xp.sum(xp.array([x[0], x[1]], dtype=float)), r"conversion to a plain"),
    "buffer": (into_a_buffer, r"conversion to a plain number"),
    "arctan2": (lambda xp, x: xp.sum(xp.arctan2(x, 2.0)), r"numpy\.arctan2"),
    "sort": (lambda xp, x: xp.sort(x)[0], r"numpy\.sort"),
}


@pytest.mark.parametrize(("graph", "culprit"), [pytest.param(*v, id=k) for k, v in NOT_ANALYTIC.items()])
def test_complex_step_refuses_what_is_not_analytic(graph: Graph, culprit: str) -> None:
    warnings.simplefilter("ignore")  # pytest restores the filters
    with pytest.raises(NotAnalyticError, match=culprit) as refusal:
        complex_step.gradient(graph, np.array([0.5, -2.0, 1.5]))
    for words in ("silently wrong with abs, sign, norm, var, std, conj, astype(float) and comparisons",
                  "use torch_autograd or jax_grad", "richardson"):  # fmt: skip
        assert words in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    ["abs", "sign", "norm", "var", "std", "conj", "real", "vdot", "astype"],
)
def test_the_usual_complex_step_is_silently_wrong_there(name: str) -> None:
    graph, _ = NOT_ANALYTIC[name]
    x = np.array([0.5, -2.0, 1.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        naive = naive_complex_step(graph, x)
    with np.errstate(all="ignore"):
        truth = richardson.gradient(graph, x).gradient
    assert np.max(np.abs(naive - truth)) > 0.1


def test_complex_step_refuses_to_fill_arrays() -> None:
    def accumulates(xp: Any, x: Any) -> Any:
        total = np.zeros(3)
        total += x
        return xp.sum(total)

    with pytest.raises(TypeError, match=r"numpy\.add was called as __call__ with \['out'\]: graphs make new arrays"):
        complex_step.gradient(accumulates, np.ones(3))
    with pytest.raises(AttributeError, match=r"a\.sum is not in the Array API standard.*such as xp\.sum\(a\)"):
        complex_step.gradient(lambda xp, x: x.sum(), np.ones(3))


def test_complex_step_compares_real_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's own complex log1p loses the digits of a small argument: a fault that only the real part shows."""
    x = np.array([1e-9, 0.5])
    assert_agrees(complex_step.gradient(lambda xp, x: xp.log1p(x), x), 1 / (1 + x))
    monkeypatch.delitem(complex_step.COMPLEX_VERSIONS, np.log1p)
    with pytest.raises(NotAnalyticError, match=r"numpy\.log1p, whose real part is .* beside the real axis"):
        complex_step.gradient(lambda xp, x: xp.log1p(x), x)


def test_complex_step_stops_where_its_step_is_not_small() -> None:
    """1e-300 is closer to the pole of 1 / x than the step: the imaginary part there is not the derivative."""
    with pytest.raises(NotAnalyticError, match=r"numpy\.reciprocal, whose real part .*a singularity nearby\?"):
        complex_step.gradient(lambda xp, x: xp.reciprocal(x), np.array(1e-300))


def test_complex_step_on_a_loss_that_cancels() -> None:
    """At y = prediction, the real part of the loss is all rounding; the gradient is not."""
    rng = np.random.default_rng(12)
    w, x = np.ones((500, 9)), rng.normal(size=(500, 5))
    y = np.nextafter(np.sqrt(nine_weight(numerical.NAMESPACE, w, x, np.zeros(500))), 0)
    loss = nine_weight(numerical.NAMESPACE, w, x, y)
    off = nine_weight(numerical.NAMESPACE, w.astype(complex), x, y).real - loss
    assert np.max(loss) < 1e-30
    assert np.max(np.abs(off) / np.max(loss)) > 0.1
    assert np.max(np.abs(complex_step.gradient(nine_weight, w, x, y).gradient)) < 1e-14


@pytest.mark.parametrize(
    ("graph", "x"),
    [
        pytest.param(lambda xp, x: xp.sqrt(x), 0.0, id="sqrt"),
        pytest.param(lambda xp, x: xp.sqrt(x**2), 0.0, id="sqrt_of_square"),
        pytest.param(lambda xp, x: x**0.5, 0.0, id="power"),
        pytest.param(lambda xp, x: 1 / x**2, 0.0, id="pole"),
        pytest.param(lambda xp, x: xp.log(x), 0.0, id="log"),
        pytest.param(lambda xp, x: xp.arcsin(x), 1.0, id="arcsin"),
        pytest.param(lambda xp, x: xp.arccos(x), -1.0, id="arccos"),
        pytest.param(lambda xp, x: xp.arccosh(x), 1.0, id="arccosh"),
        pytest.param(lambda xp, x: 1 + 0 * xp.log(x), -1.0, id="nan_times_zero"),
        pytest.param(lambda xp, x: (-2.0) ** x, 3.0, id="negative_base"),
    ],
)
def test_complex_step_has_no_slope_where_there_is_none(graph: Graph, x: float) -> None:
    assert np.isnan(complex_step.gradient(graph, np.array([x])).gradient).all()


def test_a_branch_point_spoils_only_the_entry_that_moves_it() -> None:
    gradient = complex_step.gradient(lambda xp, x: xp.sum(xp.sqrt(x), axis=-1), np.array([0.0, 4.0])).gradient
    assert np.array_equal(gradient, [np.nan, 0.25], equal_nan=True)


# The complex step: what it may do


LINE = [-30.0, -1.5, -1e-9, 0.0, 1e-13, 0.3, 2.0, 40.0]
POSITIVE = [1e-20, 1e-9, 0.3, 1 - 1e-9, 1.0, 1 + 1e-9, 2.0, 1e9]
INSIDE = [-0.999, -0.5, -1e-9, 0.0, 1e-13, 0.7, 1 - 1e-9]

SLOPES: dict[str, tuple[list[float], Callable[[Array], Any]]] = {
    "negative": (LINE, lambda x: -np.ones_like(x)),
    "positive": (LINE, np.ones_like),
    "reciprocal": (POSITIVE, lambda x: -1 / x / x),
    "square": (LINE, lambda x: 2 * x),
    "sqrt": (POSITIVE, lambda x: 0.5 / np.sqrt(x)),
    "exp": (LINE, np.exp),
    "exp2": (LINE, lambda x: np.exp2(x) * np.log(2)),
    "expm1": (LINE, np.exp),
    "log": (POSITIVE, lambda x: 1 / x),
    "log2": (POSITIVE, lambda x: 1 / x / np.log(2)),
    "log10": (POSITIVE, lambda x: 1 / x / np.log(10)),
    "log1p": ([*INSIDE, *POSITIVE], lambda x: 1 / (1 + x)),
    "sin": (LINE, np.cos),
    "cos": (LINE, lambda x: -np.sin(x)),
    "tan": (LINE, lambda x: np.cos(x) ** -2.0),
    "arcsin": (INSIDE, lambda x: 1 / np.sqrt((1 - x) * (1 + x))),
    "arccos": (INSIDE, lambda x: -1 / np.sqrt((1 - x) * (1 + x))),
    "arctan": (LINE, lambda x: 1 / (1 + x**2)),
    "sinh": (LINE, np.cosh),
    "cosh": (LINE, np.sinh),
    "tanh": (LINE, lambda x: np.cosh(x) ** -2.0),
    "arcsinh": (LINE, lambda x: 1 / np.sqrt(1 + x**2)),
    "arccosh": ([1 + 1e-9, 1.5, 40.0], lambda x: 1 / np.sqrt((x - 1) * (x + 1))),
    "arctanh": (INSIDE, lambda x: 1 / ((1 - x) * (1 + x))),
}


@pytest.mark.parametrize("name", sorted(SLOPES))
def test_complex_step_has_all_digits_of_each_function(name: str) -> None:
    points, slope = SLOPES[name]
    x = np.array(points)
    gradient = complex_step.gradient(lambda xp, x: getattr(xp, name)(x), x).gradient
    # On either side up to two real functions, which NumPy allows four ulps each.
    np.testing.assert_allclose(gradient, slope(x), rtol=16 * EPS, atol=0)


def test_each_function_of_one_argument_is_among_them() -> None:
    of_one = {ufunc.__name__ for ufunc in complex_step.ANALYTIC_UFUNCS if ufunc.nin == 1}
    assert of_one == set(SLOPES)


@pytest.mark.parametrize(
    ("graph", "x", "slope"),
    [
        pytest.param(lambda xp, x: x**2, -3.0, -6.0, id="square"),
        pytest.param(lambda xp, x: x**-2, -2.0, 0.25, id="inverse_square"),
        pytest.param(lambda xp, x: x**121, -1.0, 121.0, id="odd_past_100"),
        pytest.param(lambda xp, x: x**120, -1.0, -120.0, id="even_past_100"),
        pytest.param(lambda xp, x: x**2.5, 4.0, 20.0, id="fraction"),
        pytest.param(lambda xp, x: 2.0**x, 3.0, 8 * np.log(2), id="exponent"),
        pytest.param(lambda xp, x: x**x, 2.0, 4 * (1 + np.log(2)), id="both"),
        pytest.param(lambda xp, x: x**0, 2.0, 0.0, id="zero"),
        pytest.param(lambda xp, x: np.float64(3) * x / np.float64(2) - np.float64(1), 2.0, 1.5, id="numpy_scalars"),
        pytest.param(lambda xp, x: 1 - 2 / (x + 1) + (-x), 1.0, -0.5, id="operators"),
    ],
)
def test_complex_step_of_operators(graph: Graph, x: float, slope: float) -> None:
    # Four ulps of NumPy's power, and of the logarithm in a slope.
    assert complex_step.gradient(graph, np.array(x)).gradient == pytest.approx(slope, rel=8 * EPS, abs=0)


def in_place(xp: Any, x: Any) -> Any:
    total = +x[..., 0]
    total += x[..., 1]
    total *= total
    total -= 1
    total /= 2
    total **= 2
    return total


# Each uses a (2, 3) slice of every sample.
FUNCTIONS: dict[str, Graph] = {
    "reshape": lambda xp, a: xp.sum(xp.reshape(a, (-1, 6))[:, 4:] ** 3, axis=-1),
    "transpose": lambda xp, a: xp.sum(xp.transpose(a, (0, 2, 1))[:, 0] ** 3, axis=-1),
    "matrix_transpose": lambda xp, a: xp.sum(xp.matrix_transpose(a)[:, 0] ** 3, axis=-1),
    "T": lambda xp, a: xp.sum(a.T[0] ** 3 + a.mT[:, 0].T, axis=0),
    "swapaxes": lambda xp, a: xp.sum(xp.swapaxes(a, 1, 2)[:, 0] ** 3, axis=-1),
    "moveaxis": lambda xp, a: xp.sum(xp.moveaxis(a, 2, 1)[:, 0] ** 3, axis=-1),
    "squeeze": lambda xp, a: xp.squeeze(a[:, :1, :1], axis=(1, 2)) ** 3,
    "expand_dims": lambda xp, a: xp.sum(xp.expand_dims(a, axis=1)[:, 0, 1] ** 3, axis=-1),
    "broadcast_to": lambda xp, a: xp.sum(xp.broadcast_to(a[:, :1], a.shape) * a, axis=(1, 2)),
    "broadcast_arrays": lambda xp, a: xp.sum(xp.broadcast_arrays(a[:, :1], a)[0] * a, axis=(1, 2)),
    "concatenate": lambda xp, a: xp.sum(xp.concatenate([a, a[:, :1]], axis=1) ** 3, axis=(1, 2)),
    "stack": lambda xp, a: xp.sum(xp.stack([a[:, 0], a[:, 1] ** 2], axis=-1) ** 2, axis=(1, 2)),
    "unstack": lambda xp, a: xp.unstack(a[:, 0], axis=-1)[1] ** 3,
    "split": lambda xp, a: xp.sum(xp.split(a, 3, axis=-1)[1] ** 3, axis=(1, 2)),
    "flip": lambda xp, a: xp.sum(xp.flip(a, axis=-1) * a**2, axis=(1, 2)),
    "roll": lambda xp, a: xp.sum(xp.roll(a, 1, axis=-1) * a**2, axis=(1, 2)),
    "repeat": lambda xp, a: xp.sum(xp.repeat(a, 2, axis=1) ** 3, axis=(1, 2)),
    "tile": lambda xp, a: xp.sum(xp.tile(a, (1, 1, 2)) ** 3, axis=(1, 2)),
    "take": lambda xp, a: xp.sum(xp.take(a, np.array([0, 2, 2]), axis=-1) ** 3, axis=(1, 2)),
    "take_along_axis": lambda xp, a: xp.sum(
        xp.take_along_axis(a, np.ones((len(a), 2, 1), dtype=int), axis=-1) ** 3, axis=(1, 2)
    ),
    "where": lambda xp, a: xp.sum(xp.where(np.eye(2, 3) == 1, a**3, a), axis=(1, 2)),
    "diagonal": lambda xp, a: xp.sum(xp.diagonal(a, axis1=1, axis2=2) ** 3, axis=-1),
    "trace": lambda xp, a: xp.trace(a**3, axis1=1, axis2=2),
    "diff": lambda xp, a: xp.sum(xp.diff(a, axis=-1) ** 3, axis=(1, 2)),
    "cumsum": lambda xp, a: xp.sum(xp.cumsum(a, axis=-1) ** 3, axis=(1, 2)),
    "cumulative_sum": lambda xp, a: xp.sum(xp.cumulative_sum(a, axis=-1) ** 3, axis=(1, 2)),
    "sum": lambda xp, a: xp.sum(a, axis=(1, 2)) ** 3,
    "mean": lambda xp, a: xp.mean(a, axis=(1, 2)) ** 3,
    "prod": lambda xp, a: xp.prod(a, axis=(1, 2)),
    "dot": lambda xp, a: xp.dot(a[:, 0], np.arange(3.0)) ** 2,
    "inner": lambda xp, a: xp.inner(a[:, 0], np.arange(3.0)) ** 2,
    "outer": lambda xp, a: xp.outer(a[:, 0, 0], np.arange(3.0))[:, 2] ** 2,
    "tensordot": lambda xp, a: xp.tensordot(a, np.arange(6.0).reshape(2, 3), axes=2) ** 2,
    "einsum": lambda xp, a: xp.einsum("bij,bij->b", a, a),
    "linalg.matmul": lambda xp, a: xp.linalg.matmul(a, a.mT)[:, 0, 1],
    "linalg.outer": lambda xp, a: xp.linalg.outer(a[:, 0, 0], np.arange(3.0))[:, 2] ** 2,
    "linalg.tensordot": lambda xp, a: xp.linalg.tensordot(a, np.ones((2, 3)), axes=2) ** 2,
    "matmul": lambda xp, a: xp.sum(xp.matmul(a, np.ones((3, 2))) ** 2, axis=(1, 2)) + (a @ a.mT)[:, 0, 1],
    "zeros_like": lambda xp, a: xp.sum((a + xp.zeros_like(a) + xp.ones_like(a) + xp.full_like(a, 2.0)) ** 2, (1, 2)),
    "shape": lambda xp, a: xp.sum(a, axis=(1, 2)) ** 2 * xp.shape(a)[1] * xp.ndim(a) * len(a) * a.ndim * a.size,
    "in_place": lambda xp, a: in_place(xp, a[:, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_complex_step_of_array_functions(name: str) -> None:
    a = np.random.default_rng(13).uniform(0.5, 2.0, size=(4, 2, 3))
    truth = richardson.gradient(FUNCTIONS[name], a)
    gradient = complex_step.gradient(FUNCTIONS[name], a).gradient
    assert np.any(gradient != 0)
    assert_agrees(truth._replace(gradient=gradient), truth.gradient)


def test_each_array_function_is_among_them() -> None:
    listed = complex_step.ANALYTIC_FUNCTIONS
    of_numpy = {name for name in dir(np) if not name.startswith("_") and is_listed(getattr(np, name), listed)}
    of_linalg = {f"linalg.{name}" for name in dir(np.linalg) if is_listed(getattr(np.linalg, name), listed)}
    aliases = {"concat", "permute_dims", "linalg.diagonal"}
    assert of_numpy | of_linalg <= set(FUNCTIONS) | aliases
    assert len({id(function) for function in listed}) == len(listed)


def is_listed(value: Any, listed: set[Any]) -> bool:
    return any(value is function for function in listed)
