"""Each published result of training gets a verdict, with the evidence of a thousand runs; a changed verdict is news."""

from __future__ import annotations

import pytest

from tests.gate.replication import EXPLANATION, VARIANTS, Variant, claims, explains
from tests.gate.verdicts import PROPERTY

HOLDS = {
    "vanilla": True,
    "momentum": True,
    "adam": False,  # neither loss is that of the stated formula, and hardly a run of it falls in every epoch
    "adam, as run": True,
    "momentum times faster": True,
    "adam highest at first": True,
    "adam lowest at last": True,
    "adam decays exponentially": False,  # it starts faster and slows down
}
SEARCHED = 128
"""Runs of each variant in the search, to save time."""


def test_claims(seed: int, request: pytest.FixtureRequest) -> None:
    found = claims(seed)
    request.node.user_properties.extend((PROPERTY, {"kind": "replication", **claim._asdict()}) for claim in found)
    assert {claim.name: claim.holds for claim in found} == HOLDS, "\n".join(map(str, found))


@pytest.mark.parametrize("variant", [pytest.param(v, id=v.id) for v in VARIANTS])
def test_adam_row_has_one_explanation(variant: Variant, seed: int) -> None:
    """Of all combinations of correction, place and size of epsilon, one alone gives Adam's two losses and its fall."""
    assert explains(variant, "adam", seed, SEARCHED) == (variant == EXPLANATION)
