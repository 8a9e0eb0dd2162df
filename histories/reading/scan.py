"""Open a source as a lazy frame with a row number, whatever its format; nothing is checked yet.

All columns of a text file are read as text, so that a bad value can be shown as it was found. JSON is
objects, one a line or in one list; an inner value has a dotted name, as `statistics.reply_at`.
"""

from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import polars as pl

from histories.errors import ConfigError, DataError, nearest
from histories.reading.databases import is_database, read_database
from histories.reading.files import (
    JSON_SUFFIXES,
    PARQUET_SUFFIXES,
    TEXT_SUFFIXES,
    digest,
    find_files,
    open_bytes,
    reading,
    refuse_empty,
    suffix,
)
from histories.reading.objects import fetch_objects, is_object
from histories.reading.sources import TableSource
from histories.reading.text import FURTHER, encoding_of, open_text

ROW = "\x1fsource row"
"""The row of each row in its file, from 1, plus `FILE_STEP` times the number of the file."""

FILE_STEP = 2**32
FILES_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A source, opened: its columns beside the place (`ROW`) of each row.

    `first_file` is the number of its first file among all files of the table; `ragged` holds the number of
    fields of each row of a text that has more or fewer than the header's `width`, 0 for one below the table.
    """

    frame: pl.LazyFrame
    schema: pl.Schema
    place: str
    is_text: bool
    files: tuple[Path, ...]
    first_file: int
    size: int
    is_packed: bool
    sha256: str
    ragged: dict[int, int] = field(default_factory=dict)
    width: int = 0
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The source's own columns, in order."""
        return [name for name in self.schema if name not in {ROW, *FURTHER}]

    @property
    def file_names(self) -> list[str]:
        """What the files are called in messages; a database is one."""
        return [file.name for file in self.files] or [self.place]


def scan_source(
    source: TableSource, *, table: str, base_dir: Path, work_dir: Path, first_file: int = 0
) -> Scanned:
    """Open the source of one table, or one of its sources.

    Raises
    ------
    DataError
        When there is no such file, it is empty, or it cannot be read.
    ConfigError
        When a format needs a package that is not installed.
    """
    if is_database(source):
        return _scan_database(source, table, base_dir, work_dir, first_file)
    if is_object(source):
        files = fetch_objects(source, table, work_dir)
    else:
        files = find_files(source, table, base_dir)
    place = _place(source, files)
    kind = _format(source, files, place)
    if source.records is not None and kind != "json":
        raise ConfigError(f"inputs.{table}.records: {place} is no JSON. Leave it out.")
    ragged: dict[int, int] = {}
    width = 0
    notes: tuple[str, ...] = ()
    if kind == "delta":
        data = sorted(files[0].rglob("*.parquet"))
        frame = _scan_delta(files[0], place, first_file)
    else:
        refuse_empty(files, table, place)
        data = files
        frames: list[pl.LazyFrame] = []
        for number, file in enumerate(files, first_file):
            if kind == "csv":
                text = open_text(source, file, table=table, work_dir=work_dir)
                ragged |= {row + number * FILE_STEP: fields for row, fields in text.ragged.items()}
                width = text.width
                notes += text.notes
                frames.append(_placed(text.frame.rename({"row": ROW}), number))
            elif kind == "json":
                frames.append(_numbered(scan_documents(file, work_dir, source.records), number))
            else:
                with reading(place, files):
                    frames.append(_numbered(_opened(pl.scan_parquet(file, glob=False)), number))
        with reading(place, files):
            notes += _changed_columns(files, frames)
            frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")
    with reading(place, data):
        schema = frame.collect_schema()
    is_text = kind in {"csv", "json"}
    return Scanned(
        frame=frame,
        schema=schema,
        place=place,
        is_text=is_text,
        files=tuple(data),
        first_file=first_file,
        size=sum(file.stat().st_size for file in data),
        is_packed=not is_text or any(file.suffix.lower() in {".gz", ".zst"} for file in data),
        sha256=digest(data),
        ragged=ragged,
        width=width,
        notes=notes,
    )


def _numbered(frame: pl.LazyFrame, file: int) -> pl.LazyFrame:
    return _placed(frame.with_row_index(ROW, offset=1), file)


