"""Files as programs really write them: read with the right values, or refused in one clear sentence."""

# ruff: noqa: E501  (one kind of file a line)

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from histories.errors import DataError, TributaryError
from histories.reading.inputs import Inputs

Read = Callable[..., Inputs]

HEADER = "customer_id,timestamp,amount\n"
ROWS = "7,2026-01-05,1350.5\n8,2026-01-06,-2\n"
RIGHT = [("7", "2026-01-05", 1350.5), ("8", "2026-01-06", -2.0)]


def rows_of(inputs: Inputs) -> list[tuple[str, str, float]]:
    rows = inputs["transactions"].sort("timestamp").collect()
    days = rows["timestamp"].dt.date().cast(pl.String)
    return list(zip(rows["customer_id"].cast(pl.String), days, rows["amount"] / 10_000, strict=True))


READABLE: dict[str, tuple[bytes, dict[str, Any]]] = {
    "excel with semicolons and a mark": (
        "\ufeff\"customer_id\";timestamp;amount\r\n7;05.01.2026;1350,5\r\n8;06.01.2026;-2,00\r\n".encode(),
        {"separator": ";", "decimal": ",", "timestamp_format": "%d.%m.%Y"},
    ),
    "excel that names its separator": (b"sep=;\r\ncustomer_id;timestamp;amount\r\n" + ROWS.replace(",", ";").encode(), {}),
    "unicode text of excel": (("\ufeff" + (HEADER + ROWS).replace(",", "\t")).encode("utf-16-le"), {"separator": "\t"}),
    "utf-16 without a mark": ((HEADER + ROWS).encode("utf-16-be"), {}),
    "utf-32": ((HEADER + ROWS).encode("utf-32"), {}),
    "tabs and quotes": (b'"customer_id"\t"timestamp"\t"amount"\n"7"\t"2026-01-05"\t"1350.5"\n"8"\t"2026-01-06"\t"-2"\n', {"separator": "\t"}),
    "an index of pandas": (b",customer_id,timestamp,amount\n0,7,2026-01-05,1350.5\n1,8,2026-01-06,-2.0\n", {}),
    "a separator at every end": (b"customer_id,timestamp,amount\n7,2026-01-05,1350.5,\n8,2026-01-06,-2,\n", {}),
    "a separator at every end, header too": (b"customer_id,timestamp,amount,\n7,2026-01-05,1350.5,\n8,2026-01-06,-2,\n", {}),
    "lines of an old mac": ((HEADER + ROWS).replace("\n", "\r").encode(), {}),
    "lines of windows": ((HEADER + ROWS).replace("\n", "\r\n").encode(), {}),
    "no end of the last line": ((HEADER + ROWS).strip().encode(), {}),
    "empty lines between and behind": (f"\n{HEADER}\n{ROWS}\n,,\n\n".encode(), {}),
    "a title above the header": (f'Report "January\nfrom x\n{HEADER}{ROWS}'.encode(), {"skip_rows": 2}),
    "blanks around names and values": (b"customer_id , timestamp, amount\n 7 , 2026-01-05 , 1350.5 \n\xc2\xa08, 2026-01-06,\xc2\xa0-2\n", {}),
    "signs of currency": ("customer_id,timestamp,amount\n7,2026-01-05,€1350.50\n8,2026-01-06,-2.00 €\n".encode(), {}),
    "an accountant's brackets": (b"customer_id,timestamp,amount\n7,2026-01-05,1350.5\n8,2026-01-06,(2.00)\n", {}),
    "a minus behind": (b"customer_id,timestamp,amount\n7,2026-01-05,1350.5\n8,2026-01-06,2.00-\n", {}),
    "a typographer's minus": ("customer_id,timestamp,amount\n7,2026-01-05,1350.5\n8,2026-01-06,−2\n".encode(), {}),
    "quoted thousands": (b'customer_id,timestamp,amount\n7,2026-01-05,"1,350.50"\n8,2026-01-06,-2\n', {"thousands": ","}),
    "german thousands": (b"customer_id;timestamp;amount\n7;2026-01-05;1.350,5\n8;2026-01-06;-2\n", {"separator": ";", "thousands": "."}),
    "swiss thousands": (b"customer_id,timestamp,amount\n7,2026-01-05,1'350.50\n8,2026-01-06,-2\n", {"thousands": "'"}),
    "french thousands": ("customer_id;timestamp;amount\n7;2026-01-05;1\u202f350,50 €\n8;2026-01-06;-2\n".encode(), {"separator": ";", "thousands": " ", "decimal": ","}),
    "ids that were decimals": (b"customer_id,timestamp,amount\n7.0,2026-01-05,1350.5\n8.0,2026-01-06,-2\n", {}),
    "years of two digits": (b"customer_id,timestamp,amount\n7,01/05/26,1350.5\n8,01/06/26,-2\n", {"timestamp_format": "%m/%d/%y"}),
    "dates of excel": (b"customer_id,timestamp,amount\n7,46027,1350.5\n8,46028,-2\n", {"timestamp_format": "excel"}),
    "compact times": (b"customer_id,timestamp,amount\n7,20260105093000,1350.5\n8,20260106,-2\n", {}),
    "the time of a shop": (b"customer_id,timestamp,amount\n7,2026-01-05 10:00:00 UTC,1350.5\n8,2026-01-06 10:00:00 +0100,-2\n", {}),
    "a comma inside a quoted text": (b'customer_id,timestamp,amount,product\n7,2026-01-05,1350.5,"a, b\nand ""c"""\n8,2026-01-06,-2,d\n', {}),
    "quotes that are inches": (b'customer_id,timestamp,amount,product\n7,2026-01-05,1350.5,24" screen\n8,2026-01-06,-2,"x"\n', {"quote": "none"}),
    "columns by position": (ROWS.encode(), {"has_header": False, "columns": {"customer_id": 1, "timestamp": 2, "amount": 3}}),
    "two files behind one another": (("\ufeff" + HEADER + "7,2026-01-05,1350.5\n\ufeff8,2026-01-06,-2\n").encode(), {}),
    "digits of another script": ("customer_id,timestamp,amount\n7,٢٠٢٦-٠١-٠٥,١٣٥٠٫٥\n8,٢٠٢٦/٠١/٠٦,-٢\n".replace("/", "-").encode(), {}),
    "codes of a currency": (b"customer_id;timestamp;amount\n7;2026-01-05;EUR 1.350,5\n8;2026-01-06;-2,00 EUR\n", {"separator": ";", "thousands": "."}),
    "a date and a time of day": (b"customer_id,Date,Time,amount\n7,05.01.26,10:00,1350.5\n8,06.01.26, 11:30,-2\n", {"timestamp_format": "%d.%m.%y %H:%M", "columns": {"timestamp": ["Date", "Time"]}}),
    "packed": (gzip.compress((HEADER + ROWS).encode()), {}),
    "packed in utf-16": (gzip.compress((HEADER + ROWS).encode("utf-16")), {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", READABLE)
def test_every_kind_of_export_gives_the_same_rows(read: Read, tmp_path: Path, kind: str) -> None:
    content, settings = READABLE[kind]
    name = "o.csv.gz" if kind.startswith("packed") else "o.csv"
    (tmp_path / name).write_bytes(content)
    inputs = read(transactions={"path": name, **settings})
    assert rows_of(inputs) == RIGHT
    assert inputs.tables["transactions"].rows_read == 2


REFUSED: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "latin letters": (HEADER.encode() + "Renée,2026-01-05,5\n".encode("windows-1252"), {}, 'o.csv: line 2 holds bytes that are not UTF-8. Set inputs.transactions.encoding'),
    "another encoding than said": (HEADER.encode() + b"\x81\x8d,2026-01-05,5\n", {"encoding": "windows-1252"}, "line 1 or one soon after it holds bytes that are not cp1252"),
    "zeros": (f"{HEADER}7,2026-01-05,5\n\0\0\0\0\n".encode(), {}, "o.csv: row 2 holds NUL bytes"),
    "only a header, damaged": (b"\n\n\n", {}, "o.csv holds only empty lines"),
    "lines that end in different ways": (b"customer_id,timestamp\r,amount\n7,2026-01-05,5\n", {}, "o.csv: line 1 cannot be split into fields"),
    "a zip": (b"PK\x03\x04rest", {}, "o.csv is a zip archive or an Excel workbook and no text"),
    "a web page": (b"\n<!DOCTYPE html><p>Log in</p>", {}, "o.csv is a web page and no text"),
    "parquet under another name": (b"PAR1xxxx", {}, 'set format = "parquet"'),
    "semicolons unannounced": (HEADER.replace(",", ";").encode() + b"7;2026-01-05;5\n", {}, 'its header is one column with ";". Set inputs.transactions.separator = ";"'),
    "an unquoted thousands comma": (f"{HEADER}7,2026-01-05,1,350.00\n{ROWS}".encode(), {}, "1 of 3 rows have more fields than the header: the first has 4 under 3 (row 1). A thousands or decimal comma?"),
    "a row that was cut": (f"{HEADER}{ROWS}7,2026-01\n".encode(), {}, "1 of 3 rows have fewer fields than the header: the first has 2 under 3 (row 3)"),
    "a stray quote": (b'customer_id,timestamp,amount,product\n7,2026-01-05,5,x\n7,2026-01-05,5,"24 screen\n7,2026-01-05,5,"y"\n', {}, "a quote in row 2 is not closed before the next separator"),
    "two stray quotes": (b'customer_id,timestamp,amount,product\n7,2026-01-05,5,"24 in\n7,2026-01-05,5,x\n7,2026-01-05,5,"30 in\n', {}, 'a quote in row 1 is not closed before the next separator: the rows after it would be read as one text. Mend the row; where quotes are part of the text, set inputs.transactions.quote = "none".'),
    "a decimal comma unannounced": (b"customer_id;timestamp;amount\n7;2026-01-05;12,50\n", {"separator": ";"}, 'first: "12,50"). If that is a decimal comma, set inputs.transactions.decimal = ",".'),
    "thousands unannounced": (f'{HEADER}7,2026-01-05,"1,350.00"\n'.encode(), {}, 'If commas group the digits, set inputs.transactions.thousands = ",".'),
    "half a group": (f'{HEADER}7,2026-01-05,"1,35"\n'.encode(), {"thousands": ","}, 'have no readable amount (row 1; first: "1,35")'),
    "per cent": (f"{HEADER}7,2026-01-05,45 %\n".encode(), {}, "Expected an amount in the currency as amount, and no share"),
    "seconds unannounced": (f"{HEADER}7,1767607200,5\n".encode(), {}, 'If that counts seconds since 1970, set inputs.transactions.timestamp_format = "epoch_s".'),
    "milliseconds as seconds": (f"{HEADER}7,1767607200000,5\n".encode(), {"timestamp_format": "epoch_s"}, '1 of 1 rows have a timestamp after 2200 (row 1: "1767607200000"). If they count a smaller unit, set inputs.transactions.timestamp_format = "epoch_ms".'),
    "milliseconds that read as the year 1546": (f"{HEADER}7,1546560000000,5\n".encode(), {}, 'set inputs.transactions.timestamp_format = "epoch_ms".'),
    "seconds as milliseconds": (f"{HEADER}7,1767607200,5\n".encode(), {"timestamp_format": "epoch_ms"}, 'set inputs.transactions.timestamp_format = "epoch_s"'),
    "two digits read as four": (f"{HEADER}7,05/01/26,5\n".encode(), {"timestamp_format": "%d/%m/%Y"}, "If the years have two digits, write %y in inputs.transactions.timestamp_format"),
    "the letters of a spreadsheet": (f"{HEADER}7,05/01/2026 10:00,5\n".encode(), {"timestamp_format": "dd/MM/yyyy HH:mm"}, 'holds none of strftime\'s letters: write "%d/%m/%Y %H:%M" or the like'),
    "a name of a zone": (f"{HEADER}7,2026-01-05 10:00 EST,5\n".encode(), {"timestamp_format": "%Y-%m-%d %H:%M %Z"}, "Of zone names only UTC, GMT, Z are read"),
    "a name of a zone in the format": (f"{HEADER}7,2026-01-05 10:00 EST,5\n".encode(), {"timestamp_format": "%Y-%m-%d %H:%M EST"}, 'ends with "EST", which may be one of many zones'),
    "an id that a data frame shortened": (f"{HEADER}4.00638e+12,2026-01-05,5\n".encode(), {}, "1 of 1 rows have a customer_id in scientific notation"),
    "a shop's own names": (b"Email,Test,Paid at,Total\n7,false,2026-01-05,5\n", {}, 'Is it "Paid at"?'),
    "an id that a spreadsheet shortened": (f"{HEADER}4.00638E+12,2026-01-05,5\n".encode(), {}, "1 of 1 rows have a customer_id in scientific notation"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_next_step(read: Read, tmp_path: Path, kind: str) -> None:
    content, settings, said = REFUSED[kind]
    (tmp_path / "o.csv").write_bytes(content)
    with pytest.raises(TributaryError) as error:
        read(transactions={"path": "o.csv", **settings})
    assert said in str(error.value)
    assert "cannot be read (" not in str(error.value)


def test_fields_that_were_too_many_stand_in_the_rejected_rows(read: Read, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(
        f'customer_id,timestamp,amount\n"a\nb",2026-01-05,5\n7,2026-01-05,1,350.00\n{ROWS}'
    )
    table = read(transactions="o.csv", max_rejected_share=0.5).tables["transactions"]
    assert table.rejected_by_rule == {"more fields than the header": 1}
    assert table.rejected.select("source_row", "amount", "further field 1").rows() == [(2, "1", "350.00")]
    assert table.rows_valid == 3


@pytest.mark.parametrize(
    "word", ["NULL", "nan", "NA", "None", "undefined", "-", "n/a", "\\N", "(not set)", "#N/A"]
)
def test_ids_that_say_no_value_are_guests(read: Read, tmp_path: Path, word: str) -> None:
    (tmp_path / "o.csv").write_text(f"{HEADER}{ROWS}{word},2026-01-07,5\n")
    table = read(transactions="o.csv").tables["transactions"]
    assert table.set_aside_by_rule == {"guest": 1}
    assert table.rejected["customer_id"].to_list() == [word]


@pytest.mark.parametrize("day", ["0000-00-00", "0000-00-00 00:00:00", "00000000", "—"])
def test_dates_that_say_none_are_none(read: Read, tmp_path: Path, day: str) -> None:
    (tmp_path / "c.csv").write_text(f"customer_id,acquired_at,ended_at\n7,2026-01-05,{day}\n")
    assert read(customers="c.csv")["customers"].collect()["ended_at"].to_list() == [None]


def test_flags_are_read_in_several_languages(read: Read, tmp_path: Path) -> None:
    words = ["Ja", "oui", "WAHR", "on", "nein", "Non", "FAUX", "off"]
    rows = "".join(f"{k},{word}\n" for k, word in enumerate(words))
    (tmp_path / "c.csv").write_text(f"customer_id,consent\n{rows}")
    flags = read(customers="c.csv")["customers"].sort("customer_id").collect()["consent"]
    assert flags.to_list() == [True] * 4 + [False] * 4


def test_ids_that_differ_by_letter_case_alone_are_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(f"{HEADER}ann,2026-01-05,5\nAnn,2026-01-06,5\nbob,2026-01-06,5\n")
    notes = read(transactions="o.csv").notes
    assert any("customer ids that differ from another by letter case alone: 1." in note for note in notes)
    assert "ann" not in " ".join(notes).replace("another", "")


def test_zeros_in_front_of_ids_stay(read: Read, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(f"{HEADER}007.0,2026-01-05,5\n8.0,2026-01-06,5\n")
    assert read(transactions="o.csv")["transactions"].collect()["customer_id"].to_list() == ["007", "8"]


def test_decimal_ids_stay_where_one_is_no_whole_number(read: Read, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(f"{HEADER}7.0,2026-01-05,5\n8.1,2026-01-06,5\n")
    assert read(transactions="o.csv")["transactions"].collect()["customer_id"].to_list() == ["7.0", "8.1"]


def test_touches_of_other_ids_altogether_stop_the_run(read: Read, tmp_path: Path) -> None:
    orders = "".join(f"{customer},2026-01-05,5\n" for customer in range(10, 30))
    touches = "".join(f"0000{customer},2026-01-04,chat\n" for customer in range(10, 30))
    (tmp_path / "o.csv").write_text(HEADER + orders)
    (tmp_path / "t.csv").write_text("customer_id,timestamp,channel\n" + touches)
    with pytest.raises(DataError, match="no touch belongs to a customer with a purchase"):
        read(transactions="o.csv", touchpoints="t.csv")


@pytest.mark.parametrize("day", ["0000-01-01", "0001-01-01", "1899-12-30", "2052-03-01", "9999-12-31"])
def test_one_date_out_of_all_proportion_is_set_aside_by_name(read: Read, tmp_path: Path, day: str) -> None:
    lines = "".join(f"{row},2025-{row % 12 + 1:02}-05,5\n" for row in range(40))
    (tmp_path / "o.csv").write_text(f"{HEADER}{lines}7,{day},5\n")
    table = read(transactions="o.csv", observation_end=date.max).tables["transactions"]
    assert table.set_aside_by_rule == {"date out of all proportion": 1}
    assert f'(2025-01-05 to 2025-12-05) (row 41; first: "{day}"). They are set aside.' in table.notes[0]


def test_an_old_branch_of_a_history_stays(read: Read, tmp_path: Path) -> None:
    lines = "".join(f"{row},{2012 if row < 4 else 2025}-{row % 12 + 1:02}-05,5\n" for row in range(100))
    (tmp_path / "o.csv").write_text(HEADER + lines)
    assert read(transactions="o.csv").tables["transactions"].rows_valid == 100


def test_a_placeholder_for_never_is_no_date(read: Read, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        "customer_id,acquired_at,ended_at\n1,2025-01-01,9999-12-31\n2,2025-01-01,2026-01-01\n"
    )
    table = read(customers="c.csv").tables["customers"]
    assert table.valid.collect()["ended_at"].to_list() == [None, date(2026, 1, 1)]
    assert "1 rows have a ended_at that means none" in " ".join(table.notes)


def test_the_total_of_an_order_on_its_first_line_counts_once(read: Read, tmp_path: Path) -> None:
    lines = "#1,a,2026-01-05,120\n#1,a,2026-01-05,\n#2,b,2026-01-06,50\n"
    (tmp_path / "o.csv").write_text("order_id,customer_id,timestamp,amount\n" + lines)
    table = read(transactions="o.csv").tables["transactions"]
    assert table.valid.collect()["amount"].to_list() == [1_200_000, 500_000]
    assert table.set_aside_by_rule == {"further line of an order": 1}


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_file_of_a_folder_with_other_columns_is_named(read: Read, tmp_path: Path, end: str) -> None:
    (tmp_path / "o").mkdir()
    frames = [
        pl.DataFrame({"customer_id": [1], "timestamp": ["2026-01-05"], "amount": [5.0]}),
        pl.DataFrame(
            {"customer_id": [2], "timestamp": ["2026-01-06"], "tax": [1.0], "amount": [6.0], "margin": [2.0]}
        ),
        pl.DataFrame({"timestamp": ["2026-01-06"], "amount": [7.0]}),
    ]
    for number, frame in enumerate(frames):
        (frame.write_csv if end == "csv" else frame.write_parquet)(tmp_path / "o" / f"{number}.{end}")  # type: ignore[operator]
    table = read(transactions=f"o/*.{end}").tables["transactions"]
    assert table.valid.sort("amount").collect()["margin"].to_list() == [None, 20_000]
    assert f"1.{end} has further columns (tax, margin), compared with 0.{end}." in table.notes
    assert f"2.{end} lacks columns (customer_id), compared with 0.{end}." in table.notes
    assert table.set_aside_by_rule == {"guest": 1}


TYPED: dict[str, pl.Series] = {
    "categories": pl.Series(["7", "8"], dtype=pl.Categorical),
    "words of an enum": pl.Series(["7", "8"], dtype=pl.Enum(["8", "7"])),
    "decimals": pl.Series([7.0, 8.0]),
    "exact decimals": pl.Series([Decimal("7.00"), Decimal("8.00")]),
    "short integers": pl.Series([7, 8], dtype=pl.UInt8),
}


@pytest.mark.parametrize("kind", TYPED)
def test_ids_of_any_type(read: Read, tmp_path: Path, kind: str) -> None:
    at = pl.Series([datetime(2026, 1, 5), datetime(2026, 1, 6)], dtype=pl.Datetime("ns"))
    money = pl.Series([Decimal("1350.50"), Decimal("-2.00")])
    pl.DataFrame({"customer_id": TYPED[kind], "timestamp": at, "amount": money}).write_parquet(
        tmp_path / "o.parquet"
    )
    assert rows_of(read(transactions="o.parquet")) == RIGHT


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("amount", [[1.0], [2.0]], 'column "amount" has the type List'),
        ("timestamp", [{"a": 1}] * 2, 'no column "timestamp".* Did you mean "timestamp.a"'),
    ],
)
def test_nested_columns_are_refused_by_name(
    read: Read, tmp_path: Path, column: str, value: list[Any], says: str
) -> None:
    columns = {"customer_id": [1, 2], "timestamp": [date(2026, 1, 5)] * 2, "amount": [1.0, 2.0]} | {
        column: value
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "o.parquet")
    with pytest.raises(DataError, match=says):
        read(transactions="o.parquet")


def test_channels_of_a_path_between_other_marks(read: Read, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("path,conversions\na|b c | a,3\n")
    source = {"path": "p.csv", "path_separator": "|"}
    assert read(paths=source)["paths"].collect()["path"].to_list() == ["a > b c > a"]


def test_three_decimals_in_every_amount_are_a_caution(read: Read, tmp_path: Path) -> None:
    lines = "".join(f"{row},2026-01-05,{row}.500\n" for row in range(1, 151))
    (tmp_path / "o.csv").write_text(HEADER + lines)
    assert any("every amount has exactly three decimals" in note for note in read(transactions="o.csv").notes)
    assert not any("three decimals" in n for n in read(transactions="o.csv", currency="KWD").notes)
    grouped = read(transactions={"path": "o.csv", "thousands": "."})
    assert grouped["transactions"].collect()["amount"].sum() == 10_000 * sum(
        row * 1000 + 500 for row in range(1, 151)
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("hdfs://host/orders.csv", "hdfs:// is not read. Copy the file to this machine"),
        ("orders.xlsx", "Save the sheet as CSV UTF-8"),
        ("empty", 'no file "empty"'),
    ],
)
def test_what_is_no_table_on_this_machine_is_refused_by_its_kind(
    read: Read, tmp_path: Path, path: str, said: str
) -> None:
    (tmp_path / "orders.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TributaryError) as error:
        read(transactions=path)
    assert said in str(error.value)
    assert f'did you mean "{path}"' not in str(error.value)


T = datetime(2026, 1, 5, 12)
COLUMNS: dict[str, tuple[pl.Series, str, list[str]]] = {
    "whole numbers without a sign": (pl.Series([7, 8], dtype=pl.UInt64), "customer_id", ["7", "8"]),
    "whole numbers beyond ours": (pl.Series([2**64 - 1, 8], dtype=pl.UInt64), "customer_id", [str(2**64 - 1), "8"]),
    "texts as bytes": (pl.Series([b"Ren\xc3\xa9e", b"007"]), "customer_id", ["Renée", "007"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_other_writers_are_the_ids_they_mean(read: Read, tmp_path: Path, kind: str) -> None:
    ids, name, right = COLUMNS[kind]
    pl.DataFrame({name: ids, "timestamp": [T, T], "amount": [1.0, 2.0]}).write_parquet(tmp_path / "o.parquet")
    (tmp_path / "t.csv").write_text(f"customer_id,timestamp,channel\n{right[1]},2026-01-04,mail\n")
    found = read(transactions="o.parquet", touchpoints="t.csv")
    rows = found["transactions"].sort("amount").collect()
    assert rows["customer_id"].cast(pl.String).to_list() == right
    assert found["touchpoints"].collect()["customer_id"].dtype == rows["customer_id"].dtype


def test_bytes_that_are_no_text_stop_the_run(read: Read, tmp_path: Path) -> None:
    ids = pl.Series([b"\xff\xfe\x00", b"7"])
    pl.DataFrame({"customer_id": ids, "timestamp": [T, T], "amount": [1.0, 2.0]}).write_parquet(
        tmp_path / "o.parquet"
    )
    with pytest.raises(DataError, match=r"o\.parquet cannot be read \(invalid utf8\)"):
        read(transactions="o.parquet")


def test_counted_times_without_their_unit_are_told_what_to_say(read: Read, tmp_path: Path) -> None:
    pl.DataFrame({"customer_id": [1], "timestamp": [1_767_607_200_000], "amount": [1.0]}).write_parquet(
        tmp_path / "o.parquet"
    )
    with pytest.raises(TributaryError, match=r"say what it counts.*epoch_ms"):
        read(transactions="o.parquet")


def test_a_table_of_transitions_keeps_the_end_without_an_outcome(read: Read, tmp_path: Path) -> None:
    (tmp_path / "moves.csv").write_text(
        "from_state,to_state,n\n(start),mail,10\nmail,(conversion),4\nmail,(null),6\nmail,null,1\n"
    )
    table = read(transitions="moves.csv").tables["transitions"]
    assert table.rows_valid == 4
    assert table.valid.collect()["to_state"].to_list() == ["mail", "(conversion)", "(null)", "null"]


DOCUMENTS = {
    "columns of a data frame": '{"customer_id":{"0":7,"1":8},"timestamp":{"0":"2026-01-05","1":"2026-01-06"},"amount":{"0":1350.5,"1":-2}}',
    "one row of objects": '{"customer_id":7,"timestamp":"2026-01-05","amount":1350.5,"0":{"0":1}}\n{"customer_id":8,"timestamp":"2026-01-06","amount":-2}',
}  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents_of_any_encoding_give_the_same_rows(
    read: Read, tmp_path: Path, kind: str, encoding: str
) -> None:
    (tmp_path / "o.json").write_bytes(DOCUMENTS[kind].encode(encoding))
    assert rows_of(read(transactions="o.json")) == RIGHT


def test_columns_that_are_joined_are_one_value(read: Read, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(
        "shop,receipt,customer_id,timestamp,amount\na,1,7,2026-01-05,5\nb,1,7,2026-01-05,6\n"
    )
    source = {"path": "o.csv", "columns": {"order_id": ["shop", "receipt"]}}
    assert read(transactions=source)["transactions"].collect()["order_id"].to_list() == ["a 1", "b 1"]
    (tmp_path / "o.csv").write_text(
        "shop,receipt,customer_id,timestamp,amount,time\na,,7,2026-01-05,5,\n,,7,2026-01-05,6,9:05\n"
    )
    columns = {"order_id": ["shop", "receipt"], "timestamp": ["timestamp", "time"]}
    found = read(transactions={"path": "o.csv", "columns": columns})["transactions"].collect()
    assert found["order_id"].to_list() == [None, None]  # a part of an id is none
    assert [str(at.time()) for at in found["timestamp"]] == ["00:00:00", "09:05:00"]
    with pytest.raises(TributaryError, match='transactions has no column "till"'):
        read(transactions={"path": "o.csv", "columns": {"order_id": ["till", "receipt"]}})


@pytest.mark.parametrize(
    ("end", "below"),
    [
        ("\nMade by x\n", 1),
        ('"Sales, of 2026"\nAll rights reserved\n', 2),
        ("\n\nMade by x\n\nAcme\n", 2),
    ],
)
def test_what_a_report_prints_below_its_table_is_set_aside(
    read: Read, tmp_path: Path, end: str, below: int
) -> None:
    (tmp_path / "o.csv").write_text(HEADER + ROWS + end)
    inputs = read(transactions="o.csv")
    assert rows_of(inputs) == RIGHT
    assert inputs.tables["transactions"].set_aside_by_rule == {"footer": below}


def test_a_row_that_was_cut_at_the_end_is_no_footer(read: Read, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(HEADER + ROWS + "9\n")
    with pytest.raises(TributaryError, match="fewer fields than the header"):
        read(transactions="o.csv")


def test_an_archive_that_assigns_its_list_is_read(read: Read, tmp_path: Path) -> None:
    tweet = '{"tweet": {"id_str": "1", "created_at": "Mon Jan 05 10:00:00 +0000 2026"}}'
    (tmp_path / "tweets.js").write_text(f"window.YTD.tweets.part0 = [\n{tweet}\n]")
    columns = {"post_id": "tweet.id_str", "timestamp": "tweet.created_at"}
    posts = {"path": "tweets.js", "columns": columns, "timestamp_format": "%a %b %d %H:%M:%S %z %Y"}
    found = read(posts=posts | {"constants": {"platform": "x", "author": "acme"}})
    assert found["posts"].collect()["post_id"].to_list() == ["1"]


def test_a_file_whose_own_name_has_brackets_is_that_file(read: Read, tmp_path: Path) -> None:
    (tmp_path / "orders [2026] %20.csv").write_text(HEADER + ROWS)
    assert rows_of(read(transactions="orders [2026] %20.csv")) == RIGHT


@pytest.mark.parametrize(
    "other", [HEADER.upper() + "9,2026-01-07,5\n", HEADER.replace(",", ";") + "9;2026-01-07;5\n"]
)
def test_a_file_of_another_form_in_a_folder_is_named_where_its_rows_are_refused(
    read: Read, tmp_path: Path, other: str
) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "a.csv").write_text(HEADER + ROWS)
    (tmp_path / "orders" / "b.csv").write_text(other)
    with pytest.raises(DataError, match=r"b\.csv has further columns .* and lacks columns \(customer_id, "):
        read(transactions="orders")
