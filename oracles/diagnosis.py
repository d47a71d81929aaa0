"""Why a gradient is wrong: the line of the backward, and the edit that makes it right, proved by its certificate.

The explanation is found by repair. Mistakes of the kinds that gradients are known for are undone one at a time in the
text of the backward (`oracles.repair_operators`), on the lines that the wrong entries depend on; the first repair that
the certificate confirms at every sample is the explanation. So an explanation is never a guess: with that edit the
gradient is right. Where no single edit makes it so, the values are looked at (`oracles.diagnosis_values`), and where
they fit nothing either, nothing is claimed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from oracles.ball import balls, lift
from oracles.certificate import Certificate, certify_trial
from oracles.diagnosis_values import explained_by_values
from oracles.mutation import Mutant, made_by
from oracles.mutation_operators import Operator
from oracles.reachable import subject_functions
from oracles.repair_operators import NUDGE, REPAIRS, SUBTLE
from oracles.subject import on_balls
from oracles.trial import Array, Trial

DIRECTIONS = 2
CLOSE = 1e-9
"""How near a repaired gradient must come in floats, relative to the sum of its terms, before it is put to the proof."""
MOST_TRIED = 2500
"""Repairs tried in floats before the search is given up."""
MOST_PROVED = 25
MOST_PLACES = 4
_DERIVATIVE = re.compile(r"_?(d[A-Z_a-z]|grad|delta|return|self\.d|self\.grad)")
"""How the name of a derivative begins where people write one."""


@dataclass(frozen=True)
class Diagnosis:
    """The cause of a wrong gradient."""

    text: str
    """In words, with the source line and its correction where they are known."""
    file: str = ""
    line: int = 0
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return self.text


Entry: TypeAlias = tuple[str, tuple[int, ...]]
"""A parameter, and the index of an entry of it."""


class _Place(NamedTuple):
    """Where a mistake may be: all of a function, or one line, and whether that reaches the wrong entries alone."""

    function: FunctionType
    lines: frozenset[int] | None
    exactly: bool = False


class _Repair(NamedTuple):
    edit: Mutant
    function: FunctionType
    certificate: Certificate


def diagnose(trial: Trial, certificate: Certificate) -> Diagnosis | None:
    """The explanation of a gradient that was proved wrong, or None where none holds.

    `certificate` is that of `trial`. While it searches, the subject's functions run edited code; they are put back.
    """
    wrong: set[Entry] = {(w.parameter, w.index) for w in certificate.wrong}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # edited code may average over nothing
        try:
            functions = _suspects(trial)
            places = _places(trial, functions, wrong)
            found = _repaired(trial, places, functions)
        finally:
            trial.leave_floats()
    if found is not None:
        return _told(found)
    words = explained_by_values(trial, certificate)
    return _with_place(words, places) if words else None


def _repaired(trial: Trial, places: Sequence[_Place], functions: Sequence[FunctionType]) -> _Repair | None:
    try:
        probe = _Probe(trial)
    except Exception:  # a forward that balls cannot run leaves nothing to measure repairs by
        return None
    value = trial.value(trial.arguments(lifted=False))
    subtle = probe.accepts(trial)  # off by less than floats can tell, so that each repair has to be put to the proof
    tried = proved = 0
    for (function, lines, _), operators in _rounds(places, functions, subtle):
        for repair in made_by(operators, function, lines):
            tried += 1
            if tried > MOST_TRIED or proved > MOST_PROVED:
                return None
            with _swapped(function, repair) as possible:
                if not possible or not probe.accepts(trial):
                    continue
                if not np.array_equal(trial.value(trial.arguments(lifted=False)), value, equal_nan=True):
                    continue  # it mends the gradient by changing the loss
                proved += 1
                made = certify_trial(lambda: trial)
                if made.ok:
                    return _Repair(repair, function, made)
    return None


def _rounds(
    places: Sequence[_Place], functions: Sequence[FunctionType], subtle: bool
) -> Iterator[tuple[_Place, Sequence[Operator]]]:
    """Where to try which repairs: round by round, and in each the likeliest lines first."""
    likely = places[:MOST_PLACES]
    if subtle:
        yield from ((place, SUBTLE) for place in likely)
        return
    everywhere = [_Place(function, None) for function in functions]
    quick, *rounds = REPAIRS
    yield from ((place, quick) for place in (*likely, *everywhere))
    yield from ((place, operators) for operators in rounds for place in likely if place.exactly)
    yield from ((place, operators) for operators in rounds for place in everywhere)


def _suspects(trial: Trial) -> list[FunctionType]:
    """The functions that the gradient calls and the loss does not; or those of both, if they share all they have."""
    forward, backward = trial.subject[0], trial.subject[1:]
    of_loss = subject_functions([forward])
    of_gradient: list[FunctionType] = [f for f in subject_functions(backward) if _is_editable(f)]
    alone = [f for f in of_gradient if f not in of_loss]
    return sorted(alone or of_gradient, key=_position)


def _position(function: FunctionType) -> tuple[str, int]:
    return function.__code__.co_filename, function.__code__.co_firstlineno


def _is_editable(function: FunctionType) -> bool:
    try:
        made_by([], function)
    except (TypeError, ValueError):  # a lambda, a generator, source that is not at hand
        return False
    return True


class _Probe:
    """The slopes of the loss in some directions, which a right gradient has."""

    def __init__(self, trial: Trial) -> None:
        random = np.random.default_rng(0)
        self.directions: list[list[Array]] = [
            [np.asarray(random.standard_normal(p.shape)) for p in trial.parameters] for _ in range(DIRECTIONS)
        ]
        self.slopes = [_slope(trial, direction) for direction in self.directions]

    def accepts(self, trial: Trial) -> bool:
        """Whether the gradient, in floats, gives these slopes at every sample where they are finite."""
        try:
            gradients = trial.gradient(trial.arguments(lifted=False))
            return all(self._gives(gradients, *known) for known in zip(self.directions, self.slopes, strict=True))
        except Exception:  # an edit may make anything of the code
            return False

    @staticmethod
    def _gives(gradients: Sequence[Any], direction: Sequence[Array], slope: Array) -> bool:
        total, size = np.zeros(slope.shape), np.abs(slope)
        for gradient, along in zip(gradients, direction, strict=True):
            if np.shape(gradient) not in (along.shape, slope.shape + along.shape):
                return False
            terms = (np.asarray(gradient) * along).reshape(*slope.shape, -1)
            total += terms.sum(axis=-1)
            size = size + np.abs(terms).sum(axis=-1)
        return bool(np.all((np.abs(total - slope) <= CLOSE * size) | ~np.isfinite(slope)))


def _slope(trial: Trial, direction: Sequence[Array]) -> Array:
    """(f(x + h d) - f(x - h d)) / 2h on balls, rounded to floats: exact for every purpose of floats."""
    h = 2.0**-80
    with on_balls(trial.subject, 320):
        ends = []
        for sign in (1, -1):
            moved = [lift(p) + lift(d) * (sign * h) for p, d in zip(trial.parameters, direction, strict=True)]
            ends.append(balls(trial.value(trial.arguments(moved))))
        quotient = (ends[0] - ends[1]) / (2 * h)
        floats = [float(b.mid()) for b in quotient._a.ravel()]
    return np.array(floats, dtype=np.float64).reshape(quotient._a.shape)


def _places(trial: Trial, functions: Sequence[FunctionType], wrong: set[Entry]) -> list[_Place]:
    """Lines whose results reach every wrong entry, the likeliest first: those that reach no other."""
    if not wrong:
        return []
    before = _entries(trial)
    calls = re.compile(rf"\b({'|'.join(re.escape(f.__name__) for f in functions)})\(")
    ranked: dict[tuple[FunctionType, int], tuple[Any, ...]] = {}
    for function in functions:
        for nudge in made_by([NUDGE], function):
            with _swapped(function, nudge) as possible:
                reached = _changed(before, _entries(trial)) if possible else None
            if reached is None or not wrong <= reached:
                continue
            # Where several lines reach the same: a derivative rather than what it is made from, and upstream first.
            a_call, no_derivative = bool(calls.search(nudge.source_line)), not _DERIVATIVE.match(nudge.source_line)
            rank = (len(reached - wrong), a_call, no_derivative, _position(function), nudge.line)
            ranked[function, nudge.line] = min(rank, ranked.get((function, nudge.line), rank))
    best = sorted(ranked, key=lambda at: ranked[at])
    return [_Place(f, frozenset({line}), ranked[f, line][0] == 0) for f, line in best]


def _entries(trial: Trial) -> dict[Entry, Array] | None:
    """The values, over the samples, of every entry of the gradient."""
    try:
        gradients = trial.gradient(trial.arguments(lifted=False))
    except Exception:  # an edit may make anything of the code
        return None
    found: dict[Entry, Array] = {}
    batch = np.ndim(trial.value(trial.arguments(lifted=False)))
    for name, gradient in zip(trial.names, gradients, strict=True):
        values = np.asarray(gradient, dtype=np.float64)
        for index in np.ndindex(values.shape[batch:]):
            found[name, index] = values[(..., *index)] if batch else values[index]
    return found


def _changed(before: Any, after: Any) -> set[Entry] | None:
    if before is None or after is None or before.keys() != after.keys():
        return None
    return {entry for entry in before if not np.array_equal(before[entry], after[entry], equal_nan=True)}


@contextmanager
def _swapped(function: FunctionType, edit: Mutant) -> Iterator[bool]:
    """The function runs the edited code meanwhile; False if it cannot, since the edit changes what it closes over."""
    made: Callable[..., Any] = edit.build()
    assert isinstance(made, FunctionType)
    original = function.__code__
    if made.__code__.co_freevars != original.co_freevars:
        yield False
        return
    function.__code__ = made.__code__
    try:
        yield True
    finally:
        function.__code__ = original


# --- words ----------------------------------------------------------------------------------------------------------

_SAID = {
    "drop-factor": "it has a factor too many",
    "drop-term": "it has a term too many",
    "flip-sign": "it has the wrong sign",
    "extra-factor": "it lacks a factor of 2",
    "exchange-name": "it takes one intermediate for another",
    "missing-term": "it lacks a term",
    "missing-function": "it lacks a function",
    "missing-reduction": "it lacks a sum, a mean or a transpose",
    "transpose": "a transpose is missing or too many",
    "axis": "it runs over the wrong axis",
    "sum-for-mean": "it takes a sum for a mean, or the reverse",
    "drop-sum": "it has a sum too many",
    "shift-index": "it reads the wrong entry",
    "swap-indices": "its indices are exchanged",
    "swap-operator": "it has the wrong operator",
    "swap-operands": "its operands are exchanged",
    "swap-returns": "the gradients are returned in the wrong order",
    "swap-statements": "two statements stand in the wrong order",
    "assign-for-accumulate": "it accumulates where it should assign",
    "accumulate-for-assign": "it assigns where it should accumulate",
    "exchange-function": "it calls the wrong function",
    "drop-function": "it has a function too many",
    "comparison": "it has the wrong comparison",
    "product-for-sum": "it has a sum where a product belongs",
    "epsilon": "its epsilon stands in the wrong place",
    "exponent": "it has the wrong exponent",
    "shift-constant": "it has the wrong number",
    "other-number": "it has the wrong number",
}


def _told(repair: _Repair) -> Diagnosis:
    edit, function, certificate = repair
    digits = certificate.digits
    told = "all digits" if np.isinf(digits) else f"{digits:.0f} digits"
    proof = f"with `{edit.after}` for `{edit.before}` it is certified to {told}"
    text = f"{_at(edit, function)}\n{_reason(edit)}: {proof}"
    return Diagnosis(text, edit.filename, edit.line, edit.before, edit.after)


def _with_place(words: str, places: Sequence[_Place]) -> Diagnosis:
    """The words, with the one line that the wrong entries and no others depend on, if there is one."""
    exactly = [place for place in places if place.exactly and place.lines]
    if len(exactly) != 1:
        return Diagnosis(words)
    function, lines, _ = exactly[0]
    edit = made_by([NUDGE], function, lines)[0]
    return Diagnosis(f"{words}\nthey depend on {_at(edit, function)}", edit.filename, edit.line)


def _at(edit: Mutant, function: FunctionType) -> str:
    return f"{PurePath(edit.filename).name}:{edit.line} in {function.__name__}:  {edit.source_line}"


def _reason(repair: Mutant) -> str:
    if repair.operator == "missing-factor":
        _, _, factor = repair.id.rpartition(" times ")
        if " times " in repair.id:
            return f"it lacks the factor {factor}"
        return f"it has the factor {repair.id.rpartition(' by ')[2]} too many"
    return _SAID.get(repair.operator, "it is mistaken")
