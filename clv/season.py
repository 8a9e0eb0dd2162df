"""Season, level and covariates of a company's purchases, estimated together with who is still a customer.

The index of a day is m = exp(level_k + season_month + g x), k its calendar month and x the covariates of the
day (`clv.calendar`). Days of one month and the same x are one cell c. By expectation and maximisation:

- E: a customer with x repeats is alive for certain up to the last purchase and afterwards with probability A,
  so a purchase is expected on a day with intensity  A (r + x)/(alpha + T') + (1 - A) (r + x)/(alpha + t_x')
  before the last purchase and  A (r + x)/(alpha + T')  after it (MBG/NBD in time on the clock); E_c is its
  sum over customers and days of cell c, N_c the repeat purchases of those days.
- M: penalised Poisson regression of N_c on E_c m. Counts are noisier than Poisson, so each cell of month k
  has weight 1/(1 + DISPERSION^2 E_k); the level is a random walk, the season is shrunk to none, and a
  standard deviation of a covariate to a factor of exp(+-COVARIATE_SIZE).

The parameters of the purchase model and the index are estimated in turn. Where customers are regular, nobody
buys again before a first gap is over, which the model reads as a bad month; the months in which a company of
regular customers begins are left out.

Trend and dropout cannot be told apart in a single cohort, where calendar time is age. Totals survive that;
the probability of being alive does not, and is taken from the model on calendar time less closed stretches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from clv.calendar import DayCovariates
from clv.clock import Clock, closures, month_of
from clv.purchases.base import PurchaseFit
from clv.purchases.fits import fit_purchases
from clv.summary import DAYS_PER_UNIT, summarize_purchases
from histories.arrays import Float, Integer
from histories.periods import DAYS_PER_MONTH

#: Days of history below which season and the growth of a cohort cannot be told apart.
SHORTEST_HISTORY = 360
#: Standard deviations of a step of the level a month, and of a season's factor, in logs.
LEVEL_STEP, SEASON_SIZE = 0.05, 0.3
#: Standard deviation of what one standard deviation of a covariate does, in logs.
COVARIATE_SIZE = 0.3
#: Months vary beyond Poisson by this share of their expected count.
DISPERSION = 0.05
#: How often the purchase model is fitted, and how often the index is renewed between two fits.
FITS, INNER = 5, 12
MODEL = "mbg_nbd"
#: Customers are regular when their gaps vary, on average, by less than this share of their mean.
REGULAR = 0.5
#: Gaps that a customer needs to say anything of that.
FEWEST_GAPS = 3


def estimate_clock(
    purchases: pl.LazyFrame,
    *,
    first: date,
    end: date,
    time_unit: str,
    season: bool = True,
    covariates: DayCovariates | None = None,
) -> Clock:
    """Estimate the clock from purchases up to `end`; calendar time where there is nothing to learn.

    Stretches in which the company was closed do not count, whatever else is asked for.

    Parameters
    ----------
    purchases
        One row per purchase: customer_id, timestamp, date, amount and margin.
    first, end
        First and last day of the history.
    time_unit
        "day" or "week".
    season
        Estimate season and level, from `SHORTEST_HISTORY` days of history on.
    covariates
        Of the days from `first` on.

    Raises
    ------
    ConvergenceError
        When the purchase model that the index rests on cannot be fitted.
    """
    shut = closures(purchases, first=first, end=end)
    clock = Clock(first=first, end=end, time_unit=time_unit, closed=shut)
    season = season and (end - first).days >= SHORTEST_HISTORY
    if not season and covariates is None:
        return clock
    summary = summarize_purchases(purchases, observation_end=end, time_unit=time_unit)
    frame = summary.sort("customer_id").collect()
    cells = _Cells.of(clock, covariates, season=season)
    counts = _repeats_by_cell(purchases, cells, clock)
    left_out = _first_gap(purchases, end=end)
    index, errors = np.zeros(cells.months + 12 + cells.x.shape[1]), np.zeros(0)
    born, last = clock.days(frame["first_purchase"]), clock.days(frame["last_purchase"])
    x = frame["frequency"].cast(pl.Float64).to_numpy()
    for _ in range(FITS):
        fit = fit_purchases(MODEL, clock.retime(frame, origin=end))
        for _ in range(INNER):
            exposure = _exposure(fit, x, born, last, clock, cells)
            index, errors = _regress(counts, exposure, cells, index, left_out=left_out)
            clock = _clock_of(clock, cells, index, errors, covariates)
    return clock


def _clock_of(
    clock: Clock, cells: _Cells, index: Float, errors: Float, covariates: DayCovariates | None
) -> Clock:
    """The clock at these values of the index."""
    K, coefficients = cells.months, index[cells.months + 12 :]
    made = replace(clock, level=tuple(index[:K].tolist()), season=tuple(index[K : K + 12].tolist()))
    if not cells.season:
        made = replace(clock)
    if covariates is None:
        return made
    names = zip(covariates.names, coefficients.tolist(), errors.tolist(), strict=True)
    moved = covariates.matrix @ coefficients
    means = tuple(covariates.means[name] for name in covariates.names)
    return replace(made, moved=tuple(moved.tolist()), covariates=tuple(names), means=means)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """The days of a history in cells: those of one calendar month with the same covariates.

    Attributes
    ----------
    of_day
        The cell of each day, shape (days,).
    month
        The month of each cell, counted from the first one.
    of_year
        The month of the year of each cell.
    x
        The covariates of each cell, shape (cells, k).
    months
        Months of the history.
    season
        Whether season and level are estimated.
    """

    of_day: Integer
    month: Integer
    of_year: Integer
    x: Float
    months: int
    season: bool

    @classmethod
    def of(cls, clock: Clock, covariates: DayCovariates | None, *, season: bool) -> _Cells:
        days = np.datetime64(clock.first) + np.arange((clock.end - clock.first).days + 1)
        calendar = month_of(days)
        k = 0 if covariates is None else covariates.matrix.shape[1]
        x = np.zeros((days.size, k))
        if covariates is not None:
            known = min(days.size, covariates.matrix.shape[0])
            x[:known] = covariates.matrix[:known]
        found, of_day = np.unique(np.column_stack([calendar, x]), axis=0, return_inverse=True)
        month = found[:, 0].astype(np.int64)
        return cls(
            of_day=of_day.ravel(),
            month=month - calendar[0],
            of_year=month % 12,
            x=found[:, 1:],
            months=int(calendar[-1] - calendar[0]) + 1,
            season=season,
        )


def _repeats_by_cell(purchases: pl.LazyFrame, cells: _Cells, clock: Clock) -> Float:
    """Repeat purchases in each cell, shape (cells,)."""
    known = purchases.filter(pl.col("date") <= clock.end)
    repeats = known.filter(pl.col("date") > pl.col("date").min().over("customer_id")).select("date").collect()
    days = clock.days(repeats["date"])
    return np.bincount(cells.of_day[days], minlength=cells.month.size).astype(np.float64)


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


def _exposure(fit: PurchaseFit, x: Float, born: Integer, last: Integer, clock: Clock, cells: _Cells) -> Float:
    """Purchases expected of each cell at an index of 1 (the E step), shape (cells,).

    Of customers with `x` repeats, by the days of their first and last purchase.
    """
    r, alpha = fit.vector()[:2]
    t_x, T = clock.times(born, last, x, origin=clock.end)
    alive = fit.predict_alive(x, t_x, T)
    late = alive * (r + x) / (alpha + T)
    early = late + (1.0 - alive) * (r + x) / (alpha + t_x)
    span = cells.of_day.size
    # a customer adds `early` to the days after the first purchase and changes to `late` after the last one
    steps = np.bincount(born + 1, weights=early, minlength=span + 2)
    steps += np.bincount(last + 1, weights=late - early, minlength=span + 2)
    daily = np.cumsum(steps)[:span] / DAYS_PER_UNIT[clock.time_unit]
    for start, stop in clock.closed:
        daily[start : stop + 1] = 0.0
    return np.bincount(cells.of_day, weights=daily, minlength=cells.month.size).astype(np.float64)


def _regress(
    counts: Float, exposure: Float, cells: _Cells, start: Float, *, left_out: int
) -> tuple[Float, Float]:
    """The M step by Newton's method: level and season, the covariates' coefficients and their errors."""
    K, k = cells.months, cells.x.shape[1]
    design = np.hstack([np.eye(K)[cells.month], np.eye(12)[cells.of_year], cells.x])
    by_month = np.bincount(cells.month, weights=exposure, minlength=K)
    weight = 1.0 / (1.0 + DISPERSION**2 * by_month[cells.month])
    weight[cells.month < left_out] = 0.0
    precision = np.zeros((K + 12 + k, K + 12 + k))
    precision[: K + 12, : K + 12] = _prior_of_season(cells)
    spread = np.average(cells.x**2, axis=0, weights=np.bincount(cells.of_day)) if k else np.zeros(0)
    precision[K + 12 :, K + 12 :] = np.diag(spread / COVARIATE_SIZE**2)
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
    index[K : K + 12][np.bincount(cells.of_year, minlength=12) == 0] = 0.0
    return index, np.sqrt(np.diag(np.linalg.inv(curvature))[K + 12 :]) if k else np.zeros(0)


def _prior_of_season(cells: _Cells) -> Float:
    """Precision of level and season, shape (months + 12, months + 12)."""
    K = cells.months
    if not cells.season:  # neither moves; alpha holds the scale
        return np.eye(K + 12) * 1e12
    steps = np.diff(np.eye(K), axis=0)
    precision = np.zeros((K + 12, K + 12))
    precision[:K, :K] = steps.T @ steps / LEVEL_STEP**2
    precision[K:, K:] = np.eye(12) / SEASON_SIZE**2
    # neither mean is told by the data: alpha holds the scale, the level holds the year's mean
    seen = np.bincount(cells.of_year, minlength=12) > 0
    for part in (np.r_[np.ones(K) / K, np.zeros(12)], np.r_[np.zeros(K), seen / seen.sum()]):
        precision += 1e6 * np.outer(part, part)
    return precision
