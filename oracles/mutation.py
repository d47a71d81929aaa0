"""Gradient-specific mutants of any Python function: itself with one mistake, of the kinds that gradients are known for.

A test that lets a mutant pass would let that mistake pass. So mutants measure a check:

    for mutant in mutants(backward):
        certificate = certify_layer(forward, mutant.build(), x, w)

The mistake is made in the text of the source, and the mutant is compiled from that: it has the original's globals,
closure and defaults, its tracebacks show its own text at the original's line numbers, and it can run on balls. What
the mistakes are is in `oracles.mutation_operators`; whether one of them is none, in `oracles.mutation_equivalence`.
"""

from __future__ import annotations

import inspect
import types
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from oracles.mutation_body import Body, Edit
from oracles.mutation_operators import OPERATORS, Operator
from oracles.mutation_source import Piece, Source, read, rebuilt

__all__ = ["OPERATORS", "Mutant", "Operator", "mutants", "mutants_of_class"]


@dataclass(frozen=True)
class Mutant:
    """A function with one mistake."""

    id: str
    """Such as `backward:L72:drop-factor w9`: the function, the line in its file, the mistake. The same in every run."""
    operator: str
    """The kind of mistake: a name in `OPERATORS`."""
    line: int
    source_line: str
    before: str
    """The expression or statements that were replaced, as Python would write them."""
    after: str
    filename: str
    """Of the original."""
    _source: Source = field(repr=False, compare=False)
    _pieces: tuple[Piece, ...] = field(repr=False, compare=False)
    _dressed: Callable[[FunctionType], Any] = field(repr=False, compare=False)

    def build(self) -> Any:
        """The mutant itself: a function, a bound method, or a class, as what it was made from.

        Each call makes a new one. The original is left as it is.
        """
        original, text = self._source.function, self._source.spliced(self._pieces)
        digest = zlib.crc32(text.encode())  # another text, another name
        pseudo_file = f"<mutant {self.id} in {original.__module__} {digest:08x}>"
        return self._dressed(rebuilt(original, text, pseudo_file))

    def __str__(self) -> str:
        return f"{self.id}\n  {PurePath(self.filename).name}:{self.line}: {self.before}  ->  {self.after}"


def mutants(
    function: Callable[..., Any],
    operators: Collection[str] | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
) -> Iterator[Mutant]:
    """The mutants of a function or method that was made with def, operator by operator and in source order.

    No two of them are the same program, and none is the original. `operators` names those to use, by default all;
    `limit` draws so many of each operator's mutants at most, by `seed`. The mutants of a bound method are bound to the
    same object. Those of `stale-cache` and `in-place` take a second call to see: at another point, and on the very
    arguments of the first.

    Raises TypeError for what cannot be mutated: lambdas, builtins, generators, coroutines, classes (see
    `mutants_of_class`) and decorated functions; and ValueError if the source is not at hand, or an argument is not as
    described here.
    """
    chosen = _chosen(operators, limit)
    if isinstance(function, MethodType):
        plain, receiver = function.__func__, function.__self__
        return _mutants(_plain(plain), lambda made: MethodType(made, receiver), chosen, limit, seed)
    return _mutants(_plain(function), _as_it_is, chosen, limit, seed)


def mutants_of_class(
    cls: type, operators: Collection[str] | None = None, *, limit: int | None = None, seed: int = 0
) -> Iterator[Mutant]:
    """The mutants of a class: its methods, static and class methods and properties, one mistake at a time.

    `build` gives a subclass of the same name with that method replaced. Methods that Python wrote itself, as for a
    dataclass, and generators are left out; so are inherited ones. `limit` counts for each method. Otherwise, and in
    what is raised, as `mutants`.
    """
    if not isinstance(cls, type):
        raise TypeError(f"cls: expected a class, got {type(cls).__name__}; functions and methods go to mutants()")
    chosen = _chosen(operators, limit)
    methods = [(function, members) for function, members in _methods(cls) if _is_readable(function)]
    if not methods:
        raise ValueError(
            f"cls: expected a class with methods of its own whose source is at hand, got {cls.__qualname__}"
        )
    made = (_mutants(f, partial(_in_subclass, cls, members), chosen, limit, seed) for f, members in methods)
    return (mutant for of_method in made for mutant in of_method)


def _chosen(operators: Collection[str] | None, limit: int | None) -> list[Operator]:
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit: expected a whole number of mutants per operator, 1 or more, got {limit!r}")
    if operators is None:
        return list(OPERATORS.values())
    if isinstance(operators, str):
        raise TypeError(f"operators: expected a collection of names, got the text {operators!r}; put it in a list")
    unknown = sorted(set(operators) - set(OPERATORS))
    if unknown or not operators:
        raise ValueError(f"operators: expected some of {', '.join(OPERATORS)}; got {unknown or 'none'}")
    return [operator for name, operator in OPERATORS.items() if name in operators]


