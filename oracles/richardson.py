"""Central differences extrapolated to step 0: high order where the loss is smooth; estimates, not bounds."""

import numpy as np
from numpy.typing import ArrayLike

from oracles.estimate import Estimate, Graph
from oracles.numerical import Float64, Line, difference_quotient, differentiate, exact_step

__all__ = ["extrapolate", "gradient"]

FIRST_STEP = 2.0**-5
LEVELS = 6


def gradient(graph: Graph, *args: ArrayLike, wrt: int = 0) -> Estimate:
    """The best entry of a table of extrapolated central differences, for each entry x of `args[wrt]`.

    The steps are h = max(1, |x|) / 32 and five halvings of it. The error of a central difference is a series
    in h^2, so column j of the table removes its term in h^(2 j). An entry's error is how far it lies from the
    two that it was made of, plus rounding; the entry that promises the least wins, and its promise is
    `error`. The winner is picked for being small, so `error` is an estimate: a kink, or a loss that cancels,
    can exceed it.

    See `oracles.estimate.Oracle` for the shapes. Raises ValueError for arguments that do not fit. Source:
    Ridders, Advances in Engineering Software 4 (1982) 75-76; Press et al., Numerical Recipes, section 5.7.
    """
    return differentiate(extrapolate, graph, args, wrt)


def extrapolate(f: Line, x: Float64) -> tuple[Float64, Float64]:
    """The derivative at `x` of a function of one variable, and its error: arrays of the shape of `x`, all at once."""
    best, error = np.full(x.shape, np.nan), np.full(x.shape, np.inf)
    row: list[Float64] = []
    for level in range(LEVELS):
        above, row = row, []
        h = exact_step(x, FIRST_STEP * 0.5**level * np.maximum(1.0, np.abs(x)))
        entry, rounding = difference_quotient(f, x, h)
        row.append(entry)
        for column, coarser in enumerate(above, start=1):
            finer = row[-1]
            entry = finer + (finer - coarser) / (4.0**column - 1)
            row.append(entry)
            promise = np.maximum(np.abs(entry - finer), np.abs(entry - coarser)) + rounding
            better = promise < error
            best, error = np.where(better, entry, best), np.where(better, promise, error)
    # Where nothing was finite, the last plain difference passes its infinity or NaN on.
    return np.where(error < np.inf, best, row[0]), error
