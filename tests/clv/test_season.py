"""Season and level: recovered from simulated companies, and never read into short histories."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from clv.clock import Clock
from clv.season import estimate_clock
from clv.summary import summarize_purchases

START = date(2023, 1, 1)
#: Factors of the months of the year, mean of the logs 0.
SEASON = np.exp(0.35 * np.cos(2.0 * np.pi * (np.arange(12) - 10) / 12))


def seasonal_company(customers: int = 1500, days: int = 730) -> pl.LazyFrame:
    """BG/NBD customers whose rates rise and fall with the season, joining over all of the history."""
    rng = np.random.default_rng(5)
    calendar = [START + timedelta(days=d) for d in range(days)]
    pace = SEASON[[day.month - 1 for day in calendar]]
    rows = []
    for customer in range(customers):
        start = int(rng.integers(0, days))
        rate, dropout = rng.gamma(0.9, 1.0 / 20.0), rng.beta(0.8, 6.0)
        rows.append((customer, start))
        for day in start + 1 + np.flatnonzero(rng.random(days - start - 1) < rate * pace[start + 1 :]):
            rows.append((customer, int(day)))
            if rng.random() < dropout:
                break
    dates = [START + timedelta(days=day) for _, day in rows]
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


def test_the_season_of_a_simulated_company_is_recovered() -> None:
    end = START + timedelta(days=729)
    clock = estimate_clock(seasonal_company(), first=START, end=end, time_unit="week")
    found = np.exp(np.array(clock.season))
    assert np.sqrt(np.mean((found - SEASON) ** 2)) < 0.12
    assert np.abs(clock.level).max() < 0.2
    # the calendar says less of the next quarter than the clock does
    ahead = [end + timedelta(days=d) for d in range(1, 91)]
    true = sum(SEASON[day.month - 1] for day in ahead) / 7.0
    assert clock.ahead(end, 90) == pytest.approx(true, rel=0.15)


def test_a_clock_runs_as_far_as_it_is_asked() -> None:
    end = START + timedelta(days=729)
    for level in ((), (0.1,) * 24):
        clock = Clock(first=START, end=end, time_unit="day", level=level)
        century = clock.ahead(end, 36_525)
        assert century - clock.ahead(end, 36_524) == pytest.approx(1.0)  # the level has long fallen back
        assert 36_525 <= century < 36_600


def test_less_than_a_year_runs_on_the_calendar() -> None:
    end = START + timedelta(days=340)
    clock = estimate_clock(seasonal_company(200), first=START, end=end, time_unit="week")
    assert clock.is_calendar
    assert clock.ahead(end, 21) == pytest.approx(3.0)
    assert clock.ahead(end, 30.4375) == pytest.approx(30.4375 / 7.0)


def test_a_clock_measures_recency_and_T_and_damps_the_level_it_carries() -> None:
    first, end = date(2024, 1, 1), date(2024, 2, 29)
    season = [0.0] * 12
    season[0] = float(np.log(2.0))
    clock = Clock(
        first=first, end=end, time_unit="day", level=(0.0, float(np.log(3.0))), season=tuple(season)
    )
    purchases = pl.LazyFrame(
        {
            "customer_id": [1, 1],
            "date": [date(2024, 1, 21), date(2024, 2, 10)],
            "timestamp": [datetime(2024, 1, 21), datetime(2024, 2, 10)],
            "amount": [1, 1],
            "margin": pl.Series([None, None], dtype=pl.Int64),
        }
    )
    summary = summarize_purchases(purchases, observation_end=end, time_unit="day").collect()
    row = clock.retime(summary, origin=end).row(0, named=True)
    assert row["recency"] == pytest.approx(10 * 2.0 + 10 * 3.0)
    assert row["T"] == pytest.approx(10 * 2.0 + 29 * 3.0)
    assert clock.ahead(end, 31) == pytest.approx(31 * 3.0)
    december = clock.between(date(2025, 11, 30), date(2025, 12, 1))
    assert december == pytest.approx(np.exp(np.log(3.0) * 0.8**16))
