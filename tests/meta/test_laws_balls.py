"""Every operation on balls encloses its values at all points of its arguments, at any width and precision.

For x in X in Y: f(x) is in f(X), f(X) is in f(Y), and what Y decides, X and x decide alike. The truth at x is what
NumPy computes on rational numbers; where it has no version for them, the value on balls of 512 bits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import strategies as st

from oracles import ball_functions, ball_products, ball_reductions, ball_ufuncs
from oracles.ball import BallArray, lift, mode, wrap
from oracles.errors import UndecidedComparisonError
from tests.meta import ball_cases as cases
from tests.meta.ball_cases import Arguments, Call
from tests.meta.test_laws import (
    PRECISIONS,
    SEEDS,
    TRUTH,
    Exact,
    arithmetic,
    ball_of,
    breaks,
    changed,
    encloses,
    holds,
    rational,
    without_radius,
)

Array = Any
Number = Any
Evaluate = Callable[[Call, Arguments], Any]
Interval = tuple[float, float] | None

NARROW = 60
WIDTHS = st.sampled_from([3, NARROW, 20, 0])
"""-log2 of the radius."""

# --- x in X in Y ------------------------------------------------------------------------------------------------------


class Nested(NamedTuple):
    whole: Arguments
    part: Arguments
    point: Arguments
    """Exact balls."""
    rational: Arguments
    """The same point as rationals."""


def arguments(interval: Interval, random: np.random.Generator) -> Arguments:
    """Floats, x and y of them from an interval if one is given."""
    made = cases.arguments(random)
    if interval is None:
        return made
    low, high = interval
    x, y = random.uniform(low + 2.0**-10, high - 2.0**-10, (2, 3, 4))
    return replace(made, x=x, y=y)


@lru_cache(maxsize=64)
def points(interval: Interval, seed: int, width: int) -> Nested:
    """Random balls of radius 2^-width, balls inside of these, and a point in each of those or on its rim."""
    random = np.random.default_rng(seed)
    made: tuple[dict[str, Array], ...] = ({}, {}, {}, {})
    radius = 2.0**-width
    with ctx.workprec(TRUTH):  # exact, since all are short sums of floats
        for name, values in vars(arguments(interval, random)).items():
            shape, size = np.shape(values), np.size(values)
            off, share = random.integers(-8, 9, size) / 16, random.integers(0, 9, size) / 8
            at = random.integers(-4, 5, size) / 4
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


def _on_balls(parts: dict[str, Array]) -> Arguments:
    made = {name: BallArray(part) if part.ndim else wrap(part.item()) for name, part in parts.items()}
    columns: Any = BallArray(np.ascontiguousarray(parts["strided"].T).repeat(2, axis=1))
    return Arguments(**made | {"strided": columns[:, ::2].T})


# --- the operations ---------------------------------------------------------------------------------------------------


class Operation(NamedTuple):
    """One call, and the interval that x and y are drawn from: anything, where there is none."""

    call: Call
    interval: Interval = None


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
OF_ONE_ELEMENT: list[Call] = [
    lambda a: np.take(a.v, 2),
    lambda a: a.x.take(3),
    lambda a: np.choose(1, [a.one, a.v[0]]),
    lambda a: np.unstack(a.v),
    lambda a: np.flip(a.one),
    lambda a: np.squeeze(a.x[:1, :1]),
    lambda a: a.x.item(1, 2),
    lambda a: list(a.v.flat),
    lambda a: list(a.v),
]
FAMILIES: dict[str, dict[str, list[Operation]]] = {
    "functions": {f.__name__: [Operation(c) for c in calls] for f, calls in cases.FUNCTIONS.items()},
    "products": {u.__name__: [Operation(c) for c in calls] for u, calls in PRODUCTS.items()},
    "ufuncs": {f"ufunc-{u.__name__}": [operation] for u, operation in UFUNCS.items()},
    "methods": {f"{u.__name__}.{method}": [Operation(c)] for (u, method), c in METHODS.items()},
    "operators": {name: [Operation(c)] for name, c in OPERATORS.items()},
    "one-element": {f"one-element-{i}": [Operation(c)] for i, c in enumerate(OF_ONE_ELEMENT)},
}
OPERATIONS = {name: operations for family in FAMILIES.values() for name, operations in family.items()}
each_family = pytest.mark.parametrize("family", FAMILIES)


def over(family: str) -> Iterator[tuple[str, Operation]]:
    """The operations of a family with their names, one for each way to call them."""
    for name, operations in FAMILIES[family].items():
        for operation in operations:
            yield name, operation


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
    assert len(OPERATIONS) == sum(map(len, FAMILIES.values()))  # no two share a name


def test_an_operation_without_a_law_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, key in (
        (ball_ufuncs.TRANSCENDENTAL, np.nextafter),
        (ball_functions.FUNCTIONS, np.percentile),
        (ball_reductions.METHODS, (np.fmax, "reduce")),
        (ball_reductions._REDUCEAT, np.fmax),
        (ball_products.PRODUCT_UFUNCS, np.nextafter),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(table, key, np.add)
            with pytest.raises(AssertionError):
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
        raw = result._a if isinstance(result, BallArray) else result
        return list(raw.ravel().tolist())
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


def decided(evaluate: Evaluate, call: Call, arguments: Arguments) -> list[Number] | None:
    """The elements of a result, or None if the balls leave a comparison open."""
    try:
        return elements(evaluate(call, arguments))
    except UndecidedComparisonError:
        return None


def plainly(call: Call, arguments: Arguments) -> Any:
    return call(arguments)


# --- points, parts and the whole --------------------------------------------------------------------------------------

BEYOND = 1.0
"""By how much of its radius the value on the whole may be exceeded by that on a part.

