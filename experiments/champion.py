"""Which bundle is served: a link, `<runs>/champion`, and the log of who set it when.

A link is swapped in one step, so a service that follows it sees the old bundle or the new one.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from experiments.bundle.reading import load_bundle
from experiments.tombstones import locked
from histories.errors import BundleError

__all__ = ["champion", "champion_log", "champion_signature", "promote_bundle", "rollback_bundle"]

LINK: Final = "champion"
LOG: Final = "champion.log"


def champion(runs: Path) -> Path | None:
    """The folder being served, or None when none was promoted yet."""
    link = runs / LINK
    return link.resolve() if link.is_symlink() else None


def champion_signature(path: Path) -> tuple[str, int, int] | None:
    """Something that differs whenever another bundle lies under this path, for those who watch it.

    Made of the folder that a link leads to and of its manifest's identity and age; None when there is none.
    """
    try:
        folder = path.resolve()
        found = (folder / "manifest.json").stat()
    except OSError:
        return None
    return str(folder), found.st_ino, found.st_mtime_ns


def promote_bundle(runs: Path, bundle: Path, who: str) -> Path:
    """Serve this bundle from now on; return its folder.

    Raises
    ------
    BundleError
        When the bundle is damaged: what is served stays.
    """
    found = load_bundle(bundle)
    runs.mkdir(parents=True, exist_ok=True)
    with locked(runs, LINK):
        _swap(runs, found.path, action="promote", who=who)
    return found.path


def rollback_bundle(runs: Path, who: str) -> Path:
    """Serve again what was served before; return its folder.

    Rolling back twice goes back twice: promotions are a stack.

    Raises
    ------
    BundleError
        When nothing was served before, or it is damaged now: what is served stays.
    """
    if not runs.is_dir():
        raise BundleError(f"{runs}: there is no such folder. Name the folder with the bundles.")
    with locked(runs, LINK):
        stack = _stack(champion_log(runs))
        if len(stack) < 2:
            raise BundleError("There is no earlier bundle to go back to. Promote one by name.")
        found = load_bundle(_located(runs, stack[-2]))
        _swap(runs, found.path, action="rollback", who=who)
    return found.path


def champion_log(runs: Path) -> list[dict[str, Any]]:
    """Every change of what is served, oldest first: at, who, action, bundle, model_version."""
    try:
        lines = (runs / LOG).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [orjson.loads(line) for line in lines]


def _stack(log: Sequence[dict[str, Any]]) -> list[str]:
    """What was promoted and not rolled back from, the bundle served last."""
    stack: list[str] = []
    for entry in log:
        if entry["action"] == "promote":
            stack.append(entry["bundle"])
        elif stack:
            stack.pop()
    return stack


def _located(runs: Path, bundle: str) -> Path:
    return runs / bundle if not Path(bundle).is_absolute() else Path(bundle)


def _swap(runs: Path, bundle: Path, *, action: str, who: str) -> None:
    """Write the log, then point the link elsewhere in one step: a full disk stops it before that."""
    home = runs.resolve()
    target = str(bundle.relative_to(home)) if bundle.is_relative_to(home) else str(bundle)
    entry = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "who": who,
        "action": action,
        "bundle": target,
        "model_version": load_bundle(bundle, verify=False).model_version,
    }
    fresh = runs / f".{LINK}.{secrets.token_hex(4)}"
    try:
        fresh.symlink_to(target)
        with (runs / LOG).open("ab") as stream:
            stream.write(orjson.dumps(entry) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(runs / LINK)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise BundleError(
            f"The link to the served bundle could not be set ({error.strerror}); what is served stays."
        ) from error
