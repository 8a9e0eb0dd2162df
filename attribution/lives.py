"""When each customer came and left: told by a contract, or by the lack of purchases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from histories.errors import DataError

__all__ = ["Lives", "contractual_lives", "lapse_lives"]

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """One row per customer: customer_id, `started` (Date), `ended` (Date, null when still there)."""

    frame: pl.LazyFrame
    until: date
    """Last day for which it is known who was there."""
    window_days: float | None = None
    """Days without a purchase after which a customer counts as gone; None under a contract."""


def contractual_lives(customers: pl.LazyFrame, *, observation_end: date) -> Lives:
    """Lives by `acquired_at` and `ended_at`; customers without `acquired_at` take no part."""
    frame = customers.select("customer_id", started="acquired_at", ended="ended_at")
    return Lives(frame=frame.filter(pl.col("started").is_not_null()), until=observation_end)


def lapse_lives(purchases: pl.LazyFrame, *, observation_end: date, share_of_gaps: float = 0.95) -> Lives:
    """Lives by purchases alone: gone since the last one when a window passed without another.

    The window holds `share_of_gaps` of the gaps between purchases of a customer. Who left in the last window
    before `observation_end` cannot be known, so `until` lies one window earlier.

    Raises DataError when no customer bought twice.
    """
    at = pl.col("timestamp")
    gap = at.sort().diff().over("customer_id").dt.total_microseconds() / MICROSECONDS_PER_DAY
    window = purchases.select(gap.quantile(share_of_gaps, "higher")).collect().item()
    if window is None:
        raise DataError("lapse: no customer bought twice, so no gap tells when one is gone. Give ended_at.")
    until = observation_end - timedelta(days=window)
    frame = purchases.group_by("customer_id").agg(
        started=at.min().dt.date(), ended=pl.when(at.max().dt.date() <= until).then(at.max().dt.date())
    )
    return Lives(frame=frame, until=until, window_days=float(window))
