"""The stable nine-weight graph keeps 11 digits of every entry where the textbook form keeps none, never overflows, and
is the same real function."""

import ast
import inspect
import math
import operator
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from numpy.typing import NDArray

from manual import error_free, nine_weight, nine_weight_stable
from manual.error_free import Pair, two_product
from oracles import Ruling, certify
from reference.datasets import housing

Array = NDArray[np.float64]
Balls = NDArray[np.object_]

X, Y = housing()
BITS = 320
PROMISED = 11.0
SMALLEST_NORMAL = np.finfo(np.float64).tiny

# What a mistake touches: the nine entries by number, and 0 for the loss.
TANH_BRANCH, SIGMOID_BRANCH, GRADIENT = {1, 2, 6, 7}, {3, 4, 5, 8}, set(range(1, 10))
ALL = {0} | GRADIENT

_ball = np.frompyfunc(arb, 1, 1)
_midpoint = np.frompyfunc(lambda b: float(b.mid()), 1, 1)
_radius = np.frompyfunc(lambda b: float(b.rad()), 1, 1)


def balls(values: Any) -> Balls:
    """Exact balls. NumPy's functions call the method of their name on each: np.exp on these is `arb.exp`."""
    return np.asarray(_ball(np.asarray(values).astype(object)), dtype=object)


def floats(values: Balls) -> tuple[Array, Array]:
    """Midpoints as unevaluated sums of two floats."""
    high = np.asarray(_midpoint(values), dtype=np.float64)
    return high, np.asarray(_midpoint(values - balls(high)), dtype=np.float64)


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


def closed_form(w: Array, x: Array, y: Array | float) -> tuple[Balls, Balls]:
    """The residual and the nine derivatives in balls, from the formulas without cancellation in the derivatives."""
    w1, w2, w3, w4, w5, w6, w7, w8, w9 = (balls(w)[..., i] for i in range(9))
    x1, x2, x3, x4, x5 = (balls(x)[..., i] for i in range(5))
    z, b = w1 * x1 + w2 * x2, w4 * x4 + w5 * x5
    v = z * z + w6
    U, q = np.exp(v) + w7, np.sin(w3 * x3) * b + w8
    s, e, f = 1 / (1 + np.exp(-q)), np.exp(-2 * np.abs(U)), np.exp(-np.abs(q))
    residual = np.tanh(U) + s * w9 - balls(y)
    tanh_slope, sigmoid_slope = 4 * e / (1 + e) ** 2, f / (1 + f) ** 2
    dw6 = 2 * residual * 4 * np.exp(v - 2 * np.abs(U)) / (1 + e) ** 2
    dw8 = 2 * residual * w9 * sigmoid_slope
    sine, cosine = np.sin(w3 * x3), np.cos(w3 * x3)
    gradient = [
        *(dw6 * 2 * z * x1, dw6 * 2 * z * x2, dw8 * cosine * b * x3, dw8 * sine * x4, dw8 * sine * x5),
        *(dw6, 2 * residual * tanh_slope, dw8, 2 * residual * s),
    ]
    return residual, np.stack(np.broadcast_arrays(*gradient), axis=-1)


def digits(found: Array, true: Balls) -> Array:
    """Correct digits of each value, relative to the truth or to the smallest normal float64; NaN has none."""
    high, low = floats(true)
    size = np.maximum(np.abs(high), SMALLEST_NORMAL)
    assert (_radius(true) <= 1e-25 * size).all()
    with np.errstate(over="ignore"):  # a value that should have been 0 may be off by any factor
        error = np.abs((found - high) - low) / size
    return np.where(np.isfinite(found), -np.log10(np.maximum(error, 1e-20)), -np.inf)


Function = Callable[[Array, Array, Any], tuple[Array, Array]]


def all_digits(loss_and_gradient: Function, w: Array, x: Array, y: Array | float) -> Array:
    """Correct digits of the loss and, after it, of the nine entries: (..., 10)."""
    residual, true = closed_form(w, x, y)
    loss, gradient = loss_and_gradient(w, x, y)
    return np.concatenate([digits(loss, residual * residual)[..., None], digits(gradient, true)], axis=-1)


