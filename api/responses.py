"""What each route answers, as types: the documentation's schemas, and the tests' yardstick.

Routes send bytes that were rendered from the bundle's columns; these types describe them and are checked
against real answers in the tests.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, create_model

from clv.tables import CUSTOMERS, Column
from experiments.bundle.tables import TABLES

Share = Annotated[float | None, Field(ge=0, le=1)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class _Context(_Answer):
    model_version: str = Field(description="Which model answers.", examples=["3f6c2a"])
    as_of: str = Field(description="The last day that the scores know of.", examples=["2026-06-30"])
    currency: str | None = Field(description="Currency of every amount.", examples=["GBP"])
    time_unit: str | None = Field(description="Unit of recency and T: day or week.", examples=["week"])
    interval_level: float | None = Field(
        description="Probability inside every interval; null where each row says its own.", examples=[0.9]
    )


def _described(column: Column) -> tuple[Any, Any]:
    """A column's type and what documentation says of it."""
    if column.name == "customer_id":
        return str, Field(description="The id as asked.", examples=["17"])
    kind = Share if column.unit == "share" else _TYPES[type(column.dtype)] | None
    return kind, Field(description=column.words, examples=[column.example])


_TYPES: dict[type[pl.DataType], Any] = {
    pl.Float64: float,
    pl.Int64: int,
    pl.Date: dt.date,
    pl.String: str,
    pl.Boolean: bool,
}
_COLUMNS: dict[str, Any] = {column.name: _described(column) for column in CUSTOMERS}
_Score = create_model("_Score", __base__=_Answer, **_COLUMNS)

CustomerScore = create_model(
    "CustomerScore",
    __base__=(_Context, _Score),
    __doc__="One customer's row of the customers table, with what arrived since the run.",
    updates=(int, Field(description="Orders and contacts that arrived since the run and count in it.")),
)

CustomerRow = create_model(
    "CustomerRow",
    __config__=ConfigDict(extra="allow", protected_namespaces=()),
    **{
        name: (kind, Field(default=None, description=field.description, examples=field.examples))
        for name, (kind, field) in _COLUMNS.items()
    }
    | {"customer_id": (str, Field(description="The id."))},
)
"""One customer in a list: the columns asked for, those of the input's customers table among them."""


class Updated(_Answer):
    """One customer of an answer of whom something arrived since the run."""

    position: int = Field(description="Its place in the answer, from 0.")
    as_of: str = Field(description="The day of the latest arrival.")
    updates: int = Field(description="Orders and contacts that arrived since the run.")


class Batch(_Answer):
    """Many customers' scores by column."""

    model_version: str
    as_of: str
    columns: dict[str, list[Any]] = Field(
        description="Each column's values in the order asked, unknown customers left out; always customer_id."
    )
    unknown: list[int] = Field(description="Positions, from 0, of the ids that are unknown.")
    updated: list[Updated] = Field(description="Customers of whom something arrived since the run.")


class Found(_Answer):
    """Who is behind each handle."""

    model_version: str
    customer_ids: list[str | None] = Field(
        description="In the order asked; null where nobody, or more than one customer, has the handle.",
        examples=[["17", None]],
    )


class Accepted(_Answer):
    """What was taken in."""

    model_version: str
    accepted: int = Field(description="Rows that are new.")
    duplicates: int = Field(description="Rows that were sent before; they count once.")


class CustomerPage(_Context):
    """One page of customers."""

    customers: list[CustomerRow]  # type: ignore[valid-type]
    updated: list[Updated] = Field(
        description="Customers of this page whose score is newer than the run's, which stands here: ask for "
        "their values."
    )
    next: str | None = Field(description="Cursor of the page that follows; null on the last.")


class CustomerCount(_Context):
    """How many customers a filter keeps."""

    customers: int = Field(description="Customers whom the filter keeps.")
    of: int = Field(description="Customers in all.")
    customer_lifetime_value: float = Field(description="What they are worth together, in currency.")


