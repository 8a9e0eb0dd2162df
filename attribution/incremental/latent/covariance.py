"""Sandwich covariance of the estimated parameters, and draws from it."""

from __future__ import annotations

import numpy as np

from attribution.incremental.latent.arrays import FloatArray
from attribution.incremental.latent.design import LatentInputs
from attribution.incremental.latent.likelihood import evaluate
from attribution.incremental.latent.search import Prior, Solution

__all__ = ["draw_parameters", "sandwich_covariance"]

CURVATURE_CUSTOMERS = 4_000
"""The curvature is measured on at most so many customers; the scores on all."""
STEP = 1e-5
"""Step of the differences of the gradient, in units of the parameter."""


def sandwich_covariance(inputs: LatentInputs, solution: Solution, *, effect_sd: float) -> FloatArray:
    """H^-1 J H^-1 (Huber 1967; White 1982): robust to a likelihood that is only nearly right.

    J is the outer product of the customers' scores, so the months of one customer may depend on each other.
    H is the curvature of the penalised log-likelihood by differences of its exact gradient.
    """
    layout, theta = solution.layout, solution.theta
    scores = evaluate(
        inputs, layout, theta, weights=np.ones(inputs.n_customers), grid=solution.grid, want_scores=True
    ).scores
    assert scores is not None
    few = slice(0, CURVATURE_CUSTOMERS)
    sample = inputs.take(few)
    grid = None if solution.grid is None else solution.grid.take(few)
    weights = np.full(sample.n_customers, inputs.n_customers / sample.n_customers)

    def gradient(at: FloatArray) -> FloatArray:
        return evaluate(sample, layout, at, weights=weights, grid=grid).gradient

    here = gradient(theta)
    curvature = np.stack([(here - gradient(theta + step)) / STEP for step in STEP * np.eye(layout.size)])
    curvature = (curvature + curvature.T) / 2 + np.diag(Prior.of(layout, effect_sd=effect_sd).precision)
    values, vectors = np.linalg.eigh(curvature)
    floor = 1e-6 * values.max()
    inverse = (vectors / np.maximum(values, floor)) @ vectors.T
    result: FloatArray = inverse @ (scores.T @ scores) @ inverse
    return result


def draw_parameters(
    theta: FloatArray, covariance: FloatArray, *, count: int, rng: np.random.Generator
) -> FloatArray:
    """Draws from the normal approximation, shape (count, p)."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    result: FloatArray = theta + rng.standard_normal((count, theta.size)) @ root.T
    return result