def lost(kept: Array) -> set[int]:
    """The entries of one sample, 0 for the loss, that do not keep the digits that are promised."""
    assert kept.shape == (10,)
    return {int(i) for i in np.flatnonzero(kept < PROMISED)}


# --- accuracy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "seed", "least"),
    [
        *(pytest.param(3.0, seed, PROMISED, id=f"scale3-seed{seed}") for seed in range(2, 5)),
        pytest.param(0.01, 6, 14.0, id="scale0.01"),
        pytest.param(0.1, 7, 14.0, id="scale0.1"),
        pytest.param(1.0, 8, PROMISED, id="scale1"),
        pytest.param(30.0, 9, PROMISED, id="scale30"),
        pytest.param(300.0, 10, PROMISED, id="scale300"),
        pytest.param(1e4, 11, PROMISED, id="scale1e4"),
    ],
)
def test_loss_and_every_entry_keep_their_digits_at_all_samples(scale: float, seed: int, least: float) -> None:
    w = scale * np.random.default_rng(seed).normal(size=(16 if scale == 3 else 4, 1, 9))
    kept = all_digits(nine_weight_stable.loss_and_gradient, w, X, Y)
    assert kept.shape == (len(w), 506, 10)
    assert kept.min() >= least


def test_near_its_zero_the_residual_costs_its_own_zeros_and_no_more() -> None:
    rng = np.random.default_rng(12)
    w, x = 3 * rng.normal(size=(512, 9)), X[rng.integers(506, size=512)]
    prediction, _ = closed_form(w, x, 0.0)
    for distance in (1e-2, 1e-5, 1e-8):
        kept = all_digits(nine_weight_stable.loss_and_gradient, w, x, floats(prediction)[0] + distance)
        assert kept.min() >= 14 + math.log10(distance)


@pytest.mark.parametrize("fill", [0.0, 5e-324, -1e-300, 1e-8])
def test_tiny_weights_are_no_exception(fill: float) -> None:
    w = np.full(9, fill)
    with np.errstate(all="raise"):
        nine_weight_stable.loss_and_gradient(w, X, Y)
    assert all_digits(nine_weight_stable.loss_and_gradient, w, X, Y).min() >= 14


def test_the_textbook_form_loses_every_digit_of_four_entries_at_sample_93() -> None:
    w = np.random.default_rng(20).normal(size=9)
    textbook = all_digits(nine_weight.loss_and_gradient, w, X[93], Y[93])
    assert {int(i) for i in np.flatnonzero(textbook < 1)} == TANH_BRANCH
    assert all_digits(nine_weight_stable.loss_and_gradient, w, X[93], Y[93]).min() >= 14
    _, gradient = nine_weight_stable.loss_and_gradient(w, X[93], Y[93])
    assert 1e-20 < abs(gradient[0]) < 1e-16  # the textbook says 0


# --- range ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [30.0, 300.0, 1e4, 1e8, 1e30, 1e100])
def test_nothing_overflows_or_warns_up_to_weights_of_1e100(largest: float) -> None:
    w = np.random.default_rng(4).uniform(-largest, largest, size=(16, 1, 9))
    with np.errstate(all="raise"):
        loss, gradient = nine_weight_stable.loss_and_gradient(w, X, Y)
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()
    with ctx.workprec(2 * BITS + 7 * int(np.log2(largest))):  # z² has as many digits before the point
        kept = all_digits(nine_weight_stable.loss_and_gradient, w[:2], X[::11], Y[::11])
    assert kept.min() >= PROMISED


def test_beyond_that_an_overflow_is_not_silent() -> None:
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        nine_weight_stable.loss_and_gradient(np.full(9, 1e160), X, Y)


# --- each remedy is needed ------------------------------------------------------------------------------------------

x1, x2, x3, x4, x5 = (float(v) for v in X[0])
TARGET = 2.0


def point(**weights: float) -> Array:
    """Weights w1 to w9 for sample 0, all different, some replaced by name."""
    values = dict(zip((f"w{i}" for i in range(1, 10)), (0.7, -0.4, 0.9, 1.3, -0.8, 0.3, -0.6, 0.2, 1.7), strict=True))
    assert weights.keys() <= values.keys()
    return np.array(list((values | weights).values()))


