"""Rewrite bundles whole, without the rows of erased customers.

Aggregates (credits, effects, service figures) stay: they hold no customer. A report that quoted one is drawn
again.
`python -m experiments.rewriting RUNS` rewrites what is left to rewrite; the service starts it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from experiments.arrivals import FILE, Arrivals
from experiments.bundle.leftovers import find_bundles, sweep
from experiments.bundle.manifest import MANIFEST, read_manifest
from experiments.bundle.reading import Bundle, load_bundle, read_bundle
from experiments.bundle.sources import remembered, report_sources
from experiments.bundle.writing import write_folder
from experiments.champion import champion_log
from experiments.erasure import copies_beside, entomb, is_known, write_audit
from experiments.tombstones import Tombstones, load_tombstones
from histories.durable import locked, storage_error, sync_folder
from histories.errors import BundleError, StorageError, TributaryError

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

    Folders that killed processes left, which may hold erased customers, are cleared away first.

    Raises
    ------
    BundleError
        When a bundle is damaged, so that it cannot be rewritten: delete it. The others are rewritten first.
    StorageError
        When the disk does not take a bundle; the old one stays, and repeating takes up the work again.
    """
    done: list[Rewritten] = []
    damaged: list[str] = []
    refused: list[tuple[str, StorageError]] = []
    with locked(runs, "bundles"):
        sweep(runs, *also)
        tombstones = load_tombstones(runs)
        try:
            if gone := Arrivals(runs).forget(tombstones=tombstones):
                write_audit(runs, {"action": "rewritten", "bundle": FILE, "rows": {"arrivals": gone}})
        except StorageError as error:
            refused.append((FILE, error))
        for folder in find_bundles(runs, *also):
            try:
                if not tombstones.pending(read_manifest(folder)[0]["erasure"]):
                    continue
                rewritten = _rewrite(folder, tombstones)
                write_audit(runs, {"action": "rewritten", "bundle": rewritten.bundle, "rows": rewritten.rows})
            except BundleError:
                damaged.append(folder.name)
            except StorageError as error:
                refused.append((folder.name, error))
            else:
                done.append(rewritten)
    if damaged:
        raise BundleError(
            f"{len(damaged)} damaged bundles could not be rewritten and may still hold erased customers: "
            f"{', '.join(damaged)}. Delete them."
        )
    if refused:
        cause = refused[0][1]
        raise StorageError(
            f"{len(refused)} files or bundles still hold erased customers, whom the service hides: "
            f"{', '.join(name for name, _ in refused)}. {cause}",
            full=cause.full,
        )
    return done


def _rewrite(folder: Path, tombstones: Tombstones) -> Rewritten:
    """Write the bundle anew beside itself, then exchange the two."""
    bundle, content = read_bundle(folder, _whole_content)
    fresh = folder.with_name(f".{folder.name}.rewritten")

    def write() -> dict[str, int]:
        shutil.rmtree(fresh, ignore_errors=True)
        return write_folder(
            fresh,
            manifest={key: value for key, value in bundle.manifest.items() if key not in _COMPUTED},
            model=bundle.model,
            **content,
            tombstones=tombstones,
        )

    lost = write()
    if "quotes" in lost and content["files"]:
        drawn = _drawn_again(bundle, fresh, content["files"])
        content["tables"]["quotes"] = load_bundle(fresh, verify=False).table("quotes")
        content["files"] = drawn
        write()
    written = (folder / MANIFEST).stat()
    try:
        os.utime(fresh / MANIFEST, ns=(written.st_atime_ns, written.st_mtime_ns))  # no newer than it was
        _exchange(fresh, folder)
        sync_folder(folder.parent)
        shutil.rmtree(fresh)
    except OSError as error:
        raise storage_error(folder.name, error) from error
    return Rewritten(bundle=folder.name, rows=lost)


def _drawn_again(bundle: Bundle, fresh: Path, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The reports without those who are erased; none of a kind that cannot be drawn here and now."""
    from experiments.report import FORMATS  # with the drawing, which few erasures need
    from reports.build import build_context

    sources = report_sources(load_bundle(fresh, verify=False), remembered(bundle) or {})
    drawn = {}
    for name in files:
        with contextlib.suppress(Exception):  # a report that is not there tells nothing of anybody
            drawn[name] = FORMATS[name.rpartition(".")[2]](build_context(sources))
    return drawn


def _whole_content(bundle: Bundle) -> tuple[Bundle, dict[str, Any]]:
    """Everything that a bundle is written from: tables, reports, rows set aside, frames behind charts."""
    tables = {name: bundle.table(name) for name in bundle.manifest["tables"]}
    return bundle, {
        "tables": tables,
        "files": bundle.files(),
        "rejected": bundle.rejected(),
        "pictures": bundle.pictures(),
    }


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


def forget_customer(runs: Path, customer_id: str, *, who: str, also: Sequence[Path] = ()) -> list[Rewritten]:
    """Erase a customer everywhere; returns what was rewritten. Repeating it changes nothing.

    Raises
    ------
    BundleError
        When no bundle holds the customer, or one is damaged.
    StorageError
        When the disk does not take the list or a bundle; repeating takes up the work again.
    """
    if next(find_bundles(runs), None) is None:
        raise BundleError(f"{runs}: there is no bundle in this folder. Name the folder with the bundles.")
    if not is_known(runs, customer_id):
        raise BundleError("No bundle holds a customer with this id. Check the id; nothing was changed.")
    entomb(runs, customer_id, who=who)
    return rewrite_bundles(runs, also=also)


def out_of_reach(runs: Path, *, also: Sequence[Path] = ()) -> list[str]:
    """Places that an erasure does not clean: tables that bundles were made of, bundles elsewhere.

    What the bundles and the log of promotions name, as it is written there.
    """
    places: dict[str, None] = {}
    for folder in find_bundles(runs, *also):
        try:
            configured = read_manifest(folder)[0].get("configuration", {}).get("inputs", {})
        except BundleError:
            continue
        for sources in configured.values():
            for source in sources if isinstance(sources, list) else [sources]:
                places[str(source.get("path") or source.get("database") or "")] = None
    for entry in champion_log(runs):
        bundle = Path(entry["bundle"])
        if bundle.is_absolute() and bundle.is_dir():
            places[str(bundle)] = None
    return [place for place in places if place]


if __name__ == "__main__":
    try:
        rewrite_bundles(Path(sys.argv[1]), also=copies_beside(Path(sys.argv[1])))
    except TributaryError as error:
        sys.exit(str(error))
