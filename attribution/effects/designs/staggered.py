"""Staggered starts: effects by group and time, with those not yet treated as comparison.

Callaway & Sant'Anna (2021): ATT(g, t) = E[Y_t - Y_{g-1} | first contact in g] - E[Y_t - Y_{g-1} | none by
t], for t >= g, averaged with the groups' sizes. A regression with unit and time effects would use the
already treated as controls and weigh some effects negatively (Goodman-Bacon 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.history import History, build_events
from attribution.effects.data.index_dates import matching_contacts
from attribution.effects.data.outcomes import measure
from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Z_INTERVAL, Effect, effect_of, with_interval
from attribution.effects.estimators.checks import apply_checks, check_placebo

STEP_DAYS = 30
MIN_GROUP = 10
"""Fewest customers in a group, and not yet treated, for their ATT(g, t)."""
NEVER = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTime:
    """Average over groups and times of one lag range, with its standard error.

    Attributes
    ----------
    estimate, std_error
        Per period, in the outcome's unit.
    n_treated, n_control
        Customers in the groups used, and the most that served as not yet treated.
    """

    estimate: float
    std_error: float
    n_treated: int
    n_control: int


def group_time_effects(
    outcome: NDArray[np.float64], start: NDArray[np.int64], *, first_lag: int = 0, last_lag: int = 5
) -> GroupTime:
    """Average ATT over lags first_lag..last_lag from panels of N customers and T periods, shape (N, T).

    `start` (N,) is the period of the first treatment, `NEVER` without. Negative lags compare Y_{g+lag} with
    Y_{g+lag-1}: a placebo, which is zero under parallel trends.
    """
    n, horizon = outcome.shape
    influence, total, weight = np.zeros(n), 0.0, 0.0
    used, most = np.zeros(n, dtype=bool), 0
    for group in np.unique(start[start < NEVER]):
        treated = start == group
        for lag in range(first_lag, last_lag + 1):
            period, base = group + lag, group - 1 if lag >= 0 else group + lag - 1
            control = start > max(period, group)
            if not (0 <= base < horizon and 0 <= period < horizon):
                continue
            if min(treated.sum(), control.sum()) < MIN_GROUP:
                continue
            change = outcome[:, period] - outcome[:, base]
            size = float(treated.sum())
            total += size * (change[treated].mean() - change[control].mean())
            influence[treated] += change[treated] - change[treated].mean()
            influence[control] -= size * (change[control] - change[control].mean()) / control.sum()
            weight += size
            used |= treated
            most = max(most, int(control.sum()))
    if weight == 0:
        return GroupTime(estimate=float("nan"), std_error=float("nan"), n_treated=0, n_control=0)
    error = float(np.sqrt(influence @ influence)) / weight
    return GroupTime(estimate=total / weight, std_error=error, n_treated=int(used.sum()), n_control=most)


def estimate_staggered(design: EffectDesign, outcome: str, history: History, tables: EffectTables) -> Effect:
    """The effect of the first contact per 30 days, by group and time, with a placebo before it.

    The period of the contact itself lies partly before it and is left out.
    """
    start, values = _panel(design, outcome, history, tables)
    first_lag = 1 + design.landmark_days // STEP_DAYS
    last_lag = max((design.landmark_days + design.follow_up_days) // STEP_DAYS, first_lag)
    found = group_time_effects(values, start, first_lag=first_lag, last_lag=last_lag)
    placebo = group_time_effects(values, start, first_lag=-3, last_lag=-2)
    effect = effect_of(
        design,
        outcome,
        "group_time",
        "ATT per month",
        control="not yet contacted",
        n_treated=found.n_treated,
        n_control=found.n_control,
        effective_n=float(found.n_treated + found.n_control),
    )
    if not found.n_treated:
        return effect.refused("no group of ten customers was first contacted in the same month")
    effect = with_interval(effect, estimate=found.estimate, std_error=found.std_error)
    if not placebo.n_treated:
        return effect
    half = Z_INTERVAL * placebo.std_error
    effect = replace(
        effect,
        placebo_estimate=placebo.estimate,
        placebo_low=placebo.estimate - half,
        placebo_high=placebo.estimate + half,
    )
    return apply_checks(effect, [check_placebo(effect)])


def _panel(
    design: EffectDesign, outcome: str, history: History, tables: EffectTables
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """First treated period (N,) and the outcome by period (N, T) of the customers there from the start."""
    contacts = history.number(
        matching_contacts(design, tables)
        .select("customer_id", day=pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64))
        .collect()
    )
    touched = build_events(contacts["customer"].to_numpy(), contacts["day"].to_numpy())
    horizon = (history.end - history.start + 1) // STEP_DAYS
    members = np.flatnonzero(history.acquired < history.start + 3 * STEP_DAYS)
    first = touched.first_from(members, np.zeros(len(members), dtype=np.int64))
    period = np.where(first <= history.end, (first - history.start) // STEP_DAYS, NEVER)
    columns = []
    for t in range(horizon):
        low = np.full(len(members), history.start + t * STEP_DAYS)
        columns.append(measure(outcome, history, members, low, low + STEP_DAYS - 1))
    return period, np.column_stack(columns)
