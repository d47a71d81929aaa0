"""python -m oracles.report results.json [more.json ...] -o DIR: the page of one machine's results, or of several."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oracles.report import load, write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Render, or merge and render; say where the page is. Returns 0, or 2 where that could not be done."""
    parser = argparse.ArgumentParser(prog="python -m oracles.report", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="what `pytest tests/gate --results FILE` wrote")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="DIR", help="for results.json and index.html"
    )
    parser.add_argument("--pictures", action="store_true", help="write each picture as an SVG file of its own, too")
    options = parser.parse_args(arguments)
    try:
        print(write_report([load(path) for path in options.results], options.output, options.pictures))
    except (ImportError, OSError, ValueError) as error:
        print(f"oracles.report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
