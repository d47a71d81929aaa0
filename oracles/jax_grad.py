"""Reverse-mode differentiation by JAX. Exact up to rounding; each graph is traced and compiled once."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from oracles.estimate import (
    Array,
    Estimate,
    Graph,
    Namespace,
    check_loss,
    check_samples_independent,
    checked_arguments,
)

try:
    import jax
    import jax.numpy as jnp
except ImportError as missing:
    raise ImportError(
        f"oracles.jax_grad needs jax: pip install 'backproof[jax]' ({missing})", name=missing.name
    ) from missing

__all__ = ["NAMESPACE", "gradient"]

NAMESPACE = Namespace(jnp, sigmoid=jax.nn.sigmoid, relu=jax.nn.relu, softplus=jax.nn.softplus)


def gradient(graph: Graph, *args: ArrayLike, wrt: int = 0) -> Estimate:
    """Gradient of each sample's loss in its own slice of `args[wrt]`, by `jax.grad` of their sum.

    All arguments are float64, or all are float32; the graph is evaluated in that dtype, whatever
    `jax_enable_x64` is. `graph` must be hashable and pure: it is traced once per set of shapes, and a value
    that it closes over is frozen then. At a kink the answer is JAX's convention (relu'(0) = 0; a tie in
    maximum is shared evenly).

    See `oracles.estimate.Oracle` for the shapes. Raises ValueError for arguments that do not fit.
    """
    arrays = checked_arguments(args, wrt, np.float64, np.float32)
    values = arrays[wrt]
    differentiated = _compiled(graph, int(wrt))

    def loss_of(moved: Array) -> Array:
        return np.asarray(differentiated(*arrays[:wrt], moved, *arrays[wrt + 1 :])[1])

    # A graph in Array API terms may broadcast shapes of different rank, which a strict JAX set-up refuses.
    with jax.enable_x64(values.dtype == np.float64), jax.numpy_rank_promotion("allow"):
        slope, loss = differentiated(*arrays)
        check_samples_independent(loss_of, np.asarray(loss), values, wrt)
        return Estimate(np.array(slope, dtype=np.float64), np.zeros(values.shape), np.array(loss, dtype=np.float64))


@lru_cache(maxsize=256)
def _compiled(graph: Graph, wrt: int) -> Callable[..., Any]:
    """(gradient of the sum of the losses, the losses) as one compiled function of the arguments."""

    def total(*args: Any) -> tuple[Any, Any]:
        loss: Any = jnp.asarray(graph(NAMESPACE, *args))
        check_loss(loss, args[wrt], wrt)
        return jnp.sum(loss), loss

    return jax.jit(jax.grad(total, argnums=wrt, has_aux=True))
