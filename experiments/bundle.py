"""A run's bundle: a folder that stands alone, appears whole or not at all, and notices a changed byte.

::

    manifest.json          what was read, by what code, as of when; checksums of every other file
    manifest.json.sha256   the manifest's own checksum, in the form of `sha256sum --check`
    model.json             every fitted model with its parameters
    <table>.parquet        the tables, empty and typed where not made
    serving/               the same customers and touchpoints as sorted, memory-mapped columns
    rejected/              rows that were set aside, with their rule
    report.html|pdf|json

Nothing here imports MLflow: a service needs the folder and no more.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import polars as pl

from experiments.bundle_serving import write_serving
from experiments.bundle_tables import TABLES, conform_table
from experiments.tombstones import Tombstones, drop_erased, load_tombstones
from histories.errors import BundleError, nearest

__all__ = [
    "FORMAT_VERSION",
    "TABLES",
    "Bundle",
    "file_checksum",
    "is_bundle",
    "load_bundle",
    "read_manifest",
    "seal_bundle",
    "write_bundle",
]

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.json.sha256"
_DEFAULTS: Final[Mapping[str, Any]] = {
    "currency": None,
    "time_unit": None,
    "interval_level": None,
    "pseudonyms": False,
    "left_out": {},
}


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
        if name not in TABLES:
            raise BundleError(f'A bundle has no table "{name}"; {nearest(name, TABLES)}')
        return self.path / f"{name}.parquet"


_T = TypeVar("_T")


def _read(read: Callable[[], _T], name: str) -> _T:
    try:
        return read()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{name} cannot be read. Write the bundle again.") from error


def write_bundle(
    path: Path,
    *,
    tables: Mapping[str, pl.DataFrame],
    manifest: Mapping[str, Any],
    model: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    rejected: Mapping[str, pl.DataFrame] | None = None,
    tombstones: Tombstones | None = None,
) -> Path:
    """Write a bundle; it appears under `path` complete, or nothing does.

    Customers who were erased before are left out, so that a run over old input cannot bring them back.

    Parameters
    ----------
    path
        The new folder. It must not exist.
    tables
        Tables by name; those of `TABLES` that are missing are written empty.
    manifest
        At least `run_id` and `as_of` (a date). `model_version`, `currency`, `time_unit`, `interval_level`,
        `pseudonyms` and `left_out` (why a table is empty, by name) are answered by the service.
    model
        The content of `model.json`.
    files
        Reports by file name.
    rejected
        Rows set aside, by input table.
    tombstones
        Who was erased; by default the list beside the new folder.

    Raises
    ------
    BundleError
        When the folder exists, a table is not in its schema, or the disk does not take it.
    """
    missing = [key for key in ("run_id", "as_of") if not manifest.get(key)]
    if missing:
        raise BundleError(f"The manifest of a bundle lacks {', '.join(missing)}.")
    erased = load_tombstones(path.parent) if tombstones is None else tombstones
    conformed = {name: conform_table(name, tables.get(name)) for name in {**TABLES, **tables}}
    frames, _ = drop_erased(erased, conformed)
    aside, _ = drop_erased(erased, rejected or {})
    content = {
        **_DEFAULTS,
        "model_version": manifest["run_id"],
        **manifest,
        "format": FORMAT_VERSION,
        "tables": {name: frame.height for name, frame in frames.items()},
        "erasure": erased.state(),
    }
    with _appearing_whole(path) as folder:
        for name, frame in frames.items():
            frame.write_parquet(folder / f"{name}.parquet")
        (folder / "rejected").mkdir()
        for name, frame in aside.items():
            frame.write_parquet(folder / "rejected" / f"{name}.parquet")
        write_serving(folder / "serving", frames)
        (folder / "model.json").write_bytes(_json(dict(model)))
        for name, data in (files or {}).items():
            (folder / Path(name).name).write_bytes(data)
        seal_bundle(folder, content)
    return path


@contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its name when everything inside is on disk."""
    if path.exists():
        raise BundleError(f"{path} exists already. A bundle is never written over: choose a new folder.")
    folder: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        folder.chmod(0o755)
        yield folder
        folder.rename(path)
    except OSError as error:
        raise BundleError(
            f"{path.name} could not be written ({error.strerror or error}). "
            "Nothing was left behind; free space or check permissions and run again."
        ) from error
    finally:
        if folder is not None and folder.exists():
            shutil.rmtree(folder, ignore_errors=True)


def seal_bundle(folder: Path, content: Mapping[str, Any]) -> str:
    """Write the manifest with the checksum of every file in `folder`; return the manifest's own."""
    names = sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in (MANIFEST, SEAL)
    )
    checksums = {}
    for name in names:
        checksums[name] = file_checksum(folder / name)
        _flush(folder / name)
    data = _json({**content, "checksums": checksums})
    digest = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_bytes(data)
    (folder / SEAL).write_text(f"{digest}  {MANIFEST}\n", encoding="ascii")
    for name in (MANIFEST, SEAL, "."):
        _flush(folder / name)
    return digest


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _json(content: Mapping[str, Any]) -> bytes:
    options = (
        orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    )
    return orjson.dumps(content, option=options, default=str) + b"\n"
