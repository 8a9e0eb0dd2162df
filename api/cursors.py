"""Pages of customers: filtered, sorted, and continued where the last page ended."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from api.problems import Problem
from api.store import Store
from experiments.bundle.columns import NULL_INT64, Array

__all__ = ["CURSOR", "Bound", "Listing", "decode_cursor", "encode_cursor", "page_of"]

CURSOR: Final = "^[A-Za-z0-9_-]{20,64}$"
"""What a cursor looks like."""

_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Keep customers whose column lies between two ends, both included; None is no end."""

    column: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which customers, in what order.

    Attributes
    ----------
    sort
        A column of `SORTABLE`, or "customer_id".
    descending
        Greatest first; customers without a value come last either way.
    """

    sort: str = "customer_id"
    descending: bool = False
    bounds: tuple[Bound, ...] = ()

    def fingerprint(self, digest: str) -> str:
        """Names the listing over one bundle, so that a cursor cannot be used for another."""
        return hashlib.sha256(f"{digest} {self}".encode()).hexdigest()[:16]


def page_of(store: Store, listing: Listing, *, start: int, limit: int) -> tuple[list[int], int | None]:
    """Rows of the next customers, and the rank from which the page after goes on (None at the end)."""
    rows: list[int] = []
    rank = start
    while rank < len(store) and len(rows) < limit:
        ranks = np.arange(rank, min(rank + _CHUNK, len(store)))
        candidates = _at_ranks(store, listing, ranks)
        keep = np.flatnonzero(_within(store, listing.bounds, candidates))
        wanted = keep[: limit - len(rows)]
        rows.extend(candidates[wanted].tolist())
        rank = int(ranks[wanted[-1]]) + 1 if len(keep) > len(wanted) else int(ranks[-1]) + 1
    return rows, rank if rank < len(store) else None


def _at_ranks(store: Store, listing: Listing, ranks: Array) -> Array:
    """Rows of the store at positions of the sorted list."""
    if listing.sort == "customer_id":
        return len(store) - 1 - ranks if listing.descending else ranks
    known = store.known[listing.sort]
    positions = np.where(ranks < known, known - 1 - ranks, ranks) if listing.descending else ranks
    return store.orders[listing.sort][positions].astype(np.int64)


def _within(store: Store, bounds: tuple[Bound, ...], rows: Array) -> Array:
    keep = np.ones(len(rows), dtype=bool)
    for bound in bounds:
        values = store.columns[bound.column].values[rows]
        if values.dtype.kind == "i":
            keep &= values != NULL_INT64
        if bound.low is not None:
            keep &= values >= bound.low
        if bound.high is not None:
            keep &= values <= bound.high
    return keep


def encode_cursor(fingerprint: str, rank: int) -> str:
    """A text that a client hands back to go on."""
    return base64.urlsafe_b64encode(orjson.dumps([fingerprint, rank])).rstrip(b"=").decode()


def decode_cursor(cursor: str, fingerprint: str) -> int:
    """The rank from which to go on.

    Raises
    ------
    Problem
        When the cursor is not one of ours, or belongs to another listing or bundle.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found, rank = orjson.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, TypeError):
        found, rank = "", -1
    if found != fingerprint or not isinstance(rank, int) or rank < 0:
        raise Problem(
            name="stale-cursor",
            detail="The cursor belongs to other scores or another question. Start again without one.",
        )
    return rank
