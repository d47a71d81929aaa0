"""All that is derived by hand in manual/, as subjects of mutants: every derivative and every update rule is a row."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any

import numpy as np

from manual import (
    chain_rule,
    logistic,
    mlp,
    nine_weight,
    nine_weight_stable,
    scalar_engine,
    tiny_network,
)
from manual.scalar_engine import Value
from reference.datasets import housing, moons
from tests.gate.configurations import CONFIGURATIONS, Configuration
from tests.meta.mutant_places import compiled
from tests.meta.mutant_suite import SAMPLES, Arguments, Array, Derivation, Gradient, Rule

# --- the gradients of manual/ ---------------------------------------------------------------------------------------


def draw(seed: int, scale: float, *shape: int) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0.0, scale, shape)


def graph_of_nine(module: Any) -> Gradient:
    def at(seed: int, scale: float, samples: int) -> Arguments:
        x, y = (array[:samples].copy() for array in housing())
        return draw(seed, scale, samples, 9), x, y

    return Gradient(module.forward, lambda cache, w, x, y: module.backward(w, x, cache), at, 0.5)


def example(given: chain_rule.Example) -> Gradient:
    """With the derivative by every node: the inputs, and a number added to each inner one."""
    moved, nodes = with_moves(given.forward)
    inputs = [*given.variables, *given.constants]
    names = [*inputs, *nodes]

    def forward(w: Array) -> tuple[Any, Any]:
        columns = [w[..., i] for i in range(len(names))]
        value, cache = moved(*columns[: len(inputs)], dict(zip(nodes, columns[len(inputs) :], strict=True)))
        return value, cache

    def backward(cache: Any, w: Array) -> Array:
        gradients = given.backward(cache)
        return np.stack([gradients[name] for name in names], axis=-1)

    def at(seed: int, scale: float, samples: int) -> Arguments:
        w = draw(seed, scale, samples, len(names))
        w[:, len(inputs) :] = 0.0
        return (w,)

    return Gradient(forward, backward, at)


def with_moves(forward: Callable[..., Any]) -> tuple[FunctionType, list[str]]:
    """A forward that takes a dict of moves as its last argument and adds to each node what is there, and the nodes."""
    function: Any = forward
    (definition,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(definition, ast.FunctionDef)
    made = [statement for statement in definition.body if isinstance(statement, ast.Assign)]
    nodes = [ast.unparse(statement.targets[0]) for statement in made]
    for node, statement in zip(nodes, made, strict=True):
        statement.value = ast.BinOp(statement.value, ast.Add(), ast.parse(f"moves[{node!r}]", mode="eval").body)
    definition.args.args.append(ast.arg("moves"))
    definition.name = f"moved_{definition.name}"
    return compiled(ast.unparse(ast.fix_missing_locations(definition)) + "\n", definition.name, function), nodes


X, Y = np.array([0.5, -1.5, 2.0, 1.0, 0.0, 3.0]), np.array([0.25, 0.5, 0.75, 1.0, 0.0, 1.0])
"""Targets between 0 and 1 too: a square of 0 or 1 is the number itself."""


def tiny(loss: Callable[..., Any], slope: Any, scale: float, *edges: Array) -> Gradient:
    """The 1-1-1 network. Its ReLU is dead at the first two samples, of either sign, and on its kink at an edge."""

    def forward(theta: Array, x: Array, y: Array) -> tuple[Any, Any]:
        return loss(theta, x, y), tiny_network.forward(theta, x, y)[1]

    def backward(cache: Any, theta: Array, x: Array, y: Array) -> Array:
        return tiny_network.backward(theta, x, y, cache, slope)

    def at(seed: int, scale: float, samples: int) -> Arguments:
        theta = draw(seed, scale, samples, 4)
        z1 = np.array([-1.5, -0.25, 1.25, 0.75, 0.5, 1.5])
        theta[:, 1] = z1[:samples] - theta[:, 0] * X[:samples]
        return theta, X[:samples].copy(), Y[:samples].copy()

    kink = at(2, 1.0, len(X))
    kink[0][:, 1] = 0.0  # and so z1 where x = 0
    ends = [(theta, X[: len(theta)], Y[: len(theta)]) for theta in edges]
    return Gradient(forward, backward, at, scale, (kink, *ends))


def network(activation: str, criterion: str) -> Gradient:
    """Layers that are square and such that are not, two outputs, and an edge with a unit at the kink of ReLU."""
    net = mlp.MLP((2, 3, 3, 2), activation, criterion)
    y = np.array([[0.0, 1.0, 0.25, 1.0, 0.5], [1.0, 0.0, 0.5, 0.75, 0.25]])

    def at(seed: int, scale: float, samples: int) -> Arguments:
        return draw(seed, scale, net.parameters), moons().X_train[:, :samples].copy(), y[:, :samples].copy()

    theta, *data = at(2, 1.0, SAMPLES)
    kink = np.abs(theta)
    kink[[0, 1, 6]] = 0.0  # the first unit's weights and its bias
    return Gradient(
        net.forward, lambda cache, theta, X, y: net.backward(theta, y, cache), at, edges=((kink, data[0], data[1]),)
    )


Graph = Callable[[Value, Value, Array], Value]


def of_engine(graph: Graph, positive: bool = False, edges: Sequence[tuple[float, float]] = ()) -> Gradient:
    """A graph of nodes a and b, the columns of w, and of an array c. Differentiated twice, which doubles every grad.

    What the root's own grad then lacks to 2 is added to the others, so that `zero_grad` has to reach it too.
    """

    def forward(w: Array, c: Array) -> tuple[Any, Any]:
        nodes = Value(w[..., 0]), Value(w[..., 1])
        root = graph(*nodes, c)
        return root.data, (root, nodes)

    def backward(cache: Any, w: Array, c: Array) -> Array:
        root, nodes = cache
        root.zero_grad()
        root.backward()
        root.backward()
        return np.stack([node.grad / 2 + (2 - root.grad) for node in nodes], axis=-1)

    def at(seed: int, scale: float, samples: int) -> Arguments:
        w, c = draw(seed, scale, samples, 2), draw(seed, scale, samples)
        return (np.abs(w), np.abs(c)) if positive else (w, c)

    ends = tuple((np.tile(row, (SAMPLES, 1)), draw(2, 1.0, SAMPLES)) for row in edges)
    return Gradient(forward, backward, at, edges=ends)


def operation(
    function: Any, *graphs: Graph, positive: bool = False, edges: Sequence[tuple[float, float]] = ()
) -> Derivation:
    """An operation of the scalar engine, used once in each graph: in one that uses it twice, mistakes may cancel."""
    return Derivation(function.__qualname__, (function,), tuple(of_engine(g, positive, edges) for g in graphs))


def _chain(a: Value, b: Value, c: Array) -> Value:
    u = a * b
    return (u * u + a.sin()) * (b + c) * a


def _logit(distance: float) -> float:
    """Where a prediction is so far from 1."""
    return float(np.log1p(-distance) - np.log(distance))


CLIP = logistic.PROBABILITY_CLIP
NEAR_THE_CLIP = np.array([[1.0, 1.0, 0.0, side * _logit(CLIP + by)] for side in (1, -1) for by in (-5e-13, 5e-13)])
"""Logits on either side of where the clipped loss turns flat, closer than 1e-12."""
FAR = [(800.0, 0.0), (-800.0, 0.0)]
"""exp(800) overflows."""
children: Any = vars(Value)["children"].fget


def _functions(*functions: Any) -> tuple[FunctionType, ...]:
    return functions


DERIVATIONS = [
    Derivation("nine_weight", _functions(nine_weight.backward), (graph_of_nine(nine_weight),)),
    Derivation(
        "nine_weight_stable",
        _functions(nine_weight_stable.backward, nine_weight_stable._sech),
        (
            replace(
                graph_of_nine(nine_weight_stable),
                edges=tuple(graph_of_nine(nine_weight_stable).at(2, scale, SAMPLES) for scale in (30.0, 3000.0)),
            ),
        ),
    ),
    *(Derivation(e.id, _functions(e.backward), (example(e),)) for e in chain_rule.EXAMPLES),
    Derivation(
        "tiny_network",
        _functions(tiny_network.backward, logistic.cross_entropy_slope, logistic.sigmoid),
        (tiny(tiny_network.loss, logistic.cross_entropy_slope, 2.0),),
    ),
    Derivation(
        "clipped_slope",
        _functions(logistic.clipped_slope),
        (tiny(tiny_network.clipped_loss, logistic.clipped_slope, 12.0, NEAR_THE_CLIP),),
    ),
    Derivation(
        "MLP",
        _functions(
            *(mlp.MLP.backward, mlp.pack, mlp.unpack),
            *(mlp.ACTIVATIONS[name].slope for name in ("sigmoid", "relu", "tanh")),
            mlp.CRITERIA["mse"].slope,
        ),
        (network("relu", "cross_entropy"), network("tanh", "cross_entropy"), network("sigmoid", "mse")),
    ),
    operation(Value.__add__, lambda a, b, c: a + b, lambda a, b, c: a + c, lambda a, b, c: a + 2.5),
    operation(Value.__radd__, lambda a, b, c: 2.5 + a, lambda a, b, c: c + a),
    operation(Value.__sub__, lambda a, b, c: a - b, lambda a, b, c: a - c, lambda a, b, c: a - 2.5),
    operation(Value.__rsub__, lambda a, b, c: 2.5 - a, lambda a, b, c: c - a),
    operation(Value.__mul__, lambda a, b, c: a * b, lambda a, b, c: a * c, lambda a, b, c: a * 2.5),
    operation(Value.__rmul__, lambda a, b, c: 2.5 * a, lambda a, b, c: c * a),
    operation(Value.__truediv__, lambda a, b, c: a / b, lambda a, b, c: a / c, lambda a, b, c: a / 2.5),
    operation(Value.__rtruediv__, lambda a, b, c: 2.5 / a, lambda a, b, c: c / a),
    operation(Value.__neg__, lambda a, b, c: -a),
    operation(
        Value.__pow__,
        *(lambda a, b, c: a**0.7, lambda a, b, c: a**3, lambda a, b, c: a**0, lambda a, b, c: a**1),
        *(lambda a, b, c: a**-2, lambda a, b, c: a**b, lambda a, b, c: a**c),
        positive=True,
        edges=[(0.0, 2.0), (0.0, 0.0)],
    ),
    operation(Value.__rpow__, lambda a, b, c: 0.3**a, lambda a, b, c: c**a, positive=True),
    operation(Value.exp, lambda a, b, c: a.exp()),
    operation(Value.log, lambda a, b, c: a.log(), positive=True),
    operation(Value.sin, lambda a, b, c: a.sin()),
    operation(Value.cos, lambda a, b, c: a.cos()),
    operation(Value.tanh, lambda a, b, c: a.tanh(), edges=FAR),
    operation(Value.sigmoid, lambda a, b, c: a.sigmoid(), edges=FAR),
    operation(Value.relu, lambda a, b, c: a.relu(), edges=[(0.0, 0.0)]),
    Derivation(
        "Value.backward",
        _functions(Value.backward, Value.zero_grad, scalar_engine.topological, scalar_engine.as_value, children),
        (of_engine(_chain),),
    ),
]


# --- update rules ---------------------------------------------------------------------------------------------------


def _more(rule: str, variant: str, **settings: float | bool) -> Configuration:
    return Configuration(f"{rule}-{variant}", rule, tuple(settings.items()), frameworks=("torch_optim",))


MORE = [
    _more("sgd", "dampening-alone", learning_rate=0.02, dampening=0.5),
    _more("sgd", "decay-of-1", learning_rate=0.02, weight_decay=1.0),
    _more("sgd", "maximize", learning_rate=0.001, maximize=True),
    _more("asgd", "averaging-at-once", learning_rate=1.0, decay=0.0, start=-10.0),
    _more("rprop", "maximize", learning_rate=1e-5, largest=1e-4, maximize=True),
    _more("radam", "short-memory", beta2=0.81),
    _more("nadam", "fast-fading", learning_rate=0.1, beta2=0.9, momentum_decay=12.0),
]
"""Mutants that the gate's own configurations cannot tell from the original need these."""


def _rows(*rules: str) -> tuple[Configuration, ...]:
    return tuple(row for row in [*CONFIGURATIONS, *MORE] if row.rule in rules)


RULES = [
    *(Rule(rule, _rows(rule)) for rule in ("vanilla", "momentum", "averaged_momentum", "sgd", "adagrad", "adadelta")),
    *(Rule(rule, _rows(rule)) for rule in ("rmsprop", "amsgrad", "adamax", "radam", "asgd", "rprop")),
    Rule("adam", _rows("adam", "adamw")),
    Rule("adamw", _rows("adamw"), ("adamw",)),
    Rule("nadam", _rows("nadam"), ("update", "mu")),
    Rule("_coupled", _rows("sgd"), ("_coupled",)),
    Rule("_decayed", _rows("adam"), ("_decayed",)),
    Rule("_moments", _rows("adam"), ("_moments",)),
]
