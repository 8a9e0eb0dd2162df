"""Who may ask, how often, with how much: what a request must pass before its route sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from api.access_log import AccessLog
from api.keys import ApiKey, KeyRing
from api.limits import Allowance, Limiter, LocalLimiter, make_buckets
from api.metrics import Metrics
from api.problems import Problem
from api.settings import Settings, is_loopback
from histories.errors import ConfigError

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_WRONG_KEYS: Final = 120
"""Wrong keys a minute that one address may show before it is told to wait."""

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Arrival:
    """What is read of a request's header fields, each looked at once."""

    authorization: bytes | None = None
    request_id: bytes | None = None
    content_length: bytes | None = None
    hosts: int = 0
    fragment: bool = False

    @classmethod
    def read(cls, headers: list[Header]) -> Arrival:
        """Walk the fields."""
        found = cls()
        for name, value in headers:
            if name == b"host":
                found.hosts += 1
            elif name == b"authorization":
                found.authorization = value if found.authorization is None else b""  # two: neither counts
            elif name == b"x-request-id":
                found.request_id = value if _REQUEST_ID.fullmatch(value) else None
            elif name == b"content-length":
                found.content_length = value
            elif name == b"hx-request":
                found.fragment = True
        return found


class Admission:
    """Lets requests in, or raises the problem that they have."""

    def __init__(
        self,
        settings: Settings,
        *,
        keys: KeyRing | None,
        log: AccessLog,
        metrics: Metrics,
        limiter: Limiter | None = None,
    ) -> None:
        self._settings, self._keys, self._log, self._metrics = settings, keys, log, metrics
        self._limiter = limiter or LocalLimiter(make_buckets("keys"))
        self._strangers = make_buckets("strangers")

    async def admit(self, scope: Scope, arrival: Arrival, stamp: list[Header]) -> None:
        """Check a request; its rate limit's fields are added to `stamp`, its key to `scope`.

        Raises
        ------
        Problem
            When it may not go on.
        """
        self._check_size(scope, arrival)
        needed = required_scope(scope["method"], scope["path"], fragment=arrival.fragment)
        if needed is None:
            return
        key = self._identify(scope, arrival)
        if key is None:
            _stay_local(scope)
        scope["api_key"] = key
        if key is not None:
            self._metrics.used(key.key_id)
        if key is None:
            limit, owner = self._settings.rate_limit, "local"
        else:
            limit, owner = key.rate_limit or self._settings.rate_limit, key.key_id
        if limit is not None:
            allowance = await self._limiter.take(owner, limit)
            stamp.extend(allowance.headers())
            _check(allowance, "key")
        if key is not None and needed not in key.scopes:
            raise Problem(
                name="missing-scope",
                detail=f'This needs the scope "{needed}"; the key has {", ".join(key.scopes)}.',
            )

    def refresh_keys(self) -> bool:
        """Read the keys again where some were made or ended meanwhile; whether so."""
        try:
            fresh = self._keys is not None and self._keys.refresh()
        except ConfigError as error:
            self._log.write("keys_refused", reason=str(error))
            return False
        if fresh:
            self._log.write("keys_read")
        return fresh

    async def close(self) -> None:
        """Let go of what counts requests."""
        await self._limiter.close()

    def _check_size(self, scope: Scope, arrival: Arrival) -> None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._settings.max_url:
            raise Problem(name="url-too-long", detail=f"At most {self._settings.max_url} bytes are allowed.")
        if arrival.hosts > 1 or (not arrival.hosts and scope["http_version"] != "1.0"):
            raise Problem(name="bad-request", detail="Send one Host field.")
        length = arrival.content_length
        if length is not None and (not length.isdigit() or int(length) > self._settings.max_body):
            raise Problem(
                name="too-large",
                detail=f"The body may have {self._settings.max_body} bytes. Ask in several requests.",
            )

    def _identify(self, scope: Scope, arrival: Arrival) -> ApiKey | None:
        """The key that was shown; None where the service knows no keys."""
        if self._keys is None:
            return None
        kind, _, shown = (arrival.authorization or b"").partition(b" ")
        key = None
        if kind.lower() == b"bearer":
            text = shown.strip().decode("latin-1")
            key = self._keys.find(text) or (self._keys.find(text) if self.refresh_keys() else None)
        if key is None:
            self._refuse_stranger(scope, shown=bool(shown))
        return key

    def _refuse_stranger(self, scope: Scope, *, shown: bool) -> None:
        """Refuse who shows no valid key, and leave a trace of it; after too many, for a while."""
        address = str((scope.get("client") or ("?",))[0])
        allowance = self._strangers.take(address, _WRONG_KEYS)
        if allowance.allowed:
            self._log.write("key_refused", address=address, shown=shown)
        _check(allowance, "address")
        raise Problem(
            name="no-key",
            detail="Send `Authorization: Bearer KEY` with a key that is neither revoked nor expired.",
            headers={"www-authenticate": 'Bearer realm="tributary"'},
        )


def _stay_local(scope: Scope) -> None:
    """Without keys, refuse whoever is not on this machine."""
    client = scope.get("client")
    if client is not None and client[0][:1].isdigit() and not is_loopback(client[0]):
        raise Problem(name="not-loopback", detail="Start the service with --keys to serve other machines.")


def _check(allowance: Allowance, owner: str) -> None:
    if not allowance.allowed:
        raise Problem(
            name="too-many-requests",
            detail=f"The {owner} may make {allowance.limit} requests per minute. "
            f"Wait {allowance.retry_after} s.",
            headers={} if owner == "key" else {"retry-after": str(allowance.retry_after)},
        )


_BATCH: Final = frozenset(
    {"/v1/customers/values", "/v1/values/predict", "/v1/customers/export", "/v1/customers/lookup"}
)
_WRITE: Final = frozenset({"/v1/purchases", "/v1/touchpoints"})


def required_scope(method: str, path: str, *, fragment: bool = False) -> str | None:
    """The scope for a request; None where no key is asked for.

    The explorer's pages hold no data where keys are known; the fragments that fill them do.

    >>> required_scope("GET", "/v1/customers/17/value"), required_scope("DELETE", "/v1/customers/17")
    ('read', 'erase')
    >>> required_scope("POST", "/v1/admin/reload"), required_scope("GET", "/health/live")
    ('admin', None)
    >>> required_scope("GET", "/explore/credit"), required_scope("GET", "/explore/credit", fragment=True)
    (None, 'read')
    """
    if path.startswith("/explore/"):
        return "read" if fragment or path.startswith("/explore/download/") else None
    if path.startswith("/v2"):
        return None if path.startswith("/v2/health/") else "batch" if path.endswith("/infer") else "read"
    if not path.startswith("/v1"):
        return None
    if path.startswith("/v1/admin/"):
        return "admin"
    if method == "DELETE":
        return "erase"
    if path in _BATCH:
        return "batch"
    if path in _WRITE:
        return "write"
    return "read"
