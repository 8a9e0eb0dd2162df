"""Exports of those who stayed: customers who bought nothing for some time were deleted, or left out.

Who came early and stopped is then missing, and all who came early seem to have stayed. It shows by a day
before which nobody stopped, although, at the pace of those who came after it, many would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from histories.arrays import Float, Integer

STRAYS = 0.005
"""Share of the customers who may have stopped before that day all the same: slips, exceptions."""
MISSING = 0.05
"""Where more of those who should have stopped did, nobody was deleted."""
FEWEST = 20
"""Fewer than this may be missing by chance."""
GAPS = 3.0
"""Silence of so many usual gaps between purchases counts as having stopped."""
STANDING, YEAR, FEWEST_STANDING = 8.0, 365, 100
"""Customers of so many gaps and days, and so many of them, have had time to leave."""
SILENT, HARDLY = 6.0, 0.02
"""Silence of so many gaps, which who still buys hardly keeps, and a share that is next to nobody."""
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivors:
    """A history of those who stayed: since when stopping is seen, and how many are missing before."""

    since: date
    missing: int

    @property
    def reason(self) -> str:
        """What is wrong, and what to do."""
        return (
            f"hardly anybody bought for the last time before {self.since}, although at least "
            f"{self.missing:,} would have, at the pace of those who came later: customers who stopped seem "
            "to be left out of the export. Those who stayed say nothing of leaving: give all customers, or "
            f"those alone whose first purchase is of {self.since} or later"
        )


def find_survivors(came: Integer, last: Integer, gap: Float, *, end: int) -> Survivors | None:
    """Whether customers who stopped before some day are missing; None where they are not.

    Parameters
    ----------
    came, last
        Day of the first and of the last purchase, from 1970-01-01, shape (n,).
    gap
        Mean days between purchases; NaN of who bought once.
    end
        Last day seen.
    """
    if not came.size:
        return None
    since = int(np.quantile(last, STRAYS, method="lower"))
    until = since + (end - since) // 2
    usual = float(np.nanmedian(gap)) if np.isfinite(gap).any() else 0.0
    early, later = came < since, (came >= since) & (came <= until)
    if GAPS * usual > end - until or not later.any():
        return None
    length = np.minimum(last[later], until) - came[later]
    staying = _staying(length, last[later] <= until)
    reach = np.minimum(since - 1 - came[early], staying.size - 1)
    expected = float((1.0 - staying[reach]).sum())
    if expected < FEWEST or float((last < since).sum()) > MISSING * expected:
        return None
    return Survivors(since=EPOCH + timedelta(days=since), missing=round(expected))


def nobody_stopped(came: Integer, last: Integer, gap: Float, *, end: int) -> str | None:
    """A sentence where hardly any customer of long standing is silent, as in an export of present ones alone.

    Arguments are those of `find_survivors`.
    """
    standing = (
        np.isfinite(gap) & (end - came > STANDING * np.nan_to_num(gap, nan=np.inf)) & (end - came > YEAR)
    )
    if standing.sum() < FEWEST_STANDING:
        return None
    silent = int((end - last[standing] > SILENT * gap[standing]).sum())
    if silent > HARDLY * standing.sum():
        return None
    return (
        f"of {int(standing.sum()):,} customers who came more than a year ago {silent} have been silent for "
        f"{SILENT:.0f} of their usual gaps: nobody seems to leave. If the export holds present customers "
        "alone, those who left are missing, and forecasts and values are too high: give all customers"
    )


def _staying(length: Integer, stopped: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Float:
    """Share that goes on after 0, 1, ... days (Kaplan & Meier 1958)."""
    days = int(length.max()) + 1
    events = np.bincount(length[stopped], minlength=days)
    at_risk = np.cumsum(np.bincount(length, minlength=days)[::-1])[::-1]
    return np.asarray(np.cumprod(1.0 - events / np.maximum(at_risk, 1)), dtype=np.float64)
