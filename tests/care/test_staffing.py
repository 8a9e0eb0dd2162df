"""Staffing against the published case, the queue's own balance equations, and each other's limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from care.staffing import Demand, plan_staffing, queue_figures
from histories.errors import ConfigError


def test_the_published_case() -> None:
    """100 contacts in 30 minutes, 180 s, 80 % in 20 s, 30 % shrinkage: 14 on desk, 20 scheduled."""
    plan = plan_staffing(Demand(contacts=100))
    assert (plan.agents, plan.scheduled) == (14, 20)
    assert plan.service_level == pytest.approx(0.888, abs=5e-4)
    assert plan.service_level_below == pytest.approx(0.796, abs=5e-4)
    assert plan.load_erlangs == 10.0


def _balance(demand: Demand, servers: int, states: int = 4000) -> tuple[float, float, float]:
    """Waiting probability, abandonment and mean wait from the stationary distribution of the chain itself."""
    rate, mu = demand.arrivals, 1 / demand.handling_seconds
    theta = 0.0 if demand.patience_seconds is None else 1 / demand.patience_seconds
    n = np.arange(1, states)
    deaths = np.minimum(n, servers) * mu + np.maximum(n - servers, 0) * theta
    logs = np.concatenate([[0.0], np.cumsum(np.log(rate) - np.log(deaths))])
    p = np.exp(logs - logs.max())
    p /= p.sum()
    queue = float(p[servers:] @ np.arange(states - servers))
    return float(p[servers:].sum()), theta * queue / rate, queue / rate


@pytest.mark.parametrize(
    ("contacts", "servers", "patience"),
    [
        (100, 14, None),
        (100, 8, 120),
        (100, 12, 60),
        (700, 50, 200),
        (100, 3, 1000),
        (1800, 200, 30),
        (10, 1, 5),
    ],
)
def test_both_formulas_satisfy_the_balance_equations(
    contacts: float, servers: int, patience: float | None
) -> None:
    demand = Demand(contacts=contacts, patience_seconds=patience)
    found = queue_figures(demand, servers)
    waiting, lost, wait = _balance(demand, servers)
    assert found.waiting_probability == pytest.approx(waiting, rel=1e-9)
    assert found.abandonment == pytest.approx(lost, rel=1e-7, abs=1e-12)
    assert found.average_wait_seconds == pytest.approx(wait, rel=1e-7)


def test_service_level_of_erlang_a_in_a_simulation() -> None:
    demand = Demand(contacts=100, patience_seconds=90)
    rng = np.random.default_rng(1)
    free = np.zeros(11)
    answered, n = 0, 200_000
    arrival = 0.0
    for gap, service, patience in zip(
        rng.exponential(1 / demand.arrivals, n), rng.exponential(180, n), rng.exponential(90, n), strict=True
    ):
        arrival += gap
        first = int(free.argmin())
        wait = max(0.0, free[first] - arrival)
        if wait < patience:
            free[first] = arrival + wait + service
            answered += wait <= 20
    assert queue_figures(demand, 11).service_level == pytest.approx(answered / n, abs=0.006)


def test_erlang_a_becomes_erlang_c_where_nobody_gives_up() -> None:
    patient = queue_figures(Demand(contacts=100, patience_seconds=1e7), 14)
    endless = queue_figures(Demand(contacts=100), 14)
    assert patient.service_level == pytest.approx(endless.service_level, abs=1e-5)
    assert patient.average_wait_seconds == pytest.approx(endless.average_wait_seconds, rel=1e-4)


@pytest.mark.parametrize("patience", [None, 1.0])
def test_next_to_no_work_needs_one_agent(patience: float | None) -> None:
    plan = plan_staffing(Demand(contacts=5e-324, patience_seconds=patience))
    assert (plan.agents, plan.service_level) == (1, 1.0)


@given(
    contacts=st.floats(0.1, 3000),
    handling=st.floats(5, 2000),
    target=st.floats(0.05, 0.99),
    seconds=st.floats(0, 600),
    patience=st.none() | st.floats(5, 5000),
)
@settings(max_examples=60, deadline=None, database=None)
def test_the_plan_is_the_fewest_agents_that_suffice(
    contacts: float, handling: float, target: float, seconds: float, patience: float | None
) -> None:
    demand = Demand(
        contacts=contacts,
        handling_seconds=handling,
        target_share=target,
        target_seconds=seconds,
        patience_seconds=patience,
    )
    plan = plan_staffing(demand)
    assert plan.service_level >= target
    assert plan.service_level_below is None or plan.service_level_below < target
    assert 0 <= plan.waiting_probability <= 1
    assert 0 <= plan.abandonment <= 1
    assert 0 <= plan.occupancy <= 1 + 1e-12
    assert plan.scheduled >= plan.agents


def test_shrinkage_may_be_given_by_item_and_chat_agents_handle_several_at_once() -> None:
    plan = plan_staffing(Demand(contacts=100, shrinkage={"leave": 0.1, "training": 0.05, "breaks": 0.15}))
    assert plan.scheduled == 20
    chat = plan_staffing(Demand(contacts=100, concurrency=2))
    assert chat.agents == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contacts": 0}, '"contacts" is 0; allowed: above 0'),
        ({"target_share": 1}, '"target_share" is 1'),
        ({"shrinkage": 1.0}, '"shrinkage" is 1.0'),
        ({"shrinkage": {"a": 0.6, "b": 0.5}}, "from 0 to below 1"),
        ({"concurrency": 0.5}, '"concurrency" is 0.5'),
        ({"patience_seconds": 5e-324}, "0.001 or more"),
        ({"contacts": 1e12}, "Plan shorter intervals"),
    ],
)
def test_figures_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_staffing(Demand(**{"contacts": 100, **change}))  # type: ignore[arg-type]


def test_a_queue_that_only_grows_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot keep up with 10 erlangs"):
        queue_figures(Demand(contacts=100), 10)
