"""History: what the designs read of every customer, numbered and sorted once.

Events are summed over windows of days before and after a date, for many customers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.tables import EffectTables
from histories.arrays import Float, Integer
from histories.errors import DataError
from histories.money import MONEY_SCALE

_SPAN = 1 << 22
"""Days that fit beside a customer's number in one sorted key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events of many customers, sorted by customer and day, with running sums.

    Attributes
    ----------
    keys : shape (E,)
        Customer number x 2^22 + day.
    days : shape (E,)
        Days since 1970-01-01.
    sums
        Name to running sums, shape (E + 1,); `n` counts events.
    """

    keys: Integer
    days: Integer
    sums: Mapping[str, Float]

    def between(self, customers: Integer, first: Integer, last: Integer, what: str = "n") -> Float:
        """Sum of `what` over days first..last, both included, for each customer, shape (N,)."""
        low = np.searchsorted(self.keys, customers * _SPAN + first, side="left")
        high = np.searchsorted(self.keys, customers * _SPAN + last, side="right")
        totals = self.sums[what]
        return np.asarray(totals[np.maximum(high, low)] - totals[low], dtype=np.float64)

    def last_before(self, customers: Integer, day: Integer) -> Integer:
        """Day of each customer's last event strictly before `day`; -1 without one."""
        position = np.searchsorted(self.keys, customers * _SPAN + day, side="left") - 1
        found = np.maximum(position, 0)
        same = (position >= 0) & (self.keys[found] // _SPAN == customers) if len(self.keys) else position >= 0
        return np.asarray(np.where(same, self.days[found] if len(self.days) else -1, -1))

    def first_from(self, customers: Integer, day: Integer) -> Integer:
        """Day of each customer's first event on or after `day`; a day beyond all data without one."""
        position = np.searchsorted(self.keys, customers * _SPAN + day, side="left")
        found = np.minimum(position, max(len(self.keys) - 1, 0))
        never = np.full(len(customers), _SPAN - 1)
        if not len(self.keys):
            return never
        same = (position < len(self.keys)) & (self.keys[found] // _SPAN == customers)
        return np.asarray(np.where(same, self.days[found], never))


def build_events(customers: Integer, days: Integer, values: Mapping[str, Float] | None = None) -> Events:
    """Events from unsorted arrays of equal length; `values` are summed beside the count."""
    keys = customers * _SPAN + days
    order = np.argsort(keys, kind="stable")
    columns = {"n": np.ones(len(keys)), **(values or {})}
    sums = {name: np.concatenate([[0.0], np.cumsum(column[order])]) for name, column in columns.items()}
    return Events(keys=keys[order], days=days[order], sums=sums)


FAR = 1_000_000
"""A day after all data, in days since 1970-01-01: the end of those who never left."""

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Customers numbered 0..N-1 in the order of their ids, and their events by day.

    Attributes
    ----------
    customers
        One row per customer in that order, with every column of `customers`.
    purchases
        Sums: `n` purchases, `amount` and `margin` in currency.
    own_acts
        Contacts that the customer began, not only the treated ones.
    issues
        Cases opened, or where there are no cases the inbound care contacts; sum `cost` in currency.
    acquired, ended : shape (N,)
        First day as a customer, and the day of leaving (`FAR` for those who stay, or where nobody knows).
    contractual
        Whether leaving is recorded (`ended_at`).
    margin_known, cost_known
        Whether every purchase has a margin, and any contact a cost.
    start, end
        First and last observed day.
    """

    customers: pl.DataFrame
    purchases: Events
    own_acts: Events
    issues: Events
    acquired: Integer
    ended: Integer
    contractual: bool
    margin_known: bool
    cost_known: bool
    start: int
    end: int

    def __len__(self) -> int:
        return self.customers.height

    def number(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of known customers, with their number as `customer`."""
        ids = self.customers.select("customer_id").with_row_index("customer")
        return frame.join(ids, on="customer_id", how="inner").with_columns(pl.col("customer").cast(pl.Int64))

    def at_risk(self, customers: Integer, day: Integer, within: int) -> NDArray[np.bool_]:
        """Whether each was a customer that day, with the last purchase at most `within` days old."""
        last = self.purchases.last_before(customers, day)
        alive = (self.acquired[customers] < day) & (self.ended[customers] > day)
        return np.asarray(alive & (last >= 0) & (day - last <= within))


def day_of(value: date) -> int:
    """Days since 1970-01-01."""
    return (value - _EPOCH).days


def build_history(
    tables: EffectTables, *, observation_end: date | None, gross_margin: float | None = None
) -> History:
    """The history of all customers of any table.

    A purchase without a margin of its own has `gross_margin` of its amount, where that is given.

    Raises
    ------
    DataError
        When there are no purchases: no design on histories works without.
    """
    if tables.purchases is None:
        raise DataError("effects on customers need purchases: give inputs.transactions")
    bought = tables.purchases
    columns = set(bought.collect_schema().names())
    margin = pl.col("margin") if "margin" in columns else pl.lit(None, dtype=pl.Int64)
    purchases = bought.select(
        "customer_id",
        pl.col("date").cast(pl.Int32).cast(pl.Int64).alias("day"),
        (pl.col("amount") / MONEY_SCALE).alias("amount"),
        pl.coalesce(margin / MONEY_SCALE, pl.col("amount") / MONEY_SCALE * gross_margin).alias("margin"),
    ).collect()
    if purchases.is_empty():
        raise DataError("effects on customers need purchases: there are none")
    contacts = _contacts(tables)
    opened = _cases(tables)
    customers = _customers(tables, [purchases, contacts, opened])
    ids = customers.select("customer_id").with_row_index("customer")
    end = day_of(observation_end) if observation_end else _last(purchases)
    numbered = {
        name: _number(frame, ids)
        for name, frame in (("purchases", purchases), ("contacts", contacts), ("cases", opened))
    }
    own = numbered["contacts"].filter("inbound")
    issues = numbered["cases"] if tables.cases is not None else own.filter("care")
    return History(
        customers=customers,
        purchases=_events(numbered["purchases"], "amount", "margin"),
        own_acts=_events(own),
        issues=_with_costs(issues, own),
        acquired=_acquired(customers, numbered["purchases"]),
        ended=_ended(customers),
        contractual="ended_at" in customers.columns and customers["ended_at"].null_count() < customers.height,
        margin_known=purchases["margin"].null_count() == 0,
        cost_known=contacts["cost"].null_count() < contacts.height,
        start=int(purchases["day"].min()),  # type: ignore[arg-type]
        end=end,
    )


def _contacts(tables: EffectTables) -> pl.DataFrame:
    """customer_id, day, inbound, care, cost (currency) of every contact that is not a mere view."""
    if tables.touchpoints is None:
        return _none_of(tables, inbound=pl.Boolean, care=pl.Boolean, cost=pl.Float64)
    columns = set(tables.touchpoints.collect_schema().names())
    inbound = [pl.col("direction") == "inbound"] if "direction" in columns else []
    inbound += [pl.col("origin") == "customer"] if "origin" in columns else []
    seen = pl.col("view").fill_null(value=False) if "view" in columns else pl.lit(False)
    return (
        tables.touchpoints.filter(~seen)
        .select(
            "customer_id",
            pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64).alias("day"),
            pl.any_horizontal([e.fill_null(value=False) for e in inbound] or [pl.lit(False)]).alias(
                "inbound"
            ),
            (pl.col("kind") == "care" if "kind" in columns else pl.lit(False)).alias("care"),
            ((pl.col("cost") if "cost" in columns else pl.lit(None, dtype=pl.Int64)) / MONEY_SCALE).alias(
                "cost"
            ),
        )
        .collect()
    )


def _cases(tables: EffectTables) -> pl.DataFrame:
    """customer_id and day of every matter of a customer's that needs a reply."""
    columns = set() if tables.cases is None else {*tables.cases.collect_schema().names()}
    if tables.cases is None or "customer_id" not in columns:
        return _none_of(tables)
    cases = tables.cases.filter(pl.col("customer_id").is_not_null())
    if "needs_reply" in columns:
        cases = cases.filter(pl.col("needs_reply").fill_null(True))
    if {"journey_id", "case_id"} <= columns:
        cases = cases.filter((pl.col("case_id") == pl.col("journey_id")).fill_null(True))
    day = pl.col("opened_at").dt.date().cast(pl.Int32).cast(pl.Int64).alias("day")
    return cases.select("customer_id", day).collect()


def _none_of(tables: EffectTables, **columns: type[pl.DataType]) -> pl.DataFrame:
    """An empty table of events, its ids typed like those of the purchases."""
    assert tables.purchases is not None
    ids = tables.purchases.collect_schema()["customer_id"]
    return pl.DataFrame(schema={"customer_id": ids, "day": pl.Int64, **columns})


def _customers(tables: EffectTables, events: list[pl.DataFrame]) -> pl.DataFrame:
    """Every customer of any table once, by id, with the columns of `customers`."""
    known = reduce(lambda a, b: a.vstack(b), [frame.select("customer_id") for frame in events])
    ids = known.drop_nulls().unique()
    if tables.customers is None:
        return ids.sort("customer_id")
    described = tables.customers.collect().unique("customer_id", keep="first", maintain_order=True)
    return ids.join(described, on="customer_id", how="full", coalesce=True).sort("customer_id")


def _number(frame: pl.DataFrame, ids: pl.DataFrame) -> pl.DataFrame:
    return frame.join(ids, on="customer_id", how="inner").with_columns(pl.col("customer").cast(pl.Int64))


def _events(frame: pl.DataFrame, *values: str) -> Events:
    """Events of a frame with `customer` and `day`; missing values count as 0."""
    return build_events(
        frame["customer"].to_numpy(),
        frame["day"].to_numpy(),
        {name: frame[name].fill_null(0.0).to_numpy() for name in values},
    )


def _with_costs(issues: pl.DataFrame, own: pl.DataFrame) -> Events:
    """Issues counted as `n`, and beside them the cost of all contacts that customers began."""
    rows = pl.concat(
        [
            issues.select("customer", "day", n=pl.lit(1.0), cost=pl.lit(0.0)),
            own.select("customer", "day", n=pl.lit(0.0), cost=pl.col("cost").fill_null(0.0)),
        ]
    )
    return build_events(
        rows["customer"].to_numpy(),
        rows["day"].to_numpy(),
        {"n": rows["n"].to_numpy(), "cost": rows["cost"].to_numpy()},
    )


def _acquired(customers: pl.DataFrame, purchases: pl.DataFrame) -> Integer:
    """First day as a customer, shape (N,): `acquired_at`, else the first purchase, else `FAR`."""
    first = np.full(customers.height, FAR, dtype=np.int64)
    np.minimum.at(first, purchases["customer"].to_numpy(), purchases["day"].to_numpy())
    if "acquired_at" not in customers.columns:
        return first
    given = customers["acquired_at"].cast(pl.Date).cast(pl.Int32).cast(pl.Int64).fill_null(FAR).to_numpy()
    return np.asarray(np.minimum(first, given))


def _ended(customers: pl.DataFrame) -> Integer:
    """Day of leaving, shape (N,)."""
    if "ended_at" not in customers.columns:
        return np.full(customers.height, FAR, dtype=np.int64)
    days = customers["ended_at"].cast(pl.Date).cast(pl.Int32).cast(pl.Int64)
    return np.asarray(days.fill_null(FAR).to_numpy())


def _last(purchases: pl.DataFrame) -> int:
    return int(purchases["day"].max())  # type: ignore[arg-type]
