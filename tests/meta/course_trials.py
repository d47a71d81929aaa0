"""Course layers, losses and their faults as the certificate takes them."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from oracles import Certificate, certify, certify_layer
from tests.meta.course_faults import Fault
from tests.meta.course_layers import BY_ID, Layer, Loss


def certified(subject: Layer | Loss, number: int, fault: Fault | None = None) -> Certificate:
    """The certificate of a layer or loss, or of a fault in its place, at a numbered draw."""
    random = np.random.default_rng([zlib.crc32(subject.id.encode()), number])
    args = subject.draw(random)
    if isinstance(subject, Loss):
        function = fault.candidate if fault else subject.function

        def loss(*given: Any) -> Any:
            return function(*given)[0]

        def gradient(*given: Any) -> Any:
            return function(*given)[1]

        return certify(loss, gradient, *args, wrt=subject.wrt if len(subject.wrt) > 1 else subject.wrt[0])
    forward = fault.forward if fault and fault.forward else subject.forward
    return certify_layer(forward, fault.candidate if fault else subject.backward, *args, wrt=subject.wrt)


def of_fault(fault: Fault, number: int) -> Certificate:
    return certified(BY_ID[fault.layer_id], number, fault)
