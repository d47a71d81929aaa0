"""The oracles differentiate: linearly in the cotangent, each sample by itself, forwards as backwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from oracles import central_difference, complex_step, graphs, jax_grad, network_graphs, richardson, torch_autograd
from oracles.estimate import Estimate, Graph, Namespace, Oracle
from tests.meta.test_laws import SEEDS, breaks, holds

Array = Any
Arrays = tuple[Array, ...]

SAMPLES = 5
"""One size for all, so that JAX compiles each graph once."""
EPS = 2.0**-52
EXACT: dict[str, Oracle] = {
    "torch_autograd": torch_autograd.gradient,
    "jax_grad": jax_grad.gradient,
    "complex_step": complex_step.gradient,
}
ORACLES = EXACT | {"central_difference": central_difference.gradient, "richardson": richardson.gradient}


class Case(NamedTuple):
    """A graph and the shape of each of its arguments, for one sample or for all of them."""

    graph: Graph
    cores: tuple[tuple[int, ...], ...]
    batched: bool = True


CASES = {
    "nine_weight": Case(graphs.nine_weight, ((9,), (5,), ())),
    "square_of_line": Case(graphs.square_of_line, ((1,),)),
    "quadratic": Case(graphs.quadratic, ((1,),)),
    "product_plus": Case(graphs.product_plus, ((3,),)),
    "squared_weight": Case(graphs.squared_weight, ((2,), (2,))),
    "neuron": Case(graphs.neuron, ((5,),)),
    "tiny_network": Case(network_graphs.tiny_network, ((4,), (), ())),
    "mlp": Case(network_graphs.mlp((2, 3, 1)), ((13,), (2, 4), (1, 4)), batched=False),
}
BATCHED = {name: case for name, case in CASES.items() if case.batched}
each_oracle = pytest.mark.parametrize("oracle", ORACLES)
each_case = pytest.mark.parametrize("name", BATCHED)


def test_no_graph_is_without_the_laws() -> None:
    assert set(CASES) == {*graphs.__all__, *network_graphs.__all__}


def drawn(case: Case, seed: int, scale: float = 0.5) -> Arrays:
    random = np.random.default_rng(seed)
    lead = (SAMPLES,) if case.batched else ()
    return tuple(random.normal(0, scale, lead + core) for core in case.cores)


# --- linear in the cotangent ------------------------------------------------------------------------------------------


@cache
def combined(graph: Graph) -> Graph:
    """a f + b g: the graph, and the squares of what it is differentiated by; a and b (N) are the last arguments."""

    def sum_of_two(xp: Any, *args: Any) -> Any:
        return args[-2] * graph(xp, *args[:-2]) + args[-1] * xp.sum(args[0] ** 2, axis=-1)

    return sum_of_two


def is_homogeneous(differentiate: Oracle, case: Case, seed: int, exponents: list[int | None]) -> None:
    """Times 2^k for each sample, bit for bit, and exactly zero for a cotangent of zero."""
    args = drawn(case, seed)
    cotangent = np.array([0.0 if k is None else 2.0**k for k in exponents])
    plain = differentiate(case.graph, *args).gradient
    found = differentiate(combined(case.graph), *args, cotangent, np.zeros(SAMPLES)).gradient
    assert np.all(np.isfinite(plain)), "the point is too wild"
    assert np.all(found[cotangent == 0] == 0), "a cotangent of zero does not give zero"
    assert np.array_equal(found, plain * cotangent[:, None]), "twice the cotangent does not give twice the gradient"


EXPONENTS = st.lists(st.none() | st.integers(-40, 40), min_size=SAMPLES, max_size=SAMPLES)


@each_oracle
@each_case
def test_powers_of_two_and_zeros_as_cotangents(oracle: str, name: str) -> None:
    holds(
        lambda seed, exponents: is_homogeneous(ORACLES[oracle], CASES[name], seed, exponents),
        4,
        seed=SEEDS,
        exponents=EXPONENTS,
    )


def is_additive(differentiate: Oracle, case: Case, seed: int, a: float, b: float) -> None:
    """The gradient of a f + b g is a times that of f and b times that of g, but for a few roundings."""
    args = drawn(case, seed)
    weights = np.full(SAMPLES, a), np.full(SAMPLES, b)
    of_graph, of_squares = a * differentiate(case.graph, *args).gradient, 2 * b * args[0]
    found = differentiate(combined(case.graph), *args, *weights).gradient
    size = np.max(np.abs(of_graph) + np.abs(of_squares), axis=-1, keepdims=True)
    off = np.abs(found - of_graph - of_squares)
    assert np.all(off <= 64 * EPS * size), f"not additive: off by {np.max(off / size):.1e} of the terms"


FACTORS = st.floats(-4, 4, allow_subnormal=False).filter(lambda a: a == 0 or abs(a) > 1e-3)


@pytest.mark.parametrize("oracle", EXACT)
@each_case
def test_sums_of_cotangents(oracle: str, name: str) -> None:
    holds(lambda seed, a, b: is_additive(EXACT[oracle], CASES[name], seed, a, b), 4, seed=SEEDS, a=FACTORS, b=FACTORS)


def broken(change: Callable[[Array, Arrays], Array]) -> Oracle:
    """torch autograd with something done to its gradient."""

    def gradient(graph: Graph, *args: Any, wrt: int = 0) -> Estimate:
        estimate = torch_autograd.gradient(graph, *args, wrt=wrt)
        return estimate._replace(gradient=change(estimate.gradient, args))

    return gradient


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda g, args: g + 2.0**-1000, "does not give zero", id="constant-added"),
        pytest.param(lambda g, args: g + np.mean(g, axis=0), "does not give", id="samples-mixed"),
        pytest.param(lambda g, args: g * (1 + EPS * (np.abs(g) > 1)), "does not give twice", id="one-ulp-if-large"),
        pytest.param(lambda g, args: np.clip(g, -1, 1), "does not give twice", id="clipped"),
    ],
)
def test_an_oracle_that_is_not_homogeneous_is_noticed(change: Callable[..., Array], message: str) -> None:
    breaks(
        lambda seed, exponents: is_homogeneous(broken(change), CASES["nine_weight"], seed, exponents),
        message,
        seed=SEEDS,
        exponents=EXPONENTS,
    )


def test_an_oracle_that_is_not_additive_is_noticed() -> None:
    def rounded(g: Array, args: Arrays) -> Array:
        return g.astype(np.float32).astype(np.float64)

    breaks(
        lambda seed, a, b: is_additive(broken(rounded), CASES["nine_weight"], seed, a, b),
        "not additive",
        seed=SEEDS,
        a=FACTORS,
        b=FACTORS,
    )


# --- each sample by itself --------------------------------------------------------------------------------------------


def is_equivariant(differentiate: Oracle, case: Case, seed: int, order: list[int]) -> None:
    """Samples in another order have their gradients in that order, but for the roundings of vectorised functions."""
    args = drawn(case, seed)
    first, again = differentiate(case.graph, *args), differentiate(case.graph, *(a[order] for a in args))
    gradient, error = first.gradient[order], np.maximum(first.error[order], again.error)
    size = np.max(np.abs(gradient), axis=-1, keepdims=True)
    off = np.abs(again.gradient - gradient)
    assert np.all(off <= 10 * error + 64 * EPS * size), f"the order of samples matters: off by {np.max(off / size):.1e}"


ORDERS = st.permutations(range(SAMPLES))


@each_oracle
@each_case
def test_samples_in_another_order(oracle: str, name: str) -> None:
    holds(lambda seed, order: is_equivariant(ORACLES[oracle], CASES[name], seed, order), 4, seed=SEEDS, order=ORDERS)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda g, args: g + np.roll(g, 1, axis=0) * 1e-9, id="a-billionth-of-the-neighbour"),
        pytest.param(lambda g, args: np.cumsum(g, axis=0), id="accumulated"),
        pytest.param(lambda g, args: g[np.argsort(g[:, 0])], id="sorted"),
        pytest.param(lambda g, args: np.broadcast_to(g[:1], g.shape), id="first-for-all"),
    ],
)
def test_an_oracle_that_mixes_samples_is_noticed(change: Callable[..., Array]) -> None:
    breaks(
        lambda seed, order: is_equivariant(broken(change), CASES["nine_weight"], seed, order),
        "the order of samples matters",
        seed=SEEDS,
        order=ORDERS,
    )


# --- forwards as backwards --------------------------------------------------------------------------------------------


class Modes(NamedTuple):
    """What a framework says of a graph at primals: J v for tangents v, and J^T u for a cotangent u."""

    jvp: Callable[[Graph, Arrays, Arrays], Array]
    vjp: Callable[[Graph, Arrays, Array], Arrays]


def torch_jvp(graph: Graph, primals: Arrays, tangents: Arrays) -> Array:
    # Forward mode makes torch load decompositions that it still compiles in a way that it has deprecated.
    # https://github.com/pytorch/pytorch/blob/v2.13.0/torch/_decomp/decompositions_for_jvp.py
    with torch_autograd.settings(torch.float64), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        given, along = (tuple(torch.from_numpy(a.copy()) for a in arrays) for arrays in (primals, tangents))
        pushed: Any = torch.func.jvp(lambda *args: graph(torch_autograd.NAMESPACE, *args), given, along)
        return np.asarray(pushed[1])


def torch_vjp(graph: Graph, primals: Arrays, cotangent: Array) -> Arrays:
    with torch_autograd.settings(torch.float64):
        given = tuple(torch.from_numpy(a.copy()) for a in primals)
        back: Callable[..., Any] = torch.func.vjp(lambda *args: graph(torch_autograd.NAMESPACE, *args), *given)[1]
        return tuple(slope.numpy() for slope in back(torch.from_numpy(np.array(cotangent))))


@cache
def _compiled(graph: Graph, forwards: bool) -> Callable[..., Any]:
    def on_jax(*args: Any) -> Any:
        return graph(jax_grad.NAMESPACE, *args)

    if forwards:
        return jax.jit(lambda primals, tangents: jax.jvp(on_jax, primals, tangents)[1])
    return jax.jit(lambda primals, cotangent: jax.vjp(on_jax, *primals)[1](cotangent))


def jax_jvp(graph: Graph, primals: Arrays, tangents: Arrays) -> Array:
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        return np.asarray(_compiled(graph, True)(primals, tangents))


def jax_vjp(graph: Graph, primals: Arrays, cotangent: Array) -> Arrays:
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        return tuple(np.asarray(slope) for slope in _compiled(graph, False)(primals, np.asarray(cotangent)))


MODES = {"torch": Modes(torch_jvp, torch_vjp), "jax": Modes(jax_jvp, jax_vjp)}


def is_transposed(modes: Modes, case: Case, seed: int) -> None:
    """<u, J v> = <J^T u, v> for random u and v."""
    primals, tangents = drawn(case, seed), drawn(case, seed + 1)
    forwards = modes.jvp(case.graph, primals, tangents)
    cotangent = np.random.default_rng(seed + 2).normal(size=forwards.shape)
    terms = [v * g for v, g in zip(tangents, modes.vjp(case.graph, primals, cotangent), strict=True)]
    off = abs(np.sum(cotangent * forwards) - sum(np.sum(t) for t in terms))
    size = sum(np.sum(np.abs(t)) for t in terms)
    assert off <= 256 * EPS * size, f"J and its transpose differ by {off / size:.1e}"


@pytest.mark.parametrize("framework", MODES)
@pytest.mark.parametrize("name", CASES)
def test_forward_and_reverse_mode_agree(framework: str, name: str) -> None:
    holds(lambda seed: is_transposed(MODES[framework], CASES[name], seed), 4, seed=SEEDS)


@pytest.mark.parametrize("framework", MODES)
@pytest.mark.parametrize("name", BATCHED)
def test_the_oracle_is_the_reverse_mode_with_ones(framework: str, name: str) -> None:
    oracle = ORACLES["torch_autograd" if framework == "torch" else "jax_grad"]

    def law(seed: int) -> None:
        args = drawn(CASES[name], seed)
        reverse = MODES[framework].vjp(CASES[name].graph, args, np.ones(SAMPLES))[0]
        found = oracle(CASES[name].graph, *args).gradient
        assert np.all(np.abs(found - reverse) <= 64 * EPS * np.max(np.abs(reverse), axis=-1, keepdims=True))

    holds(law, 3, seed=SEEDS)


def test_a_forward_mode_of_another_graph_is_noticed() -> None:
    def tanh_for_sigmoid(graph: Graph) -> Graph:
        return lambda xp, *args: graph(Namespace(xp, sigmoid=xp.tanh), *args)

    one_wrong_rule = Modes(lambda graph, *rest: torch_jvp(tanh_for_sigmoid(graph), *rest), torch_vjp)
    breaks(lambda seed: is_transposed(one_wrong_rule, CASES["nine_weight"], seed), "differ by", seed=SEEDS)


def test_a_reverse_mode_without_a_path_is_noticed() -> None:
    def without_data(graph: Graph, primals: Arrays, cotangent: Array) -> Arrays:
        weights, *data = torch_vjp(graph, primals, cotangent)
        return weights, *map(np.zeros_like, data)

    breaks(
        lambda seed: is_transposed(Modes(torch_jvp, without_data), CASES["nine_weight"], seed), "differ by", seed=SEEDS
    )
