"""The hand-written derivatives and update rules of manual/ as subjects of their mutants, and the judgement on a mutant.

A gradient's mutant is put where the original is, the whole subject runs with it, and three things are asked: are its
floats those of the certified gradient, up to rounding? does `oracles.check` refuse it? does it behave: a first call
elsewhere, then two on the same cache, with the arguments left alone? A rule's mutant is compared with torch.optim,
step by step. Only what survives all that is compared with the original itself.
"""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from types import CellType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from manual import chain_rule, logistic, mlp, nine_weight, nine_weight_stable, nine_weight_values, optimizers
from manual import scalar_engine, tiny_network
from manual.scalar_engine import Value
from oracles import torch_optim
from oracles.agreement import compare
from oracles.certificate import certify_trial
from oracles.checking import examine
from oracles.errors import NotCertifiableError, UndecidedComparisonError
from oracles.mutation import Mutant, mutants
from oracles.mutation_equivalence import Evidence, equivalent
from oracles.rounding import rounding_radii
from oracles.trial import Trial, loss_trial
from reference.datasets import housing, moons
from tests.gate.configurations import CONFIGURATIONS, Configuration
from tests.gate.trajectories import Steps, step_radii, steps

Array = np.ndarray[Any, Any]
Arguments = tuple[Array, ...]
CLEARLY = 2.0**10
"""So many times what rounding explains is an error, however a right formula may be written."""


class Refused(Enum):
    """By what a mutant is refused first."""

    CRASH = "crash"
    SHAPE = "shape"
    FLOATS = "floats"
    CONDUCT = "conduct"
    CERTIFICATE = "certificate"
    LOCKSTEP = "lockstep"


Judgement = Refused | Evidence | None
"""Why a mutant is refused, or why it is none; None for a survivor."""


# --- putting a mutant in place --------------------------------------------------------------------------------------


@contextmanager
def standing_in(function: FunctionType, mutant: FunctionType) -> Iterator[None]:
    """Whoever calls `function` meanwhile runs the mutant. Both have the same closure variables."""
    before = function.__code__, function.__kwdefaults__
    function.__code__, function.__kwdefaults__ = mutant.__code__, mutant.__kwdefaults__
    try:
        yield
    finally:
        function.__code__, function.__kwdefaults__ = before


