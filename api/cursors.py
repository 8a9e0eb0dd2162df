"""Pages of customers: filtered, sorted, and continued where the last page ended."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from fastapi import Request

from api.filtering import CHUNK, compile_filter
from api.problems import Problem
from api.served import Served
from api.store import Store
from experiments.bundle.columns import Array
from experiments.filters import Filter

CURSOR: Final = "^[A-Za-z0-9_-]{20,64}$"
"""What a cursor looks like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which customers, in what order.

    Attributes
    ----------
    sort
        A column, or "customer_id".
    descending
        Greatest first; customers without a value come last either way.
    bound
        Who is listed, bound to the store's columns; None: everybody.
    """

    sort: str = "customer_id"
    descending: bool = False
    bound: Filter | None = None

    def fingerprint(self, digest: str) -> str:
        """Names the listing over one bundle, so that a cursor cannot be used for another."""
        return hashlib.sha256(f"{digest} {self}".encode()).hexdigest()[:16]


def page_of(store: Store, listing: Listing, *, start: int, limit: int) -> tuple[list[int], int | None]:
    """Rows of the next customers, and the rank from which the page after goes on (None at the end)."""
    keeps = None if listing.bound is None else compile_filter(store, listing.bound)
    rows: list[int] = []
    rank = start
    step = min(CHUNK, 4 * limit)  # the first chunk is small: most pages are full at once
    while rank < len(store) and len(rows) < limit:
        ranks = np.arange(rank, min(rank + step, len(store)))
        candidates = _at_ranks(store, listing, ranks)
        keep = np.arange(len(ranks)) if keeps is None else np.flatnonzero(keeps(candidates))
        wanted = keep[: limit - len(rows)]
        rows.extend(candidates[wanted].tolist())
        rank = int(ranks[wanted[-1]]) + 1 if len(keep) > len(wanted) else int(ranks[-1]) + 1
        step = CHUNK
    return rows, rank if rank < len(store) else None


def _at_ranks(store: Store, listing: Listing, ranks: Array) -> Array:
    """Rows of the store at positions of the sorted list."""
    if listing.sort == "customer_id":
        return len(store) - 1 - ranks if listing.descending else ranks
    order, known = store.order(listing.sort)
    positions = np.where(ranks < known, known - 1 - ranks, ranks) if listing.descending else ranks
    return order[positions].astype(np.int64)


def encode_cursor(fingerprint: str, rank: int) -> str:
    """A text that a client hands back to go on."""
    return base64.urlsafe_b64encode(orjson.dumps([fingerprint, rank])).rstrip(b"=").decode()


def pinned(
    request: Request, served: Served, cursor: str | None, fingerprint: Callable[[Served], str | None]
) -> Served:
    """The scores that a listing began on: those being served, or those that were until a while ago.

    `fingerprint` names the listing over scores, None where they cannot answer it. The request is answered
    from what is found, as its `X-Model-Version` says.
    """
    if cursor is None:
        return served
    found, _ = _read(cursor)
    there: list[Served] = [served, *request.app.state.watcher.before()]
    for scores in there:
        if found == fingerprint(scores):
            request.scope["served"] = scores
            return scores
    return served


def _read(cursor: str) -> tuple[Any, Any]:
    """What a cursor says; nothing where it is not one of ours."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found, rank = orjson.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, TypeError):
        return "", -1
    return found, rank


def decode_cursor(cursor: str, fingerprint: str) -> int:
    """The rank from which to go on.

    Raises
    ------
    Problem
        When the cursor is not one of ours, or belongs to another listing or bundle.
    """
    found, rank = _read(cursor)
    if found != fingerprint or not isinstance(rank, int) or rank < 0:
        raise Problem(
            name="stale-cursor",
            detail="The cursor belongs to other scores or another question. Start again without one.",
        )
    return rank
