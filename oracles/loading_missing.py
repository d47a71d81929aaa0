"""What stands in a loaded namespace for what is not there: a module that is not installed, a value never computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn


class Skipped(NamedTuple):
    """Something of a file that was not loaded, or not as it stands there."""

    name: str
    """Of what it would have defined; "" for a cell as a whole."""
    place: str
    """Such as "cell 5, line 3"; "line 3" in a script; "" for what no line defines."""
    reason: str
    is_value: bool = False
    """Whether it is only of interest where a function uses it: what statements that are not run would assign."""


class Missing:
    """Raises its error in whatever way it is used. Python can still ask what it is, and show it."""

    def __init__(self, skipped: Skipped, error: type[Exception], message: str) -> None:
        self.skipped = skipped
        self.message = message
        self._error = error

    def __repr__(self) -> str:
        return f"<{self.message}>"

    def __getattr__(self, name: str) -> NoReturn:
        # hasattr, and getattr with a default, are how libraries look at what they were given
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(self.message)
        raise self._error(self.message)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self._error(self.message)

    __hash__ = object.__hash__


_ARITHMETIC = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or"
_OTHERS = """
    call len iter next reversed contains getitem setitem delitem enter exit await aiter
    eq ne lt le gt ge bool int float complex index str format bytes round trunc floor ceil
    neg pos abs invert array
"""


def _refuse_uses(names: Iterable[str]) -> None:
    for name in names:
        setattr(Missing, f"__{name}__", Missing._refuse)


_refuse_uses(_OTHERS.split())
_refuse_uses(side + name for name in _ARITHMETIC.split() for side in ("", "r", "i"))
