"""The stable nine-weight graph keeps 14 digits of every entry where the textbook form keeps none, never overflows, and
is the same real function."""

import ast
import inspect
import operator
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from numpy.typing import NDArray

from manual import error_free, nine_weight, nine_weight_stable
from manual.error_free import Pair, two_product, two_sum
from reference.datasets import housing

Array = NDArray[np.float64]
Balls = NDArray[np.object_]

X, Y = housing()
BITS = 320
SMALLEST_NORMAL = np.finfo(np.float64).tiny
TANH_BRANCH, SIGMOID_BRANCH, ALL = {1, 2, 6, 7}, {3, 4, 5, 8}, set(range(1, 10))

_ball = np.frompyfunc(arb, 1, 1)
_midpoint = np.frompyfunc(lambda b: float(b.mid()), 1, 1)
_radius = np.frompyfunc(lambda b: float(b.rad()), 1, 1)


def balls(values: Array | float) -> Balls:
    """Exact balls. NumPy's functions call the method of their name on each: np.exp on these is `arb.exp`."""
    return np.asarray(_ball(np.asarray(values).astype(object)), dtype=object)


def floats(values: Balls) -> tuple[Array, Array]:
    """Midpoints as unevaluated sums of two floats."""
    high = np.asarray(_midpoint(values), dtype=np.float64)
    return high, np.asarray(_midpoint(values - balls(high)), dtype=np.float64)


@pytest.fixture(autouse=True)
def precision() -> Any:
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
    assert (_radius(true) <= 1e-40 * np.maximum(np.abs(high), SMALLEST_NORMAL)).all()
    error = np.abs((found - high) - low) / np.maximum(np.abs(high), SMALLEST_NORMAL)
    return np.where(np.isfinite(found), -np.log10(np.maximum(error, 1e-20)), -np.inf)


def gradient_digits(module: ModuleType, w: Array, x: Array, y: Array | float) -> Array:
    _, gradient = module.loss_and_gradient(w, x, y)
    return digits(gradient, closed_form(w, x, y)[1])


# --- accuracy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "seed"), [pytest.param(s, seed, id=f"{s}-{seed}") for s in (0.01, 1.0, 3.0, 10.0) for seed in (1, 2)]
)
def test_every_entry_keeps_14_digits_at_normal_weights_and_all_samples(scale: float, seed: int) -> None:
    w = scale * np.random.default_rng(seed).normal(size=(8, 1, 9))
    correct = gradient_digits(nine_weight_stable, w, X, Y)
    assert correct.shape == (8, 506, 9)
    assert correct.min() >= 14


def test_the_loss_keeps_14_digits() -> None:
    w = 3 * np.random.default_rng(3).normal(size=(4, 1, 9))
    loss, _ = nine_weight_stable.forward(w, X, Y)
    residual, _ = closed_form(w, X, Y)
    assert digits(loss, residual * residual).min() >= 14


@pytest.mark.parametrize("largest", [30.0, 1e4, 1e30, 1e100])
def test_nothing_overflows_or_warns_at_large_weights(largest: float) -> None:
    w = np.random.default_rng(4).uniform(-largest, largest, size=(16, 1, 9))
    with np.errstate(all="raise"):
        loss, gradient = nine_weight_stable.loss_and_gradient(w, X, Y)
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()
    if largest == 30:
        assert digits(gradient[:4], closed_form(w[:4], X, Y)[1]).min() >= 14


@pytest.mark.parametrize("fill", [0.0, 5e-324, -1e-300, 1e-8])
def test_tiny_weights_are_no_exception(fill: float) -> None:
    assert gradient_digits(nine_weight_stable, np.full(9, fill), X, Y).min() >= 14


def test_the_textbook_form_loses_every_digit_of_four_entries_at_sample_93() -> None:
    w = np.random.default_rng(20).normal(size=9)
    textbook = gradient_digits(nine_weight, w, X[93], Y[93])
    stable = gradient_digits(nine_weight_stable, w, X[93], Y[93])
    lost = {int(i) + 1 for i in np.flatnonzero(textbook < 1)}
    assert lost == TANH_BRANCH
    assert stable.min() >= 14
    _, gradient = nine_weight_stable.loss_and_gradient(w, X[93], Y[93])
    assert 1e-20 < abs(gradient[0]) < 1e-16  # the textbook says 0


# --- each remedy is needed ------------------------------------------------------------------------------------------


