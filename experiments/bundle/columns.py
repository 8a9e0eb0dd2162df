"""Tables as sorted, memory-mapped columns: what the service looks customers up in.

One column is one `.npy` file, so that every process shares one copy of it and nothing is read before it is
asked for. Types without a null of their own get one:

========  =============================  ==========
column    stored as                      null
========  =============================  ==========
Float64   float64                        NaN
Int64     int64                          -2^63
Date      int32 days since 1970-01-01    -2^31
Datetime  int64 microseconds since then  -2^63
Boolean   int8                           -1
String    int32 code of a text           -1
========  =============================  ==========

The texts of a String column lie beside it, as one run of UTF-8 bytes and their offsets. The key of the
customers is stored as it is: int64, or UTF-8 bytes padded to the longest id.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from histories.errors import BundleError

LONGEST_ID: Final = 255
"""Longest text id in bytes; longer ones are refused when a bundle is written."""

NULL_INT64: Final = np.iinfo(np.int64).min
NULL_INT32: Final = np.iinfo(np.int32).min
_EPOCH: Final = dt.datetime(1970, 1, 1)
_FEW_TEXTS: Final = 4096  # a dictionary this small is read at once
_SMALL: Final = 1 << 20  # bytes up to which a file is read rather than mapped
_PART: Final = 1 << 20  # rows of a column that are in memory while it is written

Array = np.ndarray[Any, np.dtype[Any]]


def write_key(folder: Path, ids: pl.Series) -> None:
    """Store sorted ids, which must be unique and not null."""
    if ids.dtype == pl.String:
        longest = int(ids.str.len_bytes().max() or 1)  # type: ignore[arg-type]
        if longest > LONGEST_ID:
            raise BundleError(
                f"A customer id has {longest} bytes; at most {LONGEST_ID} are allowed. "
                "Set TRIBUTARY_ID_KEY to replace ids by pseudonyms of fixed length."
            )
        if ids.str.contains("\0", literal=True).any():
            raise BundleError("A customer id holds a NUL character, which no URL can carry. Mend the input.")
        encoded = [text.encode() for text in ids.to_list()]
        np.save(folder / "customer_id.npy", np.array(encoded, dtype=f"S{max(longest, 1)}"))
    else:
        np.save(folder / "customer_id.npy", ids.cast(pl.Int64).to_numpy())


def open_key(folder: Path) -> Array:
    """Map the sorted ids: int64, or bytes of fixed width."""
    return open_array(folder / "customer_id.npy")


def write_column(folder: Path, column: pl.LazyFrame, rows: int) -> None:
    """Store one column of a table as the module's table says, a part of its rows at a time.

    Parameters
    ----------
    folder
        Where the file `<column>.npy` is written.
    column
        A frame with this one column.
    rows
        How many rows it has.
    """
    [(name, dtype)] = column.collect_schema().items()
    codes = _write_texts(folder, column, name) if dtype == pl.String else None
    stored: Array | None = None
    for start in range(0, max(rows, 1), _PART):
        part = column.slice(start, _PART).collect().to_series()
        values = _stored(part) if codes is None else _coded(part, codes)
        if rows <= _PART:
            np.save(folder / f"{name}.npy", values)
            return
        if stored is None:
            path = folder / f"{name}.npy"
            stored = np.lib.format.open_memmap(path, mode="w+", dtype=values.dtype, shape=(rows,))
        stored[start : start + len(values)] = values


def _stored(series: pl.Series) -> Array:
    """The values of a column as they are stored; not of texts."""
    dtype = series.dtype
    if dtype == pl.Float64:
        return series.fill_null(float("nan")).to_numpy()
    if dtype == pl.Int64:
        return series.fill_null(NULL_INT64).to_numpy()
    if dtype == pl.Date:
        return series.to_physical().fill_null(NULL_INT32).to_numpy()
    if isinstance(dtype, pl.Datetime):
        return series.cast(pl.Datetime("us")).to_physical().fill_null(NULL_INT64).to_numpy()
    if dtype == pl.Boolean:
        return series.cast(pl.Int8).fill_null(-1).to_numpy()
    raise BundleError(f'Column "{series.name}" has the type {dtype}, which the service cannot store.')


def _coded(series: pl.Series, codes: pl.DataFrame) -> Array:
    coded = pl.DataFrame({"text": series}).join(codes, on="text", how="left", maintain_order="left")["code"]
    return coded.fill_null(-1).to_numpy()


def _write_texts(folder: Path, column: pl.LazyFrame, name: str) -> pl.DataFrame:
    """Store the texts of a column, each once, in order; returns text and code."""
    texts = column.select(pl.col(name).drop_nulls().unique()).collect(engine="streaming").to_series().sort()
    sizes = texts.str.len_bytes().cast(pl.Int64).to_numpy()
    np.save(folder / f"{name}.offsets.npy", np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))))
    joined = "".join(texts.to_list()).encode()
    np.save(folder / f"{name}.texts.npy", np.frombuffer(joined, dtype=np.uint8))
    return pl.DataFrame({"text": texts, "code": pl.int_range(texts.len(), dtype=pl.Int32, eager=True)})


def open_array(path: Path) -> Array:
    """Map one array read-only; a small one is read, so that nothing done to its file can reach it.

    Raises
    ------
    BundleError
        When the file is absent or no array.
    """
    try:
        if path.stat().st_size <= _SMALL:
            array = np.asarray(np.load(path, allow_pickle=False))
            array.flags.writeable = False
            return array
        # A plain view of the mapping: slicing a memmap subclass costs ten times a plain array's.
        mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped.view(np.ndarray)
    except (ValueError, EOFError) as error:
        raise BundleError(f"{path.name} is not a stored column. Write the bundle again.") from error
    except OSError as error:
        raise BundleError(
            f"{path.name} cannot be opened ({error.strerror}). Write the bundle again."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Column:
    """One stored column, readable one row or many rows at a time.

    Attributes
    ----------
    values
        The mapped array, shape (n_rows,).
    item
        The value of one row as JSON has it: number, text, boolean or None.
    """

    name: str
    dtype: pl.DataType
    values: Array
    texts: Sequence[str] = ()

    @cached_property
    def item(self) -> Callable[[int], Any]:
        """A function from row to plain value; made once, since it runs for every field of every answer."""
        read = self.values.item
        if self.dtype == pl.Float64:
            return lambda row: None if (value := read(row)) != value else value
        if self.dtype == pl.Int64:
            return lambda row: None if (value := read(row)) == NULL_INT64 else value
        if self.dtype == pl.Date:
            day_zero = dt.date(1970, 1, 1).toordinal()
            date = dt.date.fromordinal
            return lambda row: None if (day := read(row)) == NULL_INT32 else date(day + day_zero).isoformat()
        if self.dtype == pl.Boolean:
            return lambda row: None if (flag := read(row)) < 0 else flag == 1
        if self.dtype == pl.String:
            texts = self.texts
            return lambda row: None if (code := read(row)) < 0 else texts[code]
        return lambda row: (
            None
            if (time := read(row)) == NULL_INT64
            else (_EPOCH + dt.timedelta(microseconds=time)).isoformat(timespec="seconds")
        )

    def series(self, rows: Array) -> pl.Series:
        """The values of these rows in Polars, nulls restored."""
        taken = self.values[rows]
        if self.dtype == pl.Float64:
            return pl.Series(self.name, taken, nan_to_null=True)
        if self.dtype == pl.String:
            words = pl.Series(list(self.texts) if len(self.texts) else [""], dtype=pl.String)
            codes = pl.Series(taken)
            missing = taken < 0
            if missing.any():
                codes = codes.set(pl.Series(missing), None)
            return words.gather(codes).alias(self.name)
        null = {pl.Date: NULL_INT32, pl.Boolean: -1}.get(type(self.dtype), NULL_INT64)
        plain = pl.Series(self.name, taken)
        missing = taken == null
        if missing.any():
            plain = plain.set(pl.Series(missing), None)
        return plain.cast(self.dtype)


def known_values(column: Column, values: Array | None = None) -> Array:
    """Where a stored column holds a value rather than its type's null; boolean, shape (n,).

    Parameters
    ----------
    column
        The column.
    values
        Some of its stored values; all by default.
    """
    values = column.values if values is None else values
    if column.dtype == pl.Float64:
        return ~np.isnan(values)
    if column.dtype == pl.Date:
        found: Array = values != NULL_INT32
        return found
    if column.dtype in (pl.Boolean, pl.String):
        found = values >= 0
        return found
    found = values != NULL_INT64
    return found


class _StoredTexts(Sequence[str]):
    """The texts of a column with many of them, decoded one at a time."""

    def __init__(self, offsets: Array, texts: Array) -> None:
        self._offsets, self._texts = offsets, texts

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, code: Any) -> Any:
        return self._texts[self._offsets[code] : self._offsets[code + 1]].tobytes().decode()


def open_column(folder: Path, name: str, dtype: pl.DataType) -> Column:
    """Map one column.

    Raises
    ------
    BundleError
        When one of its files is absent or no array.
    """
    texts: Sequence[str] = ()
    if dtype == pl.String:
        texts = _StoredTexts(
            open_array(folder / f"{name}.offsets.npy"), open_array(folder / f"{name}.texts.npy")
        )
        texts = list(texts) if len(texts) <= _FEW_TEXTS else texts
    return Column(name=name, dtype=dtype, values=open_array(folder / f"{name}.npy"), texts=texts)
