"""Two stages by what moved the answers, the same where no effect can be, on the days before; and checks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from attribution.effects.designs.comparison import MIN_GROUP
from attribution.effects.designs.moved_cases import MovedCases, Mover
from attribution.effects.effect import Z_INTERVAL, Effect, holm
from attribution.effects.estimators.checks import WEAK_F, Check, check_instrument
from attribution.effects.estimators.instrument import TwoStage, fit_two_stage, wald_of_scores
from histories.arrays import Float

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedPlacebo:
    """What the mover does to the outcome's past, which nothing can.

    Attributes
    ----------
    effect, p_value
        As an effect of answers, and by a test.
    moved, past
        The cases whose past is known, and that past, shape (N,), scaled to the length of the follow-up.
    """

    effect: TwoStage
    p_value: float
    moved: MovedCases
    past: Float


def fit_moved(moved: MovedCases, outcome: str) -> TwoStage:
    """Two stages within hour of the week, trend, topic, and given what customers had done before.

    An instrument by which answers are slow where they are foretold to be fast has no strength.
    """
    y = moved.cases.units.outcomes[outcome]
    fit = two_stage(moved, y, moved.fast.astype(float), given_of(moved))
    is_upside_down = fit.reduced_form * fit.estimate < 0
    return replace(fit, first_stage_f=0.0) if is_upside_down else fit


def given_of(moved: MovedCases) -> Float:
    """What is taken out of outcome, answer and instrument, beside the hour of the week, shape (N, K)."""
    past = [
        place
        for place, name in enumerate(moved.cases.units.covariate_names)
        if name in PAST or name.split("=")[0] in moved.design.covariates
    ]
    return np.column_stack([moved.time, moved.topic, moved.cases.units.covariates[:, past]])


def two_stage(moved: MovedCases, y: Float, t: Float, given: Float) -> TwoStage:
    """Two stages of y on t by the instrument, within hours of the week, with errors by day and customer."""
    y, t, z, x = (moved.within_hours(values) for values in (y, t, moved.foretold, given))
    clusters = (moved.cases.day, moved.cases.customers)
    return fit_two_stage(
        y, t, z, x, clusters=clusters, absorbed=moved.cases.opening["hour_of_week"].n_unique() - 1
    )


def fit_moved_placebo(moved: MovedCases, outcome: str) -> MovedPlacebo | None:
    """The same on the outcome's past; None where too little of it is observed."""
    past = moved.cases.past.get(outcome)
    if past is None:
        return None
    known = np.isfinite(past)
    if known.sum() < 2 * MIN_GROUP or np.ptp(past[known]) == 0:
        return None
    some = moved.where(known)
    if min(some.fast.sum(), (~some.fast).sum()) < MIN_GROUP:
        return None
    days = some.design.follow_up_days / some.cases.past_days if outcome in ADDS_UP else 1.0
    scaled, given = past[known] * days, np.column_stack([some.time, some.topic])
    y, z, x = (some.within_hours(values) for values in (scaled, some.foretold, given))
    return MovedPlacebo(
        effect=two_stage(some, scaled, some.fast.astype(float), given),
        p_value=wald_of_scores(y[:, None], z, x, some.cases.day),
        moved=some,
        past=scaled,
    )


ALPHA: Final = 0.05
VALUE: Final = ("mean_spend_before", "purchases_before", "tenure_days")


def moved_checks(
    moved: MovedCases, outcome: str, effect: Effect, fit: TwoStage, placebo: MovedPlacebo | None
) -> list[Check]:
    """Whether there is anything to tell apart; strength, a bounded interval, a mover of no other cases."""
    y = moved.cases.units.outcomes[outcome]
    if np.ptp(y) == 0:
        reason = f"{outcome} is the same for all: there is nothing to tell apart"
        return [Check(check="spread", value=0.0, limit=0.0, passed=False, reason=reason, blocking=True)]
    return [
        *check_instrument(
            fit.first_stage_f,
            bounded=effect.low is not None and effect.high is not None,
            weak=moved.mover.weak,
            unbounded=moved.mover.unbounded,
        ),
        *_unrelated(moved, outcome, placebo),
    ]


def _unrelated(moved: MovedCases, outcome: str, placebo: MovedPlacebo | None) -> list[Check]:
    """Whether the mover foretells the outcome's past, value, tone or topic; Holm over these."""
    names = moved.cases.units.covariate_names
    value = [names.index(name) for name in VALUE if name in names]
    whole = np.column_stack([moved.time, moved.topic])
    asked: list[tuple[str, Float, Float]] = [
        ("the customer's value", moved.cases.units.covariates[:, value], whole),
        ("tone", moved.tone, whole),
        ("topic", moved.topic, moved.time),
    ]
    z = moved.within_hours(moved.foretold)
    found = []
    for what, targets, given in asked:
        if not targets.shape[1]:
            continue
        inside = moved.within_hours(targets), moved.within_hours(given)
        found.append((what, wald_of_scores(inside[0], z, inside[1], moved.cases.day)))
    if placebo is not None:
        found.append((f"{outcome} before the opening", placebo.p_value))
    adjusted = holm([p for _, p in found])
    return [
        Check(
            check=f"{moved.mover.name} and {what}",
            value=p,
            limit=ALPHA,
            passed=p >= ALPHA,
            reason=f"{moved.mover.foretells} {what} (p = {p:.2g}): {moved.mover.others}",
        )
        for (what, _), p in zip(found, adjusted, strict=True)
    ]


def agreement(mover: Mover, told: Effect, beside: tuple[Effect, ...]) -> Check | None:
    """Whether the mover and the adjusted comparison say the same, up to their errors.

    Held against the first adjusted estimate that passed its own checks; None where none did, or where the
    mover is too weak to say anything. A strong one that failed another check still contradicts: the careful
    side. The errors are taken as independent, which lets more pass.
    """
    other = next(
        (e for e in beside if e.supported and e.estimator == "aipw" and e.segment == told.segment), None
    )
    is_weak = (told.first_stage_f or 0.0) < WEAK_F or told.low is None or told.high is None
    if other is None or is_weak:
        return None
    a, b = told.estimate, other.estimate
    if a is None or b is None or not told.std_error or not other.std_error:
        return None
    z = abs(a - b) / float(np.hypot(told.std_error, other.std_error))
    return Check(
        check="agreement",
        value=z,
        limit=Z_INTERVAL,
        passed=z <= Z_INTERVAL,
        reason=(
            f"{mover.says} {a:.3g} and the adjusted comparison {b:.3g}, further apart than their errors "
            f"(z = {z:.1f}): one rests on what does not hold, or the cases it moves are others; "
            "neither is quoted"
        ),
    )
