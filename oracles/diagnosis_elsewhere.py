"""The same trial at other values and of other sizes, where a repair that fits a point by chance does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from oracles.tree import is_float_leaf, leaves, map_leaves
from oracles.trial import Array, Trial, layer_trial, loss_trial

_MOST_RESIZED = 2


def elsewhere(trial: Trial) -> Iterator[Trial]:
    """The trial at a point near by, at one with other signs, with other settings and with shorter axes, as it goes."""
    near = (_moved(trial, spread, (1.0,)) for spread in (0.5, 0.05))
    yield from [made for made in near if _is_finite(made)][:1]
    yield from [made for made in [_moved(trial, 0.5, (-1.0, 1.0))] if _is_finite(made)]
    yield from [made for made in [_set_otherwise(trial)] if made is not None and _is_finite(made)]
    lengths = sorted({n for a in trial.args for _, leaf in leaves(a) for n in np.shape(leaf) if n > 1})
    shorter = (made for length in lengths if (made := resized(trial, length, length - 1)) is not None)
    yield from (made for made, _ in zip(shorter, range(_MOST_RESIZED), strict=False))


def _moved(trial: Trial, spread: float, signs: tuple[float, ...]) -> Trial:
    """Every number that is differentiated by times 1 - spread to 1 + spread and a sign; zeros become small numbers."""
    random = np.random.default_rng(1)

    def moved(leaf: Any) -> Any:
        values = np.asarray(leaf)
        near = values * random.uniform(1 - spread, 1 + spread, values.shape) * random.choice(signs, values.shape)
        made = np.where(values == 0, 0.1 * random.standard_normal(values.shape), near).astype(values.dtype)
        return made if made.ndim else made[()]

    return replace(trial, args=tuple(map_leaves(moved, a) if i in trial.wrt else a for i, a in enumerate(trial.args)))


def _set_otherwise(trial: Trial) -> Trial | None:
    """With other float scalars where they are not differentiated by, such as a slope: less than 1 stays so."""
    settings = [a for i, a in enumerate(trial.args) if i not in trial.wrt]
    if not any(np.ndim(leaf) == 0 for a in settings for _, leaf in leaves(a)):
        return None
    args = [
        a if i in trial.wrt else map_leaves(lambda leaf: leaf if np.ndim(leaf) else leaf * 0.75, a)
        for i, a in enumerate(trial.args)
    ]
    return replace(trial, args=tuple(args))


def resized(trial: Trial, length: int, to: int) -> Trial | None:
    """The trial with every axis of a length cut to a shorter one; None if that is no trial."""
    if len(trial.subject) != 2:
        return None
    args = tuple(_cut(a, length, to) for a in trial.args)
    try:
        if trial.pullback is not None:
            made = layer_trial(*trial.subject, args, trial.wrt, 0)
        else:
            wrt: Any = trial.wrt if len(trial.wrt) > 1 else trial.wrt[0]
            made = replace(loss_trial(*trial.subject, args, wrt), gradient_needs_value=trial.gradient_needs_value)
        return made if all(map(is_float_leaf, made.parameters)) and _is_finite(made) else None
    except Exception:  # of any kind: other sizes may not go together
        return None


def _cut(value: Any, length: int, to: int) -> Any:
    if isinstance(value, np.ndarray):
        cut: Array = value[tuple(slice(to) if n == length else slice(None) for n in value.shape)]
        return cut
    if isinstance(value, dict):
        return {k: _cut(v, length, to) for k, v in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_cut(v, length, to) for v in value)
    return value


def _is_finite(trial: Trial) -> bool:
    try:
        return bool(np.isfinite(np.asarray(trial.value(trial.arguments(lifted=False)), dtype=np.float64)).all())
    except Exception:  # of any kind: it may be outside of the loss's domain
        return False
