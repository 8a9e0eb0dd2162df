"""What is said of a time that cannot be read: the format to set, which then reads it."""

from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest

from histories.errors import ConfigError
from histories.reading.inputs import Inputs
from histories.reading.times import TimeOptions, are_dates, moments, why_no_time


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Jan 5, 2024", "%b %d, %Y"),
        ("5 January 2024", "%d %B %Y"),
        ("05-Jan-24", "%d-%b-%y"),
        ("2024/01/05", "%Y/%m/%d"),
        ("2024/01/05 7:30", "%Y/%m/%d %H:%M"),
        ("Fri, 05 Jan 2024 10:00:00 +0100", "%a, %d %b %Y %H:%M:%S %z"),
        ("Fri Jan 05 10:00:00 +0000 2024", "%a %b %d %H:%M:%S %z %Y"),
        ("Fri, 05 Jan 2024 10:00:00 GMT", "%a, %d %b %Y %H:%M:%S GMT"),
        ("2024-01-05 10:00 PM", "%Y-%m-%d %I:%M %p"),
        ("2024-01-05 22h30", "%Y-%m-%d %Hh%M"),
        ("2024-01-05 10.00.00", "%Y-%m-%d %H.%M.%S"),
        ("2024.01.05 10:00", "%Y.%m.%d %H:%M"),
        ("2024-01-05T10:00:00+01:00[Europe/Berlin]", "%Y-%m-%dT%H:%M:%S%z[Europe/Berlin]"),
    ],
)
def test_the_format_that_is_named_reads_the_time(text: str, form: str) -> None:
    told = why_no_time(text, TimeOptions(), "inputs.costs")
    assert f'set inputs.costs.timestamp_format = "{form}".' in told
    read = pl.select(moments(pl.lit(text), pl.String(), TimeOptions(form=form))).item()
    assert (read.year, read.month, read.day) == (2024, 1, 5)
    assert f"To read it as {read:%Y-%m-%d %H:%M}" in told


@pytest.mark.parametrize(
    "text",
    ["2024-W03", "2024", "Jan 5 2024 no. 7", "soon", "12:00", "5 2024", "Ann Smith", "31 February 2024"],
)
def test_nothing_is_guessed_of_what_no_format_reads(text: str) -> None:
    assert why_no_time(text, TimeOptions(), "inputs.costs") == ""


@pytest.mark.parametrize(
    "text",
    [
        *("20240105T101530Z", "20240105T101530", "20240105T111530+01:00", "2024-01-05t10:15:30z"),
        *("2024-01-05T10:15:30,000Z", "2024-01-05 10:15:30 utc", "2024-01-05 11:15:30,0 +0100"),
    ],
)
def test_every_form_of_iso_is_read_with_its_time(text: str) -> None:
    found = pl.select(moments(pl.lit(text), pl.String(), TimeOptions())).item()
    assert found.replace(tzinfo=None) == datetime(2024, 1, 5, 10, 15, 30)


def test_a_hint_holds_no_person(read: Callable[..., Inputs], write_csv: Callable[..., object]) -> None:
    write_csv("orders.csv", "customer_id,timestamp,amount", "1,Ann Smith 5 Jan 2024,5")
    with pytest.raises(Exception, match="Xxx Xxxxx") as refused:
        read(transactions="orders.csv")
    assert "Ann" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "form", "read"),
    [
        ("1704448800", "epoch_s", "2024-01-05T10:00:00"),
        ("1704448800", "%s", "2024-01-05T10:00:00"),
        ("1704448800.25", "epoch_s", "2024-01-05T10:00:00.250000"),
        ("1704448800123", "epoch_ms", "2024-01-05T10:00:00.123000"),
        ("1704448800123456", "epoch_us", "2024-01-05T10:00:00.123456"),
        ("45296.75", "excel", "2024-01-05T18:00:00"),
        ("45296.000011574", "excel", "2024-01-05T00:00:01"),
    ],
)
def test_counts_are_read_to_the_microsecond(text: str, form: str, read: str) -> None:
    for given, dtype in ((text, pl.String()), (float(text), pl.Float64())):
        found = pl.select(moments(pl.lit(given, dtype=dtype), dtype, TimeOptions(form=form))).item()
        assert found.replace(tzinfo=None).isoformat() == read


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("31/01/2026", "%d/%m/%Y"),
        ("1/31/26", "%m/%d/%y"),
        ("31.1.2026 7:30", "%d.%m.%Y %H:%M"),
        ("31-01-2026 07:30:05", "%d-%m-%Y %H:%M:%S"),
        ("31.1.2026 07.30.05", "%d.%m.%Y %H.%M.%S"),
        ("1/31/26 9:05 PM", "%m/%d/%y %I:%M %p"),
        ("31/1/2026 9:05:07am", "%d/%m/%Y %I:%M:%S%p"),
    ],
)
def test_day_and_month_are_told_by_the_one_above_twelve(text: str, form: str) -> None:
    assert f'e.g. "{form}" if the ' in why_no_time(text, TimeOptions(), "inputs.costs")


