"""A float64 array that carries a bound on what rounding has done to it: the tolerance of a replayed update rule.

The update rules of `oracles.update_rules` are plain NumPy, so they run on `Rounded` arrays as they stand, and the
error of the state (momentum, second moments) is carried from step to step with the state itself. It is the usual
running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3), to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["UNIT_ROUNDOFF", "Rounded"]

UNIT_ROUNDOFF = 2.0**-53
_OWN = 2 * UNIT_ROUNDOFF
"""Of an operation's result: the same formula can be written with about twice as many operations, for example
m + (g - m)(1 - β) for βm + (1 - β)g."""

Propagation = Callable[[Any, Sequence[Any], Sequence[Any]], Any]
"""The error of a result from that result, the operands and their errors."""


def _of_sum(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    return errors[0] + errors[1] + _OWN * abs(result)


def _of_product(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    return abs(values[0]) * errors[1] + abs(values[1]) * errors[0] + _OWN * abs(result)


def _of_quotient(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    size = abs(result)
    return (errors[0] + size * errors[1]) / abs(values[1]) + _OWN * size


def _of_root(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    # sqrt(x + e) - sqrt(x) is e / 2 sqrt(x), but never more than sqrt(e), which is what counts near zero.
    tiny = np.finfo(np.float64).tiny
    return np.minimum(np.sqrt(errors[0]), errors[0] / np.maximum(2 * result, tiny)) + _OWN * result


def _of_power(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    base, exponent = np.abs(values[0]), abs(values[1])
    relative = exponent * errors[0] / np.maximum(base, np.finfo(np.float64).tiny)
    if np.any(errors[1]):
        relative = relative + abs(np.log(base)) * errors[1]
    # A whole power may have been made by repeated multiplication, one rounding each.
    return abs(result) * (relative + _OWN * exponent)


def _of_larger(result: Any, values: Sequence[Any], errors: Sequence[Any]) -> Any:
    return np.maximum(errors[0], errors[1])


_ERRORS: dict[np.ufunc, Propagation] = {
    np.add: _of_sum,
    np.subtract: _of_sum,
    np.multiply: _of_product,
    np.divide: _of_quotient,
    np.sqrt: _of_root,
    np.power: _of_power,
    np.maximum: _of_larger,
    np.minimum: _of_larger,
    np.negative: lambda result, values, errors: errors[0],
    np.absolute: lambda result, values, errors: errors[0],
    np.sign: lambda result, values, errors: 0.0,
}
_COMPARISONS = (np.greater, np.less)


class Rounded:
    """`value`, and `error`, how far rounding may have pushed it: numbers or float64 arrays that broadcast together.

    Operations that are not foreseen here raise TypeError, so that no error is ever dropped in silence.
    """

    __slots__ = ("error", "value")

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

    def __add__(self, other: Any) -> Rounded:
        return _applied(np.add, self, other)

    def __radd__(self, other: Any) -> Rounded:
        return _applied(np.add, other, self)

    def __sub__(self, other: Any) -> Rounded:
        return _applied(np.subtract, self, other)

    def __rsub__(self, other: Any) -> Rounded:
        return _applied(np.subtract, other, self)

    def __mul__(self, other: Any) -> Rounded:
        return _applied(np.multiply, self, other)

    def __rmul__(self, other: Any) -> Rounded:
        return _applied(np.multiply, other, self)

    def __truediv__(self, other: Any) -> Rounded:
        return _applied(np.divide, self, other)

    def __rtruediv__(self, other: Any) -> Rounded:
        return _applied(np.divide, other, self)

    def __pow__(self, other: Any) -> Rounded:
        return _applied(np.power, self, other)

    def __rpow__(self, other: Any) -> Rounded:
        return _applied(np.power, other, self)

    def __neg__(self) -> Rounded:
        return Rounded(-self.value, self.error)

    def __gt__(self: Any, other: Any) -> Any:
        return np.greater(self, other)

    def __lt__(self: Any, other: Any) -> Any:
        return np.less(self, other)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        if ufunc in _COMPARISONS:
            return ufunc(*_taken_apart(inputs)[0])
        return _applied(ufunc, *inputs) if ufunc in _ERRORS else NotImplemented

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is np.where:
            condition, *choices = args
            values, errors = _taken_apart(choices)
            return Rounded(np.where(condition, *values), np.where(condition, *errors))
        if function is np.mean:
            value, error = self.value, np.broadcast_to(self.error, self.shape)
            own = _OWN * value.shape[-1] * np.mean(abs(value), **options)
            return Rounded(np.mean(value, **options), np.mean(error, **options) + own)
        if function is np.concatenate:
            values, errors = _taken_apart(args[0])
            errors = [np.broadcast_to(e, np.shape(v)) for e, v in zip(errors, values, strict=True)]
            return Rounded(np.concatenate(values, **options), np.concatenate(errors, **options))
        return NotImplemented


def _applied(ufunc: np.ufunc, *operands: Any) -> Rounded:
    values, errors = _taken_apart(operands)
    result = ufunc(*values)
    return Rounded(result, _ERRORS[ufunc](result, values, errors))


def _taken_apart(operands: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    values, errors = [], []
    for x in operands:
        if isinstance(x, Rounded):
            values.append(x.value)
            errors.append(x.error)
        else:
            values.append(x)
            errors.append(0.0)
    return values, errors
