"""The books: margin earned, cost to serve, acquisition cost and what is left of a customer's value.

    historic_value  = margin of past purchases, undiscounted
    total_value     = historic_value + customer_lifetime_value
    cost_to_serve   = future cost to serve within the horizon: the customer's cost per month so far, times the
    months it is
                      expected to stay, discounted at month ends
    net_lifetime_value = customer_lifetime_value - cost_to_serve - acquisition_cost

An unknown cost counts as 0 and is counted.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from clv.purchases.fits import PurchaseFit
from clv.purchases.observations import FloatArray
from clv.value import VALUE_BLOCK, Horizon, distinct_pairs
from histories.periods import DAYS_PER_MONTH

__all__ = ["acquisition_table", "discounted_months", "historic_margin", "monthly_cost"]


def historic_margin(summary: pl.DataFrame, *, gross_margin: float | None) -> tuple[pl.Series, float]:
    """Past margin of each customer in currency, and the share of revenue that a future purchase earns.

    Margins of the transactions come first; where they are unknown the configured share, or the share that the
    known ones have together, or 1 (revenue itself) takes their place.
    """
    known = summary.filter(pl.col("historic_margin").is_not_null() & (pl.col("historic_revenue") != 0))
    revenue = float(known["historic_revenue"].sum())
    observed = float(known["historic_margin"].sum()) / revenue if revenue > 0 else None
    share = gross_margin if gross_margin is not None else observed if observed is not None else 1.0
    margin = summary["historic_margin"].fill_null(summary["historic_revenue"] * share)
    return margin.alias("historic_value"), share


def discounted_months(
    fit: PurchaseFit, horizon: Horizon, x: FloatArray, t_x: FloatArray, T: FloatArray
) -> FloatArray:
    """Expected months of being a customer within the horizon, discounted at month ends, shape (n,)."""
    starts, factors = horizon.ends() - horizon.month, horizon.factors()
    alive = fit.predict_alive(x, t_x, T)
    first, inverse = distinct_pairs(x, T)
    survival = np.empty(first.size)
    for start in range(0, first.size, VALUE_BLOCK):
        rows = first[start : start + VALUE_BLOCK]
        survival[start : start + VALUE_BLOCK] = factors @ fit.predict_survival_alive(starts, x[rows], T[rows])
    return np.asarray(alive * survival[inverse], dtype=np.float64)


def monthly_cost(cost: pl.Series, age_days: FloatArray) -> FloatArray:
    """Cost per month so far of each customer, in currency, shape (n,); nobody is younger than a month."""
    months = np.maximum(age_days / DAYS_PER_MONTH, 1.0)
    return np.asarray(cost.fill_null(0.0).cast(pl.Float64).to_numpy() / months, dtype=np.float64)


def acquisition_table(customers: pl.DataFrame) -> pl.DataFrame:
    """Value against cost by acquisition channel and cohort.

    Parameters
    ----------
    customers
        acquisition_channel, cohort, acquisition_cost (null when unknown), total_value,
        customer_lifetime_value, historic_value and age_months.

    Returns
    -------
    DataFrame
        acquisition_channel, cohort, customers, known_costs, lifetime_value (mean total value of the customers
        whose cost is known; of all where none is), acquisition_cost (mean), ltv_to_cac, share_paid_back
        (customers whose past margin covers their cost) and payback_months (mean cost over mean margin per
        month so far).
    """
    known = pl.col("acquisition_cost").is_not_null()
    mean_value = pl.col("total_value").filter(known).mean().fill_null(pl.col("total_value").mean())
    cost = pl.col("acquisition_cost").mean()
    monthly = pl.col("historic_value").filter(known).sum() / pl.col("age_months").filter(known).sum()
    return (
        customers.group_by("acquisition_channel", "cohort")
        .agg(
            pl.len().cast(pl.Int64).alias("customers"),
            known.sum().cast(pl.Int64).alias("known_costs"),
            mean_value.alias("lifetime_value"),
            cost.alias("acquisition_cost"),
            pl.when(cost > 0).then(mean_value / cost).alias("ltv_to_cac"),
            (pl.col("historic_value") >= pl.col("acquisition_cost"))
            .filter(known)
            .mean()
            .alias("share_paid_back"),
            pl.when((cost > 0) & (monthly > 0)).then(cost / monthly).alias("payback_months"),
        )
        .sort("acquisition_channel", "cohort", nulls_last=True)
    )
