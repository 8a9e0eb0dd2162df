"""Covariates of the days: what the firm did to everybody, such as campaigns and prices.

With x(d) the covariates of day d, every customer's purchase rate is lambda m(d) exp(g x(d)), m the index of
season and level. That is the form of the dynamic covariates of the purchase process in Bachmann, Meierer and
Naef (2021, *Marketing Science* 40), where they are the same for all customers: a change of time alone, so
that (M)BG/NBD stays exact. They centre on their mean over the history, so that a usual day runs at pace 1.
What is one customer's own moves no clock; it is read here (`own_rows`) and belongs to `clv.influences`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from histories.arrays import Float
from histories.errors import DataError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCovariates:
    """Covariates of each day, from the first day of history to the last that the calendar speaks of.

    Attributes
    ----------
    names
        The covariates.
    matrix
        Less their means over the history, shape (days, k); a later day is as usual: 0.
    means
        What was taken off, by name.
    notes
        What a reader should know, in sentences.
    """

    names: tuple[str, ...]
    matrix: Float
    means: Mapping[str, float]
    notes: tuple[str, ...]


def covariates_by_day(
    calendar: pl.DataFrame,
    columns: Sequence[str],
    *,
    first: date,
    end: date,
    means: Mapping[str, float] | None = None,
) -> DayCovariates:
    """Spread the rows of a calendar over its days.

    Parameters
    ----------
    calendar
        One row per spell: `start` and `end` (dates, both included; without an end a single day) and numbers.
        Rows with a `customer_id` speak of that customer alone and are passed over.
        A row that is empty in a column says nothing of it. A day without a row counts 0; after the last day
        that a column speaks of it is as usual.
    columns
        The covariates.
    first, end
        First and last day of the history.
    means
        What a usual day counts, where that is known from a fit.

    Raises
    ------
    DataError
        When a column is missing, no number, does not vary over the history that is fitted, or has two values
        for one day.
    """
    span = (end - first).days + 1
    parts, notes, usual = [], [], dict[str, float]()
    for column in columns:
        days, known_until = _spread(_rows_of(calendar, column), column, first=first)
        history = np.zeros(span)
        history[: min(span, days.size)] = days[:span]
        if means is None and np.ptp(history) == 0.0:
            raise DataError(f'calendar: "{column}" has one value from {first} to {end}; it explains nothing')
        mean = float(history.mean()) if means is None else float(means[column])
        usual[column] = mean
        parts.append(np.concatenate([history, days[span:]]) - mean)
        if known_until <= end:
            notes.append(
                f'the calendar says nothing of "{column}" after {known_until}; forecasts take its mean, '
                f"{mean:.4g}"
            )
    matrix = np.zeros((max(part.size for part in parts), len(parts)))
    for place, part in enumerate(parts):
        matrix[: part.size, place] = part
    return DayCovariates(names=tuple(columns), matrix=matrix, means=usual, notes=tuple(notes))


def own_rows(calendar: pl.DataFrame, column: str) -> pl.DataFrame:
    """customer_id, start, end and value of a covariate that is the customers' own; empty where it is not.

    Raises
    ------
    DataError
        When the column is missing or holds no numbers, speaks of everybody as well, or has two values for one
        customer and day.
    """
    rows = _rows_of(calendar, column)
    own = rows.filter(pl.col("customer_id").is_not_null()).sort("customer_id", "start")
    others = rows.height - own.height
    if own.height and others:
        raise DataError(
            f'calendar: "{column}" is filled in {own.height} rows of customers and in {others} of everybody; '
            "give each a column of its own"
        )
    twice = own.filter(pl.col("start") <= pl.col("end").shift(1).over("customer_id")).height
    if twice:
        raise DataError(
            f'calendar: "{column}" has two values for one customer and day in {twice} rows; cut the spells'
        )
    return own


def _rows_of(calendar: pl.DataFrame, column: str) -> pl.DataFrame:
    """customer_id, start, end and value of the rows in which a column is filled."""
    if column not in calendar.columns:
        known = [name for name in calendar.columns if name not in ("start", "end", "customer_id")]
        raise DataError(f'calendar has no column "{column}"; {nearest(column, known)}')
    if not (calendar.schema[column].is_numeric() or calendar.schema[column] == pl.Boolean):
        raise DataError(f'calendar: "{column}" holds {calendar.schema[column]}, no numbers or flags')
    rows = calendar.filter(pl.col(column).is_not_null())
    if rows.is_empty():
        raise DataError(f'calendar: "{column}" is empty in every row')
    return rows.select(
        "customer_id" if "customer_id" in rows.columns else pl.lit(None).alias("customer_id"),
        "start",
        end=pl.coalesce("end", "start") if "end" in rows.columns else "start",
        value=pl.col(column).cast(pl.Float64),
    )


def _spread(rows: pl.DataFrame, column: str, *, first: date) -> tuple[Float, date]:
    """The value of each day from `first` on, and the last day with one."""
    until: date = rows["end"].max()  # type: ignore[assignment]
    size = max((until - first).days + 1, 1)
    values, said = np.zeros(size), np.zeros(size, dtype=np.int64)
    for start, stop, value in rows.select("start", "end", "value").iter_rows():
        days = slice(max((start - first).days, 0), max((stop - first).days + 1, 0))
        values[days] = value
        said[days] += 1
    if said.max(initial=0) > 1:
        twice = int((said > 1).sum())
        raise DataError(
            f'calendar: "{column}" has two values on {twice} {"day" if twice == 1 else "days"}; '
            "cut the spells, or give what overlaps a column of its own"
        )
    return values, until
