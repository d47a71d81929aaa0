"""The worked examples have the documents' values and gradients, are certified in every derivative, and a mistake in any
of their lines shows."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from manual import chain_rule
from manual.chain_rule import EXAMPLES, Example, forward_difference
from oracles import Ruling, certify, complex_step, graphs, jax_grad, torch_autograd
from oracles.agreement import Agreement, compare
from oracles.estimate import Oracle
from oracles.rounding import rounding_radii
from oracles.trial import loss_trial
from reference.published import published
from tests.meta.ulps import ulps

Array = NDArray[np.float64]

EXAMPLE = {e.id: e for e in EXAMPLES}
# The constants too are inputs of the graph, and have derivatives.
IN_EVERYTHING = {e.id: replace(e, variables=e.variables + e.constants, constants=()) for e in EXAMPLES}
each_example = pytest.mark.parametrize("example", [pytest.param(e, id=e.id) for e in EXAMPLES])

POINTS = {
    "square_of_line": ("course.chain", "x"),
    "quadratic": ("value_class.quadratic", "x"),
    "product_plus": ("value_class.three_inputs", "a", "b", "c"),
    "squared_weight": ("assignment.worked_example", "w1", "w2", "x1", "x2"),
    "neuron": ("value_class.neuron", "x1", "x2", "w1", "w2", "b"),
}


def printed(key: str) -> float:
    return float(published(key).value)


def point(id_: str) -> Array:
    """Where the documents evaluate an example: its inputs, in the order of its variables and constants."""
    group, *names = POINTS[id_]
    assert tuple(names) == IN_EVERYTHING[id_].variables
    return np.array([printed(f"{group}.{name}") for name in names])


def drawn(example: Example, scale: float, samples: int = 24) -> tuple[Array, ...]:
    """Variables from N(0, scale²), and constants from N(0, 1)."""
    rng = np.random.default_rng([len(example.id), round(100 * scale)])
    w = rng.normal(0, scale, (samples, len(example.variables)))
    return (w, rng.normal(size=(samples, len(example.constants)))) if example.constants else (w,)


def gradients(id_: str) -> dict[str, Any]:
    example = IN_EVERYTHING[id_]
    return example.backward(example.forward(*point(id_))[1])


# --- published values -----------------------------------------------------------------------------------------------


def test_square_of_a_line() -> None:
    (x,) = point("square_of_line")
    y, (u,) = chain_rule.square_of_line_forward(x)
    assert (u, y) == (printed("course.chain.u"), printed("course.chain.y"))
    found = gradients("square_of_line")
    assert found["y"] == printed("course.chain.dy_dy")
    assert found["u"] == printed("course.chain.dy_du")
    assert found["x"] == printed("course.chain.dy_dx")
    assert found["x"] / found["u"] == printed("course.chain.du_dx")


def test_one_sided_difference_of_the_quadratic() -> None:
    (x,) = point("quadratic")
    slope = forward_difference(lambda v: chain_rule.quadratic_forward(v)[0], x, printed("value_class.quadratic.h"))
    assert slope == printed("value_class.quadratic.slope")
    assert gradients("quadratic")["x"] == 22


def test_one_sided_difference_of_the_product_plus_a_number() -> None:
    a, b, c = point("product_plus")
    h = printed("value_class.three_inputs.h")

    def d(at: Any) -> Any:
        return chain_rule.product_plus_forward(a, b, at)[0]

    assert d(c) == printed("value_class.three_inputs.d1")
    assert d(c + h) == printed("value_class.three_inputs.d2")
    assert forward_difference(d, c, h) == printed("value_class.three_inputs.slope")
    assert gradients("product_plus") == {"d": 1, "c": 1, "ab": 1, "b": a, "a": b}


def test_the_code_printed_for_it_would_give_a_slope_of_0() -> None:
    """A finding: it computes both values by one expression, without h."""
    a, b, c = point("product_plus")
    as_printed = forward_difference(lambda _: chain_rule.product_plus_forward(a, b, c)[0], c, 0.0001)
    assert as_printed == 0
    assert as_printed != printed("value_class.three_inputs.slope")


def test_squared_weight() -> None:
    w1, w2, x1, x2 = point("squared_weight")
    step = printed("assignment.worked_example.epsilon")
    assert gradients("squared_weight")["w1"] == printed("assignment.worked_example.gradient")
    for side, key in ((1, "f_up"), (-1, "f_down")):
        f = chain_rule.squared_weight_forward(w1 + side * step, w2, x1, x2)[0]
        assert f == printed(f"assignment.worked_example.{key}")


NEURON = ["o", "n", "x1w1x2w2", "b", "x1w1", "x2w2", "w1", "x1", "w2", "x2"]


@pytest.mark.parametrize("node", NEURON)
def test_every_gradient_in_the_neuron(node: str) -> None:
    """The printed bias is 6 + asinh(1) to half of its last bit, 2^-51. With tanh's rounding, do/dn is 1/2 to 2^-50; the
    others are that times 3 at most."""
    set_by_hand = node in ("o", "n")
    expected = printed(f"value_class.neuron_{'gradients' if set_by_hand else 'assigned'}.{node}")
    found = gradients("neuron")
    assert list(found) == ["o", "n", "x1w1x2w2", "x2w2", "x1w1", "b", "w2", "w1", "x2", "x1"]
    assert abs(found[node] - expected) <= (0 if node == "o" else 3 * 2.0**-50)


def test_local_derivatives_in_the_neuron() -> None:
    found = gradients("neuron")
    assert found["x1w1x2w2"] / found["n"] == printed("value_class.neuron_gradients.n_x1w1x2w2")
    assert found["b"] / found["n"] == printed("value_class.neuron_gradients.n_b")
    assert found["x1w1"] / found["x1w1x2w2"] == printed("value_class.neuron_gradients.x1w1x2w2_x1w1")
    assert found["x2w2"] / found["x1w1x2w2"] == printed("value_class.neuron_gradients.x1w1x2w2_x2w2")
    assert math.floor(found["n"] * 1e9) / 1e9 == printed("value_class.neuron_gradients.n_remark")


# --- certificates ---------------------------------------------------------------------------------------------------


def assert_certified(example: Example, *args: Array) -> None:
    certificate = certify(example.loss, example.gradient, *args)
    assert certificate.ruling is Ruling.CERTIFIED
    assert certificate.digits >= 30
    assert certificate.entries == args[0].size


@each_example
def test_certified_at_the_published_point(example: Example) -> None:
    inputs = point(example.id)
    n = len(example.variables)
    assert_certified(example, *((inputs[None, :n], inputs[None, n:]) if example.constants else (inputs[None],)))
    assert_certified(IN_EVERYTHING[example.id], inputs)


@each_example
@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 3.0])
def test_certified_at_random_draws(example: Example, scale: float) -> None:
    assert_certified(example, *drawn(example, scale))
    assert_certified(IN_EVERYTHING[example.id], *drawn(IN_EVERYTHING[example.id], scale))


# --- the forward is the graph ---------------------------------------------------------------------------------------

ORACLES = {
    "torch_autograd": torch_autograd.gradient,
    "jax_grad": jax_grad.gradient,
    "complex_step": complex_step.gradient,
}


def compared(example: Example, oracle: Oracle, scale: float) -> tuple[Agreement, Agreement]:
    """Value and gradient beside the oracle's, with what rounding explains as the tolerance."""
    args = drawn(example, scale)
    answer = oracle(getattr(graphs, example.id), *args)
    radius = rounding_radii(loss_trial(example.loss, example.gradient, args, 0))
    value = compare(np.asarray(example.loss(*args)), answer.loss, 2 * radius.value)
    return value, compare(example.gradient(*args), answer.gradient, 2 * radius.gradients[0])


