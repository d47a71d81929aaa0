"""Wrong gradients, one of each kind of explanation, with what the diagnosis has to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracles.trial import Trial, layer_trial, loss_trial

Array = Any
RANDOM = np.random.default_rng(7)
X, Y, W = RANDOM.normal(size=(6, 3)), RANDOM.normal(size=6), RANDOM.normal(size=3)
V = RANDOM.normal(size=(3, 2))
SAMPLES = np.array([[0.4, -1.2], [1.3, 0.7], [-0.8, 0.5], [0.2, 1.9]])


@dataclass(frozen=True)
class Example:
    """`line` is quoted; `says` are parts of the message, the correction among them."""

    id: str
    trial: Callable[[], Trial]
    line: str
    says: tuple[str, ...]


# --- a factor, a sign, a sum ------------------------------------------------------------------------------------------


def squared(w: Array, x: Array, y: Array) -> Any:
    return np.mean((x @ w - y) ** 2)


def sign(w: Array, x: Array, y: Array) -> Any:
    residual = x @ w - y
    return -2 * (x.T @ residual) / len(y)


def half(w: Array, x: Array, y: Array) -> Any:
    residual = x @ w - y
    return x.T @ residual / len(y)


def sum_for_mean(w: Array, x: Array, y: Array) -> Any:
    per_sample = 2 * (x @ w - y)[:, None] * x
    return per_sample.sum(axis=0)


def wave(w: Array) -> Any:
    u = w[..., 0] * w[..., 1]
    s = np.sin(u)
    return s * s


def lost_cosine(w: Array) -> Any:
    u = w[..., 0] * w[..., 1]
    s = np.sin(u)
    ds = 2 * s
    du = ds
    return np.stack([du * w[..., 1], du * w[..., 0]], axis=-1)


def sigmoid(z: Array) -> Any:
    return 1 / (1 + np.exp(-z))


def sigmoid_slope(z: Array) -> Any:
    s = sigmoid(z)
    return s * (1 - s)


def unit(w: Array) -> Any:
    return sigmoid(w[..., 0]) * w[..., 1]


def sigmoid_twice(w: Array) -> Any:
    a = sigmoid(w[..., 0])
    da = w[..., 1] * sigmoid_slope(sigmoid(w[..., 0]))
    return np.stack([da, a], axis=-1)


# --- paths, returns ---------------------------------------------------------------------------------------------------


def two_paths(w: Array) -> Any:
    return np.sum(np.exp(w) * w)


def left_out_path(w: Array) -> Any:
    e = np.exp(w)
    return e * w


def recurrence(w: Array) -> Any:
    h = w * 0
    for _ in range(3):
        h = np.tanh(h + w)
    return np.sum(h)


def assigned(w: Array) -> Any:
    hs = [w * 0]
    for _ in range(3):
        hs.append(np.tanh(hs[-1] + w))
    dw = np.zeros_like(w)
    dh = np.ones_like(w)
    for h in hs[:0:-1]:
        dh = dh * (1 - h * h)
        dw = dh
    return dw


def unrolled(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
    hs = [x * 0]
    for _ in range(3):
        hs.append(np.tanh(hs[-1] * w + x + b))
    return hs[-1], (hs, w)


def one_step(dh: Array, previous: Array, h: Array, w: Array) -> tuple[Array, Array, Array, Array]:
    da = dh * (1 - h * h)
    return da, da * w, np.sum(da * previous, axis=0), np.sum(da, axis=0)


def last_step(dout: Array, cache: Any) -> tuple[Array, Array, Array]:
    hs, w = cache
    dx, dw, db = np.zeros_like(dout), np.zeros_like(w), np.zeros_like(w)
    for previous, h in zip(hs[-2::-1], hs[:0:-1], strict=True):
        dx_here, dout, dw, db = one_step(dout, previous, h, w)
        dx = dx + dx_here
    return dx, dw, db


def log_odds(p: Array) -> Any:
    return np.sum(np.log(p / (1 - p)) ** 2)


def log_for_log_odds(p: Array) -> Array:
    return 2 * np.log(p) / (p * (1 - p))


def affine(x: Array, w: Array, b: Array) -> Any:
    return x @ w + b, (x, w)


def swapped_returns(dout: Array, cache: Any) -> Any:
    x, w = cache
    dx = dout @ w.T
    dw = x.T @ dout
    db = dout.sum(axis=0)
    return dw, dx, db


def transposed(dout: Array, cache: Any) -> Any:
    x, w = cache
    return dout @ w, x.T @ dout, dout.sum(axis=0)


def wrong_axis(dout: Array, cache: Any) -> Any:
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=1)


def missing_sum(dout: Array, cache: Any) -> Any:
    x, w = cache
    return dout @ w.T, x.T @ dout, dout


# --- samples, state, precision ----------------------------------------------------------------------------------------


def rectified(w: Array) -> Any:
    return np.sum(np.maximum(w, 0) ** 2, axis=-1)


def wrong_mask(w: Array) -> Any:
    return np.where(w > 1, 2 * w, 0.0)


def cubes(w: Array) -> Any:
    return np.sum(w**3)


class Stale:
    """Keeps the slope of its first call."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def gradient(self, w: Array) -> Any:
        slope = self.kept.setdefault("slope", 3 * w**2)
        return slope * 1


