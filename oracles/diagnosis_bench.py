"""A wrong trial where repairs of it are tried in floats: what is wrong of its gradient, and whether it still is.

The certificate says what is true of each entry; where it does not, directional derivatives do, from the loss on balls
or, if balls cannot run it, from differences. Floats prove nothing: what passes here is put to the proof.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cached_property
from types import FrameType
from typing import Any, TypeAlias

import numpy as np

from oracles.ball import balls, lift
from oracles.certificate import Certificate
from oracles.subject import on_balls
from oracles.trial import Array, Trial, layer_trial, loss_trial
from oracles.tree import is_float_leaf, leaves, map_leaves

CLOSE = 1e-9
"""How near a repaired gradient must come in floats, relative to the largest entry of its column or to the sum of terms."""
CLOSE_BY_DIFFERENCES = 1e-5
FAINT = 1e-8
"""Relative errors below this may hide in rounding: each is then measured against what it was before."""
INVISIBLE = 1e-14
"""Relative errors below this do hide in it."""
_LESS = 30
"""By how much a faint error must fall."""
_MOST_SAMPLES = 8
_MOST_MEASURED = 24
_H = 2.0**-80
_PRECISION = 320
_MOST_RESIZED = 3

Gradients: TypeAlias = list[Array]
Groups: TypeAlias = Array
"""Which parts of the gradient: of one parameter its entries, over all samples; of several, if no more is known, each."""


class TooLong(BaseException):
    """Edited code runs much longer than it did: a loop without an end."""


class Bench:
    """A trial in floats, on a few of its samples where they can be tried on their own."""

    def __init__(self, trial: Trial, certificate: Certificate) -> None:
        """Raises whatever the trial raises: nothing can then be measured."""
        self.needs_value = _needs_value(trial)
        self.trial, self.certificate = trial, certificate
        self.guard: Guard | None = None
        self.value = np.array(trial.value(trial.arguments(lifted=False)), dtype=np.float64)
        known = _known(trial, certificate, self.value.shape)
        first = self.gradients()
        if known is not None and (first is None or not _follows(trial, known, certificate.literals)):
            known = None  # the certificate has not told everything
        if first is not None and trial.separable(self.value.shape):
            rows = _few_rows(len(self.value), known)
            some = trial.take(rows)
            if _same_rows(self.of(some), first, rows):
                self.trial, known = some, known.take(rows) if known is not None else None
                self.value = np.array(some.value(some.arguments(lifted=False)), dtype=np.float64)
        self.reference: Reference = known or self._measured(certificate.literals)
        self.before = self.gradients()
        self.groups = self.reference.groups
        self.wrong: Groups = ~self.right(self.before)
        self.samples = self.reference.samples
        self.parameters = self.reference.parameters
        self.elsewhere = [slopes for made in _elsewhere(self.trial) if (slopes := self._slopes(made)) is not None]

    def _measured(self, literals: bool) -> Reference:
        """What is true by slopes: of each entry if there are not many, or else of each parameter."""
        gradients, batch = self.gradients(), self.value.shape
        if gradients is not None and _are_entries(self.trial, gradients, batch):
            flat = np.concatenate([np.reshape(g, (self.value.size, -1)) for g in gradients], axis=1)
            if flat.shape[1] <= _MOST_MEASURED:
                return Entries.measured(self.trial, flat, tuple(g.shape for g in gradients), literals)
        return Directions.single(self.trial, literals)

    def _slopes(self, trial: Trial) -> Directions | None:
        try:
            slopes = Directions.all_together(trial, self.certificate.literals)
        except Exception:  # the loss may not be defined there
            return None
        return slopes if slopes.useful else None

    # --- running ----------------------------------------------------------------------------------------------------

    def gradients(self) -> Gradients | None:
        """Of the code as it is now; None if it raises."""
        return self.of(self.trial)

    def of(self, trial: Trial) -> Gradients | None:
        try:
            if self.guard is None:
                return self._run(trial)
            with self.guard:
                return self._run(trial)
        except (Exception, TooLong):  # an edit may make anything of the code
            return None

    def _run(self, trial: Trial) -> Gradients:
        if self.needs_value:
            trial.value(trial.arguments(lifted=False))
        return [np.asarray(g, dtype=np.float64) for g in trial.gradient(trial.arguments(lifted=False))]

    def keeps_the_loss(self) -> bool:
        """Whether the loss is what it was."""
        try:
            now = np.asarray(self.trial.value(self.trial.arguments(lifted=False)), dtype=np.float64)
        except Exception:  # see `of`
            return False
        return np.array_equal(now, self.value, equal_nan=True)

    # --- judging ----------------------------------------------------------------------------------------------------

    def right(self, gradients: Gradients | None) -> Groups:
        """Which groups are right."""
        return np.zeros(self.groups, dtype=bool) if gradients is None else self.reference.right(gradients)

    def right_elsewhere(self) -> bool:
        """Whether the gradient is right at other values, and for other sizes, as well."""
        for slopes in self.elsewhere:
            gradients = self.of(slopes.trial)
            if gradients is None or not slopes.right(gradients).all():
                return False
        return True

    def changed(self, gradients: Gradients | None) -> Groups | None:
        """Which groups are not what they were; None if there is no gradient to compare."""
        if gradients is None or self.before is None or [g.shape for g in gradients] != [g.shape for g in self.before]:
            return None
        return self.reference.changed(self.before, gradients)

    @property
    def error(self) -> float:
        """The typical relative error of a wrong entry."""
        return self.reference.error


# --- what is true ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entries:
    """What is true of the entries (N, n) at the point itself."""

    true: Array
    claimed: Array
    known: Array
    shapes: tuple[tuple[int, ...], ...]
    close: float = CLOSE

    @classmethod
    def measured(cls, trial: Trial, claimed: Array, shapes: tuple[tuple[int, ...], ...], literals: bool) -> Entries:
        """From the slope of the loss along each entry."""
        units = Directions.unit(trial, shapes, literals)
        true = np.stack([s.ravel() for s in units.slopes], axis=1)
        made = cls(true, claimed, np.isfinite(true), shapes, units.close)
        off = np.abs(claimed - true) > units.close * made.scale
        return replace(made, claimed=np.where(off, claimed, true))

    def take(self, rows: Array) -> Entries:
        shapes = tuple((len(rows), *shape[1:]) for shape in self.shapes)
        return Entries(self.true[rows], self.claimed[rows], self.known[rows], shapes, self.close)

    @cached_property
    def scale(self) -> Array:
        """Of each entry: the largest of its column, or of its parameter if there is one sample."""
        sizes = np.where(self.known, np.abs(self.true), 0.0)
        if len(sizes) > 1:
            return np.broadcast_to(sizes.max(axis=0), sizes.shape)
        parts = np.split(sizes, np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1], axis=1)
        return np.concatenate([np.full(part.shape, part.max(initial=0.0)) for part in parts], axis=1)

    @cached_property
    def wrong(self) -> Array:
        """(N, n)"""
        return self.known & (self.true != self.claimed)

    @cached_property
    def errors(self) -> Array:
        """Of each column the median relative error of its wrong entries; 0 without any."""
        with np.errstate(all="ignore"):
            relative = np.where(self.wrong, np.abs(self.claimed - self.true) / np.abs(self.true), np.nan)
        return np.array([_median(column) for column in relative.T])

    @property
    def samples(self) -> int:
        return len(self.true)

    @property
    def groups(self) -> int:
        return int(self.true.shape[1])

    @property
    def parameters(self) -> list[Groups]:
        """The groups of each parameter."""
        sizes = [int(np.prod(shape)) // self.samples for shape in self.shapes]
        owner = np.repeat(np.arange(len(sizes)), sizes)
        return [owner == i for i in range(len(sizes))]

    @property
    def error(self) -> float:
        wrong = self.errors[self.errors > 0]
        return float(np.median(wrong)) if wrong.size else 0.0

    def right(self, gradients: Gradients) -> Groups:
        if tuple(g.shape for g in gradients) != self.shapes:
            return np.zeros(self.true.shape[1], dtype=bool)
        flat = self._flat(gradients)
        with np.errstate(all="ignore"):
            off = np.abs(flat - self.true)
            near = (off <= self.close * self.scale) | ~self.known
            relative = np.where(self.wrong, off / np.abs(self.true), np.nan)
        right: Groups = near.all(axis=0)
        for column in np.flatnonzero((self.errors > 0) & (self.errors < FAINT)):
            right[column] &= bool(_median(relative[:, column]) < self.errors[column] / _LESS)
        return right

    def changed(self, before: Gradients, after: Gradients) -> Groups:
        a, b = self._flat(before), self._flat(after)
        changed: Groups = ~((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=0)
        return changed

    def _flat(self, gradients: Gradients) -> Array:
        return np.concatenate([np.reshape(g, (len(self.true), -1)) for g in gradients], axis=1, dtype=np.float64)


def _median(values: Array) -> float:
    finite = values[~np.isnan(values)]
    return float(np.median(finite)) if finite.size else 0.0


@dataclass(frozen=True)
class Directions:
    """The slopes of the loss in some directions, which a right gradient has: groups are the parameters in them."""

    trial: Trial
    directions: tuple[tuple[Array, ...], ...]
    slopes: tuple[Array, ...]
    close: float
    error: float = 1.0

    @classmethod
    def single(cls, trial: Trial, literals: bool) -> Directions:
        """A random direction for each parameter."""
        count = len(trial.parameters)
        return cls._of(trial, [[float(i == j) for j in range(count)] for i in range(count)], literals)

    @classmethod
    def unit(cls, trial: Trial, shapes: Sequence[tuple[int, ...]], literals: bool) -> Directions:
        """A direction for each entry: all samples move at once."""
        batch = np.ndim(trial.value(trial.arguments(lifted=False)))
        directions = []
        for i, shape in enumerate(shapes):
            for index in np.ndindex(shape[batch:]):
                moved = [np.zeros(p.shape) for p in trial.parameters]
                moved[i][(..., *index)] = 1.0
                directions.append(tuple(moved))
        return cls._along(trial, tuple(directions), literals)

    @classmethod
    def all_together(cls, trial: Trial, literals: bool) -> Directions:
        """Two directions that move all parameters."""
        return cls._of(trial, [[1.0] * len(trial.parameters)] * 2, literals)

    @classmethod
    def _of(cls, trial: Trial, moved: Sequence[Sequence[float]], literals: bool) -> Directions:
        random = np.random.default_rng(0)
        directions = tuple(
            tuple(np.asarray(random.standard_normal(p.shape)) * on for p, on in zip(trial.parameters, row, strict=True))
            for row in moved
        )
        return cls._along(trial, directions, literals)

    @classmethod
    def _along(cls, trial: Trial, directions: tuple[tuple[Array, ...], ...], literals: bool) -> Directions:
        try:
            return cls(trial, directions, tuple(_slope(trial, d, literals) for d in directions), CLOSE)
        except Exception:  # of any kind: balls cannot run it
            slopes = tuple(_difference(trial, d) for d in directions)
            return cls(trial, directions, slopes, CLOSE_BY_DIFFERENCES)
        finally:
            trial.value(trial.arguments(lifted=False))

    @property
    def samples(self) -> int:
        return int(self.slopes[0].size)

    @property
    def groups(self) -> int:
        return len(self.directions)

    @property
    def parameters(self) -> list[Groups]:
        return list(np.eye(self.groups, dtype=bool))

    @property
    def useful(self) -> bool:
        """Whether there is a slope at all: not every sample is on a kink, or outside of the loss's domain."""
        return all(bool(np.isfinite(s).any()) for s in self.slopes)

    def right(self, gradients: Gradients) -> Groups:
        return np.array([self._gives(gradients, d, s) for d, s in zip(self.directions, self.slopes, strict=True)])

    def _gives(self, gradients: Gradients, direction: Sequence[Array], slope: Array) -> bool:
        total, size = np.zeros(slope.shape), np.abs(slope)
        for gradient, along in zip(gradients, direction, strict=True):
            if not along.any():
                continue
            if gradient.shape not in (along.shape, slope.shape + along.shape):
                return False
            terms = (gradient * along).reshape(*slope.shape, -1)
            total, size = total + terms.sum(axis=-1), size + np.abs(terms).sum(axis=-1)
        return bool(np.all((np.abs(total - slope) <= self.close * size) | ~np.isfinite(slope)))

    def changed(self, before: Gradients, after: Gradients) -> Groups:
        return np.array([not np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True)])


