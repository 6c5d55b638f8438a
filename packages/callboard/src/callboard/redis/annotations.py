"""Types by which handlers ask for what is around them on Redis."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from callboard._absent import tells
from callboard.annotations import ContextRepo, Logger, NoCast
from callboard_brokers.redis import RedisChannelMessage as _RedisChannelMessage
from callboard_brokers.redis import RedisListMessage as _RedisListMessage
from callboard_brokers.redis import RedisMessage as _RedisMessage
from callboard_brokers.redis import RedisStreamMessage as _RedisStreamMessage
from callboard_di import Context

from ._broker import RedisBroker as _RedisBroker

__all__ = [
    "ContextRepo",
    "Logger",
    "NoCast",
    "RedisBroker",
    "RedisChannelMessage",
    "RedisListMessage",
    "RedisMessage",
    "RedisStreamMessage",
]

RedisBroker: TypeAlias = Annotated[_RedisBroker, Context("broker")]
"""The broker that the message came by."""
RedisMessage: TypeAlias = Annotated[_RedisMessage, Context("message")]
"""The message itself."""
RedisChannelMessage: TypeAlias = Annotated[_RedisChannelMessage, Context("message")]
"""The message itself, of a channel."""
RedisListMessage: TypeAlias = Annotated[_RedisListMessage, Context("message")]
"""The message itself, of a list."""
RedisStreamMessage: TypeAlias = Annotated[_RedisStreamMessage, Context("message")]
"""The message itself, of a stream."""

tells(globals())
