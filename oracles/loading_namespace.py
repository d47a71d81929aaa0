"""What `load` gives: a namespace that reads like a module and says why something is not in it; and how it is filled."""

from __future__ import annotations

import builtins
import difflib
import inspect
import itertools
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from oracles.loading_missing import Missing, Skipped


class Loaded(ModuleType):
    """The functions, classes and constants of a file, by name: `nb.forward` or `nb["forward"]`.

    Iteration gives the names that the file itself defines, in the order in which it does; `repr` lists them, and what
    was not loaded (as data: `nb.__skipped__`). It is a module: its attributes are the globals of its functions, so
    that `nb.X = X` supplies one afterwards, and `oracles.check` follows `nb.forward` to the function's source.
    """

    def __init__(self, name: str, title: str) -> None:
        """`name` is what its functions and classes have as `__module__`; `title` is what messages call the file."""
        super().__init__(name)
        vars(self).update(__title__=title, __places__={}, __notes__=[], __used__=set(), __builtins__=builtins)

    @property
    def __skipped__(self) -> tuple[Skipped, ...]:
        """What was not loaded, or not as it stands in the file."""
        missing = [value.skipped for value in vars(self).values() if isinstance(value, Missing)]
        return (*_notes(self), *(skipped for skipped in missing if skipped.place))

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if isinstance(value, Missing):
            raise AttributeError(value.message)  # and Python goes on with __getattr__
        return value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_absence(self, name))

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(_absence(self, name))
        return vars(self)[name]

    def __contains__(self, name: object) -> bool:
        return name in vars(self) and not isinstance(vars(self)[str(name)], Missing)

    def __iter__(self) -> Iterator[str]:
        return (name for name in _places(self) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __dir__(self) -> list[str]:
        return sorted(name for name in vars(self) if name in self and not name.startswith("__"))

    def __repr__(self) -> str:
        groups: dict[str, list[tuple[str, str]]] = {"functions": [], "classes": [], "constants": []}
        for name in self:
            kind, shown = _shown(name, vars(self)[name])
            groups[kind].append((shown, _places(self)[name]))
        groups["not loaded"] = list(_skipped_rows(self))
        lines = [str(vars(self)["__title__"])]
        for heading, rows in groups.items():
            width = max((len(left) for left, _ in rows), default=0)
            lines += [f"  {heading}"] if rows else []
            lines += [f"    {left:<{width}}  {right}" for left, right in rows]
        return "\n".join(lines)


class Ledger:
    """Fills the namespace of a file, and keeps the books on what is in it and what is not."""

    def __init__(self, loaded: Loaded, given: Mapping[str, Any]) -> None:
        """`given` are names whose values the caller supplies: they win over whatever the file does with them."""
        self.names = vars(loaded)
        self.given = given
        self._title: str = self.names["__title__"]
        self._places: dict[str, str] = self.names["__places__"]
        self._notes: list[Skipped] = self.names["__notes__"]
        self.names.update(given)

    def execute(self, code: CodeType) -> None:
        exec(code, self.names)
        self.names.update(self.given)

    def bind(self, name: str, value: Any) -> None:
        """A name that the file imports, and its value."""
        self.names[name] = self.given.get(name, value)
        self.imports(name)

    def imports(self, name: str) -> None:
        """A name that the file has imported."""
        self._places.pop(name, None)

    def define(self, name: str, place: str) -> None:
        """A name that the file itself has defined there."""
        if name not in self.given:
            self._places.pop(name, None)  # the order is that of the last definitions
            self._places[name] = place

    def defines(self, name: str) -> bool:
        return name in self._places

    def miss(
        self,
        name: str,
        place: str,
        reason: str,
        error: type[Exception] = NameError,
        *,
        needs: str | None = None,
        is_value: bool = False,
    ) -> None:
        """A name that the file would define there: a stand-in says so, and how to supply it, or what it `needs`."""
        if name in self.given:
            return
        self._places.pop(name, None)
        at = f", {place}" if place else ""
        how = "install it, or give it" if error is ImportError else f"give {needs or 'it'}"
        message = (
            f"{name} is not loaded: {self._title}{at}: {reason}; {how}: load({self._title!r}, {needs or name}=...)"
        )
        self.names[name] = Missing(Skipped(name, place, reason, is_value), error, message)

    def note(self, name: str, place: str, reason: str) -> None:
        self._notes.append(Skipped(name, place, reason))

    def forget(self, name: str, place: str, reason: str) -> None:
        """A name gets a value that is not computed, so that a constant of this name no longer is what it was.

        Definitions stay: notebooks reuse names, as in `loss = loss(w)`, and the function is what is to be checked.
        """
        if name in self.given:
            return
        value = self.names.get(name)
        if not isinstance(value, Missing) and (isinstance(value, ModuleType) or callable(value)):
            self.note(name, place, f"{reason}; the definition before it is kept")
        elif not hasattr(builtins, name):
            self.miss(name, place, reason, is_value=True)
        else:  # functions that use `sum` mean the builtin, also after `sum = 0` and a loop
            self.names.pop(name, None)
            self._places.pop(name, None)


def _places(loaded: Loaded) -> Mapping[str, str]:
    """Name -> where it is defined, for what the file itself defines."""
    places: dict[str, str] = vars(loaded)["__places__"]
    return places


def _notes(loaded: Loaded) -> Sequence[Skipped]:
    notes: list[Skipped] = vars(loaded)["__notes__"]
    return notes


def _absence(loaded: Loaded, name: str) -> str:
    value, title = vars(loaded).get(name), vars(loaded)["__title__"]
    if isinstance(value, Missing):
        return value.message
    known = [*loaded, *(skipped.name for skipped in loaded.__skipped__)]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(loaded) or 'no definitions'}"
    return f"{title} has no {name}: {hint}"


def _shown(name: str, value: Any) -> tuple[str, str]:
    """The heading that a definition comes under, and what is shown of it."""
    if isinstance(value, type):
        return "classes", name
    if callable(value):
        try:
            return "functions", f"{name}{inspect.signature(value)}"
        except (TypeError, ValueError):
            return "functions", name
    if isinstance(value, np.ndarray):
        return "constants", f"{name}: {value.dtype} {value.shape}"
    return "constants", f"{name} = {reprlib.repr(value)}"


def _skipped_rows(loaded: Loaded) -> Iterator[tuple[str, str]]:
    """What has the same place and reason shares a row. Of values only those are shown that some function uses."""
    used: set[str] = vars(loaded)["__used__"]
    shown = [s for s in loaded.__skipped__ if not s.is_value or s.name in used]
    for (place, reason), group in itertools.groupby(shown, key=lambda s: (s.place, s.reason)):
        names = ", ".join(s.name for s in group if s.name)
        yield (names or place), (f"{place}: {reason}" if names else reason)
    if others := sorted({s.name for s in loaded.__skipped__} - {s.name for s in shown}):
        yield f"{len(others)} more", f"that no function uses: {', '.join(others)}"
