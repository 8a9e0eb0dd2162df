"""Read a table once: cast every column, judge every row, and keep both where they can be used again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from histories.errors import SchemaError
from histories.money import to_minor
from histories.reading.casts import CastOptions, cast_column, has_time, is_castable, text_value
from histories.reading.columns import match_columns
from histories.reading.files import reading
from histories.reading.rules import RAW, Rule, first_broken, row_rules
from histories.reading.scan import FILE, ROW, Scanned, scan_source
from histories.reading.schemas import Table
from histories.reading.sources import TableSource

__all__ = ["RULE", "Staged", "stage_table"]

RULE = "broken rule"
DATE_ONLY = "date_only"
SHARE_OF_MEMORY = 8
"""A table is held in memory when it is smaller than this part of the memory allowed."""
PACKED = 4
"""How much larger a compressed or columnar file is in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A table with typed columns and, for each row, the first rule it breaks (null: valid)."""

    table: Table
    source: TableSource
    scanned: Scanned
    found: dict[str, str]
    rules: tuple[Rule, ...]
    frame: pl.LazyFrame

    def with_rule(self, rule: Rule) -> Staged:
        """The same rows, judged by one more rule where they broke none so far."""
        judged = pl.coalesce(RULE, pl.when(rule.broken).then(pl.lit(rule.name)))
        return self.with_frame(self.frame.with_columns(judged.alias(RULE)), rule)

    def with_frame(self, frame: pl.LazyFrame, *rules: Rule) -> Staged:
        """The same table with another frame and further rules."""
        return replace(self, frame=frame, rules=(*self.rules, *rules))


def stage_table(
    table: Table,
    source: TableSource,
    *,
    base_dir: Path,
    work_dir: Path,
    observation_end: date,
    timezone: str,
    memory: int,
) -> Staged:
    """Scan, cast and judge one table.

    A small source, and any text, is read once and held (in memory, or as Parquet in `work_dir`); a large
    Parquet source stays lazy.

    Raises
    ------
    DataError, SchemaError, ConfigError
        When the source cannot be read, lacks a column, or has one of the wrong type.
    """
    scanned = scan_source(source, table=table.name, base_dir=base_dir)
    found = match_columns(table, source, scanned)
    options = CastOptions(timezone=timezone, timestamp_format=source.timestamp_format)
    dtypes = {ours: scanned.schema[theirs] for ours, theirs in found.items()}
    _refuse_wrong_types(table, scanned, found, dtypes, options)
    rules = row_rules(
        table,
        dtypes,
        options=options,
        observation_end=observation_end,
        drops_zero=source.zero_orders == "drop",
    )
    frame = _judge(table, scanned, found, dtypes, options, rules)
    kept = _hold(frame, table.name, scanned, work_dir, memory)
    if table.keeps_others and scanned.is_text:
        kept = _with_numbers(kept, [name for name in found if name not in table.columns])
    return Staged(table=table, source=source, scanned=scanned, found=found, rules=tuple(rules), frame=kept)


def _refuse_wrong_types(
    table: Table,
    scanned: Scanned,
    found: dict[str, str],
    dtypes: dict[str, pl.DataType],
    options: CastOptions,
) -> None:
    for ours, dtype in dtypes.items():
        column = table.columns.get(ours)
        if column is not None and not is_castable(dtype, column.kind, options):
            raise SchemaError(
                f'{scanned.place}: column "{found[ours]}" has the type {dtype}, but {table.name}.{ours} is '
                f"{column.kind.one}. Name another column in inputs.{table.name}.columns, or convert this one."
            )


def _judge(
    table: Table,
    scanned: Scanned,
    found: dict[str, str],
    dtypes: dict[str, pl.DataType],
    options: CastOptions,
    rules: list[Rule],
) -> pl.LazyFrame:
    raw = scanned.frame.select(
        ROW, FILE, *(_found(theirs, dtypes[ours]).alias(RAW + ours) for ours, theirs in found.items())
    )
    casts = [_cast(table, ours, dtype, options).alias(ours) for ours, dtype in dtypes.items()]
    typed = raw.with_columns(casts)
    if table.name == "transactions" and "amount" not in found:
        typed = typed.with_columns(to_minor(pl.col("quantity") * pl.col("unit_price")).alias("amount"))
    if table.name == "touchpoints":
        typed = _with_customer(typed, found).with_columns(_date_only(dtypes["timestamp"], options))
    extra = [name for name in ("amount", "customer_id", DATE_ONLY) if name in typed.collect_schema()]
    ours = list(dict.fromkeys([*found, *extra]))
    return typed.with_columns(first_broken(rules).alias(RULE)).select(ROW, RULE, *ours)


def _found(theirs: str, dtype: pl.DataType) -> pl.Expr:
    """The source's column; a NaN in it is a missing value."""
    return pl.col(theirs).fill_nan(None) if dtype.is_float() else pl.col(theirs)


def _cast(table: Table, ours: str, dtype: pl.DataType, options: CastOptions) -> pl.Expr:
    found = pl.col(RAW + ours)
    column = table.columns.get(ours)
    if column is None:
        return text_value(found, dtype) if dtype == pl.String else found
    if column.keeps_integers and dtype.is_integer():
        return found.cast(pl.Int64)
    return cast_column(found, dtype, column.kind, options)


def _with_customer(typed: pl.LazyFrame, found: dict[str, str]) -> pl.LazyFrame:
    if "customer_id" in found:
        return typed
    return typed.with_columns(pl.lit(None, dtype=pl.String).alias("customer_id"))


def _date_only(dtype: pl.DataType, options: CastOptions) -> pl.Expr:
    """Whether a touch is known by its date only: by its type, its format, or the length of the text."""
    found = pl.col(RAW + "timestamp")
    if dtype == pl.Date or options.dated_only or dtype.is_integer():
        return pl.lit(True).alias(DATE_ONLY)
    if dtype == pl.String and not (options.timestamp_format and has_time(options.timestamp_format)):
        return (
            (text_value(found, dtype).str.len_bytes() <= len("2026-01-31")).fill_null(False).alias(DATE_ONLY)
        )
    return pl.lit(False).alias(DATE_ONLY)


def _hold(frame: pl.LazyFrame, name: str, scanned: Scanned, work_dir: Path, memory: int) -> pl.LazyFrame:
    with reading(scanned.place):
        size = scanned.size * (PACKED if scanned.is_packed else 1)
        if size < memory // SHARE_OF_MEMORY:
            return frame.collect().lazy()
        if scanned.is_text:
            file = work_dir / f"{name}.parquet"
            frame.sink_parquet(file, compression="lz4")
            return pl.scan_parquet(file)
    return frame


def _with_numbers(frame: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """Further columns of a text file as numbers where every value is one (and none has a leading zero)."""
    if not names:
        return frame

    def is_number(name: str) -> pl.Expr:
        text = pl.col(name)
        number = text.cast(pl.Float64, strict=False).is_finite().fill_null(False)
        padded = text.str.contains(r"^-?0\d")
        return (text.is_null() | (number & ~padded)).all() & text.is_not_null().any()

    flags = frame.select(is_number(name).alias(name) for name in names).collect().row(0, named=True)
    return frame.with_columns(pl.col(name).cast(pl.Float64) for name, is_it in flags.items() if is_it)


def first_value(staged: Staged, ours: str, row: int) -> str | None:
    """A value as it was found, for a message."""
    column = staged.found.get(ours)
    if column is None:
        return None
    value = staged.scanned.frame.filter(pl.col(ROW) == row).select(pl.col(column).cast(pl.String)).collect()
    return None if value.is_empty() else value.item()
