"""Matched before and after: difference in differences around a contact, with an event study.

The contacted are compared with customers at risk on the same day, weighted to look like them in what does
not move (tenure, season, the named covariates) but not in the outcome's own past, which the difference
takes out. Periods are counted from the contact; the base is the mean of all periods before, so that a dip
just before the contact shows in the event study instead of passing for an effect (Ashenfelter 1978). Beside
it the staggered estimate by group and time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from attribution.effects.data.covariates import history_covariates, known_before
from attribution.effects.data.history import History, build_events, build_history
from attribution.effects.data.index_dates import IndexDates, find_index_dates, matching_contacts
from attribution.effects.data.outcomes import measure
from attribution.effects.data.tables import Setting
from attribution.effects.data.units import encode_covariates
from attribution.effects.design import EffectDesign
from attribution.effects.designs.staggered import estimate_staggered
from attribution.effects.effect import Z_INTERVAL, Effect, effect_of, with_interval, with_refusal
from attribution.effects.estimators.checks import Check, apply_checks, check_placebo
from attribution.effects.estimators.nuisance import LEARNERS, assign_folds, fit_propensity
from attribution.effects.estimators.regression import cluster_sums
from attribution.effects.estimators.sensitivity import effect_e_value, robustness_value
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Float
from histories.errors import DataError

STEP_DAYS = {"day": 1, "week": 7, "month": 30}
PERIODS_BEFORE = 6
MIN_TREATED = 50
EVER_DAYS = 36_525
MOST_CONTACTED = 0.1
"""Largest share of the controls' follow-up behind a contact of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStudy:
    """Differences between the groups by period from the contact, against their mean before it.

    Attributes
    ----------
    periods : shape (K,)
        Whole periods from the contact: -6..-1 before, 0.. after.
    estimates : shape (K,)
    covariance : shape (K, K)
        By customer.
    """

    periods: NDArray[np.int64]
    estimates: Float
    covariance: Float

    def mean(
        self, chosen: NDArray[np.bool_], against: NDArray[np.bool_] | None = None
    ) -> tuple[float, float]:
        """Mean over chosen periods, less the mean over others if given, and its standard error."""
        weights = chosen / chosen.sum()
        if against is not None:
            weights = weights - against / against.sum()
        return float(weights @ self.estimates), float(np.sqrt(weights @ self.covariance @ weights))

    def pre_trend(self) -> tuple[float, float]:
        """Wald statistic and p-value of no difference in any period before."""
        before = self.periods < 0
        block, values = self.covariance[np.ix_(before, before)], self.estimates[before]
        # the estimates before sum to zero: one degree less
        wald = float(values @ np.linalg.pinv(block, hermitian=True, rcond=1e-8) @ values)
        return wald, float(scipy.stats.chi2.sf(wald, before.sum() - 1))


def event_study(
    outcome: Float,
    periods: NDArray[np.int64],
    treated: NDArray[np.bool_],
    weights: Float,
    clusters: NDArray[np.int64],
) -> EventStudy:
    """Event study of outcomes by unit and period, shape (N, K); weights (N,) make controls comparable."""
    changes = outcome - outcome[:, periods < 0].mean(axis=1, keepdims=True)
    w1, w0 = weights * treated, weights * ~treated
    w1, w0 = w1 / w1.sum(), w0 / w0.sum()
    mean1, mean0 = w1 @ changes, w0 @ changes
    influence = w1[:, None] * (changes - mean1) - w0[:, None] * (changes - mean0)
    sums = cluster_sums(influence, clusters)
    groups = len(sums)
    return EventStudy(
        periods=periods,
        estimates=mean1 - mean0,
        covariance=groups / max(groups - 1, 1) * sums.T @ sums,
    )


def estimate_before_after(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effect per period on outcomes that can be measured per period, for the treated.

    Raises
    ------
    DataError
        When nobody was contacted with enough periods before and after.
    """
    history = build_history(setting.tables, observation_end=setting.observation_end)
    index = _index_dates(design, setting, history, rng)
    if index.treated.sum() < MIN_TREATED or (~index.treated).sum() < MIN_TREATED:
        raise DataError(
            f'effect "{design.name}": {int(index.treated.sum())} contacted and {int((~index.treated).sum())} '
            f"other customers have {PERIODS_BEFORE} periods before; {MIN_TREATED} of each needed"
        )
    weights = _match(design, setting, history, index, rng)
    later = _contacted_later(design, setting, history, index, weights)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    studies: list[pl.DataFrame] = []
    for outcome in design.outcomes:
        values, periods = _by_period(outcome, design, history, index)
        study = event_study(values, periods, index.treated, weights, index.customers)
        effect, checks = _effect(design, outcome, study, values, index, weights)
        checks.append(later)
        effects.append(with_refusal(apply_checks(effect, checks), index.refusal))
        pairs += [(effect, check) for check in checks]
        effects.append(
            with_refusal(estimate_staggered(design, outcome, history, setting.tables), index.refusal)
        )
        studies.append(_picture(design, outcome, study, int(index.treated.sum())))
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures={"event_study": pl.concat(studies)})


def _index_dates(
    design: EffectDesign, setting: Setting, history: History, rng: np.random.Generator
) -> IndexDates:
    """First contacts, and customers who were never contacted before; where these are too few, not lately.

    Who was contacted before is under that contact's effect: in a roll-out the difference would fall by it.
    """
    chosen = replace(design, control="no_contact")
    with suppress(DataError):
        first = replace(chosen, washout_days=EVER_DAYS)
        index = _long_enough(find_index_dates(first, history, setting.tables, rng), design, history)
        if min(index.treated.sum(), (~index.treated).sum()) >= MIN_TREATED:
            return index
    return _long_enough(find_index_dates(chosen, history, setting.tables, rng), design, history)


def _contacted_later(
    design: EffectDesign, setting: Setting, history: History, index: IndexDates, weights: Float
) -> Check:
    """Share of the controls' follow-up that lies behind a contact of their own."""
    contacts = history.number(
        matching_contacts(design, setting.tables)
        .select("customer_id", day=pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64))
        .collect()
    )
    touched = build_events(contacts["customer"].to_numpy(), contacts["day"].to_numpy())
    begin, end = index.day + design.landmark_days, index.day + design.landmark_days + design.follow_up_days
    own = touched.first_from(index.customers, begin + 1)
    control = ~index.treated
    behind = np.clip(end - own, 0, design.follow_up_days) / design.follow_up_days
    share = float(weights[control] @ behind[control] / weights[control].sum())
    return Check(
        check="controls contacted",
        value=share,
        limit=MOST_CONTACTED,
        passed=share <= MOST_CONTACTED,
        reason=(
            f"{share:.0%} of the controls' follow-up lies behind a contact of their own: it tells what an "
            "earlier contact does beyond a later one. Read group_time, or shorten follow_up_days"
        ),
    )


