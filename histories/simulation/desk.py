"""A company's care desk, message by message: who writes, who answers when, and what an answer does.

Time runs in seconds of UTC. Customers write by the hour of the week, with one week of flood and one of
drought. Agents work shifts by London's wall clock and differ in speed; whoever waits is taken by a queue in
which the angry and the influential come first, so that waiting is made by the queue and anger is answered
sooner. Who has many followers is hardly overlooked, and buys more: whoever holds the answered against the
others without adjusting for it finds twice what answers bring. A robot greets some at once. A public reply
may ask for a private message, and a third never comes. Bystanders join threads. Some messages are overlooked
for good.

An answer after w hours earns g(w) times the customer's own effect in spend over the following weeks, with
g = 1 within the hour, falling in a straight line to 0 at a day; without effects g = 0. It also makes people
ask again. Anger, which no table holds, drives customers away.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float

ZONE: Final = ZoneInfo("Europe/London")
OPENS, CLOSES = (9, 0), (17, 30)
HOUR, DAY = 3600, 86_400
NEVER: Final = 1 << 62

NOISE_SHARE = 0.22
OVERLOOKED = 0.15
OVERLOOKED_INFLUENCE = 0.05
ROBOT_SHARE = 0.3
REDIRECTED = 0.25
FOLLOWS = 2 / 3
ASKS_ON = 0.3
THANKS = 0.25
BYSTANDERS = 0.04
ASKS_AGAIN = 0.12
"""Chance that a reply within the hour makes the customer write about something else within the week."""
FORGOTTEN_AFTER = 4 * DAY
EFFECT = 6.0
"""Mean spend that a reply within the hour brings, in currency."""
CHANNELS = ("twitter", "facebook", "email")
CHANNEL_SHARES = (0.5, 0.25, 0.25)
INFLUENTIAL = 1_000
"""Followers from which the desk lets a customer of a network go first."""
APPETITE = 0.9
"""By how much more of the usual orders a standard deviation of log followers goes with."""
ANGRY = 1.5
PER_AGENT = 4_000
LEAVES = 0.08
"""Chance that an angry customer leaves within two months."""
STAYS = 0.6
"""Chance that a reply within the hour makes one who would leave stay."""


@dataclass(slots=True, kw_only=True)
class Message:
    """One message of a customer.

    `number` counts all messages and replies; `answers` is the number of the one it replies to, or None.
    """

    number: int
    thread: Thread
    at: int
    needs: bool
    kind: str
    private: bool = False
    answers: int | None = None


@dataclass(slots=True, kw_only=True)
class Reply:
    """One message of the brand; `agent` is None for a robot."""

    number: int
    thread: Thread
    at: int
    agent: int | None
    answers: int
    private: bool = False
    redirects: bool = False


@dataclass(slots=True, kw_only=True)
class Thread:
    """One customer's matter: what the figures count.

    Attributes
    ----------
    first_reply
        Second of the first human reply; NEVER without one.
    redirected, joined
        Whether the customer was sent elsewhere and came, with the seconds between.
    """

    number: int
    customer: int
    channel: str
    brand: str
    anger: float
    messages: list[Message] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    waits: list[tuple[int, int]] = field(default_factory=list)
    redirected_at: int | None = None
    joined_after: int | None = None
    worked: float = 0.0
    leaving_at: int = -1
    root: int | None = None

    @property
    def needs(self) -> bool:
        """Whether any message needs a reply."""
        return any(message.needs for message in self.messages)

    @property
    def opened(self) -> int:
        """Second of the first message."""
        return self.messages[0].at


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskProcess:
    """All that happened, beyond the end of observation too.

    Attributes
    ----------
    start, end
        First second, and the second after the last one observed.
    effect
        Spend that a reply within the hour brings each customer, shape (n_customers,).
    appetite
        Orders that come anyway, as a multiple of the mean; rises with log followers, shape (n_customers,).
    gone
        Second from which each customer neither writes nor buys; NEVER for who stays.
    shifts
        agent, start, end of every shift.
    """

    threads: list[Thread]
    start: int
    end: int
    effect: Float
    gone: NDArray[np.int64]
    followers: NDArray[np.int64]
    appetite: Float
    shifts: list[tuple[int, int, int]]
    open_spans: list[tuple[int, int]]
    promise_from: dt.date


def gain_of(waited: float) -> float:
    """Share of the effect that a first reply after so many seconds keeps.

    >>> gain_of(1800), gain_of(86_400), round(gain_of(12.5 * 3600), 2)
    (1.0, 0.0, 0.5)
    """
    return float(np.clip((DAY - waited) / (DAY - HOUR), 0.0, 1.0))


def simulate_desk(
    *, customers: int, weeks: int, last_day: dt.date, effects: bool, rng: np.random.Generator
) -> DeskProcess:
    """Let a desk work through its messages."""
    first_day = last_day - dt.timedelta(days=7 * weeks - 1)
    start, end = (_instant(day, 0, 0) for day in (first_day, last_day + dt.timedelta(days=1)))
    influence = rng.uniform(-1.0, 1.0, customers)
    followers = np.exp(5.5 + 4.5 * influence).astype(np.int64)
    size = rng.gamma(2.0, 0.5, customers)
    promise_from = first_day + dt.timedelta(days=7 * (weeks // 2))
    desk = _Desk(
        rng=rng,
        customers=customers,
        followers=followers,
        end=end + 14 * DAY,
        shifts=_shifts(first_day, last_day + dt.timedelta(days=14), promise_from, customers, rng),
        asks_again=ASKS_AGAIN if effects else 0.0,
    )
    desk.run(_arrivals(first_day, weeks, customers, rng))
    return DeskProcess(
        threads=desk.threads,
        start=start,
        end=end,
        effect=(EFFECT if effects else 0.0) * size,
        gone=desk.gone,
        followers=followers,
        appetite=1 + APPETITE * influence,
        shifts=[(agent, a, b) for agent, a, b in desk.shifts if a < end],
        open_spans=[_open_span(day) for day in _days(first_day, last_day) if day.weekday() < 5],
        promise_from=promise_from,
    )


def _instant(day: dt.date, hour: int, minute: int) -> int:
    return round(dt.datetime.combine(day, dt.time(hour, minute), tzinfo=ZONE).timestamp())


def _days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    for number in range((last - first).days + 1):
        yield first + dt.timedelta(days=number)


def _open_span(day: dt.date) -> tuple[int, int]:
    return _instant(day, *OPENS), _instant(day, *CLOSES)


def _arrivals(first_day: dt.date, weeks: int, customers: int, rng: np.random.Generator) -> list[int]:
    """Seconds of first messages: by hour of the week, a flood in one week and a drought in another."""
    hour = np.arange(24)
    weekday = 0.15 + np.exp(-((hour - 13.0) ** 2) / 40.0) + 0.5 * np.exp(-((hour - 20.0) ** 2) / 6.0)
    found: list[int] = []
    for number, day in enumerate(_days(first_day, first_day + dt.timedelta(days=7 * weeks - 1))):
        week = number // 7
        level = 2.5 if week == weeks // 3 else 0.4 if week == weeks // 5 else 1.0
        rates = weekday * level * (0.6 if day.weekday() > 4 else 1.0) * customers * 0.0004
        for h, n in enumerate(rng.poisson(rates)):
            found += [_instant(day, 0, 0) + h * HOUR + int(s) for s in rng.integers(0, HOUR, n)]
    return sorted(found)


def _shifts(
    first: dt.date, last: dt.date, promise_from: dt.date, customers: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """Agents by weekday; after the promise one more for every three."""
    agents = max(2, round(customers / PER_AGENT))
    more = max(1, agents // 3)
    spans: list[tuple[int, int, int]] = []
    for day in _days(first, last):
        if day.weekday() < 5:
            there = agents + (more if day >= promise_from else 0)
            spans += [(agent, *_open_span(day)) for agent in range(there) if rng.random() > 0.1]
    return spans


class _Desk:
    """The desk at work: a calendar of events, a queue, and agents who are free or not."""

    def __init__(
        self,
        *,
        rng: np.random.Generator,
        customers: int,
        followers: NDArray[np.int64],
        end: int,
        shifts: list[tuple[int, int, int]],
        asks_again: float,
    ) -> None:
        self.rng, self.customers, self.followers, self.end = rng, customers, followers, end
        self.shifts, self.asks_again = shifts, asks_again
        agents = 1 + max(agent for agent, _, _ in shifts)
        self.gone = np.full(customers, NEVER)
        self.seconds = 420.0 * np.exp(rng.normal(0.0, 0.25, agents))  # work on a message, by agent
        self.threads: list[Thread] = []
        self._events: list[tuple[int, int, str, Any]] = []
        self._queue: list[tuple[int, int, int, Message]] = []
        self._free: dict[int, int] = {}  # agent: end of shift
        self._numbers = 0

    def run(self, arrivals: list[int]) -> None:
        """Go through all events in the order of time."""
        for at in arrivals:
            self._plan(at, "arrive", None)
        for agent, start, end in self.shifts:
            self._plan(start, "free", (agent, end))
        while self._events:
            at, _, kind, what = heapq.heappop(self._events)
            if kind == "arrive":
                self._arrive(at, what)
            elif kind == "write":
                self._receive(what)
            elif kind == "free":
                agent, until = what
                self._free[agent] = until
            else:
                self._answer(at, *what)
            self._assign(at)

    def _plan(self, at: int, kind: str, what: Any) -> None:
        self._numbers += 1
        if at < self.end:
            heapq.heappush(self._events, (at, self._numbers, kind, what))

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _arrive(self, at: int, customer: int | None) -> None:
        """A customer writes about something new."""
        rng = self.rng
        who = self._somebody(at) if customer is None else customer
        channel = str(rng.choice(CHANNELS, p=CHANNEL_SHARES))
        thread = Thread(
            number=len(self.threads),
            customer=who,
            channel=channel,
            brand="acme" if rng.random() < 0.8 else "acme kids",
            anger=float(rng.exponential(1.0)),
        )
        self.threads.append(thread)
        if thread.anger > ANGRY and rng.random() < LEAVES:
            thread.leaving_at = at + int(rng.integers(7 * DAY, 60 * DAY))
            self.gone[who] = min(int(self.gone[who]), thread.leaving_at)
        is_noise = customer is None and channel != "email" and rng.random() < NOISE_SHARE
        kind = str(rng.choice(["praise", "repost"] if is_noise else ["question", "problem"]))
        first = Message(number=self._number(), thread=thread, at=at, needs=not is_noise, kind=kind)
        self._receive(first)
        if channel != "email" and not is_noise and rng.random() < BYSTANDERS:
            self._join(at + int(rng.integers(300, 7200)), first)

    def _somebody(self, at: int) -> int:
        """A customer who is still there."""
        while self.gone[who := int(self.rng.integers(self.customers))] <= at:
            pass
        return who

    def _join(self, at: int, above: Message) -> None:
        """Somebody else says that they have the same problem, in the same thread."""
        other = self._somebody(at)
        if other == above.thread.customer:
            return
        thread = Thread(
            number=len(self.threads), customer=other, channel=above.thread.channel, brand=above.thread.brand,
            anger=float(self.rng.exponential(1.0)), root=above.number,
        )  # fmt: skip
        self.threads.append(thread)
        message = Message(
            number=self._number(), thread=thread, at=at, needs=True, kind="bystander", answers=above.number
        )
        thread.messages.append(message)
        self._plan(at, "write", message)

    def _receive(self, message: Message) -> None:
        thread, rng = message.thread, self.rng
        if message not in thread.messages:
            thread.messages.append(message)
        if thread.channel != "email" and message.needs and rng.random() < ROBOT_SHARE:
            at = message.at + int(rng.integers(1, 6))
            thread.replies.append(
                Reply(
                    number=self._number(), thread=thread, at=at, agent=None, answers=message.number,
                    private=message.private,
                )
            )  # fmt: skip
        if not message.needs:
            return
        thread.waits.append((message.at, NEVER))
        is_influential = thread.channel != "email" and self.followers[thread.customer] > INFLUENTIAL
        if rng.random() < (OVERLOOKED_INFLUENCE if is_influential else OVERLOOKED):
            return
        first = 0 if thread.anger > ANGRY else 1 if is_influential else 2
        heapq.heappush(self._queue, (first, message.at, message.number, message))

    def _assign(self, at: int) -> None:
        """Give those who wait to agents who are free."""
        for agent in [agent for agent, until in self._free.items() if until <= at]:
            del self._free[agent]
        while self._queue and self._free:
            _, _, _, message = heapq.heappop(self._queue)
            if at - message.at > FORGOTTEN_AFTER:
                continue
            agent = min(self._free)
            until = self._free.pop(agent)
            work = max(20, int(self.rng.exponential(self.seconds[agent])))
            self._plan(at + work, "answer", (message, agent, until, work))

    def _answer(self, at: int, message: Message, agent: int, until: int, work: int) -> None:
        thread, rng = message.thread, self.rng
        social = thread.channel != "email"
        redirects = (
            social and not message.private and rng.random() < REDIRECTED and thread.redirected_at is None
        )
        reply = Reply(
            number=self._number(), thread=thread, at=at, agent=agent, answers=message.number,
            private=message.private, redirects=redirects,
        )  # fmt: skip
        thread.replies.append(reply)
        thread.worked += work
        asked, _ = thread.waits[-1]
        thread.waits[-1] = (asked, at)
        soon = len(thread.waits) == 1 and at - asked <= HOUR
        if (
            soon
            and self.asks_again
            and thread.leaving_at == self.gone[thread.customer]
            and rng.random() < STAYS
        ):
            self.gone[thread.customer] = NEVER
        if soon and rng.random() < self.asks_again:
            self._plan(at + int(rng.integers(DAY // 2, 6 * DAY)), "arrive", thread.customer)
        self._go_on(at, reply)
        self._plan(at + 1, "free", (agent, until))

    def _go_on(self, at: int, reply: Reply) -> None:
        """What the customer does after a reply."""
        thread, rng = reply.thread, self.rng
        later = at + int(np.clip(rng.lognormal(8.0, 1.0), 60, 20 * HOUR))
        if reply.redirects:
            thread.redirected_at = at
            if rng.random() < FOLLOWS:
                thread.joined_after = later - at
                self._write(thread, later, needs=True, kind="order", private=True, answers=None)
            return
        if thread.channel == "email" or len(thread.waits) > 3:
            return
        draw = rng.random()
        if draw < ASKS_ON:
            self._write(
                thread, later, needs=True, kind="question", private=reply.private, answers=reply.number
            )
        elif draw < ASKS_ON + THANKS:
            self._write(
                thread, later, needs=False, kind="thanks", private=reply.private, answers=reply.number
            )

    def _write(
        self, thread: Thread, at: int, *, needs: bool, kind: str, private: bool, answers: int | None
    ) -> None:
        message = Message(
            number=self._number(),
            thread=thread,
            at=at,
            needs=needs,
            kind=kind,
            private=private,
            answers=answers,
        )
        self._plan(at, "write", message)
