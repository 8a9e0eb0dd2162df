"""Do customers leave on days of their own? Memberships that renew every month end where they would renew.

Who leaves on the day of his renewal has had the reminder that comes three days before it; of those who stay
a part would be counted, as if leaving came at any moment, and the reminder seemed to make customers leave.
Stayers are compared at their own renewal of the month instead. It is told by days since arrival, modulo 28 or
30 days or the day of the month, at which most customers leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from histories.arrays import Integer, Moments

CYCLES = (0, 28, 30)
"""Days of a cycle; 0: from the day of one month to the same day of the next."""
MOST = 0.6
"""Share of those who left that must have left on the cycle's days."""
SLACK = 1
"""Days that they may be off."""
FEWEST = 50
"""Customers who left after a whole cycle below which nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Days on which a customer may leave: so many after arrival, and again every cycle."""

    cycle: int = 0
    """Days of the cycle; 0: a month."""
    offset: int = 0
    """Days after the renewal at which most leave."""

    def days(self, arrived: Moments, months: Moments) -> Integer:
        """Day of the month, from 0, on which each customer may last leave, -1 without one, shape (N, P).

        Parameters
        ----------
        arrived
            First days of N customers, NaT where unknown, datetime64[D].
        months
            P months, datetime64[M].

        Examples
        --------
        >>> arrived = np.array(["2026-01-05", "2026-02-27"], dtype="datetime64[D]")
        >>> months = np.array(["2026-02", "2026-03"], dtype="datetime64[M]")
        >>> Renewal(cycle=0, offset=0).days(arrived, months).tolist()
        [[4, 4], [-1, 26]]
        >>> Renewal(cycle=28, offset=1).days(arrived, months).tolist()
        [[2, 30], [-1, 27]]
        """
        start, stop = (part.astype("datetime64[D]").astype(np.int64) for part in (months, months + 1))
        known = ~np.isnat(arrived)
        first = np.where(known, arrived, np.datetime64(0, "D"))
        day = first.astype(np.int64)[:, None]
        last: Integer
        if self.cycle:
            last = stop - 1 - (stop - 1 - day - self.offset) % self.cycle
        else:
            last = same_day(first[:, None], months) + self.offset
            before = same_day(first[:, None], months - 1) + self.offset
            last = np.where(last < stop, last, before)
        there = known[:, None] & (last >= start) & (last - self.offset > day)
        return np.asarray(np.where(there, last - start, -1), dtype=np.int64)


def same_day(first: Moments, months: Moments) -> Integer:
    """The day of each month that is as late in it as a first day in its own, or its last; broadcast."""
    of_month = (first - first.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    start, stop = (part.astype("datetime64[D]").astype(np.int64) for part in (months, months + 1))
    return np.asarray(np.minimum(start + of_month, stop - 1), dtype=np.int64)


def find_renewal(customers: pl.LazyFrame | None) -> Renewal | None:
    """The days on which most customers leave; None where they leave on any.

    Parameters
    ----------
    customers
        `acquired_at` and `ended_at`, where they are known.
    """
    first, left = spans_of_leavers(customers)
    whole = (left - first).astype(np.int64) >= max(CYCLES) - SLACK
    first, left = first[whole], left[whole]
    if len(first) < FEWEST:
        return None
    found: list[tuple[float, Renewal]] = []
    for cycle in CYCLES:
        phase = _days_after(first, left, cycle)
        counts = np.bincount(phase % (cycle or 31), minlength=cycle or 31)
        near = np.sum([np.roll(counts, shift) for shift in range(-SLACK, SLACK + 1)], axis=0)
        offset = int(np.argmax(near))
        offset -= (cycle or 31) * (offset > (cycle or 31) // 2)
        found.append((float(near.max()) / len(first), Renewal(cycle=cycle, offset=offset)))
    share, best = max(found, key=lambda pair: pair[0])
    return best if share >= MOST else None


def spans_of_leavers(customers: pl.LazyFrame | None) -> tuple[Moments, Moments]:
    """Days on which those who left came and left, shape (L,) each; of nobody where columns are missing.

    Parameters
    ----------
    customers
        `acquired_at` and `ended_at`, where they are known.
    """
    names = ("acquired_at", "ended_at")
    if customers is None or not set(names) <= set(customers.collect_schema()):
        return np.zeros(0, "datetime64[D]"), np.zeros(0, "datetime64[D]")
    known = customers.select(pl.col(names).cast(pl.Date)).drop_nulls().collect()
    first, left = (known[name].to_numpy().astype("datetime64[D]") for name in names)
    return first, left


def _days_after(first: Moments, left: Moments, cycle: int) -> Integer:
    """Days since the last renewal, or -1 the day before the next."""
    if cycle:
        return (left - first).astype(np.int64) % cycle
    own = left.astype("datetime64[M]")
    now, before = (left.astype(np.int64) - same_day(first, own - back) for back in (0, 1))
    days: Integer = np.where(now >= -SLACK, now, before)
    return days


def months_of(count: int, end: date) -> Moments:
    """The last so many months, up to that of `end`, datetime64[M]."""
    found: Moments = np.datetime64(end, "M") - np.arange(count)[::-1]
    return found
