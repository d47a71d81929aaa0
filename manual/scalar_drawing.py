"""Drawings of a graph of `Value` nodes, as the documents have them: a record for each node, an oval for its operation.

`to_dot` writes the source in Graphviz's DOT language and needs nothing. `draw` hands it to the graphviz package.
"""

from __future__ import annotations

import shutil
from importlib import import_module
from typing import Any

import numpy as np

from manual.scalar_engine import Number, Value, topological

_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in '\\{}|<>"'},
        "&": "&amp;",  # Graphviz replaces HTML's names of characters everywhere
        "\n": "\\n",
    }
)


def to_dot(root: Value) -> str:
    """The DOT source of the graph under `root`: numbered in topological order, so the same graph gives the same text.

    An operand that is used twice by an operation has two edges to it.
    """
    nodes = topological(root)
    numbers = {node: i for i, node in enumerate(nodes)}
    lines = ["digraph {", "    rankdir=LR"]
    for i, node in enumerate(nodes):
        lines.append(f'    node{i} [shape=record label="{_record(node)}"]')
        if node.edges:
            lines.append(f'    op{i} [label="{_escaped(node.op)}"]')
            lines.append(f"    op{i} -> node{i}")
            lines.extend(f"    node{numbers[child]} -> op{i}" for child in node.children)
    return "\n".join([*lines, "}", ""])


def draw(root: Value) -> Any:
    """A `graphviz.Source` of the graph under `root`, which notebooks show as SVG and `render` writes to a file.

    Raises ImportError without the graphviz package, and FileNotFoundError without Graphviz's own program `dot`.
    """
    try:
        graphviz = import_module("graphviz")
    except ImportError as missing:
        raise ImportError(
            "draw: needs the graphviz package: pip install 'graphviz>=0.20'; to_dot(root) gives the DOT source without",
            name=missing.name,
        ) from missing
    if shutil.which("dot") is None:
        raise FileNotFoundError(
            "draw: expected Graphviz's program `dot` on the PATH, found none; install the system's package graphviz "
            "(apt install graphviz, brew install graphviz), or take the DOT source that to_dot(root) gives"
        )
    return graphviz.Source(to_dot(root), format="svg")


def _record(node: Value) -> str:
    return f"{{{_escaped(node.label)} | data {_number(node.data)} | grad {_number(node.grad)}}}"


def _number(number: Number) -> str:
    """To four decimals, as the documents print it; of an array, the shape."""
    shape = np.shape(number)
    return f"of shape {tuple(map(int, shape))}" if shape else f"{number:.4f}"


def _escaped(text: str) -> str:
    """As a label shows it: records give a meaning to braces, bars and angle brackets, DOT to quotes and backslashes."""
    return text.translate(_ESCAPES)
