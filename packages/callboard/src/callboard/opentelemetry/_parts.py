"""What the spans of one instrument are made with."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.trace import Tracer

from callboard.opentelemetry._carrier import Carrier
from callboard.opentelemetry._meters import Meters
from callboard.opentelemetry._spans import Guard


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Attributes: see `Tracing`."""

    tracer: Tracer
    carrier: Carrier
    meters: Meters
    guard: Guard
    links_only: bool
    create_spans: bool
