"""How much of the period of leaving a customer lived through."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

__all__ = ["LEAST_SHARE", "NEARLY_ALL", "exit_shares"]

NEARLY_ALL = 0.95
"""Share of a period from which on its end counts as reached, as on the last day but one of a month."""
LEAST_SHARE = 0.01
"""A share below this is set to it: who leaves at the first instant has lived through nothing."""
MONTHS = {"month": 1, "quarter": 3}
DAY = 86_400_000_000
"""Microseconds."""


def exit_shares(ended: pl.Series, *, period: str, observation_end: date) -> pl.Series:
    """Share of the period of leaving that was lived through, in (0, 1], null where `ended` is.

    Parameters
    ----------
    ended
        Days or instants of leaving. A day counts as lived through to its end, and so do instants that are all
        at midnight, which are days.
    period
        "week", "month" or "quarter": weeks end with `observation_end`, the others are calendar periods.
    observation_end
        Last day observed, at which the last period is cut off.

    Examples
    --------
    >>> ended = pl.Series([date(2026, 4, 15), date(2026, 4, 29), None])
    >>> exit_shares(ended, period="month", observation_end=date(2026, 6, 30)).to_list()
    [0.5, 1.0, None]
    """
    frame = pl.DataFrame({"ended": ended}).select(ended=pl.col("ended").cast(pl.Datetime("us")))
    day = pl.col("ended").cast(pl.Date)
    if frame.select((pl.col("ended").dt.truncate("1d") == pl.col("ended")).all()).item():
        frame = frame.with_columns(pl.col("ended") + pl.duration(days=1))
        day = (pl.col("ended") - pl.duration(days=1)).cast(pl.Date)
    if period == "week":
        weeks = (day - pl.lit(observation_end)).dt.total_days() - 1
        start = pl.lit(observation_end) + pl.duration(days=7 * weeks.floordiv(7) + 1)
        stop = start + pl.duration(days=7)
    else:
        start = day.dt.truncate(f"{MONTHS[period]}mo")
        stop = start.dt.offset_by(f"{MONTHS[period]}mo")
    stop = pl.min_horizontal(stop, pl.lit(observation_end + timedelta(days=1)))
    elapsed = (pl.col("ended") - start.cast(pl.Datetime("us"))).dt.total_microseconds()
    share = (elapsed / ((stop - start).dt.total_days() * DAY)).clip(LEAST_SHARE, 1.0)
    reached = pl.when(share >= NEARLY_ALL).then(1.0).otherwise(share)
    return frame.select(share=reached)["share"]
