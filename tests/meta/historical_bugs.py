"""Real mistakes in hand-written derivatives and optimizers, each beside the right version, and where it shows.

The first list is that of public issue threads, named owner/repository#number; the second is what 106 wrong functions of
a survey of 260 hand-written NumPy backward functions say a trial has to vary. All of it is written from the
mathematics, none of it from the code in question.

Every row says at which point (or in which run of steps) the wrong version has to be refused, and where possible also
at which one it is right, or nearly so: there a trial is blind to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from manual import optimizers, wrong_optimizers
from manual.optimizers import Moments, Optimizer, RootMeans, Velocity
from manual.scalar_engine import Value, topological
from oracles import Ruling
from tests.meta import course_faults as faults
from tests.meta import course_layers as course

Array = Any
"""A float64 array, or the balls that stand in for one."""
Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[Any, Any], Any]
Settings = dict[str, float | bool]


@dataclass(frozen=True)
class Point:
    """Where a layer is tried, and with what coming down from above: random numbers, or ones."""

    args: tuple[Any, ...]
    upstream: Literal["random", "ones"] = "random"


@dataclass(frozen=True)
class LayerCase:
    """forward(*args) -> (out, cache), with a right and a wrong backward(dout, cache) -> gradients."""

    id: str
    """The thread, or what a trial has to vary."""
    mistake: str
    forward: Forward
    right: Backward
    wrong: Backward
    reveals: Point
    wrong_entries: dict[str, int] = field(default_factory=dict)
    """How many entries of which gradient are proved wrong where it shows."""
    wrt: tuple[int, ...] = (0,)
    ruling: Ruling = Ruling.WRONG
    """What the certificate says where it shows."""
    refused_by: tuple[str, ...] = ("certificate",)
    """The findings that refuse it there; empty where it is reported and not refused."""
    evidence: str = ""
    """What that finding says, besides the wrong entries."""
    at_kink: bool = False
    """Whether the true gradient is a set there, so that a wrong entry has no one true value."""
    usual_check_sees_it: bool = True
    """Whether a float64 comparison at 1e-3 refuses it where it shows."""
    blind: Point | None = None
    condition: str = ""
    """What has to be varied from the blind point to the one where it shows."""
    when_blind: Ruling = Ruling.CERTIFIED
    """What the certificate says at the blind point. A proof may see there what a tolerance of 1e-3 does not."""


@dataclass(frozen=True)
class Run:
    """Steps of an optimizer from params (n,). An array that comes twice in `gradients` (n,) is read twice."""

    settings: Settings
    params: Array
    gradients: tuple[Array, ...]


@dataclass(frozen=True)
class OptimizerCase:
    """A right and a wrong update rule, made by calling them with the settings of a run."""

    id: str
    mistake: str
    wrong: Callable[..., Optimizer]
    right: Callable[..., Optimizer]
    reveals: Run
    departs: dict[int, tuple[int, ...]]
    """After which steps, counted from 1, which entries of the params are proved to be others."""
    rule: str | None = None
    """What torch.optim calls it by, see `oracles.torch_optim`."""
    torch_follows: Literal["right", "wrong"] = "right"
    """Whose steps torch.optim takes."""
    mutates: bool = False
    """Whether the wrong rule writes into the gradient."""
    blind: Run | None = None
    condition: str = ""
    equal_when_blind: bool = True


@dataclass(frozen=True)
class Control:
    """A backward that was reported as wrong, or looks wrong, and is right."""

    id: str
    why: str
    forward: Forward
    backward: Backward
    args: tuple[Any, ...]
    wrt: tuple[int, ...] = (0,)


TABLE = (
    "karpathy/micrograd#2",
    "eriklindernoren/ML-From-Scratch#35",
    "flashlight/flashlight#143",
    "kozistr/AdaBound-tensorflow#3",
    "google-research/bert#153",
    "tensorflow/tensorflow#58412",
    "apache/mxnet#13683",
    "chainer/chainer#261",
    "ml-explore/mlx#473",
    "pytorch/pytorch#12218",
    "chainer/chainer#1178",
    "deeplearning4j/nd4j#2424",
    "apache/mxnet#18563",
    "tinygrad/tinygrad#9597",
    "apache/mxnet#9497",
    "apache/mxnet#16938",
    "NervanaSystems/neon#169",
    "JuliaStats/Distributions.jl#1221",
    "stan-dev/math#1578",
    "qixianbiao/RNN#2",
    "bighuang624/Andrew-Ng-Deep-Learning-notes#10",
    "pytorch/pytorch#773",
    "pytorch/pytorch#68425",
    "tensorflow/tensorflow#126060",
    "jxgu1016/MNIST_center_loss_pytorch#9",
    "jax-ml/jax#3213",
    "chainer/chainer#3542",
)
"""Every thread that was collected."""

NOT_EXPRESSIBLE: tuple[tuple[str, str], ...] = ()
"""(thread, why) for those that NumPy cannot express."""


def draw(*shape: int, key: int) -> Array:
    return np.random.default_rng(key).normal(size=shape)


# --- graphs of scalars: accumulation and state ----------------------------------------------------------------------


def square_of_tanh(x: Array, reused: bool) -> tuple[Array, Any]:
    """tanh(x)² with the inner node used twice, or 3 tanh(x) with it used once; elementwise."""
    leaf = Value(x)
    node = leaf.tanh()
    out = node * node if reused else node * 3
    return out.data, (leaf, out)


def gated(x: Array, fan_out: bool) -> tuple[Array, Any]:
    """x tanh(x), whose leaf feeds two nodes, or 3 tanh(x), whose leaf feeds one; elementwise."""
    leaf = Value(x)
    out = (leaf if fan_out else 3) * leaf.tanh()
    return out.data, (leaf, out)


def through_graph(dout: Array, cache: Any) -> Array:
    """dx by the chain rule in topological order, each node once, contributions added up."""
    leaf, out = cache
    forget(out)
    out.backward()
    return dout * leaf.grad


def forget(out: Value) -> None:
    """Gradients of an earlier call, which would be added to."""
    for node in topological(out):
        node.grad = 0.0


def once_per_path(dout: Array, cache: Any) -> Array:
    """karpathy/micrograd#2: a node passes on all it has gathered every time that a path comes in."""
    leaf, out = cache

    def visit(node: Value) -> None:
        for child, partial in node.edges:
            child.grad = child.grad + partial * node.grad
            visit(child)

    forget(out)
    out.grad = 1.0
    visit(out)
    return dout * leaf.grad


def overwritten(dout: Array, cache: Any) -> Array:
    """apache/mxnet#9497: a node that feeds two others keeps the last contribution, = for +=."""
    leaf, out = cache
    out.grad = 1.0
    for node in reversed(topological(out)):
        for child, partial in node.edges:
            child.grad = partial * node.grad
    return dout * leaf.grad


