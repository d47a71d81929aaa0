"""Monte Carlo arithmetic in torch: every operation that rounds gets its operands and its result moved at random."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oracles.measured import Noise

try:
    import torch
    from torch._decomp import decomposition_table
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves, tree_map
except ImportError as missing:
    raise ImportError(
        f"oracles.torch_noise needs torch: pip install 'backproof[torch]' ({missing})", name=missing.name
    ) from missing

__all__ = ["NoisyArithmetic", "arithmetic", "moved"]

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
_FUSED = frozenset((
    "_log_softmax", "_log_softmax_backward_data", "_softmax", "_softmax_backward_data", "addcdiv", "addcmul",
    "binary_cross_entropy", "binary_cross_entropy_backward", "binary_cross_entropy_with_logits", "dist", "elu",
    "elu_backward", "gelu", "gelu_backward", "glu", "glu_backward", "hardswish", "hardswish_backward", "huber_loss",
    "huber_loss_backward", "lerp", "log_sigmoid_backward", "log_sigmoid_forward", "logaddexp", "logaddexp2",
    "logit", "logit_backward", "logsumexp", "mish", "mish_backward", "mse_loss", "mse_loss_backward",
    "native_batch_norm_backward", "native_group_norm", "native_group_norm_backward", "native_layer_norm",
    "native_layer_norm_backward", "rsub", "sigmoid_backward", "silu", "silu_backward", "sinc", "smooth_l1_loss",
    "smooth_l1_loss_backward", "soft_margin_loss", "soft_margin_loss_backward", "softplus", "softplus_backward",
    "std", "std_mean", "tanh_backward", "var", "var_mean", "xlogy",
))
# fmt: on
_EXACT = frozenset((*_COPIES, *_CONSTANTS, *_SELECTIONS, *_COMPARISONS))
"""Operations that do not round. All others are taken to: one that does not would only widen a tolerance."""


class NoisyArithmetic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, torch's operations on floats are noisy, those of autograd's backward pass included."""

    def __init__(self, noise: Noise) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._noise = noise

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # else the first operation imports torch's compiler, which takes seconds
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        schema, name = func._schema, _base_name(func)
        if name in _FUSED and func in decomposition_table:
            with self:  # one kernel that rounds in between: in its parts, each of which is moved
                return decomposition_table[func](*args, **named)
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
        made = func(*args, **named)
        if is_view or name in _EXACT or torch.Tag.nondeterministic_seeded in func.tags:
            return made
        if any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments):
            tree_map(self._move_in_place, made)
            return made
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


def arithmetic(noise: Noise | None) -> contextlib.AbstractContextManager[Any]:
    """Noisy arithmetic, or torch's own without noise."""
    return contextlib.nullcontext() if noise is None else NoisyArithmetic(noise)
