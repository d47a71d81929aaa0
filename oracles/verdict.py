"""What a certificate says, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from oracles.ball import BallArray
from oracles.kinks import Kink
from oracles.trial import entry_name


class Ruling(Enum):
    """The five things that a certificate can say of a gradient at a point."""

    WRONG = "proved wrong"
    CERTIFIED = "certified"
    ROUNDED = "right up to rounded constants"
    UNDECIDED = "undecided"
    NOT_CERTIFIABLE = "not certifiable"


@dataclass(frozen=True)
class WrongEntry:
    """One entry that was proved wrong: which, at which sample, and both values to 17 digits."""

    parameter: str
    index: tuple[int, ...]
    sample: tuple[int, ...]
    claimed: str
    true: str

    @property
    def entry(self) -> str:
        return entry_name(self.parameter, self.index)

    def __str__(self) -> str:
        return f"{entry_name(self.parameter, self.index, self.sample)}: claimed {self.claimed}, true {self.true}"


@dataclass(frozen=True)
class Certificate:
    """The rigorous verdict at a point."""

    ruling: Ruling
    digits: float = 0.0
    """Worst certified digits over all entries; 0 unless certified, infinite if all that is claimed is exactly zero."""
    entries: int = 0
    """How many gradient entries were judged: parameters times samples."""
    precision: int = 0
    """Bits of the widest arithmetic that was used."""
    reason: str = ""
    wrong: tuple[WrongEntry, ...] = ()
    kinks: tuple[Kink, ...] = ()
    literals: bool = True
    """Whether the subject's literals were taken from its source."""
    claimed: tuple[BallArray, ...] = field(default=(), repr=False)
    """Enclosures of the claimed gradient, one array for each parameter: of the true one, where it is certified.
    Not a number where nothing was proved, such as at a sample that is wrong at a tie."""

    @property
    def ok(self) -> bool:
        return self.ruling in (Ruling.CERTIFIED, Ruling.ROUNDED)

    def __str__(self) -> str:
        text = self.ruling.value
        if self.ok:
            digits = "all digits" if math.isinf(self.digits) else f"{math.floor(self.digits)} digits"
            text += f" to {digits} ({self.entries} entries, {self.precision} bits)"
        if self.reason:
            text += f": {self.reason}"
        lines = [text, *(f"  {w}" for w in self.wrong[:10]), *(f"  kink: {k}" for k in self.kinks[:5])]
        if len(self.wrong) > 10:
            lines.append(f"  ... and {len(self.wrong) - 10} more wrong entries")
        return "\n".join(lines)
