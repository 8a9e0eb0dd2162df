"""Intervals of shares, scores and means of cases, some of which belong to the same customer.

Share: Wilson (1927). Customers with several cases make a sample smaller than it looks: n is divided by the
design effect, the variance between customers over that of as many independent cases (Kish 1965, ch. 5.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from histories.arrays import Float, Integer

LEVEL = 0.95
"""Probability inside every interval of a service figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure, the ends of its interval, and the number of cases it rests on."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


def z_of(level: float) -> float:
    """Half-width of a normal interval in standard deviations.

    >>> round(z_of(0.95), 4)
    1.96
    """
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a share of n independent cases.

    >>> [round(end, 4) for end in wilson(47 / 60, 60)]
    [0.6638, 0.8688]
    """
    z = z_of(level)
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def design_effect(values: Float, customers: Integer, weights: Float | None = None) -> float:
    """Variance of a mean between customers over that of independent cases; never below 1.

    Parameters
    ----------
    values
        One per case, shape (n_cases,), without NaN.
    customers
        Number of the customer whose case it is, shape (n_cases,).
    weights
        Weight of each case; equal without it.

    >>> design_effect(np.array([1.0, 1.0, 0.0, 0.0]), np.array([1, 1, 2, 2]))
    2.0
    """
    weight = np.ones(len(values)) if weights is None else weights
    if len(values) < 2 or weight.sum() <= 0:
        return 1.0
    residual = weight * (values - np.average(values, weights=weight))
    naive = float((residual**2).sum())
    _, whose = np.unique(customers, return_inverse=True)
    between = float((np.bincount(whose, weights=residual) ** 2).sum())
    return max(1.0, between / naive) if naive > 0 else 1.0


def share_interval(hits: Float, customers: Integer, *, weights: Float | None = None) -> Interval:
    """Share of cases for which something is true (1) and not false (0); NaN is left out.

    With weights the share is of their sum, and n is first taken down to Kish's effective size.
    """
    known = ~np.isnan(hits)
    hit, whose = hits[known], customers[known]
    weight = None if weights is None else weights[known]
    if not len(hit) or (weight is not None and weight.sum() <= 0):
        return Interval(value=None)
    share = float(np.average(hit, weights=weight))
    effective = len(hit) if weight is None else float(weight.sum() ** 2 / (weight**2).sum())
    low, high = wilson(share, effective / design_effect(hit, whose, weight))
    return Interval(value=share, low=low, high=high, n=len(hit))


def difference_interval(first: Interval, second: Interval) -> Interval:
    """First share less the second, from the ends of both (Newcombe 1998, method 10, whose example this is).

    >>> shares = [
    ...     Interval(value=hits / n, low=wilson(hits / n, n)[0], high=wilson(hits / n, n)[1], n=n)
    ...     for hits, n in ((56, 70), (48, 80))
    ... ]
    >>> gap = difference_interval(*shares)
    >>> [round(end, 4) for end in (gap.value, gap.low, gap.high)]
    [0.2, 0.0524, 0.3339]
    """
    ends = (first.value, first.low, first.high, second.value, second.low, second.high)
    if any(end is None for end in ends):
        return Interval(value=None)
    value, low, high, other, other_low, other_high = (float(end or 0.0) for end in ends)
    gap = value - other
    return Interval(
        value=gap,
        low=gap - math.hypot(value - low, other_high - other),
        high=gap + math.hypot(high - value, other - other_low),
        n=first.n + second.n,
    )


def mean_interval(values: Float, customers: Integer) -> Interval:
    """Mean over cases, with a normal interval whose error is that between customers; NaN is left out."""
    known = ~np.isnan(values)
    value, whose = values[known], customers[known]
    n = len(value)
    if n < 2:
        return Interval(value=float(value[0]) if n else None, n=n)
    mean = float(value.mean())
    half = z_of(LEVEL) * math.sqrt(float(value.var(ddof=1)) * design_effect(value, whose) / n)
    return Interval(value=mean, low=mean - half, high=mean + half, n=n)


def net_score(promoters: int, detractors: int, n: int) -> tuple[float, float]:
    """Share of promoters less that of detractors, and its standard error.

    >>> [round(figure, 4) for figure in net_score(30, 18, 80)]
    [0.15, 0.085]
    """
    score = (promoters - detractors) / n
    return score, math.sqrt(((promoters + detractors) / n - score**2) / n)
