"""Watches what is to be served: opens it, swaps it in whole, survives a bad bundle, and tries again."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from api.served import Served
from api.settings import Settings
from api.updates import Updates
from experiments.bundle.reading import Bundle, read_bundle
from experiments.champion import champion_signature
from experiments.tombstones import FILE, Tombstones, load_tombstones
from histories.errors import BundleError, StorageError, TributaryError

PINNED_SECONDS: Final = 600.0
"""For how long a listing may go on over scores that were replaced."""

_MOST_PINNED: Final = 2

Notice = Callable[[str, dict[str, Any]], None]

_LONGEST_PAUSE: Final = 300.0
"""Seconds after which a refused bundle is tried again at the latest."""


class Watcher:
    """What is served, swapped whole.

    Attributes
    ----------
    current
        What is served; None until a valid bundle was found.
    refusal
        Why the latest bundle was refused, or why none is found where the source leads; None when all is well.
    damage
        What happened to the files being served; None while they are as they were opened.
    home
        The folder of the bundles, with their tombstones.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        bundle: Bundle | None = None,
        notice: Notice | None = None,
        updates: Updates | None = None,
    ) -> None:
        self._settings = settings
        self._updates = updates
        self._notice: Notice = notice or (lambda _event, _facts: None)
        self._tombstones = Tombstones()
        self._tombstones_seen: tuple[int, int, int] | None = None
        self._tried: tuple[str, int, int] | None = None
        self._pause = 0.0  # seconds to the next try, doubled by each refusal; 0 after a success
        self._next_try = 0.0
        self._loading = threading.Lock()  # held while a bundle is checked
        self._setting = threading.Lock()  # held for the moment in which `current` changes
        self._before: list[tuple[float, Served]] = []  # replaced when, what
        self.current: Served | None = None
        self.refusal: str | None = None
        self.damage: str | None = None
        self.home: Path | None = settings.home or (bundle.path.parent if bundle is not None else None)
        self._list = str(self.home / FILE) if self.home is not None else ""
        if bundle is not None:
            self._read_tombstones()
            self.current = read_bundle(bundle.path, self._open, verify=False)
            self._prepare(self.current)
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
                fresh = read_bundle(source, self._open)
                self._prepare(fresh)
            except Exception as error:
                self._refuse(error)
                raise BundleError(self.refusal) from error
            with self._setting:
                self._pin(fresh)
                self.current = fresh.knowing(self._tombstones)
                self.refusal, self.damage, self._pause = None, None, 0.0
            self._announce(fresh)
            return True

    async def watch(self) -> None:
        """Follow the source until cancelled, whatever happens."""
        while self._settings.source is not None:
            await asyncio.sleep(self._settings.watch_seconds)
            try:
                await asyncio.to_thread(self.look)
            except BundleError:
                pass  # noted where it was refused
            except Exception as error:
                self._notice("watch_failed", {"kind": type(error).__name__})

    def look(self) -> None:
        """Load what the source names when that is new, or was refused and is due again.

        Raises
        ------
        BundleError
            When it is refused.
        """
        source = self._settings.source
        assert source is not None
        signature = champion_signature(source)
        if signature is None:
            self._miss(source)
        elif signature != self._tried:
            self.reload()
        elif self._pause and time.monotonic() >= self._next_try:
            self.reload(force=True)
        elif self.current is not None and self.damage is None and not self._pause:
            self._inspect(self.current)
        with self._setting:
            since = time.monotonic() - PINNED_SECONDS
            self._before = [(replaced, served) for replaced, served in self._before if replaced >= since]

    def before(self) -> list[Served]:
        """What was served until a while ago, the latest first: listings that began on it may go on.

        An erasure ends that at once.
        """
        since = time.monotonic() - PINNED_SECONDS
        return [served for replaced, served in reversed(self._before) if replaced >= since]

    def _pin(self, fresh: Served) -> None:
        """Keep what is replaced for a while; not what an erasure rewrote, whose files must go."""
        since = time.monotonic() - PINNED_SECONDS
        kept = [(replaced, served) for replaced, served in self._before if replaced >= since]
        if self.current is not None and self.current.bundle.digest != fresh.bundle.digest:
            kept.append((time.monotonic(), self.current))
        versions = {fresh.bundle.model_version}
        self._before = [(t, s) for t, s in kept if s.bundle.model_version not in versions][-_MOST_PINNED:]

    def _prepare(self, fresh: Served) -> None:
        """Read what arrived before its scores are asked for; without it those of the run are served."""
        if self._updates is None:
            return
        try:
            self._updates.prepare(fresh)
        except StorageError as error:
            self._notice("arrivals_refused", {"reason": str(error)})

    def _refuse(self, error: Exception) -> None:
        """Say why, and when to try again: what is out of descriptors or memory now may not be later."""
        if isinstance(error, TributaryError):
            self.refusal = str(error)
        else:
            reason = getattr(error, "strerror", None) or type(error).__name__
            self.refusal = f"The bundle could not be opened ({reason}). It is tried again."
        self._pause = min(max(2 * self._pause, self._settings.watch_seconds), _LONGEST_PAUSE)
        self._next_try = time.monotonic() + self._pause
        self._notice("bundle_refused", {"reason": self.refusal})

    def _miss(self, source: Path) -> None:
        """Say once that there is no bundle where the source leads, if there is a source at all."""
        if not source.is_symlink() and self.current is None:
            return
        reason = f"{source.name} leads to no bundle. Promote one, or restore the folder."
        if self.refusal != reason:
            self.refusal, self._tried = reason, None
            self._notice("bundle_refused", {"reason": reason})

    def _inspect(self, served: Served) -> None:
        """Notice that mapped files were written over: their figures are no longer the bundle's."""
        changed = served.changed_file()
        if changed is not None:
            self.damage = (
                f"{changed} was changed while it is served. Restore the bundle, or promote another; "
                "never write into a served one."
            )
            self._notice("bundle_damaged", {"reason": self.damage})
            self.reload(force=True)

    def _open(self, bundle: Bundle) -> Served:
        return Served.open(bundle, tombstones=self._tombstones, id_key=self._settings.id_key)

    def _announce(self, served: Served) -> None:
        drift = served.bundle.manifest["drift"]
        self._notice("bundle_loaded", {**served.context, "customers": len(served.store), "drift": drift})

    def _tombstones_signature(self) -> tuple[int, int, int] | None:
        """Differs whenever the list of erased customers does; None when there is none."""
        try:
            found = os.stat(self._list)  # noqa: PTH116 - asked on every request; a Path would double its cost
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read_tombstones(self) -> None:
        """Hide everybody on the list from what is served."""
        signature = self._tombstones_signature()
        self._tombstones_seen = signature
        if signature is None or self.home is None:
            return  # none yet, or the list was lost: those it named stay hidden
        found = load_tombstones(self.home)
        erased, self._tombstones = found != self._tombstones, found
        with self._setting:
            if erased:
                self._before.clear()
            if self.current is not None:
                self.current = self.current.knowing(self._tombstones)
