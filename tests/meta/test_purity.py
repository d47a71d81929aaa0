"""The diagnosis of a gradient calls no function of the user's that does more than compute."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from math import exp
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from oracles import GradientError, check
from oracles.purity import only_computes

Array = Any
CALLS: list[str] = []
TABLE = np.zeros(3)
HALF = 0.5
LARGEST = np.float64(700)


# --- functions that only compute --------------------------------------------------------------------------------------


def softmax(z: Array) -> Array:
    if z.ndim not in (1, 2):
        raise ValueError(f"z: expected one axis or two, got {z.ndim}")
    shifted = z - z.max(axis=-1, keepdims=True)
    return np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)


def masked(z: Array) -> Array:
    made = np.zeros_like(z)
    made[z > 0] = np.asarray([float(len(z))] * int(np.sum(z > 0)), dtype=np.float64)
    return made


def scalars(z: float) -> float:
    return sum(math.tanh(k * z) + exp(HALF) for k in range(3) if k or isinstance(z, float))


def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n > 0 and even(n - 1)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-np.minimum(z, LARGEST)))


def slope(z: Array) -> Array:
    return sigmoid(z) * (1 - sigmoid(z))


relu: Any = lambda z: np.maximum(z, 0)  # noqa: E731 - as users write it
PURE: list[Any] = [sigmoid, slope, softmax, masked, scalars, even, odd, relu]


def unit(w: Array) -> Any:
    return np.sum(sigmoid(w))


def wrong_slope(w: Array) -> Array:
    return relu(w)


def inexplicable(w: Array) -> Array:
    return softmax(w) ** 3 + 0.123


# --- functions that do more -------------------------------------------------------------------------------------------


def counts(z: Array) -> Array:
    CALLS.append("counts")
    return z


def through_another(z: Array) -> Array:
    return counts(z)


def writes_a_table(z: Array) -> Array:
    TABLE[0] = 1
    return z


def sets_a_global(z: Array) -> Array:
    global HALF
    HALF = 0.25
    return z


def sets_an_attribute(z: Array) -> Array:
    counts.last = z  # type: ignore[attr-defined]
    return z


def prints(z: Array) -> Array:
    print(z)
    return z


def removes(z: Array) -> Array:
    os.remove(str(z))
    return z


def imports(z: Array) -> Array:
    import shutil

    return shutil.rmtree(z)


def saves(z: Array) -> Array:
    np.save("weights.npy", z)
    return z


def saves_itself(z: Array) -> Array:
    z.tofile("weights.bin")
    return z


def draws(z: Array) -> Array:
    return z + np.random.default_rng().normal(size=z.shape)


def opens(z: Array) -> Array:
    with open(str(z), "w") as file:
        file.write("")
    return z


def within(z: Array) -> Array:
    def inner() -> None:
        CALLS.append("within")

    inner()
    return z


def of_unknown(z: Array) -> Array:
    return np.vectorize(counts)(z)


def closing_over() -> Callable[[Array], Array]:
    seen: list[Array] = []

    def inner(z: Array) -> Array:
        seen.append(z)
        return z

    return inner


@functools.wraps(sigmoid)
def wrapped(z: Array) -> Array:
    CALLS.append("wrapped")
    return z


CLOSING = closing_over()
IMPURE: list[Any] = [
    *(counts, through_another, writes_a_table, sets_a_global, sets_an_attribute, prints, removes, imports, saves),
    *(saves_itself, draws, opens, within, of_unknown, CLOSING, wrapped),
]


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in PURE])
def test_what_only_computes_may_be_tried(function: FunctionType) -> None:
    assert only_computes(function)


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__code__.co_name) for f in IMPURE])
def test_what_does_more_is_never_tried(function: FunctionType) -> None:
    assert not only_computes(function)


# --- in a diagnosis ---------------------------------------------------------------------------------------------------


def test_a_function_that_only_computes_is_proposed() -> None:
    with pytest.raises(GradientError, match=r"with `slope` for `relu`|with `slope\(w\)` for `relu\(w\)`"):
        check(unit, wrong_slope, np.array([0.3, 0.7]))


def test_a_diagnosis_calls_nothing_that_does_more() -> None:
    CALLS.clear()
    with pytest.raises(GradientError, match="proved wrong"):
        check(unit, inexplicable, np.array([0.3, 0.7]))
    assert CALLS == []
    assert TABLE.tolist() == [0.0, 0.0, 0.0]
    assert HALF == 0.5
