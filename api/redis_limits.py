"""Rate limits over several machines: the same token buckets, kept by a Redis server."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any, Final

from api.limits import Allowance, make_buckets
from histories.errors import ConfigError

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
