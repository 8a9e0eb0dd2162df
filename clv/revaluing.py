"""The customers table on a later day: the fitted models of a run, and nobody is fitted.

Everybody is valued by the purchase model, after the run's forecast (`clv.kept`): on the run's own day nothing
moves. Cost to serve goes on at its rate per month. The parameters' posterior, behind the intervals, is
sampled around the fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from clv.customers import Lean, build_customers, discounted_months, unvalued_without_amounts
from clv.outlook import columns_of
from clv.rescoring import Rescorer
from clv.settings import ValueSettings
from clv.summary import DAYS_PER_UNIT
from clv.tables import CUSTOMERS_SCHEMA
from clv.uncertainty import estimate_uncertainty
from clv.value import Horizon
from histories.arrays import Float
from histories.periods import DAYS_PER_MONTH

_SUMMARY = ("frequency", "recency", "T")


def revalue_customers(
    summary: pl.DataFrame,
    before: pl.DataFrame,
    *,
    factor: Float,
    card: Mapping[str, Any],
    settings: ValueSettings,
    observation_end: date,
    customers: pl.DataFrame | None,
    seed: int,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Value the customers of a summary with the models of a model card.

    Parameters
    ----------
    summary
        Of `summarize_purchases` up to `observation_end`, by customer_id.
    before
        The customers table that the run, or the last update, left.
    factor
        By which the run's forecast sees each customer above the purchase model, shape (n,); of
        `Rescorer.follow`.
    card
        The run's `model.json`.
    settings
        Those of the run.
    observation_end
        Last day seen.
    customers
        customer_id and acquisition_cost (Int64, 1/10,000 of the currency), or None.
    seed
        The run's.

    Returns
    -------
    DataFrame
        The columns of `CUSTOMERS_SCHEMA`, by descending customer_lifetime_value.
    tuple of str
        Costs that are not known, counted.
    """
    rescorer = Rescorer.from_card(card)
    fit, spend_fit = rescorer.fit, rescorer.spend_fit
    horizon = Horizon(
        months=rescorer.horizon_months,
        discount_rate=rescorer.discount_rate,
        time_unit=rescorer.time_unit,
    )
    known = summary.select("customer_id", pl.col("T").alias("age")).join(
        before.select("customer_id", "first_purchase", *_SUMMARY, "cost_to_serve"),
        on="customer_id",
        how="left",
        maintain_order="left",
    )
    timed = rescorer.open_time(summary, as_of=observation_end)
    rng = np.random.default_rng([seed, 1])
    settings = replace(settings, gross_margin=rescorer.gross_margin)
    table, notes = build_customers(
        summary,
        timed=timed,
        fit=fit,
        spend_fit=spend_fit,
        lean=Lean(model=str(card["chosen"]), factor=factor, level=rescorer.level),
        settings=settings,
        time_unit=rescorer.time_unit,
        observation_end=observation_end,
        customers=customers,
        cost_to_serve=_cost_so_far(known, rescorer, horizon),
        uncertainty=estimate_uncertainty(fit, spend_fit, timed, settings=settings, rng=rng),
        rng=rng,
    )
    return unvalued_without_amounts(table, summary).select(CUSTOMERS_SCHEMA.keys()), notes


def _cost_so_far(known: pl.DataFrame, rescorer: Rescorer, horizon: Horizon) -> pl.DataFrame | None:
    """customer_id and cost (currency) at the rate per month that cost_to_serve rests on; None without any."""
    served = known.filter(pl.col("cost_to_serve").is_not_null())
    if served.is_empty():
        return None
    age, cost = columns_of(served, "age", "cost_to_serve")
    days = DAYS_PER_UNIT[rescorer.time_unit]
    last, seen = (
        pl.col("first_purchase") + pl.duration(days=(pl.col(name) * days).round().cast(pl.Int64))
        for name in ("recency", "T")
    )
    then = served.with_columns(last_purchase=last, as_of=seen)
    timed = rescorer.open_time(then, as_of=then["as_of"][0])
    x, t_x, T = columns_of(timed, *_SUMMARY)
    months = discounted_months(rescorer.fit, horizon, x, t_x, T)
    monthly = np.divide(cost, months, out=np.zeros_like(cost), where=months > 0.0)
    so_far = np.maximum(age * DAYS_PER_UNIT[rescorer.time_unit] / DAYS_PER_MONTH, 1.0)
    return served.select("customer_id", pl.Series("cost", monthly * so_far))


def updated_totals(card: Mapping[str, Any], customers: pl.DataFrame) -> dict[str, float | None]:
    """Company totals of an updated customers table; intervals keep their width relative to the total.

    >>> card = {"totals": {"expected_purchases": 10.0, "expected_purchases_low": 9.0}}
    >>> updated_totals(card, pl.DataFrame({"expected_purchases": [8.0, 12.0]}))
    {'expected_purchases': 20.0, 'expected_purchases_low': 18.0}
    """
    totals: dict[str, float | None] = dict(card.get("totals") or {})
    for name in [name for name in totals if name in customers.columns]:
        fitted, found = totals[name], float(customers[name].sum())
        ends = [end for end in (f"{name}_low", f"{name}_high") if end in totals]
        for end in ends:
            limit = totals[end]
            totals[end] = None if limit is None or not fitted else limit / fitted * found
        totals[name] = None if customers[name].null_count() == customers.height else found
    return totals
