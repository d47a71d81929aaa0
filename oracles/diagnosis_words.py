"""What a diagnosis says: the line, what is wrong with it, and what confirms the correction."""

from __future__ import annotations

import math
from pathlib import PurePath

from oracles.certificate import Certificate
from oracles.diagnosis_edits import Repair
from oracles.repairs import SAYINGS


def told(repair: Repair, proof: Certificate) -> str:
    """A proved repair in words."""
    edit = repair.told
    return f"{where(repair)}\nit {_mistake(repair)}: with `{edit.after}` for `{edit.before}` it is {_confirmed(proof)}"


def where(repair: Repair) -> str:
    """Such as `homework.py:12 in backward:  dw = x`."""
    name = PurePath(repair.editable.source.filename).name
    return f"{name}:{repair.line} in {repair.editable.function.__name__}:  {repair.source_line}"


def _mistake(repair: Repair) -> str:
    """With the factor or divisor by its name, where one is missing."""
    words = SAYINGS[repair.operator.name]
    if words == "lacks a factor":
        for sign, said in ((" times ", "lacks the factor {}"), (" by ", "has the factor {} too many")):
            if sign in repair.edit.label:
                return said.format(repair.edit.label.rpartition(sign)[2])
    return words


def _confirmed(proof: Certificate) -> str:
    digits = "all digits" if math.isinf(proof.digits) else f"{math.floor(proof.digits)} digits"
    return f"certified to {digits}"
