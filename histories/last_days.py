"""Do touches crowd into the days before a relation ends? A call to cancel goes with leaving; no cause.

Who leaves has often said so: the call in which he cancels, the complaint that nobody could mend, a farewell
offer. In a panel of months such touches would seem to drive customers away. Touches of the weeks before the
recorded end are held against those of the same customers one cycle earlier, which they survived::

    ratio = touches in a week before the end / touches in the same week of the cycle before

About 1 where touches come whenever they come, and at most 1.5 where they drive customers away by a lasting
effect: that is there a month later, too. A cycle is a month of the calendar unless customers renew by another
one, and the last day of a month is held against that of the one before: where all leave then, a letter of the
24th comes a week before the end, whatever it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from histories.arrays import Float
from histories.exits import within_contracts
from histories.periods import wall_time

WEEKS = 5
"""Weeks before the end: notice is often given a month ahead."""
LONGEST_MONTH = 31
CROWDED = 2.0
CERTAIN = 4.0
OVERDISPERSION = 1.5
"""Ratio from which touches crowd, standard errors that it must be above 1, and by how much these are wider
than those of independent touches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDays:
    """Touches of those who left, by channel and week before the end, shape (C, WEEKS). They add up."""

    last: Float
    """In the last weeks; the very last week comes first."""
    before: Float
    """A cycle earlier."""

    def __add__(self, other: LastDays) -> LastDays:
        return LastDays(last=self.last + other.last, before=self.before + other.before)

    @property
    def crowded(self) -> Float:
        """Largest ratio that is certain, 0 where none is above `CROWDED`, shape (C,)."""
        error = OVERDISPERSION * np.sqrt(np.maximum(self.last + self.before, 1.0))
        ratio = self.last / np.maximum(self.before, 0.5)
        certain = (ratio > CROWDED) & (self.last - self.before > CERTAIN * error)
        return np.asarray(np.where(certain, ratio, 0.0).max(axis=1, initial=0.0), dtype=np.float64)

    def words(self, channels: Sequence[str]) -> dict[str, str]:
        """Channels whose touches crowd, with what that speaks against."""
        return {
            name: (
                f"its touches crowd into the weeks before customers leave ({ratio:.1f} times those of a "
                "month earlier): they announce it, as a call to cancel does. Leave these out"
            )
            for name, ratio in zip(channels, self.crowded, strict=True)
            if ratio
        }


def last_days(
    touchpoints: pl.LazyFrame,
    customers: pl.LazyFrame | None,
    *,
    channels: Sequence[str],
    cycle: int = 0,
) -> LastDays:
    """Count touches before the end of some customers' relations.

    Parameters
    ----------
    touchpoints
        `customer_id`, `timestamp`, `channel`, `treatment`.
    customers
        `acquired_at` and `ended_at`; customers who were there for less than the weeks of two cycles say
        nothing.
    channels
        The C channels, in order.
    cycle
        Days of the cycle; 0: a month.
    """
    empty = np.zeros((len(channels), WEEKS))
    columns = [] if customers is None else customers.collect_schema().names()
    if customers is None or "ended_at" not in columns:
        return LastDays(last=empty, before=empty)
    known = customers.filter(pl.col("ended_at").is_not_null())
    if "acquired_at" in columns:
        there = pl.col("ended_at").cast(pl.Date) - pl.col("acquired_at").cast(pl.Date)
        known = known.filter(
            (there.dt.total_days() >= 7 * WEEKS + (cycle or LONGEST_MONTH)) | there.is_null()
        )
    used = within_contracts(touchpoints.filter(pl.col("treatment")), known)
    ends = known.select("customer_id", end=pl.col("ended_at").cast(pl.Date))
    end, day = pl.col("end"), wall_time("timestamp").cast(pl.Date)
    earlier = end - pl.duration(days=cycle) if cycle else _month_before(end)
    days = {"last": (end - day).dt.total_days(), "before": (earlier - day).dt.total_days()}
    rows = used.join(ends, on="customer_id").select("channel", **days).collect()
    found = []
    for name in days:
        week = rows[name].to_numpy() // 7
        counts = empty.copy()
        for c, channel in enumerate(channels):
            own = week[(rows["channel"] == channel).to_numpy() & (week >= 0) & (week < WEEKS)]
            counts[c] = np.bincount(own, minlength=WEEKS)
        found.append(counts)
    return LastDays(last=found[0], before=found[1])


def _month_before(day: pl.Expr) -> pl.Expr:
    """The same day of the month before; of the last day of a month the last of that."""
    before = day.dt.offset_by("-1mo")
    return pl.when(day == day.dt.month_end()).then(before.dt.month_end()).otherwise(before)
