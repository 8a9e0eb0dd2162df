"""Credit by channel: descriptive from journeys, incremental from the customer-period panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from attribution.credits import concat_credits
from attribution.descriptive import Descriptive, descriptive, descriptive_from_transitions
from attribution.rules import touch_credits
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from histories.journeys import build_journeys, count_journeys, count_paths, journey_touches, paths_from_table
from histories.money import to_currency
from histories.touchpoints import TOUCHPOINTS_SCHEMA, uncredited_channels

__all__ = ["CreditPart", "credit_part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPart:
    """Every credit of a run, the tables behind it, and what was left out.

    Attributes
    ----------
    tables
        credits, paths, transitions, removal_effects, customer_credits, as the bundle keeps them.
    touch_credit
        touch (row number), conversion_credit and spend_credit under the linear rule; None without journeys.
    journeys
        Converted journeys: customer_id, end, n_touches; None without touchpoints.
    """

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    touch_credit: pl.DataFrame | None = None
    journeys: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


def credit_part(config: RunConfig, histories: Histories) -> CreditPart:
    """Descriptive credit from whatever holds journeys: touchpoints, counted paths or transitions."""
    if histories.touchpoints is not None and histories.purchases is not None:
        return _from_journeys(config, histories)
    paths, transitions = histories.table("paths"), histories.table("transitions")
    about: dict[str, Any] = {"groups": _groups(config), "settings": config.attribution}
    if paths is not None:
        counted = paths_from_table(paths).collect()
        outcomes = [o for o in config.attribution.outcomes if o in ("conversion", "spend")]
        made = [
            descriptive(counted, methods=config.attribution.methods, outcome=outcome, **about)
            for outcome in outcomes
        ]
        return CreditPart(tables=_stack(made), left_out=_without_customers(config))
    if transitions is not None:
        made = [descriptive_from_transitions(transitions.collect(), outcome="conversion", **about)]
        return CreditPart(tables=_stack(made), left_out=_without_customers(config))
    return CreditPart(left_out={"credits": "needs touchpoints and transactions, or paths, or transitions"})


def _without_customers(config: RunConfig) -> dict[str, str]:
    if "incremental" not in config.attribution.methods:
        return {}
    return {"incremental credit": "aggregated journeys hold no customers to compare"}


def _groups(config: RunConfig) -> dict[str, str]:
    return {name: channel.group for name, channel in config.channels.items() if channel.group}


def _from_journeys(config: RunConfig, histories: Histories) -> CreditPart:
    assert histories.touchpoints is not None
    assert histories.purchases is not None
    settings = config.attribution
    window: dict[str, Any] = {
        "lookback_days": settings.lookback_days,
        "observation_end": histories.inputs.observation_end,
        "views": settings.views,
        "exclude": (*settings.exclude_channels, *uncredited_channels(config.channels)),
    }
    frames = histories.touchpoints.lazy(), histories.purchases.lazy()
    counts = count_journeys(*frames, **window)
    window["unique_channels"] = settings.unique_channels
    journeys = build_journeys(*frames, **window).collect()
    touches = journey_touches(*frames, **window, keep=["touch"]).collect()
    paths = count_paths(journeys.lazy()).collect()
    costs = _costs(histories)
    made = [
        descriptive(
            paths,
            touches.lazy(),
            methods=settings.methods,
            outcome=outcome,
            groups=_groups(config),
            costs=costs,
            settings=settings,
        )
        for outcome in settings.outcomes
        if outcome in ("conversion", "spend")
    ]
    earned = touch_credits(touches.lazy(), rule="linear")
    return CreditPart(
        tables=_stack(made),
        touch_credit=earned.select("touch", "conversion_credit", "spend_credit").collect(),
        journeys=journeys.filter("converted").select("customer_id", "end", "n_touches"),
        notes=(
            f"{counts.conversions:,} purchases had touches within {settings.lookback_days:g} days, "
            f"{counts.untouched:,} had none; {counts.null_paths:,} paths ended without a purchase; "
            f"{counts.open_windows:,} paths whose window was still open at the end are left out.",
        ),
    )


def _costs(histories: Histories) -> dict[str, float] | None:
    """Cost by channel in currency, from the costs table, else from the touches' own."""
    costs, touches = histories.table("costs"), histories.touchpoints
    if costs is not None:
        sums = costs.group_by("channel").agg(to_currency(pl.col("amount").sum()).alias("cost")).collect()
    elif touches is not None and "cost" in touches.columns and touches["cost"].null_count() < touches.height:
        sums = touches.group_by("channel").agg(to_currency(pl.col("cost").sum()).alias("cost"))
    else:
        return None
    return dict(zip(sums["channel"], sums["cost"], strict=True))


def _stack(made: list[Descriptive]) -> dict[str, pl.DataFrame]:
    if not made:
        return {}
    return {
        "credits": concat_credits([part.credits for part in made]).frame,
        "paths": pl.concat([part.paths for part in made]),
        "transitions": pl.concat([part.transitions for part in made]),
        "removal_effects": pl.concat([part.removal_effects for part in made]),
        "customer_credits": pl.concat([part.customer_credits for part in made]),
    }


def bundle_touchpoints(touchpoints: pl.DataFrame, earned: pl.DataFrame | None) -> pl.DataFrame:
    """Touchpoints with their share of purchases and spend under the linear rule; 0 outside journeys."""
    table = touchpoints
    if "cost" in table.columns:
        table = table.with_columns(to_currency(pl.col("cost")))
    credit = ("conversion_credit", "spend_credit")
    if earned is None:
        table = table.with_columns(pl.lit(0.0).alias(name) for name in credit)
    else:
        table = table.join(earned, on="touch", how="left", maintain_order="left")
        table = table.with_columns(pl.col(name).fill_null(0.0) for name in credit)
    return table.select(name for name in TOUCHPOINTS_SCHEMA if name in table.columns)
