"""The moons are the points that the documents trained on, the spiral is the one pinned here, other points are refused,
and neither can be told apart by a straight line."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from reference import datasets
from reference.datasets import (
    DatasetError,
    Points,
    Split,
    fingerprint,
    make_moons,
    make_spiral,
    moons,
    spiral,
    train_test_split,
    xor_pattern,
)
from reference.published import published
from tests.meta.ulps import ulps

Array = NDArray[np.float64]

MOONS_SHA256 = "92737a81dee0ea8d795664e1db14584047abecfe650ee8e067c1556af4a64b8c"
SPIRAL_SHA256 = "8290a55dd3d8f5a0fce36f61edd22c09bea3348d67d330ef773090dea86d51fc"
# What scikit-learn 1.9.1 gives for the documents' settings, with NumPy 2.4.6 on x86-64.
FIRST_TRAINING = [[0.2620009162517139, 0.2319004923144831], [0.1176540661106545, 0.14329933383274485]]
FIRST_HELD_OUT = [[-1.042197083608567, 0.23161997076444607], [1.0975674354146965, 0.21462685037696638]]

BOTH = [pytest.param(moons, id="moons"), pytest.param(spiral, id="spiral")]


def moons_setting(name: str) -> float:
    return float(published(f"course.moons.{name}").value)


def all_points(split: Split) -> Points:
    return Points(
        np.concatenate([split.X_train, split.X_test], axis=1).T,
        np.concatenate([split.y_train, split.y_test], axis=1)[0],
    )


# --- the moons ------------------------------------------------------------------------------------------------------


def test_moons_are_scikit_learns_to_the_last_places() -> None:
    """Its order of draws and its permutation; cos, sin and log may differ in the last place between platforms."""
    split = moons()
    # Four ulps of cos and sin, below 1, and half as many of the noise and the sum: on this platform and on that one.
    np.testing.assert_allclose(split.X_train[:, :2].T, FIRST_TRAINING, rtol=0, atol=ulps(8))
    np.testing.assert_allclose(split.X_test[:, :2].T, FIRST_HELD_OUT, rtol=0, atol=ulps(8))
    assert split.y_train[0, :10].tolist() == [1, 1, 1, 0, 0, 0, 1, 0, 1, 1]
    assert split.y_test[0, :10].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert (split.y_train.sum(), split.y_test.sum()) == (162, 38)


def test_moons_are_drawn_with_the_published_settings() -> None:
    points = make_moons(int(moons_setting("samples")), moons_setting("noise"), int(moons_setting("dataset_seed")))
    split = train_test_split(points, moons_setting("test_fraction"), int(moons_setting("split_seed")))
    for mine, published_one in zip(split, moons(), strict=True):
        np.testing.assert_array_equal(mine, published_one)


def test_half_of_the_moons_is_in_each_class() -> None:
    for samples in (7, 8, 400):
        classes = make_moons(samples, 0.15, 0).y
        assert (int(np.sum(classes == 0)), int(np.sum(classes == 1))) == (samples // 2, samples - samples // 2)


def test_moons_without_noise_lie_on_two_half_circles() -> None:
    points = make_moons(100, 0.0, 3)
    upper, lower = (points.X[points.y == c] for c in (0, 1))
    # Four ulps of cos and sin, two sums, and hypot.
    assert np.hypot(*upper.T) == pytest.approx(1, rel=ulps(8), abs=0)
    assert np.hypot(*(lower - [1, 0.5]).T) == pytest.approx(1, rel=ulps(8), abs=0)
    assert upper[:, 1].min() > -1e-15
    assert lower[:, 1].max() < 0.5 + 1e-15


# --- the spiral -----------------------------------------------------------------------------------------------------


def test_the_spiral_without_noise_has_two_arms_half_a_turn_apart() -> None:
    points = make_spiral(400, 0.0, 0)
    first, second = points.X[points.y == 0], points.X[points.y == 1]
    assert np.hypot(*first.T) == pytest.approx(np.linspace(0.1, 1.0, 200), rel=ulps(8), abs=0)  # as for the moons
    # An angle between 8 and 16 is rounded by 4 units of 2^-52, and cos and sin by four ulps in either arm.
    assert second == pytest.approx(-first, rel=0, abs=ulps(16))
    angle = np.unwrap(np.arctan2(first[:, 1], first[:, 0]))
    assert angle[-1] - angle[0] == pytest.approx(2 * np.pi * 0.9, rel=ulps(16), abs=0)  # arctan2 of what is known to 8


@pytest.mark.parametrize("samples", [0, 1, 7])
def test_a_spiral_of_uneven_arms_is_refused(samples: int) -> None:
    with pytest.raises(ValueError, match=f"samples: expected an even number of at least 2, got {samples}"):
        make_spiral(samples, 0.02, 0)


# --- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", BOTH)
def test_samples_are_columns_of_contiguous_float64(load: Callable[[], Split]) -> None:
    split = load()
    assert [part.shape for part in split] == [(2, 320), (1, 320), (2, 80), (1, 80)]
    assert {str(part.dtype) for part in split} == {"float64"}
    assert all(part.flags.c_contiguous and part.flags.writeable for part in split)
    assert {*split.y_train.ravel().tolist(), *split.y_test.ravel().tolist()} == {0.0, 1.0}


@pytest.mark.parametrize(("load", "expected"), [(moons, MOONS_SHA256), (spiral, SPIRAL_SHA256)])
def test_the_coordinates_have_the_pinned_hash(load: Callable[[], Split], expected: str) -> None:
    split = load()
    assert fingerprint(split) == expected
    whole = [np.rint(part * 1e10).astype("<i8").tobytes() for part in split]
    assert hashlib.sha256(b"".join(whole)).hexdigest() == expected


@pytest.mark.parametrize("load", BOTH)
def test_the_hash_is_deaf_to_the_last_places_and_to_nothing_else(load: Callable[[], Split]) -> None:
    split = load()
    units = all_points(split).X / datasets.UNIT
    edge = np.abs(units - np.floor(units) - 0.5) * datasets.UNIT  # how far from where rounding changes
    assert edge.min() > 6e-14 > 100 * np.spacing(np.abs(all_points(split).X)).max()
    for places in (-50, 50):
        moved = Split(*(part + places * np.spacing(part) for part in split))
        assert fingerprint(moved) == fingerprint(split)
    for index in range(4):
        for change in (2e-10, -2e-10):
            parts = [part.copy() for part in split]
            parts[index][0, 17] += change
            assert fingerprint(Split(*parts)) != fingerprint(split)
    swapped = split._replace(X_train=split.X_train[:, ::-1])
    assert fingerprint(swapped) != fingerprint(split)


@pytest.mark.parametrize(("load", "maker"), [(moons, "make_moons"), (spiral, "make_spiral")])
def test_other_points_are_refused(load: Callable[[], Split], maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = getattr(datasets, maker)
    monkeypatch.setattr(datasets, maker, lambda samples, noise, seed: original(samples, noise * 1.0001, seed))
    with pytest.raises(
        DatasetError, match=rf"{load.__name__}: expected points with the SHA-256 .*NumPy .* constraints"
    ):
        load()


@pytest.mark.parametrize("load", BOTH)
def test_one_caller_cannot_corrupt_the_samples_of_another(load: Callable[[], Split]) -> None:
    first = load()
    before = [part.copy() for part in first]
    for part in first:
        part[...] = 7.0
    for part, copy in zip(load(), before, strict=True):
        np.testing.assert_array_equal(part, copy)


def separable(points: Points) -> bool:
    """Whether a line parts the classes: s (w · x + b) >= 1 can be satisfied, s = ±1 being the class of x."""
    sign = 2 * points.y[:, None] - 1
    found = linprog(
        np.zeros(3),
        A_ub=-sign * np.column_stack([points.X, np.ones(len(sign))]),
        b_ub=-np.ones(len(sign)),
        bounds=(None, None),
    )
    assert found.status in (0, 2)  # feasible, infeasible
    return bool(found.status == 0)


@pytest.mark.parametrize("load", BOTH)
def test_no_line_separates_the_classes(load: Callable[[], Split]) -> None:
    """Claim `moons_not_linearly_separable` holds."""
    points = all_points(load())
    assert not separable(points)
    assert separable(points._replace(y=(points.X[:, 0] - 2 * points.X[:, 1] > 0.1).astype(np.float64)))


@pytest.mark.parametrize(("samples", "held_out"), [(7, 2), (10, 2), (401, 81)])
def test_a_split_keeps_every_point_once_with_its_class(samples: int, held_out: int) -> None:
    points = Points(np.arange(2.0 * samples).reshape(samples, 2), np.arange(float(samples)) % 2)
    split = train_test_split(points, 0.2, 5)
    assert split.X_test.shape == (2, held_out)
    together = all_points(split)
    order = np.argsort(together.X[:, 0])
    np.testing.assert_array_equal(together.X[order], points.X)
    np.testing.assert_array_equal(together.y[order], points.y)
    assert not np.array_equal(together.X, points.X)


# --- the pattern ----------------------------------------------------------------------------------------------------


def test_the_pattern_is_the_published_one_and_no_exclusive_or() -> None:
    """Claim `pattern_is_xor`: it has one input of four values; the exclusive or has two of two."""
    pattern = xor_pattern()
    assert tuple(pattern.x.tolist()) == published("course.tiny_training.X").value
    assert tuple(pattern.y.tolist()) == published("course.tiny_training.y").value
    assert pattern.x.ndim == 1
    assert len(set(pattern.x.tolist())) == 4
