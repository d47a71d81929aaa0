"""Numbers in a subject's source count as they are written, wherever it has them, and its code is never another one."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import math
import os
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import exp, pi, sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from numpy import sqrt as root
from numpy import zeros

from oracles import Ruling, certify, check, lifting
from oracles.ball import BallArray, lift, wrap
from oracles.errors import GradientError, UndecidedComparisonError
from oracles.lifting import Exact, exact_code, subject_functions
from oracles.subject import on_balls

Array = Any
X = np.array([0.3, -0.7, 1.1])
SHORT = np.array([[1.0, 2.0**-30]])
TENTH = 0.1  # a float of the module, made before any ball is there


def run(function: Callable[..., Any], *args: Any, roots: Any = None) -> tuple[Any, list[str]]:
    """The result of a function on balls, and what it noted as rounded."""
    with on_balls([function] if roots is None else roots, 256) as noted:
        made = function(*args)
    return made, list(noted.rounded)


def is_exactly(found: Any, numerator: int, denominator: int = 1) -> bool:
    with ctx.workprec(1000):
        exact = arb(fmpq(numerator, denominator))
    ball = found._a.item() if isinstance(found, BallArray) else arb(found)
    return bool(ball.contains(exact)) and bool(ball.rad() < arb(2) ** -240)


# --- expressions ------------------------------------------------------------------------------------------------------


def keyword_default(x: Any, n: int = 3, *, m: int = 10) -> Any:
    return x * (1 / n) + 1 / m


class Scale:
    """State, methods of all kinds, and arithmetic in each."""

    tenth = staticmethod(lambda: 1 / 10)

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: Any) -> Any:
        return x / self.n + self.method() + self.of_class() + self.of_nothing() + self.prop

    def method(self) -> Any:
        return 1 / self.n

    @classmethod
    def of_class(cls) -> Any:
        return 0.1

    @staticmethod
    def of_nothing() -> Any:
        return 2 / 3 - 0.1

    @property
    def prop(self) -> Any:
        return self.tenth()


class Block:
    """A network made of layers: an object in a list, in an object."""

    def __init__(self) -> None:
        self.layers: list[Any] = [Scale(3), {"second": Scale(7)}]
        self.inner = Scale(3)

    def forward(self, x: Any) -> Any:
        first, second = self.layers
        return self.inner(x) + second["second"].method() + first.method()


def twice(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args) + 0.1 * 2

    return wrapper


@twice
def decorated(x: Any) -> Any:
    return x / 3


@functools.lru_cache
def remembered(n: int) -> Any:
    return 1 / n


def uses_cache(x: Any) -> Any:
    remembered.cache_clear()
    made = x * remembered(3)
    remembered.cache_clear()  # what was made on balls must not be found again on floats
    return made


def closure(n: int) -> Callable[[Any], Any]:
    def inner(x: Any) -> Any:
        return x * (1 / n)

    return inner


def nested(x: Any) -> Any:
    def innermost() -> Any:
        return 1 / 3

    return x * innermost()


def generator(x: Any) -> Any:
    return x * sum(1 / k for k in (2, 3, 6))


def comprehension(x: Any) -> Any:
    return x * sum([0.1 for _ in range(10)]) / 3


def recursion(x: Any, n: int = 10) -> Any:
    return x * 0 if n == 0 else 0.1 * x + recursion(x, n - 1)


def augmented(x: Any) -> Any:
    total: Any = 0
    for k in range(3):
        total += 0.1 * (k + 1)
        total -= 0
        total *= 1.0
    return x * total / 3


def matched(x: Any) -> Any:
    match (0.5, {"scale": 0.25, 0.1: 7}):
        case (0.1, _):
            return x * 0
        case (_, {0.3: _}):
            return x * 0
        case (_, {0.1: count}) if count != 7:
            return x * 0
        case (0.5, {"scale": 0.1}):
            return x * 0
        case (0.5, {"scale": scale}) if scale < 0.3:
            return x * (scale * 4 / 3)
    return None


def text(x: Any) -> Any:
    label = f"{0.1:.1f} {1 / 3:.3f} {0.1!r}"
    return x / 3 if label == "0.1 0.333 0.1" else x * 0


def untouched(x: Any) -> Any:
    """Complex literals, integers and short floats stay what they are, and so does arithmetic on other things."""
    kept = [
        float is float,
        int is int,
        1j * 1j == -1,
        float is float,
        math.inf == 1e999,
        float is float,
    ]
    kept += [7 // 2 == 3, type(2**10) is int, type(2 * 3) is int, [0.5] * 2 == [0.5, 0.5], "a" + "b" == "ab"]
    return x / 3 if all(kept) else x * 0


def keyword_names(x: Any, name: int = 0, of: int = 0) -> Any:
    """Methods that are rewritten may have arguments of any name."""

    class Named:
        def sum(self, name: Any, of: Any) -> Any:
            return name / of

    return x * Named().sum(name=1 + name, of=3 + of)


def keys(x: Any) -> Any:
    more = {0.3: 0.5}
    table = {0.1: 1 / 3, 0.2: 1 / 3, **more}
    return x * (table[0.1] + table[0.2]) * len({0.7, 0.1}) / 2


def conditional(x: Any) -> Any:
    y = (z := 1 / 3) + 0
    return x * (y if z > 0.1 else 0)


EXPRESSIONS: list[tuple[str, Callable[[Any], Any], Fraction]] = [
    ("quotient-of-integers", lambda x: x * (1 / 3), Fraction(1, 3)),
    ("quotient-of-floats", lambda x: x * (1.0 / 3.0), Fraction(1, 3)),
    ("product-of-quotient", lambda x: x * (0.5 * (1 / 3)), Fraction(1, 6)),
    ("decimal", lambda x: x * 0.1, Fraction(1, 10)),
    ("decimals", lambda x: x * (0.1 + 0.2 - 0.25), Fraction(1, 20)),
    ("exponent", lambda x: x * 1e-5 * 1e6, Fraction(10)),
    ("negative-power", lambda x: x * 3**-1, Fraction(1, 3)),
    ("power-of-decimal", lambda x: x * 0.1**2, Fraction(1, 100)),
    ("unary-minus", lambda x: -0.1 * x * -1, Fraction(1, 10)),
    ("length", lambda x: x / x.reshape(1).shape[0] / 3, Fraction(1, 3)),
    ("len", lambda x: x * (1.0 / (len(x.reshape(1)) + 2)), Fraction(1, 3)),
    ("lambda", lambda x: (lambda y: y * 0.1)(x), Fraction(1, 10)),
    ("nested-function", nested, Fraction(1, 3)),
    ("generator-expression", generator, Fraction(1)),
    ("comprehension", comprehension, Fraction(1, 3)),
    ("recursion", recursion, Fraction(1)),
    ("augmented", augmented, Fraction(1, 5)),
    ("decorated", decorated, Fraction(1, 3) + Fraction(1, 5)),
    ("closure", closure(3), Fraction(1, 3)),
    ("partial", functools.partial(keyword_default, n=7, m=7), Fraction(2, 7)),
    ("cached", uses_cache, Fraction(1, 3)),
    ("defaults", keyword_default, Fraction(1, 3) + Fraction(1, 10)),
    ("callable-object", Scale(3), Fraction(1, 3) + Fraction(1, 3) + Fraction(1, 10) + Fraction(2, 3)),
    ("method", Block().forward, Fraction(1, 3) * 3 + Fraction(1, 7) + Fraction(2, 3) + Fraction(1, 10)),
    ("match", matched, Fraction(1, 3)),
    ("f-string", text, Fraction(1, 3)),
    ("untouched", untouched, Fraction(1, 3)),
    ("keyword-names", keyword_names, Fraction(1, 3)),
    ("walrus", conditional, Fraction(1, 3)),
    ("keys", keys, Fraction(2, 3)),
    ("product-of-plain-arrays", lambda x: x * (SHORT @ SHORT.T).sum(), 1 + Fraction(1, 2**60)),
    ("dot-of-plain-arrays", lambda x: x * SHORT.dot(SHORT.T).sum(), 1 + Fraction(1, 2**60)),
    ("sum-of-plain-array", lambda x: x * (SHORT * SHORT).sum(), 1 + Fraction(1, 2**60)),
    (
        "matrix-product-of-constants",
        lambda x: x * (np.array([[0.1, 0.2]]) @ np.array([[1], [1]])).sum(),
        Fraction(3, 10),
    ),
]


@pytest.mark.parametrize(("function", "expected"), [pytest.param(f, e, id=name) for name, f, e in EXPRESSIONS])
def test_numbers_count_as_they_are_written(function: Callable[[Any], Any], expected: Fraction) -> None:
    found, noted = run(function, lift(1.0))
    assert is_exactly(found, expected.numerator, expected.denominator)
    assert noted == []
    on_floats = function(np.float64(1.0))
    assert type(on_floats) is np.float64
    assert abs(on_floats - float(expected)) < 1e-14


def in_place_of_plain(x: Any, scratch: Array) -> Any:
    alias = scratch
    scratch /= 4
    scratch += 0.5
    return x * alias


def test_plain_arrays_are_written_in_place() -> None:
    """A new array of balls would leave the other names of the old one behind."""
    scratch = np.ones(2)
    found, noted = run(in_place_of_plain, lift(1.0), scratch)
    assert is_exactly(found[0], 3, 4)
    assert scratch.tolist() == [0.75, 0.75]
    assert noted == []


EXACT_IN_ANY_CASE = {"length", "f-string", "untouched"}
"""Balls divided by integers: nothing is rounded before a ball is there."""


@pytest.mark.parametrize(
    ("name", "function", "expected"), [pytest.param(name, f, e, id=name) for name, f, e in EXPRESSIONS]
)
def test_without_lifting_they_would_be_rounded(name: str, function: Callable[[Any], Any], expected: Fraction) -> None:
    """The fault planted everywhere at once: the source as Python has it."""
    with on_balls([function], 256, literals=False):
        found = function(lift(1.0))
    assert is_exactly(found, expected.numerator, expected.denominator) == (name in EXACT_IN_ANY_CASE)


# --- idioms of course code --------------------------------------------------------------------------------------------


def softmax_mask(x: Array) -> Array:
    dx = np.zeros_like(x)
    dx[x > 0] = 1
    dx /= len(x)
    return dx


def mask_over_length(x: Array) -> Array:
    return (x > 0).astype(float) / x.shape[0]


def mask_in_place(x: Array) -> Array:
    mask = (x > 0).astype(float)
    alias = mask
    mask /= x.shape[0]
    return alias


def mask_by_dtype(x: Array) -> Array:
    mask = (x > 0).astype(x.dtype)
    mask *= 1 / 3
    return mask


def mask_times(x: Array) -> Array:
    return 1.0 * (x > 0) / len(x)


def mask_of_integers(x: Array) -> Array:
    mask = np.zeros(3, dtype=int)
    mask[x > 0] = 1
    return mask / mask.size


def mask_of_ones(x: Array) -> Array:
    return np.ones(x.shape[0]) / x.shape[0] * (x > 0)


def eye_row(x: Array) -> Array:
    targets = np.array([0, 2])
    return np.eye(3)[targets].sum(axis=0) / x.shape[0]


def mean_of_mask(x: Array) -> Array:
    return (x > 0) * np.ones(1) * (x > -np.inf).mean() / 3


def plain_dot(x: Array) -> Array:
    weights = (x > 0).astype(float)
    return weights.dot(np.eye(3)) / 3


IDIOMS = [
    softmax_mask,
    mask_over_length,
    mask_in_place,
    mask_by_dtype,
    mask_times,
    mask_of_integers,
    mask_of_ones,
    eye_row,
    mean_of_mask,
    plain_dot,
]


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in IDIOMS])
def test_masks_and_counts_divide_exactly(function: Callable[[Array], Array]) -> None:
    found, noted = run(function, lift(X))
    assert isinstance(found, BallArray)
    assert [bool(b == 0) for b in found._a] == [False, True, False]
    assert is_exactly(found[0], 1, 3)
    assert is_exactly(found[2], 1, 3)
    assert noted == []
    assert function(X).tolist() == [1 / 3, 0, 1 / 3]


def roots(x: Array) -> Array:
    d = x.shape[0]
    return (math.sqrt(d) ** 2 + np.sqrt(d) ** 2 + (d**-0.5) ** -2 + root(d) ** 2 + sqrt(d) ** 2 + d**0.5 * d**0.5) / 18


def pis(x: Array) -> Array:
    return (np.sqrt(2 / np.pi) ** 2 * math.pi + np.sqrt(2 / pi) ** 2 * np.pi) / 4


def exponentials(x: Array) -> Array:
    return math.log(exp(1.0)) * np.log(math.e) * math.log(8, 2) / 3


def aliases(x: Array) -> Array:
    made = zeros(3)
    made[:] = x
    return (made / x).sum() / 3


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in (roots, pis, exponentials, aliases)])
def test_functions_of_plain_numbers_are_exact(function: Callable[[Array], Array]) -> None:
    found, noted = run(function, lift(X))
    assert is_exactly(found, 1)
    assert noted == []
    assert abs(function(X) - 1) < 1e-14


def imports_inside(x: Array) -> Array:
    import math as m

    import numpy as numeric
    from numpy import pi as number
    from numpy import zeros as nothing

    buffer, other = nothing(3), numeric.zeros(3)
    buffer[:], other[:] = x, x
    return m.sqrt(3) ** 2 / 3 * buffer.sum() / other.sum() * number / numeric.pi


def test_imports_inside_a_function_are_served() -> None:
    found, noted = run(imports_inside, lift(X))
    assert is_exactly(found, 1)
    assert noted == []
    assert sys.modules["numpy"] is np


# --- what is not exact is noted ---------------------------------------------------------------------------------------


def test_floats_made_before_are_noted() -> None:
    third = 1 / 3
    assert run(lambda x: x * TENTH, lift(1.0))[1] == ["0.1"]
    assert run(lambda x, c=0.1: x * c, lift(1.0))[1] == ["0.1"]
    assert run(lambda x: x * third, lift(1.0))[1] == [repr(1 / 3)]
    assert run(lambda x: x * 0.1 + 0.5, lift(1.0))[1] == []


def test_random_numbers_inside_a_subject_are_floats_and_noted() -> None:
    def noisy(x: Array) -> Array:
        return x * np.random.default_rng(0).normal(size=3) + np.random.default_rng(0).uniform(0.0, 0.5)

    found, noted = run(noisy, lift(X))
    assert isinstance(found, BallArray)
    assert len(noted) == 2


def test_code_without_source_runs_as_it_is() -> None:
    namespace: dict[str, Any] = {"np": np}
    exec("def f(x):\n    return x * (1 / 3)", namespace)
    function = namespace["f"]
    assert exact_code(function.__code__) is None
    found, noted = run(function, lift(1.0))
    assert found._a.item() == arb(1 / 3)
    assert noted == [repr(1 / 3)]


def test_a_certificate_of_code_without_source_excuses_its_constants() -> None:
    namespace: dict[str, Any] = {"np": np}
    exec("def f(x):\n    return np.sum(x * x) * (1 / 30)\ndef g(x):\n    return x / 15", namespace)
    assert certify(namespace["f"], namespace["g"], X).ruling is Ruling.ROUNDED


def test_long_literals_are_noted_and_can_be_widened() -> None:
    def constants(x: Any) -> Any:
        return x * 0.7978845608028654 * 3.141592653589793 * 1e-5 * 0.044715

    with on_balls([constants], 256) as noted:
        constants(lift(1.0))
        assert noted.long_literals == ["0.7978845608028654", "3.141592653589793"]
        assert noted.rounded == noted.long_literals

    def half_of_two_over_pi(x: Any) -> Any:
        return x * 0.7978845608028654**2

    from oracles.ball import mode

    with on_balls([half_of_two_over_pi], 256):
        mode.widened = True
        assert half_of_two_over_pi(lift(1.0))._a.item().overlaps(2 / arb.pi())
        mode.widened = False
        assert not half_of_two_over_pi(lift(1.0))._a.item().overlaps(2 / arb.pi())


def test_digits_beyond_those_of_a_float_are_kept() -> None:
    def log_of_two(x: Any) -> Any:
        return x * 0.693_147_180_559_945_309_417

    with on_balls([log_of_two], 256) as noted:
        error = abs(log_of_two(lift(1.0))._a.item() - arb(2).log())
        assert arb(1e-23) < error < arb(1e-21)
        assert noted.rounded == ["0.693147180559945309417"]


def of_e(x: Array) -> Array:
    return np.sum(2.0**x)


@pytest.mark.parametrize(
    ("gradient", "ruling"),
    [
        pytest.param(lambda x: 0.6931471805599453 * 2.0**x, Ruling.ROUNDED, id="16-digits"),
        pytest.param(lambda x: 0.693147180559945 * 2.0**x, Ruling.ROUNDED, id="15-digits"),
        pytest.param(lambda x: 0.693147180559945309417 * 2.0**x, Ruling.ROUNDED, id="21-digits"),
        pytest.param(lambda x: 0.6931471805598453 * 2.0**x, Ruling.WRONG, id="a-wrong-digit"),
        pytest.param(lambda x: 0.69314718055995 * 2.0**x, Ruling.WRONG, id="14-digits"),
    ],
)
def test_a_constant_of_full_precision_is_right_up_to_its_rounding(
    gradient: Callable[[Array], Array], ruling: Ruling
) -> None:
    assert certify(of_e, gradient, X).ruling is ruling


def test_a_literal_that_equals_a_number_of_the_point_is_no_contradiction() -> None:
    """alpha = 0.01 is the float that was passed, 0.01 in the source a decimal: they mean the same."""

    def loss(x: Array, alpha: float) -> Array:
        return np.sum(np.where(x > 0, x, alpha * x))

    def gradient(x: Array, alpha: float) -> Array:
        return np.where(x > 0, 1, 0.01)

    assert certify(loss, gradient, X, 0.01).ruling is Ruling.ROUNDED
    assert certify(loss, gradient, X, 0.02).ruling is Ruling.WRONG


# --- decisions at a decimal ------------------------------------------------------------------------------------------


def above(x: Any) -> Any:
    return x > 0.1


DECISIONS: list[tuple[str, Callable[[Any], Any]]] = [
    ("greater", above),
    ("on-the-left", lambda x: 0.1 >= x),  # noqa: SIM300
    ("equal", lambda x: x == 0.1),
    ("negative", lambda x: -x < -0.1),
    ("maximum", lambda x: np.maximum(x, 0.1)),
    ("minimum", lambda x: np.minimum(0.1, x)),
    ("clip", lambda x: np.clip(x, 0.1, 0.3)),
    ("named", lambda x: np.where(x <= (limit := 0.1), 1, 2) * (limit == 0.1)),
]


@pytest.mark.parametrize("decision", [pytest.param(f, id=i) for i, f in DECISIONS])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_floats_at_a_decimal_are_compared_as_floats_compare_them(decision: Callable[[Any], Any], dtype: Any) -> None:
    near = np.nextafter(dtype(0.1), dtype([0, 1]))
    x = np.array([0.1, 0.3, -1, *near], dtype=dtype)
    expected = decision(x)
    with on_balls([decision], 24 if dtype == np.float32 else 256, ulps=4.0, by_midpoint=True):
        found = decision(lift(x))
    assert_floats(found, expected)
    if dtype == np.float64:
        with on_balls([decision], 256):
            found = decision(lift(x))
        assert_floats(found, expected)


def assert_floats(found: Any, expected: Array) -> None:
    if isinstance(found, BallArray):
        found = np.array([float(b.mid()) for b in found._a]).astype(expected.dtype)
    assert (found == expected).all()


def test_what_was_computed_from_decimals_is_not_compared_with_their_floats() -> None:
    def tenth(x: Any) -> Any:
        return x * 0.3 / 3 > 0.1

    with pytest.raises(UndecidedComparisonError), on_balls([tenth], 256):
        tenth(lift(1.0))


def test_a_box_around_a_float_at_a_decimal_is_open() -> None:
    tiny = arb(2) ** -200
    box = wrap(arb(0.1, tiny))
    with pytest.raises(UndecidedComparisonError), on_balls([above], 512):
        above(box)
    with on_balls([above], 512):
        assert above(box + wrap(2 * tiny))
        assert not above(box - wrap(2 * tiny))


def test_the_gradient_at_a_decimal_threshold_is_not_called_wrong() -> None:
    x = np.array([0.1, 0.3, -1])
    verdict = check(lambda x: np.maximum(x, 0.1).sum(), lambda x: (x > 0.1) * 1.0, x)
    assert verdict.certified
    with pytest.raises(GradientError):
        check(lambda x: np.maximum(x, 0.1).sum(), lambda x: (x > -2) * 1.0, x)


# --- a type check sees a float ----------------------------------------------------------------------------------------


def checked(x: Array, p: float = 0.5, q: float = 0.1) -> Array:
    if not isinstance(p, float) or not isinstance(q, float) or not isinstance(0.5, float):
        raise TypeError("p and q: expected floats")
    return x * p


def test_type_checks_see_floats_where_they_did() -> None:
    found, noted = run(checked, lift(1.0))
    assert is_exactly(found, 1, 2)
    assert noted == []


def fussy(x: Array) -> Array:
    rate = 0.1
    if not isinstance(rate, float):
        raise TypeError("rate: expected a float")
    return np.sum(x**2) * rate


def test_code_that_insists_on_floats_is_run_without_lifting() -> None:
    with on_balls([fussy], 256), pytest.raises(TypeError, match="expected a float"):
        fussy(lift(X))
    with on_balls([fussy], 256, literals=False) as noted:
        assert isinstance(fussy(lift(X)), BallArray)
    assert noted.rounded == ["0.1"]
    assert certify(fussy, lambda x: 0.2 * x, X).ruling in (Ruling.CERTIFIED, Ruling.ROUNDED)


def needs_floats(x: Array) -> Array:
    n = int(math.log2(8)) + math.floor(np.sqrt(10)) + int(0.5 * 4) + len(range(int(6 / 2)))
    return x * n * float(np.sqrt(16)) * float(math.sqrt(4)) * float(np.pi > 3)


def test_without_literals_plain_numbers_stay_plain() -> None:
    with on_balls([needs_floats], 256, literals=False):
        assert is_exactly(needs_floats(lift(1.0)), 88)


# --- it is the subject's own code -------------------------------------------------------------------------------------


def module_from(path: Path, source: str, name: str) -> ModuleType:
    path.write_text(textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def user_module(tmp_path: Path) -> Iterator[Callable[[str, str], ModuleType]]:
    made: list[str] = []

    def make(source: str, name: str) -> ModuleType:
        made.append(name)
        return module_from(tmp_path / f"{name}.py", source, name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


Maker = Callable[[str, str], ModuleType]


def test_functions_of_other_modules_are_lifted(user_module: Maker) -> None:
    helpers = user_module("def third():\n    return 1 / 3\n", "user_helpers")
    user_module("import user_helpers\ndef sixth():\n    return user_helpers.third() * 0.5\n", "user_middle")
    main = user_module(
        """
        import user_helpers as h
        import user_middle
        from user_helpers import third
        def f(x):
            import user_helpers
            return x * (h.third() + third() + user_middle.sixth() * 2 + user_helpers.third()) / 4
        """,
        "user_main",
    )
    found, noted = run(main.f, lift(1.0))
    assert is_exactly(found, 1, 3)
    assert noted == []
    assert helpers.third() == 1 / 3


def test_imports_inside_a_function_are_followed(user_module: Maker) -> None:
    user_module("def third():\n    return 1 / 3\n", "user_hidden")
    main = user_module("def f(x):\n    import user_hidden\n    return x * user_hidden.third()\n", "user_main")
    found, noted = run(main.f, lift(1.0))
    assert is_exactly(found, 1, 3)
    assert noted == []


def test_modules_that_a_closure_holds_are_followed(user_module: Maker) -> None:
    user_module("def third():\n    return 1 / 3\n", "user_held")
    main = user_module(
        """
        def make():
            import user_held as h
            def f(x):
                return x * h.third()
            return f
        f = make()
        """,
        "user_main",
    )
    found, noted = run(main.f, lift(1.0))
    assert is_exactly(found, 1, 3)
    assert noted == []


def test_a_source_that_warns_is_read(tmp_path: Path) -> None:
    """Warnings of the compiler are told at import, and are no reason to take literals as floats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = 'DIGITS = "\\d"\ndef third(x):\n    return x * (1 / 3)\n'
        main = module_from(tmp_path / "user_warns.py", source, "user_warns")
    found, noted = run(main.third, lift(1.0))
    assert is_exactly(found, 1, 3)
    assert noted == []


