"""A graph of Values has the derivative of every operation, of every depth and reuse, on floats, arrays and balls."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flint import arb
from numpy.typing import NDArray

from manual import chain_rule, nine_weight, nine_weight_values, scalar_engine
from manual.scalar_engine import Value, topological
from oracles import Certificate, GradientError, Ruling, certify, check
from oracles.accuracy import correct_digits
from oracles.agreement import compare
from oracles.ball import lift
from oracles.rounding import rounding_radii
from oracles.trial import loss_trial
from reference.datasets import housing
from reference.published import published
from tests.meta.ulps import ulps

Array = NDArray[np.float64]
Expression = Callable[..., Any]
ROOT = Path(__file__).parents[2]

X, Y = housing()
CHECK_POINT = np.array(published("assignment.check_point.weights").value)
DRAW = np.random.default_rng(17).normal(size=9)

# --- every operation ------------------------------------------------------------------------------------------------

OPERATIONS: dict[str, tuple[Expression, Expression]] = {
    # name: (on Values, the same on floats); what needs positive operands is named so
    "a + b": (lambda a, b: a + b, lambda a, b: a + b),
    "a - b": (lambda a, b: a - b, lambda a, b: a - b),
    "a * b": (lambda a, b: a * b, lambda a, b: a * b),
    "a / b": (lambda a, b: a / b, lambda a, b: a / b),
    "-a": (lambda a, b: -a, lambda a, b: -a),
    "2 + a": (lambda a, b: 2 + a, lambda a, b: 2 + a),
    "2 - a": (lambda a, b: 2 - a, lambda a, b: 2 - a),
    "a - 2": (lambda a, b: a - 2, lambda a, b: a - 2),
    "2.5 * a": (lambda a, b: 2.5 * a, lambda a, b: 2.5 * a),
    "0.1 / a": (lambda a, b: 0.1 / a, lambda a, b: 0.1 / a),
    "a / 3": (lambda a, b: a / 3, lambda a, b: a / 3),
    "a**3": (lambda a, b: a**3, lambda a, b: a**3),
    "a**-2": (lambda a, b: a**-2, lambda a, b: a**-2),
    "a**1": (lambda a, b: a**1, lambda a, b: a**1),
    "a**0": (lambda a, b: a**0, lambda a, b: a**0),
    "positive a**0.7": (lambda a, b: a**0.7, lambda a, b: a**0.7),
    "positive a**b": (lambda a, b: a**b, lambda a, b: a**b),
    "0.3**a": (lambda a, b: 0.3**a, lambda a, b: 0.3**a),
    "exp": (lambda a, b: a.exp(), lambda a, b: np.exp(a)),
    "positive log": (lambda a, b: a.log(), lambda a, b: np.log(a)),
    "sin": (lambda a, b: a.sin(), lambda a, b: np.sin(a)),
    "cos": (lambda a, b: a.cos(), lambda a, b: np.cos(a)),
    "tanh": (lambda a, b: a.tanh(), lambda a, b: np.tanh(a)),
    "sigmoid": (lambda a, b: a.sigmoid(), lambda a, b: 1 / (1 + np.exp(-a))),
    "relu": (lambda a, b: a.relu(), lambda a, b: np.maximum(a, 0)),
}
each_operation = pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in OPERATIONS])


def subject(graph: Expression, engine: Any = scalar_engine) -> tuple[Expression, Expression]:
    """Loss and gradient of a graph over the last axis of its weights, in the form that a trial takes."""

    def leaves(w: Any) -> list[Any]:
        return [engine.Value(w[..., i]) for i in range(w.shape[-1])]

    def loss(w: Any) -> Any:
        return graph(*leaves(w)).data

    def gradient(w: Any) -> Any:
        weights = leaves(w)
        graph(*weights).backward()
        return np.stack([weight.grad + np.zeros(w.shape[:-1]) for weight in weights], axis=-1)

    return loss, gradient


def draws(name: str, scale: float, samples: int = 12, count: int = 2) -> Array:
    w = np.random.default_rng([len(name), round(100 * scale)]).normal(0, scale, (samples, count))
    return np.abs(w) if name.startswith("positive") else w


@each_operation
@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 3.0])
def test_operations_are_certified_on_many_samples_at_once(name: str, scale: float) -> None:
    w = draws(name, scale)
    certificate = certify(*subject(OPERATIONS[name][0]), w)
    assert certificate.ruling is Ruling.CERTIFIED
    assert certificate.digits >= 30
    assert certificate.entries == w.size


@each_operation
def test_operations_are_certified_on_single_balls_and_right_in_floats(name: str) -> None:
    for w in draws(name, 1.0, samples=3):
        verdict = check(*subject(OPERATIONS[name][0]), w)
        assert verdict.certified
        assert verdict.certificate is not None
        assert verdict.certificate.digits >= 30


@each_operation
def test_data_are_what_numpy_computes(name: str) -> None:
    values, floats = OPERATIONS[name]
    for a, b in draws(name, 2.0):
        made = values(Value(a), Value(b))
        # The sigmoid has two forms, each of an exp to an ulp and two roundings; all else is the same call.
        rtol = ulps(4) if name == "sigmoid" else 0
        np.testing.assert_allclose(made.data, floats(np.float64(a), np.float64(b)), rtol=rtol)
        assert isinstance(made.data, np.float64)


def test_relu_at_0_takes_the_smaller_of_its_derivatives() -> None:
    certificate = certify(*subject(lambda a: a.relu() * 3), np.zeros((1, 1)))
    assert certificate.ok
    (kink,) = certificate.kinks
    assert (kink.low, kink.high, kink.value) == (0, 3, 0)
    assert kink.convention == "the smaller one-sided derivative"


@pytest.mark.parametrize(
    ("graph", "at", "data", "slope"),
    [
        pytest.param(lambda a: a.sigmoid(), 800.0, 1.0, 0.0, id="sigmoid-800"),
        pytest.param(lambda a: a.sigmoid(), -800.0, 0.0, 0.0, id="sigmoid--800"),
        pytest.param(lambda a: a.sigmoid(), 40.0, 1.0, np.exp(-40.0), id="sigmoid-40"),
        pytest.param(lambda a: a.sigmoid(), -40.0, np.exp(-40.0), np.exp(-40.0), id="sigmoid--40"),
        pytest.param(lambda a: a.tanh(), 30.0, 1.0, 4 * np.exp(-60.0), id="tanh-30"),
        pytest.param(lambda a: a.tanh(), -800.0, -1.0, 0.0, id="tanh--800"),
        pytest.param(lambda a: a**0, 0.0, 1.0, 0.0, id="0^0"),
        pytest.param(lambda a: a**1, 0.0, 0.0, 1.0, id="0^1"),
        pytest.param(lambda a: a**2, 0.0, 0.0, 0.0, id="0^2"),
        pytest.param(lambda b: Value(0.0) ** b, 2.0, 0.0, 0.0, id="0^b"),
        pytest.param(lambda b: 0**b, 1.5, 0.0, 0.0, id="plain-0^b"),
    ],
)
def test_the_ends_of_the_range_neither_overflow_nor_cancel(
    graph: Expression, at: float, data: float, slope: float
) -> None:
    a = Value(at)
    root = graph(a)
    root.backward()
    # To the last bit: exp(-40) is lost beside 1, and both sides take the same exp.
    assert root.data == data
    assert a.grad == slope


def test_what_floats_cannot_is_numpys_warning_and_not_another_kind_of_number() -> None:
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert (1 / Value(0.0)).data == np.inf
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan((Value(-8.0) ** (1 / 3)).data)  # Python's own power is complex
    base, exponent = Value(-2.0), Value(2.0)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        root = base**exponent
    root.backward()
    assert (root.data, base.grad) == (4, -4)
    assert np.isnan(exponent.grad)


# --- reuse, and what happens to engines that get it wrong -----------------------------------------------------------

GRAPHS: dict[str, Expression] = {
    "tree": lambda a, b, c: (a * b + c).tanh(),
    "a + a": lambda a, b, c: a + a,
    "a * a": lambda a, b, c: a * a,
    "leaf reused": lambda a, b, c: (a * b + a) * c,
    "node reused": lambda a, b, c: square((a * b + c).sin()),
    "diamonds": lambda a, b, c: square(square(square(a - b) + c)),
}


def square(node: Any) -> Any:
    return node * node


def overwriting(root: Value) -> None:
    """apache/mxnet#9497: a derivative that arrives is written over the one that is there."""
    root.grad = np.ones_like(root.data)
    for node in reversed(topological(root)):
        for child, partial in node.edges:
            child.grad = node.grad * partial


