"""By the queue: what a fast answer does to the cases whose answer moved with the queue.

Agents choose whom to answer first, by an anger that nobody wrote down. A comparison of fast with slow
answers then credits the choice (`tests/attribution/effects/test_queue.py` shows how far). The length of the
queue at the opening is nobody's choice. Within hour of the week, trend and topic it moves the wait and
nothing else, unless busy times are bad times by themselves: no table can rule that out. So beside the
estimate always stands the direct effect of the queue that would bring it to zero (Conley, Hansen & Rossi
2012, section 3.1, the direct effect at one point) and the largest that the time before the opening allows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from attribution.effects.case_units import CaseUnits, build_case_units
from attribution.effects.checks import Check, apply_checks
from attribution.effects.comparison import MIN_GROUP
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Z_INTERVAL, Effect, effect_of, with_refusal
from attribution.effects.findings import Findings
from attribution.effects.instrument import TwoStage
from attribution.effects.nuisance import LEARNERS
from attribution.effects.observational import estimate_adjusted
from attribution.effects.queue_cases import MovedCases, foretell, move_cases
from attribution.effects.queue_checks import agreement, queue_checks
from attribution.effects.queue_fit import QueuePlacebo, direct_effect, fit_by_queue, fit_queue_placebo
from attribution.effects.tables import EffectTables, Setting
from histories.errors import DataError

BY_QUEUE: Final = "two_stage"
ALL_DAYS: Final = "two_stage_all_days"


def estimate_queue(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effects of a fast answer by the queue, adjusted, and naive, on every outcome.

    Raises
    ------
    DataError
        When there are no cases of customers with answers, none is followed to the end, or nobody was ever at
        work when one was opened.
    """
    cases = build_case_units(design, setting)
    met = np.isfinite(cases.queue)
    if not met.any():
        raise DataError(
            f'effect "{design.name}": nobody was at work when a case was opened. Do the shifts in '
            "inputs.hours belong to the same days and time zone?"
        )
    return queue_findings(design, cases.where(met), setting.tables, rng)


def queue_findings(
    design: EffectDesign, cases: CaseUnits, tables: EffectTables, rng: np.random.Generator
) -> Findings:
    """Effects on cases that were opened while somebody was at work."""
    foretold = foretell(design, cases, rng)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: dict[str, pl.DataFrame] = {}
    for outcome in design.outcomes:
        moved, refusal = move_cases(design, cases, tables, outcome, foretold)
        found = _estimate_outcome(moved, outcome, refusal, rng)
        effects += found.effects
        pairs += found.checks
        pictures = pictures or dict(found.pictures)
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures=pictures)


def _estimate_outcome(
    moved: MovedCases, outcome: str, refusal: str | None, rng: np.random.Generator
) -> Findings:
    """By the queue without days of surge, with them, and the adjusted and naive rows on the same cases."""
    calm = ~moved.cases.surge
    quiet = moved.where(calm)
    fast, slow = int(quiet.fast.sum()), int((~quiet.fast).sum())
    if min(fast, slow) < MIN_GROUP:
        reason = (
            f"too few cases while somebody was at work: {fast:,} fast and {slow:,} slow, {MIN_GROUP} needed"
        )
        bare = _bare(quiet, outcome, BY_QUEUE).refused(refusal or reason)
        return Findings(effects=(bare,))
    fit, placebo = fit_by_queue(quiet, outcome), fit_queue_placebo(quiet, outcome)
    effect = _effect(quiet, outcome, BY_QUEUE, fit, placebo)
    checks = queue_checks(quiet, outcome, effect, fit, placebo)
    everything = _effect(
        moved, outcome, ALL_DAYS, fit_by_queue(moved, outcome), fit_queue_placebo(moved, outcome)
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
    agreed = agreement(told, beside.effects)
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


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _effect(
    moved: MovedCases, outcome: str, estimator: str, fit: TwoStage, placebo: QueuePlacebo | None
) -> Effect:
    """The estimate with its Anderson-Rubin interval, its placebo, and what a direct effect would do to it."""
    effect = replace(
        _bare(moved, outcome, estimator),
        estimate=_finite(fit.estimate),
        std_error=_finite(fit.std_error),
        low=_finite(fit.low),
        high=_finite(fit.high),
        first_stage_f=_finite(fit.first_stage_f),
        direct_to_zero=_finite(direct_effect(moved, moved.cases.units.outcomes[outcome]).estimate),
    )
    if placebo is None:
        return effect
    return replace(
        effect,
        direct_allowed=_finite(abs(placebo.direct.estimate) + Z_INTERVAL * placebo.direct.std_error),
        placebo_estimate=_finite(placebo.effect.estimate),
        placebo_low=_finite(placebo.effect.low),
        placebo_high=_finite(placebo.effect.high),
    )
