"""The outbox: hooks, events and what became of each delivery, in one SQLite file beside the bundles.

An event and its deliveries are written in one transaction, before anything is sent; a delivery is marked done
after the receiver has said so. A process killed in between sends an event again, under the same id.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from api.hooks.addresses import check_receiver
from histories.durable import told_of, transaction
from histories.errors import ConfigError, nearest

FILE: Final = "hooks.sqlite"
EVENTS: Final = ("scores.promoted", "segment.entered", "segment.left")
ATTEMPTS: Final = 15
"""Tries before a delivery is given up, about eleven hours after the first."""

_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 3600.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS hooks (
    id TEXT PRIMARY KEY, url TEXT NOT NULL, secret TEXT NOT NULL, events TEXT NOT NULL,
    segments TEXT NOT NULL, private INTEGER NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    hook TEXT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL REFERENCES events (sequence) ON DELETE CASCADE,
    status TEXT NOT NULL, attempts INTEGER NOT NULL, next_try REAL NOT NULL, last TEXT,
    PRIMARY KEY (hook, sequence));
CREATE TABLE IF NOT EXISTS announced (only INTEGER PRIMARY KEY CHECK (only = 1), version TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Who is told of what.

    Attributes
    ----------
    secret
        Key of the signatures; shown once.
    segments
        Only these named segments; empty: all.
    private
        Whether the receiver may have an address of this machine or of a private network.
    """

    id: str
    url: str
    secret: str
    events: tuple[str, ...]
    segments: tuple[str, ...]
    private: bool
    created_at: str

    def to_dict(self) -> dict[str, Any]:
        """What people may see: not the secret."""
        return {name: value for name, value in asdict(self).items() if name != "secret"}

    def wants(self, kind: str, segment: str | None) -> bool:
        """Whether the hook is told of such an event."""
        return kind in self.events and (segment is None or not self.segments or segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one hook."""

    hook: Hook
    sequence: int
    event: str
    type: str
    body: bytes
    attempts: int
    last: str | None = None


class Outbox:
    """The file, opened for each piece of work; several processes may use it."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    def exists(self) -> bool:
        """Whether anybody ever asked to be told."""
        return self._path.exists()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        with told_of(FILE, remedy="Restore it, or remove it and add hooks anew."):
            if not self._path.exists():
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            with contextlib.closing(
                sqlite3.connect(self._path, timeout=30, isolation_level=None)
            ) as database:
                database.executescript(f"PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; {_SCHEMA}")
                with transaction(database):
                    yield database

    def add(
        self, url: str, *, events: Sequence[str], segments: Sequence[str] = (), private: bool = False
    ) -> Hook:
        """Tell a receiver of events from now on.

        Raises
        ------
        ConfigError
            When an event is unknown or none is given, or the address can never be sent to.
        """
        for event in events:
            if event not in EVENTS:
                raise ConfigError(f'There is no event "{event}"; {nearest(event, EVENTS)}')
        if not events:
            raise ConfigError(f"A hook needs an event; allowed: {', '.join(EVENTS)}.")
        check_receiver(url, private=private)
        hook = Hook(
            id=f"hook_{secrets.token_hex(4)}",
            url=url,
            secret=f"whsec_{secrets.token_urlsafe(32)}",
            events=tuple(dict.fromkeys(events)),
            segments=tuple(dict.fromkeys(segments)),
            private=private,
            created_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        )
        with self._open() as database:
            row = (
                hook.id,
                url,
                hook.secret,
                json.dumps(hook.events),
                json.dumps(hook.segments),
                private,
                hook.created_at,
            )
            database.execute("INSERT INTO hooks VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return hook

    def remove(self, hook_id: str) -> None:
        """Tell a receiver nothing more; what waits for it goes.

        Raises
        ------
        ConfigError
            When there is no such hook.
        """
        with self._open() as database:
            if not database.execute("DELETE FROM hooks WHERE id = ?", (hook_id,)).rowcount:
                raise ConfigError(f"There is no hook {hook_id}. `tributary hook list` shows those there are.")
            _tidy(database)

    def hooks(self) -> list[Hook]:
        """Every hook, the oldest first."""
        if not self.exists():
            return []
        with self._open() as database:
            return [_hook(row) for row in database.execute("SELECT * FROM hooks ORDER BY created_at, id")]

    def announced(self) -> str | None:
        """The model version that receivers were told of last; None before the first."""
        with self._open() as database:
            row = database.execute("SELECT version FROM announced").fetchone()
        return None if row is None else str(row[0])

    def announce(self, version: str, events: Sequence[tuple[str, str | None, Mapping[str, Any]]]) -> int:
        """Put events of a promotion into the outbox, once; how many deliveries that makes.

        Parameters
        ----------
        version
            The model version that is served now.
        events
            Type, segment and data of each, in the order in which receivers are told.
        """
        made = 0
        with self._open() as database:
            before = database.execute("SELECT version FROM announced").fetchone()
            if before is not None and before[0] == version:
                return 0  # another process was first
            database.execute("INSERT OR REPLACE INTO announced VALUES (1, ?)", (version,))
            hooks = [_hook(row) for row in database.execute("SELECT * FROM hooks")]
            now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            turn = database.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence").fetchone()[0]
            for kind, segment, data in events:
                told = [hook for hook in hooks if hook.wants(kind, segment)]
                if not told:
                    continue
                asked = f"{turn} {version} {kind} {segment}"
                event = f"evt_{hashlib.sha256(asked.encode()).hexdigest()[:24]}"
                body = orjson.dumps({"id": event, "type": kind, "created_at": now, "data": dict(data)})
                inserted = database.execute(
                    "INSERT INTO events (id, type, body) VALUES (?, ?, ?)", (event, kind, body)
                )
                for hook in told:
                    row = (hook.id, inserted.lastrowid)
                    database.execute("INSERT INTO deliveries VALUES (?, ?, 'waiting', 0, 0, NULL)", row)
                    made += 1
        return made

    def due(self, now: float | None = None) -> list[Delivery]:
        """The first delivery that waits for each hook, where its time has come.

        A hook's events go out in order: while one waits, those behind it wait too. A clock that was set back
        holds nothing up.
        """
        now = time.time() if now is None else now
        with self._open() as database:
            rows = database.execute(
                _DELIVERIES
                + " WHERE d.status = 'waiting' AND d.sequence = (SELECT MIN(sequence) FROM deliveries"
                " WHERE hook = d.hook AND status = 'waiting')"
                " AND (d.next_try <= ? OR d.next_try > ?) ORDER BY d.sequence",
                (now, now + 2 * _LONGEST_PAUSE),
            ).fetchall()
        return [_delivery(row) for row in rows]

    def delivered(self, delivery: Delivery) -> None:
        """The receiver has it."""
        with self._open() as database:
            where = (delivery.hook.id, delivery.sequence)
            database.execute("DELETE FROM deliveries WHERE hook = ? AND sequence = ?", where)
            _tidy(database)

    def failed(self, delivery: Delivery, reason: str, now: float | None = None) -> bool:
        """The receiver does not have it: try again later, or give up; whether it is given up."""
        now = time.time() if now is None else now
        attempts = delivery.attempts + 1
        dead = attempts >= ATTEMPTS
        pause = min(_FIRST_PAUSE * 2**delivery.attempts, _LONGEST_PAUSE)
        with self._open() as database:
            database.execute(
                "UPDATE deliveries SET status = ?, attempts = ?, next_try = ?, last = ?"
                " WHERE hook = ? AND sequence = ?",
                (
                    "dead" if dead else "waiting",
                    attempts,
                    now + pause,
                    reason[:200],
                    delivery.hook.id,
                    delivery.sequence,
                ),
            )
        return dead

    def dead(self) -> list[Delivery]:
        """Deliveries that were given up, the oldest first."""
        with self._open() as database:
            rows = database.execute(_DELIVERIES + " WHERE d.status = 'dead' ORDER BY d.sequence").fetchall()
        return [_delivery(row) for row in rows]

    def replay(self, hook_id: str | None = None) -> int:
        """Send again what was given up, of one hook or of all; how many deliveries that is."""
        with self._open() as database:
            return database.execute(
                "UPDATE deliveries SET status = 'waiting', attempts = 0, next_try = 0"
                " WHERE status = 'dead' AND (? IS NULL OR hook = ?)",
                (hook_id, hook_id),
            ).rowcount

    def counts(self) -> dict[str, int]:
        """Deliveries by status: waiting, dead."""
        with self._open() as database:
            found = dict(
                database.execute("SELECT status, COUNT(*) FROM deliveries GROUP BY status").fetchall()
            )
        return {"waiting": found.get("waiting", 0), "dead": found.get("dead", 0)}


_DELIVERIES: Final = (
    "SELECT h.*, d.sequence, e.id, e.type, e.body, d.attempts, d.last FROM deliveries d"
    " JOIN hooks h ON h.id = d.hook JOIN events e ON e.sequence = d.sequence"
)


def _hook(row: Sequence[Any]) -> Hook:
    return Hook(
        id=row[0],
        url=row[1],
        secret=row[2],
        events=tuple(json.loads(row[3])),
        segments=tuple(json.loads(row[4])),
        private=bool(row[5]),
        created_at=row[6],
    )


def _delivery(row: Sequence[Any]) -> Delivery:
    return Delivery(
        hook=_hook(row[:7]),
        sequence=row[7],
        event=row[8],
        type=row[9],
        body=row[10],
        attempts=row[11],
        last=row[12],
    )


def _tidy(database: sqlite3.Connection) -> None:
    """Forget events that nobody waits for."""
    database.execute("DELETE FROM events WHERE sequence NOT IN (SELECT sequence FROM deliveries)")
