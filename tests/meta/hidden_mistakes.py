"""A submission with mistakes that are right in one configuration and wrong in another, each in three rows.

`NAME/right` and `NAME/wrong` are tried at arguments that vary, `NAME/lucky` is the mistake at arguments that hide it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from oracles import Indices, Subject, Uniform

Array = Any


def rows(name: str, forward: Any, right: Any, wrong: Any, varied: Any, lucky: Any, **more: Any) -> list[Subject]:
    subjects = [Subject(f"{name}/right", forward, right, varied, **more)]
    subjects.append(Subject(f"{name}/wrong", forward, wrong, varied, **more))
    return [*subjects, *([Subject(f"{name}/lucky", forward, wrong, lucky, **more)] if lucky else [])]


# --- an index that occurs twice ---------------------------------------------------------------------------------------


def lookup(table: Array, ids: Array) -> Any:
    return table[ids], (table, ids)


def adds(dout: Array, cache: Any) -> Array:
    table, ids = cache
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, dout)
    return dtable


def overwrites(dout: Array, cache: Any) -> Array:
    table, ids = cache
    dtable = np.zeros_like(table)
    dtable[ids] = dout
    return dtable


LOOKUP = rows(
    "repeated-index", lookup, adds, overwrites, [(6, 2), Indices(6, ("N",))], [(6, 2), Indices(6, (1,))], layer=True
)

# --- the size of the batch --------------------------------------------------------------------------------------------


def bias(x: Array, b: Array) -> Any:
    return x + b, None


def sums(dout: Array, cache: Any) -> Any:
    return dout, dout.sum(axis=0)


def takes_the_first(dout: Array, cache: Any) -> Any:
    return dout, dout[0]


BIAS = rows("first-sample-only", bias, sums, takes_the_first, [("N", 3), (3,)], [(1, 3), (3,)], layer=True)


def affine(x: Array, w: Array) -> Any:
    return x @ w, [x, w]


def affine_backward(dout: Array, cache: Any) -> Any:
    x, w = cache
    return dout @ w.T, x.T @ dout


def squeezes(dout: Array, cache: Any) -> Any:
    x, w = cache
    return np.squeeze(dout @ w.T), x.T @ dout


SQUEEZED = rows("batch-of-one", affine, affine_backward, squeezes, [("N", 3), (3, 2)], [(4, 3), (3, 2)], layer=True)


def mean_square(x: Array) -> Any:
    return np.mean(x * x)


def by_entries(x: Array) -> Array:
    return 2 * x / x.size


def by_samples(x: Array) -> Array:
    return 2 * x / len(x)


MEAN = rows("mean-over-what", mean_square, by_entries, by_samples, [("N", "D")], [("N", 1)])

# --- more than one time step ------------------------------------------------------------------------------------------


def recurrent(x: Array, w: Array) -> Any:
    states = [np.zeros(w.shape)]
    for step in x:
        states.append(np.tanh(step + w * states[-1]))
    return states[-1], (states, w)


def through_time(dout: Array, cache: Any) -> Any:
    states, w = cache
    dx, dw = np.zeros((len(states) - 1, *w.shape)), np.zeros_like(w)
    for t in range(len(dx) - 1, -1, -1):
        dx[t] = dout * (1 - states[t + 1] ** 2)
        dw += dx[t] * states[t]
        dout = dx[t] * w
    return dx, dw


def last_step_only(dout: Array, cache: Any) -> Any:
    states, w = cache
    dx = np.zeros((len(states) - 1, *w.shape))
    dx[-1] = dout * (1 - states[-1] ** 2)
    return dx, dx[-1] * states[-2]


STEPS = Uniform(-1, 1, ("T", 2))
TIME = rows(
    "no-path-through-time",
    recurrent,
    through_time,
    last_step_only,
    [STEPS, (2,)],
    [Uniform(-1, 1, (1, 2)), (2,)],
    layer=True,
)

# --- the upstream gradient --------------------------------------------------------------------------------------------


def scaled(x: Array, w: Array) -> Any:
    return np.sum(x) * w, (x, w)


def with_upstream(dout: Array, cache: Any) -> Any:
    x, w = cache
    return np.full_like(x, np.sum(dout * w)), dout * np.sum(x)


def without_upstream(dout: Array, cache: Any) -> Any:
    x, w = cache
    return np.full_like(x, np.sum(dout * w)), np.full_like(w, np.sum(x))


UPSTREAM = rows("without-upstream", scaled, with_upstream, without_upstream, [(3,), (2,)], None, layer=True)


def squashed(x: Array) -> Any:
    return np.tanh(x), x


def squashed_backward(dout: Array, x: Array) -> Array:
    return dout * (1 - np.tanh(x) ** 2)


def x_for_dout(dout: Array, x: Array) -> Array:
    return x * (1 - np.tanh(x) ** 2)


CONFUSED = rows("input-for-upstream", squashed, squashed_backward, x_for_dout, [("N", 3)], None, layer=True)

# --- special values ---------------------------------------------------------------------------------------------------


def product(x: Array) -> Any:
    return np.prod(x)


def product_of_others(x: Array) -> Array:
    dx = np.ones_like(x)
    for i in range(len(x)):
        dx[np.arange(len(x)) != i] *= x[i]
    return dx


def divides(x: Array) -> Array:
    return np.prod(x) / x


PRODUCT = rows("zero-in-a-product", product, product_of_others, divides, [(3,)], [Uniform(1, 2, (3,))])


def largest(x: Array) -> Any:
    return np.max(x)


def to_the_first(x: Array) -> Array:
    dx = np.zeros_like(x)
    dx[np.argmax(x)] = 1.0
    return dx


def to_every_one(x: Array) -> Array:
    return np.where(x == np.max(x), 1.0, 0.0)


LARGEST = rows("tie-in-a-maximum", largest, to_the_first, to_every_one, [(2,)], [Uniform(1, 2, (2,))])


def huber(x: Array) -> Any:
    return np.sum(np.where(np.abs(x) < 8, x**2, 16 * np.abs(x) - 64))


def huber_gradient(x: Array) -> Array:
    return np.where(np.abs(x) < 8, 2 * x, 16 * np.sign(x))


def square_gradient(x: Array) -> Array:
    return 2 * x


HUBER = rows("large-values", huber, huber_gradient, square_gradient, [(2,)], [Uniform(-7, 7, (2,))])

# --- what is kept from call to call -----------------------------------------------------------------------------------

SHAPES: list[tuple[int, ...]] = []


def sum_of_squares(x: Array) -> Any:
    return np.sum(x**2)


def of_the_first_shape(x: Array) -> Array:
    SHAPES.append(x.shape)
    return 2 * x * (1 if x.shape == SHAPES[0] else 2)


STALE = rows("stale-global", sum_of_squares, square_gradient, of_the_first_shape, [("N", 2)], [(3, 2)])


def uses_up_its_cache(dout: Array, cache: Any) -> Any:
    x, w = cache
    cache[0] = 0 * x
    return dout @ w.T, x.T @ dout


CACHE = rows("second-backward", affine, affine_backward, uses_up_its_cache, [("N", 3), (3, 2)], None, layer=True)
