"""Journeys towards outcomes other than a purchase: a repeat purchase in time, and staying for a period.

Every function takes the rows of complete customers and returns journeys in the form of
`histories.journeys.build_journeys`, so that `count_paths` and `descriptive` read them all alike; partitions
of customers may be concatenated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from histories.money import to_currency
from histories.periods import end_of_day

__all__ = ["JourneySet", "repeat_purchase_journeys", "retention_journeys"]

_EVERY = {"week": "1w", "month": "1mo", "quarter": "1q"}
_WINDOW = ["customer_id", "journey_id", "start", "end", "converted", "amount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneySet:
    """Journeys towards one outcome, and their touches."""

    journeys: pl.LazyFrame
    """customer_id, journey_id, start, end, path (may be empty), n_touches, converted, amount, value."""
    touches: pl.LazyFrame
    """customer_id, journey_id, position, n_touches, channel, timestamp, hours_before, converted, value."""


def repeat_purchase_journeys(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, *, window_days: float, observation_end: date
) -> JourneySet:
    """One journey per purchase, which converts when the next one comes within `window_days`.

    Its touches lie strictly after the purchase and strictly before the next one, or before the end of the
    window when none comes in time. Purchases whose window is not over at `observation_end` take no part,
    whether or not a further purchase is known: keeping only the quick ones would favour them.
    """
    window = timedelta(days=window_days)
    start, following = pl.col("start"), pl.col("following")
    in_time = (following - start <= window).fill_null(False)
    windows = (
        purchases.select("customer_id", "amount", start="timestamp")
        .sort("start", maintain_order=True)
        .with_columns(
            following=start.shift(-1).over("customer_id"),
            next_amount=pl.col("amount").shift(-1).over("customer_id"),
        )
        .filter(start + window <= end_of_day(observation_end))
        .select(
            "customer_id",
            _journey_id("customer_id", "start"),
            "start",
            end=pl.when(in_time).then(following).otherwise(start + window),
            converted=in_time,
            amount=pl.when(in_time).then(pl.col("next_amount")).otherwise(0),
        )
        .sort("start", maintain_order=True)
    )
    touches = _timed(touchpoints).sort("at", maintain_order=True)
    inside = touches.join_asof(
        windows,
        left_on="at",
        right_on="start",
        by="customer_id",
        allow_exact_matches=False,
        check_sortedness=False,
    ).filter(pl.col("at") < pl.col("end"))
    return _journey_set(windows, inside)


def retention_journeys(
    touchpoints: pl.LazyFrame, lives: pl.LazyFrame, *, period: str, observation_end: date
) -> JourneySet:
    """One journey per customer and calendar period, which converts when the customer is there at its end.

    Parameters
    ----------
    touchpoints
        As `build_touchpoints` returns them.
    lives
        One row per customer: customer_id, `started` (Date), `ended` (Date of leaving, null when still there).
    period
        week, month or quarter.
    observation_end
        Last day of the data; periods that are not over then take no part.

    Returns
    -------
    JourneySet
        From the period in which each customer started to the one in which it left, which is its null path.
        Touches after the day of leaving take no part. Amounts are 0: what is credited is the period.
    """
    every = _EVERY[period]
    start = pl.col("start")
    first = pl.col("started").dt.truncate(every)
    last = pl.min_horizontal(pl.col("ended"), pl.lit(observation_end)).dt.truncate(every)
    left = (pl.col("ended") < pl.col("period_end")).fill_null(False)
    windows = (
        lives.filter(first <= last)
        .with_columns(start=pl.date_ranges(first, last, every))
        .explode("start", empty_as_null=False)
        .with_columns(period_end=start.dt.offset_by(every))
        .filter(pl.col("period_end") <= observation_end + timedelta(days=1))
        .select(
            "customer_id",
            _journey_id("customer_id", "start"),
            start=start.cast(pl.Datetime("us")),
            end=pl.when(left)
            .then(pl.col("ended").dt.offset_by("1d"))
            .otherwise(pl.col("period_end"))
            .cast(pl.Datetime("us")),
            converted=~left,
            amount=pl.lit(0, pl.Int64),
        )
    )
    timed = _timed(touchpoints).with_columns(start=pl.col("at").dt.truncate(every))
    inside = timed.join(windows, on=["customer_id", "start"]).filter(pl.col("at") < pl.col("end"))
    return _journey_set(windows, inside)


def _journey_id(*columns: str) -> pl.Expr:
    """A whole number that does not depend on how customers are split."""
    return pl.struct(columns).hash().reinterpret(signed=True).alias("journey_id")


def _timed(touchpoints: pl.LazyFrame) -> pl.LazyFrame:
    """Touches with `at`, the time they count from: the last instant of its day when only that is known."""
    at = pl.col("timestamp")
    if "date_only" in touchpoints.collect_schema():
        last_instant = at.dt.truncate("1d") + timedelta(days=1) - timedelta(microseconds=1)
        at = pl.when("date_only").then(last_instant).otherwise(at)
    return touchpoints.select("customer_id", "timestamp", "channel", at=at)


def _journey_set(windows: pl.LazyFrame, inside: pl.LazyFrame) -> JourneySet:
    """Journeys of all windows, and the touches inside them in order."""
    value = to_currency(pl.col("amount"))
    ordered = inside.sort("at", "channel", maintain_order=True)
    paths = ordered.group_by("journey_id", maintain_order=True).agg(path=pl.col("channel"))
    empty = pl.lit([], pl.List(pl.String))
    journeys = (
        windows.select(_WINDOW)
        .join(paths, on="journey_id", how="left")
        .with_columns(path=pl.coalesce("path", empty), value=value)
        .with_columns(n_touches=pl.col("path").list.len().cast(pl.Int32))
        .select(
            "customer_id", "journey_id", "start", "end", "path", "n_touches", "converted", "amount", "value"
        )
    )
    position = pl.int_range(pl.len(), dtype=pl.Int32).over("journey_id")
    touches = ordered.select(
        "customer_id",
        "journey_id",
        position=position,
        n_touches=pl.len().over("journey_id").cast(pl.Int32),
        channel="channel",
        timestamp="timestamp",
        hours_before=(pl.col("end") - pl.col("at")).dt.total_microseconds() / 3.6e9,
        converted="converted",
        value=value,
    )
    return JourneySet(journeys=journeys, touches=touches)
