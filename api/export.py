"""Scores of many customers as one file: Parquet, an Arrow stream, CSV or JSON lines, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import polars as pl

from api.filtering import CHUNK, compile_filter
from api.replies import ARROW, PARQUET
from api.served import Served
from api.store import Store
from experiments.bundle.columns import Array
from experiments.filters import Filter

FORMATS: Final = ("parquet", "arrow", "csv", "ndjson")
MEDIA_TYPES: Final = {
    PARQUET: "parquet",
    ARROW: "arrow",
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
}
"""Formats by the media type that asks for them."""


def write_export(
    served: Served, path: Path, *, form: str, fields: Sequence[str] | None = None, bound: Filter | None = None
) -> int:
    """Write customers who may be shown, in the order of their ids; how many there were.

    Memory is bounded by a chunk of 65,536 customers, whatever their number.

    Parameters
    ----------
    served
        What is exported.
    path
        The file to make.
    form
        One of `FORMATS`.
    fields
        Columns after `customer_id`; all scores and all columns of the input's customers table by default.
    bound
        Who is exported; everybody by default.
    """
    store = served.store
    names = list(store.filterable) if fields is None else list(fields)
    keeps = None if bound is None else compile_filter(store, bound)
    hidden = served.hidden_rows
    written = 0
    with path.open("wb") as stream:
        write, close = _WRITERS[form](stream, _frame(store, np.zeros(0, dtype=np.int64), names))
        for rows in _kept(store, keeps, hidden):
            write(_frame(store, rows, names))
            written += len(rows)
        close()
    return written


def _kept(store: Store, keeps: Callable[[Any], Array] | None, hidden: Array) -> Iterator[Array]:
    """Rows to write, a chunk at a time."""
    for start in range(0, len(store), CHUNK):
        stop = min(start + CHUNK, len(store))
        rows = np.arange(start, stop)
        if keeps is not None:
            rows = rows[keeps(slice(start, stop))]
        if len(hidden):
            rows = rows[~np.isin(rows, hidden)]
        if len(rows):
            yield rows


def _frame(store: Store, rows: Array, names: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame([store.ids_of(rows), *store.frame_of(rows, names)])


_Writer = tuple[Callable[[pl.DataFrame], None], Callable[[], None]]


def _parquet(stream: IO[bytes], empty: pl.DataFrame) -> _Writer:
    from pyarrow import parquet

    schema = _arrow_table(empty).schema
    writer = parquet.ParquetWriter(stream, schema, compression="zstd")
    return lambda frame: writer.write_table(_arrow_table(frame)), writer.close


def _arrow(stream: IO[bytes], empty: pl.DataFrame) -> _Writer:
    from pyarrow import ipc

    writer = ipc.new_stream(stream, _arrow_table(empty).schema)
    return lambda frame: writer.write_table(_arrow_table(frame)), writer.close


def _csv(stream: IO[bytes], empty: pl.DataFrame) -> _Writer:
    empty.write_csv(stream)
    return lambda frame: frame.write_csv(stream, include_header=False), stream.flush


def _ndjson(stream: IO[bytes], empty: pl.DataFrame) -> _Writer:
    return lambda frame: frame.write_ndjson(stream), stream.flush


def _arrow_table(frame: pl.DataFrame) -> Any:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


_WRITERS: Final[dict[str, Callable[[IO[bytes], pl.DataFrame], _Writer]]] = {
    "parquet": _parquet,
    "arrow": _arrow,
    "csv": _csv,
    "ndjson": _ndjson,
}
