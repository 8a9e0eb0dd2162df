"""One journey per customer and period, null when the customer left in it."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from histories.errors import DataError
from histories.retention import (
    build_contract_lives,
    build_contract_periods,
    build_repeat_lives,
    build_repeat_periods,
    count_gaps,
    lapse_window_days,
    walk_lives,
    walk_retention,
)
from histories.timeline import JourneyWindow

END = date(2026, 6, 30)
WINDOW = JourneyWindow(lookback_days=1, observation_end=END)


def purchases(*rows: tuple[int, str]) -> pl.LazyFrame:
    days = [datetime.fromisoformat(row[1]) for row in rows]
    return pl.LazyFrame({"customer_id": [row[0] for row in rows], "timestamp": days}).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us")), pl.col("timestamp").dt.date().alias("date")
    )


def months(periods: pl.LazyFrame) -> list[tuple[int, int, bool]]:
    """Customer, month and whether retained."""
    rows = periods.select("customer_id", pl.col("start").dt.month().cast(pl.Int64), "retained")
    return sorted(rows.collect().rows())


def test_a_lapsed_customer_left_in_the_month_of_the_last_purchase() -> None:
    bought = purchases((1, "2026-01-10"), (1, "2026-03-10"), (2, "2026-04-20"))
    periods = build_repeat_periods(bought, observation_end=END, lapse_days=30)
    assert months(periods) == [(1, 1, True), (1, 2, True), (1, 3, False), (2, 4, False)]


def test_a_buyer_within_the_window_is_retained_in_every_judged_month() -> None:
    bought = purchases((1, "2026-01-10"), (1, "2026-06-10"))
    periods = build_repeat_periods(bought, observation_end=END, lapse_days=30)
    assert months(periods) == [(1, month, True) for month in range(1, 6)]


def test_months_too_late_for_the_window_are_not_judged() -> None:
    periods = build_repeat_periods(purchases((1, "2026-06-01")), observation_end=END, lapse_days=30)
    assert months(periods) == []


def test_a_contract_says_when_a_customer_left() -> None:
    customers = pl.LazyFrame(
        {
            "customer_id": [1, 2, 3],
            "acquired_at": [date(2026, 4, 15), date(2026, 5, 1), date(2026, 7, 1)],
            "ended_at": [date(2026, 5, 20), None, None],
        }
    )
    periods = build_contract_periods(customers, observation_end=END)
    assert months(periods) == [(1, 4, True), (1, 5, False), (2, 5, True), (2, 6, True)]


def test_an_end_after_the_observation_is_not_known_yet() -> None:
    customers = pl.LazyFrame(
        {"customer_id": [1], "acquired_at": [date(2026, 5, 1)], "ended_at": [date(2026, 8, 1)]}
    )
    assert months(build_contract_periods(customers, observation_end=END)) == [(1, 5, True), (1, 6, True)]


def test_the_path_of_a_month_holds_its_touches_only() -> None:
    periods = build_repeat_periods(
        purchases((1, "2026-02-10"), (1, "2026-03-10"), (2, "2026-03-05")), observation_end=END, lapse_days=30
    )
    touches = pl.LazyFrame(
        {
            "customer_id": [1, 1, 1, 2, 1],
            "timestamp": [
                datetime(2026, 1, 31, 23),
                datetime(2026, 2, 1),
                datetime(2026, 2, 28, 23, 59),
                datetime(2026, 3, 31, 23, 59),
                datetime(2026, 4, 1),
            ],
            "channel": ["before", "a", "b", "c", "after"],
        }
    )
    journeys = walk_retention(touches, periods, WINDOW).journeys.sort("customer_id", "end").collect()
    assert journeys.select("customer_id", "path", "converted").rows() == [
        (1, ["a", "b"], True),
        (1, [], False),
        (2, ["c"], False),
    ]
    placed = walk_retention(touches, periods, WINDOW).touches.sort("timestamp").collect()
    assert placed.select("channel", "position", "n_touches", "converted").rows() == [
        ("a", 0, 2, True),
        ("b", 1, 2, True),
        ("c", 0, 1, False),
    ]
    assert set(placed["journey_id"]) <= set(journeys["journey_id"])


@pytest.mark.parametrize(
    ("period", "starts"),
    [
        ("week", [date(2026, 3, 2), date(2026, 3, 9)]),
        ("month", [date(2026, 3, 1)]),
        ("quarter", [date(2026, 1, 1)]),
    ],
)
def test_calendar_periods(period: str, starts: list[date]) -> None:
    bought = purchases((1, "2026-03-04"), (1, "2026-03-12"))
    periods = build_repeat_periods(bought, observation_end=END, lapse_days=30, period=period).collect()
    assert sorted(periods["start"].dt.date()) == starts


def test_the_lapse_window_holds_nineteen_of_twenty_gaps() -> None:
    days = [date(2026, 1, 1).toordinal()]
    for gap in [*range(1, 20), 60]:
        days.append(days[-1] + gap)
    gaps = count_gaps(purchases(*((1, date.fromordinal(day).isoformat()) for day in days))).collect()
    assert gaps["gaps"].sum() == 20
    assert lapse_window_days(gaps) == 19
    assert lapse_window_days(gaps, share=1.0) == 60


def test_without_a_second_purchase_there_is_no_lapse_window() -> None:
    gaps = count_gaps(purchases((1, "2026-01-01"), (2, "2026-02-01"))).collect()
    with pytest.raises(DataError, match="No customer bought twice"):
        lapse_window_days(gaps)


def test_the_path_of_a_life_holds_all_its_touches_and_counts_one_customer() -> None:
    customers = pl.LazyFrame(
        {
            "customer_id": [1, 2, 3],
            "acquired_at": [date(2026, 2, 1)] * 3,
            "ended_at": [None, date(2026, 4, 10), date(2026, 8, 1)],
        }
    )
    touches = pl.LazyFrame(
        {
            "customer_id": [1, 1, 1, 2, 2, 2],
            "timestamp": [
                datetime(2026, 1, 31, 23),
                datetime(2026, 2, 1),
                datetime(2026, 6, 30, 23, 59),
                datetime(2026, 4, 10, 23, 59),
                datetime(2026, 4, 11),
                datetime(2026, 3, 1),
            ],
            "channel": ["before", "a", "b", "c", "after", "d"],
        }
    )
    walk = walk_lives(touches, build_contract_lives(customers, observation_end=END), WINDOW)
    assert walk.journeys.sort("customer_id").select("customer_id", "path", "converted").collect().rows() == [
        (1, ["a", "b"], True),
        (2, ["d", "c"], False),
        (3, [], True),
    ]
    placed = (
        walk.touches.sort("customer_id", "timestamp").select("channel", "position", "converted").collect()
    )
    assert placed.rows() == [("a", 0, True), ("b", 1, True), ("d", 0, False), ("c", 1, False)]


def test_a_life_without_a_contract_ends_with_the_last_purchase_before_a_lapse() -> None:
    bought = purchases((1, "2026-02-10"), (1, "2026-06-20"), (2, "2026-03-05"))
    lives = build_repeat_lives(bought, observation_end=END, lapse_days=30).sort("customer_id").collect()
    assert lives.rows() == [
        (1, datetime(2026, 2, 10), datetime(2026, 7, 1), True),
        (2, datetime(2026, 3, 5), datetime(2026, 3, 6), False),
    ]
