"""`check`: everything that can be said of a gradient at a point, in one call for a test or a notebook."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from oracles.accuracy import correct_digits
from oracles.agreement import Agreement, compare
from oracles.certificate import Certificate, Ruling, certify_trial
from oracles.elsewhere import run_elsewhere
from oracles.errors import GradientError, NotCertifiableError, UndecidedComparisonError, UndecidedGradientError
from oracles.evaluation import Layout
from oracles.fallback import numerical_agreement
from oracles.rounding import Rounding, rounding_radii
from oracles.tree import leaves
from oracles.trial import Array, ContractError, Trial, batch_shape, entry_name, layer_trial, loss_trial
from oracles.unchanged import Kept, changes, snapshot

_MOST_PLACES = 8


class Result(Enum):
    """Of one finding."""

    GOOD = "ok"
    BAD = "WRONG"
    OPEN = "open"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One line of a verdict: what was looked at, the result, and the evidence."""

    what: str
    result: Result
    evidence: str


@dataclass(frozen=True)
class Verdict:
    """What `check` found. Prints as a table."""

    subject: str
    findings: tuple[Finding, ...]
    certificate: Certificate | None = None
    agreement: Agreement | None = None
    """With a numerical oracle, where the code could not run on balls."""

    @property
    def certified(self) -> bool:
        """Whether the gradient was proved right; False for code that could only be compared with differences."""
        return self.certificate is not None and self.certificate.ok and self.ok

    @property
    def wrong(self) -> bool:
        return any(f.result is Result.BAD for f in self.findings)

    @property
    def ok(self) -> bool:
        return not any(f.result in (Result.BAD, Result.OPEN) for f in self.findings)

    def __str__(self) -> str:
        width = max(len(f.what) for f in self.findings)
        rows = [f"{self.subject}: {'wrong' if self.wrong else 'right' if self.ok else 'undecided'}"]
        for f in self.findings:
            first, *rest = f.evidence.splitlines() or [""]
            rows.append(f"  {f.what:<{width}}  {f.result.value:<5}  {first}")
            rows.extend(f"  {'':<{width}}         {line}" for line in rest)
        return "\n".join(row.rstrip() for row in rows)


def check(
    loss: Callable[..., Any], gradient: Callable[..., Any], *args: Any, wrt: int | Sequence[int] = 0, seed: int = 0
) -> Verdict:
    """Check that `gradient(*args)` is the gradient of `loss(*args)` with respect to the argument(s) `wrt`.

    loss returns a scalar or one number per sample (shape B); gradient returns what `args[wrt]` is (an array, a number,
    or a dict, list or tuple of them; a tuple of these for several positions), each array with B in front.

    Certifies it (see `oracles.certify`); where the code cannot run on balls, compares it with numerical derivatives.
    Also checks that inputs stay as they were, that a second run gives the same bits, that shapes and dtypes fit, that
    the gradient is finite where the loss is, and that the floats are what the formula gives up to rounding.

    Returns a Verdict, which prints as a table. Raises GradientError, with the same table, if anything is wrong, and
    UndecidedGradientError if no verdict could be reached.
    """
    return checked(lambda given: loss_trial(loss, gradient, given, wrt), args, name_of(gradient), seed)


def check_layer(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *args: Any,
    wrt: int | Sequence[int] | None = None,
    seed: int = 0,
) -> Verdict:
    """Check a layer's `backward(cotangent, cache)` against `forward(*args) -> (out, cache)`, as `check` does.

    The cotangent is random; `wrt` are the arguments that backward returns gradients for, by default all with floats.
    """
    return checked(lambda given: layer_trial(forward, backward, given, wrt, seed), args, name_of(backward), seed)


def name_of(function: Any) -> str:
    """What a callable is called in messages."""
    return str(getattr(function, "__qualname__", type(function).__name__))


def checked(make: Callable[[Sequence[Any]], Trial], args: Sequence[Any], subject: str, seed: int) -> Verdict:
    """`examine`, with what it finds raised as by `settled`."""
    __tracebackhide__ = True
    return settled(examine(make, args, subject, seed))


def settled(verdict: Verdict) -> Verdict:
    """The verdict as it is. Raises GradientError if it is wrong, UndecidedGradientError if it is neither."""
    __tracebackhide__ = True
    if verdict.wrong:
        raise GradientError(f"\n{verdict}")
    if not verdict.ok:
        raise UndecidedGradientError(f"\n{verdict}")
    return verdict


