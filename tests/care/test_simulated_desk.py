"""A desk whose truth is known: every figure meets it, from the raw posts, over a change of summer time."""

from __future__ import annotations

import polars as pl
import pytest

from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import CarePart, care_part
from experiments.parts.histories import build_histories
from histories.simulation.desk_company import DeskCompany, simulate_care, write_care
from tests.care.desks import figure


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[DeskCompany, CarePart]:
    company = simulate_care(customers=1_500, weeks=20, seed=7)
    path = write_care(company, tmp_path_factory.mktemp("desk"), file_format="csv")
    config = load_config(path)
    return company, care_part(config, build_histories(config, read_inputs(config)))


def test_every_count_and_share_is_the_truth_and_every_quantile_within_its_interval(
    desk: tuple[DeskCompany, CarePart],
) -> None:
    company, part = desk
    facts = company.truth["figures"]
    assert len(facts) > 20
    for fact in facts:
        found = figure(part.tables["care"], fact["kpi"], fact["clock"])
        said = (fact["kpi"], fact["clock"], fact["value"], found["value"])
        if fact["exact"]:
            assert found["value"] == pytest.approx(fact["value"], rel=1e-9), said
        elif fact["value"] is None:  # too many were never answered for a 90 % point
            assert found["value"] is None, said
        else:
            low, high = found["low"], found["high"]
            assert low <= fact["value"], said  # type: ignore[operator]
            assert high is None or fact["value"] <= high, said  # type: ignore[operator]


def test_what_desks_show_is_better_than_the_truth(desk: tuple[DeskCompany, CarePart]) -> None:
    _, part = desk
    level = figure(part.tables["care"], "service_level", "business")
    median = figure(part.tables["care"], "first_response_p50", "calendar")
    assert level["as_tool"] > level["value"]  # type: ignore[operator]
    assert median["as_tool"] < median["value"]  # type: ignore[operator]


def test_the_flood_is_a_signal_of_the_weeks(desk: tuple[DeskCompany, CarePart]) -> None:
    """Two and a half times the messages in the seventh week: the promise, kept before, is not kept then."""
    company, _ = desk
    counts = (
        pl.DataFrame({"at": [thread.opened for thread in company.process.threads]})
        .filter(pl.col("at") < company.process.end)
        .group_by((pl.col("at") - company.process.start) // (7 * 86_400))
        .len()
        .sort("at")
    )
    assert counts["len"].arg_max() == 20 // 3
    assert counts["len"].arg_min() == 20 // 5


def test_the_same_seed_gives_the_same_company() -> None:
    first, second = (simulate_care(customers=200, weeks=10, seed=3) for _ in range(2))
    assert first.books.posts.equals(second.books.posts)
    assert first.truth == second.truth


def test_without_effects_an_answer_brings_nothing() -> None:
    truth = simulate_care(customers=200, weeks=10, seed=3, scenario="care_no_effect").truth
    assert {row["spend"] for row in truth["response"]} == {0.0}
    assert truth["silence"]["margin"] == 0.0
    assert (truth["what_if"]["margin"], truth["what_if"]["induced_contacts"]) == (0.0, 0.0)
    assert {(row["margin"], row["induced_contacts"]) for row in truth["returns"]} == {(0.0, 0.0)}


def test_the_true_returns_are_those_of_the_answers_and_of_the_observed_days(
    desk: tuple[DeskCompany, CarePart],
) -> None:
    company, _ = desk
    truth, months = company.truth, company.truth["returns"]
    by_speed = {row["minutes"]: row for row in truth["response"]}
    brought = sum(row["matters"] * row["spend"] for row in by_speed.values())
    assert sum(row["margin"] for row in months) == pytest.approx(0.45 * brought, rel=0.02)
    fast = by_speed["0-15"]["matters"] + by_speed["15-60"]["matters"]
    assert sum(row["induced_contacts"] for row in months) == pytest.approx(0.12 * fast, rel=0.02)
    days = (company.process.end - company.process.start) / 86_400
    assert sum(row["cost"] for row in months) == pytest.approx(7_000 * days / 30.4, rel=0.02)
    assert {row["cost"] for row in months[1:-1]} == {7_000.0}


def test_the_true_what_if_is_a_share_of_the_matters_times_what_waiting_cost(
    desk: tuple[DeskCompany, CarePart],
) -> None:
    truth = desk[0].truth
    asked, matters = truth["what_if"], sum(row["matters"] for row in truth["response"])
    assert asked["share"] - asked["share_now"] == pytest.approx(0.2)
    assert asked["cases"] == pytest.approx(0.2 * matters, rel=0.01)
    assert asked["spend_per_case"] == pytest.approx(truth["untreated_effect"], rel=0.02)
    assert asked["margin"] == pytest.approx(0.45 * asked["cases"] * asked["spend_per_case"])
    by_calendar = next(
        fact["value"]
        for fact in truth["figures"]
        if (fact["kpi"], fact["clock"]) == ("service_level", "calendar")
    )
    assert asked["share_now"] == pytest.approx(by_calendar, abs=0.1)
    assert 0 < truth["silence"]["margin_at_speed"] < truth["silence"]["margin"]
