"""`check_torch_function` finds what is wrong in the backward of a torch.autograd.Function, and accuses no right one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import Function

from oracles import GradientError, UndecidedGradientError, check_torch_function
from oracles.checking import Verdict

Tensor = torch.Tensor
ROOT = Path(__file__).parents[2]


def tensor(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.as_tensor(np.random.default_rng([seed, len(shape)]).normal(size=shape)).to(dtype)


def made(forward: Callable[..., Any], backward: Callable[..., Any], name: str = "Made") -> type[Function]:
    """A Function of the old style: forward(*inputs) of saved inputs, backward(c, *inputs)."""

    def run(ctx: Any, *inputs: Tensor) -> Any:
        ctx.save_for_backward(*inputs)
        return forward(*inputs)

    def rule(ctx: Any, *cotangents: Tensor) -> Any:
        return backward(*cotangents, *ctx.saved_tensors)

    return type(name, (Function,), {"forward": staticmethod(run), "backward": staticmethod(rule)})


def refused(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(GradientError) as error:
        check_torch_function(*args, **kwargs)
    return str(error.value)


def found(verdict: Verdict, what: str) -> str:
    (evidence,) = [f.evidence for f in verdict.findings if f.what == what]
    return evidence


Exp = made(torch.exp, lambda c, x: c * torch.exp(x), "Exp")


class Affine(Function):
    """The new style: a plain forward, setup_context, needs_input_grad, an optional tensor and a number."""

    @staticmethod
    def forward(x: Tensor, w: Tensor, b: Tensor | None, scale: float) -> Tensor:
        y = x @ w.t() * scale
        return y if b is None else y + b

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, w, _, ctx.scale = inputs
        ctx.save_for_backward(x, w)

    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        x, w = ctx.saved_tensors
        dx = c @ w * ctx.scale if ctx.needs_input_grad[0] else None
        dw = c.t() @ x * ctx.scale if ctx.needs_input_grad[1] else None
        return dx, dw, c.sum(0) if ctx.needs_input_grad[2] else None, None


AFFINE = (tensor(5, 3), tensor(2, 3), tensor(2), 0.3)


# --- right ----------------------------------------------------------------------------------------------------------


def test_a_right_backward_is_compared_and_said_not_to_be_proved() -> None:
    verdict = check_torch_function(Exp, tensor(4))
    assert verdict.ok
    assert not verdict.certified
    assert [f.what for f in verdict.findings] == [
        "inputs unchanged",
        "repeats",
        "second backward",
        "finite",
        "certificate",
        "torch's tape",
    ]
    assert str(verdict).startswith("Exp.backward: right")
    assert found(verdict, "certificate").endswith("balls cannot run torch, so this is compared and not proved")
    assert "4 entries agree to 15" in found(verdict, "torch's tape")
    assert verdict.agreement is not None
    assert verdict.agreement.detection < 1e-13


def test_setup_context_optional_tensors_and_numbers() -> None:
    verdict = check_torch_function(Affine, *AFFINE)
    assert "23 entries agree" in found(verdict, "torch's tape")
    assert found(verdict, "each input alone") == ""
    assert "21 entries agree" in found(check_torch_function(Affine, *AFFINE[:2], None, 2), "torch's tape")


def test_only_what_requires_grad_is_differentiated_if_anything_does() -> None:
    x, w, b, scale = AFFINE
    verdict = check_torch_function(Affine, x, w.clone().requires_grad_(), b, scale)
    assert "6 entries agree" in found(verdict, "torch's tape")


def test_in_place_with_mark_dirty() -> None:
    class ExpInPlace(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.mark_dirty(x)
            ctx.save_for_backward(x.exp_())
            return x

        @staticmethod
        def backward(ctx: Any, c: Tensor) -> Any:
            (y,) = ctx.saved_tensors
            return c * y

    assert "4 entries agree" in found(check_torch_function(ExpInPlace, tensor(4)), "torch's tape")


def test_several_outputs_and_one_that_cannot_be_differentiated() -> None:
    class Both(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> tuple[Tensor, ...]:
            order = x.argsort().to(x.dtype)
            ctx.mark_non_differentiable(order)
            ctx.save_for_backward(x)
            return x.sin(), order, x**2

        @staticmethod
        def backward(ctx: Any, c: Tensor, _: Tensor, d: Tensor) -> Any:
            (x,) = ctx.saved_tensors
            return c * x.cos() + d * 2 * x

    verdict = check_torch_function(Both, tensor(4))
    assert found(verdict, "each output alone") == ""
    assert "4 entries agree" in found(verdict, "torch's tape")


def test_random_numbers_are_the_same_in_every_run_and_the_callers_are_left_alone() -> None:
    class Dropout(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            kept = torch.bernoulli(torch.full_like(x, 0.5))
            ctx.save_for_backward(kept)
            return x * kept

        @staticmethod
        def backward(ctx: Any, c: Tensor) -> Any:
            (kept,) = ctx.saved_tensors
            return c * kept

    before = torch.get_rng_state()
    assert check_torch_function(Dropout, tensor(20)).ok
    assert torch.equal(torch.get_rng_state(), before)


def test_the_arguments_come_out_as_they_went_in() -> None:
    x = tensor(4).requires_grad_()
    kept = x.detach().clone()
    check_torch_function(Exp, x)
    assert torch.equal(x, kept)
    assert x.grad is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_formulas_that_lose_digits_in_another_place_are_not_accused(dtype: torch.dtype) -> None:
    """1 - tanh² cancels, and torch's own tape with it; the stable form does not. Both are right."""
    x = torch.tensor([0.1, 1.0, 5.0, 8.0, 12.0, 25.0], dtype=dtype)

    def stable(c: Tensor, x: Tensor) -> Tensor:
        e = torch.exp(-2 * x.abs())
        return 4 * c * e / (1 + e) ** 2

    for backward in (stable, lambda c, x: c * (1 - torch.tanh(x) ** 2)):
        assert check_torch_function(made(torch.tanh, backward), x).ok


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 100.0])
def test_float32_is_not_accused_of_its_rounding(scale: float) -> None:
    """The truth is a tape in float64: what float32 loses, by cancellation and underflow too, is within the noise."""

    def log_softmax(x: Tensor) -> Tensor:
        z = x - x.max(-1, keepdim=True).values
        return z - z.exp().sum(-1, keepdim=True).log()

    def backward(c: Tensor, x: Tensor) -> Tensor:
        return c - torch.softmax(x, -1) * c.sum(-1, keepdim=True)

    verdict = check_torch_function(made(log_softmax, backward), tensor(6, 7, dtype=torch.float32) * scale)
    assert "42 entries agree" in found(verdict, "torch's tape")


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_any_derivative_between_the_one_sided_ones_will_do_at_a_kink(slope: float) -> None:
    x = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)

    def backward(c: Tensor, x: Tensor) -> Tensor:
        return c * torch.where(x == 0, slope, (x > 0).to(x.dtype))

    assert check_torch_function(made(torch.relu, backward), x).ok


