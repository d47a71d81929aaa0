"""The table of repairs: what is tried on a line, the simplest first, and what each says of the mistake that it undoes.

A new repair is one row: an edit of `oracles.repair_operators`, `oracles.repair_missing` or `oracles.mutation_operators`
(an exchange is undone by an exchange), and its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from oracles import repair_missing as missing
from oracles import repair_operators as undo
from oracles.mutation_body import Body, Edit
from oracles.mutation_operators import OPERATORS, Operator

_Edits = Callable[[Body], Iterator[Edit]]
_Row = tuple[str, _Edits | None, str]

_TOO_MANY: tuple[_Row, ...] = (
    ("drop-factor", None, "has a factor too many"),
    ("drop-term", None, "has a term too many"),
    ("drop-minus", undo.drop_minus, "has a minus too many"),
    ("drop-call", undo.drop_call, "has a function too many"),
    ("drop-power", undo.drop_power, "has a power too many"),
    ("drop-cast", undo.drop_cast, "changes the precision or the type"),
    ("drop-slice", undo.drop_slice, "leaves out a part"),
    ("drop-statement", undo.drop_statement, "is too many"),
)
_STATE: tuple[_Row, ...] = (
    ("forget", undo.forget, "keeps a value of an earlier call"),
    ("shared-array", undo.shared_array, "shares an array that is written into"),
    ("out-of-place", undo.out_of_place, "writes into an array that is used again"),
)
_EXCHANGED: tuple[_Row, ...] = (
    ("swap-operator", None, "has the wrong operator"),
    ("swap-operands", None, "has its operands exchanged"),
    ("sum-for-mean", None, "takes a sum for a mean, or the reverse"),
    ("exchange-function", None, "calls the wrong function"),
    ("comparison", None, "has the wrong comparison"),
    ("branch", None, "takes the wrong branch"),
    ("axis", None, "runs over the wrong axis"),
    ("keepdims", None, "keeps or drops an axis that it should not"),
    ("transpose", None, "has a transpose missing or too many"),
    ("assign-for-accumulate", None, "accumulates where it should assign"),
    ("accumulate-for-assign", None, "assigns where it should accumulate"),
    ("add-up", undo.add_up, "keeps the last round of a loop where it should add all up"),
    ("swap-statements", None, "stands in the wrong order"),
    ("swap-indices", None, "has its indices exchanged"),
    ("shift-index", None, "reads the wrong entry"),
    ("epsilon", None, "has its epsilon in the wrong place"),
    ("drop-sum", None, "has a sum too many"),
    ("add-at", undo.add_at, "counts an index that comes twice only once"),
    ("other-function", undo.other_function, "calls the wrong function"),
    ("exponent", None, "has the wrong exponent"),
    ("other-number", undo.other_number, "has the wrong number"),
    ("short-loop", None, "has a round too many"),
    ("swap-returns", None, "returns the gradients in the wrong order"),
)
_LACKING_LITTLE: tuple[_Row, ...] = (
    ("missing-minus", missing.missing_minus, "has the wrong sign"),
    ("missing-number", missing.missing_factor(missing.numbers), "lacks a factor"),
    ("missing-function", missing.missing_function, "lacks a function"),
)
_LACKING: tuple[_Row, ...] = (
    ("missing-factor", missing.missing_factor(missing.intermediates), "lacks a factor"),
    ("exchange-name", None, "takes the wrong intermediate"),
    ("other-operator", undo.other_operator, "has the wrong operator"),
    ("missing-term", missing.missing_term(missing.small_numbers, missing.intermediates), "lacks a term"),
    ("missing-reduction", missing.missing_reduction, "lacks a sum, a mean or a transpose"),
    ("missing-twin", missing.missing_twin, "lacks a term"),
    ("missing-column", missing.missing_factor(missing.columns), "lacks a factor"),
    ("missing-size", missing.missing_factor(missing.sizes), "lacks a factor"),
    ("missing-derivative", missing.missing_slope(missing.simple_derivatives), "lacks a factor"),
)
_LACKING_MORE: tuple[_Row, ...] = (
    ("missing-slope", missing.missing_slope(missing.functions, missing.products), "lacks a factor"),
    ("missing-complement", missing.missing_factor(missing.complements), "lacks a factor"),
    ("missing-product", missing.missing_term(missing.products), "lacks a term"),
    ("missing-long-term", missing.missing_term(missing.simple_derivatives, missing.functions), "lacks a term"),
)
_ALL = (_TOO_MANY, _EXCHANGED, _LACKING_LITTLE, _LACKING, _LACKING_MORE)
_SUBTLE = ("drop-factor", "drop-term", "drop-statement", "other-number")


def _operators(rows: tuple[_Row, ...]) -> tuple[Operator, ...]:
    return tuple(OPERATORS[name] if edits is None else Operator(name, edits) for name, edits, _ in rows)


STATE = _operators(_STATE)
"""Of little cost, and tried first: what is remembered or written into spoils lines that are right."""
ROUNDS = tuple(map(_operators, _ALL))
"""Tried in turn: among edits that all make the gradient right the simplest is the best explanation."""
SUBTLE = (*STATE, *(operator for round in ROUNDS for operator in round if operator.name in _SUBTLE))
"""Undo errors too small for floats to see, one by one with a proof each."""
SAYINGS = {name: words for row in (_STATE, *_ALL) for name, _, words in row}
