"""`check_torch_function`: a `torch.autograd.Function`, whose backward is written by hand.

Balls cannot run torch, so nothing is proved here. The truth is torch's own tape through the operations of the
function's forward, where differences of the forward confirm it; where the forward leaves torch (NumPy, `detach`, a
kernel), the differences themselves. See `oracles.measured` for the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracles.agreement import Agreement, compare
from oracles.certificate import Certificate, Ruling
from oracles.checking import Finding, Result, Verdict, judged, settled
from oracles.measured import Measured, Point, agreement_with, agreement_with_differences, confirms, measured
from oracles.trial import Array, ContractError

try:
    import torch

    from oracles.torch_point import (
        Call,
        Function,
        NoTapeError,
        TorchPoint,
        as_array,
        as_tuple,
        detached,
        has_setup_context,
        slopes,
    )
except ImportError as missing:
    raise ImportError(
        f"oracles.torch_function needs torch: pip install 'backproof[torch]' ({missing})", name=missing.name
    ) from missing

__all__ = ["check_torch_function", "examine_torch_function"]

_MOST_ALONE = 8


def check_torch_function(
    function: type[Function], *args: Any, truth: Callable[..., Any] | None = None, seed: int = 0
) -> Verdict:
    """Check the backward of a `torch.autograd.Function` at a point, for random cotangents of all its outputs.

    `args` are those of `function.apply`: tensors, and anything else. Differentiated are the tensors of real floats
    that require grad, or all of them if none does. Both styles of forward will do, with ctx and with setup_context.

    Compared, and not proved: with torch's tape through the operations of the forward itself, run with a stand-in for
    ctx (in float64, if the forward takes that), or with the tape of `truth(*args)`, a plain torch function, if one is
    given. A function that is meant to have another gradient than its forward (a straight-through estimator) needs one.
    Differences of the forward must confirm the tape; where they do not, or there is none, they are what it is compared
    with. The tolerance of every entry is measured, and the verdict says what it could have missed.

    Also looks for changed inputs and cotangents, other results in a second run and in a second backward, gradients of
    the wrong number, shape or dtype, and None where one is needed; and tries every input and every output on its own.
    Random numbers are drawn from the same seed in every run. The backward of the backward is not checked.

    Returns a Verdict. Raises GradientError and UndecidedGradientError as `oracles.check` does, TypeError and ValueError
    for arguments that do not fit, and what the function itself raises.
    """
    __tracebackhide__ = True
    return settled(examine_torch_function(function, args, truth, seed))


def examine_torch_function(
    function: type[Function], args: Sequence[Any], truth: Callable[..., Any] | None = None, seed: int = 0
) -> Verdict:
    """The verdict of `check_torch_function` as data: nothing is raised for a wrong gradient."""
    rule = _rule(function)
    subject = f"{function.__qualname__}.{rule}"
    try:
        point = TorchPoint.of(function, args, seed)
        findings = list(_conduct(point, rule))
    except ContractError as error:
        return Verdict(subject, (Finding("contract", Result.BAD, str(error)),))
    claimed = _tape(point, point.apply)
    findings += _on_their_own(point, claimed)
    nothing = Certificate(Ruling.NOT_CERTIFIABLE, reason="balls cannot run torch, so this is compared and not proved")
    findings.append(Finding("certificate", Result.NOTE, str(nothing)))
    agreement, finding = _compared(point, claimed, truth)
    return Verdict(subject, (*findings, finding), nothing, agreement)


def _rule(function: Any) -> str:
    """The name under which the derivative is written: backward, or its alias vjp."""
    if isinstance(owner := getattr(function, "__self__", None), type):
        raise TypeError(f"function: expected the class, got {owner.__name__}.apply; leave out .apply")
    if not isinstance(function, type) or not issubclass(function, Function):
        came = function.__name__ if isinstance(function, type) else type(function).__name__
        raise TypeError(f"function: expected a subclass of torch.autograd.Function, got {came}")
    own = [name for name in ("forward", "backward", "vjp") if getattr(function, name) is not getattr(Function, name)]
    if "forward" not in own or len(own) == 1:
        raise TypeError(f"function: expected a forward and a backward, got {function.__name__} with {own or 'neither'}")
    return own[1]


# --- how it behaves -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """One call of the hand-written backward: its cotangents, and copies of them that were made before."""

    cotangents: Sequence[torch.Tensor | None]
    copies: Sequence[torch.Tensor | None]


def _conduct(point: TorchPoint, rule: str) -> Iterator[Finding]:
    """Everything but the numbers. Raises ContractError for a result that cannot be a gradient."""
    calls: list[_Call] = []
    recorded = _recorded(point, rule, calls)
    with point.same_random_numbers(), torch.enable_grad():
        leaves = point.leaves()
        arguments = point.arguments(leaves)
        before = [detached(a) for a in arguments]
        made = as_tuple(recorded.apply(*arguments))  # type: ignore[no-untyped-call]
        finite = all(bool(made[k].isfinite().all()) for k in point.outputs)
        changed = [
            name
            for name, a, b in zip(point.names, arguments, before, strict=True)
            if isinstance(a, torch.Tensor) and not _same(a, b) and not any(out is a for out in made)
        ]
        scalars = point.scalars(made)
        first = slopes(scalars, leaves, keep=True)
        again = _second_backward(scalars, leaves, first)
    if not all(map(_same, calls[0].cotangents, calls[0].copies)):
        changed.append(f"a cotangent, by {rule}")
    arrays = [as_array(slope, leaf) for slope, leaf in zip(first, leaves, strict=True)]
    repeats = all(map(_equal, arrays, point.gradients(point.apply)))
    parameters = [point.names[i] for i in point.wrt]
    lost = [n for n, a in zip(parameters, arrays, strict=True) if finite and not np.isfinite(a).all()]
    yield judged("inputs unchanged", not changed, "", f"changed in place: {', '.join(changed)}")
    yield judged("repeats", repeats, "bit for bit", "a second run on the same inputs gives other bits")
    yield again
    yield judged("finite", not lost, "", f"the outputs are finite and the gradient is not: {', '.join(lost)}")


def _recorded(point: TorchPoint, rule: str, calls: list[_Call]) -> type[Function]:
    """The function, with a backward that notes how it is called and what it gives."""
    by_hand = getattr(point.function, rule)

    def backward(ctx: Any, *cotangents: torch.Tensor | None) -> Any:
        copies = [detached(c) for c in cotangents]
        made = by_hand(ctx, *cotangents)
        calls.append(_Call(cotangents, copies))
        _check_returned(point, rule, made)
        return made

    return type(point.function.__name__, (point.function,), {rule: staticmethod(backward)})


def _check_returned(point: TorchPoint, rule: str, made: Any) -> None:
    """Raises ContractError for what torch refuses with less detail, and for a precision that it would fill up."""
    parts = as_tuple(made)
    count = len(point.args)
    if len(parts) < count or any(part is not None for part in parts[count:]):
        raise ContractError(f"{rule}: expected {count} gradients, one for each argument of forward, got {len(parts)}")
    for i, (name, part, argument) in enumerate(zip(point.names, parts, point.args, strict=False)):
        if part is None:
            continue
        if not isinstance(argument, torch.Tensor):
            raise ContractError(f"gradient of {name}: expected None for a {type(argument).__name__}, got {_kind(part)}")
        if i not in point.wrt:
            continue
        if not isinstance(part, torch.Tensor):
            raise ContractError(f"gradient of {name}: expected a tensor or None, got {_kind(part)}")
        if not _reduces_to(part.shape, argument.shape):
            came, has = tuple(part.shape), tuple(argument.shape)
            raise ContractError(f"gradient of {name}: expected shape {has}, got {came}")
        if not part.is_floating_point() or torch.finfo(part.dtype).eps > torch.finfo(argument.dtype).eps:
            raise ContractError(f"gradient of {name}: expected dtype {argument.dtype}, got {part.dtype}")


def _kind(value: Any) -> str:
    return "a tensor" if isinstance(value, torch.Tensor) else type(value).__name__


def _reduces_to(shape: torch.Size, wanted: torch.Size) -> bool:
    """Whether torch sums a gradient of this shape to the wanted one: it was broadcast from that."""
    try:
        return np.broadcast_shapes(tuple(shape), tuple(wanted)) == tuple(shape)
    except ValueError:
        return False


def _second_backward(
    scalars: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor], first: Sequence[torch.Tensor | None]
) -> Finding:
    what = "second backward"
    kept = [detached(slope) for slope in first]
    try:
        second = slopes(scalars, leaves)
    except Exception as error:  # of any kind: a ctx that can be used once only says so
        return Finding(what, Result.NOTE, f"not possible after one forward: {type(error).__name__}: {error}")
    same = all(map(_same, kept, second))
    return judged(what, same, "the same", "another gradient from the same forward: it changes what it saved")


def _same(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _equal(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def _on_their_own(point: TorchPoint, claimed: Measured) -> Iterator[Finding]:
    """Whether the gradient is the same where fewer inputs require grad, and adds up where fewer outputs are used."""
    sizes = [p.numel() for p in point.parameters]
    if 1 < len(sizes) <= _MOST_ALONE:
        parts = np.split(np.arange(claimed.values.size), np.cumsum(sizes)[:-1])
        bad = []
        for k, part in enumerate(parts):
            one = point.gradients(point.apply, inputs=[k])[k].ravel()
            if not compare(one, claimed.values[part], 2 * claimed.spread[part]).agrees:
                bad.append(point.names[point.wrt[k]])
        text = f"another gradient where it is the only one that requires grad: {', '.join(bad)}"
        yield judged("each input alone", not bad, "", text)
    if 1 < len(point.outputs) <= _MOST_ALONE:
        alone = [_alone(point, j) for j in range(len(point.outputs))]
        total, spread = np.sum([a.values for a in alone], axis=0), np.sum([a.spread for a in alone], axis=0)
        good = compare(total, claimed.values, spread + claimed.spread).agrees
        yield judged("each output alone", good, "", "the gradients of the outputs do not add up to that of all")


def _alone(point: TorchPoint, output: int) -> Measured:
    return measured(lambda noise: point.gradients(point.apply, noise, outputs=[output]), point.precision, point.seed)


# --- what it is compared with ---------------------------------------------------------------------------------------


def _compared(point: TorchPoint, claimed: Measured, truth: Callable[..., Any] | None) -> tuple[Agreement, Finding]:
    reason, wide = "", point.in_float64()
    if truth is not None:
        _check_truth(point, truth)
        return agreement_with(_tape(point, truth), claimed, point.numerical(truth), "tape of truth")
    forward = _on_stand_in(point)
    for tried in (wide, point) if point.precision != wide.precision else (point,):
        found = _confirmed_tape(tried, forward, point)
        if isinstance(found, Measured):
            return agreement_with(found, claimed, tried.numerical(forward), "torch's tape")
        reason = found
    return agreement_with_differences(claimed, point.numerical(point.apply), reason, _in_float64(point))


def _tape(point: TorchPoint, forward: Call) -> Measured:
    """The gradient that autograd finds: by the function's own backward, if `forward` is its apply."""
    return measured(lambda noise: point.gradients(forward, noise), point.precision, point.seed)


