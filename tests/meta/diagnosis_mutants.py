"""Single mistakes planted in the backwards of the registry, and what the diagnosis says of each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from types import FunctionType
from typing import Any

import numpy as np

from oracles.certificate import certify_trial
from oracles.diagnosis import Diagnosis, diagnose
from oracles.diagnosis_edits import functions_run
from oracles.mutation import OPERATORS, Mutant, made_by
from oracles.registration import Subject
from oracles.trial import Trial
from oracles.verdict import Certificate, Ruling

SAMPLES = 32
COLUMNS = 8
ENGINE = "manual.scalar_engine"
"""Its operations are forward and backward in one line, so that the loss calls the backward's functions too."""


@dataclass(frozen=True)
class Case:
    """A mutant of a backward whose gradient is proved wrong, and what the diagnosis said of it."""

    subject: str
    mutant: Mutant
    diagnosis: Diagnosis | None
    seconds: float
    """Of this process."""

    @property
    def outcome(self) -> str:
        """Right if the mutated line is named, or the correction gives the original back; a value alone is no cause."""
        d, m = self.diagnosis, self.mutant
        if d is None or not d.line:
            return "none"
        undone = (d.before, d.after) == (m.after, m.before)
        return "right" if undone or (d.line == m.line and m.id in d.file) else "wrong"

    def __str__(self) -> str:
        return f"{self.outcome}: {self.subject}: {self.mutant}\n    -> {self.diagnosis}"


def trial_of(subject: Subject) -> Trial:
    """Some samples of one draw."""
    args = subject.drawn(np.random.default_rng(0), 1.0)
    if args[0].ndim == 1:  # one gradient of all samples, which are columns
        args = (args[0], *(a[:, :COLUMNS] for a in args[1:]))
    trial = subject.trial(args)
    batch = np.shape(trial.value(trial.arguments(lifted=False)))
    return trial.take(np.arange(SAMPLES)) if trial.separable(batch) and batch[0] > SAMPLES else trial


def backward_functions(trial: Trial) -> list[FunctionType]:
    """What the gradient runs and the loss does not, and of an engine both."""
    for_loss, for_gradient = functions_run(trial)
    return [f for f in for_gradient if f not in for_loss or f.__module__ == ENGINE]


def _is_backward(mutant: Mutant) -> bool:
    """Of an operation of the engine: the derivatives by its operands, which stand in the same line as its value."""
    before = mutant._source.text.encode()[: mutant._pieces[0].start].decode().rpartition("\n")[2]
    return mutant._source.function.__module__ != ENGINE or "backward" in mutant.id or "edges=" in before


def drawn_mutants(functions: Sequence[FunctionType], seed: int) -> Iterator[Mutant]:
    """All mutants, from the operators in turn, so that a few of them are of many kinds."""
    by_operator: dict[str, list[Mutant]] = {name: [] for name in OPERATORS}
    for function in sorted(functions, key=lambda f: (f.__code__.co_filename, f.__code__.co_firstlineno)):
        try:
            found = made_by(list(OPERATORS.values()), function)
        except (TypeError, ValueError):  # a lambda, a method that was not written down
            continue
        for mutant in filter(_is_backward, found):
            by_operator[mutant.operator].append(mutant)
    random = np.random.default_rng(seed)
    shuffled = [[ms[i] for i in random.permutation(len(ms))] for ms in by_operator.values() if ms]
    order = random.permutation(len(shuffled))
    yield from (m for row in zip_longest(*(shuffled[i] for i in order)) for m in row if m is not None)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Meanwhile the original function is the mutant."""
    function, made = mutant._source.function, mutant.build()
    before = function.__code__, function.__kwdefaults__
    function.__code__, function.__kwdefaults__ = made.__code__, made.__kwdefaults__
    try:
        yield
    finally:
        function.__code__, function.__kwdefaults__ = before


def cases(subject: Subject, count: int, seed: int) -> Iterator[Case]:
    """The diagnoses of so many mutants that leave the loss as it is and make the gradient wrong."""
    trial = trial_of(subject)
    loss = _loss(trial)
    for mutant in drawn_mutants(backward_functions(trial), seed):
        if count <= 0:
            return
        with planted(mutant):
            certificate = _wrong(trial, loss)
            if certificate is None:
                continue
            count -= 1
            started = time.process_time()
            diagnosis = diagnose(trial, certificate)
            yield Case(subject.id, mutant, diagnosis, time.process_time() - started)


def _wrong(trial: Trial, loss: Any) -> Certificate | None:
    """The certificate, if it proves something wrong. What raises, or has another shape, says so without a diagnosis."""
    try:
        if not np.array_equal(_loss(trial), loss, equal_nan=True):
            return None
        certificate = certify_trial(lambda: trial)
    except Exception:  # a mutant may raise anything
        return None
    return certificate if certificate.ruling is Ruling.WRONG and certificate.wrong else None


def _loss(trial: Trial) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(trial.value(trial.arguments(lifted=False)))
