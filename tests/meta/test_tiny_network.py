"""The tiny network's gradient is proved right at every point, its kink included; the one that the document has for its
clipped loss is proved wrong where the clip is active; and no training run beats what a monotonic function can."""

import ast
import inspect
import math
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from numpy.typing import NDArray

from manual import logistic, tiny_network
from manual.tiny_network import initial, loss, predict, train
from oracles import Ruling, certify, complex_step, jax_grad, network_graphs, torch_autograd
from oracles.agreement import compare
from oracles.rounding import rounding_radii
from oracles.trial import loss_trial
from reference.datasets import xor_pattern
from reference.published import published
from tests.meta.ulps import ulps

Array = NDArray[np.float64]

X, Y = xor_pattern()
ORACLES = [pytest.param(m, id=m.__name__.removeprefix("oracles.")) for m in (torch_autograd, jax_grad, complex_step)]

ALIVE = np.array([0.7, 0.3, -1.1, 0.4])
CLIPPED = np.array([1.0, 0.5, 1.0, -20.0])
"""Here all four predictions are below 1e-7."""


def everywhere(theta: Array) -> Array:
    """A copy of the parameters for each of the four samples."""
    return np.tile(theta, (4, 1))


def drawn(scale: float, seed: int) -> Array:
    return np.random.default_rng([seed, int(100 * scale)]).normal(0.0, scale, 4)


def published_formula(name: str) -> str:
    return str(published(f"course.tiny_network.{name}").value)


# --- the formulas ---------------------------------------------------------------------------------------------------


def test_the_documents_formulas_give_the_published_gradient_to_the_last_bit() -> None:
    x, y = published("course.tiny_network.x").value, published("course.tiny_network.y").value
    w1, b1, w2, b2 = ALIVE
    z1 = w1 * x + b1
    a1 = max(z1, 0.0)
    names: dict[str, Any] = {"x": x, "y": y, "w2": w2, "z1": z1, "a1": a1, "relu_derivative": lambda z: float(z > 0)}
    names["y_pred"] = 1 / (1 + np.exp(-(w2 * a1 + b2)))
    for name in ("dL_dz2", "dL_dw2", "dL_db2", "dL_dz1", "dL_dw1", "dL_db1"):
        names[name] = eval(published_formula(name), {}, names)
    expected = [names[f"dL_d{parameter}"] for parameter in tiny_network.PARAMETERS]
    assert tiny_network.published_gradient(ALIVE, x, y).tolist() == expected
    # Two forms of the sigmoid, each an exp to an ulp, a sum and a quotient.
    assert predict(ALIVE, x) == pytest.approx(names["y_pred"], rel=ulps(4), abs=0)


def test_forward_is_the_textbook_in_plain_floats() -> None:
    for x, y in zip(X.tolist(), Y.tolist(), strict=True):
        w1, b1, w2, b2 = ALIVE.tolist()
        p = 1 / (1 + math.exp(-(w2 * max(w1 * x + b1, 0.0) + b2)))
        expected = -(y * math.log(p) + (1 - y) * math.log(1 - p))
        # `oracles.rounding` allows the loss 24 ulps at most, with four for each function; libm's need less.
        assert loss(ALIVE, x, y) == pytest.approx(expected, rel=ulps(40), abs=0)
        assert tiny_network.clipped_loss(ALIVE, x, y) == pytest.approx(expected, rel=ulps(40), abs=0)


LOGITS = np.concatenate([np.linspace(-40, 40, 161), [-745.0, -709.5, -500.0, 500.0, 709.5, 1e5, -1e5, 1e-300, -0.0]])


def test_softplus_and_sigmoid_keep_their_digits_for_every_logit() -> None:
    """Against 300-bit arithmetic, within what their own formulas may round."""
    radii = rounding_radii(loss_trial(logistic.softplus, logistic.sigmoid, (LOGITS,), 0))
    with ctx.workprec(300):
        exact = [(arb(z).exp().log1p(), 1 / (1 + (-arb(z)).exp())) for z in LOGITS.tolist()]
    softplus, sigmoid = (np.array([float(ball.mid()) for ball in column]) for column in zip(*exact, strict=True))
    for found, truth, radius in (
        (logistic.softplus(LOGITS), softplus, radii.value),
        (logistic.sigmoid(LOGITS), sigmoid, radii.gradients[0]),
    ):
        assert np.all(np.abs(found - truth) <= radius + np.abs(truth) * 2.0**-53)
        assert np.all((radius <= 2.0**-48 * truth) | (truth < 1e-300))