def once_for_each_path(root: Value) -> None:
    """karpathy/micrograd#2: a node passes on what it has whenever it is reached, and again for the next path."""

    def passed_on(node: Value) -> None:
        for child, partial in node.edges:
            child.grad = child.grad + node.grad * partial
            passed_on(child)

    root.grad = np.ones_like(root.data)
    passed_on(root)


def backpropagated(backward: Callable[[Value], None], graph: Expression, w: Any) -> Any:
    weights = [Value(w[..., i]) for i in range(3)]
    backward(graph(*weights))
    return np.stack([weight.grad + np.zeros(w.shape[:-1]) for weight in weights], axis=-1)


def tried(backward: Callable[[Value], None], graph: Expression) -> Certificate:
    return certify(subject(graph)[0], lambda w: backpropagated(backward, graph, w), draws("reuse", 1.0, count=3))


@pytest.mark.parametrize(
    ("graph", "overwriting_is_wrong", "once_for_each_path_is_wrong"),
    [
        pytest.param("tree", set(), set(), id="tree"),
        pytest.param("a + a", {0}, set(), id="a + a"),
        pytest.param("a * a", {0}, set(), id="a * a"),
        pytest.param("leaf reused", {0}, set(), id="leaf reused"),
        pytest.param("node reused", {0, 1, 2}, {0, 1, 2}, id="node reused"),
        pytest.param("diamonds", {0, 1, 2}, {0, 1, 2}, id="diamonds"),
    ],
)
def test_engines_that_lose_or_repeat_a_path_are_proved_wrong(
    graph: str, overwriting_is_wrong: set[int], once_for_each_path_is_wrong: set[int]
) -> None:
    right = tried(Value.backward, GRAPHS[graph])
    assert right.ruling is Ruling.CERTIFIED
    assert right.digits >= 30
    for backward, wrong in ((overwriting, overwriting_is_wrong), (once_for_each_path, once_for_each_path_is_wrong)):
        certificate = tried(backward, GRAPHS[graph])
        assert certificate.ruling is (Ruling.WRONG if wrong else Ruling.CERTIFIED)
        assert {entry.index[0] for entry in certificate.wrong} <= wrong
        assert bool(certificate.wrong) is bool(wrong)


