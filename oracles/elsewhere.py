"""Another point: where a subject runs before it is judged, so that what it keeps from there is wrong here and shows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import numpy as np

from oracles.tree import map_leaves
from oracles.trial import Trial
from oracles.watching import TooLong, limited


def elsewhere(leaf: Any) -> Any:
    """Another value for a float leaf, of its shape and dtype: some signs change, and no zero is left."""
    return leaf * 1.25 + 0.5


def _nearer(leaf: Any) -> Any:
    """Another value of the same sign, and of the same side of 1: for what has a domain."""
    return leaf * 0.75


OUTSIDE = (Exception, TooLong)
"""What a subject may raise elsewhere, which may be outside its domain: anything, and it may not come to an end."""


def briefly() -> AbstractContextManager[object]:
    """Meanwhile a million lines of Python may run, and no more: an iteration need not converge elsewhere."""
    return limited(most=10**6)


def run_elsewhere(make: Callable[[Sequence[Any]], Trial], args: Sequence[Any]) -> None:
    """Run the trial that `make` gives at other arguments once, for what the subject may keep of its first call."""
    for move in (elsewhere, _nearer):
        with suppress(*OUTSIDE), np.errstate(all="ignore"), briefly():
            trial = make([map_leaves(move, argument) for argument in copy.deepcopy(tuple(args))])
            trial.value(trial.arguments(lifted=False))
            trial.gradient(trial.arguments(lifted=False))
            return
