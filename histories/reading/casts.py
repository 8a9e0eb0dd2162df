"""Turn what a source holds into our types, value by value; what cannot be read becomes null.

Null after the cast and not null before is how the checks find an unreadable value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from histories.money import to_minor
from histories.reading.schemas import Kind

__all__ = ["CastOptions", "cast_column", "has_time", "is_castable", "text_value"]

EPOCHS = {"epoch_s": 1_000_000, "%s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Microseconds in a unit of each count since 1970-01-01T00:00Z."""
EXCEL = "excel"
EXCEL_DAY = 86_400 * 1_000_000
EXCEL_START = -25_569
"""Day of Excel's day 0, 1899-12-30, counted from 1970-01-01."""
ISO_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y%m%d")
ISO_ZONED_FORMATS = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
TIME_OF_DAY = re.compile(r"%[-_0.]*(?:[HIMSTRXcsrpfk+l]|\.?\d*f)")
ZONE = re.compile(r"%#?:*[zZs+]")
TRUE_WORDS = ("true", "1", "yes", "t", "y")
FALSE_WORDS = ("false", "0", "no", "f", "n")
LARGEST_INTEGER = 2.0**53


@dataclass(frozen=True, slots=True, kw_only=True)
class CastOptions:
    """How times are written and which zone they are converted to."""

    timezone: str = "UTC"
    timestamp_format: str | None = None

    @property
    def dated_only(self) -> bool:
        """Whether the format has a date and no time of day."""
        form = self.timestamp_format
        return form is not None and form not in EPOCHS and form != EXCEL and not has_time(form)

    @property
    def counts(self) -> bool:
        """Whether times are numbers: seconds, milliseconds or microseconds, or Excel's days."""
        return self.timestamp_format in EPOCHS or self.timestamp_format == EXCEL


def has_time(timestamp_format: str) -> bool:
    """Whether a strftime format has a time of day.

    >>> has_time("%Y%m%d"), has_time("%d/%m/%Y %H:%M")
    (False, True)
    """
    return TIME_OF_DAY.search(timestamp_format) is not None


def is_castable(dtype: pl.DataType, kind: Kind, options: CastOptions) -> bool:
    """Whether a column of this type can hold values of this kind at all."""
    if dtype in {pl.String, pl.Null} or isinstance(dtype, (pl.Categorical, pl.Enum)):
        return True
    if kind in {Kind.ID, Kind.TEXT}:
        return dtype.is_numeric() or (kind is Kind.TEXT and dtype == pl.Boolean)
    if kind in {Kind.INTEGER, Kind.NUMBER, Kind.MONEY}:
        return dtype.is_numeric()
    if kind is Kind.BOOLEAN:
        return dtype == pl.Boolean or dtype.is_integer()
    if options.counts and dtype.is_numeric():
        return True
    if dtype.is_integer():
        return options.timestamp_format is not None
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def text_value(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as text without blanks around it; null when it is empty."""
    text = column if dtype == pl.String else column.cast(pl.String)
    stripped = text.str.strip_chars()
    return pl.when(stripped != "").then(stripped)


def cast_column(column: pl.Expr, dtype: pl.DataType, kind: Kind, options: CastOptions) -> pl.Expr:
    """The column in our type, null where a value cannot be read.

    An id that some program has turned into a decimal number (17.0) is the whole number again.
    """
    if kind is Kind.ID and dtype.is_float():
        return pl.when(column == column.round()).then(column).cast(pl.Int64).cast(pl.String)
    if kind in {Kind.ID, Kind.TEXT}:
        return text_value(column, dtype)
    if kind in {Kind.TIMESTAMP, Kind.DATE}:
        moment = _moment(column, dtype, options)
        return moment.cast(pl.Date) if kind is Kind.DATE else moment
    if kind is Kind.BOOLEAN:
        return _flag(column, dtype)
    number = column if dtype.is_numeric() else text_value(column, dtype).cast(pl.Float64, strict=False)
    number = number.cast(pl.Float64)
    if kind is Kind.MONEY:
        return to_minor(number)
    if kind is Kind.INTEGER:
        whole = (number == number.round()) & (number.abs() < LARGEST_INTEGER)
        return pl.when(whole).then(number).cast(pl.Int64)
    return pl.when(number.is_finite()).then(number)


def _flag(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean:
        return column
    word = text_value(column, dtype).str.to_lowercase()
    return (
        pl.when(word.is_in(TRUE_WORDS))
        .then(pl.lit(True))
        .when(word.is_in(FALSE_WORDS))
        .then(pl.lit(False))
        .otherwise(None)
    )


def _moment(column: pl.Expr, dtype: pl.DataType, options: CastOptions) -> pl.Expr:
    """Local time without zone, in microseconds."""
    if isinstance(dtype, pl.Datetime):
        local = column
        if dtype.time_zone is not None:
            local = column.dt.convert_time_zone(options.timezone).dt.replace_time_zone(None)
        return local.cast(pl.Datetime("us"))
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if options.counts:
        number = column if dtype.is_numeric() else text_value(column, dtype)
        return _counted(number.cast(pl.Float64, strict=False), options)
    return text_value(column, dtype).map_batches(
        lambda text: parse_times(text, options), return_dtype=pl.Datetime("us"), is_elementwise=True
    )


def _counted(number: pl.Expr, options: CastOptions) -> pl.Expr:
    """Local times of numbers; Excel's are local already, and exact to a millisecond."""
    if options.timestamp_format == EXCEL:
        milliseconds = ((number + EXCEL_START) * (EXCEL_DAY // 1000)).round()
        return (milliseconds * 1000).cast(pl.Int64, strict=False).cast(pl.Datetime("us"))
    since = (number * EPOCHS[str(options.timestamp_format)]).round().cast(pl.Int64, strict=False)
    instants = since.cast(pl.Datetime("us", "UTC"))
    return instants.dt.convert_time_zone(options.timezone).dt.replace_time_zone(None)


def parse_times(text: pl.Series, options: CastOptions) -> pl.Series:
    """Local times of texts, null where none of the formats fits.

    Formats are tried in turn on what is still unread, so a uniform column is parsed once.
    """
    if options.timestamp_format is not None:
        return _parse(text, options.timestamp_format, options.timezone)
    text = text.str.replace("T", " ", literal=True)
    times = _parse(text, ISO_FORMATS[0], options.timezone)
    for form in (*ISO_FORMATS[1:], *ISO_ZONED_FORMATS):
        unread = times.is_null() & text.is_not_null()
        if not unread.any():
            break
        places = unread.arg_true()
        times = times.scatter(places, _parse(text.gather(places), form, options.timezone))
    return times


def _parse(text: pl.Series, form: str, timezone: str) -> pl.Series:
    if ZONE.search(form):
        instants = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        return instants.dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    if has_time(form):
        return text.str.to_datetime(form, strict=False, time_unit="us")
    return text.str.to_date(form, strict=False).cast(pl.Datetime("us"))
