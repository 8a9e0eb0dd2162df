"""Compiled expectations of what is measured, given the Gaussian posterior of one customer.

Measurements are columns m of every (period, measurement) array:
0 leaving (Bernoulli), 1 spend (quasi-likelihood: Gamma, or Poisson where many periods are without), 2..C+1
touches (Poisson), C+2 problem (Bernoulli).
All expectations are under the Gaussian posterior; `residual` and `information` are the slope and minus the
curvature of the expected log-likelihood in each linear predictor, from which every derivative follows
(Stein's lemma): E[u f'(eta)] = E[u] residual - Cov(u, eta) information.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.gaussian import Blocks
from histories.compiled import compiled

Array = NDArray[np.float64]

_NODE = math.sqrt(3.0)  # Gauss-Hermite with three nodes: weights 1/6, 2/3, 1/6
_SMALL = 0.5  # variance up to which an expansion is as good as the nodes
_MAX_ETA = 25.0  # beyond this a rate is a wrong start, not a rate


class Rows(NamedTuple):
    """The data: L lives of N customers, T periods, C channels, K and R covariates, J proxies.

    A life is a customer with a first and a last period. Where leaving is recorded every customer has one;
    where it is not, one for each month in which it may have ended.
    """

    who: NDArray[np.int64]  # (L,) the customer of each life
    first: NDArray[np.int64]  # (L,) first period
    stop: NDArray[np.int64]  # (L,) one past the last period
    left: NDArray[np.bool_]  # (L,) whether it ends with leaving
    log_share: Array  # (L,) log of the share of its last period that was lived through, 0 for all of it
    log_arrival: Array  # (N,) log of the share of its first period that was lived through, 0 for all of it
    spend: Array  # (N, T) currency
    touches: Array  # (N, T, C) counts
    covariates: Array  # (N, K), the first 1
    period_covariates: Array  # (N, T, R), the first the problem flag
    stocks: Array  # (N, T, C)
    proxies: Array  # (N, J), NaN where missing
    use: NDArray[np.bool_]  # (M,) measurements with any variation
    compound: bool  # spend is a count times a value, with many zeros: variance in proportion to the mean
    proxy_last: bool  # proxies measure the last period, not the first


class Theta(NamedTuple):
    """Parameters, as in `attribution.incremental.frailty.parameters.Parameters`."""

    covariates: Array
    period_covariates: Array
    months: Array
    stocks: Array
    loadings: Array
    latent_variances: Array
    gamma_levels: bool  # exp(v) and exp(xi) are gamma with mean 1, not log-normal
    rho: float
    shape_of_spend: float
    proxies: Array
    dynamic: bool


class Predictors(NamedTuple):
    """Scratch space of one customer, each (T, M)."""

    fixed: Array
    mean: Array
    residual: Array
    information: Array
    cov_u: Array
    cov_v: Array


@compiled
def new_predictors(T: int, M: int) -> Predictors:
    """Return an empty workspace of T periods and M measurements."""
    return Predictors(
        np.zeros((T, M)),
        np.zeros((T, M)),
        np.zeros((T, M)),
        np.zeros((T, M)),
        np.zeros((T, M)),
        np.zeros((T, M)),
    )


@compiled
def _bernoulli(mean: float, variance: float) -> tuple[float, float, float]:
    """E log(1 + exp(eta)), E sigma(eta) and E sigma'(eta) for eta ~ N(mean, variance).

    A small variance takes the expansion to the fourth derivative, which for the softplus are polynomials in
    sigma; a large one takes three Gauss-Hermite nodes.
    """
    if variance < _SMALL:
        small = math.exp(-abs(mean))
        sigma = 1.0 / (1.0 + small) if mean >= 0 else small / (1.0 + small)
        q = sigma * (1.0 - sigma)
        r = 1.0 - 2.0 * sigma
        half = 0.5 * variance
        fourth = 0.5 * half * half
        bound = max(mean, 0.0) + math.log1p(small) + half * q + fourth * q * (1.0 - 6.0 * q)
        first = sigma + half * q * r + fourth * q * r * (1.0 - 12.0 * q)
        second = q + half * q * (1.0 - 6.0 * q) + fourth * q * (1.0 - 30.0 * q + 120.0 * q * q)
        return bound, first, max(second, 0.1 * q)
    spread = _NODE * math.sqrt(variance)
    bound = 0.0
    first = 0.0
    second = 0.0
    for node in range(3):
        eta = mean + (node - 1) * spread
        weight = 2.0 / 3.0 if node == 1 else 1.0 / 6.0
        small = math.exp(-abs(eta))
        sigma = 1.0 / (1.0 + small) if eta >= 0 else small / (1.0 + small)
        bound += weight * (max(eta, 0.0) + math.log1p(small))
        first += weight * sigma
        second += weight * sigma * (1.0 - sigma)
    return bound, first, second


@compiled
def frailty_of(m: int, S: int) -> int:
    """Position in w of the frailty of measurement m (spend or touches)."""
    return S - 1 if m == 1 else m - 1


@compiled
def predict_fixed(i: int, rows: Rows, theta: Theta, out: Array) -> None:
    """The part of every linear predictor of life i that holds no latent."""
    M = out.shape[1]
    j = rows.who[i]
    for m in range(M):
        base = 0.0
        for k in range(rows.covariates.shape[1]):
            base += theta.covariates[m, k] * rows.covariates[j, k]
        for t in range(rows.first[i], rows.stop[i]):
            value = base + theta.months[m, t]
            for r in range(1 if m == M - 1 else 0, rows.period_covariates.shape[2]):
                value += theta.period_covariates[m, r] * rows.period_covariates[j, t, r]
            if m > 0 and t == rows.stop[i] - 1:
                value += rows.log_share[i]
            if t == rows.first[i]:
                value += rows.log_arrival[j]
            if m < 2:
                for c in range(rows.stocks.shape[2]):
                    value += theta.stocks[m, c] * rows.stocks[j, t, c]
            out[t, m] = value


@compiled
def predict(i: int, rows: Rows, theta: Theta, mean_u: Array, mean_w: Array, p: Predictors) -> None:
    """Posterior mean of every linear predictor."""
    M = p.fixed.shape[1]
    S = mean_w.shape[0]
    for t in range(rows.first[i], rows.stop[i]):
        u = mean_u[t - rows.first[i] if theta.dynamic else 0]
        for m in range(M):
            value = p.fixed[t, m] + theta.loadings[m, 0] * u + theta.loadings[m, 1] * mean_w[0]
            if 0 < m < M - 1:
                value += mean_w[frailty_of(m, S)]
            p.mean[t, m] = value


@compiled
def expect(i: int, rows: Rows, theta: Theta, variance: Array, p: Predictors) -> tuple[float, float, float]:
    """Expected log-likelihood of life i's rows; sums over them of (y/m - 1)^2 and of log m + y/m."""
    last = p.mean.shape[1] - 1
    j = rows.who[i]
    nu = theta.shape_of_spend
    value = 0.0
    dispersion = 0.0
    deviance = 0.0
    for t in range(rows.first[i], rows.stop[i]):
        if rows.use[0]:
            bound, first, second = _bernoulli(p.mean[t, 0], variance[t, 0])
            leaves = 1.0 if rows.left[i] and t == rows.stop[i] - 1 else 0.0
            value += leaves * p.mean[t, 0] - bound
            p.residual[t, 0] = leaves - first
            p.information[t, 0] = second
        if rows.use[1]:
            y = rows.spend[j, t]
            if rows.compound:
                expected = math.exp(min(p.mean[t, 1] + 0.5 * variance[t, 1], _MAX_ETA))
                deviance += expected - y * p.mean[t, 1]
                p.residual[t, 1] = nu * (y - expected)
                p.information[t, 1] = nu * expected
                dispersion += (y - expected) * (y - expected) / expected
            else:
                ratio = y * math.exp(min(0.5 * variance[t, 1] - p.mean[t, 1], _MAX_ETA))
                deviance += p.mean[t, 1] + ratio
                p.residual[t, 1] = nu * (ratio - 1.0)
                p.information[t, 1] = nu * ratio
                square = ratio * ratio * math.exp(min(variance[t, 1], _MAX_ETA))
                dispersion += square - 2.0 * ratio + 1.0
        for m in range(2, last):
            if rows.use[m]:
                rate = math.exp(min(p.mean[t, m] + 0.5 * variance[t, m], _MAX_ETA))
                count = rows.touches[j, t, m - 2]
                value += count * p.mean[t, m] - rate
                p.residual[t, m] = count - rate
                p.information[t, m] = rate
        if rows.use[last]:
            bound, first, second = _bernoulli(p.mean[t, last], variance[t, last])
            value += rows.period_covariates[j, t, 0] * p.mean[t, last] - bound
            p.residual[t, last] = rows.period_covariates[j, t, 0] - first
            p.information[t, last] = second
    return value - nu * deviance, dispersion, deviance


