"""What a handler returns to say more of a message of Redis, and what a middleware sees."""

from __future__ import annotations

from ._broker import RedisPublishCommand, RedisResponse

__all__ = ["RedisPublishCommand", "RedisResponse"]
