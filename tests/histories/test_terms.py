"""Customers who can leave once a term are told from customers who leave in any month."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from histories.arrays import Moments
from histories.terms import Term, find_term

N = 400


def days_of_leaving(
    months: int | None, late: int, *, first_of_month: bool = False
) -> tuple[Moments, Moments]:
    """First and last days; nine of ten leave after one or two terms (None: after any time)."""
    draws = np.random.default_rng(3)
    first = np.datetime64("2023-01-01") + draws.integers(0, 365, N)
    if first_of_month:
        first = first.astype("datetime64[M]").astype("datetime64[D]")
    anyhow = first + draws.integers(20, 700, N)
    if months is None:
        return first, anyhow
    day = first - first.astype("datetime64[M]").astype("datetime64[D]")
    month = first.astype("datetime64[M]") + months * draws.integers(1, 3, N)
    end = np.minimum(month.astype("datetime64[D]") + day, (month + 1).astype("datetime64[D]") - 1) + late
    return first, np.where(draws.random(N) < 0.9, end, anyhow)


def table(first: Moments, left: Moments) -> pl.LazyFrame:
    return pl.LazyFrame({"acquired_at": first, "ended_at": left})


@pytest.mark.parametrize("months", [3, 6, 12, 24])
@pytest.mark.parametrize("late", [-1, 0, 8])
def test_the_term_at_whose_end_customers_leave_is_found(months: int, late: int) -> None:
    found = find_term(table(*days_of_leaving(months, late)))
    assert found is not None
    assert found.months == months
    assert found.offset == pytest.approx(late, abs=1)
    assert f"a term of {months} months ends (9" in found.words


def test_leaving_in_any_month_is_no_term() -> None:
    assert find_term(table(*days_of_leaving(None, 0))) is None
    first, left = days_of_leaving(12, 0)
    assert find_term(table(first[:40], left[:40])) is None
    assert find_term(pl.LazyFrame({"acquired_at": first})) is None
    assert find_term(None) is None


@pytest.mark.parametrize("late", [-1, 0, 8])
@pytest.mark.parametrize("first_of_month", [True, False])
def test_the_months_in_which_terms_end_are_those_in_which_customers_leave(
    late: int, first_of_month: bool
) -> None:
    first, left = days_of_leaving(12, late, first_of_month=first_of_month)
    term = find_term(table(first, left))
    assert term is not None
    months = np.arange("2023-01", "2026-01", dtype="datetime64[M]")
    columns = term.columns(first, months)
    exit_ = (left.astype("datetime64[M]") - months[0]).astype(int)
    at_exit = columns[np.arange(N), exit_]
    assert at_exit[:, 0].mean() > 0.88
    assert at_exit[:, 1:].mean() < 0.05
    assert columns.sum(axis=2).max() == 1.0
    np.testing.assert_array_equal(columns[:, 1:, 0][:, 12:], columns[:, :-1, 1][:, 12:])


def test_no_term_of_a_customer_whose_arrival_is_not_known_ends() -> None:
    months = np.arange("2026-01", "2027-06", dtype="datetime64[M]")
    assert not Term(months=6).columns(np.array(["NaT"], dtype="datetime64[D]"), months).any()
    assert Term(months=3).names == ("term ends", "term ends next month")
