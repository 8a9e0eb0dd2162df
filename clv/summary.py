"""Purchase summaries: frequency, recency, T and monetary value of each customer.

The words are those of Fader, Hardie and Lee (2005): *frequency* counts repeat purchases, *recency* is the
time from the first to the last purchase, *T* the time from the first purchase to the end of observation.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from histories.arrays import Integer, Whole
from histories.errors import ConfigError, DataError, nearest
from histories.money import MONEY_SCALE

#: Length of a time unit in days.
DAYS_PER_UNIT: dict[str, int] = {"day": 1, "week": 7}


def summarize_purchases(purchases: pl.LazyFrame, *, observation_end: date, time_unit: str) -> pl.LazyFrame:
    """Summarise each customer's purchases up to `observation_end`, that day included.

    Parameters
    ----------
    purchases
        customer_id, date, amount and margin (Int64, 1/10,000 of the currency; a margin may be null). Rows of
        complete customers, in any order; those of one customer and day are one purchase.
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
    >>> from datetime import date
    >>> days = [date(2026, 1, 1), date(2026, 1, 15), date(2026, 1, 29)]
    >>> purchases = pl.LazyFrame(
    ...     {
    ...         "customer_id": [7, 7, 7],
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
    repeats = pl.col("days") - 1
    first, last = (pl.col(name).cast(pl.Int32).cast(pl.Date) for name in ("first", "last"))
    schema = {"customer_id": purchases.collect_schema()["customer_id"]} | dict.fromkeys(_TALLIES, pl.Int64())
    return (
        purchases.filter(pl.col("date") <= end)
        .select("customer_id", "date", "amount", "margin")
        .map_batches(_tally, schema=schema)
        .select(
            "customer_id",
            first.alias("first_purchase"),
            last.alias("last_purchase"),
            repeats.alias("frequency"),
            _in_units(last - first, unit).alias("recency"),
            _in_units(end - first, unit).alias("T"),
            pl.when(repeats > 0)
            .then((pl.col("amount") - pl.col("first_amount")) / (repeats * MONEY_SCALE))
            .alias("monetary_value"),
            _in_currency(pl.col("amount")).alias("historic_revenue"),
            pl.when(pl.col("unknown_margins") == 0)
            .then(_in_currency(pl.col("margin")))
            .alias("historic_margin"),
        )
    )


_TALLIES = ("first", "last", "days", "amount", "first_amount", "margin", "unknown_margins")


_NONE = np.zeros(0, dtype=np.int64)


def _tally(purchases: pl.DataFrame) -> pl.DataFrame:
    """One row per customer: customer_id and the columns of `_TALLIES`, days since 1970."""
    from clv.tally import UNKNOWN, tally_purchases  # machine code, which only those who fit need

    ids = purchases["customer_id"]
    if ids.null_count():
        raise DataError(f"{ids.null_count()} purchases name no customer; set them aside before")
    codes, rows = _coded(ids)
    day = purchases["date"].to_physical().to_numpy()
    amount = purchases["amount"].to_numpy()
    margin = purchases["margin"].fill_null(UNKNOWN).to_numpy() if _some(purchases["margin"]) else _NONE
    tally = tally_purchases(codes, rows.size, day, amount, margin)
    columns = [pl.Series(name, tally[:, place]) for place, name in enumerate(_TALLIES)]
    return pl.DataFrame([ids.gather(rows), *columns])


def _some(column: pl.Series) -> bool:
    return column.null_count() < column.len()


def _coded(ids: pl.Series) -> tuple[Whole, Integer]:
    """A code for each row, and the row in which each code first appears; other ids than numbers by a hash."""
    from clv.tally import code_ids  # machine code, which only those who fit need

    if ids.dtype.is_integer():
        return code_ids(np.ascontiguousarray(ids.cast(pl.Int64).to_numpy()))
    seed = 0
    while True:
        codes, rows = code_ids(np.ascontiguousarray(ids.hash(seed).to_numpy()).view(np.int64))
        if (ids.gather(rows).gather(codes) == ids).all():  # no two ids share a hash
            return codes, rows
        seed += 1


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
