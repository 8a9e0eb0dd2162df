"""Holds what is served now, follows its source, and survives a bad bundle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.served import Served
from api.settings import Settings
from experiments.bundle.reading import Bundle, load_bundle
from experiments.champion import champion_signature
from experiments.tombstones import FILE, Tombstones, load_tombstones
from histories.errors import BundleError

__all__ = ["Holder"]

Notice = Callable[[str, dict[str, Any]], None]


class Holder:
    """What is served, swapped whole.

    Attributes
    ----------
    current
        What is served; None until a valid bundle was found.
    refusal
        Why the latest bundle was refused; None when it was taken.
    home
        The folder of the bundles, with their tombstones.
    """

    def __init__(
        self, settings: Settings, *, bundle: Bundle | None = None, notice: Notice | None = None
    ) -> None:
        self._settings = settings
        self._notice: Notice = notice or (lambda _event, _facts: None)
        self._tombstones = Tombstones()
        self._tombstones_seen: tuple[int, int] | None = None
        self._tried: tuple[str, int, int] | None = None
        self._loading = threading.Lock()  # held while a bundle is checked
        self._setting = threading.Lock()  # held for the moment in which `current` changes
        self.current: Served | None = None
        self.refusal: str | None = None
        self.home: Path | None = settings.home or (bundle.path.parent if bundle is not None else None)
        self._list = str(self.home / FILE) if self.home is not None else ""
        if bundle is not None:
            self._read_tombstones()
            self.current = self._open(bundle)
            self._announce(self.current)

    def snapshot(self) -> Served | None:
        """What this request is to be answered from; notices erasures by other processes at once."""
        if self._tombstones_signature() != self._tombstones_seen:
            try:
                self._read_tombstones()
            except BundleError as error:  # those known so far stay hidden, and no bundle is loaded
                self._notice("tombstones_refused", {"reason": str(error)})
        return self.current

    def reload(self, *, force: bool = False) -> bool:
        """Open what the source names now; False when that was tried already.

        Raises
        ------
        BundleError
            When it is refused; what was served stays.
        """
        source = self._settings.source
        if source is None:
            return False
        with self._loading:
            signature = champion_signature(source)
            if signature == self._tried and signature is not None and not force:
                return False
            self._tried = signature
            try:
                self._read_tombstones()
                fresh = self._open(load_bundle(source))
            except BundleError as error:
                self.refusal = str(error)
                self._notice("bundle_refused", {"reason": self.refusal})
                raise
            with self._setting:
                self.current, self.refusal = fresh.knowing(self._tombstones), None
            self._announce(fresh)
            return True

    async def watch(self) -> None:
        """Follow the source until cancelled."""
        source = self._settings.source
        while source is not None:
            await asyncio.sleep(self._settings.watch_seconds)
            if champion_signature(source) not in (None, self._tried):
                with contextlib.suppress(BundleError):
                    await asyncio.to_thread(self.reload)

    def _open(self, bundle: Bundle) -> Served:
        return Served.open(bundle, tombstones=self._tombstones, id_key=self._settings.id_key)

    def _announce(self, served: Served) -> None:
        drift = served.bundle.manifest["drift"]
        self._notice("bundle_loaded", {**served.context, "customers": len(served.store), "drift": drift})

    def _tombstones_signature(self) -> tuple[int, int] | None:
        """Differs whenever the list of erased customers does; None when there is none."""
        try:
            found = os.stat(self._list)  # noqa: PTH116 - asked on every request; a Path would double its cost
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    def _read_tombstones(self) -> None:
        """Hide everybody on the list from what is served."""
        signature = self._tombstones_signature()
        self._tombstones_seen = signature
        if signature is None or self.home is None:
            return  # none yet, or the list was lost: those it named stay hidden
        self._tombstones = load_tombstones(self.home)
        with self._setting:
            if self.current is not None:
                self.current = self.current.knowing(self._tombstones)
