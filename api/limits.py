"""Rate limits: one token bucket per key, in each worker for itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Allowance", "RateLimiter"]


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


class RateLimiter:
    """Buckets by key. A bucket holds one minute's requests and fills evenly.

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
        rate = limit / 60
        level, seen = self._buckets.get(key_id, (float(limit), now))
        level = min(float(limit), level + (now - seen) * rate)
        allowed = level >= 1
        if allowed:
            level -= 1
        self._buckets.pop(key_id, None)
        self._buckets[key_id] = (level, now)
        if self._most is not None and len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return Allowance(
            limit=limit,
            remaining=int(level),
            reset=math.ceil((limit - level) / rate),
            retry_after=0 if allowed else max(1, math.ceil((1 - level) / rate)),
        )
