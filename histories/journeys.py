"""Journeys: a customer's touches before each purchase, and the paths that led to none.

*Conversion*: the touches strictly before a purchase, after the previous one and within the lookback; a
purchase without such touches has an empty path. *Null path*: consecutive touches with gaps within the
lookback and no purchase within the lookback of the last. Paths whose lookback is not over at the end of the
data are left out and counted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from histories.money import to_currency
from histories.timeline import CONVERSION, NULL, OPEN, OUTSIDE, JourneyWindow, build_timeline

__all__ = [
    "JourneyCounts",
    "build_journeys",
    "count_journeys",
    "count_paths",
    "journey_touches",
    "paths_from_table",
]

_START = pl.col("journey_id") != pl.col("journey_id").shift(1)
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyCounts:
    """How the purchases and touches were divided; the counts of several partitions add up."""

    conversions: int
    untouched: int
    null_paths: int
    open_windows: int
    touches_in_journeys: int
    touches_outside: int

    def __add__(self, other: JourneyCounts) -> JourneyCounts:
        return JourneyCounts(
            **{name: getattr(self, name) + getattr(other, name) for name in JourneyCounts.__slots__}
        )


def build_journeys(
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    *,
    lookback_days: float,
    observation_end: date,
    unique_channels: bool = False,
    views: bool = False,
    exclude: Collection[str] = (),
) -> pl.LazyFrame:
    """One row per purchase and per null path of complete customers.

    Parameters
    ----------
    touchpoints, purchases
        As `build_touchpoints` and `build_purchases` return them.
    lookback_days, observation_end, unique_channels, views, exclude
        See `histories.timeline.JourneyWindow`.

    Returns
    -------
    customer_id, journey_id (a hash, the same however customers are split), start, end (of the first touch;
    the purchase or last touch), path (channels in order; empty for an untouched purchase), n_touches,
    converted, amount (minor units), value (currency; 0 for a null path).
    """
    window = JourneyWindow(
        lookback_days=lookback_days,
        observation_end=observation_end,
        unique_channels=unique_channels,
        views=views,
        exclude=exclude,
    )
    rows = _journey_rows(touchpoints, purchases, window)
    return (
        rows.group_by("journey_id", maintain_order=True)
        .agg(
            pl.col("customer_id").first(),
            pl.col("timestamp").first().alias("start"),
            pl.col("end").first(),
            pl.col("channel").drop_nulls().alias("path"),
            pl.col("channel").count().cast(pl.Int32).alias("n_touches"),
            (pl.col("status").first() == CONVERSION).alias("converted"),
            pl.col("amount").first().fill_null(0),
        )
        .with_columns(to_currency(pl.col("amount")).alias("value"))
        .select(
            "customer_id", "journey_id", "start", "end", "path", "n_touches", "converted", "amount", "value"
        )
    )


def journey_touches(
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    *,
    lookback_days: float,
    observation_end: date,
    unique_channels: bool = False,
    views: bool = False,
    exclude: Collection[str] = (),
    keep: Sequence[str] = (),
) -> pl.LazyFrame:
    """One row per touch of a journey, in order.

    Takes what `build_journeys` takes; `keep` names further columns of the touchpoints to carry along.

    Returns
    -------
    customer_id, journey_id, position (from 0), n_touches, channel, timestamp, hours_before (the journey's
    end), converted, value (of the conversion, currency; 0 for a null path), and `keep`.
    """
    window = JourneyWindow(
        lookback_days=lookback_days,
        observation_end=observation_end,
        unique_channels=unique_channels,
        views=views,
        exclude=exclude,
    )
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    is_last = pl.col("journey_id") != pl.col("journey_id").shift(-1)
    return (
        _journey_rows(touchpoints, purchases, window, keep=keep)
        .filter(~pl.col("is_purchase"))
        .with_columns(
            pl.when(_START.fill_null(True)).then(row).forward_fill().alias("first_row"),
            pl.when(is_last.fill_null(True)).then(row).backward_fill().alias("last_row"),
        )
        .select(
            "customer_id",
            "journey_id",
            (row - pl.col("first_row")).cast(pl.Int32).alias("position"),
            (pl.col("last_row") - pl.col("first_row") + 1).cast(pl.Int32).alias("n_touches"),
            "channel",
            "timestamp",
            ((pl.col("end") - pl.col("at")).dt.total_microseconds() / 3.6e9).alias("hours_before"),
            (pl.col("status") == CONVERSION).alias("converted"),
            to_currency(pl.col("amount").fill_null(0)).alias("value"),
            *keep,
        )
    )


def count_paths(journeys: pl.LazyFrame) -> pl.LazyFrame:
    """How often each path converted, for how much, and how often it did not.

    Takes what `build_journeys` returns. The counts of several partitions add up.

    Returns
    -------
    path List(String) (empty: untouched purchases), conversions Int64, value Float64 (currency), nulls Int64;
    sorted by path, so that the table does not depend on how customers are split.
    """
    converted = pl.col("converted")
    return (
        journeys.group_by(pl.col("path").list.join(_SEPARATOR).alias("text"))
        .agg(
            converted.sum().cast(pl.Int64).alias("conversions"),
            pl.col("amount").filter(converted).sum().alias("amount"),
            (~converted).sum().cast(pl.Int64).alias("nulls"),
        )
        .sort("text")
        .select(_as_list("text"), "conversions", to_currency(pl.col("amount")).alias("value"), "nulls")
    )


def paths_from_table(paths: pl.LazyFrame) -> pl.LazyFrame:
    """The input table `paths` ("a > b") in the form of `count_paths`; equal paths are added up.

    A missing `value` counts each conversion as 0 and a missing `nulls` as none.
    """
    names = paths.collect_schema().names()

    def or_zero(name: str, dtype: pl.DataType) -> pl.Expr:
        given = pl.col(name).fill_null(0) if name in names else pl.lit(0)
        return given.cast(dtype).alias(name)

    channels = pl.col("path").str.split(">").list.eval(pl.element().str.strip_chars())
    return (
        paths.select(
            channels.list.join(_SEPARATOR).alias("text"),
            or_zero("conversions", pl.Int64()),
            or_zero("value", pl.Float64()),
            or_zero("nulls", pl.Int64()),
        )
        .group_by("text")
        .agg(pl.col("conversions", "value", "nulls").sum())
        .sort("text")
        .select(_as_list("text"), "conversions", "value", "nulls")
    )


def count_journeys(
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    *,
    lookback_days: float,
    observation_end: date,
    views: bool = False,
    exclude: Collection[str] = (),
) -> JourneyCounts:
    """How many purchases had touches, how many paths ended in none, and what no journey holds."""
    window = JourneyWindow(
        lookback_days=lookback_days, observation_end=observation_end, views=views, exclude=exclude
    )
    status, is_touch = pl.col("status"), ~pl.col("is_purchase")
    line = _with_journey_id(build_timeline(touchpoints, purchases, window))
    starts = (status != OUTSIDE) & _START.fill_null(True)
    counted = line.select(
        (starts & (status == CONVERSION) & is_touch).sum().alias("conversions"),
        (~is_touch).sum().alias("untouched"),
        (starts & (status == NULL)).sum().alias("null_paths"),
        (starts & (status == OPEN)).sum().alias("open_windows"),
        (is_touch & status.is_in([CONVERSION, NULL])).sum().alias("touches_in_journeys"),
        (status == OUTSIDE).sum().alias("touches_outside"),
    )
    return JourneyCounts(**counted.collect().row(0, named=True))


def _as_list(name: str) -> pl.Expr:
    text = pl.col(name)
    channels = text.str.split(_SEPARATOR)
    return pl.when(text == "").then(channels.list.head(0)).otherwise(channels).alias("path")


def _journey_rows(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, window: JourneyWindow, *, keep: Sequence[str] = ()
) -> pl.LazyFrame:
    line = build_timeline(touchpoints, purchases, window, keep=keep)
    rows = _with_journey_id(line.filter(pl.col("status").is_in([CONVERSION, NULL])))
    if window.unique_channels:
        rows = rows.filter(pl.struct("journey_id", "channel").is_first_distinct())
    return rows


def _with_journey_id(line: pl.LazyFrame) -> pl.LazyFrame:
    identity = pl.struct("customer_id", "end", "status").hash().reinterpret(signed=True)
    return line.with_columns(identity.alias("journey_id"))
