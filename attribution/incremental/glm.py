"""Weighted generalised linear models by Newton's method, on arrays.

The two families are values: a reader compares them side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from histories.arrays import Float
from histories.errors import ConvergenceError

MAX_STEPS = 60
TOLERANCE = 1e-9
"""Relative change of the log-likelihood at which Newton's method stops."""
RIDGE = 1e-3
"""Pseudo-observations of zero effect per standardised column: keeps separated columns finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A one-parameter exponential family with its canonical link."""

    name: str
    mean: Callable[[Float], Float]
    """Expected response given the linear predictor."""
    curvature: Callable[[Float], Float]
    """Variance of the response given its mean."""
    log_likelihood: Callable[[Float, Float], Float]
    """Log-likelihood of each response given the linear predictor, up to a constant."""
    link: Callable[[float], float]
    """Linear predictor of a mean, for the start."""


POISSON = Family(
    name="Poisson",
    mean=lambda eta: np.exp(np.minimum(eta, 50.0)),
    curvature=lambda mean: mean,
    log_likelihood=lambda y, eta: y * eta - np.exp(np.minimum(eta, 50.0)),
    link=lambda mean: float(np.log(mean)),
)
"""Poisson pseudo-maximum likelihood: needs only the mean of a non-negative response to be right."""

LOGIT = Family(
    name="logit",
    mean=special.expit,
    curvature=lambda mean: mean * (1.0 - mean),
    log_likelihood=lambda y, eta: y * eta - np.logaddexp(0.0, eta),
    link=lambda mean: float(special.logit(mean)),
)
"""Bernoulli with logistic link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GlmFit:
    """Coefficients and their log-likelihood."""

    coefficients: Float
    """Shape (K,); the first is the constant."""
    log_likelihood: float
    """At the optimum, up to a constant."""
    bread: Float
    """Inverse information, shape (K, K)."""

    def influence(
        self,
        X: NDArray[np.floating],
        y: Float,
        family: Family,
        clusters: NDArray[np.int64],
        n: int,
        *,
        offset: Float | float = 0.0,
    ) -> NDArray[np.float32]:
        """How much each of n clusters of rows moved the coefficients, shape (n, K).

        Adding sum_i (w_i - 1) influence_i to the coefficients is one Newton step towards those of data whose
        clusters weigh w_i (Efron & Tibshirani 1993, chapter 22). `offset` is that of the fit.
        """
        residual = y - family.mean(X @ self.coefficients + offset)
        scores = np.zeros((n, X.shape[1]))
        for k in range(X.shape[1]):
            scores[:, k] = np.bincount(clusters, weights=residual * X[:, k], minlength=n)
        return np.asarray(scores @ self.bread, dtype=np.float32)


def fit_glm(
    X: NDArray[np.floating],
    y: Float,
    family: Family,
    *,
    weights: Float | None = None,
    offset: Float | float = 0.0,
    precision: Float | None = None,
) -> GlmFit:
    """Maximum likelihood of y given X (first column ones), by damped Newton steps from the constant alone.

    Parameters
    ----------
    X, y
        Design, shape (rows, K), and response, shape (rows,).
    family
        `POISSON` or `LOGIT`.
    weights
        Weight of each row, shape (rows,); None for ones.
    offset
        Known part of the linear predictor, such as the log of an exposure, shape (rows,).
    precision
        Half of it times the squared coefficient is taken off the log-likelihood, shape (K,); None: nothing.

    Raises
    ------
    ConvergenceError
        If the response never varies or no optimum is found.
    """
    w = np.ones(len(y)) if weights is None else weights
    mean = float(np.average(y, weights=w)) if len(y) else 0.0
    if mean <= 0.0 or (family is LOGIT and mean >= 1.0):
        raise ConvergenceError(
            f"{family.name} regression: the response is {mean:g} in all {len(y)} rows, nothing to fit."
        )
    ridge = RIDGE * (w @ family.curvature(np.full(len(y), mean))) / len(y)
    penalty = np.full(X.shape[1], ridge)
    penalty[0] = 0.0
    if precision is not None:
        penalty += precision
    beta = np.zeros(X.shape[1])
    beta[0] = family.link(mean)

    def objective(coefficients: Float, eta: Float) -> float:
        return float(w @ family.log_likelihood(y, eta) - 0.5 * penalty @ coefficients**2)

    eta = X @ beta + offset
    value = objective(beta, eta)
    for _ in range(MAX_STEPS):
        mu = family.mean(eta)
        score = X.T @ (w * (y - mu)) - penalty * beta
        information = (X.T * (w * family.curvature(mu))) @ X + np.diag(penalty)
        step = linalg.solve(information, score, assume_a="pos")
        size = 1.0
        while True:
            trial = beta + size * step
            trial_eta = X @ trial + offset
            trial_value = objective(trial, trial_eta)
            if trial_value >= value - 1e-12 * abs(value) or size < 1e-6:
                break
            size *= 0.5
        gain = trial_value - value
        beta, eta, value = trial, trial_eta, trial_value
        if gain <= TOLERANCE * (1.0 + abs(value)):
            return GlmFit(coefficients=beta, log_likelihood=value, bread=linalg.inv(information))
    raise ConvergenceError(
        f"{family.name}: no optimum in {MAX_STEPS} steps on {len(y)} rows and {X.shape[1]} columns. "
        "Leave out a confounder that repeats another, or one that hardly varies."
    )
