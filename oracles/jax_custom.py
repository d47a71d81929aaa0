"""`check_custom_vjp`: a JAX function with a derivative rule of its own, `jax.custom_vjp` or `jax.custom_jvp`.

Balls cannot run JAX, so nothing is proved here. The truth is JAX's own derivative of the function that the rule was
attached to, where differences of that function confirm it; where JAX cannot differentiate it, the differences
themselves. See `oracles.measured` for the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from oracles.agreement import Agreement, compare
from oracles.certificate import Certificate, Ruling
from oracles.checking import Finding, Result, Verdict, judged, name_of, settled
from oracles.measured import Measured, Point, agreement_with, agreement_with_differences, confirms, measured
from oracles.trial import ContractError

try:
    import jax

    from oracles.jax_point import Call, JaxPoint
except ImportError as missing:
    raise ImportError(
        f"oracles.jax_custom needs jax: pip install 'backproof[jax]' ({missing})", name=missing.name
    ) from missing

__all__ = ["check_custom_vjp", "examine_custom_vjp"]

_RULES = ("Custom VJP", "Custom JVP", "custom_vjp", "custom_jvp")
"""What JAX's own complaints of a rule speak of."""


def check_custom_vjp(function: Any, *args: Any, truth: Callable[..., Any] | None = None, seed: int = 0) -> Verdict:
    """Check the derivative rule of a `jax.custom_vjp` or `jax.custom_jvp` function, for random cotangents.

    `args` are the function's own. Differentiated are all floats in them: arrays, numbers, and those in dicts, lists and
    other pytrees, but not in arguments of `nondiff_argnums`. A float64 among them, which NumPy's are, turns JAX's 64
    bits on for the check.

    Compared, and not proved: with `jax.vjp` of the function that the rule belongs to (in float64, if it takes that), in
    forward mode where there is a loop that cannot run backwards, or with `jax.vjp` of `truth`, a plain JAX function, if
    one is given. A function that is meant to have another gradient than its own (clipped, straight through) needs one.
    Differences must confirm JAX's derivative; where they do not, or there is none, they are what it is compared with.
    The tolerance of every entry is measured, and the verdict says what it could have missed.

    Also looks for a forward rule that gives another value than the function, for other results in a second run, and for
    gradients of the wrong structure, shape or dtype.

    Returns a Verdict. Raises GradientError and UndecidedGradientError as `oracles.check` does, TypeError and ValueError
    for arguments that do not fit, and what the function itself raises.
    """
    __tracebackhide__ = True
    return settled(examine_custom_vjp(function, args, truth, seed))


def examine_custom_vjp(
    function: Any, args: Sequence[Any], truth: Callable[..., Any] | None = None, seed: int = 0
) -> Verdict:
    """The verdict of `check_custom_vjp` as data: nothing is raised for a wrong gradient."""
    _check_function(function)
    subject = name_of(function)
    try:
        point = JaxPoint.of(function, args, seed)
        findings = list(_conduct(point))
    except ContractError as error:
        return Verdict(subject, (Finding("contract", Result.BAD, str(error)),))
    claimed = measured(point.gradients(function), point.precision, seed)
    nothing = Certificate(Ruling.NOT_CERTIFIABLE, reason="balls cannot run JAX, so this is compared and not proved")
    agreement, finding = _compared(point, claimed, truth)
    rows = (*findings, Finding("certificate", Result.NOTE, str(nothing)), finding)
    return Verdict(subject, rows, nothing, agreement)


def _check_function(function: Any) -> None:
    if not isinstance(function, jax.custom_vjp | jax.custom_jvp):
        inner = getattr(function, "__wrapped__", None) or getattr(function, "func", None)
        hint = "; pass what it wraps" if isinstance(inner, jax.custom_vjp | jax.custom_jvp) else ""
        came = f"{type(function).__name__} {getattr(function, '__name__', '')}".strip()
        raise TypeError(f"function: expected a jax.custom_vjp or jax.custom_jvp function, got {came}{hint}")
    if (function.fwd if isinstance(function, jax.custom_vjp) else function.jvp) is None:
        rule = "defvjp(fwd, bwd)" if isinstance(function, jax.custom_vjp) else "defjvp(rule)"
        raise TypeError(f"function: expected {name_of(function)} to have a rule; call {name_of(function)}.{rule} first")


