"""Pictures of gradients: the digits they keep, the error of differences, and what each check could have caught."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from oracles.report.merging import Record
from oracles.report.plotting import BAD, INK, MUTED, SERIES, svg
from oracles.report.sections import Picture, Section

Data = dict[str, Any]
ALL_DIGITS = 15.95
FLOOR = 1e-17
"""Where an error of exactly 0 is drawn."""


def digits(data: Data) -> Section:
    """A heat map for each evaluation: a row for each weight, a column for each sample, the same order in all."""
    tenths = {name: np.array(rows) for name, rows in data["tenths"].items()}
    first = next(iter(tenths.values()))
    order = np.lexsort(np.sort(first, axis=0)[::-1])  # by the worst weight of the first evaluation, then the next
    figures = []
    for name, values in tenths.items():
        lost = int(np.sum(values < 10))

        def draw(axes: Axes, values: Any = values) -> None:
            image = axes.imshow(values[:, order] / 10, aspect="auto", cmap="RdYlBu", vmin=0, vmax=16)
            axes.set_yticks(range(len(data["weights"])), data["weights"])
            axes.set_xlabel("samples, those that cost the textbook form most digits first")
            axes.grid(visible=False)
            assert axes.figure is not None
            bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
            bar.set_label("correct digits")
            bar.outline.set_visible(False)

        title = f"{name}: {lost or 'no'} {'entry has' if lost == 1 else 'entries have'} lost every digit"
        figures.append(Picture(f"digits-{_slug(name)}", title, svg(title, draw)))
    reading = (
        f"one row for each weight, one column for each of the {first.shape[1]} samples at {data['draw']}; blue has all "
        "of float64's digits right, measured against the certified truth, and dark red has not one."
    )
    return Section("digits", "Correct digits", reading, figures)


def v_curve(data: Data) -> Section:
    """The error of numerical differentiation against the step."""
    steps = np.array(data["steps"])

    def draw(axes: Axes) -> None:
        for (name, errors), colour in zip(data["errors"].items(), SERIES, strict=False):
            dashed = "--" if name == "complex step" else "-"  # at first it hides the central difference
            axes.loglog(steps, np.maximum(errors, FLOOR), dashed, color=colour, label=name)
        axes.axhline(max(data["by hand"], FLOOR), color=INK, linestyle=":", label="by hand")
        for document, epsilon in data["epsilons"].items():
            axes.axvline(epsilon, color=MUTED, linestyle=(0, (2, 3)), linewidth=1)
            axes.text(epsilon, 8, f"{document} ", rotation=90, va="top", ha="right", color=MUTED, fontsize=8)
        axes.invert_xaxis()
        axes.set_ylim(1e-18, 10)
        axes.set_xlabel("step")
        axes.set_ylabel("relative error of the gradient")
        assert axes.figure is not None
        axes.figure.legend(loc="outside upper center", ncols=2)

    title = "Error of numerical differentiation, nine-weight loss"
    reading = (
        "from left to right the step shrinks: first the error of the formula falls, then that of rounding rises, "
        "except where nothing is subtracted; the truth is the certificate's, and dashed lines are the steps that the "
        "documents use."
    )
    return Section(
        "v-curve", "Error against step", reading, [Picture("v-curve-plot", title, svg(title, draw, 6.4, 4.6))]
    )


def detection(records: Sequence[Record]) -> Section:
    """The smallest relative error that each check would have caught at a typical entry."""
    caught: dict[str, list[float]] = {}
    for record in records:
        name, power = _power(record)
        if 0 < power < np.inf:
            caught.setdefault(name, []).append(power)
    names = sorted(caught, key=lambda name: median(caught[name]))

    def draw(axes: Axes) -> None:
        for i, name in enumerate(names):
            low, middle, high = min(caught[name]), median(caught[name]), max(caught[name])
            axes.plot([low, high], [i, i], color=SERIES[0], linewidth=3, alpha=0.4, solid_capstyle="round")
            axes.plot(middle, i, "o", color=SERIES[0])
        axes.set_xscale("log")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.1, -0.6)
        axes.axvline(1e-3, color=BAD, linestyle="--", linewidth=1)
        axes.text(1e-3, len(names) - 0.4, "documents’ threshold ", color=BAD, fontsize=8, ha="right", va="center")
        axes.set_xlabel("smallest relative error that is caught")

    title = "Detection power"
    reading = (
        "the farther left, the smaller a mistake that this check cannot miss; the dot is the median over all trials, "
        "the bar reaches from the best to the worst."
    )
    picture = Picture("detection-plot", title, svg(title, draw, 6.4, 1.0 + 0.28 * len(names)))
    return Section("detection", "Detection power", reading, [picture])


def _power(record: Record) -> tuple[str, float]:
    if record["kind"] == "certificate":
        return "certificate", 10.0 ** -min(record["digits"], 60)
    if record["kind"] == "lockstep":
        return f"{record['framework']}, step by step", record["detection"]
    return record["oracle"], record["detection"]


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())