@pytest.mark.parametrize("y", [0.0, 1.0, 0.25])
def test_softplus_is_certified_to_be_smooth_at_zero(y: float) -> None:
    """The kinks of max(z, 0) and |z| cancel, and neither function decides anything: balls around 0 have a value."""
    z = np.array([0.0, 1.0, -1.0])
    for slope in (logistic.cross_entropy_slope, logistic.published_slope):
        certificate = certify(logistic.cross_entropy, slope, z, np.full(3, y))
        assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
        assert (certificate.digits > 30, certificate.kinks) == (True, ())


# --- the gradient ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_is_certified_at_all_four_samples(scale: float, seed: int) -> None:
    certificate = certify(loss, tiny_network.gradient, everywhere(drawn(scale, seed)), X, Y)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert (certificate.entries, certificate.digits >= 30, certificate.kinks) == (16, True, ())


@pytest.mark.parametrize("seed", range(4))
def test_on_the_kink_the_gradient_is_a_one_sided_derivative(seed: int) -> None:
    """x = 0 with b1 = 0, where the document begins, and z2 = 0 there: certified beside, in the hull at the point."""
    theta = initial([seed])[0]
    certificate = certify(loss, tiny_network.gradient, everywhere(theta), X, Y)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert certificate.digits >= 30
    [kink] = [k for k in certificate.kinks if k.sample == (0,)]
    assert (kink.index, kink.value, kink.convention) == ((1,), 0.0, "the smaller one-sided derivative")
    assert sorted((kink.low, kink.high)) == sorted((0.0, 0.5 * theta[2]))


def test_torch_and_jax_follow_the_same_convention_on_the_kink() -> None:
    theta = everywhere(initial([0])[0])
    assert published("course.functions.relu_derivative_at_zero").value == 0.0
    for oracle in (torch_autograd, jax_grad, complex_step):
        slope = oracle.gradient(network_graphs.tiny_network, theta, X, Y).gradient
        assert slope[0].tolist() == tiny_network.gradient(theta, X, Y)[0].tolist() == [0.0, 0.0, 0.0, 0.5]


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 3.0])
def test_oracles_agree_within_what_rounding_explains(oracle: Any, scale: float) -> None:
    for seed in range(4):
        args = (everywhere(drawn(scale, seed)), X, Y)
        radii = rounding_radii(loss_trial(loss, tiny_network.gradient, args, 0))
        estimate = oracle.gradient(network_graphs.tiny_network, *args)
        agreement = compare(tiny_network.gradient(*args), estimate.gradient, 2 * radii.gradients[0])
        assert agreement.agrees
        assert agreement.detection < 1e-13
        assert compare(loss(*args), estimate.loss, 2 * radii.value).agrees


MUTANTS = [
    ("dz2", "dz2 = slope(z2, y)", "dz2 = -slope(z2, y)"),
    ("dz2-of-the-wrong-layer", "dz2 = slope(z2, y)", "dz2 = slope(z1, y)"),
    ("dw2", "dw2 = dz2 * a1", "dw2 = dz2 * z2"),
    ("dw2-without-a1", "dw2 = dz2 * a1", "dw2 = dz2"),
    ("db2", "db2 = dz2", "db2 = dz2 * w2"),
    ("da1", "da1 = dz2 * w2", "da1 = dz2"),
    ("dz1", "dz1 = np.where(z1 > 0, da1, 0.0)", "dz1 = np.where(z1 < 0, da1, 0.0)"),
    ("dz1-leaks", "dz1 = np.where(z1 > 0, da1, 0.0)", "dz1 = np.where(z1 > 0, da1, 0.01 * da1)"),
    ("dz1-without-relu", "dz1 = np.where(z1 > 0, da1, 0.0)", "dz1 = da1"),
    ("dw1", "dw1 = dz1 * x", "dw1 = dz1"),
    ("db1", "db1 = dz1", "db1 = dz1 * x"),
    ("order", "np.broadcast_arrays(dw1, db1,", "np.broadcast_arrays(db1, dw1,"),
]