def test_check_names_the_lost_and_the_repeated_path() -> None:
    """b = w0 w1 is used twice in b²: overwriting loses half of 2 b w1, and a visit for each path adds it half again."""
    w = np.array([3.0, 5.0, 0.0])

    def graph(a: Value, b: Value, c: Value) -> Any:
        return square(a * b)

    for backward, claimed in ((overwriting, 75), (once_for_each_path, 225)):
        message = rf"proved wrong: 2 of 3 entries.*\n.*w\[0\]: claimed {claimed}\.0+, true 150\.0+"
        with pytest.raises(GradientError, match=message):
            check(subject(graph)[0], lambda w, b=backward: backpropagated(b, graph, w), w)
    assert check(*subject(graph), w).certified


@pytest.mark.parametrize("levels", [1, 60, 1000])
def test_a_node_is_visited_once_however_many_paths_lead_to_it(levels: int) -> None:
    """2^levels paths: with a visit for each, 60 levels would not end."""
    x = Value(1.0)
    y = x
    for _ in range(levels):
        y = y + y
    y.backward()
    assert x.grad == 2.0**levels
    assert len(topological(y)) == levels + 1


def test_two_constants_of_equal_value_are_two_nodes() -> None:
    """tinygrad/tinygrad#9597."""
    a, b = Value(2.0), Value(2.0)
    assert a != b
    assert a == a
    assert len({a, b}) == 2
    root = a * b + a
    root.backward()
    assert (a.grad, b.grad) == (3, 2)


