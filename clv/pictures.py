"""Frames behind the pictures that data scientists expect of a purchase model.

Each function returns a tidy frame, one row per mark; drawing is the report's. Cohorts by first purchase are
among them: who kept buying, observed and as the model expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl

from clv.clock import Clock
from clv.purchases.base import PurchaseFit
from clv.summary import DAYS_PER_UNIT
from histories.arrays import Float
from histories.money import MONEY_SCALE
from histories.periods import DAYS_PER_MONTH


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
    fit: PurchaseFit,
    purchase_days: list[date],
    *,
    until: date,
    time_unit: str,
    step_days: int = 1,
    opened: Clock | None = None,
) -> pl.DataFrame:
    """P(alive) of one customer over time: columns date, probability_alive and purchased (on that day).

    Each day is judged by what was known on it, so the line falls while a customer is silent and jumps at a
    purchase; it stays level where an `opened` clock stands still.
    """
    days = sorted(set(purchase_days))
    clock = opened or Clock(first=days[0], end=until, time_unit=time_unit)
    born = (days[0] - clock.first).days
    span = (until - days[0]).days
    moments = sorted({*range(0, span, step_days), span, *((d - days[0]).days for d in days if d <= until)})
    bought = np.array([(d - days[0]).days for d in days])
    now = np.array(moments)
    seen = np.searchsorted(bought, now, side="right")
    x = (seen - 1).astype(np.float64)
    age = [clock.at(born + moment) - clock.at(np.array([born])) for moment in (bought[seen - 1], now)]
    alive = fit.predict_alive(x, *age)
    return pl.DataFrame(
        {
            "date": [days[0] + timedelta(days=int(day)) for day in moments],
            "probability_alive": alive,
            "purchased": np.isin(now, bought),
        }
    )


def tracking(
    purchases: pl.LazyFrame,
    fit: PurchaseFit,
    *,
    observation_end: date,
    time_unit: str,
    step_days: int = 7,
    closed: Sequence[Sequence[int]] = (),
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
    sold = np.ones(span + 1, dtype=np.int64)
    for first_day, last_day in closed:
        sold[first_day : last_day + 1] = 0
    day = np.cumsum(sold) - 1  # of those on which anything was sold
    starters = np.bincount(day[born], minlength=span + 1)
    expected = np.array([starters[: end + 1] @ curve[end - np.arange(end + 1)] for end in day[edges]])
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


CohortLength = Literal["month", "quarter", "year"]
EVERY: dict[CohortLength, str] = {"month": "1mo", "quarter": "1q", "year": "1y"}


def cohort_of(column: str, length: CohortLength) -> pl.Expr:
    """First day of the month, quarter or year in which `column` lies."""
    return pl.col(column).dt.truncate(EVERY[length])


def retention_by_cohort(
    purchases: pl.LazyFrame,
    *,
    fit: PurchaseFit,
    opened: Clock,
    observation_end: date,
    length: CohortLength,
) -> pl.DataFrame:
    """Activity of each cohort in each month of its life; time is that of the clock `opened`.

    A customer's month m covers days [m, m + 1) x 30.4375 after the first purchase; only customers who were
    observed for all of it count.

    Returns
    -------
    DataFrame
        cohort (first day), month (from 0), customers (observed through that month), buyers,
        retention_observed (share who bought in it), purchases_observed and purchases_expected (repeat
        purchases per customer in it, the latter from the model of a new customer) and revenue (currency per
        customer).
    """
    first = pl.col("date").min().over("customer_id")
    dated = (
        purchases.filter(pl.col("date") <= observation_end)
        .with_columns(first_purchase=first)
        .with_columns(
            month=((pl.col("date") - pl.col("first_purchase")).dt.total_days() / DAYS_PER_MONTH)
            .floor()
            .cast(pl.Int64),
            cohort=cohort_of("first_purchase", length),
            months_seen=(
                (pl.lit(observation_end) - pl.col("first_purchase")).dt.total_days() / DAYS_PER_MONTH
            )
            .floor()
            .cast(pl.Int64),
        )
    )
    active = (
        dated.filter(pl.col("month") < pl.col("months_seen"))
        .group_by("cohort", "month")
        .agg(
            buyers=pl.col("customer_id").n_unique().cast(pl.Int64),
            repeats=(pl.col("date") > pl.col("first_purchase")).sum().cast(pl.Int64),
            amount=pl.col("amount").sum(),
        )
    )
    born = (
        dated.select("customer_id", "cohort", "first_purchase", "months_seen")
        .unique()
        .filter(pl.col("months_seen") > 0)
        .group_by("cohort", "first_purchase", "months_seen")
        .agg(customers=pl.len().cast(pl.Int64))
        .sort("first_purchase")
        .collect()
    )
    return (
        _expected_by_cohort(born, fit, opened)
        .join(active.collect(), on=["cohort", "month"], how="left")
        .with_columns(pl.col("buyers", "repeats", "amount").fill_null(0))
        .sort("cohort", "month")
        .select(
            "cohort",
            "month",
            "customers",
            "buyers",
            (pl.col("buyers") / pl.col("customers")).alias("retention_observed"),
            (pl.col("repeats") / pl.col("customers")).alias("purchases_observed"),
            "purchases_expected",
            (pl.col("amount") / MONEY_SCALE / pl.col("customers")).alias("revenue"),
        )
    )


def _expected_by_cohort(born: pl.DataFrame, fit: PurchaseFit, opened: Clock) -> pl.DataFrame:
    """Customers seen in each month of their life, and repeat purchases that the model expects of one.

    `born` has cohort, first_purchase, months_seen and customers, by first_purchase; the answer has cohort,
    month, customers and purchases_expected.
    """
    seen = born["months_seen"].to_numpy()
    months = int(seen.max(initial=0))
    days = opened.days(born["first_purchase"])[:, None]
    age = opened.at(days + np.arange(months + 1) * DAYS_PER_MONTH) - opened.at(days)
    distinct, place = np.unique(np.round(age, 9), return_inverse=True)
    curve = np.where(distinct > 0.0, fit.expected_purchases(np.maximum(distinct, 1e-9)), 0.0)
    expected = np.diff(curve[place.reshape(age.shape)], axis=1)
    lived = np.arange(months) < seen[:, None]
    row, month = np.nonzero(lived)
    return (
        born[row.tolist()]
        .select("cohort", "customers", month=pl.Series(month, dtype=pl.Int64), each=expected[row, month])
        .group_by("cohort", "month")
        .agg(
            pl.col("customers").sum(),
            purchases_expected=(pl.col("each") * pl.col("customers")).sum() / pl.col("customers").sum(),
        )
    )