def point(**weights: float) -> Array:
    """Weights w1 to w9 of sample 0, all different, some replaced by name."""
    values = dict(zip((f"w{i}" for i in range(1, 10)), (0.7, -0.4, 0.9, 1.3, -0.8, 0.3, -0.6, 0.2, 1.7), strict=True))
    assert weights.keys() <= values.keys()
    return np.array(list((values | weights).values()))


def reload(module: ModuleType, **replacements: str) -> dict[str, Any]:
    """The names of a copy of the module; `line=becomes` pairs are given as two keyword lists of one entry each."""
    source = inspect.getsource(module)
    line, becomes = replacements["line"], replacements["becomes"]
    assert source.count(line) == 1
    changed = source.replace(line, becomes)
    assert changed != source
    namespace: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(changed, "mutant", "exec"), namespace)
    return namespace


x1, x2, x3, x4, x5 = (float(v) for v in X[0])
SIN, COS = " + angle.low * np.cos(angle.high)", " - angle.low * np.sin(angle.high)"
REMEDIES = [
    # id, weights, line, what it becomes, entries that then keep fewer than 11 digits
    (
        "z-cancels",
        {"w2": -0.7 * x1 / x2},
        "z = two_product(w1, x1) + two_product(w2, x2)",
        "z = Pair(w1 * x1) + Pair(w2 * x2)",
        {1, 2},
    ),
    (
        "b-cancels",
        {"w5": -1.3 * x4 / x5},
        "b = two_product(w4, x4) + two_product(w5, x5)",
        "b = Pair(w4 * x4) + Pair(w5 * x5)",
        {3},
    ),
    ("sine-vanishes", {"w3": 7 * np.pi / x3}, SIN, "", {4, 5}),
    ("cosine-vanishes", {"w3": 7.5 * np.pi / x3}, COS, "", {3}),
    ("tanh-saturates", {"w7": 30.0}, "* sech * sech", "* (1 - np.tanh(U.high) * np.tanh(U.high))", {7}),
    ("sigmoid-saturates", {"w8": 40.0}, "w9 * slope * slope", "w9 * s.high * (1 - s.high)", SIGMOID_BRANCH),
    ("u-overflows", {"w1": 30.0}, "sech * u.value * sech", "sech * np.inf * sech", {1, 2, 6}),
]


@pytest.mark.parametrize(
    ("weights", "line", "becomes", "entries"), [pytest.param(*remedy[1:], id=remedy[0]) for remedy in REMEDIES]
)
def test_without_its_remedy_a_cancellation_costs_the_digits(
    weights: dict[str, float], line: str, becomes: str, entries: set[int]
) -> None:
    w, x, y = point(**weights), X[0], float(Y[0])
    _, true = closed_form(w, x, y)
    _, gradient = nine_weight_stable.loss_and_gradient(w, x, y)
    assert digits(gradient, true).min() >= 14
    with np.errstate(invalid="ignore"):
        _, spoiled = reload(nine_weight_stable, line=line, becomes=becomes)["loss_and_gradient"](w, x, y)
    assert {int(i) + 1 for i in np.flatnonzero(digits(spoiled, true) < 11)} == entries


RESIDUAL_REMEDIES = [
    pytest.param(
        nine_weight_stable,
        "residual = t + s * w9 - y",
        "residual = Pair(t.high + s.high * w9 - y)",
        id="residual-in-floats",
    ),
    pytest.param(nine_weight_stable, "angle = two_product(w3, x3)", "angle = Pair(w3 * x3)", id="angle-rounded"),
    pytest.param(nine_weight_stable, "v = z * z + w6", "v = Pair(z.high * z.high + w6)", id="exponent-rounded"),
    pytest.param(error_free, "+ slope * x.low", "", id="argument-error-dropped"),
    pytest.param(error_free, "np.where(inside, error, 0.0)", "0.0", id="library-error-dropped"),
    pytest.param(error_free, "a1 * b2 + a2 * b1", "a1 * b2", id="two-product-wrong"),
    pytest.param(error_free, "+ (b - b_part)", "", id="two-sum-wrong"),
    pytest.param(error_free, "HALVINGS, DOUBLINGS = 36, 15", "HALVINGS, DOUBLINGS = 36, 0", id="no-doublings-in-pairs"),
    pytest.param(error_free, "THIRDS, TRIPLINGS = 25, 8", "THIRDS, TRIPLINGS = 25, 0", id="no-triplings-in-pairs"),
]
NEAR_ZERO = 3e-9


