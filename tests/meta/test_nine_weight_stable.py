"""The stable nine-weight graph keeps 11 digits of every entry where the textbook form keeps none, never overflows, and
is the same real function."""

import ast
import inspect
import math
import operator
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from numpy.typing import NDArray

from manual import error_free, nine_weight, nine_weight_stable
from manual.error_free import Pair, two_product, two_sum
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
        *(pytest.param(3.0, seed, PROMISED, id=f"scale3-seed{seed}") for seed in range(1, 6)),
        pytest.param(0.01, 6, 14.0, id="scale0.01"),
        pytest.param(0.1, 7, 14.0, id="scale0.1"),
        pytest.param(1.0, 8, PROMISED, id="scale1"),
        pytest.param(30.0, 9, PROMISED, id="scale30"),
        pytest.param(300.0, 10, PROMISED, id="scale300"),
        pytest.param(1e4, 11, PROMISED, id="scale1e4"),
    ],
)
def test_loss_and_every_entry_keep_their_digits_at_all_samples(scale: float, seed: int, least: float) -> None:
    w = scale * np.random.default_rng(seed).normal(size=(16 if scale == 3 else 8, 1, 9))
    kept = all_digits(nine_weight_stable.loss_and_gradient, w, X, Y)
    assert kept.shape == (len(w), 506, 10)
    assert kept.min() >= least


def test_what_is_lost_is_what_the_residual_loses_near_its_zero() -> None:
    rng = np.random.default_rng(12)
    w, x = 3 * rng.normal(size=(512, 9)), X[rng.integers(506, size=512)]
    prediction, _ = closed_form(w, x, 0.0)
    for distance in (1e-2, 1e-5, 1e-8):
        kept = all_digits(nine_weight_stable.loss_and_gradient, w, x, floats(prediction)[0] + distance)
        assert kept.min() >= 12.5 + math.log10(distance)


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


def point(**weights: float) -> Array:
    """Weights w1 to w9 for sample 0, all different, some replaced by name."""
    values = dict(zip((f"w{i}" for i in range(1, 10)), (0.7, -0.4, 0.9, 1.3, -0.8, 0.3, -0.6, 0.2, 1.7), strict=True))
    assert weights.keys() <= values.keys()
    return np.array(list((values | weights).values()))


def definitions(module: ModuleType) -> dict[str, ast.stmt]:
    """The functions, methods (`Class.method`) and constants of a module."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}": n for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def text(module: ModuleType, node: ast.stmt) -> str:
    return ast.get_source_segment(inspect.getsource(module), node) or ""


def mutant(module: ModuleType, name: str, line: str, becomes: str) -> dict[str, Any]:
    """The names of a copy of the module in which `line`, found once in the definition of `name`, reads differently."""
    before, source = text(module, definitions(module)[name]), inspect.getsource(module)
    assert before.count(line) == 1
    assert source.count(before) == 1
    namespace: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(before, before.replace(line, becomes)), "mutant", "exec"), namespace)
    return namespace


def without_mutant(module: ModuleType, mutated: list[tuple[str, str]]) -> list[str]:
    """The assignments and returns of a module's functions that no (function, line) touches."""
    left = []
    for name, node in definitions(module).items():
        for statement in ast.walk(node):
            if isinstance(node, ast.FunctionDef) and isinstance(statement, ast.Assign | ast.AnnAssign | ast.Return):
                found = text(module, statement)
                if not any(n == name and (line in found or found in line) for n, line in mutated):
                    left.append(f"{name}: {found}")
    return left