def _conduct(point: JaxPoint) -> Iterator[Finding]:
    """Everything but the gradient's numbers. Raises ContractError for a result that JAX does not take for one."""
    evaluate = point.gradients(point.function)
    try:
        first = evaluate(None)
    except (TypeError, ValueError) as error:
        if any(rule in str(error) for rule in _RULES):
            raise ContractError(str(error).split("\n\n")[0]) from error
        raise
    repeats = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, evaluate(None), strict=True))
    yield judged("repeats", repeats, "bit for bit", "a second run on the same inputs gives other bits")
    own = measured(point.values(point.function.fun), point.precision, point.seed)
    by_rule = _values_by_rule(point)
    same = compare(by_rule, own.values, own.spread).agrees
    yield judged("value by the rule", same, "", "the rule's forward gives another value than the function itself")
    lost = [n for n, a in zip(point.names, first, strict=True) if not np.isfinite(a).all()]
    lost = lost if np.isfinite(own.values).all() else []
    yield judged("finite", not lost, "", f"the outputs are finite and the gradient is not: {', '.join(lost)}")


def _values_by_rule(point: JaxPoint) -> np.ndarray[Any, Any]:
    with point.settings():
        made, _ = jax.vjp(lambda given: point.outs(point.function, given), list(point.parameters))
        return np.concatenate([np.ravel(np.asarray(out).astype(np.float64)) for out in made])


# --- what it is compared with ---------------------------------------------------------------------------------------


def _compared(point: JaxPoint, claimed: Measured, truth: Call | None) -> tuple[Agreement, Finding]:
    if truth is not None:
        _check_truth(point, truth)
        found = measured(point.gradients(truth), point.precision, point.seed)
        return agreement_with(found, claimed, point.numerical(truth), "vjp of truth")
    wide, primal, reasons = point.in_float64(), point.function.fun, []
    for tried in (wide, point) if point.precision != wide.precision else (point,):
        for what in ("jax.vjp", "jax.jvp"):
            derived = _confirmed(tried, what, point)
            if isinstance(derived, Measured):
                return agreement_with(derived, claimed, tried.numerical(primal), what)
            reasons.append(derived)
    return agreement_with_differences(claimed, point.numerical(primal), reasons[0], _in_float64(point))


def _confirmed(point: JaxPoint, what: str, original: JaxPoint) -> Measured | str:
    """JAX's own derivative, or why there is none that can be trusted."""
    primal = point.function.fun
    try:
        if point is not original and not _same_values(point, original):
            return "the function gives other values in float64"
        evaluate = point.gradients(primal) if what == "jax.vjp" else point.gradients_forward(primal)
        found = measured(evaluate, point.precision, point.seed)
    except Exception as error:  # of any kind: whatever stops JAX is the reason that is told
        return f"{what} cannot follow the function: {type(error).__name__}: {str(error).splitlines()[0]}"
    if not confirms(found.values, point.numerical(primal), point.seed):
        return f"{what} is not used: differences of the function do not confirm it, as with stop_gradient"
    return found


def _in_float64(point: JaxPoint) -> tuple[Measured, Point] | None:
    """What the rule claims in float64, if the function takes that and gives the same values there."""
    wide = point.in_float64()
    if wide.precision == point.precision:
        return None
    try:
        if not _same_values(wide, point):
            return None
        return measured(wide.gradients(wide.function), wide.precision, wide.seed), wide.numerical(wide.function.fun)
    except Exception:  # of any kind: then it does not take float64
        return None


def _same_values(point: JaxPoint, original: JaxPoint) -> bool:
    own = measured(original.values(original.function.fun), original.precision, original.seed)
    wide = np.concatenate([np.ravel(v) for v in point.values(point.function.fun)(None)])
    return compare(own.values, wide, own.spread).agrees


def _check_truth(point: JaxPoint, truth: Call) -> None:
    with point.settings():
        made = jax.tree.leaves(truth(*point.arguments(point.parameters)))
    shapes = [tuple(made[k].shape) if k < len(made) else None for k in point.outputs]
    expected = [tuple(c.shape) for c in point.cotangents]
    if shapes != expected:
        name = name_of(point.function)
        raise ValueError(f"truth: expected outputs of shapes {expected}, as {name} gives, got {shapes}")
