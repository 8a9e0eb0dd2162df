"""Tables of a database, by a query: PostgreSQL, SQLite, DuckDB, Snowflake, BigQuery.

Rows are copied to files a part at a time, where the driver gives them so (connectorx does not). Passwords may
stand in the address, and are never shown.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import polars as pl

from histories.durable import refused_by_system, storage_error
from histories.errors import ConfigError, DataError, StorageError
from histories.reading.sources import TableSource, without_password

Read = Callable[[str, str, Path], Iterator[pl.DataFrame]]
"""Reads a query from an address, some rows at a time; paths in it start at the folder given."""

PART = 100_000
"""Rows that are in memory at once."""


def _by_adbc(driver: str, *, bare: bool = False) -> Read:
    """Reads by an ADBC driver; `bare` where it wants the address without its scheme."""

    def read(query: str, address: str, _: Path) -> Iterator[pl.DataFrame]:
        where = address.partition("://")[2] if bare else address
        with import_module(f"{driver}.dbapi").connect(where) as connection:
            yield from _batches(connection, query)

    return read


def _batches(connection: Any, query: str) -> Iterator[pl.DataFrame]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        yield from _frames(cursor.fetch_record_batch())


def _frames(reader: Any) -> Iterator[pl.DataFrame]:
    """What an Arrow reader gives, after a frame without rows that tells its columns."""
    yield pl.DataFrame(reader.schema.empty_table())
    for batch in reader:
        yield pl.DataFrame(batch)


def _by_connectorx(query: str, address: str, _: Path) -> Iterator[pl.DataFrame]:
    yield pl.read_database_uri(query, address, engine="connectorx")


def _sqlite(query: str, address: str, base_dir: Path) -> Iterator[pl.DataFrame]:
    yield from _by_adbc("adbc_driver_sqlite")(query, str(_file_of(address, base_dir)), base_dir)


def _duckdb(query: str, address: str, base_dir: Path) -> Iterator[pl.DataFrame]:
    duckdb: Any = import_module("duckdb")
    quiet = {"autoinstall_known_extensions": "false"}  # nothing is downloaded at run time
    with duckdb.connect(str(_file_of(address, base_dir)), read_only=True, config=quiet) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield from _frames(connection.sql(query).to_arrow_reader(PART))


def _bigquery(query: str, address: str, _: Path) -> Iterator[pl.DataFrame]:
    """`bigquery://project/dataset`; who asks is known from the environment, as Google's own tools know it."""
    dbapi: Any = import_module("adbc_driver_bigquery.dbapi")
    parts = urlsplit(address)
    options = {"project_id": parts.netloc, "dataset_id": parts.path.strip("/")}
    options |= {name: values[0] for name, values in parse_qs(parts.query).items()}
    about = {f"adbc.bigquery.sql.{name}": value for name, value in options.items() if value}
    with dbapi.connect(db_kwargs=about) as connection:
        yield from _batches(connection, query)


_READERS: Final[dict[str, tuple[tuple[str, Read], ...]]] = {
    "postgresql": (
        ("adbc_driver_postgresql", _by_adbc("adbc_driver_postgresql")),
        ("connectorx", _by_connectorx),
    ),
    "sqlite": (("adbc_driver_sqlite", _sqlite),),
    "duckdb": (("duckdb", _duckdb),),
    "snowflake": (("adbc_driver_snowflake", _by_adbc("adbc_driver_snowflake", bare=True)),),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Queried:
    """Rows of a database, copied to files.

    Attributes
    ----------
    place
        How the source is called in messages.
    size
        Bytes that the rows take in memory.
    sha256
        Of query and rows.
    """

    rows: pl.LazyFrame
    place: str
    size: int
    sha256: str


def read_database(source: TableSource, table: str, base_dir: Path, work_dir: Path) -> Queried:
    """Copy the rows of a source into `work_dir`, a part at a time.

    Raises
    ------
    ConfigError
        When a package is missing.
    DataError
        When the database, the table or the query is refused.
    StorageError
        When the disk has no room for the copy.
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
    hashing: Any = _Hashing(query)
    folder, size = Path(tempfile.mkdtemp(prefix=f"{table}-", dir=work_dir)), 0
    try:
        for number, rows in enumerate(_parts(installed[0](query, source.path, base_dir))):
            rows.write_ipc_stream(hashing)
            size += int(rows.estimated_size())
            with _kept():
                rows.write_parquet(folder / f"{number:06}.parquet", compression="lz4")
    except StorageError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # each driver raises its own kind
        first = without_password(str(error)).strip().splitlines()
        types = " Leave columns of odd types out by `query`." if not isinstance(error, Exception) else ""
        raise DataError(
            f"{place} cannot be read ({first[0] if first else 'no reason given'}). Check address and "
            f"query.{types}"
        ) from error
    found = pl.scan_parquet(sorted(folder.glob("*.parquet")), glob=False)
    return Queried(rows=found, place=place, size=size, sha256=hashing.hexdigest())


def _parts(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Rows in parts of equal height, however a driver gives them; one without rows where there are none."""
    waiting = [_plain(next(frames))]
    for frame in frames:
        waiting.append(_plain(frame))
        if sum(one.height for one in waiting) >= PART:
            rows = pl.concat(waiting).rechunk()
            whole = rows.height - rows.height % PART
            yield from (rows.slice(start, PART) for start in range(0, whole, PART))
            waiting = [rows.slice(whole)]
    yield pl.concat(waiting).rechunk()


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """ADBC gives types that Arrow lacks, such as PostgreSQL's numeric, as text with a label."""
    labelled = [name for name, dtype in rows.schema.items() if dtype.is_extension()]
    return rows.with_columns(pl.col(name).ext.storage() for name in labelled)


@contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if (refused := refused_by_system(error)) is None:
            raise
        raise storage_error("The copy of a database's rows", refused) from error


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
