"""A certificate says the same of the same gradient in other words, and what it claims to know is so."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import strategies as st

from manual import nine_weight, nine_weight_stable
from oracles import Certificate, Ruling, certify, certify_layer, graphs
from oracles.ball import BallArray, balls, lift
from oracles.evaluation import Evaluation, Layout, evaluate, log2_step
from oracles.rounding import Rounding, rounding_radii
from oracles.subject import on_balls
from oracles.tree import map_leaves
from oracles.trial import Trial, loss_trial
from tests.meta.course_layers import LAYERS, Layer, leaves
from tests.meta.test_laws import SEEDS, breaks, holds
from tests.meta.test_laws_oracles import MODES

Array = Any
Arrays = tuple[Array, ...]
Function = Callable[..., Any]
Certify = Callable[..., Certificate]
LAYER = {layer.id: layer for layer in LAYERS}
each_layer = pytest.mark.parametrize("id_", LAYER)

# --- layers are linear in their cotangent -----------------------------------------------------------------------------


def is_linear(layer: Layer, backward: Function, seed: int, exponent: int) -> None:
    """Exactly zero for zero, times 2^k bit for bit, and additive: on floats for each leaf, and proved on balls."""
    random = np.random.default_rng(seed)
    args = layer.draw(random)
    first, second = random.normal(size=(2, *np.shape(layer.forward(*copy.deepcopy(args))[0])))

    def on_floats(cotangent: Array) -> list[Array]:
        return leaves(backward(cotangent, layer.forward(*copy.deepcopy(args))[1]))

    assert not any(np.any(leaf) for leaf in on_floats(0 * first)), "a cotangent of zero does not give zero"
    scaled = zip(on_floats(first), on_floats(2.0**exponent * first), strict=True)
    assert all(np.array_equal(2.0**exponent * a, b) for a, b in scaled), "times 2^k is not times 2^k"
    with on_balls((layer.forward, backward), 256):
        parts = [on_the_ball(layer, backward, args, lift(c)) for c in (first, second)]
        whole = on_the_ball(layer, backward, args, 3 * lift(first) - lift(second) / 2)
        gap = 3 * parts[0] - parts[1] * arb(0.5) - whole
    assert all(g.contains(0) for g in gap), "not additive"
    assert all(g.rad() < 2.0**-150 for g in gap), "nothing is known of the sum"


def on_the_ball(layer: Layer, backward: Function, args: Arrays, cotangent: BallArray) -> Array:
    cache = layer.forward(*(map_leaves(lift, arg) for arg in args))[1]
    return np.concatenate([np.ravel(balls(leaf)._a) for leaf in leaves(backward(cotangent, cache))])


@each_layer
def test_layers_are_linear_in_the_cotangent(id_: str) -> None:
    holds(
        lambda seed, exponent: is_linear(LAYER[id_], LAYER[id_].backward, seed, exponent),
        2,
        seed=SEEDS,
        exponent=st.integers(-60, 60),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda back, c, cache: back(c, cache) + 2.0**-1000, "does not give zero", id="constant-added"),
        pytest.param(lambda back, c, cache: back(np.ones_like(c), cache), "does not give zero", id="cotangent-ignored"),
        pytest.param(lambda back, c, cache: back(c * c, cache), "not times", id="squared"),
        pytest.param(lambda back, c, cache: back(np.sign(c), cache), "not times", id="sign-only"),
        pytest.param(lambda back, c, cache: back(np.abs(c), cache), "not additive", id="absolute-value"),
    ],
)
@pytest.mark.parametrize("id_", ["tanh", "softmax", "conv-loops"])
def test_a_layer_that_is_not_linear_is_noticed(id_: str, change: Function, message: str) -> None:
    layer = LAYER[id_]

    def first_leaf(cotangent: Array, cache: Any) -> Array:
        return leaves(layer.backward(cotangent, cache))[0]

    def backward(cotangent: Array, cache: Any) -> Array:
        return change(first_leaf, cotangent, cache)

    breaks(
        lambda seed, exponent: is_linear(layer, backward, seed, exponent),
        message,
        seed=SEEDS,
        exponent=st.integers(1, 60),
    )


def is_certified_times(certify_: Certify, layer: Layer, backward: Function, factor: float, seed: int) -> None:
    """A layer times a factor is as right as the layer; times 0, its gradient is proved to be exactly zero."""

    def forward(*args: Any) -> Any:
        out, cache = layer.forward(*args)
        return factor * out, cache

    args = layer.draw(np.random.default_rng(seed))
    certificate = certify_(forward, lambda cotangent, cache: backward(factor, cotangent, cache), *args, wrt=layer.wrt)
    assert certificate.ok, str(certificate)
    zeros = [ball.is_zero() for claimed in certificate.claimed for ball in claimed._a.ravel()]
    if factor == 0:
        assert all(zeros), "a layer times 0 has a gradient that is not 0"
        assert math.isinf(certificate.digits)
    else:
        assert not all(zeros), "a layer has no gradient"


@each_layer
def test_layers_times_a_factor_are_certified(id_: str) -> None:
    layer = LAYER[id_]
    holds(
        lambda factor, seed: is_certified_times(certify_layer, layer, scaled_backward(layer), factor, seed),
        2,
        factor=st.sampled_from([0.0, -(2.0**-30), 2.0**30]),
        seed=SEEDS,
    )


def scaled_backward(layer: Layer) -> Function:
    return lambda factor, cotangent, cache: layer.backward(factor * cotangent, cache)


def test_a_layer_that_forgets_its_factor_is_noticed() -> None:
    def forgets(factor: float, cotangent: Array, cache: Any) -> Any:
        return LAYER["tanh"].backward(cotangent, cache)

    def believes(*args: Any, **kwargs: Any) -> Certificate:
        return replace(certify_layer(*args, **kwargs), ruling=Ruling.CERTIFIED, digits=math.inf)

    def tried(certify_: Certify) -> Callable[[int], None]:
        return lambda seed: is_certified_times(certify_, LAYER["tanh"], forgets, 0.0, seed)

    breaks(tried(certify_layer), "proved wrong", seed=SEEDS)
    breaks(tried(believes), "not 0", seed=SEEDS)


# --- subjects with samples --------------------------------------------------------------------------------------------

SAMPLES = 4
GOAL = 30
"""Digits that a certificate has at least."""


class Subject(NamedTuple):
    loss: Function
    gradient: Function
    cores: tuple[tuple[int, ...], ...]

    def arguments(self, seed: int) -> Arrays:
        """Numbers on a coarse grid now and then, so that kinks are met too."""
        random = np.random.default_rng(seed)
        drawn = [random.normal(0, 0.5, (SAMPLES, *core)) for core in self.cores]
        return tuple(np.where(random.random(a.shape) < 0.2, np.rint(2 * a) / 2, a) for a in drawn)


def textbook_loss(w: Array, x: Array, y: Array) -> Array:
    return nine_weight.forward(w, x, y)[0]


def textbook_gradient(w: Array, x: Array, y: Array) -> Array:
    return nine_weight.loss_and_gradient(w, x, y)[1]


def stable_loss(w: Array, x: Array, y: Array) -> Array:
    return nine_weight_stable.forward(w, x, y)[0]


def stable_gradient(w: Array, x: Array, y: Array) -> Array:
    return nine_weight_stable.loss_and_gradient(w, x, y)[1]


def logistic_loss(w: Array, x: Array) -> Array:
    return np.log(1 + np.exp(-np.sum(w * x, axis=-1))) + np.sum(w * w, axis=-1) / 3


def logistic_gradient(w: Array, x: Array) -> Array:
    p = 1 / (1 + np.exp(np.sum(w * x, axis=-1, keepdims=True)))
    return 2 * w / 3 - p * x


def hinge_loss(w: Array, x: Array) -> Array:
    return np.sum(np.maximum(0, 1 - w * x), axis=-1) + np.sum(np.abs(w), axis=-1)


def hinge_gradient(w: Array, x: Array) -> Array:
    return np.where(w * x < 1, -x, 0) + np.sign(w)


SUBJECTS = {
    "textbook": Subject(textbook_loss, textbook_gradient, ((9,), (5,), ())),
    "stable": Subject(stable_loss, stable_gradient, ((9,), (5,), ())),
    "logistic": Subject(logistic_loss, logistic_gradient, ((3,), (3,))),
    "hinge": Subject(hinge_loss, hinge_gradient, ((3,), (3,))),
}
each_subject = pytest.mark.parametrize("name", SUBJECTS)
each_gradient = pytest.mark.parametrize("right", [pytest.param(True, id="right"), pytest.param(False, id="wrong")])


def faulty(subject: Subject) -> Function:
    """Wrong by a trillionth in all entries but one, at the samples of which the first feature is positive."""

    def gradient(*args: Array) -> Array:
        made = subject.gradient(*args).copy()
        made[args[1][:, 0] > 0, 1:] *= 1 + 2.0**-40
        return made

    return gradient


def gradient_of(subject: Subject, right: bool) -> Function:
    return subject.gradient if right else faulty(subject)


def wrongs(certificate: Certificate, rows: Array, columns: Array) -> set[tuple[int, int]]:
    """(sample, entry) of what was proved wrong, as they are called before they were permuted."""
    return {(int(rows[w.sample[0]]), int(columns[w.index[0]]) if w.index else -1) for w in certificate.wrong}


def assert_same(first: Certificate, again: Certificate, rows: Array, columns: Array, slack: float = math.inf) -> None:
    """The same verdict on the same entries; and digits within `slack`, which a random direction moves by less than 1.

    Digits that were too few in one of the two are made more with more bits, so what is near the goal may be far apart.
    """
    assert first.ruling is again.ruling, f"{first.ruling.value} became {again.ruling.value}"
    assert first.entries == again.entries, f"{first.entries} entries became {again.entries}"
    before = wrongs(first, np.arange(SAMPLES), np.arange(len(columns)))
    after = wrongs(again, rows, columns)
    assert before == after, f"wrong entries {sorted(before)} became {sorted(after)}"
    least, most = sorted((first.digits, again.digits))
    assert not first.ok or least >= GOAL, f"{least:.1f} digits"
    assert most - least <= slack or most == least or least < GOAL + slack, f"{least:.1f} digits are {most:.1f}"


# --- samples in another order -----------------------------------------------------------------------------------------

ORDERS = st.permutations(range(SAMPLES)).map(np.array)


def ignores_order(certify_: Certify, subject: Subject, right: bool, seed: int, order: Array) -> None:
    args, gradient = subject.arguments(seed), gradient_of(subject, right)
    first = certify_(subject.loss, gradient, *args)
    again = certify_(subject.loss, gradient, *(a[order] for a in args))
    assert_same(first, again, order, np.arange(subject.cores[0][0]), slack=1)
    assert (first.ruling is Ruling.WRONG) <= (not right), str(first)
    if first.ok:
        pairs = zip(first.claimed[0]._a[order].ravel(), again.claimed[0]._a.ravel(), strict=True)
        assert all(a.overlaps(b) for a, b in pairs), "another gradient is claimed"


@each_subject
@each_gradient
def test_certificates_of_samples_in_another_order(name: str, right: bool) -> None:
    holds(lambda seed, order: ignores_order(certify, SUBJECTS[name], right, seed, order), 3, seed=SEEDS, order=ORDERS)


def of_the_first_sample(loss: Function, gradient: Function, *args: Array) -> Certificate:
    return certify(loss, gradient, *(np.broadcast_to(a[:1], a.shape) for a in args))


def with_samples_renumbered(loss: Function, gradient: Function, *args: Array) -> Certificate:
    made = certify(loss, gradient, *args)
    places = {sample: (i,) for i, sample in enumerate(sorted({w.sample for w in made.wrong}))}
    return replace(made, wrong=tuple(replace(w, sample=places[w.sample]) for w in made.wrong))


def with_claims_upside_down(loss: Function, gradient: Function, *args: Array) -> Certificate:
    made = certify(loss, gradient, *args)
    return replace(made, claimed=(BallArray(made.claimed[0]._a[::-1]),))


def with_digits_of_the_last_sample(loss: Function, gradient: Function, *args: Array) -> Certificate:
    made = certify(loss, gradient, *args)
    return replace(made, digits=made.digits + 10 * float(args[0][-1, 0])) if made.ok else made


@pytest.mark.parametrize(
    ("certify_", "message"),
    [
        pytest.param(of_the_first_sample, "another gradient is claimed", id="first-sample-for-all"),
        pytest.param(with_samples_renumbered, "wrong entries", id="samples-renumbered"),
        pytest.param(with_claims_upside_down, "another gradient is claimed", id="claims-upside-down"),
        pytest.param(with_digits_of_the_last_sample, "digits are", id="digits-of-the-last-sample"),
    ],
)
def test_a_certificate_that_depends_on_the_order_is_noticed(certify_: Certify, message: str) -> None:
    right = message != "wrong entries"
    breaks(
        lambda seed, order: ignores_order(certify_, SUBJECTS["logistic"], right, seed, order),
        message,
        seed=SEEDS,
        order=ORDERS,
    )


def radii_follow(radii: Callable[[Trial], Rounding], subject: Subject, seed: int, order: Array) -> None:
    args = subject.arguments(seed)
    first = radii(loss_trial(subject.loss, subject.gradient, args, 0))
    again = radii(loss_trial(subject.loss, subject.gradient, tuple(a[order] for a in args), 0))
    assert np.array_equal(first.value[order], again.value), "other radii of the loss"
    assert np.array_equal(first.gradients[0][order], again.gradients[0]), "other radii of the gradient"


@each_subject
def test_derived_radii_of_samples_in_another_order(name: str) -> None:
    holds(lambda seed, order: radii_follow(rounding_radii, SUBJECTS[name], seed, order), 3, seed=SEEDS, order=ORDERS)


def test_radii_that_grow_along_the_samples_are_noticed() -> None:
    def growing(trial: Trial) -> Rounding:
        made = rounding_radii(trial)
        return made._replace(gradients=tuple(np.maximum.accumulate(g, axis=0) for g in made.gradients))

    breaks(
        lambda seed, order: radii_follow(growing, SUBJECTS["logistic"], seed, order),
        "other radii of the gradient",
        seed=SEEDS,
        order=ORDERS,
    )


# --- other parameters, other units ------------------------------------------------------------------------------------


def ignores_parameters(
    certify_: Certify, subject: Subject, right: bool, seed: int, order: Array, signs: Array, exponents: Array
) -> None:
    """Parameters in another order, of other signs and in other units: wrong stays wrong, at the same entries."""
    w, *data = subject.arguments(seed)
    gradient = gradient_of(subject, right)
    back, units = np.argsort(order), signs * 2.0**exponents

    def loss_of(v: Array, *rest: Array) -> Array:
        return subject.loss((v * units)[:, back], *rest)

    def gradient_of_it(v: Array, *rest: Array) -> Array:
        return gradient((v * units)[:, back], *rest)[:, order] * units

    first = certify_(subject.loss, gradient, w, *data)
    again = certify_(loss_of, gradient_of_it, w[:, order] / units, *data)
    slack = 1 + float(np.ptp(np.append(exponents, 0))) * math.log10(2)
    assert_same(first, again, np.arange(SAMPLES), order, slack)


def other_parameters(subject: Subject) -> dict[str, st.SearchStrategy[Any]]:
    n = subject.cores[0][0]
    return {
        "seed": SEEDS,
        "order": st.permutations(range(n)).map(np.array),
        "signs": st.lists(st.sampled_from([1.0, -1.0]), min_size=n, max_size=n).map(np.array),
        "exponents": st.lists(st.integers(-8, 8), min_size=n, max_size=n).map(np.array),
    }


@each_subject
@each_gradient
def test_certificates_of_other_parameters(name: str, right: bool) -> None:
    subject = SUBJECTS[name]
    holds(lambda **given: ignores_parameters(certify, subject, right, **given), 3, **other_parameters(subject))


def of_the_first_entry(loss: Function, gradient: Function, w: Array, *data: Array) -> Certificate:
    def completed(v: Array) -> Array:
        return np.concatenate([v, w[:, 1:]], axis=1)

    made = certify(
        lambda v, *rest: loss(completed(v), *rest),
        lambda v, *rest: gradient(completed(v), *rest)[:, :1],
        w[:, :1],
        *data,
    )
    return replace(made, entries=w.size)


def test_a_certificate_of_one_entry_is_noticed() -> None:
    subject = SUBJECTS["logistic"]
    breaks(
        lambda **given: ignores_parameters(of_the_first_entry, subject, False, **given),
        "became",
        **other_parameters(subject),
    )


def ignores_scale(certify_: Certify, subject: Subject, right: bool, seed: int, exponent: int) -> None:
    """The loss and its gradient times 2^k: the same verdict on the same entries.

    The digits may be others, since the step takes losses to be of about the size 1. Losses beyond 2^125 leave entries
    that are exactly zero undecided, so k is less.
    """
    args, gradient = subject.arguments(seed), gradient_of(subject, right)
    factor = 2.0**exponent
    first = certify_(subject.loss, gradient, *args)
    again = certify_(lambda *given: factor * subject.loss(*given), lambda *given: factor * gradient(*given), *args)
    assert_same(first, again, np.arange(SAMPLES), np.arange(subject.cores[0][0]))


EXPONENTS = st.integers(-200, 100) | st.sampled_from([-1, 1])


@each_subject
@each_gradient
def test_certificates_in_other_units(name: str, right: bool) -> None:
    holds(
        lambda seed, exponent: ignores_scale(certify, SUBJECTS[name], right, seed, exponent),
        3,
        seed=SEEDS,
        exponent=EXPONENTS,
    )


def with_a_tolerance(loss: Function, gradient: Function, *args: Array) -> Certificate:
    """What a check with an absolute tolerance would say."""
    true = certify(loss, lambda *given: gradient(*given), *args)
    if true.ruling is Ruling.WRONG and all(abs(float(w.claimed) - float(w.true)) < 1e-14 for w in true.wrong):
        return replace(true, ruling=Ruling.CERTIFIED, wrong=())
    return true


def test_an_absolute_tolerance_is_noticed() -> None:
    breaks(
        lambda seed, exponent: ignores_scale(with_a_tolerance, SUBJECTS["logistic"], False, seed, exponent),
        "became",
        seed=SEEDS,
        exponent=EXPONENTS,
    )


# --- the two sides of the proof ---------------------------------------------------------------------------------------


def along(subject: Subject, gradient: Function, args: Arrays, direction: Array) -> Evaluation:
    """Q and G d for each sample, along a direction (N, n)."""
    trial = loss_trial(subject.loss, gradient, args, 0)
    layout = Layout.of(trial, (SAMPLES,), [gradient(*args)])
    return evaluate(trial, layout, direction, log2_step(layout, direction, 320), 320, literals=True)


def is_the_slope(evaluate_: Callable[..., Evaluation], subject: Subject, gradient: Function, seed: int) -> None:
    """Q, the difference quotient, and G d, the gradient's claim, are one number: that of forward mode."""
    args = subject.arguments(seed)
    direction = np.random.default_rng(seed + 1).normal(size=args[0].shape)
    found = evaluate_(subject, gradient, args, direction)
    assert np.all(found.finite), "nothing is known"
    assert not np.any(found.disjoint), "Q and G are disjoint"
    size = np.sum(np.abs(subject.gradient(*args) * direction), axis=1)
    assert np.all(found.log2_gap < np.log2(size) - 80), "Q and G are wide"
    still = tuple(np.zeros_like(a) for a in args[1:])
    pushed = MODES["torch"].jvp(graphs.nine_weight, args, (direction, *still))
    off = np.array([float(abs(q - arb(float(p))).mid()) for q, p in zip(found.quotient, pushed, strict=True)])
    assert np.all(off <= 2.0**-40 * size), f"Q is not the slope: off by {np.max(off / size):.1e}"


