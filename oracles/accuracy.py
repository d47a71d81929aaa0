"""Correct digits of a float evaluation, measured against the certified truth inside Arb."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb

from oracles.ball import BallArray
from oracles.magnitude import SMALLEST_NORMAL, log2_upper

Array = np.ndarray[Any, Any]
_LOG10_2 = float(np.log10(2))
ALL_DIGITS = 53 * _LOG10_2
"""What float64 can hold: 15.95 digits."""


def correct_digits(values: Array, truth: BallArray) -> Array:
    """Correct digits of float64 `values` against enclosures of the truth, of the same shape.

    -log10(|value - truth| / max(|truth|, 2^-1022)), between 0 and 15.95; 0 where the value is not finite. Entries below
    the smallest normal float64 are held to that number's absolute accuracy, as float64 itself holds them.
    """
    if values.shape != truth._a.shape:
        raise ValueError(f"correct_digits: values have shape {values.shape}, the truth {truth._a.shape}")
    finite = np.isfinite(values)
    error = np.array([arb(float(v)) for v in np.where(finite, values, 0.0).ravel()], dtype=object)
    error = error.reshape(values.shape) - truth._a
    size = np.maximum(log2_upper(truth._a), SMALLEST_NORMAL)
    digits = (size - log2_upper(np.asarray(error, dtype=object))) * _LOG10_2
    return np.where(finite, np.clip(digits, 0.0, ALL_DIGITS), 0.0)
