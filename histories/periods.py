"""How time is counted and cut: months, calendar periods, the instants at which days begin and end."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

import polars as pl

from histories.errors import ConfigError

DAYS_PER_YEAR = 365.25
DAYS_PER_MONTH = DAYS_PER_YEAR / 12
"""Days in a year and in a month everywhere."""

PeriodName = Literal["day", "week", "month", "quarter", "year"]
_EVERY: dict[str, str] = {"day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}
_MONTHS: dict[str, int] = {"month": 1, "quarter": 3, "year": 12}
MONDAY_OFFSET = 3
"""Days from a Monday to 1970-01-01."""


def truncate_to(column: pl.Expr, period: str) -> pl.Expr:
    """Start of the period that a time lies in."""
    if period not in _EVERY:
        raise ConfigError(f'period "{period}" is not known; allowed: {", ".join(_EVERY)}.')
    return column.dt.truncate(_EVERY[period])


def period_ordinal(day: pl.Expr, period: PeriodName) -> pl.Expr:
    """Number of the calendar period that a date lies in; consecutive periods have consecutive numbers."""
    if period in _MONTHS:
        return (day.dt.year().cast(pl.Int64) * 12 + day.dt.month() - 1) // _MONTHS[period]
    days = day.dt.date().to_physical().cast(pl.Int64)
    return days if period == "day" else (days + MONDAY_OFFSET) // 7


def period_start(ordinal: pl.Expr, period: PeriodName) -> pl.Expr:
    """First day of the period with this number.

    >>> pl.select(period_start(period_ordinal(pl.lit(date(2026, 5, 17)), "quarter"), "quarter")).item()
    datetime.date(2026, 4, 1)
    """
    if period in _MONTHS:
        months = ordinal * _MONTHS[period]
        return pl.date(months // 12, months % 12 + 1, 1)
    days = ordinal if period == "day" else ordinal * 7 - MONDAY_OFFSET
    return days.cast(pl.Int32).cast(pl.Date)


def zone_of(frame: pl.LazyFrame, column: str = "timestamp") -> str | None:
    """Zone in which the days of a column of instants are counted; None for local times."""
    dtype = frame.collect_schema()[column]
    return dtype.time_zone if isinstance(dtype, pl.Datetime) else None


def start_of_day(day: pl.Expr, zone: str | None = None) -> pl.Expr:
    """First instant of a day, in microseconds; where the clock skips midnight, the first that there is.

    >>> pl.select(start_of_day(pl.lit(date(2026, 7, 1)), "Europe/London")).item().isoformat()
    '2026-07-01T00:00:00+01:00'
    """
    midnight = day.cast(pl.Datetime("us"))
    if zone is None:
        return midnight
    later = midnight + timedelta(hours=1)
    return pl.coalesce(
        local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        for local in (midnight, later)
    )


def end_of_day(day: date, zone: str | None = None) -> pl.Expr:
    """First instant after a day, in microseconds."""
    return start_of_day(pl.lit(day + timedelta(days=1)), zone)


def wall_time(column: str) -> pl.Expr:
    """Instants as the local times that a clock on the wall shows; local times stay."""
    return pl.col(column).dt.replace_time_zone(None)