def mutant(line: str, becomes: str, of: ModuleType = tiny_network) -> dict[str, Any]:
    """What a copy of the module defines in which `line`, which must occur exactly once, reads differently."""
    source = inspect.getsource(of)
    assert source.count(line) == 1
    namespace: dict[str, Any] = {"__name__": "mutant"}
    exec(compile(source.replace(line, becomes), "mutant", "exec"), namespace)
    return namespace


# The ReLU is alive at the first two samples and dead at the others.
BOTH_SIDES = np.array([ALIVE, ALIVE, [-0.7, 0.3, 1.2, -0.2], [-0.7, 0.3, 1.2, -0.2]])


@pytest.mark.parametrize(("line", "becomes"), [pytest.param(*m[1:], id=m[0]) for m in MUTANTS])
def test_a_mistake_in_any_line_is_proved_wrong(line: str, becomes: str) -> None:
    module = mutant(line, becomes)
    certificate = certify(module["loss"], module["gradient"], BOTH_SIDES, X, Y)
    assert certificate.ruling is Ruling.WRONG, str(certificate)


@pytest.mark.parametrize("becomes", ["return (1 - y) * sigmoid(z)", "return (sigmoid(z) - y) * sigmoid(z)"])
def test_a_mistake_in_the_slope_is_proved_wrong(becomes: str) -> None:
    slope = mutant("return (1 - y) * sigmoid(z) - y * sigmoid(-z)", becomes, logistic)["cross_entropy_slope"]
    certificate = certify(logistic.cross_entropy, slope, np.array([0.4, -1.3]), np.array([1.0, 0.25]))
    assert certificate.ruling is Ruling.WRONG, str(certificate)


def test_an_unchanged_copy_is_certified() -> None:
    module = mutant("db1 = dz1", "db1 = 1 * dz1")
    assert certify(module["loss"], module["gradient"], BOTH_SIDES, X, Y).ruling is Ruling.CERTIFIED


def test_every_line_of_backward_has_its_mutant() -> None:
    nodes = ast.walk(ast.parse(inspect.getsource(tiny_network.backward)))
    lines = [ast.unparse(n) for n in nodes if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)]
    own = [line for line in lines if line != "w2 = theta[..., 2]"]
    assert len(own) == 7
    assert set(own) <= {line for _, line, _ in MUTANTS}


def test_another_convention_on_the_kink_is_certified_and_named() -> None:
    """relu'(0) = 1 is a one-sided derivative too: the certificate names it, and only torch and JAX differ."""
    module = mutant("np.where(z1 > 0, da1, 0.0)", "np.where(z1 >= 0, da1, 0.0)")
    theta = everywhere(initial([0])[0])
    certificate = certify(module["loss"], module["gradient"], theta, X, Y)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert [k.convention for k in certificate.kinks if k.sample == (0,)] == ["the larger one-sided derivative"]
    torch = torch_autograd.gradient(network_graphs.tiny_network, theta, X, Y).gradient
    assert module["gradient"](theta, X, Y)[0, 1] != torch[0, 1] == 0.0


@pytest.mark.parametrize("at_zero", ["2 * da1", "-da1"])
def test_a_value_outside_the_hull_is_proved_wrong_on_the_kink(at_zero: str) -> None:
    changed = f"np.where(z1 > 0, da1, np.where(z1 == 0, {at_zero}, 0.0))"
    module = mutant("np.where(z1 > 0, da1, 0.0)", changed)
    certificate = certify(module["loss"], module["gradient"], everywhere(initial([0])[0]), X, Y)
    assert certificate.ruling is Ruling.WRONG, str(certificate)
    assert [(w.sample, w.index) for w in certificate.wrong] == [((0,), (1,))]


# --- the clipped loss -----------------------------------------------------------------------------------------------


def test_the_published_gradient_is_proved_wrong_where_the_clip_is_active() -> None:
    theta = everywhere(CLIPPED)
    assert np.all(predict(theta, X) < published("course.functions.probability_clip").value)
    certificate = certify(tiny_network.clipped_loss, tiny_network.published_gradient, theta, X, Y)
    assert certificate.ruling is Ruling.WRONG, str(certificate)
    # The printed loss is flat there. At x = 0 the entry of w1 is 0 with the clip and without.
    assert len(certificate.wrong) == 15
    assert ((0,), (0,)) not in {(w.sample, w.index) for w in certificate.wrong}
    assert {w.true for w in certificate.wrong} == {"0"}


