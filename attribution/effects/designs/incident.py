"""After an incident: how customers fare after a case that they rated 1, or whose tone was bitter.

They are held against customers with a case that ended otherwise, alike in what was known when it was opened.
That makes it a fair description and no effect: whoever rates 1 may have been leaving already, and what let
them down is not the rating. So no row is ever supported, and the reason says what would be.

Who left before the landmark is left out on both sides, as a rating comes from those who are still there. The
hazard of leaving is per 30 days from the landmark on (Allison 1982), where leaving is recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from attribution.effects.data.cases import CaseUnits, build_case_units
from attribution.effects.data.history import History, build_history
from attribution.effects.data.tables import Setting
from attribution.effects.design import EffectDesign
from attribution.effects.designs.observational import estimate_adjusted
from attribution.effects.designs.time_varying import MIN_LEFT, STEP_DAYS, fit_hazard
from attribution.effects.effect import Effect, effect_of, with_interval
from attribution.effects.estimators.regression import drop_collinear
from attribution.effects.findings import Findings
from histories.arrays import Flags
from histories.errors import DataError

WORST: Final = 1.0
"""Rating that makes a case an incident."""
BITTER: Final = -0.7
"""Tone below which a case is an incident."""
ASSOCIATION: Final = (
    "an association: who is let down may have been leaving already, and nothing was varied. A lottery of "
    "what avoids incidents, as of priority, would tell what an incident does"
)
_TONES: Final = ("sentiment_first", "sentiment_last")


def estimate_incident(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """How outcomes differ after an incident, adjusted and naive, and the hazard of leaving; none supported.

    Raises
    ------
    DataError
        When no case has a rating or a tone.
    """
    cases = build_case_units(design, setting)
    history = build_history(
        setting.tables, observation_end=setting.observation_end, gross_margin=setting.gross_margin
    )
    told, is_incident = _incidents(design, cases.opening)
    there = history.ended[cases.customers] > cases.day + design.landmark_days
    kept, treated = cases.where(told & there), is_incident[told & there]
    units = kept.units
    for name in _TONES:  # what is asked about, not what is held alike
        units = units.without(name)
    found = estimate_adjusted(units, design, treated=treated, rng=rng, refusal=ASSOCIATION)
    if "retention" not in design.outcomes or not history.contractual:
        return found
    hazard = _hazard(design, replace(kept, units=units), history, treated)
    return replace(found, effects=(*found.effects, hazard))


def _incidents(design: EffectDesign, opening: pl.DataFrame) -> tuple[Flags, Flags]:
    """Which cases have a rating or a tone, and which of them are incidents."""
    rated = pl.col("csat") if "csat" in opening.columns else pl.lit(None, dtype=pl.Float64)
    tones = [pl.col(name) for name in _TONES if name in opening.columns]
    tone = pl.min_horizontal(tones) if tones else pl.lit(None, dtype=pl.Float64)
    told = opening.select(
        (rated.is_not_null() | tone.is_not_null()).alias("told"),
        ((rated <= WORST).fill_null(False) | (tone < BITTER).fill_null(False)).alias("incident"),
    )
    if not told["told"].any():
        raise DataError(f'effect "{design.name}": no case has a rating (csat) or a tone (sentiment_last)')
    return told["told"].to_numpy(), told["incident"].to_numpy()


def _hazard(design: EffectDesign, cases: CaseUnits, history: History, treated: Flags) -> Effect:
    """Log hazard ratio of leaving after an incident, over the 30-day periods of the follow-up."""
    periods = max(design.follow_up_days // STEP_DAYS, 1)
    known = cases.units.covariates
    counts = (known.min(axis=0) >= 0) & (known.max(axis=0) > 1)  # money, days and counts act by their factor
    x = drop_collinear(np.where(counts, np.log1p(np.maximum(known, 0.0)), known))
    ended, first = history.ended[cases.customers], cases.day + design.landmark_days
    rows, left = [], []
    for period in range(periods):
        start = first + period * STEP_DAYS
        rows.append(np.flatnonzero(ended > start))
        left.append((ended[rows[-1]] <= start[rows[-1]] + STEP_DAYS).astype(float))
    who, gone = np.concatenate(rows), np.concatenate(left)
    later = np.repeat(np.arange(periods), [len(there) for there in rows])
    steps = (later[:, None] == np.arange(1, periods)).astype(float)
    t = treated[who].astype(float)
    table = np.column_stack([np.ones(len(who)), t, steps, x[who]])
    effect = effect_of(
        design, "retention", "discrete_hazard", "log hazard ratio", treated, effective_n=float(len(who))
    )
    fewest = int(min((gone * t).sum(), (gone * (1 - t)).sum()))
    if fewest < MIN_LEFT:
        return effect.refused(f"only {fewest} customers left in the smaller group, {MIN_LEFT} needed")
    fit = fit_hazard(table, gone, cases.customers[who])
    estimate, error = float(fit.coefficients[1]), float(np.sqrt(fit.covariance[1, 1]))
    return with_interval(effect, estimate=estimate, std_error=error).refused(ASSOCIATION)
