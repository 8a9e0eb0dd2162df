"""A desk that answers in turn: when each contact of one channel was answered, and what speed brought.

Agents are there from eight in the morning to nine in the evening, every day. Who waits is answered first
come, first served, but for customers of high income, who go first: so the fast answers go to those who buy
more anyway. From half of the observation on a promise stands, and the desk is less busy. An answer after w
hours makes orders LIFT x g(w) times more frequent in the four weeks that begin half a day later,

    g(w) = 1 within the hour, falling in a straight line to 0 at four hours.

A month's orders then come at (1 + lift_it) times their rate, lift_it being the sum over the answers of
LIFT x g x share of the four weeks that falls into month t.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from histories.arrays import Flags, Float, Integer, Moments
from histories.simulation.calendar import Calendar, event_rows

CHANNEL = 0
"""Position of the channel: Twitter."""
OPENS, CLOSES = 8, 21
PROMISE_MINUTES = 60
LIFT = 0.8
HIGH_INCOME = 0.8
"""Standardised income above which a customer goes first."""
BUSY, BUSY_AFTER = 0.72, 0.6
"""Share of their time that agents are at work, before and after the promise."""
SECOND = np.timedelta64(1_000_000, "us")
HOUR, DAY = 3600.0, 86_400.0
FADED = 4 * HOUR
STARTS, LASTS = DAY / 2, 27.5 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """K contacts of the channel, by customer and month; N customers, P months.

    Attributes
    ----------
    arrival_day
        Day of the month of arrival, 0-based, shape (N,).
    at, waited
        When each contact was made, and the seconds until its answer, infinite without one, shape (K,).
    promise_month
        First month of the promise.
    worth
        Spend that an answer within the hour to each contact brings on average, in currency, shape (K,).
    lift
        By how much answers raise each month's orders, as a share, shape (N, P).
    order_of, order_at
        Customer and moment of every order that came of it while he was there, shape (M,).
    """

    arrival_day: Integer
    at: Moments
    waited: Float
    promise_month: int
    worth: Float
    lift: Float
    order_of: Integer
    order_at: Moments


def gain_of(waited: Float) -> Float:
    """Share of the effect that is left after so many seconds.

    >>> gain_of(np.array([1800.0, 9_000.0, 14_400.0, np.inf])).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    return np.clip((FADED - waited) / (FADED - HOUR), 0.0, 1.0)


def answer_in_turn(
    *,
    contacts: Integer,
    replies: Integer,
    entry: Integer,
    exit_: Integer,
    income: Float,
    rates: Float,
    price: Float,
    calendar: Calendar,
    rng: np.random.Generator,
) -> Turns:
    """Work through the contacts of the channel and draw the orders that the answers bring.

    Parameters
    ----------
    contacts, replies
        As if nobody ever left, shape (N, P).
    entry, exit_
        Months of arrival and of leaving, shape (N,).
    income
        Standardised, shape (N,).
    rates, price
        Orders expected in each month without the answers' speed, shape (N, P); mean value of one, shape (N,).
    calendar, rng
        The months, and the source of chance.
    """
    n, months = contacts.shape
    arrival_day = np.floor(rng.random(n) * calendar.days_in(entry)).astype(np.int64)
    there = np.arange(months) <= exit_[:, None]
    who, month = event_rows(contacts * there)
    at = calendar.moments(month, after_day=np.where(month == entry[who], arrival_day[who], 0), rng=rng)
    seconds = (at - calendar.starts[0].astype("datetime64[us]")) / SECOND
    first = np.concatenate([[True], (who[1:] != who[:-1]) | (month[1:] != month[:-1])])
    place = np.arange(len(who)) - np.maximum.accumulate(np.where(first, np.arange(len(who)), 0))
    is_answered = place < replies[who, month]
    promise_month = months // 2
    promise_at = float((calendar.starts[promise_month] - calendar.starts[0]).astype(int)) * DAY
    waited = np.full(len(who), np.inf)
    waited[is_answered] = _wait(seconds[is_answered], income[who[is_answered]] > HIGH_INCOME, promise_at, rng)
    answered_at = seconds + waited
    waited[answered_at >= float((calendar.starts[-1] - calendar.starts[0]).astype(int)) * DAY] = np.inf

    gain = LIFT * gain_of(waited)
    starts = np.array((calendar.starts - calendar.starts[0]).astype(int), dtype=float) * DAY
    begins, ends = seconds + waited + STARTS, seconds + waited + STARTS + LASTS
    lift = _expected_lift(replies * ~there, float(gain[is_answered].mean()) if is_answered.any() else 0.0)
    order_of, order_at = [], []
    for t in range(months):
        begin, end = np.maximum(begins, starts[t]), np.minimum(ends, starts[t + 1])
        share = np.where(gain > 0, np.maximum(end - begin, 0.0) / LASTS, 0.0)
        np.add.at(lift[:, t], who, gain * share)
        here = t <= exit_[who]
        count = rng.poisson(np.where(here, rates[who, t] * gain * share, 0.0))
        (rows,) = event_rows(count)
        order_of.append(who[rows])
        order_at.append(begin[rows] + rng.random(len(rows)) * (end - begin)[rows])
    moments = np.concatenate(order_at)
    zero = calendar.starts[0].astype("datetime64[us]")
    return Turns(
        arrival_day=arrival_day,
        at=at,
        waited=waited,
        promise_month=promise_month,
        worth=LIFT * rates[who, month] * price[who],
        lift=lift,
        order_of=np.concatenate(order_of),
        order_at=zero + moments.astype(np.int64) * SECOND,
    )


def _expected_lift(replies: Integer, gain: float) -> Float:
    """Lift of answers to contacts that nobody saw, because the customer had left: of the mean gain."""
    expected = gain * replies.astype(float)
    lift = expected / 2
    lift[:, 1:] += expected[:, :-1] / 2
    return lift


def _wait(asked: Float, goes_first: Flags, promise_at: float, rng: np.random.Generator) -> Float:
    """Seconds until each of the contacts is answered, shape (K,); `asked` in seconds since the first day."""
    order = np.argsort(asked)
    days = asked.max() / DAY + 1 if len(asked) else 1.0
    load = (CLOSES - OPENS) * HOUR * days / max(len(asked), 1)
    waited = np.zeros(len(asked))
    waiting: list[tuple[int, float, int]] = []
    free, place = 0.0, 0
    while place < len(order) or waiting:
        if not waiting:
            free = max(free, asked[order[place]])
        free = _next_open(free)
        while place < len(order) and asked[order[place]] <= free:
            k = int(order[place])
            heapq.heappush(waiting, (0 if goes_first[k] else 1, asked[k], k))
            place += 1
        _, _, k = heapq.heappop(waiting)
        work = rng.exponential(load * (BUSY if free < promise_at else BUSY_AFTER))
        answered = free + min(0.15 * work, 900.0)
        waited[k] = max(answered - asked[k], 5.0)
        free += work
    return waited


def _next_open(at: float) -> float:
    """The same second, or the one at which the desk opens next.

    >>> _next_open(7 * 3600.0) / 3600, _next_open(22 * 3600.0) / 3600
    (8.0, 32.0)
    """
    day, hour = divmod(at, DAY)
    if hour < OPENS * HOUR:
        return day * DAY + OPENS * HOUR
    return at if hour < CLOSES * HOUR else (day + 1) * DAY + OPENS * HOUR
