"""One gradient of the nine-weight loss at N samples: by hand, by torch and by JAX."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from manual import nine_weight, nine_weight_stable
from manual.blocks import BLOCK, in_blocks
from oracles.graphs import nine_weight as graph
from reference.datasets import housing
from tests.bench.side_by_side import Absent, Comparison, Competitor

Array = np.ndarray[Any, Any]
SIZES = (1, 506, 50_600, 1_012_000)


def samples(count: int) -> tuple[Array, Array, Array]:
    """w (9), x (count, 5), y (count): the housing samples as often as it takes."""
    x, y = housing()
    times = -(-count // len(y))
    return np.random.default_rng(0).normal(0, 0.1, 9), np.tile(x, (times, 1))[:count], np.tile(y, times)[:count]


def ways(count: int) -> Mapping[str, Competitor | Absent]:
    w, x, y = samples(count)
    by_hand = {
        "manual": Competitor(partial(gradient_of, nine_weight.loss_and_gradient, w, x, y)),
        "manual, stable": Competitor(partial(gradient_of, nine_weight_stable.loss_and_gradient, w, x, y)),
    }
    if count > BLOCK:
        blocked = partial(in_blocks, nine_weight.loss_and_gradient, w, x, y)
        by_hand = {"manual, in blocks": Competitor(lambda: blocked()[1]), **by_hand}
    return {**by_hand, **torch_ways(w, x, y), **jax_ways(w, x, y)}


def gradient_of(function: Callable[..., tuple[Array, Array]], *args: Array) -> Array:
    return function(*args)[1]


def torch_ways(w: Array, x: Array, y: Array) -> Mapping[str, Competitor | Absent]:
    import torch

    tensors = tuple(map(torch.from_numpy, (w, x, y)))

    def loss(w: Any, x: Any, y: Any) -> Any:
        return graph(torch, w, x, y)

    def batched(total: Callable[..., Any]) -> Array:
        # The gradient of each sample, as the others give it: every sample gets a leaf of its own.
        leaf = tensors[0].expand(len(tensors[1]), 9).clone().requires_grad_()
        (found,) = torch.autograd.grad(total(leaf, *tensors[1:]).sum(), leaf)
        return np.asarray(found.numpy())

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def compiled() -> Competitor | Absent:
        quick = torch.compile(loss)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batched(quick)
        except Exception as error:  # it needs a compiler of the machine, and fails in many ways without
            return Absent(f"torch.compile: {type(error).__name__}: {str(error).splitlines()[0]}")
        return Competitor(partial(batched, quick))

    return {
        "torch, vmap(grad)": Competitor(lambda: np.asarray(each(*tensors).numpy())),
        "torch, batched": Competitor(partial(batched, loss)),
        "torch.compile": compiled(),
    }


def jax_ways(w: Array, x: Array, y: Array) -> Mapping[str, Competitor | Absent]:
    import jax
    import jax.numpy as jnp

    from oracles.jax_grad import NAMESPACE

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    each = jax.jit(jax.vmap(jax.grad(partial(graph, NAMESPACE)), in_axes=(None, 0, 0)))
    given = tuple(map(jnp.asarray, (w, x, y)))
    return {"jax.jit(vmap(grad))": Competitor(lambda: np.asarray(each(*given)))}


def agree(results: Mapping[str, Array]) -> None:
    """All nine entries of all samples, to what any order of the operations may round."""
    reference = results["manual"]
    scale = np.abs(reference).max(axis=0)
    for name, found in results.items():
        worst = float(np.max(np.abs(found - reference) / scale))
        assert worst < 1e-12, f"{name} differs from the manual gradient by {worst:.1e} of the largest entry"


COMPARISONS = {f"gradient-{count}": Comparison(partial(ways, count), agree) for count in SIZES}