@cache
def definitions(module: ModuleType) -> dict[str, str]:
    """The source of a module's functions, methods (`Class.method`) and constants."""
    source = inspect.getsource(module)
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}": n for n in node.body if isinstance(n, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found[ast.unparse(node.targets[0])] = node
    return {name: ast.get_source_segment(source, node) or "" for name, node in found.items()}


def mutant(module: ModuleType, name: str, line: str, becomes: str) -> dict[str, Any]:
    """The names of a copy of the module in which `line`, found once in the definition of `name`, reads differently."""
    before, source = definitions(module)[name], inspect.getsource(module)
    assert before.count(line) == 1
    assert source.count(before) == 1
    namespace: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(before, before.replace(line, becomes)), "mutant", "exec"), namespace)
    return namespace


def untouched(module: ModuleType, mutated: list[tuple[str, str]]) -> list[str]:
    """The assignments and returns in a module's functions that none of the (definition, line) is part of."""
    left = []
    for name, source in definitions(module).items():
        lines = [line for n, line in mutated if n == name]
        for node in ast.walk(ast.parse(source)) if source.startswith("def ") else ():
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Return):
                statement = ast.get_source_segment(source, node) or ""
                if not any(line in statement or statement in line for line in lines):
                    left.append(f"{name}: {statement}")
    return left


Z_CANCELS = {"w2": -0.7 * x1 / x2}
B_CANCELS = {"w5": -1.3 * x4 / x5}
EXPONENT_CANCELS = {"w1": 1000.0, "w6": 0.3 - (1000 * x1 - 0.4 * x2) ** 2}
SINE_VANISHES, COSINE_VANISHES = {"w3": 7 * np.pi / x3}, {"w3": 7.5 * np.pi / x3}
LARGE_TIMES_NOTHING = SINE_VANISHES | {"w4": 1e7 / x4}
LARGE_ANGLE = {"w3": 1e20}
SATURATED = {"w7": 14.25, "w8": 18.0, "w9": 1.0}  # at y = 2 the residual is what tanh and sigmoid lack of 1
REMEDIES = [
    # id, weights, definition, line, what it becomes, what then keeps fewer than 11 digits
    ("z", Z_CANCELS, "forward", "two_product(w1, x1) + two_product(w2, x2)", "Pair(w1 * x1) + w2 * x2", {1, 2}),
    ("b", B_CANCELS, "forward", "two_product(w4, x4) + two_product(w5, x5)", "Pair(w4 * x4) + w5 * x5", {3}),
    ("exponent", EXPONENT_CANCELS, "forward", "z * z + w6", "Pair(z.value * z.value + w6)", ALL),
    ("exponent-error", EXPONENT_CANCELS, "_exp", "u * np.where(inside, v.low, 0.0)", "0.0", ALL),
    ("u", EXPONENT_CANCELS, "forward", "(u + w7).value", "(u + w7).high", ALL),
    ("sine", SINE_VANISHES, "_sin_cos", "cosine * sin_low - sine * (1 - cos_low)", "0.0", {4, 5}),
    ("cosine", COSINE_VANISHES, "_sin_cos", "cosine * cos_low - sine * sin_low", "cosine", {3}),
    ("angle", SINE_VANISHES, "forward", "two_product(w3, x3)", "Pair(w3 * x3)", {4, 5}),
    ("large-angle", LARGE_ANGLE, "_sin_cos", "sin_low - sine * (1 - cos_low)", "angle.low", ALL),
    ("q", LARGE_TIMES_NOTHING, "forward", "(sine * b + w8).value", "(sine * b + w8).high", ALL),
    ("residual", SATURATED, "forward", "(t + s * w9 - y).value", "t.value + s.value * w9 - y", ALL),
    ("tanh", SATURATED, "forward", "t = _tanh(U)", "t = Pair(np.tanh(U))", ALL),
    ("sigmoid", SATURATED, "forward", "s = _sigmoid(q)", "s = Pair(1 / (1 + np.exp(-q)))", ALL),
    ("side", SATURATED, "_sigmoid", "q < SWITCH", "q > SWITCH", ALL),
    (
        "tanh-slope",
        {"w7": 30.0},
        "backward",
        "dprediction * sech * sech",
        "dprediction * (1 - np.tanh(U) ** 2)",
        {7},
    ),
    ("s-slope", {"w8": 40.0}, "backward", "* slope * slope", "* s.value * (1 - s.value)", SIGMOID_BRANCH),
    ("dw8-order", {"w8": 735.0, "w9": 1e20}, "backward", "slope * slope", "(slope * slope)", SIGMOID_BRANCH),
    ("dw7-order", {"w7": 367.0, "w9": 1e20}, "backward", "dprediction * sech * sech", "dprediction * sech**2", {7}),
    ("dw6-order", {"w7": 367.0, "w9": 1e20}, "backward", "sech * u.value * sech", "(sech**2 * u.value)", {1, 2, 6}),
    ("exp-overflows", {"w1": 30.0}, "LARGEST_EXPONENT", "700.0", "np.inf", ALL),
    ("exp-error", {"w1": 2.3e8}, "_exp", "np.where(inside, v.low, 0.0)", "v.low", ALL - TANH_BRANCH),
]


