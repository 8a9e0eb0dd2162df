"""Find the columns of a table in its source: by the configured name or position, or by our own name."""

from __future__ import annotations

from histories.errors import ConfigError, SchemaError, nearest
from histories.reading.scan import Scanned
from histories.reading.schemas import Table
from histories.reading.sources import TableSource

__all__ = ["match_columns"]


def match_columns(table: Table, source: TableSource, scanned: Scanned) -> dict[str, str]:
    """Our column names to the source's, for every column that is there.

    Raises
    ------
    ConfigError
        When `columns` names a column that the table does not have.
    SchemaError
        When a required column, or one that `columns` names, is not in the source.
    """
    wanted = source.columns or {}
    _refuse_unknown(table, wanted)
    found: dict[str, str] = {}
    for ours, theirs in wanted.items():
        name = str(theirs)
        if name not in scanned.columns:
            raise SchemaError(_missing(table, scanned, ours, name, source))
        found[ours] = name
    taken = set(found.values())
    for name in scanned.columns:
        welcome = name in table.columns or table.keeps_others
        if welcome and name not in found and name not in taken:
            found[name] = name
    _refuse_missing(table, source, scanned, found)
    return found


def _refuse_unknown(table: Table, wanted: dict[str, str | int]) -> None:
    if table.keeps_others:
        return
    for ours in wanted:
        if ours not in table.columns:
            raise ConfigError(
                f'inputs.{table.name}.columns: the table has no column "{ours}"; '
                f"{nearest(ours, table.columns)}."
            )


def _refuse_missing(table: Table, source: TableSource, scanned: Scanned, found: dict[str, str]) -> None:
    for ours, column in table.columns.items():
        if column.required and ours not in found:
            raise SchemaError(_missing(table, scanned, ours, ours, source))
    for choices in table.alternatives:
        if not any(all(name in found for name in choice) for choice in choices):
            named = _missing(table, scanned, choices[0][0], choices[0][0], source)
            others = " or ".join(" + ".join(choice) for choice in choices)
            raise SchemaError(named if len(choices) == 1 else f"{named} Needed: {others}.")


def _missing(table: Table, scanned: Scanned, ours: str, theirs: str, source: TableSource) -> str:
    if not source.has_header:
        return (
            f"{scanned.place}: {table.name} has no column {theirs} for {ours}; the file has "
            f"{len(scanned.columns)} columns without a header. Give the position of {ours} in "
            f"inputs.{table.name}.columns, 1 is the first."
        )
    listed = ", ".join(scanned.columns[:12]) + (", ..." if len(scanned.columns) > 12 else "")
    hint = nearest(theirs, scanned.columns)
    suggestion = f" {hint[0].upper()}{hint[1:]}" if hint.startswith("did") else ""
    return (
        f'{scanned.place}: {table.name} has no column "{theirs}". Found: {listed}.{suggestion} '
        f"Name the right one in inputs.{table.name}.columns, e.g. "
        f'columns = {{ {ours} = "..." }}.'
    )
