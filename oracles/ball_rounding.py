"""What float arithmetic may round, added to the radii of balls: for derived tolerances only (`Mode.ulps` > 0).

Arb's own rounding does not do: it may be exact by luck where NumPy's way to the same result is not, and Arb's matrix
product rounds once where NumPy rounds at each step. So each operation adds half an ulp, and each sum what any order of
summation may round (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1). With u = 2^-p:

    |rounded sum - sum| <= gamma_n sum |terms|,    gamma_n = n u / (1 - n u)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, ctx

from oracles.ball_mode import mode

Array = np.ndarray[Any, Any]
Raw = Any
"""An object ndarray of `arb`, or one `arb`."""

_OWN_ROUNDING = 1 + 2.0**-20
"""Covers what the bounds themselves lose, being computed in float64."""


def rounded(raw: Raw) -> Raw:
    """Results of single operations, each with half an ulp more. Exact zeros stay exact."""
    return raw * arb(1, 2.0**-ctx.prec)


def library_error() -> arb:
    """The factor by which a float library may miss a result."""
    return arb(1, mode.ulps * 2.0 ** (1 - ctx.prec))


def gamma(operations: Any) -> Any:
    """Bound of the relative error of so many roundings in a row, float64 and elementwise; infinite for too many."""
    share = np.asarray(operations, dtype=np.float64) * 2.0**-ctx.prec
    return np.where(share < 0.5, share / (1 - np.minimum(share, 0.5)), np.inf)[()]


def magnitude(raw: Raw) -> Array:
    """Upper bounds of the absolute values, as float64."""
    return np.asarray(_magnitude(raw), dtype=np.float64)


def widened(raw: Raw, slack: Any) -> Raw:
    """Balls with radii larger by `slack`, floats that broadcast; what is not a number counts as infinite."""
    slack = np.asarray(slack, dtype=np.float64)
    return _widen(raw, np.where(np.isnan(slack), np.inf, slack).astype(object))


def bilinear(raw: Raw, product: Callable[..., Any], *factors: Array) -> Raw:
    """Results of a sum of products, widened by what any order of additions may round.

    `product` computes it from the factors, object arrays; on arrays of ones it gives the number of terms.
    """
    with np.errstate(all="ignore"):
        terms = product(*(np.ones(np.shape(f)) for f in factors))
        bound = product(*map(magnitude, factors)) * gamma(terms + len(factors))
    return widened(raw, bound)


def unbounded(raw: Raw) -> Raw:
    """Balls with infinite radii: nothing is known about how floats round this."""
    return widened(raw, np.inf)


def _extended(ball: arb, slack: float) -> arb:
    return ball + arb(0, slack * _OWN_ROUNDING if slack < np.inf else np.inf) if slack != 0 else ball


_magnitude: Any = np.frompyfunc(lambda b: float(abs(b).upper()), 1, 1)
_widen: Any = np.frompyfunc(_extended, 2, 1)
