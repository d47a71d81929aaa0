"""Every hand-written optimizer takes the steps of torch.optim and optax, one by one and through whole training runs."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np
import pytest

from oracles import graphs
from oracles.agreement import Agreement, compare
from oracles.counterpart import NoCounterpartError
from reference.datasets import housing
from tests.gate.configurations import Configuration
from tests.gate.draws import SCALES
from tests.gate.trajectories import (
    allowed_drift,
    checkpoints,
    drift,
    drift_from_exact,
    drift_path,
    exact,
    free_running,
    initial_weights,
    step_radii,
    steps,
)
from tests.gate.verdicts import PROPERTY, rerun

Array = np.ndarray[Any, Any]
FRAMEWORKS = ("torch_optim", "optax_optim")


def test_lockstep(configuration: Configuration, seed: int, request: pytest.FixtureRequest) -> None:
    """One update from the same state and gradient, at every step of an epoch: params and state within rounding."""
    taken = steps(configuration, seed)
    radii = step_radii(configuration, taken)
    counted = taken.new_states["step"].tolist()  # the frameworks are given this count, so it is checked by itself
    assert counted == list(range(1, len(counted) + 1)), f"{configuration.id} does not count its steps one by one"
    for framework in FRAMEWORKS:
        updates = importlib.import_module(f"oracles.{framework}").updates
        arguments = (configuration.rule, configuration.hyperparameters, taken.gradients, taken.states, taken.params)
        if framework not in configuration.frameworks:
            with pytest.raises(NoCounterpartError) as reason:
                updates(*arguments)
            _record(request, "absent", configuration, framework, reason=str(reason.value))
            continue
        started = time.perf_counter()
        moved, kept = updates(*arguments)
        seconds = time.perf_counter() - started
        pairs = {"params": (taken.moved, moved)} | {n: (taken.new_states[n], kept[n]) for n in kept}
        found = {n: compare(mine, theirs, 2 * radii[n]) for n, (mine, theirs) in pairs.items()}  # both sides round
        wrong = {n: a for n, a in found.items() if not a.agrees}
        if wrong:
            pytest.fail(_departure(configuration, framework, wrong, pairs, request), pytrace=False)
        worst = min(found, key=lambda n: (found[n].digits, n))
        _record(
            request,
            "lockstep",
            configuration,
            framework,
            steps=len(taken.gradients),
            entries=sum(a.entries for a in found.values()),
            state=sorted(kept),
            digits=min(found[worst].digits, 99.0),
            worst=f"{worst}, {_step(found[worst].worst)}" if found[worst].digits < 99 else "",
            detection=max(a.typical_detection for a in found.values()),
            seconds=seconds,
        )


def test_free_running(configuration: Configuration, seed: int, request: pytest.FixtureRequest) -> None:
    """From the same initial weights, each side by its own gradients and its own steps: no farther apart than noise."""
    mine, allowed = free_running(configuration, seed), allowed_drift(configuration, seed)
    truth = exact(configuration, seed)
    own = drift_from_exact(mine, truth)
    _judge(configuration, "the exact trajectory", own, allowed[: len(own)], request)
    # A compiled run of optax costs more to compile than to run, so it is kept for the documents' own optimizers.
    for framework in configuration.frameworks if configuration.epochs > 1 else ("torch_optim",):
        train = importlib.import_module(f"oracles.{framework}").train
        started = time.perf_counter()
        run = train(
            configuration.rule,
            configuration.hyperparameters,
            graphs.nine_weight,
            initial_weights(seed),
            *housing(),
            configuration.epochs,
            checkpoints(configuration.epochs),
        )
        seconds = time.perf_counter() - started
        apart = drift(mine, run.recorded)
        _judge(configuration, framework, apart, allowed, request)
        _record(
            request,
            "drift",
            configuration,
            framework,
            runs=len(allowed),
            epochs=configuration.epochs,
            apart=float(apart.max()),
            own=float(own.max()),
            theirs=float(drift_from_exact(run.recorded, truth).max()),
            allowed=float(np.median(allowed)),
            nearest=float((apart / allowed).max()),
            steps=checkpoints(configuration.epochs),
            path=drift_path(mine, run.recorded),
            seconds=seconds,
        )


def _judge(
    configuration: Configuration, other: str, apart: Array, allowed: Array, request: pytest.FixtureRequest
) -> None:
    __tracebackhide__ = True
    if not (apart <= allowed).all():
        worst = int(np.argmax(np.nan_to_num(apart / allowed, nan=np.inf)))
        pytest.fail(
            f"{configuration.id} drifts from {other} in {np.sum(~(apart <= allowed))} of {len(apart)} initialisations\n"
            f"  worst: initialisation {worst}: {apart[worst]:.2e} apart, where rounding explains {allowed[worst]:.2e}\n"
            f"  rerun: {rerun(request)}",
            pytrace=False,
        )


def _departure(
    configuration: Configuration,
    framework: str,
    wrong: dict[str, Agreement],
    pairs: dict[str, tuple[Array, Array]],
    request: pytest.FixtureRequest,
) -> str:
    total = sum(int(a.disagrees.sum()) for a in wrong.values())
    lines = [f"{configuration.id} departs from {framework} in {total} entries of {', '.join(wrong)}"]
    for name, agreement in wrong.items():
        at = tuple(int(i) for i in np.argwhere(agreement.disagrees)[0])
        mine, theirs = (float(values[at]) for values in pairs[name])
        lines.append(f"  first: {name} at {_step(at)}: {configuration.id} {mine!r}, {framework} {theirs!r}")
    return "\n".join([*lines, f"  rerun: {rerun(request)}"])


def _step(at: tuple[int, ...]) -> str:
    parts = [f"step {at[0] + 1}", *([f"w{at[2] + 1}, scale {SCALES[at[1]]:g}"] if len(at) == 3 else [])]
    return ", ".join(parts)


def _record(
    request: pytest.FixtureRequest, kind: str, configuration: Configuration, framework: str, **found: Any
) -> None:
    names = {"rule": configuration.rule, "configuration": configuration.id, "framework": framework}
    row = {"kind": kind, **names, **found}
    request.node.user_properties.append((PROPERTY, row))
