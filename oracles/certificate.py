"""The certificate: is this gradient the derivative of its forward? Answered by proof, without an epsilon or a tolerance.

For a direction d and a tiny h the mean value theorem gives a point xi of the segment between x - h d and x + h d with

    (f(x + h d) - f(x - h d)) / 2h  =  f'(xi) . d

The left side is evaluated in ball arithmetic: an enclosure Q. The hand-written gradient is evaluated on the whole box
[x - h|d|, x + h|d|] and multiplied by d: an enclosure G of all that it claims on the segment. If the gradient is right, Q
and G overlap. So disjoint balls prove it wrong; overlapping ones certify it to as many digits as the two are narrow.
Each entry's share of d is about 1 / |g_i|, so that none is drowned, and random, so that errors cannot cancel in it.

Digits are relative to the entry, or to the smallest normal float64 (2^-1022) for entries below that, which float64
itself can hold only to an absolute accuracy. An entry that claims to be exactly zero is certified to be less than the
smallest float64 (2^-1074).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from oracles.ball import BallArray, wrap
from oracles.errors import UndecidedComparisonError
from oracles.evaluation import (
    Evaluation,
    Layout,
    draw_direction,
    evaluate,
    is_zero,
    log2_step,
    rounding_excuse,
)
from oracles.kinks import Kink, examine
from oracles.magnitude import SMALLEST_NORMAL, SMALLEST_SUBNORMAL, log2_upper
from oracles.subject import why_not
from oracles.trial import Array, ContractError, Trial, batch_shape, layer_trial, loss_trial

FIRST_PRECISION = 256
LAST_PRECISION = 1 << 14
_KINK_PRECISION = 1024
"""A comparison still open at this many bits is a tie of the point itself, not of the box around it."""
_ZERO_PRECISION = 1280
"""Bits that tell an exact zero from the smallest float64 (2^-1074) at a step of 2^-80."""
_MOST_EVALUATIONS = 4096
"""Where the search for wrong entries ends; the message says so when it does."""
_ROUNDED_DIGITS = 15.0


class Verdict(Enum):
    """What a certificate says."""

    WRONG = "proved wrong"
    CERTIFIED = "certified"
    ROUNDED = "right up to rounded constants"
    UNDECIDED = "undecided"
    NOT_CERTIFIABLE = "not certifiable"


@dataclass(frozen=True)
class WrongEntry:
    """One entry that was proved wrong."""

    parameter: str
    index: tuple[int, ...]
    sample: tuple[int, ...]
    claimed: str
    true: str

    @property
    def entry(self) -> str:
        return f"{self.parameter}[{', '.join(map(str, self.index))}]" if self.index else self.parameter

    def __str__(self) -> str:
        sample = f" at sample {', '.join(map(str, self.sample))}" if self.sample else ""
        return f"{self.entry}{sample}: claimed {self.claimed}, true {self.true}"


@dataclass(frozen=True)
class Certificate:
    """The rigorous verdict at a point."""

    verdict: Verdict
    digits: float
    """Worst certified digits over all entries; 0 unless certified, infinite if every entry is exactly zero."""
    entries: int
    """How many gradient entries were judged: parameters times samples."""
    precision: int
    """Bits of the widest arithmetic that was used."""
    reason: str = ""
    wrong: tuple[WrongEntry, ...] = ()
    kinks: tuple[Kink, ...] = ()
    claimed: tuple[BallArray, ...] = field(default=(), repr=False)
    """Enclosures of the gradient, one array for each parameter: of the true one, where it is certified."""

    @property
    def ok(self) -> bool:
        return self.verdict in (Verdict.CERTIFIED, Verdict.ROUNDED)

    def __str__(self) -> str:
        text = self.verdict.value
        if self.ok:
            digits = "all digits" if math.isinf(self.digits) else f"{math.floor(self.digits)} digits"
            text += f" to {digits} ({self.entries} entries, {self.precision} bits)"
        if self.reason:
            text += f": {self.reason}"
        lines = [text, *(f"  {w}" for w in self.wrong[:10]), *(f"  kink: {k}" for k in self.kinks[:5])]
        if len(self.wrong) > 10:
            lines.append(f"  ... and {len(self.wrong) - 10} more wrong entries")
        return "\n".join(lines)


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
    return judge(lambda: loss_trial(loss, gradient, args, wrt), digits, precision, seed)


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
    return judge(lambda: layer_trial(forward, backward, args, wrt, seed), digits, precision, seed)


def judge(make: Callable[[], Trial], digits: float, precision: int, seed: int) -> Certificate:
    """The certificate of a trial. Code that balls cannot run gives a verdict with its line; it does not raise."""
    with np.errstate(all="ignore"):
        try:
            trial = make()
            value = trial.value(trial.arguments(lifted=False))
            gradients = trial.gradient(trial.arguments(lifted=False))
            layout = Layout.of(trial, batch_shape(trial, value, gradients), gradients)
        except ContractError as error:
            return Certificate(Verdict.WRONG, 0, 0, 0, str(error))
        floats = np.concatenate([np.reshape(g, (layout.samples, -1)) for g in gradients], axis=1).astype(np.float64)
    if floats.size == 0:
        return Certificate(Verdict.UNDECIDED, 0, 0, 0, "there is nothing to check: no samples or no parameters")
    if np.result_type(np.asarray(value)) == np.float32:
        return _not_certifiable("the loss is float32; balls stand for float64 code")
    try:
        return _Judge(trial, layout, digits, precision, seed, literals=True).certificate(floats)
    except Exception as first:
        # A type check such as isinstance(p, float) stumbles over exact literals: once more with the source as it is.
        try:
            return _Judge(trial, layout, digits, precision, seed, literals=False).certificate(floats)
        except Exception:
            return _not_certifiable(why_not(first))


def _not_certifiable(reason: str) -> Certificate:
    return Certificate(Verdict.NOT_CERTIFIABLE, 0, 0, 0, reason)


class _Judge:
    """The state of one trial: what has been certified of every sample (row) and entry (column) so far."""

    def __init__(
        self, trial: Trial, layout: Layout, digits: float, precision: int, seed: int, *, literals: bool
    ) -> None:
        self.trial, self.layout, self.literals = trial, layout, literals
        self.goal, self.last = digits, precision
        self.random = np.random.default_rng(seed)
        shape = (layout.samples, layout.entries)
        self.separable = trial.separable(layout.batch)
        self.digits = np.full(shape, -np.inf)
        self.zero = np.zeros(shape, dtype=bool)
        self.claimed = np.empty(shape, dtype=object)
        self.wrong = np.zeros(layout.samples, dtype=bool)
        self.rounded = np.zeros(layout.samples, dtype=bool)
        self.open: dict[int, str] = {}
        self.kinks: list[Kink] = []
        self.entries_wrong: list[WrongEntry] = []
        self.used = 0
        self.evaluations = 0

    def certificate(self, floats: Array) -> Certificate:
        with np.errstate(divide="ignore"):
            size = np.log2(np.abs(floats))
        self.size = np.where(np.isfinite(size), size, -np.inf)
        self._certify_values()
        self._certify_zeros()
        self._examine_kinks()
        self._locate()
        return self._conclude()

    # --- evaluating some samples ------------------------------------------------------------------------------------

    def _evaluate(self, rows: Array, direction: Array, precision: int, steps: Array | None = None) -> Iterator[
        tuple[Array, Evaluation | UndecidedComparisonError]
    ]:
        """Evaluate the samples `rows` along their rows of `direction`; samples with ties are told from those without."""
        whole = not self.separable or len(rows) == self.layout.samples
        trial = self.trial if whole else self.trial.take(rows)
        layout = self.layout if whole else self._part(len(rows))
        rows = np.arange(self.layout.samples) if whole else rows
        d = direction[rows]
        step = log2_step(layout, d, precision) if steps is None else steps[rows]
        self.used = max(self.used, precision)
        self.evaluations += 1
        try:
            yield rows, evaluate(trial, layout, d, step, precision, self.literals)
        except UndecidedComparisonError as error:
            if not self.separable or len(rows) == 1:
                yield rows, error
                return
            for half in np.array_split(rows, 2):
                yield from self._evaluate(half, direction, precision, steps)

    def _part(self, count: int) -> Layout:
        layout = self.layout
        return Layout((count,), layout.names, layout.cores, layout.shared)

    # --- the three groups of entries --------------------------------------------------------------------------------

    def _certify_values(self) -> None:
        """Entries that are not exactly zero, at growing precision, until each has the digits that are asked for."""
        precision, first = FIRST_PRECISION, True
        while True:
            included = self._pending() & np.isfinite(self.size)
            rows = np.arange(self.layout.samples) if first else np.flatnonzero(included.any(axis=1))
            if not len(rows):
                return
            if not first:
                precision = max(precision, _bits_for(self.size[included]))
            if precision > self.last:
                break
            first = False
            direction = draw_direction(self.layout, self.size, included, self.random)
            for part, result in self._evaluate(rows, direction, precision):
                if isinstance(result, UndecidedComparisonError):
                    if precision >= _KINK_PRECISION:
                        self.open |= {int(row): str(result) for row in part}
                    else:
                        # Nothing is known of these yet, so the entries that floats call zero are tried as well.
                        self.size[part] = np.maximum(self.size[part], SMALLEST_NORMAL)
                else:
                    self._take_in(part, result, precision)
            precision *= 2
        for row in np.flatnonzero(self._pending().any(axis=1)):
            self.open[int(row)] = f"fewer than {self.goal:g} digits at {self.last} bits; the gradient may not be finite"

    def _pending(self) -> Array:
        """Entries that still need an evaluation: (N, n)."""
        settled = self.wrong | self.rounded
        settled[list(self.open)] = True
        return (self.digits < self.goal) & ~self.zero & ~settled[:, None]  # type: ignore[no-any-return]

    def _take_in(self, rows: Array, result: Evaluation, precision: int) -> None:
        self.claimed[rows] = result.claimed
        self.zero[rows] |= is_zero(result.claimed).astype(bool)
        self._accuse(rows, result, precision)
        self.digits[rows] = np.maximum(self.digits[rows], result.digits())
        self.size[rows] = np.maximum(log2_upper(result.claimed), SMALLEST_NORMAL)

    def _accuse(self, rows: Array, result: Evaluation, precision: int) -> Array:
        """Mark the samples whose balls are disjoint, unless rounded constants can be the whole reason."""
        guilty = result.disjoint.copy()
        if guilty.any() and result.rounded:
            whole = len(rows) == self.layout.samples
            trial, layout = (self.trial, self.layout) if whole else (self.trial.take(rows), self._part(len(rows)))
            excuse = rounding_excuse(trial, layout, result, precision, self.literals)
            gap = result.quotient - result.product
            excused = guilty & np.array([bool(abs(g) <= e) for g, e in zip(gap, excuse, strict=True)])
            self.rounded[rows] |= excused
            guilty &= ~excused
        self.wrong[rows] |= guilty
        return guilty

    def _certify_zeros(self) -> None:
        """Entries that claim to be exactly zero: their own direction, and far more bits."""
        precision = _ZERO_PRECISION
        pending = self.zero & ~self.wrong[:, None]
        pending[list(self.open)] = False
        while (rows := np.flatnonzero(pending.any(axis=1))).size:
            if precision > max(self.last, _ZERO_PRECISION):
                self.open |= {int(r): f"an entry that claims to be zero is not decided at {self.last} bits" for r in rows}
                return
            direction = draw_direction(self.layout, np.zeros_like(self.size), pending, self.random)
            steps = np.full(self.layout.samples, float(_ZERO_PRECISION - 80 - precision))
            for part, result in self._evaluate(rows, direction, precision, steps):
                if isinstance(result, UndecidedComparisonError):
                    if precision >= 2 * _ZERO_PRECISION:
                        self.open |= {int(row): str(result) for row in part}
                        pending[part] = False
                    continue
                self._accuse(part, result, precision)
                done = result.disjoint | (result.finite & (result.log2_gap < SMALLEST_SUBNORMAL))
                pending[part[done]] = False
            precision *= 2

    def _examine_kinks(self) -> None:
        """Samples that left comparisons open: certify beside the point, and compare with the hull at it."""
        for row in sorted(self.open):
            if not self.separable and row != min(self.open):
                continue
            one = self.trial.take(np.array([row])) if self.separable else self.trial
            layout = self._part(1) if self.separable else self.layout
            try:
                found = examine(one, layout, self.random, self.literals)
            except UndecidedComparisonError as error:
                self.open[row] = str(error)
                continue
            if found.wrong_beside is not None or found.outside:
                self._accuse_beside_kink(row, layout, found.wrong_beside, found.outside)
            elif found.digits < self.goal:
                continue
            else:
                self.kinks += [_moved(kink, row, self.layout) if self.separable else kink for kink in found.kinks]
                affected = slice(row, row + 1) if self.separable else slice(None)
                self.digits[affected] = found.digits
            settled = [row] if self.separable else list(self.open)
            for done in settled:
                self.open.pop(done, None)

    def _accuse_beside_kink(
        self, row: int, layout: Layout, beside: Evaluation | None, outside: Sequence[tuple[int, int, Any, Any]]
    ) -> None:
        sample = self.layout.sample(row) if self.separable else ()
        for _, column, value, around in outside:
            name, index = layout.place(column)
            hull_text = f"between {around.lower().str(17, radius=False)} and {around.upper().str(17, radius=False)}"
            self.entries_wrong.append(WrongEntry(name, index, sample, value.str(17, radius=False), hull_text))
        if beside is not None:
            at = int(np.flatnonzero(beside.disjoint)[0])
            self.entries_wrong.append(
                WrongEntry(
                    "gradient . direction beside the kink",
                    (),
                    sample,
                    beside.product[at].str(17, radius=False),
                    beside.quotient[at].str(17, radius=False),
                )
            )
        self.digits[row] = 0

    # --- locating ---------------------------------------------------------------------------------------------------

    def _locate(self) -> None:
        """Every wrong entry of the wrong samples: groups of entries are halved until one remains."""
        rows = np.flatnonzero(self.wrong)
        columns = np.arange(self.layout.entries)
        groups = list(columns[:, None]) if len(columns) <= 16 else [columns]
        self.complete = True
        budget = self.evaluations + _MOST_EVALUATIONS
        while groups and rows.size:
            if self.evaluations > budget:
                self.complete = False
                return
            group = groups.pop()
            guilty = self._guilty(rows, group)
            if guilty.any() and len(group) > 1:
                groups += [half for half in np.array_split(group, 2)][::-1]

    def _guilty(self, rows: Array, group: Array) -> Array:
        """Which of the samples are proved wrong in a group of entries; a group of one is recorded."""
        guilty = np.zeros(self.layout.samples, dtype=bool)
        for zeros in (False, True):
            included = np.zeros_like(self.zero)
            included[np.ix_(rows, group)] = self.zero[np.ix_(rows, group)] == zeros
            if not included.any():
                continue
            size = np.zeros_like(self.size) if zeros else self.size
            direction = draw_direction(self.layout, size, included, self.random)
            precision = max(self.used, FIRST_PRECISION)
            for part, result in self._evaluate(rows, direction, precision):
                if isinstance(result, UndecidedComparisonError):
                    continue
                proved = result.disjoint & ~self._excused(part, result, precision)
                guilty[part[proved]] = True
                if len(group) == 1:
                    self._record(part[proved], proved, int(group[0]), result)
        return guilty

    def _excused(self, rows: Array, result: Evaluation, precision: int) -> Array:
        """As in `_accuse`, for the entries of samples that are wrong in any case."""
        if not result.rounded or not result.disjoint.any():
            return np.zeros(len(rows), dtype=bool)
        whole = len(rows) == self.layout.samples
        trial, layout = (self.trial, self.layout) if whole else (self.trial.take(rows), self._part(len(rows)))
        excuse = rounding_excuse(trial, layout, result, precision, self.literals)
        return np.array([bool(abs(q - g) <= e) for q, g, e in zip(result.quotient, result.product, excuse, strict=True)])

    def _record(self, rows: Array, proved: Array, column: int, result: Evaluation) -> None:
        name, index = self.layout.place(column)
        at = np.flatnonzero(proved)
        for row, i in zip(rows, at, strict=True):
            true = result.quotient[i] / float(result.direction[i, column])
            claimed = result.claimed[i, column]
            self.entries_wrong.append(
                WrongEntry(name, index, self.layout.sample(int(row)), claimed.str(17, radius=False), true.str(17, radius=False))
            )

    # --- the verdict ------------------------------------------------------------------------------------------------

    def _conclude(self) -> Certificate:
        entries = self.digits.size
        claimed = tuple(wrap(part) for part in self._claimed_parts())
        made = dict(entries=entries, precision=self.used, kinks=tuple(self.kinks), claimed=claimed)
        if self.wrong.any() or self.entries_wrong:
            first = sorted(self.entries_wrong, key=lambda w: (w.sample, w.parameter, w.index))
            names = sorted({w.entry for w in first})
            reason = f"{len(first)} of {entries} entries, in {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
            if not self.complete:
                reason += f"; the search ended after {_MOST_EVALUATIONS} evaluations, so more entries may be wrong"
            if not first:
                reason = "the directional derivative is wrong, but no single entry could be told"
            return Certificate(Verdict.WRONG, 0, reason=reason, wrong=tuple(first), **made)
        if self.open:
            row = min(self.open)
            where = f" (sample {self.layout.sample(row)[0]})" if self.layout.batch else ""
            count = f"{len(self.open)} of {self.layout.samples} samples: " if self.layout.batch else ""
            return Certificate(Verdict.UNDECIDED, 0, reason=f"{count}{self.open[row]}{where}", **made)
        digits = np.where(self.zero & np.isinf(self.digits), np.inf, self.digits)
        if self.rounded.any():
            worst = min(_ROUNDED_DIGITS, float(digits[~self.rounded].min(initial=np.inf)))
            reason = "numbers that float64 had rounded before they were used, so digits beyond those are not claimed"
            return Certificate(Verdict.ROUNDED, worst, reason=reason, **made)
        return Certificate(Verdict.CERTIFIED, float(digits.min()), **made)

    def _claimed_parts(self) -> list[Array]:
        edges = np.cumsum(self.layout.sizes)[:-1]
        parts = np.split(self.claimed, edges, axis=1)
        return [p.reshape(*self.layout.batch, *core) for p, core in zip(parts, self.layout.cores, strict=True)]


def _bits_for(log2_sizes: Array) -> int:
    """The rung of 256, 512, ... that a direction scaled to entries of these sizes needs at least."""
    widest = float(np.max(-log2_sizes, initial=0.0))
    return 1 << max(math.ceil(math.log2(max(widest, 0.0) + 200)), 8)


def _moved(kink: Kink, row: int, layout: Layout) -> Kink:
    return Kink(kink.parameter, kink.index, layout.sample(row), kink.low, kink.high, kink.value)
