"""What a figure module hands to the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Picture(NamedTuple):
    """One picture as inline SVG."""

    id: str
    title: str
    svg: str
    choice: str = ""
    """What to choose to see it, where it is one of several of which one is shown at a time."""


class Section(NamedTuple):
    """Pictures that are read alike, with the sentence that says how."""

    id: str
    title: str
    reading: str
    figures: Sequence[Picture]
    wide: bool = False
    """Whether a picture needs the width of the page, and scrolls where it is narrower."""
