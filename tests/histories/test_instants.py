"""Instants are kept and subtracted; the company's zone is for days and periods only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from histories.journeys import walk_journeys
from histories.purchases import build_purchases
from histories.reading.inputs import Inputs
from histories.tables import purchases_table
from histories.timeline import JourneyWindow
from histories.touchpoints import build_touchpoints

Read = Callable[..., Inputs]
Write = Callable[..., Path]

TOUCHES = "customer_id,timestamp,channel"
ORDERS = "customer_id,timestamp,amount"


def test_waiting_over_a_change_of_the_clock_is_elapsed_time(read: Read, write_csv: Write) -> None:
    write_csv(
        "c.csv",
        "case_id,opened_at,channel,first_response_at",
        "a,2024-10-27T00:50:00Z,chat,2024-10-27T01:05:00Z",
        "b,2024-10-27T00:10:00Z,chat,2024-10-27T01:40:00Z",
        "c,2024-03-31T00:50:00Z,chat,2024-03-31T01:10:00Z",
    )
    rows = read(cases="c.csv", timezone="Europe/London")["cases"].collect()
    waited = (rows["first_response_at"] - rows["opened_at"]).dt.total_minutes()
    assert waited.to_list() == [15, 90, 20]


def test_a_touch_before_a_purchase_in_the_hour_that_comes_twice_earns_it(
    read: Read, write_csv: Write
) -> None:
    write_csv("o.csv", ORDERS, "1,2024-10-27T01:10:00Z,20")
    write_csv("t.csv", TOUCHES, "1,2024-10-27T00:40:00Z,email")
    end = date(2024, 12, 31)
    inputs = read(transactions="o.csv", touchpoints="t.csv", timezone="Europe/London", observation_end=end)
    purchases = build_purchases(inputs["transactions"])
    window = JourneyWindow(lookback_days=30, observation_end=end)
    journeys = walk_journeys(build_touchpoints(inputs["touchpoints"]), purchases, window).journeys
    assert journeys.select("path", "converted").collect().rows() == [(["email"], True)]
    shown = purchases_table(purchases, journeys)
    assert shown.select("timestamp", "touches").rows() == [(datetime(2024, 10, 27, 1, 10), 1)]


def test_the_last_day_ends_by_the_companys_clock(read: Read, write_csv: Write) -> None:
    write_csv("o.csv", ORDERS, "1,2026-06-30T22:59:59Z,1", "1,2026-06-30T23:00:00Z,1")
    inputs = read(transactions="o.csv", timezone="Europe/London", observation_end=date(2026, 6, 30))
    assert inputs.tables["transactions"].set_aside_by_rule == {"after observation_end": 1}


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC", "Pacific/Apia"])
@pytest.mark.parametrize("form", ["text", "text with Z", "text with +02:00", "instants", "seconds", "date"])
def test_dates_are_the_same_days_in_every_zone(read: Read, tmp_path: Path, zone: str, form: str) -> None:
    days = [date(2026, 1, 5), date(2026, 7, 6)]
    at = pl.Series([datetime(day.year, day.month, day.day) for day in days])
    written = {
        "text": at.dt.strftime("%Y-%m-%d"),
        "text with Z": at.dt.strftime("%Y-%m-%dT00:00:00Z"),
        "text with +02:00": at.dt.strftime("%Y-%m-%d 00:00:00.000+02:00"),
        "instants": at.dt.replace_time_zone("UTC"),
        "seconds": at.dt.epoch("s"),
        "date": at.dt.date(),
    }[form]
    frame = pl.DataFrame({"customer_id": [1, 1], "timestamp": written, "channel": ["a", "a"]})
    frame.write_parquet(tmp_path / "t.parquet")
    source = {"path": "t.parquet"} | ({"timestamp_format": "epoch_s"} if form == "seconds" else {})
    rows = read(touchpoints=source, timezone=zone)["touchpoints"].collect()
    assert rows["timestamp"].dt.date().to_list() == days
    assert rows["date_only"].all()


def test_a_source_in_another_zone_keeps_its_dates_and_moves_its_times(read: Read, write_csv: Write) -> None:
    write_csv("t.csv", TOUCHES, "1,2026-07-05,a", "1,2026-07-05T22:00,a", "1,2026-07-05T22:00Z,a")
    source = {"path": "t.csv", "timezone": "America/New_York"}
    rows = read(touchpoints=source, timezone="Europe/London")["touchpoints"].collect()
    assert [moment.isoformat() for moment in rows["timestamp"]] == [
        "2026-07-05T00:00:00+01:00",
        "2026-07-06T03:00:00+01:00",
        "2026-07-05T23:00:00+01:00",
    ]
    assert rows["date_only"].to_list() == [True, False, False]


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2026-03-29T00:59", datetime(2026, 3, 29, 0, 59, tzinfo=UTC)),
        ("2026-03-29T01:30", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # left out: shown as 02:30
        ("2026-10-25T01:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice: the first
        ("2026-10-25T02:00", datetime(2026, 10, 25, 2, 0, tzinfo=UTC)),
    ],
)
def test_local_times_at_a_change_of_the_clock(
    read: Read, write_csv: Write, local: str, instant: datetime
) -> None:
    write_csv("o.csv", ORDERS, f"1,{local},5")
    rows = read(transactions="o.csv", timezone="Europe/London")["transactions"].collect()
    assert rows["timestamp"].dt.convert_time_zone("UTC").to_list() == [instant]


@pytest.mark.parametrize(
    ("form", "text", "zone", "expected"),
    [
        ("%Y-%m-%d %H:%M %Z", "2026-07-05 10:00 UTC", None, "2026-07-05T11:00:00+01:00"),
        ("%Y-%m-%d %H:%M UTC", "2026-07-05 10:00 UTC", None, "2026-07-05T11:00:00+01:00"),
        ("%Y-%m-%dT%H:%M:%SZ", "2026-07-05T10:00:00Z", None, "2026-07-05T11:00:00+01:00"),
        ("%Y-%m-%d %H:%M %Z", "2026-07-05 10:00 EDT", "America/New_York", "2026-07-05T15:00:00+01:00"),
        ("%Y-%m-%d %H:%M EST", "2026-01-05 10:00 EST", "America/New_York", "2026-01-05T15:00:00+00:00"),
        ("%d %b %Y %I:%M %p %z", "05 Jul 2026 10:00 PM +0200", None, "2026-07-05T21:00:00+01:00"),
    ],
)
def test_zones_named_in_a_format(
    read: Read, write_csv: Write, form: str, text: str, zone: str | None, expected: str
) -> None:
    write_csv("o.csv", ORDERS, f"1,{text},5")
    source = {"path": "o.csv", "timestamp_format": form} | ({"timezone": zone} if zone else {})
    rows = read(transactions=source, timezone="Europe/London")["transactions"].collect()
    assert rows["timestamp"][0].isoformat() == expected


def test_a_day_that_begins_late_begins_when_the_clock_says(read: Read, write_csv: Write) -> None:
    write_csv("t.csv", TOUCHES, "1,2018-11-04,a", "1,2018-11-05,a")
    rows = read(touchpoints="t.csv", timezone="America/Sao_Paulo")["touchpoints"].collect()
    assert rows["timestamp"].dt.date().to_list() == [date(2018, 11, 4), date(2018, 11, 5)]
    assert rows["timestamp"][1] - rows["timestamp"][0] == timedelta(hours=23)
