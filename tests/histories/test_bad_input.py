"""Each way in which tables can be wrong, and the message a person gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from histories.errors import ConfigError, DataError, SchemaError
from histories.reading.inputs import Inputs
from histories.reading.sources import Channel
from histories.touchpoints import require_origins

Read = Callable[..., Inputs]
Write = Callable[..., Path]

HEADER = "customer_id,timestamp,amount"
GOOD = [f"{customer},2026-01-{day:02},10.50" for customer in (1, 2) for day in range(1, 11)]


def test_a_missing_file_is_named_with_the_nearest_one_there(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    with pytest.raises(DataError) as error:
        read(transactions="order.csv")
    assert str(error.value) == (
        'inputs.transactions: no file "order.csv" (did you mean "orders.csv"?). Paths are relative to the '
        "configuration file; correct inputs.transactions.path or leave the table out."
    )


def test_a_missing_folder_is_said_to_be_missing(read: Read) -> None:
    with pytest.raises(DataError, match="its folder does not exist"):
        read(transactions="nowhere/orders.csv")


def test_a_missing_column_is_named_with_the_nearest_one_found(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", "customer_id,time_stamp,amount", "1,2026-01-01,5")
    with pytest.raises(SchemaError) as error:
        read(transactions="orders.csv")
    assert str(error.value) == (
        'orders.csv: transactions has no column "timestamp". Found: customer_id, time_stamp, amount. '
        'Did you mean "time_stamp"? Name the right one in inputs.transactions.columns, e.g. '
        'columns = { timestamp = "..." }.'
    )


def test_transactions_need_an_amount_or_quantity_and_price(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", "customer_id,timestamp,quantity", "1,2026-01-01,5")
    with pytest.raises(SchemaError, match=re.escape("Needed: amount or quantity + unit_price")):
        read(transactions="orders.csv")


def test_a_position_beyond_the_file_is_refused(read: Read, write_csv: Write) -> None:
    write_csv("orders.txt", "1 20260101 5")
    columns = {"customer_id": 1, "timestamp": 2, "amount": 4}
    with pytest.raises(SchemaError, match="no column 4 for amount; the file has 3 columns without a header"):
        read(
            transactions={
                "path": "orders.txt",
                "separator": "whitespace",
                "has_header": False,
                "columns": columns,
            }
        )


def test_an_unknown_column_of_ours_is_refused(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    with pytest.raises(ConfigError, match=re.escape('no column "amuont"; did you mean "amount"?')):
        read(transactions={"path": "orders.csv", "columns": {"amuont": "amount"}})


def test_an_unknown_table_is_refused(read: Read) -> None:
    with pytest.raises(ConfigError, match=re.escape('did you mean "touchpoints"?')):
        read(touchpoint="touches.csv")


def test_a_column_of_a_wrong_type_is_refused(read: Read, tmp_path: Path) -> None:
    frame = pl.DataFrame({"customer_id": [1], "timestamp": [True], "amount": [1.0]})
    frame.write_parquet(tmp_path / "orders.parquet")
    with pytest.raises(SchemaError) as error:
        read(transactions="orders.parquet")
    assert str(error.value) == (
        'orders.parquet: column "timestamp" has the type Boolean, but transactions.timestamp is a timestamp. '
        "Name another column in inputs.transactions.columns, or convert this one."
    )


def test_a_column_of_words_is_no_amount(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, "1,2026-01-01,ten", "2,2026-01-02,five")
    with pytest.raises(SchemaError) as error:
        read(transactions="orders.csv")
    assert str(error.value) == (
        'Wrong type: orders.csv: 2 of 2 rows have no readable amount (rows 1, 2; first: "ten"). Expected a '
        "number with a decimal point and without thousands separators in amount."
    )


def test_three_unreadable_dates_in_ten_thousand_rows_are_set_apart_and_the_run_goes_on(
    read: Read, write_csv: Write
) -> None:
    lines = [f"{row % 97},2026-01-{row % 28 + 1:02},{row}.25" for row in range(1, 10_001)]
    for row in (17, 204, 881):
        lines[row - 1] = "5,31/02/2026,3.00"
    write_csv("orders.csv", HEADER, *lines)
    table = read(transactions="orders.csv").tables["transactions"]
    assert (table.rows_read, table.rows_valid) == (10_000, 9_997)
    assert table.rejected_by_rule == {"unreadable timestamp": 3}
    assert table.rejected["source_row"].to_list() == [17, 204, 881]
    assert table.rejected["timestamp"].unique().to_list() == ["31/02/2026"]
    assert table.notes[0] == (
        'orders.csv: 3 of 10000 rows have no readable timestamp (rows 17, 204, 881; first: "31/02/2026"). '
        'Expected ISO dates; set inputs.transactions.timestamp_format otherwise, e.g. "%d/%m/%Y" if the day '
        "comes first."
    )


def test_a_run_stops_when_no_date_can_be_read(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, "1,31/01/2026,5", "2,28/02/2026,5")
    with pytest.raises(SchemaError) as error:
        read(transactions="orders.csv")
    assert str(error.value) == (
        "Not one row can be read: orders.csv: 2 of 2 rows have no readable timestamp (rows 1, 2; first: "
        '"31/01/2026"). Expected ISO dates; set inputs.transactions.timestamp_format otherwise, e.g. '
        '"%d/%m/%Y" if the day comes first.'
    )


def test_a_run_stops_above_the_largest_rejected_share(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD, "3,31/01/2026,5")
    with pytest.raises(
        DataError, match=re.escape("1 of 21 rows of transactions are rejected (4.8%; allowed: 1.0%)")
    ):
        read(transactions="orders.csv")
    assert read(transactions="orders.csv", max_rejected_share=0.05).tables["transactions"].rows_valid == 20


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "orders.csv is empty (0 bytes). Export it again"),
        (b"customer_id,timestamp,amount\n", "transactions is empty: it has columns and no rows"),
    ],
)
def test_an_empty_file_is_refused(read: Read, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "orders.csv").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(said)):
        read(transactions="orders.csv")


def test_a_damaged_parquet_file_is_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "orders.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"orders\.parquet cannot be read"):
        read(transactions="orders.parquet")


def test_a_text_with_a_broken_quote_is_refused_without_showing_it(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, '1,2026-01-01,"ann@example.org')
    with pytest.raises(DataError, match=r"orders\.csv: a quote in row 1 is not closed") as error:
        read(transactions="orders.csv")
    assert "example" not in str(error.value)


def test_repeated_line_ids_are_rejected_and_the_first_is_kept(read: Read, write_csv: Write) -> None:
    lines = [f"{line},a{row}" for row, line in enumerate(GOOD)]
    write_csv("orders.csv", f"{HEADER},line_id", *lines, "1,2026-01-01,99,a0", "1,2026-01-01,98,")
    table = read(transactions="orders.csv", max_rejected_share=0.1).tables["transactions"]
    assert table.rejected_by_rule == {"repeated line_id": 1}
    assert table.rejected["amount"].to_list() == ["99"]
    assert "1 of 22 rows repeat the line_id of an earlier row (row 21)" in table.notes[0]


def test_equal_lines_without_line_id_are_kept_and_counted(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD, GOOD[0], GOOD[0])
    table = read(transactions="orders.csv").tables["transactions"]
    assert table.rows_valid == len(GOOD) + 2
    assert any("rows equal to an earlier one: 2. They are kept" in note for note in table.notes)


def test_guests_are_set_aside_and_counted_with_their_share_of_revenue(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, "1,2026-01-01,60", ",2026-01-01,30", " ,2026-01-02,10")
    table = read(transactions="orders.csv").tables["transactions"]
    assert table.set_aside_by_rule == {"guest": 2}
    assert table.rejected_by_rule == {}
    assert table.rejected["outcome"].unique().to_list() == ["set aside"]
    assert any("make 40.0% of the revenue" in note for note in table.notes)


def test_infinite_amounts_are_rejected(read: Read, write_csv: Write, tmp_path: Path) -> None:
    write_csv("orders.csv", HEADER, *GOOD, "1,2026-01-01,inf", "1,2026-01-01,-Infinity")
    table = read(transactions="orders.csv", max_rejected_share=0.2).tables["transactions"]
    assert table.rejected_by_rule == {"infinite amount": 2}
    assert 'have an infinite amount (rows 21, 22; first: "inf")' in table.notes[0]
    typed = pl.DataFrame(
        {"customer_id": [1, 2], "timestamp": [date(2026, 1, 1)] * 2, "amount": [1.0, float("inf")]}
    )
    typed.write_parquet(tmp_path / "orders.parquet")
    table = read(transactions="orders.parquet", max_rejected_share=0.5).tables["transactions"]
    assert table.rejected_by_rule == {"infinite amount": 1}


def test_amounts_too_large_to_add_exactly_are_rejected(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD, "1,2026-01-01,1e15")
    table = read(transactions="orders.csv", max_rejected_share=0.2).tables["transactions"]
    assert table.rejected_by_rule == {"amount too large": 1}


def test_rows_after_observation_end_are_set_aside(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, "1,2026-01-31T23:59:59,5", "1,2026-02-01T00:00:00,5")
    table = read(transactions="orders.csv", observation_end=date(2026, 1, 31)).tables["transactions"]
    assert table.set_aside_by_rule == {"after observation_end": 1}
    assert "are dated after observation_end (2026-01-31) (row 2). They are set aside." in table.notes[0]


def test_two_currencies_stop_the_run(read: Read, write_csv: Write) -> None:
    write_csv(
        "orders.csv", f"{HEADER},currency", "1,2026-01-01,5,GBP", "1,2026-01-02,5,GBP", "1,2026-01-03,5,EUR"
    )
    with pytest.raises(DataError) as error:
        read(transactions="orders.csv")
    assert str(error.value) == (
        "orders.csv: transactions has 2 currencies: GBP (2 rows), EUR (1 rows). Allowed: one. Convert the "
        "amounts to one currency, or run each on its own."
    )


def test_another_currency_than_the_configured_one_stops_the_run(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", f"{HEADER},currency", "1,2026-01-01,5,GBP")
    with pytest.raises(DataError, match='is in "GBP", but the configuration says currency = "EUR"'):
        read(transactions="orders.csv", currency="EUR")
    assert read(transactions="orders.csv").currency == "GBP"


def test_a_touch_of_an_unknown_customer_is_rejected(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    write_csv("customers.csv", "customer_id", "1", "2")
    touches = [f"{customer},2026-01-05T10:00:00,chat" for customer in (1, 2, 9)]
    write_csv("touches.csv", "customer_id,timestamp,channel", *touches)
    sources = {"transactions": "orders.csv", "touchpoints": "touches.csv"}
    table = read(**sources, customers="customers.csv", max_rejected_share=0.5).tables["touchpoints"]
    assert table.rejected_by_rule == {"unknown customer": 1}
    assert "belong to customers who are not in the customers table (row 3)" in table.notes[0]
    prospects = read(**sources).tables["touchpoints"]
    assert prospects.rows_valid == 3
    assert "touches of people without any transaction: 1 (1 people)" in prospects.notes[0]


def test_words_outside_the_allowed_ones_are_rejected(read: Read, write_csv: Write) -> None:
    lines = ["1,2026-01-05,chat,inbound", "1,2026-01-06,chat,sideways"]
    write_csv("touches.csv", "customer_id,timestamp,channel,direction", *lines)
    table = read(touchpoints="touches.csv", max_rejected_share=0.5).tables["touchpoints"]
    assert table.rejected_by_rule == {"direction not allowed": 1}
    assert table.notes[0].endswith('(row 2; first: "sideways"). Allowed: inbound, outbound.')


@pytest.mark.parametrize(
    ("csat", "first_response_at", "rule"),
    [
        ("6", "2026-01-05T11:00:00", "csat outside 1-5"),
        ("", "2026-01-05T09:00:00", "first_response_at before opened_at"),
        ("high", "2026-01-05T11:00:00", "unreadable csat"),
    ],
)
def test_impossible_cases_are_rejected(
    read: Read, write_csv: Write, csat: str, first_response_at: str, rule: str
) -> None:
    header = "case_id,opened_at,channel,csat,first_response_at"
    good = "a,2026-01-05T10:00:00,chat,5,"
    write_csv("cases.csv", header, good, f"b,2026-01-05T10:00:00,chat,{csat},{first_response_at}")
    table = read(cases="cases.csv", max_rejected_share=0.5).tables["cases"]
    assert table.rejected_by_rule == {rule: 1}


def test_a_message_holds_no_customer_id(read: Read, write_csv: Write) -> None:
    write_csv("customers.csv", "customer_id", "ann@example.org", "ann@example.org", "bob@example.org")
    table = read(customers="customers.csv", max_rejected_share=0.5).tables["customers"]
    assert table.rejected_by_rule == {"repeated customer_id": 1}
    assert "example.org" not in " ".join(table.notes)


def test_an_unknown_time_zone_is_refused(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    with pytest.raises(ConfigError, match='timezone = "Europe/Lundon" is not known'):
        read(transactions="orders.csv", timezone="Europe/Lundon")


def test_a_source_whose_package_is_missing_names_it(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "delta_table" / "_delta_log").mkdir(parents=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs the package deltalake, which is not installed"):
        read(transactions="delta_table")


def test_a_channel_without_origin_is_refused_where_retention_is_asked() -> None:
    channels = {"twitter": Channel(group="social", origin="customer"), "mail": Channel(group="direct")}
    require_origins(channels, ["twitter"])
    require_origins(channels, ["twitter", "chat"], directed=["chat"])
    with pytest.raises(ConfigError) as error:
        require_origins(channels, ["twitter", "mail", "chat"])
    assert str(error.value).startswith(
        "Retention needs to know who acts in 2 channels: chat, mail. Add to [channels]"
    )


@pytest.mark.parametrize("damage", ["cut", "emptied", "turned"])
def test_the_damaged_file_among_many_is_named(read: Read, tmp_path: Path, damage: str) -> None:
    for number in range(4):
        rows = {"customer_id": [number] * 400, "timestamp": [date(2026, 1, 5)] * 400, "amount": [1.5] * 400}
        pl.DataFrame(rows).write_parquet(tmp_path / f"orders-{number}.parquet", compression="uncompressed")
    file = tmp_path / "orders-2.parquet"
    whole = file.read_bytes()
    turned = bytes(255 - byte if 4 <= place < 60 else byte for place, byte in enumerate(whole))
    file.write_bytes({"cut": whole[:-20], "emptied": b"", "turned": turned}[damage])
    with pytest.raises(
        DataError, match=r"1 of 4 files of orders-\*\.parquet, first orders-2\.parquet, cannot"
    ):
        read(transactions="orders-*.parquet")