def stale() -> Trial:
    keeper = Stale()
    keeper.gradient(np.array([0.3, 0.4]))  # an earlier batch
    return loss_trial(cubes, keeper.gradient, (np.array([1.5, -0.7]),), 0)


def product(w: Array) -> Any:
    return np.sum(np.sin(w[..., 0]) * w[..., 1])


def in_place(w: Array) -> Any:
    s = np.sin(w[..., 0])
    ds = w[..., 1].copy()
    ds *= np.cos(w[..., 0])
    s *= ds
    return np.stack([ds, s], axis=-1)


def single_precision(w: Array) -> Any:
    return (3 * w**2).astype(np.float32).astype(np.float64)


def difference(w: Array) -> Any:
    h, found = 1e-5, []
    for i in range(len(w)):
        step = h * np.eye(len(w))[i]
        found.append((cubes(w + step) - cubes(w - step)) / (2 * h))
    return np.array(found)


def softplus(w: Array) -> Any:
    return np.sum(np.maximum(w, 0) + np.log1p(np.exp(-np.abs(w))))


def overflows(w: Array) -> Any:
    e = np.exp(w)
    return e / (1 + e)


def lost_digits(w: Array) -> Any:
    return (1 - np.tanh(w) ** 2) * 1.0


def saturated(w: Array) -> Any:
    return np.sum(np.tanh(w))


def nonsense(w: Array) -> Any:
    return np.log(2 + np.tanh(w)) + w**5 / 7


def embedding(ids: Array, table: Array) -> Any:
    return table[ids], (ids, table)


def counted_once(dout: Array, cache: Any) -> Any:
    ids, table = cache
    dtable = np.zeros_like(table)
    dtable[ids] += dout
    return dtable


def row_cubes(x: Array) -> tuple[Array, Any]:
    return np.sum(x**3, axis=1), x


def upstream_lost(dout: Array, cache: Any) -> Array:
    x = cache
    return 3 * x**2


def form(w: Array, a: Array) -> Any:
    return w @ a @ w


def as_if_symmetric(w: Array, a: Array) -> Array:
    return 2 * a @ w


def gram(x: Array) -> tuple[Array, Any]:
    return np.dot(x, x.T), x


def one_of_two_uses(dout: Array, cache: Any) -> Array:
    return np.dot(dout, cache)


def bent(w: Array) -> Any:
    return w + 0.044715 * w**3


def smooth(w: Array) -> Any:
    return np.sum(np.tanh(bent(w)))


def slip_of_the_pen(w: Array) -> Array:
    return (1 - np.tanh(bent(w)) ** 2) * (1 + 3 * 0.044175 * w**2)


def gelu(x: Array) -> Any:
    return np.sum(x * (1 + np.tanh(np.sqrt(2 / np.pi) * x)))


