"""The numbers of the report's figures, as data: JSON's types only, rounded to what a picture can show."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from manual import nine_weight, nine_weight_stable, nine_weight_values
from manual.gradient_flow import EXPLODING_ABOVE, SIZES, VANISHING_BELOW, survey
from manual.initialization import initial
from manual.mlp import MLP
from manual.mlp_training import accuracy, train
from manual.scalar_engine import Value, topological
from oracles import graphs
from oracles.accuracy import correct_digits
from oracles.ball import BallArray
from oracles.certificate import certify
from oracles.estimate import Graph
from oracles.numerical import NAMESPACE
from reference.datasets import Split, housing, moons, spiral
from reference.published import published
from tests.gate.configurations import Configuration
from tests.gate.draws import SCALES, Draw, draws
from tests.gate.replication import EXPLANATION, ROWS, STATED, Variant, population, published_loss
from tests.gate.trials import oracle_gradient

Array = np.ndarray[Any, Any]
Data = dict[str, Any]
TEXTBOOK_AT_ITS_WORST_OF = 16
"""Draws of scale 1 among which the one is found that costs the textbook form most digits."""
RUNS = 300
PERCENTILES = (0, 25, 50, 75, 100)
CURVE_POINTS = 100
GRID = 48


# --- correct digits -------------------------------------------------------------------------------------------------


def digits(seed: int) -> Data:
    """Tenths of correct digits of every gradient entry, of four evaluations at the draw that is hardest for one."""
    draw = _hardest(seed)
    w, x, y = _batch(draw)
    truth = _truth(w, x, y)
    evaluations: dict[str, Array] = {"textbook": _gradient(nine_weight, w, x, y)}
    for name, oracle in (("PyTorch", "torch_autograd"), ("JAX", "jax_grad")):
        evaluations[name] = oracle_gradient(oracle)(graphs.nine_weight, w, x, y).gradient
    evaluations["stable"] = _gradient(nine_weight_stable, w, x, y)
    return {
        "draw": draw.id,
        "weights": [f"w{i}" for i in range(1, 10)],
        "tenths": {name: _tenths(values, truth) for name, values in evaluations.items()},
    }


def _truth(w: Array, x: Array, y: Array) -> BallArray:
    """The certified gradient, from whichever of the two forms is right."""
    for module in (nine_weight_stable, nine_weight):
        forward, loss_and_gradient = module.forward, module.loss_and_gradient
        certificate = certify(
            lambda *args, forward=forward: forward(*args)[0],
            lambda *args, both=loss_and_gradient: both(*args)[1],
            *(w, x, y),
        )
        if certificate.ok:
            return certificate.claimed[0]
    raise AssertionError(f"no form of the nine-weight gradient is right: {certificate}")


def _hardest(seed: int) -> Draw:
    scale = SCALES.index(1.0)
    some = [draw for draw in draws(TEXTBOOK_AT_ITS_WORST_OF * len(SCALES), seed) if draw.scale == SCALES[scale]]
    return max(some, key=lambda draw: _lost(*_batch(draw)))


def _lost(w: Array, x: Array, y: Array) -> int:
    """How many entries of the textbook form differ from the stable one's by more than half."""
    textbook, stable = _gradient(nine_weight, w, x, y), _gradient(nine_weight_stable, w, x, y)
    return int(np.sum(~(np.abs(textbook - stable) <= 0.5 * np.abs(stable))))


def _batch(draw: Draw) -> tuple[Array, Array, Array]:
    x, y = housing()
    return np.tile(draw.weights(9), (len(x), 1)), x, y


def _gradient(module: Any, w: Array, x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):  # the textbook form overflows; that is what the picture shows
        return np.asarray(module.loss_and_gradient(w, x, y)[1])


def _tenths(values: Array, truth: BallArray) -> list[list[int]]:
    """A row for each weight."""
    rows: list[list[int]] = np.floor(10 * correct_digits(values, truth)).astype(int).T.tolist()
    return rows


# --- numerical differentiation --------------------------------------------------------------------------------------


def v_curve() -> Data:
    """The relative error of each method against the step, at the documents' point, measured against the certificate."""
    w = np.array(published("assignment.check_point.weights").value)
    sample = published("assignment.check_point.sample").value
    x, y = (column[sample] for column in housing())
    truth = np.array([float(b.mid()) for b in _truth(w, x, y)._a])
    steps = 10.0 ** -np.arange(1, 16.01, 0.25)
    return {
        "steps": steps.tolist(),
        "errors": {
            name: [_relative(method(graphs.nine_weight, w, x, y, h), truth) for h in steps]
            for name, method in METHODS.items()
        },
        "by hand": _relative(nine_weight.loss_and_gradient(w, x, y)[1], truth),
        "epsilons": {
            "assignment": published("assignment.gradient_check.epsilon_used").value,
            "course": published("course.chain.epsilon").value,
            "readme": published("readme.gradient_check.epsilon").value,
        },
    }


def _relative(gradient: Array, truth: Array) -> float:
    return float(np.linalg.norm(gradient - truth) / np.linalg.norm(truth))


def _shifted(graph: Graph, w: Array, x: Array, y: Array, h: complex) -> Array:
    """The losses (9) with h added to one weight each."""
    return np.asarray(graph(NAMESPACE, w + h * np.eye(len(w)), x, y))


def _forward(graph: Graph, w: Array, x: Array, y: Array, h: float) -> Array:
    return (_shifted(graph, w, x, y, h) - _shifted(graph, w, x, y, 0.0)) / h


def _central(graph: Graph, w: Array, x: Array, y: Array, h: float) -> Array:
    return (_shifted(graph, w, x, y, h) - _shifted(graph, w, x, y, -h)) / (2 * h)


