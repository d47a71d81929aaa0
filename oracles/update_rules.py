"""The update rules that `oracles.identification` knows: what torch.optim does, and what has been done wrong.

A rule is written once, as a generator: it takes the gradients step by step and yields the displacement that each step
adds to the weights. It is plain NumPy, so it runs on one set of hyperparameters, on a hundred at once (each
hyperparameter then has leading axes that broadcast), and on `Rounded` arrays, which bound its rounding. What several
rules have in common (weight decay, a state that is carried from weight to weight, weights that move once per epoch)
wraps a generator in another one. Gradients are (..., n): the last axis runs over the n weights of one model.

Symbols: g gradient, w weights, t step from 1, η learning_rate, μ momentum, β beta, ε epsilon, λ weight_decay. Formulas
of rules that torch has are those of torch.optim 2.13, its treatment of the first step and of ε included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, tee
from typing import Any

import numpy as np

Parameters = Mapping[str, Any]
"""The hyperparameters by name, and two whole numbers: "n", the size of the last axis, and "steps_per_epoch"."""
Update = Callable[[Iterable[Any], Parameters], Iterator[Any]]
"""Gradients in, displacements out."""
WeightedUpdate = Callable[[Iterable[Any], Iterable[Any], Parameters], Iterator[Any]]
"""The same for rules that look at the weights: gradients and weights in, displacements out."""


# --- gradient descent and momentum ----------------------------------------------------------------------------------


def sgd(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """w -= η g. Robbins and Monro (1951); torch.optim.SGD."""
    for g in gradients:
        yield -p["learning_rate"] * g


def momentum(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """v = μ v + (1 - τ) g, but v = g at the first step; w -= η v. torch.optim.SGD, with dampening τ."""
    v = None
    for g in gradients:
        v = g if v is None else p["momentum"] * v + (1 - p.get("dampening", 0.0)) * g
        yield -p["learning_rate"] * v


def heavy_ball(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """v = γ v + η g; w -= v. Polyak (1964). At a constant rate it is torch's momentum without dampening."""
    v = 0.0
    for g in gradients:
        v = p["momentum"] * v + p["learning_rate"] * g
        yield -v


