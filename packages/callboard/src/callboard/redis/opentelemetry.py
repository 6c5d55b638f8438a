"""Tracing under the name that it has in the vocabulary for this broker."""

from __future__ import annotations

from callboard.opentelemetry import Tracing

__all__ = ["RedisTelemetryMiddleware"]

RedisTelemetryMiddleware = Tracing
