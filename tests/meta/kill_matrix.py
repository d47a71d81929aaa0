"""The checks that people use today, each at its default settings, and the certificate, on the same wrong gradients.

The gradients are mutants of the rows of the gate's registry, each at one point. A check accepts or refuses; what it
raises refuses too. All get the same functions, which have run at another point before.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from types import FunctionType
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.optimize
import torch
from jax.test_util import check_grads

from conftest import SUBJECTS
from manual import chain_rule, logistic, mlp, nine_weight, nine_weight_stable, tiny_network
from manual.gradient_check import check_gradient
from manual.scalar_engine import Value
from oracles import torch_autograd
from oracles.checking import examine
from oracles.mutation import Mutant, mutants
from oracles.mutation_equivalence import equivalent
from oracles.registration import Subject
from oracles.report.mutant_tables import SIZES, Row, kill_cells
from tests.gate import subjects
from tests.gate.summary import aligned
from tests.meta.mutant_places import standing_in, written_out

Array = np.ndarray[Any, Any]

# --- the wrong gradients --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A registered loss and gradient at a point, as functions of a vector: of the sum of the losses there.

    What they write into their arguments stays there, so a point is good for one check.
    """

    subject: Subject
    args: tuple[Array, ...]

    @property
    def theta(self) -> Array:
        return self.args[0].ravel().copy()

    def loss(self, theta: Array) -> float:
        with np.errstate(all="ignore"):
            return float(np.sum(self.subject.loss(*self._at(theta))))

    def slope(self, theta: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.subject.gradient(*self._at(theta))).ravel()

    def _at(self, theta: Array) -> tuple[Array, ...]:
        return theta.reshape(self.args[0].shape), *self.args[1:]


@dataclass(frozen=True)
class Case:
    """A row of the registry, the functions whose mutants are made, and how many of them are enough."""

    subject: Subject
    functions: tuple[FunctionType, ...]
    count: int
    scale: float = 1.0
    samples: int = 1

    @property
    def id(self) -> str:
        return self.subject.id

    def problem(self, seed: int, scale: float) -> Problem:
        """At the last few samples of a draw: the first ones are the documents' points, and on kinks."""
        drawn = self.subject.drawn(np.random.default_rng([seed, zlib.crc32(self.id.encode())]), scale)
        if drawn[0].ndim == 1:  # one gradient of all samples, which are columns
            return Problem(self.subject, (drawn[0], *(a[:, -self.samples :] for a in drawn[1:])))
        return Problem(self.subject, tuple(a[-self.samples :] for a in drawn))

    @property
    def point(self) -> Problem:
        """Where mutants are tried, in memory of its own."""
        return self.problem(1, self.scale)

    def mutants(self) -> list[tuple[FunctionType, Mutant]]:
        """As many as are enough, of every operator and size in turn, in an order drawn by their ids.

        Only such as run at the point, leave the loss there as it is, give a finite gradient of the right shape, and are
        no equivalents there: what crashes is refused by anybody.
        """
        return _chosen(self)

    def is_wrong(self, function: FunctionType, mutant: Mutant) -> bool:
        """Whether it is one of these."""

        def both(point: Problem) -> tuple[Any, Array]:
            with np.errstate(all="ignore"):
                return self.subject.loss(*point.args), np.asarray(self.subject.gradient(*point.args))

        def mutated(*args: Any) -> Any:
            with standing_in(function, made):
                return self.subject.gradient(*args)

        loss, gradient = both(self.point)
        with self.used(function, mutant) as made:
            try:
                other_loss, other = both(self.point)
            except Exception:  # of any kind: a mutant may raise whatever it likes
                return False
        if not np.array_equal(other_loss, loss) or (other.shape, other.dtype) != (gradient.shape, gradient.dtype):
            return False
        return bool(np.isfinite(other).all()) and equivalent(self.subject.gradient, mutated, [self.point.args]) is None

    @contextmanager
    def used(self, function: FunctionType, mutant: Mutant) -> Iterator[FunctionType]:
        """A mutant in its place that has run elsewhere already."""
        made, elsewhere = mutant.build(), self.problem(0, 1.0)
        with standing_in(function, made):
            with suppress(Exception):  # it may raise there and not at the point
                elsewhere.slope(elsewhere.theta)
            yield made


@cache
def _chosen(case: Case) -> list[tuple[FunctionType, Mutant]]:
    made = ((f, mutant) for f in case.functions for mutant in mutants(written_out(f)))
    kinds: dict[str, list[tuple[FunctionType, Mutant]]] = {}
    for function, mutant in sorted(made, key=lambda pair: zlib.crc32(f"{case.id} {pair[1].id}".encode())):
        kinds.setdefault(f"{mutant.operator} {size_of(mutant)}", []).append((function, mutant))
    chosen: list[tuple[FunctionType, Mutant]] = []
    for pair in (pair for row in zip_longest(*(kinds[kind] for kind in sorted(kinds))) for pair in row if pair):
        if len(chosen) < case.count and case.is_wrong(*pair):
            chosen.append(pair)
    return chosen


