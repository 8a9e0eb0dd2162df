"""One customer's purchases in plain Python are those of the tables."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clv.summary import summarize_purchases
from clv.updating import Bought, merge_purchases, summarize_customer
from histories.purchases import build_purchases

START = dt.datetime(2025, 12, 20)
orders = st.lists(
    st.tuples(st.integers(0, 60 * 24 * 60), st.sampled_from([0, 1, 99_900, 123_456])), min_size=1, max_size=12
)


@pytest.mark.parametrize("unit", ["day", "week"])
@pytest.mark.parametrize("count_zero", [False, True])
@settings(max_examples=40, deadline=None)
@given(rows=orders, known=st.integers(0, 12), ahead=st.integers(0, 30))
def test_what_is_merged_and_summarised_is_what_the_tables_say(
    unit: Literal["day", "week"], count_zero: bool, rows: list[tuple[int, int]], known: int, ahead: int
) -> None:
    bought = [
        Bought(  # a purchase of nothing that does not count is in no table that a run leaves
            timestamp=START + dt.timedelta(minutes=m), amount=amount or int(i < known and not count_zero)
        )
        for i, (m, amount) in enumerate(rows)
    ]
    merged = merge_purchases(
        merge_purchases([], bought[:known], purchase_unit=unit, count_zero=count_zero),
        bought[known:],
        purchase_unit=unit,
        count_zero=count_zero,
    )
    table = pl.LazyFrame(
        {
            "customer_id": [1] * len(bought),
            "timestamp": [order.timestamp for order in bought],
            "amount": [order.amount for order in bought],
        }
    )
    purchases = build_purchases(
        table, purchase_unit=unit, zero_orders="count" if count_zero else "drop"
    ).sort("timestamp")
    expected = purchases.select("timestamp", "amount").collect().rows()
    assert [(purchase.timestamp, purchase.amount) for purchase in merged] == expected
    end = START.date() + dt.timedelta(days=30 + ahead)
    summary = summarize_purchases(purchases, observation_end=end, time_unit="week").collect()
    found = summarize_customer(merged, as_of=end, time_unit="week")
    if found is None:
        assert summary.is_empty()
        return
    assert (found.monetary_value is None) == (summary["monetary_value"].null_count() == 1)
    names = ("first_purchase", "frequency", "recency", "T", "monetary_value")
    day, *numbers = summary.fill_null(0.0).select(names).row(0)
    assert found.first_purchase == day
    mine = [found.frequency, found.recency, found.T, found.monetary_value or 0.0]
    assert mine == pytest.approx(numbers, rel=1e-12)
