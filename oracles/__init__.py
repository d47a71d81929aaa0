"""Is this hand-written gradient right? Oracles that know, and a certificate that proves it.

`check` and `check_layer` are for tests and notebooks, `certify` and `certify_layer` give the bare certificate,
`Subject` is a row for the gate, and `identify_optimizer` names the update rule of a trajectory.

For gradients in other forms: `check_object` takes a class with forward and backward, `check_engine` a scalar engine,
`check_torch_function` a torch.autograd.Function and `check_custom_vjp` a jax.custom_vjp. The last two import their
framework when they are asked for, and not before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from oracles.arguments import Indices, Uniform
from oracles.certificate import Certificate, Ruling, certify, certify_layer
from oracles.checking import Verdict, check, check_layer
from oracles.engines import check_engine
from oracles.errors import GradientError, UndecidedGradientError
from oracles.identification import identify_optimizer
from oracles.objects import check_object
from oracles.registration import Subject

if TYPE_CHECKING:
    from oracles.jax_custom import check_custom_vjp as check_custom_vjp
    from oracles.torch_function import check_torch_function as check_torch_function

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
    "check_engine",
    "check_layer",
    "check_object",
    "identify_optimizer",
]

_OF_FRAMEWORKS = {"check_torch_function": "oracles.torch_function", "check_custom_vjp": "oracles.jax_custom"}


def __getattr__(name: str) -> Any:
    """What needs a framework, imported when it is asked for. Raises ImportError, with what to install, without it."""
    if name not in _OF_FRAMEWORKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_OF_FRAMEWORKS[name]), name)
