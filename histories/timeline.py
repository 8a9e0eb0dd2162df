"""Touches and purchases of each customer on one line, from which journeys are read by looking left and right.

Rows are sorted by time, then stably by customer: two sorts by one key each, several times faster than one
sort by two keys. Everything else is a comparison with the neighbouring row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from histories.errors import ConfigError
from histories.periods import end_of_day

__all__ = ["CONVERSION", "NULL", "OPEN", "OUTSIDE", "JourneyWindow", "build_timeline"]

CONVERSION = "conversion"
NULL = "null"
OPEN = "open"
OUTSIDE = "outside"

_CUSTOMER, _AT, _IS_PURCHASE = pl.col("customer_id"), pl.col("at"), pl.col("is_purchase")
_SAME_AS_NEXT = _CUSTOMER.shift(-1) == _CUSTOMER
_SAME_AS_LAST = _CUSTOMER.shift(1) == _CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyWindow:
    """Which touches may earn credit.

    Attributes
    ----------
    lookback_days
        Longest time before a purchase; also the longest gap within a null path.
    observation_end
        Last day of the data: windows still open then say nothing yet.
    unique_channels
        Keep only the first touch of each channel in a journey.
    views
        Whether touches that were only seen take part.
    exclude
        Channels that take no part.
    """

    lookback_days: float
    observation_end: date
    unique_channels: bool = False
    views: bool = False
    exclude: Collection[str] = ()

    def __post_init__(self) -> None:
        if not self.lookback_days > 0:
            raise ConfigError(f"lookback_days is {self.lookback_days}; allowed: above 0.")


def build_timeline(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, window: JourneyWindow, *, keep: Sequence[str] = ()
) -> pl.LazyFrame:
    """Touches, and purchases without one, in the order of their journeys.

    Parameters
    ----------
    touchpoints, purchases
        Of complete customers.
    window
        Which touches may take part.
    keep
        Further columns of the touchpoints to carry along.

    Returns
    -------
    customer_id, timestamp, channel (null for a purchase without touches), `status` (conversion, null, open,
    outside), `end` (of the journey: its purchase or its last touch), `at` (the time a touch counts from),
    `amount` (of the conversion, minor units), `is_purchase`, and `keep`. Contiguous by journey, touches in
    time.
    """
    events = pl.concat(
        [_purchase_events(purchases), _touch_events(touchpoints, window, keep)], how="diagonal"
    )
    by_time = events.sort("at", maintain_order=True)
    if by_time.collect_schema()["customer_id"] == pl.String:
        line = (
            by_time.with_columns(_CUSTOMER.hash().alias("key")).sort("key", maintain_order=True).drop("key")
        )
    else:
        line = by_time.sort("customer_id", maintain_order=True)
    return _with_status(line, window).select(
        "customer_id", "timestamp", "channel", "status", "end", "at", "amount", "is_purchase", *keep
    )


def _purchase_events(purchases: pl.LazyFrame) -> pl.LazyFrame:
    return purchases.select(
        "customer_id",
        "timestamp",
        pl.col("timestamp").alias("at"),
        "amount",
        pl.lit(True).alias("is_purchase"),
    )


def _touch_events(touchpoints: pl.LazyFrame, window: JourneyWindow, keep: Sequence[str]) -> pl.LazyFrame:
    """Touches that may take part; one known by its date only counts from the end of its day."""
    schema = touchpoints.collect_schema()
    at = pl.col("timestamp")
    if "date_only" in schema:
        last_instant = at.dt.truncate("1d") + timedelta(days=1) - timedelta(microseconds=1)
        at = pl.when("date_only").then(last_instant).otherwise(at)
    taking_part = touchpoints
    if not window.views and "view" in schema:
        taking_part = taking_part.filter(~pl.col("view"))
    if window.exclude:
        taking_part = taking_part.filter(~pl.col("channel").is_in(list(window.exclude)))
    return taking_part.select(
        "customer_id", "timestamp", at.alias("at"), "channel", pl.lit(False).alias("is_purchase"), *keep
    )


def _with_status(line: pl.LazyFrame, window: JourneyWindow) -> pl.LazyFrame:
    """A touch belongs to the next purchase if that is near enough, else to a run of touches.

    A run ends before a purchase, at a gap longer than the lookback, or with the customer. It is a null path
    when no purchase follows its last touch within the lookback; otherwise its touches that are too early for
    that purchase lie outside every window.
    """
    lookback = timedelta(days=window.lookback_days)
    ahead = line.with_columns(
        pl.when(_IS_PURCHASE).then(_AT).backward_fill().alias("next_at"),
        pl.when(_IS_PURCHASE).then(_CUSTOMER).backward_fill().alias("next_customer"),
        pl.when(_IS_PURCHASE).then(pl.col("amount")).backward_fill().alias("next_amount"),
    ).with_columns(
        ((pl.col("next_customer") == _CUSTOMER) & (pl.col("next_at") - _AT <= lookback) & ~_IS_PURCHASE)
        .fill_null(False)
        .alias("converts"),
        (_SAME_AS_NEXT & ~_IS_PURCHASE.shift(-1) & (_AT.shift(-1) - _AT <= lookback))
        .fill_null(False)
        .alias("goes_on"),
    )
    converts, is_last = pl.col("converts"), ~pl.col("goes_on")
    runs = ahead.with_columns(
        pl.when(is_last).then(_AT).backward_fill().alias("run_end"),
        pl.when(is_last).then(converts).backward_fill().alias("run_converts"),
        (_SAME_AS_LAST & converts.shift(1)).fill_null(False).alias("is_touched"),
    ).filter(~(_IS_PURCHASE & pl.col("is_touched")))
    is_open = pl.col("run_end") + lookback >= end_of_day(window.observation_end)
    return runs.with_columns(
        pl.when(_IS_PURCHASE | converts)
        .then(pl.lit(CONVERSION))
        .when("run_converts")
        .then(pl.lit(OUTSIDE))
        .when(is_open)
        .then(pl.lit(OPEN))
        .otherwise(pl.lit(NULL))
        .alias("status"),
        pl.when(_IS_PURCHASE | converts).then("next_at").otherwise("run_end").alias("end"),
        pl.when(_IS_PURCHASE | converts).then("next_amount").alias("amount"),
    )
