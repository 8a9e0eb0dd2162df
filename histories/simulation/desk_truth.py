"""What is true of a simulated desk: every figure from the process itself, without posts, rules or handles.

Counts and shares are those of the observed time, exactly. Quantiles of waits are those of the waits as they
were, also where they ended after the observation, so that a curve of Kaplan and Meier has something to
meet.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from histories.simulation.desk import ASKS_AGAIN, DAY, HOUR, NEVER, ZONE, DeskProcess, Thread, gain_of
from histories.simulation.desk_books import AMBIGUOUS, MARGIN, TOPICS, DeskBooks

PROMISE_MINUTES: Final = 60
MORE: Final = 0.2
"""Share of the matters that the what-if answers within the promise beyond those that are."""
HORIZON: Final = 3 * DAY
REPEAT: Final = 7 * DAY
EDGES: Final = (15, 60, 240, 1440)

Fact = dict[str, Any]


def desk_truth(process: DeskProcess, books: DeskBooks) -> dict[str, Any]:
    """Figures, the response to an answer's speed, and what silence cost.

    Returns
    -------
    `figures`: rows kpi, clock, value, exact (a quantile is not: it is of waits that ended later, too).
    `response`: mean spend in currency by bin of the first response. `untreated_effect`: what those who were
    not answered within the hour would have gained by it. `silence`: margin that ignored matters would have
    brought if answered within the hour, and at the speed of the answers that there were. `returns`: by month
    of the matter, margin of all orders that its answer brought (also after the observation), further
    contacts, and cost of the observed days. `what_if`: a fifth of all matters more within the hour by the
    calendar, drawn from those that waited longer. `contacts_avoided`: none, because nothing here takes the
    place of a contact. All in currency, and as expected before the draw.
    """
    end = process.end
    seen = [thread for thread in process.threads if thread.opened < end]
    asking = [thread for thread in seen if any(m.needs and m.at < end for m in thread.messages)]
    return {
        "figures": [*_counts(process, seen, asking, books), *_waits(process, asking)],
        **_effects(process, asking),
        "returns": _returns(process, books, asking),
        "what_if": _what_if(process, asking),
        "contacts_avoided": 0,
    }


def _share(hits: Sequence[bool]) -> float | None:
    return float(np.mean(hits)) if hits else None


def _fact(kpi: str, value: float | None, *, clock: str | None = None, exact: bool = True) -> Fact:
    return {"kpi": kpi, "clock": clock, "value": value, "exact": exact}


def _counts(process: DeskProcess, seen: list[Thread], asking: list[Thread], books: DeskBooks) -> list[Fact]:
    end = process.end
    answered = [thread for thread in asking if thread.waits[0][1] < end]
    old = [thread for thread in asking if end - thread.waits[0][0] >= HORIZON]
    replied = [thread.waits[0][1] < end for thread in old]
    sent = [thread for thread in answered if (thread.redirected_at or NEVER) < end]
    came = [
        thread
        for thread in sent
        if thread.joined_after is not None and thread.redirected_at + thread.joined_after < end  # type: ignore[operator]
    ]
    open_waits = [
        (thread, since) for thread in asking for since, until in thread.waits if since < end <= until
    ]
    reach = [
        process.followers[thread.customer] * (end - since) / HOUR
        for thread, since in open_waits
        if thread.channel != "email"
    ]
    minutes = [thread.joined_after / 60 for thread in came if thread.joined_after is not None]
    mail = books.cases
    return [
        _fact("listened", len(seen)),
        _fact("applicable", len(asking)),
        _fact("noise_rate", 1 - len(asking) / len(seen)),
        _fact("response_rate", _share(replied)),
        _fact("ignored_rate", _share([not reply for reply in replied])),
        _fact("backlog", len(open_waits)),
        _fact("oldest_waiting", max(end - since for _, since in open_waits) / 60),
        _fact("unanswered_audience", float(sum(reach))),
        _fact("redirection_rate", len(sent) / len(answered)),
        _fact("redirection_completion", len(came) / len(sent)),
        _fact("redirection_minutes", float(np.median(minutes))),
        _fact("first_contact_resolution", _first_contact(process, asking, books)),
        _fact("repeat_rate", _share(_repeats(process, seen, asking, books))),
        _fact("escalation_rate", float(mail["escalated"].mean())),  # type: ignore[arg-type]
        _fact("misroute_rate", float((mail["team"] != mail["first_team"]).mean())),  # type: ignore[arg-type]
        _fact("csat", float((mail["csat"].drop_nulls() >= 4).mean())),  # type: ignore[arg-type]
        _fact("reopen_rate", float(mail.filter(pl.col("resolved_at").is_not_null())["reopened"].mean())),  # type: ignore[arg-type]
    ]


def _person(books: DeskBooks) -> Callable[[Thread], tuple[object, ...]]:
    """Who a thread's author is to somebody with the books: a customer, or a handle."""
    handles = books.identities.group_by("handle").agg(pl.col("customer_id").n_unique().alias("n"))
    known = set(handles.filter(pl.col("n") == 1)["handle"])

    def who(thread: Thread) -> tuple[object, ...]:
        handle = f"{thread.channel[:2]}_user{thread.customer}"
        one = thread.channel == "email" or handle in known
        return (thread.customer,) if one else (thread.customer, thread.channel)

    return who


