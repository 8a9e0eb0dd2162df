"""BG/BB: choices, fit and predictions. The arithmetic is in `clv.purchases.beta_binomial`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import polars as pl

from clv.purchases import beta_binomial
from clv.purchases.base import UNFITTED, FitReport, PurchaseFit
from clv.purchases.maximum import Score, maximize
from clv.purchases.observations import Observations, require_repeats
from histories.arrays import Float
from histories.errors import DataError

NAMES = ("alpha", "beta", "gamma", "delta")
LOWER, UPPER = (1e-5, 1e-5, 1e-5, 1e-5), (1e5, 1e6, 1e4, 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class BgBbFit(PurchaseFit):
    """A fitted BG/BB model; one time unit is one purchase opportunity.

    Attributes
    ----------
    alpha, beta
        A living customer buys at an opportunity with probability beta(alpha, beta).
    gamma, delta
        A customer leaves before an opportunity with probability beta(gamma, delta).
    """

    parameter_names: ClassVar[tuple[str, ...]] = NAMES

    alpha: float
    beta: float
    gamma: float
    delta: float

    @property
    def model(self) -> str:
        """Name of the model, as in the configuration."""
        return "bg_bb"

    @property
    def cost(self) -> int:
        """Work of one row in one pass: roughly one step for every silent opportunity."""
        return 50

    def scorer(self, data: Observations) -> Score:
        """Log-likelihood and gradient on `data`, as a function of the parameter vector."""
        return lambda vector: beta_binomial.score(vector, data)

    def predict_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """P(alive at opportunity T), shape (n,)."""
        return beta_binomial.probability_alive(self.vector(), x, t_x, T)

    def predict_purchases_alive(self, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """E[purchases at the next t opportunities | alive at T], shape (len(t), n)."""
        return beta_binomial.purchases_alive(self.vector(), t, x, T)

    def predict_tail_alive(self, m: int, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """P(at least m purchases at the next t opportunities | alive at T), t rounded; shape (n,)."""
        whole = np.broadcast_to(np.round(t), x.shape)
        out = np.empty(x.shape)
        for steps in np.unique(whole):
            rows = whole == steps
            out[rows] = beta_binomial.tail_alive(self.vector(), m, int(steps), x[rows], T[rows])
        return out

    def predict_ever_alive(self, x: Float, T: Float) -> Float:
        """P(a further purchase ever | alive at T), shape (n,)."""
        return beta_binomial.first_purchase(self.vector(), x, T, goal=None)[0]

    def predict_median_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """Opportunity by which half of those who will ever buy again have, given alive at T, shape (n,)."""
        ever = self.predict_ever_alive(x, T)
        return beta_binomial.first_purchase(self.vector(), x, T, goal=0.5 * ever)[1]

    def predict_survival_alive(self, t: Float, x: Float, T: Float) -> Float:
        """P(alive at T + t | alive at T) at the times `t`, shape (len(t), n)."""
        return beta_binomial.survival_alive(self.vector(), t, T)

    def predict_residual_alive(self, rate: float, x: Float, T: Float) -> Float:
        """E[purchases after T for ever, discounted at `rate` | alive at T], shape (n,)."""
        return beta_binomial.residual_alive(self.vector(), rate, x, T)

    def simulate_alive(self, t: float, x: Float, T: Float, *, rng: np.random.Generator) -> Float:
        """Draw the number of purchases at the next t opportunities of customers alive at T, shape (n,)."""
        buy = rng.beta(self.alpha + x, self.beta + T - x)
        leave = np.clip(rng.beta(self.gamma, self.delta + T), 1e-12, 1.0)
        lived = np.minimum(rng.geometric(leave) - 1, round(t))
        return rng.binomial(lived, buy).astype(np.float64)

    def expected_purchases(self, t: Float) -> Float:
        """E[repeat purchases of a new customer at the first t opportunities], equation 7, shape (len(t),)."""
        zero = np.zeros(1)
        return beta_binomial.purchases_alive(self.vector(), t, zero, zero)[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class BgBb:
    """Choices for the BG/BB purchase model of Fader, Hardie & Shang (2010)."""

    fitted: ClassVar[type[BgBbFit]] = BgBbFit

    penalizer: float = 0.0

    def fit(self, summary: pl.DataFrame | Observations) -> BgBbFit:
        """Estimate alpha, beta, gamma, delta by maximum likelihood.

        Raises
        ------
        DataError
            When recency or T are not whole numbers of opportunities, or there are more purchases than
            opportunities.
        ConvergenceError
            When no maximum is found.
        """
        data = summary if isinstance(summary, Observations) else Observations.from_summary(summary)
        broken = (data.recency != np.floor(data.recency)) | (np.floor(data.T) != data.T)
        broken |= data.frequency > data.recency
        if broken.any():
            raise DataError(
                f"bg_bb counts purchase opportunities, but {int(data.weights[broken].sum())} of "
                f"{data.customers:.0f} customers have fractions of one, or more purchases than "
                'opportunities; set time_unit = "day" '
                'with purchase_unit = "day", or leave the model out'
            )
        require_repeats(data, "bg_bb")
        unfitted = BgBbFit(alpha=1.0, beta=1.0, gamma=1.0, delta=1.0, report=UNFITTED)
        best = maximize(
            unfitted.scorer(data),
            names=NAMES,
            starts=_starts(data),
            lower=LOWER,
            upper=UPPER,
            customers=data.customers,
            subject=f"bg_bb on {data.customers:.0f} customers",
            penalizer=self.penalizer,
        )
        report = FitReport.from_maximum(best, log_likelihood=best.log_likelihood, customers=data.customers)
        return replace(unfitted.with_vector(best.parameters), report=report)


def _starts(data: Observations) -> list[tuple[float, float, float, float]]:
    """Two starting points with the mean purchase probability of the data."""
    chance = float(data.weights @ data.frequency) / max(float(data.weights @ data.T), 1.0)
    chance = min(max(2.0 * chance, 1e-4), 0.9)
    longest = float(data.T.max())
    return [
        (1.0, (1.0 - chance) / chance, 0.6, 0.3 * longest),
        (0.5, 0.5 * (1.0 - chance) / chance, 1.0, 3.0 * longest),
    ]
