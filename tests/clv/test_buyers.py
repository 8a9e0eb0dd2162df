"""How many customers were to buy at all, against who did."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl
import pytest

from clv.buyers import Buyers
from clv.outlook import Outlook
from histories.arrays import Float

DAY = dt.date(2026, 1, 31)


def buyers(actual: int, *, forecast: float = 1.0) -> Buyers:
    """A hundred customers, each alive for sure and silent with a chance of a half; `actual` of them buy."""

    def each(value: float) -> Float:
        return np.full(100, value)

    fit = SimpleNamespace(
        predict_no_purchase=lambda ahead, *_: each(0.5),
        predict_purchases=lambda ahead, *_: each(1.0)[None, :],
        predict_alive=lambda *_: each(1.0),
    )
    outlook = SimpleNamespace(
        fits={"bg_nbd": fit},
        base="bg_nbd",
        chosen="bg_nbd" if forecast == 1.0 else "stack",
        expected=each(forecast),
        clock=SimpleNamespace(ahead=lambda origin, days: days / 7),
        origin=DAY,
        days=28.0,
    )
    timed = pl.DataFrame({"frequency": each(1.0), "recency": each(1.0), "T": each(2.0)})
    bought = np.where(np.arange(100) < actual, 3.0, 0.0)
    return Buyers.of(cast("Outlook", outlook), timed, bought, until=dt.date(2026, 2, 28))


@pytest.mark.parametrize(("actual", "told"), [(29, "too low"), (30, None), (70, None), (71, "too high")])
def test_chances_are_refuted_beyond_three_deviations_and_a_tenth(actual: int, told: str | None) -> None:
    found = buyers(actual)
    assert (found.expected, found.low, found.high) == pytest.approx((50.0, 30.0, 70.0))
    assert found.actual == actual
    assert (found.note is None) == (told is None)
    assert str(found.note).endswith(told or "None")


def test_chances_follow_the_forecast_that_counts() -> None:
    assert buyers(50, forecast=2.0).expected == pytest.approx(75.0)  # alive already: 1 - .5^2


def test_the_figures_stand_in_the_table_of_validation() -> None:
    rows = buyers(40).rows().select("metric", "value", "low", "high").rows()
    assert rows == [("buyers_predicted", 50.0, 30.0, 70.0), ("buyers_actual", 40.0, None, None)]
