"""The share of the period of leaving that a customer lived through."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from histories.exits import LEAST_SHARE, exit_shares

END = date(2026, 6, 20)


def shares(period: str, *ended: date | None) -> list[float | None]:
    return exit_shares(pl.Series(list(ended)), period=period, observation_end=END).to_list()


def test_a_day_counts_as_lived_through_to_its_end() -> None:
    assert shares("month", date(2026, 4, 15), date(2026, 4, 3), None) == [0.5, 0.1, None]


def test_the_last_days_of_a_month_are_its_end() -> None:
    assert shares("month", date(2026, 4, 30), date(2026, 4, 29), date(2026, 2, 28)) == [1.0, 1.0, 1.0]


def test_an_instant_counts_exactly() -> None:
    noon, first = shares("month", datetime(2026, 4, 15, 12), datetime(2026, 4, 1))
    assert noon == pytest.approx(14.5 / 30)
    assert first == LEAST_SHARE


def test_instants_that_are_all_at_midnight_are_days() -> None:
    assert shares("month", datetime(2026, 4, 15), datetime(2026, 4, 3)) == [0.5, 0.1]
    assert shares("month", datetime(2026, 4, 15, tzinfo=UTC)) == [0.5]


def test_the_last_period_ends_with_the_observation() -> None:
    assert shares("month", date(2026, 6, 10), date(2026, 6, 20)) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("period", "day", "share"),
    [
        ("week", date(2026, 6, 14), 1 / 7),
        ("week", date(2026, 6, 13), 1.0),
        ("quarter", date(2026, 2, 14), 0.5),
    ],
)
def test_weeks_and_quarters_have_their_own_length(period: str, day: date, share: float) -> None:
    assert shares(period, day) == [pytest.approx(share)]
