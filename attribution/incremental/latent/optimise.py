"""Maximum likelihood by L-BFGS in whitened coordinates.

The parameters are rotated by the Cholesky factor of the outer product of the customers' scores (Berndt, Hall,
Hall & Hausman 1974), so that the likelihood is nearly round and L-BFGS needs a few dozen evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from attribution.incremental.latent.arrays import FloatArray
from histories.errors import ConvergenceError

__all__ = ["Optimum", "maximise"]

MAX_EVALUATIONS = 400
"""Likelihood evaluations after which a search gives up."""
Objective = Callable[[FloatArray], tuple[float, FloatArray]]
Scores = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """Where the search ended."""

    theta: FloatArray
    """Parameters, shape (p,)."""
    value: float
    """Penalised log-likelihood."""
    decrement: float
    """Half the squared length of the whitened gradient: about the log-likelihood still to be gained."""
    evaluations: int
    """Likelihood evaluations."""


def maximise(
    objective: Objective,
    scores: Scores,
    start: FloatArray,
    *,
    precision: FloatArray,
    tolerance: float = 1e-3,
    max_evaluations: int = MAX_EVALUATIONS,
) -> Optimum:
    """Maximise a log-likelihood.

    Parameters
    ----------
    objective
        Value and gradient of the (penalised) log-likelihood.
    scores
        Gradient of each customer, shape (N, p), to whiten with.
    start
        First parameters, shape (p,).
    precision
        Curvature that a prior adds to each direction, shape (p,).
    tolerance
        The search has converged when the decrement is below it, in units of log-likelihood.
    max_evaluations
        Evaluations in total; a smaller number than the default is a budget, and what is reached is returned.

    Raises
    ------
    ConvergenceError
        If the log-likelihood is not finite, or the decrement stays above a hundred times the tolerance.
    """
    theta, spent, value, decrement = start, 0, -np.inf, np.inf
    for _ in range(8):
        factor = _whitener(scores(theta), precision)
        origin = theta

        def negative(
            z: FloatArray, factor: FloatArray = factor, origin: FloatArray = origin
        ) -> tuple[float, FloatArray]:
            value, gradient = objective(origin + solve_triangular(factor, z, lower=True, trans="T"))
            return -value, -solve_triangular(factor, gradient, lower=True)

        limit = max(2, min(40, max_evaluations - spent))
        found = minimize(
            negative,
            np.zeros_like(theta),
            jac=True,
            method="L-BFGS-B",
            options={"maxfun": limit, "maxcor": 20, "ftol": 0.0, "gtol": np.sqrt(tolerance / theta.size)},
        )
        theta = origin + solve_triangular(factor, found.x, lower=True, trans="T")
        value, spent = -float(found.fun), spent + int(found.nfev)
        decrement = float(found.jac @ found.jac) / 2
        if not np.isfinite(value):
            raise ConvergenceError(
                "Latent dropout: the log-likelihood is not finite. "
                "Check covariates for extreme values, or leave some out."
            )
        if decrement < tolerance or spent >= max_evaluations:
            break
    if decrement > 100 * tolerance and max_evaluations >= MAX_EVALUATIONS:
        raise ConvergenceError(
            f"Latent dropout: not converged after {spent} evaluations "
            f"(log-likelihood still to be gained about {decrement:.2g}, allowed {100 * tolerance:.2g}). "
            "Use fewer covariates or channels, or more periods."
        )
    return Optimum(theta=theta, value=value, decrement=decrement, evaluations=spent)


def _whitener(scores: FloatArray, precision: FloatArray) -> FloatArray:
    """Lower Cholesky factor of the scores' outer product plus the prior, every direction kept positive."""
    information = scores.T @ scores
    ridge = 1e-6 * np.diag(information) + precision + 1e-3
    result: FloatArray = cholesky(information + np.diag(ridge), lower=True)
    return result
