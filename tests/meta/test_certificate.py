"""The certificate proves wrong gradients wrong, however small the error, and never accuses a right one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flint import arb

from oracles import Ruling, certify, certify_layer
from oracles.ball import BallArray, wrap

Array = Any
RNG = np.random.default_rng


def scaled(gradient: Callable[..., Array], entry: Any, factor: str) -> Callable[..., Array]:
    """The gradient with one entry multiplied by an exact decimal, through a ball where it runs on balls."""

    def wrong(*args: Array) -> Array:
        made = gradient(*args).copy()
        made[entry] = made[entry] * (wrap(arb(factor)) if isinstance(made, BallArray) else float(factor))
        return made

    return wrong


def cubes(w: Array) -> Array:
    return np.sum(w * w * w) / 3


def squares(w: Array) -> Array:
    return w * w


# --- how small an error is seen -------------------------------------------------------------------------------------


def gelu(x: Array) -> tuple[Array, Array]:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), x


GELU_BACKWARD = """
def backward(dout, x):
    c = np.sqrt({two} / np.pi)
    t = np.tanh(c * (x + {cubic} * x**3))
    return dout * ({half} * ({one} + t) + {half_again} * x * ({one_again} - t**2) * c * (1.0 + {slope} * x**2))
"""
COEFFICIENTS = {
    "two": "2.0",
    "cubic": "0.044715",
    "half": "0.5",
    "one": "1.0",
    "half_again": "0.5",
    "one_again": "1.0",
    "slope": "0.134145",
}


def gelu_backward(coefficients: dict[str, str], folder: Any) -> Callable[..., Array]:
    """Written to a file, so that its literals can be taken from the source."""
    path = folder / "gelu_backward.py"
    path.write_text(GELU_BACKWARD.format(**coefficients))
    namespace: dict[str, Any] = {"np": np, "__name__": "gelu_backward"}
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), namespace)
    return namespace["backward"]  # type: ignore[no-any-return]


POINTS = RNG(0).normal(size=6)


def test_right_coefficients_are_certified(tmp_path: Any) -> None:
    certificate = certify_layer(gelu, gelu_backward(COEFFICIENTS, tmp_path), POINTS)
    assert certificate.ruling is Ruling.CERTIFIED
    assert certificate.digits >= 30


@pytest.mark.parametrize("name", [pytest.param(n, id=n) for n in COEFFICIENTS])
@pytest.mark.parametrize("error", [pytest.param(1 + 1e-12, id="above"), pytest.param(1 - 1e-12, id="below")])
def test_relative_error_of_1e_12_in_any_literal_is_proved_wrong(name: str, error: float, tmp_path: Any) -> None:
    # with 15 digits or more it would count as the rounding of some constant, which excuses 1e-15 of each entry
    coefficients = COEFFICIENTS | {name: f"{float(COEFFICIENTS[name]) * error:.14g}"}
    certificate = certify_layer(gelu, gelu_backward(coefficients, tmp_path), POINTS)
    assert certificate.ruling is Ruling.WRONG, str(certificate)
    assert {w.index for w in certificate.wrong} == {(i,) for i in range(6)}


@pytest.mark.parametrize("factor", ["0", "-1", "1.000001", "1.000000000001", "1.0000000000000000000000001"])
def test_one_wrong_entry_of_ten_thousand(factor: str) -> None:
    """Down to a relative error of 1e-25, planted through a ball."""
    certificate = certify(cubes, scaled(squares, 1234, factor), RNG(0).normal(size=10_000))
    assert certificate.ruling is Ruling.WRONG
    assert [w.index for w in certificate.wrong] == [(1234,)]
    wrong = certificate.wrong[0]
    assert wrong.claimed != wrong.true


def test_ten_thousand_right_entries_are_certified() -> None:
    certificate = certify(cubes, squares, RNG(0).normal(size=10_000))
    assert certificate.ruling is Ruling.CERTIFIED
    assert certificate.digits >= 30


@pytest.mark.parametrize("size", [pytest.param(s, id=f"{s:g}") for s in (1.0, 1e-20, 1e-40, 1e-150, 1e-300)])
@pytest.mark.parametrize("factor", ["0", "2", "1.000000000001"])
def test_entries_of_any_size_weigh_alike(size: float, factor: str) -> None:
    """A wrong entry is caught beside entries 10^300 times its size, also when it claims to be exactly zero."""
    coefficients = np.array([1.0, 1e10, size, 3.0])

    def loss(w: Array) -> Array:
        return np.sum(coefficients * w * w)

    def gradient(w: Array) -> Array:
        return 2 * coefficients * w

    w = np.array([0.7, -1.3, 1.1, 0.4])
    right, wrong = certify(loss, gradient, w), certify(loss, scaled(gradient, 2, factor), w)
    assert right.ruling is Ruling.CERTIFIED
    assert right.digits >= 30
    assert wrong.ruling is Ruling.WRONG
    assert [w.index for w in wrong.wrong] == [(2,)]


def test_all_wrong_entries_are_located() -> None:
    planted = {3, 77, 78, 512, 999}

    def gradient(w: Array) -> Array:
        made = squares(w)
        for entry in planted:
            made[entry] = 0
        return made

    certificate = certify(cubes, gradient, RNG(1).normal(size=1000))
    assert {w.index[0] for w in certificate.wrong} == planted


# --- no false alarm ---------------------------------------------------------------------------------------------------


def course_loss(w: Array, x: Array) -> Array:
    """A loss per sample with the scalar arithmetic of courses: 1.0 / m, masks of ones, np.sqrt(2 / np.pi)."""
    m = w.shape[1]
    a = w * x
    gelu = 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3)))
    hinge = np.maximum(0, 1 - w)
    return (1.0 / m) * np.sum(gelu, axis=1) + (1 / 3) * np.sum(hinge, axis=1)


def course_gradient(w: Array, x: Array) -> Array:
    m = w.shape[1]
    a = w * x
    t = np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))
    slope = 0.5 * (1 + t) + 0.5 * a * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * a**2)
    mask = np.zeros_like(w)
    mask[w < 1] = 1
    mask /= 3
    return slope * x / m - mask


def test_a_hundred_thousand_points_raise_no_alarm() -> None:
    w, x = RNG(2).normal(size=(50_000, 2)), RNG(3).normal(size=(50_000, 2))
    certificate = certify(course_loss, course_gradient, w, x)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert certificate.entries == 100_000
    assert certificate.digits >= 30


def test_one_wrong_sample_of_many_is_found() -> None:
    def gradient(w: Array, x: Array) -> Array:
        made = course_gradient(w, x)
        made[np.arange(len(x)) == 321] *= 1 + 2.0**-40
        return made

    certificate = certify(course_loss, gradient, RNG(2).normal(size=(500, 2)), RNG(3).normal(size=(500, 2)))
    assert certificate.ruling is Ruling.WRONG
    assert {w.sample for w in certificate.wrong} == {(321,)}


@pytest.mark.parametrize("seed", range(20))
def test_the_verdict_does_not_depend_on_the_direction(seed: int) -> None:
    w = RNG(4).normal(size=50)
    assert certify(cubes, squares, w, seed=seed).ruling is Ruling.CERTIFIED
    assert certify(cubes, scaled(squares, 7, "1.0000000000000000000000001"), w, seed=seed).ruling is Ruling.WRONG


# --- rounded constants ------------------------------------------------------------------------------------------------


def compiled(source: str) -> Callable[..., Array]:
    """A function whose source is not at hand."""
    namespace: dict[str, Any] = {"np": np, "__name__": "without_source"}
    exec(source, namespace)
    return namespace["f"]  # type: ignore[no-any-return]


def test_constants_rounded_by_floats_are_a_verdict_of_their_own() -> None:
    loss = compiled("def f(w): return np.sum(w * w) / len(w)")
    gradient = compiled("def f(w): return (2.0 / len(w)) * w")  # 2 / 3, rounded by Python
    certificate = certify(loss, gradient, RNG(5).normal(size=3))
    assert certificate.ruling is Ruling.ROUNDED
    assert certificate.digits == 15
    assert certificate.ok


def test_rounded_constants_do_not_excuse_more_than_their_rounding() -> None:
    loss = compiled("def f(w): return np.sum(w * w) / len(w)")
    gradient = compiled("def f(w): return (2.0 / len(w) * (1 + 1e-13)) * w")
    assert certify(loss, gradient, RNG(5).normal(size=3)).ruling is Ruling.WRONG


def test_amplified_rounding_is_still_excused() -> None:
    """exp(1000 c w) passes a rounding of c on a thousandfold."""
    loss = compiled("def f(w): return np.sum(np.exp(1000 * (1.0 / 3.0 * (len(w) / 3.0)) * w))")
    gradient = compiled("def f(w): c = len(w) / 9.0; return 1000 * c * np.exp(1000 * c * w)")
    assert certify(loss, gradient, np.array([1.0, 1.1, 0.9, 1.2, 1.3, 1.4, 1.5])).ruling in (
        Ruling.ROUNDED,
        Ruling.CERTIFIED,
    )


# --- undecided, and the shapes of things ------------------------------------------------------------------------------


def test_what_is_not_finite_is_undecided_and_never_a_pass() -> None:
    certificate = certify(lambda w: np.sum(np.sqrt(w)), lambda w: 0.5 / np.sqrt(w), np.array([1.0, 0.0]))
    assert certificate.ruling is Ruling.UNDECIDED
    assert not certificate.ok


def test_too_few_bits_are_undecided() -> None:
    certificate = certify(cubes, squares, np.array([1.0, 1e-200]), precision=320)
    assert certificate.ruling is Ruling.UNDECIDED
    assert "320 bits" in certificate.reason


def test_nothing_to_check_is_undecided() -> None:
    assert certify(cubes, squares, np.zeros(0)).ruling is Ruling.UNDECIDED


def test_weights_shared_by_the_samples() -> None:
    x = RNG(6).normal(size=(30, 4))

    def loss(w: Array) -> Array:
        return np.tanh(x @ w)

    def gradient(w: Array) -> Array:
        return (1 - np.tanh(x @ w) ** 2)[:, None] * x

    right = certify(loss, gradient, RNG(7).normal(size=4))
    wrong = certify(loss, scaled(gradient, (11, 2), "1.000000000001"), RNG(7).normal(size=4))
    assert right.ruling is Ruling.CERTIFIED
    assert [(w.sample, w.index) for w in wrong.wrong] == [((11,), (2,))]


def test_several_parameters_in_dicts_and_tuples() -> None:
    def loss(p: dict[str, Any], scale: float) -> Array:
        return np.sum(p["W"] ** 2) * scale + p["b"][0] ** 3

    def gradient(p: dict[str, Any], scale: float) -> dict[str, Any]:
        return {"W": 2 * p["W"] * scale, "b": (3 * p["b"][0] ** 2,)}

    parameters = {"W": RNG(8).normal(size=(2, 3)), "b": (1.5,), "name": "net"}
    assert certify(loss, gradient, parameters, 0.7).ruling is Ruling.CERTIFIED
    wrong = certify(loss, lambda p, s: gradient(p, s) | {"b": (3 * p["b"][0],)}, parameters, 0.7)
    assert [w.parameter for w in wrong.wrong] == ["p['b'][0]"]


@pytest.mark.parametrize(
    ("gradient", "complaint"),
    [
        pytest.param(lambda w: w * w[:, None], "expected shape (3,), got (3, 3)", id="shape"),
        pytest.param(lambda w: (w, w), "expected an array, for w alone, got a tuple of 2; wrt says", id="tuple"),
        pytest.param(lambda w: None, "got NoneType", id="none"),
    ],
)
def test_what_cannot_be_a_gradient_is_wrong(gradient: Callable[..., Any], complaint: str) -> None:
    certificate = certify(cubes, gradient, np.ones(3))
    assert certificate.ruling is Ruling.WRONG
    assert complaint in certificate.reason


@pytest.mark.parametrize("wrt", [1, -2, "w"])
def test_wrt_has_to_name_an_argument(wrt: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"wrt|argument"):
        certify(cubes, squares, np.ones(3), wrt=wrt)


def test_integers_cannot_be_differentiated_by() -> None:
    with pytest.raises(ValueError, match=r"int64.*no float array.*float64"):
        certify(cubes, squares, np.ones(3, dtype=int))


def test_random_cotangents_see_what_ones_do_not() -> None:
    """The sum of a softmax is 1, so with ones as the cotangent any multiple of its true gradient would pass."""

    def softmax(x: Array) -> tuple[Array, Array]:
        e = np.exp(x - np.max(x))
        return e / np.sum(e), e / np.sum(e)

    def right(c: Array, p: Array) -> Array:
        return p * (c - np.sum(c * p))

    x = RNG(9).normal(size=5)
    assert certify_layer(softmax, right, x).ruling is Ruling.CERTIFIED
    assert certify_layer(softmax, lambda c, p: 2 * right(c, p), x).ruling is Ruling.WRONG


def test_layers_with_several_outputs_get_a_cotangent_for_each() -> None:
    def forward(x: Array) -> tuple[Array, Array, Array]:
        return np.sin(x), np.cos(x), x

    def backward(ds: Array, dc: Array, x: Array) -> Array:
        return ds * np.cos(x) - dc * np.sin(x)

    x = RNG(10).normal(size=4)
    assert certify_layer(forward, backward, x).ruling is Ruling.CERTIFIED
    assert certify_layer(forward, lambda ds, dc, x: ds * np.cos(x), x).ruling is Ruling.WRONG


def test_layers_without_a_cache_get_their_arguments() -> None:
    assert certify_layer(np.sin, lambda c, x: c * np.cos(x), np.ones(2)).ruling is Ruling.CERTIFIED


def test_a_search_that_ends_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracles.judge._MOST_WORK", 1)
    certificate = certify(cubes, lambda w: 2 * squares(w), RNG(11).normal(size=300))
    assert certificate.ruling is Ruling.WRONG
    assert 0 < len(certificate.wrong) < 300
    assert "the search ended after" in certificate.reason


def test_rounded_constants_of_many_parameters_claim_fewer_digits() -> None:
    loss = compiled("def f(w): return np.sum(w * w) / len(w)")
    gradient = compiled("def f(w): return (2.0 / len(w)) * w")
    certificate = certify(loss, gradient, RNG(12).normal(size=984))
    assert certificate.ruling is Ruling.ROUNDED
    assert 10 <= certificate.digits < 15
