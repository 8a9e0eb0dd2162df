"""How many agents an interval needs: Erlang C, and Erlang A where customers give up.

Erlang C: A. K. Erlang (1917); waiting customers are patient. Erlang A: Palm (1957), in the form of
Mandelbaum & Zeltyn (2007), "Service engineering in action: the Palm/Erlang-A queue", whose J is

    J = integral over v > 0 of exp(lambda (1 - e^(-theta v)) / theta - n mu v)

with lambda arrivals, mu completions and theta losses of patience per second, and n servers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from histories.errors import ConfigError

LARGEST_LOAD: Final = 100_000.0
"""Largest load that is planned, in erlangs."""

_NEVER: Final = 1e-200  # a probability below which nothing happens, and above which no quotient overflows


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One interval's work and what is promised about it.

    Attributes
    ----------
    contacts
        Contacts that arrive within the interval.
    interval_minutes
        Its length, in minutes.
    handling_seconds
        Mean work per contact, in seconds; for chat, of one conversation among several at once.
    target_share, target_seconds
        Share of contacts to be answered within so many seconds.
    shrinkage
        Share of paid time away from contacts; or its items by name, which add up.
    concurrency
        Contacts that one agent handles at once.
    patience_seconds
        Mean patience of a waiting customer, in seconds; None: nobody gives up (Erlang C).
    """

    contacts: float
    interval_minutes: float = 30.0
    handling_seconds: float = 180.0
    target_share: float = 0.8
    target_seconds: float = 20.0
    shrinkage: float | Mapping[str, float] = 0.3
    concurrency: float = 1.0
    patience_seconds: float | None = None

    @property
    def arrivals(self) -> float:
        """Contacts per second."""
        return self.contacts / (60.0 * self.interval_minutes)

    @property
    def load(self) -> float:
        """Work that arrives, in erlangs: contacts in progress if none ever waited."""
        return self.arrivals * self.handling_seconds

    @property
    def total_shrinkage(self) -> float:
        """All of the shrinkage, as a share of paid time."""
        return sum(self.shrinkage.values()) if isinstance(self.shrinkage, Mapping) else self.shrinkage


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """What a queue with a given number of servers does.

    Attributes
    ----------
    service_level
        Share of all contacts answered in time.
    waiting_probability
        Share that waits at all.
    average_wait_seconds
        Mean wait of all contacts, in seconds.
    abandonment
        Share that gives up.
    occupancy
        Share of the servers' time spent on contacts.
    """

    service_level: float
    waiting_probability: float
    average_wait_seconds: float
    abandonment: float
    occupancy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffingPlan:
    """The fewest agents that keep the promise.

    Attributes
    ----------
    agents, scheduled
        At work on contacts; to be planned, shrinkage included.
    service_level_below
        With one agent fewer; None when the queue would grow without end.
    load_erlangs
        Work that arrives, in erlangs.
    formula
        "Erlang C" or "Erlang A".
    """

    agents: int
    scheduled: int
    service_level: float
    service_level_below: float | None
    occupancy: float
    waiting_probability: float
    average_wait_seconds: float
    abandonment: float
    load_erlangs: float
    formula: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def plan_staffing(demand: Demand) -> StaffingPlan:
    """Find the fewest agents that keep the promise.

    Raises
    ------
    ConfigError
        When a figure is out of range, or the load is above `LARGEST_LOAD`.

    Examples
    --------
    >>> plan = plan_staffing(Demand(contacts=100))
    >>> plan.agents, plan.scheduled, round(plan.service_level, 3), round(plan.service_level_below, 3)
    (14, 20, 0.888, 0.796)
    """
    _check(demand)
    agents = _fewest(demand)
    found = queue_figures(demand, _servers(demand, agents))
    fewer = _servers(demand, agents - 1)
    below = queue_figures(demand, fewer) if fewer and _is_stable(demand, fewer) else None
    return StaffingPlan(
        agents=agents,
        scheduled=math.ceil(agents / (1.0 - demand.total_shrinkage) - 1e-9),
        service_level=found.service_level,
        service_level_below=None if below is None else below.service_level,
        occupancy=found.occupancy,
        waiting_probability=found.waiting_probability,
        average_wait_seconds=found.average_wait_seconds,
        abandonment=found.abandonment,
        load_erlangs=demand.load,
        formula="Erlang C" if demand.patience_seconds is None else "Erlang A",
    )


def _check(demand: Demand) -> None:
    problems = [
        ("contacts", demand.contacts > 0, "above 0"),
        ("interval_minutes", demand.interval_minutes >= 0.001, "0.001 or more"),
        ("handling_seconds", demand.handling_seconds >= 0.001, "0.001 or more"),
        ("target_share", 0 < demand.target_share < 1, "between 0 and 1"),
        ("target_seconds", demand.target_seconds >= 0, "0 or more"),
        ("shrinkage", 0 <= demand.total_shrinkage < 1, "from 0 to below 1"),
        ("concurrency", demand.concurrency >= 1, "1 or more"),
        ("patience_seconds", (demand.patience_seconds or 1.0) >= 0.001, "0.001 or more"),
    ]
    for name, fine, allowed in problems:
        if not fine:
            raise ConfigError(f'"{name}" is {getattr(demand, name)}; allowed: {allowed}.')
    if demand.load > LARGEST_LOAD:
        raise ConfigError(
            f"The load is {demand.load:.4g} erlangs; allowed: {LARGEST_LOAD:g} or less. "
            "Plan shorter intervals."
        )


