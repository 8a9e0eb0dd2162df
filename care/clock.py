"""Two clocks for every wait: calendar time, and the part of it inside opening hours.

Elapsed time is always the difference of two *instants*. Local times are turned into instants first, so that a
wait over a change of daylight saving is neither an hour too long nor too short; opening hours are a wall
clock's and are turned into instants day by day, for the same reason.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from care.settings import Hours
from histories.arrays import Integer

_SECOND = 1_000_000  # microseconds


def to_instants(times: pl.Series, zone: str) -> pl.Series:
    """Local times of a zone as instants, in UTC; times that already are instants are converted.

    A time that came twice (the hour in autumn) is taken as the earlier one; one that never was (the hour in
    spring) as an hour later.

    >>> from datetime import datetime
    >>> to_instants(pl.Series([datetime(2026, 7, 1, 10)]), "Europe/London")[0].isoformat()
    '2026-07-01T09:00:00+00:00'
    """
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
        return times.cast(pl.Datetime("us", "UTC"))
    plain = times.cast(pl.Datetime("us"))
    found = plain.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    if found.null_count() > plain.null_count():
        later = plain.dt.offset_by("1h").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        found = pl.select(pl.coalesce(pl.lit(found), pl.lit(later))).to_series()
    return found.dt.convert_time_zone("UTC").alias(times.name)


def calendar_seconds(start: pl.Series, end: pl.Series) -> pl.Series:
    """Whole seconds from one instant to another, rounded down; null where either is."""
    return (end - start).dt.total_microseconds() // _SECOND


@dataclass(frozen=True)
class BusinessClock:
    """Opening hours between two days, as instants.

    Attributes
    ----------
    hours
        When the desk is open.
    first, last
        Days within which times may lie, in the zone of the hours.
    """

    hours: Hours
    first: dt.date
    last: dt.date

    @classmethod
    def spanning(cls, hours: Hours, *times: pl.Series) -> BusinessClock:
        """A clock for all of these instants."""
        known = [moment for series in times for moment in (series.min(), series.max()) if moment is not None]
        days = [moment.date() for moment in known if isinstance(moment, dt.datetime)]
        day = dt.timedelta(days=2)
        return cls(hours, min(days) - day, max(days) + day) if days else cls(hours, dt.date.min, dt.date.min)

    @cached_property
    def _open(self) -> tuple[Integer, Integer, Integer]:
        """Starts and ends of the open spans in microseconds of UTC, and the open time before each."""
        zone = ZoneInfo(self.hours.zone or "UTC")
        spans: list[tuple[int, int]] = []
        if self.first > dt.date.min:
            for number in range((self.last - self.first).days + 1):
                day = self.first + dt.timedelta(days=number)
                spans += [
                    (_instant(day, a, zone), _instant(day, b, zone)) for a, b in self.hours.spans_of(day)
                ]
        merged: list[list[int]] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        starts = np.array([span[0] for span in merged], dtype=np.int64)
        ends = np.array([span[1] for span in merged], dtype=np.int64)
        return starts, ends, np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int64)

    def open_before(self, times: Integer) -> Integer:
        """Open time before each instant, counted from the clock's first day; microseconds."""
        starts, ends, before = self._open
        if not len(starts):
            return np.zeros(len(times), dtype=np.int64)
        at = np.searchsorted(starts, times, side="right") - 1
        inside = np.minimum(times, ends[at]) - starts[at]
        return np.where(at < 0, 0, before[np.maximum(at, 0)] + inside)

    def seconds(self, start: pl.Series, end: pl.Series) -> pl.Series:
        """Whole open seconds between two instants, rounded down; null where either is.

        A wait that starts outside hours starts when they begin.
        """
        known = start.is_not_null() & end.is_not_null()
        a, b = (series.cast(pl.Datetime("us", "UTC")).to_physical().fill_null(0) for series in (start, end))
        elapsed = self.open_before(b.to_numpy()) - self.open_before(a.to_numpy())
        return (
            pl.DataFrame({"known": known, "seconds": elapsed // _SECOND})
            .select(pl.when("known").then("seconds").alias(start.name))
            .to_series()
        )


def _instant(day: dt.date, minutes: int, zone: ZoneInfo) -> int:
    """A wall clock's time of a day, in minutes after its midnight, as microseconds of UTC."""
    local = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minutes)
    return round(local.replace(tzinfo=zone).timestamp()) * _SECOND
