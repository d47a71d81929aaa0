"""Every ufunc and function with a version for balls gives what NumPy gives on floats, and encloses it rigorously."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx

from oracles import ball_functions, ball_products, ball_ufuncs
from oracles.ball import BallArray, lift, mode, wrap
from oracles.errors import NotCertifiableError, UndecidedComparisonError
from tests.meta import ball_cases as cases

Array = Any
xp: Any = np  # NumPy's stubs do not know that its functions take duck arrays
EPS = 2.0**-52


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(256):
        yield


def rng(*key: Any) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def midpoints(values: Any) -> Array:
    raw = values._a
    return np.array([float(b.mid()) for b in raw.ravel()]).reshape(raw.shape)


def assert_alike(on_balls: Any, on_floats: Any, ulps: float) -> None:
    """Same structure and shape, midpoints within `ulps` of the largest entry, and tiny radii."""
    if isinstance(on_floats, list | tuple):
        assert type(on_balls) is type(on_floats)
        for a, b in zip(on_balls, on_floats, strict=True):
            assert_alike(a, b, ulps)
    elif isinstance(on_balls, BallArray):
        expected = np.asarray(on_floats)
        assert expected.dtype == np.float64
        assert on_balls._a.shape == expected.shape
        assert all(type(b) is arb for b in on_balls._a.ravel())
        scale = np.max(np.abs(expected), initial=0.0)
        assert np.all(np.abs(midpoints(on_balls) - expected) <= ulps * EPS * max(scale, 1.0))
        assert all(b.rad() <= (abs(b.mid()) + 1) * arb(2) ** -230 for b in on_balls._a.ravel())
    else:
        assert np.shape(on_balls) == np.shape(on_floats)
        assert np.all(on_balls == on_floats)
        if isinstance(on_floats, np.ndarray):
            assert on_balls.dtype == on_floats.dtype


# --- the tables are complete ------------------------------------------------------------------------------------------


def test_no_function_has_a_version_without_being_tried() -> None:
    assert set(cases.FUNCTIONS) | cases.OTHERS == set(ball_functions.FUNCTIONS)
    assert not set(cases.FUNCTIONS) & cases.OTHERS


def test_no_ufunc_has_a_version_without_being_tried() -> None:
    tried = {*cases.UNARY, *cases.BINARY, *cases.PREDICATES, *cases.RELATIONS, *cases.PRODUCTS, *cases.PAIRS}
    tables = (ball_ufuncs.EXACT, ball_ufuncs.TRANSCENDENTAL, ball_ufuncs.TESTS, ball_ufuncs.COMPOSED)
    assert tried == {*(u for table in tables for u in table), *ball_products.PRODUCT_UFUNCS}


# --- functions --------------------------------------------------------------------------------------------------------

CALLS = [
    pytest.param(call, id=f"{function.__name__}-{i}")
    for function, calls in cases.FUNCTIONS.items()
    for i, call in enumerate(calls)
]


@pytest.mark.parametrize("call", CALLS)
def test_functions_agree_with_numpy(call: cases.Call, request: pytest.FixtureRequest) -> None:
    floats = cases.arguments(rng(request.node.callspec.id))
    on_balls = call(floats.on_balls())
    assert not isinstance(on_balls, np.ndarray) or on_balls.dtype.kind in "biu"
    with np.errstate(all="ignore"):
        assert_alike(on_balls, call(floats), 64)


@pytest.mark.parametrize("call", CALLS)
def test_functions_enclose_what_more_precision_gives(call: cases.Call, request: pytest.FixtureRequest) -> None:
    """Evaluated with 64 bits, the ball contains the one evaluated with 512: no radius is rounded inward."""
    floats = cases.arguments(rng(request.node.callspec.id, "precision"))
    with ctx.workprec(64):
        coarse = list(elements(call(floats.on_balls())))
    with ctx.workprec(512):
        fine = list(elements(call(floats.on_balls())))
        assert len(coarse) == len(fine)
        assert all(a.contains(b) for a, b in zip(coarse, fine, strict=True))


def elements(result: Any) -> Iterator[arb]:
    if isinstance(result, BallArray):
        yield from result._a.ravel()
    elif isinstance(result, list | tuple):
        for part in result:
            yield from elements(part)


# --- ufuncs -----------------------------------------------------------------------------------------------------------

SHAPES = [
    pytest.param((), (), id="scalars"),
    pytest.param((0,), (0,), id="empty"),
    pytest.param((5,), (), id="vector-scalar"),
    pytest.param((3, 4), (4,), id="broadcast"),
    pytest.param((3, 1), (1, 4), id="outer-broadcast"),
    pytest.param((2, 3, 4), (3, 4), id="three-axes"),
]
ELEMENTWISE = [pytest.param(u, id=u.__name__) for u in {**cases.UNARY, **cases.BINARY}]
SMOOTH = [
    pytest.param(u, id=u.__name__)
    for u in {**cases.UNARY, **cases.BINARY}
    if u not in {np.sign, np.floor, np.ceil, np.trunc, np.rint, np.floor_divide, np.remainder, np.fmod}
    and u not in {np.heaviside, np.copysign}
]


def drawn(ufunc: np.ufunc, shapes: tuple[Any, ...], random: np.random.Generator) -> list[Array]:
    low, high = {**cases.UNARY, **cases.BINARY}[ufunc]
    return [np.asarray(random.uniform(low, high, shape)) for shape in shapes[: ufunc.nin]]


@pytest.mark.parametrize("ufunc", ELEMENTWISE)
@pytest.mark.parametrize(("first", "second"), SHAPES)
def test_ufuncs_agree_with_numpy(ufunc: np.ufunc, first: Any, second: Any) -> None:
    """Each entry to the four ulps of NumPy's own functions, also for views that are not contiguous."""
    args = drawn(ufunc, (first, second), rng(ufunc.__name__, first))
    expected = np.asarray(ufunc(*args))
    plain = ufunc(*map(lift, args))
    reversed_views = ufunc(*(lift(a.T.copy()).T for a in args))
    for found in (plain, reversed_views):
        assert found._a.shape == expected.shape
        assert np.all(np.abs(midpoints(found) - expected) <= 4 * np.spacing(np.abs(expected)))


