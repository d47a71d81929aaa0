"""The ball modules can be imported in any order, quickly, and without torch, JAX or SciPy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import oracles

MODULES = sorted(p.stem for p in Path(oracles.__file__).parent.glob("ball*.py"))
MODULES += ["lifting", "reachable", "stand_ins", "subject"]

EACH_FIRST = """
import sys, types
for first in {modules}:
    for name in [n for n in sys.modules if n.split(".")[0] == "oracles"]:
        del sys.modules[name]
    package = types.ModuleType("oracles")  # without the imports of oracles/__init__.py
    package.__path__ = {path}
    sys.modules["oracles"] = package
    __import__("oracles." + first)
    from oracles.ball import lift
    import numpy as np
    print(first, float(np.sum(np.exp(lift([0.0, 0.0])))._a.item().mid()))
"""

COST = """
import sys, time
import numpy, flint
start = time.process_time()
import oracles.certificate
print(time.process_time() - start)
print(sorted({"torch", "jax", "scipy"} & set(sys.modules)))
"""


def output(code: str) -> list[str]:
    root = str(Path(oracles.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_module_may_be_imported_first() -> None:
    lines = output(EACH_FIRST.format(modules=MODULES, path=list(oracles.__path__)))
    assert lines == [f"{module} 2.0" for module in MODULES]


def test_importing_the_certificate_is_quick_and_needs_no_framework() -> None:
    """Beside what NumPy and python-flint take themselves."""
    runs = [output(COST) for _ in range(2)]
    assert min(float(seconds) for seconds, _ in runs) < 0.3
    assert [frameworks for _, frameworks in runs] == ["[]", "[]"]
