"""The network's gradient is proved right in every parameter, for every activation and loss, and agrees with torch, JAX
and the complex step within what rounding explains; a mistake in any line of it is proved wrong."""

import ast
import inspect
import math
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from manual import initialization, mlp
from manual.mlp import ACTIVATIONS, CRITERIA, MLP, pack, parameter_count, unpack
from oracles import Ruling, certify, complex_step, jax_grad, network_graphs, torch_autograd
from oracles.agreement import compare
from oracles.rounding import rounding_radii
from oracles.trial import loss_trial
from reference.datasets import moons
from reference.published import published
from tests.meta.ulps import ulps

Array = NDArray[np.float64]

SIZES = published("course.neural_network.layer_sizes").value
X, Y = moons().X_train[:, :64], moons().y_train[:, :64]
ORACLES = [pytest.param(m, id=m.__name__.removeprefix("oracles.")) for m in (torch_autograd, jax_grad, complex_step)]
NETS = [
    pytest.param(MLP(SIZES, activation, criterion), id=f"{activation}-{criterion}")
    for activation in ACTIVATIONS
    for criterion in CRITERIA
]


def drawn(net: MLP, scale: float = 0.7, seed: int = 1) -> Array:
    """Parameters from N(0, scale²), biases included."""
    return np.random.default_rng(seed).normal(0.0, scale, net.parameters)


# --- the formulas ---------------------------------------------------------------------------------------------------


def test_the_published_network_has_105_parameters() -> None:
    assert MLP(SIZES).parameters == parameter_count(SIZES) == 2 * 8 + 8 + 8 * 8 + 8 + 8 * 1 + 1 == 105


def test_parameters_lie_layer_by_layer_with_weights_row_by_row() -> None:
    layers = unpack(np.arange(17.0), (2, 3, 2))
    assert [(W.tolist(), b.tolist()) for W, b in layers] == [
        ([[0, 1], [2, 3], [4, 5]], [[6], [7], [8]]),
        ([[9, 10, 11], [12, 13, 14]], [[15], [16]]),
    ]
    assert pack(layers).tolist() == list(range(17))


HIDDEN: dict[str, Callable[[float], float]] = {
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "relu": lambda z: max(z, 0.0),
    "tanh": math.tanh,
}


def loss_in_scalars(net: MLP, theta: list[float], x: list[float], targets: list[float]) -> float:
    """The loss of one sample, unit by unit, as the documents write it."""
    values, rest = x, list(theta)
    for layer, (n_in, n_out) in enumerate(zip(net.sizes, net.sizes[1:], strict=False), start=1):
        weights, biases, rest = (
            rest[: n_in * n_out],
            rest[n_in * n_out : (n_in + 1) * n_out],
            rest[(n_in + 1) * n_out :],
        )
        zs = [
            math.fsum(w * v for w, v in zip(weights[i * n_in : (i + 1) * n_in], values, strict=True)) + biases[i]
            for i in range(n_out)
        ]
        values = [HIDDEN[net.activation](z) for z in zs] if layer < len(net.sizes) - 1 else zs
    if net.criterion == "mse":
        return math.fsum((z - t) ** 2 for z, t in zip(values, targets, strict=True))
    ps = [HIDDEN["sigmoid"](z) for z in values]
    return -math.fsum(t * math.log(p) + (1 - t) * math.log(1 - p) for p, t in zip(ps, targets, strict=True))


def rounding(net: MLP, *args: Array) -> float:
    """How far apart rounding may take two evaluations of the loss; those in plain floats do not round more."""
    return 2 * float(rounding_radii(loss_trial(net.loss, net.gradient, args, 0)).value)


@pytest.mark.parametrize("net", NETS)
def test_forward_is_the_textbook_in_plain_floats(net: MLP) -> None:
    net = MLP((2, 5, 4, 3), net.activation, net.criterion)
    theta, targets = drawn(net), np.random.default_rng(2).integers(0, 2, (3, 10)).astype(np.float64)
    each = [loss_in_scalars(net, theta.tolist(), X[:, k].tolist(), targets[:, k].tolist()) for k in range(10)]
    args = theta, X[:, :10], targets
    assert net.loss(*args) == pytest.approx(sum(each) / 10, rel=0, abs=rounding(net, *args))