def _opened(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The frame with what stands inside a column of structures as columns with dotted names."""
    while inner := {
        name: kind for name, kind in frame.collect_schema().items() if isinstance(kind, pl.Struct)
    }:
        frame = frame.with_columns(
            pl.col(name).struct.field(field.name).alias(f"{name}.{field.name}")
            for name, kind in inner.items()
            for field in kind.fields
        ).drop(*inner)
    return frame


def _placed(frame: pl.LazyFrame, file: int) -> pl.LazyFrame:
    return frame.with_columns(pl.col(ROW).cast(pl.Int64) + file * FILE_STEP)


def _changed_columns(files: list[Path], frames: list[pl.LazyFrame]) -> tuple[str, ...]:
    """Which file has columns that the first has not, or lacks some of the first's."""
    apart = {ROW, *FURTHER}
    columns = [[name for name in frame.collect_schema() if name not in apart] for frame in frames]
    notes = []
    for file, names in zip(files, columns, strict=True):
        further = [name for name in names if name not in columns[0]]
        missing = [name for name in columns[0] if name not in names]
        if further or missing:
            says = [f"has further columns ({', '.join(further)})"] * bool(further)
            says += [f"lacks columns ({', '.join(missing)})"] * bool(missing)
            notes.append(f"{file.name} {' and '.join(says)}, compared with {files[0].name}.")
    more = len(notes) - FILES_NAMED
    return tuple(notes[:FILES_NAMED]) + (
        (f"{more} further files have other columns too.",) if more > 0 else ()
    )


def _format(source: TableSource, files: list[Path], place: str) -> str:
    if source.format != "auto":
        return source.format
    if files[0].is_dir():
        return "delta"
    kinds = {suffix(file) for file in files}
    for kind, suffixes in (("parquet", PARQUET_SUFFIXES), ("json", JSON_SUFFIXES), ("csv", TEXT_SUFFIXES)):
        if kinds <= set(suffixes):
            return kind
    if kinds & {".xlsx", ".xls", ".ods", ".zip"}:
        raise ConfigError(
            f"{place}: workbooks and archives are not read. Save the sheet as CSV UTF-8, or unpack it."
        )
    raise ConfigError(
        f"{place}: the format is not known by its name ({', '.join(sorted(kinds))}). "
        "Set `format` to csv, json, parquet, delta or postgresql."
    )


def _place(source: TableSource, files: list[Path]) -> str:
    return files[0].name if len(files) == 1 else source.path


def _scan_delta(folder: Path, place: str, first_file: int) -> pl.LazyFrame:
    _require("deltalake", place)
    return _numbered(_opened(pl.scan_delta(str(folder))), first_file)


def _scan_database(
    source: TableSource, table: str, base_dir: Path, work_dir: Path, first_file: int
) -> Scanned:
    found = read_database(source, table, base_dir, work_dir)
    frame = _numbered(_opened(found.rows), first_file)
    return Scanned(
        frame=frame,
        schema=frame.collect_schema(),
        place=found.place,
        is_text=False,
        files=(),
        first_file=first_file,
        size=found.size,
        is_packed=False,
        sha256=found.sha256,
    )


def _require(package: str, place: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"{place}: this source needs the package {package}, which is not installed. "
            f"Install it (pip install {package}), or export the table as Parquet or CSV."
        )


BATCH = 50_000
ASSIGNED = re.compile(r"^\s*[A-Za-z_$][\w$.]*\s*=(?=\s*[\[{])")
"""What stands before the list in an archive of X or Twitter: `window.YTD.tweets.part0 = [`."""
AS_WRITTEN: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": lambda _: None}
LARGEST_LIST = 200 * 2**20
"""Bytes of a file that is one list: it is held whole, a file of lines is not."""


def scan_documents(file: Path, work_dir: Path, records: str | None = None) -> pl.LazyFrame:
    """The objects of a file as rows of text, written once as Parquet into `work_dir`.

    `records` names the list inside an object that holds the rows.

    Raises
    ------
    DataError
        When a line is no JSON object, or there is no such list.
    """
    batches: list[pl.LazyFrame] = []
    documents = _documents(file, records)
    while rows := [_flat(document) for document in islice(documents, BATCH)]:
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {name: [row.get(name) for row in rows] for name in names}
        batch = work_dir / f"{file.name}-{abs(hash(file)):x}-{len(batches)}.parquet"
        pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)).write_parquet(batch, compression="lz4")
        batches.append(pl.scan_parquet(batch, glob=False))
    if not batches:
        raise DataError(f"{file.name} holds no object. Export it again.")
    return batches[0] if len(batches) == 1 else pl.concat(batches, how="diagonal_relaxed")


