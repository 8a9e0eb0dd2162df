"""Find the files of a source, and look into them before any reader does."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO, cast

import polars as pl
import polars.exceptions as polars_errors

from histories.errors import ConfigError, DataError, nearest
from histories.reading.sources import TableSource, without_password

PACKAGE = "package:"
TEXT_SUFFIXES = (".csv", ".txt", ".tsv", ".dat")
PARQUET_SUFFIXES = (".parquet", ".pq")
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson", ".js")


_UNREADABLE = (
    *(polars_errors.PolarsError, polars_errors.PanicException),
    *(OSError, UnicodeError, EOFError, zlib.error),
)
"""Whatever reading a file may end in; a panic of Polars is no `Exception`."""


@contextmanager
def reading(place: str, files: Sequence[Path] = ()) -> Iterator[None]:
    """Turn what Polars says of an unreadable file into a message with the file's name.

    Of several `files`, those that are damaged are looked for.

    Raises
    ------
    DataError
        In place of an error of Polars or of the file system.
    """
    try:
        yield
    except _UNREADABLE as error:
        lines = str(error).strip().splitlines()
        # Polars quotes the value that it stumbled over, which may be personal.
        first = re.sub(r"`.*", "a value", lines[0]) if lines else type(error).__name__
        damaged = [file.name for file in files if len(files) > 1 and is_damaged(file)]
        which = f"{len(damaged)} of {len(files)} files of {place}, first {damaged[0]}," if damaged else place
        raise DataError(
            f"{which} cannot be read ({first}). "
            "Check that it is complete and that its `format` and `separator` are right."
        ) from error


def is_damaged(file: Path) -> bool:
    """Whether a Parquet file cannot be read to its end."""
    if file.suffix.lower() not in PARQUET_SUFFIXES:
        return False
    try:
        pl.scan_parquet(file, glob=False).select(pl.all().count()).collect(engine="streaming")
    except (polars_errors.PolarsError, OSError):
        return True
    return False


def find_files(source: TableSource, table: str, base_dir: Path) -> list[Path]:
    """Files of a source in the order of their names, or the folder of a Delta table.

    Raises
    ------
    DataError
        When there is none, with the nearest name that is there.
    """
    if source.path.startswith(PACKAGE):
        return [package_file(source.path.removeprefix(PACKAGE))]
    given = without_password(source.path)
    try:
        path = base_dir / Path(source.path).expanduser()
        files = _files_of(source, path)
    except (OSError, RuntimeError, ValueError) as error:  # too long, a home of nobody, no pattern
        raise DataError(
            f'inputs.{table}: "{given[:60]}" is no usable path. Correct inputs.{table}.path.'
        ) from error
    if not files and "://" in given:
        raise DataError(
            f"inputs.{table}: {given.split('://')[0]}:// is not read. Copy the file to this machine, or name "
            "object storage (s3://, gs://, az://) or a database (postgresql://, duckdb:///, sqlite:///)."
        )
    if not files:
        raise DataError(_no_file(path, table, given))
    return _named(files, source, table, base_dir) if source.files else files


def _named(files: list[Path], source: TableSource, table: str, base_dir: Path) -> list[Path]:
    """Those of the files that the source names."""
    there = {os.path.relpath(file, base_dir): file for file in files}
    missing = [name for name in source.files if os.path.normpath(name) not in there]
    if missing:
        raise DataError(
            f"inputs.{table}: {len(missing)} of {len(source.files)} files are not in {source.path}, first "
            f"{missing[0]}. Correct inputs.{table}.files, or leave it out to read all."
        )
    return [there[os.path.normpath(name)] for name in source.files]


def _files_of(source: TableSource, path: Path) -> list[Path]:
    if path.is_dir():
        if (path / "_delta_log").is_dir():
            return [path]
        files = sorted(file for file in path.rglob("*") if file.is_file() and is_data(file, path))
    elif path.is_file():  # also one whose own name has brackets
        files = [path]
    elif any(letter in source.path for letter in "*?["):
        pattern = path.relative_to(path.anchor) if path.is_absolute() else path
        files = sorted(file for file in Path(path.anchor).glob(str(pattern)) if file.is_file())
    else:
        files = []
    return files


def package_file(name: str) -> Path:
    """A file that an installed package ships, from "package/folder/file"; the package is not imported.

    Raises
    ------
    ConfigError
        When the package is not installed.
    DataError
        When it has no such file.
    """
    package, _, inside = name.partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f'"{PACKAGE}{name}": the package {package} is not installed. Install it (pip install {package}).'
        )
    file = Path(found.submodule_search_locations[0]) / inside
    if not file.is_file():
        raise DataError(f'"{PACKAGE}{name}": the package {package} ships no file "{inside}".')
    return file


def is_data(file: PurePath, folder: PurePath) -> bool:
    """Whether a file of a folder holds data by its name: a known ending, and nothing hidden on the way."""
    hidden = any(part.startswith(("_", ".", "~$")) for part in file.relative_to(folder).parts)
    return not hidden and suffix(file) in (*TEXT_SUFFIXES, *PARQUET_SUFFIXES, *JSON_SUFFIXES)


def _no_file(path: Path, table: str, given: str) -> str:
    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    beside = [name for name in names if name != path.name and not name.startswith(".")]
    if not folder.is_dir():
        hint = "its folder does not exist"
    elif beside and not any(letter in path.name for letter in "*?["):
        hint = nearest(path.name, beside) if len(beside) <= 20 else "it is not in its folder"
    else:
        hint = "nothing matches"
    return (
        f'inputs.{table}: no file "{given}" ({hint}). Paths are relative to the configuration file; '
        f"correct inputs.{table}.path or leave the table out."
    )


def suffix(file: PurePath) -> str:
    """What a file's name ends with, without a compression's ending.

    >>> suffix(Path("orders.CSV.gz"))
    '.csv'
    """
    name = file.name.lower().removesuffix(".gz").removesuffix(".zst")
    return PurePath(name).suffix


def refuse_empty(files: list[Path], table: str, place: str) -> None:
    """Refuse files without one byte.

    Raises
    ------
    DataError
        When every file is empty.
    """
    if all(file.stat().st_size == 0 for file in files):
        raise DataError(
            f"{place} is empty (0 bytes). Export it again, or leave inputs.{table} out of the configuration."
        )


def open_bytes(file: Path) -> BinaryIO:
    """A file, unpacked when it is a gzip."""
    with file.open("rb") as start:
        is_gzip = start.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(file, "rb")) if is_gzip else file.open("rb")


def digest(files: list[Path]) -> str:
    """SHA-256 of one file, or of the digests of several in the order of their names."""
    digests = []
    for file in files:
        with file.open("rb") as content:
            digests.append(hashlib.file_digest(content, "sha256").hexdigest())
    return joint_digest(digests)


def joint_digest(digests: list[str]) -> str:
    """The one digest, or the SHA-256 of several one after the other."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
