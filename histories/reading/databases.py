"""Tables of a database, by a query: PostgreSQL, SQLite, DuckDB, Snowflake, BigQuery.

The rows are in memory as they are read. Passwords may stand in the address, and are never shown.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import polars as pl

from histories.errors import ConfigError, DataError
from histories.reading.sources import TableSource, without_password

Read = Callable[[str, str, Path], pl.DataFrame]
"""Reads a query from an address; paths in it start at the folder given."""


def _by_uri(query: str, address: str, _: Path) -> pl.DataFrame:
    return pl.read_database_uri(query, address, engine="adbc")


def _by_connectorx(query: str, address: str, _: Path) -> pl.DataFrame:
    return pl.read_database_uri(query, address, engine="connectorx")


def _sqlite(query: str, address: str, base_dir: Path) -> pl.DataFrame:
    return pl.read_database_uri(query, f"sqlite:///{_file_of(address, base_dir)}", engine="adbc")


def _duckdb(query: str, address: str, base_dir: Path) -> pl.DataFrame:
    duckdb: Any = import_module("duckdb")
    quiet = {"autoinstall_known_extensions": "false"}  # nothing is downloaded at run time
    with duckdb.connect(str(_file_of(address, base_dir)), read_only=True, config=quiet) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return pl.DataFrame(connection.sql(query).to_arrow_table())


def _bigquery(query: str, address: str, _: Path) -> pl.DataFrame:
    """`bigquery://project/dataset`; who asks is known from the environment, as Google's own tools know it."""
    dbapi: Any = import_module("adbc_driver_bigquery.dbapi")
    parts = urlsplit(address)
    options = {"project_id": parts.netloc, "dataset_id": parts.path.strip("/")}
    options |= {name: values[0] for name, values in parse_qs(parts.query).items()}
    about = {f"adbc.bigquery.sql.{name}": value for name, value in options.items() if value}
    with dbapi.connect(db_kwargs=about) as connection:
        return pl.read_database(query, connection)


_READERS: Final[dict[str, tuple[tuple[str, Read], ...]]] = {
    "postgresql": (("adbc_driver_postgresql", _by_uri), ("connectorx", _by_connectorx)),
    "sqlite": (("adbc_driver_sqlite", _sqlite),),
    "duckdb": (("duckdb", _duckdb),),
    "snowflake": (("adbc_driver_snowflake", _by_uri),),
    "bigquery": (("adbc_driver_bigquery", _bigquery),),
}
"""By scheme, the package that is needed and how it reads; the first one that is installed is taken."""


def _scheme(source: TableSource) -> str | None:
    if source.format == "postgresql":
        return "postgresql"
    scheme, mark, _ = source.path.partition("://")
    scheme = "postgresql" if scheme == "postgres" else scheme
    return scheme if mark and scheme in _READERS else None


def is_database(source: TableSource) -> bool:
    """Whether a source is read by a query."""
    return _scheme(source) is not None


def read_database(source: TableSource, table: str, base_dir: Path) -> tuple[pl.DataFrame, str, str]:
    """Rows of a source, how it is called in messages, and the SHA-256 of query and rows.

    Raises
    ------
    ConfigError
        When a package is missing.
    DataError
        When the database, the table or the query is refused.
    """
    place = f"inputs.{table} (database)"
    scheme = _scheme(source)
    assert scheme is not None
    readers = _READERS[scheme]
    installed = [read for package, read in readers if importlib.util.find_spec(package)]
    if not installed:
        raise ConfigError(
            f"{place}: a {scheme} source needs the package {readers[0][0].replace('_', '-')}, which is not "
            f'installed: pip install "tributary-clv[{scheme}]". Or export the table as Parquet or CSV.'
        )
    query = source.query or f"SELECT * FROM {table}"
    try:
        rows = installed[0](query, source.path, base_dir)
    except Exception as error:  # each driver raises its own kind
        first = without_password(str(error)).strip().splitlines()
        raise DataError(
            f"{place} cannot be read ({first[0] if first else 'no reason given'}). Check address and query."
        ) from error
    # ADBC gives types that Arrow lacks, such as PostgreSQL's numeric, as text with a label.
    labelled = [name for name, dtype in rows.schema.items() if dtype.is_extension()]
    plain = rows.with_columns(pl.col(name).ext.storage() for name in labelled)
    return plain, place, _digest(query, plain)


def _file_of(address: str, base_dir: Path) -> Path:
    """The file of `sqlite:///shop.db`, relative to the configuration, or of `sqlite:////data/shop.db`."""
    file = base_dir / address.partition("://")[2].removeprefix("/")
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file.name}")
    return file


class _Hashing:
    """A file that keeps nothing but the digest of what is written into it."""

    def __init__(self, start: str) -> None:
        self._sha256 = hashlib.sha256(start.encode())

    def write(self, data: Any) -> int:
        self._sha256.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _digest(query: str, rows: pl.DataFrame) -> str:
    hashing: Any = _Hashing(query)
    for part in rows.rechunk().iter_slices(100_000):
        part.write_ipc_stream(hashing)
    return str(hashing.hexdigest())
