"""Messages of NATS."""

from __future__ import annotations

from callboard_brokers.nats import NatsMessage

__all__ = ["NatsMessage"]
