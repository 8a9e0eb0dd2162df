"""The input tables: their columns, types and what each column allows.

A table is a value, so that the reader, the checks and the reference page all say the same. A column that a
table does not name is left out, except where `Table.keeps_others` says that any further column is welcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """What a column holds."""

    ID = "id"
    TEXT = "text"
    STATE = "state of a journey"
    INTEGER = "whole number"
    NUMBER = "number"
    MONEY = "amount"
    TIMESTAMP = "timestamp"
    DATE = "date"
    BOOLEAN = "flag (true or false)"

    @property
    def one(self) -> str:
        """The kind with its article.

        >>> Kind.MONEY.one
        'an amount'
        """
        return f"{'an' if self[0] in 'aeiou' else 'a'} {self}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    `low` and `high` are inclusive; `allowed` lists the words of a text column; `personal` values never appear
    in a message; an id that `keeps_integers` stays a whole number where the source has whole numbers; `hint`
    is a guess at what a value outside the range may be; `measures` is the unit of a length of time.
    """

    kind: Kind
    required: bool = False
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    personal: bool = False
    keeps_integers: bool = False
    hint: str = ""
    measures: Literal["minutes", "seconds"] | None = None

    @property
    def range(self) -> str:
        """The allowed range in words, e.g. ``1-5`` or ``0 or more``."""
        low = "" if self.low is None else f"{self.low:g}"
        return f"{low}-{self.high:g}" if self.high is not None else f"{low} or more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One input table.

    `alternatives` lists sets of columns of which one must be present; `unique` names the columns that
    identify a row; `dated` the column that `observation_end` cuts; `customers` the columns that hold customer
    ids; `pairs` two columns of which the second is never below the first.
    """

    name: str
    columns: Mapping[str, Column]
    alternatives: tuple[tuple[tuple[str, ...], ...], ...] = ()
    unique: tuple[str, ...] = ()
    dated: str | None = None
    customers: tuple[str, ...] = ()
    keeps_others: bool = False
    pairs: tuple[tuple[str, str], ...] = ()


def _id(*, required: bool = False, personal: bool = False) -> Column:
    return Column(kind=Kind.ID, required=required, personal=personal)


def _customer(*, required: bool = False) -> Column:
    return Column(kind=Kind.ID, required=required, personal=True, keeps_integers=True)


def _text(*allowed: str, required: bool = False, personal: bool = False) -> Column:
    return Column(kind=Kind.TEXT, required=required, allowed=allowed, personal=personal)


def _number(low: float | None = None, high: float | None = None, *, required: bool = False) -> Column:
    return Column(kind=Kind.NUMBER, low=low, high=high, required=required)


def _count(*, required: bool = False) -> Column:
    return Column(kind=Kind.INTEGER, low=0, required=required)


def _money(low: float | None = None, *, required: bool = False) -> Column:
    return Column(kind=Kind.MONEY, low=low, required=required)


def _length(unit: Literal["minutes", "seconds"]) -> Column:
    return Column(kind=Kind.NUMBER, low=0, measures=unit)


_TIME = Column(kind=Kind.TIMESTAMP)
_REQUIRED_TIME = Column(kind=Kind.TIMESTAMP, required=True)
_DATE = Column(kind=Kind.DATE)
_REQUIRED_DATE = Column(kind=Kind.DATE, required=True)
_FLAG = Column(kind=Kind.BOOLEAN)
_CUSTOMER = _customer()
_KEY = Column(kind=Kind.ID, keeps_integers=True)

_CSAT = Column(
    kind=Kind.NUMBER,
    low=1,
    high=5,
    hint="Is this 0-100, thumbs (0 and 1), or two scales in one column? Map its values with "
    "inputs.cases.values, e.g. values = { csat = { 0 = 1, 1 = 5 } }, or where the table is made.",
)

TRANSACTIONS = Table(
    name="transactions",
    columns={
        "customer_id": _CUSTOMER,
        "timestamp": _REQUIRED_TIME,
        "amount": _money(),
        "quantity": _number(),
        "unit_price": _number(low=0),
        "line_id": _KEY,
        "order_id": _KEY,
        "margin": _money(),
        "product": _text(),
        "category": _text(),
        "currency": _text(),
    },
    alternatives=((("customer_id",),), (("amount",), ("quantity", "unit_price"))),
    unique=("line_id",),
    dated="timestamp",
    customers=("customer_id",),
)

TOUCHPOINTS = Table(
    name="touchpoints",
    columns={
        "customer_id": _CUSTOMER,
        "platform": _text(),
        "handle": _id(personal=True),
        "timestamp": _REQUIRED_TIME,
        "channel": _text(required=True),
        "touchpoint_id": _KEY,
        "case_id": _id(),
        "kind": _text("care", "marketing", "community", "review", "referral"),
        "direction": _text("inbound", "outbound"),
        "proactive": _FLAG,
        "view": _FLAG,
        "campaign": _text(),
        "cost": _money(low=0),
    },
    alternatives=((("customer_id",), ("platform", "handle")),),
    unique=("touchpoint_id",),
    dated="timestamp",
    customers=("customer_id",),
)

CUSTOMERS = Table(
    name="customers",
    columns={
        "customer_id": _customer(required=True),
        "acquired_at": _DATE,
        "ended_at": _DATE,
        "acquisition_channel": _text(),
        "acquisition_cost": _money(low=0),
        "referred_by": _CUSTOMER,
        "declared_source": _text(),
        "consent": _FLAG,
    },
    unique=("customer_id",),
    customers=("customer_id", "referred_by"),
    keeps_others=True,
    pairs=(("acquired_at", "ended_at"),),
)

IDENTITIES = Table(
    name="identities",
    columns={
        "platform": _text(required=True),
        "handle": _id(required=True, personal=True),
        "customer_id": _customer(required=True),
        "valid_from": _DATE,
        "valid_to": _DATE,
        "matched_at": _TIME,
        "method": _text(),
        "probability": _number(0, 1),
    },
    unique=("platform", "handle"),
    customers=("customer_id",),
    pairs=(("valid_from", "valid_to"),),
)

CONSENTS = Table(
    name="consents",
    columns={
        "customer_id": _customer(required=True),
        "purpose": _text(required=True),
        "given": Column(kind=Kind.BOOLEAN, required=True),
        "timestamp": _REQUIRED_TIME,
    },
    customers=("customer_id",),
)

POSTS = Table(
    name="posts",
    columns={
        "post_id": _id(required=True),
        "platform": _text(required=True),
        "author": _id(required=True, personal=True),
        "recipient": _id(personal=True),
        "timestamp": _REQUIRED_TIME,
        "in_reply_to": _id(),
        "conversation_id": _id(),
        "case_id": _id(),
        "text": _text(personal=True),
        "is_brand": _FLAG,
        "inbound": _FLAG,
        "is_automatic": _FLAG,
        "visibility": _text("public", "private", "internal"),
        "agent": _text(personal=True),
        "team": _text(),
        "brand": _text(),
        "needs_reply": _FLAG,
        "followers": _count(),
        "shares": _count(),
        "likes": _count(),
        "sentiment": _number(-1, 1),
        "topic": _text(),
        "product": _text(),
    },
    unique=("post_id",),
    dated="timestamp",
)

CASES = Table(
    name="cases",
    columns={
        "case_id": _id(required=True),
        "opened_at": _REQUIRED_TIME,
        "channel": _text(required=True),
        "customer_id": _CUSTOMER,
        "parent_case_id": _id(),
        "first_response_at": _TIME,
        "resolved_at": _TIME,
        "abandoned_at": _TIME,
        "first_response_minutes": _length("minutes"),
        "resolution_minutes": _length("minutes"),
        "clock": _text("calendar", "business"),
        "closed_channel": _text(),
        "brand": _text(),
        "priority": _text(),
        "agent": _text(personal=True),
        "team": _text(),
        "first_team": _text(),
        "stations": _count(),
        "escalated": _FLAG,
        "answered": _FLAG,
        "needs_reply": _FLAG,
        "needs_reply_at": _TIME,
        "self_served": _FLAG,
        "topic": _text(),
        "handling_seconds": _length("seconds"),
        "contacts": _count(),
        "reopened": _FLAG,
        "reopens": _count(),
        "csat": _CSAT,
        "nps": _number(0, 10),
        "ces": _number(1, 7),
        "sentiment_first": _number(-1, 1),
        "sentiment_last": _number(-1, 1),
        "purchase_reason": _text(),
    },
    unique=("case_id",),
    dated="opened_at",
    customers=("customer_id",),
    keeps_others=True,
    pairs=(
        ("opened_at", "first_response_at"),
        ("opened_at", "resolved_at"),
        ("opened_at", "abandoned_at"),
        ("opened_at", "needs_reply_at"),
    ),
)

COSTS = Table(
    name="costs",
    columns={
        "channel": _text(required=True),
        "period_start": _REQUIRED_DATE,
        "period_end": _REQUIRED_DATE,
        "amount": _money(required=True),
        "item": _text(),
        "brand": _text(),
        "currency": _text(),
    },
    pairs=(("period_start", "period_end"),),
)

HOURS = Table(
    name="hours",
    columns={
        "agent": _text(personal=True),
        "team": _text(),
        "start": _REQUIRED_TIME,
        "end": _REQUIRED_TIME,
        "paid": _FLAG,
    },
    alternatives=((("agent",), ("team",)),),
    dated="start",
    pairs=(("start", "end"),),
)

ASSIGNMENTS = Table(
    name="assignments",
    columns={
        "experiment": _text(required=True),
        "customer_id": _customer(required=True),
        "arm": _text(required=True),
        "assigned_at": _REQUIRED_TIME,
    },
    unique=("experiment", "customer_id"),
    dated="assigned_at",
    customers=("customer_id",),
)

INTERVENTIONS = Table(
    name="interventions",
    columns={
        "name": _text(required=True),
        "date": _REQUIRED_DATE,
        "channel": _text(),
        "description": _text(),
    },
)

CALENDAR = Table(
    name="calendar",
    columns={"start": _REQUIRED_DATE, "end": _DATE, "customer_id": _CUSTOMER},
    customers=("customer_id",),
    keeps_others=True,
    pairs=(("start", "end"),),
)

ASSUMPTIONS = Table(
    name="assumptions",
    columns={
        "name": _text(required=True),
        "value": _number(required=True),
        "source": _text(required=True),
        "owner": _text(required=True),
        "set_on": _REQUIRED_DATE,
        "expires": _REQUIRED_DATE,
        "low": _number(),
        "high": _number(),
    },
    unique=("name",),
    pairs=(("set_on", "expires"), ("low", "high")),
)

OBJECTIVES = Table(
    name="objectives",
    columns={
        "objective": _text(required=True),
        "kpi": _text(),
        "baseline": _number(required=True),
        "target": _number(required=True),
        "weight": _number(low=0, required=True),
        "now": _number(),
        "set_on": _DATE,
        "due": _DATE,
    },
    unique=("objective", "kpi"),
    pairs=(("set_on", "due"),),
)

PATHS = Table(
    name="paths",
    columns={
        "path": _text(required=True),
        "conversions": _count(required=True),
        "value": _number(),
        "nulls": _count(),
    },
)

TRANSITIONS = Table(
    name="transitions",
    columns={
        "from_state": Column(kind=Kind.STATE, required=True),
        "to_state": Column(kind=Kind.STATE, required=True),
        "n": _count(required=True),
    },
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        TRANSACTIONS,
        TOUCHPOINTS,
        CUSTOMERS,
        IDENTITIES,
        CONSENTS,
        POSTS,
        CASES,
        COSTS,
        HOURS,
        ASSIGNMENTS,
        INTERVENTIONS,
        CALENDAR,
        ASSUMPTIONS,
        OBJECTIVES,
        PATHS,
        TRANSITIONS,
    )
}
"""Every input table by name, in the order in which they are read."""
