"""A folder for what does not fit in memory: it goes with its process, or is cleared away by the next one.

::

    .spill-xxxxxxxx/       one for each running process
    .spill-xxxxxxxx/lock   held as long as it runs; nobody's after a crash
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl
from filelock import FileLock, Timeout

from histories.durable import locked, storage_error
from histories.errors import StorageError

__all__ = ["spill_folder", "spilling"]

_PREFIX: Final = ".spill-"
_LOCK: Final = "lock"
_REFUSED: Final = re.compile(r"\(os error (\d+)\)")
"""How Polars passes on what the operating system said."""


@contextmanager
def spill_folder(parent: Path) -> Iterator[Path]:
    """A new folder under `parent` for as long as the block runs; what killed processes left there goes first.

    Raises
    ------
    StorageError
        When no folder can be made there.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(parent.name, error) from error
    with locked(parent, "spill"):
        _clear_leftovers(parent)
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError as error:
            raise storage_error(parent.name, error) from error
        held = FileLock(folder / _LOCK)
        held.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()
        shutil.rmtree(folder, ignore_errors=True)


def _clear_leftovers(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def spilling() -> Iterator[None]:
    """Says in one sentence that the disk did not take a bucket; every other fault passes as it is.

    Raises
    ------
    StorageError
        When the system refused a write within the block.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise storage_error("The folder of buckets", error) from error
    except pl.exceptions.PolarsError as error:
        found = _REFUSED.search(str(error))
        if found is None:
            raise
        refused = OSError(int(found[1]), str(error).split(" (os error")[0].rpartition(": ")[2])
        raise storage_error("The folder of buckets", refused) from error
