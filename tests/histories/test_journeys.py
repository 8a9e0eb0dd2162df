"""Which touches belong to which purchase, and which paths led to none."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from histories.errors import ConfigError
from histories.journeys import count_paths, paths_from_table, walk_journeys
from histories.timeline import JourneyWindow

END = date(2026, 12, 31)
MONTH = JourneyWindow(lookback_days=30, observation_end=END)


def touches(*rows: tuple[int, str, str]) -> pl.LazyFrame:
    """Rows of customer, time, channel; a time without hours is known by its date only."""
    return pl.LazyFrame(
        {
            "customer_id": pl.Series([row[0] for row in rows], dtype=pl.Int64),
            "timestamp": pl.Series([datetime.fromisoformat(row[1]) for row in rows], dtype=pl.Datetime("us")),
            "channel": pl.Series([row[2] for row in rows], dtype=pl.String),
            "date_only": pl.Series([len(row[1]) == 10 for row in rows], dtype=pl.Boolean),
            "view": pl.Series([row[2].startswith("seen") for row in rows], dtype=pl.Boolean),
        }
    )


def purchases(*rows: tuple[int, str, int]) -> pl.LazyFrame:
    """Rows of customer, time, amount in the currency."""
    return pl.LazyFrame(
        {
            "customer_id": pl.Series([row[0] for row in rows], dtype=pl.Int64),
            "timestamp": pl.Series([datetime.fromisoformat(row[1]) for row in rows], dtype=pl.Datetime("us")),
            "amount": pl.Series([row[2] * 10_000 for row in rows], dtype=pl.Int64),
        }
    )


def found(
    seen: pl.LazyFrame, bought: pl.LazyFrame, *, lookback_days: float = 30, **options: Any
) -> list[tuple[str, bool]]:
    """Paths as text, with whether they converted, by customer and end (null paths first)."""
    window = JourneyWindow(observation_end=END, lookback_days=lookback_days, **options)
    journeys = walk_journeys(seen, bought, window).journeys.sort("customer_id", "end", "converted").collect()
    return [(" > ".join(path), converted) for path, converted in journeys.select("path", "converted").rows()]


BUY = purchases((1, "2026-03-10 12:00", 50))
NO_PURCHASE = purchases()

TABLE: dict[str, tuple[pl.LazyFrame, pl.LazyFrame, list[tuple[str, bool]]]] = {
    "touches before a purchase are its journey, in time": (
        touches((1, "2026-03-09 12:00", "b"), (1, "2026-03-01 12:00", "a"), (1, "2026-03-10 11:59", "a")),
        BUY,
        [("a > b > a", True)],
    ),
    "a purchase without touches is untouched": (touches(), BUY, [("", True)]),
    "a touch at the very time of the purchase is not before it": (
        touches((1, "2026-03-10 12:00", "a")),
        BUY,
        [("a", False), ("", True)],
    ),
    "a touch as old as the lookback counts": (touches((1, "2026-02-08 12:00", "a")), BUY, [("a", True)]),
    "an older one is a path of its own": (
        touches((1, "2026-02-08 11:59", "a")),
        BUY,
        [("a", False), ("", True)],
    ),
    "a touch known by its date does not count on the day of the purchase": (
        touches((1, "2026-03-09", "a"), (1, "2026-03-10", "b")),
        BUY,
        [("a", True), ("b", False)],
    ),
    "each touch belongs to the next purchase only": (
        touches((1, "2026-03-09 12:00", "a"), (1, "2026-03-11 12:00", "b")),
        purchases((1, "2026-03-10 12:00", 50), (1, "2026-03-12 12:00", 20)),
        [("a", True), ("b", True)],
    ),
    "a second purchase after no further touch is untouched": (
        touches((1, "2026-03-09 12:00", "a")),
        purchases((1, "2026-03-10 12:00", 50), (1, "2026-03-12 12:00", 20)),
        [("a", True), ("", True)],
    ),
    "touches with gaps within the lookback are one null path": (
        touches((1, "2026-01-01 12:00", "a"), (1, "2026-01-31 12:00", "b"), (1, "2026-03-20 12:00", "c")),
        NO_PURCHASE,
        [("a > b", False), ("c", False)],
    ),
    "a purchase ends a null path even when it is too late for it": (
        touches((1, "2026-01-01 12:00", "a"), (1, "2026-02-25 12:00", "b")),
        purchases((1, "2026-02-20 12:00", 50)),
        [("a", False), ("", True), ("b", False)],
    ),
    "a touch that leads to a converting one but is too early lies outside": (
        touches((1, "2026-02-01 12:00", "early"), (1, "2026-02-20 12:00", "a")),
        BUY,
        [("a", True)],
    ),
    "a path whose lookback is not over at the end is left out": (
        touches((1, "2026-12-01 23:59", "over"), (2, "2026-12-02 00:00", "open")),
        NO_PURCHASE,
        [("over", False)],
    ),
    "customers are never mixed": (
        touches((2, "2026-03-09 12:00", "a")),
        BUY,
        [("", True), ("a", False)],
    ),
    "touches of one instant come in the order of their channels": (
        touches((1, "2026-03-09 12:00", "b"), (1, "2026-03-09 12:00", "a")),
        BUY,
        [("a > b", True)],
    ),
    "what was only seen takes no part": (touches((1, "2026-03-09 12:00", "seen")), BUY, [("", True)]),
}


@pytest.mark.parametrize("case", TABLE)
def test_journeys(case: str) -> None:
    seen, bought, expected = TABLE[case]
    assert found(seen, bought) == expected


def test_views_take_part_when_told() -> None:
    assert found(touches((1, "2026-03-09 12:00", "seen")), BUY, views=True) == [("seen", True)]


def test_excluded_channels_take_no_part() -> None:
    seen = touches((1, "2026-03-09 12:00", "coupon"), (1, "2026-03-08 12:00", "a"))
    assert found(seen, BUY, exclude=["coupon"]) == [("a", True)]


def test_unique_channels_keep_the_first_touch_of_each() -> None:
    moments = ["2026-03-05 12:00", "2026-03-06 12:00", "2026-03-07 12:00", "2026-03-08 12:00"]
    seen = touches(*((1, moment, channel) for moment, channel in zip(moments, "abca", strict=True)))
    assert found(seen, BUY, unique_channels=True) == [("a > b > c", True)]


def test_a_journey_carries_its_value_and_a_null_path_none() -> None:
    seen = touches((1, "2026-03-09 12:00", "a"), (1, "2026-05-01 12:00", "b"))
    journeys = walk_journeys(seen, BUY, MONTH).journeys.sort("end").collect()
    assert journeys["value"].to_list() == [50.0, 0.0]
    assert journeys["start"].to_list() == [datetime(2026, 3, 9, 12), datetime(2026, 5, 1, 12)]
    assert journeys["end"].to_list() == [datetime(2026, 3, 10, 12), datetime(2026, 5, 1, 12)]
    assert journeys["journey_id"].n_unique() == 2


def test_touches_of_journeys_know_their_place_and_distance() -> None:
    seen = touches((1, "2026-03-09 12:00", "a"), (1, "2026-03-10 10:30", "b"), (1, "2026-05-01 12:00", "c"))
    rows = walk_journeys(seen, BUY, MONTH).touches.sort("timestamp").collect()
    assert rows.select("channel", "position", "n_touches", "hours_before", "converted", "value").rows() == [
        ("a", 0, 2, 24.0, True, 50.0),
        ("b", 1, 2, 1.5, True, 50.0),
        ("c", 0, 1, 0.0, False, 0.0),
    ]
    journeys = walk_journeys(seen, BUY, MONTH).journeys.collect()
    assert set(rows["journey_id"]) == set(journeys["journey_id"])


def test_paths_are_counted_with_value_and_nulls() -> None:
    seen = touches(
        (1, "2026-03-09 12:00", "a"), (2, "2026-03-09 12:00", "a"), (3, "2026-03-09 12:00", "a > b")
    )
    bought = purchases((1, "2026-03-10 12:00", 50), (3, "2026-03-10 12:00", 7), (4, "2026-03-10 12:00", 1))
    journeys = walk_journeys(seen, bought, MONTH).journeys
    assert count_paths(journeys).collect().rows() == [
        ([], 1, 1.0, 0),
        (["a"], 1, 50.0, 1),
        (["a > b"], 1, 7.0, 0),
    ]


def test_a_table_of_paths_has_the_same_form() -> None:
    table = pl.LazyFrame({"path": ["a > b", "a>b", "a"], "conversions": [2, 1, 0], "nulls": [5, None, 3]})
    assert paths_from_table(table).collect().rows() == [(["a"], 0, 0.0, 3), (["a", "b"], 3, 0.0, 5)]


def test_every_purchase_is_counted_somewhere() -> None:
    seen = touches(
        (1, "2026-02-01 12:00", "early"),
        (1, "2026-02-20 12:00", "a"),
        (2, "2026-04-01 12:00", "a"),
        (3, "2026-12-20 12:00", "open"),
    )
    bought = purchases((1, "2026-03-10 12:00", 50), (2, "2026-03-10 12:00", 1))
    counts = walk_journeys(seen, bought, MONTH).counts
    assert counts is not None
    assert (counts.conversions, counts.untouched, counts.null_paths) == (1, 1, 1)
    assert counts.open_windows == 1
    assert (counts + counts).conversions == 2


def test_a_lookback_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="lookback_days is 0; allowed: above 0"):
        JourneyWindow(lookback_days=0, observation_end=END)


def test_text_and_number_ids_give_the_same_journeys() -> None:
    seen = touches(*((row % 5, f"2026-03-{row % 27 + 1:02} 12:00", "abc"[row % 3]) for row in range(60)))
    bought = purchases(*((row % 5, f"2026-03-{row % 25 + 2:02} 15:00", row) for row in range(0, 60, 7)))
    as_text = [frame.with_columns(pl.col("customer_id").cast(pl.String)) for frame in (seen, bought)]
    assert found(*as_text, lookback_days=2) == found(seen, bought, lookback_days=2)


def test_the_walk_agrees_with_the_definition_word_by_word() -> None:
    """Against a slow reading of the definition, on touches and purchases dense enough for every case."""
    rng = pl.Series(range(400)).hash(seed=3)
    start = datetime(2026, 1, 1)
    moments = [start + timedelta(hours=int(value % 8000)) for value in rng]
    seen = [
        (int(value // 7 % 4), moment, "abcd"[value % 4]) for value, moment in zip(rng, moments, strict=True)
    ]
    bought = [(int(value // 11 % 4), start + timedelta(hours=int(value // 13 % 8000))) for value in rng[:60]]
    lookback = timedelta(days=2)
    frames = (
        touches(*((who, str(when), what) for who, when, what in seen)),
        purchases(*((who, str(when), 1) for who, when in sorted(set(bought)))),
    )
    expected = sorted(_by_definition(seen, sorted(set(bought)), lookback))
    journeys = walk_journeys(*frames, JourneyWindow(lookback_days=2, observation_end=END)).journeys.collect()
    assert sorted(journeys.select("customer_id", "converted", "path").rows()) == expected


def _by_definition(
    seen: list[tuple[int, datetime, str]], bought: list[tuple[int, datetime]], lookback: timedelta
) -> list[tuple[int, bool, list[str]]]:
    journeys = []
    for who in range(4):
        own = sorted((when, what) for name, when, what in seen if name == who)
        ends = sorted(when for name, when in bought if name == who)
        for place, end in enumerate(ends):
            after = ends[place - 1] if place else datetime.min
            path = [what for when, what in own if after <= when < end and end - when <= lookback]
            journeys.append((who, True, path))
        run: list[str] = []
        for place, (when, what) in enumerate(own):
            run.append(what)
            following = own[place + 1][0] if place + 1 < len(own) else None
            is_cut = any(when < end <= following for end in ends) if following else True
            if following and not is_cut and following - when <= lookback:
                continue
            if not any(when < end <= when + lookback for end in ends):
                journeys.append((who, False, run))
            run = []
    return journeys
