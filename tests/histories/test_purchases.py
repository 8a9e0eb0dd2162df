"""Orders are netted, refunds taken off, and nothing goes below zero unseen."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from histories.purchases import build_purchases, count_unmatched_refunds

Row = tuple[int, str, int, str | None]


def transactions(*rows: Row, margin: list[int | None] | None = None) -> pl.LazyFrame:
    """Rows of customer, time, amount in minor units, order."""
    frame = pl.DataFrame(
        {
            "customer_id": [row[0] for row in rows],
            "timestamp": [datetime.fromisoformat(row[1]) for row in rows],
            "amount": [row[2] for row in rows],
            "order_id": pl.Series([row[3] for row in rows], dtype=pl.String),
        }
    )
    return (frame if margin is None else frame.with_columns(pl.Series("margin", margin))).lazy()


def bought(frame: pl.LazyFrame, **options: Any) -> list[tuple[Any, ...]]:
    purchases = build_purchases(frame, **options).sort("customer_id", "timestamp").collect()
    return purchases.select("customer_id", "date", "amount", "orders").rows()


DAY = date(2026, 1, 5)

TABLE: dict[str, tuple[list[Row], list[tuple[Any, ...]]]] = {
    "two orders of one day are one purchase": (
        [(1, "2026-01-05 09:00", 10, "a"), (1, "2026-01-05 20:00", 5, "b")],
        [(1, DAY, 15, 2)],
    ),
    "lines of one order are one order": (
        [(1, "2026-01-05 09:00", 10, "a"), (1, "2026-01-05 09:00", 5, "a")],
        [(1, DAY, 15, 1)],
    ),
    "a refund with its order lowers it, on the order's day": (
        [(1, "2026-01-05 09:00", 10, "a"), (1, "2026-01-20 09:00", -4, "a")],
        [(1, DAY, 6, 1)],
    ),
    "a free line is a line of its order, and may be its first": (
        [(1, "2026-01-05 09:00", 0, "a"), (1, "2026-01-06 09:00", 10, "a")],
        [(1, DAY, 10, 1)],
    ),
    "an order refunded in full is no purchase": (
        [(1, "2026-01-05 09:00", 10, "a"), (1, "2026-01-20 09:00", -10, "a")],
        [],
    ),
    "a refund without its order lowers its own day": (
        [
            (1, "2026-01-05 09:00", 10, "a"),
            (1, "2026-01-05 18:00", -4, None),
            (1, "2026-01-06 18:00", -4, None),
        ],
        [(1, DAY, 6, 1)],
    ),
    "a cancellation with a number of its own lowers its own day": (
        [(1, "2026-01-05 09:00", 10, "a"), (1, "2026-01-05 18:00", -4, "Ca")],
        [(1, DAY, 6, 1)],
    ),
    "a refund beyond its order takes nothing from another order of the day": (
        [
            (1, "2026-01-05 09:00", 10, "a"),
            (1, "2026-01-05 09:30", -15, "a"),
            (1, "2026-01-05 10:00", 7, "b"),
        ],
        [(1, DAY, 7, 2)],
    ),
    "a refund alone is no purchase": ([(1, "2026-01-05 09:00", -3, None)], []),
    "orders of one number but two customers stay apart": (
        [(1, "2026-01-05 09:00", 10, "a"), (2, "2026-01-05 09:00", -4, "a")],
        [(1, DAY, 10, 1)],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_netting(case: str) -> None:
    rows, expected = TABLE[case]
    assert bought(transactions(*rows)) == expected


@pytest.mark.parametrize(("zero_orders", "expected"), [("drop", []), ("count", [(1, DAY, 0, 1)])])
def test_an_order_of_nothing_counts_only_when_told(zero_orders: str, expected: list[Any]) -> None:
    assert bought(transactions((1, "2026-01-05 09:00", 0, None)), zero_orders=zero_orders) == expected


def test_a_refund_is_never_a_purchase_even_when_zero_orders_count() -> None:
    rows = transactions((1, "2026-01-05 09:00", 10, "a"), (1, "2026-01-09 09:00", -3, None))
    assert bought(rows, zero_orders="count") == [(1, DAY, 10, 1)]


@pytest.mark.parametrize(
    ("unit", "dates"),
    [
        ("day", ["2026-01-05", "2026-01-07", "2026-01-13", "2026-02-02"]),
        ("week", ["2026-01-05", "2026-01-13", "2026-02-02"]),
        ("month", ["2026-01-05", "2026-02-02"]),
    ],
)
def test_purchases_within_a_unit_are_one_and_dated_by_the_first(unit: str, dates: list[str]) -> None:
    moments = ["2026-01-07 08:00", "2026-01-05 09:00", "2026-01-13 09:00", "2026-02-02 09:00"]
    found = bought(transactions(*((1, moment, 10, None) for moment in moments)), purchase_unit=unit)
    assert [str(row[1]) for row in found] == dates


def test_a_later_refund_is_not_seen_before_its_own_date() -> None:
    rows = transactions((1, "2026-01-05 09:00", 10, "a"), (1, "2026-02-20 09:00", -4, "a"))
    in_time = pl.col("timestamp") < date(2026, 2, 1)
    seen, held_out = rows.filter(in_time), rows.filter(~in_time)
    assert bought(seen) == [(1, DAY, 10, 1)]
    assert bought(held_out) == []
    assert bought(rows) == [(1, DAY, 6, 1)]


@pytest.mark.parametrize(("margins", "expected"), [([4, -1, 2], 5), ([4, None, 2], None)])
def test_margin_is_netted_and_unknown_when_a_part_is(margins: list[int | None], expected: int | None) -> None:
    rows = [
        (1, "2026-01-05 09:00", 10, "a"),
        (1, "2026-01-05 10:00", -3, "a"),
        (1, "2026-01-05 11:00", 5, None),
    ]
    purchases = build_purchases(transactions(*rows, margin=margins)).collect()
    assert purchases.select("amount", "margin").rows() == [(12, expected)]


def test_unmatched_refunds_are_counted_in_the_currency() -> None:
    rows = transactions(
        (1, "2026-01-05 09:00", 100_000, "a"),
        (1, "2026-01-06 09:00", -120_000, "a"),  # 2.00 beyond its order
        (2, "2026-01-07 09:00", -30_000, None),  # 3.00 on a day without purchase
        (3, "2026-01-07 09:00", 30_000, None),
        (3, "2026-01-07 10:00", -30_000, None),  # matched to the last penny
    )
    unmatched = count_unmatched_refunds(rows)
    assert (unmatched.count, unmatched.amount, unmatched.bought) == (2, 5.0, 13.0)
    assert bought(rows) == []


def test_an_order_refunded_beyond_its_amount_leaves_no_margin_behind() -> None:
    rows = [
        (1, "2026-01-05 09:00", 10, "a"),
        (1, "2026-01-05 09:30", -15, "a"),
        (1, "2026-01-05 10:00", 7, "b"),
    ]
    purchases = build_purchases(transactions(*rows, margin=[4, -9, 3])).collect()
    assert purchases.select("amount", "margin").rows() == [(7, 3)]


def test_orders_without_a_refund_leave_nothing_unmatched_and_partitions_add_up() -> None:
    first = count_unmatched_refunds(
        transactions(
            (1, "2026-01-05 09:00", 100_000, "a"),
            (1, "2026-01-06 09:00", -120_000, "a"),
            (2, "2026-01-05 09:00", 100_000, "b"),
            (3, "2026-01-05 09:00", 50_000, None),
        )
    )
    assert (first.count, first.amount) == (1, 2.0)
    second = count_unmatched_refunds(transactions((4, "2026-01-05 09:00", -30_000, None)))
    assert (first + second).amount == 5.0
    assert (first + second).count == 2
    assert (first + second).bought == 25.0


def test_a_purchase_of_nothing_has_no_margin() -> None:
    rows = [(1, "2026-01-05 09:00", 10, None), (1, "2026-01-05 10:00", -10, None)]
    purchases = build_purchases(transactions(*rows, margin=[4, -1]), zero_orders="count").collect()
    assert purchases.select("amount", "margin").rows() == [(0, 0)]
