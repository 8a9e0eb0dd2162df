"""View Customer: one customer's chance of staying, purchases and conversations on one axis of time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from api.explore.library import Shelf
from api.served import Served
from histories.errors import BundleError
from reports.context import Mark, Plot
from reports.customer_drawings import Touch, draw_tracks
from reports.numbers import count, decimal, money, money_ticks, nice_scale, percent
from reports.words import count_words, day, label

_TOUCHES: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerView:
    """Everything that the view shows of one customer."""

    customer_id: str
    finding: str
    deck: str
    drawing: str
    worth: str
    plot: Plot
    mark: Mark
    facts: tuple[tuple[str, str], ...]
    present: tuple[tuple[str, float, str], ...]
    present_total: str
    score: dict[str, Any]


def customer_view(shelf: Shelf, served: Served, customer_id: str) -> CustomerView | None:
    """The view of a customer; None when nobody here has this id, or it was erased."""
    row = served.find(customer_id)
    if row < 0:
        return None
    score = served.store.score(row)
    stored = served.stored_id(customer_id)
    currency = shelf.sources.currency
    bought = _purchases(served, stored)
    touched = served.store.records_of(served.store.touchpoints, stored, limit=_TOUCHES)
    touches = touched[0] if touched else []
    requests, open_requests = _requests(shelf, stored)
    last = shelf.sources.as_of
    first = min([*(b[0] for b in bought), *(_day(t["timestamp"]) for t in touches)], default=last)
    words = _finding(customer_id, score, bought, shelf)
    drawing = draw_tracks(
        _alive(served, [b[0] for b in bought], last),
        bought,
        [_touch(t, open_requests) for t in touches],
        first=first,
        last=last,
        currency=currency,
        words=words,
    )
    worth = float(score["customer_lifetime_value"] or 0.0)
    low, high = score.get("customer_lifetime_value_low"), score.get("customer_lifetime_value_high")
    _, top, ticks = nice_scale([worth, high], count=2)
    present = _present(touches)
    return CustomerView(
        customer_id=customer_id,
        finding=words,
        deck=_deck(score, requests, len(open_requests)),
        drawing=drawing,
        worth=money(worth, currency),
        plot=Plot(low=0.0, high=top, ticks=money_ticks(ticks, currency)),
        mark=Mark(form="dot", value=worth, low=low, high=high),
        facts=_facts(score, shelf),
        present=tuple((label(name), share, money(share, currency)) for name, share in present),
        present_total=money(sum(share for _, share in present), currency),
        score=score,
    )


def customer_rows(served: Served, customer_id: str) -> pl.DataFrame | None:
    """Purchases and conversations of a customer, in order of time; None for whom nobody here knows."""
    if served.find(customer_id) < 0:
        return None
    stored = served.stored_id(customer_id)
    touched = served.store.records_of(served.store.touchpoints, stored, limit=_TOUCHES)
    bought = [(when, "purchase", None, amount) for when, amount, _ in _purchases(served, stored)]
    touches = [
        (_day(one["timestamp"]), one.get("direction") or "touch", one["channel"], None)
        for one in (touched[0] if touched else [])
    ]
    schema = {"date": pl.Date, "what": pl.String, "channel": pl.String, "amount": pl.Float64}
    return pl.DataFrame([*bought, *touches], schema=schema, orient="row").sort("date", maintain_order=True)


def _day(moment: Any) -> dt.date:
    return dt.date.fromisoformat(str(moment)[:10])


def _same(frame: pl.DataFrame, stored: str) -> pl.Expr:
    """The rows of a customer, whose id the table holds as text or as an integer."""
    if frame.schema["customer_id"] == pl.String:
        return pl.col("customer_id") == stored
    return pl.col("customer_id") == int(stored) if stored.lstrip("-").isdigit() else pl.lit(False)


def _purchases(served: Served, stored: str) -> list[tuple[dt.date, float, bool]]:
    """Day, amount, and whether a conversation came before; in order of time."""
    records = served.store.purchases
    found = None if records is None else served.store.records_of(records, stored, after=0, limit=None)
    rows = found[0] if found else []
    return [(_day(row["date"]), float(row.get("amount") or 0.0), bool(row.get("touches"))) for row in rows]


def _requests(shelf: Shelf, stored: str) -> tuple[int, frozenset[tuple[dt.date, str]]]:
    """How many requests the customer made, and day and channel of those never answered."""
    cases = shelf.sources.table("cases")
    if cases.is_empty() or "customer_id" not in cases.columns:
        return 0, frozenset()
    own = cases.filter(_same(cases, stored))
    if "needs_reply" in own.columns:
        own = own.filter(pl.col("needs_reply").fill_null(True))
    answered = pl.col("answered") if "answered" in own.columns else pl.col("first_response_at").is_not_null()
    waiting = own.filter(~answered.fill_null(False))
    days = waiting["opened_at"].dt.date()
    return own.height, frozenset(zip(days, waiting["channel"], strict=True))


def _touch(touch: dict[str, Any], waiting: frozenset[tuple[dt.date, str]]) -> Touch:
    when, channel = _day(touch["timestamp"]), str(touch["channel"])
    inbound = touch.get("direction") != "outbound"
    return Touch(
        day=when,
        channel=label(channel),
        inbound=inbound,
        unanswered=inbound and touch.get("kind") == "care" and (when, channel) in waiting,
    )


def _alive(served: Served, days: list[dt.date], last: dt.date) -> list[tuple[dt.date, float]]:
    """The chance of still being a customer, day by day; nothing where the run keeps no such model."""
    days = sorted({when for when in days if when <= last})
    try:
        predictor = served.load_predictor()
    except BundleError:
        return []
    if predictor is None or not days:
        return []
    step = max(1, (last - days[0]).days // 300)
    frame = predictor.alive_history(days, until=last, step_days=step)
    return list(zip(frame["date"], frame["probability_alive"], strict=True))


def _finding(
    customer_id: str, score: dict[str, Any], bought: list[tuple[dt.date, float, bool]], shelf: Shelf
) -> str:
    number = len(bought) or int(score.get("frequency") or 0) + 1
    times = {1: "once", 2: "twice"}.get(number, f"{count_words(number)} times")
    text = f"Customer {customer_id} bought {times}"
    if bought:
        silent = (shelf.sources.as_of - bought[-1][0]).days
        text += f" and has now been silent for {count(silent, 'day')}"
    gap = score.get("average_days_between_purchases")
    return text if gap is None else f"{text}; the usual gap is {gap:,.0f}"


def _deck(score: dict[str, Any], requests: int, waiting: int) -> str:
    told = []
    if score.get("probability_alive") is not None:
        told.append(f"{percent(score['probability_alive'])} likely to be still a customer.")
    tenth = score.get("decile")
    if tenth is not None:
        names = {1: "the best tenth", 10: "the last tenth"}
        told.append(f"In {names.get(tenth, f'tenth {tenth} of ten')} by value.")
    if requests:
        told.append(f"{waiting:,} of {requests:,} requests were never answered.")
    return " ".join(told)


def _facts(score: dict[str, Any], shelf: Shelf) -> tuple[tuple[str, str], ...]:
    currency = shelf.sources.currency
    level = float(shelf.sources.manifest.get("interval_level") or 0.9)

    def amount(name: str) -> str | None:
        return None if score.get(name) is None else money(score[name], currency)

    def span(low: str, high: str, *, is_money: bool) -> str | None:
        if score.get(low) is None or score.get(high) is None:
            return None
        ends = (money(score[low], currency), money(score[high], currency)) if is_money else None
        return " to ".join(ends or (decimal(score[low], 0), decimal(score[high], 0)))

    win, serve = amount("acquisition_cost"), amount("cost_to_serve")
    expected = score.get("expected_purchases")
    around = span("expected_purchases_low", "expected_purchases_high", is_money=False)
    when = score.get("expected_next_purchase")
    facts = [
        (
            f"{level * 100:.0f}% range",
            span("customer_lifetime_value_low", "customer_lifetime_value_high", is_money=True),
        ),
        ("Margin so far", amount("historic_value")),
        ("Cost to win", win),
        ("Cost to serve so far", serve),
        (
            "Expected purchases",
            None if expected is None else decimal(expected, 1) + (f" ({around})" if around else ""),
        ),
        ("Usual basket", amount("expected_spend")),
        ("Next purchase, if staying", None if when is None else day(dt.date.fromisoformat(str(when)[:10]))),
    ]
    return tuple((name, text) for name, text in facts if text)


def _present(touches: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Spend before which each channel was there, in equal shares; descriptive."""
    sums: dict[str, float] = {}
    for touch in touches:
        if touch.get("spend_credit"):
            sums[str(touch["channel"])] = sums.get(str(touch["channel"]), 0.0) + float(touch["spend_credit"])
    return sorted(sums.items(), key=lambda pair: -pair[1])[:12]
