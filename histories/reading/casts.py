"""Turn what a source holds into our types, value by value; what cannot be read becomes null.

Null after the cast and not null before is how the checks find an unreadable value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from histories.money import to_minor
from histories.reading.numbers import NumberOptions, numbers
from histories.reading.schemas import Kind
from histories.reading.times import TimeOptions, moments

TRUE_WORDS = (
    *(
        "true",
        "1",
        "yes",
        "t",
        "y",
        "1.0",
        "on",
        "ja",
        "wahr",
        "oui",
        "vrai",
        "sí",
        "verdadero",
        "sim",
        "evet",
    ),
)
FALSE_WORDS = (
    *("false", "0", "no", "f", "n", "0.0", "off", "nein", "falsch", "non", "faux", "falso", "não", "hayır"),
)
LARGEST_INTEGER = 2.0**53

_NO_VALUE = (
    *("null", "nan", "na", "n/a", "none", "undefined", "nil", "empty", "missing", "not set", "(not set)"),
    *("(null)", "(empty)", "(none)", "<na>", "#n/a", "-", "--", "–", "—", "\\N", "[null]", "nat"),
)
NO_VALUE = tuple(
    sorted(
        {form for word in _NO_VALUE for form in (word, word.upper(), word.capitalize())}
        | {"NaN", "NaT", "<NA>", "N/A", "\\N"}
    )
)
"""Words by which programs say that there is no value, in the spellings that are met."""
NO_TEXT = ("NULL", "null", "NaN", "nan", "<NA>", "#N/A", "\\N", "(null)", "[NULL]")
"""Those that no text means: NA is also Namibia, and "none" an answer."""
NO_DAY = ("0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00", "00000000", "00.00.0000", "00/00/0000")
"""Dates by which MySQL and SAP say that there is none."""
_NOTHING: Mapping[Kind, tuple[str, ...]] = {
    **{Kind.TEXT: NO_TEXT, Kind.STATE: ()},
    **dict.fromkeys((Kind.TIMESTAMP, Kind.DATE), (*NO_VALUE, *NO_DAY)),
}
"""The same by kind: a journey that ends without an outcome goes on to (null)."""
_WORDS = {Kind.ID, Kind.TEXT, Kind.STATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class CastOptions:
    """How a source writes times and numbers; `dates` are columns of ours whose times are all midnights."""

    times: TimeOptions = field(default_factory=TimeOptions)
    numbers: NumberOptions = field(default_factory=NumberOptions)
    dates: frozenset[str] = frozenset()


def is_castable(dtype: pl.DataType, kind: Kind, options: CastOptions) -> bool:
    """Whether a column of this type can hold values of this kind at all."""
    if _is_text(dtype):
        return True
    if kind in _WORDS:
        return dtype.is_numeric() or (kind is not Kind.ID and dtype in {pl.Boolean, pl.Date})
    if kind in {Kind.INTEGER, Kind.NUMBER, Kind.MONEY}:
        return dtype.is_numeric()
    if kind is Kind.BOOLEAN:
        return dtype == pl.Boolean or dtype.is_numeric()
    if dtype.is_numeric():
        return options.times.counts or (dtype.is_integer() and options.times.form is not None)
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def _is_text(dtype: pl.DataType) -> bool:
    """Whether values are texts: bytes too, as old writers of Parquet store them, read as UTF-8."""
    return dtype in {pl.String, pl.Null, pl.Binary} or isinstance(dtype, (pl.Categorical, pl.Enum))


def text_value(column: pl.Expr, dtype: pl.DataType, kind: Kind = Kind.TEXT) -> pl.Expr:
    """The value as text without blanks around it; null when it is empty or says that there is none."""
    if dtype == pl.Null or not _is_text(dtype):
        return column.cast(pl.String)
    text = column if dtype == pl.String else column.cast(pl.String, strict=False)
    stripped = text.str.strip_chars()
    if kind is Kind.ID:
        stripped = stripped.str.strip_chars_start("\ufeff")  # of a file that was put behind another
    return pl.when((stripped != "") & ~stripped.is_in(_NOTHING.get(kind, NO_VALUE))).then(stripped)


def cast_column(
    column: pl.Expr, dtype: pl.DataType, kind: Kind, options: CastOptions, *, as_dates: bool = False
) -> pl.Expr:
    """The column in our type, null where a value cannot be read.

    An id that some program has turned into a decimal number (17.0) is the whole number again.
    """
    if kind is Kind.ID and dtype.is_float():
        whole = (column == column.round()) & (column.abs() <= LARGEST_INTEGER)
        return pl.when(whole).then(column).cast(pl.Int64, strict=False).cast(pl.String)
    if kind is Kind.ID and dtype.is_decimal():
        return pl.when(column == column.round()).then(column.cast(pl.Int64, strict=False)).cast(pl.String)
    is_text = _is_text(dtype)
    found = text_value(column, dtype, kind) if is_text else column
    if kind in _WORDS:
        return found.cast(pl.String)
    if kind in {Kind.TIMESTAMP, Kind.DATE}:
        moment = moments(found, pl.String() if is_text else dtype, options.times, as_dates=as_dates)
        return moment.dt.date() if kind is Kind.DATE else moment
    if kind is Kind.BOOLEAN:
        return _flag(found, dtype)
    number = numbers(found, options.numbers) if is_text else found.cast(pl.Float64)
    if kind is Kind.MONEY:
        return to_minor(number)
    if kind is Kind.INTEGER:
        whole = (number == number.round()) & (number.abs() < LARGEST_INTEGER)
        return pl.when(whole).then(number).cast(pl.Int64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _flag(found: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean:
        return found
    word = found.cast(pl.String).str.to_lowercase()
    return (
        pl.when(word.is_in(TRUE_WORDS))
        .then(pl.lit(True))
        .when(word.is_in(FALSE_WORDS))
        .then(pl.lit(False))
        .otherwise(None)
    )
