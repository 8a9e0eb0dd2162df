"""What surrounds every request: one snapshot of what is served, stamped answers, and the record they leave.

Plain ASGI, one layer. The snapshot is taken once, so that the answer and its `X-Model-Version` come from the
same bundle even while another is swapped in.

OpenTelemetry spans, when configured, are one per request, named by its route's pattern: the framework's own
carry the whole address, and with it the customer's id. They are sent when `OTEL_EXPORTER_OTLP_ENDPOINT` (or
its `TRACES` form) is set and the extra `telemetry` is installed, or when the embedding program has set a
tracer provider.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, TracerProvider
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access_log import AccessLog
from api.admission import Admission, Arrival, Header
from api.metrics import Metrics
from api.problems import Problem, send_problem
from api.retirement import Retirement
from api.served import Served
from api.watcher import Watcher
from histories.errors import ConfigError

_UNMATCHED: Final = "(none)"


class Middleware:
    """Admits requests, stamps answers, and writes down what happened."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        watcher: Watcher,
        admission: Admission,
        metrics: Metrics,
        log: AccessLog,
        log_requests: bool,
        retiring: Mapping[tuple[str, str], Retirement],
    ) -> None:
        self._app, self._watcher, self._admission = app, watcher, admission
        self._metrics, self._log, self._log_requests = metrics, log, log_requests
        self._tracer = configured_tracer()
        self._retiring = {address: retirement.headers() for address, retirement in retiring.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        asked = scope["method"]
        if asked == "HEAD":  # answered like GET; the server leaves the body out
            scope = {**scope, "method": "GET", "head": True}
        served: Served | None = self._watcher.snapshot()
        arrival = Arrival.read(scope["headers"])
        request_id = arrival.request_id or os.urandom(8).hex().encode()
        stamp: list[Header] = [(b"x-request-id", request_id), (b"x-content-type-options", b"nosniff")]
        scope["served"], scope["request_id"] = served, request_id.decode()
        status, admitted = 0, False

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *stamp]
                if (b"content-encoding", b"gzip") in headers:  # packed bytes are not those that the tag names
                    headers = [(n, b"W/" + v if n == b"etag" else v) for n, v in headers]
                # As the route left it: an administrator may have swapped it.
                if admitted and scope["served"] is not None:
                    headers.append(scope["served"].version_header)
                if self._retiring:
                    headers += self._retiring.get((scope["method"], route_of(scope)), ())
                message["headers"] = headers
            await send(message)

        try:
            await self._admission.admit(scope, arrival, stamp)
            admitted = True
            await self._app(scope, receive, stamped)
        except Problem as problem:
            self._metrics.refuse(problem.name)
            await send_problem(stamped, problem, scope["request_id"])
        except Exception as error:
            if status == 0:
                fault = Problem(name="internal-error", detail="The fault was logged.")
                await send_problem(stamped, fault, scope["request_id"])
            self._log.write(
                "error", request_id=scope["request_id"], kind=type(error).__name__, trace=trace_of(error)
            )
        finally:
            self._record(scope, asked, status, time.perf_counter() - started)

    def _record(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        route = route_of(scope)
        if self._tracer is not None:
            started = time.time_ns() - int(seconds * 1e9)
            record_span(self._tracer, scope, route=route, status=status, started_ns=started)
        self._metrics.observe(method if route != _UNMATCHED else "(any)", route, status, seconds)
        if self._log_requests:
            self._log.write(
                "request",
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 3),
                request_id=scope["request_id"],
            )


def route_of(scope: Scope) -> str:
    """The address as `/openapi.json` writes it."""
    route: str = getattr(scope.get("route"), "path_format", _UNMATCHED)
    return route


def trace_of(error: BaseException) -> list[str]:
    """Where it failed: files and lines, no values."""
    return [
        f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}"
        for f in traceback.extract_tb(error.__traceback__)
    ]


_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def configured_tracer(provider: TracerProvider | None = None) -> Tracer | None:
    """The tracer to use, or None where nothing is configured.

    Raises
    ------
    ConfigError
        When the environment names an endpoint but the extra is not installed.
    """
    if provider is None and any(os.environ.get(name) for name in _ENDPOINTS):
        provider = _exporting_provider()
    if provider is None:
        found = trace.get_tracer_provider()
        provider = None if isinstance(found, trace.ProxyTracerProvider | trace.NoOpTracerProvider) else found
    return None if provider is None else provider.get_tracer("tributary.api")


def _exporting_provider() -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider as SdkProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the exporter is not installed. "
            "Install the extra: pip install 'tributary-clv[telemetry]'."
        ) from error
    name = os.environ.get("OTEL_SERVICE_NAME", "tributary")
    provider = SdkProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def record_span(tracer: Tracer, scope: Any, *, route: str, status: int, started_ns: int) -> None:
    """Record one request that has ended, under the trace that its client began."""
    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    span = tracer.start_span(
        f"{scope['method']} {route}",
        context=propagate.extract(carrier),
        kind=SpanKind.SERVER,
        start_time=started_ns,
        attributes={
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
            "tributary.request_id": scope["request_id"],
        },
    )
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
    span.end()
