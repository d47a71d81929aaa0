"""What the values of a wrong gradient say of its cause, where no repair of its source is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from oracles.certificate import Certificate
from oracles.tree import leaves
from oracles.trial import Array, Trial
from oracles.verdict import WrongEntry

SAME = Decimal("1e-14")
"""Two decimals of 17 digits that are nearer than this are the same number."""
_MOST_RATIOS = 5


def explained_by_values(trial: Trial, certificate: Certificate) -> str | None:
    """An explanation that every wrong entry fits, to the digits that are told of it; None if there is none."""
    wrong = certificate.wrong
    if not wrong:
        return None
    pairs = [(Decimal(w.claimed), Decimal(w.true)) for w in wrong if is_number(w)]
    if len(pairs) < len(wrong):
        return "some wrong entries are not finite: a function overflows, or something is divided by 0"
    return _factor(pairs, _sizes(trial)) or _exchange(wrong) or _precision(trial, pairs)


def ratios(certificate: Certificate) -> list[str]:
    """By how much and how many times the first wrong entries are off, a line each."""
    numbers = [(w, Decimal(w.claimed), Decimal(w.true)) for w in certificate.wrong if is_number(w)]
    return [
        f"{w.entry}: claimed / true = {float(claimed / true):.15g}, claimed - true = {float(claimed - true):.6g}"
        if true
        else f"{w.entry}: claimed - true = {float(claimed):.6g}, true = 0"
        for w, claimed, true in numbers[:_MOST_RATIOS]
    ]


def is_number(entry: WrongEntry) -> bool:
    """Whether both values of an entry are finite numbers, and not the ends of a set, as at a kink."""
    return all(Decimal(text).is_finite() for text in (entry.claimed, entry.true) if _parses(text)) and all(
        map(_parses, (entry.claimed, entry.true))
    )


def _parses(text: str) -> bool:
    try:
        Decimal(text)
    except ArithmeticError:
        return False
    return True


def _same(a: Decimal, b: Decimal) -> bool:
    return abs(a - b) <= SAME * max(abs(a), abs(b))


def _sizes(trial: Trial) -> dict[str, int]:
    """The lengths that a forgotten mean or a needless one would divide by."""
    sizes: dict[str, int] = {}
    for array in (leaf for argument in trial.args for _, leaf in leaves(argument)):
        for axis, length in enumerate(np.shape(array)):
            if length > 1:
                sizes.setdefault(f"{length}, the length of an argument's axis {axis}", length)
    return sizes


def _factor(pairs: Sequence[tuple[Decimal, Decimal]], sizes: dict[str, int]) -> str | None:
    if any(true == 0 for _, true in pairs):
        return None
    if all(claimed == 0 for claimed, _ in pairs):
        return "all wrong entries are claimed to be 0: a path through the graph is left out"
    named = {"-1: the sign is wrong": Decimal(-1), "2": Decimal(2), "1/2": Decimal("0.5"), "-2": Decimal(-2)}
    for name, length in sizes.items():
        named[name] = Decimal(length)
        named[f"1/{name}"] = 1 / Decimal(length)
    for name, factor in named.items():
        if all(_same(claimed, factor * true) for claimed, true in pairs):
            return f"every wrong entry is its true value times {name}"
    ratio = pairs[0][0] / pairs[0][1]
    if len(pairs) > 1 and all(_same(claimed, ratio * true) for claimed, true in pairs):
        return f"every wrong entry is its true value times {float(ratio):.15g}"
    return None


def _exchange(wrong: Sequence[WrongEntry]) -> str | None:
    """Each claims what is true of another wrong entry: parameters exchanged, shifted or transposed."""
    partners = []
    for entry in wrong:
        there = [
            o
            for o in wrong
            if o is not entry and o.sample == entry.sample and _same(Decimal(entry.claimed), Decimal(o.true))
        ]
        if not there:
            return None
        partners.append(f"{entry.entry} has the gradient of {there[0].entry}")
    return "exchanged entries: " + ", ".join(dict.fromkeys(partners[:6]))


def _precision(trial: Trial, pairs: Sequence[tuple[Decimal, Decimal]]) -> str | None:
    """All claims are float32 numbers close to the truth, though the arguments are not float32."""
    claims: Array = np.array([float(claimed) for claimed, _ in pairs])
    near = all(abs(claimed - true) <= Decimal(2) ** -16 * abs(true) for claimed, true in pairs)
    single = np.array_equal(claims, claims.astype(np.float32).astype(np.float64))
    wide = all(p.dtype == np.float64 for p in trial.parameters)
    if near and single and wide and len(pairs) > 1:
        return "all wrong entries are float32 numbers close to the truth: something is computed in single precision"
    return None
