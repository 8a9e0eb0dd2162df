"""What killed processes leave beside the bundles, found and cleared away: erased customers may be in it.

::

    .NAME.xxxxxxxx.partial   a bundle that was being written
    .NAME.rewritten          a rewritten bundle before the exchange, or the old one after it
    .NAME.old                the old one, where folders cannot be exchanged in one step
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from experiments.bundle.manifest import FOLDERS, MANIFEST, is_bundle, read_manifest
from histories.durable import locked
from histories.errors import BundleError

_LEFTOVER: Final = re.compile(r"\.(?P<name>.+?)(\.[^.]+\.partial|\.rewritten|\.old)")

_SUFFIXES: Final = frozenset({".parquet", ".json", ".sha256", ".html", ".pdf", ".svg"})


def find_bundles(*roots: Path) -> Iterator[Path]:
    """Every finished bundle under these folders, in the order of their names."""
    for root in roots:
        for folder in _folders(root):
            if is_bundle(folder):
                yield folder


def newest_first(root: Path) -> list[Path]:
    """Finished bundles under a folder: on the latest data first, of the same day the last written first.

    When a file was written is no age: copies, clocks that were set back and erasures change it.
    """

    def age(folder: Path) -> tuple[str, int]:
        try:
            as_of = str(read_manifest(folder)[0]["as_of"])
        except BundleError:
            as_of = ""
        return as_of, (folder / MANIFEST).stat().st_mtime_ns

    return sorted(find_bundles(root), key=age, reverse=True)


def find_leftovers(*roots: Path) -> list[Path]:
    """Folders that a process being killed has left, or that one is writing just now."""
    parents = [parent for root in roots for parent in _folders(root) if not is_bundle(parent)]
    return [folder for parent in parents for folder in _subfolders(parent) if _is_ours(folder)]


def _is_ours(folder: Path) -> bool:
    """Whether a folder has such a name and holds nothing but what a bundle may hold."""
    if not _LEFTOVER.fullmatch(folder.name):
        return False
    return all(
        entry.suffix in _SUFFIXES if entry.is_file() else entry.name in FOLDERS for entry in folder.iterdir()
    )


def sweep(*roots: Path) -> int:
    """Clear away what killed processes left under these folders; how many folders went.

    Who writes a bundle holds the lock `bundles` of the folder it goes to, so that nothing is swept away that
    is still being written. A bundle that was taken away but not put back yet is put back.

    Raises
    ------
    StorageError
        When a folder cannot be locked.
    """
    gone = 0
    for parent in dict.fromkeys(folder.parent for folder in find_leftovers(*roots)):
        with locked(parent, "bundles"):
            left = [folder for folder in _subfolders(parent) if _is_ours(folder)]
            for folder in sorted(left, key=lambda folder: folder.suffix == ".old"):
                gone += _clear(folder)
    return gone


def _clear(folder: Path) -> int:
    found = _LEFTOVER.fullmatch(folder.name)
    assert found is not None
    home = folder.with_name(found["name"])
    if folder.suffix in (".rewritten", ".old") and is_bundle(folder) and not home.exists():
        folder.rename(home)
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    return 1


def _folders(root: Path) -> Iterator[Path]:
    """Folders under a root, itself first, without what is hidden or lies inside a bundle."""
    yield root
    if not is_bundle(root):
        for folder in _subfolders(root):
            if not folder.name.startswith("."):
                yield from _folders(folder)


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
