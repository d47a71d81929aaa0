"""The gradient norms of deep networks are those of certified gradients, and what the documents say of vanishing and
exploding ones is measured."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from manual import gradient_flow
from manual.gradient_flow import Flow, format_survey, layer_norms, point, survey, verdict
from manual.initialization import SCHEMES
from manual.mlp import ACTIVATIONS, MLP, unpack
from oracles import Ruling, certify
from oracles.rounding import rounding_radii
from oracles.trial import loss_trial
from reference.published import published
from tests.gate.verdicts import midpoints

Array = NDArray[np.float64]

SIZES = published("course.gradient_flow.layer_sizes").value
SEEDS = range(20)
DEPTHS = (5, 10, 20, 50)
COMBINATIONS = [
    pytest.param(activation, scheme, id=f"{activation}-{scheme}") for activation in ACTIVATIONS for scheme in SCHEMES
]


@cache
def flows() -> tuple[Flow, ...]:
    return tuple(survey(DEPTHS, SEEDS))


def chosen(depth: int, activation: str, scheme: str) -> list[Flow]:
    found = [f for f in flows() if (len(f.sizes) - 2, f.activation, f.scheme) == (depth, activation, scheme)]
    assert len(found) == len(SEEDS)
    return found


def count(depth: int, activation: str, scheme: str) -> dict[str, int]:
    verdicts = [flow.verdict for flow in chosen(depth, activation, scheme)]
    return {name: verdicts.count(name) for name in set(verdicts)}


# --- the norms ------------------------------------------------------------------------------------------------------


def allowed(net: MLP, args: tuple[Array, ...], truth: Array) -> Array:
    """How far rounding may move the norms (L,): the norms of the radii, and what taking a norm rounds."""
    radii = rounding_radii(loss_trial(net.loss, net.gradient, args, 0)).gradients[0]
    widths = np.array([dW.size for dW, _ in unpack(radii, net.sizes)])
    return layer_norms(radii, net.sizes) + 2 * (widths + 3) * 2.0**-53 * truth


@pytest.mark.parametrize(("activation", "scheme"), COMBINATIONS)
@pytest.mark.parametrize("sizes", [SIZES, (10, *[8] * 10, 1)], ids=["published", "deep"])
def test_norms_are_those_of_the_certified_gradient(activation: str, scheme: str, sizes: tuple[int, ...]) -> None:
    """The radii, which assume the worst at each layer, grow by a factor of up to 7 with each."""
    net = MLP(sizes, activation)
    args = point(sizes, scheme, seed=0)
    certificate = certify(net.loss, net.gradient, *args)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert certificate.digits >= 30
    truth = layer_norms(midpoints(certificate), sizes)
    tolerance = allowed(net, tuple(args), truth)
    found = gradient_flow.gradient_flow(activation, scheme, 0, sizes).norms
    assert found.shape == (len(sizes) - 1,)
    assert np.all(np.abs(found - truth) <= tolerance)
    assert np.all(tolerance < (1e-10 if sizes == SIZES else 1e-7) * truth)
    assert not np.any(np.abs(found * (1 + 1e-6) - truth) <= tolerance)


def test_a_norm_is_of_the_weights_of_its_layer_alone() -> None:
    theta = np.concatenate([np.full(6, 2.0), np.full(3, 100.0), np.full(3, 3.0), [100.0]])
    assert layer_norms(theta, (2, 3, 1)).tolist() == [np.sqrt(24), np.sqrt(27)]  # of whole numbers
    for entry, layer in [(0, 0), (5, 0), (9, 1), (11, 1)]:
        moved = theta.copy()
        moved[entry] += 1
        assert np.flatnonzero(layer_norms(moved, (2, 3, 1)) != layer_norms(theta, (2, 3, 1))).tolist() == [layer]


def test_the_point_is_the_documents() -> None:
    theta, X, y = point(SIZES, "he", seed=3)
    assert gradient_flow.SIZES == SIZES
    assert X.shape == (10, published("course.gradient_flow.samples").value)
    assert set(y.ravel().tolist()) == set(published("course.gradient_flow.labels").value)
    assert all(not b.any() for _, b in unpack(theta, SIZES))
    again = point(SIZES, "he", seed=3)
    assert [part.tolist() for part in again] == [theta.tolist(), X.tolist(), y.tolist()]


# --- the verdicts ---------------------------------------------------------------------------------------------------


def test_the_verdict_looks_at_the_layer_nearest_the_input() -> None:
    vanishing = published("course.gradient_flow.vanishing_below").value
    exploding = published("course.gradient_flow.exploding_above").value
    assert vanishing == gradient_flow.VANISHING_BELOW
    assert exploding == gradient_flow.EXPLODING_ABOVE
    for first, expected in [
        (np.nextafter(vanishing, 0), "vanishing"),
        (vanishing, "healthy"),
        (exploding, "healthy"),
        (np.nextafter(exploding, 1e9), "exploding"),
    ]:
        assert verdict(np.array([first, 1e-9, 1e9])) == expected


def test_at_the_published_depth_nothing_vanishes_or_explodes() -> None:
    """Neither in the ReLU network that the document shows nor in the sigmoid network that it promises."""
    for activation in ACTIVATIONS:
        for scheme in SCHEMES:
            assert count(5, activation, scheme) == {"healthy": 20}


def test_sigmoid_networks_vanish_from_ten_layers_on_whatever_the_scheme() -> None:
    for scheme in SCHEMES:
        for depth in (10, 20, 50):
            assert count(depth, "sigmoid", scheme) == {"vanishing": 20}
    # By a factor per layer: the slope of a sigmoid is 1/4 at most.
    medians = [np.median([flow.norms[0] for flow in chosen(depth, "sigmoid", "xavier")]) for depth in DEPTHS]
    for (fewer, larger), (more, smaller) in pairwise(zip(DEPTHS, medians, strict=True)):
        assert smaller < larger * 0.3 ** (more - fewer)


def test_he_does_not_keep_the_gradients_of_a_narrow_relu_network_for_ever() -> None:
    """Claim `he_keeps_gradients_stable` holds at the published depth; of 50 layers of 8 units, 13 of 20 vanish, and all
    with Xavier's weights, which have half the variance here."""
    assert count(20, "relu", "he") == {"healthy": 20}
    assert count(50, "relu", "he") == {"healthy": 7, "vanishing": 13}
    assert count(20, "relu", "xavier") == {"healthy": 5, "vanishing": 15}
    assert count(50, "relu", "xavier") == {"vanishing": 20}