def near_root() -> tuple[Array, Array, Array]:
    """64 points at which the prediction misses the target by 3e-9 only: the residual has 7 digits in plain floats."""
    rng = np.random.default_rng(5)
    w, x = rng.normal(size=(64, 9)), X[rng.integers(506, size=64)]
    prediction, _ = closed_form(w, x, 0.0)
    return w, x, floats(prediction)[0] + NEAR_ZERO


def test_the_residual_keeps_10_digits_when_it_is_3e_9() -> None:
    assert gradient_digits(nine_weight_stable, *near_root()).min() >= 10
    assert gradient_digits(nine_weight, *near_root())[:, 8].min() < 8


@pytest.mark.parametrize(("module", "line", "becomes"), RESIDUAL_REMEDIES)
def test_without_its_remedy_the_residual_loses_its_digits(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, line: str, becomes: str
) -> None:
    names = reload(module, line=line, becomes=becomes)
    if module is error_free:
        for name in ("exp", "sigmoid", "sin", "tanh", "two_product"):
            monkeypatch.setattr(nine_weight_stable, name, names[name])
        forward = nine_weight_stable.forward
    else:
        forward = names["forward"]
    w, x, y = near_root()
    residual = forward(w, x, y)[1].residual.value
    assert digits(residual, closed_form(w, x, y)[0]).min() < 9


def test_without_huge_for_infinity_an_overflowing_exp_gives_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    w = point(w1=30.0)
    monkeypatch.setattr(error_free, "HUGE", np.inf)
    with np.errstate(invalid="ignore"):
        _, gradient = nine_weight_stable.loss_and_gradient(w, X[0], Y[0])
    assert np.isnan(gradient).any()


# --- planted mistakes -----------------------------------------------------------------------------------------------

MUTANTS = [
    ("sine", "sine = np.sin(angle.high)", "sine = np.cos(angle.high)", {4, 5}),
    ("cosine", "cosine = np.cos(angle.high)", "cosine = np.sin(angle.high)", {3}),
    ("sech", "/ np.cosh(U.high)", "/ np.sinh(U.high)", TANH_BRANCH),
    ("slope", "/ (2 * np.cosh(q.high / 2))", "/ np.cosh(q.high / 2)", SIGMOID_BRANCH),
    ("dprediction", "dprediction = 2 * residual.value", "dprediction = residual.value", ALL),
    ("dw9", "dw9 = dprediction * s.value", "dw9 = dprediction * w9", {9}),
    ("dw8", "dw8 = dprediction * w9 * slope", "dw8 = dprediction * slope", SIGMOID_BRANCH),
    ("dw7", "dw7 = dprediction * sech * sech", "dw7 = dprediction * sech", {7}),
    ("dw6", "dw6 = dprediction * sech * u.value", "dw6 = dprediction * sech", {1, 2, 6}),
    ("dw5", "dw5 = dw8 * sine * x5", "dw5 = dw8 * sine * x4", {5}),
    ("dw4", "dw4 = dw8 * sine * x4", "dw4 = dw8 * x4", {4}),
    ("dw3", "dw3 = dw8 * b.value * cosine * x3", "dw3 = dw8 * cosine * x3", {3}),
    ("dw2", "dw2 = dw6 * (2 * z.value * x2)", "dw2 = dw6 * (z.value * x2)", {2}),
    ("dw1", "dw1 = dw6 * (2 * z.value * x1)", "dw1 = dw6 * (2 * z.value)", {1}),
    ("w9", "w9 = w[..., 8]", "w9 = w[..., 7]", SIGMOID_BRANCH),
    ("order", "np.stack([dw1, dw2,", "np.stack([dw2, dw1,", {1, 2}),
]


@pytest.mark.parametrize(("line", "becomes", "entries"), [pytest.param(*m[1:], id=m[0]) for m in MUTANTS])
def test_a_mistake_in_any_line_of_backward_shows(line: str, becomes: str, entries: set[int]) -> None:
    w, x, y = point(), X[0], float(Y[0])
    _, gradient = reload(nine_weight_stable, line=line, becomes=becomes)["loss_and_gradient"](w, x, y)
    assert {int(i) + 1 for i in np.flatnonzero(digits(gradient, closed_form(w, x, y)[1]) < 14)} == entries