@pytest.mark.parametrize(
    ("weights", "name", "line", "becomes", "entries"), [pytest.param(*r[1:], id=r[0]) for r in REMEDIES]
)
def test_without_its_remedy_digits_are_lost(
    weights: dict[str, float], name: str, line: str, becomes: str, entries: set[int]
) -> None:
    w = point(**weights)
    spoiled = mutant(nine_weight_stable, name, line, becomes)["loss_and_gradient"]
    assert lost(all_digits(nine_weight_stable.loss_and_gradient, w, X[0], TARGET)) == set()
    with np.errstate(all="ignore"):
        assert lost(all_digits(spoiled, w, X[0], TARGET)) == entries


def test_a_plain_cosh_overflows() -> None:
    w = point(w7=800.0)
    plain = mutant(nine_weight_stable, "_sech", "return 2 * e / (1 + e * e)", "return 1 / np.cosh(a)")
    with np.errstate(all="raise"):
        nine_weight_stable.loss_and_gradient(w, X[0], TARGET)
        with pytest.raises(FloatingPointError, match="overflow"):
            plain["loss_and_gradient"](w, X[0], TARGET)


# --- planted mistakes -----------------------------------------------------------------------------------------------

MUTANTS = [
    # id, definition, line, what it becomes, what then keeps fewer than 11 digits; 0 is the loss
    ("weights", "forward", "(w[..., i] for i in range(9))", "(w[..., i] for i in (0, 1, 2, 3, 4, 5, 7, 6, 8))", ALL),
    ("features", "forward", "(x[..., i] for i in range(5))", "(x[..., i] for i in (1, 0, 2, 3, 4))", ALL),
    ("z", "forward", "two_product(w2, x2)", "two_product(w1, x2)", ALL),
    ("u", "forward", "u = _exp(z * z + w6)", "u = _exp(z * z - w6)", ALL),
    ("U", "forward", "U = (u + w7).value", "U = (u - w7).value", ALL),
    ("t", "forward", "t = _tanh(U)", "t = _tanh(-U)", ALL),
    ("angle", "forward", "_sin_cos(two_product(w3, x3))", "_sin_cos(two_product(w3, x4))", ALL),
    ("b", "forward", "+ two_product(w5, x5)", "- two_product(w5, x5)", ALL),
    ("q", "forward", "q = (sine * b + w8).value", "q = (sine * w8 + b).value", ALL),
    ("s", "forward", "s = _sigmoid(q)", "s = _sigmoid(2 * q)", ALL),
    ("residual", "forward", "residual = (t + s * w9 - y).value", "residual = (t + s * w9).value + y", ALL),
    ("loss", "forward", "loss = residual * residual", "loss = residual", {0}),
    ("cache", "forward", "return loss, Cache(z, u,", "return loss, Cache(u, z,", {6}),
    ("w9", "backward", "w9 = w[..., 8]", "w9 = w[..., 7]", SIGMOID_BRANCH),
    ("features-again", "backward", "(x[..., i] for i in range(5))", "(x[..., i] for i in (0, 1, 2, 4, 3))", {4, 5}),
    ("cache-again", "backward", "z, u, U, sine, cosine, b,", "b, u, U, sine, cosine, z,", {1, 2, 3}),
    ("sech", "backward", "sech = _sech(U)", "sech = _sech(U / 2) / 2", TANH_BRANCH),
    ("slope", "backward", "slope = _sech(q / 2) / 2", "slope = _sech(q) / 2", SIGMOID_BRANCH),
    ("dprediction", "backward", "dprediction = 2 * residual", "dprediction = residual", GRADIENT),
    ("dw9", "backward", "dw9 = dprediction * s.value", "dw9 = dprediction * s.high", {9}),
    ("dw8", "backward", "dw8 = dprediction * w9", "dw8 = dprediction", SIGMOID_BRANCH),
    ("dw7", "backward", "dw7 = dprediction", "dw7 = -dprediction", {7}),
    ("dw6", "backward", "dw6 = dprediction * sech", "dw6 = dprediction", {1, 2, 6}),
    ("dw5", "backward", "dw5 = dw8 * sine.value * x5", "dw5 = dw8 * sine.value * x4", {5}),
    ("dw4", "backward", "dw4 = dw8 * sine.value * x4", "dw4 = dw8 * x4", {4}),
    ("dw3", "backward", "dw3 = dw8 * b.value * cosine", "dw3 = dw8 * b.value * sine.value", {3}),
    ("dw2", "backward", "dw2 = dw6 * (2 * z.value * x2)", "dw2 = dw6 * (z.value * x2)", {2}),
    ("dw1", "backward", "dw1 = dw6 * (2 * z.value * x1)", "dw1 = dw6 * (2 * x1)", {1}),
    ("order", "backward", "np.stack([dw1, dw2,", "np.stack([dw2, dw1,", {1, 2}),
    ("first-forward", "loss_and_gradient", "forward(w, x, y)", "forward(w, x, 2 * y)", ALL),
    ("then-backward", "loss_and_gradient", "backward(w, x, cache)", "backward(w, x[..., ::-1], cache)", {1, 2, 4, 5}),
    ("exp-range", "_exp", "v.high < LARGEST_EXPONENT", "v.high > LARGEST_EXPONENT", ALL),
    ("exp-value", "_exp", "u = np.exp(np.where(inside, v.high,", "u = np.exp(np.where(inside, -v.high,", ALL),
    ("exp-pair", "_exp", "return Pair(u,", "return Pair(u - 1,", ALL),
    (
        "cosine",
        "_sin_cos",
        "sine, cosine = np.sin(angle.high), np.cos",
        "sine, cosine = np.sin(angle.high), np.sin",
        {3},
    ),
    (
        "cosine-of-low",
        "_sin_cos",
        "sin_low, cos_low = np.sin(angle.low), np.cos",
        "sin_low, cos_low = angle.low, np.sin",
        ALL,
    ),
    ("sine-pair", "_sin_cos", "return Pair(sine,", "return Pair(-sine,", ALL),
    ("sigmoid-e", "_sigmoid", "e = np.exp(np.where(rising, q, -q))", "e = np.exp(np.where(rising, -q, q))", ALL),
    ("sigmoid-pair", "_sigmoid", "np.where(rising, e, -e)", "np.where(rising, -e, e)", ALL),
    ("tanh-argument", "_tanh", "s = _sigmoid(2 * U)", "s = _sigmoid(U)", ALL),
    ("tanh-pair", "_tanh", "return Pair(2 * s.high - 1, 2 * s.low)", "return Pair(2 * s.high - 1, s.low)", ALL),
    (
        "sech-e",
        "_sech",
        "e: Array = np.exp(-np.abs(a))",
        "e: Array = np.exp(-2 * np.abs(a))",
        TANH_BRANCH | SIGMOID_BRANCH,
    ),
    ("sech-value", "_sech", "return 2 * e / (1 + e * e)", "return 2 * e / (1 - e * e)", TANH_BRANCH | SIGMOID_BRANCH),
]


