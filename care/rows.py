"""Rows of the table of service figures: whatever a figure does not say is of everything, or unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from care.intervals import LEVEL, Interval
from care.tables import CARE_SCHEMA
from histories.cuts import ALL


def care_row(kpi: str, group: str, found: Interval | None = None, **said: Any) -> dict[str, Any]:
    """A row in the columns of `CARE_SCHEMA`, with a figure and its interval; `said` are further columns."""
    everything = dict.fromkeys(("channel", "team", "segment", "period"), ALL)
    row = dict.fromkeys(CARE_SCHEMA) | everything | {"kpi": kpi, "group": group, "n": 0}
    if found is not None:
        row |= {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
        row["interval_level"] = None if found.low is None else LEVEL
    return row | said


def care_frame(rows: Iterable[dict[str, Any]] = ()) -> pl.DataFrame:
    """Rows as the table."""
    return pl.DataFrame(list(rows), schema=CARE_SCHEMA, orient="row")
