"""The closing summary on the terminal: the tables of the report, in columns."""

from __future__ import annotations

from oracles.report.tables import column_widths, tables

__all__ = ["aligned", "tables"]


def aligned(rows: list[list[str]]) -> list[str]:
    """Cells in columns."""
    widths = column_widths(rows)
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