def test_predictions_are_probabilities_or_z_itself() -> None:
    theta = drawn(MLP(SIZES))
    z = MLP(SIZES, "relu", "mse").predict(theta, X)
    for criterion in ("cross_entropy", "clipped_cross_entropy", "published_cross_entropy"):
        # On either side four ulps of exp, of which 1 + exp has half or less for z > 0, and two roundings.
        found = MLP(SIZES, "relu", criterion).predict(theta, X)
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-z)), rtol=ulps(6))


# --- the gradient ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_all_parameters_are_certified_over_64_samples(net: MLP) -> None:
    for theta in (drawn(net), initialization.initial(SIZES, "he", np.random.default_rng(0))):
        certificate = certify(net.loss, net.gradient, theta, X, Y)
        assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
        assert (certificate.entries, certificate.digits >= 30, certificate.kinks) == (105, True, ())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(2, 1), (3, 4, 2), (2, 3, 2, 3, 1)])
def test_other_sizes_and_fractional_targets_are_certified(activation: str, sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(6)
    for criterion in CRITERIA:
        net = MLP(sizes, activation, criterion)
        args = drawn(net), random.normal(size=(sizes[0], 7)), random.uniform(size=(sizes[-1], 7))
        certificate = certify(net.loss, net.gradient, *args)
        assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
        assert certificate.digits >= 30


def test_on_a_kink_the_gradient_is_in_the_hull() -> None:
    """A sample at the origin and biases of 0 put every hidden unit on ReLU's kink."""
    net = MLP((2, 3, 1))
    theta = initialization.initial(net.sizes, "he", np.random.default_rng(4))
    at_origin, target = np.zeros((2, 1)), np.ones((1, 1))
    certificate = certify(net.loss, net.gradient, theta, at_origin, target)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert {kink.index for kink in certificate.kinks} == {(6,), (7,), (8,)}  # the hidden biases
    assert {kink.convention for kink in certificate.kinks} == {"the smaller one-sided derivative"}
    for oracle in (torch_autograd, jax_grad, complex_step):
        slope = oracle.gradient(network_graphs.mlp(net.sizes), theta, at_origin, target).gradient
        assert slope.tolist() == net.gradient(theta, at_origin, target).tolist() == [0.0] * 12 + [-0.5]


def test_the_published_gradient_is_proved_wrong_where_the_clip_is_active() -> None:
    """With a last bias of -20 every prediction is below 1e-7; the printed loss is flat and its gradient 0."""
    sizes, args = (2, 3, 1), (X[:, :5], Y[:, :5])
    theta = drawn(MLP(sizes), scale=0.3)
    theta[-1] = -20.0
    assert MLP(sizes, "tanh").predict(theta, args[0]).max() < published("course.functions.probability_clip").value
    net = MLP(sizes, "tanh", "published_cross_entropy")
    certificate = certify(net.loss, net.gradient, theta, *args)
    assert (certificate.ruling, len(certificate.wrong)) == (Ruling.WRONG, net.parameters)
    right = MLP(sizes, "tanh", "clipped_cross_entropy")
    certificate = certify(right.loss, right.gradient, theta, *args)
    assert (certificate.ruling, certificate.digits) == (Ruling.CERTIFIED, math.inf)
    for oracle in (torch_autograd, jax_grad):
        graph = network_graphs.mlp(sizes, "tanh", "clipped_cross_entropy")
        assert not oracle.gradient(graph, theta, *args).gradient.any()


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("criterion", ["cross_entropy", "mse"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_oracles_agree_within_what_rounding_explains(oracle: Any, activation: str, criterion: str) -> None:
    net = MLP(SIZES, activation, criterion)
    graph = network_graphs.mlp(SIZES, activation, criterion)
    for scale in (0.1, 1.0):
        theta = drawn(net, scale)
        radii = rounding_radii(loss_trial(net.loss, net.gradient, (theta, X, Y), 0))
        estimate = oracle.gradient(graph, theta, X, Y)
        agreement = compare(net.gradient(theta, X, Y), estimate.gradient, 2 * radii.gradients[0])
        assert (agreement.entries, agreement.agrees, agreement.unstable.sum()) == (105, True, 0)
        assert agreement.typical_detection < 1e-11
        assert abs(net.loss(theta, X, Y) - estimate.loss) <= 2 * radii.value < 1e-12


def test_an_error_in_the_twelfth_digit_of_one_entry_is_noticed() -> None:
    net = MLP(SIZES)
    theta = drawn(net, 1.0)
    radii = rounding_radii(loss_trial(net.loss, net.gradient, (theta, X, Y), 0))
    truth = torch_autograd.gradient(network_graphs.mlp(SIZES), theta, X, Y).gradient
    wrong = net.gradient(theta, X, Y)
    at = int(np.argmax(np.abs(wrong) / radii.gradients[0]))
    wrong[at] *= 1 + 1e-12
    assert np.flatnonzero(compare(wrong, truth, 2 * radii.gradients[0]).disagrees).tolist() == [at]


def test_equal_arguments_give_the_same_graph() -> None:
    """So that JAX compiles it once."""
    assert network_graphs.mlp((2, 3, 1), "tanh", "mse") is network_graphs.mlp((2, 3, 1), "tanh", "mse")
    assert network_graphs.mlp((2, 3, 1), "tanh", "mse") is not network_graphs.mlp((2, 3, 1), "relu", "mse")


# --- planted mistakes -----------------------------------------------------------------------------------------------

DZ = "dZ = CRITERIA[self.criterion].slope(cache.Z[-1], y)"
A_PREV = "W, A_prev = layers[layer][0], cache.A[layer]"
DZ_PREV = "dZ = dA_prev * slope(cache.Z[layer - 1], A_prev)"
MUTANTS = [
    ("dZ-sign", DZ, "dZ = -CRITERIA[self.criterion].slope(cache.Z[-1], y)"),
    ("dZ-over-m", DZ, f"{DZ} / m"),
    ("dZ-of-another-layer", DZ, "dZ = CRITERIA[self.criterion].slope(cache.Z[0], y)"),
    ("A_prev-of-another-layer", A_PREV, "W, A_prev = layers[layer][0], cache.A[max(layer - 1, 0)]"),
    ("W-of-another-layer", A_PREV, "W, A_prev = layers[layer - 1][0], cache.A[layer]"),
    ("dW-without-m", "dW = dZ @ A_prev.T / m", "dW = dZ @ A_prev.T"),
    # bighuang624/Andrew-Ng-Deep-Learning-notes#10
    ("dW-twice", "dW = dZ @ A_prev.T / m", "dW = 2 * (dZ @ A_prev.T) / m"),
    ("db-sum", "db = np.mean(dZ, axis=1, keepdims=True)", "db = np.sum(dZ, axis=1, keepdims=True)"),
    ("db-over-units", "db = np.mean(dZ, axis=1, keepdims=True)", "db = np.mean(dZ) * np.ones_like(dZ[:, :1])"),
    ("dA_prev-not-transposed", "dA_prev = W.T @ dZ", "dA_prev = W @ dZ"),
    ("dA_prev-per-m", "dA_prev = W.T @ dZ", "dA_prev = W.T @ dZ / m"),
    ("dZ-without-slope", DZ_PREV, "dZ = dA_prev"),
    ("dZ-slope-elsewhere", DZ_PREV, "dZ = dA_prev * slope(cache.Z[layer], A_prev + 1)"),
    ("order", "return pack(gradients[::-1])", "return pack(gradients)"),
]
SLOPES = [
    ("sigmoid", "cross_entropy", "lambda Z, A: A * (1 - A)", "lambda Z, A: A * (1 + A)"),
    ("sigmoid", "cross_entropy", "lambda Z, A: A * (1 - A)", "lambda Z, A: Z * (1 - Z)"),
    ("relu", "cross_entropy", "np.where(Z > 0, 1.0, 0.0)", "np.where(Z > 0, 1.0, 0.01)"),
    ("relu", "cross_entropy", "np.where(Z > 0, 1.0, 0.0)", "np.where(A >= 0, 1.0, 0.0)"),
    ("tanh", "cross_entropy", "1 - A * A", "1 - A"),
    ("tanh", "cross_entropy", "1 - A * A", "1 - Z * Z"),
    ("tanh", "mse", "2 * (Z - y)", "Z - y"),
    ("tanh", "mse", "2 * (Z - y)", "2 * (y - Z)"),
]


def mutant(line: str, becomes: str) -> Callable[..., MLP]:
    """The class of a copy of the module in which `line`, which must occur exactly once, reads differently."""
    source = inspect.getsource(mlp)
    assert source.count(line) == 1
    namespace: dict[str, Any] = {"__name__": "mutant"}
    exec(compile(source.replace(line, becomes), "mutant", "exec"), namespace)
    made: Callable[..., MLP] = namespace["MLP"]
    return made


@pytest.mark.parametrize(("line", "becomes"), [pytest.param(*m[1:], id=m[0]) for m in MUTANTS])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_a_mistake_in_any_line_is_proved_wrong(line: str, becomes: str, activation: str) -> None:
    # Layers of one size, so that no mistake is caught by a shape alone.
    net = mutant(line, becomes)((2, 2, 2, 2), activation)
    random = np.random.default_rng(7)
    args = drawn(net), random.normal(size=(2, 5)), random.integers(0, 2, (2, 5)).astype(np.float64)
    certificate = certify(net.loss, net.gradient, *args)
    assert certificate.ruling is Ruling.WRONG, str(certificate)


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        pytest.param("Z = W @ A + b", "Z = W @ A - b", id="Z"),
        pytest.param("A = activation(cache.Z[-1]) if cache.Z else X", "A = cache.Z[-1] if cache.Z else X", id="A"),
        pytest.param(".value(Z, y)) / m", ".value(Z, y)) / m / 3", id="loss"),
        pytest.param("cross_entropy, cross_entropy_slope", "clipped_slope, cross_entropy_slope", id="cross-entropy"),
    ],
)
def test_a_mistake_in_forward_shows_in_its_value_and_against_torch(line: str, becomes: str) -> None:
    net = mutant(line, becomes)((2, 5, 4, 3), "tanh")
    theta, targets = drawn(net), np.random.default_rng(2).integers(0, 2, (3, 10)).astype(np.float64)
    each = [loss_in_scalars(net, theta.tolist(), X[:, k].tolist(), targets[:, k].tolist()) for k in range(10)]
    args = theta, X[:, :10], targets
    found = float(net.loss(*args))
    torch = torch_autograd.gradient(network_graphs.mlp(net.sizes, "tanh"), *args)
    assert torch.loss == pytest.approx(sum(each) / 10, rel=0, abs=rounding(MLP(net.sizes, "tanh"), *args))
    assert found != pytest.approx(sum(each) / 10, rel=1e-3)  # far more than any rounding


@pytest.mark.parametrize(("activation", "criterion", "line", "becomes"), SLOPES)
def test_a_wrong_slope_is_proved_wrong(activation: str, criterion: str, line: str, becomes: str) -> None:
    net = mutant(line, becomes)((2, 3, 3, 1), activation, criterion)
    certificate = certify(net.loss, net.gradient, drawn(net), X[:, :5], Y[:, :5])
    assert certificate.ruling is Ruling.WRONG, str(certificate)
    other = mutant(line, becomes)((2, 3, 3, 1), "sigmoid" if activation != "sigmoid" else "relu")
    assert certify(other.loss, other.gradient, drawn(other), X[:, :5], Y[:, :5]).ruling is Ruling.CERTIFIED


def test_every_line_of_backward_has_its_mutant() -> None:
    nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(MLP.backward))))
    lines = {ast.unparse(n) for n in nodes if isinstance(n, ast.Assign | ast.Return)}
    named = {"layers = unpack(theta, self.sizes)", "slope = ACTIVATIONS[self.activation].slope", "m = y.shape[1]"}
    assert named < lines
    assert lines - named == {ast.unparse(ast.parse(line)) for _, line, _ in MUTANTS}


