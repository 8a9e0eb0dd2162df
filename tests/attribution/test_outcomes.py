"""Journeys towards repeat purchases; sessions."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.paths.walks import merge_sessions, walk_repeat_purchases
from histories.journeys import JourneyWalk, count_paths
from histories.timeline import JourneyWindow

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


def until(end: date, **choices: Any) -> JourneyWindow:
    """All that is asked of the window; the lookback plays no part."""
    return JourneyWindow(lookback_days=1, observation_end=end, **choices)


def paths_of(made: JourneyWalk) -> list[tuple[list[str], int, float, int]]:
    return count_paths(made.journeys).collect().rows()


def test_a_repeat_purchase_in_time_converts_the_touches_between() -> None:
    touches = touched(
        (1, day(0), "a"), (1, day(2), "b"), (1, day(4), "c"), (1, day(10), "a"), (1, day(50), "d")
    )
    made = walk_repeat_purchases(
        touches,
        bought((1, day(0), 10_000), (1, day(10), 20_000)),
        until(date(2026, 12, 31)),
        window_days=30,
    )
    assert paths_of(made) == [([], 0, 0.0, 1), (["b", "c"], 1, 2.0, 0)]


def test_a_purchase_whose_window_is_still_open_takes_no_part_even_if_repeated() -> None:
    made = walk_repeat_purchases(
        touched((1, day(2), "b")),
        bought((1, day(0), 10_000), (1, day(10), 20_000)),
        until(date(2026, 1, 20)),
        window_days=30,
    )
    assert paths_of(made) == []


def test_a_touch_known_by_its_day_does_not_count_towards_a_purchase_of_that_day() -> None:
    touches = touched((1, day(10), "a")).with_columns(date_only=pl.lit(True))
    purchases = bought((1, day(0), 10_000), (1, day(10, hour=12), 20_000))
    made = walk_repeat_purchases(touches, purchases, until(date(2026, 12, 31)), window_days=30)
    assert paths_of(made) == [([], 1, 2.0, 0), (["a"], 0, 0.0, 1)]


def test_views_repeats_and_excluded_channels_are_left_out_when_asked() -> None:
    touches = touched((1, day(1), "a"), (1, day(2), "b"), (1, day(3), "a"), (1, day(4), "c")).with_columns(
        view=pl.col("channel") == "c"
    )
    purchases = bought((1, day(0), 10_000), (1, day(10), 20_000))

    def path(**choices: Any) -> list[str]:
        window = until(date(2026, 1, 31), **choices)
        return paths_of(walk_repeat_purchases(touches, purchases, window, window_days=30))[0][0]

    assert path() == ["a", "b", "a"]
    assert path(views=True) == ["a", "b", "a", "c"]
    assert path(unique_channels=True) == ["a", "b"]
    assert path(exclude=["a"]) == ["b"]


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
        window = until(date(2026, 5, 31))
        walk = walk_repeat_purchases(touched(*rows), bought(*buys), window, window_days=20)
        return count_paths(walk.journeys).collect()

    whole = paths([1, 2, 3, 4], reverse=False)
    parts = pl.concat([paths([1, 3], reverse=True), paths([2, 4], reverse=False)])
    key = pl.col("path").list.join(">").alias("key")
    columns = pl.col("conversions", "value", "nulls").sum()
    merged, again = (frame.group_by(key).agg(columns).sort("key") for frame in (parts, whole))
    assert merged.equals(again)
