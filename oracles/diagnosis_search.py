"""The search for the edit that makes a wrong gradient right.

Mistakes are undone one at a time in the source (`oracles.repairs`), on the likeliest lines first
(`oracles.diagnosis_places`) and the simplest first. What floats accept, at this point, at others and for other sizes
(`oracles.diagnosis_bench`), is put to the proof; what that confirms is the explanation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oracles.certificate import Certificate, certify_trial
from oracles.diagnosis_bench import Bench
from oracles.diagnosis_edits import Repair, editables, functions_run
from oracles.diagnosis_intermediates import intermediates
from oracles.diagnosis_places import Place, Places, places_of
from oracles.diagnosis_smaller import numbers_in, smaller
from oracles.mutation_operators import Operator
from oracles.repairs import ROUNDS, STATE, SUBTLE
from oracles.trial import Trial
from oracles.verdict import Ruling
from oracles.watching import TooLong

BUDGET = 1_400_000
"""What a search may cost, in microseconds of a slow machine: its own estimate, so that it ends alike on all of them."""
_COMPILING, _LINE, _NUMBERS = 300, 1, 2000
"""The cost of an edit before it runs, of a line that runs, and how many numbers in the arguments double the latter."""
_MOST_PROVED = 12
_MOST_UNSURE = 6
"""Lines that reach more than what is wrong, on which simple edits are tried early."""


@dataclass(frozen=True)
class Found:
    """A repair that is proved, or None; and the lines that were thought likeliest."""

    repair: Repair | None
    proof: Certificate | None
    places: Places


def search(trial: Trial, certificate: Certificate) -> Found:
    """The first repair that is proved, in the order of likelihood. Raises whatever the loss raises."""
    for_loss, for_gradient = functions_run(trial)
    forward, backward = editables(for_loss), editables(for_gradient)
    known, shared = [*forward, *backward], {id(e.function) for e in forward}
    bench = Bench(*smaller(trial, certificate), {e.original.co_filename for e in known})
    places = places_of(bench, backward, shared, intermediates(bench, forward, backward))
    return _Search(trial, bench).run(places, shared)


class _Search:
    def __init__(self, trial: Trial, bench: Bench) -> None:
        self.trial, self.bench = trial, bench
        self.cost = _COMPILING + bench.lines * (_LINE + _LINE * numbers_in(bench.trial) // _NUMBERS)
        self.left, self.proved = BUDGET, 0

    def run(self, places: Places, shared: set[int]) -> Found:
        for repair in self._affordable(self._candidates(places, shared)):
            if repair.code is None:
                continue
            with repair.editable.running(repair.code):
                right = self.bench.is_right()
            if right:
                if self.proved >= _MOST_PROVED:
                    break
                self.proved += 1
                proof = self._proof(repair)
                if proof is not None:
                    return Found(repair, proof, places)
        return Found(None, None, places)

    def _candidates(self, places: Places, shared: set[int]) -> Iterator[Repair]:
        if self.bench.is_invisible:
            return _repairs([*places.exact, *places.unsure, *places.rest], [SUBTLE])
        return self._by_likelihood(places, shared)

    @staticmethod
    def _by_likelihood(places: Places, shared: set[int]) -> Iterator[Repair]:
        rest = [p for p in places.rest if not places.exact or id(p.editable.function) not in shared]
        own, also_of_loss = (
            [p for p in places.exact if (id(p.editable.function) in shared) == of_loss] for of_loss in (False, True)
        )
        yield from _repairs([*places.exact, *places.unsure, *rest], [STATE])
        yield from _repairs(places.upstream, ROUNDS[:2])
        if not places.exact:
            yield from _repairs(places.unsure[:_MOST_UNSURE], ROUNDS[:2])
        yield from _repairs(places.upstream, ROUNDS[2:])
        yield from _repairs(own, ROUNDS[:2])
        yield from _repairs(also_of_loss, ROUNDS[:2])
        yield from _repairs(own[:1], ROUNDS[2:])
        yield from _repairs(own[1:], ROUNDS[2:4])
        yield from _repairs(also_of_loss, ROUNDS[2:4])
        yield from _repairs(places.unsure[:_MOST_UNSURE], ROUNDS[:2])
        yield from _repairs(rest, ROUNDS[:2])
        yield from _repairs(places.exact, ROUNDS[4:])
        yield from _repairs(places.unsure, ROUNDS)
        yield from _repairs(rest, ROUNDS[2:])

    def _affordable(self, candidates: Iterator[Repair]) -> Iterator[Repair]:
        """Those that are not the same edit over again, for as long as the budget lasts."""
        seen: set[object] = set()
        for repair in candidates:
            key = (id(repair.editable), repair.edit.pieces)
            if key not in seen:
                seen.add(key)
                self.left -= self.cost
                if self.left < 0:
                    return
                yield repair

    def _proof(self, repair: Repair) -> Certificate | None:
        """Of the repaired gradient: on a few samples first, at another point, and at last on all of it."""
        trials = [self.bench.trial, *(s.trial for s in self.bench.elsewhere[:1]), self.trial]
        made: Certificate | None = None
        try:
            with repair.in_place(), self.bench.proving(repair.pseudo_file):
                for at, trial in enumerate(trials):
                    if at == 0 and trial is self.trial:
                        continue
                    made = certify_trial(lambda trial=trial: trial)  # type: ignore[misc]  # mypy infers no default of a lambda
                    if made.ruling is Ruling.WRONG or (at != 1 and not made.ok):
                        return None
        except TooLong:
            return None
        return made if made is not None and made.ok else None


def _repairs(places: Sequence[Place], rounds: Sequence[Sequence[Operator]]) -> Iterator[Repair]:
    for operators in rounds:
        for place in places:
            for operator in operators:
                for edit in place.editable.edits(operator, place.line):
                    yield Repair(place.editable, operator, edit)
