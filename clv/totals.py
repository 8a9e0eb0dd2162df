"""How far a company's total may be off by chance: parameters and process, in relative variances.

The rest of a total's interval comes from the errors of past windows (`clv.stack`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from clv.purchases.fits import PurchaseFit
from clv.spend import GammaGammaFit
from histories.arrays import Float

__all__ = ["SamplingVariance", "sampling_variance"]

#: Parameter draws, and customers simulated.
DRAWS, SIMULATED = 24, 20_000

F = TypeVar("F", PurchaseFit, GammaGammaFit)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingVariance:
    """Relative variances of the totals of purchases and of revenue; the latter NaN without a spend model."""

    purchases: float
    revenue: float


def sampling_variance(
    fit: PurchaseFit,
    spend_fit: GammaGammaFit | None,
    summary: pl.DataFrame,
    t: float,
    *,
    rng: np.random.Generator,
) -> SamplingVariance:
    """Variance of the log total over parameter draws, plus that of simulated customers.

    Parameters
    ----------
    fit
        Purchase model, in the time of `summary`.
    spend_fit
        Spend model, or None.
    summary
        frequency, recency, T and monetary_value.
    t
        Length of the window, in the time of `summary`.
    rng
        Of draws and simulations.
    """
    rows = summary if summary.height <= SIMULATED else summary.sample(SIMULATED, seed=0)
    share = rows.height / summary.height
    names = ("frequency", "recency", "T", "monetary_value")
    x, t_x, T, m = (rows[name].cast(pl.Float64).fill_null(0.0).to_numpy() for name in names)
    alive = fit.predict_alive(x, t_x, T)
    count = fit.simulate_alive(t, x, T, rng=rng) * (rng.random(x.size) < alive)
    expected = fit.predict_purchases(np.array([t]), x, t_x, T)[0]
    purchases = _process(count, expected, share)
    revenue, spends = float("nan"), [spend_fit]
    if spend_fit is not None:
        value = spend_fit.simulate_sum(count, x, rng=rng) * spend_fit.scale(x, m)
        revenue = _process(value, expected * spend_fit.predict_spend(x, m), share)
        spends = list(_drawn(spend_fit, spend_fit.report.log_covariance(), rng))
    totals, values = [], []
    for i, drawn in enumerate(_drawn(fit, fit.report.log_covariance(), rng)):
        forecast = drawn.predict_purchases(np.array([t]), x, t_x, T)[0]
        spend = spends[i % len(spends)]
        totals.append(float(forecast.sum()))
        values.append(float(forecast @ spend.predict_spend(x, m)) if spend is not None else float("nan"))
    return SamplingVariance(
        purchases=purchases + _spread(totals), revenue=revenue + (_spread(values) if spend_fit else 0.0)
    )


def _process(simulated: Float, expected: Float, share: float) -> float:
    """Variance of a total of independent customers over its square, from a `share` of them."""
    total = float(expected.sum())
    return float(((simulated - expected) ** 2).sum()) * share / total**2 if total > 0.0 else 0.0


def _spread(totals: Sequence[float]) -> float:
    """Variance of the logs, the extremes cut to quartiles' reach so that no single draw decides."""
    logs = np.log(np.array([total for total in totals if np.isfinite(total) and total > 0.0]))
    if logs.size < 4:
        return 0.0
    low, high = np.quantile(logs, [0.25, 0.75])
    return float(((high - low) / 1.349) ** 2)


def _drawn(fit: F, covariance: Float | None, rng: np.random.Generator) -> Sequence[F]:
    """The model at draws of its parameters, normal in their logs; itself where the likelihood is flat."""
    if covariance is None:
        return [fit]
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    steps = rng.standard_normal((DRAWS, values.size)) @ root.T
    drawn = [fit.with_vector(fit.vector() * np.exp(np.clip(step, -3.0, 3.0))) for step in steps]
    return [one for one in drawn if not (isinstance(one, GammaGammaFit) and one.q <= 1.0)] or [fit]
