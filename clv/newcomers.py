"""New customers: what one won now is worth, from the customers that its acquisition channel brought before.

    value = margin of the first purchase + margin x spend x discounted repeat purchases of a new customer

Purchases come from the purchase model fitted on the channel's own customers, spend from the channel's own
first and repeat amounts. A channel with few customers borrows the company's model.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from clv.purchases.base import PurchaseFit
from clv.purchases.fits import fit_purchases
from clv.spend import GammaGammaFit
from clv.value import Horizon
from histories.arrays import Float
from histories.errors import TributaryError
from histories.money import MONEY_SCALE

#: A channel with fewer customers borrows the company's purchase model.
FEWEST_CUSTOMERS = 200

NEWCOMERS_SCHEMA: dict[str, pl.DataType] = {
    "acquisition_channel": pl.String(),
    "customers": pl.Int64(),
    "own_model": pl.Boolean(),
    "first_purchase_value": pl.Float64(),
    "expected_purchases": pl.Float64(),
    "expected_spend": pl.Float64(),
    "customer_lifetime_value": pl.Float64(),
    "acquisition_cost": pl.Float64(),
    "ltv_to_cac": pl.Float64(),
    "payback_months": pl.Float64(),
}


def first_amounts(purchases: pl.LazyFrame, *, observation_end: date) -> pl.DataFrame:
    """Amount of each customer's first purchase: customer_id, first_amount (currency)."""
    return (
        purchases.filter(pl.col("date") <= observation_end)
        .group_by("customer_id")
        .agg(first_amount=pl.col("amount").min_by("timestamp") / MONEY_SCALE)
        .collect()
    )


def value_newcomers(
    customers: pl.DataFrame,
    *,
    fit: PurchaseFit,
    spend_fit: GammaGammaFit | None,
    horizon: Horizon,
    gross_margin: float,
    first_amounts: pl.DataFrame,
) -> pl.DataFrame:
    """Value a customer won now, by acquisition channel, in `NEWCOMERS_SCHEMA`.

    Parameters
    ----------
    customers
        The customers table with acquisition_channel and acquisition_cost (currency, null when unknown).
    fit, spend_fit
        The company's models.
    horizon
        How far ahead and how discounted.
    gross_margin
        Share of revenue that is margin.
    first_amounts
        customer_id and first_amount.

    Returns
    -------
    DataFrame
        customer_lifetime_value includes the first purchase; ltv_to_cac and payback_months are null where no
        cost is known or it is not earned back within the horizon.
    """
    joined = customers.join(first_amounts, on="customer_id", how="left", maintain_order="left")
    rows = []
    for (channel,), part in joined.group_by("acquisition_channel", maintain_order=True):
        own = _own_model(fit, part)
        repeat = _monthly_purchases(own or fit, horizon)
        spend = _spend(part, spend_fit)
        first = float(part["first_amount"].to_numpy().mean())
        monthly = repeat * spend * gross_margin
        value = first * gross_margin + float(monthly @ horizon.factors())
        known = part["acquisition_cost"].drop_nulls()
        cost = float(known.to_numpy().mean()) if known.len() else None
        rows.append(
            (
                channel,
                part.height,
                own is not None,
                first,
                float(repeat.sum()),
                spend,
                value,
                cost,
                value / cost if cost else None,
                None if cost is None else payback_months(cost, first * gross_margin, monthly),
            )
        )
    table = pl.DataFrame(rows, schema=NEWCOMERS_SCHEMA, orient="row").with_columns(
        pl.col(pl.Float64).fill_nan(None)
    )
    return table.sort("acquisition_channel", nulls_last=True)


def payback_months(cost: float, first_margin: float, monthly: Float) -> float | None:
    """Months until the margin of a new customer has paid its acquisition; None if not within the horizon.

    `first_margin` is earned at once, `monthly[m]` evenly within month m + 1; nothing is discounted.

    Examples
    --------
    >>> payback_months(10.0, 4.0, np.array([4.0, 4.0]))
    1.5
    """
    left = cost - first_margin
    if left <= 0:
        return 0.0
    for month, earned in enumerate(monthly):
        if earned >= left:
            return month + left / float(earned)
        left -= float(earned)
    return None


def _own_model(fit: PurchaseFit, part: pl.DataFrame) -> PurchaseFit | None:
    """The company's model refitted on one channel's customers; None when they are too few or too alike."""
    if part.height < FEWEST_CUSTOMERS:
        return None
    try:
        return fit_purchases(fit.model, part)
    except TributaryError:
        return None


def _monthly_purchases(fit: PurchaseFit, horizon: Horizon) -> Float:
    """Expected repeat purchases of a new customer in each month, shape (months,)."""
    return np.diff(np.concatenate([[0.0], fit.expected_purchases(horizon.ends())]))


def _spend(part: pl.DataFrame, spend_fit: GammaGammaFit | None) -> float:
    """Expected amount of a repeat purchase: the mean over the channel's customers, by purchases."""
    if spend_fit is None:
        return float("nan")
    x = part["frequency"].cast(pl.Float64).to_numpy()
    m = part["monetary_value"].fill_null(float("nan")).to_numpy()
    return float(np.average(spend_fit.predict_spend(x, m), weights=x + 1.0))
