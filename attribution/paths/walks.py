"""Journeys towards every outcome, walked once: what descriptive credit is made of.

Conversion and spend share their journeys; retention has one per customer, retention_periods one per customer
and period, a repeat purchase one per purchase.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import polars as pl

from attribution.settings import PATH_OUTCOMES, AttributionSettings
from histories.errors import DataError
from histories.journeys import JourneyCounts, JourneyWalk, count_path_texts, walk_journeys
from histories.money import to_currency
from histories.periods import end_of_day, zone_of
from histories.retention import (
    build_contract_lives,
    build_contract_periods,
    build_repeat_lives,
    build_repeat_periods,
    count_gaps,
    lapse_window_days,
    walk_lives,
    walk_retention,
)
from histories.timeline import JourneyWindow, touch_events


@dataclass(frozen=True, slots=True, kw_only=True)
class PathWalk:
    """Journeys towards one outcome, their counted paths and their touches.

    Attributes
    ----------
    journeys, touches
        In the columns of `histories.journeys.JourneyWalk`.
    counted
        In those of `histories.journeys.count_path_texts`.
    """

    journeys: pl.LazyFrame
    counted: pl.DataFrame
    touches: pl.LazyFrame

    def of_customers(self, customers: pl.LazyFrame) -> PathWalk:
        """The part of the customers named in the column customer_id."""
        journeys = self.journeys.join(customers, on="customer_id", how="semi")
        touches = self.touches.join(customers, on="customer_id", how="semi")
        return PathWalk(journeys=journeys, touches=touches, counted=count_path_texts(journeys).collect())


class Trails:
    """Where a company's customers left touches and purchases, to be walked towards any outcome.

    Parameters
    ----------
    touchpoints, purchases
        As `build_touchpoints` and `build_purchases` return them.
    customers
        customer_id, acquired_at and ended_at, where leaving is recorded; None where it is silent.
    observation_end
        Last day of the data.
    settings
        Lookback, period, sessions, views and channels that are left out.
    exclude
        Further channels that take no part.
    keep
        Further columns of the touchpoints that the touches of purchases carry along.
    lapse_days
        Days without a purchase after which a customer has lapsed, where leaving is silent; by default as
        these customers' gaps say. Partitions of a company need one number for all.
    """

    def __init__(
        self,
        touchpoints: pl.LazyFrame,
        purchases: pl.LazyFrame,
        customers: pl.LazyFrame | None = None,
        *,
        observation_end: date,
        settings: AttributionSettings,
        exclude: Collection[str] = (),
        keep: Sequence[str] = (),
        lapse_days: int | None = None,
    ) -> None:
        if settings.session_minutes:
            touchpoints = merge_sessions(touchpoints, minutes=settings.session_minutes).collect().lazy()
        self._touchpoints = touchpoints
        self._purchases = purchases
        self._customers = customers
        self._settings = settings
        self._window = JourneyWindow(
            lookback_days=settings.lookback_days,
            observation_end=observation_end,
            unique_channels=settings.unique_channels,
            views=settings.views,
            exclude=(*settings.exclude_channels, *exclude),
        )
        self._keep = keep
        self._lapse_days = lapse_days

    @cached_property
    def _walked(self) -> JourneyWalk:
        return walk_journeys(self._touchpoints, self._purchases, self._window, keep=self._keep)

    @cached_property
    def counts(self) -> JourneyCounts:
        """How the purchases and touches were divided."""
        assert self._walked.counts is not None
        return self._walked.counts

    @cached_property
    def to_purchases(self) -> PathWalk:
        """Journeys to purchases, and the paths that led to none."""
        return _counted(self._walked)

    def towards(self, outcome: str) -> PathWalk:
        """Journeys towards one of `PATH_OUTCOMES`.

        Raises
        ------
        DataError
            When the data have no such journeys; the message says what is missing.
        """
        if outcome in ("conversion", "spend"):
            return self.to_purchases
        if outcome == "repeat_purchase":
            days = self._settings.repeat_window_days
            return _counted(
                walk_repeat_purchases(self._touchpoints, self._purchases, self._window, window_days=days)
            )
        if outcome == "retention":
            return _counted(self._lives())
        if outcome == "retention_periods":
            return _counted(self._retention_periods())
        raise DataError(f"{outcome} has no journeys; those that have: {', '.join(PATH_OUTCOMES)}.")

    def _lives(self) -> JourneyWalk:
        """Lives of customers, ended by contract where it is known, else by a lapse of purchases."""
        end = self._window.observation_end
        if self._customers is not None:
            lives = build_contract_lives(self._customers, observation_end=end)
        else:
            lives = build_repeat_lives(self._purchases, observation_end=end, lapse_days=self._lapse())
        return walk_lives(self._touchpoints, lives, self._window)

    def _lapse(self) -> int:
        if self._lapse_days is not None:
            return self._lapse_days
        return lapse_window_days(count_gaps(self._purchases).collect())

    def _retention_periods(self) -> JourneyWalk:
        """Periods of customers, ended by contract where it is known, else by a lapse of purchases."""
        end, period = self._window.observation_end, self._settings.period
        if self._customers is not None:
            periods = build_contract_periods(self._customers, observation_end=end, period=period)
        else:
            periods = build_repeat_periods(
                self._purchases, observation_end=end, lapse_days=self._lapse(), period=period
            )
        return walk_retention(self._touchpoints, periods, self._window, period=period)


def _counted(walk: JourneyWalk) -> PathWalk:
    counted = count_path_texts(walk.journeys).collect()
    return PathWalk(journeys=walk.journeys, counted=counted, touches=walk.touches)


def merge_sessions(touchpoints: pl.LazyFrame, *, minutes: float) -> pl.LazyFrame:
    """The first touch of each session of complete customers; all touches when `minutes` is 0.

    A session ends when the customer's next touch of the same channel comes more than `minutes` after the
    one before. Touches known by date only are never merged: nobody knows how far apart they are.
    """
    if minutes == 0:
        return touchpoints
    gap = pl.col("timestamp").diff().over("customer_id", "channel")
    goes_on = (gap <= timedelta(minutes=minutes)).fill_null(False)
    if "date_only" in touchpoints.collect_schema():
        goes_on &= ~pl.col("date_only")
    return touchpoints.sort("timestamp", maintain_order=True).filter(~goes_on)


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