Reference: TypeAlias = Entries | Directions


def _slope(trial: Trial, direction: Sequence[Array], literals: bool) -> Array:
    """(f(x + h d) - f(x - h d)) / 2h on balls, as floats: exact for every purpose of floats; NaN at kinks."""
    with on_balls(trial.subject, _PRECISION, literals=literals):
        ahead, here, behind = (
            balls(trial.value(trial.arguments([lift(p) + lift(d) * (s * _H) for p, d in pairs])))
            for s in (1, 0, -1)
            for pairs in [list(zip(trial.parameters, direction, strict=True))]
        )
        slope, bend = _floats((ahead - behind) / (2 * _H)), _floats((ahead - 2 * here + behind) / _H)
    return np.where(np.abs(bend) <= 2.0**-30 * (1 + np.abs(slope)), slope, np.nan)


def _floats(values: Any) -> Array:
    floats = [float(b.mid()) if b.is_finite() else np.nan for b in values._a.ravel()]
    return np.array(floats, dtype=np.float64).reshape(values._a.shape)


def _difference(trial: Trial, direction: Sequence[Array]) -> Array:
    """The same from floats, for what balls cannot run."""

    def value(t: float) -> Array:
        moved = [p + p.dtype.type(t) * d.astype(p.dtype) for p, d in zip(trial.parameters, direction, strict=True)]
        made = trial.value(trial.arguments([m if m.ndim else m[()] for m in moved], lifted=False))
        return np.asarray(made, dtype=np.float64)

    h = 1e-4
    wide, narrow = ((value(s * h) - value(-s * h)) / (2 * s * h) for s in (2.0, 1.0))
    return (4 * narrow - wide) / 3


