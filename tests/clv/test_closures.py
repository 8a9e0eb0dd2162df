"""A company that was closed for months: its customers did not leave."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from clv.clock import closures, within
from clv.fitting import fit_models
from clv.judgement import judge_models
from clv.outlook import Company, look_ahead, summarize_window
from clv.pictures import alive_history, tracking
from clv.settings import ValueSettings
from clv.valuation import CustomerValues, value_customers

START, SHUT, REOPENED, END = (date(2024, m, 1) for m in (1, 5, 8, 11))
DAYS = 600


def shop(customers: int = 800) -> pl.LazyFrame:
    """BG/NBD customers of a shop that is closed from May to July, everybody's time standing still."""
    rng = np.random.default_rng(7)
    shut = range((SHUT - START).days, (REOPENED - START).days)
    rows = []
    for customer in range(customers):
        day = int(rng.integers(0, (SHUT - START).days))
        rate, dropout = rng.gamma(2.0, 1.0 / 30.0), rng.beta(1.0, 12.0)
        rows.append((customer, START + timedelta(days=day)))
        for later in range(day + 1, DAYS):
            if later not in shut and rng.random() < rate:
                rows.append((customer, START + timedelta(days=later)))
                if rng.random() < dropout:
                    break
    dates = [day for _, day in rows]
    return pl.LazyFrame(
        {
            "customer_id": [customer for customer, _ in rows],
            "date": dates,
            "timestamp": [datetime(d.year, d.month, d.day) for d in dates],
            "amount": [100_000] * len(rows),
            "margin": pl.Series([None] * len(rows), dtype=pl.Int64),
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )


def company(purchases: pl.LazyFrame) -> Company:
    settings = ValueSettings(models=("mbg_nbd", "bg_nbd"), challenger=False)
    return Company(
        purchases_at=lambda day: purchases.filter(pl.col("date") <= day),
        settings=settings,
        first=START,
        time_unit="week",
    )


def test_time_stands_still_while_the_shop_is_closed() -> None:
    purchases = shop()
    asked = company(purchases)
    summary = summarize_window(lambda day: purchases, END, END + timedelta(days=90), time_unit="week")
    fits, _ = fit_models(asked.settings.models, summary, penalizer=0.0)
    outlook = look_ahead(asked, summary, fits, origin=END, days=90)
    assert outlook is not None
    assert outlook.clock.closed == (((SHUT - START).days, (REOPENED - START).days - 1),)
    assert "nothing was sold from 2024-05-01 to 2024-07-31" in " ".join(outlook.notes)
    came = float(summary["holdout_purchases"].sum())
    assert outlook.expected.sum() == pytest.approx(came, rel=0.08)
    x, t_x, T = (summary[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T"))
    counted = fits["mbg_nbd"].predict_purchases(np.array([90 / 7]), x, t_x, T).sum()
    assert counted < 0.8 * came  # with the closed months as silence


def test_an_origin_in_the_closed_months_is_not_judged() -> None:
    judged = judge_models(
        company(shop(120)),
        observation_end=date(2025, 3, 1),
        calibration_end=END,
        rng=np.random.default_rng(1),
    )
    assert any("earlier origins lie where nothing was sold" in note for note in judged.notes)
    shut = closures(shop(120), first=START, end=END)
    assert all(not within(shut, (score.origin - START).days) for score in judged.scores)


@pytest.mark.parametrize(
    ("silent", "daily", "found"),
    [(13, 30, False), (14, 30, True), (40, 1, True), (40, 0.5, False), (20, 1, False)],
)
def test_only_silence_that_chance_cannot_explain_is_a_closure(silent: int, daily: float, found: bool) -> None:
    each = max(int(1 / daily), 1)
    days = [START + timedelta(days=day) for day in range(0, 60, each)]
    days += [day + timedelta(days=60 + silent - (each - 1)) for day in days]
    sold = pl.LazyFrame({"date": days * max(int(daily), 1)})
    assert bool(closures(sold, first=START, end=max(days))) is found


def test_silence_at_the_end_is_no_closure() -> None:
    sold = pl.LazyFrame({"date": [START] * 1000})
    assert closures(sold, first=START, end=END) == ()


def valued(purchases: pl.LazyFrame, end: date) -> CustomerValues:
    return value_customers(
        purchases,
        settings=ValueSettings(
            models=("mbg_nbd", "mbg_cnbd_2"),
            season=False,
            challenger=False,
            posterior_draws=0,
            origins=1,
            horizon_months=6,
        ),
        observation_end=end,
        calibration_end=None,
        time_unit="week",
        currency="EUR",
        seed=1,
    )


def test_presence_dates_and_values_are_those_of_a_calendar_without_the_closed_months() -> None:
    purchases = shop().filter(pl.col("date") <= END)
    length = (REOPENED - SHUT).days
    moved = pl.when(pl.col("date") >= REOPENED).then(pl.duration(days=length)).otherwise(pl.duration(days=0))
    earlier = pl.col("date") - moved
    without = purchases.with_columns(date=earlier, timestamp=earlier.cast(pl.Datetime("us")))
    shut, open_ = (
        valued(rows, end) for rows, end in ((purchases, END), (without, END - timedelta(days=length)))
    )
    found, cut = (values.customers.sort("customer_id") for values in (shut, open_))
    alive = cut["probability_alive"].to_numpy()
    assert found["probability_alive"].to_numpy() == pytest.approx(alive, rel=2e-3)
    ahead = found["expected_next_purchase"] - cut["expected_next_purchase"]
    assert ahead.drop_nulls().dt.total_days().is_in([length - 1, length, length + 1]).all()
    assert found["T"].max() == cut["T"].max() + length / 7  # what a reader sees stays the calendar's
    final, same = (values.model["final"]["mbg_cnbd_2"]["log_likelihood"] for values in (shut, open_))
    assert final == pytest.approx(same, rel=1e-6)

    april = shut.cohorts.filter(cohort=date(2024, 4, 1))  # 31 to 60 days old at the most when it was closed
    assert april["purchases_expected"][2] == 0.0
    assert april["purchases_observed"][2] == 0.0
    assert april["purchases_expected"][5] == pytest.approx(april["purchases_observed"][5], rel=0.4)


def test_pictures_stand_still_where_nothing_was_sold() -> None:
    purchases = shop()
    summary = summarize_window(lambda day: purchases, END, END + timedelta(days=90), time_unit="week")
    fit = fit_models(("mbg_nbd",), summary, penalizer=0.0)[0]["mbg_nbd"]
    opened = company(purchases).opened_at(END)
    line = alive_history(
        fit, [START, SHUT - timedelta(days=9)], until=END, time_unit="week", step_days=1, opened=opened
    )
    shut = line.filter(pl.col("date").is_between(SHUT, REOPENED - timedelta(days=1)))["probability_alive"]
    assert shut.max() == shut.min() > line["probability_alive"][-1]
    drawn = tracking(
        purchases, fit, observation_end=END, time_unit="week", closed=[list(s) for s in opened.closed]
    )
    inside = pl.col("date").is_between(SHUT + timedelta(days=7), REOPENED - timedelta(days=1))
    assert drawn.filter(inside)["expected"].sum() == 0.0
    assert drawn.filter(pl.col("date") > REOPENED)["expected"].min() > 0.0
