"""The own table of a design: read as input tables are, with numbers, flags and dates as such."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from attribution.effects.design import EffectDesign
from histories.arrays import Float
from histories.errors import ConfigError, DataError, SchemaError, TributaryError, nearest
from histories.reading.casts import FALSE_WORDS, TRUE_WORDS, CastOptions, cast_column, text_value
from histories.reading.columns import SEPARATORS
from histories.reading.files import reading
from histories.reading.numbers import NumberOptions, numbers, why_unreadable
from histories.reading.scan import scan_source
from histories.reading.schemas import Kind
from histories.reading.staging import Part, hide_people
from histories.reading.times import TimeOptions, why_no_time

OVER_TIME = ("interrupted_series", "synthetic_control")
"""Designs whose table has a row per date."""
_TABLE = "units"


def read_table(design: EffectDesign, base_dir: Path) -> pl.DataFrame:
    """The table of a design under our names, read as input tables are; texts that are numbers become such.

    Raises
    ------
    ConfigError, DataError
        When there is none, it cannot be read, or rows have more or fewer fields than its header.
    """
    place = f'effect "{design.name}"'
    if design.table is None:
        raise ConfigError(f"{place}: no table = {{ path = … }} given")
    try:
        with TemporaryDirectory(prefix="tributary-") as folder:
            scanned = scan_source(design.table, table=_TABLE, base_dir=base_dir, work_dir=Path(folder))
            renames = {str(theirs): ours for ours, theirs in (design.table.columns or {}).items()}
            require_columns(scanned.columns, (*renames, *design.table.where), f"{place}, {scanned.place}")
            part = Part(source=design.table, scanned=scanned, found={})
            with reading(scanned.place):
                frame = part.kept.select(scanned.columns).collect()
    except TributaryError as error:
        raise type(error)(str(error).replace(f"inputs.{_TABLE}", f"{place}, table")) from None
    if scanned.ragged:
        raise DataError(
            f"{place}, {scanned.place}: {len(scanned.ragged)} rows have more or fewer fields than the header "
            f"(first: row {min(scanned.ragged)}). A thousands or decimal comma, or a wrong separator?"
        )
    frame = frame.rename(renames)
    if design.design in OVER_TIME and frame.schema.get("date") == pl.String:
        frame = _dated(frame, TimeOptions(form=design.table.timestamp_format), place)
    return _typed(frame, part.numbers) if scanned.is_text else frame


def _typed(frame: pl.DataFrame, options: NumberOptions) -> pl.DataFrame:
    """Texts as numbers or flags where all of a column's are; a unit's id stays as it is written."""
    typed = []
    for series in frame:
        if series.dtype != pl.String:
            typed.append(series)
            continue
        words = pl.select(text_value(pl.lit(series), pl.String(), Kind.NUMBER)).to_series()
        told = words.drop_nulls()
        if series.name == "unit" or told.str.contains(r"^[+-]?0\d").any() or told.is_empty():
            typed.append(pl.select(text_value(pl.lit(series), pl.String())).to_series())
        elif told.str.to_lowercase().is_in(["true", "false"]).all():
            typed.append(words.str.to_lowercase() == "true")
        elif (
            read := pl.select(numbers(pl.lit(words), options)).to_series()
        ).null_count() == words.null_count():
            whole = told.str.contains(r"^[+-]?\d{1,15}$").all()
            typed.append(read.cast(pl.Int64) if whole else read)
        else:
            typed.append(pl.select(text_value(pl.lit(series), pl.String())).to_series())
    return pl.DataFrame([made.alias(name) for made, name in zip(typed, frame.columns, strict=True)])


def _dated(frame: pl.DataFrame, times: TimeOptions, place: str) -> pl.DataFrame:
    """The frame with `date` as dates.

    Raises
    ------
    DataError
        When one cannot be read, with the format that would.
    """
    day = cast_column(pl.col("date"), pl.String(), Kind.DATE, CastOptions(times=times))
    dated = frame.with_columns(day.alias("date"))
    lost = dated["date"].is_null()
    if lost.any():
        value = str(frame["date"].filter(lost)[0])
        shown = hide_people(value)
        why = why_no_time(value, times, f"{place}, table") if value == shown else ""
        raise DataError(
            f'{place}: {lost.sum()} of {frame.height} rows have no readable date (first: "{shown}"). '
            f"{why or 'Expected ISO dates; set timestamp_format beside path otherwise.'}"
        )
    return dated


def require_columns(there: Sequence[str], columns: Iterable[str], place: str) -> None:
    """Refuse a table that lacks a column, naming the nearest one."""
    for name in columns:
        if name not in there:
            mark = next((mark for mark in SEPARATORS if len(there) == 1 and mark in there[0]), None)
            hint = nearest(name, there) if mark is None else f'is separator = "{mark}" missing in its table?'
            raise SchemaError(f'{place}: no column "{name}"; {hint}')


def outcome_numbers(frame: pl.DataFrame, name: str, place: str) -> Float:
    """A numeric column as floats, missing as NaN."""
    series = frame[name]
    if series.dtype == pl.String:
        series = _flags(series, name, place)
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        raise SchemaError(
            f'{place}: outcome "{name}" is {series.dtype}, expected a number or a flag in each row.'
        )
    values = np.asarray(series.cast(pl.Float64).fill_null(np.nan).to_numpy(), dtype=np.float64)
    endless = int(np.isinf(values).sum())
    if endless:
        raise DataError(
            f'{place}: outcome "{name}" is infinite in {endless} of {values.size} rows. Look for a division '
            "by zero where the table is made."
        )
    return values


def _flags(texts: pl.Series, name: str, place: str) -> pl.Series:
    """Flags of an outcome that is written as yes and no.

    Raises
    ------
    SchemaError
        With the first text that is no flag, and no number.
    """
    words = texts.str.to_lowercase().str.strip_chars()
    if words.drop_nulls().is_in([*TRUE_WORDS, *FALSE_WORDS]).all():
        return pl.Series(name, words.is_in(list(TRUE_WORDS)).set(words.is_null(), None))
    read = pl.select(numbers(pl.lit(texts), NumberOptions())).to_series()
    lost = texts.filter(read.is_null() & texts.is_not_null())
    value = str(lost.first())
    why = why_unreadable(value, NumberOptions(), f"{place}, table") if value == hide_people(value) else ""
    raise SchemaError(
        f'{place}: outcome "{name}" is no number and no flag in {lost.len()} of {texts.len()} rows (first: '
        f'"{hide_people(value)}"). {why or "Mend them, or leave them empty."}'
    )