@pytest.mark.parametrize("name", ["textbook", "stable"])
def test_quotient_and_gradient_are_the_slope_of_forward_mode(name: str) -> None:
    holds(lambda seed: is_the_slope(along, SUBJECTS[name], SUBJECTS[name].gradient, seed), 5, seed=SEEDS)


def test_a_quotient_or_a_gradient_that_is_off_is_noticed() -> None:
    subject = SUBJECTS["textbook"]

    def nearly(*args: Array) -> Array:
        made = subject.gradient(*args).copy()
        made[:, 4] = made[:, 4] * (lift(1.0) + lift(2.0**-60) if isinstance(made, BallArray) else 1.0)
        return made

    def shifted(*given: Any) -> Evaluation:
        made = along(*given)
        with ctx.workprec(320):
            return replace(made, quotient=made.quotient + 2.0**-30, product=made.product + 2.0**-30)

    def wide(*given: Any) -> Evaluation:
        made = along(*given)
        return replace(made, quotient=made.quotient + arb(0, 2.0**-30))

    def tried(evaluate_: Callable[..., Evaluation], gradient: Function) -> Callable[[int], None]:
        return lambda seed: is_the_slope(evaluate_, subject, gradient, seed)

    breaks(tried(along, nearly), "disjoint", seed=SEEDS)
    breaks(tried(shifted, subject.gradient), "not the slope", seed=SEEDS)
    breaks(tried(wide, subject.gradient), "wide", seed=SEEDS)


