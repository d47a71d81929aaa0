"""A wrong trial where repairs of it are tried, in floats and under a limit: what is wrong, and whether it still is."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from time import process_time

import numpy as np

from oracles.certificate import Certificate
from oracles.diagnosis_edits import EDITED
from oracles.diagnosis_elsewhere import elsewhere
from oracles.diagnosis_slopes import CLOSE, INVISIBLE, Gradients, Slopes, slopes_of, two_slopes_of
from oracles.trial import Array, ContractError, Trial, keeps_samples_apart
from oracles.watching import TooLong, limited

Columns = Array
"""Which entries of the gradient, over all samples: (n,) of bool."""
_MOST_SAMPLES = 8
_TIMES, _AT_LEAST = 4, 200
"""A candidate may run so many times the lines that the code has now, and some more."""
_AT_LEAST_SECONDS = 1.0
"""And may take so many times the seconds, and one more."""
_BY_A_PROOF = 60
"""A proof runs the code a few times, on balls, some of which need more rounds of a loop."""


class Bench:
    """A trial in floats, on a few of its samples where they can be tried on their own."""

    def __init__(self, trial: Trial, certificate: Certificate, files: Collection[str]) -> None:
        """`files` are those of the functions that will be edited. Raises whatever the loss raises."""
        self.files = frozenset({*files, EDITED})
        self.most_lines, self.most_seconds, self.ran = 10**7, math.inf, 0
        self.most_numbers: float = math.inf
        self.literals = certificate.literals
        self.trial = _smaller(trial, certificate, self.of(trial))
        self.value = np.array(self.trial.value(self.trial.arguments(lifted=False)), dtype=np.float64)
        started = process_time()
        self.before = self.of(self.trial)
        self.lines = self.ran
        self.most_lines = _TIMES * self.lines + _AT_LEAST
        self.most_seconds = _TIMES * (process_time() - started) + _AT_LEAST_SECONDS
        self.most_numbers = 10 * self.value.size * sum(p.size for p in self.trial.parameters)
        self.slopes = slopes_of(self.trial, self.literals)
        self.errors = None if self.before is None else self.slopes.errors(self.before)
        self.wrong = self._wrong(certificate)
        if self.before is not None and sum(g.size for g in self.before) != self.wrong.size * self.value.size:
            self.before = self.errors = None  # it has not the shape of a gradient
        self.elsewhere = [s for made in elsewhere(self.trial) if (s := self._slopes_at(made)) is not None]

    @property
    def is_invisible(self) -> bool:
        """Whether the floats do not show that anything is wrong."""
        return self.errors is not None and bool(np.all(self.errors[:, 1] <= INVISIBLE))

    @property
    def tolerance(self) -> float:
        """Of typical errors: less than what is wrong is wrong by."""
        wrong = self.errors[:, 1] if self.errors is not None else np.zeros(0)
        return float(np.min(wrong[wrong > INVISIBLE] / 30, initial=CLOSE))

    def _slopes_at(self, trial: Trial) -> Slopes | None:
        try:
            slopes = two_slopes_of(trial, self.literals)
        except Exception:  # of any kind: the loss may not be defined there
            return None
        return slopes if slopes.useful else None

    def _wrong(self, certificate: Certificate) -> Columns:
        """As the certificate has it; all, if it does not tell."""
        batch = self.value.shape
        cores = [p.shape[len(batch) :] if p.shape[: len(batch)] == batch else p.shape for p in self.trial.parameters]
        parts = {name: np.zeros(core, dtype=bool) for name, core in zip(self.trial.names, cores, strict=True)}
        for entry in certificate.wrong:
            if entry.parameter in parts:  # and not a sum of entries, as at a tie
                parts[entry.parameter][entry.index] = True
        wrong = np.concatenate([part.ravel() for part in parts.values()])
        return wrong if wrong.any() else ~wrong

    # --- running ----------------------------------------------------------------------------------------------------

    def of(self, trial: Trial) -> Gradients | None:
        """The gradient of a trial by the code as it is now; None if it raises, or runs much longer than it did."""
        try:
            with limited(self.files, self.most_lines, self.most_seconds) as lines:
                trial.value(trial.arguments(lifted=False))  # a gradient may need what it leaves behind
                gradients = trial.gradient(trial.arguments(lifted=False))
            if sum(map(np.size, gradients)) > self.most_numbers:
                return None  # zeros that nothing was written into take no memory before they are copied
            return [np.array(g, dtype=np.float64) for g in gradients]
        except (Exception, TooLong):  # an edit may make anything of the code
            return None
        finally:
            self.ran = lines.count

    @contextmanager
    def proving(self, file: str) -> Iterator[None]:
        """Meanwhile a repair from this file is proved: balls take more lines, and no end of them is no proof."""
        with limited(self.files | {file}, _BY_A_PROOF * self.most_lines):
            yield

    def keeps_the_loss(self) -> bool:
        """Whether the loss is what it was."""
        try:
            with limited(self.files, self.most_lines, self.most_seconds):
                now = np.asarray(self.trial.value(self.trial.arguments(lifted=False)), dtype=np.float64)
        except (Exception, TooLong):  # see `of`
            return False
        return np.array_equal(now, self.value, equal_nan=True)

    # --- judging ----------------------------------------------------------------------------------------------------

    def is_right(self) -> bool:
        """Whether the code as it is now has the slopes of the loss, which is what it was; here and elsewhere."""
        gradients = self.of(self.trial)
        if gradients is None or not self.slopes.right(gradients, self.errors) or not self.keeps_the_loss():
            return False
        for slopes in self.elsewhere:
            there = self.of(slopes.trial)
            if there is None or not slopes.right(there):
                return False
        return True

    def changed(self) -> Columns | None:
        """Which entries are not what they were, with the loss as it was; None if there is nothing to compare."""
        now = self.of(self.trial)
        if now is None or self.before is None or [g.shape for g in now] != [g.shape for g in self.before]:
            return None
        if not self.keeps_the_loss():
            return None
        batch = self.value.shape
        pairs = [
            (a.reshape(*batch, -1).reshape(self.value.size, -1), b.reshape(self.value.size, -1))
            for a, b in zip(self.before, now, strict=True)
        ]
        return np.concatenate([~((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=0) for a, b in pairs])


def _smaller(trial: Trial, certificate: Certificate, gradients: Gradients | None) -> Trial:
    """The trial on a few samples, some of them wrong for each wrong entry; as it is, where that would change it."""
    if gradients is None:
        return trial
    value = np.asarray(trial.value(trial.arguments(lifted=False)))
    if not trial.separable(value.shape) or len(value) <= _MOST_SAMPLES:
        return trial
    try:
        if not keeps_samples_apart(trial, np.concatenate([g.reshape(len(value), -1) for g in gradients], axis=1)):
            return trial
    except (ContractError, ValueError):  # it has not the shape of a gradient
        return trial
    first = {w.entry: w.sample[0] for w in reversed(certificate.wrong) if w.sample}
    guilty = sorted({w.sample[0] for w in certificate.wrong if w.sample})
    innocent = sorted(set(range(len(value))) - set(guilty))
    return trial.take(np.array(sorted({*first.values(), *_spread(guilty, _MOST_SAMPLES - 2), *_spread(innocent, 2)})))


def _spread(rows: list[int], count: int) -> list[int]:
    """Some of the rows, from the first to the last."""
    return [rows[i] for i in np.linspace(0, len(rows) - 1, count).astype(int)] if rows else []