def test_objects_in_objects_are_followed(user_module: Maker) -> None:
    """Layers that a network was given: no name in its code leads to their class."""
    layers = user_module("class Third:\n    def __call__(self, x):\n        return x * (1 / 3)\n", "user_layers")
    net = user_module(
        """
        class Net:
            def __init__(self, layers):
                self.layers = layers
            def forward(self, x):
                for layer in self.layers:
                    x = layer(x)
                return x
        """,
        "user_net",
    )
    found, noted = run(net.Net([layers.Third(), layers.Third()]).forward, lift(1.0))
    assert is_exactly(found, 1, 9)
    assert noted == []


def test_modules_of_packages_are_found(user_module: Maker) -> None:
    package = user_module("", "user_package")
    vars(package)["leaf"] = user_module("def third():\n    return 1 / 3\n", "user_leaf")
    main = user_module("import user_package\ndef f(x):\n    return x * user_package.leaf.third()\n", "user_main")
    found, noted = run(main.f, lift(1.0))
    assert is_exactly(found, 1, 3)
    assert noted == []


def test_an_edited_source_is_not_used(user_module: Maker) -> None:
    """The function keeps the code that it was compiled from, lifted or not."""
    module = user_module("def f(x):\n    return x * 0.1\n", "user_edited")
    path = Path(module.__file__ or "")
    for edited in (
        "def f(x):\n    return x * 0.3\n",
        "def f(x):\n    return x + 0.1\n",
        "broken(",
        "",
        "\n\ndef f(x): pass\n",
    ):
        path.write_text(edited)
        os.utime(path, (1, 1))  # whatever the clock's resolution is
        linecache.checkcache(str(path))
        assert exact_code(module.f.__code__) is None
        found, noted = run(module.f, lift(1.0))
        assert found._a.item() == arb(0.1)
        assert noted == ["0.1"]
    path.write_text("def f(x):\n    return x * 0.1  # ten percent: the code is the same\n")
    found, noted = run(module.f, lift(1.0))
    assert is_exactly(found, 1, 10)
    assert noted == []


