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
    framework_formula: Callable[..., Any] | None = None
    """The gradient whose rounding a framework's derivative rules share; by default the subject's own."""
    promised_digits: float = 0.0
    """Correct digits that this evaluation keeps in float64, for every entry of every trial."""
