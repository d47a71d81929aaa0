"""Training is the documents' loop bit for bit, for every run of a population at once and at small cost."""

from __future__ import annotations

import inspect
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from manual import nine_weight, optimizers, training, wrong_optimizers
from manual.optimizers import Optimizer
from manual.training import Training, train
from reference.datasets import housing
from tests.gate.trajectories import initial_weights

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).parents[2]
X, Y = (part[:30] for part in housing())
EPOCHS = 2
RECORD = (60, 0, 7, 30, 31)
START = initial_weights(0, 5)
MOMENTUM = optimizers.momentum(0.05, 0.9)
OPTIMIZERS = {
    "vanilla": optimizers.vanilla(0.05),
    "momentum": MOMENTUM,
    "adam": optimizers.adam(),
    "rprop": optimizers.rprop(1e-4, largest=1e-3),
    "momentum_once_per_epoch": wrong_optimizers.momentum_once_per_epoch(0.05, steps_per_epoch=30),
}


def on_samples(optimizer: Optimizer, weights: Array, function: Callable[..., Training] = train) -> Training:
    return function(nine_weight.loss_and_gradient, optimizer, weights, X, Y, EPOCHS, RECORD, progress=False)


def by_a_plain_loop(optimizer: Optimizer, weights: Array) -> Training:
    """The same for one run, written down without any thought of speed or of populations."""
    state, after, losses, last_losses = optimizer.init(weights), [weights], [], []
    for _ in range(EPOCHS):
        total = 0.0
        for i in range(len(Y)):
            loss, gradient = nine_weight.loss_and_gradient(weights, X[i], Y[i])
            total = total + float(loss)
            weights, state = optimizer.update(gradient, state, weights)
            after.append(weights)
        losses.append(total / len(Y))
        last_losses.append(float(loss))
    recorded = [after[step] for step in sorted(RECORD)]
    return Training(np.array(losses), np.array(last_losses), weights, np.array(recorded))


def unlike(found: Training, expected: Training) -> set[str]:
    """The parts of two results that differ in a bit, a shape or a dtype."""
    pairs = zip(Training._fields, found, expected, strict=True)
    return {n for n, a, b in pairs if (a.shape, a.dtype, a.tobytes()) != (b.shape, b.dtype, b.tobytes())}


# --- the loop -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_run_is_the_plain_loop_bit_for_bit(name: str) -> None:
    assert unlike(on_samples(OPTIMIZERS[name], START[0]), by_a_plain_loop(OPTIMIZERS[name], START[0])) == set()


def member(run: Training, i: int) -> Training:
    """What a population's training says of one run."""
    return Training(run.losses[:, i], run.last_losses[:, i], run.weights[i], run.recorded[:, i])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_run_of_a_population_does_what_it_does_alone(name: str) -> None:
    together = on_samples(OPTIMIZERS[name], START)
    for i, weights in enumerate(START):
        assert unlike(member(together, i), on_samples(OPTIMIZERS[name], weights)) == set()


def test_results_have_the_axes_of_the_weights_and_one_for_epochs_or_steps() -> None:
    run = on_samples(MOMENTUM, START.reshape(5, 1, 9))
    assert [part.shape for part in run] == [(2, 5, 1), (2, 5, 1), (5, 1, 9), (5, 5, 1, 9)]
    assert {part.dtype for part in run} == {np.dtype(np.float64)}


