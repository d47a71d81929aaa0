"""The hand-written gradients of `manual/` as rows for the registry in conftest.py, and the points to try them at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from manual import tiny_network
from manual.chain_rule import Example
from manual.mlp import MLP
from oracles import graphs, network_graphs
from oracles.registration import Subject
from reference.datasets import housing, moons, xor_pattern
from reference.published import published

Array = np.ndarray[Any, Any]
Random = np.random.Generator
NINE = tuple(f"w{i}" for i in range(1, 10))
POINTS = 64


def nine_weight(id: str, loss: Callable[..., Any], gradient: Callable[..., Any], **more: Any) -> Subject:
    """A form of the nine-weight graph: one draw of weights, and all 506 samples."""
    return Subject(id, loss, gradient, _nine_weight_arguments, graphs.nine_weight, NINE, **more)


def _nine_weight_arguments(random: Random, scale: float) -> tuple[Array, ...]:
    x, y = housing()
    return np.tile(random.normal(0.0, scale, 9), (len(x), 1)), x, y


PUBLISHED_POINTS: dict[str, tuple[str, ...]] = {
    "square_of_line": ("course.chain.x",),
    "quadratic": ("value_class.quadratic.x",),
    "product_plus": tuple(f"value_class.three_inputs.{name}" for name in "abc"),
    "squared_weight": tuple(f"assignment.worked_example.{name}" for name in ("w1", "w2", "x1", "x2")),
    "neuron": tuple(f"value_class.neuron.{name}" for name in ("x1", "x2", "w1", "w2", "b")),
}


def worked_example(example: Example) -> Subject:
    """An example of `manual.chain_rule` at the point where the documents work it out, and at random ones."""
    variables, constants = len(example.variables), len(example.constants)
    published_point = [float(published(key).value) for key in PUBLISHED_POINTS[example.id]]

    def arguments(random: Random, scale: float) -> tuple[Array, ...]:
        points = random.normal(0.0, scale, (POINTS, variables + constants))
        points[0] = published_point
        return (points[:, :variables], points[:, variables:]) if constants else (points,)

    graph = getattr(graphs, example.id)
    return Subject(example.id, example.loss, example.gradient, arguments, graph, example.variables, draws=8)


def tiny() -> Subject:
    """The 1-1-1 network on its four points, with b1 = 0 in the first four: x = 0 is then on the kink of ReLU."""

    def arguments(random: Random, scale: float) -> tuple[Array, ...]:
        theta = random.normal(0.0, scale, (POINTS, 4))
        theta[:4, 1] = 0.0
        x, y = (np.tile(column, POINTS // 4) for column in xor_pattern())
        return theta, x, y

    names = ("w1", "b1", "w2", "b2")
    return Subject(
        "tiny_network",
        tiny_network.loss,
        tiny_network.gradient,
        arguments,
        network_graphs.tiny_network,
        names,
        draws=8,
    )


def network(sizes: Sequence[int], activation: str, criterion: str) -> Subject:
    """A network of `manual.mlp`, all of its parameters, with its mean loss over 64 points of the moons."""
    net = MLP(tuple(sizes), activation, criterion)

    def arguments(random: Random, scale: float) -> tuple[Array, ...]:
        split = moons()
        return random.normal(0.0, scale, net.parameters), split.X_train[:, :POINTS], split.y_train[:, :POINTS]

    graph = network_graphs.mlp(tuple(sizes), activation, criterion)
    return Subject(f"mlp_{activation}_{criterion}", net.loss, net.gradient, arguments, graph, draws=8)
