"""Incremental credit by segment: for whom it pays, small cells left out."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from reports.context import Cell, Table
from reports.sections.credit import OUTCOME_NAMES
from reports.sources import ReportSources
from reports.suppression import cells_to_suppress
from reports.words import money, number, percent

__all__ = ["incremental_finding", "incremental_notes", "incremental_rows", "incremental_tables"]

_OUTCOMES: Final = ("spend", "lifetime_value", "retention")
_WIDE: Final = 6
"""Segments side by side in one table."""


def incremental_rows(credits: pl.DataFrame) -> pl.DataFrame:
    """Incremental credit of segments that has a figure, with the segment's column and value beside it."""
    return credits.filter(
        (pl.col("segment") != "(all)") & (pl.col("kind") == "incremental") & pl.col("credit").is_not_null()
    ).with_columns(
        column=pl.col("segment").str.split(": ").list.first(),
        value=pl.col("segment").str.split(": ").list.slice(1).list.join(": "),
    )


def incremental_tables(rows: pl.DataFrame, sources: ReportSources) -> tuple[Table, ...]:
    """A table per segment column and outcome: channels and baseline down, segments across."""
    tables = []
    for column in rows["column"].unique(maintain_order=True):
        for outcome in _OUTCOMES:
            chosen = rows.filter((pl.col("column") == column) & (pl.col("outcome") == outcome))
            shown, hidden = _shown_and_hidden(chosen, sources)
            for first in range(0, len(shown), _WIDE):
                part = shown[first : first + _WIDE]
                tables.append(_table(chosen, str(column), outcome, part, len(hidden), sources))
    return tuple(tables)


def incremental_finding(rows: pl.DataFrame, sources: ReportSources) -> str | None:
    """The segments to whose outcome the channels added most and least; None where fewer than two hold."""
    for outcome in _OUTCOMES:
        shares = {}
        for column in rows["column"].unique(maintain_order=True):
            chosen = rows.filter((pl.col("column") == column) & (pl.col("outcome") == outcome))
            shown, _ = _shown_and_hidden(chosen, sources)
            for (value,), part in chosen.group_by(["value"], maintain_order=True):
                total = float(part.filter(pl.col("level") == "total")["credit"].sum())
                channels = part.filter(pl.col("level") == "channel")
                if value in shown and channels["supported"].all() and total > 0:
                    shares[f"{column}: {value}"] = float(channels["credit"].sum()) / total
        if len(shares) > 1:
            low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
            noun = OUTCOME_NAMES[outcome]
            return (
                f"Channels added {percent(shares[high])} of {noun} in {high} and {percent(shares[low])} in "
                f"{low}; the rest would have come anyway."
            )
    return None


def incremental_notes(rows: pl.DataFrame, sources: ReportSources) -> tuple[str, ...]:
    """Which effects the segments shown are credited with, and why some have no figure."""
    notes = []
    for column in rows["column"].unique(maintain_order=True):
        for outcome in _OUTCOMES:
            chosen = rows.filter((pl.col("column") == column) & (pl.col("outcome") == outcome))
            shown, _ = _shown_and_hidden(chosen, sources)
            words = chosen.filter(
                pl.col("value").is_in(shown) & (pl.col("level") == "total") & pl.col("reason").is_not_null()
            )
            for (reason,), part in words.group_by(["reason"], maintain_order=True):
                said = "" if part["supported"].all() else "not supported: "
                names = ", ".join(part["value"].unique(maintain_order=True))
                notes.append(f"{OUTCOME_NAMES[outcome].capitalize()}, {column} {names}: {said}{reason}.")
    return tuple(notes)


def _shown_and_hidden(chosen: pl.DataFrame, sources: ReportSources) -> tuple[list[str], frozenset[str]]:
    """Values of a column whose customers are enough to be shown, and the others."""
    totals = chosen.filter(pl.col("level") == "total")
    counts = {value: int(n or 0) for value, n in totals.select("value", "customers").iter_rows()}
    hidden = cells_to_suppress(counts, smallest=sources.settings.minimum_cell)
    return [value for value in counts if value not in hidden], hidden


def _table(
    chosen: pl.DataFrame, column: str, outcome: str, values: list[str], hidden: int, sources: ReportSources
) -> Table:
    cells = {(row["channel"], row["value"]): row for row in chosen.iter_rows(named=True)}
    channels = chosen.filter(pl.col("level") == "channel")["channel"].unique(maintain_order=True)
    names = [*channels, "(baseline)", "(total)"]
    customers: tuple[Cell, ...] = tuple(cells["(total)", value]["customers"] for value in values)
    body: list[tuple[Cell, ...]] = [("customers", *customers)]
    body += [
        (name, *(_cell(cells.get((name, value)), outcome, sources) for value in values)) for name in names
    ]
    left_out = f" Segments left out: {hidden}." if hidden else ""
    return Table(
        title=f"Added to {OUTCOME_NAMES[outcome]}, by {column.replace('_', ' ')}",
        columns=("channel", *values),
        rows=tuple(body),
        caption=f"Incremental credit with its interval. Segments below {sources.settings.minimum_cell} "
        f"customers are not shown, nor those that would give them away.{left_out}",
    )


def _cell(row: dict[str, Any] | None, outcome: str, sources: ReportSources) -> str:
    if row is None:
        return "–"
    if not row["supported"]:
        return "not supported"

    def shown(value: float) -> str:
        return number(value) if outcome == "retention" else money(value, sources.currency)

    text = shown(row["credit"])
    if row["low"] is not None and row["high"] is not None:
        text += f" [{shown(row['low'])}, {shown(row['high'])}]"
    return text