# --- shapes and bad input -------------------------------------------------------------------------------------------


def test_arguments_are_left_alone_and_a_second_run_repeats_every_bit() -> None:
    net = MLP(SIZES)
    args = drawn(net), X.copy(), Y.copy()
    before = [a.copy() for a in args]
    value, cache = net.forward(*args)
    first = net.backward(args[0], args[2], cache)
    np.testing.assert_array_equal(first, net.backward(args[0], args[2], cache))
    np.testing.assert_array_equal(first, net.gradient(*args))
    assert (value, first.shape, str(first.dtype)) == (net.loss(*args), (105,), "float64")
    for argument, copy in zip(args, before, strict=True):
        np.testing.assert_array_equal(argument, copy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ((2,),),
            r"sizes: expected at least two positive integers \(inputs, hidden units\.\.\., outputs\), got \(2,\)",
        ),
        (((2, 0, 1),), r"sizes: expected at least two positive integers .*, got \(2, 0, 1\)"),
        (((2, 1.0),), r"sizes: expected at least two positive integers .*, got \(2, 1\.0\)"),
        (((2, 1), "elu"), "activation: expected one of sigmoid, relu, tanh, got 'elu'"),
        (((2, 1), "relu", "hinge"), "criterion: expected one of cross_entropy, mse, .*, got 'hinge'"),
    ],
)
def test_a_network_that_cannot_be_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLP(*arguments)


