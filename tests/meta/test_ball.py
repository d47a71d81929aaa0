"""An array of balls behaves as the float64 array that it stands for: views, writes, scalars, indices, methods."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
from flint import arb, ctx

from oracles.ball import BallArray, BallScalar, Extent, balls, from_nested, lift, mode, operand, seal, wrap
from oracles.errors import NotCertifiableError, UndecidedComparisonError
from tests.meta.ulps import ulps

Array = Any
xp: Any = np  # NumPy's stubs do not know that its functions take duck arrays


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(256):
        yield


def floats(values: Any) -> Any:
    return (
        np.frompyfunc(lambda b: float(b.mid()), 1, 1)(values._a).astype(np.float64)
        if values.ndim
        else float(values._a.item().mid())
    )


def grid() -> tuple[Array, Array]:
    """The same (3, 4) array twice: of floats and of balls."""
    values = np.arange(12.0).reshape(3, 4)
    return values, lift(values)


# --- lifting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0.1, id="float"),
        pytest.param(3, id="int"),
        pytest.param(True, id="bool"),
        pytest.param(np.float32(0.1), id="float32"),
        pytest.param(np.int8(-3), id="int8"),
        pytest.param(np.array([0.1, -np.inf]), id="array"),
        pytest.param(np.array([[1, 2]], dtype=np.uint8), id="uint8-array"),
        pytest.param([[0.1, 0.2], [0.3, 0.4]], id="nested-list"),
        pytest.param(np.array(0.1), id="0-d-array"),
    ],
)
def test_lifting_is_exact(value: Any) -> None:
    lifted = lift(value)
    assert lifted._a.shape == np.shape(value)
    assert all(b.is_exact() for b in lifted._a.ravel())
    assert np.array_equal(floats(lifted), np.asarray(value, dtype=np.float64))
    assert lift(lifted) is lifted


def test_scalars_become_scalars_and_arrays_arrays() -> None:
    assert isinstance(lift(0.5), BallScalar)
    assert isinstance(lift(np.float64(0.5)), BallScalar)
    assert not isinstance(lift(np.array(0.5)), BallScalar)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(np.array([1j]), id="complex"),
        pytest.param(np.array(["a"]), id="text"),
        pytest.param(np.array([None]), id="objects"),
        pytest.param(np.array([1.0], dtype=np.longdouble), id="longdouble"),
    ],
)
def test_what_is_no_real_number_of_64_bits_is_not_lifted(value: Any) -> None:
    with pytest.raises(NotCertifiableError, match=f"dtype {value.dtype}"):
        lift(value)


def test_nested_lists_of_balls_arrays_and_numbers_make_one_array() -> None:
    x: Any = lift(np.array([1.0, 2.0]))
    made = from_nested([x, [3, 0.5], np.array([True, False])])
    assert np.array_equal(floats(made), np.array([[1, 2], [3, 0.5], [1, 0]]))
    assert from_nested([]).shape == (0,)
    with pytest.raises(ValueError, match="different shapes"):
        from_nested([x, 1.0])
    with pytest.raises(NotCertifiableError, match="NoneType None"):
        from_nested([x[0], None])


def test_sealing_leaves_nothing_but_balls() -> None:
    mixed = np.array([arb(1), 2, 0.5, np.float64(3), True], dtype=object)
    sealed = seal(mixed)
    assert [type(b) for b in sealed] == [arb] * 5
    assert seal(sealed) is sealed
    with pytest.raises(NotCertifiableError, match="cannot put str 'a'"):
        seal(np.array([arb(1), "a"], dtype=object))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1j, id="complex"),
        pytest.param("a", id="text"),
        pytest.param(None, id="None"),
        pytest.param(np.array([1j]), id="complex-array"),
        pytest.param(np.ones((2, 2)).view(np.matrix), id="matrix"),
        pytest.param(np.longdouble(1), id="longdouble"),
    ],
)
def test_operands_that_are_no_real_numbers_are_not_taken(value: Any) -> None:
    assert operand(value) is NotImplemented
    with pytest.raises(NotCertifiableError, match="expected real numbers or balls"):
        balls(value)


# --- what an array says of itself -------------------------------------------------------------------------------------


def test_attributes_read_as_float64() -> None:
    x, b = grid()
    for name in ("shape", "ndim", "size", "dtype", "itemsize", "nbytes", "strides"):
        assert getattr(b, name) == getattr(x, name), name
    assert b.flags.c_contiguous
    assert not b.T.flags.c_contiguous
    assert len(b) == 3
    assert b.dtype.type is np.float64
    assert np.issubdtype(b.dtype, np.floating)
    assert b.dtype.kind == "f"
    assert np.finfo(b.dtype).eps == 2.0**-52
    assert b.strides[0] == x.strides[0]
    assert np.array_equal(floats(b.mT), x.T)
    assert b.real is b
    assert np.array_equal(floats(b.imag), 0 * x)
    assert b.conj() is b


def test_repr_and_format_show_the_radius() -> None:
    ball = wrap(arb(1.5, 0.25))
    assert "+/-" in repr(ball)
    assert f"{ball:.2f}" == "1.50 +/- 2.5e-01"
    assert f"{ball}" == repr(ball)
    with pytest.raises(ValueError, match="could not convert"):
        float(f"{ball:.2f}")
    with pytest.raises(TypeError, match="format"):
        f"{lift(np.ones(2)):.2f}"
    for text in (xp.array_repr, xp.array_str, xp.array2string):
        assert text(ball) == repr(ball)


# --- views and copies -------------------------------------------------------------------------------------------------

VIEWS: list[tuple[str, Callable[[Array], Array]]] = [
    ("row", lambda x: x[1]),
    ("slice", lambda x: x[1:, ::2]),
    ("negative-step", lambda x: x[::-1]),
    ("column", lambda x: x[:, 1]),
    ("newaxis", lambda x: x[:, np.newaxis, :]),
    ("ellipsis", lambda x: x[..., 0]),
    ("one-element-view", lambda x: x[1, 2, ...]),
    ("reshape", lambda x: x.reshape(4, 3)),
    ("reshape-tuple", lambda x: x.reshape((2, -1))),
    ("reshape-order", lambda x: x.reshape(-1, copy=False)),
    ("T", lambda x: x.T),
    ("mT", lambda x: x.mT),
    ("transpose", lambda x: x.transpose(1, 0)),
    ("swapaxes", lambda x: x.swapaxes(0, 1)),
    ("ravel", lambda x: x.ravel()),
    ("squeeze", lambda x: x[None].squeeze()),
    ("view", lambda x: x.view()),
    ("diagonal-slice", lambda x: x[:3, :3][::2]),
    ("np.reshape", lambda x: np.reshape(x, 12)),
    ("np.expand_dims", lambda x: np.expand_dims(x, 0)),
    ("np.moveaxis", lambda x: np.moveaxis(x, 0, 1)),
    ("np.split", lambda x: np.split(x, 3)[1]),
    ("np.atleast_3d", lambda x: np.atleast_3d(x)),
    ("iteration", lambda x: list(x)[2]),
]
COPIES: list[tuple[str, Callable[[Array], Array]]] = [
    ("mask", lambda x: x[x > 3]),
    ("fancy", lambda x: x[[0, 2]]),
    ("fancy-pair", lambda x: x[np.array([0, 1]), [1, 2]]),
    ("ix_", lambda x: x[np.ix_([0, 2], [1, 3])]),
    ("flatten", lambda x: x.flatten()),
    ("copy", lambda x: x.copy()),
    ("copy.copy", copy.copy),
    ("copy.deepcopy", copy.deepcopy),
    ("astype", lambda x: x.astype(float)),
    ("plus", lambda x: +x),
    ("take", lambda x: x.take([0, 1], axis=1)),
    ("repeat", lambda x: x.repeat(2, axis=0)),
    ("T.ravel", lambda x: x.T.ravel()),
    ("np.concatenate", lambda x: np.concatenate([x, x])),
]


@pytest.mark.parametrize("pick", [pytest.param(pick, id=name) for name, pick in VIEWS])
def test_views_write_through_as_in_numpy(pick: Callable[[Array], Array]) -> None:
    x, b = grid()
    for array in (x, b):
        view = pick(array)
        view += 100
        view[...] = view * 2
    assert np.array_equal(floats(b), x)
    assert x.max() > 100


@pytest.mark.parametrize("pick", [pytest.param(pick, id=name) for name, pick in COPIES])
def test_copies_do_not_write_through(pick: Callable[[Array], Array]) -> None:
    x, b = grid()
    made, expected = pick(b), pick(x)
    assert np.array_equal(floats(made), expected)
    made += 100
    assert np.array_equal(floats(b), x)
    assert np.array_equal(floats(made), expected + 100)


def test_astype_hands_out_the_array_itself_if_no_copy_is_asked_for() -> None:
    _, b = grid()
    assert b.astype(np.float64, copy=False) is b
    assert b.astype(np.float64) is not b


# --- in place ---------------------------------------------------------------------------------------------------------


def _ops() -> dict[str, Callable[[Array, Any], Array]]:
    def made(line: str) -> Callable[[Array, Any], Array]:
        namespace: dict[str, Any] = {}
        exec(f"def op(a, b):\n    a {line} b\n    return a", namespace)
        op: Callable[[Array, Any], Array] = namespace["op"]
        return op

    return {line: made(line) for line in ("+=", "-=", "*=", "/=", "**=", "//=", "%=")}


@pytest.mark.parametrize("operation", [pytest.param(op, id=name) for name, op in _ops().items()])
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(2, id="int"),
        pytest.param(2.0, id="float"),
        pytest.param(np.float64(2), id="np.float64"),
        pytest.param(np.array([1.0, 2, 3, 4]), id="floats"),
        pytest.param(np.arange(1, 5), id="integers"),
    ],
)
def test_in_place_operators_change_the_array_itself(operation: Callable[[Array, Any], Array], other: Any) -> None:
    x, b = grid()
    alias = b[1]
    assert operation(b, other) is b
    assert np.array_equal(floats(b), operation(x, other))
    assert np.array_equal(floats(alias), x[1])
    part = lift(np.ones((2, 4)))
    operation(part[1], lift(other))
    assert np.array_equal(floats(part[0]), np.ones(4))


def test_in_place_matmul() -> None:
    x = np.arange(4.0).reshape(2, 2)
    b = lift(x)
    alias = b
    b @= lift(x)
    assert alias is b
    assert np.array_equal(floats(b), x @ x)


@pytest.mark.parametrize("operation", [pytest.param(op, id=name) for name, op in _ops().items()])
def test_in_place_results_must_fit(operation: Callable[[Array, Any], Array]) -> None:
    for shape in ((2, 4), (1, 4)):
        with pytest.raises(ValueError, match=r"broadcast|hold"):
            operation(lift(np.ones(4)), lift(np.ones(shape)))


@pytest.mark.parametrize("operation", [pytest.param(op, id=name) for name, op in _ops().items()])
def test_scalars_are_immutable(operation: Callable[[Array, Any], Array]) -> None:
    """`a = x[0]; b = a; b += 1` leaves a, and x, as they were."""
    _, x = grid()
    a = x[1, 1]
    b = operation(a, 2.0)
    assert floats(b) == operation(5.0, 2.0)
    assert floats(a) == 5.0
    assert floats(x[1, 1]) == 5.0


def test_nothing_writes_into_a_scalar() -> None:
    a = grid()[1].sum()
    with pytest.raises(TypeError, match="immutable"):
        a[...] = 1
    with pytest.raises(TypeError, match="immutable"):
        a.fill(1)
    with pytest.raises(NotCertifiableError, match="single ball"):
        np.add(a, 1, out=a)
    for view in (a.reshape(1), np.atleast_1d(a), a[None], a.ravel(), np.expand_dims(a, 0), a.view().reshape(1)):
        view += 1
        assert floats(view)[0] == 67.0
    copied = a.copy()
    alias = copied
    copied += 1
    assert floats(alias) == 66.0
    assert floats(a) == 66.0


def test_0d_arrays_are_no_scalars() -> None:
    """As in NumPy: what is made as an array can be changed through every name it has."""
    total: Array = lift(np.array(1.0))
    alias = total
    total += 2
    assert floats(alias) == 3.0
    total[...] = 7
    assert floats(alias) == 7.0
    assert isinstance(total + 1, BallScalar)
    assert isinstance(total[()], BallScalar)


# --- writing elements -------------------------------------------------------------------------------------------------

WRITES: list[tuple[str, Callable[[Array, Array], None]]] = [
    ("element", lambda x, v: x.__setitem__((1, 2), 5)),
    ("element-from-0-d", lambda x, v: x.__setitem__((1, 2), v[0])),
    ("row", lambda x, v: x.__setitem__(1, v)),
    ("row-number", lambda x, v: x.__setitem__(1, 0.1)),
    ("slice", lambda x, v: x.__setitem__((slice(None), slice(1, 3)), v[:2])),
    ("mask-number", lambda x, v: x.__setitem__(x > 4, 1)),
    ("mask-array", lambda x, v: x.__setitem__(x > 7, v)),
    ("fancy", lambda x, v: x.__setitem__(([0, 2], [1, 1]), v[:2])),
    ("fancy-rows", lambda x, v: x.__setitem__(np.array([0, 2]), v)),
    ("list", lambda x, v: x.__setitem__(0, [1, 2.5, 3, 4])),
    ("integers", lambda x, v: x.__setitem__(0, np.arange(4))),
    ("booleans", lambda x, v: x.__setitem__(0, v > 0)),
    ("all", lambda x, v: x.__setitem__(..., 7)),
    ("fill", lambda x, v: x.fill(0.5)),
    ("flat-element", lambda x, v: x.flat.__setitem__(5, 9)),
    ("flat-slice", lambda x, v: x.flat.__setitem__(slice(2, 6), v)),
    ("flat-attribute", lambda x, v: setattr(x, "flat", 3.0)),
    ("put", lambda x, v: x.put([0, 5], v[:2])),
    ("sort", lambda x, v: x.__setitem__(..., -x) or x.sort(axis=0)),
    ("overlap", lambda x, v: x.__setitem__(slice(1, None), x[:-1])),
]


@pytest.mark.parametrize("write", [pytest.param(write, id=name) for name, write in WRITES])
def test_writes_agree_with_numpy_and_leave_only_balls(write: Callable[[Array, Array], None]) -> None:
    x, b = grid()
    v = np.array([0.1, -2.0, 3.0, -4.0])
    write(x, v)
    write(b, lift(v))
    assert np.array_equal(floats(b), x)
    assert all(type(element) is arb for element in b._a.ravel())


@pytest.mark.parametrize(
    ("index", "value"),
    [
        pytest.param((0, 0), [1.0], id="list-of-one"),
        pytest.param((0, 0), np.ones(2), id="array"),
        pytest.param((0, np.int64(1)), lift(np.ones(1)), id="balls"),
        pytest.param(0, np.ones(3), id="row-too-short"),
        pytest.param(slice(None), np.ones((3, 3)), id="wrong-shape"),
    ],
)
def test_sequences_do_not_fit_into_elements(index: Any, value: Any) -> None:
    """An object array would take the sequence as one object; a float array refuses, and so do balls."""
    x, b = grid()
    for array in (x, b):
        with pytest.raises((ValueError, TypeError), match=r"sequence|broadcast|scalars"):
            array[index] = value if array is b or not isinstance(value, BallArray) else np.ones(1)
    assert np.array_equal(floats(b), np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="None"),
        pytest.param("a", id="text"),
        pytest.param(1j, id="complex"),
        pytest.param(np.array([1j] * 4), id="complex-array"),
    ],
)
def test_only_real_numbers_are_written(value: Any) -> None:
    with pytest.raises(NotCertifiableError, match="cannot write"):
        grid()[1][0] = value


def test_balls_are_no_indices() -> None:
    x = lift(np.arange(3.0))
    for index in (x[1], (x[1],), (slice(None), x[1])):
        with pytest.raises(IndexError, match=r"int\(\)"):
            x[index]
    assert floats(x[int(x[1])]) == 1.0
    with pytest.raises(TypeError, match="indices must be integers"):
        cast(Any, [0, 1])[x[1]]


# --- methods ----------------------------------------------------------------------------------------------------------

ROUNDED = {"std": ulps(1.25), "**": ulps(4.5)}
"""What is not exact on these numbers. The variance is rounded, which its root halves, the root is, and the midpoint is.
NumPy's power may be off by four ulps (`oracles.rounding`), and the midpoint is rounded."""

