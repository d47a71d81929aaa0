"""With --report: the numbers of its figures are gathered, and show what their captions say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.gate import figures
from tests.gate.replication import EPOCHS
from tests.gate.verdicts import PROPERTY

Record = Callable[[str, figures.Data], None]


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Leaves the numbers of a figure for the report."""

    def left(name: str, data: figures.Data) -> None:
        request.node.user_properties.append((PROPERTY, {"kind": "figure", "name": name, "data": data}))

    return left


def test_digits(seed: int, record: Record) -> None:
    """PyTorch and JAX lose all digits of some gradients, against a truth that keeps them."""
    data = figures.digits(seed)
    record("digits", data)
    worst = {name: np.min(tenths) for name, tenths in data["tenths"].items()}
    assert max(worst["PyTorch"], worst["JAX"]) < 10, worst
    assert max(np.max(tenths) for tenths in data["tenths"].values()) > 150


def test_v_curve(record: Record) -> None:
    """Differences are best at a middling step; the complex step is not worse at the smallest."""
    data = figures.v_curve()
    record("v_curve", data)
    errors = data["errors"]
    for name in ("forward difference", "central difference", "Richardson extrapolation"):
        assert min(errors[name]) < 1e-3 * min(errors[name][0], errors[name][-1]), name
    assert errors["complex step"][-1] < 1e-15


def test_losses(seed: int, record: Record) -> None:
    """Percentiles in order in every epoch; where the published losses lie among them is for `test_replication`."""
    data = figures.losses(seed)
    record("losses", data)
    for name, rule in data["rules"].items():
        band = np.array(list(rule["percentiles"].values()))
        assert band.shape == (len(figures.PERCENTILES), EPOCHS), name
        assert (np.diff(band, axis=0) >= 0).all(), name


def test_networks(record: Record) -> None:
    """Both networks tell the classes of the held-out points apart."""
    data = figures.networks()
    record("networks", data)
    assert min(net["held out"] for net in data.values()) >= 0.96


def test_gradient_norms(record: Record) -> None:
    """A sigmoid network's gradient fades towards the input; a ReLU network's with He's weights does not."""
    data = figures.gradient_norms()
    record("gradient_norms", data)
    faded = {name: norms[0] / norms[-1] for name, norms in data["norms"].items()}
    assert faded["sigmoid, xavier"] < 0.01
    assert faded["relu, he"] > 0.5


def test_computational_graphs(record: Record) -> None:
    """The nodes of the leaves hold the gradients that the hand-written backward gives."""
    data = figures.computational_graphs()
    record("computational_graphs", data)
    leaves = {node["label"]: node["grad"][0] for node in data["neuron"]["nodes"]}
    assert {"x1": -1.5, "w1": 1.0, "x2": 0.5, "w2": 0.0}.items() <= leaves.items()
