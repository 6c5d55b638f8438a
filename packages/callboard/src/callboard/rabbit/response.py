"""What a handler returns to say more of a message of RabbitMQ, and what a middleware sees."""

from __future__ import annotations

from ._broker import RabbitPublishCommand, RabbitResponse

__all__ = ["RabbitPublishCommand", "RabbitResponse"]
