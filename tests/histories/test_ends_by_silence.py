"""Ends that follow silence are a rule; bills, notice and leaving at any time are not."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from histories.ends_by_silence import EndBySilence, end_by_silence

N, START = 300, datetime(2025, 1, 1)


def company(
    *,
    every: float,
    after: float,
    chats: float = 0.0,
    of_any: bool = False,
    spread: int = 3,
    billed: bool = False,
) -> EndBySilence | None:
    """Customers buy at random, about every so many days, and are closed so long after the last sign."""
    draws = np.random.default_rng(1)
    bought, acted, ends = [], [], []
    for customer in range(N):
        days = draws.uniform(200, 900)
        buys = every * np.arange(400) if billed else np.cumsum(draws.exponential(every, 400))
        buys = buys[buys < days]
        acts = np.sort(draws.uniform(0, days, draws.poisson(chats * days)))
        signs = [*buys.tolist(), *(acts.tolist() if of_any else [])] or [0.0]
        bought += [(customer, START + timedelta(days=float(day))) for day in buys]
        acted += [(customer, START + timedelta(days=float(day))) for day in acts]
        ends.append(START + timedelta(days=max(signs) + after + float(draws.integers(0, spread + 1))))
    schema = {"customer_id": pl.Int64, "timestamp": pl.Datetime("us")}
    touches, purchases = (pl.LazyFrame(rows, schema=schema, orient="row") for rows in (acted, bought))
    people = pl.LazyFrame({"customer_id": range(N), "ended_at": ends})
    return end_by_silence(touches.with_columns(origin=pl.lit("customer")), purchases, people)


def test_accounts_closed_after_half_a_year_of_silence_follow_the_last_purchase() -> None:
    found = company(every=20.0, after=180.0, spread=31)
    assert found is not None
    assert found.sign == "purchase"
    assert 180 <= found.days <= 211
    assert "a rule of silence" in found.words


def test_closures_after_the_last_act_of_any_kind_are_found_where_purchases_alone_do_not_show_them() -> None:
    found = company(every=60.0, after=90.0, chats=0.02, of_any=True)
    assert found is not None
    assert found.sign == "sign of life"


@pytest.mark.parametrize(
    ("every", "after", "spread", "billed"),
    [
        (20.0, 0.0, 60, False),  # leaves some time after the last purchase
        (20.0, 30.0, 2, False),  # a month's notice
        (30.0, 30.0, 0, True),  # a bill a month
        (365.0, 365.0, 0, True),  # or a year: as seldom as the end after it
    ],
)
def test_ends_that_are_records_are_left_alone(every: float, after: float, spread: int, billed: bool) -> None:
    assert company(every=every, after=after, spread=spread, billed=billed, chats=0.01) is None


def test_few_customers_say_nothing() -> None:
    people = pl.LazyFrame({"customer_id": [1], "ended_at": [START]})
    rows = pl.LazyFrame({"customer_id": [1], "timestamp": [START], "origin": ["customer"]})
    assert end_by_silence(rows, rows, people) is None
    assert end_by_silence(rows, rows, None) is None