@pytest.mark.parametrize(("name", "line", "becomes", "entries"), [pytest.param(*m[1:], id=m[0]) for m in MUTANTS])
def test_a_mistake_in_any_line_shows(name: str, line: str, becomes: str, entries: set[int]) -> None:
    mistaken = mutant(nine_weight_stable, name, line, becomes)["loss_and_gradient"]
    assert lost(all_digits(nine_weight_stable.loss_and_gradient, point(), X[0], TARGET)) == set()
    assert lost(all_digits(mistaken, point(), X[0], TARGET)) == entries


def test_every_line_has_its_mutant() -> None:
    mutated = [(m[1], m[2]) for m in MUTANTS] + [(r[2], r[3]) for r in REMEDIES]
    assert untouched(nine_weight_stable, mutated) == []
    assert len(untouched(nine_weight_stable, mutated[1:])) == 1


# --- the same real function -----------------------------------------------------------------------------------------


class Duck(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of balls that is no ndarray, reads as float64 and refuses to become a plain array."""

    dtype = np.dtype(np.float64)

    def __init__(self, inner: Balls) -> None:
        self.inner = inner

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    def __getitem__(self, index: Any) -> "Duck":
        return Duck(np.asarray(self.inner[index], dtype=object))

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError("a duck was cast to a plain array")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        assert method == "__call__"
        assert not kwargs
        raw = [v.inner if isinstance(v, Duck) else balls(v) for v in inputs]
        if ufunc is np.less:
            assert not np.asarray(np.frompyfunc(lambda a, b: a.overlaps(b), 2, 1)(*raw), dtype=bool).any()
            return np.asarray(ufunc(*raw), dtype=bool)
        return Duck(np.asarray(ufunc(*raw), dtype=object))

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return Duck(balls(function(*_unwrap(args), **kwargs)))


def _unwrap(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_unwrap, value))
    return value.inner if isinstance(value, Duck) else value


@pytest.mark.parametrize("module", [nine_weight, nine_weight_stable])
def test_in_exact_arithmetic_the_gradient_is_the_closed_form(module: ModuleType) -> None:
    w, rows = np.random.default_rng(6).normal(size=9), np.arange(0, 506, 11)
    duck: Any = Duck
    loss, gradient = module.loss_and_gradient(duck(balls(w)), duck(balls(X[rows])), duck(balls(Y[rows])))
    residual, true = closed_form(w, X[rows], Y[rows])
    for found, expected in ((gradient.inner, true), (loss.inner, residual * residual)):
        assert found.shape == expected.shape
        assert np.frompyfunc(lambda a, b: a.overlaps(b), 2, 1)(found, expected).all()
        assert (_radius(found) <= 1e-50).all()


def test_in_exact_arithmetic_every_error_is_zero() -> None:
    duck: Any = Duck
    w, x, y = (duck(balls(v)) for v in (point(), X[0], Y[0]))
    _, cache = nine_weight_stable.forward(w, x, y)
    for pair in (cache.z, cache.u, cache.sine, cache.b):
        assert isinstance(pair, Pair)
        (low,) = _unwrap([pair.low])
        assert low.item().contains(0)
        assert low.item().rad() < 1e-60


PLAINER = [
    # id, weights, definition, line, the plainer form of it
    ("q-is-0", {"w3": 0.0, "w8": 0.0}, "SWITCH", "-0.1", "0.0"),
    ("U-is-huge", {"w1": 30.0, "w6": -1000.0}, "_sech", "return 2 * e / (1 + e * e)", "return 1 / np.cosh(a)"),
]


def bits_to_certify(names: dict[str, Any], w: Array, x: Array, y: Array) -> float:
    """The bits that the certificate takes; infinity if it stays open or finds a kink, which this function has not."""
    certificate = certify(lambda *a: names["forward"](*a)[0], lambda *a: names["loss_and_gradient"](*a)[1], w, x, y)
    return certificate.precision if certificate.ruling is Ruling.CERTIFIED and not certificate.kinks else math.inf


@pytest.mark.parametrize(("weights", "name", "line", "becomes"), [pytest.param(*p[1:], id=p[0]) for p in PLAINER])
def test_the_certificate_settles_what_a_plainer_line_would_leave_open(
    weights: dict[str, float], name: str, line: str, becomes: str
) -> None:
    arguments = point(**weights)[None], X[:1], Y[:1]
    needed = bits_to_certify(vars(nine_weight_stable), *arguments)
    assert needed < bits_to_certify(mutant(nine_weight_stable, name, line, becomes), *arguments)


# --- error_free -----------------------------------------------------------------------------------------------------


def samples() -> tuple[Array, Array, Array, Array]:
    """Two float64 of 80 orders of magnitude, and for each an error of half its last place at most."""
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, 200)) * 10.0 ** rng.integers(-40, 40, size=(2, 200))
    b[::2] = -a[::2] * rng.uniform(0.999, 1.001, size=100)  # these cancel
    c, d = rng.uniform(-1, 1, size=(2, 200)) * 2.0**-54 * [a, b]
    return a, b, c, d


def exact(high: Array, low: Array, a: Array, b: Array, operation: Callable[[Fraction, Fraction], Fraction]) -> bool:
    columns = zip(*np.broadcast_arrays(high, low, a, b), strict=True)
    return all(Fraction(h) + Fraction(e) == operation(Fraction(p), Fraction(q)) for h, e, p, q in columns)


def accurate(found: Any, true: Balls, size: Balls) -> bool:
    """Whether pairs are right to 31 digits of `size`."""
    error = np.abs(balls(found.high) + balls(found.low) - true) / size
    return bool((np.asarray(_midpoint(error), dtype=np.float64) < 1e-31).all())


def broken(names: dict[str, Any]) -> set[str]:
    """What in `error_free`, given by its names, does not hold."""
    pair, (a, b, c, d) = names["Pair"], samples()
    sums, products = names["two_sum"](a, b), names["two_product"](a, b)
    p, q, true_p, true_q = pair(a, c), pair(b, d), balls(a) + balls(c), balls(b) + balls(d)
    terms = np.abs(true_p) + np.abs(true_q)
    holds = {
        "two_sum": exact(sums.high, sums.low, a, b, operator.add),
        "two_product": exact(products.high, products.low, a, b, operator.mul),
        "value": bool((pair(a, b).value == a + b).all()),
        "-p": accurate(-p, -true_p, terms),
        "p + q": accurate(p + q, true_p + true_q, terms),
        "p + b": accurate(p + b, true_p + balls(b), terms),
        "p - q": accurate(p - q, true_p - true_q, terms),
        "p - b": accurate(p - b, true_p - balls(b), terms),
        "p * q": accurate(p * q, true_p * true_q, np.abs(true_p * true_q)),
        "p * b": accurate(p * b, true_p * balls(b), np.abs(true_p * true_q)),
        "b + p": accurate(b + p, balls(b) + true_p, terms),
        "b - p": accurate(b - p, balls(b) - true_p, terms),
        "b * p": accurate(b * p, balls(b) * true_p, np.abs(true_p * true_q)),
    }
    return {name for name, held in holds.items() if not held}


PAIR_SUMS, PAIR_PRODUCTS = {"p + q", "p + b", "b + p", "p - q", "p - b", "b - p"}, {"p * q", "p * b", "b * p"}
SUMS, PRODUCTS, BOTH_PAIRS = {"two_sum"} | PAIR_SUMS, {"two_product"} | PAIR_PRODUCTS, {"p + q", "p - q", "p * q"}
ERROR_FREE_MUTANTS = [
    # id, definition, line, what it becomes, what then breaks
    ("sum", "two_sum", "high = a + b", "high = (a + b) * (1 + 2**-40)", SUMS),
    ("b_part", "two_sum", "b_part = high - a", "b_part = high", SUMS),
    ("sum-error-of-a", "two_sum", "(a - (high - b_part)) + ", "", SUMS),
    ("sum-error-of-b", "two_sum", " + (b - b_part)", "", SUMS),
    ("product", "two_product", "high = a * b", "high = a * b * (1 + 2**-40)", PRODUCTS),
    ("product-halves", "two_product", "= _halves(a), _halves(b)", "= _halves(a), (b, 0)", PRODUCTS),
    ("product-a1-b2", "two_product", " + a1 * b2", "", PRODUCTS),
    ("product-a2-b1", "two_product", " + a2 * b1", "", PRODUCTS),
    ("product-a2-b2", "two_product", " + a2 * b2", "", PRODUCTS),
    ("halves-shifted", "_halves", "shifted = SPLITTER * a", "shifted = SPLITTER", PRODUCTS),
    ("halves-upper", "_halves", "upper = shifted - (shifted - a)", "upper = a", PRODUCTS),
    ("halves-lower", "_halves", "return upper, a - upper", "return upper, upper - a", PRODUCTS),
    ("splitter", "SPLITTER", "2**27", "2**20", PRODUCTS),
    ("pair-or-array", "_pair", "value if isinstance", "Pair(value.high) if isinstance", BOTH_PAIRS),
    ("value", "Pair.value", "return self.high + self.low", "return self.high", {"value"}),
    ("add-other", "Pair.__add__", "b = _pair(other)", "b = Pair(_pair(other).high)", {"p + q", "p - q"}),
    ("add-high", "Pair.__add__", "total = two_sum(self.high, b.high)", "total = Pair(self.high + b.high)", PAIR_SUMS),
    ("add-error", "Pair.__add__", "total.low + (self.low + b.low)", "self.low + b.low", PAIR_SUMS),
    ("add-own-low", "Pair.__add__", "(self.low + b.low)", "b.low", PAIR_SUMS),
    ("add-other-low", "Pair.__add__", "(self.low + b.low)", "self.low", {"p + q", "p - q"}),
    ("sub", "Pair.__sub__", "return self + -other", "return self + other", {"p - q", "p - b"}),
    ("sub-from", "Pair.__rsub__", "return -self + other", "return self + -other", {"b - p"}),
    ("mul-other", "Pair.__mul__", "b = _pair(other)", "b = Pair(_pair(other).high)", {"p * q"}),
    ("mul-high", "Pair.__mul__", "two_product(self.high, b.high)", "Pair(self.high * b.high)", PAIR_PRODUCTS),
    ("mul-error", "Pair.__mul__", "product.low + (", "(", PAIR_PRODUCTS),
    ("mul-other-low", "Pair.__mul__", "self.high * b.low + ", "", {"p * q"}),
    ("mul-own-low", "Pair.__mul__", " + self.low * b.high", "", PAIR_PRODUCTS),
    ("neg", "Pair.__neg__", "Pair(-self.high, -self.low)", "Pair(-self.high, self.low)", {"-p", "p - q", "b - p"}),
]


def test_sums_and_products_have_no_error_and_those_of_pairs_31_digits() -> None:
    assert broken(vars(error_free)) == set()


@pytest.mark.parametrize(
    ("name", "line", "becomes", "breaks"), [pytest.param(*m[1:], id=m[0]) for m in ERROR_FREE_MUTANTS]
)
def test_a_mistake_in_any_line_of_error_free_shows(name: str, line: str, becomes: str, breaks: set[str]) -> None:
    assert broken(mutant(error_free, name, line, becomes)) == breaks


def test_every_line_of_error_free_has_its_mutant() -> None:
    mutated = [(m[1], m[2]) for m in ERROR_FREE_MUTANTS]
    assert untouched(error_free, mutated) == []
    assert untouched(error_free, mutated[1:]) == ["two_sum: high = a + b"]


@pytest.mark.parametrize(
    ("first", "second", "held"),
    [
        pytest.param(-968, 0, True, id="smallest"),
        pytest.param(-484, -484, True, id="smallest-from-equals"),
        pytest.param(995, 23, True, id="largest-operand-and-product"),
        pytest.param(-500, -500, False, id="too-small"),
    ],
)
def test_products_are_exact_in_the_range_that_is_stated(first: int, second: int, held: bool) -> None:
    mantissas = np.random.default_rng(8).uniform(1, 2, size=(2, 100))
    a, b = np.ldexp(mantissas, np.array([[first], [second]]))
    product = two_product(a, b)
    assert exact(product.high, np.asarray(product.low), a, b, operator.mul) is held
