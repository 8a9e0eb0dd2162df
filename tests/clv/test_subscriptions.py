"""Customers under contract: who is there is known, and values follow from months to come."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from clv.contractual import ShiftedBetaGeometric
from clv.settings import ValueSettings
from clv.subscriptions import fit_contracts, has_contracts, retention_curve
from clv.summary import summarize_purchases
from clv.valuation import CustomerValues, value_customers

START, END = date(2023, 1, 1), date(2025, 6, 30)
MONTH = 30.4375


def company(n: int = 1200, seed: int = 2) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Subscribers who leave at month ends with probability beta(0.8, 12) and buy at their own rates."""
    rng = np.random.default_rng(seed)
    customers, rows = [], []
    for customer in range(n):
        joined = START + timedelta(days=int(rng.integers(0, 500)))
        months = min(int(rng.geometric(rng.beta(0.8, 12.0))), 600)
        left = joined + timedelta(days=round(months * MONTH))
        customers.append((customer, joined, left if left <= END else None))
        stay = (min(left, END) - joined).days
        days = {0} | set(
            rng.integers(0, max(stay, 1), rng.poisson(rng.gamma(2.0, 0.5) * stay / MONTH)).tolist()
        )
        rows += [(customer, joined + timedelta(days=d), int(rng.gamma(4.0, 50_000.0))) for d in days]
    table = pl.DataFrame(customers, schema=["customer_id", "acquired_at", "ended_at"], orient="row")
    bought = pl.DataFrame(rows, schema=["customer_id", "date", "amount"], orient="row").with_columns(
        timestamp=pl.col("date").cast(pl.Datetime("us")), margin=pl.lit(None, dtype=pl.Int64)
    )
    return table, bought


@pytest.fixture(scope="module")
def valued() -> tuple[pl.DataFrame, CustomerValues]:
    customers, purchases = company()
    values = value_customers(
        purchases.lazy(),
        settings=ValueSettings(
            models=("bg_nbd",), origins=1, challenger=False, gross_margin=0.5, season=False
        ),
        observation_end=END,
        calibration_end=date(2024, 12, 31),
        time_unit="week",
        currency="EUR",
        seed=1,
        customers=customers,
    )
    return customers, values


def test_those_who_left_are_worth_nothing_and_those_who_stay_are_there(
    valued: tuple[pl.DataFrame, CustomerValues],
) -> None:
    customers, values = valued
    joined = values.customers.join(customers, on="customer_id")
    gone, there = joined.filter(pl.col("ended_at").is_not_null()), joined.filter(pl.col("ended_at").is_null())
    assert (gone["probability_alive"] == 0.0).all()
    assert (gone["customer_lifetime_value"] == 0.0).all()
    assert (there["probability_alive"] == 1.0).all()
    assert there["churn_probability"].is_between(0.0, 1.0, closed="none").all()
    inside = there["expected_purchases"].is_between(
        there["expected_purchases_low"], there["expected_purchases_high"]
    )
    assert inside.mean() > 0.95  # type: ignore[operator]
    assert set(joined["model"]) == {"contract"}


def test_the_holdout_of_contracts_is_forecast_and_told(valued: tuple[pl.DataFrame, CustomerValues]) -> None:
    values = valued[1]
    (score,) = values.model["forecast"]["origins"]
    assert score["model"] == values.model["chosen"] == "contract"
    assert abs(score["total_error"]) < 0.1
    assert score["low"] < score["actual"] < score["high"]
    assert "contract" in values.validation["model"].to_list()
    assert not values.validation["metric"].str.starts_with("buyers").any()  # whose chance is another
    assert not any("expected to buy" in note for note in values.warnings)
    totals = values.model["totals"]
    assert totals["expected_purchases_low"] < totals["expected_purchases"] < totals["expected_purchases_high"]


