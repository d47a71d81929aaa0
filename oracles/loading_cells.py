"""The code of a notebook or script as plain Python, cell by cell, with the names that tracebacks call the cells by.

Cells count as Jupyter numbers them after Restart & Run All: code cells that are not empty, from 1. What IPython adds to
Python becomes `pass`, on the same line, so that line numbers stay what they are.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import linecache
import os
import re
import tokenize
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

_SHOWN = 88
_SUFFIXES = (".ipynb", ".py")
_OF_THE_NOTEBOOK = {"capture", "debug", "prun", "time"}
"""Cell magics whose cell is the notebook's own Python. (%%timeit keeps nothing of what it defines.)"""
_LINE_MAGIC = re.compile(r"(\s*)(%{1,2}[A-Za-z].*|[!?].*|[%\w.*\[\]]+\?{1,2}\s*;?\s*)")
_ASSIGNED_MAGIC = re.compile(r"(\s*[\w\s.,*\[\]]+=\s*)([%!].*)")


class NotPythonError(ValueError):
    """Why a cell cannot be read as Python."""


@dataclass(frozen=True)
class Cell:
    """A piece of code that is run as one: a cell of a notebook, or a whole script."""

    number: int | None
    """None for a script."""
    filename: str
    """What its code objects and `linecache` call it."""
    text: str
    """As it is written, with "\\n" at the line ends."""
    tree: ast.Module
    """Empty if it cannot be read."""
    problem: str = ""
    """Why it cannot be read, if so."""

    def place(self, line: int) -> str:
        return f"line {line}" if self.number is None else f"cell {self.number}, line {line}"

    def line(self, line: int) -> str:
        """What is written in a line, without its indentation, and not all of a long one."""
        written = self.text.split("\n")[line - 1].strip()
        return written if len(written) <= _SHOWN else f"{written[: _SHOWN - 3]}..."


def read_cells(path: Path) -> list[Cell]:
    """The cells of an .ipynb file (nbformat 2 to 4), or the one cell of a .py file.

    A notebook's cell that is not Python has a `problem`. The texts are registered in `linecache`. Raises OSError for
    what cannot be opened and ValueError for what is not a Python notebook or script; messages name the path.
    """
    _check_path(path)
    if path.suffix.lower() == ".py":
        return [_script(path)]
    texts = [text for text in _notebook_texts(path) if text.strip()]
    return [_notebook_cell(path, number, text) for number, text in enumerate(texts, 1)]


