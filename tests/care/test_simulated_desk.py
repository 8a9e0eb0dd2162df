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
