"""Open a run's bundle: check every byte, then read its tables when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import polars as pl

from histories.errors import BundleError, nearest

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "SEAL",
    "Bundle",
    "file_checksum",
    "is_bundle",
    "load_bundle",
    "read_manifest",
]

FORMAT_VERSION: Final = 1
"""Format of the folders that this version writes and reads."""

MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.json.sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle on disk, checked and open; tables are read when they are asked for.

    Attributes
    ----------
    digest
        SHA-256 of the manifest, which holds the checksums of all else: two bundles with one digest are equal.
    """

    path: Path
    manifest: Mapping[str, Any]
    model: Mapping[str, Any]
    digest: str

    @property
    def model_version(self) -> str:
        """What answers name as their source: the run's model version, or its id."""
        return str(self.manifest["model_version"])

    def table(self, name: str) -> pl.DataFrame:
        """Read a table whole.

        Raises
        ------
        BundleError
            When a bundle has no such table, or it cannot be read.
        """
        return _read(lambda: pl.read_parquet(self._table_path(name), memory_map=False), name)

    def scan(self, name: str) -> pl.LazyFrame:
        """A table as a lazy frame, for those that may be larger than memory."""
        return pl.scan_parquet(self._table_path(name))

    def rejected(self) -> dict[str, pl.DataFrame]:
        """Rows that were set aside, by input table, with the rule that each broke."""
        folder = self.path / "rejected"
        return {file.stem: pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))}

    def file(self, name: str) -> bytes | None:
        """The bytes of `report.html` and the like; None when the run made none.

        Raises
        ------
        BundleError
            When the name is not one of the bundle's own top-level files.
        """
        if name not in self.manifest["checksums"] or "/" in name:
            return None
        return _read((self.path / name).read_bytes, name)

    def _table_path(self, name: str) -> Path:
        if name not in self.manifest["tables"]:
            raise BundleError(f'The bundle has no table "{name}"; {nearest(name, self.manifest["tables"])}')
        return self.path / f"{name}.parquet"


_T = TypeVar("_T")


def _read(read: Callable[[], _T], name: str) -> _T:
    try:
        return read()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{name} cannot be read. Write the bundle again.") from error


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_bundle(path: Path) -> bool:
    """Whether a folder looks like a finished bundle; says nothing of its health."""
    return (path / SEAL).is_file()


def read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    """Read and check a manifest alone: its content and its digest.

    Raises
    ------
    BundleError
        When there is none, a byte of it changed, or its format is another.
    """
    try:
        data = (path / MANIFEST).read_bytes()
        seal = (path / SEAL).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path.name or path} is no bundle: {Path(error.filename or MANIFEST).name} cannot be read "
            f"({error.strerror}). Name a folder that `tributary run` has written."
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if seal != f"{digest}  {MANIFEST}\n".encode():
        raise BundleError(f"{path.name}: {MANIFEST} does not match its checksum; the bundle is damaged.")
    try:
        content: dict[str, Any] = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{path.name}: {MANIFEST} is not JSON.") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT_VERSION:
        age = "older" if isinstance(found, int) and found < FORMAT_VERSION else "other"
        raise BundleError(
            f"{path.name}: the bundle has the {age} format {found!r}; this version reads {FORMAT_VERSION}. "
            "Run `tributary run` again to write it anew."
        )
    return content, digest


def load_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Open a bundle.

    Parameters
    ----------
    path
        The folder, or a link to it.
    verify
        Compare every file with its checksum (about one second per gigabyte).

    Raises
    ------
    BundleError
        When a file is missing, a byte changed, or the format is another.
    """
    path = Path(path).resolve()
    manifest, digest = read_manifest(path)
    for name, checksum in manifest["checksums"].items() if verify else ():
        try:
            found = file_checksum(path / name)
        except OSError as error:
            raise BundleError(f"{path.name}: {name} is missing; the bundle is not whole.") from error
        if found != checksum:
            raise BundleError(f"{path.name}: {name} does not match its checksum; the bundle is damaged.")
    model = _read(lambda: orjson.loads((path / "model.json").read_bytes()), "model.json")
    return Bundle(path=path, manifest=manifest, model=model, digest=digest)
