"""The whole company as one bucket, in memory."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from histories.engines.base import Buckets, Engine, Function, S, Tables


class Local(Engine):
    """Computes everything at once; fast, and memory follows the size of the data."""

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