def _confirmed_tape(point: TorchPoint, forward: Call, original: TorchPoint) -> Measured | str:
    """The gradient by torch's tape, or why there is none that can be trusted."""
    try:
        if point is not original and not _same_values(point, forward, original):
            return "the forward gives other values in float64"
        found = _tape(point, forward)
    except Exception as error:  # of any kind: whatever stops the tape is the reason that is told
        told = str(error) if isinstance(error, NoTapeError) else f"{type(error).__name__}: {error}"
        return f"torch's tape cannot follow the forward: {told}"
    if not confirms(found.values, point.numerical(forward), point.seed):
        return "torch's tape is not used: differences of the forward do not confirm it, as where it leaves the tape"
    return found


def _in_float64(point: TorchPoint) -> tuple[Measured, Point] | None:
    """What the function itself claims in float64, if it takes that and gives the same values there."""
    wide = point.in_float64()
    if wide.precision == point.precision:
        return None
    try:
        if not _same_values(wide, wide.apply, point):
            return None
        return _tape(wide, wide.apply), wide.numerical(wide.apply)
    except Exception:  # of any kind: then it does not take float64
        return None


def _same_values(point: TorchPoint, forward: Call, original: TorchPoint) -> bool:
    own = measured(
        lambda noise: [v.cpu().numpy() for v in original.values(original.apply, noise=noise)],
        original.precision,
        original.seed,
    )
    wide = np.concatenate([v.cpu().numpy().ravel() for v in point.values(forward)])
    return compare(own.values, wide, own.spread).agrees


def _on_stand_in(point: TorchPoint) -> Call:
    """The function's forward as a plain function, with something in the place of ctx."""
    function = point.function
    if has_setup_context(function):
        return function.forward
    needs = tuple(i in point.wrt for i in range(len(point.args)))
    return lambda *args: function.forward(_Context(needs), *args)


class _Context:
    """What a forward finds in its ctx: it may set any attribute, and nothing that it saves is used."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None: ...

    def mark_dirty(self, *tensors: Any) -> None: ...

    def mark_non_differentiable(self, *tensors: Any) -> None: ...

    def set_materialize_grads(self, value: bool) -> None: ...


def _check_truth(point: TorchPoint, truth: Callable[..., Any]) -> None:
    with point.same_random_numbers(), torch.no_grad():
        made = as_tuple(truth(*point.arguments(point.parameters)))
    shapes = [tuple(made[k].shape) if k < len(made) else None for k in point.outputs]
    expected = [tuple(c.shape) for c in point.cotangents]
    if shapes != expected:
        name = point.function.__name__
        raise ValueError(f"truth: expected outputs of shapes {expected}, as {name} gives, got {shapes}")
