"""From a first guess to the optimum of each emission: starts on a subset, polish on everyone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attribution.incremental.latent.arrays import FloatArray
from attribution.incremental.latent.design import LatentInputs
from attribution.incremental.latent.layout import LEVELS, Emission, Layout
from attribution.incremental.latent.likelihood import Lives, evaluate
from attribution.incremental.latent.nodes import NodeGrid, lay_nodes
from attribution.incremental.latent.optimise import MAX_EVALUATIONS, Optimum, maximise

__all__ = ["Prior", "Solution", "find_lives", "log_likelihood", "search_on_nodes", "search_poisson"]

SUBSET = 3_000
"""Customers on which a search starts; the rest join once it is near its optimum."""
STARTS = (-3.5, -1.5)
"""Log-odds of leaving from which the search sets out; both have to arrive at the same place."""
LEVEL_GUESS = {
    "coupling": (0.0, 1.0),
    "logit stay on": (1.0, 2.0),
    "logit turn on": (-1.0, 2.0),
    "logit start on": (0.0, 2.0),
    "log off rate": (-2.0, 2.0),
}
"""Mean and standard deviation of the normal priors: weak, they keep an absent feature from running away."""


SHAPE_SD = 2.0
"""Prior standard deviation of the log shapes."""
SPREAD_GUESS, SPREAD_SD = float(np.log(0.2)), 1.0
"""Prior mean and standard deviation of the log sd of the frailty: small unless the data say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Independent normal priors that keep unsupported directions finite."""

    mean: FloatArray
    """Shape (p,)."""
    precision: FloatArray
    """Shape (p,)."""

    @classmethod
    def of(cls, layout: Layout, *, effect_sd: float) -> Prior:
        """N(0, effect_sd^2) on constants and slopes, weak on log shapes and on what an emission adds."""
        mean = np.zeros(layout.size)
        precision = np.full(layout.size, effect_sd**-2.0)
        precision[layout.shapes] = SHAPE_SD**-2.0
        mean[layout.spread], precision[layout.spread] = SPREAD_GUESS, SPREAD_SD**-2.0
        guesses = [LEVEL_GUESS[name] for name in LEVELS[layout.emission]]
        mean[layout.levels] = [guess for guess, _ in guesses]
        precision[layout.levels] = [sd**-2.0 for _, sd in guesses]
        return cls(mean=mean, precision=precision)

    def value(self, theta: FloatArray) -> float:
        """Log density up to a constant."""
        return float(-0.5 * (self.precision * (theta - self.mean) ** 2).sum())

    def gradient(self, theta: FloatArray) -> FloatArray:
        """Its gradient, shape (p,)."""
        return self.precision * (self.mean - theta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Optimum of one emission."""

    layout: Layout
    """Places of the parameters."""
    theta: FloatArray
    """Parameters, shape (p,)."""
    loglik: float
    """Weighted log-likelihood, without the prior."""
    evaluations: int
    """Likelihood evaluations, whatever the number of customers in them."""
    lives: Lives
    """Posterior of the customers fitted to."""
    grid: NodeGrid | None = None
    """Nodes at the optimum; None with the plain Poisson emission."""
    gap: float = 0.0
    """Log-likelihood by which the two starts differ on the subset."""


def search_poisson(
    inputs: LatentInputs,
    weights: FloatArray,
    *,
    effect_sd: float,
    start: FloatArray | None = None,
    tolerance: float = 1e-3,
) -> Solution:
    """Optimum with Poisson acts at their own level, in closed form."""
    layout = Layout.of(inputs, emission="poisson")
    gap, spent = 0.0, 0
    if start is None:
        few = slice(0, SUBSET)
        guesses = [_first_guess(inputs, layout, logit) for logit in STARTS]
        tries = [
            _climb(inputs.take(few), layout, weights[few], guess, None, effect_sd, tolerance)
            for guess in guesses
        ]
        best = max(tries, key=lambda found: found.value)
        gap = best.value - min(found.value for found in tries)
        start, spent = best.theta, sum(found.evaluations for found in tries)
    found = _climb(inputs, layout, weights, start, None, effect_sd, tolerance)
    loglik, lives = _posterior(inputs, layout, found.theta, None)
    return Solution(
        layout=layout,
        theta=found.theta,
        loglik=float(weights @ loglik),
        evaluations=spent + found.evaluations,
        lives=lives,
        gap=gap,
    )


