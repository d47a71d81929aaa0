"""`check` gives a verdict on any NumPy gradient in one call, says why, and raises when it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.special
import torch

from oracles import GradientError, UndecidedGradientError, Verdict, check, check_layer

Array = Any
X = np.random.default_rng(0).normal(size=6)


def loss(x: Array) -> Array:
    return np.sum(x * x * x)


def gradient(x: Array) -> Array:
    return 3 * x * x


def refused(*args: Any, **kwargs: Any) -> str:
    """The message that `check` raises for a wrong gradient."""
    with pytest.raises(GradientError) as error:
        check(*args, **kwargs)
    return str(error.value)


def found(verdict: Verdict, what: str) -> str:
    (evidence,) = [f.evidence for f in verdict.findings if f.what == what]
    return evidence


# --- right and wrong --------------------------------------------------------------------------------------------------


def test_a_right_gradient_is_certified_and_prints_as_a_table() -> None:
    verdict = check(loss, gradient, X)
    assert verdict.ok
    assert verdict.certified
    lines = str(verdict).splitlines()
    assert lines[0] == "gradient: right"
    assert [line.split("  ")[1] for line in lines[1:]] == [
        "inputs unchanged",
        "repeats",
        "finite",
        "certificate",
        "in floats",
    ]


def test_a_wrong_gradient_raises_with_the_entry_and_both_values() -> None:
    def wrong(x: Array) -> Array:
        made = gradient(x)
        made[4] *= 2
        return made

    message = refused(loss, wrong, np.arange(1.0, 7.0))
    assert "x[4]: claimed 150" in message
    assert "true 75" in message


def test_gradient_error_is_an_assertion() -> None:
    assert issubclass(GradientError, AssertionError)
    assert issubclass(UndecidedGradientError, GradientError)


def test_undecided_raises() -> None:
    """exp(log x) is x, but no number of digits can say so of balls."""
    with pytest.raises(UndecidedGradientError, match="cannot be decided"):
        check(lambda x: np.sum(np.where(np.exp(np.log(x)) == x, x, 2 * x)), lambda x: np.ones(2), np.array([1.5, 2.5]))


def test_layers() -> None:
    def forward(x: Array, w: Array) -> tuple[Array, Array]:
        return x @ w, (x, w)

    def backward(c: Array, cache: Array) -> tuple[Array, Array]:
        x, w = cache
        return c @ w.T, x.T @ c

    x, w = np.random.default_rng(1).normal(size=(3, 4)), np.random.default_rng(2).normal(size=(4, 2))
    assert check_layer(forward, backward, x, w).certified
    with pytest.raises(GradientError, match=r"w\[0, 0\]"):
        check_layer(forward, lambda c, cache: (c @ cache[1].T, 2 * cache[0].T @ c), x, w)


def test_parameters_in_a_dict() -> None:
    def net(p: dict[str, Array]) -> Array:
        return np.sum(p["W"] ** 2) + np.sum(p["b"])

    parameters = {"W": np.ones((2, 2)), "b": np.ones(2)}
    assert check(net, lambda p: {"W": 2 * p["W"], "b": np.ones_like(p["b"])}, parameters).certified
    assert "missing keys ['b']" in refused(net, lambda p: {"W": 2 * p["W"]}, parameters)
    assert "extra keys ['c']" in refused(net, lambda p: {"W": 2 * p["W"], "b": p["b"], "c": 1.0}, parameters)


# --- the contract -----------------------------------------------------------------------------------------------------


def changes_input(x: Array) -> Array:
    x *= 3
    return x


def test_inputs_changed_in_place_are_named() -> None:
    assert "inputs unchanged  WRONG  changed in place: args[0]" in refused(
        lambda x: 1.5 * np.sum(x * x), changes_input, X
    )


def test_the_callers_own_arrays_are_never_handed_out() -> None:
    mine = X.copy()
    refused(loss, changes_input, mine)
    assert np.array_equal(mine, X)


def test_a_second_run_has_to_give_the_same_bits() -> None:
    calls = [0]

    def drifting(x: Array) -> Array:
        calls[0] += 1
        return gradient(x) * (1 + 1e-15 * calls[0])

    assert "a second run" in refused(loss, drifting, X)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        pytest.param(lambda x: gradient(x)[:, None], "expected shape (6,), got (6, 1)", id="extra-axis"),
        pytest.param(lambda x: gradient(x)[:3], "expected shape (6,), got (3,)", id="too-short"),
        pytest.param(lambda x: np.sum(gradient(x)), "expected shape (6,), got ()", id="summed"),
        pytest.param(lambda x: gradient(x).astype(np.float32), "expected dtype float64, got float32", id="float32"),
        pytest.param(lambda x: None, "expected an array or a number, got NoneType", id="nothing"),
        pytest.param(lambda x: {"x": gradient(x)}, "expected an array or a number, got dict", id="dict"),
        pytest.param(
            lambda x: gradient(x).tolist(),
            "expected an array or a number, got list; return np.array(...) of its 6 items",
            id="list",
        ),
    ],
)
def test_shapes_and_types_have_to_fit(wrong: Callable[[Array], Any], complaint: str) -> None:
    assert complaint in refused(loss, wrong, X)


@pytest.mark.parametrize(
    ("params", "made", "complaint"),
    [
        ([1.5, 2.5], np.array([2.5, 1.5]), "expected 2 parts, got ndarray; return a list or tuple"),
        ([1, 2.5], [2.5, 1.0], "expected 1 parts, got 2 parts; what has no float in it is a constant: write 1.0 for 1"),
    ],
)
def test_the_parts_of_a_list_have_to_fit(params: list[float], made: Any, complaint: str) -> None:
    assert complaint in refused(lambda p: p[0] * p[1], lambda p: made, params)


def test_nan_where_the_loss_is_finite() -> None:
    def prod(x: Array) -> Array:
        return np.prod(x)

    message = refused(prod, lambda x: np.prod(x) / x, np.array([2.0, 0.0, 3.0]))  # pytorch/pytorch#773
    assert "finite            WRONG" in message


# --- floats and formula -----------------------------------------------------------------------------------------------


def test_a_right_formula_that_rounding_spoils_is_said_so_and_not_wrong() -> None:
    verdict = check(lambda x: np.sum(np.tanh(x)), lambda x: 1 - np.tanh(x) ** 2, np.array([0.3, 30.0]))
    assert verdict.certified
    assert "right formula, inaccurate here" in found(verdict, "in floats")


def test_floats_that_do_not_follow_the_formula_are_wrong() -> None:
    """A subject that behaves otherwise on balls than on floats is found out."""

    def two_faced(x: Array) -> Array:
        return gradient(x) * (1 + 1e-9) if isinstance(x, np.ndarray) else gradient(x)

    assert "the floats do not follow the formula" in refused(loss, two_faced, X)


# --- code that balls cannot run ---------------------------------------------------------------------------------------


def erf_loss(x: Array) -> Array:
    return np.sum(scipy.special.erf(x))


def erf_gradient(x: Array) -> Array:
    return 2 / np.sqrt(np.pi) * np.exp(-(x**2))


def float_loss(x: Array) -> Any:
    return float(x[0]) * x[1] + np.sum(x[2:])


def float_gradient(x: Array) -> Array:
    return np.array([x[1], x[0], *np.ones(len(x) - 2)])


def buffer_loss(x: Array) -> Array:
    buffer = np.zeros(x.shape, dtype=np.float32)
    buffer[:] = x
    return np.sum(buffer * buffer)


def buffer_gradient(x: Array) -> Array:
    return 2 * x


def torch_loss(x: Array) -> Any:
    return torch.sin(torch.as_tensor(x)).sum().item()


def torch_gradient(x: Array) -> Array:
    return np.cos(x)


STORE = np.zeros(6)


def stored_loss(x: Array) -> Array:
    STORE[:] = x
    return np.sum(STORE**2)


def stored_gradient(x: Array) -> Array:
    return 2 * x


UNRUNNABLE = [
    pytest.param(erf_loss, erf_gradient, "erf", "np.sum(scipy.special.erf(x))", id="scipy"),
    pytest.param(float_loss, float_gradient, "float() of a ball", "return float(x[0])", id="float"),
    pytest.param(buffer_loss, buffer_gradient, "float32", "np.zeros(x.shape, dtype=np.float32)", id="float32-buffer"),
    pytest.param(torch_loss, torch_gradient, "torch tensor", "torch.as_tensor(x)", id="torch"),
    pytest.param(stored_loss, stored_gradient, "plain", "STORE[:] = x", id="module-level-buffer"),
    pytest.param(
        lambda x: np.sum(np.vectorize(math.erf)(x)), erf_gradient, "plain", "np.vectorize(math.erf)", id="compiled-loop"
    ),
]


@pytest.mark.parametrize(("forward", "backward", "reason", "line"), UNRUNNABLE)
def test_reason_line_and_fallback(
    forward: Callable[[Array], Any], backward: Callable[[Array], Any], reason: str, line: str
) -> None:
    verdict = check(forward, backward, X)
    evidence = found(verdict, "certificate")
    assert verdict.ok
    assert not verdict.certified
    assert reason in evidence
    assert line in evidence
    assert verdict.agreement is not None
    assert verdict.agreement.agrees


@pytest.mark.parametrize(("forward", "backward", "reason", "line"), UNRUNNABLE)
def test_the_fallback_sees_a_wrong_entry(
    forward: Callable[[Array], Any], backward: Callable[[Array], Any], reason: str, line: str
) -> None:
    def wrong(x: Array) -> Array:
        made = np.array(backward(x))
        made[5] *= 1.01
        return made

    assert "1 of 6 entries differ" in refused(forward, wrong, X)


def as_float_relu(x: Array) -> float:
    return float(np.sum(np.maximum(2 * x, 0) * x[1]))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_the_fallback_takes_any_derivative_between_the_one_sided_ones_at_a_kink(slope: float) -> None:
    """As the certificate does: a central difference takes the one in the middle."""

    def gradient(x: Array) -> Array:
        on = np.where(x == 0, slope, x > 0)
        return 2 * x[1] * on + np.array([0.0, np.sum(np.maximum(2 * x, 0)), 0.0])

    x = np.array([0.0, 1.5, -1.0])
    verdict = check(as_float_relu, gradient, x)
    assert verdict.ok
    assert ("1 on a kink" in found(verdict, "differences")) == (slope != 0.5)
    assert "1 of 3 entries differ, in x[0]" in refused(as_float_relu, lambda x: gradient(x) + (x == 0) * 3.5, x)


def test_the_fallback_handles_many_parameters() -> None:
    x = np.random.default_rng(3).normal(size=2000)
    assert check(erf_loss, erf_gradient, x).ok

    def wrong(x: Array) -> Array:
        made = erf_gradient(x)
        made[1234] *= 1.1
        return made

    assert "entries differ" in refused(erf_loss, wrong, x)


def test_the_fallback_says_what_it_could_have_missed_of_entries_that_are_small_beside_others() -> None:
    x = np.full(1000, 1e3)
    x[5] = 1e-3

    def wrong(x: Array) -> Array:
        return 2 * x * np.where(np.arange(len(x)) == 5, 3, 1)

    verdict = check(lambda x: float(np.sum(x * x)), wrong, x)
    assert verdict.ok
    assert verdict.agreement is not None
    assert verdict.agreement.detection > 2
    assert found(verdict, "differences (512 directions)").count("1000 entries") == 1


def test_the_fallback_says_where_there_are_zeros_only() -> None:
    verdict = check(lambda x: float(np.sum(np.maximum(x, 0))), lambda x: np.zeros(3), -np.ones(3))
    assert "(3 entries; what can be compared is 0)" in found(verdict, "differences")


def test_what_the_subject_raises_is_raised() -> None:
    def broken(x: Array) -> Array:
        raise KeyError("W3")

    with pytest.raises(KeyError, match="W3"):
        check(loss, broken, X)


# --- what is asked ----------------------------------------------------------------------------------------------------


def product(u: Array, v: Array) -> Array:
    return np.sum(u * v * v)


def product_gradient(u: Array, v: Array) -> tuple[Array, Array]:
    return v * v, 2 * u * v


@pytest.mark.parametrize("wrt", [(0, 0), (0, -2)])
def test_an_argument_named_twice_is_refused(wrt: tuple[int, ...]) -> None:
    """As two parameters it would move as one, and the right gradient would be called wrong."""
    with pytest.raises(ValueError, match="wrt: expected every argument once"):
        check(product, product_gradient, X, X, wrt=wrt)


def test_positions_may_be_numbers_of_numpy() -> None:
    assert check(product, lambda u, v: 2 * u * v, X, X, wrt=np.int64(1)).certified  # type: ignore[arg-type]
    assert check(product, product_gradient, X, X, wrt=np.arange(2)).certified  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"wrt: expected positions of the 2 arguments, got 1\.5"):
        check(product, product_gradient, X, X, wrt=1.5)  # type: ignore[arg-type]


def test_half_precision_is_refused() -> None:
    """Differences of it are rounding and nothing else, and the right gradient would be called wrong."""
    with pytest.raises(TypeError, match=r"args\[0\]: expected float64 or float32, got float16"):
        check(loss, gradient, X.astype(np.float16))


def test_arguments_that_cannot_be_copied_are_named() -> None:
    with pytest.raises(TypeError, match=r"expected what copy\.deepcopy can copy, got ndarray, module"):
        check(lambda x, xp: xp.sum(x * x), lambda x, xp: 2 * x, X, np)


def test_too_few_gradients_are_told_with_the_names_of_the_arguments() -> None:
    message = refused(product, lambda u, v: (v * v,), X, X, wrt=(0, 1))
    assert "expected 2 parts, one for each of u, v, got 1 parts; wrt says" in message


def test_a_gradient_too_many_is_told_with_the_name_of_the_argument() -> None:
    """As by a backward that returns None for whole numbers."""
    message = refused(lambda u, rows: np.sum(u[rows] ** 2), lambda u, rows: (2 * u, None), X, np.arange(6))
    assert "expected an array, for u alone, got a tuple of 2; wrt says" in message


class Line(NamedTuple):
    slope: Array
    offset: float


def test_a_named_tuple_of_parameters_is_certified() -> None:
    def distance(line: Line, x: Array) -> Array:
        return np.sum((line.slope * x + line.offset) ** 2)

    def slopes(line: Line, x: Array) -> Line:
        residual = line.slope * x + line.offset
        return Line(2 * residual * x, np.sum(2 * residual))

    assert check(distance, slopes, Line(X, 0.3), X).certified


# --- what is left behind ----------------------------------------------------------------------------------------------

RUNNING_MEAN = np.zeros(6)


class Trainer:
    losses_of_all = 0.0

    def __init__(self) -> None:
        self.total, self.history, self.by_name = 0.0, [0.0], {"last": 0.0}

    def loss(self, x: Array) -> Array:
        global RUNNING_MEAN
        RUNNING_MEAN = 0.9 * RUNNING_MEAN + 0.1 * x
        made = loss(x)
        self.total += made
        self.history.append(made)
        self.by_name["sum"] = self.by_name.get("sum", 0.0) + made
        Trainer.losses_of_all += made
        return made


def test_what_a_subject_adds_up_or_collects_holds_floats_afterwards() -> None:
    trainer, count = Trainer(), 0.0

    def counted(x: Array) -> Array:
        nonlocal count
        count = count + np.sum(x)
        return gradient(x)

    assert check(trainer.loss, counted, X).certified
    kept = (trainer.total, *trainer.history, trainer.by_name["sum"], Trainer.losses_of_all, count)
    assert {type(value) for value in kept} <= {float, np.float64}
    assert type(RUNNING_MEAN) is np.ndarray
    assert RUNNING_MEAN.dtype == np.float64
    assert np.isfinite([*kept, *RUNNING_MEAN]).all()