# --- the claims beside closed forms -----------------------------------------------------------------------------------


class Closed(NamedTuple):
    """A function of one number for NumPy, its derivative, and the function for power series."""

    function: Function
    derivative: Function
    of_series: Callable[[Any, list[float]], Any]


def polynomial(w: Array, c: Array) -> Array:
    return c[0] + w * (c[1] + w * (c[2] + w * c[3]))


CLOSED = {
    "polynomial": Closed(
        polynomial,
        lambda w, c: c[1] + 2 * c[2] * w + 3 * c[3] * w**2,
        lambda x, c: c[0] + x * (c[1] + x * (c[2] + x * c[3])),
    ),
    "exp": Closed(lambda w, c: np.exp(c[1] * w), lambda w, c: c[1] * np.exp(c[1] * w), lambda x, c: (c[1] * x).exp()),
    "sin": Closed(lambda w, c: np.sin(c[1] * w), lambda w, c: c[1] * np.cos(c[1] * w), lambda x, c: (c[1] * x).sin()),
    "tanh": Closed(
        lambda w, c: np.tanh(w),
        lambda w, c: 1 - np.tanh(w) ** 2,
        lambda x, c: ((2 * x).exp() - 1) / ((2 * x).exp() + 1),
    ),
    "chain": Closed(
        lambda w, c: np.exp(np.sin(polynomial(w, c))),
        lambda w, c: (
            np.exp(np.sin(polynomial(w, c))) * np.cos(polynomial(w, c)) * (c[1] + 2 * c[2] * w + 3 * c[3] * w**2)
        ),
        lambda x, c: (c[0] + x * (c[1] + x * (c[2] + x * c[3]))).sin().exp(),
    ),
}
POINTS = st.lists(st.floats(-4, 4, allow_subnormal=False), min_size=1, max_size=4)
COEFFICIENTS = st.lists(st.floats(-4, 4, allow_subnormal=False), min_size=4, max_size=4)


