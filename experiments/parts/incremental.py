"""Incremental credit: what would not have happened without a channel."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from uuid import uuid4

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from attribution.effects.findings import EffectsResult
from attribution.incremental.by_period import credit_by_period
from attribution.incremental.channel_experiments import channel_experiments
from attribution.incremental.checks.last_period import with_moments_of_leaving
from attribution.incremental.checks.proof_of_life import with_proof_of_life
from attribution.incremental.estimate import CreditEstimate, estimate_credit
from attribution.incremental.experiment import ChannelExperiment
from attribution.incremental.response import response_curves, response_table
from attribution.incremental.segments.table import segment_table
from attribution.incremental.table import credit_table
from attribution.settings import INCREMENTAL_OUTCOMES
from experiments.config import RunConfig
from experiments.parts.histories import PURCHASES, TOUCHPOINTS, Histories
from experiments.parts.part import Part, attempt
from experiments.parts.segments import UNKNOWN, segment_labels
from histories.dated_by_month import BEFORE_OR_AFTER, dated_by_month
from histories.ends_by_silence import end_by_silence
from histories.engines.base import Tables
from histories.errors import ConfigError, DataError
from histories.last_days import LastDays, last_days
from histories.on_the_way import on_the_way
from histories.panel import Panel
from histories.panel_building import (
    PanelPart,
    build_panel_part,
    finish_panel,
    first_period,
    join_parts,
)
from histories.panel_store import PanelStore
from histories.period_index import PeriodIndex
from histories.reactions import Recent, recent_purchases, with_order_of_events
from histories.renewals import Renewal, find_renewal
from histories.terms import find_term
from histories.touchpoints import channels_in_use, require_origins, uncredited_channels

_PEOPLE: Final = "panel_people"
_CASES: Final = "panel_cases"
FEWEST: Final = 20
"""Customers, purchases and touches below which nothing can be compared."""
MOST_CHANNELS: Final = 100
"""Channels that are told apart at most: time grows with the square of their number and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalPart(Part):
    """Incremental rows of the credits table; None where the method was not asked for or cannot be tried.

    `tables` are credit_periods and response, as the bundle keeps them.
    """

    credits: pl.DataFrame | None = None


def incremental_part(
    config: RunConfig,
    histories: Histories,
    residual_value: pl.DataFrame | None,
    costs: Mapping[str, float] | None,
    effects: EffectsResult | None = None,
) -> IncrementalPart:
    """Build the panel and divide each outcome between channels and baseline, tested by experiments.

    Raises
    ------
    ConfigError
        When retention is asked for and nobody says who acts in a channel.
    DataError, ModelError
        When there is nothing to compare, or no model could be fitted.
    """
    outcomes = [outcome for outcome in INCREMENTAL_OUTCOMES if outcome in config.attribution.outcomes]
    if "incremental" not in config.attribution.methods or not outcomes:
        return IncrementalPart()
    assert histories.touchpoints is not None
    used, directed = channels_in_use(histories.touchpoints)
    if "retention" in outcomes or "lifetime_value" in outcomes:
        require_origins(config.channels, used, directed=directed)
    _refuse_too_many(used)
    panel = company_panel(config, histories, used)
    _refuse_too_few(panel, histories)
    about: dict[str, Any] = {
        "settings": config.attribution,
        "residual_value": _aligned(residual_value, panel),
        "gross_margin": config.value.gross_margin or 1.0,
        "seed": config.seed,
    }
    left_out: dict[str, str] = {}
    experiments = attempt(
        left_out, "experiments on channels", lambda: _experiments(config, histories, panel, effects)
    )
    with threadpool_limits(1, user_api="blas"):  # some hundred parameters: threads only wait for each other
        estimate = estimate_credit(panel, experiments=experiments or (), **about)
        credits = credit_table(
            panel, estimate, outcomes=outcomes, interval=config.attribution.interval, costs=costs
        )
        left_out |= _without_figure(credits)
        by_segment = attempt(
            left_out,
            "incremental credit by segment",
            lambda: segment_table(
                panel, estimate, _segments(config, histories, panel), outcomes=outcomes, **about
            ),
        )
        return IncrementalPart(
            credits=credits if by_segment is None else pl.concat([credits, by_segment]),
            tables=_beside(config, histories, panel, estimate, credits, about, costs, left_out),
            notes=(f"Incremental credit: {estimate.decay.words}.", *estimate.notes),
            left_out=left_out,
        )


