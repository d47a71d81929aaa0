"""What is tried: a scalar per sample, the gradient claimed for it, and the point. One shape for losses and layers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from oracles.ball import BallArray, lift
from oracles.leftovers import leave_no_balls
from oracles.tree import is_float_leaf, leaves, map_leaves, match, of_kind, replace_leaves

Array = np.ndarray[Any, Any]


class ContractError(ValueError):
    """What the subject returned cannot be a gradient of what it computes: wrong structure, shape or type."""


@dataclass(frozen=True)
class Trial:
    """A subject at a point.

    `value(args)` has shape B (one number per sample; B = () for a scalar loss) and `gradient(args)` gives, for every
    float leaf of the arguments `wrt`, an array of shape B + core, where the leaf has shape core (shared by the samples)
    or B + core (one slice per sample).
    """

    subject: tuple[Any, ...]
    """What runs, for `oracles.subject.on_balls`: callables, and objects whose methods are called."""
    value: Callable[[Sequence[Any]], Any]
    gradient: Callable[[Sequence[Any]], list[Any]]
    args: tuple[Any, ...]
    wrt: tuple[int, ...]
    gradient_needs_value: bool = False
    """Whether `value` has to be called before `gradient` at the same arguments, since it leaves a cache behind."""
    labels: tuple[str, ...] = ()
    """What each argument is called, where the signature of the first of `subject` does not say."""
    pullback: Callable[[Sequence[Any]], tuple[list[Any], Callable[[], list[Any]]]] | None = None
    """Of a layer: runs its forward, and gives the cotangents and a call that runs its backward on them, any number of
    times on what that one forward left behind."""

    @cached_property
    def names(self) -> list[str]:
        """What each differentiated leaf is called: the parameter's own name, with its path in a container."""
        roots = [self.labels[i] for i in self.wrt] if self.labels else _roots(self.subject[0], self.wrt)
        return [root + path for root, i in zip(roots, self.wrt, strict=True) for path, _ in leaves(self.args[i])]

    @cached_property
    def parameters(self) -> list[Array]:
        """The differentiated leaves, as float arrays."""
        return [np.asarray(leaf) for i in self.wrt for _, leaf in leaves(self.args[i])]

    def arguments(self, parameters: Sequence[Any] | None = None, lifted: bool = True) -> tuple[Any, ...]:
        """Fresh arguments: on balls or as floats, with the differentiated leaves replaced if any are given."""
        convert = lift if lifted else _copy
        args = [map_leaves(convert, a) for a in self.args]
        if parameters is not None:
            rest = list(parameters)
            for i in self.wrt:
                count = sum(1 for _ in leaves(self.args[i]))
                args[i] = replace_leaves(args[i], rest[:count])
                del rest[:count]
        return tuple(args)

    def leave_floats(self) -> None:
        """Run once more on floats, so that objects that keep what they computed do not hold balls afterwards."""
        leave_no_balls(self.subject)  # what it adds to would pass them on
        with np.errstate(all="ignore"):
            self.value(self.arguments(lifted=False))
            self.gradient(self.arguments(lifted=False))

    def take(self, samples: Array) -> Trial:
        """The same trial on some of its samples only. Requires `separable`."""
        return replace(self, args=tuple(_map_arrays(lambda array: array[samples], a) for a in self.args))

    def separable(self, batch: tuple[int, ...]) -> bool:
        """Whether every array argument has the one batch axis in front, so that samples can be tried on their own."""
        arrays = [a for arg in self.args for a in _arrays(arg)]
        return len(batch) == 1 and all(a.ndim >= 1 and a.shape[0] == batch[0] for a in arrays)


def _parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def _roots(function: Callable[..., Any], positions: Sequence[int]) -> list[str]:
    """What the arguments at these positions are called."""
    parameters = _parameter_names(function)
    return [parameters[i] if i < len(parameters) else f"args[{i}]" for i in positions]