@pytest.mark.parametrize("ufunc", ELEMENTWISE)
def test_ufuncs_take_plain_numbers_on_either_side(ufunc: np.ufunc) -> None:
    args = drawn(ufunc, ((3,), (3,)), rng(ufunc.__name__, "mixed"))
    exact = midpoints(ufunc(*map(lift, args)))
    for i in range(ufunc.nin if ufunc.nin > 1 else 0):
        mixed = [a if j == i else lift(a) for j, a in enumerate(args)]
        assert np.array_equal(midpoints(ufunc(*mixed)), exact)
        nested = [a.tolist() if j == i else lift(a) for j, a in enumerate(args)]
        assert np.array_equal(midpoints(ufunc(*nested)), exact)
    assert exact.shape == (3,)


@pytest.mark.parametrize("ufunc", ELEMENTWISE)
def test_ufuncs_write_into_out_where_a_mask_says_so(ufunc: np.ufunc) -> None:
    args = drawn(ufunc, ((3,), (3,)), rng(ufunc.__name__, "out"))
    mask = np.array([True, False, True])
    out = lift(np.full(3, 7.0))
    assert ufunc(*map(lift, args), out=out, where=mask) is out
    expected = np.where(mask, midpoints(ufunc(*map(lift, args))), 7.0)
    assert np.array_equal(midpoints(out), expected)
    assert np.array_equal(midpoints(ufunc(*args, out=out)), midpoints(ufunc(*map(lift, args))))  # only out is a ball


def boxes(ufunc: np.ufunc, key: str, exponent: int) -> tuple[list[Array], list[Array]]:
    """Random balls of relative radius about 2^exponent, and a random point in each."""
    random = rng(ufunc.__name__, key, exponent)
    low, high = {**cases.UNARY, **cases.BINARY}[ufunc]
    balls, points = [], []
    for _ in range(ufunc.nin):
        centre = random.uniform(low + 0.05, high - 0.05, 40)
        radius = random.uniform(0, 0.05, 40) * 2.0**exponent
        # The ends belong to the ball, so they are tried as well.
        share = np.where(random.random(40) < 0.2, random.choice([-1.0, 1.0], 40), random.uniform(-1, 1, 40))
        balls.append(np.array([arb(c, r) for c, r in zip(centre, radius, strict=True)], dtype=object))
        points.append(
            np.array([arb(c) + arb(r) * arb(s) for c, r, s in zip(centre, radius, share, strict=True)], dtype=object)
        )
    return balls, points


