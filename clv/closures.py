"""Stretches in which a company sold nothing at all: a shop that was closed, or a hole in an export.

Nobody could buy then, so that silence says nothing of anybody. A stretch of days without a purchase counts as
closed where it is `SHORTEST` days long at least and chance cannot explain it: at the pace of the weeks before
and behind it, the slower one, `EXPECTED` purchases would have come (by chance none comes once in
exp(EXPECTED)). A stretch that lasts to the end of the data is none: nobody knows that it will end.
"""

from __future__ import annotations

import itertools
from datetime import date

import numpy as np
import polars as pl

SHORTEST, EXPECTED = 14, 30.0
#: Days on either side that say how fast the company sells.
BESIDE = 56


def closures(purchases: pl.LazyFrame, *, first: date, end: date) -> tuple[tuple[int, int], ...]:
    """First and last day of each stretch, counted from `first`.

    >>> days = [date(2024, 1, d) for d in range(1, 11)] + [date(2024, 3, d) for d in range(1, 11)]
    >>> sold = pl.LazyFrame({"date": days * 5})
    >>> closures(sold, first=date(2024, 1, 1), end=date(2024, 3, 10))
    ((10, 59),)
    """
    by_day = purchases.filter(pl.col("date").is_between(first, end)).group_by("date").len().collect()
    if by_day.is_empty():
        return ()
    days = (by_day["date"] - first).dt.total_days().to_numpy()
    sold = np.bincount(days, weights=by_day["len"].to_numpy())
    busy = np.flatnonzero(sold)
    found = []
    for last, following in itertools.pairwise(busy):
        length = int(following - last) - 1
        if length < SHORTEST:
            continue
        before, behind = sold[max(last + 1 - BESIDE, 0) : last + 1], sold[following : following + BESIDE]
        if length * min(before.mean(), behind.mean()) >= EXPECTED:
            found.append((int(last) + 1, int(following) - 1))
    return tuple(found)


def within(closed: tuple[tuple[int, int], ...], day: int) -> bool:
    """Whether a day lies in a closed stretch."""
    return any(start <= day <= stop for start, stop in closed)
