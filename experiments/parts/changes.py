"""The change log: every entry against every headline figure, and what customers did, per active one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from attribution.effects.data.series import STEPS_PER_YEAR, Series, find_series
from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.design import EffectDesign
from attribution.effects.designs.interrupted import estimate_change
from attribution.effects.effect import holm
from care.catalogue import CATALOGUE
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from experiments.parts.part import Part
from histories.cuts import ALL

CHANGES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "intervention": pl.String(),
    "date": pl.Date(),
    "figure": pl.String(),
    "unit": pl.String(),
    "change": pl.Float64(),  # mean difference from the continued trend, per week
    "low": pl.Float64(),
    "high": pl.Float64(),
    "p_value": pl.Float64(),
    "p_holm": pl.Float64(),  # over all entries and figures
    "supported": pl.Boolean(),
    "reason": pl.String(),
}

PER_CUSTOMER: Final = ("spend_per_customer", "purchases_per_customer", "issues_per_customer")
RETURNING: Final = "returning_share"
"""Of those who bought in the weeks before, the share who bought in this one: retention of the active."""
_ACTIVE_WEEKS: Final = 12
_HEADLINE: Final = (
    "service_level", "first_response_p50", "ignored_rate", "first_contact_resolution", "csat",
    "cost_per_resolution",
)  # fmt: skip
_DESIGN: Final = EffectDesign(name="change log", design="interrupted_series", outcomes=PER_CUSTOMER)


def changes_part(config: RunConfig, histories: Histories, figures: pl.DataFrame | None) -> Part:
    """The picture `changes`: what each entry of the change log did to every figure, by interrupted series."""
    log = histories.table("interventions")
    if log is None:
        return Part()
    changes = [
        (str(name), day) for name, day in log.select("name", "date").collect().sort("date").iter_rows()
    ]
    effects = [
        (day, unit, found[0])
        for unit, series in [*_of_customers(config, histories), *_of_service(figures)]
        for name, day in changes
        if (found := estimate_change(_DESIGN, series, name, day, changes)[0])
    ]
    adjusted = iter(holm([effect.p_value or 1.0 for _, _, effect in effects if effect.supported]))
    rows = [
        {
            "intervention": effect.treatment, "date": day, "figure": effect.outcome, "unit": unit,
            "change": effect.estimate, "low": effect.low, "high": effect.high, "p_value": effect.p_value,
            "p_holm": next(adjusted) if effect.supported else None, "supported": effect.supported,
            "reason": effect.reason,
        }
        for day, unit, effect in effects
    ]  # fmt: skip
    return Part(pictures={"changes": pl.DataFrame(rows, schema=CHANGES_SCHEMA)})


def _of_customers(config: RunConfig, histories: Histories) -> Iterator[tuple[str, Series]]:
    """Weekly figures per customer who bought in the week, and the share who come back."""
    if histories.purchases is None:
        return
    tables = EffectTables(
        purchases=histories.purchases.lazy(),
        touchpoints=None if histories.touchpoints is None else histories.touchpoints.lazy(),
        cases=histories.table("cases"),
    )
    outcomes = [
        name
        for name in PER_CUSTOMER
        if name != "issues_per_customer" or tables.cases is not None or tables.touchpoints is not None
    ]
    setting = Setting(
        tables=tables,
        base_dir=config.base_dir,
        observation_end=histories.inputs.observation_end,
        gross_margin=config.value.gross_margin,
    )
    design = EffectDesign(name="change log", design="interrupted_series", outcomes=tuple(outcomes))
    for series in find_series(design, setting):
        yield "currency" if series.outcome.startswith("spend") else "count", series
    returning = returning_share(histories.purchases.lazy())
    if returning is not None:
        yield "share", returning


def returning_share(purchases: pl.LazyFrame) -> Series | None:
    """Share of those who bought in the twelve weeks before who bought in each week; None where too short."""
    week = pl.col("timestamp").dt.date().dt.truncate("1w").alias("week")
    bought = purchases.select("customer_id", week).unique()
    first, last = bought.select(pl.col("week").min(), pl.col("week").max().alias("last")).collect().row(0)
    if first is None:
        return None
    ahead = pl.LazyFrame({"step": range(1, _ACTIVE_WEEKS + 1)})
    active = (
        bought.join(ahead, how="cross")
        .select("customer_id", pl.col("week") + pl.duration(weeks="step"))
        .unique()
        .join(bought.with_columns(back=pl.lit(1.0)), on=["customer_id", "week"], how="left")
        .group_by("week")
        .agg(pl.col("back").fill_null(0.0).mean())
        .sort("week")
        .collect()
    )
    whole = active.filter(
        (pl.col("week") >= first + dt.timedelta(weeks=_ACTIVE_WEEKS)) & (pl.col("week") < last)
    )
    return _series(RETURNING, whole["week"], whole["back"])


def _of_service(figures: pl.DataFrame | None) -> Iterator[tuple[str, Series]]:
    """Weekly headline figures of the desk that have a value in every week."""
    if figures is None:
        return
    units = {kpi.name: kpi.unit for kpi in CATALOGUE}
    rows = figures.filter(
        pl.col("kpi").is_in(_HEADLINE)
        & pl.all_horizontal(pl.col("channel", "team", "segment") == ALL)
        & pl.col("period").str.contains(r"^\d{4}-W\d\d$")
        & (pl.col("clock").is_null() | (pl.col("clock") == "calendar"))
    ).sort("kpi", "period")
    for name in rows["kpi"].unique().sort():
        weeks = rows.filter(pl.col("kpi") == name).slice(1)
        weeks = weeks.head(weeks.height - 1)  # the first and the last week are rarely whole
        if weeks.height and not weeks["value"].null_count():
            monday = (pl.col("period") + "-1").str.to_date("%G-W%V-%u")
            days = weeks.select(monday)["period"]
            found = _series(str(name), days, weeks["value"])
            if found is not None:
                yield units.get(str(name), ""), found


def _series(name: str, days: pl.Series, values: pl.Series) -> Series | None:
    """A weekly series; None where weeks are missing in between."""
    if days.len() < 2 or (days.max() - days.min()).days != 7 * (days.len() - 1):  # type: ignore[operator, union-attr]
        return None
    return Series(
        outcome=name,
        dates=days.to_numpy().astype("datetime64[D]"),
        values=values.to_numpy().astype(np.float64),
        year=STEPS_PER_YEAR["week"],
    )