def test_a_removed_source_leaves_the_function_as_it_is(user_module: Maker) -> None:
    module = user_module("def f(x):\n    return x * 0.1\n", "user_removed")
    Path(module.__file__ or "").unlink()
    assert exact_code(module.f.__code__) is None
    assert run(module.f, lift(1.0))[1] == ["0.1"]


def test_lambdas_of_one_line_are_told_apart(user_module: Maker) -> None:
    module = user_module(
        "pair = (lambda x: x * 0.1, lambda x: x * 0.3)\nsame = (lambda x: x / 3, lambda x: x / 3)\n"
        "table = {'a': lambda x: x * 0.7, 'b': lambda x, y=2: x * 0.7}\n",
        "user_lambdas",
    )
    for function, n, d in (
        (module.pair[0], 1, 10),
        (module.pair[1], 3, 10),
        (module.same[1], 1, 3),
        (module.table["a"], 7, 10),
        (module.table["b"], 7, 10),
    ):
        found, noted = run(function, lift(1.0))
        assert is_exactly(found, n, d)
        assert noted == []


def test_future_imports_of_the_subject_are_kept(user_module: Maker) -> None:
    module = user_module(
        "from __future__ import annotations\ndef f(x):\n    def g(y: undefined_name): return y / 3\n    return g(x)\n",
        "user_future",
    )
    assert is_exactly(run(module.f, lift(1.0))[0], 1, 3)