METHODS: list[tuple[str, Callable[[Array], Any]]] = [
    ("sum", lambda x: x.sum(0)),
    ("sum-keepdims", lambda x: x.sum(axis=1, keepdims=True)),
    ("mean", lambda x: x.mean(-1)),
    ("var", lambda x: x.var(axis=0, ddof=1)),
    ("std", lambda x: x.std()),
    ("prod", lambda x: (x + 1).prod(axis=1)),
    ("max", lambda x: x.max(1, keepdims=True)),
    ("min", lambda x: x.min()),
    ("argmax", lambda x: x.argmax(axis=1)),
    ("argmin", lambda x: x.argmin()),
    ("argsort", lambda x: (-x).argsort()),
    ("cumsum", lambda x: x.cumsum(axis=1)),
    ("cumprod", lambda x: x.cumprod()),
    ("any", lambda x: x.any()),
    ("all", lambda x: x.all(axis=0)),
    ("nonzero", lambda x: np.array(x.nonzero())),
    ("dot", lambda x: x.dot(x.T)),
    ("clip", lambda x: x.clip(2, 5)),
    ("clip-one-side", lambda x: x.clip(min=3)),
    ("take", lambda x: x.take([1, 3], axis=1)),
    ("trace", lambda x: x.trace()),
    ("diagonal", lambda x: x.diagonal()),
    ("repeat", lambda x: x.repeat(2)),
    ("item", lambda x: x.item(5)),
    ("item-pair", lambda x: x.item(1, 2)),
    ("flatten", lambda x: x.flatten("F")),
    ("astype-int", lambda x: (x / 2).astype(int)),
    ("astype-bool", lambda x: x.astype(bool)),
    ("astype-uint8", lambda x: x.astype(np.uint8)),
    ("flat", lambda x: np.stack(list(x.flat))),
    ("flat-element", lambda x: x.flat[7]),
    ("contains", lambda x: 5 in x),
    ("contains-not", lambda x: 5.5 in x),
]