def sum_of_constants(a: float, b: float) -> tuple[Any, Any]:
    return a + b, (a, b)


def one_node_each(dout: Array, cache: Any) -> tuple[Any, Any]:
    return dout, dout


def one_node_per_value(dout: Array, cache: Any) -> tuple[Any, Any]:
    """tinygrad/tinygrad#9597: constants of equal value become one node, which gathers the gradients of both."""
    nodes: dict[Any, Any] = {}
    for constant in cache:
        nodes[constant] = nodes.get(constant, 0) + dout
    a, b = cache
    return nodes[a], nodes[b]


# --- element-wise functions and densities ---------------------------------------------------------------------------


def huber(prediction: Array, target: Array, delta: float) -> tuple[Array, Any]:
    """Huber's loss of each row of prediction and target, (N, D) both; out (N,)."""
    r = prediction - target
    size = np.abs(r)
    return np.sum(np.where(size <= delta, r * r / 2, delta * (size - delta / 2)), axis=1), (r, delta)


def huber_backward(dout: Array, cache: Any) -> Array:
    r, delta = cache
    return dout[:, None] * np.where(np.abs(r) <= delta, r, delta * np.sign(r))


def huber_without_upstream(dout: Array, cache: Any) -> Array:
    """chainer/chainer#1178: the gradient of the loss itself, whatever comes down from above."""
    r, delta = cache
    return np.where(np.abs(r) <= delta, r, delta * np.sign(r))


def quadratic(x: Array, p: float, q: float, r: float) -> tuple[Array, Any]:
    """p x² + q x + r, elementwise."""
    return p * x * x + q * x + r, (x, p, q, r)


def quadratic_backward(dout: Array, cache: Any) -> Array:
    x, p, q, _ = cache
    return dout * (2 * p * x + q)


def quadratic_forward_again(dout: Array, cache: Any) -> Array:
    """apache/mxnet#16938: the backward operator runs the kernel of the forward one, on what comes down from above."""
    _, p, q, r = cache
    return quadratic(dout, p, q, r)[0]


def logit_normal(x: Array, mu: float, sigma: float) -> tuple[Array, Any]:
    """The log density at x in (0, 1) of a variable whose logit is normal with mean mu and deviation sigma."""
    logit = np.log(x / (1 - x))
    standard = (logit - mu) / sigma
    return -standard * standard / 2 - np.log(x * (1 - x)) - np.log(sigma * np.sqrt(2 * np.pi)), (x, mu, sigma)


def logit_normal_backward(dout: Array, cache: Any) -> Array:
    x, mu, sigma = cache
    return dout * ((mu - np.log(x / (1 - x))) / sigma**2 - (1 - 2 * x)) / (x * (1 - x))


def logit_normal_by_logarithm(dout: Array, cache: Any) -> Array:
    """JuliaStats/Distributions.jl#1221: log x where the logit of x belongs."""
    x, mu, sigma = cache
    return dout * ((mu - np.log(x)) / sigma**2 - (1 - 2 * x)) / (x * (1 - x))


def negative_binomial(alpha: Array, beta: Array, n: Array) -> tuple[Array, Any]:
    """log of Γ(n + α) / (n! Γ(α)) (β / (1 + β))^α (1 + β)^-n for counts n; elementwise."""
    out = alpha * np.log(beta / (1 + beta)) - n * np.log(1 + beta)
    for k in range(int(n.max())):
        out = out + (k < n) * np.log((alpha + k) / (k + 1))
    return out, (alpha, beta, n)


def negative_binomial_slope(cache: Any) -> Array:
    alpha, beta, n = cache
    slope = np.log(beta / (1 + beta))
    for k in range(int(n.max())):
        slope = slope + (k < n) / (alpha + k)
    return slope


def negative_binomial_backward(dout: Array, cache: Any) -> Array:
    return dout * negative_binomial_slope(cache)


def negative_binomial_as_poisson(dout: Array, cache: Any) -> Array:
    """stan-dev/math#1578: beyond α = 1e10 the derivative of the Poisson density with rate α / β."""
    alpha, beta, n = cache
    return dout * np.where(alpha > 1e10, n / alpha - 1 / beta, negative_binomial_slope(cache))


def product(x: Array) -> tuple[Array, Any]:
    """Of the rows of x (N, D)."""
    return course.prod_forward(x)


def product_by_division(dout: Array, cache: Any) -> Array:
    """pytorch/pytorch#773: the product over each factor, 0 / 0 where a factor is 0."""
    x, out = cache
    return dout[:, None] * out[:, None] / x


def exponential_then_linear(a: Array) -> tuple[Array, Any]:
    """e^a up to 0 and 1 + a beyond; elementwise."""
    return np.where(a <= 0, np.exp(a), 1 + a), a


def exponential_then_linear_backward(dout: Array, cache: Any) -> Array:
    a = cache
    return dout * np.where(a <= 0, np.exp(np.minimum(a, 0)), 1)


def both_branches(dout: Array, cache: Any) -> Array:
    """pytorch/pytorch#68425: each branch gets its share of dout, 0 of it where the other one was selected: 0 · inf."""
    a = cache
    return np.where(a <= 0, dout, 0) * np.exp(a) + np.where(a <= 0, 0, dout)


def sigmoid_from_input(x: Array) -> tuple[Array, Any]:
    return 1 / (1 + np.exp(-x)), x


def sigmoid_without_cancellation(dout: Array, cache: Any) -> Array:
    """e / (1 + e)² with e = exp(-|x|), which is y (1 - y)."""
    e = np.exp(-np.abs(cache))
    return dout * e / ((1 + e) * (1 + e))


def sigmoid_from_output(dout: Array, cache: Any) -> Array:
    """tensorflow/tensorflow#126060: y (1 - y), where y has been rounded to 1 from x = 37 on."""
    y = 1 / (1 + np.exp(-cache))
    return dout * y * (1 - y)


def sine_times(x: Array, y: Array) -> tuple[Array, Any]:
    """sin(x) y, elementwise."""
    return np.sin(x) * y, (x, y)


def sine_times_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    x, y = cache
    return dout * np.cos(x) * y, dout * np.sin(x)


def sine_times_minus(dout: Array, cache: Any) -> tuple[Array, Array]:
    """jax-ml/jax#3213: the documentation's derivative by y, with a minus sign."""
    x, y = cache
    return dout * np.cos(x) * y, -dout * np.sin(x)


# --- arrays: broadcasting, ties, paths and factors ------------------------------------------------------------------


def add(a: Array, b: Array) -> tuple[Array, Any]:
    """a (N, D) + b, with b broadcast along the axes where its length is 1."""
    return a + b, (a.shape, b.shape)


