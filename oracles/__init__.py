"""Is this hand-written gradient right? Oracles that know, and a certificate that proves it.

`check` and `check_layer` are for tests and notebooks, `certify` and `certify_layer` give the bare certificate,
`Subject` is a row for the gate, `load` takes the functions out of a notebook or script without running it, and
`identify_optimizer` names the update rule of a trajectory.

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
from oracles.errors import GradientError, UndecidedGradientError
from oracles.registration import Subject

if TYPE_CHECKING:
    from oracles.engines import check_engine
    from oracles.identification import identify_optimizer
    from oracles.jax_custom import check_custom_vjp
    from oracles.loading import load
    from oracles.objects import check_object
    from oracles.torch_function import check_torch_function

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
    "check_custom_vjp",
    "check_engine",
    "check_layer",
    "check_object",
    "check_torch_function",
    "identify_optimizer",
    "load",
]

_WHEN_ASKED_FOR = {
    "check_custom_vjp": "jax_custom",
    "check_engine": "engines",
    "check_object": "objects",
    "check_torch_function": "torch_function",
    "identify_optimizer": "identification",
    "load": "loading",
}
"""What takes time to import, or a framework: the modules are imported with the first use."""


def __getattr__(name: str) -> Any:
    """Raises ImportError, with what to install, for what needs a framework that is missing."""
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHEN_ASKED_FOR[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