THETA = drawn(MLP(SIZES))
BAD_INPUT: list[Any] = [
    pytest.param(TypeError, {"theta": THETA.tolist()}, "theta: expected a float64 NumPy array, got list", id="list"),
    pytest.param(TypeError, {"y": Y.astype(int)}, "y: expected dtype float64, got dtype int64", id="int"),
    pytest.param(ValueError, {"theta": THETA[1:]}, r"theta: expected shape \(105,\) .*, got \(104,\)", id="short"),
    pytest.param(
        ValueError, {"X": X.T}, r"X: expected shape \(2, m\) .*, got \(64, 2\); samples are columns", id="rows"
    ),
    pytest.param(ValueError, {"X": X[:, :0]}, r"X: expected shape \(2, m\) with at least one sample", id="empty"),
    pytest.param(ValueError, {"y": Y[:, 1:]}, r"y: expected shape \(1, 64\) beside X \(2, 64\), got \(1, 63\)", id="y"),
    pytest.param(ValueError, {"y": Y[0]}, r"y: expected shape \(1, 64\) .*, got \(64,\)", id="flat-y"),
    pytest.param(ValueError, {"X": X * np.inf}, "X: expected finite numbers, got", id="inf"),
    pytest.param(ValueError, {"theta": THETA * np.nan}, "theta: expected finite numbers, got nan", id="nan"),
]


