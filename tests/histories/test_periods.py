"""Time is cut once, and counted in one way."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from histories import ConfigError, Split, split_calibration_holdout
from histories.periods import period_ordinal, period_start, truncate_to

ROWS = pl.LazyFrame(
    {
        "timestamp": [
            datetime(2026, 1, 31, 23, 59),
            datetime(2026, 2, 1),
            datetime(2026, 2, 28, 23),
            datetime(2026, 3, 1),
        ]
    }
)


def test_the_last_day_of_calibration_belongs_to_it_and_nothing_follows_the_end() -> None:
    split = Split(observation_end=date(2026, 2, 28), calibration_end=date(2026, 1, 31))
    seen, held_out = (part.collect().height for part in split_calibration_holdout(ROWS, split))
    assert (seen, held_out) == (1, 2)


def test_without_calibration_end_nothing_is_held_out() -> None:
    split = Split(observation_end=date(2026, 2, 28))
    seen, held_out = (part.collect().height for part in split_calibration_holdout(ROWS, split))
    assert (seen, held_out) == (3, 0)


def test_a_calibration_that_ends_after_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"calibration_end \(2026-03-01\) must be before observation_end"):
        Split(observation_end=date(2026, 3, 1), calibration_end=date(2026, 3, 1))


def test_an_unknown_period_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed: day, week, month, quarter, year"):
        truncate_to(pl.col("timestamp"), "fortnight")


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter", "year"])
def test_period_numbers_are_consecutive_and_lead_back_to_the_calendar(period: str) -> None:
    days = pl.date_range(date(1969, 11, 1), date(1972, 3, 1), eager=True)
    numbered = pl.DataFrame({"day": days}).with_columns(period_ordinal(pl.col("day"), period).alias("number"))
    starts = numbered.select(period_start(pl.col("number"), period).alias("start"))["start"]
    every = {"day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}[period]
    assert starts.to_list() == days.dt.truncate(every).to_list()
    assert numbered["number"].diff().drop_nulls().is_in([0, 1]).all()
