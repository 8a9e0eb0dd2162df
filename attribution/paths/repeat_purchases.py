"""Journeys towards a repeat purchase in time.

They have the form of `histories.journeys.walk_journeys`, so that `count_paths` and `descriptive` read them
alike. Rows of complete customers go in; the results of several partitions may be concatenated.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from histories.journeys import JourneyWalk
from histories.money import to_currency
from histories.periods import end_of_day, zone_of
from histories.timeline import JourneyWindow, touch_events

_WINDOW = ["customer_id", "journey_id", "start", "end", "converted", "amount"]


def walk_repeat_purchases(
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    window: JourneyWindow,
    *,
    window_days: float,
) -> JourneyWalk:
    """One journey per purchase, which converts when the next one comes within `window_days`.

    Its touches lie strictly after the purchase and strictly before the next one, or before the end of the
    window when none comes in time. Purchases whose window is not over at the end of observation take no
    part, whether or not a further purchase is known: keeping only the quick ones would favour them.
    `window` says which touches take part, as in `walk_journeys`, but for its lookback.
    """
    length = timedelta(days=window_days)
    start, following = pl.col("start"), pl.col("following")
    in_time = (following - start <= length).fill_null(False)
    windows = (
        purchases.select("customer_id", "amount", start="timestamp")
        .sort("start", maintain_order=True)
        .with_columns(
            following=start.shift(-1).over("customer_id"),
            next_amount=pl.col("amount").shift(-1).over("customer_id"),
        )
        .filter(start + length <= end_of_day(window.observation_end, zone_of(purchases)))
        .select(
            "customer_id",
            _journey_id("customer_id", "start"),
            "start",
            end=pl.when(in_time).then(following).otherwise(start + length),
            converted=in_time,
            amount=pl.when(in_time).then(pl.col("next_amount")).otherwise(0),
        )
        .sort("start", maintain_order=True)
    )
    touches = touch_events(touchpoints, window).sort("at", maintain_order=True)
    inside = touches.join_asof(
        windows,
        left_on="at",
        right_on="start",
        by="customer_id",
        allow_exact_matches=False,
        check_sortedness=False,
    ).filter(pl.col("at") < pl.col("end"))
    if window.unique_channels:
        inside = inside.sort("at", "channel").unique(["journey_id", "channel"], keep="first")
    return _walk(windows, inside)


def _journey_id(*columns: str) -> pl.Expr:
    """A whole number that does not depend on how customers are split."""
    return pl.struct(columns).hash().reinterpret(signed=True).alias("journey_id")


def _walk(windows: pl.LazyFrame, inside: pl.LazyFrame) -> JourneyWalk:
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
    return JourneyWalk(journeys=journeys.collect().lazy(), touches=touches.collect().lazy())
