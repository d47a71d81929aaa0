"""The checks that people use today, each at its default settings, and ours, on the same hand-written gradients.

A check takes a loss of a vector, a gradient by hand and a point, and accepts or refuses. They all get the same
functions: those have run elsewhere before, and the gradient is the second of two answers.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from types import FunctionType
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.optimize
import torch
from jax.test_util import check_grads

from manual import chain_rule, logistic, mlp, nine_weight, nine_weight_stable, nine_weight_values, tiny_network
from manual.gradient_check import check_gradient
from manual.scalar_engine import Value
from oracles import graphs, network_graphs, torch_autograd
from oracles.certificate import certify_trial
from oracles.mutation import Mutant, mutants
from oracles.mutation_equivalence import equivalent
from tests.meta.mutant_suite import (
    Arguments,
    Array,
    Gradient,
    copies,
    graph_of_nine,
    network,
    standing_in,
    tiny,
    written_out,
)

# --- what is checked ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A gradient at one point, as a function of a vector: of the sum of the losses there."""

    gradient: Gradient
    graph: Callable[..., Any]
    """The same loss for torch: graph(xp, *arguments)."""
    args: Arguments

    @property
    def theta(self) -> Array:
        return self.args[0].ravel().copy()

    def _at(self, theta: Array) -> Arguments:
        return theta.reshape(self.args[0].shape), *copies(self.args[1:])

    def loss(self, theta: Array) -> float:
        with np.errstate(all="ignore"):
            return float(np.sum(self.gradient.loss(*self._at(theta))))

    def slope(self, theta: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.gradient.gradient(*self._at(theta))).ravel()


@dataclass(frozen=True)
class Subject:
    """A gradient of the gate's registry, the functions whose mutants are made, and how many of them are enough."""

    id: str
    gradient: Gradient
    graph: Callable[..., Any]
    functions: Sequence[Any]
    count: int
    samples: int = 1

    def problem(self, seed: int, scale: float) -> Problem:
        return Problem(self.gradient, self.graph, self.gradient.at(seed, scale, self.samples))

    @property
    def point(self) -> Problem:
        return self.problem(1, self.gradient.scale)

    def mutants(self) -> list[tuple[FunctionType, Mutant]]:
        """Some of every kind, in turn: such as run, and differ from the original at the point, whatever rounding does.

        Those that raise or give another shape are refused by anybody.
        """
        found = ((f, mutant) for f in self.functions for mutant in mutants(written_out(f)))
        kinds: dict[str, list[tuple[FunctionType, Mutant]]] = {}
        for function, mutant in sorted(found, key=lambda pair: zlib.crc32(f"{self.id} {pair[1].id}".encode())):
            kinds.setdefault(f"{mutant.operator} {size_of(mutant)}", []).append((function, mutant))
        in_turn = (pair for row in zip_longest(*(kinds[kind] for kind in sorted(kinds))) for pair in row if pair)
        chosen: list[tuple[FunctionType, Mutant]] = []
        for pair in in_turn:
            if len(chosen) < self.count and self._is_wrong(*pair):
                chosen.append(pair)
        return chosen

    def _is_wrong(self, function: FunctionType, mutant: Mutant) -> bool:
        """Whether the loss is what it was and its gradient another."""
        args = self.point.args
        with np.errstate(all="ignore"):
            loss, slope = self.gradient.loss(*args), self.gradient.gradient(*args)
            with used(self.gradient, function, mutant) as made:
                try:
                    same_loss = np.array_equal(self.gradient.loss(*copies(args)), loss)
                    found = self.gradient.gradient(*copies(args))
                except Exception:  # of any kind: a mutant may raise whatever it likes
                    return False
        if (
            not same_loss
            or np.shape(found) != slope.shape
            or found.dtype != slope.dtype
            or not np.isfinite(found).all()
        ):
            return False

        def original(*args: Any) -> Any:
            return self.gradient.gradient(*copies(args))

        def mutated(*args: Any) -> Any:
            with standing_in(function, made):
                return self.gradient.gradient(*copies(args))

        return equivalent(original, mutated, [args]) is None


@contextmanager
def used(gradient: Gradient, function: FunctionType, mutant: Mutant) -> Iterator[FunctionType]:
    """A mutant in its place that has run elsewhere already."""
    made = mutant.build()
    with standing_in(function, made):
        with suppress(Exception), np.errstate(all="ignore"):  # it may raise there and not at the point
            gradient.gradient(*copies(gradient.elsewhere))
        yield made


