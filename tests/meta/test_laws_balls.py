"""Every operation on balls encloses its values at all points of its arguments, at any width and precision.

For x in X in Y: f(x) is in f(X), f(X) is in f(Y), and what Y decides, X and x decide alike. The truth at x is what NumPy
computes on rational numbers; where it has no version for them, the value on balls of 512 bits.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from oracles import ball_functions, ball_products, ball_reductions, ball_ufuncs
from oracles.ball import BallArray, Extent, lift, mode, wrap
from oracles.errors import UndecidedComparisonError
from tests.meta import ball_cases as cases
from tests.meta.ball_cases import Arguments, Call

Array = Any
Number = Any
Evaluate = Callable[[Call, Arguments], Any]

PRECISIONS = (24, 53, 128)
TRUTH = 512
NARROW = 60
SEEDS = st.integers(0, 2**32 - 1)
WIDTHS = st.sampled_from([3, NARROW, 20, 0])
"""-log2 of the radius."""
LAW = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no defect of a strategy
)


def holds(law: Callable[..., None], examples: int, **arguments: st.SearchStrategy[Any]) -> None:
    """Run a law on arguments that hypothesis chooses, the same ones every time."""
    settings(LAW, max_examples=examples)(given(**arguments)(law))()


def breaks(law: Callable[..., None], message: str, **arguments: st.SearchStrategy[Any]) -> None:
    """A law that has to fail. Nobody waits for its smallest counterexample."""
    with pytest.raises(AssertionError, match=message):
        settings(LAW, phases=[Phase.generate], report_multiple_bugs=False)(given(**arguments)(law))()


# --- rational numbers as NumPy's objects ------------------------------------------------------------------------------


class Exact(Fraction):
    """A rational that takes floats for the numbers they are, and has the methods that NumPy's ufuncs ask objects for."""

    def rint(self) -> Exact:
        return Exact(round(Fraction(self)))

    def fabs(self) -> Exact:
        return abs(self)

    def fmod(self, other: Number) -> Exact:
        return self - math.trunc(self / other) * other

    def __pow__(self, other: Number) -> Exact:
        if not isinstance(other, int):
            raise TypeError("an irrational number")
        return Exact(Fraction.__pow__(self, other))

    def __rpow__(self, other: Number) -> Exact:
        raise TypeError("an irrational number")

    def __neg__(self) -> Exact:
        return Exact(Fraction.__neg__(self))

    def __abs__(self) -> Exact:
        return Exact(Fraction.__abs__(self))


def _exactly(name: str) -> Callable[[Exact, Number], Number]:
    of_fractions = getattr(Fraction, name)

    def method(self: Exact, other: Number) -> Number:
        found = of_fractions(self, Fraction(other) if isinstance(other, float) else other)
        return Exact(found) if isinstance(found, Fraction) else found

    return method


for _name in ("add", "sub", "mul", "truediv", "mod"):
    for _dunder in (f"__{_name}__", f"__r{_name}__"):
        setattr(Exact, _dunder, _exactly(_dunder))

def rational(ball: arb) -> Fraction:
    """The midpoint or radius of a ball."""
    mantissa, exponent = ball.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def ball_of(value: Number) -> arb:
    """A ball around a number that is far narrower than any other here, exact if the denominator is a power of two."""
    with ctx.workprec(TRUTH):
        return arb(fmpq(value.numerator, value.denominator)) if isinstance(value, Fraction) else arb(value)


def encloses(ball: arb, true: arb) -> bool:
    """Whether all of `true` is in a ball. One that is not finite may stand for anything."""
    return not ball.is_finite() or bool(ball.contains(true))


# --- x in X in Y ------------------------------------------------------------------------------------------------------


class Nested(NamedTuple):
    whole: Arguments
    part: Arguments
    point: Arguments
    """Exact balls."""
    rational: Arguments
    """The same point as rationals."""


def nested(centres: Arguments, width: int, random: np.random.Generator) -> Nested:
    """Balls of radius 2^-width around the centres, balls inside of these, and a point in each of those, or on its rim."""
    made: tuple[dict[str, Array], ...] = ({}, {}, {}, {})
    radius = 2.0**-width
    with ctx.workprec(TRUTH):  # exact: all are sums of floats
        for name, values in vars(centres).items():
            shape, size = np.shape(values), np.size(values)
            off, share, at = random.integers(-8, 9, size) / 16, random.integers(0, 9, size) / 8, random.integers(-4, 5, size) / 4
            middle, reach = lift(np.ravel(values))._a, radius * (1 - abs(off)) * share
            inner = middle + radius * off
            point = inner + reach * at
            parts = _ball(middle, radius), _ball(inner, reach), point, _exact(point)
            for into, part in zip(made, parts, strict=True):
                into[name] = part.reshape(shape)
    *on_balls, rationals = made
    whole, inside, exact = map(_on_balls, on_balls)
    return Nested(whole, inside, exact, Arguments(**{k: v if v.ndim else v.item() for k, v in rationals.items()}))


