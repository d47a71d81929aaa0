"""Another point: where a subject runs before it is judged, so that what it keeps from there is wrong here and shows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from oracles.tree import map_leaves
from oracles.trial import Trial


def elsewhere(leaf: Any) -> Any:
    """Another value for a float leaf, of its shape and dtype: some signs change, and no zero is left."""
    return leaf * 1.25 + 0.5


def _nearer(leaf: Any) -> Any:
    """Another value of the same sign, and of the same side of 1: for what has a domain."""
    return leaf * 0.75


def run_elsewhere(make: Callable[[Sequence[Any]], Trial], args: Sequence[Any]) -> None:
    """Run the trial that `make` gives at other arguments once, for what the subject may keep of its first call.

    What it raises there is nobody's concern: elsewhere may be outside its domain.
    """
    for move in (elsewhere, _nearer):
        with suppress(Exception), np.errstate(all="ignore"):
            trial = make([map_leaves(move, argument) for argument in copy.deepcopy(tuple(args))])
            trial.value(trial.arguments(lifted=False))
            trial.gradient(trial.arguments(lifted=False))
            return
