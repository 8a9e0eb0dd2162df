"""A desk that answers in turn: its waits, the orders that speed brings, and what is true of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from histories.simulation.company import SimulatedCompany, simulate_company
from histories.simulation.files import write_company
from histories.simulation.turns import CLOSES, OPENS, Turns, gain_of


@pytest.fixture(scope="module")
def company() -> SimulatedCompany:
    return simulate_company(customers=2_000, months=10, seed=4, scenario="desk")


@pytest.fixture(scope="module")
def turns(company: SimulatedCompany) -> Turns:
    assert company.turns is not None
    return company.turns


def test_orders_of_fast_answers_come_as_often_as_the_truth_expects(
    company: SimulatedCompany, turns: Turns
) -> None:
    """The total of the truth holds the orders that answers brought; without them it is too low."""
    spent = company.books.transactions.filter(pl.col("customer_id").is_not_null())["amount"].sum()
    plain = simulate_company(customers=2_000, months=10, seed=4).truth.outcomes["spend"]
    true = company.truth.outcomes["spend"]
    assert spent == pytest.approx(true.total, rel=0.02)
    assert true.total > 1.05 * plain.total
    assert true.baseline == pytest.approx(plain.baseline)
    assert true.credit[0] > 2 * plain.credit[0]
    assert true.credit.sum() + true.baseline == pytest.approx(true.total)


def test_leaving_has_nothing_to_do_with_speed(company: SimulatedCompany) -> None:
    plain = simulate_company(customers=2_000, months=10, seed=4).truth.outcomes["retention"]
    assert company.truth.outcomes["retention"].total == pytest.approx(plain.total)


def test_nobody_is_answered_while_the_desk_is_closed(company: SimulatedCompany) -> None:
    answered = company.books.cases.filter(
        (pl.col("channel") == "twitter") & pl.col("first_response_at").is_not_null()
    )
    hour = answered["first_response_at"].dt.hour()
    # an answer that was begun before nine takes a quarter of an hour at most
    assert hour.is_between(OPENS, CLOSES).all()
    assert (answered["first_response_at"] > answered["opened_at"]).all()


def test_the_promise_makes_answers_faster_and_high_incomes_go_first(
    company: SimulatedCompany, turns: Turns
) -> None:
    fast = turns.waited <= 3600
    later = turns.at >= company.calendar.starts[turns.promise_month]
    assert fast[later].mean() > fast[~later].mean() + 0.05
    income = company.books.cases.filter(pl.col("channel") == "twitter").join(
        company.books.customers, on="customer_id"
    )
    minutes = (pl.col("first_response_at") - pl.col("opened_at")).dt.total_minutes()
    high, low = (
        income.filter(pl.col("first_response_at").is_not_null(), which).select((minutes <= 60).mean()).item()
        for which in (pl.col("income") > 0.8, pl.col("income") < 0.8)
    )
    assert high > low + 0.1


def test_files_tell_the_truth_of_the_desk_and_other_companies_have_none(
    company: SimulatedCompany, turns: Turns, tmp_path: Path
) -> None:
    config = write_company(company, tmp_path / "desk").read_text(encoding="utf-8")
    truth = json.loads((tmp_path / "desk" / "truth.json").read_text(encoding="utf-8"))["care"]
    late = np.isfinite(turns.waited) & (turns.waited > 3600)
    assert truth["untreated_effect"] == pytest.approx(
        float((turns.worth * (1 - gain_of(turns.waited)))[late].mean())
    )
    assert {path.stem for path in (tmp_path / "desk").glob("*.parquet")} >= {"interventions", "assumptions"}
    assert "[[care.promises]]" in config
    plain = write_company(simulate_company(customers=200, months=6), tmp_path / "plain")
    assert "care" not in json.loads((plain.parent / "truth.json").read_text(encoding="utf-8"))
    assert not (plain.parent / "interventions.parquet").exists()
