"""What the gate has to know of a subject to put it on trial: one row of a registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Subject:
    """A hand-written gradient with one loss per sample.

    `loss(w, *data)` and `gradient(w, *data)` take weights (N, n), one copy for each of the N samples, and data with N
    in front; they return (N,) and (N, n). `graph(xp, w, *data)` is the same loss in Array API terms, for the oracles.
    """

    id: str
    loss: Callable[..., Any]
    gradient: Callable[..., Any]
    graph: Callable[..., Any]
    data: Callable[[], tuple[Array, ...]]
    weights: tuple[str, ...]
    """Names of the n weights, as the derivation has them."""
    rounds_unlike: Subject | None = None
    """The subject whose formulas a framework's derivative rules share, if this one is evaluated differently. It comes
    earlier in the registry, has the same graph and data, and speaks for the frameworks' rounding."""
    promised_digits: float = 0.0
    """Correct digits that this evaluation keeps in float64, for every entry of every trial."""
