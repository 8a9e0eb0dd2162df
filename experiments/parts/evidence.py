"""Effects of the configured designs, the refused ones too."""

from __future__ import annotations

import dataclasses

import polars as pl

from attribution.effects.data.tables import EffectTables
from attribution.effects.design import OF_CASES
from attribution.effects.designs.by_lot import asks_for_answers
from attribution.effects.findings import EffectsResult
from attribution.effects.run import estimate_effects
from care.clock import BusinessClock, to_instants
from care.settings import Hours
from experiments.config import RunConfig
from experiments.parts.care import find_cases
from experiments.parts.histories import Histories
from experiments.parts.matters import AllCases


def evidence_part(
    config: RunConfig, histories: Histories, cases: AllCases | None = None
) -> EffectsResult | None:
    """Every `[[effects]]` entry estimated or refused; None when there is none.

    `cases` are those of `find_cases`, of posts and of the desk's own table; found here where not given.
    """
    if not config.effects:
        return None
    if cases is None and any(
        effect.design in OF_CASES or asks_for_answers(effect) for effect in config.effects
    ):
        cases = find_cases(config, histories)
    tables = effect_tables(config, histories, cases)
    return estimate_effects(
        config.effects,
        tables=tables,
        base_dir=config.base_dir,
        observation_end=histories.inputs.observation_end,
        gross_margin=config.value.gross_margin,
        seed=config.seed,
    )


def effect_tables(config: RunConfig, histories: Histories, cases: AllCases | None) -> EffectTables:
    """The tables that designs on customers and cases are estimated from."""
    hours = histories.table("hours")

    return EffectTables(
        touchpoints=histories.touchpoints,
        purchases=histories.purchases,
        customers=histories.customers.lazy() if histories.customers is not None else None,
        cases=histories.table("cases") if cases is None else _cases(config, histories, cases).lazy(),
        assignments=histories.table("assignments"),
        interventions=histories.table("interventions"),
        hours=None if hours is None else _shifts(hours, config.timezone),
    )


def _cases(config: RunConfig, histories: Histories, cases: AllCases) -> pl.DataFrame:
    """Cases by the run's clock, with open minutes to the first answer, and the desk's further columns."""
    frame = cases.cases
    given = {*cases.columns, "case_id", "journey_id", "customer_id", "key", "channel", "opened_at"}
    made = {"needs_reply", "waiting_since", "answered"}
    empty = [
        name
        for name in frame.columns
        if name not in given | made and frame[name].null_count() == frame.height
    ]
    hours = _hours(config)
    if hours is not None or frame["first_business_seconds"].count():
        frame = frame.with_columns(first_response_business_minutes=_open_minutes(frame, hours))
    own = histories.table("cases")
    if own is not None:
        further = [name for name in own.collect_schema().names() if name not in frame.columns]
        frame = frame.join(own.select("case_id", *further).collect(), on="case_id", how="left")
    local = [
        pl.col(name).dt.convert_time_zone(config.timezone)
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    ]
    return frame.with_columns(local).drop(empty)


def _hours(config: RunConfig) -> Hours | None:
    """When the desk is open; in the run's zone where it names none."""
    hours = config.care.hours
    if hours is None or hours.zone is not None:
        return hours
    return dataclasses.replace(hours, zone=config.timezone)


def _open_minutes(frame: pl.DataFrame, hours: Hours | None) -> pl.Series:
    """Minutes inside opening hours from the first wait to the first answer; the desk's own where it says."""
    own = frame["first_business_seconds"] / 60.0
    if hours is None:
        return own
    since, until = frame["waiting_since"], frame["first_response_at"]
    timed = BusinessClock.spanning(hours, since, until).seconds(since, until) / 60.0
    return pl.select(pl.coalesce(own, timed)).to_series()


def _shifts(hours: pl.LazyFrame, zone: str) -> pl.LazyFrame:
    """Paid shifts as instants."""
    table = hours.collect()
    if "paid" in table.columns:
        table = table.filter(pl.col("paid").fill_null(True))
    return table.with_columns(to_instants(table[name], zone) for name in ("start", "end")).lazy()
