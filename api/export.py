"""Scores of many customers as one file: Parquet, an Arrow stream, CSV or JSON lines, a chunk at a time.

Files are kept while their scores are served: a broken download can be taken up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import polars as pl

from api.filtering import CHUNK, compile_filter
from api.pool import WorkPool
from api.replies import ARROW, PARQUET
from api.served import Served
from api.store import Store
from experiments.bundle.columns import Array
from experiments.filters import Filter
from experiments.processes import is_running
from histories.durable import storage_error

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


_FOLDER: Final = ".exports"
_MOST: Final = 8
"""Files to keep; those asked for longest ago go first."""


class ExportFiles:
    """Files of one process, beside the bundles or, where that is read-only, among temporary files."""

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self._folder: Path | None = None
        self._made: dict[str, Path] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self._state: tuple[str, int] | None = None
        self.pool = WorkPool("export")

    def sweep(self) -> None:
        """Delete files of processes that were killed: customers who were erased since may be in them."""
        if self._home is not None:
            _sweep(self._home / _FOLDER)

    async def watch(self, current: Callable[[], Served | None], *, seconds: float) -> None:
        """Delete what was made before an erasure, or from scores no longer served, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if self._made:
                self.prune(current())

    async def file(
        self, served: Served, *, form: str, fields: Sequence[str] | None, bound: Filter | None
    ) -> Path:
        """The file of a question, made when nobody asked it before.

        Raises
        ------
        Problem
            When too many exports are waiting.
        StorageError
            When the disk does not take it.
        """
        self.prune(served)
        name = export_name(served, form=form, fields=fields, bound=bound)
        async with self._making.setdefault(name, asyncio.Lock()):
            if name not in self._made:
                path = self._place() / f"{name}.{form}"
                await self.pool.run(lambda: _write(served, path, form, fields, bound))
                self._made[name] = path
            self._made[name] = self._made.pop(name)  # the one asked for last
        for old in list(self._made)[:-_MOST]:
            self._forget(old)
        return self._made[name]

    def hold(self, path: Path) -> Path:
        """A second name of a file for one download, so that pruning leaves it; delete it after."""
        held = path.with_suffix(f".{secrets.token_hex(8)}.sending")
        try:
            os.link(path, held)
        except OSError:  # no hard links here
            shutil.copyfile(path, held)
        return held

    def prune(self, served: Served | None) -> None:
        """Delete what was made from other scores, or before an erasure; running downloads go on."""
        state = None if served is None else (served.bundle.digest, len(served.tombstones.digests))
        if state != self._state:
            for name in list(self._made):
                self._forget(name)
            self._state = state

    def close(self) -> None:
        """Delete everything."""
        self.pool.close()
        self.prune(None)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _forget(self, name: str) -> None:
        self._making.pop(name, None)
        with contextlib.suppress(OSError):
            self._made.pop(name).unlink()

    def _place(self) -> Path:
        """The folder, made when it is first needed; those of processes that were killed go."""
        if self._folder is None:
            for parent in (self._home, Path(tempfile.gettempdir())):
                if parent is None:
                    continue
                try:
                    _sweep(parent / _FOLDER)
                    folder = parent / _FOLDER / str(os.getpid())
                    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                except OSError:
                    continue
                self._folder = folder
                break
        if self._folder is None:
            raise storage_error("The export", OSError(30, "no folder can be written"))
        return self._folder


def export_name(served: Served, *, form: str, fields: Sequence[str] | None, bound: Filter | None) -> str:
    """What an export is called: the same for the same question over the same scores and erasures."""
    asked = repr((served.bundle.digest, len(served.tombstones.digests), form, fields, bound))
    return hashlib.sha256(asked.encode()).hexdigest()[:32]


def _write(served: Served, path: Path, form: str, fields: Sequence[str] | None, bound: Filter | None) -> None:
    partial = path.with_suffix(".partial")
    try:
        write_export(served, partial, form=form, fields=fields, bound=bound)
        partial.replace(path)
    except OSError as error:
        raise storage_error("The export", error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    for left in folder.glob("*") if folder.is_dir() else ():
        if left.name.isdigit() and not is_running(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)
