"""What arrived since the runs, read from the file of arrivals as each bundle sees it."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from api.live import Live, is_live, zone_of_run
from api.served import Served
from experiments.arrivals import Arrivals
from histories.errors import StorageError

KEPT_DAYS: Final = 35
"""Days for which arrivals stay after a run has read them, so that one may go back to a run before."""

_VIEWS: Final = 2


class Updates:
    """What arrived, as each bundle sees it; kept up to date with the file at every question.

    Parameters
    ----------
    home
        The folder of the bundles; None where there is none, and then nothing can arrive.
    """

    def __init__(self, home: Path | None) -> None:
        self._arrivals = None if home is None else Arrivals(home)
        self._path = "" if self._arrivals is None else str(self._arrivals.path)
        self._reader: sqlite3.Connection | None = None
        self._views: dict[str, Live] = {}

    def of(self, served: Served) -> Live | None:
        """What arrived on top of what is served; None where nothing did."""
        try:
            live = self.seen_by(served)
        except StorageError:  # scores of the run are better than none; taking in, and the log, say what it is
            return None
        return live if live is not None and live.by_customer and live.usable else None

    def seen_by(self, served: Served) -> Live | None:
        """The same, also where all of it is in the bundle; None where nothing ever arrived."""
        if self._reader is None:
            if self._arrivals is None or not os.path.exists(self._path):  # noqa: PTH110 - asked every time
                return None
            self._reader = self._arrivals.open()
        live = self._views.get(served.bundle.digest)
        if live is None:
            live = self._keep(_opened(served))
        version = self._reader.execute("PRAGMA data_version").fetchone()[0]
        if version != live.version:
            assert self._arrivals is not None
            live.add(self._arrivals.read(self._reader, after=live.last))
            live.version = version
        return live

    def prepare(self, served: Served) -> None:
        """Read what arrived before the bundle is served, and forget what has been in bundles for long.

        In a thread of its own, with a connection of its own.
        """
        if self._arrivals is None or not self._arrivals.exists():
            return
        live = _opened(served)
        database = self._arrivals.open()
        try:
            live.add(self._arrivals.read(database))
        finally:
            database.close()
        if live.by_customer and live.usable:
            served.load_predictor()
        self._keep(live)
        before = (time.time() - KEPT_DAYS * 86_400) * 1e6
        old = [sequence for sequence, received in live.read.items() if received < before]
        if old:
            self._arrivals.prune(old)

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _keep(self, live: Live) -> Live:
        self._views[live.served.bundle.digest] = live
        for digest in list(self._views)[:-_VIEWS]:
            self._views.pop(digest, None)
        return live


def _opened(served: Served) -> Live:
    return Live(served=served, zone=zone_of_run(served), usable=is_live(served))
