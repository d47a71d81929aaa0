"""Is a mutant no mutant at all? Claims that it computes what the original does, each with what was looked at.

Three grounds, the first that holds: the two are the same program but for the order of factors; they give the same
values on balls, so that they are the same function of real numbers at every point tried, whatever rounding does; they
give the same floats bit for bit, for code that balls cannot run. What they do to their arguments counts as a result,
and so does what they remember from one call to the next. The last two say nothing of points that were not tried.
"""

from __future__ import annotations

import ast
import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from oracles.agreement import compare
from oracles.ball import BallArray, balls, lift
from oracles.errors import UndecidedComparisonError
from oracles.evaluation import is_finite, overlap
from oracles.magnitude import SMALLEST_SUBNORMAL, log2_upper
from oracles.mutation_body import same
from oracles.mutation_source import read
from oracles.rounding import LIBRARY_ULPS
from oracles.subject import on_balls, why_not
from oracles.tree import map_leaves

PRECISIONS = (256, 1024, 2560)
"""Bits that are tried in turn. The last tell an exact zero from the smallest float64."""
DIGITS = 30
"""To which values on balls must agree; an error that only shows further on is none that float64 knows of."""
_LOG10_2 = math.log10(2)


class Ground(Enum):
    """Why a mutant is held to be equivalent."""

    PROGRAM = "the same program"
    BALLS = "the same values on balls"
    FLOATS = "the same floats, bit for bit"


@dataclass(frozen=True)
class Evidence:
    """That two functions are the same, and what was looked at."""

    ground: Ground
    looked_at: str

    def __str__(self) -> str:
        return f"{self.ground.value}: {self.looked_at}"


def equivalent(
    original: Callable[..., Any], mutant: Callable[..., Any], calls: Sequence[Sequence[Any]]
) -> Evidence | None:
    """Evidence that `mutant` is equivalent to `original`, or None if they differ at a call, or if neither is shown.

    `calls` are the argument tuples to try, in this order and on copies: at least one, and two at different points to
    see what is remembered. Arrays and floats among them become balls, also within tuples, lists and dicts, and are
    taken as exact; anything else is handed through.

    Raises ValueError if there are no calls, and what `original` raises on floats. A mutant that raises is different.
    """
    if not calls:
        raise ValueError("calls: expected at least one tuple of arguments to try, got none")
    if _same_program(original, mutant):
        told = "equal syntax trees, with the operands of each product and of each sum of numbers in one order"
        return Evidence(Ground.PROGRAM, told)
    pair = _Pair(original, mutant, [tuple(call) for call in calls])
    expected = _outcome(original, pair.calls)
    try:
        found = _outcome(mutant, pair.calls)
    except Exception:  # of any kind: the original raised nothing
        return None
    if not _alike(expected, found):
        return None
    reason = ""
    for literals in (True, False):
        try:
            return _on_balls(pair, literals, (expected, found))
        except Exception as error:  # of any kind: whatever stops them on balls is the reason that is told
            reason = reason or why_not(error).splitlines()[0]
        finally:
            pair.outcomes()  # so that what they remember does not stay on balls
    if all(_identical(leaf, found[path]) for path, leaf in expected.items()):
        return Evidence(Ground.FLOATS, f"{_looked_at(expected, pair)}; on balls: {reason}")
    return None


# --- the same program -----------------------------------------------------------------------------------------------


def _same_program(original: Callable[..., Any], mutant: Callable[..., Any]) -> bool:
    if not isinstance(original, FunctionType) or not isinstance(mutant, FunctionType):
        return False
    if _surroundings(original) != _surroundings(mutant):
        return False
    try:
        first, second = (_Normal().visit(read(function).node) for function in (original, mutant))
    except (TypeError, ValueError):  # no source at hand
        return False
    first.name = second.name  # a call of itself is in the body
    return same(first, second)


