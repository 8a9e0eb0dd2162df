"""The desk of London by hand: twelve posts, six cases, and every figure that can be said of them."""

from __future__ import annotations

import polars as pl
import pytest

from care.figures import care_figures
from care.queue import case_rows, with_ranks
from care.tables import CASES_SCHEMA
from tests.care.desks import cases_of, desk_of, figure, posts

CASES = cases_of(posts())
DESK = desk_of(CASES)
FIGURES = care_figures(DESK)


def test_seven_posts_of_customers_are_six_cases() -> None:
    found = CASES.cases.select("case_id", "turns", "needs_reply")
    assert sorted(found.rows()) == [
        ("post:p1", 2, True),
        ("post:p10", 1, True),
        ("post:p12", 1, True),
        ("post:p6", 1, False),
        ("post:p7", 1, True),
        ("post:p8", 1, True),
    ]
    assert DESK.frame.filter(pl.col("repeat_of").is_not_null())["journey_id"].to_list() == ["post:p12"]


@pytest.mark.parametrize(
    ("kpi", "clock", "value", "n"),
    [
        ("listened", None, 6, 6),
        ("applicable", None, 5, 5),
        ("noise_rate", None, 1 / 6, 6),
        ("first_response_p50", "calendar", 950, 5),
        ("first_response_p50", "business", 30, 5),
        ("service_level", "calendar", 0.40, 5),
        ("service_level", "business", 0.60, 5),
        ("response_rate", None, 0.75, 4),
        ("ignored_rate", None, 0.25, 4),
        ("redirection_rate", None, 1 / 3, 3),
        ("redirection_completion", None, 1.0, 1),
        ("redirection_minutes", None, 15.0, 1),
        ("containment", None, 2 / 3, 3),
        ("repeat_rate", None, 0.2, 5),
        ("backlog", None, 2, 5),
    ],
)
def test_figure(kpi: str, clock: str | None, value: float, n: int) -> None:
    found = figure(FIGURES, kpi, clock)
    assert found["value"] == pytest.approx(value)
    assert found["n"] == n


def test_the_promise_has_its_interval_and_what_desks_show() -> None:
    calendar, business = (figure(FIGURES, "service_level", clock) for clock in ("calendar", "business"))
    assert (calendar["low"], calendar["high"]) == pytest.approx((0.118, 0.769), abs=5e-4)
    assert (business["low"], business["high"]) == pytest.approx((0.231, 0.882), abs=5e-4)
    assert calendar["as_tool"] == pytest.approx(2 / 3)
    assert (calendar["target"], calendar["attained"]) == (0.8, False)
    assert business["target"] is None, "the promise means the calendar"
    assert figure(FIGURES, "first_response_p50", "calendar")["as_tool"] == 30


def test_what_no_table_gives_is_absent_with_its_reason_and_never_nought() -> None:
    found = figure(FIGURES, "first_contact_resolution")
    assert found["value"] is None
    assert found["reason"] == "needs resolved_at or resolution_minutes, which no table gives"


def test_a_quantile_that_is_not_reached_says_how_far_the_curve_comes() -> None:
    found = figure(FIGURES, "first_response_p90", "calendar")
    assert found["value"] is None
    assert str(found["reason"]).startswith("60% answered by the end")


def test_the_waiting_curve_stands_with_and_without_the_open_cases() -> None:
    found = figure(FIGURES, "waiting_curve", "calendar", segment="waiting: 60")
    assert (found["value"], found["as_tool"]) == pytest.approx((0.6, 1 / 3))


def test_the_table_of_cases_has_no_text_and_every_state() -> None:
    table = with_ranks(case_rows(CASES, DESK).lazy()).collect()
    assert table.schema.names() == list(CASES_SCHEMA)
    states = dict(table.select("case_id", "status").rows())
    assert states == {
        "post:p1": "answered", "post:p6": "noise", "post:p10": "answered", "post:p7": "open",
        "post:p8": "answered", "post:p12": "open",
    }  # fmt: skip
    waited = dict(table.select("case_id", "waiting_minutes").drop_nulls().rows())
    assert waited == {"post:p7": 6190.0, "post:p12": 2160.0}
    first = table.filter(pl.col("case_id") == "post:p1").row(0, named=True)
    assert (first["first_response_minutes"], first["redirection_target"]) == (20.0, "private message")