def test_the_right_gradient_of_the_clipped_loss_is_zero_there_and_certified() -> None:
    theta = everywhere(CLIPPED)
    certificate = certify(tiny_network.clipped_loss, tiny_network.clipped_gradient, theta, X, Y)
    assert (certificate.ruling, certificate.digits) == (Ruling.CERTIFIED, math.inf)
    assert not tiny_network.clipped_gradient(theta, X, Y).any()


@pytest.mark.parametrize("gradient", [tiny_network.published_gradient, tiny_network.clipped_gradient])
@pytest.mark.parametrize("logit", [-16.1, -3.0, 5.0, 16.1])
def test_both_are_certified_where_the_clip_is_not_active(gradient: Callable[..., Array], logit: float) -> None:
    theta = everywhere(np.array([0.01, 0.02, 0.01, logit]))
    certificate = certify(tiny_network.clipped_loss, gradient, theta, X, Y)
    assert certificate.ok, str(certificate)
    assert certificate.digits >= 30


@pytest.mark.parametrize("logit", [-16.2, 16.2, -501.0, 501.0])
def test_just_beyond_the_clip_only_the_published_one_is_wrong(logit: float) -> None:
    theta = everywhere(np.array([0.01, 0.02, 0.01, logit]))
    rulings = [
        certify(tiny_network.clipped_loss, gradient, theta, X, Y).ruling
        for gradient in (tiny_network.published_gradient, tiny_network.clipped_gradient)
    ]
    assert rulings == [Ruling.WRONG, Ruling.CERTIFIED]


def test_without_the_clip_the_published_gradient_is_right() -> None:
    """It is the derivative of the loss from the logit."""
    theta = everywhere(CLIPPED)
    assert certify(loss, tiny_network.published_gradient, theta, X, Y).ruling is Ruling.CERTIFIED


# --- the document's gradient check ----------------------------------------------------------------------------------


def test_the_table_has_the_four_parameters_and_passes_the_documents_threshold() -> None:
    x, y = published("course.gradient_check.x").value, published("course.gradient_check.y").value
    threshold, step = (
        published("course.gradient_check.threshold").value,
        published("course.gradient_check.epsilon").value,
    )
    for seed in range(20):
        rows = tiny_network.gradient_check_rows(initial([seed])[0], x, y, step)
        assert [row.parameter for row in rows] == ["w1", "b1", "w2", "b2"]
        assert [row.analytical for row in rows] == tiny_network.published_gradient(initial([seed])[0], x, y).tolist()
        assert all(row.difference == abs(row.analytical - row.numerical) < threshold for row in rows)


def test_the_table_as_text() -> None:
    rows = [tiny_network.Row("w1", 0.25, 0.250000001, 1e-9), tiny_network.Row("b1", -2.0, 0.0, 2.0)]
    assert tiny_network.format_rows(rows) == (
        "parameter      analytical      numerical     difference\n"
        "w1             0.25000000     0.25000000 1.00000000e-09\n"
        "b1            -2.00000000     0.00000000 2.00000000e+00"
    )


def test_the_table_shows_the_clip_that_the_published_gradient_ignores() -> None:
    rows = tiny_network.gradient_check_rows(CLIPPED, 2.0, 1.0)
    assert [row.numerical for row in rows] == [0.0] * 4
    assert [round(row.analytical) for row in rows] == [-2, -1, -2, -1]


def test_a_wrong_gradient_passes_the_documents_check_and_not_the_certificate() -> None:
    """Claim `gradients_match_means_right`: the threshold is absolute, so it passes any error smaller than that."""
    module = mutant("dw1 = dz1 * x", "dw1 = dz1")
    theta = np.array([0.1, 0.1, 1e-6, 0.0])
    rows = tiny_network.gradient_check_rows(theta, 2.0, 1.0, gradient=module["published_gradient"])
    assert all(row.difference < published("course.gradient_check.threshold").value for row in rows)
    certificate = certify(module["loss"], module["gradient"], theta, 2.0, 1.0)
    assert [w.entry for w in certificate.wrong] == ["theta[0]"]


# --- training -------------------------------------------------------------------------------------------------------

SEEDS = range(100)


