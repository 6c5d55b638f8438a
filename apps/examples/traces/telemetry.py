"""What both services do with their spans: they go to a collector, by OTLP.

Where that is, and what the service is called, is said by OpenTelemetry's own variables:
`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import to_thread
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from callboard.opentelemetry import Tracing

__all__ = ["exporting", "tracing"]

provider = TracerProvider()
tracing = Tracing(tracer_provider=provider)


@asynccontextmanager
async def exporting() -> AsyncGenerator[None]:
    """Export spans while an application runs, and what is left of them when it has ended."""
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    yield
    await to_thread.run_sync(provider.shutdown)
