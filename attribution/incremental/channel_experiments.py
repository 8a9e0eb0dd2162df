"""Which estimated effects are experiments on a channel that credits can be held against."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from attribution.effects.design import EffectDesign
from attribution.incremental.experiment import ChannelExperiment
from histories.cuts import ALL
from histories.panel import Panel
from histories.period_index import period_of

SLACK = timedelta(days=7)
"""How far the window of an experiment may miss the start of a period or the end of observation."""


def channel_experiments(
    designs: Sequence[EffectDesign],
    effects: pl.DataFrame,
    assignments: pl.DataFrame,
    panel: Panel,
    *,
    period: str,
    observation_end: date,
) -> tuple[ChannelExperiment, ...]:
    """Randomised effects whose contrast the panel can repeat: one channel, start of a period to the end.

    Taken are supported estimates of spend, and of retention where leaving is recorded, from designs of
    `design = "randomised"` that name `treatment.channel` and compare two arms.

    Parameters
    ----------
    designs, effects
        The configured designs, and the effects estimated for them in EFFECTS_SCHEMA.
    assignments
        customer_id, experiment, arm, assigned_at.
    panel
        The customers to be credited.
    period, observation_end
        As the panel was built.
    """
    found: list[ChannelExperiment] = []
    for design in designs:
        channel = design.treatment.channel
        if design.design != "randomised" or design.table is not None or channel not in panel.channels:
            continue
        rows = assignments.filter(pl.col("experiment") == (design.treatment.experiment or design.name))
        start = rows["assigned_at"].dt.date().min()
        if rows["arm"].n_unique() != 2 or not isinstance(start, date) or panel.customer_ids is None:
            continue
        if start + timedelta(days=design.follow_up_days) < observation_end - SLACK:
            continue
        open_to = rows.filter(pl.col("arm") != design.treatment.control)["customer_id"]
        counted_back = period_of(start + SLACK, period=period, observation_end=observation_end)
        for outcome in ("retention", "spend") if panel.contractual else ("spend",):
            for estimate, error in _supported(effects, design.name, outcome):
                experiment = ChannelExperiment(
                    name=design.name,
                    channel=str(channel),
                    outcome=outcome,
                    estimate=estimate,
                    std_error=error,
                    treated=panel.customer_ids.is_in(open_to.implode()).to_numpy(),
                    first_period=panel.n_periods + counted_back,
                )
                found.append(experiment)
    return tuple(found)


def _supported(effects: pl.DataFrame, name: str, outcome: str) -> list[tuple[float, float]]:
    """Estimate and standard error that were chosen beforehand, if they may be quoted: one or none."""
    rows = effects.filter(
        (pl.col("name") == name)
        & (pl.col("outcome") == outcome)
        & (pl.col("segment") == ALL)
        & (pl.col("estimand") != "LATE")  # of the arms, not of answers
    )
    chosen = rows.head(1).filter(pl.col("supported") & pl.col("std_error").is_not_null())
    return [
        (float(estimate), float(error))
        for estimate, error in chosen.select("estimate", "std_error").iter_rows()
    ]
