"""A folder for what does not fit in memory: it goes with its process, or is cleared away by the next one.

::

    .spill-xxxxxxxx/       one for each running process
    .spill-xxxxxxxx/lock   held as long as it runs; nobody's after a crash
    .spill-xxxxxxxx/work/  buckets, under the `token` of what they were made from
    .spill-xxxxxxxx/left/  those of killed processes, until it is known whether they can be used
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl
from filelock import Timeout

from histories.durable import lock_at, locked, make_folder, refused_by_system, storage_error
from histories.errors import StorageError

_PREFIX: Final = ".spill-"
_LOCK: Final = "lock"
_WORK: Final = "work"
_LEFT: Final = "left"
_TOKEN: Final = "token"


@contextmanager
def spill_folder(parent: Path) -> Iterator[Path]:
    """A new folder under `parent` for as long as the block runs; what killed processes left there goes first.

    What they had finished of their work is kept for `adopt`.

    Raises
    ------
    StorageError
        When no folder can be made there.
    """
    make_folder(parent)
    with locked(parent, "spill"):
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            held = lock_at(folder / _LOCK)
            held.acquire()
            _take_leftovers(parent, folder / _LEFT)
        except OSError as error:
            raise storage_error(parent.name, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()
        shutil.rmtree(folder, ignore_errors=True)


def adopt(folder: Path, token: str) -> Path:
    """Where the work of a process lies; it holds what a killed one had done under the same token.

    Parameters
    ----------
    folder
        Of `spill_folder`.
    token
        The same only where the same work is done on the same rows.

    Raises
    ------
    StorageError
        When the disk does not take it.
    """
    work = folder / _WORK
    try:
        for left in (folder / _LEFT).glob("*"):
            if not work.exists() and (left / _TOKEN).read_text(encoding="utf-8") == token:
                left.rename(work)
        shutil.rmtree(folder / _LEFT, ignore_errors=True)
        work.mkdir(exist_ok=True)
        (work / _TOKEN).write_text(token, encoding="utf-8")
    except OSError as error:
        raise storage_error("The folder of buckets", error) from error
    return work


def _take_leftovers(parent: Path, left: Path) -> None:
    """Keep the work of killed processes in `left`, and clear away the rest of them."""
    left.mkdir()
    for folder in parent.glob(f"{_PREFIX}*"):
        if folder == left.parent:
            continue
        try:
            lock = lock_at(folder / _LOCK)
            lock.acquire(timeout=0)
        except (Timeout, OSError, StorageError):
            continue
        if (folder / _WORK / _TOKEN).is_file():
            (folder / _WORK).rename(left / folder.name)
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
    except (OSError, pl.exceptions.PolarsError) as error:
        if (refused := refused_by_system(error)) is None:
            raise
        raise storage_error("The folder of buckets", refused) from error