@each_example
@pytest.mark.parametrize("oracle", [pytest.param(function, id=name) for name, function in ORACLES.items()])
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_oracles_agree_on_value_and_gradient(example: Example, oracle: Oracle, scale: float) -> None:
    value, gradient = compared(example, oracle, scale)
    assert value.agrees
    assert gradient.agrees
    assert max(value.typical_detection, gradient.typical_detection) < 1e-14


# --- planted mistakes -----------------------------------------------------------------------------------------------

BACKWARD = [
    # example, line, what it becomes, the inputs whose derivatives are then wrong
    ("square_of_line", "dy = np.ones_like(u)", "dy = np.zeros_like(u)", "x"),
    ("square_of_line", "du = dy * (2 * u)", "du = dy * u", "x"),
    ("square_of_line", "dx = du * 3", "dx = du * 2", "x"),
    ("quadratic", "dy = np.ones_like(x)", "dy = -np.ones_like(x)", "x"),
    ("quadratic", "dx = dy * (8 * x - 2)", "dx = dy * (8 * x + 2)", "x"),
    ("product_plus", "dd = np.ones_like(d)", "dd = 2 * np.ones_like(d)", "a b c"),
    ("product_plus", "dc = dd", "dc = dd * a", "c"),
    ("product_plus", "dab = dd", "dab = dd * a", "a b"),
    ("product_plus", "db = dab * a", "db = dab * b", "b"),
    ("product_plus", "da = dab * b", "da = dab", "a"),
    ("squared_weight", "df = np.ones_like(f)", "df = f", "w1 w2 x1 x2"),
    ("squared_weight", "dsecond = df", "dsecond = -df", "w2 x2"),
    ("squared_weight", "dfirst = df", "dfirst = 2 * df", "w1 x1"),
    ("squared_weight", "dx2 = dsecond * w2", "dx2 = dsecond * x2", "x2"),
    ("squared_weight", "dx1 = dfirst * (w1 * w1)", "dx1 = dfirst * w1", "x1"),
    ("squared_weight", "dw2 = dsecond * x2", "dw2 = dfirst * x1", "w2"),
    ("squared_weight", "dw1 = dfirst * (2 * w1 * x1)", "dw1 = dfirst * (w1 * x1)", "w1"),
    ("neuron", "do = np.ones_like(o)", "do = o", "x1 x2 w1 w2 b"),
    ("neuron", "dn = do * (1 - o * o)", "dn = do * (1 - o)", "x1 x2 w1 w2 b"),
    ("neuron", "db = dn", "db = do", "b"),
    ("neuron", "dx1w1x2w2 = dn", "dx1w1x2w2 = dn + dn", "x1 x2 w1 w2"),
    ("neuron", "dx2w2 = dx1w1x2w2", "dx2w2 = -dx1w1x2w2", "x2 w2"),
    ("neuron", "dx1w1 = dx1w1x2w2", "dx1w1 = do", "x1 w1"),
    ("neuron", "dw2 = dx2w2 * x2", "dw2 = dx2w2 * x1", "w2"),
    ("neuron", "dw1 = dx1w1 * x1", "dw1 = dx1w1 * w1", "w1"),
    ("neuron", "dx2 = dx2w2 * w2", "dx2 = dx2w2", "x2"),
    ("neuron", "dx1 = dx1w1 * w1", "dx1 = dx1w1 * w2", "x1"),
]
# In the forward, a mistake may make another function with its own right gradient: the published values and the oracles
# are there for that.
FORWARD = [
    ("square_of_line", "u = 3 * x + 2", "u = 3 * x - 2"),
    ("square_of_line", "y = u * u", "y = u * u * u"),
    ("quadratic", "y = 4 * (x * x) - 2 * x + 5", "y = 4 * (x * x) - 2 * x"),
    ("product_plus", "ab = a * b", "ab = a + b"),
    ("product_plus", "d = ab + c", "d = ab - c"),
    ("squared_weight", "first = w1 * w1 * x1", "first = w1 * x1"),
    ("squared_weight", "second = w2 * x2", "second = w2 * x1"),
    ("squared_weight", "f = first + second", "f = first - second"),
    ("neuron", "x1w1 = x1 * w1", "x1w1 = x1 * w2"),
    ("neuron", "x2w2 = x2 * w2", "x2w2 = x2 + w2"),
    ("neuron", "x1w1x2w2 = x1w1 + x2w2", "x1w1x2w2 = x1w1 * x2w2"),
    ("neuron", "n = x1w1x2w2 + b", "n = x1w1x2w2 - b"),
    ("neuron", "o = np.tanh(n)", "o = np.sinh(n)"),
]


