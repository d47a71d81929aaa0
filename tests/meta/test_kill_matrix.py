"""Of the same wrong gradients backproof misses none, without a false alarm; each check in use misses some."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from conftest import SUBJECTS
from oracles.report.mutant_tables import SIZES, Row, kill_cells, totals
from tests.gate.draws import SCALES
from tests.gate.summary import tables
from tests.gate.verdicts import PROPERTY
from tests.meta.kill_matrix import CASES, CHECKS, OURS, Case, Check, Problem, answer, rows, size_of, table

README = (Path(__file__).parents[2] / "README.md").read_text()
BY_ID = {case.id: case for case in CASES}
THEIRS = [check for check in CHECKS if check is not OURS]
each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
each_check = pytest.mark.parametrize("check", [pytest.param(check, id=check.id.replace(" ", "-")) for check in CHECKS])


def right(case: Case) -> list[Problem]:
    """The right code at three draws of each scale."""
    return [case.problem(seed, scale) for seed, scale in product((10, 11, 12), SCALES)]


@each_case
def test_backproof_misses_none_and_each_check_in_use_what_its_tolerance_forgives(
    case: Case, request: pytest.FixtureRequest
) -> None:
    found = {row["check"]: row for row in rows(case, CHECKS, right(case))}
    request.node.user_properties += [(PROPERTY, row) for row in found.values()]
    assert sum(found[OURS.id]["mutants"].values()) == case.count
    assert found[OURS.id]["missed"] == dict.fromkeys(SIZES, 0)
    assert found[OURS.id]["alarms"] == 0
    for check in THEIRS:
        missed, mutants = (
            {size: found[check.id][name][size] for size in check.forgives} for name in ("missed", "mutants")
        )
        assert missed == mutants, check.id
        assert sum(mutants.values()) > 0


@pytest.mark.parametrize("id", ["nine_weight", "nine_weight_values", "neuron"])
def test_the_mutants_change_the_gradient_or_its_arguments_and_not_the_loss(id: str) -> None:
    """A mistake in the engine that makes another function with its own right gradient is not a wrong gradient."""
    case = BY_ID[id]
    point, theta = case.point, case.point.theta
    loss, slope = point.loss(theta), point.slope(theta)
    for function, mutant in case.mutants():
        with case.used(function, mutant):
            changed, moved = case.point, theta.copy()
            assert changed.loss(moved) == loss, mutant.id
            same = (changed.slope(moved) == slope).all() and (moved == theta).all()
            assert not same or any((a != b).any() for a, b in zip(changed.args, point.args, strict=True)), mutant.id
        assert (point.slope(theta) == slope).all(), "the original is not back"


def test_they_are_of_every_row_of_the_registry_and_of_every_size() -> None:
    assert [case.id for case in CASES] == [subject.id for subject in SUBJECTS]
    found = [(mutant.operator, size_of(mutant)) for case in CASES for _, mutant in case.mutants()]
    sizes = Counter(size for _, size in found)
    assert len(found) > 300
    assert set(sizes) == set(SIZES)
    assert min(sizes.values()) > 15
    assert len({operator for operator, _ in found}) > 15


@each_check
def test_each_check_accepts_what_is_right_and_refuses_what_is_twice_as_large(check: Check) -> None:
    problem = BY_ID["tiny_network"].point
    gradient = problem.subject.gradient
    doubled = replace(problem, subject=replace(problem.subject, gradient=lambda *args: 2 * gradient(*args)))
    assert not answer(check, problem).refused
    assert answer(check, doubled).refused


def test_verdicts_depend_neither_on_order_nor_on_what_ran_before() -> None:
    case = BY_ID["neuron"]
    wrong = case.mutants()[::5]

    def verdicts(order: int) -> dict[tuple[str, str], bool]:
        found = {}
        for check, pair in list(product(CHECKS, wrong))[::order]:
            with case.used(*pair):
                found[check.id, pair[1].id] = answer(check, case.point).refused
        return found

    first = verdicts(1)
    assert len(set(first.values())) == 2
    assert verdicts(-1) == first


def _raise(problem: Problem) -> bool:
    raise ArithmeticError


BLIND, DEAF, BROKEN = (
    Check("blind", "none", lambda problem: True),
    Check("never content", "none", lambda problem: False),
    Check("broken", "none", _raise),
)


def test_what_a_check_says_is_counted() -> None:
    case = BY_ID["quadratic"]
    found = {row["check"]: row for row in rows(case, [BLIND, DEAF, BROKEN], right(case))}
    counts = {id: (sum(row["missed"].values()), row["alarms"], row["right"]) for id, row in found.items()}
    assert counts == {"blind": (10, 0, 12), "never content": (0, 12, 12), "broken": (0, 12, 12)}


# --- the table ------------------------------------------------------------------------------------------------------


def row(check: str, missed: int, alarms: int, seconds: float) -> Row:
    mutants = dict.fromkeys(SIZES, 0) | {"gross": 3, "1e-8": 2}
    counts = {"mutants": mutants, "missed": dict.fromkeys(SIZES, 0) | {"1e-8": missed}}
    return {
        "kind": "kill",
        "check": check,
        "settings": "eps",
        **counts,
        "right": 4,
        "alarms": alarms,
        "seconds": seconds,
    }


def test_the_table_is_the_sum_over_subjects() -> None:
    given = [row("theirs", 2, 1, 0.002), row("ours", 0, 0, 0.006), row("theirs", 1, 0, 0.006), row("ours", 0, 0, 0.002)]
    assert table(given) == [
        "check   default settings  refused  missed  gross  float32  1e-4  1e-6  1e-8  1e-10  1e-12  false alarms  ms",
        "theirs  eps               7        3       0/6    0/0      0/0   0/0   3/4   0/0    0/0    1/8           1.0",
        "ours    eps               10       0       0/6    0/0      0/0   0/0   0/4   0/0    0/0    0/8           1.0",
    ]
    assert json.loads(json.dumps(totals(given))) == totals(given)


def test_the_readme_shows_the_table_of_these_checks() -> None:
    """Its figures are of one run; every run prints its own."""
    (shown,) = re.findall(r"```text\n(check  .*?)\n```", README, flags=re.DOTALL)
    header, *lines = [re.split(r"\s{2,}", line) for line in shown.splitlines()]
    assert [header] == kill_cells([])
    assert [line[:2] for line in lines] == [[check.id, check.settings] for check in CHECKS]
    assert [line[3] for line in lines if line[0] == OURS.id] == ["0"]


def test_each_kind_of_record_has_its_table() -> None:
    mutants = [
        {"kind": "mutants", "of": "derivatives", "verdicts": {"crash": 2, "equivalent": 1}},
        {"kind": "mutants", "of": "update rules", "verdicts": {"crash": 1, "lockstep": 4, "survived": 1}},
    ]
    (_, cells), (_, matrix) = tables([*mutants, row("ours", 0, 0, 0.1)], 120)
    assert cells == [
        ["mutants of", "subjects", "mutants", "refused", "by crash", "by lockstep", "equivalent", "survived"],
        ["derivatives", "1", "3", "2", "2", "0", "1", "0"],
        ["update rules", "1", "6", "5", "1", "4", "0", "1"],
        ["all", "2", "9", "7", "3", "4", "1", "1"],
    ]
    assert matrix[1][:4] == ["ours", "eps", "5", "0"]
    assert list(tables([], 120)) == []
