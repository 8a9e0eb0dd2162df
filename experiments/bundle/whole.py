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

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from experiments.bundle.drift import drift_since
from experiments.bundle.leftovers import sweep
from experiments.bundle.tables import TABLES, conform_table
from experiments.bundle.writing import write_folder
from experiments.tombstones import load_tombstones
from histories.durable import locked, storage_error
from histories.errors import BundleError
from histories.identity import KEY_VARIABLE

__all__ = ["write_bundle"]

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
    frames = {name: conform_table(name, tables.get(name)) for name in {**TABLES, **tables}}
    content = {
        **_DEFAULTS,
        "pseudonyms": bool(os.environ.get(KEY_VARIABLE)),
        "model_version": manifest["run_id"],
        "drift": drift_since(path.parent / "champion", frames["customers"]),
        **manifest,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path.parent.name, error) from error
    with locked(path.parent, "bundles"):  # an erasure waits, and then finds the new bundle
        sweep(path.parent)
        write_folder(
            path,
            tables=frames,
            manifest=content,
            model=model,
            files=files or {},
            rejected=rejected or {},
            pictures=pictures or {},
            tombstones=load_tombstones(path.parent),
        )
    return path
