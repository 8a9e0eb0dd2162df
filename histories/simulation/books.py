"""The company's books: the process written down as the tables that a company keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.arrays import Integer, Moments
from histories.simulation.calendar import Calendar, event_rows
from histories.simulation.process import CompanyProcess
from histories.simulation.traits import CARE, CHANNELS, FIRM, MARGIN, ORDER_VALUE, REFUNDED, REGIONS
from histories.simulation.turns import CHANNEL, Turns

EXPERIMENT = "newsletter test"
WITHHELD = "no newsletter"
PROMISE = "promise: answer within the hour"
GUEST_SHARE = 0.01
PRODUCTS = {
    "shoes": ("trail runner", "city boot"),
    "bags": ("rucksack", "tote"),
    "care kit": ("wax", "laces"),
}
KIND = {
    "forum": "community",
    "reviews": "review",
    "referral": "referral",
    "newsletter": "marketing",
    "ads": "marketing",
}
TOUCH_COST = {"newsletter": 0.02, "ads": 0.15}
"""Currency per send."""
CASE_COST = {"twitter": 2.5, "chat": 3.0, "phone": 6.0}
"""Currency per contact."""
DESK_CASE_COST = 1.5
"""Currency per contact of the channel whose desk answers in turn."""
MONTHLY_COST = {
    "twitter": 400.0,
    "forum": 500.0,
    "reviews": 150.0,
    "chat": 600.0,
    "phone": 900.0,
    "referral": 100.0,
}
"""Fixed currency per month."""
TOPICS = ("delivery", "return", "product", "invoice")
RESPONSE_MINUTES = {"twitter": 55.0, "chat": 4.0, "phone": 7.0}
"""Median minutes to the first reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Input tables of the specification, in currency."""

    customers: pl.DataFrame
    transactions: pl.DataFrame
    touchpoints: pl.DataFrame
    cases: pl.DataFrame
    costs: pl.DataFrame
    assignments: pl.DataFrame
    interventions: pl.DataFrame | None = None
    assumptions: pl.DataFrame | None = None
    """What a company with a desk keeps besides: its changes, and what it takes for granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clerk:
    """What every table needs: the process, the calendar, ids, arrival days, randomness."""

    process: CompanyProcess
    calendar: Calendar
    ids: Integer
    arrival_day: Integer
    """Day of the month of arrival, 0-based, shape (N,)."""
    rng: np.random.Generator

    def moments(self, i: Integer, t: Integer) -> Moments:
        """A moment in month t, not before customer i arrived."""
        after = np.where(t == self.process.entry[i], self.arrival_day[i], 0)
        return self.calendar.moments(t, after_day=after, rng=self.rng)


def write_down(
    process: CompanyProcess,
    calendar: Calendar,
    *,
    contractual: bool,
    proxy_correlation: float | None,
    rng: np.random.Generator,
) -> Books:
    """Date every event of the process and keep the books."""
    n = len(process.entry)
    arrival_day = (
        np.floor(rng.random(n) * calendar.days_in(process.entry)).astype(np.int64)
        if process.turns is None
        else process.turns.arrival_day
    )
    ids = 10_000 + rng.permutation(n).astype(np.int64)
    clerk = _Clerk(process=process, calendar=calendar, ids=ids, arrival_day=arrival_day, rng=rng)
    contacts, cases = _contacts(clerk)
    return Books(
        customers=_customers(clerk, contractual=contractual, proxy_correlation=proxy_correlation),
        transactions=_transactions(clerk),
        touchpoints=contacts,
        cases=cases,
        costs=_costs(clerk),
        assignments=_assignments(clerk),
        interventions=None if process.turns is None else _interventions(calendar, process.turns),
        assumptions=None if process.turns is None else _assumptions(calendar),
    )


def _interventions(calendar: Calendar, turns: Turns) -> pl.DataFrame:
    """The promise on the first day of its month, and half-way to the end a change that did nothing."""
    promised = calendar.starts[turns.promise_month].item()
    between = promised + (calendar.last_day - promised) // 2
    return pl.DataFrame({"name": [PROMISE, "new tone of voice"], "date": [promised, between]})


def _assumptions(calendar: Calendar) -> pl.DataFrame:
    last = calendar.last_day
    return pl.DataFrame(
        [
            ("cost_per_hour", 25.0, 20.0, 32.0, "payroll", last + timedelta(days=180)),
            ("cost_per_assisted_contact", 6.0, 5.0, 8.0, "last year's price list", last - timedelta(days=30)),
        ],
        schema=["name", "value", "low", "high", "source", "expires"],
        orient="row",
    ).with_columns(pl.lit("head of care").alias("owner"), pl.lit(last - timedelta(days=365)).alias("set_on"))


