"""Agreement where no ball can go: two evaluations in floats, each with the rounding noise that was measured in it.

The noise is that of Monte Carlo arithmetic (Parker, UCLA CSD-970002, 1997): the evaluation is repeated with every
operand and every result moved by up to a unit in the last place at random, and each entry's largest move is its spread.
So rounding is amplified in these runs as it is in the usual one, whatever the conditioning, and an entry that cancels
has a wide spread. It is a measurement and not a bound, which is why there is a margin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from oracles.agreement import Agreement, compare
from oracles.checking import Finding, Result
from oracles.evaluation import Layout
from oracles.fallback import numerical_agreement
from oracles.one_sided import between
from oracles.trial import Array, Trial, entry_name

RUNS = 16
_MARGIN = 4
"""The moves are about three roundings each, but the largest of sixteen may still be small by chance."""
_ULPS = 4
"""What a single operation may be off by where the moves are too regular to show it (NEP 38's bound for NumPy)."""
_DIRECTIONS = 4
_MOST_KINKS = 64
_MOST_LISTED = 10
_SMALLEST_SCALE = 2.0**-7


class Precision(NamedTuple):
    """Of an evaluation: the spacing of floats at 1, and the smallest float with all its digits."""

    eps: float
    tiny: float

    @classmethod
    def coarsest(cls, infos: Iterable[Any]) -> Precision:
        """Of several results of a `finfo`, NumPy's or a framework's."""
        pairs = [(float(info.eps), float(info.smallest_normal)) for info in infos]
        return cls(max(eps for eps, _ in pairs), max(tiny for _, tiny in pairs))


class Noise:
    """Random moves by up to one unit in the last place, for one run."""

    def __init__(self, seed: int, run: int) -> None:
        """Every other run moves all elements of an array alike, as the error of a library function may be alike."""
        self._random = np.random.default_rng([seed, run])
        self._alike = run % 2 == 1

    def factor(self, shape: Sequence[int], eps: float) -> Array:
        """What to multiply an array by: float64 of its shape, or of shape ()."""
        return 1 + eps * self._random.uniform(-1, 1, () if self._alike else tuple(shape))


@dataclass(frozen=True)
class Measured:
    """An evaluation (n,) and how far rounding moves each of its entries: float64."""

    values: Array
    spread: Array


def measured(evaluate: Callable[[Noise | None], Sequence[Array]], precision: Precision, seed: int = 0) -> Measured:
    """What `evaluate` gives without noise, its parts side by side, and its spread with noise."""
    values, *moved = [_flat(evaluate(noise)) for noise in (None, *(Noise(seed, run) for run in range(RUNS)))]
    with np.errstate(all="ignore"):
        spread = np.max(np.abs(np.stack(moved) - values), axis=0)
        total = _MARGIN * spread + _ULPS * precision.eps * np.abs(values) + precision.tiny
    return Measured(values, np.where(np.isfinite(total), total, np.inf))


def _flat(parts: Sequence[Array]) -> Array:
    return np.concatenate([np.zeros(0), *(np.ravel(np.asarray(part, dtype=np.float64)) for part in parts)])


@dataclass(frozen=True)
class Point:
    """Where a function is tried: its parameters, by name, and the scalar that is differentiated, in floats."""

    names: Sequence[str]
    parameters: Sequence[Array]
    value: Callable[[Sequence[Array]], float]
    precision: Precision

    @property
    def layout(self) -> Layout:
        cores = [p.shape for p in self.parameters]
        return Layout((), list(self.names), cores, [False] * len(cores))

    def along(self, direction: Array) -> Callable[[float], float]:
        """The scalar as a function of how far one goes along `direction` (n,)."""
        moves = self.layout.split(direction[None, :])

        def value(t: float) -> float:
            return self.value([(p + t * m).astype(p.dtype) for p, m in zip(self.parameters, moves, strict=True)])

        return value

    @property
    def scale(self) -> Array:
        """How far each entry goes: in proportion to its size, but zero has to move as well. (n,)"""
        return np.maximum(np.abs(_flat(self.parameters)), _SMALLEST_SCALE)


def cotangent_source(seed: int) -> np.random.Generator:
    """Random numbers that are not those of `default_rng(seed)`, with which the inputs may well have been drawn.

    A cotangent that equals the input hides what a normalisation does to it.
    """
    return np.random.default_rng([seed, 0xC07A])


# --- against another evaluation -------------------------------------------------------------------------------------


def agreement_with(truth: Measured, claimed: Measured, point: Point, what: str) -> tuple[Agreement, Finding]:
    """Compare a claimed gradient with a true one, entry by entry, within the noise of both."""
    agreement = compare(claimed.values, truth.values, truth.spread + claimed.spread)
    wrong, kinks = _told_from_kinks(np.flatnonzero(agreement.disagrees), claimed, point)
    agreement = _with_wrong(agreement, wrong)
    if len(wrong):
        lines = [
            f"{_entry(point, i)}: claimed {claimed.values[i]:.17g}, true {truth.values[i]:.17g}, "
            f"rounding {truth.spread[i] + claimed.spread[i]:.0e}"
            for i in wrong[:_MOST_LISTED].tolist()
        ]
        more = [f"... and {len(wrong) - _MOST_LISTED} more"] if len(wrong) > _MOST_LISTED else []
        return agreement, Finding(what, Result.BAD, "\n".join([_differ(agreement, wrong), *lines, *more]))
    return agreement, _undisputed(what, agreement, kinks)


def agreement_with_differences(
    claimed: Measured, point: Point, reason: str, in_float64: tuple[Measured, Point] | None = None
) -> tuple[Agreement, Finding]:
    """Compare a claimed gradient with differences of the value, where nothing else can be had for this reason.

    `in_float64` is what the same code claims, and where, in a higher precision, if it runs there: differences see more
    then, and the claimed gradient has to be that of the higher precision up to rounding.
    """
    if in_float64 is not None:
        agreement, finding = agreement_with(in_float64[0], claimed, in_float64[1], "in float64")
        if finding.result is not Result.GOOD:
            return agreement, finding
        claimed, point = in_float64
        reason = f"in float64, since {reason}"
    gradient = point.layout.split(claimed.values[None, :])
    with np.errstate(all="ignore"):
        agreement, what, on_kinks = numerical_agreement(_trial(point, gradient))
    wrong = np.argwhere(agreement.disagrees)[:, -1]
    kinks: list[str] = []
    lines: list[str] = []
    if what == "differences":  # entry by entry, not along random directions
        wrong, kinks = _told_from_kinks(wrong, claimed, point)
        kinks += [_on_kink(i, claimed, point) for _, i in on_kinks]
        lines = [f"{_entry(point, i)}: claimed {claimed.values[i]:.17g}" for i in wrong[:_MOST_LISTED].tolist()]
        agreement = _with_wrong(agreement, wrong)
    if len(wrong):
        return agreement, Finding(what, Result.BAD, "\n".join([_differ(agreement, wrong), *lines, reason]))
    found = _undisputed(what, agreement, kinks)
    return agreement, Finding(found.what, found.result, f"{found.evidence}\n{reason}")


def _with_wrong(agreement: Agreement, wrong: Array) -> Agreement:
    """With these columns alone as those that disagree."""
    disagrees = np.zeros_like(agreement.disagrees)
    disagrees[..., wrong] = True
    return replace(agreement, disagrees=disagrees)


def _undisputed(what: str, agreement: Agreement, kinks: Sequence[str]) -> Finding:
    unstable = int(agreement.unstable.sum())
    if unstable == agreement.entries:
        return Finding(
            what, Result.OPEN, "no entry is stable enough to compare" if unstable else "there are no entries"
        )
    agree = "1 entry agrees" if agreement.entries == 1 else f"{agreement.entries} entries agree"
    lines = [f"{agree} to {min(agreement.digits, 15.9):.1f} digits{_power(agreement)}"]
    if unstable:
        lines.append(f"rounding leaves nothing to compare in {unstable} of them")
    lines += [f"kink: {kink}" for kink in kinks[:_MOST_LISTED]]
    return Finding(what, Result.GOOD, "\n".join(lines))


def _differ(agreement: Agreement, wrong: Array) -> str:
    return f"{len(wrong)} of {agreement.entries} entries differ{_power(agreement)}"


def _power(agreement: Agreement) -> str:
    """What would have been seen, if there is an entry to see it in."""
    if not np.isfinite(agreement.detection):
        return ""
    return f"; an error below {agreement.detection:.0e} of an entry would go unseen"


def _entry(point: Point, column: int) -> str:
    return entry_name(*point.layout.place(column))


def _trial(point: Point, gradient: Sequence[Array]) -> Trial:
    return Trial(
        subject=(),
        value=point.value,
        gradient=lambda _: list(gradient),
        args=tuple(point.parameters),
        wrt=tuple(range(len(point.parameters))),
        labels=tuple(point.names),
    )


# --- whether the truth is one ---------------------------------------------------------------------------------------


def confirms(gradient: Array, point: Point, seed: int = 0) -> bool:
    """Whether differences of the value along a few random directions allow this gradient (n,).

    They do at a kink too, if the gradient lies between the one-sided derivatives.
    """
    if not gradient.size or not np.isfinite(gradient).all():
        return not gradient.size
    random = np.random.default_rng(seed)
    signs = random.uniform(0.5, 1, (_DIRECTIONS, gradient.size)) * random.choice([-1, 1], (_DIRECTIONS, gradient.size))
    directions = signs * point.scale / np.sqrt(gradient.size)
    slopes = directions @ gradient

    def value(t: Sequence[Array]) -> float:
        return point.along(t[0] @ directions / _SMALLEST_SCALE)(1.0)  # differences move zeros by no more than that

    line = Point(["t"], [np.zeros(_DIRECTIONS)], value, point.precision)
    agreement, _, _ = numerical_agreement(_trial(line, [slopes / _SMALLEST_SCALE]))
    return all(
        between(slopes[i], point.along(directions[i]), point.precision.eps) for i in np.flatnonzero(agreement.disagrees)
    )


# --- kinks ----------------------------------------------------------------------------------------------------------


def _told_from_kinks(places: Array, claimed: Measured, point: Point) -> tuple[Array, list[str]]:
    """Of entries that differ, those that are wrong, and those on a kink with a value between the one-sided ones."""
    wrong: list[int] = []
    kinks: list[str] = []
    for i in places.tolist():
        unit = np.zeros(claimed.values.size)
        unit[i] = point.scale[i]
        slope = float(claimed.values[i] * point.scale[i])
        if len(kinks) + len(wrong) < _MOST_KINKS and between(slope, point.along(unit), point.precision.eps):
            kinks.append(_on_kink(i, claimed, point))
        else:
            wrong.append(i)
    return np.array(wrong, dtype=np.intp), kinks


def _on_kink(i: int, claimed: Measured, point: Point) -> str:
    return f"{_entry(point, i)}: {claimed.values[i]:g} is one of the derivatives there"
