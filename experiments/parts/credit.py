"""Credit by channel: descriptive from journeys, incremental from the customer-period panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import polars as pl

from attribution.credits.table import concat_credits
from attribution.effects.findings import EffectsResult
from attribution.paths.descriptive import Descriptive, descriptive, descriptive_from_transitions
from attribution.paths.rules import touch_credits
from attribution.paths.walks import PathWalk, Trails
from attribution.settings import PATH_OUTCOMES
from experiments.config import RunConfig
from experiments.parts.attempt import attempt
from experiments.parts.histories import Histories
from experiments.parts.incremental import IncrementalPart, incremental_part
from experiments.parts.segments import segment_labels
from histories.cuts import ALL
from histories.journeys import JourneyCounts, paths_from_table
from histories.tables import TOUCH
from histories.touchpoints import uncredited_channels

__all__ = ["CreditPart", "credit_part"]

PER_PURCHASE: Final = ("conversion", "spend")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPart:
    """Every credit of a run, the tables behind it, and what was left out.

    Attributes
    ----------
    tables
        credits, paths, transitions, removal_effects, customer_credits, as the bundle keeps them.
    touch_credit
        touch_number, conversion_credit and spend_credit under the linear rule; None without journeys.
    journeys
        One row per purchase and null path, as `walk_journeys` makes them; None without touchpoints.
    """

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    touch_credit: pl.LazyFrame | None = None
    journeys: pl.LazyFrame | None = None
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


def credit_part(
    config: RunConfig,
    histories: Histories,
    residual_value: pl.DataFrame | None,
    costs: Mapping[str, float],
    effects: EffectsResult | None = None,
) -> CreditPart:
    """Credit from whatever holds journeys: touchpoints, counted paths or transitions.

    `residual_value` holds customer_id and the margin expected of a customer who is still there (currency),
    for lifetime value; it is None where customers were not valued. `costs` are by channel, in currency.
    `effects` may hold experiments on channels, which test the incremental credit. An outcome, a segment or
    a method that fails is left out with its reason, the others are made.
    """
    if histories.touchpoints is None or histories.purchases is None:
        return _from_counts(config, histories)
    left_out: dict[str, str] = {}
    trails = attempt(left_out, "journeys", lambda: _trails(config, histories))
    made = [] if trails is None else _of_outcomes(config, histories, trails, costs or None, left_out)
    tables = attempt(left_out, "descriptive credit", lambda: _stack(made)) or {}
    added = attempt(
        left_out,
        "incremental credit",
        lambda: incremental_part(config, histories, residual_value, costs or None, effects),
    )
    added = added or IncrementalPart()
    credits = [frame for frame in (tables.get("credits"), added.credits) if frame is not None]
    if credits:
        tables["credits"] = pl.concat(credits)
    return CreditPart(
        tables=tables,
        touch_credit=None if trails is None else touch_credits(trails.to_purchases.touches, rule="linear"),
        journeys=None if trails is None else trails.to_purchases.journeys,
        notes=(
            *(() if trails is None else (_told(trails.counts, config.attribution.lookback_days),)),
            *added.notes,
        ),
        left_out=left_out | added.left_out,
    )


def _from_counts(config: RunConfig, histories: Histories) -> CreditPart:
    """Credit of aggregated journeys."""
    paths, transitions = histories.table("paths"), histories.table("transitions")
    about: dict[str, Any] = {"groups": config.channel_groups, "settings": config.attribution}
    if paths is None and transitions is None:
        return CreditPart(
            left_out={"credits": "needs touchpoints and transactions, or paths, or transitions"}
        )
    left_out: dict[str, str] = {}
    outcomes = [outcome for outcome in config.attribution.outcomes if outcome in PER_PURCHASE]

    def of(outcome: str) -> Descriptive:
        if paths is None:
            assert transitions is not None
            return descriptive_from_transitions(transitions.collect(), outcome=outcome, **about)
        counted = paths_from_table(paths).collect()
        return descriptive(counted, methods=config.attribution.methods, outcome=outcome, **about)

    made = [
        attempt(left_out, f"{outcome}, descriptive", partial(of, outcome))
        for outcome in (outcomes if paths is not None else ["conversion"])
    ]
    if "incremental" in config.attribution.methods:
        left_out["incremental credit"] = "aggregated journeys hold no customers to compare"
    return CreditPart(tables=_stack([part for part in made if part is not None]), left_out=left_out)


def _trails(config: RunConfig, histories: Histories) -> Trails:
    assert histories.touchpoints is not None
    assert histories.purchases is not None
    leavers = histories.customers if histories.contractual else None
    return Trails(
        histories.touchpoints.lazy(),
        histories.purchases.lazy(),
        leavers.lazy() if leavers is not None else None,
        observation_end=histories.inputs.observation_end,
        settings=config.attribution,
        exclude=uncredited_channels(config.channels),
        keep=[TOUCH],
    )


def _told(counts: JourneyCounts, lookback_days: float) -> str:
    return (
        f"{counts.conversions:,} purchases had touches within {lookback_days:g} days, {counts.untouched:,} "
        f"had none; {counts.null_paths:,} paths ended without a purchase; {counts.open_windows:,} paths "
        "whose window was still open at the end are left out."
    )


def _of_outcomes(
    config: RunConfig,
    histories: Histories,
    trails: Trails,
    costs: Mapping[str, float] | None,
    left_out: dict[str, str],
) -> list[Descriptive]:
    """Descriptive credit of each outcome that has any, whole and by segment."""
    made: list[Descriptive] = []
    for outcome in config.attribution.outcomes:
        if outcome not in PATH_OUTCOMES:
            continue
        part = f"{outcome}, descriptive"
        towards = attempt(left_out, part, partial(trails.towards, outcome))
        if towards is None:
            continue
        whole = attempt(left_out, part, partial(_descriptive, config, outcome, towards, costs))
        if whole is not None:
            made.append(whole)
            made += _by_segment(config, histories, outcome, towards, left_out)
    return made


def _by_segment(
    config: RunConfig, histories: Histories, outcome: str, walks: PathWalk, left_out: dict[str, str]
) -> list[Descriptive]:
    """Descriptive credit of each value of each segment column; customers without a value are one segment."""
    made: list[Descriptive] = []
    for column in config.attribution.segments:
        part = f"{outcome}, descriptive, by {column}"
        made += attempt(left_out, part, partial(_of_column, config, histories, outcome, walks, column)) or []
    return made


def _of_column(
    config: RunConfig, histories: Histories, outcome: str, walks: PathWalk, column: str
) -> list[Descriptive]:
    labels = segment_labels(histories.customers, column)
    return [
        _descriptive(config, outcome, part, None, segment=f"{column}: {label}")
        for label, part in walks.by_label(labels)
    ]


def _descriptive(
    config: RunConfig,
    outcome: str,
    walks: PathWalk,
    costs: Mapping[str, float] | None,
    *,
    segment: str = ALL,
) -> Descriptive:
    return descriptive(
        walks.paths,
        walks.touches,
        segment=segment,
        methods=config.attribution.methods,
        outcome=outcome,
        groups=config.channel_groups,
        costs=costs,
        settings=config.attribution,
    )


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
