"""The hand-written derivatives and update rules of manual/ as subjects of their mutants, and the judgement on a mutant.

A mutant of a derivative stands in for the original, the whole subject runs with it, and four things are asked, the
quick ones first: are its floats those of the certified gradient, up to rounding? does a second call on the same cache
repeat them, after a first one elsewhere, and leave its arguments alone? does the certificate hold? do the floats follow
as closely as this formula rounds? A mutant of an update rule is compared with torch.optim, step by step. What survives
that is compared with the original itself: it may be none.
"""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, cached_property
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from manual import (
    chain_rule,
    logistic,
    mlp,
    nine_weight,
    nine_weight_stable,
    optimizers,
    scalar_engine,
    tiny_network,
)
from manual.scalar_engine import Value
from oracles import torch_optim
from oracles.agreement import compare
from oracles.certificate import Ruling, certify_trial
from oracles.mutation import Mutant, mutants
from oracles.mutation_equivalence import Evidence, equivalent
from oracles.rounding import rounding_radii
from oracles.tree import leaves
from oracles.trial import Trial, loss_trial
from reference.datasets import housing, moons
from tests.gate.configurations import CONFIGURATIONS, Configuration
from tests.gate.trajectories import Steps, step_radii, steps

Array = np.ndarray[Any, Any]
Arguments = tuple[Array, ...]
CLEARLY = 16.0
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
    made.__kwdefaults__ = mutant.__kwdefaults__
    return made


def written_out(function: FunctionType) -> FunctionType:
    """A function as it is, and a lambda as the def that it abbreviates: only that can be mutated."""
    code = function.__code__
    if code.co_name != "<lambda>":
        return function
    body = [place for place in code.co_positions() if place[2]]  # the entry has column 0
    start, end = min(place[2] or 0 for place in body), max(place[3] or 0 for place in body)
    text = linecache.getline(code.co_filename, code.co_firstlineno)[start:end]
    arguments = ", ".join(code.co_varnames[: code.co_argcount])
    return _compiled(f"def {name_of(function)}({arguments}):\n    return {text}\n", name_of(function), function)


def name_of(function: FunctionType) -> str:
    """What the ids of its mutants begin with."""
    if function.__name__ != "<lambda>":
        return function.__qualname__
    return f"lambda_{'_'.join(function.__code__.co_varnames)}_{function.__code__.co_firstlineno}"


def _compiled(text: str, name: str, origin: FunctionType) -> FunctionType:
    """A function of this name and source, among the globals of another."""
    filename = f"<{name} of {origin.__module__}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    found: dict[str, Any] = {}
    exec(compile(text, filename, "exec", dont_inherit=True), origin.__globals__, found)
    made: FunctionType = found[name]
    return made


# --- gradients ------------------------------------------------------------------------------------------------------

SAMPLES = 4


class Truth(NamedTuple):
    """What loss and gradient are at a point, and how far floats may be off."""

    value: Array
    gradient: Array
    value_radius: Array
    gradient_radius: Array