def claims_the_truth(certify_: Certify, closed: Closed, points: list[float], coefficients: list[float]) -> None:
    """What is claimed contains the derivative by power series, and is as narrow as the digits say.

    The digits are relative to the entry, or to the smallest normal float64 where that is larger.
    """
    c = np.array(coefficients)
    certificate = certify_(lambda w: np.sum(closed.function(w, c)), lambda w: closed.derivative(w, c), np.array(points))
    assert certificate.ruling is Ruling.CERTIFIED, str(certificate)
    assert certificate.digits >= GOAL, f"{certificate.digits:.1f} digits"
    with ctx.workprec(certificate.precision + 2048):
        for point, claimed in zip(points, certificate.claimed[0]._a, strict=True):
            true = closed.of_series(arb_series([arb(point), arb(1)], 2), coefficients)[1]
            assert claimed.contains(true), f"{claimed} is claimed, {true} is true"
            if math.isfinite(certificate.digits):
                allowed = max(abs(true), arb(2) ** -1022) * arb(10) ** -certificate.digits
                assert claimed.rad() <= allowed, f"{certificate.digits:.1f} digits are claimed of {claimed}"


@pytest.mark.parametrize("name", CLOSED)
def test_claims_are_derivatives_by_power_series(name: str) -> None:
    holds(
        lambda points, coefficients: claims_the_truth(certify, CLOSED[name], points, coefficients),
        10,
        points=POINTS,
        coefficients=COEFFICIENTS,
    )