def _customers(clerk: _Clerk, *, contractual: bool, proxy_correlation: float | None) -> pl.DataFrame:
    process, rng = clerk.process, clerk.rng
    n, months = process.satisfaction.shape
    channel = rng.choice(np.array(["search", "ads", "referral", "shop"]), n)
    columns: dict[str, object] = {
        "customer_id": clerk.ids,
        "acquired_at": clerk.calendar.starts[process.entry] + clerk.arrival_day,
        "region": np.array(REGIONS)[process.region],
        "income": process.income.round(2),
        "acquisition_channel": channel,
        "acquisition_cost": np.where(channel == "ads", 12.0, np.where(channel == "search", 6.0, 2.0)),
    }
    if contractual:
        last = clerk.calendar.starts[np.minimum(process.exit + 1, months)] - 1
        columns["ended_at"] = np.where(process.exit < months, last, np.datetime64("NaT"))
    if proxy_correlation is not None:
        noise = np.sqrt(1.0 - proxy_correlation**2) * rng.standard_normal(n)
        columns["satisfaction"] = (proxy_correlation * process.satisfaction[:, 0] + noise).round(2)
    return pl.DataFrame(columns).sort("customer_id")


def _transactions(clerk: _Clerk) -> pl.DataFrame:
    process, rng = clerk.process, clerk.rng
    n = len(process.entry)
    i, t = event_rows(process.orders)
    first = (clerk.calendar.starts[process.entry] + clerk.arrival_day).astype("datetime64[us]")
    at = np.concatenate([first + np.timedelta64(7, "h"), clerk.moments(i, t)])
    who = np.concatenate([np.arange(n), i])
    if process.turns is not None:
        at = np.concatenate([at, process.turns.order_at])
        who = np.concatenate([who, process.turns.order_of])
    lines = rng.integers(1, 4, len(who))
    order = np.repeat(np.arange(len(who)), lines)
    shape = ORDER_VALUE["p"] / lines[order]
    amount = np.maximum(rng.gamma(shape, process.order_mean[who[order]] / ORDER_VALUE["p"]), 0.01).round(2)
    category = rng.choice(np.array(list(PRODUCTS)), len(order))
    which = rng.integers(0, 2, len(order))
    sold = pl.DataFrame(
        {
            "customer_id": clerk.ids[who[order]],
            "timestamp": at[order],
            "order_id": [f"o{k}" for k in order],
            "line_id": [f"l{k}" for k in range(len(order))],
            "product": [PRODUCTS[c][w] for c, w in zip(category, which, strict=True)],
            "category": category,
            "amount": amount,
        }
    )
    books = pl.concat([sold, _refunds(clerk, sold), _guests(clerk, sold)])
    margin = (pl.col("amount") * MARGIN).round(4).alias("margin")
    return books.with_columns(margin).sort("timestamp", "line_id")


def _refunds(clerk: _Clerk, sold: pl.DataFrame) -> pl.DataFrame:
    """Lines that come back within three weeks, while still observed."""
    end = clerk.calendar.starts[-1].astype("datetime64[us]") - np.timedelta64(1, "s")
    back = sold.filter(pl.Series(clerk.rng.random(sold.height) < REFUNDED))
    wait = clerk.rng.integers(86_400, 21 * 86_400, back.height) * np.timedelta64(1_000_000, "us")
    at = np.minimum(back["timestamp"].to_numpy() + wait, end)
    return back.with_columns(
        pl.Series("timestamp", at), -pl.col("amount"), ("r" + pl.col("line_id")).alias("line_id")
    )


def _guests(clerk: _Clerk, sold: pl.DataFrame) -> pl.DataFrame:
    """Orders at the till by people who left no name: copies of some orders, without a customer."""
    copied = sold.filter(pl.Series(clerk.rng.random(sold.height) < GUEST_SHARE))
    return copied.with_columns(
        pl.lit(None, dtype=pl.Int64).alias("customer_id"),
        ("g" + pl.col("order_id")).alias("order_id"),
        ("g" + pl.col("line_id")).alias("line_id"),
    )