SIZES = ("gross", "float32", "1e-4", "1e-6", "1e-8", "1e-10", "1e-12")
"""Of mistakes: a relative error of so much in one place, the rounding of float32 (6e-8), or anything else."""


def size_of(mutant: Mutant) -> str:
    if mutant.operator in ("scale-constant", "scale-result"):
        return mutant.id.split(" by ")[1].split(" ")[0]
    return "float32" if mutant.operator == "float32" else "gross"


# --- the checks -----------------------------------------------------------------------------------------------------

DOCUMENT_THRESHOLD = 1e-3
"""Above it the documents call a gradient wrong (assignment); their step is 1e-4."""
SCIPY_THRESHOLD = 1e-6
"""scipy names none. Its documentation's own example prints 3e-8, and its tests ask for 1.5e-7 and 5e-7."""


def documents(problem: Problem) -> bool:
    theta = problem.theta
    return check_gradient(problem.loss, problem.slope(theta), theta).ratio < DOCUMENT_THRESHOLD


def allclose(problem: Problem) -> bool:
    truth = torch_autograd.gradient(problem.graph, *problem.args).gradient.ravel()
    return bool(np.allclose(problem.slope(problem.theta), truth))


class ByHand(torch.autograd.Function):
    """NumPy's loss and gradient as an operation of torch."""

    @staticmethod
    def forward(ctx: Any, theta: torch.Tensor, problem: Problem) -> torch.Tensor:
        ctx.save_for_backward(theta)
        ctx.problem = problem
        return torch.tensor(problem.loss(theta.detach().numpy()), dtype=torch.float64)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        (theta,) = ctx.saved_tensors
        return upstream[0] * torch.from_numpy(ctx.problem.slope(theta.numpy())), None


by_hand: Callable[..., torch.Tensor] = ByHand.apply


def gradcheck(problem: Problem, fast: bool = False) -> bool:
    theta = torch.from_numpy(problem.theta).requires_grad_()
    return torch.autograd.gradcheck(lambda t: by_hand(t, problem), (theta,), fast_mode=fast)


def fast_gradcheck(problem: Problem) -> bool:
    return gradcheck(problem, fast=True)


def jax_check_grads(problem: Problem) -> bool:
    @jax.custom_vjp
    def loss(theta: Any) -> Any:  # outside of jit, where values are there to be looked at
        return jax.numpy.asarray(problem.loss(np.array(theta)))

    loss.defvjp(
        lambda theta: (loss(theta), theta),
        lambda theta, upstream: (upstream * jax.numpy.asarray(problem.slope(np.array(theta))),),
    )
    check_grads(loss, (problem.theta,), order=1, modes=["rev"])  # type: ignore[no-untyped-call]
    return True


def scipy_check_grad(problem: Problem) -> bool:
    return bool(scipy.optimize.check_grad(problem.loss, problem.slope, problem.theta) < SCIPY_THRESHOLD)


def certificate(problem: Problem) -> bool:
    return certify_trial(lambda: problem.gradient.trial(copies(problem.args))).ok


class Check(NamedTuple):
    """A check by the name that people know it by, and the settings it has if nothing is said."""

    id: str
    settings: str
    accepts: Callable[[Problem], bool]


OURS = Check("backproof certificate", "30 digits", certificate)
CHECKS = [
    Check("documents' gradient check", "step 1e-4, ratio of norms below 1e-3", documents),
    Check("numpy.allclose to torch", "rtol 1e-5, atol 1e-8", allclose),
    Check("torch gradcheck", "eps 1e-6, atol 1e-5, rtol 1e-3", gradcheck),
    Check("torch gradcheck, fast mode", "eps 1e-6, atol 1e-5, rtol 1e-3", fast_gradcheck),
    Check("jax check_grads", "eps 1e-4, atol 1e-5, rtol 1e-5, one direction", jax_check_grads),
    Check("scipy check_grad", "eps 1.5e-8, norm below 1e-6", scipy_check_grad),
    OURS,
]


class Answer(NamedTuple):
    """Of a check, and how long it took."""

    refused: bool
    seconds: float


def answer(check: Check, problem: Problem) -> Answer:
    """What a check raises refuses too: that is how some of them speak."""
    started = time.perf_counter()
    try:
        accepted = check.accepts(problem)
    except Exception:  # of any kind
        accepted = False
    return Answer(not accepted, time.perf_counter() - started)


# --- the subjects ---------------------------------------------------------------------------------------------------


