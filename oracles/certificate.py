"""The certificate: is this gradient the derivative of its forward? Answered by proof, without epsilon or tolerance.

For a direction d and a tiny h the mean value theorem gives a point xi of the segment between x - h d and x + h d with

    (f(x + h d) - f(x - h d)) / 2h  =  f'(xi) . d

The left side is evaluated in ball arithmetic: an enclosure Q. The hand-written gradient is evaluated on the whole box
[x - h|d|, x + h|d|] and multiplied by d: an enclosure G of all it claims on the segment. If the gradient is right, Q
and G overlap. So disjoint balls prove it wrong; overlapping ones certify it to as many digits as the two are narrow.
Each entry's share of d is about 1 / |g_i|, so that none is drowned, and random, so that errors cannot cancel in it.

Digits are relative to the entry, or to the smallest normal float64 (2^-1022) for entries below that, which float64
itself can hold only to an absolute accuracy. An entry that claims to be exactly zero is certified to be less than the
smallest float64 (2^-1074).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from oracles.elsewhere import OUTSIDE, briefly, elsewhere, run_elsewhere
from oracles.evaluation import Layout
from oracles.judge import LAST_PRECISION, Judge
from oracles.subject import why_not
from oracles.trial import Array, ContractError, Trial, batch_shape, layer_trial, loss_trial
from oracles.verdict import Certificate, Ruling, WrongEntry

__all__ = ["Certificate", "Ruling", "WrongEntry", "certify", "certify_layer", "certify_trial"]


def certify(
    loss: Callable[..., Any],
    gradient: Callable[..., Any],
    *args: Any,
    wrt: int | Sequence[int] = 0,
    digits: float = 30,
    precision: int = LAST_PRECISION,
    seed: int = 0,
) -> Certificate:
    """Certify `gradient(*args)` as the derivative of `loss(*args)` with respect to the argument(s) `wrt`.

    loss returns a scalar, or an array of shape B with one number per sample; gradient returns what `args[wrt]` is (an
    array, a number, or a dict, list or tuple of them; a tuple of these for several positions), each array of shape
    core for a scalar loss and B + core for a batch. Arrays are float64; integer arrays are handed through.

    `digits` must be certified for every entry, `precision` bounds the bits spent on it and `seed` draws the direction.
    Raises ValueError for a `wrt` that names nothing differentiable, and what the subject itself raises on floats.
    """
    return _certify(lambda given: loss_trial(loss, gradient, given, wrt), args, digits, precision, seed)


def certify_layer(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *args: Any,
    wrt: int | Sequence[int] | None = None,
    digits: float = 30,
    precision: int = LAST_PRECISION,
    seed: int = 0,
) -> Certificate:
    """Certify a layer's `backward(cotangent, cache)` against its `forward(*args) -> (out, cache)`.

    The cotangent is random, since ones are blind to softmax. forward may also return `out` alone (then backward is
    called with `(cotangent, *args)`) or several outputs before the cache (then with one cotangent for each). backward
    returns the gradients for the arguments `wrt`, by default all that hold floats. Otherwise as `certify`.
    """
    return _certify(lambda given: layer_trial(forward, backward, given, wrt, seed), args, digits, precision, seed)


def _certify(
    make: Callable[[Sequence[Any]], Trial], args: Sequence[Any], digits: float, precision: int, seed: int
) -> Certificate:
    run_elsewhere(make, args)
    return certify_trial(lambda: make(args), digits, precision, seed)


def certify_trial(
    make: Callable[[], Trial], digits: float = 30, precision: int = LAST_PRECISION, seed: int = 0
) -> Certificate:
    """The certificate of the trial that `make` gives.

    A result that cannot be a gradient (its structure or shape) is wrong; code that balls cannot run gives a verdict
    with its line. Both are data here, not exceptions.
    """
    with np.errstate(all="ignore"):
        try:
            trial = make()
            value = trial.value(trial.arguments(lifted=False))
            gradients = trial.gradient(trial.arguments(lifted=False))
            layout = Layout.of(trial, batch_shape(trial, value, gradients), gradients)
        except ContractError as error:
            return Certificate(Ruling.WRONG, reason=str(error))
        floats = np.concatenate([np.reshape(g, (layout.samples, -1)) for g in gradients], axis=1)
    if floats.size == 0:
        return Certificate(Ruling.UNDECIDED, reason="there is nothing to check: no samples or no parameters")
    trial = replace(trial, gradient_needs_value=_needs_value(trial, gradients))
    try:
        return _judged(trial, layout, floats, digits, precision, seed)
    finally:
        trial.leave_floats()


def _judged(trial: Trial, layout: Layout, floats: Array, digits: float, precision: int, seed: int) -> Certificate:
    """Judged with exact literals, or else, where that gives no verdict, with the source as it is.

    A type check such as isinstance(p, float), or int(0.8 * n), stumbles over exact literals.
    """
    first: Certificate | None = None
    for literals in (True, False):
        try:
            made = Judge(trial, layout, floats, digits, precision, seed, literals=literals).certificate()
        except Exception as error:  # of any kind: whatever stops the subject on balls is the reason that is told
            made = Certificate(Ruling.NOT_CERTIFIABLE, reason=why_not(error))
        if made.ruling not in (Ruling.NOT_CERTIFIABLE, Ruling.UNDECIDED):
            return made
        first = first or made
    assert first is not None
    return first


def _needs_value(trial: Trial, gradients: Sequence[Any]) -> bool:
    """Whether the gradient uses what the last call of the loss left behind: it differs after a call elsewhere."""
    others = [elsewhere(p) for p in trial.parameters]
    with np.errstate(all="ignore"):
        try:
            with briefly():
                trial.value(trial.arguments([other if other.ndim else other[()] for other in others], lifted=False))
            again = trial.gradient(trial.arguments(lifted=False))
        except OUTSIDE:
            return False
        finally:
            trial.value(trial.arguments(lifted=False))
    return not all(np.array_equal(a, g, equal_nan=True) for a, g in zip(again, gradients, strict=True))