def _known(trial: Trial, certificate: Certificate, batch: tuple[int, ...]) -> Entries | None:
    """What the certificate says: the claims, and what is true instead of the wrong ones. None if it does not say."""
    if not certificate.wrong or len(certificate.claimed) != len(trial.parameters):
        return None
    shapes = tuple(tuple(int(n) for n in c._a.shape) for c in certificate.claimed)
    true = [_or_nan(c._a) for c in certificate.claimed]
    claimed, known = [t.copy() for t in true], [np.isfinite(t) for t in true]
    at = {name: i for i, name in enumerate(trial.names)}
    for wrong in certificate.wrong:
        i = at.get(wrong.parameter)
        values = _number(wrong.claimed), _number(wrong.true)
        if i is None or None in values:  # at a kink
            if not wrong.sample:
                return None
            for part in known:
                part[wrong.sample] = False
            continue
        claimed[i][(*wrong.sample, *wrong.index)], true[i][(*wrong.sample, *wrong.index)] = values
    for kink in certificate.kinks:
        known[at[kink.parameter]][(*kink.sample, *kink.index)] = False
    rows = int(np.prod(batch, dtype=int))
    flat = [np.concatenate([p.reshape(rows, -1) for p in parts], axis=1) for parts in (true, claimed, known)]
    return Entries(flat[0], flat[1], flat[2], shapes)


