"""The figures, each with one sentence on how to read it: those whose numbers the results have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oracles.report import figures_of_gradients, figures_of_graphs, figures_of_training
from oracles.report.merging import Record
from oracles.report.sections import Section


def sections(records: Sequence[Record]) -> list[Section]:
    """In the order of the page."""
    data: dict[str, dict[str, Any]] = {r["name"]: r["data"] for r in records if r["kind"] == "figure"}
    drawn = {
        "digits": figures_of_gradients.digits,
        "v_curve": figures_of_gradients.v_curve,
        "losses": figures_of_training.losses,
        "computational_graphs": figures_of_graphs.computational_graphs,
        "networks": figures_of_training.networks,
        "gradient_norms": figures_of_training.gradient_norms,
    }
    found = [make(data[name]) for name, make in drawn.items() if name in data]
    detection = [r for r in records if r["kind"] in ("agreement", "lockstep", "certificate")]
    drift = [r for r in records if r["kind"] == "drift" and r["framework"] == "torch_optim"]
    if detection:
        found.append(figures_of_gradients.detection(detection))
    if drift:
        found.append(figures_of_training.drift(drift))
    return found
