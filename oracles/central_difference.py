"""The central difference: second order where the loss is smooth, with an error estimate, not a bound."""

import numpy as np
from numpy.typing import ArrayLike

from oracles.estimate import Estimate, Graph
from oracles.numerical import EPS, Float64, Line, difference_quotient, differentiate, exact_step

__all__ = ["gradient"]


def gradient(graph: Graph, *args: ArrayLike, wrt: int = 0, step: float | None = None) -> Estimate:
    """(f(x + h) - f(x - h)) / 2h for each entry x of `args[wrt]`.

    `step` is h; by default h = cbrt(eps) max(1, |x|), which balances truncation, h^2, with rounding, eps / h.
    `error` is the change from step 2h to step h (three times the truncation error, so there is room for the
    noise of f) plus the rounding of f itself. It is an estimate: a kink, or a loss that cancels, can exceed
    it.

    See `oracles.estimate.Oracle` for the shapes. Raises ValueError for arguments that do not fit, and for a
    step that is not positive and finite.
    """
    if step is not None and not 0 < step < np.inf:
        raise ValueError(f"step must be a positive, finite number, got {step}: leave it out for cbrt(eps) max(1, |x|)")

    def rule(f: Line, x: Float64) -> tuple[Float64, Float64]:
        h = exact_step(x, np.cbrt(EPS) * np.maximum(1.0, np.abs(x)) if step is None else step)
        narrow, rounding = difference_quotient(f, x, h)
        wide, _ = difference_quotient(f, x, 2 * h)
        return narrow, np.abs(wide - narrow) + rounding

    return differentiate(rule, graph, args, wrt)
