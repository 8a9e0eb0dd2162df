"""Costs by day: a row of the costs table is spread evenly over its days and cut to what is observed."""

from __future__ import annotations

import datetime as dt

import polars as pl

from histories.money import to_currency

DAILY_COSTS: dict[str, pl.DataType] = {
    "channel": pl.String(),
    "brand": pl.String(),
    "item": pl.String(),
    "day": pl.Date(),
    "cost": pl.Float64(),
}


def daily_costs(costs: pl.DataFrame, *, first: dt.date, last: dt.date) -> pl.DataFrame:
    """Costs of each day from `first` to `last`, in currency.

    Parameters
    ----------
    costs
        channel, period_start, period_end (both count), amount in minor units; brand and item where known.
    first, last
        Days that are observed, both included.

    >>> january = pl.DataFrame({"channel": ["chat"], "period_start": [dt.date(2026, 1, 1)],
    ...     "period_end": [dt.date(2026, 1, 31)], "amount": [31_000_000]})
    >>> round(daily_costs(january, first=dt.date(2026, 1, 11), last=dt.date(2026, 6, 30))["cost"].sum(), 2)
    2100.0
    """
    absent = [
        pl.lit(None, dtype=pl.String).alias(name) for name in ("brand", "item") if name not in costs.columns
    ]
    days = (pl.col("period_end") - pl.col("period_start")).dt.total_days() + 1
    spread = costs.with_columns(absent).with_columns(
        (to_currency(pl.col("amount")) / days).alias("cost"),
        pl.max_horizontal("period_start", pl.lit(first)).alias("start"),
        pl.min_horizontal("period_end", pl.lit(last)).alias("end"),
    )
    inside = spread.filter(pl.col("start") <= pl.col("end"))
    if inside.is_empty():
        return pl.DataFrame(schema=DAILY_COSTS)
    return (
        inside.with_columns(pl.date_ranges("start", "end").alias("day"))
        .explode("day")
        .select(pl.col(name).cast(dtype) for name, dtype in DAILY_COSTS.items())
    )
