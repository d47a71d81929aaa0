"""A gradient in blocks is the gradient, bit for bit, however the samples are cut."""

from __future__ import annotations

import numpy as np
import pytest

from manual import nine_weight, nine_weight_stable
from manual.blocks import BLOCK, in_blocks
from reference.datasets import housing


@pytest.mark.parametrize("size", [1, 7, 253, 505, 506, 507, BLOCK])
@pytest.mark.parametrize("form", [nine_weight, nine_weight_stable], ids=["textbook", "stable"])
def test_blocks_change_no_bit(form: object, size: int) -> None:
    x, y = housing()
    w = np.random.default_rng(0).normal(0, 0.1, 9)
    whole = form.loss_and_gradient(w, x, y)  # type: ignore[attr-defined]
    cut = in_blocks(form.loss_and_gradient, w, x, y, size)  # type: ignore[attr-defined]
    assert all(np.array_equal(a, b) for a, b in zip(whole, cut, strict=True))


def test_a_block_that_is_left_out_would_be_noticed() -> None:
    x, y = housing()
    w = np.zeros(9)
    losses, _ = in_blocks(nine_weight.loss_and_gradient, w, x[:500], y[:500], 100)
    assert not np.array_equal(np.resize(losses, 506), nine_weight.loss_and_gradient(w, x, y)[0])


def test_arguments_that_make_no_blocks_are_refused() -> None:
    x, y = housing()
    with pytest.raises(ValueError, match="size: expected at least 1 sample to a block, got 0"):
        in_blocks(nine_weight.loss_and_gradient, np.zeros(9), x, y, 0)
    with pytest.raises(ValueError, match="y: expected at least one sample, got none"):
        in_blocks(nine_weight.loss_and_gradient, np.zeros(9), x[:0], y[:0])
