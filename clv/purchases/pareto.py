"""Arithmetic of the Pareto/NBD model (Schmittlein, Morrison & Colombo 1987; Fader & Hardie 2005, note 009).

Purchases come at rate lambda ~ gamma(r, alpha) until the customer leaves at rate mu ~ gamma(s, beta). The
likelihood of x purchases, the last at t_x, seen until T is

    Gamma(r + x) / Gamma(r) alpha^r beta^s [ (alpha + T)^-(r + x) (beta + T)^-s + s I ]
    I = integral from t_x to T of (alpha + u)^-(r + x) (beta + u)^-(s + 1) du

Note 009 writes I as a difference of two hypergeometric functions, which cancel for heavy buyers. Here it is
integrated by Gauss-Legendre nodes in log(min(alpha, beta) + u), over the stretch on which the integrand is
not negligible: all terms are positive, nothing cancels, and the same nodes give the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy

from clv.purchases.geometric import Levels, jacobi_rule
from clv.purchases.observations import Observations
from histories.arrays import Float

#: Nodes of the Gauss-Legendre rule over the time of dropout.
NODES = 24
#: Fewer nodes do where the integrand falls by less than `GENTLE` log units over stretches shorter than
#: `SHORT`; they are right to about 1e-9 there.
FEW_NODES, GENTLE, SHORT = (8, 12), (5.0, 14.0), 3.0
#: Nodes of the rule over the time of the m-th purchase.
COUNT_NODES = 64
#: Rows per block: NODES times as many numbers stay in the second-level cache.
BLOCK = 2048
#: The integrand is followed until it has fallen by this many log units.
REACH = 38.0
#: Below this distance from 1, a power of s - 1 is replaced by its limit, a logarithm.
NEAR_ONE = 1e-9


@dataclass(frozen=True, slots=True)
class Rule:
    """A Gauss-Legendre rule: nodes on (0, 1), weights summing to 2, and both moments that the means need."""

    unit: Float
    weights: Float
    moments: Float

    @classmethod
    def of(cls, nodes: int) -> Rule:
        """The rule with so many nodes."""
        points, weights = np.polynomial.legendre.leggauss(nodes)
        unit = 0.5 * (1.0 + points)
        return cls(unit=unit, weights=weights, moments=np.column_stack([np.ones(nodes), unit]))


RULES = tuple(Rule.of(nodes) for nodes in (*FEW_NODES, NODES))


@dataclass(frozen=True, slots=True)
class Integral:
    """Log of the integral, and means under the integrand that its derivatives need; shapes (n,)."""

    log: Float
    log_alpha: Float
    log_beta: Float
    inverse_alpha: Float
    inverse_beta: Float


def integrate(
    alpha: Float | float,
    beta: Float | float,
    power_alpha: Float,
    power_beta: Float | float,
    low: Float,
    high: Float,
) -> Integral:
    """Log of the integral over u in (low, high) of (alpha + u)^-power_alpha (beta + u)^-power_beta.

    Returns the means, under the normalised integrand, of log(alpha + u), log(beta + u) and of the inverses of
    alpha + u and beta + u as well. All arguments have shape (n,) or are numbers.
    """
    alpha_first = np.asarray(alpha) <= beta
    least, gap = np.minimum(alpha, beta), np.abs(np.asarray(alpha) - beta)
    steep = np.where(alpha_first, power_alpha, power_beta)
    flat = np.where(alpha_first, power_beta, power_alpha)
    start = np.log(least + low)
    # how fast the integrand falls at least, in z = log(least + u)
    rest = np.where(alpha_first, 0.0, flat * (least + low) / (least + low + gap))
    decay = np.maximum(steep - 1.0 + rest, 1e-12)
    width = np.minimum(np.log((least + high) / (least + low)), REACH / decay)
    total, mean_z, mean_far, inverse_near, inverse_far = _moments(start, width, gap, steep, flat)
    first = (1.0 - steep) * start - flat * np.log(least + low + gap)
    with np.errstate(divide="ignore"):
        log = first + np.log(total) + np.log(0.5 * width)
    return Integral(
        log,
        np.where(alpha_first, mean_z, mean_far),
        np.where(alpha_first, mean_far, mean_z),
        np.where(alpha_first, inverse_near, inverse_far),
        np.where(alpha_first, inverse_far, inverse_near),
    )


def _moments(start: Float, width: Float, gap: Float, steep: Float, flat: Float) -> Float:
    """Sum and means of the normalised integrand, shape (5, n); few nodes where it is gentle."""
    gap, steep, flat = (np.broadcast_to(v, start.shape) for v in (gap, steep, flat))
    tier = np.where(width <= SHORT, np.digitize(width * (steep + flat), GENTLE), len(GENTLE))
    out = np.empty((5, start.size))
    for number, rule in enumerate(RULES):
        rows = np.flatnonzero(tier == number)
        if rows.size == start.size:
            return _apply(rule, start, width, gap, steep, flat)
        if rows.size:
            out[:, rows] = _apply(rule, *(v[rows] for v in (start, width, gap, steep, flat)))
    return out


def _apply(rule: Rule, start: Float, width: Float, gap: Float, steep: Float, flat: Float) -> Float:
    """`_moments` by one rule: total, means of log near, log far, 1 / near and 1 / far, near = least + u."""
    z = np.multiply.outer(width, rule.unit)
    z += start[:, None]
    near = np.exp(z)
    far = near + gap[:, None]
    log_far = np.log(far)
    z *= 1.0 - steep[:, None]
    z -= flat[:, None] * log_far
    z -= ((1.0 - steep) * start - flat * np.log(np.exp(start) + gap))[:, None]
    mass = np.exp(z, out=z)
    mass *= rule.weights
    total, along = (mass @ rule.moments).T  # of 1 and of the node's place in the stretch
    total = np.maximum(total, 1e-300)
    mean_far = np.einsum("ij,ij->i", mass, log_far) / total
    inverse_far = np.divide(mass, far, out=far).sum(axis=1) / total
    inverse_near = np.divide(mass, near, out=near).sum(axis=1) / total
    return np.array([total, start + width * along / total, mean_far, inverse_near, inverse_far])


def score(parameters: Float, data: Observations, levels: Levels) -> tuple[float, Float]:
    """Log-likelihood and its gradient in (r, alpha, s, beta)."""
    r, alpha, s, beta = map(float, parameters)
    total, w = float(levels.weights.sum()), levels.weights
    value = float(w @ scipy.special.gammaln(r + levels.values)) - total * scipy.special.gammaln(r)
    gradient = np.zeros(4)
    gradient[0] = w @ scipy.special.digamma(r + levels.values) - total * scipy.special.digamma(r)
    for rows in blocks(data.size):
        each, slopes = score_rows(r, alpha, s, beta, data.frequency[rows], data.recency[rows], data.T[rows])
        value += float(data.weights[rows] @ each)
        gradient += slopes @ data.weights[rows]
    return value, gradient


def score_rows(
    r: float,
    alpha: Float | float,
    s: float,
    beta: Float | float,
    x: Float,
    t_x: Float,
    T: Float,
) -> tuple[Float, Float]:
    """Log-likelihood of each row and its gradient, without Gamma(r + x) / Gamma(r); shapes (n,) and (4, n).

    alpha and beta may differ between rows; their derivatives are with respect to the row's own.
    """
    n = r + x
    stay, leave, integral = _two_fates(r, alpha, s, beta, n, t_x, T)
    each = np.logaddexp(stay, leave)
    gone = np.exp(leave - each)
    here = 1.0 - gone
    log_alpha, log_beta = np.log(alpha), np.log(beta)
    slopes = np.array(
        [
            log_alpha - here * np.log(alpha + T) - gone * integral.log_alpha,
            r / alpha - n * (here / (alpha + T) + gone * integral.inverse_alpha),
            log_beta - here * np.log(beta + T) - gone * (integral.log_beta - 1.0 / s),
            s / beta - here * s / (beta + T) - (s + 1.0) * gone * integral.inverse_beta,
        ]
    )
    return each + r * log_alpha + s * log_beta, slopes


def _two_fates(
    r: float,
    alpha: Float | float,
    s: float,
    beta: Float | float,
    n: Float,
    t_x: Float,
    T: Float,
) -> tuple[Float, Float, Integral]:
    """Logs of the two terms in brackets, alive and gone, and the integral behind the second."""
    integral = integrate(alpha, beta, n, s + 1.0, t_x, T)
    stay = -n * np.log(alpha + T) - s * np.log(beta + T)
    return stay, np.log(s) + integral.log, integral


def blocks(size: int) -> Iterator[slice]:
    """Slices that cover `size` rows."""
    for start in range(0, size, BLOCK):
        yield slice(start, min(start + BLOCK, size))


def probability_alive(parameters: Float, x: Float, t_x: Float, T: Float) -> Float:
    """P(alive at T | x, t_x, T), equations 36 and 37 of note 009, shape (n,)."""
    r, alpha, s, beta = map(float, parameters)
    alive = np.empty(x.size)
    for rows in blocks(x.size):
        stay, leave, _ = _two_fates(r, alpha, s, beta, r + x[rows], t_x[rows], T[rows])
        alive[rows] = scipy.special.expit(stay - leave)
    return alive


def purchases_alive(parameters: Float, t: Float, x: Float, T: Float) -> Float:
    """E[purchases in the next t | alive at T], equation 41 of note 009, shape (len(t), n)."""
    r, alpha, s, beta = map(float, parameters)
    lived = -np.log1p(np.multiply.outer(t, 1.0 / (beta + T)))
    if abs(s - 1.0) < NEAR_ONE:
        return np.asarray((r + x) / (alpha + T) * (beta + T) * -lived, dtype=np.float64)
    grown = -np.expm1((s - 1.0) * lived) / (s - 1.0)
    return np.asarray((r + x) / (alpha + T) * (beta + T) * grown, dtype=np.float64)


def first_purchase_alive(parameters: Float, t: Float, x: Float, T: Float) -> Float:
    """P(a purchase in the next t | alive at T): one comes before dropout and before t. Shape (n,)."""
    r, alpha, s, beta = map(float, parameters)
    n = r + x
    bought = np.empty(x.size)
    for rows in blocks(x.size):
        integral = integrate(alpha, beta, n[rows] + 1.0, s, T[rows], T[rows] + t[rows])
        log_scale = n[rows] * np.log(alpha + T[rows]) + s * np.log(beta + T[rows])
        bought[rows] = n[rows] * np.exp(integral.log + log_scale)
    return np.minimum(bought, 1.0)


def ever_alive(parameters: Float, x: Float, T: Float) -> Float:
    """P(a further purchase ever | alive at T) = E[lambda / (lambda + mu)], shape (n,).

    With B ~ beta(r + x, s) it is the mean of B (beta + T) / (B (beta + T) + (1 - B) (alpha + T)).
    """
    r, alpha, s, beta = map(float, parameters)
    out = np.empty(x.size)
    for value in np.unique(x):
        rows = np.flatnonzero(x == value)
        nodes, weights = jacobi_rule(r + value, s)
        buy, leave = np.outer(nodes, beta + T[rows]), np.outer(1.0 - nodes, alpha + T[rows])
        out[rows] = weights @ (buy / (buy + leave))
    return out


def median_next_purchase(parameters: Float, x: Float, T: Float) -> Float:
    """Time by which half of those who will ever buy again have, given alive at T, shape (n,)."""
    alpha, beta = float(parameters[1]), float(parameters[3])
    goal = 0.5 * ever_alive(parameters, x, T)
    scale = np.log(min(alpha, beta) + T)
    low, high = scale - 40.0, scale + 40.0
    for _ in range(64):
        middle = 0.5 * (low + high)
        late = first_purchase_alive(parameters, np.exp(middle), x, T) > goal
        low, high = np.where(late, low, middle), np.where(late, middle, high)
    return np.asarray(np.exp(0.5 * (low + high)), dtype=np.float64)


def count_tail_alive(parameters: Float, m: int, t: Float, x: Float, T: Float) -> Float:
    """P(at least m purchases in the next t | alive at T), shape (n,).

    The m-th purchase of a customer who stayed would come at u, with u / (alpha + T + u) ~ beta(m, r + x); it
    happens when u <= t and the customer is still there. The integral is taken in log u, where the density is
    log-concave.
    """
    r, alpha, s, beta = map(float, parameters)
    shape = np.broadcast(t, x, T).shape
    if m == 0:
        return np.ones(shape)
    horizon, n, age, beta_age = (np.broadcast_to(v, shape).ravel() for v in (t, r + x, alpha + T, beta + T))
    mode = np.log(age * m / n)
    high = np.minimum(np.log(horizon), mode + REACH / n + 9.0 / np.sqrt(np.minimum(m, n)))
    low = np.minimum(high, mode) - REACH / m - 9.0 / np.sqrt(m)
    points, weights = np.polynomial.legendre.leggauss(COUNT_NODES)
    log_norm = scipy.special.betaln(m, n)
    total = np.zeros(n.size)
    for point, weight in zip(0.5 * (1.0 + points), 0.5 * weights, strict=True):
        y = low + (high - low) * point
        u = np.exp(y)
        log_density = m * (y - np.log(age)) - (n + m) * np.log1p(u / age) - log_norm
        total += weight * np.exp(log_density - s * np.log1p(u / beta_age))
    return np.asarray(np.minimum((high - low) * total, 1.0).reshape(shape), dtype=np.float64)


def residual_alive(parameters: Float, rate: float, x: Float, T: Float) -> Float:
    """E[purchases for ever, discounted at `rate` | alive at T], shape (n,).

    (r + x) / (alpha + T) times the integral of exp(-rate u) ((beta + T) / (beta + T + u))^s, which is
    (beta + T) U(1, 2 - s, rate (beta + T)) with Tricomi's U (Fader, Hardie & Lee 2005, "RFM and CLV",
    equation 2).
    """
    r, alpha, s, beta = map(float, parameters)
    z = rate * (beta + T)
    return np.asarray((r + x) / (alpha + T) * (beta + T) * scipy.special.hyperu(1.0, 2.0 - s, z))
