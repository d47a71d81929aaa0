"""A drawing is the whole graph in exact DOT source, whatever its labels hold, and says what is missing to render it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manual.scalar_drawing import draw, to_dot
from manual.scalar_engine import Value, topological
from oracles.ball import lift
from reference.published import published

SQUARE = """\
digraph {
    rankdir=LR
    node0 [shape=record label="{x | data 3.0000 | grad 6.0000}"]
    node1 [shape=record label="{y | data 9.0000 | grad 1.0000}"]
    op1 [label="*"]
    op1 -> node1
    node0 -> op1
    node0 -> op1
}
"""

NEURON = """\
digraph {
    rankdir=LR
    node0 [shape=record label="{x1 | data 2.0000 | grad -1.5000}"]
    node1 [shape=record label="{w1 | data -3.0000 | grad 1.0000}"]
    node2 [shape=record label="{x1*w1 | data -6.0000 | grad 0.5000}"]
    op2 [label="*"]
    op2 -> node2
    node0 -> op2
    node1 -> op2
    node3 [shape=record label="{x2 | data 0.0000 | grad 0.5000}"]
    node4 [shape=record label="{w2 | data 1.0000 | grad 0.0000}"]
    node5 [shape=record label="{x2*w2 | data 0.0000 | grad 0.5000}"]
    op5 [label="*"]
    op5 -> node5
    node3 -> op5
    node4 -> op5
    node6 [shape=record label="{x1*w1 + x2*w2 | data -6.0000 | grad 0.5000}"]
    op6 [label="+"]
    op6 -> node6
    node2 -> op6
    node5 -> op6
    node7 [shape=record label="{b | data 6.8814 | grad 0.5000}"]
    node8 [shape=record label="{n | data 0.8814 | grad 0.5000}"]
    op8 [label="+"]
    op8 -> node8
    node6 -> op8
    node7 -> op8
    node9 [shape=record label="{o | data 0.7071 | grad 1.0000}"]
    op9 [label="tanh"]
    op9 -> node9
    node8 -> op9
}
"""


def labelled(node: Value, label: str) -> Value:
    node.label = label
    return node


def neuron() -> Value:
    x1, x2, w1, w2, b = (
        Value(published(f"value_class.neuron.{name}").value, name) for name in ("x1", "x2", "w1", "w2", "b")
    )
    products = labelled(x1 * w1, "x1*w1"), labelled(x2 * w2, "x2*w2")
    n = labelled(labelled(products[0] + products[1], "x1*w1 + x2*w2") + b, "n")
    return labelled(n.tanh(), "o")


def test_the_documents_neuron() -> None:
    o = neuron()
    o.backward()
    assert to_dot(o) == NEURON


def test_an_operand_used_twice_has_two_edges() -> None:
    x = Value(3.0, "x")
    y = labelled(x * x, "y")
    y.backward()
    assert to_dot(y) == SQUARE


def test_before_backward_every_gradient_is_the_initial_one() -> None:
    grads = re.findall(r"grad (\S+)}", to_dot(neuron()))
    decimals = published("value_class.value.label_decimals").value
    assert grads == [f"{published('value_class.value.initial_grad').value:.{decimals}f}"] * 10


def test_the_whole_graph_is_there() -> None:
    """The trace that the documents print never calls its inner function: its sets of nodes and edges stay empty."""
    o = neuron()
    text = to_dot(o)
    assert len(topological(o)) == len(re.findall("shape=record", text)) == 10
    edges = sum(len(node.children) + 1 for node in topological(o) if node.children)
    assert len(re.findall("->", text)) == edges == 14


def test_the_same_graph_gives_the_same_text_in_another_process() -> None:
    """Numbers are topological: an address in memory, or an order of hashes, would differ."""
    code = "from tests.meta.test_scalar_drawing import *\no = neuron()\no.backward()\nprint(to_dot(o), end='')"
    assert [printed_by(code), printed_by(code)] == [NEURON, NEURON]


def printed_by(code: str) -> str:
    """What a new process prints."""
    root = Path(__file__).parents[2]
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("label", "written"),
    [
        pytest.param("a|b", r"a\|b", id="bar"),
        pytest.param("{a}", r"\{a\}", id="braces"),
        pytest.param("<a>", r"\<a\>", id="angle-brackets"),
        pytest.param('"a"', r"\"a\"", id="quotes"),
        pytest.param("a\\b", r"a\\b", id="backslash"),
        pytest.param("\\N", r"\\N", id="name-of-the-node"),
        pytest.param("a\\", r"a\\", id="backslash-at-the-end"),
        pytest.param('\\"', r"\\\"", id="backslash-and-quote"),
        pytest.param("\\{", r"\\\{", id="backslash-and-brace"),
        pytest.param("a\nb", r"a\nb", id="line-break"),
        pytest.param("&lt;", "&amp;lt;", id="html-name"),
        pytest.param("∂L/∂w₁ · x²", "∂L/∂w₁ · x²", id="unicode"),
        pytest.param("", "", id="empty"),
    ],
)
def test_labels_are_shown_as_they_are(label: str, written: str) -> None:
    text = to_dot(Value(1.0, label))
    assert text.splitlines()[2] == f'    node0 [shape=record label="{{{written} | data 1.0000 | grad 0.0000}}"]'
    fields = record_fields(quoted(text.splitlines()[2]))
    assert fields == [label, "data 1.0000", "grad 0.0000"]


def quoted(line: str) -> str:
    """The string between quotes, by DOT's one rule: a backslash takes the quote's meaning away, and stays else."""
    found = re.search(r'label="((?:\\.|[^"\\])*)"]$', line)
    assert found is not None
    return re.sub(r'((?:\\\\)*)\\"', r'\1"', found[1])


def record_fields(label: str) -> list[str]:
    """The fields of a record, by Graphviz's rules: a backslash makes the next character text, or n a line break."""
    tokens = re.findall(r"\\.|[^\\]", label)
    assert (tokens[0], tokens[-1]) == ("{", "}")
    assert not {"{", "}", "<", ">"} & set(tokens[1:-1])
    fields = [""]
    for token in tokens[1:-1]:
        if token == "|":
            fields.append("")
        else:
            fields[-1] += {"\\n": "\n"}.get(token, token[-1])
    return [field.replace("&amp;", "&").strip(" ") for field in fields]