The ball of x² reaches below 0 unless x contains 0. Asked of rational operations only: what Arb knows of cosh on a part
may be less than on the whole.
"""


def is_included(name: str, evaluate: Evaluate, operation: Operation, seed: int, width: int) -> None:
    """f(x) is in f(X) and f(Y) at every precision, exact or rounded as floats round; f(X) is in f(Y)."""
    at = points(operation.interval, seed, width)
    of_rationals = on_rationals(name, operation.call, at.rational)
    if of_rationals is None:
        with arithmetic(TRUTH):
            truth = elements(operation.call(at.point))
    else:
        truth = of_rationals
    truth = [true if isinstance(true, str) else ball_of(true) for true in truth]
    for precision in PRECISIONS:
        with arithmetic(precision):
            whole, part = (decided(evaluate, operation.call, a) for a in (at.whole, at.part))
        with arithmetic(precision, ulps=4.0):
            rounded = decided(evaluate, operation.call, at.whole)
        assert whole is None or part is not None, f"{name} is decided on the whole and open on a part of it"
        for found in filter(None, (whole, part, rounded)):
            for value, true in zip(found, truth, strict=True):
                if isinstance(value, arb):
                    assert encloses(value, true), f"{name} at {precision} bits: {value} does not enclose {true}"
                else:
                    right = true != 0 if isinstance(value, bool | np.bool_) else true
                    assert right == value, f"{name} at {precision} bits decides {value} where {right} is right"
    if of_rationals is not None and whole and part:
        for large, small in zip(whole, part, strict=True):  # at the last precision
            if isinstance(large, arb):
                with ctx.workprec(TRUTH):
                    reach = large + arb(0, large.rad() * BEYOND)
                assert encloses(reach, small), f"{name}: {small} on a part is not in {large} on the whole"


def included(name: str, operation: Operation, evaluate: Evaluate, width: int = 3) -> Callable[[int], None]:
    def law(seed: int) -> None:
        is_included(name, evaluate, operation, seed, width)

    return law


def weakened(change: Callable[[arb], arb]) -> Evaluate:
    """A broken evaluation: each ball of the result is changed."""
    return lambda call, arguments: changed(call(arguments), change)


@each_family
def test_values_at_points_and_on_parts_are_enclosed(family: str) -> None:
    def law(seed: int, width: int) -> None:
        for name, operation in over(family):
            is_included(name, plainly, operation, seed, width)

    holds(law, 8, seed=SEEDS, width=WIDTHS)


@each_family
def test_no_operation_passes_without_its_radius(family: str) -> None:
    unnoticed = {name for name, operation in over(family) if has_radius(operation) and not is_noticed(name, operation)}
    assert unnoticed == set()


def has_radius(operation: Operation) -> bool:
    """Whether there is a radius to lose: not in decisions, and constants."""
    with arithmetic(128):
        found = elements(operation.call(points(operation.interval, 0, 20).whole))
    return any(isinstance(ball, arb) and ball.is_finite() and ball.rad() > 0 for ball in found)


def is_noticed(name: str, operation: Operation) -> bool:
    for seed in range(8):
        try:
            is_included(name, weakened(without_radius), operation, seed, 20)
        except AssertionError as error:
            return "does not enclose" in str(error)
    return False


@pytest.mark.parametrize("name", ["ufunc-negative", "ufunc-exp", "__iadd__", "where", "sum", "ufunc-maximum"])
def test_a_radius_rounded_inward_is_noticed(name: str) -> None:
    share = 1 - 2.0**-20 if name == "ufunc-negative" else 0.5
    inward = weakened(lambda b: arb(b.mid(), b.rad() * share))
    breaks(included(name, OPERATIONS[name][0], inward), "does not enclose", seed=SEEDS)


@pytest.mark.parametrize("name", ["ufunc-less", "argsort", "ufunc-floor", "ufunc-sign", "argmax"])
def test_decisions_by_the_midpoint_are_noticed(name: str) -> None:
    def by_midpoint(call: Call, arguments: Arguments) -> Any:
        with arithmetic(53, by_midpoint=True):
            return call(arguments)

    breaks(included(name, OPERATIONS[name][0], by_midpoint, width=0), "decides|does not enclose", seed=SEEDS)


def is_part(arguments: Arguments) -> bool:
    return bool(arguments.x._a[0, 0].rad() < 2.0**-3)


def test_what_is_decided_on_the_whole_only_is_noticed() -> None:
    def only_the_whole(call: Call, arguments: Arguments) -> Any:
        if is_part(arguments):
            raise UndecidedComparisonError
        return call(arguments)

    breaks(included("sign", UFUNCS[np.sign], only_the_whole), "open on a part", seed=SEEDS)


def test_a_part_with_a_wider_value_is_noticed() -> None:
    def wider_on_a_part(call: Call, arguments: Arguments) -> Any:
        return changed(call(arguments), lambda b: arb(b.mid(), b.rad() * (16 if is_part(arguments) else 1)))

    breaks(included("multiply", UFUNCS[np.multiply], wider_on_a_part), "is not in", seed=SEEDS)


# --- balls stay in arrays ---------------------------------------------------------------------------------------------


def hands_out_a_bare_ball(evaluate: Evaluate, operation: Operation) -> bool:
    """Which would answer False to a comparison that is open, and lose its radius to float()."""
    found = evaluate(operation.call, points(operation.interval, 0, 20).whole)
    return any(isinstance(part, arb) for part in (found if isinstance(found, list | tuple) else [found]))


@each_family
def test_balls_are_handed_out_in_arrays(family: str) -> None:
    assert {name for name, operation in over(family) if hands_out_a_bare_ball(plainly, operation)} == set()


def test_a_bare_ball_is_noticed() -> None:
    def taken_out(call: Call, arguments: Arguments) -> Any:
        return call(arguments)._a.ravel()[0]

    assert hands_out_a_bare_ball(taken_out, UFUNCS[np.exp])


# --- narrow in, narrow out --------------------------------------------------------------------------------------------


OF_ONE_NUMBER = OPERATIONS["std"][9]
"""A deviation of nothing: the square root of a ball around 0, of which nothing is known."""


def is_narrow(name: str, evaluate: Evaluate, operation: Operation, seed: int) -> None:
    """On balls of radius 2^-60 everything is decided, and known to 2^-40: enclosing everything would be no feat."""
    with arithmetic(128):
        found = decided(evaluate, operation.call, points(operation.interval, seed, NARROW).whole)
    assert found is not None, f"{name} is not decided"
    for ball in found:
        if isinstance(ball, arb):
            assert ball.is_finite(), f"{name}: nothing is known"
            assert ball.rad() <= 2.0**-40 * (1 + abs(ball.mid())), f"{name}: {ball} is too wide"


@each_family
def test_narrow_arguments_give_narrow_values(family: str) -> None:
    def law(seed: int) -> None:
        for name, operation in over(family):
            if operation is not OF_ONE_NUMBER:
                is_narrow(name, plainly, operation, seed)

    holds(law, 3, seed=SEEDS)


def test_wide_values_and_open_decisions_are_noticed() -> None:
    def widened(call: Call, arguments: Arguments) -> Any:
        return changed(call(arguments), lambda b: b + arb(0, 2.0**-30))

    def unknown(call: Call, arguments: Arguments) -> Any:
        return changed(call(arguments), lambda b: b + arb(0, np.inf))

    def refused(call: Call, arguments: Arguments) -> Any:
        raise UndecidedComparisonError

    tanh = OPERATIONS["ufunc-tanh"][0]
    breaks(lambda seed: is_narrow("tanh", widened, tanh, seed), "too wide", seed=SEEDS)
    breaks(lambda seed: is_narrow("tanh", unknown, tanh, seed), "nothing is known", seed=SEEDS)
    breaks(lambda seed: is_narrow("tanh", refused, tanh, seed), "not decided", seed=SEEDS)


# --- as floats round --------------------------------------------------------------------------------------------------

NOT_IN_FLOAT32 = OPERATIONS["result_type"]
"""The dtype of a result is no number."""
UNBOUNDED = {"inv", "solve", "det", "cross"}
"""Operations of which no bound is known: see `oracles.ball_products`."""


def rounds_within(name: str, evaluate: Evaluate, operation: Operation, seed: int, precision: int) -> None:
    """What NumPy computes on floats is in the ball of a derived tolerance."""
    dtype = {53: np.float64, 24: np.float32}[precision]
    made = vars(arguments(operation.interval, np.random.default_rng(seed)))
    floats = Arguments(**{k: np.asarray(v, dtype=dtype)[()] for k, v in made.items()})
    with arithmetic(precision, ulps=4.0, by_midpoint=True):
        found, on_floats = elements(evaluate(operation.call, floats.on_balls())), elements(operation.call(floats))
    for value, plain in zip(found, on_floats, strict=True):
        if isinstance(value, arb):
            assert encloses(value, ball_of(float(plain))), f"{name}: {plain!r} is not within {value}"
            assert value.is_finite() or name in UNBOUNDED or plain == 0, f"{name}: nothing is known"
        else:
            assert value == plain, f"{name}: floats decide {plain}, balls {value}"


@each_family
@pytest.mark.parametrize("precision", [pytest.param(53, id="float64"), pytest.param(24, id="float32")])
def test_floats_stay_within_the_derived_radius(family: str, precision: int) -> None:
    def law(seed: int) -> None:
        for name, operation in over(family):
            if precision == 53 or operation not in NOT_IN_FLOAT32:
                rounds_within(name, plainly, operation, seed, precision)

    holds(law, 4, seed=SEEDS)


@pytest.mark.parametrize("name", ["ufunc-add", "ufunc-exp", "sum", "var", "matmul", "__imul__", "diff"])
def test_floats_outside_of_the_exact_ball_are_noticed(name: str) -> None:
    def exactly(call: Call, arguments: Arguments) -> Any:
        mode.ulps = 0.0
        return changed(call(arguments), lambda b: arb(b.mid(), b.rad() * 2.0**-10))

    operation = OPERATIONS[name][0]
    breaks(lambda seed: rounds_within(name, exactly, operation, seed, 24), "is not within", seed=SEEDS)
