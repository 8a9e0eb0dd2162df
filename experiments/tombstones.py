"""Who was erased, as digests: enough to keep a customer out, not enough to say who it was.

`<runs>/tombstones.txt` holds a random key in its first line and one keyed BLAKE2b digest in each further
line. It only ever grows, so "the first n lines" names a state of it: a bundle's manifest says how many it was
cleaned of, and whoever reads the bundle checks the lines that came later.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from histories.errors import BundleError

__all__ = ["FILE", "Tombstones", "add_tombstone", "drop_erased", "load_tombstones", "locked"]

FILE: Final = "tombstones.txt"
_HEADER: Final = "tributary-tombstones-1 "


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstones:
    """Digests of erased ids, in the order of their erasure.

    Attributes
    ----------
    key
        Key of the digests; empty when nobody was ever erased.
    """

    key: bytes = b""
    digests: tuple[bytes, ...] = ()

    def digest(self, customer_id: str | int) -> bytes:
        """The digest under which this id would be listed, 16 bytes."""
        return hashlib.blake2b(str(customer_id).encode(), key=self.key, digest_size=16).digest()

    def state(self) -> dict[str, Any]:
        """What a manifest records: which list, and how much of it the bundle was cleaned of."""
        return {"key": hashlib.sha256(self.key).hexdigest()[:16], "tombstones": len(self.digests)}

    def pending(self, erasure: Mapping[str, Any]) -> frozenset[bytes]:
        """Digests that a bundle with this record has not been cleaned of."""
        known = self.state()["key"] == erasure.get("key")
        return frozenset(self.digests[int(erasure.get("tombstones", 0)) if known else 0 :])


def load_tombstones(runs: Path) -> Tombstones:
    """Read the list beside the bundles; empty when there is none.

    Raises
    ------
    BundleError
        When the file is not such a list: serving on would bring erased customers back.
    """
    try:
        lines = (runs / FILE).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return Tombstones()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{FILE} cannot be read; erased customers might come back. Restore it.") from error
    try:
        if not lines[0].startswith(_HEADER):
            raise ValueError
        key = bytes.fromhex(lines[0].removeprefix(_HEADER))
        return Tombstones(key=key, digests=tuple(bytes.fromhex(line) for line in lines[1:]))
    except (ValueError, IndexError) as error:
        raise BundleError(f"{FILE} is damaged; erased customers might come back. Restore it.") from error


def add_tombstone(runs: Path, customer_id: str | int) -> bool:
    """Add an id to the list; durable when this returns. False when it was listed already."""
    runs.mkdir(parents=True, exist_ok=True)
    with locked(runs, "tombstones"):
        known = load_tombstones(runs)
        lines = []
        if not known.key:
            known = Tombstones(key=secrets.token_bytes(32))
            lines.append(f"{_HEADER}{known.key.hex()}")
        digest = known.digest(customer_id)
        if digest in known.digests:
            return False
        lines.append(digest.hex())
        descriptor = os.open(runs / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, ("\n".join(lines) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True


@contextmanager
def locked(runs: Path, name: str) -> Iterator[None]:
    """Hold a lock between processes for as long as the block runs; it ends with its process."""
    with (runs / f".{name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def drop_erased(
    tombstones: Tombstones, frames: Mapping[str, pl.DataFrame]
) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """Return the frames without rows of erased customers, and how many rows each lost."""
    if not tombstones.digests:
        return dict(frames), {}
    erased = frozenset(tombstones.digests)
    kept, lost = {}, {}
    for name, frame in frames.items():
        kept[name] = frame
        if "customer_id" not in frame.columns:
            continue
        ids = frame["customer_id"].drop_nulls().unique()
        gone = [value for value in ids.to_list() if tombstones.digest(value) in erased]
        if gone:
            known = pl.Series(gone, dtype=ids.dtype).implode()
            kept[name] = frame.filter(~pl.col("customer_id").is_in(known).fill_null(False))
            lost[name] = frame.height - kept[name].height
    return kept, lost
