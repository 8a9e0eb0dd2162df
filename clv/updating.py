"""One customer's purchases and summary when further orders arrive; plain Python, a few microseconds each.

The definitions are those of `histories.purchases` and `clv.summary`, which work on whole tables: orders of
one day (or week) are one purchase, a unit of net 0 is none unless zero orders count, frequency counts repeat
purchases, recency and T are counted from the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, Self

import polars as pl

from clv.summary import DAYS_PER_UNIT
from histories.money import MONEY_SCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A purchase, or an order that becomes one.

    Attributes
    ----------
    timestamp
        Of its first order, in the company's zone.
    amount
        Minor units.
    orders
        Orders in it.
    """

    timestamp: datetime
    amount: int
    orders: int = 1

    @classmethod
    def on(cls, day: date, amount: float) -> Self:
        """An order of a day, of an amount in currency."""
        return cls(timestamp=datetime(day.year, day.month, day.day), amount=round(amount * MONEY_SCALE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the models know of one customer.

    Attributes
    ----------
    recency, T
        In the time unit.
    monetary_value
        Mean amount of repeat purchases in currency; None at frequency 0.
    """

    first_purchase: date
    last_purchase: date
    frequency: int
    recency: float
    T: float
    monetary_value: float | None


def merge_purchases(
    purchases: Iterable[Bought],
    orders: Iterable[Bought],
    *,
    purchase_unit: Literal["day", "week"],
    count_zero: bool,
) -> list[Bought]:
    """Purchases with further orders among them, in order of time.

    Parameters
    ----------
    purchases
        One for each unit, as `build_purchases` nets them.
    orders
        None of them below zero.
    purchase_unit
        Orders within one calendar day, or one week from Monday on, are one purchase.
    count_zero
        Whether a unit of net 0 is a purchase.

    >>> noon = datetime(2026, 1, 1, 12)
    >>> orders = [Bought(timestamp=noon, amount=100), Bought(timestamp=noon.replace(hour=9), amount=50)]
    >>> [(p.timestamp.hour, p.amount, p.orders)
    ...  for p in merge_purchases([], orders, purchase_unit="day", count_zero=False)]
    [(9, 150, 2)]
    """
    units = {_unit(purchase.timestamp, purchase_unit): purchase for purchase in purchases}
    for order in orders:
        unit = _unit(order.timestamp, purchase_unit)
        known = units.get(unit)
        units[unit] = (
            order
            if known is None
            else replace(
                known,
                timestamp=min(known.timestamp, order.timestamp),
                amount=known.amount + order.amount,
                orders=known.orders + order.orders,
            )
        )
    kept = (bought for bought in units.values() if bought.amount > 0 or count_zero)
    return sorted(kept, key=lambda bought: bought.timestamp)


def _unit(time: datetime, purchase_unit: str) -> date:
    """First day of the unit that a time lies in."""
    day = time.date()
    return day - timedelta(days=day.weekday()) if purchase_unit == "week" else day


def summarize_customer(purchases: Sequence[Bought], *, as_of: date, time_unit: str) -> Summary | None:
    """Frequency, recency, T and monetary value on a day; None where nothing was bought by then.

    Parameters
    ----------
    purchases
        In order of time.
    as_of
        Last day seen.
    time_unit
        "day" or "week".

    >>> bought = [Bought(timestamp=datetime(2026, 1, day), amount=100_000 * day) for day in (1, 15, 29)]
    >>> found = summarize_customer(bought, as_of=date(2026, 2, 12), time_unit="week")
    >>> found.frequency, found.recency, found.T, found.monetary_value
    (2, 4.0, 6.0, 220.0)
    """
    known = [bought for bought in purchases if bought.timestamp.date() <= as_of]
    if not known:
        return None
    first, last = known[0].timestamp.date(), known[-1].timestamp.date()
    repeats = len(known) - 1
    unit = DAYS_PER_UNIT[time_unit]
    return Summary(
        first_purchase=first,
        last_purchase=last,
        frequency=repeats,
        recency=_in_units((last - first).days, unit),
        T=_in_units((as_of - first).days, unit),
        monetary_value=sum(bought.amount for bought in known[1:]) / (repeats * MONEY_SCALE)
        if repeats
        else None,
    )


def _in_units(days: int, unit: int) -> float:
    """Days in time units, as `summarize_purchases` divides them."""
    return days // unit + (days % unit) * (1.0 / unit)


def purchases_frame(purchases: Mapping[Any, Sequence[Bought]]) -> pl.LazyFrame:
    """The purchases of several customers as a table of purchases, without margins.

    Parameters
    ----------
    purchases
        By customer_id, each in order of time.
    """
    rows = [(name, one.timestamp, one.amount, one.orders) for name, all_ in purchases.items() for one in all_]
    ids, times, amounts, orders = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    frame = pl.LazyFrame(
        {
            "customer_id": pl.Series(ids, dtype=None if ids else pl.Int64),
            "timestamp": pl.Series(times, dtype=pl.Datetime("us")),
            "amount": pl.Series(amounts, dtype=pl.Int64),
            "orders": pl.Series(orders, dtype=pl.Int64),
        }
    )
    return frame.with_columns(
        pl.col("timestamp").dt.date().alias("date"), pl.lit(None, dtype=pl.Int64).alias("margin")
    )


def summaries_frame(summaries: Sequence[Summary]) -> pl.DataFrame:
    """Summaries as the table of `summarize_purchases`, by customer_id from 0 on."""
    schema = {"first_purchase": pl.Date(), "last_purchase": pl.Date(), "frequency": pl.Int64()}
    schema |= dict.fromkeys(("recency", "T", "monetary_value"), pl.Float64())
    frame = pl.DataFrame([asdict(summary) for summary in summaries], schema=schema)
    return frame.with_columns(pl.int_range(pl.len()).alias("customer_id"))
