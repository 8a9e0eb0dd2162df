"""Buckets as Parquet on disk, one of them in memory at a time: memory follows the size of a bucket."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from histories.engines.base import (
    BYTES_LATER,
    BYTES_PER_CUSTOMER,
    BYTES_PER_ROW,
    Buckets,
    Engine,
    Function,
    Made,
    S,
    Tables,
)
from histories.engines.ranges import (
    bucket_of,
    check_complete,
    count_rows,
    find_cuts,
    suggest_buckets,
)
from histories.engines.spill import adopt, spilling
from histories.errors import ConfigError

MB = 1024 * 1024
LEAST_PART = 16
"""A bucket may take at least this part of the memory."""
ROWS_PER_GROUP = 50_000
"""Rows that wait in memory for each bucket while tables are split."""

Task = Callable[[int], Any]
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A table on disk: `folder`/bucket=K holds the files of bucket K, none where it has no row."""

    folder: Path
    schema: pl.Schema

    def of(self, *buckets: int) -> pl.LazyFrame:
        """The rows of these buckets, one after the other."""
        files = [file for bucket in buckets for file in sorted(self.home(bucket).glob("*.parquet"))]
        return pl.scan_parquet(files, glob=False) if files else pl.LazyFrame(schema=self.schema)

    def write(self, bucket: int, rows: pl.DataFrame | pl.LazyFrame, *, name: str = "rows") -> None:
        """Put a file into a bucket, whole; one of this name is replaced."""
        home = self.home(bucket)
        home.mkdir(parents=True, exist_ok=True)
        fresh = home / f".{name}-{uuid4().hex}"
        rows.lazy().sink_parquet(fresh, compression="lz4")
        fresh.replace(home / f"{name}.parquet")

    def home(self, bucket: int) -> Path:
        """The folder of a bucket's files."""
        return self.folder / f"bucket={bucket}"


