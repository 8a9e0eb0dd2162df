"""Arithmetic of the BG/BB model (Fader, Hardie & Shang 2010), for purchases at discrete opportunities.

At each of n opportunities a living customer buys with probability p ~ beta(alpha, beta); before each they
leave with probability theta ~ beta(gamma, delta). With x purchases, the last at opportunity t_x, the
likelihood is equation 5:

    B(alpha + x, beta + n - x) / B(alpha, beta) * B(gamma, delta + n) / B(gamma, delta)
    + sum over i < n - t_x of
      B(alpha + x, beta + t_x - x + i) / B(alpha, beta) * B(gamma + 1, delta + t_x + i) / B(gamma, delta)

Each term of the sum is the one before it times a ratio, and so are its derivatives.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy

from clv.purchases.observations import Observations
from histories.arrays import Float

#: Terms of an infinite sum that are added one by one before an integral takes over.
EXACT_TERMS = 64
#: Below this distance from 1, gamma - 1 is held away from 0.
NEAR_ONE = 1e-7


def log_likelihoods(parameters: Float, x: Float, t_x: Float, n: Float) -> tuple[Float, Float, Float]:
    """Log-likelihood by row, that of being alive at n, and the gradient; shapes (m,), (m,), (4, m)."""
    alpha, beta, gamma, delta = map(float, parameters)
    betaln, psi = scipy.special.betaln, scipy.special.digamma
    base = -betaln(alpha, beta) - betaln(gamma, delta)
    alive = base + betaln(alpha + x, beta + n - x) + betaln(gamma, delta + n)
    here = [
        psi(alpha + x) - psi(alpha + beta + n),
        psi(beta + n - x) - psi(alpha + beta + n),
        psi(gamma) - psi(gamma + delta + n),
        psi(delta + n) - psi(gamma + delta + n),
    ]
    order = np.argsort(t_x - n, kind="stable")  # the longest silence first: open rows are a prefix
    silent, last = (n - t_x)[order], t_x[order]
    buys = x[order]
    log_term = base + betaln(alpha + buys, beta + last - buys) + betaln(gamma + 1.0, delta + last)
    slopes = np.array(
        [
            psi(alpha + buys) - psi(alpha + beta + last),
            psi(beta + last - buys) - psi(alpha + beta + last),
            psi(gamma + 1.0) - psi(gamma + 1.0 + delta + last),
            psi(delta + last) - psi(gamma + 1.0 + delta + last),
        ]
    )
    scale = np.maximum(alive[order], log_term)
    total = np.zeros_like(scale)
    sums = np.zeros_like(slopes)
    term = np.exp(log_term - scale)
    for i in range(int(silent.max(initial=0.0))):
        open_ = slice(0, int(np.searchsorted(-silent, -i, side="left")))
        total[open_] += term[open_]
        sums[:, open_] += term[open_] * slopes[:, open_]
        no, seen = beta + last[open_] - buys[open_] + i, alpha + beta + last[open_] + i
        stay, ever = delta + last[open_] + i, gamma + 1.0 + delta + last[open_] + i
        term[open_] *= no / seen * stay / ever
        slopes[:, open_] += np.array(
            [-1.0 / seen, 1.0 / no - 1.0 / seen, -1.0 / ever, 1.0 / stay - 1.0 / ever]
        )
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    total, sums, scale = total[back], sums[:, back], scale[back]
    living = np.exp(alive - scale)
    both = living + total
    constant = np.array(
        [
            psi(alpha + beta) - psi(alpha),
            psi(alpha + beta) - psi(beta),
            psi(gamma + delta) - psi(gamma),
            psi(gamma + delta) - psi(delta),
        ]
    )
    gradient = (living * np.array(here) + sums) / both + constant[:, None]
    return scale + np.log(both), alive, gradient


def score(parameters: Float, data: Observations) -> tuple[float, Float]:
    """Log-likelihood and its gradient in (alpha, beta, gamma, delta)."""
    each, _, gradient = log_likelihoods(parameters, data.frequency, data.recency, data.T)
    return float(data.weights @ each), np.asarray(gradient @ data.weights, dtype=np.float64)


def probability_alive(parameters: Float, x: Float, t_x: Float, n: Float) -> Float:
    """P(alive at opportunity n | x, t_x, n), equation A10 with m = 0, shape (m,)."""
    each, alive, _ = log_likelihoods(parameters, x, t_x, n)
    return np.asarray(np.exp(alive - each), dtype=np.float64)


def survival_alive(parameters: Float, m: Float, n: Float) -> Float:
    """P(alive at n + m | alive at n), shape (len(m), len(n))."""
    gamma, delta = float(parameters[2]), float(parameters[3])
    later = scipy.special.betaln(gamma, delta + np.add.outer(m, n))
    return np.asarray(np.exp(later - scipy.special.betaln(gamma, delta + n)), dtype=np.float64)


def purchases_alive(parameters: Float, m: Float, x: Float, n: Float) -> Float:
    """E[purchases at the next m opportunities | alive at n], equation 13, shape (len(m), len(n)).

    The sum of the survival over the opportunities has a closed form, which also serves between whole numbers.
    """
    alpha, beta, gamma, delta = map(float, parameters)
    excess = gamma - 1.0 if abs(gamma - 1.0) > NEAR_ONE else NEAR_ONE
    loggamma = scipy.special.gammaln
    after = np.add.outer(m, n)
    log_ratio = loggamma(1.0 + delta + after) - loggamma(1.0 + excess + delta + after)
    log_ratio += loggamma(1.0 + excess + delta + n) - loggamma(1.0 + delta + n)
    chances = (delta + n) / excess * -np.expm1(log_ratio)
    return np.asarray((alpha + x) / (alpha + beta + n) * chances, dtype=np.float64)


def tail_alive(parameters: Float, k: int, m: int, x: Float, n: Float) -> Float:
    """P(at least k purchases at the next m opportunities | alive at n), shape (len(n),).

    The k-th purchase falls on opportunity i with probability C(i - 1, k - 1) E[p^k (1 - p)^(i - k)], if the
    customer is still alive there.
    """
    alpha, beta, gamma, delta = map(float, parameters)
    if k == 0:
        return np.ones(n.shape)
    betaln = scipy.special.betaln
    buy, skip = alpha + x, beta + n - x
    total = np.zeros(n.shape)
    for i in range(k, m + 1):
        log_ways = scipy.special.gammaln(i) - scipy.special.gammaln(k) - scipy.special.gammaln(i - k + 1)
        log_p = betaln(buy + k, skip + i - k) - betaln(buy, skip)
        log_stay = betaln(gamma, delta + n + i) - betaln(gamma, delta + n)
        total += np.exp(log_ways + log_p + log_stay)
    return np.asarray(np.minimum(total, 1.0), dtype=np.float64)


def first_purchase(
    parameters: Float, x: Float, n: Float, *, goal: Float | None, longest: int = 20_000
) -> tuple[Float, Float]:
    """P(a purchase ever | alive at n), and when `goal` of it is reached (NaN: never); shapes (len(n),)."""
    alpha, beta, gamma, delta = map(float, parameters)
    buy, skip, stay = alpha + x, beta + n - x, delta + n
    term = buy / (buy + skip) * stay / (gamma + stay)
    total = np.zeros(n.shape)
    reached = np.full(n.shape, np.nan)
    for i in range(longest):
        total += term
        if goal is not None:
            reached = np.where(np.isnan(reached) & (total >= goal), i + 1.0, reached)
            if not np.isnan(reached).any():
                break
        elif (term * (i + 2.0) < 1e-10 * total).all():
            break
        term = term * (skip + i) / (buy + skip + i + 1.0) * (stay + i + 1.0) / (gamma + stay + i + 1.0)
    return np.minimum(total, 1.0), reached


def residual_alive(parameters: Float, rate: float, x: Float, n: Float) -> Float:
    """E[purchases at all later opportunities, discounted at `rate` | alive at n], shape (len(n),).

    The first terms are added one by one; the others are replaced by an integral from half a step before them
    (midpoint rule), in panels of the discounted time.
    """
    alpha, beta = float(parameters[0]), float(parameters[1])
    steps = np.arange(1.0, EXACT_TERMS + 1.0)
    total = np.exp(-rate * steps) @ survival_alive(parameters, steps, n)
    points, weights = np.polynomial.legendre.leggauss(12)
    edges = EXACT_TERMS + 0.5 + np.concatenate([[0.0], np.geomspace(1e-4, 40.0, 16)]) / rate
    for left, right in itertools.pairwise(edges):
        u = 0.5 * (left + right) + 0.5 * (right - left) * points
        total += (0.5 * (right - left) * weights * np.exp(-rate * u)) @ survival_alive(parameters, u, n)
    return np.asarray((alpha + x) / (alpha + beta + n) * total, dtype=np.float64)
