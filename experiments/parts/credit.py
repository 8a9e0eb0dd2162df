"""Credit by channel: descriptive from journeys, incremental from the customer-period panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import polars as pl

from attribution.credits.table import ALL, concat_credits
from attribution.effects import EffectsResult
from attribution.paths.descriptive import Descriptive, descriptive, descriptive_from_transitions
from attribution.paths.repeat_purchases import repeat_purchase_journeys
from attribution.paths.rules import touch_credits
from attribution.paths.sessions import merge_sessions
from experiments.config import RunConfig
from experiments.parts.attempt import attempt
from experiments.parts.histories import Histories
from experiments.parts.incremental import IncrementalPart, incremental_part
from experiments.parts.segments import segment_labels
from histories.journeys import build_journeys, count_journeys, count_paths, journey_touches, paths_from_table
from histories.retention import (
    build_contract_periods,
    build_repeat_periods,
    build_retention_journeys,
    count_gaps,
    lapse_window_days,
    retention_touches,
)
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
        One row per purchase and null path, as `build_journeys` makes them; None without touchpoints.
    """

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    touch_credit: pl.LazyFrame | None = None
    journeys: pl.LazyFrame | None = None
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walks:
    """Journeys towards one outcome, their counted paths and their touches."""

    journeys: pl.LazyFrame
    paths: pl.DataFrame
    touches: pl.LazyFrame


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
    walked = attempt(left_out, "journeys", lambda: _walk(config, histories))
    made = [] if walked is None else _of_outcomes(config, histories, walked, costs or None, left_out)
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
        touch_credit=None if walked is None else touch_credits(walked.bought.touches, rule="linear"),
        journeys=None if walked is None else walked.bought.journeys,
        notes=(*(() if walked is None else (walked.note,)), *added.notes),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walked:
    """Touches as they are credited, their window, and the journeys towards purchases."""

    touchpoints: pl.LazyFrame
    window: Mapping[str, Any]
    bought: _Walks
    note: str


def _walk(config: RunConfig, histories: Histories) -> _Walked:
    assert histories.touchpoints is not None
    assert histories.purchases is not None
    settings = config.attribution
    touchpoints = histories.touchpoints.lazy()
    if settings.session_minutes:
        touchpoints = merge_sessions(touchpoints, minutes=settings.session_minutes).collect().lazy()
    frames = touchpoints, histories.purchases.lazy()
    window: dict[str, Any] = {
        "lookback_days": settings.lookback_days,
        "observation_end": histories.inputs.observation_end,
        "views": settings.views,
        "exclude": (*settings.exclude_channels, *uncredited_channels(config.channels)),
    }
    counts = count_journeys(*frames, **window)
    window["unique_channels"] = settings.unique_channels
    journeys = build_journeys(*frames, **window).collect().lazy()
    touches = journey_touches(*frames, **window, keep=[TOUCH]).collect().lazy()
    return _Walked(
        touchpoints=touchpoints,
        window=window,
        bought=_Walks(journeys=journeys, paths=count_paths(journeys).collect(), touches=touches),
        note=f"{counts.conversions:,} purchases had touches within {settings.lookback_days:g} days, "
        f"{counts.untouched:,} had none; {counts.null_paths:,} paths ended without a purchase; "
        f"{counts.open_windows:,} paths whose window was still open at the end are left out.",
    )


def _of_outcomes(
    config: RunConfig,
    histories: Histories,
    walked: _Walked,
    costs: Mapping[str, float] | None,
    left_out: dict[str, str],
) -> list[Descriptive]:
    """Descriptive credit of each outcome that has any, whole and by segment."""
    assert histories.purchases is not None
    frames = walked.touchpoints, histories.purchases.lazy()
    walks: dict[str, Callable[[], _Walks]] = {
        "conversion": lambda: walked.bought,
        "spend": lambda: walked.bought,
        "repeat_purchase": lambda: _repeat_purchases(config, frames, walked.window),
        "retention": lambda: _retention(config, histories, walked.touchpoints, walked.window),
    }
    made: list[Descriptive] = []
    for outcome in config.attribution.outcomes:
        if outcome not in walks:
            continue
        part = f"{outcome}, descriptive"
        towards = attempt(left_out, part, walks[outcome])
        if towards is None:
            continue
        whole = attempt(left_out, part, partial(_descriptive, config, outcome, towards, costs))
        if whole is not None:
            made.append(whole)
            made += _by_segment(config, histories, outcome, towards, left_out)
    return made


def _by_segment(
    config: RunConfig, histories: Histories, outcome: str, walks: _Walks, left_out: dict[str, str]
) -> list[Descriptive]:
    """Descriptive credit of each value of each segment column; customers without a value are one segment."""
    made: list[Descriptive] = []
    for column in config.attribution.segments:
        part = f"{outcome}, descriptive, by {column}"
        made += attempt(left_out, part, partial(_of_column, config, histories, outcome, walks, column)) or []
    return made


def _of_column(
    config: RunConfig, histories: Histories, outcome: str, walks: _Walks, column: str
) -> list[Descriptive]:
    made = []
    labels = segment_labels(histories.customers, column)
    for label in labels["label"].unique().sort():
        chosen = labels.lazy().filter(pl.col("label") == label).select("customer_id")
        journeys = walks.journeys.join(chosen, on="customer_id", how="semi")
        touches = walks.touches.join(chosen, on="customer_id", how="semi")
        part = _Walks(journeys=journeys, touches=touches, paths=count_paths(journeys).collect())
        if not part.paths.is_empty():
            made.append(_descriptive(config, outcome, part, None, segment=f"{column}: {label}"))
    return made


def _descriptive(
    config: RunConfig,
    outcome: str,
    walks: _Walks,
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


def _repeat_purchases(
    config: RunConfig, frames: tuple[pl.LazyFrame, pl.LazyFrame], window: Mapping[str, Any]
) -> _Walks:
    walks = repeat_purchase_journeys(
        *frames,
        window_days=config.attribution.repeat_window_days,
        **{key: value for key, value in window.items() if key != "lookback_days"},
    )
    journeys = walks.journeys.collect().lazy()
    return _Walks(
        journeys=journeys, paths=count_paths(journeys).collect(), touches=walks.touches.collect().lazy()
    )


def _retention(
    config: RunConfig, histories: Histories, touchpoints: pl.LazyFrame, window: Mapping[str, Any]
) -> _Walks:
    """Periods of customers, ended by contract where it is known, else by a lapse of purchases."""
    assert histories.purchases is not None
    period = config.attribution.period
    end = histories.inputs.observation_end
    if histories.contractual:
        assert histories.customers is not None
        periods = build_contract_periods(histories.customers.lazy(), observation_end=end, period=period)
    else:
        lapse = lapse_window_days(count_gaps(histories.purchases.lazy()).collect())
        periods = build_repeat_periods(
            histories.purchases.lazy(), observation_end=end, lapse_days=lapse, period=period
        )
    chosen = {key: value for key, value in window.items() if key != "lookback_days"}
    about: dict[str, Any] = {"period": period, **chosen}
    journeys = build_retention_journeys(touchpoints, periods, **about).collect().lazy()
    return _Walks(
        journeys=journeys,
        paths=count_paths(journeys).collect(),
        touches=retention_touches(touchpoints, periods, **about).collect().lazy(),
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
