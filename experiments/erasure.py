"""Erasure: a tombstone hides a customer at once; `experiments.rewriting` then removes the rows.

The audit trail, `<runs>/erasures.log`, says when, on whose order and how many rows went, not whose.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from experiments.bundle.reading import SEAL, Bundle, load_bundle
from experiments.tombstones import add_tombstone, load_tombstones

__all__ = ["entomb", "find_bundles", "is_known", "write_audit"]

LOG: Final = "erasures.log"
READINGS: Final = 5
"""Times a bundle is read that is exchanged while it is read."""


def find_bundles(*roots: Path) -> Iterator[Path]:
    """Every finished bundle under these folders."""
    for root in roots:
        for seal in sorted(root.rglob(SEAL)):
            folder = seal.parent
            if not any(part.startswith(".") for part in folder.relative_to(root).parts):
                yield folder


def is_known(runs: Path, customer_id: str) -> bool:
    """Whether any bundle holds this customer, or the customer was erased before."""
    tombstones = load_tombstones(runs)
    if tombstones.digest(customer_id) in tombstones.digests:
        return True
    return any(_holds(folder, customer_id) for folder in find_bundles(runs))


def _holds(folder: Path, customer_id: str) -> bool:
    """Whether a bundle holds a customer; read again when it was exchanged for a rewritten one meanwhile."""
    wanted = pl.col("customer_id").cast(pl.String) == customer_id
    for reading in range(1, READINGS + 1):
        try:
            bundle = load_bundle(folder, verify=False)
            return any(
                bundle.scan(name).filter(wanted).head(1).collect().height > 0
                for name in _with_customers(bundle)
            )
        except pl.exceptions.ComputeError:  # the head of one file, the body of the next
            if reading == READINGS:
                raise
    return False


def _with_customers(bundle: Bundle) -> list[str]:
    return [name for name in bundle.manifest["tables"] if "customer_id" in bundle.scan(name).collect_schema()]


def entomb(runs: Path, customer_id: str, *, who: str, request_id: str | None = None) -> bool:
    """Put a customer on the list of the erased and write the audit trail; False when there before."""
    fresh = add_tombstone(runs, customer_id)
    if fresh:
        write_audit(runs, {"action": "erased", "who": who, "request_id": request_id})
    return fresh


def write_audit(runs: Path, entry: dict[str, Any]) -> None:
    """Add a line to the audit trail; durable when this returns."""
    line = orjson.dumps({"at": dt.datetime.now(dt.UTC), **entry}) + b"\n"
    descriptor = os.open(runs / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