def add_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    _, shape = cache
    stretched = tuple(axis for axis, length in enumerate(shape) if length == 1)
    return dout, np.sum(dout, axis=stretched, keepdims=True)


def add_not_reduced(dout: Array, cache: Any) -> tuple[Array, Array]:
    """deeplearning4j/nd4j#2424: b's gradient keeps the shape that b was broadcast to."""
    return dout, dout


def add_reduced_over_batch(dout: Array, cache: Any) -> tuple[Array, Array]:
    """Takes b for a row, whatever shape it has."""
    return dout, np.sum(dout, axis=0, keepdims=True)


def row_max(x: Array) -> tuple[Array, Any]:
    out = np.max(x, axis=1, keepdims=True)
    return out, x == out


def shared_among_ties(dout: Array, cache: Any) -> Array:
    return dout * cache / np.sum(cache, axis=1, keepdims=True)


def all_to_every_tie(dout: Array, cache: Any) -> Array:
    """apache/mxnet#18563: every tied maximum gets the whole gradient."""
    return dout * cache


def gram_left_only(dout: Array, cache: Any) -> Array:
    """NervanaSystems/neon#169: dot(x, x.T) without the contribution that comes through x.T."""
    return np.dot(dout, cache)


def rnn_hidden_gradient_as_it_is(dh: Array, cache: Any) -> Any:
    """qixianbiao/RNN#2: the hidden gradient goes from step to step without 1 - h² and the recurrent weights."""
    caches, (N, T, D) = cache
    H = dh.shape[2]
    dx, dWx, dWh, db = np.zeros((N, T, D)), np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    carried = np.zeros((N, H))
    for t in reversed(range(T)):
        carried = carried + dh[:, t, :]
        dx[:, t, :], dh0, dWx_t, dWh_t, db_t = course.rnn_step_backward(carried, caches[t])
        dWx, dWh, db = dWx + dWx_t, dWh + dWh_t, db + db_t
    return dx, dh0, dWx, dWh, db


def of_loss(dout: Array, cache: Any) -> Any:
    """The gradients that a loss has computed along with its value."""
    return tuple(dout * g for g in cache) if isinstance(cache, tuple) else dout * cache


def second_layer_doubled(dout: Array, cache: Any) -> Any:
    """bighuang624/Andrew-Ng-Deep-Learning-notes#10: dW2 = (1/m) dZ2 A1ᵀ · 2."""
    dW1, db1, dW2, db2 = of_loss(dout, cache)
    return dW1, db1, dW2 * 2, db2


def center_forward(x: Array, centers: Array, y: Array) -> tuple[Array, Any]:
    """Half the mean squared distance of x (N, D) to the center (K, D) of its label y (N,)."""
    loss, gradients = course.center_loss(x, centers, y)
    return loss, (gradients, len(y))


def center_backward(dout: Array, cache: Any) -> Any:
    return of_loss(dout, cache[0])


def center_summed(dout: Array, cache: Any) -> Any:
    """jxgu1016/MNIST_center_loss_pytorch#9: the loss is a mean over the batch, the gradient a sum."""
    gradients, n = cache
    return of_loss(dout * n, gradients)


TIES = np.array([[2.0, 1.0, 2.0, 2.0], [0.0, 3.0, 1.0, -1.0]])
RNN_WEIGHTS = (draw(2, 3, key=3), draw(3, 3, key=4) / 2, draw(3, key=5))

