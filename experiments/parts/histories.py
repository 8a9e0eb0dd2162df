"""From checked tables to the histories that every later part reads."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final

import polars as pl

from experiments.brands import wrote_first
from experiments.config import RunConfig
from experiments.parts.part import attempt
from histories.engines.base import Buckets, Engine, Local, Made, Tables
from histories.periods import end_of_day, zone_of
from histories.purchases import (
    PurchaseUnit,
    UnmatchedRefunds,
    build_purchases,
    count_unmatched_refunds,
)
from histories.reading.inputs import Inputs
from histories.tables import TOUCH
from histories.touchpoints import build_touchpoints

PURCHASES: Final = "purchases"
TOUCHPOINTS: Final = "touchpoints"
REFUNDS_MATTER: Final = 0.01
"""Share of what is left of sales from which refunds that lower no purchase are told as an error of values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Per-customer histories of a run; what an absent input would have given is None.

    Attributes
    ----------
    buckets
        `purchases` and `touchpoints`, as far as there are any, split by customer and sorted by customer and
        time, as `build_purchases` and `build_touchpoints` make them; touchpoints carry a `touch_number`,
        unique within a bucket.
    purchases_at
        Purchases as they were known on a day: a later refund has not reduced them yet, and of a brand's
        customers only those are there who had written to it.
    engine
        What made the buckets, and makes others.
    """

    inputs: Inputs
    buckets: Buckets
    customers: pl.DataFrame | None
    purchases_at: Callable[[dt.date], pl.LazyFrame] | None
    engine: Engine = field(default_factory=Local)
    notes: tuple[str, ...] = field(default=())
    left_out: Mapping[str, str] = field(default_factory=dict)

    def table(self, name: str) -> pl.LazyFrame | None:
        """The valid rows of an input table, or None."""
        return self.inputs.tables[name].valid if name in self.inputs.tables else None

    @property
    def purchases(self) -> pl.LazyFrame | None:
        """The purchases of all customers, by customer and time."""
        return self.buckets.gather(PURCHASES) if PURCHASES in self.buckets else None

    @property
    def touchpoints(self) -> pl.LazyFrame | None:
        """The touchpoints of all customers, by customer and time."""
        return self.buckets.gather(TOUCHPOINTS) if TOUCHPOINTS in self.buckets else None

    @property
    def all_notes(self) -> tuple[str, ...]:
        """Notes on the tables, and on what was made of them."""
        return (*self.inputs.notes, *self.notes)

    def rows(self, name: str) -> int:
        """How many purchases or touchpoints there are; 0 where they were not given."""
        if name not in self.buckets:
            return 0
        return int(self.buckets.gather(name).select(pl.len()).collect().item())

    @property
    def contractual(self) -> bool:
        """Whether customers say when they left; otherwise nobody knows."""
        return self.customers is not None and "ended_at" in self.customers.columns

    @property
    def first_day(self) -> dt.date | None:
        """First day on which a purchase or a touch was seen; None without either."""
        firsts = [
            frame.select(pl.col("timestamp").min()).collect(engine="streaming").item()
            for frame in (self.purchases, self.touchpoints)
            if frame is not None
        ]
        return min((first.date() for first in firsts if isinstance(first, dt.datetime)), default=None)

    @property
    def span(self) -> str:
        """First and last day of what was observed, in words."""
        first = self.first_day
        return f"{first} to {self.inputs.observation_end}" if first else ""


def build_histories(config: RunConfig, inputs: Inputs, *, engine: Engine | None = None) -> Histories:
    """Net the orders, describe the touches, and keep what is known of each customer.

    What cannot be made is None, with the reason in `left_out`. Without an engine everything is in memory.
    """
    left_out: dict[str, str] = {}
    described = attempt(left_out, "touchpoints", lambda: _described(config, inputs))
    engine = engine or Local()
    raw = {"transactions": inputs.get("transactions"), "described": described}
    buckets = engine.scatter({name: rows for name, rows in raw.items() if rows is not None})
    notes = attempt(left_out, "count of refunds", lambda: _refund_notes(config, inputs, buckets))
    purchases_at = _purchases_at(config, inputs, buckets) if "transactions" in buckets else None
    if purchases_at is not None:
        net = partial(_net_purchases, day=inputs.observation_end, **_netting(config))
        buckets = attempt(left_out, "purchases", partial(buckets.map, net)) or buckets
    if "described" in buckets:
        buckets = attempt(left_out, "touchpoints", partial(buckets.map, _in_order)) or buckets
    return Histories(
        inputs=inputs,
        buckets=buckets,
        customers=inputs.tables["customers"].valid.collect() if "customers" in inputs.tables else None,
        purchases_at=purchases_at,
        engine=engine,
        notes=notes or (),
        left_out=left_out,
    )


def _netting(config: RunConfig) -> dict[str, Any]:
    """How orders become purchases."""
    zero_orders = config.inputs["transactions"][0].zero_orders
    return {"purchase_unit": config.purchase_unit, "zero_orders": zero_orders}


def _known_on(tables: Tables, day: dt.date, **netting: Any) -> pl.LazyFrame:
    rows = tables["transactions"]
    known = rows.filter(pl.col("timestamp") < end_of_day(day, zone_of(rows)))
    return build_purchases(known, **netting)


def _known_purchases(tables: Tables, *, day: dt.date, **netting: Any) -> Made:
    return {"known": _known_on(tables, day, **netting).collect()}


def _net_purchases(tables: Tables, *, day: dt.date, **netting: Any) -> Made:
    return {PURCHASES: _known_on(tables, day, **netting).sort("customer_id", "timestamp").collect()}


def _in_order(tables: Tables) -> Made:
    rows = tables["described"].sort("customer_id", "timestamp").with_row_index(TOUCH)
    return {TOUCHPOINTS: rows.collect()}


def _purchases_at(config: RunConfig, inputs: Inputs, buckets: Buckets) -> Callable[[dt.date], pl.LazyFrame]:
    wrote = None if config.brand is None else wrote_first(inputs).lazy()

    @cache
    def purchases_at(day: dt.date) -> pl.LazyFrame:
        known = buckets.map(partial(_known_purchases, day=day, **_netting(config))).gather("known")
        if wrote is None or day >= inputs.observation_end:
            return known
        # who was to write later was a customer until then: counted before, nobody of them could leave
        return known.join(wrote.filter(pl.col("day") <= day), on="customer_id", how="semi")

    return purchases_at


def _described(config: RunConfig, inputs: Inputs) -> pl.LazyFrame | None:
    touches, cases = inputs.get("touchpoints"), inputs.get("cases")
    if touches is None:
        return None
    return build_touchpoints(touches, channels=config.channels, cases=cases, known_at=inputs.observation_end)


def _unmatched(tables: Tables, *, purchase_unit: PurchaseUnit) -> UnmatchedRefunds:
    return count_unmatched_refunds(tables["transactions"], purchase_unit=purchase_unit)


def _refund_notes(config: RunConfig, inputs: Inputs, buckets: Buckets) -> tuple[str, ...]:
    if "transactions" not in buckets:
        return ()
    count = partial(_unmatched, purchase_unit=config.purchase_unit)
    unmatched = buckets.reduce(count, operator.add)
    if not unmatched.count:
        return ()
    kept = unmatched.bought - unmatched.amount
    share = unmatched.amount / kept if kept > 0 else float("inf")
    told = f"{unmatched.count:,} refunds of {unmatched.amount:,.2f} {inputs.currency or ''}".rstrip()
    told += " exceed what they could be taken off from; they lower no purchase and are counted here."
    if share <= REFUNDS_MATTER:
        return (told,)
    return (
        f"{told} Revenue, spend and lifetime values are up to {share:.0%} too high by that: give refunds the "
        "order_id of what they take back.",
    )
