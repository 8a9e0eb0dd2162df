"""Service figures and open cases over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx
import polars as pl
import pytest

from api import responses
from api.settings import Settings
from attribution.effects.effect import EFFECTS_SCHEMA
from care.tables import CASES_SCHEMA
from clv.referrals import ENGAGEMENT_SCHEMA
from experiments.champion import promote_bundle
from experiments.tombstones import add_tombstone
from tests.care.facts import effect_row, facts
from tests.running import running
from tests.sample_bundle import write_sample


def test_who_waits_longest_comes_first_or_who_is_worth_most(service: httpx.Client) -> None:
    answer = service.get("/v1/care/cases")
    responses.OpenCases.model_validate_json(answer.content)
    assert [case["case_id"] for case in answer.json()["cases"]] == ["a", "c", "b"]
    by_value = service.get("/v1/care/cases?sort=-value_at_stake").json()["cases"]
    assert [case["case_id"] for case in by_value] == ["b", "c", "a"]  # an audience before an amount
    assert "text" not in by_value[0]


def test_pages_go_on_where_the_last_one_ended(service: httpx.Client) -> None:
    seen, cursor = [], None
    for _ in range(3):
        question = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = service.get("/v1/care/cases", params=question).json()
        seen += [case["case_id"] for case in page["cases"]]
        cursor = page["next"]
    assert (seen, cursor) == (["a", "c", "b"], None)


def test_a_cursor_of_another_question_is_refused(service: httpx.Client) -> None:
    cursor = service.get("/v1/care/cases?limit=1").json()["next"]
    answer = service.get("/v1/care/cases", params={"cursor": cursor, "sort": "-value_at_stake"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tributary:problems#stale-cursor")


@pytest.mark.parametrize("question", ["sort=opened_at", "limit=0", "limit=5000", "cursor=x"])
def test_questions_that_cannot_be_are_refused(service: httpx.Client, question: str) -> None:
    assert service.get(f"/v1/care/cases?{question}").status_code == 422


def test_an_erased_customers_case_is_hidden_at_once(tmp_path: Path) -> None:
    write_sample(tmp_path / "v1")
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    with running(Settings(runs=tmp_path, access_log=False)) as client:
        first = client.get("/v1/care/cases").json()["cases"][0]
    add_tombstone(tmp_path, str(first["customer_id"]))
    with running(Settings(runs=tmp_path, access_log=False)) as client:
        left = [case["case_id"] for case in client.get("/v1/care/cases").json()["cases"]]
    assert left == ["c", "b"]


def test_who_ranks_first_with_whom_they_brought_is_listed_without_the_erased(tmp_path: Path) -> None:
    ids = {"customer_id": [7, 8, 9], "rank_engaged": [2, 1, 3], "rank_by_value": [1, 2, 3]}
    table = pl.DataFrame(ids).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in ENGAGEMENT_SCHEMA.items() if name not in ids
    )
    write_sample(tmp_path / "v1", tables={"engagement": table.select(*ENGAGEMENT_SCHEMA)})
    promote_bundle(tmp_path, tmp_path / "v1", "test")

    def asked(question: str = "") -> list[str]:
        with running(Settings(runs=tmp_path, access_log=False)) as client:
            answer = client.get(f"/v1/care/engagement{question}")
        responses.Engaged.model_validate_json(answer.content)
        return [str(row["customer_id"]) for row in answer.json()["rows"]]

    assert asked() == ["8", "7", "9"]
    assert asked("?limit=2") == ["8", "7"]
    add_tombstone(tmp_path, "8")
    assert asked("?limit=2") == ["7", "9"]


DAY = [20, 30, 40, 60, 50, 40, 40, 50, 60, 40, 20, 10]


def test_staffing_of_work_that_can_wait(service: httpx.Client) -> None:
    items = {"leave": 0.10, "training": 0.04, "meetings": 0.05, "breaks": 0.12}
    question = {"arrivals": DAY, "promise_minutes": 60, "handling_seconds": 300, "shrinkage": items}
    answer = service.post("/v1/staffing", json=question | {"combine": "sequential"})
    responses.DeferredStaffing.model_validate_json(answer.content)
    plan = answer.json()
    assert (plan["agents"], plan["scheduled"], round(plan["longest_wait_minutes"], 1)) == (4, 6, 17.5)
    assert plan["shrinkage"] == pytest.approx(0.2777, abs=5e-5)
    assert len(plan["hours"]) == 12


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"contacts": 5, "arrivals": [5], "promise_minutes": 60},
        {"contacts": 5, "promise_minutes": 60},
        {"arrivals": [5]},
        {"arrivals": [], "promise_minutes": 60},
        {"arrivals": [5], "promise_minutes": 60, "shrinkage": {"a": 0.6, "b": 0.5}},
    ],
)
def test_staffing_that_cannot_be_is_refused(service: httpx.Client, question: dict[str, object]) -> None:
    answer = service.post("/v1/staffing", json=question)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:tributary:problems#invalid-request")


def test_what_if_without_a_promise_says_what_to_add(service: httpx.Client) -> None:
    answer = service.post("/v1/care/whatif", json={"share": 0.6})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tributary:problems#no-promise")
    assert "Add [[care.promises]]" in answer.json()["detail"]


def test_what_if_answers_with_its_figures_and_names_its_model(tmp_path: Path) -> None:
    naive = effect_row("spend", 3.0, 1.5, estimator="naive", estimand="ATE")
    asked = facts([effect_row("spend", 7.0, 2.0), effect_row("issues", 0.05, 0.01), naive])
    tables = {
        "care": asked.care,
        "cases": pl.concat([pl.DataFrame(schema=CASES_SCHEMA), asked.cases], how="diagonal_relaxed"),
        "effects": pl.concat([pl.DataFrame(schema=EFFECTS_SCHEMA), asked.effects], how="diagonal_relaxed"),
    }
    write_sample(
        tmp_path / "v1", tables=tables, configuration=asked.configuration, assumptions=asked.assumptions
    )
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    with running(Settings(runs=tmp_path, access_log=False)) as client:
        answer = client.post("/v1/care/whatif", json={"share": 0.64})
        responses.WhatIfAnswer.model_validate_json(answer.content)
        found = answer.json()
        assert (found["cases"], found["margin"]["value"]) == pytest.approx((600, 1890))
        drawn = client.get("/v1/care/lottery?share=0.2")
        responses.LotteryAnswer.model_validate_json(drawn.content)
        plan = drawn.json()
        assert (plan["in_time_now"], plan["in_time_priority"]) == (0.44, 1.0)
        assert [row["weeks"] for row in plan["by_weeks"]] == [2]
        for wrong in ("share=1", "share=0.2&outcome=margin", "promise=nobody%20made"):
            refused = client.get(f"/v1/care/lottery?{wrong}")
            assert (refused.status_code, refused.json()["type"]) == (
                422,
                "urn:tributary:problems#invalid-request",
            )
        beyond = client.post("/v1/care/whatif", json={"share": 0.8})
        assert (beyond.status_code, beyond.json()["type"]) == (422, "urn:tributary:problems#invalid-request")


def test_alerts_are_told_by_kind_and_channel(service: httpx.Client) -> None:
    (row,) = service.get("/v1/care/alerts?kind=volume&channel=chat").json()["rows"]
    assert (row["value"], row["limit"], row["period"]) == (31.0, 23.0, "2025-12-30")
    assert service.get("/v1/care/alerts?kind=decline").json()["rows"] == []
