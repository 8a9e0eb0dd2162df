"""The company's expected purchases and value carry the interval of their expectation."""

from __future__ import annotations

import datetime as dt

import pytest

from clv.settings import ValueSettings
from clv.valuation import value_customers
from tests.clv.data import cdnow_purchases

CHOICES = {"models": ("bg_nbd",), "gross_margin": 0.3, "challenger": False, "origins": 1}


@pytest.mark.parametrize("draws", [0, 400])
def test_totals_are_the_sums_of_the_customers_with_an_interval_around_them(draws: int) -> None:
    made = value_customers(
        cdnow_purchases().lazy(),
        settings=ValueSettings(posterior_draws=draws, **CHOICES),
        observation_end=dt.date(1998, 6, 30),
        calibration_end=dt.date(1997, 9, 30),
        time_unit="week",
        currency="USD",
        seed=1,
    )
    totals = made.model["totals"]
    assert totals["customer_lifetime_value"] == pytest.approx(made.customers["customer_lifetime_value"].sum())
    assert totals["expected_purchases"] == pytest.approx(made.customers["expected_purchases"].sum())
    if draws == 0:  # intervals are switched off
        assert totals["customer_lifetime_value_low"] is None
    else:
        low, high = (totals[f"customer_lifetime_value_{end}"] for end in ("low", "high"))
        assert 0.5 * totals["customer_lifetime_value"] < low < totals["customer_lifetime_value"] < high
