"""A kept forecast says on the run's day what the run said, customer by customer, and goes on from there."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from clv.challenger import CHALLENGER, Tilt
from clv.fitting import fit_models
from clv.kept import KeptForecast
from clv.outlook import Company, Outlook, look_ahead
from clv.settings import ValueSettings
from clv.summary import summarize_purchases
from clv.trees import Trees
from tests.clv.test_calendar import END, START
from tests.clv.test_calendar import company as campaigns

SETTINGS = ValueSettings(
    models=("mbg_nbd", "pareto_nbd"),
    covariates=("region", "age"),
    dynamic_covariates=("campaign", "call"),
)


@pytest.fixture(scope="module")
def made() -> tuple[pl.LazyFrame, pl.DataFrame, pl.DataFrame, Outlook]:
    """A company with campaigns, traits and calls to single customers, and its forecast of 90 days."""
    purchases, calendar = campaigns(700)
    rng = np.random.default_rng(2)
    ids = purchases.select(pl.col("customer_id").unique().sort()).collect()
    customers = ids.with_columns(
        region=pl.Series(rng.choice(["north", "south", "west"], ids.height)),
        age=pl.Series(rng.integers(20, 70, ids.height)),
    )
    day = [START + timedelta(days=int(d)) for d in rng.integers(0, 600, ids.height)]
    calls = ids.with_columns(
        start=pl.Series(day), end=pl.Series(day) + pl.duration(days=20), call=pl.lit(1.0)
    )
    calendar = pl.concat([calendar, calls], how="diagonal").with_columns(pl.col("campaign").cast(pl.Float64))
    company = Company(
        purchases_at=lambda until: purchases.filter(pl.col("date") <= until),
        settings=SETTINGS,
        first=START,
        time_unit="week",
        customers=customers,
        calendar=calendar,
    )
    summary = summary_at(purchases, END)
    fits, _ = fit_models(SETTINGS.models, summary, penalizer=0.0)
    outlook = look_ahead(company, summary, fits, origin=END, days=90.25)
    assert outlook is not None
    return purchases, customers, calendar, outlook


def summary_at(purchases: pl.LazyFrame, day: date) -> pl.DataFrame:
    return summarize_purchases(purchases, observation_end=day, time_unit="week").sort("customer_id").collect()


def test_on_the_day_of_the_run_it_is_the_run_s_forecast_and_one_customer_does_not_depend_on_others(
    made: tuple[pl.LazyFrame, pl.DataFrame, pl.DataFrame, Outlook],
) -> None:
    purchases, customers, calendar, outlook = made
    assert set(outlook.stack.weights) == {"mbg_nbd", "pareto_nbd", "pareto_nbd_covariates", CHALLENGER}
    assert not outlook.clock.is_calendar
    told = json.dumps(KeptForecast.of(outlook, Tilt(level=0.9, scale=1.1)).to_dict(), sort_keys=True)
    kept = KeptForecast.from_dict(json.loads(told))
    known = {"customers": customers, "calendar": calendar}
    past = purchases.filter(pl.col("date") <= END)
    summary = summary_at(past, END)
    found, notes = kept.forecast(summary, past, origin=END, **known)
    assert not notes
    assert found == pytest.approx(outlook.expected, rel=1e-9)
    assert kept.tilt == Tilt(level=0.9, scale=1.1)

    some = summary.filter(pl.col("customer_id") % 7 == 3)
    alone, _ = kept.forecast(some, past.filter(pl.col("customer_id") % 7 == 3), origin=END, **known)
    assert alone == pytest.approx(found[summary["customer_id"].to_numpy() % 7 == 3], rel=1e-9)

    later = END + timedelta(days=30)
    silent, _ = kept.forecast(summary_at(past, later), past, origin=later, **known)
    assert silent.sum() < 0.9 * found.sum()

    without, notes = kept.forecast(summary, past, origin=END, calendar=calendar)
    assert any('"region" is not a column' in note for note in notes)
    assert without.sum() == pytest.approx(found.sum(), rel=0.2)


def test_trees_say_what_the_library_says_with_values_missing() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(3000, 5))
    features[rng.random(features.shape) < 0.2] = np.nan
    counts = rng.poisson(np.exp(np.nan_to_num(features[:, 0]) + 0.5 * np.isnan(features[:, 1])))
    regressor = HistGradientBoostingRegressor(loss="poisson", max_iter=40).fit(features, counts)
    trees = Trees.from_dict(json.loads(json.dumps(Trees.of(regressor).to_dict())))
    asked = rng.normal(size=(500, 5)) * 3.0
    asked[rng.random(asked.shape) < 0.2] = np.nan
    assert trees.predict(asked) == pytest.approx(regressor.predict(asked), rel=1e-12)
