"""From months of a process to moments in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from histories.arrays import Integer, Moments

DAY_START_HOUR, DAY_HOURS = 7, 15
"""People shop and write between 7 in the morning and 10 in the evening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Calendar months of the observation, the last of them complete."""

    starts: Moments
    """First day of each month, and the day after the last month, shape (P + 1,), days."""

    @property
    def first_day(self) -> date:
        """First day observed."""
        return date.fromisoformat(str(self.starts[0]))

    @property
    def last_day(self) -> date:
        """Last day observed."""
        return date.fromisoformat(str(self.starts[-1])) - timedelta(days=1)

    def days_in(self, month: Integer) -> Integer:
        """Days of each month."""
        return (self.starts[month + 1] - self.starts[month]).astype(np.int64)

    def moments(self, month: Integer, *, after_day: Integer, rng: np.random.Generator) -> Moments:
        """A random moment in each month, on or after its day `after_day` (0-based), in microseconds."""
        days = after_day + np.floor(rng.random(len(month)) * (self.days_in(month) - after_day)).astype(
            np.int64
        )
        seconds = rng.integers(DAY_START_HOUR * 3600, (DAY_START_HOUR + DAY_HOURS) * 3600, len(month))
        midnight = (self.starts[month] + days).astype("datetime64[us]")
        out: Moments = midnight + seconds * np.timedelta64(1_000_000, "us")  # type: ignore[assignment]
        return out


def month_calendar(last_day: date, months: int) -> Calendar:
    """The months that end with the one of `last_day`.

    >>> month_calendar(date(2026, 6, 30), 18).first_day
    datetime.date(2025, 1, 1)
    """
    end = np.datetime64(datetime(last_day.year, last_day.month, 1), "M") + 1
    return Calendar(starts=(end - months + np.arange(months + 1)).astype("datetime64[D]"))


def event_rows(counts: Integer) -> tuple[Integer, ...]:
    """Positions of counts, each repeated as often as it counts.

    >>> [axis.tolist() for axis in event_rows(np.array([[0, 2], [1, 0]]))]
    [[0, 0, 1], [1, 1, 0]]
    """
    where = np.nonzero(counts)
    times = counts[where]
    return tuple(np.repeat(axis, times) for axis in where)
