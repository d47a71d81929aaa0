"""How long the gate takes, and which of its suites."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def shares(workers: int) -> dict[str, Any]:
    """`wall` seconds of a run, and the seconds of the rows of each `suite`. Raises AssertionError for a red gate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "tests/gate", f"--junit-xml={path}"]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - start
        assert done.returncode == 0, done.stdout
        seconds: Counter[str] = Counter()
        for case in ElementTree.parse(path).iter("testcase"):
            suite = case.attrib["classname"].rpartition(".")[2].removeprefix("test_")
            seconds[suite] += float(case.attrib["time"])  # type: ignore[assignment]
    return {"wall": wall, "suites": dict(seconds)}
