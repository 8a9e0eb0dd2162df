"""The zero-effect placebo of the joint model: its own company without effects, fitted and credited again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from attribution.incremental.checks.placebo import Imitation, PlaceboCheck, placebo_of
from attribution.incremental.frailty.data import log_arrival
from attribution.incremental.joint.fitted import JointDropoutFit, posterior_of
from attribution.incremental.joint.search import JointProblem
from histories.panel import Panel

__all__ = ["run_joint_placebo", "without_effects"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]

CUSTOMERS = 12_000
"""Customers simulated in all."""
ITERATIONS = 15
"""Bound on the steps of the climb, which starts from the model that made the company."""
MOST_LOG_RATE = 6.0
"""Bound on a simulated log rate."""


def run_joint_placebo(
    fit: JointDropoutFit,
    panel: Panel,
    stocks: Single,
    *,
    rng: np.random.Generator,
    customers: int = CUSTOMERS,
) -> PlaceboCheck:
    """Simulate from the fit with every effect at zero, fit the joint model again, credit.

    See `attribution.incremental.checks.placebo.placebo_of`.
    """
    imitation = Imitation(
        without_effects=lambda few, few_stocks, rng: without_effects(fit, few, few_stocks, rng=rng),
        again=lambda few, few_stocks: _again(fit, few, few_stocks),
        beta_sd=fit.beta_sd,
        gamma_sd=fit.gamma_sd,
        n=fit.n_customers,
        decay=fit.design.life.decay,
    )
    return placebo_of(imitation, panel, stocks, rng=rng, customers=customers)


def without_effects(fit: JointDropoutFit, panel: Panel, stocks: Single, *, rng: np.random.Generator) -> Panel:
    """The same customers simulated from the fit with every channel effect set to zero.

    Constants are moved so that leaving and buying stay as frequent as they were. What the firm sends, and
    problems, stay as they were; touches of the customer's own stop at dropout as in life.
    """
    fixed = _fixed(fit, panel, stocks)
    u, w = _latents(fit, panel, rng)
    p, periods = fit.parameters, panel.n_periods
    own = np.flatnonzero(fit.design.life.own)
    channels = [*own.tolist(), len(fit.channels)]
    rows = np.arange(panel.n_customers)
    here = np.ones(panel.n_customers, dtype=bool)
    touches = np.array(panel.touches, dtype=np.float32)
    touches[:, :, own] = 0.0
    other, purchases = np.zeros((2, panel.n_customers, periods))
    used = np.array(fit.design.use)
    for t in range(periods):
        active = here & (t >= panel.entry)
        at = p.loadings[:, 0] * u[:, t, None] + p.loadings[:, 1] * w[:, :1]
        before = np.log1p(purchases[:, t - 1]) if t else np.zeros(panel.n_customers)
        drawn = fixed[:, t] + at + before[:, None] * p.period_covariates[:, -1]
        purchases[:, t] = rng.poisson(_rate(drawn[:, 1] + w[:, -1]) * active)
        for c in channels:
            acts = rng.poisson(_rate(drawn[:, 2 + c] + w[:, 1 + c]) * active * used[2 + c])
            if c < len(fit.channels):
                touches[:, t, c] = acts
            else:
                other[:, t] = acts
        here &= ~(active & (rng.random(panel.n_customers) < expit(drawn[:, 0])))
    if fit.design.life.enters_by_purchase:
        purchases[rows, panel.entry] += 1.0
    return replace(
        panel,
        touches=touches,
        own_acts=touches[:, :, own].sum(axis=2) + other,
        purchases=purchases,
        spend=purchases * fit.life.value_per_purchase,
        margin=None,
    )


def _again(fit: JointDropoutFit, panel: Panel, stocks: Single) -> JointDropoutFit:
    """The model fitted to an imitation, from where it stands but without effects."""
    problem = JointProblem.of(
        panel, stocks, fit.design, fit.life, weights=np.ones(panel.n_customers), max_iterations=ITERATIONS
    )
    start = replace(fit.parameters, stocks=np.zeros_like(fit.parameters.stocks))
    found = problem.climb(start, None, dynamic=fit.dynamic)
    return replace(fit, parameters=found.parameters, influence=None)


def _fixed(fit: JointDropoutFit, panel: Panel, stocks: Single) -> Array:
    """Linear predictors without latents, effects and earlier purchases, shape (N, P, M)."""
    p = fit.parameters
    columns = fit.design.period_columns(panel)
    columns[:, :, -1] = 0.0
    fixed = columns @ p.period_covariates.T
    fixed += (fit.design.columns.static_columns(panel) @ p.covariates.T)[:, None, :]
    fixed[np.arange(panel.n_customers), panel.entry] += log_arrival(panel)[:, None]
    data, posterior = posterior_of(fit, panel, stocks)
    there = posterior.mean(data.at_risk.astype(np.float64))
    pushes = np.asarray(stocks, dtype=np.float64) @ np.stack([fit.beta, fit.gamma], axis=1)
    fixed[:, :, :2] += (there[:, :, None] * pushes).sum(axis=(0, 1)) / there.sum()
    return np.asarray(fixed, dtype=np.float64)


def _latents(fit: JointDropoutFit, panel: Panel, rng: np.random.Generator) -> tuple[Array, Array]:
    """Satisfaction by period, shape (N, P), and (v, eta, xi), shape (N, C + 3), from their priors."""
    n, periods = panel.spend.shape
    u = rng.standard_normal((n, periods))
    rho = fit.rho
    for t in range(1, periods):
        u[:, t] = rho * u[:, t - 1] + np.sqrt(1.0 - rho**2) * u[:, t]
    variances = fit.parameters.latent_variances
    w = rng.standard_normal((n, len(variances))) * np.sqrt(variances)
    for level in (0, -1):
        shape = 1.0 / variances[level]
        w[:, level] = np.log(np.maximum(rng.gamma(shape, 1.0 / shape, n), 1e-300))
    return u, w


def _rate(log_rate: Array) -> Array:
    result: Array = np.exp(np.minimum(log_rate, MOST_LOG_RATE))
    return result
