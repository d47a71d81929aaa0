"""How large the weight gradient is in each layer of a deep network right after initialization, and what that means.

Source: document `course`, section 6 (reference/published.toml, group gradient_flow): ten standard normal samples with
random labels through layers of 10, 8, 8, 8, 8, 8 and 1 units; the Frobenius norm of each dW; the gradient vanishes if
that of the layer nearest the input is below 1e-4, explodes if it exceeds 100, and is healthy otherwise.

The document promises a sigmoid network by an argument that nothing reads: its figure is of ReLU with He's weights. Here
every activation of `manual.mlp` is tried with every scheme of `manual.initialization`, at every depth asked for.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from manual._arguments import Array
from manual.initialization import SCHEMES, initial
from manual.mlp import ACTIVATIONS, MLP, unpack

SIZES = (10, 8, 8, 8, 8, 8, 1)
SAMPLES = 10
VANISHING_BELOW = 1e-4
EXPLODING_ABOVE = 100.0


class Flow(NamedTuple):
    """One network's layers."""

    activation: str
    scheme: str
    sizes: tuple[int, ...]
    norms: Array
    """Frobenius norm of dW of each layer, the one nearest the input first: (L,)."""
    verdict: str
    """vanishing, exploding or healthy."""


class Point(NamedTuple):
    """Where a gradient is taken: parameters (n,), inputs (features, m), labels (outputs, m) of zeros and ones."""

    theta: Array
    X: Array
    y: Array


def point(sizes: Sequence[int], scheme: str, seed: int, samples: int = SAMPLES) -> Point:
    """Initial parameters, standard normal inputs and random labels."""
    random = np.random.default_rng(seed)
    theta = initial(sizes, scheme, random)
    X = random.standard_normal((sizes[0], samples))
    y = random.integers(0, 2, (sizes[-1], samples)).astype(np.float64)
    return Point(theta, X, y)


def layer_norms(gradient: Array, sizes: Sequence[int]) -> Array:
    """Frobenius norm of dW of each layer, (L,), from a gradient (n,). Squares underflow below norms of 1e-154."""
    return np.array([np.linalg.norm(dW) for dW, _ in unpack(gradient, sizes)])


def verdict(norms: Array) -> str:
    """What the document says of such norms: it looks at the layer nearest the input only."""
    if norms[0] < VANISHING_BELOW:
        return "vanishing"
    return "exploding" if norms[0] > EXPLODING_ABOVE else "healthy"


def gradient_flow(activation: str, scheme: str, seed: int, sizes: Sequence[int] = SIZES) -> Flow:
    """The norms of one network at a point drawn from `seed`. Raises ValueError for unknown names and wrong sizes."""
    net = MLP(tuple(sizes), activation)
    norms = layer_norms(net.gradient(*point(sizes, scheme, seed)), sizes)
    return Flow(activation, scheme, net.sizes, norms, verdict(norms))


def survey(hidden_layers: Iterable[int], seeds: Iterable[int]) -> list[Flow]:
    """Every activation with every scheme, at each number of hidden layers of 8 units and for each seed."""
    every_seed = list(seeds)
    return [
        gradient_flow(activation, scheme, seed, (10, *[8] * depth, 1))
        for depth in hidden_layers
        for activation in ACTIVATIONS
        for scheme in SCHEMES
        for seed in every_seed
    ]


def format_survey(flows: Sequence[Flow]) -> str:
    """A line for each depth, activation and scheme: the median norm of the first layer, and how often which verdict."""
    groups: dict[tuple[int, str, str], list[Flow]] = {}
    for flow in flows:
        groups.setdefault((len(flow.sizes) - 2, flow.activation, flow.scheme), []).append(flow)
    lines = [f"{'hidden':>6}  {'activation':<10}  {'weights':<7}  {'first layer':>11}  verdicts"]
    for (depth, activation, scheme), group in groups.items():
        found = [flow.verdict for flow in group]
        counts = ", ".join(f"{found.count(name)} {name}" for name in sorted(set(found)))
        median = float(np.median([flow.norms[0] for flow in group]))
        lines.append(f"{depth:>6}  {activation:<10}  {scheme:<7}  {median:>11.2e}  {counts}")
    return "\n".join(lines)
