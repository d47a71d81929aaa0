"""The numerical gradient check gives the published figures, with and without the published defect, never touches its
caller's arrays, and shows a wrong entry."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from manual import nine_weight
from manual.gradient_check import check_gradient, check_nine_weight
from reference.datasets import housing
from reference.published import published

Array = NDArray[np.float64]

X, Y = housing()
W0 = np.array(published("assignment.check_point.weights").value)
STEP = published("assignment.gradient_check.epsilon_used").value
RIGHT_BELOW = published("assignment.gradient_check_rule.right_below").value
WRONG_ABOVE = published("assignment.gradient_check_rule.wrong_above").value

_, GRADIENT = nine_weight.loss_and_gradient(W0, X[0], Y[0])


def loss(w: Array) -> Array:
    return nine_weight.forward(w, X[0], Y[0])[0]


# The losses are below 1, so exp, tanh and what follows put an error of some units of 2^-53 into each, let us say 4. The
# quotient makes 2 * 4 * 2^-53 / (2 step) of it, in each of nine differences; the norms of the gradients add up to 2.7.
ROUNDING = 3 * 4 * 2.0**-53 / STEP / 2.7


# --- published figures ----------------------------------------------------------------------------------------------


def worked_example(w: Array) -> float:
    return float(w[0] ** 2 * 3 + w[1] * 4)


def test_the_worked_example_comes_out_to_the_last_bit() -> None:
    check = check_gradient(worked_example, np.array([6.0, 4.0]), np.array([1.0, 2.0]), step=1e-4)
    assert check.relative_errors[0] == published("assignment.worked_example.ratio").value == 4.2514140356330737e-13
    # The printed quotient has one nine too many: 5.9999999999994898, whose ratio would be 4.25e-14.
    assert check.differences[0] == 5.999999999994898


def test_the_published_ratios_come_from_weights_that_were_not_restored() -> None:
    first = check_nine_weight(W0, X[0], Y[0], STEP, restore=False)
    assert abs(first.ratio - published("assignment.gradient_check.first").value) < ROUNDING
    left_over = np.full(9, (0.1 + 1e-4) - 2e-4)
    np.testing.assert_array_equal(first.weights, left_over)
    second = check_nine_weight(first.weights, X[0], Y[0], STEP, restore=False)
    assert abs(second.ratio - published("assignment.gradient_check.second").value) < ROUNDING
    # Neither is reproduced at any other starting point or with the weights restored.
    assert abs(first.ratio - second.ratio) > 1000 * ROUNDING
    assert RIGHT_BELOW < second.ratio < first.ratio < WRONG_ABOVE


def test_with_the_weights_restored_the_ratio_is_below_1e_8() -> None:
    check = check_nine_weight(W0, X[0], Y[0], STEP)
    assert 0 < check.ratio < 1e-8
    assert check.relative_errors.max() < 2e-8
    np.testing.assert_array_equal(check.weights, W0)


def test_a_smaller_step_has_a_smaller_error_until_rounding_takes_over() -> None:
    ratios = [check_nine_weight(W0, X[0], Y[0], step).ratio for step in (1e-3, 1e-4, 1e-5)]
    rounding = ROUNDING * STEP / 1e-4 / ratios[1]
    assert ratios[0] / ratios[1] == pytest.approx(100, rel=rounding, abs=0)
    # Ten times the rounding in a hundredth of the error: up to 200 %, if all of the nine were rounded the same way.
    assert ratios[1] / ratios[2] == pytest.approx(100, rel=0.2)
    assert check_nine_weight(W0, X[0], Y[0], 1e-11).ratio > 1e-7


# --- what the ratios see --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", range(9), ids=[f"dw{i}" for i in range(1, 10)])
def test_a_wrong_entry_shows_in_its_own_relative_error(entry: int) -> None:
    wrong = GRADIENT.copy()
    wrong[entry] *= 1 + 1e-5
    errors = check_gradient(loss, wrong, W0).relative_errors
    assert np.flatnonzero(errors > 1e-6).tolist() == [entry]
    assert errors[entry] == pytest.approx(5e-6, abs=2e-8)  # as near as the differences are, see above


def test_the_norm_lets_a_vanished_entry_pass_the_documents_threshold() -> None:
    wrong = GRADIENT.copy()
    wrong[4] = 0
    check = check_gradient(loss, wrong, W0)
    norms = np.linalg.norm(wrong) + np.linalg.norm(GRADIENT)
    assert check.ratio == pytest.approx(abs(GRADIENT[4]) / norms, abs=1e-8)  # that of the right gradient, see above
    assert check.ratio == pytest.approx(3.7e-4, abs=0.05e-4)  # half a unit of the last place
    assert check.ratio < WRONG_ABOVE
    assert check.relative_errors[4] == 1


def test_two_zeros_agree_and_the_shape_of_the_weights_is_kept() -> None:
    w = np.arange(1.0, 7.0).reshape(2, 3)
    check = check_gradient(lambda v: v[0, 0] * v[1, 2], np.array([[6.0, 0, 0], [0, 0, 1.0]]), w)
    assert check.relative_errors.shape == check.differences.shape == check.weights.shape == (2, 3)
    assert check.relative_errors[0, 1] == 0
    assert check.relative_errors.max() < 1e-11
    nothing = check_gradient(lambda v: 1.0, np.zeros((2, 3)), w)
    assert nothing.ratio == 0
    assert (nothing.relative_errors == 0).all()


# --- the caller's arrays --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restore", [True, False])
def test_the_caller_s_arrays_are_left_alone_even_by_a_loss_that_writes(restore: bool) -> None:
    def writes(w: Array) -> float:
        value = float(loss(w))
        w[:] = np.nan
        return value

    w, gradient = W0.copy(), GRADIENT.copy()
    check = check_gradient(writes, gradient, w, restore=restore)
    np.testing.assert_array_equal(w, W0)
    np.testing.assert_array_equal(gradient, GRADIENT)
    assert check.weights is not w
    quiet = check_gradient(loss, GRADIENT, W0, restore=restore)
    for noisy, expected in zip(check, quiet, strict=True):
        np.testing.assert_array_equal(noisy, expected)


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "change", "message"),
    [
        pytest.param(TypeError, {"w": W0.tolist()}, "w: expected a float64 NumPy array, got list; conv", id="w-list"),
        pytest.param(
            TypeError, {"w": W0.astype(np.float32)}, "w: expected dtype float64, got dtype fl", id="w-float32"
        ),
        pytest.param(TypeError, {"gradient": None}, "gradient: expected a float64 NumPy array, got Non", id="gradient"),
        pytest.param(
            ValueError,
            {"gradient": GRADIENT[:8]},
            r"gradient: expected the shape of w, \(9,\), got \(8,\); pass one derivative for each weight",
            id="gradient-short",
        ),
        pytest.param(
            ValueError,
            {"gradient": np.where(np.arange(9) == 3, np.nan, GRADIENT)},
            r"gradient: expected finite numbers, got nan at index \(3,\)",
            id="gradient-nan",
        ),
        pytest.param(ValueError, {"w": np.full(9, np.inf)}, r"w: expected finite .* \(9 of 9 not finite\)", id="w-inf"),
        pytest.param(ValueError, {"step": 0.0}, "step: expected a positive finite number, got 0.0; 1e-4", id="step-0"),
        pytest.param(
            ValueError, {"step": -1e-4}, "step: expected a positive finite number, got -0.0001", id="step-neg"
        ),
        pytest.param(ValueError, {"step": np.nan}, "step: expected a positive finite number, got nan", id="step-nan"),
        pytest.param(ValueError, {"step": np.inf}, "step: expected a positive finite number, got inf", id="step-inf"),
        pytest.param(
            ValueError, {"step": 1e-18}, r"step: 1e-18 is lost when added to w\[0\] = 0.1; use a larger", id="step-lost"
        ),
        pytest.param(
            ValueError,
            {"loss": lambda w: nine_weight.forward(w, X, Y)[0]},
            r"loss: expected one number, got shape \(506,\); check one sample, or sum the losses",
            id="loss-batch",
        ),
        pytest.param(
            ValueError,
            {"loss": lambda w: np.nan},
            r"loss: expected a finite number, got nan at weights .*; check another point",
            id="loss-nan",
        ),
        pytest.param(
            ValueError, {"loss": lambda w: None}, "loss: expected one number, got NoneType; ", id="loss-returns-nothing"
        ),
    ],
)
def test_bad_input_is_refused_with_what_was_expected_what_came_and_what_to_do(
    error: type[Exception], change: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"loss": loss, "gradient": GRADIENT, "w": W0, "step": 1e-4} | change
    with pytest.raises(error, match=message):
        check_gradient(**arguments)


@pytest.mark.parametrize(
    ("w", "x", "message"),
    [
        pytest.param(W0[:8], X[0], r"w: expected shape \(\.\.\., 9\), got \(8,\)", id="w"),
        pytest.param(W0, X[0][:4], r"x: expected shape \(\.\.\., 5\), got \(4,\)", id="x"),
    ],
)
def test_the_nine_weight_helper_refuses_what_the_graph_refuses(w: Array, x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_nine_weight(w, x, Y[0])
