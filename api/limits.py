"""Rate limits: one token bucket per key, over all workers of a service."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

try:
    import fcntl
except ImportError:  # Windows: each worker counts for itself
    fcntl = None  # type: ignore[assignment]


SHARED: Final = "TRIBUTARY_SHARED"
"""Variable with the folder that the workers of one service share."""

_GROUPS: Final = 512
_PER_GROUP: Final = 8
_SLOT: Final = struct.Struct("<16sdd")
_GROUP_SIZE: Final = _PER_GROUP * _SLOT.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The outcome for one request.

    Attributes
    ----------
    limit, remaining
        Requests per minute; how many could follow at once.
    reset, retry_after
        Seconds until the bucket is full again; until the next request is allowed (0 when this one was).
    """

    limit: int
    remaining: int
    reset: int
    retry_after: int

    @classmethod
    def of(cls, level: float, limit: int, *, allowed: bool) -> Allowance:
        """What is told of a bucket at `level`, after a request took its part of it or was refused."""
        rate = limit / 60
        return cls(
            limit=limit,
            remaining=int(level),
            reset=math.ceil((limit - level) / rate),
            retry_after=0 if allowed else max(1, math.ceil((1 - level) / rate)),
        )

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""
        return self.retry_after == 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        """RateLimit header fields, and Retry-After on refusal."""
        fields = [
            (b"ratelimit-policy", b"%d;w=60" % self.limit),
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset),
        ]
        return fields if self.allowed else [*fields, (b"retry-after", b"%d" % self.retry_after)]


def draw(level: float, seen: float, now: float, limit: int) -> tuple[float, Allowance]:
    """Take one request from a bucket that was at `level` when it was last `seen`; what is left of it.

    A bucket holds one minute's requests and fills evenly.

    >>> level, allowance = draw(1.0, 0.0, 0.0, 60)
    >>> level, allowance.allowed, draw(level, 0.0, 0.5, 60)[1].retry_after
    (0.0, True, 1)
    """
    level = min(float(limit), level + max(0.0, now - seen) * limit / 60)
    allowed = level >= 1
    if allowed:
        level -= 1
    return level, Allowance.of(level, limit, allowed=allowed)


class Limiter(Protocol):
    """Whatever counts requests, here or elsewhere."""

    async def take(self, key_id: str, limit: int) -> Allowance:
        """Take one request from a key's bucket of `limit` requests per minute."""

    async def close(self) -> None:
        """Let go of what it holds."""


class LocalLimiter:
    """Buckets on this machine: of this process, or shared by the workers of a service."""

    def __init__(self, buckets: RateLimiter | SharedRateLimiter) -> None:
        self._buckets = buckets

    async def take(self, key_id: str, limit: int) -> Allowance:
        """Take one request from a key's bucket of `limit` requests per minute."""
        return self._buckets.take(key_id, limit)

    async def close(self) -> None:
        """Nothing is held that does not end with the process."""


class RateLimiter:
    """Buckets of one process.

    Parameters
    ----------
    most
        Buckets to keep, those asked for last; None: all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most: int | None = None) -> None:
        self._clock, self._most = clock, most
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str, limit: int) -> Allowance:
        """Take one request from a key's bucket of `limit` requests per minute."""
        now = self._clock()
        level, allowance = draw(*self._buckets.pop(key_id, (float(limit), now)), now, limit)
        self._buckets[key_id] = (level, now)
        if self._most is not None and len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return allowance


class SharedRateLimiter:
    """Buckets of all processes that map one file.

    The file is a table of groups of eight buckets; a key belongs to the group that its digest names, and
    takes the place of the bucket not asked for longest where the group is full. A group is locked for the
    moment in which it changes; the system takes the lock from a process that dies.

    Parameters
    ----------
    path
        The file; made where it is absent.
    clock
        Seconds, the same in all processes.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, _GROUPS * _GROUP_SIZE)
        self._table = mmap.mmap(self._file, _GROUPS * _GROUP_SIZE)
        self._digests: dict[str, bytes] = {}

    def take(self, key_id: str, limit: int) -> Allowance:
        """Take one request from a key's bucket of `limit` requests per minute."""
        digest = self._digest(key_id)
        start = int.from_bytes(digest[:4], "little") % _GROUPS * _GROUP_SIZE
        with self._locked(start):
            now = self._clock()
            place, level, seen = self._find(start, digest, limit, now)
            level, allowance = draw(level, seen, now, limit)
            _SLOT.pack_into(self._table, place, digest, level, now)
        return allowance

    def _find(self, start: int, digest: bytes, limit: int, now: float) -> tuple[int, float, float]:
        """Where a key's bucket is, or a full one is put; its level, and when it was seen."""
        oldest, oldest_seen = start, math.inf
        for place in range(start, start + _GROUP_SIZE, _SLOT.size):
            found, level, seen = _SLOT.unpack_from(self._table, place)
            if found == digest:
                return place, level, seen
            if seen < oldest_seen:
                oldest, oldest_seen = place, seen
        return oldest, float(limit), now

    @contextmanager
    def _locked(self, start: int) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, _GROUP_SIZE, start)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _GROUP_SIZE, start)

    def _digest(self, key_id: str) -> bytes:
        found = self._digests.get(key_id)
        if found is None:
            if len(self._digests) > 4096:
                self._digests.clear()
            found = self._digests[key_id] = hashlib.blake2b(key_id.encode(), digest_size=16).digest()
        return found


def make_buckets(name: str) -> RateLimiter | SharedRateLimiter:
    """Buckets shared by the workers of this service, or those of this process where there is one alone."""
    folder = os.environ.get(SHARED)
    if folder and fcntl is not None:
        return SharedRateLimiter(Path(folder) / f"limits-{name}")
    return RateLimiter(most=4096)