def examine(
    make: Callable[[Sequence[Any]], Trial], args: Sequence[Any], subject: str, seed: int, diagnosed: bool = True
) -> Verdict:
    """The verdict on the trial that `make` gives for arguments, as data: nothing is raised for a wrong gradient.

    `diagnosed` says whether to look for the cause of what is proved wrong, which may take longer than all the rest.
    """
    given = copied(args)
    run_elsewhere(make, given)
    trial: Trial | None = None
    try:
        with np.errstate(all="ignore"):
            trial = make(given)
            findings, value, floats = _contract(trial)
    except ContractError as error:
        misfit = Finding("contract", Result.BAD, str(error))
        wrong = Certificate(Ruling.WRONG, reason=str(error))
        causes = [cause_of(trial, wrong)] if trial is not None and diagnosed else []
        return Verdict(subject, (misfit, *causes))
    if diagnosed and any(f.what == "finite" and f.result is Result.BAD for f in findings):
        findings += overflow_of(trial)
    certificate = certify_trial(lambda: trial, seed=seed)
    if certificate.ruling is Ruling.NOT_CERTIFIABLE:
        note = Finding("certificate", Result.NOTE, str(certificate))
        agreement, finding = _by_differences(trial, value, floats)
        causes = [cause_of(trial, certificate)] if diagnosed and finding.result is Result.BAD else []
        return Verdict(subject, (*findings, note, finding, *causes), certificate, agreement)
    rounding = _rounding(trial, certificate)
    settled = certificate.ruling is not Ruling.UNDECIDED
    if settled and rounding is not None and not _same_value(value, rounding):
        void = "void: the forward gives another value on floats than on balls, so nothing was proved of it"
        note = Finding("certificate", Result.NOTE, void)
        agreement, finding = _by_differences(trial, value, floats)
        nothing = Certificate(Ruling.NOT_CERTIFIABLE, reason=void)
        return Verdict(subject, (*findings, note, finding), nothing, agreement)
    findings.append(Finding("certificate", _result_of(certificate), str(certificate)))
    if diagnosed and certificate.ruling is Ruling.WRONG:
        findings.append(cause_of(trial, certificate))
    if certificate.ok and rounding is not None:
        findings.append(_in_floats(trial, value, floats, certificate, rounding))
    return Verdict(subject, tuple(findings), certificate)


def copied(args: Sequence[Any]) -> tuple[Any, ...]:
    """Deep copies. Raises TypeError for what cannot be copied."""
    try:
        return copy.deepcopy(tuple(args))
    except Exception as error:  # of any kind: classes bring their own way of being copied
        raise TypeError(
            f"args: expected what copy.deepcopy can copy, got {', '.join(type(a).__name__ for a in args)} ({error}); "
            "leave out modules, generators, open files and locks: functions may find them elsewhere"
        ) from error


def cause_of(trial: Trial, certificate: Certificate) -> Finding:
    """The cause of what the certificate of a trial proves wrong, where there is one; or else the numbers."""
    from oracles.diagnosis import diagnose, unexplained  # only for what is wrong: it takes the mutation library

    try:
        evidence = str(diagnose(trial, certificate) or unexplained(certificate))
    except Exception as error:  # of any kind: what is wrong is known, and must be told with its cause or without
        evidence = f"not possible here: {type(error).__name__}: {error}"
    return Finding("diagnosis", Result.NOTE, evidence)


def overflow_of(trial: Trial) -> list[Finding]:
    """Where a gradient that is not finite first was not, if that can be told."""
    from oracles.diagnosis_overflow import first_not_finite

    place = first_not_finite(trial)
    return [Finding("diagnosis", Result.NOTE, place)] if place else []


def _result_of(certificate: Certificate) -> Result:
    if certificate.ok:
        return Result.GOOD
    return Result.BAD if certificate.ruling is Ruling.WRONG else Result.OPEN


# --- the contract ---------------------------------------------------------------------------------------------------


