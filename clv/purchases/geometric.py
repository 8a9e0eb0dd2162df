"""Arithmetic of the models in which a customer may leave after each purchase.

BG/NBD (Fader, Hardie & Lee 2005), MBG/NBD (Batislam, Denizel & Filiztekin 2007) and their relatives for
regular buyers, BG/CNBD-k and MBG/CNBD-k (Platzer & Reutterer 2016), are one family. The purchase rate lambda
is gamma(r, alpha), the dropout probability p is beta(a, b), the times between purchases are Erlang-k with
rate lambda, and two numbers tell the members apart:

- `k`, the shape of the times between purchases: 1 is Poisson;
- `birth`, 1 when a customer may already leave after the first purchase (the "modified" models), else 0.

With n = r + k x and d = T - t_x the likelihood of a customer is

    Gamma(n) / Gamma(r) * alpha^r * B(a, b + x + birth) / B(a, b) * [ S / (alpha + T)^n + c / (alpha + t_x)^n
    ]

    S = sum over j < k of (n)_j / j! * (d / (alpha + T))^j           (1 when k = 1)
    c = a / (b + x + birth - 1)                                     (0 when x = birth = 0)

and, for k > 1, a factor from the times themselves that holds no parameter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from clv.purchases.observations import Observations
from histories.arrays import Float

#: Rows per block: small enough for the second-level cache.
BLOCK = 16_384
#: Nodes of the Gauss-Jacobi rule over the dropout probability, by how far ahead the integrand looks (see
#: `_nodes_for`).
NODES, NODES_BY_REACH = 48, ((3.0, 20), (30.0, 48), (300.0, 128), (np.inf, 400))


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricFamily:
    """Which member of the family: Erlang shape `k` and dropout at `birth` (0 or 1)."""

    k: int = 1
    birth: int = 0


def blocks(size: int) -> Iterator[slice]:
    """Slices that cover `size` rows."""
    for start in range(0, size, BLOCK):
        yield slice(start, min(start + BLOCK, size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The distinct frequencies of a data set, for terms that depend on frequency alone.

    Attributes
    ----------
    values
        Distinct frequencies, shape (m,).
    weights
        Customers at each, shape (m,).
    index
        Position in `values` of each row, shape (n,).
    """

    values: Float
    weights: Float
    index: np.ndarray[tuple[int], np.dtype[np.intp]]

    @classmethod
    def of(cls, data: Observations) -> Levels:
        """Find them once per fit."""
        values, index = np.unique(data.frequency, return_inverse=True)
        weights = np.bincount(index, weights=data.weights, minlength=values.size).astype(np.float64)
        return cls(values=values, weights=weights, index=index)


def score(
    parameters: Float, data: Observations, levels: Levels, family: GeometricFamily
) -> tuple[float, Float]:
    """Log-likelihood and its gradient in (r, alpha, a, b), factors without parameters left out for k > 1."""
    r, alpha, a, b = parameters
    value, gradient = _score_of_counts(parameters, levels, family)
    shift = levels.values + (family.birth - 1.0)
    with np.errstate(divide="ignore"):
        dropout = np.where(
            levels.values + family.birth > 0, np.log(a) - np.log(np.maximum(b + shift, 1e-300)), -np.inf
        )
    inverse_b = 1.0 / np.maximum(b + shift, 1e-300)
    for rows in blocks(data.size):
        w, index = data.weights[rows], levels.index[rows]
        n = r + family.k * data.frequency[rows]
        age, last = alpha + data.T[rows], alpha + data.recency[rows]
        log_age = np.log(age)
        ratio = log_age - np.log(last)
        log_s, s_r, s_alpha = _stage_sum(n, data.T[rows] - data.recency[rows], age, family.k)
        odds = dropout[index] + n * ratio - log_s
        small = np.exp(-np.abs(odds))
        gone = np.where(odds > 0, 1.0, small) / (1.0 + small)
        w_gone, w_stay = w * gone, w * (1.0 - gone)
        value += float(w @ (log_s - n * log_age + np.maximum(odds, 0.0) + np.log1p(small)))
        gradient[0] += float(w_gone @ ratio - w @ log_age)
        gradient[1] -= float(w_stay @ (n / age) + w_gone @ (n / last))
        if family.k > 1:
            gradient[0] += float(w_stay @ s_r)
            gradient[1] += float(w_stay @ s_alpha)
        gradient[2] += float(w_gone.sum()) / a
        gradient[3] -= float(w_gone @ inverse_b[index])
    return value, gradient


