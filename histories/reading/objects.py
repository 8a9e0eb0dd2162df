"""Files in object storage (S3, Google Cloud Storage, Azure): copied beside the run's work, read as files.

Who asks is known from the environment, as the providers' own tools know it (`AWS_ACCESS_KEY_ID`,
`AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and so on).
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Final

from histories.durable import storage_error
from histories.errors import ConfigError, DataError
from histories.reading.files import is_data
from histories.reading.sources import TableSource, without_password

_SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
PART: Final = 8 * 1024 * 1024
"""Bytes that are in memory as an object is copied."""
_DELTA: Final = "_delta_log"
_RETRY: Final = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


def is_object(source: TableSource) -> bool:
    """Whether a source lies in object storage."""
    scheme, mark, _ = source.path.partition("://")
    return bool(mark) and scheme in _SCHEMES


def fetch_objects(source: TableSource, table: str, work_dir: Path) -> list[Path]:
    """Copies of the objects of a source, in the order of their names.

    Parameters
    ----------
    source
        One object, all below a prefix, or a pattern (`*` within a part of the name, `**` across).
    table
        Whose source it is.
    work_dir
        Where the copies go.

    Raises
    ------
    ConfigError
        When the package is missing.
    DataError
        When there is no such object, or it cannot be read.
    StorageError
        When the disk does not take the copies.
    """
    shown, obstore = _shown(source, table), _package(source, table)
    bucket, wanted = _split(source.path)
    folder = work_dir / "objects" / hashlib.sha256(bucket.encode()).hexdigest()[:12]
    with _asking(shown):
        store = import_module("obstore.store").from_url(bucket, retry_config=_RETRY)
        names = [address.removeprefix(f"{bucket}/") for address in source.files]
        names = names or sorted(_found(obstore, store, wanted, shown))
        return [_copy(obstore, store, name, folder) for name in names]


def list_objects(source: TableSource, table: str) -> dict[str, tuple[int, str]]:
    """Address of each object of a source, with its size and its tag, which differs where the content does.

    Raises
    ------
    ConfigError, DataError
        As `fetch_objects`.
    """
    shown, obstore = _shown(source, table), _package(source, table)
    bucket, wanted = _split(source.path)
    with _asking(shown):
        store = import_module("obstore.store").from_url(bucket, retry_config=_RETRY)
        found = _found(obstore, store, wanted, shown)
    return {f"{bucket}/{name}": about for name, about in sorted(found.items())}


def _shown(source: TableSource, table: str) -> str:
    return f"inputs.{table}: {without_password(source.path)}"


def _package(source: TableSource, table: str) -> Any:
    if importlib.util.find_spec("obstore") is None:
        raise ConfigError(
            f"{_shown(source, table)} needs the package obstore, which is not installed: "
            'pip install "tributary-clv[cloud]". Or copy the files to this machine.'
        )
    return import_module("obstore")


@contextmanager
def _asking(shown: str) -> Iterator[None]:
    refused = import_module("obstore.exceptions").BaseError
    try:
        yield
    except (refused, ValueError, OSError) as error:
        said = (without_password(str(error)).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{shown} cannot be read ({said}). Check the address, and that the environment says who asks, "
            "such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL."
        ) from error


def _split(address: str) -> tuple[str, str]:
    """The address of the bucket, and the name in it.

    >>> _split("s3://shop/orders/*.csv")
    ('s3://shop', 'orders/*.csv')
    """
    scheme, _, rest = address.partition("://")
    bucket, _, name = rest.partition("/")
    return f"{scheme}://{bucket}", name


def _found(obstore: Any, store: Any, wanted: str, shown: str) -> dict[str, tuple[int, str]]:
    """The objects that are meant, with size and tag."""
    fixed = re.split(r"[*?\[]", wanted, maxsplit=1)[0]
    is_pattern = fixed != wanted
    start = fixed.rpartition("/")[0] if is_pattern else wanted.strip("/")
    if not is_pattern and not wanted.endswith("/"):
        with suppress(FileNotFoundError):  # a prefix then
            return {wanted: _about(obstore.head(store, wanted))}
    there = [entry for part in obstore.list(store, prefix=start or None) for entry in part]
    if any(_DELTA in PurePosixPath(entry["path"]).parts for entry in there):
        raise DataError(
            f"{shown} is a Delta table, which is not read from object storage: its folder also holds rows "
            "that were taken out. Copy the whole folder to this machine, or export it as Parquet."
        )
    below, pattern = PurePosixPath(start), _pattern(wanted)
    found = {
        name: _about(entry)
        for entry in there
        for name in [entry["path"]]
        if (re.fullmatch(pattern, name) if is_pattern else is_data(PurePosixPath(name), below))
    }
    if not found:
        raise DataError(f"{shown}: there is no such object, and none of data below it ({len(there)} others).")
    return found


def _about(entry: Any) -> tuple[int, str]:
    return int(entry["size"]), str(entry["e_tag"] or entry["last_modified"])


def _pattern(wanted: str) -> str:
    """A pattern of names as a regular expression.

    >>> [bool(re.fullmatch(_pattern(wanted), "a/b/x.csv")) for wanted in ("a/**/*.csv", "a/*.csv")]
    [True, False]
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", wanted)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        meaning.get(part) or (part if part.startswith("[") and part.endswith("]") else re.escape(part))
        for part in parts
    )


def _copy(obstore: Any, store: Any, name: str, folder: Path) -> Path:
    """Copy one object, a part at a time."""
    stream = obstore.get(store, name).stream(min_chunk_size=PART)
    file = folder.joinpath(*PurePosixPath(name).parts)
    with _writing():
        file.parent.mkdir(parents=True, exist_ok=True)
        copy = file.open("wb")
    with copy:
        for part in stream:
            with _writing():
                copy.write(bytes(part))
    return file


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error("The copy of an object", error) from error
