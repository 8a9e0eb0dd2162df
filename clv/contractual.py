"""Subscriptions: the shifted beta-geometric model of Fader & Hardie (2007).

At the end of each period a customer leaves with a probability that stays the same over time and differs
between customers as beta(a, b). Then, with S(t) the share still there after t renewals,

    P(leave at t = 1) = a / (a + b),   P(leave at t) = (b + t - 2) / (a + b + t - 1) P(leave at t - 1)
    S(t) = B(a, b + t) / B(a, b),      retention rate r(t) = (b + t - 1) / (a + b + t - 1)

Retention rates of a cohort rise with its age although nobody becomes more loyal: those who leave easily are
gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

from clv.purchases.base import FitReport
from clv.purchases.maximum import maximize
from histories.arrays import Float
from histories.errors import ConvergenceError, DataError

NAMES = ("a", "b")
#: Months of the calendar are up to a tenth shorter or longer than a mean one.
CALENDAR_SLACK = 0.1


def count_renewals(customers: pl.LazyFrame, *, observation_end: object, period_days: float) -> pl.DataFrame:
    """Complete periods of each customer: how many were renewed, and whether the customer left.

    Parameters
    ----------
    customers
        customer_id, acquired_at and ended_at (null while the contract runs).
    observation_end
        Last day seen.
    period_days
        Length of a contract period.

    Returns
    -------
    DataFrame
        customer_id, periods (renewal decisions seen, the one to leave included) and left.
    """
    end = pl.lit(observation_end, dtype=pl.Date)
    left = pl.col("ended_at").is_not_null() & (pl.col("ended_at") <= end)
    last = pl.when(left).then(pl.col("ended_at")).otherwise(end)
    periods = (last - pl.col("acquired_at")).dt.total_days() / period_days
    ended = (periods - CALENDAR_SLACK).ceil().clip(lower_bound=1)
    whole = pl.when(left).then(ended).otherwise((periods + CALENDAR_SLACK).floor())
    return (
        customers.filter(pl.col("acquired_at") <= end)
        .select("customer_id", whole.cast(pl.Int64).alias("periods"), left.alias("left"))
        .collect()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedBetaGeometricFit:
    """Fitted parameters: customers leave at a renewal with probability beta(a, b).

    Attributes
    ----------
    a, b
        Mean probability of leaving at the first renewal is a / (a + b).
    report
        Likelihood, sample size and covariance of the fit.
    """

    a: float
    b: float
    report: FitReport

    def predict_survival(self, t: npt.ArrayLike) -> Float:
        """Share of a cohort still there after t renewals, equation 6 of the paper."""
        betaln = scipy.special.betaln
        after = np.asarray(t, dtype=np.float64)
        return np.asarray(np.exp(betaln(self.a, self.b + after) - betaln(self.a, self.b)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedBetaGeometric:
    """Choices for the shifted beta-geometric model."""

    penalizer: float = 0.0

    def fit(
        self, periods: npt.ArrayLike, left: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> ShiftedBetaGeometricFit:
        """Estimate a and b by maximum likelihood.

        Parameters
        ----------
        periods
            Renewal decisions seen of each customer, the one to leave included, shape (n,).
        left
            Whether the last of them was to leave, shape (n,).
        weights
            Customers per row; 1 by default.

        Raises
        ------
        DataError
            When there is no renewal decision, or somebody left without one.
        ConvergenceError
            When nobody left or everybody did at the first renewal, which any small or large a explains.
        """
        t, gone = np.asarray(periods, dtype=np.float64), np.asarray(left, dtype=bool)
        w = np.ones_like(t) if weights is None else np.asarray(weights, dtype=np.float64)
        if (t < 0).any() or (gone & (t < 1)).any() or not (t > 0).any():
            raise DataError(
                f"{int((gone & (t < 1)).sum())} of {t.size} customers left without a renewal decision, "
                "or none was seen; periods count decisions from 1"
            )
        if not (w @ gone) or not (w @ (t - gone)):
            raise ConvergenceError(
                "shifted beta-geometric: nobody left, or nobody renewed even once; observe for longer"
            )
        customers = float(w.sum())

        def score(vector: Float) -> tuple[float, Float]:
            return _score(float(vector[0]), float(vector[1]), t, gone, w)

        best = maximize(
            score,
            names=NAMES,
            starts=[(0.7, 2.0), (2.0, 8.0)],
            lower=(1e-5, 1e-5),
            upper=(1e5, 1e6),
            customers=customers,
            subject=f"shifted beta-geometric on {customers:.0f} customers",
            penalizer=self.penalizer,
        )
        report = FitReport.from_maximum(best, log_likelihood=best.log_likelihood, customers=customers)
        return ShiftedBetaGeometricFit(
            a=float(best.parameters[0]), b=float(best.parameters[1]), report=report
        )


def _score(a: float, b: float, t: Float, gone: npt.NDArray[np.bool_], w: Float) -> tuple[float, Float]:
    """Log-likelihood B(a + left, b + t - left) / B(a, b), and its gradient in a and b."""
    psi, betaln = scipy.special.digamma, scipy.special.betaln
    up, stay = a + gone, b + t - gone
    value = float(w @ (betaln(up, stay) - betaln(a, b)))
    both = psi(up + stay) - psi(a + b)
    return value, np.array([w @ (psi(up) - psi(a) - both), w @ (psi(stay) - psi(b) - both)])
