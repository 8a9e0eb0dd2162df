"""Pareto/NBD whose purchase and dropout rates are correlated (Sarmanov's form, as in Park & Fader 2004).

The rates keep their gamma distributions; their joint density is

    g(lambda) g(mu) [1 + m (exp(-kernel_a lambda) - LA) (exp(-kernel_b mu) - LB)],
    LA = (alpha / (alpha + kernel_a))^r,    LB = (beta / (beta + kernel_b))^s

with m between the bounds at which it is nowhere negative. As exp(-kernel lambda) g(lambda) is LA times
another gamma density, the joint density, the likelihood and everything expected of a customer are signed sums
over four plain models, alpha or alpha + kernel_a with beta or beta + kernel_b:

    L = (1 + c) L_00 - c L_10 - c L_01 + c L_11,    c = m LA LB

and the rates have the correlation  c sqrt(r s) kernel_a kernel_b / ((alpha + kernel_a)(beta + kernel_b)). The
kernels are alpha and beta here, which makes the form free of the time unit and leaves room for correlations
up to about .3; CLVTools has 1 and 1, which on weekly data hardly allows one of .1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import scipy

from clv.purchases import pareto
from clv.purchases.base import UNFITTED, FitReport, PurchaseFit
from clv.purchases.geometric import Levels
from clv.purchases.maximum import Score, maximize
from clv.purchases.observations import Observations
from clv.purchases.pareto_nbd import LOWER, UPPER, ParetoNbd
from histories.arrays import Float

NAMES = ("r", "alpha", "s", "beta", "odds")
#: Which kernels a component has, and its sign in the sum.
COMPONENTS = ((0, 0, 1.0), (1, 0, -1.0), (0, 1, -1.0), (1, 1, 1.0))
#: The search keeps the correlation a little away from its bounds.
FARTHEST = 1e4
#: Width of the difference that gives the slope of c.
DIFFERENCE = 1e-6


def bounds(la: float, lb: float) -> tuple[float, float]:
    """Smallest and largest m."""
    low = -1.0 / max(la * lb, (1.0 - la) * (1.0 - lb))
    return low, 1.0 / max(la * (1.0 - lb), (1.0 - la) * lb)


def _mix(logs: list[Float], c: float) -> tuple[Float, Float, Float]:
    """Log of the signed sum; share of each component in it; what c multiplies, relative to it."""
    top = np.max(logs, axis=0)
    parts = np.exp(np.array(logs) - top)
    signs = np.array([sign for _, _, sign in COMPONENTS])
    weights = c * signs + np.array([1.0, 0.0, 0.0, 0.0])
    total = np.maximum(weights @ parts, 1e-300)
    return top + np.log(total), weights[:, None] * parts / total, (signs @ parts) / total


@dataclass(frozen=True, slots=True, kw_only=True)
class SarmanovNbdFit(PurchaseFit):
    """A fitted Pareto/NBD model with correlated rates.

    Attributes
    ----------
    r, alpha, s, beta
        As in Pareto/NBD.
    odds
        Where m lies between its bounds: (m - low) / (high - m).
    """

    parameter_names: ClassVar[tuple[str, ...]] = NAMES

    r: float
    alpha: float
    s: float
    beta: float
    odds: float

    @property
    def model(self) -> str:
        """Name of the model, as in the configuration."""
        return "pareto_nbd_sarmanov"

    @property
    def cost(self) -> int:
        """Work of one row in one pass over the data, in units of a BG/NBD row."""
        return 4 * pareto.NODES

    @property
    def correlation(self) -> float:
        """Of purchase rate and dropout rate over customers."""
        return 0.25 * _coefficient(self.r, self.s, self.odds) * float(np.sqrt(self.r * self.s))

    def scorer(self, data: Observations) -> Score:
        """Log-likelihood and gradient on `data`, as a function of the parameter vector."""
        levels = Levels.of(data)
        return lambda vector: _score(vector, data, levels)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return PurchaseFit.to_dict(self) | {"correlation": self.correlation}

    def predict_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """P(alive at T), shape (n,)."""
        logs, alive = [], []
        for vector in self._components():
            r, alpha, s, beta = map(float, vector)
            logs.append(pareto.score_rows(r, alpha, s, beta, x, t_x, T)[0])
            alive.append(pareto.probability_alive(vector, x, t_x, T))
        shares = _mix(logs, self._c)[1]
        return np.asarray(np.clip((shares * np.array(alive)).sum(axis=0), 0.0, 1.0), dtype=np.float64)

    def predict_purchases_alive(self, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """E[purchases in (T, T + t] | alive at T] at the horizons `t`, shape (len(t), n)."""
        return self._mean(lambda vector: pareto.purchases_alive(vector, t, x, T), x, T)

    def predict_tail_alive(self, m: int, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """P(at least m purchases in (T, T + t] | alive at T), shape (n,)."""
        if m == 1:
            return self._mean(lambda vector: pareto.first_purchase_alive(vector, t, x, T), x, T)
        return self._mean(lambda vector: pareto.count_tail_alive(vector, m, t, x, T), x, T)

    def predict_ever_alive(self, x: Float, T: Float) -> Float:
        """P(a further purchase ever | alive at T), shape (n,)."""
        return self._mean(lambda vector: pareto.ever_alive(vector, x, T), x, T)

    def predict_median_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """Median time from T to the next purchase, given alive at T and that one comes, shape (n,)."""
        goal = 0.5 * self.predict_ever_alive(x, T)
        scale = np.log(min(self.alpha, self.beta) + T)
        low, high = scale - 40.0, scale + 40.0
        for _ in range(64):
            middle = 0.5 * (low + high)
            late = self.predict_tail_alive(1, np.exp(middle), x, T, T) > goal
            low, high = np.where(late, low, middle), np.where(late, middle, high)
        return np.asarray(np.exp(0.5 * (low + high)), dtype=np.float64)

    def predict_survival_alive(self, t: Float, x: Float, T: Float) -> Float:
        """P(alive at T + t | alive at T) at the times `t`, shape (len(t), n)."""
        return self._mean(
            lambda vector: np.exp(-self.s * np.log1p(np.multiply.outer(t, 1.0 / (vector[3] + T)))), x, T
        )

    def predict_residual_alive(self, rate: float, x: Float, T: Float) -> Float:
        """E[purchases after T for ever, discounted at `rate` | alive at T], shape (n,)."""
        return self._mean(lambda vector: pareto.residual_alive(vector, rate, x, T), x, T)

    def simulate_alive(self, t: float, x: Float, T: Float, *, rng: np.random.Generator) -> Float:
        """Draw the number of purchases in (T, T + t] of customers who are alive at T, shape (n,)."""
        la, lb = 2.0**-self.r, 2.0**-self.s
        m = self._c / (la * lb)
        corners = (la * lb, (1.0 - la) * (1.0 - lb), -la * (1.0 - lb), -(1.0 - la) * lb)
        largest = 1.0 + max(m * corner for corner in corners)
        rate, leaving, open_rows = np.empty(x.size), np.empty(x.size), np.arange(x.size)
        while open_rows.size:  # rejection: the joint density over the independent one is at most `largest`
            buys = rng.standard_gamma(self.r + x[open_rows]) / (self.alpha + T[open_rows])
            leaves = rng.standard_gamma(self.s, size=open_rows.size) / (self.beta + T[open_rows])
            density = 1.0 + m * (np.exp(-self.alpha * buys) - la) * (np.exp(-self.beta * leaves) - lb)
            taken = rng.random(open_rows.size) * largest <= density
            rate[open_rows[taken]], leaving[open_rows[taken]] = buys[taken], leaves[taken]
            open_rows = open_rows[~taken]
        stay = np.minimum(rng.standard_exponential(x.shape) / np.maximum(leaving, 1e-300), t)
        return rng.poisson(np.minimum(rate * stay, 1e12)).astype(np.float64)

    def expected_purchases(self, t: Float) -> Float:
        """E[repeat purchases of a new customer in (0, t]], shape (len(t),)."""
        zero = np.zeros(1)
        return self.predict_purchases_alive(t, zero, zero, zero)[:, 0]

    @property
    def _c(self) -> float:
        return _coefficient(self.r, self.s, self.odds)

    def _components(self) -> list[Float]:
        """Parameters of the four plain models, each of shape (4,)."""
        return [
            np.array([self.r, self.alpha * (1 + a), self.s, self.beta * (1 + b)]) for a, b, _ in COMPONENTS
        ]

    def _mean(self, of: Callable[[Float], Float], x: Float, T: Float) -> Float:
        """What is expected of a customer alive at T: the components' own, by their densities of that."""
        vectors = self._components()
        logs = [
            self.r * np.log(alpha / (alpha + T)) - x * np.log(alpha + T) + self.s * np.log(beta / (beta + T))
            for _, alpha, _, beta in vectors
        ]
        shares = _mix(logs, self._c)[1]
        mean = sum(share * of(vector) for share, vector in zip(shares, vectors, strict=True))
        return np.maximum(np.asarray(mean, dtype=np.float64), 0.0)


