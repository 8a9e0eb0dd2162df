"""The posteriors of all customers: a workspace that the compiled passes improve in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.measurements import Theta
from attribution.incremental.frailty.parameters import Parameters
from attribution.incremental.frailty.passes import draw_offsets, improve_posteriors

__all__ = ["Posterior", "compiled_parameters", "draw_predictors"]

Array = NDArray[np.float64]

NEWTON_CAP = 1.5
"""Largest move of a posterior mean in one Newton step, in standard deviations of the prior."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Gaussian posteriors of the latents of N lives, and what the last pass found there."""

    satisfaction: Array
    """Mean of u, counted from each customer's first period, shape (N, T); one value when static."""
    constant: Array
    """Mean of (v, eta_1..eta_C, xi), shape (N, C + 2)."""
    spread: Array
    """Variance of the same, shape (N, C + 2)."""
    variance: Array
    """Variance of every linear predictor, shape (N, T, M)."""
    bound: Array
    """Lower bound of each customer's log-likelihood up to a constant, shape (N,)."""
    dispersion: Array
    """Squared Pearson residuals of spend, and minus its log-likelihood at shape 1, shape (N, 2)."""
    score: NDArray[np.float32]
    """Score of each customer's bound in the flat parameters, shape (N, p)."""
    slope: Array
    """Weighted sum of the scores, shape (p,)."""

    @staticmethod
    def blank(data: FrailtyData) -> Posterior:
        """Posteriors at the prior mean, without spread."""
        n, shape = data.n_lives, data.shape
        return Posterior(
            satisfaction=np.zeros((n, shape.periods)),
            constant=np.zeros((n, shape.frailties + 1)),
            spread=np.zeros((n, shape.frailties + 1)),
            variance=np.zeros((n, shape.periods, shape.measures)),
            bound=np.zeros(n),
            dispersion=np.zeros((n, 2)),
            score=np.zeros((n, shape.size), dtype=np.float32),
            slope=np.zeros(shape.size),
        )

    def copy(self) -> Posterior:
        """A workspace of its own that starts where this one stands."""
        return Posterior(
            satisfaction=self.satisfaction.copy(),
            constant=self.constant.copy(),
            spread=self.spread.copy(),
            variance=self.variance.copy(),
            bound=self.bound.copy(),
            dispersion=self.dispersion.copy(),
            score=self.score.copy(),
            slope=self.slope.copy(),
        )

    def take(self, lives: NDArray[np.int64]) -> Posterior:
        """The posteriors of some lives, by position, in a workspace of their own."""
        return Posterior(
            satisfaction=self.satisfaction[lives],
            constant=self.constant[lives],
            spread=self.spread[lives],
            variance=self.variance[lives],
            bound=self.bound[lives],
            dispersion=self.dispersion[lives],
            score=self.score[lives],
            slope=self.slope.copy(),
        )

    def improve(
        self,
        data: FrailtyData,
        parameters: Parameters,
        *,
        dynamic: bool,
        steps: int = 1,
        weights: Array | None = None,
    ) -> float:
        """Take Newton steps towards the posteriors at these parameters; return the largest last one."""
        theta = compiled_parameters(parameters, dynamic=dynamic)
        largest = improve_posteriors(
            data.rows,
            theta,
            np.ones(data.n_lives) if weights is None else weights,
            steps,
            NEWTON_CAP,
            self.satisfaction,
            self.constant,
            self.spread,
            self.variance,
            self.bound,
            self.dispersion,
            self.score,
            self.slope,
        )
        return float(largest)


def compiled_parameters(parameters: Parameters, *, dynamic: bool) -> Theta:
    """The parameters as the compiled passes take them."""
    return Theta(
        covariates=parameters.covariates,
        period_covariates=parameters.period_covariates,
        months=parameters.months,
        stocks=parameters.stocks,
        loadings=parameters.loadings,
        latent_variances=parameters.latent_variances,
        gamma_levels=parameters.gamma_levels,
        rho=parameters.rho,
        shape_of_spend=parameters.shape_of_spend,
        proxies=parameters.proxies,
        dynamic=dynamic,
    )


def draw_predictors(
    data: FrailtyData,
    parameters: Parameters,
    posterior: Posterior,
    *,
    dynamic: bool,
    draws: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log-odds of leaving and log mean spend without stocks, by posterior draw, each (Q, N, T).

    Draws come in antithetic pairs, so that their mean is the posterior mean up to an odd last one.
    """
    n, shape = data.n_lives, data.shape
    half = rng.standard_normal(((draws + 1) // 2, n, shape.periods + shape.frailties + 1))
    noise = np.concatenate([half, -half])[:draws]
    leaving = np.zeros((draws, n, shape.periods), dtype=np.float32)
    spending = np.zeros_like(leaving)
    draw_offsets(
        data.rows,
        compiled_parameters(parameters, dynamic=dynamic),
        posterior.satisfaction,
        posterior.constant,
        posterior.spread,
        posterior.variance,
        noise,
        leaving,
        spending,
    )
    return leaving, spending