def search_on_nodes(
    inputs: LatentInputs,
    weights: FloatArray,
    *,
    emission: Emission,
    start: FloatArray,
    lives: Lives,
    effect_sd: float,
    rounds: int = 1,
    tolerance: float = 1e-3,
    max_evaluations: int = MAX_EVALUATIONS,
) -> Solution:
    """Optimum of an emission that needs nodes; they are laid anew in each round.

    Parameters
    ----------
    inputs, weights
        Customers and their weights.
    emission
        "coupled" or "episodes".
    start
        Parameters of this emission or of a simpler one; what is missing starts at its prior mean.
    lives
        Where each customer's level is thought to be.
    effect_sd
        Standard deviation of the prior on slopes.
    rounds
        Times the nodes are laid and the likelihood climbed.
    tolerance
        Log-likelihood that may be left to gain.
    max_evaluations
        Evaluations in each round.
    """
    layout = Layout.of(inputs, emission=emission)
    missing = [LEVEL_GUESS[name][0] for name in LEVELS[emission]][start.size - layout.size :]
    theta = start if start.size == layout.size else np.concatenate([start, missing])
    spent = 0
    for _ in range(rounds):
        grid = lay_nodes(lives.log_level, lives.log_level_sd)
        found = _climb(inputs, layout, weights, theta, grid, effect_sd, tolerance, max_evaluations)
        theta, spent = found.theta, spent + found.evaluations
        _, lives = _posterior(inputs, layout, theta, grid)
    grid = lay_nodes(lives.log_level, lives.log_level_sd)
    loglik, lives = _posterior(inputs, layout, theta, grid)
    return Solution(
        layout=layout,
        theta=theta,
        loglik=float(weights @ loglik),
        evaluations=spent,
        lives=lives,
        grid=grid,
    )


def find_lives(
    inputs: LatentInputs, *, emission: Emission, theta: FloatArray, poisson: FloatArray, passes: int = 2
) -> Lives:
    """Posterior of every customer's dropout month at fixed parameters.

    Parameters
    ----------
    inputs
        Any customers.
    emission, theta
        The emission and its parameters.
    poisson
        Parameters of the plain Poisson emission: where nodes are first laid.
    passes
        Times the nodes are laid.
    """
    _, lives = _posterior(inputs, Layout.of(inputs, emission="poisson"), poisson, None)
    if emission == "poisson":
        return lives
    layout = Layout.of(inputs, emission=emission)
    for _ in range(passes):
        _, lives = _posterior(inputs, layout, theta, lay_nodes(lives.log_level, lives.log_level_sd))
    return lives


def log_likelihood(
    inputs: LatentInputs, *, emission: Emission, theta: FloatArray, poisson: FloatArray
) -> FloatArray:
    """Log-likelihood of every customer at fixed parameters, without terms that no parameter enters, (N,)."""
    grid = None
    if emission != "poisson":
        lives = find_lives(inputs, emission=emission, theta=theta, poisson=poisson)
        grid = lay_nodes(lives.log_level, lives.log_level_sd)
    loglik, _ = _posterior(inputs, Layout.of(inputs, emission=emission), theta, grid)
    return loglik


def _posterior(
    inputs: LatentInputs, layout: Layout, theta: FloatArray, grid: NodeGrid | None
) -> tuple[FloatArray, Lives]:
    found = evaluate(inputs, layout, theta, weights=np.ones(inputs.n_customers), grid=grid, want_lives=True)
    assert found.lives is not None
    return found.loglik, found.lives


def _climb(
    inputs: LatentInputs,
    layout: Layout,
    weights: FloatArray,
    start: FloatArray,
    grid: NodeGrid | None,
    effect_sd: float,
    tolerance: float,
    max_evaluations: int = MAX_EVALUATIONS,
) -> Optimum:
    prior = Prior.of(layout, effect_sd=effect_sd)

    def objective(theta: FloatArray) -> tuple[float, FloatArray]:
        found = evaluate(inputs, layout, theta, weights=weights, grid=grid)
        return float(weights @ found.loglik) + prior.value(theta), found.gradient + prior.gradient(theta)

    def scores(theta: FloatArray) -> FloatArray:
        found = evaluate(inputs, layout, theta, weights=weights, grid=grid, want_scores=True)
        assert found.scores is not None
        return found.scores

    return maximise(
        objective,
        scores,
        start,
        precision=prior.precision,
        tolerance=tolerance,
        max_evaluations=max_evaluations,
    )


def _first_guess(inputs: LatentInputs, layout: Layout, logit: float) -> FloatArray:
    """Rates as seen up to the last sign of life; no effects; this log-odds of leaving."""
    theta = np.zeros(layout.size)
    months = (inputs.last - inputs.entry + 1).sum()
    theta[layout.hazard.start] = logit
    theta[layout.purchase.start] = np.log(max(inputs.purchases.sum(), 1.0) / months)
    theta[layout.touch.start] = np.log(max(inputs.acts.sum(), 1.0) / months)
    theta[layout.spread] = SPREAD_GUESS
    return theta
