"""Segments: what channels touched and what they added, by segment of customers, small cells left out."""

from __future__ import annotations

import polars as pl

from reports.context import Cell, Section, Table
from reports.sections.credit import METHOD_NAMES, OUTCOME_NAMES
from reports.sections.segment_credit import (
    incremental_finding,
    incremental_notes,
    incremental_rows,
    incremental_tables,
)
from reports.sources import ReportSources
from reports.suppression import cells_to_suppress
from reports.words import percent

__all__ = ["segment_section"]

_PREFERRED = ("linear", "shapley", "markov", "last", "first")


def segment_section(sources: ReportSources) -> Section | None:
    """Tables per segment column: what each channel added, and the share of the outcome that it touched."""
    credits = sources.table("credits")
    if credits.is_empty():
        return None
    added = incremental_rows(credits)
    touched = _touched_section(credits, sources)
    if added.is_empty():
        return touched
    finding = incremental_finding(added, sources)
    described = ("", (), ()) if touched is None else (touched.finding, touched.tables, touched.notes)
    return Section(
        key="segments",
        title="Segments",
        finding=finding or described[0] or "Fewer than two segments have a supported credit.",
        tables=(*incremental_tables(added, sources), *described[1]),
        notes=(*incremental_notes(added, sources), *described[2]),
    )


def _touched_section(credits: pl.DataFrame, sources: ReportSources) -> Section | None:
    """One table per segment column: the share of the outcome that each channel touched, by segment."""
    rows = credits.filter(
        (pl.col("segment") != "(all)") & (pl.col("kind") == "descriptive") & pl.col("credit").is_not_null()
    )
    if rows.is_empty():
        return None
    outcome = "spend" if "spend" in rows["outcome"] else str(rows["outcome"][0])
    method = next((name for name in _PREFERRED if name in rows["method"]), str(rows["method"][0]))
    chosen = rows.filter((pl.col("outcome") == outcome) & (pl.col("method") == method))
    parts = chosen.with_columns(
        column=pl.col("segment").str.split(": ").list.first(),
        value=pl.col("segment").str.split(": ").list.slice(1).list.join(": "),
    )
    columns = parts["column"].unique(maintain_order=True)
    about = f"{OUTCOME_NAMES.get(outcome, outcome)}, {METHOD_NAMES.get(method, method)} credit"
    return Section(
        key="segments",
        title="Segments",
        finding=_finding(parts, outcome),
        tables=tuple(
            _table(parts.filter(pl.col("column") == name), name, about, sources) for name in columns
        ),
        notes=("Shares touched are descriptive: who was there, not what it did.",),
    )


def _finding(parts: pl.DataFrame, outcome: str) -> str:
    sums = parts.group_by("segment").agg(
        touched=pl.col("credit").filter(pl.col("level") == "channel").sum(),
        total=pl.col("credit").filter(pl.col("level") == "total").sum(),
    )
    shares = (
        sums.filter(pl.col("total") > 0).with_columns(share=pl.col("touched") / pl.col("total")).sort("share")
    )
    noun = OUTCOME_NAMES.get(outcome, outcome)
    if shares.height < 2:
        return f"Only one segment has {noun}."
    low, high = shares.row(0, named=True), shares.row(-1, named=True)
    return (
        f"Channels were there before {percent(high['share'], digits=0)} of {noun} in {high['segment']} and "
        f"{percent(low['share'], digits=0)} in {low['segment']}."
    )


def _table(parts: pl.DataFrame, column: str, about: str, sources: ReportSources) -> Table:
    totals = parts.filter(pl.col("level") == "total")
    customers = {value: int(n or 0) for value, n in totals.select("value", "customers").iter_rows()}
    hidden = cells_to_suppress(customers, smallest=sources.settings.minimum_cell)
    channels = list(parts.filter(pl.col("level") == "channel")["channel"].unique(maintain_order=True))
    cells = {(r["value"], r["channel"]): r["share_of_total"] for r in parts.iter_rows(named=True)}
    body: list[tuple[Cell, ...]] = []
    for value, n in customers.items():
        if value in hidden:
            body.append((value, None, *(None for _ in channels)))
            continue
        shares = [cells.get((value, channel)) for channel in channels]
        body.append((value, n, *("–" if share is None else percent(share) for share in shares)))
    left_out = f" {len(hidden)} cells are left out." if hidden else ""
    return Table(
        title=f"Share of {about}, by {column.replace('_', ' ')}",
        columns=(column.replace("_", " "), "customers touched", *channels),
        rows=tuple(body),
        caption=f"Cells below {sources.settings.minimum_cell} customers are not shown, nor those that would "
        f"give them away.{left_out}",
    )