@pytest.mark.parametrize("ufunc", ELEMENTWISE)
@pytest.mark.parametrize("exponent", [pytest.param(e, id=f"radius-2^{e}") for e in (0, -20, -100)])
def test_the_value_at_a_point_lies_in_the_value_of_the_box(ufunc: np.ufunc, exponent: int) -> None:
    """f(point) is in f(box), and a decision that the box leaves open is refused instead."""
    balls, points = boxes(ufunc, "inclusion", exponent)
    open_decisions = 0
    for i in range(40):
        try:
            box = ufunc(*(wrap(b[i]) for b in balls))._a.item()
        except UndecidedComparisonError:
            open_decisions += 1
            continue
        with ctx.workprec(400):
            point = ufunc(*(wrap(p[i]) for p in points))._a.item()
        assert box.contains(point)
    assert open_decisions < 40
    if exponent == -100:
        assert open_decisions == 0


@pytest.mark.parametrize("ufunc", SMOOTH)
def test_a_wider_input_gives_a_wider_output(ufunc: np.ufunc) -> None:
    random = rng(ufunc.__name__, "monotone")
    low, high = {**cases.UNARY, **cases.BINARY}[ufunc]
    for _ in range(20):
        centres = [float(random.uniform(low + 0.1, high - 0.1)) for _ in range(ufunc.nin)]
        radii = [
            ufunc(*(wrap(arb(c, 2.0**exponent)) for c in centres))._a.item().rad()
            for exponent in (-200, -150, -100, -50, -25, -10, -5)
        ]
        assert all(narrow <= wide for narrow, wide in pairwise(radii))
        assert radii[0] < arb(2) ** -150


@pytest.mark.parametrize("ufunc", [pytest.param(u, id=u.__name__) for u in sorted(cases.RELATIONS, key=str)])
def test_relations_agree_with_numpy(ufunc: np.ufunc) -> None:
    x = np.array([-1.0, 0.0, 0.5, 2.0, 0.5, 0.0])
    y = np.array([0.0, 0.0, 0.5, 1.0, -3.0, 1.0])
    for args in ((x, y), (x[:, None], y), (x[2], y)):
        expected = ufunc(*args)
        for found in (ufunc(*map(lift, args)), ufunc(lift(args[0]), args[1]), ufunc(args[0], lift(args[1]))):
            assert found.dtype == bool
            assert np.array_equal(found, expected)
    assert isinstance(ufunc(lift(1.0), lift(2.0)), np.bool_)


@pytest.mark.parametrize("ufunc", [pytest.param(u, id=u.__name__) for u in sorted(cases.PREDICATES, key=str)])
def test_predicates_agree_with_numpy(ufunc: np.ufunc) -> None:
    x = np.array([-1.0, 0.0, 2.0, np.inf, -np.inf])
    if ufunc in (np.isfinite, np.isinf, np.isnan):
        x[0] = np.nan  # a float that is not a number, and not a ball that may be anything
    assert np.array_equal(ufunc(lift(x)), ufunc(x))
    assert ufunc(lift(x)).dtype == bool


@pytest.mark.parametrize("predicate", [np.isfinite, np.isnan, np.isinf])
def test_an_unbounded_ball_may_be_anything(predicate: np.ufunc) -> None:
    """sqrt of a ball around 0 and a quotient by one are enclosures of everything: neither finite nor not a number."""
    around_zero = wrap(arb(0, 1e-9))
    for unbounded in (xp.sqrt(around_zero), 1 / around_zero, xp.log(around_zero)):
        with pytest.raises(UndecidedComparisonError, match="cannot be decided"):
            predicate(unbounded)


def test_zero_is_positive_for_copysign() -> None:
    assert midpoints(np.copysign(lift(np.array([2.0, -2.0])), 0.0)).tolist() == [2.0, 2.0]