@dataclass(frozen=True)
class Gradient:
    """A hand-written gradient in two passes, and the points where it is tried."""

    forward: Callable[..., tuple[Any, Any]]
    """forward(*arguments) -> (losses, cache)."""
    backward: Callable[..., Any]
    """backward(cache, *arguments) -> their gradient with respect to the first argument."""
    at: Callable[[int, float, int], Arguments]
    """at(seed, scale, samples): the arguments of one draw, in memory of their own."""
    scale: float = 1.0
    edges: tuple[Arguments, ...] = ()
    """Where floats alone are judged, against the original's: kinks, and the ends of the range."""
    promised_digits: float = 0.0
    """That its floats keep, if that is more than is known of how they round."""

    @property
    def elsewhere(self) -> Arguments:
        """Where each mutant is called first: what it remembers of that is wrong everywhere else."""
        return self.at(0, 1.0, SAMPLES)

    @property
    def point(self) -> Arguments:
        """Where it is judged."""
        return self.at(1, self.scale, SAMPLES)

    @property
    def points(self) -> list[Arguments]:
        """Where its floats are judged: at another number of samples too, which shows a shape that is remembered."""
        return [self.point, self.at(2, self.scale, SAMPLES + 1)]

    @property
    def beyond(self) -> list[Arguments]:
        """More points, for evidence that a mutant is none."""
        return [self.at(seed, scale, SAMPLES) for seed, scale in ((3, 0.1), (4, 1.0), (5, 3.0))]

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
    def truths(self) -> list[tuple[Arguments, Truth]]:
        """Points and edges, and what is true there. Raises AssertionError if the original is not certified."""
        certified = [(args, self._certified(args)) for args in self.points]
        return [*certified, *((edge, self._in_floats(edge)) for edge in self.edges)]

    def _certified(self, args: Arguments) -> Truth:
        certificate = certify_trial(lambda: self.trial(args))
        assert certificate.ok, str(certificate)
        radii = rounding_radii(self.trial(args))
        claimed = certificate.claimed[0]._a
        exact = np.array([float(ball.mid()) for ball in claimed.ravel()]).reshape(claimed.shape)
        radius = np.minimum(radii.gradients[0] + np.abs(exact) * 2.0**-53, self._promised(exact))
        return Truth(radii.midpoint, exact, 2 * radii.value, radius)

    def _in_floats(self, args: Arguments) -> Truth:
        """What the original computes; whether that is right is another test's business."""
        with np.errstate(all="ignore"):
            value, gradient = np.asarray(self.loss(*args)), np.asarray(self.gradient(*args))
        return Truth(value, gradient, 2.0**-48 * np.abs(value), 2.0**-48 * np.abs(gradient))

    def _promised(self, gradient: Array) -> Array:
        """How far the floats may be off by the subject's own promise."""
        relative = 10.0**-self.promised_digits if self.promised_digits else np.inf
        return np.where(gradient == 0, np.inf, np.abs(gradient)) * relative

    def refused_in_floats(self, truths: Sequence[tuple[Arguments, Truth]]) -> Refused | None:
        """Whether floats are off by much more than rounding, or a call leaves traces."""
        try:
            with np.errstate(all="ignore"):
                self.gradient(*copies(self.elsewhere))
                return next(filter(None, (self._refused_at(args, truth) for args, truth in truths)), None)
        except Exception:  # of any kind: a mutant may raise whatever it likes
            return Refused.CRASH

    def _refused_at(self, args: Arguments, truth: Truth) -> Refused | None:
        given = copies(args)
        value, cache = self.forward(*given)
        saved = [np.array(leaf) for _, leaf in leaves(cache)]
        answer = self.backward(cache, *given)
        if np.shape(answer) != truth.gradient.shape or np.result_type(answer) != np.float64:
            return Refused.SHAPE
        first = np.array(answer)
        right = compare(first, truth.gradient, CLEARLY * truth.gradient_radius).agrees
        if not right or not compare(np.asarray(value), truth.value, CLEARLY * truth.value_radius).agrees:
            return Refused.FLOATS
        again = self.backward(cache, *given)
        left = (*given, *(leaf for _, leaf in leaves(cache)), again)
        return None if same_bits(left, (*args, *saved, first)) else Refused.CONDUCT

    def refused_by_proof(self, truths: Sequence[tuple[Arguments, Truth]]) -> Refused | None:
        """Whether the certificate, or what this formula itself may round, says that it is wrong."""
        if certify_trial(lambda: self.trial(self.point)).ruling is Ruling.WRONG:
            return Refused.CERTIFICATE
        args, truth = truths[0]
        with np.errstate(all="ignore"):
            value, gradient = (np.asarray(f(*copies(args))) for f in (self.loss, self.gradient))
        try:
            own, (ours,), _ = rounding_radii(self.trial(args))
        except Exception:  # of any kind: what balls cannot run gets no allowance of its own
            own, ours = np.zeros(value.shape), np.zeros(gradient.shape)
        allowed = np.minimum(truth.gradient_radius + ours, self._promised(truth.gradient))
        right = compare(gradient, truth.gradient, allowed).agrees
        return None if right and compare(value, truth.value, truth.value_radius + own).agrees else Refused.FLOATS

    def equivalent(self, function: FunctionType, made: FunctionType) -> Evidence | None:
        """Evidence from loss and gradient at all points, those beyond included."""

        def original(*args: Any) -> tuple[Any, Any]:
            return self.loss(*args), self.gradient(*args)

        def mutant(*args: Any) -> tuple[Any, Any]:
            with standing_in(function, made):
                return self.loss(*args), self.gradient(*args)

        return equivalent(original, mutant, [self.elsewhere, *self.points, *self.edges, *self.beyond])


