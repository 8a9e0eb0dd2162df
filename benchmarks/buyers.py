"""Simulated customers with their truth: one simulator for each model, for tests, studies and lessons.

Each returns what an analyst would see up to T and, beside it, what the customer went on to do and the hidden
traits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clv.purchases.observations import Observations
from histories.arrays import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Customers, their future and their traits; all of shape (n,).

    Attributes
    ----------
    observations
        Frequency, recency and T.
    future
        Purchases in (T, T + horizon].
    rate
        Purchase rate per time unit while alive.
    dropout
        Probability of leaving after a purchase, or rate of leaving per time unit in Pareto/NBD.
    alive
        Whether the customer is alive at T.
    """

    observations: Observations
    future: Float
    rate: Float
    dropout: Float
    alive: np.ndarray[tuple[int], np.dtype[np.bool_]]


def simulate_geometric(
    rng: np.random.Generator,
    T: Float,
    *,
    r: float,
    alpha: float,
    a: float,
    b: float,
    k: int = 1,
    birth: int = 0,
    horizon: float = 0.0,
) -> Simulated:
    """Customers of BG/NBD (k 1, birth 0), MBG/NBD (birth 1) or their Erlang-k relatives.

    Purchases follow each other after Erlang-k times with rate lambda ~ gamma(r, alpha); after each one (with
    `birth` after the first of all, too) the customer leaves with probability p ~ beta(a, b).
    """
    n = T.size
    rate, dropout = rng.gamma(r, 1.0 / alpha, n), rng.beta(a, b, n)
    x, t_x, future, now = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    active = rng.random(n) >= dropout if birth else np.ones(n, dtype=bool)
    alive = active.copy()
    end = T + horizon
    while active.any():
        rows = np.flatnonzero(active)
        now[rows] += rng.standard_gamma(k, rows.size) / np.maximum(rate[rows], 1e-300)
        stays = rng.random(rows.size) >= dropout[rows]
        seen, later = now[rows] <= T[rows], now[rows] <= end[rows]
        x[rows] += seen
        t_x[rows] = np.where(seen, now[rows], t_x[rows])
        future[rows] += later & ~seen
        alive[rows] &= stays | ~seen
        active[rows] = later & stays
    return Simulated(
        observations=Observations.from_arrays(x, t_x, T),
        future=future,
        rate=rate,
        dropout=dropout,
        alive=alive,
    )


def simulate_pareto_nbd(
    rng: np.random.Generator,
    T: Float,
    *,
    r: float,
    alpha: float,
    s: float,
    beta: float,
    horizon: float = 0.0,
) -> Simulated:
    """Customers of Pareto/NBD.

    Purchases come at rate lambda ~ gamma(r, alpha) until the customer leaves at rate mu ~ gamma(s, beta).
    """
    n = T.size
    rate, dropout = rng.gamma(r, 1.0 / alpha, n), rng.gamma(s, 1.0 / beta, n)
    lifetime = rng.exponential(1.0, n) / np.maximum(dropout, 1e-300)
    seen, lived = np.minimum(lifetime, T), np.minimum(lifetime, T + horizon)
    x = rng.poisson(rate * seen).astype(np.float64)
    latest = seen * rng.random(n) ** (1.0 / np.maximum(x, 1.0))  # the largest of x uniform times
    return Simulated(
        observations=Observations.from_arrays(x, np.where(x > 0, latest, 0.0), T),
        future=rng.poisson(rate * (lived - seen)).astype(np.float64),
        rate=rate,
        dropout=dropout,
        alive=lifetime > T,
    )


def simulate_gamma_gamma(
    rng: np.random.Generator, counts: Float, *, p: float, q: float, v: float
) -> tuple[Float, Float]:
    """Mean amount of `counts` purchases of each customer (NaN for none), and true means; shapes (n,)."""
    scale = rng.gamma(q, 1.0 / v, counts.size)
    total = rng.gamma(np.maximum(p * counts, 1e-12)) / scale
    mean = np.divide(total, counts, out=np.full(counts.size, np.nan), where=counts > 0)
    return mean, p / scale