def _plain(function: object) -> FunctionType:
    if isinstance(function, FunctionType):
        return function
    kind = type(function).__name__
    if isinstance(function, type):
        raise TypeError(f"function: expected a function, got the class {function.__qualname__}; see mutants_of_class()")
    owners = {"partial": "func", "staticmethod": "__func__", "classmethod": "__func__"}
    inner = owners.get(kind, "__wrapped__" if hasattr(function, "__wrapped__") else "__call__")
    foreign = inspect.isbuiltin(function) or type(function).__module__ in ("numpy", "builtins")
    hint = f"pass its .{inner}" if kind in owners or not foreign else "only what is written in Python can be mutated"
    raise TypeError(f"function: expected a function made with def, got {kind}; {hint}")


# --- from edits to mutants ------------------------------------------------------------------------------------------


def made_by(
    operators: Sequence[Operator], function: FunctionType, lines: Collection[int] | None = None
) -> list[Mutant]:
    """The mutants of a plain function by any operators, also such as are in no table; on some of its lines, if given.

    Raises TypeError and ValueError as `mutants` does.
    """
    return list(_generated(read(_plain(function)), _as_it_is, list(operators), None, 0, lines))


def _mutants(
    function: FunctionType,
    dressed: Callable[[FunctionType], Any],
    operators: list[Operator],
    limit: int | None,
    seed: int,
) -> Iterator[Mutant]:
    source = read(function)
    return _generated(source, dressed, operators, limit, seed)


def _generated(
    source: Source,
    dressed: Callable[[FunctionType], Any],
    operators: list[Operator],
    limit: int | None,
    seed: int,
    lines: Collection[int] | None = None,
) -> Iterator[Mutant]:
    body = Body(source, source.function.__globals__)
    programs = {source.program([])}
    for operator in operators:
        found = []
        for id, edit in _named(operator, body):
            if lines is not None and _line(edit) not in lines:
                continue
            program = source.program(edit.pieces)
            if program not in programs:
                programs.add(program)
                found.append(_mutant(id, operator, edit, source, dressed))
        yield from _drawn(found, limit, f"{seed} {source.function.__qualname__} {operator.name}")


def _named(operator: Operator, body: Body) -> Iterator[tuple[str, Edit]]:
    """Edits with an id each, numbered where a line has several alike: before any is left out, so that ids stay."""
    name = body.source.function.__qualname__.rpartition("<locals>.")[2]
    counts: dict[str, int] = {}
    for edit in operator.edits(body):
        id = f"{name}:L{_line(edit)}:{operator.name} {edit.label}"
        counts[id] = counts.get(id, 0) + 1
        yield id if counts[id] == 1 else f"{id} #{counts[id]}", edit


def _line(edit: Edit) -> int:
    node: Any = edit.node
    return int(node.lineno)


def _mutant(id: str, operator: Operator, edit: Edit, source: Source, dressed: Callable[[FunctionType], Any]) -> Mutant:
    line = _line(edit)
    return Mutant(
        id=id,
        operator=operator.name,
        line=line,
        source_line=source.line(line),
        before=edit.before,
        after=edit.after,
        filename=source.filename,
        _source=source,
        _pieces=edit.pieces,
        _dressed=dressed,
    )


def _drawn(found: list[Mutant], limit: int | None, key: str) -> list[Mutant]:
    if limit is None or len(found) <= limit:
        return found
    chosen = np.random.default_rng(zlib.crc32(key.encode())).choice(len(found), size=limit, replace=False)
    return [found[i] for i in sorted(chosen)]


# --- methods --------------------------------------------------------------------------------------------------------


def _as_it_is(function: FunctionType) -> FunctionType:
    return function


_Members = dict[str, Any]


def _methods(cls: type) -> list[tuple[FunctionType, _Members]]:
    """Each function that a class itself defines, with the members that are made of it: one, or more by other names."""
    found: dict[FunctionType, _Members] = {}
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if isinstance(function, FunctionType):
            found.setdefault(function, {})[name] = member
    return list(found.items())


def _is_readable(function: FunctionType) -> bool:
    try:
        read(function)
    except (TypeError, ValueError):
        return False
    return True


def _in_subclass(cls: type, members: _Members, function: FunctionType) -> type:
    namespace = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    namespace |= {name: _like(member, function) for name, member in members.items()}
    return types.new_class(cls.__name__, (cls,), exec_body=lambda body: body.update(namespace))


def _like(member: Any, function: FunctionType) -> Any:
    """A function as the kind of member that another is made into."""
    if isinstance(member, property):
        return property(function, member.fset, member.fdel, member.__doc__)
    return type(member)(function) if isinstance(member, staticmethod | classmethod) else function
