"""What is wrong with an order or a contact that arrives, in words without personal data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from api.live import as_of_day, has_order_ids, zone_of_run
from api.problems import Problem
from api.served import Served
from api.store import integer_of
from experiments.arrivals import RECENT_DAYS, Arrival, Kind, Outcome
from experiments.bundle.columns import LONGEST_ID, NULL_INT32, Array
from histories.money import MONEY_SCALE

_AHEAD: Final = dt.timedelta(minutes=5)
"""How far two clocks may lie apart."""
_FURTHEST: Final = dt.timedelta(days=36_525)
"""A time further from now than a century has no day that every zone can tell."""
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MOST_ERRORS: Final = 100
_DETAILS: Final = {
    "invalid-request": "Some rows do not have the right form; see errors.",
    "in-the-future": "Some of it has not happened yet by this service's clock; see errors.",
    "other-currency": "Some amounts are in another currency than the scores; see errors.",
    "before-first-purchase": "Some orders lie before the customer's first purchase that the run knows; see "
    "errors. A run corrects histories, an arrival adds to them.",
    "too-old": "Some of it lies so far back that it belongs to the input of the next run; see errors.",
}
_NOTHING: Final = " Nothing was taken in."


class ArrivalChecks:
    """Makes arrivals of rows, and remembers what is wrong with them.

    Parameters
    ----------
    served
        What is served.
    kind
        Orders or contacts.
    received
        Now, in microseconds since 1970, and no earlier than what was taken in before.
    """

    def __init__(self, served: Served, kind: Kind, received: int) -> None:
        self._served, self._kind, self._received = served, kind, received
        self._zone = zone_of_run(served)
        self._now = _EPOCH + dt.timedelta(microseconds=received)
        self._currency = served.context["currency"]
        end = as_of_day(served)
        named = kind == "purchase" and has_order_ids(served)
        self._since = end - dt.timedelta(days=RECENT_DAYS) if named else end + dt.timedelta(days=1)
        self._errors: dict[str, list[dict[str, str]]] = {}

    def arrivals(self, rows: Sequence[Any]) -> list[Arrival]:
        """Rows as arrivals.

        Raises
        ------
        Problem
            When one of them is wrong: the first kind of fault, with every place where it stands.
        """
        stored = [self._served.stored_id(row.customer_id) for row in rows]
        firsts = self._first_purchases(stored) if self._kind == "purchase" else [None] * len(rows)
        found = [self._arrival(i, *each) for i, each in enumerate(zip(rows, stored, firsts, strict=True))]
        for name, errors in self._errors.items():
            raise Problem(name=name, detail=_DETAILS[name] + _NOTHING, errors=errors[:_MOST_ERRORS])
        return found

    def _first_purchases(self, stored: Sequence[str]) -> list[dt.date | None]:
        """Day of each customer's first purchase as the run knows it."""
        rows: Array = self._served.store.find_many(stored)
        days = self._served.store.columns["first_purchase"].values
        if not len(days):
            return [None] * len(stored)
        taken = np.where(rows >= 0, days[np.maximum(rows, 0)], NULL_INT32)
        return [None if day == NULL_INT32 else _day(day) for day in taken.tolist()]

    def _arrival(self, i: int, row: Any, stored: str, first: dt.date | None) -> Arrival:
        if self._served.store.integer_ids and integer_of(stored) is None:
            self._wrong("invalid-request", i, "customer_id", "The ids of these scores are whole numbers")
        elif len(stored.encode("utf-8", "surrogatepass")) > LONGEST_ID or "\0" in stored:
            self._wrong("invalid-request", i, "customer_id", f"An id has at most {LONGEST_ID} bytes, no NUL")
        time = row.timestamp
        if time.tzinfo is None:
            time = time.replace(tzinfo=self._zone)
        ahead = time - self._now
        day = self._since if abs(ahead) > _FURTHEST else time.astimezone(self._zone).date()
        if ahead > _AHEAD:
            detail = f"{ahead.total_seconds():,.0f} s ahead of {self._clock()}"
            self._wrong("in-the-future", i, "timestamp", detail)
        elif day < self._since or ahead < -_FURTHEST:
            self._wrong("too-old", i, "timestamp", f"Days from {self._since} on are taken in here")
        elif first is not None and day < first:
            self._wrong("before-first-purchase", i, "timestamp", f"{(first - day).days} days before it")
        amount = None
        if self._kind == "purchase":
            amount = round(row.amount * MONEY_SCALE)
            if row.currency != self._currency:
                self._wrong("other-currency", i, "currency", f"The scores are in {self._currency}")
        return Arrival(
            kind=self._kind,
            key=row.order_id if self._kind == "purchase" else row.touchpoint_id,
            customer=stored,
            at=(time - _EPOCH) // dt.timedelta(microseconds=1),
            amount=amount,
            channel=None if self._kind == "purchase" else row.channel,
            received=self._received,
        )

    def _clock(self) -> str:
        return self._now.isoformat(timespec="seconds")

    def _wrong(self, name: str, i: int, field: str, detail: str) -> None:
        self._errors.setdefault(name, []).append({"at": f"$[{i}].{field}", "detail": detail})


def refuse_outcome(outcome: Outcome, kind: Kind) -> None:
    """Say why a request was not taken in, where it was not.

    Raises
    ------
    Problem
        When a key names something else already, or a customer was erased.
    """
    key = "order_id" if kind == "purchase" else "touchpoint_id"
    if outcome.erased:
        raise Problem(
            name="erased-customer",
            detail=f"Customers who were erased are not taken in again; see errors.{_NOTHING}",
            errors=_places(outcome.erased, "customer_id", "The customer was erased"),
        )
    if outcome.conflicts:
        raise Problem(
            name="reused-key",
            detail=f"This {key} was sent before and said something else; see errors.{_NOTHING}",
            errors=_places(outcome.conflicts, key, "It names something else already"),
        )


def _places(positions: Sequence[int], field: str, detail: str) -> list[dict[str, str]]:
    return [{"at": f"$[{i}].{field}", "detail": detail} for i in positions[:_MOST_ERRORS]]


def _day(since: int) -> dt.date:
    """The day so many days after 1970-01-01."""
    return dt.date(1970, 1, 1) + dt.timedelta(days=since)
