"""Spend per purchase: the gamma-gamma model of Fader, Hardie & Lee (2005) and Fader & Hardie (2013).

The amounts of a customer are gamma(p, nu), nu differs between customers as gamma(q, v), and neither depends
on how often they buy. With x repeat purchases of mean m, the likelihood is equation (1a) of the note,
http://brucehardie.com/notes/025/:

    Gamma(p x + q) / (Gamma(p x) Gamma(q)) * v^q m^(p x - 1) x^(p x) / (x m + v)^(p x + q)

and the expected amount of one more purchase, equation (5), a weighted mean of customer and population:

    (q - 1) / (p x + q - 1) * p v / (q - 1)  +  p x / (p x + q - 1) * m
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import scipy

from clv.purchases.base import FitReport
from clv.purchases.maximum import Maximum, Score, maximize
from clv.purchases.observations import summary_frame
from histories.arrays import Float
from histories.errors import ConvergenceError, DataError

NAMES = ("p", "q", "v")
LOWER, UPPER = (1e-3, 1e-3, 1e-9), (1e4, 1e4, 1e12)
#: Rows per block: small enough for the second-level cache.
BLOCK = 16_384
SCOUT_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaGammaFit:
    """Fitted parameters. p shapes the purchases of a customer; q and v the differences between customers.

    Attributes
    ----------
    p, q
        Shapes, without unit.
    v
        Scale, in currency.
    trend
        Exponent b of mean spend on 1 + frequency, where spend depends on it (see `clv.fitting`); else 0.
    report
        Likelihood, sample size and covariance of the fit.
    """

    parameter_names: ClassVar[tuple[str, ...]] = NAMES

    p: float
    q: float
    v: float
    trend: float = 0.0
    report: FitReport

    def vector(self) -> Float:
        """The parameters in the order of `parameter_names`, shape (3,)."""
        return np.array([self.p, self.q, self.v])

    def with_vector(self, vector: Float) -> Self:
        """The same model at other parameters."""
        p, q, v = map(float, vector)
        return replace(self, p=p, q=q, v=v)

    def predict_spend(self, x: Float, monetary_value: Float) -> Float:
        """Expected amount of a further purchase, in currency, shape (n,).

        `monetary_value` may be NaN where `x` is 0; the answer there is the mean of the population.
        """
        return self.p * self.scale(x, monetary_value) / (self.p * x + self.q - 1.0)

    def simulate_sum(self, count: Float, x: Float, *, rng: np.random.Generator) -> Float:
        """Draw the sum of `count` further purchases, in units of the customer's `scale`, shape (n,)."""
        total = rng.standard_gamma(np.maximum(self.p * count, 1e-12))
        return np.where(count > 0, total / rng.standard_gamma(self.p * x + self.q), 0.0)

    def scale(self, x: Float, monetary_value: Float) -> Float:
        """The customer's own scale v + x m of `simulate_sum`, in currency, shape (n,)."""
        known = np.where(x > 0, np.nan_to_num(monetary_value), 0.0)
        if self.trend == 0.0:
            return self.v + x * known
        lift = (1.0 + x) ** self.trend
        return np.asarray(self.v * lift + x * known, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parameters = {"p": self.p, "q": self.q, "v": self.v}
        return {
            "model": "gamma_gamma",
            "parameters": parameters,
            "trend": self.trend,
            "report": self.report.to_dict(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `to_dict`."""
        trend = float(fields.get("trend", 0.0))
        return cls(**fields["parameters"], trend=trend, report=FitReport.from_dict(fields["report"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaGamma:
    """Choices for the gamma-gamma model of spend.

    Attributes
    ----------
    penalizer
        Weight of the sum of squared parameters, as in lifetimes.
    smallest_q
        Lower limit of q. At q <= 1 the mean of the population is infinite, so the fit is refused unless a
        limit above 1 is set.
    trend
        Exponent of mean spend on 1 + frequency, taken off before the fit; from
        `clv.fitting.estimate_trend`.
    """

    penalizer: float = 0.0
    smallest_q: float = LOWER[1]
    trend: float = 0.0

    def fit(self, summary: pl.DataFrame) -> GammaGammaFit:
        """Estimate p, q, v by maximum likelihood on customers with repeat purchases of positive mean.

        Raises
        ------
        DataError
            With fewer than two such customers.
        ConvergenceError
            When q comes out at 1 or below, or no maximum is found; the message names the remedy.
        """
        amounts = Amounts.from_summary(summary, trend=self.trend)
        scout = amounts.sample(SCOUT_ROWS) if amounts.frequency.size > 2 * SCOUT_ROWS else None
        mean = float(amounts.weights @ amounts.mean) / amounts.customers
        subject = f"gamma-gamma on {amounts.customers:.0f} customers"
        best = maximize(
            amounts.scorer(),
            names=NAMES,
            starts=[(2.0, max(3.0, self.smallest_q), mean), (8.0, max(4.0, self.smallest_q), 0.4 * mean)],
            lower=(LOWER[0], max(self.smallest_q, LOWER[1]), LOWER[2] * mean),
            upper=(UPPER[0], UPPER[1], UPPER[2] * mean),
            customers=amounts.customers,
            subject=subject,
            sample_score=None if scout is None else scout.scorer(),
            sample_customers=0.0 if scout is None else scout.customers,
            penalizer=self.penalizer,
        )
        return _checked(best, amounts, self.trend, subject)


def _checked(best: Maximum, amounts: Amounts, trend: float, subject: str) -> GammaGammaFit:
    """A fit whose population mean exists, or a refusal."""
    p, q, v = map(float, best.parameters)
    if q <= 1.0:
        raise ConvergenceError(
            f"{subject}: q = {q:.3g}, and at q <= 1 the mean spend of the population is infinite. A few very "
            "large amounts do this: set outliers aside, or fit with smallest_q = 1.5 (like lifetimes' "
            "q_constraint, but away from 1)."
        )
    # the density of the amounts themselves, also where a trend was taken off them
    log_likelihood = best.log_likelihood - trend * float(amounts.weights @ np.log1p(amounts.frequency))
    report = FitReport.from_maximum(best, log_likelihood=log_likelihood, customers=amounts.customers)
    return GammaGammaFit(p=p, q=q, v=v, trend=trend, report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What a fit of spend sees: repeat purchases and their mean amount, by customer.

    Attributes
    ----------
    frequency, mean, weights
        Repeat purchases (> 0), their mean in currency (> 0), customers per row; shape (n,).
    log_mean
        Logarithm of `mean`.
    """

    frequency: Float
    mean: Float
    log_mean: Float
    weights: Float

    @classmethod
    def from_summary(cls, summary: pl.DataFrame, *, trend: float = 0.0) -> Amounts:
        """Customers with a repeat purchase of positive mean value, divided by (1 + frequency)^trend."""
        summary = summary_frame(summary, ("frequency", "monetary_value"))
        kept = summary.filter((pl.col("frequency") > 0) & (pl.col("monetary_value") > 0))
        if kept.height < 2:
            raise DataError(
                f"{kept.height} of {summary.height} customers have a repeat purchase of positive value; "
                "spend needs at least 2"
            )
        x, m = (kept[name].cast(pl.Float64).to_numpy() for name in ("frequency", "monetary_value"))
        w = kept["weights"].cast(pl.Float64).to_numpy() if "weights" in kept.columns else np.ones_like(x)
        m = m / (1.0 + x) ** trend if trend else m
        return cls(frequency=x, mean=m, log_mean=np.log(m), weights=w)

    @property
    def customers(self) -> float:
        """Number of customers."""
        return float(self.weights.sum())

    def sample(self, rows: int) -> Amounts:
        """A random part of the rows, the same at every call."""
        chosen = np.sort(np.random.default_rng(0).choice(self.frequency.size, size=rows, replace=False))
        return Amounts(
            frequency=self.frequency[chosen],
            mean=self.mean[chosen],
            log_mean=self.log_mean[chosen],
            weights=self.weights[chosen],
        )

    def scorer(self) -> Score:
        """Log-likelihood and gradient as a function of (p, q, v)."""
        levels, index = np.unique(self.frequency, return_inverse=True)
        count = np.bincount(index, weights=self.weights).astype(np.float64)
        fixed = -float(self.weights @ self.log_mean)  # of m^(p x - 1)
        x_log_m = float((self.weights * self.frequency) @ self.log_mean)
        x_log_x = float(count @ (levels * np.log(levels)))

        def score(vector: Float) -> tuple[float, Float]:
            p, q, v = vector
            value, gradient = _score_of_levels(p, q, v, levels, count)
            value += fixed + p * (x_log_m + x_log_x)
            gradient[0] += x_log_m + x_log_x
            for start in range(0, self.frequency.size, BLOCK):
                rows = slice(start, start + BLOCK)
                x, w = self.frequency[rows], self.weights[rows]
                total = x * self.mean[rows] + v
                w_log = w * np.log(total)
                shape = p * x + q
                value -= float(shape @ w_log)
                gradient[0] -= float(x @ w_log)
                gradient[1] -= float(w_log.sum())
                gradient[2] -= float((w * shape) @ (1.0 / total))
            return value, gradient

        return score


def _score_of_levels(p: float, q: float, v: float, x: Float, count: Float) -> tuple[float, Float]:
    """The part of likelihood and gradient that depends on frequency alone."""
    customers = float(count.sum())
    value = count @ (scipy.special.gammaln(p * x + q) - scipy.special.gammaln(p * x))
    value += customers * (q * np.log(v) - scipy.special.gammaln(q))
    psi = scipy.special.digamma(p * x + q)
    gradient = [
        count @ (x * (psi - scipy.special.digamma(p * x))),
        count @ psi + customers * (np.log(v) - scipy.special.digamma(q)),
        customers * q / v,
    ]
    return float(value), np.array(gradient)