def rounded_root(x: Array) -> Array:
    t = np.tanh(np.sqrt(2 / np.pi) * x)
    return 1 + t + x * (1 - t * t) * 0.8


def elu(x: Array, slope: float) -> tuple[Array, Any]:
    return np.where(x > 0, x, slope * (np.exp(x) - 1)), (x, slope)


def without_slope(dout: Array, cache: Any) -> Array:
    x, _ = cache
    return dout * np.where(x > 0, 1, np.exp(x))


def windows(x: Array) -> tuple[Array, Any]:
    """The entries of each row that windows of two see."""
    columns = np.array([[0, 1], [1, 2]])
    return x[:, columns] ** 2, (x, columns)


def shared_entries_counted_once(dout: Array, cache: Any) -> Array:
    x, columns = cache
    dx = np.zeros_like(x)
    dx[:, columns] += 2 * x[:, columns] * dout
    return dx


def paired(w: Array) -> Array:
    return np.sum(w * w, axis=-1)


def paired_again(w: Array) -> Array:
    return np.einsum("...i,...i->...i", 2 * w, w)


POINT = np.array([[0.7, -1.3], [0.4, 0.9]])
BATCH = (RANDOM.normal(size=(2, 2)), RANDOM.normal(size=(2, 2)), RANDOM.normal(size=2))
"""Square, so that everything has every shape."""
UNLIKE = (RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(3, 2)), RANDOM.normal(size=2))


def _of(loss: Any, gradient: Any, *args: Any) -> Callable[[], Trial]:
    return lambda: loss_trial(loss, gradient, args, 0)


def _layer(backward: Any, args: Any) -> Callable[[], Trial]:
    return lambda: layer_trial(affine, backward, args, None, 0)


