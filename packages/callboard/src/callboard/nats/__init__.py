"""NATS: `pip install "callboard[nats]"`.

Without a stream a message is for those who read its subject at that moment, at most once; readers
of one `queue` share it. What a stream captures is kept, and its readers get it at least once: those
of one `durable` name share a place in it.
"""

from __future__ import annotations

from callboard._absent import tells
from callboard.security import (
    NatsCredentials,
    NatsJWT,
    NatsNKey,
    NatsSecurity,
    NatsToken,
    NatsUserPassword,
)
from callboard.testing import TestApp, TestBroker
from callboard_brokers.nats import (
    ConsumerConfig,
    JStream,
    KvWatch,
    NatsMessage,
    ObjWatch,
    PubAck,
    PullSub,
    Schedule,
)

from ._broker import (
    NatsBroker,
    NatsPublishCommand,
    NatsPublisher,
    NatsResponse,
    NatsRoute,
    NatsRouter,
)
from ._policies import (
    DeliverPolicy,
    DiscardPolicy,
    ReplayPolicy,
    RetentionPolicy,
    StorageType,
)
from ._store import NatsStore

__all__ = [
    "ConsumerConfig",
    "DeliverPolicy",
    "DiscardPolicy",
    "JStream",
    "KvWatch",
    "NatsBroker",
    "NatsCredentials",
    "NatsJWT",
    "NatsMessage",
    "NatsNKey",
    "NatsPublishCommand",
    "NatsPublisher",
    "NatsResponse",
    "NatsRoute",
    "NatsRouter",
    "NatsSecurity",
    "NatsStore",
    "NatsToken",
    "NatsUserPassword",
    "ObjWatch",
    "PubAck",
    "PullSub",
    "ReplayPolicy",
    "RetentionPolicy",
    "Schedule",
    "StorageType",
    "TestApp",
    "TestNatsBroker",
]

TestNatsBroker = TestBroker
tells(globals())