_ball: Any = np.frompyfunc(arb, 2, 1)
_exact: Any = np.frompyfunc(lambda ball: Exact(rational(ball)), 1, 1)


def _objects(elements: list[Number], shape: tuple[int, ...]) -> Array:
    flat = np.empty(len(elements), dtype=object)
    flat[:] = elements
    return flat.reshape(shape)


def _on_balls(parts: dict[str, Array]) -> Arguments:
    made = {name: BallArray(part) if part.ndim else wrap(part.item()) for name, part in parts.items()}
    columns: Any = BallArray(np.ascontiguousarray(parts["strided"].T).repeat(2, axis=1))
    return Arguments(**made | {"strided": columns[:, ::2].T})


# --- the operations ---------------------------------------------------------------------------------------------------


class Operation(NamedTuple):
    """One call, and the interval that x and y are drawn from: anything, where there is none."""

    call: Call
    interval: tuple[float, float] | None = None

    def arguments(self, random: np.random.Generator) -> Arguments:
        made = cases.arguments(random)
        if self.interval is None:
            return made
        low, high = self.interval
        margin = 2.0**-10
        x, y = random.uniform(low + margin, high - margin, (2, 3, 4))
        return replace(made, x=x, y=y)


def _in_place(operation: Callable[[Any, Any], Any], other: Callable[[Arguments], Any]) -> Call:
    def call(a: Arguments) -> Any:
        target = a.x.copy()
        return operation(target, other(a))

    return call


def _at(ufunc: np.ufunc) -> Call:
    def call(a: Arguments) -> Any:
        target = a.x.copy()
        ufunc.at(target, [0, 2, 2], *[a.y][: ufunc.nin - 1])
        return target

    return call


def _written(a: Arguments) -> Any:
    target = a.x.copy()
    target[1, 1:3] = a.v[:2]
    return target


