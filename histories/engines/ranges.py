"""Ranges of customer ids with about as many rows each: where buckets begin and end.

Ranges rather than a hash: buckets then follow one another in the order of the ids, so that what was sorted in
each is sorted as a whole and tables are written one bucket after the other. They are balanced by rows.
"""

from __future__ import annotations

import polars as pl

from histories.engines.base import BYTES_PER_ROW, Tables
from histories.errors import ConfigError, DataError

_ID = "customer_id"


def suggest_buckets(rows: int, memory: int, bytes_per_row: int = BYTES_PER_ROW) -> int:
    """Number of buckets with which the work on one stays within `memory` bytes.

    >>> suggest_buckets(80_000_000, 2 * 1024**3)
    15
    """
    return max(1, -(-rows * bytes_per_row // max(memory, 1)))


def count_rows(tables: Tables) -> pl.DataFrame:
    """Rows of each customer in all tables together: customer_id, rows; sorted by id."""
    counted = [frame.group_by(_ID).agg(pl.len().cast(pl.Int64).alias("rows")) for frame in tables.values()]
    return (
        pl.concat([frame.collect() for frame in counted])
        .drop_nulls(_ID)
        .group_by(_ID)
        .agg(pl.col("rows").sum())
        .sort(_ID)
    )


def find_cuts(counted: pl.DataFrame, buckets: int) -> pl.Series:
    """First customer of each bucket but the first, sorted.

    There are fewer than `buckets` - 1 where one customer has more rows than a bucket would.

    Parameters
    ----------
    counted
        customer_id and rows, sorted by id.
    buckets
        How many are wanted.

    Raises
    ------
    ConfigError
        When none is.

    >>> rows = pl.DataFrame({"customer_id": [1, 2, 3, 4], "rows": [1, 7, 1, 1]})
    >>> find_cuts(rows, 5).to_list()
    [3]
    """
    if buckets < 1:
        raise ConfigError(f"buckets is {buckets}; allowed: 1 or more.")
    before = pl.col("rows").cum_sum() - pl.col("rows")
    number = before * buckets // pl.col("rows").sum()
    starts = counted.filter((number != number.shift(1)).fill_null(value=False))
    return starts[_ID]


def bucket_of(cuts: pl.Series) -> pl.Expr:
    """Bucket of each customer, from 0; rows without a customer are in the first."""

    def place(ids: pl.Series) -> pl.Series:
        return cuts.search_sorted(ids, side="right").cast(pl.Int32)

    if cuts.is_empty():
        return pl.lit(0, dtype=pl.Int32).alias("bucket")
    placed = pl.col(_ID).map_batches(place, return_dtype=pl.Int32, is_elementwise=True)
    return pl.when(pl.col(_ID).is_null()).then(0).otherwise(placed).cast(pl.Int32).alias("bucket")


def check_complete(spans: pl.DataFrame) -> None:
    """Refuse buckets that share a customer: what is computed on half of a history is wrong.

    Parameters
    ----------
    spans
        table, bucket, first and last: the smallest and the largest id of each table's part of each bucket.

    Raises
    ------
    DataError
        Naming the first bucket whose customers are not all before those of the next.
    """
    of_bucket = (
        spans.drop_nulls("first")
        .group_by("bucket")
        .agg(pl.col("first").min(), pl.col("last").max())
        .sort("bucket")
        .with_columns(following=pl.col("first").shift(-1))
    )
    mixed = of_bucket.filter(pl.col("last") >= pl.col("following"))
    if not mixed.is_empty():
        raise DataError(
            f"{mixed.height} of {of_bucket.height} buckets hold customers of another bucket, first bucket "
            f"{mixed['bucket'][0]}. Allowed: all rows of a customer in one bucket. Split the tables anew."
        )
