"""Read a table once: cast every column, judge every row, and keep both where they can be used again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import cast

import polars as pl

from histories.errors import SchemaError
from histories.money import to_minor
from histories.reading.casts import CastOptions, cast_column, is_castable, text_value
from histories.reading.columns import join_columns, match_columns
from histories.reading.files import reading
from histories.reading.numbers import TO_ONE, NumberOptions, Unit, durations, numbers
from histories.reading.rules import NUMBER, RAW, Rule, first_broken, row_rules
from histories.reading.scan import FILE_STEP, ROW, Scanned, scan_source
from histories.reading.schemas import Kind, Table
from histories.reading.sources import OTHERWISE, TableSource, as_text
from histories.reading.times import TimeOptions, are_dates, beyond_calendars, last_day

RULE = "\x1fbroken rule"
DATE_ONLY = "date_only"
SHARE_OF_MEMORY = 8
"""A table is held in memory when it is smaller than this part of the memory allowed."""
PACKED = 4
"""How much larger a compressed or columnar file is in memory."""
ROWS_SHOWN = 3
PATH_SEPARATOR = " > "
_WIDER = {pl.UInt64, pl.Int128, pl.UInt128}
"""Integers that may be too large for ours: texts, which become whole numbers again where all are."""
ENDS = ("period_end", "end")
"""Dates that end a period: of a month the last day."""
NUMERIC = {Kind.MONEY, Kind.NUMBER, Kind.INTEGER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One source of a table, opened, and where it holds our columns."""

    source: TableSource
    scanned: Scanned
    found: dict[str, str]

    @property
    def left_out(self) -> dict[str, pl.Expr]:
        """For each column that `where` names, whether a row is left out by it."""
        return {
            name: ~text_value(pl.col(name), self.scanned.schema[name])
            .fill_null("")
            .is_in([as_text(word) for word in words])
            for name, words in self.source.where.items()
        }

    @property
    def kept(self) -> pl.LazyFrame:
        """The rows that `where` does not leave out, as they were found."""
        rows = self.scanned.frame
        for left_out in self.left_out.values():
            rows = rows.filter(~left_out)
        return rows

    @property
    def unread(self) -> list[str]:
        """Text columns that no column of ours, and no `where`, names."""
        read, schema = {*self.found.values(), *self.source.where}, self.scanned.schema
        return [name for name in self.scanned.columns if name not in read and schema[name] == pl.String]

    @property
    def numbers(self) -> NumberOptions:
        """How the source writes numbers."""
        decimal = self.source.decimal or ("," if self.source.thousands == "." else ".")
        return NumberOptions(decimal=decimal, thousands=self.source.thousands)

    @property
    def files(self) -> range:
        """Numbers of its files among all files of the table."""
        first = self.scanned.first_file
        return range(first, first + len(self.scanned.file_names))

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """The source's types by our names."""
        given = dict.fromkeys(self.source.constants, pl.String())
        worded = dict.fromkeys(self.source.values, pl.String())
        found = {ours: self.scanned.schema[theirs] for ours, theirs in self.found.items()}
        return {**found, **{ours: worded[ours] for ours in found if ours in worded}, **given}


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A table with typed columns and, for each row, the first rule it breaks (null: valid)."""

    table: Table
    parts: tuple[Part, ...]
    rules: tuple[Rule, ...]
    frame: pl.LazyFrame
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> set[str]:
        """Our columns that some source holds."""
        return {name for part in self.parts for name in part.dtypes}

    @property
    def place(self) -> str:
        """The table's sources in messages."""
        return ", ".join(dict.fromkeys(part.scanned.place for part in self.parts))

    def with_rule(self, rule: Rule) -> Staged:
        """The same rows, judged by one more rule where they broke none so far."""
        judged = pl.coalesce(RULE, pl.when(rule.broken).then(pl.lit(rule.name)))
        return self.with_frame(self.frame.with_columns(judged.alias(RULE)), rule)

    def with_notes(self, *notes: str) -> Staged:
        """The same table with more to say of it."""
        return replace(self, notes=(*self.notes, *notes))

    def with_frame(self, frame: pl.LazyFrame, *rules: Rule) -> Staged:
        """The same table with another frame and further rules."""
        return replace(self, frame=frame, rules=(*self.rules, *rules))

    def shown_rows(self, rows: pl.Series) -> str:
        """The first of some rows in words, with their files where there are several."""
        names = [name for part in self.parts for name in part.scanned.file_names]
        if len(names) == 1:
            plural = "row" if len(rows) == 1 else "rows"
            shown = [str(row) for row in rows.head(ROWS_SHOWN)]
            shown[0] = f"{plural} {shown[0]}"
        else:
            places = (divmod(row, FILE_STEP) for row in rows.head(ROWS_SHOWN))
            shown = [f"{names[file]} row {row}" for file, row in places]
        return ", ".join(shown) + (", ..." if len(rows) > ROWS_SHOWN else "")

    def first_value(self, ours: str, row: int) -> str | None:
        """A value for a message; names and addresses of people are hidden."""
        value = self.found_value(ours, row)
        return None if value is None else hide_people(value)

    def found_value(self, ours: str, row: int) -> str | None:
        """A value as it was found."""
        part = next(part for part in self.parts if row // FILE_STEP in part.files)
        if ours in part.source.constants:
            return as_text(part.source.constants[ours])
        if ours not in part.found:
            return None
        dtype = part.scanned.schema[part.found[ours]]
        if dtype.is_nested():
            return None
        found = part.scanned.frame.filter(pl.col(ROW) == row).select(part.found[ours]).collect().to_series()
        if dtype.is_temporal() and beyond_calendars(found).any():
            return "infinity"
        return None if found.is_empty() else found.cast(pl.String).item()


LONGEST_SHOWN = 60
ZONE = r"\[[A-Z][a-z]+/[A-Z][A-Za-z_]+\]$"
TIME_WORDS = re.compile(
    "(?i)(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)[a-z]*|[ap]m|at|of|[tz]"
)


def hide_people(value: str) -> str:
    """A value for a message, shortened: what may tell a person, such as a name or an address, becomes x.

    That is letters where there is an @, or two words or more that are no time, and digits of a telephone.

    >>> hide_people("ann.smith@mail.com"), hide_people("Ann Smith, 2026"), hide_people("31 March 2026, 10 pm")
    ('xxx.xxxxx@xxxx.xxx', 'Xxx Xxxxx, 2026', '31 March 2026, 10 pm')
    """
    found = re.findall(r"[^\W\d_]+(?:[-_'][^\W\d_]+)*", re.sub(ZONE, "", value))
    words = [word for word in found if not TIME_WORDS.fullmatch(word)]
    if "@" in value or len(words) > 1:
        value = re.sub(r"[^\W\d_]", lambda letter: "X" if letter[0].isupper() else "x", value)
    if re.fullmatch(r"\+[\d ()./-]{8,}", value):
        value = re.sub(r"\d", "x", value)
    return value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}..."


