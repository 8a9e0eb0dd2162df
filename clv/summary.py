"""Purchase summaries: frequency, recency, T and monetary value of each customer.

The words are those of Fader, Hardie and Lee (2005): *frequency* counts repeat purchases, *recency* is the
time from the first to the last purchase, *T* the time from the first purchase to the end of observation.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from histories.errors import ConfigError, nearest
from histories.money import MONEY_SCALE

__all__ = ["DAYS_PER_UNIT", "summarize_holdout", "summarize_purchases"]

#: Length of a time unit in days.
DAYS_PER_UNIT: dict[str, int] = {"day": 1, "week": 7}


def summarize_purchases(purchases: pl.LazyFrame, *, observation_end: date, time_unit: str) -> pl.LazyFrame:
    """Summarise each customer's purchases up to `observation_end`, that day included.

    Parameters
    ----------
    purchases
        One row per purchase: customer_id, timestamp, date, amount and margin (Int64, 1/10,000 of the
        currency). Rows of complete customers, in any order.
    observation_end
        Last day seen; later purchases are ignored.
    time_unit
        "day" or "week": the unit of recency and T.

    Returns
    -------
    LazyFrame
        One row per customer who had bought by then, in no order: customer_id, first_purchase, last_purchase,
        frequency (repeat purchases), recency and T (in `time_unit`), monetary_value (mean amount of repeat
        purchases in currency, null at frequency 0), historic_revenue and historic_margin (currency; the
        margin is null where a purchase has none).

    Notes
    -----
    Sums are taken over integers, so the answer does not depend on the order of rows or on how customers are
    split over partitions.

    Examples
    --------
    >>> from datetime import date, datetime
    >>> days = [date(2026, 1, 1), date(2026, 1, 15), date(2026, 1, 29)]
    >>> purchases = pl.LazyFrame(
    ...     {
    ...         "customer_id": [7, 7, 7],
    ...         "timestamp": [datetime(d.year, d.month, d.day) for d in days],
    ...         "date": days,
    ...         "amount": [100_000, 200_000, 400_000],
    ...         "margin": pl.Series([None, None, None], dtype=pl.Int64),
    ...     }
    ... )
    >>> row = summarize_purchases(purchases, observation_end=date(2026, 2, 12), time_unit="week").collect()
    >>> row.select("frequency", "recency", "T", "monetary_value").row(0)
    (2, 4.0, 6.0, 30.0)
    """
    unit = _days_per_unit(time_unit)
    end = pl.lit(observation_end, dtype=pl.Date)
    repeats = pl.col("purchases") - 1
    return (
        purchases.filter(pl.col("date") <= end)
        .group_by("customer_id")
        .agg(
            first_purchase=pl.col("date").min(),
            last_purchase=pl.col("date").max(),
            purchases=pl.len().cast(pl.Int64),
            revenue=pl.col("amount").sum(),
            first_amount=pl.col("amount").min_by("timestamp"),
            margin=pl.col("margin").sum(),
            unknown_margins=pl.col("margin").null_count(),
        )
        .select(
            "customer_id",
            "first_purchase",
            "last_purchase",
            repeats.alias("frequency"),
            _in_units(pl.col("last_purchase") - pl.col("first_purchase"), unit).alias("recency"),
            _in_units(end - pl.col("first_purchase"), unit).alias("T"),
            pl.when(repeats > 0)
            .then((pl.col("revenue") - pl.col("first_amount")) / (repeats * MONEY_SCALE))
            .alias("monetary_value"),
            _in_currency(pl.col("revenue")).alias("historic_revenue"),
            pl.when(pl.col("unknown_margins") == 0)
            .then(_in_currency(pl.col("margin")))
            .alias("historic_margin"),
        )
    )


def summarize_holdout(purchases: pl.LazyFrame, *, after: date, until: date) -> pl.LazyFrame:
    """Count what each customer bought after `after` and up to `until`, that day included.

    Returns
    -------
    LazyFrame
        customer_id, holdout_purchases (Int64) and holdout_revenue (currency); customers who bought nothing in
        between are absent.
    """
    return (
        purchases.filter((pl.col("date") > after) & (pl.col("date") <= until))
        .group_by("customer_id")
        .agg(
            holdout_purchases=pl.len().cast(pl.Int64),
            holdout_revenue=_in_currency(pl.col("amount").sum()),
        )
    )


def _in_units(span: pl.Expr, unit: int) -> pl.Expr:
    """A span of days in time units.

    Polars divides a column by a number through its reciprocal, but a single row exactly; whole units and the
    rest apart come out the same in either case.
    """
    days = span.dt.total_days()
    return days // unit + (days % unit) * (1.0 / unit)


def _in_currency(amount: pl.Expr) -> pl.Expr:
    """Minor units as currency, whole and fraction apart for the same reason."""
    return amount // MONEY_SCALE + (amount % MONEY_SCALE) * (1.0 / MONEY_SCALE)


def _days_per_unit(time_unit: str) -> int:
    """Length of the unit in days, or a refusal."""
    if time_unit not in DAYS_PER_UNIT:
        raise ConfigError(f'time_unit = "{time_unit}" is unknown; {nearest(time_unit, DAYS_PER_UNIT)}')
    return DAYS_PER_UNIT[time_unit]
