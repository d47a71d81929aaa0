"""The report of any results says what they say: merged in any order, safe against any text, complete in one file."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from oracles.report import Results, github, load, merged, save, write_report
from oracles.report.__main__ import main
from oracles.report.figures_of_graphs import layout
from oracles.report.mutant_tables import SIZES
from oracles.report.page import Table, page
from oracles.report.plotting import SERIES, svg
from oracles.report.tables import tables
from oracles.report.verdicts import Cell, failures, matrices, outcomes

ROOT = Path(__file__).parents[2]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "tests" / "gate" / "results.schema.json").read_text()))
Record = dict[str, Any]


def case(group: str, on_trial: str, suite: str, test: str = "", outcome: str = "passed", **more: Any) -> Record:
    name = test or f"tests/gate/test_{group}.py::test[{on_trial}-{suite}]"
    return {"test": name, "outcome": outcome, "group": group, "on_trial": on_trial, "suite": suite, **more}


CAUSE = {"text": "nine.py:7 in backward:  dw = x\nit lacks a factor of 2", "file": "manual/nine.py", "line": 7}
EVIL = "<script>alert('x')</script> & 100%\n  rerun: pytest 'tests/a.py::t[<b>]' --draws 1 --seed 0"
NONE = dict.fromkeys(SIZES, 0)
RECORDS: tuple[Record, ...] = (
    {
        **case("gradients", "nine", "torch_autograd"),
        "kind": "agreement",
        "subject": "nine",
        "oracle": "torch_autograd",
        "points": 9,
        "digits": 14.5,
        "where": "w1, d0",
        "unstable": 0,
        "inaccurate": 0,
        "detection": 1e-14,
        "seconds": 0.25,
    },
    {
        **case("gradients", "zero", "certificate"),
        "kind": "certificate",
        "subject": "zero",
        "family": "zero",
        "points": 9,
        "digits": math.inf,
        "where": "d0",
        "precision": 320,
        "seconds": 0.5,
        "weights": ["all"],
        "accuracy": {"zero": [{"159": 9}]},
    },
    {**case("gradients", "nine", "certificate", outcome="failed", message=EVIL, cause=CAUSE), "kind": "test"},
    {**case("gradients", "nine", "jax_grad", outcome="failed", message="nine disagrees", cause=CAUSE), "kind": "test"},
    {
        **case("optimizers", "sgd", "free-running"),
        "kind": "drift",
        "rule": "sgd",
        "configuration": "sgd",
        "framework": "torch_optim",
        "runs": 64,
        "epochs": 1,
        "apart": 1e-15,
        "own": 1e-15,
        "theirs": 1e-15,
        "allowed": 1e-12,
        "nearest": 0.1,
        "seconds": 1.0,
        "steps": [22, 44],
        "path": [1e-16, 1e-15],
    },
    {
        **case("kill", "nine", "all"),
        "kind": "kill",
        "subject": "nine",
        "check": "allclose",
        "settings": "rtol 1e-5",
        "seconds": 0.1,
        "mutants": {**NONE, "gross": 5, "1e-10": 4},
        "missed": {**NONE, "1e-10": 4},
        "right": 3,
        "alarms": 1,
    },
    *(
        {
            **case("submissions", "hw.py", "submission", "t[hw.py]", "failed", message="bad is wrong", cause=CAUSE),
            "kind": "submission",
            "file": "hw.py",
            "subject": name,
            "verdict": verdict,
            "evidence": name,
            "draws": 1,
            "draw": "d0",
            "digits": None,
            "notes": [],
        }
        for name, verdict in (("bad", "wrong"), ("good", "right"))
    ),
)
WHOLE = merged([Results(8, 0, ("numpy 2.4",), RECORDS)])


def changed(**more: Any) -> Results:
    """The first record otherwise, on another machine."""
    first = {**RECORDS[0], **more}
    return replace(WHOLE, environments=("numpy 2.5",), records=(first,))


# --- merging ----------------------------------------------------------------------------------------------------------


def test_the_records_are_such_as_the_gate_writes(tmp_path: Path) -> None:
    save(WHOLE, tmp_path / "new" / "results.json")
    assert list(SCHEMA.iter_errors(json.loads((tmp_path / "new" / "results.json").read_text()))) == []
    assert load(tmp_path / "new" / "results.json") == WHOLE


@pytest.mark.parametrize("part", [slice(0, 3), slice(0, None, 2), slice(0, 0)])
def test_two_halves_are_the_whole_in_any_order(part: slice) -> None:
    """Of tests: the records of one test stay together, as a run leaves them."""
    tests = sorted({r["test"] for r in RECORDS})
    halves = [
        replace(WHOLE, records=tuple(r for r in RECORDS if (r["test"] in tests[part]) == first))
        for first in (True, False)
    ]
    assert merged(halves) == merged(halves[::-1]) == WHOLE
    assert page(merged(halves)) == page(WHOLE)


def test_the_worst_outcome_counts_and_the_conflict_is_told() -> None:
    other = changed(outcome="failed", message="off", kind="test")
    both = merged([WHOLE, other])
    assert both == merged([other, WHOLE]) == merged([both, other, both])
    assert outcomes(both.records) == {"passed": 3, "failed": 4, "skipped": 0}
    test = RECORDS[0]["test"]
    assert both.conflicts == (f"{test}: failed with numpy 2.5; passed with numpy 2.4",)
    assert both.environments == ("numpy 2.4", "numpy 2.5")
    assert "Machines that disagree" in page(both)
    assert test in github.summary(both).replace("\\", "")


def test_other_numbers_are_told_and_other_times_are_not() -> None:
    (conflict,) = merged([WHOLE, changed(digits=13.0)]).conflicts
    assert conflict == f"{RECORDS[0]['test']}: passed with other numbers"
    assert merged([WHOLE, changed(seconds=99.0)]).conflicts == ()


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected results of one seed, got the seeds 0, 1; report each alone"):
        merged([WHOLE, replace(WHOLE, seed=1)])
    with pytest.raises(ValueError, match=r"expected at least one results.json, got none"):
        merged([])
    assert merged([WHOLE, replace(WHOLE, draws=64)]).draws == 64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("{", "Expecting property name", id="no-json"),
        pytest.param('{"version": 7}', "expected version 1, got 7; run the gate again", id="version"),
        pytest.param('{"version": 1}', "it has no 'run'", id="no-run"),
        pytest.param("[]", "list indices must be", id="a-list"),
    ],
)
def test_a_file_that_holds_no_results_is_named(text: str, complaint: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"r\.json: expected results of the gate.*{re.escape(complaint)}"):
        load(path)
    assert main([str(path), "-o", str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err


def test_the_command_line_renders_and_merges(tmp_path: Path, capsys: Any) -> None:
    for name, part in (("a", RECORDS[:3]), ("b", RECORDS[3:])):
        save(replace(WHOLE, records=part), tmp_path / f"{name}.json")
    assert main([str(tmp_path / "a.json"), str(tmp_path / "b.json"), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "index.html")
    assert (tmp_path / "out" / "index.html").read_text() == page(WHOLE)
    assert load(tmp_path / "out" / "results.json") == WHOLE
    assert main([str(tmp_path / "missing.json"), "-o", str(tmp_path)]) == 2
    assert "missing.json" in capsys.readouterr().err


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "oracles.report.page")
    with pytest.raises(ImportError, match=r"the report needs jinja2: pip install 'backproof\[report\]'"):
        write_report([WHOLE], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_neither_library_is_imported_before_a_page_is_asked_for() -> None:
    code = "import sys, oracles.report; print([m for m in ('jinja2', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_failures_are_gathered_by_what_is_to_be_mended() -> None:
    bad, nine = failures(WHOLE)
    assert (bad.on_trial, bad.message) == ("bad", "bad is wrong at d0:\nbad")
    assert (nine.on_trial, nine.place, nine.diagnosis) == ("nine", "manual/nine.py:7", CAUSE["text"])
    assert [o.test[-17:] for o in nine.occurrences] == ["nine-certificate]", "st[nine-jax_grad]"]
    assert nine.message == "<script>alert('x')</script> & 100%"
    assert nine.rerun == "pytest 'tests/a.py::t[<b>]' --draws 1 --seed 0"
    assert bad.rerun == "pytest 't[hw.py]' --draws 8 --seed 0"


def test_the_matrix_counts_tests() -> None:
    by_group = {m.group: m for m in matrices(WHOLE)}
    assert list(by_group) == ["submissions", "gradients", "optimizers", "kill"]
    gradients = by_group["gradients"]
    assert gradients.suites == ["certificate", "torch_autograd", "jax_grad"]
    nine, zero = gradients.rows
    failed = Cell(failed=1, failure=failures(WHOLE)[1].id)
    assert nine == ("nine", [failed, Cell(passed=1), failed])
    assert zero == ("zero", [Cell(passed=1), None, None])
    assert [row for row, _ in by_group["submissions"].rows] == ["bad", "good"]
    assert [cells[0].verdict for _, cells in by_group["submissions"].rows if cells[0]] == ["failed", "passed"]


def test_a_cause_that_several_fail_by_is_one_failure() -> None:
    followed = case("optimizers", "sgd", "free-running", outcome="failed", message="sgd drifts", cause=CAUSE)
    both = merged([WHOLE, replace(WHOLE, records=({**followed, "kind": "test"},))])
    assert [f.on_trial for f in failures(both)] == ["bad", "nine"]
    assert len(failures(both)[1].occurrences) == 3
    (optimizers,) = (m for m in matrices(both) if m.group == "optimizers")
    assert optimizers.rows == [("sgd", [Cell(failed=1, failure=failures(both)[1].id)])]


def test_of_a_traceback_only_what_it_says_is_shown() -> None:
    message = (
        "x = <object at 0x7f00>\n\n    def test_x():\n>       assert x, f'keeps 0'\n"
        "E       AssertionError: it keeps 0.00\nE           rerun: pytest a --draws 1\nE       assert 0.0 >= 11\n"
        "E        +  where 0.0 = <object at 0x7f00>\n\na.py:3: AssertionError"
    )
    record = {**case("gradients", "nine", "certificate", outcome="failed", message=message), "kind": "test"}
    (failure,) = failures(replace(WHOLE, records=(record,)))
    assert (failure.message, failure.rerun) == ("it keeps 0.00", "pytest a --draws 1")


def test_a_stable_form_alone_has_its_digits_in_a_table() -> None:
    """Where the form that speaks for its family has failed and left no record."""
    certificate = {**RECORDS[1], "subject": "stable", "family": "nine", "accuracy": {"stable": [{"120": 1, "150": 9}]}}
    found = dict(tables([certificate], 100))
    assert found["correct digits in float64, worst / median over samples and draws, all weights"] == [
        ["subject", "by hand"],
        ["stable", "12.0 / 15.0"],
    ]


def test_the_kill_matrix_is_a_table() -> None:
    ((title, (header, row)),) = tables([r for r in RECORDS if r["kind"] == "kill"], 100)
    assert title.startswith("the same mutants through the checks in use")
    found = dict(zip(header, row, strict=True))
    assert (found["check"], found["missed"], found["gross"], found["1e-10"]) == ("allclose", "4", "0/5", "4/4")
    assert found["false alarms"] == "1/3"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_one_file_and_any_text_is_text() -> None:
    html = page(WHOLE)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    links = set(re.findall(r'(?:href|src)="([^"]*)"', html))
    assert {link for link in links if not link.startswith(("#", "data:"))} == set()
    assert {link[1:] for link in links if link.startswith("#")} <= set(re.findall(r' id="([^"]+)"', html))
    assert "@import" not in html
    assert len(html) < 3_000_000


def test_no_two_elements_have_one_id() -> None:
    ids = re.findall(r' id="([^"]+)"', page(WHOLE))
    assert len(ids) == len(set(ids)) > 5


def test_results_of_nothing_are_a_page_too() -> None:
    assert "Nothing was tried." in page(replace(WHOLE, records=()))


def test_pictures_take_the_colours_of_the_page_and_repeat() -> None:
    def draw(axes: Any) -> None:
        axes.semilogy([1, 2], [1e-9, 1.0], "o-", label="a")
        axes.legend()

    first = svg('a "b" <c>', draw)
    assert first == svg('a "b" <c>', draw) != svg("other", draw)
    assert first.startswith("<svg")
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in first
    assert "var(--c1)" in first
    assert not any(colour in first for colour in SERIES)
    assert "1e-8" in first


def test_each_picture_is_a_file_that_stands_alone(tmp_path: Path) -> None:
    write_report([WHOLE], tmp_path, pictures=True)
    made = {path.name: path.read_text() for path in (tmp_path / "pictures").iterdir()}
    assert set(made) == {"detection-plot.svg", "drift-long.svg"}
    for text in made.values():
        ElementTree.fromstring(text)
        assert set(re.findall(r"var\((--\w+)\)", text)) <= set(re.findall(r"(--\w+): ", text))


def test_a_node_that_is_used_twice_stands_before_both_its_uses() -> None:
    """(x + y) x: x is a leaf of the sum and of the product."""
    places = layout([[], [], [0, 1], [2, 0]])
    assert {node: column for node, (column, _) in places.items()} == {3: 0, 2: -1, 0: -2, 1: -2}
    assert places[2][1] == (places[0][1] + places[1][1]) / 2
    assert len(set(places.values())) == 4


# --- GitHub -----------------------------------------------------------------------------------------------------------


def test_the_job_summary_has_every_failure_and_every_verdict() -> None:
    text = github.summary(WHOLE)
    assert text.startswith("## backproof: wrong\n\n4 passed, 3 failed\n")
    assert "### nine at `manual/nine.py:7`\n\n```text\nnine.py:7 in backward:  dw = x\nit lacks" in text
    assert "| nine | ❌ 1 of 1 failed | ✅ 1 passed | ❌ 1 of 1 failed |" in text
    assert "Reproduce:\n\n```text\npytest 'tests/a.py::t[<b>]'" in text


def test_no_text_leaves_its_block() -> None:
    record = {**case("gradients", "a|b", "c", outcome="failed", message="```\n# mine"), "kind": "test"}
    text = github.summary(replace(WHOLE, records=(record,)))
    assert "````text\n```\n# mine\n````" in text
    assert "| a\\|b |" in text


def test_each_failure_is_an_annotation_on_its_line() -> None:
    first, second = github.error_commands(WHOLE)
    place = "file=manual/nine.py,line=7"
    assert first.startswith(f"::error {place},title=bad is wrong::")
    assert second == f"::error {place},title=nine is wrong::nine.py:7 in backward:  dw = x%0Ait lacks a factor of 2"
    unknown = {**case("published", "a:b,c", "holds", outcome="failed", message="50%\nno"), "kind": "test"}
    (command,) = github.error_commands(replace(WHOLE, records=(unknown,)))
    assert command == "::error title=a%3Ab%2Cc is wrong::50%25%0Ano"
    assert list(github.error_commands(replace(WHOLE, records=()))) == []


def test_columns_of_numbers_are_set_to_the_right() -> None:
    rows = [["all", "30 digits", "all", "1e-10", "", "0.0 / 15.5"], ["one", "1e-8", "12.5", "-3", "none", "1 / 2"]]
    table = Table("t", "title", "", ["name", "setting", "digits", "off", "step", "range"], rows)
    assert table.kinds == ["text", "text", "number", "number", "text", "number"]