def test_sharing_equal_constants_would_give_each_the_gradient_of_both() -> None:
    """The same, planted: a table of constants by their value."""
    table: dict[float, Value] = {}

    def constant(number: float) -> Value:
        return table.setdefault(number, Value(number))

    a, b = constant(2.0), constant(2.0)
    (a * b + a).backward()
    assert a is b
    assert (a.grad, b.grad) == (5, 5)


# --- more than one backward -----------------------------------------------------------------------------------------


def neuron() -> tuple[Value, dict[str, Value]]:
    """The documents' neuron, and its nodes by their published names."""
    at = {name: float(published(f"value_class.neuron.{name}").value) for name in ("x1", "x2", "w1", "w2", "b")}
    leaves = {name: Value(number, name) for name, number in at.items()}
    x1, x2, w1, w2, b = leaves.values()
    x1w1, x2w2 = x1 * w1, x2 * w2
    total = x1w1 + x2w2
    n = total + b
    o = n.tanh()
    return o, leaves | {"x1w1": x1w1, "x2w2": x2w2, "x1w1x2w2": total, "n": n, "o": o}


def test_the_neuron_has_its_published_gradients_and_those_derived_by_hand() -> None:
    o, nodes = neuron()
    o.backward()
    value, cache = chain_rule.neuron_forward(*(nodes[name].data for name in ("x1", "x2", "w1", "w2", "b")))
    by_hand = chain_rule.neuron_backward(cache)
    assert o.data == value
    assert nodes.keys() == by_hand.keys()
    for name, node in nodes.items():
        assert abs(node.grad - by_hand[name]) <= 2.0**-52 * abs(by_hand[name])
        if name not in ("o", "n"):
            assert abs(node.grad - published(f"value_class.neuron_assigned.{name}").value) <= 3 * 2.0**-50
    assert o.grad == published("value_class.neuron_gradients.o").value


def test_a_second_call_adds_the_derivative_again_and_zero_grad_clears_it() -> None:
    o, nodes = neuron()
    o.backward()
    once = {name: node.grad for name, node in nodes.items()}
    o.backward()
    assert {name: node.grad for name, node in nodes.items()} == {name: 2 * grad for name, grad in once.items()}
    o.zero_grad()
    assert {node.grad for node in nodes.values()} == {0.0}
    o.backward()
    assert {name: node.grad for name, node in nodes.items()} == once


def test_another_root_adds_its_own_derivative() -> None:
    a = Value(3.0)
    b = a * a
    first, second = b * 2, b.exp()
    first.backward()
    assert (a.grad, b.grad) == (12, 2)
    second.backward()
    assert b.grad == 2 + np.exp(9.0)
    assert a.grad == 12 + np.exp(9.0) * 3 + np.exp(9.0) * 3
    assert (first.grad, second.grad) == (1, 1)


def test_an_update_of_the_weights_does_not_reach_into_a_graph_that_is_there() -> None:
    """Derivatives belong to the values that went into the forward: new weights need a new graph."""
    w = Value(3.0)
    root = w * w
    w.data = np.float64(100.0)
    root.backward()
    assert w.grad == 6


# --- planted mistakes -----------------------------------------------------------------------------------------------

