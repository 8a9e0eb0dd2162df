"""The gate before every route: who asks, how often, with what; and the record that it leaves.

Plain ASGI, one layer. It takes one snapshot of what is served, so that the answer and its `X-Model-Version`
come from the same bundle even while another is swapped in.
"""

from __future__ import annotations

import os
import re
import time
import traceback
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.holder import Holder
from api.journal import Journal
from api.keys import ApiKey, KeyRing
from api.limits import Allowance, RateLimiter
from api.metrics import Metrics
from api.problems import MEDIA_TYPE, Problem
from api.scopes import required_scope
from api.served import Served
from api.settings import Settings, is_loopback
from api.tracing import configured_tracer, record_span

__all__ = ["Gate"]

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_UNMATCHED: Final = "(none)"
Header = tuple[bytes, bytes]


@dataclass(slots=True)
class _Arrival:
    """What the gate reads of a request."""

    authorization: bytes | None = None
    request_id: bytes | None = None
    content_length: bytes | None = None

    @classmethod
    def read(cls, headers: list[Header]) -> _Arrival:
        found = cls()
        for name, value in headers:
            if name == b"authorization":
                found.authorization = value
            elif name == b"x-request-id":
                found.request_id = value if _REQUEST_ID.fullmatch(value) else None
            elif name == b"content-length":
                found.content_length = value
        return found


class Gate:
    """Admits requests, stamps answers, and writes down what happened."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        holder: Holder,
        keys: KeyRing | None,
        metrics: Metrics,
        journal: Journal,
    ) -> None:
        self._app, self._settings, self._holder = app, settings, holder
        self._keys, self._metrics, self._journal = keys, metrics, journal
        self._limiter, self._tracer = RateLimiter(), configured_tracer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        served: Served | None = self._holder.snapshot()
        arrival = _Arrival.read(scope["headers"])
        request_id = arrival.request_id or os.urandom(8).hex().encode()
        stamp: list[Header] = [(b"x-request-id", request_id), (b"x-content-type-options", b"nosniff")]
        scope["served"], scope["request_id"] = served, request_id.decode()
        status = 0

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *stamp]
                if scope["served"] is not None:  # as the route left it: an administrator may have swapped it
                    headers.append(scope["served"].version_header)
                message["headers"] = headers
            await send(message)

        try:
            self._admit(scope, arrival, stamp)
            await self._app(scope, receive, stamped)
        except Problem as problem:
            self._metrics.refuse(problem.name)
            await send_problem(stamped, problem)
        except Exception as error:
            if status == 0:
                await send_problem(stamped, Problem(name="internal-error", detail="The fault was logged."))
            self._journal.write(
                "error", request_id=scope["request_id"], kind=type(error).__name__, trace=_trace(error)
            )
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _admit(self, scope: Scope, arrival: _Arrival, stamp: list[Header]) -> None:
        """Let the request in, or raise the problem that it has."""
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._settings.max_url:
            raise Problem(name="url-too-long", detail=f"At most {self._settings.max_url} bytes are allowed.")
        length = arrival.content_length
        if length is not None and (not length.isdigit() or int(length) > self._settings.max_body):
            raise Problem(
                name="too-large",
                detail=f"The body may have {self._settings.max_body} bytes. Ask in several requests.",
            )
        needed = required_scope(scope["method"], scope["path"])
        if needed is None:
            return
        key = self._identify(arrival)
        if key is None:
            _stay_local(scope)
        scope["api_key"] = key
        if key is None:
            limit, owner = self._settings.rate_limit, "local"
        else:
            limit, owner = key.rate_limit or self._settings.rate_limit, key.key_id
        if limit is not None:
            allowance = self._limiter.take(owner, limit)
            stamp.extend(allowance.headers())
            _check(allowance)
        if key is not None and needed not in key.scopes:
            raise Problem(
                name="missing-scope",
                detail=f'This needs the scope "{needed}"; the key has {", ".join(key.scopes)}.',
            )

    def _identify(self, arrival: _Arrival) -> ApiKey | None:
        """The key that was shown; None where the service knows no keys."""
        if self._keys is None:
            return None
        kind, _, shown = (arrival.authorization or b"").partition(b" ")
        key = None
        if kind.lower() == b"bearer":
            key = self._keys.find(shown.strip().decode("latin-1"))
        if key is None:
            raise Problem(
                name="no-key",
                detail="Send `Authorization: Bearer KEY` with a key that is neither revoked nor expired.",
                headers={"www-authenticate": 'Bearer realm="tributary"'},
            )
        return key

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", _UNMATCHED)
        if self._tracer is not None:
            started = time.time_ns() - int(seconds * 1e9)
            record_span(self._tracer, scope, route=route, status=status, started_ns=started)
        self._metrics.observe(scope["method"] if route != _UNMATCHED else "(any)", route, status, seconds)
        if self._settings.access_log:
            self._journal.write(
                "request",
                method=scope["method"],
                route=route,
                status=status,
                ms=round(seconds * 1000, 3),
                request_id=scope["request_id"],
            )


def _stay_local(scope: Scope) -> None:
    """Without keys, refuse whoever is not on this machine."""
    client = scope.get("client")
    if client is not None and client[0][:1].isdigit() and not is_loopback(client[0]):
        raise Problem(name="not-loopback", detail="Start the service with --keys to serve other machines.")


def _check(allowance: Allowance) -> None:
    if not allowance.allowed:
        raise Problem(
            name="too-many-requests",
            detail=f"The key may make {allowance.limit} requests per minute. Wait {allowance.retry_after} s.",
        )


def _trace(error: BaseException) -> list[str]:
    """Where it failed: files and lines, no values."""
    return [
        f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}"
        for f in traceback.extract_tb(error.__traceback__)
    ]


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer with a problem document."""
    body = problem.body()
    headers = [
        (b"content-type", MEDIA_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def served_of(scope: Any) -> Served:
    """What this request is answered from.

    Raises
    ------
    Problem
        When nothing valid is loaded yet.
    """
    served: Served | None = scope["served"]
    if served is None:
        raise Problem(
            name="not-ready",
            detail="No valid bundle was found so far. Run `tributary run`, or see /health/ready.",
            headers={"retry-after": "5"},
        )
    return served
