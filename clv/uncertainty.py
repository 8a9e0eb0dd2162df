"""Posteriors of the purchase and the spend model that customers are simulated from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from clv.intervals import PARAMETER_DRAWS
from clv.posterior import Posterior, log_prior, sample_posterior
from clv.purchases.base import PurchaseFit
from clv.purchases.observations import Observations
from clv.settings import ValueSettings
from clv.spend import Amounts, GammaGammaFit
from histories.errors import ConfigError, ConvergenceError, DataError

#: Rows (in units of a BG/NBD row) that one posterior may pass over.
ROW_BUDGET = 40_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """The models at draws of their parameters, or the reason why there are none.

    Attributes
    ----------
    fits, spend_fits
        Empty when there is no posterior.
    account
        For the model card: prior, draws, effective size, k-hat, means, deviations, intervals, or the reason.
    notes
        Sentences for the reader.
    """

    fits: tuple[PurchaseFit, ...]
    spend_fits: tuple[GammaGammaFit, ...]
    account: dict[str, Any]
    notes: tuple[str, ...]


def estimate_uncertainty(
    fit: PurchaseFit,
    spend_fit: GammaGammaFit | None,
    summary: pl.DataFrame,
    *,
    settings: ValueSettings,
    rng: np.random.Generator,
) -> Uncertainty:
    """Sample both posteriors; a failed gate gives no draws and its reason."""
    account: dict[str, Any] = {"prior": settings.prior}
    if settings.posterior_draws == 0:
        return Uncertainty(
            fits=(), spend_fits=(), account=account | {"reason": "posterior_draws = 0"}, notes=()
        )
    try:
        posterior = purchase_posterior(
            fit,
            Observations.from_summary(summary),
            prior=settings.prior,
            draws=settings.posterior_draws,
            rng=rng,
        )
    except (ConvergenceError, ConfigError) as error:
        return Uncertainty(
            fits=(), spend_fits=(), account=account | {"reason": str(error)}, notes=(f"{fit.model}: {error}",)
        )
    account["purchases"] = posterior.to_dict(settings.interval)
    fits = tuple(fit.with_vector(vector) for vector in posterior.thin(PARAMETER_DRAWS))
    spend_fits, notes = _spend_draws(spend_fit, summary, settings, rng, account)
    return Uncertainty(fits=fits, spend_fits=spend_fits, account=account, notes=notes)


def _spend_draws(
    spend_fit: GammaGammaFit | None,
    summary: pl.DataFrame,
    settings: ValueSettings,
    rng: np.random.Generator,
    account: dict[str, Any],
) -> tuple[tuple[GammaGammaFit, ...], tuple[str, ...]]:
    """The spend model at draws of its parameters; draws without a population mean (q <= 1) are left out."""
    if spend_fit is None:
        return (), ()
    try:
        posterior = spend_posterior(
            spend_fit, summary, prior=settings.prior, draws=settings.posterior_draws, rng=rng
        )
    except (ConvergenceError, DataError) as error:
        account["spend"] = {"reason": str(error)}
        return (), (f"spend: {error}",)
    account["spend"] = posterior.to_dict(settings.interval)
    kept = posterior.thin(PARAMETER_DRAWS)
    kept = kept[kept[:, 1] > 1.0]
    if 2 * len(kept) < PARAMETER_DRAWS:
        return (spend_fit,), (
            "spend: a few very large amounts leave the mean of the population without limits; those of "
            "customers' values rest on the fitted spend, and not on how surely it is known",
        )
    return tuple(spend_fit.with_vector(vector) for vector in kept), ()


def purchase_posterior(
    fit: PurchaseFit, data: Observations, *, prior: str, draws: int, rng: np.random.Generator
) -> Posterior:
    """Posterior of a purchase model; raises `ConvergenceError` when the gate fails."""
    return sample_posterior(
        fit.scorer(data),
        fit.vector(),
        names=fit.parameter_names,
        prior=log_prior(prior, fit.parameter_names, time_scale=float(data.T.max()) / 4.0),
        draws=draws,
        affordable=ROW_BUDGET // (data.size * fit.cost),
        rng=rng,
        many=fit.many_scorer(data),
    )


def spend_posterior(
    fit: GammaGammaFit, summary: pl.DataFrame, *, prior: str, draws: int, rng: np.random.Generator
) -> Posterior:
    """Posterior of the spend model; raises `ConvergenceError` when the gate fails."""
    amounts = Amounts.from_summary(summary, trend=fit.trend)
    mean = float(amounts.weights @ amounts.mean) / amounts.customers
    return sample_posterior(
        amounts.scorer(),
        fit.vector(),
        names=fit.parameter_names,
        prior=log_prior(prior, fit.parameter_names, money_scale=mean),
        draws=draws,
        affordable=ROW_BUDGET // amounts.frequency.size,
        rng=rng,
    )
