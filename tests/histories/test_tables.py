"""The two history tables of a bundle: in order, in the currency, with their credit."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from histories.journeys import walk_journeys
from histories.purchases import PURCHASES_SCHEMA, build_purchases
from histories.tables import TOUCH, purchases_table, touchpoints_table
from histories.timeline import JourneyWindow
from histories.touchpoints import TOUCHPOINTS_SCHEMA, build_touchpoints

END = date(2026, 12, 31)
TOUCHES = build_touchpoints(
    pl.LazyFrame(
        {
            "customer_id": [2, 1, 1],
            "timestamp": [datetime(2026, 3, 9), datetime(2026, 3, 9), datetime(2026, 3, 8)],
            "channel": ["a", "b", "a"],
            "cost": [None, 12_500, 0],
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
)
PURCHASES = build_purchases(
    pl.LazyFrame(
        {
            "customer_id": [3, 1],
            "timestamp": [datetime(2026, 3, 10), datetime(2026, 3, 10)],
            "amount": [10_000, 300_000],
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
)
WINDOW = JourneyWindow(lookback_days=30, observation_end=END)


def test_touchpoints_are_in_order_with_their_credit() -> None:
    numbered = TOUCHES.with_row_index(TOUCH)
    placed = walk_journeys(numbered, PURCHASES, WINDOW, keep=[TOUCH]).touches
    credit = placed.filter("converted").select(
        "touch_number",
        (1 / pl.col("n_touches")).alias("conversion_credit"),
        (pl.col("value") / pl.col("n_touches")).alias("spend_credit"),
    )
    table = touchpoints_table(numbered, credit)
    assert table.columns == list(TOUCHPOINTS_SCHEMA)
    assert table.schema["customer_id"] == pl.Int64
    assert table.select("customer_id", "channel", "cost", "conversion_credit", "spend_credit").rows() == [
        (1, "a", 0.0, 0.5, 15.0),
        (1, "b", 1.25, 0.5, 15.0),
        (2, "a", None, 0.0, 0.0),
    ]


def test_purchases_are_in_order_with_their_touches() -> None:
    table = purchases_table(PURCHASES, walk_journeys(TOUCHES, PURCHASES, WINDOW).journeys)
    assert table.columns == list(PURCHASES_SCHEMA)
    assert table.select("customer_id", "amount", "touches", "credit").rows() == [
        (1, 30.0, 2, 1.0),
        (3, 1.0, 0, 0.0),
    ]


def test_without_journeys_credit_is_unknown() -> None:
    assert purchases_table(PURCHASES)["credit"].null_count() == 2
    assert touchpoints_table(TOUCHES.with_row_index(TOUCH))["spend_credit"].null_count() == 3