def _repeats(process: DeskProcess, seen: list[Thread], asking: list[Thread], books: DeskBooks) -> list[bool]:
    """For each matter that needs a reply, whether it follows another of the same person within the week."""
    who = _person(books)
    latest: dict[tuple[object, ...], int] = {}
    found: dict[int, bool] = {}
    for thread in sorted(seen, key=lambda thread: (thread.opened, thread.number)):
        before = latest.get(who(thread))
        found[thread.number] = before is not None and thread.opened - before <= REPEAT
        latest[who(thread)] = max(latest.get(who(thread), 0), _last_word(thread, process, books))
    return [found[thread.number] for thread in asking]


def _first_contact(process: DeskProcess, asking: list[Thread], books: DeskBooks) -> float | None:
    """Share of mails settled at the first go, of those whose seven days are over."""
    who = _person(books)
    others: dict[tuple[object, ...], list[Thread]] = {}
    for thread in asking:
        others.setdefault(who(thread), []).append(thread)
    rows = {row["case_id"]: row for row in books.cases.iter_rows(named=True)}
    hits = []
    for thread in asking:
        if thread.channel != "email":
            continue
        row = rows[f"mail-{thread.number}"]
        closed = int((row["resolved_at"] or row["opened_at"]).timestamp())
        if closed + REPEAT >= process.end:
            continue
        again = any(
            other is not thread
            and thread.opened <= other.opened <= closed + REPEAT
            and (other.number - thread.number) % len(TOPICS) == 0
            for other in others[who(thread)]
        )
        hits.append(
            row["resolved_at"] is not None and row["contacts"] == 1 and not row["reopened"] and not again
        )
    return _share(hits)


def _last_word(thread: Thread, process: DeskProcess, books: DeskBooks) -> int:
    if thread.channel == "email":
        row = books.cases.row(by_predicate=pl.col("case_id") == f"mail-{thread.number}", named=True)
        times = [row[name] for name in ("opened_at", "first_response_at", "resolved_at") if row[name]]
        return max(int(time.timestamp()) for time in times)
    words = [message.at for message in thread.messages] + [reply.at for reply in thread.replies]
    return max(at for at in words if at < process.end)


def _waits(process: DeskProcess, asking: list[Thread]) -> list[Fact]:
    first = [thread.waits[0] for thread in asking]
    further = [
        wait
        for thread in asking
        for wait in thread.waits[1:]
        if wait[0] < process.end and thread.channel != "email"
    ]
    facts = []
    for name, waits in (("first_response", first), ("next_response", further)):
        lengths = np.array([until - since if until < NEVER else np.inf for since, until in waits])
        for label, share in (("p50", 0.5), ("p90", 0.9)):
            value = float(np.quantile(lengths, share, method="inverted_cdf")) / 60
            facts.append(
                _fact(f"{name}_{label}", value if np.isfinite(value) else None, clock="calendar", exact=False)
            )
    clocks: dict[str, Callable[[int, int], float]] = {
        "calendar": lambda since, until: until - since,
        "business": lambda since, until: sum(
            max(0, min(until, closes) - max(since, opens)) for opens, closes in process.open_spans
        ),
    }
    promised = dt.datetime.combine(process.promise_from, dt.time(), tzinfo=ZONE).timestamp()
    for clock, measure in clocks.items():
        kept = []
        for since, until in (wait for wait in first if wait[0] >= promised):
            waited = measure(since, min(until, process.end))
            if until < process.end or waited > PROMISE_MINUTES * 60:
                kept.append(until < process.end and waited <= PROMISE_MINUTES * 60)
        facts.append(_fact("service_level", _share(kept), clock=clock))
    return facts