@cache
def run() -> tiny_network.Training:
    """The document's training, for a hundred seeds at once."""
    setting = {name: published(f"course.tiny_training.{name}").value for name in ("X", "y", "learning_rate", "epochs")}
    x, y = np.array(setting["X"]), np.array(setting["y"])
    return train(initial(SEEDS), x, y, setting["learning_rate"], setting["epochs"])


def final_loss(theta: Array) -> Array:
    """The mean loss over the pattern, of parameters (S, 4): (S,)."""
    return np.asarray(np.mean(loss(theta[:, None, :], X, Y), axis=1))


def isotonic(y: list[float]) -> list[float]:
    """The rising sequence nearest to y: neighbours that fall are pooled into their mean.

    It minimises the cross-entropy as well as the squares, as it does every Bregman loss (Robertson, Wright and Dykstra,
    Order Restricted Statistical Inference, 1988, section 1.5).
    """
    blocks: list[list[float]] = []
    for target in y:
        blocks.append([target])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [float(np.mean(block)) for block in blocks for _ in block]


def cross_entropy_of(p: list[float], y: list[float]) -> float:
    costs = [-math.log(q if target else 1 - q) for q, target in zip(p, y, strict=True)]
    return math.fsum(costs) / len(costs)


LOWEST = cross_entropy_of(isotonic(Y.tolist()), Y.tolist())


def test_the_infimum_is_that_of_the_isotonic_regression() -> None:
    assert isotonic(Y.tolist()) == [0, 2 / 3, 2 / 3, 2 / 3]
    assert cross_entropy_of(isotonic(Y[::-1].tolist()), Y[::-1].tolist()) == LOWEST  # the best falling prediction
    # Two logarithms, two products and a difference; on the other side p, its logarithms and their sum.
    assert pytest.approx((3 * math.log(3) - 2 * math.log(2)) / 4, rel=ulps(4), abs=0) == LOWEST
    # Nothing on a grid of rising predictions is better.
    grid = np.array(np.meshgrid(*[np.linspace(0, 1, 25)[1:-1]] * 4)).reshape(4, -1).T
    rising = grid[np.all(np.diff(grid, axis=1) >= 0, axis=1)]
    assert len(rising) == math.comb(23 + 3, 4)
    assert np.min(np.mean(-np.log(np.abs(1 - Y - rising)), axis=1)) > LOWEST


@pytest.mark.parametrize(("w1", "b1"), [(-1.0, 0.5), (1.0, -2.5)])
def test_the_network_comes_as_close_to_the_infimum_as_one_likes(w1: float, b1: float) -> None:
    """The ReLU is alive at one end only, where p goes to 0; b2 = log 2 makes p = 2/3 at the other three points."""
    above = [final_loss(np.array([[w1, b1, -2 * steepness, math.log(2)]]))[0] - LOWEST for steepness in (5, 10, 20)]
    # A mean of four losses, three of 0.4 and one of 1.1, of two functions each to four ulps; and LOWEST to one.
    expected = [math.log1p(2 * math.exp(-s)) / 4 for s in (5, 10, 20)]
    assert above == pytest.approx(expected, rel=0, abs=ulps(4))


def test_no_seed_ends_below_the_infimum_and_no_seed_learns_the_pattern() -> None:
    """Claim `tiny_training_learns_pattern` does not hold: 34 seeds of 100 end within 0.004 of the infimum with three
    of the four points right, the others near log 2 = 0.6931, having learned nothing."""
    final = final_loss(run().theta)
    assert np.all(final > LOWEST)
    assert int(np.sum(final < LOWEST + 0.004)) == 34
    assert int(np.sum(final > 0.68)) == 66
    right = np.sum((predict(run().theta[:, None, :], X) > 0.5) == (Y > 0.5), axis=1)
    assert np.unique_counts(right).values.tolist() == [2, 3]
    assert np.unique_counts(right).counts.tolist() == [66, 34]


def test_every_prediction_is_monotonic_in_x() -> None:
    x = np.linspace(-1, 4, 101)
    steps = np.diff(predict(run().theta[:, None, :], x), axis=1)
    assert np.all(np.all(steps >= 0, axis=1) | np.all(steps <= 0, axis=1))


