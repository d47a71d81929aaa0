"""What a diagnosis says: the line, what is wrong with it, and what confirms the correction."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from pathlib import PurePath

from oracles.diagnosis_edits import Repair
from oracles.diagnosis_search import Explanation, Proof
from oracles.trial import Trial

_SAID = {
    "drop-minus": "has a minus too many",
    "missing-minus": "lacks a minus",
    "drop-call": "has a function too many",
    "drop-cast": "changes the precision or the type",
    "forget": "keeps a value of an earlier call",
    "out-of-place": "writes into an array that is used again",
    "drop-slice": "leaves out a part",
    "drop-statement": "is too many",
    "swap-operator": "has the wrong operator",
    "other-operator": "has the wrong operator",
    "swap-operands": "has its operands exchanged",
    "sum-for-mean": "takes a sum for a mean, or the reverse",
    "exchange-function": "calls the wrong function",
    "other-function": "calls the wrong function",
    "comparison": "has the wrong comparison",
    "branch": "takes the wrong branch",
    "axis": "runs over the wrong axis",
    "keepdims": "keeps or drops an axis it should not",
    "transpose": "has a transpose missing or too many",
    "swap-returns": "returns the gradients in the wrong order",
    "assign-for-accumulate": "accumulates where it should assign",
    "accumulate-for-assign": "assigns where it should accumulate",
    "swap-statements": "stands in the wrong order",
    "swap-indices": "has its indices exchanged",
    "shift-index": "reads the wrong entry",
    "epsilon": "has its epsilon in the wrong place",
    "drop-sum": "has a sum too many",
    "exponent": "has the wrong exponent",
    "other-number": "has the wrong number",
    "short-loop": "has a round too many",
    "exchange-name": "takes the wrong intermediate",
    "missing-term": "lacks a term",
    "missing-function": "lacks a function",
    "missing-reduction": "lacks a sum, a mean or a transpose",
}


def told(explanation: Explanation, trial: Trial, files: Mapping[str, str]) -> str:
    """An explanation in words, line by line."""
    lines = []
    for repair in explanation.repairs:
        edit = repair.told
        lines.append(where(repair, files))
        lines.append(f"  {_subject(repair)} {_reason(repair)}: `{edit.after}` for `{edit.before}`")
    return "\n".join([*lines, _confirmed(explanation)])


def where(repair: Repair, files: Mapping[str, str]) -> str:
    filename = repair.editable.source.filename
    name = PurePath(files.get(filename, filename)).name
    return f"{name}:{repair.line} in {repair.function.__name__}:  {repair.source_line}"


def _subject(repair: Repair) -> str:
    return "it"


def _reason(repair: Repair) -> str:
    return _SAID.get(repair.operator.name, repair.operator.name + " " + repair.edit.label)


def _confirmed(explanation: Explanation) -> str:
    if explanation.proof is None:
        return f"with that, {', '.join(explanation.mended[:6])} are right; other mistakes remain"
    digits = explanation.proof.digits
    return f"with that, certified to {'all' if math.isinf(digits) else f'{digits:.0f}'} digits" + (
        ", here and at another point" if explanation.proof.elsewhere else ""
    )
