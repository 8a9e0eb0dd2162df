"""What every engine offers, customer-complete buckets and the same functions on each; and the plain engine.

A *function* takes the tables of one bucket by name and returns tables. It sees all rows of its customers and
nobody else's, so the answer does not depend on the number of buckets. *Statistics* of the buckets add up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import polars as pl

Tables = Mapping[str, pl.LazyFrame]
Made = Mapping[str, pl.DataFrame | pl.LazyFrame]
Function = Callable[[Tables], Made]

S = TypeVar("S")

BYTES_PER_ROW = 400
"""Memory that the work on one row needs at its peak, with everything derived from it."""

BYTES_PER_CUSTOMER = 1900
"""Memory of what has a row for each customer and is not split: summaries, values, paths towards leaving."""

BYTES_LATER = 256 * 1024 * 1024
"""Memory that models and the report take, whatever the size of the company."""

BYTES_PER_CASE = 3000
"""Memory that the work on one case needs at its peak."""


class Buckets(ABC):
    """Tables split by customer; the buckets follow one another in the order of the customers' ids.

    Attributes
    ----------
    folder
        Where what has a row for each customer may wait on disk; None where all is in memory.
    """

    folder: Path | None = None

    @abstractmethod
    def map(self, function: Function) -> Buckets:
        """The same buckets with the tables that a function makes of each; equal names are replaced.

        A lazy table is kept as an engine likes best: computed at once, or whenever it is asked for.
        """

    @abstractmethod
    def reduce(self, function: Callable[[Tables], S], merge: Callable[[S, S], S]) -> S:
        """The statistics that a function makes of each bucket, merged."""

    @abstractmethod
    def add(self, tables: Tables) -> Buckets:
        """The same buckets with further tables, split as the first ones were."""

    @abstractmethod
    def gather(self, name: str) -> pl.LazyFrame:
        """The rows of a table from all buckets, bucket after bucket.

        A table that is sorted by customer within each bucket is sorted as a whole.
        """

    @abstractmethod
    def __contains__(self, name: str) -> bool:
        """Whether there is such a table."""


class Engine(ABC):
    """Splits tables by customer.

    Attributes
    ----------
    notes
        What to know of its work, such as memory that does not suffice.
    """

    notes: tuple[str, ...] = ()

    @abstractmethod
    def begin(self, token: str) -> None:
        """Go on from what a killed process had finished of the same work on the same rows.

        Parameters
        ----------
        token
            The same only where work and rows are; an engine that keeps nothing does without.
        """

    @abstractmethod
    def scatter(
        self,
        tables: Tables,
        *,
        bytes_per_row: int = BYTES_PER_ROW,
        bytes_per_customer: int = BYTES_PER_CUSTOMER,
    ) -> Buckets:
        """Split tables with a column `customer_id`, of one type in all of them.

        Parameters
        ----------
        tables
            By name.
        bytes_per_row
            What the work on a row of a bucket needs at its peak.
        bytes_per_customer
            What has a row for each customer in the end and is not split.

        Raises
        ------
        StorageError
            When the disk does not take the buckets.
        """


class Local(Engine):
    """The whole company as one bucket, in memory: fast, and memory follows the size of the data."""

    def begin(self, token: str) -> None:
        """Nothing is left of a killed process in memory."""

    def scatter(self, tables: Tables, **memory: int) -> Buckets:
        """All tables in one bucket; nothing is computed."""
        return _Whole(tables)


class _Whole(Buckets):
    def __init__(self, tables: Tables) -> None:
        self._tables = dict(tables)

    def map(self, function: Function) -> Buckets:
        made = {name: frame.lazy() for name, frame in function(self._tables).items()}
        return _Whole(self._tables | made)

    def reduce(self, function: Callable[[Tables], S], merge: Callable[[S, S], S]) -> S:
        return function(self._tables)

    def add(self, tables: Tables) -> Buckets:
        return _Whole(self._tables | dict(tables))

    def gather(self, name: str) -> pl.LazyFrame:
        return self._tables[name]

    def __contains__(self, name: str) -> bool:
        return name in self._tables
