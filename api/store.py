"""Scores by customer, looked up in memory-mapped columns; one value, swapped whole."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from experiments.bundle.columns import NULL_INT32, NULL_INT64, Array, Column, known_values
from experiments.bundle.reading import Bundle
from experiments.bundle.serving import Records, open_serving

_INT64: Final = np.iinfo(np.int64)
_DAY_ZERO: Final = dt.date(1970, 1, 1).toordinal()


class Store:
    """The customers of one bundle.

    Ids are texts here, as in URLs; an integer id matches its canonical decimal alone ("7", not "07").
    """

    def __init__(self, bundle: Bundle) -> None:
        serving = open_serving(bundle.path / "serving")
        self.key = serving.key
        self.columns: Mapping[str, Column] = serving.customers
        self.filterable: Mapping[str, Column] = {**serving.customers, **serving.profiles}
        self.types = {name: column.dtype for name, column in self.filterable.items()}
        self._orders = {name: (rows, serving.known[name]) for name, rows in serving.orders.items()}
        self.touchpoints, self.purchases = serving.touchpoints, serving.purchases
        self.integer_ids = self.key.dtype.kind == "i"
        self._fields: list[tuple[str, Callable[[int], Any]]] = [
            (name, column.item) for name, column in self.columns.items()
        ]

    def __len__(self) -> int:
        return len(self.key)

    def find(self, customer_id: str) -> int:
        """Row of a customer, or -1."""
        return find_row(self.key, customer_id)

    def find_many(self, customer_ids: Sequence[str]) -> Array:
        """Rows of customers, -1 where unknown; shape (n,)."""
        return find_rows(self.key, customer_ids)

    def order(self, name: str) -> tuple[Array, int]:
        """Rows in ascending order of a column, ties by id, those without a value last; and how many have one.

        Columns that are sorted by often come from the bundle; another is sorted when it is first asked for.
        """
        found = self._orders.get(name)
        if found is None:
            column = self.filterable[name]
            known = np.flatnonzero(known_values(column))
            order = known[np.argsort(column.values[known], kind="stable")]
            rest = np.setdiff1d(np.arange(len(self)), known, assume_unique=True)
            found = self._orders[name] = np.concatenate([order, rest]).astype(np.uint32), len(known)
        return found

    def customer_id(self, row: int) -> str:
        """The id of a row as text."""
        value = self.key.item(row)
        return str(value) if self.integer_ids else value.decode()

    def ids_of(self, rows: Array) -> pl.Series:
        """Ids as the bundle holds them, whole numbers or texts; named customer_id."""
        ids = self.key[rows]
        if self.integer_ids:
            return pl.Series("customer_id", ids)
        return pl.Series("customer_id", ids.tolist(), dtype=pl.Binary).cast(pl.String)

    def score(self, row: int, fields: Sequence[str] | None = None) -> dict[str, Any]:
        """One customer's columns as plain values, without the id; those of `fields`, or all scores."""
        if fields is not None:
            return {name: self.filterable[name].item(row) for name in fields}
        return {name: item(row) for name, item in self._fields}

    def columns_of(self, rows: Array, fields: Sequence[str]) -> dict[str, Any]:
        """Columns of many customers in a form that orjson writes fast: arrays, or lists with nulls."""
        return {name: _plain(self.filterable[name], rows) for name in fields}

    def frame_of(self, rows: Array, fields: Sequence[str]) -> pl.DataFrame:
        """Columns of many customers as a frame, without the id."""
        return pl.DataFrame([self.filterable[name].series(rows) for name in fields])

    def records_of(
        self, records: Records, customer_id: str, *, after: int = 0, limit: int | None = None
    ) -> tuple[list[dict[str, Any]], int] | None:
        """A customer's touchpoints or purchases in order from position `after` on, and how many there are.

        None when the customer is unknown.
        """
        position = find_row(records.owners, customer_id)
        if position < 0:
            return None if self.find(customer_id) < 0 else ([], 0)
        first, end = int(records.first[position]), int(records.first[position + 1])
        start = min(first + after, end)
        rows = range(start, end if limit is None else min(start + limit, end))
        fields = [(name, column.item) for name, column in records.columns.items()]
        return [{name: item(row) for name, item in fields} for row in rows], end - first


def find_row(key: Array, customer_id: str) -> int:
    """Row of an id in a sorted key, or -1."""
    if not len(key):
        return -1
    value: Any
    if key.dtype.kind == "i":
        value = integer_of(customer_id)
        if value is None:
            return -1
    else:
        value = customer_id.encode("utf-8", "surrogatepass")
        if len(value) > key.dtype.itemsize or value[-1:] == b"\0":
            return -1
        value = np.array(value, dtype=key.dtype)  # of equal width: no other may meet the mapped array
    row = int(key.searchsorted(value))
    return row if row < len(key) and key[row] == value else -1


def integer_of(text: str) -> int | None:
    """The number whose canonical decimal this is."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == text and _INT64.min <= number <= _INT64.max else None


def find_rows(key: Array, customer_ids: Sequence[str]) -> Array:
    """Rows of ids in a sorted key, -1 where unknown; shape (n,)."""
    if not len(key) or not len(customer_ids):
        return np.full(len(customer_ids), -1, dtype=np.int64)
    if key.dtype.kind == "i":
        values, valid = _integers(customer_ids)
    else:
        values, valid = _padded(customer_ids, key.dtype.itemsize)
    rows = np.minimum(key.searchsorted(values), len(key) - 1)
    return np.where(valid & (key[rows] == values), rows, -1)


def _integers(texts: Sequence[str]) -> tuple[Array, Array]:
    """Canonical decimals as int64, and which of the texts are such."""
    joined = f",{','.join(texts)}"
    if joined.isascii() and joined.replace(",", "").isdigit() and ",0" not in joined:  # the usual case
        numbers = pl.Series(texts, dtype=pl.String).cast(pl.Int64, strict=False)
        if not numbers.null_count():
            return numbers.to_numpy(), np.ones(len(texts), dtype=bool)
    found = [integer_of(text) for text in texts]
    valid = np.array([number is not None for number in found])
    return np.array([number or 0 for number in found], dtype=np.int64), valid


def _padded(texts: Sequence[str], width: int) -> tuple[Array, Array]:
    """Ids as UTF-8 of fixed width, and which of them fit."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    valid = np.fromiter((len(e) <= width and e[-1:] != b"\0" for e in encoded), bool, len(encoded))
    return np.array(encoded, dtype=f"S{width}"), valid


def _plain(column: Column, rows: Array) -> Any:
    taken = column.values[rows]
    if column.dtype == pl.Float64:
        return taken
    if column.dtype == pl.Int64:
        missing = taken == NULL_INT64
        return (
            [None if m else v for m, v in zip(missing, taken.tolist(), strict=True)]
            if missing.any()
            else taken
        )
    if column.dtype == pl.Date:
        return [_ISO_DATES[day] for day in taken.tolist()]
    if column.dtype == pl.String:
        return _words(column)[taken].tolist()
    return [column.item(row) for row in rows.tolist()]


def _words(column: Column) -> Array:
    """A column's texts, and None behind them, where the code -1 finds it."""
    return np.array([*column.texts, None], dtype=object)


class _IsoDates(dict[int, str | None]):
    """ISO dates by day since 1970-01-01, each written once."""

    def __missing__(self, day: int) -> str | None:
        text = None if day == NULL_INT32 else dt.date.fromordinal(day + _DAY_ZERO).isoformat()
        self[day] = text
        return text


_ISO_DATES: Final = _IsoDates()
