"""Gradient-based optimizers by hand: pure `init(params)` and `update(gradient, state, params)` pairs, elementwise.

Every optimizer works entry by entry on float64 arrays of any shape, so one run may carry thousands of initialisations.
`init(params)` gives the state before the first step; `update(gradient, state, params)` gives the new params and the new
state and changes neither argument. In the formulas g is the gradient, w are the params, η is the learning rate, and t
counts the steps from 1.

Where an optimizer goes by several definitions, this is the one of torch.optim, since that is what it is compared with;
the docstring says where it departs from the paper. Weight decay is coupled (λ w is added to the gradient) unless an
optimizer is called decoupled. `maximize` ascends instead.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from manual._arguments import Array, check_hyperparameters


class Optimizer(NamedTuple):
    """`init(params) -> state` and `update(gradient, state, params) -> (params, state)`."""

    init: Callable[[Array], Any]
    update: Callable[[Array, Any, Array], tuple[Array, Any]]


class Steps(NamedTuple):
    """The state of a rule that remembers nothing."""

    step: int


class Velocity(NamedTuple):
    """A running sum or mean of gradients, of the shape of the params."""

    step: int
    v: Array


class Moments(NamedTuple):
    """Running means of the gradient and of its square, of the shape of the params."""

    step: int
    m: Array
    v: Array


# ------------------------------------------------------------------------------------------ the documents' own


def vanilla(learning_rate: float = 0.05) -> Optimizer:
    """w ← w - η g. Source: the README document, "Vanilla SGD"."""
    check_hyperparameters(learning_rate=(learning_rate, 0, None))

    def update(gradient: Array, state: Steps, params: Array) -> tuple[Array, Steps]:
        return params - learning_rate * gradient, Steps(state.step + 1)

    return Optimizer(lambda params: Steps(0), update)


def momentum(learning_rate: float = 0.05, gamma: float = 0.9) -> Optimizer:
    """v ← γ v + η g, w ← w - v, from v = 0: the heavy ball. Source: the README document; Polyak, 1964.

    For a constant rate these are the params of `sgd` with momentum γ; the velocity is η times that one's.
    """
    check_hyperparameters(learning_rate=(learning_rate, 0, None), gamma=(gamma, 0, 1))

    def update(gradient: Array, state: Velocity, params: Array) -> tuple[Array, Velocity]:
        v = gamma * state.v + learning_rate * gradient
        return params - v, Velocity(state.step + 1, v)

    return Optimizer(_resting, update)


def averaged_momentum(learning_rate: float = 0.05, beta: float = 0.9) -> Optimizer:
    """v ← β v + (1 - β) g, w ← w - η v, from v = 0: the exponential average. Source: the assignment, 2.2.

    These are the params of `momentum` with the rate (1 - β) η. `sgd` with dampening β is something else: its
    velocity starts at the first gradient, undamped.
    """
    check_hyperparameters(learning_rate=(learning_rate, 0, None), beta=(beta, 0, 1))

    def update(gradient: Array, state: Velocity, params: Array) -> tuple[Array, Velocity]:
        v = beta * state.v + (1 - beta) * gradient
        return params - learning_rate * v, Velocity(state.step + 1, v)

    return Optimizer(_resting, update)


# ----------------------------------------------------------------------------- those of torch.optim, A to S


def sgd(
    learning_rate: float = 0.001,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """v ← μ v + (1 - τ) g, but v = g at the first step; w ← w - η v, or with Nesterov w ← w - η (g + μ v).

    μ is the momentum and τ the dampening, which counts for nothing without momentum. Source: Sutskever et al., 2013, in
    the form of torch.optim.SGD, where the rate multiplies the velocity and is not part of it.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None), momentum=(momentum, 0, None), weight_decay=(weight_decay, 0, None)
    )
    if nesterov and (momentum == 0 or dampening != 0):
        raise ValueError("nesterov: expected a momentum above 0 and no dampening; set them, or leave nesterov out")

    def update(gradient: Array, state: Velocity, params: Array) -> tuple[Array, Velocity]:
        g = _coupled(gradient, params, weight_decay, maximize)
        # +g is a copy, since g may be the caller's own array.
        v = +g if state.step == 0 or momentum == 0 else momentum * state.v + (1 - dampening) * g
        direction = g + momentum * v if nesterov else v
        return params - learning_rate * direction, Velocity(state.step + 1, v)

    return Optimizer(_resting, update)