class Axis(_Answer):
    """One side of a grid."""

    column: str
    edges: list[float] | list[dt.date] = Field(
        description="Ends of the parts, one more than there are parts."
    )


class CustomerGrid(_Context):
    """Counts of customers over two columns."""

    x: Axis
    y: Axis
    counts: list[list[int]] = Field(description="counts[i][j]: customers in part i of x and part j of y.")
    without_value: int = Field(description="Customers without a value of x or y.")


class Segment(_Answer):
    """A named segment."""

    name: str
    filter: str = Field(description="Who belongs, in the filter language.")
    description: str
    purpose: str | None = Field(None, description="What they consented to; null: nothing was asked.")
    without_consent: int = Field(
        0, description="Whom the filter kept and the purpose left out, when the run was made."
    )
    customers: int = Field(description="How many now.")
    share: float | None = Field(description="Share of all customers when the run was made.")
    customer_lifetime_value: float = Field(description="What they were worth together then, in currency.")


class Segments(_Context):
    """The segments that the configuration names."""

    segments: list[Segment]


class _OfCustomer(_Answer):
    model_version: str
    as_of: str
    customer_id: str


class Touchpoints(_OfCustomer):
    """A customer's contacts, oldest first."""

    total: int = Field(description="Contacts in all.")
    touchpoints: list[dict[str, Any]] = Field(description="Rows of the touchpoints table; money in currency.")
    next: int | None = Field(description="Value of `after` for the contacts that follow; null at the end.")


class Versions(_Context):
    """Model versions of the last promotions."""

    versions: list[str] = Field(description="The newest first.")


class ChangeCounts(_Answer):
    """How many changed, by kind."""

    moved: int
    entered: int
    left: int


class Change(_Answer):
    """One customer who changed."""

    customer_id: str
    status: str = Field(description="moved, entered or left.")
    before: float | int | str | bool | None = Field(default=None, description="The value then.")
    after: float | int | str | bool | None = Field(default=None, description="The value now.")


class Changes(_Context):
    """What changed since an earlier promotion."""

    since: str
    counts: ChangeCounts
    erased: int = Field(description="Customers erased since; they are not named.")
    customers: list[Change]
    next: str | None = Field(description="Cursor of the page that follows; null on the last.")


class Purchase(_Answer):
    """One purchase: the orders of a day, netted."""

    timestamp: str | None = Field(description="When, local to the run's zone.")
    date: dt.date | None = Field(description="The day.")
    amount: float | None = Field(description="Revenue, in currency.")
    margin: float | None = Field(description="Margin where the input gave it, in currency.")
    orders: int | None = Field(description="Orders in it.")
    touches: int | None = Field(description="Contacts in its lookback window.")
    credit: float | None = Field(description="Share credited to contacts.")


class Purchases(_OfCustomer):
    """A customer's purchases, oldest first."""

    total: int = Field(description="Purchases in all.")
    purchases: list[Purchase]
    next: int | None = Field(description="Value of `after` for those that follow; null at the end.")


class AlivePoint(_Answer):
    """The chance of being a customer on one day."""

    date: dt.date
    probability_alive: float
    purchased: bool = Field(description="Whether the customer bought on that day.")


class AliveHistory(_OfCustomer):
    """The chance of being a customer over time."""

    step_days: int
    history: list[AlivePoint]


class Reason(_Answer):
    """One factor of a customer's value."""

    name: str
    words: str
    value: float = Field(description="The customer's.")
    company: float = Field(description="The company's; the product of all four is its mean value.")
    contribution: float = Field(description="What it adds against the company's mean, in currency.")


class Reasons(_OfCustomer):
    """Why a customer is worth more or less than the company's mean."""

    currency: str | None
    customer_lifetime_value: float
    company_mean: float = Field(description="Mean lifetime value of all customers, in currency.")
    difference: float = Field(description="Value less mean: the sum of the contributions.")
    factors: list[Reason]


