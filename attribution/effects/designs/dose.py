"""Dose: how outcomes respond to the number of contacts, and where there is anybody to tell it from.

The dose is the number of matching contacts from the index day to the landmark; customers at risk on the
same day without one have dose 0. Each level's mean outcome is estimated by AIPW with the probability of
that level (Cattaneo 2010). A level is supported where enough customers have it, and where the others could
have had it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.covariates import covariate_matrix
from attribution.effects.data.history import History, build_events, build_history
from attribution.effects.data.index_dates import IndexDates, find_index_dates, matching_contacts
from attribution.effects.data.outcomes import measure
from attribution.effects.data.tables import Setting
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Z_INTERVAL, Effect, effect_of, with_interval, with_refusal
from attribution.effects.estimators.checks import Check, apply_checks
from attribution.effects.estimators.nuisance import LEARNERS, assign_folds, fit_nuisances
from attribution.effects.estimators.regression import drop_collinear, fit_ols, mean_error
from attribution.effects.estimators.sensitivity import effect_e_value, robustness_value
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Float

MAX_DOSE = 4
"""This many contacts and more are one level."""
MIN_LEVEL = 50
MIN_PROBABILITY = 0.02
MAX_UNSUPPORTED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseMean:
    """Mean outcome if everybody had this many contacts.

    Attributes
    ----------
    level, n
        Contacts, and customers who had them.
    estimate
        In the outcome's unit.
    influence : shape (N,)
    beyond
        Share of all customers for whom this level was improbable (below .02).
    """

    level: int
    n: int
    estimate: float
    influence: Float
    beyond: float


def dose_means(
    outcome: Float, dose: NDArray[np.int64], covariates: NDArray[np.float64], folds: NDArray[np.int64]
) -> list[DoseMean]:
    """Mean outcome at each dose 0..MAX_DOSE that at least fifty of the N customers have."""
    means = []
    for level in range(MAX_DOSE + 1):
        here = dose == level
        if here.sum() < MIN_LEVEL or here.all():
            continue
        found = fit_nuisances(outcome, here, covariates, folds, learners=LEARNERS[:2])
        e, m = found.propensity, found.mean_treated
        psi = m + here * (outcome - m) / e
        means.append(
            DoseMean(
                level=level,
                n=int(here.sum()),
                estimate=float(psi.mean()),
                influence=psi - psi.mean(),
                beyond=float((e < MIN_PROBABILITY).mean()),
            )
        )
    return means


def estimate_dose(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effect per contact, and of each number of contacts against none, on every outcome.

    Raises
    ------
    DataError
        When nobody was contacted, or there is nobody to compare with.
    """
    history = build_history(setting.tables, observation_end=setting.observation_end)
    index = find_index_dates(replace(design, control="no_contact"), history, setting.tables, rng)
    dose = _doses(design, setting, history, index)
    covariates, _ = covariate_matrix(design.covariates, history, setting.tables, index.customers, index.day)
    folds = assign_folds(len(dose), rng, index.customers)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: list[pl.DataFrame] = []
    first = index.day + design.landmark_days + 1
    for outcome in design.outcomes:
        y = measure(outcome, history, index.customers, first, first + design.follow_up_days - 1)
        means = dose_means(y, dose, covariates, folds)
        found = [_slope(design, outcome, y, dose, covariates, index)]
        found += [_against_none(design, outcome, mean, means[0], y, index) for mean in means[1:]]
        for effect, mean in zip(found, [None, *means[1:]], strict=True):
            checks = [] if mean is None else [_check_support(mean)]
            effects.append(with_refusal(apply_checks(effect, checks), index.refusal))
            pairs += [(effects[-1], check) for check in checks]
        pictures.append(_picture(design, outcome, means, index))
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures={"dose": pl.concat(pictures)})


def _doses(design: EffectDesign, setting: Setting, history: History, index: IndexDates) -> NDArray[np.int64]:
    """Contacts of each from the index day to the landmark, at most MAX_DOSE, shape (N,)."""
    contacts = history.number(
        matching_contacts(design, setting.tables)
        .select("customer_id", day=pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64))
        .collect()
    )
    touched = build_events(contacts["customer"].to_numpy(), contacts["day"].to_numpy())
    counts = touched.between(index.customers, index.day, index.day + design.landmark_days)
    return np.minimum(counts, MAX_DOSE).astype(np.int64)


def _slope(
    design: EffectDesign,
    outcome: str,
    y: Float,
    dose: NDArray[np.int64],
    covariates: NDArray[np.float64],
    index: IndexDates,
) -> Effect:
    """The linear effect of one contact more, by regression on the covariates."""
    x = np.column_stack([np.ones(len(y)), dose, drop_collinear(covariates)])
    fit = fit_ols(x, y, clusters=index.customers)
    estimate, error = float(fit.coefficients[1]), float(fit.std_errors[1])
    effect = _effect(design, outcome, "one contact more", "regression", "per contact", dose > 0)
    effect = with_interval(effect, estimate=estimate, std_error=error)
    return replace(
        effect,
        effective_n=float(len(y)),
        e_value=effect_e_value(estimate, y, dose == 0),
        robustness_value=robustness_value(estimate / error, fit.dof) if error > 0 else None,
    )


def _against_none(
    design: EffectDesign, outcome: str, mean: DoseMean, none: DoseMean, y: Float, index: IndexDates
) -> Effect:
    """A number of contacts against none."""
    error = mean_error(mean.influence - none.influence, index.customers)
    estimate = mean.estimate - none.estimate
    effect = _effect(design, outcome, _label(mean), "aipw", "ATE", np.arange(mean.n + none.n) < mean.n)
    effect = with_interval(replace(effect, control="no contact"), estimate=estimate, std_error=error)
    return replace(
        effect,
        effective_n=float(mean.n + none.n),
        e_value=effect_e_value(estimate, y, ~index.treated),
        robustness_value=robustness_value(estimate / error, len(y) - 2) if error > 0 else None,
    )


def _label(mean: DoseMean) -> str:
    """A level in words."""
    more = " or more" if mean.level == MAX_DOSE else ""
    return f"{mean.level}{more} contact{'s' if mean.level > 1 else ''}"


def _effect(
    design: EffectDesign,
    outcome: str,
    treatment: str,
    estimator: str,
    estimand: str,
    treated: NDArray[np.bool_],
) -> Effect:
    """An effect of this design without figures."""
    return effect_of(design, outcome, estimator, estimand, treated, treatment=treatment)


def _check_support(mean: DoseMean) -> Check:
    """Whether most customers could have had this many contacts."""
    return Check(
        check="support",
        value=mean.beyond,
        limit=MAX_UNSUPPORTED,
        passed=mean.beyond <= MAX_UNSUPPORTED,
        reason=f"{_label(mean)}: out of reach for {mean.beyond:.0%} of the customers",
    )


def _picture(design: EffectDesign, outcome: str, means: list[DoseMean], index: IndexDates) -> pl.DataFrame:
    """Rows of a dose-response chart, with the number of customers at each level."""
    rows = []
    for position, mean in enumerate(means):
        half = Z_INTERVAL * mean_error(mean.influence, index.customers)
        rows.append(
            {
                "name": design.name,
                "outcome": outcome,
                "dose": f"{mean.level}+" if mean.level == MAX_DOSE else str(mean.level),
                "position": position,
                "estimate": mean.estimate,
                "low": mean.estimate - half,
                "high": mean.estimate + half,
                "n": mean.n,
                "supported": mean.beyond <= MAX_UNSUPPORTED and index.refusal is None,
            }
        )
    return pl.DataFrame(rows, schema=PICTURE_SCHEMAS["dose"])
