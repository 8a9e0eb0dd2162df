"""Pictures of one comparison: balance, overlap, event study, series with counterfactual, dose.

Each takes the frame that an effect's findings hold under the same name, and gives figures or a table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from reports.context import Cell, Figure, Table
from reports.words import number

__all__ = ["balance", "checks", "dose", "estimates", "event_study", "overlap", "segment_margins", "series"]

Row = dict[str, Any]


def balance(rows: pl.DataFrame) -> list[Figure]:
    """Love plot: standardised differences of the covariates, before and after weighting."""
    figures = []
    for (name,), part in rows.group_by("name", maintain_order=True):
        data = [
            {
                "label": row["covariate"],
                "series": series,
                "value": abs(row[series]),
                "low": None,
                "high": None,
            }
            for row in part.iter_rows(named=True)
            for series in ("before", "after")
            if row[series] is not None
        ]
        figures.append(
            Figure(
                form="ranges",
                title=f"{name}: balance of the covariates",
                rows=tuple(data),
                x_title="absolute standardised difference",
                reference=0.1,
                caption="Left of the dashed line (0.1) the groups are alike in that covariate.",
            )
        )
    return figures


def overlap(rows: pl.DataFrame) -> list[Figure]:
    """Distribution of the propensity to be treated, in both groups."""
    return [
        Figure(
            form="lines",
            title=f"{name}: propensity of treated and control",
            rows=tuple(
                {"x": (row["low"] + row["high"]) / 2, "series": row["group"], "value": row["share"]}
                for row in part.iter_rows(named=True)
            ),
            x_title="estimated probability of treatment",
            y_title="share of the group",
            percent=True,
            caption="Where only one group has customers there is nobody to compare with.",
        )
        for (name,), part in rows.group_by("name", maintain_order=True)
    ]


def event_study(rows: pl.DataFrame) -> list[Figure]:
    """Effect by period around the start; before it there should be none."""
    return [
        Figure(
            form="ranges",
            title=f"{name}: {outcome.replace('_', ' ')} by period since the start",
            rows=estimates(
                part.sort("period"),
                label=lambda row: f"{row['period']:+d}",
                series=lambda row: "before" if row["period"] < 0 else "after",
            ),
            x_title="difference from the control group, beyond the mean of the periods before",
            reference=0.0,
            caption="Periods before the start test whether both groups were on one course.",
        )
        for (name, outcome), part in rows.group_by("name", "outcome", maintain_order=True)
    ]


def series(rows: pl.DataFrame) -> list[Figure]:
    """What was observed, and what would have been expected without the change."""
    return [
        Figure(
            form="lines",
            title=f"{name}: {outcome.replace('_', ' ')}",
            rows=tuple(
                {"x": row["date"].isoformat(), "series": kind, "value": row[kind]}
                for kind in ("observed", "counterfactual")
                for row in part.sort("date").iter_rows(named=True)
                if row[kind] is not None
            ),
            caption="Counterfactual: the course before the change, continued.",
        )
        for (name, outcome), part in rows.group_by("name", "outcome", maintain_order=True)
    ]


def dose(rows: pl.DataFrame) -> list[Figure]:
    """Response to the number of contacts, only where the data reach."""
    return [
        Figure(
            form="ranges",
            title=f"{name}: {outcome.replace('_', ' ')} by number of contacts",
            rows=estimates(
                part.sort("position"),
                label=lambda row: f"{row['dose']} (n = {row['n']:,})",
                series=lambda row: "supported" if row["supported"] else "too few customers",
            ),
            reference=0.0,
            caption="Against no contact; n is the number of customers at each dose.",
        )
        for (name, outcome), part in rows.group_by("name", "outcome", maintain_order=True)
    ]


def estimates(
    frame: pl.DataFrame, *, label: Callable[[Row], str], series: Callable[[Row], str]
) -> tuple[dict[str, Cell], ...]:
    """Rows of a chart of ranges: each estimate with its interval; rows without a figure are left out."""
    return tuple(
        {
            "label": label(row),
            "series": series(row),
            "value": row["estimate"],
            "low": row["low"],
            "high": row["high"],
        }
        for row in frame.iter_rows(named=True)
        if row["estimate"] is not None
    )


def segment_margins(rows: pl.DataFrame, *, currency: str) -> Table | None:
    """Incremental margin against cost, by segment; None without any."""
    if rows.is_empty():
        return None
    body = [
        (
            row["name"],
            row["segment"],
            row["n_treated"],
            _interval(row["incremental_margin"], row["low"], row["high"]),
            None if row["cost"] is None else number(row["cost"]),
            None if row["net"] is None else number(row["net"]),
            "yes" if row["supported"] else "no",
        )
        for row in rows.iter_rows(named=True)
    ]
    return Table(
        title="Incremental margin against cost, by segment",
        columns=("effect", "segment", "treated", "incremental margin", "cost", "net", "supported"),
        rows=tuple(body),
        caption=f"Of all treated units together, in {currency}, with the 95 % interval.",
    )


def checks(rows: pl.DataFrame) -> Table | None:
    """By kind of check: how many estimates went through it, how many failed, and the first reason."""
    if rows.is_empty():
        return None
    kinds = (
        rows.group_by("check", maintain_order=True)
        .agg(
            pl.len().alias("n"),
            (~pl.col("passed")).sum().alias("failed"),
            pl.col("limit").first(),
            pl.col("reason").drop_nulls().first(),
        )
        .select("check", "n", "failed", "limit", "reason")
    )
    return Table(
        title="Checks",
        columns=("check", "estimates", "failed", "limit", "first reason"),
        rows=tuple(kinds.rows()),
        caption="A failed check takes the support from its estimate.",
    )


def _interval(value: float | None, low: float | None, high: float | None) -> str | None:
    if value is None:
        return None
    if low is None or high is None:
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"