def _documents(file: Path, records: str | None) -> Iterator[dict[str, Any]]:
    with reading(file.name), _lines(file) as lines:
        filled = (line for line in lines if line.strip())
        first = ASSIGNED.sub("", next(filled, ""))
        second = next(filled, None)
        start, later = first.strip(), chain([] if second is None else [second], filled)
        if start.startswith("[") or (start == "{" or second is None):
            found = _rows_of_columns(_whole(file, chain([first], later))) if start else []
            yield from _objects(file, found, records)
            return
        for row, line in enumerate(chain([first], later), 1):
            yield from _objects(file, _object(file, row, line), records, row=row)


def _whole(file: Path, lines: Iterator[str]) -> Any:
    """A file that is one value, over however many lines."""
    if file.stat().st_size > LARGEST_LIST:
        raise DataError(
            f"{file.name} is one value of {file.stat().st_size / 2**20:,.0f} MB. Allowed: "
            f"{LARGEST_LIST // 2**20} MB; write one object a line (newline-delimited JSON)."
        )
    try:
        return _parsed(file, "".join(lines))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name} is no valid JSON (line {error.lineno}). Look whether the export was cut."
        ) from error


def _objects(file: Path, found: Any, records: str | None, *, row: int = 1) -> Iterator[dict[str, Any]]:
    """The rows of one value of a file: of a list its objects, of an object itself or what `records` names."""
    for number, item in enumerate(found, 1) if isinstance(found, list) else [(row, found)]:
        if not isinstance(item, dict):
            where = f"entry {number} of the list" if isinstance(found, list) else f"row {number}"
            raise DataError(f"{file.name}: {where} is no object. Expected one object for each row, {{...}}.")
        if records is None:
            yield item
            continue
        inside: Any = item
        for name in records.split("."):
            inside = inside.get(name) if isinstance(inside, dict) else None
        if not isinstance(inside, list):
            lists = [name for name, value in item.items() if isinstance(value, list)]
            hint = nearest(records, lists)
            raise DataError(f'{file.name}: no list "{records}" in object {number}. Correct `records`; {hint}')
        yield from _objects(file, inside, None)


def _parsed(file: Path, text: str) -> Any:
    try:
        return json.loads(text, **AS_WRITTEN)
    except RecursionError as error:
        raise DataError(f"{file.name} is nested too deeply to be rows of a table. Export it flat.") from error


def _lines(file: Path) -> io.TextIOWrapper:
    encoding = encoding_of(file)
    return io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig" if encoding == "utf-8" else encoding)


def _rows_of_columns(found: Any) -> Any:
    """The rows of an object of columns, as a data frame is written by default.

    >>> _rows_of_columns({"id": {"0": "7", "1": "8"}, "paid": {"0": "5", "1": "6"}})
    [{'id': '7', 'paid': '5'}, {'id': '8', 'paid': '6'}]
    """
    columns = [*found.values()] if isinstance(found, dict) else []
    if not columns or not all(isinstance(column, dict) and column for column in columns):
        return found
    labels = columns[0]
    if not all(label.isdecimal() for label in labels) or any(c.keys() != labels.keys() for c in columns):
        return found
    return [{name: column[label] for name, column in found.items()} for label in labels]


def _object(file: Path, row: int, line: str) -> Any:
    try:
        return _parsed(file, line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name}: row {row} is no valid JSON. Expected one object a line; look whether the export "
            "was cut."
        ) from error


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    """Names with dots and texts: what stands inside an object is reached by name, a list stays JSON.

    >>> _flat({"id": "7", "customer": {"mail": None, "vip": True}, "tags": ["a"]})
    {'id': '7', 'customer.mail': None, 'customer.vip': 'true', 'tags': '["a"]'}
    """
    flat: dict[str, str | None] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool):
            flat[prefix + name] = str(value).lower()
        elif isinstance(value, list):
            flat[prefix + name] = json.dumps(value, ensure_ascii=False)
        else:
            flat[prefix + name] = value
    return flat