def _or_nan(values: Array) -> Array:
    floats = [np.nan if b is None or not b.is_finite() else float(b.mid()) for b in values.ravel()]
    return np.array(floats, dtype=np.float64).reshape(values.shape)


def _number(text: str) -> float | None:
    try:
        return float(Decimal(text))
    except InvalidOperation:
        return None


def _follows(trial: Trial, known: Entries, literals: bool) -> bool:
    """Whether what is known gives the slope of the loss: it is then all there is to know."""
    true = np.where(known.known, known.true, 0.0)
    counts = np.cumsum([int(np.prod(shape)) // len(true) for shape in known.shapes])[:-1]
    parts = [part.reshape(shape) for part, shape in zip(np.split(true, counts, axis=1), known.shapes, strict=True)]
    slopes = Directions.all_together(trial, literals)
    some = known.known.all(axis=1)
    if len(true) == 1 and not some.all():
        return True  # on a kink: no slope says anything
    blank = tuple(np.where(some.reshape(s.shape), s, np.nan) if s.size == len(some) else s for s in slopes.slopes)
    return bool(replace(slopes, slopes=blank, close=1e-6).right(parts).all())


def _few_rows(count: int, known: Entries | None) -> Array:
    """Some samples, among them one at least for each column that is wrong, and some that are right."""
    wrong = known.wrong if known is not None else np.ones((count, 1), dtype=bool)
    guilty, innocent = np.flatnonzero(wrong.any(axis=1)), np.flatnonzero(~wrong.any(axis=1))
    chosen = {*_spread(guilty, _MOST_SAMPLES - 2), *_spread(innocent, 2)}
    for column in np.flatnonzero(wrong.any(axis=0)):
        if not wrong[sorted(chosen), column].any():
            chosen.add(int(np.flatnonzero(wrong[:, column])[0]))
    return np.array(sorted(chosen), dtype=np.intp)


def _spread(rows: Array, count: int) -> list[int]:
    """Some of the rows, from the first to the last."""
    return [int(rows[i]) for i in np.linspace(0, len(rows) - 1, count).astype(int)] if len(rows) else []


def _are_entries(trial: Trial, gradients: Gradients, batch: tuple[int, ...]) -> bool:
    """Whether gradients have the shapes that they should have."""
    return all(
        g.shape == (p.shape if p.shape[: len(batch)] == batch else batch + p.shape)
        for p, g in zip(trial.parameters, gradients, strict=True)
    )


def _same_rows(some: Gradients | None, whole: Gradients | None, rows: Array) -> bool:
    if some is None or whole is None:
        return False
    if any(a.shape != (len(rows), *b.shape[1:]) for a, b in zip(some, whole, strict=True)):
        return False
    return all(np.allclose(a, b[rows], rtol=1e-12, atol=0, equal_nan=True) for a, b in zip(some, whole, strict=True))


def _needs_value(trial: Trial) -> bool:
    """Whether the gradient uses what the last call of the loss left behind."""
    if trial.gradient_needs_value or trial.pullback is not None:
        return trial.gradient_needs_value
    elsewhere = [p * p.dtype.type(1.25) + p.dtype.type(0.5) for p in trial.parameters]
    found = []
    for parameters in (trial.parameters, elsewhere):
        with contextlib.suppress(Exception):  # elsewhere may be outside the loss's domain
            trial.value(trial.arguments([p if p.ndim else p[()] for p in parameters], lifted=False))
            found.append([np.asarray(g, dtype=np.float64) for g in trial.gradient(trial.arguments(lifted=False))])
    trial.value(trial.arguments(lifted=False))
    return len(found) == 2 and not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*found, strict=True))