def test_retention_and_cohorts_stand_beside_what_the_model_expects(
    valued: tuple[pl.DataFrame, CustomerValues],
) -> None:
    card = valued[1].model["contract"]
    first_year = [row for row in card["retention"] if row["month"] <= 12]
    assert all(row["low"] - 0.02 <= row["expected"] <= row["high"] + 0.02 for row in first_year)
    assert sum(cohort["customers"] for cohort in card["cohorts"]) == 1200
    assert all(abs(cohort["retained"] - cohort["expected"]) < 0.15 for cohort in card["cohorts"])


def test_the_observed_curve_is_kaplan_and_meiers() -> None:
    day = date(2025, 1, 1)
    customers = pl.DataFrame(
        {
            "customer_id": [1, 2, 3, 4],
            "acquired_at": [day, day, day, day + timedelta(days=50)],
            "ended_at": [day + timedelta(days=30), None, None, None],
        }
    )
    fit = ShiftedBetaGeometric().fit([1.0, 3.0, 3.0], [True, False, False])
    curve = retention_curve(customers, fit, end=day + timedelta(days=95), level=0.9)
    assert curve["at_risk"].to_list() == [4, 2, 2]
    assert curve["retained"].to_list() == [0.75, 0.75, 0.75]


def test_what_was_not_known_yet_does_not_reach_an_earlier_fit() -> None:
    customers, purchases = company(300)
    early = date(2024, 3, 31)
    summary = summarize_purchases(purchases.lazy(), observation_end=early, time_unit="week").collect()
    fit = fit_contracts(customers, summary, end=early)
    unknown = customers.with_columns(ended_at=pl.when(pl.col("ended_at") <= early).then(pl.col("ended_at")))
    again = fit_contracts(unknown, summary, end=early)
    assert fit.frame.equals(again.frame)
    assert fit.leaving.a == again.leaving.a


def test_monthly_fees_come_at_their_rate_and_not_half_a_payment_late() -> None:
    """Fees every 30 days from the first, up to half a year ago: .93 a month without what comes short."""
    rng = np.random.default_rng(5)
    starts = rng.integers(0, 180, 800)
    stays = 30 * rng.geometric(0.05, 800)
    told = [
        (START + timedelta(days=int(s)), START + timedelta(days=int(s + t)))
        for s, t in zip(starts, stays, strict=True)
    ]
    end = START + timedelta(days=240)
    customers = pl.DataFrame(
        {
            "customer_id": range(800),
            "acquired_at": [start for start, _ in told],
            "ended_at": [left if left <= end else None for _, left in told],
        }
    )
    rows = [
        (customer, start + timedelta(days=day), 100_000)
        for customer, (start, left) in enumerate(told)
        for day in range(0, (min(left, end + timedelta(days=1)) - start).days, 30)
    ]
    fees = pl.DataFrame(rows, schema=["customer_id", "date", "amount"], orient="row").with_columns(
        timestamp=pl.col("date").cast(pl.Datetime("us")), margin=pl.lit(None, dtype=pl.Int64)
    )
    summary = summarize_purchases(fees.lazy(), observation_end=end, time_unit="week").collect()
    fit = fit_contracts(customers, summary, end=end)
    there = fit.frame["there"].to_numpy()
    assert fit.short == pytest.approx((0.5, 1.0), abs=0.03)
    assert fit.rate()[there].mean() == pytest.approx(MONTH / 30.0, rel=0.02)


def test_purchases_by_chance_come_no_less_often_than_their_rate() -> None:
    customers, purchases = company(1500)
    summary = summarize_purchases(purchases.lazy(), observation_end=END, time_unit="week").collect()
    assert fit_contracts(customers, summary, end=END).short == pytest.approx((0.0, 0.0), abs=0.05)


def test_a_table_without_leavers_has_no_contracts() -> None:
    customers, _ = company(20)
    assert has_contracts(customers)
    assert not has_contracts(customers.with_columns(ended_at=pl.lit(None, dtype=pl.Date)))
    assert not has_contracts(None)
