"""By the queue: what a fast answer does to the cases whose answer moved with the queue.

Agents choose whom to answer first, by an anger that nobody wrote down. A comparison of fast with slow
answers then credits the choice (`tests/attribution/effects/test_queue.py` shows how far). The length of the
queue at the opening is nobody's choice. Within hour of the week, trend and topic it moves the wait and
nothing else, unless busy times are bad times by themselves: no table can rule that out. So beside the
estimate always stands the direct effect of the queue that would bring it to zero (Conley, Hansen & Rossi
2012, section 3.1, the direct effect at one point) and the largest that the time before the opening allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import isotonic_regression

from attribution.effects.case_units import CASE_OUTCOMES, CaseUnits, build_case_units
from attribution.effects.checks import Check, apply_checks, check_attrition
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Z_INTERVAL, Effect, holm, with_refusal
from attribution.effects.findings import Findings
from attribution.effects.history import day_of
from attribution.effects.instrument import TwoStage, fit_two_stage, wald_of_scores
from attribution.effects.nuisance import LEARNERS, assign_folds
from attribution.effects.observational import estimate_adjusted
from attribution.effects.placebo import MIN_GROUP
from attribution.effects.tables import EffectTables, Setting
from histories.errors import DataError

__all__ = ["ALL_DAYS", "BY_QUEUE", "agreement", "estimate_queue", "queue_findings"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]

BY_QUEUE: Final = "two_stage"
ALL_DAYS: Final = "two_stage_all_days"
WEAK_F: Final = 10.0
ALPHA: Final = 0.05
TREND_DAYS: Final = 28
"""Length of a piece of the trend, which is a broken line."""
ADDS_UP: Final = frozenset({"spend", "margin", "purchases", "issues", "issue_cost"})
"""Outcomes that are sums over days: a placebo over fewer days is scaled to the follow-up."""
PAST: Final = (
    "idle_days",
    "tenure_days",
    "purchases_before",
    "mean_spend_before",
    "recent_purchases",
    "recent_spend",
    "recent_contacts",
    "issues_before",
)
VALUE: Final = ("mean_spend_before", "purchases_before", "tenure_days")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """Cases opened while somebody was at work, and what is taken out of all that is compared.

    Attributes
    ----------
    fast : shape (N,)
        Whether the first answer came within the limit.
    foretold : shape (N,)
        The instrument: the share of fast answers that a queue of this length foretells.
    time, topic : shape (N, K)
        Trend, steps at changes, and channels; topics. The hour of the week is taken out by its means.
    """

    design: EffectDesign
    cases: CaseUnits
    fast: Flags
    foretold: Vector
    time: Matrix
    topic: Matrix
    tone: Matrix


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
    foretold = _foretold(design, cases, rng)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: dict[str, pl.DataFrame] = {}
    for outcome in design.outcomes:
        moved, refusal = _moved(design, cases, tables, outcome, foretold)
        found = _estimate_outcome(moved, outcome, refusal, rng)
        effects += found.effects
        pairs += found.checks
        pictures = pictures or dict(found.pictures)
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures=pictures)


def _moved(
    design: EffectDesign, cases: CaseUnits, tables: EffectTables, outcome: str, foretold: Vector
) -> tuple[_Moved, str | None]:
    """The cases whose outcome is known, and why they are not all alike, if so."""
    limit = design.treatment.first_response_minutes or 0.0
    known = np.isfinite(cases.units.outcomes[outcome])
    refusal = None
    if not known.all():
        answered = np.isfinite(cases.minutes) if outcome in CASE_OUTCOMES else np.ones(len(known), dtype=bool)
        lost = check_attrition(~known[answered], (cases.minutes <= limit)[answered], outcome)
        refusal = None if lost.passed else lost.reason
        cases, foretold = cases.where(known), foretold[known]
    names = cases.units.covariate_names
    columns = {
        kind: [place for place, name in enumerate(names) if name.startswith(start)]
        for kind, start in (("topic", "topic="), ("tone", "sentiment_first"), ("channel", "channel="))
    }
    x = cases.units.covariates
    moved = _Moved(
        design=design,
        cases=cases,
        fast=cases.minutes <= limit,
        foretold=foretold,
        time=np.column_stack([_trend(cases.day), _steps(cases.day, tables), x[:, columns["channel"]]]),
        topic=x[:, columns["topic"]],
        tone=x[:, columns["tone"]],
    )
    return moved, refusal


def _foretold(design: EffectDesign, cases: CaseUnits, rng: np.random.Generator) -> Vector:
    """The share of fast answers at each case's queue, by the other days, falling with the queue, shape (N,).

    Beyond some length nobody is fast, and a longer queue moves nothing more: so the instrument is what the
    queue foretells, not its length, whose longest days would outweigh all others.
    """
    fast = (cases.minutes <= (design.treatment.first_response_minutes or 0.0)).astype(float)
    folds = assign_folds(len(fast), rng, cases.day)
    found = np.full(len(fast), fast.mean())
    for fold in np.unique(folds):
        inside = folds == fold
        lengths, place, counts = np.unique(cases.queue[~inside], return_inverse=True, return_counts=True)
        if len(lengths) < 2:
            continue
        shares = np.bincount(place, fast[~inside]) / counts
        falling = isotonic_regression(shares, weights=counts, increasing=False).x
        found[inside] = np.interp(cases.queue[inside], lengths, falling)
    return found


def _trend(day: NDArray[np.int64]) -> Matrix:
    """A broken line over the days, bent every four weeks, shape (N, K)."""
    since = (day - day.min()).astype(float)
    bends = np.arange(TREND_DAYS, since.max() - TREND_DAYS / 2, TREND_DAYS)
    return np.column_stack([since, *(np.maximum(since - bend, 0.0) for bend in bends)])


def _steps(day: NDArray[np.int64], tables: EffectTables) -> Matrix:
    """A step at every change of the log within the days, shape (N, K)."""
    if tables.interventions is None:
        return np.empty((len(day), 0))
    dates = tables.interventions.collect()["date"].drop_nulls().unique().sort().to_list()
    inside = [at for at in map(day_of, dates) if day.min() < at <= day.max()]
    return np.column_stack([(day >= at).astype(float) for at in inside] or [np.empty((len(day), 0))])


def _estimate_outcome(moved: _Moved, outcome: str, refusal: str | None, rng: np.random.Generator) -> Findings:
    """By the queue without days of surge, with them, and the adjusted and naive rows on the same cases."""
    calm = ~moved.cases.surge
    quiet = _where(moved, calm)
    fast, slow = int(quiet.fast.sum()), int((~quiet.fast).sum())
    if min(fast, slow) < MIN_GROUP:
        reason = (
            f"too few cases while somebody was at work: {fast:,} fast and {slow:,} slow, {MIN_GROUP} needed"
        )
        bare = _bare(quiet, outcome, BY_QUEUE).refused(refusal or reason)
        return Findings(effects=(bare,))
    fit, placebo = _fit(quiet, outcome), _placebo(quiet, outcome)
    effect = _effect(quiet, outcome, BY_QUEUE, fit, placebo)
    checks = _checks(quiet, outcome, effect, fit, placebo)
    everything = _effect(moved, outcome, ALL_DAYS, _fit(moved, outcome), _placebo(moved, outcome))
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


def _where(moved: _Moved, mask: Flags) -> _Moved:
    return replace(
        moved,
        cases=moved.cases.where(mask),
        fast=moved.fast[mask],
        foretold=moved.foretold[mask],
        time=moved.time[mask],
        topic=moved.topic[mask],
        tone=moved.tone[mask],
    )


def _within_hours(moved: _Moved, values: Matrix) -> Matrix:
    """Values less their mean within the hour of the week, shape as given."""
    _, hour = np.unique(moved.cases.opening["hour_of_week"].to_numpy(), return_inverse=True)
    counts = np.bincount(hour)
    columns = values.reshape(len(hour), -1)
    means = np.column_stack([np.bincount(hour, column) / counts for column in columns.T])
    return np.asarray((columns - means[hour]).reshape(values.shape))


def _hours(moved: _Moved) -> int:
    return int(moved.cases.opening["hour_of_week"].n_unique())


def _fit(moved: _Moved, outcome: str) -> TwoStage:
    """Two stages within hour of the week, trend, topic, and given what customers had done before."""
    past = [
        place
        for place, name in enumerate(moved.cases.units.covariate_names)
        if name in PAST or name.split("=")[0] in moved.design.covariates
    ]
    x = np.column_stack([moved.time, moved.topic, moved.cases.units.covariates[:, past]])
    y, t, z, given = (
        _within_hours(moved, values)
        for values in (moved.cases.units.outcomes[outcome], moved.fast.astype(float), moved.foretold, x)
    )
    return _two_stage(moved, y, t, z, given)


def _two_stage(moved: _Moved, y: Vector, t: Vector, z: Vector, given: Matrix) -> TwoStage:
    clusters = (moved.cases.day, moved.cases.customers)
    return fit_two_stage(y, t, z, given, clusters=clusters, absorbed=_hours(moved) - 1)


def _direct(moved: _Moved, y: Vector) -> TwoStage:
    """What one unit more of the queue would have to do by itself for all that the instrument does to y."""
    y, q, z, given = (
        _within_hours(moved, values)
        for values in (y, moved.cases.queue, moved.foretold, np.column_stack([moved.time, moved.topic]))
    )
    return _two_stage(moved, y, q, z, given)


def _placebo(moved: _Moved, outcome: str) -> tuple[TwoStage, TwoStage] | None:
    """What the queue does to the outcome's past, which nothing can: as an effect, and as a direct one.

    Scaled to the length of the follow-up; None where too little of the past is observed.
    """
    past = moved.cases.past.get(outcome)
    if past is None:
        return None
    known = np.isfinite(past)
    if known.sum() < 2 * MIN_GROUP or np.ptp(past[known]) == 0:
        return None
    some = _where(moved, known)
    if min(some.fast.sum(), (~some.fast).sum()) < MIN_GROUP:
        return None
    days = some.design.follow_up_days / some.cases.past_days if outcome in ADDS_UP else 1.0
    y, t, z, given = (
        _within_hours(some, values)
        for values in (
            past[known] * days,
            some.fast.astype(float),
            some.foretold,
            np.column_stack([some.time, some.topic]),
        )
    )
    return _two_stage(some, y, t, z, given), _direct(some, past[known] * days)


def _bare(moved: _Moved, outcome: str, estimator: str) -> Effect:
    """An effect without its figures."""
    return Effect(
        name=moved.design.name,
        treatment=moved.design.treatment_label,
        control=moved.design.control_label,
        outcome=outcome,
        design=moved.design.design,
        estimator=estimator,
        estimand="LATE",
        n_treated=int(moved.fast.sum()),
        n_control=int((~moved.fast).sum()),
        effective_n=float(len(moved.fast)),
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _effect(
    moved: _Moved, outcome: str, estimator: str, fit: TwoStage, placebo: tuple[TwoStage, TwoStage] | None
) -> Effect:
    """The estimate with its Anderson-Rubin interval, its placebo, and what a direct effect would do to it."""
    effect = replace(
        _bare(moved, outcome, estimator),
        estimate=_finite(fit.estimate),
        std_error=_finite(fit.std_error),
        low=_finite(fit.low),
        high=_finite(fit.high),
        first_stage_f=_finite(fit.first_stage_f),
        direct_to_zero=_finite(_direct(moved, moved.cases.units.outcomes[outcome]).estimate),
    )
    if placebo is None:
        return effect
    before, direct = placebo
    return replace(
        effect,
        direct_allowed=_finite(abs(direct.estimate) + Z_INTERVAL * direct.std_error),
        placebo_estimate=_finite(before.estimate),
        placebo_low=_finite(before.low),
        placebo_high=_finite(before.high),
    )


def _checks(
    moved: _Moved, outcome: str, effect: Effect, fit: TwoStage, placebo: tuple[TwoStage, TwoStage] | None
) -> list[Check]:
    """Strength, a bounded interval, a queue that says nothing of who writes, and room for a direct effect."""
    unit = moved.cases.queue_unit
    bounded = effect.low is not None and effect.high is not None
    checks = [
        Check(
            check="instrument strength",
            value=fit.first_stage_f,
            limit=WEAK_F,
            passed=fit.first_stage_f >= WEAK_F,
            reason=f"the queue hardly moves the answer (F = {fit.first_stage_f:.1f}, {WEAK_F:.0f} needed)",
        ),
        Check(
            check="bounded interval",
            value=float(bounded),
            limit=1.0,
            passed=bounded,
            reason="the queue is too weak to bound the effect: the Anderson-Rubin interval has no end",
        ),
        *_unrelated(moved, outcome, placebo),
    ]
    if effect.direct_to_zero is None or effect.direct_allowed is None:
        return checks
    claims = bounded and ((effect.low or 0.0) > 0 or (effect.high or 0.0) < 0)
    needed, allowed = effect.direct_to_zero, effect.direct_allowed
    share = allowed / abs(needed) if needed else float("inf")
    checks.append(
        Check(
            check="direct effect",
            value=share,
            limit=1.0,
            passed=not claims or share <= 1.0,
            reason=(
                f"busy times that are bad by themselves could explain all of it: {needed:.3g} {outcome} "
                f"per {unit} would do, and the time before the opening allows up to {allowed:.3g}"
            ),
        )
    )
    return checks


def _unrelated(moved: _Moved, outcome: str, placebo: tuple[TwoStage, TwoStage] | None) -> list[Check]:
    """Whether the queue foretells the outcome's past, value, tone or topic; Holm over these."""
    names = moved.cases.units.covariate_names
    value = [names.index(name) for name in VALUE if name in names]
    whole = np.column_stack([moved.time, moved.topic])
    asked: list[tuple[str, Matrix, Matrix]] = [
        ("the customer's value", moved.cases.units.covariates[:, value], whole),
        ("tone", moved.tone, whole),
        ("topic", moved.topic, moved.time),
    ]
    z = _within_hours(moved, moved.foretold)
    found = []
    for what, targets, given in asked:
        if not targets.shape[1]:
            continue
        inside = _within_hours(moved, targets), _within_hours(moved, given)
        found.append((what, wald_of_scores(inside[0], z, inside[1], moved.cases.day)[0]))
    if placebo is not None and placebo[0].reduced_form_error > 0:
        z_past = abs(placebo[0].reduced_form / placebo[0].reduced_form_error)
        found.append((f"{outcome} before the opening", float(2 * stats.norm.sf(z_past))))
    adjusted = holm([p for _, p in found])
    return [
        Check(
            check=f"queue and {what}",
            value=p,
            limit=ALPHA,
            passed=p >= ALPHA,
            reason=f"the queue foretells {what} (p = {p:.2g}): busy times bring other cases",
        )
        for (what, _), p in zip(found, adjusted, strict=True)
    ]


def agreement(by_queue: Effect, beside: tuple[Effect, ...]) -> Check | None:
    """Whether the queue and the adjusted comparison say the same, up to their errors.

    Held against the first adjusted estimate that passed its own checks; None where either was refused: what
    is no evidence contradicts nothing. The errors are taken as independent, which lets more pass.
    """
    other = next(
        (e for e in beside if e.supported and e.estimator == "aipw" and e.segment == by_queue.segment), None
    )
    if not by_queue.supported or other is None:
        return None
    a, b = by_queue.estimate, other.estimate
    if a is None or b is None or not by_queue.std_error or not other.std_error:
        return None
    z = abs(a - b) / float(np.hypot(by_queue.std_error, other.std_error))
    return Check(
        check="agreement",
        value=z,
        limit=Z_INTERVAL,
        passed=z <= Z_INTERVAL,
        reason=(
            f"the queue says {a:.3g} and the adjusted comparison {b:.3g}, further apart than their errors "
            f"(z = {z:.1f}): one rests on what does not hold, or other cases move with the queue; "
            "neither is quoted"
        ),
    )
