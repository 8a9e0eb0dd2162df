"""Sandwich covariance of the estimated parameters, and draws from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.latent.arrays import FloatArray
from attribution.incremental.latent.design import LatentInputs
from attribution.incremental.latent.likelihood import evaluate
from attribution.incremental.latent.search import Prior, Solution

__all__ = ["Spread", "draw_parameters", "sandwich"]

CURVATURE_CUSTOMERS = 4_000
"""The curvature is measured on at most so many customers; the scores on all."""
STEP = 1e-5
"""Step of the differences of the gradient, in units of the parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Sampling spread of the parameters."""

    covariance: FloatArray
    """Sandwich covariance, shape (p, p)."""
    influence: NDArray[np.float32] | None
    """Change of the parameters per unit of a customer's weight, shape (N, p); None when not measured."""


def sandwich(inputs: LatentInputs, solution: Solution, weights: FloatArray, *, effect_sd: float) -> Spread:
    """H^-1 J H^-1 (Huber 1967; White 1982): robust to a likelihood that is only nearly right.

    J is the outer product of the customers' scores, so the months of one customer may depend on each other.
    H is the curvature of the penalised log-likelihood by differences of its exact gradient.
    """
    ones = np.ones(inputs.n_customers)
    found = evaluate(
        inputs, solution.layout, solution.theta, weights=ones, grid=solution.grid, want_scores=True
    )
    assert found.scores is not None
    inverse = _inverse_curvature(inputs, solution, weights, effect_sd)
    influence = found.scores @ inverse
    weighted = weights[:, None] * influence
    return Spread(covariance=weighted.T @ weighted, influence=influence.astype(np.float32))


def _inverse_curvature(
    inputs: LatentInputs, solution: Solution, weights: FloatArray, effect_sd: float
) -> FloatArray:
    layout, theta = solution.layout, solution.theta
    few = slice(0, CURVATURE_CUSTOMERS)
    sample, w = inputs.take(few), weights[few] * (weights.sum() / weights[few].sum())
    grid = None if solution.grid is None else solution.grid.take(few)

    def gradient(at: FloatArray) -> FloatArray:
        return evaluate(sample, layout, at, weights=w, grid=grid).gradient

    here = gradient(theta)
    curvature = np.stack([(here - gradient(theta + step)) / STEP for step in STEP * np.eye(layout.size)])
    curvature = (curvature + curvature.T) / 2 + np.diag(Prior.of(layout, effect_sd=effect_sd).precision)
    values, vectors = np.linalg.eigh(curvature)
    result: FloatArray = (vectors / np.maximum(values, 1e-6 * values.max())) @ vectors.T
    return result


def draw_parameters(
    theta: FloatArray, covariance: FloatArray, *, count: int, rng: np.random.Generator
) -> FloatArray:
    """Draws from the normal approximation, shape (count, p)."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    result: FloatArray = theta + rng.standard_normal((count, theta.size)) @ root.T
    return result
