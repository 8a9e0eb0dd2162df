"""How regular purchases are: the times between them, for comparing Erlang shapes k.

The models for regular buyers, BG/CNBD-k and MBG/CNBD-k, differ in likelihood from the plain ones also by the
density of the times between purchases themselves,

    (k - 1) sum log(dt) - x log (k - 1)!

which holds no parameter, so it does not enter the fit; it enters when different k are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from clv.purchases.base import PurchaseFit
from clv.purchases.beta_geometric import Geometric, GeometricFit
from clv.purchases.observations import Observations
from clv.summary import DAYS_PER_UNIT

__all__ = ["Regularity", "full_log_likelihood", "select_regularity", "sum_log_intervals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regularity:
    """Erlang shapes compared.

    Attributes
    ----------
    k
        Shape of the highest likelihood; 1 is Poisson.
    log_likelihoods
        Full log-likelihood by shape.
    fit
        The fit at `k`.
    """

    k: int
    log_likelihoods: dict[int, float]
    fit: GeometricFit


def sum_log_intervals(purchases: pl.LazyFrame, *, observation_end: date, time_unit: str) -> float:
    """Sum over customers and purchases of the log of the time since the purchase before, in `time_unit`.

    An additive statistic: sums over disjoint customers add up.
    """
    unit = DAYS_PER_UNIT[time_unit]
    gap = pl.col("date").diff().over("customer_id", order_by="date").dt.total_days()
    logs = purchases.filter(pl.col("date") <= observation_end).select(gap.alias("days")).drop_nulls()
    return float(logs.select((pl.col("days") / unit).log().sum()).collect().item())


def full_log_likelihood(fit: PurchaseFit, log_intervals: float) -> float:
    """Log-likelihood with the density of the times between purchases; equals the report's for k = 1."""
    k = fit.k if isinstance(fit, GeometricFit) else 1
    return fit.report.log_likelihood + (k - 1) * log_intervals


def select_regularity(
    summary: pl.DataFrame | Observations, log_intervals: float, *, birth: int = 1, largest: int = 4
) -> Regularity:
    """Fit k = 1, 2, ... and keep the shape of the highest full likelihood; stops at the first that is lower.

    Parameters
    ----------
    summary
        Purchase summary.
    log_intervals
        From `sum_log_intervals`, in the same time unit.
    birth
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.
    largest
        Largest k tried.

    Raises
    ------
    ConvergenceError
        When a fit finds no maximum.
    """
    data = summary if isinstance(summary, Observations) else Observations.from_summary(summary)
    fits: dict[int, GeometricFit] = {}
    found: dict[int, float] = {}
    for k in range(1, largest + 1):
        fits[k] = Geometric(k=k, birth=birth).fit(data)
        found[k] = full_log_likelihood(fits[k], log_intervals)
        if found[k] < found.get(k - 1, -np.inf):
            break
    best = max(found, key=lambda k: found[k])
    return Regularity(k=best, log_likelihoods=found, fit=fits[best])