def stage_table(
    table: Table,
    sources: Sequence[TableSource],
    *,
    base_dir: Path,
    work_dir: Path,
    observation_end: date,
    timezone: str,
    memory: int,
) -> Staged:
    """Scan, cast and judge one table, from one source or several.

    A small source is read once and held in memory; a large one is written once, typed, as Parquet in
    `work_dir`.

    Raises
    ------
    DataError, SchemaError, ConfigError
        When a source cannot be read, lacks a column, or has one of the wrong type.
    """
    parts: list[Part] = []
    frames: list[pl.LazyFrame] = []
    rules: dict[str, Rule] = {}
    for source in sources:
        first_file = parts[-1].files.stop if parts else 0
        scanned = scan_source(
            source, table=table.name, base_dir=base_dir, work_dir=work_dir, first_file=first_file
        )
        scanned = join_columns(table, source, scanned)
        part = Part(source=source, scanned=scanned, found=match_columns(table, source, scanned))
        options = _options(table, part, timezone)
        of_rows = (
            _ragged_rules(scanned, table.name, source)
            + _where_rules(part, is_only=len(sources) == 1)
            + row_rules(
                table,
                part.dtypes,
                options=options,
                observation_end=observation_end,
                drops_zero=source.zero_orders == "drop",
            )
        )
        frame = _judge(table, part, options, of_rows)
        frames.append(_hold(frame, f"{table.name}-{len(parts)}", scanned, work_dir, memory))
        if table.keeps_others and scanned.is_text:
            others = [name for name in part.dtypes if name not in table.columns]
            frames[-1] = _with_numbers(frames[-1], others)
        parts.append(part)
        rules |= {rule.name: rule for rule in of_rows}
    frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")
    return Staged(table=table, parts=tuple(parts), rules=tuple(rules.values()), frame=frame)


