"""Compiled passes over customers: the variational posterior, its bound and score, and draws from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.gaussian import (
    Blocks,
    covariances,
    draw,
    eliminate,
    keep_levels,
    new_blocks,
    newton_step,
    start_from_prior,
)
from attribution.incremental.frailty.measurements import (
    Predictors,
    Rows,
    Theta,
    add_proxies,
    add_rows,
    expect,
    new_predictors,
    predict,
    predict_fixed,
    spread,
)
from attribution.incremental.frailty.scores import score_priors, score_proxies, score_rows
from histories.compiled import compiled

Array = NDArray[np.float64]


@compiled
def _factorise(
    i: int,
    n: int,
    rows: Rows,
    theta: Theta,
    mean_u: Array,
    mean_w: Array,
    var_w: Array,
    variance: Array,
    p: Predictors,
    b: Blocks,
) -> float:
    """Precision and gradient of the posterior of life i at its present mean, eliminated."""
    predict(i, rows, theta, mean_u, mean_w, p)
    expect(i, rows, theta, variance, p)
    start_from_prior(n, theta.rho, theta.latent_variances, theta.gamma_levels, mean_u, mean_w, var_w, b)
    add_rows(i, rows, theta, p, b)
    add_proxies(i, n, rows, theta, mean_u, b)
    logdet: float = eliminate(n, b)
    return logdet


@compiled
def improve_posteriors(
    rows: Rows,
    theta: Theta,
    weights: Array,
    steps: int,
    cap: float,
    mean_u: Array,
    mean_w: Array,
    var_w: Array,
    variance: Array,
    bound: Array,
    dispersion: Array,
    score: NDArray[np.float32],
    slope: Array,
) -> float:
    """Improve every life's posterior by Newton steps, then evaluate bound and score there.

    mean_u (N, T), counted from the life's first period, mean_w and var_w (N, S) and variance (N, T, M)
    are updated in place; bound (N,), dispersion (N, 2), score (N, p) and its weighted sum slope (p,)
    are written. Returns the largest last Newton step.
    """
    N = rows.who.shape[0]
    T = rows.spend.shape[1]
    M = theta.loadings.shape[0]
    S = mean_w.shape[1]
    p = new_predictors(T, M)
    b = new_blocks(T, S)
    own = np.zeros(score.shape[1])
    slope[:] = 0.0
    largest = 0.0
    for i in range(N):
        n = rows.stop[i] - rows.first[i] if theta.dynamic else 1
        u = mean_u[i]
        w = mean_w[i]
        predict_fixed(i, rows, theta, p.fixed)
        logdet = 0.0
        moved = 0.0
        for _ in range(steps):
            logdet = _factorise(i, n, rows, theta, u, w, var_w[i], variance[i], p, b)
            moved = newton_step(n, cap, u, w, b)
            covariances(n, b)
            keep_levels(theta.gamma_levels, w, var_w[i], b)
            spread(i, rows, theta, variance[i], p, b)
        largest = max(largest, moved)
        predict(i, rows, theta, u, w, p)
        value, dispersion[i, 0], dispersion[i, 1] = expect(i, rows, theta, variance[i], p)
        own[:] = 0.0
        at = score_rows(i, rows, theta, u, w, p, own)
        value += score_priors(n, at, theta, u, w, b, own)
        value += score_proxies(i, n, at + S + 1, rows, theta, u, b, own)
        for k in range(own.shape[0]):
            slope[k] += weights[i] * own[k]
            score[i, k] = own[k]
        bound[i] = value - 0.5 * logdet + 0.5 * (n + S)
    return largest


@compiled
def draw_offsets(
    rows: Rows,
    theta: Theta,
    mean_u: Array,
    mean_w: Array,
    var_w: Array,
    variance: Array,
    noise: Array,
    leaving: NDArray[np.float32],
    spending: NDArray[np.float32],
) -> None:
    """Draw latents from every posterior and return what they say of leaving and spend.

    noise (Q, N, T + S) is standard normal. leaving and spending (Q, N, T) receive the linear predictors
    without stocks: log-odds of leaving and log mean spend.
    """
    N = rows.who.shape[0]
    T = rows.spend.shape[1]
    M = theta.loadings.shape[0]
    S = mean_w.shape[1]
    p = new_predictors(T, M)
    b = new_blocks(T, S)
    u = np.zeros(T)
    w = np.zeros(S)
    for i in range(N):
        start = rows.first[i]
        n = rows.stop[i] - start if theta.dynamic else 1
        predict_fixed(i, rows, theta, p.fixed)
        _factorise(i, n, rows, theta, mean_u[i], mean_w[i], var_w[i], variance[i], p, b)
        for q in range(noise.shape[0]):
            draw(n, noise[q, i, :T], noise[q, i, T:], mean_u[i], mean_w[i], u, w, b)
            for t in range(start, rows.stop[i]):
                at = u[t - start if theta.dynamic else 0]
                by_stock_0 = 0.0
                by_stock_1 = 0.0
                for c in range(rows.stocks.shape[2]):
                    by_stock_0 += theta.stocks[0, c] * rows.stocks[rows.who[i], t, c]
                    by_stock_1 += theta.stocks[1, c] * rows.stocks[rows.who[i], t, c]
                leaving[q, i, t] = (
                    p.fixed[t, 0] - by_stock_0 + theta.loadings[0, 0] * at + theta.loadings[0, 1] * w[0]
                )
                spending[q, i, t] = (
                    p.fixed[t, 1]
                    - by_stock_1
                    + theta.loadings[1, 0] * at
                    + theta.loadings[1, 1] * w[0]
                    + w[S - 1]
                )
