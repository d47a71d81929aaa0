"""A `torch.autograd.Function` at a point: its values, and the gradients that autograd finds through it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oracles.measured import Noise, Point, Precision, cotangent_source
from oracles.trial import Array, ContractError

try:
    import torch

    from oracles.torch_noise import arithmetic, moved
except ImportError as missing:
    raise ImportError(
        f"oracles.torch_point needs torch: pip install 'backproof[torch]' ({missing})", name=missing.name
    ) from missing

__all__ = ["Call", "Function", "NoTapeError", "TorchPoint", "as_tuple", "detached", "has_setup_context", "slopes"]

Function = torch.autograd.Function
Call = Callable[..., Any]


class NoTapeError(Exception):
    """What was called left no tape from its parameters to its outputs."""


@dataclass(frozen=True)
class TorchPoint:
    """A function, its arguments, and random cotangents of its outputs. Gradients come in the order of `wrt`."""

    function: type[Function]
    args: tuple[Any, ...]
    wrt: tuple[int, ...]
    seed: int
    outputs: tuple[int, ...] = ()
    """Which outputs can be differentiated: floats that the function does not mark as it should not."""
    cotangents: tuple[torch.Tensor, ...] = ()

    @classmethod
    def of(cls, function: type[Function], args: Sequence[Any], seed: int) -> TorchPoint:
        """Differentiated are the tensors of floats that require grad, or all if none does.

        Raises TypeError for complex tensors, ValueError if there is nothing to differentiate by, and ContractError if
        there is nothing to differentiate.
        """
        bare = cls(function, tuple(map(detached, args)), _differentiated(args), seed)
        with bare.same_random_numbers(), torch.enable_grad():
            made = as_tuple(bare.apply(*bare.arguments(bare.leaves())))
        outputs = tuple(k for k, out in enumerate(made) if _is_float(out) and out.requires_grad)
        if not outputs:
            raise ContractError("forward: expected an output of floats that can be differentiated, got none")
        random = cotangent_source(seed)
        drawn = [torch.as_tensor(random.standard_normal(made[k].shape)).to(made[k].detach()) for k in outputs]
        return replace(bare, outputs=outputs, cotangents=tuple(drawn))

    @property
    def apply(self) -> Call:
        apply: Call = self.function.apply
        return apply

    @property
    def names(self) -> list[str]:
        """Of all arguments, as the forward calls them."""
        parameters = list(inspect.signature(self.function.forward).parameters.values())
        named = parameters if has_setup_context(self.function) else parameters[1:]
        positional = [p.name for p in named if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return [positional[i] if i < len(positional) else f"args[{i}]" for i in range(len(self.args))]

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [self.args[i] for i in self.wrt]

    @property
    def precision(self) -> Precision:
        """The coarsest among the parameters."""
        return Precision.coarsest(torch.finfo(p.dtype) for p in self.parameters)

    def in_float64(self) -> TorchPoint:
        wide = tuple(a.double() if _is_float(a) else a for a in self.args)
        return replace(self, args=wide, cotangents=tuple(c.double() for c in self.cotangents))

    def numerical(self, call: Call) -> Point:
        """The same for differences: the scalar is the sum of the cotangents times the outputs of `call`."""

        def value(parameters: Sequence[Array]) -> float:
            tensors = [
                torch.as_tensor(np.array(p), device=q.device).to(q.dtype)
                for p, q in zip(parameters, self.parameters, strict=True)
            ]
            made = self.values(call, tensors)
            return float(sum((c.double() * out).sum() for c, out in zip(self.cotangents, made, strict=True)))

        names, kinds = [self.names[i] for i in self.wrt], (torch.float32, torch.float64)
        arrays = [(p if p.dtype in kinds else p.double()).cpu().numpy() for p in self.parameters]
        return Point(names, arrays, value, self.precision)

    def leaves(self, noise: Noise | None = None, inputs: Sequence[int] | None = None) -> list[torch.Tensor]:
        """The parameters, of which those numbered in `inputs` require grad, by default all."""
        moved_ones = [p.clone() if noise is None else moved(p, noise) for p in self.parameters]
        return [p.requires_grad_(inputs is None or k in inputs) for k, p in enumerate(moved_ones)]

    def arguments(self, parameters: Sequence[torch.Tensor]) -> list[Any]:
        """Fresh arguments. Parameters go in as copies, which are on the tape and may be written into."""
        fresh = [detached(a) for a in self.args]
        for i, parameter in zip(self.wrt, parameters, strict=True):
            fresh[i] = parameter.clone()
        return fresh

    def values(
        self, call: Call, parameters: Sequence[torch.Tensor] | None = None, noise: Noise | None = None
    ) -> list[torch.Tensor]:
        """The outputs that can be differentiated, in float64."""
        given = self.leaves(noise, ()) if parameters is None else parameters
        with self.same_random_numbers(), torch.no_grad(), arithmetic(noise):
            made = as_tuple(call(*self.arguments(given)))
        return [made[k].detach().double() for k in self.outputs]

    def gradients(
        self,
        call: Call,
        noise: Noise | None = None,
        inputs: Sequence[int] | None = None,
        outputs: Sequence[int] | None = None,
    ) -> list[Array]:
        """What autograd finds for `call`, `function.apply` or what stands for it: float64, 0 where it finds nothing.

        `inputs` are those of the parameters that require grad, `outputs` those of the outputs that are used; all by
        default. Raises NoTapeError if no output leads back to a parameter.
        """
        with self.same_random_numbers(), torch.enable_grad():
            leaves = self.leaves(noise, inputs)
            wanted = [leaf for leaf in leaves if leaf.requires_grad]
            with arithmetic(noise):
                made = as_tuple(call(*self.arguments(leaves)))
                found = iter(slopes(self.scalars(made, noise, outputs), wanted))
        return [as_array(next(found) if leaf.requires_grad else None, leaf) for leaf in leaves]

    def scalars(
        self, made: Sequence[Any], noise: Noise | None = None, outputs: Sequence[int] | None = None
    ) -> list[torch.Tensor]:
        """Of each output that is used and on the tape, its elements times the cotangent, summed."""
        numbered = enumerate(zip(self.outputs, self.cotangents, strict=True))
        chosen = [(made[k], c) for j, (k, c) in numbered if outputs is None or j in outputs]
        upstream = [c.to(out.dtype) if noise is None else moved(c.to(out.dtype), noise) for out, c in chosen]
        return [(c * out).sum() for (out, _), c in zip(chosen, upstream, strict=True) if out.requires_grad]

    @contextlib.contextmanager
    def same_random_numbers(self) -> Iterator[None]:
        """The same in every run; the caller's own are left alone."""
        generator = torch.default_generator  # torch.manual_seed would wake up every other device
        before = generator.get_state()
        generator.manual_seed(self.seed)
        try:
            with torch.inference_mode(False):
                yield
        finally:
            generator.set_state(before)


