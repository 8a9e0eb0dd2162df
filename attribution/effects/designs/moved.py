"""Effects of a fast answer by what moved it, beside the adjusted and the naive comparison of the same cases.

A queue or the agents at work move answers for no reason of the customer's. The design brings an instrument
and its own checks; the rest is the same: two stages without days of surge and with them, and whether they
agree with what adjustment says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from attribution.effects.data.cases import CaseUnits
from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.designs.comparison import MIN_GROUP
from attribution.effects.designs.moved_cases import MovedCases, Mover, move_cases
from attribution.effects.designs.moved_fit import (
    MovedPlacebo,
    agreement,
    fit_moved,
    fit_moved_placebo,
    moved_checks,
)
from attribution.effects.designs.observational import estimate_adjusted
from attribution.effects.effect import Effect, effect_of, with_refusal
from attribution.effects.estimators.checks import Check, apply_checks
from attribution.effects.estimators.instrument import TwoStage
from attribution.effects.estimators.nuisance import LEARNERS
from attribution.effects.findings import Findings
from histories.arrays import Float

CALM_DAYS: Final = "two_stage"
ALL_DAYS: Final = "two_stage_all_days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What moves the answers of N cases.

    Attributes
    ----------
    foretold : shape (N,)
        Share of fast answers that it foretells for each case, learned on other days.
    beside : shape (N, K)
        What is held fixed with the trend.
    told
        Adds to an effect what else belongs beside it, given the cases and what is known of their past.
    checks
        Its own checks of an effect.
    """

    mover: Mover
    foretold: Float
    beside: Float
    told: Callable[[MovedCases, Effect, MovedPlacebo | None], Effect]
    checks: Callable[[MovedCases, Effect], list[Check]]


def moved_findings(
    design: EffectDesign,
    cases: CaseUnits,
    tables: EffectTables,
    instrument: Instrument,
    rng: np.random.Generator,
) -> Findings:
    """Effects of a fast answer by an instrument, adjusted, and naive, on every outcome."""
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: dict[str, pl.DataFrame] = {}
    for outcome in design.outcomes:
        moved, refusal = move_cases(
            instrument.mover, design, cases, tables, outcome, instrument.foretold, instrument.beside
        )
        found = _estimate_outcome(moved, instrument, outcome, refusal, rng)
        effects += found.effects
        pairs += found.checks
        pictures = pictures or dict(found.pictures)
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures=pictures)


def _estimate_outcome(
    moved: MovedCases, instrument: Instrument, outcome: str, refusal: str | None, rng: np.random.Generator
) -> Findings:
    """Without days of surge, with them, and the adjusted and naive rows on the same cases."""
    quiet = moved.where(~moved.cases.surge)
    fast, slow = int(quiet.fast.sum()), int((~quiet.fast).sum())
    if min(fast, slow) < MIN_GROUP:
        reason = (
            f"too few cases while somebody was at work: {fast:,} fast and {slow:,} slow, {MIN_GROUP} needed"
        )
        bare = _bare(quiet, outcome, CALM_DAYS).refused(refusal or reason)
        return Findings(effects=(bare,))
    fit, placebo = fit_moved(quiet, outcome), fit_moved_placebo(quiet, outcome)
    effect = instrument.told(quiet, _effect(quiet, outcome, CALM_DAYS, fit, placebo), placebo)
    checks = moved_checks(quiet, outcome, effect, fit, placebo)
    if not any(check.blocking for check in checks):
        checks = [*checks, *instrument.checks(quiet, effect)]
    whole, whole_placebo = fit_moved(moved, outcome), fit_moved_placebo(moved, outcome)
    everything = instrument.told(
        moved, _effect(moved, outcome, ALL_DAYS, whole, whole_placebo), whole_placebo
    )
    beside = estimate_adjusted(  # to adjust for the queue would swell what is hidden
        quiet.cases.units.without("backlog"),
        replace(moved.design, outcomes=(outcome,)),
        treated=quiet.fast,
        rng=rng,
        refusal=refusal,
        learners=LEARNERS[:2],
    )
    told = with_refusal(apply_checks(effect, checks), refusal)
    agreed = agreement(moved.mover, told, beside.effects)
    if agreed is not None:
        checks = [*checks, agreed]
        told = apply_checks(told, [agreed])
    rest = tuple(
        e if agreed is None or agreed.passed or not e.supported else e.refused(agreed.reason)
        for e in beside.effects
    )
    everything = with_refusal(apply_checks(everything, checks), refusal)
    pairs = [*((told, check) for check in checks), *beside.checks]
    return Findings(effects=(told, everything, *rest), checks=tuple(pairs), pictures=beside.pictures)


def _bare(moved: MovedCases, outcome: str, estimator: str) -> Effect:
    """An effect without its figures."""
    return effect_of(moved.design, outcome, estimator, "LATE", moved.fast, effective_n=float(len(moved.fast)))


def finite(value: float) -> float | None:
    """The value; None where it is no number."""
    return float(value) if np.isfinite(value) else None


def _effect(
    moved: MovedCases, outcome: str, estimator: str, fit: TwoStage, placebo: MovedPlacebo | None
) -> Effect:
    """The estimate with its Anderson-Rubin interval, and its placebo."""
    effect = replace(
        _bare(moved, outcome, estimator),
        estimate=finite(fit.estimate),
        std_error=finite(fit.std_error),
        low=finite(fit.low),
        high=finite(fit.high),
        first_stage_f=finite(fit.first_stage_f),
    )
    if placebo is None:
        return effect
    return replace(
        effect,
        placebo_estimate=finite(placebo.effect.estimate),
        placebo_low=finite(placebo.effect.low),
        placebo_high=finite(placebo.effect.high),
    )
