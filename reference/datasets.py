"""The 506 samples: five standardised columns of the Boston housing data and the nine-weight graph's target.

Source of housing.csv: Harrison, D. and Rubinfeld, D.L., "Hedonic prices and the demand for clean air",
J. Environ. Economics & Management 5, 81-102, 1978; StatLib / UCI copy, decimal strings unchanged. Columns:
INDUS (share of non-retail business acres), AGE (share of units built before 1940), PTRATIO (pupils per
teacher), TAX (property tax per $10,000) and NOX (nitric oxides, parts per 10 million).
"""

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


class DatasetError(ValueError):
    """The data on this machine are not the data that the published figures were computed from."""


class Housing(NamedTuple):
    """Standardised features X, float64 (506, 5), and targets y, float64 (506,)."""

    X: NDArray[np.float64]
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