def _fewest(demand: Demand) -> int:
    """The fewest agents with the service level, which rises with their number."""

    def suffices(agents: int) -> bool:
        servers = _servers(demand, agents)
        stable = _is_stable(demand, servers)
        return stable and queue_figures(demand, servers).service_level >= demand.target_share

    enough = max(1, math.ceil(demand.load / demand.concurrency))
    while not suffices(enough):
        enough += max(1, enough // 8)
    too_few = 0
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        too_few, enough = (too_few, middle) if suffices(middle) else (middle, enough)
    return enough


def _servers(demand: Demand, agents: int) -> int:
    return math.floor(agents * demand.concurrency + 1e-9)


def _is_stable(demand: Demand, servers: int) -> bool:
    return demand.patience_seconds is not None or servers > demand.load


def _erlang_b(load: float, servers: int) -> float:
    """Blocking of a queue without waiting room, B(n) = load B(n-1) / (n + load B(n-1))."""
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = load * blocking / (n + load * blocking)
    return blocking


def queue_figures(demand: Demand, servers: int) -> QueueFigures:
    """What a number of servers does; one agent is as many servers as contacts handled at once.

    Raises
    ------
    ConfigError
        When nobody gives up and the servers cannot keep up.
    """
    if not _is_stable(demand, servers):
        raise ConfigError(
            f"{servers} servers cannot keep up with {demand.load:.4g} erlangs; "
            "allowed: more than that, or a patience."
        )
    blocking = _erlang_b(demand.load, servers)
    if demand.patience_seconds is None:
        return _erlang_c(demand, servers, blocking)
    return _erlang_a(demand, servers, blocking, demand.patience_seconds)


def _erlang_c(demand: Demand, n: int, blocking: float) -> QueueFigures:
    waits = n * blocking / (n - demand.load * (1.0 - blocking))
    spare = (n - demand.load) / demand.handling_seconds
    return QueueFigures(
        service_level=1.0 - waits * math.exp(-spare * demand.target_seconds),
        waiting_probability=waits,
        average_wait_seconds=waits / spare,
        abandonment=0.0,
        occupancy=demand.load / n,
    )


def _erlang_a(demand: Demand, n: int, blocking: float, patience: float) -> QueueFigures:
    if blocking < _NEVER:
        return QueueFigures(
            service_level=1.0,
            waiting_probability=0.0,
            average_wait_seconds=0.0,
            abandonment=0.0,
            occupancy=demand.load / n,
        )
    wait = _OfferedWait(rate=demand.arrivals, capacity=n / demand.handling_seconds, theta=1.0 / patience)
    start, end = wait.support()
    whole, _ = wait.integrals(start, end)  # J and all that follows is scaled by exp(-peak)
    # Weight of the states with a free server: 1 / B(n - 1), which is (load / n) (1 / B(n) - 1).
    scale = math.exp(-min(wait.exponent(wait.peak), 700.0))
    free = scale * demand.load / n * (1.0 / blocking - 1.0)
    everything = free + wait.rate * whole
    waits = wait.rate * whole / everything
    lost = (scale + (wait.rate - wait.capacity) * whole) / everything
    _, soon = wait.integrals(start, min(max(demand.target_seconds, start), end))
    return QueueFigures(
        service_level=(1.0 - waits) + waits * soon / whole,
        waiting_probability=waits,
        average_wait_seconds=lost * patience,
        abandonment=lost,
        occupancy=demand.load * (1.0 - lost) / n,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfferedWait:
    """The wait that an infinitely patient customer would have, given that all servers are busy.

    Its density is proportional to the integrand of J. `rate`, `capacity` (n mu) and `theta` per second.
    """

    rate: float
    capacity: float
    theta: float

    def exponent(self, v: float) -> float:
        """Logarithm of the density, up to a constant; concave in v."""
        return -self.rate * math.expm1(-self.theta * v) / self.theta - self.capacity * v

    @property
    def peak(self) -> float:
        """Where the density is greatest, in seconds."""
        return math.log(self.rate / self.capacity) / self.theta if self.rate > self.capacity else 0.0

    def support(self) -> tuple[float, float]:
        """Waits outside of which less than exp(-40) of the peak is left, in seconds."""
        top = self.exponent(self.peak)
        width = 1.0 / math.sqrt(self.theta * self.capacity)
        below, above = width, width
        while below < self.peak and top - self.exponent(self.peak - below) < 40.0:
            below *= 1.5
        while top - self.exponent(self.peak + above) < 40.0:
            above *= 1.5
        return max(0.0, self.peak - below), self.peak + above

    def integrals(self, start: float, end: float) -> tuple[float, float]:
        """The density's integral, and that of the part in which the customer is still there."""
        v = 0.5 * (end - start) * (_NODES + 1.0) + start
        shape = -self.rate * np.expm1(-self.theta * v) / self.theta - self.capacity * v
        density = np.exp(shape - self.exponent(self.peak)) * (0.5 * (end - start) * _WEIGHTS)
        return float(density.sum()), float((density * np.exp(-self.theta * v)).sum())


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
