"""Open a run's bundle: check every byte, then read its tables when they are asked for.

A bundle may be exchanged for one without an erased customer while it is being read. What is read through
`read_bundle` comes from one bundle all the same: its seal is compared before and after.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import polars as pl

from experiments.bundle.manifest import read_manifest, read_seal
from histories.errors import BundleError, nearest

_READINGS: Final = 10
"""Times a bundle is read that is exchanged while it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle on disk, checked and open; tables are read when they are asked for.

    Attributes
    ----------
    digest
        SHA-256 of the manifest, which holds the checksums of all else: two bundles with one digest are equal.
    """

    path: Path
    manifest: Mapping[str, Any] = field(repr=False)
    model: Mapping[str, Any] = field(repr=False)
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

        def whole() -> pl.DataFrame:
            # one opened file: an erasure may put another in its place between two looks at the path
            with self._table_path(name).open("rb") as file:
                return pl.read_parquet(file, memory_map=False)

        return _read(whole, name)

    def scan(self, name: str) -> pl.LazyFrame:
        """A table as a lazy frame, for those that may be larger than memory."""
        return pl.scan_parquet(self._table_path(name))

    def rejected(self) -> dict[str, pl.DataFrame]:
        """Rows that were set aside, by input table, with the rule that each broke."""
        return self._folder("rejected")

    def pictures(self) -> dict[str, pl.DataFrame]:
        """Frames behind the report's charts that are no tables, by name; none in bundles of old."""
        return self._folder("pictures")

    def _folder(self, folder: str) -> dict[str, pl.DataFrame]:
        names = [name for name in self.manifest["checksums"] if name.startswith(f"{folder}/")]
        return {
            Path(name).stem: _read(partial(pl.read_parquet, self.path / name, memory_map=False), name)
            for name in sorted(names)
        }

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

    def files(self) -> dict[str, bytes]:
        """The reports by file name: whatever lies beside the tables and is neither manifest nor model."""
        names = [name for name in self.manifest["checksums"] if "/" not in name]
        reports = [name for name in names if not name.endswith(".parquet") and name != "model.json"]
        return {name: self.file(name) or b"" for name in reports}

    def _table_path(self, name: str) -> Path:
        if name not in self.manifest["tables"]:
            raise BundleError(f'The bundle has no table "{name}"; {nearest(name, self.manifest["tables"])}')
        return self.path / f"{name}.parquet"


_T = TypeVar("_T")


def _read(read: Callable[[], _T], name: str) -> _T:
    try:
        return read()
    except FileNotFoundError as error:
        raise BundleError(
            f"{name} is not there any more: the bundle was moved or deleted since it was opened. Load it "
            "again from where it lies."
        ) from error
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{name} cannot be read. Write the bundle again.") from error


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
    return read_bundle(path, lambda bundle: bundle, verify=verify)


def read_bundle(path: Path, read: Callable[[Bundle], _T], *, verify: bool = True) -> _T:
    """Read something from a bundle that is one bundle from beginning to end.

    Parameters
    ----------
    path
        The folder, or a link to it.
    read
        Opens or reads files of the bundle; called again when the bundle was exchanged meanwhile.
    verify
        Compare every file with its checksum first.

    Raises
    ------
    BundleError
        When the bundle is damaged, or is exchanged each time.
    """
    for _ in range(_READINGS):
        try:
            folder = Path(path).resolve()
        except (OSError, RuntimeError) as error:
            raise BundleError(f"{Path(path).name} is a link that leads to itself.") from error
        seal = read_seal(folder)
        try:
            bundle = _load(folder, verify=verify)
            found = read(bundle)
        except (BundleError, OSError, pl.exceptions.PolarsError):
            if _is_still(path, folder, seal):
                raise
            continue
        if _is_still(path, folder, seal):
            return found
    raise BundleError(f"{Path(path).name} was exchanged each of {_READINGS} times it was read. Try again.")


def _is_still(path: Path, folder: Path, seal: bytes | None) -> bool:
    """Whether the same bundle lies there as before; a missing one is looked for once more.

    Where folders cannot be exchanged in one step, a bundle is away for a moment.
    """
    if seal is None:
        time.sleep(0.05)
    try:
        return read_seal(folder) == seal and (seal is not None or Path(path).resolve() == folder)
    except (OSError, RuntimeError):
        return True


def _load(folder: Path, *, verify: bool) -> Bundle:
    manifest, digest = read_manifest(folder)
    for name, checksum in manifest["checksums"].items() if verify else ():
        try:
            found = file_checksum(folder / name)
        except FileNotFoundError as error:
            raise BundleError(f"{folder.name}: {name} is missing; the bundle is not whole.") from error
        except OSError as error:
            raise BundleError(f"{folder.name}: {name} cannot be read ({error.strerror}).") from error
        if found != checksum:
            raise BundleError(f"{folder.name}: {name} does not match its checksum; the bundle is damaged.")
    model = _read(lambda: _json_object(folder / "model.json"), "model.json")
    return Bundle(path=folder, manifest=manifest, model=model, digest=digest)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise BundleError(f"{path.name} is no JSON object. Write the bundle again.")
    return content
