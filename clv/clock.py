"""The clock a company's purchases run on: calendar time, or time stretched by season, level and covariates.

Season, level and the covariates of the days (`clv.calendar`) make an index m of each day, 0 while the company
was closed (`clv.clock`); elapsed time becomes Lambda(d) = sum of m over the days up to d. A purchase model
fitted on recency and T measured so is exact for (M)BG/NBD with purchase rate lambda m(t), where customers
leave at purchases only; for Pareto/NBD and regular buyers it is an approximation.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any, Self

import numpy as np
import polars as pl

from clv.summary import DAYS_PER_UNIT
from histories.arrays import Float, Integer, Moments

#: Days behind the end of history for which the index is carried on: the longest horizon and some.
AHEAD_DAYS = 7_700
#: The level is carried unchanged for so many months, then falls back to the mean by this factor a month.
CARRIED_MONTHS, DAMPING = 6, 0.8


Prices = tuple[int, float, float]
"""Day, counted from the first one, from which on customers pay another price; the change of its logarithm
then, and on each day since the first one."""


def prices_of(told: Sequence[Any] | None) -> Prices | None:
    """`Clock.prices` after a trip through JSON."""
    return None if told is None else (int(told[0]), float(told[1]), float(told[2]) if len(told) > 2 else 0.0)


def month_of(days: Moments) -> Integer:
    """Calendar months since January 1970 of days, shape (n,)."""
    return np.asarray(days.astype("datetime64[M]").astype(np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How fast each day runs.

    Attributes
    ----------
    first
        Day 0.
    end
        Last day of history.
    time_unit
        "day" or "week".
    level
        Log level of each calendar month from `first` to `end`, shape (months,); empty on calendar time.
    season
        Log factor of each month of the year, January first, shape (12,); zero for months never seen.
    moved
        Log factor of each day by its covariates, from `first` on, shape (m,); zero for later days.
    covariates
        Name, coefficient and standard error of each covariate.
    means
        What each covariate counts on a usual day.
    closed
        First and last day of each stretch in which the company was closed, counted from `first`.
    prices
        How what customers pay changed (`clv.prices`); None where it did not.
    """

    first: date
    end: date
    time_unit: str
    level: tuple[float, ...] = ()
    season: tuple[float, ...] = (0.0,) * 12
    moved: tuple[float, ...] = ()
    covariates: tuple[tuple[str, float, float], ...] = ()
    means: tuple[float, ...] = ()
    closed: tuple[tuple[int, int], ...] = ()
    prices: Prices | None = None

    @property
    def is_calendar(self) -> bool:
        """Whether every day runs at the same speed."""
        return not self.level and not self.moved and not self.closed

    @property
    def opened(self) -> Clock:
        """Calendar time without the stretches in which the company was closed."""
        return replace(self.calendar, closed=self.closed)

    @property
    def calendar(self) -> Clock:
        """Calendar time, at today's prices."""
        return Clock(first=self.first, end=self.end, time_unit=self.time_unit, prices=self.prices)

    def pace(self, until: date | None = None) -> Float:
        """Index of each day from `first` to `AHEAD_DAYS` beyond `end`, or a later `until`, shape (days,)."""
        span = (self.end - self.first).days + 1 + AHEAD_DAYS
        if until is not None:
            span = max(span, (until - self.first).days + 1)
        if self.is_calendar:
            return np.ones(span)
        index = self._seasonal(span)
        known = min(span, len(self.moved))
        index[:known] += self.moved[:known]
        pace = np.exp(index)
        for start, stop in self.closed:
            pace[start : stop + 1] = 0.0
        return np.asarray(pace, dtype=np.float64)

    def _seasonal(self, span: int) -> Float:
        """Log index of season and level of each day, shape (span,)."""
        if not self.level:
            return np.zeros(span)
        days = np.datetime64(self.first) + np.arange(span)
        month = month_of(days)
        k = month - month[0]
        last = len(self.level) - 1
        beyond = np.maximum(k - last - CARRIED_MONTHS, 0)
        level = np.asarray(self.level)[np.minimum(k, last)] * DAMPING**beyond
        return np.asarray(level + np.asarray(self.season)[month % 12], dtype=np.float64)

    def elapsed(self, until: date | None = None) -> Float:
        """Time from `first` to the end of each day of `pace`, in time units; 0 for `first` itself."""
        pace = self.pace(until)
        pace[0] = 0.0
        return np.asarray(np.cumsum(pace) / DAYS_PER_UNIT[self.time_unit], dtype=np.float64)

    def between(self, after: date, until: date) -> float:
        """Time from the end of day `after` to the end of day `until`, in time units."""
        elapsed = self.elapsed(until)
        return float(elapsed[(until - self.first).days] - elapsed[(after - self.first).days])

    def ahead(self, origin: date, days: float) -> float:
        """Time that the `days` behind `origin` amount to, in time units; part of a day counts in part."""
        whole = int(days)
        full = self.between(origin, origin + timedelta(days=whole))
        if whole == days:
            return full
        return full + (days - whole) * self.between(
            origin + timedelta(days=whole), origin + timedelta(days=whole + 1)
        )

    def retime(self, summary: pl.DataFrame, *, origin: date) -> pl.DataFrame:
        """The summary with recency and T, seen from `origin`, on this clock, and spend at its prices."""
        summary = self._at_prices(summary, origin)
        if self.is_calendar:
            return summary
        born, last = (self.days(summary[name]) for name in ("first_purchase", "last_purchase"))
        recency, T = self.times(born, last, summary["frequency"].to_numpy(), origin=origin)
        return summary.with_columns(pl.Series("recency", recency), pl.Series("T", T))

    def times(
        self, born: Integer, last: Integer, frequency: Float | Integer, *, origin: date
    ) -> tuple[Float, Float]:
        """Recency and T, seen from `origin`, of customers by the days of their first and last purchase."""
        then = np.array([(origin - self.first).days])
        start, recent, end = np.split(self.at(np.concatenate([born, last, then])), [born.size, 2 * born.size])
        T = end - start
        recency = np.minimum(recent - start, T)
        recency[frequency == 0] = 0.0
        return recency, np.maximum(T, 0.0)

    def _at_prices(self, summary: pl.DataFrame, origin: date) -> pl.DataFrame:
        """The summary with monetary_value at the prices of `origin`.

        Of x repeat purchases the last was made on its day; the others count as spread evenly before it.
        """
        if self.prices is None or "monetary_value" not in summary.columns:
            return summary
        day, change, drift = self.prices
        then = (origin - self.first).days
        born, last = (self.days(summary[name]) for name in ("first_purchase", "last_purchase"))
        x = np.maximum(summary["frequency"].cast(pl.Float64).to_numpy(), 1.0)
        between = np.maximum(last - born, 1)
        paid = np.ones(x.size)
        if change and day <= then:
            early = np.clip((day - born) / between, 0.0, 1.0)
            old = ((x - 1.0) * early + (last < day)) / x
            paid *= old * np.exp(-change) + (1.0 - old)
        if drift:
            recent = np.exp(drift * (last - then))
            earlier = recent * -np.expm1(-drift * between) / (drift * between)
            paid *= ((x - 1.0) * earlier + recent) / x
        return summary.with_columns(pl.col("monetary_value") / pl.Series(paid))

    def at(self, days: Float | Integer) -> Float:
        """Time from `first` to the end of each day, counted from `first`, whole or in part; any shape.

        Days before `first`, of which nothing is known, run evenly.
        """
        last = int(np.max(days, initial=0.0)) + 1
        elapsed = self.elapsed(self.first + timedelta(days=last))
        before = np.minimum(days, 0) / DAYS_PER_UNIT[self.time_unit]
        return np.asarray(np.interp(days, np.arange(elapsed.size), elapsed) + before, dtype=np.float64)

    def days(self, column: pl.Series) -> Integer:
        """Days since `first` of a column of dates, shape (n,)."""
        since = column.to_numpy().astype("datetime64[D]") - np.datetime64(self.first)
        return np.asarray(since.astype(np.int64))

    def fields(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        return asdict(self) | {"first": self.first.isoformat(), "end": self.end.isoformat()}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `fields`, also after a trip through JSON."""
        return cls(
            first=date.fromisoformat(fields["first"]),
            end=date.fromisoformat(fields["end"]),
            time_unit=str(fields["time_unit"]),
            level=tuple(fields["level"]),
            season=tuple(fields["season"]),
            moved=tuple(fields["moved"]),
            covariates=tuple((name, estimate, error) for name, estimate, error in fields["covariates"]),
            means=tuple(fields.get("means", ())),
            closed=tuple((int(start), int(stop)) for start, stop in fields.get("closed", ())),
            prices=prices_of(fields.get("prices")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model card: factors of the months of the year, level month by month."""
        if self.is_calendar:
            return {"time": "calendar"}
        shaped = [("season and level", self.level), ("covariates", self.moved), ("closures", self.closed)]
        told: dict[str, Any] = {"time": next(what for what, there in shaped if there)}
        if self.closed:
            told["closed"] = [
                [(self.first + timedelta(days=day)).isoformat() for day in stretch] for stretch in self.closed
            ]
        if self.level:
            told |= {
                "season": [float(np.exp(value)) for value in self.season],
                "level": [float(np.exp(value)) for value in self.level],
                "level_from": self.first.replace(day=1).isoformat(),
            }
        if self.covariates:
            told["covariates"] = {
                name: {"estimate": estimate, "std_error": error} for name, estimate, error in self.covariates
            }
        return told


SHORTEST, EXPECTED = 14, 30.0
#: Days on either side that say how fast the company sells.
BESIDE = 56


def closures(purchases: pl.LazyFrame, *, first: date, end: date) -> tuple[tuple[int, int], ...]:
    """First and last day, counted from `first`, of each stretch in which the company sold nothing at all.

    A shop that was closed, or a hole in an export: nobody could buy then, so that silence says nothing of
    anybody. A stretch of days without a purchase counts as closed where it is `SHORTEST` days long at least
    and chance cannot explain it: at the pace of the weeks before and behind it, the slower one, `EXPECTED`
    purchases would have come (by chance none comes once in exp(EXPECTED)). One that lasts to the end of the
    data is none: nobody knows that it will end.

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