LAYER_BUGS = [
    LayerCase(
        "karpathy/micrograd#2",
        "accumulation",
        square_of_tanh,
        through_graph,
        once_per_path,
        reveals=Point((draw(3, key=1), True)),
        wrong_entries={"x": 3},
        blind=Point((draw(3, key=1), False)),
        condition="reused node",
    ),
    LayerCase(
        "chainer/chainer#1178",
        "missing factor",
        huber,
        huber_backward,
        huber_without_upstream,
        reveals=Point((draw(2, 3, key=6), draw(2, 3, key=7), 0.75)),
        wrong_entries={"prediction": 6},
        blind=Point((draw(2, 3, key=6), draw(2, 3, key=7), 0.75), upstream="ones"),
        condition="upstream != 1",
    ),
    LayerCase(
        "deeplearning4j/nd4j#2424",
        "broadcast reduction",
        add,
        add_backward,
        add_not_reduced,
        reveals=Point((draw(3, 4, key=8), draw(1, 4, key=9))),
        wrt=(0, 1),
        refused_by=("contract",),
        evidence="gradient of b: expected shape (1, 4), got (3, 4)",
        blind=Point((draw(1, 4, key=8), draw(1, 4, key=9))),
        condition="batch > 1",
    ),
    LayerCase(
        "apache/mxnet#18563",
        "tie convention",
        row_max,
        shared_among_ties,
        all_to_every_tie,
        reveals=Point((TIES,)),
        wrong_entries={"x[0, 0] + x[0, 2]": 1, "x[0, 0] + x[0, 3]": 1, "x[0, 2] + x[0, 3]": 1},
        evidence="in the hull of the one-sided derivatives",
        at_kink=True,
        blind=Point((draw(2, 4, key=10),)),
        condition="ties",
    ),
    LayerCase(
        "tinygrad/tinygrad#9597",
        "state sharing",
        sum_of_constants,
        one_node_each,
        one_node_per_value,
        reveals=Point((1.5, 1.5)),
        wrt=(0, 1),
        ruling=Ruling.NOT_CERTIFIABLE,  # a ball is no key of a dict
        refused_by=("differences",),
        evidence="2 of 2 entries differ",
        blind=Point((1.5, 2.5)),
        condition="equal constants",
        when_blind=Ruling.NOT_CERTIFIABLE,
    ),
    LayerCase(
        "apache/mxnet#9497",
        "grad overwritten",
        gated,
        through_graph,
        overwritten,
        reveals=Point((draw(3, key=11), True)),
        wrong_entries={"x": 3},
        blind=Point((draw(3, key=11), False)),
        condition="fan-out",
    ),
    LayerCase(
        "apache/mxnet#16938",
        "wrong formula",
        quadratic,
        quadratic_backward,
        quadratic_forward_again,
        reveals=Point((draw(4, key=12), 0.5, -1.25, 0.75)),
        wrong_entries={"x": 4},
    ),
    LayerCase(
        "NervanaSystems/neon#169",
        "missing path",
        course.gram_forward,
        course.gram_backward,
        gram_left_only,
        reveals=Point((draw(2, 3, key=13),)),
        wrong_entries={"x": 6},
    ),
    LayerCase(
        "JuliaStats/Distributions.jl#1221",
        "wrong formula",
        logit_normal,
        logit_normal_backward,
        logit_normal_by_logarithm,
        reveals=Point((np.array([0.125, 0.5, 0.9]), 0.25, 1.5)),
        wrong_entries={"x": 3},
    ),
    LayerCase(
        "stan-dev/math#1578",
        "regime switch",
        negative_binomial,
        negative_binomial_backward,
        negative_binomial_as_poisson,
        reveals=Point((np.array([2e10, 9e9]), np.array([0.8, 0.8]), np.array([0, 3]))),
        wrong_entries={"alpha": 1},
        blind=Point((np.array([8e9, 9e9]), np.array([0.8, 0.8]), np.array([0, 3]))),
        condition="alpha > 1e10",
    ),
    LayerCase(
        "qixianbiao/RNN#2",
        "missing path",
        course.rnn_forward,
        course.rnn_backward,
        rnn_hidden_gradient_as_it_is,
        reveals=Point((draw(2, 2, 2, key=1), draw(2, 3, key=2), *RNN_WEIGHTS)),
        wrong_entries={"x": 4, "h0": 6, "Wx": 6, "Wh": 9, "b": 3},
        wrt=(0, 1, 2, 3, 4),
        blind=Point((draw(2, 1, 2, key=1), draw(2, 3, key=2), *RNN_WEIGHTS)),
        condition="T >= 2",
    ),
    LayerCase(
        "bighuang624/Andrew-Ng-Deep-Learning-notes#10",
        "extra factor",
        course.shallow_loss,
        of_loss,
        second_layer_doubled,
        reveals=Point(course.draw_shallow(np.random.default_rng(14))),
        wrong_entries={"W2": 4},
        wrt=(0, 1, 2, 3),
    ),
    LayerCase(
        "pytorch/pytorch#773",
        "overflow->NaN",
        product,
        course.prod_backward,
        product_by_division,
        reveals=Point((np.array([[2.0, 0.0, 3.0], [1.0, 4.0, 5.0]]),)),
        ruling=Ruling.UNDECIDED,
        refused_by=("finite",),
        evidence="the loss is finite and the gradient is not: x",
        blind=Point((np.array([[2.0, 1.0, 3.0], [1.0, 4.0, 5.0]]),)),
        condition="zeros",
    ),
    LayerCase(
        "pytorch/pytorch#68425",
        "overflow->NaN",
        exponential_then_linear,
        exponential_then_linear_backward,
        both_branches,
        reveals=Point((np.array([-1.0, 2.0, 710.0]),)),
        ruling=Ruling.CERTIFIED,  # the formula is right: e^710 is no infinity for a ball
        refused_by=("finite", "in floats"),
        evidence="the loss is finite and the gradient is not: a",
        blind=Point((np.array([-1.0, 2.0, 709.0]),)),
        condition="a > 709",
    ),
    LayerCase(
        "tensorflow/tensorflow#126060",
        "cancellation",
        sigmoid_from_input,
        sigmoid_without_cancellation,
        sigmoid_from_output,
        reveals=Point((np.array([-40.0, 1.0, 40.0]),)),
        ruling=Ruling.CERTIFIED,
        refused_by=(),
        evidence="right formula, inaccurate here: rounding leaves no correct digit in some entry",
        usual_check_sees_it=False,
        blind=Point((np.array([-40.0, 1.0, 4.0]),)),
        condition="element-wise and x >> 0",
    ),
    LayerCase(
        "jxgu1016/MNIST_center_loss_pytorch#9",
        "mean vs sum",
        center_forward,
        center_backward,
        center_summed,
        reveals=Point((draw(4, 2, key=15), draw(3, 2, key=16), np.array([0, 1, 1, 0]))),
        wrong_entries={"x": 8, "centers": 4},
        wrt=(0, 1),
        blind=Point((draw(1, 2, key=15), draw(3, 2, key=16), np.array([1]))),
        condition="batch > 1",
    ),
    LayerCase(
        "jax-ml/jax#3213",
        "sign",
        sine_times,
        sine_times_backward,
        sine_times_minus,
        reveals=Point((draw(3, key=17), draw(3, key=18))),
        wrong_entries={"y": 3},
        wrt=(0, 1),
    ),
]

# --- optimizers -----------------------------------------------------------------------------------------------------


def adam_counting_parameters(learning_rate: float, beta1: float, beta2: float, epsilon: float) -> Optimizer:
    """flashlight/flashlight#143: t += 1 in the loop over the parameters, here the entries."""

    def update(gradient: Array, state: Moments, params: Array) -> tuple[Array, Moments]:
        m = beta1 * state.m + (1 - beta1) * gradient
        v = beta2 * state.v + (1 - beta2) * (gradient * gradient)
        t = state.step + np.arange(1, len(params) + 1)
        root = np.sqrt(v / (1 - beta2**t)) + epsilon
        return params - learning_rate * (m / (1 - beta1**t)) / root, Moments(state.step + len(params), m, v)

    return Optimizer(optimizers.adam().init, update)


def adam_corrected_in_rate(twice: bool) -> Callable[..., Optimizer]:
    """Adam with its bias correction in the rate, η √c2 / c1 with c1 = 1 - β1^t and c2 = 1 - β2^t.

    Source: Kingma and Ba, 2015, end of section 2. ε stands beside an uncorrected √v there, so the rule is Adam's with
    ε / √c2 in place of ε. `twice`: √(1 - c2) in place of √c2, as in kozistr/AdaBound-tensorflow#3.
    """

    def made(learning_rate: float, beta1: float, beta2: float, epsilon: float) -> Optimizer:
        def update(gradient: Array, state: Moments, params: Array) -> tuple[Array, Moments]:
            t = state.step + 1
            c1, c2 = 1 - beta1**t, 1 - beta2**t
            m = state.m + (gradient - state.m) * (1 - beta1)
            v = state.v + (gradient * gradient - state.v) * (1 - beta2)
            rate = learning_rate * np.sqrt(1 - c2 if twice else c2) / c1
            return params - rate * m / (np.sqrt(v) + epsilon), Moments(t, m, v)

        return Optimizer(optimizers.adam().init, update)

    return made


def adam_with_growing_epsilon(learning_rate: float, beta1: float, beta2: float, epsilon: float) -> Optimizer:
    """Adam whose ε is ε / √(1 - β2^t) in step t, which is what `adam_corrected_in_rate` comes to."""

    def update(gradient: Array, state: Moments, params: Array) -> tuple[Array, Moments]:
        grown = epsilon / np.sqrt(1 - beta2 ** (state.step + 1))
        moved: tuple[Array, Moments] = optimizers.adam(learning_rate, beta1, beta2, grown).update(
            gradient, state, params
        )
        return moved

    return Optimizer(optimizers.adam().init, update)


def rmsprop_epsilon_inside(learning_rate: float, alpha: float, epsilon: float) -> Optimizer:
    """tensorflow/tensorflow#58412: √(v + ε) where √v + ε is documented."""

    def update(gradient: Array, state: RootMeans, params: Array) -> tuple[Array, RootMeans]:
        v = alpha * state.v + (1 - alpha) * (gradient * gradient)
        step = gradient / np.sqrt(v + epsilon)
        return params - learning_rate * step, RootMeans(state.step + 1, v, state.mean, step)

    return Optimizer(optimizers.rmsprop().init, update)


