"""Return on what conversations cost: incremental margin against cost, by channel group."""

from __future__ import annotations

import polars as pl

from reports.context import Figure, Section, Table
from reports.sources import ReportSources
from reports.words import money, percent

__all__ = ["headline_return", "returns_section"]

_PREFERRED = ("social", "all channels")


def headline_return(sources: ReportSources) -> dict[str, float | str | None] | None:
    """The return that opens the report: that of social conversations, else of all channels; None without."""
    roi = sources.table("roi")
    if roi.is_empty():
        return None
    for scenario in _PREFERRED:
        rows = roi.filter(pl.col("scenario") == scenario)
        if rows.height:
            return rows.row(0, named=True)
    return None


def returns_section(sources: ReportSources) -> Section | None:
    """Return by channel group with its interval, and the chance that it is positive."""
    roi = sources.table("roi")
    if roi.is_empty():
        return None
    paying = roi.filter(pl.col("roi_low") > 0)["scenario"].to_list()
    losing = roi.filter(pl.col("roi_high") < 0)["scenario"].to_list()
    told = []
    if paying:
        told.append(f"{', '.join(paying)} returned more than {'it' if len(paying) == 1 else 'they'} cost")
    if losing:
        told.append(f"{', '.join(losing)} did not earn the cost back")
    finding = "; ".join(told) or "No return differs from zero beyond sampling error"
    return Section(
        key="returns",
        title="Return on investment",
        finding=f"{finding[:1].upper()}{finding[1:]}.",
        figures=(_figure(roi),),
        tables=(_table(roi, sources),),
        notes=(
            "Only incremental margin counts as a gain; credited revenue does not. Intervals and chances "
            "cover the sampling error of the incremental margin; costs are taken as exact.",
        ),
    )


def _figure(roi: pl.DataFrame) -> Figure:
    return Figure(
        form="ranges",
        title="Return by channel group",
        rows=tuple(
            {
                "label": row["scenario"],
                "series": "return",
                "value": row["roi"],
                "low": row["roi_low"],
                "high": row["roi_high"],
            }
            for row in roi.iter_rows(named=True)
        ),
        x_title="(incremental margin − cost) / cost",
        reference=0.0,
        percent=True,
        caption="Left of the dashed line the margin added does not cover the cost.",
    )


def _table(roi: pl.DataFrame, sources: ReportSources) -> Table:
    body = [
        (
            row["scenario"],
            money(row["incremental_margin"], sources.currency),
            money(row["cost"], sources.currency),
            percent(row["roi"], digits=0),
            "–"
            if row["roi_low"] is None
            else f"{percent(row['roi_low'], digits=0)} to {percent(row['roi_high'], digits=0)}",
            "–" if row["probability_positive"] is None else percent(row["probability_positive"], digits=0),
        )
        for row in roi.iter_rows(named=True)
    ]
    columns = ("channels", "incremental margin", "cost", "return", "interval", "chance that it is positive")
    return Table(title="Incremental margin against cost", columns=columns, rows=tuple(body))
