"""Rows of Arrow streams that strangers send.

A stream may be damaged on purpose: buffers that end early, texts that overlap, a megabyte that unpacks to a
terabyte. Arrow's own reader and its full validation decide what is whole; before they may, the sizes that the
stream claims are read, so that no more memory is taken than the body's own and a bounded number of texts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

_LONGEST_TEXT: Final = 4096
_EARLIEST: Final = -62_104_060_800_000_000  # year 2, so that every zone has a day for it
_LATEST: Final = 253_370_764_800_000_000  # year 9999
_DICTIONARY: Final = 2
_BATCH: Final = 3


class StreamError(ValueError):
    """The stream is not taken in; the text says why."""


class DamagedStreamError(StreamError):
    """The bytes are no stream, or not a whole one."""

    def __init__(self) -> None:
        super().__init__("It is damaged, or no Arrow stream.")


def rows_of_stream(data: bytes, *, most: int) -> list[dict[str, Any]]:
    """Rows of an Arrow IPC stream by column; times beyond the years 2 to 9998 as the nearest of them.

    Raises
    ------
    DamagedStreamError
        When it is damaged.
    StreamError
        When it is compressed, has more rows than `most`, or columns that are no text, number or time.
    """
    import pyarrow as pa  # takes a moment, and most services never need it
    from pyarrow import ipc

    try:
        claimed = sum(_claimed_rows(data))
        if claimed > most:
            raise StreamError(f"It has {claimed} rows; at most {most} are allowed in one request.")
        with ipc.open_stream(pa.py_buffer(data)) as reader:
            _check_types(pa, reader.schema)
            table = reader.read_all()
        table.validate()
        for column in table.itercolumns():
            for chunk in column.iterchunks():
                _check_texts(pa, chunk)
        table.validate(full=True)
        return pl.DataFrame([_series(pa, name, table[name]) for name in table.column_names]).to_dicts()
    except StreamError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, struct.error) as error:
        raise DamagedStreamError from error
    except pl.exceptions.PolarsError as error:
        raise StreamError("A column of it has a type that is not taken.") from error


def _claimed_rows(data: bytes) -> Iterator[int]:
    """How many rows each batch says to hold.

    The format's envelope: 0xFFFFFFFF, the length of a FlatBuffers table, the table, the body.
    """
    at = 0
    while at + 8 <= len(data):
        marker, size = struct.unpack_from("<Ii", data, at)
        if marker != 0xFFFFFFFF or size <= 0:
            return
        message = _Table.root(data[at + 8 : at + 8 + size])
        kind, header, body = message.number(1, "<B"), message.table(2), message.number(3, "<q")
        if kind == _DICTIONARY and header is not None:
            header = header.table(1)
        if kind in (_DICTIONARY, _BATCH) and header is not None:
            if header.table(3) is not None:
                raise StreamError("It is compressed. Send it without compression.")
            if kind == _BATCH:
                yield header.number(0, "<q")
        if body < 0:
            raise StreamError("It is damaged, or no Arrow stream.")
        at += 8 + size + body


class _Table:
    """A table of FlatBuffers: fields by number."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def _place(self, number: int) -> int | None:
        (size,) = struct.unpack_from("<H", self._data, self._fields)
        if 4 + 2 * number >= size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * number)
        return self._at + offset if offset else None

    def number(self, number: int, form: str) -> int:
        """A scalar; 0 where it is left out."""
        place = self._place(number)
        return 0 if place is None else int(struct.unpack_from(form, self._data, place)[0])

    def table(self, number: int) -> _Table | None:
        """A table within; None where it is left out."""
        place = self._place(number)
        if place is None:
            return None
        return _Table(self._data, place + struct.unpack_from("<I", self._data, place)[0])


def _check_types(pa: Any, schema: Any) -> None:
    """Refuse columns within columns and the like, which hold more than their rows."""
    if len(schema) > 100 or len(set(schema.names)) < len(schema):
        raise StreamError("Its columns have the same name, or are more than 100.")
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        plain = (
            _is_text(pa, kind)
            or pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_timestamp(kind)
            or pa.types.is_boolean(kind)
        )
        if not plain:
            raise StreamError(f"A column has the type {str(kind)[:40]}; texts, numbers and times are taken.")


def _is_text(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _check_texts(pa: Any, chunk: Any) -> None:
    """Refuse long texts: many rows may point to the same one, so that their sum is far above the body."""
    import pyarrow.compute as pc

    if pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary
    if not _is_text(pa, chunk.type) or not len(chunk):
        return
    if pa.types.is_string_view(chunk.type):
        views = np.frombuffer(chunk.buffers()[1], dtype=np.int32)[::4]
        there = chunk.is_valid().to_numpy(zero_copy_only=False)
        longest = views[chunk.offset : chunk.offset + len(chunk)].max(initial=0, where=there)
    else:
        longest = pc.max(pc.binary_length(chunk)).as_py() or 0
    if longest > _LONGEST_TEXT:
        raise StreamError(f"A text of it has {longest} bytes; at most {_LONGEST_TEXT} are allowed.")


def _series(pa: Any, name: str, column: Any) -> pl.Series:
    """A column; times in microseconds, ids as texts."""
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        micro = pa.timestamp("us", column.type.tz)
        column = pc.cast(column, micro, safe=column.type.unit != "ns").cast(pa.int64())
        column = pc.max_element_wise(pc.min_element_wise(column, _LATEST), _EARLIEST, skip_nulls=False)
        column = column.cast(micro)
    series = pl.Series(name, pl.from_arrow(column))
    return series.cast(pl.String) if name == "customer_id" and series.dtype.is_integer() else series
