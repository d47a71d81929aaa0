"""Monte Carlo arithmetic in JAX: a traced function is run operation by operation, each that rounds moved at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracles.measured import Noise
from oracles.trial import Array

try:
    import jax.numpy as jnp
    from jax.extend.core import ClosedJaxpr, Literal
except ImportError as missing:
    raise ImportError(
        f"oracles.jax_noise needs jax: pip install 'backproof[jax]' ({missing})", name=missing.name
    ) from missing

__all__ = ["moved", "noisy"]

# fmt: off
_EXACT = frozenset((
    "abs", "argmax", "argmin", "bitcast_convert_type", "broadcast_in_dim", "clamp", "concatenate",
    "convert_element_type", "copy", "copy_p", "cummax", "cummin", "device_put", "dynamic_slice",
    "dynamic_update_slice", "expand_dims", "floor", "ceil", "gather", "imag", "iota", "max", "min", "neg", "nextafter",
    "optimization_barrier", "pad", "real", "reduce_max", "reduce_min", "reduce_precision", "reshape", "rev", "round",
    "scatter", "select_n", "sign", "slice", "sort", "split", "squeeze", "stop_gradient", "top_k", "transpose",
))
# fmt: on
"""Operations that do not round. All others are taken to: one that does not would only widen a tolerance."""
_CALLS = frozenset(
    ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint", "remat2")
)


def noisy(traced: Any, args: Sequence[Any], noise: Noise) -> list[Array]:
    """The results of what `jax.make_jaxpr` traced, with every operand and result of its operations moved at random."""
    return [np.asarray(r) for r in _evaluated(traced, [moved(a, noise) for a in args], noise)]


def moved(value: Any, noise: Noise) -> Any:
    """An array with every element moved by up to a unit in its last place; the value itself if it holds no floats."""
    if not _is_float(dtype := getattr(value, "dtype", None)):
        return value
    array = np.asarray(value)
    info: Any = jnp.finfo(dtype)  # type: ignore[no-untyped-call]
    factor = np.asarray(noise.factor(array.shape, float(info.eps))).astype(dtype)
    return np.asarray(array * factor)


def _is_float(dtype: Any) -> bool:
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.floating))


def _evaluated(closed: Any, args: Sequence[Any], noise: Noise) -> list[Any]:
    jaxpr = closed.jaxpr
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        results = _results(equation, [read(atom) for atom in equation.invars], noise)
        known |= dict(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _results(equation: Any, args: list[Any], noise: Noise) -> Sequence[Any]:
    primitive, params = equation.primitive, equation.params
    if primitive.name in _CALLS:
        inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
        return _evaluated(inner if hasattr(inner, "consts") else ClosedJaxpr(inner, ()), args, noise)
    if primitive.name in _CONTROL:
        return _CONTROL[primitive.name](params, args, noise)
    compares = not any(_is_float(variable.aval.dtype) for variable in equation.outvars)
    exact = compares or primitive.name in _EXACT or primitive.name.startswith("random_")
    given = args if exact else [moved(a, noise) for a in args]
    made = primitive.bind(*given, **primitive.get_bind_params(params))
    results = list(made) if primitive.multiple_results else [made]
    return results if exact else [moved(r, noise) for r in results]


# --- loops and branches, on values that are known -------------------------------------------------------------------


def _cond(params: Any, args: list[Any], noise: Noise) -> Sequence[Any]:
    branches = params["branches"]
    index = min(max(int(args[0]), 0), len(branches) - 1)
    return _evaluated(branches[index], args[1:], noise)


def _while(params: Any, args: list[Any], noise: Noise) -> Sequence[Any]:
    of_test, of_body = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    carry: Sequence[Any] = args[of_body:]
    while bool(_evaluated(params["cond_jaxpr"], [*args[:of_test], *carry], noise)[0]):
        carry = _evaluated(params["body_jaxpr"], [*args[of_test:of_body], *carry], noise)
    return carry


def _scan(params: Any, args: list[Any], noise: Noise) -> Sequence[Any]:
    consts, carried = params["num_consts"], params["num_carry"]
    fixed, carry, stacked = args[:consts], args[consts : consts + carried], args[consts + carried :]
    length, body = params["length"], params["jaxpr"]
    steps = range(length - 1, -1, -1) if params["reverse"] else range(length)
    rows: list[Any] = [None] * length
    for i in steps:
        made = _evaluated(body, [*fixed, *carry, *(np.asarray(s)[i] for s in stacked)], noise)
        carry, rows[i] = made[:carried], made[carried:]
    shapes = [v.aval for v in body.jaxpr.outvars[carried:]]
    columns = [
        np.stack([row[k] for row in rows]) if length else np.zeros((0, *s.shape), s.dtype) for k, s in enumerate(shapes)
    ]
    return [*carry, *columns]


_CONTROL: dict[str, Callable[[Any, list[Any], Noise], Sequence[Any]]] = {"cond": _cond, "while": _while, "scan": _scan}