Z_CANCELS = {"w2": -0.7 * x1 / x2}
B_CANCELS = {"w5": -1.3 * x4 / x5}
EXPONENT_CANCELS = {"w1": 1000.0, "w6": 0.3 - (1000 * x1 - 0.4 * x2) ** 2}
SINE_VANISHES, COSINE_VANISHES = {"w3": 7 * np.pi / x3}, {"w3": 7.5 * np.pi / x3}
LARGE_TIMES_NOTHING = SINE_VANISHES | {"w4": 1e7 / x4}
LARGE_ANGLE = {"w3": 1e20}
SATURATED = {"w7": 14.25, "w8": 18.0, "w9": 1.5}  # at y = 2.5 the residual is what tanh and sigmoid lack of 1
REMEDIES = [
    # id, weights, target, function, line, what it becomes, what then keeps fewer than 11 digits
    ("z", Z_CANCELS, 2, "forward", "two_product(w1, x1) + two_product(w2, x2)", "Pair(w1 * x1) + w2 * x2", {1, 2}),
    ("b", B_CANCELS, 2, "forward", "two_product(w4, x4) + two_product(w5, x5)", "Pair(w4 * x4) + w5 * x5", {3}),
    ("exponent", EXPONENT_CANCELS, 2, "forward", "z * z + w6", "Pair(z.value * z.value + w6)", ALL),
    ("exponent-error", EXPONENT_CANCELS, 2, "_exp", "u * np.where(inside, v.low, 0.0)", "0.0", ALL),
    ("u", EXPONENT_CANCELS, 2, "forward", "(u + w7).value", "(u + w7).high", ALL),
    ("sine", SINE_VANISHES, 2, "_sin_cos", "cosine * sin_low - sine * (1 - cos_low)", "0.0", {4, 5}),
    ("cosine", COSINE_VANISHES, 2, "_sin_cos", "cosine * cos_low - sine * sin_low", "cosine", {3}),
    ("angle", SINE_VANISHES, 2, "forward", "two_product(w3, x3)", "Pair(w3 * x3)", {4, 5}),
    ("large-angle", LARGE_ANGLE, 2, "_sin_cos", "sin_low - sine * (1 - cos_low)", "angle.low", ALL),
    ("q", LARGE_TIMES_NOTHING, 2, "forward", "(sine * b + w8).value", "(sine * b + w8).high", ALL),
    ("residual", SATURATED, 2.5, "forward", "(t + s * w9 - y).value", "t.value + s.value * w9 - y", ALL),
    ("tanh", SATURATED, 2.5, "forward", "t = _tanh(U)", "t = Pair(np.tanh(U))", ALL),
    ("sigmoid", SATURATED, 2.5, "forward", "s = _sigmoid(q)", "s = Pair(1 / (1 + np.exp(-q)))", ALL),
    ("side", SATURATED, 2.5, "_sigmoid", "q < SWITCH", "q > SWITCH", ALL),
    (
        "tanh-slope",
        {"w7": 30.0},
        2,
        "backward",
        "dprediction * sech * sech",
        "dprediction * (1 - np.tanh(U) ** 2)",
        {7},
    ),
    ("s-slope", {"w8": 40.0}, 2, "backward", "* slope * slope", "* s.value * (1 - s.value)", SIGMOID_BRANCH),
    ("dw8-order", {"w8": 735.0, "w9": 1e20}, 2, "backward", "slope * slope", "(slope * slope)", SIGMOID_BRANCH),
    ("dw7-order", {"w7": 367.0, "w9": 1e20}, 2, "backward", "dprediction * sech * sech", "dprediction * sech**2", {7}),
    ("dw6-order", {"w7": 367.0, "w9": 1e20}, 2, "backward", "sech * u.value * sech", "(sech**2 * u.value)", {1, 2, 6}),
    ("exp-overflows", {"w1": 30.0}, 2, "LARGEST_EXPONENT", "700.0", "np.inf", ALL),
    ("exp-error", {"w1": 1e8}, 2, "_exp", "np.where(inside, v.low, 0.0)", "v.low", ALL),
]


@pytest.mark.parametrize(
    ("weights", "y", "function", "line", "becomes", "entries"), [pytest.param(*r[1:], id=r[0]) for r in REMEDIES]
)
def test_without_its_remedy_a_loss_shows(
    weights: dict[str, float], y: float, function: str, line: str, becomes: str, entries: set[int]
) -> None:
    w = point(**weights)
    spoiled = mutant(nine_weight_stable, function, line, becomes)["loss_and_gradient"]
    assert lost(all_digits(nine_weight_stable.loss_and_gradient, w, X[0], float(y))) == set()
    with np.errstate(all="ignore"):
        assert lost(all_digits(spoiled, w, X[0], float(y))) == entries


def test_a_plain_cosh_overflows() -> None:
    w = point(w7=800.0)
    plain = mutant(nine_weight_stable, "_sech", "return 2 * e / (1 + e * e)", "return 1 / np.cosh(a)")
    with np.errstate(all="raise"):
        nine_weight_stable.loss_and_gradient(w, X[0], 2.0)
        with pytest.raises(FloatingPointError, match="overflow"):
            plain["loss_and_gradient"](w, X[0], 2.0)


# --- planted mistakes -----------------------------------------------------------------------------------------------

