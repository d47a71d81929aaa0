"""The files that --subject names."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

import pytest


def submissions(patterns: Sequence[str]) -> list[Path]:
    """The files of all patterns, sorted and each of them once. A usage error names a pattern that matches no file."""
    found: set[Path] = set()
    for pattern in patterns:
        files = [Path(name).resolve() for name in glob(pattern, recursive=True)]
        if not any(path.is_file() for path in files):
            raise pytest.UsageError(f"--subject: expected a Python file or a glob that matches some, got {pattern!r}")
        found |= {path for path in files if path.is_file()}
    return sorted(found)