def log_likelihoods(vectors: Float, data: Observations, levels: Levels, family: GeometricFamily) -> Float:
    """Log-likelihood at many parameter vectors at once, shape (len(vectors),), for k = 1.

    Logs of alpha + T and alpha + t_x are taken once for each distinct time.
    """
    ages, age_index = np.unique(data.T, return_inverse=True)
    lasts, last_index = np.unique(data.recency, return_inverse=True)
    possible = levels.values + family.birth > 0
    out = np.empty(len(vectors))
    step = max(1, 8 * BLOCK // data.size)
    for start in range(0, len(vectors), step):
        r, alpha, a, b = (column[:, None] for column in vectors[start : start + step].T)
        n = r + data.frequency
        log_age, log_last = np.log(alpha + ages)[:, age_index], np.log(alpha + lasts)[:, last_index]
        shift = np.maximum(b + levels.values + (family.birth - 1.0), 1e-300)
        dropout = np.where(possible, np.log(a) - np.log(shift), -np.inf)[:, levels.index]
        odds = dropout + n * (log_age - log_last)
        rows = np.maximum(odds, 0.0) + np.log1p(np.exp(-np.abs(odds))) - n * log_age
        counts = _log_of_counts(r, alpha, a, b, levels, family)
        out[start : start + step] = rows @ data.weights + counts @ levels.weights
    return out


def _log_of_counts(
    r: Float, alpha: Float, a: Float, b: Float, levels: Levels, family: GeometricFamily
) -> Float:
    """The part that depends on frequency alone, by distinct frequency; shape (draws, m)."""
    loggamma = scipy.special.gammaln
    stay = b + levels.values + family.birth
    value = loggamma(r + levels.values) + loggamma(stay) - loggamma(a + stay)
    value += r * np.log(alpha) - loggamma(r) - loggamma(b) + loggamma(a + b)
    return np.asarray(value, dtype=np.float64)


def _score_of_counts(parameters: Float, levels: Levels, family: GeometricFamily) -> tuple[float, Float]:
    """The part of the likelihood that depends on frequency alone."""
    r, alpha, a, b = parameters
    n = r + family.k * levels.values
    stay = b + levels.values + family.birth
    w, total = levels.weights, float(levels.weights.sum())
    value = w @ (scipy.special.gammaln(n) + scipy.special.gammaln(stay) - scipy.special.gammaln(a + stay))
    value += total * (
        r * np.log(alpha) - scipy.special.gammaln(r) - scipy.special.gammaln(b) + scipy.special.gammaln(a + b)
    )
    psi_sum, psi_stay = scipy.special.digamma(a + b), scipy.special.digamma(a + stay)
    return float(value), np.array(
        [
            w @ scipy.special.digamma(n) + total * (np.log(alpha) - scipy.special.digamma(r)),
            total * r / alpha,
            total * psi_sum - w @ psi_stay,
            w @ scipy.special.digamma(stay) - w @ psi_stay + total * (psi_sum - scipy.special.digamma(b)),
        ]
    )


def _stage_sum(n: Float, idle: Float, age: Float, k: int) -> tuple[Float, Float, Float]:
    """Log of S and its derivatives in r and alpha; zeros of no dimension when k = 1."""
    if k == 1:
        zero = np.zeros(())
        return zero, zero, zero
    ratio = idle / age
    term, total = np.ones_like(n), np.ones_like(n)
    slope_n, slope_ratio, digamma = np.zeros_like(n), np.zeros_like(n), np.zeros_like(n)
    for j in range(1, k):
        slope_ratio += term * (
            n + j - 1.0
        )  # d/d ratio of sum (n)_j ratio^j / j! = sum (n)_j ratio^(j-1) / (j-1)!
        digamma += 1.0 / (n + j - 1.0)
        term = term * (n + j - 1.0) * ratio / j
        total += term
        slope_n += term * digamma
    return np.log(total), slope_n / total, -slope_ratio * ratio / age / total


def probability_alive(parameters: Float, x: Float, t_x: Float, T: Float, family: GeometricFamily) -> Float:
    """P(alive at T | x, t_x, T), shape of the arguments after broadcasting."""
    r, alpha, a, b = parameters
    n = r + family.k * x
    log_s = _stage_sum(n + 0.0 * T, T - t_x + 0.0 * n, alpha + T + 0.0 * n, family.k)[0]
    with np.errstate(divide="ignore"):
        log_c = np.log(a) - np.log(np.maximum(b + x + (family.birth - 1.0), 1e-300))
    odds = log_c + n * np.log((alpha + T) / (alpha + t_x)) - log_s
    return np.where(x + family.birth > 0, scipy.special.expit(-odds), 1.0)


def stage_probabilities(parameters: Float, x: Float, t_x: Float, T: Float, family: GeometricFamily) -> Float:
    """How far on the way to the next purchase a living customer is: P(stage j | alive), shape (k, n)."""
    r, alpha = parameters[:2]
    n = r + family.k * x
    ratio = (T - t_x) / (alpha + T)
    terms = [np.ones(np.broadcast(n, ratio).shape)]
    for j in range(1, family.k):
        terms.append(terms[-1] * (n + j - 1.0) * ratio / j)
    stages = np.array(terms)
    return np.asarray(stages / stages.sum(axis=0), dtype=np.float64)


def count_tail_alive(
    parameters: Float,
    m: int,
    t: Float,
    x: Float,
    t_x: Float,
    T: Float,
    family: GeometricFamily,
) -> Float:
    """P(at least m purchases in the next t | alive at T).

    Equals E[(1 - p)^(m - 1)] P(at least m k - j stages arrive), the stages being negative binomial: a sum
    over the current stage j of incomplete beta functions.
    """
    r, alpha, a, b = parameters
    if m == 0:
        return np.ones(np.broadcast(t, x, T).shape)
    stay = b + x + family.birth
    loyal = np.exp(scipy.special.betaln(a, stay + m - 1.0) - scipy.special.betaln(a, stay))
    share = t / (alpha + T + t)
    stages = stage_probabilities(parameters, x, t_x, T, family)
    arrive = sum(
        stages[j] * scipy.special.betainc(m * family.k - j, r + family.k * x + j, share)
        for j in range(family.k)
    )
    return np.asarray(loyal * arrive, dtype=np.float64)


def purchases_alive(
    parameters: Float,
    t: Float,
    x: Float,
    t_x: Float,
    T: Float,
    family: GeometricFamily,
) -> Float:
    """E[purchases in the next t | alive at T] at several horizons, shape (len(t), n).

    For k = 1 the expectation over the dropout probability of (1 - (1 + p t / (alpha + T))^-n) / p, n = r + x,
    by a Gauss-Jacobi rule for its posterior beta(a, b + x + birth): no cancellation, no pole at a = 1, and
    finite for any frequency. For k > 1 the sum of `count_tail_alive` over m.
    """
    if family.k > 1:
        return _sum_of_tails(parameters, t, x, t_x, T, family)
    r, alpha, a, b = parameters
    out = np.empty((t.size, x.size))
    order = np.argsort(x, kind="stable")
    values, starts = np.unique(x[order], return_index=True)
    for value, rows in zip(values, np.split(order, starts[1:]), strict=True):
        stay = b + value + family.birth
        n, ahead = r + value, float(t.max(initial=0.0)) / (alpha + float(T[rows].min()))
        nodes, weights = jacobi_rule(a, stay, _nodes_for(ahead, n, stay))
        for part in np.array_split(rows, max(1, rows.size * NODES // (8 * BLOCK))):
            inverse = 1.0 / (alpha + T[part])
            for i, horizon in enumerate(t):
                grown = np.log1p(np.outer(nodes, horizon * inverse))
                out[i, part] = (weights / nodes) @ -np.expm1(-(r + value) * grown)
    return out


def survival_alive(parameters: Float, t: Float, x: Float, T: Float, family: GeometricFamily) -> Float:
    """P(alive at T + t | alive at T) at several horizons, shape (len(t), n), for k = 1; a bound for k > 1.

    A living customer meets purchases at rate lambda / k and leaves at each with probability p.
    """
    r, alpha, a, b = parameters
    out = np.empty((t.size, x.size))
    for value in np.unique(x):
        rows = np.flatnonzero(x == value)
        nodes, weights = jacobi_rule(a, b + value + family.birth)
        inverse = 1.0 / (family.k * (alpha + T[rows]))
        for i, horizon in enumerate(t):
            out[i, rows] = weights @ np.exp(
                -(r + family.k * value) * np.log1p(np.outer(nodes, horizon * inverse))
            )
    return out


def _nodes_for(ahead: float, n: float, stay: float) -> int:
    """Nodes that integrate (1 - (1 + p ahead)^-n) / p over beta(a, stay) to about 1e-8.

    The singularity at p = -1 / ahead and the steepness n ahead both ask for more; the thresholds were found
    by comparison with 900 nodes.
    """
    reach = ahead * max(1.0, n / stay) * (1.0 + min(n / 50.0, 8.0))
    return next(nodes for limit, nodes in NODES_BY_REACH if reach < limit)


@lru_cache(maxsize=1024)
def jacobi_rule(a: float, b: float, nodes: int = NODES) -> tuple[Float, Float]:
    """Nodes and weights (summing to 1) for the expectation over beta(a, b), by Golub and Welsch (1969).

    One fit asks for the same few rules at each horizon: they are kept, and not to be written to.
    """
    from scipy.linalg import eigh_tridiagonal

    i = np.arange(nodes, dtype=np.float64)
    p, q = b - 1.0, a - 1.0  # exponents of (1 - y) and (1 + y) on [-1, 1]
    total = 2.0 * i + p + q
    with np.errstate(invalid="ignore", divide="ignore"):
        diagonal = (q * q - p * p) / (total * (total + 2.0))
    diagonal[0] = (q - p) / (p + q + 2.0)
    j = i[1:]
    s = 2.0 * j + p + q
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = 4.0 * j * (j + p) * (j + q) * (j + p + q) / (s * s * (s + 1.0) * (s - 1.0))
    squares[0] = 4.0 * (1.0 + p) * (1.0 + q) / ((p + q + 2.0) ** 2 * (p + q + 3.0))
    values, vectors = eigh_tridiagonal(diagonal, np.sqrt(squares))
    points, weights = np.clip(0.5 * (1.0 + values), 1e-200, 1.0), vectors[0] ** 2
    points.flags.writeable = weights.flags.writeable = False
    return points, weights


def _sum_of_tails(
    parameters: Float,
    t: Float,
    x: Float,
    t_x: Float,
    T: Float,
    family: GeometricFamily,
) -> Float:
    """E = sum over m >= 1 of P(at least m purchases), cut where the last term no longer counts."""
    out = np.zeros((t.size, x.size))
    for i, horizon in enumerate(t):
        h = np.full(x.size, horizon)
        m = 1
        open_rows = np.arange(x.size)
        while open_rows.size:
            tail = count_tail_alive(
                parameters, m, h[open_rows], x[open_rows], t_x[open_rows], T[open_rows], family
            )
            out[i, open_rows] += tail
            open_rows = open_rows[tail > 1e-12 * np.maximum(out[i, open_rows], 1e-300)]
            m += 1
    return out


def median_next_purchase(parameters: Float, x: Float, t_x: Float, T: Float, family: GeometricFamily) -> Float:
    """Time t with P(a purchase within t | alive at T) = 1/2, shape (n,), by bisection in log t for k > 1."""
    r, alpha = parameters[:2]
    with np.errstate(over="ignore"):
        first = (alpha + T) * np.expm1(np.minimum(np.log(2.0) / (r + family.k * x), 700.0))
    if family.k == 1:
        return np.asarray(first, dtype=np.float64)
    low = np.log(alpha + T) - 40.0
    high = np.log(first) + np.log(8.0 * family.k)
    for _ in range(60):
        middle = 0.5 * (low + high)
        late = count_tail_alive(parameters, 1, np.exp(middle), x, t_x, T, family) > 0.5
        low, high = np.where(late, low, middle), np.where(late, middle, high)
    return np.asarray(np.exp(0.5 * (low + high)), dtype=np.float64)


def residual_alive(parameters: Float, rate: float, x: Float, T: Float, family: GeometricFamily) -> Float:
    """E[discounted purchases for ever | alive at T] at a continuous `rate` per time unit, shape (n,).

    Given p, purchases come at the mean rate n / A (1 + p u / A)^-(n + 1) with A = k (alpha + T); for k > 1
    that forgets the stage. The integral over p is taken by Gauss-Jacobi, that over the discounted time u by
    Gauss-Legendre panels.
    """
    r, alpha, a, b = parameters
    out = np.empty(x.size)
    for value in np.unique(x):
        rows = np.flatnonzero(x == value)
        n = r + family.k * value
        nodes, weights = jacobi_rule(a, b + value + family.birth)
        age = family.k * (alpha + T[rows])
        out[rows] = _discounted_rate(n, age, nodes, weights, rate)
    return out


def _discounted_rate(n: float, age: Float, nodes: Float, weights: Float, rate: float) -> Float:
    """Integral over u of exp(-rate u) n / age E_p[(1 + p u / age)^-(n + 1)], by panels; shape of age."""
    points, lengths = np.polynomial.legendre.leggauss(16)
    edges = np.concatenate([[0.0], np.geomspace(1e-6, 40.0, 24)]) / rate
    total = np.zeros_like(age)
    for left, right in itertools.pairwise(edges):
        for point, length in zip(points, lengths, strict=True):
            u = 0.5 * (left + right) + 0.5 * (right - left) * point
            decay = weights @ np.exp(-(n + 1.0) * np.log1p(np.outer(nodes, u / age)))
            total += 0.5 * (right - left) * length * np.exp(-rate * u) * decay
    return n / age * total
