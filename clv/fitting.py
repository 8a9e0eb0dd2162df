"""Fit the configured models, say of each that failed why, and tell the fits as plain values.

The gamma-gamma model assumes that spend does not depend on frequency. Whether it does is the slope b of log m
on log(1 + x) over customers with repeat purchases, weighted by x (a mean of x amounts is x times as
precise), with an error that allows unequal variances. It matters when it is beyond chance and moves spend by
a tenth between occasional and frequent buyers; then amounts are divided by (1 + x)^b before the spend model
is fitted, and the forecast is multiplied by it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from clv.clock import Clock
from clv.purchases.base import PurchaseFit
from clv.purchases.beta_geometric import GeometricFit
from clv.purchases.fits import fit_purchases
from clv.purchases.observations import Observations
from clv.purchases.reference import check_agreement, check_spend_agreement
from clv.spend import Amounts, GammaGamma, GammaGammaFit
from clv.summary import DAYS_PER_UNIT
from histories.errors import DataError, ModelError, TributaryError


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


#: Beyond this many standard errors a trend is no chance.
CLEAR = 4.0
#: A trend matters when spend differs by this share between the 10th and 90th percentile of frequency.
NOTICEABLE = 0.10
#: Fewer customers than this say nothing of a trend.
FEWEST_CUSTOMERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendTrend:
    """How mean spend moves with frequency.

    Attributes
    ----------
    slope, std_error
        Of log mean spend on log(1 + frequency).
    difference
        Spend of frequent (90th percentile) over occasional (10th) buyers, less 1.
    customers
        Customers with repeat purchases.
    matters
        Whether the spend model is corrected for it.
    """

    slope: float
    std_error: float
    difference: float
    customers: int
    matters: bool

    def to_dict(self) -> dict[str, float | int | bool]:
        """Plain values for the model card."""
        return asdict(self)


def estimate_trend(summary: pl.DataFrame) -> SpendTrend | None:
    """The trend of a summary; None with too few repeat customers, or with one frequency only."""
    kept = summary.filter((pl.col("frequency") > 0) & (pl.col("monetary_value") > 0))
    x, m = (kept[name].cast(pl.Float64).to_numpy() for name in ("frequency", "monetary_value"))
    if x.size < FEWEST_CUSTOMERS or np.unique(x).size < 2:
        return None
    u, y = np.log1p(x), np.log(m)
    u_mean, y_mean = np.average(u, weights=x), np.average(y, weights=x)
    du = u - u_mean
    information = float(x @ du**2)
    slope = float((x * du) @ (y - y_mean)) / information
    residual = y - y_mean - slope * du
    error = float(np.sqrt(((x * du * residual) ** 2).sum())) / information
    rare, often = np.quantile(u, [0.1, 0.9])
    difference = float(np.expm1(slope * (often - rare)))
    matters = abs(slope) > CLEAR * error and abs(difference) > NOTICEABLE
    return SpendTrend(
        slope=slope, std_error=error, difference=difference, customers=int(x.size), matters=bool(matters)
    )


def describe_fits(
    fits: Mapping[str, PurchaseFit], summary: pl.DataFrame, *, log_intervals: float = 0.0
) -> dict[str, Any]:
    """Each fit, with lifetimes' own log-likelihood at the same parameters beside ours.

    `log_intervals` completes the likelihood of models for regular buyers (see `clv.fitting`), so that all
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
    """Log-likelihood with the density of the times between purchases; equals the report's for k = 1.

    By it the models for regular buyers, BG/CNBD-k and MBG/CNBD-k, differ from the plain ones beside all else:

        (k - 1) sum log(dt) - x log (k - 1)!

    It holds no parameter, so it does not enter the fit; it enters when different k are compared.
    """
    k = fit.k if isinstance(fit, GeometricFit) else 1
    return fit.report.log_likelihood + (k - 1) * log_intervals
