"""The diagnosis of a wrong gradient names the mistake in its source, proves the correction, and else claims nothing."""

from __future__ import annotations

import ast
import sys
from statistics import median
from types import FrameType, FunctionType
from typing import Any

import numpy as np
import pytest

from conftest import SUBJECTS
from oracles import GradientError, check, check_layer, diagnosis
from oracles.certificate import certify_trial
from oracles.checking import examine
from oracles.diagnosis import diagnose
from oracles.diagnosis_edits import Editable
from oracles.diagnosis_smaller import smaller
from oracles.mutation import OPERATORS
from oracles.registration import Subject
from oracles.repairs import ROUNDS
from oracles.submission import Draw, results_at
from oracles.trial import Trial, layer_trial, loss_trial
from oracles.watching import TooLong, limited
from tests.gate.summary import aligned
from tests.meta import diagnosis_examples as examples
from tests.meta.diagnosis_examples import EXAMPLES, Example
from tests.meta.diagnosis_mutants import Case, cases
from tests.meta.endless import ends

Array = Any
SEED, EACH = 3, 5
HEADER = ["subject", "mutants", "right", "none", "wrong", "median s", "worst s"]


# --- mutants of the registry's backwards ------------------------------------------------------------------------------


def test_single_mistakes_in_every_backward_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    found = {subject.id: list(cases(subject, EACH, SEED)) for subject in SUBJECTS}
    everything = [case for each in found.values() for case in each]
    with capsys.disabled():
        print(
            "\n" + "\n".join(aligned([HEADER, *(row(id, each) for id, each in found.items()), row("all", everything)]))
        )
    counts = {outcome: [c for c in everything if c.outcome == outcome] for outcome in ("right", "none", "wrong")}
    assert all(found.values())
    assert len(counts["right"]) >= 0.9 * len(everything), "\n".join(map(str, counts["none"]))
    assert len(counts["wrong"]) <= 0.01 * len(everything), "\n".join(map(str, counts["wrong"]))


def row(name: str, found: list[Case]) -> list[str]:
    outcomes, seconds = [c.outcome for c in found], [c.seconds for c in found]
    counts = [str(outcomes.count(outcome)) for outcome in ("right", "none", "wrong")]
    return [name, str(len(found)), *counts, f"{median(seconds):.2f}", f"{max(seconds):.2f}"]


# --- one example of each kind -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", [pytest.param(e, id=e.id) for e in EXAMPLES])
def test_each_kind_of_mistake_is_explained(example: Example) -> None:
    trial = example.trial()
    message = str(examine(lambda args: trial, trial.args, example.id, 0))
    for part in (example.line, *example.says):
        assert part in message


def test_a_correction_is_proved_and_quoted_as_data() -> None:
    trial = loss_trial(examples.wave, examples.lost_cosine, (examples.POINT,), 0)
    found = diagnose(trial, certify_trial(lambda: trial))
    assert found is not None
    assert found.file == examples.__file__
    assert (found.before, found.after) == ("ds", "ds * np.cos(u)")
    assert found.text.splitlines()[1].endswith("it is certified to 46 digits")


def test_what_nothing_explains_is_shown_in_numbers() -> None:
    with pytest.raises(GradientError) as raised:
        check(examples.cubes, examples.nonsense, np.array([1.5, -0.7]))
    lines = str(raised.value).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  diagnosis"))
    assert lines[at].endswith("no single mistake that is known explains it")
    assert [line.split()[0] for line in lines[at + 1 :]] == ["w[0]:", "w[1]:"]


def test_subjects_run_their_own_code_afterwards() -> None:
    functions = (examples.wave, examples.lost_cosine)
    codes = [f.__code__ for f in functions]
    trial = loss_trial(*functions, (examples.POINT,), 0)
    assert diagnose(trial, certify_trial(lambda: trial)) is not None
    assert [f.__code__ for f in functions] == codes


# --- the message of a failure -----------------------------------------------------------------------------------------

COSINE = "diagnosis_examples.py:62 in lost_cosine:  du = ds"


def test_the_error_of_check_has_the_diagnosis() -> None:
    with pytest.raises(GradientError, match=r"it lacks the factor np\.cos\(u\)") as raised:
        check(examples.wave, examples.lost_cosine, examples.POINT)
    assert COSINE in str(raised.value)


def test_the_error_of_check_layer_has_the_diagnosis() -> None:
    with pytest.raises(GradientError, match=r"with `dout\.sum\(axis=0\)` for `dout` it is certified"):
        check_layer(examples.affine, examples.missing_sum, *examples.UNLIKE)


def test_a_submission_to_the_gate_has_the_diagnosis(tmp_path: Any) -> None:
    subject = Subject("wave", examples.wave, examples.lost_cosine, lambda random, scale: (examples.POINT,))
    *_, last = results_at(Draw("draw0", 1.0, 0), subject, tmp_path / "wave.py")
    assert last.outcome == "wrong"
    assert COSINE in last.evidence


# --- edits that never end ---------------------------------------------------------------------------------------------


def counted(w: Array, n: Array) -> tuple[Array, Any]:
    return w * n.max(), (w, n, 1e10 * np.ones(1))


def counts(dout: Array, cache: Any) -> Array:
    """With the name after it for `n` its loop would have 1e10 rounds."""
    w, n, large = cache
    total = np.zeros_like(w)
    for _ in range(int(n.max())):
        total = total + dout * dout
    return total * (large > 0)


def halving(w: Array) -> Array:
    return w * w


