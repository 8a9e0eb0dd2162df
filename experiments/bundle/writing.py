"""A run's bundle: a folder that stands alone, appears whole or not at all, and notices a changed byte.

::

    manifest.json          what was read, by what code, as of when; checksums of every other file
    manifest.json.sha256   the manifest's own checksum, in the form of `sha256sum --check`
    model.json             every fitted model with its parameters
    <table>.parquet        the tables, empty and typed where not made
    serving/               the same customers and touchpoints as sorted, memory-mapped columns
    pictures/              frames behind the report's charts that are no tables: balance, tracking, cohorts
    rejected/              rows that were set aside, with their rule
    report.html|pdf|json

Nothing here imports MLflow: a service needs the folder and no more.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from experiments.bundle.drift import drift_since
from experiments.bundle.leftovers import sweep
from experiments.bundle.manifest import FORMAT_VERSION, MANIFEST, SEAL, read_manifest
from experiments.bundle.reading import file_checksum
from experiments.bundle.serving import write_serving
from experiments.bundle.tables import TABLES, conform_rows, conform_table
from experiments.tombstones import Tombstones, drop_erased, load_tombstones, without_erased
from histories.durable import (
    confirm,
    locked,
    make_folder,
    refuse_unwritable,
    refused_by_system,
    storage_error,
    sync_folder,
)
from histories.errors import BundleError, StorageError
from histories.identity import KEY_VARIABLE


def bundle_folder(runs: Path, name: str, run_id: str) -> Path:
    """A folder that no other bundle under `runs` has: name, time, beginning of the run's id."""
    stamp = dt.datetime.now().strftime("%Y%m%d-%H%M%S")
    return runs / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}-{stamp}-{run_id[:6]}"


def write_folder(
    path: Path,
    *,
    tables: Mapping[str, pl.DataFrame],
    manifest: Mapping[str, Any],
    model: Mapping[str, Any],
    files: Mapping[str, bytes],
    rejected: Mapping[str, pl.DataFrame],
    tombstones: Tombstones,
    pictures: Mapping[str, pl.DataFrame] | None = None,
    large: Mapping[str, pl.LazyFrame] | None = None,
) -> dict[str, int]:
    """Write a bundle from tables in their final form, without the rows of erased customers.

    `large` tables are read and written a part at a time.

    Returns
    -------
    dict
        How many rows were left out for that reason, by table.

    Raises
    ------
    BundleError
        When the folder exists, an id repeats or is too long, or the manifest lacks what readers need.
    StorageError
        When the disk does not take it; nothing is left behind.
    """
    frames, lost = drop_erased(tombstones, tables)
    if "quotes" in lost:
        files = {}  # reports that were drawn with them go with them
    rows = {name: without_erased(tombstones, frame) for name, frame in (large or {}).items()}
    aside, _ = drop_erased(tombstones, rejected)
    content = {
        **manifest,
        "format": FORMAT_VERSION,
        "erasure": tombstones.state(),
    }
    with _appearing_whole(path) as folder:
        for name, frame in frames.items():
            frame.write_parquet(folder / f"{name}.parquet")
        written = {name: _sink(folder / f"{name}.parquet", frame) for name, frame in rows.items()}
        heights = {name: frame.height for name, frame in frames.items()}
        content["tables"] = heights | {
            name: int(frame.select(pl.len()).collect().item()) for name, frame in written.items()
        }
        (folder / "rejected").mkdir()
        for name, frame in aside.items():
            frame.write_parquet(folder / "rejected" / f"{name}.parquet")
        (folder / "pictures").mkdir()
        for name, frame in (pictures or {}).items():
            frame.write_parquet(folder / "pictures" / f"{name}.parquet")
        write_serving(folder / "serving", frames, written)
        (folder / "model.json").write_bytes(_json(model))
        for name, data in files.items():
            (folder / Path(name).name).write_bytes(data)
        seal_bundle(folder, content)
        read_manifest(folder)
    return lost


