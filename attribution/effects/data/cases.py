"""Cases as units: each from its opening, with the minutes to the first answer and what was known by then.

The clock starts when a customer begins to wait. Outcomes count from the day after the opening for everybody,
answered or not, so that nobody has to live until an answer to count as answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from attribution.effects.data.covariates import (
    RECENT_DAYS,
    covariate_matrix,
    known_before,
    placebo_outcomes,
    told_at_opening,
)
from attribution.effects.data.desk import NEVER, DeskQueue, queue_at_opening, surge_days
from attribution.effects.data.history import History, build_history
from attribution.effects.data.index_dates import channels_of
from attribution.effects.data.outcomes import measure, measure_before
from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.data.units import Units, columns_of_segments, label_segments
from attribution.effects.design import EffectDesign
from histories.arrays import Flags, Float, Integer
from histories.errors import DataError, nearest

CASE_OUTCOMES: Final = ("csat",)
"""Outcomes of a case itself: the share of ratings of 4 or 5, among cases that were answered and rated."""
CIRCUMSTANCES: Final = frozenset(
    {"weekend", *(f"hour_of_day_{wave}" for wave in range(1, 5)), "backlog", "outside_hours"}
)
"""Covariates of a case that say when it came, not who sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseUnits:
    """N cases of known customers.

    Attributes
    ----------
    units
        Outcomes, covariates at opening, placebos, segments; NaN where a case was not rated.
    minutes : shape (N,)
        To the first answer, by the design's clock; infinite where none came within the follow-up.
    past
        Outcome to the same metric over `past_days` days just before the opening, NaN where not observed.
    opening
        The cases' own columns, with `day`, `hour_of_week` (0 is Monday at midnight).
    queue
        Open cases per agent at work, NaN while nobody was; and its unit in words.
    surge : shape (N,)
        Whether the case came on a day of surge.
    told
        How many cases were left out, by reason, in words.
    present : shape (N, A)
        Of a design by agents: which of A agents were at work.
    """

    units: Units
    minutes: Float
    customers: Integer
    day: Integer
    past: Mapping[str, Float]
    past_days: int
    opening: pl.DataFrame
    queue: Float
    queue_unit: str
    surge: Flags
    told: str
    present: Flags

    def where(self, mask: Flags) -> CaseUnits:
        """The cases that `mask` (N,) selects."""
        return replace(
            self,
            units=self.units.where(mask),
            minutes=self.minutes[mask],
            customers=self.customers[mask],
            day=self.day[mask],
            past={name: values[mask] for name, values in self.past.items()},
            opening=self.opening.filter(pl.Series(mask)),
            queue=self.queue[mask],
            surge=self.surge[mask],
            present=self.present[mask],
        )


def build_case_units(design: EffectDesign, setting: Setting) -> CaseUnits:
    """The cases of a design on cases.

    Raises
    ------
    DataError
        When there are no cases with customers and answers, or none is followed to the end.
    """
    tables = setting.tables
    history = build_history(
        tables, observation_end=setting.observation_end, gross_margin=setting.gross_margin
    )
    cases = all_cases(design, tables)
    queue = queue_at_opening(cases, shifts_of(tables))
    busy = surge_days(cases["day"].to_numpy())
    waits = queue.length
    cases = cases.with_columns(
        pl.Series("queue", waits), pl.Series("agents", queue.agents), pl.Series("waiting", queue.waiting)
    )
    rows, told = _eligible(design, history, tables, cases)
    return _described(design, history, tables, rows, queue, busy, told)


