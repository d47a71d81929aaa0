"""The textbook nine-weight graph has the published values bit for bit, broadcasts, refuses bad input, and a mistake in
any of its lines shows."""

import ast
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from manual import nine_weight, nine_weight_stable
from reference.datasets import housing
from reference.published import published

Array = NDArray[np.float64]

X, Y = housing()
W0 = np.array(published("assignment.check_point.weights").value)
Y0 = 1.858849127371369  # y[0] as the published run had it: y is defined to 1 ulp only, X to the bit
GRADIENT = np.array([published(f"assignment.backward.dw{i}").value for i in range(1, 10)])
LOSS = published("assignment.forward.L").value

# The published point has nine equal weights and cannot tell one from another. The same sample at w = 0.1, 0.2, ... 0.9,
# from the closed form with sech² and exp(-|q|), evaluated in 320-bit balls (Arb) and rounded.
W1 = np.arange(1, 10) / 10
GRADIENT1 = np.array(
    [
        *(-0.007646973017450673, -0.0007125806247576057, -0.03620096521253641, -0.02284942130808247),
        *(-0.004943360780487768, -0.019429828088843637, -0.01041725453524831, -0.08086948185854316),
        -0.3207076271313627,
    ]
)
LOSS1 = 0.049625791261261494
TOLERANCE = 1e-13  # 1 - t² at this point keeps 14 digits

BOTH = [pytest.param(m, id=m.__name__.removeprefix("manual.")) for m in (nine_weight, nine_weight_stable)]


def deviating(gradient: Array, expected: Array, tolerance: float) -> set[int]:
    """The weights, counted from 1, whose entries are off; a NaN is off."""
    off = ~(np.abs(gradient - expected) <= tolerance * np.abs(expected))
    return {int(i) + 1 for i in np.flatnonzero(off)}


# --- published values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("dL", lambda loss, cache: 2 * cache.residual, id="dL"),
        pytest.param("L", lambda loss, cache: loss, id="L"),
        pytest.param("val_1", lambda loss, cache: cache.u, id="exp"),
        pytest.param("part_1", lambda loss, cache: cache.t, id="tanh"),
        pytest.param("sigmoid", lambda loss, cache: cache.s, id="sigmoid"),
    ],
)
def test_forward_gives_the_published_values_to_the_last_bit(key: str, value: Callable[..., Any]) -> None:
    expected = published(f"assignment.forward.{key}").value
    assert value(*nine_weight.forward(W0, X[0], Y0)) == expected
    everything = value(*nine_weight.forward(W0, X, np.full(506, Y0)))
    assert np.broadcast_to(everything, 506)[0] == expected


def test_backward_gives_the_published_gradient_to_the_last_bit() -> None:
    _, cache = nine_weight.forward(W0, X[0], Y0)
    np.testing.assert_array_equal(nine_weight.backward(W0, X[0], cache), GRADIENT)
    _, gradients = nine_weight.loss_and_gradient(W0, X, np.full(506, Y0))
    np.testing.assert_array_equal(gradients[0], GRADIENT)


