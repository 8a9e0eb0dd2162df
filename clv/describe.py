"""The models as plain values for the model card, checked against lifetimes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from clv.dependence import SpendTrend
from clv.purchases.covariates import Covariates
from clv.purchases.fits import PurchaseFit
from clv.purchases.observations import Observations
from clv.purchases.reference import check_agreement, check_spend_agreement
from clv.regularity import full_log_likelihood
from clv.settings import ValueSettings
from clv.spend import Amounts, GammaGammaFit
from histories.errors import TributaryError

__all__ = ["describe_fits", "describe_spend", "fit_covariates"]


def describe_fits(
    fits: Mapping[str, PurchaseFit], summary: pl.DataFrame, *, log_intervals: float = 0.0
) -> dict[str, Any]:
    """Each fit, with lifetimes' own log-likelihood at the same parameters beside ours.

    `log_intervals` completes the likelihood of models for regular buyers (see `clv.regularity`), so that all
    models of one table can be compared.

    Raises
    ------
    ModelError
        When the two differ by more than 1e-6 of their size.
    """
    if not fits:
        return {}
    data = Observations.from_summary(summary)
    entries = {}
    for model, fit in fits.items():
        agreement = check_agreement(fit, data)
        entries[model] = fit.to_dict() | {
            "log_likelihood": full_log_likelihood(fit, log_intervals),
            "std_errors": fit.standard_errors(),
            "lifetimes_log_likelihood": agreement.lifetimes,
            "relative_difference": agreement.relative_difference,
            "lifetimes_note": agreement.note,
        }
    return entries


def describe_spend(
    fit: GammaGammaFit | None, trend: SpendTrend | None, summary: pl.DataFrame
) -> dict[str, Any] | None:
    """The spend model with its trend, and lifetimes' log-likelihood on the same amounts."""
    if fit is None:
        return None
    amounts = Amounts.from_summary(summary, trend=fit.trend)
    agreement = check_spend_agreement(
        float(amounts.scorer()(fit.vector())[0]),
        fit.vector(),
        amounts.frequency,
        amounts.mean,
        amounts.weights,
    )
    return fit.to_dict() | {
        "log_likelihood": fit.report.log_likelihood,
        "lifetimes_log_likelihood": agreement.lifetimes,
        "relative_difference": agreement.relative_difference,
        "frequency_trend": None if trend is None else trend.to_dict(),
    }


def fit_covariates(
    summary: pl.DataFrame,
    customers: pl.DataFrame | None,
    settings: ValueSettings,
    fits: Mapping[str, PurchaseFit],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Effects of the configured covariates on purchase and dropout, for the models that take them."""
    if not settings.covariates:
        return {}, ()
    if customers is None:
        return {}, ("covariates were asked for, but there is no customers table",)
    present = [c for c in settings.covariates if c in customers.columns]
    known = summary.join(customers.select("customer_id", *present), on="customer_id", how="inner")
    entries, notes = {}, []
    for model in fits:
        if model in ("bg_nbd", "pareto_nbd"):
            try:
                fitted = Covariates(model=model, columns=settings.covariates).fit(known)
                entries[model] = fitted.to_dict()
            except TributaryError as error:
                notes.append(f"{model} with covariates: {error}")
    return entries, tuple(notes)