def _effects(process: DeskProcess, asking: list[Thread]) -> dict[str, Any]:
    """What answers brought, and what the missing ones would have."""
    end = process.end
    waited = np.array([min(thread.waits[0][1], end + 99 * DAY) - thread.waits[0][0] for thread in asking])
    effect = np.array([process.effect[thread.customer] for thread in asking])
    gain = np.array([gain_of(length) for length in waited])
    edges = [0, *(minutes * 60 for minutes in EDGES), np.inf]
    names = ["0-15", "15-60", "60-240", "240-1440", "later or never"]
    bins = np.digitize(waited, edges[1:-1], right=True)
    slow = waited > HOUR
    answered = np.array([thread.waits[0][1] < end for thread in asking])
    is_ignored = np.array(
        [thread.waits[0][1] >= end and end - thread.waits[0][0] >= HORIZON for thread in asking]
    )
    return {
        "response": [
            {
                "minutes": name,
                "matters": int((bins == place).sum()),
                "spend": _mean((effect * gain)[bins == place]),
            }
            for place, name in enumerate(names)
        ],
        "untreated_effect": _mean((effect * (1 - gain))[slow]),
        "silence": {
            "matters": int(is_ignored.sum()),
            "margin": float((effect * MARGIN)[is_ignored].sum()),
            "margin_at_speed": float((effect * MARGIN)[is_ignored].sum() * gain[answered].mean()),
        },
        "ambiguous_handles": AMBIGUOUS,
    }


def _months(process: DeskProcess) -> Iterator[tuple[str, int]]:
    """Month and number of its observed days, by the desk's wall clock."""
    first = dt.datetime.fromtimestamp(process.start, ZONE).date()
    last = dt.datetime.fromtimestamp(process.end - 1, ZONE).date()
    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    yield from Counter(f"{day:%Y-%m}" for day in days).items()


def _returns(process: DeskProcess, books: DeskBooks, asking: list[Thread]) -> list[Fact]:
    answered = [thread for thread in asking if thread.waits[0][1] < process.end]
    month = [f"{dt.datetime.fromtimestamp(thread.waits[0][0], ZONE):%Y-%m}" for thread in answered]
    waited = np.array([until - since for since, until in (thread.waits[0] for thread in answered)])
    brought = [
        process.effect[thread.customer] * gain_of(length)
        for thread, length in zip(answered, waited, strict=True)
    ]
    again = (waited <= HOUR) * _asks_again(process)
    found = []
    for label, days in _months(process):
        here = np.array([name == label for name in month], dtype=bool)
        whole = books.costs.filter(pl.col("period_start").dt.strftime("%Y-%m") == label)
        length = (whole["period_end"][0] - whole["period_start"][0]).days + 1
        found.append(
            {
                "month": label,
                "answered": int(here.sum()),
                "margin": float(MARGIN * np.array(brought)[here].sum()),
                "induced_contacts": float(again[here].sum()),
                "cost": float(whole["amount"].sum()) * days / length,
            }
        )
    return found


def _asks_again(process: DeskProcess) -> float:
    """Chance that an answer within the hour makes a further contact; none where answers do nothing."""
    return ASKS_AGAIN if process.effect.any() else 0.0


def _what_if(process: DeskProcess, asking: list[Thread]) -> Fact:
    first = [thread.waits[0] for thread in asking]
    waited = np.array([min(until, process.end) - since for since, until in first])
    decided = np.array([until < process.end for _, until in first]) | (waited > HOUR)
    kept = decided & (waited <= HOUR)
    gained = np.array(
        [
            process.effect[thread.customer] * (1 - gain_of(until - since))
            for thread, (since, until) in zip(asking, first, strict=True)
        ]
    )
    cases = MORE * int(decided.sum())
    each = float(gained[decided & ~kept].mean())
    now = float(kept.sum() / decided.sum())
    return {
        "within_minutes": PROMISE_MINUTES,
        "share_now": now,
        "share": now + MORE,
        "cases": cases,
        "spend_per_case": each,
        "margin": MARGIN * cases * each,
        "induced_contacts": cases * _asks_again(process),
    }


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    return float(values.mean()) if len(values) else None
