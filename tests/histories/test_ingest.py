"""Tables as companies hold them come in with our columns and types, and every row is accounted for."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from histories.errors import ConfigError, DataError, SchemaError
from histories.identity import pseudonym
from histories.reading.inputs import Inputs
from histories.samples import cdnow_path

Read = Callable[..., Inputs]
Write = Callable[..., Path]

HEADER = "customer_id,timestamp,amount"


def test_columns_by_position_in_a_file_without_header(read: Read, write_csv: Write) -> None:
    write_csv("orders.txt", " 00004 0001 19970101  2   29.33", " 00004 0001\t19970118  2   29.73")
    source = {
        "path": "orders.txt",
        "separator": "whitespace",
        "has_header": False,
        "timestamp_format": "%Y%m%d",
        "columns": {"customer_id": 1, "timestamp": 3, "quantity": 4, "amount": 5},
    }
    rows = read(transactions=source)["transactions"].collect()
    assert rows.select("customer_id", "timestamp", "quantity", "amount").rows() == [
        ("00004", datetime(1997, 1, 1, tzinfo=UTC), 2.0, 293_300),
        ("00004", datetime(1997, 1, 18, tzinfo=UTC), 2.0, 297_300),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "whitespace"])
def test_any_separator(read: Read, write_csv: Write, separator: str) -> None:
    between = "  " if separator == "whitespace" else separator
    write_csv("orders.csv", *(between.join(line.split(",")) for line in (HEADER, "1,2026-01-01,5")))
    rows = read(transactions={"path": "orders.csv", "separator": separator})["transactions"].collect()
    assert rows["amount"].to_list() == [50_000]


def test_a_compressed_file(read: Read, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "orders.csv.gz", "wt") as file:
        file.write(f"{HEADER}\n1,2026-01-01,5\n")
    assert read(transactions="orders.csv.gz")["transactions"].collect().height == 1


@pytest.mark.parametrize("path", ["days", "days/*.csv"])
def test_a_folder_or_glob_counts_rows_within_each_file(read: Read, tmp_path: Path, path: str) -> None:
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "a.csv").write_text(f"{HEADER}\n1,2026-01-01,5\n1,2026-01-02,6\n")
    (tmp_path / "days" / "b.csv").write_text(f"{HEADER}\n2,2026-01-03,7\n2,never,8\n")
    table = read(transactions=path, max_rejected_share=0.5).tables["transactions"]
    assert table.rejected.select("source_file", "source_row").rows() == [("b.csv", 2)]
    assert table.rows_valid == 3
    assert len(table.files) == 2


def test_the_same_table_from_csv_and_parquet(read: Read, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "customer_id": [1, 2],
            "timestamp": [datetime(2026, 1, 1, 9), datetime(2026, 1, 2)],
            "amount": [1.25, -0.5],
        }
    )
    frame.write_csv(tmp_path / "orders.csv")
    frame.write_parquet(tmp_path / "orders.parquet")
    from_csv, from_parquet = (
        read(transactions=f"orders.{end}")["transactions"] for end in ("csv", "parquet")
    )
    assert from_csv.collect().equals(from_parquet.collect())


def test_a_large_text_table_is_held_on_disk_and_reads_the_same(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *(f"{row % 7},2026-01-{row % 28 + 1:02},{row}" for row in range(500)))
    small, large = (
        read(transactions="orders.csv", memory=memory)["transactions"] for memory in ("2GB", "1KB")
    )
    assert "Parquet" in large.explain()
    assert "Parquet" not in small.explain()
    assert small.collect().equals(large.collect())


def test_instants_are_converted_to_the_local_zone_and_local_times_are_kept(
    read: Read, write_csv: Write
) -> None:
    moments = ["2026-07-01T10:00:00Z", "2026-07-01T10:00:00.5+02:00", "2026-07-01 10:00", "2026-07-01"]
    write_csv("orders.csv", HEADER, *(f"1,{moment},5" for moment in moments))
    rows = read(transactions="orders.csv", timezone="Europe/London")["transactions"].collect()
    assert [moment.isoformat() for moment in rows["timestamp"]] == [
        "2026-07-01T11:00:00+01:00",
        "2026-07-01T09:00:00.500000+01:00",
        "2026-07-01T10:00:00+01:00",
        "2026-07-01T00:00:00+01:00",
    ]


def test_typed_instants_are_converted_too(read: Read, tmp_path: Path) -> None:
    instants = pl.Series([datetime(2026, 1, 1, 2)]).dt.replace_time_zone("UTC")
    frame = pl.DataFrame({"customer_id": [1], "timestamp": instants, "amount": [1.0]})
    frame.write_parquet(tmp_path / "orders.parquet")
    rows = read(transactions="orders.parquet", timezone="America/New_York")["transactions"].collect()
    assert rows["timestamp"][0].isoformat() == "2025-12-31T21:00:00-05:00"


def test_amount_is_quantity_times_unit_price(read: Read, write_csv: Write) -> None:
    lines = ["1,2026-01-01,3,0.10", "1,2026-01-01,-3,0.10", "1,2026-01-01,2,-4", "1,2026-01-01,,4"]
    write_csv("orders.csv", "customer_id,timestamp,quantity,unit_price", *lines)
    table = read(transactions="orders.csv", max_rejected_share=1.0).tables["transactions"]
    assert table.valid.collect()["amount"].to_list() == [3_000, -3_000]
    assert table.rejected_by_rule == {"negative unit_price": 1, "missing quantity": 1}


def test_a_log_without_amounts_says_so_and_every_row_counts(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", "customer_id,timestamp", "1,2026-01-05", "1,2026-02-05")
    with pytest.raises(SchemaError, match="amounts = false"):
        read(transactions="orders.csv")
    table = read(transactions={"path": "orders.csv", "amounts": False}).tables["transactions"]
    assert table.valid.collect()["amount"].to_list() == [0, 0]


@pytest.mark.parametrize(("zero_orders", "valid"), [("drop", 1), ("count", 2)])
def test_zero_orders_are_set_aside_unless_they_count(
    read: Read, write_csv: Write, zero_orders: str, valid: int
) -> None:
    write_csv("orders.csv", HEADER, "1,2026-01-01,5", "1,2026-01-02,0.00")
    table = read(transactions={"path": "orders.csv", "zero_orders": zero_orders}).tables["transactions"]
    assert table.rows_valid == valid
    assert table.set_aside_by_rule == ({"zero amount": 1} if zero_orders == "drop" else {})


@pytest.mark.parametrize(
    ("orders", "touches", "dtype"),
    [
        (["1", "20"], ["-3"], pl.Int64),
        (["1", "20"], ["x3"], pl.String),
        (["007", "20"], ["3"], pl.String),
    ],
)
def test_customer_ids_are_whole_numbers_only_when_all_tables_agree(
    read: Read, write_csv: Write, orders: list[str], touches: list[str], dtype: pl.DataType
) -> None:
    write_csv("orders.csv", HEADER, *(f"{customer},2026-01-01,5" for customer in orders))
    write_csv(
        "touches.csv", "customer_id,timestamp,channel", *(f"{name},2026-01-01,chat" for name in touches)
    )
    inputs = read(transactions="orders.csv", touchpoints="touches.csv")
    assert inputs["transactions"].collect_schema()["customer_id"] == dtype
    assert inputs["touchpoints"].collect_schema()["customer_id"] == dtype
    assert inputs["transactions"].collect()["customer_id"].cast(pl.String).to_list() == orders


def test_with_a_key_customer_ids_are_pseudonyms_everywhere(read: Read, write_csv: Write) -> None:
    key = b"a key of sixteen or more"
    write_csv("orders.csv", HEADER, "17,2026-01-01,5", "17,never,5")
    write_csv("customers.csv", "customer_id,referred_by", "17,18")
    inputs = read(transactions="orders.csv", customers="customers.csv", id_key=key, max_rejected_share=0.5)
    hidden = pseudonym(17, key)
    assert inputs["transactions"].collect()["customer_id"].to_list() == [hidden]
    assert inputs["customers"].collect().row(0) == (hidden, pseudonym(18, key))
    assert inputs.rejected["transactions"]["customer_id"].to_list() == [hidden]


def test_handles_become_customers_and_unmatched_ones_are_set_aside(read: Read, write_csv: Write) -> None:
    write_csv(
        "identities.csv", "platform,handle,customer_id", "twitter,@Ann,1", "twitter,bob,2", "forum,ann,3"
    )
    touches = [
        f"{platform},{handle},2026-01-01,{platform}"
        for platform, handle in (("twitter", "ann"), ("Twitter", "@BOB"), ("forum", "ann"), ("forum", "carl"))
    ]
    write_csv("touches.csv", "platform,handle,timestamp,channel", *touches)
    table = read(identities="identities.csv", touchpoints="touches.csv").tables["touchpoints"]
    assert table.valid.collect()["customer_id"].sort().to_list() == [1, 2, 3]
    assert table.set_aside_by_rule == {"unmatched handle": 1}


@pytest.mark.parametrize(
    ("moments", "date_only"),
    [
        (["2026-01-05", "2026-01-05 09:30"], [True, False]),
        (["2026-01-05 00:00:00", "2026-01-05T09:30"], [False, False]),
        (["2026-01-05 00:00:00", "2026-01-06 00:00:00"], [True, True]),
    ],
)
def test_a_touch_known_by_its_date_only_is_marked(
    read: Read, write_csv: Write, moments: list[str], date_only: list[bool]
) -> None:
    write_csv("touches.csv", "customer_id,timestamp,channel", *(f"1,{moment},mail" for moment in moments))
    table = read(touchpoints="touches.csv").tables["touchpoints"]
    assert table.valid.collect()["date_only"].to_list() == date_only
    assert any("known by their date only" in note for note in table.notes) == any(date_only)


def test_further_columns_of_customers_are_kept_as_numbers_where_they_are(
    read: Read, write_csv: Write
) -> None:
    write_csv("customers.csv", "customer_id,region,satisfaction,postcode", "1,north,7.5,01234", "2,,,99999")
    rows = read(customers="customers.csv")["customers"].collect()
    assert rows.rows() == [(1, "north", 7.5, "01234"), (2, None, None, "99999")]


def test_rows_read_are_the_sum_of_valid_rejected_and_set_aside(read: Read, write_csv: Write) -> None:
    lines = [
        "1,2026-01-01,5",
        ",2026-01-01,5",
        "1,never,5",
        "1,2027-05-05,5",
        "1,2026-01-01,0",
        "1,2026-01-01,inf",
    ]
    write_csv("orders.csv", HEADER, *lines)
    table = read(transactions="orders.csv", max_rejected_share=1.0).tables["transactions"]
    kept_out = sum(table.rejected_by_rule.values()) + sum(table.set_aside_by_rule.values())
    assert table.rows_read == 6 == table.rows_valid + kept_out
    assert table.rejected.height == kept_out
    assert table.rejected["rule"].to_list() == [
        "guest",
        "unreadable timestamp",
        "after observation_end",
        "zero amount",
        "infinite amount",
    ]


@pytest.mark.parametrize(("ids", "valid"), [([17.0, None, 18.0], 2), ([17.0, 17.5, 18.0], 2)])
def test_ids_that_became_decimals_are_whole_numbers_again(
    read: Read, tmp_path: Path, ids: list[float | None], valid: int
) -> None:
    days = [date(2026, 1, 1)] * 3
    pl.DataFrame({"customer_id": ids, "timestamp": days, "amount": [1.0] * 3}).write_parquet(
        tmp_path / "o.parquet"
    )
    table = read(transactions="o.parquet", max_rejected_share=0.5).tables["transactions"]
    assert table.rows_valid == valid
    assert table.valid.collect()["customer_id"].to_list() == [17, 18]


def test_dates_as_whole_numbers_are_read_by_their_format(read: Read, tmp_path: Path) -> None:
    frame = pl.DataFrame({"customer_id": [1], "timestamp": [20260131], "amount": [1.0]})
    frame.write_parquet(tmp_path / "orders.parquet")
    source = {"path": "orders.parquet", "timestamp_format": "%Y%m%d"}
    assert read(transactions=source)["transactions"].collect()["timestamp"].to_list() == [
        datetime(2026, 1, 31, tzinfo=UTC)
    ]


def test_a_source_may_have_columns_named_like_ours_for_rejected_rows(read: Read, write_csv: Write) -> None:
    write_csv("customers.csv", "customer_id,rule,source_row", "1,a,b", "1,c,d")
    table = read(customers="customers.csv", max_rejected_share=0.5).tables["customers"]
    assert table.valid.collect().rows() == [(1, "a", "b")]
    assert table.rejected.select("rule", "source_row", "rule (found)", "source_row (found)").rows() == [
        ("repeated customer_id", 2, "c", "d")
    ]


def test_an_optional_table_without_rows_is_noted(read: Read, write_csv: Write) -> None:
    write_csv("interventions.csv", "name,date")
    table = read(interventions="interventions.csv").tables["interventions"]
    assert table.rows_read == 0
    assert table.notes == ("interventions.csv: interventions has columns and no rows.",)


def test_a_file_that_a_package_ships(read: Read) -> None:
    with pytest.raises(ConfigError, match="the package no_such_package is not installed"):
        read(transactions="package:no_such_package/a.csv")
    with pytest.raises(DataError, match=r'ships no file "datasets/nothing\.txt"'):
        read(transactions="package:lifetimes/datasets/nothing.txt")


def test_the_digest_is_that_of_the_file(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, "1,2026-01-01,5")
    before = read(transactions="orders.csv").tables["transactions"].sha256
    write_csv("orders.csv", HEADER, "1,2026-01-01,6")
    assert read(transactions="orders.csv").tables["transactions"].sha256 != before
    assert len(before) == 64


def test_a_history_that_starts_after_acquisition_is_a_caution(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, "1,2026-01-01,5", "2,2026-01-02,5")
    write_csv("customers.csv", "customer_id,acquired_at", "1,2021-05-01", "2,2026-01-01")
    notes = read(transactions="orders.csv", customers="customers.csv").notes
    assert any("customers acquired before the history starts (2026-01-01): 1." in note for note in notes)


def test_a_crowd_in_the_first_month_is_a_caution(read: Read, write_csv: Write) -> None:
    crowd = [f"{customer},2025-01-{customer % 28 + 1:02},5" for customer in range(100)]
    later = [
        f"{1000 + 10 * month + place},2025-{month:02}-10,5" for month in range(2, 12) for place in range(10)
    ]
    write_csv("orders.csv", HEADER, *crowd, *later)
    notes = read(transactions="orders.csv").notes
    assert any("so the history seems to start after they were acquired" in note for note in notes)


def test_a_customer_of_business_size_is_a_caution(read: Read, write_csv: Write) -> None:
    write_csv(
        "orders.csv", HEADER, *(f"{customer},2026-01-01,5" for customer in range(9)), "9,2026-01-01,5000"
    )
    notes = read(transactions="orders.csv").notes
    assert any("customers who spent more than 100 times the median: 1, with 99.1%" in note for note in notes)


def test_cdnow_as_it_ships_with_lifetimes(read: Read) -> None:
    source = {
        "path": str(cdnow_path("sample")),
        "separator": "whitespace",
        "has_header": False,
        "timestamp_format": "%Y%m%d",
        "columns": {"customer_id": 1, "timestamp": 3, "quantity": 4, "amount": 5},
        "zero_orders": "count",
    }
    table = read(transactions=source, observation_end=date(1998, 6, 30)).tables["transactions"]
    assert (table.rows_read, table.rows_valid) == (6_919, 6_919)
    rows = table.valid.collect()
    assert rows["amount"].sum() == 2_440_919_400  # $244,091.94
    assert rows["customer_id"].n_unique() == 2_357
    assert rows["quantity"].sum() == 16_479