class SquareSum(NamedTuple):
    """The sum of the squared gradients so far."""

    step: int
    sum: Array


def adagrad(
    learning_rate: float = 0.01,
    learning_rate_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_sum: float = 0.0,
    epsilon: float = 1e-10,
    maximize: bool = False,
) -> Optimizer:
    """s ← s + g², w ← w - η_t g / (√s + ε) with η_t = η / (1 + (t - 1) δ), δ the decay of the rate.

    Source: Duchi, Hazan and Singer, 2011.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None),
        learning_rate_decay=(learning_rate_decay, 0, None),
        weight_decay=(weight_decay, 0, None),
        initial_sum=(initial_sum, 0, None),
        epsilon=(epsilon, 0, None),
    )

    def update(gradient: Array, state: SquareSum, params: Array) -> tuple[Array, SquareSum]:
        g = _coupled(gradient, params, weight_decay, maximize)
        total = state.sum + g * g
        rate = learning_rate / (1 + state.step * learning_rate_decay)
        return params - rate * g / (np.sqrt(total) + epsilon), SquareSum(state.step + 1, total)

    return Optimizer(lambda params: SquareSum(0, _filled(params, initial_sum)), update)


class SquareMeans(NamedTuple):
    """Running means of the squared gradient and of the squared step."""

    step: int
    v: Array
    delta: Array


def adadelta(
    learning_rate: float = 1.0,
    rho: float = 0.9,
    epsilon: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Optimizer:
    """v ← ρ v + (1 - ρ) g², d = g √(δ + ε) / √(v + ε), δ ← ρ δ + (1 - ρ) d², w ← w - η d.

    Source: Zeiler, 2012, algorithm 1, which has η = 1.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None),
        rho=(rho, 0, 1),
        epsilon=(epsilon, 0, None),
        weight_decay=(weight_decay, 0, None),
    )

    def update(gradient: Array, state: SquareMeans, params: Array) -> tuple[Array, SquareMeans]:
        g = _coupled(gradient, params, weight_decay, maximize)
        v = rho * state.v + (1 - rho) * (g * g)
        d = np.sqrt(state.delta + epsilon) / np.sqrt(v + epsilon) * g
        delta = rho * state.delta + (1 - rho) * (d * d)
        return params - learning_rate * d, SquareMeans(state.step + 1, v, delta)

    return Optimizer(lambda params: SquareMeans(0, _filled(params), _filled(params)), update)


class RootMeans(NamedTuple):
    """Running means of the squared gradient and of the gradient, and the velocity."""

    step: int
    v: Array
    mean: Array
    velocity: Array


