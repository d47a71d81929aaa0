"""What each test had on trial, and the cause of each failure: from the test itself, for the report."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manual import nine_weight, optimizers
from oracles import Ruling, identify_optimizer
from oracles.diagnosis import Diagnosis, diagnose
from oracles.reachable import subject_functions
from oracles.registration import Subject
from tests.gate import subjects
from tests.gate.configurations import Configuration
from tests.gate.draws import SCALES, Draw, draws
from tests.gate.results import CASE
from tests.gate.trajectories import steps
from tests.gate.trials import case

GATE = Path(__file__).parent
IDENTIFIED = 100
"""Steps that are enough to tell the rules apart."""
SUITES = {
    "test_gradient": "{oracle}",
    "test_forward": "{framework} forward",
    "test_certified": "certificate",
    "test_lockstep": "step by step",
    "test_free_running": "free-running",
}


def describe(item: pytest.Item, report: pytest.TestReport) -> None:
    """Leave on the report what was on trial in which suite, and, where it failed, where that comes from."""
    params: dict[str, Any] = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    found = _names(item, params)
    if report.failed and (cause := _cause(params, str(report.longrepr), item.config.option.seed)):
        found["cause"] = {"text": cause.text, "file": _relative(cause.file, item.config.rootpath), "line": cause.line}
        if "submission" not in params and cause.text:  # a submission's own findings have it
            report.sections.append(("diagnosis", cause.text))
    report.user_properties.append((CASE, found))


def _names(item: pytest.Item, params: dict[str, Any]) -> dict[str, Any]:
    test = getattr(item, "originalname", item.name)
    suite = SUITES.get(test, "").format_map(params) or test.removeprefix("test_").replace("_", " ")
    if item.path.parent != GATE:
        return {"group": "other tests", "on_trial": item.path.stem.removeprefix("test_"), "suite": "all"}
    if "subject" in params:
        return {"group": "gradients", "on_trial": params["subject"].id, "suite": suite}
    if "configuration" in params:
        return {"group": "optimizers", "on_trial": params["configuration"].rule, "suite": suite}
    if "submission" in params:
        return {"group": "submissions", "on_trial": params["submission"][0], "suite": suite}
    return {"group": item.path.stem.removeprefix("test_"), "on_trial": suite, "suite": "holds"}


def _cause(params: dict[str, Any], message: str, seed: int) -> Diagnosis | None:
    """The diagnosis; or without words the function to look at; None where not even that is known."""
    if "subject" in params:
        return _of_gradient(params["subject"], params["draw"]) or _of_rounding(params["subject"], message)
    if "configuration" in params:
        # A whole run follows the hand-written gradient, and goes astray with it.
        gradient = None if "departs from" in message else _of_gradient(_followed(), draws(1, seed)[0])
        return gradient or _of_optimizer(params["configuration"], seed)
    if "submission" in params:
        _, path = params["submission"]
        return _told(path, message)
    return None


def _of_gradient(subject: Subject, draw: Draw) -> Diagnosis | None:
    """Of the first draw of a scale that is wrong, so that all failures of one mistake tell the same."""
    tried = (*draws(len(SCALES), draw.seed), draw)
    return next((cause for d in tried if (cause := _diagnosed(subject, d)) is not None), None)


@cache
def _diagnosed(subject: Subject, draw: Draw) -> Diagnosis | None:
    try:
        certificate = case(subject, draw).certificate()
        return diagnose(case(subject, draw).trial, certificate) if certificate.ruling is Ruling.WRONG else None
    except Exception:  # whatever failed is told by the test itself
        return None


def _of_rounding(subject: Subject, message: str) -> Diagnosis | None:
    """Of what is right in exact arithmetic: the line that gives the entry in which float64 loses its digits."""
    of_loss = subject_functions([subject.loss])
    own = [f for f in subject_functions([subject.gradient]) if f not in of_loss and f.__name__ != "<lambda>"]
    if not own:
        return None
    place = _at(max(own, key=lambda f: len(f.__code__.co_code)))
    entry = re.search(rf"keeps .*, ({'|'.join(map(re.escape, subject.weights)) or '$^'}),", message)
    if entry is None:
        return place
    lines = Path(place.file).read_text(encoding="utf-8").splitlines()[place.line - 1 :]
    for number, line in enumerate(lines, start=place.line):
        if re.match(rf"\s*d{re.escape(entry[1])}\s*=", line):
            words = f"right in exact arithmetic; in float64 the digits of d{entry[1]} are lost, here or above:"
            return Diagnosis(f"{words}\n{Path(place.file).name}:{number}:  {line.strip()}", place.file, number)
    return place


@cache
def _followed() -> Subject:
    """The gradient that the training runs follow."""
    forward, loss_and_gradient = nine_weight.forward, nine_weight.loss_and_gradient
    return subjects.nine_weight(
        "nine_weight", lambda w, x, y: forward(w, x, y)[0], lambda w, x, y: loss_and_gradient(w, x, y)[1]
    )


@cache
def _of_optimizer(configuration: Configuration, seed: int) -> Diagnosis:
    """The rule that its steps follow in truth, if it is one that is known."""
    place = _at(getattr(optimizers, configuration.rule))
    try:
        taken = steps(configuration, seed)
        weights = np.concatenate([taken.params[:IDENTIFIED, 0], taken.moved[IDENTIFIED - 1 : IDENTIFIED, 0]])
        name, _, settings = str(identify_optimizer(weights, taken.gradients[:IDENTIFIED, 0])).partition(": ")
    except Exception:  # steps that cannot be taken, or are no trajectory, are told by the test itself
        return place
    known = settings and not name.startswith("none of")
    return replace(place, text=f"the steps that it takes are those of {name}") if known else place


def _at(function: Callable[..., Any]) -> Diagnosis:
    _, line = inspect.getsourcelines(function)
    return Diagnosis("", inspect.getsourcefile(function) or "", line)


def _told(path: Path, message: str) -> Diagnosis:
    """What the findings of a submitted file say, with the first line of it that they name."""
    text = re.search(r"^  diagnosis\s+note\s+(.*(?:\n {10,}\S.*)*)", message, re.MULTILINE)
    line = re.search(rf"\b{re.escape(path.name)}:(\d+)|at line (\d+)", message)
    number = int(next(filter(None, line.groups()))) if line else 0
    words = "\n".join(part.strip() for part in text[1].splitlines()) if text else ""
    return Diagnosis(words, str(path), number)


def _relative(file: str, root: Path) -> str:
    """To the repository's root, for files in it."""
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