def test_nine_different_weights_give_the_gradient_of_the_closed_form() -> None:
    loss, gradient = nine_weight.loss_and_gradient(W1, X[0], Y0)
    assert deviating(gradient, GRADIENT1, TOLERANCE) == set()
    assert abs(loss - LOSS1) <= TOLERANCE * LOSS1


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", BOTH)
def test_all_samples_and_draws_in_one_call_equal_the_loop_bit_for_bit(module: ModuleType) -> None:
    w = np.random.default_rng(20).normal(size=(3, 1, 9))
    rows = np.arange(0, 506, 23)
    loss, gradient = module.loss_and_gradient(w, X, Y)
    assert loss.shape == (3, 506)
    assert gradient.shape == (3, 506, 9)
    for draw in range(3):
        for row in rows:
            one_loss, one_gradient = module.loss_and_gradient(w[draw, 0], X[row], Y[row])
            assert one_loss.shape == ()
            assert one_loss == loss[draw, row]
            np.testing.assert_array_equal(one_gradient, gradient[draw, row])


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("w", "x", "y", "shape"),
    [
        pytest.param((9,), (5,), (), (), id="one-sample"),
        pytest.param((9,), (4, 5), (4,), (4,), id="batch"),
        pytest.param((3, 1, 9), (4, 5), (4,), (3, 4), id="draws-by-batch"),
        pytest.param((4, 9), (4, 5), (4,), (4,), id="weights-per-sample"),
        pytest.param((9,), (5,), (7,), (7,), id="many-targets"),
        pytest.param((2, 1, 1, 9), (3, 1, 5), (4,), (2, 3, 4), id="three-axes"),
    ],
)
def test_leading_axes_broadcast(
    module: ModuleType, w: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(21)
    loss, gradient = module.loss_and_gradient(rng.normal(size=w), rng.normal(size=x), rng.normal(size=y))
    assert loss.shape == shape
    assert gradient.shape == (*shape, 9)
    assert gradient.dtype == np.float64


@pytest.mark.parametrize("module", BOTH)
def test_arguments_and_cache_are_left_alone_and_a_second_run_repeats_every_bit(module: ModuleType) -> None:
    arguments = W1.copy(), X.copy(), Y.copy()
    loss, cache = module.forward(*arguments)
    first = module.backward(*arguments[:2], cache)
    second = module.backward(*arguments[:2], cache)
    np.testing.assert_array_equal(first, second)
    again_loss, again = module.loss_and_gradient(*arguments)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(loss, again_loss)
    for argument, before in zip(arguments, (W1, X, Y), strict=True):
        np.testing.assert_array_equal(argument, before)


# --- bad input ------------------------------------------------------------------------------------------------------


def with_entry(array: Array, index: tuple[int, ...], value: float) -> Array:
    changed = array.copy()
    changed[index] = value
    return changed


F32 = np.float32
TYPE_ERRORS = [
    ("w", "list", W0.tolist(), r"w: expected a float64 NumPy array, got list; convert it with np\.array\(w, dtype="),
    ("w", "none", None, "w: expected a float64 NumPy array, got NoneType; convert"),
    ("x", "matrix", np.ma.masked_array(X), r"x: expected a float64 NumPy array, got numpy\.ma\.MaskedArray; convert"),
    ("y", "int", 2, "y: expected a float64 NumPy array, got int; convert"),
    ("y", "str", "1.0", "y: expected a float64 NumPy array, got str; convert"),
    ("w", "int64", np.ones(9, dtype=int), r"w: expected dtype float64, got dtype int64; convert it with w\.astype\("),
    ("x", "float32", X.astype(F32), r"x: expected dtype float64, got dtype float32; convert it with x\.astype\("),
    ("x", "object", X.astype(object), "x: expected dtype float64, got dtype object; convert"),
    ("y", "bool", Y > 0, "y: expected dtype float64, got dtype bool; convert"),
    ("y", "complex", Y * 1j, "y: expected dtype float64, got dtype complex128; convert"),
]
VALUE_ERRORS = [
    (
        "w",
        "eight",
        W0[:8],
        r"w: expected shape \(\.\.\., 9\), got \(8,\); put w1 to w9 of each sample on the last axis",
    ),
    ("w", "scalar", 0.1, r"w: expected shape \(\.\.\., 9\), got \(\); put"),
    ("x", "transposed", X.T, r"x: expected shape \(\.\.\., 5\), got \(5, 506\); put x1 to x5 of each sample on the"),
    ("y", "short", Y[:4], r"expected leading axes that broadcast, got w \(9,\), x \(506, 5\) and y \(4,\); give each"),
    ("w", "draws", np.ones((3, 9)), r"leading axes that broadcast, got w \(3, 9\), x .* y \(506,\); .*w\[:, None, :\]"),
    (
        "x",
        "empty",
        X[:0],
        r"expected at least one sample, got w \(9,\), x \(0, 5\) and y \(506,\); pass a batch that is",
    ),
    ("y", "empty", Y[:0], r"expected at least one sample, got w \(9,\), x \(506, 5\) and y \(0,\); pass a batch"),
    ("w", "nan", with_entry(W0, (4,), np.nan), r"w: expected finite numbers, got nan at index \(4,\) \(1 of 9 not"),
    ("x", "inf", with_entry(X, (7, 2), -np.inf), r"x: expected finite numbers, got -inf at index \(7, 2\) \(1 of 2530"),
    ("y", "nan", with_entry(Y, (505,), np.nan), r"y: .*finite.*, got nan at index \(505,\) .*; repair or drop them"),
    ("y", "scalar-nan", np.nan, r"y: expected finite numbers, got nan \(1 of 1 not finite\); repair"),
]
BAD_INPUT = [
    pytest.param(error, name, bad, message, id=f"{name}-{id_}")
    for error, rows in ((TypeError, TYPE_ERRORS), (ValueError, VALUE_ERRORS))
    for name, id_, bad, message in rows
]


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(("error", "name", "bad", "message"), BAD_INPUT)
def test_bad_input_is_refused_with_what_was_expected_what_came_and_what_to_do(
    module: ModuleType, error: type[Exception], name: str, bad: object, message: str
) -> None:
    arguments: Any = {"w": W0, "x": X, "y": Y} | {name: bad}
    for function in (module.forward, module.loss_and_gradient):
        with pytest.raises(error, match=message):
            function(**arguments)


@pytest.mark.parametrize("module", BOTH)
def test_a_torch_tensor_is_refused_by_name(module: ModuleType) -> None:
    import torch  # slow to import, and this test alone needs it

    with pytest.raises(TypeError, match=r"x: expected a float64 NumPy array, got torch\.Tensor; convert it with"):
        module.forward(W0, torch.tensor(X), Y)


# --- planted mistakes -----------------------------------------------------------------------------------------------

ALL = set(range(1, 10))
TANH_BRANCH, SIGMOID_BRANCH = {1, 2, 6, 7}, {3, 4, 5, 8}
MUTANTS = [
    # id, line, what it becomes, the entries that must deviate from the published gradient
    ("dprediction-sign", "dprediction = 2 * residual", "dprediction = -2 * residual", ALL),
    ("dprediction-half", "dprediction = 2 * residual", "dprediction = residual", ALL),
    ("dw9-times-w9", "dw9 = dprediction * s", "dw9 = dprediction * s * w9", {9}),
    ("dw8-without-w9", "dw8 = dprediction * w9 * s * (1 - s)", "dw8 = dprediction * s * (1 - s)", SIGMOID_BRANCH),
    ("dw8-without-slope", "dw8 = dprediction * w9 * s * (1 - s)", "dw8 = dprediction * w9 * s", SIGMOID_BRANCH),
    ("dw7-slope-of-t", "dw7 = dprediction * (1 - t * t)", "dw7 = dprediction * (1 - t)", TANH_BRANCH),
    ("dw7-sign", "dw7 = dprediction * (1 - t * t)", "dw7 = dprediction * (1 + t * t)", TANH_BRANCH),
    ("dw6-without-exp", "dw6 = dw7 * u", "dw6 = dw7", {1, 2, 6}),
    ("dw5-feature", "dw5 = dw8 * sine * x5", "dw5 = dw8 * sine * x4", {5}),
    ("dw5-without-sine", "dw5 = dw8 * sine * x5", "dw5 = dw8 * x5", {5}),
    ("dw4-feature", "dw4 = dw8 * sine * x4", "dw4 = dw8 * sine * x5", {4}),
    ("dw4-product", "dw4 = dw8 * sine * x4", "dw4 = dw8 * (sine + x4)", {4}),
    ("dw3-sine", "dw3 = dw8 * b * (np.cos(angle) * x3)", "dw3 = dw8 * b * (np.sin(angle) * x3)", {3}),
    ("dw3-minus", "dw3 = dw8 * b * (np.cos(angle) * x3)", "dw3 = dw8 * b * (-np.cos(angle) * x3)", {3}),
    ("dw3-without-b", "dw3 = dw8 * b * (np.cos(angle) * x3)", "dw3 = dw8 * (np.cos(angle) * x3)", {3}),
    ("dw3-without-x3", "dw3 = dw8 * b * (np.cos(angle) * x3)", "dw3 = dw8 * b * np.cos(angle)", {3}),
    ("dw2-without-2", "dw2 = dw6 * (2 * z * x2)", "dw2 = dw6 * (z * x2)", {2}),
    ("dw2-square", "dw2 = dw6 * (2 * z * x2)", "dw2 = dw6 * (z * z * x2)", {2}),
    ("dw1-without-z", "dw1 = dw6 * (2 * z * x1)", "dw1 = dw6 * (2 * x1)", {1}),
    ("dw1-feature", "dw1 = dw6 * (2 * z * x1)", "dw1 = dw6 * (2 * z * x2)", {1}),
    ("order", "np.stack([dw1, dw2,", "np.stack([dw2, dw1,", {1, 2}),
    ("features-in-backward", "in range(5))\n    z, u,", "in (0, 1, 2, 4, 3))\n    z, u,", {4, 5}),
    ("z", "z = w1 * x1 + w2 * x2", "z = w1 * x1 - w2 * x2", ALL),
    ("u", "u = np.exp(z * z + w6)", "u = np.exp(z + w6)", ALL),
    ("t", "t = np.tanh(u + w7)", "t = np.tanh(u - w7)", ALL),
    ("angle", "angle = w3 * x3", "angle = w3 + x3", ALL),
    ("sine", "sine = np.sin(angle)", "sine = angle", ALL),
    ("b", "b = w4 * x4 + w5 * x5", "b = w4 * x4 * w5 * x5", ALL),
    ("s", "s = 1 / (1 + np.exp(-(sine * b + w8)))", "s = 1 / (1 + np.exp(sine * b + w8))", ALL),
    ("prediction", "prediction = t + s * w9", "prediction = t + s + w9", ALL),
    ("residual", "residual = prediction - y", "residual = y - prediction", ALL),
]
# These change which weight is read, so the published point, with its equal weights, cannot see them.
BLIND = [
    ("w9-in-backward", "w9 = w[..., 8]", "w9 = w[..., 7]", SIGMOID_BRANCH),
    ("w6", "np.exp(z * z + w6)", "np.exp(z * z + w7)", ALL),
    ("w3", "angle = w3 * x3", "angle = w4 * x3", ALL),
    ("unpacking", "(w[..., i] for i in range(9))", "(w[..., i] for i in (0, 1, 2, 3, 4, 5, 7, 6, 8))", ALL),
]


def mutant(line: str, becomes: str) -> Callable[[Array, Array, float], tuple[Array, Array]]:
    """`loss_and_gradient` of a copy of the module in which `line`, which must occur exactly once, reads differently."""
    source = inspect.getsource(nine_weight)
    assert source.count(line) == 1
    changed = source.replace(line, becomes)
    assert changed != source
    namespace: dict[str, Any] = {"__name__": "mutant"}
    exec(compile(changed, "mutant", "exec"), namespace)
    function: Callable[[Array, Array, float], tuple[Array, Array]] = namespace["loss_and_gradient"]
    return function


@pytest.mark.parametrize(("line", "becomes", "entries"), [pytest.param(*m[1:], id=m[0]) for m in MUTANTS])
def test_a_mistake_in_any_line_shows_in_the_published_gradient(line: str, becomes: str, entries: set[int]) -> None:
    _, gradient = mutant(line, becomes)(W0, X[0], Y0)
    assert deviating(gradient, GRADIENT, 0) == entries


@pytest.mark.parametrize(("line", "becomes", "entries"), [pytest.param(*m[1:], id=m[0]) for m in BLIND])
def test_a_weight_mistaken_for_another_shows_only_where_weights_differ(
    line: str, becomes: str, entries: set[int]
) -> None:
    function = mutant(line, becomes)
    assert deviating(function(W0, X[0], Y0)[1], GRADIENT, 0) == set()
    assert deviating(function(W1, X[0], Y0)[1], GRADIENT1, TOLERANCE) == entries


def test_a_wrong_loss_shows_in_the_published_loss() -> None:
    loss, gradient = mutant("loss = residual * residual", "loss = abs(residual)")(W0, X[0], Y0)
    assert loss != LOSS
    assert deviating(gradient, GRADIENT, 0) == set()


def test_every_line_of_forward_and_backward_has_its_mutant() -> None:
    mutated = {m[1] for m in [*MUTANTS, *BLIND]} | {"loss = residual * residual"}
    for function, count in ((nine_weight.forward, 10), (nine_weight.backward, 11)):
        nodes = ast.walk(ast.parse(inspect.getsource(function)))
        lines = [ast.unparse(n) for n in nodes if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)]
        assert len(lines) == count
        for line in lines:
            assert line in mutated, f"no mutant for: {line}"
