"""Covariates of the days: recovered from a simulated company, and a forecast without them misses."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from clv.calendar import covariates_by_day
from clv.fitting import fit_models
from clv.outlook import Company, Outlook, look_ahead, summarize_window
from clv.season import estimate_clock
from clv.settings import ValueSettings
from histories.errors import DataError

START, HISTORY, AHEAD = date(2023, 1, 1), 540, 90
END = START + timedelta(days=HISTORY - 1)
#: A campaign multiplies purchases by 1.82; each unit of price takes 10 %.
CAMPAIGN, PRICE = 0.6, -0.1


def company(customers: int = 900) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """BG/NBD customers whose rate is moved by campaigns and prices, both different in what is to come."""
    rng = np.random.default_rng(3)
    days = [START + timedelta(days=day) for day in range(HISTORY + AHEAD)]
    campaign = np.repeat(rng.random(len(days) // 7 + 1) < 0.3, 7)[: len(days)].astype(float)
    price = np.repeat(10.0 + rng.normal(0.0, 2.0, len(days) // 45 + 1), 45)[: len(days)]
    campaign[HISTORY:], price[HISTORY:] = 1.0, 7.0
    pace = np.exp(
        CAMPAIGN * (campaign - campaign[:HISTORY].mean()) + PRICE * (price - price[:HISTORY].mean())
    )
    rows = []
    for customer in range(customers):
        start = int(rng.integers(0, HISTORY))
        rate, dropout = rng.gamma(0.9, 1.0 / 15.0), rng.beta(0.8, 6.0)
        rows.append((customer, days[start]))
        for day in start + 1 + np.flatnonzero(rng.random(len(days) - start - 1) < rate * pace[start + 1 :]):
            rows.append((customer, days[day]))
            if rng.random() < dropout:
                break
    dates = [day for _, day in rows]
    purchases = pl.LazyFrame(
        {
            "customer_id": [customer for customer, _ in rows],
            "date": dates,
            "timestamp": [datetime(d.year, d.month, d.day) for d in dates],
            "amount": [100_000] * len(rows),
            "margin": pl.Series([None] * len(rows), dtype=pl.Int64),
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )
    calendar = pl.DataFrame({"start": days, "end": days, "campaign": campaign == 1.0, "price": price})
    return purchases, calendar


@pytest.fixture(scope="module")
def made() -> tuple[pl.LazyFrame, pl.DataFrame]:
    return company()


def forecast(purchases: pl.LazyFrame, calendar: pl.DataFrame, *names: str) -> tuple[Outlook, float]:
    """What is foreseen, and the log of foreseen over bought."""
    settings = ValueSettings(models=("mbg_nbd",), challenger=False, dynamic_covariates=names)
    asked = Company(
        purchases_at=lambda day: purchases,
        settings=settings,
        first=START,
        time_unit="week",
        calendar=calendar,
    )
    summary = summarize_window(asked.purchases_at, END, END + timedelta(days=AHEAD), time_unit="week")
    fits, _ = fit_models(settings.models, summary, penalizer=0.0)
    outlook = look_ahead(asked, summary, fits, origin=END, days=AHEAD)
    assert outlook is not None
    return outlook, float(np.log(outlook.expected.sum() / summary["holdout_purchases"].sum()))


def test_campaigns_and_prices_are_recovered_and_a_forecast_without_them_misses(
    made: tuple[pl.LazyFrame, pl.DataFrame],
) -> None:
    outlook, missed = forecast(*made, "campaign", "price")
    for (_, estimate, error), truth in zip(outlook.clock.covariates, (CAMPAIGN, PRICE), strict=True):
        assert abs(estimate - truth) < 3.0 * error < 0.15
    naive = forecast(*made)[1]
    assert naive < -0.35  # a third of what was bought
    assert abs(missed) < 0.12


def test_below_a_year_only_covariates_move_the_clock(made: tuple[pl.LazyFrame, pl.DataFrame]) -> None:
    purchases, calendar = made
    end = START + timedelta(days=300)
    known = covariates_by_day(calendar, ["campaign"], first=START, end=end)
    clock = estimate_clock(purchases, first=START, end=end, time_unit="week", covariates=known)
    assert not clock.level
    assert not clock.is_calendar
    ((name, estimate, error),) = clock.covariates
    assert name == "campaign"
    assert estimate == pytest.approx(CAMPAIGN, abs=3.0 * error)
    quiet, busy = np.unique(clock.pace()[:300])
    assert np.log(busy / quiet) == pytest.approx(estimate)
    assert clock.ahead(END + timedelta(days=400), 7) == pytest.approx(1.0)  # beyond the calendar: as usual


def test_spells_are_spread_over_their_days_and_centred() -> None:
    calendar = pl.DataFrame(
        {
            "start": [date(2026, 1, 3), date(2026, 1, 8), date(2026, 1, 1)],
            "end": [date(2026, 1, 5), None, date(2026, 1, 10)],
            "mail": [2.0, 1.0, None],
            "price": [None, None, 9.0],
        }
    )
    known = covariates_by_day(calendar, ["mail"], first=date(2026, 1, 1), end=date(2026, 1, 10))
    assert (known.matrix[:, 0] + 0.7).round(12).tolist() == [0, 0, 2, 2, 2, 0, 0, 1, 0, 0]
    assert known.notes == (
        'the calendar says nothing of "mail" after 2026-01-08; forecasts take its mean, 0.7',
    )


@pytest.mark.parametrize(
    ("column", "ends", "words"),
    [
        ("mial", (3, 9), 'no column "mial"; did you mean "mail"'),
        ("price", (3, 9), "one value from 2026-01-01 to 2026-01-10"),
        ("mail", (6, 9), '"mail" has two values on 1 day'),
        ("words", (3, 9), "no numbers or flags"),
    ],
)
def test_a_calendar_that_explains_nothing_is_refused(column: str, ends: tuple[int, int], words: str) -> None:
    calendar = pl.DataFrame(
        {
            "start": [date(2026, 1, 1), date(2026, 1, 6)],
            "end": [date(2026, 1, day) for day in ends],
            "mail": [1.0, 2.0],
            "price": [0.0, 0.0],
            "words": ["a", "b"],
        }
    )
    with pytest.raises(DataError, match=words):
        covariates_by_day(calendar, [column], first=date(2026, 1, 1), end=date(2026, 1, 10))