# --- elsewhere ------------------------------------------------------------------------------------------------------


def _elsewhere(trial: Trial) -> Iterator[Trial]:
    """The same trial at other values, and with fewer of what its axes count, as far as it can be had so."""
    for spread in (0.5, 0.05):
        moved = _moved(trial, spread, (1.0, 1.0))
        if _is_finite(moved):
            yield moved
            break
    turned = _moved(trial, 0.5, (-1.0, 1.0))
    if _is_finite(turned):
        yield turned
    made = 0
    for length in sorted({n for a in trial.args for _, leaf in leaves(a) for n in np.shape(leaf) if n > 1}):
        resized = _resized(trial, length)
        if resized is not None and made < _MOST_RESIZED:
            made += 1
            yield resized


def _moved(trial: Trial, spread: float, signs: Sequence[float]) -> Trial:
    """Every number that is differentiated by times 1 - spread to 1 + spread and a sign; zeros become small numbers."""
    random = np.random.default_rng(1)

    def moved(leaf: Any) -> Any:
        values = np.asarray(leaf)
        near = values * random.uniform(1 - spread, 1 + spread, values.shape) * random.choice(signs, values.shape)
        made = np.where(values == 0, 0.1 * random.standard_normal(values.shape), near).astype(values.dtype)
        return made if made.ndim else made[()]

    args = [map_leaves(moved, a) if i in trial.wrt else a for i, a in enumerate(trial.args)]
    return replace(trial, args=tuple(args))


def _resized(trial: Trial, length: int) -> Trial | None:
    """The trial with one entry less along every axis of a length; None if that is no trial."""

    def shorter(leaf: Array) -> Array:
        return leaf[tuple(slice(length - 1) if n == length else slice(None) for n in leaf.shape)]

    def cut(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return shorter(value)
        if isinstance(value, dict):
            return {k: cut(v) for k, v in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(cut, value))
        return type(value)(map(cut, value)) if isinstance(value, list | tuple) else value

    args = tuple(cut(a) for a in trial.args)
    if len(trial.subject) != 2:
        return None
    wrt: Any = trial.wrt if len(trial.wrt) > 1 else trial.wrt[0]
    try:
        if trial.pullback is not None:
            made = layer_trial(*trial.subject, args, trial.wrt, 0)
        else:
            made = replace(loss_trial(*trial.subject, args, wrt), gradient_needs_value=trial.gradient_needs_value)
        return made if _is_finite(made) and _fits(made) else None
    except Exception:  # of any kind: other sizes may not go together
        return None


def _is_finite(trial: Trial) -> bool:
    try:
        return bool(np.isfinite(np.asarray(trial.value(trial.arguments(lifted=False)), dtype=np.float64)).all())
    except Exception:
        return False


def _fits(trial: Trial) -> bool:
    return all(is_float_leaf(p) for p in trial.parameters)


# --- loops without an end -------------------------------------------------------------------------------------------


class Guard:
    """Stops code that takes many times the lines that it took at first. For functions with loops that count nothing."""

    _TIMES, _AT_LEAST = 4, 200

    def __init__(self, files: Sequence[str], run: Callable[[], object]) -> None:
        self.files, self.most, self.lines = frozenset(files), sys.maxsize, 0
        with self:
            run()
        self.most = self.lines * self._TIMES + self._AT_LEAST

    def __enter__(self) -> None:
        self.lines, self.before = 0, sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.before)

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename not in self.files and not frame.f_code.co_filename.startswith("<"):
            return None
        self.lines += 1
        if self.lines > self.most:
            raise TooLong
        return self._trace


def opcodes(run: Callable[[], object]) -> int:
    """How many steps of the interpreter a run takes: its cost, the same on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(Exception):
            run()
    finally:
        sys.settrace(before)
    return count
