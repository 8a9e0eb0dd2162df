"""Retention as journeys: one per customer and period, or one per life; null when the customer left in it.

With a contract, a customer leaves on the day it ends. Without one nobody says so: a customer has lapsed when
no purchase followed the last one within the lapse window, and left on the day of that last purchase. Periods
too late for the window to be over are not judged.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from histories.errors import DataError
from histories.journeys import JourneyWalk, walk_journeys
from histories.periods import PeriodName, period_ordinal, period_start, start_of_day, zone_of
from histories.timeline import JourneyWindow

LAPSE_SHARE = 0.95
_KEYS = ["customer_id", "end"]


def count_gaps(purchases: pl.LazyFrame) -> pl.LazyFrame:
    """How many gaps between purchases of one customer last how many days: columns `days`, `gaps`.

    The counts of several partitions add up.
    """
    ordered = purchases.sort("timestamp").sort("customer_id", maintain_order=True)
    same = pl.col("customer_id") == pl.col("customer_id").shift(1)
    gap = (pl.col("date") - pl.col("date").shift(1)).dt.total_days()
    return (
        ordered.select(pl.when(same).then(gap).alias("days"))
        .drop_nulls()
        .group_by("days")
        .agg(pl.len().cast(pl.Int64).alias("gaps"))
        .sort("days")
    )


def lapse_window_days(gaps: pl.DataFrame, *, share: float = LAPSE_SHARE) -> int:
    """Shortest window, in days, that holds this share of all gaps.

    Raises
    ------
    DataError
        When nobody bought twice.

    >>> lapse_window_days(pl.DataFrame({"days": [10, 20, 90], "gaps": [90, 6, 4]}))
    20
    """
    counted = gaps.group_by("days").agg(pl.col("gaps").sum()).sort("days")
    if counted.is_empty():
        raise DataError(
            "No customer bought twice, so there is no gap between purchases to tell lapsed customers by. "
            "Give a longer history, or customers.ended_at."
        )
    reached = pl.col("gaps").cum_sum() >= share * pl.col("gaps").sum()
    return int(counted.filter(reached)["days"][0])


def build_repeat_periods(
    purchases: pl.LazyFrame,
    *,
    observation_end: date,
    lapse_days: int,
    period: PeriodName = "month",
) -> pl.LazyFrame:
    """Periods of each buyer from the first purchase on: customer_id, start, end, retained.

    A customer without a purchase in the `lapse_days` before the end has lapsed, and is retained in all
    periods before that of the last purchase. Only periods that end a lapse window before `observation_end`
    are judged.
    """
    spans = _buyers(purchases, observation_end, lapse_days)
    return _periods_at_risk(spans, judged_to=observation_end - timedelta(days=lapse_days), period=period)


def build_repeat_lives(purchases: pl.LazyFrame, *, observation_end: date, lapse_days: int) -> pl.LazyFrame:
    """The life of each buyer from the first purchase on, one row: customer_id, start, end, retained.

    It ends with the last purchase of a customer without another in the `lapse_days` before the end, else
    with `observation_end`.
    """
    return _lives(_buyers(purchases, observation_end, lapse_days), observation_end)


def _buyers(purchases: pl.LazyFrame, observation_end: date, lapse_days: int) -> pl.LazyFrame:
    """When each customer entered, and left; null where they have not."""
    last = pl.col("date").max()
    has_lapsed = last + timedelta(days=lapse_days) <= observation_end
    return purchases.group_by("customer_id").agg(
        pl.col("date").min().alias("entered"), pl.when(has_lapsed).then(last).alias("left")
    )


def build_contract_periods(
    customers: pl.LazyFrame, *, observation_end: date, period: PeriodName = "month"
) -> pl.LazyFrame:
    """Periods of each customer from `acquired_at` to `ended_at`: customer_id, start, end, retained."""
    return _periods_at_risk(_contracts(customers, observation_end), judged_to=observation_end, period=period)


def build_contract_lives(customers: pl.LazyFrame, *, observation_end: date) -> pl.LazyFrame:
    """The life of each customer from `acquired_at` on, one row: customer_id, start, end, retained."""
    return _lives(_contracts(customers, observation_end), observation_end)


def _contracts(customers: pl.LazyFrame, observation_end: date) -> pl.LazyFrame:
    left = pl.when(pl.col("ended_at") <= observation_end).then("ended_at")
    return customers.filter(pl.col("acquired_at") <= observation_end).select(
        "customer_id", pl.col("acquired_at").alias("entered"), left.alias("left")
    )


def _lives(spans: pl.LazyFrame, observation_end: date) -> pl.LazyFrame:
    """From the day of entry to the end of the day of leaving, or of the observation."""
    last = pl.col("left").fill_null(pl.lit(observation_end))
    return spans.select(
        "customer_id",
        pl.col("entered").cast(pl.Datetime("us")).alias("start"),
        (last + timedelta(days=1)).cast(pl.Datetime("us")).alias("end"),
        pl.col("left").is_null().alias("retained"),
    )


def walk_retention(
    touchpoints: pl.LazyFrame, periods: pl.LazyFrame, window: JourneyWindow, *, period: PeriodName = "month"
) -> JourneyWalk:
    """One journey per customer and period, and its touches.

    The path holds the touches within the period; `converted` says whether the customer was retained; `amount`
    and `value` are 0.

    Parameters
    ----------
    touchpoints, window
        As in `walk_journeys`; the period takes the place of the window's lookback.
    periods
        As `build_repeat_periods` or `build_contract_periods` return them.
    period
        Name of the period they were built with.
    """
    window = replace(window, lookback_days=_LONGEST[period])
    zone = zone_of(touchpoints)
    periods = _in_zone(periods, zone)
    walk = walk_journeys(touchpoints, _boundaries(periods), window)
    next_period = start_of_day(period_start(period_ordinal(pl.col("timestamp"), period) + 1, period), zone)
    placed = walk.touches.with_columns(next_period.alias("end"))
    return JourneyWalk(journeys=_judged(walk.journeys, periods), touches=_judged(placed, periods).drop("end"))


def walk_lives(touchpoints: pl.LazyFrame, lives: pl.LazyFrame, window: JourneyWindow) -> JourneyWalk:
    """One journey per customer, and its touches: all of the life as far as it was observed.

    `converted` says whether the customer was there at its end, so that credit is in customers; `amount` and
    `value` are 0. `lives` are as `build_repeat_lives` or `build_contract_lives` return them; touchpoints and
    window as in `walk_journeys`, but for the lookback, which is all of the life.
    """
    window = replace(window, lookback_days=_LONGEST_LIFE)
    lives = _in_zone(lives, zone_of(touchpoints))
    walk = walk_journeys(touchpoints, _boundaries(lives), window)
    placed = (
        walk.touches.join(
            lives.select("customer_id", "start", "end"), on="customer_id", maintain_order="left"
        )
        .filter(pl.col("timestamp") >= pl.col("start"))
        .drop("start")
    )
    return JourneyWalk(journeys=_judged(walk.journeys, lives), touches=_judged(placed, lives).drop("end"))


def _judged(led_to_an_end: pl.LazyFrame, periods: pl.LazyFrame) -> pl.LazyFrame:
    """Rows that led to the end of a period at risk; `converted` now says whether the customer stayed."""
    columns = led_to_an_end.collect_schema().names()
    return (
        led_to_an_end.filter("converted")
        .drop("converted")
        .join(_verdicts(periods), on=_KEYS, how="inner", maintain_order="left")
        .select(columns)
        .collect()
        .lazy()
    )


_LONGEST_LIFE = 36_525.0
"""Days, so that no touch of a life lies too far back."""

_LONGEST: dict[PeriodName, int] = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def _periods_at_risk(spans: pl.LazyFrame, *, judged_to: date, period: PeriodName) -> pl.LazyFrame:
    """From the period of entry to that of leaving, as far as periods are over by `judged_to`."""
    entered, left = period_ordinal(pl.col("entered"), period), period_ordinal(pl.col("left"), period)
    last_judged = period_ordinal(pl.lit(judged_to + timedelta(days=1)), period) - 1
    numbers = pl.int_ranges(entered, pl.min_horizontal(left, last_judged) + 1)
    number = pl.col("number")
    return (
        spans.select("customer_id", numbers.alias("number"), left.alias("left"))
        .explode("number", empty_as_null=False, keep_nulls=False)
        .select(
            "customer_id",
            period_start(number, period).cast(pl.Datetime("us")).alias("start"),
            period_start(number + 1, period).cast(pl.Datetime("us")).alias("end"),
            (pl.col("left").is_null() | (number < pl.col("left"))).alias("retained"),
        )
    )


def _in_zone(periods: pl.LazyFrame, zone: str | None) -> pl.LazyFrame:
    """Starts and ends of periods as the instants at which their days begin."""
    return periods.with_columns(start_of_day(pl.col(name), zone) for name in ("start", "end"))


def _boundaries(periods: pl.LazyFrame) -> pl.LazyFrame:
    """Ends of periods, and the start of each customer's first, in the place of purchases.

    Then the touches of a period are the journey to its end, and those before the first period lead to its
    start, which is no end and drops out.
    """
    no_amount = pl.lit(0, dtype=pl.Int64).alias("amount")
    ends = periods.select("customer_id", pl.col("end").alias("timestamp"), no_amount)
    starts = periods.group_by("customer_id").agg(pl.col("start").min().alias("timestamp"))
    return pl.concat([ends, starts.with_columns(no_amount)])


def _verdicts(periods: pl.LazyFrame) -> pl.LazyFrame:
    return periods.select("customer_id", "end", pl.col("retained").alias("converted"))