def _without_figure(credits: pl.DataFrame) -> dict[str, str]:
    """Outcomes of which no channel has a credit, where others are credited, with the reason."""
    channels = credits.filter(pl.col("level") == "channel")
    made = channels.group_by("outcome", maintain_order=True).agg(
        pl.col("credit").is_null().all().alias("none"), pl.col("reason").first()
    )
    if made["none"].all():
        return {}  # the report's first sentence
    return {
        f"incremental credit of {outcome.replace('_', ' ')}": reason
        for outcome, reason in made.filter("none").select("outcome", "reason").iter_rows()
    }


def _beside(
    config: RunConfig,
    histories: Histories,
    panel: Panel,
    estimate: CreditEstimate,
    credits: pl.DataFrame,
    about: Mapping[str, Any],
    costs: Mapping[str, float] | None,
    left_out: dict[str, str],
) -> dict[str, pl.DataFrame]:
    """The credit by period, and what more or less of each channel would bring."""
    level = config.attribution.interval
    index = PeriodIndex.of(config.attribution.period, histories.inputs.observation_end)
    valued = {name: about[name] for name in ("residual_value", "gross_margin")}

    def periods() -> pl.DataFrame:
        labels = index.labels(panel.n_periods)
        return credit_by_period(panel, estimate, credits, periods=labels, interval=level)

    def response() -> pl.DataFrame:
        curves = response_curves(panel, estimate, **valued)
        return response_table(estimate, curves, credits, interval=level, costs=costs)

    made = {
        "credit_periods": attempt(left_out, "incremental credit by period", periods),
        "response": attempt(left_out, "response curves", response),
    }
    return {name: table for name, table in made.items() if table is not None}


def _refuse_too_many(used: tuple[str, ...]) -> None:
    """Refuse more channels than a model of them all is fitted in."""
    if len(used) > MOST_CHANNELS:
        raise DataError(
            f"{len(used):,} channels are too many to tell their effects apart; {MOST_CHANNELS} at most. Join "
            'small ones by `values` of the touchpoints\' column channel, where "*" is every other word.'
        )


def _refuse_too_few(panel: Panel, histories: Histories) -> None:
    """Refuse a company in which there is nobody to compare with."""
    bought, touched = histories.rows(PURCHASES), histories.rows(TOUCHPOINTS)
    if min(panel.n_customers, bought, touched) < FEWEST:
        raise DataError(
            f"{panel.n_customers:,} customers, {bought:,} purchases and {touched:,} touches are too few to "
            f"compare; {FEWEST} of each needed."
        )


def _experiments(
    config: RunConfig, histories: Histories, panel: Panel, effects: EffectsResult | None
) -> tuple[ChannelExperiment, ...]:
    """The randomised effects that test a channel's credit."""
    assignments = histories.table("assignments")
    if effects is None or assignments is None:
        return ()
    return channel_experiments(
        config.effects,
        effects.frame,
        assignments.collect(),
        panel,
        period=config.attribution.period,
        observation_end=histories.inputs.observation_end,
    )


