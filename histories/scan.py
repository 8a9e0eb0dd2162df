"""Open a source as a lazy frame with a row number, whatever its format; nothing is checked yet.

All columns of a text file are read as text, so that a bad value can be shown as it was found.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import polars as pl
import polars.exceptions as polars_errors

from histories.errors import ConfigError, DataError, nearest
from histories.sources import TableSource, without_password

__all__ = ["FILE", "ROW", "Scanned", "package_file", "reading", "scan_source"]

ROW = "source row"
FILE = "source file"
PACKAGE = "package:"
NOT_IN_TEXT = "\x01"
TEXT_SUFFIXES = (".csv", ".txt", ".tsv", ".dat")
PARQUET_SUFFIXES = (".parquet", ".pq")


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
    files = _find_files(source, table, base_dir)
    place = _place(source, files)
    kind = _format(source, files, place)
    if kind == "delta":
        frame = _scan_delta(files[0], place)
    else:
        _refuse_empty(files, table, place)
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
        sha256=_digest(data),
    )


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Turn what Polars says of an unreadable file into a message with the file's name.

    Raises
    ------
    DataError
        In place of an error of Polars or of the file system.
    """
    try:
        yield
    except (polars_errors.PolarsError, OSError, UnicodeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{place} cannot be read ({first}). "
            "Check that it is complete and that its `format` and `separator` are right."
        ) from error


def _find_files(source: TableSource, table: str, base_dir: Path) -> list[Path]:
    if source.path.startswith(PACKAGE):
        return [package_file(source.path.removeprefix(PACKAGE))]
    path = base_dir / Path(source.path).expanduser()
    if path.is_dir():
        if (path / "_delta_log").is_dir():
            return [path]
        files = sorted(file for file in path.rglob("*") if _is_data(file, path))
    elif any(letter in source.path for letter in "*?["):
        pattern = path.relative_to(path.anchor) if path.is_absolute() else path
        files = sorted(file for file in Path(path.anchor).glob(str(pattern)) if file.is_file())
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise DataError(_no_file(path, table, source.path))
    return files


def package_file(name: str) -> Path:
    """A file that an installed package ships, from "package/folder/file"; the package is not imported.

    Raises
    ------
    ConfigError
        When the package is not installed.
    DataError
        When it has no such file.
    """
    package, _, inside = name.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f'"{PACKAGE}{name}": the package {package} is not installed. Install it (pip install {package}).'
        )
    file = Path(found.submodule_search_locations[0]) / inside
    if not file.is_file():
        raise DataError(f'"{PACKAGE}{name}": the package {package} ships no file "{inside}".')
    return file


def _is_data(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts)
    return file.is_file() and not hidden and _suffix(file) in (*TEXT_SUFFIXES, *PARQUET_SUFFIXES)


def _no_file(path: Path, table: str, given: str) -> str:
    folder = path.parent
    beside = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    if not folder.is_dir():
        hint = "its folder does not exist"
    elif beside and not any(letter in path.name for letter in "*?["):
        hint = nearest(path.name, beside) if len(beside) <= 20 else "it is not in its folder"
    else:
        hint = "nothing matches"
    return (
        f'inputs.{table}: no file "{given}" ({hint}). Paths are relative to the configuration file; '
        f"correct inputs.{table}.path or leave the table out."
    )


def _suffix(file: Path) -> str:
    name = file.name.lower().removesuffix(".gz").removesuffix(".zst")
    return Path(name).suffix


def _format(source: TableSource, files: list[Path], place: str) -> str:
    if source.format != "auto":
        return source.format
    if files[0].is_dir():
        return "delta"
    kinds = {"parquet" if _suffix(file) in PARQUET_SUFFIXES else _suffix(file) for file in files}
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


def _refuse_empty(files: list[Path], table: str, place: str) -> None:
    if all(file.stat().st_size == 0 for file in files):
        raise DataError(
            f"{place} is empty (0 bytes). Export it again, or leave inputs.{table} out of the configuration."
        )


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
    width = None if source.has_header else _first_line(files[0], place).count(source.separator) + 1
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
    first = _first_line(files[0], place).split()
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


def _first_line(file: Path, place: str) -> str:
    with reading(place), _open(file) as lines:
        text = (line.decode("utf-8-sig", errors="replace").strip("\r\n") for line in lines)
        first = next((line for line in text if line.strip()), None)
    if first is None:
        raise DataError(f"{place} holds only empty lines. Export it again.")
    return first


def _open(file: Path) -> BinaryIO:
    with file.open("rb") as start:
        is_gzip = start.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(file, "rb")) if is_gzip else file.open("rb")


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


def _digest(files: list[Path]) -> str:
    """SHA-256 of one file, or of the digests of several in the order of their names."""
    digests = []
    for file in files:
        with file.open("rb") as content:
            digests.append(hashlib.file_digest(content, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