class _Rows(_Context):
    rows: list[dict[str, Any]]


ROWS = {
    name: create_model(
        "".join(word.capitalize() for word in table.route.split("/")), __base__=_Rows, __doc__=table.words
    )
    for name, table in TABLES.items()
    if table.route
}
"""Answers with rows of a table, by its name."""


class OpenCases(_Context):
    """One page of the cases of customers who wait for a human."""

    cases: list[dict[str, Any]] = Field(description="Rows of the cases table, without any text.")
    next: str | None = Field(description="Cursor of the page that follows; null on the last.")


class Engaged(_Context):
    """Customers by purchases, recommendations and help together: for ranking only, never to be added up."""

    rows: list[dict[str, Any]] = Field(description="Rows of the table engagement, the first ranks first.")


class Predictions(_Answer):
    """Values of customers from their purchase summaries."""

    model_version: str
    model: str = Field(description="Name of the run's forecast.", examples=["stack"])
    horizon_months: int
    currency: str | None
    time_unit: str | None
    columns: dict[str, list[float | None]] = Field(
        description="probability_alive, churn_probability, expected_purchases, expected_spend, "
        "discounted_purchases, customer_lifetime_value, days_to_next_purchase; null where impossible."
    )
    invalid: list[int] = Field(
        description="Positions, from 0, of summaries that no customer can have, or that are not those of the "
        "purchases beside them."
    )
    notes: list[str] = Field(description="What of the forecast could not take part.")


class TensorMetadata(_Answer):
    """A tensor that a model takes or gives."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(_Answer):
    """What the Open Inference Protocol says of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class TensorAnswer(_Answer):
    """A tensor of an answer."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | bool | None]


class InferenceAnswer(_Answer):
    """Predictions in the Open Inference Protocol."""

    model_name: str
    model_version: str
    id: str | None
    outputs: list[TensorAnswer]


class Staffing(_Answer):
    """Agents for one interval."""

    agents: int = Field(description="Agents at work that reach the target.")
    scheduled: int = Field(description="Agents to be planned, shrinkage included.")
    service_level: float = Field(description="Share answered in time with them.")
    service_level_below: float | None = Field(
        description="The same with one agent fewer; null when unstable."
    )
    occupancy: float = Field(description="Share of time at work spent on contacts.")
    waiting_probability: float = Field(description="Share of contacts that wait at all.")
    average_wait_seconds: float = Field(description="Mean wait of all contacts, in seconds.")
    abandonment: float = Field(description="Share that gives up; 0 in Erlang C.")
    load_erlangs: float = Field(description="Work that arrives, in agents kept busy.")
    formula: str = Field(description="Erlang C or Erlang A.")


class DeferredStaffing(_Answer):
    """Agents for work that can wait."""

    agents: int = Field(description="Agents at work all day that keep the promise.")
    exact: float = Field(description="The same before rounding up.")
    scheduled: int = Field(description="Agents to be planned, shrinkage included.")
    longest_wait_minutes: float = Field(description="Longest wait with them.")
    longest_wait_minutes_below: float | None = Field(
        description="The same with one agent fewer; null without one fewer."
    )
    shrinkage: float = Field(description="All of it, as a share of paid time.")
    formula: str
    hours: list[dict[str, Any]] = Field(
        description="By hour: arrivals, cheapest agents, scheduled, backlog and age of the oldest case "
        "at its "
        "end with `agents` all day, and with one fewer."
    )


class FigureAnswer(_Answer):
    """A figure with its interval; null with a reason where it is not supported or not known."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None


