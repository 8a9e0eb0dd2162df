"""Contracts are scored as the run valued them: who cancelled is gone."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import polars as pl
import pytest

from clv.settings import ValueSettings
from clv.valuation import CustomerValues, value_customers
from experiments.bundle.reading import Bundle
from experiments.parts.histories import Histories
from experiments.scoring import score_bundle
from histories.errors import DataError
from tests.clv.test_subscriptions import END, company

SCORED = ("probability_alive", "churn_probability", "expected_purchases", "customer_lifetime_value")


@pytest.fixture(scope="module")
def valued() -> tuple[pl.DataFrame, pl.DataFrame, CustomerValues, Bundle]:
    customers, purchases = company(600)
    values = value_customers(
        purchases.lazy(),
        settings=ValueSettings(models=("bg_nbd",), origins=1, challenger=False, season=False),
        observation_end=END,
        calibration_end=date(2024, 12, 31),
        time_unit="week",
        currency="EUR",
        seed=1,
        customers=customers,
    )
    card = orjson.loads(orjson.dumps(dict(values.model), option=orjson.OPT_SORT_KEYS))
    bundle = SimpleNamespace(model=card, table=lambda name: values.customers, path=Path("run"))
    return customers, purchases, values, cast(Bundle, bundle)


def on(day: date, customers: pl.DataFrame | None, purchases: pl.DataFrame) -> Histories:
    """What scoring reads of histories."""
    made: Any = SimpleNamespace(
        purchases=purchases.lazy(),
        customers=customers,
        inputs=SimpleNamespace(observation_end=day),
        rows=lambda name: purchases.height,
        table=lambda name: None,
    )
    return cast(Histories, made)


def test_the_run_s_day_gives_the_run_s_table(
    valued: tuple[pl.DataFrame, pl.DataFrame, CustomerValues, Bundle],
) -> None:
    customers, purchases, values, bundle = valued
    found = score_bundle(bundle, on(END, customers, purchases)).customers.sort("customer_id")
    stored = values.customers.sort("customer_id")
    assert 0.2 < stored["probability_alive"].mean() < 0.9  # type: ignore[operator]
    for column in SCORED:
        assert found[column].to_numpy() == pytest.approx(stored[column].to_numpy(), rel=1e-9), column


def test_who_cancels_later_is_gone_and_what_was_expected_is_of_the_contracts(
    valued: tuple[pl.DataFrame, pl.DataFrame, CustomerValues, Bundle],
) -> None:
    customers, purchases, values, bundle = valued
    later = END + timedelta(days=60)
    there = customers.filter(pl.col("ended_at").is_null())["customer_id"]
    leaves = pl.col("customer_id").is_in(there.head(50).implode())
    changed = customers.with_columns(
        ended_at=pl.when(leaves).then(pl.lit(END + timedelta(days=20))).otherwise("ended_at")
    )
    found = score_bundle(bundle, on(later, changed, purchases))
    assert found.customers.filter(leaves)["probability_alive"].to_list() == [0.0] * 50
    assert found.decay is not None
    yearly = float(values.customers["expected_purchases"].sum())
    assert yearly * 60 / 365 < found.decay["expected"] < 1.6 * yearly * 60 / 365


def test_without_the_contracts_nobody_is_scored(
    valued: tuple[pl.DataFrame, pl.DataFrame, CustomerValues, Bundle],
) -> None:
    _, purchases, _, bundle = valued
    with pytest.raises(DataError, match="the run valued contracts"):
        score_bundle(bundle, on(END, None, purchases))