def test_every_line_of_backward_has_its_mutant() -> None:
    nodes = ast.walk(ast.parse(inspect.getsource(nine_weight_stable.backward)))
    named = {n.targets[0].id for n in nodes if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)}
    assert named == {m[0] for m in MUTANTS} - {"order"}


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
        if ufunc is np.isfinite:
            return np.asarray(np.frompyfunc(lambda b: b.is_finite(), 1, 1)(self.inner), dtype=bool)
        raw = [v.inner if isinstance(v, Duck) else balls(v) for v in inputs]
        result = np.asarray(ufunc(*raw), dtype=object)
        return result.astype(bool) if ufunc in (np.less, np.greater, np.less_equal) else Duck(result)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return Duck(function(*_unwrap(args), **kwargs))


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


def test_in_exact_arithmetic_every_low_part_is_zero() -> None:
    duck: Any = Duck
    w, x, y = (duck(balls(v)) for v in (point(), X[0], Y[0]))
    _, cache = nine_weight_stable.forward(w, x, y)
    assert len(cache) == 8
    for pair in cache:
        (low,) = _unwrap([pair.low])
        assert low.item().contains(0)
        assert low.item().rad() < 1e-70


# --- error_free -----------------------------------------------------------------------------------------------------


def test_sums_and_products_have_no_error() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, 500)) * 10.0 ** rng.integers(-40, 40, size=(2, 500))
    for pair, exact in ((two_sum(a, b), operator.add), (two_product(a, b), operator.mul)):
        for high, low, p, q in zip(pair.high, np.broadcast_to(pair.low, 500), a, b, strict=True):
            assert Fraction(high) + Fraction(low) == exact(Fraction(p), Fraction(q))


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv], ids=list("+-*/"))
def test_arithmetic_of_pairs_is_accurate_to_30_digits(operation: Callable[[Any, Any], Any]) -> None:
    rng = np.random.default_rng(8)
    (a, b), (c, d) = rng.uniform(1, 2, size=(2, 2, 500)) * [[[1.0], [2.0]], [[2.0**-54], [2.0**-54]]]
    found = operation(Pair(a, c), Pair(b, d))
    true = operation(balls(a) + balls(c), balls(b) + balls(d))
    error = np.abs(balls(found.high) + balls(found.low) - true)
    assert (_midpoint(error).astype(float) < 1e-30).all()


@pytest.mark.parametrize(
    ("function", "true", "largest", "bound"),
    [
        pytest.param(error_free.exp, np.exp, 3.0, 2.0**-58, id="exp"),
        pytest.param(error_free.sigmoid, lambda b: 1 / (1 + np.exp(-b)), 40.0, 2.0**-64, id="sigmoid"),
        pytest.param(error_free.tanh, np.tanh, 40.0, 2.0**-64, id="tanh"),
        pytest.param(error_free.sin, np.sin, 60.0, 2.0**-60, id="sin"),
    ],
)
def test_functions_of_pairs_are_far_more_accurate_than_the_library(
    function: Callable[[Pair], Pair], true: Callable[[Balls], Balls], largest: float, bound: float
) -> None:
    rng = np.random.default_rng(9)
    x = Pair(rng.uniform(-largest, largest, size=2000), rng.uniform(-1, 1, size=2000) * 2.0**-54)
    found, expected = function(x), true(balls(x.high) + balls(x.low))
    assert _midpoint(np.abs(balls(found.high) + balls(found.low) - expected)).astype(float).max() < bound
    assert _midpoint(np.abs(balls(found.high) - expected)).astype(float).max() > 2.0**-56


def test_beyond_their_range_the_functions_are_the_library_s() -> None:
    x = Pair(np.array([-2000.0, -65.0, 65.0, 2000.0]))
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(error_free.tanh(x).value, np.tanh(x.high))
        np.testing.assert_array_equal(error_free.sigmoid(x).value, 1 / (1 + np.exp(-x.high)))
        np.testing.assert_array_equal(error_free.sin(x).value[[0, 3]], np.sin(x.high[[0, 3]]))
        np.testing.assert_array_equal(error_free.exp(x).value, [*np.exp(x.high[:3]), error_free.HUGE])


def test_a_float_array_on_the_left_keeps_the_pair() -> None:
    pair = Pair(np.array([1.0, 2.0]), np.array([2.0**-60, 0.0]))
    for result in (np.ones(2) + pair, np.ones(2) * pair, np.float64(3.0) - pair, 1.0 / pair):
        assert isinstance(result, Pair)
        assert result.high.shape == (2,)