def test_the_reported_losses_are_means_of_the_four_before_their_updates() -> None:
    theta, total = initial([7])[0], 0.0
    for x, y in zip(X.tolist(), Y.tolist(), strict=True):
        total += float(loss(theta, x, y)) / 4
        theta = theta - 0.1 * tiny_network.gradient(theta, x, y)
    once = train(initial([7]), X, Y, rate=0.1, epochs=1)
    assert (once.losses.tolist(), once.theta.tolist()) == ([[total]], [theta.tolist()])
    assert run().losses.shape == (1000, 100)
    assert run().losses[0, 7] == total


def test_a_population_is_as_many_single_runs_bit_for_bit() -> None:
    for seed in (0, 41, 99):
        alone = train(initial([seed])[0], X, Y, epochs=100)
        together = train(initial(SEEDS), X, Y, epochs=100)
        assert alone.theta.tolist() == together.theta[seed].tolist()
        assert alone.losses.tolist() == together.losses[:, seed].tolist()


def test_initial_parameters_are_those_of_the_document() -> None:
    theta = initial(range(2000))
    assert not theta[:, [1, 3]].any()
    weights = theta[:, [0, 2]].ravel()
    scale = published("course.tiny_network.weight_scale").value
    # The deviation of n normal numbers varies by 1 / sqrt(2 n) of itself, their mean by 1 / sqrt(n) of it: five times.
    assert np.std(weights) == pytest.approx(scale, rel=5 / math.sqrt(2 * weights.size))
    assert abs(np.mean(weights)) < 5 * scale / math.sqrt(weights.size)
    assert initial([3]).tolist() == [theta[3].tolist()]


def test_training_refuses_a_rate_that_is_not_one() -> None:
    for rate in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="rate, epochs: expected finite numbers of at least 0, got"):
            train(initial([0]), X, Y, rate=rate)


# --- shapes and bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theta", "x", "y", "shape"),
    [
        pytest.param((4,), (), (), (), id="one-sample"),
        pytest.param((4,), (5,), (5,), (5,), id="batch"),
        pytest.param((5, 4), (5,), (5,), (5,), id="parameters-per-sample"),
        pytest.param((3, 1, 4), (5,), (5,), (3, 5), id="population"),
        pytest.param((4,), (), (7,), (7,), id="many-targets"),
    ],
)
def test_leading_axes_broadcast(
    theta: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    random = np.random.default_rng(5)
    args = random.normal(size=theta), np.asarray(random.normal(size=x)), np.asarray(random.uniform(size=y))
    before = [a.copy() for a in args]
    value, cache = tiny_network.forward(*args)
    slope = tiny_network.backward(*args, cache)
    assert (np.shape(value), slope.shape, str(slope.dtype)) == (shape, (*shape, 4), "float64")
    np.testing.assert_array_equal(slope, tiny_network.backward(*args, cache))
    np.testing.assert_array_equal(slope, tiny_network.gradient(*args))
    for argument, copy in zip(args, before, strict=True):
        np.testing.assert_array_equal(argument, copy)


@pytest.mark.parametrize(
    ("error", "changed", "message"),
    [
        pytest.param(TypeError, {"theta": [1.0] * 4}, "theta: expected a float64 NumPy array, got list", id="list"),
        pytest.param(
            TypeError, {"x": X.astype(np.float32)}, "x: expected dtype float64, got dtype float32", id="dtype"
        ),
        pytest.param(TypeError, {"y": 1}, "y: expected a float64 NumPy array, got int", id="int"),
        pytest.param(ValueError, {"theta": ALIVE[:3]}, r"theta: expected shape \(\.\.\., 4\), got \(3,\)", id="three"),
        pytest.param(
            ValueError, {"y": Y[:3]}, r"leading axes that broadcast, got theta \(4,\), x \(4,\) and y", id="short"
        ),
        pytest.param(ValueError, {"x": X[:0], "y": Y[:0]}, "expected at least one sample", id="empty"),
        pytest.param(ValueError, {"theta": ALIVE * np.nan}, "theta: expected finite numbers, got nan", id="nan"),
        pytest.param(ValueError, {"x": math.inf}, "x: expected finite numbers, got inf", id="inf"),
    ],
)
def test_bad_input_is_refused(error: type[Exception], changed: dict[str, Any], message: str) -> None:
    arguments: Any = {"theta": ALIVE, "x": X, "y": Y} | changed
    for function in (tiny_network.forward, tiny_network.gradient, tiny_network.clipped_loss):
        with pytest.raises(error, match=message):
            function(**arguments)
