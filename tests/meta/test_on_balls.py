"""What a subject gets from numpy and math takes balls, stays plain where it was plain, and says why where it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.special
from flint import arb
from numpy import linalg as LA
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from oracles import Ruling, certify, stand_ins
from oracles.ball import BallArray, lift
from oracles.errors import NotCertifiableError, UndecidedComparisonError
from oracles.stand_ins import StandIn, replacements
from oracles.subject import on_balls, why_not
from tests.meta.ulps import ulps

Array = Any
X = np.array([[0.3, -0.7, 1.1], [2.0, 0.4, -1.3]])
ONES = np.ones(3)


def run(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with on_balls([function], 256, **options):
        return function(
            *(lift(a) if isinstance(a, float | np.ndarray) and np.asarray(a).dtype.kind == "f" else a for a in args)
        )


def midpoints(values: BallArray) -> Array:
    return np.array([float(b.mid()) for b in values._a.ravel()]).reshape(values._a.shape)


def assert_as_on_floats(function: Callable[..., Any], *args: Any, rtol: float = 0.0) -> None:
    found, expected = run(function, *args), function(*args)
    parts = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for part, value in parts:
        if isinstance(part, BallArray):
            assert np.asarray(value).dtype == np.float64
            assert part._a.shape == np.shape(value)
            assert np.allclose(midpoints(part), value, rtol=rtol, atol=0)
        else:
            assert isinstance(part, type(value))
            assert np.array_equal(part, value)
            assert np.asarray(part).dtype == np.asarray(value).dtype


# --- arrays that a subject makes --------------------------------------------------------------------------------------

BALLS: list[tuple[str, Callable[[Array], Any]]] = [
    ("zeros", lambda x: np.zeros((2, 3))),
    ("zeros-dtype", lambda x: np.zeros(x.shape, dtype=x.dtype)),
    ("zeros-float", lambda x: np.zeros(3, float)),
    ("zeros-text-dtype", lambda x: np.zeros(3, dtype="float64")),
    ("ones", lambda x: np.ones(3)),
    ("full", lambda x: np.full((2, 2), 0.1)),
    ("full-ball", lambda x: np.full((2, 2), x[0, 0])),
    ("full-array", lambda x: np.full((2, 3), x[0])),
    ("full-dtype", lambda x: np.full(3, 2, dtype=float)),
    ("full-inf", lambda x: np.full(3, -np.inf)),
    ("eye", lambda x: np.eye(3)),
    ("eye-offset", lambda x: np.eye(2, 3, k=1)),
    ("identity", lambda x: np.identity(2)),
    ("tri", lambda x: np.tri(3)),
    ("array", lambda x: np.array([0.1, 2.0])),
    ("array-of-balls", lambda x: np.array([x[0, 0], 1, 0.5])),
    ("array-of-rows", lambda x: np.array([x[0], x[1], [1, 2, 3]])),
    ("array-copy", lambda x: np.array(x)),
    ("array-ndmin", lambda x: np.array(x[0], ndmin=2)),
    ("array-dtype", lambda x: np.array([1, 2], dtype=float)),
    ("array-0-d", lambda x: np.array(0.5)),
    ("asarray", lambda x: np.asarray(x)),
    ("asarray-list", lambda x: np.asarray([x[0, 0], x[0, 1]], dtype=np.float64)),
    ("asarray-scalar", lambda x: np.asarray(x[0, 0])),
    ("ascontiguousarray", lambda x: np.ascontiguousarray(x.T)),
    ("asanyarray", lambda x: np.asanyarray(x)),
    ("zeros_like", lambda x: np.zeros_like(x)),
    ("zeros_like-plain", lambda x: np.zeros_like(np.random.default_rng(0).normal(size=3))),
    ("zeros_like-list", lambda x: np.zeros_like([x[0, 0], 1.0])),
    ("zeros_like-mask", lambda x: np.zeros_like(x > 0, dtype=float)),
    ("ones_like-integers", lambda x: np.ones_like(np.arange(3), dtype=np.float64)),
    ("ones_like-scalar", lambda x: np.ones_like(x[0, 0])),
    ("full_like", lambda x: np.full_like(x, 0.1)),
    ("full_like-integers", lambda x: np.full_like(np.arange(3), 0.5, dtype=float)),
    ("arange-floats", lambda x: np.arange(0.0, 1.0, 0.25)),
    ("arange-decimals", lambda x: np.arange(0, 1, 0.1)),
    ("arange-float-stop", lambda x: np.arange(3.0)),
    ("arange-dtype", lambda x: np.arange(4, dtype=float)),
    ("arange-down", lambda x: np.arange(1.0, -1.0, -0.5)),
    ("arange-empty", lambda x: np.arange(1.0, 0.0)),
    ("linspace", lambda x: np.linspace(0, 1, 7)),
    ("linspace-open", lambda x: np.linspace(0.0, x[0, 0], 5, endpoint=False)),
    ("linspace-one", lambda x: np.linspace(2.5, 3, 1)),
    ("linspace-step", lambda x: np.linspace(0, 1, 4, retstep=True)),
    ("c_", lambda x: np.c_[np.ones(2), x]),
    ("c_-vectors", lambda x: np.c_[x[0], x[1]]),
    ("r_", lambda x: np.r_[x[0], 1.0, x[1]]),
    ("diag-of-list", lambda x: np.diag(np.array([0.1, 0.2]))),
    ("outer-of-plain", lambda x: np.outer(x[0], np.arange(2))),
]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in BALLS])
def test_float_arrays_are_balls(make: Callable[[Array], Any]) -> None:
    """Of the shape and with the values that NumPy gives; and other balls can be written into them."""
    assert_as_on_floats(make, X, rtol=ulps(2))  # a step of arange or linspace is rounded, its multiple, the midpoint
    made = run(make, X)
    made = made[0] if isinstance(made, tuple) else made
    third = lift(1.0) / 3
    made[...] = third
    assert all(b.overlaps(third._a.item()) for b in made._a.ravel())


PLAIN: list[tuple[str, Callable[[Array], Any]]] = [
    ("zeros-int", lambda x: np.zeros(3, dtype=int)),
    ("zeros-bool", lambda x: np.zeros((2, 2), dtype=bool)),
    ("ones-int8", lambda x: np.ones(3, dtype=np.int8)),
    ("empty-int", lambda x: np.empty(3, dtype=int) * 0),
    ("empty_like-int", lambda x: np.empty_like(x, dtype=int) * 0),
    ("full-int", lambda x: np.full(3, 7)),
    ("full-bool", lambda x: np.full(3, True)),
    ("full-np.int64", lambda x: np.full(3, np.int64(7))),
    ("eye-bool", lambda x: np.eye(2, dtype=bool)),
    ("tri-bool", lambda x: np.tri(3, dtype=bool)),
    ("array-int", lambda x: np.array([1, 2])),
    ("array-bool", lambda x: np.array([True, False])),
    ("array-text", lambda x: np.array(["a", "bc"])),
    ("asarray-int", lambda x: np.asarray([1, 2], dtype=np.int32)),
    ("array-to-int", lambda x: np.array([1.0, 2.0], dtype=int)),
    ("zeros_like-int", lambda x: np.zeros_like(np.arange(3))),
    ("zeros_like-of-mask", lambda x: np.zeros_like(x > 0)),
    ("zeros_like-as-int", lambda x: np.zeros_like(x, dtype=int)),
    ("full_like-int", lambda x: np.full_like(np.arange(3), 7)),
    ("arange", lambda x: np.arange(x.shape[1])),
    ("arange-steps", lambda x: np.arange(2, 9, 3)),
    ("arange-as-int", lambda x: np.arange(0.0, 3.0, dtype=int)),
    ("linspace-as-int", lambda x: np.linspace(0, 8, 5, dtype=int)),
    ("mask", lambda x: x > 0),
    ("triu-mask", lambda x: np.triu(np.ones((3, 3), dtype=bool), k=1)),
    ("tril-indices", lambda x: np.tril_indices(3)),
    ("sum-of-mask", lambda x: np.sum(x > 0)),
    ("add-integers", lambda x: np.add(2, 3)),
    ("multiply-integers", lambda x: np.multiply(np.arange(3), 2)),
    ("power-integers", lambda x: np.power(2, 3)),
    ("maximum-integers", lambda x: np.maximum(2, 3)),
    ("prod-of-shape", lambda x: np.prod(x.shape)),
    ("unique", lambda x: np.unique(np.array([3, 1, 3]))),
    ("bincount", lambda x: np.bincount(np.array([0, 2, 2]), minlength=4)),
    ("ix_", lambda x: np.ix_([0, 1], [2])),
    ("floor-divide-integers", lambda x: np.floor_divide(7, 2)),
    ("r_-slice", lambda x: np.r_[0:3, 7]),
    ("isscalar", lambda x: np.isscalar(3)),
    ("issubdtype", lambda x: np.issubdtype(x.dtype, np.floating)),
    ("random-integers", lambda x: np.random.default_rng(0).integers(0, 9, 3)),
    ("random-permutation", lambda x: np.random.default_rng(0).permutation(5)),
    ("ndindex", lambda x: np.array(list(np.ndindex(2, 2)))),
    ("math.floor", lambda x: math.floor(2.5)),
    ("math.comb", lambda x: math.comb(5, 2)),
    ("math.isinf", lambda x: math.isinf(math.inf)),
    ("math.prod-of-shape", lambda x: math.prod(x.shape)),
    ("floor-of-root", lambda x: int(np.floor(np.sqrt(17)))),
    ("int-of-log2", lambda x: int(math.log2(8)) + int(np.log2(1024)) + int(math.log10(1000)) + math.ceil(math.log2(5))),
]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in PLAIN])
def test_integers_masks_and_text_stay_plain(make: Callable[[Array], Any]) -> None:
    assert_as_on_floats(make, X)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, "f4", complex])
def test_buffers_of_narrower_dtypes_are_refused_by_name(dtype: Any) -> None:
    name = str(np.dtype(dtype))
    for make in (
        lambda x: np.zeros(3, dtype=dtype),
        lambda x: np.ones_like(x, dtype=dtype),
        lambda x: np.array([1.0], dtype=dtype),
        lambda x: np.array([x[0, 0]], dtype=dtype),
        lambda x: np.full(3, 0.5, dtype=dtype),
        lambda x: x.astype(dtype),
    ):
        with pytest.raises(NotCertifiableError, match=f"dtype {name}"):
            run(make, X)


def test_copies_and_aliases_are_as_in_numpy() -> None:
    def changed(x: Array) -> Array:
        copied, same, also = np.array(x), np.asarray(x), np.ascontiguousarray(x)
        copied[...], same[0], also[1] = 9, 5, 7
        return x

    assert np.array_equal(midpoints(run(changed, X)), changed(X.copy()))


def test_wider_floats_are_balls() -> None:
    made = run(lambda x: np.zeros(3, dtype=np.longdouble) + x[0].astype(np.longdouble), X)
    assert np.array_equal(midpoints(made), X[0])


# --- functions on what a subject has ----------------------------------------------------------------------------------

CALLS: list[tuple[str, Callable[[Array], Any]]] = [
    ("sum-of-list", lambda x: np.sum([x[0, 0], x[1, 1], 1.0])),
    ("sum-of-generator", lambda x: sum(np.sum(np.square(row)) for row in x)),
    ("mean-of-list", lambda x: np.mean([np.max(row) for row in x])),
    ("max-of-list", lambda x: np.max([x[0, 0], 0])),
    ("stack-of-list", lambda x: np.stack([row * 2 for row in x])),
    ("exp-of-list", lambda x: np.exp([x[0, 0], x[0, 1]])),
    ("maximum-of-lists", lambda x: np.maximum([x[0, 0], 0.1], [0, x[1, 0]])),
    ("norm-of-list", lambda x: np.linalg.norm(np.array([x[0, 0], x[0, 1]]))),
    ("norm-by-module", lambda x: LA.norm(x, axis=1)),
    ("sliding-window", lambda x: np.sum(sliding_window_view(x[0], 2), axis=1)),
    ("as_strided", lambda x: as_strided(x, shape=(2, 2, 2), strides=(*x.strides, x.strides[1])).sum(axis=-1)),
    ("as_strided-by-module", lambda x: np.lib.stride_tricks.as_strided(x[0], (2, 2), (8, 8))),
    ("as_strided-plain", lambda x: np.lib.stride_tricks.as_strided(np.arange(3), (2,), (8,)).sum() * x),
    ("unique-inverse", lambda x: x[np.unique(np.array([1, 0, 1]), return_inverse=True)[1]]),
    ("ix_", lambda x: x[np.ix_([0, 1], [2, 0])]),
    ("newaxis", lambda x: x[:, np.newaxis] + x[None, :, :]),
    ("mask-of-ones", lambda x: np.tril(np.ones((2, 2))) @ x),
    ("one-hot", lambda x: np.eye(3)[np.array([0, 2])] * x),
    ("scatter", lambda x: _scattered(x)),
    ("pad", lambda x: np.pad(x, ((1, 0), (0, 1)), mode="constant")),
    ("einsum-with-ones", lambda x: np.einsum("ij,j->i", x, np.ones(3))),
    ("vectorised-where", lambda x: np.where(x > 0, x, 0.01 * x)),
    ("logaddexp.reduce", lambda x: np.logaddexp.reduce(x, axis=1)),
    ("add.outer", lambda x: np.add.outer(x[0], x[1])),
    ("module-level-ones", lambda x: ONES * x / ONES.size),
    ("np.float64-left", lambda x: np.float64(0.5) * x),
    ("isnan", lambda x: x * (not np.isnan(x).any())),
    ("accuracy", lambda x: np.mean((x > 0) == (x > 0.35)) * x),
    ("sign-away-from-0", lambda x: np.sign(x) * np.abs(x)),
    ("inverse", lambda x: np.linalg.inv(x[:, :2]) @ np.linalg.solve(x[:, :2], x)),
    ("determinant", lambda x: np.linalg.det(x[:, :2]) * x),
    ("along-axis", lambda x: np.apply_along_axis(lambda row: row / np.sum(np.abs(row)), 1, x)),
    ("random-mask", lambda x: x * (np.random.default_rng(0).random(x.shape) < 0.5) / 0.5),
    ("sorted-values", lambda x: np.sort(x, axis=1)[:, ::-1]),
    ("pairs", lambda x: np.array([b - a for a, b in pairwise(x[0])])),
    ("enumerate-zip", lambda x: np.array([i * a * b for i, (a, b) in enumerate(zip(x[0], x[1], strict=True))])),
    ("builtins", lambda x: max(x[0]) - min(x[1]) + abs(x[0, 1]) + divmod(x[1, 0], 0.75)[1]),
    ("euler_gamma", lambda x: np.euler_gamma * x),
]


def _scattered(x: Array) -> Array:
    made = np.zeros((4, 3))
    np.add.at(made, np.array([3, 3]), x)
    np.maximum.at(made, np.array([0, 0]), x)
    return made


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in CALLS])
def test_calls_that_course_code_makes_agree_with_numpy(call: Callable[[Array], Any]) -> None:
    # The longest are a dozen roundings; linear systems have a condition of 3 and are solved twice; a tanh has 4 ulps.
    assert_as_on_floats(call, X, rtol=ulps(32))


def reached_by_default(x: Array, activation: Callable[[Array], Array] = np.tanh, size: Any = math.sqrt) -> Array:
    return activation(x) / size(x.shape[1])


def test_functions_in_defaults_are_served() -> None:
    assert_as_on_floats(reached_by_default, X, rtol=ulps(6))  # four ulps of tanh, a root, a quotient, the midpoint
    assert (run(reached_by_default, X) ** 2 * 3 / np.tanh(lift(X)) ** 2)._a[0, 0].contains(1)


def test_type_checks_see_a_duck_array() -> None:
    """Said in the docs and not hidden: a duck array cannot be an ndarray, nor its scalar a float."""

    def kinds(x: Array) -> tuple[bool, ...]:
        return isinstance(x, np.ndarray), isinstance(x[0, 0], float), np.isscalar(x[0, 0]), hasattr(x, "dtype")

    assert kinds(X) == (True, True, True, True)
    assert run(kinds, X) == (False, False, False, True)


DERIVATIVES: dict[Any, Callable[[Array], Array]] = {np.tanh: lambda y: 1 - y**2, np.exp: lambda y: y}


def test_functions_are_found_in_tables_that_name_them() -> None:
    def derivative(x: Array, activation: Callable[[Array], Array] = np.exp) -> Array:
        return DERIVATIVES[np.tanh](np.tanh(x)) + DERIVATIVES[activation](activation(x)) * (activation == np.exp)

    assert_as_on_floats(derivative, X, rtol=ulps(8))  # at most four ulps of tanh and exp, and some sums
    assert replacements(256, True)[id(np.exp)] != np.tanh


def test_a_stand_in_is_the_module_but_for_what_it_replaces() -> None:
    versions = replacements(256, True)
    stand_in = versions[id(np)]
    assert isinstance(stand_in, StandIn)
    assert stand_in.__name__ == "numpy"
    assert stand_in.float64 is np.float64
    assert stand_in.random is np.random
    assert stand_in.add.at == np.add.at
    assert stand_in.exp.nin == 1
    assert stand_in.zeros is not np.zeros
    assert "zeros" in dir(stand_in)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = stand_in.no_such_name
    assert versions[id(np.pi)]._a.item().overlaps(arb.pi())
    assert id(np.pi) not in replacements(256, False)


# --- math -------------------------------------------------------------------------------------------------------------

MATH = [
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "sin", "cos", "tan", "sinh", "cosh"),
    *("tanh", "degrees", "radians", "asin", "acos", "atan", "asinh", "atanh", "fabs", "erf", "erfc", "gamma", "lgamma"),
    *("floor", "ceil", "trunc", "isnan", "isinf", "isfinite"),
]
MATH_OF_TWO = ["atan2", "pow", "fmod", "copysign", "hypot"]


@pytest.mark.parametrize("name", MATH)
def test_math_on_balls_agrees_with_math_on_floats(name: str) -> None:
    function = getattr(math, name)

    def served(x: Any) -> Any:
        return getattr(math, name)(x)

    # libm is off by an ulp or two. CPython has its own gamma, good to ten, whose logarithm loses digits near 1 and 2.
    rel = ulps(32 if "gamma" in name else 4)
    for value in (0.3, 0.75):
        found = run(served, value)
        expected = function(value)
        if isinstance(expected, float):
            assert isinstance(found, BallArray)
            assert math.isclose(midpoints(found).item(), expected, rel_tol=rel)
            assert found._a.item().rel_accuracy_bits() > 240 or found._a.item().is_exact()
        else:
            assert found == expected
            assert type(found) in (type(expected), np.bool_)
    assert math.acosh(1.5) == midpoints(run(lambda x: math.acosh(x), 1.5)).item()


@pytest.mark.parametrize("name", MATH_OF_TWO)
def test_math_of_two_agrees_with_math_on_floats(name: str) -> None:
    def served(x: Any) -> Any:
        return getattr(math, name)(x, 0.25) + getattr(math, name)(2.5, x)

    expected = served(0.75)
    assert math.isclose(midpoints(run(served, 0.75)).item(), expected, rel_tol=ulps(4))  # two functions and a sum


def test_more_of_math() -> None:
    def served(x: Any) -> Any:
        parts = [x, x * 2, x * 3]
        a = math.fsum(parts) + math.prod(parts) + math.hypot(*parts) + math.dist(parts, [0.5, x, 1])
        return a + math.log(x, 2) + math.tau * math.pi * math.e + math.log(x)

    found = run(served, 0.3)
    # The largest term is the product of three rounded constants; with two products and five sums it is ten roundings.
    assert math.isclose(midpoints(found).item(), served(0.3), rel_tol=ulps(8))
    assert found._a.item().rel_accuracy_bits() > 230


def test_math_rounds_towards_integers_only_where_it_is_certain() -> None:
    assert run(lambda x: math.floor(x), 2.5) == 2
    with pytest.raises(UndecidedComparisonError, match="floor"), on_balls([test_more_of_math], 256):
        math.floor(lift(2.0) + (lift(1.0) / 3) * 3 - 1)


# --- an except does not hide a refusal --------------------------------------------------------------------------------


def swallows_an_open_comparison(x: Any) -> Any:
    try:
        return x * (x / 3 * 3 > x)
    except Exception:
        return x


def swallows_a_refusal(x: Any) -> Any:
    try:
        return x * float(x)
    except TypeError:
        return x


def swallows_a_missing_version(x: Any) -> Any:
    with suppress(Exception):
        return np.linalg.eigvalsh(x)
    return x


def fails_afterwards(x: Any) -> Any:
    swallows_an_open_comparison(x)
    raise KeyError("something else")


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (swallows_an_open_comparison, UndecidedComparisonError),
        (swallows_a_refusal, NotCertifiableError),
        (swallows_a_missing_version, NotCertifiableError),
        (fails_afterwards, UndecidedComparisonError),
    ],
)
@pytest.mark.parametrize("literals", [True, False])
def test_what_a_subject_swallows_is_raised_in_the_end(function: Any, error: type[Exception], literals: bool) -> None:
    with pytest.raises(error) as refusal, on_balls([function], 256, literals=literals):
        function(lift(1.0))
    assert "swallows" in why_not(refusal.value)


def test_what_is_caught_in_one_run_does_not_count_in_the_next() -> None:
    with pytest.raises(UndecidedComparisonError), on_balls([swallows_an_open_comparison], 256):
        swallows_an_open_comparison(lift(1.0))
    with on_balls([swallows_an_open_comparison], 256):
        assert not lift(3.0) > 4


def test_what_the_balls_themselves_catch_is_no_refusal() -> None:
    def grid(x: Any) -> Any:
        return x * np.arange(0, 1, 0.1)  # 1 / 0.1 is 10, and rounded up it may be 11

    assert run(grid, 1.0)._a.shape == (10,)


def test_other_errors_are_those_of_the_subject() -> None:
    with pytest.raises(ZeroDivisionError), on_balls([fails_afterwards], 256):
        raise ZeroDivisionError


def test_an_except_would_hide_a_kink() -> None:
    def right(x: Array) -> Array:
        try:
            return (x > 0).astype(float) + 1
        except ArithmeticError:
            return np.ones_like(x)

    kinked = np.array([0.0, 1.0])
    found = certify(lambda x: np.sum(np.where(x > 0, 2 * x, x)), right, kinked)
    assert found.ruling is not Ruling.WRONG


# --- why not ----------------------------------------------------------------------------------------------------------


def fails_in_numpy(x: Array) -> Array:
    made = x * 2
    return np.fft.fft(made)  # the culprit


def fails_in_a_loop(x: Array) -> Array:
    def inner(row: Array) -> Array:
        return float(row[0])  # the culprit

    return np.stack([inner(row) for row in x])


def fails_in_scipy(x: Array) -> Array:
    return scipy.special.logsumexp(x * 0.1)  # the culprit


def fails_in_a_buffer(x: Array) -> Array:
    STORE[0] = x[0, 0]  # the culprit
    return x


def fails_in_a_callback(x: Array) -> Array:
    return np.apply_along_axis(lambda row: np.round(row, 1), 1, x)  # the culprit


def fails_by_method(x: Array) -> Array:
    return x.tobytes()  # the culprit


def fails_by_type(x: Array) -> Array:
    return x + "1"  # the culprit


def fails_by_comparison(x: Array) -> Array:
    return x if np.all(x - x / 3 * 3 == 0) else -x  # the culprit


STORE = np.zeros(3)
FAILURES = [
    pytest.param(fails_in_numpy, "numpy.fft.fft has no version for balls", id="function"),
    pytest.param(fails_in_a_loop, "float() of a ball", id="float"),
    pytest.param(fails_in_scipy, "balls were written into, or converted to, a plain NumPy array", id="scipy"),
    pytest.param(
        fails_in_a_buffer, "float() of a ball, or a ball written into a plain float array", id="element-of-a-buffer"
    ),
    pytest.param(fails_in_a_callback, "numpy.round has no version for balls", id="callback"),
    pytest.param(fails_by_method, "AttributeError: 'BallArray' object has no attribute 'tobytes'", id="method"),
    pytest.param(fails_by_type, "TypeError: unsupported operand type(s) for +: 'BallArray' and 'str'", id="type"),
    pytest.param(fails_by_comparison, "UndecidedComparisonError: [+/-", id="comparison"),
]


@pytest.mark.parametrize("literals", [pytest.param(True, id="lifted"), pytest.param(False, id="as-it-is")])
@pytest.mark.parametrize(("function", "reason"), FAILURES)
def test_reasons_name_what_is_missing_and_the_subjects_own_line(
    function: Callable[[Array], Any], reason: str, literals: bool
) -> None:
    with pytest.raises(Exception) as refusal:  # noqa: PT011  (of any type: that is what why_not is for)
        run(function, X, literals=literals)
    text = why_not(refusal.value)
    assert text.startswith(reason)
    place, line = text.splitlines()[-1].split(": ", 1)
    assert line.endswith("# the culprit")
    assert __file__ in place
    number = int(place.rsplit(":", 1)[1].split()[0])
    with open(__file__) as source:
        assert source.read().splitlines()[number - 1].endswith("# the culprit")


def test_reasons_without_a_source_or_a_traceback() -> None:
    namespace: dict[str, Any] = {"np": np}
    exec(compile("def f(x):\n    return np.fft.fft(x)", "<a notebook>", "exec"), namespace)
    with pytest.raises(NotCertifiableError) as refusal:
        run(namespace["f"], X)
    assert why_not(refusal.value).endswith("<a notebook>:2 in f: (source not at hand)")
    assert why_not(ValueError("of nothing")) == "ValueError: of nothing"


def test_a_line_of_ours_would_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without telling the subject's frames from the others, the last one is this library's."""
    monkeypatch.setattr("oracles.subject._is_own", lambda *_: True)
    with pytest.raises(NotCertifiableError) as refusal:
        run(fails_in_numpy, X)
    assert "# the culprit" not in why_not(refusal.value)


def test_tables_of_stand_ins_have_no_name_that_the_modules_lack() -> None:
    assert all(hasattr(np, name) for name in stand_ins._NUMPY)
    assert all(hasattr(math, name) for name in stand_ins._MATH)
