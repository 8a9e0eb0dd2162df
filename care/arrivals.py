"""How many cases come in which hour of the week, with a prediction for the next."""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl
import scipy

from care.settings import DAYS, Hours
from histories.errors import ConfigError

PRIOR_SHAPE: Final = 0.5
"""Shape of the gamma prior of an hour's rate, with rate 0 (Jeffreys' prior)."""


def arrivals_by_hour(opened: pl.Series, *, weeks: int = 8, level: float = 0.95) -> pl.DataFrame:
    """Arrivals of each hour of the week over the last whole weeks, with a prediction for the next.

    Parameters
    ----------
    opened
        Local times at which cases began to wait.
    weeks
        How many weeks before the last arrival are counted; fewer where there are fewer.
    level
        Chance that the next count lies from `low` to `high`.

    Returns
    -------
    DataFrame
        weekday (1 is Monday), hour, weeks, arrivals (mean per week), low, high (of the next count); 168 rows.
    """
    times = opened.drop_nulls().dt.replace_time_zone(None).cast(pl.Datetime("us"))
    if times.is_empty():
        raise ConfigError("No case tells when it came; staffing from cases needs opened_at.")
    days = times.dt.date().to_list()
    last, first = max(days), min(days)
    whole = max(1, min(weeks, ((last - first).days + 1) // 7))
    recent = times.filter(times.dt.date() > last - dt.timedelta(days=7 * whole))
    counted = (
        pl.DataFrame({"at": recent})
        .group_by(
            pl.col("at").dt.weekday().cast(pl.Int64).alias("weekday"),
            pl.col("at").dt.hour().cast(pl.Int64).alias("hour"),
        )
        .agg(pl.len().cast(pl.Int64).alias("count"))
    )
    grid = pl.DataFrame({"weekday": range(1, 8)}).join(pl.DataFrame({"hour": range(24)}), how="cross")
    rows = grid.join(counted, on=["weekday", "hour"], how="left").sort("weekday", "hour").fill_null(0)
    tail = (1.0 - level) / 2.0
    shape, share = PRIOR_SHAPE + rows["count"].to_numpy(), whole / (whole + 1.0)
    return rows.select(
        "weekday",
        "hour",
        pl.lit(whole).cast(pl.Int64).alias("weeks"),
        (pl.col("count") / whole).alias("arrivals"),
        pl.Series("low", scipy.stats.nbinom.ppf(tail, shape, share).astype(float)),
        pl.Series("high", scipy.stats.nbinom.ppf(1.0 - tail, shape, share).astype(float)),
    )


def arrivals_of_open_hours(by_hour: pl.DataFrame, hours: Hours | None) -> dict[str, dict[int, float]]:
    """Arrivals of each open hour of the clock, by day of the week; days without one are left out.

    What comes outside hours waits for the next opening, and is counted in that hour. An hour that is open in
    part counts as open.

    Parameters
    ----------
    by_hour
        weekday, hour, arrivals; as `arrivals_by_hour` makes them.
    hours
        When the desk is open, by the same clock; always without.
    """
    counts = {(day, hour): float(n) for day, hour, n in by_hour.select("weekday", "hour", "arrivals").rows()}
    if hours is None:
        return {
            name: {hour: counts[day, hour] for hour in range(24)} for day, name in enumerate(DAYS, start=1)
        }
    monday = dt.date(2024, 1, 1)  # a Monday on which no desk of today is closed
    is_open: set[int] = set()
    for day in range(7):
        for start, end in hours.spans_of(monday + dt.timedelta(days=day)):
            first, last = day * 1440 + start, day * 1440 + end
            is_open |= {hour % 168 for hour in range(first // 60, -(-last // 60))}
    if not is_open:
        return {}
    open_hours = dict.fromkeys(sorted(is_open), 0.0)
    for hour in range(168):
        opening = next(step % 168 for step in range(hour, hour + 168) if step % 168 in is_open)
        open_hours[opening] += counts[hour // 24 + 1, hour % 24]
    return {
        name: found
        for day, name in enumerate(DAYS)
        if (found := {hour % 24: n for hour, n in open_hours.items() if hour // 24 == day})
    }
