"""Compiled scores: the slope of one customer's bound in every parameter, in the order of the flat vector."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.gaussian import MAX_LOG_LEVEL, Blocks, is_level
from attribution.incremental.frailty.measurements import Predictors, Rows, Theta
from histories.compiled import compiled

Array = NDArray[np.float64]

_HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)


@compiled
def digamma(x: float) -> float:
    """Derivative of log gamma, x > 0: recurrence to 6, then asymptotic (Abramowitz & Stegun, section 6.3)."""
    value = 0.0
    while x < 6.0:
        value -= 1.0 / x
        x += 1.0
    inverse = 1.0 / (x * x)
    series = inverse * (1.0 / 12.0 - inverse * (1.0 / 120.0 - inverse * (1.0 / 252.0 - inverse / 240.0)))
    return value + math.log(x) - 0.5 / x - series


@compiled
def score_rows(
    i: int, rows: Rows, theta: Theta, mean_u: Array, mean_w: Array, p: Predictors, score: Array
) -> int:
    """Score of coefficients, months, stock effects and loadings; returns where the next block starts."""
    M = p.mean.shape[1]
    K = rows.covariates.shape[1]
    T, R = rows.period_covariates.shape[1:]
    C = rows.stocks.shape[2]
    start = rows.first[i]
    j = rows.who[i]
    at_z = M * K
    at_month = at_z + M * R
    at_stock = at_month + M * T
    at_load = at_stock + 2 * C
    for m in range(M):
        total = 0.0
        by_u = 0.0
        by_v = 0.0
        for t in range(start, rows.stop[i]):
            slope = p.residual[t, m]
            info = p.information[t, m]
            total += slope
            score[at_month + m * T + t] = slope
            by_u += slope * mean_u[t - start if theta.dynamic else 0] - info * p.cov_u[t, m]
            by_v += slope * mean_w[0] - info * p.cov_v[t, m]
            for r in range(R):
                score[at_z + m * R + r] += slope * rows.period_covariates[j, t, r]
            if m < 2:
                for c in range(C):
                    score[at_stock + m * C + c] += slope * rows.stocks[j, t, c]
        for k in range(K):
            score[m * K + k] = total * rows.covariates[j, k]
        score[at_load + 2 * m] = by_u
        score[at_load + 2 * m + 1] = by_v
    end: int = at_load + 2 * M
    return end


@compiled
def score_priors(
    n: int, at: int, theta: Theta, mean_u: Array, mean_w: Array, b: Blocks, score: Array
) -> float:
    """Expected log-density of the latents' priors, and its score in log variances and atanh(rho)."""
    S = mean_w.shape[0]
    value: float = -0.5 * (mean_u[0] * mean_u[0] + b.var_u[0])
    for s in range(S):
        variance = theta.latent_variances[s]
        if theta.gamma_levels and is_level(s, S):
            shape = 1.0 / variance
            rate = math.exp(min(mean_w[s] + 0.5 * b.corner[s, s], MAX_LOG_LEVEL))
            value += shape * (math.log(shape) + mean_w[s] - rate) - math.lgamma(shape) + _HALF_LOG_2_PI
            score[at + s] = -shape * (math.log(shape) + 1.0 - digamma(shape) + mean_w[s] - rate)
        else:
            square = (mean_w[s] * mean_w[s] + b.corner[s, s]) / variance
            value -= 0.5 * (math.log(variance) + square)
            score[at + s] = 0.5 * (square - 1.0)
    if n > 1:
        rho = theta.rho
        s11 = 0.0
        s10 = 0.0
        s00 = 0.0
        for j in range(n - 1):
            s00 += mean_u[j] * mean_u[j] + b.var_u[j]
            s10 += mean_u[j] * mean_u[j + 1] + b.lag_u[j]
            s11 += mean_u[j + 1] * mean_u[j + 1] + b.var_u[j + 1]
        gap = 1.0 - rho * rho
        form = (s11 - 2.0 * rho * s10 + rho * rho * s00) / gap
        value -= 0.5 * ((n - 1) * math.log(gap) + form)
        score[at + S] = (n - 1) * rho + (s10 - rho * s00) - rho * form
    return value


@compiled
def score_proxies(
    i: int, n: int, at: int, rows: Rows, theta: Theta, mean_u: Array, b: Blocks, score: Array
) -> float:
    """Expected log-density of the proxies of life i's customer, and its score."""
    value = 0.0
    measured = rows.proxies[rows.who[i]]
    j = n - 1 if rows.proxy_last else 0
    for q in range(rows.proxies.shape[1]):
        if not math.isnan(measured[q]):
            precision = math.exp(-theta.proxies[q, 2])
            slope = theta.proxies[q, 1]
            error = measured[q] - theta.proxies[q, 0] - slope * mean_u[j]
            square = error * error + slope * slope * b.var_u[j]
            value -= 0.5 * (theta.proxies[q, 2] + square * precision)
            score[at + 3 * q] = error * precision
            score[at + 3 * q + 1] = (error * mean_u[j] - slope * b.var_u[j]) * precision
            score[at + 3 * q + 2] = 0.5 * (square * precision - 1.0)
    return value