# --- forwards that leave torch --------------------------------------------------------------------------------------


def through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.sin(x.detach().numpy()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_forward_in_numpy_is_compared_with_differences(dtype: torch.dtype) -> None:
    verdict = check_torch_function(made(through_numpy, lambda c, x: c * x.cos()), tensor(4, dtype=dtype))
    assert "its outputs do not require grad" in found(verdict, "differences")
    assert verdict.agreement is not None
    assert verdict.agreement.detection < 1e-8  # float32 too: the differences are then taken in float64

    def wrong(c: Tensor, x: Tensor) -> Tensor:
        return c * x.cos() * torch.tensor([1, 1, 1.0001, 1], dtype=x.dtype)

    message = refused(made(through_numpy, wrong, "Sin"), tensor(4, dtype=dtype))
    assert "Sin.backward: wrong" in message
    assert "1 of 4 entries differ" in message
    assert "x[2]: claimed" in message or "args[0][2]: claimed" in message


def test_a_tape_that_differences_do_not_confirm_is_not_the_truth() -> None:
    def forward(x: Tensor) -> Tensor:
        return x.detach() ** 2 * x

    verdict = check_torch_function(made(forward, lambda c, x: 3 * c * x**2), tensor(4))
    assert "differences of the forward do not confirm it" in found(verdict, "differences")
    assert "4 of 4 entries differ" in refused(made(forward, lambda c, x: c * x**2), tensor(4))


def test_a_straight_through_estimator_needs_a_truth_of_its_own() -> None:
    estimator = made(torch.round, lambda c, x: c, "Round")
    assert "4 of 4 entries differ" in refused(estimator, tensor(4))
    verdict = check_torch_function(estimator, tensor(4), truth=lambda x: x * 1)
    assert "4 entries agree" in found(verdict, "tape of truth")
    with pytest.raises(ValueError, match=r"truth: expected outputs of shapes \[\(4,\)\], as Round gives, got \[\(\)\]"):
        check_torch_function(estimator, tensor(4), truth=lambda x: x.sum())


# --- wrong ----------------------------------------------------------------------------------------------------------


class Swapped(Affine):
    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        x, w = ctx.saved_tensors
        dx = c @ w * ctx.scale if ctx.needs_input_grad[1] else None
        dw = c.t() @ x * ctx.scale if ctx.needs_input_grad[0] else None
        return dx, dw, c.sum(0), None


class NoBias(Affine):
    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        return *Affine.backward(ctx, c)[:2], None, None


class TooFew(Affine):
    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        return Affine.backward(ctx, c)[:2]


class ForTheNumber(Affine):
    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        return *Affine.backward(ctx, c)[:3], c.sum()


class Transposed(Affine):
    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        dx, dw, db, _ = Affine.backward(ctx, c)
        return dx, None if dw is None else dw.t(), db, None


class Counting(Exp):  # type: ignore[valid-type,misc]
    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        ctx.calls = getattr(ctx, "calls", 0) + 1
        return c * ctx.saved_tensors[0].exp() * ctx.calls


class OneOutputIgnored(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x.sin(), x.exp()

    @staticmethod
    def backward(ctx: Any, c: Tensor | None, d: Tensor | None) -> Any:
        (x,) = ctx.saved_tensors
        if c is None or d is None:
            return torch.zeros_like(x)
        return c * x.cos() + d * x.exp()


def off_by_a_little(c: Tensor, x: Tensor) -> Tensor:
    slope = c * torch.exp(x)
    slope[2] *= 1 + 1e-12
    return slope


def writes_into_cotangent(c: Tensor, x: Tensor) -> Tensor:
    return c.mul_(torch.exp(x))


def writes_into_input(x: Tensor) -> Tensor:
    y = x.exp()
    x.zero_()
    return y


def of_exp(backward: Callable[..., Any], name: str) -> type[Function]:
    return made(torch.exp, backward, name)


X = tensor(4)


@pytest.mark.parametrize(
    ("function", "args", "complaint"),
    [
        pytest.param(of_exp(off_by_a_little, "Off"), (X,), "1 of 4 entries differ", id="an-entry"),
        pytest.param(of_exp(lambda c, x: torch.exp(x), "Ones"), (X,), "4 of 4 entries differ", id="no-cotangent"),
        pytest.param(NoBias, AFFINE, "b[0]: claimed 0, true", id="None-where-needed"),
        pytest.param(Swapped, AFFINE, "another gradient where it is the only one that requires grad: x, w", id="needs"),
        pytest.param(TooFew, AFFINE, "expected 4 gradients, one for each argument of forward, got 2", id="too-few"),
        pytest.param(ForTheNumber, AFFINE, "gradient of scale: expected None for a float, got a tensor", id="number"),
        pytest.param(Transposed, AFFINE, "gradient of w: expected shape (2, 3), got (3, 2)", id="shape"),
        pytest.param(
            of_exp(lambda c, x: (c * x.exp()).float(), "Narrow"),
            (X,),
            "expected dtype torch.float64, got torch.float32",
            id="dtype",
        ),
        pytest.param(of_exp(lambda c, x: 1.0, "Number"), (X,), "expected a tensor or None, got float", id="no-tensor"),
        pytest.param(Counting, (X,), "another gradient from the same forward: it changes what it saved", id="second"),
        pytest.param(
            of_exp(writes_into_cotangent, "Writes"), (X,), "changed in place: a cotangent, by backward", id="cotangent"
        ),
        pytest.param(
            made(writes_into_input, lambda c, x: c, "Zeroes"), (X,), "inputs unchanged  WRONG  changed in", id="input"
        ),
        pytest.param(OneOutputIgnored, (X,), "the gradients of the outputs do not add up to that of all", id="outputs"),
        pytest.param(
            made(torch.sqrt, lambda c, x: c / x * x.sqrt() / 2, "Sqrt"),
            (torch.tensor([0.0, 4.0], dtype=torch.float64),),
            "the outputs are finite and the gradient is not",
            id="nan",
        ),
    ],
)
def test_planted_errors_are_found(function: type[Function], args: tuple[Any, ...], complaint: str) -> None:
    message = refused(function, *args)
    assert f"{function.__qualname__}.backward: wrong" in message
    assert complaint in message


def test_the_entry_is_named_with_both_values() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx: Any, c: Tensor) -> Any:
            (x,) = ctx.saved_tensors
            slope = 2 * c * x
            slope[1, 0] = -slope[1, 0]
            return slope

    message = refused(Square, tensor(2, 3))
    (line,) = [line for line in message.splitlines() if "x[1, 0]: claimed" in line]
    claimed, true = (float(number) for number in re.findall(r"(?:claimed|true) ([^,]+)", line))
    assert claimed == -true


def test_a_relative_error_that_the_noise_could_hide_is_below_what_the_verdict_claims_to_see() -> None:
    verdict = check_torch_function(Exp, tensor(4, dtype=torch.float32))
    assert verdict.agreement is not None
    seen = verdict.agreement.detection
    assert 1e-7 < seen < 1e-4
    assert check_torch_function(of_exp(lambda c, x: c * x.exp() * (1 + seen / 100), "Less"), X.float()).ok
    assert "4 of 4 entries differ" in refused(of_exp(lambda c, x: c * x.exp() * (1 + 2 * seen), "More"), X.float())


# --- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args", "error", "message"),
    [
        pytest.param(Exp.apply, (X,), TypeError, "function: expected the class, got Exp.apply", id="apply"),
        pytest.param(
            torch.exp, (X,), TypeError, "expected a subclass of torch.autograd.Function, got builtin", id="op"
        ),
        pytest.param(Function, (X,), TypeError, "expected a forward and a backward, got Function with", id="bare"),
        pytest.param(Exp, (torch.tensor([1, 2]),), ValueError, "expected at least one tensor of floats", id="integers"),
        pytest.param(
            Exp, (X.to(torch.complex128),), TypeError, "expected real tensors, got a complex one", id="complex"
        ),
    ],
)
def test_misuse_says_what_was_expected(
    function: Any, args: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        check_torch_function(function, *args)
    assert message in str(raised.value)


def test_what_the_function_raises_is_raised() -> None:
    def broken(c: Tensor, x: Tensor) -> Tensor:
        raise KeyError("saved")

    with pytest.raises(KeyError, match="saved"):
        check_torch_function(of_exp(broken, "Broken"), X)


def test_nothing_to_differentiate_is_undecided() -> None:
    with pytest.raises(UndecidedGradientError, match="there are no entries"):
        check_torch_function(Exp, torch.zeros(0, dtype=torch.float64))


def test_without_torch_the_rest_works_and_the_error_says_what_to_install() -> None:
    script = """
import sys
sys.modules["torch"] = None
import numpy as np
import oracles
print(oracles.check(lambda x: np.sum(x**2), lambda x: 2 * x, np.ones(2)).certified)
oracles.check_torch_function
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "True\n"
    assert "ImportError: oracles.torch_function needs torch: pip install 'backproof[torch]'" in done.stderr


def test_the_library_alone_imports_no_framework() -> None:
    script = "import sys, oracles; print([m for m in ('torch', 'jax') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
