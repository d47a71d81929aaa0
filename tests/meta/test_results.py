"""--results holds one record per subject and check as its schema says, whatever the outcomes and the workers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from oracles.report import save
from tests.gate.results import results_of as results_of_reports
from tests.gate.verdicts import PROPERTY
from tests.meta.test_gate import house, plant

__all__ = ["house"]  # the fixture

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests" / "gate" / "results.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
Results = dict[str, Any]


def results_of(root: Path, path: Path, *options: str) -> Results:
    """What a run of the gate of `root` leaves at `path`: strict JSON, checked against the schema."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "tests/gate"]
    done = subprocess.run(
        [*command, *options, "--results", str(path)], cwd=root, capture_output=True, text=True, check=False, timeout=300
    )
    assert path.exists(), done.stdout + done.stderr
    content: Results = json.loads(path.read_text(), parse_constant=_no_constant)
    assert list(VALIDATOR.iter_errors(content)) == []
    return content


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def without_times(results: Results) -> list[Results]:
    return [{name: value for name, value in r.items() if name != "seconds"} for r in results["records"]]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")


def test_every_kind_of_record_is_in_the_schema() -> None:
    """Of those that any file of the gate leaves or sums up."""
    files = [*sorted((ROOT / "tests" / "gate").glob("*.py")), ROOT / "oracles" / "report" / "tables.py"]
    sources = "".join(path.read_text() for path in files)
    named = set(re.findall(r'"kind": "(\w+)"|kinds\["(\w+)"\]', sources))
    kinds = {a or b for a, b in named} | {"absent"}
    assert kinds >= {"agreement", "certificate", "lockstep", "drift", "replication", "submission", "test", "speed"}
    assert kinds <= SCHEMA["$defs"].keys()
    assert {ref["$ref"] for ref in SCHEMA["properties"]["records"]["items"]["oneOf"]} == {f"#/$defs/{k}" for k in kinds}


def test_a_gate_with_failures(house: Path) -> None:
    """Every kind of record of the house's own subjects, in a run in which some of them are wrong."""
    plant(house, "    dx = du * 3\n", "    dx = du * 3.5\n", "chain_rule")
    population = house / "tests" / "gate" / "replication.py"
    population.write_text(population.read_text().replace("POPULATION = 1000", "POPULATION = 20"))
    chosen = "square_of_line or (quadratic and certified) or forward_values or test_claims or rprop-gentle"
    results = results_of(house, house / "new" / "results.json", "-n", "0", "--draws", "1", "--seed", "3", "-k", chosen)
    assert (results["run"]["draws"], results["run"]["seed"], results["conflicts"]) == (1, 3, [])
    assert results["run"]["environments"][0].startswith("numpy ")
    records = results["records"]
    assert [r["test"] for r in records] == sorted(r["test"] for r in records)
    kinds = {"agreement", "certificate", "lockstep", "drift", "absent", "replication", "test"}
    assert {r["kind"] for r in records} == kinds
    failed = {r["test"]: r["message"] for r in records if r["outcome"] == "failed" and "square" in r["test"]}
    assert len(failed) == 6
    assert all("proved wrong: 64 of 64 entries" in message for message in failed.values())
    causes = [r["cause"] for r in records if r["test"] in failed]
    assert all(cause == causes[0] for cause in causes)
    assert causes[0]["text"].startswith("chain_rule.py:41 in square_of_line_backward:  dx = du * 3.5\n")
    assert (causes[0]["file"], causes[0]["line"]) == ("manual/chain_rule.py", 41)


SUBJECTS = {
    "right.py": "S = Subject('right', loss, gradient, [('N', 3)])",
    "wrong.py": "S = [Subject('wrong', loss, lambda x: 2.5 * x, [(3,)]), Subject('fine', loss, gradient, [(3,)])]",
    "zero.py": "S = Subject('zero', lambda x: np.sum(0 * x), lambda x: 0 * x, [(3,)])",
    "rough.py": "S = Subject('rough', lambda x: np.sum(np.vectorize(math.erf)(x)),\n"
    "            lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x), [(3,)])",
    "loud.py": "print('x' * 2_000_000)\nS = Subject('loud', loss, gradient, [(3,)])",
    "raises.py": "S = Subject('raises', loss, lambda x: 1 / 0, [(3,)])",
    "missing.py": "import no_such_module",
}
HEAD = """import math

import numpy as np
from oracles import Subject


def loss(x):
    return np.sum(x * x)


def gradient(x):
    return 2 * x


"""


