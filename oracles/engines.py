"""`check_engine`: scalar engines, whose leaves carry their gradient after `root.backward()`, as micrograd's do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from oracles.agreement import compare
from oracles.checking import Finding, Result, Verdict, examine, name_of, settled
from oracles.errors import NotCertifiableError, UndecidedComparisonError
from oracles.rounding import rounding_radii
from oracles.tree import is_float_leaf, leaves, map_leaves
from oracles.trial import Array, ContractError, Trial, as_floats

__all__ = ["check_engine", "examine_engine"]

_VALUES = ("data", "value")
_RUNS = 8


def check_engine(leaf: Callable[[Any], Any], f: Callable[..., Any], *values: Any, seed: int = 0) -> Verdict:
    """Check what an engine that differentiates itself says of the derivatives of `f`, as `oracles.check` does.

    `leaf(value)` makes a node, `f(*nodes)` computes the root from one node for each value, and after `root.backward()`
    each node has its derivative in `.grad`; None there is 0, for a node that was not used. A node's number is its
    `.data` or `.value`.

        check_engine(Value, lambda a, b: (a * b + a).tanh(), 0.5, -2.0)

    Values are numbers, or lists, tuples and dicts of them, or arrays for an engine of tensors; whole numbers are taken
    as floats. New nodes are made for every run. An engine may add up in another order each time, as one that walks a
    set of nodes does: it repeats itself if what differs is no more than rounding explains.

    Returns a Verdict. Raises GradientError and UndecidedGradientError as `oracles.check` does, and TypeError for what
    is not such an engine.
    """
    __tracebackhide__ = True
    return settled(examine_engine(leaf, f, values, seed))


def examine_engine(leaf: Callable[[Any], Any], f: Callable[..., Any], values: Sequence[Any], seed: int = 0) -> Verdict:
    """The verdict of `check_engine` as data: nothing is raised for a wrong gradient."""
    given = tuple(as_floats(value) for value in values)
    if not any(True for value in given for _ in leaves(value)):
        raise ValueError("values: expected at least one number to differentiate by, got none; pass f's arguments")
    with np.errstate(all="ignore"):
        root = f(*_nodes(leaf, given))
    _value(root)

    def trial(args: Sequence[Any]) -> Trial:
        return Trial(
            subject=(f, leaf, type(root)),
            value=lambda arguments: _value(f(*_nodes(leaf, arguments))),
            gradient=lambda arguments: _gradient(leaf, f, arguments),
            args=tuple(args),
            wrt=tuple(i for i, value in enumerate(args) if any(True for _ in leaves(value))),
        )

    verdict = examine(trial, given, f"{type(root).__qualname__}.backward through {name_of(f)}", seed)
    return _repeating_up_to_rounding(verdict, trial(given))


def _nodes(leaf: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [map_leaves(leaf, value) for value in values]


def _value(root: Any) -> Any:
    """The number in a node. Raises TypeError for what is no node."""
    if callable(getattr(root, "backward", None)):
        for name in _VALUES:
            value = getattr(root, name, None)
            if _is_number(value):
                return value
    raise TypeError(
        f"f: expected a node with .backward() and a number or array in .{' or .'.join(_VALUES)}, got "
        f"{type(root).__name__}; return the root of the graph"
    )


def _gradient(leaf: Callable[[Any], Any], f: Callable[..., Any], values: Sequence[Any]) -> list[Any]:
    """What each leaf says its derivative is after a backward pass, in the order of the values."""
    made: list[Any] = []

    def remembered(value: Any) -> Any:
        made.append(leaf(value))
        return made[-1]

    f(*_nodes(remembered, values)).backward()
    missing = next((node for node in made if not hasattr(node, "grad")), None)
    if missing is not None:
        raise TypeError(f"leaf: expected nodes with .grad after backward(), got {type(missing).__name__} without it")
    gradients = [0.0 if node.grad is None else node.grad for node in made]
    for gradient in gradients:
        if not _is_number(gradient):
            raise ContractError(f"leaf: expected a number or array in .grad, got {type(gradient).__name__}")
    return gradients


def _is_number(value: Any) -> bool:
    return is_float_leaf(value) or isinstance(value, int | np.ndarray | np.number)


def _repeating_up_to_rounding(verdict: Verdict, trial: Trial) -> Verdict:
    """The verdict without the demand that runs agree bit for bit, if they do agree up to rounding."""
    bits = next((f for f in verdict.findings if f.what == "repeats"), None)
    if bits is None or bits.result is Result.GOOD or not _agree(trial, verdict):
        return verdict
    evidence = f"up to rounding: the engine adds in another order each time ({_RUNS} runs)"
    instead = Finding("repeats", Result.GOOD, evidence)
    return replace(verdict, findings=tuple(instead if f is bits else f for f in verdict.findings))


def _agree(trial: Trial, verdict: Verdict) -> bool:
    runs = [_run(trial) for _ in range(_RUNS)]
    certificate = verdict.certificate
    try:
        if certificate is not None and certificate.ok:
            rounding = rounding_radii(trial, literals=certificate.literals)
            allowed = np.concatenate([np.ravel(r) for r in (rounding.value, *rounding.gradients)])
        elif verdict.agreement is not None:  # what differences would not have seen either
            allowed = np.abs(runs[0]) * verdict.agreement.detection
        else:
            return False
    except (NotCertifiableError, UndecidedComparisonError):
        return False
    return all(compare(runs[0], run, 2 * allowed).agrees for run in runs[1:])


def _run(trial: Trial) -> Array:
    """Value and gradients on floats, side by side."""
    with np.errstate(all="ignore"):
        args = trial.arguments(lifted=False)
        parts = [trial.value(args), *trial.gradient(args)]
    return np.concatenate([np.ravel(np.asarray(part, dtype=np.float64)) for part in parts])
