"""What customers say made them buy: recognised in sentences, joined once to the order that it speaks of."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from care.named_reasons import named_in_cases, named_in_posts, named_orders, reason_figures

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def at(day: float) -> dt.datetime:
    return NOON + dt.timedelta(days=day)


def said(text: str, customer: int | None = 1, *, is_customer: bool = True) -> list[str]:
    row = {"customer_id": customer, "at": at(0), "text": text, "is_customer": is_customer}
    schema = {"customer_id": pl.Int64}
    return named_in_posts(pl.DataFrame([row], schema_overrides=schema))["reason"].to_list()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I bought the boots because of the great reviews!", "review"),
        ("Ordered it. A friend of mine told me how good you are", "friend"),
        ("saw it on Twitter and ordered at once", "social network"),
        ("My sister recommended you, so I bought two", "friend"),
        ("Heard the ad on the radio: ordered", "advertisement"),
        ("Found you by googling. Ordered two.", None),
        ("found you on Google, ordered two", "search"),
        ("Habe die Schuhe bestellt, weil eine Freundin sie mir empfohlen hat", "friend"),
        ("Wegen der Bewertungen gekauft", "review"),
        ("Je l'ai acheté grâce aux avis", "review"),
        ("Lo compré gracias a una amiga", "friend"),
        ("I bought it after I read on Instagram and in a review", "review"),
        ("I bought it for a friend", None),
        ("I read your reviews", None),
        ("I ordered. Nobody answers. My friend is angry", None),
        ("my parcel has not arrived, saw nothing on Twitter", None),
    ],
)
def test_a_sentence_that_names_why_is_recognised_and_no_other(text: str, reason: str | None) -> None:
    assert said(text) == ([] if reason is None else [reason])


def test_only_known_customers_speak() -> None:
    text = "I bought it because of the reviews"
    assert said(text) == ["review"]
    assert said(text, None) == said(text, is_customer=False) == []


def test_a_survey_names_it_in_a_word_or_is_other() -> None:
    cases = pl.DataFrame(
        {
            "customer_id": [1, 2, 3, 4, None],
            "opened_at": [at(0)] * 5,
            "purchase_reason": ["a friend", "Twitter", "passing by", " ", "review"],
        }
    )
    found = named_in_cases(cases)
    assert dict(zip(found["customer_id"], found["reason"], strict=True)) == {
        1: "friend",
        2: "social network",
        3: "other",
    }


NAMED = pl.DataFrame(
    {
        "customer_id": [1, 1, 2, 3, 4, 5],
        "at": [at(10), at(11), at(10), at(95), at(10), at(9.5)],
        "reason": ["friend", "review", "review", "friend", "friend", "review"],
    }
)
PURCHASES = pl.DataFrame(
    {
        "customer_id": [1, 1, 2, 3, 4, 5, 6],
        "at": [at(0), at(8), at(10.5), at(1), at(12), at(9.6), at(9)],
        "amount": [100_000, 250_000, 400_000, 70_000, 10_000, 30_000, 999_999],
    }
)


def test_an_order_counts_once_for_whoever_first_spoke_of_it() -> None:
    found = named_orders(NAMED, PURCHASES).sort("customer_id")
    # 1: the latest before, said twice; 2 and 5: within the day after; 3: more than 90 days; 4: bought later
    assert found.rows() == [(1, "friend", 250_000), (2, "review", 400_000), (5, "review", 30_000)]


def test_the_figures_add_up_to_those_of_all() -> None:
    rows = reason_figures(NAMED, PURCHASES)
    told = {(row["kpi"], row["segment"]): (row["value"], row["n"]) for row in rows.to_dicts()}
    assert told == {
        ("named_orders", "(all)"): (3.0, 3),
        ("named_revenue", "(all)"): (68.0, 3),
        ("named_orders", "reason: friend"): (1.0, 1),
        ("named_revenue", "reason: friend"): (25.0, 1),
        ("named_orders", "reason: review"): (2.0, 2),
        ("named_revenue", "reason: review"): (43.0, 2),
    }
    assert reason_figures(NAMED, None).is_empty()
    assert reason_figures(NAMED.head(0), PURCHASES).is_empty()
