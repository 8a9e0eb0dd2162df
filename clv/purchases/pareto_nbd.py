"""Pareto/NBD: choices, fit and predictions. The arithmetic is in `clv.purchases.pareto`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import polars as pl

from clv.purchases import pareto
from clv.purchases.base import UNFITTED, FitReport, PurchaseFit
from clv.purchases.geometric import Levels
from clv.purchases.maximum import Score, maximize
from clv.purchases.observations import Observations, require_repeats
from histories.arrays import Float

NAMES = ("r", "alpha", "s", "beta")
LOWER, UPPER = (1e-5, 1e-8, 1e-5, 1e-8), (1e4, 1e8, 1e4, 1e8)
#: Rows of the sample on which the search starts.
SCOUT_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoNbdFit(PurchaseFit):
    """A fitted Pareto/NBD model. r and alpha shape the purchase rate, s and beta the dropout rate.

    Attributes
    ----------
    r, alpha
        Purchase rates are gamma(r, alpha): mean r / alpha per time unit.
    s, beta
        Dropout rates are gamma(s, beta): mean s / beta per time unit.
    """

    parameter_names: ClassVar[tuple[str, ...]] = NAMES

    r: float
    alpha: float
    s: float
    beta: float

    @property
    def model(self) -> str:
        """Name of the model, as in the configuration."""
        return "pareto_nbd"

    @property
    def cost(self) -> int:
        """Work of one row in one pass over the data, in units of a BG/NBD row."""
        return pareto.NODES

    def scorer(self, data: Observations) -> Score:
        """Log-likelihood and gradient on `data`, as a function of the parameter vector."""
        levels = Levels.of(data)
        return lambda vector: pareto.score(vector, data, levels)

    def predict_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """P(alive at T), shape (n,)."""
        return pareto.probability_alive(self.vector(), x, t_x, T)

    def predict_purchases_alive(self, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """E[purchases in (T, T + t] | alive at T] at the horizons `t`, shape (len(t), n)."""
        return pareto.purchases_alive(self.vector(), t, x, T)

    def predict_tail_alive(self, m: int, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """P(at least m purchases in (T, T + t] | alive at T), shape (n,)."""
        if m == 1:
            return pareto.first_purchase_alive(self.vector(), t, x, T)
        return pareto.count_tail_alive(self.vector(), m, t, x, T)

    def predict_ever_alive(self, x: Float, T: Float) -> Float:
        """P(a further purchase ever | alive at T), shape (n,)."""
        return pareto.ever_alive(self.vector(), x, T)

    def predict_median_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """Median time from T to the next purchase, given alive at T and that one comes, shape (n,)."""
        return pareto.median_next_purchase(self.vector(), x, T)

    def predict_survival_alive(self, t: Float, x: Float, T: Float) -> Float:
        """P(alive at T + t | alive at T) at the times `t`, shape (len(t), n)."""
        return np.asarray(np.exp(-self.s * np.log1p(np.multiply.outer(t, 1.0 / (self.beta + T)))))

    def predict_residual_alive(self, rate: float, x: Float, T: Float) -> Float:
        """E[purchases after T for ever, discounted at `rate` | alive at T], shape (n,)."""
        return pareto.residual_alive(self.vector(), rate, x, T)

    def simulate_alive(self, t: float, x: Float, T: Float, *, rng: np.random.Generator) -> Float:
        """Draw the number of purchases in (T, T + t] of customers who are alive at T, shape (n,)."""
        rate = rng.standard_gamma(self.r + x) / (self.alpha + T)
        leaving = np.maximum(rng.standard_gamma(self.s, size=x.shape) / (self.beta + T), 1e-300)
        stay = np.minimum(rng.standard_exponential(x.shape) / leaving, t)
        return rng.poisson(np.minimum(rate * stay, 1e12)).astype(np.float64)

    def expected_purchases(self, t: Float) -> Float:
        """E[repeat purchases of a new customer in (0, t]], equation 27 of note 009, shape (len(t),)."""
        zero = np.zeros(1)
        return pareto.purchases_alive(self.vector(), t, zero, zero)[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoNbd:
    """Choices for the Pareto/NBD purchase model of Schmittlein, Morrison & Colombo (1987)."""

    fitted: ClassVar[type[ParetoNbdFit]] = ParetoNbdFit

    penalizer: float = 0.0

    def fit(self, summary: pl.DataFrame | Observations) -> ParetoNbdFit:
        """Estimate r, alpha, s, beta by maximum likelihood.

        Raises
        ------
        ConvergenceError
            When no maximum is found; the message names the remedy.
        """
        data = summary if isinstance(summary, Observations) else Observations.from_summary(summary)
        unfitted = ParetoNbdFit(r=1.0, alpha=1.0, s=1.0, beta=1.0, report=UNFITTED)
        require_repeats(data, unfitted.model)
        factor = 1.0 / float(data.T.max())
        scaled = data.rescale_time(factor)
        large = scaled.size > 2 * SCOUT_ROWS
        scout = scaled.sample(SCOUT_ROWS, rng=np.random.default_rng(0)) if large else None
        best = maximize(
            unfitted.scorer(scaled),
            names=NAMES,
            starts=_starts(scaled),
            lower=LOWER,
            upper=UPPER,
            customers=data.customers,
            subject=f"pareto_nbd on {data.customers:.0f} customers",
            sample_score=None if scout is None else unfitted.scorer(scout),
            sample_customers=0.0 if scout is None else scout.customers,
            penalizer=self.penalizer,
        )
        vector = best.parameters / np.array([1.0, factor, 1.0, factor])
        # densities of x purchase times, each 1 / factor as long
        log_likelihood = best.log_likelihood + float(data.weights @ data.frequency) * np.log(factor)
        report = FitReport.from_maximum(best, log_likelihood=float(log_likelihood), customers=data.customers)
        return replace(unfitted.with_vector(vector), report=report)


def _starts(data: Observations) -> list[tuple[float, float, float, float]]:
    """Two starting points with the mean purchase rate of the data: diverse and alike customers."""
    rate = max(float(data.weights @ data.frequency), 1.0) / float(data.weights @ data.T)
    return [(0.5, 0.25 / rate, 0.6, 0.3), (3.0, 1.5 / rate, 2.0, 1.0)]
