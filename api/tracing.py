"""OpenTelemetry spans, when configured: one per request, named by its route.

The framework's own spans carry the whole address, and with it the customer's id; these carry the route's
pattern alone. Spans are sent when `OTEL_EXPORTER_OTLP_ENDPOINT` (or its `TRACES` form) is set and the extra
`telemetry` is installed, or when the embedding program has set a tracer provider.
"""

from __future__ import annotations

import os
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, TracerProvider

from histories.errors import ConfigError

__all__ = ["configured_tracer", "record_span"]

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
