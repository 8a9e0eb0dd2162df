"""The customers table: predictions, value and the books of each customer, one row each.

    historic_value     = margin of past purchases, undiscounted
    total_value        = historic_value + customer_lifetime_value
    cost_to_serve      = future cost to serve within the horizon: the customer's cost per month so far, times
                         the months it is expected to stay, discounted at month ends
    net_lifetime_value = customer_lifetime_value - cost_to_serve - acquisition_cost

An unknown cost counts as 0 and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from clv.evaluate import decile_of
from clv.intervals import churn_under, predict_intervals
from clv.outlook import columns_of
from clv.pictures import cohort_of
from clv.purchases.base import PurchaseFit
from clv.settings import ValueSettings
from clv.spend import GammaGammaFit
from clv.summary import DAYS_PER_UNIT
from clv.tables import work_out
from clv.uncertainty import Uncertainty
from clv.value import VALUE_BLOCK, Horizon, distinct_pairs, predict_values
from histories.arrays import Float
from histories.money import MONEY_SCALE
from histories.periods import DAYS_PER_MONTH

#: A next purchase further away than this is not a date anybody can use.
FURTHEST_PURCHASE_DAYS = 36_525.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lean:
    """How expectations follow a forecast that is not a purchase model's.

    Attributes
    ----------
    model
        Name of the model whose forecast counts.
    factor
        Multiplies each customer's expected purchases and value, shape (n,); None leaves them alone.
    level
        The forecast's total over the purchase model's.
    """

    model: str
    factor: Float | None = None
    level: float = 1.0


def build_customers(
    summary: pl.DataFrame,
    *,
    timed: pl.DataFrame,
    fit: PurchaseFit,
    spend_fit: GammaGammaFit | None,
    lean: Lean,
    settings: ValueSettings,
    time_unit: str,
    observation_end: date,
    customers: pl.DataFrame | None,
    cost_to_serve: pl.DataFrame | None,
    uncertainty: Uncertainty,
    rng: np.random.Generator,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Value every customer of the summary; models read `timed`, the same in the time they were fitted on.

    Returns
    -------
    DataFrame
        The columns of `CUSTOMERS_SCHEMA`, and acquisition_channel, cohort and age_months for
        `acquisition_table`; by descending customer_lifetime_value.
    tuple of str
        Costs that were not known, counted.
    """
    horizon = Horizon(
        months=settings.horizon_months, discount_rate=settings.discount_rate, time_unit=time_unit
    )
    x, t_x, T, m = columns_of(timed, "frequency", "recency", "T", "monetary_value")
    (calendar_age,) = columns_of(summary, "T")
    age = calendar_age * DAYS_PER_UNIT[time_unit]
    earned, margin = historic_margin(summary, gross_margin=settings.gross_margin)
    values = predict_values(
        fit,
        spend_fit,
        x,
        t_x,
        T,
        m,
        horizon_months=settings.horizon_months,
        discount_rate=settings.discount_rate,
        gross_margin=margin,
        time_unit=time_unit,
    )
    days = values.pop("days_to_next_purchase")
    values.pop("discounted_purchases")
    if lean.factor is not None:
        for name in ("expected_purchases", "customer_lifetime_value"):
            values[name] = values[name] * lean.factor
        values["churn_probability"] = churn_under(
            values["probability_alive"], values["churn_probability"], lean.factor
        )
    table = summary.with_columns(
        earned,
        *(pl.Series(name, array).fill_nan(None) for name, array in values.items()),
        _dates_after(observation_end, days),
        (pl.col("recency") * DAYS_PER_UNIT[time_unit] / pl.col("frequency"))
        .fill_nan(None)
        .alias("average_days_between_purchases"),
        pl.Series("age_months", np.maximum(age / DAYS_PER_MONTH, 1.0)),
        cohort_of("first_purchase", settings.retention_cohorts).alias("cohort"),
        pl.lit(lean.model).alias("model"),
        *_intervals(timed, uncertainty, horizon, margin, settings.interval, rng, lean.factor),
    )
    table = _with_costs(table, customers, cost_to_serve)
    months = discounted_months(fit, horizon, x, t_x, T)
    serving = pl.Series(monthly_cost(table["cost"], age) * months)
    notes = _cost_notes(table, customers is not None, cost_to_serve is not None)
    table = work_out(
        table.with_columns(pl.when(pl.col("cost").is_not_null()).then(serving).alias("cost_to_serve"))
    )
    ranked = table.sort("customer_lifetime_value", "customer_id", descending=[True, False], nulls_last=True)
    by_value = -np.arange(ranked.height, dtype=np.float64)
    return ranked.with_columns(pl.Series("decile", decile_of(by_value))), notes


