"""After an incident: customers are held against others like them, and it is called an association."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Effect
from attribution.effects.run import estimate_effect
from histories.errors import DataError
from histories.money import MONEY_SCALE

DESIGN = EffectDesign(
    name="after an incident",
    design="incident",
    outcomes=("retention",),
    follow_up_days=90,
)
FIRST, END = dt.date(2025, 1, 1), dt.date(2026, 1, 31)
HAZARD = 0.05
"""Chance of leaving in 30 days of a customer of middling value."""


def company(ratio: float, *, n: int = 6000, seed: int = 1, contractual: bool = True) -> EffectTables:
    """Of these customers the poor rate 1, and leave, more often; an incident multiplies the hazard."""
    rng = np.random.default_rng(seed)
    value = rng.normal(size=n)
    opened = rng.integers(180, 280, n)
    rated = rng.random(n) < 0.7
    incident = rng.random(n) < 1 / (1 + np.exp(1.5 + 1.2 * value))
    hazard = HAZARD * np.exp(-0.7 * value) * np.where(incident & rated, ratio, 1.0)
    left = opened + np.ceil(rng.exponential(30 / np.clip(hazard, 1e-3, None))).astype(int)
    day = lambda days: [FIRST + dt.timedelta(days=int(d)) for d in days]  # noqa: E731
    ids = np.arange(n)
    bought = [(ids, opened - back, np.round(np.exp(3 + 0.5 * value), 2)) for back in (20, 60, 100, 140)]
    purchases = pl.DataFrame(
        {
            "customer_id": np.concatenate([row[0] for row in bought]),
            "date": day(np.concatenate([row[1] for row in bought])),
            "amount": (np.concatenate([row[2] for row in bought]) * MONEY_SCALE).astype(np.int64),
        }
    ).with_columns(timestamp=pl.col("date").cast(pl.Datetime("us")))
    gone = pl.Series("ended_at", day(np.minimum(left, 2000))).cast(pl.Date)
    ended = gone.set(pl.Series(left > (END - FIRST).days), None)
    customers = pl.DataFrame({"customer_id": ids, "acquired_at": [FIRST] * n, "ended_at": ended})
    cases = pl.DataFrame(
        {
            "case_id": ids.astype(str),
            "customer_id": ids,
            "channel": ["mail"] * n,
            "opened_at": day(opened),
            "csat": pl.Series(np.where(incident, 1.0, 4.0)).set(pl.Series(~rated), None),
        }
    ).with_columns(pl.col("opened_at").cast(pl.Datetime("us")))
    customers = customers if contractual else customers.drop("ended_at")
    return EffectTables(cases=cases.lazy(), purchases=purchases.lazy(), customers=customers.lazy())


def rows(tables: EffectTables, design: EffectDesign = DESIGN) -> dict[tuple[str, str], Effect]:
    found = estimate_effect(design, tables=tables, observation_end=END)
    return {(e.estimator, e.estimand): e for e in found.effects}


def test_a_doubled_hazard_is_found_where_the_plain_difference_says_more() -> None:
    found = rows(company(2.0))
    hazard = found["discrete_hazard", "log hazard ratio"]
    assert hazard.low < np.log(2) < hazard.high
    assert hazard.low > 0.3
    alike, naive = found["aipw", "ATT"], found["naive", "ATE"]
    assert naive.estimate < alike.low
    assert alike.high < 0


def test_customers_alike_who_fare_alike_differ_in_nothing() -> None:
    found = rows(company(1.0, seed=2))
    hazard = found["discrete_hazard", "log hazard ratio"]
    assert hazard.low < 0 < hazard.high
    assert found["aipw", "ATT"].low < 0 < found["aipw", "ATT"].high
    assert found["naive", "ATE"].high < -0.03


def test_it_is_an_association_whatever_comes_out() -> None:
    for effect in rows(company(2.0)).values():
        assert not effect.supported
        if effect.estimator != "naive":
            assert "an association" in effect.reason
    assert effect.control == "cases that ended otherwise"
    assert effect.treatment == "rated 1 or bitter in tone"


def test_without_recorded_leaving_there_is_no_hazard() -> None:
    found = rows(company(2.0, n=2000, contractual=False))
    assert ("discrete_hazard", "log hazard ratio") not in found
    assert ("aipw", "ATE") in found


def test_a_bitter_tone_is_an_incident_and_no_covariate() -> None:
    tables = company(2.0)
    toned = tables.cases.with_columns(
        sentiment_last=pl.when(pl.col("csat") == 1).then(-0.8).otherwise(-0.2), sentiment_first=pl.lit(0.1)
    ).drop("csat")
    found = rows(replace(tables, cases=toned))
    assert found["discrete_hazard", "log hazard ratio"].low > 0
    assert found["aipw", "ATT"].n_treated > 500


def test_cases_that_nobody_rated_say_nothing() -> None:
    tables = company(1.0, n=300)
    with pytest.raises(DataError, match="no case has a rating"):
        rows(replace(tables, cases=tables.cases.drop("csat")))
    with pytest.raises(ValidationError, match="incident compares by rating and tone"):
        replace(DESIGN, treatment={"first_response_minutes": 60})
