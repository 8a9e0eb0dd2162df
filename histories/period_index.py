"""The periods of a panel: calendar months and quarters, or weeks, up to the last that is observed whole.

A month of which three days are observed is no month: taken for one it looks as if customers had left. So
months and quarters end with the last whole one; weeks end with the observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from histories.errors import ConfigError, nearest
from histories.exits import NEARLY_ALL

PERIODS = ("week", "month", "quarter")
MONTHS = {"month": 1, "quarter": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodIndex:
    """Numbers the periods so that the last whole one is -1."""

    period: str
    end: date
    """Last day of the last whole period, or nearly."""
    cut: date | None = None
    """Last day observed where the period that holds it is cut short; None where it is whole."""

    @staticmethod
    def of(period: str, observation_end: date) -> PeriodIndex:
        """The periods of an observation.

        Parameters
        ----------
        period
            "week", "month" or "quarter".
        observation_end
            Last day observed.

        Raises
        ------
        ConfigError
            For another period.

        Examples
        --------
        >>> PeriodIndex.of("month", date(2026, 6, 3)).end
        datetime.date(2026, 5, 31)
        >>> PeriodIndex.of("month", date(2026, 6, 29)).end
        datetime.date(2026, 6, 29)
        """
        if period not in PERIODS:
            raise ConfigError(f'attribution.period = "{period}" is unknown; {nearest(period, PERIODS)}')
        if period == "week":
            return PeriodIndex(period=period, end=observation_end)
        start, stop = _bounds(observation_end, MONTHS[period])
        share = ((observation_end - start).days + 1) / (stop - start).days
        if share >= NEARLY_ALL:
            return PeriodIndex(period=period, end=observation_end)
        return PeriodIndex(period=period, end=start - timedelta(days=1), cut=observation_end)

    @property
    def words(self) -> str:
        """Why the last days are not in the panel; empty where they are."""
        if self.cut is None:
            return ""
        return (
            f"the {self.period} of {self.cut} is observed in part only: incremental credit is of the "
            f"{self.period}s up to {self.end}"
        )

    def labels(self, count: int) -> list[tuple[str, date]]:
        """Name and last day of the last so many periods, in order.

        >>> PeriodIndex.of("quarter", date(2026, 6, 30)).labels(2)
        [('2026-Q1', datetime.date(2026, 3, 31)), ('2026-Q2', datetime.date(2026, 6, 30))]
        """
        if self.period == "week":
            ends = [self.end - timedelta(days=7 * back) for back in reversed(range(count))]
            return [(str(end - timedelta(days=6)), end) for end in ends]
        size = MONTHS[self.period]
        last = (self.end.year * 12 + self.end.month - 1) // size
        found = []
        for at in range(last - count + 1, last + 1):
            start, stop = _bounds(date(at * size // 12, at * size % 12 + 1, 1), size)
            name = f"{start:%Y-%m}" if size == 1 else f"{start.year}-Q{start.month // size + 1}"
            found.append((name, stop - timedelta(days=1)))
        return found

    def number(self, column: str) -> pl.Expr:
        """Number of the period of each day or instant."""
        day = pl.col(column).dt.date()
        if self.period == "week":
            return ((day - pl.lit(self.end)).dt.total_days() - 1).floordiv(7).cast(pl.Int64)
        size = MONTHS[self.period]
        months = day.dt.year().cast(pl.Int64) * 12 + day.dt.month().cast(pl.Int64) - 1
        return months.floordiv(size) - (self.end.year * 12 + self.end.month - 1) // size - 1


def period_of(day: date, *, period: str, observation_end: date) -> int:
    """Number of the period that holds a day, counted back from -1, the last whole one observed.

    >>> period_of(date(2026, 5, 31), period="month", observation_end=date(2026, 6, 30))
    -2
    """
    index = PeriodIndex.of(period, observation_end)
    return int(pl.select(pl.lit(day).alias("day")).select(index.number("day")).item())


def _bounds(day: date, months: int) -> tuple[date, date]:
    """First day of the calendar period of so many months, and of the next one."""
    at = day.year * 12 + (day.month - 1) // months * months
    return date(at // 12, at % 12 + 1, 1), date((at + months) // 12, (at + months) % 12 + 1, 1)