def rebound(mutant: FunctionType, original: FunctionType) -> FunctionType:
    """The mutant with the closure of another function that has the original's text."""
    cells = dict(zip(original.__code__.co_freevars, original.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in mutant.__code__.co_freevars)
    made = FunctionType(mutant.__code__, mutant.__globals__, mutant.__name__, mutant.__defaults__, closure)
    made.__kwdefaults__ = copy.deepcopy(mutant.__kwdefaults__)
    return made


def written_out(function: FunctionType) -> FunctionType:
    """A function as it is, and a lambda as the def that it abbreviates: only that can be mutated."""
    code = function.__code__
    if code.co_name != "<lambda>":
        return function
    places = [place for place in code.co_positions() if place[2]]  # the entry has column 0
    (line, _, start, _), end = min(places, key=lambda p: p[2] or 0), max(p[3] or 0 for p in places)
    body = linecache.getline(code.co_filename, line or 0)[start:end]
    name = f"lambda_of_line_{line}"
    text = f"def {name}({', '.join(code.co_varnames[: code.co_argcount])}):\n    return {body}\n"
    return _compiled(text, name, function)


def _compiled(text: str, name: str, origin: FunctionType) -> FunctionType:
    """A function of a module whose source is this text."""
    filename = f"<{name} of {origin.__module__}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    found: dict[str, Any] = {}
    exec(compile(text, filename, "exec", dont_inherit=True), origin.__globals__, found)
    made: FunctionType = found[name]
    return made


# --- gradients ------------------------------------------------------------------------------------------------------


class Truth(NamedTuple):
    """What the original is at a point: certified, and rounded to float64, with what rounding may do to each entry."""

    value: Array
    gradient: Array
    value_radius: Array
    gradient_radius: Array


@dataclass(frozen=True)
class Gradient:
    """A hand-written gradient in two passes, the functions that take part in it, and the points where it is tried."""

    id: str
    forward: Callable[..., tuple[Any, Any]]
    """forward(*arguments) -> (losses, cache)."""
    backward: Callable[..., Any]
    """backward(cache, *arguments) -> their gradient with respect to the first argument."""
    functions: tuple[FunctionType, ...]
    elsewhere: Arguments
    """Where each mutant is called first: what it remembers of that is wrong everywhere else."""
    point: Arguments
    """Where it is judged."""
    edges: tuple[Arguments, ...] = ()
    """Where floats alone are judged, against the original's: kinks, and the ends of the range."""
    beyond: tuple[Arguments, ...] = ()
    """More points, for evidence that a mutant is none."""

    def loss(self, *args: Any) -> Any:
        return self.forward(*args)[0]

    def gradient(self, *args: Any) -> Any:
        """The second answer of two from the same cache: a right backward leaves its cache as it was."""
        cache = self.forward(*args)[1]
        self.backward(cache, *args)
        return self.backward(cache, *args)

    def trial(self, args: Arguments) -> Trial:
        return loss_trial(self.loss, self.gradient, args, 0)

    @cached_property
    def truth(self) -> Truth:
        """Raises AssertionError if the original is not certified."""
        certificate = certify_trial(lambda: self.trial(self.point))
        assert certificate.ok, f"{self.id}: {certificate}"
        radii = rounding_radii(self.trial(self.point))
        claimed = certificate.claimed[0]._a
        exact = np.array([float(ball.mid()) for ball in claimed.ravel()]).reshape(claimed.shape)
        return Truth(radii.midpoint, exact, 2 * radii.value, radii.gradients[0] + np.abs(exact) * 2.0**-53)

    @cached_property
    def edge_truths(self) -> list[Truth]:
        """The original's floats; what it computes where is another test's business."""
        found = []
        for args in self.edges:
            with np.errstate(all="ignore"):
                value, gradient = np.asarray(self.loss(*args)), np.asarray(self.gradient(*args))
            found.append(Truth(value, gradient, 2.0**-48 * np.abs(value), 2.0**-48 * np.abs(gradient)))
        return found

    def mutants(self) -> Iterator[tuple[FunctionType, Mutant]]:
        """Each mutant with the function that it stands in for."""
        return ((function, mutant) for function in self.functions for mutant in mutants(written_out(function)))

    def judged(self, function: FunctionType, mutant: Mutant) -> Judgement:
        made = mutant.build()
        with standing_in(function, made):
            refused = self._refused()
        return refused or self.equivalent(function, mutant.build())

    def _refused(self) -> Refused | None:
        try:
            with np.errstate(all="ignore"):
                self.gradient(*copies(self.elsewhere))
                pairs = zip((self.point, *self.edges), (self.truth, *self.edge_truths), strict=True)
                found = [self._refused_in_floats(args, truth) for args, truth in pairs]
        except Exception:  # of any kind: a mutant may raise whatever it likes
            return Refused.CRASH
        if any(found):
            return next(filter(None, found))
        verdict = examine(lambda given: self.trial(tuple(given)), self.point, self.id, 0)
        return Refused.CERTIFICATE if verdict.wrong or not self._agrees() else None

    def _refused_in_floats(self, args: Arguments, truth: Truth) -> Refused | None:
        """Whether anything is off by much more than rounding, or a call leaves traces."""
        given = copies(args)
        value, cache = self.forward(*given)
        first = self.backward(cache, *given)
        if np.shape(first) != truth.gradient.shape or np.result_type(first) != np.float64:
            return Refused.SHAPE
        first = np.array(first)
        pairs = ((value, truth.value, truth.value_radius), (first, truth.gradient, truth.gradient_radius))
        if not all(compare(np.asarray(a), b, CLEARLY * radius).agrees for a, b, radius in pairs):
            return Refused.FLOATS
        again = self.backward(cache, *given)
        left_alone = all(same_bits(a, b) for a, b in zip(given, args, strict=True))
        return None if left_alone and same_bits(again, first) else Refused.CONDUCT

    def _agrees(self) -> bool:
        """Whether the floats are those of the truth up to rounding, as this formula rounds."""
        with np.errstate(all="ignore"):
            value, gradient = np.asarray(self.loss(*self.point)), np.asarray(self.gradient(*self.point))
        try:
            own = rounding_radii(self.trial(self.point))
        except (NotCertifiableError, UndecidedComparisonError):
            return False
        pairs = (
            (value, self.truth.value, self.truth.value_radius + own.value),
            (gradient, self.truth.gradient, self.truth.gradient_radius + own.gradients[0]),
        )
        return all(compare(*pair).agrees for pair in pairs)

    def equivalent(self, function: FunctionType, made: FunctionType) -> Evidence | None:
        """Evidence from loss and gradient at all points, those beyond included."""

        def original(*args: Any) -> tuple[Any, Any]:
            return self.loss(*args), self.gradient(*args)

        def mutant(*args: Any) -> tuple[Any, Any]:
            with standing_in(function, made):
                return self.loss(*args), self.gradient(*args)

        return equivalent(original, mutant, [self.elsewhere, self.point, *self.edges, *self.beyond])


def copies(args: Arguments) -> Arguments:
    return tuple(a.copy() for a in args)


def same_bits(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


# --- the gradients of manual/ ---------------------------------------------------------------------------------------

SAMPLES = 4


def draw(seed: int, scale: float, *shape: int) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0.0, scale, shape)


def _nine_weight(id: str, module: Any, functions: Sequence[Any], *edges: float) -> Gradient:
    x, y = (array[:SAMPLES] for array in housing())

    def at(seed: int, scale: float) -> Arguments:
        return draw(seed, scale, SAMPLES, 9), x, y

    return Gradient(
        id,
        module.forward,
        lambda cache, w, x, y: module.backward(w, x, cache),
        tuple(functions),
        at(0, 1.0),
        at(1, 1.0),
        tuple(at(2, scale) for scale in edges),
        tuple(at(seed, scale) for seed, scale in ((3, 0.1), (4, 1.0), (5, 3.0))),
    )


def _example(example: chain_rule.Example) -> Gradient:
    """With the derivative by every node: the inputs, and a number added to each inner one."""
    moved, nodes = with_moves(example.forward)
    leaves = [*example.variables, *example.constants]
    names = [*leaves, *nodes]

    def forward(w: Array) -> tuple[Any, Any]:
        columns = [w[..., i] for i in range(len(names))]
        value, cache = moved(*columns[: len(leaves)], dict(zip(nodes, columns[len(leaves) :], strict=True)))
        return value, cache

    def backward(cache: Any, w: Array) -> Array:
        gradients = example.backward(cache)
        return np.stack([gradients[name] for name in names], axis=-1)

    def at(seed: int, scale: float) -> Arguments:
        w = draw(seed, scale, SAMPLES, len(names))
        w[:, len(leaves) :] = 0.0
        return (w,)

    beyond = tuple(at(seed, scale) for seed, scale in ((3, 0.1), (4, 3.0)))
    functions: Any = (example.backward,)
    return Gradient(example.id, forward, backward, functions, at(0, 1.0), at(1, 1.0), (), beyond)


def with_moves(forward: Callable[..., Any]) -> tuple[FunctionType, list[str]]:
    """A forward that takes a dict of moves as its last argument and adds to each node what is there, and the nodes."""
    function: Any = forward
    (definition,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(definition, ast.FunctionDef)
    steps = [statement for statement in definition.body if isinstance(statement, ast.Assign)]
    nodes = [ast.unparse(statement.targets[0]) for statement in steps]
    for node, statement in zip(nodes, steps, strict=True):
        statement.value = ast.BinOp(statement.value, ast.Add(), ast.parse(f"moves[{node!r}]", mode="eval").body)
    definition.args.args.append(ast.arg("moves"))
    definition.name = f"moved_{definition.name}"
    return _compiled(ast.unparse(ast.fix_missing_locations(definition)) + "\n", definition.name, function), nodes


def _tiny(id: str, gradient: Callable[..., Any], loss: Callable[..., Any], slope: Any, functions: Any) -> Gradient:
    """The 1-1-1 network. Targets between 0 and 1 too: at 0 and 1 a square is the number itself."""
    x, y = np.array([0.0, 1.0, 2.0, 3.0, -1.5, 0.5]), np.array([0.0, 1.0, 0.25, 0.75, 0.5, 1.0])

    def forward(theta: Array, x: Array, y: Array) -> tuple[Any, Any]:
        return loss(theta, x, y), tiny_network.forward(theta, x, y)[1]

    def backward(cache: Any, theta: Array, x: Array, y: Array) -> Array:
        return tiny_network.backward(theta, x, y, cache, slope)

    def at(seed: int, scale: float, b1: float | None = None) -> Arguments:
        theta = draw(seed, scale, len(x), 4)
        theta[:, 0] = np.abs(theta[:, 0]) * np.sign(x + 0.25)  # z1 above 0 nearly everywhere
        if b1 is not None:
            theta[:, 1] = b1
        return theta, x, y

    kink = at(2, 1.0, 0.0)
    beyond = (at(3, 0.1), at(4, 3.0), at(5, 10.0))
    return Gradient(id, forward, backward, functions, at(0, 1.0), at(1, 3.0), (kink,), beyond)


def _network(activation: str, criterion: str, functions: Sequence[Any]) -> Gradient:
    """Layers that are square and such that are not, two outputs, and an edge with units at the kink."""
    net = mlp.MLP((2, 3, 3, 2), activation, criterion)
    X = moons().X_train[:, :SAMPLES]
    y = np.array([[0.0, 1.0, 0.25, 1.0], [1.0, 0.0, 0.5, 0.75]])

    def at(seed: int, scale: float) -> Arguments:
        return draw(seed, scale, net.parameters), X, y

    kink = at(2, 1.0)
    kink[0][[0, 1, 6]] = 0.0  # the first hidden unit
    return Gradient(
        f"mlp_{activation}_{criterion}",
        net.forward,
        lambda cache, theta, X, y: net.backward(theta, y, cache),
        tuple(functions),
        at(0, 1.0),
        at(1, 1.0),
        (kink,),
        (at(3, 0.1), at(4, 3.0)),
    )


def _engine(
    id: str,
    graph: Callable[..., Value],
    functions: Sequence[Any],
    *,
    positive: bool = False,
    edges: Sequence[Sequence[float]] = (),
    nodes: int = 2,
) -> Gradient:
    """A graph of Values over the last axis of w. Two calls of `backward` add up, and `zero_grad` forgets them."""

    def forward(w: Array) -> tuple[Any, Any]:
        leaves = [Value(w[..., i]) for i in range(nodes)]
        root = graph(*leaves)
        return root.data, (root, leaves)

    def backward(cache: Any, w: Array) -> Array:
        root, leaves = cache
        root.zero_grad()
        root.backward()
        root.backward()
        return np.stack([leaf.grad + 0 * w[..., 0] for leaf in leaves], axis=-1) / 2

    def at(seed: int, scale: float) -> Arguments:
        w = draw(seed, scale, SAMPLES, nodes)
        return (np.abs(w) if positive else w,)

    ends = tuple((np.array(rows, dtype=np.float64),) for rows in ([edges] if edges else []))
    beyond = (at(3, 0.1), at(4, 3.0))
    return Gradient(f"engine_{id}", forward, backward, tuple(functions), at(0, 1.0), at(1, 1.0), ends, beyond)


def _slope(table: Any, name: str) -> Any:
    return table[name].slope


_nodes: Any = vars(Value)["children"].fget
GRADIENTS = [
    _nine_weight("nine_weight", nine_weight, [nine_weight.backward]),
    _nine_weight(
        "nine_weight_stable", nine_weight_stable, [nine_weight_stable.backward, nine_weight_stable._sech], 30.0, 300.0
    ),
    *map(_example, chain_rule.EXAMPLES),
    _tiny(
        "tiny_network",
        tiny_network.gradient,
        tiny_network.loss,
        logistic.cross_entropy_slope,
        (tiny_network.backward, logistic.cross_entropy_slope, logistic.sigmoid),
    ),
    _tiny(
        "tiny_network_clipped",
        tiny_network.clipped_gradient,
        tiny_network.clipped_loss,
        logistic.clipped_slope,
        (logistic.clipped_slope,),
    ),
    _network("tanh", "cross_entropy", [mlp.MLP.backward, _slope(mlp.ACTIVATIONS, "tanh"), mlp.pack, mlp.unpack]),
    _network("relu", "cross_entropy", [_slope(mlp.ACTIVATIONS, "relu")]),
    _network("sigmoid", "mse", [_slope(mlp.ACTIVATIONS, "sigmoid"), _slope(mlp.CRITERIA, "mse")]),
    _engine("sum", lambda a, b: a + b, [Value.__add__]),
    _engine("radd", lambda a, b: 2.5 + a + b, [Value.__radd__]),
    _engine("difference", lambda a, b: a - b, [Value.__sub__]),
    _engine("rsub", lambda a, b: 2.5 - a, [Value.__rsub__]),
    _engine("product", lambda a, b: a * b, [Value.__mul__]),
    _engine("rmul", lambda a, b: 2.5 * a, [Value.__rmul__]),
    _engine("quotient", lambda a, b: a / b, [Value.__truediv__]),
    _engine("rtruediv", lambda a, b: 0.1 / a, [Value.__rtruediv__]),
    _engine("negative", lambda a, b: -a, [Value.__neg__]),
    _engine(
        "power",
        lambda a, b: a**b + a**0.7 + a**3 + a**0 + a**-2,
        [Value.__pow__],
        positive=True,
    ),
    _engine("rpow", lambda a, b: 0.3**a, [Value.__rpow__]),
    _engine("exp", lambda a, b: a.exp(), [Value.exp]),
    _engine("log", lambda a, b: a.log(), [Value.log], positive=True),
    _engine("sin", lambda a, b: a.sin(), [Value.sin]),
    _engine("cos", lambda a, b: a.cos(), [Value.cos]),
    _engine("tanh", lambda a, b: a.tanh(), [Value.tanh], edges=[(800.0, 0.0), (-800.0, 0.0)]),
    _engine("sigmoid", lambda a, b: a.sigmoid(), [Value.sigmoid], edges=[(800.0, 0.0), (-800.0, 0.0)]),
    _engine("relu", lambda a, b: a.relu(), [Value.relu], edges=[(0.0, 0.0)]),
    _engine(
        "chain",
        lambda a, b: (a * b + a.sin()) * (b + 2) * a,
        [Value.backward, Value.zero_grad, scalar_engine.topological, scalar_engine.as_value, _nodes],
    ),
]
