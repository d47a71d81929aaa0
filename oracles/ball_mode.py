"""How balls behave at the moment, and the floats they met that something may have rounded before.

There is one `Mode` for the process: `oracles.subject.on_balls` sets it and puts it back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from flint import arb, ctx

from oracles.errors import NotCertifiableError, UndecidedComparisonError

_Refusal = TypeVar("_Refusal", NotCertifiableError, UndecidedComparisonError)
SHORT_BITS = 24
"""Up to so many significant bits, a float was written down as it is; with more, it may be the result of a rounding."""
_UNIT = 2.0**-52
_MOST_NOTES = 100


@dataclass
class Mode:
    """Proofs need nothing but the defaults."""

    ulps: float = 0.0
    """Extra error, in units of the last of the bits in use, of every transcendental result: that of a float library."""
    by_midpoint: bool = False
    """Decide open comparisons by the midpoints, as a float would. Never used for a proof."""
    widened: bool = False
    """Give the numbers in `rounded` the radius of their rounding, to see how far it could carry."""
    lifting: bool = True
    """Whether plain numbers become balls in functions that round, such as `np.sqrt(2)`."""
    rounded: list[str] = field(default_factory=list)
    """Numbers with a full mantissa that met a ball, constants that float64 arithmetic may already have rounded, and
    the literals that stand for such a number."""
    long_literals: list[str] = field(default_factory=list)
    """Of these, literals of so many digits that they are the rounding of something, and no decimal."""
    refusal: NotCertifiableError | UndecidedComparisonError | None = None
    """The first error with which a ball refused something, in case the subject swallows it."""
    keeps_refusals: bool = False
    points: set[float] = field(default_factory=set)
    """Scalars that are part of the point. A literal of the same value stands for the same number, rounded."""


mode = Mode()


def not_certifiable(reason: str) -> NotCertifiableError:
    """The error for what cannot run on balls, remembered so that no `except` of the subject hides it."""
    return _kept(NotCertifiableError(reason))


def undecidable(reason: str) -> UndecidedComparisonError:
    """The error for what the balls leave open, remembered as by `not_certifiable`."""
    return _kept(UndecidedComparisonError(reason))


def _kept(error: _Refusal) -> _Refusal:
    if mode.keeps_refusals and mode.refusal is None:
        mode.refusal = error
    return error


def is_short(value: float) -> bool:
    """Whether a float has at most `SHORT_BITS` significant bits (or is not finite)."""
    return not math.isfinite(value) or (math.frexp(value)[0] * 2.0**SHORT_BITS).is_integer()


def note(notes: list[str], number: str) -> None:
    """Remember a number, once, in one of the lists of the mode."""
    if len(notes) < _MOST_NOTES and number not in notes:
        notes.append(number)


def _unit() -> float:
    """How far, relative to it, a float with a full mantissa may be from the number that it stands for."""
    if mode.widened:
        return _UNIT
    # Beside float32, NumPy rounds a plain float to float32 before any operation sees it.
    return 2.0**-SHORT_BITS if mode.ulps and ctx.prec <= SHORT_BITS else 0.0


def from_float(value: float) -> arb:
    """The ball for a float that a subject holds: exact, and noted if it may be the result of a rounding."""
    if is_short(value):
        return arb(value)
    note(mode.rounded, repr(value))
    return arb(value, abs(value) * _unit())


def from_floats(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Objects that combine exactly with balls (floats, or balls if they are widened), noted as by `from_float`."""
    exact = values.astype(np.float64)
    mantissa = np.frexp(exact)[0] * 2.0**SHORT_BITS
    long = exact[(mantissa != np.rint(mantissa)) & np.isfinite(exact)]
    if long.size:
        note(mode.rounded, repr(float(long.flat[0])))
    return _widen(exact) if _unit() else exact.astype(object)


_widen = np.frompyfunc(from_float, 1, 1)
