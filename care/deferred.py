"""How many agents work needs that can wait: a fluid queue, first come first served, with a promise.

Erlang's formulas are for customers who hold the line. A post may lie for a while, so a queue that builds up
over noon and is worked off by three is no harm as long as nobody waits beyond the promise. With arrivals a_h
spread evenly over open hour h, mu cases an agent finishes an hour and a promise of T hours, work that came
between two moments u <= t must be done by t + T:

    A(t) - A(u) <= mu x (agent hours between u and t + T)

For the same agents n all day this is n = max over i <= j of sum(a_i..a_j) / (mu (j - i + 1 + T)). After the
last hour the last hour's agents are taken to stay until the promise is met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, milp

from histories.arrays import Float
from histories.errors import ConfigError

LONGEST: Final = 24 * 7
"""Open hours that are planned at once, at most."""
_SLACK: Final = 1e-9  # so that 4.000000000001 agents are 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredDemand:
    """Work that arrives in consecutive open hours, and what is promised about it.

    Attributes
    ----------
    arrivals
        Cases of each open hour, in order.
    per_hour
        Cases that one agent finishes in an hour.
    promise_minutes
        Longest wait that is promised.
    shrinkage
        Share of paid time away from cases; or its items by name.
    combine
        "add": items are shares of the same paid time. "sequential": each is a share of what the ones before
        it left.
    """

    arrivals: Sequence[float]
    per_hour: float
    promise_minutes: float
    shrinkage: float | Mapping[str, float] = 0.3
    combine: Literal["add", "sequential"] = "add"

    @property
    def promise_hours(self) -> float:
        """The promise in hours."""
        return self.promise_minutes / 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredPlan:
    """The fewest agents that keep the promise all day, and the cheapest ones hour by hour.

    Attributes
    ----------
    exact
        Agents before rounding up.
    agents, scheduled
        At work all day; to be planned, shrinkage included.
    longest_wait_minutes, longest_wait_minutes_below
        With them, and with one fewer; None when there is none fewer.
    shrinkage
        All of it, as a share of paid time.
    hours
        hour (from 0), arrivals, agents (cheapest), scheduled, backlog, oldest_minutes (both with `agents` all
        day, at the hour's end), backlog_below, oldest_minutes_below (one fewer).
    """

    exact: float
    agents: int
    scheduled: int
    longest_wait_minutes: float
    longest_wait_minutes_below: float | None
    shrinkage: float
    hours: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "hours"}
        return plain | {"formula": "fluid, first come first served", "hours": self.hours.to_dicts()}


def plan_deferred(demand: DeferredDemand, *, time_limit: float = 10.0) -> DeferredPlan:
    """Find the fewest agents that keep the promise.

    Parameters
    ----------
    demand
        What arrives, and what is promised.
    time_limit
        Seconds after which the search for the cheapest hours ends with the best found.

    Raises
    ------
    ConfigError
        When a figure is out of range.

    >>> plan = plan_deferred(DeferredDemand(arrivals=[20, 30, 40, 60, 50, 40, 40, 50, 60, 40, 20, 10],
    ...                                     per_hour=12, promise_minutes=60))
    >>> round(plan.exact, 3), plan.agents, round(plan.longest_wait_minutes, 1)
    (3.571, 4, 17.5)
    """
    _check(demand)
    arrivals = np.asarray(demand.arrivals, dtype=float)
    mu, promise = demand.per_hour, demand.promise_hours
    exact = agents_needed(arrivals, mu, promise)
    agents = math.ceil(exact - _SLACK)
    away = total_shrinkage(demand.shrinkage, demand.combine)
    same, fewer = hour_by_hour(arrivals, mu * agents), hour_by_hour(arrivals, mu * max(agents - 1, 0))
    cheapest = schedule(arrivals, mu, promise, time_limit=time_limit)
    hours = pl.DataFrame(
        {
            "hour": np.arange(len(arrivals)),
            "arrivals": arrivals,
            "agents": cheapest,
            "scheduled": [_scheduled(n, away) for n in cheapest],
            "backlog": same["backlog"],
            "oldest_minutes": same["oldest_minutes"],
            "backlog_below": fewer["backlog"] if agents else None,
            "oldest_minutes_below": fewer["oldest_minutes"] if agents else None,
        }
    )
    return DeferredPlan(
        exact=exact,
        agents=agents,
        scheduled=_scheduled(agents, away),
        longest_wait_minutes=_longest_wait(same, mu * agents),
        longest_wait_minutes_below=_longest_wait(fewer, mu * (agents - 1)) if agents > 1 else None,
        shrinkage=away,
        hours=hours,
    )


def _check(demand: DeferredDemand) -> None:
    items = demand.shrinkage.values() if isinstance(demand.shrinkage, Mapping) else [demand.shrinkage]
    problems = [
        ("arrivals", 0 < len(demand.arrivals) <= LONGEST, f"1 to {LONGEST} hours"),
        ("arrivals", all(0 <= a <= 1e6 for a in demand.arrivals), "0 to 1,000,000 each"),
        ("per_hour", 0.001 <= demand.per_hour <= 1e6, "0.001 to 1,000,000"),
        ("promise_minutes", 0 <= demand.promise_minutes <= 60 * LONGEST, f"0 to {60 * LONGEST}"),
        ("shrinkage", all(0 <= item < 1 for item in items), "from 0 to below 1"),
        ("shrinkage", total_shrinkage(demand.shrinkage, demand.combine) < 1, "below 1 in all"),
    ]
    for name, fine, allowed in problems:
        if not fine:
            raise ConfigError(f'"{name}" is {getattr(demand, name)}; allowed: {allowed}.')


def total_shrinkage(shrinkage: float | Mapping[str, float], combine: str = "add") -> float:
    """All of the shrinkage as a share of paid time.

    >>> items = {"leave": 0.10, "training": 0.04, "meetings": 0.05, "breaks": 0.12}
    >>> round(total_shrinkage(items), 4), round(total_shrinkage(items, "sequential"), 4)
    (0.31, 0.2777)
    """
    if not isinstance(shrinkage, Mapping):
        return shrinkage
    if combine == "add":
        return sum(shrinkage.values())
    return 1.0 - math.prod(1.0 - item for item in shrinkage.values())


def _scheduled(agents: float, away: float) -> int:
    return math.ceil(agents / (1.0 - away) - _SLACK)


def agents_needed(arrivals: Float, per_hour: float, promise_hours: float) -> float:
    """The fewest agents, the same in every hour, with whom nobody waits beyond the promise; not rounded."""
    total = np.concatenate(([0.0], np.cumsum(arrivals)))
    i, j = np.triu_indices(len(arrivals))
    return float(np.max((total[j + 1] - total[i]) / (per_hour * (j - i + 1 + promise_hours)), initial=0.0))


def hour_by_hour(arrivals: Float, capacity: float) -> pl.DataFrame:
    """Backlog and age of the oldest case at each hour's end.

    Parameters
    ----------
    arrivals
        Cases of each hour, evenly spread.
    capacity
        Cases done an hour.

    Returns
    -------
    DataFrame
        backlog (cases), oldest_minutes (0 without a backlog).
    """
    came = np.concatenate(([0.0], np.cumsum(arrivals)))
    left, rows = 0.0, []
    for end, arrived in enumerate(arrivals, start=1):
        left = max(0.0, left + arrived - capacity)
        oldest = float(end) if left <= _SLACK else _moment_of(came, came[end] - left)
        rows.append((left if left > _SLACK else 0.0, 60.0 * (end - oldest)))
    return pl.DataFrame(rows, schema={"backlog": pl.Float64, "oldest_minutes": pl.Float64}, orient="row")


def _moment_of(came: Float, count: float) -> float:
    """When so many cases had arrived."""
    hour = int(np.searchsorted(came, count, side="right")) - 1
    hour = min(hour, len(came) - 2)
    return float(hour + (count - came[hour]) / max(came[hour + 1] - came[hour], _SLACK))


def _longest_wait(hours: pl.DataFrame, capacity: float) -> float:
    """Longest wait of a case, in minutes: what lies before it, over what is done an hour."""
    if capacity <= 0:
        return 0.0
    return 60.0 * float(hours["backlog"].max() or 0.0) / capacity  # type: ignore[arg-type]


def schedule(
    arrivals: Float, per_hour: float, promise_hours: float, *, time_limit: float = 10.0
) -> list[int]:
    """Whole agents of each hour, fewest in all, with whom nobody waits beyond the promise.

    An integer linear programme: the condition of this module at every pair of moments where the arrivals or
    the agents may change. Of the cheapest schedules, one with the fewest changes from hour to hour.
    """
    hours = len(arrivals)
    moments = np.unique(np.concatenate([np.arange(hours + 1), np.arange(hours + 1) - promise_hours]))
    moments = moments[(moments >= 0) & (moments <= hours)]
    came = np.interp(moments, np.arange(hours + 1), np.concatenate(([0.0], np.cumsum(arrivals))))
    rows, needs = [], []
    for place, u in enumerate(moments):
        for t, work in zip(moments[place:], came[place:] - came[place], strict=True):
            if work > 0:
                rows.append(_overlap(u, t + promise_hours, hours))
                needs.append(work / per_hour)
    if not rows:
        return [0] * hours
    fallback = math.ceil(agents_needed(arrivals, per_hour, promise_hours) - _SLACK)
    # Second to the fewest: the fewest changes. Beside the agents stands the size of each change from hour to
    # hour, so small in the objective that all of them together are less than one agent.
    changes = max(hours - 1, 0)
    step = np.eye(hours)[1:] - np.eye(hours)[:-1]
    size = np.eye(changes)
    promise = np.hstack([np.array(rows), np.zeros((len(rows), changes))])
    rises, falls = np.hstack([-step, size]), np.hstack([step, size])
    cost = np.concatenate([np.ones(hours), np.full(changes, 1.0 / (4.0 * hours * (fallback + 1) + 1.0))])
    found = milp(
        cost,
        constraints=[
            LinearConstraint(promise, lb=np.array(needs) - _SLACK),
            LinearConstraint(np.vstack([rises, falls]), lb=0.0),
        ],
        integrality=np.concatenate([np.ones(hours), np.zeros(changes)]),
        bounds=Bounds(lb=0.0),
        options={"time_limit": time_limit, "mip_rel_gap": 0.0},
    )
    if found.x is None:  # never without a solution; only without one in time
        return [fallback] * hours
    return [round(agents) for agents in found.x[:hours]]


def _overlap(start: float, end: float, hours: int) -> Float:
    """Hours between two moments by hour of the day; what lies after the last is counted as the last's."""
    edges = np.arange(hours, dtype=float)
    inside: Float = np.clip(np.minimum(edges + 1, end) - np.maximum(edges, start), 0.0, 1.0)
    inside[-1] += max(0.0, end - max(start, float(hours)))
    return inside
