"""Objectives held against whatever the run measured: service figures, credit, effects, returns."""

from __future__ import annotations

import polars as pl

from attribution.effects.findings import EffectsResult
from care.measures.base import promised
from care.objectives import objective_scores, objectives_table
from care.view import Desk
from experiments.parts.histories import Histories
from experiments.parts.part import Part
from histories.cuts import ALL


def objectives_part(
    histories: Histories,
    desk: Desk | None,
    figures: pl.DataFrame | None,
    *,
    credits: pl.DataFrame | None = None,
    effects: EffectsResult | None = None,
    returns: pl.DataFrame | None = None,
) -> Part:
    """The picture `objectives`, with what was measured, and notes with their scores.

    Parameters
    ----------
    histories
        With the objectives table.
    desk, figures
        Matters and their figures; None without any.
    credits, effects, returns
        What else a figure may be of: `credit OUTCOME CHANNEL` (of a group, a channel, or `(all)`),
        `effect OUTCOME NAME`, `return LINE`. Only what is supported counts.
    """
    table = histories.table("objectives")
    if table is None:
        return Part()
    promise = None if desk is None else promised(desk.view())
    held = objectives_table(
        table.collect(),
        figures,
        others=_credits(credits) | _effects(effects) | _returns(returns),
        clock="calendar" if promise is None else promise.clock,
    )
    capped, plain = objective_scores(held["attainment"], held["weight"])
    notes = [
        f"objectives: {row['kpi'] or row['objective']}: {row['reason']}."
        for row in held.filter(pl.col("reason").is_not_null()).iter_rows(named=True)
    ]
    if capped is not None and plain is not None:
        notes.append(f"objectives: the weighted score is {capped:.2f} ({plain:.2f} uncapped).")
    else:
        notes.append("objectives: no score, since no objective with a weight above 0 was measured.")
    return Part(pictures={"objectives": held}, notes=tuple(notes))


def _credits(credits: pl.DataFrame | None) -> dict[str, float | None]:
    """Incremental credit of every group and channel."""
    if credits is None or credits.is_empty():
        return {}
    rows = credits.filter(
        (pl.col("kind") == "incremental")
        & (pl.col("segment") == ALL)
        & (pl.col("period") == ALL)
        & pl.col("level").is_in(["group", "channel"])
    ).sort(pl.col("level") == "group")
    name = pl.when(pl.col("level") == "group").then("channel_group").otherwise("channel")
    value = pl.when("supported").then("credit")
    return {
        f"credit {outcome} {who}": credit
        for outcome, who, credit in rows.select("outcome", name.alias("who"), value.alias("is")).iter_rows()
    }


def _effects(effects: EffectsResult | None) -> dict[str, float | None]:
    """The estimate of each effect that was chosen beforehand."""
    found: dict[str, float | None] = {}
    for one in () if effects is None else effects.effects:
        if one.segment == ALL and one.estimator != "naive":
            found.setdefault(f"effect {one.outcome} {one.name}", one.estimate if one.supported else None)
    return found


def _returns(returns: pl.DataFrame | None) -> dict[str, float | None]:
    """Lines of the account of care over all months."""
    if returns is None:
        return {}
    rows = returns.filter(
        (pl.col("scenario") == "actual") & (pl.col("segment") == ALL) & (pl.col("period") == ALL)
    )
    return {f"return {line}": value for line, value in rows.select("line", "value").iter_rows()}
