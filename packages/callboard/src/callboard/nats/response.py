"""What a handler returns to say more of a message of NATS, and what a middleware sees."""

from __future__ import annotations

from ._broker import NatsPublishCommand, NatsResponse

__all__ = ["NatsPublishCommand", "NatsResponse"]