def _surroundings(function: FunctionType) -> tuple[Any, ...]:
    """Identities of all that a function's text does not say."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    keywords = function.__kwdefaults__ or {}
    return (
        id(function.__globals__),
        {name: id(cell) for name, cell in cells.items()},
        tuple(map(id, function.__defaults__ or ())),
        {name: id(value) for name, value in keywords.items()},
    )


class _Normal(ast.NodeTransformer):
    """Without docstring and annotations; a * b and a + b with the operands in alphabetical order.

    Only where that is sure to change nothing: not if both operands call something, and for + only of numbers, since
    it joins lists and text.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value is not None else ast.Pass()

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) or (isinstance(node.op, ast.Add) and _is_numeric(node)):
            operands = sorted((node.left, node.right), key=ast.dump)
            if not all(_calls(operand) for operand in operands):
                node.left, node.right = operands
        return node


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _calls(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Call | ast.NamedExpr | ast.Await) for n in ast.walk(node))


def _is_numeric(node: ast.expr) -> bool:
    """Whether an expression is surely a number or an array: some part of it would be an error for a list or text."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float | complex)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_numeric(node.left) or _is_numeric(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _is_numeric(node.left) and _is_numeric(node.right)
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.Pow | ast.MatMult)


# --- running --------------------------------------------------------------------------------------------------------

_Outcome = dict[str, Any]
"""Path -> leaf: of what each call returned, and of its arguments afterwards."""


@dataclass(frozen=True)
class _Pair:
    original: Callable[..., Any]
    mutant: Callable[..., Any]
    calls: Sequence[tuple[Any, ...]]

    def outcomes(self, convert: Callable[[Any], Any] | None = None) -> tuple[_Outcome, _Outcome]:
        return _outcome(self.original, self.calls, convert), _outcome(self.mutant, self.calls, convert)


def _outcome(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], convert: Callable[[Any], Any] | None = None
) -> _Outcome:
    found: _Outcome = {}
    with np.errstate(all="ignore"):
        for i, call in enumerate(calls):
            args = copy.deepcopy(call)
            if convert is not None:
                args = tuple(map_leaves(convert, argument) for argument in args)
            result = function(*args)
            for name, value in ((f"call {i}", result), (f"arguments of call {i}", args)):
                found.update((path, _kept(leaf)) for path, leaf in _leaves(value, name))
    return found


def _kept(leaf: Any) -> Any:
    """As it is now: later calls may write into it."""
    if isinstance(leaf, BallArray):
        return type(leaf)(leaf._a.copy())
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _leaves(value: Any, path: str, around: frozenset[int] = frozenset()) -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, and a leaf for the kind of each container and object."""
    if isinstance(value, BallArray | np.ndarray | np.generic | float | int | str | bytes | None):
        yield path, value
    elif id(value) not in around:
        inside = around | {id(value)}
        yield f"type of {path}", type(value)
        for key, item in _items(value):
            yield from _leaves(item, f"{path}[{key!r}]", inside)


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    if inspect.isroutine(value) or isinstance(value, type | ModuleType):
        return ()
    return getattr(value, "__dict__", {}).items()


def _kind(leaf: Any) -> str:
    """The dtype kind of a number or an array of them; empty for anything else."""
    if isinstance(leaf, BallArray):
        return "f"
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind
    return "b" if isinstance(leaf, bool) else "i" if isinstance(leaf, int) else "f" if isinstance(leaf, float) else ""


def _looked_at(outcome: _Outcome, pair: _Pair) -> str:
    numbers = sum(np.size(leaf) for leaf in outcome.values() if _kind(leaf) == "f")
    return f"{numbers} numbers that {len(pair.calls)} call(s) returned or left in their arguments"


def _alike(expected: _Outcome, found: _Outcome) -> bool:
    """Whether two outcomes have the same structure, shapes and kinds of numbers, and are equal in all but floats."""
    if expected.keys() != found.keys():
        return False
    return all(_may_be_equal(leaf, found[path]) for path, leaf in expected.items())


