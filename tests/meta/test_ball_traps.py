"""No ball becomes a float, a rounded constant or a guess in silence; without its remedy, each trap goes wrong as said.

Each trap has two tests: what happens, and what would happen with the remedy taken away.
"""

from __future__ import annotations

import math
import operator
import pickle
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from flint import arb, ctx

from oracles import Ruling, ball, ball_comparisons, ball_ufuncs, certify, stand_ins
from oracles.ball import BallArray, lift, mode, wrap
from oracles.errors import NotCertifiableError, UndecidedComparisonError
from oracles.subject import on_balls

Array = Any
xp: Any = np  # NumPy's stubs do not know that its functions take duck arrays
with ctx.workprec(1000):
    THIRD = arb(1) / 3
WIDE = arb(0, 1e-6)


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(256):
        yield


def wide(*others: float) -> BallArray:
    """[-1e-6, 1e-6], followed by exact numbers."""
    return wrap(np.array([WIDE, *map(arb, others)], dtype=object))


# --- undecided comparisons --------------------------------------------------------------------------------------------

DECISIONS: list[tuple[str, Callable[[Array], Any]]] = [
    ("less", lambda x: x < 0),
    ("equal", lambda x: x == 0),
    ("where", lambda x: np.where(x > 0, x, 0)),
    ("mask", lambda x: x[x >= 0]),
    ("mask-write", lambda x: x.copy().__setitem__(x > 0, 1)),
    ("gate", lambda x: x * (x > 0)),
    ("argmax", lambda x: np.argmax(x)),
    ("argmin", lambda x: np.argmin(x)),
    ("argsort", lambda x: np.argsort(x)),
    ("sort", lambda x: np.sort(x)),
    ("sorted", lambda x: sorted(x)),
    ("max-builtin", lambda x: max(x)),
    ("any", lambda x: x[:1].any()),
    ("count_nonzero", lambda x: np.count_nonzero(x)),
    ("nonzero", lambda x: np.nonzero(x)),
    ("array_equal", lambda x: np.array_equal(x, x + 0)),
    ("bool", lambda x: bool(x[0])),
    ("int", lambda x: int(x[0] + 1)),
    ("astype-int", lambda x: (x + 1).astype(int)),
    ("astype-bool", lambda x: x.astype(bool)),
    ("sign", lambda x: np.sign(x)),
    ("floor", lambda x: np.floor(x)),
    ("heaviside", lambda x: np.heaviside(x, 0.5)),
    ("floor-division", lambda x: x // 1),
    ("remainder", lambda x: x % 1),
    ("logical_not", lambda x: np.logical_not(x)),
    ("logical_and", lambda x: np.logical_and(x, True)),
    ("signbit", lambda x: np.signbit(x)),
    ("isnan", lambda x: np.isnan(np.sqrt(x)).any()),
    ("isfinite", lambda x: np.isfinite(1 / x)),
]


@pytest.mark.parametrize("decision", [pytest.param(d, id=name) for name, d in DECISIONS])
def test_open_decisions_raise(decision: Callable[[Array], Any]) -> None:
    with pytest.raises(UndecidedComparisonError, match="cannot be decided"):
        decision(wide(1e-7))


def test_the_message_names_values_index_and_count() -> None:
    x = wrap(np.array([[arb(1), WIDE], [arb(2), WIDE]], dtype=object))
    with pytest.raises(UndecidedComparisonError) as greater:
        x > 0  # noqa: B015
    assert str(greater.value) == (
        "[+/- 1.01e-6] greater 0 at index (0, 1) cannot be decided: the balls overlap (2 of 4 comparisons open)"
    )
    with pytest.raises(UndecidedComparisonError) as sign:
        xp.sign(x)
    assert str(sign.value).startswith("the sign of [+/- 1.01e-6] at index (0, 1) cannot be decided: ")
    assert str(sign.value).endswith("(2 of 4 comparisons open)")


def test_a_tie_of_what_is_computed_twice_says_what_to_do() -> None:
    x = lift(np.array([1.0, -2.0]))
    assert (x == x.max()).tolist() == [True, False]
    inexact = x / 3
    with pytest.raises(UndecidedComparisonError, match=r"so compute it once, as z in z == z\.max\(\)"):
        -inexact == np.max(-inexact)  # noqa: B015


def lenient(relation: str, a: Any, b: Any) -> Any:
    """Comparison as interval libraries do it by default: False where it is not certain."""
    return np.asarray(ball_comparisons.RELATIONS[relation][0](a, b), dtype=bool)


def test_false_for_undecided_would_drop_the_gradient_of_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball, "compare", lenient)
    x = wide()
    gated = x * (x > 0)
    assert gated._a[0] == 0  # an exact zero, for a number that may be 1e-6
    assert not gated._a[0].contains(arb(1e-7))


