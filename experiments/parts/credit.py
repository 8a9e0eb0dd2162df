"""Credit by channel: descriptive from journeys, incremental from the customer-period panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import polars as pl

from attribution.credits.table import concat_credits
from attribution.effects.findings import EffectsResult
from attribution.paths.descriptive import Descriptive, descriptive, descriptive_from_transitions
from attribution.settings import PATH_OUTCOMES
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from experiments.parts.incremental import IncrementalPart, incremental_part
from experiments.parts.part import Part, attempt
from experiments.parts.segments import segment_labels
from experiments.parts.walking import (
    LABELS,
    LEAVERS,
    PER_PURCHASE,
    Walking,
    credits_of,
    read_counts,
    read_paths,
    read_sums,
)
from histories.cuts import ALL
from histories.engines.base import Buckets, Tables
from histories.journeys import JourneyCounts, paths_from_table
from histories.retention import count_gaps, lapse_window_days

OF_LEAVING: Final = ("retention", "retention_periods")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPart(Part):
    """Every credit of a run, and the tables behind it.

    Attributes
    ----------
    tables
        credits, credit_periods, response, paths, transitions, removal_effects, as the bundle keeps them.
    customer_credits
        In the bundle's columns; None without journeys.
    buckets
        The histories with, beside them, `touch_credit` (touch_number, conversion_credit and spend_credit by
        the linear rule) and `touched_purchases` (of `walk_journeys`); None without journeys.
    """

    customer_credits: pl.LazyFrame | None = None
    buckets: Buckets | None = None


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
    walked = attempt(left_out, "journeys", lambda: _Walked.of(config, histories, left_out))
    made = [] if walked is None else _of_outcomes(config, walked, costs or None, left_out)
    tables = attempt(left_out, "descriptive credit", lambda: _stack([part for part, _ in made])) or {}
    added = attempt(
        left_out,
        "incremental credit",
        lambda: incremental_part(config, histories, residual_value, costs or None, effects),
    )
    added = added or IncrementalPart()
    credits = [frame for frame in (tables.get("credits"), added.credits) if frame is not None]
    if credits:
        tables["credits"] = pl.concat(credits)
    tables |= added.tables
    lookback = config.attribution.lookback_days
    return CreditPart(
        tables=tables,
        customer_credits=pl.concat([rows for _, rows in made]) if made else None,
        buckets=None if walked is None else walked.buckets,
        notes=(
            *(() if walked is None else (_told(read_counts(walked.buckets), lookback),)),
            *added.notes,
        ),
        left_out={**left_out, **added.left_out},
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
    """The buckets after the walk to purchases, and how to walk them on."""

    buckets: Buckets
    walking: Walking

    @staticmethod
    def of(config: RunConfig, histories: Histories, left_out: dict[str, str]) -> _Walked:
        buckets = histories.buckets
        if histories.contractual and histories.customers is not None:
            buckets = buckets.add({LEAVERS: histories.customers.lazy()})
        labels: dict[str, tuple[str, ...]] = {}
        frames = []
        for column in config.attribution.segments:
            part = f"descriptive credit by {column}"
            frame = attempt(left_out, part, partial(segment_labels, histories.customers, column))
            if frame is not None:
                labels[column] = tuple(frame["label"].drop_nulls().unique().sort())
                frames.append(frame.select("customer_id", pl.col("label").alias(column)))
        if frames:
            together = pl.concat(frames, how="align") if len(frames) > 1 else frames[0]
            buckets = buckets.add({LABELS: together.lazy()})
        walking = Walking.of(config, observation_end=histories.inputs.observation_end, labels=labels)
        return _Walked(buckets=buckets.map(walking.to_purchases), walking=walking)

    def towards(self, outcome: str) -> Buckets:
        """The buckets with journeys towards an outcome, under its name."""
        lapse = None
        if outcome in OF_LEAVING and LEAVERS not in self.buckets:
            lapse = lapse_window_days(self.buckets.reduce(_gaps, _added))
        return self.buckets.map(replace(self.walking, outcomes=(outcome,), lapse_days=lapse).towards)


def _gaps(tables: Tables) -> pl.DataFrame:
    return count_gaps(tables["purchases"]).collect()


def _added(gaps: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([gaps, more]).group_by("days").agg(pl.col("gaps").sum())


def _told(counts: JourneyCounts, lookback_days: float) -> str:
    return (
        f"{counts.conversions:,} purchases had touches within {lookback_days:g} days, {counts.untouched:,} "
        f"had none; {counts.null_paths:,} paths ended without a purchase; {counts.open_windows:,} paths "
        "whose window was still open at the end are left out."
    )


def _of_outcomes(
    config: RunConfig, walked: _Walked, costs: Mapping[str, float] | None, left_out: dict[str, str]
) -> list[tuple[Descriptive, pl.LazyFrame]]:
    """Descriptive credit of each outcome that has any, whole and by segment, with that of its customers."""
    made: list[tuple[Descriptive, pl.LazyFrame]] = []
    for outcome in config.attribution.outcomes:
        if outcome not in PATH_OUTCOMES:
            continue
        part = f"{outcome}, descriptive"
        if outcome in PER_PURCHASE:
            kind, buckets = PER_PURCHASE[0], walked.buckets
        else:
            kind, found = outcome, attempt(left_out, part, partial(walked.towards, outcome))
            if found is None:
                continue
            buckets = found
        journeys = _Journeys(buckets=buckets, kind=kind, outcome=outcome)
        whole = attempt(left_out, part, partial(_descriptive, config, journeys, costs))
        if whole is not None:
            made.append((whole, journeys.customer_credits([ALL])))
            made += _by_segment(config, journeys, walked.walking.labels, left_out)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Journeys:
    """Where the journeys towards an outcome lie."""

    buckets: Buckets
    kind: str
    outcome: str

    def customer_credits(self, segments: Sequence[str]) -> pl.LazyFrame:
        return credits_of(self.buckets, self.kind, self.outcome, segments)


def _by_segment(
    config: RunConfig,
    journeys: _Journeys,
    labels: Mapping[str, tuple[str, ...]],
    left_out: dict[str, str],
) -> list[tuple[Descriptive, pl.LazyFrame]]:
    """Descriptive credit of each value of each segment column; customers without a value are one segment."""
    made: list[tuple[Descriptive, pl.LazyFrame]] = []
    for column, values in labels.items():
        part = f"{journeys.outcome}, descriptive, by {column}"
        segments = [f"{column}: {value}" for value in values]
        found = attempt(left_out, part, partial(_of_segments, config, journeys, segments))
        made += found or []
    return made


def _of_segments(
    config: RunConfig, journeys: _Journeys, segments: Sequence[str]
) -> list[tuple[Descriptive, pl.LazyFrame]]:
    made = [(segment, _descriptive(config, journeys, None, segment=segment)) for segment in segments]
    return [(part, journeys.customer_credits([segment])) for segment, part in made if part is not None]


def _descriptive(
    config: RunConfig,
    journeys: _Journeys,
    costs: Mapping[str, float] | None,
    *,
    segment: str = ALL,
) -> Descriptive | None:
    """Credit of the outcome; None where a segment has no path."""
    paths = read_paths(journeys.buckets, journeys.kind, segment)
    if not paths.lengths.size and segment != ALL:
        return None
    return descriptive(
        paths,
        read_sums(journeys.buckets, journeys.kind, segment),
        segment=segment,
        methods=config.attribution.methods,
        outcome=journeys.outcome,
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
    }