def test_operations_are_named() -> None:
    a = Value(2.0)
    root = ((-a).exp() ** 2 / a).relu() - 1.0
    named = re.findall(r'op\d+ \[label="(.*)"\]', to_dot(root))
    assert named == ["neg", "exp", "**2", "/", "relu", "-"]


def test_arrays_are_drawn_by_their_shape_and_balls_with_their_radius() -> None:
    a = Value(np.ones((2, 3)), "a")
    a.backward()
    assert '"{a | data of shape (2, 3) | grad of shape (2, 3)}"' in to_dot(a)
    assert '"{a | data 0.5000 +/- 0.0e+00 | grad 0.0000}"' in to_dot(Value(lift(0.5), "a"))


# --- rendering ------------------------------------------------------------------------------------------------------


@pytest.fixture
def only_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH, empty to begin with."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_the_program_the_error_says_how_to_get_it_and_what_there_is_without(only_on_path: Path) -> None:
    message = (
        r"draw: expected Graphviz's program `dot` on the PATH, found none; install the system's package graphviz "
        r"\(apt install graphviz, .*\), or take the DOT source that to_dot\(root\) gives"
    )
    with pytest.raises(FileNotFoundError, match=message):
        draw(neuron())
    assert to_dot(neuron()).startswith("digraph {")


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(
        ImportError, match=r"draw: needs the graphviz package: pip install 'graphviz>=0\.20'; to_dot"
    ) as e:
        draw(neuron())
    assert e.value.name == "graphviz"


def test_the_package_is_imported_by_draw_only() -> None:
    code = "import sys\nfrom manual.scalar_drawing import *\nto_dot(Value(1.0))\nprint('graphviz' in sys.modules)"
    assert printed_by(code) == "False\n"


def test_notebooks_show_what_the_program_makes_of_the_source(only_on_path: Path) -> None:
    """With a `dot` that writes its arguments and repeats its input: a notebook gets SVG, made of the source."""
    program = only_on_path / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:])\nprint(sys.stdin.read(), end='')\n")
    program.chmod(0o755)
    o = neuron()
    drawing = draw(o)
    assert drawing.source == to_dot(o)
    assert drawing.format == "svg"
    assert drawing._repr_mimebundle_() == {"image/svg+xml": f"-Kdot -Tsvg\n{to_dot(o)}"}
