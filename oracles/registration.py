"""What the gate has to know of a subject to put it on trial: one row of a registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracles.arguments import Arguments, Spec, drawn
from oracles.trial import Trial, layer_trial, loss_trial


@dataclass(frozen=True)
class Subject:
    """A hand-written gradient, and the points at which it is tried.

    `arguments(random, scale)` draws all arguments of one trial: random weights of the size `scale`, and the data; or
    give them one by one, by shape and range, as `oracles.arguments.drawn` takes them. Then `loss(*arguments)` returns a
    scalar, or one number per sample (N), and `gradient(*arguments)` what `args[wrt]` is; with one loss per sample the
    weights have the samples in front too, one copy each. For a layer they are its `forward` and `backward`, in the
    forms of `oracles.check_layer`.
    """

    id: str
    loss: Callable[..., Any]
    gradient: Callable[..., Any]
    arguments: Arguments | Sequence[Spec]
    graph: Callable[..., Any] | None = None
    """graph(xp, *arguments): the same loss in Array API terms, for the oracles to differentiate by `args[0]`."""
    weights: tuple[str, ...] = ()
    """Names of the entries of `args[0]` along its last axis, as the derivation has them."""
    wrt: int | Sequence[int] | None = None
    """Which arguments the gradient is with respect to: the first one of a loss, all with floats of a layer."""
    layer: bool = False
    draws: int | None = None
    """How many draws at most: a trial with many points in it needs fewer."""
    rounds_unlike: Subject | None = None
    """The subject whose formulas a framework's derivative rules share, if this one is evaluated differently. It comes
    earlier in the registry, has the same graph and arguments, and speaks for the frameworks' rounding."""
    promised_digits: float = 0.0
    """Correct digits that this evaluation keeps in float64, for every entry of every trial."""

    def __post_init__(self) -> None:
        _check(self)
        if not callable(self.arguments):
            object.__setattr__(self, "arguments", drawn(self.arguments))
        if isinstance(self.wrt, Sequence):
            object.__setattr__(self, "wrt", tuple(self.wrt))  # a list would make the whole unhashable

    def drawn(self, random: np.random.Generator, scale: float) -> tuple[Any, ...]:
        """The arguments of one trial. Raises TypeError for a draw function that returns no tuple."""
        draw: Any = self.arguments
        made = draw(random, scale)
        if not isinstance(made, tuple | list):
            kind = type(made).__name__
            raise TypeError(f"arguments: expected a tuple of all arguments, got {kind}; write `return (x,)` for one")
        return tuple(made)

    def trial(self, args: Sequence[Any], seed: int = 0) -> Trial:
        """The trial at these arguments; `seed` draws the cotangents of a layer.

        Raises what the subject raises, and ValueError or ContractError for arguments or results that do not fit.
        """
        if self.layer:
            return layer_trial(self.loss, self.gradient, args, self.wrt, seed)
        return loss_trial(self.loss, self.gradient, args, 0 if self.wrt is None else self.wrt)


def _check(subject: Subject) -> None:
    """Raises TypeError or ValueError where a row cannot be a subject: now, and not in the middle of a trial."""
    if not isinstance(subject.id, str) or not subject.id.strip() or not subject.id.isprintable():
        raise ValueError(f"Subject: expected a name in one line as its id, got {subject.id!r}")
    for name in ("loss", "gradient"):
        if not callable(function := getattr(subject, name)):
            raise TypeError(f"Subject {subject.id}: {name}: expected a function, got {type(function).__name__}")
    given: Any = subject.arguments
    if not callable(given) and (not isinstance(given, list | tuple) or not given):
        raise TypeError(
            f"Subject {subject.id}: arguments: expected a function arguments(random, scale) or a list with a shape or "
            f"range for each, got {given!r}"
        )
    if subject.draws is not None and subject.draws < 1:
        raise ValueError(f"Subject {subject.id}: draws: expected at least 1, got {subject.draws}")
    first = subject.wrt[0] if isinstance(subject.wrt, Sequence) and subject.wrt else subject.wrt or 0
    if subject.graph is not None and (subject.layer or first != 0):
        raise ValueError(
            f"Subject {subject.id}: graph: the oracles differentiate a loss by args[0]; leave the graph out, or write "
            "the subject as a loss with wrt=0"
        )