MUTANTS = [
    # function, line, what it becomes, what then keeps fewer than 11 digits; 0 is the loss
    ("forward", "(w[..., i] for i in range(9))", "(w[..., i] for i in (0, 1, 2, 3, 4, 5, 7, 6, 8))", ALL),
    ("forward", "(x[..., i] for i in range(5))", "(x[..., i] for i in (1, 0, 2, 3, 4))", ALL),
    ("forward", "z = two_product(w1, x1) + two_product(w2, x2)", "z = two_product(w1, x1) + two_product(w1, x2)", ALL),
    ("forward", "u = _exp(z * z + w6)", "u = _exp(z * z - w6)", ALL),
    ("forward", "U = (u + w7).value", "U = (u - w7).value", ALL),
    ("forward", "t = _tanh(U)", "t = _tanh(-U)", ALL),
    ("forward", "sine, cosine = _sin_cos(two_product(w3, x3))", "sine, cosine = _sin_cos(two_product(w3, x4))", ALL),
    ("forward", "b = two_product(w4, x4) + two_product(w5, x5)", "b = two_product(w4, x4) - two_product(w5, x5)", ALL),
    ("forward", "q = (sine * b + w8).value", "q = (sine * w8 + b).value", ALL),
    ("forward", "s = _sigmoid(q)", "s = _sigmoid(2 * q)", ALL),
    ("forward", "residual = (t + s * w9 - y).value", "residual = (t + s * w9).value + y", ALL),
    ("forward", "loss = residual * residual", "loss = residual", {0}),
    ("forward", "return loss, Cache(z, u,", "return loss, Cache(u, z,", {1, 2, 6}),
    ("backward", "w9 = w[..., 8]", "w9 = w[..., 7]", SIGMOID_BRANCH),
    ("backward", "(x[..., i] for i in range(5))", "(x[..., i] for i in (0, 1, 2, 4, 3))", {4, 5}),
    (
        "backward",
        "z, u, U, sine, cosine, b, q, s, residual = cache",
        "z, U, u, sine, cosine, b, q, s, residual = cache",
        {6},
    ),
    ("backward", "sech = _sech(U)", "sech = _sech(U / 2) / 2", TANH_BRANCH),
    ("backward", "slope = _sech(q / 2) / 2", "slope = _sech(q) / 2", SIGMOID_BRANCH),
    ("backward", "dprediction = 2 * residual", "dprediction = residual", GRADIENT),
    ("backward", "dw9 = dprediction * s.value", "dw9 = dprediction * s.high", {9}),
    ("backward", "dw8 = dprediction * w9 * slope * slope", "dw8 = dprediction * slope * slope", SIGMOID_BRANCH),
    ("backward", "dw7 = dprediction * sech * sech", "dw7 = -dprediction * sech * sech", {7}),
    ("backward", "dw6 = dprediction * sech * u.value * sech", "dw6 = dprediction * sech * u.value", {1, 2, 6}),
    ("backward", "dw5 = dw8 * sine.value * x5", "dw5 = dw8 * sine.value * x4", {5}),
    ("backward", "dw4 = dw8 * sine.value * x4", "dw4 = dw8 * x4", {4}),
    ("backward", "dw3 = dw8 * b.value * cosine * x3", "dw3 = dw8 * b.value * sine.value * x3", {3}),
    ("backward", "dw2 = dw6 * (2 * z.value * x2)", "dw2 = dw6 * (z.value * x2)", {2}),
    ("backward", "dw1 = dw6 * (2 * z.value * x1)", "dw1 = dw6 * (2 * x1)", {1}),
    ("backward", "np.stack([dw1, dw2,", "np.stack([dw2, dw1,", {1, 2}),
    ("loss_and_gradient", "loss, cache = forward(w, x, y)", "loss, cache = forward(w, x, 2 * y)", ALL),
    ("loss_and_gradient", "backward(w, x, cache)", "backward(w, x[..., ::-1], cache)", {1, 2, 4, 5}),
    ("_exp", "inside = v.high < LARGEST_EXPONENT", "inside = v.high > LARGEST_EXPONENT", ALL),
    ("_exp", "u = np.exp(np.where(inside, v.high, LARGEST_EXPONENT))", "u = np.exp(v.low)", ALL),
    ("_exp", "return Pair(u, ", "return Pair(u - 1, ", ALL),
    ("_sin_cos", "sine, cosine = np.sin(angle.high), np.cos(angle.high)", "sine = cosine = np.sin(angle.high)", ALL),
    ("_sin_cos", "sin_low, cos_low = np.sin(angle.low), np.cos(angle.low)", "sin_low = cos_low = angle.low", ALL),
    ("_sin_cos", "return Pair(sine,", "return Pair(-sine,", ALL),
    ("_sigmoid", "e = np.exp(np.where(rising, q, -q))", "e = np.exp(np.where(rising, -q, q))", ALL),
    ("_sigmoid", "np.where(rising, e, -e)", "np.where(rising, -e, e)", ALL),
    ("_tanh", "s = _sigmoid(2 * U)", "s = _sigmoid(U)", ALL),
    ("_tanh", "return Pair(2 * s.high - 1, 2 * s.low)", "return Pair(2 * s.high - 1, s.low)", ALL),
    ("_sech", "e: Array = np.exp(-np.abs(a))", "e: Array = np.exp(-2 * np.abs(a))", TANH_BRANCH | SIGMOID_BRANCH),
    ("_sech", "return 2 * e / (1 + e * e)", "return 2 * e / (1 - e * e)", TANH_BRANCH | SIGMOID_BRANCH),
]