OPERATORS: dict[str, Call] = {
    # the special methods of an array, each called as the interpreter does
    "__add__": lambda a: a.x + a.y,
    "__radd__": lambda a: 0.75 + a.x,
    "__iadd__": _in_place(operator.iadd, lambda a: a.y),
    "__sub__": lambda a: a.x - a.v,
    "__rsub__": lambda a: 0.75 - a.x,
    "__isub__": _in_place(operator.isub, lambda a: a.y),
    "__mul__": lambda a: a.x * a.y,
    "__rmul__": lambda a: 3 * a.x,
    "__imul__": _in_place(operator.imul, lambda a: a.y),
    "__truediv__": lambda a: a.x / a.y,
    "__rtruediv__": lambda a: 0.75 / a.x,
    "__itruediv__": _in_place(operator.itruediv, lambda a: a.y),
    "__pow__": lambda a: a.x**3,
    "__rpow__": lambda a: 2**a.x,
    "__ipow__": _in_place(operator.ipow, lambda a: 2),
    "__floordiv__": lambda a: a.x // a.y,
    "__rfloordiv__": lambda a: 2 // a.x,
    "__ifloordiv__": _in_place(operator.ifloordiv, lambda a: a.y),
    "__mod__": lambda a: a.x % a.y,
    "__rmod__": lambda a: 2 % a.x,
    "__imod__": _in_place(operator.imod, lambda a: a.y),
    "__divmod__": lambda a: divmod(a.x, a.y),
    "__rdivmod__": lambda a: divmod(2, a.x),
    "__matmul__": lambda a: a.cube @ a.v,
    "__rmatmul__": lambda a: np.arange(6.0).reshape(2, 3) @ a.x,
    "__imatmul__": _in_place(operator.imatmul, lambda a: np.diag(a.v)),
    "__neg__": lambda a: -a.x,
    "__pos__": lambda a: +a.x,
    "__abs__": lambda a: abs(a.x),
    "__eq__": lambda a: a.x == a.y,
    "__ne__": lambda a: a.x != a.y,
    "__lt__": lambda a: a.x < a.y,
    "__le__": lambda a: a.x <= 0.75,
    "__gt__": lambda a: a.x > a.v,
    "__ge__": lambda a: a.x >= a.one,
    "__contains__": lambda a: a.one in a.x,
    "__getitem__": lambda a: a.x[1:, [0, 3]],
    "__setitem__": _written,
}
METHODS: dict[tuple[np.ufunc, str], Call] = {
    (np.add, "reduce"): lambda a: np.add.reduce(a.x, axis=1),
    (np.multiply, "reduce"): lambda a: np.multiply.reduce(a.cube, axis=(0, 2)),
    (np.subtract, "reduce"): lambda a: np.subtract.reduce(a.x, axis=0),
    (np.add, "accumulate"): lambda a: np.add.accumulate(a.x, axis=1),
    (np.multiply, "accumulate"): lambda a: np.multiply.accumulate(a.x),
    (np.hypot, "accumulate"): lambda a: np.hypot.accumulate(a.x, axis=1),
    (np.hypot, "reduce"): lambda a: np.hypot.reduce(a.x, axis=1),
    (np.logaddexp, "reduce"): lambda a: np.logaddexp.reduce(a.x, axis=1, keepdims=True),
    (np.maximum, "reduce"): lambda a: np.maximum.reduce(a.x, axis=-1),
    (np.minimum, "reduce"): lambda a: np.minimum.reduce(a.x),
    (np.logical_and, "reduce"): lambda a: np.logical_and.reduce(np.maximum(a.x, 0), axis=0),
    (np.logical_or, "reduce"): lambda a: np.logical_or.reduce(np.maximum(a.x, 0), axis=0),
    (np.add, "reduceat"): lambda a: np.add.reduceat(a.x, [0, 2], axis=1),
    (np.multiply, "reduceat"): lambda a: np.multiply.reduceat(a.x, [0, 1]),
    (np.maximum, "reduceat"): lambda a: np.maximum.reduceat(a.x, [0, 1], axis=1),
    (np.minimum, "reduceat"): lambda a: np.minimum.reduceat(a.x, [0, 1]),
    (np.multiply, "outer"): lambda a: np.multiply.outer(a.x, a.v),
    **{(u, "at"): _at(u) for u in (*ball_ufuncs.ARITHMETIC, np.negative, np.maximum, np.minimum)},
}
PRODUCTS: dict[np.ufunc, list[Call]] = {
    np.matmul: [
        lambda a: np.matmul(a.x, a.y.T),
        lambda a: np.matmul(a.v, a.x.T),
        lambda a: np.matmul(a.cube, a.strided.T),
        lambda a: np.matmul(np.tile(a.x, (4, 2)), np.tile(a.y, (4, 2)).T),  # large enough for flint's own product
    ],
    np.vecdot: [lambda a: np.vecdot(a.x, a.y), lambda a: np.vecdot(a.cube, a.x)],
}
UFUNCS: dict[np.ufunc, Operation] = {
    **{u: Operation(lambda a, u=u: u(a.x), ends) for u, ends in cases.UNARY.items()},  # type: ignore[misc]
    **{u: Operation(lambda a, u=u: u(a.x, a.y), ends) for u, ends in cases.BINARY.items()},  # type: ignore[misc]
    **{u: Operation(lambda a, u=u: u(a.x, a.y)) for u in (*cases.RELATIONS, *cases.PAIRS)},  # type: ignore[misc]
    **{u: Operation(lambda a, u=u: u(a.x)) for u in cases.PREDICATES},  # type: ignore[misc]
}
OPERATIONS: dict[str, list[Operation]] = {
    **{f.__name__: [Operation(c) for c in calls] for f, calls in cases.FUNCTIONS.items()},
    **{u.__name__: [Operation(c) for c in calls] for u, calls in PRODUCTS.items()},
    **{f"ufunc-{u.__name__}": [o] for u, o in sorted(UFUNCS.items(), key=lambda item: item[0].__name__)},
    **{f"{u.__name__}.{method}": [Operation(c)] for (u, method), c in METHODS.items()},
    **{name: [Operation(c)] for name, c in OPERATORS.items()},
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def special_methods() -> set[str]:
    """Those of arrays of balls that an operator calls: `operator` has them all, but for the reflected ones."""
    known = {name for name, value in vars(operator).items() if name.startswith("__") and callable(value)}
    return {n for n in vars(BallArray) if n in known or n.replace("__r", "__", 1) in known}


def test_no_operation_is_without_the_laws() -> None:
    elementwise = (ball_ufuncs.EXACT, ball_ufuncs.TRANSCENDENTAL, ball_ufuncs.TESTS, ball_ufuncs.COMPOSED)
    assert {*UFUNCS, *PRODUCTS} == {*(u for table in elementwise for u in table), *ball_products.PRODUCT_UFUNCS}
    assert set(cases.FUNCTIONS) | cases.OTHERS == set(ball_functions.FUNCTIONS)
    assert set(METHODS) >= set(ball_reductions.METHODS) | {(u, "reduceat") for u in ball_reductions._REDUCEAT}
    assert set(OPERATORS) == special_methods() | {"__divmod__", "__rdivmod__"}
    assert len(OPERATIONS) == len(UFUNCS) + len(PRODUCTS) + len(cases.FUNCTIONS) + len(METHODS) + len(OPERATORS)


def test_an_operation_without_a_law_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, key in (
        (ball_ufuncs.TRANSCENDENTAL, np.nextafter),
        (ball_functions.FUNCTIONS, np.percentile),
        (ball_reductions.METHODS, (np.fmax, "reduce")),
        (ball_reductions._REDUCEAT, np.fmax),
        (ball_products.PRODUCT_UFUNCS, np.vecmat),
    ):
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setitem(table, key, np.add)  # type: ignore[arg-type]
            test_no_operation_is_without_the_laws()
    monkeypatch.setattr(BallArray, "__lshift__", lambda a, b: a * 2**b, raising=False)
    with pytest.raises(AssertionError):
        test_no_operation_is_without_the_laws()


# --- the truth --------------------------------------------------------------------------------------------------------

NOT_ON_RATIONALS = {
    # irrational values
    *("std", "norm", "hypot.reduce", "hypot.accumulate", "logaddexp.reduce", "__rpow__", "ufunc-sqrt"),
    *(f"ufunc-{u.__name__}" for u in ball_ufuncs.TRANSCENDENTAL),
    # NumPy has no version for objects, or not with all arguments
    *("bincount", "inv", "solve", "det", "sum", "prod", "mean", "var", "nansum", "median", "empty_like"),
    *("ufunc-copysign", "ufunc-heaviside", "ufunc-signbit", "ufunc-isfinite", "ufunc-isinf", "ufunc-isnan"),
    *("ufunc-logical_xor", "ufunc-divmod", "__divmod__", "__rdivmod__"),
    # the answer is about float64
    *("astype", "result_type"),
}


def elements(result: Any) -> list[Number]:
    """Balls, numbers and decisions, one after another."""
    if isinstance(result, BallArray | np.ndarray):
        return (result._a if isinstance(result, BallArray) else result).ravel().tolist()  # type: ignore[no-any-return]
    if isinstance(result, list | tuple):
        return [element for part in result for element in elements(part)]
    return [result]


def on_rationals(name: str, call: Call, point: Arguments) -> list[Number] | None:
    """What NumPy makes of rationals, or None for one of the operations that it cannot do on them."""
    try:
        return None if name in ("astype", "result_type") else elements(call(point))
    except (TypeError, ValueError, AttributeError):
        if name not in NOT_ON_RATIONALS:
            raise
        return None


def decided(call: Evaluate | Any, *args: Any) -> list[Number] | None:
    try:
        return elements(call(*args))
    except UndecidedComparisonError:
        return None


def plainly(call: Call, arguments: Arguments) -> Any:
    return call(arguments)


# --- the laws ---------------------------------------------------------------------------------------------------------


def is_included(name: str, evaluate: Evaluate, operation: Operation, seed: int, width: int) -> None:
    """f(x) is in f(X) and in f(Y), at every precision, exact or rounded as floats round."""
    random = np.random.default_rng(seed)
    at = nested(operation.arguments(random), width, random)
    truth = on_rationals(name, operation.call, at.rational)
    if truth is None:
        with ctx.workprec(TRUTH):
            truth = elements(operation.call(at.point))
    truth = [true if isinstance(true, bool | str) else ball_of(true) for true in truth]
    for precision in PRECISIONS:
        for ulps in (0.0, 4.0):
            with ctx.workprec(precision), rounding(ulps):
                whole = decided(evaluate, operation.call, at.whole)
                part = decided(evaluate, operation.call, at.part)
            assert whole is None or part is not None, f"{name} is decided on the whole and not on a part of it"
            for found in (whole, part):
                for value, true in zip(found or (), truth if found else (), strict=True):
                    if isinstance(value, arb):
                        assert encloses(value, true), f"{name} at {precision} bits: {value} does not enclose {true}"
                    else:
                        right = bool(true) if isinstance(value, bool) else true
                        assert value == right, f"{name} at {precision} bits decides {value} for {right}"


@contextmanager
def rounding(ulps: float) -> Iterator[None]:
    before = mode.ulps
    mode.ulps = ulps
    try:
        yield
    finally:
        mode.ulps = before


@each_operation
def test_values_at_points_are_enclosed(name: str) -> None:
    def law(seed: int, width: int) -> None:
        for operation in OPERATIONS[name]:
            is_included(name, plainly, operation, seed, width)

    holds(law, 4, seed=SEEDS, width=WIDTHS)


def without_radii(result: Any, share: Fraction = Fraction(0)) -> Any:
    """Radii dropped, or rounded inward."""
    if isinstance(result, BallArray):
        kept = [exact_ball(rational(b.mid()), rational(b.rad()) * share) if b.is_finite() else b for b in result._a.flat]
        return BallArray(_objects(kept, result._a.shape))
    return type(result)(map(without_radii, result)) if isinstance(result, list | tuple) else result
