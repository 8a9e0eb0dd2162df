"""Prices that changed are told; customers who differ, and customers who come later, are no change."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from clv.clock import Clock
from clv.prices import Drift, find_change
from clv.rescoring import Rescorer
from clv.settings import ValueSettings
from clv.summary import summarize_purchases
from clv.valuation import CustomerValues, value_customers

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
    step = find_change(company(factor), end=END)
    assert step is not None
    assert step.month == RAISED
    assert abs(step.change - np.log(factor)) < 3.0 * step.std_error
    assert "from August 2024 on" in step.note


@pytest.mark.parametrize("seed", range(4))
def test_without_a_change_nothing_is_told_even_where_new_customers_spend_more(seed: int) -> None:
    assert find_change(company(1.0, seed=seed), end=END) is None
    assert find_change(company(1.0, seed=seed, better=2.0), end=END) is None


def test_what_came_after_the_origin_is_not_known_and_few_customers_say_nothing() -> None:
    raised = company(2.0)
    assert find_change(raised, end=RAISED - timedelta(days=1)) is None
    assert find_change(raised.filter(pl.col("customer_id") < 40), end=END) is None
    assert find_change(raised.filter(pl.col("customer_id") < 0), end=END) is None


def valued(purchases: pl.LazyFrame, end: date = END) -> CustomerValues:
    return value_customers(
        purchases.filter(pl.col("date") <= end),
        settings=ValueSettings(
            models=("mbg_nbd",), season=False, challenger=False, posterior_draws=0, origins=1
        ),
        observation_end=end,
        calibration_end=None,
        time_unit="week",
        currency="EUR",
        seed=1,
    )


def test_values_count_what_was_paid_before_at_the_prices_of_today() -> None:
    doubled, same = valued(company(2.0)), valued(company(1.0))
    (ratio,) = (
        doubled.model["totals"]["customer_lifetime_value"] / same.model["totals"]["customer_lifetime_value"],
    )
    assert ratio == pytest.approx(2.0, rel=0.05)
    assert any("values count those at the new prices" in note for note in doubled.warnings)
    summary = summarize_purchases(company(2.0), observation_end=END, time_unit="week").collect()
    shown = doubled.customers.join(summary, on="customer_id")  # what was paid stays what was paid
    assert shown["monetary_value"].equals(shown["monetary_value_right"])

    rescorer = Rescorer.from_card(doubled.model)
    found = rescorer.value_rows(
        *(doubled.customers[name] for name in ("frequency", "recency", "T")),
        doubled.customers["monetary_value"].fill_null(float("nan")),
    )
    for name in ("expected_spend", "customer_lifetime_value"):
        assert found.columns[name] == pytest.approx(doubled.customers[name].to_numpy(), rel=1e-9)


def test_a_step_that_has_not_lasted_is_told_and_moves_nothing() -> None:
    early = RAISED + timedelta(days=75)
    step = find_change(company(2.0), end=early)
    assert step is not None
    assert not step.lasts
    assert "until that has lasted 90 days" in step.note
    assert valued(company(2.0), early).model["prices"] is None


def drifting(yearly: float, *, seed: int = 1) -> pl.LazyFrame:
    """The same company, with amounts that are times `yearly` from one year to the next."""
    years = (pl.col("date") - START).dt.total_days() / 365.25
    return company(1.0, seed=seed).with_columns(
        amount=(pl.col("amount") * yearly**years).round().cast(pl.Int64)
    )


@pytest.mark.parametrize("yearly", [1.3, 0.8])
def test_prices_that_drift_are_told_by_the_year(yearly: float) -> None:
    drift = find_change(drifting(yearly), end=END)
    assert isinstance(drift, Drift)
    assert abs(drift.change - np.log(yearly)) < 3.0 * drift.std_error
    assert find_change(drifting(1.02), end=END) is None
    first = START + timedelta(days=500)  # a season may rise for a year and a half
    assert not isinstance(find_change(drifting(yearly), end=first), Drift)


def test_values_count_what_was_paid_while_prices_drift_at_those_of_today() -> None:
    risen, same = valued(drifting(1.4)), valued(company(1.0))
    today = 1.4 ** ((END - START).days / 365.25)
    values = [each.model["totals"]["customer_lifetime_value"] for each in (risen, same)]
    # 17 % too low at what was paid, 13 % where the drift is taken for a step
    assert values[0] / values[1] == pytest.approx(today, rel=0.04)
    assert any("customers pay +4" in note and "a purchase each year" in note for note in risen.warnings)


def test_repeat_purchases_of_a_drift_count_as_spread_evenly_before_the_last() -> None:
    clock = Clock(first=START, end=END, time_unit="week", prices=(0, 0.0, 0.001))
    first, last = START, START + timedelta(days=400)
    summary = pl.DataFrame(
        {"first_purchase": [first], "last_purchase": [last], "frequency": [5], "monetary_value": [10.0]}
    )
    days = np.linspace(0, 400, 100_001)
    paid = (4 * np.exp(0.001 * (days - 600)).mean() + np.exp(0.001 * (400 - 600))) / 5
    found = clock.retime(summary, origin=START + timedelta(days=600))["monetary_value"].item()
    assert found == pytest.approx(10.0 / paid, rel=1e-4)


def test_repeat_purchases_before_the_step_count_at_the_new_price() -> None:
    clock = Clock(first=START, end=END, time_unit="week", prices=(100, float(np.log(2.0)), 0.0))
    days = [START + timedelta(days=day) for day in (0, 0, 100, 0)]
    last = [START + timedelta(days=day) for day in (50, 200, 300, 0)]
    summary = pl.DataFrame(
        {
            "first_purchase": days,
            "last_purchase": last,
            "frequency": [1, 3, 2, 0],
            "monetary_value": [10.0, 10.0, 10.0, None],
        }
    )
    # all at the old price; the last at the new one and of the two others one; all at the new price; none
    found = clock.retime(summary, origin=END)["monetary_value"].to_list()
    assert found == pytest.approx([20.0, 10.0 * 2.0 / (1 / 3 + 2 / 3 * 2.0), 10.0, None])
    before = clock.retime(summary, origin=START + timedelta(days=99))["monetary_value"]
    assert before.to_list() == [10.0, 10.0, 10.0, None]
    assert Clock.of(clock.fields()) == clock
