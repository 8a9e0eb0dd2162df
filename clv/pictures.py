"""Frames behind the pictures that data scientists expect of a purchase model.

Each function returns a tidy frame, one row per mark; drawing is the report's. Cohorts by first purchase are
among them: who kept buying, observed and as the model expects.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl

from clv.purchases.fits import PurchaseFit
from clv.summary import DAYS_PER_UNIT
from histories.arrays import Float
from histories.money import MONEY_SCALE
from histories.periods import DAYS_PER_MONTH


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


CohortLength = Literal["month", "quarter", "year"]
EVERY: dict[CohortLength, str] = {"month": "1mo", "quarter": "1q", "year": "1y"}


def cohort_of(column: str, length: CohortLength) -> pl.Expr:
    """First day of the month, quarter or year in which `column` lies."""
    return pl.col(column).dt.truncate(EVERY[length])


def retention_by_cohort(
    purchases: pl.LazyFrame,
    *,
    fit: PurchaseFit,
    observation_end: date,
    time_unit: str,
    length: CohortLength,
) -> pl.DataFrame:
    """Activity of each cohort in each month of its life.

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
    sizes = (
        dated.select("customer_id", "cohort", "months_seen")
        .unique()
        .filter(pl.col("months_seen") > 0)
        .select("cohort", month=pl.int_ranges(0, pl.col("months_seen")))
        .explode("month")
        .group_by("cohort", "month")
        .agg(customers=pl.len().cast(pl.Int64))
    )
    table = sizes.join(active, on=["cohort", "month"], how="left").sort("cohort", "month").collect()
    return _with_expectation(table, fit, time_unit)


def _with_expectation(table: pl.DataFrame, fit: PurchaseFit, time_unit: str) -> pl.DataFrame:
    """Turn sums into shares and put the model's purchases of a new customer beside them."""
    last = int(table["month"].to_numpy().max()) if table.height else 0
    edges = np.arange(0, last + 2, dtype=np.float64) * (DAYS_PER_MONTH / DAYS_PER_UNIT[time_unit])
    cumulated = np.concatenate([[0.0], fit.expected_purchases(edges[1:])])
    expected = pl.DataFrame({"month": np.arange(last + 1), "purchases_expected": np.diff(cumulated)})
    return (
        table.with_columns(pl.col("buyers", "repeats", "amount").fill_null(0))
        .join(expected, on="month", how="left", maintain_order="left")
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