def _options(table: Table, part: Part, timezone: str) -> CastOptions:
    source = part.source
    times = TimeOptions(timezone=timezone, source_zone=source.timezone, form=source.timestamp_format)
    times.check(f"inputs.{table.name}")
    options = CastOptions(times=times, numbers=part.numbers)
    _refuse_wrong_types(table, part, options)
    kinds = {ours: column.kind for ours, column in table.columns.items()}
    with reading(part.scanned.place, part.scanned.files):
        dates = [
            ours
            for ours, dtype in part.dtypes.items()
            if kinds.get(ours) in {Kind.TIMESTAMP, Kind.DATE}
            and are_dates(part.scanned.frame, _raw(part, ours), dtype, times)
        ]
    return replace(options, dates=frozenset(dates))


def _refuse_wrong_types(table: Table, part: Part, options: CastOptions) -> None:
    for ours, dtype in part.dtypes.items():
        column = table.columns.get(ours)
        if column is not None and not is_castable(dtype, column.kind, options):
            counts = dtype.is_numeric() and column.kind in {Kind.TIMESTAMP, Kind.DATE}
            count = f'say what it counts, inputs.{table.name}.timestamp_format = "epoch_s", "epoch_ms", ...'
            raise SchemaError(
                f'{part.scanned.place}: column "{part.found[ours]}" has the type {dtype}, but '
                f"{table.name}.{ours} is {column.kind.one}. "
                f"{f'Where it is one, {count}; else name' if counts else 'Name'} another column in "
                f"inputs.{table.name}.columns, or convert this one."
            )


def _ragged_rules(scanned: Scanned, name: str, source: TableSource) -> list[Rule]:
    """Rows with more or fewer fields than the header: which value belongs where, nobody knows."""
    than = "the header" if source.has_header else "the first row"
    comma = "A thousands or decimal comma? " if source.separator == "," else ""
    more = (
        f"{comma}If a value holds the separator, have it quoted, or write another separator "
        f"(inputs.{name}.separator)."
    )
    fewer = "Look whether the file was cut, or a line broken in two."
    rules = []
    if below := [row for row, fields in scanned.ragged.items() if not fields]:
        says = "stand below the table, as what a report prints at its end"
        rules.append(Rule(name="footer", broken=pl.col(ROW).is_in(below), says=says, sets_aside=True))
    for word, expected, sign in (("more", more, 1), ("fewer", fewer, -1)):
        rows = [
            row for row, fields in scanned.ragged.items() if fields and (fields - scanned.width) * sign > 0
        ]
        if rows:
            first = f"the first has {scanned.ragged[min(rows)]} under {scanned.width}"
            rules.append(
                Rule(
                    name=f"{word} fields than {than}",
                    broken=pl.col(ROW).is_in(rows),
                    says=f"have {word} fields than {than}: {first}",
                    expected=expected,
                )
            )
    return rules


def _where_rules(part: Part, *, is_only: bool) -> list[Rule]:
    """Rows that `where` leaves out; of several sources each may want other words."""
    rules = []
    for name, words in part.source.where.items():
        wanted = " or ".join(as_text(word) or "an empty field" for word in words)
        says = f'have another "{name}" than {wanted if is_only else "their source is to read"}'
        broken = pl.col(f"{RAW}where {name}")
        rules.append(Rule(name=f"where {name}", broken=broken, says=says, sets_aside=True))
    return rules


def _judge(table: Table, part: Part, options: CastOptions, rules: list[Rule]) -> pl.LazyFrame:
    dtypes = part.dtypes
    raw = part.scanned.frame.select(
        ROW,
        *(_raw(part, ours).alias(RAW + ours) for ours in dtypes),
        *(out.alias(f"{RAW}where {name}") for name, out in part.left_out.items()),
    )
    counted = [name for name in dtypes if name in table.columns and table.columns[name].kind in NUMERIC]
    raw = raw.with_columns(
        _number(table, part, name, dtypes[name], options).alias(NUMBER + name) for name in counted
    )
    casts = [_cast(table, ours, dtype, options).alias(ours) for ours, dtype in dtypes.items()]
    typed = raw.with_columns(casts).with_columns(
        ~pl.col(ours) if table.columns[ours].kind is Kind.BOOLEAN else -pl.col(ours)
        for ours in part.source.negate
    )
    typed = typed.with_columns(_derived(table, dtypes, options))
    if table.name == "paths":
        channels = (
            pl.col("path").str.split(part.source.path_separator).list.eval(pl.element().str.strip_chars())
        )
        typed = typed.with_columns(channels.list.join(PATH_SEPARATOR).alias("path"))
    ours = [name for name in typed.collect_schema() if not name.startswith((RAW, NUMBER)) and name != ROW]
    return typed.with_columns(first_broken(rules).alias(RULE)).select(ROW, RULE, *ours)


