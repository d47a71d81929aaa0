"""Is this hand-written gradient right? Oracles that know, and a certificate that proves it.

`check` and `check_layer` are for tests and notebooks, `certify` and `certify_layer` give the bare certificate.
"""

from oracles.certificate import Certificate, Ruling, certify, certify_layer
from oracles.checking import Verdict, check, check_layer
from oracles.errors import GradientError, UndecidedGradientError

__all__ = [
    "Certificate",
    "GradientError",
    "Ruling",
    "UndecidedGradientError",
    "Verdict",
    "certify",
    "certify_layer",
    "check",
    "check_layer",
]
