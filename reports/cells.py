"""Cells of tables as text, and the templates that use them."""

from __future__ import annotations

from typing import Any

from reports.context import Cell, Table
from reports.words import number

__all__ = ["number_columns", "shown", "templates"]


def templates(*, autoescape: bool) -> Any:
    """The report's templates, with the filters `shown` and `number_columns`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"), autoescape=autoescape, undefined=jinja2.StrictUndefined
    )
    environment.filters["shown"] = shown
    environment.filters["number_columns"] = number_columns
    return environment


def shown(cell: Cell) -> str:
    """A cell as a reader sees it; an absent value is a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return number(cell) if isinstance(cell, int | float) else cell


def number_columns(table: Table) -> frozenset[int]:
    """The positions of the columns that hold numbers only."""
    return frozenset(
        position
        for position in range(len(table.columns))
        if all(_is_number(row[position]) for row in table.rows)
        and any(row[position] is not None for row in table.rows)
    )


def _is_number(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))