EXAMPLES = [
    Example(
        "sign",
        _of(squared, sign, W, X, Y),
        "return -2 * (x.T @ residual) / len(y)",
        ("has a minus too many: with `2` for `-2`",),
    ),
    Example("factor-2", _of(squared, half, W, X, Y), "return x.T @ residual / len(y)", ("lacks the factor 2",)),
    Example(
        "sum-for-mean",
        _of(squared, sum_for_mean, W, X, Y),
        "return per_sample.sum(axis=0)",
        ("takes a sum for a mean", "with `per_sample.mean(axis=0)` for `per_sample.sum(axis=0)`"),
    ),
    Example(
        "factor-too-many",
        _of(paired, paired_again, W),
        "einsum",
        ("lacks the divisor w",),
    ),
    Example("missing-cosine", _of(wave, lost_cosine, POINT), "du = ds", ("lacks the factor np.cos(u)",)),
    Example(
        "sigmoid-twice",
        _of(unit, sigmoid_twice, POINT),
        "da = w[..., 1] * sigmoid_slope(sigmoid(w[..., 0]))",
        ("has a function too many: with `w[..., 0]` for `sigmoid(w[..., 0])`",),
    ),
    Example("left-out-path", _of(two_paths, left_out_path, W), "return e * w", ("lacks a term: with `e * w + e`",)),
    Example(
        "upstream-lost",
        lambda: layer_trial(row_cubes, upstream_lost, (X,), None, 0),
        "return 3 * x**2",
        ("lacks the factor dout[:, None]", "with `3 * x ** 2 * dout[:, None]`"),
    ),
    Example(
        "not-symmetric",
        _of(form, as_if_symmetric, W, X[:3]),
        "return 2 * a @ w",
        ("lacks a term: with `a + a.T` for `2 * a`",),
    ),
    Example(
        "used-twice",
        lambda: layer_trial(gram, one_of_two_uses, (X,), None, 0),
        "return np.dot(dout, cache)",
        ("lacks a term: with `np.dot(dout, cache) + np.dot(dout.T, cache)` for `np.dot(dout, cache)`",),
    ),
    Example(
        "slip-of-the-pen",
        _of(smooth, slip_of_the_pen, W),
        "0.044175",
        ("has the wrong number: with `0.044715` for `0.044175`",),
    ),
    Example("assigned", _of(recurrence, assigned, W), "dw = dh", ("assigns where it should accumulate", "`dw += dh`")),
    Example(
        "rounds-overwritten",
        lambda: layer_trial(unrolled, last_step, (X, W, Y[:3]), None, 0),
        "dx_here, dout, dw, db = one_step(dout, previous, h, w)",
        ("keeps the last round of a loop", "dw = dw + dw_here; db = db + db_here"),
    ),
    Example(
        "log-odds",
        _of(log_odds, log_for_log_odds, np.array([0.2, 0.7])),
        "return 2 * np.log(p) / (p * (1 - p))",
        ("lacks the divisor (1 - p)",),
    ),
    Example(
        "repeated-index",
        lambda: layer_trial(embedding, counted_once, (np.array([2, 0, 2]), RANDOM.normal(size=(4, 3))), None, 0),
        "dtable[ids] += dout",
        ("counts an index that comes twice only once: with `np.add.at(dtable, ids, dout)`",),
    ),
    Example(
        "rounded-root",
        _of(gelu, rounded_root, W),
        "return 1 + t + x * (1 - t * t) * 0.8",
        ("has the wrong number: with `np.sqrt(2 / np.pi)` for `0.8`",),
    ),
    Example(
        "without-setting",
        lambda: layer_trial(elu, without_slope, (X, 0.5), 0, 0),
        "return dout * np.where(x > 0, 1, np.exp(x))",
        ("lacks the factor cache[1]: with `np.exp(x) * cache[1]` for `np.exp(x)`",),
    ),
    Example(
        "overlapping-windows",
        lambda: layer_trial(windows, shared_entries_counted_once, (X,), None, 0),
        "dx[:, columns] += 2 * x[:, columns] * dout",
        ("counts an index that comes twice only once: with `np.add.at(dx, (slice(None), columns), 2",),
    ),
    Example(
        "swapped-returns",
        _layer(swapped_returns, BATCH),
        "return dw, dx, db",
        ("returns the gradients in the wrong order: with `(dx, dw, db)` for `(dw, dx, db)`",),
    ),
    Example("transposed", _layer(transposed, BATCH), "return dout @ w, x.T", ("transpose", "with `w.T` for `w`")),
    Example(
        "wrong-axis", _layer(wrong_axis, BATCH), "dout.sum(axis=1)", ("runs over the wrong axis", "`dout.sum(axis=0)`")
    ),
    Example(
        "missing-sum",
        _layer(missing_sum, UNLIKE),
        "return dout @ w.T, x.T @ dout, dout",
        ("lacks a sum, a mean or a transpose: with `dout.sum(axis=0)` for `dout`",),
    ),
    Example(
        "some-samples",
        _of(rectified, wrong_mask, SAMPLES),
        "return np.where(w > 1, 2 * w, 0.0)",
        ("has the wrong number: with `0` for `1`",),
    ),
    Example("stale-cache", stale, "self.kept.setdefault", ("keeps a value of an earlier call", "with `3 * w ** 2`")),
    Example("in-place", _of(product, in_place, POINT), "s *= ds", ("with `pass` for `s *= ds`",)),
    Example(
        "float32",
        _of(cubes, single_precision, W),
        "return (3 * w**2).astype(np.float32).astype(np.float64)",
        ("changes the precision or the type", "with `3 * w ** 2` for `(3 * w ** 2).astype(np.float32)`"),
    ),
    Example(
        "finite-difference",
        _of(cubes, difference, W),
        "",
        ("no derivative but the central difference quotient of the loss, with the step 1e-5",),
    ),
    Example("overflow", _of(softplus, overflows, np.array([0.5, 800.0])), "e = np.exp(w)", ("e overflows here first",)),
    Example(
        "unstable",
        _of(saturated, lost_digits, np.array([0.5, 25.0])),
        "",
        ("right formula, inaccurate here: rounding leaves no correct digit",),
    ),
    Example(
        "nothing",
        _of(cubes, nonsense, np.array([1.5, -0.7])),
        "",
        ("no single mistake that is known explains it", "claimed / true = 0.", "claimed - true = -"),
    ),
]
