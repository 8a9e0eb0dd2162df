"""Touches and purchases of each customer on one line, from which journeys are read.

The line is sorted by time, then stably by customer: two sorts by one whole number each, several times faster
than one sort by two keys.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from histories.errors import ConfigError, DataError
from histories.periods import end_of_day, zone_of

CONVERSION = "conversion"
NULL = "null"
OPEN = "open"
OUTSIDE = "outside"
UNTOUCHED = "untouched"
STATUS = pl.Enum([CONVERSION, NULL, OPEN, OUTSIDE, UNTOUCHED])

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


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
    customer_id, timestamp, channel (null for an untouched purchase), at (the time a touch counts from), end
    (of the journey: its purchase or its last touch), amount (of the conversion, minor units), status
    (conversion, null, open, outside or untouched), and `keep`. The rows of a journey are contiguous and in
    time.
    """
    touches = touch_events(touchpoints, window, keep)
    bought = purchases.select("customer_id", "timestamp", pl.col("timestamp").alias("at"), "amount")
    events = pl.concat([bought, touches], how="diagonal")
    zone = zone_of(purchases)
    schema = {**events.collect_schema(), "end": pl.Datetime("us", zone), "status": STATUS}
    return events.map_batches(lambda frame: _arrange(frame, window, zone), schema=schema).select(
        "customer_id", "timestamp", "channel", "at", "end", "amount", "status", *keep
    )


def touch_events(touchpoints: pl.LazyFrame, window: JourneyWindow, keep: Sequence[str] = ()) -> pl.LazyFrame:
    """Touches that may take part, with `at`; one known by its date only counts from the end of its day."""
    schema = touchpoints.collect_schema()
    at = pl.col("timestamp")
    if "date_only" in schema:
        at = pl.when("date_only").then(at.dt.truncate("1d").dt.offset_by("1d") - INSTANT).otherwise(at)
    taking_part = touchpoints
    if not window.views and "view" in schema:
        taking_part = taking_part.filter(~pl.col("view"))
    if window.exclude:
        taking_part = taking_part.filter(~pl.col("channel").is_in(list(window.exclude)))
    return taking_part.select("customer_id", "timestamp", at.alias("at"), "channel", *keep)


def _arrange(events: pl.DataFrame, window: JourneyWindow, zone: str | None) -> pl.DataFrame:
    """Sort, walk, and keep the touches with what they led to and the purchases without a touch."""
    from histories import timeline_walk

    line = _sort_line(events)
    at = line["at"].to_physical().to_numpy()
    status, end_row = timeline_walk.walk_back(
        line["customer"].to_numpy(),
        at,
        line["channel"].is_null().to_numpy(),
        round(window.lookback_days * DAY / INSTANT),
        pl.select(end_of_day(window.observation_end, zone).to_physical()).item(),
    )
    kept = np.flatnonzero(status != timeline_walk.TOUCHED)
    row, end = line["row"].to_numpy()[kept], end_row[kept]
    gathered = events.drop("at", "channel", "amount")[row]
    return gathered.with_columns(
        line["at"].gather(kept),
        line["channel"].gather(kept),
        pl.Series("end", at[end]).cast(pl.Datetime("us", zone)),
        events["amount"].gather(line["row"].to_numpy()[end]).alias("amount"),
        pl.Series("status", status[kept]).cat.to(STATUS),
    ).select(*events.columns, "end", "status")


def _sort_line(events: pl.DataFrame) -> pl.DataFrame:
    """Customer, time, channel and place of each event, by customer and time.

    Of one instant a purchase (without channel) comes first, then the touches in the order of their channels'
    names, so that the line does not depend on the order of the rows.
    """
    names = pl.concat([pl.Series([None], dtype=pl.String), events["channel"].unique().drop_nulls().sort()])
    place = pl.col("channel").replace_strict(
        names[1:], range(1, len(names)), default=0, return_dtype=pl.Int64
    )
    customer = pl.col("customer_id")
    if events.schema["customer_id"] == pl.String:
        customer = customer.hash().reinterpret(signed=True)
    time = pl.col("at").to_physical()
    start = events.select(time.min()).item() or 0
    _refuse_overflow(events.select(time.max()).item() or 0, start, len(names))
    line = (
        events.select(
            customer.alias("customer"),
            ((time - start) * len(names) + place).alias("key"),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        )
        .sort("key")
        .sort("customer", maintain_order=True)
    )
    key = pl.col("key")
    return line.select(
        "customer",
        "row",
        (key // len(names) + start).cast(events.schema["at"]).alias("at"),
        names.gather(line["key"] % len(names)).alias("channel"),
    )


def _refuse_overflow(last: int, first: int, names: int) -> None:
    if (last - first) * names >= 2**63:
        raise DataError(
            f"touchpoints have {names - 1} channels over {(last - first) / 3.15576e13:.0f} years, too "
            "many to order. Channels should be few: put what tells campaigns apart into the column campaign."
        )
