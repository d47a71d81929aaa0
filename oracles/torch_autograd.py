"""Reverse-mode differentiation by torch. Exact up to rounding, on a tape that torch records itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike

from oracles.estimate import (
    Estimate,
    Graph,
    Namespace,
    check_loss,
    check_samples_independent,
    checked_arguments,
)

try:
    import array_api_compat.torch
    import torch
except ImportError as missing:
    raise ImportError(
        f"oracles.torch_autograd needs torch, array-api-compat: pip install 'backproof[torch]' ({missing})",
        name=missing.name,
    ) from missing

__all__ = ["NAMESPACE", "gradient", "settings"]


def _softplus(z: torch.Tensor) -> torch.Tensor:
    # Above its threshold torch returns z itself. At the default of 20 that is wrong by 2e-9; at 40 by less
    # than eps.
    return torch.nn.functional.softplus(z, threshold=40.0)


NAMESPACE = Namespace(array_api_compat.torch, sigmoid=torch.sigmoid, relu=torch.nn.functional.relu, softplus=_softplus)


def gradient(graph: Graph, *args: ArrayLike, wrt: int = 0) -> Estimate:
    """Gradient of each sample's loss in its own slice of `args[wrt]`, by one backward pass through their sum.

    All arguments are float64, or all are float32; the graph is evaluated in that dtype. A loss that does not
    use `args[wrt]` has gradient 0. At a kink the answer is torch's convention (relu'(0) = 0).

    See `oracles.estimate.Oracle` for the shapes. Raises ValueError for arguments that do not fit.
    """
    arrays = checked_arguments(args, wrt, np.float64, np.float32)
    values = arrays[wrt]
    with settings(torch.float64 if values.dtype == np.float64 else torch.float32):
        # Copies, since torch refuses to share an array that is read-only or has negative strides.
        tensors = [torch.from_numpy(np.array(array, order="C")) for array in arrays]

        def loss_of(argument: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(graph(NAMESPACE, *tensors[:wrt], argument, *tensors[wrt + 1 :]))

        leaf = tensors[wrt].requires_grad_()
        loss = loss_of(leaf)
        detached = loss.detach().numpy()
        check_loss(detached, values, wrt)
        check_samples_independent(lambda moved: loss_of(torch.from_numpy(moved)).numpy(), detached, values, wrt)
        if not loss.requires_grad:
            return Estimate(np.zeros(values.shape), np.zeros(values.shape), detached.astype(np.float64))
        (slope,) = torch.autograd.grad(loss.sum(), leaf)
    return Estimate(slope.numpy().astype(np.float64), np.zeros(values.shape), detached.astype(np.float64))


@contextmanager
def settings(dtype: torch.dtype) -> Iterator[None]:
    """Gradients on, and constants that the graph creates in the dtype of its arguments."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)
