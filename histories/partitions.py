"""The same functions for data of any size: split by customer, apply to each part, put together again.

Customers are dealt to buckets by a hash of their id. Every function of the histories takes the rows of
complete customers and returns rows, so the answer does not depend on the number of buckets; statistics of
the buckets add up. Memory follows the size of one bucket.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from histories.errors import ConfigError

__all__ = ["Partitioned", "bucket_of", "by_partition", "partition_by_customer", "suggest_buckets"]

Frames = Mapping[str, pl.LazyFrame]

HASH_SEED = 0
BYTES_PER_ROW = 400
"""Memory that the work on one row needs at its peak, with everything derived from it."""


def bucket_of(customer_id: str, buckets: int) -> pl.Expr:
    """Bucket of each customer, 0 to `buckets` - 1; the same for equal ids in every table."""
    return (pl.col(customer_id).hash(seed=HASH_SEED) % buckets).cast(pl.Int32).alias("bucket")


def suggest_buckets(rows: int, memory: int, *, workers: int = 1) -> int:
    """Number of buckets with which `workers` at a time stay within `memory` bytes.

    >>> suggest_buckets(80_000_000, 2 * 1024**3)
    16
    """
    needed = rows * BYTES_PER_ROW * max(workers, 1)
    buckets = 1
    while needed > memory * buckets:
        buckets *= 2
    return buckets


class Partitioned:
    """Tables split by customer; iterate for the tables of one bucket after the other."""

    def __init__(self, parts: list[dict[str, pl.LazyFrame]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[dict[str, pl.LazyFrame]]:
        return iter(self._parts)


@contextmanager
def partition_by_customer(
    frames: Frames, *, buckets: int, work_dir: Path | None = None
) -> Iterator[Partitioned]:
    """Split tables by customer, once, for several functions to go through.

    One bucket splits nothing. More are written as Parquet into a folder inside `work_dir` (by default the
    system's temporary one), which goes when the block ends.
    """
    if buckets < 1:
        raise ConfigError(f"buckets is {buckets}; allowed: 1 or more.")
    if buckets == 1:
        yield Partitioned([dict(frames)])
        return
    with tempfile.TemporaryDirectory(prefix="buckets-", dir=work_dir) as folder:
        for name, frame in frames.items():
            _write_buckets(frame, Path(folder) / name, buckets)
        yield Partitioned([_read_bucket(frames, Path(folder), bucket) for bucket in range(buckets)])


def by_partition(
    function: Callable[..., pl.LazyFrame],
    frames: Frames,
    *,
    buckets: int,
    work_dir: Path | None = None,
) -> pl.DataFrame:
    """Apply a function of complete customers to each bucket and stack what it returns.

    Parameters
    ----------
    function
        Takes the frames by name and returns a frame.
    frames
        Tables with `customer_id`, by the names of the function's parameters.
    buckets, work_dir
        See `partition_by_customer`.

    Returns
    -------
    The rows of all buckets. Their order depends on the buckets; sort where it matters.

    >>> sales = pl.LazyFrame({"customer_id": [1, 2, 1], "amount": [10, 20, 30]})
    >>> total = lambda sales: sales.group_by("customer_id").agg(pl.col("amount").sum())
    >>> by_partition(total, {"sales": sales}, buckets=4).sort("customer_id").rows()
    [(1, 40), (2, 20)]
    """
    with partition_by_customer(frames, buckets=buckets, work_dir=work_dir) as parts:
        return pl.concat([function(**part).collect() for part in parts])


def _write_buckets(frame: pl.LazyFrame, folder: Path, buckets: int) -> None:
    target = pl.PartitionBy(folder, key=bucket_of("customer_id", buckets), include_key=False)
    frame.sink_parquet(target, compression="lz4", mkdir=True)


def _read_bucket(frames: Frames, folder: Path, bucket: int) -> dict[str, pl.LazyFrame]:
    part = {}
    for name, frame in frames.items():
        files = sorted((folder / name / f"bucket={bucket}").glob("*.parquet"))
        part[name] = pl.scan_parquet(files) if files else frame.clear()
    return part
