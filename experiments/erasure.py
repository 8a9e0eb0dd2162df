"""Erasure: a tombstone hides a customer at once; `experiments.rewriting` then removes the rows.

The audit trail, `<runs>/erasures.log`, says when, on whose order and how many rows went, not whose.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from experiments.arrivals import Arrivals
from experiments.bundle.leftovers import find_bundles
from experiments.bundle.manifest import read_manifest
from experiments.bundle.reading import Bundle, read_bundle
from experiments.tombstones import AUDIT, add_tombstone, load_tombstones
from histories.durable import appended, locked
from histories.errors import BundleError


def pending_erasures(runs: Path, *, also: Sequence[Path] = ()) -> int:
    """How many erased customers may still be in the files of some bundle.

    Raises
    ------
    BundleError
        When the list of the erased is damaged.
    """
    tombstones = load_tombstones(runs)
    most = Arrivals(runs).erased(tombstones)
    for folder in find_bundles(runs, *also):
        try:
            most = max(most, len(tombstones.pending(read_manifest(folder)[0]["erasure"])))
        except BundleError:
            most = max(most, len(tombstones.digests))
    return most


def copies_beside(runs: Path) -> list[Path]:
    """MLflow's folder, where it lies beside the runs as by default: it keeps copies of bundles."""
    mlruns = runs.resolve().parent / "mlruns"
    return [mlruns] if mlruns.is_dir() else []


def is_known(runs: Path, customer_id: str) -> bool:
    """Whether any bundle or the arrivals hold this customer, or the customer was erased before."""
    tombstones = load_tombstones(runs)
    if tombstones.digest(customer_id) in tombstones.digests:
        return True
    if Arrivals(runs).holds(customer_id):
        return True
    return any(_holds(folder, customer_id) for folder in find_bundles(runs))


def _holds(folder: Path, customer_id: str) -> bool:
    """Whether a bundle holds a customer."""
    wanted = pl.col("customer_id").cast(pl.String) == customer_id

    def found(bundle: Bundle) -> bool:
        return any(
            bundle.scan(name).filter(wanted).head(1).collect().height > 0 for name in _with_customers(bundle)
        )

    return read_bundle(folder, found, verify=False)


def _with_customers(bundle: Bundle) -> list[str]:
    return [name for name in bundle.manifest["tables"] if "customer_id" in bundle.scan(name).collect_schema()]


def entomb(runs: Path, customer_id: str, *, who: str, request_id: str | None = None) -> bool:
    """Put a customer on the list of the erased and write the audit trail; False when there before.

    Raises
    ------
    StorageError
        When the disk takes neither; nothing changed.
    """
    entry = {"at": dt.datetime.now(dt.UTC), "action": "erased", "who": who, "request_id": request_id}
    return add_tombstone(runs, customer_id, audit=orjson.dumps(entry))


def write_audit(runs: Path, entry: dict[str, Any]) -> None:
    """Add a line to the audit trail; durable when this returns."""
    line = orjson.dumps({"at": dt.datetime.now(dt.UTC), **entry})
    with locked(runs, "tombstones"), appended(runs / AUDIT, line):
        pass
