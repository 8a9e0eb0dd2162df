"""Rate limits: one token bucket per key, over all workers of a service.

Over several machines the same buckets are kept by a Redis server.
"""

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
from typing import Any, Final, Protocol

from histories.errors import ConfigError

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


_SECONDS: Final = 0.25
"""How long an answer is waited for, so that a server that hangs holds up nobody."""

_PAUSE: Final = 5.0
"""How long a server that could not be reached is left alone."""

_TAKE: Final = """
local limit = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'level', 'seen')
local level = tonumber(held[1]) or limit
local seen = tonumber(held[2]) or now
level = math.min(limit, level + math.max(0, now - seen) * limit / 60)
local allowed = 0
if level >= 1 then
  level = level - 1
  allowed = 1
end
redis.call('HSET', KEYS[1], 'level', string.format('%.9f', level), 'seen', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 61)
return {allowed, string.format('%.9f', level)}
"""
"""`api.limits.draw` on the server, by its clock; a bucket that is full again is forgotten."""


class RedisLimiter:
    """Buckets in a Redis server; while it cannot be reached, those of this service's workers.

    Parameters
    ----------
    url
        `redis://`, `rediss://` (TLS) or `unix://`.
    notice
        Told once when the server cannot be reached, and once when it can again.

    Raises
    ------
    ConfigError
        When the client library is not installed, or the address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        notice: Callable[[str, dict[str, object]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            from redis import asyncio as redis
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigError('limits in Redis need its client: pip install "tributary-clv[redis]"') from None
        try:
            self._server: Any = redis.Redis.from_url(
                url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS
            )
        except ValueError:
            raise ConfigError(
                "limits: not an address of Redis; allowed: redis://HOST:6379/0, rediss://…, unix://PATH"
            ) from None
        self._take, self._failures = self._server.register_script(_TAKE), (RedisError, OSError, TimeoutError)
        self._notice, self._clock = notice, clock
        self._own, self._again = make_buckets("keys"), float("-inf")

    async def take(self, key_id: str, limit: int) -> Allowance:
        """Take one request from a key's bucket of `limit` requests per minute."""
        if self._clock() < self._again:
            return self._own.take(key_id, limit)
        name = hashlib.blake2b(key_id.encode(), digest_size=16).hexdigest()
        try:
            allowed, level = await self._take(keys=[f"tributary:limits:{name}"], args=[limit])
        except self._failures as error:
            if self._again == float("-inf"):
                self._notice("limits_unreachable", {"kind": type(error).__name__})
            self._again = self._clock() + _PAUSE
            return self._own.take(key_id, limit)
        if self._again != float("-inf"):
            self._again = float("-inf")
            self._notice("limits_reached", {})
        return Allowance.of(float(level), limit, allowed=bool(allowed))

    async def close(self) -> None:
        """Let the connections go."""
        await self._server.aclose()
