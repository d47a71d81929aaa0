"""Well-known wrong update rules, each named for its mistake: what people write when they mean `manual.optimizers`.

They are kept to be caught, and to be recognised when somebody's training run follows one of them. The interface is that
of `manual.optimizers`; rules that need to know where an epoch ends take `steps_per_epoch`.
"""

from typing import NamedTuple

import numpy as np

from manual import optimizers
from manual._arguments import Array, check_hyperparameters
from manual.optimizers import Moments, Optimizer, Velocity

CORRECTIONS = ("step", "constant", "none", "epoch")
"""What the exponent of the bias correction counts: steps, as it should; nothing, twice over; or epochs."""


def adam_variant(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.99,
    epsilon: float = 1e-8,
    *,
    correction: str = "step",
    inside: bool = False,
    steps_per_epoch: int | None = None,
) -> Optimizer:
    """Adam with its bias corrected by a rule of `CORRECTIONS`, and ε inside or outside of the root: all combinations.

    "step" and outside is Adam itself. "epoch" needs `steps_per_epoch`.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None), beta1=(beta1, 0, 1), beta2=(beta2, 0, 1), epsilon=(epsilon, 0, None)
    )
    if correction not in CORRECTIONS:
        raise ValueError(f"correction: expected one of {', '.join(CORRECTIONS)}, got {correction!r}; choose one")
    if steps_per_epoch is not None:
        check_hyperparameters(steps_per_epoch=(steps_per_epoch, 1, None))
    elif correction == "epoch":
        raise ValueError("steps_per_epoch: expected a number of steps for the correction per epoch, got None; pass it")

    def corrections(t: int) -> tuple[float, float]:
        if correction == "none":
            return 1.0, 1.0
        if correction == "constant":
            t = 1
        elif correction == "epoch" and steps_per_epoch:
            t = (t - 1) // steps_per_epoch + 1
        return 1 - beta1**t, 1 - beta2**t

    def update(gradient: Array, state: Moments, params: Array) -> tuple[Array, Moments]:
        t = state.step + 1
        m = beta1 * state.m + (1 - beta1) * gradient
        v = beta2 * state.v + (1 - beta2) * (gradient * gradient)
        first, second = corrections(t)
        root = np.sqrt(v / second + epsilon) if inside else np.sqrt(v / second) + epsilon
        return params - learning_rate * (m / first) / root, Moments(t, m, v)

    return Optimizer(optimizers.adam().init, update)


def adam_constant_correction(
    learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8
) -> Optimizer:
    """Divides by 1 - β1 and 1 - β2 at every step; right is 1 - β1^t and 1 - β2^t, the same at the first step only.

    Source: the assignment's code, 2.3; eriklindernoren/ML-From-Scratch#35.
    """
    return adam_variant(learning_rate, beta1, beta2, epsilon, correction="constant")


def adam_epsilon_inside(
    learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8
) -> Optimizer:
    """Divides by √(v̂ + ε); right is √v̂ + ε. Source: the assignment's formula, 2.3."""
    return adam_variant(learning_rate, beta1, beta2, epsilon, inside=True)


def adam_without_correction(
    learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8
) -> Optimizer:
    """Uses m and v as they are; right is m / (1 - β1^t) and v / (1 - β2^t). Source: google-research/bert#153."""
    return adam_variant(learning_rate, beta1, beta2, epsilon, correction="none")


def adam_step_per_epoch(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.99,
    epsilon: float = 1e-8,
    *,
    steps_per_epoch: int,
) -> Optimizer:
    """Counts epochs where the bias correction has to count steps."""
    return adam_variant(learning_rate, beta1, beta2, epsilon, correction="epoch", steps_per_epoch=steps_per_epoch)


def adam_shared_state(
    learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8
) -> Optimizer:
    """One m and one v for all weights of a vector (the last axis), carried from each weight to the next.

    The loop over the weights updates the same two variables every time; right is a pair for each weight.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None), beta1=(beta1, 0, 1), beta2=(beta2, 0, 1), epsilon=(epsilon, 0, None)
    )

    def init(params: Array) -> Moments:
        return Moments(0, np.zeros_like(params[..., 0]), np.zeros_like(params[..., 0]))

    def update(gradient: Array, state: Moments, params: Array) -> tuple[Array, Moments]:
        t, m, v = state.step + 1, state.m, state.v
        moved = []
        for i in range(params.shape[-1]):
            g = gradient[..., i]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (g * g)
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            moved.append(params[..., i] - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon))
        return np.stack(moved, axis=-1), Moments(t, m, v)

    return Optimizer(init, update)


def adam_decoupled_decay(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """Decays the weights apart from the gradient where Adam's L2 penalty was meant: this is AdamW."""
    return optimizers.adam(learning_rate, beta1, beta2, epsilon, weight_decay, decoupled=True)


def adamw_coupled_decay(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """Adds λ w to the gradient where AdamW was meant: this is Adam with an L2 penalty."""
    return optimizers.adam(learning_rate, beta1, beta2, epsilon, weight_decay)


class Waiting(NamedTuple):
    """The velocity, which every step changes, while the weights wait for the end of the epoch."""

    step: int
    v: Array


def momentum_once_per_epoch(
    learning_rate: float = 0.001, beta: float = 0.9, *, steps_per_epoch: int, average: bool = True
) -> Optimizer:
    """Moves the weights after the last sample of an epoch only, by the velocity that is left there.

    The update is indented to the loop over epochs. v ← β v + (1 - β) g; without `average` v ← β v + g. Source: the
    assignment's code, 2.2.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None), beta=(beta, 0, 1), steps_per_epoch=(steps_per_epoch, 1, None)
    )

    def update(gradient: Array, state: Waiting, params: Array) -> tuple[Array, Waiting]:
        v = beta * state.v + ((1 - beta) * gradient if average else gradient)
        t = state.step + 1
        return (params - learning_rate * v if t % steps_per_epoch == 0 else params), Waiting(t, v)

    return Optimizer(lambda params: Waiting(0, np.zeros_like(params)), update)


def momentum_restarted_each_epoch(
    learning_rate: float = 0.05, gamma: float = 0.9, *, steps_per_epoch: int
) -> Optimizer:
    """v ← γ v + η g with v set to 0 at the start of every epoch; right is to keep it."""
    check_hyperparameters(steps_per_epoch=(steps_per_epoch, 1, None))
    right = optimizers.momentum(learning_rate, gamma)

    def update(gradient: Array, state: Velocity, params: Array) -> tuple[Array, Velocity]:
        kept = state if state.step % steps_per_epoch else Velocity(state.step, np.zeros_like(state.v))
        moved: tuple[Array, Velocity] = right.update(gradient, kept, params)
        return moved

    return Optimizer(right.init, update)