def _contacts(clerk: _Clerk) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Touchpoints, and the cases of those in care channels."""
    process = clerk.process
    i, t, c = event_rows(process.contacts)
    at = clerk.moments(i, t)
    if process.turns is not None:
        at[c == CHANNEL] = process.turns.at
    names = np.array([channel.name for channel in CHANNELS])
    case = np.full(len(i), -1)
    care = np.isin(c, CARE)
    case[care] = np.arange(care.sum())
    cost = np.array([TOUCH_COST.get(name, 0.0) for name in names])
    frame = pl.DataFrame(
        {
            "touchpoint_id": [f"t{k}" for k in range(len(i))],
            "customer_id": clerk.ids[i],
            "timestamp": at,
            "channel": names[c],
            "kind": np.array([KIND.get(name, "care") for name in names])[c],
            "direction": np.where(np.isin(c, FIRM), "outbound", "inbound"),
            "case_id": pl.Series([f"c{k}" if k >= 0 else None for k in case], dtype=pl.String),
            "cost": cost[c],
        }
    )
    answered = _answered(process, i[care], t[care], c[care])
    cases = _cases(clerk, frame.filter(pl.Series(care)), i[care], t[care], answered)
    return frame.sort("timestamp", "touchpoint_id"), cases


def _answered(process: CompanyProcess, i: Integer, t: Integer, c: Integer) -> NDArray[np.bool_]:
    """Of the contacts of one customer, month and channel, the first so many as were replied to."""
    same = np.concatenate([[False], (i[1:] == i[:-1]) & (t[1:] == t[:-1]) & (c[1:] == c[:-1])])
    start = np.maximum.accumulate(np.where(same, 0, np.arange(len(i))))
    return np.asarray(np.arange(len(i)) - start < process.replies[i, t, c])


def _cases(
    clerk: _Clerk, contacts: pl.DataFrame, i: Integer, t: Integer, answered: NDArray[np.bool_]
) -> pl.DataFrame:
    rng, n = clerk.rng, len(answered)
    opened = contacts["timestamp"].to_numpy()
    end = clerk.calendar.starts[-1].astype("datetime64[us]") - np.timedelta64(1, "s")
    median = np.array([RESPONSE_MINUTES[name] for name in contacts["channel"]])
    second = np.timedelta64(1_000_000, "us")
    wait = np.maximum(median * 60 * rng.lognormal(0.0, 1.0, n), 5).astype(np.int64)
    if clerk.process.turns is not None:
        at_desk = (contacts["channel"] == CHANNELS[CHANNEL].name).to_numpy()
        waited = clerk.process.turns.waited
        wait[at_desk] = np.where(np.isfinite(waited), waited, 0)
        answered = answered & ~at_desk
        answered[at_desk] = np.isfinite(waited)
    replied = np.minimum(opened + wait * second, end)
    resolved = np.minimum(replied + rng.exponential(6 * 3600, n).astype(np.int64) * second, end)
    none = np.datetime64("NaT")
    solved = answered & (rng.random(n) < 0.85)
    mood = clerk.process.satisfaction[i, t] + 0.8 * answered + rng.standard_normal(n)
    rated = answered & (rng.random(n) < 0.4)
    agent = rng.integers(1, 9, n)
    return pl.DataFrame(
        {
            "case_id": contacts["case_id"],
            "opened_at": opened,
            "channel": contacts["channel"],
            "customer_id": contacts["customer_id"],
            "first_response_at": np.where(answered, replied, none),
            "resolved_at": np.where(solved, resolved, none),
            "closed_channel": contacts["channel"],
            "agent": pl.Series(np.where(answered, np.char.add("agent ", agent.astype(str)), "")).replace(
                "", None
            ),
            "team": np.where(agent < 5, "day", "evening"),
            "topic": rng.choice(np.array(TOPICS), n),
            "handling_seconds": pl.Series(
                np.where(answered, rng.gamma(3.0, 90.0, n).round(), np.nan)
            ).fill_nan(None),
            "contacts": 1 + rng.poisson(0.3, n),
            "reopened": solved & (rng.random(n) < 0.06),
            "csat": pl.Series(np.where(rated, np.clip(np.round(3.0 + mood), 1, 5), np.nan)).fill_nan(None),
            "nps": pl.Series(np.where(rated, np.clip(np.round(6.5 + 2 * mood), 0, 10), np.nan)).fill_nan(
                None
            ),
            "sentiment_first": np.clip(-0.4 + 0.2 * rng.standard_normal(n), -1, 1).round(3),
            "sentiment_last": np.clip(-0.4 + 0.3 * mood, -1, 1).round(3),
        }
    ).sort("opened_at", "case_id")


def _costs(clerk: _Clerk) -> pl.DataFrame:
    """What each channel cost in each month: people and tools, cases, and sends."""
    contacts = clerk.process.contacts.sum(axis=0)
    rows = []
    for k, channel in enumerate(CHANNELS):
        case_cost = CASE_COST.get(channel.name, 0.0)
        if clerk.process.turns is not None and k == CHANNEL:
            case_cost = DESK_CASE_COST
        variable = case_cost + TOUCH_COST.get(channel.name, 0.0)
        for t in range(contacts.shape[0]):
            start, following = (clerk.calendar.starts[t + s].item() for s in (0, 1))
            amount = MONTHLY_COST.get(channel.name, 0.0) + variable * float(contacts[t, k])
            rows.append((channel.name, start, following - timedelta(days=1), round(amount, 2), "all costs"))
    return pl.DataFrame(
        rows, schema=["channel", "period_start", "period_end", "amount", "item"], orient="row"
    )


def _assignments(clerk: _Clerk) -> pl.DataFrame:
    process = clerk.process
    at = clerk.calendar.starts[process.test_start].astype("datetime64[us]").item()
    chosen = process.in_test
    return pl.DataFrame(
        {
            "experiment": EXPERIMENT,
            "customer_id": clerk.ids[chosen],
            "arm": np.where(process.withheld[chosen], WITHHELD, "newsletter"),
            "assigned_at": [at] * int(chosen.sum()),
        }
    ).sort("customer_id")
