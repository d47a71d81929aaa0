"""Balls that a subject has kept, in what it adds up or collects, made floats again when it is done."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from types import FunctionType
from typing import Any

import numpy as np

from oracles.ball import BallArray, BallScalar
from oracles.reachable import cells, names_in, things_reached


def leave_no_balls(roots: Iterable[object]) -> None:
    """Replace each ball that can be reached from these callables by the float at its middle.

    In globals that a function names, closures, attributes, dicts and lists: a running mean, a history of losses.
    """
    for thing in things_reached(roots):
        if isinstance(thing, FunctionType):
            _settle(thing.__globals__, names_in(thing.__code__) & thing.__globals__.keys())
            for cell in cells(thing):
                if isinstance(cell.cell_contents, BallArray):
                    cell.cell_contents = _middle(cell.cell_contents)
        elif isinstance(thing, dict):
            _settle(thing, list(thing))
        elif isinstance(thing, list):
            for i, item in enumerate(thing):
                if isinstance(item, BallArray):
                    thing[i] = _middle(item)
        elif isinstance(thing, type):
            for name in [name for name, value in vars(thing).items() if isinstance(value, BallArray)]:
                setattr(thing, name, _middle(vars(thing)[name]))
        elif isinstance(own := getattr(thing, "__dict__", None), dict):
            _settle(own, list(own))


def _settle(values: MutableMapping[Any, Any], keys: Iterable[Any]) -> None:
    for key in keys:
        if isinstance(values[key], BallArray):
            values[key] = _middle(values[key])


def _middle(kept: BallArray) -> Any:
    floats = np.array([float(ball.mid()) for ball in kept._a.ravel()], dtype=np.float64).reshape(kept._a.shape)
    return floats[()] if isinstance(kept, BallScalar) else floats
