"""Sessions: touches of one channel in quick succession counted as one."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

__all__ = ["merge_sessions"]


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