def _long_enough(index: IndexDates, design: EffectDesign, history: History) -> IndexDates:
    """The index dates of customers who were there for all periods before."""
    span = PERIODS_BEFORE * STEP_DAYS[design.series]
    kept = (index.day - span >= history.start) & (history.acquired[index.customers] <= index.day - span)
    return replace(
        index,
        customers=index.customers[kept],
        day=index.day[kept],
        treated=index.treated[kept],
        cost=index.cost[kept],
    )


def _match(
    design: EffectDesign, setting: Setting, history: History, index: IndexDates, rng: np.random.Generator
) -> Float:
    """Weights (N,) that give the controls the mix of the treated: odds of being treated."""
    past = history_covariates(history, index.customers, index.day)
    parts = [np.column_stack([past["tenure_days"], past["calendar"]])]
    if design.covariates:
        known = known_before(design.covariates, history, setting.tables, index.customers, index.day)
        parts.append(encode_covariates(known, design.covariates)[0])
    folds = assign_folds(len(index.day), rng, index.customers)
    e, _ = fit_propensity(index.treated, np.column_stack(parts), folds, LEARNERS[:2])
    return np.asarray(np.where(index.treated, 1.0, e / (1 - e)), dtype=np.float64)


def _by_period(
    outcome: str, design: EffectDesign, history: History, index: IndexDates
) -> tuple[Float, NDArray[np.int64]]:
    """The outcome by unit and period, shape (N, K), and the periods; the contact's day is in none."""
    if outcome == "retention":
        raise DataError('outcome "retention" has no before; use repeat_purchase, purchases or spend')
    step = STEP_DAYS[design.series]
    after = max((design.landmark_days + design.follow_up_days) // step, 1)
    periods = np.arange(-PERIODS_BEFORE, after)
    columns = []
    for period in periods:
        first = index.day + period * step + (1 if period >= 0 else 0)
        last = index.day + (period + 1) * step - (0 if period >= 0 else 1)
        columns.append(measure(outcome, history, index.customers, first, last))
    return np.column_stack(columns), periods


def _effect(
    design: EffectDesign,
    outcome: str,
    study: EventStudy,
    values: Float,
    index: IndexDates,
    weights: Float,
) -> tuple[Effect, list[Check]]:
    """The mean difference per period after the landmark, and its checks."""
    step = STEP_DAYS[design.series]
    after = study.periods >= -(-design.landmark_days // step)
    estimate, error = study.mean(after if after.any() else study.periods >= 0)
    half = PERIODS_BEFORE // 2
    late = (study.periods >= -half) & (study.periods < 0)
    placebo, placebo_error = study.mean(late, against=study.periods < -half)
    wald, p_value = study.pre_trend()
    control = weights[~index.treated]
    effect = effect_of(
        design,
        outcome,
        "difference_in_differences",
        f"ATT per {design.series}",
        index.treated,
        effective_n=float(index.treated.sum() + control.sum() ** 2 / (control @ control)),
        placebo_estimate=placebo,
        placebo_low=placebo - Z_INTERVAL * placebo_error,
        placebo_high=placebo + Z_INTERVAL * placebo_error,
    )
    effect = with_interval(effect, estimate=estimate, std_error=error)
    changes = values[:, study.periods >= 0].mean(axis=1) - values[:, study.periods < 0].mean(axis=1)
    effect = replace(
        effect,
        e_value=effect_e_value(estimate, changes, ~index.treated),
        robustness_value=robustness_value(estimate / error, len(values) - 2) if error > 0 else None,
    )
    trend = Check(
        check="pre-trend",
        value=p_value,
        limit=0.01,
        passed=p_value >= 0.01,
        reason=f"the groups moved apart before the contact (p = {p_value:.1g}, chi-square {wald:.1f})",
    )
    return effect, [trend, check_placebo(effect)]


def _picture(design: EffectDesign, outcome: str, study: EventStudy, n: int) -> pl.DataFrame:
    """Rows of an event-study chart."""
    half = Z_INTERVAL * np.sqrt(np.diag(study.covariance))
    return pl.DataFrame(
        {
            "name": [design.name] * len(half),
            "outcome": [outcome] * len(half),
            "period": study.periods,
            "estimate": study.estimates,
            "low": study.estimates - half,
            "high": study.estimates + half,
            "n_treated": [n] * len(half),
        },
        schema=PICTURE_SCHEMAS["event_study"],
    )