def _sink(file: Path, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Write a table without holding it; what is read of it from now on comes from the file."""
    rows.sink_parquet(file)
    return pl.scan_parquet(file, glob=False)


def refuse_taken(path: Path) -> None:
    """Refuse a folder that exists, or a place that takes none.

    Raises
    ------
    BundleError
        If it exists: a bundle is never written over.
    StorageError
        When there can be no folder.
    """
    if os.path.lexists(path):
        raise BundleError(f"{path} exists already. A bundle is never written over: choose a new folder.")
    refuse_unwritable(path)


def refuse_place(out: Path | None, runs: Path) -> None:
    """Refuse where a bundle is to go, before anything is computed for it: the folder named, else `runs`.

    Raises
    ------
    BundleError, StorageError
        As `refuse_taken`.
    """
    if out is None:
        refuse_unwritable(runs)
    else:
        refuse_taken(out)


@contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its name when everything inside is on disk."""
    refuse_taken(path)
    folder: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        folder.chmod(0o755)
        yield folder
        folder.rename(path)
    except OSError as error:
        raise storage_error(path.name, error) from error
    except pl.exceptions.PolarsError as error:
        if (refused := refused_by_system(error)) is not None:
            raise storage_error(path.name, refused) from error
        raise StorageError(f"{path.name} could not be written ({error}); nothing changed.") from error
    finally:
        if folder is not None and folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
    confirm(path)


def seal_bundle(folder: Path, content: Mapping[str, Any]) -> str:
    """Write the manifest with the checksum of every file in `folder`; return the manifest's own.

    Files become read-only: one that is mapped by a service must never be written over.
    """
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
    for name in (MANIFEST, SEAL):
        _flush(folder / name)
    for inside in (*(file for file in folder.rglob("*") if file.is_dir()), folder):
        sync_folder(inside)
    return digest


def _flush(path: Path) -> None:
    """Force a file to the disk, and let nobody write it again where that does not forbid to delete it."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    if os.name != "nt":
        path.chmod(0o444)


def _json(content: Mapping[str, Any]) -> bytes:
    options = (
        orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    )
    return orjson.dumps(content, option=options, default=str) + b"\n"


_DEFAULTS: Final[Mapping[str, Any]] = {
    "currency": None,
    "time_unit": None,
    "interval_level": None,
    "left_out": {},
}


def write_bundle(
    path: Path,
    *,
    tables: Mapping[str, pl.DataFrame],
    large: Mapping[str, pl.LazyFrame] | None = None,
    manifest: Mapping[str, Any],
    model: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    rejected: Mapping[str, pl.DataFrame] | None = None,
    pictures: Mapping[str, pl.DataFrame] | None = None,
) -> Path:
    """Write a bundle; it appears under `path` complete, or nothing does.

    Customers who were erased before are left out, so that a run over old input cannot bring them back. Where
    `champion` beside the new folder leads to a bundle, the drift since that one is measured and kept.

    Parameters
    ----------
    path
        The new folder. It must not exist.
    tables
        Tables by name; those of `TABLES` that are missing are written empty.
    large
        Further tables, which need not fit in memory; touchpoints and purchases in the order of customers and
        time.
    manifest
        At least `run_id` and `as_of` (a date). `model_version`, `currency`, `time_unit`, `interval_level`,
        `pseudonyms` and `left_out` (why a table is empty, by name) are answered by the service.
    model
        The content of `model.json`.
    files
        Reports by file name.
    rejected
        Rows set aside, by input table.
    pictures
        Frames that the report is drawn from besides the tables; they hold no customer.

    Raises
    ------
    BundleError
        When the folder exists, or a table is not in its schema.
    StorageError
        When the disk does not take it.
    """
    missing = [key for key in ("run_id", "as_of") if not manifest.get(key)]
    if missing:
        raise BundleError(f"The manifest of a bundle lacks {', '.join(missing)}.")
    rows = {name: conform_rows(name, frame) for name, frame in (large or {}).items()}
    frames = {
        name: conform_table(name, tables.get(name)) for name in {**TABLES, **tables} if name not in rows
    }
    content = {
        **_DEFAULTS,
        "pseudonyms": bool(os.environ.get(KEY_VARIABLE)),
        "model_version": manifest["run_id"],
        "drift": drift_since(path.parent / "champion", frames["customers"]),
        **manifest,
    }
    make_folder(path.parent)
    with locked(path.parent, "bundles"):  # an erasure waits, and then finds the new bundle
        sweep(path.parent)
        write_folder(
            path,
            tables=frames,
            large=rows,
            manifest=content,
            model=model,
            files=files or {},
            rejected=rejected or {},
            pictures=pictures or {},
            tombstones=load_tombstones(path.parent),
        )
    return path