class Spilled(Engine):
    """Splits tables once, then computes bucket after bucket.

    Parameters
    ----------
    folder
        Where buckets lie; see `histories.engines.spill.spill_folder`.
    memory
        Bytes that the work on one bucket may take; with `whole`, that the process may take: what it holds
        already, and what has a row for each customer, is then left to it.
    buckets
        How many; by default as many as `memory` asks for.
    told
        Called with the number of buckets done, 0 when they begin, and of all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        memory: int,
        buckets: int | None = None,
        told: Told = lambda done, of: None,
        whole: bool = False,
    ) -> None:
        if buckets is not None and buckets < 1:
            raise ConfigError(f"buckets is {buckets}; allowed: 1 or more.")
        self._folder, self._memory, self._buckets, self._told = folder, memory, buckets, told
        self._numbers = itertools.count()
        self._goes_on, self._whole = False, whole
        self.notes: tuple[str, ...] = ()

    def begin(self, token: str) -> None:
        """Go on from the buckets that a killed process had finished; see `Engine.begin`."""
        self._folder, self._goes_on = adopt(self._folder, token), True

    def scatter(
        self,
        tables: Tables,
        *,
        bytes_per_row: int = BYTES_PER_ROW,
        bytes_per_customer: int = BYTES_PER_CUSTOMER,
    ) -> Buckets:
        """Write every table into ranges of customer ids with about as many rows each."""
        if not tables:
            return _OnDisk(self, {}, pl.Series("customer_id", dtype=pl.Int64))
        counted = count_rows(tables)
        wanted = self._buckets or self._wanted(counted, bytes_per_row, bytes_per_customer)
        cuts = find_cuts(counted, wanted)
        stored = {name: self.stored(name, frame, cuts) for name, frame in tables.items()}
        check_complete(_spans(stored, len(cuts) + 1))
        return _OnDisk(self, stored, cuts)

    def _wanted(self, counted: pl.DataFrame, row: int, customer: int) -> int:
        """How many buckets the memory asks for: as many as the killed process made that this one follows."""
        kept = self._numbered("number")
        if kept.exists():
            return int(kept.read_text(encoding="ascii"))
        found = suggest_buckets(int(counted["rows"].sum()), self._for_bucket(counted.height, customer), row)
        if self._goes_on:
            with spilling():
                kept.write_text(str(found), encoding="ascii")
        return found

    def _for_bucket(self, customers: int, each: int) -> int:
        """Bytes for the work on one bucket: what is left, or a part of all with a note that it exceeds."""
        if not self._whole:
            return self._memory
        growing = customers * each
        held = resident_bytes() + (BYTES_LATER if each else 0)
        left, least = self._memory - held - growing, self._memory // LEAST_PART
        if left < least and each:
            needed = (held + growing) * LEAST_PART // (LEAST_PART - 1)
            self.notes = (
                f"memory: {self._memory / MB:,.0f} MB are too few: the program takes {held / MB:,.0f} MB and "
                f"{customers:,} customers about {growing / MB:,.0f} MB, whatever waits on disk. Give "
                f"{needed / MB:,.0f} MB or more.",
            )
        return max(left, least)

    def stored(self, name: str, frame: pl.LazyFrame, cuts: pl.Series) -> Stored:
        """One table in its buckets; they appear when all of them are written."""
        schema, folder = frame.collect_schema(), self._numbered(name)
        if not folder.exists():
            part = Stored(folder=folder.with_name(f".{folder.name}"), schema=schema)
            with spilling():
                shutil.rmtree(part.folder, ignore_errors=True)
                part.folder.mkdir(parents=True)
                self.split(part, frame, cuts)
                part.folder.rename(folder)
        return Stored(folder=folder, schema=schema)

    def split(self, stored: Stored, frame: pl.LazyFrame, cuts: pl.Series) -> None:
        """Write one table into its buckets."""
        target = pl.PartitionBy(stored.folder, key="bucket", include_key=False)
        frame.with_columns(bucket_of(cuts)).sink_parquet(
            target, compression="lz4", mkdir=True, row_group_size=ROWS_PER_GROUP
        )

    def place(self, function: Callable[[Tables], Any], stored: Mapping[str, Stored]) -> Path:
        """A folder for what a function makes of tables; that of the same work where it can be told."""
        tables = [(name, str(table.folder.relative_to(self._folder))) for name, table in stored.items()]
        try:
            work = pickle.dumps((function, sorted(tables)))
        except (pickle.PicklingError, AttributeError, TypeError):  # a function inside another has no name
            return self._folder / f"made-{uuid4().hex}"
        return self._folder / f"made-{hashlib.sha256(work).hexdigest()[:24]}"

    @property
    def folder(self) -> Path | None:
        """Where buckets lie, and arrays may."""
        return self._folder

    def _numbered(self, name: str) -> Path:
        """The folder of a table that is split, the same in a process that goes on from a killed one."""
        while True:
            folder = self._folder / f"{next(self._numbers)}-{name}"
            if self._goes_on or not folder.exists():
                return folder

    def each(self, task: Task, buckets: int) -> Iterator[Any]:
        """What a task returns for each bucket, in their order."""
        self._told(0, buckets)
        for bucket in range(buckets):
            yield task(bucket)
            self._told(bucket + 1, buckets)


class _OnDisk(Buckets):
    def __init__(self, engine: Spilled, stored: Mapping[str, Stored], cuts: pl.Series) -> None:
        self._engine, self._stored, self._cuts = engine, dict(stored), cuts
        self.folder = engine.folder

    @property
    def _count(self) -> int:
        return len(self._cuts) + 1

    def map(self, function: Function) -> Buckets:
        target = self._engine.place(function, self._stored)
        write = partial(_write, self._stored, target, function)
        schemas = list(self._engine.each(partial(_once, target, write), self._count))
        made = {name: Stored(folder=target / name, schema=schema) for name, schema in schemas[0].items()}
        return _OnDisk(self._engine, self._stored | made, self._cuts)

    def reduce(self, function: Callable[[Tables], S], merge: Callable[[S, S], S]) -> S:
        target = self._engine.place(function, self._stored)
        answer = partial(_apply, self._stored, function)
        found: Iterator[S] = self._engine.each(partial(_once, target, answer), self._count)
        return reduce(merge, found)

    def add(self, tables: Tables) -> Buckets:
        stored = {name: self._engine.stored(name, frame, self._cuts) for name, frame in tables.items()}
        return _OnDisk(self._engine, self._stored | stored, self._cuts)

    def gather(self, name: str) -> pl.LazyFrame:
        return self._stored[name].of(*range(self._count))

    def __contains__(self, name: str) -> bool:
        return name in self._stored


def resident_bytes() -> int:
    """Memory that this process holds now; where the system does not say, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        import resource  # not on Windows, which is no engine's home

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _once(target: Path, task: Task, bucket: int) -> Any:
    """What a task returned for this bucket, now or in a process that was killed later."""
    done = target / f"{bucket}.done"
    if done.exists():
        return pickle.loads(done.read_bytes())
    answer = task(bucket)
    with spilling():
        target.mkdir(parents=True, exist_ok=True)
        fresh = target / f".{bucket}-{uuid4().hex}"
        fresh.write_bytes(pickle.dumps(answer))
        fresh.replace(done)
    return answer


def _apply(stored: Mapping[str, Stored], function: Callable[[Tables], S], bucket: int) -> S:
    return function({name: table.of(bucket) for name, table in stored.items()})


def _write(
    stored: Mapping[str, Stored], target: Path, function: Callable[[Tables], Made], bucket: int
) -> dict[str, pl.Schema]:
    """Write what the function makes of one bucket; the schemas by name."""
    schemas = {}
    for name, frame in _apply(stored, function, bucket).items():
        schemas[name] = frame.lazy().collect_schema()
        with spilling():
            Stored(folder=target / name, schema=schemas[name]).write(bucket, frame)
    return schemas


def _spans(stored: Mapping[str, Stored], buckets: int) -> pl.DataFrame:
    """Smallest and largest customer of each table in each bucket."""
    ids = pl.col("customer_id")
    rows: Iterable[pl.LazyFrame] = (
        table.of(bucket).select(
            pl.lit(name).alias("table"),
            pl.lit(bucket).alias("bucket"),
            ids.min().alias("first"),
            ids.max().alias("last"),
        )
        for name, table in stored.items()
        for bucket in range(buckets)
    )
    return pl.concat([row.collect() for row in rows])
