"""Messages of Redis."""

from __future__ import annotations

from callboard_brokers.redis import (
    RedisChannelMessage,
    RedisListMessage,
    RedisMessage,
    RedisStreamMessage,
)

__all__ = ["RedisChannelMessage", "RedisListMessage", "RedisMessage", "RedisStreamMessage"]
