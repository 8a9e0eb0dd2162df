"""A bundle's manifest: sealed by a checksum, and checked before anything relies on what it says."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

import msgspec
import orjson
from msgspec import Meta, Struct

from histories.errors import BundleError

FORMAT_VERSION: Final = 1
"""Format of the folders that this version writes and reads."""

MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.json.sha256"
NEEDED: Final = ("model.json", "serving/layout.json")
"""Files that every bundle holds, besides one Parquet file for each table."""

FOLDERS: Final = ("serving", "rejected", "pictures")
"""Folders inside a bundle."""

_Word = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,1000}$")]
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Rows = Annotated[int, Meta(ge=0)]


class _Erasure(Struct):
    """Which list of erased customers the bundle was cleaned of, and how far."""

    key: str
    tombstones: _Rows


class _Manifest(Struct):
    """What every reader relies on; a manifest may say more."""

    run_id: _Word
    model_version: _Word
    as_of: _Word
    tables: dict[_Word, _Rows]
    checksums: dict[_Word, _Digest]
    erasure: _Erasure
    pseudonyms: bool
    drift: list[dict[str, Any]]
    left_out: dict[str, Any]
    currency: str | None
    time_unit: str | None
    interval_level: float | None


def is_bundle(path: Path) -> bool:
    """Whether a folder looks like a finished bundle; says nothing of its health."""
    return (path / SEAL).is_file()


def read_seal(path: Path) -> bytes | None:
    """The seal, which no two different bundles share; None where there is none to be read."""
    try:
        return (path / SEAL).read_bytes()
    except OSError:
        return None


def read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    """Read and check a manifest alone: its content and its digest.

    Raises
    ------
    BundleError
        When there is none, a byte of it changed, its format is another, or it lacks what readers need.
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
    check_manifest(path.name, content)
    return content, digest


def check_manifest(name: str, content: Any) -> None:
    """Refuse a manifest that lacks what readers rely on.

    Parameters
    ----------
    name
        How the message calls the bundle.
    content
        The manifest, decoded.

    Raises
    ------
    BundleError
        With the place and what was expected there.
    """
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT_VERSION or type(found) is not int:
        age = "older" if type(found) is int and found < FORMAT_VERSION else "other"
        raise BundleError(
            f"{name}: the bundle has the {age} format {found!r}; this version reads {FORMAT_VERSION}. "
            "Run `tributary run` again to write it anew."
        )
    try:
        manifest = msgspec.convert(content, type=_Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"{name}: {MANIFEST} is wrong: {error}. Write the bundle again.") from error
    files = manifest.checksums
    missing = [file for file in (*NEEDED, *(f"{t}.parquet" for t in manifest.tables)) if file not in files]
    if missing:
        raise BundleError(f"{name}: {MANIFEST} has no checksum for {missing[0]}. Write the bundle again.")
    outside = [file for file in files if not _is_inside(file)]
    if outside:
        raise BundleError(f"{name}: {MANIFEST} names {outside[0]!r}, which is not inside the bundle.")


def _is_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in file
