"""Monte Carlo arithmetic in torch: every operation that rounds gets its operands and its result moved at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oracles.measured import Noise

try:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves, tree_map
except ImportError as missing:
    raise ImportError(
        f"oracles.torch_noise needs torch: pip install 'backproof[torch]' ({missing})", name=missing.name
    ) from missing

__all__ = ["NoisyArithmetic", "moved"]

# fmt: off
_COPIES = (
    "_to_copy", "_unsafe_view", "alias", "clone", "contiguous", "copy", "detach", "lift_fresh", "repeat", "roll",
    "set", "flip",
)
_CONSTANTS = (
    "arange", "empty", "empty_like", "empty_strided", "eye", "fill", "full", "full_like", "linspace", "new_empty",
    "new_empty_strided", "new_full", "new_ones", "new_zeros", "ones", "ones_like", "scalar_tensor", "zero", "zeros",
    "zeros_like",
)
_SELECTIONS = (
    "_unsafe_index", "as_strided", "cat", "col2im", "constant_pad_nd", "diag_embed", "diagonal_backward",
    "embedding", "gather", "im2col", "index", "index_copy", "index_fill", "index_put", "index_select",
    "masked_fill", "masked_scatter", "masked_select", "nan_to_num", "pixel_shuffle", "reflection_pad1d",
    "reflection_pad2d", "replication_pad1d", "replication_pad2d", "scatter", "select", "select_backward",
    "select_scatter", "slice_backward", "slice_scatter", "stack", "take", "tril", "triu", "unfold", "where",
)
_COMPARISONS = (
    "abs", "amax", "amin", "aminmax", "ceil", "clamp", "clamp_max", "clamp_min", "copysign", "cummax", "cummin",
    "floor", "fmax", "fmin", "hardtanh", "hardtanh_backward", "heaviside", "kthvalue", "max",
    "max_pool2d_with_indices", "maximum", "median", "min", "minimum", "mode", "nanmedian", "neg", "relu", "round",
    "sgn", "sign", "sort", "threshold", "threshold_backward", "topk", "trunc",
)
# fmt: on
_EXACT = frozenset((*_COPIES, *_CONSTANTS, *_SELECTIONS, *_COMPARISONS))
"""Operations that do not round. All others are taken to: one that does not would only widen a tolerance."""


class NoisyArithmetic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, torch's operations on floats are noisy, those of autograd's backward pass included."""

    def __init__(self, noise: Noise) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._noise = noise

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        aliases = [r.alias_info for r in func._schema.returns if r.alias_info is not None]
        if _base_name(func) in _EXACT or torch.Tag.nondeterministic_seeded in func.tags:
            return func(*args, **named)
        if any(a.is_write for a in aliases):  # in place: the result is moved where it is
            made = func(*args, **named)
            tree_map(self._move_in_place, made)
            return made
        if aliases:  # a view
            return func(*args, **named)
        made = func(*args, **named)
        if not any(isinstance(m, torch.Tensor) and m.is_floating_point() for m in tree_leaves(made)):
            return made  # a comparison, or a number taken out of a tensor
        return tree_map(self._moved, func(*tree_map(self._moved, args), **tree_map(self._moved, named)))

    def _moved(self, value: Any) -> Any:
        return moved(value, self._noise) if isinstance(value, torch.Tensor) else value

    def _move_in_place(self, value: Any) -> None:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            value.mul_(_factor(value, self._noise))


def moved(tensor: torch.Tensor, noise: Noise) -> torch.Tensor:
    """A tensor with every element moved by up to a unit in its last place; the tensor itself if it holds no floats."""
    return tensor * _factor(tensor, noise) if tensor.is_floating_point() else tensor


def _factor(tensor: torch.Tensor, noise: Noise) -> torch.Tensor:
    factor = noise.factor(tensor.shape, torch.finfo(tensor.dtype).eps)
    return torch.as_tensor(factor, dtype=tensor.dtype, device=tensor.device)


def _base_name(func: Callable[..., Any]) -> str:
    """The operation's name without its namespace, overload and the underscore of its in-place form."""
    name: str = func._schema.name.split("::")[-1]  # type: ignore[attr-defined]
    return name.rstrip("_") if not name.startswith("__") else name
