"""Rewrite bundles whole, without the rows of erased customers.

Aggregates (credits, effects, service figures, the report) stay: they hold no customer.
`python -m experiments.rewriting RUNS` rewrites what is left to rewrite; the service starts it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from experiments.bundle.reading import load_bundle, read_manifest
from experiments.bundle.writing import write_folder
from experiments.erasure import entomb, find_bundles, is_known, write_audit
from experiments.tombstones import Tombstones, load_tombstones, locked
from histories.errors import BundleError

__all__ = ["Rewritten", "copies_beside", "forget_customer", "rewrite_bundles"]

_COMPUTED: Final = frozenset({"format", "tables", "erasure", "checksums"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """One bundle that was rewritten.

    Attributes
    ----------
    rows
        How many rows went, by table.
    """

    bundle: str
    rows: dict[str, int]


def rewrite_bundles(runs: Path, *, also: Sequence[Path] = ()) -> list[Rewritten]:
    """Rewrite every bundle that still holds an erased customer; one process at a time.

    Parameters
    ----------
    runs
        The folder with the tombstones and the bundles.
    also
        Further folders with copies of bundles, such as MLflow's artifacts.

    Raises
    ------
    BundleError
        When a bundle is damaged, so that it cannot be rewritten: delete it. The others are rewritten first.
    """
    done, damaged = [], []
    with locked(runs, "erasure"):
        tombstones = load_tombstones(runs)
        for folder in find_bundles(runs, *also):
            try:
                if not tombstones.pending(read_manifest(folder)[0]["erasure"]):
                    continue
                rewritten = _rewrite(folder, tombstones)
            except BundleError:
                damaged.append(folder.name)
                continue
            write_audit(runs, {"action": "rewritten", "bundle": rewritten.bundle, "rows": rewritten.rows})
            done.append(rewritten)
    if damaged:
        raise BundleError(
            f"{len(damaged)} damaged bundles could not be rewritten and may still hold erased customers: "
            f"{', '.join(damaged)}. Delete them."
        )
    return done


def _rewrite(folder: Path, tombstones: Tombstones) -> Rewritten:
    """Write the bundle anew beside itself, then exchange the two."""
    bundle = load_bundle(folder)
    tables = {name: bundle.table(name) for name in bundle.manifest["tables"]}
    names = [
        name for name in bundle.manifest["checksums"] if "/" not in name and not name.endswith(".parquet")
    ]
    files = {name: bundle.file(name) or b"" for name in names if name != "model.json"}
    fresh = folder.with_name(f".{folder.name}.rewritten")
    shutil.rmtree(fresh, ignore_errors=True)
    lost = write_folder(
        fresh,
        tables=tables,
        manifest={key: value for key, value in bundle.manifest.items() if key not in _COMPUTED},
        model=bundle.model,
        files=files,
        rejected=bundle.rejected(),
        tombstones=tombstones,
    )
    _exchange(fresh, folder)
    shutil.rmtree(fresh)
    return Rewritten(bundle=folder.name, rows=lost)


def _exchange(fresh: Path, folder: Path) -> None:
    """Swap two folders; in one step where the system can (Linux), in two otherwise."""
    at_fdcwd, rename_exchange = -100, 2
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        arguments = (at_fdcwd, os.fsencode(fresh), at_fdcwd, os.fsencode(folder), rename_exchange)
        if renameat2(*arguments) == 0:
            return
    aside = folder.with_name(f".{folder.name}.old")
    folder.rename(aside)
    fresh.rename(folder)
    aside.rename(fresh)


def copies_beside(runs: Path) -> list[Path]:
    """MLflow's folder, where it lies beside the runs as by default: it keeps copies of bundles."""
    mlruns = runs.resolve().parent / "mlruns"
    return [mlruns] if mlruns.is_dir() else []


def forget_customer(runs: Path, customer_id: str, *, who: str, also: Sequence[Path] = ()) -> list[Rewritten]:
    """Erase a customer everywhere; returns what was rewritten. Repeating it changes nothing.

    Raises
    ------
    BundleError
        When no bundle holds the customer, or one is damaged.
    """
    if next(find_bundles(runs), None) is None:
        raise BundleError(f"{runs}: there is no bundle in this folder. Name the folder with the bundles.")
    if not is_known(runs, customer_id):
        raise BundleError("No bundle holds a customer with this id. Check the id; nothing was changed.")
    entomb(runs, customer_id, who=who)
    return rewrite_bundles(runs, also=also)


if __name__ == "__main__":
    try:
        rewrite_bundles(Path(sys.argv[1]), also=copies_beside(Path(sys.argv[1])))
    except BundleError as error:
        sys.exit(str(error))
