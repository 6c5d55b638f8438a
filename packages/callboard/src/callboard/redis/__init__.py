"""Redis and Valkey: `pip install "callboard[redis]"`.

A channel is for those who listen at that moment, at most once. A list gives each message to one reader,
and a stream to one reader of each group, at least once.
"""

from __future__ import annotations

from callboard._absent import tells
from callboard.testing import TestApp, TestBroker
from callboard_brokers.redis import (
    BinaryMessageFormatV1,
    ListSub,
    PubSub,
    RedisChannelMessage,
    RedisListMessage,
    RedisMessage,
    RedisStreamMessage,
    StreamSub,
)

from ._broker import (
    RedisBroker,
    RedisPublishCommand,
    RedisPublisher,
    RedisResponse,
    RedisRoute,
    RedisRouter,
)

__all__ = [
    "BinaryMessageFormatV1",
    "ListSub",
    "PubSub",
    "RedisBroker",
    "RedisChannelMessage",
    "RedisListMessage",
    "RedisMessage",
    "RedisPublishCommand",
    "RedisPublisher",
    "RedisResponse",
    "RedisRoute",
    "RedisRouter",
    "RedisStreamMessage",
    "StreamSub",
    "TestApp",
    "TestRedisBroker",
]

TestRedisBroker = TestBroker
tells(globals())
