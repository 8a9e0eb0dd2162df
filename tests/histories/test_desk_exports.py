"""What desks export: constants, words for numbers, flags turned round, JSON, a table in several files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from histories.errors import ConfigError, DataError
from histories.reading.inputs import Inputs

Read = Callable[..., Inputs]
Write = Callable[..., Path]


def test_a_constant_a_word_for_a_number_and_a_flag_turned_round(read: Read, write_csv: Write) -> None:
    write_csv(
        "tweets.csv",
        "tweet_id,author_id,created_at,inbound",
        "1,u,2026-01-05T10:00,True",
        "2,b,2026-01-05T10:09,False",
    )
    write_csv(
        "cases.csv",
        "id,opened,score",
        "a,2026-01-05T10:00,good",
        "b,2026-01-05T10:00,bad",
        "c,2026-01-05T10:00,",
    )
    inputs = read(
        posts={
            "path": "tweets.csv",
            "columns": {
                "post_id": "tweet_id",
                "author": "author_id",
                "timestamp": "created_at",
                "is_brand": "inbound",
            },
            "constants": {"platform": "twitter"},
            "negate": ["is_brand"],
        },
        cases={
            "path": "cases.csv",
            "columns": {"case_id": "id", "opened_at": "opened", "csat": "score"},
            "constants": {"channel": "chat", "priority": 2},
            "values": {"csat": {"good": 5, "bad": 1}},
        },
    )
    assert inputs["posts"].select("platform", "is_brand").collect().rows() == [
        ("twitter", False),
        ("twitter", True),
    ]
    assert inputs["cases"].select("channel", "priority", "csat").collect().rows() == [
        ("chat", "2", 5.0),
        ("chat", "2", 1.0),
        ("chat", "2", None),
    ]


def test_inbound_alone_says_which_posts_are_the_brands(read: Read, write_csv: Write) -> None:
    write_csv(
        "t.csv", "post_id,platform,author,timestamp,inbound", "1,x,u,2026-01-05,1", "2,x,b,2026-01-05,0"
    )
    assert read(posts="t.csv")["posts"].collect()["is_brand"].to_list() == [False, True]


def test_a_word_without_a_meaning_is_rejected_as_it_was_found(read: Read, write_csv: Write) -> None:
    write_csv(
        "cases.csv", "case_id,opened_at,channel,csat", "a,2026-01-05,chat,good", "b,2026-01-05,chat,fair"
    )
    source = {"path": "cases.csv", "values": {"csat": {"good": 5}}}
    table = read(cases=source, max_rejected_share=0.5).tables["cases"]
    assert table.rejected_by_rule == {"unreadable csat": 1}
    assert 'have no readable csat (row 2; first: "fair")' in table.notes[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"constants": {"platfrom": "x"}},
            'inputs.posts.constants: the table has no column "platfrom"; did you mean',
        ),
        ({"values": {"sentimnt": {"a": 1}}}, 'inputs.posts.values: the table has no column "sentimnt"'),
        (
            {"negate": ["author"]},
            "inputs.posts.negate: author is no flag and no amount; allowed: inbound, is_automatic",
        ),
        (
            {"constants": {"author": "x"}, "columns": {"author": "author"}},
            "author stands in columns and in constants",
        ),
    ],
)
def test_options_that_name_no_column_are_refused(
    read: Read, write_csv: Write, settings: dict[str, Any], said: str
) -> None:
    write_csv("t.csv", "post_id,platform,author,timestamp", "1,x,u,2026-01-05")
    with pytest.raises(ConfigError) as error:
        read(posts={"path": "t.csv", **settings})
    assert said in str(error.value)


DOCUMENTS = [
    {
        "id": 9007199254740993,
        "opened": 1767607200,
        "statistics": {"first_admin_reply_at": 1767607260},
        "tags": ["a"],
    },
    {"id": 2, "opened": 1767610800, "statistics": {"first_admin_reply_at": None}, "source": {"type": "chat"}},
]
MAPPING = {
    "case_id": "id",
    "opened_at": "opened",
    "first_response_at": "statistics.first_admin_reply_at",
    "channel": "source.type",
}


@pytest.mark.parametrize("form", ["lines", "list", "packed"])
def test_json_with_dotted_names(read: Read, tmp_path: Path, form: str) -> None:
    lines = "\n".join(json.dumps(document) for document in DOCUMENTS)
    if form == "packed":
        with gzip.open(tmp_path / "c.jsonl.gz", "wt") as packed:
            packed.write(lines)
    else:
        (tmp_path / "c.jsonl").write_text(lines if form == "lines" else json.dumps(DOCUMENTS, indent=1))
    source = {
        "path": "c.jsonl.gz" if form == "packed" else "c.jsonl",
        "timestamp_format": "epoch_s",
        "columns": MAPPING,
    }
    table = read(cases=source, max_rejected_share=0.5).tables["cases"]
    rows = table.valid.select("case_id", "opened_at", "first_response_at", "channel").collect()
    assert table.rejected_by_rule == {"missing channel": 1}
    assert rows["case_id"].to_list() == ["2"]
    assert rows["opened_at"].dt.to_string("%F %T").to_list() == ["2026-01-05 11:00:00"]
    assert table.rejected["statistics.first_admin_reply_at"].to_list() == ["1767607260"]
    assert table.rejected["id"].to_list() == ["9007199254740993"]


def test_a_broken_json_line_is_named_by_its_row(read: Read, tmp_path: Path) -> None:
    (tmp_path / "c.ndjson").write_text('{"case_id": "1"}\n{"case_id": "ann@ex')
    with pytest.raises(DataError, match=r"c\.ndjson: row 2 is no valid JSON") as error:
        read(cases="c.ndjson")
    assert "ann" not in str(error.value)


def test_one_table_from_two_files_with_their_own_columns(read: Read, write_csv: Write) -> None:
    write_csv("open.csv", "id,since", "a,2026-01-05", "b,never")
    write_csv("done.csv", "case_id,opened_at,closed", "c,2026-01-04,2026-01-05", "a,2026-01-03,2026-01-04")
    sources = [
        {
            "path": "open.csv",
            "columns": {"case_id": "id", "opened_at": "since"},
            "constants": {"channel": "chat"},
        },
        {"path": "done.csv", "columns": {"resolved_at": "closed"}, "constants": {"channel": "mail"}},
    ]
    table = read(cases=sources, max_rejected_share=0.5).tables["cases"]
    kept = table.valid.select("case_id", "channel").collect()
    assert sorted(kept.rows()) == [("a", "mail"), ("c", "mail")]  # the later file knows more of "a"
    assert (table.rows_read, table.rows_valid) == (4, 2)
    assert sorted(table.rejected.select("rule", "source_file", "source_row").rows()) == [
        ("repeated case_id", "open.csv", 1),
        ("unreadable opened_at", "open.csv", 2),
    ]
    assert table.set_aside_by_rule == {"repeated case_id": 1}
    assert "2 of 4 rows" not in " ".join(table.notes)
    assert "open.csv, done.csv: 1 of 4 rows have no readable opened_at (open.csv row 2" in table.notes[0]


@pytest.mark.parametrize(("clock", "expected"), [("calendar", "2026-01-05 10:30:00"), ("business", None)])
def test_minutes_by_the_calendar_become_an_instant(
    read: Read, write_csv: Write, clock: str, expected: str | None
) -> None:
    write_csv(
        "cases.csv",
        "case_id,opened_at,channel,first_response_minutes",
        "a,2026-01-05T10:00,chat,30",
        "b,2026-01-05,chat,",
    )
    rows = read(cases={"path": "cases.csv", "constants": {"clock": clock}})["cases"].collect()
    assert rows["first_response_at"].dt.to_string("%F %T").to_list() == [expected, None]
    assert rows["first_response_minutes"].to_list() == [30, None]


def test_minutes_without_a_clock_are_refused(read: Read, write_csv: Write) -> None:
    write_csv("cases.csv", "case_id,opened_at,channel,resolution_minutes", "a,2026-01-05T10:00,chat,30")
    with pytest.raises(ConfigError, match="resolution_minutes needs to say which clock it was measured by"):
        read(cases="cases.csv")


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("epoch_s", 1767607200),
        ("%s", 1767607200),
        ("epoch_ms", 1767607200000),
        ("epoch_us", 1767607200000000),
        ("excel", 46027 + 10 / 24),
    ],
)
@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_times_that_are_numbers(read: Read, tmp_path: Path, form: str, value: float, end: str) -> None:
    frame = pl.DataFrame({"customer_id": [1], "timestamp": [value], "channel": ["chat"]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    rows = read(touchpoints={"path": f"t.{end}", "timestamp_format": form})["touchpoints"].collect()
    assert rows["timestamp"].dt.to_string("%F %T").to_list() == ["2026-01-05 10:00:00"]
    assert rows["date_only"].to_list() == [False]


def test_hours_of_agents_or_teams(read: Read, write_csv: Write) -> None:
    write_csv(
        "hours.csv",
        "team,start,end,paid",
        "x,2026-01-05T09:00,2026-01-05T17:00,yes",
        "x,2026-01-05T17:00,2026-01-05T09:00,no",
    )
    table = read(hours="hours.csv", max_rejected_share=0.5, observation_end=date(2026, 12, 31)).tables[
        "hours"
    ]
    assert table.rejected_by_rule == {"end before start": 1}
    assert table.valid.collect()["paid"].to_list() == [True]


def test_lengths_of_time_are_read_in_the_units_that_desks_write(read: Read, write_csv: Write) -> None:
    write_csv(
        "cases.csv",
        "case_id,opened_at,channel,clock,first_response_minutes,handling_seconds",
        "a,2026-01-05T10:00,mail,calendar,1.5,00:10:00",
        "b,2026-01-05T10:00,mail,calendar,2 h 30 min,90",
        "c,2026-01-05T10:00,mail,calendar,01:15 hrs,1 min",
    )
    inputs = read(cases={"path": "cases.csv", "units": {"first_response_minutes": "hours"}})
    found = inputs["cases"].select("first_response_minutes", "handling_seconds").collect()
    assert found.rows() == [(90.0, 600.0), (150.0, 90.0), (75.0, 60.0)]


def test_a_length_that_could_be_two_things_asks_which(read: Read, write_csv: Write) -> None:
    write_csv("cases.csv", "case_id,opened_at,channel,handling_seconds", "a,2026-01-05T10:00,mail,22:15")
    with pytest.raises(DataError, match='handling_seconds = "hours:minutes" }, or "minutes:seconds"'):
        read(cases="cases.csv")
    said = read(cases={"path": "cases.csv", "units": {"handling_seconds": "minutes:seconds"}})
    assert said["cases"].collect()["handling_seconds"].to_list() == [22 * 60 + 15]


def test_a_unit_is_for_lengths_of_time_only(read: Read, write_csv: Write) -> None:
    write_csv("cases.csv", "case_id,opened_at,channel,csat", "a,2026-01-05T10:00,mail,4")
    with pytest.raises(ConfigError, match=r"inputs\.cases\.units: csat is no length of time"):
        read(cases={"path": "cases.csv", "units": {"csat": "hours"}})