def test_submissions_leave_the_same_records_for_any_number_of_workers(tmp_path: Path) -> None:
    for name, text in SUBJECTS.items():
        (tmp_path / name).write_text(f"{HEAD}{text}\n")
    options = ("--draws", "3", "--subject", str(tmp_path / "*.py"))
    alone = results_of(ROOT, tmp_path / "0.json", "-n", "0", *options)
    assert results_of(ROOT, tmp_path / "2.json", "-n", "2", *options) == alone
    records = {r["subject"]: r for r in alone["records"]}
    assert len(records) == len(alone["records"]) == 8
    assert {name: (r["verdict"], r["draws"], r["outcome"]) for name, r in records.items()} == {
        "right": ("right", 3, "passed"),
        "wrong": ("wrong", 1, "failed"),
        "fine": ("right", 3, "failed"),  # the test is that of the file
        "zero": ("right", 3, "passed"),
        "rough": ("compared", 3, "passed"),
        "loud": ("right", 3, "passed"),
        "raises": ("broken", 1, "failed"),
        "missing": ("broken", 0, "failed"),
    }
    assert records["loud"]["notes"] == ["prints 2.0 MB"]
    assert records["zero"]["digits"] == 99
    assert records["rough"]["digits"] is None
    assert 30 < records["right"]["digits"] < 99
    message = records["wrong"]["message"]
    assert message.startswith("wrong is wrong at scale1-draw0:\n  inputs unchanged  ok")
    assert message == records["fine"]["message"]
    assert re.search(
        r"\n  rerun: pytest tests/gate --subject \S+wrong\.py --draws 3 --seed 0 --time-limit 60$", message
    )
    assert records["raises"]["message"].startswith(
        "raises is broken at scale1-draw0: ZeroDivisionError: division by zero, at line 15, in <lambda>: S = "
    )
    assert records["missing"]["message"].startswith("missing.py cannot be imported: ModuleNotFoundError: No module")


def test_the_gate_leaves_the_same_records_for_any_number_of_workers(tmp_path: Path) -> None:
    options = ("--draws", "2", "-k", "(quadratic and (complex_step or richardson)) or gradient_values")
    alone, shared = (
        without_times(results_of(ROOT, tmp_path / f"{workers}.json", "-n", workers, *options)) for workers in "02"
    )
    assert alone == shared
    assert len(alone) == 13
    assert all(r["detection"] < 1e-9 for r in alone if r["kind"] == "agreement")


# --- what a run hardly ever leaves ------------------------------------------------------------------------------------


def report(when: Any = "call", outcome: Any = "passed", longrepr: Any = None, *records: Any) -> pytest.TestReport:
    properties = [("other", 1), *((PROPERTY, record) for record in records)]
    return pytest.TestReport("t.py::test", ("t.py", 0, "test"), {}, outcome, longrepr, when, user_properties=properties)


def written(tmp_path: Path, *reports: pytest.TestReport) -> list[Results]:
    path = tmp_path / "results.json"
    save(results_of_reports(reports, 1, 0, "numpy"), path)
    content = json.loads(path.read_text(), parse_constant=_no_constant)
    assert list(VALIDATOR.iter_errors(content)) == []
    records: list[Results] = content["records"]
    return records


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    names = {"rule": "sgd", "configuration": "sgd", "framework": "torch_optim", "runs": 1, "epochs": 1, "seconds": 0.5}
    sizes = {"apart": float("nan"), "own": float("inf"), "theirs": 1.0, "allowed": -float("inf"), "nearest": 2.0}
    path = {"steps": [22], "path": [float("nan")]}
    (record,) = written(tmp_path, report("call", "passed", None, {"kind": "drift", **names, **sizes, **path}))
    assert record["path"] == [None]
    assert [record[name] for name in sizes] == [None, None, 1.0, None, 2.0]


def test_only_what_says_something_is_recorded(tmp_path: Path) -> None:
    """Of set-up and tear-down that is a failure; a test that was skipped says why."""
    skipped = ("t.py", 3, "Skipped: no reason")
    made = written(
        tmp_path,
        report("setup"),
        report("setup", "failed", "boom"),
        report("call", "skipped", skipped),
        report("teardown"),
        report("call", "passed", None, {"kind": "speed", "what": "one against the other", "ratios": [2.0, 3.0]}),
    )
    assert [(r["kind"], r["outcome"], r.get("message")) for r in made] == [
        ("test", "failed", "boom"),
        ("test", "skipped", "Skipped: no reason"),
        ("speed", "passed", None),
    ]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"verdict": "fine"}, id="unknown-verdict"),
        pytest.param({"digits": "42"}, id="text-for-a-number"),
        pytest.param({"extra": 1}, id="unknown-field"),
        pytest.param({"kind": "other"}, id="unknown-kind"),
        pytest.param({"message": "why?"}, id="message-of-a-passed-test"),
        pytest.param({"outcome": "failed"}, id="failed-without-a-message"),
    ],
)
def test_the_schema_refuses_what_is_no_record(change: Results) -> None:
    rest = {"verdict": "right", "evidence": "", "draws": 1, "draw": "a", "digits": 42.0, "notes": []}
    good: Results = {"kind": "submission", "test": "t", "outcome": "passed", "file": "f.py", "subject": "s", **rest}
    run = {"version": 1, "run": {"draws": 1, "seed": 0, "environments": ["numpy"]}, "conflicts": []}
    assert VALIDATOR.is_valid({**run, "records": [good]})
    assert not VALIDATOR.is_valid({**run, "records": [good | change]})