def _extrapolated(graph: Graph, w: Array, x: Array, y: Array, h: float) -> Array:
    """The central differences of h and h / 2 without their term in h² (Richardson, 1911)."""
    return (4 * _central(graph, w, x, y, h / 2) - _central(graph, w, x, y, h)) / 3


def _complex(graph: Graph, w: Array, x: Array, y: Array, h: float) -> Array:
    """Im f(w + i h) / h: nothing is subtracted (Squire and Trapp, 1998)."""
    return np.imag(_shifted(graph, w, x, y, 1j * h)) / h


METHODS: dict[str, Callable[[Graph, Array, Array, Array, float], Array]] = {
    "forward difference": _forward,
    "central difference": _central,
    "Richardson extrapolation": _extrapolated,
    "complex step": _complex,
}


# --- training -------------------------------------------------------------------------------------------------------


def losses(seed: int) -> Data:
    """Percentiles of the mean loss of each epoch over a population of initial weights, and what was published."""
    sources: dict[str, Configuration | Variant] = {**STATED, "adam, as run": EXPLANATION}
    bands = {}
    for name, source in sources.items():
        row = name if name in ROWS else "adam"
        runs = population(source, seed, RUNS).losses
        bands[name] = {
            "percentiles": {str(p): _rounded(np.percentile(runs, p, axis=1)) for p in PERCENTILES},
            "published": {"first": published_loss(row, "first"), "last": published_loss(row, "last")},
        }
    return {"runs": RUNS, "rules": bands}


def networks() -> Data:
    """A trained network for each of the two-dimensional data sets: its boundary, its curves, its held-out points."""
    course = tuple(published("course.neural_network.layer_sizes").value)
    return {"moons": _trained(course, moons()), "spiral": _trained((2, 16, 16, 1), spiral())}


@cache
def _settings() -> tuple[float, int]:
    return published("course.moons.learning_rate").value, published("course.moons.epochs").value


def _trained(sizes: tuple[int, ...], data: Split) -> Data:
    net, (rate, epochs) = MLP(sizes), _settings()
    run = train(net, initial(sizes, "he", np.random.default_rng(0)), data.X_train, data.y_train, rate, epochs)
    low, high = data.X_train.min(axis=1) - 0.2, data.X_train.max(axis=1) + 0.2
    across, up = (np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True))
    grid = np.array([axis.ravel() for axis in np.meshgrid(across, up)])
    shown = np.unique(np.linspace(0, epochs - 1, CURVE_POINTS).astype(int))
    return {
        "sizes": list(sizes),
        "x": _rounded(across),
        "y": _rounded(up),
        "probability": net.predict(run.theta, grid).reshape(GRID, GRID).round(3).tolist(),
        "points": [_rounded(p) for p in data.X_test.T],
        "classes": data.y_test[0].astype(int).tolist(),
        "epochs": (shown + 1).tolist(),
        "losses": _rounded(run.losses[shown]),
        "accuracies": _rounded(run.accuracies[shown]),
        "held out": accuracy(net.predict(run.theta, data.X_test), data.y_test),
    }


def gradient_norms() -> Data:
    """The median Frobenius norm of dW in each layer, over 16 seeds, of each activation with each scheme."""
    flows = survey([len(SIZES) - 2], range(16))
    names = sorted({(f.activation, f.scheme) for f in flows})
    return {
        "norms": {
            f"{activation}, {scheme}": _rounded(
                np.median([f.norms for f in flows if (f.activation, f.scheme) == (activation, scheme)], axis=0)
            )
            for activation, scheme in names
        },
        "vanishing below": VANISHING_BELOW,
        "exploding above": EXPLODING_ABOVE,
    }


def _rounded(values: Array) -> list[float]:
    """To four digits."""
    return [float(f"{v:.4g}") for v in values]


# --- computational graphs -------------------------------------------------------------------------------------------


def computational_graphs() -> Data:
    """The nine-weight loss at the documents' point, for three samples, and their neuron at theirs."""
    x, y = housing()
    w = np.array(published("assignment.check_point.weights").value)
    loss, _ = nine_weight.forward(w, x, y)
    samples = [published("assignment.check_point.sample").value, int(np.argmin(loss)), int(np.argmax(loss))]
    weights = [Value(value, f"w{i}") for i, value in enumerate(w, start=1)]
    features = [Value(x[samples, i], f"x{i + 1}") for i in range(x.shape[1])]
    root = nine_weight_values.nine_weight(weights, features, Value(y[samples], "y"))
    root.label = "loss"
    notes = ["the documents' sample", "the smallest loss", "the largest loss"]
    return {
        "nine_weight": _graph(root, [f"{s} ({note})" for s, note in zip(samples, notes, strict=True)]),
        "neuron": _graph(_neuron(), ["the documents' point"]),
    }


def _neuron() -> Value:
    names = ("x1", "x2", "w1", "w2", "b")
    x1, x2, w1, w2, b = (Value(published(f"value_class.neuron.{name}").value, name) for name in names)
    n = x1 * w1 + x2 * w2 + b
    n.label = "n"
    o = n.tanh()
    o.label = "o"
    return o


def _graph(root: Value, samples: list[str]) -> Data:
    """Nodes in topological order; `data` and `grad` have an entry for each sample."""
    root.backward()
    nodes = topological(root)
    numbers = {node: i for i, node in enumerate(nodes)}
    return {
        "samples": samples,
        "nodes": [
            {
                "label": node.label,
                "op": node.op,
                "operands": [numbers[child] for child in node.children],
                "data": _rounded(np.broadcast_to(node.data, len(samples))),
                "grad": _rounded(np.broadcast_to(node.grad, len(samples))),
            }
            for node in nodes
        ],
    }
