"""Arguments and gradients as users have them (arrays, numbers, tuples, lists, dicts), and as lists of float leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from oracles.ball import BallArray


def is_float_leaf(value: object) -> bool:
    """Whether a value is something to differentiate by: a real float, or an array of them."""
    if isinstance(value, BallArray | float | np.floating):
        return True
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) of every float leaf, depth first; a path reads like Python: `['W1'][0]`."""
    if is_float_leaf(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with every float leaf replaced. Containers are new; anything else is handed through."""
    if is_float_leaf(value):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_leaves(function, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return of_kind(value, (map_leaves(function, item) for item in value))
    if isinstance(value, np.ndarray):
        return value.copy()
    return value


def of_kind(sequence: list[Any] | tuple[Any, ...], items: Iterable[Any]) -> Any:
    """A list or tuple of the same type with other items. A NamedTuple takes them one by one."""
    return type(sequence)(*items) if hasattr(sequence, "_fields") else type(sequence)(items)


def replace_leaves(value: Any, replacements: list[Any]) -> Any:
    """The same structure with its float leaves replaced in order."""
    rest = iter(replacements)
    return map_leaves(lambda _: next(rest), value)


def match(gradient: Any, argument: Any, path: str = "") -> list[Any]:
    """The parts of a gradient in the order of the argument's float leaves.

    Raises ValueError where the structures differ: a missing or extra key, a wrong number of parts, no array at all.
    """
    if is_float_leaf(argument):
        if is_float_leaf(gradient) or isinstance(gradient, int | np.ndarray | np.number):
            return [gradient]
        advice = f"; return np.array(...) of its {len(gradient)} items" if isinstance(gradient, list) else ""
        raise ValueError(f"gradient{path}: expected an array or a number, got {type(gradient).__name__}{advice}")
    if isinstance(argument, Mapping):
        wanted = {key for key, item in argument.items() if any(True for _ in leaves(item))}
        if not isinstance(gradient, Mapping):
            raise ValueError(
                f"gradient{path}: expected a dict with keys {sorted(wanted, key=str)}, got {type(gradient).__name__}"
            )
        if wanted != set(gradient):
            missing, extra = sorted(wanted - set(gradient), key=str), sorted(set(gradient) - wanted, key=str)
            raise ValueError(f"gradient{path}: missing keys {missing}, extra keys {extra}")
        return [
            part
            for key in argument
            if key in wanted
            for part in match(gradient[key], argument[key], f"{path}[{key!r}]")
        ]
    if isinstance(argument, list | tuple):
        wanted_at = [i for i, item in enumerate(argument) if any(True for _ in leaves(item))]
        if not isinstance(gradient, list | tuple) or len(gradient) != len(wanted_at):
            came = f"{len(gradient)} parts" if isinstance(gradient, list | tuple) else type(gradient).__name__
            whole = len(wanted_at) < len(argument)
            advice = "; what has no float in it is a constant: write 1.0 for 1" if whole else "; return a list or tuple"
            raise ValueError(f"gradient{path}: expected {len(wanted_at)} parts, got {came}{advice}")
        return [
            part
            for item, i in zip(gradient, wanted_at, strict=True)
            for part in match(item, argument[i], f"{path}[{i}]")
        ]
    return []