def test_false_for_undecided_would_lose_the_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """`a if a > b else b`: the ball that may be the larger one is gone, and maximum says exactly 0."""
    x = wide()
    assert xp.maximum(x, 0)._a[0].contains(arb(1e-7))
    picked = np.frompyfunc(lambda a, b: a if a > b else b, 2, 1)
    monkeypatch.setitem(ball_ufuncs.EXACT, np.maximum, picked)
    assert xp.maximum(x, 0)._a[0] == 0


def test_false_for_undecided_would_pick_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball_comparisons, "compare", lenient)
    assert xp.argmax(wide(1e-7)) == 1  # the first may be ten times as large
    assert xp.argsort(wide(1e-7)).tolist() == [0, 1]


def test_false_for_undecided_would_decide_a_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball, "compare", lenient)
    x = wide()[0]
    assert not bool(x > 0)
    assert not bool(x <= 0)


# --- a ball is no float -----------------------------------------------------------------------------------------------

BUFFER = np.zeros(3)


def store(index: Any, value: Any) -> None:
    np.zeros(3)[index] = value


def add_in_place(buffer: Array, value: Any) -> None:
    buffer += value


CONVERSIONS: list[tuple[str, Callable[[Array], Any]]] = [
    ("float", lambda b: float(b[0])),
    ("complex", lambda b: complex(b[0])),
    ("round", lambda b: round(b[0])),
    ("round-digits", lambda b: round(b[0], 2)),
    ("np.float64", lambda b: np.float64(b[0])),
    ("np.float32", lambda b: np.float32(b[0])),
    ("element", lambda b: store(0, b[0])),
    ("slice", lambda b: store(slice(None), b)),
    ("ellipsis", lambda b: store(..., b)),
    ("mask", lambda b: store(np.array([True, False, True]), b[:2])),
    ("fancy", lambda b: store([0, 1], b[:2])),
    ("list-into-slice", lambda b: store(slice(0, 2), [b[0], b[1]])),
    ("in-place", lambda b: add_in_place(np.zeros(3), b)),
    ("in-place-scalar", lambda b: add_in_place(np.zeros(3), b[0])),
    ("in-place-integers", lambda b: add_in_place(np.zeros(3, dtype=int), b)),
    ("out", lambda b: np.add(b, 1, out=np.zeros(3))),
    ("out-reduction", lambda b: np.sum(b, axis=0, out=np.zeros(()))),
    ("out-function", lambda b: np.take(b, [0], out=np.zeros(1))),
    ("out-comparison", lambda b: np.exp(b, out=np.zeros(3, dtype=bool))),
    ("add.at", lambda b: np.add.at(np.zeros(3), [0, 1, 1], b)),
    ("maximum.at", lambda b: np.maximum.at(np.zeros(3), [0, 1, 1], b)),
    ("copyto", lambda b: np.copyto(np.zeros(3), b)),
    ("put", lambda b: np.put(np.zeros(3), [0, 1, 2], b)),
    ("putmask", lambda b: np.putmask(np.zeros(3), [True] * 3, b)),
    ("place", lambda b: np.place(np.zeros(3), [True] * 3, b)),
    ("put_along_axis", lambda b: np.put_along_axis(np.zeros(3), np.arange(3), b, 0)),
    ("fill", lambda b: np.zeros(3).fill(b[0])),
    ("fill_diagonal", lambda b: np.fill_diagonal(np.zeros((3, 3)), b)),
    ("module-level-buffer", lambda b: BUFFER.__setitem__(slice(None), b)),
    ("np.array", lambda b: np.array(b)),
    ("np.array-of-list", lambda b: np.array([b[0], b[1]])),
    ("np.array-of-rows", lambda b: np.array([b, b])),
    ("np.asarray-dtype", lambda b: np.asarray(b, dtype=np.float64)),
    ("np.fromiter", lambda b: np.fromiter(b, dtype=float)),
    ("np.full", lambda b: np.full(3, b[0])),
    ("np.full-dtype", lambda b: np.full(3, b[0], dtype=float)),
    ("np.sum-of-list", lambda b: np.sum([b[0], b[1]])),
    ("np.arange", lambda b: np.arange(b[0])),
    ("np.r_", lambda b: np.r_[b, b]),
    ("np.vectorize", lambda b: np.vectorize(lambda v: v)(b)),
    ("np.testing", lambda b: np.testing.assert_allclose(b, b)),
    ("np.random", lambda b: np.random.default_rng(0).normal(b[0], 1)),
    ("ndarray.dot", lambda b: np.ones(3).dot(b)),
    ("math.exp", lambda b: math.exp(b[0])),
    ("math.floor-of-float", lambda b: math.sin(b[1])),
    ("sum-fsum", lambda b: math.fsum(b)),
    ("text", lambda b: float(f"{b[0]:.17f}")),
    ("percent", lambda b: operator.mod("%.3f", b[0])),
    ("scipy.special", lambda b: scipy.special.expit(b)),
    ("scipy.special-scalar", lambda b: scipy.special.erf(b[0])),
    ("scipy.logsumexp", lambda b: scipy.special.logsumexp(b)),
    ("torch.tensor", lambda b: torch.tensor(b)),
    ("torch.tensor-of-list", lambda b: torch.tensor([b[0], b[1]])),
    ("torch.as_tensor", lambda b: torch.as_tensor(b)),
    ("torch.full", lambda b: torch.full((2,), b[0])),
    ("torch-operand", lambda b: torch.ones(3) * b),
    ("pickle", lambda b: pickle.dumps(b)),
    ("float32", lambda b: b.astype(np.float32)),
    ("float16", lambda b: b.astype("f2")),
    ("complex-dtype", lambda b: b.astype(complex)),
    ("float32-sum", lambda b: b.sum(dtype=np.float32)),
    ("float32-like", lambda b: np.zeros_like(b, dtype=np.float32)),
    ("view-as-bits", lambda b: b.view(np.int64)),
]


