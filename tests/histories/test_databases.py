"""Rows of a database, or of object storage, are those of a file; a package that is missing is named."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sqlite3
import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from histories.errors import ConfigError, DataError, StorageError
from histories.reading import databases
from histories.reading.ingest import ingest
from histories.reading.inputs import Ingested
from histories.reading.sources import TableSource
from tests.object_storage import running_s3
from tests.postgresql import running_postgresql

COLUMNS = ("customer_id", "timestamp", "amount", "order_id")
ROWS = [
    (7, "2026-01-05 10:00:00", 12.5, "a"),
    (8, "2026-02-01 09:30:00", 3.25, "b"),
    (7, "2026-03-01 00:00:00", -1.0, "a"),
]
AS_CSV = "\n".join([",".join(COLUMNS), *(",".join(map(str, row)) for row in ROWS)]) + "\n"
AS_SQL = "create table transactions (customer_id bigint, timestamp {time}, amount {money}, order_id {text})"
VALUES = ", ".join(str(row) for row in ROWS)


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed")


def read(folder: Path, path: str, **keys: Any) -> Ingested:
    sources = {"transactions": TableSource(path=path, **keys)}
    inputs = ingest(sources, base_dir=folder, work_dir=folder / "work", observation_end=date(2026, 6, 30))
    return inputs.tables["transactions"]


def assert_same_rows(folder: Path, found: Ingested) -> None:
    (folder / "rows.csv").write_text(AS_CSV, encoding="utf-8")
    expected = read(folder, "rows.csv").valid.collect().select(*COLUMNS)
    seen = found.valid.collect().select(*COLUMNS)
    local = pl.col("timestamp").dt.replace_time_zone(None).dt.cast_time_unit("us")
    assert_frame_equal(seen.with_columns(local), expected.with_columns(local))


@pytest.fixture(autouse=True)
def _work(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()


def lite(folder: Path, *rows: tuple[object, ...]) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute(AS_SQL.format(time="text", money="real", text="text"))
        connection.executemany("insert into transactions values (?, ?, ?, ?)", rows or ROWS)
    connection.close()


@needs("adbc_driver_sqlite")
def test_sqlite(tmp_path: Path) -> None:
    lite(tmp_path)
    assert_same_rows(tmp_path, read(tmp_path, "sqlite:///shop.db"))
    assert read(tmp_path, f"sqlite:///{tmp_path}/shop.db").rows_read == len(ROWS)
    few = read(tmp_path, "sqlite:///shop.db", query="select * from transactions where amount > 5")
    assert few.rows_read == 1
    with pytest.raises(DataError, match=r"there is no file other\.db"):
        read(tmp_path, "sqlite:///other.db")
    assert not (tmp_path / "other.db").exists()
    with pytest.raises(DataError, match="no such table"):
        read(tmp_path, "sqlite:///shop.db", query="select * from orders")


@needs("adbc_driver_sqlite")
def test_the_digest_of_a_database_is_of_its_rows(tmp_path: Path) -> None:
    """A killed run goes on from its buckets where the rows are the same, not where the query is."""
    lite(tmp_path)
    before = read(tmp_path, "sqlite:///shop.db").sha256
    assert read(tmp_path, "sqlite:///shop.db").sha256 == before
    (tmp_path / "shop.db").unlink()
    lite(tmp_path, *ROWS[:2], (7, "2026-03-01 00:00:00", -1.01, "a"))
    assert read(tmp_path, "sqlite:///shop.db").sha256 != before


@needs("adbc_driver_sqlite")
def test_rows_of_a_database_are_in_memory_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [(n, "2026-01-05 10:00:00", n / 4, f"o{n}") for n in range(2500)]
    lite(tmp_path, *many)
    whole = read(tmp_path, "sqlite:///shop.db")
    seen: list[int] = []
    original = pl.DataFrame.write_parquet

    def write(frame: pl.DataFrame, *args: Any, **options: Any) -> None:
        seen.append(frame.height)
        original(frame, *args, **options)

    monkeypatch.setattr(databases, "PART", 1000)
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", write)
        parts = read(tmp_path, "sqlite:///shop.db")
    assert seen[:3] == [1000, 1000, 500]
    assert_frame_equal(parts.valid.collect(), whole.valid.collect())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", refuse)
    with pytest.raises(StorageError, match="copy of a database's rows could not be written"):
        read(tmp_path, "sqlite:///shop.db")


@needs("duckdb")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("interval 5 day", "Leave columns of odd types out by `query`"),
        ("170141183460469231731687303715884105727::hugeint", "cannot be read"),
    ],
)
def test_values_that_no_table_holds_are_refused(tmp_path: Path, value: str, said: str) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(
            f"CREATE TABLE transactions AS SELECT {value} customer_id, "
            "DATE '2026-01-05' \"timestamp\", 5 amount"
        )
    with pytest.raises(DataError, match=re.escape(said)):
        read(tmp_path, "duckdb:///shop.duckdb")


@needs("duckdb")
def test_an_endless_date_of_a_database_is_set_aside(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE transactions AS "
            "SELECT 'a' customer_id, TIMESTAMP '-infinity' \"timestamp\", 5 amount UNION ALL "
            "SELECT 'a' customer_id, TIMESTAMP 'infinity' \"timestamp\", 5 amount "
            "UNION ALL SELECT 'b', TIMESTAMP '2026-01-05', 7"
        )
    found = read(tmp_path, "duckdb:///shop.duckdb")
    assert found.set_aside_by_rule == {"date out of all proportion": 1, "after observation_end": 1}
    assert any('first: "infinity"' in note for note in found.notes)


@needs("duckdb")
def test_duckdb(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(AS_SQL.format(time="timestamptz", money="decimal(10, 2)", text="varchar"))
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"insert into transactions values {VALUES}")
    assert_same_rows(tmp_path, read(tmp_path, "duckdb:///shop.duckdb"))


@needs("adbc_driver_postgresql")
@pytest.mark.skipif(shutil.which("initdb") is None, reason="PostgreSQL is not installed")
def test_postgresql(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_postgresql(tmp_path_factory.mktemp("pg")) as place:
        table = AS_SQL.format(time="timestamptz", money="numeric(10, 2)", text="text")
        address = f"postgresql://{place}"
        script = f"set timezone to 'UTC'; {table}; insert into transactions values {VALUES};"
        subprocess.run(["psql", "-q", "-c", script, address], check=True, capture_output=True)
        assert_same_rows(tmp_path, read(tmp_path, address))
        with pytest.raises(DataError, match='relation "orders" does not exist'):
            read(tmp_path, address, query="select * from orders")


@pytest.mark.parametrize("scheme", ["snowflake", "bigquery", "sqlite", "duckdb", "postgresql"])
def test_a_missing_driver_is_named_with_what_to_install(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"needs the package .*tributary-clv\[{scheme}\]") as refused:
        read(tmp_path, f"{scheme}://ann:secret@host/shop")
    assert "secret" not in str(refused.value)


def test_bigquery_is_asked_for_project_and_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Google's service: what its driver is given, and that its rows are read."""
    given = {}

    class Connection:
        def __enter__(self) -> Connection:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def cursor(self) -> Connection:
            return self

        def execute(self, query: str) -> None:
            assert query == "SELECT * FROM transactions"

        def fetch_record_batch(self) -> Any:
            return rows.to_arrow().to_reader(max_chunksize=2)

    def connect(*, db_kwargs: dict[str, str]) -> Connection:
        given.update(db_kwargs)
        return Connection()

    driver = types.ModuleType("adbc_driver_bigquery.dbapi")
    driver.connect = connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, driver.__name__, driver)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        databases.importlib.util, "find_spec", lambda name: name == "adbc_driver_bigquery" or found(name)
    )
    rows = pl.DataFrame(ROWS, schema=list(COLUMNS), orient="row")
    assert_same_rows(tmp_path, read(tmp_path, "bigquery://acme/shop?auth_type=x"))
    options = {"project_id": "acme", "dataset_id": "shop", "auth_type": "x"}
    assert given == {f"adbc.bigquery.sql.{name}": value for name, value in options.items()}


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with running_s3() as client:
        yield client


