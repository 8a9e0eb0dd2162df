"""What the channels cost, and what they returned."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from care.returns import returns_of_credit
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from histories.money import to_currency

__all__ = ["channel_costs", "returns_part"]


def channel_costs(histories: Histories) -> dict[str, float]:
    """Cost by channel in currency, from the costs table, else from the touches' own; empty where unknown."""
    costs, touches = histories.table("costs"), histories.touchpoints
    if costs is not None:
        sums = costs.group_by("channel").agg(to_currency(pl.col("amount").sum()).alias("cost")).collect()
    elif touches is not None and "cost" in touches.columns and touches["cost"].null_count() < touches.height:
        sums = touches.group_by("channel").agg(to_currency(pl.col("cost").sum()).alias("cost"))
    else:
        return {}
    return dict(zip(sums["channel"], sums["cost"], strict=True))


def returns_part(
    config: RunConfig, costs: Mapping[str, float], credits: pl.DataFrame | None
) -> tuple[pl.DataFrame | None, dict[str, str]]:
    """The return of each channel group, or why there is none."""
    margin = config.value.gross_margin
    if credits is None or credits.filter(pl.col("kind") == "incremental").is_empty():
        return None, {"return on investment": "needs incremental credit of spend"}
    if not costs:
        return None, {"return on investment": "no costs were given"}
    if margin is None:
        return None, {"return on investment": "[value] gross_margin is not set"}
    table = returns_of_credit(credits, gross_margin=margin, costs=costs, groups=config.channel_groups)
    if table.is_empty():
        return None, {"return on investment": "no incremental credit with a cost is supported"}
    return table, {}
