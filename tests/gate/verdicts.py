"""How a gate test speaks: the record it leaves for the closing summary, and the message of a failure."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oracles import Certificate
from oracles.agreement import Agreement, compare
from tests.gate.trials import Case

Array = np.ndarray[Any, Any]
Record = Callable[[str, object], None]
PROPERTY = "backproof"


def rerun(request: pytest.FixtureRequest) -> str:
    """The command that runs just this case."""
    option = request.config.option
    subjects = "".join(f" --subject {shlex.quote(name)}" for name in option.subject)
    return f"pytest {shlex.quote(request.node.nodeid)} --draws {option.draws} --seed {option.seed}{subjects}"


def settle(
    case: Case, oracle: str, mine: Array, theirs: Array, tolerance: Array, own: Array, seconds: float, request: Any
) -> None:
    """Judge an agreement (N, ...), leave its record, and fail if the subject is to blame.

    `own` is the subject's own rounding radius. Where the two disagree the certified truth decides who is wrong: "the
    oracle is inaccurate here" is counted and never fails the subject.
    """
    __tracebackhide__ = True
    agreement = compare(mine, theirs, tolerance)
    inaccurate = 0
    if not agreement.agrees:
        certificate = case.certificate()
        if not certificate.ok:
            pytest.fail(_disagreement(case, oracle, agreement, mine, theirs, certificate, request), pytrace=False)
        truth = midpoints(certificate)
        blamed = agreement.disagrees & ~compare(mine, truth, own + np.abs(truth) * 2.0**-53).unstable
        blamed &= ~(np.abs(mine - truth) <= own + np.abs(truth) * 2.0**-53)
        if blamed.any():
            pytest.fail(_disagreement(case, oracle, agreement, mine, theirs, certificate, request), pytrace=False)
        inaccurate = int(agreement.disagrees.sum())
    request.node.user_properties.append((PROPERTY, _record(case, oracle, agreement, inaccurate, seconds)))


def midpoints(certificate: Certificate) -> Array:
    """The certified gradient (N, n) rounded to float64."""
    balls = certificate.claimed[0]._a
    return np.array([float(b.mid()) for b in balls.ravel()]).reshape(balls.shape)


def _record(case: Case, oracle: str, agreement: Agreement, inaccurate: int, seconds: float) -> dict[str, Any]:
    return {
        "kind": "agreement",
        "subject": case.subject.id,
        "oracle": oracle,
        "points": agreement.entries,
        "digits": min(agreement.digits, 99.0),
        "where": place(case, agreement.worst),
        "unstable": int(agreement.unstable.sum()),
        "inaccurate": inaccurate,
        "detection": agreement.typical_detection,
        "seconds": seconds,
    }


def place(case: Case, index: tuple[int, ...]) -> str:
    """`sample 41, w3, scale0.1-draw2`."""
    return ", ".join(filter(None, (case.entry(index), case.draw.id)))


def _disagreement(
    case: Case, oracle: str, agreement: Agreement, mine: Array, theirs: Array, certificate: Certificate, request: Any
) -> str:
    rows = np.argwhere(agreement.disagrees)
    with np.errstate(all="ignore"):
        size = np.abs(mine - theirs) / np.maximum(np.abs(mine), np.abs(theirs))
    first = tuple(int(i) for i in rows[0])
    worst = tuple(int(i) for i in rows[int(np.argmax(np.nan_to_num([size[tuple(r)] for r in rows], nan=np.inf)))])
    lines = [f"{case.subject.id} disagrees with {oracle} in {len(rows)} of {agreement.entries} entries"]
    for title, at in (("first", first), ("worst", worst)):
        lines.append(
            f"  {title}: {place(case, at)}: {case.subject.id} {float(mine[at])!r}, {oracle} {float(theirs[at])!r}"
        )
    lines += [f"  certificate: {certificate}", f"  rerun: {rerun(request)}"]
    return "\n".join(lines)
