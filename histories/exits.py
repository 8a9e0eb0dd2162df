"""How much of the period of arrival or leaving a customer was there for, and what came after leaving."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from histories.periods import wall_time

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
    whole = _all_midnight(ended)
    left = ended.cast(pl.Datetime("us")) + timedelta(days=int(whole))
    return _share(_elapsed(ended, left, period=period, observation_end=observation_end))


def entry_shares(acquired: pl.Series, *, period: str, observation_end: date) -> pl.Series:
    """Share of the period of arrival that was left from then on, in (0, 1], null where `acquired` is.

    Parameters
    ----------
    acquired
        Days or instants of arrival. A day counts from its start.
    period, observation_end
        As in `exit_shares`.

    Examples
    --------
    >>> acquired = pl.Series([date(2026, 4, 16), date(2026, 4, 2), None])
    >>> entry_shares(acquired, period="month", observation_end=date(2026, 6, 30)).to_list()
    [0.5, 1.0, None]
    """
    at = acquired.cast(pl.Datetime("us"))
    return _share(1.0 - _elapsed(acquired, at, period=period, observation_end=observation_end))


def elapsed_share(day: pl.Expr, at: pl.Expr, *, period: str, observation_end: date) -> pl.Expr:
    """Share of the period of a day that has elapsed at an instant.

    Parameters
    ----------
    day, at
        The day (Date) whose period it is; the instant (Datetime without a zone).
    period, observation_end
        As in `exit_shares`.

    Examples
    --------
    >>> frame = pl.DataFrame({"day": [date(2026, 4, 16)]})
    >>> share = elapsed_share(pl.col("day"), pl.col("day"), period="month", observation_end=date(2026, 6, 30))
    >>> frame.select(share).item()
    0.5
    """
    if period == "week":
        weeks = (day - pl.lit(observation_end)).dt.total_days() - 1
        start = pl.lit(observation_end) + pl.duration(days=7 * weeks.floordiv(7) + 1)
        stop = start + pl.duration(days=7)
    else:
        start = day.dt.truncate(f"{MONTHS[period]}mo")
        stop = start.dt.offset_by(f"{MONTHS[period]}mo")
    stop = pl.min_horizontal(stop, pl.lit(observation_end + timedelta(days=1)))
    elapsed = (at.cast(pl.Datetime("us")) - start.cast(pl.Datetime("us"))).dt.total_microseconds()
    return elapsed / ((stop - start).dt.total_days() * DAY)


def within_contracts(frame: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of a frame up to the `ended_at` of their customer, that day or instant included.

    Parameters
    ----------
    frame
        Rows of `customer_id` and `timestamp`.
    customers
        Customers with `ended_at`, null for those still there.
    """
    known = customers.filter(pl.col("ended_at").is_not_null()).select("customer_id", "ended_at").collect()
    days = _all_midnight(known["ended_at"])
    stops = known.select("customer_id", stop=pl.col("ended_at").cast(pl.Datetime("us")))
    at = wall_time("timestamp").cast(pl.Datetime("us"))
    inside = at.dt.truncate("1d") <= pl.col("stop") if days else at <= pl.col("stop")
    joined = frame.join(stops.lazy(), on="customer_id", how="left")
    return joined.filter(inside | pl.col("stop").is_null()).drop("stop")


def _all_midnight(moments: pl.Series) -> bool:
    """Whether these are days, or instants that are all at midnight."""
    instants = moments.cast(pl.Datetime("us")).drop_nulls()
    return bool((instants.dt.truncate("1d") == instants).all())


def _share(share: pl.Series) -> pl.Series:
    """A share of a period in (0, 1]; nearly all of it is all of it."""
    bounded = share.clip(LEAST_SHARE, 1.0).alias("share").to_frame()
    return bounded.select(share=pl.when(pl.col("share") >= NEARLY_ALL).then(1.0).otherwise("share"))["share"]


def _elapsed(days: pl.Series, at: pl.Series, *, period: str, observation_end: date) -> pl.Series:
    """Share of the period of each day that has elapsed at the instant beside it."""
    frame = pl.DataFrame({"day": days.cast(pl.Date), "at": at})
    share = elapsed_share(pl.col("day"), pl.col("at"), period=period, observation_end=observation_end)
    return frame.select(share=share)["share"]