def _raw(part: Part, ours: str) -> pl.Expr:
    """A column as it was found: a NaN is a missing value; words that `values` names become what they mean."""
    if ours in part.source.constants:
        return pl.lit(as_text(part.source.constants[ours]))
    theirs = part.found[ours]
    dtype = part.scanned.schema[theirs]
    found = pl.col(theirs).fill_nan(None) if dtype.is_float() else pl.col(theirs)
    if ours in part.source.values:
        meanings = {word: as_text(value) for word, value in part.source.values[ours].items()}
        words = text_value(found, dtype)
        if OTHERWISE not in meanings:
            return words.replace(meanings)
        otherwise = meanings.pop(OTHERWISE)
        known = words.replace_strict(meanings, default=otherwise, return_dtype=pl.String)
        return pl.when(words.is_not_null()).then(known)
    return found


def _cast(table: Table, ours: str, dtype: pl.DataType, options: CastOptions) -> pl.Expr:
    found = pl.col(RAW + ours)
    column = table.columns.get(ours)
    if column is None:
        return text_value(found, dtype) if dtype in {pl.String, pl.Binary} else found
    if column.keeps_integers and dtype.is_integer():
        return found.cast(pl.String if dtype in _WIDER else pl.Int64)
    if column.kind in NUMERIC:
        return cast_column(pl.col(NUMBER + ours), pl.Float64(), column.kind, options)
    read = cast_column(found, dtype, column.kind, options, as_dates=ours in options.dates)
    ends = column.kind is Kind.DATE and ours in ENDS and dtype == pl.String
    return last_day(read, options.times.form) if ends else read


def _number(table: Table, part: Part, ours: str, dtype: pl.DataType, options: CastOptions) -> pl.Expr:
    found, unit = pl.col(RAW + ours), table.columns[ours].measures
    text = found if dtype.is_numeric() else text_value(found, dtype, Kind.NUMBER).cast(pl.String)
    given = part.source.units.get(ours)
    if unit is None:
        number = text.cast(pl.Float64) if dtype.is_numeric() else numbers(text, options.numbers)
        return number if given is None else number / TO_ONE[given]
    return durations(text.cast(pl.String), options.numbers, ours=unit, given=cast("Unit | None", given))


def _derived(table: Table, dtypes: dict[str, pl.DataType], options: CastOptions) -> Iterable[pl.Expr]:
    """What follows from the columns that are there."""
    if table.name == "transactions" and "amount" not in dtypes:
        yield to_minor(pl.col("quantity") * pl.col("unit_price")).alias("amount")
    if table.name == "touchpoints":
        yield _date_only(dtypes["timestamp"], options)
        if "customer_id" not in dtypes:
            yield pl.lit(None, dtype=pl.String).alias("customer_id")
    if table.name == "posts" and "inbound" in dtypes and "is_brand" not in dtypes:
        yield (~pl.col("inbound")).alias("is_brand")
    if table.name == "cases":
        for minutes, at in (
            ("first_response_minutes", "first_response_at"),
            ("resolution_minutes", "resolved_at"),
        ):
            if minutes in dtypes:
                later = pl.col("opened_at") + pl.duration(microseconds=(pl.col(minutes) * 6e7).round())
                is_elapsed = pl.when(pl.col("clock").str.to_lowercase() == "calendar").then(later)
                yield (pl.coalesce(at, is_elapsed) if at in dtypes else is_elapsed).alias(at)


def _date_only(dtype: pl.DataType, options: CastOptions) -> pl.Expr:
    """Whether a touch is known by its date only: by its type, its format, or the length of the text."""
    found = pl.col(RAW + "timestamp")
    if "timestamp" in options.dates:
        return pl.lit(True).alias(DATE_ONLY)
    if dtype == pl.String and options.times.form is None:
        return (
            (text_value(found, dtype).str.len_bytes() <= len("2026-01-31")).fill_null(False).alias(DATE_ONLY)
        )
    return pl.lit(False).alias(DATE_ONLY)


def _hold(frame: pl.LazyFrame, name: str, scanned: Scanned, work_dir: Path, memory: int) -> pl.LazyFrame:
    with reading(scanned.place, scanned.files):
        size = scanned.size * (PACKED if scanned.is_packed else 1)
        if size < memory // SHARE_OF_MEMORY:
            return frame.collect().lazy()
        file = work_dir / f"{name}.parquet"
        frame.sink_parquet(file, compression="lz4")
        return pl.scan_parquet(file, glob=False)


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
