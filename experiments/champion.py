"""Which bundle is served: a link, `<runs>/champion`, the log of who set it when, and whether a run may.

A link is swapped in one step, so a service that follows it sees the old bundle or the new one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from experiments.bundle.reading import Bundle, load_bundle
from histories.durable import appended, confirm, locked, make_folder, read_lines, storage_error
from histories.errors import BundleError

LINK: Final = "champion"
LOG: Final = "champion.log"


def champion(runs: Path) -> Path | None:
    """The folder being served, or None when none was promoted yet."""
    target = _target(runs)
    return None if target is None else _located(runs, target).resolve()


def champion_signature(path: Path) -> tuple[str, int, int] | None:
    """Something that differs whenever another bundle lies under this path, for those who watch it.

    Made of the folder that a link leads to and of its manifest's identity and age; None when there is none.
    """
    try:
        folder = path.resolve()
        found = (folder / "manifest.json").stat()
    except (OSError, RuntimeError):  # a link in a circle is a RuntimeError before Python 3.13
        return None
    return str(folder), found.st_ino, found.st_mtime_ns


def promote_bundle(runs: Path, bundle: Path, who: str) -> Path:
    """Serve this bundle from now on; return its folder.

    Raises
    ------
    BundleError
        When the bundle is damaged: what is served stays.
    StorageError
        When the disk does not take the log or the link: what is served stays.
    """
    found = load_bundle(bundle)
    make_folder(runs)
    with locked(runs, LINK):
        _swap(runs, found, action="promote", who=who)
    return found.path


def rollback_bundle(runs: Path, who: str, *, key: str | None = None) -> Path:
    """Serve again what was served before; return its folder.

    Rolling back twice goes back twice: promotions are a stack. Where the link was set by hand, the
    bundle that was promoted last is served again.

    Parameters
    ----------
    runs
        The folder with the bundles.
    who
        Stands in the log.
    key
        Names this very rollback: one with a key that stands in the log already was done, and is not repeated.

    Raises
    ------
    BundleError
        When nothing was served before, or it is damaged now: what is served stays.
    StorageError
        When the disk does not take the log or the link: what is served stays.
    """
    if not runs.is_dir():
        raise BundleError(f"{runs}: there is no such folder. Name the folder with the bundles.")
    with locked(runs, LINK):
        current, log = _target(runs), champion_log(runs)
        for entry in log if key is not None else ():
            if entry.get("key") == key:
                return _located(runs, entry["bundle"])
        stack = _stack(log, current)
        if stack and stack[-1] == current:
            stack.pop()
        if not stack:
            raise BundleError("There is no earlier bundle to go back to. Promote one by name.")
        found = load_bundle(_located(runs, stack[-1]))
        _swap(runs, found, action="rollback", who=who, key=key)
    return found.path


def champion_log(runs: Path) -> list[dict[str, Any]]:
    """Every change of what is served, oldest first: at, who, action, bundle, before, model_version."""
    entries = []
    for line in read_lines(runs / LOG):
        with contextlib.suppress(orjson.JSONDecodeError):
            entries.append(orjson.loads(line))
    return entries


def _target(runs: Path) -> str | None:
    """Where the link leads, as it is written there."""
    try:
        return str((runs / LINK).readlink())
    except OSError:
        return None


def _stack(log: Sequence[dict[str, Any]], current: str | None) -> list[str]:
    """What was promoted and not rolled back from, the bundle served last.

    A last entry whose change never took place, because its process ended between log and link, is left out.
    """
    if log and current not in (None, log[-1]["bundle"]) and log[-1].get("before") == current:
        log = log[:-1]
    stack: list[str] = []
    for entry in log:
        if entry["action"] == "rollback":
            while stack and stack[-1] != entry["bundle"]:
                stack.pop()
        if not stack or stack[-1] != entry["bundle"]:
            stack.append(entry["bundle"])
    return stack


def _located(runs: Path, bundle: str) -> Path:
    return runs / bundle if not Path(bundle).is_absolute() else Path(bundle)


def _swap(runs: Path, bundle: Bundle, *, action: str, who: str, key: str | None = None) -> None:
    """Write the log, then point the link elsewhere in one step; the log's line goes when the link stays."""
    home = runs.resolve()
    target = str(bundle.path.relative_to(home)) if bundle.path.is_relative_to(home) else str(bundle.path)
    entry = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "who": who,
        "action": action,
        "bundle": target,
        "before": _target(runs),
        "model_version": bundle.model_version,
    }
    if key is not None:
        entry["key"] = key
    fresh = runs / f".{LINK}.{secrets.token_hex(4)}"
    with appended(runs / LOG, orjson.dumps(entry), mode=0o644):
        try:
            fresh.symlink_to(target)
            fresh.replace(runs / LINK)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise storage_error("The link to the served bundle", error) from error
    confirm(runs / LINK)


def reason_against(candidate: Bundle, champion: Bundle | None) -> str | None:
    """Why a run should not be served in the champion's place; None where nothing speaks against it.

    A forecast that its own holdout refutes is kept back. So is one that is clearly worse per customer than a
    champion that was judged on the same window and the same customers: its deviance's interval lies above.
    """
    forecast = candidate.manifest.get("forecast") or {}
    if forecast.get("status") == "refuted":
        return f"its forecast is refuted: {forecast.get('reason')}"
    if champion is None:
        return None
    new, old = _deviance(candidate), _deviance(champion)
    if new is None or old is None or (new["origin"], new["n"]) != (old["origin"], old["n"]):
        return None
    if new["low"] is not None and old["high"] is not None and new["low"] > old["high"]:
        return (
            f"on the window from {new['origin']} its deviance per customer is {new['value']:.4g} "
            f"[{new['low']:.4g}, {new['high']:.4g}], the champion's {old['value']:.4g} "
            f"[{old['low']:.4g}, {old['high']:.4g}]"
        )
    return None


def _deviance(bundle: Bundle) -> dict[str, Any] | None:
    """The deviance of the forecast that counts on the latest origin."""
    table = bundle.table("validation").filter(
        (pl.col("metric") == "deviance") & (pl.col("model") == str(bundle.model.get("chosen")))
    )
    return table.sort("origin").row(-1, named=True) if table.height else None
