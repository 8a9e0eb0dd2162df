"""Does spend depend on frequency? The gamma-gamma model assumes that it does not.

The trend is the slope b of log m on log(1 + x) over customers with repeat purchases, weighted by x (a mean of
x amounts is x times as precise), with an error that allows unequal variances. It matters when it is beyond
chance and moves spend by a tenth between occasional and frequent buyers; then amounts are divided by (1 +
x)^b before the spend model is fitted, and the forecast is multiplied by it again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

__all__ = ["SpendTrend", "estimate_trend"]

#: Beyond this many standard errors a trend is no chance.
CLEAR = 4.0
#: A trend matters when spend differs by this share between the 10th and 90th percentile of frequency.
NOTICEABLE = 0.10
#: Fewer customers than this say nothing of a trend.
FEWEST_CUSTOMERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendTrend:
    """How mean spend moves with frequency.

    Attributes
    ----------
    slope, std_error
        Of log mean spend on log(1 + frequency).
    difference
        Spend of frequent (90th percentile) over occasional (10th) buyers, less 1.
    customers
        Customers with repeat purchases.
    matters
        Whether the spend model is corrected for it.
    """

    slope: float
    std_error: float
    difference: float
    customers: int
    matters: bool

    def to_dict(self) -> dict[str, float | int | bool]:
        """Plain values for the model card."""
        return asdict(self)


def estimate_trend(summary: pl.DataFrame) -> SpendTrend | None:
    """The trend of a summary; None with too few repeat customers, or with one frequency only."""
    kept = summary.filter((pl.col("frequency") > 0) & (pl.col("monetary_value") > 0))
    x, m = (kept[name].cast(pl.Float64).to_numpy() for name in ("frequency", "monetary_value"))
    if x.size < FEWEST_CUSTOMERS or np.unique(x).size < 2:
        return None
    u, y = np.log1p(x), np.log(m)
    u_mean, y_mean = np.average(u, weights=x), np.average(y, weights=x)
    du = u - u_mean
    information = float(x @ du**2)
    slope = float((x * du) @ (y - y_mean)) / information
    residual = y - y_mean - slope * du
    error = float(np.sqrt(((x * du * residual) ** 2).sum())) / information
    rare, often = np.quantile(u, [0.1, 0.9])
    difference = float(np.expm1(slope * (often - rare)))
    matters = abs(slope) > CLEAR * error and abs(difference) > NOTICEABLE
    return SpendTrend(
        slope=slope, std_error=error, difference=difference, customers=int(x.size), matters=bool(matters)
    )