@pytest.mark.parametrize(("name", "call"), [pytest.param(*method, id=method[0]) for method in METHODS])
def test_methods_agree_with_numpy(name: str, call: Callable[[Array], Any]) -> None:
    x, b = grid()
    found, expected = call(b), call(x)
    if isinstance(found, BallArray):
        assert np.allclose(floats(found), expected, rtol=ROUNDED.get(name, 0), atol=0)
        assert found._a.shape == np.shape(expected)
    else:
        assert np.array_equal(found, expected)
        assert np.asarray(found).dtype == np.asarray(expected).dtype


def test_tolist_has_the_shape_of_the_array() -> None:
    _, b = grid()
    nested = b.tolist()
    assert [[floats(v) for v in row] for row in nested] == np.arange(12.0).reshape(3, 4).tolist()
    assert floats(b[0, 1].tolist()) == 1.0
    assert len(b.flat) == 12


# --- operators --------------------------------------------------------------------------------------------------------

OPERATORS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("+", lambda a, b: a + b),
    ("-", lambda a, b: a - b),
    ("*", lambda a, b: a * b),
    ("/", lambda a, b: a / b),
    ("//", lambda a, b: a // b),
    ("%", lambda a, b: a % b),
    ("**", lambda a, b: abs(a) ** b),
    ("divmod-0", lambda a, b: divmod(a, b)[0]),
    ("divmod-1", lambda a, b: divmod(a, b)[1]),
    ("<", lambda a, b: a < b),
    ("<=", lambda a, b: a <= b),
    (">", lambda a, b: a > b),
    (">=", lambda a, b: a >= b),
    ("==", lambda a, b: a == b),
    ("!=", lambda a, b: a != b),
]
SIDES = [
    pytest.param(np.array([1.5, -2.0, 4.0]), id="float-array"),
    pytest.param(np.array([3, -2, 5]), id="integer-array"),
    pytest.param(np.float64(1.5), id="np.float64"),
    pytest.param(np.float32(1.5), id="np.float32"),
    pytest.param(np.int64(3), id="np.int64"),
    pytest.param(2.5, id="float"),
    pytest.param(2, id="int"),
    pytest.param(True, id="bool"),
]