def mutant(id_: str, step: str, line: str, becomes: str) -> Example:
    """The example with one line of its `step` (forward or backward), which must be there once, written differently."""
    function: Callable[..., Any] = getattr(IN_EVERYTHING[id_], step)
    source = inspect.getsource(function)
    assert source.count(f"    {line}\n") == 1
    namespace: dict[str, Any] = dict(vars(chain_rule))
    exec(compile(source.replace(f"    {line}\n", f"    {becomes}\n"), "mutant", "exec"), namespace)
    return replace(IN_EVERYTHING[id_], **{step: namespace[function.__name__]})


@pytest.mark.parametrize(
    ("id_", "line", "becomes", "inputs"), [pytest.param(*m, id=f"{m[0]}: {m[2]}") for m in BACKWARD]
)
def test_a_mistake_in_a_line_of_a_backward_is_proved_wrong(id_: str, line: str, becomes: str, inputs: str) -> None:
    example = mutant(id_, "backward", line, becomes)
    certificate = certify(example.loss, example.gradient, *drawn(example, 1.0))
    assert certificate.ruling is Ruling.WRONG
    assert {example.variables[e.index[0]] for e in certificate.wrong} == set(inputs.split())


@pytest.mark.parametrize(("id_", "line", "becomes"), [pytest.param(*m, id=f"{m[0]}: {m[2]}") for m in FORWARD])
def test_a_mistake_in_a_line_of_a_forward_shows_beside_the_graph(id_: str, line: str, becomes: str) -> None:
    example = mutant(id_, "forward", line, becomes)
    as_registered = replace(example, variables=EXAMPLE[id_].variables, constants=EXAMPLE[id_].constants)
    value, _ = compared(as_registered, complex_step.gradient, 1.0)
    assert value.disagrees.all()