def all_cases(design: EffectDesign, tables: EffectTables) -> pl.DataFrame:
    """Every case that needs a reply, with started, ended (microseconds), day, hour_of_week and minutes."""
    place = f'effect "{design.name}"'
    if tables.cases is None:
        raise DataError(f"{place}: needs cases or posts, to know who waited how long")
    columns = set(tables.cases.collect_schema().names())
    if "customer_id" not in columns:
        raise DataError(
            f"{place}: no case has a customer_id; give it in cases, or the authors of posts in identities"
        )
    timed = {"first_response_at", "first_response_business_minutes"} & columns
    if not timed and design.design != "incident":
        raise DataError(f"{place}: no case has first_response_at, the time of its first answer")
    if design.clock == "business" and "first_response_business_minutes" not in columns:
        raise DataError(
            f'{place}: clock = "business" needs [care.hours], when the desk is open; or use "calendar"'
        )
    frame = tables.cases.collect()
    defaults = {"waiting_since": pl.col("opened_at"), "needs_reply": pl.lit(True), "channel": pl.lit("")}
    frame = frame.with_columns(
        *(value.alias(name) for name, value in defaults.items() if name not in columns),
        *(
            pl.lit(None, dtype=frame.schema["opened_at"]).alias(name)
            for name in ("first_response_at", "resolved_at", "abandoned_at")
            if name not in columns
        ),
    )
    frame = frame.filter(pl.col("needs_reply").fill_null(True))
    if {"journey_id", "case_id"} <= columns:
        frame = frame.filter((pl.col("case_id") == pl.col("journey_id")).fill_null(True))
    began = pl.coalesce("waiting_since", "opened_at")
    calendar = (pl.col("first_response_at") - began).dt.total_seconds() / 60
    on_clock = pl.col("first_response_business_minutes") if design.clock == "business" else calendar
    is_answered = pl.col("first_response_at").is_not_null()
    if "answered" in columns:
        is_answered = is_answered | pl.col("answered").fill_null(False)
    closed = pl.min_horizontal("first_response_at", "resolved_at", "abandoned_at")
    return frame.with_columns(
        began.dt.epoch("us").alias("started"),
        closed.dt.epoch("us").fill_null(NEVER).alias("ended"),
        began.dt.date().cast(pl.Int32).cast(pl.Int64).alias("day"),
        ((began.dt.weekday().cast(pl.Int64) - 1) * 24 + began.dt.hour()).alias("hour_of_week"),
        on_clock.cast(pl.Float64).alias("minutes"),
        is_answered.alias("is_answered"),
        (pl.col("key") if "key" in columns else pl.col("customer_id")).cast(pl.String).alias("person"),
    ).sort("started")


def shifts_of(tables: EffectTables) -> pl.DataFrame | None:
    """Start, end (microseconds) and agent of every shift; None without a table of hours."""
    if tables.hours is None:
        return None
    names = tables.hours.collect_schema().names()
    agent = pl.col("agent") if "agent" in names else pl.lit(None)
    hours = (
        tables.hours.select(pl.col("start", "end").dt.epoch("us"), agent.cast(pl.String).alias("agent"))
        .drop_nulls(["start", "end"])
        .collect()
    )
    return hours if hours.height else None


def on_channels(design: EffectDesign, tables: EffectTables, cases: pl.DataFrame) -> pl.DataFrame:
    """The cases of the channel and group that the design is about.

    Raises
    ------
    DataError
        When there are none.
    """
    wanted, chosen = design.treatment, cases
    if wanted.channel is not None:
        chosen = chosen.filter(pl.col("channel") == wanted.channel)
    if wanted.group is not None:
        chosen = chosen.filter(pl.col("channel").is_in(channels_of(wanted.group, tables)))
    if chosen.is_empty():
        asked = wanted.channel or wanted.group or "any channel"
        known = sorted(cases["channel"].drop_nulls().unique().to_list())
        raise DataError(f'effect "{design.name}": no case came by {asked}; {nearest(asked, known)}')
    return chosen


def _eligible(
    design: EffectDesign, history: History, tables: EffectTables, cases: pl.DataFrame
) -> tuple[pl.DataFrame, str]:
    """Cases of customers whose wait is known and whose follow-up is whole; and who was left out, in words."""
    chosen = on_channels(design, tables, cases)
    left: dict[str, int] = {}
    rows = history.number(chosen.filter(pl.col("customer_id").is_not_null())).sort("customer", "started")
    left["of unknown customers"] = chosen.height - rows.height
    timed = pl.col("minutes").is_not_null() | ~pl.col("is_answered")
    gap = (pl.col("day") - pl.col("day").shift(1).over("customer")).fill_null(1 << 20)
    rows, left["answered at an unknown time"] = _kept(rows.with_columns(gap=gap), timed)
    rows, left[f"within {design.washout_days} days of the customer's last"] = _kept(
        rows, pl.col("gap") >= design.washout_days
    )
    customers, day = rows["customer"].to_numpy(), rows["day"].to_numpy()
    is_customer = (history.acquired[customers] < day) & (history.ended[customers] > day)
    rows, left["of people who were no customers then"] = _kept(rows, pl.lit(pl.Series(is_customer)))
    last = rows["day"].to_numpy() + design.landmark_days + design.follow_up_days
    rows, left["not followed to the end"] = _kept(rows, pl.lit(pl.Series(last <= history.end)))
    told = ", ".join(f"{count:,} {why}" for why, count in left.items() if count)
    if rows.is_empty():
        raise DataError(
            f'effect "{design.name}": none of {chosen.height:,} cases is left ({told}). '
            f"follow_up_days is {design.follow_up_days}: a shorter one keeps more."
        )
    return rows, told


