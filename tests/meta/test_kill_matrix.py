"""Of the same wrong gradients the certificate misses none, without a false alarm; each check in use misses some."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from tests.gate.draws import SCALES
from tests.gate.verdicts import PROPERTY
from tests.meta.kill_matrix import (
    CHECKS,
    OURS,
    SIZES,
    SUBJECTS,
    Check,
    Problem,
    Subject,
    answer,
    rows,
    size_of,
    used,
)

BY_ID = {subject.id: subject for subject in SUBJECTS}
THEIRS = [check.id for check in CHECKS if check is not OURS]
each_check = pytest.mark.parametrize("check", [pytest.param(check, id=check.id) for check in CHECKS])


def right(subject: Subject) -> list[Problem]:
    """The right code at three draws of each scale."""
    return [subject.problem(seed, scale) for seed, scale in product((10, 11, 12), SCALES)]


@pytest.mark.parametrize("subject", [pytest.param(subject, id=subject.id) for subject in SUBJECTS])
def test_the_certificate_misses_none_and_each_check_in_use_some(
    subject: Subject, request: pytest.FixtureRequest
) -> None:
    wrong = subject.mutants()
    found = list(rows(subject, CHECKS, wrong, right(subject)))
    request.node.user_properties += [(PROPERTY, row) for row in found]
    assert len(wrong) == subject.count
    missed = {row["check"]: row["missed"] for row in found}
    assert missed[OURS.id] == dict.fromkeys(SIZES, 0)
    assert {row["check"]: row["alarms"] for row in found}[OURS.id] == 0
    assert [check for check in THEIRS if not missed[check]["1e-10"] or not missed[check]["1e-12"]] == []


def test_the_subset_has_every_kind_of_mistake_in_every_size() -> None:
    found = [(mutant.operator, size_of(mutant)) for subject in SUBJECTS for _, mutant in subject.mutants()]
    sizes = Counter(size for _, size in found)
    assert len(found) > 300
    assert set(sizes) == set(SIZES)
    assert min(sizes.values()) > 15
    assert len({operator for operator, _ in found}) > 15


@each_check
def test_each_check_accepts_what_is_right_and_refuses_what_is_twice_as_large(check: Check) -> None:
    problem = BY_ID["tiny_network"].point
    gradient = problem.gradient
    doubled = replace(gradient, backward=lambda cache, *args: 2 * gradient.backward(cache, *args))
    assert not answer(check, problem).refused
    assert answer(check, replace(problem, gradient=doubled)).refused


@pytest.mark.parametrize("id", ["nine_weight", "neuron", "mlp_tanh_cross_entropy"])
def test_verdicts_depend_neither_on_order_nor_on_what_ran_before(id: str) -> None:
    subject = BY_ID[id]
    wrong = subject.mutants()[::5]

    def verdicts(order: int) -> dict[tuple[str, str], bool]:
        found = {}
        for check, (function, mutant) in list(product(CHECKS, wrong))[::order]:
            with used(subject.gradient, function, mutant):
                found[check.id, mutant.id] = answer(check, subject.point).refused
        return found

    first = verdicts(1)
    assert len(set(first.values())) == 2
    assert verdicts(-1) == first


def _raise(problem: Problem) -> bool:
    raise ArithmeticError


@pytest.mark.parametrize(
    ("accepts", "missed", "alarms"),
    [
        pytest.param(lambda problem: True, 10, 0, id="never-refuses"),
        pytest.param(lambda problem: False, 0, 12, id="never-accepts"),
        pytest.param(_raise, 0, 12, id="raises"),
    ],
)
def test_what_a_check_says_is_counted(accepts: Any, missed: int, alarms: int) -> None:
    subject = BY_ID["quadratic"]
    (row,) = rows(subject, [Check("check", "none", accepts)], subject.mutants(), right(subject))
    assert sum(row["mutants"].values()) == 10
    assert (sum(row["missed"].values()), row["alarms"], row["right"]) == (missed, alarms, 12)


def test_mutants_of_the_matrix_change_the_gradient_and_not_the_loss() -> None:
    """A mistake in the engine that makes another function with its own right gradient is not a wrong gradient."""
    subject = BY_ID["nine_weight_values"]
    point = subject.point
    loss, slope = point.loss(point.theta), point.slope(point.theta)
    for function, mutant in subject.mutants():
        with used(subject.gradient, function, mutant):
            assert point.loss(point.theta) == loss, mutant.id
            assert not (point.slope(point.theta) == slope).all(), mutant.id
        assert (point.slope(point.theta) == slope).all()
