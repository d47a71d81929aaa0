"""The files that --subject names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path

import pytest


def submissions(patterns: Sequence[str]) -> dict[str, Path]:
    """The files of all patterns by the names they go by, sorted and each of them once.

    A file goes by its own name, with as many folders before it as it takes to tell it from the others. Raises a usage
    error for a pattern that matches no file.
    """
    found: set[Path] = set()
    for pattern in patterns:
        names = [pattern] if Path(pattern).is_file() else glob(pattern, recursive=True)
        files = {path for name in names if (path := Path(name).resolve()).is_file()}
        if not files:
            raise pytest.UsageError(f"--subject: expected a Python file or a glob that matches some, got {pattern!r}")
        found |= files
    return _named(sorted(found))


def _named(paths: Iterable[Path], folders: int = 0) -> dict[str, Path]:
    """The shortest ends of the paths that are unlike each other."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault("/".join(path.parts[-1 - folders :]), []).append(path)
    named: dict[str, Path] = {}
    for name, group in groups.items():
        named |= {name: group[0]} if len(group) == 1 else _named(group, folders + 1)
    return named
