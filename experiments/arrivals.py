"""What arrived since the runs: orders and contacts in one SQLite file beside the bundles.

SQLite's write-ahead log is forced to the disk before an arrival is acknowledged; a process killed in between
leaves it whole or absent. Several processes may write and read. Ids are those that bundles hold, pseudonyms
where they hold pseudonyms. Arrivals are told apart by a key of the sender's, so that none counts twice.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from experiments.tombstones import Tombstones
from histories.durable import told_of, transaction
from histories.errors import StorageError
from histories.periods import start_of_day, zone_of

FILE: Final = "arrivals.sqlite"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS arrivals (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,
    customer TEXT NOT NULL, at INTEGER NOT NULL, amount INTEGER, channel TEXT, received INTEGER NOT NULL,
    UNIQUE (kind, key));
CREATE INDEX IF NOT EXISTS by_customer ON arrivals (customer);
"""
_AT_ONCE: Final = 10_000
"""Keys looked up in one statement."""
_TRIES: Final = 40
RECENT_DAYS: Final = 92
"""Days before a run's last one of which its bundle knows every order by name."""

Kind = Literal["purchase", "touchpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An order or a contact.

    Attributes
    ----------
    key
        The sender's name for it: an order's or a touchpoint's id.
    customer
        The id as bundles hold it.
    at, received
        Microseconds since 1970 in UTC: when it happened, and when it was taken in.
    amount
        Minor units; None for a contact.
    channel
        Of a contact.
    sequence
        Its place in the log; 0 before it has one.
    """

    kind: Kind
    key: str
    customer: str
    at: int
    amount: int | None = None
    channel: str | None = None
    received: int = 0
    sequence: int = 0

    def says(self, other: Arrival) -> bool:
        """Whether both tell the same."""
        return (self.customer, self.at, self.amount, self.channel) == (
            other.customer,
            other.at,
            other.amount,
            other.channel,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the arrivals of one request: all of them are in the log, or none.

    Attributes
    ----------
    accepted, duplicates
        How many are new, and how many were there already.
    conflicts, erased
        Positions of those whose key names something else, and of those whose customer was erased; where
        there is one, nothing was accepted.
    """

    accepted: int = 0
    duplicates: int = 0
    conflicts: tuple[int, ...] = ()
    erased: tuple[int, ...] = ()


class Arrivals:
    """The file. A connection serves one thread; `open` another for another."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE

    def exists(self) -> bool:
        """Whether anything ever arrived."""
        return self.path.exists()

    def open(self) -> sqlite3.Connection:
        """A connection, with the table in place.

        Raises
        ------
        StorageError
            When the file cannot be opened or is damaged.
        """
        with _told():
            if not self.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            database = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_SCHEMA)
            return database

    def append(
        self,
        database: sqlite3.Connection,
        requests: Sequence[Sequence[Arrival]],
        *,
        is_erased: Callable[[str], bool],
    ) -> list[Outcome]:
        """Take in several requests with one write; durable when this returns.

        Parameters
        ----------
        database
            Of `open`.
        requests
            Each is taken in whole or not at all.
        is_erased
            Whether a customer is on the list of the erased; asked while nobody else can write.

        Raises
        ------
        StorageError
            When the disk does not take it; nothing was accepted.
        """
        with _told(), transaction(database):
            known = _known(database, (arrival for request in requests for arrival in request))
            outcomes, fresh = [], []
            for request in requests:
                outcome, added = _judge(request, known, is_erased)
                outcomes.append(outcome)
                fresh += added
                known |= {(arrival.kind, arrival.key): arrival for arrival in added}
            database.executemany(
                "INSERT INTO arrivals (kind, key, customer, at, amount, channel, received)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(a.kind, a.key, a.customer, a.at, a.amount, a.channel, a.received) for a in fresh],
            )
        return outcomes

    def read(self, database: sqlite3.Connection, *, after: int = 0) -> list[Arrival]:
        """Arrivals behind a place in the log, in the order in which they were taken in."""
        with _told():
            rows = database.execute(f"{_SELECT} WHERE sequence > ? ORDER BY sequence", (after,)).fetchall()
        return [_arrival(row) for row in rows]

    def holds(self, customer: str) -> bool:
        """Whether anything of this customer arrived."""
        if not self.exists():
            return False
        with _told(), contextlib.closing(self.open()) as database:
            found = database.execute("SELECT 1 FROM arrivals WHERE customer = ? LIMIT 1", (customer,))
            return found.fetchone() is not None

    def erased(self, tombstones: Tombstones) -> int:
        """How many customers who were erased are still in the file."""
        if not self.exists() or not tombstones.digests:
            return 0
        with _told(), contextlib.closing(self.open()) as database:
            return len(_erased(database, tombstones))

    def forget(self, *, tombstones: Tombstones) -> int:
        """Remove what arrived of customers who were erased, from the file's free space as well.

        Returns
        -------
        int
            How many arrivals went.

        Raises
        ------
        StorageError
            When the disk does not take it; repeating takes up the work again.
        """
        if not self.exists() or not tombstones.digests:
            return 0
        with _told(), contextlib.closing(self.open()) as database:
            database.execute("PRAGMA secure_delete = ON")
            with transaction(database):
                gone = _erased(database, tombstones)
                before = database.total_changes
                database.executemany("DELETE FROM arrivals WHERE customer = ?", gone)
                lost = database.total_changes - before
            _empty_log(database)
            return lost

    def prune(self, sequences: Iterable[int]) -> None:
        """Remove arrivals that are not needed any more."""
        with _told(), contextlib.closing(self.open()) as database, transaction(database):
            database.executemany("DELETE FROM arrivals WHERE sequence = ?", ((s,) for s in sequences))


_SELECT: Final = "SELECT kind, key, customer, at, amount, channel, received, sequence FROM arrivals"


def _arrival(row: Sequence[Any]) -> Arrival:
    return Arrival(
        kind=row[0],
        key=row[1],
        customer=row[2],
        at=row[3],
        amount=row[4],
        channel=row[5],
        received=row[6],
        sequence=row[7],
    )


def _known(database: sqlite3.Connection, arrivals: Iterable[Arrival]) -> dict[tuple[str, str], Arrival]:
    """Arrivals of the log that have one of these keys."""
    keys = list(dict.fromkeys(arrival.key for arrival in arrivals))
    found: dict[tuple[str, str], Arrival] = {}
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        query = f"{_SELECT} WHERE kind IN ('purchase', 'touchpoint') AND key IN ({marks})"
        for row in database.execute(query, part):
            found[row[0], row[1]] = _arrival(row)
    return found


def _judge(
    request: Sequence[Arrival],
    known: dict[tuple[str, str], Arrival],
    is_erased: Callable[[str], bool],
) -> tuple[Outcome, list[Arrival]]:
    """What becomes of one request, and what it adds."""
    fresh: dict[tuple[str, str], Arrival] = {}
    conflicts, duplicates = [], 0
    erased = tuple(i for i, arrival in enumerate(request) if is_erased(arrival.customer))
    for i, arrival in enumerate(request):
        name = (arrival.kind, arrival.key)
        before = known.get(name) or fresh.get(name)
        if before is None:
            fresh[name] = arrival
        elif before.says(arrival):
            duplicates += 1
        else:
            conflicts.append(i)
    if conflicts or erased:
        return Outcome(conflicts=tuple(conflicts), erased=erased), []
    return Outcome(accepted=len(fresh), duplicates=duplicates), list(fresh.values())


def _erased(database: sqlite3.Connection, tombstones: Tombstones) -> list[tuple[str]]:
    """Customers of the file who are on the list of the erased."""
    erased = frozenset(tombstones.digests)
    customers = database.execute("SELECT DISTINCT customer FROM arrivals").fetchall()
    return [row for row in customers if tombstones.digest(row[0]) in erased]


def _empty_log(database: sqlite3.Connection) -> None:
    """Take SQLite's write-ahead log, which holds what rows were before, into the file and leave it empty."""
    for _ in range(_TRIES):
        busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return
        time.sleep(0.05)
    raise StorageError(
        f"{FILE} is being read all the time: its write-ahead log could not be emptied. Repeat."
    )


def recent_orders(transactions: pl.LazyFrame, observation_end: dt.date) -> pl.DataFrame:
    """Orders of the last days that a run has read: customer_id, order_id; none where orders have no id.

    With them an order that arrived by itself as well counts once, whenever it arrived.
    """
    schema = transactions.collect_schema()
    none = pl.DataFrame(schema={"customer_id": schema["customer_id"], "order_id": pl.String()})
    if "order_id" not in schema:
        return none
    since = start_of_day(pl.lit(observation_end - dt.timedelta(days=RECENT_DAYS)), zone_of(transactions))
    return (
        transactions.filter((pl.col("timestamp") >= since) & pl.col("order_id").is_not_null())
        .select("customer_id", pl.col("order_id").cast(pl.String))
        .unique()
        .sort("customer_id", "order_id")
        .collect()
    )


_told = partial(
    told_of,
    FILE,
    remedy="Restore it, or remove it: what it held and no run has read must then be sent again.",
)
