"""NATS, with and without JetStream, behind the port of `callboard_brokers`.

`pip install "callboard-brokers[nats]"` brings the client; the records do without it.
"""

from callboard_brokers.nats._adapter import Nats
from callboard_brokers.nats._config import ConsumerConfig, JStream, NatsOptions
from callboard_brokers.nats._message import NatsMessage, NatsRecord, PubAck, Stored
from callboard_brokers.nats._records import (
    KvWatch,
    NatsSource,
    NatsTarget,
    ObjWatch,
    PullSub,
    Schedule,
)
from callboard_brokers.nats._routing import NatsRouting
from callboard_brokers.nats._subject import Subject, covers

__all__ = [
    "ConsumerConfig",
    "JStream",
    "KvWatch",
    "Nats",
    "NatsMessage",
    "NatsOptions",
    "NatsRecord",
    "NatsRouting",
    "NatsSource",
    "NatsTarget",
    "ObjWatch",
    "PubAck",
    "PullSub",
    "Schedule",
    "Stored",
    "Subject",
    "covers",
]

NatsMessage.__module__ = __name__  # as it is imported
