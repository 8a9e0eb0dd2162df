"""Checks on an estimate by the queue: strength, who comes at busy times, direct effects, other estimates."""

from __future__ import annotations

from typing import Final

import numpy as np

from attribution.effects.checks import WEAK_F, Check, check_instrument
from attribution.effects.effect import Z_INTERVAL, Effect, holm
from attribution.effects.instrument import TwoStage, wald_of_scores
from attribution.effects.queue_cases import MovedCases
from attribution.effects.queue_fit import QueuePlacebo
from histories.arrays import Float

ALPHA: Final = 0.05
VALUE: Final = ("mean_spend_before", "purchases_before", "tenure_days")


def queue_checks(
    moved: MovedCases, outcome: str, effect: Effect, fit: TwoStage, placebo: QueuePlacebo | None
) -> list[Check]:
    """Strength, a bounded interval, a queue that says nothing of who writes, and room for a direct effect."""
    unit = moved.cases.queue_unit
    y = moved.cases.units.outcomes[outcome]
    if np.ptp(y) == 0:
        reason = f"{outcome} is the same for all: there is nothing to tell apart"
        return [Check(check="spread", value=0.0, limit=0.0, passed=False, reason=reason, blocking=True)]
    bounded = effect.low is not None and effect.high is not None
    checks = [
        *check_instrument(
            fit.first_stage_f,
            bounded=bounded,
            weak="the queue hardly moves the answer",
            unbounded="the queue moved answers on too few days to bound the effect",
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


def _unrelated(moved: MovedCases, outcome: str, placebo: QueuePlacebo | None) -> list[Check]:
    """Whether the queue foretells the outcome's past, value, tone or topic; Holm over these."""
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

    Held against the first adjusted estimate that passed its own checks; None where none did, or where the
    queue is too weak to say anything. A strong queue that failed another check still contradicts: the careful
    side. The errors are taken as independent, which lets more pass.
    """
    other = next(
        (e for e in beside if e.supported and e.estimator == "aipw" and e.segment == by_queue.segment), None
    )
    is_weak = (by_queue.first_stage_f or 0.0) < WEAK_F or by_queue.low is None or by_queue.high is None
    if other is None or is_weak:
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
