"""The search for the edit that makes a wrong gradient right.

Mistakes are undone one at a time in the source (`oracles.repair_operators`), on the likeliest lines first
(`oracles.diagnosis_places`) and the simplest first. What floats accept here, at other values and for other sizes
(`oracles.diagnosis_bench`) is put to the proof, and what that confirms, at the point and beside it, is the
explanation. If no one edit is, one that makes a part of the gradient right is kept, and the search goes on from there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import FunctionType

import numpy as np

from oracles.certificate import Certificate, certify_trial
from oracles.diagnosis_bench import INVISIBLE, Bench, Entries, Groups, Guard, opcodes
from oracles.diagnosis_edits import Editable, Repair, functions_of
from oracles.diagnosis_places import Named, Place, likely_places, named_locals, partial_places, reached
from oracles.fallback import numerical_agreement
from oracles.mutation_operators import Operator
from oracles.repair_operators import ROUNDS, SUBTLE
from oracles.trial import Trial
from oracles.verdict import Ruling

BUDGET = 20_000_000
"""Steps of the interpreter that a search may take: two seconds or less of most machines."""
_COMPILING = 4_500
"""Steps that an edit costs before it runs."""
_PER_LINE = 4
"""And for each of its lines while it is watched for a loop without an end."""
MOST_PROVED = 12
MOST_MISTAKES = 3
_MOST_UNSURE = 6
"""Lines that reach more than what is wrong, on which simple edits are tried."""


@dataclass(frozen=True)
class Proof:
    """What confirms a repair."""

    certificate: Certificate
    digits: float
    """Of the certificate, or of the agreement with differences where balls cannot run the code."""
    elsewhere: bool
    """Whether the repaired gradient was tried at another point too."""


@dataclass(frozen=True)
class Explanation:
    """One repair for each mistake that was found. They make the gradient right, or at least a part of it."""

    repairs: tuple[Repair, ...]
    proof: Proof | None
    """Of all of the gradient; None if other mistakes remain."""
    mended: tuple[str, ...] = ()
    """Which parameters are right with them, if not all."""


@dataclass(frozen=True)
class Findings:
    """What the search has come to know."""

    explanation: Explanation | None
    places: Sequence[Place]
    named: Sequence[Named]


class Search:
    """One search, with what it may cost."""

    def __init__(self, trial: Trial, certificate: Certificate, editables: Sequence[Editable]) -> None:
        """Raises whatever the trial raises: nothing can then be measured."""
        self.trial = trial
        of_loss = {id(f) for f in functions_of(trial.subject[:1])}
        self.shared = {id(e) for e in editables if id(e.function) in of_loss}
        self.forward = [e for e in editables if id(e) in self.shared]
        of_gradient = {id(f) for f in functions_of(trial.subject[1:])}
        self.backward = [e for e in editables if id(e.function) in of_gradient]
        self.bench = Bench(trial, certificate)
        self.cost = _COMPILING + opcodes(self.bench.gradients)
        if any(map(_may_not_end, editables)):
            files = {e.original.co_filename for e in editables}
            self.bench.guard = Guard(sorted(files), self.bench.gradients)
            self.cost += _PER_LINE * self.bench.guard.lines
        self.left = BUDGET
        self.proved = 0

    def findings(self) -> Findings:
        """Everything that is found."""
        lines = reached(self.bench, self.backward)
        self.left -= self.cost * sum(len(e.lines) for e in self.backward)
        named = named_locals(self.bench, self.forward, self.backward)
        places = likely_places(self.bench, lines, named, self.backward, self.shared)
        if isinstance(self.bench.reference, Entries) and self.bench.error < INVISIBLE:
            return Findings(self._first(self._subtle(places)), places, named)
        found = self._first(self._candidates(places))
        return Findings(found or self._in_parts(partial_places(self.bench, lines)), places, named)

    # --- what is tried ----------------------------------------------------------------------------------------------

    def _candidates(self, places: Sequence[Place]) -> Iterator[Repair]:
        exact = [p for p in places if p.exactly]
        unsure = [p for p in places if not p.exactly]
        tried = {(id(p.editable), p.line) for p in places}
        rest = [
            Place(e, line, self.bench.wrong, False)
            for e in self.backward
            for line in e.lines
            if (id(e), line) not in tried
        ]
        rest = rest if not exact else [p for p in rest if id(p.editable) not in self.shared]
        yield from self._rounds(exact, ROUNDS[:3])
        yield from self._rounds(unsure[:_MOST_UNSURE], ROUNDS[:2])
        yield from self._rounds(rest, ROUNDS[:2])
        yield from self._rounds(exact, ROUNDS[3:])
        yield from self._rounds(unsure, ROUNDS)
        yield from self._rounds(rest, ROUNDS[2:])

    @staticmethod
    def _rounds(places: Sequence[Place], rounds: Sequence[Sequence[Operator]]) -> Iterator[Repair]:
        for operators in rounds:
            for place in places:
                for operator in operators:
                    for edit in place.editable.edits(operator, place.line):
                        yield Repair(place.editable, operator, edit)

    def _subtle(self, places: Sequence[Place]) -> Iterator[Repair]:
        return self._rounds([p for p in places if p.exactly], [SUBTLE])

    # --- what is accepted -------------------------------------------------------------------------------------------

    def _first(self, candidates: Iterator[Repair]) -> Explanation | None:
        """The first repair that makes everything right."""
        for repair in self._different(candidates):
            if not self.right(repair).all() or not self._right_elsewhere(repair):
                continue
            if self.proved >= MOST_PROVED:
                return None
            self.proved += 1
            with repair.in_place():
                proof = self._proof()
            if proof is not None:
                return Explanation((repair,), proof)
        return None

    def _different(self, candidates: Iterator[Repair]) -> Iterator[Repair]:
        """Those that are not the same edit over again, for as long as the budget lasts."""
        seen: set[object] = set()
        for repair in candidates:
            key = (id(repair.editable), repair.pieces)
            if key not in seen:
                seen.add(key)
                self.left -= self.cost
                if self.left < 0:
                    return
                yield repair

    def right(self, repair: Repair) -> Groups:
        """What of the gradient is right with a repair, in floats."""
        nothing = np.zeros(self.bench.groups, dtype=bool)
        code = repair.editable.code(repair.pieces)
        if code is None:
            return nothing
        with repair.editable.running(code):
            right = self.bench.right(self.bench.gradients())
            if right.any() and id(repair.editable) in self.shared and not self.bench.keeps_the_loss():
                return nothing
        return right

    def _right_elsewhere(self, repair: Repair) -> bool:
        code = repair.editable.code(repair.pieces)
        assert code is not None
        with repair.editable.running(code):
            return self.bench.right_elsewhere()

    def _proof(self) -> Proof | None:
        """Of the gradient as it is now: at the point, and at another."""
        made = certify_trial(lambda: self.trial)
        if made.ruling is Ruling.NOT_CERTIFIABLE:
            agreement, _ = numerical_agreement(self.trial)
            good = agreement.agrees and not agreement.unstable.all()
            return Proof(made, agreement.digits, bool(self.bench.elsewhere)) if good else None
        if not made.ok:
            return None
        other = [certify_trial(lambda s=s: s.trial).ruling for s in self.bench.elsewhere[:1]]
        return Proof(made, made.digits, bool(other)) if Ruling.WRONG not in other else None

    # --- several mistakes -------------------------------------------------------------------------------------------

    def _in_parts(self, places: Sequence[Place]) -> Explanation | None:
        """Repairs that together make all of the gradient right, or as much of it as can be."""
        repairs: list[Repair] = []
        right = ~self.bench.wrong
        with ExitStack() as stack:
            while not right.all() and len(repairs) < MOST_MISTAKES:
                found = self._best_part(places, right, repairs)
                if found is None:
                    break
                repair, right = found
                repairs.append(repair)
                stack.enter_context(repair.in_place())
            return self._together(tuple(repairs)) if repairs else None

    def _best_part(
        self, places: Sequence[Place], right: Groups, repairs: Sequence[Repair]
    ) -> tuple[Repair, Groups] | None:
        for repair in self._different(self._of_parts(places, right, repairs)):
            now = self.right(repair)
            if (now & ~right).any() and not (right & ~now).any() and self._is_no_chance(now & ~right, right, repair.line):
                return repair, now
        return None

    def _of_parts(self, places: Sequence[Place], right: Groups, repairs: Sequence[Repair]) -> Iterator[Repair]:
        open_places = [p for p in places if (p.reached & ~right).any() and not (p.reached & right & self.bench.wrong).any()]
        for repair in self._rounds(open_places, ROUNDS[:4]):
            kept = tuple(piece for r in repairs if r.editable is repair.editable for piece in r.edit.pieces)
            yield replace(repair, kept=kept)

    def _is_no_chance(self, mended: Groups, right: Groups, line: int) -> bool:
        """Whether what a repair mends is more than an entry that happens to fit."""
        return self.bench.samples > 1 or any(not (whole & ~right & ~mended).any() and (whole & mended).any() for whole in self.bench.parameters)

    def _together(self, repairs: tuple[Repair, ...]) -> Explanation | None:
        """What several repairs, which are in place, make right."""
        proof = self._proof() if self.bench.right(self.bench.gradients()).all() and self.bench.right_elsewhere() else None
        if proof is not None:
            return Explanation(repairs, proof)
        left = certify_trial(lambda: self.trial)
        if left.ruling is not Ruling.WRONG or not left.wrong:
            return None
        wrong = {w.entry for w in left.wrong}
        mended = dict.fromkeys(w.entry for w in self.bench.certificate.wrong if w.entry not in wrong)
        return Explanation(repairs, None, tuple(mended)) if mended else None


def _may_not_end(editable: Editable) -> bool:
    """Whether a function has a loop that counts nothing, or calls a function of its own name."""
    own = editable.function.__name__
    return any(isinstance(n, ast.While) for n in editable.body.nodes) or own in editable.original.co_names
