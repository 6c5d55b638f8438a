"""Traces and metrics of messages, by OpenTelemetry's conventions for messaging.

`Tracing` is an instrument: give it to brokers as `instruments=[Tracing()]`. It needs the API of
OpenTelemetry alone; what becomes of the spans is the business of the SDK that the user has set up,
and without one it only carries contexts on.
"""

from __future__ import annotations

from callboard._absent import tells
from callboard_brokers.kit import needing

with needing("the API of OpenTelemetry", "callboard[opentelemetry]"):
    from callboard.opentelemetry._baggage import Baggage, CurrentBaggage
    from callboard.opentelemetry._called import SCHEMA_URL
    from callboard.opentelemetry._tracing import CurrentSpan, Tracing

__all__ = ["SCHEMA_URL", "Baggage", "CurrentBaggage", "CurrentSpan", "Tracing"]
tells(globals())
