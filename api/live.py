"""What arrived of customers on top of one bundle, and the scores that follow from it.

A customer's purchases, those of the run and those that arrived, are summarised anew as the run would have
summarised them on the day of the latest arrival, and the run's forecast values that history
(`clv.rescoring`). What the run has read itself counts there and no more here.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from api.served import Served
from clv.tables import CUSTOMERS, CUSTOMERS_SCHEMA, work_out
from clv.updating import (
    Bought,
    Summary,
    merge_purchases,
    purchases_frame,
    summaries_frame,
    summarize_customer,
)
from experiments.arrivals import RECENT_DAYS, Arrival
from experiments.bundle.columns import Array
from histories.money import MONEY_SCALE

_SCORES: Final = 50_000
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_VALUED: Final = (
    "probability_alive",
    "churn_probability",
    "expected_purchases",
    "expected_spend",
    "customer_lifetime_value",
)
_UNKNOWN: Final = tuple(name for name in CUSTOMERS_SCHEMA if name.endswith(("_low", "_high")))
_FURTHEST_DAYS: Final = 36_525.0


class Update(NamedTuple):
    """Something that arrived and that the bundle does not know.

    Attributes
    ----------
    timestamp
        In the run's zone.
    amount
        Minor units; None for a contact.
    """

    sequence: int
    timestamp: dt.datetime
    amount: int | None
    channel: str | None


class _Known(NamedTuple):
    """A customer with purchases."""

    stored_id: str
    as_of: dt.date
    purchases: list[Bought]
    summary: Summary


@dataclass(kw_only=True)
class Live:
    """What arrived on top of one bundle.

    Attributes
    ----------
    usable
        Whether an order can change a score of this bundle.
    by_customer
        Updates by stored id, in the order in which they arrived.
    pending
        How many updates there are.
    last
        Place in the log up to which it was read.
    latest
        When the latest arrival was taken in, in microseconds since 1970.
    version
        SQLite's, by which another process's writing shows.
    read
        Places of arrivals that the bundle knows itself, with when they were taken in.
    """

    served: Served
    zone: ZoneInfo
    usable: bool = True
    by_customer: dict[str, list[Update]] = field(default_factory=dict)
    pending: int = 0
    last: int = 0
    latest: int = 0
    version: int = -1
    read: dict[int, int] = field(default_factory=dict)
    scores: dict[str, tuple[int, dict[str, Any] | None]] = field(default_factory=dict)

    def __contains__(self, stored_id: str) -> bool:
        return stored_id in self.by_customer

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """Take note of further arrivals."""
        if not arrivals:
            return
        times = [_local(arrival.at, self.zone) for arrival in arrivals]
        known = self._known(arrivals, times)
        for arrival, timestamp in zip(arrivals, times, strict=True):
            if arrival.sequence in known:
                self.read[arrival.sequence] = arrival.received
                continue
            update = Update(arrival.sequence, timestamp, arrival.amount, arrival.channel)
            self.by_customer.setdefault(arrival.customer, []).append(update)
            self.pending += 1
        self.last = arrivals[-1].sequence
        self.latest = max(self.latest, *(arrival.received for arrival in arrivals))

    def _known(self, arrivals: Sequence[Arrival], times: Sequence[dt.datetime]) -> set[int]:
        """Places of those that the bundle's run has read."""
        end = as_of_day(self.served)
        early = [a for a, t in zip(arrivals, times, strict=True) if t.date() <= end]
        named = has_order_ids(self.served)
        since = end - dt.timedelta(days=RECENT_DAYS)
        asked, known = [], set()
        for arrival in early:
            recent = _local(arrival.at, self.zone).date() >= since
            if arrival.kind == "purchase" and named and recent:
                asked.append(arrival)
            else:
                known.add(arrival.sequence)
        if asked:
            keys = pl.Series([arrival.key for arrival in asked]).implode()
            orders = self.served.bundle.scan("orders").filter(pl.col("order_id").is_in(keys)).collect()
            there = set(zip(orders["customer_id"].cast(pl.String), orders["order_id"], strict=True))
            known |= {arrival.sequence for arrival in asked if (arrival.customer, arrival.key) in there}
        return known

    def as_of(self, stored_id: str) -> dt.date:
        """The day up to which this customer is known."""
        days = [update.timestamp.date() for update in self.by_customer.get(stored_id, ())]
        return max([as_of_day(self.served), *days])

    def purchases(self, stored_id: str) -> list[Bought]:
        """What the customer bought, the run's purchases and those that arrived."""
        records = self.served.store.purchases
        found = None if records is None else self.served.store.records_of(records, stored_id)
        known = [
            Bought(
                timestamp=dt.datetime.fromisoformat(row["timestamp"]),
                amount=round(row["amount"] * MONEY_SCALE),
                orders=row["orders"] or 1,
            )
            for row in (found[0] if found is not None else ())
        ]
        arrived = [
            Bought(timestamp=update.timestamp, amount=update.amount)
            for update in self.by_customer.get(stored_id, ())
            if update.amount is not None
        ]
        configured = self.served.bundle.manifest.get("configuration", {})
        sources = configured.get("inputs", {}).get("transactions") or [{}]
        return merge_purchases(
            known,
            arrived,
            purchase_unit=configured.get("purchase_unit", "day"),
            count_zero=sources[0].get("zero_orders") == "count",
        )

    def rows(self, stored_id: str) -> list[dict[str, Any]]:
        """Purchases as the service shows them; those with something new have no touches and credit yet."""
        records = self.served.store.purchases
        assert records is not None
        found = self.served.store.records_of(records, stored_id)
        before = {row["timestamp"]: row for row in (found[0] if found is not None else ())}
        shown = []
        for bought in self.purchases(stored_id):
            time = bought.timestamp.isoformat(timespec="seconds")
            known = before.get(time)
            if known is not None and known["orders"] == bought.orders:
                shown.append(known)
                continue
            new = {"date": bought.timestamp.date().isoformat(), "amount": bought.amount / MONEY_SCALE}
            shown.append(dict.fromkeys(records.columns) | {"timestamp": time, "orders": bought.orders} | new)
        return shown

    def tag(self, stored_id: str) -> str:
        """Tells apart answers about a customer before and after an update."""
        return f"u{self.by_customer[stored_id][-1].sequence}"

    def among(self, stored_ids: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
        """Whose score is newer than the run, by position; and a text that tells such answers apart."""
        found = [
            (position, name)
            for position, name in enumerate(stored_ids)
            if name in self.by_customer and not self.served.is_erased(name)
        ]
        rows = [
            {
                "position": position,
                "as_of": self.as_of(name).isoformat(),
                "updates": len(self.by_customer[name]),
            }
            for position, name in found
        ]
        latest = max((self.by_customer[name][-1].sequence for _, name in found), default=None)
        return rows, "" if latest is None else f"u{latest}"

    def contacts(self, stored_id: str) -> list[Update]:
        """Contacts that arrived, in order of time."""
        found = [update for update in self.by_customer.get(stored_id, ()) if update.amount is None]
        return sorted(found, key=lambda update: update.timestamp)

    def score(self, stored_id: str) -> dict[str, Any] | None:
        """One customer's columns, as_of and updates; None where nothing was bought yet."""
        return self.score_many([stored_id])[0]

    def score_many(self, stored_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """The same of several, valued together."""
        missing = [
            stored_id
            for stored_id in dict.fromkeys(stored_ids)
            if self.scores.get(stored_id, (0, None))[0] != len(self.by_customer.get(stored_id, ()))
        ]
        if missing:
            if len(self.scores) > _SCORES:
                self.scores.clear()
            found = dict(zip(missing, self._value(missing), strict=True))
            for stored_id, score in found.items():
                self.scores[stored_id] = (len(self.by_customer[stored_id]), score)
            if len(self.scores) < len(missing):
                return [found[stored_id] for stored_id in stored_ids]
        return [self.scores[stored_id][1] for stored_id in stored_ids]

    def _value(self, stored_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """Summaries and values of customers; None where nothing was bought yet."""
        unit = str(self.served.bundle.model["time_unit"])
        known = []
        for name in stored_ids:
            day, bought = self.as_of(name), self.purchases(name)
            summary = summarize_customer(bought, as_of=day, time_unit=unit)
            if summary is not None:
                known.append(_Known(name, day, bought, summary))
        found = dict(zip([one.stored_id for one in known], self._rows(known), strict=True)) if known else {}
        return [found.get(name) for name in stored_ids]

    def _forecast(self, known: Sequence[_Known]) -> dict[str, dict[str, float]]:
        """What the models say of customers by stored id, those of one day together."""
        predictor = self.served.predictor
        assert predictor is not None, "nothing is taken in where there is no model"
        rescorer, store = predictor.rescorer, self.served.store
        alike: dict[tuple[dt.date, bool], list[_Known]] = {}
        for one in known:  # nothing but purchases is known of new customers
            alike.setdefault((one.as_of, store.find(one.stored_id) >= 0), []).append(one)
        values: dict[str, dict[str, float]] = {}
        for (day, stored), group in alike.items():
            summary = summaries_frame([one.summary for one in group])
            factor, _ = rescorer.follow(
                summary,
                purchases_frame({place: one.purchases for place, one in enumerate(group)}),
                as_of=day,
                customers=self._traits([one.stored_id for one in group]) if stored else None,
            )
            found = rescorer.values(summary, factor=factor, as_of=day)
            for place, one in enumerate(group):
                values[one.stored_id] = {name: float(column[place]) for name, column in found.items()}
        return values

    def _traits(self, stored_ids: Sequence[str]) -> pl.DataFrame:
        """What the bundle's customers table says of these customers, by customer_id from 0 on."""
        store = self.served.store
        names = [name for name in store.filterable if name not in store.columns]
        frame = pl.DataFrame({"customer_id": np.arange(len(stored_ids))})
        return frame.hstack(store.frame_of(store.find_many(stored_ids), names).get_columns())

    def _rows(self, valued: Sequence[_Known]) -> list[dict[str, Any]]:
        """Customers' columns in the store's order, with as_of and updates."""
        predictor = self.served.predictor
        assert predictor is not None, "nothing is taken in where there is no model"
        rescorer = predictor.rescorer
        store = self.served.store
        rows = []
        values = self._forecast(valued)
        for stored_id, day, _, summary in valued:
            found = values[stored_id]
            row = store.find(stored_id)
            before = store.score(row) if row >= 0 else dict.fromkeys(store.columns)
            if row < 0 and rescorer.spend_fit is not None:
                before["historic_value"] = 0.0
            rows.append(
                before
                | dict.fromkeys(_UNKNOWN)
                | {name: _number(found[name]) for name in _VALUED}
                | _counted(summary, rescorer.time_unit)
                | {
                    "historic_value": self._earned(stored_id, before.get("historic_value")),
                    "expected_next_purchase": _day_after(day, found["days_to_next_purchase"]),
                    "decile": self._decile(_number(found["customer_lifetime_value"])),
                    "model": predictor.model,
                }
            )
        return [
            {name: row.get(name) for name in store.columns}
            | {"as_of": day.isoformat(), "updates": len(self.by_customer[stored_id])}
            for row, (stored_id, day, *_) in zip(_worked_out(rows), valued, strict=True)
        ]

    def _earned(self, stored_id: str, before: float | None) -> float | None:
        """Margin so far, that of what arrived included."""
        predictor = self.served.predictor
        if before is None or predictor is None:
            return None
        amounts = sum(update.amount or 0 for update in self.by_customer[stored_id])
        return before + amounts * predictor.rescorer.gross_margin / MONEY_SCALE

    def _decile(self, value: float | None) -> int | None:
        """The tenth that the value would lie in among the run's customers."""
        if value is None or not len(self.served.store):
            return None
        rank = _above(self.served.store.filterable["customer_lifetime_value"].values, *self._order, value)
        return min(10, rank * 10 // len(self.served.store) + 1)

    @property
    def _order(self) -> tuple[Array, int]:
        return self.served.store.order("customer_lifetime_value")


def zone_of_run(served: Served) -> ZoneInfo:
    """The zone in which the run counts days."""
    return ZoneInfo(str(served.bundle.manifest.get("configuration", {}).get("timezone", "UTC")))


def as_of_day(served: Served) -> dt.date:
    """The last day that the bundle knows of."""
    return dt.date.fromisoformat(str(served.context["as_of"])[:10])


def has_order_ids(served: Served) -> bool:
    """Whether the bundle knows the run's latest orders by name."""
    return bool(served.bundle.manifest["tables"].get("orders"))


def is_live(served: Served) -> bool:
    """Whether a purchase can change a score: there is a purchase model, purchases, and no contract."""
    model = served.bundle.model
    return (
        bool(model.get("purchase_model")) and not model.get("contract") and served.store.purchases is not None
    )


def _local(at: int, zone: ZoneInfo) -> dt.datetime:
    """The time on a clock in this zone, without the zone."""
    return (_EPOCH + dt.timedelta(microseconds=at)).astimezone(zone).replace(tzinfo=None)


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _counted(summary: Summary, time_unit: str) -> dict[str, Any]:
    """The summary as columns of customers."""
    days = summary.recency * (7 if time_unit == "week" else 1)
    return {
        "first_purchase": summary.first_purchase.isoformat(),
        "frequency": summary.frequency,
        "recency": summary.recency,
        "T": summary.T,
        "monetary_value": summary.monetary_value,
        "average_days_between_purchases": days / summary.frequency if summary.frequency else None,
    }


def _worked_out(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the columns that have a formula."""
    numbers = {name: dtype for name, dtype in CUSTOMERS_SCHEMA.items() if dtype == pl.Float64()}
    known = pl.LazyFrame([{name: row.get(name) for name in numbers} for row in rows], schema=numbers)
    formulas = [column.name for column in CUSTOMERS if column.formula is not None]
    worked = work_out(known).select(formulas).collect().to_dicts()
    return [row | new for row, new in zip(rows, worked, strict=True)]


def _day_after(day: dt.date, days: float) -> str | None:
    if not math.isfinite(days) or days > _FURTHEST_DAYS:
        return None
    return (day + dt.timedelta(days=math.ceil(days))).isoformat()


def _above(values: Array, order: Array, known: int, value: float) -> int:
    """How many known values are above one, by search in their ascending order."""
    low, high = 0, known
    while low < high:
        middle = (low + high) // 2
        if values[order[middle]] <= value:
            low = middle + 1
        else:
            high = middle
    return known - low
