"""Open a source as a lazy frame with a row number, whatever its format; nothing is checked yet.

All columns of a text file are read as text, so that a bad value can be shown as it was found.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from histories.errors import ConfigError, DataError
from histories.reading.files import (
    PARQUET_SUFFIXES,
    TEXT_SUFFIXES,
    digest,
    find_files,
    first_line,
    reading,
    refuse_empty,
    suffix,
)
from histories.reading.sources import TableSource, without_password

__all__ = ["FILE", "ROW", "Scanned", "scan_source"]

ROW = "source row"
FILE = "source file"
NOT_IN_TEXT = "\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A source, opened: its columns beside the row (from 1, through all files) and the file of each."""

    frame: pl.LazyFrame
    schema: pl.Schema
    place: str
    is_text: bool
    files: tuple[Path, ...]
    size: int
    is_packed: bool
    sha256: str

    @property
    def columns(self) -> list[str]:
        """The source's own columns, in order."""
        return [name for name in self.schema if name not in {ROW, FILE}]


def scan_source(source: TableSource, *, table: str, base_dir: Path) -> Scanned:
    """Open the source of one table.

    Raises
    ------
    DataError
        When there is no such file, it is empty, or it cannot be read.
    ConfigError
        When a format needs a package that is not installed.
    """
    if source.format == "postgresql" or source.path.startswith(("postgresql://", "postgres://")):
        return _scan_database(source, table)
    files = find_files(source, table, base_dir)
    place = _place(source, files)
    kind = _format(source, files, place)
    if kind == "delta":
        frame = _scan_delta(files[0], place)
    else:
        refuse_empty(files, table, place)
        frame = _scan_text(source, files, place) if kind == "csv" else _scan_parquet(files)
    with reading(place):
        schema = frame.collect_schema()
    data = [file for file in files if file.is_file()] or sorted(files[0].rglob("*.parquet"))
    return Scanned(
        frame=frame,
        schema=schema,
        place=place,
        is_text=kind == "csv",
        files=tuple(data),
        size=sum(file.stat().st_size for file in data),
        is_packed=kind != "csv" or any(file.suffix.lower() in {".gz", ".zst"} for file in data),
        sha256=digest(data),
    )


def _format(source: TableSource, files: list[Path], place: str) -> str:
    if source.format != "auto":
        return source.format
    if files[0].is_dir():
        return "delta"
    kinds = {"parquet" if suffix(file) in PARQUET_SUFFIXES else suffix(file) for file in files}
    if kinds == {"parquet"}:
        return "parquet"
    if kinds <= set(TEXT_SUFFIXES):
        return "csv"
    raise ConfigError(
        f"{place}: the format is not known by its name ({', '.join(sorted(kinds))}). "
        "Set `format` to csv, parquet, delta or postgresql."
    )


def _place(source: TableSource, files: list[Path]) -> str:
    return files[0].name if len(files) == 1 else source.path


def _scan_parquet(files: list[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(
        files,
        row_index_name=ROW,
        row_index_offset=1,
        include_file_paths=FILE,
        glob=False,
        missing_columns="insert",
        extra_columns="ignore",
    )


def _scan_text(source: TableSource, files: list[Path], place: str) -> pl.LazyFrame:
    if source.separator == "whitespace":
        return _scan_blank_separated(source, files, place)
    width = None if source.has_header else first_line(files[0], place).count(source.separator) + 1
    with reading(place):
        return pl.scan_csv(
            files,
            separator=source.separator,
            has_header=source.has_header,
            infer_schema=False,
            new_columns=None if width is None else _positions(width),
            row_index_name=ROW,
            row_index_offset=1,
            include_file_paths=FILE,
            truncate_ragged_lines=True,
            encoding="utf8-lossy",
            glob=False,
        )


def _scan_blank_separated(source: TableSource, files: list[Path], place: str) -> pl.LazyFrame:
    first = first_line(files[0], place).split()
    names = first if source.has_header else _positions(len(first))
    lines = pl.scan_csv(
        files,
        separator=NOT_IN_TEXT,
        quote_char=None,
        has_header=False,
        skip_rows=int(source.has_header),
        infer_schema=False,
        new_columns=["line"],
        row_index_name=ROW,
        row_index_offset=1,
        include_file_paths=FILE,
        encoding="utf8-lossy",
        glob=False,
    )
    fields = (
        pl.col("line").str.strip_chars().str.replace_all(r"\s+", "\t").str.split_exact("\t", len(names) - 1)
    )
    return lines.select(ROW, FILE, fields.struct.rename_fields(names).alias("fields")).unnest("fields")


def _positions(width: int) -> list[str]:
    return [str(position) for position in range(1, width + 1)]


def _scan_delta(folder: Path, place: str) -> pl.LazyFrame:
    _require("deltalake", place)
    return pl.scan_delta(str(folder)).with_row_index(ROW, offset=1).with_columns(pl.lit(place).alias(FILE))


def _scan_database(source: TableSource, table: str) -> Scanned:
    place = f"inputs.{table} (database)"
    if not any(importlib.util.find_spec(name) for name in ("connectorx", "adbc_driver_postgresql")):
        _require("connectorx", place)
    query = source.query or f"SELECT * FROM {table}"
    engine: Literal["adbc", "connectorx"] = "connectorx"
    if importlib.util.find_spec("adbc_driver_postgresql"):
        engine = "adbc"
    try:
        rows = pl.read_database_uri(query, source.path, engine=engine, schema_overrides=None)
    except Exception as error:  # each driver raises its own kind
        first = without_password(str(error)).strip().splitlines()
        raise DataError(f"{place} cannot be read ({first[0] if first else 'no reason given'}).") from error
    # ADBC gives types that Arrow lacks, such as PostgreSQL's numeric, as text with a label.
    labelled = [name for name, dtype in rows.schema.items() if dtype.is_extension()]
    plain = rows.with_columns(pl.col(name).ext.storage() for name in labelled)
    frame = plain.with_row_index(ROW, offset=1).with_columns(pl.lit(place).alias(FILE))
    return Scanned(
        frame=frame.lazy(),
        schema=frame.schema,
        place=place,
        is_text=False,
        files=(),
        size=int(frame.estimated_size()),
        is_packed=False,
        sha256=hashlib.sha256(query.encode()).hexdigest(),
    )


def _require(package: str, place: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"{place}: this source needs the package {package}, which is not installed. "
            f"Install it (pip install {package}), or export the table as Parquet or CSV."
        )
