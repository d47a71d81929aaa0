"""The search for a verdict: precision and directions are adapted until every entry of every sample is settled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
from flint import arb

from oracles.ball import BallArray, wrap
from oracles.errors import UndecidedComparisonError
from oracles.evaluation import Evaluation, Layout, draw_direction, evaluate, is_zero, log2_step, rounding_excuse
from oracles.kinks import Findings, Kink, examine
from oracles.magnitude import SMALLEST_NORMAL, SMALLEST_SUBNORMAL, log2_upper
from oracles.trial import Array, Trial, entry_name, keeps_samples_apart
from oracles.verdict import Certificate, Ruling, WrongEntry

FIRST_PRECISION = 320
"""Bits to begin with. Half of them go to the step, so that a well-conditioned gradient is certified to 40 digits."""
LAST_PRECISION = 1 << 14
_KINK_PRECISION = 1024
"""A comparison that is still open at this many bits is a tie of the point itself, not of the box around it."""
_ZERO_PRECISION = 1280
"""Bits that tell an exact zero from the smallest float64 (2^-1074) at a step of 2^-80."""
_MOST_WORK = 4_000_000
"""Where the search for wrong entries ends, in entries evaluated; the verdict says so when it does."""
_ROUNDED_DIGITS = 15.0
"""The most that is claimed of a sample that is right up to constants rounded by 2^-53."""
_ROUNDED_AT_LEAST = 10.0
"""Digits that such a sample must keep: constants that cost more leave it undecided, not right."""

_TOO_ROUNDED = f"numbers that float64 arithmetic had rounded leave fewer than {_ROUNDED_AT_LEAST:g} digits"
_NOT_FINITE = "the loss or its gradient is not finite in the neighbourhood of this point"

Outcome = Evaluation | UndecidedComparisonError


class Judge:
    """One trial. Rows are its samples and columns the entries of its gradient; the arrays say what is known of each."""

    def __init__(
        self, trial: Trial, layout: Layout, floats: Array, digits: float, precision: int, seed: int, *, literals: bool
    ) -> None:
        """`floats` is the gradient as floats (N, n): it scales the first direction, and proves nothing."""
        self.trial, self.layout, self.literals = trial, layout, literals
        self.goal, self.last = digits, precision
        self.random = np.random.default_rng(seed)
        self.separable = trial.separable(layout.batch) and keeps_samples_apart(trial, floats)
        shape = (layout.samples, layout.entries)
        self.digits = np.full(shape, -np.inf)
        with np.errstate(divide="ignore"):
            size = np.log2(np.abs(floats.astype(np.float64)))
        self.size = np.where(np.isfinite(size), size, -np.inf)  # log2 of each entry's absolute value
        self.zero = np.zeros(shape, dtype=bool)  # claims to be exactly zero
        self.claimed = np.full(shape, arb("nan"), dtype=object)
        self.wrong = np.zeros(layout.samples, dtype=bool)
        self.rounded = np.zeros(layout.samples, dtype=bool)
        self.tied: dict[int, str] = {}  # row -> the comparison that stays open
        self.open: dict[int, str] = {}  # row -> why it is undecided
        self.kinks: list[Kink] = []
        self.wrong_entries: list[WrongEntry] = []
        self.complete = True
        self.used = 0
        self.evaluations = 0

    def certificate(self) -> Certificate:
        """The verdict."""
        self._certify_values()
        self._certify_zeros()
        self._settle_ties()
        self._locate()
        return self._conclude()

    # --- evaluating some of the samples -----------------------------------------------------------------------------

    def _only(self, rows: Array) -> tuple[Trial, Layout]:
        if len(rows) == self.layout.samples:
            return self.trial, self.layout
        return self.trial.take(rows), replace(self.layout, batch=(len(rows),))

    def _evaluate(
        self, rows: Array, direction: Array, precision: int, steps: Array | None = None
    ) -> Iterator[tuple[Array, Outcome]]:
        """Evaluate samples along their rows of `direction`. Where one of them has a tie, they are tried in halves."""
        if not self.separable:
            rows = np.arange(self.layout.samples)
        trial, layout = self._only(rows)
        step = log2_step(layout, direction[rows], precision) if steps is None else steps[rows]
        self.used = max(self.used, precision)
        self.evaluations += 1
        try:
            yield rows, evaluate(trial, layout, direction[rows], step, precision, self.literals)
        except UndecidedComparisonError as error:
            if not self.separable or len(rows) == 1:
                yield rows, error
                return
            for half in np.array_split(rows, 2):
                yield from self._evaluate(half, direction, precision, steps)

    def _proved(self, rows: Array, result: Evaluation, precision: int) -> tuple[Array, Array]:
        """(proved wrong, excused): disjoint balls, without and with rounded constants that could be the reason."""
        disjoint = result.disjoint
        if not disjoint.any() or not result.rounded:
            return disjoint, np.zeros_like(disjoint)
        excuse = rounding_excuse(*self._only(rows), result, precision, self.literals)
        gap = result.quotient - result.product
        excused = disjoint & np.array([bool(abs(g) <= e) for g, e in zip(gap, excuse, strict=True)])
        return disjoint & ~excused, excused

    def _take_in(self, rows: Array, result: Evaluation, precision: int) -> None:
        guilty, excused = self._proved(rows, result, precision)
        self.wrong[rows] |= guilty
        self.rounded[rows] |= excused

    # --- certifying -------------------------------------------------------------------------------------------------

    def _pending(self) -> Array:
        """Entries that still have to be certified: (N, n)."""
        settled = self.wrong.copy()
        settled[[*self.tied, *self.open]] = True
        goal = np.where(self.rounded, min(_ROUNDED_AT_LEAST, self.goal), self.goal)  # more bits undo no rounding
        pending: Array = (self.digits < goal[:, None]) & ~self.zero & ~settled[:, None]
        return pending

    def _certify_values(self) -> None:
        """Entries that are not exactly zero, at growing precision, until each has the digits that are asked for."""
        precision, rows = FIRST_PRECISION, np.arange(self.layout.samples)
        while len(rows) and precision <= self.last:
            included = self._pending() & np.isfinite(self.size)
            direction = draw_direction(self.layout, self.size, included, self.random)
            for part, result in self._evaluate(rows, direction, precision):
                if isinstance(result, Evaluation):
                    self.claimed[part] = result.claimed
                    self.zero[part] |= is_zero(result.claimed).astype(bool)
                    self.digits[part] = np.maximum(self.digits[part], result.digits())
                    self.size[part] = np.maximum(log2_upper(result.claimed), SMALLEST_NORMAL)
                    self._take_in(part, result, precision)
                    if precision >= _KINK_PRECISION:
                        self.open |= {int(row): _NOT_FINITE for row in part[~result.finite]}
                elif precision >= _KINK_PRECISION:
                    self.tied |= {int(row): str(result) for row in part}
            pending = self._pending()
            rows = np.flatnonzero(pending.any(axis=1))
            sizes = self.size[pending & np.isfinite(self.size)]
            precision = max(precision * 3 // 2, _bits_for(sizes))
        for row in rows:
            few = f"fewer than {self.goal:g} digits at {self.last} bits"
            self.open[int(row)] = _TOO_ROUNDED if self.rounded[row] else few

    def _certify_zeros(self) -> None:
        """Entries that claim to be exactly zero: their own direction, and enough bits for the smallest float64."""
        pending = self.zero & ~self.wrong[:, None]
        pending[[*self.tied, *self.open]] = False
        precision, last = _ZERO_PRECISION, max(self.last, _ZERO_PRECISION)
        while (rows := np.flatnonzero(pending.any(axis=1))).size and precision <= last:
            direction = draw_direction(self.layout, np.zeros_like(self.size), pending, self.random)
            for part, result in self._evaluate(rows, direction, precision, self._zero_steps(precision)):
                if isinstance(result, Evaluation):
                    self._take_in(part, result, precision)
                    done = result.disjoint | (result.finite & (result.log2_gap < SMALLEST_SUBNORMAL))
                    pending[part[done]] = False
                elif precision > _ZERO_PRECISION:
                    self.tied |= {int(row): str(result) for row in part}
                    pending[part] = False
            precision *= 2
        for row in np.flatnonzero(pending.any(axis=1)):
            self.open[int(row)] = f"an entry that claims to be exactly zero is not decided at {last} bits"

    def _zero_steps(self, precision: int) -> Array:
        """log2 of h for entries that claim to be zero: as large as leaves Q a radius below the smallest float64."""
        return np.full(self.layout.samples, float(_ZERO_PRECISION - 80 - precision))

    # --- ties -------------------------------------------------------------------------------------------------------

    def _settle_ties(self) -> None:
        """Samples on a kink: certify beside the point, and compare the gradient at the point with the hull."""
        tied = np.array(sorted(self.tied), dtype=np.intp)
        for rows in np.array_split(tied, len(tied)) if self.separable and len(tied) else [tied]:
            if not len(rows):
                return
            trial, layout = self._only(rows) if self.separable else (self.trial, self.layout)
            sample = self.layout.sample(int(rows[0])) if self.separable else ()
            try:
                found = examine(trial, layout, self.random, self.literals)
            except UndecidedComparisonError as error:
                self.open |= {int(row): str(error) for row in rows}
                continue
            accusations = list(_accusations(found, layout, sample))
            if accusations:
                self.wrong_entries += accusations
                self.complete &= found.complete
                self.evaluations += found.looks
            elif found.digits < self.goal:
                self.open |= {int(row): f"fewer than {self.goal:g} digits beside a kink" for row in rows}
            else:
                self.kinks += [replace(kink, sample=sample) if self.separable else kink for kink in found.kinks]
                self.digits[rows] = found.digits
                everything = rows if self.separable else slice(None)
                self.claimed[everything] = np.reshape(found.at_point, self.claimed[everything].shape)

    # --- locating ---------------------------------------------------------------------------------------------------

    def _locate(self) -> None:
        """Every wrong entry of the wrong samples: groups of columns are halved until one column remains."""
        rows, columns = np.flatnonzero(self.wrong), np.arange(self.layout.entries)
        groups = [columns[i : i + 1] for i in columns[::-1]] if len(columns) <= 16 else [columns]
        budget = self.evaluations + max(2 * len(groups) + 64, _MOST_WORK // self.digits.size)
        while groups and rows.size:
            if self.evaluations > budget:
                self.complete = False
                return
            group = groups.pop()
            if self._any_guilty(rows, group) and len(group) > 1:
                groups += np.array_split(group, 2)[::-1]

    def _any_guilty(self, rows: Array, group: Array) -> bool:
        """Whether any of the samples is proved wrong in a group of columns; a group of one is recorded."""
        found = False
        for claims_zero in (False, True):
            included = np.zeros_like(self.zero)
            included[np.ix_(rows, group)] = self.zero[np.ix_(rows, group)] == claims_zero
            if not included.any():
                continue
            size = np.zeros_like(self.size) if claims_zero else self.size
            direction = draw_direction(self.layout, size, included, self.random)
            precision = max(self.used, _ZERO_PRECISION if claims_zero else FIRST_PRECISION)
            steps = self._zero_steps(precision) if claims_zero else None
            for part, result in self._evaluate(rows, direction, precision, steps):
                if isinstance(result, Evaluation):
                    guilty, _ = self._proved(part, result, precision)
                    found |= bool(guilty.any())
                    if len(group) == 1:
                        self._record(part, guilty, int(group[0]), result)
        return found

    def _record(self, rows: Array, guilty: Array, column: int, result: Evaluation) -> None:
        name, index = self.layout.place(column)
        for i in np.flatnonzero(guilty):
            true = result.quotient[i] / float(result.direction[i, column])
            claimed, sample = result.claimed[i, column], self.layout.sample(int(rows[i]))
            self.wrong_entries.append(WrongEntry(name, index, sample, *_told_apart(claimed, true)))

    # --- the verdict ------------------------------------------------------------------------------------------------

    def _conclude(self) -> Certificate:
        made = Certificate(
            Ruling.CERTIFIED,
            entries=self.digits.size,
            precision=self.used,
            kinks=tuple(self.kinks),
            literals=self.literals,
            claimed=self._claimed_parts(),
        )
        if self.wrong.any() or self.wrong_entries:
            wrong = tuple(sorted(self.wrong_entries, key=lambda w: (w.sample, w.parameter, w.index)))
            return replace(made, ruling=Ruling.WRONG, wrong=wrong, reason=self._accusation(wrong))
        if self.open:
            row = min(self.open)
            reason = self.open[row]
            if self.layout.batch:
                reason = f"{len(self.open)} of {self.layout.samples} samples, the first is {row}: {reason}"
            return replace(made, ruling=Ruling.UNDECIDED, reason=reason)
        digits = np.where(self.zero, np.inf, self.digits)  # what claims to be zero is, or it would be wrong or open
        if self.rounded.any():
            digits[self.rounded] = np.clip(digits[self.rounded], 0.0, _ROUNDED_DIGITS)
            reason = "it uses numbers that float64 arithmetic had rounded; no digit beyond theirs is claimed"
            return replace(made, ruling=Ruling.ROUNDED, digits=float(digits.min()), reason=reason)
        return replace(made, digits=float(digits.min()))

    def _accusation(self, wrong: tuple[WrongEntry, ...]) -> str:
        if not wrong:
            return "the directional derivative is wrong, but no single entry could be told"
        names = list(dict.fromkeys(w.entry for w in wrong))
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        text = f"{len(wrong)} of {self.digits.size} entries, in {listed}"
        if not self.complete:
            text += f"; the search ended after {self.evaluations} evaluations, so more may be wrong"
        return text

    def _claimed_parts(self) -> tuple[BallArray, ...]:
        parts = np.split(self.claimed, np.cumsum(self.layout.sizes)[:-1], axis=1)
        shapes = [(*self.layout.batch, *core) for core in self.layout.cores]
        return tuple(wrap(part.reshape(shape)) for part, shape in zip(parts, shapes, strict=True))


def _bits_for(log2_sizes: Array) -> int:
    """The bits that a direction scaled to entries of these sizes needs at least, to a multiple of 64.

    The step shrinks with the smallest entry, and a subject that gets at a tiny entry by subtraction needs as much again
    of headroom: 640 bits more are enough for the textbook tanh at the smallest normal float64.
    """
    widest = max(float(np.max(-log2_sizes, initial=0.0)), 0.0)
    return 64 * math.ceil((widest + 640) / 64) if widest > 128 else FIRST_PRECISION


def _told_apart(claimed: arb, true: arb) -> tuple[str, str]:
    """Both in as many digits as it takes to see that they differ, 17 at least."""
    for digits in (17, 26, 40):
        texts = _text(claimed, digits), _text(true, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _text(ball: arb, digits: int = 17) -> str:
    return f"{Decimal(ball.mid().str(digits + 3, radius=False)):.{digits}g}"


def _accusations(found: Findings, layout: Layout, sample: tuple[int, ...]) -> Iterator[WrongEntry]:
    for miss in found.outside:
        places = [layout.place(column) for column in miss.columns]
        where = sample or layout.sample(miss.row)
        low, high = _text(miss.low), _text(miss.high)
        bounds = f"in the hull of the one-sided derivatives, {low} to {high}"
        if miss.weights == (1.0,):
            yield WrongEntry(*places[0], where, _text(miss.value), bounds)
        else:
            combined = _sum(miss.weights, [entry_name(*place) for place in places])
            yield WrongEntry(combined, (), where, _text(miss.value), bounds)
    beside = found.wrong_beside
    if beside is not None:
        at = int(np.flatnonzero(beside.disjoint)[0])
        for column, claimed, true in found.beside:
            yield WrongEntry(*layout.place(column), sample, *_told_apart(claimed, true))
        if not found.beside:
            texts = _told_apart(beside.product[at], beside.quotient[at])
            yield WrongEntry("a directional derivative beside the kink", (), sample, *texts)


def _sum(weights: Sequence[float], names: Sequence[str]) -> str:
    """A weighted sum of entries in words: `x[0] + x[1] - 0.5 x[3]`."""
    sizes = ["" if abs(w) == 1 else f"{abs(w):g} " for w in weights]
    terms = [f"{'-' if w < 0 else '+'} {size}{name}" for w, size, name in zip(weights, sizes, names, strict=True)]
    first, *others = terms
    return " ".join([first.removeprefix("+ ").replace("- ", "-", 1), *others])
