"""Pictures of training: losses beside the published ones, drift, decision boundaries, gradients by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from oracles.report.merging import Record
from oracles.report.plotting import BAD, INK, MUTED, PAPER, SERIES, Draw, svg
from oracles.report.sections import Picture, Section

Data = dict[str, Any]
LEAST_DRIFT = 1e-18
"""Where a distance of exactly 0 is drawn."""


def losses(data: Data) -> Section:
    """Loss against epoch: each optimizer by itself with its band, then all of them."""
    rules = data["rules"]
    alone = [_loss(name, rule, colour) for (name, rule), colour in zip(rules.items(), SERIES, strict=False)]

    def draw(axes: Axes) -> None:
        for (name, rule), colour in zip(rules.items(), SERIES, strict=False):
            _band(axes, rule, colour, name)
        axes.legend()

    title = "All of them: median and middle half"
    reading = (
        f"the line is the median of {data['runs']} runs from random weights, the dark band their middle half, the "
        "light one all of them; a diamond outside is a published value that does not follow from the rule as it is "
        "stated."
    )
    return Section("losses", "Loss against epoch", reading, [*alone, Picture("losses-all", title, svg(title, draw))])


def _loss(name: str, rule: Data, colour: str) -> Picture:
    def draw(axes: Axes) -> None:
        epochs = _band(axes, rule, colour, "median")
        p, points = rule["percentiles"], rule["published"]
        axes.fill_between(epochs, p["0"], p["100"], color=colour, alpha=0.18, linewidth=0, label="all runs")
        axes.plot(
            [1, epochs[-1]], [points["first"], points["last"]], "D", color=INK, markeredgecolor=PAPER, label="published"
        )
        axes.legend()

    return Picture(f"losses-{name.replace(', ', '-').replace(' ', '-')}", name, svg(f"Loss of {name}", draw))


def _band(axes: Axes, rule: Data, colour: str, label: str) -> Any:
    p = rule["percentiles"]
    epochs = np.arange(1, len(p["50"]) + 1)
    axes.fill_between(epochs, p["25"], p["75"], color=colour, alpha=0.3, linewidth=0)
    axes.semilogy(epochs, p["50"], color=colour, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean loss")
    return epochs


def drift(records: Sequence[Record]) -> Section:
    """How far runs of torch.optim and by hand are apart, over steps."""
    long = max(r["epochs"] for r in records)
    figures = [
        _drift("The documents’ optimizers", [r for r in records if r["epochs"] == long], label="configuration"),
        _drift("All rules, through the first epoch", [r for r in records if r["epochs"] < long]),
    ]
    reading = (
        "both sides start from the same weights and round differently, so right code drifts apart by rounding alone; "
        "a wrong rule would leave that range with its first steps."
    )
    return Section("drift", "Drift against torch.optim", reading, [figure for figure in figures if figure])


def _drift(title: str, records: Sequence[Record], label: str = "") -> Picture | None:
    if not records:
        return None

    def draw(axes: Axes) -> None:
        for i, record in enumerate(sorted(records, key=lambda r: str(r["configuration"]))):
            path = [LEAST_DRIFT if d is None else max(d, LEAST_DRIFT) for d in record["path"]]
            style = (
                {"color": SERIES[i % len(SERIES)], "label": record[label]} if label else {"color": MUTED, "alpha": 0.5}
            )
            axes.semilogy(record["steps"], path, **style)
        axes.set_xlabel("step")
        axes.set_ylabel("largest distance of a weight")
        if label:
            axes.legend()

    return Picture(f"drift-{'long' if label else 'short'}", title, svg(f"Drift: {title}", draw))


def networks(data: Data) -> Section:
    """The boundary and the curves of each network."""
    figures = [picture for name, net in data.items() for picture in (_boundary(name, net), _curves(name, net))]
    reading = (
        "colour is the probability of the second class over the plane, the line where it is one half, and points are "
        "held out from training; beside it the mean loss and the share of training points that are classified right."
    )
    return Section("networks", "Networks on moons and spiral", reading, figures)


def _boundary(name: str, net: Data) -> Picture:
    def draw(axes: Axes) -> None:
        edge = (net["x"][0], net["x"][-1], net["y"][0], net["y"][-1])
        probability = np.array(net["probability"])
        axes.imshow(probability, extent=edge, origin="lower", aspect="auto", cmap="PuOr", vmin=0, vmax=1, alpha=0.6)
        axes.contour(net["x"], net["y"], probability, levels=[0.5], colors=INK, linewidths=1)
        points, classes = np.array(net["points"]), np.array(net["classes"])
        for label, marker, colour in ((0, "o", "#a84c00"), (1, "s", "#4b2a86")):
            axes.plot(*points[classes == label].T, marker, color=colour, markeredgecolor="white", markersize=5)
        axes.grid(visible=False)

    sizes = "-".join(map(str, net["sizes"]))
    title = f"{name}, layers {sizes}: {net['held out']:.1%} of the held-out points right"
    return Picture(f"boundary-{name}", title, svg(title, draw, 5.2, 4.0))


def _curves(name: str, net: Data) -> Picture:
    def draw(axes: Axes) -> None:
        axes.semilogy(net["epochs"], net["losses"], color=SERIES[0], label="loss")
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean loss")
        share = axes.twinx()
        share.plot(net["epochs"], net["accuracies"], color=SERIES[1], linestyle="--", label="accuracy")
        share.set_ylabel("share classified right")
        share.grid(visible=False)
        lines = [*axes.get_lines(), *share.get_lines()]
        axes.legend(lines, [str(line.get_label()) for line in lines], loc="center right")

    title = f"{name}: training"
    return Picture(f"curves-{name}", title, svg(title, draw, 5.2, 4.0))


def gradient_norms(data: Data) -> Section:
    """The size of the gradient by layer, right after initialization."""
    styles = {"he": "-", "xavier": "--"}
    activations = sorted({name.split(", ")[0] for name in data["norms"]})

    def draw(axes: Axes) -> None:
        for name, norms in data["norms"].items():
            activation, scheme = name.split(", ")
            colour = SERIES[activations.index(activation)]
            layers = range(1, len(norms) + 1)
            axes.semilogy(layers, norms, styles[scheme], marker="o", markersize=4, color=colour, label=name)
        axes.axhline(data["vanishing below"], color=BAD, linestyle=":", linewidth=1)
        axes.text(1, data["vanishing below"], "vanishing below", color=BAD, fontsize=8, va="bottom")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("layer, the one nearest the input first")
        axes.set_ylabel("norm of dW, median of 16 seeds")
        axes.legend(ncols=2)

    title = "Gradient norms right after initialization"
    reading = (
        "a line that falls to the left is a gradient that fades on its way back to the input, and below the dotted "
        "line the documents call it vanishing."
    )
    figures = [Picture("gradient-norms-plot", title, svg(title, _roomy(draw), 6.4, 4.2))]
    return Section("gradient-norms", "Gradient norms by layer", reading, figures)


def _roomy(draw: Draw) -> Draw:
    def drawn(axes: Axes) -> None:
        draw(axes)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * 10)  # for the legend

    return drawn