def test_globals_that_a_function_assigns_are_not_served(user_module: Maker) -> None:
    """`global np; import numpy as np` would leave the stand-in behind."""
    module = user_module("def f(x):\n    global np\n    import numpy as np\n    return x / 3\n", "user_global")
    run(module.f, lift(1.0))
    assert module.np is np


def test_code_that_cannot_be_rewritten_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is swapped in unless the source compiles to the function's very code."""
    assert exact_code(nested.__code__) is not None
    other = nested.__code__.replace(co_consts=(*nested.__code__.co_consts, "more"))
    assert exact_code(other) is None
    assert exact_code(nested.__code__.replace(co_firstlineno=1)) is None


def test_swapping_in_edited_code_would_compute_something_else(
    user_module: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the comparison with the function's own code, the file on disk would run instead."""
    module = user_module("def f(x):\n    return x * 0.1\n", "user_swapped")
    path = Path(module.__file__ or "")
    path.write_text("def f(x):\n    return x * 0.7\n")
    linecache.checkcache(str(path))

    def credulous(code: Any, rewritten: Any) -> Any:
        return rewritten[code.co_qualname, code.co_firstlineno][0][1]

    monkeypatch.setattr("oracles.lifting._matching", credulous)
    monkeypatch.setattr("oracles.lifting._known", {})
    assert is_exactly(run(module.f, lift(1.0))[0], 7, 10)


# --- what is reached --------------------------------------------------------------------------------------------------


def test_reached_functions_are_the_users_own() -> None:
    names = {f.__code__.co_qualname for f in subject_functions([Block().forward, decorated, closure(3)])}
    assert {"Block.forward", "Scale.__call__", "Scale.method", "decorated", "twice.<locals>.wrapper"} <= names
    assert {"Scale.of_class", "Scale.of_nothing", "Scale.prop", "closure.<locals>.inner"} <= names
    assert all(
        not f.__module__.startswith(("numpy", "functools", "oracles")) for f in subject_functions([softmax_mask])
    )
    assert subject_functions([np.sum, math.exp, len, 3, None, "x", X]) == []


def test_large_containers_are_data() -> None:
    def hidden() -> float:
        return 0.1

    shown = [*[1.0] * 900, hidden]
    buried = [*[1.0] * 5000, hidden]
    assert hidden in subject_functions([lambda: shown])
    assert hidden not in subject_functions([lambda: buried])


def test_cycles_end() -> None:
    loop: list[Any] = []
    loop.append(loop)

    def f() -> Any:
        return loop, f

    assert f in subject_functions([f])


# --- everything is put back -------------------------------------------------------------------------------------------


def state() -> tuple[Any, ...]:
    """All that a run may change."""
    import builtins

    from oracles.ball import mode

    function: Any = aliases
    return (
        np.zeros,
        np.pi,
        math.exp,
        dict(vars(np)) == NUMPY_BEFORE,
        function.__code__,
        globals()["zeros"],
        globals()["np"],
        globals()["pi"],
        ctx.prec,
        hasattr(builtins, "__backproof_exact__"),
        dict(Exact.versions),
        dict(vars(mode)),
        MAKER.__closure__[0].cell_contents if MAKER.__closure__ else None,
        with_default.__defaults__,
    )


def holding(module: Any) -> Callable[[], Any]:
    return lambda: module.zeros(3)


MAKER = holding(np)
NUMPY_BEFORE = dict(vars(np))


def with_default(x: Any, activation: Any = np.exp, make: Any = np.zeros) -> Any:
    made = make(3)
    made[:] = activation(x)
    return made


def test_everything_is_put_back() -> None:
    before = state()
    with on_balls([aliases, roots, MAKER, with_default], 300):
        assert state() != before
        assert isinstance(MAKER(), BallArray)
        assert isinstance(with_default(lift(X)), BallArray)
        assert isinstance(np.zeros(3), BallArray)  # in this module np is a stand-in now
        assert ctx.prec == 300
    assert state() == before
    assert isinstance(np.zeros(3), np.ndarray)


def test_everything_is_put_back_after_an_error() -> None:
    before = state()
    with pytest.raises(ZeroDivisionError), on_balls([aliases, MAKER], 300):
        raise ZeroDivisionError
    assert state() == before


def test_runs_can_be_nested() -> None:
    before = state()
    with on_balls([aliases, pis], 300):
        outer = state()
        with on_balls([aliases, roots], 100, by_midpoint=True):
            assert ctx.prec == 100
            assert is_about(roots(lift(X)), 90)
        assert state() == outer
        assert is_exactly(aliases(lift(X)), 1)
        assert is_exactly(pis(lift(X)), 1)
    assert state() == before


def is_about(found: BallArray, bits: int) -> bool:
    return bool(found._a.item().contains(1)) and bool(found._a.item().rad() < arb(2) ** -bits)


def test_one_thread_at_a_time() -> None:
    """Two threads that certify share functions, globals and precision: the second waits for the first."""
    seen: list[tuple[int, bool]] = []

    def work(precision: int) -> None:
        for _ in range(20):
            with on_balls([aliases, roots], precision):
                seen.append((precision, ctx.prec == precision and roots(lift(X))._a.item().contains(1)))

    threads = [threading.Thread(target=work, args=(precision,)) for precision in (100, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert all(good for _, good in seen)
    assert isinstance(np.zeros(3), np.ndarray)


def test_code_is_rewritten_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entering again costs a small part of entering for the first time, side by side."""
    import time

    def enter() -> float:
        start = time.perf_counter()
        with on_balls([softmax_mask, Block().forward], 256):
            pass
        return time.perf_counter() - start

    def enter_first() -> float:
        monkeypatch.setattr(lifting, "_known", {})
        lifting._rewritten.cache_clear()
        return enter()

    assert max(enter_first() / min(enter() for _ in range(5)) for _ in range(3)) > 20


def test_wrapping_is_all_that_an_addition_costs() -> None:
    """BallArray + BallArray against the same objects bare, at 506 elements of 256 bits."""
    import timeit

    with ctx.workprec(256):
        a, b = (lift(np.random.default_rng(seed).normal(size=506)) / 3 for seed in (1, 2))
        raw_a, raw_b = a._a, b._a
        ratios = [
            min(timeit.repeat(lambda: a + b, number=20, repeat=5))
            / min(timeit.repeat(lambda: raw_a + raw_b, number=20, repeat=5))
            for _ in range(5)
        ]
    assert min(ratios) < 1.5
    assert wrap(raw_a)._a is raw_a
