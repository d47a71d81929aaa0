"""Is this hand-written gradient right? Oracles that know, and a certificate that proves it.

`check` and `check_layer` are for tests and notebooks, `certify` and `certify_layer` give the bare certificate, `Subject`
is a row for the gate, and `identify_optimizer` names the update rule of a trajectory.
"""

from oracles.arguments import Indices, Uniform
from oracles.certificate import Certificate, Ruling, certify, certify_layer
from oracles.checking import Verdict, check, check_layer
from oracles.errors import GradientError, UndecidedGradientError
from oracles.identification import identify_optimizer
from oracles.registration import Subject

__all__ = [
    "Certificate",
    "GradientError",
    "Indices",
    "Ruling",
    "Subject",
    "UndecidedGradientError",
    "Uniform",
    "Verdict",
    "certify",
    "certify_layer",
    "check",
    "check_layer",
    "identify_optimizer",
]
