"""Time-varying contact in a survival model: the hazard of leaving before and after the first contact.

Each customer is untreated until the contact and treated from the next period on, so that no time is
immortal. A logistic hazard per 30 days (Allison 1982; the Cox model's discrete form) with tenure, idle time
and the named covariates gives a hazard ratio, errors by customer. For contractual companies: elsewhere
nobody knows who left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.history import History, build_events, build_history
from attribution.effects.data.index_dates import matching_contacts
from attribution.effects.data.tables import Setting
from attribution.effects.data.units import encode_covariates
from attribution.effects.design import EffectDesign
from attribution.effects.effect import effect_of, with_interval
from attribution.effects.estimators.checks import Check, apply_checks
from attribution.effects.estimators.regression import cluster_sums, drop_collinear
from attribution.effects.estimators.sensitivity import e_value
from attribution.effects.findings import Findings
from histories.arrays import Float
from histories.errors import DataError, SchemaError, nearest
from histories.periods import DAYS_PER_YEAR

STEP_DAYS = 30
MIN_LEFT = 10
"""Fewest customers who left in each group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardFit:
    """Logistic hazard of leaving per period.

    Attributes
    ----------
    coefficients : shape (K,)
        Log odds; the first is the intercept.
    covariance : shape (K, K)
        By customer.
    """

    coefficients: Float
    covariance: NDArray[np.float64]


def fit_hazard(
    design: NDArray[np.float64], left: Float, clusters: NDArray[np.int64], *, steps: int = 50
) -> HazardFit:
    """Maximum likelihood of P(left) = logistic(design b) over customer-periods (N, K), by Newton's method.

    A slight ridge (1e-6) keeps separated columns finite.
    """
    coefficients = np.zeros(design.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-design @ coefficients))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(design.shape[1])
        step = np.linalg.solve(hessian, design.T @ (left - p) - 1e-6 * coefficients)
        coefficients = coefficients + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    p = 1 / (1 + np.exp(-design @ coefficients))
    bread = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(design.shape[1]))
    sums = cluster_sums(design * (left - p)[:, None], clusters)
    return HazardFit(coefficients=coefficients, covariance=bread @ (sums.T @ sums) @ bread)


def estimate_time_varying(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Log hazard ratio of leaving after the first contact against before it; the outcome is retention.

    Raises
    ------
    DataError
        When leaving is not recorded.
    """
    history = build_history(setting.tables, observation_end=setting.observation_end)
    if not history.contractual:
        raise DataError(
            f'effect "{design.name}": a survival model needs customers.ended_at; nobody knows who left'
        )
    rows = _periods(design, setting, history)
    treated, left = rows.treated, rows.left
    table = np.column_stack([np.ones(len(left)), treated, drop_collinear(rows.covariates)])
    fit = fit_hazard(table, left, rows.customers)
    effect = effect_of(
        design,
        "retention",
        "discrete_hazard",
        "log hazard ratio",
        n_treated=len(np.unique(rows.customers[treated > 0])),
        n_control=len(np.unique(rows.customers[treated == 0])),
        effective_n=float(len(left)),
    )
    estimate, error = float(fit.coefficients[1]), float(np.sqrt(fit.covariance[1, 1]))
    effect = replace(
        with_interval(effect, estimate=estimate, std_error=error), e_value=e_value(float(np.exp(estimate)))
    )
    check = _check_left(left, treated)
    effect = apply_checks(effect, [check])
    return Findings(effects=(effect,), checks=((effect, check),))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Periods:
    """Customer-periods at risk: whose, whether treated and leaving, what was known (N, K)."""

    customers: NDArray[np.int64]
    treated: Float
    left: Float
    covariates: NDArray[np.float64]


def _periods(design: EffectDesign, setting: Setting, history: History) -> _Periods:
    """Every whole period of every customer who was there at its start."""
    contacts = history.number(
        matching_contacts(design, setting.tables)
        .select("customer_id", day=pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64))
        .collect()
    )
    touched = build_events(contacts["customer"].to_numpy(), contacts["day"].to_numpy())
    everybody = np.arange(len(history))
    first = touched.first_from(everybody, np.zeros_like(everybody))
    starts = range(history.start + STEP_DAYS, history.end - STEP_DAYS + 2, STEP_DAYS)
    static = _static(design, history)
    blocks = [_period(history, static, first, start) for start in starts]
    return _Periods(
        customers=np.concatenate([block.customers for block in blocks]),
        treated=np.concatenate([block.treated for block in blocks]),
        left=np.concatenate([block.left for block in blocks]),
        covariates=np.concatenate([block.covariates for block in blocks]),
    )


def _static(design: EffectDesign, history: History) -> NDArray[np.float64]:
    """The named columns of `customers`, shape (N, K)."""
    for name in design.covariates:
        if name not in history.customers.columns:
            hint = nearest(name, history.customers.columns)
            raise SchemaError(f'effect "{design.name}": no column "{name}" in customers; {hint}')
    return encode_covariates(history.customers, design.covariates)[0]


def _period(history: History, static: NDArray[np.float64], first: NDArray[np.int64], start: int) -> _Periods:
    """The customers who were there at the start of one period."""
    here = np.flatnonzero((history.acquired < start) & (history.ended >= start))
    day = np.full(len(here), start)
    last = history.purchases.last_before(here, day)
    tenure = start - history.acquired[here]
    idle = np.where(last >= 0, start - last, tenure)
    columns = [np.log1p(tenure), np.log1p(idle), np.full(len(here), start / DAYS_PER_YEAR)]
    return _Periods(
        customers=here,
        treated=(first[here] < start).astype(float),
        left=(history.ended[here] < start + STEP_DAYS).astype(float),
        covariates=np.column_stack([*columns, static[here]]),
    )


def _check_left(left: Float, treated: Float) -> Check:
    """Whether enough customers left before, and after, their contact."""
    fewest = int(min((left * treated).sum(), (left * (1 - treated)).sum()))
    return Check(
        check="size",
        value=float(fewest),
        limit=float(MIN_LEFT),
        passed=fewest >= MIN_LEFT,
        reason=f"only {fewest} customers left in the smaller group, {MIN_LEFT} needed",
    )
