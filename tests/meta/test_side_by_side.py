"""A benchmark compares the same results, in turns, and says so when they are not the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SUBJECTS
from tests.bench import checks, gradients, training
from tests.bench.conftest import of_gate, ratios
from tests.bench.side_by_side import Absent, Comparison, Competitor, comparison, measured
from tests.gate.configurations import CONFIGURATIONS
from tests.meta.kill_matrix import OURS, Problem

ROOT = Path(__file__).parents[2]


def test_competitors_take_turns() -> None:
    order: list[str] = []

    def taking(name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            time.sleep(seconds)

        return run

    this = Comparison(
        lambda: {"a": Competitor(taking("a", 0.002)), "b": Competitor(taking("b", 0.02), "slow")}, lambda results: None
    )
    found = measured(this)
    turns = ["".join(turn) for _, turn in groupby(order)]
    assert turns[:4] == ["a", "b", "a", "b"]  # the results, and how often each has to run for a turn
    assert set(turns[5::2]) == {"b"}
    assert len(set(turns[4::2])) == 1
    assert turns[4] in {"a" * count for count in range(2, 6)}
    assert len(found["seconds"]["a"]) == len(found["seconds"]["b"]) == len(turns[5::2]) >= 5
    assert all(0.002 <= each < 0.02 <= other for each, other in zip(*found["seconds"].values(), strict=True))
    assert found["notes"] == {"b": "slow"}


def test_what_is_absent_is_told_with_its_reason() -> None:
    this = Comparison(lambda: {"a": Competitor(int), "b": Absent("no compiler")}, lambda results: None)
    found = measured(this)
    assert found["absent"] == {"b": "no compiler"}
    assert list(found["seconds"]) == ["a"]


def test_another_gradient_is_no_competitor() -> None:
    right = np.random.default_rng(0).normal(size=(5, 9))
    gradients.agree({"manual": right, "torch": right * (1 + 1e-15)})
    with pytest.raises(AssertionError, match="torch differs from the manual gradient by"):
        gradients.agree({"manual": right, "torch": right * (1 + 1e-9)})


def test_another_training_run_is_no_competitor() -> None:
    losses = np.array([[0.5, 0.25, 0.75], [0.25, 0.125, 0.5]])
    one_astray = losses.copy()
    one_astray[:, 1] *= 1.001
    training.agree({"manual": losses, "torch.optim": losses, "optax, lax.scan": one_astray})
    with pytest.raises(AssertionError, match=r"torch\.optim trains to other losses, by 1\.0e-03"):
        training.agree({"manual": losses, "torch.optim": losses * 1.001})


def test_every_rule_is_trained_against_as_many_as_have_it() -> None:
    names = {name.split("-")[1] for name in training.COMPARISONS}
    assert names == {c.rule for c in CONFIGURATIONS}
    alone = {c.rule for c in training._one_of_each() if c.frameworks == ("torch_optim",)}
    assert alone == {c.rule for c in CONFIGURATIONS} - {c.rule for c in CONFIGURATIONS if len(c.frameworks) > 1}


def test_a_planted_error_is_in_one_entry() -> None:
    (subject,) = (s for s in SUBJECTS if s.id == "quadratic")
    args = subject.drawn(np.random.default_rng(0), 1.0)
    right, wrong = subject.gradient(*args), checks.Planted(subject, 0, 2.0**-20)(*args)
    assert np.flatnonzero(wrong != right).tolist() == [0]
    assert wrong.ravel()[0] == right.ravel()[0] * (1 + 2.0**-20)


def test_the_smallest_error_that_a_check_sees() -> None:
    (subject,) = (s for s in SUBJECTS if s.id == "quadratic")
    problem = Problem(subject, subject.drawn(np.random.default_rng(0), 1.0))
    assert checks.seen(OURS, problem) == "sees an entry off by 1e-30"
    blind = OURS._replace(accepts=lambda problem: True)
    assert checks.seen(blind, problem) == "sees no error of an entry, even of all of it"
    nervous = OURS._replace(accepts=lambda problem: False)
    assert checks.seen(nervous, problem) == "a false alarm: it refuses the right gradient"


@pytest.mark.parametrize("name", ["gradient-2", "nothing", "check-mlp"])
def test_unknown_comparisons_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"name: expected one of .*, got '{name}'"):
        comparison(name)


def test_a_comparison_runs_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.bench", "gradient-1", "--threads", "1"]
    environment = {**os.environ, "BACKPROOF_BENCH_SECONDS": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert next(iter(found["seconds"])) == "manual"
    assert {"torch, batched", "jax.jit(vmap(grad))"} < found["seconds"].keys()


def test_ratios_are_of_turns() -> None:
    """Of each round on its own, so that what slows a whole round down is in both."""
    infos = [
        {
            "comparison": "gradient-1",
            "threads": 1,
            "seconds": {"manual": [1.0, 10.0, 1.0, 1.0], "torch": [2.0, 20.0, 2.0, 4.0]},
            "notes": {"torch": "eager"},
            "absent": {"jax": "not installed"},
        }
    ]
    _, torch, jax = (line.split("  ") for line in ratios(infos))
    assert [cell.strip() for cell in torch if cell] == [
        "gradient-1",
        "1",
        "manual",
        "1",
        "torch",
        "2.00",
        "2 to 2",
        "eager",
    ]
    assert [cell.strip() for cell in jax if cell] == ["jax", "absent", "not installed"]
    assert list(ratios([])) == []


def test_suites_of_the_gate_stand_beside_each_other() -> None:
    runs = [{"gate": n, "wall": 10.0 / n, "suites": {"agreement": 4.0, "certificate": 6.0}} for n in (2, 1)]
    assert list(of_gate(runs)) == [
        "suite        -n 1  -n 2",
        "wall clock   10.0  5.0",
        "certificate  6.0   6.0",
        "agreement    4.0   4.0",
    ]