def slopes(
    scalars: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor], keep: bool = False
) -> tuple[torch.Tensor | None, ...]:
    """Autograd's gradients, None where there is none. `keep` leaves the tape for a second time."""
    if not scalars:
        raise NoTapeError("its outputs do not require grad")
    return torch.autograd.grad(scalars, leaves, retain_graph=keep, allow_unused=True)


def has_setup_context(function: type[Function]) -> bool:
    """Whether the forward leaves ctx to `setup_context`."""
    return function.setup_context is not Function.setup_context


def as_tuple(made: Any) -> tuple[Any, ...]:
    return tuple(made) if isinstance(made, tuple | list) else (made,)


def detached(value: Any) -> Any:
    """A copy of a tensor, off the tape; anything else as it is."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def as_array(slope: torch.Tensor | None, leaf: torch.Tensor) -> Array:
    return np.zeros(leaf.shape) if slope is None else slope.detach().double().cpu().numpy()


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _differentiated(args: Sequence[Any]) -> tuple[int, ...]:
    tensors = {i: a for i, a in enumerate(args) if isinstance(a, torch.Tensor)}
    if any(t.is_complex() for t in tensors.values()):
        raise TypeError("args: expected real tensors, got a complex one; pass real and imaginary parts on their own")
    floats = [i for i, t in tensors.items() if t.is_floating_point()]
    if not floats:
        raise ValueError("args: expected at least one tensor of floats to differentiate by, got none")
    return tuple(i for i in floats if args[i].requires_grad) or tuple(floats)
