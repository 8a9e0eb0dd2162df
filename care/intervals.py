"""Intervals of shares, scores and means of cases, some of which belong to the same customer.

Share: Wilson (1927). Customers with several cases make a sample smaller than it looks: n is divided by the
design effect, the variance between customers over that of as many independent cases (Kish 1965, ch. 5.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl
from scipy.special import ndtri

__all__ = ["LEVEL", "Interval", "design_effect", "mean_interval", "net_score", "share_interval", "wilson"]

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
    return float(ndtri(0.5 + level / 2))


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


def design_effect(values: pl.Series, customers: pl.Series, weights: pl.Series | None = None) -> float:
    """Variance of a mean between customers over that of independent cases; never below 1.

    Parameters
    ----------
    values
        One per case, without nulls.
    customers
        Whose case it is; null is a customer of its own.
    weights
        Weight of each case; equal without it.
    """
    n = values.len()
    weight = pl.Series([1.0] * n) if weights is None else weights.cast(pl.Float64)
    frame = pl.DataFrame({"v": values.cast(pl.Float64), "c": customers, "w": weight}).with_row_index()
    total = float(frame["w"].sum())
    if n < 2 or total <= 0:
        return 1.0
    mean = float((frame["v"] * frame["w"]).sum()) / total
    own = pl.when(pl.col("c").is_null()).then(pl.col("index"))
    residual = pl.col("w") * (pl.col("v") - mean)
    sums = frame.group_by("c", own.alias("own")).agg(
        residual.sum().alias("r"), residual.pow(2).sum().alias("s")
    )
    naive = float(sums["s"].sum())
    return max(1.0, float((sums["r"] ** 2).sum()) / naive) if naive > 0 else 1.0


def share_interval(hits: pl.Series, customers: pl.Series, level: float = LEVEL) -> Interval:
    """Share of cases for which something is true; null values are left out."""
    frame = pl.DataFrame({"hit": hits.cast(pl.Float64), "customer": customers}).drop_nulls("hit")
    n = frame.height
    if not n:
        return Interval(value=None)
    share = float(frame["hit"].mean() or 0.0)  # type: ignore[arg-type]
    low, high = wilson(share, n / design_effect(frame["hit"], frame["customer"]), level)
    return Interval(value=share, low=low, high=high, n=n)


def mean_interval(values: pl.Series, customers: pl.Series, level: float = LEVEL) -> Interval:
    """Mean over cases, with a normal interval whose error is that between customers."""
    frame = pl.DataFrame({"value": values.cast(pl.Float64), "customer": customers}).drop_nulls("value")
    n = frame.height
    if not n:
        return Interval(value=None)
    mean = float(frame["value"].mean())  # type: ignore[arg-type]
    if n < 2:
        return Interval(value=mean, n=n)
    effect = design_effect(frame["value"], frame["customer"])
    half = z_of(level) * math.sqrt(float(frame["value"].var()) * effect / n)  # type: ignore[arg-type]
    return Interval(value=mean, low=mean - half, high=mean + half, n=n)


def net_score(promoters: int, detractors: int, n: int) -> tuple[float, float]:
    """Share of promoters less that of detractors, and its standard error.

    >>> [round(figure, 4) for figure in net_score(30, 18, 80)]
    [0.15, 0.085]
    """
    score = (promoters - detractors) / n
    return score, math.sqrt(((promoters + detractors) / n - score**2) / n)
