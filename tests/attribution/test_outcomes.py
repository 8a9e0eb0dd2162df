"""Journeys towards repeat purchases and retention, sessions, and lives."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.lives import contractual_lives, lapse_lives
from attribution.outcomes import JourneySet, repeat_purchase_journeys, retention_journeys
from attribution.sessions import merge_sessions
from histories.errors import DataError
from histories.journeys import count_paths

TOUCHES = {
    "customer_id": pl.Int64,
    "timestamp": pl.Datetime("us"),
    "channel": pl.String,
    "date_only": pl.Boolean,
}
PURCHASES = {"customer_id": pl.Int64, "timestamp": pl.Datetime("us"), "amount": pl.Int64}


def day(n: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, 1) + timedelta(days=n, hours=hour)


def touched(*rows: tuple[int, datetime, str]) -> pl.LazyFrame:
    return pl.LazyFrame([(*row, False) for row in rows], schema=TOUCHES, orient="row")


def bought(*rows: tuple[int, datetime, int]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema=PURCHASES, orient="row")


def paths_of(made: JourneySet) -> list[tuple[list[str], int, float, int]]:
    return count_paths(made.journeys).collect().rows()


def test_a_repeat_purchase_in_time_converts_the_touches_between() -> None:
    touches = touched(
        (1, day(0), "a"), (1, day(2), "b"), (1, day(4), "c"), (1, day(10), "a"), (1, day(50), "d")
    )
    made = repeat_purchase_journeys(
        touches,
        bought((1, day(0), 10_000), (1, day(10), 20_000)),
        window_days=30,
        observation_end=date(2026, 12, 31),
    )
    assert paths_of(made) == [([], 0, 0.0, 1), (["b", "c"], 1, 2.0, 0)]


def test_a_purchase_whose_window_is_still_open_takes_no_part_even_if_repeated() -> None:
    made = repeat_purchase_journeys(
        touched((1, day(2), "b")),
        bought((1, day(0), 10_000), (1, day(10), 20_000)),
        window_days=30,
        observation_end=date(2026, 1, 20),
    )
    assert paths_of(made) == []


def test_a_touch_known_by_its_day_does_not_count_towards_a_purchase_of_that_day() -> None:
    touches = touched((1, day(10), "a")).with_columns(date_only=pl.lit(True))
    purchases = bought((1, day(0), 10_000), (1, day(10, hour=12), 20_000))
    made = repeat_purchase_journeys(touches, purchases, window_days=30, observation_end=date(2026, 12, 31))
    assert paths_of(made) == [([], 1, 2.0, 0), (["a"], 0, 0.0, 1)]


def test_a_customer_has_one_journey_a_month_and_a_null_path_in_the_last() -> None:
    customers = pl.LazyFrame(
        {"customer_id": [1, 2], "acquired_at": [date(2026, 1, 5)] * 2, "ended_at": [None, date(2026, 2, 10)]}
    )
    lives = contractual_lives(customers, observation_end=date(2026, 4, 15))
    touches = touched(
        (1, day(3), "a"),
        (1, day(40), "b"),
        (2, day(33), "a"),
        (2, day(34), "c"),
        (2, day(45), "late"),
        (1, day(95), "x"),
    )
    made = retention_journeys(touches, lives.frame, period="month", observation_end=lives.until)
    assert paths_of(made) == [
        ([], 2, 0.0, 0),
        (["a"], 1, 0.0, 0),
        (["a", "c"], 0, 0.0, 1),
        (["b"], 1, 0.0, 0),
    ]
    rows = made.touches.collect().sort("timestamp")
    assert rows["channel"].to_list() == ["a", "a", "c", "b"]
    assert rows["n_touches"].to_list() == [1, 2, 2, 1]
    assert rows["hours_before"].to_list() == [28 * 24, 8 * 24, 7 * 24, 18 * 24 + 24.0]


def test_without_contracts_a_customer_is_gone_after_a_long_gap_and_the_last_window_is_left_out() -> None:
    purchases = bought(
        (1, day(0), 1),
        (1, day(10), 1),
        (1, day(20), 1),
        (2, day(0), 1),
        (2, day(10), 1),
        (3, day(5), 1),
        (3, day(95), 1),
    )
    lives = lapse_lives(purchases, observation_end=date(2026, 4, 30), share_of_gaps=0.5)
    assert lives.window_days == 10.0
    assert lives.until == date(2026, 4, 20)
    assert lives.frame.collect().sort("customer_id").rows() == [
        (1, date(2026, 1, 1), date(2026, 1, 21)),
        (2, date(2026, 1, 1), date(2026, 1, 11)),
        (3, date(2026, 1, 6), date(2026, 4, 6)),
    ]


def test_single_purchases_tell_nothing_of_leaving() -> None:
    with pytest.raises(DataError, match="no customer bought twice"):
        lapse_lives(bought((1, day(0), 1), (2, day(0), 1)), observation_end=date(2026, 4, 30))


def test_touches_of_one_channel_within_a_session_count_once() -> None:
    touches = touched(
        (1, day(0, 0), "a"),
        (1, day(0, 1), "a"),
        (1, day(0, 2), "a"),
        (1, day(0, 1), "b"),
        (1, day(0, 9), "a"),
        (2, day(0, 1), "a"),
    )
    merged = merge_sessions(touches, minutes=60).collect().sort("customer_id", "timestamp", "channel")
    assert merged.select("customer_id", "timestamp", "channel").rows() == [
        (1, day(0, 0), "a"),
        (1, day(0, 1), "b"),
        (1, day(0, 9), "a"),
        (2, day(0, 1), "a"),
    ]
    assert merge_sessions(touches, minutes=0).collect().height == 6
    by_day = touches.with_columns(date_only=pl.lit(True))
    assert merge_sessions(by_day, minutes=60).collect().height == 6


events = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 120), st.sampled_from("abc")), max_size=25)


@settings(max_examples=25, deadline=None)
@given(
    touches=events, sales=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 120)), min_size=1, unique=True)
)
def test_journeys_do_not_depend_on_row_order_or_on_how_customers_are_split(
    touches: list[tuple[int, int, str]], sales: list[tuple[int, int]]
) -> None:
    def paths(customers: list[int], reverse: bool) -> pl.DataFrame:
        step = -1 if reverse else 1
        rows = [(c, day(d), channel) for c, d, channel in touches[::step] if c in customers]
        buys = [(c, day(d), 10_000) for c, d in sales[::step] if c in customers]
        window = {"window_days": 20.0, "observation_end": date(2026, 5, 31)}
        return count_paths(
            repeat_purchase_journeys(touched(*rows), bought(*buys), **window).journeys
        ).collect()

    whole = paths([1, 2, 3, 4], reverse=False)
    parts = pl.concat([paths([1, 3], reverse=True), paths([2, 4], reverse=False)])
    key = pl.col("path").list.join(">").alias("key")
    columns = pl.col("conversions", "value", "nulls").sum()
    merged, again = (frame.group_by(key).agg(columns).sort("key") for frame in (parts, whole))
    assert merged.equals(again)
