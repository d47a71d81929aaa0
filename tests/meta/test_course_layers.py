"""The course fixtures are what they claim: right layers are right, each fault is wrong exactly where it says.

This validates fixtures and is no model of a trial: it judges by float64 central differences with a step and
tolerances chosen by hand, on purpose without the certificate that the fixtures are for.
"""

import copy
import zlib
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.meta.course_faults import CONTROLS, FAULTS, MUTATIONS, SUBTLE, Fault
from tests.meta.course_layers import BY_ID, SUBJECTS, Layer, Loss, batchnorm_forward, leaves
from tests.meta.ulps import ulps

Array = Any
Function = Callable[..., Any]

DRAWS = 4
STEP = 1e-5
NOISE = 1e-8  # central differences of the fixtures are no further off, relative to the largest entry
RIGHT = 1e-6  # a right gradient deviates by less
WRONG = 1e-4  # a wrong one by more


def forward_of(subject: Layer | Loss, fault: Fault | None = None) -> Function:
    """Return the function whose derivative is on trial."""
    if isinstance(subject, Loss):
        return fault.candidate if fault else subject.function
    return fault.forward if fault and fault.forward else subject.forward


def trial(subject: Layer | Loss, number: int) -> tuple[tuple[Any, ...], Array]:
    """Return the fresh arguments of a numbered draw and a random upstream gradient, 1 for a loss."""
    rng = np.random.default_rng([zlib.crc32(subject.id.encode()), number])
    args = subject.draw(rng)
    if isinstance(subject, Loss):
        return args, np.float64(1.0)
    out, _ = subject.forward(*copy.deepcopy(args))
    return args, rng.normal(size=np.shape(out))


def hand_written(subject: Layer | Loss, number: int, fault: Fault | None = None) -> list[Array]:
    """Return the gradient leaves that a subject, or a fault in its place, gives at a draw."""
    args, dout = trial(subject, number)
    _, second = forward_of(subject, fault)(*args)
    if isinstance(subject, Loss):
        return leaves(second)
    return leaves((fault.candidate if fault else subject.backward)(dout, second))


def central_differences(function: Function, subject: Layer | Loss, number: int) -> list[Array]:
    """Return central differences of sum(out * dout), or of the loss, for every leaf of the arguments in `wrt`."""
    args, dout = trial(subject, number)

    def value() -> float:
        return float(np.sum(function(*args)[0] * dout))

    gradients = []
    for leaf in leaves([args[position] for position in subject.wrt]):
        gradient = np.zeros(leaf.shape)
        for place in np.ndindex(leaf.shape):
            kept = leaf[place].copy()
            leaf[place] = kept + STEP
            above = value()
            leaf[place] = kept - STEP
            gradient[place] = (above - value()) / (2 * STEP)
            leaf[place] = kept
        gradients.append(gradient)
    return gradients


@cache
def truth(subject_id: str, number: int) -> tuple[Array, ...]:
    """Return the central differences of a subject's own forward, once per session."""
    subject = BY_ID[subject_id]
    return tuple(central_differences(forward_of(subject), subject, number))


def deviation(claimed: Array, true: Array) -> float:
    """Return the largest deviation relative to the largest true entry; infinite for a wrong shape."""
    if np.shape(claimed) != np.shape(true):
        return float("inf")
    return float(np.max(np.abs(claimed - true)) / np.max(np.abs(true)))


def deviations(subject: Layer | Loss, number: int, fault: Fault | None = None) -> list[float]:
    """Return the deviation of each gradient leaf from central differences."""
    pairs = zip(hand_written(subject, number, fault), truth(subject.id, number), strict=True)
    return [deviation(claimed, true) for claimed, true in pairs]


