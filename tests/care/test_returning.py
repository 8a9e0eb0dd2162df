"""Who comes back, and who buys after an answer, counted without pairing all matters of a customer."""

from __future__ import annotations

import datetime as dt
import random

import polars as pl
import pytest

from care.cases import combine_cases
from care.journeys import build_journeys
from care.settings import CareSettings
from care.view import Desk

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
END = START + dt.timedelta(days=60)
DAY = dt.timedelta(days=1)


def desk(seed: int, cases: int = 120) -> Desk:
    """Few customers and topics, many equal times, some never resolved, some in need of no reply."""
    rng = random.Random(seed)
    rows = []
    for number in range(cases):
        opened = START + rng.randrange(50) * DAY + rng.randrange(2) * dt.timedelta(hours=6)
        rows.append(
            {
                "case_id": f"c{number}",
                "customer_id": rng.choice([1, 2, 3, None]),
                "opened_at": opened,
                "channel": rng.choice(["chat", "phone"]),
                "topic": rng.choice(["delivery", "price", None]),
                "needs_reply": rng.random() < 0.8,
                "first_response_at": opened + dt.timedelta(hours=1),
                "resolved_at": None if rng.random() < 0.3 else opened + rng.randrange(5) * DAY,
            }
        )
    settings = CareSettings(repeat_days=3, sales_days=4)
    found = combine_cases(None, pl.DataFrame(rows, infer_schema_length=None), settings)
    orders = [
        {"customer_id": rng.choice([1, 2, 3]), "at": START + rng.randrange(60) * DAY} for _ in range(15)
    ]
    return Desk(
        journeys=build_journeys(found, settings, end=END),
        settings=settings,
        columns=found.columns,
        purchases=pl.DataFrame(orders),
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_matter_returns_where_the_customer_asks_again_about_its_topic(seed: int) -> None:
    rows = desk(seed).journeys.journeys.to_dicts()

    def returns(row: dict[str, object]) -> bool:
        until = (row["resolved_at"] or row["opened_at"]) + 3 * DAY  # type: ignore[operator]
        return any(
            other["needs_reply"]
            and other["journey_id"] != row["journey_id"]
            and other["key"] == row["key"]
            and row["opened_at"] <= other["opened_at"] <= until
            and (None in (row["topic"], other["topic"]) or row["topic"] == other["topic"])
            for other in rows
        )

    expected = [returns(row) for row in rows]
    assert [row["returned"] for row in rows] == expected
    assert any(expected)
    assert not all(expected)


@pytest.mark.parametrize("seed", range(4))
def test_a_sale_is_a_purchase_within_the_days_after_the_question(seed: int) -> None:
    seen = desk(seed)
    assert seen.purchases is not None
    orders = seen.purchases.to_dicts()

    def bought(row: dict[str, object]) -> float | None:
        since = row["waiting_since"]
        if row["customer_id"] is None or since + 4 * DAY > END:  # type: ignore[operator]
            return None
        return float(
            any(o["customer_id"] == row["customer_id"] and since <= o["at"] < since + 4 * DAY for o in orders)
        )  # type: ignore[operator]

    expected = [bought(row) for row in seen.frame.to_dicts()]
    found = pl.Series(seen.arrays["bought"]).fill_nan(None).to_list()
    assert found == expected
    assert {0.0, 1.0, None} == set(expected)