@dataclass(frozen=True)
class Derivation:
    """Functions of manual/ and the gradients that they take part in."""

    id: str
    functions: tuple[FunctionType, ...]
    gradients: tuple[Gradient, ...]

    def mutants(self) -> Iterator[Mutant]:
        return (mutant for function in self.functions for mutant in mutants(written_out(function)))

    def original(self, mutant: Mutant) -> FunctionType:
        return next(f for f in self.functions if mutant.id.startswith(f"{name_of(f)}:"))

    def judged(self, mutant: Mutant) -> Judgement:
        """Refused in the first gradient that refuses it, or equivalent in all of them."""
        function, made = self.original(mutant), mutant.build()
        truths = [gradient.truths for gradient in self.gradients]  # of the original, before anything stands in for it
        with standing_in(function, made):
            for refused in (Gradient.refused_in_floats, Gradient.refused_by_proof):
                for gradient, truth in zip(self.gradients, truths, strict=True):
                    if reason := refused(gradient, truth):
                        return reason
        evidence = [gradient.equivalent(function, mutant.build()) for gradient in self.gradients]
        return evidence[0] if all(evidence) else None


def copies(args: Arguments) -> Arguments:
    return tuple(a.copy() for a in args)


def same_bits(a: Any, b: Any) -> bool:
    """Equal bit for bit, but for the sign and payload of NaN; tuples part by part."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


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
    return _compiled(ast.unparse(ast.fix_missing_locations(definition)) + "\n", definition.name, function), nodes


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
                promised_digits=11,
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

AT = (*range(8), 30, 99, 100, 101, 102, 103, 250, 505)
"""Steps of the first epoch: RAdam begins to adapt in the sixth, ASGD to average after the hundredth."""


class Course(NamedTuple):
    """Some steps of a rule by hand: what goes into each, what torch.optim makes of it, and what rounding explains."""

    given: list[tuple[Array, Any, Array]]
    expected: dict[str, Array]
    """The params, and what torch keeps of the state: an array for each, the steps in front."""
    radii: dict[str, Array]

    def seen(self, update: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
        """An update that returns only what is compared, by name, and the step count."""

        def compared(gradient: Array, state: Any, params: Array) -> dict[str, Any]:
            moved, new = update(gradient, state, params)
            found = {"params": moved, **new._asdict()}
            return {"step": int(new.step), **{name: found[name] for name in self.expected}}

        return compared

    def refused(self, update: Callable[..., Any], margin: float) -> Refused | None:
        """Whether a rule departs from torch by more than rounding explains, so many times over, or leaves traces."""
        rows = []
        try:
            with np.errstate(all="ignore"):
                for given in self.given:
                    mine = copy.deepcopy(given)
                    result = update(*mine)
                    saved = copy.deepcopy(result)
                    if not (same_bits(update(*mine), saved) and same_bits(mine, given)):
                        return Refused.CONDUCT
                    if type(saved[1]) is not type(given[1]) or saved[1].step != given[1].step + 1:
                        return Refused.LOCKSTEP
                    rows.append({"params": saved[0], **saved[1]._asdict()})
                found = {name: np.array([row[name] for row in rows]) for name in self.expected}
        except Exception:  # of any kind: a mutant may raise whatever it likes
            return Refused.CRASH
        if any(array.shape != self.expected[name].shape for name, array in found.items()):
            return Refused.SHAPE
        agree = (compare(a, self.expected[name], margin * self.radii[name]).agrees for name, a in found.items())
        return None if all(agree) else Refused.LOCKSTEP


@cache
def course(configuration: Configuration) -> Course:
    """Raises AssertionError if the rule itself departs from torch."""
    whole, rows = steps(configuration, 0), [*AT]
    taken = Steps(
        whole.gradients[rows],
        whole.params[rows],
        {name: values[rows] for name, values in whole.states.items()},
        whole.moved[rows],
        {name: values[rows] for name, values in whole.new_states.items()},
    )
    state: Any = type(configuration.optimizer.init(taken.params[0]))
    given = [
        (gradient, state(**{n: int(v[i]) if n == "step" else v[i] for n, v in taken.states.items()}), params)
        for i, (gradient, params) in enumerate(zip(taken.gradients, taken.params, strict=True))
    ]
    moved, kept = torch_optim.updates(
        configuration.rule, configuration.hyperparameters, taken.gradients, taken.states, taken.params
    )
    radii = {name: 2 * radius for name, radius in step_radii(configuration, taken).items()}  # both sides round
    made = Course(given, {"params": moved, **kept}, radii)
    assert made.refused(configuration.optimizer.update, 1.0) is None, configuration.id
    return made


@dataclass(frozen=True)
class Rule:
    """An update rule with the configurations in which it is tried, and the functions that it is made of."""

    id: str
    configurations: tuple[Configuration, ...]
    functions: tuple[str, ...] = ("update",)
    """`update`, names in its closure, and names in the module."""

    def mutants(self) -> Iterator[Mutant]:
        return (mutant for name in self.functions for mutant in mutants(self._function(name)))

    def _function(self, name: str) -> FunctionType:
        update: Any = self.configurations[0].optimizer.update
        known = {"update": update, **vars(optimizers), **inspect.getclosurevars(update).nonlocals}
        function: FunctionType = known[name]
        return function

    def judged(self, mutant: Mutant) -> Judgement:
        """Refused in the first configuration that refuses it, or equivalent in all of them."""
        for configuration in self.configurations:
            if reason := course(configuration).refused(self._mutated(configuration, mutant), CLEARLY):
                return reason
        evidence = [self._equivalent(configuration, mutant) for configuration in self.configurations]
        if all(evidence):
            return evidence[0]
        closely = (course(c).refused(self._mutated(c, mutant), 1.0) for c in self.configurations)
        return next(filter(None, closely), None)

    def _equivalent(self, configuration: Configuration, mutant: Mutant) -> Evidence | None:
        """Evidence from what torch has too; the rest of a state is nobody's business unless a later step reads it."""
        seen, given = course(configuration).seen, course(configuration).given
        return equivalent(seen(configuration.optimizer.update), seen(self._mutated(configuration, mutant)), given)

    def _mutated(self, configuration: Configuration, mutant: Mutant) -> Callable[..., Any]:
        """The update rule with a new mutant in the place of itself, of a function in its closure or in the module."""
        update: Any = configuration.optimizer.update  # made anew for each caller
        cells = dict(zip(update.__code__.co_freevars, update.__closure__ or (), strict=True))
        name, made = mutant.id.split(":")[0].rpartition(".")[2], mutant.build()
        if name == "update":
            return rebound(made, update)
        if name in cells:
            cells[name].cell_contents = rebound(made, cells[name].cell_contents)
            return update  # type: ignore[no-any-return]
        original: FunctionType = getattr(optimizers, name)

        def with_mutant(*args: Any) -> Any:
            with standing_in(original, made):
                return update(*args)

        return with_mutant


