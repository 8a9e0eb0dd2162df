"""From checked tables to the histories that every later part reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from experiments.config import RunConfig
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

    def table(self, name: str) -> pl.LazyFrame | None:
        """The valid rows of an input table, or None."""
        return self.inputs.tables[name].valid if name in self.inputs.tables else None

    @property
    def contractual(self) -> bool:
        """Whether customers say when they left; otherwise nobody knows."""
        return self.customers is not None and "ended_at" in self.customers.columns

    @property
    def span(self) -> str:
        """First and last day of what was observed, in words."""
        firsts = [
            frame["timestamp"].min()
            for frame in (self.purchases, self.touchpoints)
            if frame is not None and frame.height
        ]
        days = [first.date() for first in firsts if isinstance(first, dt.datetime)]
        return f"{min(days)} to {self.inputs.observation_end}" if days else ""


def build_histories(config: RunConfig, inputs: Inputs) -> Histories:
    """Net the orders, describe the touches, and keep what is known of each customer."""
    tables = inputs.tables
    purchases, purchases_at = None, None
    notes: tuple[str, ...] = ()
    if "transactions" in tables:
        transactions = tables["transactions"].valid
        zero_orders = config.inputs["transactions"][0].zero_orders

        def purchases_at(day: dt.date) -> pl.LazyFrame:
            known = transactions.filter(pl.col("timestamp").dt.date() <= day)
            return build_purchases(known, purchase_unit=config.purchase_unit, zero_orders=zero_orders)

        purchases = purchases_at(inputs.observation_end).sort("customer_id", "timestamp").collect()
        notes = _refund_notes(config, transactions, inputs.currency)
    touchpoints = None
    if "touchpoints" in tables:
        cases = tables["cases"].valid if "cases" in tables else None
        touchpoints = (
            build_touchpoints(
                tables["touchpoints"].valid,
                channels=config.channels,
                cases=cases,
                known_at=inputs.observation_end,
            )
            .sort("customer_id", "timestamp")
            .with_row_index(TOUCH)
            .collect()
        )
    return Histories(
        inputs=inputs,
        purchases=purchases,
        touchpoints=touchpoints,
        customers=tables["customers"].valid.collect() if "customers" in tables else None,
        purchases_at=purchases_at,
        notes=notes,
    )


def _refund_notes(config: RunConfig, transactions: pl.LazyFrame, currency: str | None) -> tuple[str, ...]:
    unmatched = count_unmatched_refunds(transactions, purchase_unit=config.purchase_unit)
    if not unmatched.count:
        return ()
    return (
        f"{unmatched.count:,} refunds of {unmatched.amount:,.2f} {currency or ''} exceed what they could be "
        "taken off from; they lower no purchase and are counted here.",
    )
