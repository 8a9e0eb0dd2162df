"""How regular purchases are: the times between them, for comparing Erlang shapes k.

The models for regular buyers, BG/CNBD-k and MBG/CNBD-k, differ in likelihood from the plain ones also by the
density of the times between purchases themselves,

    (k - 1) sum log(dt) - x log (k - 1)!

which holds no parameter, so it does not enter the fit; it enters when different k are compared.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from clv.clock import Clock
from clv.purchases.base import PurchaseFit
from clv.purchases.beta_geometric import GeometricFit
from clv.summary import DAYS_PER_UNIT


def sum_log_intervals(
    purchases: pl.LazyFrame, *, observation_end: date, time_unit: str, opened: Clock | None = None
) -> float:
    """Sum over customers and purchases of the log of the time since the purchase before, in `time_unit`.

    An additive statistic: sums over disjoint customers add up. Days on which an `opened` clock stands still
    do not count.
    """
    unit = DAYS_PER_UNIT[time_unit]
    day = pl.col("date").cast(pl.Int32)
    for start, stop in opened.closed if opened is not None else ():
        assert opened is not None
        first = (opened.first - date(1970, 1, 1)).days
        day = day - (pl.col("date").cast(pl.Int32) - (first + start - 1)).clip(0, stop - start + 1)
    gap = day.diff().over("customer_id", order_by="date")
    logs = purchases.filter(pl.col("date") <= observation_end).select(gap.alias("days")).drop_nulls()
    return float(logs.select((pl.col("days") / unit).log().sum()).collect().item())


def full_log_likelihood(fit: PurchaseFit, log_intervals: float) -> float:
    """Log-likelihood with the density of the times between purchases; equals the report's for k = 1."""
    k = fit.k if isinstance(fit, GeometricFit) else 1
    return fit.report.log_likelihood + (k - 1) * log_intervals