@pytest.mark.parametrize(
    ("function", "line", "becomes", "entries"), [pytest.param(*m, id=f"{m[0]}-{i}") for i, m in enumerate(MUTANTS)]
)
def test_a_mistake_in_any_line_shows(function: str, line: str, becomes: str, entries: set[int]) -> None:
    mistaken = mutant(nine_weight_stable, function, line, becomes)["loss_and_gradient"]
    assert lost(all_digits(nine_weight_stable.loss_and_gradient, point(), X[0], 2.0)) == set()
    assert lost(all_digits(mistaken, point(), X[0], 2.0)) == entries


def test_every_line_has_its_mutant() -> None:
    mutated = [(m[0], m[1]) for m in MUTANTS] + [(r[3], r[4]) for r in REMEDIES]
    assert without_mutant(nine_weight_stable, mutated) == []
    assert without_mutant(nine_weight_stable, mutated[1:]) != []


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


UNDECIDED = [
    # id, weights, the definition that keeps the balls apart, its line, what it becomes
    ("q-is-0", {"w3": 0.0, "w8": 0.0}, "SWITCH", "-0.1", "0.0"),
    ("U-is-huge", {"w1": 30.0, "w6": -700.0}, "_sech", "return 2 * e / (1 + e * e)", "return 1 / np.cosh(a)"),
]


@pytest.mark.parametrize(("weights", "name", "line", "becomes"), [pytest.param(*u[1:], id=u[0]) for u in UNDECIDED])
def test_the_certificate_is_decided_where_a_plainer_line_would_leave_it_open(
    weights: dict[str, float], name: str, line: str, becomes: str
) -> None:
    w, x, y = point(**weights)[None], X[:1], Y[:1]
    plainer = mutant(nine_weight_stable, name, line, becomes)
    for forward, both, ruling in (
        (nine_weight_stable.forward, nine_weight_stable.loss_and_gradient, Ruling.CERTIFIED),
        (plainer["forward"], plainer["loss_and_gradient"], Ruling.UNDECIDED),
    ):
        certificate = certify(lambda *a, f=forward: f(*a)[0], lambda *a, g=both: g(*a)[1], w, x, y)
        assert certificate.ruling is ruling


# --- error_free -----------------------------------------------------------------------------------------------------


def inexact(names: dict[str, Any]) -> set[str]:
    """What of `error_free` is not exact, or for pairs not right to 30 digits of the terms."""
    pair, wrong = names["Pair"], set()
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, 200)) * 10.0 ** rng.integers(-40, 40, size=(2, 200))
    c, d = rng.uniform(-1, 1, size=(2, 200)) * 2.0**-54 * [a, b]
    for name, exact in (("two_sum", operator.add), ("two_product", operator.mul)):
        result = names[name](a, b)
        if any(
            Fraction(h) + Fraction(l) != exact(Fraction(p), Fraction(q))
            for h, l, p, q in zip(result.high, result.low, a, b, strict=True)
        ):
            wrong.add(name)
    true_a, true_b = balls(a) + balls(c), balls(b) + balls(d)
    for name, operation in (("+", operator.add), ("-", operator.sub), ("*", operator.mul)):
        size = np.abs(true_a) + np.abs(true_b) if name != "*" else np.abs(true_a * true_b)
        for other, true_other in ((pair(b, d), true_b), (b, balls(b))):
            found = operation(pair(a, c), other)
            error = np.abs(balls(found.high) + balls(found.low) - operation(true_a, true_other)) / size
            if not (_midpoint(error).astype(float) < 1e-30).all():
                wrong.add(name)
    if not (pair(a, c).value == a + c).all():
        wrong.add("value")
    return wrong
