"""Read JSON: objects, one a line or in one list; an inner value has a dotted name, as `statistics.reply_at`.

Every value becomes the text that stands in the file, as in a text table.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import polars as pl

from histories.errors import DataError
from histories.reading.files import open_bytes, reading

BATCH = 50_000
AS_WRITTEN: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": lambda _: None}
LARGEST_LIST = 200 * 2**20
"""Bytes of a file that is one list: it is held whole, a file of lines is not."""


def scan_documents(file: Path, work_dir: Path) -> pl.LazyFrame:
    """The objects of a file as rows of text, written once as Parquet into `work_dir`.

    Raises
    ------
    DataError
        When a line is no JSON object.
    """
    batches: list[pl.LazyFrame] = []
    documents = _documents(file)
    while rows := [_flat(document) for document in islice(documents, BATCH)]:
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {name: [row.get(name) for row in rows] for name in names}
        batch = work_dir / f"{file.name}-{abs(hash(file)):x}-{len(batches)}.parquet"
        pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)).write_parquet(batch, compression="lz4")
        batches.append(pl.scan_parquet(batch, glob=False))
    if not batches:
        raise DataError(f"{file.name} holds no object. Export it again.")
    return batches[0] if len(batches) == 1 else pl.concat(batches, how="diagonal_relaxed")


def _documents(file: Path) -> Iterator[dict[str, Any]]:
    with reading(file.name), _lines(file) as lines:
        filled = (line for line in lines if line.strip())
        first = next(filled, "")
        if first.lstrip().startswith("["):
            yield from _list(file, chain([first], filled))
            return
        for row, line in enumerate(chain([first] if first else [], filled), 1):
            yield _object(file, row, line)


def _list(file: Path, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    if file.stat().st_size > LARGEST_LIST:
        raise DataError(
            f"{file.name} is one list of {file.stat().st_size / 2**20:,.0f} MB. Allowed: "
            f"{LARGEST_LIST // 2**20} MB; write one object a line (newline-delimited JSON)."
        )
    try:
        found = json.loads("".join(lines), **AS_WRITTEN)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name} is no valid JSON (line {error.lineno}). Look whether the export was cut."
        ) from error
    for row, item in enumerate(found, 1):
        if not isinstance(item, dict):
            raise DataError(f"{file.name}: entry {row} of the list is no object. Expected one for each row.")
        yield item


def _lines(file: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig")


def _object(file: Path, row: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line, **AS_WRITTEN)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name}: row {row} is no valid JSON. Expected one object a line; look whether the export "
            "was cut."
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{file.name}: row {row} is no object. Expected one object a line, {{...}}.")
    return found


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
