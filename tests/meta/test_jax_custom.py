"""`check_custom_vjp` finds what is wrong with a JAX function's own derivative rule, and accuses no right one."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oracles import GradientError, check_custom_vjp
from oracles.checking import Verdict

Array = Any
ROOT = Path(__file__).parents[2]
X = np.array([-2.0, 0.5, 5.0, 40.0])


def made(forward: Callable[..., Any], backward: Callable[..., Any], name: str = "f") -> Any:
    """A custom_vjp of forward(*inputs), with the rule backward(c, *inputs)."""
    forward.__name__ = forward.__qualname__ = name
    function: Any = jax.custom_vjp(forward)
    function.defvjp(lambda *inputs: (function(*inputs), inputs), lambda saved, c: backward(c, *saved))
    return function


def softplus(x: Array) -> Array:
    return jnp.log1p(jnp.exp(x))


def refused(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(GradientError) as error:
        check_custom_vjp(*args, **kwargs)
    return str(error.value)


def found(verdict: Verdict, what: str) -> str:
    (evidence,) = [f.evidence for f in verdict.findings if f.what == what]
    return evidence


# --- right ----------------------------------------------------------------------------------------------------------


def test_a_right_rule_is_compared_and_said_not_to_be_proved() -> None:
    verdict = check_custom_vjp(made(softplus, lambda c, x: (c * jax.nn.sigmoid(x),), "softplus"), X)
    assert verdict.ok
    assert not verdict.certified
    assert str(verdict).startswith("softplus: right")
    assert [f.what for f in verdict.findings] == ["repeats", "value by the rule", "finite", "certificate", "jax.vjp"]
    assert found(verdict, "certificate").endswith("balls cannot run JAX, so this is compared and not proved")
    assert "4 entries agree to 15" in found(verdict, "jax.vjp")
    assert verdict.agreement is not None
    assert verdict.agreement.detection < 1e-13


def test_float32_is_compared_with_the_derivative_in_float64() -> None:
    verdict = check_custom_vjp(made(softplus, lambda c, x: (c * jax.nn.sigmoid(x),)), X.astype(np.float32))
    assert "4 entries agree" in found(verdict, "jax.vjp")
    assert verdict.agreement is not None
    assert 1e-7 < verdict.agreement.detection < 1e-4


def test_64_bits_are_on_for_float64_and_as_before_afterwards() -> None:
    seen = []

    def forward(x: Array) -> Array:
        seen.append(x.dtype)
        return x * x

    with jax.enable_x64(False):
        assert check_custom_vjp(made(forward, lambda c, x: (2 * c * x,)), X).ok
        assert jnp.asarray(X).dtype == np.float32
    assert set(seen) == {np.dtype(np.float64)}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 2))
def applied(f: Callable[[Array], Array], params: dict[str, Array], times: int) -> Array:
    return f(params["W"] @ params["x"]) * times


def applied_forward(f: Callable[[Array], Array], params: dict[str, Array], times: int) -> tuple[Array, Any]:
    return applied(f, params, times), params


def applied_backward(f: Callable[[Array], Array], times: int, params: dict[str, Array], c: Array) -> Any:
    (through,) = jax.vjp(f, params["W"] @ params["x"])[1](c * times)
    return ({"W": jnp.outer(through, params["x"]), "x": params["W"].T @ through},)


applied.defvjp(applied_forward, applied_backward)
PARAMS = {"W": np.random.default_rng(1).normal(size=(2, 3)), "x": np.random.default_rng(2).normal(size=3)}


def test_dicts_of_parameters_and_arguments_that_are_not_differentiated() -> None:
    assert "9 entries agree" in found(check_custom_vjp(applied, jnp.tanh, PARAMS, 2), "jax.vjp")


def product(factor: float) -> Any:
    """sin(x) y, with a forward-mode rule that multiplies dy by a factor too many."""

    @jax.custom_jvp
    def product(x: Array, y: Array) -> Array:
        return jnp.sin(x) * y

    @product.defjvp
    def rule(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
        (x, y), (dx, dy) = primals, tangents
        return product(x, y), jnp.cos(x) * dx * y + jnp.sin(x) * dy * factor

    return product


def test_a_custom_jvp() -> None:
    assert "8 entries agree" in found(check_custom_vjp(product(1.0), X, X + 1), "jax.vjp")
    message = refused(product(1 + 1e-9), X, X + 1)
    assert "4 of 8 entries differ" in message
    assert "y[0]: claimed" in message


def test_a_rule_that_looks_at_the_numbers() -> None:
    def forward(x: Array) -> Array:
        return x * 2 if x > 0 else x * 3

    assert "1 entry agrees" in found(check_custom_vjp(made(forward, lambda c, x: (c * 2,)), 0.5), "jax.vjp")


def test_a_kink_takes_any_derivative_between_the_one_sided_ones() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    verdict = check_custom_vjp(made(lambda x: jnp.maximum(x, 0), lambda c, x: (jnp.where(x < 0, 0, c),)), x)
    assert "kink: x[1]" in found(verdict, "jax.vjp")


# --- functions that JAX does not differentiate ----------------------------------------------------------------------


def loop(a: Array) -> Array:
    return jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.cos(s[1] * a)), (0, a))[1]


def loop_backward(c: Array, a: Array) -> tuple[Array]:
    y, slope = a, jnp.ones_like(a)
    for _ in range(3):
        y, slope = jnp.cos(y * a), -jnp.sin(y * a) * (slope * a + y)
    return (c * slope,)


def test_a_loop_that_cannot_run_backwards_is_differentiated_forwards() -> None:
    assert "1 entry agrees to 15" in found(check_custom_vjp(made(loop, loop_backward), 0.5), "jax.jvp")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_callback_is_compared_with_differences(dtype: Any) -> None:
    def forward(x: Array) -> Array:
        return jax.pure_callback(np.sin, x, x)  # the second x stands for the shape and dtype of the result

    x = X[:3].astype(dtype)
    verdict = check_custom_vjp(made(forward, lambda c, x: (c * jnp.cos(x),)), x)
    assert "Pure callbacks do not support JVP" in found(verdict, "differences")
    assert verdict.agreement is not None
    assert verdict.agreement.detection < 1e-8
    assert "3 of 3 entries differ" in refused(made(forward, lambda c, x: (c * jnp.cos(x) * 1.0001,)), x)


def test_a_derivative_that_differences_do_not_confirm_is_not_the_truth() -> None:
    def forward(x: Array) -> Array:
        return jax.lax.stop_gradient(x) ** 2 * x

    verdict = check_custom_vjp(made(forward, lambda c, x: (3 * c * x**2,)), X)
    assert "differences of the function do not confirm it" in found(verdict, "differences")
    assert "4 of 4 entries differ" in refused(made(forward, lambda c, x: (c * x**2,)), X)


def test_a_clipped_gradient_needs_a_truth_of_its_own() -> None:
    reverse = made(lambda x: x * 1, lambda c, x: (-c,), "reverse")
    assert "4 of 4 entries differ" in refused(reverse, X)
    assert "4 entries agree" in found(check_custom_vjp(reverse, X, truth=lambda x: -x), "vjp of truth")
    with pytest.raises(
        ValueError, match=r"truth: expected outputs of shapes \[\(4,\)\], as reverse gives, got \[\(\)\]"
    ):
        check_custom_vjp(reverse, X, truth=lambda x: x.sum())


# --- wrong ----------------------------------------------------------------------------------------------------------


def off_by_a_little(c: Array, x: Array) -> tuple[Array]:
    return ((c * jax.nn.sigmoid(x)).at[2].multiply(1 + 1e-12),)


def other_value() -> Any:
    function: Any = jax.custom_vjp(softplus)
    function.defvjp(lambda x: (softplus(x) * 1.001, x), lambda x, c: (c * jax.nn.sigmoid(x),))
    return function


@pytest.mark.parametrize(
    ("function", "args", "complaint"),
    [
        pytest.param(made(softplus, off_by_a_little), (X,), "x[2]: claimed", id="an-entry"),
        pytest.param(made(softplus, lambda c, x: (jax.nn.sigmoid(x),)), (X,), "4 of 4 entries differ", id="cotangent"),
        pytest.param(made(lambda x, y: x * y, lambda c, x, y: (c * y, None)), (X, X + 1), "y[0]: claimed 0", id="None"),
        pytest.param(
            other_value(), (X,), "the rule's forward gives another value than the function itself", id="value"
        ),
        pytest.param(
            made(lambda x, y: x * y, lambda c, x, y: (c * y,)), (X, X), "must produce a tuple of length", id="too-few"
        ),
        pytest.param(
            made(softplus, lambda c, x: ((c * jax.nn.sigmoid(x))[:2],)), (X,), "so the shapes do not match", id="shape"
        ),
        pytest.param(
            made(jnp.sqrt, lambda c, x: (c * jnp.sqrt(x) / x / 2,)),
            (np.array([0.0, 4.0]),),
            "the outputs are finite and the gradient is not: x",
            id="nan",
        ),
    ],
)
def test_planted_errors_are_found(function: Any, args: tuple[Any, ...], complaint: str) -> None:
    message = refused(function, *args)
    assert f"{function.__qualname__}: wrong" in message
    assert complaint in message


def test_an_entry_of_a_dict_is_named_by_its_path() -> None:
    def forward(params: dict[str, Array]) -> Array:
        return params["W"] @ params["x"]

    def backward(c: Array, params: dict[str, Array]) -> tuple[dict[str, Array]]:
        return ({"W": jnp.outer(c, params["x"]).at[1, 2].add(1e-9), "x": params["W"].T @ c},)

    message = refused(made(forward, backward, "product"), PARAMS)
    assert "product: wrong" in message
    assert "1 of 9 entries differ" in message
    assert "params['W'][1, 2]: claimed" in message


# --- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args", "error", "message"),
    [
        pytest.param(jnp.sin, (X,), TypeError, "expected a jax.custom_vjp or jax.custom_jvp function", id="plain"),
        pytest.param(jax.jit(applied, static_argnums=(0, 2)), (X,), TypeError, "pass what it wraps", id="jit"),
        pytest.param(jax.custom_vjp(softplus), (X,), TypeError, "to have a rule; call", id="no-rule"),
        pytest.param(made(softplus, off_by_a_little), (1, 2), ValueError, "at least one float or array", id="integers"),
    ],
)
def test_misuse_says_what_was_expected(
    function: Any, args: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        check_custom_vjp(function, *args)
    assert message in str(raised.value)


def test_what_the_rule_raises_is_raised() -> None:
    def broken(c: Array, x: Array) -> Any:
        raise KeyError("saved")

    with pytest.raises(KeyError, match="saved"):
        check_custom_vjp(made(softplus, broken), X)


def test_without_jax_the_rest_works_and_the_error_says_what_to_install() -> None:
    script = """
import sys
sys.modules["jax"] = None
import numpy as np
import oracles
print(oracles.check(lambda x: np.sum(x**2), lambda x: 2 * x, np.ones(2)).certified)
oracles.check_custom_vjp
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "True\n"
    assert "ImportError: oracles.jax_custom needs jax: pip install 'backproof[jax]'" in done.stderr
