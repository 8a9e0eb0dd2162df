"""Transactions to purchases: orders are netted, refunds taken off, and what is left per time unit is counted.

A refund that names its order lowers that order; one without lowers the time unit of its own date. Neither
goes below zero: what is left of a refund is *unmatched*. Whoever must not see the future filters the
transactions first: then a refund counts from its own date.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from histories.money import MONEY_SCALE
from histories.periods import truncate_to

PurchaseUnit = Literal["day", "week", "month"]
ZeroOrders = Literal["drop", "count"]

PURCHASES_SCHEMA: dict[str, pl.DataType] = {
    "customer_id": pl.String(),
    "timestamp": pl.Datetime("us"),
    "date": pl.Date(),
    "amount": pl.Float64(),
    "margin": pl.Float64(),
    "orders": pl.Int64(),
    "touches": pl.Int64(),
    "credit": pl.Float64(),
}
"""The table of a bundle: purchases in the currency, with the touches of their journey and their credit."""

_AMOUNT, _MARGIN, _TIME = pl.col("amount"), pl.col("margin"), pl.col("timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedRefunds:
    """Refunds beyond what they could be taken off from; `amount` and all that was `bought` in the currency.

    Both are positive; those of several partitions add up.
    """

    count: int
    amount: float
    bought: float

    def __add__(self, other: UnmatchedRefunds) -> UnmatchedRefunds:
        return UnmatchedRefunds(
            count=self.count + other.count,
            amount=self.amount + other.amount,
            bought=self.bought + other.bought,
        )


def build_purchases(
    transactions: pl.LazyFrame,
    *,
    purchase_unit: PurchaseUnit = "day",
    zero_orders: ZeroOrders = "drop",
) -> pl.LazyFrame:
    """One row per purchase: what a customer bought within one `purchase_unit`, net.

    Parameters
    ----------
    transactions
        Valid transactions of complete customers (`amount` and `margin` in minor units).
    purchase_unit
        Orders within one calendar day, week or month are one purchase.
    zero_orders
        ``drop``: a unit of net 0 is no purchase. ``count``: it is one, if something was ordered in it.

    Returns
    -------
    customer_id, timestamp (of the unit's first order), date, amount and margin (minor units; margin null
    where unknown), orders.

    >>> rows = pl.LazyFrame({"customer_id": [1, 1], "amount": [50_000, -20_000]})
    >>> noon = pl.datetime(2026, 1, 1, 12).alias("timestamp")
    >>> build_purchases(rows.with_columns(noon)).select("amount", "orders").collect().rows()
    [(30000, 1)]
    """
    units = _net_units(transactions, purchase_unit)
    net = _AMOUNT.clip(lower_bound=0)
    is_purchase = (net > 0) if zero_orders == "drop" else (pl.col("orders") > 0)
    return (
        units.filter(is_purchase)
        .with_columns(
            net.alias("amount"), pl.when(net > 0).then(_MARGIN).otherwise(_MARGIN * 0).alias("margin")
        )
        .select("customer_id", _TIME, _TIME.dt.date().alias("date"), "amount", "margin", "orders")
    )


def count_unmatched_refunds(
    transactions: pl.LazyFrame, *, purchase_unit: PurchaseUnit = "day"
) -> UnmatchedRefunds:
    """How many orders and units would go below zero, and by how much in all."""
    below = pl.concat(
        [
            _net_orders(transactions, purchase_unit).select("excess"),
            _net_units(transactions, purchase_unit).select((-_AMOUNT).clip(lower_bound=0).alias("excess")),
        ]
    )
    count, amount = (
        below.filter(pl.col("excess") > 0)
        .select(pl.len(), pl.col("excess").sum().alias("sum"))
        .collect()
        .row(0)
    )
    bought = transactions.select(_AMOUNT.clip(lower_bound=0).sum()).collect().item()
    return UnmatchedRefunds(count=count, amount=amount / MONEY_SCALE, bought=bought / MONEY_SCALE)


def _net_units(transactions: pl.LazyFrame, purchase_unit: PurchaseUnit) -> pl.LazyFrame:
    """Sum of orders and loose refunds per customer and unit; may be negative."""
    return (
        _net_orders(transactions, purchase_unit)
        .group_by("customer_id", "unit")
        .agg(
            _TIME.min(),
            _AMOUNT.sum(),
            _sum_if_known(_MARGIN).alias("margin"),
            pl.col("orders").sum(),
        )
    )


def _net_orders(transactions: pl.LazyFrame, purchase_unit: PurchaseUnit) -> pl.LazyFrame:
    """One row per order (floored at zero, the rest in `excess`), and per customer and unit of other rows.

    `timestamp` is null, and `orders` 0, where there are refunds only; `unit` then is that of the refund.
    """
    names = transactions.collect_schema().names()
    margin = _MARGIN if "margin" in names else pl.lit(None, dtype=pl.Int64)
    rows = transactions.select(
        "customer_id",
        _TIME,
        _AMOUNT,
        margin.alias("margin"),
        truncate_to(_TIME.dt.date(), purchase_unit).alias("unit"),
        *(["order_id"] if "order_id" in names else []),
    )
    if "order_id" not in names:
        return _loose_rows(rows)
    ordered, loose = rows.filter(pl.col("order_id").is_not_null()), rows.filter(pl.col("order_id").is_null())
    return pl.concat([_orders(ordered), _loose_rows(loose.drop("order_id"))])


def _orders(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of an order, refunds of it included, summed; an order of refunds only stays negative."""
    is_bought = _AMOUNT >= 0
    net = _AMOUNT.sum()
    summed = rows.group_by("customer_id", "order_id").agg(
        _TIME.filter(is_bought).min(),
        net,
        _sum_if_known(_MARGIN).alias("margin"),
        pl.coalesce(pl.col("unit").filter(is_bought).min(), pl.col("unit").min()).alias("unit"),
        is_bought.any().alias("is_order"),
    )
    is_order = pl.col("is_order")
    floored = is_order & (_AMOUNT < 0)
    return summed.select(
        "customer_id",
        "unit",
        _TIME,
        pl.when(floored).then(0).otherwise(_AMOUNT).alias("amount"),
        pl.when(floored).then(_MARGIN * 0).otherwise(_MARGIN).alias("margin"),
        is_order.cast(pl.Int64).alias("orders"),
        pl.when(floored).then(-_AMOUNT).otherwise(0).alias("excess"),
    )


def _loose_rows(rows: pl.LazyFrame) -> pl.LazyFrame:
    is_bought = _AMOUNT >= 0
    return rows.group_by("customer_id", "unit").agg(
        _TIME.filter(is_bought).min(),
        _AMOUNT.sum(),
        _sum_if_known(_MARGIN).alias("margin"),
        is_bought.sum().cast(pl.Int64).alias("orders"),
        pl.lit(0, dtype=pl.Int64).alias("excess"),
    )


def _sum_if_known(column: pl.Expr) -> pl.Expr:
    """Sum, or null when one part is unknown."""
    return pl.when(column.is_not_null().all()).then(column.sum())
