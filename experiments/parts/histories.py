"""From checked tables to the histories that every later part reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from experiments.config import RunConfig
from experiments.parts.attempt import attempt
from histories.periods import end_of_day, zone_of
from histories.purchases import build_purchases, count_unmatched_refunds
from histories.reading.inputs import Inputs
from histories.tables import TOUCH
from histories.touchpoints import build_touchpoints

__all__ = ["Histories", "build_histories"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Per-customer histories of a run, sorted by customer and time; None where the input is absent.

    Attributes
    ----------
    purchases, touchpoints
        As `build_purchases` and `build_touchpoints` make them; touchpoints carry a `touch_number`.
    purchases_at
        Purchases as they were known on a day: a later refund has not reduced them yet.
    """

    inputs: Inputs
    purchases: pl.DataFrame | None
    touchpoints: pl.DataFrame | None
    customers: pl.DataFrame | None
    purchases_at: Callable[[dt.date], pl.LazyFrame] | None
    notes: tuple[str, ...] = field(default=())
    left_out: Mapping[str, str] = field(default_factory=dict)

    def table(self, name: str) -> pl.LazyFrame | None:
        """The valid rows of an input table, or None."""
        return self.inputs.tables[name].valid if name in self.inputs.tables else None

    @property
    def contractual(self) -> bool:
        """Whether customers say when they left; otherwise nobody knows."""
        return self.customers is not None and "ended_at" in self.customers.columns

    @property
    def first_day(self) -> dt.date | None:
        """First day on which a purchase or a touch was seen; None without either."""
        firsts = [
            frame["timestamp"].min()
            for frame in (self.purchases, self.touchpoints)
            if frame is not None and frame.height
        ]
        return min((first.date() for first in firsts if isinstance(first, dt.datetime)), default=None)

    @property
    def span(self) -> str:
        """First and last day of what was observed, in words."""
        first = self.first_day
        return f"{first} to {self.inputs.observation_end}" if first else ""


def build_histories(config: RunConfig, inputs: Inputs) -> Histories:
    """Net the orders, describe the touches, and keep what is known of each customer.

    What cannot be made is None, with the reason in `left_out`.
    """
    tables = inputs.tables
    left_out: dict[str, str] = {}
    purchases_at = _purchases_at(config, tables["transactions"].valid) if "transactions" in tables else None
    purchases = attempt(left_out, "purchases", lambda: _purchases(purchases_at, inputs.observation_end))
    notes = attempt(left_out, "count of refunds", lambda: _refund_notes(config, inputs))
    touchpoints = attempt(left_out, "touchpoints", lambda: _touchpoints(config, inputs))
    return Histories(
        inputs=inputs,
        purchases=purchases,
        touchpoints=touchpoints,
        customers=tables["customers"].valid.collect() if "customers" in tables else None,
        purchases_at=purchases_at,
        notes=notes or (),
        left_out=left_out,
    )


def _purchases_at(config: RunConfig, transactions: pl.LazyFrame) -> Callable[[dt.date], pl.LazyFrame]:
    zero_orders = config.inputs["transactions"][0].zero_orders

    def purchases_at(day: dt.date) -> pl.LazyFrame:
        known = transactions.filter(pl.col("timestamp") < end_of_day(day, zone_of(transactions)))
        return build_purchases(known, purchase_unit=config.purchase_unit, zero_orders=zero_orders)

    return purchases_at


def _purchases(
    purchases_at: Callable[[dt.date], pl.LazyFrame] | None, observation_end: dt.date
) -> pl.DataFrame | None:
    if purchases_at is None:
        return None
    return purchases_at(observation_end).sort("customer_id", "timestamp").collect()


def _touchpoints(config: RunConfig, inputs: Inputs) -> pl.DataFrame | None:
    touches, cases = inputs.get("touchpoints"), inputs.get("cases")
    if touches is None:
        return None
    described = build_touchpoints(
        touches, channels=config.channels, cases=cases, known_at=inputs.observation_end
    )
    return described.sort("customer_id", "timestamp").with_row_index(TOUCH).collect()


def _refund_notes(config: RunConfig, inputs: Inputs) -> tuple[str, ...]:
    transactions, currency = inputs.get("transactions"), inputs.currency
    if transactions is None:
        return ()
    unmatched = count_unmatched_refunds(transactions, purchase_unit=config.purchase_unit)
    if not unmatched.count:
        return ()
    return (
        f"{unmatched.count:,} refunds of {unmatched.amount:,.2f} {currency or ''} exceed what they could be "
        "taken off from; they lower no purchase and are counted here.",
    )
