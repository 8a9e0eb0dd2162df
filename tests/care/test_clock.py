"""Clocks by hand: daylight saving, nights, closed days."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from care.clock import BusinessClock, calendar_seconds, to_instants
from care.settings import Hours

LONDON = Hours(zone="Europe/London")


def _at(text: str) -> pl.Series:
    return pl.Series([dt.datetime.fromisoformat(text)]).dt.replace_time_zone("UTC")


def _minutes(start: str, end: str, hours: Hours = LONDON) -> tuple[int, int]:
    a, b = _at(start), _at(end)
    clock = BusinessClock.spanning(hours, a, b)
    return calendar_seconds(a, b)[0] // 60, clock.seconds(a, b)[0] // 60


def test_a_weekend_over_the_start_of_summer_time_counts_real_time() -> None:
    """Friday 17:00 (closes 17:30 GMT) to Monday 08:30 UTC, which is 9:30 in summer time."""
    assert _minutes("2026-03-27 17:00", "2026-03-30 08:30") == (3810, 60)


def test_a_night_has_no_open_minute() -> None:
    assert _minutes("2026-03-03 22:00", "2026-03-04 06:00") == (480, 0)


def test_a_message_outside_hours_starts_to_wait_when_they_begin() -> None:
    assert _minutes("2026-03-02 17:20", "2026-03-03 09:10") == (950, 20)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"closed": (dt.date(2026, 3, 3),)}, 10 + 0),
        ({"also": {"tuesday": "8:00-12:00"}}, 10 + 70),
        ({"from": "22:00", "to": "6:00"}, 480),
        ({"from": "22:00", "to": "6:00", "also": {"tuesday": "4:00-12:00"}}, 670),  # 4 to 6 counts once
        ({"days": ("sat",)}, 0),
    ],
)
def test_other_hours(change: dict[str, object], expected: int) -> None:
    hours = Hours(zone="Europe/London", **change)  # type: ignore[arg-type]
    assert _minutes("2026-03-02 17:20", "2026-03-03 09:10", hours)[1] == expected


def test_local_times_of_the_hour_that_never_was_and_came_twice_are_instants() -> None:
    local = pl.Series([dt.datetime(2026, 3, 29, 1, 30), dt.datetime(2026, 10, 25, 1, 30), None])
    found = to_instants(local, "Europe/London").to_list()
    assert [moment and moment.isoformat() for moment in found] == [
        "2026-03-29T01:30:00+00:00",
        "2026-10-25T00:30:00+00:00",
        None,
    ]


def test_a_wait_across_the_hour_that_came_twice_is_an_hour_longer_than_the_wall_clock_says() -> None:
    local = pl.Series([dt.datetime(2026, 10, 25, 0, 30), dt.datetime(2026, 10, 25, 3, 0)])
    start, end = to_instants(local, "Europe/London")
    assert calendar_seconds(pl.Series([start]), pl.Series([end]))[0] == 210 * 60


@pytest.mark.parametrize("wrong", [{"zone": "Mars/Olympus"}, {"from": "25:00"}, {"to": "noon"}, {"days": ()}])
def test_hours_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"zone|time of day|never opens"):
        Hours(**wrong)  # type: ignore[arg-type]