def rmsprop(
    learning_rate: float = 0.01,
    alpha: float = 0.99,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """v ← α v + (1 - α) g², d = g / (√v + ε), b ← μ b + d, w ← w - η b (without momentum b = d).

    Centered: √(v - a²) takes the place of √v, where a ← α a + (1 - α) g. Sources: Tieleman and Hinton, 2012,
    lecture 6.5; Graves, 2013, equations 38 to 45, for the centered form (there ε stands under the root).
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None),
        alpha=(alpha, 0, 1),
        epsilon=(epsilon, 0, None),
        weight_decay=(weight_decay, 0, None),
        momentum=(momentum, 0, None),
    )

    def update(gradient: Array, state: RootMeans, params: Array) -> tuple[Array, RootMeans]:
        g = _coupled(gradient, params, weight_decay, maximize)
        v = alpha * state.v + (1 - alpha) * (g * g)
        mean = alpha * state.mean + (1 - alpha) * g if centered else state.mean
        spread = v - mean * mean if centered else v
        velocity = momentum * state.velocity + g / (np.sqrt(spread) + epsilon)
        return params - learning_rate * velocity, RootMeans(state.step + 1, v, mean, velocity)

    return Optimizer(lambda params: RootMeans(0, _filled(params), _filled(params), _filled(params)), update)


def adam(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    decoupled: bool = False,
) -> Optimizer:
    """m ← β1 m + (1 - β1) g, v ← β2 v + (1 - β2) g², w ← w - η m̂ / (√v̂ + ε), m̂ = m / (1 - β1^t), v̂ = v / (1 - β2^t).

    Source: Kingma and Ba, 2015, algorithm 1. Decoupled: see `adamw`.
    """
    _check_adam(learning_rate, beta1, beta2, epsilon, weight_decay)

    def update(gradient: Array, state: Moments, params: Array) -> tuple[Array, Moments]:
        w, g = _decayed(gradient, params, weight_decay, maximize, decoupled, learning_rate)
        t, m, v = _moments(g, state, beta1, beta2)
        v_hat = v / (1 - beta2**t)
        rate = learning_rate / (1 - beta1**t)  # on the number, so that m̂ costs no array
        return w - rate * m / (np.sqrt(v_hat) + epsilon), Moments(t, m, v)

    return Optimizer(_motionless, update)


def adamw(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    maximize: bool = False,
) -> Optimizer:
    """Adam with decoupled weight decay: w ← (1 - η λ) w first, and λ w is not part of the gradient.

    Source: Loshchilov and Hutter, 2019, algorithm 2, with their schedule multiplier equal to the rate, as in torch.
    """
    return adam(learning_rate, beta1, beta2, epsilon, weight_decay, maximize, decoupled=True)


class MaximumMoments(NamedTuple):
    """Adam's moments, and the largest second moment so far."""

    step: int
    m: Array
    v: Array
    v_max: Array


def amsgrad(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    decoupled: bool = False,
) -> Optimizer:
    """Adam with the largest v so far in place of v. The maximum is taken before the bias is corrected, as in torch.

    Source: Reddi, Kale and Kumar, 2018, algorithm 2 (which does not correct the bias at all; optax takes the maximum
    of the corrected v̂, a third rule).
    """
    _check_adam(learning_rate, beta1, beta2, epsilon, weight_decay)

    def update(gradient: Array, state: MaximumMoments, params: Array) -> tuple[Array, MaximumMoments]:
        w, g = _decayed(gradient, params, weight_decay, maximize, decoupled, learning_rate)
        t, m, v = _moments(g, state, beta1, beta2)
        v_max = np.maximum(state.v_max, v)
        v_hat = v_max / (1 - beta2**t)
        rate = learning_rate / (1 - beta1**t)
        return w - rate * m / (np.sqrt(v_hat) + epsilon), MaximumMoments(t, m, v, v_max)

    return Optimizer(lambda params: MaximumMoments(0, _filled(params), _filled(params), _filled(params)), update)


class InfinityMoments(NamedTuple):
    """A running mean of the gradient, and a decaying maximum of its size."""

    step: int
    m: Array
    u: Array


def adamax(
    learning_rate: float = 0.002,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Optimizer:
    """m ← β1 m + (1 - β1) g, u ← max(β2 u, |g| + ε), w ← w - η m / ((1 - β1^t) u).

    Source: Kingma and Ba, 2015, algorithm 2; the ε, which keeps u from being 0, is torch's.
    """
    _check_adam(learning_rate, beta1, beta2, epsilon, weight_decay)

    def update(gradient: Array, state: InfinityMoments, params: Array) -> tuple[Array, InfinityMoments]:
        g = _coupled(gradient, params, weight_decay, maximize)
        t = state.step + 1
        m = beta1 * state.m + (1 - beta1) * g
        u = np.maximum(beta2 * state.u, np.abs(g) + epsilon)
        return params - learning_rate / (1 - beta1**t) * m / u, InfinityMoments(t, m, u)

    return Optimizer(lambda params: InfinityMoments(0, _filled(params), _filled(params)), update)


class NesterovMoments(NamedTuple):
    """Adam's moments, and the product μ_1 ... μ_t of the momentum schedule, a number."""

    step: int
    m: Array
    v: Array
    product: float


def nadam(
    learning_rate: float = 0.002,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 0.004,
    maximize: bool = False,
    decoupled: bool = False,
) -> Optimizer:
    """w ← w - η (μ_{t+1} m / (1 - Π_{t+1}) + (1 - μ_t) g / (1 - Π_t)) / (√v̂ + ε), with Adam's m, v and v̂.

    μ_t = β1 (1 - 0.96^(t ψ) / 2), ψ the momentum decay, and Π_t = μ_1 ... μ_t. Source: Dozat, 2016, algorithm 2.
    """
    _check_adam(learning_rate, beta1, beta2, epsilon, weight_decay)
    check_hyperparameters(momentum_decay=(momentum_decay, 0, None))

    def mu(t: int) -> float:
        fading: float = 0.96 ** (t * momentum_decay)
        return beta1 * (1 - 0.5 * fading)

    def update(gradient: Array, state: NesterovMoments, params: Array) -> tuple[Array, NesterovMoments]:
        w, g = _decayed(gradient, params, weight_decay, maximize, decoupled, learning_rate)
        t, m, v = _moments(g, state, beta1, beta2)
        product = state.product * mu(t)
        from_mean = mu(t + 1) / (1 - product * mu(t + 1))
        from_gradient = (1 - mu(t)) / (1 - product)
        root = np.sqrt(v / (1 - beta2**t)) + epsilon
        step = learning_rate * from_mean * m / root + learning_rate * from_gradient * g / root
        return w - step, NesterovMoments(t, m, v, product)

    return Optimizer(lambda params: NesterovMoments(0, _filled(params), _filled(params), 1.0), update)


def radam(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    decoupled: bool = False,
) -> Optimizer:
    """w ← w - η m̂ r √(1 - β2^t) / (√v + ε) once ρ_t > 5, and before that w ← w - η m̂, with Adam's m, v and m̂.

    ρ_∞ = 2 / (1 - β2) - 1, ρ_t = ρ_∞ - 2 t β2^t / (1 - β2^t), and the rectification is
    r² = (ρ_t - 4)(ρ_t - 2) ρ_∞ / ((ρ_∞ - 4)(ρ_∞ - 2) ρ_t). Source: Liu et al., 2020, algorithm 2, which has 4 in place
    of torch's 5 and no ε.
    """
    _check_adam(learning_rate, beta1, beta2, epsilon, weight_decay)

    def update(gradient: Array, state: Moments, params: Array) -> tuple[Array, Moments]:
        w, g = _decayed(gradient, params, weight_decay, maximize, decoupled, learning_rate)
        t, m, v = _moments(g, state, beta1, beta2)
        m_hat = m / (1 - beta1**t)
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 5:
            return w - learning_rate * m_hat, Moments(t, m, v)
        r = ((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) ** 0.5
        adaptive = (1 - beta2**t) ** 0.5 / (np.sqrt(v) + epsilon)
        return w - learning_rate * m_hat * adaptive * r, Moments(t, m, v)

    return Optimizer(_motionless, update)


class Averaged(NamedTuple):
    """The rate of the next step, the weight μ of the next average, both numbers, and the average of the params."""

    step: int
    eta: float
    mu: float
    average: Array


def asgd(
    learning_rate: float = 0.01,
    decay: float = 1e-4,
    alpha: float = 0.75,
    start: float = 1e6,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Optimizer:
    """w ← (1 - λ η_t) w - η_t g with η_t = η / (1 + λ η (t - 1))^α; a ← a + μ_t (w - a), μ_t = 1 / max(1, t - 1 - t0).

    λ is the decay and t0 the start of the averaging, up to which a = w. Source: Polyak and Juditsky, 1992, with the
    schedule of Bottou's sgd-2, as in torch.optim.ASGD.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None),
        decay=(decay, 0, None),
        alpha=(alpha, 0, None),
        weight_decay=(weight_decay, 0, None),
    )

    def update(gradient: Array, state: Averaged, params: Array) -> tuple[Array, Averaged]:
        g = _coupled(gradient, params, weight_decay, maximize)
        t = state.step + 1
        w = params * (1 - decay * state.eta) - state.eta * g
        average = +w if state.mu == 1 else state.average + (w - state.average) * state.mu  # +w: the caller has w
        eta = learning_rate / (1 + decay * learning_rate * t) ** alpha
        return w, Averaged(t, eta, 1 / max(1, t - start), average)

    return Optimizer(lambda params: Averaged(0, learning_rate, 1.0, _filled(params)), update)


class Resilience(NamedTuple):
    """The gradient of the last step (0 where it was ignored), and the size of each entry's next step."""

    step: int
    previous: Array
    size: Array


def rprop(
    learning_rate: float = 0.01,
    shrink: float = 0.5,
    grow: float = 1.2,
    smallest: float = 1e-6,
    largest: float = 50.0,
    maximize: bool = False,
) -> Optimizer:
    """w ← w - sign(g) d, where d grows while the gradient keeps its sign and shrinks, without a step, when it turns.

    d starts at the learning rate and stays between the smallest and the largest. Source: Riedmiller and Braun, 1993;
    the form that does not step back is iRprop- of Igel and Hüsken, 2000.
    """
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None),
        shrink=(shrink, 0, 1),
        grow=(grow, 1, None),
        smallest=(smallest, 0, None),
    )

    def update(gradient: Array, state: Resilience, params: Array) -> tuple[Array, Resilience]:
        g = -gradient if maximize else gradient
        agreement = g * state.previous
        factor = np.where(agreement > 0, grow, np.where(agreement < 0, shrink, 1.0))
        size = np.clip(state.size * factor, smallest, largest)
        followed = np.where(agreement < 0, 0.0, g)
        return params - np.sign(followed) * size, Resilience(state.step + 1, followed, size)

    return Optimizer(lambda params: Resilience(0, _filled(params), _filled(params, learning_rate)), update)


# --------------------------------------------------------------------------------------------------- shared


def _filled(params: Array, value: float = 0.0) -> Array:
    return np.full_like(params, value)


def _resting(params: Array) -> Velocity:
    return Velocity(0, _filled(params))


def _motionless(params: Array) -> Moments:
    return Moments(0, _filled(params), _filled(params))


def _coupled(gradient: Array, params: Array, weight_decay: float, maximize: bool) -> Array:
    """The gradient to descend, with the weight decay in it."""
    g = -gradient if maximize else gradient
    return g + weight_decay * params if weight_decay != 0 else g


def _decayed(
    gradient: Array, params: Array, weight_decay: float, maximize: bool, decoupled: bool, learning_rate: float
) -> tuple[Array, Array]:
    """The params and the gradient, one of them with the weight decay in it."""
    if decoupled:
        return params * (1 - learning_rate * weight_decay), _coupled(gradient, params, 0, maximize)
    return params, _coupled(gradient, params, weight_decay, maximize)


def _moments(g: Array, state: Any, beta1: float, beta2: float) -> tuple[int, Array, Array]:
    """Adam's t, m and v after the gradient g."""
    m = beta1 * state.m + (1 - beta1) * g
    v = beta2 * state.v + (1 - beta2) * (g * g)
    return state.step + 1, m, v


def _check_adam(learning_rate: float, beta1: float, beta2: float, epsilon: float, weight_decay: float) -> None:
    check_hyperparameters(
        learning_rate=(learning_rate, 0, None),
        beta1=(beta1, 0, 1),
        beta2=(beta2, 0, 1),
        epsilon=(epsilon, 0, None),
        weight_decay=(weight_decay, 0, None),
    )
