"""Two stages by the queue, and the same where no effect can be: on the time before the opening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from attribution.effects.comparison import MIN_GROUP
from attribution.effects.instrument import TwoStage, fit_two_stage, wald_of_scores
from attribution.effects.queue_cases import MovedCases
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
class QueuePlacebo:
    """What the queue does to the outcome's past: as an effect of answers, as a direct one, and by a test."""

    effect: TwoStage
    direct: TwoStage
    p_value: float


def fit_by_queue(moved: MovedCases, outcome: str) -> TwoStage:
    """Two stages within hour of the week, trend, topic, and given what customers had done before."""
    past = [
        place
        for place, name in enumerate(moved.cases.units.covariate_names)
        if name in PAST or name.split("=")[0] in moved.design.covariates
    ]
    x = np.column_stack([moved.time, moved.topic, moved.cases.units.covariates[:, past]])
    y, t, z, given = (
        moved.within_hours(values)
        for values in (moved.cases.units.outcomes[outcome], moved.fast.astype(float), moved.foretold, x)
    )
    return _two_stage(moved, y, t, z, given)


def _two_stage(moved: MovedCases, y: Float, t: Float, z: Float, given: Float) -> TwoStage:
    clusters = (moved.cases.day, moved.cases.customers)
    return fit_two_stage(
        y, t, z, given, clusters=clusters, absorbed=moved.cases.opening["hour_of_week"].n_unique() - 1
    )


def direct_effect(moved: MovedCases, y: Float) -> TwoStage:
    """What one unit more of the queue would have to do by itself for all that the instrument does to y."""
    y, q, z, given = (
        moved.within_hours(values)
        for values in (y, moved.cases.queue, moved.foretold, np.column_stack([moved.time, moved.topic]))
    )
    return _two_stage(moved, y, q, z, given)


def fit_queue_placebo(moved: MovedCases, outcome: str) -> QueuePlacebo | None:
    """What the queue does to the outcome's past, which nothing can: as an effect, and as a direct one.

    Scaled to the length of the follow-up; None where too little of the past is observed.
    """
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
    y, t, z, given = (
        some.within_hours(values)
        for values in (
            past[known] * days,
            some.fast.astype(float),
            some.foretold,
            np.column_stack([some.time, some.topic]),
        )
    )
    return QueuePlacebo(
        effect=_two_stage(some, y, t, z, given),
        direct=direct_effect(some, past[known] * days),
        p_value=wald_of_scores(y[:, None], z, given, some.cases.day)[0],
    )
