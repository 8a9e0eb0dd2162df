"""Fit the configured models, and say of each that failed why."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from clv.dependence import SpendTrend, estimate_trend
from clv.purchases.fits import PurchaseFit, fit_purchases
from clv.spend import GammaGamma, GammaGammaFit
from histories.errors import DataError, ModelError, TributaryError

__all__ = ["fit_models", "fit_spend"]


def fit_models(
    models: Sequence[str], summary: pl.DataFrame, *, penalizer: float, engine: str = "fast"
) -> tuple[dict[str, PurchaseFit], dict[str, str]]:
    """Fit each model; the fits that succeeded, and the reason for each that did not."""
    fits, failures = {}, {}
    for model in models:
        try:
            fits[model] = _fit_one(model, summary, penalizer, engine)
        except TributaryError as error:
            failures[model] = str(error)
    return fits, failures


def _fit_one(model: str, summary: pl.DataFrame, penalizer: float, engine: str) -> PurchaseFit:
    """Fit with our engine or with that of lifetimes."""
    if engine == "lifetimes":
        from clv.purchases.reference import fit_with_lifetimes

        return fit_with_lifetimes(model, summary, penalizer=penalizer)
    return fit_purchases(model, summary, penalizer=penalizer)


def fit_spend(
    summary: pl.DataFrame, *, trend: bool = False
) -> tuple[GammaGammaFit | None, SpendTrend | None, tuple[str, ...]]:
    """Fit the spend model and say what had to be done.

    That spend depends on frequency is tested and said; it is corrected for with `trend` only, because the
    correction made revenue forecasts worse on every real log tried. When the population mean is infinite the
    fit is repeated with a limit on q.
    """
    if (summary["monetary_value"].fill_null(0.0) <= 0.0).all():
        return None, None, ("no repeat purchase has an amount: purchases are counted, and have no value",)
    found = estimate_trend(summary)
    slope, notes = 0.0, []
    if found is not None and found.matters:
        slope = found.slope if trend else 0.0
        notes.append(
            f"spend depends on frequency: frequent buyers spend {found.difference:+.0%} a purchase; "
            + ("corrected for" if trend else "not corrected for (spend_trend = false)")
        )
    try:
        return GammaGamma(trend=slope).fit(summary), found, tuple(notes)
    except (ModelError, DataError) as error:
        first = str(error)
    try:
        fit = GammaGamma(trend=slope, smallest_q=1.5).fit(summary)
    except (ModelError, DataError):
        return None, found, (*notes, f"no spend model: {first}")
    return fit, found, (*notes, f"spend fitted with q >= 1.5: {first}")
