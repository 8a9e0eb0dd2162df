"""Days, weeks and agents: what is counted, what is a signal, and of whom nothing is said."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from care.agents import agent_funnel
from care.figures import care_figures
from care.promises import promise_figures
from care.settings import CareSettings, Promise
from care.view import Desk
from tests.care.desks import DESK_END, cases_of, desk_of, figure

HOUR = CareSettings(promises=(Promise(name="hour", within_minutes=60, share=0.5),))
START = dt.datetime(2025, 12, 1, 10, tzinfo=dt.UTC)  # a Monday


def _desk(shares: list[float], *, per_week: int = 20, settings: CareSettings = HOUR) -> Desk:
    """Weeks of cases by phone: a share answered within ten minutes, the rest in two hours."""
    rows = [
        {
            "case_id": f"{week}-{case}",
            "opened_at": START + dt.timedelta(weeks=week, minutes=case),
            "channel": "phone",
            "agent": f"agent {case % 2}",
            "first_response_at": START
            + dt.timedelta(weeks=week, minutes=case + (10 if case < share * per_week else 120)),
        }
        for week, share in enumerate(shares)
        for case in range(per_week)
    ]
    return desk_of(cases_of(None, settings, pl.DataFrame(rows)), settings, end=DESK_END)


def test_a_promise_is_won_by_day_and_week_and_has_a_streak() -> None:
    found = promise_figures(_desk([0.9, 0.4, 0.6, 0.5]))
    weeks = found.filter(pl.col("kpi") == "promise", pl.col("period").str.contains("W"))
    assert weeks["attained"].to_list() == [True, False, True, True]
    streak = found.filter(pl.col("kpi") == "promise_streak", pl.col("unit") == "weeks")
    assert streak["value"].to_list() == [2.0]


def test_a_week_outside_the_limits_of_the_weeks_before_is_a_signal() -> None:
    steady = [0.5, 0.55, 0.5, 0.45, 0.5, 0.55, 0.5, 0.45]
    found = promise_figures(_desk([*steady, 0.5, 0.9])).filter(pl.col("kpi") == "promise_limits")
    assert found["reason"].to_list() == [None, "a signal: outside of the limits"]
    mean, low, high = found.select("value", "low", "high").row(0)
    moved = np.abs(np.diff(steady)).mean() * 2.66
    assert (mean, low, high) == pytest.approx((0.5, 0.5 - moved, 0.5 + moved))


def test_noise_is_no_part_of_a_promise() -> None:
    rows = pl.DataFrame(
        {
            "case_id": ["a", "b"],
            "opened_at": [START, START],
            "channel": ["mail", "mail"],
            "needs_reply": [True, False],
            "first_response_at": [START + dt.timedelta(minutes=5), None],
        },
        schema_overrides={"first_response_at": pl.Datetime("us", "UTC")},
    )
    found = figure(
        promise_figures(desk_of(cases_of(None, HOUR, rows), HOUR)),
        "promise",
        "calendar",
        segment="promise: hour",
    )
    assert (found["value"], found["n"], found["coverage"], found["reason"]) == (1.0, 1, 1.0, None)


def test_agents_stand_in_a_funnel_around_what_is_expected_of_their_cases() -> None:
    """All even cases in time, no odd one, in the same hours: .5 expected of both, both far outside."""
    rows = pl.DataFrame(
        {
            "case_id": [str(case) for case in range(200)],
            "opened_at": [START] * 200,
            "channel": ["chat"] * 200,
            "agent": [f"agent {case % 2}" for case in range(160)] + ["agent 2"] * 20 + ["agent 3"] * 20,
            "first_response_at": [
                START + dt.timedelta(minutes=10 if case % 2 else 100) for case in range(200)
            ],
        }
    )
    found = agent_funnel(desk_of(cases_of(None, HOUR, rows), HOUR, end=DESK_END)).sort("segment")
    assert found["target"].to_list() == pytest.approx([0.5] * 4)
    assert found["attained"].to_list() == [False, False, None, None]
    assert found["reason"].to_list()[1:3] == ["outside the 99.8 % limits", "too few: 20 cases (30 or more)"]


def test_unknown_times_lower_the_coverage_and_are_not_censored() -> None:
    """Two answered within the hour, one resolved without a time of reply: median of the two, coverage 2/3."""
    rows = pl.DataFrame(
        {
            "case_id": ["a", "b", "c"],
            "opened_at": [START] * 3,
            "channel": ["mail"] * 3,
            "first_response_at": [START + dt.timedelta(minutes=m) for m in (10, 30)] + [None],
            "resolved_at": [START + dt.timedelta(hours=3)] * 3,
        }
    )
    cases = cases_of(None, HOUR, rows)
    found = figure(care_figures(desk_of(cases, HOUR)), "first_response_p50", "calendar")
    assert (found["value"], found["n"]) == (10.0, 2)
    assert found["coverage"] == pytest.approx(2 / 3)
