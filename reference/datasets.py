"""The documents' samples: the 506 of the nine-weight graph, two moons, a spiral and a four-point pattern.

`housing`: five standardised columns of the Boston housing data and the nine-weight graph's target.

Source of housing.csv: Harrison, D. and Rubinfeld, D.L., "Hedonic prices and the demand for clean air",
J. Environ. Economics & Management 5, 81-102, 1978; StatLib / UCI copy, decimal strings unchanged. Columns:
INDUS (share of non-retail business acres), AGE (share of units built before 1940), PTRATIO (pupils per
teacher), TAX (property tax per $10,000) and NOX (nitric oxides, parts per 10 million).

`moons` and `spiral` are points of the plane in two classes, a column each, as the networks of the documents take them.
Their noise comes from NumPy's legacy RandomState, whose streams NumPy promises never to change (NEP 19). But cos, sin
and log differ between platforms in the last place, so what is pinned is the SHA-256 of the coordinates as integers in
units of 1e-10. No coordinate is nearer than 6e-14 to where that rounding changes, which is at least a hundred
units in the last place.
"""

import math
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HOUSING_CSV = Path(__file__).with_name("housing.csv")
FEATURES = ("INDUS", "AGE", "PTRATIO", "TAX", "NOX")
CSV_SHA256 = "1a8f88f3f3382d7860565db3cd8745b1b15c1c1000c1433194627845b1efbec4"
# Of X in C order as little-endian float64.
X_SHA256 = "e80c4b33880e4a042b1c762d2ec419d59fdfd52ac460227bd848951c940167ab"

# Of all arrays of a Split in turn, in units of UNIT as little-endian int64.
MOONS_SHA256 = "92737a81dee0ea8d795664e1db14584047abecfe650ee8e067c1556af4a64b8c"
SPIRAL_SHA256 = "8290a55dd3d8f5a0fce36f61edd22c09bea3348d67d330ef773090dea86d51fc"
UNIT = 1e-10


class DatasetError(ValueError):
    """The data on this machine are not the data that the published figures were computed from."""


class Housing(NamedTuple):
    """Standardised features X, float64 (506, 5), and targets y, float64 (506,)."""

    X: NDArray[np.float64]
    y: NDArray[np.float64]


class Points(NamedTuple):
    """Points of the plane, float64 (n, 2), and the class of each, float64 (n,) of zeros and ones."""

    X: NDArray[np.float64]
    y: NDArray[np.float64]


class Split(NamedTuple):
    """Samples to train on and held-out ones, a column each: X is float64 (2, m) and y (1, m), in C order."""

    X_train: NDArray[np.float64]
    y_train: NDArray[np.float64]
    X_test: NDArray[np.float64]
    y_test: NDArray[np.float64]


class Pattern(NamedTuple):
    """Inputs x, float64 (4,), and targets y, float64 (4,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]


def housing() -> Housing:
    """The shipped samples, as fresh arrays at each call: no caller sees what another one writes into them.

    Raises DatasetError if housing.csv is not the shipped file, or if X comes out with other bits.
    """
    X, y = _shipped()
    return Housing(X.copy(), y.copy())


@cache
def _shipped() -> Housing:
    return load(HOUSING_CSV)


def load(path: Path) -> Housing:
    """The samples computed from the file at `path`, which must be the shipped one byte for byte.

    Raises DatasetError if the file is missing or has other bytes, or if X comes out with other bits.
    """
    X = standardise(parse(_read(path)))
    digest = sha256(X.astype("<f8").tobytes()).hexdigest()
    if digest != X_SHA256:
        raise DatasetError(
            f"X standardised from {path}: expected SHA-256 {X_SHA256}, got {digest}. The file's bytes are "
            f"right, so NumPy {np.__version__} rounds the mean or the standard deviation differently here. "
            f"Use the NumPy version pinned in constraints.txt."
        )
    return Housing(X, target(X))


def _read(path: Path) -> bytes:
    expected = f"expected the shipped file (506 rows of {','.join(FEATURES)}; SHA-256 {CSV_SHA256})"
    advice = "Restore reference/housing.csv from the repository or the source distribution."
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {expected}, but cannot read it: {error.strerror}. {advice}") from error
    digest = sha256(data).hexdigest()
    if digest != CSV_SHA256:
        crlf = " whose lines end in CRLF instead of LF" if b"\r\n" in data else ""
        raise DatasetError(f"{path}: {expected}, got {len(data)} bytes{crlf} (SHA-256 {digest}). {advice}")
    return data


def parse(data: bytes) -> NDArray[np.float64]:
    """The numbers under the header row of a CSV, float64 (rows, columns)."""
    return np.loadtxt(data.decode("ascii").splitlines(), delimiter=",", skiprows=1, dtype=np.float64)


def standardise(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """(raw - mean) / population standard deviation of each column; (n, k) in, C-ordered (n, k) out."""
    # NumPy sums contiguous memory pairwise and strided memory one by one: the layout decides the last bits.
    columns = np.ascontiguousarray(raw.T)
    mean = np.mean(columns, axis=1, keepdims=True)
    std = np.std(columns, axis=1, keepdims=True)
    return np.ascontiguousarray(((columns - mean) / std).T)


def target(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nine-weight graph at w = (1, ..., 1); X is (n, 5), the result (n,).

    Found by inverting the published check values. `exp` and `tanh` differ by platform, y by at most 1 ulp.
    """
    x0, x1, x2, x3, x4 = X.T
    part1 = np.exp((x0 + x1) ** 2 + 1)
    part2 = np.tanh(part1 + 1)
    part3 = 1 / (1 + np.exp(-(np.sin(x2) * (x3 + x4) + 1)))
    return np.asarray(part2 + part3, dtype=np.float64)


