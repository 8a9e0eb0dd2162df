"""Cases whose answer something moved: the instrument, and what is taken out of all that is compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from attribution.effects.data.cases import CASE_OUTCOMES, CaseUnits
from attribution.effects.data.history import day_of
from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.estimators.checks import check_attrition
from histories.arrays import Flags, Float, Integer

TREND_DAYS: Final = 28
"""Length of a piece of the trend, which is a broken line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """What moves answers, and how a refusal speaks of it.

    Attributes
    ----------
    name
        In the names of checks.
    says
        Before what it says: "the queue says".
    weak, unbounded
        Where it hardly moves the answer; where it does not bound the effect.
    foretells, others
        Before and after what it foretells and should not.
    """

    name: str
    says: str
    weak: str
    unbounded: str
    foretells: str
    others: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedCases:
    """Cases opened while somebody was at work, and what is taken out of all that is compared.

    Attributes
    ----------
    fast : shape (N,)
        Whether the first answer came within the limit.
    foretold : shape (N,)
        The instrument: the share of fast answers that the mover foretells.
    time, topic : shape (N, K)
        Trend, steps at changes, channels, and what the mover's design holds fixed beside; topics. The hour of
        the week is taken out by its means.
    """

    mover: Mover
    design: EffectDesign
    cases: CaseUnits
    fast: Flags
    foretold: Float
    time: Float
    topic: Float
    tone: Float

    def where(self, mask: Flags) -> MovedCases:
        """The cases that `mask` (N,) selects."""
        return replace(
            self,
            cases=self.cases.where(mask),
            fast=self.fast[mask],
            foretold=self.foretold[mask],
            time=self.time[mask],
            topic=self.topic[mask],
            tone=self.tone[mask],
        )

    def within_hours(self, values: Float) -> Float:
        """Values less their mean within the hour of the week, shape as given."""
        return within_hours(self.cases, values)


def within_hours(cases: CaseUnits, values: Float) -> Float:
    """Values less their mean within the hour of the week, shape as given."""
    _, hour = np.unique(cases.opening["hour_of_week"].to_numpy(), return_inverse=True)
    counts = np.bincount(hour)
    columns = values.reshape(len(hour), -1)
    means = np.column_stack([np.bincount(hour, column) / counts for column in columns.T])
    return np.asarray((columns - means[hour]).reshape(values.shape))


def move_cases(
    mover: Mover,
    design: EffectDesign,
    cases: CaseUnits,
    tables: EffectTables,
    outcome: str,
    foretold: Float,
    beside: Float,
) -> tuple[MovedCases, str | None]:
    """The cases whose outcome is known, and why they are not all alike, if so.

    `beside`, shape (N, K), is held fixed with the trend.
    """
    limit = design.treatment.first_response_minutes or 0.0
    known = np.isfinite(cases.units.outcomes[outcome])
    refusal = None
    if not known.all():
        answered = np.isfinite(cases.minutes) if outcome in CASE_OUTCOMES else np.ones(len(known), dtype=bool)
        lost = check_attrition(~known[answered], (cases.minutes <= limit)[answered], outcome)
        refusal = None if lost.passed else lost.reason
        cases, foretold, beside = cases.where(known), foretold[known], beside[known]
    moved = MovedCases(
        mover=mover,
        design=design,
        cases=cases,
        fast=cases.minutes <= limit,
        foretold=foretold,
        time=np.column_stack([time_of(cases, tables), beside]),
        topic=named(cases, "topic="),
        tone=named(cases, "sentiment_first"),
    )
    return moved, refusal


def named(cases: CaseUnits, start: str) -> Float:
    """The covariates whose names begin so, shape (N, K)."""
    places = [place for place, name in enumerate(cases.units.covariate_names) if name.startswith(start)]
    return cases.units.covariates[:, places]


def time_of(cases: CaseUnits, tables: EffectTables) -> Float:
    """Trend, steps at changes, and channels, shape (N, K)."""
    return np.column_stack([_trend(cases.day), _steps(cases.day, tables), named(cases, "channel=")])


def _trend(day: Integer) -> Float:
    """A broken line over the days, bent every four weeks, shape (N, K)."""
    since = (day - day.min()).astype(float)
    bends = np.arange(TREND_DAYS, since.max() - TREND_DAYS / 2, TREND_DAYS)
    return np.column_stack([since, *(np.maximum(since - bend, 0.0) for bend in bends)])


def _steps(day: Integer, tables: EffectTables) -> Float:
    """A step at every change of the log within the days, shape (N, K)."""
    if tables.interventions is None:
        return np.empty((len(day), 0))
    dates = tables.interventions.collect()["date"].drop_nulls().unique().sort().to_list()
    inside = [at for at in map(day_of, dates) if day.min() < at <= day.max()]
    return np.column_stack([(day >= at).astype(float) for at in inside] or [np.empty((len(day), 0))])
