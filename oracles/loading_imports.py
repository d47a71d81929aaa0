"""Imports of a file that is loaded: real ones, files beside it, and stand-ins for what is not installed."""

from __future__ import annotations
import __future__

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from oracles.loading_cells import Cell, compiled
from oracles.loading_names import import_binds
from oracles.loading_namespace import Ledger

Import = ast.Import | ast.ImportFrom
LoadFile = Callable[[Path], ModuleType]
ERRORS = (Exception, SystemExit)
"""What other people's modules may raise while they are imported."""


class Importer:
    """Runs the imports of one file, name by name. Files beside it are loaded with `load_file`, as it is itself."""

    def __init__(self, path: Path, ledger: Ledger, load_file: LoadFile) -> None:
        self._folder = path.absolute().parent
        self._ledger, self._load_file = ledger, load_file
        self.failed_stars: list[tuple[str, str]] = []
        """Place and reason of each `from x import *` that failed."""
        self.flags = 0
        """Of the compiler, from future imports."""

    def run(self, node: Import, cell: Cell, raises: Callable[[BaseException], bool]) -> None:
        """Bind every name of an import. An error is raised if `raises` says so, and leaves a stand-in otherwise."""
        for one, alias in _singles(node):
            if import_binds(alias, one) in self._ledger.given:
                continue
            try:
                self._run_one(one, alias, cell)
            except ERRORS as error:
                if raises(error):
                    raise
                self._miss(one, alias, cell.place(node.lineno), error)

    def _run_one(self, node: Import, alias: ast.alias, cell: Cell) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            self.flags |= getattr(__future__, alias.name).compiler_flag
        elif not self._from_siblings(node, alias):
            self._ledger.execute(compiled(ast.Module([node], []), cell.filename))
            self._ledger.imports(import_binds(alias, node))

    # --- files beside it ----------------------------------------------------------------------------------------------

    def _from_siblings(self, node: Import, alias: ast.alias) -> bool:
        """Bind what an import takes from files beside this one; False if it does not mean them."""
        if isinstance(node, ast.ImportFrom):
            return self._names_from_siblings(node, alias)
        binds_the_module = alias.asname is not None or "." not in alias.name  # `import a.b` binds a
        file = self._sibling(alias.name) if binds_the_module else None
        if file is not None:
            self._ledger.bind(import_binds(alias, node), self._load_file(file))
        return file is not None

    def _names_from_siblings(self, node: ast.ImportFrom, alias: ast.alias) -> bool:
        module, bound = node.module or "", import_binds(alias, node)
        file = self._sibling(module, node.level)
        inside = self._sibling(f"{module}.{alias.name}".lstrip("."), node.level)
        names = {} if file is None else vars(self._load_file(file))
        if file is not None and alias.name == "*":
            for name in names.get("__all__", [name for name in names if not name.startswith("_")]):
                self._ledger.bind(name, names[name])
        elif alias.name in names:
            self._ledger.bind(bound, names[alias.name])
        elif inside is not None:
            self._ledger.bind(bound, self._load_file(inside))
        elif file is not None:
            raise ImportError(f"{file.name} defines no {alias.name}")
        elif node.level:
            raise ImportError(f"there is no {module or alias.name}.py beside it")
        return file is not None or inside is not None

    def _sibling(self, module: str, level: int = 0) -> Path | None:
        """The file that a module's name means, if it is one beside this file."""
        parts = module.split(".")
        if not module or (level == 0 and self._is_for_python(parts[0])):
            return None
        folder = (self._folder, *self._folder.parents)[max(level - 1, 0)]
        files = (folder.joinpath(*parts[:-1], f"{parts[-1]}.py"), folder.joinpath(*parts, "__init__.py"))
        return next((file for file in files if file.is_file()), None)

    def _is_for_python(self, name: str) -> bool:
        """Whether Python imports it: not files beside this one, but if they are imported already, and packages."""
        if name in sys.stdlib_module_names:
            return True
        file = self._folder / f"{name}.py"
        if file.is_file():  # a notebook's own folder comes first
            return getattr(sys.modules.get(name), "__file__", None) == str(file)
        return importlib.util.find_spec(name) is not None

    # --- what is not there --------------------------------------------------------------------------------------------

    def _miss(self, node: Import, alias: ast.alias, place: str, error: BaseException) -> None:
        module = alias.name if isinstance(node, ast.Import) else "." * node.level + (node.module or "")
        absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        why = f"{module} is not installed here" if absent else f"{type(error).__name__}: {error}"
        reason, name = f"`{ast.unparse(node)}` fails: {why}", import_binds(alias, node)
        if name == "*":
            self.failed_stars.append((place, reason))
            self._ledger.note("", place, reason)
        elif name != alias.name and not alias.asname and isinstance(self._ledger.names.get(name), ModuleType):
            self._ledger.note(alias.name, place, reason)  # a failed `import a.b` leaves `a` as it was
        else:
            self._ledger.miss(name, place, reason, ImportError)


def _singles(node: Import) -> Iterator[tuple[Import, ast.alias]]:
    """An import of several names as imports of one each: some may fail."""
    for alias in node.names:
        one = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], node.level)
        yield ast.copy_location(one, node), alias
