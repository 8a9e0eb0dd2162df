"""Staffing of work that can wait: the worked example, a simulation of the queue, and the limits."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from care.arrivals import arrivals_by_hour, arrivals_of_open_hours
from care.deferred import (
    DeferredDemand,
    agents_needed,
    hour_by_hour,
    plan_deferred,
    schedule,
    total_shrinkage,
)
from care.settings import Hours
from care.staffing import Demand, plan_staffing
from histories.errors import ConfigError

DAY = [20, 30, 40, 60, 50, 40, 40, 50, 60, 40, 20, 10]


@pytest.mark.parametrize(
    ("minutes", "exact", "agents"), [(60, 3.571, 4), (20, 3.947, 4), (240, 2.639, 3), (0, 5.0, 5)]
)
def test_agents_for_a_promise(minutes: float, exact: float, agents: int) -> None:
    plan = plan_deferred(DeferredDemand(arrivals=DAY, per_hour=12, promise_minutes=minutes))
    assert plan.exact == pytest.approx(exact, abs=5e-4)
    assert plan.agents == agents


def test_one_agent_fewer_makes_the_longest_wait_hours() -> None:
    plan = plan_deferred(DeferredDemand(arrivals=DAY, per_hour=12, promise_minutes=60))
    assert plan.longest_wait_minutes == pytest.approx(17.5)
    assert plan.longest_wait_minutes_below == pytest.approx(60 * 92 / 36)
    assert plan.hours["backlog"].max() == 14
    assert plan.hours["backlog_below"].max() == 92


def test_a_flood_of_twice_the_arrivals() -> None:
    twice = DeferredDemand(arrivals=[2 * a for a in DAY], per_hour=12, promise_minutes=60)
    plan = plan_deferred(twice)
    assert (round(plan.exact, 2), plan.agents) == (7.14, 8)


def test_the_telephone_formula_asks_for_other_agents() -> None:
    hourly = [
        plan_staffing(
            Demand(
                contacts=a, interval_minutes=60, handling_seconds=300, target_share=0.9, target_seconds=3600
            )
        ).agents
        for a in DAY
    ]
    assert hourly == [2, 3, 4, 6, 5, 4, 4, 5, 6, 4, 2, 2]


def test_shrinkage_added_and_one_after_the_other() -> None:
    items = {"leave": 0.10, "training": 0.04, "meetings": 0.05, "breaks": 0.12}
    assert total_shrinkage(items) == pytest.approx(0.31)
    assert total_shrinkage(items, "sequential") == pytest.approx(0.2777, abs=5e-5)
    needed = {
        combine: plan_deferred(
            DeferredDemand(arrivals=[168], per_hour=12, promise_minutes=0, shrinkage=items, combine=combine)
        ).scheduled
        for combine in ("add", "sequential")
    }
    assert needed == {"add": 21, "sequential": 20}


def _longest_wait(arrivals: list[float], agents: list[int], per_hour: float, steps: int = 200) -> float:
    """Longest wait in hours, by serving the fluid in small steps; the last hour's agents stay."""
    came = np.repeat(np.asarray(arrivals, dtype=float) / steps, steps).cumsum()
    rate = np.repeat(np.asarray(agents, dtype=float) * per_hour / steps, steps)
    rate = np.concatenate([rate, np.full(steps * 400, rate[-1])])
    done, left = np.empty(len(rate)), 0.0
    for step, capacity in enumerate(rate):
        arrived = came[min(step, len(came) - 1)]
        left = min(left + capacity, arrived)
        done[step] = left
        if step >= len(came) and arrived - left < 1e-9:
            done = done[: step + 1]
            break
    at = np.searchsorted(done, came - 1e-9)
    return float(np.max((at - np.arange(len(came))) / steps))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(lambda a: a[-1] > 0),
    st.sampled_from([15.0, 60.0, 150.0]),
)
def test_the_schedule_keeps_the_promise_and_costs_no_more(arrivals: list[int], minutes: float) -> None:
    """Served step by step, nobody waits beyond the promise; the same agents all day never cost less."""
    given_arrivals = np.asarray(arrivals, dtype=float)
    hourly = schedule(given_arrivals, 12.0, minutes / 60)
    needed = agents_needed(given_arrivals, 12.0, minutes / 60)
    assert _longest_wait(list(arrivals), hourly, 12.0) <= minutes / 60 + 0.011
    assert sum(hourly) <= int(np.ceil(needed - 1e-9)) * len(arrivals)


def test_the_oldest_case_is_as_old_as_the_backlog_takes_to_arrive() -> None:
    """60 came evenly and 48 were done: the last 12 came within the last 12 minutes."""
    assert hour_by_hour(np.array([60.0]), 48.0).row(0) == pytest.approx((12.0, 12.0))


def test_arrivals_are_those_of_the_last_weeks_by_hour_of_the_week() -> None:
    start = dt.datetime(2026, 1, 5, 9, 30)  # a Monday
    times = [start + dt.timedelta(weeks=week) for week in range(10) for _ in range(3)]
    found = arrivals_by_hour(pl.Series([*times, times[-1] + dt.timedelta(days=6)]), weeks=8)
    assert found.height == 168
    monday = found.filter(pl.col("weekday") == 1, pl.col("hour") == 9).row(0, named=True)
    assert (monday["weeks"], monday["arrivals"]) == (8, 3.0)
    assert monday["low"] <= 3 <= monday["high"]


def test_what_comes_at_night_waits_for_the_opening() -> None:
    """One case an hour all week, open from 9:00 to 17:30 on weekdays: Monday opens with the weekend's."""
    even = pl.DataFrame(
        [(day, hour, 1.0) for day in range(1, 8) for hour in range(24)],
        schema=["weekday", "hour", "arrivals"],
        orient="row",
    )
    found = arrivals_of_open_hours(even, Hours(zone="UTC"))
    assert list(found) == ["Mon", "Tue", "Wed", "Thu", "Fri"]
    assert found["Tue"] == {9: 16.0} | dict.fromkeys(range(10, 18), 1.0)
    assert found["Mon"][9] == 1 + 9 + 6 + 48
    assert sum(sum(day.values()) for day in found.values()) == 168


@pytest.mark.parametrize(
    "change",
    [
        {"arrivals": []},
        {"arrivals": [float("nan")]},
        {"per_hour": 0.0},
        {"promise_minutes": -1.0},
        {"shrinkage": {"leave": 0.6, "training": 0.5}},
    ],
)
def test_figures_out_of_range_are_refused(change: dict[str, object]) -> None:
    demand = {"arrivals": [1.0], "per_hour": 12.0, "promise_minutes": 60.0} | change
    with pytest.raises(ConfigError, match="allowed"):
        plan_deferred(DeferredDemand(**demand))  # type: ignore[arg-type]
