"""An answer does not depend on how customers are split, nor on the order of rows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from histories import (
    ConfigError,
    JourneyWindow,
    build_purchases,
    build_repeat_periods,
    build_touchpoints,
    by_partition,
    count_gaps,
    count_paths,
    partition_by_customer,
    walk_journeys,
    walk_retention,
)

END = date(2026, 3, 31)
START = datetime(2026, 1, 1)
WINDOW = JourneyWindow(lookback_days=3, observation_end=END)

# Times on a coarse grid, so that ties and equal rows are common.
moments = st.integers(0, 4 * 88).map(lambda step: START + timedelta(hours=6 * step))
customers = st.integers(0, 5)
transaction = st.tuples(customers, moments, st.integers(-30, 50), st.sampled_from(["a", "b", None]))
touch = st.tuples(customers, moments, st.sampled_from(["chat", "mail", "post"]), st.booleans())


def transactions_frame(rows: list[tuple[int, datetime, int, str | None]]) -> pl.LazyFrame:
    schema = {
        "customer_id": pl.Int64,
        "timestamp": pl.Datetime("us"),
        "amount": pl.Int64,
        "order_id": pl.String,
    }
    return pl.LazyFrame(rows, schema=schema, orient="row")


def touches_frame(rows: list[tuple[int, datetime, str, bool]]) -> pl.LazyFrame:
    schema = {
        "customer_id": pl.Int64,
        "timestamp": pl.Datetime("us"),
        "channel": pl.String,
        "date_only": pl.Boolean,
    }
    at = pl.col("timestamp")
    rows_read = pl.LazyFrame(rows, schema=schema, orient="row")
    return rows_read.with_columns(
        pl.when("date_only").then(at.dt.truncate("1d")).otherwise(at).alias("timestamp")
    )


def purchases_of(transactions: pl.LazyFrame, touches: pl.LazyFrame) -> pl.LazyFrame:
    return build_purchases(transactions)


def journeys_of(transactions: pl.LazyFrame, touches: pl.LazyFrame) -> pl.LazyFrame:
    return walk_journeys(build_touchpoints(touches), build_purchases(transactions), WINDOW).journeys


def journey_touches_of(transactions: pl.LazyFrame, touches: pl.LazyFrame) -> pl.LazyFrame:
    return walk_journeys(build_touchpoints(touches), build_purchases(transactions), WINDOW).touches


def retention_of(transactions: pl.LazyFrame, touches: pl.LazyFrame) -> pl.LazyFrame:
    periods = build_repeat_periods(build_purchases(transactions), observation_end=END, lapse_days=20)
    return walk_retention(build_touchpoints(touches), periods, WINDOW).journeys


FUNCTIONS = [purchases_of, journeys_of, journey_touches_of, retention_of]


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bought=st.lists(transaction, max_size=40),
    seen=st.lists(touch, max_size=40),
    order=st.randoms(use_true_random=False),
    buckets=st.sampled_from([2, 3]),
)
def test_histories_do_not_depend_on_split_or_order(
    function: Any, bought: list[Any], seen: list[Any], order: Any, buckets: int
) -> None:
    whole = function(transactions_frame(bought), touches_frame(seen)).collect()
    order.shuffle(bought)
    order.shuffle(seen)
    frames = {"transactions": transactions_frame(bought), "touches": touches_frame(seen)}
    parts = by_partition(function, frames, buckets=buckets)
    assert_frame_equal(parts, whole, check_row_order=False)


@settings(max_examples=12, deadline=None)
@given(bought=st.lists(transaction, max_size=40), seen=st.lists(touch, max_size=40))
def test_statistics_of_partitions_add_up(bought: list[Any], seen: list[Any]) -> None:
    frames = {"transactions": transactions_frame(bought), "touches": touches_frame(seen)}

    def gaps_of(transactions: pl.LazyFrame, touches: pl.LazyFrame) -> pl.LazyFrame:
        return count_gaps(build_purchases(transactions))

    def paths_of(transactions: pl.LazyFrame, touches: pl.LazyFrame) -> pl.LazyFrame:
        return count_paths(journeys_of(transactions, touches))

    gaps = by_partition(gaps_of, frames, buckets=3).group_by("days").agg(pl.col("gaps").sum()).sort("days")
    assert_frame_equal(gaps, gaps_of(**frames).collect())
    added = (
        by_partition(paths_of, frames, buckets=3)
        .group_by("path")
        .agg(pl.col("conversions", "value", "nulls").sum())
    )
    assert_frame_equal(added, paths_of(**frames).collect(), check_row_order=False)


def test_counts_of_partitions_add_up() -> None:
    seen = touches_frame([(row % 9, START + timedelta(hours=7 * row), "chat", False) for row in range(200)])
    bought = build_purchases(
        transactions_frame([(row % 9, START + timedelta(hours=31 * row), 5, None) for row in range(60)])
    )
    whole = walk_journeys(seen, bought, WINDOW).counts
    with partition_by_customer({"touches": seen, "purchases": bought}, buckets=4) as parts:
        counts = [walk_journeys(part["touches"], part["purchases"], WINDOW).counts for part in parts]
    assert sum(counts[1:], start=counts[0]) == whole
    assert whole.conversions > 0
    assert whole.null_paths > 0


def test_a_customer_is_in_one_bucket_in_every_table() -> None:
    frames = {
        "transactions": pl.LazyFrame({"customer_id": list(range(50)) * 2}),
        "touches": pl.LazyFrame({"customer_id": list(range(50)) * 3}),
    }
    with partition_by_customer(frames, buckets=4) as parts:
        ids = [[set(frame.collect()["customer_id"]) for frame in part.values()] for part in parts]
    assert all(bought == touched for bought, touched in ids)
    assert sum(len(bought) for bought, _ in ids) == 50


def test_no_buckets_are_refused() -> None:
    with pytest.raises(ConfigError, match="buckets is 0; allowed: 1 or more"):
        by_partition(lambda rows: rows, {"rows": pl.LazyFrame({"customer_id": [1]})}, buckets=0)


def test_nothing_is_read_before_it_is_collected() -> None:
    def reads(rows: pl.DataFrame) -> pl.DataFrame:
        raise LookupError("read")

    watched = [
        frame.map_batches(reads, schema=frame.collect_schema())
        for frame in (transactions_frame([]), touches_frame([]))
    ]
    history = purchases_of(*watched)
    assert isinstance(history, pl.LazyFrame)
    with pytest.raises(LookupError, match="read"):
        history.collect()
