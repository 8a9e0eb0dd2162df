"""A desk that need not fit in memory: its matters as narrow tables, of which a column at a time is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from care.view import Desk
from histories.mapped import moved_to_file

NUMBERS: Final = "numbers"
LABELS: Final = "labels"
WAITS: Final = "waits_again"
_LABELS: Final = (
    "channel", "channel_group", "team", "brand", "product", "topic", "agent", "week", "month", "day", "hour",
    "waiting_since", "opened_at", "waiting", "audience", "sentiment_last", "waiting_seconds",
)  # fmt: skip


def stored_tables(desk: Desk) -> dict[str, pl.DataFrame]:
    """The matters of a bucket as narrow tables, which follow one another as those of other buckets do.

    Returns
    -------
    dict
        `NUMBERS`: what `Desk.arrays` holds, with `is_new` (the customer is not that of the row before) and
        `n_waits`; `LABELS`: words and times; `WAITS`: waits after the first, in the order of their matters.
    """
    order = desk.frame.with_row_index("row").sort("key", "waiting_since", "journey_id")["row"].to_numpy()
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    waits = desk.wait_arrays
    whose = place[waits["row"]]
    by_matter = np.argsort(whose, kind="stable")
    key = desk.frame["key"].gather(order)
    numbers = {name: array[order] for name, array in desk.arrays.items() if name not in ("customer", "row")}
    return {
        NUMBERS: pl.DataFrame(numbers).with_columns(
            (key != key.shift(1)).fill_null(True).alias("is_new"),
            pl.Series("n_waits", np.bincount(whose, minlength=len(order)), dtype=pl.Int64),
        ),
        LABELS: desk.frame.select(_LABELS)[order],
        WAITS: pl.DataFrame({name: array[by_matter] for name, array in waits.items() if name != "row"}),
    }


@dataclass(frozen=True, kw_only=True)
class StoredDesk(Desk):
    """A desk whose matters lie in narrow tables, of which a column at a time is read.

    Attributes
    ----------
    stored
        Reads the tables of `stored_tables` of all buckets, one after the other.
    folder
        Where numbers are kept as files that are mapped into memory; None: they are held.
    """

    stored: Callable[[str], pl.LazyFrame]
    folder: Path | None = None

    @cached_property
    def height(self) -> int:
        """Number of matters."""
        return int(self.stored(NUMBERS).select(pl.len()).collect().item())

    def column(self, name: str) -> pl.Series:
        """A column of the matters."""
        return self.rows(name)[name]

    def rows(self, *names: str) -> pl.DataFrame:
        """Some columns of the matters."""
        return self.stored(LABELS).select(names).collect()

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """See `Desk.arrays`; each is read when it is first asked for."""
        return _Arrays(self._number)

    def _number(self, name: str) -> NDArray[Any]:
        if name == "row":
            return np.arange(self.height)
        if name == "customer":
            return self._kept(np.cumsum(self._read(NUMBERS, "is_new")))
        return self._kept(self._read(NUMBERS, name))

    def _read(self, table: str, name: str) -> NDArray[Any]:
        return self.stored(table).select(name).collect().to_series().to_numpy()

    def _kept(self, array: NDArray[Any]) -> NDArray[Any]:
        return array if self.folder is None else moved_to_file(array, self.folder)

    @cached_property
    def wait_arrays(self) -> Mapping[str, NDArray[Any]]:
        """See `Desk.wait_arrays`."""
        counts = self._read(NUMBERS, "n_waits")
        found = {name: self._read(WAITS, name) for name in self.stored(WAITS).collect_schema().names()}
        return {
            name: self._kept(array)
            for name, array in {"row": np.repeat(np.arange(len(counts)), counts), **found}.items()
        }


class _Arrays(Mapping[str, NDArray[Any]]):
    """Arrays that are read when they are first asked for."""

    def __init__(self, read: Callable[[str], NDArray[Any]]) -> None:
        self._read = read
        self._known: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