def same(one: Any, other: Any) -> bool:
    """Say whether two nested structures hold equal leaves, but for the running statistics of batch norm."""
    pairs = zip(leaves(without_statistics(one)), leaves(without_statistics(other)), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def without_statistics(tree: Any) -> Any:
    """Return the structure with running means and variances dropped from its dicts."""
    if isinstance(tree, dict):
        return {key: value for key, value in tree.items() if not key.startswith("running_")}
    if isinstance(tree, tuple | list):
        return [without_statistics(item) for item in tree]
    return tree


def rows(faults: list[Fault]) -> list[Any]:
    """Return one pytest parameter per fault."""
    return [pytest.param(fault, id=fault.id) for fault in faults]


ALL_SUBJECTS = [pytest.param(subject, id=subject.id) for subject in SUBJECTS]


@pytest.mark.parametrize("number", range(DRAWS))
@pytest.mark.parametrize("subject", ALL_SUBJECTS)
def test_right_gradients_agree(subject: Layer | Loss, number: int) -> None:
    found = deviations(subject, number)
    assert max(found) < RIGHT, found
    assert max(found) < NOISE, f"the differences themselves are too noisy for SUBTLE: {found}"


@pytest.mark.parametrize("fault", rows(FAULTS))
def test_faults_are_wrong_exactly_where_they_say(fault: Fault) -> None:
    exposed = []
    for number in range(DRAWS):
        found = deviations(BY_ID[fault.layer_id], number, fault)
        wrong = tuple(leaf for leaf, far in enumerate(found) if far > WRONG)
        assert all(far > WRONG or far < RIGHT for far in found), f"neither right nor wrong: {found}"
        assert wrong in ((fault.wrong, ()) if fault.when else (fault.wrong,)), (number, found)
        exposed.append(wrong == fault.wrong)
    assert any(exposed), f"no draw shows {fault.when}"
    assert not (fault.when and all(exposed)), f"every draw shows it, so `when` = {fault.when!r} says too much"


@pytest.mark.parametrize("number", range(DRAWS))
@pytest.mark.parametrize("fault", rows(SUBTLE))
def test_subtle_faults_are_wrong_below_the_usual_tolerance(fault: Fault, number: int) -> None:
    subject = BY_ID[fault.layer_id]
    own = central_differences(forward_of(subject, fault), subject, number)
    found = [deviation(a, b) for a, b in zip(hand_written(subject, number, fault), own, strict=True)]
    for leaf, far in enumerate(found):
        if leaf in fault.wrong:
            assert 10 * NOISE < far < 1e-3, (leaf, far)
        else:
            assert far < NOISE, (leaf, far)


@pytest.mark.parametrize("number", range(DRAWS))
@pytest.mark.parametrize("control", rows(CONTROLS))
def test_controls_agree(control: Fault, number: int) -> None:
    found = deviations(BY_ID[control.layer_id], number, control)
    assert control.wrong == ()
    assert max(found) < NOISE, found


@pytest.mark.parametrize("fault", rows([*FAULTS, *MUTATIONS, *CONTROLS]))
def test_a_fault_leaves_the_value_alone(fault: Fault) -> None:
    subject = BY_ID[fault.layer_id]
    value, _ = forward_of(subject, fault)(*trial(subject, 0)[0])
    expected, _ = forward_of(subject)(*trial(subject, 0)[0])
    # A loss is a sum of some dozens of terms of size 1, each rounded on either side; all else is done alike.
    np.testing.assert_allclose(value, expected, rtol=ulps(64), atol=ulps(32))


def changed(subject: Layer | Loss, fault: Fault | None = None) -> set[str]:
    """Return what a forward and a backward change of what they are given."""
    args, dout = trial(subject, 0)
    args_before, dout_before = copy.deepcopy((args, dout))
    _, second = forward_of(subject, fault)(*args)
    found = set()
    if isinstance(subject, Layer):
        cache_before = copy.deepcopy(second)
        (fault.candidate if fault else subject.backward)(dout, second)
        found |= {"cache"} if not same(second, cache_before) else set()
        found |= {"dout"} if not same(dout, dout_before) else set()
    return found | ({"argument"} if not same(args, args_before) else set())


@pytest.mark.parametrize("subject", ALL_SUBJECTS)
def test_right_layers_change_nothing(subject: Layer | Loss) -> None:
    assert changed(subject) == set()


@pytest.mark.parametrize("fault", rows([*FAULTS, *SUBTLE, *CONTROLS]))
def test_other_faults_change_nothing(fault: Fault) -> None:
    assert changed(BY_ID[fault.layer_id], fault) == set()


@pytest.mark.parametrize("fault", rows(MUTATIONS))
def test_mutations_are_right_and_change_what_they_say(fault: Fault) -> None:
    subject = BY_ID[fault.layer_id]
    assert changed(subject, fault) == {fault.kind}
    assert fault.wrong == ()
    assert max(deviations(subject, 0, fault)) < NOISE


@pytest.mark.parametrize("subject", ALL_SUBJECTS)
def test_draws_are_fresh_and_repeat(subject: Layer | Loss) -> None:
    draws = [trial(subject, number)[0] for number in (0, 0, 1)]
    assert same(draws[0], draws[1])
    assert not same(draws[0], draws[2])
    for position in subject.wrt:
        for leaf in leaves(draws[0][position]):
            assert leaf.dtype == np.float64
    arrays = [[leaf for leaf in leaves(list(args)) if isinstance(leaf, np.ndarray)] for args in draws]
    assert not any(np.shares_memory(a, b) for one, other in pairwise(arrays) for a in one for b in other)


def test_every_subject_has_a_fault_and_ids_are_unique() -> None:
    every = [*FAULTS, *SUBTLE, *MUTATIONS, *CONTROLS]
    assert len(BY_ID) == len(SUBJECTS)
    assert len({fault.id for fault in every}) == len(every)
    assert {fault.layer_id for fault in FAULTS} == set(BY_ID)
    assert all(fault.wrong for fault in [*FAULTS, *SUBTLE])


def test_batchnorm_running_statistics() -> None:
    x, gamma, beta, bn_param = trial(BY_ID["batchnorm-staged"], 0)[0]
    batchnorm_forward(x, gamma, beta, bn_param)
    np.testing.assert_array_equal(bn_param["running_mean"], (1 - 0.9) * x.mean(axis=0))
    np.testing.assert_array_equal(bn_param["running_var"], (1 - 0.9) * x.var(axis=0))
    bn_param["mode"] = "test"
    before = copy.deepcopy(bn_param)
    batchnorm_forward(x, gamma, beta, bn_param)
    assert same([*bn_param.values()], [*before.values()])


def test_batchnorm_rejects_an_unknown_mode() -> None:
    x, gamma, beta, bn_param = trial(BY_ID["batchnorm-staged"], 0)[0]
    with pytest.raises(ValueError, match=r"bn_param\['mode'\] must be 'train' or 'test', got 'eval'"):
        batchnorm_forward(x, gamma, beta, {**bn_param, "mode": "eval"})
