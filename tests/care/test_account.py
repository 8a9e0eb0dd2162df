"""The account of care: worked examples, draws that repeat, and parts that add up."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from care.account import Account, Input
from care.assumptions import Assumptions
from care.statement import Told, account_rows, difference_rows, plan_account, refuted, returns_table

TODAY = dt.date(2026, 6, 30)
DRAWN = 5e-4
"""Error that 10,000 stratified draws leave in a ratio whose spread is .1, against the normal law."""


def month(value: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([value])


def worked_example(**more: Any) -> Account:
    given: dict[str, Any] = {
        "cases": month(1.0),
        "spend_per_case": Input(value=67_616, std_error=5_697),
        "gross_margin": Input(value=1.0),
        "issues_per_case": Input(value=900, std_error=300),
        "cost_per_contact": Input(value=1.0),
        "contacts_avoided": Input(value=1_540, std_error=400),
        "cost_per_assisted_contact": Input(value=2.0),
        "costs": {"people": month(60_187.50)},
    }
    return Account(**(given | more))


def test_return_of_the_worked_example() -> None:
    account = worked_example()
    found = account.roi()
    assert found is not None
    assert found.value == pytest.approx(0.1341, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((-0.0522, 0.3203), abs=DRAWN)
    assert account.chance() == pytest.approx(0.921, abs=1e-3)


def test_money_over_time_of_the_worked_example() -> None:
    account = Account(
        cases=np.array(6 * [4_000.0] + 6 * [9_000.0]),
        spend_per_case=Input(value=1.0),
        gross_margin=Input(value=1.0),
        costs={},
        outlay=60_000,
        discount_rate=0.10,
    )
    assert account.present_value() == pytest.approx(13_424.19, abs=0.01)
    assert account.payback() == pytest.approx(10.0)
    assert account.payback(discounted=True) == pytest.approx(10.36, abs=5e-3)
    assert account.internal_rate() == pytest.approx(0.03577, abs=5e-6)


def test_the_same_seed_draws_the_same_and_the_tornado_names_the_largest_first() -> None:
    one, two = worked_example(), worked_example()
    assert one.roi() == two.roi()
    swings = one.tornado()
    assert [swing.name for swing in swings] == ["spend_per_case", "contacts_avoided", "issues_per_case"]
    assert swings[2].at_low > swings[2].at_high  # more induced contacts, less net


def test_an_assumption_without_a_range_moves_nothing() -> None:
    assert worked_example(spend_per_case=Input(value=1.0)).tornado()[0].name == "contacts_avoided"


def test_the_break_even_effect_brings_the_net_to_nothing() -> None:
    account = worked_example()
    needed = account.break_even_effect()
    assert needed is not None
    assert worked_example(spend_per_case=Input(value=needed)).total("net").value == pytest.approx(
        0.0, abs=1e-6
    )


@settings(deadline=None, max_examples=50)
@given(
    effect=st.floats(-50, 50),
    cases=st.lists(st.floats(0, 500), min_size=1, max_size=12),
    cost=st.floats(1, 1e4),
)
def test_months_add_up_to_all_and_lines_to_the_net(effect: float, cases: list[float], cost: float) -> None:
    n = len(cases)
    account = Account(
        cases=np.array(cases),
        spend_per_case=Input(value=effect),
        gross_margin=Input(value=0.4),
        costs={"people": np.full(n, cost), "tools": np.full(n, 1.0)},
    )
    table = returns_table(account_rows(account, [f"2026-{k + 1:02d}" for k in range(n)]))
    for line in ("incremental margin", "cost", "cost: people", "net"):
        rows = table.filter(pl.col("line") == line)
        whole, months = (rows.filter(pl.col("period") == "(all)"), rows.filter(pl.col("period") != "(all)"))
        assert months["value"].sum() == pytest.approx(whole["value"][0], rel=1e-9, abs=1e-6)
        assert months["cumulated"][-1] == pytest.approx(whole["value"][0], rel=1e-9, abs=1e-6)
    every = {
        row["line"]: row["value"] for row in table.filter(pl.col("period") == "(all)").iter_rows(named=True)
    }
    assert every["net"] == pytest.approx(every["incremental margin"] - every["cost"], abs=1e-6)


def test_without_a_supported_margin_there_is_no_net_and_no_return() -> None:
    told = Told(absent={"margin": "the placebo moved"})
    table = returns_table(account_rows(worked_example(), ["2026-01"], told=told))
    for line in ("incremental margin", "net", "roi", "npv", "chance above 0"):
        (row,) = table.filter((pl.col("line") == line) & (pl.col("period") == "(all)")).to_dicts()
        assert (row["value"], row["supported"], row["reason"]) == (None, False, "the placebo moved")
    assert table.filter((pl.col("line") == "cost") & (pl.col("period") == "(all)"))["value"].to_list() == [
        60_187.5
    ]


ASSUMED = [
    {"name": "cases_per_month", "value": 100, "low": 80, "high": 120, "expires": dt.date(2026, 1, 1)},
    {"name": "spend_per_case", "value": 10, "low": 5, "high": 15},
    {"name": "cost_per_month", "value": 300, "low": 300, "high": 330},
]


def assumptions(*, without: str = "") -> Assumptions:
    return Assumptions.of([row for row in ASSUMED if row["name"] != without], TODAY)


def test_a_plan_needs_no_data() -> None:
    plan = plan_account(assumptions(), gross_margin=0.5, discount_rate=0.1)
    assert isinstance(plan, Account)
    assert plan.cases.size == 12
    assert plan.total("net").value == pytest.approx(12 * (100 * 10 * 0.5 - 300))
    assert 0.9 < plan.chance() < 1.0
    assert {swing.name for swing in plan.tornado()} == {"case_scale", "spend_per_case", "cost_scale"}


@pytest.mark.parametrize("without", ["cases_per_month", "spend_per_case", "cost_per_month"])
def test_a_plan_says_what_it_lacks(without: str) -> None:
    found = plan_account(assumptions(without=without), gross_margin=0.5, discount_rate=0.1)
    assert isinstance(found, str)
    assert without in found


def test_nothing_planned_is_no_plan() -> None:
    assert plan_account(Assumptions.of([], TODAY), gross_margin=0.5, discount_rate=0.1) is None


@settings(deadline=None, max_examples=50)
@given(
    cases=st.floats(1, 400), effect=st.floats(-20, 20), cost=st.floats(0, 9_000), induced=st.floats(0, 0.5)
)
def test_volume_effect_and_cost_explain_the_whole_difference(
    cases: float, effect: float, cost: float, induced: float
) -> None:
    plan = plan_account(assumptions(), gross_margin=0.5, discount_rate=0.0, months=6)
    assert isinstance(plan, Account)
    actual = Account(
        cases=np.full(6, cases),
        spend_per_case=Input(value=effect),
        gross_margin=Input(value=0.5),
        issues_per_case=Input(value=induced),
        cost_per_contact=Input(value=4.0),
        costs={"people": np.full(6, cost)},
    )
    rows = {row["line"]: row["value"] for row in difference_rows(actual, plan)}
    whole = actual.total("net").value - plan.total("net").value
    assert rows["volume"] + rows["effect"] + rows["cost"] == pytest.approx(whole, abs=1e-5)
    assert rows["net"] == pytest.approx(whole, abs=1e-5)


def test_assumptions_past_their_end_are_named_and_refuted_ones_called_so() -> None:
    taken = assumptions()
    assert taken.expired(one.name for one in taken) == ("cases_per_month",)
    wrong = refuted(taken, {"cases_per_month": Input(value=151.0), "cost_per_month": Input(value=310.0)})
    assert wrong == {"cases_per_month": "assumed 80 to 120, measured 151"}