def with_claims(change: Callable[[arb], arb]) -> Certify:
    def certify_(*args: Any) -> Certificate:
        made = certify(*args)
        raw = np.frompyfunc(change, 1, 1)(made.claimed[0]._a)
        return replace(made, claimed=(BallArray(raw),))

    return certify_


def with_digits(factor: float) -> Certify:
    def certify_(*args: Any) -> Certificate:
        made = certify(*args)
        return replace(made, digits=factor * made.digits)

    return certify_


@pytest.mark.parametrize(
    ("certify_", "message"),
    [
        pytest.param(with_claims(lambda b: arb(float(b.mid()))), "is true", id="claims-rounded-to-floats"),
        pytest.param(
            with_claims(lambda b: b * (1 + arb(2) ** -60)), "is true|digits are claimed", id="claims-off-by-2^-60"
        ),
        pytest.param(with_claims(lambda b: b + arb(0, 1e-9)), "digits are claimed", id="claims-too-wide"),
        pytest.param(with_digits(2), "digits are claimed", id="twice-the-digits"),
        pytest.param(with_digits(0.5), "digits$", id="half-the-digits"),
    ],
)
def test_claims_that_are_not_true_are_noticed(certify_: Certify, message: str) -> None:
    breaks(
        lambda points, coefficients: claims_the_truth(certify_, CLOSED["chain"], points, coefficients),
        f"(?m){message}",
        points=POINTS,
        coefficients=COEFFICIENTS,
    )