@compiled
def add_rows(i: int, rows: Rows, theta: Theta, p: Predictors, b: Blocks) -> None:
    """Add what the rows of life i say to precision and gradient."""
    M = p.mean.shape[1]
    S = b.corner.shape[0]
    start = rows.first[i]
    for t in range(start, rows.stop[i]):
        j = t - start if theta.dynamic else 0
        for m in range(M):
            info = p.information[t, m]
            slope = p.residual[t, m]
            bu = theta.loadings[m, 0]
            bv = theta.loadings[m, 1]
            b.diagonal[j] += bu * bu * info
            b.gradient_u[j] += bu * slope
            b.border[j, 0] += bu * bv * info
            b.corner[0, 0] += bv * bv * info
            b.gradient_w[0] += bv * slope
            if 0 < m < M - 1:
                s = frailty_of(m, S)
                b.border[j, s] += bu * info
                b.corner[s, 0] += bv * info
                b.corner[s, s] += info
                b.gradient_w[s] += slope
    for s in range(1, S):
        b.corner[0, s] = b.corner[s, 0]


@compiled
def add_proxies(i: int, n: int, rows: Rows, theta: Theta, mean_u: Array, b: Blocks) -> None:
    """Add what the proxies of life i's customer say to precision and gradient."""
    j = n - 1 if rows.proxy_last else 0
    measured = rows.proxies[rows.who[i]]
    for q in range(rows.proxies.shape[1]):
        if not math.isnan(measured[q]):
            slope = theta.proxies[q, 1] * math.exp(-theta.proxies[q, 2])
            error = measured[q] - theta.proxies[q, 0] - theta.proxies[q, 1] * mean_u[j]
            b.diagonal[j] += slope * theta.proxies[q, 1]
            b.gradient_u[j] += slope * error


@compiled
def spread(i: int, rows: Rows, theta: Theta, variance: Array, p: Predictors, b: Blocks) -> None:
    """Posterior variance of every linear predictor, and its covariance with u_t and with v."""
    M = p.mean.shape[1]
    S = b.corner.shape[0]
    for t in range(rows.first[i], rows.stop[i]):
        j = t - rows.first[i] if theta.dynamic else 0
        for m in range(M):
            bu = theta.loadings[m, 0]
            bv = theta.loadings[m, 1]
            with_u = bu * b.var_u[j] + bv * b.cross[j, 0]
            with_v = bu * b.cross[j, 0] + bv * b.corner[0, 0]
            own = 0.0
            if 0 < m < M - 1:
                s = frailty_of(m, S)
                with_u += b.cross[j, s]
                with_v += b.corner[0, s]
                own = bu * b.cross[j, s] + bv * b.corner[0, s] + b.corner[s, s]
            p.cov_u[t, m] = with_u
            p.cov_v[t, m] = with_v
            variance[t, m] = max(own + bu * with_u + bv * with_v, 0.0)
