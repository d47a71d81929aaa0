"""Random initial weights, scaled so that the signal neither dies out nor grows from layer to layer. Biases are 0.

    He      N(0, 2 / n_in)              He et al., "Delving deep into rectifiers", ICCV 2015, equation 10
    Xavier  N(0, 2 / (n_in + n_out))    Glorot and Bengio, "Understanding the difficulty of training deep feedforward
                                        neural networks", AISTATS 2010, equation 12

He's keeps the variance of ReLU units, Xavier's is a compromise between the forward and the backward pass of units that
are near linear. Glorot and Bengio draw from the uniform distribution of that variance; the normal one is used here for
both, as document `course` does for He's. Document `spiral` names both schemes.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from manual._arguments import Array
from manual.mlp import check_sizes, pack


def he(n_in: int, n_out: int, random: np.random.Generator) -> Array:
    """Weights (n_out, n_in) from N(0, 2 / n_in)."""
    return random.normal(0.0, math.sqrt(2 / n_in), (n_out, n_in))


def xavier(n_in: int, n_out: int, random: np.random.Generator) -> Array:
    """Weights (n_out, n_in) from N(0, 2 / (n_in + n_out))."""
    return random.normal(0.0, math.sqrt(2 / (n_in + n_out)), (n_out, n_in))


SCHEMES: dict[str, Callable[[int, int, np.random.Generator], Array]] = {"he": he, "xavier": xavier}


def initial(sizes: Sequence[int], scheme: str, random: np.random.Generator) -> Array:
    """Parameters theta (n,) of a network of these sizes, drawn layer by layer, with biases of 0.

    Raises ValueError for an unknown scheme and for sizes that are not at least two positive integers.
    """
    check_sizes(sizes)
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: expected one of {', '.join(SCHEMES)}, got {scheme!r}")
    weights = SCHEMES[scheme]
    return pack([(weights(n_in, n_out, random), np.zeros((n_out, 1))) for n_in, n_out in pairwise(sizes)])
