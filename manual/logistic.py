"""The logistic function and the cross-entropy of a logit z and a target y in [0, 1], elementwise, with their slopes.

Two forms: from the logit, which keeps its digits everywhere, and with the prediction clipped, as document `course`
(reference/published.toml) prints it.
"""

import numpy as np

from manual._arguments import Array

PROBABILITY_CLIP = 1e-7
ARGUMENT_CLIP = 500.0


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), without overflow: for z < 0 it is exp(z) / (1 + exp(z)).

    Without a decision either, so that balls around z = 0 have a value.
    """
    p: Array = np.exp(np.minimum(z, 0.0)) / (1 + np.exp(-np.abs(z)))
    return p


def softplus(z: Array) -> Array:
    """log(1 + exp(z)), without overflow. The kinks of the two terms at 0 cancel: it is smooth."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def cross_entropy(z: Array, y: Array | float) -> Array:
    """-(y log p + (1 - y) log(1 - p)) with p = sigmoid(z)."""
    return y * softplus(-z) + (1 - y) * softplus(z)


def cross_entropy_slope(z: Array, y: Array | float) -> Array:
    """p - y, from softplus' = sigmoid; written so that no digit is lost where p is close to a y of 0 or 1."""
    return (1 - y) * sigmoid(z) - y * sigmoid(-z)


def clipped_sigmoid(z: Array) -> Array:
    """sigmoid as the document prints it."""
    return 1 / (1 + np.exp(-np.clip(z, -ARGUMENT_CLIP, ARGUMENT_CLIP)))


def clipped_cross_entropy(z: Array, y: Array | float) -> Array:
    """The cross-entropy as the document prints it, of a prediction that is kept away from 0 and 1."""
    p = np.clip(clipped_sigmoid(z), PROBABILITY_CLIP, 1 - PROBABILITY_CLIP)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def clipped_slope(z: Array, y: Array | float) -> Array:
    """The derivative of `clipped_cross_entropy`: p - y, and 0 where the clip is active (sigmoid's clip lies inside)."""
    p = clipped_sigmoid(z)
    inside = (p > PROBABILITY_CLIP) & (p < 1 - PROBABILITY_CLIP)
    return np.where(inside, p - y, 0.0)


def published_slope(z: Array, y: Array | float) -> Array:
    """What the document takes for it: p - y everywhere. Wrong for its loss where the clip is active."""
    return clipped_sigmoid(z) - y
