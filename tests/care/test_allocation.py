"""Every cost is somebody's or is said to be nobody's, to the last minor unit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from care.allocation import Allocation, allocate_costs, share_exactly

WEIGHTS = st.lists(st.floats(0.0, 1e6, allow_nan=False), min_size=1, max_size=40).filter(lambda w: sum(w) > 0)


@settings(deadline=None, max_examples=50)
@given(total=st.integers(-(10**15), 10**15), weights=WEIGHTS)
def test_whole_shares_add_up_and_are_within_one_of_their_part(total: int, weights: list[float]) -> None:
    shares = share_exactly(total, np.array(weights))
    assert int(shares.sum()) == total
    exact = total * (np.array(weights) / sum(weights))
    assert np.all(np.abs(shares - exact) <= 1.0 + abs(total) * 1e-12)


def cases(**columns: list[object]) -> pl.DataFrame:
    n = len(columns["channel"])
    filled: dict[str, list[object]] = {
        "brand": [None] * n, "needs_reply": [True] * n, "answered": [True] * n, "contacts": [1] * n,
        "handling_seconds": [None] * n,
    }  # fmt: skip
    types = {
        "brand": pl.String,
        "handling_seconds": pl.Float64,
        "contacts": pl.Int64,
        "customer_id": pl.Int64,
    }
    return pl.DataFrame(filled | columns, schema_overrides=types)


def by_customer(found: Allocation) -> dict[int, float]:
    shares = found.by_customer()
    return {} if shares is None else dict(shares.iter_rows())


def pools(*rows: tuple[str, str | None, int]) -> pl.DataFrame:
    schema = {"channel": pl.String, "brand": pl.String, "minor": pl.Int64}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


@settings(deadline=None, max_examples=50)
@given(
    minor=st.lists(st.integers(-(10**9), 10**9), min_size=3, max_size=3),
    people=st.lists(st.one_of(st.none(), st.integers(1, 5)), min_size=1, max_size=12),
    seconds=st.lists(st.one_of(st.none(), st.floats(1.0, 1e4)), min_size=12, max_size=12),
)
def test_customers_and_the_unallocated_rest_add_up_to_the_costs(
    minor: list[int], people: list[int | None], seconds: list[float | None]
) -> None:
    n = len(people)
    made = cases(channel=["chat"] * n, customer_id=[*people], handling_seconds=[*seconds[:n]])
    touches = pl.DataFrame({"customer_id": [1, 2, 2], "channel": ["forum"] * 3, "minor": [None, None, None]})
    costs = pools(("chat", None, minor[0]), ("forum", None, minor[1]), ("fax", None, minor[2]))
    found = allocate_costs(costs, cases=made, touches=touches.cast({"minor": pl.Int64}))
    assert found.shares["minor"].sum() == sum(minor)
    by_channel = found.by_channel()
    in_minor = [round(cost * 10_000) for cost in by_channel["cost"]]
    assert in_minor == [minor[0], minor[2], minor[1]]  # chat, fax, forum
    assert by_channel.filter(pl.col("channel") == "fax")["to_customers"].to_list() == [0.0]


def test_work_is_shared_by_seconds_where_the_desk_writes_them_down() -> None:
    made = cases(channel=["mail"] * 3, customer_id=[1, 2, None], handling_seconds=[60.0, 180.0, 60.0])
    found = allocate_costs(pools(("mail", None, 3_000_000)), cases=made)
    assert by_customer(found) == {1: 60.0, 2: 180.0}
    (row,) = found.by_channel().to_dicts()
    assert (row["unallocated"], row["shared_by"], row["customers"]) == (60.0, "handling seconds", 2)
    assert row["reason"] == "their authors are no known customers"


def test_a_handled_case_without_seconds_counts_as_the_mean_and_an_unanswered_one_as_nothing() -> None:
    made = cases(
        channel=["mail"] * 4,
        customer_id=[1, 2, 3, 4],
        handling_seconds=[100.0, 200.0, None, None],
        answered=[True, True, True, False],
    )
    found = allocate_costs(pools(("mail", None, 4_500_000)), cases=made)
    assert by_customer(found) == {1: 100.0, 2: 200.0, 3: 150.0, 4: 0.0}


def test_without_seconds_contacts_count_and_noise_costs_nothing() -> None:
    made = cases(
        channel=["chat"] * 3, customer_id=[1, 2, 3], contacts=[3, 1, 9], needs_reply=[True, True, False]
    )
    found = allocate_costs(pools(("chat", None, 400)), cases=made)
    assert found.shares["minor"].to_list() == [300, 100, 0]


def test_costs_of_a_brand_are_its_cases_only() -> None:
    made = cases(channel=["chat"] * 2, customer_id=[1, 2], brand=["acme", "kids"])
    costs = pools(("chat", "kids", 500), ("chat", None, 200), ("chat", "garden", 70))
    found = allocate_costs(costs, cases=made)
    assert by_customer(found) == pytest.approx({1: 0.01, 2: 0.06})
    (row,) = found.by_channel().to_dicts()
    assert (round(row["unallocated"], 4), row["reason"]) == (
        0.007,
        "no case is of the brand that the costs name",
    )


def test_where_nobody_known_caused_a_cost_no_customer_has_any() -> None:
    found = allocate_costs(pools(("fax", None, 900)), cases=None, touches=None)
    assert found.by_customer() is None
    assert found.by_channel()["unallocated"].to_list() == [0.09]
