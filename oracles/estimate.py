"""What all oracles share: the form of their answer, the namespace of a graph, the checks on arguments."""

from collections.abc import Callable
from operator import index
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Estimate", "Graph", "Namespace", "Oracle"]

Array: TypeAlias = NDArray[np.floating[Any]]
Graph: TypeAlias = Callable[..., Any]


class Estimate(NamedTuple):
    """A gradient per sample, how far off its oracle believes it to be, and the loss that was differentiated.

    The first two are float64 of shape `args[wrt].shape`. `error` is the oracle's own estimate of its absolute
    error: 0 for the oracles that are exact up to rounding, infinite where a difference found nothing to go by.
    It is not a bound.
    """

    gradient: NDArray[np.float64]
    error: NDArray[np.float64]
    loss: NDArray[np.float64]
    """The oracle's own evaluation of the graph, of shape B."""


class Oracle(Protocol):
    """The signature that every oracle's `gradient` has.

    `graph(xp, *args)` returns a loss of shape B, one per sample. `args[wrt]` has shape B + core, and sample b
    uses no other slice of it than `args[wrt][b]`: weights shared by the samples are broadcast to one copy
    each beforehand.
    """

    def __call__(self, graph: Graph, *args: ArrayLike, wrt: int = 0) -> Estimate: ...


class Namespace:
    """A module of array functions with a few names of our own on top."""

    def __init__(self, module: Any, **own: Any) -> None:
        self._module = module
        vars(self).update(own)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def checked_arguments(args: tuple[Any, ...], wrt: int, *dtypes: type[np.floating[Any]]) -> tuple[Array, ...]:
    """`args` as read-only arrays, all of the same one of `dtypes`, or a ValueError that names the culprit."""
    if not 0 <= index(wrt) < len(args):
        raise ValueError(f"wrt must be the position of one of the {len(args)} arguments, counted from 0; got {wrt}")
    arrays = tuple(np.asarray(arg).view() for arg in args)
    accepted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
    for position, array in enumerate(arrays):
        array.flags.writeable = False
        if array.dtype not in dtypes:
            raise ValueError(
                f"args[{position}] must be {accepted}, got {array.dtype}: convert it (a graph can close over "
                f"labels and indices)"
            )
        if array.dtype != arrays[0].dtype:
            raise ValueError(
                f"all arguments must share one dtype, got {arrays[0].dtype} for args[0] and {array.dtype} "
                f"for args[{position}]: convert one of them"
            )
    if arrays[wrt].size == 0:
        raise ValueError(f"args[{wrt}] has shape {arrays[wrt].shape}, so there are no samples: pass at least one")
    return arrays


def check_loss(loss: Array, values: Array, wrt: int) -> None:
    """Raise ValueError unless `loss` has one entry per slice of `values`, in the dtype of `values`."""
    if values.shape[: loss.ndim] != loss.shape:
        raise ValueError(
            f"the loss has shape {loss.shape}, which is not how args[{wrt}] of shape {values.shape} begins: "
            f"broadcast args[{wrt}] to one slice per sample, and return one loss per sample"
        )
    if loss.dtype != values.dtype:
        raise ValueError(
            f"the loss must be {values.dtype} like the arguments, got {loss.dtype}: look for a dtype in the graph"
        )


def check_samples_independent(loss_of: Callable[[Array], Array], loss: Array, values: Array, wrt: int) -> None:
    """Raise ValueError if the loss of a sample moves when only the slices of other samples do.

    Without this, a weight of shape (10, 3) that ten samples share would pass for ten slices of shape (3,).
    """
    if loss.size < 2:
        return
    slices = values.reshape(loss.size, -1).copy()
    slices[1::2] = slices[1::2] * values.dtype.type(0.875) + values.dtype.type(2**-10)
    with np.errstate(invalid="ignore", over="ignore"):
        change = np.abs(loss_of(slices.reshape(values.shape)) - loss).ravel()
    change[~np.isfinite(change)] = 0
    # Not exactly 0, since a matrix product may round differently at another address in memory.
    if change[::2].max() > 2**-20 * change[1::2].max():
        raise ValueError(
            f"the loss of a sample depends on more of args[{wrt}] than its own slice (or the graph is "
            f"random): do not mix samples, and broadcast shared weights to a copy each, loss.shape + core"
        )
