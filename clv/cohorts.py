"""Cohorts by first purchase: who kept buying, observed and as the model expects."""

from __future__ import annotations

from datetime import date
from typing import Literal

import numpy as np
import polars as pl

from clv.purchases.fits import PurchaseFit
from clv.summary import DAYS_PER_UNIT
from histories.money import MONEY_SCALE
from histories.periods import DAYS_PER_MONTH

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