@pytest.mark.parametrize("convert", [pytest.param(c, id=name) for name, c in CONVERSIONS])
def test_conversions_are_refused(convert: Callable[[Array], Any]) -> None:
    balls = lift(np.array([1.0, 2.0, 3.0])) / 3
    kept = balls._a.copy()
    with pytest.raises((NotCertifiableError, TypeError, ValueError, RuntimeError)) as refusal:
        convert(balls)
    assert not isinstance(refusal.value, UndecidedComparisonError)
    assert np.all(balls._a == kept) or all(a is b for a, b in zip(balls._a, kept, strict=True))
    assert np.array_equal(BUFFER, np.zeros(3))


def test_a_float_of_a_ball_would_lose_its_radius_in_any_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With __float__ and __array__ as arrays of objects have them, every one of these goes through in silence."""
    monkeypatch.setattr(BallArray, "__float__", lambda self: float(self._a.item().mid()))
    monkeypatch.setattr(BallArray, "__array__", lambda self, *_, **__: self._a.astype(np.float64))
    balls = wrap(np.array([arb(1, 0.5), THIRD, arb(3)], dtype=object))
    buffer = np.zeros(3)
    buffer[0] = balls[0]
    buffer[1:] = balls[1:]
    assert buffer.dtype == np.float64
    assert buffer[0] == 1.0  # what may be anything from 0.5 to 1.5
    assert not lift(buffer)._a[1].contains(THIRD)
    assert np.array([balls[0]])[0] == 1.0
    assert math.exp(balls[0]) == math.e


def test_rounded_values_would_be_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A right gradient through a forgotten buffer: reported as it is; with float() allowed, judged by its rounding."""
    buffer = np.zeros(2)

    def loss(x: Array) -> Array:
        return np.sum(x**3) / 3

    def gradient(x: Array) -> Array:
        buffer[...] = x * x
        return buffer.copy()

    x = np.array([0.3, 0.7])
    assert certify(loss, gradient, x).ruling is Ruling.NOT_CERTIFIABLE
    monkeypatch.setattr(BallArray, "__array__", lambda self, *_, **__: np.vectorize(lambda b: float(b.mid()))(self._a))
    assert certify(loss, gradient, x).ruling not in (Ruling.CERTIFIED, Ruling.NOT_CERTIFIABLE)