def test_products_agree_with_numpy() -> None:
    random = rng("products")
    shapes: list[tuple[Any, Any]] = [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 3, 4), (4, 5)),
        ((0, 4), (4, 5)),
        ((3, 0), (0, 5)),
        ((9, 10), (10, 11)),  # large enough for flint's own product
    ]
    for first, second in shapes:
        a, b = random.normal(size=first), random.normal(size=second)
        for found in (lift(a) @ lift(b), a @ lift(b), lift(a) @ b, np.matmul(lift(a), b)):
            assert_alike(found, a @ b, 16)
    a, b = random.normal(size=(2, 3, 4)), random.normal(size=(3, 4))
    assert_alike(np.vecdot(lift(a), lift(b)), np.vecdot(a, b), 16)
    quotient, remainder = np.divmod(lift(np.array([7.5, -7.5])), 2)
    assert_alike(quotient, np.array([3.0, -4.0]), 0)
    assert_alike(remainder, np.array([1.5, 0.5]), 0)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda x, out: np.add(x, 1, out=out), id="ufunc"),
        pytest.param(lambda x, out: np.sum(x, axis=0, keepdims=True, out=out[0]), id="sum"),
        pytest.param(lambda x, out: np.sum(x, axis=0, out=out), id="sum-broadcast"),
        pytest.param(lambda x, out: np.max(x, axis=1, out=out), id="max"),
        pytest.param(lambda x, out: np.take(x, [0], axis=0, out=out[0]), id="take"),
        pytest.param(lambda x, out: np.matmul(x, out), id="matmul"),
        pytest.param(lambda x, out: x @ lift(np.ones((5, 2))), id="matmul-operator"),
        pytest.param(lambda x, out: np.dot(x, x), id="dot"),
    ],
)
def test_shapes_that_do_not_fit_raise_as_in_numpy(call: Callable[[Array, Array], Any]) -> None:
    with pytest.raises(ValueError, match=r"shape|mismatch|aligned"):
        call(lift(np.ones((3, 4))), lift(np.zeros((2, 4))))


def test_out_is_not_broadcast() -> None:
    for function in (
        lambda out: np.add(lift(np.ones((1, 4))), 1, out=out),
        lambda out: np.sum(lift(X), 0, out=out[None]),
    ):
        with pytest.raises(ValueError, match="shape"):
            function(lift(np.zeros(4)))


# --- methods of ufuncs ------------------------------------------------------------------------------------------------

X = rng("methods").normal(size=(3, 4))
METHODS: list[tuple[str, Callable[[Array], Any]]] = [
    ("add.reduce", lambda x: np.add.reduce(x)),
    ("add.reduce-axes", lambda x: np.add.reduce(x, axis=(0, 1), keepdims=True)),
    ("multiply.reduce", lambda x: np.multiply.reduce(x, axis=1)),
    ("maximum.reduce", lambda x: np.maximum.reduce(x, axis=-1)),
    ("maximum.reduce-initial", lambda x: np.maximum.reduce(x, axis=0, initial=0.5)),
    ("minimum.reduce", lambda x: np.minimum.reduce(x)),
    ("logaddexp.reduce", lambda x: np.logaddexp.reduce(x, axis=1)),
    ("logaddexp.reduce-zeros", lambda x: np.exp(np.logaddexp.reduce(x - np.array([[0], [np.inf], [np.inf]]), axis=1))),
    ("logaddexp.reduce-keepdims", lambda x: np.logaddexp.reduce(x, axis=1, keepdims=True)),
    ("subtract.reduce", lambda x: np.subtract.reduce(x, axis=0)),
    ("hypot.reduce", lambda x: np.hypot.reduce(x, axis=1)),
    ("logical_or.reduce", lambda x: np.logical_or.reduce(np.maximum(x, 0), axis=0)),
    ("logical_and.reduce", lambda x: np.logical_and.reduce(x, axis=1)),
    ("add.reduce-where", lambda x: np.add.reduce(x, axis=1, where=cases.MASK)),
    ("add.accumulate", lambda x: np.add.accumulate(x, axis=1)),
    ("multiply.accumulate", lambda x: np.multiply.accumulate(x)),
    ("maximum.accumulate", lambda x: np.maximum.accumulate(x, axis=1)),
    ("logaddexp.accumulate", lambda x: np.logaddexp.accumulate(x[0])),
    ("add.reduceat", lambda x: np.add.reduceat(x, [0, 2], axis=1)),
    ("maximum.reduceat", lambda x: np.maximum.reduceat(x, [0, 1])),
    ("multiply.outer", lambda x: np.multiply.outer(x, np.arange(2))),
    ("subtract.outer", lambda x: np.subtract.outer(x[0], x[1])),
    ("less.outer", lambda x: np.less.outer(x[0], x[1])),
]


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in METHODS])
def test_methods_of_ufuncs_agree_with_numpy(call: Callable[[Array], Any]) -> None:
    assert_alike(call(lift(X)), call(X), 16)