@pytest.mark.parametrize(
    ("text", "form", "end"),
    [
        ("2024-02", "%Y-%m", "2024-02-29"),
        ("Dec 2025", "%b %Y", "2025-12-31"),
        ("2025", "%Y", "2025-12-31"),
        ("05.02.2024", "%d.%m.%Y", "2024-02-05"),
        ("2024-036", "%Y-%j", "2024-02-05"),
    ],
)
def test_the_end_of_a_period_told_by_its_month_is_the_last_day(
    read: Callable[..., Inputs], write_csv: Callable[..., object], text: str, form: str, end: str
) -> None:
    write_csv("costs.csv", "channel,when,amount", f"ads,{text},5")
    columns = {"period_start": "when", "period_end": "when"}
    source = {"path": "costs.csv", "columns": columns, "timestamp_format": form}
    row = read(costs=source)["costs"].collect()
    assert str(row["period_end"].item()) == end
    assert row["period_start"].item() <= row["period_end"].item()


@pytest.mark.parametrize(
    ("form", "meant"),
    [
        ("%m/%d/%Y %H:%M %p", "%m/%d/%Y %I:%M %p"),
        ("%m/%d/%Y %I:%M", "%m/%d/%Y %H:%M"),
        ("%Y-%m-%d %H", "%Y-%m-%d %H:%M"),
    ],
)
def test_formats_whose_hours_cannot_be_read_are_refused_with_what_is_meant(form: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f'write "{meant}"'):
        TimeOptions(form=form).check("inputs.cases")
    TimeOptions(form=meant).check("inputs.cases")


def test_a_table_of_midnights_is_of_dates_whatever_its_type() -> None:
    at = [datetime(2026, 1, 5), datetime(2026, 1, 6)]
    for values, form in (
        (["2026-01-05 00:00", "2026-01-06"], None),
        (["05/01/2026 00:00", "06/01/2026 00:00"], "%d/%m/%Y %H:%M"),
        (at, None),
    ):
        frame = pl.LazyFrame({"at": values})
        dtype = frame.collect_schema()["at"]
        assert are_dates(frame, pl.col("at"), dtype, TimeOptions(form=form))
    late = pl.LazyFrame({"at": [*at, datetime(2026, 1, 7, 9)]})
    assert not are_dates(late, pl.col("at"), pl.Datetime("us"), TimeOptions())


@pytest.mark.parametrize(("first", "told"), [("", True), ("+01:00", False), ("Z", False)])
def test_times_with_and_without_an_offset_in_one_column_are_said(
    read: Callable[..., Inputs], write_csv: Callable[..., object], first: str, told: bool
) -> None:
    rows = [f"c{day},2026-01-{day:02}T23:30:00{first if day < 15 else 'Z'},5" for day in range(1, 29)]
    write_csv("o.csv", "customer_id,timestamp,amount", *rows)
    found = read(transactions="o.csv", timezone="Europe/Berlin")
    assert (
        any("others do not: those are read as the local time of Europe/Berlin" in n for n in found.notes)
        == told
    )