def _values() -> Gradient:
    """The nine-weight graph on the scalar engine."""

    def forward(w: Array, x: Array, y: Array) -> tuple[Any, Any]:
        nodes = [Value(w[..., i]) for i in range(9)]
        root = nine_weight_values.nine_weight(nodes, [x[..., i] for i in range(5)], y)
        return root.data, (root, nodes)

    def backward(cache: Any, w: Array, x: Array, y: Array) -> Array:
        root, nodes = cache
        root.zero_grad()
        root.backward()
        return np.stack([node.grad for node in nodes], axis=-1)

    return Gradient(forward, backward, graph_of_nine(nine_weight).at, 0.5)


def _worked(example: chain_rule.Example) -> Gradient:
    """A worked example with the derivatives by its variables."""
    variables, constants = len(example.variables), len(example.constants)

    def forward(*args: Array) -> tuple[Any, Any]:
        return example.forward(*(a[..., i] for a in args for i in range(a.shape[-1])))

    def backward(cache: Any, *args: Array) -> Array:
        gradients = example.backward(cache)
        return np.stack([gradients[name] for name in example.variables], axis=-1)

    def at(seed: int, scale: float, samples: int) -> Arguments:
        drawn = np.random.default_rng([seed, variables]).normal(0.0, scale, (samples, variables + constants))
        return (drawn[:, :variables], drawn[:, variables:]) if constants else (drawn,)

    return Gradient(forward, backward, at)


_OPERATIONS = (
    Value.__add__,
    Value.__sub__,
    Value.__mul__,
    Value.exp,
    Value.sin,
    Value.tanh,
    Value.sigmoid,
    Value.backward,
)
_COUNTS = {"neuron": 30, "squared_weight": 20, "product_plus": 10, "quadratic": 10, "square_of_line": 10}
_TINY = (tiny_network.backward, logistic.cross_entropy_slope, logistic.sigmoid)


def _network(activation: str, criterion: str, *slopes: Any) -> Subject:
    graph = network_graphs.mlp((2, 3, 3, 2), activation, criterion)
    functions = (mlp.MLP.backward, mlp.ACTIVATIONS[activation].slope, *slopes)
    return Subject(f"mlp_{activation}_{criterion}", network(activation, criterion), graph, functions, 20, samples=2)


SUBJECTS = [
    Subject("nine_weight", graph_of_nine(nine_weight), graphs.nine_weight, [nine_weight.backward], 60),
    Subject(
        "nine_weight_stable",
        graph_of_nine(nine_weight_stable),
        graphs.nine_weight,
        [nine_weight_stable.backward, nine_weight_stable._sech],
        45,
    ),
    Subject("nine_weight_values", _values(), graphs.nine_weight, _OPERATIONS, 45),
    *(Subject(e.id, _worked(e), getattr(graphs, e.id), [e.backward], _COUNTS[e.id]) for e in chain_rule.EXAMPLES),
    Subject(
        "tiny_network",
        tiny(tiny_network.loss, logistic.cross_entropy_slope, 2.0),
        network_graphs.tiny_network,
        _TINY,
        35,
        6,
    ),
    _network("relu", "cross_entropy"),
    _network("tanh", "cross_entropy"),
    _network("sigmoid", "mse", mlp.CRITERIA["mse"].slope),
]


# --- the matrix -----------------------------------------------------------------------------------------------------


def rows(
    subject: Subject, checks: Sequence[Check], wrong: Sequence[tuple[FunctionType, Mutant]], draws: Sequence[Problem]
) -> Iterator[dict[str, Any]]:
    """A record for each check: mutants and missed ones by size, false alarms at the draws, and the seconds of those."""
    for check in checks:
        answer(check, subject.point)  # what is only done once, such as compiling, is not timed
        alarms = [answer(check, problem) for problem in draws]
        answers = []
        for function, mutant in wrong:
            with used(subject.gradient, function, mutant):
                answers.append(answer(check, subject.point))
        sizes = [size_of(mutant) for _, mutant in wrong]
        missed = [size for size, a in zip(sizes, answers, strict=True) if not a.refused]
        yield {
            "kind": "kill",
            "subject": subject.id,
            "check": check.id,
            "settings": check.settings,
            "mutants": {size: sizes.count(size) for size in SIZES},
            "missed": {size: missed.count(size) for size in SIZES},
            "right": len(alarms),
            "alarms": sum(a.refused for a in alarms),
            "seconds": sum(a.seconds for a in alarms),
        }
