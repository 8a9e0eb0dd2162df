"""The ready configurations: twelve desks' exports, each in its own columns, against figures by hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import polars as pl
import pytest

from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import CarePart, care_part
from experiments.parts.histories import build_histories
from tests.care.desks import figure

EXAMPLES = Path(__file__).parents[2] / "examples" / "desks"


@cache
def _care(desk: str) -> CarePart:
    config = load_config(EXAMPLES / desk / "care.toml")
    inputs = read_inputs(config)
    assert not any(table.rejected_by_rule for table in inputs.tables.values())
    return care_part(config, build_histories(config, inputs))


@pytest.mark.parametrize(
    ("desk", "kpi", "clock", "value"),
    [
        ("twitter_support", "listened", None, 5),
        ("twitter_support", "noise_rate", None, 1 / 5),
        ("twitter_support", "service_level", "calendar", 2 / 4),  # 20 and 120 minutes; 16 hours; never
        ("twitter_support", "redirection_rate", None, 1 / 3),
        ("zendesk", "first_response_p50", "business", 50),
        ("zendesk", "service_level", "business", 3 / 4),
        ("zendesk", "service_level", "calendar", 2 / 4),
        ("zendesk", "csat", None, 1 / 2),
        ("zendesk", "resolution_p50", "calendar", 1440),
        ("zendesk", "reopen_rate", None, 1 / 2),
        ("intercom", "service_level", "calendar", 3 / 4),
        ("intercom", "repeat_rate", None, 1 / 4),
        ("intercom", "handovers", None, 1 / 3),
        ("intercom", "backlog", None, 1),
        ("salesforce", "listened", None, 3),  # the call belongs to the post that asked for it
        ("salesforce", "redirection_minutes", None, 50),
        ("salesforce", "escalation_rate", None, 1 / 3),
        ("hootsuite", "first_response_p50", "calendar", 120),
        ("hootsuite", "next_response_p50", "calendar", 30),
        ("hootsuite", "service_level", "calendar", 1 / 3),
        ("sprout", "applicable", None, 2),
        ("sprout", "service_level", "calendar", 1 / 2),
        ("sprout", "backlog", None, 2),
        ("shopify", "service_to_sales", None, 1 / 2),
        ("freshdesk", "service_level", "calendar", 2 / 4),  # 80 and 30 minutes; six hours; never
        ("freshdesk", "first_response_p50", "calendar", 80),
        ("freshdesk", "handling_time", None, (10 + 20.5 + 0 + 60) / 4),
        ("freshdesk", "csat", None, 1 / 2),
        ("reddit", "listened", None, 5),
        ("reddit", "applicable", None, 4),  # praise needs none
        ("reddit", "service_level", "calendar", 1 / 4),  # 30 minutes; a thread joined; two deleted authors
        ("reddit", "next_response_p50", "calendar", 60),
        ("reddit", "repeat_rate", None, 0),  # two deleted authors are not one who asks again
        ("zoho", "listened", None, 4),
        ("zoho", "service_level", "business", 2 / 4),  # 30 and 10 minutes; 90; never
        ("zoho", "first_response_p50", "business", 30),
        ("zoho", "resolution_p50", "business", 180),  # 150, 180, two still open
        ("zoho", "escalation_rate", None, 1 / 4),
        ("zoho", "reopen_rate", None, 1 / 2),
        ("zoho", "csat", None, 1 / 2),
        ("messages", "listened", None, 3),
        ("messages", "service_level", "calendar", 1 / 3),  # 30 minutes; three hours; never
        ("messages", "first_response_p50", "calendar", 180),
        ("google_play", "service_level", "calendar", 1 / 3),  # the last is still inside the promise
        ("google_play", "csat", None, 2 / 4),
        ("shopify", "service_level", "calendar", 1 / 2),
    ],
)
def test_figure_of_a_desk(desk: str, kpi: str, clock: str | None, value: float) -> None:
    assert figure(_care(desk).tables["care"], kpi, clock)["value"] == pytest.approx(value)


def test_robots_are_no_reply_at_hootsuite() -> None:
    case = _care("hootsuite").cases.collect().filter(pl.col("case_id") == "h1").row(0, named=True)
    assert case["first_response_minutes"] == 15
    assert case["first_automatic_at"] is not None


def test_who_is_redirected_at_salesforce_has_one_clock() -> None:
    cases = _care("salesforce").cases.collect()
    parts = cases.filter(pl.col("journey_id") == "500A1").sort("opened_at")
    assert parts["channel"].to_list() == ["Twitter", "Phone"]
    assert parts["redirection_target"].to_list() == ["phone", None]


def test_a_ticket_that_nobody_has_taken_has_no_agent() -> None:
    cases = _care("freshdesk").cases.collect()
    assert cases.filter(pl.col("case_id") == "1003")["agent"].to_list() == [None]


def test_the_most_visible_who_wait_are_named_at_sprout() -> None:
    cases = _care("sprout").cases.collect().filter(pl.col("status") == "open")
    reasons = dict(cases.select("case_id", "priority_reason").rows())
    assert reasons == {"post:s1": None, "post:s5": "22000 followers, angry"}


def test_deleted_authors_of_two_threads_are_two_and_links_with_their_kind_are_said_at_reddit() -> None:
    inputs = read_inputs(load_config(EXAMPLES / "reddit" / "care.toml"))
    told = "\n".join(inputs.notes)
    assert (
        "2 posts have an author who may be anybody (submissions.jsonl row 3, submissions.jsonl row 4" in told
    )
    assert 'replies name the kind of post before its id (first: "t3_1abc01")' in told
    assert "not in the file" not in told
