"""What hand-written code accepts. Anything else is refused here, once, with a message that says what to do."""

from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WEIGHTS, FEATURES = 9, 5


def check_arguments(w: Array, x: Array, y: Array | float) -> None:
    """Refuse anything but float64 weights `w` (..., 9), features `x` (..., 5) and targets `y` (...), all finite.

    The leading axes must broadcast (a column y (N, 1) beside x (N, 5) means N x N losses), and none may be
    empty: a batch without samples has no loss and nothing to check. A plain float will do for `y`. Array types
    other than NumPy's own are taken if NumPy's functions dispatch to them (`__array_function__`) and their dtype
    reads as float64; their values are not looked at.

    Raises TypeError for a wrong kind or dtype, and ValueError for a wrong shape, an empty axis, NaN or infinity.
    """
    shape_w, shape_x, shape_y = (float64_shape(name, value) for name, value in (("w", w), ("x", x), ("y", y)))
    leading = _leading("w", shape_w, WEIGHTS), _leading("x", shape_x, FEATURES), shape_y
    _check_broadcast(*leading)
    for name, value in (("w", w), ("x", x), ("y", y)):
        if isinstance(value, np.ndarray | float):
            check_finite(name, value)


def float64_shape(name: str, value: Array | float) -> tuple[int, ...]:
    """The shape of a float64 array or float; TypeError for any other kind or dtype."""
    if isinstance(value, float):  # np.float64 is one too
        return ()
    kind = type(value)
    # Of ndarray's subclasses np.matrix multiplies as matrices and MaskedArray hides entries: neither means this graph.
    subclass = isinstance(value, np.ndarray) and kind not in (np.ndarray, np.memmap)
    if subclass or not hasattr(kind, "__array_function__"):
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        raise TypeError(
            f"{name}: expected a float64 NumPy array, got {module}{kind.__qualname__}; "
            f"convert it with np.array({name}, dtype=np.float64)"
        )
    if value.dtype != np.float64:
        raise TypeError(
            f"{name}: expected dtype float64, got dtype {value.dtype}; convert it with {name}.astype(np.float64)"
        )
    return value.shape


def _leading(name: str, shape: tuple[int, ...], length: int) -> tuple[int, ...]:
    if shape[-1:] != (length,):
        raise ValueError(
            f"{name}: expected shape (..., {length}), got {shape}; "
            f"put {name}1 to {name}{length} of each sample on the last axis"
        )
    return shape[:-1]


def _check_broadcast(w: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...]) -> None:
    for lengths in zip_longest(*map(reversed, (w, x, y)), fillvalue=1):
        if 0 in lengths:
            raise ValueError(
                f"w, x, y: expected at least one sample, got {_shapes(w, x, y)}; pass a batch that is not empty"
            )
        if len({*lengths} - {1}) > 1:
            raise ValueError(
                f"w, x, y: expected leading axes that broadcast, got {_shapes(w, x, y)}; "
                f"give each sample one target, and the weight vectors an axis of their own (w[:, None, :])"
            )


def _shapes(w: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...]) -> str:
    return f"w {(*w, WEIGHTS)}, x {(*x, FEATURES)} and y {y}"


def check_finite(name: str, value: Array | float) -> None:
    """ValueError if any entry of a plain float64 array or float is NaN or infinite."""
    finite = np.isfinite(value)
    wrong = np.size(finite) - np.count_nonzero(finite)  # several times as quick as `all` for a few numbers
    if wrong:
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        place = f" at index {index}" if index else ""
        raise ValueError(
            f"{name}: expected finite numbers, got {np.asarray(value)[index]}{place} "
            f"({wrong} of {np.size(finite)} not finite); repair or drop them"
        )


def check_hyperparameters(**ranges: tuple[float, float, float | None]) -> None:
    """ValueError unless each name's (value, low, high) has low <= value < high; no high means no upper end."""
    for name, (value, low, high) in ranges.items():
        if not (value >= low and (high is None or value < high)):
            end = "" if high is None else f" and below {high}"
            raise ValueError(f"{name}: expected a number of at least {low}{end}, got {value}; pass one in that range")
