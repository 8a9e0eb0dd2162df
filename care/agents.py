"""Agents against what their hours, channels and topics let expect; a funnel, and no ranking."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import polars as pl

from care.charts import funnel_limits
from care.measures.base import kept_of, promised
from care.rows import care_frame, care_row
from care.view import Desk

FEWEST_CASES: Final = 30
"""Below so many cases nothing is said of an agent."""
_WIDE: Final = 0.998


def agent_funnel(desk: Desk) -> pl.DataFrame:
    """Rows `agent_service_level`: share kept of each agent's cases against the share expected.

    The share expected (`target`) is the mean of the shares of all cases with the same channel, topic and part
    of the week (day or night, week or weekend). `low` and `high` are the 95 % limits around it; `attained`
    says whether the share lies within those of 99.8 %. Below 30 cases: "too few".
    """
    promise = promised(desk.view())
    if promise is None or not desk.column("agent").count():
        return care_frame()
    view = desk.view().covered(promise)
    kept = kept_of(view, promise, promise.clock)
    local = pl.col("waiting_since").dt.convert_time_zone(desk.zone)
    cases = (
        desk.rows("agent", "channel", "topic", "waiting_since")
        .filter(pl.Series(view.chosen))
        .select(
            "agent",
            "channel",
            pl.col("topic").fill_null(""),
            (local.dt.weekday() > 5).alias("weekend"),
            (local.dt.hour() // 6).alias("quarter"),
            pl.Series("kept", kept),
        )
        .filter(pl.col("kept").is_not_nan(), pl.col("agent").is_not_null())
        .with_columns(pl.col("kept").mean().over("channel", "topic", "weekend", "quarter").alias("expected"))
    )
    found = cases.group_by("agent").agg(pl.col("kept", "expected").mean(), pl.len().alias("n")).sort("agent")
    return care_frame(_row(row, promise.clock) for row in found.iter_rows(named=True))


def _row(found: dict[str, Any], clock: str) -> dict[str, Any]:
    row = care_row(
        "agent_service_level", "service", segment=f"agent: {found['agent']}", clock=clock, n=found["n"],
        unit="share", direction="up", target=found["expected"],
    )  # fmt: skip
    if found["n"] < FEWEST_CASES:
        return row | {"reason": f"too few: {found['n']} cases ({FEWEST_CASES} or more)"}
    low, high = funnel_limits(found["expected"], found["n"], 0.95)
    wide = funnel_limits(found["expected"], found["n"], _WIDE)
    share = found["kept"]
    within = wide[0] <= share <= wide[1] or math.isclose(share, found["expected"])
    said = "within the limits" if low <= share <= high else "outside the 95 % limits"
    return row | {
        "value": share, "low": low, "high": high, "interval_level": 0.95, "attained": bool(np.bool_(within)),
        "reason": said if within else "outside the 99.8 % limits",
    }  # fmt: skip
