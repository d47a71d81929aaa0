"""Look-up of the published figures in published.toml, each with the document and place it comes from."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

PUBLISHED_TOML = Path(__file__).with_name("published.toml")


class Entry(NamedTuple):
    """One published figure and where it is printed: an id of the `documents` table, and a place in it."""

    value: Any  # float, int, bool or str, or a tuple of these; which one is part of the key's meaning
    document: str
    place: str
    note: str = ""


def published(key: str) -> Entry:
    """The entry of `key` = "document.group.name"; a KeyError that names close matches if there is none."""
    try:
        return entries()[key]
    except KeyError:
        near = ", ".join(get_close_matches(key, entries(), n=3, cutoff=0.0))
        raise KeyError(f"published.toml has no key {key!r} (document.group.name); nearest: {near}") from None


@cache
def entries() -> Mapping[str, Entry]:
    """All entries by key, read-only, in the order of the file."""
    return MappingProxyType(parse(PUBLISHED_TOML.read_text(encoding="utf-8")))


def parse(text: str) -> dict[str, Entry]:
    """The entries of a TOML text in the form described at the top of published.toml.

    Raises ValueError (tomllib's own included) on a group that lacks a field, an unknown document, a note on
    no value and a key given twice.
    """
    data = tomllib.loads(text)
    found: dict[str, Entry] = {}
    for group in data["group"]:
        if missing := [field for field in ("document", "name", "place", "values") if not group.get(field)]:
            raise ValueError(f"group {group}: lacks {', '.join(missing)}; fill in")
        document, values, notes = group["document"], group["values"], group.get("notes", {})
        prefix = f"{document}.{group['name']}"
        if document not in data["documents"]:
            raise ValueError(f"{prefix}: no document {document!r} in the `documents` table; add it there")
        if stray := sorted(notes.keys() - values.keys()):
            raise ValueError(f"{prefix}: notes on {', '.join(stray)}, not among the values; rename or remove")
        for name, value in values.items():
            key = f"{prefix}.{name}"
            if key in found:
                raise ValueError(f"{key}: given twice; rename the group or the value")
            note = " ".join(filter(None, (group.get("note"), notes.get(name))))
            found[key] = Entry(tuple(value) if isinstance(value, list) else value, document, group["place"], note)
    return found
