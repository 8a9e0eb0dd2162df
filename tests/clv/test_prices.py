"""Prices that changed are told; customers who differ, and customers who come later, are no change."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from clv.prices import find_step
from clv.settings import ValueSettings
from clv.valuation import value_customers

START, END = date(2023, 1, 1), date(2024, 12, 31)
RAISED = date(2024, 8, 1)


def company(factor: float, *, seed: int = 1, better: float = 1.0) -> pl.LazyFrame:
    """Customers whose amounts are times `factor` from August on; those who came since then spend `better`."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(600):
        first = int(rng.integers(0, (END - START).days))
        mean = rng.gamma(5.0, 6.0) * (better if START + timedelta(days=first) >= RAISED else 1.0)
        days = first + np.flatnonzero(rng.random((END - START).days - first) < rng.gamma(1.0, 0.02))
        for day in dict.fromkeys([first, *days.tolist()]):
            when = START + timedelta(days=day)
            paid = mean * rng.gamma(4.0, 0.25) * (factor if when >= RAISED else 1.0)
            rows.append((customer, when, max(round(10_000 * paid), 1)))
    frame = pl.LazyFrame(rows, schema=["customer_id", "date", "amount"], orient="row")
    return frame.with_columns(
        pl.col("date").cast(pl.Datetime("us")).alias("timestamp"), pl.lit(None, pl.Int64).alias("margin")
    )


@pytest.mark.parametrize("factor", [2.0, 0.6])
def test_the_month_and_the_size_of_a_change_are_found(factor: float) -> None:
    step = find_step(company(factor), end=END)
    assert step is not None
    assert step.month == RAISED
    assert abs(step.change - np.log(factor)) < 3.0 * step.std_error
    assert "from August 2024 on" in step.note


@pytest.mark.parametrize("seed", range(4))
def test_without_a_change_nothing_is_told_even_where_new_customers_spend_more(seed: int) -> None:
    assert find_step(company(1.0, seed=seed), end=END) is None
    assert find_step(company(1.0, seed=seed, better=2.0), end=END) is None


def test_what_came_after_the_origin_is_not_known_and_few_customers_say_nothing() -> None:
    raised = company(2.0)
    assert find_step(raised, end=RAISED - timedelta(days=1)) is None
    assert find_step(raised.filter(pl.col("customer_id") < 40), end=END) is None
    assert find_step(raised.filter(pl.col("customer_id") < 0), end=END) is None


def test_a_run_says_that_its_values_rest_on_old_prices() -> None:
    values = value_customers(
        company(2.0),
        settings=ValueSettings(
            models=("mbg_nbd",), season=False, challenger=False, posterior_draws=0, origins=1
        ),
        observation_end=END,
        calibration_end=None,
        time_unit="week",
        currency="EUR",
        seed=1,
    )
    assert any(note.startswith("customers pay +") for note in values.warnings)