def test_objects_are_read_as_files(s3: Any, tmp_path: Path) -> None:
    header, *lines = AS_CSV.splitlines()
    for name, rows in {
        "orders/2026-01.csv": lines[:1],
        "orders/more/2026-02.csv": lines[1:],
        "orders/_tmp/2026-03.csv": lines[:1],
        "orders/readme.pdf": [],
        "orders-of-others/x.csv": lines[:1],
    }.items():
        s3.put_object(Bucket="shop", Key=name, Body="\n".join([header, *rows, ""]).encode())
    assert_same_rows(tmp_path, read(tmp_path, "s3://shop/orders"))
    assert_same_rows(tmp_path, read(tmp_path, "s3://shop/orders/**/2026-0[12].csv"))
    assert read(tmp_path, "s3://shop/orders/*.csv").rows_read == 1
    assert read(tmp_path, "s3://shop/orders/more/2026-02.csv").rows_read == 2
    frame = pl.DataFrame(ROWS, schema=list(COLUMNS), orient="row")
    s3.put_object(
        Bucket="shop",
        Key="all.parquet",
        Body=frame.write_parquet(tmp_path / "x") or (tmp_path / "x").read_bytes(),
    )
    assert_same_rows(tmp_path, read(tmp_path, "s3://shop/all.parquet"))


def test_objects_that_cannot_be_read_are_refused_without_a_key(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket="shop", Key="lake/_delta_log/0.json", Body=b"{}")
    s3.put_object(Bucket="shop", Key="lake/part-0.parquet", Body=b"x")
    with pytest.raises(
        DataError, match=r"s3://shop/lake is a Delta table, which is not read from object storage"
    ):
        read(tmp_path, "s3://shop/lake")
    with pytest.raises(DataError, match="there is no such object, and none of data below it"):
        read(tmp_path, "s3://shop/nothing/*.csv")
    with pytest.raises(DataError, match=r"s3://other/x\.csv cannot be read"):
        read(tmp_path, "s3://other/x.csv")
    s3.put_object(Bucket="shop", Key="one.csv", Body=AS_CSV.encode())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(StorageError, match="The copy of an object could not be written"):
            read(tmp_path, "s3://shop/one.csv")
    monkeypatch.setattr(databases.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package obstore.*tributary-clv\[cloud\]"):
        read(tmp_path, "s3://shop/one.csv")
