"""Who was erased, as digests: enough to keep a customer out, not enough to say who it was.

`<runs>/tombstones.txt` holds a random key in its first line and one keyed BLAKE2b digest in each further
line. It only ever grows, so "the first n lines" names a state of it: a bundle's manifest says how many it was
cleaned of, and whoever reads the bundle checks the lines that came later.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from histories.durable import appended, locked, make_folder, read_lines, write_whole
from histories.errors import BundleError

AUDIT: Final = "erasures.log"
"""The trail beside the list: when, on whose order and how many rows went, not whose."""

FILE: Final = "tombstones.txt"
_HEADER: Final = "tributary-tombstones-1 "
_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 16


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
        return hashlib.blake2b(str(customer_id).encode(), key=self.key, digest_size=_DIGEST_BYTES).digest()

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
    if not lines and not any(b'"erased"' in line for line in read_lines(runs / AUDIT)):
        return Tombstones()  # made, but never filled: the disk was full
    try:
        if not lines[0].startswith(_HEADER):
            raise ValueError
        key = bytes.fromhex(lines[0].removeprefix(_HEADER))
        digests = tuple(bytes.fromhex(line) for line in lines[1:])
        if len(key) != _KEY_BYTES or any(len(digest) != _DIGEST_BYTES for digest in digests):
            raise ValueError
    except (ValueError, IndexError) as error:
        raise BundleError(f"{FILE} is damaged; erased customers might come back. Restore it.") from error
    return Tombstones(key=key, digests=digests)


def add_tombstone(runs: Path, customer_id: str | int, *, audit: bytes | None = None) -> bool:
    """Add an id to the list; durable when this returns. False when it was listed already.

    Parameters
    ----------
    runs
        The folder of the list.
    customer_id
        Who is erased; a whole number and its decimal are the same.
    audit
        A line for the audit trail, which is there when and only when the id is on the list.

    Raises
    ------
    BundleError
        When the list is damaged.
    StorageError
        When the disk does not take it: nobody is erased, and nobody comes back.
    """
    make_folder(runs)
    with locked(runs, "tombstones"):
        known = load_tombstones(runs)
        if not known.key:
            known = Tombstones(key=secrets.token_bytes(_KEY_BYTES))
        digest = known.digest(customer_id)
        if digest in known.digests:
            return False
        lines = [f"{_HEADER}{known.key.hex()}", *(d.hex() for d in (*known.digests, digest)), ""]
        trail = contextlib.nullcontext() if audit is None else appended(runs / AUDIT, audit)
        with trail:
            write_whole(runs / FILE, "\n".join(lines).encode(), mode=0o600)
        return True


def without_erased(tombstones: Tombstones, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of customers who were not erased."""
    if not tombstones.digests or "customer_id" not in rows.collect_schema():
        return rows
    erased = frozenset(tombstones.digests)
    ids = rows.select(pl.col("customer_id").drop_nulls().unique()).collect().to_series()
    gone = [value for value in ids.to_list() if tombstones.digest(value) in erased]
    known = pl.Series(gone, dtype=ids.dtype).implode()
    return rows.filter(~pl.col("customer_id").is_in(known).fill_null(False)) if gone else rows


def drop_erased(
    tombstones: Tombstones, frames: Mapping[str, pl.DataFrame]
) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """Return the frames without rows of erased customers, and how many rows each lost."""
    if not tombstones.digests:
        return dict(frames), {}
    kept, lost = {}, {}
    for name, frame in frames.items():
        kept[name] = without_erased(tombstones, frame.lazy()).collect()
        if kept[name].height < frame.height:
            lost[name] = frame.height - kept[name].height
    return kept, lost