def _more(rule: str, variant: str, **settings: float | bool) -> Configuration:
    return Configuration(f"{rule}-{variant}", rule, tuple(settings.items()), frameworks=("torch_optim",))


MORE = [
    _more("sgd", "dampening-alone", learning_rate=0.02, dampening=0.5),
    _more("sgd", "decay-of-1", learning_rate=0.02, weight_decay=1.0),
    _more("sgd", "maximize", learning_rate=0.001, maximize=True),
    _more("asgd", "averaging-at-once", learning_rate=1.0, decay=0.0, start=-10.0),
    _more("rprop", "maximize", learning_rate=1e-5, largest=1e-4, maximize=True),
    _more("radam", "short-memory", beta2=0.81),
    _more("nadam", "fast-fading", learning_rate=1.0, momentum_decay=12.0),
]
"""Mutants that the gate's own configurations cannot tell from the original need these."""


def _rows(*rules: str) -> tuple[Configuration, ...]:
    return tuple(row for row in [*CONFIGURATIONS, *MORE] if row.rule in rules)


RULES = [
    *(Rule(rule, _rows(rule)) for rule in ("vanilla", "momentum", "averaged_momentum", "sgd", "adagrad", "adadelta")),
    *(Rule(rule, _rows(rule)) for rule in ("rmsprop", "amsgrad", "adamax", "radam", "asgd", "rprop")),
    Rule("adam", _rows("adam", "adamw")),
    Rule("nadam", _rows("nadam"), ("update", "mu")),
    Rule("_coupled", _rows("sgd"), ("_coupled",)),
    Rule("_decayed", _rows("adam"), ("_decayed",)),
    Rule("_moments", _rows("adam"), ("_moments",)),
]
