"""One-sided derivatives from differences: what a gradient may be on a kink, for code that balls cannot run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["between"]

_LEVELS = 8
_WIDER = 2.0**5
"""The second of two steps at which a kink is looked for: there a smooth function's jump is so much wider."""
_JUMP_MARGIN = 2.0**10
"""The jump of a kink must exceed so many roundings of the value, which may be a small sum of large terms."""
_SLOPE_MARGIN = 2.0**4


def between(slope: float, value: Callable[[float], float], eps: float) -> bool:
    """Whether there is a kink at 0, and a slope lies between the two one-sided derivatives."""
    step = eps**0.4
    jump, size = _jump(value, step)
    noise = eps * size / step
    if jump <= _jump(value, step * _WIDER)[0] / 2 or jump <= _JUMP_MARGIN * noise:
        return False  # over a smooth point the jump falls with the step
    (left, left_error), (right, right_error) = _one_sided(value, -step), _one_sided(value, step)
    error = left_error + right_error + _SLOPE_MARGIN * noise
    return bool(min(left, right) - error <= slope <= max(left, right) + error)


def _jump(value: Callable[[float], float], step: float) -> tuple[float, float]:
    """The slope ahead minus the slope behind, without its sign, and the size of the values it is made of."""
    ahead, here, behind = value(step), value(0.0), value(-step)
    return abs(ahead - here - (here - behind)) / step, max(map(abs, (ahead, here, behind)))


def _one_sided(value: Callable[[float], float], last: float) -> tuple[float, float]:
    """The derivative on the side of the step `last`, extrapolated from larger ones, and an estimate of its error."""
    base = value(0.0)
    row: list[float] = []
    best, error = np.nan, np.inf
    for halvings in range(_LEVELS):
        above, row = row, []
        step = last * 2.0 ** (_LEVELS - 1 - halvings)
        row.append((value(step) - base) / step)
        for column, coarser in enumerate(above, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (2.0**column - 1))
            change = max(abs(row[-1] - row[-2]), abs(row[-1] - coarser))
            if change < error:
                best, error = row[-1], change
    return float(best), 2 * float(error)
