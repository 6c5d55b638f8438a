"""Redis and Valkey behind the port of `callboard_brokers`.

`pip install "callboard-brokers[redis]"` brings the client; the records do without it.
"""

from callboard_brokers.redis._adapter import Redis
from callboard_brokers.redis._config import RedisOptions
from callboard_brokers.redis._format import BinaryMessageFormatV1, MessageFormat
from callboard_brokers.redis._message import (
    RedisChannelMessage,
    RedisListMessage,
    RedisMessage,
    RedisRecord,
    RedisStreamMessage,
    view,
    written,
)
from callboard_brokers.redis._records import ListSub, PubSub, RedisSource, RedisTarget, StreamSub

__all__ = [
    "BinaryMessageFormatV1",
    "ListSub",
    "MessageFormat",
    "PubSub",
    "Redis",
    "RedisChannelMessage",
    "RedisListMessage",
    "RedisMessage",
    "RedisOptions",
    "RedisRecord",
    "RedisSource",
    "RedisStreamMessage",
    "RedisTarget",
    "StreamSub",
    "view",
    "written",
]

for _message in (RedisChannelMessage, RedisListMessage, RedisMessage, RedisStreamMessage):
    _message.__module__ = __name__  # as it is imported