# --- the moons ------------------------------------------------------------------------------------------------------


def moons() -> Split:
    """320 points of two interleaving half circles to train on and 80 held-out ones, as fresh arrays at each call.

    They equal, bit for bit on one machine, what scikit-learn's make_moons(n_samples=400, noise=0.15, random_state=42)
    and train_test_split(test_size=0.2, random_state=42) give, transposed (document `course`; compared with version
    1.9.1). Raises DatasetError if the points are not those.
    """
    return _verified(train_test_split(make_moons(400, 0.15, 42), 0.2, 42), MOONS_SHA256, "moons")


def make_moons(samples: int, noise: float, seed: int) -> Points:
    """Two half circles, `samples` // 2 points on the first, shuffled, with Gaussian noise of deviation `noise`.

    The order of the draws is that of scikit-learn's function of this name: the permutation, then the noise.
    """
    random = np.random.RandomState(seed)
    upper, lower = np.linspace(0, np.pi, samples // 2), np.linspace(0, np.pi, samples - samples // 2)
    x = np.concatenate([np.cos(upper), 1 - np.cos(lower)])
    y = np.concatenate([np.sin(upper), 1 - np.sin(lower) - 0.5])
    classes = np.repeat([0.0, 1.0], [len(upper), len(lower)])
    order = np.arange(samples)
    random.shuffle(order)
    points = np.stack([x, y], axis=1)[order]
    return Points(points + random.normal(scale=noise, size=points.shape), classes[order])


def train_test_split(points: Points, test_fraction: float, seed: int) -> Split:
    """The points in two parts drawn at random, `test_fraction` of them, rounded up, to test on.

    The draw is that of scikit-learn's function of this name: one permutation, whose beginning is the test set.
    """
    order = np.random.RandomState(seed).permutation(len(points.y))
    test, train = np.split(order, [math.ceil(test_fraction * len(order))])
    columns = points.X.T, points.y[None, :]
    X_train, y_train = (np.ascontiguousarray(part[:, train]) for part in columns)
    X_test, y_test = (np.ascontiguousarray(part[:, test]) for part in columns)
    return Split(X_train, y_train, X_test, y_test)


def _verified(split: Split, expected: str, name: str) -> Split:
    digest = fingerprint(split)
    if digest != expected:
        raise DatasetError(
            f"{name}: expected points with the SHA-256 {expected} in units of {UNIT}, got {digest}. NumPy "
            f"{np.__version__} computes them differently here. Use the NumPy version pinned in constraints.txt."
        )
    return split


def fingerprint(split: Split) -> str:
    """SHA-256 of the arrays in turn, as integers in units of 1e-10: the same on platforms that differ by some ulps."""
    return sha256(b"".join(np.rint(part / UNIT).astype("<i8").tobytes() for part in split)).hexdigest()


# --- the spiral -----------------------------------------------------------------------------------------------------


def spiral() -> Split:
    """320 points of a spiral with two arms to train on and 80 held-out ones, as fresh arrays at each call.

    Document `spiral` names such a data set and prints nothing of it, so every number here is ours: see `make_spiral`.
    Raises DatasetError if the points are not the ones pinned here.
    """
    return _verified(train_test_split(make_spiral(400, 0.02, 42), 0.2, 42), SPIRAL_SHA256, "spiral")


def make_spiral(samples: int, noise: float, seed: int, turns: float = 1.0) -> Points:
    """Two arms of half of the (even number of) samples each, Gaussian noise of standard deviation `noise` in both axes.

    Along an arm the radius r goes evenly from 0.1, where the arms are still 0.2 apart, to 1. The angle is 2π r turns,
    and half a turn more in the second arm. Raises ValueError for a number of samples that is not even and positive.
    """
    if samples < 2 or samples % 2:
        raise ValueError(
            f"samples: expected an even number of at least 2, got {samples}; the two arms are equally long"
        )
    r = np.tile(np.linspace(0.1, 1.0, samples // 2), 2)
    classes = np.repeat([0.0, 1.0], samples // 2)
    angle = 2 * np.pi * turns * r + np.pi * classes
    arms = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    return Points(arms + np.random.RandomState(seed).normal(scale=noise, size=arms.shape), classes)


# --- the four-point pattern -----------------------------------------------------------------------------------------


def xor_pattern() -> Pattern:
    """The pattern of document `course`, called XOR there: 0, 1, 1, 0 over x = 0, 1, 2, 3.

    It has one input, so it is not the exclusive or. It rises and falls.
    """
    return Pattern(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0, 0.0]))
