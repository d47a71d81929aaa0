"""Certifying the 506 samples is faster than torch.autograd.gradcheck on the same outputs and inputs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from manual import nine_weight
from oracles import certify, graphs
from oracles.torch_autograd import NAMESPACE
from reference.datasets import housing
from tests.gate.verdicts import PROPERTY

ROUNDS = 7


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def test_faster_than_gradcheck(request: pytest.FixtureRequest) -> None:
    """Side by side in one process, as a ratio: the median of pairs that take turns."""
    x, y = housing()
    w = np.random.default_rng(0).normal(0, 0.1, 9)
    weights = np.tile(w, (len(x), 1))
    tensor, features, targets = torch.tensor(w, requires_grad=True), torch.tensor(x), torch.tensor(y)

    def certificate() -> Any:
        return certify(
            lambda w, x, y: nine_weight.forward(w, x, y)[0],
            lambda w, x, y: nine_weight.loss_and_gradient(w, x, y)[1],
            *(weights, x, y),
        )

    def gradcheck() -> bool:
        passed: bool = torch.autograd.gradcheck(lambda v: graphs.nine_weight(NAMESPACE, v, features, targets), tensor)
        return passed

    assert certificate().digits >= 30
    assert gradcheck()
    ratios = [seconds(gradcheck) / seconds(certificate) for _ in range(ROUNDS)]
    request.node.user_properties.append(
        (PROPERTY, {"kind": "speed", "what": "certificate against torch.autograd.gradcheck", "ratios": ratios})
    )
    assert statistics.median(ratios) > 1
