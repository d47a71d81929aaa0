"""Every snippet of the README runs as it stands and prints what the README shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = dict(re.findall(r"^- (verify|test): `(.*)`$", README, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("source", "output"), [pytest.param(*snippet, id=f"snippet{i}") for i, snippet in enumerate(SNIPPETS)]
)
def test_snippets_print_what_is_shown(source: str, output: str, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(source)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert _without_digits(done.stdout) == _without_digits(output)


def _without_digits(text: str) -> str:
    """How many digits survive in float64 depends on the platform's BLAS and libm; nothing else here does."""
    return re.sub(r"at least [\d.]+ correct", "at least N correct", text)


def test_every_python_block_has_its_output() -> None:
    assert len(SNIPPETS) == README.count("```python") == 9


def test_the_file_of_subjects_goes_through_the_gate_as_shown(tmp_path: Path) -> None:
    source, command, output = re.findall(r"```py\n(.*?)```.*?```text\n\$ (.*?)\n(.*?)```", README, flags=re.DOTALL)[0]
    file = tmp_path / "embedding.py"
    file.write_text(source)
    words = [str(file) if word == file.name else word for word in command.split()]
    done = subprocess.run(
        [sys.executable, "-m", *words, "-p", "no:cacheprovider"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert output in done.stdout


def test_commands_are_the_agreed_ones() -> None:
    install = "pip install -c constraints.txt -e '.[test]'"
    assert {
        "verify": f"{install} && pytest -n auto tests/gate",
        "test": f"{install} && pytest -n auto",
    } == COMMANDS


def test_the_summary_shown_has_the_columns_and_rows_of_a_run() -> None:
    """Its figures are of one run; `.ci/run` makes another and prints it."""
    shown = next(text for text in re.findall(r"```text\n(.*?)```", README, flags=re.DOTALL) if " agreement (" in text)
    rows = {tuple(line.split()[:2]) for line in shown.splitlines()}
    for subject in ("nine_weight", "nine_weight_stable", "nine_weight_values"):
        for oracle in ("torch_autograd", "jax_grad", "complex_step", "central_difference", "richardson"):
            assert (subject, oracle) in rows


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"sed -n '(s/.*?/p)' README\.md", script)
    assert pattern is not None
    found = subprocess.run(
        ["sed", "-n", pattern.group(1), str(ROOT / "README.md")], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == COMMANDS["test"]
    assert 'eval "$command"' in script


def test_every_link_inside_leads_to_a_heading() -> None:
    headings = re.findall(r"^##+ (.*)$", README, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]*)\)", README)
    assert len(links) > 5
    assert set(links) <= anchors
