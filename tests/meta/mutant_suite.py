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
from functools import cache, cached_property
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from manual import chain_rule, logistic, mlp, nine_weight, nine_weight_stable, nine_weight_values, optimizers
from manual import scalar_engine, tiny_network
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
    name = name_of(function)
    text = f"def {name}({', '.join(code.co_varnames[: code.co_argcount])}):\n    return {body}\n"
    return _compiled(text, name, function)


def name_of(function: FunctionType) -> str:
    """What its mutants' ids begin with."""
    code = function.__code__
    return f"lambda_of_line_{code.co_firstlineno}" if code.co_name == "<lambda>" else function.__qualname__


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
    """A hand-written gradient in two passes, and the points where it is tried."""

    id: str
    forward: Callable[..., tuple[Any, Any]]
    """forward(*arguments) -> (losses, cache)."""
    backward: Callable[..., Any]
    """backward(cache, *arguments) -> their gradient with respect to the first argument."""
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
    def truths(self) -> list[tuple[Arguments, Truth]]:
        """Point and edges, and what is true there. Raises AssertionError if the original is not certified."""
        certificate = certify_trial(lambda: self.trial(self.point))
        assert certificate.ok, f"{self.id}: {certificate}"
        radii = rounding_radii(self.trial(self.point))
        claimed = certificate.claimed[0]._a
        exact = np.array([float(ball.mid()) for ball in claimed.ravel()]).reshape(claimed.shape)
        truth = Truth(radii.midpoint, exact, 2 * radii.value, radii.gradients[0] + np.abs(exact) * 2.0**-53)
        return [(self.point, truth), *((edge, self._in_floats(edge)) for edge in self.edges)]

    def _in_floats(self, args: Arguments) -> Truth:
        """What the original computes; whether that is right is another test's business."""
        with np.errstate(all="ignore"):
            value, gradient = np.asarray(self.loss(*args)), np.asarray(self.gradient(*args))
        return Truth(value, gradient, 2.0**-48 * np.abs(value), 2.0**-48 * np.abs(gradient))

    def refuses(self, function: FunctionType, mutant: FunctionType) -> Refused | None:
        """Why a mutant is refused in the place of one of the functions that take part; None if it is not."""
        truths = self.truths  # of the original, before anything stands in for it
        with standing_in(function, mutant):
            return self._refused(truths)

    def _refused(self, truths: Sequence[tuple[Arguments, Truth]]) -> Refused | None:
        try:
            with np.errstate(all="ignore"):
                self.gradient(*copies(self.elsewhere))
                found = [self._refused_in_floats(args, truth) for args, truth in truths]
        except Exception:  # of any kind: a mutant may raise whatever it likes
            return Refused.CRASH
        if any(found):
            return next(filter(None, found))
        if certify_trial(lambda: self.trial(self.point)).ruling is Ruling.WRONG:
            return Refused.CERTIFICATE
        return None if self._agrees(*truths[0]) else Refused.FLOATS

    def _refused_in_floats(self, args: Arguments, truth: Truth) -> Refused | None:
        """Whether anything is off by much more than rounding, or a call leaves traces."""
        given = copies(args)
        value, cache = self.forward(*given)
        saved = [np.array(leaf) for _, leaf in leaves(cache)]
        first = self.backward(cache, *given)
        if np.shape(first) != truth.gradient.shape or np.result_type(first) != np.float64:
            return Refused.SHAPE
        first = np.array(first)
        pairs = ((value, truth.value, truth.value_radius), (first, truth.gradient, truth.gradient_radius))
        if not all(compare(np.asarray(a), b, CLEARLY * radius).agrees for a, b, radius in pairs):
            return Refused.FLOATS
        again = self.backward(cache, *given)
        before, after = [*args, *saved, first], [*given, *(leaf for _, leaf in leaves(cache)), again]
        return None if all(map(same_bits, before, after)) else Refused.CONDUCT

    def _agrees(self, args: Arguments, truth: Truth) -> bool:
        """Whether the floats are those of the truth, up to what rounding does to the original and to the mutant."""
        with np.errstate(all="ignore"):
            value, gradient = (np.asarray(f(*copies(args))) for f in (self.loss, self.gradient))
        try:
            own, (ours,), _ = rounding_radii(self.trial(args))
        except Exception:  # of any kind: what balls cannot run gets no allowance of its own
            own, ours = np.zeros(value.shape), np.zeros(gradient.shape)
        pairs = (
            (value, truth.value, truth.value_radius + own),
            (gradient, truth.gradient, truth.gradient_radius + ours),
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


@dataclass(frozen=True)
class Derivation:
    """Functions of manual/ and the gradients that they take part in."""

    id: str
    functions: tuple[FunctionType, ...]
    gradients: tuple[Gradient, ...]

    def mutants(self) -> Iterator[Mutant]:
        return (mutant for function in self.functions for mutant in mutants(written_out(function)))

    def judged(self, mutant: Mutant) -> Judgement:
        """Refused by the first gradient that refuses it, or equivalent in all of them."""
        (function,) = (f for f in self.functions if mutant.id.startswith(f"{name_of(f)}:"))
        made = mutant.build()
        refused = next(filter(None, (gradient.refuses(function, made) for gradient in self.gradients)), None)
        if refused:
            return refused
        evidence = [gradient.equivalent(function, mutant.build()) for gradient in self.gradients]
        return evidence[0] if all(evidence) else None


def copies(args: Arguments) -> Arguments:
    return tuple(a.copy() for a in args)


def same_bits(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


# --- the gradients of manual/ ---------------------------------------------------------------------------------------

SAMPLES = 4


def draw(seed: int, scale: float, *shape: int) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0.0, scale, shape)


def _nine_weight(id: str, module: Any, *edges: float) -> Gradient:
    def at(seed: int, scale: float, samples: int = SAMPLES) -> Arguments:
        x, y = (array[:samples] for array in housing())
        return draw(seed, scale, samples, 9), x, y

    return Gradient(
        id,
        module.forward,
        lambda cache, w, x, y: module.backward(w, x, cache),
        at(0, 1.0, SAMPLES + 1),
        at(1, 0.5),
        tuple(at(2, scale) for scale in edges),
        tuple(at(seed, scale) for seed, scale in ((3, 0.1), (4, 1.0), (5, 3.0))),
    )


def _example(example: chain_rule.Example) -> Gradient:
    """With the derivative by every node: the inputs, and a number added to each inner one."""
    moved, nodes = with_moves(example.forward)
    inputs = [*example.variables, *example.constants]
    names = [*inputs, *nodes]

    def forward(w: Array) -> tuple[Any, Any]:
        columns = [w[..., i] for i in range(len(names))]
        value, cache = moved(*columns[: len(inputs)], dict(zip(nodes, columns[len(inputs) :], strict=True)))
        return value, cache

    def backward(cache: Any, w: Array) -> Array:
        gradients = example.backward(cache)
        return np.stack([gradients[name] for name in names], axis=-1)

    def at(seed: int, scale: float, samples: int = SAMPLES) -> Arguments:
        w = draw(seed, scale, samples, len(names))
        w[:, len(inputs) :] = 0.0
        return (w,)

    beyond = tuple(at(seed, scale) for seed, scale in ((3, 0.1), (4, 3.0)))
    return Gradient(example.id, forward, backward, at(0, 1.0, SAMPLES + 1), at(1, 1.0), (), beyond)


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


X, Y = np.array([0.0, 1.0, 2.0, 3.0, -1.5, 0.5]), np.array([0.0, 1.0, 0.25, 0.75, 0.5, 1.0])
"""Targets between 0 and 1 too: a square of 0 or 1 is the number itself."""


def _tiny(id: str, loss: Callable[..., Any], slope: Any, *edges: Array) -> Gradient:
    """The 1-1-1 network, with z1 above 0 nearly everywhere, and on its kink at the first edge where x = 0."""

    def forward(theta: Array, x: Array, y: Array) -> tuple[Any, Any]:
        return loss(theta, x, y), tiny_network.forward(theta, x, y)[1]

    def backward(cache: Any, theta: Array, x: Array, y: Array) -> Array:
        return tiny_network.backward(theta, x, y, cache, slope)

    def at(seed: int, scale: float, samples: int = len(X)) -> Arguments:
        theta = draw(seed, scale, samples, 4)
        theta[:, 0] = np.abs(theta[:, 0]) * np.sign(X[:samples] + 0.25)
        return theta, X[:samples], Y[:samples]

    kink = at(2, 1.0)
    kink[0][:, 1] = 0.0
    ends = tuple((theta, X[: len(theta)], Y[: len(theta)]) for theta in edges)
    beyond = (at(3, 0.1), at(4, 3.0), at(5, 10.0))
    return Gradient(id, forward, backward, at(0, 1.0, 5), at(1, 3.0), (kink, *ends), beyond)


def _network(activation: str, criterion: str) -> Gradient:
    """Layers that are square and such that are not, two outputs, and an edge with a unit at the kink of ReLU."""
    net = mlp.MLP((2, 3, 3, 2), activation, criterion)
    y = np.array([[0.0, 1.0, 0.25, 1.0, 0.5], [1.0, 0.0, 0.5, 0.75, 0.25]])

    def at(seed: int, scale: float, samples: int = SAMPLES) -> Arguments:
        return draw(seed, scale, net.parameters), moons().X_train[:, :samples], y[:, :samples]

    kink = (np.abs(at(2, 1.0)[0]), *at(2, 1.0)[1:])
    kink[0][[0, 1, 6]] = 0.0  # the first unit's weights and its bias
    return Gradient(
        f"{activation} and {criterion}",
        net.forward,
        lambda cache, theta, X, y: net.backward(theta, y, cache),
        at(0, 1.0, SAMPLES + 1),
        at(1, 1.0),
        (kink,),
        (at(3, 0.1), at(4, 3.0)),
    )


Graph = Callable[[Value, Value, Array], Value]


def _graph(graph: Graph, positive: bool, edges: Sequence[tuple[float, float]]) -> Gradient:
    """A graph of nodes a and b, the columns of w, and of an array c. Differentiated twice, which doubles every grad.

    What the root's own grad then lacks to 2 is added to the others, so that `zero_grad` has to reach it too.
    """

    def forward(w: Array, c: Array) -> tuple[Any, Any]:
        nodes = [Value(w[..., i]) for i in range(2)]
        root = graph(*nodes, c)
        return root.data, (root, nodes)

    def backward(cache: Any, w: Array, c: Array) -> Array:
        root, nodes = cache
        root.zero_grad()
        root.backward()
        root.backward()
        return np.stack([node.grad / 2 + (2 - root.grad) for node in nodes], axis=-1)

    def at(seed: int, scale: float, samples: int = SAMPLES) -> Arguments:
        w, c = draw(seed, scale, samples, 2), draw(seed, scale, samples)
        return (np.abs(w), np.abs(c)) if positive else (w, c)

    ends = tuple((np.tile(row, (SAMPLES, 1)), draw(2, 1.0, SAMPLES)) for row in edges)
    return Gradient("", forward, backward, at(0, 1.0, 5), at(1, 1.0), ends, (at(3, 0.1), at(4, 3.0)))


def _engine(function: Any, *graphs: Graph, positive: bool = False, edges: Sequence[tuple[float, float]] = ()) -> Derivation:
    """An operation of the scalar engine, used once in each graph: twice, and two mistakes may cancel."""
    return Derivation(function.__qualname__, (function,), tuple(_graph(g, positive, edges) for g in graphs))


def _chain(a: Value, b: Value, c: Array) -> Value:
    u = a * b
    return (u * u + a.sin()) * (b + c) * a


CLIP = logistic.PROBABILITY_CLIP


def _logit(distance: float) -> float:
    """Where a prediction is so far from 1."""
    return float(np.log1p(-distance) - np.log(distance))


NEAR_THE_CLIP = np.array([[1.0, 1.0, 0.0, side * _logit(CLIP + by)] for side in (1, -1) for by in (-5e-13, 5e-13)])
"""Logits on either side of where the clipped loss turns flat, closer than 1e-12."""
FAR = 800.0
"""exp(800) overflows."""


def _functions(*functions: Any) -> tuple[FunctionType, ...]:
    return functions


DERIVATIONS = [
    Derivation("nine_weight", _functions(nine_weight.backward), (_nine_weight("", nine_weight),)),
    Derivation(
        "nine_weight_stable",
        _functions(nine_weight_stable.backward, nine_weight_stable._sech),
        (_nine_weight("", nine_weight_stable, 30.0, 3000.0),),
    ),
    *(Derivation(e.id, _functions(e.backward), (_example(e),)) for e in chain_rule.EXAMPLES),
    Derivation(
        "tiny_network",
        _functions(tiny_network.backward, logistic.cross_entropy_slope, logistic.sigmoid),
        (_tiny("", tiny_network.loss, logistic.cross_entropy_slope),),
    ),
    Derivation(
        "clipped_slope",
        _functions(logistic.clipped_slope),
        (_tiny("", tiny_network.clipped_loss, logistic.clipped_slope, NEAR_THE_CLIP),),
    ),
    Derivation(
        "MLP",
        _functions(
            *(mlp.MLP.backward, mlp.pack, mlp.unpack),
            *(mlp.ACTIVATIONS[name].slope for name in ("sigmoid", "relu", "tanh")),
            mlp.CRITERIA["mse"].slope,
        ),
        (_network("relu", "cross_entropy"), _network("tanh", "cross_entropy"), _network("sigmoid", "mse")),
    ),
    _engine(Value.__add__, lambda a, b, c: a + b, lambda a, b, c: a + c, lambda a, b, c: a + 2.5),
    _engine(Value.__radd__, lambda a, b, c: 2.5 + a, lambda a, b, c: c + a),
    _engine(Value.__sub__, lambda a, b, c: a - b, lambda a, b, c: a - c, lambda a, b, c: a - 2.5),
    _engine(Value.__rsub__, lambda a, b, c: 2.5 - a, lambda a, b, c: c - a),
    _engine(Value.__mul__, lambda a, b, c: a * b, lambda a, b, c: a * c, lambda a, b, c: a * 2.5),
    _engine(Value.__rmul__, lambda a, b, c: 2.5 * a, lambda a, b, c: c * a),
    _engine(Value.__truediv__, lambda a, b, c: a / b, lambda a, b, c: a / c, lambda a, b, c: a / 2.5),
    _engine(Value.__rtruediv__, lambda a, b, c: 2.5 / a, lambda a, b, c: c / a),
    _engine(Value.__neg__, lambda a, b, c: -a),
    _engine(
        Value.__pow__,
        *(lambda a, b, c: a**0.7, lambda a, b, c: a**3, lambda a, b, c: a**0, lambda a, b, c: a**1),
        *(lambda a, b, c: a**-2, lambda a, b, c: a**b, lambda a, b, c: a**c),
        positive=True,
        edges=[(0.0, 2.0)],
    ),
    _engine(Value.__rpow__, lambda a, b, c: 0.3**a, lambda a, b, c: c**a, positive=True),
    _engine(Value.exp, lambda a, b, c: a.exp()),
    _engine(Value.log, lambda a, b, c: a.log(), positive=True),
    _engine(Value.sin, lambda a, b, c: a.sin()),
    _engine(Value.cos, lambda a, b, c: a.cos()),
    _engine(Value.tanh, lambda a, b, c: a.tanh(), edges=[(FAR, 0.0), (-FAR, 0.0)]),
    _engine(Value.sigmoid, lambda a, b, c: a.sigmoid(), edges=[(FAR, 0.0), (-FAR, 0.0)]),
    _engine(Value.relu, lambda a, b, c: a.relu(), edges=[(0.0, 0.0)]),
    Derivation(
        "Value.backward",
        _functions(
            *(Value.backward, Value.zero_grad, scalar_engine.topological, scalar_engine.as_value),
            vars(Value)["children"].fget,
        ),
        (_graph(_chain, False, ()),),
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

    def refuses(self, update: Callable[..., Any]) -> Refused | None:
        """Whether an update rule departs from torch by much more than rounding, or leaves traces."""
        return self._departs(update, CLEARLY)

    def agrees(self, update: Callable[..., Any]) -> bool:
        return self._departs(update, 1.0) is None

    def _departs(self, update: Callable[..., Any], margin: float) -> Refused | None:
        found: list[dict[str, Any]] = []
        try:
            with np.errstate(all="ignore"):
                for given in self.given:
                    mine = copy.deepcopy(given)
                    params, state = update(*mine)
                    kept = {"params": np.array(params), **copy.deepcopy(state._asdict())}
                    again, and_again = update(*mine)
                    traces = [(mine, given), ((again, and_again), (params, state))]
                    if not all(same_bits(a, b) for pair in traces for a, b in zip(*map(_parts, pair), strict=True)):
                        return Refused.CONDUCT
                    if type(state) is not type(given[1]) or state.step != given[1].step + 1:
                        return Refused.LOCKSTEP
                    found.append(kept)
            arrays = {name: np.array([row[name] for row in found]) for name in self.expected}
        except Exception:  # of any kind: a mutant may raise whatever it likes
            return Refused.CRASH
        if any(array.shape != self.expected[name].shape for name, array in arrays.items()):
            return Refused.SHAPE
        pairs = ((array, self.expected[name], margin * self.radii[name]) for name, array in arrays.items())
        return None if all(compare(*pair).agrees for pair in pairs) else Refused.LOCKSTEP


def _parts(value: Any) -> list[Any]:
    return [part for item in value for part in _parts(item)] if isinstance(value, tuple) else [value]


@cache
def course(configuration: Configuration) -> Course:
    """Raises AssertionError if the rule itself departs from torch."""
    whole = steps(configuration, 0)
    taken = Steps(*({n: v[[*AT]] for n, v in part.items()} if isinstance(part, dict) else part[[*AT]] for part in whole))
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
    assert made.agrees(configuration.optimizer.update), configuration.id
    return made


@dataclass(frozen=True)
class Rule:
    """An update rule with the configurations in which it is tried, and the functions that it is made of."""

    id: str
    configurations: tuple[Configuration, ...]
    functions: tuple[str, ...] = ("update",)
    """`update`, names in its closure, and names in the module."""

    def _function(self, name: str) -> FunctionType:
        update: Any = self.configurations[0].optimizer.update
        if name == "update":
            return update
        found = inspect.getclosurevars(update).nonlocals.get(name) or getattr(optimizers, name)
        return found

    def mutants(self) -> Iterator[Mutant]:
        return (mutant for name in self.functions for mutant in mutants(self._function(name)))

    def judged(self, mutant: Mutant) -> Judgement:
        name = mutant.id.split(":")[0].rpartition(".")[2]
        close = []
        for configuration in self.configurations:
            lockstep, made = course(configuration), mutant.build()
            with updating(configuration, name, made) as update:
                refused = lockstep.refuses(update)
                if refused:
                    return refused
                close.append(lockstep.agrees(update))
        evidence = [self._equivalent(configuration, name, mutant.build()) for configuration in self.configurations]
        if all(evidence):
            return evidence[0]
        return None if all(close) else Refused.LOCKSTEP

    def _equivalent(self, configuration: Configuration, name: str, made: FunctionType) -> Evidence | None:
        original = configuration.optimizer.update

        def mutant(*args: Any) -> Any:
            with updating(configuration, name, made) as update:
                return update(*args)

        return equivalent(original, mutant, course(configuration).given)


@contextmanager
def updating(configuration: Configuration, name: str, mutant: FunctionType) -> Iterator[Callable[..., Any]]:
    """The update rule with a mutant in the place of itself, of a function in its closure or of one in the module."""
    update: Any = configuration.optimizer.update  # made anew for each configuration
    cells = dict(zip(update.__code__.co_freevars, update.__closure__ or (), strict=True))
    if name == "update":
        yield rebound(mutant, update)
    elif name in cells:
        cells[name].cell_contents = rebound(mutant, cells[name].cell_contents)
        yield update
    else:
        with standing_in(getattr(optimizers, name), mutant):
            yield update


def _rows(*rules: str) -> tuple[Configuration, ...]:
    return tuple(row for row in CONFIGURATIONS if row.rule in rules)


RULES = [
    *(Rule(rule, _rows(rule)) for rule in ("vanilla", "momentum", "averaged_momentum", "sgd", "adagrad", "adadelta")),
    *(Rule(rule, _rows(rule)) for rule in ("rmsprop", "amsgrad", "adamax", "radam", "asgd", "rprop")),
    Rule("adam", _rows("adam", "adamw")),
    Rule("nadam", _rows("nadam"), ("update", "mu")),
    Rule("shared", _rows("sgd", "adam", "adamw"), ("_coupled", "_decayed", "_moments")),
]