def test_layers_nearest_the_input_get_the_smaller_gradients_with_sigmoid_but_not_with_tanh() -> None:
    """Claim `deeper_layers_get_smaller_gradients`, read so: it holds for sigmoid, and for tanh it does not."""
    for depth in DEPTHS:
        for scheme in SCHEMES:
            assert all(flow.norms[0] < 0.1 * flow.norms[-1] for flow in chosen(depth, "sigmoid", scheme))
            assert count(depth, "tanh", scheme) == {"healthy": 20}
    assert sum(flow.norms[0] > flow.norms[-1] for flow in chosen(50, "tanh", "he")) >= 10


def test_large_weights_explode() -> None:
    net = MLP((10, *[8] * 10, 1))
    theta, X, y = point(net.sizes, "he", seed=0)
    norms = layer_norms(net.gradient(3 * theta, X, y), net.sizes)
    assert verdict(norms) == "exploding"
    certificate = certify(net.loss, net.gradient, 3 * theta, X, y)
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    truth = layer_norms(midpoints(certificate), net.sizes)
    assert np.all(np.abs(norms - truth) <= allowed(net, (3 * theta, X, y), truth))


# --- the table ------------------------------------------------------------------------------------------------------


def test_a_survey_has_every_combination_once() -> None:
    found = [(len(f.sizes) - 2, f.activation, f.scheme) for f in survey([1, 3], [7])]
    assert found == [(depth, a, s) for depth in (1, 3) for a in ("sigmoid", "relu", "tanh") for s in ("he", "xavier")]


def test_the_table_as_text() -> None:
    made = [
        Flow("relu", "he", (10, 8, 1), np.array([0.5, 1.0]), "healthy"),
        Flow("relu", "he", (10, 8, 1), np.array([1e-5, 1.0]), "vanishing"),
        Flow("relu", "he", (10, 8, 1), np.array([1.5, 1.0]), "healthy"),
        Flow("tanh", "xavier", (10, 8, 1), np.array([200.0, 1.0]), "exploding"),
    ]
    assert format_survey(made) == (
        "hidden  activation  weights  first layer  verdicts\n"
        "     1  relu        he          5.00e-01  2 healthy, 1 vanishing\n"
        "     1  tanh        xavier      2.00e+02  1 exploding"
    )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="activation: expected one of sigmoid, relu, tanh, got 'elu'"):
        gradient_flow.gradient_flow("elu", "he", 0)
    with pytest.raises(ValueError, match="scheme: expected one of he, xavier, got 'lecun'"):
        gradient_flow.gradient_flow("relu", "lecun", 0)
