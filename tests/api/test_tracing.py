"""Spans, when configured, tell the route and never the customer."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.middleware import configured_tracer
from tests.running import running

sdk = pytest.importorskip("opentelemetry.sdk.trace")


def test_a_span_names_the_route_and_not_the_customer(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr("api.middleware.configured_tracer", lambda: configured_tracer(provider))
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with running(bundle=sample) as client:
        headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
        client.get("/v1/customers/31/value", headers=headers)
        client.get("/v1/customers/314159/touchpoints")
    one, other = memory.get_finished_spans()
    assert one.name == "GET /v1/customers/{customer_id}/value"
    assert one.attributes["http.response.status_code"] == 200
    assert f"{one.context.trace_id:032x}" == trace_id
    assert other.attributes["http.response.status_code"] == 404
    assert "314159" not in other.to_json()
    assert "/31" not in one.to_json()


def test_nothing_is_traced_unless_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert configured_tracer() is None


def test_an_endpoint_without_the_exporter_is_refused_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    from histories.errors import ConfigError

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"tributary-clv\[telemetry\]"):
        configured_tracer()