@pytest.mark.parametrize("ufunc", [np.add, np.subtract, np.multiply, np.true_divide, np.maximum, np.minimum])
def test_scattering_counts_repeated_places(ufunc: np.ufunc) -> None:
    floats: Array = X.copy()
    balls: Array = lift(X)
    values = rng("scatter").normal(size=(3, 4))
    for target in (floats, balls):
        ufunc.at(target, [0, 2, 2], values if target is floats else lift(values))
    assert_alike(balls, floats, 8)
    np.negative.at(balls, ([0, 1], [0, 1]))
    assert np.array_equal(midpoints(balls)[[0, 1], [0, 1]], -midpoints(lift(floats))[[0, 1], [0, 1]])


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, Callable[[Array], Any], str]] = [
    ("fft", lambda x: np.fft.fft(x), "numpy.fft.fft has no version"),
    ("percentile", lambda x: np.percentile(x, 50), "numpy.percentile has no version for balls"),
    ("round", lambda x: np.round(x, 2), "numpy.round has no version"),
    ("histogram", lambda x: np.histogram(x), "numpy.histogram has no version"),
    ("svd", lambda x: np.linalg.svd(x), "numpy.linalg.svd has no version"),
    ("allclose", lambda x: np.allclose(x, x), "tolerance"),
    ("isclose", lambda x: np.isclose(x, x), "tolerance"),
    ("ufunc", lambda x: np.nextafter(x, 1), "the ufunc nextafter has no version"),
    ("reduceat", lambda x: np.logaddexp.reduceat(x, [0]), "logaddexp.reduceat has no version"),
    ("at", lambda x: np.logaddexp.at(x, [0], 1), "logaddexp.at has no version"),
    ("spectral-norm", lambda x: np.linalg.norm(x, 2), "ord=2"),
    ("pad-by-mean", lambda x: np.pad(x, 1, mode="mean"), "mode='mean'"),
    ("stack-of-matrices", lambda x: np.linalg.inv(x[None]), "one square matrix"),
    ("einsum-by-lists", lambda x: np.einsum(x, [0, 1], [0]), "as a string"),
    ("average-returned", lambda x: np.average(x, returned=True), "returned=True"),
    ("where-without-out", lambda x: np.add(x, 1, where=cases.MASK), "where= without out="),
    ("float32-result", lambda x: np.add(x, 1, dtype=np.float32), "dtype float32"),
    ("complex-operand", lambda x: np.add(x, np.ones(4) * 1j), "dtype complex128"),
    ("text-operand", lambda x: np.add(x, np.array(["a"] * 4)), "dtype <U1"),
    ("matrix", lambda x: np.add(x, np.ones((3, 4)).view(np.matrix)), "matrix"),
    ("not-finite", lambda x: np.nan_to_num(x / 0), "whether|finite"),
]


@pytest.mark.parametrize(("call", "message"), [pytest.param(c, m, id=i) for i, c, m in REFUSED])
def test_what_has_no_version_is_refused_by_name(call: Callable[[Array], Any], message: str) -> None:
    with pytest.raises((NotCertifiableError, UndecidedComparisonError), match=message):
        call(lift(X))


