"""A float64 array that carries a bound on what rounding has done to it: the tolerance of a replayed update rule.

The update rules of `oracles.update_rules` are plain NumPy, so they run on `Rounded` arrays as they stand, and the
error of the state (momentum, second moments) is carried from step to step with the state itself. It is the usual
running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3), to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["UNIT_ROUNDOFF", "Rounded"]

UNIT_ROUNDOFF = 2.0**-53
_ROUNDINGS = 2.0
"""Per operation: the same formula can be written with about twice as many (m + (g - m)(1 - β) for βm + (1 - β)g)."""

Propagation = Callable[[Any, Sequence[Any], Sequence[Any]], Any]


def _of_quotient(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    return (errors[0] + np.abs(result) * errors[1]) / np.abs(values[1])


def _of_root(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    # sqrt(x + e) - sqrt(x) is e / 2 sqrt(x), but never more than sqrt(e), which is what counts near zero.
    return np.minimum(np.sqrt(errors[0]), errors[0] / np.maximum(2 * result, np.finfo(np.float64).tiny))


def _of_power(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    base, exponent = np.abs(values[0]), np.abs(values[1])
    relative = np.where(base > 0, exponent * errors[0] / np.where(base > 0, base, 1.0), 0.0)
    if np.any(errors[1]):
        relative = relative + np.abs(np.log(base)) * errors[1]
    # A whole power may have been made by repeated multiplication, one rounding each.
    return np.abs(result) * (relative + _ROUNDINGS * UNIT_ROUNDOFF * exponent)


_ROUNDED: dict[np.ufunc, Propagation] = {
    np.add: lambda result, values, errors: errors[0] + errors[1],
    np.subtract: lambda result, values, errors: errors[0] + errors[1],
    np.multiply: lambda result, values, errors: np.abs(values[0]) * errors[1] + np.abs(values[1]) * errors[0],
    np.divide: _of_quotient,
    np.sqrt: _of_root,
    np.power: _of_power,
}
_EXACT: dict[np.ufunc, Propagation] = {
    np.negative: lambda result, values, errors: errors[0],
    np.absolute: lambda result, values, errors: errors[0],
    np.maximum: lambda result, values, errors: np.maximum(errors[0], errors[1]),
    np.minimum: lambda result, values, errors: np.maximum(errors[0], errors[1]),
    np.sign: lambda result, values, errors: 0.0,
}
_COMPARISONS = (np.greater, np.greater_equal, np.less, np.less_equal)


class Rounded(NDArrayOperatorsMixin):
    """`value`, and `error`, how far rounding may have pushed it: float64 arrays that broadcast together.

    Operations that are not foreseen here raise TypeError, so that no error is ever dropped in silence.
    """

    def __init__(self, value: Any, error: Any = 0.0) -> None:
        self.value = value
        self.error = error

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(np.shape(self.value), np.shape(self.error))

    def __getitem__(self, key: Any) -> Rounded:
        return Rounded(self.value[key], np.broadcast_to(self.error, self.shape)[key])

    def astype(self, dtype: Any) -> Rounded:
        """A rounding that the rule asks for: it is the same on both sides, so it adds nothing to the error."""
        return Rounded(np.asarray(self.value).astype(dtype), self.error)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        values, errors = _taken_apart(inputs)
        if ufunc in _COMPARISONS:
            return ufunc(*values)
        if ufunc in _EXACT:
            result = ufunc(*values)
            return Rounded(result, _EXACT[ufunc](result, values, errors))
        if ufunc in _ROUNDED:
            result = ufunc(*values)
            own = _ROUNDINGS * UNIT_ROUNDOFF * np.abs(result)
            return Rounded(result, _ROUNDED[ufunc](result, values, errors) + own)
        return NotImplemented

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is np.where and not options:
            condition, first, second = args
            values, errors = _taken_apart((first, second))
            return Rounded(np.where(condition, *values), np.where(condition, *errors))
        if function is np.mean:
            values, errors = _taken_apart(args)
            size = np.mean(np.abs(values[0]), **options)
            own = _ROUNDINGS * UNIT_ROUNDOFF * np.size(values[0]) * size
            return Rounded(
                np.mean(values[0], **options), np.mean(np.broadcast_to(errors[0], self.shape), **options) + own
            )
        if function is np.concatenate:
            (parts,) = args
            values, errors = _taken_apart(parts)
            errors = [np.broadcast_to(e, np.shape(v)) for e, v in zip(errors, values, strict=True)]
            return Rounded(np.concatenate(values, **options), np.concatenate(errors, **options))
        return NotImplemented


def _taken_apart(inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    pairs = [(x.value, x.error) if isinstance(x, Rounded) else (x, 0.0) for x in inputs]
    return [value for value, _ in pairs], [error for _, error in pairs]
