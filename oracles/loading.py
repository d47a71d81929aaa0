"""The functions and classes of a notebook or script, without running it: so that they can be checked."""

from __future__ import annotations

import ast
import builtins
import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from oracles.loading_cells import Cell, compiled, read_cells
from oracles.loading_imports import Importer
from oracles.loading_names import global_names
from oracles.loading_namespace import Ledger, Loaded
from oracles.loading_statements import TopLevel

__all__ = ["Loaded", "load"]

_IN_A_NOTEBOOK = ("get_ipython", "display")
"""What only a running notebook has."""


def load(path: str | os.PathLike[str], /, **given: Any) -> Loaded:
    """Load what an .ipynb or .py file defines: its functions, classes and constants, by name.

        nb = load("assignment.ipynb")
        x, y, w = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), 0.6, np.full(9, 0.1)
        loss = lambda w: nb.forward_propagation(x, y, w)["loss"]
        gradient = lambda w: np.array([*nb.backward_propagation(x, w, nb.forward_propagation(x, y, w)).values()])
        check(loss, gradient, w)

    Only three kinds of top-level statements are run, in their order, so that later ones override earlier ones:

    - imports. They run the code of the libraries that they import. A `helpers.py` beside this file is loaded as the
      file is itself, not run. What cannot be imported becomes a stand-in that raises ImportError when it is used.
    - definitions of functions and classes, with decorators, base classes and defaults that are imported, defined
      before or constants. Applying a decorator runs it.
    - constants: assignments of literals, arithmetic and lambdas, and of calls such as `np.ones(9) * 0.1` that do
      nothing but compute. Not of anything random, read from a file, or computed by the file's own functions.

    Everything else is not run: calls, loops, `with`, prints, plots, magics, cells with syntax errors, and what is in
    `if __name__ == "__main__"`. A name that gets its value there raises NameError in the functions that use it, with
    the cell and line; `given` supplies such names, `load("assignment.ipynb", X=X, y=y)`, and they win over whatever
    the file does with them. A constant that code which is not run assigns again later is such a name.

    Cells are called `assignment.ipynb[cell 5]` in tracebacks, counted as Jupyter does after Restart & Run All, and
    `inspect.getsource` and `oracles.check` find their source there. Nothing stays in `sys.modules`, so instances of
    loaded classes cannot be pickled.

    Raises TypeError if `path` is no path, ValueError for what is no notebook or script in Python or if `given` has a
    name that the file does not, and OSError for what cannot be opened.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected the path of an .ipynb or .py file, got {type(path).__name__}")
    return _load(Path(path), given, {})


def _load(path: Path, given: Mapping[str, Any], loading: dict[Path, Loaded]) -> Loaded:
    """`loading` has the files that the first one imports, also unfinished ones: they may import each other."""
    if (key := path.resolve()) in loading:
        return loading[key]
    cells = read_cells(path)
    codes = [compiled(cell.tree, cell.filename, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT) for cell in cells]
    mentioned = _mentioned(cells, codes)
    _check_given(path, given, mentioned)
    loaded = loading[key] = Loaded(f"loaded.{path.stem}", str(path))
    docstring = ast.get_docstring(cells[0].tree) if path.suffix.lower() == ".py" else None
    vars(loaded).update(__file__=str(path), __doc__=docstring, __used__=_used(codes))
    ledger = Ledger(loaded, given)
    importer = Importer(path, ledger, lambda file: _load(file, {}, loading))
    top_level = TopLevel(ledger, importer)
    with _in_modules(loaded):
        for cell in cells:
            top_level.run(cell)
    for name in sorted(mentioned - vars(loaded).keys() - vars(builtins).keys()):
        if name in _IN_A_NOTEBOOK:
            ledger.miss(name, "", "there is no running notebook here")
        elif importer.failed_stars:
            place, reason = importer.failed_stars[-1]
            ledger.miss(name, place, reason, is_value=True)
    return loaded


def _mentioned(cells: Iterable[Cell], codes: Iterable[CodeType]) -> set[str]:
    """The global names that the cells use or assign; every word of those that are not Python."""
    words = (set(re.findall(r"\w+", cell.text)) for cell in cells if cell.problem)
    return set().union(*words, *map(global_names, codes))


def _used(codes: Iterable[CodeType]) -> set[str]:
    """The global names that the functions and classes in the cells use."""
    inner = (constant for code in codes for constant in code.co_consts if isinstance(constant, CodeType))
    return set().union(*map(global_names, inner))


def _check_given(path: Path, given: Mapping[str, Any], mentioned: set[str]) -> None:
    for name in given:
        if name not in mentioned:
            near = difflib.get_close_matches(name, sorted(mentioned), n=1)
            hint = f"did you mean {near[0]}?" if near else "leave it out"
            raise ValueError(f"given: {path} has no global name {name}: {hint}")


@contextmanager
def _in_modules(loaded: Loaded) -> Iterator[None]:
    """Importable for the time being: `dataclasses` and `typing` look up the module of a class that they work on."""
    before = sys.modules.get(loaded.__name__)
    sys.modules[loaded.__name__] = loaded
    try:
        yield
    finally:
        del sys.modules[loaded.__name__]
        if before is not None:
            sys.modules[loaded.__name__] = before
