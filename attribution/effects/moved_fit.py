"""Two stages by what moved the answers, and the same where no effect can be: on the days before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from attribution.effects.comparison import MIN_GROUP
from attribution.effects.instrument import TwoStage, fit_two_stage, wald_of_scores
from attribution.effects.moved_cases import MovedCases
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
        p_value=wald_of_scores(y[:, None], z, x, some.cases.day)[0],
        moved=some,
        past=scaled,
    )