def size_of(mutant: Mutant) -> str:
    """One of `SIZES`."""
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
    assert problem.subject.graph is not None
    truth = torch_autograd.gradient(problem.subject.graph, *problem.args).gradient.ravel()
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


def backproof(problem: Problem) -> bool:
    """`oracles.check`, without its search for the cause of what is wrong."""
    return examine(problem.subject.trial, problem.args, problem.subject.id, seed=0, diagnosed=False).certified


class Check(NamedTuple):
    """A check by the name that people know it by, and the settings it has if nothing is said."""

    id: str
    settings: str
    accepts: Callable[[Problem], bool]
    forgives: tuple[str, ...] = ()
    """Sizes that its tolerance exceeds a hundred thousand times: it sees such an error only where that is amplified."""


OURS = Check("backproof check", "30 digits", backproof)
CHECKS = [
    Check("the documents' check", "step 1e-4, ratio of norms < 1e-3", documents, SIZES[4:]),
    Check("numpy.allclose to torch", "rtol 1e-5, atol 1e-8", allclose, SIZES[5:]),
    Check("torch gradcheck", "eps 1e-6, atol 1e-5, rtol 1e-3", gradcheck, SIZES[4:]),
    Check("torch gradcheck, fast", "eps 1e-6, atol 1e-5, rtol 1e-3", fast_gradcheck, SIZES[4:]),
    Check("jax check_grads", "eps 1e-4, atol 1e-5, rtol 1e-5", jax_check_grads, SIZES[5:]),
    Check("scipy check_grad", "eps 1.5e-8, norm < 1e-6", scipy_check_grad, SIZES[5:]),
    OURS,
]


class Answer(NamedTuple):
    """Of a check, and the CPU seconds that it took."""

    refused: bool
    seconds: float


def answer(check: Check, problem: Problem) -> Answer:
    """What a check raises refuses too: that is how some of them speak."""
    started = time.process_time()
    try:
        accepted = check.accepts(problem)
    except Exception:  # of any kind
        accepted = False
    return Answer(not accepted, time.process_time() - started)


def rows(case: Case, checks: Sequence[Check], right: Sequence[Problem]) -> Iterator[Row]:
    """A row for each check: its verdicts on the mutants, and on right code with the time that these took."""
    wrong = case.mutants()
    sizes = [size_of(mutant) for _, mutant in wrong]
    for check in checks:
        answer(check, case.point)  # what is only done once, such as compiling, is not timed
        alarms = [answer(check, problem) for problem in right]
        missed = []
        for size, pair in zip(sizes, wrong, strict=True):
            with case.used(*pair):
                missed += [] if answer(check, case.point).refused else [size]
        yield {
            "kind": "kill",
            "subject": case.id,
            "check": check.id,
            "settings": check.settings,
            "mutants": {size: sizes.count(size) for size in SIZES},
            "missed": {size: missed.count(size) for size in SIZES},
            "right": len(alarms),
            "alarms": sum(a.refused for a in alarms),
            "seconds": sum(a.seconds for a in alarms),
        }


def table(found: Iterable[Row]) -> list[str]:
    """The lines of the matrix, from the rows of any subjects."""
    return aligned(kill_cells(found))


# --- the subjects ---------------------------------------------------------------------------------------------------

ROWS = {subject.id: subject for subject in SUBJECTS}


def _case(subject: str | Subject, count: int, *functions: Any, scale: float = 1.0, samples: int = 1) -> Case:
    return Case(ROWS[subject] if isinstance(subject, str) else subject, functions, count, scale, samples)


def _network(activation: str, criterion: str) -> Case:
    """As in the registry, with fewer units."""
    row = subjects.network((2, 3, 3, 1), activation, criterion)
    functions = (mlp.MLP.backward, mlp.ACTIVATIONS[activation].slope, mlp.CRITERIA[criterion].slope)
    return _case(row, 20, *functions, samples=2)


_ENGINE = (Value.__add__, Value.__sub__, Value.__mul__, Value.exp, Value.sin, Value.tanh, Value.sigmoid, Value.backward)
_COUNTS = {"neuron": 30, "squared_weight": 20, "product_plus": 10, "quadratic": 10, "square_of_line": 10}

CASES = [
    _case("nine_weight", 60, nine_weight.backward, scale=0.5),
    _case("nine_weight_stable", 45, nine_weight_stable.backward, nine_weight_stable._sech, scale=0.5),
    _case("nine_weight_values", 45, *_ENGINE, scale=0.5),
    *(_case(example.id, _COUNTS[example.id], example.backward) for example in chain_rule.EXAMPLES),
    _case(
        "tiny_network",
        *(35, tiny_network.backward, logistic.cross_entropy_slope, logistic.sigmoid),
        scale=2.0,
        samples=6,
    ),
    _network("relu", "cross_entropy"),
    _network("tanh", "cross_entropy"),
    _network("sigmoid", "mse"),
]
