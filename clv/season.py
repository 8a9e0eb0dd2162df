"""Season and level of a company's purchases, estimated together with who is still a customer.

The index of a day is m = exp(level_k + season_month), k its calendar month. By expectation and maximisation:

- E: a customer with x repeats is alive for certain up to the last purchase and afterwards with probability A,
  so a purchase is expected on a day with intensity  A (r + x)/(alpha + T') + (1 - A) (r + x)/(alpha + t_x')
  before the last purchase and  A (r + x)/(alpha + T')  after it (MBG/NBD in time on the clock); E_k is its
  sum over customers and days of month k, N_k the repeat purchases of that month.
- M: penalised Poisson regression of N_k on E_k exp(level_k + season_month). Counts are noisier than Poisson,
  so month k has weight 1/(1 + DISPERSION^2 E_k); the level is a random walk, the season is shrunk to none.

The parameters of the purchase model and the index are estimated in turn. Where customers are regular, nobody
buys again before a first gap is over, which the model reads as a bad month; the months in which a company of
regular customers begins are left out.

Trend and dropout cannot be told apart in a single cohort, where calendar time is age. Totals survive that;
the probability of being alive does not, and is taken from the model on calendar time.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from clv.clock import Clock, month_of
from clv.purchases.base import PurchaseFit
from clv.purchases.fits import fit_purchases
from clv.summary import DAYS_PER_UNIT, summarize_purchases
from histories.arrays import Float, Moments
from histories.periods import DAYS_PER_MONTH

__all__ = ["SHORTEST_HISTORY", "estimate_clock"]

#: Days of history below which season and the growth of a cohort cannot be told apart.
SHORTEST_HISTORY = 360
#: Standard deviations of a step of the level a month, and of a season's factor, in logs.
LEVEL_STEP, SEASON_SIZE = 0.05, 0.3
#: Months vary beyond Poisson by this share of their expected count.
DISPERSION = 0.05
#: How often the purchase model is fitted, and how often the index is renewed between two fits.
FITS, INNER = 5, 12
MODEL = "mbg_nbd"
#: Customers are regular when their gaps vary, on average, by less than this share of their mean.
REGULAR = 0.5
#: Gaps that a customer needs to say anything of that.
FEWEST_GAPS = 3


def estimate_clock(purchases: pl.LazyFrame, *, first: date, end: date, time_unit: str) -> Clock:
    """Estimate the clock from purchases up to `end`; calendar time below `SHORTEST_HISTORY` days.

    Parameters
    ----------
    purchases
        One row per purchase: customer_id, timestamp, date, amount and margin.
    first, end
        First and last day of the history.
    time_unit
        "day" or "week".

    Raises
    ------
    ConvergenceError
        When the purchase model that the index rests on cannot be fitted.
    """
    clock = Clock(first=first, end=end, time_unit=time_unit)
    if (end - first).days < SHORTEST_HISTORY:
        return clock
    summary = summarize_purchases(purchases, observation_end=end, time_unit=time_unit)
    frame = summary.sort("customer_id").collect()
    months = _Months.of(clock)
    counts = _repeats_by_month(purchases, months, end=end)
    left_out = _first_gap(purchases, end=end)
    index = np.zeros(months.count + 12)
    for _ in range(FITS):
        fit = fit_purchases(MODEL, clock.retime(frame, origin=end))
        for _ in range(INNER):
            exposure = _exposure(fit, frame, clock, months)
            index = _regress(counts, exposure, months, index, left_out=left_out)
            clock = Clock(
                first=first,
                end=end,
                time_unit=time_unit,
                level=tuple(index[: months.count].tolist()),
                season=tuple(index[months.count :].tolist()),
            )
    return clock


class _Months:
    """The calendar months of a history: the month of each of its days, and the month of the year of each."""

    def __init__(self, days: Moments) -> None:
        month = month_of(days)
        self.of_day = month - month[0]
        self.count = int(self.of_day[-1]) + 1
        self.of_year = (month[0] + np.arange(self.count)) % 12
        self.first = int(month[0])

    @classmethod
    def of(cls, clock: Clock) -> _Months:
        return cls(np.datetime64(clock.first) + np.arange((clock.end - clock.first).days + 1))


def _repeats_by_month(purchases: pl.LazyFrame, months: _Months, *, end: date) -> Float:
    """Repeat purchases in each month, shape (months,)."""
    known = purchases.filter(pl.col("date") <= end)
    repeats = known.filter(pl.col("date") > pl.col("date").min().over("customer_id")).select("date").collect()
    month = month_of(repeats["date"].to_numpy().astype("datetime64[D]")) - months.first
    return np.bincount(month, minlength=months.count).astype(np.float64)


def _first_gap(purchases: pl.LazyFrame, *, end: date) -> int:
    """Months at the beginning that a company of regular customers says nothing in; 0 where they are not."""
    gap = pl.col("date").diff().over("customer_id", order_by="date").dt.total_days()
    by_customer = (
        purchases.filter(pl.col("date") <= end)
        .select("customer_id", gap=gap)
        .drop_nulls()
        .group_by("customer_id")
        .agg(pl.col("gap").mean().alias("mean"), pl.col("gap").std().alias("spread"), pl.len().alias("n"))
        .filter(pl.col("n") >= FEWEST_GAPS)
        .collect()
    )
    if by_customer.is_empty():
        return 0
    variation = float((by_customer["spread"] / by_customer["mean"]).fill_nan(0.0).to_numpy().mean())
    if variation >= REGULAR:
        return 0
    return 1 + int(np.ceil(float(np.median(by_customer["mean"].to_numpy())) / DAYS_PER_MONTH))


def _exposure(fit: PurchaseFit, frame: pl.DataFrame, clock: Clock, months: _Months) -> Float:
    """Purchases expected of each month at an index of 1 (the E step), shape (months,)."""
    r, alpha = fit.vector()[:2]
    timed = clock.retime(frame, origin=clock.end)
    x, t_x, T = (timed[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T"))
    alive = fit.predict_alive(x, t_x, T)
    late = alive * (r + x) / (alpha + T)
    early = late + (1.0 - alive) * (r + x) / (alpha + t_x)
    born, last = clock.days(frame["first_purchase"]), clock.days(frame["last_purchase"])
    span = months.of_day.size
    # a customer adds `early` to the days after the first purchase and changes to `late` after the last one
    steps = np.bincount(born + 1, weights=early, minlength=span + 2)
    steps += np.bincount(last + 1, weights=late - early, minlength=span + 2)
    daily = np.cumsum(steps)[:span] / DAYS_PER_UNIT[clock.time_unit]
    return np.bincount(months.of_day, weights=daily, minlength=months.count).astype(np.float64)


def _regress(counts: Float, exposure: Float, months: _Months, start: Float, *, left_out: int) -> Float:
    """The M step by Newton's method: level of each month and season of each month of the year."""
    K = months.count
    design = np.hstack([np.eye(K), np.eye(12)[months.of_year]])
    weight = 1.0 / (1.0 + DISPERSION**2 * exposure)
    weight[:left_out] = 0.0
    steps = np.diff(np.eye(K), axis=0)
    precision = np.zeros((K + 12, K + 12))
    precision[:K, :K] = steps.T @ steps / LEVEL_STEP**2
    precision[K:, K:] = np.eye(12) / SEASON_SIZE**2
    # neither mean is told by the data: alpha holds the scale, the level holds the year's mean
    seen = np.bincount(months.of_year, minlength=12) > 0
    for part in (np.r_[np.ones(K) / K, np.zeros(12)], np.r_[np.zeros(K), seen / seen.sum()]):
        precision += 1e6 * np.outer(part, part)
    index = start.copy()
    for _ in range(30):
        expected = exposure * np.exp(np.clip(design @ index, -20.0, 20.0))
        slope = design.T @ (weight * (counts - expected)) - precision @ index
        curvature = (design * (weight * expected)[:, None]).T @ design + precision
        step = np.linalg.solve(curvature, slope)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        index = index + step
        if np.abs(step).max() < 1e-8:
            break
    index[K:][~seen] = 0.0
    return index