def nesterov_decayed_once(
    learning_rate: float, momentum: float, weight_decay: float, nesterov: bool = True
) -> Optimizer:
    """v ← μ v + g + λ w, w ← w - η (g + μ v): weight decay in the velocity alone, as apache/mxnet#13683 asks for."""

    def update(gradient: Array, state: Velocity, params: Array) -> tuple[Array, Velocity]:
        v = momentum * state.v + gradient + weight_decay * params
        return params - learning_rate * (gradient + momentum * v), Velocity(state.step + 1, v)

    return Optimizer(optimizers.momentum().init, update)


def sgd_rule(direction: Callable[[Array, Array, Velocity], Array], learning_rate: float) -> Optimizer:
    """v ← direction(g, w, state), w ← w - η v: what rules that differ in their velocity have in common."""

    def update(gradient: Array, state: Velocity, params: Array) -> tuple[Array, Velocity]:
        v = direction(gradient, params, state)
        return params - learning_rate * v, Velocity(state.step + 1, v)

    return Optimizer(optimizers.sgd().init, update)


def sgd_negative_decay(learning_rate: float, weight_decay: float) -> Optimizer:
    """chainer/chainer#261: λ w is taken from the gradient and not added to it."""
    return sgd_rule(lambda g, w, state: g - weight_decay * w, learning_rate)


def sgd_decay_needs_momentum(learning_rate: float, momentum: float, weight_decay: float) -> Optimizer:
    """ml-explore/mlx#473, first half: without momentum the rule returns before the weight decay is added."""

    def direction(g: Array, w: Array, state: Velocity) -> Array:
        return g if momentum <= 0 else momentum * state.v + g + weight_decay * w

    return sgd_rule(direction, learning_rate)


def sgd_damped_at_once(learning_rate: float, momentum: float, dampening: float) -> Optimizer:
    """ml-explore/mlx#473, second half: the first velocity is (1 - τ) g where it is g."""
    return sgd_rule(lambda g, w, state: momentum * state.v + (1 - dampening) * g, learning_rate)


def sgd_decay_in_gradient(learning_rate: float, weight_decay: float) -> Optimizer:
    """pytorch/pytorch#12218: λ w is added to the caller's gradient in place."""

    def direction(g: Array, w: Array, state: Velocity) -> Array:
        g += weight_decay * w
        return g.copy()

    return sgd_rule(direction, learning_rate)


def steps(*keys: int, n: int = 3) -> tuple[Array, ...]:
    """Gradients (n,), the same array for the same key."""
    drawn = {key: draw(n, key=key) for key in keys}
    return tuple(drawn[key] for key in keys)


ADAM: Settings = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
RMSPROP: Settings = {"learning_rate": 0.01, "alpha": 0.9, "epsilon": 1e-7}
START = draw(3, key=20)
EVERY = (0, 1, 2)

