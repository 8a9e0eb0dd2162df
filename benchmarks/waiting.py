"""What an answer is worth by how long it took, on companies whose truth is known.

``python -m benchmarks.waiting --world care --companies 20 --customers 12000``

`care` and `care_no_effect` are the desks of `histories.simulation`. `rush` is of another form: open day and
night, agents on three shifts, two channels that do not help each other, one case per customer. A customer's
spend in the weeks after the case is 40 + 3 v + effect T - 10 anger + noise, with v the value that former
purchases show and T an answer within the hour; the tone that is seen is anger and as much noise again, and
agents take the angriest first. So fast answers go to the angry: the naive difference is off by what anger
costs, one adjusted for tone by half of it. In `rush_busy` every open case per agent costs 1 by itself, which
nothing in the tables tells.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.design import EffectDesign
from attribution.effects.tables import EffectTables
from histories.money import MONEY_SCALE

__all__ = ["RushWorld", "simulate_rush", "waiting_designs"]

Vector = NDArray[np.float64]

DAYS = 200
FIRST = dt.datetime(2025, 3, 1)
HOUR = 3600
COST_OF_ANGER = 10.0
OVERLOOKED = 0.05
LOAD = 0.75
"""Share of the time that agents are at work on a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RushWorld:
    """Tables of a company that answers day and night, and how long each case waited, in minutes."""

    tables: EffectTables
    end: dt.date
    waited: Vector


def simulate_rush(
    n: int, rng: np.random.Generator, *, effect: float = 5.0, busy: float = 0.0, jump: float = 3.0
) -> RushWorld:
    """One case of each of n customers.

    Parameters
    ----------
    n, rng
        Customers, and the source of chance.
    effect
        What an answer within the hour adds to spend, in currency.
    busy
        What each open case per agent adds to spend by itself.
    jump
        How many cases of a calm person an angry one (by one standard deviation) passes over, as exp(jump).
    """
    started = _arrivals(n, rng)
    anger, value = rng.normal(size=n), rng.gamma(2.0, 1.0, n)
    line = rng.integers(0, 2, n)
    agents = max(2, round(n / 4000))
    ended, length = np.empty(n), np.empty(n)
    for number in (0, 1):
        mine = np.flatnonzero(line == number)
        ended[mine], length[mine] = _answer(started[mine], anger[mine], agents, jump, rng)
    ended[rng.random(n) < OVERLOOKED] = np.inf
    waited = (ended - started) / 60
    fast = waited <= 60
    spend = 40 + 3 * value + effect * fast - COST_OF_ANGER * anger + busy * length + rng.normal(0, 8, n)
    return RushWorld(
        tables=_tables(started, ended, anger, value, line, np.maximum(spend, 0.01), agents, rng),
        end=(FIRST + dt.timedelta(days=DAYS + 60)).date(),
        waited=waited,
    )


def _arrivals(n: int, rng: np.random.Generator) -> Vector:
    """Seconds from the first day, by the hour, on days of uneven load; sorted."""
    hours = np.arange(DAYS * 24)
    rhythm = 1 + 0.5 * np.sin(2 * np.pi * (hours % 24 - 9) / 24)
    load = np.exp(rng.normal(0, 0.35, DAYS)).repeat(24) * np.exp(rng.normal(0, 0.25, len(hours)))
    weights = rhythm * load
    at = rng.choice(hours, n, p=weights / weights.sum()) * HOUR + rng.integers(0, HOUR, n)
    return np.sort(at).astype(float)


def _answer(
    started: Vector, anger: Vector, agents: int, jump: float, rng: np.random.Generator
) -> tuple[Vector, Vector]:
    """When each case of a line is answered, and how many per agent were open before it."""
    n = len(started)
    work = DAYS * 24 * HOUR * agents / n * LOAD * rng.gamma(4.0, 0.25, n)
    ended, length = np.empty(n), np.empty(n)
    free = [0.0] * agents
    waiting: list[tuple[float, int]] = []
    place = 0
    while place < n or waiting:
        at = heapq.heappop(free)
        if not waiting:
            at = max(at, started[place])
        while place < n and started[place] <= at:
            length[place] = (len(waiting)) / agents
            heapq.heappush(waiting, (started[place] / HOUR - jump * anger[place], place))
            place += 1
        _, case = heapq.heappop(waiting)
        ended[case] = at + min(0.2 * work[case], 600.0)
        heapq.heappush(free, at + work[case])
    return ended, length


def _tables(
    started: Vector,
    ended: Vector,
    anger: Vector,
    value: Vector,
    line: NDArray[np.int64],
    spend: Vector,
    agents: int,
    rng: np.random.Generator,
) -> EffectTables:
    """Customers bought in each of the five months before the case, and once in the weeks after it."""
    n = len(started)
    ids = np.arange(n)
    zero = np.datetime64(FIRST, "us")

    def at(seconds: Vector) -> NDArray[np.datetime64]:
        return zero + (seconds * 1e6).astype("timedelta64[us]")

    cases = pl.DataFrame(
        {
            "case_id": ids.astype(str),
            "customer_id": ids,
            "channel": np.where(line == 0, "chat", "phone"),
            "opened_at": at(started),
            "first_response_at": pl.Series(at(np.where(np.isfinite(ended), ended, 0.0))).set(
                pl.Series(np.isinf(ended)), None
            ),
            "topic": rng.choice(["order", "return", "advice"], n),
            "sentiment_first": np.clip(-(anger + rng.normal(size=n)) / 6, -1, 1),
        }
    )
    before = [
        (ids, started - days * 86_400, 10 * value + rng.gamma(2.0, 4.0, n)) for days in (15, 45, 75, 105, 135)
    ]
    rows = [*before, (ids, started + 86_400 * rng.integers(2, 28, n), spend)]
    bought = pl.DataFrame(
        {
            "customer_id": np.concatenate([row[0] for row in rows]),
            "timestamp": np.concatenate([at(row[1]) for row in rows]),
            "amount": np.concatenate([np.round(row[2] * MONEY_SCALE).astype(np.int64) for row in rows]),
        }
    ).with_columns(date=pl.col("timestamp").dt.date())
    shifts = [
        (f"{channel} {agent} {third}", day * 24 + third * 8)
        for day in range(-2, DAYS + 60)
        for third in range(3)
        for channel in ("chat", "phone")
        for agent in range(agents)
    ]
    begins = at(np.array([start * float(HOUR) for _, start in shifts]))
    hours = pl.DataFrame({"agent": [name for name, _ in shifts], "start": begins}).with_columns(
        end=pl.col("start") + pl.duration(hours=8)
    )
    return EffectTables(cases=cases.lazy(), purchases=bought.lazy(), hours=hours.lazy())


def waiting_designs(outcomes: Sequence[str] = ("spend",), *, days: int = 30) -> tuple[EffectDesign, ...]:
    """The queue and the curve, as a reader would write them."""
    return (
        EffectDesign(
            name="by the queue",
            design="queue",
            treatment={"first_response_minutes": 60},
            outcomes=tuple(outcomes),
            follow_up_days=days,
        ),
        EffectDesign(
            name="by speed",
            design="response_curve",
            outcomes=tuple(outcomes),
            follow_up_days=days,
        ),
    )