def _kept(rows: pl.DataFrame, keep: pl.Expr) -> tuple[pl.DataFrame, int]:
    found = rows.filter(keep)
    return found, rows.height - found.height


def _described(
    design: EffectDesign,
    history: History,
    tables: EffectTables,
    rows: pl.DataFrame,
    queue: DeskQueue,
    busy: Integer,
    told: str,
) -> CaseUnits:
    """Outcomes, covariates and placebos of the chosen cases."""
    customers, day = rows["customer"].to_numpy(), rows["day"].to_numpy()
    first, days = day + design.landmark_days + 1, design.follow_up_days
    minutes = rows["minutes"].fill_null(np.inf).to_numpy()
    minutes = np.where(minutes > (design.landmark_days + days) * 1440, np.inf, minutes)
    where = (history, tables, customers, day, rows)
    here, names = _at_opening(design, rows)
    labels = known_before(columns_of_segments(design.segments), *where)
    covariates, past_names = covariate_matrix(design.covariates, *where)
    held_out, _ = covariate_matrix(design.covariates, *where, hold_out=True)
    window = min(days, RECENT_DAYS)
    of_customers = [name for name in design.outcomes if name not in CASE_OUTCOMES]
    units = Units(
        arm=np.full(rows.height, design.treatment_label).astype(np.str_),
        outcomes={
            name: _rated(design, rows, minutes)
            if name in CASE_OUTCOMES
            else measure(name, history, customers, first, first + days - 1)
            for name in design.outcomes
        },
        covariates=np.column_stack([covariates, here]),
        covariate_names=(*past_names, *names),
        placebos=placebo_outcomes(of_customers, history, customers, day),
        placebo_covariates=np.column_stack([held_out, here]),
        segments=label_segments(labels, design.segments),
        clusters=customers,
        circumstances=frozenset(names) & CIRCUMSTANCES,
    )
    seen = (day - window >= history.start) & (history.acquired[customers] <= day - window)
    return CaseUnits(
        units=units,
        minutes=minutes,
        customers=customers,
        day=day,
        past={
            name: np.where(seen, measure_before(name, history, customers, day - window, day - 1), np.nan)
            for name in of_customers
        },
        past_days=window,
        opening=rows,
        queue=rows["queue"].to_numpy(),
        queue_unit=queue.unit,
        surge=np.isin(day, busy),
        told=told,
        present=np.empty((rows.height, 0), dtype=bool),
    )


def _rated(design: EffectDesign, rows: pl.DataFrame, minutes: Float) -> Float:
    """1 where the customer rated the case 4 or 5, 0 below, NaN where it was not answered or not rated."""
    if "csat" not in rows.columns or not rows["csat"].count():
        raise DataError(f'effect "{design.name}": outcome "csat" needs cases.csat, and no case is rated')
    given = rows["csat"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(given) & np.isfinite(minutes), (given >= 4).astype(float), np.nan)


def _at_opening(design: EffectDesign, rows: pl.DataFrame) -> tuple[Float, tuple[str, ...]]:
    """What was known of a case when it was opened: topic, tone, audience, hour of the week, backlog."""
    hour = rows["hour_of_week"].to_numpy()
    angle, weekend = 2 * np.pi * (hour % 24) / 24, (hour >= 120).astype(float)
    made = {
        "weekend": weekend,
        "hour_of_day_1": np.sin(angle),
        "hour_of_day_2": np.cos(angle),
        "hour_of_day_3": np.sin(2 * angle),
        "hour_of_day_4": np.cos(2 * angle),
        "backlog": np.log1p(rows["waiting"].to_numpy()),
    }
    if np.isfinite(rows["agents"].to_numpy()).all():
        made["outside_hours"] = (rows["agents"].to_numpy() <= 0).astype(float)
    told, labels = told_at_opening(rows, design.covariates)
    return np.column_stack([*made.values(), told]), (*made, *labels)