@contextmanager
def without_warnings() -> Iterator[None]:
    """Parsing and compiling say nothing about escapes such as "\\d" in somebody else's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compiled(tree: ast.Module | ast.Expression, filename: str, flags: int = 0) -> CodeType:
    """Its code, without the future imports of this module."""
    with without_warnings():
        mode = "eval" if isinstance(tree, ast.Expression) else "exec"
        code: CodeType = compile(tree, filename, mode, flags, dont_inherit=True)
        return code


# --- files ------------------------------------------------------------------------------------------------------------


def _check_path(path: Path) -> None:
    suffixes = " or ".join(_SUFFIXES)
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
        raise IsADirectoryError(f"{path} is a folder: name a file in it, such as {inside[0] if inside else suffixes}")
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path}: expected a file that ends in {suffixes}, got {path.suffix or 'no suffix'!r}")
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, sorted(beside), n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else f"the current folder is {os.getcwd()}"
        raise FileNotFoundError(f"{path} does not exist: {hint}")


def _notebook_texts(path: Path) -> Iterator[str]:
    """The source of every code cell, empty ones too."""
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"))
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are
        hint = "if it has conflict markers of a merge, resolve them; if not, open it in Jupyter and save it again"
        raise ValueError(f"{path}: a notebook is a JSON file in UTF-8, and this is none ({error}); {hint}") from None
    _check_language(path, document)
    for index, cell in enumerate(_notebook_cells(path, document), 1):
        if not isinstance(cell, dict):
            raise ValueError(f"{path}: expected cell {index} to be a JSON object, got {type(cell).__name__}")
        if cell.get("cell_type") != "code":
            continue
        source = cell.get("source", cell.get("input", ""))  # "input" until nbformat 3
        lines: list[Any] = source if isinstance(source, list) else [source]
        if not all(isinstance(line, str) for line in lines):
            raise ValueError(f"{path}: expected the source of cell {index} to be text or a list of lines of text")
        yield _unix("".join(lines))


def _notebook_cells(path: Path, document: Any) -> list[Any]:
    if isinstance(document, dict):
        sheets = document.get("worksheets", [document])  # until nbformat 3
        if isinstance(sheets, list) and all(isinstance(s, dict) and isinstance(s.get("cells"), list) for s in sheets):
            return [cell for sheet in sheets for cell in sheet["cells"]]
    found = f"the keys {sorted(document)}" if isinstance(document, dict) else f"a {type(document).__name__}"
    raise ValueError(f'{path}: expected a notebook, which has a list "cells", got {found}; save it from Jupyter')


def _check_language(path: Path, document: Any) -> None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        entry = metadata.get(key) if isinstance(metadata, dict) else None
        language = entry.get(name) if isinstance(entry, dict) else None
        if isinstance(language, str) and "python" not in language.lower():
            raise ValueError(f"{path}: expected a notebook in Python, got one in {language}")


def _script(path: Path) -> Cell:
    content = path.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = _unix(content.decode(encoding))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as text ({error}); save it as UTF-8") from None
    filename = str(path.absolute())
    try:
        source, tree = _plain_python(text, filename)
    except NotPythonError as error:
        raise ValueError(f"{path}: {error}; a script that is not Python defines nothing: repair that line") from None
    if source != text:  # else linecache reads the file itself
        _register(filename, source)
    return Cell(None, filename, text, tree)


def _notebook_cell(path: Path, number: int, text: str) -> Cell:
    try:
        source, tree = _plain_python(text, f"{path}[cell {number}]")
    except NotPythonError as error:
        return Cell(number, f"{path}[cell {number}]", text, ast.Module([], []), str(error))
    return Cell(number, _register_cell(path, number, source), text, tree)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --- sources for tracebacks and lifting -------------------------------------------------------------------------------


def _register_cell(path: Path, number: int, source: str) -> str:
    """The name under which `linecache` has the source from now on.

    What was loaded before keeps its lines: a cell that has been edited since, or one of another notebook that goes by
    the same name (from another current folder), becomes a version of its own.
    """
    filename, version = f"{path}[cell {number}]", 1
    while filename in linecache.cache and linecache.getlines(filename) != _lines(source):
        version += 1
        filename = f"{path}[cell {number}, version {version}]"
    _register(filename, source)
    return filename


def _register(filename: str, source: str) -> None:
    linecache.cache[filename] = (len(source), None, _lines(source), filename)  # None: there is no file to look at


def _lines(source: str) -> list[str]:
    """Split at "\\n" only, as the compiler counts; str.splitlines also knows form feeds and others."""
    return io.StringIO(source if source.endswith("\n") else source + "\n").readlines()


# --- plain Python -----------------------------------------------------------------------------------------------------


def _plain_python(text: str, filename: str) -> tuple[str, ast.Module]:
    """The source without what IPython adds, and its tree. Raises NotPythonError.

    Only lines at which Python itself stumbles are looked at: "% 2" may go on with a sum, and "!" stand in a string.
    """
    lines = _dedented(_without_cell_magic(text).split("\n"))
    while True:
        source = "\n".join(lines)
        try:
            with without_warnings():
                tree = ast.parse(source, filename)
            compiled(tree, filename, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            return _without_await(source, tree, filename), tree
        except SyntaxError as error:
            at = (error.lineno or 1) - 1
            if not _neutralized(lines, at):
                raise NotPythonError(f"line {at + 1} is not Python: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes; a very deep expression
            raise NotPythonError(f"it is not Python: {error}") from None


def _without_cell_magic(text: str) -> str:
    start = len(text) - len(text.lstrip())
    magic = re.match(r"%%(\w*)", text[start:])
    if magic is None:
        return text
    if magic.group(1) not in _OF_THE_NOTEBOOK:
        raise NotPythonError(f"{magic.group()} cells are not run, and what is in them is not the notebook's own code")
    return f"{text[:start]}# {text[start:]}"


def _dedented(lines: list[str]) -> list[str]:
    """Without the indentation of the first line, which IPython takes off too."""
    first = next((line for line in lines if line.strip()), "")
    indentation = first[: len(first) - len(first.lstrip())]
    return [line.removeprefix(indentation) for line in lines]


def _neutralized(lines: list[str], at: int) -> bool:
    """Turn what IPython adds in a line, and its continuation, into plain Python; False if there is nothing of it."""
    line = lines[at] if at < len(lines) else ""
    if found := _LINE_MAGIC.fullmatch(line):
        replaced = f"{found.group(1)}pass  # {found.group(2)}"
    elif found := _ASSIGNED_MAGIC.fullmatch(line):
        replaced = f"{found.group(1)}get_ipython()  # {found.group(2)}"
    else:
        return False
    while lines[at].endswith("\\") and at + 1 < len(lines):
        lines[at], at, replaced = replaced, at + 1, f"# {lines[at + 1]}"
    lines[at] = replaced
    return True


def _without_await(source: str, tree: ast.Module, filename: str) -> str:
    """The source with statements that await, which notebooks may and modules may not, turned into comments."""
    if _compiles(tree, filename):
        return source
    lines = source.split("\n")
    for node in tree.body:
        if not _compiles(ast.Module([node], []), filename):
            for at in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[at] = f"# {lines[at]}"
    return "\n".join(lines)


def _compiles(tree: ast.Module, filename: str) -> bool:
    try:
        compiled(tree, filename)
    except SyntaxError:
        return False
    return True