def halves(w: Array) -> Array:
    """Without its division, or with another number for it, the loop has no end."""
    steps, left = 0, 8.0
    while left > 1:
        left = left / 2
        steps = steps + 1
    return steps * w * w


def limited_trials() -> list[Any]:
    w = np.array([0.5, -1.5])
    return [
        pytest.param(layer_trial(counted, counts, (w, np.array([2, 3])), (0,), 0), id="rounds-of-a-value"),
        pytest.param(loss_trial(halving, halves, (w,), 0), id="no-progress"),
    ]


@pytest.mark.parametrize("trial", limited_trials())
def test_edits_that_never_end_are_given_up(trial: Trial) -> None:
    certificate = certify_trial(lambda: trial)
    assert certificate.wrong
    with ends():
        diagnose(trial, certificate)


def test_the_limit_counts_lines_of_the_given_files_only() -> None:
    def endless() -> None:
        while True:
            pass

    with pytest.raises(TooLong), limited({__file__}, 1000) as lines:
        endless()
    assert lines.count == 1001
    with limited({"another file"}, 1) as lines:
        sorted(range(10), key=lambda n: -n)
    assert lines.count == 0


def test_numbers_that_double_in_length_are_given_up() -> None:
    """No count of lines ends them: sixty squarings of 3 have more digits than all memory."""

    def squared_over_and_over() -> None:
        number = 3
        for _ in range(60):
            number *= number

    with ends(), pytest.raises(TooLong), limited({__file__}, 1000, 0.2) as lines:
        squared_over_and_over()
    assert lines.count < 100


def test_a_trace_function_that_was_set_is_set_again() -> None:
    """As a debugger's, or that of a coverage tool."""

    def debugger(frame: FrameType, event: str, arg: object) -> None:
        return None

    trial = loss_trial(examples.wave, examples.lost_cosine, (examples.POINT,), 0)
    certificate = certify_trial(lambda: trial)
    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        found = diagnose(trial, certificate)
        during = sys.gettrace()
    finally:
        sys.settrace(before)
    assert found is not None
    assert during is debugger


def padded(w: Array, large: Array) -> Array:
    count = len(w)
    padding = np.zeros(count)
    return w + padding * large


def test_no_edit_makes_an_array_as_long_as_a_value() -> None:
    """`np.zeros(large)` may take 80 GB: no name is exchanged where a length is made."""
    assert isinstance(padded, FunctionType)
    code, exchange = Editable(padded), OPERATORS["exchange-name"]
    first = padded.__code__.co_firstlineno
    offered = [[edit.label for edit in code.edits(exchange, first + line)] for line in (1, 2, 3)]
    assert offered[:2] == [[], []]
    assert "large for padding" in offered[2]


FACTORS = [operator for round in ROUNDS for operator in round if operator.name.startswith("missing-")]


def spread(dout: Array, x: Array) -> Array:
    dx = np.zeros(x.shape)
    return dx + dout / x.shape[0]


def test_no_edit_has_a_shape_for_a_number() -> None:
    """`x.shape * 4` has the numbers of x to the fourth power."""
    assert isinstance(spread, FunctionType)
    code, first = Editable(spread), spread.__code__.co_firstlineno
    offered = [edit for operator in FACTORS for line in (1, 2) for edit in code.edits(operator, first + line)]
    assert "x.shape" not in {ast.unparse(edit.node) for edit in offered}
    assert "(x.shape[0] * 2)" in {edit.pieces[0].text for edit in offered}


# --- large arguments --------------------------------------------------------------------------------------------------


def fit(w: Array, x: Array, y: Array) -> Any:
    return np.mean((x @ w - y) ** 2)


def fit_unhalved(w: Array, x: Array, y: Array) -> Array:
    return x.T @ (x @ w - y) / len(y)


def wrong_on_all(w: Array, x: Array, y: Array) -> Array:
    return fit_unhalved(w, x, y) * (1 if len(y) == 4000 else 2)


def large_trial(gradient: Any) -> Trial:
    random = np.random.default_rng(2)
    return loss_trial(
        fit, gradient, (random.normal(size=3), random.normal(size=(4000, 3)), random.normal(size=4000)), 0
    )


def test_edits_are_tried_on_few_samples_and_proved_on_all() -> None:
    trial = large_trial(fit_unhalved)
    certificate = certify_trial(lambda: trial)
    made, again = smaller(trial, certificate)
    assert [np.shape(a) for a in made.args] == [(3,), (8, 3), (8,)]
    assert [w.entry for w in again.wrong] == [w.entry for w in certificate.wrong]
    found = diagnose(trial, certificate)
    assert found is not None
    assert "lacks the factor 2" in found.text


def test_a_mistake_that_few_samples_do_not_show_is_tried_on_all() -> None:
    trial = large_trial(wrong_on_all)
    certificate = certify_trial(lambda: trial)
    assert smaller(trial, certificate) == (trial, certificate)


def test_small_arguments_are_left_as_they_are() -> None:
    trial = loss_trial(examples.wave, examples.lost_cosine, (examples.POINT,), 0)
    certificate = certify_trial(lambda: trial)
    assert smaller(trial, certificate) == (trial, certificate)


# --- failures of its own ----------------------------------------------------------------------------------------------


def test_what_is_proved_wrong_is_told_even_if_its_cause_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr(diagnosis, "diagnose", broken)
    with pytest.raises(GradientError, match="proved wrong") as raised:
        check(examples.wave, examples.lost_cosine, examples.POINT)
    assert "not possible here: ZeroDivisionError: of its own" in str(raised.value)
