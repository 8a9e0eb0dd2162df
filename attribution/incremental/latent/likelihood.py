"""Log-likelihood of the latent dropout model and its gradient, for every touch emission.

The gradient is exact (Fisher's identity for the closed form; reverse differentiation of the filter on nodes)
and is compared with finite differences in the tests. Parameters are on the optimiser's scale: log shapes,
logit probabilities, log rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammaln, polygamma, psi

from attribution.incremental.latent.arrays import FloatArray
from attribution.incremental.latent.design import LatentInputs
from attribution.incremental.latent.dropout_sums import closed_form_kernel, level_nodes_kernel
from attribution.incremental.latent.layout import Layout, Predictors, cell_gradient, predictors, row_scores
from attribution.incremental.latent.nodes import NodeGrid, frailty_nodes, log_level_prior, log_level_score

__all__ = ["Evaluation", "Lives", "evaluate"]

MAX_LOG_SHAPE = 10.0
"""Bound on log shapes: the prior holds a level that never varies far below, so only wild steps meet it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """Posterior of each customer's dropout month and levels."""

    dropout: FloatArray
    """q_i(d): probability of leaving at the end of period d, last column of being there, shape (N, P+1)."""
    exposure: FloatArray
    """B_it = sum over d >= t of q_i(d) E[purchase level | d], shape (N, P)."""
    ends: FloatArray
    """q_i(P) times the mean, given that the customer is there still, of the purchase level, of the level of
    own acts, and of being on, shape (N, 3)."""
    frailty: FloatArray
    """Posterior weight of each node of the frailty of leaving, shape (N, K)."""
    frailty_there: FloatArray
    """q_i(P) times that weight given that the customer is there still, shape (N, K)."""
    leaving: FloatArray
    """Expected number of leavings by the hazard, sum over t of P(there in t) h_it, shape (N,)."""
    log_level: FloatArray
    """Posterior mean of the log level of own acts, shape (N,)."""
    log_level_sd: FloatArray
    """Posterior standard deviation of it, shape (N,)."""

    @property
    def survival(self) -> FloatArray:
        """Probability of being a customer still, shape (N,)."""
        return self.dropout[:, -1]

    @property
    def presence(self) -> FloatArray:
        """Probability of being a customer at the start of each period and after the last, shape (N, P+1)."""
        result: FloatArray = np.cumsum(self.dropout[:, ::-1], axis=1)[:, ::-1]
        return result

    @property
    def end_means(self) -> FloatArray:
        """`ends` given that the customer is there still, shape (N, 3)."""
        result: FloatArray = self.ends / np.maximum(self.survival, 1e-300)[:, None]
        return result

    @property
    def alive(self) -> FloatArray:
        """A_it, the probability of being a customer in period t, shape (N, P)."""
        return self.presence[:, :-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The likelihood at one parameter vector."""

    loglik: FloatArray
    """Log-likelihood of each customer, unweighted, shape (N,)."""
    gradient: FloatArray
    """Weighted gradient, shape (layout.size,)."""
    scores: FloatArray | None
    """Gradient of each customer (weighted), shape (N, layout.size), when asked for."""
    lives: Lives | None
    """Posterior, when asked for."""


def evaluate(
    inputs: LatentInputs,
    layout: Layout,
    theta: FloatArray,
    *,
    weights: FloatArray,
    grid: NodeGrid | None,
    want_scores: bool = False,
    want_lives: bool = False,
) -> Evaluation:
    """Log-likelihood, gradient and, on request, scores and posterior.

    Parameters
    ----------
    inputs, layout, theta
        Data, places of the parameters, parameters of shape (layout.size,).
    weights
        Weight of each customer, shape (N,).
    grid
        Nodes for the level of own acts; not used by the plain Poisson emission.
    want_scores, want_lives
        Whether each customer's gradient, and the posterior, are returned too.
    """
    linear = predictors(inputs, layout, theta)
    shapes = np.exp(np.clip(theta[layout.shapes], -MAX_LOG_SHAPE, MAX_LOG_SHAPE))
    if layout.emission != "poisson":
        assert grid is not None  # the search lays nodes before it asks for another emission
        return _evaluate_on_nodes(
            inputs, layout, theta, linear, shapes, weights, grid, want_scores, want_lives
        )
    return _evaluate_closed_form(inputs, layout, theta, linear, shapes, weights, want_scores, want_lives)


def _evaluate_closed_form(
    inputs: LatentInputs,
    layout: Layout,
    theta: FloatArray,
    linear: Predictors,
    shapes: FloatArray,
    weights: FloatArray,
    want_scores: bool,
    want_lives: bool,
) -> Evaluation:
    r, s = float(shapes[0]), float(shapes[1])
    loglik, d_eta, d_log_e, d_log_m, moments, by_spread, frailty, dropout, exposure, ends = (
        closed_form_kernel(
            linear.eta,
            linear.log_e,
            linear.log_m,
            inputs.purchases,
            inputs.acts,
            inputs.entry,
            inputs.last,
            weights,
            *frailty_nodes(theta[layout.spread]),
            r,
            s,
            want_lives,
        )
    )
    x, n = inputs.purchases.sum(axis=1), inputs.acts.sum(axis=1)
    loglik = loglik + _level_constant(r, x) + _level_constant(s, n)
    by_rest = np.column_stack(
        [
            _shape_score(r, x, moments[:, 0], moments[:, 1]),
            _shape_score(s, n, moments[:, 2], moments[:, 3]),
            *([by_spread] if layout.frailty else []),
        ]
    )
    derivative = Predictors(eta=d_eta, log_e=d_log_e, log_m=d_log_m)
    lives = None
    if want_lives:
        spread = np.maximum(moments[:, 4] - moments[:, 2] ** 2, 0.0)
        lives = Lives(
            dropout=dropout,
            exposure=exposure,
            ends=ends[:, :3],
            frailty=frailty,
            frailty_there=ends[:, 3:],
            leaving=_expected_leaving(dropout, d_eta, weights),
            log_level=psi(s + n) - moments[:, 2],
            log_level_sd=np.sqrt(_trigamma(s + n) + spread),
        )
    return _assemble(inputs, layout, loglik, derivative, by_rest, weights, want_scores, lives)


def _evaluate_on_nodes(
    inputs: LatentInputs,
    layout: Layout,
    theta: FloatArray,
    linear: Predictors,
    shapes: FloatArray,
    weights: FloatArray,
    grid: NodeGrid,
    want_scores: bool,
    want_lives: bool,
) -> Evaluation:
    r, s = float(shapes[0]), float(shapes[1])
    coupling = float(theta[layout.levels.start])
    episodes = layout.emission == "episodes"
    spells = theta[layout.levels][1:] if episodes else np.zeros(4)
    chance = expit(spells[:3])
    stay_on, turn_on, start_on = chance.tolist()
    deviation, share = frailty_nodes(theta[layout.spread])
    loglik, d_eta, d_log_e, d_log_m, scores, by_spread, nodes, frailty, dropout, exposure, ends = (
        level_nodes_kernel(
            linear.eta,
            linear.log_e,
            linear.log_m,
            inputs.purchases,
            inputs.acts,
            inputs.entry,
            inputs.last,
            weights,
            deviation,
            share,
            grid.log_kappa,
            grid.log_base + log_level_prior(grid.log_kappa, s),
            r,
            coupling,
            stay_on,
            turn_on,
            start_on,
            float(spells[3]),
            episodes,
            want_lives,
        )
    )
    x = inputs.purchases.sum(axis=1)
    loglik = loglik + _level_constant(r, x)
    slope = chance * (1.0 - chance)
    by_rest = np.column_stack(
        [
            _shape_score(r, x, scores[:, 0], scores[:, 1]),
            (nodes * log_level_score(grid.log_kappa, s)).sum(axis=1),
            *([by_spread] if layout.frailty else []),
            scores[:, 2],
            *([scores[:, 3:6] * slope, scores[:, 6]] if episodes else []),
        ]
    )
    derivative = Predictors(eta=d_eta, log_e=d_log_e, log_m=d_log_m)
    lives = None
    if want_lives:
        mean = (nodes * grid.log_kappa).sum(axis=1)
        spread = np.maximum((nodes * grid.log_kappa**2).sum(axis=1) - mean**2, 1e-4)
        lives = Lives(
            dropout=dropout,
            exposure=exposure,
            ends=ends[:, :3],
            frailty=frailty,
            frailty_there=ends[:, 3:],
            leaving=_expected_leaving(dropout, d_eta, weights),
            log_level=mean,
            log_level_sd=np.sqrt(spread),
        )
    return _assemble(inputs, layout, loglik, derivative, by_rest, weights, want_scores, lives)


def _assemble(
    inputs: LatentInputs,
    layout: Layout,
    loglik: FloatArray,
    derivative: Predictors,
    by_rest: FloatArray,
    weights: FloatArray,
    want_scores: bool,
    lives: Lives | None,
) -> Evaluation:
    gradient = np.concatenate([cell_gradient(inputs, layout, derivative), weights @ by_rest])
    scores = None
    if want_scores:
        scores = np.concatenate([row_scores(inputs, derivative), weights[:, None] * by_rest], axis=1)
    return Evaluation(loglik=loglik, gradient=gradient, scores=scores, lives=lives)


def _expected_leaving(dropout: FloatArray, d_eta: FloatArray, weights: FloatArray) -> FloatArray:
    """Sum over periods of P(there) times hazard: the score of eta is P(leaving) less that."""
    result: FloatArray = dropout[:, :-1].sum(axis=1) - d_eta.sum(axis=1) / weights
    return result


def _level_constant(shape: float, total: FloatArray) -> FloatArray:
    """Constant log Gamma(shape + total) - log Gamma(shape) + shape log shape."""
    result: FloatArray = gammaln(shape + total) - gammaln(shape) + shape * np.log(shape)
    return result


def _shape_score(
    shape: float, total: FloatArray, mean_log: FloatArray, mean_inverse: FloatArray
) -> FloatArray:
    """Derivative of the gamma-mixed Poisson log-likelihood by log shape, for a level of mean one."""
    by_rest = psi(shape + total) - psi(shape) + np.log(shape) + 1.0
    result: FloatArray = shape * (by_rest - mean_log - (shape + total) * mean_inverse)
    return result


def _trigamma(value: FloatArray) -> FloatArray:
    result: FloatArray = polygamma(1, value)
    return result