def _may_be_equal(a: Any, b: Any) -> bool:
    if _kind(a) != _kind(b) or np.shape(a) != np.shape(b):
        return False
    return _kind(a) == "f" or bool(np.all(a == b))


def _identical(a: Any, b: Any) -> bool:
    return _kind(a) != "f" or bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True))


# --- on balls -------------------------------------------------------------------------------------------------------


def _on_balls(pair: _Pair, literals: bool, floats: tuple[_Outcome, _Outcome]) -> Evidence | None:
    """Evidence from balls, or None if values differ. Raises whatever stops either function on balls."""
    for precision in PRECISIONS:
        try:
            with on_balls([pair.original, pair.mutant], precision, literals=literals):
                outcomes = pair.outcomes(lift)
                digits = _common_digits(*outcomes)
        except UndecidedComparisonError:
            if precision == PRECISIONS[-1]:
                raise
            continue
        if digits is None or (digits >= DIGITS and not _floats_follow(pair, literals, floats)):
            return None
        if digits >= DIGITS:
            agreement = "exactly" if math.isinf(digits) else f"to {math.floor(digits)} digits or more"
            return Evidence(Ground.BALLS, f"{_looked_at(outcomes[0], pair)} agree {agreement} at {precision} bits")
    raise UndecidedComparisonError(f"values are not finite, or wide at {PRECISIONS[-1]} bits")


def _common_digits(a: _Outcome, b: _Outcome) -> float | None:
    """Digits to which all values are shown to agree; None if some are disjoint, -inf if some are not finite."""
    if not _alike(a, b):
        return None
    worst = math.inf
    for path, leaf in a.items():
        if _kind(leaf) != "f" or not np.size(leaf):
            continue
        x, y = balls(leaf)._a.ravel(), balls(b[path])._a.ravel()
        if not np.all(overlap(x, y)):
            return None
        finite = (is_finite(x) & is_finite(y)).astype(bool)
        gap, size = log2_upper(x - y), np.maximum(log2_upper(x), log2_upper(y))
        exact = gap < SMALLEST_SUBNORMAL
        digits = np.subtract(size, gap, where=finite & ~exact, out=np.full(x.shape, np.inf)) * _LOG10_2
        worst = min(worst, float(np.where(finite, digits, -np.inf).min()))
    return worst


def _floats_follow(pair: _Pair, literals: bool, floats: tuple[_Outcome, _Outcome]) -> bool:
    """Whether the floats differ by no more than rounding can explain: code may do something else on balls."""
    narrow = any(getattr(leaf, "dtype", None) == np.float32 for leaf in floats[0].values())
    subject = [pair.original, pair.mutant]
    with on_balls(subject, 24 if narrow else 53, literals=literals, ulps=LIBRARY_ULPS, by_midpoint=True):
        rounded = pair.outcomes(lift)
        return all(
            _agree(leaf, floats[1][path], rounded[0][path], rounded[1][path])
            for path, leaf in floats[0].items()
            if _kind(leaf) == "f"
        )


def _agree(a: Any, b: Any, a_rounded: Any, b_rounded: Any) -> bool:
    first, second = np.asarray(a), np.asarray(b)
    both = first == second
    allowed = np.where(both | (np.isnan(first) & np.isnan(second)), np.inf, _radius(a_rounded) + _radius(b_rounded))
    return compare(first, second, allowed).agrees


def _radius(leaf: Any) -> np.ndarray[Any, Any]:
    """Rounded up, and with sixteen roundings of a subnormal: balls have no smallest exponent, floats have."""
    values = balls(leaf)._a
    radii = [float(ball.rad()) if ball.is_finite() else np.inf for ball in np.ravel(values)]
    return np.reshape(radii, np.shape(values)) * (1 + 2.0**-29) + 2.0**-1070
