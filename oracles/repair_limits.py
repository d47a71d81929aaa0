"""Which edits are never tried: those that ask for arrays or loops of any length, or that fit nearly anywhere."""

from __future__ import annotations

import ast
from functools import lru_cache

from oracles.mutation_body import Body, Edit, called

_SIZED = frozenset({"range", "arange", "linspace", "zeros", "ones", "empty", "full", "eye", "identity", "tri"}) | {
    *("repeat", "tile", "broadcast_to", "reshape", "resize", "pad", "bytes", "bytearray", "bincount", "islice"),
}
"""Calls whose arguments say how long something is."""
_KEEP_SIZES = frozenset({"other-number", "short-loop", "drop-term", "transpose", "axis", "keepdims"})


def is_harmless(edit: Edit, operator: str, body: Body) -> bool:
    """Whether an edit is worth trying.

    It makes no length of a value: 1e10 rounds take for ever, and as many numbers all memory. And what it puts in is not
    put where nearly anything fits: into a condition, or beside a sum so far.
    """
    if (operator.startswith("missing-") or operator == "exchange-name") and _fits_anything(edit.node, body):
        return False
    if isinstance(edit.node, ast.Attribute) and edit.node.attr == "shape":  # no number: times 4 it has 4 times the axes
        return False
    if operator in _KEEP_SIZES:
        return True
    return not (isinstance(edit.node, ast.expr) and _is_size(edit.node, body))


@lru_cache(maxsize=4096)  # many edits are of one node
def _fits_anything(node: ast.AST, body: Body) -> bool:
    return any(isinstance(n, ast.Compare) for n in body.around(node)) or _is_sum_so_far(node, body)


def _is_sum_so_far(node: ast.AST, body: Body) -> bool:
    statement = body.statement(node)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return any(ast.unparse(target) == ast.unparse(node) for target in targets)


@lru_cache(maxsize=4096)
def _is_size(node: ast.AST, body: Body) -> bool:
    """Whether a node makes a length: in a call that takes one, or in the value of a name that such a call takes."""
    for outer in body.around(node):
        if isinstance(outer, ast.Call) and called(outer.func) in _SIZED and outer is not node:
            return True
        if isinstance(outer, ast.Assign):
            names = {n.id for target in outer.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            return bool(names & _names_of_sizes(body))
    return False


@lru_cache(maxsize=64)
def _names_of_sizes(body: Body) -> set[str]:
    calls = [call for call in body.all(ast.Call) if called(call.func) in _SIZED]
    arguments = [a for call in calls for a in (*call.args, *(k.value for k in call.keywords))]
    return {n.id for a in arguments for n in ast.walk(a) if isinstance(n, ast.Name)} - set(body.parameters)
