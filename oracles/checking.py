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
from oracles.errors import GradientError, NotCertifiableError, UndecidedComparisonError, UndecidedGradientError
from oracles.fallback import numerical_agreement
from oracles.rounding import Rounding, rounding_radii
from oracles.tree import leaves
from oracles.trial import Array, ContractError, Trial, batch_shape, layer_trial, loss_trial


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
    return _checked(lambda given: loss_trial(loss, gradient, given, wrt), args, _name(gradient), seed)


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
    return _checked(lambda given: layer_trial(forward, backward, given, wrt, seed), args, _name(backward), seed)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _checked(make: Callable[[Sequence[Any]], Trial], args: Sequence[Any], subject: str, seed: int) -> Verdict:
    __tracebackhide__ = True
    verdict = examine(make, args, subject, seed)
    if verdict.wrong:
        raise GradientError(f"\n{verdict}")
    if not verdict.ok:
        raise UndecidedGradientError(f"\n{verdict}")
    return verdict


def examine(make: Callable[[Sequence[Any]], Trial], args: Sequence[Any], subject: str, seed: int) -> Verdict:
    """The verdict on the trial that `make` gives for arguments, as data: nothing is raised for a wrong gradient."""
    given = copy.deepcopy(tuple(args))
    try:
        with np.errstate(all="ignore"):
            trial = make(given)
            findings, value, floats = _contract(trial)
    except ContractError as error:
        return Verdict(subject, (Finding("contract", Result.BAD, str(error)),))
    certificate = certify_trial(lambda: trial, seed=seed)
    if certificate.ruling is Ruling.NOT_CERTIFIABLE:
        note = Finding("certificate", Result.NOTE, str(certificate))
        agreement, finding = _by_differences(trial)
        return Verdict(subject, (*findings, note, finding), certificate, agreement)
    rounding = _rounding(trial, certificate)
    settled = certificate.ruling is not Ruling.UNDECIDED
    if settled and rounding is not None and not _same_value(value, rounding):
        void = "void: the forward gives another value on floats than on balls, so nothing was proved of it"
        note = Finding("certificate", Result.NOTE, void)
        agreement, finding = _by_differences(trial)
        nothing = Certificate(Ruling.NOT_CERTIFIABLE, reason=void)
        return Verdict(subject, (*findings, note, finding), nothing, agreement)
    findings.append(Finding("certificate", _result_of(certificate), str(certificate)))
    if certificate.ok and rounding is not None:
        findings.append(_in_floats(trial, value, floats, certificate, rounding))
    return Verdict(subject, tuple(findings), certificate)


def _result_of(certificate: Certificate) -> Result:
    if certificate.ok:
        return Result.GOOD
    return Result.BAD if certificate.ruling is Ruling.WRONG else Result.OPEN


# --- the contract ---------------------------------------------------------------------------------------------------


def _contract(trial: Trial) -> tuple[list[Finding], Array, list[Array]]:
    """Findings on how the subject behaves on floats, its value and gradients. Raises ContractError for misfits."""
    args = trial.arguments(lifted=False)
    before = [dict(leaves(a)) for a in args]
    copies = copy.deepcopy(before)
    value, gradients = trial.value(args), trial.gradient(args)
    batch = batch_shape(trial, value, gradients)
    _check_dtypes(trial, gradients)
    values, arrays = (
        np.array(value, dtype=np.float64).reshape(batch),
        [np.array(g, dtype=np.float64) for g in gradients],
    )
    changed = list(_changed(trial, args, before, copies))
    fresh = trial.arguments(lifted=False)
    again = trial.value(fresh), trial.gradient(fresh)
    repeats = _same(again[0], value) and all(_same(a, b) for a, b in zip(again[1], arrays, strict=True))
    lost = [n for n, a in zip(trial.names, arrays, strict=True) if not _finite_where(values, a)]
    return (
        [
            _finding("inputs unchanged", not changed, "", f"changed in place: {', '.join(changed)}"),
            _finding("repeats", repeats, "bit for bit", "a second run on the same inputs gives other bits"),
            _finding("finite", not lost, "", f"the loss is finite and the gradient is not: {', '.join(lost)}"),
        ],
        values,
        arrays,
    )


def _changed(
    trial: Trial, args: Sequence[Any], before: Sequence[dict[str, Any]], copies: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Arguments written into. New entries in a dict that is not differentiated by are state, such as running means."""
    for i, argument in enumerate(args):
        now = dict(leaves(argument))
        for path, leaf in before[i].items():
            replaced = path not in now or now[path] is not leaf
            if not _same(leaf, copies[i][path]) or (i in trial.wrt and replaced and not _same(now.get(path), leaf)):
                yield f"args[{i}]{path}"


def _finding(what: str, good: bool, yes: str, no: str) -> Finding:
    return Finding(what, Result.GOOD if good else Result.BAD, yes if good else no)


def _check_dtypes(trial: Trial, gradients: Sequence[Any]) -> None:
    for name, parameter, gradient in zip(trial.names, trial.parameters, gradients, strict=True):
        came = np.result_type(gradient)
        fits = np.can_cast(parameter.dtype, came) and came.kind == "f"
        if not fits and isinstance(gradient, np.ndarray | np.generic):
            raise ContractError(f"gradient of {name}: expected dtype {parameter.dtype}, got {came}")


def _same(a: Any, b: Any) -> bool:
    """Equal bit for bit, but for the sign and payload of NaN."""
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


def _finite_where(value: Array, gradient: Array) -> bool:
    sample = np.isfinite(gradient).reshape(*value.shape, -1).all(axis=-1)
    return bool(np.all(sample | ~np.isfinite(value)))


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
            place = f"{name}[{', '.join(map(str, at))}]" if at else name
            both = f"{float(values[at])!r} in floats, {float(exact[at])!r} by its own formula"
            bad.append(f"{place}: {both}, rounding {radius[at]:.1e}")
    if bad:
        return Finding("in floats", Result.BAD, "\n".join(["the floats do not follow the formula", *bad[:5]]))
    text = f"at least {worst:.1f} correct digits"
    if worst < 1:
        text = "right formula, inaccurate here: rounding leaves no correct digit in some entry"
    return Finding("in floats", Result.GOOD if worst >= 1 else Result.NOTE, text)


def _by_differences(trial: Trial) -> tuple[Agreement, Finding]:
    agreement, method = numerical_agreement(trial)
    seen = f"{agreement.entries} entries; an error below {agreement.detection:.0e} of an entry would go unseen"
    if agreement.agrees and not agreement.unstable.all():
        return agreement, Finding(method, Result.GOOD, f"agrees to {agreement.digits:.1f} digits ({seen})")
    if agreement.agrees:
        return agreement, Finding(method, Result.OPEN, "no entry is stable enough to compare")
    count = int(agreement.disagrees.sum())
    return agreement, Finding(method, Result.BAD, f"{count} of {agreement.entries} entries differ ({seen})")
