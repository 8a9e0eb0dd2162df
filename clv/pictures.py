"""Frames behind the pictures that data scientists expect of a purchase model.

Each function returns a tidy frame, one row per mark; drawing is the report's.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from clv.purchases.fits import PurchaseFit
from clv.summary import DAYS_PER_UNIT
from histories.arrays import Float


def alive_matrix(fit: PurchaseFit, *, frequency: int, age: int) -> pl.DataFrame:
    """P(alive) by frequency and recency at one age: columns frequency, recency, probability_alive."""
    x, t_x = _grid(frequency, age)
    alive = fit.predict_alive(x, t_x, np.full_like(x, float(age)))
    return pl.DataFrame({"frequency": x.astype(np.int64), "recency": t_x, "probability_alive": alive})


def frequency_recency_matrix(fit: PurchaseFit, *, frequency: int, age: int, t: float) -> pl.DataFrame:
    """E[purchases in the next t] by frequency and recency at one age, in column expected_purchases."""
    x, t_x = _grid(frequency, age)
    expected = fit.predict_purchases(np.array([t]), x, t_x, np.full_like(x, float(age)))[0]
    return pl.DataFrame({"frequency": x.astype(np.int64), "recency": t_x, "expected_purchases": expected})


def _grid(frequency: int, age: int) -> tuple[Float, Float]:
    """Every possible pair: recency 0 goes with frequency 0 alone."""
    pairs = [(x, t_x) for x in range(frequency + 1) for t_x in range(age + 1) if (x == 0) == (t_x == 0)]
    x, t_x = np.array(pairs, dtype=np.float64).T
    return x, t_x


def alive_history(
    fit: PurchaseFit, purchase_days: list[date], *, until: date, time_unit: str, step_days: int = 1
) -> pl.DataFrame:
    """P(alive) of one customer over time: columns date, probability_alive and purchased (on that day).

    Each day is judged by what was known on it, so the line falls while a customer is silent and jumps at a
    purchase.
    """
    days = sorted(set(purchase_days))
    unit = DAYS_PER_UNIT[time_unit]
    span = (until - days[0]).days
    moments = sorted({*range(0, span, step_days), span, *((d - days[0]).days for d in days if d <= until)})
    bought = np.array([(d - days[0]).days for d in days])
    now = np.array(moments)
    seen = np.searchsorted(bought, now, side="right")
    x = (seen - 1).astype(np.float64)
    alive = fit.predict_alive(x, bought[seen - 1] / unit, now / unit)
    return pl.DataFrame(
        {
            "date": [days[0] + timedelta(days=int(day)) for day in moments],
            "probability_alive": alive,
            "purchased": np.isin(now, bought),
        }
    )


def tracking(
    purchases: pl.LazyFrame, fit: PurchaseFit, *, observation_end: date, time_unit: str, step_days: int = 7
) -> pl.DataFrame:
    """Repeat purchases of the whole company over time, observed beside expected.

    Every customer contributes from the first purchase on, with the model's expectation for a new customer, as
    in figure 2 of Fader, Hardie & Lee (2005).

    Returns
    -------
    DataFrame
        date (end of the step), observed and expected (in the step), cumulative_observed and
        cumulative_expected.
    """
    known = purchases.filter(pl.col("date") <= observation_end)
    first = pl.col("date").min().over("customer_id")
    days = known.select("date", first=first).with_columns(repeat=pl.col("date") > pl.col("first")).collect()
    start = days["first"].to_numpy().min()
    born = _day_numbers(days.filter(~pl.col("repeat"))["date"], start)
    repeats = _day_numbers(days.filter(pl.col("repeat"))["date"], start)
    span = int((np.datetime64(observation_end) - start).astype(int))
    edges = np.arange(step_days, span + step_days, step_days).clip(max=span)
    edges = np.unique(edges)
    unit = DAYS_PER_UNIT[time_unit]
    ages = np.arange(1, span + 1) / unit
    curve = np.concatenate([[0.0], fit.expected_purchases(ages)])
    starters = np.bincount(born, minlength=span + 1)[: span + 1]
    expected = np.array([starters[: edge + 1] @ curve[edge - np.arange(edge + 1)] for edge in edges])
    observed = np.searchsorted(np.sort(repeats), edges, side="right")
    origin = start.astype("datetime64[D]").astype(date)
    return pl.DataFrame(
        {
            "date": [origin + timedelta(days=int(edge)) for edge in edges],
            "observed": np.diff(observed, prepend=0),
            "expected": np.diff(expected, prepend=0.0),
            "cumulative_observed": observed,
            "cumulative_expected": expected,
        }
    )


def _day_numbers(days: pl.Series, start: np.datetime64) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Days since `start`."""
    return np.asarray((days.to_numpy() - start).astype("timedelta64[D]").astype(np.int64))