def _intervals(
    summary: pl.DataFrame,
    uncertainty: Uncertainty,
    horizon: Horizon,
    margin: float,
    level: float,
    rng: np.random.Generator,
    factor: Float | None,
) -> list[pl.Series]:
    """The four columns of predictive limits; null without a posterior."""
    names = {
        "expected_purchases_low": "purchases_low",
        "expected_purchases_high": "purchases_high",
        "customer_lifetime_value_low": "value_low",
        "customer_lifetime_value_high": "value_high",
    }
    if not uncertainty.fits:
        return [pl.Series(name, [None] * summary.height, dtype=pl.Float64) for name in names]
    x, t_x, T, m = columns_of(summary, "frequency", "recency", "T", "monetary_value")
    limits = predict_intervals(
        uncertainty.fits,
        uncertainty.spend_fits,
        horizon,
        frequency=x,
        recency=t_x,
        T=T,
        monetary_value=m,
        gross_margin=margin,
        level=level,
        factor=factor,
        rng=rng,
    )
    return [pl.Series(name, getattr(limits, field)).fill_nan(None) for name, field in names.items()]


def _dates_after(observation_end: date, days: Float) -> pl.Series:
    """The day that lies `days` behind the end of observation; null for NaN and beyond a century."""
    usable = np.isfinite(days) & (days <= FURTHEST_PURCHASE_DAYS)
    whole = pl.Series(np.where(usable, np.ceil(days), 0.0)).cast(pl.Int64)
    frame = pl.DataFrame({"days": whole, "usable": usable})
    return frame.select(
        pl.when("usable")
        .then(pl.lit(observation_end, dtype=pl.Date) + pl.duration(days="days"))
        .alias("expected_next_purchase")
    ).to_series()


def _with_costs(
    table: pl.DataFrame, customers: pl.DataFrame | None, cost_to_serve: pl.DataFrame | None
) -> pl.DataFrame:
    """Join what a customer cost to win and to serve; null where nobody knows."""
    known: list[pl.Expr] = []
    if customers is not None:
        present = [c for c in ("acquisition_cost", "acquisition_channel") if c in customers.columns]
        table = table.join(
            customers.select("customer_id", *present).unique("customer_id"),
            on="customer_id",
            how="left",
            maintain_order="left",
        )
    if "acquisition_cost" in table.columns:
        known.append(pl.col("acquisition_cost").cast(pl.Float64) / MONEY_SCALE)
    else:
        known.append(pl.lit(None, dtype=pl.Float64).alias("acquisition_cost"))
    if "acquisition_channel" not in table.columns:
        known.append(pl.lit(None, dtype=pl.String).alias("acquisition_channel"))
    if cost_to_serve is not None:
        costs = cost_to_serve.group_by("customer_id").agg(pl.col("cost").sum())
        table = table.join(costs, on="customer_id", how="left", maintain_order="left")
    else:
        known.append(pl.lit(None, dtype=pl.Float64).alias("cost"))
    return table.with_columns(known)


def _cost_notes(table: pl.DataFrame, has_customers: bool, has_costs: bool) -> tuple[str, ...]:
    """Count the costs that enter as 0 because nobody knows them."""
    notes = []
    for given, column, what in (
        (has_customers, "acquisition_cost", "acquisition cost"),
        (has_costs, "cost", "cost to serve"),
    ):
        missing = table[column].null_count()
        if given and 0 < missing < table.height:
            notes.append(f"{what} is unknown for {missing} of {table.height} customers and counts as 0")
        elif missing == table.height:
            notes.append(f"no {what} is known: net_lifetime_value leaves it out")
    return tuple(notes)


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


def discounted_months(fit: PurchaseFit, horizon: Horizon, x: Float, t_x: Float, T: Float) -> Float:
    """Expected months of being a customer within the horizon, discounted at month ends, shape (n,)."""
    starts, factors = horizon.ends() - horizon.month, horizon.factors()
    alive = fit.predict_alive(x, t_x, T)
    first, inverse = distinct_pairs(x, T)
    survival = np.empty(first.size)
    for start in range(0, first.size, VALUE_BLOCK):
        rows = first[start : start + VALUE_BLOCK]
        survival[start : start + VALUE_BLOCK] = factors @ fit.predict_survival_alive(starts, x[rows], T[rows])
    return np.asarray(alive * survival[inverse], dtype=np.float64)


def monthly_cost(cost: pl.Series, age_days: Float) -> Float:
    """Cost per month so far of each customer, in currency, shape (n,); nobody is younger than a month."""
    months = np.maximum(age_days / DAYS_PER_MONTH, 1.0)
    return np.asarray(cost.fill_null(0.0).cast(pl.Float64).to_numpy() / months, dtype=np.float64)


def unvalued_without_amounts(table: pl.DataFrame, summary: pl.DataFrame) -> pl.DataFrame:
    """The table without money where no purchase has an amount: purchases are counted, and have no value."""
    if (summary["historic_revenue"] != 0).any():
        return table
    unknown = ("monetary_value", "historic_value", "total_value", "net_lifetime_value")
    return table.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in unknown)


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
