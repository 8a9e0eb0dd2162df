"""What customers wrote: chosen by a rule that nobody can bend, in words that tell no writer from another."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from care.quotes import MOST, QUOTES_SCHEMA, choose_quotes
from care.threads import OPTIONAL

START = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
SAYING = "the parcel came late and nobody told me where it was"


def post(
    customer: int | None, text: str, topic: str | None = "delivery", day: int = 0, **other: Any
) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "text": text,
        "topic": topic,
        "at": START + dt.timedelta(days=day),
        "is_customer": True,
        "visibility": "public",
        **other,
    }


def quotes(*posts: dict[str, Any]) -> pl.DataFrame:
    return choose_quotes(pl.DataFrame(posts, schema_overrides={"visibility": OPTIONAL["visibility"]}))


def crowd(n: int = 6, text: str = SAYING, topic: str = "delivery", first: int = 1) -> list[dict[str, Any]]:
    """Customers who all used these words."""
    return [post(first + i, text, topic) for i in range(n)]


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (f"Anna Kowalski here, {SAYING}", f"[…] here, {SAYING}"),
        (f"{SAYING}, order A-1017 of 12 May, call 0171 5550", None),
        (f"{SAYING} @acme ada@example.com", f"{SAYING} […]"),
        (f"{SAYING} https://t.co/xyz", f"{SAYING} […]"),
        (f"{SAYING}, Łukasz", f"{SAYING}, […]"),
        (f"{SAYING}, 王小明", f"{SAYING}, […]"),
    ],
)
def test_words_that_few_used_are_left_out_whatever_they_are(told: str, kept: str | None) -> None:
    others = crowd(5, f"{SAYING} here")
    (first, *_) = quotes(*others, post(99, told, day=9)).to_dicts()
    if kept is None:  # too little would be left
        assert first["customer_id"] != 99
    else:
        assert (first["customer_id"], first["text"]) == (99, kept)


def test_of_each_topic_in_turn_the_latest_of_another_customer() -> None:
    rows = [
        *crowd(8),
        *crowd(6, f"{SAYING} again", "price", first=21),
        post(1, f"{SAYING}, where", "delivery", day=3),
        post(1, f"{SAYING}, where it", "price", day=4),
        post(22, f"{SAYING}, it", "price", day=2),
    ]
    found = quotes(*rows)
    assert found["topic"].to_list() == ["delivery", "price", "delivery", "price"]
    assert found["customer_id"].to_list() == [1, 22, 2, 21]  # customer 1 is quoted once
    assert found["text"][0] == f"{SAYING}, where"
    assert found["customer_id"].n_unique() == found.height
    assert found["text"].str.to_lowercase().n_unique() == found.height


def test_there_are_at_most_ten_and_each_once() -> None:
    tails = [*SAYING.split(), "the parcel"]
    rows = crowd(6) + [post(50 + i, f"{SAYING}, {tail}", day=i) for i, tail in enumerate(tails)]
    found = quotes(*rows)
    assert found.height == MOST
    assert found["month"].unique().to_list() == ["2026-05"]


@pytest.mark.parametrize(
    "change",
    [
        {"visibility": "private"},
        {"visibility": "Private"},
        {"customer_id": None},
        {"is_customer": False},
        {"topic": None},
        {"text": "the parcel came late"},
        {"text": f"{SAYING} " * 6},
    ],
)
def test_nobody_is_quoted_who_must_not_be(change: dict[str, Any]) -> None:
    allowed = quotes(*crowd(5), post(99, f"{SAYING}, where", day=9))
    assert allowed["customer_id"][0] == 99
    found = quotes(*crowd(5), post(99, f"{SAYING}, where", day=9) | change)
    assert 99 not in found["customer_id"]


def test_a_few_customers_give_no_quotes() -> None:
    assert quotes(*crowd(4)).is_empty()
    without = pl.DataFrame([post(1, SAYING)]).drop("customer_id")
    assert choose_quotes(without).schema == QUOTES_SCHEMA
