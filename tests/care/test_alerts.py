"""What a desk is told unasked, against counts and weeks whose limits are known by hand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from care.alerts import alerts_table, volume_limit
from care.figures import care_figures
from care.settings import CareSettings
from care.tables import CARE_SCHEMA
from tests.care.desks import cases_of, desk_of

MONDAY = dt.datetime(2026, 1, 5, 14, tzinfo=dt.UTC)
WEEKS = [10, 12, 9, 11, 10, 13, 8, 11]
END = dt.datetime(2026, 3, 4, tzinfo=dt.UTC)
NO_FIGURES = pl.DataFrame(schema=CARE_SCHEMA)


def _desk(counts: list[int], channel: str = "mail", **columns: object) -> pl.DataFrame:
    """Cases of one hour of the week, week after week."""
    at = [
        MONDAY + dt.timedelta(days=7 * week, minutes=n % 60)
        for week, of in enumerate(counts)
        for n in range(of)
    ]
    return pl.DataFrame({"case_id": [f"{channel}{n}" for n in range(len(at))], "opened_at": at}).with_columns(
        pl.lit(channel).alias("channel"), *(pl.lit(v).alias(k) for k, v in columns.items())
    )


def _alerts(
    *frames: pl.DataFrame, end: dt.datetime = END, figures: pl.DataFrame = NO_FIGURES
) -> pl.DataFrame:
    settings = CareSettings()
    cases = cases_of(None, settings, pl.concat(frames, how="diagonal_relaxed"))
    return alerts_table(desk_of(cases, settings, end=end), figures)


def test_after_eight_weeks_of_ten_chance_ends_at_twenty_three() -> None:
    assert volume_limit(WEEKS) == 23


@pytest.mark.parametrize(("count", "told"), [(18, 0), (23, 0), (24, 1), (31, 1)])
def test_a_count_above_the_limit_is_an_alert(count: int, told: int) -> None:
    found = _alerts(_desk([*WEEKS, count]))
    assert found.height == told
    if told:
        row = found.row(0, named=True)
        assert (row["kind"], row["period"], row["value"], row["limit"]) == ("volume", "2026-03-02", count, 23)
        assert row["expected"] == np.mean(WEEKS)


def test_a_new_channel_is_compared_with_nothing_before_it_was_there() -> None:
    young = _desk([0, 0, 0, 0, 0, 0, 9, 8, 9], "chat")
    assert _alerts(_desk([*WEEKS, 10]), young).is_empty()


def test_a_day_has_one_alert_of_a_cause_however_many_hours_are_above() -> None:
    later = _desk([1, 1, 1, 1, 1, 1, 1, 1, 40]).with_columns(
        pl.col("opened_at") + pl.duration(hours=3), pl.format("l{}", "case_id").alias("case_id")
    )
    (row,) = _alerts(_desk([*WEEKS, 31]), later).to_dicts()
    assert row["value"] == 40
    assert "1 more hours of the day" in row["words"]


def test_a_flood_that_no_channel_shows_is_told_of_all() -> None:
    few = [3, 4, 2, 4, 3, 3, 4, 3]
    parts = [_desk([*few, 11], channel) for channel in ("a", "b", "c")]
    (row,) = _alerts(*parts).to_dicts()
    assert (row["cause"], row["value"]) == ("channel: (all)", 33)


def test_critics_with_a_large_audience_who_wait_are_told_by_channel() -> None:
    start = dt.datetime(2026, 3, 3, 12, tzinfo=dt.UTC)
    frame = pl.DataFrame(
        {
            "case_id": [f"k{n}" for n in range(100)],
            "opened_at": [start + dt.timedelta(minutes=n) for n in range(100)],
            "channel": "twitter",
            "audience": [*range(99), 50_000],
            "sentiment_last": [*([0.5] * 99), -0.8],
        }
    )
    (row,) = _alerts(frame).to_dicts()
    assert (row["kind"], row["period"], row["value"], row["n"]) == ("critic", "2026-03-03", 50_000, 1)
    kind = frame.with_columns(pl.lit(0.5).alias("sentiment_last"))
    answered = frame.with_columns((pl.col("opened_at") + pl.duration(minutes=1)).alias("first_response_at"))
    assert _alerts(kind).is_empty()
    assert _alerts(answered).is_empty()


def _weeks(values: list[float]) -> pl.DataFrame:
    first = dt.date(2026, 1, 5)
    rows = [
        {
            "kpi": "csat", "channel": "(all)", "team": "(all)", "segment": "(all)", "value": value, "n": 50,
            "period": f"{first + dt.timedelta(weeks=week):%G-W%V}", "direction": "up",
        }
        for week, value in enumerate(values)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=CARE_SCHEMA)


CALM = [0.62, 0.65, 0.61, 0.66, 0.64, 0.63, 0.67, 0.62]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([*CALM, 0.50], 1),  # limits of the eight: .637 +- 2.66 x .036
        ([*CALM, 0.55], 0),
        ([*CALM, 0.80], 0),  # better
        ([0.2, 0.9, 0.2, 0.9, 0.5, 0.5, 0.5, 0.5, 0.1], 0),
    ],
)
def test_a_decline_after_a_plateau_is_told_once(values: list[float], told: int) -> None:
    end = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
    found = _alerts(_desk([1]), end=end, figures=_weeks(values))
    assert found["kind"].to_list() == ["decline"] * told
    if told:
        assert found["period"].to_list() == ["2026-03-08"]
        assert found["cause"].to_list() == ["kpi: csat"]


def test_a_week_that_is_not_over_is_no_decline() -> None:
    end = dt.datetime(2026, 3, 6, tzinfo=dt.UTC)
    assert _alerts(_desk([1]), end=end, figures=_weeks([*CALM, 0.1])).is_empty()


def test_the_figures_of_a_desk_are_the_weeks_that_are_read() -> None:
    """Eight weeks of good ratings and one of bad, from cases to the alert."""
    rated = [
        _desk([40], csat=4.0).with_columns(
            pl.col("opened_at") + pl.duration(weeks=week),
            pl.format("{}-{}", "case_id", pl.lit(week)).alias("case_id"),
            pl.when(pl.int_range(pl.len()) < (20 if week == 8 else 38 - week % 2))
            .then(5.0)
            .otherwise(1.0)
            .alias("csat"),
        )
        for week in range(9)
    ]
    settings = CareSettings()
    cases = cases_of(None, settings, pl.concat(rated))
    desk = desk_of(cases, settings, end=dt.datetime(2026, 3, 10, tzinfo=dt.UTC))
    found = alerts_table(desk, care_figures(desk))
    assert found.filter(kind="decline")["cause"].to_list() == ["kpi: csat"]
