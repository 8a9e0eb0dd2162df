"""Files that are whole or absent, whatever fails (full disk, short write, lost power), and locks.

A file is replaced by writing another beside it, forcing that to the disk, renaming it, and forcing the
folder: whoever looks sees the old content or the new one. A line is added by appending, forcing, and taking
it off again when anything fails. Locks hold between processes and threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from histories.errors import StorageError, TributaryError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PASSED_ON: Final = re.compile(r"(?:\(os error |\[Errno )(\d+)[\])]")
"""How Polars and the standard library pass on in a text what the system refused."""
_IN_WORDS: Final = {
    "database or disk is full": errno.ENOSPC,
    "attempt to write a readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
}
"""What SQLite says of it."""
_SHORT: Final = re.compile(r"\d+ requested and \d+ written")
"""What NumPy says of a file that ended before it was written."""


def storage_error(place: str, error: OSError) -> StorageError:
    """What the operating system refused, in words and without a path; its next step fits the cause."""
    error = refused_by_system(error) or error
    full = error.errno in _FULL
    remedy = "Free space" if full else "Check that the folder can be written"
    reason = error.strerror or type(error).__name__
    return StorageError(
        f"{place} could not be written ({reason}); nothing changed. {remedy}, then repeat.", full=full
    )


def refused_by_system(error: BaseException) -> OSError | None:
    """What the operating system said, also where a library passes it on as text; None where it said nothing.

    >>> refused_by_system(OSError("No space left on device (os error 28)")).errno
    28
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error
    text = str(error)
    found = _PASSED_ON.search(text)
    numbers = [int(found[1])] if found else [number for said, number in _IN_WORDS.items() if said in text]
    numbers += [errno.ENOSPC] if _SHORT.search(text) else []
    return OSError(numbers[0], os.strerror(numbers[0])) if numbers else None


def unwritable(error: BaseException) -> StorageError | None:
    """What an error says of a disk that takes no more, whoever passes it on; None of any other error."""
    refused = refused_by_system(error)
    if refused is None or refused.errno not in _FULL | {errno.EROFS}:
        return None
    return StorageError(
        f"Not all could be written ({refused.strerror}). Free space or name another place, then repeat.",
        full=refused.errno in _FULL,
    )


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file's content, or make the file; durable when this returns.

    Raises
    ------
    StorageError
        When the disk does not take it; the old content stays.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(path)
    except OSError as error:
        raise storage_error(path.name, error) from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
    confirm(path)


@contextlib.contextmanager
def appended(path: Path, line: bytes, *, mode: int = 0o600) -> Iterator[None]:
    """A line at the end of a log for as long as the block succeeds; when the block raises, the line goes.

    What an interrupted write left behind the last whole line goes first. Hold a lock where several write.

    Raises
    ------
    StorageError
        When the disk does not take the line.
    """
    try:
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    except OSError as error:
        raise storage_error(path.name, error) from error
    try:
        size = _whole_size(descriptor)
        try:
            os.ftruncate(descriptor, size)
            os.lseek(descriptor, size, os.SEEK_SET)
            _write_all(descriptor, line + b"\n")
            os.fsync(descriptor)
            if fresh:
                sync_folder(path.parent)
        except OSError as error:
            _take_back(descriptor, size)
            raise storage_error(path.name, error) from error
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, StorageError) and error.in_place):
                _take_back(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a log, without what an interrupted write left at its end; none without a file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].splitlines()


def confirm(path: Path) -> None:
    """Force the name of a file or folder that was put in place to the disk.

    Raises
    ------
    StorageError
        When the disk does not confirm it; the file is there all the same.
    """
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"{path.name} is in place, but the disk did not confirm it ({error.strerror}): "
            "a power failure could undo it.",
            in_place=True,
        ) from error


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, where the system can (Windows cannot and need not)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock between processes and threads for as long as the block runs; it ends with its process.

    A thread that holds it may take it again.

    Raises
    ------
    StorageError
        When the folder cannot be written.
    """
    lock = lock_at((folder / f".{name}.lock").resolve(), is_singleton=True)
    try:
        lock.acquire()
    except OSError as error:
        raise storage_error(f"The lock {name}", error) from error
    try:
        yield
    finally:
        lock.release()


def lock_at(path: Path, **options: Any) -> FileLock:
    """A lock on a file that exists from now on, not taken yet.

    Waiting for a lock, its library takes a place that refuses the file for one where another process just
    removed it, and would wait for ever.

    Parameters
    ----------
    path
        Of the lock's file.
    options
        Of `FileLock`.

    Raises
    ------
    StorageError
        When the place does not take the file.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise storage_error(f"The lock {path.name.strip('.').removesuffix('.lock')}", error) from error
    return FileLock(path, mode=0o600, **options)


def refuse_unwritable(path: Path) -> None:
    """Refuse a place that takes nothing new, before anything is computed for it; nothing stays there.

    Raises
    ------
    StorageError
        When the folder, or the closest one above it that exists, takes none.
    """
    found = os.path.isdir(path)  # noqa: PTH112 - which does not raise where nobody may look
    above = (path, *path.absolute().parents) if found else path.absolute().parents
    home = next(folder for folder in above if os.path.lexists(folder))
    try:
        Path(tempfile.mkdtemp(prefix=".tributary-", dir=home)).rmdir()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(
            f"{path} could not be made: {home} takes nothing new ({reason}). Name another place.",
            full=error.errno in _FULL,
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there yet.

    Raises
    ------
    StorageError
        When the place takes none.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path.name, error) from error


@contextlib.contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` that takes its name when the block ends, and goes when it raises.

    Raises
    ------
    StorageError
        When the system refused a write within the block.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield fresh
        fresh.replace(path)
    except Exception as error:
        if isinstance(error, TributaryError) or (refused := refused_by_system(error)) is None:
            raise
        raise storage_error(path.name, refused) from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write to the end, however little the system takes at a time."""
    rest = memoryview(data)
    while rest:
        taken = os.write(descriptor, rest)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[taken:]


def _whole_size(descriptor: int) -> int:
    """Bytes up to the end of the last whole line."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _take_back(descriptor: int, size: int) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing; nobody else writes meanwhile.

    Parameters
    ----------
    database
        Opened with `isolation_level=None`.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:  # a full disk has undone it already
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextlib.contextmanager
def told_of(file: str, *, remedy: str) -> Iterator[None]:
    """What the system or SQLite refuses of a database file, in words; `remedy` is for a damaged one.

    Raises
    ------
    StorageError
        When it could not be written, or is damaged.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(file, error) from error
    except sqlite3.OperationalError as error:
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        raise StorageError(f"{file} could not be written ({error}); nothing changed.", full=full) from error
    except sqlite3.DatabaseError as error:
        raise StorageError(f"{file} is damaged ({error}). {remedy}") from error
