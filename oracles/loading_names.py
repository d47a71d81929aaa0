"""Which names a statement would assign, change or use: read from its tree or code, without running it."""

from __future__ import annotations

import ast
import dis
import re
from collections.abc import Iterator
from types import CodeType

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DEFINITION = re.compile(r"^(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)|^(\w+)[ \t]*=(?!=)", re.MULTILINE)


def assigned_names(node: ast.AST) -> dict[str, int]:
    """Name -> line, of what the statement binds in its own scope: assignments, definitions, imports, loop variables."""
    found: dict[str, int] = {}
    for part in _own_scope(node):
        for name in _bound_by(part):
            found.setdefault(name, getattr(part, "lineno", 0))
    return found


def changed_names(node: ast.AST) -> dict[str, int]:
    """Name -> line, of what the statement changes: the `w` of `w -= 1`, `w[0] = 1`, `w.T = 1` and `del w[0]`."""
    found: dict[str, int] = {}
    for part in _own_scope(node):
        target: ast.AST = part.target if isinstance(part, ast.AugAssign) else part
        while isinstance(target, ast.Subscript | ast.Attribute) and (
            target is not part or not isinstance(target.ctx, ast.Load)
        ):
            target = target.value
        if isinstance(target, ast.Name) and target is not part:
            found.setdefault(target.id, target.lineno)
    return found


def global_names(code: CodeType) -> set[str]:
    """Names of the module's own scope that code uses or assigns, also in the functions and classes inside it."""
    used = {str(i.argval) for i in dis.get_instructions(code) if i.opname.endswith(("_NAME", "_GLOBAL"))}
    return used.union(*(global_names(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def names_in_text(text: str) -> list[str]:
    """What text that cannot be parsed seems to define, at the start of a line."""
    return [match.group(1) or match.group(2) for match in _DEFINITION.finditer(text)]


def import_binds(alias: ast.alias, of: ast.Import | ast.ImportFrom) -> str:
    """The name that one part of an import binds: for `import a.b` it is a."""
    return alias.asname or (alias.name.partition(".")[0] if isinstance(of, ast.Import) else alias.name)


def _own_scope(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a statement in the order of its text, without the inside of functions, classes, comprehensions."""
    yield node
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield from _own_scope(node.value)  # its name is changed, not assigned
    elif not isinstance(node, _SCOPES + _COMPREHENSIONS):
        for child in ast.iter_child_nodes(node):
            yield from _own_scope(child)


def _bound_by(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case ast.Import() | ast.ImportFrom():
            return [import_binds(alias, node) for alias in node.names if alias.name != "*"]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
    return []