MUTANTS = [
    # what is tried, line, what it becomes
    ("a + b", "((a, 1.0), (b, 1.0))", "((a, 1.0), (b, 0.0))"),
    ("a - b", "((a, 1.0), (b, -1.0))", "((a, 1.0), (b, 1.0))"),
    ("a * b", "((a, b.data), (b, a.data))", "((a, a.data), (b, b.data))"),
    ("a / b", "(a, 1 / b.data)", "(a, b.data)"),
    ("a / b", "(b, -quotient / b.data)", "(b, -quotient)"),
    ("a**3", "slope = other * self.data", "slope = self.data"),
    ("a**3", "(other - 1 if other else 0)", "other"),
    ("positive a**b", "(a, b.data * a.data ** (b.data - 1))", "(a, b.data * a.data ** b.data)"),
    ("positive a**b", "(b, power * log)", "(b, power)"),
    ("positive a**b", "np.where(a.data == 0, 1, a.data)", "np.where(a.data == 0, 1, b.data)"),
    ("-a", 'op="neg", edges=((self, -1.0),)', 'op="neg", edges=((self, 1.0),)'),
    ("exp", 'op="exp", edges=((self, e),)', 'op="exp", edges=((self, 1 + e),)'),
    ("positive log", "(self, 1 / self.data)", "(self, self.data)"),
    ("sin", "(self, np.cos(self.data))", "(self, -np.cos(self.data))"),
    ("cos", "(self, -np.sin(self.data))", "(self, np.sin(self.data))"),
    ("tanh", "e = np.exp(-2 * np.abs(self.data))", "e = np.exp(-np.abs(self.data))"),
    ("tanh", "4 * e / ((1 + e) * (1 + e))", "1 - e"),
    ("sigmoid", "e = np.exp(-np.abs(self.data))\n        s", "e = np.exp(-2 * np.abs(self.data))\n        s"),
    ("sigmoid", "s = np.exp(np.minimum(self.data, 0)) / (1 + e)", "s = np.exp(np.minimum(self.data, 1)) / (1 + e)"),
    ("sigmoid", "(self, e / ((1 + e) * (1 + e)))", "(self, s)"),
    ("relu", "(self.data > 0) * 1.0", "1.0"),
    ("a + b", "{self: np.ones_like(self.data)}", "{self: 2 * np.ones_like(self.data)}"),
    ("diamonds", "derivative.get(child, 0.0) + d * partial", "d * partial"),
    ("diamonds", "+ d * partial", "+ partial"),
]
# These make another function, with its own right derivative: what NumPy computes is there for that.
OTHER_FUNCTION = [
    ("2 + a", "return as_value(other) + self", "return self"),
    ("2 - a", "return as_value(other) - self", "return self - as_value(other)"),
    ("2.5 * a", "return as_value(other) * self", "return self"),
    ("0.1 / a", "return as_value(other) / self", "return self / as_value(other)"),
    ("0.3**a", "return as_value(other) ** self", "return as_value(other) * self"),
]
OUT_OF_ORDER = [
    ("reversed(topological(self)):\n            d", "topological(self):\n            d"),
    ("elif node not in seen:", "else:"),
    ("order.append(node)", "order.insert(0, node)"),
]
SECOND_CALL = [
    ("node.grad = node.grad + d", "node.grad = d"),
    ("+ d * partial", "+ node.grad * partial"),
    ("node.grad = 0.0", "pass"),
]


def mutant(line: str, becomes: str) -> SimpleNamespace:
    """A copy of the engine in which `line`, which must be there exactly once, reads differently."""
    source = inspect.getsource(scalar_engine)
    assert source.count(line) == 1, source.count(line)
    namespace: dict[str, Any] = {"__name__": scalar_engine.__name__}
    exec(compile(source.replace(line, becomes), "mutant", "exec"), namespace)
    return SimpleNamespace(**namespace)


@pytest.mark.parametrize(("name", "line", "becomes"), [pytest.param(*m, id=f"{m[0]}: {m[2][:40]}") for m in MUTANTS])
def test_a_mistake_in_any_derivative_is_proved_wrong(name: str, line: str, becomes: str) -> None:
    graph, count = (GRAPHS[name], 3) if name in GRAPHS else (OPERATIONS[name][0], 2)
    w = draws(name, 1.0, count=count)
    assert certify(*subject(graph), w).ruling is Ruling.CERTIFIED
    assert certify(*subject(graph, mutant(line, becomes)), w).ruling is Ruling.WRONG


@pytest.mark.parametrize(("name", "line", "becomes"), OTHER_FUNCTION)
def test_a_mistake_that_makes_another_function_shows_beside_numpy(name: str, line: str, becomes: str) -> None:
    values, floats = OPERATIONS[name]
    for a, b in draws(name, 2.0):
        made = values(mutant(line, becomes).Value(a), Value(b)).data
        assert abs(made - floats(np.float64(a), np.float64(b))) > 1e-3


@pytest.mark.parametrize(("line", "becomes"), OUT_OF_ORDER)
def test_a_wrong_order_does_not_pass_silently(line: str, becomes: str) -> None:
    _, gradient = subject(GRAPHS["diamonds"], mutant(line, becomes))
    with pytest.raises(KeyError):
        gradient(draws("order", 1.0, count=3))


