"""matplotlib as inline SVG that takes its colours from the page, light or dark, and gives the same bytes each time."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from math import log10
from typing import Any, TypeAlias

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

INK, MUTED, PAPER, LINE, BAD = "#010203", "#010204", "#010205", "#010206", "#010207"
"""Stand for colours of the page, like those of `SERIES`; matplotlib draws with them and `svg` puts the page's in."""
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    PAPER: "--paper",
    LINE: "--line",
    BAD: "--bad",
    **{colour: f"--c{i}" for i, colour in enumerate(SERIES, start=1)},
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "image.interpolation": "none",
}
Draw: TypeAlias = Callable[[Axes], None]


def svg(name: str, draw: Draw, width: float = 5.2, height: float = 3.4) -> str:
    """What `draw` draws on one pair of axes, `width` by `height` inches, as an <svg> element.

    `name` tells its ids from those of other pictures on the page, and is read out in its place.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.subplots()
        axes.set_facecolor("none")
        draw(axes)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":  # matplotlib sets powers of ten as mathematics, which takes its time
                axis.set_major_formatter(lambda value, _: f"1e{round(log10(value))}")
                axis.set_minor_locator(NullLocator())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(text.getvalue(), name, width)


def _inline(text: str, name: str, width: float) -> str:
    """Without what belongs to a file of its own: header, metadata, ids that nothing refers to, a fixed size."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    head = re.sub(r' (?:width|height)="[^"]*pt"', "", text[: text.index(">")])
    rest = text[text.index(">") + 1 :].rstrip()
    return f'{head} role="img" aria-label="{escape(name)}" style="--width: {width:.1f}in">{rest}'