@pytest.mark.parametrize(("name", "operation"), [pytest.param(*operator, id=operator[0]) for operator in OPERATORS])
@pytest.mark.parametrize("other", SIDES)
def test_operators_agree_with_numpy_on_either_side(name: str, operation: Callable[[Any, Any], Any], other: Any) -> None:
    x = np.array([2.5, -1.5, 4.0])
    for found, expected in (
        (operation(lift(x), other), operation(x, other)),
        (operation(other, lift(x)), operation(other, x)),
        (operation(lift(x), lift(other)), operation(x, other)),
    ):
        value = floats(found) if isinstance(found, BallArray) else found
        assert np.allclose(value, expected, rtol=ROUNDED.get(name, 0), atol=0)
        assert isinstance(found, BallArray) != (np.asarray(expected).dtype == bool)


def test_builtins_on_balls() -> None:
    x = lift(np.array([1.0, -2.0, 3.0]))
    assert floats(sum(x)) == 2.0
    assert floats(sum(v * i for i, v in enumerate(x))) == 4.0
    assert [floats(a * b) for a, b in zip(x, x, strict=True)] == [1.0, 4.0, 9.0]
    assert floats(max(x)) == 3.0
    assert min(x[0], 0) == 0
    assert floats(max(x[1], x[0], -5)) == 1.0
    assert floats(abs(x))[1] == 2.0
    assert floats(-x)[0] == -1.0
    assert floats(pow(x[0], 2)) == 1.0
    assert [floats(v) for v in reversed(list(x))] == [3.0, -2.0, 1.0]
    assert floats(math.prod(cast(Any, x))) == -6.0
    assert sorted(x, key=lambda v: v)[0] == -2


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("a", id="text"),
        pytest.param(None, id="None"),
        pytest.param([1, "a"], id="list"),
        pytest.param(1j, id="complex"),
    ],
)
def test_other_types_are_not_combined(other: Any) -> None:
    with pytest.raises(TypeError):
        lift(1.0) + other
    if not isinstance(other, list):
        assert (lift(1.0) == other) is False
        assert (lift(1.0) != other) is True