@pytest.mark.parametrize(("line", "becomes"), SECOND_CALL)
def test_a_mistake_that_only_a_second_call_shows_is_found(line: str, becomes: str) -> None:
    engine = mutant(line, becomes)
    assert certify(*subject(GRAPHS["diamonds"], engine), draws("second", 1.0, count=3)).ok
    a = engine.Value(3.0)
    root = square(a * 2)
    root.backward()
    assert a.grad == 24
    root.backward()
    twice = a.grad
    root.zero_grad()
    assert (twice, a.grad) != (48, 0)


# --- depth ----------------------------------------------------------------------------------------------------------

DEEP = """
import threading
from manual.scalar_drawing import to_dot
from manual.scalar_engine import Value, topological

def deep():
    x = Value(1.0)
    y = x
    for i in range({nodes}):
        y = -y if i % 2 else y + x
    y.backward()
    print(x.grad, y.data, len(topological(y)), to_dot(y).count("shape=record"), repr(y)[:6])
    y.zero_grad()
    print(x.grad)
    del y
    print("freed")

threading.stack_size(2**21)
thread = threading.Thread(target=deep)
thread.start()
thread.join()
"""


def test_a_graph_of_100_000_levels_is_built_differentiated_drawn_and_freed_on_a_small_stack() -> None:
    """y -> -(y + x) twice is y again, so the derivative is 1. Freed level within level, 100,000 of them would need more
    than the 2 MiB of the stack."""
    ran = subprocess.run(
        [sys.executable, "-c", DEEP.format(nodes=100_000)], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split("\n") == ["1.0 1.0 100001 100001 Value(", "0.0", "freed", ""]


def test_a_recursive_order_would_not_reach_that_deep() -> None:
    def recursive(node: Value) -> list[Value]:
        return [*(found for child in node.children for found in recursive(child)), node]

    y = Value(1.0)
    for _ in range(3):
        y = -y
    assert recursive(y) == topological(y)
    for _ in range(100_000):
        y = -y
    with pytest.raises(RecursionError):
        recursive(y)
    assert len(topological(y)) == 100_004


def test_operands_come_before_what_is_made_of_them() -> None:
    w = [Value(x) for x in draws("order", 1.0, samples=1, count=3)[0]]
    order = topological(GRAPHS["diamonds"](*w) + GRAPHS["leaf reused"](*w))
    place = {node: i for i, node in enumerate(order)}
    assert len(place) == len(order) == 12
    assert all(place[child] < place[node] for node in order for child in node.children)


# --- arrays and balls -----------------------------------------------------------------------------------------------


def test_an_array_is_as_many_graphs_side_by_side() -> None:
    w = draws("leaf reused", 1.0, count=3)
    loss, gradient = subject(GRAPHS["leaf reused"])
    assert loss(w).shape == (12,)
    assert gradient(w).shape == (12, 3)
    for row, value, slope in zip(w, loss(w), gradient(w), strict=True):
        assert loss(row) == value
        np.testing.assert_array_equal(gradient(row), slope)


def test_a_number_shared_by_the_elements_has_a_derivative_for_each() -> None:
    shared, each = Value(2.0), Value(np.array([1.0, 10.0, 100.0]))
    root = shared * each * shared
    root.backward()
    np.testing.assert_array_equal(shared.grad, [4.0, 40.0, 400.0])
    np.testing.assert_array_equal(each.grad, [4.0, 4.0, 4.0])
    root.backward()
    np.testing.assert_array_equal(shared.grad, [8.0, 80.0, 800.0])


@pytest.mark.parametrize("array", [np.array([1.0, 2.0]), np.float64(3.0), np.array(4.0)])
def test_an_array_beside_a_node_makes_one_node_and_not_an_array_of_them(array: Any) -> None:
    a = Value(5.0)
    for made, data in ((array * a, array * 5), (array - a, array - 5), (array / a, array / 5), (array**a, array**5)):
        assert isinstance(made, Value)
        np.testing.assert_array_equal(made.data, data)
    made = a**array
    np.testing.assert_allclose(made.data, 5**array, rtol=ulps(2))  # pow to an ulp, on either side


def test_arrays_are_not_written_into() -> None:
    data = np.array([1.0, 2.0])
    a = Value(data)
    (a + a).backward()
    (a * a).backward()
    np.testing.assert_array_equal(data, [1.0, 2.0])
    np.testing.assert_array_equal(a.grad, [4.0, 6.0])


def test_a_single_ball_keeps_its_radius_and_encloses_the_truth() -> None:
    a = Value(lift(0.3) + lift(1.0) / 3)
    root = (a * a).tanh().exp() / a
    root.backward()
    f = float(0.3 + 1 / 3)
    t = np.tanh(f * f)
    truth = np.exp(t) / f * ((1 - t * t) * 2 * f - 1 / f)
    ball = a.grad._a.item()
    assert ball.rad() > 0
    assert abs(float(ball.mid()) - truth) < 1e-14
    assert (arb(1) / 3 - a.data._a.item() + arb(0.3)).contains(0)


# --- the nine-weight graph ------------------------------------------------------------------------------------------


def test_the_published_check_point_has_the_gradient_derived_by_hand() -> None:
    """To what rounding explains; beside the printed figures to four ulps, a tenth of the least that it does here."""
    args = np.tile(CHECK_POINT, (1, 1)), X[:1], Y[:1]
    assert_as_by_hand(args, 2e-14)
    found = nine_weight_values.gradient(*args)[0]
    for i in range(9):
        assert found[i] == pytest.approx(published(f"assignment.backward.dw{i + 1}").value, rel=ulps(4), abs=0)
    assert nine_weight_values.loss(*args)[0] == published("assignment.forward.L").value


def assert_as_by_hand(args: tuple[Array, ...], detection: float) -> None:
    by_hand, values = (
        (loss, gradient, rounding_radii(loss_trial(loss, gradient, args, 0)))
        for loss, gradient in (
            (lambda *a: nine_weight.forward(*a)[0], lambda *a: nine_weight.loss_and_gradient(*a)[1]),
            (nine_weight_values.loss, nine_weight_values.gradient),
        )
    )
    losses = compare(values[0](*args), by_hand[0](*args), values[2].value + by_hand[2].value)
    gradients = compare(values[1](*args), by_hand[1](*args), values[2].gradients[0] + by_hand[2].gradients[0])
    assert losses.agrees
    assert gradients.agrees
    assert gradients.typical_detection < detection


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0])
def test_all_samples_have_the_gradient_derived_by_hand(scale: float) -> None:
    assert_as_by_hand((np.tile(scale * DRAW, (506, 1)), X, Y), 1e-13)


