"""The ledger of promises: written down when they are made, scored once when their time has come.

    error = what came - what was promised
    shortfall = (promised - came) / |promised|, turned round where less is better

A promise with an interval is kept where what came lies inside; where what came is itself an estimate, the two
halves of the intervals that look at each other add as squares. A row is never written again: neither the
promise nor, once it is there, its score.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

FORECASTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "made_on": pl.Date(),  # last day of the data that it was made of
    "kind": pl.String(),  # forecast, effect, return, plan, objective
    "what": pl.String(),
    "unit": pl.String(),
    "better": pl.String(),  # more, less
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "due": pl.Date(),
    "run_id": pl.String(),  # of the run that made it
    "actual": pl.Float64(),
    "actual_low": pl.Float64(),
    "actual_high": pl.Float64(),
    "scored_on": pl.Date(),  # last day of the data that it was scored with
    "error": pl.Float64(),  # actual less value
    "inside": pl.Boolean(),  # null without an interval
    "shortfall": pl.Float64(),  # share of the promise that did not come; negative where more came
    "reason": pl.String(),  # why it is due and has no score
}
_SAME: Final = (("made_on", "kind", "what", "due"), ("value", "kind", "what", "due"))
"""What two rows have in common that are one promise: of one day, or repeated word for word on another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of a promise, with the interval of an estimate; or why nobody can say."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


def keep_ledger(
    before: pl.DataFrame | None,
    made: pl.DataFrame,
    *,
    as_of: dt.date,
    came: Callable[[Mapping[str, Any]], Came],
) -> pl.DataFrame:
    """The ledger before, with what was promised now; those that fell due by `as_of` are scored.

    A promise that stands already, from the same day or with the same value, stays as it is.

    >>> first = pl.DataFrame([{"made_on": dt.date(2026, 1, 31), "kind": "forecast", "what": "purchases",
    ...     "value": 100.0, "low": 90.0, "high": 110.0, "due": dt.date(2026, 2, 28), "better": "more"}])
    >>> found = keep_ledger(None, first, as_of=dt.date(2026, 3, 1), came=lambda row: Came(value=85.0))
    >>> found.select("actual", "error", "inside", "shortfall").row(0)
    (85.0, -15.0, False, 0.15)
    """
    rows = [] if before is None else before.to_dicts()
    known = {tuple(row[name] for name in same) for row in rows for same in _SAME}
    empty = dict.fromkeys(FORECASTS_SCHEMA)
    rows += [
        empty | row
        for row in made.to_dicts()
        if not any(tuple(row[name] for name in same) in known for same in _SAME)
    ]
    scored = [
        row if row["actual"] is not None or row["due"] > as_of else row | _score(row, came(row), as_of)
        for row in rows
    ]
    return pl.DataFrame(scored, schema=FORECASTS_SCHEMA).sort(
        pl.col("actual").is_null(), "due", "made_on", "kind", "what"
    )


def _score(row: Mapping[str, Any], found: Came, as_of: dt.date) -> dict[str, Any]:
    if found.value is None:
        return {"reason": found.reason or "it was not measured"}
    error = found.value - row["value"]
    fallen = error if row["better"] == "less" else -error
    return {
        "actual": found.value,
        "actual_low": found.low,
        "actual_high": found.high,
        "scored_on": as_of,
        "error": error,
        "inside": _is_inside(row, found, error),
        "shortfall": fallen / abs(row["value"]) if row["value"] else None,
        "reason": None,
    }


def _is_inside(row: Mapping[str, Any], found: Came, error: float) -> bool | None:
    """Whether what came lies within the promise's interval, widened by its own; None without one."""
    if row["low"] is None or row["high"] is None or found.value is None:
        return None
    mine = row["high"] - row["value"] if error > 0 else row["value"] - row["low"]
    other = 0.0
    if found.low is not None and found.high is not None:
        other = found.value - found.low if error > 0 else found.high - found.value
    return bool(abs(error) <= math.hypot(max(mine, 0.0), max(other, 0.0)) + 1e-9 * abs(row["value"]))


def ledger_scores(ledger: pl.DataFrame) -> pl.DataFrame:
    """By kind: promises, scored, inside (a share of those with an interval), short (median shortfall).

    `over_promised` is the share of the scored of which less came than promised; an unbiased promise has .5.
    """
    scored = pl.col("actual").is_not_null()
    return (
        ledger.group_by("kind", maintain_order=True)
        .agg(
            pl.len().alias("promises"),
            scored.sum().alias("scored"),
            pl.col("inside").mean().alias("inside"),
            pl.col("shortfall").median().alias("shortfall"),
            (pl.col("shortfall") > 0).mean().alias("over_promised"),
        )
        .sort("kind")
    )