@pytest.mark.parametrize(("error", "changed", "message"), BAD_INPUT)
def test_bad_input_is_refused(error: type[Exception], changed: dict[str, Any], message: str) -> None:
    arguments: Any = {"theta": THETA, "X": X, "y": Y} | changed
    for function in (MLP(SIZES).forward, MLP(SIZES).loss, MLP(SIZES).gradient):
        with pytest.raises(error, match=message):
            function(**arguments)


# --- initialization -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "variance"), [("he", 2 / 300), ("xavier", 2 / (300 + 200))])
def test_weights_have_the_variance_of_their_scheme(scheme: str, variance: float) -> None:
    assert published("course.neural_network.he_numerator").value == 2.0
    weights = initialization.SCHEMES[scheme](300, 200, np.random.default_rng(8))
    assert weights.shape == (200, 300)
    # The variance of n normal numbers varies by sqrt(2 / n) of itself, their mean by sqrt(1 / n) of it: five times.
    assert np.var(weights) == pytest.approx(variance, rel=5 * math.sqrt(2 / weights.size))
    assert abs(np.mean(weights)) < 5 * math.sqrt(variance / weights.size)


@pytest.mark.parametrize("scheme", initialization.SCHEMES)
def test_parameters_are_drawn_layer_by_layer_with_zero_biases(scheme: str) -> None:
    theta = initialization.initial((2, 5, 3), scheme, np.random.default_rng(9))
    random = np.random.default_rng(9)
    for (W, b), (n_in, n_out) in zip(unpack(theta, (2, 5, 3)), [(2, 5), (5, 3)], strict=True):
        np.testing.assert_array_equal(W, initialization.SCHEMES[scheme](n_in, n_out, random))
        assert not b.any()


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme: expected one of he, xavier, got 'lecun'"):
        initialization.initial((2, 1), "lecun", np.random.default_rng(0))
    with pytest.raises(ValueError, match="sizes: expected at least two positive integers"):
        initialization.initial((2,), "he", np.random.default_rng(0))