def averaged_momentum(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """m = β m + (1 - β) g from m = 0; w -= η m. A heavy ball at the rate η (1 - β).

    The first buffer is (1 - β) g, where torch's with dampening β is g: the difference in ml-explore/mlx#473.
    """
    m = 0.0
    for g in gradients:
        m = p["beta"] * m + (1 - p["beta"]) * g
        yield -p["learning_rate"] * m


def nesterov(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """v = μ v + g; w -= η (g + μ v). Sutskever et al. (2013); torch.optim.SGD with nesterov."""
    v = 0.0
    for g in gradients:
        v = p["momentum"] * v + g
        yield -p["learning_rate"] * (g + p["momentum"] * v)


def nesterov_decay_in_buffer(gradients: Iterable[Any], weights: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """v = μ v + g + λ w; w -= η (g + μ v): weight decay once, in the buffer alone. apache/mxnet#13683.

    torch's Nesterov momentum with coupled weight decay has it twice, in the buffer and beside it.
    """
    v = 0.0
    for g, w in zip(gradients, weights, strict=True):
        v = p["momentum"] * v + (g + p["weight_decay"] * w)
        yield -p["learning_rate"] * (g + p["momentum"] * v)


def averaged_sgd(in_float32: bool = False) -> WeightedUpdate:
    """w = (1 - λ ηₜ) w - ηₜ g, ηₜ = η / (1 + λ η (t - 1))^α. torch.optim.ASGD; Polyak and Juditsky (1992).

    The average that ASGD is named for is kept beside the weights and does not move them. `in_float32`: torch keeps ηₜ
    in its default dtype, whatever that of the weights is.
    """

    def displacements(gradients: Iterable[Any], weights: Iterable[Any], p: Parameters) -> Iterator[Any]:
        for t, (g, w) in enumerate(zip(gradients, weights, strict=True)):
            rate = p["learning_rate"] / (1 + p["lambd"] * p["learning_rate"] * t) ** p["alpha"]
            rate = _single(rate) if in_float32 else rate
            yield -rate * g - (1 - (1 - p["lambd"] * rate)) * w

    return displacements


def _single(x: Any) -> Any:
    return x.astype(np.float32).astype(np.float64)


def rprop(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """Steps of size s against the sign of g; s is multiplied by η₊ or η₋ where that sign holds or turns.

    Where it turns, the step is left out and the sign forgotten. torch.optim.Rprop; Riedmiller and Braun (1993).
    """
    size = p["learning_rate"]
    previous: Any = 0.0
    for g in gradients:
        turn = np.sign(g * previous)
        factor = np.where(turn > 0, p["eta_plus"], np.where(turn < 0, p["eta_minus"], 1.0))
        size = np.minimum(np.maximum(size * factor, p["smallest_step"]), p["largest_step"])
        previous = np.where(turn < 0, 0.0, g)
        yield -np.sign(previous) * size


# --- rates adapted to each weight -----------------------------------------------------------------------------------


def adagrad(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """G += g²; w -= η / (1 + (t - 1) lr_decay) g / (√G + ε). Duchi et al. (2011); torch.optim.Adagrad."""
    total = p.get("initial_accumulator_value", 0.0)
    for t, g in enumerate(gradients):
        total = total + g * g
        yield -(p["learning_rate"] / (1 + t * p.get("lr_decay", 0.0))) * (g / (np.sqrt(total) + p["epsilon"]))


def adadelta(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """v = ρ v + (1 - ρ) g²; Δ = √(u + ε) / √(v + ε) g; u = ρ u + (1 - ρ) Δ²; w -= η Δ.

    Zeiler, arXiv:1212.5701; torch.optim.Adadelta.
    """
    v = u = 0.0
    for g in gradients:
        v = p["rho"] * v + (1 - p["rho"]) * (g * g)
        delta = np.sqrt(u + p["epsilon"]) / np.sqrt(v + p["epsilon"]) * g
        u = p["rho"] * u + (1 - p["rho"]) * (delta * delta)
        yield -p["learning_rate"] * delta


Denominator = Callable[[Any, Any], Any]


def epsilon_outside(v: Any, epsilon: Any) -> Any:
    return np.sqrt(v) + epsilon


def epsilon_inside(v: Any, epsilon: Any) -> Any:
    return np.sqrt(v + epsilon)


def rmsprop(denominator: Denominator, centered: bool) -> Update:
    """v = α v + (1 - α) g²; b = μ b + g / (√v + ε); w -= η b. Tieleman and Hinton (2012); torch.optim.RMSprop.

    Centered: v - a² for v, with a = α a + (1 - α) g (Graves, arXiv:1308.0850). TensorFlow has √(v + ε), which is
    tensorflow/tensorflow#58412.
    """

    def displacements(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
        v = a = buffer = 0.0
        for g in gradients:
            v = p["alpha"] * v + (1 - p["alpha"]) * (g * g)
            variance = v
            if centered:
                a = p["alpha"] * a + (1 - p["alpha"]) * g
                variance = v - a * a
            step = g / denominator(variance, p["epsilon"])
            buffer = p["momentum"] * buffer + step if "momentum" in p else step
            yield -p["learning_rate"] * buffer

    return displacements


# --- Adam, the right one and the others -----------------------------------------------------------------------------

Correction = Callable[[Any, Any, Any, Parameters], tuple[Any, Any]]
"""m, v and t to what stands for m and v in the step."""
Clock = Callable[[int, Parameters], Any]
"""What t is when the moments are updated for the k-th time, counted from 1."""


def corrected(m: Any, v: Any, t: Any, p: Parameters) -> tuple[Any, Any]:
    """m / (1 - β₁ᵗ), v / (1 - β₂ᵗ). Kingma and Ba, arXiv:1412.6980, Algorithm 1; torch.optim.Adam."""
    return m / (1 - p["beta1"] ** t), v / (1 - p["beta2"] ** t)


def corrected_in_rate(m: Any, v: Any, t: Any, p: Parameters) -> tuple[Any, Any]:
    """Rate η √(1 - β₂ᵗ) / (1 - β₁ᵗ), so that ε stands beside an uncorrected √v. Ibid., end of section 2; Keras."""
    return m * (np.sqrt(1 - p["beta2"] ** t) / (1 - p["beta1"] ** t)), v


def uncorrected(m: Any, v: Any, t: Any, p: Parameters) -> tuple[Any, Any]:
    """No bias correction. google-research/bert#153."""
    return m, v


def corrected_constantly(m: Any, v: Any, t: Any, p: Parameters) -> tuple[Any, Any]:
    """m / (1 - β₁), v / (1 - β₂) at every step. eriklindernoren/ML-From-Scratch#35; the assignment's own solution."""
    return m / (1 - p["beta1"]), v / (1 - p["beta2"])


def corrected_twice(m: Any, v: Any, t: Any, p: Parameters) -> tuple[Any, Any]:
    """Rate η √(1 - c₂) / c₁ where c₂ = 1 - β₂ᵗ already. kozistr/AdaBound-tensorflow#3."""
    return m * (np.sqrt(1 - (1 - p["beta2"] ** t)) / (1 - p["beta1"] ** t)), v


def every_step(k: int, p: Parameters) -> Any:
    return k


def every_epoch(k: int, p: Parameters) -> Any:
    """t counts epochs, so it stays 1 throughout the first one."""
    return (k - 1) // p["steps_per_epoch"] + 1


def every_weight(k: int, p: Parameters) -> Any:
    """t += 1 inside the loop over the weights: weight i of n sees t = (step - 1) n + i. flashlight/flashlight#143."""
    return (k - 1) * p["n"] + np.arange(1, p["n"] + 1)


def every_round_of_weights(k: int, p: Parameters) -> Any:
    """t counts steps although the moments are updated n times in each."""
    return (k - 1) // p["n"] + 1


def own_square(g: Any) -> Any:
    return g * g


def mean_square(g: Any) -> Any:
    """One second moment for all weights: the mean of their squares."""
    return np.mean(g * g, axis=-1, keepdims=True)


def adam(
    correction: Correction = corrected,
    denominator: Denominator = epsilon_outside,
    clock: Clock = every_step,
    square: Callable[[Any], Any] = own_square,
    amsgrad: bool = False,
) -> Update:
    """m = β₁ m + (1 - β₁) g; v = β₂ v + (1 - β₂) g²; w -= η m̂ / (√v̂ + ε). arXiv:1412.6980; torch.optim.Adam.

    `amsgrad`: the largest v so far stands for v (Reddi et al., arXiv:1904.09237), before its correction.
    """

    def displacements(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
        m = v = highest = 0.0
        for k, g in enumerate(gradients, 1):
            m = p["beta1"] * m + (1 - p["beta1"]) * g
            v = p["beta2"] * v + (1 - p["beta2"]) * square(g)
            highest = np.maximum(highest, v) if amsgrad else v
            m_hat, v_hat = correction(m, highest, clock(k, p), p)
            yield -p["learning_rate"] * (m_hat / denominator(v_hat, p["epsilon"]))

    return displacements


def adamax(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """m as in Adam; u = max(β₂ u, |g| + ε); w -= η / (1 - β₁ᵗ) m / u. Ibid., Algorithm 2; torch.optim.Adamax."""
    m = u = 0.0
    for t, g in enumerate(gradients, 1):
        m = p["beta1"] * m + (1 - p["beta1"]) * g
        u = np.maximum(p["beta2"] * u, np.absolute(g) + p["epsilon"])
        yield -(p["learning_rate"] / (1 - p["beta1"] ** t)) * (m / u)


def nadam(in_float32: bool = False) -> Update:
    """m and v as in Adam; μₜ = β₁ (1 - 0.96^(tψ) / 2), ψ the momentum_decay, Mₜ = μ₁...μₜ;

    w -= η ((1 - μₜ) g / (1 - Mₜ) + μₜ₊₁ m / (1 - Mₜ₊₁)) / (√v̂ + ε). Dozat (2016); torch.optim.NAdam.
    `in_float32`: torch multiplies Mₜ in its default dtype, whatever that of the weights is.
    """

    def displacements(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
        m = v = 0.0
        product: Any = 1.0
        for t, g in enumerate(gradients, 1):
            mu = p["beta1"] * (1 - 0.5 * 0.96 ** (t * p["momentum_decay"]))
            following = p["beta1"] * (1 - 0.5 * 0.96 ** ((t + 1) * p["momentum_decay"]))
            product = _single(product * _single(mu)) if in_float32 else product * mu
            m = p["beta1"] * m + (1 - p["beta1"]) * g
            v = p["beta2"] * v + (1 - p["beta2"]) * (g * g)
            ahead = (1 - mu) / (1 - product) * g + following / (1 - product * following) * m
            yield -p["learning_rate"] * (ahead / (np.sqrt(v / (1 - p["beta2"] ** t)) + p["epsilon"]))

    return displacements


def radam(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
    """Adam's step times a rectification r, and w -= η m̂ as long as ρₜ <= 5. Liu et al., arXiv:1908.03265.

    ρ∞ = 2 / (1 - β₂) - 1, ρₜ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ),
    r² = (ρₜ - 4)(ρₜ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρₜ), √(1 - β₂ᵗ) / (√v + ε) for 1 / (√v̂ + ε). torch.optim.RAdam.
    """
    m = v = 0.0
    limit = 2 / (1 - p["beta2"]) - 1
    for t, g in enumerate(gradients, 1):
        m = p["beta1"] * m + (1 - p["beta1"]) * g
        v = p["beta2"] * v + (1 - p["beta2"]) * (g * g)
        power = p["beta2"] ** t
        length = limit - 2 * t * power / (1 - power)
        square = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
        rate = np.sqrt(np.where(length > 5, square, 0.0)) * np.sqrt(1 - power) / (np.sqrt(v) + p["epsilon"])
        yield -p["learning_rate"] * (m / (1 - p["beta1"] ** t) * np.where(length > 5, rate, 1.0))


# --- what wraps a rule ----------------------------------------------------------------------------------------------


def unweighted(update: Update) -> WeightedUpdate:
    """A rule that does not look at the weights."""
    return lambda gradients, weights, p: update(gradients, p)


def coupled(update: Update) -> WeightedUpdate:
    """Weight decay as part of the gradient: g + λ w is what the rule sees; in chainer/chainer#261 it saw g - λ w."""

    def displacements(gradients: Iterable[Any], weights: Iterable[Any], p: Parameters) -> Iterator[Any]:
        return update((g + p["weight_decay"] * w for g, w in zip(gradients, weights, strict=True)), p)

    return displacements


def decoupled(update: Update) -> WeightedUpdate:
    """Weight decay beside the rule: w -= η λ w. Loshchilov and Hutter, arXiv:1711.05101; torch.optim.AdamW."""
    return _beside(unweighted(update))


def decoupled_and_coupled(update: Update) -> WeightedUpdate:
    """Weight decay applied twice: in the gradient that the rule sees and beside the rule."""
    return _beside(coupled(update))


def _beside(update: WeightedUpdate) -> WeightedUpdate:
    def displacements(gradients: Iterable[Any], weights: Iterable[Any], p: Parameters) -> Iterator[Any]:
        for_rule, for_decay = tee(weights)
        for d, w in zip(update(gradients, for_rule, p), for_decay, strict=True):
            # As torch has it: what 1 - η λ loses to rounding is the same at every step.
            yield d - (1 - (1 - p["learning_rate"] * p["weight_decay"])) * w

    return displacements


def carried(update: Update) -> Update:
    """One scalar state for all weights, carried from each to the next and on into the next step.

    That is what a loop over the weights does that keeps a single m and v instead of one for each weight.
    """

    def displacements(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
        n = p["n"]
        stream = update((g[..., i : i + 1] for g in gradients for i in range(n)), p)
        while step := list(islice(stream, n)):
            yield np.concatenate(step, axis=-1)

    return displacements


def moved_once_per_epoch(update: Update) -> Update:
    """The state takes in every gradient, the weights move at the end of the epoch only: the assignment's In[16]."""

    def displacements(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
        for k, d in enumerate(update(gradients, p), 1):
            yield d if k % p["steps_per_epoch"] == 0 else 0.0 * d

    return displacements


def summed_over_epoch(update: Update, mean: bool) -> Update:
    """The gradients of an epoch are added up (or averaged), and the rule takes one step with that."""

    def displacements(gradients: Iterable[Any], p: Parameters) -> Iterator[Any]:
        length = p["steps_per_epoch"]
        gradients, others = tee(gradients)
        epochs = update(_sums(gradients, length, 1 / length if mean else 1.0), p)
        for k, g in enumerate(others, 1):
            yield next(epochs) if k % length == 0 else 0.0 * p["learning_rate"] * g

    return displacements


def _sums(gradients: Iterable[Any], length: int, factor: float) -> Iterator[Any]:
    total = 0.0
    for k, g in enumerate(gradients, 1):
        total = total + g
        if k % length == 0:
            yield total * factor
            total = 0.0