def _copy(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _arrays(value: Any) -> list[Array]:
    found: list[Array] = []
    _map_arrays(found.append, value)
    return found


def _map_arrays(function: Callable[[Array], Any], value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, dict):
        return {k: _map_arrays(function, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return of_kind(value, (_map_arrays(function, v) for v in value))
    return value


def as_floats(value: Any) -> Any:
    """The same structure with whole numbers as floats, which can be differentiated by. Arrays are handed through."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Mapping):
        return {key: as_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return of_kind(value, (as_floats(item) for item in value))
    return value


def _checked_wrt(args: Sequence[Any], wrt: int | Sequence[int]) -> tuple[int, ...]:
    for i, argument in enumerate(args):
        for path, leaf in leaves(argument):
            if isinstance(leaf, np.matrix | np.ma.MaskedArray):
                kind = type(leaf).__name__
                raise TypeError(f"args[{i}]{path}: expected a plain array, got {kind}; pass np.asarray of it")
    positions = tuple(wrt) if isinstance(wrt, Iterable) else (wrt,)
    for i in positions:
        if not isinstance(i, int | np.integer) or not -len(args) <= i < len(args):
            raise ValueError(f"wrt: expected positions of the {len(args)} arguments, got {i!r}")
        for path, leaf in leaves(args[i]):
            if np.result_type(leaf) == np.float16:
                raise TypeError(f"args[{i}]{path}: expected float64 or float32, got float16; pass .astype(np.float64)")
        if not any(True for _ in leaves(args[i])):
            kind = f"{type(args[i]).__name__} {getattr(args[i], 'dtype', '')}".strip()
            raise ValueError(f"wrt: argument {i} ({kind}) has no float array to differentiate by; give a float64 array")
    found = tuple(int(i) % len(args) for i in positions)
    if len(set(found)) < len(found):
        raise ValueError(f"wrt: expected every argument once, got {wrt!r}")
    return found


def loss_trial(
    loss: Callable[..., Any], gradient: Callable[..., Any], args: Sequence[Any], wrt: int | Sequence[int]
) -> Trial:
    """A trial of `loss(*args)` (a scalar, or one number per sample) and `gradient(*args)`."""
    positions = _checked_wrt(args, wrt)
    names = _roots(loss, positions)

    def claimed(arguments: Sequence[Any]) -> list[Any]:
        made = gradient(*arguments)
        return _matched(made, [args[i] for i in positions], not isinstance(wrt, Iterable), names)

    return Trial((loss, gradient), lambda arguments: loss(*arguments), claimed, tuple(args), positions)


def layer_trial(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    args: Sequence[Any],
    wrt: int | Sequence[int] | None,
    seed: int,
) -> Trial:
    """A trial of a layer against random cotangents c: the scalar is <c, forward(*args)>, its gradient backward(c, ...).

    forward returns `out`, or `(out, cache)`, or `(out1, out2, ..., cache)`; backward is called as `backward(c, cache)`
    (one c for each output). Without a cache it is called as `backward(c, *args)`, or as `backward(c)` if it takes no
    more: a layer object then keeps its cache itself.
    """
    positions = _checked_wrt(
        args, [i for i, a in enumerate(args) if any(True for _ in leaves(a))] if wrt is None else wrt
    )
    names = _roots(forward, positions)
    sample = forward(*(map_leaves(_copy, a) for a in args))
    outputs, _ = _split(sample)
    if not all(is_float_leaf(out) for out in outputs):
        raise ContractError(f"forward: expected an array of floats, got {type(outputs[0]).__name__}")
    keeps_its_own_cache = not isinstance(sample, tuple) and not _accepts(backward, len(outputs) + len(args))
    random = np.random.default_rng(seed)
    cotangents = [random.standard_normal(np.shape(out)) for out in outputs]

    def on(arguments: Sequence[Any]) -> list[Any]:
        """The cotangents as what the arguments are: balls on balls, floats on floats."""
        on_balls = any(isinstance(leaf, BallArray) for a in arguments for _, leaf in leaves(a))
        return [lift(c) if on_balls else c.copy() for c in cotangents]

    def value(arguments: Sequence[Any]) -> Any:
        parts, _ = _split(forward(*arguments))
        return sum(np.sum(c * out) for c, out in zip(on(arguments), parts, strict=True))

    def pullback(arguments: Sequence[Any]) -> tuple[list[Any], Callable[[], list[Any]]]:
        made = forward(*arguments)
        _, cache = _split(made)
        given = on(arguments)

        def claimed() -> list[Any]:
            if isinstance(made, tuple):
                result = backward(*given, cache)
            else:
                result = backward(*given) if keeps_its_own_cache else backward(*given, *arguments)
            return _matched(result, [args[i] for i in positions], len(positions) == 1, names)

        return given, claimed

    def gradient(arguments: Sequence[Any]) -> list[Any]:
        return pullback(arguments)[1]()

    return Trial((forward, backward), value, gradient, tuple(args), positions, pullback=pullback)


def _accepts(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many positional arguments; True if its signature is not known."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _split(made: Any) -> tuple[tuple[Any, ...], Any]:
    if not isinstance(made, tuple):
        return (made,), None
    outputs = tuple(out for out in made[:-1])
    if not outputs or not all(is_float_leaf(out) for out in outputs):
        raise ContractError("forward: expected out, (out, cache) or (out1, ..., cache) with float arrays as outputs")
    return outputs, made[-1]


def _matched(gradient: Any, arguments: list[Any], single: bool, names: Sequence[str]) -> list[Any]:
    if not single and not (isinstance(gradient, list | tuple) and len(gradient) == len(arguments)):
        came = f"{len(gradient)} parts" if isinstance(gradient, list | tuple) else type(gradient).__name__
        raise ContractError(
            f"gradient: expected {len(arguments)} parts, one for each of {', '.join(names)}, got {came}; "
            "wrt says for which arguments there are gradients"
        )
    try:
        if single:
            if isinstance(gradient, tuple) and len(gradient) == 1 and is_float_leaf(arguments[0]):
                raise ValueError("gradient: expected an array, got a tuple of one; return it without the comma")
            if isinstance(gradient, tuple) and is_float_leaf(arguments[0]):
                raise ValueError(
                    f"gradient: expected an array, for {names[0]} alone, got a tuple of {len(gradient)}; "
                    "wrt says for which arguments there are gradients"
                )
            return match(gradient, arguments[0])
        return match(gradient, tuple(arguments))
    except ValueError as error:
        raise ContractError(str(error)) from None


def batch_shape(trial: Trial, value: Any, gradients: Sequence[Any]) -> tuple[int, ...]:
    """B, after checking that every gradient has shape B + core for its parameter. Raises ContractError."""
    batch = tuple(int(n) for n in np.shape(value))
    if math.prod(batch) == 1 and all(np.shape(g) == p.shape for p, g in zip(trial.parameters, gradients, strict=True)):
        return ()  # a scalar that kept its axes
    for name, parameter, gradient in zip(trial.names, trial.parameters, gradients, strict=True):
        came, has = tuple(int(n) for n in np.shape(gradient)), parameter.shape
        if came not in (batch + has, has if has[: len(batch)] == batch else batch + has):
            per = f" for each of the {batch} losses" if batch else ""
            raise ContractError(f"gradient of {name}: expected shape {batch + has if batch else has}{per}, got {came}")
    return batch


def keeps_samples_apart(trial: Trial, gradient: Array) -> bool:
    """Whether a separable trial's gradient (N, n) of some samples is the same when the others are absent.

    Tried on every other sample in reverse order, bit for bit: a subject that looks at a sample's position, or at how
    many there are, must always see the whole batch.
    """
    some = np.arange(len(gradient))[::-2]
    with np.errstate(all="ignore"):
        part = trial.take(some)
        try:
            again = np.concatenate(
                [np.reshape(g, (len(some), -1)) for g in part.gradient(part.arguments(lifted=False))], 1
            )
        except Exception:  # whatever the subject raises for a smaller batch, it does not raise for the whole one
            return False
    return np.array_equal(again, gradient[some], equal_nan=True)


def entry_name(parameter: str, index: Sequence[int], sample: Sequence[int] = ()) -> str:
    """Such as `W[0, 2] at sample 5`."""
    entry = f"{parameter}[{', '.join(map(str, index))}]" if index else parameter
    return f"{entry} at sample {', '.join(map(str, sample))}" if sample else entry
