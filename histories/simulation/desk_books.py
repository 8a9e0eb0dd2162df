"""The desk's process written down as the tables of a company: posts, cases, orders, shifts, costs."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from histories.arrays import Flags, Integer
from histories.simulation.desk import CHANNELS, DAY, NEVER, DeskProcess, Thread, gain_of

MARGIN = 0.45
KNOWN_SHARE = 0.75
AMBIGUOUS = 3
"""Handles that belong to two customers at once."""
TOPICS = ("delivery", "return", "product", "invoice")
MONTHLY_COST = {"twitter": 3000.0, "facebook": 1500.0, "email": 2500.0}
ITEMS = {"people": 0.8, "tools": 0.2}
ORDERS_A_DAY = 0.06
ORDER_VALUE = 15.0

_WORDS = {
    "question": ("Where is my order?", "Can I change the size?", "When do you open?"),
    "problem": ("The zip broke after a week", "My parcel never arrived", "The app does not work"),
    "praise": ("Love the new boots!", "Great shop", "Best coat ever, so happy"),
    "repost": ("RT @acme: the sale starts today", "RT @acme: new colours"),
    "thanks": ("Thanks!", "Perfect, thank you"),
    "order": ("Order 4711", "My order number is 90210"),
    "bystander": ("same here, why?", "I have the same problem"),
}
_MACROS = ("We are on it", "It is on its way", "We have sent you a new one")
_REDIRECTION = "Sorry! Please send us a DM with your order number"
_ROBOT = "Hello! We have got your message and will be with you soon"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskBooks:
    """Input tables; times are instants."""

    customers: pl.DataFrame
    transactions: pl.DataFrame
    touchpoints: pl.DataFrame
    identities: pl.DataFrame
    posts: pl.DataFrame
    cases: pl.DataFrame
    hours: pl.DataFrame
    costs: pl.DataFrame
    interventions: pl.DataFrame
    assumptions: pl.DataFrame


def write_desk(process: DeskProcess, *, rng: np.random.Generator) -> DeskBooks:
    """Keep the books of everything that was seen by the end of observation."""
    n = len(process.effect)
    ids = 10_000 + rng.permutation(n)
    known = rng.random(n) < KNOWN_SHARE
    known[:AMBIGUOUS] = False  # theirs are the handles that two customers share
    seen = [thread for thread in process.threads if thread.opened < process.end]
    last = (dt.datetime.fromtimestamp(process.end, dt.UTC) - dt.timedelta(hours=2)).date()
    return DeskBooks(
        customers=_customers(process, ids, rng),
        transactions=_transactions(process, seen, ids, rng),
        touchpoints=_touchpoints(process, seen, ids, known),
        identities=_identities(ids, known),
        posts=_posts(process, seen),
        cases=_cases(process, seen, ids, rng),
        hours=pl.DataFrame(
            [(f"person {agent}", "care", _moment(a), _moment(b)) for agent, a, b in process.shifts],
            schema=["agent", "team", "start", "end"],
            orient="row",
        ),
        costs=_costs(process, last),
        interventions=pl.DataFrame(
            {
                "name": ["promise: answer within the hour", "new tone of voice"],
                "date": [process.promise_from, process.promise_from + (last - process.promise_from) / 2],
            }
        ),
        assumptions=_assumptions(last),
    )


def _assumptions(last: dt.date) -> pl.DataFrame:
    """What the desk takes for granted: the pay of an hour, work on a post, a price list that has expired."""
    rows = [
        ("cost_per_hour", 25.0, 20.0, 32.0, "payroll", last + dt.timedelta(days=180)),
        ("handling_seconds", 420.0, 300.0, 600.0, "a week of stopwatches", last + dt.timedelta(days=90)),
        ("cost_per_assisted_contact", 6.0, 5.0, 8.0, "last year's price list", last - dt.timedelta(days=30)),
    ]
    frame = pl.DataFrame(rows, schema=["name", "value", "low", "high", "source", "expires"], orient="row")
    return frame.with_columns(
        pl.lit("head of care").alias("owner"), pl.lit(last - dt.timedelta(days=365)).alias("set_on")
    )


def _moment(second: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(second, dt.UTC)


def _handle(customer: int, channel: str) -> str:
    return f"{channel[:2]}_user{customer}"


def _customers(process: DeskProcess, ids: Integer, rng: np.random.Generator) -> pl.DataFrame:
    n = len(ids)
    before = [_moment(process.start - int(s)).date() for s in rng.integers(0, 200 * DAY, n)]
    region = rng.choice(np.array(["north", "south", "east", "west"]), n)
    return pl.DataFrame({"customer_id": ids, "acquired_at": before, "region": region}).sort("customer_id")


def _transactions(
    process: DeskProcess,
    seen: list[Thread],
    ids: Integer,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Orders that come anyway until a customer is gone, and what answers brought."""
    rows: list[tuple[int, int, float]] = []
    days = (process.end - process.start) // DAY
    rates = ORDERS_A_DAY * days * process.appetite * rng.gamma(12.0, 1 / 12, len(ids))
    for customer, count in enumerate(rng.poisson(rates)):
        times = process.start + rng.integers(0, process.end - process.start, count)
        rows += [
            (customer, int(at), float(rng.gamma(8.0, ORDER_VALUE / 8)))
            for at in times
            if at < process.gone[customer]
        ]
    for thread in seen:
        if thread.waits and thread.waits[0][1] < process.end:
            mean = process.effect[thread.customer] * gain_of(thread.waits[0][1] - thread.waits[0][0])
            at = thread.waits[0][1] + int(rng.integers(DAY // 2, 28 * DAY))
            if mean > 0 and at < process.end:
                rows.append((thread.customer, at, float(rng.gamma(2.0, mean / 2))))
    return pl.DataFrame(
        {
            "customer_id": ids[[row[0] for row in rows]],
            "timestamp": [_moment(row[1]) for row in rows],
            "order_id": [f"o{number}" for number in range(len(rows))],
            "amount": [max(0.01, round(row[2], 2)) for row in rows],
        }
    ).sort("timestamp", "order_id")


def _touchpoints(
    process: DeskProcess,
    seen: list[Thread],
    ids: Integer,
    known: Flags,
) -> pl.DataFrame:
    """Messages of customers who are known by the desk, and the replies of humans to them."""
    rows = []
    for thread in seen:
        if thread.channel != "email" and not known[thread.customer]:
            continue
        customer = int(ids[thread.customer])
        rows += [
            (customer, _moment(message.at), thread.channel, "inbound")
            for message in thread.messages
            if message.at < process.end
        ]
        rows += [
            (customer, _moment(reply.at), thread.channel, "outbound")
            for reply in thread.replies
            if reply.at < process.end and reply.agent is not None
        ]
    frame = pl.DataFrame(rows, schema=["customer_id", "timestamp", "channel", "direction"], orient="row")
    return frame.with_columns(pl.lit("care").alias("kind")).sort("timestamp", "customer_id", "direction")


def _identities(ids: Integer, known: Flags) -> pl.DataFrame:
    """Handles of the customers who are known; three handles are claimed by two customers each."""
    rows = [
        (channel, _handle(customer, channel), int(ids[customer]))
        for customer in np.flatnonzero(known).tolist()
        for channel in CHANNELS
        if channel != "email"
    ]
    for customer in range(AMBIGUOUS):
        rows += [("twitter", _handle(customer, "twitter"), int(ids[customer + step])) for step in (0, 1)]
    return pl.DataFrame(rows, schema=["platform", "handle", "customer_id"], orient="row")


def _posts(process: DeskProcess, seen: list[Thread]) -> pl.DataFrame:
    """Every public and private message on the networks."""
    rows: list[tuple[object, ...]] = []
    for thread in seen:
        if thread.channel == "email":
            continue
        topic = TOPICS[thread.number % len(TOPICS)]
        for message in thread.messages:
            words = _WORDS[message.kind]
            rows.append(
                (
                    message.number, thread.channel, _handle(thread.customer, thread.channel), message.at,
                    False, message.answers, words[message.number % len(words)], message.private, None,
                    int(process.followers[thread.customer]), topic, thread.brand,
                )
            )  # fmt: skip
        for reply in thread.replies:
            text = _REDIRECTION if reply.redirects else _MACROS[reply.number % len(_MACROS)]
            rows.append(
                (
                    reply.number, thread.channel, "acme", reply.at, True, reply.answers,
                    _ROBOT if reply.agent is None else text, reply.private,
                    None if reply.agent is None else f"person {reply.agent}", None, None, thread.brand,
                )
            )  # fmt: skip
    columns = [
        "number", "platform", "author", "at", "is_brand", "answers", "text", "private", "agent", "followers",
        "topic", "brand",
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
    return (
        frame.filter(pl.col("at") < process.end)
        .sort("at", "number")
        .select(
            pl.format("p{}", "number").alias("post_id"),
            "platform",
            "author",
            pl.from_epoch("at", time_unit="s").dt.replace_time_zone("UTC").alias("timestamp"),
            pl.format("p{}", "answers").alias("in_reply_to"),
            "text",
            "is_brand",
            pl.when("private").then(pl.lit("private")).otherwise(pl.lit("public")).alias("visibility"),
            "agent",
            "brand",
            "followers",
            "topic",
        )
    )


def _cases(
    process: DeskProcess,
    seen: list[Thread],
    ids: Integer,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """The e-mail desk's own table."""
    rows = []
    for thread in seen:
        if thread.channel != "email":
            continue
        asked, replied = thread.waits[0] if thread.waits else (thread.opened, NEVER)
        is_answered = replied < process.end
        resolved = replied + int(rng.exponential(5 * 3600)) if is_answered and rng.random() < 0.85 else NEVER
        answer = next((reply for reply in thread.replies if reply.agent is not None), None)
        mood = 4.2 - 0.6 * thread.anger - (replied - asked) / (3 * DAY) if is_answered else 1.0
        rated = is_answered and rng.random() < 0.4
        team = ("shop", "workshop")[thread.number % 2 if answer is None else (answer.agent or 0) % 2]
        rows.append(
            {
                "case_id": f"mail-{thread.number}",
                "opened_at": _moment(asked),
                "customer_id": int(ids[thread.customer]),
                "brand": thread.brand,
                "topic": TOPICS[thread.number % len(TOPICS)],
                "team": team,
                "first_team": team if rng.random() > 0.08 else {"shop": "workshop", "workshop": "shop"}[team],
                "agent": f"person {answer.agent}" if is_answered and answer is not None else None,
                "first_response_at": _moment(replied) if is_answered else None,
                "resolved_at": _moment(resolved) if resolved < process.end else None,
                "reopened": bool(resolved < process.end and rng.random() < 0.06),
                "escalated": bool(rng.random() < 0.05),
                "contacts": int(1 + rng.poisson(0.25)),
                "handling_seconds": float(thread.worked) if is_answered else None,
                "csat": int(np.clip(round(mood + rng.normal(0, 0.8)), 1, 5)) if rated else None,
            }
        )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.with_columns(pl.lit("email").alias("channel")).sort("opened_at", "case_id")


def _costs(process: DeskProcess, last: dt.date) -> pl.DataFrame:
    """Costs of every month that is observed in part, by item; the first and last are not cut."""
    month = _moment(process.start).date().replace(day=1)
    rows = []
    while month <= last:
        following = (month + dt.timedelta(days=31)).replace(day=1)
        rows += [
            (channel, month, following - dt.timedelta(days=1), round(cost * share, 2), item)
            for channel, cost in MONTHLY_COST.items()
            for item, share in ITEMS.items()
        ]
        month = following
    columns = ["channel", "period_start", "period_end", "amount", "item"]
    return pl.DataFrame(rows, schema=columns, orient="row")