@pytest.mark.parametrize("take", [lift, balls])
def test_a_matrix_is_not_lifted(take: Callable[[Any], Any]) -> None:
    """Its `*` is a product of matrices; as balls it would be one of entries."""
    with pytest.raises(NotCertifiableError, match="matrix"):
        take(np.ones((2, 2)).view(np.matrix))
    with pytest.raises(NotCertifiableError, match="MaskedArray"):
        take(np.ma.masked_array([1.0, 2.0], mask=[True, False]))


def test_matrix_semantics_are_refused() -> None:
    """`*` of an np.matrix is a product of matrices: balls must not take it for an elementwise one."""
    matrix, x = np.ones((2, 2)).view(np.matrix), lift(np.ones((2, 2)))
    for operation in (lambda: x * matrix, lambda: matrix * x):
        with pytest.raises(TypeError):
            operation()


# --- lengths ----------------------------------------------------------------------------------------------------------


def test_lengths_are_integers_whose_quotients_are_balls() -> None:
    n = lift(np.ones((3, 7))).shape[1]
    assert isinstance(n, Extent)
    assert n == 7
    assert list(range(n))[-1] == 6
    assert [0] * n == [0] * 7
    assert np.zeros(n).shape == (7,)
    assert f"{n:d}" == "7"
    sevenths = [1 / n, 1 / (n * 1), n / (n * n), 3 / (3 * n), n**-1, 1 / (n // 1), (15 // n) / (2 * n)]
    for seventh in sevenths:
        assert isinstance(seventh, BallArray)
        assert (seventh * 7)._a.item().contains(1)
        assert seventh._a.item().rad() < arb(2) ** -250
    assert isinstance(n**2, Extent)
    assert isinstance(lift(np.ones(3)).size / 2, BallArray)
    assert (n**0.5 * n**0.5)._a.item().contains(7)
    assert n * 0.5 == 3.5
    assert n + 0.5 == 7.5
    assert pow(n, 2, 5) == 4
    assert n // 2.0 == 3.0


LENGTHS: list[tuple[str, Callable[[int], Any]]] = [
    ("arange", lambda n: np.arange(n)),
    ("arange-from-to", lambda n: np.arange(1, n * n)),
    ("linspace", lambda n: np.linspace(0, 1, n)),
    ("eye", lambda n: np.eye(n)),
    ("triu_indices", lambda n: np.triu_indices(n)),
    ("indices", lambda n: np.indices((n, n))),
    ("reshape", lambda n: np.arange(n * n).reshape(n, n)),
    ("tile", lambda n: np.tile([1, 2], n)),
    ("permutation", lambda n: np.random.default_rng(0).permutation(n)),
    ("normal", lambda n: np.random.default_rng(0).normal(size=(n, n))),
    ("choice", lambda n: np.random.default_rng(0).choice(n, 2)),
    ("array", lambda n: np.array([n, 2])),
    ("slice", lambda n: list(range(10))[n:]),
    ("float", lambda n: float(n)),
]


@pytest.mark.parametrize("use", [pytest.param(use, id=name) for name, use in LENGTHS])
def test_lengths_serve_as_integers_wherever_numpy_takes_one(use: Callable[[int], Any]) -> None:
    n = lift(np.ones(3)).shape[0]
    assert np.array_equal(use(n), use(3))


# --- identity and enclosures ------------------------------------------------------------------------------------------


def test_one_ball_is_equal_to_itself_however_wide() -> None:
    """`x == np.max(x)` is decided: the winner is handed out itself."""
    x = wrap(np.array([arb(1, 0.1), arb(2, 0.1), arb(-1, 0.1)], dtype=object))
    assert np.array_equal(x == np.max(x), [False, True, False])
    assert bool(np.all(x == x))
    assert not bool(np.any(x != x))
    assert bool(np.all(x <= x.copy()))
    with pytest.raises(UndecidedComparisonError):
        x == x + 0  # noqa: B015  (another computation, though of the same number)
    doubled = x[[0, 0]]
    assert xp.max(doubled)._a.item() is x._a[0]


def test_overlapping_extremes_are_enclosed() -> None:
    a, b = wrap(arb(1, 0.5)), wrap(arb(1.25, 0.5))
    largest, smallest = xp.maximum(a, b)._a.item(), xp.minimum(a, b)._a.item()
    assert largest.contains(arb(0.75))
    assert largest.contains(arb(1.75))
    assert smallest.contains(arb(0.5))
    assert smallest.contains(arb(1.5))
    assert xp.max(xp.stack([a, b]))._a.item().contains(arb(1.75))


def test_by_midpoint_decides_as_a_float_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "by_midpoint", True)
    x = wrap(np.array([arb(1.5, 2), arb(2.25, 2), arb(-0.5, 2)], dtype=object))
    assert np.array_equal(x > 0, [True, True, False])
    assert xp.argmax(x) == 1
    assert np.array_equal(np.argsort(x), [2, 0, 1])
    assert np.array_equal(floats(np.sign(x)), [1, 1, -1])
    assert np.array_equal(floats(np.floor(x)), [1, 2, -1])
    assert np.array_equal(floats(np.rint(x)), [2, 2, 0])
    assert int(x[1]) == 2
    assert np.array_equal(x.astype(int), [1, 2, 0])
    assert bool(x[0])
    assert np.array_equal(np.isnan(lift(np.array([np.nan, 1]))), [True, False])
    assert np.array_equal(np.isfinite(lift(np.array([np.nan, 1]))), [False, True])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(arb(2.7, 0.1), 2, id="inside"),
        pytest.param(arb(-2.7, 0.1), -2, id="towards-zero"),
        pytest.param(arb(0, 0.5), 0, id="around-zero"),
        pytest.param(arb(3), 3, id="exact"),
    ],
)
def test_integer_parts_are_taken_where_they_are_certain(value: arb, expected: int) -> None:
    assert int(wrap(value)) == expected
    assert math.trunc(wrap(value)) == expected
    assert wrap(value).astype(int) == expected
    assert list(range(5))[int(wrap(arb(3)))] == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(arb(2.5), 2, id="half-above-even"),
        pytest.param(arb(3.5), 4, id="half-above-odd"),
        pytest.param(arb(-2.5), -2, id="negative-half"),
        pytest.param(arb(2.45, 0.01), 2, id="below-half"),
        pytest.param(arb(7), 7, id="integer"),
        pytest.param(arb(-0.3, 0.1), 0, id="around-zero"),
    ],
)
def test_rint_rounds_halves_to_even(value: arb, expected: int) -> None:
    assert xp.rint(wrap(value))._a.item() == expected


def test_rint_at_the_edge_of_a_half_is_not_decided() -> None:
    """[2.5, 2.6] rounds to 3 everywhere but at its end."""
    with pytest.raises(UndecidedComparisonError, match="rint"):
        np.rint(wrap(arb(2.55, 0.05)))


def test_infinity_has_no_integer_part() -> None:
    with pytest.raises(OverflowError, match="cannot convert"):
        int(lift(np.inf))
