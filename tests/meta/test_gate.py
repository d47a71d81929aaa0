"""The gate turns red for an error in any line of the subject, says where, and reports the same however it is run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONE = "jax and gradient and nine_weight-"
"""The rows of one subject and one framework."""
PARTS = ("reference", "manual", "oracles", "tests/gate", "conftest.py", "pyproject.toml")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the repository that a test may damage."""
    copy_house(tmp_path)
    return tmp_path


def copy_house(folder: Path) -> None:
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)


def gate(house: Path, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gate", *options]
    done = subprocess.run(command, cwd=house, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout + done.stderr


def plant(house: Path, line: str, becomes: str, module: str = "nine_weight") -> None:
    path = house / "manual" / f"{module}.py"
    source = path.read_text()
    assert source.count(line) == 1, f"{line!r} is there {source.count(line)} times"
    path.write_text(source.replace(line, becomes))


@pytest.mark.parametrize(
    ("line", "becomes", "entry"),
    [
        pytest.param("z = w1 * x1 + w2 * x2", "z = w1 * x1 - w2 * x2", "w1", id="forward-sign"),
        pytest.param("dw3 = dw8 * b * (np.cos(angle) * x3)", "dw3 = dw8 * b * x3", "w3", id="lost-factor"),
        pytest.param("dw7 = dprediction * (1 - t * t)", "dw7 = dprediction * (1 - t)", "w7", id="wrong-derivative"),
        pytest.param("dw5 = dw8 * sine * x5", "dw5 = dw8 * sine * x4", "w5", id="wrong-feature"),
        pytest.param("dw9 = dprediction * s", "dw9 = dprediction * s * (1 + 1e-9)", "w9", id="off-by-1e-9"),
    ],
)
def test_a_planted_error_turns_the_gate_red(house: Path, line: str, becomes: str, entry: str) -> None:
    plant(house, line, becomes)
    code, output = gate(house, "-n", "0", "-p", "no:randomly", "--draws", "2", "-k", "nine_weight-")
    assert code == 1
    assert re.search(r"nine_weight disagrees with torch_autograd( forward)? in \d+ of \d+ entries", output)
    assert re.search(r"first: sample \d+, (w\d, )?scale0\.01-draw0: nine_weight \S+, torch_autograd \S+", output)
    assert re.search(r"rerun: pytest '?tests/gate/test_\w+\.py::\S+ --draws 2 --seed 0", output)
    if "forward" not in line and line.startswith("dw"):
        assert re.search(rf"proved wrong: .*w\[{int(entry[1:]) - 1}\]", output)


def test_an_inaccurate_stable_form_breaks_its_promise(house: Path) -> None:
    plant(house, "dw7 = dprediction * sech * sech", "dw7 = dprediction * (1 - np.tanh(U) ** 2)", "nine_weight_stable")
    only = "nine_weight_stable and certified"
    code, output = gate(house, "-n", "0", "-p", "no:randomly", "--draws", "8", "-k", only)
    assert code == 1
    assert "nine_weight_stable promises 11 correct digits in float64 and keeps" in output


def summary(output: str) -> list[str]:
    """The closing tables without their times."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if " agreement (" in line)
    end = next(i for i, line in enumerate(lines) if re.search(r"\d+ passed", line))
    return [re.sub(r"\s+\d+\.\d\d$", "", line) for line in lines[start:end]]


def test_the_summary_does_not_depend_on_workers_or_order(house: Path) -> None:
    # One subject and one setting report like all others; three runs of everything would take most of the suite's time.
    some = "(nine_weight or neuron or adam-epsilon) and not nine_weight_values and not free_running and not replication"
    runs = [
        gate(house, *options, "--draws", "2", "-k", some)
        for options in (("-n", "0", "-p", "no:randomly"), ("-n", "2", "--dist", "worksteal"))
    ]
    assert [code for code, _ in runs] == [0, 0], "\n".join(output for _, output in runs)
    in_order, spread = (summary(output) for _, output in runs)
    assert len(in_order) > 20
    assert spread == in_order


def test_draws_and_seed_move_the_trial(house: Path) -> None:
    _, first = gate(house, "-n", "0", "--draws", "4", "-k", ONE)
    _, moved = gate(house, "-n", "0", "--draws", "4", "--seed", "1", "-k", ONE)
    assert summary(first) != summary(moved)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        pytest.param(("--draws", "0"), "--draws: expected a whole number of at least 1, got '0'", id="no-draws"),
        pytest.param(("--draws", "many"), "--draws: expected a whole number of at least 1, got 'many'", id="words"),
        pytest.param(("--seed", "-1"), "--seed: expected a whole number of at least 0, got '-1'", id="negative-seed"),
    ],
)
def test_unknown_option_values_are_refused(house: Path, options: tuple[str, ...], complaint: str) -> None:
    code, output = gate(house, *options)
    assert code == 4
    assert complaint in output


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_missing_framework_is_a_failure_that_says_what_to_install(house: Path, name: str) -> None:
    (house / f"{name}.py").write_text(f"raise ImportError(\"No module named '{name}'\")\n")
    code, output = gate(house, "-n", "0", "--draws", "1", "-k", f"{name} and gradient")
    assert code == 1
    assert f"pip install 'backproof[{name}]'" in output
