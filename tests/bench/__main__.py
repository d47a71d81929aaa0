"""`python -m tests.bench NAME --threads 1` runs one comparison and prints the seconds of each turn as JSON."""

from __future__ import annotations

import argparse
import json
import sys

from tests.bench.side_by_side import comparison, limit_threads, measured


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    limit_threads(options.threads)
    json.dump(measured(comparison(options.name)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
