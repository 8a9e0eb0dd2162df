"""Figures of effectiveness: what a contact costs, and to whom the promise was kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from care.intervals import share_interval
from care.measures.base import Measure, Measured, absent, kept_of, measure_of, promised, where
from care.view import Clock, View
from histories.arrays import Float

_PER: Final[dict[str, Callable[[View], Float]]] = {
    "contact": lambda view: np.where(
        np.isnan(view["contacts"]), np.fmax(view["turns"], 1.0), view["contacts"]
    ),
    "answered": lambda view: (view.needs & (view["answered"] == 1.0)).astype(float),
    "resolved": lambda view: (view.needs & (view["resolved"] == 1.0)).astype(float),
}


def cost_per(what: str) -> Measured:
    """Costs of the channels over what they did, for channels whose cost is known."""

    def measure(view: View, clock: Clock) -> Measure:
        if view.desk.costs is None:
            return absent("no costs were given")
        if set(view.cut) - {"channel", "week", "month"}:
            return absent("costs are known by channel only")
        channels, places = view.desk.coded("channel")
        spent = _spent(view)
        if what == "resolved":  # channels whose cases the desk can close
            closing = np.unique(places[view.desk.arrays["from_desk"] == 1.0])
            spent = {name: cost for name, cost in spent.items() if name in {channels[n] for n in closing}}
        priced = view.desk.among("channel", spent)[view.chosen]
        if not priced.any():
            return absent("no cost of these channels is known")
        cost = sum(spent.get(channels[place], 0.0) for place in np.unique(places[view.chosen]))
        count = float(_PER[what](view)[priced].sum())
        if not count:
            return absent(f"nothing to divide by: no {what} case")
        left = "" if priced.all() else "channels without a known cost are left out"
        if left and what == "resolved":
            left = "channels without a known cost, or whose cases nobody closes, are left out"
        return Measure(value=cost / count, n=int(count), coverage=float(priced.mean()), reason=left or None)

    return measure


def _spent(view: View) -> dict[str, float]:
    """Costs of the channels that had some on the days of the view."""
    first, last = (np.datetime64(day) for day in view.days())
    then = {name: cost[(first <= day) & (day <= last)] for name, (day, cost) in view.desk.spent.items()}
    return {name: float(cost.sum()) for name, cost in then.items() if cost.size}


def value_weighted_service_level(view: View, clock: Clock) -> Measure:
    """The service level with every case weighted by its customer's lifetime value."""
    promise = promised(view)
    if promise is None:
        return absent("no promise on the first reply is set; add [[care.promises]]")
    part = view.covered(promise)
    kept, value = kept_of(part, promise, clock), part["value"]
    if np.isnan(value).all():
        return absent("no customer has a lifetime value")
    decided, worth = ~np.isnan(kept), np.clip(value, 0.0, None)
    usable = decided & ~np.isnan(value)
    found = share_interval(np.where(usable, kept, np.nan), part["customer"], weights=np.nan_to_num(worth))
    without = int((decided & ~usable).sum())
    reason = f"{without:,} cases of customers without a value are left out" if without else None
    plain = share_interval(np.where(usable, kept, np.nan), part["customer"])
    made = measure_of(found, of=int(decided.sum()), as_tool=plain.value)
    return replace(made, reason=made.reason or reason)


def service_to_sales(view: View, clock: Clock) -> Measure:
    """Share of known customers' matters followed by a purchase within the sales days."""
    if view.desk.purchases is None:
        return absent("no transactions were given")
    return measure_of(
        share_interval(where(view.needs, view["bought"]), view["customer"]),
        of=view.applicable,
        **({"reason": "descriptive: who asks is already a customer"} if (view["bought"] >= 0).any() else {}),
    )
