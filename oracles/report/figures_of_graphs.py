"""Pictures of computational graphs: nodes with values and gradients, laid out as the trees that they nearly are."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from oracles.report.plotting import INK, MUTED, PAPER, SERIES, svg
from oracles.report.sections import Picture, Section

Data = dict[str, Any]
Places = dict[int, tuple[float, float]]
WIDTH, HEIGHT = 0.74, 0.86
"""Of a node, in columns and rows."""
_NAMES = {"nine_weight": "Nine-weight loss", "neuron": "Neuron"}


def computational_graphs(data: Data) -> Section:
    """A picture of each graph for each of its samples."""
    figures = []
    for name, graph in data.items():
        places = layout([node["operands"] for node in graph["nodes"]])
        several = len(graph["samples"]) > 1
        for i, sample in enumerate(graph["samples"]):
            title = f"{_NAMES.get(name, name)}, sample {sample}" if several else f"{_NAMES.get(name, name)}, {sample}"
            picture = _picture(f"graph-{name}-{i}", title, graph["nodes"], places, i)
            figures.append(picture._replace(choice=f"sample {sample}" if several else ""))
    reading = (
        "values flow from left to right through the operations; in each node the upper number is its value and the "
        "lower one, in colour, the derivative of the result by it, which flows back from right to left."
    )
    return Section("graphs", "Computational graphs", reading, figures, wide=True)


def layout(operands: list[list[int]]) -> Places:
    """(column, row) of each node, of which the last is the root: columns by the distance from it, rows as in a tree.

    `operands[i]` are the nodes that node i is made of, all of them before it. Leaves get rows of their own in the order
    in which the root reaches them, and all others stand in the middle of their operands.
    """
    root = len(operands) - 1
    depth = {root: 0}
    for node in reversed(range(len(operands))):
        for operand in operands[node]:
            depth[operand] = max(depth.get(operand, 0), depth[node] + 1)
    rows: dict[int, float] = {}
    leaves = 0

    def place(node: int) -> None:
        nonlocal leaves
        if node in rows:
            return
        below = list(dict.fromkeys(operands[node]))
        for operand in below:
            place(operand)
        if below:
            rows[node] = sum(rows[o] for o in below) / len(below)
        else:
            rows[node] = float(leaves)
            leaves += 1

    place(root)
    return {node: (float(-depth[node]), rows[node]) for node in rows}


def _picture(id: str, title: str, nodes: list[Data], places: Places, sample: int) -> Picture:
    columns = 1 - min(x for x, _ in places.values())
    rows = 1 + max(y for _, y in places.values())

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(-columns + 0.45, 0.55)
        axes.set_ylim(rows - 0.4, -0.6)
        for i, node in enumerate(nodes):
            for operand in dict.fromkeys(node["operands"]):
                (x0, y0), (x1, y1) = places[operand], places[i]
                axes.plot([x0 + WIDTH / 2, x1 - WIDTH / 2], [y0, y1], color=MUTED, linewidth=1, zorder=1)
        for i, node in enumerate(nodes):
            _node(axes, places[i], node, sample)

    return Picture(id, title, svg(title, draw, max(5.0, 1.12 * columns), max(2.6, 0.52 * rows)))


def _node(axes: Axes, place: tuple[float, float], node: Data, sample: int) -> None:
    x, y = place
    edge = MUTED if node["operands"] else SERIES[0]
    axes.add_patch(Rectangle((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, facecolor=PAPER, edgecolor=edge))
    name = " = ".join(filter(None, (node["label"], node["op"])))
    lines = [(name, INK), (f"{node['data'][sample]:.4g}", INK), (f"{node['grad'][sample]:.4g}", SERIES[1])]
    for line, (text, colour) in enumerate(lines):
        axes.text(x, y + (line - 1) * HEIGHT / 3.2, text, ha="center", va="center_baseline", fontsize=8, color=colour)