def _coefficient(r: float, s: float, odds: float) -> float:
    """C = m LA LB with the kernels alpha and beta."""
    la, lb = 2.0**-r, 2.0**-s
    low, high = bounds(la, lb)
    return float(la * lb * (low + (high - low) * odds / (1.0 + odds)))


def _score(parameters: Float, data: Observations, levels: Levels) -> tuple[float, Float]:
    """Log-likelihood and its gradient in (r, alpha, s, beta, odds)."""
    r, alpha, s, beta, odds = map(float, parameters)
    c = _coefficient(r, s, odds)
    slope_c = np.zeros(5)
    for place in (0, 2, 4):  # of one number, so by differences
        step = DIFFERENCE * parameters[place] * np.eye(5)[place]
        ahead, behind = parameters + step, parameters - step
        change = _coefficient(*ahead[[0, 2, 4]]) - _coefficient(*behind[[0, 2, 4]])
        slope_c[place] = change / (2.0 * step[place])
    total, w = float(levels.weights.sum()), levels.weights
    gammaln, psi = scipy.special.gammaln, scipy.special.digamma
    value = float(w @ gammaln(r + levels.values)) - total * gammaln(r)
    gradient = np.zeros(5)
    gradient[0] = w @ psi(r + levels.values) - total * psi(r)
    for rows in pareto.blocks(data.size):
        logs, slopes = [], []
        for a, b, _ in COMPONENTS:
            each, slope = pareto.score_rows(
                r, alpha * (1 + a), s, beta * (1 + b), data.frequency[rows], data.recency[rows], data.T[rows]
            )
            logs.append(each)
            slopes.append(slope * np.array([1.0, 1.0 + a, 1.0, 1.0 + b])[:, None])
        density, shares, by_c = _mix(logs, c)
        weights = data.weights[rows]
        value += float(weights @ density)
        gradient[:4] += np.einsum("cn,cpn,n->p", shares, np.array(slopes), weights)
        gradient += slope_c * float(weights @ by_c)
    return value, gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class SarmanovNbd:
    """Choices for a Pareto/NBD purchase model with correlated rates."""

    fitted: ClassVar[type[SarmanovNbdFit]] = SarmanovNbdFit

    penalizer: float = 0.0

    def fit(self, summary: pl.DataFrame | Observations) -> SarmanovNbdFit:
        """Estimate r, alpha, s, beta and the correlation by maximum likelihood, from the fit without one.

        Raises
        ------
        ConvergenceError
            When no maximum is found; the message names the remedy.
        """
        data = summary if isinstance(summary, Observations) else Observations.from_summary(summary)
        plain = ParetoNbd(penalizer=self.penalizer).fit(data).vector()
        factor = 1.0 / float(data.T.max())
        times = np.array([1.0, factor, 1.0, factor])
        low, high = bounds(2.0 ** -plain[0], 2.0 ** -plain[2])
        unfitted = SarmanovNbdFit(r=1.0, alpha=1.0, s=1.0, beta=1.0, odds=1.0, report=UNFITTED)
        best = maximize(
            unfitted.scorer(data.rescale_time(factor)),
            names=NAMES,
            starts=[[*(plain * times), -low / high]],
            lower=[*LOWER, 1.0 / FARTHEST],
            upper=[*UPPER, FARTHEST],
            customers=data.customers,
            subject=f"{unfitted.model} on {data.customers:.0f} customers",
            penalizer=self.penalizer,
        )
        log_likelihood = best.log_likelihood + float(data.weights @ data.frequency) * np.log(factor)
        report = FitReport.from_maximum(best, log_likelihood=float(log_likelihood), customers=data.customers)
        return replace(unfitted.with_vector(best.parameters / np.array([*times, 1.0])), report=report)
