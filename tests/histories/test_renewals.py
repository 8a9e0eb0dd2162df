"""Members who leave on their own renewals are told from customers who leave on any day."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from histories.renewals import Renewal, find_renewal

N = 400


def customers(cycle: int | None, late: int) -> pl.LazyFrame:
    """Arrived within a year; left after some cycles (0: months, None: on any day), so many days late."""
    draws = np.random.default_rng(2)
    first = np.datetime64("2024-01-01") + draws.integers(0, 365, N)
    count = draws.integers(2, 12, N)
    if cycle is None:
        left = first + draws.integers(35, 400, N)
    elif cycle:
        left = first + cycle * count + late
    else:
        day = first - first.astype("datetime64[M]").astype("datetime64[D]")
        month = first.astype("datetime64[M]") + count
        last = (month + 1).astype("datetime64[D]") - 1
        left = np.minimum(month.astype("datetime64[D]") + day, last) + late
    left = np.where(draws.random(N) < 0.1, left + 9, left)
    ended = np.where(draws.random(N) < 0.7, left, np.datetime64("NaT", "D"))
    return pl.LazyFrame({"acquired_at": first, "ended_at": ended})


@pytest.mark.parametrize(("cycle", "late"), [(0, 0), (0, 1), (28, 0), (30, -1), (30, 3)])
def test_the_days_on_which_members_leave_are_found(cycle: int, late: int) -> None:
    found = find_renewal(customers(cycle, late))
    assert found is not None
    assert found.cycle == cycle
    assert abs(found.offset - late) <= 1


def test_customers_who_leave_on_any_day_have_no_renewal() -> None:
    assert find_renewal(customers(None, 0)) is None
    assert find_renewal(customers(30, 0).head(40)) is None
    assert find_renewal(customers(30, 0).drop("acquired_at")) is None
    assert find_renewal(None) is None


def test_renewals_of_long_months_fall_on_the_last_day_of_short_ones() -> None:
    arrived = np.array(["2025-01-31", "NaT"], dtype="datetime64[D]")
    months = np.array(["2025-01", "2025-02", "2025-03", "2025-04"], dtype="datetime64[M]")
    days = Renewal(cycle=0, offset=0).days(arrived, months)
    assert days.tolist() == [[-1, 27, 30, 29], [-1, -1, -1, -1]]
    assert Renewal(cycle=30, offset=0).days(arrived, months).tolist()[0] == [-1, -1, 1, 0]  # 2 March, 1 April
