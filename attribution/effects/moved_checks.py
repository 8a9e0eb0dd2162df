"""Checks on an estimate by what moved the answers: strength, who comes when, other estimates."""

from __future__ import annotations

from typing import Final

import numpy as np

from attribution.effects.checks import WEAK_F, Check, check_instrument
from attribution.effects.effect import Z_INTERVAL, Effect, holm
from attribution.effects.instrument import TwoStage, wald_of_scores
from attribution.effects.moved_cases import MovedCases, Mover
from attribution.effects.moved_fit import MovedPlacebo
from histories.arrays import Float

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
        found.append((what, wald_of_scores(inside[0], z, inside[1], moved.cases.day)[0]))
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
