"""Where customers say they heard of the company, beside credit: a ledger for appendix A."""

from __future__ import annotations

import polars as pl

from reports.context import Column, Ledger, Mark, Plot, Row
from reports.sources import ReportSources
from reports.words import label, method_name

_MOST = 12


def declared_ledger(sources: ReportSources) -> Ledger | None:
    """Each source's share of those who answered and of those who named a channel, beside its credit."""
    frame = sources.table("declared")
    if frame.is_empty():
        return None
    smallest = sources.settings.minimum_cell
    shown = frame.filter((pl.col("customers") >= smallest) | pl.col("credited_share").is_not_null()).head(
        _MOST
    )
    if shown.is_empty():
        return None
    methods = shown["method"].drop_nulls().unique().to_list()
    credited = f"{method_name(methods[0])}, % of credit" if methods else "% of credit"
    highest = max(float(row or 0.0) for row in shown["high"])
    rows = [
        Row(
            name=label(row["source"]),
            detail="" if row["is_channel"] else "said; no channel of this run",
            cells=(
                (Mark(form="dot", value=row["share"], low=row["low"], high=row["high"]),),
                100 * row["share"],
                None if row["share_among_channels"] is None else 100 * row["share_among_channels"],
                None if row["credited_share"] is None else 100 * row["credited_share"],
            ),
        )
        for row in shown.iter_rows(named=True)
    ]
    return Ledger(
        label="Source",
        title="How customers say they heard of us",
        subtitle=f"said by {round(frame['customers'].sum()):,} customers who answered; neither credit nor an "
        "effect",
        columns=(
            Column(title="share, with 95% interval", form="plot", plot=Plot(low=0.0, high=highest, zero=0.0)),
            Column(title="% of answers", decimals=0, phone=True, strong=True),
            Column(title="% of those naming a channel", decimals=0),
            Column(title=credited, decimals=0, phone=True),
        ),
        rows=tuple(rows),
        foot="Who names several sources counts in equal parts. What nobody recorded shows here alone.",
    )
