"""What moves each customer's rates: traits that stay, and covariates of days, everybody's or his own.

Covariates of days come from the calendar table: a row with a customer speaks of that one, another of
everybody. They become spells (`clv.purchases.moving`): stretches of a customer's time on which nothing
changes, measured on the company's clock of season and level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Self

import numpy as np
import polars as pl

from clv.calendar import DayCovariates, covariates_by_day, own_rows
from clv.clock import Clock
from clv.purchases.covariates import Design, build_design, design_like
from clv.purchases.moving import Spells
from histories.arrays import Float, Integer
from histories.errors import DataError

NO_TRAITS = Design(names=(), matrix=np.zeros((0, 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Influences:
    """Covariates of the customers of one summary, as known on its day.

    Attributes
    ----------
    names
        Covariates of days, then traits; "trait=level" where a trait is no number.
    frame
        customer_id, first_purchase and last_purchase, one row per customer.
    clock
        Time without covariates.
    origin
        Last day of history.
    traits
        Shape (n, j).
    common
        Covariates of days that are everybody's; None without any.
    own
        By name: customer_id, start, end and value of the spells that are one customer's.
    usual
        Mean of each customer's own covariates of days over his history, shape (n, k).
    centre
        What is taken off each covariate of days, by name: what a usual day counts.
    """

    names: tuple[str, ...]
    frame: pl.DataFrame
    clock: Clock
    origin: date
    traits: Float
    common: DayCovariates | None
    own: dict[str, pl.DataFrame]
    usual: Float
    centre: Mapping[str, float]

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        *,
        traits: Sequence[str],
        moving: Sequence[str],
        calendar: pl.DataFrame | None,
        clock: Clock,
        origin: date,
    ) -> Self:
        """Read the covariates of a summary's customers.

        Parameters
        ----------
        frame
            customer_id, first_purchase, last_purchase and the traits.
        traits, moving
            Columns of the frame, and of the calendar.
        calendar
            start, end, numbers and, for what is one customer's, customer_id.
        clock, origin
            Of the company, and the last day of history.

        Raises
        ------
        DataError
            When a covariate is missing, empty for some customer, constant, or has two values on one day.
        """
        design = build_design(frame, traits) if traits else NO_TRAITS
        return cls._read(frame, design, moving, None, calendar=calendar, clock=clock, origin=origin)

    @classmethod
    def like(
        cls,
        frame: pl.DataFrame,
        *,
        names: Sequence[str],
        centre: Mapping[str, float],
        calendar: pl.DataFrame | None,
        clock: Clock,
        origin: date,
    ) -> Self:
        """The covariates that a fit knows by these names and as centred there, of later customers.

        Raises
        ------
        DataError
            When one is missing, or empty for some customer.
        """
        traits = [name for name in names if name not in centre]
        design = design_like(frame, traits) if traits else NO_TRAITS
        moving = [name for name in names if name in centre]
        return cls._read(frame, design, moving, centre, calendar=calendar, clock=clock, origin=origin)

    @classmethod
    def _read(
        cls,
        frame: pl.DataFrame,
        design: Design,
        moving: Sequence[str],
        centre: Mapping[str, float] | None,
        *,
        calendar: pl.DataFrame | None,
        clock: Clock,
        origin: date,
    ) -> Self:
        """With the covariates of days, centred anew or as they were."""
        if moving and calendar is None:
            raise DataError("dynamic covariates were asked for, but there is no calendar table")
        own = {name: own_rows(calendar, name) for name in moving} if calendar is not None else {}
        own = {name: rows for name, rows in own.items() if not rows.is_empty()}
        everybody = [name for name in moving if name not in own]
        common = None
        if everybody:
            assert calendar is not None
            common = covariates_by_day(calendar, everybody, first=clock.first, end=origin, means=centre)
        found = cls(
            names=(*everybody, *own, *design.names),
            frame=frame.select("customer_id", "first_purchase", "last_purchase"),
            clock=replace(clock, moved=(), covariates=(), means=()),
            origin=origin,
            traits=design.matrix if design.names else np.zeros((frame.height, 0)),
            common=common,
            own=own,
            usual=np.zeros((frame.height, len(own))),
            centre=dict(common.means) if common else {},
        )
        return found._centred(centre)

    @property
    def constant(self) -> bool:
        """Whether nothing changes over time."""
        return self.common is None and not self.own

    def past(self) -> Spells:
        """Spells from each customer's first purchase to the origin."""
        rows, start, stop = self._cut(self._born, self._end)
        return self._spells(rows, start, np.maximum(stop, start - 1).astype(np.float64))

    def ahead(self, days: float) -> Spells:
        """Spells of the `days` behind the origin."""
        n, end = self.frame.height, self._end
        rows, start, stop = self._cut(np.full(n, end), end + int(np.ceil(days)))
        return self._spells(rows, start, np.minimum(stop, end + days))

    def bought(self, purchases: pl.DataFrame) -> Float:
        """Sum of the covariates over the days of each customer's repeat purchases, shape (n, k).

        `purchases` has customer_id and date, one row per purchase.
        """
        repeats = (
            self.frame.with_row_index("row")
            .join(purchases.select("customer_id", "date"), on="customer_id")
            .filter((pl.col("date") > pl.col("first_purchase")) & (pl.col("date") <= self.origin))
        )
        rows = repeats["row"].to_numpy().astype(np.int64)
        z = self._values(rows, self.clock.days(repeats["date"]))
        total = np.zeros((self.frame.height, z.shape[1]))
        np.add.at(total, rows, z)
        return total

    @property
    def _end(self) -> int:
        return (self.origin - self.clock.first).days

    @property
    def _born(self) -> Integer:
        return self.clock.days(self.frame["first_purchase"])

    def _cut(self, after: Integer, end: int) -> tuple[Integer, Integer, Integer]:
        """Row, first and last day of the spells between the end of day `after`, shape (n,), and day `end`."""
        n = self.frame.height
        last = self.clock.days(self.frame["last_purchase"])
        rows, start = [np.arange(n), np.arange(n)], [after + 1, np.maximum(last, after) + 1]
        if self.common is not None:
            moves = 1 + np.flatnonzero(np.any(np.diff(self.common.matrix, axis=0) != 0.0, axis=1))
            moves = np.append(moves, len(self.common.matrix))
            low, high = np.searchsorted(moves, after + 2), np.searchsorted(moves, end, side="right")
            count = np.maximum(high - low, 0)
            who = np.repeat(np.arange(n), count)
            place = np.arange(who.size) - np.repeat(np.cumsum(count) - count, count)
            rows.append(who)
            start.append(moves[low[who] + place])
        for table in self.own.values():
            known = self.frame.select("customer_id").with_row_index("row").join(table, on="customer_id")
            who = known["row"].to_numpy().astype(np.int64)
            rows += [who, who]
            start += [self.clock.days(known["start"]), self.clock.days(known["end"]) + 1]
        row, day = np.concatenate(rows), np.concatenate(start)
        kept = (day > after[row]) & ((day <= end) | (day == after[row] + 1))
        pairs = np.unique(np.column_stack([row[kept], day[kept]]), axis=0)
        row, day = pairs[:, 0], pairs[:, 1]
        stop = np.append(day[1:] - 1, end)
        stop[np.append(row[1:] != row[:-1], True)] = end
        return row, day, stop

    def _spells(self, rows: Integer, start: Integer, stop: Float) -> Spells:
        """Spells of days `start` to `stop`, both included; a part of a day counts in part."""
        until = self.clock.first + timedelta(days=int(np.ceil(stop.max(initial=1.0))))
        elapsed = self.clock.elapsed(until)
        days = np.arange(elapsed.size)
        length = np.interp(stop, days, elapsed) - elapsed[start - 1]
        last = self.clock.days(self.frame["last_purchase"])
        return Spells(
            customer=rows,
            length=np.maximum(length, 0.0),
            z=self._values(rows, start),
            silent=start > last[rows],
        )

    def _values(self, rows: Integer, day: Integer) -> Float:
        """Covariates of customers (by row) on days, shape (m, k)."""
        parts = [_on_days(self.common, day)] if self.common is not None else []
        for place, (name, table) in enumerate(self.own.items()):
            values = self._own_on_days(table, rows, day)
            late = day > self.clock.days(table["end"]).max()
            values[late] = self.usual[rows[late], place]
            parts.append(values[:, None] - self.centre[name])
        return np.column_stack([*parts, self.traits[rows]])

    def _own_on_days(self, table: pl.DataFrame, rows: Integer, day: Integer) -> Float:
        """A covariate of the customers' own; 0 on a day without a row. Shape (m,)."""
        asked = self.frame["customer_id"].gather(pl.Series(rows)).to_frame("customer_id")
        days = np.datetime64(self.clock.first) + day
        asked = asked.with_columns(pl.Series("day", days).cast(pl.Date), place=pl.int_range(pl.len()))
        found = asked.sort("day").join_asof(
            table.sort("start"), left_on="day", right_on="start", by="customer_id", check_sortedness=False
        )
        value = pl.when(pl.col("end") >= pl.col("day")).then("value").otherwise(0.0).fill_null(0.0)
        return found.sort("place").select(value.alias("value"))["value"].to_numpy().copy()

    def _centred(self, centre: Mapping[str, float] | None) -> Self:
        """With the usual value of each customer's own covariates: a day as usual for all then counts 0."""
        if not self.own:
            return self
        rows, start, stop = self._cut(self._born, self._end)
        length = np.maximum(stop - start + 1, 0).astype(np.float64)
        n = self.frame.height
        lived = np.maximum(np.bincount(rows, weights=length, minlength=n), 1.0)
        usual = [
            np.bincount(rows, weights=length * self._own_on_days(table, rows, start), minlength=n) / lived
            for table in self.own.values()
        ]
        means = {name: float(each.mean()) for name, each in zip(self.own, usual, strict=True)}
        known = means if centre is None else {name: centre[name] for name in means}
        return replace(self, usual=np.column_stack(usual), centre={**self.centre, **known})


def _on_days(common: DayCovariates, day: Integer) -> Float:
    """Covariates of everybody on days since the first; as usual behind the calendar. Shape (m, k)."""
    padded = np.vstack([common.matrix, np.zeros((1, common.matrix.shape[1]))])
    return padded[np.minimum(day, len(common.matrix))]
