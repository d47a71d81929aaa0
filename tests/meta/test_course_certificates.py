"""Layers as courses write them are certified unchanged, and every realistic mistake in one is proved wrong."""

from __future__ import annotations

import pytest

from oracles import Ruling
from tests.meta.course_faults import CONTROLS, FAULTS, SUBTLE, Fault
from tests.meta.course_layers import SUBJECTS, Layer, Loss
from tests.meta.course_trials import certified, of_fault

DIGITS = 30
DRAWS = 4


def named(rows: list[Fault]) -> list[object]:
    return [pytest.param(row, id=row.id) for row in rows]


@pytest.mark.parametrize("subject", [pytest.param(s, id=s.id) for s in SUBJECTS])
def test_right_layers_are_certified(subject: Layer | Loss) -> None:
    for number in range(DRAWS):
        certificate = certified(subject, number)
        assert certificate.ruling is Ruling.CERTIFIED, f"draw {number}: {certificate}"
        assert certificate.digits >= DIGITS, f"draw {number}: {certificate}"


@pytest.mark.parametrize("fault", named([*FAULTS, *SUBTLE]))
def test_wrong_layers_are_proved_wrong(fault: Fault) -> None:
    """At the first draw, or at one of four where a configuration (`when`) has to come up for the mistake to show."""
    certificates = [of_fault(fault, number) for number in range(DRAWS if fault.when else 1)]
    assert Ruling.WRONG in {c.ruling for c in certificates}, "\n".join(map(str, certificates))


@pytest.mark.parametrize("fault", named(CONTROLS))
def test_unusual_but_right_layers_raise_no_alarm(fault: Fault) -> None:
    allowed = {Ruling.CERTIFIED, Ruling.ROUNDED} if fault.kind == "rounded constant" else {Ruling.CERTIFIED}
    for number in range(DRAWS):
        certificate = of_fault(fault, number)
        assert certificate.ruling in allowed, f"draw {number}: {certificate}"