def _contract(trial: Trial) -> tuple[list[Finding], Array, list[Array]]:
    """Findings on how the subject behaves on floats, its value and gradients. Raises ContractError for misfits."""
    args = trial.arguments(lifted=False)
    before = [snapshot(a) for a in args]
    value, gradients = _first_run(trial, args, before)
    batch = batch_shape(trial, value, gradients)
    _check_dtypes(trial, gradients)
    values, arrays = (
        np.array(value, dtype=np.float64).reshape(batch),
        [np.array(g, dtype=np.float64) for g in gradients],
    )
    changed = _changed(trial, args, before)
    fresh = trial.arguments(lifted=False)
    again = trial.value(fresh), trial.gradient(fresh)
    repeats = same(again[0], value) and all(same(a, b) for a, b in zip(again[1], arrays, strict=True))
    lost = [place for n, a in zip(trial.names, arrays, strict=True) if (place := _not_finite(n, values, a))]
    return (
        [
            judged("inputs unchanged", not changed, "", f"changed in place: {', '.join(changed)}"),
            judged("repeats", repeats, "bit for bit", "a second run on the same inputs gives other bits"),
            *_second_backward(trial),
            judged("finite", not lost, "", f"the loss is finite and the gradient is not: {', '.join(lost)}"),
        ],
        values,
        arrays,
    )


def _first_run(trial: Trial, args: tuple[Any, ...], before: Sequence[dict[str, Kept]]) -> tuple[Any, list[Any]]:
    """Value and gradients. What a subject raises because it has spoilt its own arguments is told as that."""
    try:
        value = trial.value(args)
        if value is None or np.asarray(value).dtype.kind not in "fiubO":  # an object may be a number of its own
            kind = getattr(value, "dtype", type(value).__name__)
            raise ContractError(f"loss: expected a number, or one per sample, got {kind}")
        return value, trial.gradient(args)
    except ContractError:
        raise
    except Exception as error:  # of any kind: spoilt arguments can make the subject raise anything
        if changed := _changed(trial, args, before):
            told = f"{type(error).__name__}: {error}"
            raise ContractError(f"changes its arguments ({', '.join(changed)}), and raises {told}") from error
        raise


def _changed(trial: Trial, args: Sequence[Any], before: Sequence[dict[str, Kept]]) -> list[str]:
    """Leaves of the arguments that are not as they were before."""
    return [
        (trial.labels[i] if trial.labels else f"args[{i}]") + what
        for i, argument in enumerate(args)
        for what in changes(argument, before[i], i in trial.wrt)
    ]


def _second_backward(trial: Trial) -> Iterator[Finding]:
    """Whether a layer's backward leaves its cache and its upstream gradient alone: one finding, and none of a loss."""
    if trial.pullback is None:
        return
    what = "second backward"
    cotangents, backward = trial.pullback(trial.arguments(lifted=False))
    kept = copy.deepcopy(cotangents)
    first = copy.deepcopy(backward())
    if not all(same(a, b) for a, b in zip(cotangents, kept, strict=True)):
        yield Finding(what, Result.BAD, "backward changes the upstream gradient in place")
        return
    try:
        second = backward()
    except Exception as error:  # a cache that can be used once only says so
        yield Finding(what, Result.NOTE, f"not possible after one forward: {type(error).__name__}: {error}")
        return
    other = [n for n, a, b in zip(trial.names, first, second, strict=True) if not same(a, b)]
    yield judged(what, not other, "the same", f"another gradient from the same forward: {', '.join(other)}")


def judged(what: str, good: bool, yes: str, no: str) -> Finding:
    """A finding with evidence for either result."""
    return Finding(what, Result.GOOD if good else Result.BAD, yes if good else no)