def test_derivatives_that_do_not_cancel_keep_digits_that_the_textbook_form_loses() -> None:
    args = np.tile(3 * DRAW, (506, 1)), X, Y
    (truth,) = certify(nine_weight_values.loss, nine_weight_values.gradient, *args).claimed
    assert correct_digits(nine_weight_values.gradient(*args), truth).min() > 11
    assert correct_digits(nine_weight.loss_and_gradient(*args)[1], truth).min() == 0


@pytest.mark.parametrize("sample", [0, 1, 100, 357, 505])
def test_the_graph_is_certified_at_single_samples(sample: int) -> None:
    for w in (CHECK_POINT, DRAW):
        assert_certified(nine_weight_values.gradient, w, X[sample], Y[sample], entries=9)


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 3.0])
def test_one_graph_is_certified_at_all_506_samples(scale: float) -> None:
    assert_certified(nine_weight_values.gradient, np.tile(scale * DRAW, (506, 1)), X, Y, entries=506 * 9)


def assert_certified(gradient: Expression, *args: Any, entries: int) -> None:
    certificate = certify(nine_weight_values.loss, gradient, *args)
    assert certificate.ruling is Ruling.CERTIFIED
    assert certificate.digits >= 30
    assert certificate.entries == entries


@pytest.mark.parametrize(
    ("line", "becomes", "wrong"),
    [
        pytest.param("4 * e / ((1 + e) * (1 + e))", "2 * e / ((1 + e) * (1 + e))", {0, 1, 5, 6}, id="tanh"),
        pytest.param("(self, np.cos(self.data))", "(self, np.sin(self.data))", {2}, id="sin"),
        pytest.param("(self, e / ((1 + e) * (1 + e)))", "(self, s)", {2, 3, 4, 7}, id="sigmoid"),
        pytest.param("derivative.get(child, 0.0) + d * partial", "d * partial", set(range(9)), id="overwriting"),
    ],
)
def test_a_wrong_engine_is_proved_wrong_by_the_nine_weight_graph(
    line: str, becomes: str, wrong: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nine_weight_values, "Value", mutant(line, becomes).Value)
    certificate = certify(nine_weight_values.loss, nine_weight_values.gradient, DRAW, X[0], Y[0])
    assert certificate.ruling is Ruling.WRONG
    assert {entry.index[0] for entry in certificate.wrong} == wrong


