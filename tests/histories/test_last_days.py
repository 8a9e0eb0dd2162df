"""A call to cancel goes with leaving: touches that crowd into the last weeks are found."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from histories.last_days import LastDays, last_days

N = 600
CHANNELS = ("call", "letter")


def company(cancels: float, *, ahead: int = 0, harm: float = 1.0, seed: int = 1) -> LastDays:
    """Customers leave after half a year to a year, a share by a call so many days ahead; letters by month.

    In the last two months there are `harm` times as many calls as before.
    """
    draws = np.random.default_rng(seed)
    start = datetime(2025, 1, 1)
    left = [start + timedelta(days=int(day)) for day in draws.integers(180, 360, N)]
    rows = []
    for customer, end in enumerate(left):
        days = (end - start).days
        calls = draws.uniform(0, days, draws.poisson(0.03 * days))
        calls = np.concatenate([calls, days - draws.uniform(0, 60, draws.poisson(0.03 * 60 * (harm - 1)))])
        rows += [(customer, "call", start + timedelta(days=float(day))) for day in calls]
        rows += [(customer, "letter", start + timedelta(days=day)) for day in range(4, days, 30)]
        if draws.random() < cancels:
            rows.append((customer, "call", end - timedelta(days=ahead)))
    touches = pl.LazyFrame(rows, schema=["customer_id", "channel", "timestamp"], orient="row")
    people = pl.LazyFrame({"customer_id": range(N), "acquired_at": [start] * N, "ended_at": left})
    return last_days(touches.with_columns(treatment=pl.lit(value=True)), people, channels=CHANNELS)


@pytest.mark.parametrize("ahead", [0, 3, 29])
def test_calls_to_cancel_crowd_before_the_end(ahead: int) -> None:
    found = company(0.7, ahead=ahead)
    assert found.crowded[0] > 2.5
    assert found.crowded[1] == 0.0
    assert set(found.words(CHANNELS)) == {"call"}


def test_touches_that_come_whenever_they_come_announce_nothing() -> None:
    for seed in range(5):
        assert company(0.0, seed=seed).words(CHANNELS) == {}


def test_touches_that_drive_customers_away_for_months_announce_nothing() -> None:
    assert company(0.0, harm=2.0).words(CHANNELS) == {}


@pytest.mark.parametrize("day", [3, 15, 22, 23, 24, 25])
def test_a_letter_of_one_day_of_the_month_announces_no_leaving_at_its_end(day: int) -> None:
    draws = np.random.default_rng(1)
    start = datetime(2025, 1, 1)
    ends = [datetime(2025, int(month), 1) - timedelta(days=1) for month in draws.integers(5, 13, N)]
    months = [datetime(2025, month, day) for month in range(1, 13)]
    rows = [
        (i, "letter", at) for i, end in enumerate(ends) for at in months if at < end and draws.random() < 0.5
    ]
    touches = pl.LazyFrame(rows, schema=["customer_id", "channel", "timestamp"], orient="row")
    people = pl.LazyFrame({"customer_id": range(N), "acquired_at": [start] * N, "ended_at": ends})
    found = last_days(touches.with_columns(treatment=pl.lit(value=True)), people, channels=CHANNELS)
    assert found.last.sum() > N / 4
    assert found.words(CHANNELS) == {}


def test_counts_of_buckets_add_up_and_nobody_known_to_leave_says_nothing() -> None:
    whole = company(0.7)
    assert (whole + whole).last.sum() == 2 * whole.last.sum()
    nothing = last_days(pl.LazyFrame(), None, channels=CHANNELS)
    assert nothing.crowded.tolist() == [0.0, 0.0]