RESULTS = ("inner", "leaves")  # what a backward returns, not a step of the derivation


def test_every_line_has_its_mutant() -> None:
    for step, mutants, count in (
        ("forward", [m[:2] for m in FORWARD], 13),
        ("backward", [m[:2] for m in BACKWARD], 27),
    ):
        lines = [
            (e.id, ast.unparse(node))
            for e in EXAMPLES
            for node in ast.walk(ast.parse(inspect.getsource(getattr(e, step))))
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id not in RESULTS
        ]
        assert len(lines) == count
        assert {(id_, line.replace("(w1 * w1) ", "w1 * w1 ")) for id_, line in lines} == {
            (id_, ast.unparse(ast.parse(line))) for id_, line in mutants
        }


# --- shapes and bad input -------------------------------------------------------------------------------------------


@each_example
def test_samples_in_one_call_equal_the_loop_and_arguments_are_left_alone(example: Example) -> None:
    args = drawn(example, 1.0)
    before = [a.copy() for a in args]
    loss, gradient = example.loss(*args), example.gradient(*args)
    assert np.shape(loss) == (24,)
    assert gradient.shape == args[0].shape
    assert gradient.dtype == np.float64
    for row in range(24):
        one = [a[row] for a in args]
        assert np.shape(example.loss(*one)) == ()
        # np.tanh may be vectorised, with up to four ulps; nothing else is rounded differently.
        value, expected = example.loss(*one), np.asarray(loss)[row]
        np.testing.assert_allclose(value, expected, rtol=ulps(4) if example.id == "neuron" else 0)
        # Where tanh is off by an ulp, 1 - tanh² is off by 2 tanh² / (1 - tanh²), below 12 ulps (but in one draw).
        np.testing.assert_allclose(example.gradient(*one), gradient[row], rtol=0 if value == expected else ulps(64))
    np.testing.assert_array_equal(example.gradient(*args), gradient)
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


@each_example
def test_leading_axes_broadcast(example: Example) -> None:
    rng = np.random.default_rng(5)
    w = rng.normal(size=(3, 1, len(example.variables)))
    data = [rng.normal(size=(4, len(example.constants)))] if example.constants else []
    shape = (3, 4) if data else (3, 1)
    assert np.shape(example.loss(w, *data)) == shape
    assert example.gradient(w, *data).shape == (*shape, len(example.variables))


def test_variables_of_different_shapes_have_gradients_of_the_shape_of_the_value() -> None:
    d, cache = chain_rule.product_plus_forward(np.ones((3, 1)), 2.0, np.zeros(4))
    assert np.shape(d) == (3, 4)
    gradients = chain_rule.product_plus_backward(cache)
    np.testing.assert_array_equal(gradients["a"], np.full((3, 4), 2.0))
    assert {name: np.shape(gradient) for name, gradient in gradients.items()} == dict.fromkeys(gradients, (3, 4))


NEURON_W, PAIR = np.ones((2, 5)), np.ones((2, 2))
BAD_INPUT = [
    (
        "neuron",
        (NEURON_W[:, :4],),
        ValueError,
        r"neuron: w: expected shape \(\.\.\., 5\), got \(2, 4\); put x1, x2, w1",
    ),
    ("neuron", (NEURON_W.astype(int),), TypeError, "neuron: w: expected dtype float64, got dtype int64; convert"),
    ("neuron", (NEURON_W.tolist(),), TypeError, "neuron: w: expected a float64 NumPy array, got list; convert"),
    ("neuron", (NEURON_W * np.nan,), ValueError, r"neuron: w: expected finite numbers, got nan at index \(0, 0\)"),
    (
        "squared_weight",
        (PAIR, PAIR[:, :1]),
        ValueError,
        r"x: expected shape \(\.\.\., 2\), got \(2, 1\); put x1, x2 on",
    ),
    ("squared_weight", (PAIR,), TypeError, r"expected w \(\.\.\., 2\) and x \(\.\.\., 2\), got 1 arrays; pass one for"),
    (
        "quadratic",
        (PAIR[:, :1], PAIR),
        TypeError,
        r"quadratic: expected w \(\.\.\., 1\), got 2 arrays; pass one for each",
    ),
]


@pytest.mark.parametrize(("id_", "args", "error", "message"), BAD_INPUT)
def test_bad_input_is_refused(id_: str, args: tuple[Any, ...], error: type[Exception], message: str) -> None:
    for function in (EXAMPLE[id_].loss, EXAMPLE[id_].gradient):
        with pytest.raises(error, match=message):
            function(*args)


def test_a_step_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="h: expected a step that is not 0, got 0; 1e-8"):
        forward_difference(lambda x: x, 1.0, 0.0)