# --- what subjects write into buffers ---------------------------------------------------------------------------------


def hinge(x: Array) -> Array:
    return np.sum(np.maximum(x, 0)) / x.shape[0]


def hinge_gradient(x: Array) -> Array:
    dx = np.zeros_like(x)
    dx[x > 0] = 1
    dx /= x.shape[0]
    return dx


def buffered(x: Array) -> Array:
    dx = np.zeros(x.shape)
    for i in range(len(x)):
        dx[i] = x[i] * x[i]
    return dx


def cube(x: Array) -> Array:
    return np.sum(x * x * x) / 3


X = np.array([0.3, -0.7, 1.1])


def test_numbers_written_into_balls_become_balls() -> None:
    assert certify(hinge, hinge_gradient, X).ruling is Ruling.CERTIFIED


def test_numbers_left_as_they_are_would_be_rounded_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array of objects keeps the integer 1, and 1 / 3 is a float then."""

    def store_as_is(self: BallArray, index: Any, value: Any) -> None:
        self._a[index] = value._a if isinstance(value, BallArray) else value

    dx = lift(np.zeros(3))
    dx[...] = 1
    assert (dx / 3)._a[0].contains(THIRD)
    monkeypatch.setattr(BallArray, "__setitem__", store_as_is)
    dx[...] = 1
    assert (dx / 3)._a[0] == 1 / 3
    assert not arb((dx / 3)._a[0]).contains(THIRD)


def test_buffers_of_a_subject_take_balls() -> None:
    assert certify(cube, buffered, X).ruling is Ruling.CERTIFIED


def test_buffers_would_refuse_balls_if_numpy_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(stand_ins._NUMPY, "zeros")
    stand_ins.replacements.cache_clear()
    try:
        certificate = certify(cube, buffered, X)
    finally:
        stand_ins.replacements.cache_clear()
    assert certificate.ruling is Ruling.NOT_CERTIFIABLE
    assert "written into a plain float array" in certificate.reason
    assert "dx[i] = x[i] * x[i]" in certificate.reason


def uninitialised(x: Array) -> Array:
    dx = np.empty(x.shape)
    dx[:-1] = x[:-1] * x[:-1]
    return dx


def test_what_is_read_before_it_is_written_proves_nothing() -> None:
    with on_balls([uninitialised], 256):
        dx = uninitialised(lift(X))
    assert not dx._a[-1].is_finite()
    assert not certify(lambda x: np.sum(x[:-1] ** 3) / 3, uninitialised, X).ok


def test_zeros_for_empty_would_prove_a_gradient_that_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stand_ins._NUMPY, "empty", stand_ins._constructor(0))
    stand_ins.replacements.cache_clear()
    try:
        with on_balls([uninitialised], 256):
            dx = uninitialised(lift(X))
    finally:
        stand_ins.replacements.cache_clear()
    assert dx._a[-1] == 0


# --- shapes and literals ----------------------------------------------------------------------------------------------


def inverse_of_length(x: Array) -> Any:
    return 1 / x.shape[0]


def test_lengths_divide_exactly() -> None:
    """Also where the source is not at hand."""
    with on_balls([inverse_of_length], 256, literals=False):
        assert inverse_of_length(lift(X))._a.item().contains(THIRD)


def test_plain_lengths_would_be_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BallArray, "shape", property(lambda self: self._a.shape))
    with on_balls([inverse_of_length], 256, literals=False):
        assert isinstance(inverse_of_length(lift(X)), float)


def cubic(x: Array) -> Array:
    return np.sum(0.044715 * x**3 + 0.1 * x)


def cubic_gradient(x: Array) -> Array:
    return 0.134145 * x**2 + 0.3 * (1 / 3)


def test_literals_are_taken_as_written() -> None:
    certificate = certify(cubic, cubic_gradient, X)
    assert certificate.ruling is Ruling.CERTIFIED
    assert certificate.digits > 30


def test_rounded_literals_would_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracles.subject.exact_literals", lambda *_: nullcontext())
    certificate = certify(cubic, cubic_gradient, X)
    assert certificate.ruling is Ruling.ROUNDED


# --- NaN --------------------------------------------------------------------------------------------------------------


def test_a_nan_is_no_small_radius_and_equals_nothing() -> None:
    nan = lift(np.nan)
    assert not nan._a.item().is_finite()
    assert not xp.sqrt(wide())._a.item().rad() < 1
    for comparison in (lambda: nan == nan, lambda: nan != nan, lambda: nan < 1, lambda: bool(nan)):
        with pytest.raises(UndecidedComparisonError):
            comparison()
    for result in (xp.maximum(nan, 1), xp.maximum(1, nan), xp.minimum(nan, 1), nan * 0, xp.sum(xp.stack([nan, nan]))):
        assert not result._a.item().is_finite()


def test_identity_would_make_a_nan_equal_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """`x != x` is how code asks for NaN; one object being itself must not answer."""
    monkeypatch.setattr(ball_comparisons, "_same", np.frompyfunc(lambda a, b: a is b, 2, 1))
    nan = lift(np.nan)
    assert not bool(nan != nan)


# --- notes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "noted"),
    [
        pytest.param(0.5, False, id="half"),
        pytest.param(3, False, id="integer"),
        pytest.param(1e6, False, id="million"),
        pytest.param(np.inf, False, id="infinity"),
        pytest.param(np.array([0.25, 2.0]), False, id="short-array"),
        pytest.param(0.1, True, id="tenth"),
        pytest.param(1 / 3, True, id="third"),
        pytest.param(np.float64(0.1), True, id="np.float64"),
        pytest.param(np.array([1.0, 0.1]), True, id="array"),
        pytest.param([1.0, 0.1], True, id="list"),
    ],
)
def test_floats_with_a_full_mantissa_are_noted_when_they_meet_a_ball(number: Any, noted: bool) -> None:
    with on_balls([], 256) as run:
        lift(1.0) + number
        assert bool(run.rounded) == noted
    with on_balls([], 256) as run:
        lift(number)  # of a point: it is what it is
        lift(1.0) > number  # noqa: B015  (nothing gets from a comparison into a value)
    assert run.rounded == []


def test_a_constant_that_is_not_noted_would_be_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    tenth = 0.1

    def loss(x: Array) -> Array:
        return np.sum(x * x) / 20

    def gradient(x: Array) -> Array:
        return x * tenth

    assert certify(loss, gradient, X).ruling is Ruling.ROUNDED
    monkeypatch.setattr("oracles.ball_mode.note", lambda *_: None)
    assert certify(loss, gradient, X).ruling is Ruling.WRONG


def test_widened_constants_enclose_what_they_are_the_rounding_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "widened", True)
    for product in (lift(1.0) * (1 / 3), lift(np.ones(2)) * np.full(2, 1 / 3)):
        assert all(b.contains(THIRD) for b in product._a.ravel())
    assert (lift(1.0) * 0.5)._a.item().is_exact()