def distance(weights: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """(w - y)² and its gradient."""
    away = weights[..., 0] - y
    return away * away, 2 * away[..., None]


def test_losses_are_those_before_each_update_and_their_mean_and_last_one_are_kept() -> None:
    # The rate of 1/4 halves the distance in every step: 8, 4, 2 and then 1, 1/2, 1/4.
    run = train(distance, optimizers.vanilla(0.25), np.array([8.0]), np.zeros((3, 1)), np.zeros(3), 2, range(7))
    np.testing.assert_array_equal(run.losses, [(64 + 16 + 4) / 3, (1 + 1 / 4 + 1 / 16) / 3])
    np.testing.assert_array_equal(run.last_losses, [4, 1 / 16])
    np.testing.assert_array_equal(run.weights, [1 / 8])
    np.testing.assert_array_equal(run.recorded[:, 0], [8, 4, 2, 1, 1 / 2, 1 / 4, 1 / 8])


def test_samples_come_in_their_order_in_every_epoch() -> None:
    seen: list[tuple[float, float]] = []

    def watched(weights: Array, x: Array, y: Array) -> tuple[Array, Array]:
        seen.append((float(x[0]), float(y)))
        return distance(weights, x, y)

    x, y = np.arange(4.0)[:, None], 10 + np.arange(4.0)
    train(watched, optimizers.vanilla(0.25), np.array([8.0]), x, y, 3)
    assert seen == [(0, 10), (1, 11), (2, 12), (3, 13)] * 3


@pytest.mark.parametrize(
    ("record", "steps"),
    [
        pytest.param((), [], id="none"),
        pytest.param([0], [0], id="initial"),
        pytest.param([5, 2, 0], [0, 2, 5], id="out-of-order"),
        pytest.param([3, 3, 3], [3], id="three-times-the-same"),
        pytest.param(range(7), range(7), id="all"),
    ],
)
def test_weights_are_recorded_once_in_the_order_of_the_steps(record: Any, steps: Any) -> None:
    run = train(distance, optimizers.vanilla(0.25), np.array([8.0]), np.zeros((3, 1)), np.zeros(3), 2, record)
    assert run.recorded.shape == (len(steps), 1)
    np.testing.assert_array_equal(run.recorded[:, 0], [8 / 2**step for step in steps])


def test_the_initial_weights_are_left_alone_and_share_no_memory_with_the_result() -> None:
    weights = START.copy()
    waiting = wrong_optimizers.momentum_once_per_epoch(steps_per_epoch=1000)  # hands the params on as they are
    for optimizer in (MOMENTUM, waiting):
        run = on_samples(optimizer, weights)
        np.testing.assert_array_equal(weights, START)
        assert not any(np.shares_memory(part, weights) for part in run)
        assert not np.shares_memory(run.recorded, run.weights)


EVERYTHING = {*Training._fields}
AFTERWARDS = "loss_and_gradient(weights, features, target)[0]\n"
NEW_STATE = "        state = optimizer.init(weights)\n"
MISTAKES = [
    # what is wrong, text, what it becomes, the parts of the result that must differ
    ("sum-for-mean", "losses[epoch] /= len(samples)", "losses[epoch] /= 1", {"losses"}),
    ("mean-over-all-epochs", "losses[epoch] /= len(samples)", "losses[epoch] /= len(samples) * epochs", {"losses"}),
    ("mean-for-last-loss", "last_losses[epoch] = loss", "last_losses[epoch] = losses[epoch]", {"last_losses"}),
    ("loss-after-the-update", "losses[epoch] += loss\n", f"losses[epoch] += {AFTERWARDS}", {"losses"}),
    ("loss-of-the-first-run", "losses[epoch] += loss", "losses[epoch] += loss.flat[0]", {"losses"}),
    ("state-forgotten", "weights, state = optimizer", "weights, _ = optimizer", EVERYTHING),
    ("state-of-one-epoch", "        for features, ", NEW_STATE + "        for features, ", EVERYTHING),
    ("samples-backwards", "zip(x, y,", "zip(x[::-1], y[::-1],", EVERYTHING),
    ("targets-shifted", "zip(x, y,", "zip(x, np.roll(y, 1),", EVERYTHING),
    ("steps-counted-from-0", "step = 0\n", "step = -1\n", {"recorded"}),
    ("initial-weights-not-recorded", "if 0 in wanted", "if False", {"recorded"}),
]


@pytest.mark.parametrize(("line", "becomes", "parts"), [pytest.param(*m[1:], id=m[0]) for m in MISTAKES])
def test_a_mistake_in_the_loop_shows(line: str, becomes: str, parts: set[str]) -> None:
    source = inspect.getsource(training)
    assert source.count(line) == 1
    module: dict[str, Any] = {"__name__": "mutant"}
    exec(compile(source.replace(line, becomes), "mutant", "exec"), module)
    found = on_samples(MOMENTUM, START, module["train"])
    assert unlike(member(found, 3), by_a_plain_loop(MOMENTUM, START[3])) == parts


# --- bad input ------------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"weights": START[0], "x": X, "y": Y, "epochs": 1, "record": ()}
BAD = [
    ("weights-list", TypeError, {"weights": START[0].tolist()}, "weights: expected a float64 NumPy array, got list"),
    ("weights-float32", TypeError, {"weights": START[0].astype(np.float32)}, "weights: expected dtype float64, got"),
    ("weights-nan", ValueError, {"weights": np.full(9, np.nan)}, "weights: expected finite numbers, got nan at index"),
    ("x-integers", TypeError, {"x": X.astype(int)}, "x: expected dtype float64, got dtype int64; convert it with x.as"),
    ("x-infinite", ValueError, {"x": np.full((30, 5), np.inf)}, "x: expected finite numbers, got .*inf at index"),
    ("y-none", TypeError, {"y": None}, "y: expected a float64 NumPy array, got NoneType"),
    ("y-short", ValueError, {"y": Y[:3]}, "x, y: expected one target for each of at least one sample, got 30 and 3"),
    ("no-samples", ValueError, {"x": X[:0], "y": Y[:0]}, "x, y: expected one target .* sample, got 0 and 0"),
    ("no-epochs", ValueError, {"epochs": 0}, "epochs: expected a whole number of at least 1, got 0; train for one"),
    ("half-an-epoch", ValueError, {"epochs": 1.5}, r"epochs: expected a whole number of at least 1, got 1\.5; train"),
    ("a-step-too-far", ValueError, {"record": [30, 31]}, "record: expected steps from 0 to 30, got 31; leave it out"),
    ("a-step-before-all", ValueError, {"record": [-1]}, "record: expected steps from 0 to 30, got -1; leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "bad", "message"), [pytest.param(*b[1:], id=b[0]) for b in BAD])
def test_arguments_that_do_not_fit_are_refused_by_name(
    error: type[Exception], bad: dict[str, Any], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        train(nine_weight.loss_and_gradient, MOMENTUM, **(GOOD | bad))


def test_a_run_that_diverges_ends_with_the_weight_that_is_not_finite() -> None:
    weights = np.stack([START[0], START[1]])
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match=r"w: expected finite numbers, got -?(inf|nan) at index \(0, 0\)"),
    ):
        train(nine_weight.loss_and_gradient, optimizers.vanilla(1e300), weights, X, Y, 1)


# --- the progress bar -----------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def short_run(progress: bool | None) -> Training:
    return train(nine_weight.loss_and_gradient, MOMENTUM, START, X, Y, 3, progress=progress)


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_is_printed_where_nobody_looks(progress: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    short_run(progress)
    assert capsys.readouterr() == ("", "")


def test_a_bar_that_is_asked_for_counts_the_epochs_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    shown = short_run(True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("\rtraining:")
    assert "3/3" in err
    assert unlike(shown, short_run(False)) == set()


@pytest.mark.parametrize(
    ("progress", "delays"),
    [
        pytest.param(None, [2], id="only-after-two-seconds"),
        pytest.param(True, [0], id="at-once"),
        pytest.param(False, [], id="never"),
    ],
)
def test_on_a_terminal_a_bar_appears(progress: bool | None, delays: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def tqdm(epochs: range, *, desc: str, unit: str, delay: int) -> range:
        asked.append(delay)
        return epochs

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=tqdm))
    monkeypatch.setattr(sys, "stderr", Terminal())
    short_run(progress)
    assert asked == delays


@pytest.mark.parametrize("progress", [None, True])
def test_without_tqdm_training_goes_on_in_silence(progress: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, terminal = short_run(False), Terminal()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert unlike(short_run(progress), expected) == set()
    assert terminal.getvalue() == ""


# --- memory ---------------------------------------------------------------------------------------------------------


MEMORY = """
import tracemalloc
from manual import nine_weight, optimizers
from manual.training import train
from reference.datasets import housing
from tests.gate.trajectories import initial_weights

weights, (x, y) = initial_weights(0, 1000), housing()
for epochs, samples in ((1, 506), (1, 20), (6, 20)):
    tracemalloc.start()
    train(nine_weight.loss_and_gradient, optimizers.adam(), weights, x[:samples], y[:samples], epochs)
    print(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""
"""Prints the bytes held at most at once by 1,000 runs of the most expensive of the documents' rules."""


def test_a_thousand_runs_of_20_epochs_take_a_few_megabytes() -> None:
    # in a process of its own: what other threads of this one hold would be counted too
    done = subprocess.run([sys.executable, "-c", MEMORY], cwd=ROOT, capture_output=True, text=True, check=True)
    whole_epoch, one_epoch, six_epochs = map(int, done.stdout.split())
    growth = (six_epochs - one_epoch) / 5
    results = 2 * 1000 * 8  # two losses for each run and epoch
    assert results <= growth < 1.5 * results
    assert whole_epoch + 19 * growth < 10 * 2**20 < 500 * 2**20
