"""Takes in what arrives: many requests with one write to the disk, each acknowledged when it is there."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from api.problems import Problem
from experiments.arrivals import Arrival, Arrivals, Outcome
from experiments.tombstones import FILE, Tombstones, load_tombstones

_MOST_WAITING: Final = 100_000
"""Arrivals that wait to be written; who brings more is asked to come back."""


class Intake:
    """Group commit: whatever came while one write was made goes into the next, together.

    Parameters
    ----------
    home
        The folder of the bundles.
    """

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self._arrivals = None if home is None else Arrivals(home)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake")
        self._waiting: list[tuple[Sequence[Arrival], asyncio.Future[Outcome]]] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._database: sqlite3.Connection | None = None
        self._tombstones = Tombstones()
        self._erased: frozenset[bytes] = frozenset()
        self._seen: Any = None

    async def take(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Write arrivals; they are on the disk when this returns.

        Raises
        ------
        Problem
            When too much is waiting.
        StorageError
            When the disk does not take them; nothing was accepted.
        """
        if self._size + len(arrivals) > _MOST_WAITING:
            raise Problem(
                name="busy",
                detail=f"{self._size} arrivals are waiting to be written. Come back.",
                headers={"retry-after": "1"},
            )
        written: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrivals, written))
        self._size += len(arrivals)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        return await written

    async def _write(self) -> None:
        """Write until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting, self._size = self._waiting, [], 0
            try:
                requests = [arrivals for arrivals, _ in group]
                outcomes = await loop.run_in_executor(self._thread, self._append, requests)
            except Exception as error:
                for _, written in group:
                    if not written.done():
                        written.set_exception(error)
                continue
            for (_, written), outcome in zip(group, outcomes, strict=True):
                if not written.done():  # who asked may have gone
                    written.set_result(outcome)

    def _append(self, requests: Sequence[Sequence[Arrival]]) -> list[Outcome]:
        assert self._arrivals is not None
        if self._database is None:
            self._database = self._arrivals.open()
        self._seen = None  # the list is looked at once, while nobody else can write
        return self._arrivals.append(self._database, requests, is_erased=self._is_erased)

    def _is_erased(self, stored_id: str) -> bool:
        if self._seen is None:
            self._seen = self._read_tombstones()
        return bool(self._erased) and self._tombstones.digest(stored_id) in self._erased

    def _read_tombstones(self) -> Any:
        """Read the list of the erased where it changed; says which it was."""
        assert self._home is not None
        try:
            found = os.stat(self._home / FILE)  # noqa: PTH116
        except FileNotFoundError:
            return "none"
        signature = (found.st_ino, found.st_size, found.st_mtime_ns)
        if signature != getattr(self, "_signature", None):
            self._tombstones = load_tombstones(self._home)
            self._erased = frozenset(self._tombstones.digests)
            self._signature = signature
        return signature

    def close(self) -> None:
        """Write what waits, and let nothing further begin."""
        self._thread.shutdown(wait=True)
        if self._database is not None:
            self._database.close()
            self._database = None
