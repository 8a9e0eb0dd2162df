"""Predictive intervals: how many purchases and how much value one customer may bring.

Given that a customer is alive, the number of purchases and their sum in the customer's own spend scale depend
on frequency and T alone. So they are simulated once for each distinct pair, each simulation with its own draw
of the parameters, and a customer's quantiles are read off after mixing with the probability of having left:

    P(N <= n) = 1 - A + A F(n | alive),   so the quantile at level p is that of F at (p - 1 + A) / A

with A the posterior mean of the probability of being alive. Where a customer's expectation follows another
forecast by a factor f, counts shrink by f < 1; for f > 1 the probability of being alive rises first, up to 1,
and counts grow by what is left of the factor.

A company's total may be off by chance, too: by parameters and process, in relative variances. The rest of its
interval comes from the errors of past windows (`clv.stack`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from clv.purchases.base import PurchaseFit
from clv.spend import GammaGammaFit
from clv.value import Horizon, discounted_purchases, distinct_pairs
from histories.arrays import Float

#: Parameter draws behind an interval, and simulations with each.
PARAMETER_DRAWS, PER_DRAW = 50, 10
#: Parameter draws behind the probability of being alive.
ALIVE_DRAWS = 16
#: Simulated numbers held at once.
HELD = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictive:
    """Quantiles of what each customer may bring; all of shape (n,), value in currency and NaN without spend.

    Attributes
    ----------
    purchases_low, purchases_high
        Of the number of purchases within the horizon.
    value_low, value_high
        Of the discounted margin within the horizon.
    """

    purchases_low: Float
    purchases_high: Float
    value_low: Float
    value_high: Float


def predict_intervals(
    fits: Sequence[PurchaseFit],
    spend_fits: Sequence[GammaGammaFit],
    horizon: Horizon,
    *,
    frequency: Float,
    recency: Float,
    T: Float,
    monetary_value: Float,
    gross_margin: float,
    level: float,
    rng: np.random.Generator,
    factor: Float | None = None,
) -> Predictive:
    """Predictive interval of each customer at probability `level`.

    Parameters
    ----------
    fits, spend_fits
        The models at draws of their parameters; `spend_fits` may be empty.
    horizon
        How far ahead and how discounted.
    frequency, recency, T, monetary_value
        Shape (n,).
    gross_margin
        Share of revenue that is margin.
    level
        Probability inside.
    rng
        Of the simulations.
    factor
        What each customer's expectation is multiplied by, shape (n,); None leaves the models alone.
    """
    x, n = frequency, frequency.size
    alive = np.mean(
        [f.predict_alive(x, recency, T) for f in fits[:: max(1, len(fits) // ALIVE_DRAWS)]], axis=0
    )
    alive, stretch = _leaned(alive, factor)
    plain, discounted = discounted_purchases(fits[0], horizon, x, recency, T, alive=np.ones(n))
    tail = (1.0 - level) / 2.0
    levels = [np.clip((p - 1.0 + alive) / np.maximum(alive, 1e-12), 0.0, 1.0) for p in (tail, 1.0 - tail)]
    first, inverse = distinct_pairs(x, T)
    counts, sums = np.zeros((2, n)), np.full((2, n), np.nan)
    for pairs, customers in _by_pair(first, inverse):
        count_table, sum_table = _simulate(fits, spend_fits, horizon.length, x[pairs], T[pairs], rng)
        position = np.searchsorted(pairs, first[inverse[customers]])
        for side in (0, 1):
            counts[side, customers] = _read(count_table, position, levels[side][customers])
            if spend_fits:
                sums[side, customers] = _read(sum_table, position, levels[side][customers])
    paid = gross_margin * stretch * np.divide(discounted, plain, out=np.ones(n), where=plain > 0)
    scale = spend_fits[0].scale(x, monetary_value) * paid if spend_fits else np.full(n, np.nan)
    return Predictive(
        purchases_low=np.floor(counts[0] * stretch),
        purchases_high=np.ceil(counts[1] * stretch - 1e-9),
        value_low=sums[0] * scale,
        value_high=sums[1] * scale,
    )


def _leaned(alive: Float, factor: Float | None) -> tuple[Float, Float]:
    """Probability of being alive and stretch of the counts under a factor, both of shape (n,)."""
    if factor is None:
        return alive, np.ones_like(alive)
    raised = np.where(factor > 1.0, np.minimum(alive * factor, 1.0), alive)
    return raised, np.divide(alive * factor, raised, out=np.ones_like(alive), where=raised > 0)


def churn_under(alive: Float, churn: Float, factor: Float) -> Float:
    """P(no purchase) of customers whose expectation is multiplied by a factor, shape (n,).

    With q the chance of a purchase given alive: 1 - A' + A' (1 - q)^stretch, in the terms of this module.
    """
    buys = np.divide(1.0 - churn, alive, out=np.zeros_like(alive), where=alive > 0)
    raised, stretch = _leaned(alive, factor)
    silent = np.power(np.clip(1.0 - buys, 0.0, 1.0), stretch)
    return np.asarray(np.clip(1.0 - raised + raised * silent, 0.0, 1.0), dtype=np.float64)


def _by_pair(
    first: np.ndarray[tuple[int], np.dtype[np.intp]], inverse: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> Iterator[tuple[np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]]]]:
    """Blocks of pairs (sorted positions of a row that shows each), with the customers that show them."""
    step = max(1, HELD // (PARAMETER_DRAWS * PER_DRAW))
    order = np.argsort(first, kind="stable")
    rank = np.empty(first.size, dtype=np.intp)
    rank[order] = np.arange(first.size)
    block = rank[inverse] // step
    by_block = np.argsort(block, kind="stable")
    edges = np.searchsorted(block[by_block], np.arange(1 + (first.size - 1) // step + 1))
    for i in range(edges.size - 1):
        yield first[order[i * step : (i + 1) * step]], by_block[edges[i] : edges[i + 1]]


def _simulate(
    fits: Sequence[PurchaseFit],
    spend_fits: Sequence[GammaGammaFit],
    t: float,
    x: Float,
    T: Float,
    rng: np.random.Generator,
) -> tuple[Float, Float]:
    """Sorted counts and spend sums of living customers, shape (pairs, simulations) each."""
    x_wide, T_wide = np.tile(x, PER_DRAW), np.tile(T, PER_DRAW)
    counts, sums = [], []
    for i, fit in enumerate(fits):
        count = fit.simulate_alive(t, x_wide, T_wide, rng=rng)
        counts.append(count.reshape(PER_DRAW, x.size))
        if spend_fits:
            spend = spend_fits[i % len(spend_fits)]
            ratio = spend.simulate_sum(count, x_wide, rng=rng) * (spend.v / spend_fits[0].v) ** (x_wide == 0)
            sums.append(ratio.reshape(PER_DRAW, x.size))
    table = np.sort(np.concatenate(counts).T, axis=1)
    return table, np.sort(np.concatenate(sums).T, axis=1) if sums else table


def _read(table: Float, row: np.ndarray[tuple[int], np.dtype[np.intp]], level: Float) -> Float:
    """Smallest simulated value whose share of simulations at or below it reaches `level`; 0 at level 0."""
    draws = table.shape[1]
    column = np.clip(np.ceil(level * draws).astype(np.intp) - 1, 0, draws - 1)
    return np.where(level > 0.0, table[row, column], 0.0)


#: Parameter draws, and customers simulated: each once, or several times where they are fewer.
DRAWS, SIMULATED = 24, 20_000

F = TypeVar("F", PurchaseFit, GammaGammaFit)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingVariance:
    """Relative variances of the totals of purchases and of revenue; the latter NaN without a spend model."""

    purchases: float
    revenue: float


def sampling_variance(
    fit: PurchaseFit,
    spend_fit: GammaGammaFit | None,
    summary: pl.DataFrame,
    t: float,
    *,
    rng: np.random.Generator,
) -> SamplingVariance:
    """Variance of the log total over parameter draws, plus that of simulated customers.

    Parameters
    ----------
    fit
        Purchase model, in the time of `summary`.
    spend_fit
        Spend model, or None.
    summary
        frequency, recency, T and monetary_value.
    t
        Length of the window, in the time of `summary`.
    rng
        Of draws and simulations.
    """
    rows = summary if summary.height <= SIMULATED else summary.sample(SIMULATED, seed=0)
    times = max(1, SIMULATED // rows.height)
    weight = times * rows.height / summary.height
    names = ("frequency", "recency", "T", "monetary_value")
    x, t_x, T, m = (rows[name].cast(pl.Float64).fill_null(0.0).to_numpy() for name in names)
    many = np.tile(x, times)
    alive = np.tile(fit.predict_alive(x, t_x, T), times)
    count = fit.simulate_alive(t, many, np.tile(T, times), rng=rng) * (rng.random(many.size) < alive)
    expected = fit.predict_purchases(np.array([t]), x, t_x, T)[0]
    purchases = _process(count, np.tile(expected, times), weight)
    revenue, spends = float("nan"), [spend_fit]
    if spend_fit is not None:
        value = spend_fit.simulate_sum(count, many, rng=rng) * np.tile(spend_fit.scale(x, m), times)
        revenue = _process(value, np.tile(expected * spend_fit.predict_spend(x, m), times), weight)
        spends = list(_drawn(spend_fit, spend_fit.report.log_covariance(), rng))
    totals, values = [], []
    for i, drawn in enumerate(_drawn(fit, fit.report.log_covariance(), rng)):
        forecast = drawn.predict_purchases(np.array([t]), x, t_x, T)[0]
        spend = spends[i % len(spends)]
        totals.append(float(forecast.sum()))
        values.append(float(forecast @ spend.predict_spend(x, m)) if spend is not None else float("nan"))
    return SamplingVariance(
        purchases=purchases + _spread(totals), revenue=revenue + (_spread(values) if spend_fit else 0.0)
    )


def _process(simulated: Float, expected: Float, weight: float) -> float:
    """Variance of a total of independent customers over its square; each is simulated `weight` times."""
    total = float(expected.sum())
    return float(((simulated - expected) ** 2).sum()) * weight / total**2 if total > 0.0 else 0.0


def _spread(totals: Sequence[float]) -> float:
    """Variance of the logs, the extremes cut to quartiles' reach so that no single draw decides."""
    logs = np.log(np.array([total for total in totals if np.isfinite(total) and total > 0.0]))
    if logs.size < 4:
        return 0.0
    low, high = np.quantile(logs, [0.25, 0.75])
    return float(((high - low) / 1.349) ** 2)


def _drawn(fit: F, covariance: Float | None, rng: np.random.Generator) -> Sequence[F]:
    """The model at draws of its parameters, normal in their logs; itself where the likelihood is flat."""
    if covariance is None:
        return [fit]
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    steps = rng.standard_normal((DRAWS, values.size)) @ root.T
    drawn = [fit.with_vector(fit.vector() * np.exp(np.clip(step, -3.0, 3.0))) for step in steps]
    return [one for one in drawn if not (isinstance(one, GammaGammaFit) and one.q <= 1.0)] or [fit]