class WhatIfAnswer(_Context):
    """What answering more customers in time would bring, take and risk."""

    promise: str
    share_now: float = Field(description="Answered in time today.")
    share: float = Field(description="Answered in time then.")
    supported: bool = Field(description="Whether the effect of being fast may be used.")
    cases: float = Field(description="Cases that become fast.")
    margin: FigureAnswer = Field(description="Of known customers, in currency.")
    margin_next: FigureAnswer = Field(
        description="Of known customers, had those become fast who waited least beyond the promise."
    )
    margin_unknown_authors: FigureAnswer = Field(
        description="What authors who are no known customers would bring if they were; not in the net."
    )
    retained: FigureAnswer = Field(description="Customers kept.")
    induced_contacts: FigureAnswer = Field(description="Further contacts that answers make.")
    induced_cost: FigureAnswer = Field(description="What those cost.")
    hours: float | None = Field(description="Extra hours at work.")
    agents_now: float | None = Field(description="Agents at work that today's share takes, not rounded.")
    agents: float | None = Field(description="Agents at work that the share takes, not rounded.")
    cost: FigureAnswer = Field(description="Of the extra hours.")
    net: FigureAnswer = Field(description="Margin less induced cost and cost.")
    chance: float | None = Field(description="That the net is above 0, over the errors of the effects.")
    basis: str = Field(description="The effect it rests on.")
    reason: str | None = Field(description="Why it is not supported.")
    settled_by: str | None = Field(description="The experiment that would settle it.")
    notes: list[str] = Field(description="What was taken for granted.")


class LotteryWeeks(BaseModel):
    """What so many weeks of a lottery find."""

    weeks: int
    customers: int = Field(description="Customers with a case in as many weeks.")
    difference: float = Field(description="Of the arms, found with 80 % power at two-sided 5 %.")
    effect: float | None = Field(description="Of an answer in time, per customer, that this is.")


class LotteryVolume(BaseModel):
    """Cases a week of one channel."""

    channel: str
    cases: float


class LotteryAnswer(_Context):
    """What a lottery of priority would find, and how it would slow the others."""

    promise: str = Field(description="By whose limit an answer is in time.")
    share: float = Field(description="Of the cases that go first.")
    weekly: list[LotteryVolume] = Field(description="Cases of known customers a week, of eight weeks.")
    in_time_now: float = Field(description="Share answered in time today.")
    in_time_priority: float = Field(description="Of those drawn, with as many answers in time as today.")
    in_time_usual: float = Field(description="Of the others, likewise.")
    outcome: str = Field(description="What is measured.")
    spread: float = Field(description="Its standard deviation between customers.")
    by_weeks: list[LotteryWeeks] = Field(description="What is found by when.")


class ModelCard(_Context):
    """What the scores come from, how good they were, and what they cannot say."""

    run_id: str
    customers: int = Field(description="Customers with a score.")
    data: dict[str, Any] = Field(description="What was read: tables, rows, span.")
    model: dict[str, Any] = Field(description="Chosen model, fitted models and their parameters.")
    validation: list[dict[str, Any]] = Field(description="Holdout figures by model.")
    drift: list[dict[str, Any]] = Field(description="Drift against the fit (PSI, KS) by column.")
    left_out: dict[str, Any] = Field(description="What the run did not make, and why.")
    limits: list[str] = Field(description="What the figures cannot say.")


class Health(_Answer):
    """State of the service."""

    status: str
    model_version: str | None = None
    refusal: str | None = Field(default=None, description="Why the latest bundle was refused.")


class Reloaded(_Answer):
    """What is served after an administrator's call."""

    model_version: str
    as_of: str
    changed: bool = Field(description="Whether another bundle is served now.")


class ProblemDocument(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(
        description="Identifies the kind of problem, the same wherever the service runs.",
        examples=["urn:tributary:problems#unknown-customer"],
    )
    title: str
    status: int
    detail: str = Field(description="What was found and what to do next.")
    help: str = Field(description="Where this service explains it.", examples=["/docs#unknown-customer"])
    error: str | None = Field(
        default=None, description="The detail again, under /v2 as its protocol wants it."
    )
    request_id: str | None = Field(default=None, description="Names the request in the service's log.")
    errors: list[dict[str, str]] | None = Field(
        default=None, description="Places in the request that are wrong."
    )