def _check_dtypes(trial: Trial, gradients: Sequence[Any]) -> None:
    for name, parameter, gradient in zip(trial.names, trial.parameters, gradients, strict=True):
        came = np.result_type(gradient)
        fits = np.can_cast(parameter.dtype, came) and came.kind == "f"
        if not fits and isinstance(gradient, np.ndarray | np.generic):
            raise ContractError(f"gradient of {name}: expected dtype {parameter.dtype}, got {came}")


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, but for the sign and payload of NaN."""
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


def _not_finite(name: str, value: Array, gradient: Array) -> str:
    """The first entry that is not finite at a sample where the loss is; empty if there is none."""
    finite_loss = np.isfinite(value).reshape(value.shape + (1,) * (gradient.ndim - value.ndim))
    places = np.argwhere(finite_loss & ~np.isfinite(gradient))
    if not len(places):
        return ""
    first = [int(i) for i in places[0]]
    return entry_name(name, first[value.ndim :], first[: value.ndim])


# --- the evaluation in floats ---------------------------------------------------------------------------------------


def _rounding(trial: Trial, certificate: Certificate) -> Rounding | None:
    """What rounding may do to this trial in its own precision, or None if it cannot be run that way."""
    narrow = any(np.asarray(leaf).dtype == np.float32 for a in trial.args for _, leaf in leaves(a))
    try:
        return rounding_radii(trial, 24 if narrow else 53, certificate.literals)
    except (NotCertifiableError, UndecidedComparisonError):  # at 53 bits: then there is nothing to compare with
        return None


def _same_value(value: Array, rounding: Rounding) -> bool:
    """Whether the floats compute what the balls did: each is within the radius of the true value."""
    radius = np.where(np.isfinite(value), 2 * rounding.value, np.inf)  # an overflow is an evaluation, not a forward
    return compare(value, rounding.midpoint.reshape(value.shape), radius.reshape(value.shape)).agrees


def _in_floats(
    trial: Trial, value: Array, floats: Sequence[Array], certificate: Certificate, rounding: Rounding
) -> Finding:
    """Whether the floats are what the certified formula gives, up to rounding; and how many digits survive it."""
    worst, bad = math.inf, []
    for name, values, truth, radius in zip(trial.names, floats, certificate.claimed, rounding.gradients, strict=True):
        if not values.size:
            continue
        worst = min(worst, float(correct_digits(values, truth).min()))
        exact = np.array([float(b.mid()) for b in truth._a.ravel()]).reshape(values.shape)
        allowed = radius + np.abs(exact) * 2.0**-53
        sample_overflows = ~np.isfinite(value).reshape(value.shape + (1,) * (values.ndim - value.ndim))
        allowed = np.where(sample_overflows, np.inf, allowed)
        for kink in certificate.kinks:
            if kink.parameter == name:
                allowed[(*kink.sample, *kink.index)] = np.inf  # floats may follow the other side there
        verdict = compare(values, exact, allowed)
        if not verdict.agrees:
            at = tuple(int(i) for i in np.argwhere(verdict.disagrees)[0])
            both = f"{float(values[at])!r} in floats, {float(exact[at])!r} by its own formula"
            bad.append(f"{entry_name(name, at)}: {both}, rounding {radius[at]:.1e}")
    if bad:
        return Finding("in floats", Result.BAD, "\n".join(["the floats do not follow the formula", *bad[:5]]))
    text = f"at least {worst:.1f} correct digits"
    if worst < 1:
        text = "right formula, inaccurate here: rounding leaves no correct digit in some entry"
    return Finding("in floats", Result.GOOD if worst >= 1 else Result.NOTE, text)


def _by_differences(trial: Trial, value: Array, floats: Sequence[Array]) -> tuple[Agreement, Finding]:
    agreement, method, kinks = numerical_agreement(trial)
    unseen = f"an error below {agreement.detection:.0e} of an entry would go unseen"
    seen = f"{agreement.entries} entries; {unseen if np.isfinite(agreement.detection) else 'what can be compared is 0'}"
    if kinks:
        seen += f"; {len(kinks)} on a kink, with one of the derivatives there"
    if agreement.agrees and not agreement.unstable.all():
        return agreement, Finding(method, Result.GOOD, f"agrees to {agreement.digits:.1f} digits ({seen})")
    if agreement.agrees:
        return agreement, Finding(method, Result.OPEN, "no entry is stable enough to compare")
    text = f"{int(agreement.disagrees.sum())} of {agreement.entries} entries differ"
    if method == "differences":  # entry by entry, not along random directions
        text += f", in {_places(agreement, Layout.of(trial, value.shape, floats))}"
    return agreement, Finding(method, Result.BAD, f"{text} ({seen})")


def _places(agreement: Agreement, layout: Layout) -> str:
    """The first few entries that disagree, by name."""
    first = np.argwhere(agreement.disagrees)[:_MOST_PLACES].tolist()
    names = [entry_name(*layout.place(column), layout.sample(row)) for row, column in first]
    return ", ".join(names) + (", ..." if agreement.disagrees.sum() > _MOST_PLACES else "")
