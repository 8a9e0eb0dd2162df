"""Companies that no simulator had in mind: a right answer or a refusal, never NaN, and a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from clv.settings import ValueSettings
from clv.valuation import CustomerValues, value_customers

Rows = list[tuple[int, int]]
FIRST = date(2023, 1, 1)


@cache
def value(company: Callable[[], Rows]) -> CustomerValues:
    """The values of customers who bought on the days of these rows, in amounts around 30."""
    rows = company()
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(sorted(set(rows)), schema=["customer_id", "day"], orient="row").with_columns(
        date=pl.lit(FIRST) + pl.duration(days="day"),
    )
    purchases = frame.drop("day").with_columns(
        timestamp=pl.col("date").cast(pl.Datetime("us")),
        amount=pl.Series(rng.gamma(3.0, 100_000.0, frame.height).astype(np.int64)),
        margin=pl.lit(None, dtype=pl.Int64),
    )
    settings = ValueSettings(
        models=("bg_nbd", "mbg_nbd", "pareto_nbd"), challenger=False, posterior_draws=100
    )
    return value_customers(
        purchases.lazy(),
        settings=settings,
        observation_end=FIRST + timedelta(days=max(day for _, day in rows)),
        calibration_end=None,
        time_unit="week",
        currency="EUR",
        seed=1,
    )


def shoppers(n: int, last: int) -> Rows:
    rng = np.random.default_rng(1)
    rows = []
    for customer in range(n):
        day, rate = int(rng.integers(0, last // 2)), rng.gamma(1.0, 0.03)
        while day < last:
            rows.append((customer, day))
            day += max(1, int(rng.exponential(1.0 / max(rate, 1e-4))))
    return rows


def on_the_dot() -> Rows:
    return [(customer, day) for customer in range(150) for day in range(customer % 30, 600, 30)]


def everyone_stops() -> Rows:
    return [row for row in shoppers(300, 700) if row[1] < 420] + [(9999, 699)]


def back_after_two_years() -> Rows:
    return shoppers(200, 300) + [(customer, 900 + customer % 60) for customer in range(200)]


def one_customer() -> Rows:
    return [(1, day) for day in (0, 5, 9, 40, 200, 300)]


def daily() -> Rows:
    return [(customer, day) for customer in range(40) for day in range(0, 500, 1 + customer % 3)]


def leavers() -> Rows:
    """Customers who buy once in three weeks and leave after a year on average."""
    rng, rows = np.random.default_rng(5), []
    for customer in range(900):
        day, leaves = rng.uniform(0, 870), rng.exponential(365)
        leaves += day
        while day < min(leaves, 900):
            rows.append((customer, int(day)))
            day += rng.exponential(21)
    return rows


def without_the_silent() -> Rows:
    """The same company without whoever bought nothing for 270 days."""
    rows = leavers()
    stayed = {customer for customer, day in rows if day >= 630}
    return [row for row in rows if row[0] in stayed]


def test_customers_who_stayed_say_nothing_of_leaving() -> None:
    whole, stayed = value(leavers), value(without_the_silent)
    assert whole.model["forecast"]["status"] == "supported"
    assert stayed.model["forecast"]["status"] == "refuted"
    reason = stayed.model["forecast"]["reason"]
    assert reason.startswith("hardly anybody bought for the last time before 2024-09-2")
    alive = [values.customers["probability_alive"].sum() for values in (whole, stayed)]
    assert alive[1] > 1.2 * alive[0]  # of the same living customers, and the fewer dead


@pytest.mark.parametrize(
    "company",
    [on_the_dot, everyone_stops, back_after_two_years, one_customer, daily],
    ids=lambda f: f.__name__,
)
def test_no_company_gives_nan_or_a_card_that_is_no_json(company: Callable[[], Rows]) -> None:
    values = value(company)
    for column in values.customers.select(pl.selectors.float()).iter_columns():
        assert not column.is_nan().any(), column.name
        assert not column.is_infinite().any(), column.name
    json.dumps(dict(values.model), allow_nan=False)


def test_customers_who_buy_on_the_dot_go_on_so() -> None:
    values = value(on_the_dot)
    latest = values.model["forecast"]["origins"][0]
    assert abs(latest["total_error"]) < 0.1
    assert values.model["totals"]["expected_purchases"] == pytest.approx(150 * 365 / 30, rel=0.1)


@pytest.mark.parametrize("company", [everyone_stops, back_after_two_years], ids=lambda f: f.__name__)
def test_a_company_that_turned_has_a_refuted_headline(company: Callable[[], Rows]) -> None:
    values = value(company)
    assert values.model["forecast"]["status"] == "refuted"
    assert values.model["forecast"]["reason"]
    assert any(warning.startswith("lifetime value is refuted") for warning in values.warnings)


def test_a_few_very_large_amounts_leave_customers_their_limits() -> None:
    rng = np.random.default_rng(2)
    own = np.exp(rng.normal(3.5, 2.0, 300))
    rows = pl.DataFrame(sorted(set(shoppers(300, 700))), schema=["customer_id", "day"], orient="row")
    paid = own[rows["customer_id"].to_numpy()] * np.exp(rng.normal(0.0, 0.4, rows.height))
    purchases = rows.select(
        "customer_id",
        date=pl.lit(FIRST) + pl.duration(days="day"),
        amount=pl.Series((10_000 * paid).astype(np.int64)),
        margin=pl.lit(None, dtype=pl.Int64),
    ).with_columns(timestamp=pl.col("date").cast(pl.Datetime("us")))
    values = value_customers(
        purchases.lazy(),
        settings=ValueSettings(models=("mbg_nbd",), challenger=False, posterior_draws=100, origins=1),
        observation_end=FIRST + timedelta(days=700),
        calibration_end=None,
        time_unit="week",
        currency="EUR",
        seed=1,
    )
    assert any("leave the mean of the population without limits" in note for note in values.warnings)
    low, value, high = (values.customers[f"customer_lifetime_value{end}"] for end in ("_low", "", "_high"))
    assert not high.null_count()
    assert (low <= high).all()
    assert float(low.sum()) < float(value.sum()) < float(high.sum())