OPTIMIZER_BUGS = [
    OptimizerCase(
        "eriklindernoren/ML-From-Scratch#35",
        "step count",
        wrong_optimizers.adam_constant_correction,
        optimizers.adam,
        reveals=Run(ADAM, START, steps(21, 22, 23)),
        departs={2: EVERY, 3: EVERY},
        rule="adam",
        blind=Run(ADAM, START, steps(21)),
        condition="two steps",
    ),
    OptimizerCase(
        "flashlight/flashlight#143",
        "step count",
        adam_counting_parameters,
        optimizers.adam,
        reveals=Run(ADAM, START, steps(21, 22, 23)),
        departs={1: (1, 2), 2: EVERY, 3: EVERY},
        rule="adam",
        blind=Run(ADAM, START[:1], steps(21, 22, 23, n=1)),
        condition=">= 2 parameters",
    ),
    OptimizerCase(
        "kozistr/AdaBound-tensorflow#3",
        "extra term",
        adam_corrected_in_rate(twice=True),
        optimizers.adam,
        reveals=Run({**ADAM, "epsilon": 0.0}, START, steps(21, 22)),
        departs={1: EVERY, 2: EVERY},
        rule="adam",
    ),
    OptimizerCase(
        "google-research/bert#153",
        "step count",
        wrong_optimizers.adam_without_correction,
        optimizers.adam,
        reveals=Run(ADAM, START, steps(21, 22)),
        departs={1: EVERY, 2: EVERY},
        rule="adam",
    ),
    OptimizerCase(
        "tensorflow/tensorflow#58412",
        "epsilon placement",
        rmsprop_epsilon_inside,
        optimizers.rmsprop,
        reveals=Run(RMSPROP, START, tuple(1e-4 * g for g in steps(21, 22))),
        departs={1: EVERY, 2: EVERY},
        rule="rmsprop",
        blind=Run(RMSPROP, START, (np.ones(3), -np.ones(3))),
        condition="gradients that are not of unit size",
        equal_when_blind=False,
    ),
    OptimizerCase(
        "apache/mxnet#13683",
        "weight-decay coupling",
        optimizers.sgd,
        nesterov_decayed_once,
        reveals=Run(
            {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, START, steps(21, 22)
        ),
        departs={1: EVERY, 2: EVERY},
        rule="sgd",
        torch_follows="wrong",
        blind=Run({"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": True}, START, steps(21, 22)),
        condition="weight decay",
    ),
    OptimizerCase(
        "chainer/chainer#261",
        "sign",
        sgd_negative_decay,
        optimizers.sgd,
        reveals=Run({"learning_rate": 0.1, "weight_decay": 0.1}, START, steps(21, 22)),
        departs={1: EVERY, 2: EVERY},
        rule="sgd",
        blind=Run({"learning_rate": 0.1, "weight_decay": 0.0}, START, steps(21, 22)),
        condition="weight decay",
    ),
    OptimizerCase(
        "ml-explore/mlx#473",
        "momentum first step",
        sgd_decay_needs_momentum,
        optimizers.sgd,
        reveals=Run({"learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.1}, START, steps(21, 22)),
        departs={1: EVERY, 2: EVERY},
        rule="sgd",
        blind=Run({"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1}, START, steps(21, 22)),
        condition="no momentum",
    ),
    OptimizerCase(
        "ml-explore/mlx#473",
        "momentum first step",
        sgd_damped_at_once,
        optimizers.sgd,
        reveals=Run({"learning_rate": 0.1, "momentum": 0.9, "dampening": 0.5}, START, steps(21, 22)),
        departs={1: EVERY, 2: EVERY},
        rule="sgd",
        blind=Run({"learning_rate": 0.1, "momentum": 0.9, "dampening": 0.0}, START, steps(21, 22)),
        condition="dampening",
    ),
    OptimizerCase(
        "pytorch/pytorch#12218",
        "in-place mutation",
        sgd_decay_in_gradient,
        optimizers.sgd,
        reveals=Run({"learning_rate": 0.1, "weight_decay": 0.1}, START, steps(21, 21)),
        departs={2: EVERY},
        rule="sgd",
        mutates=True,
        blind=Run({"learning_rate": 0.1, "weight_decay": 0.1}, START, steps(21, 22)),
        condition="gradient read again",
    ),
]

OPTIMIZER_VARIATIONS = [
    OptimizerCase(
        "parameters",
        "optimizer state shared between parameters",
        wrong_optimizers.adam_shared_state,
        optimizers.adam,
        reveals=Run(ADAM, START, steps(21, 22)),
        departs={1: (1, 2), 2: EVERY},
        blind=Run(ADAM, START[:1], steps(21, 22, n=1)),
        condition="a second parameter",
    ),
]


# --- a checker ------------------------------------------------------------------------------------------------------


def compared_arguments(no_gradient: Sequence[bool]) -> int:
    """How many arguments a checker has left to compare when some are marked as having no gradient."""
    return len(no_gradient) - sum(no_gradient)


def compared_arguments_by_length(no_gradient: Sequence[bool]) -> int:
    """chainer/chainer#3542: takes off the marks that are not set too, so nothing is ever left."""
    return len(no_gradient) - len(no_gradient)


CHECKER_BUG = "chainer/chainer#3542"


# --- what a trial has to vary ---------------------------------------------------------------------------------------


def normalised(x: Array, gamma: Array, beta: Array, bn_param: dict[str, Any]) -> tuple[Array, Any]:
    """Batch normalisation in the mode that bn_param names; see `course_layers.batchnorm_forward`."""
    out, cache = course.batchnorm_forward(x, gamma, beta, bn_param)
    return out, (bn_param["mode"], cache)


def normalised_backward(dout: Array, cache: Any) -> Any:
    mode, saved = cache
    if mode == "train":
        return course.batchnorm_simplified_backward(dout, saved)
    return course.batchnorm_test_backward(dout, saved)


def always_in_train_mode(dout: Array, cache: Any) -> Any:
    return course.batchnorm_simplified_backward(dout, cache[1])


def dropped(x: Array, mask: Array, keep: float) -> tuple[Array, Any]:
    """Inverted dropout with a given mask."""
    out = x * mask / keep
    return out, (out, mask, keep)


def dropped_backward(dout: Array, cache: Any) -> Array:
    _, mask, keep = cache
    return dout * mask / keep


def mask_from_output(dout: Array, cache: Any) -> Array:
    """Takes every 0 of the output for a place that was dropped."""
    out, _, keep = cache
    return dout * (out != 0) / keep


def kept_not_scaled(dout: Array, cache: Any) -> Array:
    _, mask, _ = cache
    return dout * mask


def loss_not_averaged(dout: Array, cache: Any) -> Array:
    """The mean over the batch is in the loss and not in its gradient."""
    return dout * cache * len(cache)


def softmax_less_plain_mean(dout: Array, cache: Any) -> Array:
    """The mean of dout is taken off where its mean under p belongs; for a dout of ones they are the same."""
    p = cache
    return p * (dout - np.mean(dout, axis=1, keepdims=True))


def tanh_calls(x: Array, calls: int) -> tuple[Array, Any]:
    """calls · tanh(x), whose backward is called as often on one cache, as by a graph that is walked twice."""
    out = np.tanh(x)
    return calls * out, (out, calls)


def tanh_calls_backward(dout: Array, cache: Any) -> Array:
    out, calls = cache
    return sum(dout * (1 - out * out) for _ in range(calls))


def cache_as_buffer(dout: Array, cache: Any) -> Array:
    """Squares the saved output in place, so that the second call finds another one."""
    out, calls = cache

    def backward() -> Array:
        square = out
        square *= out
        return dout * (1 - square)

    return sum(backward() for _ in range(calls))


def relu_beside(x: Array, skip: bool) -> tuple[Array, Any]:
    """relu(x), with x itself added if there is a skip connection."""
    return np.maximum(x, 0) + (x if skip else 0), (x, skip)


def relu_beside_backward(dout: Array, cache: Any) -> Array:
    x, skip = cache
    return dout * (x > 0) + (dout if skip else 0)


def relu_in_upstream(dout: Array, cache: Any) -> Array:
    """The gate is applied to dout in place, which the skip connection gets next."""
    x, skip = cache
    through = dout
    through[x <= 0] = 0
    return through + (dout if skip else 0)


def square(x: Array) -> tuple[Array, Any]:
    return x * x, x


def square_backward(dout: Array, cache: Any) -> Array:
    return 2 * dout * cache


def input_as_buffer(dout: Array, cache: Any) -> Array:
    """The cache is the caller's own array, and the gradient is written into it."""
    dx: Array = cache
    dx *= 2 * dout
    return dx


def affine_with_a_global(dout: Array, cache: Any) -> Any:
    """Reads the weights of the module where those of the call belong."""
    _, dw, db = course.affine_backward(dout, cache)
    return np.dot(dout, WEIGHTS.T), dw, db


class Tanh:
    """A layer object that keeps its last output; a `stack` of them where it is used more than once."""

    def __init__(self) -> None:
        self.stack: list[Array] = []

    def forward(self, x: Array) -> Array:
        self.stack.append(np.tanh(x))
        return self.stack[-1]

    def backward(self, dout: Array) -> Array:
        out = self.stack.pop()
        return dout * (1 - out * out)

    def backward_from_last(self, dout: Array) -> Array:
        """As if it had been used once."""
        out = self.stack[-1]
        return dout * (1 - out * out)


def repeated_tanh(x: Array, uses: int) -> tuple[Array, Any]:
    """tanh of tanh of ... x, by one and the same layer object."""
    layer = Tanh()
    for _ in range(uses):
        x = layer.forward(x)
    return x, (layer, uses)


def repeated_tanh_backward(dout: Array, cache: Any) -> Array:
    layer, uses = cache
    for _ in range(uses):
        dout = layer.backward(dout)
    return dout


def stale_cache(dout: Array, cache: Any) -> Array:
    """Every use of the layer is taken back through what the last one saved."""
    layer, uses = cache
    for _ in range(uses):
        dout = layer.backward_from_last(dout)
    return dout


def safe_cross_entropy(x: Array, y: Array) -> tuple[Array, Any]:
    """Mean of -log(p + 1e-6), p the softmax of the scores x (N, C) at the label y (N,)."""
    p = course.softmax(x)
    return -np.mean(np.log(p[np.arange(len(y)), y] + 1e-6)), (p, y)


def safe_cross_entropy_backward(dout: Array, cache: Any) -> Array:
    p, y = cache
    at_label = p[np.arange(len(y)), y][:, None]
    return unsafe_cross_entropy_backward(dout, cache) * at_label / (at_label + 1e-6)


def unsafe_cross_entropy_backward(dout: Array, cache: Any) -> Array:
    """(p - 1{label}) / N: the derivative without the epsilon."""
    p, y = cache
    dx = p.copy()
    dx[np.arange(len(y)), y] -= 1
    return dout * dx / len(y)


def gelu_rounded_root(dout: Array, cache: Any) -> Array:
    """0.8 for the root of 2 / π."""
    x, t = cache
    du = 0.8 * (1 + 3 * 0.044715 * x**2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * du)


def batchnorm_point(mode: str) -> Point:
    running = {"running_mean": draw(2, key=30), "running_var": np.array([0.5, 2.0])}
    return Point((draw(4, 2, key=31), draw(2, key=32), draw(2, key=33), {"mode": mode, "eps": 1e-5, **running}))


IMAGE, FILTER, BIAS = draw(1, 1, 5, 4, key=34), draw(1, 1, 3, 2, key=35), draw(1, key=36)
WEIGHTS = draw(2, 4, key=39)
MASK = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
SIGNS = np.array([1.25, -0.5, 2.0, -1.5])
GELU_GRID = np.array([-2.0, -1.5, -1.0, -0.75, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0])

VARIATIONS = [
    LayerCase(
        "stride",
        "index or axis",
        course.conv_loops_forward,
        course.conv_loops_backward,
        faults.conv_stride_ignored,
        reveals=Point((IMAGE, FILTER, BIAS, {"stride": 2, "pad": 0})),
        wrong_entries={"x": 19, "w": 6},
        wrt=(0, 1, 2),
        blind=Point((IMAGE, FILTER, BIAS, {"stride": 1, "pad": 0})),
        condition="stride > 1",
    ),
    LayerCase(
        "padding",
        "index or axis",
        course.conv_loops_forward,
        course.conv_loops_backward,
        faults.conv_padding_not_cut,
        reveals=Point((IMAGE, FILTER, BIAS, {"stride": 1, "pad": 1})),
        wrong_entries={"x": 20},
        wrt=(0, 1, 2),
        blind=Point((IMAGE, FILTER, BIAS, {"stride": 1, "pad": 0})),
        condition="pad > 0",
    ),
    LayerCase(
        "overlapping patches",
        "= for +=",
        course.conv_im2col_forward,
        course.conv_im2col_backward,
        faults.im2col_repeats_lost,
        reveals=Point((IMAGE, FILTER, BIAS, {"stride": 1, "pad": 0})),
        wrong_entries={"x": 16},
        wrt=(0, 1, 2),
        blind=Point((IMAGE, FILTER, BIAS, {"stride": 3, "pad": 0})),
        condition="stride < filter",
    ),
    LayerCase(
        "window that is not square",
        "index or axis",
        course.avgpool_forward,
        course.avgpool_backward,
        faults.avgpool_square_window,
        reveals=Point((IMAGE, {"pool_height": 2, "pool_width": 3, "stride": 2})),
        wrong_entries={"x": 12},
        blind=Point((IMAGE, {"pool_height": 2, "pool_width": 2, "stride": 2})),
        condition="height != width",
    ),
    LayerCase(
        "time steps",
        "= for +=",
        course.rnn_forward,
        course.rnn_backward,
        faults.rnn_weights_overwritten,
        reveals=Point((draw(2, 2, 2, key=1), draw(2, 3, key=2), *RNN_WEIGHTS)),
        wrong_entries={"Wx": 6, "Wh": 9, "b": 3},
        wrt=(0, 1, 2, 3, 4),
        blind=Point((draw(2, 1, 2, key=1), draw(2, 3, key=2), *RNN_WEIGHTS)),
        condition="T > 1",
    ),
    LayerCase(
        "repeated ids",
        "= for +=",
        course.embedding_forward,
        course.embedding_backward,
        faults.embedding_repeats_lost,
        reveals=Point((draw(4, 2, key=37), np.array([[0, 2, 0]]))),
        wrong_entries={"W": 2},
        blind=Point((draw(4, 2, key=37), np.array([[0, 2, 1]]))),
        condition="an id that repeats",
    ),
    LayerCase(
        "train and eval mode",
        "train/eval mode",
        normalised,
        normalised_backward,
        always_in_train_mode,
        reveals=batchnorm_point("test"),
        wrong_entries={"x": 8},
        wrt=(0, 1, 2),
        blind=batchnorm_point("train"),
        condition="eval mode",
    ),
    LayerCase(
        "batch",
        "mean for sum",
        course.affine_forward,
        course.affine_backward,
        faults.affine_bias_mean,
        reveals=Point((draw(3, 2, key=38), WEIGHTS, draw(4, key=40))),
        wrong_entries={"b": 4},
        wrt=(0, 1, 2),
        blind=Point((draw(1, 2, key=38), WEIGHTS, draw(4, key=40))),
        condition="batch > 1",
    ),
    LayerCase(
        "other weights",
        "a global read instead of the argument",
        course.affine_forward,
        course.affine_backward,
        affine_with_a_global,
        reveals=Point((draw(3, 2, key=38), draw(2, 4, key=49), draw(4, key=40))),
        wrong_entries={"x": 6},
        wrt=(0, 1, 2),
        blind=Point((draw(3, 2, key=38), WEIGHTS, draw(4, key=40))),
        condition="weights that are not the module's",
    ),
    LayerCase(
        "broadcast axis",
        "broadcasting",
        add,
        add_backward,
        add_reduced_over_batch,
        reveals=Point((draw(3, 4, key=41), draw(3, 1, key=42))),
        wrt=(0, 1),
        refused_by=("contract",),
        evidence="gradient of b: expected shape (3, 1), got (1, 4)",
        blind=Point((draw(3, 4, key=41), draw(1, 4, key=42))),
        condition="bias along the other axis",
    ),
    LayerCase(
        "zeros under a dropout mask",
        "wrong saved activation",
        dropped,
        dropped_backward,
        mask_from_output,
        reveals=Point((np.array([[0.5, 1.5, 0.0], [-2.0, 0.0, 1.0]]), MASK, 0.75)),
        wrong_entries={"x": 2},
        evidence="in the hull of the one-sided derivatives",
        at_kink=True,
        blind=Point((draw(2, 3, key=43), MASK, 0.75)),
        condition="zeros, as after a ReLU",
    ),
    LayerCase(
        "keep probability",
        "missing factor",
        dropped,
        dropped_backward,
        kept_not_scaled,
        reveals=Point((draw(2, 3, key=43), MASK, 0.75)),
        wrong_entries={"x": 4},
        blind=Point((draw(2, 3, key=43), MASK, 1.0)),
        condition="keep < 1",
    ),
    LayerCase(
        "mean and sum",
        "mean for sum",
        course.softmax_loss,
        of_loss,
        loss_not_averaged,
        reveals=Point((draw(3, 4, key=44), np.array([3, 0, 1]))),
        wrong_entries={"x": 12},
        blind=Point((draw(1, 4, key=44), np.array([3]))),
        condition="batch > 1",
    ),
    LayerCase(
        "upstream gradient",
        "wrong formula",
        course.softmax_forward,
        course.softmax_backward,
        softmax_less_plain_mean,
        reveals=Point((draw(2, 3, key=45),)),
        wrong_entries={"x": 6},
        blind=Point((draw(2, 3, key=45),), upstream="ones"),
        condition="upstream != 1",
    ),
    LayerCase(
        "backward called twice",
        "in-place mutation",
        tanh_calls,
        tanh_calls_backward,
        cache_as_buffer,
        reveals=Point((draw(3, key=46), 2)),
        wrong_entries={"x": 3},
        refused_by=("second backward", "certificate"),
        blind=Point((draw(3, key=46), 1)),
        condition="a second call",
    ),
    LayerCase(
        "dout used again",
        "in-place mutation",
        relu_beside,
        relu_beside_backward,
        relu_in_upstream,
        reveals=Point((SIGNS, True)),
        wrong_entries={"x": 2},
        refused_by=("second backward", "certificate"),
        blind=Point((SIGNS, False)),
        condition="a skip connection",
    ),
    LayerCase(
        "input used again",
        "in-place mutation",
        square,
        square_backward,
        input_as_buffer,
        reveals=Point((draw(3, key=48),)),
        ruling=Ruling.CERTIFIED,
        refused_by=("inputs unchanged", "second backward"),
        evidence="changed in place: args[0]",
        usual_check_sees_it=False,
        blind=Point((draw(3, key=48),)),
        condition="a look at the arguments afterwards",
    ),
    LayerCase(
        "layer used twice",
        "stale cache",
        repeated_tanh,
        repeated_tanh_backward,
        stale_cache,
        reveals=Point((draw(3, key=47), 2)),
        wrong_entries={"x": 3},
        blind=Point((draw(3, key=47), 1)),
        condition="a second use",
    ),
    LayerCase(
        "epsilon in the loss",
        "epsilon in the loss but not in its gradient",
        safe_cross_entropy,
        safe_cross_entropy_backward,
        unsafe_cross_entropy_backward,
        reveals=Point((np.array([[-15.0, 0.5, 1.0], [0.5, 0.25, -0.5]]), np.array([0, 1]))),
        wrong_entries={"x": 6},
        blind=Point((np.array([[0.5, 0.5, 1.0], [0.5, 0.25, -0.5]]), np.array([0, 1]))),
        condition="a probability of the size of the epsilon",
        when_blind=Ruling.WRONG,
    ),
    LayerCase(
        "every entry",
        "wrong formula or approximation",
        course.gelu_forward,
        course.gelu_backward,
        gelu_rounded_root,
        reveals=Point((GELU_GRID,)),
        wrong_entries={"x": 9},
    ),
]


# --- what was reported and is right ---------------------------------------------------------------------------------


def caffe_batchnorm(dout: Array, cache: Any) -> Any:
    """BVLC/caffe#3878: (dy - mean(dy) - mean(dy · y) y) / σ, three terms although there are four paths."""
    return faults.batchnorm_in_means(dout, cache)


def caffe_batchnorm_with_the_term(dout: Array, cache: Any) -> Any:
    """BVLC/caffe#4110: the same with the term that was missed, mean(dy · y) mean(y) / σ, where mean(y) is 0."""
    _, _, _, std, xhat, gamma, _ = cache
    dx, dgamma, dbeta = caffe_batchnorm(dout, cache)
    return dx + np.mean(dout * gamma * xhat, axis=0) * np.mean(xhat, axis=0) / std, dgamma, dbeta


def loggy(x: Array) -> tuple[Array, Any]:
    """2 / (1 + e^-x) - 1; the cache is the output, which darknet's gradient functions take as their x."""
    y = 2 / (1 + np.exp(-x)) - 1
    return y, y


def loggy_backward(dout: Array, cache: Any) -> Array:
    """2 (1 - h) h with h = (y + 1) / 2: not the derivative at y, but that at x, told by y."""
    h = (cache + 1) / 2
    return dout * 2 * (1 - h) * h


def loggy_backward_of_input(dout: Array, cache: Any) -> Array:
    """The same taken to be a function of x: what pjreddie/darknet#2151 would have been."""
    y = cache
    return loggy_backward(dout, np.log((1 + y) / (1 - y)))


BATCH = (draw(4, 2, key=50), draw(2, key=51), draw(2, key=52), {"mode": "train", "eps": 1e-5})

CONTROLS = [
    Control(
        "BVLC/caffe#3878",
        "the missing term sums to zero",
        course.batchnorm_forward,
        caffe_batchnorm,
        BATCH,
        wrt=(0, 1, 2),
    ),
    Control(
        "BVLC/caffe#3878-in-stages",
        "the path from the mean through the variance carries a sum of zero",
        course.batchnorm_forward,
        faults.batchnorm_without_mean_in_variance,
        BATCH,
        wrt=(0, 1, 2),
    ),
    Control(
        "BVLC/caffe#4110",
        "the term that was asked for is zero, so with it the gradient is right too",
        course.batchnorm_forward,
        caffe_batchnorm_with_the_term,
        BATCH,
        wrt=(0, 1, 2),
    ),
    Control(
        "pjreddie/darknet#2151-logistic",
        "y (1 - y) is given the output",
        course.sigmoid_forward,
        course.sigmoid_backward,
        (draw(4, key=53),),
    ),
    Control(
        "pjreddie/darknet#2151-loggy",
        "2 (1 - h) h is given the output",
        loggy,
        loggy_backward,
        (draw(4, key=53),),
    ),
]

OPTIMIZER_CONTROLS = [
    OptimizerCase(
        "keras-team/keras#17391-epsilon",
        "none: bias correction in the rate, where ε stands beside an uncorrected √v",
        adam_corrected_in_rate(twice=False),
        adam_with_growing_epsilon,
        reveals=Run({**ADAM, "epsilon": 1e-3}, START, steps(21, 22, 23)),
        departs={},
    ),
    OptimizerCase(
        "keras-team/keras#17391-without-epsilon",
        "none: without ε it is Adam",
        adam_corrected_in_rate(twice=False),
        optimizers.adam,
        reveals=Run({**ADAM, "epsilon": 0.0}, START, steps(21, 22, 23)),
        departs={},
        rule="adam",
    ),
]
