"""Time is cut once, and counted in one way."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from histories.errors import ConfigError
from histories.periods import period_ordinal, period_start, truncate_to


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
