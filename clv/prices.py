"""Customers who pay more, or less, from some month on: what the history says of spend is old then.

Each customer's own repeat purchases before a month are held against those from it on, in logs; the means are
weighted by n0 n1 / (n0 + n1), n0 and n1 his purchases on either side, so that who buys only before or after
says nothing, and who came with the change moves nothing. The month with the clearest step is told, or, where
it is clearer, a steady drift: the slope of his log amounts over time, with a mean of his own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from histories.arrays import Float
from histories.periods import DAYS_PER_YEAR

#: A step is told from so many standard errors and such a change on.
CLEAR, NOTICEABLE = 6.0, 0.15
#: A drift is told from such a change a year on, and from so many days of history: seasons come twice.
DRIFTS, SPANS = 0.08, 548
#: Days after which a step is no season any more, and what customers paid before is counted at today's prices.
LASTING = 90
FEWEST_CUSTOMERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """By how much customers pay more from a month on than they did before.

    Attributes
    ----------
    month
        Its first day.
    change, std_error
        Of the mean log amount.
    lasts
        Whether it has stood for `LASTING` days.
    """

    month: date
    change: float
    std_error: float
    lasts: bool

    @property
    def note(self) -> str:
        """In a sentence, with what to do."""
        low, high = (np.expm1(self.change + side * 1.96 * self.std_error) for side in (-1.0, 1.0))
        return (
            f"customers pay {np.expm1(self.change):+.0%} [{low:+.0%}, {high:+.0%}] a purchase from "
            f"{self.month:%B %Y} on, held against their own purchases before: "
            + (
                "values count those at the new prices"
                if self.lasts
                else f"values rest on both until that has lasted {LASTING} days. If prices changed, give "
                "amounts at today's, or orders from then on alone"
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """By how much customers pay more each year than the year before.

    Attributes
    ----------
    change, std_error
        Of the mean log amount, per year.
    """

    change: float
    std_error: float

    @property
    def note(self) -> str:
        """In a sentence, with what it does to values."""
        low, high = (np.expm1(self.change + side * 1.96 * self.std_error) for side in (-1.0, 1.0))
        ahead = np.expm1(self.change) / self.change - 1.0
        return (
            f"customers pay {np.expm1(self.change):+.0%} [{low:+.0%}, {high:+.0%}] a purchase each year, "
            "held against their own purchases before: values count all at today's prices; should it go on, "
            f"those of the next twelve months are another {ahead:+.0%}"
        )


def find_change(purchases: pl.LazyFrame, *, end: date) -> Step | Drift | None:
    """The clearest change in what customers pay up to `end`, at once or by the year."""
    repeats = (
        purchases.filter((pl.col("date") <= end) & (pl.col("amount") > 0))
        .filter(pl.col("date") > pl.col("date").min().over("customer_id"))
        .group_by("customer_id", month=pl.col("date").dt.truncate("1mo"))
        .agg(pl.col("amount").log().sum().alias("log"), pl.len().alias("n"))
        .collect()
    )
    months = repeats["month"].unique().sort()
    if months.len() < 2:
        return None
    owner = repeats["customer_id"].rank("dense").to_numpy().astype(np.int64) - 1
    when = months.search_sorted(repeats["month"]).to_numpy()
    counts, logs = np.zeros((2, int(owner.max()) + 1, months.len()))
    counts[owner, when], logs[owner, when] = repeats["n"].to_numpy(), repeats["log"].to_numpy()
    best = None
    for k in range(1, months.len()):
        step = _step(counts, logs, k)
        if step is not None and (best is None or abs(step[0] / step[1]) > abs(best[1] / best[2])):
            best = k, *step
    drift = _drift(counts, logs, months)
    if drift is not None and (best is None or abs(drift.change / drift.std_error) > abs(best[1] / best[2])):
        return drift
    if best is None or abs(best[1]) < CLEAR * best[2] or abs(np.expm1(best[1])) < NOTICEABLE:
        return None
    month = months[best[0]]
    lasts = (end - month).days >= LASTING
    return Step(month=month, change=best[1], std_error=best[2], lasts=lasts)


def _drift(counts: Float, logs: Float, months: pl.Series) -> Drift | None:
    """Slope of log amounts by the year, with a mean of each customer; None where it is not clear."""
    years = (months - months[0]).dt.total_days().to_numpy() / DAYS_PER_YEAR
    if years[-1] * DAYS_PER_YEAR < SPANS:
        return None
    n = counts.sum(axis=1)
    own = years - (counts @ years / n)[:, None]
    pull = (own * logs).sum(axis=1)
    weight = (counts * own**2).sum(axis=1)
    if (weight > 0).sum() < FEWEST_CUSTOMERS:
        return None
    slope = float(pull.sum() / weight.sum())
    error = float(np.sqrt(((pull - slope * weight) ** 2).sum()) / weight.sum())
    if abs(slope) < CLEAR * error or abs(np.expm1(slope)) < DRIFTS:
        return None
    return Drift(change=slope, std_error=error)


def _step(counts: Float, logs: Float, k: int) -> tuple[float, float] | None:
    """Change from month k on, and its error by customers; None with too few on both sides."""
    n0, n1 = counts[:, :k].sum(axis=1), counts[:, k:].sum(axis=1)
    both = (n0 > 0) & (n1 > 0)
    if both.sum() < FEWEST_CUSTOMERS:
        return None
    n0, n1 = n0[both], n1[both]
    change = logs[both, k:].sum(axis=1) / n1 - logs[both, :k].sum(axis=1) / n0
    weight = n0 * n1 / (n0 + n1)
    mean = float(weight @ change / weight.sum())
    error = float(np.sqrt(weight**2 @ (change - mean) ** 2) / weight.sum())
    return (mean, error) if error > 0.0 else None
