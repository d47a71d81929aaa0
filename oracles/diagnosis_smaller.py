"""The same mistake on fewer numbers, where it shows on them too: edits are tried by the hundred."""

from __future__ import annotations

import numpy as np

from oracles.certificate import certify_trial
from oracles.diagnosis_elsewhere import resized
from oracles.tree import leaves
from oracles.trial import Trial
from oracles.verdict import Certificate, Ruling

_MANY = 1000
"""Numbers in the arguments from which on a smaller trial is looked for."""
_SHORT = 8
"""What its long axes are cut to."""


def smaller(trial: Trial, certificate: Certificate) -> tuple[Trial, Certificate]:
    """The trial with its long axes cut, the longest first, wherever that is proved wrong too; and its certificate."""
    lengths = {n for a in trial.args for _, leaf in leaves(a) for n in np.shape(leaf) if n > _SHORT}
    for length in sorted(lengths, reverse=True):
        if numbers_in(trial) > _MANY and (made := resized(trial, length, _SHORT)) is not None:
            again = certify_trial(lambda made=made: made)  # type: ignore[misc]  # mypy infers no default of a lambda
            if again.ruling is Ruling.WRONG:
                trial, certificate = made, again
    return trial, certificate


def numbers_in(trial: Trial) -> int:
    """How many floats its arguments hold."""
    return sum(np.size(leaf) for a in trial.args for _, leaf in leaves(a))