def company_panel(config: RunConfig, histories: Histories, used: tuple[str, ...]) -> Panel:
    """The panel of all customers, counted bucket by bucket.

    Raises
    ------
    DataError
        When no channel is left to credit.
    """
    touchpoints, purchases = histories.touchpoints, histories.purchases
    assert touchpoints is not None
    assert purchases is not None
    apart = {*config.attribution.exclude_channels, *uncredited_channels(config.channels)}
    channels = tuple(name for name in used if name not in apart)
    if not channels:
        raise DataError(
            "incremental credit: no channel is left to credit; see exclude_channels and credited."
        )

    people = None if histories.customers is None else histories.customers.lazy()
    silence = end_by_silence(touchpoints, purchases, people) if histories.contractual else None
    recorded = histories.contractual and silence is None
    cases = histories.table("cases")
    known = {_PEOPLE: people, _CASES: cases if cases is not None and _of_customers(cases) else None}
    buckets = histories.buckets.add({name: rows for name, rows in known.items() if rows is not None})
    span: dict[str, Any] = {
        "period": config.attribution.period,
        "observation_end": histories.inputs.observation_end,
    }
    origins = _origins(config, touchpoints)
    own = [name for name in channels if origins.get(name) == "customer"]
    dated = dated_by_month(touchpoints, purchases, own=own)
    counting: dict[str, Any] = {
        **span,
        "start": first_period(touchpoints, purchases, **span),
        "channels": channels,
        "origins": origins,
        "dated": dated,
        "groups": config.channel_groups,
        "contractual": recorded,
        "renewal": find_renewal(people) if recorded else None,
        "term": find_term(people) if recorded else None,
    }

    def build(stops: tuple[str, ...] = ()) -> Panel:
        count, confounders = partial(_counted, stops=stops, **counting), config.attribution.confounders
        if buckets.folder is None:
            part = join_parts(buckets.reduce(count, operator.add))
        else:
            store = PanelStore(buckets.folder / f"panel-{uuid4().hex}")
            store.take(buckets.reduce(count, store.take), ())
            part = store.part()
        return finish_panel(part, touchpoints, people, confounders=confounders, cases=cases)

    panel = with_moments_of_leaving(with_proof_of_life(build(), build))
    if silence is not None:
        panel = replace(panel, notes=(*panel.notes, silence.words))
    if dated.any:
        sent = [name for name in dated.channels if recorded and name not in own]
        return replace(panel, announces=dict.fromkeys(sent, BEFORE_OR_AFTER))
    if recorded:
        ends = partial(_ends, channels=channels, cycle=(counting["renewal"] or Renewal()).cycle)
        panel = replace(panel, announces=buckets.reduce(ends, operator.add).words(channels))
    order = partial(_order, channels=channels, observation_end=histories.inputs.observation_end)
    recent = buckets.reduce(order, operator.add)
    panel = replace(panel, announces={**on_the_way(recent, channels), **panel.announces})
    return with_order_of_events(panel, recent)


def _of_customers(cases: pl.LazyFrame) -> bool:
    return "customer_id" in cases.collect_schema()


def _counted(tables: Tables, **counting: Any) -> list[PanelPart]:
    """The panel of a bucket's customers."""
    people, cases = tables.get(_PEOPLE), tables.get(_CASES)
    return [build_panel_part(tables[TOUCHPOINTS], tables[PURCHASES], people, cases=cases, **counting)]


def _order(tables: Tables, **counting: Any) -> Recent:
    """Purchases before the touches of a bucket's customers."""
    return recent_purchases(tables[TOUCHPOINTS], tables[PURCHASES], **counting)


def _ends(tables: Tables, **counting: Any) -> LastDays:
    """Touches before the end of the relations of a bucket's customers."""
    return last_days(tables[TOUCHPOINTS], tables.get(_PEOPLE), **counting)


def _segments(config: RunConfig, histories: Histories, panel: Panel) -> dict[str, NDArray[np.str_]]:
    """Label of each customer of the panel, by segment column, as for descriptive credit."""
    found = {}
    for column in config.attribution.segments:
        labels = segment_labels(histories.customers, column)
        if panel.customer_ids is None:
            raise ConfigError("segments: the panel does not know its customers' ids.")
        ids = panel.customer_ids.to_frame("customer_id")
        joined = ids.join(labels, on="customer_id", how="left", maintain_order="left")
        found[column] = joined["label"].fill_null(UNKNOWN).to_numpy().astype(np.str_)
    return found


def _origins(config: RunConfig, touchpoints: pl.LazyFrame) -> dict[str, str | None]:
    """Who acts in each channel: as configured, else the one direction that all its touches have."""
    seen = touchpoints.group_by("channel").agg(pl.col("origin").unique().alias("origins")).collect()
    found = {name: origins[0] if len(origins) == 1 else None for name, origins in seen.iter_rows()}
    configured = {name: channel.origin for name, channel in config.channels.items() if channel.origin}
    return found | configured


def _aligned(residual_value: pl.DataFrame | None, panel: Panel) -> NDArray[np.float64] | None:
    """Residual value in the order of the panel's customers; 0 for those who were not valued."""
    if residual_value is None:
        return None
    if panel.customer_ids is None:
        raise ConfigError("lifetime value: the panel does not know its customers' ids.")
    ids = panel.customer_ids.to_frame("customer_id")
    joined = ids.join(residual_value, on="customer_id", how="left", maintain_order="left")
    return joined["residual_value"].fill_null(0.0).to_numpy().astype(np.float64)
