"""Filters over the mapped columns: a question compiled once, then asked of any rows."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Callable
from functools import reduce
from typing import Any, Final

import numpy as np
import polars as pl

from api.store import Store
from experiments.bundle.columns import Array, Column, known_values
from experiments.filters import Combination, Comparison, Filter, Sample
from experiments.sampling import sample_numbers

Keeps = Callable[[Any], Array]
"""Which of the rows (indices, or a slice of the store) are kept; boolean, shape (n,)."""

CHUNK: Final = 65_536
_DAY_ZERO: Final = dt.date(1970, 1, 1).toordinal()
_COMPARE: Final[dict[str, Callable[[Array, Any], Array]]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def compile_filter(store: Store, bound: Filter) -> Keeps:
    """The filter as a function of rows; `bound` comes from `bind_filter` over `store.types`."""
    if isinstance(bound, Combination):
        parts = [compile_filter(store, part) for part in bound.parts]
        if bound.operator == "not":
            return lambda rows: ~parts[0](rows)
        join = np.logical_and if bound.operator == "and" else np.logical_or
        return lambda rows: reduce(join, [part(rows) for part in parts])
    if isinstance(bound, Sample):
        return lambda rows: sample_numbers(store.key[rows], bound.name) < bound.share
    assert isinstance(bound, Comparison)
    return _comparison(store.filterable[bound.column], bound)


def _comparison(column: Column, bound: Comparison) -> Keeps:
    stored = [_stored(column, value) for value in bound.values]

    def keeps(rows: Any) -> Array:
        values = column.values[rows]
        known = known_values(column, values)
        match bound.operator:
            case "known":
                return known
            case "unknown":
                return ~known
            case "in":
                return known & np.isin(values, [value for value in stored if value is not None])
            case "between":
                return (
                    known
                    & _ordered(column, values, "ge", bound.values[0])
                    & _ordered(column, values, "le", bound.values[1])
                )
            case operator:
                return known & _ordered(column, values, operator, bound.values[0])

    return keeps


def _ordered(column: Column, values: Array, operator: str, value: Any) -> Array:
    """Compare stored values; texts by their place in the column's sorted list."""
    stored = _stored(column, value)
    if column.dtype != pl.String or stored is not None:
        return _COMPARE[operator](values, stored)
    place = bisect_left(column.texts, value)  # the text is none of the column's
    if operator in ("eq", "ne"):
        return np.full(len(values), operator == "ne")
    return values < place if operator in ("lt", "le") else values >= place


def _stored(column: Column, value: Any) -> Any:
    """A value as the column stores it; None for a text that the column does not have."""
    if isinstance(value, dt.date):
        return value.toordinal() - _DAY_ZERO
    if isinstance(value, str):
        place = bisect_left(column.texts, value)
        return place if place < len(column.texts) and column.texts[place] == value else None
    return value