@pytest.mark.parametrize("solve", [np.linalg.inv, lambda m: np.linalg.solve(m, np.ones(2))])
def test_a_matrix_that_may_be_singular_is_not_decided(solve: Callable[[Array], Any]) -> None:
    singular = lift(np.array([[1.0, 2.0], [2.0, 4.0]]))
    with pytest.raises(UndecidedComparisonError, match="singular"):
        solve(singular)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda x: xp.mean(x, wheree=True), id="mean"),
        pytest.param(lambda x: xp.sum(x, axes=0), id="sum"),
        pytest.param(lambda x: xp.zeros_like(x, shap=3), id="zeros_like"),
    ],
)
def test_unknown_arguments_are_not_ignored(call: Callable[[Array], Any]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        call(lift(X))


# --- as floats round --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [pytest.param(53, id="float64"), pytest.param(24, id="float32")])
def test_library_functions_are_given_the_error_of_a_float_library(
    precision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four ulps of the precision in use."""
    monkeypatch.setattr(mode, "ulps", 4.0)
    with ctx.workprec(precision):
        one = lift(1.0)
        unit = arb(2) ** (1 - precision)
        for widened in (xp.exp(one), xp.tanh(one), xp.power(one, 2.5), xp.logaddexp(one, one)):
            assert widened._a.item().rad() >= abs(widened._a.item().mid()) * unit * 4 * 0.999
        assert xp.maximum(one, 0)._a.item().rad() == 0


SINGLE: list[tuple[str, Callable[[Array], Any]]] = [
    ("add", lambda x: x + 1),
    ("add-on-the-right", lambda x: 1 + x),
    ("add-ufunc", lambda x: xp.add(x, 1)),
    ("add-in-place", lambda x: x.copy().__iadd__(1)),
    ("subtract", lambda x: x - 1),
    ("multiply", lambda x: x * x),
    ("divide", lambda x: x / 2),
    ("divide-on-the-right", lambda x: 2 / x),
    ("sqrt", lambda x: xp.sqrt(x)),
    ("square", lambda x: xp.square(x)),
    ("reciprocal", lambda x: xp.reciprocal(x)),
    ("power", lambda x: x**2),
    ("power-of-floats", lambda x: x**3.0),
    ("diff", lambda x: xp.diff(x)),
    ("length", lambda x: len(x) / x),
]


@pytest.mark.parametrize("operation", [pytest.param(f, id=i) for i, f in SINGLE])
@pytest.mark.parametrize("precision", [pytest.param(53, id="float64"), pytest.param(24, id="float32")])
def test_each_operation_may_round_by_half_an_ulp_even_if_arb_does_not(
    operation: Callable[[Array], Any], precision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On powers of four, where all of them are exact: Arb is so by luck, NumPy's own way may not be."""
    x = lift(np.array([4.0, 16.0, 64.0]))
    with ctx.workprec(precision):
        assert all(b.is_exact() for b in operation(x)._a)
        monkeypatch.setattr(mode, "ulps", 4.0)
        found = operation(x)
        assert all(b.rad() >= abs(b.mid()) * 2.0**-precision * 0.999 for b in found._a)
        assert all(b.rad() <= abs(b.mid()) * 2.0**-precision * 8.001 for b in found._a)
        assert all(b.is_zero() for b in [*(x - x)._a, *(x * 0)._a])


TERMS = rng("terms").normal(size=(60, 40)) * 2.0 ** rng("sizes").integers(-20, 20, size=(60, 40))
W = rng("weights").normal(size=40)
SUMS: list[tuple[str, Callable[[Array, Array], Any]]] = [
    ("sum", lambda t, w: t.sum()),
    ("sum-of-rows", lambda t, w: t.sum(axis=1, keepdims=True)),
    ("sum-where", lambda t, w: xp.sum(t, axis=0, where=TERMS > 0)),
    ("prod-where", lambda t, w: xp.prod(1 + w / 64, where=W > 0)),
    ("mean-where", lambda t, w: xp.mean(t, where=TERMS > 0)),
    ("mean", lambda t, w: t.mean(0)),
    ("cumsum", lambda t, w: t.cumsum()),
    ("prod", lambda t, w: xp.prod(1 + w / 64)),
    ("matmul", lambda t, w: t @ w),
    ("matmul-of-matrices", lambda t, w: t @ t.T),
    ("matmul-of-stacks", lambda t, w: t.reshape(3, 20, 40) @ w.reshape(40, 1)),
    ("dot", lambda t, w: xp.dot(w, w)),
    ("einsum", lambda t, w: xp.einsum("ij,kj->ik", t, t)),
    ("einsum-of-three", lambda t, w: xp.einsum("ij,j,ij->", t, w, t)),
    ("tensordot", lambda t, w: xp.tensordot(t, t, axes=2)),
    ("convolve", lambda t, w: xp.convolve(w, w)),
    ("inner", lambda t, w: xp.inner(t, w)),
    ("outer", lambda t, w: xp.outer(w, w)),
    ("vecdot", lambda t, w: xp.vecdot(t, w)),
    ("norm", lambda t, w: xp.linalg.norm(t, axis=0)),
    ("reduceat", lambda t, w: xp.add.reduceat(w, [0, 20])),
    ("bincount", lambda t, w: xp.bincount(np.arange(40) % 3, w)),
    ("cross", lambda t, w: xp.cross(w[:3], w[3:6])),
    ("solve", lambda t, w: xp.linalg.solve(t[:8, :8], w[:8])),
    ("inv", lambda t, w: xp.linalg.inv(t[:8, :8])),
    ("det", lambda t, w: xp.linalg.det(t[:8, :8])),
]


@pytest.mark.parametrize("call", [pytest.param(f, id=i) for i, f in SUMS])
@pytest.mark.parametrize("order", [pytest.param(slice(None), id="forward"), pytest.param(slice(None, None, -1))])
def test_sums_of_floats_stay_within_the_radius_in_any_order(
    call: Callable[[Array, Array], Any], order: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, where rounding shows: one float after another, forwards and backwards, and NumPy's own way."""
    t, w = TERMS.astype(np.float32), W.astype(np.float32)
    truth = midpoints(call(lift(t), lift(w)))
    monkeypatch.setattr(mode, "ulps", 4.0)
    with ctx.workprec(24):
        radii = np.array([float(b.rad()) for b in call(lift(t), lift(w))._a.ravel()]).reshape(truth.shape)
        assert np.all(np.abs(call(t, w) - truth) <= radii)
        one_by_one = np.add.accumulate(t.ravel()[order])[-1]
        total = lift(t).sum()._a.item()
        assert total.contains(arb(float(one_by_one)))
        assert total.rad() <= 2400 * 2.0**-24 * arb(float(np.abs(t).sum())) * 1.1


def test_what_no_bound_is_known_for_has_an_infinite_radius_around_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = lift(np.array([[2.0, 1.0], [1.0, 3.0]]))
    monkeypatch.setattr(mode, "ulps", 4.0)
    for found in (np.linalg.inv(matrix)[0, 0], np.linalg.solve(matrix, np.ones(2))[1], np.linalg.det(matrix)):
        ball = lift(found)._a.item()
        assert not ball.is_finite()
        assert arb(0) < ball.mid() < arb(6)


# --- powers of balls around zero --------------------------------------------------------------------------------------

POWERS: list[tuple[str, Callable[[Any], Any], int]] = [
    ("int", lambda x: x**2, 2),
    ("odd", lambda x: x**3, 3),
    ("large", lambda x: x**8, 8),
    ("float", lambda x: x**2.0, 2),
    ("ball", lambda x: x ** lift(3.0), 3),
    ("array", lambda x: x ** np.array([4, 4, 4]), 4),
    ("power", lambda x: np.power(x, 5), 5),
    ("float_power", lambda x: np.float_power(x, 2), 2),
    ("square", np.square, 2),
    ("none", lambda x: x**0, 0),
]


@pytest.mark.parametrize(("power", "n"), [pytest.param(f, n, id=i) for i, f, n in POWERS])
def test_powers_of_balls_around_zero_are_finite_and_tight(power: Callable[[Any], Any], n: int) -> None:
    wide = BallArray(np.array([arb(0, 0.5), arb(0.25, 0.5), arb(-0.25, 0.5)], dtype=object))
    for ball, base in zip(power(wide)._a, wide._a, strict=True):
        assert ball.is_finite()
        for point in (base.lower(), base.upper(), base.mid(), arb(0)):
            assert ball.contains(point**n)
        assert ball.upper() <= base.abs_upper() ** n * 1.001
        if n % 2 == 0:
            assert ball.lower() >= -1e-8
    assert power(wide[:1].repeat(3))._a[0].is_finite()


def test_negative_powers_are_quotients() -> None:
    away = BallArray(np.array([arb(2, 0.5), arb(-2, 0.5)], dtype=object))
    for ball, sign in zip((away**-3)._a, (1, -1), strict=True):
        assert all(ball.contains(sign * arb(size) ** -3) for size in (1.5, 2.5))
    assert not (wide_around_zero() ** -2)._a.item().is_finite()


def wide_around_zero() -> BallArray:
    return wrap(arb(0, 0.5))


def test_a_rounded_zero_stays_a_zero_for_decisions_by_midpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "by_midpoint", True)
    assert not wide_around_zero() ** 2 > 0