def test_leading_axes_of_the_nine_weight_graph_broadcast() -> None:
    w = np.random.default_rng(3).normal(size=(3, 1, 9))
    assert nine_weight_values.loss(w, X, Y).shape == (3, 506)
    gradient = nine_weight_values.gradient(w, X, Y)
    assert gradient.shape == (3, 506, 9)
    for draw in range(3):
        np.testing.assert_array_equal(gradient[draw], nine_weight_values.gradient(w[draw, 0], X, Y))


@pytest.mark.parametrize("function", [nine_weight_values.loss, nine_weight_values.gradient])
def test_the_nine_weight_graph_refuses_bad_input(function: Expression) -> None:
    with pytest.raises(ValueError, match=r"w: expected shape \(\.\.\., 9\), got \(8,\)"):
        function(CHECK_POINT[:8], X, Y)


# --- what a node is made of, and how it prints ----------------------------------------------------------------------


def test_nodes_print_what_is_known_of_them() -> None:
    a = Value(2.0, "a")
    root = (a * 3).exp()
    root.backward()
    assert repr(a) == "Value(2.0, grad=1210.2863804782053, label='a')"
    assert repr(a * 3) == "Value(6.0, grad=0.0, op='*')"
    assert repr(Value(-1)) == "Value(-1.0, grad=0.0)"
    assert repr(a**2) == "Value(4.0, grad=0.0, op='**2')"
    assert repr(Value(np.array([1.0, 2.0]))) == "Value([1. 2.], grad=0.0)"


def test_a_node_knows_its_operands() -> None:
    a, b = Value(2.0), Value(3.0)
    product = a * b
    assert product.children == (a, b)
    assert (a + a).children == (a, a)
    assert a.children == ()
    assert [child.data for child in (2 - a).children] == [2.0, 2.0]
    total: Any = sum([a, b])
    assert total.data == 5.0
    product.label = "a b"
    assert repr(product) == "Value(6.0, grad=0.0, op='*', label='a b')"


def test_an_operation_of_ones_own_is_data_and_edges() -> None:
    a = Value(0.5)
    root = Value(np.arctan(a.data), op="arctan", edges=((a, 1 / (1 + a.data * a.data)),)) * 5
    root.backward()
    assert a.grad == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param("2.0", "data: expected a float64 NumPy array, got str; convert it", id="str"),
        pytest.param(None, "data: expected a float64 NumPy array, got NoneType; convert it", id="none"),
        pytest.param([1.0], "data: expected a float64 NumPy array, got list; convert it", id="list"),
        pytest.param(1j, "data: expected a float64 NumPy array, got complex; convert it", id="complex"),
        pytest.param(np.ones(2, np.float32), "data: expected dtype float64, got dtype float32; convert", id="float32"),
        pytest.param(np.ones(2, int), r"got dtype int64; convert it with data\.astype\(np\.float64\)", id="int64"),
    ],
)
def test_a_leaf_is_a_real_number_or_a_float64_array(data: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Value(data)
    if not isinstance(data, np.ndarray):
        with pytest.raises(TypeError, match=message):
            Value(1.0) + data


def test_the_whole_numbers_of_python_and_numpy_become_floats() -> None:
    for number in (3, np.int32(3), True + 2):
        assert isinstance(Value(number).data, np.float64)
        assert (Value(number) ** -1).data == 1 / 3
